#!/usr/bin/env python3
"""oracle_duckdb.py: the five built-in tags in DuckDB's SQL, for large files; and a comparison of profile files.

    scripts/oracle_duckdb.py [--as-of MS] [-o OUT] [--fast] [--timing] [--threads N] FILE...
    scripts/oracle_duckdb.py --compare A.ndjson B.ndjson [--tags CODE,...]

The first form prints {"userId":…,"tags":{…}} for each user, sorted by userId, tags without a value as null; the values
are those of scripts/oracle.py. Needs the Python package duckdb. FILE: NDJSON, plain, .gz or .zst.
Amounts are exact up to 15 digits: DuckDB reads JSON numbers through a double (scripts/oracle.py does not).
  --fast     what a benchmark should not have to pay for: of events with one identity any instead of the first (the same
             where duplicates are equal), users in no order, amounts read as DECIMAL(18,6)
  --timing   the seconds of the statement alone on stderr

--compare reads profiles or patches, by adprof or by an oracle, `-` for stdin, .gz and .zst too. Several patches of one
user are applied in their order; null means absent; 5, 5.0 and 5.000000 are equal. It prints the differences (at most
20, then their number) and exits with 1 when there are any; otherwise it prints how many users were equal. It needs
nothing but Python.
"""

import argparse
import json
import sys
import time
from decimal import Decimal

from oracle import json_of, lines_of

COLUMNS = """{{
    eventId: 'VARCHAR', userId: 'VARCHAR', tenantId: 'VARCHAR', eventType: 'VARCHAR',
    timestamp: 'BIGINT', category: 'VARCHAR', amount: '{amount}'
}}"""

# Identity first, as-of second: an event that comes first hides its duplicates even when it lies after the as-of.
FIRST = """
    SELECT * FROM (SELECT *, row_number() OVER () AS n FROM events)
    QUALIFY row_number() OVER (PARTITION BY coalesce(tenantId, ''), userId, eventId ORDER BY n) = 1"""
ANY = "SELECT DISTINCT ON (coalesce(tenantId, ''), userId, eventId) * FROM events"

STATEMENT = """
WITH events AS (
    SELECT eventId, userId, tenantId, eventType, timestamp AS ts, category, CAST(amount AS {amount}) AS amount
    FROM read_json($files, format = 'newline_delimited', columns = {columns})
), once AS ({once}
), folded AS (
    SELECT
        userId,
        count(*) FILTER (WHERE eventType = 'click' AND $as_of // 1000 - ts // 1000 < 3600) AS clicks_1h_count,
        arg_max(category, (ts, eventId)) FILTER (WHERE eventType = 'click' AND category IS NOT NULL)
            AS last_click_category,
        max(ts) AS last_active_ts,
        sum(amount) FILTER (WHERE eventType = 'purchase') AS ltv_total
    FROM once WHERE ts <= $as_of
    GROUP BY userId
)
SELECT
    userId,
    {{
        'clicks_1h_count': clicks_1h_count,
        'last_click_category': last_click_category,
        'last_active_ts': last_active_ts,
        'ltv_total': ltv_total,
        'segment_id': CASE WHEN ltv_total >= 100 THEN 'high_value_user' WHEN ltv_total > 0 THEN 'buyer' ELSE 'browser' END
    }} AS tags
FROM folded {order}"""


def compute(args):
    import duckdb

    con = duckdb.connect(config={"threads": args.threads} if args.threads else {})
    as_of = args.as_of
    if as_of is None:
        con.execute(
            "SELECT max(timestamp) FROM read_json($files, format = 'newline_delimited', columns = {timestamp: 'BIGINT'})",
            {"files": args.files},
        )
        as_of = con.fetchone()[0] or 0
    # Only the number of a row needs the order of the input.
    con.execute(f"SET preserve_insertion_order = {str(not args.fast).lower()}")
    statement = STATEMENT.format(
        columns=COLUMNS.format(amount="DECIMAL(18,6)" if args.fast else "VARCHAR"),
        # By way of text, which is the shortest that gives the double: exact where multiplying the double is not.
        amount="DECIMAL(18,6)" if args.fast else "DECIMAL(38,6)",
        once=ANY if args.fast else FIRST,
        order="" if args.fast else "ORDER BY userId",
    )
    start = time.perf_counter()
    con.execute(
        f"COPY ({statement}) TO '{args.output.replace(chr(39), chr(39) * 2)}' (FORMAT json)",
        {"files": args.files, "as_of": as_of},
    )
    if args.timing:
        print(f"{time.perf_counter() - start:.6f}", file=sys.stderr)


def profiles(path):
    """{(tenant, entity, key): {code: value}} after every patch of the file."""
    found = {}
    with lines_of(path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                patch = json.loads(line, parse_float=Decimal)
                key = patch.get("key", patch.get("userId"))
                key = tuple(key) if isinstance(key, list) else key
                tags = found.setdefault((patch.get("tenantId") or "", patch.get("entity", "user"), key), {})
                for code, value in patch["tags"].items():
                    if value is None:
                        tags.pop(code, None)
                    else:
                        tags[code] = value
            except (ValueError, KeyError, TypeError, AttributeError) as e:
                sys.exit(f"oracle_duckdb.py: {path}:{number}: not a profile: {e!r}")
    return found


def same(a, b):
    # In Python True equals 1; here a boolean is no number.
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def compare(a_path, b_path, only):
    a, b = profiles(a_path), profiles(b_path)
    differences = 0
    users = sorted(a.keys() | b.keys(), key=repr)
    for user in users:
        left, right = a.get(user, {}), b.get(user, {})
        for code in sorted(left.keys() | right.keys()):
            if only and code not in only:
                continue
            x, y = left.get(code), right.get(code)
            if x is None or y is None or not same(x, y):
                differences += 1
                if differences <= 20:
                    print(f"{name(user)} {code}: {shown(x)} != {shown(y)}")
    if differences:
        print(f"{differences} differences in {len(users)} users: {a_path} != {b_path}")
        return 1
    print(f"{len(users)} users equal")
    return 0


def name(user):
    tenant, entity, key = user
    return json_of(key) if (tenant, entity) == ("", "user") else f"{tenant}/{entity}/{json_of(key)}"


def shown(value):
    return "absent" if value is None else json_of(value)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--as-of", type=int, metavar="MS", help="instant, ms since 1970 (default: largest timestamp)")
    parser.add_argument("-o", "--output", default="/dev/stdout", metavar="OUT")
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--timing", action="store_true")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--compare", action="store_true", help="compare two files of profiles")
    parser.add_argument("--tags", metavar="CODE,...", help="compare these tags only")
    parser.add_argument("files", nargs="+", metavar="FILE")
    args = parser.parse_args()
    if not args.compare:
        compute(args)
    elif len(args.files) != 2:
        parser.error("--compare takes two files")
    else:
        sys.exit(compare(*args.files, set(args.tags.split(",")) if args.tags else None))


if __name__ == "__main__":
    main()
