#!/usr/bin/env bash
# engines.sh: does `adprof compile` mean on each engine what `adprof batch` means? Random definitions on random events.
#
#   scripts/engines.sh [--engines duckdb,clickhouse,spark,flink] [--definitions N] [--entities N] [--seed S] [--sets N] [--events N] [--keep DIR]
#
# Makes N random definition sets (default 300) and random events, runs `adprof batch`, `adprof stream --emit final` and each
# engine over what `adprof compile` prints, and compares every value as text and as an exact number. The last lines are a
# table: engine, definitions, values compared, differences. Exit 1 with the seed and the smallest example on a difference.
# Each engine is started once; --sets definitions at a time (default 25) are one statement. With Spark and Flink 300 sets
# take about 7 minutes on two cores.
#
# The engines are Python packages in the cache folder (scripts/peers.sh); Spark and Flink need Java 17.
#   ADPROF=PATH   the program, instead of building it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh
# shellcheck source=scripts/peers.sh
source scripts/peers.sh

engines=duckdb,clickhouse,spark,flink
args=()
while (($#)); do
    case $1 in
    -h | --help) usage_of scripts/engines.sh; exit ;;
    --engines) engines=$2; shift ;;
    --definitions | --entities | --seed | --sets | --events | --keep) args+=("$1" "$2"); shift ;;
    *) die "unknown flag: $1" ;;
    esac
    shift
done

prepare_peers "${engines/clickhouse/chdb}"
for engine in ${engines//,/ }; do
    case $engine in
    duckdb | clickhouse | spark) python=${ADPROF_PEERS_PYTHON-} ;;
    flink) python=${ADPROF_FLINK_PYTHON-} ;;
    *) die "unknown engine: $engine" ;;
    esac
    [[ $engine != spark && $engine != flink ]] || have java || python=''
    [[ -z $python ]] || args+=(--engine "$engine=$python")
done
if [[ -z ${ADPROF-} ]]; then
    cargo build --locked --bins
    ADPROF=$(cargo metadata --format-version 1 --no-deps | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/debug/adprof
fi
exec python3 scripts/engines/agree.py --adprof "$(realpath "$ADPROF")" "${args[@]}"
