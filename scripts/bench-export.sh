#!/usr/bin/env bash
# bench-export.sh: `adprof export` of a million profiles as CSV, NDJSON and Parquet, beside COPY of DuckDB with the same values.
#
#   scripts/bench-export.sh [ARG...]       ARGs go to `python3 -m bench.export` in scripts/; --help tells all
#
# Works in a temporary folder that needs about 1 GB for the default, removed at the end.
#
#   ADPROF_BENCH_DIR=DIR         where to make the temporary folder
#   ADPROF_PEERS_PYTHON=PATH     a Python that has duckdb
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh
# shellcheck source=scripts/peers.sh
source scripts/peers.sh
bench_manual scripts/bench-export.sh bench.export "$@"

need_build_tools
need python3 python3 || exit 1
cargo build --release --locked
prepare_peers duckdb
work=$(mktemp -d -p "${ADPROF_BENCH_DIR:-${TMPDIR:-/tmp}}" adprof-bench-export.XXXXXX)
trap 'rm -rf "$work"' EXIT
PYTHONPATH=scripts python3 -B -m bench.export --program "${CARGO_TARGET_DIR:-target}/release/adprof" --dir "$work" "$@"
