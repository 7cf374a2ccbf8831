#!/usr/bin/env bash
# servers.sh: a real Redis and a real Apache Kafka for tests, on free loopback ports, gone without a trace afterwards.
#
#   scripts/servers.sh start [--redis] [--kafka] [--redis-persist] [--redis-port N] [--kafka-port N] DIR
#   scripts/servers.sh env DIR
#   scripts/servers.sh kafka-tool DIR CLASS [ARG...]
#   scripts/servers.sh stop DIR
#
# start returns once each server has answered, and writes DIR/env. Without --redis or --kafka it starts both.
#   What is missing is installed through apt-get when root; otherwise one line says what is missing and that server
#   is skipped (with ADPROF_REQUIRE_SERVERS=1: start fails). A server that does not come up fails with the end of its log.
#   --redis-persist   Redis appends to a file and syncs each write (default: nothing is kept)
#   --redis-port N, --kafka-port N   on this port, or not at all when it is taken (default: any free one)
# env prints what DIR/env holds: ADPROF_TEST_REDIS=redis://127.0.0.1:PORT, ADPROF_TEST_KAFKA=127.0.0.1:PORT,
#   ADPROF_TEST_KAFKA_LIBS=<folder of jars>, and for a proxy of a test's own in front of Kafka ADPROF_TEST_KAFKA_PROXY, where
#   it has to listen, and ADPROF_TEST_KAFKA_BEHIND, where it leads; ADPROF_TEST_KAFKA_LOGIN, the same broker for the user
#   `adprof` with the password `canary-login`; a server that was skipped has no line.
# kafka-tool runs a class from Kafka's jars. stop ends exactly the processes that start began and removes what they wrote.
#
#   eval "$(scripts/servers.sh env DIR)"
#   scripts/servers.sh kafka-tool DIR org.apache.kafka.tools.TopicCommand --bootstrap-server "$ADPROF_TEST_KAFKA" --list
#
# Kafka comes from Maven Central, once, into ${XDG_CACHE_HOME:-~/.cache}/adprof/kafka-VERSION. It needs Java 17 or later,
# and mvn the first time.
#   ADPROF_KAFKA_VERSION        another version of Kafka 4
#   ADPROF_TEST_PORTS=LOW-HIGH  where to look for free ports (default 20000-29999, below what systems hand out to clients)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
source "$here/lib.sh"

KAFKA_VERSION=${ADPROF_KAFKA_VERSION:-4.3.1}
PORTS=${ADPROF_TEST_PORTS:-20000-29999}
TRIES=5 # starts of one server, each on new ports, when another process was faster in taking the port
WAIT_S=90
LOGIN_PASSWORD=canary-login

# ---- ports and processes ----------------------------------------------------

