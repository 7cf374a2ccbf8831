#!/usr/bin/env python3
"""bench.py: the measurements of scripts/bench.sh, which prepares what they need. Prints Markdown.

    scripts/bench.py --program ADPROF --dir DIR [--events N] [--users M] [--runs N] [--only NAME,...]

Every figure is that of whole processes, as a user would start them: wall time, and the largest resident memory as the
kernel counted it. What is compared runs in turn (A B A B …), so that a busy machine is busy for both.
Names for --only: batch, stream, collect, sink, query.
"""

import argparse
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
START = "2026-01-01"
# 30 days after START: the instant at which both engines look, so that neither has to find the last event first.
AS_OF_MS = 1_769_817_600_000


class Bench:
    def __init__(self, args):
        self.args = args
        self.adprof = str(Path(args.program).resolve())
        self.dir = Path(args.dir).resolve()
        self.python = os.environ.get("ADPROF_TEST_PYTHON")
        self.redis = os.environ.get("ADPROF_TEST_REDIS")
        self.rows = []
        # Nothing of the caller's may redirect what is measured.
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("ADPROF_") and k != "REDIS_URL"}

    def path(self, name):
        return str(self.dir / name)

    def run(self, command, stdin=None, stdout=None):
        """One process: (seconds, peak memory in MiB, what it said on stderr)."""
        with (
            open(stdin or os.devnull, "rb") as source,
            open(stdout or os.devnull, "wb") as target,
            open(self.path("stderr"), "w+b") as words,
        ):
            start = time.perf_counter()
            child = subprocess.Popen(
                command, stdin=source, stdout=target, stderr=words, cwd=self.dir, env=self.env
            )
            _, status, usage = os.wait4(child.pid, 0)
            seconds = time.perf_counter() - start
            child.returncode = os.waitstatus_to_exitcode(status)
            words.seek(0)
            said = words.read().decode(errors="replace")
        if child.returncode != 0:
            sys.exit(f"bench.py: {' '.join(command)}: exit code {child.returncode}\n{said}")
        return seconds, usage.ru_maxrss / 1024, said

    def runs(self, *jobs):
        """Each job `--runs` times, in turn, after one round that only warms the page cache: a list of runs per job."""
        results = [[] for _ in jobs]
        for round_ in range(self.args.runs + 1):
            for job, result in zip(jobs, results):
                outcome = job()
                say(f"  {outcome[0]:8.3f} s {outcome[1]:6.0f} MiB" + (" (warm-up)" if round_ == 0 else ""))
                if round_ > 0:
                    result.append(outcome)
        return results

    def row(self, what, results, count=None, unit="", note=""):
        seconds = sorted(r[0] for r in results)
        median = statistics.median(seconds)
        rate = f"{human(count / median)} {unit}/s" if count else ""
        memory = f"{max(r[1] for r in results):.0f} MiB"
        self.rows.append(
            f"| {what} | {median:.3f} s ({seconds[0]:.3f}-{seconds[-1]:.3f}) | {rate} | {memory} | {note} |"
        )
        return median


def say(words):
    print(words, file=sys.stderr, flush=True)


def human(n):
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{n:.3g}"


def remove(path):
    """A file or a folder of files, outside of any timing."""
    path = Path(path)
    if path.is_dir():
        for inner in path.iterdir():
            remove(inner)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def lines_in(path):
    with open(path, "rb") as f:
        return sum(block.count(b"\n") for block in iter(lambda: f.read(1 << 20), b""))


def generate(bench):
    args = bench.args
    say(f"generating {args.events} events of {args.users} users")
    events = bench.path("events.ndjson")
    command = [bench.adprof, "gen", "--events", str(args.events), "--users", str(args.users), "--seed", "1"]
    command += ["--start", START, "--days", "30", "--duplicates", "1%"]
    result = bench.run(command, stdout=events)
    bench.lines = lines_in(events)
    bench.row("gen", [result], bench.lines, "events", "one run, to a file")


def batch(bench):
    say("batch, next to DuckDB")
    events, ours, theirs = bench.path("events.ndjson"), bench.path("batch.ndjson"), bench.path("duckdb.ndjson")

    def adprof():
        remove(ours)
        command = [bench.adprof, "batch", "--log", events, "--tags", "all", "--as-of", str(AS_OF_MS), "-o", ours]
        return bench.run(command)

    def duckdb():
        remove(theirs)
        command = [bench.python, "-B", str(SCRIPTS / "oracle_duckdb.py"), "--fast", "--timing"]
        command += ["--as-of", str(AS_OF_MS), "-o", theirs, events]
        seconds, memory, said = bench.run(command)
        # The statement alone: starting Python is not DuckDB's fault.
        return float(said.split()[-1]), memory, seconds

    if bench.python is None:
        (a,) = bench.runs(adprof)
        bench.row("batch, five tags", a, bench.lines, "events")
        return
    a, d = bench.runs(adprof, duckdb)
    compare = [sys.executable, "-B", str(SCRIPTS / "oracle_duckdb.py"), "--compare", ours, theirs]
    equal = subprocess.run(compare, stdout=subprocess.PIPE, text=True, check=False)
    say(equal.stdout.strip())
    if equal.returncode != 0:
        sys.exit("bench.py: adprof and DuckDB do not agree; a figure would mean nothing")
    users = lines_in(ours)
    ours_s = bench.row("batch, five tags", a, bench.lines, "events", f"{users:,} users, values equal to DuckDB's")
    whole = statistics.median(r[2] for r in d)
    theirs_s = bench.row(
        "DuckDB, the same", d, bench.lines, "events", f"the statement alone; whole process {whole:.3f} s"
    )
    bench.rows.append(f"| DuckDB / adprof | {theirs_s / ours_s:.2f} | | | ratio of the medians |")


