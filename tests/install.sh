#!/bin/bash
# install.sh [--demo]: installs what the tests and CI need, or only what the demo does.
set -euo pipefail

needs=(
    buildah=buildah containerd=containerd ctr=containerd docker-registry=docker-registry
    ip=iproute2 make=make openssl=openssl mmdebstrap=mmdebstrap gzip=gzip mount=mount nsenter=util-linux
    setpriv=util-linux tar=tar runc=runc skopeo=skopeo cc=gcc
    /usr/share/keyrings/debian-archive-keyring.gpg=debian-archive-keyring
)
if [[ ${1:-} != --demo ]]; then
    # Not in the path, and in a folder that has the version's name.
    initdb=(/usr/lib/postgresql/*/bin/initdb)
    needs+=(
        curl=curl node=nodejs npm=npm pip3=python3-pip "${initdb[0]}=postgresql"
        qemu-img=qemu-utils qemu-io=qemu-utils mke2fs=e2fsprogs e2fsck=e2fsprogs
        nginx=nginx tinyproxy=tinyproxy-bin /bin/busybox=busybox-static python3=python3 strace=strace
        rsync=rsync zstd=zstd
    )
fi
exec "$(dirname "$0")/../cross/packages.sh" "${needs[@]}"
