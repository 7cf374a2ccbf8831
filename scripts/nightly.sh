#!/usr/bin/env bash
# nightly.sh: yesterday's values computed from the log, checked, and published; for cron, systemd, and by hand.
#
#   nightly.sh --log DIR --out DIR --store WHERE [--tz ZONE] [-d FILE] [--date D | --catch-up [N]] ...
#
# Nothing is printed when all went well; each run leaves a line in OUT/nightly.log. A run that was cut short, at whatever
# point, is simply started again: it gives the same bytes. A day that is published is left alone.
#
#   --log DIR        ADPROF_LOG          the log, a directory of dt=YYYY-MM-DD/
#   --out DIR        ADPROF_OUT          where outputs go: OUT/dt=DAY/patches.ndjson, and OUT/latest
#   --store WHERE    ADPROF_STORE        file:DIR, redis (the address in REDIS_URL), redis://..., or none
#   -d, --definitions FILE   ADPROF_DEFINITIONS   the definition file [default: ./adprof.toml, or the built-in tags]
#   --tz ZONE        ADPROF_TZ           the zone of the days [default: UTC]
#   --rollups DIR    ADPROF_ROLLUPS      passed on to `adprof batch`
#   --base file:DIR  ADPROF_BASE         give the live state in DIR its base once the day is published
#   --date D         a date, or yesterday (in the zone) [default]
#   --catch-up [N]   all days after the last published one up to that day, the oldest first, at most N [default: 31]
#   --seal           seal the log first (`adprof log seal`), through the last partition that the day needs
#   --wait SECONDS   ADPROF_WAIT         wait so long for the log to be sealed before giving up with 75 [default: 0]
#   --again          compute and publish a day anew that is published already
#   --accept         publish a day although its check fails
#   --dry-run        say what would be done, and do nothing
#   --summary FILE   ADPROF_SUMMARY      the file for one line a run [default: OUT/nightly.log]
#   -v, --verbose    say on stderr what is done
#   ADPROF           the program [default: adprof, on PATH]
#
# Exit codes: 0 done, also when there was nothing to do; 2 the command line is wrong; 65 a check failed: yesterday's
# values stay; 66 the log does not have the day; 69 the store, or flock(1), is not there; 74 reading or writing failed;
# 75 try again: another run is at work, or the day is not, or cannot be, sealed; 77 not allowed; 78 the definition file is wrong.
set -euo pipefail

ADPROF=${ADPROF:-adprof}
LOG=${ADPROF_LOG-}
OUT=${ADPROF_OUT-}
STORE=${ADPROF_STORE-}
ZONE=${ADPROF_TZ:-UTC}
ROLLUPS=${ADPROF_ROLLUPS-}
BASE=${ADPROF_BASE-}
WAIT=${ADPROF_WAIT:-0}
SUMMARY=${ADPROF_SUMMARY-}
DATE=yesterday
CATCH_UP='' SEAL='' AGAIN='' ACCEPT='' DRY='' VERBOSE=''

# ---- words --------------------------------------------------------------------------------------

say() { printf 'nightly.sh: %s\n' "$*" >&2; }
detail() { if [[ -n $VERBOSE ]]; then say "$@"; fi; }

# One line about a run, for whoever looks a year later.
note() {
    [[ -z $DRY && -n $SUMMARY ]] || return 0
    printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*" >>"$SUMMARY" || say "no line in $SUMMARY: $*"
}

# fail CODE MESSAGE [HINT]
fail() {
    say "$2"
    [[ -z ${3-} ]] || printf 'hint: %s\n' "$3" >&2
    exit "$1"
}

usage() { fail 2 "$1" "${2:-nightly.sh --help}"; }

# ---- what was given -----------------------------------------------------------------------------

value() { [[ $# -ge 2 && -n $2 ]] || usage "$1 takes a value"; }

while [[ $# -gt 0 ]]; do
    case $1 in
        --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}"; continue ;;
        --log) value "$@"; LOG=$2; shift ;;
        --out) value "$@"; OUT=$2; shift ;;
        --store)
            value "$@"
            [[ $2 != redis://*:*@* ]] || usage 'a password on the command line, where every user of this machine can read it' \
                'put the address into the environment: --store redis and REDIS_URL'
            STORE=$2
            shift
            ;;
        -d | --definitions) value "$@"; export ADPROF_DEFINITIONS=$2; shift ;;
        --tz) value "$@"; ZONE=$2; shift ;;
        --rollups) value "$@"; ROLLUPS=$2; shift ;;
        --base) value "$@"; BASE=$2; shift ;;
        --date) value "$@"; DATE=$2; shift ;;
        --wait) value "$@"; WAIT=$2; shift ;;
        --summary) value "$@"; SUMMARY=$2; shift ;;
        --catch-up)
            CATCH_UP=31
            if [[ ${2-} =~ ^[0-9]+$ ]]; then CATCH_UP=$2; shift; fi
            ;;
        --seal) SEAL=1 ;;
        --again) AGAIN=1 ;;
        --accept) ACCEPT=1 ;;
        --dry-run) DRY=1 ;;
        -v | --verbose) VERBOSE=1 ;;
        -h | --help) sed -n '2,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; exit 0 ;;
        *) usage "unknown argument: $1" ;;
    esac
    shift