def stream(bench):
    events = bench.path("events.ndjson")
    for emit in ("final", "each"):
        say(f"stream --emit {emit}")
        command = [bench.adprof, "stream", "--tags", "all", "--emit", emit]
        (results,) = bench.runs(lambda command=command: bench.run(command, stdin=events))
        bench.row(f"stream, `--emit {emit}`", results, bench.lines, "events", "stdin to /dev/null")


def collect(bench):
    say("collect")

    def job():
        remove(bench.path("log"))
        os.mkdir(bench.path("log"))
        return bench.run(
            [bench.adprof, "collect", "--log", bench.path("log/ad-events.log")], stdin=bench.path("events.ndjson")
        )

    (results,) = bench.runs(job)
    bench.row("collect, from a file", results, bench.lines, "events", "one log file, fdatasync on")
    remove(bench.path("log"))


def make_patches(bench):
    patches = bench.path("patches.ndjson")
    if not os.path.exists(patches):
        command = [bench.adprof, "batch", "--log", bench.path("events.ndjson"), "--tags", "all"]
        bench.run([*command, "--as-of", str(AS_OF_MS), "-o", patches])
        bench.users = lines_in(patches)
    return patches


def sink(bench):
    patches = make_patches(bench)

    def file():
        remove(bench.path("store"))
        return bench.run([bench.adprof, "sink", "file", bench.path("store")], stdin=patches)

    def redis():
        # A second run writes the same values over the first: the server, not an empty one, is what is measured.
        return bench.run([bench.adprof, "sink", "redis", bench.redis], stdin=patches)

    say("sink file")
    bench.row("sink file", bench.runs(file)[0], bench.users, "users", "a new store each time")
    if bench.redis:
        say("sink redis")
        bench.row("sink redis", bench.runs(redis)[0], bench.users, "users", "loopback, no persistence")


def query(bench):
    patches = make_patches(bench)
    store = bench.path("store")
    if not os.path.exists(store):
        bench.run([bench.adprof, "sink", "file", store], stdin=patches)
    rng = random.Random(1)
    ids = [f"u-{rng.randrange(1, bench.args.users + 1):07}" for _ in range(100_000)]
    with open(bench.path("ids"), "w", encoding="utf-8") as f:
        f.writelines(f"{i}\n" for i in ids)
    command = [bench.adprof, "query", "--store", f"file:{store}", "--format", "ndjson"]
    say("query, one id a process")
    single = [bench.run([*command, i]) for i in ids[:210]][10:]
    ms = sorted(r[0] * 1000 for r in single)
    p50, p99 = statistics.median(ms), ms[int(len(ms) * 0.99) - 1]
    memory = max(r[1] for r in single)
    bench.rows.append(
        f"| query, one id | p50 {p50:.1f} ms, p99 {p99:.1f} ms | | {memory:.0f} MiB | "
        f"{len(ms)} processes, start and end included; before each the store is in the page cache |"
    )
    say("query, 100 k ids on stdin")
    (results,) = bench.runs(lambda: bench.run([*command, "-"], stdin=bench.path("ids")))
    bench.row("query, 100 k ids on stdin", results, len(ids), "ids", "random ids, to /dev/null")


def machine(bench):
    """What the figures depend on, in lines of Markdown."""
    cpu = "unknown CPU"
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            cpu = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), cpu)
    except OSError:
        pass
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    versions = [subprocess.run([bench.adprof, "--version"], capture_output=True, text=True, check=True).stdout.strip()]
    if bench.python:
        code = "import duckdb; print('DuckDB', duckdb.__version__)"
        versions.append(subprocess.run([bench.python, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
    if bench.redis:
        said = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
        versions.append("Redis " + next(word[2:] for word in said.split() if word.startswith("v=")))
    size = os.path.getsize(bench.path("events.ndjson")) / 2**20
    return [
        f"- machine: {len(os.sched_getaffinity(0))} cores of {cpu}, {memory:.0f} GiB, Linux {platform.release()}",
        f"- versions: {', '.join(versions)}",
        f"- input: {bench.lines:,} events ({size:,.0f} MiB) of at most {bench.args.users:,} users, 1 % of them duplicates",
        f"- {time.strftime('%Y-%m-%d')}; median (least-most) of {bench.args.runs} runs after one to warm up",
    ]


STEPS = {"batch": batch, "stream": stream, "collect": collect, "sink": sink, "query": query}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default=",".join(STEPS))
    args = parser.parse_args()
    steps = args.only.split(",")
    unknown = [step for step in steps if step not in STEPS]
    if unknown:
        parser.error(f"--only: `{unknown[0]}` is not one of {', '.join(STEPS)}")
    bench = Bench(args)
    generate(bench)
    for step in steps:
        STEPS[step](bench)
    print("\n".join(machine(bench)))
    print("\n| what | time | rate | peak memory | |\n|---|---|---|---|---|")
    print("\n".join(bench.rows))


if __name__ == "__main__":
    main()
