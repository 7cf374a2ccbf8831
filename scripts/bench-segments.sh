#!/usr/bin/env bash
# bench-segments.sh: the size of an audience by the index, by a scan, by DuckDB over Parquet and by bitmaps of ClickHouse, and
# which of 1,000 segments one user is in; prints Markdown, and fails when the engines disagree.
#
#   scripts/bench-segments.sh [ARG...]        ARGs go to `python3 -m bench.segments` in scripts/; --help tells all
#   scripts/bench-segments.sh --users 1000000
#
# Works in a temporary folder that needs about 4 GB for the default 10 M profiles, removed at the end.
#
#   ADPROF_BENCH_DIR=DIR         where to make the temporary folder
#   ADPROF_PEERS_PYTHON=PATH     a Python that has duckdb and chdb
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh
# shellcheck source=scripts/peers.sh
source scripts/peers.sh
bench_manual scripts/bench-segments.sh bench.segments "$@"

need_build_tools
need python3 python3 || exit 1
prepare_peers duckdb,chdb
cargo build --release --locked
asker=$(cargo bench --locked --no-run --bench segments --message-format=json |
    sed -n 's/.*"executable":"\([^"]*segments[^"]*\)".*/\1/p' | tail -n 1)
[[ -x $asker ]] || die "cargo did not say where it put benches/segments.rs"
work=$(mktemp -d -p "${ADPROF_BENCH_DIR:-${TMPDIR:-/tmp}}" adprof-segments.XXXXXX)
trap 'rm -rf "$work"' EXIT
PYTHONPATH=scripts python3 -B -m bench.segments \
    --program "${CARGO_TARGET_DIR:-target}/release/adprof" --asker "$asker" --dir "$work" "$@"
