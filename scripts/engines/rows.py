#!/usr/bin/env python3
"""rows.py: the rows that a job of `adprof compile --job` wrote, compared with the patches of `adprof batch`.

    rows.py ROWS PATCHES.ndjson

ROWS is what a topic of upserts held, as NDJSON: the last row of each user counts. Or it is a folder of Parquet files (needs
DuckDB). All numbers are exact. Prints how many values are equal; exits with 1 on the first that is not.
"""

import json
import os
import sys
from decimal import Decimal


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line, parse_float=Decimal) for line in file if line.startswith("{")]


def parquet(folder):
    import duckdb

    result = duckdb.execute("SELECT * FROM read_parquet(?)", [os.path.join(folder, "*.parquet")])
    names = [column[0] for column in result.description]
    return [dict(zip(names, row)) for row in result.fetchall()]


def main():
    written = parquet(sys.argv[1]) if os.path.isdir(sys.argv[1]) else lines(sys.argv[1])
    rows = {row["userId"]: row for row in written}
    patches = {patch["userId"]: patch["tags"] for patch in lines(sys.argv[2])}
    if rows.keys() != patches.keys():
        sys.exit(f"rows.py: {len(rows)} users in the rows, {len(patches)} in the patches")
    values = 0
    for user, tags in patches.items():
        for code, value in tags.items():
            if rows[user][code] != value:
                sys.exit(f"rows.py: {user} {code}: {rows[user][code]} in the rows, {value} in the patches")
            values += 1
    if values == 0:
        sys.exit("rows.py: there was nothing to compare")
    print(f"{values} values of {len(patches)} users are equal; {len(written)} rows")


if __name__ == "__main__":
    main()
