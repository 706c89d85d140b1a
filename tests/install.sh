#!/bin/bash
# install.sh [--without-npm]: installs what the tests, the demo and CI need.
# --without-npm leaves out npm and pip3, which the demo's image doesn't need.
set -euo pipefail

needs=(
    buildah=buildah containerd=containerd ctr=containerd docker-registry=docker-registry
    ip=iproute2 make=make mmdebstrap=mmdebstrap gzip=gzip mount=mount nsenter=util-linux
    setpriv=util-linux tar=tar runc=runc skopeo=skopeo cc=gcc
    qemu-img=qemu-utils qemu-io=qemu-utils mke2fs=e2fsprogs e2fsck=e2fsprogs
    /usr/share/keyrings/debian-archive-keyring.gpg=debian-archive-keyring
)
# Not in the path, and in a folder that has the version's name.
initdb=(/usr/lib/postgresql/*/bin/initdb)
needs+=("${initdb[0]}=postgresql")
[[ ${1:-} == --without-npm ]] || needs+=(node=nodejs npm=npm pip3=python3-pip)
exec "$(dirname "$0")/../cross/packages.sh" "${needs[@]}"
