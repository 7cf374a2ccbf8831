#!/usr/bin/env bash
# bench.sh: how fast adprof is on this machine, batch next to its peers on the same file in the same minutes; prints Markdown.
#
#   scripts/bench.sh [ARG...]         ARGs go to `python3 -m bench` in scripts/; scripts/bench.sh --help tells all
#   scripts/bench.sh --write-docs     the figures of docs/benchmarks.md and its picture, from this machine
#   scripts/bench.sh --only batch --peers duckdb,polars --quick
#
# Builds the release program, prepares the peers (DuckDB, ClickHouse, Polars, Spark, Flink from PyPI, about 2.6 GB once; one
# that cannot be had is skipped in a line), starts a Redis of its own (without one that line is left out), and measures in a
# temporary folder that needs about 5 GB for the default 5 M events and is removed at the end. Five runs of everything take
# about half an hour. What is measured, and how, stands in docs/benchmarks.md.
#
#   ADPROF_BENCH_DIR=DIR         where to make the temporary folder: what it lies on decides about fsync
#   ADPROF_PEERS_PYTHON=PATH     a Python that has duckdb, chdb, polars and pyspark
#   ADPROF_FLINK_PYTHON=PATH     a Python that has apache-flink
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh
# shellcheck source=scripts/peers.sh
source scripts/peers.sh

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

bench_manual scripts/bench.sh bench "$@"
# What is to be prepared depends on what is to be measured; the program reads its flags itself.
peers=duckdb,chdb,polars,spark,flink only=batch,sink
args=("$@")
for ((i = 0; i < $#; i++)); do
    arg=${args[i]} value=${args[i]#*=}
    [[ $arg == *=* ]] || value=${args[i + 1]-}
    case ${arg%%=*} in
    --peers) peers=$value ;;
    --only) only=$value ;;
    esac
done
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

need_build_tools
need python3 python3 || exit 1
cargo build --release --locked
program=${CARGO_TARGET_DIR:-target}/release/adprof

unset ADPROF_TEST_REDIS REDIS_URL ADPROF_STORE ADPROF_DEFINITIONS
work=$(mktemp -d -p "${ADPROF_BENCH_DIR:-${TMPDIR:-/tmp}}" adprof-bench.XXXXXX)
[[ ,$only, != *,batch,* ]] || prepare_peers "$peers"
if [[ ,$only, == *,sink,* ]]; then
    scripts/servers.sh start --redis "$work/servers"
    # shellcheck source=/dev/null
    source "$work/servers/env"
fi
mkdir "$work/run"
# Not exec: there is a folder to remove.
PYTHONPATH=scripts python3 -B -m bench --program "$program" --dir "$work/run" "$@"
