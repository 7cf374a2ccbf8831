"""faults: the runs of scripts/faults.sh, which prepares what they need. Prints a table; the exit code is 1 when a row failed.

    python3 -m faults --tests FILE --program ADPROF --dir DIR [--row N,...] [--runs R] [--seed S] [--soak-minutes M] [--write-docs]

--tests is what `cargo test --no-run --message-format json` says. Run n of a row has the seed S + n.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bench import machine

from .rows import ROWS

# A row whose tests hang is a failed row.
LIMIT = 1200
DOCS = Path("docs/reliability.md")
BEGIN, END = "<!-- results: scripts/faults.sh --write-docs -->", "<!-- end of results -->"


@dataclass
class Outcome:
    runs: int = 0
    tests: int = 0
    failures: int = 0
    seconds: float = 0.0
    skipped: set = field(default_factory=set)


def say(words):
    print(words, file=sys.stderr, flush=True)


def executables(path):
    found = {}
    for line in Path(path).read_text().splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("executable") and message["profile"]["test"]:
            found[message["target"]["name"]] = message["executable"]
    return found


def empty_redis():
    """What the runs before have left there is no part of the next one."""
    at = urlsplit(os.environ["ADPROF_TEST_REDIS"])
    with socket.create_connection((at.hostname, at.port), timeout=10) as link:
        link.sendall(b"FLUSHALL\r\n")
        if link.recv(64) != b"+OK\r\n":
            raise SystemExit("faults: the Redis of the tests cannot be emptied")


def run(row, seed, tests, dir, outcome):
    """All tests of a row, once."""
    empty_redis()
    env = {**os.environ, "ADPROF_FAULT_SEED": str(seed), "ADPROF_FAULT_THOROUGH": "1", "ADPROF_REQUIRE_SERVERS": "1"}
    began, words = time.monotonic(), dir / f"row-{row.number}-seed-{seed}.words"
    failed = 0
    with open(words, "ab") as log:
        for binary, *names in row.tests:
            command = [tests[binary], *filter(None, names), "--include-ignored", "--test-threads", "1", "--nocapture"]
            command += ["--skip", "ledger::of_a_state"]
            try:
                done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, timeout=LIMIT, check=False)
                out, failed = done.stdout, failed + (done.returncode != 0)
            except subprocess.TimeoutExpired as e:
                out, failed = (e.stdout or b"") + b"\nit hangs\n", failed + 1
            log.write(f"$ {' '.join(command)}\n".encode() + out)
            text = out.decode(errors="replace")
            ran = sum(int(line.split(" passed")[0].rsplit(" ", 1)[1]) for line in text.splitlines() if " passed; " in line)
            if ran == 0 and not failed:
                raise SystemExit(f"faults: row {row.number}: no test is called {binary} {' '.join(names)}")
            outcome.tests += ran
            outcome.skipped |= {line.split(": ", 1)[1] for line in text.splitlines() if line.startswith("skipped ") and ": " in line}
    outcome.seconds += time.monotonic() - began
    outcome.runs += 1
    outcome.failures += failed > 0
    if failed:
        say(f"row {row.number} failed with seed {seed}: {words}")
    else:
        words.unlink()


def soak(args, seed, outcome):
    began = time.monotonic()
    command = ["scripts/soak.sh", "--minutes", str(args.soak_minutes), "--seed", str(seed)]
    env = {**os.environ, "ADPROF_SOAK_DIR": str(args.dir)}
    done = subprocess.run(command, env=env, check=False, stdout=subprocess.PIPE)
    sys.stderr.buffer.write(done.stdout)
    outcome.runs, outcome.failures = outcome.runs + 1, outcome.failures + (done.returncode != 0)
    outcome.seconds += time.monotonic() - began


def table(outcomes):
    lines = ["| | fault | how | expected | runs | failed | seconds |", "|---|---|---|---|---|---|---|"]
    for row, o in outcomes:
        runs, failed = (o.runs, o.failures) if not o.skipped else (f"{o.runs}¹", o.failures)
        lines.append(f"| {row.number} | {row.fault} | {row.how} | {row.expected} | {runs} | {failed} | {o.seconds:.0f} |")
    skipped = sorted({words for _, o in outcomes for words in o.skipped})
    if skipped:
        lines += ["", "¹ In part: " + "; ".join(skipped) + "."]
    return lines


def about(args):
    kafka = Path(os.environ["ADPROF_TEST_KAFKA_LIBS"]).name
    redis = machine.first_line(["redis-server", "--version"]).split("v=")[1].split()[0]
    strace = machine.first_line(["strace", "--version"]).replace("strace -- version ", "strace ")
    versions = machine.versions(args.program, [f"Redis {redis}", kafka, strace])
    return [machine.machine(), versions, f"- {time.strftime('%Y-%m-%d')}; seeds from {args.seed} on"]


def write_docs(lines, whole):
    """Puts a table of all rows into the page, and of some rows each into its place."""
    text = DOCS.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    before, after = rest.split(END)
    if not whole:
        new = {line.split("|")[1]: line for line in lines if line.startswith("|")}
        lines = [new.get(line.split("|")[1], line) if line.startswith("|") else line for line in before.strip("\n").split("\n")]
    DOCS.write_text(f"{head}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(prog="faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("tests", "program"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--dir", required=True, type=Path)
    parser.add_argument("--row", type=lambda text: [int(n) for n in text.split(",")], default=[row.number for row in ROWS])
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--soak-minutes", type=float, default=5)
    parser.add_argument("--write-docs", action="store_true")
    args = parser.parse_args()
    tests, outcomes = executables(args.tests), []
    for row in ROWS:
        if row.number not in args.row:
            continue
        outcome = Outcome()
        for n in range(args.runs):
            if row.tests:
                run(row, args.seed + n, tests, args.dir, outcome)
            else:
                soak(args, args.seed + n, outcome)
        outcomes.append((row, outcome))
        say(f"row {row.number}: {row.fault}: {outcome.runs} runs, {outcome.failures} failed, {outcome.seconds:.0f} s")
    lines = [*about(args), "", *table(outcomes)]
    print("\n".join(lines))
    if args.write_docs:
        write_docs(lines, len(outcomes) == len(ROWS))
    sys.exit(any(outcome.failures for _, outcome in outcomes))


main()
