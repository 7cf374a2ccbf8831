#!/usr/bin/env python3
"""with_polars.py: the tags of the benchmark in Polars, lazily and by its streaming engine; flags in common.py.

Its JSON reader takes no decimals, so money is summed in whole cents, which is exact. unique() is faster than group_by()
with first(), and max_by() than sorting the clicks.
"""

import os

from common import Clock, arguments, eight_only, tell


def folded(pl, args):
    schema = {
        "tenantId": pl.String,
        "userId": pl.String,
        "eventId": pl.String,
        "eventType": pl.String,
        "timestamp": pl.Int64,
        "category": pl.String,
        "amount": pl.Float64,
    }
    kind, ts = pl.col("eventType"), pl.col("timestamp")
    click, purchase = kind == "click", kind == "purchase"
    clicked = click & pl.col("category").is_not_null()
    latest = pl.struct("timestamp", "eventId").filter(clicked)

    def within(pane_ms, panes):
        return args.as_of // pane_ms - ts // pane_ms < panes

    return (
        pl.scan_ndjson(args.input, schema=schema)
        .unique(subset=["tenantId", "userId", "eventId"], keep="any", maintain_order=False)
        .filter(ts <= args.as_of)
        .group_by("userId")
        .agg(
            (click & within(1000, 3600)).sum().alias("clicks_1h_count"),
            pl.col("category").filter(clicked).max_by(latest).alias("last_click_category"),
            ts.max().alias("last_active_ts"),
            (pl.col("amount") * 100).round().cast(pl.Int64).filter(purchase).sum().alias("cents"),
            purchase.sum().alias("purchases_count"),
            ts.min().alias("first_active_ts"),
            ((kind == "view") & within(3_600_000, 168)).sum().alias("views_7d"),
        )
    )


def main():
    args = arguments(__doc__)
    eight_only(args, "polars")
    os.environ["POLARS_MAX_THREADS"] = str(args.threads)
    import polars as pl

    money = pl.col("ltv_total")
    segment = (
        pl.when(money >= 100)
        .then(pl.lit("high_value_user"))
        .when(money > 0)
        .then(pl.lit("buyer"))
        .otherwise(pl.lit("browser"))
    )
    with Clock() as clock:
        # A sum of no purchases is 0 here, and NULL in SQL. Its division by a constant may miss the nearest double.
        spent = pl.when(pl.col("purchases_count") > 0).then((pl.col("cents") / 100).round(2))
        profiles = folded(pl, args).with_columns(spent.alias("ltv_total")).drop("cents")
        profiles.with_columns(segment.alias("segment_id")).sink_ndjson(args.output, engine="streaming")
    tell("Polars", pl.__version__, clock)


if __name__ == "__main__":
    main()
