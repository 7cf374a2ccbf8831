"""Writes events, or compares the patches that adprof made of them with SQL written by hand for DuckDB.

    definitions.py write EVENTS.ndjson CSV
    definitions.py compare CSV AS_OF PATCHES.ndjson

The CSV holds the distinct, well-typed cells of the same events, so that no JSON reader stands between the numbers and
DuckDB. SQL here and tags in definitions.toml are two statements of the same facts, kept side by side by their codes.
"""

import csv
import json
import random
import sys
from decimal import Decimal

START = 1_735_689_600_000
USERS = ["u-1", "ü-2", "用户 3", "😀4", "a:b{}*/../5", "=cmd|6", "O'Brien \"7\"", "\u05e9\u05dc8"]
CATEGORIES = ["sports", "Sports", "été", "體育", "a%b_c", "", "caf\u00e9", "cafe\u0301", "😀", None]
COLUMNS = {
    "eventId": "VARCHAR", "userId": "VARCHAR", "eventType": "VARCHAR", "ts": "BIGINT", "category": "VARCHAR",
    "amount": "DECIMAL(38,6)", "duration": "BIGINT", "score": "DOUBLE", "vip": "BOOLEAN", "coupon": "VARCHAR",
    "price": "DECIMAL(38,6)",
}
NULL = "\\N"


def amount(r):
    return r.choice([
        Decimal(r.randrange(-5_000_000, 50_000_000)).scaleb(-6), Decimal(r.randrange(10_000)).scaleb(-2),
        Decimal("0.1"), Decimal("0.2"), Decimal("999999999999.999999"), Decimal(-7), Decimal(0), None,
    ])


def event(r, n):
    """One event, and its cells as the declarations mean them: a value of another type is NULL."""
    e = {
        "eventId": f"e{r.randrange(10**9)}-{n}", "userId": r.choice(USERS),
        "eventType": r.choice(["click", "click", "view", "purchase", "refund"]),
        "timestamp": START + r.choice([r.randrange(40 * 86_400_000), r.randrange(3_600_000), 0, 3_600_000]),
    }
    cells = {"eventId": e["eventId"], "userId": e["userId"], "eventType": e["eventType"], "ts": e["timestamp"]}
    cells["category"], cells["amount"] = r.choice(CATEGORIES), amount(r)
    for name in ("category", "amount"):
        if cells[name] is not None or r.random() < 0.5:
            e[name] = cells[name]
    deep = {"sub": {}}
    cells["duration"] = r.choice([r.randrange(10**6), 2**53 + 1, -3, None])
    cells["score"] = r.choice([r.randrange(-4000, 4000) / 8, 0.5, None])
    cells["vip"] = r.choice([True, False, None])
    cells["coupon"] = r.choice(["A", "b", "ß", None])
    cells["price"] = r.choice([Decimal("0.10"), Decimal("12.345678"), None])
    wrong = {"duration": "12", "score": "0.5", "vip": "true", "coupon": 5, "price": "1"}
    for name in wrong:
        place = deep["sub"] if name in ("coupon", "price") else deep
        if cells[name] is not None:
            place[name] = cells[name]
        elif r.random() < 0.5:
            place[name] = wrong[name]
    e["properties"] = deep
    return e, cells


def text(value):
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{text(v)}" for k, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=len(str(value)) % 2 == 0)


def write(events, cells_of):
    r = random.Random(11)
    made = [event(r, n) for n in range(4000)]
    lines = [text(e) for e, _ in made]
    lines += r.sample(lines, 200)
    with open(events, "w", encoding="utf-8") as f:
        f.writelines(line + "\n" for line in lines)
    with open(cells_of, "w", encoding="utf-8", newline="") as f:
        out = csv.writer(f, quoting=csv.QUOTE_ALL)
        for _, cells in made:
            out.writerow([shown(cells[name]) for name in COLUMNS])


def shown(value):
    if value is None:
        return NULL
    return format(value, "f") if isinstance(value, Decimal) else str(value)


HOUR, DAY = 3600, 86400


def within(seconds, step=1):
    """The rule of windows, from the manual: ts <= T and floor(T / r) - floor(ts / r) < w / r."""
    return f"$t // {step * 1000} - ts // {step * 1000} < {seconds // step}"


