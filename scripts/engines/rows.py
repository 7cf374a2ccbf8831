#!/usr/bin/env python3
"""rows.py: the rows that a job of `adprof compile --job` wrote, compared with the patches of `adprof batch`.

    rows.py ROWS PATCHES.ndjson

ROWS is what a topic of upserts held, as NDJSON: the last row of each key counts. Or it is a folder of Parquet files (needs
DuckDB). A key that is forgotten has no row. All numbers are exact. Prints how many values are equal; exits with 1 on the first
that is not.
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


def key_of(patch):
    key = patch["userId"] if "userId" in patch else patch["key"]
    return tuple(key) if isinstance(key, list) else (key,)


def main():
    written = parquet(sys.argv[1]) if os.path.isdir(sys.argv[1]) else lines(sys.argv[1])
    patches = {key_of(patch): patch["tags"] for patch in lines(sys.argv[2])}
    codes = set().union(*patches.values())
    rows = {tuple(value for name, value in row.items() if name not in codes): row for row in written}
    there = {key for key, tags in patches.items() if any(value is not None for value in tags.values())}
    if not there <= rows.keys() <= patches.keys():
        sys.exit(f"rows.py: {len(rows)} keys in the rows, {len(there)} of {len(patches)} in the patches have values")
    values = 0
    for key in rows:
        for code, value in patches[key].items():
            if rows[key][code] != value:
                sys.exit(f"rows.py: {key} {code}: {rows[key][code]} in the rows, {value} in the patches")
            values += 1
    if values == 0:
        sys.exit("rows.py: there was nothing to compare")
    print(f"{values} values of {len(rows)} keys are equal; {len(written)} rows")


if __name__ == "__main__":
    main()
