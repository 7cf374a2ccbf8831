"""bench.segments: the size of an audience of many profiles, by adprof and others. Prints Markdown.

    python3 -m bench.segments --program ADPROF --asker PROGRAM --dir DIR [--users N] [--runs N] [--write-docs]

PROGRAM is that of benches/segments.rs: it generates the profiles, indexes them, and asks the same rule of ten conditions by the
index and by a scan. DuckDB asks it of the same profiles in Parquet, ClickHouse (chdb) of the same Parquet and of bitmaps, one
for each value of each tag (groupBitmapState). All have to find the same number of users. A Redis of its own gets 100,000 of the
profiles, for the segments of one user through Redis; without redis-server that row is left out.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from . import machine, report
from .process import clean_environment, say
from .redis import Redis

AS_OF = 1_790_000_000_000
MONTH = AS_OF - 30 * 86_400_000
RULE = f"""age >= 25 AND age < 55 AND (city IN ('city-07', 'city-11', 'city-42') OR plan = 'gold' OR ltv >= 150)
    AND NOT (vip = true AND score < 20) AND orders > 2 AND last_active > {MONTH} AND city IS NOT NULL"""
COLUMNS = {
    "age": "INTEGER",
    "city": "VARCHAR",
    "plan": "VARCHAR",
    "vip": "BOOLEAN",
    "orders": "INTEGER",
    "ltv": "DECIMAL(18,6)",
    "score": "INTEGER",
    "last_active": "BIGINT",
}

# Each engine in a process of its own: it prepares, asks once to warm up, then RUNS times, and prints milliseconds and the size.
DUCKDB = """
import duckdb, json, sys, time
file, rule, runs, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
db = duckdb.connect(config={"threads": threads})
ask = lambda: db.execute(f"SELECT count(*) FROM '{file}' WHERE {rule}").fetchone()[0]
size, times = ask(), []
for _ in range(runs):
    began = time.perf_counter(); size = ask(); times.append((time.perf_counter() - began) * 1e3)
print(json.dumps({"size": size, "ms": times, "version": duckdb.__version__}))
"""
CHDB = """
import json, sys, time
from chdb.session import Session
file, rule, runs, threads, dir = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5]
db = Session(dir)
q = lambda sql: str(db.query(sql, "TabSeparated")).strip()
q(f"SET max_threads = {threads}")
q("CREATE DATABASE IF NOT EXISTS b ENGINE = Atomic")
q("CREATE TABLE b.bits (tag String, n Int64, t String, users AggregateFunction(groupBitmap, UInt32)) ENGINE = MergeTree ORDER BY (tag, n, t)")
began = time.perf_counter()
numbers = {"age": "age", "orders": "orders", "score": "score", "ltv": "toInt64(ltv * 100)", "active_s": "intDiv(last_active, 1000)",
           "vip": "toInt64(vip)"}
for tag, n in numbers.items():
    q(f"INSERT INTO b.bits SELECT '{tag}', {n} AS n, '', groupBitmapState(assumeNotNull(toUInt32(id))) FROM file('{file}', Parquet) "
      f"WHERE isNotNull({n}) GROUP BY n" if tag != "active_s" else
      # By day where a whole day is in or out, as one keeps instants in bitmaps.
      f"INSERT INTO b.bits SELECT 'active', intDiv(last_active, 86400000) AS n, '', groupBitmapState(assumeNotNull(toUInt32(id))) "
      f"FROM file('{file}', Parquet) WHERE isNotNull(last_active) AND last_active > " + sys.argv[6] + " GROUP BY n")
for tag in ("city", "plan"):
    q(f"INSERT INTO b.bits SELECT '{tag}', 0, {tag} AS t, groupBitmapState(assumeNotNull(toUInt32(id))) FROM file('{file}', Parquet) "
      f"WHERE isNotNull({tag}) GROUP BY t")
q("OPTIMIZE TABLE b.bits FINAL")
built = time.perf_counter() - began
bits = lambda where: f"(SELECT groupBitmapMergeState(users) FROM b.bits WHERE {where})"
young = bits("tag = 'age' AND n >= 25 AND n < 55")
some = f"bitmapOr(bitmapOr({bits('''tag = 'city' AND t IN ('city-07', 'city-11', 'city-42')''')}, {bits('''tag = 'plan' AND t = 'gold' ''')}), {bits('''tag = 'ltv' AND n >= 15000''')})"
# NOT of an AND is true where one of the two is false.
spared = f"bitmapOr({bits('''tag = 'vip' AND n = 0''')}, {bits('''tag = 'score' AND n >= 20''')})"
rest = [bits("tag = 'orders' AND n > 2"), bits("tag = 'active'"), bits("tag = 'city'")]
all = young
for part in [some, spared, *rest]:
    all = f"bitmapAnd({all}, {part})"
ask_bits = lambda: int(q(f"SELECT bitmapCardinality({all})"))
ask_scan = lambda: int(q(f"SELECT count() FROM file('{file}', Parquet) WHERE {rule}"))
told = {"version": q("SELECT version()"), "built_s": built,
        "bytes": int(q("SELECT sum(bytes_on_disk) FROM system.parts WHERE database = 'b' AND active"))}
