"""What the peers share: their flags, and the one line they say when they are done.

    with_ENGINE.py --input EVENTS.ndjson --output PATH --as-of MS [--threads N] [--tags 8|24] [--memory SIZE --temp DIR]

Each reads the events once, drops duplicates by (tenantId, userId, eventId), folds the tags of scripts/bench.toml (or
bench-24.toml) for each user and writes {"userId": …, TAG: …} as NDJSON to PATH: a file, or a folder of part files
where the engine has no other way. The one line on stdout is JSON: engine, version, and `statement_s`, the
seconds from the statement handed in until its output is complete, without starting Python or a JVM.
"""

import argparse
import json
import time


def arguments(about):
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, metavar="FILE")
    parser.add_argument("--output", required=True, metavar="PATH")
    parser.add_argument("--as-of", required=True, type=int, metavar="MS")
    parser.add_argument("--threads", type=int, default=2, metavar="N")
    parser.add_argument("--tags", type=int, default=8, choices=(8, 24))
    parser.add_argument("--memory", metavar="SIZE", help="the most the engine may use, in its own words (DuckDB: 700MB)")
    parser.add_argument("--temp", metavar="DIR", help="where it may spill")
    return parser.parse_args()


def eight_only(args, engine):
    if args.tags != 8 or args.memory:
        raise SystemExit(f"with_{engine}.py: only the eight tags are written for it, without a limit of memory")


class Clock:
    """The seconds of the statement."""

    def __enter__(self):
        self.start = time.perf_counter()
        return self

    def __exit__(self, *_):
        self.seconds = time.perf_counter() - self.start


def tell(engine, version, clock):
    print(json.dumps({"engine": engine, "version": version, "statement_s": round(clock.seconds, 4)}), flush=True)
