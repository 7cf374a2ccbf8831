#!/usr/bin/env bash
# bench-query.sh: how fast `adprof query` answers from an embedded store of a million profiles.
#
#   scripts/bench-query.sh [USERS [IDS]]     default: 1000000 users, 100000 random ids
#
# Fills a store in a temporary folder (about 250 MB a million; benches/query.rs does it and prints p50 and p99 of one
# key in the library), then feeds random ids to `adprof query -` and prints ids a second, reading and printing included,
# and one process for one id. With hyperfine the last has a spread; without it, it is the mean of 50.
#
#   ADPROF_BENCH_DIR=DIR       where to make the temporary folder
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh
case ${1-} in -h | --help) usage_of scripts/bench-query.sh; exit ;; esac

users=${1-1000000} ids=${2-100000}
work=$(mktemp -d -p "${ADPROF_BENCH_DIR:-${TMPDIR:-/tmp}}" adprof-bench-query.XXXXXX)
trap 'rm -rf "$work"' EXIT

cargo build --release --locked
program=$(realpath "${CARGO_TARGET_DIR:-target}/release/adprof")
cargo bench --locked --bench query -- --users "$users" --lookups "$ids" --store "$work/store"

awk -v users="$users" -v ids="$ids" 'BEGIN { srand(1); for (i = 0; i < ids; i++) printf "u-%07d\n", int(rand() * users) }' >"$work/ids"
now() { date +%s.%N; }
query() { env -u ADPROF_STORE -u ADPROF_DEFINITIONS "$program" query --store "file:$work/store" "$@"; }
for round in 1 2 3; do
    began=$(now)
    query - <"$work/ids" >"$work/answers"
    ended=$(now)
    lines=$(wc -l <"$work/answers")
    [[ $lines == "$ids" ]] || die "$ids ids, $lines answers"
    awk -v n="$ids" -v b="$began" -v e="$ended" -v r="$round" \
        'BEGIN { printf "query -, round %d: %d ids in %.2f s, %.0f ids/s\n", r, n, e - b, n / (e - b) }'
done
if have hyperfine; then
    hyperfine -N --warmup 5 "$program query --store file:$work/store u-0000007"
else
    began=$(now)
    for _ in {1..50}; do query u-0000007 >/dev/null; done
    awk -v b="$began" -v e="$(now)" 'BEGIN { printf "one process for one id: %.1f ms\n", (e - b) * 1000 / 50 }'
fi
