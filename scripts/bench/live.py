"""bench.live: the measurements of scripts/bench-live.sh, which starts what they need. Prints Markdown.

    python3 -m bench.live --program ADPROF --load LIVE --dir DIR --servers DIR --kafka HOST:PORT
                          [--flink HOME --flink-rest URL] [--exact-flink] [--events N] [--users M] [--runs N] [--only NAME,...]
                          [--large N] [--each N] [--paced MINUTES] [--write-docs]

Kafka, Redis and what is measured share this machine's cores. Every stream computes the five built-in tags and begins
with a new state; times are those of whole processes, from their start to the last checkpoint. Flink runs the same tags
in plain SQL into a blackhole; its time is that of the job alone, without the start of any JVM. While it is not its turn, it is
stopped.

Names for --only: throughput (store, Redis, backlog, Flink, bare HSETs), recovery (restart, an emptied and a killed
Redis), latency, memory (of --large users, and a hot user), paced (50 k events/s for so many minutes), segments (500 of them live).
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from . import machine, report
from .audiences import segments
from .failover import failover
from .process import Run, clean_environment, remove, run, say, until
from .redis import Redis, free_port
from .turns import in_turn

PARTS = ("throughput", "recovery", "latency", "memory", "paced", "segments")
SCRIPTS = Path(__file__).resolve().parents[1]
TOOL = "org.apache.kafka.tools.TopicCommand"


def arguments():
    parser = argparse.ArgumentParser(
        prog="bench.live", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("program", "load", "dir", "servers", "kafka"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--flink", metavar="HOME")
    parser.add_argument("--flink-rest", metavar="URL")
    parser.add_argument("--flink-version", default="")
    parser.add_argument("--no-flink", action="store_true")
    parser.add_argument("--exact-flink", action="store_true", help="the job of `adprof compile` on Flink, too")
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--large", type=int, default=10_000_000, help="users of the part memory")
    parser.add_argument("--each", type=int, default=3, help="events of each of them; 18 are an hour at 50 k events/s")
    parser.add_argument("--paced", type=float, default=10, metavar="MINUTES")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default=",".join(PARTS), metavar="NAME,...")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/benchmarks.md")
    args = parser.parse_args()
    args.only = args.only.split(",")
    unknown = [name for name in args.only if name not in PARTS]
    if unknown:
        parser.error(f"--only: `{unknown[0]}` is not one of {', '.join(PARTS)}")
    return args


class Bench:
    def __init__(self, args):
        self.args, self.dir = args, Path(args.dir).resolve()
        self.program = str(Path(args.program).resolve())
        self.load_before, self.redis = machine.load(), Redis(self.dir)
        self.topics, self.children = 0, []

    def topic(self, name, events, users, *more):
        """A new topic of two partitions with events of the last fifty minutes."""
        self.topics += 1
        name = f"{name}-{self.topics}"
        tool = [SCRIPTS / "servers.sh", "kafka-tool", self.args.servers, TOOL, "--bootstrap-server", self.args.kafka]
        create = ["--create", "--topic", name, "--partitions", "2"]
        subprocess.run([*tool, *create], check=True, stdout=subprocess.DEVNULL)
        if events:
            say(f"{name}: {events:,} events of {users:,} users")
            self.send(name, events, users, *more)
        return name

    def send(self, topic, events, users, *more):
        flags = ["--kafka", self.args.kafka, "--topic", topic, "--events", events, "--users", users, *more]
        return self.load("load", *flags)

    def load(self, *arguments):
        command = [self.args.load, *map(str, arguments)]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)

    def stream(self, topic, place, *more, at=None):
        """The command of a stream of `topic` into `redis` or `file`, with a state in the folder `place`. `at`: another Redis."""
        if place.startswith("file"):
            store = ["--store", f"file:{self.dir / place}"]
        else:
            store = ["--store", at or self.redis.url, "--state", self.dir / place]
        return [str(word) for word in [self.program, "stream", "-b", self.args.kafka, "-t", topic, *store, *more]]

    def anew(self, topic, place):
        """One run to the end of the topic, from nothing."""
        remove(self.dir / place)
        self.redis.ask("FLUSHALL")
        return run(self.stream(topic, place, "-e"), self.dir)

    def start(self, topic, place, *more, at=None):
        words = open(self.dir / "stream.log", "ab")
        command = self.stream(topic, place, *more, at=at)
        return self.child(subprocess.Popen(command, cwd=self.dir, stderr=words, env=clean_environment()))

    def watched(self, topic, place, events, *more):
        return watched(self, topic, place, events, *more)

    def child(self, process):
        """Of a process that must not outlive this one."""
        self.children.append(process)
        return process

    def about(self, *more, one_run=False):
        runs = None if one_run else self.args.runs
        versions = [machine.first_line(["redis-server", "--version"]).split(" sha")[0], *more]
        return "\n".join([machine.machine(), machine.versions(self.program, versions), machine.day(runs, self.load_before)])


def expected(path, every=997):
    """An independent fold of the file: of some users the lifetime spending, the last category and the last instant."""
    users = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            user_id = line.partition('"userId":"')[2].partition('"')[0]
            if int(user_id.removeprefix("u-")) % every:
                continue
            event = json.loads(line, parse_float=Decimal, parse_int=int)
            user = users.setdefault(user_id, [Decimal(0), (0, "", None), 0])
            if event["eventType"] == "purchase":
                user[0] += Decimal(event["amount"])
            if event["eventType"] == "click":
                user[1] = max(user[1], (event["timestamp"], event["eventId"], event["category"]))
            user[2] = max(user[2], event["timestamp"])
    return users


def check(bench, users):
    """Ends the run when a profile in Redis is not what the fold says."""
    for user, (spent, (_, _, category), last) in users.items():
        fields = ["ltv_total", "last_click_category", "last_active_ts"]
        shown = bench.redis.ask("HMGET", f"profile:{user}", *fields)
        # Spending is a nightly tag: a stream of the realtime tags does not write it.
        found = (shown[1], shown[2])
        if found != (category, str(last)) or (shown[0] is not None and Decimal(shown[0]) != spent):
            sys.exit(f"bench: {user}: Redis shows {shown}, the events come to {(str(spent), category, last)}")
    say(f"bench: {len(users)} users equal to an independent fold")


PLAIN = """
SET 'table.exec.mini-batch.enabled' = 'true';
SET 'table.exec.mini-batch.allow-latency' = '1 s';
SET 'table.exec.mini-batch.size' = '10000';
INSERT INTO adprof_profiles
SELECT userId, clicks_1h_count, last_click_category, last_active_ts, ltv_total,
    CASE WHEN ltv_total >= 100 THEN 'high_value_user' WHEN ltv_total > 0 THEN 'buyer' ELSE 'browser' END
