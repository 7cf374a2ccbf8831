#!/usr/bin/env python3
"""oracle.py: the five built-in tags by an independent fold, to compare adprof with.

    scripts/oracle.py [--as-of MS] FILE...

Reads events as NDJSON, plain, .gz or .zst (through the `zstd` command; `-` is stdin), in the order given, and prints
{"userId":…,"tags":{…}} for each user, sorted by userId. Without --as-of it is the largest timestamp of the input.
It shares nothing with adprof: plain Python, exact decimals, one dictionary. The input is taken to be valid events
(what `collect` accepted); the first line that is not one ends the run with its position.

    identity            (tenantId, userId, eventId); the first in input order counts, before anything else is looked at;
                        profiles are by userId alone
    who exists          every user with an event at or before the as-of
    clicks_1h_count     clicks with ts <= T and T < floor(ts, 1 s) + 1 h
    last_click_category category of the last click by (timestamp, eventId) that has one
    last_active_ts      largest timestamp
    ltv_total           exact sum of the amounts of purchases; absent without any
    segment_id          from ltv_total
"""

import argparse
import contextlib
import gzip
import json
import shutil
import subprocess
import sys
from decimal import Context, Decimal, setcontext

HOUR_MS = 3_600_000
SECOND_MS = 1_000

# Sums stay exact: the default of 28 digits would round without a word.
setcontext(Context(prec=100))


class User:
    """What one user's tags are made of."""

    __slots__ = ("clicks_1h", "last_click", "last_active", "ltv")

    def __init__(self):
        self.clicks_1h = 0
        self.last_click = None  # (timestamp, eventId, category)
        self.last_active = None
        self.ltv = None

    def add(self, event, as_of):
        ts = event["timestamp"]
        if self.last_active is None or ts > self.last_active:
            self.last_active = ts
        if event["eventType"] == "click":
            self.add_click(event, ts, as_of)
        elif event["eventType"] == "purchase" and event.get("amount") is not None:
            self.ltv = (self.ltv or Decimal(0)) + Decimal(event["amount"])

    def add_click(self, event, ts, as_of):
        if as_of < ts - ts % SECOND_MS + HOUR_MS:
            self.clicks_1h += 1
        category = event.get("category")
        if category is not None:
            # Python compares strings by code point, which is the order of their UTF-8 bytes.
            at = (ts, event["eventId"])
            if self.last_click is None or at > self.last_click[:2]:
                self.last_click = (*at, category)

    def tags(self):
        tags = {"clicks_1h_count": self.clicks_1h}
        if self.last_click is not None:
            tags["last_click_category"] = self.last_click[2]
        tags["last_active_ts"] = self.last_active
        if self.ltv is not None:
            tags["ltv_total"] = self.ltv
        tags["segment_id"] = segment(self.ltv)
        return tags


def segment(ltv):
    if ltv is not None and ltv >= 100:
        return "high_value_user"
    if ltv is not None and ltv > 0:
        return "buyer"
    return "browser"


@contextlib.contextmanager
def lines_of(path):
    """The lines of one file as bytes, decompressed by the name's end."""
    if path == "-":
        yield sys.stdin.buffer
    elif path.endswith(".gz"):
        with gzip.open(path, "rb") as f:
            yield f
    elif path.endswith(".zst"):
        if shutil.which("zstd") is None:
            sys.exit("oracle.py: missing `zstd`; get it with: apt-get install zstd")
        with subprocess.Popen(["zstd", "-dc", "--", path], stdout=subprocess.PIPE) as p:
            yield p.stdout
        if p.returncode != 0:
            sys.exit(f"oracle.py: {path}: zstd exited with {p.returncode}")
    else:
        with open(path, "rb") as f:
            yield f


def read_events(paths):
    """Distinct events in input order, as dictionaries."""
    seen = set()
    for path in paths:
        with lines_of(path) as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    event = json.loads(line, parse_float=Decimal)
                    identity = (event.get("tenantId") or "", event["userId"], event["eventId"])
                    if not isinstance(event["timestamp"], int) or not isinstance(event["eventType"], str):
                        raise ValueError("not an event")
                except (ValueError, KeyError, TypeError, AttributeError) as e:
                    sys.exit(f"oracle.py: {path}:{number}: not a valid event: {e!r}")
                if identity not in seen:
                    seen.add(identity)
                    yield event


def fold(events, as_of):
    users = {}
    for event in events:
        if event["timestamp"] <= as_of:
            user = users.get(event["userId"])
            if user is None:
                user = users[event["userId"]] = User()
            user.add(event, as_of)
    return users


def json_of(value):
    """JSON with decimals as exact numbers, which the json module alone would make floats of."""
    if isinstance(value, Decimal):
        text = format(value, "f")
        if "." in text:
            text = text.rstrip("0").rstrip(".")
        return "0" if text in ("-0", "") else text
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(json_of, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json_of(k)}:{json_of(v)}" for k, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--as-of", type=int, metavar="MS", help="instant, ms since 1970 (default: largest timestamp)")
    parser.add_argument("files", nargs="+", metavar="FILE")
    args = parser.parse_args()
    events = read_events(args.files)
    as_of = args.as_of
    if as_of is None:
        events = list(events)
        as_of = max((event["timestamp"] for event in events), default=0)
    users = sorted(fold(events, as_of).items())
    out = [json_of({"userId": user_id, "tags": user.tags()}) + "\n" for user_id, user in users]
    try:
        sys.stdout.buffer.write("".join(out).encode())
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.close()


if __name__ == "__main__":
    main()
