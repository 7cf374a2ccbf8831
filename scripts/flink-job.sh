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
# shellcheck source=scripts/peers.sh
source scripts/peers.sh

CONNECTOR=5.0.0-2.2
FLINK=${FLINK_PACKAGES[0]#*==}
events=20000
while (($#)); do
    case $1 in
    --events) events=$2; shift ;;
    -h | --help) usage_of scripts/flink-job.sh; exit ;;
    *) die "unknown flag: $1" ;;
    esac
    shift
done

work='' cluster=''
# shellcheck disable=SC2317  # a trap calls it
finish() {
    local code=$?
    trap '' INT TERM HUP
    if [[ -n $cluster ]]; then
        "$FLINK_HOME/bin/taskmanager.sh" stop >/dev/null 2>&1 || true
        "$FLINK_HOME/bin/jobmanager.sh" stop >/dev/null 2>&1 || true
    fi
    [[ -z $work ]] || { scripts/servers.sh stop "$work/servers" || code=1; rm -rf "$work"; }
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# shellcheck disable=SC2317  # with_lock calls it
fetch_jars() {
    local home=$1 tmp
    [[ ! -d $home ]] || return 0
    need mvn maven || return 1
    say "fetching Flink's Kafka connector $CONNECTOR and SQL gateway $FLINK from Maven Central into $home (once)"
    tmp=$(mktemp -d "$home.XXXXXX") || return 1
    # shellcheck disable=SC2064  # the folder of now is meant
    trap "$(printf 'rm -rf %q' "$tmp")" EXIT
    cat >"$tmp/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>adprof</groupId><artifactId>connector-for-tests</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.flink</groupId><artifactId>flink-sql-connector-kafka</artifactId><version>$CONNECTOR</version></dependency>
    <dependency><groupId>org.apache.flink</groupId><artifactId>flink-sql-gateway</artifactId><version>$FLINK</version>
      <exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions></dependency>
  </dependencies>
</project>
POM
    mvn -B -q -Dstyle.color=never -f "$tmp/pom.xml" -Dmaven.repo.local="$tmp/repository" \
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DoutputDirectory="$tmp/jars" -DincludeScope=runtime </dev/null >"$tmp/log" 2>&1 || { head -n 3 "$tmp/log" >&2; return 1; }
    chmod 755 "$tmp/jars"
    mv -T "$tmp/jars" "$home" 2>/dev/null || [[ -d $home ]]
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# Flink as it is unpacked elsewhere: its scripts and jars from PyPI, our two jars beside them, configuration and logs.
start_cluster() {
    local rest rpc packaged
    packaged=$("$ADPROF_FLINK_PYTHON" -c 'import pyflink, os; print(os.path.dirname(pyflink.__file__))')
    FLINK_HOME=$work/flink
    mkdir -p "$FLINK_HOME/lib" "$FLINK_HOME/opt"
    cp -r "$packaged/bin" "$FLINK_HOME/bin"
    ln -s "$packaged"/lib/*.jar "$jars/flink-sql-connector-kafka-$CONNECTOR.jar" "$FLINK_HOME/lib/"
    ln -s "$packaged"/opt/*.jar "$jars/flink-sql-gateway-$FLINK.jar" "$FLINK_HOME/opt/"
    rest=$(free_port) rpc=$(free_port)
    mkdir -p "$work/conf" "$work/log"
    cat >"$work/conf/config.yaml" <<YAML
jobmanager.rpc.address: 127.0.0.1
jobmanager.rpc.port: $rpc
jobmanager.bind-host: 127.0.0.1
jobmanager.memory.process.size: 1g
taskmanager.bind-host: 127.0.0.1
taskmanager.host: 127.0.0.1
taskmanager.memory.process.size: 1500m
taskmanager.numberOfTaskSlots: 2
parallelism.default: 2
rest.address: 127.0.0.1
rest.bind-address: 127.0.0.1
rest.port: $rest
io.tmp.dirs: $work
YAML
    cp "$packaged"/conf/log4j* "$work/conf/"
    export FLINK_HOME FLINK_CONF_DIR=$work/conf FLINK_LOG_DIR=$work/log FLINK_PID_DIR=$work
    cluster=1
    "$FLINK_HOME/bin/jobmanager.sh" start >&2
    "$FLINK_HOME/bin/taskmanager.sh" start >&2
    for _ in {1..300}; do
        curl -fs "http://127.0.0.1:$rest/overview" 2>/dev/null | grep -q '"slots-available":2' && return
        sleep 0.2
    done
    tail -n 20 "$work"/log/*.log >&2
    die "the cluster of Flink did not start"
}

need python3 python3 python3-venv || exit 1
prepare_peers flink
[[ -n ${ADPROF_FLINK_PYTHON-} ]] || die "no Flink"
jars=$(cache_dir)/flink-$FLINK-kafka-$CONNECTOR
with_lock "$jars.lock" fetch_jars "$jars"
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
start_cluster

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
