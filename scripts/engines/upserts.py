#!/usr/bin/env python3
"""upserts.py: the last profile of each user in a topic, compared with the patches of `adprof batch`.

    upserts.py PROFILES.ndjson PATCHES.ndjson

Both are read with exact numbers. Prints how many values are equal; exits with 1 on the first that is not.
"""

import json
import sys
from decimal import Decimal


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line, parse_float=Decimal) for line in file if line.startswith("{")]


def main():
    upserts = lines(sys.argv[1])
    profiles = {row["userId"]: row for row in upserts}
    patches = {patch["userId"]: patch["tags"] for patch in lines(sys.argv[2])}
    if profiles.keys() != patches.keys():
        sys.exit(f"upserts.py: {len(profiles)} users in the topic, {len(patches)} in the patches")
    values = 0
    for user, tags in patches.items():
        for code, value in tags.items():
            if profiles[user][code] != value:
                sys.exit(f"upserts.py: {user} {code}: {profiles[user][code]} in the topic, {value} in the patches")
            values += 1
    print(f"{values} values of {len(patches)} users are equal; {len(upserts)} upserts in the topic")


if __name__ == "__main__":
    main()
