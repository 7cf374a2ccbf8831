#!/usr/bin/env bash
# bench-live.sh: how fast `adprof stream` is from a real Kafka into a real Redis and into the embedded store, next to Flink
# on the same topic; latency, restarts, lost Redises, memory and disk; prints Markdown.
#
#   scripts/bench-live.sh [ARG...]       ARGs go to `python3 -m bench.live` in scripts/; --help tells all
#   scripts/bench-live.sh --only throughput,latency --runs 3
#
# Builds the release program, starts Kafka (scripts/servers.sh), a Redis and, unless --only says otherwise, a standalone
# cluster of Flink (scripts/flink.sh), all on this machine and on free ports, in a temporary folder that needs about 10 GB
# and is removed at the end.
#
#   ADPROF_BENCH_DIR=DIR       where to make the temporary folder: what it lies on decides about fsync
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh
# shellcheck source=scripts/flink.sh
source scripts/flink.sh
bench_manual scripts/bench-live.sh bench.live "$@"

work=''
# shellcheck disable=SC2317  # a trap calls it
finish() {
    local code=$?
    trap '' INT TERM HUP
    stop_flink
    [[ -z $work ]] || { scripts/servers.sh stop "$work/servers" || code=1; rm -rf "$work"; }
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

need_build_tools
need python3 python3 || exit 1
need redis-server redis-server || exit 1
cargo build --release --locked
live=$(cargo bench --locked --no-run --bench live --message-format=json |
    sed -n 's/.*"executable":"\([^"]*live[^"]*\)".*/\1/p' | tail -n 1)
[[ -x $live ]] || die "cargo did not say where it put benches/live.rs"
unset ADPROF_TEST_REDIS REDIS_URL ADPROF_STORE ADPROF_DEFINITIONS
work=$(mktemp -d -p "${ADPROF_BENCH_DIR:-${TMPDIR:-/tmp}}" adprof-live.XXXXXX)
scripts/servers.sh start --kafka "$work/servers"
# shellcheck source=/dev/null
source "$work/servers/env"
[[ -n ${ADPROF_TEST_KAFKA-} ]] || die "no Kafka"
flink=()
if [[ " $* " != *' --no-flink '* && (" $* " != *' --only '* || " $* " == *throughput*) ]]; then
    prepare_flink
    start_flink "$work" 8g
    flink=(--flink "$FLINK_HOME" --flink-rest "$FLINK_REST" --flink-version "$FLINK")
fi
PYTHONPATH=scripts python3 -B -m bench.live --program "${CARGO_TARGET_DIR:-target}/release/adprof" --load "$live" \
    --servers "$work/servers" --kafka "$ADPROF_TEST_KAFKA" "${flink[@]}" --dir "$work" "$@"