done

[[ -n $LOG ]] || usage 'no log named' 'write --log DIR, or set ADPROF_LOG'
[[ -n $OUT ]] || usage 'no place for the output' 'write --out DIR, or set ADPROF_OUT'
[[ $WAIT =~ ^[0-9]+$ ]] || usage "not a number of seconds: $WAIT"
[[ -z $CATCH_UP || -z $AGAIN ]] || usage '--again needs one day' 'write --date D --again'
case $STORE in
    redis | none | file:?* | redis://?*) ;;
    '') usage 'no store named' 'write --store file:DIR, --store redis with REDIS_URL, or --store none' ;;
    # Not shown: there may be a password in it.
    *) usage 'not a store' 'write file:DIR, redis with REDIS_URL, redis://HOST:PORT, or none' ;;
esac
command -v "$ADPROF" >/dev/null || fail 69 "no such program: $ADPROF" 'set ADPROF to its path'

# ---- one run at a time --------------------------------------------------------------------------

# flock(1), because the system lets go of the lock when its holders die, however they die; a directory with a pid in it
# would have to be judged by hand after kill -9. The steps inherit the lock: if only this script is killed, nobody begins
# anew beside a step that is still at work.
take_lock() {
    local holder=''
    command -v flock >/dev/null || fail 69 'flock(1) is not there' 'it is part of util-linux'
    exec 9<>"$OUT/.lock" || fail 74 "cannot open $OUT/.lock"
    if ! flock -n 9; then
        read -r holder <"$OUT/.lock" || true
        fail 75 "another run is at work on $OUT: ${holder:-it has just begun}" 'it is let finish; try again later'
    fi
    printf 'pid %s, since %s\n' "$$" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" >"$OUT/.lock"
}

# ---- days ---------------------------------------------------------------------------------------

# The newest day with one of the marks $1...; nothing when there is none.
newest() {
    local LC_ALL=C name mark found=''
    for name in "$@"; do
        for mark in "$OUT"/dt=*/"$name"; do
            [[ -e $mark ]] || continue
            mark=${mark%/*}
            mark=${mark##*/dt=}
            if [[ $mark > $found ]]; then found=$mark; fi
        done
    done
    printf '%s\n' "$found"
}

# The days to do, a line each.
days() {
    local last=''
    [[ -z $CATCH_UP ]] || last=$(newest _PUBLISHED)
    if [[ -n $last ]]; then
        "$ADPROF" day "$DATE" --tz "$ZONE" --after "$last" --most "$CATCH_UP"
    else
        "$ADPROF" day "$DATE" --tz "$ZONE"
    fi
}

# Seals the log through partition $1, and looks whether it has day $2 whole.
whole() {
    if [[ -n $SEAL && -z $DRY ]]; then
        detail "sealing $LOG through $1"
        "$ADPROF" -q log seal "$LOG" --through "$1" || return
    fi
    "$ADPROF" day "$2" --tz "$ZONE" --log "$LOG" >/dev/null
}

# Prints the last partition that day $1 needs, once the log has it whole; waits for that as long as is allowed.
ready() {
    local line told code until=$((SECONDS + WAIT))
    line=$("$ADPROF" day "$1" --tz "$ZONE") || return
    line=${line#* }
    line=${line%% *}
    while :; do
        code=0
        told=$(whole "$line" "$1" 2>&1) || code=$?
        [[ $code == 75 && $SECONDS -lt $until && -z $DRY ]] || break
        # Without the lock: a killed script must not leave it to a sleep.
        sleep "$((until - SECONDS < 60 ? until - SECONDS : 60))" 9>&-
    done
    # What has to be sealed yet does not stop a dry run.
    if [[ $code == 75 && -n $SEAL && -n $DRY ]]; then code=0; fi
    if [[ -n $told && ($code != 0 || -n $VERBOSE) ]]; then printf '%s\n' "$told" >&2; fi
    if [[ $code != 0 ]]; then return "$code"; fi
    printf '%s\n' "$line"
}

# ---- the steps of a day -------------------------------------------------------------------------

# Runs a step; what it says is kept in `said`, and shown when it fails or is asked for.
said=''
step() {
    local code=0
    said=$("$@" 2>&1 >/dev/null) || code=$?
    if [[ $code != 0 || -n $VERBOSE ]]; then printf '%s\n' "$said" >&2; fi
    return "$code"
}

compute() {
    local more=()
    [[ -z $ROLLUPS ]] || more=(--rollups "$ROLLUPS")
    step "$ADPROF" batch --log "$LOG" --date "$1" --tz "$ZONE" --through "$2" -o "$3" --manifest ${more[@]+"${more[@]}"}
}

# Gives the live state its base through partition $1. One that comes too late for it (2) is no reason to fail: the next will do.
base() {
    local more=() code=0
    [[ -n $BASE ]] || return 0
    [[ -z $ROLLUPS ]] || more=(--rollups "$ROLLUPS")
    step "$ADPROF" batch --log "$LOG" --tz "$ZONE" --through "$1" --store "$BASE" ${more[@]+"${more[@]}"} || code=$?
    [[ $code == 2 ]] || return "$code"
}

# check OUTPUT REPORT
check() {
    "$ADPROF" check -q --data "$1" --history "$OUT" --json >"$2"
}

# Values are absolute: what is in the store is replaced, so it does not matter how often, or how far, this has run.
store() {
    local input=(--input "$1/patches.ndjson" --dead "$1/sink.dead.ndjson")
    case $STORE in
        none) ;;
        redis) step "$ADPROF" sink redis "${input[@]}" ;;
        # By way of the environment: every user of the machine can read a command line.
        redis://*) REDIS_URL=$STORE step "$ADPROF" sink redis "${input[@]}" ;;
        file:*) step "$ADPROF" sink file "${STORE#file:}" "${input[@]}" ;;
    esac
}