FROM (
    SELECT userId,
        COUNT(*) FILTER (WHERE eventType = 'click' AND `timestamp` >= {hour}) AS clicks_1h_count,
        LAST_VALUE(category) FILTER (WHERE eventType = 'click') AS last_click_category,
        MAX(`timestamp`) AS last_active_ts,
        CAST(SUM(amount) FILTER (WHERE eventType = 'purchase') AS DECIMAL(38, 6)) AS ltv_total
    FROM adprof_events GROUP BY userId
);
"""


def signal_flink(bench, number):
    for file in bench.dir.glob("flink-*.pid"):
        for pid in file.read_text().split():
            os.kill(int(pid), number)


@contextmanager
def awake(bench):
    """The cluster of Flink runs; else it is stopped, so that its idle threads take nothing from others."""
    signal_flink(bench, signal.SIGCONT)
    yield
    signal_flink(bench, signal.SIGSTOP)


def flink(bench, topic, exact):
    """One run of a job on Flink, to the end of the topic: the time of the job as the cluster tells it. `exact`: the job of
    `adprof compile`; else the same tags as SQL says them shortest, the last category by arrival and duplicates counted twice.
    """
    with awake(bench):
        return flink_job(bench, topic, exact)


def flink_job(bench, topic, exact):
    sql = bench.dir / "job.sql"
    as_of = int(time.time() * 1000)
    compiled = ["compile", "--to", "flink", "--job", "-b", bench.args.kafka, "-t", topic, "-e", "--into", "profiles"]
    run([bench.program, *compiled, "--tags", "all", "--as-of", str(as_of), "-o", str(sql)], bench.dir)
    text = sql.read_text(encoding="utf-8")
    # Whatever it writes into costs time: nothing is kinder.
    head, insert, job = text.partition("INSERT INTO adprof_profiles")
    head, n = re.subn(r"(TABLE adprof_profiles \(.*?\n\)) WITH \(.*?\n\);", r"\1 WITH ('connector' = 'blackhole');", head, flags=re.S)
    if n != 1 or not insert:
        sys.exit("bench: the job of Flink has no table to write to")
    text = head + (insert + job if exact else PLAIN.format(hour=as_of - 3_600_000))
    sql.write_text(f"SET 'table.dml-sync' = 'true';\nSET 'pipeline.object-reuse' = 'true';\n{text}", encoding="utf-8")
    done = run([f"{bench.args.flink}/bin/sql-client.sh", "-f", str(sql)], bench.dir)
    if "[ERROR]" in done.out:
        sys.exit(f"bench: the job of Flink failed\n{done.out[-3000:]}")
    with urllib.request.urlopen(f"{bench.args.flink_rest}/jobs/overview") as answer:
        job = max(json.load(answer)["jobs"], key=lambda job: job["start-time"])
    if job["state"] != "FINISHED":
        sys.exit(f"bench: the job of Flink is {job['state']}")
    return Run(job["duration"] / 1000, 0, "", "")


def hset(bench, pipeline):
    command = ["redis-benchmark", "-p", bench.redis.port, "-n", 1_000_000, "-r", 1_000_000, "-P", pipeline, "-c", 50, "--csv"]
    command += ["HSET", "profile:u-__rand_int__", "clicks_1h_count", "5"]
    out = run(list(map(str, command)), bench.dir).out
    return float(out.strip().split("\n")[-1].split(",")[1].strip('"'))


def throughput(bench):
    args = bench.args
    copy = bench.dir / "spread.ndjson"
    spread = bench.topic("spread", args.events, args.users, "--copy", copy)
    backlog = bench.topic("backlog", args.events, args.users // 10)
    jobs = {
        "store": lambda: bench.anew(spread, "file-state"),
        "redis": lambda: bench.anew(spread, "redis-state"),
        "redis, backlog": lambda: bench.anew(backlog, "redis-state"),
    }
    if args.flink:
        signal_flink(bench, signal.SIGSTOP)
        jobs["flink"] = lambda: flink(bench, spread, exact=False)
        if args.exact_flink:
            jobs["flink, exact"] = lambda: flink(bench, spread, exact=True)
    results = in_turn(jobs, args.runs)
    bench.anew(spread, "redis-state")
    check(bench, expected(copy))
    size = f"{args.events:,} events, {args.users:,} users"
    notes = {
        "store": ("adprof, embedded store", size),
        "redis": ("adprof, Redis", size),
        "redis, backlog": ("adprof, Redis", f"{args.events:,} events, {args.users // 10:,} users"),
        "flink": (f"Flink {args.flink_version}, plain SQL, into a blackhole", size),
        "flink, exact": (f"Flink {args.flink_version}, the same tags, into a blackhole", size),
    }
    rows = []
    for name, runs in results.items():
        rate = args.events / report.median(runs)
        faster = [report.median(results[peer]) / report.median(runs) for peer in ("flink", "flink, exact") if peer in results]
        ratios = " / ".join(f"{ratio:.1f}" for ratio in faster)
        peak = report.peak(runs) if not name.startswith("flink") else ""
        rows.append([*notes[name], report.whole(runs), f"{report.human(rate)}", ratios, peak])
    table = report.table(["what", "input", "time", "events/s", "times Flink", "peak memory"], rows)
    bare = ", ".join(f"{report.human(hset(bench, p))}/s {words}" for p, words in ((1, "one by one"), (100, "in pipelines of 100")))
    version = [f"Flink {args.flink_version}"] if args.flink else []
    text = f"{bench.about(*version)}\n\n{table}\n\nBare `redis-benchmark`, HSET of one field of one of a million HASHes, 50 connections: {bare}."
    report.publish("live", text, args.write_docs)


def recovery(bench):
    args = bench.args
    copy = bench.dir / "recovery.ndjson"
    topic = bench.topic("recovery", args.events, args.users, "--copy", copy)
    bench.anew(topic, "redis-state")
    users, count, rows = expected(copy), bench.redis.ask("DBSIZE"), []
    check(bench, users)
    times = []
    for _ in range(args.runs):
        before = bench.redis.ask("HGET", "profile:u-0000000", "last_active_ts")
        bench.send(topic, 1, 1, "--rate", 1, "--seed", time.time_ns() % 1_000_000)
        began, stream = time.monotonic(), bench.start(topic, "redis-state")
        until("the event shows", lambda: bench.redis.ask("HGET", "profile:u-0000000", "last_active_ts") != before)
        times.append(time.monotonic() - began)
        stream.terminate()
        stream.wait()
    rows.append(["start of a stream with its state to the first new publication", report.spread(times)])
    stream = bench.start(topic, "redis-state")
    until("it publishes", lambda: "\"beat\":" in (bench.redis.ask("GET", f"adprof:token:{topic}") or ""))
    users.pop("u-0000000", None)
    faults = {"FLUSHALL": lambda: bench.redis.ask("FLUSHALL"), "kill -9 without persistence, started again at once": lambda: (bench.redis.kill(), bench.redis.start())}
    for name, fault in faults.items():
        times, refills = [], []
        for _ in range(args.runs):
            time.sleep(2)
            began = time.monotonic()
            fault()
            emptied = time.monotonic()
            until("all is there again", lambda: bench.redis.ask("DBSIZE") >= count)
            times.append(time.monotonic() - began)
            refills.append(time.monotonic() - emptied)
            check(bench, users)
        rows.append([f"{name}, until every profile is there again", report.spread(times)])
        rows.append(["of it, from when Redis was there and empty", report.spread(refills)])
    stream.terminate()
    stream.wait()
    rows += bare(bench)
    rows += failover(bench, topic, metrics)
    report.publish("recovery", f"{bench.about()}\n\n{report.table([f'{count - 1:,} profiles in Redis', 'time'], rows)}", args.write_docs)


def bare(bench):
    """What Redis itself needs for that: to be flushed, and to take the same profiles from redis-cli, which checks nothing."""
    file, flushed, filled = bench.dir / "profiles.resp", [], []
    bench.redis.commands(file)
    for _ in range(bench.args.runs):
        time.sleep(2)
        began = time.monotonic()
        bench.redis.ask("FLUSHALL")
        flushed.append(time.monotonic() - began)
        filled.append(run(["redis-cli", "-p", str(bench.redis.port), "--pipe"], bench.dir, stdin=file).seconds)
    return [
        ["the FLUSHALL alone", report.spread(flushed)],
        ["the same profiles from `redis-cli --pipe`, in transactions of 500", report.spread(filled)],
    ]


def latency(bench):
    args = bench.args
    topic = bench.topic("latency", 0, 0)
    remove(bench.dir / "redis-state")
    bench.redis.ask("FLUSHALL")
    stream, rows = bench.start(topic, "redis-state"), []
    for rate in (20_000, 50_000, 100_000):
        flags = ["--topic", topic, "--redis", bench.redis.url, "--users", args.users, "--rate", rate, "--seconds", 30]
        told = bench.load("latency", "--kafka", args.kafka, *flags)
        rows.append([f"{rate:,}", told["samples"], *(f"{told[name]} ms" for name in ("p50", "p90", "p99", "max"))])
        say(f"latency at {rate:,}: {told}")
    stream.terminate()
    stream.wait()
    head = ["events/s", "clicks measured", "p50", "p90", "p99", "most"]
    report.publish("latency", f"{bench.about()}\n\n{report.table(head, rows)}", args.write_docs)


def status(pid):
    """(bytes of memory of its own, bytes written to files and, where it writes to one, to Redis) of a process."""
    memory = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    # What `write_bytes` beside it counts is pages of the cache, of which a change of 4 KiB makes a large one dirty.
    written = re.search(r"^wchar: (\d+)", Path(f"/proc/{pid}/io").read_text(), re.M)
    return int(memory[1]) * 1024, int(written[1])


class Watched(NamedTuple):
    """One stream: until its last checkpoint, its memory at most and after it had nothing to do for REST seconds, what it
    wrote, and the users it knows."""

    seconds: float
    most: int
    rest: int
    written: int
    users: int


REST = 65  # seconds; freed memory goes back to the system within a minute


def metrics(port):
    """What a stream says of itself, by name and labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as page:
        words = (line.split() for line in page.read().decode().splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in words}


