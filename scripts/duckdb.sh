# shellcheck shell=bash
# A Python with DuckDB, the second opinion of tests and benchmarks, in the cache folder.
#
# To be sourced after lib.sh, not run.

DUCKDB_VERSION=2.0.0

has_duckdb() { "$1" -c "import duckdb" >/dev/null 2>&1; }

# shellcheck disable=SC2317  # called through with_lock
make_venv() {
    local venv=$1 tmp
    ! has_duckdb "$venv/bin/python" || return 0
    tmp=$(mktemp -d "$venv.XXXXXX") || return 1
    # shellcheck disable=SC2064  # the folder of now is meant
    trap "$(printf 'rm -rf %q' "$tmp")" EXIT
    if ! python3 -m venv "$tmp" >"$tmp/log" 2>&1; then
        # Debian keeps what venv needs in a package of its own.
        apt_install python3-venv && python3 -m venv --clear "$tmp" >/dev/null 2>&1 || return 1
    fi
    say "installing duckdb $DUCKDB_VERSION into $venv (once)"
    "$tmp/bin/python" -m pip install -q --disable-pip-version-check "duckdb==$DUCKDB_VERSION" </dev/null >&2 || return 1
    rm -rf "$venv"
    mv -T "$tmp" "$venv" 2>/dev/null || [[ -d $venv ]]
}

# Sets ADPROF_TEST_PYTHON, or says in one line what is skipped and how to get it.
prepare_python() {
    local venv
    if [[ -n ${ADPROF_TEST_PYTHON-} ]]; then
        has_duckdb "$ADPROF_TEST_PYTHON" || die "ADPROF_TEST_PYTHON=$ADPROF_TEST_PYTHON cannot import duckdb"
        return
    fi
    venv=$(cache_dir)/python-duckdb-$DUCKDB_VERSION
    if need python3 python3 python3-venv && with_lock "$venv.lock" make_venv "$venv"; then
        export ADPROF_TEST_PYTHON=$venv/bin/python
    else
        say "skipped: comparisons with DuckDB; they need python3 with venv and pip (apt-get install python3-venv) and duckdb $DUCKDB_VERSION from PyPI"
    fi
}
