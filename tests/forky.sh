#!/bin/sh
# Runs a command for the Pythons that this machine's Debian is too old to have: 3.14 and 3.15, out of Debian forky.
#
#   sh tests/forky.sh make PYTHON=python3.14 test
#   sh tests/forky.sh --prepare            only makes the root, or says why it cannot be made (exit status 3)
#
# A root of forky is made once by debootstrap, from the mirror that apt uses here (FERRIO_FORKY names its directory;
# .work/forky unless set). The command runs in it as root, in this checkout under its usual path, with the Rust
# toolchain and the caches of this user's home. All of that is mounted in a mount namespace of its own, which ends with
# the command: nothing outside ever sees these mounts, so removing the root removes no more than the root.
#
# Needs to be root, debootstrap (`apt-get install debootstrap`), and a machine that allows chroot and mounts.

set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
root=${FERRIO_FORKY:-$here/.work/forky}
pythons='3.14 3.15'

cannot() {
    echo "no Debian forky here: $1" >&2
    exit 3
}

prepare() {
    if [ "$(id -u)" != 0 ]; then cannot "that takes root"; fi
    command -v debootstrap >/dev/null || cannot "debootstrap is missing (apt-get install debootstrap)"
    unshare --mount true 2>/dev/null || cannot "no mounts are allowed"
    # The stamp says what is in the root, so that asking for more makes it anew.
    if [ "$(cat "$root/etc/ferrio" 2>/dev/null)" = "$pythons" ]; then return; fi

    # bookworm's debootstrap is older than the name.
    scripts=/usr/share/debootstrap/scripts
    if [ ! -e $scripts/forky ]; then ln -s sid $scripts/forky; fi
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m 1 '/debian/*$') ||
        cannot "apt has no Debian mirror"
    echo "==> making a root of Debian forky in $root (some minutes)" >&2
    rm -rf "$root"
    mkdir -p "$root"
    debootstrap --variant=minbase forky "$root" "$mirror" >"$root.log" 2>&1 ||
        cannot "debootstrap failed; the end of $root.log says why"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    # What apt has been told about this machine's network and clock.
    apt-config dump --no-empty Acquire >"$root/etc/apt/apt.conf.d/90ferrio"
    packages='gcc libc6-dev make git ca-certificates procps'
    for version in $pythons; do
        packages="$packages python$version python$version-venv python$version-dev libpython$version-testsuite"
    done
    # shellcheck disable=SC2086 # a list of words
    inside sh -c 'apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"' \
        sh $packages >>"$root.log" 2>&1 || cannot "apt-get failed; the end of $root.log says why"
    if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
        cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    fi
    if [ -e /etc/pip.conf ]; then cp /etc/pip.conf "$root/etc/pip.conf"; fi
    echo "$pythons" >"$root/etc/ferrio"
}

# Runs a command in the root. The toolchain's own directory comes first on PATH: rustup's proxies may not be there.
inside() {
    toolchain=$(cd "$here" && rustc --print sysroot 2>/dev/null || echo /nonexistent)
    ROOT=$root HERE=$here TOOLCHAIN=$toolchain unshare --mount sh -eu -c '
        for path in /proc /sys /dev "$HERE" "$HOME" "$TOOLCHAIN" /opt/wheels; do
            case $path in /usr | /nonexistent) continue ;; esac
            if [ -d "$path" ]; then
                mkdir -p "$ROOT$path"
                mount --rbind "$path" "$ROOT$path"
            fi
        done
        PATH="$TOOLCHAIN/bin:$HOME/.cargo/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        export PATH
        exec chroot "$ROOT" /usr/bin/env -C "$HERE" "$@"
    ' sh "$@"
}

if [ $# = 0 ]; then
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
prepare
if [ "$1" = --prepare ]; then exit 0; fi
inside "$@"
