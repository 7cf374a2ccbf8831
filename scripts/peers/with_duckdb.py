#!/usr/bin/env python3
"""with_duckdb.py: the tags of the benchmark in DuckDB; flags in common.py.

Of the ways to deduplicate exactly (GROUP BY the identity with first(), any_value() or min() of the rest, DISTINCT ON,
QUALIFY row_number(), first() of a struct) the first was the fastest or within noise of it; DISTINCT over whole rows is
5 % faster, and no deduplication by identity.
"""

import duckdb
from common import Clock, arguments, tell

EVENTS = """
    SELECT tenantId, userId, eventId, eventType, timestamp AS ts, category, amount
    FROM read_json($input, format = 'newline_delimited', columns = {
        tenantId: 'VARCHAR', userId: 'VARCHAR', eventId: 'VARCHAR', eventType: 'VARCHAR', timestamp: 'BIGINT',
        category: 'VARCHAR', amount: 'DECIMAL(18,2)'})"""
ONCE = """
    SELECT userId, eventId, first(eventType) AS eventType, first(ts) AS ts, first(category) AS category,
           first(amount) AS amount
    FROM events GROUP BY tenantId, userId, eventId"""


def count(where, pane_ms=None, panes=None):
    within = f" AND $as_of // {pane_ms} - ts // {pane_ms} < {panes}" if pane_ms else ""
    return f"count(*) FILTER (WHERE {where}{within})"


def amounts(aggregate, pane_ms=None, panes=None):
    within = f" AND $as_of // {pane_ms} - ts // {pane_ms} < {panes}" if pane_ms else ""
    return f"{aggregate}(amount) FILTER (WHERE eventType = 'purchase'{within})"


def last_category(event_type):
    return f"arg_max(category, (ts, eventId)) FILTER (WHERE eventType = '{event_type}' AND category IS NOT NULL)"


# Panes: a window of w ms in panes of r ms counts an event at ts while floor(as-of / r) − floor(ts / r) < w / r.
SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000
CLICK, VIEW, PURCHASE, IMPRESSION = (f"eventType = '{name}'" for name in ("click", "view", "purchase", "impression"))
EIGHT = {
    "clicks_1h_count": count(CLICK, SECOND, 3600),
    "last_click_category": last_category("click"),
    "last_active_ts": "max(ts)",
    "ltv_total": amounts("sum"),
    "purchases_count": count(PURCHASE),
    "first_active_ts": "min(ts)",
    "views_7d": count(VIEW, HOUR, 168),
}
MORE = {
    "impressions_total": count(IMPRESSION),
    "clicks_total": count(CLICK),
    "impressions_24h": count(IMPRESSION, MINUTE, 1440),
    "clicks_24h": count(CLICK, MINUTE, 1440),
    "clicks_7d": count(CLICK, HOUR, 168),
    "purchases_30d": count(PURCHASE, HOUR, 720),
    "spent_7d": amounts("sum", HOUR, 168),
    "spent_30d": amounts("sum", HOUR, 720),
    "largest_purchase": amounts("max"),
    "smallest_purchase": amounts("min"),
    "carts_7d": count("eventType = 'add_cart'", HOUR, 168),
    "first_purchase_ts": f"min(ts) FILTER (WHERE {PURCHASE})",
    "last_purchase_ts": f"max(ts) FILTER (WHERE {PURCHASE})",
    "last_view_category": last_category("view"),
    "sports_clicks_30d": count(f"{CLICK} AND category = 'sports'", HOUR, 720),
}
SEGMENT = """CASE WHEN ltv_total >= 100 THEN 'high_value_user' WHEN ltv_total > 0 THEN 'buyer' ELSE 'browser' END
    AS segment_id"""
ENGAGEMENT = "CASE WHEN clicks_7d >= 3 THEN 'engaged' WHEN clicks_total > 0 THEN 'curious' ELSE 'passive' END AS engagement"


def statement(tags):
    folds = EIGHT | MORE if tags == 24 else EIGHT
    derived = f"{SEGMENT}, {ENGAGEMENT}" if tags == 24 else SEGMENT
    columns = ",\n        ".join(f"{value} AS {code}" for code, value in folds.items())
    return f"""
WITH events AS ({EVENTS}
), once AS ({ONCE}
), folded AS (
    SELECT userId,
        {columns}
    FROM once WHERE ts <= $as_of GROUP BY userId
)
SELECT *, {derived} FROM folded"""


def main():
    args = arguments(__doc__)
    config = {"threads": args.threads, "preserve_insertion_order": False}
    if args.memory:
        config["memory_limit"] = args.memory
    if args.temp:
        config["temp_directory"] = args.temp
    con = duckdb.connect(config=config)
    target = args.output.replace("'", "''")
    with Clock() as clock:
        values = {"input": args.input, "as_of": args.as_of}
        con.execute(f"COPY ({statement(args.tags)}) TO '{target}' (FORMAT json)", values)
    tell("DuckDB", duckdb.__version__, clock)


if __name__ == "__main__":
    main()
