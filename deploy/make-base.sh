#!/usr/bin/env bash
# Makes a local stand-in of debian:trixie-slim, as a tar file, from the Debian
# mirror that apt uses. For machines that cannot pull images.
#
#   deploy/make-base.sh OUT.tar        (as root; needs debootstrap)
set -euo pipefail
out=${1:?usage: make-base.sh OUT.tar}
suite=trixie
mirror=$(apt-get indextargets --format '$(SITE)' | grep -v security | sort -u | head -n 1)

root=$(mktemp -d)
# mktemp gives 0700, and debootstrap keeps it: nobody but root could read `/`.
chmod 755 "$root"
trap 'rm -rf --one-file-system "$root"' EXIT
debootstrap --variant=minbase "$suite" "$root" "$mirror" > "$out.log" 2>&1 || { tail -n 20 "$out.log"; exit 1; }
rm -f "$out.log" "$root/etc/apt/sources.list"
cat > "$root/etc/apt/sources.list.d/debian.sources" << SOURCES
Types: deb
URIs: $mirror
Suites: $suite $suite-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: ${mirror}-security
Suites: $suite-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
# Services do not start, packages leave no documentation and no archives behind.
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
printf 'path-exclude /usr/share/%s/*\n' doc man info locale lintian > "$root/etc/dpkg/dpkg.cfg.d/docker"
echo 'path-include /usr/share/doc/*/copyright' >> "$root/etc/dpkg/dpkg.cfg.d/docker"
echo 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };' \
  > "$root/etc/apt/apt.conf.d/docker-clean"
echo 'Acquire::Languages "none";' > "$root/etc/apt/apt.conf.d/docker-no-languages"
find "$root/usr/share/doc" -mindepth 1 \( -type f -o -type l \) ! -name copyright -delete
find "$root/usr/share/doc" -mindepth 1 -type d -empty -delete
rm -rf "$root"/usr/share/{man,info,locale,lintian}/* "$root"/var/lib/apt/lists/* "$root"/var/log/* \
  "$root"/var/cache/apt/* "$root"/tmp/*
mkdir -p "$root/var/cache/apt/archives/partial" "$root/var/lib/apt/lists/partial"
tar --numeric-owner --sort=name --mtime=@0 -C "$root" -cf "$out" .
