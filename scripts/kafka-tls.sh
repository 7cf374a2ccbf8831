#!/usr/bin/env bash
# kafka-tls.sh: lints the build with TLS to Kafka, and tests users, rights and TLS on a real broker that asks for them.
#
#   scripts/kafka-tls.sh [--compile] [ARG...]   ARGs go to the tests of tests/kafka_tls.rs: scripts/kafka-tls.sh --nocapture
#
# Builds adprof with the feature kafka-tls: with the system's OpenSSL, as scripts/test.sh wants it; with --compile as users
# have it, with one that is compiled in (minutes the first time; it needs perl and make). Then it makes authorities and
# certificates in a temporary folder, starts Kafka (scripts/servers.sh) with an authorizer and with more listeners, runs
# tests/kafka_tls.rs, and ends what it started whatever happens:
#   SCRAM    SASL_SSL, users with SCRAM-SHA-512          MUTUAL   SSL, which wants a certificate of the client
#   EXPIRED  SASL_SSL with a certificate of long ago     LOGIN    SASL_PLAINTEXT, users with PLAIN
# What is missing is installed through apt-get when root; otherwise one line says what is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/servers.sh
source scripts/servers.sh
case ${1-} in -h | --help) usage_of scripts/kafka-tls.sh; exit ;; esac

compile=''
[[ ${1-} != --compile ]] || { compile=1 && shift; }

# shellcheck disable=SC2317  # a trap calls it
finish() {
    local code=$?
    trap '' INT TERM HUP
    scripts/servers.sh stop "$work/servers" || code=1
    rm -rf "$work"
    exit "$code"
}

# ---- certificates -----------------------------------------------------------

# An authority of name $1: $1.crt, $1.key.
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -days 2 \
        -keyout "$certificates/$1.key" -out "$certificates/$1.crt" 2>/dev/null
}

# Signs by authority $1 a certificate for the name $2 as $3.crt with the key $3.key; $3.pem holds both, for Kafka. The other
# arguments say how long it is good. It is `openssl ca` because every version of that takes dates that are past.
sign() {
    local by=$certificates/$1 name=$2 to=$certificates/$3
    shift 3
    {
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" -addext "subjectAltName=DNS:$name" \
            -keyout "$to.key" -out "$to.csr" &&
            openssl ca -batch -notext -config "$work/authority.conf" -create_serial -cert "$by.crt" -keyfile "$by.key" \
                -in "$to.csr" -out "$to.crt" "$@"
    } >"$work/log" 2>&1 || {
        cat "$work/log" >&2
        die "no certificate could be made for $name"
    }
    cat "$to.key" "$to.crt" >"$to.pem"
}

make_certificates() {
    mkdir -p "$certificates/signed"
    : >"$certificates/signed/list"
    cat >"$work/authority.conf" <<CONF
[ca]
default_ca = each
[each]
database = $certificates/signed/list
serial = $certificates/signed/serial
new_certs_dir = $certificates/signed
default_md = sha256
unique_subject = no
policy = names
copy_extensions = copy
[names]
commonName = supplied
CONF
    authority ours
    authority other
    sign ours localhost server -days 2
    sign ours localhost expired -startdate 20200101000000Z -enddate 20200102000000Z
    sign ours adprof-client client -days 2
    sign other adprof-client stranger -days 2
    password key >"$work/key-password"
    openssl pkey -in "$certificates/client.key" -aes256 -passout "file:$work/key-password" -out "$certificates/client.locked.key"
}

# ---- the broker -------------------------------------------------------------

make_passwords() {
    local name
    for name in adprof key writer reader grouped looker describer nobody; do
        printf '%s=canary-%s-%s\n' "$name" "$name" "$(head -c 6 /dev/urandom | od -An -tx1 | tr -d ' \n')"
    done >"$passwords"
}

password() { sed -n "s/^$1=//p" "$passwords"; }

# The users of the listener LOGIN, as its login module takes them.
plain_users() {
    local name secret
    while IFS='=' read -r name secret; do printf ' user_%s="%s"' "$name" "$secret"; done <"$passwords"
}

# Called for each try of a start, with new ports.
more_kafka_properties() {
    local scram mutual expired
    scram=$(free_port "$@")
    mutual=$(free_port "$@" "$scram")
    expired=$(free_port "$@" "$scram" "$mutual")
    secured() { printf ',SCRAM://%s:%s,MUTUAL://%s:%s,EXPIRED://%s:%s\n' "$1" "$scram" "$1" "$mutual" "$1" "$expired"; }
    cat <<PROPERTIES
listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$3,PROXIED://127.0.0.1:$4,LOGIN://127.0.0.1:$6$(secured 127.0.0.1)
advertised.listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$3,PROXIED://127.0.0.1:$5,LOGIN://127.0.0.1:$6$(secured localhost)
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT,LOGIN:SASL_PLAINTEXT,SCRAM:SASL_SSL,MUTUAL:SSL,EXPIRED:SASL_SSL
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
ssl.keystore.type=PEM
ssl.keystore.location=$certificates/server.pem
listener.name.expired.ssl.keystore.type=PEM
listener.name.expired.ssl.keystore.location=$certificates/expired.pem
listener.name.mutual.ssl.client.auth=required
listener.name.mutual.ssl.truststore.type=PEM
listener.name.mutual.ssl.truststore.location=$certificates/ours.crt
listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.scram.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.expired.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.expired.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.login.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required$(plain_users);
PROPERTIES
    cat >"$work/listeners" <<LISTENERS
export ADPROF_TEST_KAFKA_SCRAM=localhost:$scram ADPROF_TEST_KAFKA_MUTUAL=localhost:$mutual
export ADPROF_TEST_KAFKA_EXPIRED=localhost:$expired
export ADPROF_TEST_KAFKA_CERTIFICATES=$(printf '%q' "$certificates") ADPROF_TEST_KAFKA_PASSWORDS=$(printf '%q' "$passwords")
LISTENERS
}

# The user of the listener SCRAM. The password goes by a file: nothing secret stands on a command line.
make_scram_user() {
    printf 'SCRAM-SHA-512=iterations=4096,password=%s\n' "$(password adprof)" >"$work/scram"
    scripts/servers.sh kafka-tool "$work/servers" kafka.admin.ConfigCommand --bootstrap-server "$ADPROF_TEST_KAFKA" \
        --alter --entity-type users --entity-name adprof --add-config-file "$work/scram" >"$work/log" 2>&1 || {
        cat "$work/log" >&2
        die "the user of the listener SCRAM could not be made"
    }
}

# ---- the run ----------------------------------------------------------------

need_build_tools
if [[ -n $compile ]]; then
    need openssl openssl && need perl perl || exit 1
    unset OPENSSL_NO_VENDOR
else
    need_openssl || exit 1
    export OPENSSL_NO_VENDOR=1
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/adprof-kafka-tls.XXXXXX")
certificates=$work/certificates
passwords=$work/passwords # of users: NAME=PASSWORD a line
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# The rest is the same as without the feature, and linted so.
cargo clippy --locked --features kafka-tls --lib --bins --test kafka_tls -- -D warnings
cargo test --locked --features kafka-tls --test kafka_tls --no-run
make_passwords
make_certificates
# A subshell: it has traps of its own.
export ADPROF_REQUIRE_SERVERS=1
(start --kafka "$work/servers")
# shellcheck source=/dev/null
source "$work/servers/env"
# shellcheck source=/dev/null
source "$work/listeners"
make_scram_user
cargo test --locked --features kafka-tls --test kafka_tls -- "$@"
