"""bench.cliffs: how much slower batch is on events that are not plain. Prints Markdown.

    python3 -m bench.cliffs --program ADPROF --dir DIR [--newlines PROGRAM] [--events N] [--users M] [--runs N | --quick]
                            [--only NAME,...] [--threads N] [--limit RATIO] [--write-docs]

Derives variants of a plain file (names for --only: {names}), runs `adprof batch` with eight tags on each
and on the plain one in turn, and checks that the answers are those of the plain file. `parsing` is a run that reads and
checks every event and keeps none (--since in the future), as a share of the bytes/s of a bare newline scan of the same
file with the same threads. Exits with 1 when a variant takes more than RATIO (2.5) times as long as the plain file; with
--limit 0 it only tells.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from . import machine, report
from .batch import adprof, definitions
from .compare import profile
from .events import about, generate
from .process import apart, remove, run, say
from .turns import in_turn
from .variants import VARIANTS, make


def arguments():
    text = __doc__.replace("{names}", ", ".join(VARIANTS))
    parser = argparse.ArgumentParser(
        prog="bench.cliffs", description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--program", required=True)
    parser.add_argument("--newlines", help="the program of benches/newlines.rs; without it there is no share")
    parser.add_argument("--dir", required=True)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one run of each: to see that all works, not for figures")
    parser.add_argument("--only", default=",".join(VARIANTS), metavar="NAME,...")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=float, default=2.5, metavar="RATIO")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/benchmarks.md")
    args = parser.parse_args()
    args.runs = 1 if args.quick else args.runs
    args.only = args.only.split(",")
    unknown = [name for name in args.only if name not in VARIANTS]
    if unknown:
        parser.error(f"--only: `{unknown[0]}` is not one of {', '.join(VARIANTS)}")
    return args


class Cliffs:
    def __init__(self, args):
        self.args, self.dir = args, Path(args.dir).resolve()
        self.program = str(Path(args.program).resolve())
        self.scanner = str(Path(args.newlines).resolve()) if args.newlines else None
        self.load = machine.load()
        self.plain, self.lines, _ = generate(self.program, self.dir, args.events, args.users)

    def batch(self, source, output):
        return adprof(self.program, source, output, self.dir, self.args.threads)

    def parse(self, source):
        command = [self.program, "batch", "-d", definitions(8), "--log", source, "--tags", "all", "--since", "2100-01-01"]
        return run(list(map(str, [*command, "--threads", self.args.threads])), self.dir, stdout=os.devnull)

    def scan(self, source):
        """The scan times itself: starting a process is not reading."""
        done = run([self.scanner, str(source), "--threads", str(self.args.threads)], self.dir)
        told = json.loads(done.out)
        if told["newlines"] != self.lines:
            sys.exit(f"bench: {source}: {told['newlines']} newlines instead of {self.lines}")
        done.seconds = told["seconds"]
        return done

    def reading(self, source):
        jobs = {"parsing": lambda: self.parse(source)}
        return jobs | ({"newlines": lambda: self.scan(source)} if self.scanner else {})

    def measure(self, name):
        """Runs of the variant and of the plain file, in turn."""
        source, output = self.dir / f"{name}.ndjson", self.dir / f"{name}.out"
        say(f"making {name}: {VARIANTS[name][0]}")
        make(name, self.plain, source)
        jobs = {
            "plain": lambda: self.batch(self.plain, self.dir / "plain.out"),
            name: lambda: self.batch(source, output),
            **self.reading(source),
        }
        results = in_turn(jobs, self.args.runs)
        users = apart(equal, self.dir / "plain.out", output, *VARIANTS[name][2:])
        say(f"  {name}: {users:,} users equal to plain's")
        results["size"] = source.stat().st_size
        remove(source)
        remove(output)
        return results

    def own(self):
        """The plain file's own line."""
        say("plain")
        jobs = {
            "plain": lambda: self.batch(self.plain, self.dir / "plain.out"),
            **self.reading(self.plain),
        }
        return in_turn(jobs, self.args.runs) | {"size": self.plain.stat().st_size}


def equal(plain, variant, user_back, category_back):
    """Exits unless both outputs say the same of the same users; gives their number."""
    found = {}
    with open(plain, "rb") as lines:
        for line in lines:
            user, tags = profile(line)
            found[user] = tags
    users = 0
    with open(variant, "rb") as lines:
        for line in lines:
            patch = json.loads(line)
            patch["userId"] = user_back(patch["userId"])
            patch["tags"]["last_click_category"] = category_back(patch["tags"]["last_click_category"])
            user, tags = profile(json.dumps(patch))
            if found.pop(user, None) != tags:
                sys.exit(f"bench: {variant.name}: user {user} is not as in the plain file: {tags}")
            users += 1
    if found:
        sys.exit(f"bench: {variant.name}: {len(found)} users are missing, such as {next(iter(found))}")
    return users


def row(name, results, lines):
    size, ours = results["size"], results[name]
    ratio = report.median(ours) / report.median(results["plain"])
    per_byte = ratio * results["plain_size"] / size
    parsing = size / report.median(results["parsing"])
    scanning = size / report.median(results["newlines"]) if "newlines" in results else None
    cells = [
        f"{name}: {VARIANTS[name][0]}" if name in VARIANTS else "plain",
        f"{size / lines:.0f}",
        report.whole(ours),
        f"{ratio:.2f}",
        f"{per_byte:.2f}",
        f"{report.human(parsing)}B/s",
        f"{report.human(scanning)}B/s" if scanning else "",
        f"{100 * parsing / scanning:.0f} %" if scanning else "",
    ]
    return cells, ratio


HEAD = ["events", "bytes a line", "batch", "/ plain", "/ plain, a byte", "parsing", "newline scan", "share"]


def main():
    args = arguments()
    cores = sorted(os.sched_getaffinity(0))[: args.threads]
    os.sched_setaffinity(0, cores)
    cliffs = Cliffs(args)
    plain_size = cliffs.plain.stat().st_size
    rows, beyond = [row("plain", cliffs.own() | {"plain_size": plain_size}, cliffs.lines)[0]], []
    for name in args.only:
        cells, ratio = row(name, cliffs.measure(name) | {"plain_size": plain_size}, cliffs.lines)
        rows.append(cells)
        if args.limit and ratio > args.limit:
            beyond.append(f"{name} {ratio:.2f}")
    said = [
        machine.machine(),
        machine.versions(cliffs.program),
        about(cliffs.plain, cliffs.lines, args.users),
        machine.day(args.runs, cliffs.load),
        "- each variant and the plain file in turn; `/ plain` is the ratio of their medians; the answers are equal",
    ]
    report.publish("cliffs", "\n".join(said) + "\n\n" + report.table(HEAD, rows), args.write_docs)
    if beyond:
        say(f"bench: beyond {args.limit} times the plain file: {', '.join(beyond)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
