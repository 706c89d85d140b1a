#!/bin/bash
# install.sh: installs what building and checking for other machines needs from this one.
set -euo pipefail

# cc links with libc6-dev, which gcc only recommends.
exec "$(dirname "$0")/packages.sh" cc=gcc /usr/include/stdio.h=libc6-dev pip3=python3-pip readelf=binutils openssl=openssl \
    qemu-aarch64-static=qemu-user-static qemu-arm-static=qemu-user-static
