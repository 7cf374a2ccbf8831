#!/usr/bin/env bash
# bench-cliffs.sh: how much slower `adprof batch` is on events that are not plain, and how its parsing compares with a bare
# newline scan; prints Markdown, and fails when a variant takes more than 2.5 times as long as the plain file.
#
#   scripts/bench-cliffs.sh [ARG...]        ARGs go to `python3 -m bench.cliffs` in scripts/; --help tells all
#   scripts/bench-cliffs.sh --events 1000000 --users 200000 --only mixed,escapes
#
# Derives its files in a temporary folder that needs about 3 GB for the default 5 M events and is removed at the end.
#
#   ADPROF_BENCH_DIR=DIR       where to make the temporary folder
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh
bench_manual scripts/bench-cliffs.sh bench.cliffs "$@"

need_build_tools
need python3 python3 || exit 1
cargo build --release --locked
newlines=$(cargo bench --locked --no-run --bench newlines --message-format=json |
    sed -n 's/.*"executable":"\([^"]*newlines[^"]*\)".*/\1/p' | tail -n 1)
[[ -x $newlines ]] || die "cargo did not say where it put benches/newlines.rs"
work=$(mktemp -d -p "${ADPROF_BENCH_DIR:-${TMPDIR:-/tmp}}" adprof-cliffs.XXXXXX)
trap 'rm -rf "$work"' EXIT
PYTHONPATH=scripts python3 -B -m bench.cliffs \
    --program "${CARGO_TARGET_DIR:-target}/release/adprof" --newlines "$newlines" --dir "$work" "$@"
