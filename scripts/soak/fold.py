"""The oracle: the tags of definitions.toml by an independent fold of the log. Nothing is shared with adprof.

It reads what was appended to the log since it last looked, keeps each distinct event once (the first in the order of its
file), and says what every profile must be at an instant, as texts: {name: {field: text}}.
"""

import json
from decimal import Decimal
from pathlib import Path

MINUTE = 60_000
HOUR = 60 * MINUTE


class Key:
    def __init__(self):
        self.events = self.clicks = 0
        self.spent = self.largest = self.last_ts = self.last = None
        self.users, self.recent = set(), []  # recent: (ts, is a click, amount)

    def add(self, event):
        ts, click, amount = event["timestamp"], event["eventType"] == "click", event.get("amount")
        self.events += 1
        self.clicks += click
        if amount is not None:
            self.spent = (self.spent or Decimal(0)) + amount
            self.largest = amount if self.largest is None else max(self.largest, amount)
        self.last_ts = ts if self.last_ts is None else max(self.last_ts, ts)
        at = (ts, event["eventId"].encode(), event["itemId"])
        self.last = at if self.last is None else max(self.last, at)
        self.users.add(event["userId"])
        self.recent.append((ts, click, amount))

    def within(self, as_of, span, step=1000):
        return [entry for entry in self.recent if as_of // step - entry[0] // step < span // step]

    def clicks_of(self, as_of, span):
        return sum(click for _, click, _ in self.within(as_of, span))

    def forget(self, before):
        self.recent = [entry for entry in self.recent if entry[0] >= before]


def number(value):
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def boolean(value):
    return "true" if value else "false"


def user(key, as_of):
    minute = key.clicks_of(as_of, MINUTE)
    level = "high" if key.spent is not None and key.spent > 1000 else "busy" if minute > 2 else "calm"
    tags = {
        "events": key.events, "clicks": key.clicks, "last_item": key.last[2], "last_ts": key.last_ts,
        "clicks_1m": minute, "clicks_30m": key.clicks_of(as_of, 30 * MINUTE), "level": level,
        "idle": boolean(as_of - key.last_ts > 30_000),
    }  # fmt: skip
    if key.spent is not None:
        tags |= {"spent": number(key.spent), "largest": number(key.largest)}
    return tags


def item(key, as_of):
    tags = {
        "item_events": key.events, "item_users": len(key.users), "item_clicks_1m": key.clicks_of(as_of, MINUTE),
    }  # fmt: skip
    return tags if key.spent is None else {**tags, "item_spent": number(key.spent)}


def minute(key, as_of):
    """Forgotten three minutes after its newest event."""
    there = key.within(as_of, 3 * MINUTE)
    if not there:
        return None
    amounts = [amount for _, _, amount in there if amount is not None]
    tags = {"minute_events": len(there)}
    return {**tags, "minute_spent": number(sum(amounts))} if amounts else tags


TAGS = {"profile": user, "i": item, "minute": minute}


class Fold:
    def __init__(self, log):
        self.log, self.read, self.seen, self.keys = Path(log), {}, set(), {}
        self.lines = self.twice = 0

    def catch_up(self):
        for path in sorted(self.log.glob("dt=*/*.ndjson")):
            with open(path, "rb") as file:
                file.seek(self.read.get(path, 0))
                data = file.read()
            data = data[: data.rfind(b"\n") + 1]
            self.read[path] = self.read.get(path, 0) + len(data)
            for line in data.splitlines():
                self.add(json.loads(line, parse_float=Decimal))

    def add(self, event):
        self.lines += 1
        identity = int(event["eventId"][1:])
        if identity in self.seen:
            self.twice += 1
            return
        self.seen.add(identity)
        if "amount" in event:
            event["amount"] = Decimal(event["amount"])
        slice = event["timestamp"] // MINUTE * MINUTE
        for name in (f"profile:{event['userId']}", f"i:{event['itemId']}", f"minute:{event['category']}:{slice}"):
            key = self.keys.get(name)
            if key is None:
                key = self.keys[name] = Key()
            key.add(event)

    def forget(self, now):
        """What no window reaches any more, to stay small."""
        for name in list(self.keys):
            self.keys[name].forget(now - 31 * MINUTE)
            if name.startswith("minute:") and not self.keys[name].recent:
                del self.keys[name]

    def profile(self, name, as_of):
        key = self.keys.get(name)
        tags = key and TAGS[name.split(":", 1)[0]](key, as_of)
        return {code: str(value) for code, value in tags.items()} if tags else None

    def differences(self, found, since, until):
        """Names whose profile was at no instant between these two what was found, with one that it should have been."""
        seconds = range(since // 1000 * 1000, until + 1, 1000)
        different = []
        for name in self.keys.keys() | found.keys():
            key = self.keys.get(name)
            instants = {*seconds, until}
            if key is not None and key.last_ts is not None and since <= key.last_ts + 30_001 <= until:
                instants.add(key.last_ts + 30_001)
            if all(self.profile(name, at) != found.get(name) for at in instants):
                different.append((name, found.get(name), self.profile(name, until)))
        return different
