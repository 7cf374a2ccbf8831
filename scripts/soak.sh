#!/usr/bin/env bash
# soak.sh: faults at random for as long as told, on real processes, and every profile right whenever they pause.
#
#   scripts/soak.sh --minutes M [--seed S] [--rate N] [--heal SECONDS] [--only FAULT,...]
#
# A client sends events to `collect`, which ships them to Kafka; one stream keeps an embedded store, two that stand by for
# each other publish into Redis, both through proxies. A nemesis kills, stops, rewinds, cuts, delays and damages what it
# finds, by the seed. About every 45 s everything is healed, and each profile is compared with an independent fold of the
# log. Any difference, or an end that must not be, stops the run with code 1 and keeps everything.
#
#   ADPROF=PATH           the program to use, instead of the one that is built here (target/debug, optimised)
#   ADPROF_SOAK_DIR=DIR   where to make the run's folder, instead of TMPDIR; it is removed when all was right
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh
case " $* " in *' -h '* | *' --help '*) usage_of scripts/soak.sh; exit ;; esac
have python3 || die "missing \`python3\`"
need strace strace || exit 1
need redis-server redis-server || exit 1
need_build_tools

cargo build --locked --bins
program=$(realpath "${ADPROF:-${CARGO_TARGET_DIR:-target}/debug/adprof}")
ledger=$(cargo test --locked --no-run --test faults --message-format json 2>/dev/null |
    sed -n 's/.*"name":"faults".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
[[ -x $ledger ]] || die "the tests do not build: cargo test --no-run --test faults"
# A copy: a build meanwhile must not change what is tested.
work=$(mktemp -d -p "${ADPROF_SOAK_DIR:-${TMPDIR:-/tmp}}" adprof-soak.XXXXXX)
cp "$program" "$work/adprof"
cp "$ledger" "$work/ledger"
export ADPROF_REQUIRE_SERVERS=1
scripts/servers.sh start --kafka "$work/servers"
job=''
# shellcheck disable=SC2317  # a trap calls it
finish() {
    local code=$?
    trap '' INT TERM HUP
    if [[ -n $job ]]; then
        kill "$job" 2>/dev/null || true
        wait "$job" || true
    fi
    [[ $code == 0 ]] || cp "$work/servers/kafka/log" "$work/kafka.words" || true
    scripts/servers.sh stop "$work/servers" || code=1
    if [[ $code == 0 ]]; then rm -rf "$work"; else say "kept: $work"; fi
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
eval "$(scripts/servers.sh env "$work/servers")"
PYTHONPATH=scripts python3 -B -m soak --program "$work/adprof" --ledger "$work/ledger" --servers scripts/servers.sh \
    --dir "$work" "$@" </dev/null &
job=$!
wait "$job" && code=0 || code=$?
job=''
exit "$code"
