#!/usr/bin/env bash
# test.sh: every test of adprof, with a real Redis and a real Apache Kafka that it starts and stops itself.
#
#   scripts/test.sh [ARG...]      ARGs go to `cargo test`: scripts/test.sh --test kafka
#
# Builds the program and its tests, starts the servers on free ports in a temporary folder (scripts/servers.sh), prepares
# a Python with DuckDB that some tests compare with, uses ClickHouse, Spark and Flink where scripts/engines.sh has put them, runs the
# tests (without ARGs those over TLS, too: scripts/kafka-tls.sh), and ends what it started whatever happens. What is missing
# is installed through apt-get when root; otherwise one line says what is missing and what is skipped. The last line says
# which servers were used.
#
#   ADPROF_REQUIRE_SERVERS=1   a missing Redis or Kafka is an error, not a skip
#   ADPROF_TEST_PYTHON=PATH    a Python that has duckdb, instead of the one made in ${XDG_CACHE_HOME:-~/.cache}/adprof
#   RUST_TEST_THREADS=N        tests at a time (default 2: they share one Kafka)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh
# shellcheck source=scripts/duckdb.sh
source scripts/duckdb.sh
# shellcheck source=scripts/peers.sh
source scripts/peers.sh
case ${1-} in -h | --help) usage_of scripts/test.sh; exit ;; esac

# ---- steps and their end ----------------------------------------------------

job=''  # process group of the step that runs
work='' # temporary folder, with the servers in it
tls=''  # whether Kafka is tried over TLS

# Runs a step as a process group of its own, so that a signal ends all of it, and at once rather than when it is done.
step() {
    local code=0
    set -m
    "$@" </dev/null &
    job=$!
    set +m
    wait "$job" || code=$?
    return "$code"
}

# Processes of group $1 that still run; a zombie is none. Nothing is printed where there is no /proc.
members() {
    cat /proc/[0-9]*/stat 2>/dev/null | sed 's/^\([0-9]*\) .*) /\1 /' |
        while read -r pid state _ group _; do [[ $group != "$1" || $state == Z ]] || echo "$pid"; done || true
}

# Ends what is left of the last step, with signal $1 first when given; false when something did not end by itself.
end_step() {
    local left i
    [[ -n $job ]] || return 0
    [[ -z ${1-} ]] || kill -"$1" -- "-$job" 2>/dev/null || true
    # What was just told to end needs a moment; servers.sh, several.
    for ((i = 0; i < ${1:+80} + 20; i++)); do
        left=$(members "$job")
        [[ -n $left ]] || break
        sleep 0.1
    done
    [[ -z $left ]] || kill -KILL -- "-$job" 2>/dev/null || true
    job=''
    [[ -z $left ]]
}

# shellcheck disable=SC2317  # a trap calls it
finish() {
    local code=$?
    trap '' INT TERM HUP
    end_step TERM || true
    if [[ -n $work ]]; then
        scripts/servers.sh stop "$work/servers" || code=1
        rm -rf "$work"
    fi
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- the run ----------------------------------------------------------------

# The line to end with: $1 is what came out.
summary() {
    local used=() skipped=()
    if [[ -n ${ADPROF_TEST_REDIS-} ]]; then
        used+=("redis $(redis-server --version | sed -n 's/.* v=\([^ ]*\).*/\1/p')")
    else skipped+=(redis); fi
    if [[ -n ${ADPROF_TEST_KAFKA-} ]]; then used+=("${ADPROF_TEST_KAFKA_LIBS##*/}"); else skipped+=(kafka); fi
    if [[ -n $tls ]]; then used+=("kafka over TLS"); else skipped+=("kafka over TLS (scripts/kafka-tls.sh)"); fi
    if [[ -n ${ADPROF_TEST_PYTHON-} ]]; then
        used+=("duckdb $("$ADPROF_TEST_PYTHON" -c 'import duckdb; print(duckdb.__version__)')")
    else skipped+=(duckdb); fi
    if [[ -n ${ADPROF_PEERS_PYTHON-} ]]; then used+=(clickhouse spark); else skipped+=(clickhouse spark); fi
    if [[ -n ${ADPROF_FLINK_PYTHON-} ]]; then used+=(flink); else skipped+=("flink (engines: scripts/engines.sh)"); fi
    if have strace; then used+=(strace); else skipped+=("strace (fsync before the acknowledgement, faults of the disk)"); fi
    say "$1; used: $(list "${used[@]}"); skipped: $(list "${skipped[@]}")"
}

list() {
    local IFS=,
    local all="${*:-none}"
    printf '%s\n' "${all//,/, }"
}

need_build_tools
# With it tests see that a sync comes before the word, and let one fail.
need strace strace || true
step cargo test --locked --no-run "$@"

# An address from outside would make tests write into servers that are not theirs.
unset ADPROF_TEST_REDIS ADPROF_TEST_KAFKA ADPROF_TEST_KAFKA_LIBS
work=$(mktemp -d)
prepare_python
find_peers
step scripts/servers.sh start "$work/servers"
# shellcheck source=/dev/null
source "$work/servers/env"

export RUST_TEST_THREADS=${RUST_TEST_THREADS:-2}
outcome=passed code=0
# A build and a broker of their own: not where only some tests are wanted.
if [[ $# == 0 && -n ${ADPROF_TEST_KAFKA-} ]] && need_openssl; then
    tls=1
    step scripts/kafka-tls.sh || { code=$? outcome="failed (scripts/kafka-tls.sh: $code)"; }
    end_step || true
fi
# All of them: whoever reads of one failure wants to know of the others.
[[ $# != 0 ]] || set -- --no-fail-fast
step cargo test --locked "$@" || { code=$? outcome="failed (cargo test: $code)"; }
if ! end_step; then
    [[ $code != 0 ]] || code=1 outcome='failed (tests passed but left processes running)'
fi
summary "$outcome"
exit "$code"
