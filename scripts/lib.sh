# shellcheck shell=bash
# What the other scripts share: words on stderr, the cache folder, installing what is missing, locking a download.
#
# To be sourced, not run. Nothing here changes the machine except `apt_install`, and that only for root on Debian or Ubuntu.

# Prints the comment block on top of the script in $1: its manual.
usage_of() { sed -n '2,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p;}' "$1"; }

# The manual of the benchmark script $1 and of its Python module $2, when -h or --help is among the arguments after them.
bench_manual() {
    local script=$1 module=$2
    shift 2
    [[ " $* " == *' -h '* || " $* " == *' --help '* ]] || return 0
    usage_of "$script"
    echo
    PYTHONPATH=scripts exec python3 -B -m "$module" --help
}

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$@"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# The folder for what is downloaded once and used again.
cache_dir() { printf '%s/adprof\n' "${XDG_CACHE_HOME:-$HOME/.cache}"; }

can_apt() { [[ $(id -u) == 0 ]] && have apt-get; }

# Installs Debian packages without starting any service they bring; false when this machine does not let us.
# A policy-rc.d that says 101 is Debian's own way to forbid starting; one that is already there is left alone.
apt_install() {
    can_apt || return 1
    say "installing with apt-get: $*"
    (
        policy=/usr/sbin/policy-rc.d log=$(mktemp) ours=''
        trap '[[ -z $ours ]] || rm -f "$policy"; rm -f "$log"' EXIT
        if [[ ! -e $policy ]]; then
            ours=1
            printf '#!/bin/sh\nexit 101\n' >"$policy"
            chmod 755 "$policy"
        fi
        export DEBIAN_FRONTEND=noninteractive
        get=(apt-get -y -o DPkg::Lock::Timeout=120 install --no-install-recommends "$@")
        # Package lists may be absent or too old: refresh them once, only when needed.
        if ! "${get[@]}" >"$log" 2>&1 </dev/null; then
            { apt-get update && "${get[@]}"; } >"$log" 2>&1 </dev/null || { tail -n 15 "$log" >&2; exit 1; }
        fi
    )
}

# Makes command $1 available from package(s) $2..., or says in one line what is missing and how to get it; then false.
need() {
    local tool=$1
    shift
    have "$tool" && return 0
    if apt_install "$@"; then
        hash -r
        have "$tool" && return 0
    fi
    say "missing \`$tool\`; get it with: apt-get install $*  (as root, or your system's way)"
    return 1
}

# What the crates written in C need: librdkafka a C and a C++ compiler and make, LMDB and zstd the C compiler. zlib and
# zstd come with their crates where the system has none. There is no building without them.
need_build_tools() {
    local tool
    have cargo || die "missing \`cargo\`; get it from https://rustup.rs"
    for tool in "${CC:-cc}" "${CXX:-c++}" make; do
        need "${tool%% *}" build-essential || exit 1
    done
}

# Makes sure of the system's OpenSSL, its command and what it takes to link with it, or says how to have that; then false.
need_openssl() {
    need openssl openssl || return 1
    have pkg-config && pkg-config --exists openssl && return 0
    apt_install libssl-dev pkg-config && pkg-config --exists openssl && return 0
    say "missing the system's OpenSSL to link with, for Kafka over TLS; get it with: apt-get install libssl-dev pkg-config" \
        " (as root, or your system's way), or try the one that is compiled in: scripts/kafka-tls.sh --compile"
    return 1
}

# Runs a command in a subshell that holds the lock file $1, so that two starts do not download the same thing twice.
# The command may set an EXIT trap; it must leave no process behind, which would keep the lock.
with_lock() {
    local lock=$1
    shift
    mkdir -p "$(dirname "$lock")" || return 1
    # Where there is no flock both download, and the rename at the end lets one of them win.
    (if have flock; then flock 9 || exit 1; fi && "$@") 9>"$lock"
}
