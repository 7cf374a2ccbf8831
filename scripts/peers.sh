# shellcheck shell=bash
# Pythons with the engines that batch is measured against, in the cache folder: DuckDB, ClickHouse (chdb), Polars and Spark
# in one, Flink in another, because it pins old versions of much. About 2.6 GB together.
#
# To be sourced after lib.sh, not run.

PEERS_PACKAGES=(duckdb==2.0.0 chdb==4.4.0 polars==2.1.0 pyspark==4.3.0)
FLINK_PACKAGES=(apache-flink==2.3.0)

# shellcheck disable=SC2317  # called through with_lock
make_peers_venv() {
    local venv=$1 tmp
    shift
    [[ ! -e $venv/ready ]] || return 0
    tmp=$(mktemp -d "$venv.XXXXXX") || return 1
    # shellcheck disable=SC2064  # the folder of now is meant
    trap "$(printf 'rm -rf %q' "$tmp")" EXIT
    if ! python3 -m venv "$tmp" >"$tmp/log" 2>&1; then
        # Debian keeps what venv needs in a package of its own.
        apt_install python3-venv && python3 -m venv --clear "$tmp" >/dev/null 2>&1 || return 1
    fi
    say "installing $* into $venv (once)"
    "$tmp/bin/python" -m pip install -q --disable-pip-version-check "$@" </dev/null >&2 || return 1
    touch "$tmp/ready"
    rm -rf "$venv"
    mv -T "$tmp" "$venv" 2>/dev/null || [[ -e $venv/ready ]]
}

# The name changes with the versions, so that a new one is installed and the old one stays as it is.
venv_of() {
    local name=$1
    shift
    printf '%s/peers-%s-%s\n' "$(cache_dir)" "$name" "$(printf '%s\n' "$@" | cksum | cut -d ' ' -f 1)"
}

# Sets the variable $1 to a Python of the cache with packages $3...; a variable that is set already stays.
prepare_peers_python() {
    local variable=$1 name=$2 venv
    shift 2
    [[ -z ${!variable-} ]] || return 0
    venv=$(venv_of "$name" "$@")
    if need python3 python3 python3-venv && with_lock "$venv.lock" make_peers_venv "$venv" "$@"; then
        export "$variable=$venv/bin/python"
    else
        say "skipped: $*; they need python3 with venv and pip (apt-get install python3-venv) and PyPI"
    fi
}

# Prepares the peers of a list such as duckdb,spark: ADPROF_PEERS_PYTHON and ADPROF_FLINK_PYTHON.
prepare_peers() {
    local peers=,$1,
    if [[ $peers =~ ,(duckdb|chdb|polars|spark), ]]; then
        prepare_peers_python ADPROF_PEERS_PYTHON engines "${PEERS_PACKAGES[@]}"
    fi
    if [[ $peers == *,flink,* ]]; then
        prepare_peers_python ADPROF_FLINK_PYTHON flink "${FLINK_PACKAGES[@]}"
    fi
    if [[ $peers =~ ,(spark|flink), ]]; then
        need java default-jre-headless || say "skipped: Spark and Flink; they need Java 17 or later"
    fi
}

# Sets the same variables where the environments are there already, and fetches nothing.
find_peers() {
    local venv
    venv=$(venv_of engines "${PEERS_PACKAGES[@]}")
    [[ -n ${ADPROF_PEERS_PYTHON-} || ! -e $venv/ready ]] || export ADPROF_PEERS_PYTHON=$venv/bin/python
    venv=$(venv_of flink "${FLINK_PACKAGES[@]}")
    [[ -n ${ADPROF_FLINK_PYTHON-} || ! -e $venv/ready ]] || export ADPROF_FLINK_PYTHON=$venv/bin/python
}
