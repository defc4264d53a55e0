#!/usr/bin/env bash
# Breaks servers again and again while sessions step through them, and compares every
# output with a run that nothing disturbed. Ends with "N passed, M failed", the sessions
# that saw each of their outputs once, in order and bit for bit, and those that did not.
#
#   deploy/chaos.sh [--store sqlite|redis] [--rounds N] [--seed S] [--sessions N] [--replicas N]
#     --store redis  two servers and one redis-server, started here; sqlite: one server
#     --rounds N     faults, one a round (100): kill -9, also at given moments of the
#                    protocol, connections cut in the middle of a message, SIGTERM; with
#                    redis also SIGSTOP until others went on, and kill -9 of the store; with
#                    sqlite also a torn write and, where a tmpfs may be mounted, a full disk
#     --faults F,F   only these: kill, failpoint, cut, drain, pause, kill_store, tear, fill;
#                    with redis, --faults drain is a rolling restart
#     --seed S       decides the inputs and, up to timing, the faults (1)
#     --sessions N   each on a thread of its own, half ASYNC, half SYNC (200)
#     --replicas N   servers (1 with sqlite, whose file they share; 2 with redis)
#     --mutant N     with the seeded bug N of core/base/seeded_bug.h: it must end in failures
#     --mutants      with each of them in turn; those that are caught pass
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in -h | --help) sed -n '2,20s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
say() { printf '\033[1m[chaos]\033[0m %s (%s s)\n' "$*" "$SECONDS"; }

deploy/setup.sh --build
say "building"
mkdir -p build
{ cmake --preset chaos && cmake --build --preset chaos -j "$(nproc)"; } > build/chaos.log 2>&1 \
  || { tail -n 40 build/chaos.log; exit 1; }
say "breaking"
exec python3 tests/chaos/chaos.py --bin build/chaos/bin --work build/chaos/run "$@"
