#!/usr/bin/env bash
# mutants.sh: takes away each guard on which the promise hangs, one at a time, and demands that its test goes red.
#
#   scripts/mutants.sh [--only NAME,... | --write-docs]
#
# Works on a copy of the committed sources with a target folder of its own: all mutants in one build, one of them on at a
# time (scripts/mutants/guards.py names them). A mutant whose patch no longer applies is an error, and so is a test that is
# red without any. Prints a table, which --write-docs puts into docs/reliability.md.
#
#   ADPROF_MUTANTS_DIR=DIR   where to make the temporary folder, instead of TMPDIR
#   ADPROF_MUTANTS_TARGET=DIR   a target folder that stays, so that the next run builds less; the program in it is one with all
#                               mutants, so nothing else may be tested in there meanwhile
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh
# shellcheck source=scripts/duckdb.sh
source scripts/duckdb.sh
case " $* " in *' -h '* | *' --help '*) usage_of scripts/mutants.sh; exit ;; esac
have python3 || die "missing \`python3\`"
need strace strace || exit 1
need_build_tools
prepare_python

work=$(mktemp -d -p "${ADPROF_MUTANTS_DIR:-${TMPDIR:-/tmp}}" adprof-mutants.XXXXXX)
# shellcheck disable=SC2317  # a trap calls it
finish() {
    local code=$?
    trap '' INT TERM HUP
    scripts/servers.sh stop "$work/servers" || code=1
    rm -rf "$work"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir "$work/copy"
git archive HEAD | tar -x -C "$work/copy"
export ADPROF_REQUIRE_SERVERS=1
scripts/servers.sh start "$work/servers"
# shellcheck source=/dev/null
source "$work/servers/env"
PYTHONPATH=scripts python3 -B -m mutants --copy "$work/copy" --target "${ADPROF_MUTANTS_TARGET:-$work/target}" "$@"
