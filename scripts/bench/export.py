"""bench.export: profiles as CSV, NDJSON and Parquet, by `adprof export` and by COPY of DuckDB. Prints Markdown.

    python3 -m bench.export --program ADPROF --dir DIR [--users N] [--runs N]

The same six values a user lie in an embedded store and in a table of DuckDB's own format. Each file of adprof is read back by
DuckDB and has the same sums. The best run counts. adprof decodes a store row by row; DuckDB copies columns that lie there as such,
with one thread and with all. Memory is the most that the process had beside files that are mapped, where /proc tells it.
"""

import argparse
import json
import os
import subprocess
import time
from pathlib import Path

from .process import clean_environment, run, say

DEFINITIONS = "".join(
    f'[[tag]]\ncode = "{code}"\ntype = "{kind}"\nupdate = "import"\n'
    for code, kind in [("age", "int"), ("city", "string"), ("ltv", "decimal"), ("score", "double"), ("vip", "bool"),
                       ("seen", "datetime")]
)
FORMATS = {"csv": "FORMAT csv, HEADER", "ndjson": "FORMAT json", "parquet": "FORMAT parquet, COMPRESSION zstd"}

TABLE = """
CREATE TABLE p AS SELECT userId, tags.age::BIGINT age, tags.city::VARCHAR city, tags.ltv::DECIMAL(38,6) ltv, tags.score::DOUBLE score,
    tags.vip::BOOLEAN vip, epoch_ms(tags.seen::BIGINT) seen
FROM read_json('patches.ndjson', format='newline_delimited', columns={'userId': 'VARCHAR',
    'tags': 'STRUCT(age BIGINT, city VARCHAR, ltv VARCHAR, score DOUBLE, vip BOOLEAN, seen BIGINT)'})
"""
SUMS = "SELECT count(*), count(DISTINCT userId), sum(age), count(city), sum(ltv)::VARCHAR, round(sum(score), 3), count(*) FILTER (WHERE vip) FROM "
READ = {
    "csv": "read_csv('ours.csv', types={'ltv': 'DECIMAL(38,6)'})",
    "ndjson": "(SELECT userId, unnest(tags) FROM read_json('ours.ndjson', format='newline_delimited', columns={'userId': 'VARCHAR',"
              " 'tags': 'STRUCT(age BIGINT, city VARCHAR, ltv DECIMAL(38,6), score DOUBLE, vip BOOLEAN)'}))",
    "parquet": "'ours.parquet'",
}
PEER = """
import duckdb, json, sys, time
job = json.loads(sys.argv[1])
db = duckdb.connect("peer.duckdb")
db.execute("SET enable_progress_bar = false")
if "make" in job: db.execute(job["make"])
if "ask" in job: print(json.dumps(db.execute(job["ask"]).fetchall()))
for threads, copy in job.get("copies", []):
    db.execute(f"SET threads = {threads or job['all']}")
    began = time.perf_counter()
    db.execute(copy)
    print(time.perf_counter() - began)
"""


def arguments():
    parser = argparse.ArgumentParser(prog="bench.export", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    return parser.parse_args()


def fill(program, folder, users):
    (folder / "adprof.toml").write_text(DEFINITIONS)
    with open(folder / "patches.ndjson", "w", encoding="utf-8") as out:
        for n in range(users):
            tags = f'"age":{n * 7919 % 97},"city":"city {n * 31 % 499}","ltv":{n * 104729 % 10**7 / 100:.2f},"score":{n % 1000 / 8}'
            missing = "" if n % 5 else f',"vip":{"true" if n % 3 else "false"}'
            out.write(f'{{"userId":"u-{n:07}","asOf":1,"tags":{{{tags},"seen":{1731296325000 + n}{missing}}}}}\n')
    with open(folder / "patches.ndjson", "rb") as patches:
        subprocess.run([program, "sink", "-q", "file"], cwd=folder, stdin=patches, check=True,
                       env=clean_environment())


def peer(folder, **job):
    python = os.environ["ADPROF_PEERS_PYTHON"]
    out = run([python, "-c", PEER, json.dumps({**job, "all": os.cpu_count()})], folder).out
    return [json.loads(line) for line in out.splitlines()]


def ours(program, folder, name):
    """Seconds of one export, and the most memory beside mapped files in MiB, where the system tells it."""
    began = time.perf_counter()
    child = subprocess.Popen([program, "export", "-q", "-o", f"ours.{name}"], cwd=folder, env=clean_environment())
    most = 0
    while child.poll() is None:
        try:
            status = Path(f"/proc/{child.pid}/status").read_text()
            most = max([most] + [int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")])
        except OSError:
            pass
        time.sleep(0.005)
    if child.returncode:
        raise SystemExit(f"adprof export ended with {child.returncode}")
    return time.perf_counter() - began, most / 1024


def main():
    args = arguments()
    program, folder = str(Path(args.program).resolve()), Path(args.dir).resolve()
    if not os.environ.get("ADPROF_PEERS_PYTHON"):
        raise SystemExit("bench.export: no Python with DuckDB: set ADPROF_PEERS_PYTHON")
    say(f"bench: {args.users} users")
    fill(program, folder, args.users)
    peer(folder, make=TABLE)
    want = peer(folder, ask=SUMS + "p")
    print(f"{args.users:,} profiles, the best of {args.runs}\n")
    print("| | adprof | profiles/s | memory | file | DuckDB, 1 thread | all threads | file | adprof / DuckDB, 1 thread |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, how in FORMATS.items():
        times = [ours(program, folder, name) for _ in range(args.runs)]
        best, memory = min(seconds for seconds, _ in times), max(memory for _, memory in times)
        got = peer(folder, ask=SUMS + READ[name])
        if got != want:
            raise SystemExit(f"{name}: DuckDB reads other values: {got}, not {want}")
        copy = f"COPY p TO 'theirs.{name}' ({how})"
        theirs = peer(folder, copies=[[threads, copy] for threads in [1, 0] for _ in range(args.runs)])
        one, many = min(theirs[: args.runs]), min(theirs[args.runs :])
        sizes = [(folder / f"{who}.{name}").stat().st_size / 2**20 for who in ("ours", "theirs")]
        print(f"| {name} | {best:.2f} s | {args.users / best / 1e3:,.0f} k | {memory:.0f} MiB | {sizes[0]:.1f} MiB "
              f"| {one:.2f} s | {many:.2f} s | {sizes[1]:.1f} MiB | {best / one:.2f} |", flush=True)
    print("\nDuckDB reads the same sums out of each file of adprof as out of its table.")


if __name__ == "__main__":
    main()
