#!/usr/bin/env bash
# Builds everything and runs the whole test suite, on Debian 12 or 13.
#
#   deploy/test.sh                    build, tests, clang-format, clang-tidy
#   deploy/test.sh --sanitizers       the suite under ASan + UBSan, and all below the
#                                     transport under TSan
#   deploy/test.sh --suite trixie     deploy/test.sh inside a fresh Debian of that name
#                                     (a chroot, as root; kept for the next time)
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
jobs=$(nproc)
# Another clone of the same commit finds what this one compiled.
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
say() { printf '\033[1m[test]\033[0m %s (%s s)\n' "$*" "$SECONDS"; }

# Runs ctest in build/$1; a skipped test fails unless deploy/ci/allowed_skips.txt names it.
run_ctest() {
  local preset=$1 log=build/$1/ctest.log
  shift
  ctest --test-dir "build/$preset" --output-on-failure -j "$jobs" "$@" 2>&1 | tee "$log" \
    | { grep -vE '^ +(Start +[0-9]+:|[0-9]+/[0-9]+ Test +#.* Passed +)' || true; }
  [ "${PIPESTATUS[0]}" = 0 ] || return 1
  local skipped
  skipped=$(sed -n 's/^.*Test *#[0-9]*: \(.*[^ .]\) \.*\**\(Skipped\|Not Run\|Disabled\).*$/\1/p' "$log" \
    | grep -vxFf <(sed -n 's/^\([^#[:space:]]\{1,\}\).*/\1/p' deploy/ci/allowed_skips.txt) || true)
  if [ -n "$skipped" ]; then
    printf 'test.sh: skipped, and not in deploy/ci/allowed_skips.txt:\n%s\n' "$skipped" >&2
    return 1
  fi
}

build() {
  say "building preset $1"
  cmake --preset "$1" > "build/$1.configure.log" 2>&1 || { cat "build/$1.configure.log"; return 1; }
  cmake --build --preset "$1" -j "$jobs"
}

default_suite() {
  build dev
  say "running the tests"
  run_ctest dev || failed+=(ctest)
  # Other versions lay out lines and warn in other ways: only the one that the
  # code is kept clean with can judge it.
  if clang-format --version | grep -q 'version 14\.'; then
    say "checking the format"
    git ls-files '*.h' '*.cc' | xargs clang-format --dry-run --Werror || failed+=(clang-format)
    say "running clang-tidy"
    python3 tests/architecture/clang_tidy.py build/dev --jobs "$jobs" || failed+=(clang-tidy)
  else
    say "format and clang-tidy are judged by version 14 (Debian 12); here is $(clang-format --version | grep -o 'version [0-9.]*')"
  fi
}

sanitizers() {
  build asan
  say "running the suite under ASan and UBSan"
  # libgrpc is not instrumented: its containers look overflown from inside ours.
  ASAN_OPTIONS=detect_container_overflow=0:detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 \
    run_ctest asan || failed+=(asan)
  build tsan
  say "running everything below the transport under TSan"
  TSAN_OPTIONS=suppressions=$root/deploy/ci/tsan.supp:halt_on_error=1 OMP_NUM_THREADS=1 \
    run_ctest tsan -L unit || failed+=(tsan)
}

# Makes the chroot once, copies the commit's files in, and runs this script there.
in_suite() {
  local suite=$1 chroot=${XDG_CACHE_HOME:-$HOME/.cache}/gruserve/chroot-$1
  [ "$(id -u)" = 0 ] || { echo "test.sh: --suite needs root, for chroot" >&2; exit 1; }
  if [ ! -e "$chroot/ready" ]; then
    command -v mmdebstrap > /dev/null || { apt-get update -q; apt-get install -y -q --no-install-recommends mmdebstrap; }
    say "making a Debian $suite in $chroot"
    rm -rf --one-file-system "$chroot"
    mkdir -p "$chroot"
    mmdebstrap --quiet --variant=apt --include=ca-certificates,git "$suite" "$chroot" \
      "$(apt-get indextargets --format '$(SITE)' | grep -v security | sort -u | head -n 1)"
    touch "$chroot/ready"
  fi
  mkdir -p "$chroot/src/gruserve" "$chroot/proc" "$chroot/dev/shm"
  say "copying the source into the $suite"
  git ls-files -z | tar --null -cf - -T - | tar -xf - -C "$chroot/src/gruserve"
  git -C "$chroot/src/gruserve" init -q
  git -C "$chroot/src/gruserve" add -A
  mountpoint -q "$chroot/proc" || mount -t proc proc "$chroot/proc"
  mountpoint -q "$chroot/dev/shm" || mount -t tmpfs tmpfs "$chroot/dev/shm"
  # Expanded now: the variable is gone when the trap runs.
  # shellcheck disable=SC2064
  trap "umount '$chroot/proc' '$chroot/dev/shm'" EXIT
  # This machine's way to the package mirrors: it may trust a proxy of its own.
  cp /etc/resolv.conf "$chroot/etc/resolv.conf"
  install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$chroot/etc/ssl/certs/ca-certificates.crt"
  for settings in /etc/apt/apt.conf.d/*proxy* "$HOME/.npmrc"; do
    [ ! -e "$settings" ] || install -D -m 644 "$settings" "$chroot$settings"
  done
  chroot "$chroot" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt ${CI:+CI=$CI} bash /src/gruserve/deploy/test.sh
}

failed=()
mkdir -p build
case ${1:-} in
  "") deploy/setup.sh; default_suite ;;
  --sanitizers) deploy/setup.sh; sanitizers ;;
  --suite) in_suite "${2:?--suite needs a Debian name, such as trixie}"; exit ;;
  -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) echo "test.sh: unknown argument $1; see --help" >&2; exit 2 ;;
esac

count=$(sed -n 's/^.* tests passed.* out of \([0-9]*\)$/\1/p; s/^.*tests failed out of \([0-9]*\)$/\1/p' build/*/ctest.log | awk '{n += $1} END {print n + 0}')
bad=$(sed -n 's/^.* tests passed, \([0-9]*\) tests failed out of.*$/\1/p' build/*/ctest.log | awk '{n += $1} END {print n + 0}')
say "done${failed:+; failed: ${failed[*]}}"
[ "${#failed[@]}" -eq 0 ] || [ "$bad" -gt 0 ] || bad=${#failed[@]}
echo "$((count - bad)) passed, $bad failed"
[ "$bad" -eq 0 ] && [ "${#failed[@]}" -eq 0 ]
