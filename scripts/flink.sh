# shellcheck shell=bash
# flink.sh: a standalone cluster of Flink that reads Kafka, for scripts that source it. Expects lib.sh.
#
# Flink comes from PyPI (apache-flink, about 1 GB with what it needs); its Kafka connector, and the SQL gateway without which
# its SQL client does not start, from Maven Central; all once, into ${XDG_CACHE_HOME:-~/.cache}/adprof. Needs Java 17,
# python3 with venv, and mvn the first time.
# shellcheck source=scripts/peers.sh
source scripts/peers.sh

CONNECTOR=5.0.0-2.2
FLINK=${FLINK_PACKAGES[0]#*==}
flink_jars=$(cache_dir)/flink-$FLINK-kafka-$CONNECTOR
flink_runs=''

# Fetches what start_flink needs, and ends the script where that cannot be had.
prepare_flink() {
    need python3 python3 python3-venv || exit 1
    prepare_peers flink
    [[ -n ${ADPROF_FLINK_PYTHON-} ]] || die "no Flink"
    with_lock "$flink_jars.lock" fetch_flink_jars "$flink_jars"
}

# shellcheck disable=SC2317  # with_lock calls it
fetch_flink_jars() {
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

# Starts a cluster in folder $1: Flink as it is unpacked elsewhere, its scripts and jars from PyPI, our two jars beside
# them, configuration and logs, $2 (1500m) for its task manager. Sets FLINK_HOME and FLINK_REST, the address of its REST
# interface.
start_flink() {
    local work=$1 memory=${2:-1500m} rest rpc packaged
    packaged=$("$ADPROF_FLINK_PYTHON" -c 'import pyflink, os; print(os.path.dirname(pyflink.__file__))')
    FLINK_HOME=$work/flink
    mkdir -p "$FLINK_HOME/lib" "$FLINK_HOME/opt"
    cp -r "$packaged/bin" "$FLINK_HOME/bin"
    ln -s "$packaged"/lib/*.jar "$flink_jars/flink-sql-connector-kafka-$CONNECTOR.jar" "$FLINK_HOME/lib/"
    ln -s "$packaged"/opt/*.jar "$flink_jars/flink-sql-gateway-$FLINK.jar" "$FLINK_HOME/opt/"
    rest=$(free_port) rpc=$(free_port)
    mkdir -p "$work/conf" "$work/log"
    cat >"$work/conf/config.yaml" <<YAML
jobmanager.rpc.address: 127.0.0.1
jobmanager.rpc.port: $rpc
jobmanager.bind-host: 127.0.0.1
jobmanager.memory.process.size: 1g
taskmanager.bind-host: 127.0.0.1
taskmanager.host: 127.0.0.1
taskmanager.memory.process.size: $memory
taskmanager.numberOfTaskSlots: 2
parallelism.default: 2
rest.address: 127.0.0.1
rest.bind-address: 127.0.0.1
rest.port: $rest
io.tmp.dirs: $work
# By default checkpoints are kept by the job manager, which refuses any above 5 MB; and a job that fails is started again.
execution.checkpointing.dir: file://$work/checkpoints
restart-strategy.type: none
# Who measures stops the cluster while it has nothing to do.
heartbeat.timeout: 1 h
YAML
    cp "$packaged"/conf/log4j* "$work/conf/"
    export FLINK_HOME FLINK_CONF_DIR=$work/conf FLINK_LOG_DIR=$work/log FLINK_PID_DIR=$work
    flink_runs=1 FLINK_REST=http://127.0.0.1:$rest
    "$FLINK_HOME/bin/jobmanager.sh" start >&2
    "$FLINK_HOME/bin/taskmanager.sh" start >&2
    for _ in {1..300}; do
        curl -fs "$FLINK_REST/overview" 2>/dev/null | grep -q '"slots-available":2' && return
        sleep 0.2
    done
    tail -n 20 "$work"/log/*.log >&2
    die "the cluster of Flink did not start"
}

# Ends what start_flink has started.
stop_flink() {
    [[ -n $flink_runs ]] || return 0
    # One that is stopped does not hear that it is to end.
    cat "$FLINK_PID_DIR"/flink-*.pid 2>/dev/null | xargs -r kill -CONT 2>/dev/null || true
    "$FLINK_HOME/bin/taskmanager.sh" stop >/dev/null 2>&1 || true
    "$FLINK_HOME/bin/jobmanager.sh" stop >/dev/null 2>&1 || true
}
