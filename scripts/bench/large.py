"""bench.large: the nightly job over many users, with all the memory there is and with little. Prints Markdown.

    python3 -m bench.large --program ADPROF --dir DIR [--events N] [--users M] [--runs N] [--duckdb-runs N] [--tags 8,24]
                           [--limit SIZE] [--memory SIZE] [--duckdb-memory SIZE] [--small N] [--threads N] [--write-docs]

Four jobs for each number of tags: adprof and DuckDB, without a limit and in a control group of --limit (1G) of memory; there
adprof is told --memory and DuckDB its memory_limit, and both spill to the same disk. A control group needs root. The events
are made before, outside of it, and lie in the page cache where the machine has memory for them; pages read or written
inside count in it. The values of all are compared user by user. What writing the answer takes is told by runs of adprof,
without a limit, that write it nowhere (/dev/null), and over the file of the run before, whose pages the system has already: in a
virtual machine new ones may cost twenty times the copying. --small N: events of the small runs whose times the large ones are held
against (a tenth by default; 0: none): adprof's own for how the time grows, and DuckDB's as what this machine is worth today.
"""

import argparse
import os
from pathlib import Path

from . import compare, machine, report
from .batch import SHOWN, adprof, available, peer
from .events import about, generate
from .limit import limited
from .process import apart, remove, run, say
from .turns import in_turn

BUCKETS = 64
# Runs of adprof alone, told of in rows of their own.
ALONE = {"unwritten": "adprof, into /dev/null", "over": "adprof, over the file before"}