def watched(bench, topic, place, events, *more):
    """A stream from nothing that reads so many events; it stays until its memory is at rest."""
    remove(bench.dir / place)
    bench.redis.ask("FLUSHALL")
    port, began, most, consumed = free_port(), time.monotonic(), 0, None
    stream = bench.start(topic, place, "--metrics", port, *more)
    while True:
        if stream.poll() is not None:
            sys.exit(f"bench: the stream of {topic} ended with {stream.returncode}: see {bench.dir / 'stream.log'}")
        time.sleep(0.02)
        most = max(most, status(stream.pid)[0])
        try:
            shown = metrics(port)
        except OSError:  # it is beginning
            continue
        if consumed is None and shown.get("adprof_consumed_total", 0) >= events:
            consumed = shown["adprof_page_seconds"]
        if consumed is not None and shown.get("adprof_checkpoint_seconds", 0) > consumed:
            break
    seconds = time.monotonic() - began
    time.sleep(REST)
    rest, written = status(stream.pid)
    stream.terminate()
    stream.wait()
    return Watched(seconds, most, rest, written, int(shown["adprof_keys"]))


def memory(bench):
    args, ids = bench.args, 64 << 20
    events = args.each * args.large
    topic = bench.topic("large", events, args.large)
    seconds, most, rest, written, users = watched(bench, topic, "file-state", events, "--dedup-memory", "64M")
    size = sum(f.stat().st_size for f in (bench.dir / "file-state").rglob("*") if f.is_file())
    rows = [
        [f"{events:,} events of {users:,} users", f"{seconds:.1f} s", report.human(events / seconds)],
        ["memory of the process at rest, without 64 MiB of ids", f"{(rest - ids) / 2**20:,.0f} MiB", f"{(rest - ids) / users:.0f} bytes a user"],
        ["at its largest, while it caught up", f"{(most - ids) / 2**20:,.0f} MiB", f"{(most - ids) / users:.0f} bytes a user"],
        ["size of the store", f"{size / 2**20:,.0f} MiB", f"{size / users:.0f} bytes a user"],
        ["written to the disk", f"{written / 2**20:,.0f} MiB", f"{written / events:.0f} bytes an event"],
    ]
    even = bench.topic("even", 1_000_000, 100_000)
    hot = bench.topic("hot", 1_000_000, 100_000, "--hot", 90)
    runs = in_turn({name: lambda topic=topic: bench.anew(topic, "file-state") for name, topic in (("even", even), ("hot", hot))}, args.runs)
    for name, words in (("even", "1,000,000 events of 100,000 users"), ("hot", "the same, 90 % of them of one user")):
        rows.append([words, report.whole(runs[name]), report.human(1_000_000 / report.median(runs[name]))])
    report.publish("live-memory", f"{bench.about()}\n\n{report.table(['what', '', ''], rows)}", args.write_docs)


