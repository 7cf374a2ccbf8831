#!/usr/bin/env bash
# bench.sh: how fast adprof is on this machine, batch next to DuckDB in the same minutes; prints Markdown.
#
#   scripts/bench.sh [ARG...] > table.md      ARGs go to scripts/bench.py: --events N, --users M, --runs N, --only NAME,...
#
# Builds the release program, prepares a Python with DuckDB, starts a Redis of its own (without one that line is left
# out), and measures in a temporary folder that needs about 4 GB for the default 5 M events and is removed at the end.
# What is measured, and how, stands in docs/benchmarks.md, where the table belongs.
#
#   ADPROF_BENCH_DIR=DIR       where to make the temporary folder: what it lies on decides about fsync
#   ADPROF_TEST_PYTHON=PATH    a Python that has duckdb
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh
# shellcheck source=scripts/duckdb.sh
source scripts/duckdb.sh
case ${1-} in -h | --help) usage_of scripts/bench.sh; exit ;; esac

work=''
# shellcheck disable=SC2317  # a trap calls it
finish() {
    local code=$?
    trap '' INT TERM HUP
    if [[ -n $work ]]; then
        scripts/servers.sh stop "$work/servers" || code=1
        rm -rf "$work"
    fi
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

need_build_tools
need python3 python3 || exit 1
cargo build --release --locked
program=${CARGO_TARGET_DIR:-target}/release/adprof

unset ADPROF_TEST_REDIS REDIS_URL ADPROF_STORE ADPROF_DEFINITIONS
work=$(mktemp -d -p "${ADPROF_BENCH_DIR:-${TMPDIR:-/tmp}}" adprof-bench.XXXXXX)
prepare_python
scripts/servers.sh start --redis "$work/servers"
# shellcheck source=/dev/null
source "$work/servers/env"
mkdir "$work/run"
# Not exec: there is a folder to remove.
python3 -B scripts/bench.py --program "$program" --dir "$work/run" "$@"
