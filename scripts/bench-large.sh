#!/usr/bin/env bash
# bench-large.sh: `adprof batch` and DuckDB over 50 M events of 10 M users, with all the memory there is and within 1 GiB;
# prints Markdown.
#
#   scripts/bench-large.sh [ARG...]        ARGs go to `python3 -m bench.large` in scripts/; --help tells all
#   scripts/bench-large.sh --events 5000000 --users 1000000 --limit 256M --memory 200M --duckdb-memory 180MB
#
# The limit is a control group, which needs root: without it those runs are skipped, in one line. Works in a temporary folder that
# needs about 35 GB for the default, removed at the end. With five runs of DuckDB it takes about half an hour.
#
#   ADPROF_BENCH_DIR=DIR         where to make the temporary folder: what it lies on decides about spilling
#   ADPROF_PEERS_PYTHON=PATH     a Python that has duckdb
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh
# shellcheck source=scripts/peers.sh
source scripts/peers.sh
bench_manual scripts/bench-large.sh bench.large "$@"

need_build_tools
need python3 python3 || exit 1
cargo build --release --locked
prepare_peers duckdb
work=$(mktemp -d -p "${ADPROF_BENCH_DIR:-${TMPDIR:-/tmp}}" adprof-large.XXXXXX)
trap 'rm -rf "$work"' EXIT
PYTHONPATH=scripts python3 -B -m bench.large --program "${CARGO_TARGET_DIR:-target}/release/adprof" --dir "$work" "$@"