# Gives OUTPUT $1 and what lies beside it the name $2.
rename() {
    mv -f "$1" "$2"
    mv -f "$1.manifest.json" "$2.manifest.json"
}

# Lets OUT/latest name day $1: a link that is replaced in one step.
point() {
    rm -f "$OUT/.latest.tmp"
    ln -s "dt=$1" "$OUT/.latest.tmp"
    mv -fT "$OUT/.latest.tmp" "$OUT/latest" 2>/dev/null || mv -fh "$OUT/.latest.tmp" "$OUT/latest"
}

# Runs in a subshell of its own, so that `set -e` holds.
one_day() {
    local day=$1 dir=$OUT/dt=$1 new=$OUT/dt=$1/patches.unchecked.ndjson through code=0 last accepted='' words
    if [[ -e $dir/_PUBLISHED && -z $AGAIN ]]; then
        if [[ -n $DRY ]]; then printf '%s: published already\n' "$day"; fi
        detail "$day: published already"
        return 0
    fi
    through=$(ready "$day") || return
    # What is in the store, or may be in it, is never replaced by older values: a store keeps the newest.
    last=$(newest _PUBLISHED _STORING)
    if [[ -n $DRY ]]; then
        if [[ $day < $last ]]; then words="write $dir, and not publish to the store, which has $last"; else words="publish $day"; fi
        printf '%s: would %scompute from the log through %s, check, and %s\n' "$day" "${SEAL:+seal the log, }" "$through" "$words"
        return 0
    fi
    mkdir -p "$dir"
    compute "$day" "$through" "$new"
    # The last line sums it up; those before it are about single files.
    words=${said##*$'\n'}
    check "$new" "$dir/check.unchecked.json" || code=$?
    if [[ $code == 65 && -z $ACCEPT ]]; then
        rename "$new" "$dir/patches.FAILED.ndjson"
        mv -f "$dir/check.unchecked.json" "$dir/check.FAILED.json"
        printf 'hint: %s\n' "$day is not published, what was there stays; $dir/patches.FAILED.ndjson is what was computed" >&2
    fi
    if [[ $code == 65 && -n $ACCEPT ]]; then accepted=', accepted in spite of its check' code=0; fi
    if [[ $code != 0 ]]; then return "$code"; fi
    # From here on a run that is cut short is known by the mark that is there, or by none.
    if [[ ! $day < $last ]]; then
        : >"$dir/_STORING"
        # The mark has to last at least as long as what is stored after it.
        sync "$dir" 2>/dev/null || sync
    fi
    rm -f "$dir/_PUBLISHED"
    rename "$new" "$dir/patches.ndjson"
    mv -f "$dir/check.unchecked.json" "$dir/check.json"
    rm -f "$dir/patches.FAILED.ndjson" "$dir/patches.FAILED.ndjson.manifest.json" "$dir/check.FAILED.json"
    if [[ $day < $last ]]; then
        : >"$dir/_PUBLISHED"
        rm -f "$dir/_STORING"
        note "$day written, not into the store, which has $last$accepted: $words"
        return 0
    fi
    store "$dir"
    point "$day"
    mv -f "$dir/_STORING" "$dir/_PUBLISHED"
    note "$day published$accepted: $words"
    detail "$day: published$accepted"
    base "$through"
}

# ---- the run ------------------------------------------------------------------------------------

todo=$(days)
if [[ -z $DRY ]]; then
    mkdir -p "$OUT" || exit 74
    SUMMARY=${SUMMARY:-$OUT/nightly.log}
    take_lock
    # Another run may have done something between.
    todo=$(days)
fi
if [[ -z $todo ]]; then
    detail 'nothing to do: all days are published'
    exit 0
fi
outcome=0
while read -r day _ <&3; do
    code=0
    set +e
    (set -e; one_day "$day")
    code=$?
    set -e
    # mv, ln and their like know one code for all trouble, and it is with files.
    [[ $code != 1 ]] || code=74
    if [[ $code != 0 ]]; then
        note "$day failed with $code"
        [[ $outcome != 0 ]] || outcome=$code
    fi
    # A day that is missing or bad says nothing about the next one; any other trouble would meet it too.
    case $code in 0 | 65 | 66) ;; *) break ;; esac
done 3<<<"$todo"
exit "$outcome"