# Prints a port on which nobody listens right now. Between this look and the server's bind another process may take
# it: whoever starts a server looks for that in its log and tries again.
free_port() {
    local low=${PORTS%-*} high=${PORTS#*-} port i
    for ((i = 0; i < 1000; i++)); do
        port=$((low + (RANDOM * 32768 + RANDOM) % (high - low + 1)))
        if [[ " $* " != *" $port "* ]] && ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            printf '%s\n' "$port"
            return
        fi
    done
    die "no free port in $PORTS"
}

# State and start time of a process: the start time tells it from a later one that got the same number.
birth() {
    if [[ -e /proc/self/stat ]]; then
        sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f1,20
    else
        ps -o state=,lstart= -p "$1" 2>/dev/null
    fi || true
}

# A zombie counts as gone: where nothing reaps orphans it would look alive for ever.
alive() {
    local now
    now=$(birth "$1")
    [[ -n $now && $now != Z* && $now != X* && (-z ${2-} || ${now#* } == "$2") ]]
}

# Runs a command as a server of folder $1: in it, own session (a Ctrl-C meant for the caller does not reach it), no
# stdin, both outputs into its log, process number and start time into its pid file. Sets `pid`.
launch() {
    local dir=$1 detach=()
    shift
    have setsid && detach=(setsid)
    # All execs: the number is the server's own.
    (cd "$dir" && exec "${detach[@]}" "$@") </dev/null >"$dir/log" 2>&1 &
    pid=$!
    disown "$pid"
    local stamp
    stamp=$(birth "$pid")
    printf '%s %s\n' "$pid" "${stamp#* }" >"$dir/pid"
}

# Ends the server of folder $1 if it still runs, politely and then not, and removes the folder. Folders that `start`
# did not make carry no mark and stay.
end_server() {
    local dir=$1 pid='' stamp='' i
    [[ -e $dir/.adprof-server ]] || return 0
    [[ ! -e $dir/pid ]] || read -r pid stamp <"$dir/pid" || true
    if [[ -n $pid ]]; then
        for ((i = 0; i < 400; i++)); do
            alive "$pid" "$stamp" || break
            case $i in 0) kill "$pid" 2>/dev/null || true ;; 200) kill -KILL "$pid" 2>/dev/null || true ;; esac
            sleep 0.05
        done
        if alive "$pid" "$stamp"; then die "process $pid of $dir does not end"; fi
    fi
    rm -rf "$dir"
}

# Waits until `$2...` holds for the server just launched in folder $1. Returns 1 when another process took its port,
# and does not return when it failed otherwise.
await() {
    local dir=$1 deadline=$((SECONDS + WAIT_S))
    shift
    until "$@"; do
        if ! alive "$pid"; then
            if grep -qiE 'address already in use|failed to bind|could not create server tcp' "$dir/log"; then return 1; fi
            fail_with_log "$dir" "ended while starting"
        fi
        ((SECONDS < deadline)) || fail_with_log "$dir" "did not answer within $WAIT_S s"
        sleep 0.05
    done
}

fail_with_log() {
    say "${1##*/} $2; the end of its log:"
    tail -n 30 "$1/log" >&2
    exit 1
}

# The server of folder $1 found port $2 taken, or each that was tried.
no_port() { fail_with_log "$1" "found $(if [[ -n $2 ]]; then echo "port $2"; else echo "each of $TRIES ports"; fi) taken"; }

new_folder() {
    rm -rf "$1"
    mkdir -p "$1"
    : >"$1/.adprof-server"
}

# ---- Redis ------------------------------------------------------------------

# shellcheck disable=SC2317  # await calls it
redis_answers() {
    local line=''
    # The log line is ours alone; the PING shows that the port is too.
    grep -q 'Ready to accept connections' "$1/log" || return 1
    { exec 3<>"/dev/tcp/127.0.0.1/$2"; } 2>/dev/null || return 1
    printf 'PING\r\n' >&3
    read -r -t 5 line <&3 || true
    exec 3>&-
    [[ $line == +PONG* ]]
}

start_redis() {
    local dir=$1 port try tries=$TRIES keep=(--save '' --appendonly no)
    [[ -z ${2-} ]] || keep=(--save '' --appendonly yes --appendfsync always)
    [[ -z ${3-} ]] || tries=1
    for ((try = 0; try < tries; try++)); do
        port=${3:-$(free_port)}
        new_folder "$dir"
        launch "$dir" redis-server --bind 127.0.0.1 --port "$port" --dir "$dir" --daemonize no "${keep[@]}"
        if await "$dir" redis_answers "$dir" "$port"; then
            redis_port=$port
            return
        fi
    done
    no_port "$dir" "${3-}"
}

# ---- Kafka ------------------------------------------------------------------

java_program() { if [[ -n ${JAVA_HOME-} && -x $JAVA_HOME/bin/java ]]; then echo "$JAVA_HOME/bin/java"; else echo java; fi; }

# Java 17 or later, which Kafka 4 needs.
have_java() {
    local first major
    first=$("$(java_program)" -version 2>&1 | sed -n 's/.* version "\([^"]*\)".*/\1/p' | head -n 1) || return 1
    major=${first%%[.-]*}
    [[ $major =~ ^[0-9]+$ ]] && ((major >= 17))
}

need_java() {
    have_java && return
    if ! have java; then need java default-jre-headless || return 1; fi
    have_java && return
    say "Kafka needs Java 17 or later and \`$(java_program)\` is older; get one with: apt-get install openjdk-17-jre-headless"
    return 1
}

kafka_home() { printf '%s/kafka-%s\n' "$(cache_dir)" "$KAFKA_VERSION"; }

# What makes a JVM start fast and stay small; the slf4j binding writes to stderr.
jvm() { exec "$(java_program)" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -XX:-UsePerfData -cp "$(kafka_home)/*" "$@"; }

# shellcheck disable=SC2317  # with_lock calls it
fetch_kafka() {
    local home tmp
    home=$(kafka_home)
    [[ ! -d $home ]] || return 0
    need mvn maven || return 1
    say "fetching Apache Kafka $KAFKA_VERSION from Maven Central into $home (once)"
    tmp=$(mktemp -d "$home.XXXXXX") || return 1
    # shellcheck disable=SC2064  # the folder of now is meant
    trap "$(printf 'rm -rf %q' "$tmp")" EXIT
    write_pom >"$tmp/pom.xml"
    # A repository of its own: the user's ~/.m2 stays as it is. Settings, such as a mirror, still come from there.
    if ! mvn -B -q -Dstyle.color=never -f "$tmp/pom.xml" -Dmaven.repo.local="$tmp/repository" \
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DoutputDirectory="$tmp/jars" -DincludeScope=runtime </dev/null >"$tmp/log" 2>&1; then
        say "mvn could not fetch Kafka:"
        # Its first line says why; the rest is how to debug Maven.
        head -n 3 "$tmp/log" >&2
        return 1
    fi
    # The rename makes it visible whole or not at all.
    chmod 755 "$tmp/jars"
    mv -T "$tmp/jars" "$home" 2>/dev/null || [[ -d $home ]]
}

# shellcheck disable=SC2317  # fetch_kafka calls it
write_pom() {
    cat <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>adprof</groupId><artifactId>kafka-for-tests</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$KAFKA_VERSION</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$KAFKA_VERSION</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
}

# One node that is broker and controller. Replicas are one because there is one node; single partitions of the inner
# topics, no rebalance delay and short sessions are for speed; nothing expires, since tests send events of any year.
#
# The listener PROXIED is for a proxy of a test's own: the broker listens on port $4 and tells its clients port $5. LOGIN,
# on port $6, wants a user and a password.
write_kafka_properties() {
    kafka_properties "$@"
    more_kafka_properties "$@"
}

# What a script that sources this one adds: of a property that stands there twice the later value counts.
more_kafka_properties() { :; }

kafka_properties() {
    cat <<PROPERTIES
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$3,PROXIED://127.0.0.1:$4,LOGIN://127.0.0.1:$6
advertised.listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$3,PROXIED://127.0.0.1:$5,LOGIN://127.0.0.1:$6
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:$3
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT,LOGIN:SASL_PLAINTEXT
listener.name.login.sasl.enabled.mechanisms=PLAIN
listener.name.login.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_adprof="$LOGIN_PASSWORD";
log.dirs=$1/data
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.retention.ms=-1
log.retention.bytes=-1
log.cleaner.dedupe.buffer.size=4194304
log.segment.delete.delay.ms=100
num.network.threads=2
num.io.threads=4
controlled.shutdown.enable=false
PROPERTIES
}

# A metadata round-trip by hand, since a JVM only for asking would take seconds: request Metadata, version 1, for no
# topics; the answer is size, correlation number and the count of brokers. One broker means registered and serving.
# shellcheck disable=SC2317  # await calls it
kafka_answers() {
    local answer
    grep -q 'Kafka Server started' "$1/log" || return 1
    { exec 3<>"/dev/tcp/127.0.0.1/$2"; } 2>/dev/null || return 1
    printf '\0\0\0\016\0\003\0\001\0\0\0\007\377\377\0\0\0\0' >&3
    answer=$(timeout 5 head -c 12 <&3 | od -An -v -tx1 -j4 | tr -d ' \n') || true
    exec 3>&-
    [[ $answer == 0000000700000001 ]]
}

start_kafka() {
    local dir=$1 port control behind proxy login try tries=$TRIES
    [[ -z ${2-} ]] || tries=1
    for ((try = 0; try < tries; try++)); do
        port=${2:-$(free_port)}
        control=$(free_port "$port")
        behind=$(free_port "$port" "$control")
        proxy=$(free_port "$port" "$control" "$behind")
        login=$(free_port "$port" "$control" "$behind" "$proxy")
        new_folder "$dir"
        write_kafka_properties "$dir" "$port" "$control" "$behind" "$proxy" "$login" >"$dir/server.properties"
        (jvm -Xmx128m -Dorg.slf4j.simpleLogger.defaultLogLevel=warn kafka.tools.StorageTool format --standalone \
            -t "$(cluster_id)" -c "$dir/server.properties") >"$dir/log" 2>&1 </dev/null ||
            fail_with_log "$dir" "could not format its folder"
        launch "$dir" "$(java_program)" -Xms128m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData \
            -cp "$(kafka_home)/*" kafka.Kafka "$dir/server.properties"
        if await "$dir" kafka_answers "$dir" "$port"; then
            kafka_port=$port kafka_behind=$behind kafka_proxy=$proxy kafka_login=$login
            return
        fi
    done
    no_port "$dir" "${2-}"
}

# 16 random bytes in URL-safe base64 without padding, as Kafka writes cluster ids; never with a dash in front.
cluster_id() { printf 'a%s\n' "$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c2-22)"; }

# ---- the commands -----------------------------------------------------------

skip() {
    if [[ -n ${ADPROF_REQUIRE_SERVERS-} && $ADPROF_REQUIRE_SERVERS != 0 ]]; then
        die "$1 is required (ADPROF_REQUIRE_SERVERS=$ADPROF_REQUIRE_SERVERS)"
    fi
    say "skipped: $1"
}

end_all() {
    end_server "$1/redis"
    end_server "$1/kafka"
    rm -f "$1/env"
    rmdir "$1" 2>/dev/null || true
}

start() {
    local redis='' kafka='' persist='' dir='' redis_at='' kafka_at=''
    while (($#)); do
        case $1 in
        --redis) redis=1 ;;
        --kafka) kafka=1 ;;
        --redis-persist) redis=1 persist=1 ;;
        --redis-port | --kafka-port)
            [[ ${2-} =~ ^[0-9]+$ ]] || usage_error "$1 takes a port"
            if [[ $1 == --redis-port ]]; then redis=1 redis_at=$2; else kafka=1 kafka_at=$2; fi
            shift
            ;;
        -*) usage_error "unknown flag: $1" ;;
        *) [[ -z $dir ]] || usage_error "one DIR only, then: $1"; dir=$1 ;;
        esac
        shift
    done
    [[ -n $dir ]] || usage_error "which DIR?"
    [[ -n $redis$kafka ]] || redis=1 kafka=1
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    local name
    for name in redis kafka env; do
        [[ ! -e $dir/$name ]] || die "$dir/$name is in the way; servers that run there end with: scripts/servers.sh stop $dir"
    done

    # Whatever goes wrong, or a Ctrl-C, leaves nothing half-started.
    starting=$dir
    trap 'trap "" INT TERM HUP; [[ -z $starting ]] || end_all "$starting"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP

    local env=''
    if [[ -n $redis ]]; then
        if need redis-server redis-server; then
            start_redis "$dir/redis" "$persist" "$redis_at"
            env+="export ADPROF_TEST_REDIS=redis://127.0.0.1:$redis_port"$'\n'
        else
            skip redis
        fi
    fi
    if [[ -n $kafka ]]; then
        if need_java && with_lock "$(kafka_home).lock" fetch_kafka; then
            start_kafka "$dir/kafka" "$kafka_at"
            env+="export ADPROF_TEST_KAFKA=127.0.0.1:$kafka_port"$'\n'
            env+="export ADPROF_TEST_KAFKA_BEHIND=127.0.0.1:$kafka_behind"$'\n'
            env+="export ADPROF_TEST_KAFKA_PROXY=127.0.0.1:$kafka_proxy"$'\n'
            env+="export ADPROF_TEST_KAFKA_LOGIN=127.0.0.1:$kafka_login"$'\n'
            env+="export ADPROF_TEST_KAFKA_LIBS=$(printf '%q' "$(kafka_home)")"$'\n'
        else
            skip kafka
        fi
    fi
    printf '%s' "$env" >"$dir/env.new"
    mv "$dir/env.new" "$dir/env"
    starting=''
}

