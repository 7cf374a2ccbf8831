"""Writes files of Parquet by DuckDB, and as NDJSON the events that must come out of them: write.py FOLDER."""
import json
import sys
import duckdb

folder = sys.argv[1]
N = 6000
# As adprof names the fields, in the types people have: microseconds, a short decimal, a dictionary, nulls, nested values.
duckdb.sql(f"""
CREATE TABLE events AS SELECT
  'e-' || i AS "eventId", 'u-' || (i % 50) AS "userId",
  CASE WHEN i % 3 = 0 THEN 'purchase' ELSE 'click' END AS "eventType",
  make_timestamp(1762041600000000 + i * 1000000 + 789) AS "timestamp",
  1762041600000 + i * 1000 + 500 AS "receivedAt",
  CASE WHEN i % 3 = 0 THEN ((i % 700) - 350)::DECIMAL(9, 2) / 4 END::DECIMAL(9, 2) AS amount,
  CASE WHEN i % 4 > 0 THEN 'c' || (i % 9) END AS category,
  i % 2 = 0 AS "isNew", (i % 256)::UTINYINT AS small, (i * 1000000007)::BIGINT AS big,
  18446744073709551615::UBIGINT AS most, (i / 8)::DOUBLE AS score,
  DATE '2026-01-31' + (i % 60)::INTEGER AS born, TIME '12:34:56.5' AS at,
  ['a', 'b' || i] AS tags, {{'x': i, 'y': {{'z': 'é"' || chr(10)}}}} AS nested, MAP {{'k' || (i % 3): i}} AS counts,
  '00112233-4455-6677-8899-aabbccddeeff'::UUID AS device,
  -12345678901234567890.120000000::DECIMAL(38, 9) AS wide
FROM (SELECT range AS i FROM range({N}))
""")
for codec in ("snappy", "zstd", "uncompressed"):
    duckdb.sql(f"COPY events TO '{folder}/{codec}.parquet' (FORMAT parquet, COMPRESSION {codec}, ROW_GROUP_SIZE 2048)")
with open(f"{folder}/want.ndjson", "w", encoding="utf-8") as out:
    for i in range(N):
        event = {"eventId": f"e-{i}", "userId": f"u-{i % 50}", "eventType": "purchase" if i % 3 == 0 else "click",
                 "timestamp": 1762041600000 + i * 1000, "receivedAt": 1762041600000 + i * 1000 + 500}
        if i % 3 == 0:
            cents = ((i % 700) - 350) * 25
            event["amount"] = cents // 100 if cents % 100 == 0 else cents / 100
        if i % 4 > 0:
            event["category"] = f"c{i % 9}"
        day = 30 + i % 60  # from the first of January
        month = 1 if day < 31 else 2 if day < 59 else 3
        score = i / 8
        event |= {"isNew": i % 2 == 0, "small": i % 256, "big": i * 1000000007, "most": 18446744073709551615,
                  "score": score, "born": f"2026-{month:02}-{day - (0, 0, 31, 59)[month] + 1:02}",
                  "at": "12:34:56.5", "tags": ["a", f"b{i}"], "nested": {"x": i, "y": {"z": 'é"\n'}},
                  "counts": {f"k{i % 3}": i}, "device": "00112233-4455-6677-8899-aabbccddeeff", "wide": "WIDE"}
        out.write(json.dumps(event, ensure_ascii=False).replace('"WIDE"', "-12345678901234567890.12") + "\n")
# Other names, for a map; a type without a form in JSON; a number that is none.
duckdb.sql(f"COPY (SELECT uuid AS id, i AS uid, 'buy' AS action, epoch AS seconds, price FROM (SELECT range AS i, 'x-' || range AS uuid,"
           f" 1762041600 + range AS epoch, 1.005 + range AS price FROM range(10))) TO '{folder}/foreign.parquet' (FORMAT parquet)")
duckdb.sql(f"COPY (SELECT 'e' AS \"eventId\", INTERVAL 3 DAYS AS span) TO '{folder}/interval.parquet' (FORMAT parquet)")
duckdb.sql(f"""COPY (SELECT 'e' || i AS "eventId", 'u' AS "userId", 'click' AS "eventType", 1762041600000 AS "timestamp",
  CASE i WHEN 0 THEN 'nan'::DOUBLE WHEN 1 THEN 0.1::DOUBLE + 0.2::DOUBLE ELSE 2.5::DOUBLE END AS amount FROM range(3) t(i))
  TO '{folder}/doubles.parquet' (FORMAT parquet)""")
