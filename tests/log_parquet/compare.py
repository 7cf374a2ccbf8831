"""Compares a Parquet file of events, as DuckDB reads it, or lines, with the lines of a log: compare.py LOG.ndjson OTHER.

Nothing passes through a float: numbers are compared as they were written, amounts as exact decimals.
"""
import json
import sys
from decimal import Decimal

KNOWN = ["eventId", "userId", "eventType", "timestamp", "receivedAt", "amount", "category", "itemId", "tenantId",
         "scenarioId", "campaignId", "sessionId", "orderId", "deviceId"]


class Number(str):
    """A number as it was written; a text of the same letters is another value."""
    def __eq__(self, other):
        return isinstance(other, Number) and str(self) == str(other)
    __hash__ = str.__hash__


def parsed(text):
    return json.loads(text, object_pairs_hook=list, parse_float=Number, parse_int=Number)


def event(text):
    """The known fields that are there, and the others in their order."""
    pairs = parsed(text)
    known = {name: value for name, value in pairs if name in KNOWN and value is not None}
    if "amount" in known:
        known["amount"] = Decimal(known["amount"])
    return known, [pair for pair in pairs if pair[0] not in KNOWN]


def rows(path):
    import duckdb
    columns = ["eventId", "userId", "eventType", "epoch_ms(timestamp)", "epoch_ms(receivedAt)", "amount"] + KNOWN[6:]
    found = duckdb.sql(f"SELECT {', '.join(columns)}, extra::VARCHAR FROM '{path}'").fetchall()
    for *values, extra in found:
        known = {name: value for name, value in zip(KNOWN, values) if value is not None}
        for name in ("timestamp", "receivedAt"):
            if name in known:
                known[name] = Number(known[name])
        yield known, parsed(extra) if extra is not None else []


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [event(line) for line in file.read().split("\n") if line]


want = lines(sys.argv[1])
got = list(rows(sys.argv[2]) if sys.argv[2].endswith(".parquet") else lines(sys.argv[2]))
for number, (one, other) in enumerate(zip(want, got)):
    assert one == other, f"event {number}: {one}\n{other}"
assert len(want) == len(got), (len(want), len(got))
print("same", len(want))
