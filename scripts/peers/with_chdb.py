#!/usr/bin/env python3
"""with_chdb.py: the tags of the benchmark in ClickHouse, by chdb, its library for Python; flags in common.py.

LIMIT 1 BY was the fastest of the ways to deduplicate exactly (GROUP BY the identity with any() of the rest, or of a tuple;
DISTINCT), and a tenant that is '' where there is none faster than one that is NULL.
"""

import chdb
from common import Clock, arguments, eight_only, tell

STATEMENT = """
WITH once AS (
    SELECT userId, eventId, eventType AS type, timestamp AS ts, category AS cat, amount AS money
    FROM file('{input}', 'JSONEachRow', 'tenantId String, userId String, eventId String, eventType String,
        timestamp Int64, category Nullable(String), amount Nullable(Decimal(18, 2))')
    LIMIT 1 BY tenantId, userId, eventId
)
SELECT userId,
    countIf(type = 'click' AND intDiv({as_of}, 1000) - intDiv(ts, 1000) < 3600) AS clicks_1h_count,
    argMaxOrNullIf(cat, (ts, eventId), type = 'click' AND cat IS NOT NULL) AS last_click_category,
    max(ts) AS last_active_ts,
    sumOrNullIf(money, type = 'purchase') AS ltv_total,
    multiIf(ltv_total >= 100, 'high_value_user', ltv_total > 0, 'buyer', 'browser') AS segment_id,
    countIf(type = 'purchase') AS purchases_count,
    min(ts) AS first_active_ts,
    countIf(type = 'view' AND intDiv({as_of}, 3600000) - intDiv(ts, 3600000) < 168) AS views_7d
FROM once WHERE ts <= {as_of} GROUP BY userId
INTO OUTFILE '{output}' TRUNCATE FORMAT JSONEachRow
SETTINGS max_threads = {threads}, input_format_skip_unknown_fields = 1, output_format_json_quote_64bit_integers = 0"""


def quoted(path):
    return path.replace("\\", "\\\\").replace("'", "\\'")


def main():
    args = arguments(__doc__)
    eight_only(args, "chdb")
    chdb.query("SELECT 1")  # loads the library: its start, not its statement
    statement = STATEMENT.format(
        input=quoted(args.input), output=quoted(args.output), as_of=args.as_of, threads=args.threads
    )
    with Clock() as clock:
        chdb.query(statement)
    version = str(chdb.query("SELECT version()")).strip().strip('"')
    tell("ClickHouse (chdb)", version, clock)


if __name__ == "__main__":
    main()
