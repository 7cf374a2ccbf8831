"""The nightly job next to its peers: the same file, the same tags, the same values, in turn."""

import json
import os
import shutil
from pathlib import Path

from . import chart, compare, hard, report
from .events import AS_OF_MS
from .process import apart, remove, run, say
from .turns import in_turn

SCRIPTS = Path(__file__).resolve().parents[1]
# name: (the script in scripts/peers/, the variable that names its Python, whether it starts a JVM)
PEERS = {
    "duckdb": ("with_duckdb.py", "ADPROF_PEERS_PYTHON", False),
    "chdb": ("with_chdb.py", "ADPROF_PEERS_PYTHON", False),
    "polars": ("with_polars.py", "ADPROF_PEERS_PYTHON", False),
    "spark": ("with_spark.py", "ADPROF_PEERS_PYTHON", True),
    "flink": ("with_flink.py", "ADPROF_FLINK_PYTHON", True),
}
SHOWN = {"adprof": "adprof", "duckdb": "DuckDB", "chdb": "ClickHouse", "polars": "Polars", "spark": "Spark", "flink": "Flink"}


def definitions(tags):
    return SCRIPTS / ("bench.toml" if tags == 8 else f"bench-{tags}.toml")


def adprof(program, events, output, folder, threads, tags=8, more=(), **how):
    if output != os.devnull and not how.get("over"):
        remove(output)
    command = [program, "batch", "-d", definitions(tags), "--log", events, "--tags", "all", "--as-of", AS_OF_MS]
    command += ["--threads", threads, *more]
    # Not `-o`, which waits for the disk: no peer does.
    return run(list(map(str, command)), folder, stdout=output, **how)


def peer(name, events, output, folder, threads, tags=8, more=(), **how):
    script, variable, children = PEERS[name]
    remove(output)
    command = [os.environ[variable], "-B", SCRIPTS / "peers" / script, "--input", events, "--output", output]
    command += ["--as-of", AS_OF_MS, "--threads", threads, "--tags", tags, *more]
    done = run(list(map(str, command)), folder, children=children, **how)
    if done:
        told = json.loads(done.out.strip().split("\n")[-1])
        done.statement, done.version = told["statement_s"], f"{told['engine']} {told['version']}"
    return done


def available(wanted):
    """The peers of `wanted` that are installed; the others are named in one line each."""
    found = []
    for name in wanted:
        _, variable, java = PEERS[name]
        if java and not os.environ.get("JAVA_HOME") and not shutil.which("java"):
            say(f"bench: skipped: {SHOWN[name]}: there is no `java`")
        elif os.environ.get(variable):
            found.append(name)
        else:
            say(f"bench: skipped: {SHOWN[name]}: {variable} names no Python that has it (scripts/peers.sh prepares one)")
    return found


def agree(bench, engines):
    """Runs every engine once over the hard file; exits unless they agree there. Nothing of it is timed."""
    source = bench.dir / "hard.ndjson"
    hard.write(bench.events, source)
    outputs = {name: bench.dir / f"hard-{name}.out" for name in engines}
    for name, output in outputs.items():
        say(f"  {name} over the hard file")
        if name == "adprof":
            adprof(bench.adprof, source, output, bench.dir, bench.args.threads)
        else:
            peer(name, source, output, bench.dir, bench.args.threads)
    apart(compare.all_equal, outputs, bench.dir / "compare-hard")


def measure(bench):
    """Runs all in turn, compares all values, then tells: the table, and the picture."""
    outputs = {"adprof": bench.dir / "adprof.out"}
    jobs = {"adprof": lambda: adprof(bench.adprof, bench.events, outputs["adprof"], bench.dir, bench.args.threads)}
    for name in available(bench.args.peers):
        outputs[name] = bench.dir / f"{name}.out"
        jobs[name] = lambda name=name: peer(name, bench.events, outputs[name], bench.dir, bench.args.threads)
    agree(bench, jobs)
    say(f"batch, eight tags, in turn: {', '.join(jobs)}")
    results = in_turn(jobs, bench.args.runs)
    users = apart(compare.all_equal, {name: outputs[name] for name in results}, bench.dir / "compare")
    ours = report.median(results["adprof"])
    rows = []
    for name, runs in sorted(results.items(), key=lambda item: report.statement(item[1])):
        ratios = [f"{report.statement(runs) / ours:.2f}", f"{report.median(runs) / ours:.2f}"] if name != "adprof" else ["1", "1"]
        rows.append([SHOWN[name], report.alone(runs), report.whole(runs), *ratios, report.peak(runs)])
    head = ["engine", "statement", "whole process", "statement / adprof", "process / adprof", "peak memory"]
    said = [
        *bench.about(runs[0].version for name, runs in results.items() if name != "adprof"),
        f"- job: `scripts/bench.toml`, eight tags of {users:,} users, {bench.args.threads} threads each; the values of all "
        "engines are equal, user by user",
    ]
    shown = ["![seconds of each engine](bench-batch.svg)", ""] if bench.args.write_docs else []
    report.publish("batch", "\n".join(shown + said) + "\n\n" + report.table(head, rows), bench.args.write_docs)
    picture = chart.bars(
        f"Nightly job: {bench.lines / 1e6:.3g} M events, {users / 1e6:.3g} M users, eight tags, exact deduplication",
        f"seconds of the statement, without starting Python or a JVM (adprof: whole process), {bench.args.threads} threads; less is better",
        {SHOWN[name]: report.statement(runs) for name, runs in results.items()},
        "adprof",
    )
    target = report.DOCS / "bench-batch.svg" if bench.args.write_docs else bench.args.picture
    if target:
        Path(target).write_text(picture, encoding="utf-8")
        say(f"bench: wrote {target}")
