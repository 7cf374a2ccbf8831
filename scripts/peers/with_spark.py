#!/usr/bin/env python3
"""with_spark.py: the tags of the benchmark in Spark, in one process of its own; flags in common.py.

One shuffle: events are spread by user, and both dropDuplicates and the fold find what they need in one partition; with two
shuffles, by event and by user, it took a sixth more CPU time.
"""

import os
import sys

from common import Clock, arguments, eight_only, tell

SCHEMA = """tenantId STRING, userId STRING, eventId STRING, eventType STRING, timestamp BIGINT, category STRING,
    amount DECIMAL(18,2)"""
STATEMENT = """
SELECT *, CASE WHEN ltv_total >= 100 THEN 'high_value_user' WHEN ltv_total > 0 THEN 'buyer' ELSE 'browser' END AS segment_id
FROM (
    SELECT userId,
        count_if(eventType = 'click' AND {as_of} DIV 1000 - timestamp DIV 1000 < 3600) AS clicks_1h_count,
        max_by(category, struct(timestamp, eventId)) FILTER (WHERE eventType = 'click' AND category IS NOT NULL)
            AS last_click_category,
        max(timestamp) AS last_active_ts,
        sum(amount) FILTER (WHERE eventType = 'purchase') AS ltv_total,
        count_if(eventType = 'purchase') AS purchases_count,
        min(timestamp) AS first_active_ts,
        count_if(eventType = 'view' AND {as_of} DIV 3600000 - timestamp DIV 3600000 < 168) AS views_7d
    FROM once WHERE timestamp <= {as_of} GROUP BY userId
)"""


def session(args):
    from pyspark.sql import SparkSession

    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.memory": "8g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": str(4 * args.threads),
        "spark.sql.session.timeZone": "UTC",
        # On one machine compressing the shuffle costs more than it saves.
        "spark.shuffle.compress": "false",
        "spark.local.dir": os.path.dirname(os.path.abspath(args.output)),
        "spark.log.level": "ERROR",
        "spark.ui.showConsoleProgress": "false",
    }
    builder = SparkSession.builder.master(f"local[{args.threads}]").appName("bench")
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def main():
    args = arguments(__doc__)
    eight_only(args, "spark")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    spark = session(args)
    with Clock() as clock:
        events = spark.read.schema(SCHEMA).json(args.input)
        once = events.repartition("userId").dropDuplicates(["tenantId", "userId", "eventId"])
        once.createOrReplaceTempView("once")
        spark.sql(STATEMENT.format(as_of=args.as_of)).write.mode("overwrite").json(args.output)
    tell("Spark", spark.version, clock)
    spark.stop()


if __name__ == "__main__":
    main()
