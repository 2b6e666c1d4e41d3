#!/bin/sh
# Runs a command on the oldest glibc that this project has tested: Debian bullseye's, 2.31.
#
#   sh tests/bullseye.sh python3.13 .ci/try_wheel.py target/wheels/ferrio-...-cp313-...whl
#   sh tests/bullseye.sh --prepare         only makes the root, or says why it cannot be made (exit status 3)
#
# bullseye's own Python is 3.9, so CPythons are built in the root, from the sources that Debian has of them for its newer
# releases. Wheels are built elsewhere and only tried here. The root is made once (FERRIO_BULLSEYE names its directory;
# .work/bullseye unless set); the command runs in it as root, in this checkout under its usual path, with mounts that end
# with the command.
#
# Needs what tests/forky.sh needs.

set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
root=${FERRIO_BULLSEYE:-$here/.work/bullseye}
# Python, a colon, the release of Debian whose sources are taken.
pythons=${FERRIO_BULLSEYE_PYTHONS:-3.11:bookworm 3.13:trixie}

cannot() {
    echo "no Debian bullseye here: $1" >&2
    exit 3
}

prepare() {
    if [ "$(id -u)" != 0 ]; then cannot "that takes root"; fi
    command -v debootstrap >/dev/null || cannot "debootstrap is missing (apt-get install debootstrap)"
    unshare --mount true 2>/dev/null || cannot "no mounts are allowed"
    # The stamp says what is in the root. It grows with each step, so that one that failed is the only one repeated.
    stamp=$root/etc/ferrio
    if ! grep -qsx base "$stamp"; then
        mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m 1 '/debian/*$') ||
            cannot "apt has no Debian mirror"
        if [ ! -e "$root/etc/debian_version" ]; then
            echo "==> making a root of Debian bullseye in $root (some minutes)" >&2
            mkdir -p "$root"
            debootstrap --variant=minbase bullseye "$root" "$mirror" >"$root.log" 2>&1 ||
                cannot "debootstrap failed; the end of $root.log says why"
        fi
        cp /etc/resolv.conf "$root/etc/resolv.conf"
        apt-config dump --no-empty Acquire >"$root/etc/apt/apt.conf.d/90ferrio"
        cp /usr/share/keyrings/debian-archive-keyring.gpg "$root/etc/apt/newer.gpg"
        for python in $pythons; do
            echo "deb-src [signed-by=/etc/apt/newer.gpg] $mirror ${python#*:} main"
        done >"$root/etc/apt/sources.list.d/newer.list"
        inside sh -c 'apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"' \
            sh gcc libc6-dev make xz-utils dpkg-dev ca-certificates libssl-dev zlib1g-dev libffi-dev openssl \
            >>"$root.log" 2>&1 || cannot "apt-get failed; the end of $root.log says why"
        echo base >"$stamp"
    fi
    for python in $pythons; do
        if grep -qsx "$python" "$stamp"; then continue; fi
        echo "==> building CPython ${python%:*} in $root (some minutes)" >&2
        inside sh -euc '
            mkdir -p /usr/src/ferrio && cd /usr/src/ferrio
            rm -rf "python$1"
            apt-get source -qq --download-only -o APT::Sandbox::User=root "python$1/$2"
            mkdir "python$1"
            tar -xf "python${1}"_*.orig.tar.* -C "python$1" --strip-components 1
            cd "python$1"
            # It only has to run, so it is built as quickly as can be.
            OPT="-O0 -DNDEBUG" ./configure -q --prefix=/usr/local --disable-test-modules --with-ensurepip=install
            make -s -j 2
            make -s altinstall
            cd .. && rm -rf "python$1"
        ' sh "${python%:*}" "${python#*:}" >>"$root.log" 2>&1 ||
            cannot "CPython ${python%:*} was not built; the end of $root.log says why"
        echo "$python" >>"$stamp"
    done
}

inside() {
    ROOT=$root HERE=$here unshare --mount sh -eu -c '
        for path in /proc /sys /dev "$HERE"; do
            mkdir -p "$ROOT$path"
            mount --rbind "$path" "$ROOT$path"
        done
        PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
        export PATH
        exec chroot "$ROOT" /bin/sh -c '\''cd "$1" && shift && exec "$@"'\'' sh "$HERE" "$@"
    ' sh "$@"
}

if [ $# = 0 ]; then
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
prepare
if [ "$1" = --prepare ]; then exit 0; fi
inside "$@"
