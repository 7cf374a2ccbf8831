#!/usr/bin/env python3
"""given.py AS_OF live|log FILE...: the tags of tests/given.rs by an independent fold, one {"userId":…,"tags":{…}} a line.

Files hold events and patches, mixed or not. Of one tag the patch with the newest asOf up to AS_OF counts.
clicks_1h  events of the last hour, in panes of a second      ltv   live: from patches, log: the sum of all amounts
credit     from patches                                       mood  made of the three;  tier  made of credit and ltv
"""

import json
import sys
from decimal import Decimal

as_of, path, files = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
events, patches = {}, {}
for name in files:
    for line in open(name, encoding="utf-8"):
        item = json.loads(line, parse_float=Decimal)
        if "eventId" in item and item["timestamp"] <= as_of:
            events.setdefault(item["userId"], {}).setdefault(item["eventId"], item)
        elif "asOf" in item and item["asOf"] <= as_of:
            for code, value in item["tags"].items():
                newest = patches.setdefault(item["userId"], {}).get(code)
                if newest is None or newest[0] <= item["asOf"]:
                    patches[item["userId"]][code] = (item["asOf"], value)


def more(value, than):
    """SQL's three values."""
    return None if value is None else value > than


for user in sorted(set(events) | set(patches)):
    mine = events.get(user, {}).values()
    given = {code: value for code, (_, value) in patches.get(user, {}).items()}
    ltv = given.get("ltv")
    if path == "log":
        amounts = [Decimal(e["amount"]) for e in mine if "amount" in e]
        ltv = sum(amounts) if amounts else None
    credit = given.get("credit")
    clicks = sum(as_of < e["timestamp"] - e["timestamp"] % 1000 + 3_600_000 for e in mine) if mine else None
    if not mine and credit is None and ltv is None:
        continue
    rich = more(ltv, 99)
    if rich and more(clicks, 0):
        mood = "vip now"
    elif rich:
        mood = "vip"
    elif more(credit, 5):
        mood = "trusted"
    else:
        mood = "guest"
    tags = {"mood": mood}
    if clicks is not None:
        tags["clicks_1h"] = clicks
    if path == "log" and (mine or credit is not None):
        tags["tier"] = "gold" if more(credit, 5) and more(ltv, 0) else "none"
    print(json.dumps({"userId": user, "tags": tags}))
