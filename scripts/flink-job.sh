#!/usr/bin/env bash
# flink-job.sh: the streaming job of `adprof compile --to flink --job` on a real Flink cluster that reads a real Kafka,
# its profiles compared with those of `adprof batch`.
#
#   scripts/flink-job.sh [--events N]     events made by `adprof gen` (default 20000)
#
# Starts Kafka (scripts/servers.sh) and a standalone cluster of Flink, one of each process, on free loopback ports in a
# temporary folder; ships the events with `adprof collect`, runs a job of users and one of another entity to the end of the
# topic with sql-client.sh, reads the topics they wrote, and compares every value. Ends what it started. Exit 1 on a difference.
#
# Flink comes from PyPI (apache-flink, about 1 GB with what it needs); its Kafka connector, and the SQL gateway without which
# its SQL client does not start, from Maven Central; all once, into ${XDG_CACHE_HOME:-~/.cache}/adprof. Needs Java 17,
# python3 with venv, and mvn the first time.
#   ADPROF=PATH   the program, instead of building it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh
# shellcheck source=scripts/flink.sh
source scripts/flink.sh

events=20000
while (($#)); do
    case $1 in
    --events) events=$2; shift ;;
    -h | --help) usage_of scripts/flink-job.sh; exit ;;
    *) die "unknown flag: $1" ;;
    esac
    shift
done

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

prepare_flink
if [[ -z ${ADPROF-} ]]; then
    cargo build --locked --bins
    ADPROF=$(cargo metadata --format-version 1 --no-deps | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/debug/adprof
fi
ADPROF=$(realpath "$ADPROF")

work=$(mktemp -d)
scripts/servers.sh start --kafka "$work/servers"
# shellcheck source=/dev/null
source "$work/servers/env"
for topic in realtime-events:1 user:1 cell:1; do
    scripts/servers.sh kafka-tool "$work/servers" org.apache.kafka.tools.TopicCommand --bootstrap-server "$ADPROF_TEST_KAFKA" \
        --create --topic "${topic%:*}" --partitions "${topic#*:}" >&2
done
start_flink "$work"

# A tenth comes twice; the values are those in the middle of the events.
"$ADPROF" gen --events "$events" --duplicates 10% |
    "$ADPROF" collect --log "$work/events.log" -b "$ADPROF_TEST_KAFKA" -t realtime-events
as_of=$(python3 -c 'import json, sys; t = sorted(json.loads(line)["timestamp"] for line in open(sys.argv[1])); print(t[len(t) * 9 // 10])' "$work/events.log")
cat >"$work/cell.toml" <<'TOML'
[[entity]]
name = "cell"
key = ["category", "hop(timestamp, '2h', '1h')"]
retain = "12h"

[[tag]]
code = "users"
entity = "cell"
value = "count(DISTINCT userId)"

[[tag]]
code = "spent"
entity = "cell"
value = "sum(amount)"

[[tag]]
code = "last_event"
entity = "cell"
value = "last(eventId)"
window = "6h"
TOML

# Runs the job of entity $1, with the definition file $2 or the built-in ones, and compares what it wrote with `batch`.
job() {
    local entity=$1 given=()
    [[ -z ${2-} ]] || given=(-d "$2")
    "$ADPROF" batch "${given[@]}" --log "$work/events.log" --tags all --as-of "$as_of" -o "$work/batch.ndjson"
    "$ADPROF" compile --to flink "${given[@]}" --entity "$entity" --job -b "$ADPROF_TEST_KAFKA" -e --into "$entity" --tags all \
        --as-of "$as_of" -o "$work/job.sql"
    # Waits for the job to end.
    sed -i "1i SET 'table.dml-sync' = 'true';" "$work/job.sql"
    "$FLINK_HOME/bin/sql-client.sh" -f "$work/job.sql" >"$work/sql-client.log" 2>&1 ||
        { tail -n 40 "$work/sql-client.log" >&2; die "the job failed"; }
    if grep -q '\[ERROR\]' "$work/sql-client.log"; then tail -n 40 "$work/sql-client.log" >&2; die "the job failed"; fi
    scripts/servers.sh kafka-tool "$work/servers" org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$ADPROF_TEST_KAFKA" \
        --topic "$entity" --from-beginning --timeout-ms 5000 >"$work/rows.ndjson" 2>"$work/consumer.log" || true
    python3 scripts/engines/rows.py "$work/rows.ndjson" "$work/batch.ndjson"
}

job user
job cell "$work/cell.toml"
