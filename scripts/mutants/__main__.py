"""mutants: the run of scripts/mutants.sh. Makes all mutants in a copy of the sources, builds once, tries one after the other.

    python3 -m mutants --copy DIR --target DIR [--only NAME,... | --write-docs]
    python3 -m mutants --check --copy DIR         only whether each still applies to these sources, which stay as they are

A file beside the build says which mutant is on, so that one build has them all. First every named test must be green with
none of them. Prints a table, which `--write-docs` puts into docs/reliability.md; the exit code is 1 when a mutant lived, 2 when
one no longer applies.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from .guards import GUARDS

SWITCH = '''
/// Whether this mutant is tried now.
pub fn mutant(name: &str) -> bool {
    static NAME: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let read = || std::fs::read_to_string(env!("ADPROF_MUTANT_FILE")).unwrap_or_default();
    NAME.get_or_init(read) == name
}
'''
LIMIT = 300
DOCS = Path("docs/reliability.md")
BEGIN, END = "<!-- results: scripts/mutants.sh --write-docs -->\n", "<!-- end of mutants -->\n"


def say(words):
    print(words, file=sys.stderr, flush=True)


def check(copy, guards):
    """An exit with the names of those that no longer apply, if there are any."""
    gone = []
    for guard in guards:
        times = (copy / guard.file).read_text(encoding="utf-8").count(guard.before)
        if times != 1 or "MUTANT" not in guard.after:
            gone.append(f"{guard.name}: `{guard.before}` stands {times} times in {guard.file}")
        binary, name = guard.test
        sources = [copy / f"tests/{binary}.rs", *(copy / "tests" / binary).glob("**/*.rs")]
        function = f"fn {name.rsplit('::', 1)[-1]}("
        if not any(function in path.read_text(encoding="utf-8") for path in sources):
            gone.append(f"{guard.name}: tests/{binary} has no `{name}`")
    if gone:
        say("mutants that no longer apply:\n" + "\n".join(gone))
        sys.exit(2)


def apply(copy, guards):
    """All patches."""
    for guard in guards:
        path = copy / guard.file
        crate = "adprof" if guard.file.startswith("src/bin") else "crate"
        after = guard.after.replace("MUTANT", f'{crate}::mutant("{guard.name}")')
        path.write_text(path.read_text(encoding="utf-8").replace(guard.before, after), "utf-8")
    with open(copy / "src/common/lib.rs", "a", encoding="utf-8") as out:
        out.write(SWITCH)


def build(copy, target, switch, guards):
    env = {**os.environ, "CARGO_TARGET_DIR": str(target), "ADPROF_MUTANT_FILE": str(switch)}
    command = ["cargo", "test", "--locked", "--no-run", "--message-format", "json"]
    for name in sorted({guard.test[0] for guard in guards}):
        command += ["--test", name]
    built = subprocess.run(command, cwd=copy, env=env, stdout=subprocess.PIPE, text=True, check=True)
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    tests = [m for m in messages if m.get("executable") and m["profile"]["test"]]
    return {message["target"]["name"]: message["executable"] for message in tests}


def green(executable, name, copy, words=False):
    """Whether the test passes; None when there is none of this name. With `words` a failure is shown."""
    command = [executable, "--exact", name, "--test-threads", "1"]
    try:
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return False
    if " 0 passed; 0 failed" in done.stdout:
        return None
    if words and done.returncode != 0:
        say(done.stdout[-8000:] + done.stderr[-2000:])
    return done.returncode == 0


def write_docs(lines):
    before, begin, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        sys.exit(f"mutants: {DOCS}: no part for the results")
    DOCS.write_text(before + begin + "\n".join(lines) + "\n" + end + after, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copy", required=True, type=Path)
    parser.add_argument("--target", type=Path)
    parser.add_argument("--check", action="store_true")
    some = parser.add_mutually_exclusive_group()
    some.add_argument("--only", type=lambda text: text.split(","), default=[guard.name for guard in GUARDS])
    some.add_argument("--write-docs", action="store_true")
    args = parser.parse_args()
    guards = [guard for guard in GUARDS if guard.name in args.only]
    check(args.copy, guards)
    if args.check:
        return
    if args.target is None:
        parser.error("--target is missing")
    switch = args.target.resolve() / "mutant"
    switch.parent.mkdir(parents=True, exist_ok=True)
    switch.write_text("")
    apply(args.copy, guards)
    tests = build(args.copy, args.target, switch, guards)
    for binary, name in sorted({guard.test for guard in guards}):
        if green(tests[binary], name, args.copy, words=True) is not True:
            say(f"not green without any mutant: {binary} {name}")
            sys.exit(2)
    lived, lines = 0, ["| the guard | the test that is red without it | |", "|---|---|---|"]
    print("\n".join(lines), flush=True)
    for guard in guards:
        switch.write_text(guard.name)
        lives = green(tests[guard.test[0]], guard.test[1], args.copy)
        lived += lives is not False
        lines.append(f"| {guard.law} | `{guard.test[0]}`: {guard.test[1]} | {'**lived**' if lives else 'red'} |")
        print(lines[-1], flush=True)
    if args.write_docs:
        write_docs(lines)
    # The program stays in the folder, with all guards.
    switch.write_text("")
    say(f"{len(guards)} mutants, {lived} lived")
    sys.exit(lived > 0)


main()
