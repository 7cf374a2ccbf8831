#!/usr/bin/env python3
"""fold.py AS_OF FILE: the tags of definitions.toml by an independent fold, one [entity, key, tags] a line, sorted.

Nothing is shared with adprof, and nothing is clever: for each key the list of its events, each once.
"""

import json
import sys
from collections import defaultdict

MINUTE = 60_000
HOUR = 60 * MINUTE
as_of = int(sys.argv[1])


def keys(event):
    """The keys that an event touches, as (entity, parts)."""
    item, category = event.get("itemId"), event.get("category")
    at = event["timestamp"]
    out = [("user", (event["userId"],))]
    if item:
        out.append(("item", (item,)))
        newest = at // (20 * MINUTE) * (20 * MINUTE)
        out += [("hour", (item, str(newest - n * 20 * MINUTE))) for n in range(3)]
    if category:
        out.append(("pair", (event["userId"], category)))
        out.append(("minute", (category, str(at // MINUTE * MINUTE))))
    tags = (event.get("properties") or {}).get("tags")
    for tag in tags if isinstance(tags, list) else []:
        if isinstance(tag, bool):
            out.append(("topic", ("true" if tag else "false",)))
        elif isinstance(tag, int) or (isinstance(tag, str) and tag):
            out.append(("topic", (str(tag),)))
    return set(out)


def counts(event, span, step):
    return as_of // step - event["timestamp"] // step < span // step


def spent(events):
    amounts = [event["amount"] for event in events if event.get("amount") is not None]
    return sum(amounts) if amounts else None


def largest(events):
    amounts = [event["amount"] for event in events if event.get("amount") is not None]
    return max(amounts) if amounts else None


def tags(entity, events):
    if entity == "user":
        return {"clicks": sum(event["eventType"] == "click" for event in events)}
    if entity == "pair":
        return {"pair_events": len(events)}
    if entity == "minute":
        return {"minute_events": len(events), "minute_largest": largest(events)}
    if entity == "hour":
        return {"hour_spent": spent(events)}
    if entity == "topic":
        there = [event for event in events if counts(event, 30 * MINUTE, 1000)]
        return {"topic_events": len(there)} if there else None
    there = [event for event in events if counts(event, 2 * HOUR, MINUTE)]
    if not there:
        return None
    last = max(event["timestamp"] for event in there)
    return {
        "item_events_10m": sum(counts(event, 10 * MINUTE, 1000) for event in events),
        "item_users": len({event["userId"] for event in there}),
        "item_spent": spent(there),
        "item_last": last,
        "item_stale": as_of - last > HOUR,
    }


seen, by_key = set(), defaultdict(list)
for line in open(sys.argv[2], encoding="utf-8"):
    event = json.loads(line)
    identity = (event["userId"], event["eventId"])
    if event["timestamp"] > as_of or identity in seen:
        continue
    seen.add(identity)
    for key in keys(event):
        by_key[key].append(event)
for (entity, parts), events in sorted(by_key.items()):
    told = tags(entity, events)
    told = {code: value for code, value in (told or {}).items() if value is not None}
    if told:
        print(json.dumps([entity, parts, told], ensure_ascii=False, separators=(",", ":")))
