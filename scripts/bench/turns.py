"""Jobs in turn, each on a machine at rest, and none always behind the same other one.

A job leaves something behind: pages that are not on the disk yet, memory and processes that the kernel still clears away. Who
follows a JVM of some gigabytes would pay for it.
"""

import os
import time
from pathlib import Path

from .process import say

# Seconds of rest, the share of all cores that may be busy meanwhile, and the longest wait for it.
REST, BUSY, PATIENCE = 0.5, 0.05, 30.0


def ticks():
    """What all cores did so far: (in all, idle). Waiting for a disk is not idle."""
    numbers = [int(n) for n in Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:9]]
    return sum(numbers), numbers[3]


def settle():
    """Waits until what was written is on the disk and all cores are idle for half a second; says so when they never are.

    ADPROF_BENCH_SETTLE is the longest wait in seconds; 0: none at all.
    """
    patience = float(os.environ.get("ADPROF_BENCH_SETTLE", PATIENCE))
    if patience <= 0:
        return
    os.sync()
    end = time.monotonic() + patience
    while True:
        all_before, idle_before = ticks()
        time.sleep(REST)
        all_after, idle_after = ticks()
        passed = all_after - all_before
        if passed - (idle_after - idle_before) <= BUSY * passed:
            return
        if time.monotonic() >= end:
            say(f"bench: the machine is still busy after {patience:g} s: measured all the same")
            return


def order(names, round_):
    """The names in the order of a round: in as many rounds as there are names, each follows each other one about as often."""
    n = len(names)
    # 0, 1, -1, 2, -2, … is a Williams design where n is even; where it is odd its mirror image belongs to it.
    steps = [(i + 1) // 2 if i % 2 else -(i // 2) for i in range(n)]
    if n % 2 and round_ % 2:
        steps.reverse()
    return [names[(step + round_) % n] for step in steps]


def in_turn(jobs, runs, warm=True):
    """Each job `runs` times, in rounds, so that a busy machine is busy for all of them: {name: [Run]}.

    One round before the first only warms the page cache. A job is a function that gives a Run, or None when it failed:
    then it is left out from there on.
    """
    results = {name: [] for name in jobs}
    for round_ in range(0 if warm else 1, runs + 1):
        for name in order(list(results), round_):
            if round_ > 0:
                settle()
            outcome = jobs[name]()
            if outcome is None:
                del results[name]
                continue
            words = f"  {name:<18} {outcome.seconds:8.3f} s {outcome.peak_mib:7.0f} MiB"
            if outcome.statement is not None:
                words += f"  (statement {outcome.statement:.3f} s)"
            say(words + ("  warm-up" if round_ == 0 else ""))
            if round_ > 0:
                results[name].append(outcome)
    return results
