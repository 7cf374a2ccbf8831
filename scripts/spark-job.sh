#!/usr/bin/env bash
# spark-job.sh: the job of `adprof compile --to spark --job`, run by spark-sql over the log that `adprof collect` wrote, its
# profiles compared with those of `adprof batch`.
#
#   scripts/spark-job.sh [--events N]     events made by `adprof gen` (default 20000)
#
# Compares every value of the five built-in tags at one instant. Exit 1 on a difference. Works in a temporary folder.
#
# Spark comes from PyPI, once, into ${XDG_CACHE_HOME:-~/.cache}/adprof. Needs Java 17 and python3 with venv.
#   ADPROF=PATH   the program, instead of building it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh
# shellcheck source=scripts/peers.sh
source scripts/peers.sh

events=20000
while (($#)); do
    case $1 in
    --events) events=$2; shift ;;
    -h | --help) usage_of scripts/spark-job.sh; exit ;;
    *) die "unknown flag: $1" ;;
    esac
    shift
done

prepare_peers spark
[[ -n ${ADPROF_PEERS_PYTHON-} ]] || die "no Spark"
if [[ -z ${ADPROF-} ]]; then
    cargo build --locked --bins
    ADPROF=$(cargo metadata --format-version 1 --no-deps | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/debug/adprof
fi
ADPROF=$(realpath "$ADPROF")
SPARK_HOME=$("$ADPROF_PEERS_PYTHON" -c 'import pyspark, os; print(os.path.dirname(pyspark.__file__))')
export SPARK_HOME

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# A tenth comes twice; the values are those in the middle of the events.
"$ADPROF" gen --events "$events" --duplicates 10% | "$ADPROF" collect --log "$work/events.log"
as_of=$(python3 -c 'import json, sys; t = sorted(json.loads(line)["timestamp"] for line in open(sys.argv[1])); print(t[len(t) * 9 // 10])' "$work/events.log")
"$ADPROF" batch --log "$work/events.log" --tags all --as-of "$as_of" -o "$work/batch.ndjson"
"$ADPROF" compile --to spark --job --into "$work/profiles" --log "$work/events.log" --tags all --as-of "$as_of" -o "$work/job.sql"
(cd "$work" && "$SPARK_HOME/bin/spark-sql" --master 'local[2]' --conf spark.ui.enabled=false --conf spark.driver.bindAddress=127.0.0.1 \
    --conf spark.driver.host=127.0.0.1 -f job.sql >spark.log 2>&1) || { tail -n 40 "$work/spark.log" >&2; die "the job failed"; }
"$ADPROF_PEERS_PYTHON" scripts/engines/rows.py "$work/profiles" "$work/batch.ndjson"
