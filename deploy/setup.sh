#!/usr/bin/env bash
# Installs the Debian packages that are missing (Debian 12 and 13), as root or
# through sudo. Does nothing, quickly, where all are there.
#
#   deploy/setup.sh            to build, to run the demo and the tests
#   deploy/setup.sh --build    to build and to run the demo only
#   deploy/setup.sh --image    to build the image without a Docker engine
set -euo pipefail

build=(g++ cmake ninja-build pkg-config ccache git
  libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc
  libdnnl-dev libonnx-dev ocl-icd-opencl-dev libspdlog-dev libabsl-dev nlohmann-json3-dev libcli11-dev libyaml-cpp-dev
  prometheus-cpp-dev libcpp-httplib-dev libxtensor-dev libssl-dev libsqlite3-dev libhiredis-dev libxxhash-dev libcurl4-openssl-dev zlib1g-dev python3)
tests=(libgtest-dev libgmock-dev clang clang-format clang-tidy redis-server
  python3-grpcio python3-protobuf python3-numpy python3-yaml)
image=(buildah podman runc catatonit debootstrap)

case ${1:-} in
  "") wanted=("${build[@]}" "${tests[@]}") ;;
  --build) wanted=("${build[@]}") ;;
  --image) wanted=("${image[@]}") ;;
  -h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) echo "setup.sh: unknown argument $1; see --help" >&2; exit 2 ;;
esac
# Another Node.js than Debian's will do as well.
if [ -z "${1:-}" ]; then
  command -v node > /dev/null || wanted+=(nodejs)
  command -v npm > /dev/null || wanted+=(npm)
fi

mapfile -t missing < <(
  dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${wanted[@]}" 2> /dev/null | awk '$2 == "installed" {print $1}' \
    | sort -u | comm -23 <(printf '%s\n' "${wanted[@]}" | sort -u) -
)
[ "${#missing[@]}" -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ]; then
  as_root=()
elif command -v sudo > /dev/null; then
  as_root=(sudo)
else
  echo "setup.sh: these packages are missing, and neither root nor sudo is here to install them: ${missing[*]}" >&2
  exit 1
fi
printf '\033[1m[setup]\033[0m installing %s packages: %s\n' "${#missing[@]}" "${missing[*]}"
"${as_root[@]}" apt-get update -q
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
