#!/usr/bin/env bash
# Feeds the readers of models and checkpoints made-up files (libFuzzer, AddressSanitizer, UBSan), from the
# corpora in tests/fuzz/corpus, and prints runs and edge coverage.
#
#   deploy/fuzz.sh [--runs N] [--seconds N] [--keep FOLDER] [TARGET...]
#
# Targets: safetensors, onnx, checkpoint. Without --runs: 100000 each. --seconds ends a target
# earlier. --keep collects what was found worth keeping, per target.
set -euo pipefail
cd "$(dirname "$0")/.."

runs=100000 seconds=0 keep='' targets=()
while [ $# -gt 0 ]; do
  case $1 in
    --runs) runs=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --keep) keep=$2; shift 2 ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    safetensors | onnx | checkpoint) targets+=("$1"); shift ;;
    *) echo "fuzz.sh: unknown argument $1; see --help" >&2; exit 2 ;;
  esac
done
[ "${#targets[@]}" -gt 0 ] || targets=(safetensors onnx checkpoint)

cmake --preset fuzz > /dev/null
cmake --build --preset fuzz --target fuzz_programs

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0
for target in "${targets[@]}"; do
  found=${keep:-$scratch}/$target
  mkdir -p "$found"
  log=$scratch/$target.log
  if ! "build/fuzz/bin/fuzz_$target" -runs="$runs" -max_total_time="$seconds" -max_len=8192 -timeout=20 \
      -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$found/" "$found" "tests/fuzz/corpus/$target" \
      > "$log" 2>&1; then
    failed=1
    echo "fuzz_$target: FINDING"
    grep -E 'ERROR|SUMMARY|Test unit written' "$log" || tail -20 "$log"
  fi
  coverage=$(grep -oE 'cov: [0-9]+' "$log" | tail -1 | cut -d' ' -f2)
  total=$(grep -oE '[0-9]+ inline 8-bit counters' "$log" | head -1 | cut -d' ' -f1)
  executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  echo "fuzz_$target: ${executed:-$(grep -oE '^#[0-9]+' "$log" | tail -1)} runs, ${coverage:-0} of ${total:-?} edges"
done
exit "$failed"
