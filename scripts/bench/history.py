"""bench.history: one more night over a long log, with roll-ups and without. Prints Markdown.

    python3 -m bench.history --program ADPROF --dir DIR [--events N] [--users M] [--days D] [--runs N] [--threads N] [--write-docs]

Makes a log of D days (401) with `gen` and `collect`, rolls up all days but the last, and then runs in turn the night of the
last day with those roll-ups, each time as they were before it, and the full scan of the log. The bytes of both are equal.
What a night reads is what it says itself.
"""

import argparse
import datetime
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from . import machine, report
from .batch import definitions
from .process import clean_environment, remove, run, say
from .turns import in_turn

# Far enough back that the last of 401 days is over: nothing can be received tomorrow.
START = "2025-01-01"


def arguments():
    parser = argparse.ArgumentParser(
        prog="bench.history", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--program", required=True)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=401)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/benchmarks.md")
    return parser.parse_args()


class History:
    def __init__(self, args):
        self.args, self.dir, self.adprof = args, Path(args.dir).resolve(), str(Path(args.program).resolve())
        self.load = machine.load()
        self.log, self.rollups, self.before = self.dir / "log", self.dir / "rollups", self.dir / "before"
        first = datetime.date.fromisoformat(START)
        self.last = first + datetime.timedelta(days=args.days - 1)
        self.collect()

    def collect(self):
        """A day's events are received on that day: the log's directories have its name."""
        args = self.args
        say(f"collecting {args.events:,} events of {args.days} days")
        made = [self.adprof, "gen", "--events", args.events, "--users", args.users, "--skew", "0.5", "--session", "1"]
        made += ["--seed", "1", "--start", START, "--days", args.days, "--duplicates", "1%"]
        kept = [self.adprof, "collect", "-q", "--log", f"{self.log}/"]
        stamp = ["sed", "-E", r's/"timestamp":([0-9]+)/&,"receivedAt":\1/']
        env = clean_environment()
        gen = subprocess.Popen(list(map(str, made)), stdout=subprocess.PIPE, env=env)
        sed = subprocess.Popen(stamp, stdin=gen.stdout, stdout=subprocess.PIPE, env=env)
        collect = subprocess.Popen(kept, stdin=sed.stdout, env=env, cwd=self.dir)
        gen.stdout.close()
        sed.stdout.close()
        if any(child.wait() for child in (gen, sed, collect)):
            sys.exit("bench: the log could not be made")
        days = len(list(self.log.glob("dt=*")))
        if days != args.days:
            sys.exit(f"bench: the log has {days} days instead of {args.days}")

    def batch(self, output, through, *more):
        remove(output)
        command = [self.adprof, "batch", "-d", definitions(8), "--log", self.log, "--tags", "all", "--through", through]
        command += ["--threads", self.args.threads, *more]
        return run(list(map(str, command)), self.dir, stdout=output)

    def night(self):
        remove(self.rollups)
        shutil.copytree(self.before, self.rollups)
        return self.batch(self.dir / "night.out", self.last, "--rollups", self.rollups)

    def scan(self):
        return self.batch(self.dir / "scan.out", self.last)

    def measure(self):
        say("rolling up all days but the last")
        first = self.batch(self.dir / "first.out", self.last - datetime.timedelta(days=1), "--rollups", self.before)
        results = in_turn({"one more day": self.night, "full scan": self.scan}, self.args.runs)
        if subprocess.run(["cmp", self.dir / "night.out", self.dir / "scan.out"]).returncode != 0:
            sys.exit("bench: the night and the full scan differ")
        return {"first night": [first]} | results


def read(words):
    """What a run says that it read: (bytes of the log, bytes of roll-ups)."""
    found = re.search(r"([0-9,]+) bytes of the log and ([0-9,]+) of roll-ups read", words)
    return tuple(int(n.replace(",", "")) for n in found.groups()) if found else None


def main():
    args = arguments()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    history = History(args)
    results = history.measure()
    size = sum(file.stat().st_size for file in history.log.glob("dt=*/*.ndjson"))
    rows = []
    for name, runs in results.items():
        log, rollups = read(runs[-1].err) or (size, 0)
        ratio = report.median(results["full scan"]) / report.median(runs)
        rows.append([name, report.whole(runs), f"{ratio:.1f}", f"{log / 1e6:,.1f} MB", f"{rollups / 1e6:,.1f} MB", report.peak(runs)])
    said = [
        machine.machine(),
        machine.versions(history.adprof),
        f"- log: {args.days} days, {args.events:,} events of at most {args.users:,} users, {size / 2**20:,.0f} MiB, and 1 % of duplicates",
        machine.day(f"{args.runs} (first night: 1)", history.load),
        "- the night and the full scan write the same bytes",
    ]
    head = ["run", "time", "full scan / it", "log read", "roll-ups read", "peak memory"]
    report.publish("history", "\n".join(said) + "\n\n" + report.table(head, rows), args.write_docs)


if __name__ == "__main__":
    main()