def arguments():
    parser = argparse.ArgumentParser(
        prog="bench.large", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--program", required=True)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--events", type=int, default=50_000_000)
    parser.add_argument("--users", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--duckdb-runs", type=int, default=5, help="it takes about a minute a run; 0 leaves it out")
    parser.add_argument("--tags", default="8,24", help="numbers of tags: 8, 24 or both")
    parser.add_argument("--limit", default="1G", help="memory of the control group; none: no such runs")
    parser.add_argument("--memory", default="800M", help="what adprof is told in there")
    parser.add_argument("--duckdb-memory", default="700MB", help="what DuckDB is told in there; more, and it is killed")
    parser.add_argument("--small", type=int, metavar="N")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/benchmarks.md")
    args = parser.parse_args()
    args.tags = [int(n) for n in args.tags.split(",")]
    args.small = args.events // 10 if args.small is None else args.small
    return args


class Large:
    def __init__(self, args):
        self.args, self.dir, self.adprof = args, Path(args.dir).resolve(), str(Path(args.program).resolve())
        self.load = machine.load()
        self.events, self.lines, _ = generate(self.adprof, self.dir, args.events, args.users)
        self.small = None
        if args.small:
            users = max(1, args.users * args.small // args.events)
            self.small, _, _ = generate(self.adprof, self.dir, args.small, users, "small.ndjson")
        self.limit, why = (None, "") if args.limit == "none" else limited(args.limit)
        if self.limit is None and why:
            say(f"bench: skipped: runs within {args.limit}: {why}")
        self.bounded = "--memory" in run([self.adprof, "batch", "--help"], self.dir).out
        if not self.bounded:
            say("bench: this adprof has no --memory: within the limit it may be killed")
        self.version, self.failed = "", []

    def about_limit(self):
        if not self.limit:
            return []
        memory = self.args.memory if self.bounded else "(not there yet)"
        return [
            f"- within {self.args.limit}: adprof --memory {memory}, DuckDB memory_limit {self.args.duckdb_memory}",
            "- the page cache is warm and outside of the limit; what is read and written within counts in it",
        ]

    def warm(self):
        """A system may drop what nobody read for minutes; read again within the limit it would count there, in every run."""
        run(["cat", str(self.events)], self.dir, stdout=os.devnull)

    def output(self, engine, limited, tags):
        return self.dir / f"{engine}-{tags}{'-limited' if limited else ''}.out"

    def ours(self, limited, tags, events=None, output=None, over=False):
        more = ["--memory", self.args.memory, "--temp-dir", self.dir] if limited and self.bounded else []
        output = output or self.output("adprof" if events is None else "small", limited, tags)
        how = {"limit": self.limit, "fails": False} if limited else {"over": over}
        if limited:
            self.warm()
        return adprof(self.adprof, events or self.events, output, self.dir, self.args.threads, tags, more, **how)

    def duckdb(self, limited, tags, events=None):
        temp = self.dir / "duckdb-temp"
        remove(temp)
        # Without a limit it may spill as well: by itself it stays within four fifths of the machine's memory.
        more = ["--temp", temp] + (["--memory", self.args.duckdb_memory] if limited else [])
        how = {"limit": self.limit if limited else None, "fails": False}
        if limited:
            self.warm()
        output = self.output("duckdb" if events is None else "duckdb-small", limited, tags)
        done = peer("duckdb", events or self.events, output, self.dir, self.args.threads, tags, more, **how)
        self.version = done.version if done else self.version
        return done

    def measure(self, tags):
        """[(name, limited, runs)] of one number of tags, after their values were compared."""
        limits = [False] + ([True] if self.limit else [])
        ours = {("adprof", limited): lambda limited=limited: self.ours(limited, tags) for limited in limits}
        duckdb, peers = bool(available(["duckdb"])), {}
        if self.small:
            ours["small", False] = lambda: self.ours(False, tags, self.small)
        if self.small and duckdb:
            # As often as adprof's: it takes seconds.
            ours["duckdb-small", False] = lambda: self.duckdb(False, tags, self.small)
        if self.args.duckdb_runs and duckdb:
            peers = {("duckdb", limited): lambda limited=limited: self.duckdb(limited, tags) for limited in limits}
        say(f"{tags} tags")
        # In turn while both are wanted; DuckDB may have fewer runs, and then its last ones come with the first of adprof.
        both = min(self.args.runs, self.args.duckdb_runs) if peers else 0
        results = in_turn(self.named(ours | peers), both) if both else {}
        for jobs, wanted in ((ours, self.args.runs), (peers, self.args.duckdb_runs)):
            rest = {name: job for name, job in self.named(jobs).items() if not both or name in results}
            if wanted > both and rest:
                for name, runs in in_turn(rest, wanted - both, warm=not both).items():
                    results[name] = results.get(name, []) + runs
        self.failed += [f"- {name}, {tags} tags: did not come to an end" for name in self.named(ours | peers) if name not in results]
        self.compare(results, tags)
        return results

    @staticmethod
    def named(jobs):
        return {f"{engine}{' limited' if limited else ''}": job for (engine, limited), job in jobs.items()}

    def compare(self, results, tags):
        outputs = {}
        for name in results:
            engine, _, limited = name.partition(" ")
            outputs[name.replace(" ", "-")] = self.output(engine, limited, tags)
        small = {name: output for name, output in outputs.items() if name.endswith("small")}
        for same in (small, {name: output for name, output in outputs.items() if name not in small}):
            if same:
                apart(compare.all_equal, same, self.dir / "compare", BUCKETS)
        for output in outputs.values():
            remove(output)

    def alone(self, found):
        """Adds the runs of adprof alone, when no output of others takes memory from the page cache any more; all numbers of tags
        in turn.
        """
        def written(tags):
            return self.ours(False, tags, output=self.output("over", False, tags), over=True)

        def unwritten(tags):
            return self.ours(False, tags, output=os.devnull)

        say("without new pages")
        jobs = {f"{name} {tags}": (job, tags) for tags in found for name, job in (("unwritten", unwritten), ("over", written))}
        results = in_turn({name: lambda job=job, tags=tags: job(tags) for name, (job, tags) in jobs.items()}, self.args.runs)
        for name, runs in results.items():
            found[jobs[name][1]][name.split()[0]] = runs
        for tags in found:
            remove(self.output("over", False, tags))

    def rows(self, results, tags):
        rows = []
        few = f"{self.args.small / 1e6:.3g} M events"
        alone = {"small": f"adprof, {few}", "duckdb-small": f"DuckDB, {few}"} | ALONE
        for name, runs in results.items():
            engine, _, limited = name.partition(" ")
            if engine in alone:
                rows.append([alone[engine], tags, "none", report.alone(runs), "", report.peak(runs)])
                continue
            ours = results.get(f"adprof{' limited' if limited else ''}")
            # As everywhere, it is the statement of a peer that counts.
            ratio = f"{report.statement(runs) / report.median(ours):.2f}" if ours else ""
            rows.append([SHOWN[engine], tags, self.args.limit if limited else "none", report.alone(runs), ratio, report.peak(runs)])
        return rows


def ratios(all_results):
    """The ratios that were promised, of medians."""
    lines = []
    for tags, results in all_results.items():
        if "small" in results and "adprof" in results:
            ratio = report.median(results["adprof"]) / report.median(results["small"])
            lines.append(f"- {tags} tags: all events take {ratio:.1f} times as long as the small run, without a limit")
        if "duckdb-small" in results and "adprof limited" in results:
            ratio = report.median(results["adprof limited"]) / report.median(results["duckdb-small"])
            lines.append(f"- {tags} tags: all events within the limit take {ratio:.2f} times as long as DuckDB's small run as a whole")
    if {8, 24} <= all_results.keys():
        for name, words in ({"adprof": "adprof", "adprof limited": "adprof limited"} | ALONE).items():
            if all(name in all_results[tags] for tags in (8, 24)):
                ratio = report.median(all_results[24][name]) / report.median(all_results[8][name])
                lines.append(f"- {words}: 24 tags take {ratio:.2f} times as long as 8")
    return lines


def main():
    args = arguments()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    large = Large(args)
    try:
        found = {tags: large.measure(tags) for tags in args.tags}
        large.alone(found)
    finally:
        if large.limit:
            large.limit.remove()
    said = [
        machine.machine(),
        machine.versions(large.adprof, [large.version] if large.version else []),
        about(large.events, large.lines, args.users),
        machine.day(f"{args.runs} (DuckDB: {args.duckdb_runs})", large.load),
        "- the values of all are equal, user by user",
        *large.about_limit(),
        *large.failed,
        *ratios(found),
    ]
    rows = [row for tags, results in found.items() for row in large.rows(results, tags)]
    head = ["engine", "tags", "limit", "time", "/ adprof", "peak memory"]
    report.publish("large", "\n".join(said) + "\n\n" + report.table(head, rows), args.write_docs)


if __name__ == "__main__":
    main()