for name, ask, n in (("bits", ask_bits, runs), ("scan", ask_scan, min(runs, 3))):
    size, times = ask(), []
    for _ in range(n):
        began = time.perf_counter(); size = ask(); times.append((time.perf_counter() - began) * 1e3)
    told[name] = {"size": size, "ms": times}
print(json.dumps(told))
"""


def arguments():
    parser = argparse.ArgumentParser(
        prog="bench.segments", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--program", required=True)
    parser.add_argument("--asker", required=True, help="the program of benches/segments.rs")
    parser.add_argument("--dir", required=True)
    parser.add_argument("--users", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2, help="of DuckDB and ClickHouse; adprof's index has all cores, its scan one")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/benchmarks.md")
    return parser.parse_args()


def told(command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=clean_environment())
    if done.returncode != 0:
        sys.exit(f"bench: {command[0]}: {done.stderr.strip()}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def python(script, *args):
    return told([os.environ.get("ADPROF_PEERS_PYTHON", sys.executable), "-c", script, *args])


def parquet(csv, file):
    columns = json.dumps({"id": "UINTEGER", **COLUMNS})
    script = (
        "import duckdb, json, sys\n"
        "columns = json.loads(sys.argv[3])\n"
        "duckdb.execute(\"COPY (SELECT * FROM read_csv(?, header=true, columns=\" + str(columns) + \")) "
        "TO '\" + sys.argv[2] + \"' (FORMAT parquet)\", [sys.argv[1]])\n"
        "print('{}')\n"
    )
    python(script, csv, file, columns)


def through_redis(args, store, work):
    """Quantiles of reading a profile in a Redis of our own and deciding the rules."""
    server = Redis(work)
    try:
        said = told([args.asker, "--users", args.users, "--store", store, "--redis", server.url, "--json"])
        info = server.ask("INFO", "server")
    finally:
        server.kill()
    version = next(line.partition(":")[2] for line in info.splitlines() if line.startswith("redis_version:"))
    return {**said, "version": version}


def ms(times):
    times = sorted(times)
    return f"{statistics.median(times):.2f} ms ({times[0]:.2f}-{times[-1]:.2f})"


def row(name, times, ours):
    ratio = statistics.median(times) / ours
    return [name, ms(times), len(times), f"{ratio:.1f}" if ratio < 100 else f"{ratio:,.0f}"]


def mib(n):
    return f"{n / 2**20:,.0f} MiB"


def main():
    args = arguments()
    work, load = Path(args.dir).resolve(), machine.load()
    store, csv, file = work / "store", work / "profiles.csv", work / "profiles.parquet"
    say(f"generating {args.users:,} profiles")
    ours = told([args.asker, "--users", args.users, "--runs", args.runs, "--store", store, "--csv", csv, "--json"])
    parquet(csv, file)
    csv.unlink()
    say("DuckDB")
    duckdb = python(DUCKDB, file, RULE, args.runs, args.threads)
    say("ClickHouse")
    chdb = python(CHDB, file, RULE, args.runs, args.threads, work / "chdb", MONTH)
    sizes = {"index": ours["size"], "duckdb": duckdb["size"], "bits": chdb["bits"]["size"], "chdb": chdb["scan"]["size"]}
    if len(set(sizes.values())) != 1:
        sys.exit(f"bench: the engines disagree: {sizes}")
    said = through_redis(args, store, work) if shutil.which("redis-server") else None
    index = statistics.median(ours["index_ms"])
    rows = [
        row("adprof, index", ours["index_ms"], index),
        row("ClickHouse, bitmaps", chdb["bits"]["ms"], index),
        row("DuckDB, Parquet", duckdb["ms"], index),
        row("ClickHouse, Parquet", chdb["scan"]["ms"], index),
        row("adprof, full scan of the store", ours["scan_ms"], index),
    ]
    match = [["embedded store", *(f"{ours['match_us'][q]:.1f} µs" for q in ("p50", "p99", "p999"))]]
    if said:
        match.append([f"Redis {said['version']}", *(f"{said['match_us'][q]:.0f} µs" for q in ("p50", "p99", "p999"))])
    lines = [
        machine.machine(),
        machine.versions(str(Path(args.program).resolve()), [f"DuckDB {duckdb['version']}", f"chdb {chdb['version']}"]),
        f"- input: {args.users:,} profiles of eight tags, each missing for one user in ten; {ours['size']:,} users found by all",
        machine.day("the named", load),
        f"- threads: {os.cpu_count()} of adprof's index, one of its scan and of what matches, {args.threads} of DuckDB and of ClickHouse",
        f"- index: made in {ours['index_built_s']:.1f} s, {mib(ours['index_bytes'])} on the disk beside {mib(ours['store_bytes'])} of "
        f"profiles, {mib(ours['resident_bytes'])} of memory of its own; bitmaps of ClickHouse: {chdb['built_s']:.1f} s, "
        f"{mib(chdb['bytes'])}; Parquet: {mib(file.stat().st_size)}",
        f"- rule: `{ours['rule']}`",
    ]
    text = "\n".join(lines) + "\n\n" + report.table(["size of the audience", "time", "runs", "/ index"], rows)
    text += "\n\n" + report.table(["1,000 segments, one user", "p50", "p99", "p99.9"], match)
    report.publish("segments", text, args.write_docs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
