#!/usr/bin/env bash
# bench-history.sh: one more night of `adprof batch` over a log of 401 days, with roll-ups and without; prints Markdown.
#
#   scripts/bench-history.sh [ARG...]        ARGs go to `python3 -m bench.history` in scripts/; --help tells all
#   scripts/bench-history.sh --events 1000000 --days 50
#
# Works in a temporary folder that needs about 6 GB for the default 20 M events, removed at the end.
#
#   ADPROF_BENCH_DIR=DIR       where to make the temporary folder
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh
bench_manual scripts/bench-history.sh bench.history "$@"

need_build_tools
need python3 python3 || exit 1
cargo build --release --locked
work=$(mktemp -d -p "${ADPROF_BENCH_DIR:-${TMPDIR:-/tmp}}" adprof-history.XXXXXX)
trap 'rm -rf "$work"' EXIT
PYTHONPATH=scripts python3 -B -m bench.history --program "${CARGO_TARGET_DIR:-target}/release/adprof" --dir "$work" "$@"
