#!/usr/bin/env bash
# Builds the benchmarks, runs them, prints every target with what was measured, and
# writes the figures as JSON and a picture of latency against load beside it. Ends with
# 1 where a target is missed or a floor cannot be trusted. Best on an idle machine.
#
#   deploy/bench.sh --json FILE              7 rounds
#   deploy/bench.sh --quick --json FILE      3 short rounds, about 7 minutes after the build
#     --ort PATH      ONNX Runtime's library; otherwise looked for where libraries are
#                     and in ~/.cache/gruserve/ort
#     --fetch-ort     puts the npm package's library and Debian 13's header there first
#     --only PART     only steps, frames, long, split, sequences, overload, sessions, swaps or curve;
#                     may be given more than once
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/gruserve/ort
say() { printf '\033[1m[bench]\033[0m %s (%s s)\n' "$*" "$SECONDS"; }
die() { echo "bench.sh: $*" >&2; exit 2; }

# A package manager's own way to each: npm for the library, apt with a list of its own for the header.
fetch_ort() {
  local scratch
  scratch=$(mktemp -d)
  say "fetching ONNX Runtime to $cache"
  npm install --silent --ignore-scripts --no-audit --no-fund --prefix "$scratch" onnxruntime-node@1.30.0 > /dev/null
  mkdir -p "$cache/lib" "$cache/include" "$scratch/lists/partial" "$scratch/cache/archives/partial"
  cp "$scratch"/node_modules/onnxruntime-node/bin/napi-v*/linux/x64/libonnxruntime.so.1 "$cache/lib/"
  # From the mirror that apt uses already.
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(apt-get indextargets --format '$(SITE)' \
    | grep -v security | sort -u | head -n 1) trixie main" > "$scratch/sources.list"
  local options=(-q -o "Dir::Etc::sourcelist=$scratch/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$scratch/lists" -o "Dir::Cache=$scratch/cache" -o APT::Sandbox::User=root)
  (cd "$scratch" && apt-get "${options[@]}" update && apt-get "${options[@]}" download libonnxruntime-dev) > /dev/null
  dpkg-deb -x "$scratch"/libonnxruntime-dev_*.deb "$scratch/unpacked"
  cp "$scratch"/unpacked/usr/include/onnxruntime/*.h "$cache/include/"
  rm -rf "$scratch"
}

first_file() { for file in "$@"; do [ ! -f "$file" ] || { echo "$file"; return; }; done; }

ort= json= fetch= driver=()
while [ $# -gt 0 ]; do
  case $1 in
    --quick) driver+=(--quick) ;;
    --ort) ort=${2:?--ort needs a file}; shift ;;
    --fetch-ort) fetch=1 ;;
    --json) json=${2:?--json needs a file}; shift ;;
    --only) driver+=(--only "${2:?--only needs a part}"); shift ;;
    -h | --help) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) die "unknown argument $1; see --help" ;;
  esac
  shift
done
[ -n "$json" ] || die "--json FILE is required; see --help"
mkdir -p "$(dirname "$json")"
json=$(realpath "$json")
[ -z "$ort" ] || [ -f "$ort" ] || die "--ort $ort is no file"

deploy/setup.sh --build
[ -z "$fetch" ] || fetch_ort
[ -n "$ort" ] || ort=$(first_file "$cache/lib/libonnxruntime.so.1" /usr/lib/*/libonnxruntime.so.1* \
  /usr/local/lib/libonnxruntime.so*)
header=$(first_file "$(dirname "${ort:-/none}")/../include/onnxruntime_c_api.h" "$cache/include/onnxruntime_c_api.h" \
  /usr/include/onnxruntime/onnxruntime_c_api.h /usr/local/include/onnxruntime_c_api.h)
if [ -n "$ort" ] && [ -n "$header" ]; then
  driver+=(--ort "$(realpath "$ort")")
else
  say "no ONNX Runtime here (library: ${ort:-none}, header: ${header:-none}): its targets are not judged"
fi

say "building"
mkdir -p build
{ cmake --preset bench -DGRUSERVE_ORT_INCLUDE_DIR="${header:+$(dirname "$header")}" \
  && cmake --build --preset bench -j "$(nproc)"; } > build/bench.log 2>&1 || { tail -n 40 build/bench.log; exit 1; }
say "measuring"
exec python3 tests/bench/bench.py --bin build/bench/bin --work build/bench/run --json "$json" "${driver[@]}"
