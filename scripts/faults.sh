#!/usr/bin/env bash
# faults.sh: every fault that adprof has to survive, row by row, on a real Redis and a real Kafka.
#
#   scripts/faults.sh [--row N,...] [--runs R] [--seed S] [--soak-minutes M] [--write-docs]
#
# Builds once, starts servers of its own (scripts/servers.sh), runs the tests of each row R times, each time with another
# seed, and prints a table: row, fault, how it is injected, what is expected, runs, failures, seconds. A row that failed
# leaves its words. Some rows kill the broker, mount small disks and make control groups: run it as root. --write-docs
# puts the table into docs/reliability.md, with --row those rows into the one that is there.
#
#   ADPROF_FAULT_OLD=PATH    an older adprof, for row 29; without it the one of the commit ADPROF_FAULT_OLD_COMMIT is
#                            built (default: the one before the newest change of src/common/store/embedded/format.rs)
#   ADPROF_FAULT_DIR=DIR     where to make the temporary folder, instead of TMPDIR
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh
# shellcheck source=scripts/duckdb.sh
source scripts/duckdb.sh
case " $* " in *' -h '* | *' --help '*) usage_of scripts/faults.sh; exit ;; esac
have python3 || die "missing \`python3\`"
need strace strace || true
[[ -e /usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1 ]] || apt_install libfaketime || say "without libfaketime a part of row 25 is skipped"
need_build_tools

work=$(mktemp -d -p "${ADPROF_FAULT_DIR:-${TMPDIR:-/tmp}}" adprof-faults.XXXXXX)
# shellcheck disable=SC2317  # a trap calls it
finish() {
    local code=$?
    trap '' INT TERM HUP
    scripts/servers.sh stop "$work/servers" || code=1
    if [[ $code == 0 ]]; then rm -rf "$work"; else say "kept: $work"; fi
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

binaries=$(PYTHONPATH=scripts python3 -B -c 'from faults.rows import ROWS
print(*sorted({test[0] for row in ROWS for test in row.tests}))')
targets=()
for name in $binaries; do targets+=(--test "$name"); done
cargo build --locked --bins
cargo test --locked --no-run --message-format json "${targets[@]}" >"$work/tests.json"
export ADPROF_REQUIRE_SERVERS=1
scripts/servers.sh start "$work/servers"
# shellcheck source=/dev/null
source "$work/servers/env"
prepare_python

# The older program of row 29.
rows=" $* "
[[ $rows != *' --row '* ]] || { rows=${rows##* --row } && rows=,${rows%% *},; }
if [[ -z ${ADPROF_FAULT_OLD-} && ($rows != ,* || $rows == *,29,*) ]]; then
    commit=${ADPROF_FAULT_OLD_COMMIT:-$(git log -n 1 --format=%H -- src/common/store/embedded/format.rs)^}
    mkdir "$work/old"
    git archive "$commit" | tar -x -C "$work/old"
    (cd "$work/old" && CARGO_TARGET_DIR="$work/old-target" cargo build --locked --bins)
    export ADPROF_FAULT_OLD=$work/old-target/debug/adprof
fi
TMPDIR=$work PYTHONPATH=scripts python3 -B -m faults --tests "$work/tests.json" --dir "$work" \
    --program "${CARGO_TARGET_DIR:-target}/debug/adprof" "$@"
