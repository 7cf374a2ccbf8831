#!/usr/bin/env python3
"""oracle.py: the five built-in tags by an independent fold, to compare adprof with.

    scripts/oracle.py [--as-of MS] [--calendar CODE=WINDOW@ZONE]... FILE...

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

--calendar adds a tag: the clicks of the current day, week or month of a time zone, or of as many as WINDOW says (`day`,
`7 days`, `3 months`), by Python's own time zones. A day begins at the first instant that has its date.
"""

import argparse
import contextlib
import gzip
import json
import shutil
import subprocess
import sys
from datetime import date, datetime, time, timedelta, timezone
from decimal import Context, Decimal, setcontext
from zoneinfo import ZoneInfo

HOUR_MS = 3_600_000
SECOND_MS = 1_000

# Sums stay exact: the default of 28 digits would round without a word.
setcontext(Context(prec=100))


EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Calendar:
    """A window of whole days, weeks or months of a time zone, the current one included."""

    def __init__(self, text):
        self.code, _, rest = text.partition("=")
        window, _, zone = rest.rpartition("@")
        number, _, unit = window.rpartition(" ")
        self.number, self.unit, self.zone = int(number or 1), unit.removesuffix("s"), ZoneInfo(zone)

    def day(self, ts):
        """The local date of an instant; the next one where that has begun before clocks were put back."""
        instant = EPOCH + timedelta(milliseconds=ts)
        day = instant.astimezone(self.zone).date()
        tomorrow = day + timedelta(days=1)
        # Of two midnights the first; of none the instant at which clocks were put forward.
        begins = datetime.combine(tomorrow, time(), self.zone).astimezone(timezone.utc)
        return tomorrow if begins <= instant else day

    def first_day(self, as_of):
        """The first local date whose events count."""
        today, back = self.day(as_of), self.number - 1
        if self.unit == "day":
            return today - timedelta(days=back)
        if self.unit == "week":
            return today - timedelta(days=today.weekday() + 7 * back)
        months = today.year * 12 + today.month - 1 - back
        return date(months // 12, months % 12 + 1, 1)


class User:
    """What one user's tags are made of."""

    __slots__ = ("clicks", "clicks_1h", "last_click", "last_active", "ltv")

    def __init__(self):
        self.clicks = []  # timestamps
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
        self.clicks.append(ts)
        if as_of < ts - ts % SECOND_MS + HOUR_MS:
            self.clicks_1h += 1
        category = event.get("category")
        if category is not None:
            # Python compares strings by code point, which is the order of their UTF-8 bytes.
            at = (ts, event["eventId"])
            if self.last_click is None or at > self.last_click[:2]:
                self.last_click = (*at, category)

    def tags(self, calendars, as_of):
        tags = {"clicks_1h_count": self.clicks_1h}
        if self.last_click is not None:
            tags["last_click_category"] = self.last_click[2]
        tags["last_active_ts"] = self.last_active
        if self.ltv is not None:
            tags["ltv_total"] = self.ltv
        tags["segment_id"] = segment(self.ltv)
        for calendar in calendars:
            first = calendar.first_day(as_of)
            tags[calendar.code] = sum(calendar.day(ts) >= first for ts in self.clicks)
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
    parser.add_argument("--calendar", type=Calendar, action="append", default=[], metavar="CODE=WINDOW@ZONE")
    parser.add_argument("files", nargs="+", metavar="FILE")
    args = parser.parse_args()
    events = read_events(args.files)
    as_of = args.as_of
    if as_of is None:
        events = list(events)
        as_of = max((event["timestamp"] for event in events), default=0)
    users = sorted(fold(events, as_of).items())
    out = [json_of({"userId": user_id, "tags": user.tags(args.calendar, as_of)}) + "\n" for user_id, user in users]
    try:
        sys.stdout.buffer.write("".join(out).encode())
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.close()


if __name__ == "__main__":
    main()
