#!/usr/bin/env python3
"""agree.py: random definitions, by `adprof batch` and by each engine; scripts/engines.sh starts it.

For each round a definition file of many random sets, of users and of random entities, and a log of random events. `adprof
batch` gives the values, `adprof stream --emit final` and every engine over what `adprof compile` prints must give the same
for the same keys, compared as text and as exact numbers. What an engine refuses is counted and left out. Exits with 1, the seed and the smallest example on a difference.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path

import sets

HERE = Path(__file__).resolve().parent
PLACE = re.compile(r"^(?:adprof compile: )?[^:\n]+:(\d+):\d+: (.*)$", re.MULTILINE)


class Engine:
    """A process that runs statements."""

    def __init__(self, name, python):
        self.name = name
        # Flink does not know in which order lines stand in a file.
        self.knows_order = name != "flink"
        command = [python, str(HERE / "engine.py"), name]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.version, self.refused, self.values, self.sets, self.keys = None, Counter(), 0, 0, 0
        self.differences, self.seconds = [], 0.0

    def begun(self):
        answer = json.loads(self.process.stdout.readline() or '{"error": "it does not start"}')
        if "error" in answer:
            sys.exit(f"agree.py: {self.name}: {answer['error']}")
        self.version = answer["version"]

    def ask(self, path):
        start = time.perf_counter()
        print(path, file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline() or '{"error": "it ended"}')
        self.seconds += time.perf_counter() - start
        return answer


class Round:
    """A definition file, a log and an instant."""

    def __init__(self, args, number, folder):
        rng = sets.generator(args.seed, number)
        self.adprof, self.number, self.folder = args.adprof, number, folder
        self.definitions, self.log, self.equal = folder / "adprof.toml", folder / "log.ndjson", folder / "equal.ndjson"
        self.entities = [sets.USERS, *(self.entity(rng, number) for number in range(args.entities))]
        self.text = sets.definitions(rng, args.sets, self.entities[1:])
        self.definitions.write_text(self.text, encoding="utf-8")
        for path, lines in zip((self.log, self.equal), sets.events(rng, args.events)):
            path.write_text(lines, encoding="utf-8")
        self.as_of = sets.NOW - rng.choice([0, 0, 1, 500, 1000, 3_599_999, 3_600_000, 86_400_000])
        self.codes = re.findall(r'^code = "(.*)"', self.text, re.MULTILINE)

    def entity(self, rng, number):
        """A random entity whose parts have types that a key may have."""
        while True:
            entity = sets.Entity.random(rng, number)
            self.definitions.write_text(sets.fields() + entity.written() + sets.there(number, entity), encoding="utf-8")
            if self.run("check", self.definitions)[0] == 0:
                return entity

    def codes_of(self, entity):
        found = []
        for block in self.text.split("[[tag]]\n")[1:]:
            name = re.search(r'^entity = "(.*)"', block, re.MULTILINE)
            if (name.group(1) if name else "user") == entity.name:
                found.append(re.match(r'code = "(.*)"', block).group(1))
        return found

    def run(self, *command):
        done = subprocess.run([self.adprof, "-q", *map(str, command)], capture_output=True, text=True, cwd=self.folder)
        return done.returncode, done.stdout, done.stderr

    def checked(self):
        """Leaves out the sets in which a random expression has no type that fits."""
        while True:
            code, _, words = self.run("check", self.definitions)
            if code == 0:
                return
            wrong = {self.set_of(int(line)) for line, _ in PLACE.findall(words.replace("adprof check: ", ""))}
            if not wrong - {None}:
                sys.exit(f"agree.py: adprof check: {words}")
            blocks = self.text.split("[[tag]]\n")
            keep = [block for block in blocks[1:] if re.match(r'code = "(s\d+)_', block).group(1) not in wrong]
            self.text = "[[tag]]\n".join([blocks[0], *keep])
            self.definitions.write_text(self.text, encoding="utf-8")
            self.codes = re.findall(r'^code = "(.*)"', self.text, re.MULTILINE)

    def set_of(self, line):
        """The set of the tag that stands in a line."""
        found = None
        for number, text in enumerate(self.text.splitlines(), 1):
            if match := re.match(r'code = "(s\d+)_', text):
                found = match.group(1)
            if number == line:
                return found
        return found

    def expected(self, command, *more):
        code, out, words = self.run(command, "-d", self.definitions, "--tags", "all", *more)
        if code != 0:
            sys.exit(f"agree.py: adprof {command}: {words}")
        return profiles(out)

    def compile(self, engine, entity, codes):
        path = self.folder / f"{engine.name}.{entity.name}.sql"
        log = self.log if engine.knows_order else self.equal
        command = ["compile", "--to", engine.name, "--entity", entity.name, "-d", self.definitions, "--log", log, "--as-of", self.as_of]
        code, out, words = self.run(*command, "--tags", ",".join(codes), "-o", path)
        return path, code, words


def profiles(lines):
    """The tags by (entity, parts of the key), without the keys that are forgotten."""
    found = {}
    for patch in (json.loads(line, parse_float=Decimal) for line in lines.splitlines()):
        key = patch["userId"] if "userId" in patch else patch["key"]
        there = [value for code, value in patch["tags"].items() if code.endswith("_there")]
        if there != [None]:
            found[patch.get("entity", "user"), tuple(key) if isinstance(key, list) else (key,)] = patch["tags"]
    return found


def compare(engine, entity, want, codes, rows):
    want = {key: tags for (name, key), tags in want.items() if name == entity.name}
    columns = entity.columns()
    got = {tuple(row[column] for column in columns): row for row in rows}
    if got.keys() != want.keys() or len(rows) != len(got):
        ours, theirs = want.keys() - got.keys(), got.keys() - want.keys()
        return [(codes[0], f"{len(want)} keys, {len(rows)} rows", sorted(ours), sorted(theirs, key=str))]
    engine.keys += len(got)
    found = []
    for key, tags in want.items():
        for code in codes:
            engine.values += 1
            if not same(tags[code], got[key][code]):
                found.append((code, key, tags[code], got[key][code]))
    return found


def same(ours, theirs):
    """Whether a value of a patch is that of an engine (see engine.py)."""
    if isinstance(ours, list):
        return isinstance(theirs, list) and len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(theirs, dict):
        if isinstance(ours, bool) or not isinstance(ours, (int, Decimal)):
            return False
        if "x" in theirs:
            return float(ours) == float.fromhex(theirs["x"])
        return Decimal(ours) == Decimal(theirs["n"])
    return type(ours) is type(theirs) and ours == theirs


def check_engine(engine, of_round, entity, want):
    codes = of_round.codes_of(entity)
    while codes:
        path, status, words = of_round.compile(engine, entity, codes)
        if status == 0:
            break
        wrong = {(of_round.set_of(int(line)), why) for line, why in PLACE.findall(words)}
        if status != 78 or not wrong:
            sys.exit(f"agree.py: adprof compile --to {engine.name}: {status}: {words}")
        for name, why in wrong:
            engine.refused[why] += 1
        names = {name for name, _ in wrong}
        # What is wrong with a key stands before all tags.
        codes = [] if None in names else [code for code in codes if code.split("_")[0] not in names]
    if not codes:
        return codes, []
    answer = engine.ask(path)
    if "error" in answer:
        return codes, [("error", None, None, answer["error"])]
    engine.sets += len({code.split("_")[0] for code in codes})
    return codes, compare(engine, entity, want, codes, answer["rows"])


def smallest(engine, of_round, entity, codes, error):
    """One tag whose statement fails too, and how: halves of what failed, as long as one of them fails."""
    while len(codes) > 1:
        half = len(codes) // 2
        for part in (codes[:half], codes[half:]):
            path, status, _ = of_round.compile(engine, entity, part)
            answer = engine.ask(path) if status == 0 else {}
            if "error" in answer:
                codes, error = part, answer["error"]
                break
        else:
            break
    return codes[0], error


def shown(of_round, code):
    for block in of_round.text.split("[[tag]]\n")[1:]:
        if block.startswith(f'code = "{code}"'):
            return block.strip()
    return code


def report(engine, of_round, args, code, key, ours, theirs):
    print(f"\n{engine}: seed {args.seed}, round {of_round.number}, as of {of_round.as_of}, key {key}", file=sys.stderr)
    for entity in of_round.entities[1:]:
        if code in of_round.codes_of(entity):
            print(entity.written().strip(), file=sys.stderr)
    print(shown(of_round, code), file=sys.stderr)
    if match := re.match(r"(s\d+)_d", code or ""):
        for other in of_round.codes:
            if other.startswith(match.group(1) + "_") and other != code:
                print("  over " + shown(of_round, other).replace("\n", "\n       "), file=sys.stderr)
    print(f"adprof {json.dumps(ours, default=str, ensure_ascii=False)}, {engine} {json.dumps(theirs, ensure_ascii=False)[:600]}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adprof", required=True, help="the program")
    parser.add_argument("--engine", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--definitions", type=int, default=300, metavar="N", help="definition sets, all in all (300)")
    parser.add_argument("--sets", type=int, default=25, metavar="N", help="sets in one statement (25)")
    parser.add_argument("--entities", type=int, default=2, metavar="N", help="entities of a round besides users (2)")
    parser.add_argument("--events", type=int, default=250, metavar="N", help="events of a round (250)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", metavar="DIR", help="leave the files of the last round here")
    args = parser.parse_args()
    engines = [Engine(*given.split("=", 1)) for given in args.engine]
    for engine in engines:
        engine.begun()
    stream = Counter()
    rounds = max(1, -(-args.definitions // args.sets))
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        for number in range(rounds):
            folder = Path(args.keep or temporary)
            folder.mkdir(parents=True, exist_ok=True)
            of_round = Round(args, number, folder)
            of_round.checked()
            log, equal = (of_round.expected("batch", "--log", log, "--as-of", of_round.as_of) for log in (of_round.log, of_round.equal))
            stream["sets"] += len({code.split("_")[0] for code in of_round.codes})
            failed |= check_stream(of_round, args, stream)
            for engine in engines:
                want = log if engine.knows_order else equal
                differences = []
                for entity in of_round.entities:
                    codes, found = check_engine(engine, of_round, entity, want)
                    if found and found[0][0] == "error":
                        code, error = smallest(engine, of_round, entity, codes, found[0][3])
                        found = [(code, None, None, error)]
                    differences += found
                engine.differences += differences
                if differences:
                    failed = True
                    by_code = {}
                    for difference in differences:
                        by_code.setdefault(difference[0], difference)
                    # The shortest definitions say most.
                    for difference in sorted(by_code.values(), key=lambda d: len(shown(of_round, d[0])))[:4]:
                        report(engine.name, of_round, args, *difference)
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    print(f"seed {args.seed}")
    print(f"{'engine':<26} {'definitions':>11} {'keys':>8} {'values compared':>16} {'differences':>12} {'refused':>8} {'seconds':>8}")
    print(f"{'adprof stream':<26} {stream['sets']:>11} {stream['keys']:>8} {stream['values']:>16} {stream['differences']:>12} {0:>8}")
    for e in engines:
        print(f"{e.name + ' ' + e.version:<26} {e.sets:>11} {e.keys:>8} {e.values:>16} {len(e.differences):>12} {sum(e.refused.values()):>8} {e.seconds:>8.1f}")
    for e in engines:
        for why, times in e.refused.most_common():
            print(f"refused {times:>4}  {why}")
    sys.exit(1 if failed else 0)


def check_stream(of_round, args, counts):
    want = of_round.expected("batch", "--log", of_round.log)
    with open(of_round.log, encoding="utf-8") as log:
        command = [of_round.adprof, "-q", "stream", "--emit", "final", "-d", str(of_round.definitions), "--tags", "all"]
        done = subprocess.run(command, stdin=log, capture_output=True, text=True, cwd=of_round.folder)
    if done.returncode != 0:
        sys.exit(f"agree.py: adprof stream: {done.stderr}")
    got = profiles(done.stdout)
    counts["keys"] += len(want)
    failed = False
    for key, tags in want.items():
        for code, value in tags.items():
            counts["values"] += 1
            other = got.get(key, {}).get(code)
            if not (type(other) is type(value) and other == value):
                counts["differences"] += 1
                if not failed:
                    report("stream", of_round, args, code, key, value, other)
                failed = True
    return failed


if __name__ == "__main__":
    main()