# The folder of started servers named by $1.
started() {
    [[ -n ${1-} ]] || usage_error "which DIR?"
    [[ -e $1/env ]] || die "no servers were started in $1"
}

usage_error() {
    say "$1"
    say "hint: scripts/servers.sh -h"
    exit 2
}

main() {
    local command=${1-}
    (($# == 0)) || shift
    case $command in
    start) start "$@" ;;
    env)
        started "$@"
        cat "$1/env"
        ;;
    kafka-tool)
        started "$@"
        (($# >= 2)) || usage_error "which CLASS?"
        shift
        [[ -d $(kafka_home) ]] || die "no Kafka jars in $(kafka_home)"
        jvm -Xmx256m -Dorg.slf4j.simpleLogger.defaultLogLevel=error "$@"
        ;;
    stop)
        [[ -n ${1-} ]] || usage_error "which DIR?"
        [[ ! -d $1 ]] || end_all "$(cd "$1" && pwd)"
        ;;
    -h | --help | help) usage_of "${BASH_SOURCE[0]}" ;;
    *) usage_error "unknown command: ${command:-(none)}" ;;
    esac
    exit # before bash reads on: a checkout may have changed this file during a long start
}

# A script that sources this one wants its functions only.
[[ ${BASH_SOURCE[0]} != "$0" ]] || main "$@"
