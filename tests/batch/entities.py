"""Writes events, or compares the patches of entities that adprof made of them with SQL written by hand for DuckDB.

    entities.py write EVENTS.ndjson
    entities.py compare EVENTS.ndjson AS_OF PATCHES.ndjson

SQL here and tags in entities.toml are two statements of the same facts, kept side by side by their codes. Duplicates in
the file are exact copies.
"""

import json
import random
import sys

import duckdb

START = 1_735_689_600_000
HOUR = 3_600_000
ITEMS = ["i-1", "i-2", "i:3", "50%", "ü", "i-6", "i-7", "i-8", "", None]
LABELS = ["new", "sale", "50%:off", "ß", 7, True, None, "", 1.5, {"x": 1}, ["deep"]]


def write(path):
    r = random.Random(5)
    with open(path, "w", encoding="utf-8") as out:
        lines = []
        for n in range(4000):
            # Users have events of one id, and more than one of an instant.
            e = {"eventId": f"e{n // 3}", "userId": f"u{r.randrange(40)}-{n % 3}",
                 "eventType": r.choice(["view", "view", "click", "purchase"]),
                 "timestamp": START + r.choice([r.randrange(24 * HOUR), r.randrange(24) * HOUR, r.randrange(24) * HOUR - 1])}
            item, category = r.choice(ITEMS), r.choice(["toys", "books", None])
            if n % 3 and r.random() < 0.3:
                # Of one id, instant and item: what is last of them is for the value to say.
                e["timestamp"], item = before
            before = e["timestamp"], item
            for name, value in [("itemId", item), ("category", category)]:
                if value is not None or r.random() < 0.5:
                    e[name] = value
            if r.random() < 0.5:
                e["amount"] = r.randrange(-500, 5000)
            if r.random() < 0.7:
                e["properties"] = {"labels": r.choices(LABELS, k=r.randrange(5))}
            lines.append(json.dumps(e, ensure_ascii=r.random() < 0.5))
        lines += r.choices(lines, k=400)
        r.shuffle(lines)
        out.write("\n".join(lines) + "\n")


# A row for each event and key it touches; `at` is the instant of the values.
KEYS = {
    "item": "SELECT e.*, [itemId] AS k FROM events e WHERE itemId <> ''",
    "shelf": "SELECT e.*, [category, itemId] AS k FROM events e WHERE itemId <> '' AND category IS NOT NULL",
    "label": """SELECT DISTINCT e.*, [l.label] AS k FROM events e,
        unnest(CAST(properties->'labels' AS JSON[])) AS j(json),
        (SELECT CASE json_type(j.json) WHEN 'VARCHAR' THEN j.json->>'$' WHEN 'BOOLEAN' THEN j.json::VARCHAR
                WHEN 'UBIGINT' THEN j.json::VARCHAR WHEN 'BIGINT' THEN j.json::VARCHAR END AS label) AS l
        WHERE l.label <> ''""",
    "hour": f"SELECT e.*, [category, (ts - ts % {HOUR})::VARCHAR] AS k FROM events e WHERE category IS NOT NULL",
    "trend": f"""SELECT e.*, [(ts - ts % {HOUR // 2} - n * {HOUR // 2})::VARCHAR] AS k FROM events e, range(4) AS r(n)""",
    "recent": "SELECT e.*, [itemId] AS k FROM events e WHERE itemId <> ''",
}
# Of one instant and id, as two users may have, the largest value.
LAST = "last({x} ORDER BY ts, eventId, {x}) FILTER ({x} IS NOT NULL)"
TAGS = {
    "item": f"""count(*) FILTER (eventType = 'view') AS item_views,
        count(DISTINCT userId) FILTER (eventType = 'purchase') AS item_buyers,
        sum(amount) FILTER (eventType = 'purchase') AS item_revenue,
        count(*) FILTER ($at // 60000 - ts // 60000 < 360) AS item_6h,
        {LAST.format(x="category")} AS item_category,
        coalesce(sum(amount) FILTER (eventType = 'purchase'), 0) > 10000 AS item_strong""",
    "shelf": "count(*) AS shelf_events, max(amount) AS shelf_dearest",
    "label": "count(*) AS label_events, count(DISTINCT userId) AS label_users",
    "hour": "count(*) AS hour_events, sum(amount) AS hour_amount",
    "trend": "count(*) AS trend_events",
    "recent": f"""CASE WHEN max(ts // 60000) * 60000 + 6 * {HOUR} > $at THEN count(*) FILTER ($at // 60000 - ts // 60000 < 360) END
        AS recent_events,
        CASE WHEN max(ts // 60000) * 60000 + 6 * {HOUR} > $at
             THEN coalesce(sum(amount) FILTER ($at // 60000 - ts // 60000 < 360)::VARCHAR, 'none') END AS recent_amount""",
}


def compare(events, at, patches):
    con = duckdb.connect()
    con.execute("""CREATE TABLE events AS SELECT DISTINCT eventId, userId, eventType, "timestamp" AS ts, itemId, category, amount, properties
        FROM read_json(?, format='newline_delimited', columns={eventId: 'VARCHAR', userId: 'VARCHAR', eventType: 'VARCHAR',
        "timestamp": 'BIGINT', itemId: 'VARCHAR', category: 'VARCHAR', amount: 'BIGINT', properties: 'JSON'})
        WHERE "timestamp" <= ?""", [events, at])
    theirs = {}
    for entity, keys in KEYS.items():
        # Without the parameter where it is not used, DuckDB would refuse it.
        sql = f"SELECT k, {TAGS[entity]} FROM ({keys}) GROUP BY k".replace("$at", str(at))
        result = con.execute(sql)
        codes = [column[0] for column in result.description[1:]]
        for key, *values in result.fetchall():
            theirs[entity, tuple(key)] = dict(zip(codes, values))
    ours, order = {}, []
    for line in open(patches, encoding="utf-8"):
        patch = json.loads(line)
        if "entity" not in patch:
            assert not order, "users come first"
            continue
        key = patch["key"] if isinstance(patch["key"], list) else [patch["key"]]
        assert patch["asOf"] == at and (patch["entity"], tuple(key)) not in ours, line
        ours[patch["entity"], tuple(key)] = patch["tags"]
        if order[-1:] != [patch["entity"]]:
            order.append(patch["entity"])
    assert order == list(KEYS), order
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            sys.exit(f"{key}: {ours.get(key)} != {theirs.get(key)}")
    over = sum(entity == "recent" and tags["recent_events"] is None for (entity, _), tags in ours.items())
    print(f"{len(ours)} keys equal, {over} forgotten")


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2])
    else:
        compare(sys.argv[2], int(sys.argv[3]), sys.argv[4])
