#!/usr/bin/env python3
"""engine.py: one engine, started once, that runs statements of `adprof compile`.

    engine.py duckdb|clickhouse|spark|flink

Reads on stdin one path of a file with SQL a line; writes for each one line of JSON: {"rows": [{userId: …, tag: …}, …]} or
{"error": "…"}. A value is null, true, false, a text in quotes, {"n": "150.75"} for an exact number or {"x": "0x1.8p+1"}
for a double. The first line is {"version": "…"}.
"""

import json
import os
import sys
from decimal import Decimal, getcontext

# A decimal of an engine has 38 digits.
getcontext().prec = 80


def plain(value):
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, float):
        return {"x": (value + 0.0).hex()}
    if isinstance(value, (int, Decimal)):
        return {"n": format(Decimal(value).normalize() + 0, "f")}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {"m": {key: plain(item) for key, item in value.items()}}
    raise TypeError(f"{type(value)}: {value!r}")


class DuckDb:
    def __init__(self):
        import duckdb

        self.version = duckdb.__version__
        self.connection = duckdb.connect()

    def rows(self, sql):
        found = self.connection.execute(sql)
        names = [column[0] for column in found.description]
        return [dict(zip(names, row)) for row in found.fetchall()]


class ClickHouse:
    def __init__(self):
        import chdb

        self.chdb = chdb
        self.version = str(chdb.query("SELECT version()")).strip().strip('"')

    def rows(self, sql):
        # Numbers beyond a double as text, and every column with its type.
        settings = "output_format_json_quote_64bit_integers=1, output_format_json_quote_decimals=1, "
        settings += "output_format_json_quote_64bit_floats=1, output_format_json_quote_denormals=1"
        sql = sql.rstrip().rstrip(";").replace("\nSETTINGS ", f"\nSETTINGS {settings}, ")
        found = json.loads(str(self.chdb.query(sql, "JSON")))
        types = {column["name"]: column["type"] for column in found["meta"]}
        return [{name: self.value(value, types[name]) for name, value in row.items()} for row in found["data"]]

    def value(self, value, ty):
        ty = ty.removeprefix("LowCardinality(").removeprefix("Nullable(").rstrip(")")
        if value is None or ty.startswith(("String", "Bool")):
            return value
        if ty.startswith("Float"):
            return float(value)
        return Decimal(value)


class Spark:
    def __init__(self):
        os.environ["PYSPARK_PYTHON"] = sys.executable
        from pyspark.sql import SparkSession

        settings = {
            "spark.ui.enabled": "false",
            "spark.driver.memory": "3g",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.sql.shuffle.partitions": "2",
            "spark.log.level": "OFF",
            "spark.ui.showConsoleProgress": "false",
            # A statement is compiled for one run: the time goes into generating code.
            "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        }
        builder = SparkSession.builder.master("local[2]").appName("engines")
        for key, value in settings.items():
            builder = builder.config(key, value)
        self.spark = builder.getOrCreate()
        self.version = self.spark.version

    def rows(self, sql):
        return [row.asDict() for row in self.spark.sql(sql.rstrip().rstrip(";")).collect()]


class Flink:
    def __init__(self):
        os.environ["PYFLINK_PYTHON"] = sys.executable
        from importlib.metadata import version

        from pyflink.table import EnvironmentSettings, TableEnvironment

        self.version = version("apache-flink")
        self.table = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
        settings = {"parallelism.default": "1", "rest.bind-address": "127.0.0.1", "rest.address": "127.0.0.1"}
        for key, value in settings.items():
            self.table.get_config().set(key, value)

    def rows(self, sql):
        for name in self.table.list_temporary_tables():
            self.table.execute_sql(f"DROP TEMPORARY TABLE `{name}`")
        *before, query = [part for part in sql.rstrip().rstrip(";").split(";\n") if part.strip()]
        for statement in before:
            if not statement.strip().startswith("SET") and "\nSET " not in statement:
                self.table.execute_sql(statement)
        found = self.table.execute_sql(query)
        names = found.get_table_schema().get_field_names()
        with found.collect() as rows:
            return [dict(zip(names, list(row))) for row in rows]


ENGINES = {"duckdb": DuckDb, "clickhouse": ClickHouse, "spark": Spark, "flink": Flink}


def main():
    # What a JVM or a library prints must not get between the lines.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        engine = ENGINES[sys.argv[1]]()
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers, flush=True)
        sys.exit(1)
    print(json.dumps({"version": engine.version}), file=answers, flush=True)
    for line in sys.stdin:
        try:
            with open(line.strip(), encoding="utf-8") as file:
                sql = file.read()
            rows = [{name: plain(value) for name, value in row.items()} for row in engine.rows(sql)]
            answer = {"rows": rows}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
