#!/bin/bash
# install.sh: installs what building and booting emulated devices needs.
set -euo pipefail

exec "$(dirname "$0")/../cross/packages.sh" \
    qemu-system-aarch64=qemu-system-arm qemu-system-arm=qemu-system-arm \
    qemu-aarch64-static=qemu-user-static qemu-arm-static=qemu-user-static \
    depmod=kmod cpio=cpio xz=xz-utils gzip=gzip tar=tar mke2fs=e2fsprogs \
    /usr/share/keyrings/debian-archive-keyring.gpg=debian-archive-keyring
