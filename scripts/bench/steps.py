"""The other commands, one line each: gen, stream, collect, sink, query."""

import os
import random
import statistics

from . import report
from .events import AS_OF_MS
from .process import lines_in, remove, run, say
from .turns import in_turn


class Steps:
    def __init__(self, bench):
        self.bench, self.dir, self.rows = bench, bench.dir, []
        self.patches, self.users = bench.dir / "patches.ndjson", 0

    def adprof(self, *arguments, **how):
        return run([self.bench.adprof, *map(str, arguments)], self.dir, **how)

    def measure(self, name, job):
        say(name)
        return in_turn({name: job}, self.bench.args.runs)[name]

    def row(self, what, runs, count, unit, note):
        rate = f"{report.human(count / report.median(runs))} {unit}/s"
        self.rows.append([what, report.whole(runs), rate, report.peak(runs), note])

    def gen(self):
        self.row("gen", [self.bench.made], self.bench.lines, "events", "one run, to a file")

    def stream(self):
        for emit in ("final", "each"):
            runs = self.measure(
                f"stream {emit}",
                lambda emit=emit: self.adprof(
                    "stream", "--tags", "all", "--emit", emit, stdin=self.bench.events, stdout=os.devnull
                ),
            )
            self.row(f"stream, `--emit {emit}`", runs, self.bench.lines, "events", "stdin to /dev/null")

    def collect(self):
        log = self.dir / "log"

        def job():
            remove(log)
            log.mkdir()
            return self.adprof("collect", "--log", log / "ad-events.log", stdin=self.bench.events)

        runs = self.measure("collect", job)
        self.row("collect, from a file", runs, self.bench.lines, "events", "one log file, fdatasync on")
        remove(log)

    def make_patches(self):
        if not self.patches.exists():
            self.adprof("batch", "--log", self.bench.events, "--tags", "all", "--as-of", AS_OF_MS, "-o", self.patches)
            self.users = lines_in(self.patches)

    def sink(self):
        self.make_patches()

        def file():
            remove(self.dir / "store")
            return self.adprof("sink", "file", self.dir / "store", stdin=self.patches)

        self.row("sink file", self.measure("sink file", file), self.users, "users", "a new store each time")
        redis = os.environ.get("ADPROF_TEST_REDIS")
        if redis:
            # A second run writes the same values over the first: the server, not an empty one, is what is measured.
            runs = self.measure("sink redis", lambda: self.adprof("sink", "redis", redis, stdin=self.patches))
            self.row("sink redis", runs, self.users, "users", "loopback, no persistence")

    def query(self):
        self.make_patches()
        store = self.dir / "store"
        if not store.exists():
            self.adprof("sink", "file", store, stdin=self.patches)
        rng = random.Random(1)
        ids = [f"u-{rng.randrange(1, self.bench.args.users + 1):07}" for _ in range(100_000)]
        (self.dir / "ids").write_text("".join(f"{i}\n" for i in ids), encoding="utf-8")
        command = ["query", "--store", f"file:{store}", "--format", "ndjson"]
        say("query, one id a process")
        single = [self.adprof(*command, i) for i in ids[:210]][10:]
        ms = sorted(r.seconds * 1000 for r in single)
        p50, p99 = statistics.median(ms), ms[int(len(ms) * 0.99) - 1]
        note = f"{len(ms)} processes, start and end included; before each the store is in the page cache"
        self.rows.append(["query, one id", f"p50 {p50:.1f} ms, p99 {p99:.1f} ms", "", report.peak(single), note])
        runs = self.measure(
            "query ids", lambda: self.adprof(*command, "-", stdin=self.dir / "ids", stdout=os.devnull)
        )
        self.row("query, 100 k ids on stdin", runs, len(ids), "ids", "random ids, to /dev/null")


NAMES = ("gen", "stream", "collect", "sink", "query")


def measure(bench, names):
    steps = Steps(bench)
    for name in names:
        getattr(steps, name)()
    text = "\n".join(bench.about()) + "\n\n" + report.table(["what", "time", "rate", "peak memory", ""], steps.rows)
    report.publish("commands", text, bench.args.write_docs)
