#!/usr/bin/env bash
# Builds the image from the Dockerfile, then starts it hardened on the demo
# models, lets the runtime run the image's own HEALTHCHECK, on a server that
# hangs as well, and stops it.
#
#   deploy/image.sh [--tag NAME] [--store DIR]
#
# With a Docker engine: docker. Without one: buildah and podman with runc, on a
# base made by debootstrap from the Debian mirror that apt uses (as root).
set -euo pipefail
cd "$(dirname "$0")/.."

tag=gruserve:0.1.0
store=${XDG_CACHE_HOME:-$HOME/.cache}/gruserve/images
while [ $# -gt 0 ]; do
  case $1 in
    --tag) tag=${2:?--tag needs a name}; shift 2 ;;
    --store) store=${2:?--store needs a folder}; shift 2 ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "image.sh: unknown argument $1; see --help" >&2; exit 2 ;;
  esac
done
say() { printf '\033[1m[image]\033[0m %s\n' "$*"; }

if docker info > /dev/null 2>&1; then
  engine=(docker)
  say "building $tag with docker"
  docker build -t "$tag" .
else
  deploy/setup.sh --image
  mkdir -p "$store"
  # Limits that a container in a virtual machine may set, and the runtime that
  # works without cgroups v2.
  export CONTAINERS_CONF=$store/containers.conf
  printf '%s\n' '[containers]' 'default_ulimits = ["nofile=20000:20000", "nproc=16000:16000"]' 'netns = "host"' \
    '[engine]' 'runtime = "runc"' 'cgroup_manager = "cgroupfs"' 'events_logger = "file"' > "$CONTAINERS_CONF"
  options=(--root "$store/root" --runroot "$store/run" --storage-driver overlay)
  engine=(podman "${options[@]}")
  base=localhost/debian:trixie-slim
  if ! "${engine[@]}" image exists "$base"; then
    say "making the base image $base"
    deploy/make-base.sh "$store/base.tar"
    "${engine[@]}" import --change 'CMD ["bash"]' "$store/base.tar" "$base" > /dev/null
    rm -f "$store/base.tar"
  fi
  tag=localhost/$tag
  say "building $tag with buildah"
  # Without the docker format, HEALTHCHECK would be dropped.
  buildah "${options[@]}" build --pull=never --isolation chroot --format docker --layers \
    --build-arg DEBIAN="$base" -t "$tag" .
fi
"${engine[@]}" image inspect "$tag" --format 'size={{.Size}} user={{.Config.User}}'

name=gruserve-check-$$
trap '"${engine[@]}" rm -f "$name" > /dev/null 2>&1 || true' EXIT
say "starting it: read-only root, no capabilities, no new privileges"
"${engine[@]}" run -d --name "$name" --read-only --cap-drop ALL --security-opt no-new-privileges \
  --memory 512m --pids-limit 256 --network none -v "$PWD/deploy/models/repository:/models:ro" "$tag" > /dev/null
# What the runtime itself makes of HEALTHCHECK. Docker runs it in intervals; podman
# would by systemd's timers, so it is told to here.
health() {
  if [ "${engine[0]}" = docker ]; then
    docker inspect "$name" --format '{{.State.Health.Status}}'
  elif "${engine[@]}" healthcheck run "$name" > /dev/null 2>&1; then
    echo healthy
  else
    echo unhealthy
  fi
}
wait_until() {
  for _ in $(seq 120); do
    [ "$(health)" != "$1" ] || { say "the runtime's HEALTHCHECK says: $1"; return; }
    sleep 0.5
  done
  "${engine[@]}" logs "$name"
  echo "image.sh: the server is $(health), wanted is $1" >&2
  exit 1
}
wait_until healthy
say "halting the server"
"${engine[@]}" kill --signal STOP "$name" > /dev/null
wait_until unhealthy
"${engine[@]}" kill --signal CONT "$name" > /dev/null
wait_until healthy
"${engine[@]}" exec "$name" /usr/local/bin/gruserve --server 127.0.0.1:50051 models
pid=$("${engine[@]}" inspect "$name" --format '{{.State.Pid}}')
grep -E '^(Uid|CapEff|NoNewPrivs|Seccomp):' "/proc/$pid/status" | tr '\n\t' '  '
echo
"${engine[@]}" stop -t 10 "$name" > /dev/null
code=$("${engine[@]}" inspect "$name" --format '{{.State.ExitCode}}')
say "exit code on SIGTERM: $code"
[ "$code" = 0 ]
say "built, served and stopped cleanly: $tag"
