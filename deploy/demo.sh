#!/usr/bin/env bash
# From a fresh Debian 12 or 13 to a running server: installs what is missing,
# builds, serves the sunspot model, streams the record of 2820 months through one
# session while 63 others step beside it, compares that with one whole-sequence
# call, and plots the forecast. Ends with 1 where a bit differs.
#
#   deploy/demo.sh [--keep]     --keep leaves the server running
set -euo pipefail
cd "$(dirname "$0")/.."

keep=
case ${1:-} in
  "") ;;
  --keep) keep=1 ;;
  -h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) echo "demo.sh: unknown argument $1; see --help" >&2; exit 2 ;;
esac
say() { printf '\033[1m[demo]\033[0m %s (%s s)\n' "$*" "$SECONDS"; }

deploy/setup.sh --build
say "building the two programs"
mkdir -p build
cmake --workflow --preset release > build/release.log 2>&1 &
build=$!
while kill -0 "$build" 2> /dev/null; do
  [ ! -t 1 ] || printf '\r%.100s\033[K' "$(tail -n 1 build/release.log)"
  sleep 0.2
done
[ ! -t 1 ] || printf '\r\033[K'
wait "$build" || { tail -n 40 build/release.log; exit 1; }

work=build/demo
rm -rf "$work"
mkdir -p "$work"
bin=build/release/bin
say "starting the server"
"$bin/gruserve-server" --repository deploy/models/repository --listen 127.0.0.1:0 --port-file "$work/port" \
  --http-listen none 2> "$work/server.log" &
server=$!
stop() {
  kill "$server" 2> /dev/null || return 0
  wait "$server" || { echo "demo.sh: the server ended badly; see $work/server.log" >&2; exit 1; }
}
trap stop EXIT
until [ -s "$work/port" ]; do
  kill -0 "$server" 2> /dev/null || { cat "$work/server.log"; exit 1; }
  sleep 0.05
done
address=$(cat "$work/port")
client=("$bin/gruserve" --server "$address")
say "serving on $address"
"${client[@]}" models

say "streaming 2820 months through one session; 63 random sessions step beside it"
record=$work/record.csv
tail -n +2 deploy/models/data/sunspots.csv | cut -d, -f3 > "$record"
for i in $(seq 63); do
  awk -v seed="$i" 'BEGIN {srand(seed); n = 100 + int(300 * rand()); for (t = 0; t < n; ++t) print 200 * rand()}' \
    > "$work/other$i.csv"
  "${client[@]}" stream sunspots --input "$work/other$i.csv" --output "$work/other$i.npy" &
  others[i]=$!
done
"${client[@]}" stream sunspots --input "$record" --output "$work/steps.npy" --h-n "$work/steps_h.npy"
for i in $(seq 63); do wait "${others[i]}"; done
say "the same record as one sequence"
"${client[@]}" infer sunspots --input "$record" --output "$work/whole.npy" --h-n "$work/whole_h.npy"

python3 deploy/models/demo_report.py "$record" "$work/steps.npy" "$work/whole.npy" "$work/forecast.svg"
say "the plot is in $work/forecast.svg as well"
if [ -n "$keep" ]; then
  trap - EXIT
  say "the server runs on: $address, process $server"
else
  stop
  trap - EXIT
  say "stopped the server cleanly"
fi
