#!/usr/bin/env bash
# Feeds the readers of models and checkpoints made-up files (libFuzzer, AddressSanitizer, UBSan), from the
# corpora in tests/fuzz/corpus, and prints runs and edge coverage.
#
#   deploy/fuzz.sh [--runs N] [--seconds N] [--keep FOLDER] [--off-by-one] [TARGET...]
#
# Targets: safetensors, onnx, checkpoint. Without --runs: 100000 each. --seconds ends a target
# earlier. --keep collects what was found worth keeping, per target. --off-by-one puts a bug
# of core/base/seeded_bug.h in each reader, which must be found within 60 s.
set -euo pipefail
cd "$(dirname "$0")/.."

runs=100000 seconds=0 keep='' seeded='' targets=()
declare -A bugs=([safetensors]=101 [onnx]=102 [checkpoint]=103)
while [ $# -gt 0 ]; do
  case $1 in
    --runs) runs=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --keep) keep=$2; shift 2 ;;
    --off-by-one) seeded=1; shift ;;
    -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
    safetensors | onnx | checkpoint) targets+=("$1"); shift ;;
    *) echo "fuzz.sh: unknown argument $1; see --help" >&2; exit 2 ;;
  esac
done
[ "${#targets[@]}" -gt 0 ] || targets=(safetensors onnx checkpoint)

cmake --preset fuzz > /dev/null
cmake --build --preset fuzz --target fuzz_programs

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# fuzz TARGET FOLDER RUNS SECONDS: ends with 1 where something is found.
fuzz() {
  "build/fuzz/bin/fuzz_$1" -runs="$3" -max_total_time="$4" -max_len=8192 -timeout=20 -rss_limit_mb=2048 \
    -print_final_stats=1 -artifact_prefix="$2/" "$2" "tests/fuzz/corpus/$1" > "$scratch/$1.log" 2>&1
}

# What was run, and how much of the program was seen: of a target's log.
counts() {
  local log=$scratch/$1.log coverage total executed
  coverage=$(grep -oE 'cov: [0-9]+' "$log" | tail -1 | cut -d' ' -f2)
  total=$(grep -oE '[0-9]+ inline 8-bit counters' "$log" | head -1 | cut -d' ' -f1)
  executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  echo "${executed:-$(grep -oE '^#[0-9]+' "$log" | tail -1 | tr -d '#')} runs, ${coverage:-0} of ${total:-?} edges"
}

failed=0
for target in "${targets[@]}"; do
  found=${keep:-$scratch}/$target
  mkdir -p "$found"
  began=$SECONDS
  if [ -n "$seeded" ]; then
    if GRUSERVE_SEEDED_BUG=${bugs[$target]} fuzz "$target" "$found" -1 60; then
      failed=1
      echo "fuzz_$target: the seeded bug was NOT found in $(counts "$target")"
    else
      echo "fuzz_$target: the seeded bug was found in $((SECONDS - began)) s," \
        "$(sed -n 's/^SUMMARY: //p' "$scratch/$target.log" | head -n 1)"
    fi
    continue
  fi
  if ! fuzz "$target" "$found" "$runs" "$seconds"; then
    failed=1
    echo "fuzz_$target: FINDING"
    grep -E 'ERROR|SUMMARY|Test unit written' "$scratch/$target.log" || tail -20 "$scratch/$target.log"
  fi
  echo "fuzz_$target: $(counts "$target")"
done
exit "$failed"