# `count` of nothing is 0 for a user who has events at all.
TAGS = {
    "n": "count(*)",
    "n_amount": "count(amount)",
    "n_1h": f"count(*) FILTER ({within(HOUR)})",
    "n_10m": f"count(*) FILTER ({within(600, 60)})",
    "n_30d": f"count(*) FILTER ({within(30 * DAY, HOUR)})",
    "n_40d": f"count(*) FILTER ({within(40 * DAY, DAY)})",
    "spent": "sum(amount) FILTER (eventType = 'purchase')",
    "balance": "sum(CASE eventType WHEN 'purchase' THEN amount WHEN 'refund' THEN -amount END)",
    "spent_7d": f"sum(amount) FILTER (eventType = 'purchase' AND {within(7 * DAY, HOUR)})",
    "cheapest": "min(amount)",
    "dearest_1d": f"max(amount) FILTER ({within(DAY, 60)})",
    # Exact in whole millionths, halves away from zero.
    "mean": "sign(sum(amount)) * ((2 * abs(sum(amount) * 1000000)::HUGEINT + count(amount)) // (2 * count(amount)))"
    "::DECIMAL(38,6) * 0.000001",
    "categories": "count(DISTINCT category)",
    "categories_30d": f"count(DISTINCT category) FILTER ({within(30 * DAY, HOUR)})",
    "first_category": "arg_min(category, (ts, eventId)) FILTER (category IS NOT NULL)",
    "last_category": "arg_max(category, (ts, eventId)) FILTER (category IS NOT NULL AND eventType = 'click')",
    "last_category_7d": f"arg_max(category, (ts, eventId)) FILTER (category IS NOT NULL AND {within(7 * DAY, HOUR)})",
    "least_category": "min(category)",
    "seen_first": "min(ts)",
    "seen_last": "max(ts)",
    "watched": "sum(duration)",
    "watched_most_1d": f"max(duration) FILTER ({within(DAY, 60)})",
    "score": "sum(score)",
    "score_best": "max(score * 2)",
    "vip": "count(*) FILTER (vip)",
    "not_vip": "count(*) FILTER (NOT vip)",
    "coupons": "count(DISTINCT coupon)",
    "coupon": "arg_max(upper(coupon), (ts, eventId)) FILTER (coupon IS NOT NULL AND coupon <> 'ß')",
    "price": "sum(coalesce(price, amount))",
    "odd": "count(*) FILTER (category LIKE 'caf_' OR category LIKE '%!%b!_%' ESCAPE '!')",
    "chosen": "count(*) FILTER (category IN ('sports', '體育') AND duration BETWEEN 0 AND 500000)",
    "no_category": "count(*) FILTER (category IS NULL OR category = '')",
    "not_sports": "count(*) FILTER (category <> 'sports')",
}
DERIVED = {
    "rank": "CASE WHEN spent >= 1000000 THEN 'gold' WHEN spent > 0 THEN 'silver' ELSE 'none' END",
    "rank_name": "lower(trim('  ' || upper(CASE WHEN spent >= 1000000 THEN 'gold' WHEN spent > 0 THEN 'silver' ELSE 'none' END)))",
    "active": "n_30d > 0 AND coalesce(vip, 0) >= 1",
    "net": "coalesce(spent, 0) - coalesce(balance, 0)",
    "idle_ms": "$t - seen_last",
}


def compare(cells_of, as_of, patches):
    import duckdb

    db = duckdb.connect()
    db.execute(
        "CREATE TABLE e AS SELECT * FROM read_csv($f, header = false, columns = $c, nullstr = $n, quote = '\"',"
        " escape = '\"', allow_quoted_nulls = true)",
        {"f": cells_of, "c": COLUMNS, "n": NULL},
    )
    tags = ", ".join(f"{sql} AS {code}" for code, sql in TAGS.items())
    derived = ", ".join(f"{sql} AS {code}" for code, sql in DERIVED.items())
    rows = db.execute(
        f"WITH a AS (SELECT userId, {tags} FROM e WHERE ts <= $t GROUP BY userId) SELECT *, {derived} FROM a",
        {"t": as_of},
    ).fetchall()
    theirs = {row[0]: dict(zip([*TAGS, *DERIVED], row[1:])) for row in rows}
    with open(patches, encoding="utf-8") as f:
        ours = {p["userId"]: p["tags"] for p in (json.loads(line, parse_float=Decimal) for line in f)}
    wrong = [f"users: {ours.keys() ^ theirs.keys()}"] if ours.keys() != theirs.keys() else []
    for user in ours.keys() & theirs.keys():
        wrong += [f"tags: {ours[user].keys() - theirs[user].keys()}"] if ours[user].keys() - theirs[user].keys() else []
        for code, want in theirs[user].items():
            have = ours[user].get(code)
            if isinstance(want, float):
                want = Decimal(repr(want))
            if isinstance(have, bool) != isinstance(want, bool) or have != want:
                wrong.append(f"{user!r} {code}: {have!r}, by DuckDB {want!r}")
    if wrong:
        sys.exit("\n".join(wrong[:20] + [f"{len(wrong)} differences as of {as_of}"]))
    print(f"{len(ours)} users, {len(TAGS) + len(DERIVED)} tags equal")


if sys.argv[1] == "write":
    write(*sys.argv[2:])
else:
    compare(sys.argv[2], int(sys.argv[3]), sys.argv[4])
