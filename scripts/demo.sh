#!/usr/bin/env bash
# demo.sh: the whole path on generated events: log, live profiles, nightly profiles, an audience. No server needed.
#
#   scripts/demo.sh [DIR]
#
# Builds the release program, then works in DIR (default: a new temporary folder), which it keeps so that you can go on
# there. Each command is printed before it runs.
#
#   ADPROF_DEMO_EVENTS=N, ADPROF_DEMO_USERS=N   other sizes (default 200000 and 20000)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
source "$here/scripts/lib.sh"
case ${1-} in -h | --help) usage_of "$0"; exit ;; esac

EVENTS=${ADPROF_DEMO_EVENTS:-200000}
USERS=${ADPROF_DEMO_USERS:-20000}

need_build_tools
if [[ -n ${1-} ]]; then mkdir -p "$1"; fi
dir=$(cd "${1:-$(mktemp -d)}" && pwd)
[[ -z $(ls -A "$dir") ]] || die "$dir is not empty"

say "building (the first time takes some minutes)"
SECONDS=0
(cd "$here" && cargo build --release --locked)
program=$(cd "$here" && cd "${CARGO_TARGET_DIR:-target}" && pwd)/release
export PATH=$program:$PATH
# What is set for real work must not reach into a demonstration.
unset REDIS_URL ADPROF_STORE ADPROF_DEFINITIONS
cd "$dir"
built=$SECONDS
SECONDS=0

step() { printf '\n# %s\n' "$*"; }

# Prints a command as it would be typed, then runs it.
run() {
    printf '$ %s\n' "$1"
    eval "$1" </dev/null
}

step "1. A week of events that look like real ones, up to now, validated and put into a log that survives a crash."
run "adprof gen --events $EVENTS --users $USERS --start 7d --days 7 > events.jsonl"
run "head -n 1 events.jsonl"
run "adprof collect < events.jsonl"

step "2. Live: the tags that follow each event, into a store that is a folder. From Kafka it is \`-b … -t …\` instead of \`<\`."
run "adprof stream --store file:./adprof-store < ad-events.log"

step "3. Nightly: the daily tags from the whole log, into the same profiles."
run "adprof batch --log ad-events.log | adprof sink file"

step "4. Who is this user? The clicks of the last hour fall with time alone: ask again later."
run "adprof query --format table u-0000001"

step "5. Who has spent 100 or more?"
run "adprof segment size --where 'ltv_total >= 100'"
run "adprof segment members --where 'ltv_total >= 100' | head -n 3"

step "6. That audience as a file for other programs."
run "adprof export --where 'ltv_total >= 100' --format csv -o audience.csv"
run "head -n 3 audience.csv"

printf '\nDone: the six steps took %s s, the build before them %s s. Everything is in %s; go on there with\n' \
    "$SECONDS" "$built" "$dir"
# shellcheck disable=SC2016  # the reader'"'"'s shell expands it
printf '  export PATH=%q:$PATH\n  cd %q\n' "$program" "$dir"
printf '  adprof init      # the definitions of the five tags, to change and to add to\n  adprof --help\n'
