"""bench: the measurements of scripts/bench.sh, which prepares what they need. Prints Markdown.

    python3 -m bench --program ADPROF --dir DIR [--events N] [--users M] [--runs N | --quick] [--only NAME,...]
                     [--peers NAME,...] [--threads N] [--picture FILE] [--write-docs]

Whole processes as a user would start them: wall time, and peak memory with that of child processes. What is compared
runs in turn, on the same cores and each time on a machine at rest, so that a busy machine is busy for all.
Names for --only: batch, gen, stream, collect, sink, query. Names for --peers: duckdb, chdb, polars, spark, flink, none.
"""

import argparse
import os
from pathlib import Path

from . import batch, machine, steps
from .events import about, generate
from .process import say


def names(known, none=None):
    def parse(text):
        if text == none:
            return []
        given = text.split(",")
        unknown = [name for name in given if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"`{unknown[0]}` is not one of {', '.join(known)}")
        return given

    return parse


class Bench:
    def __init__(self, args):
        self.args, self.adprof, self.dir = args, str(Path(args.program).resolve()), Path(args.dir).resolve()
        self.load = machine.load()
        self.events, self.lines, self.made = generate(self.adprof, self.dir, args.events, args.users)

    def about(self, versions=()):
        """What the figures depend on, in lines of Markdown."""
        return [
            machine.machine(),
            machine.versions(self.adprof, versions),
            about(self.events, self.lines, self.args.users),
            machine.day(self.args.runs, self.load),
        ]


def arguments():
    parser = argparse.ArgumentParser(prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one run of each: to see that all works, not for figures")
    everything = ("batch", *steps.NAMES)
    parser.add_argument("--only", type=names(everything), default=list(everything), metavar="NAME,...")
    parser.add_argument("--peers", type=names(batch.PEERS, "none"), default=list(batch.PEERS), metavar="NAME,...")
    parser.add_argument("--threads", type=int, default=2, help="threads of each engine, and cores there are for it")
    parser.add_argument("--picture", metavar="FILE", help="write the bar chart here (--write-docs: docs/bench-batch.svg)")
    parser.add_argument("--write-docs", action="store_true", help="put tables and picture into docs/")
    args = parser.parse_args()
    args.runs = 1 if args.quick else args.runs
    return args


def main():
    args = arguments()
    cores = sorted(os.sched_getaffinity(0))[: args.threads]
    if len(cores) < args.threads:
        say(f"bench: {args.threads} threads on {len(cores)} cores")
    # Children inherit it: an engine that takes no number of threads still has no more than the others.
    os.sched_setaffinity(0, cores)
    bench = Bench(args)
    if "batch" in args.only:
        batch.measure(bench)
    others = [name for name in args.only if name != "batch"]
    if others:
        steps.measure(bench, others)


if __name__ == "__main__":
    main()
