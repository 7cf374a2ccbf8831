"""soak: the run of scripts/soak.sh, which prepares what it needs.

    python3 -m soak --program ADPROF --servers scripts/servers.sh --dir DIR --minutes M [--seed S] [--rate N]
                    [--heal SECONDS] [--only FAULT,...]

Every few seconds one of the faults of nemesis.py, chosen at random by the seed; about every --heal seconds everything is
healed, and then each profile in Redis and in the embedded store has to become what an independent fold of the log says, and
each acknowledged event has to be in the log. Names for --only: the functions of nemesis.py.
"""

import argparse
import collections
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from . import nemesis
from .servers import Wrong
from .world import REFUSED, World


def say(words):
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


class Soak:
    def __init__(self, args):
        self.args, self.random, self.faults = args, random.Random(args.seed), collections.Counter()
        self.slowest, self.healings, self.ended = 0.0, 0, None
        self.world = World(args.program, args.dir, args.servers, args.seed, args.rate)

    def run(self):
        until = time.monotonic() + self.args.minutes * 60
        self.heal()
        while time.monotonic() < until:
            self.disturb(min(until, time.monotonic() + self.random.uniform(0.6, 1.4) * self.args.heal))
            self.heal()
        self.world.end()
        self.conserved()

    def disturb(self, until):
        world = self.world
        world.collector.paused = False
        while time.monotonic() < until:
            time.sleep(self.random.expovariate(1 / 2.5))
            world.check()
            fault = nemesis.choose(self.random, self.args.only)
            # A choice of its own for each fault: what one of them draws does not change the next.
            told = fault(world, random.Random(self.random.random()))
            self.faults[fault.__name__] += 1
            say(fault.__name__.replace("_", " ") + (f": {told}" if told is not None else ""))

    def heal(self):
        nemesis.heal(self.world)
        seconds = self.world.whole()
        self.slowest, self.healings = max(self.slowest, seconds), self.healings + 1
        fold = self.world.fold
        say(f"whole after {seconds:.1f} s: {len(fold.seen)} events, {fold.twice} twice in the log, {len(fold.keys)} keys")

    def conserved(self):
        """The ledger of each state: what was read is what was counted, and every message of the topic was read once."""
        messages = self.world.messages()
        states = ["one", "two"] + ([] if self.faults["state_made_anew"] else ["embedded"])
        self.ledgers = {}
        for state in states:
            told = subprocess.run(
                [self.args.ledger, "--exact", "--ignored", "--nocapture", "ledger::of_a_state"],
                env={"ADPROF_FAULT_STATE": str(self.world.dir / state)}, capture_output=True, text=True, check=False,
            )  # fmt: skip
            line = next((line for line in told.stdout.splitlines() if line.startswith("{")), None)
            if line is None:
                raise Wrong(f"the ledger of {state} cannot be read: {told.stdout}{told.stderr}")
            ledger = self.ledgers[state] = json.loads(line)
            parts = sum(ledger[name] for name in ("absorbed", "duplicates", "covered", "refused"))
            if ledger["consumed"] != messages or parts != messages or ledger["refused"] != REFUSED:
                raise Wrong(f"the ledger of {state} does not add up to {messages} messages: {ledger}")

    def summary(self, outcome):
        world, fold = self.world, self.world.fold
        rows = [
            f"{outcome}: seed {self.args.seed}, {self.args.minutes:g} minutes, {sum(self.faults.values())} faults, "
            f"{self.healings} comparisons",
            f"events {len(fold.seen)}, acknowledged {len(world.collector.acked)}, lines in the log {fold.lines}, "
            f"twice {fold.twice}, keys {len(fold.keys)}, bits flipped {world.flipped()}",
            f"longest time until everything was whole: {self.slowest:.1f} s",
            *(f"ledger of {state}: {ledger}" for state, ledger in getattr(self, "ledgers", {}).items()),
            *(f"ends of {program.name}: {dict(sorted(program.ends.items()))}" for program in world.programs),
            *(f"{count:5} {name.replace('_', ' ')}" for name, count in self.faults.most_common()),
        ]
        print("\n".join(rows), flush=True)


def arguments():
    parser = argparse.ArgumentParser(prog="soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("program", "servers", "dir", "ledger"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--rate", type=int, default=400, help="events a second")
    parser.add_argument("--heal", type=float, default=45, help="seconds between two comparisons, about")
    known = [fault.__name__ for fault, _ in nemesis.FAULTS]
    parser.add_argument("--only", type=lambda text: text.split(","), help="these faults: " + ",".join(known))
    args = parser.parse_args()
    for name in ("program", "servers", "dir", "ledger"):
        setattr(args, name, str(Path(getattr(args, name)).resolve()))
    if unknown := set(args.only or ()) - set(known):
        parser.error(f"no such fault: {', '.join(unknown)}")
    return args


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    say(f"seed {args.seed}")
    soak = Soak(args)
    try:
        soak.run()
    except Wrong as e:
        soak.summary("FAILED")
        say(f"{e}\neverything is kept in {args.dir}")
        sys.exit(1)
    finally:
        soak.world.kill()
    soak.summary("whole")


main()
