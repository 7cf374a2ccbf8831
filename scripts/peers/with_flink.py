#!/usr/bin/env python3
"""with_flink.py: the tags of the benchmark in Flink's SQL, as a batch job in one process of its own; flags in common.py.

Flink's batch SQL has no arg_max: the last category is the largest of (time, eventId, category) written as one text,
in which the time has a fixed width and U+0001 ends the id. Other ways to deduplicate (GROUP BY with MAX of the rest, DISTINCT),
one phase of aggregation instead of two, object reuse, and the last click in a join of its own were no faster.
"""

import os
import sys
from importlib.metadata import version
from pathlib import Path

from common import Clock, arguments, eight_only, tell

EVENTS = """
CREATE TABLE events (
    tenantId STRING, userId STRING, eventId STRING, eventType STRING, `timestamp` BIGINT, category STRING,
    amount DECIMAL(18, 2)
) WITH ('connector' = 'filesystem', 'path' = '{input}', 'format' = 'json')"""
PROFILES = """
CREATE TABLE profiles (
    userId STRING, clicks_1h_count BIGINT, last_click_category STRING, last_active_ts BIGINT, ltv_total DECIMAL(38, 2),
    segment_id STRING, purchases_count BIGINT, first_active_ts BIGINT, views_7d BIGINT
) WITH ('connector' = 'filesystem', 'path' = '{output}', 'format' = 'json')"""
STATEMENT = """
INSERT INTO profiles
SELECT userId, clicks_1h_count, SUBSTRING(newest FROM POSITION(U&'\\0001' IN newest) + 1), last_active_ts, ltv_total,
    CASE WHEN ltv_total >= 100 THEN 'high_value_user' WHEN ltv_total > 0 THEN 'buyer' ELSE 'browser' END,
    purchases_count, first_active_ts, views_7d
FROM (
    SELECT userId,
        COUNT(*) FILTER (WHERE eventType = 'click' AND {as_of_s} - ts / 1000 < 3600) AS clicks_1h_count,
        MAX(CASE WHEN eventType = 'click' AND category IS NOT NULL
            THEN LPAD(CAST(ts AS STRING), 15, '0') || eventId || U&'\\0001' || category END) AS newest,
        MAX(ts) AS last_active_ts,
        SUM(amount) FILTER (WHERE eventType = 'purchase') AS ltv_total,
        COUNT(*) FILTER (WHERE eventType = 'purchase') AS purchases_count,
        MIN(ts) AS first_active_ts,
        COUNT(*) FILTER (WHERE eventType = 'view' AND {as_of_h} - ts / 3600000 < 168) AS views_7d
    FROM ({once}) WHERE ts <= {as_of} GROUP BY userId
)"""
# Of several events with one identity any will do.
ONCE = """
    SELECT userId, eventId, eventType, `timestamp` AS ts, category, amount FROM (
        SELECT *, ROW_NUMBER() OVER (PARTITION BY tenantId, userId, eventId ORDER BY `timestamp`) AS n FROM events
    ) WHERE n = 1"""


def environment(args):
    from pyflink.table import EnvironmentSettings, TableEnvironment

    table = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
    settings = {
        "parallelism.default": str(args.threads),
        "taskmanager.numberOfTaskSlots": str(args.threads),
        "taskmanager.memory.managed.size": "3g",
        "taskmanager.memory.network.min": "256m",
        "taskmanager.memory.network.max": "256m",
        "table.exec.resource.default-parallelism": str(args.threads),
        "rest.bind-address": "127.0.0.1",
        "rest.address": "127.0.0.1",
    }
    for key, value in settings.items():
        table.get_config().set(key, value)
    return table


def main():
    args = arguments(__doc__)
    eight_only(args, "flink")
    os.environ["PYFLINK_PYTHON"] = sys.executable
    table = environment(args)
    with Clock() as clock:
        table.execute_sql(EVENTS.format(input=Path(args.input).resolve().as_uri()))
        table.execute_sql(PROFILES.format(output=Path(args.output).resolve().as_uri()))
        as_of = {"as_of": args.as_of, "as_of_s": args.as_of // 1000, "as_of_h": args.as_of // 3_600_000}
        table.execute_sql(STATEMENT.format(once=ONCE, **as_of)).wait()
    tell("Flink", version("apache-flink"), clock)


if __name__ == "__main__":
    main()
