#!/usr/bin/env python3
"""fold.py AS_OF FILE: the tags of tests/stream_redis.rs by an independent fold, one {"userId":…,"tags":{…}} a line.

clicks_total  every event;  last_active_ts  the largest timestamp;  last_item  itemId of the last by (timestamp, eventId)
clicks_years  events of the last 7,300 days, in panes of a day;  clicks_1h  of the last hour, in panes of a second
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "scripts"))
sys.dont_write_bytecode = True
from oracle import read_events  # noqa: E402

DAY_MS = 86_400_000

as_of = int(sys.argv[1])
users = {}
for event in read_events(sys.argv[2:]):
    ts = event["timestamp"]
    if ts > as_of:
        continue
    user = users.setdefault(event["userId"], {"total": 0, "years": 0, "hour": 0, "active": ts, "item": None})
    user["total"] += 1
    user["active"] = max(user["active"], ts)
    user["years"] += as_of < ts - ts % DAY_MS + 7300 * DAY_MS
    user["hour"] += as_of < ts - ts % 1000 + 3_600_000
    at = (ts, event["eventId"], event.get("itemId"))
    if at[2] is not None and (user["item"] is None or at > user["item"]):
        user["item"] = at
for user_id, user in users.items():
    tags = {
        "clicks_total": str(user["total"]),
        "last_active_ts": str(user["active"]),
        "clicks_years": str(user["years"]),
        "clicks_1h": str(user["hour"]),
    }
    if user["item"] is not None:
        tags["last_item"] = user["item"][2]
    print(json.dumps({"userId": user_id, "tags": tags}))