def paced(bench):
    args, rate, ids = bench.args, 50_000, 64 << 20
    topic = bench.topic("paced", 0, 0)
    remove(bench.dir / "redis-state")
    bench.redis.ask("FLUSHALL")
    port = free_port()
    stream = bench.start(topic, "redis-state", "--dedup-memory", "64M", "--metrics", port)
    events, rows = int(rate * 60 * args.paced), []
    flags = ["load", "--kafka", args.kafka, "--topic", topic, "--events", events, "--users", args.users, "--rate", rate]
    load = bench.child(subprocess.Popen([args.load, *map(str, flags)], stdout=subprocess.DEVNULL))
    # What Redis has received was written, but to no disk.
    files = lambda written: written - int(re.search(r"total_net_input_bytes:(\d+)", bench.redis.ask("INFO", "stats"))[1])
    before, counted, began = files(status(stream.pid)[1]), 0, time.monotonic()
    for part in range(1, 6):
        time.sleep(max(0, began + 60 * args.paced * part / 5 - time.monotonic()))
        own, written = status(stream.pid)
        written = files(written)
        shown = metrics(port)
        consumed = shown["adprof_consumed_total"]
        behind = sum(value for name, value in shown.items() if name.startswith("adprof_lag_messages"))
        size = sum(f.stat().st_size for f in (bench.dir / "redis-state").rglob("*") if f.is_file())
        rows.append([
            f"{args.paced * part / 5:g} min", f"{consumed / 1e6:,.0f} M", f"{behind:,.0f}", f"{(own - ids) / 2**20:,.0f} MiB",
            f"{size / 2**20:,.0f} MiB", f"{(written - before) / (consumed - counted):.0f}",
        ])
        before, counted = written, consumed
    load.wait()
    stream.terminate()
    stream.wait()
    head = [
        f"at {rate:,} events/s, {args.users:,} users, after", "events", "behind", "memory without 64 MiB of ids",
        "size of the state", "bytes written an event",
    ]
    report.publish("paced", f"{bench.about(one_run=True)}\n\n{report.table(head, rows)}", args.write_docs)


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench = Bench(args)
    try:
        for part in PARTS:
            if part in args.only:
                globals()[part](bench)
    finally:
        for child in bench.children:
            child.kill()
        bench.redis.kill()


main()
