#!/bin/bash
# build.sh TRIPLE...: compiles the C programs of this directory for emulated devices, in target/cross/tests/TRIPLE, with
# the compiler of `make cross`. They need musl's loader, which lies beside them (ld.so): there is no C library on one of
# the devices.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."

cross/toolchain.sh
headers=target/cross/tests/libc
for triple in "$@"; do
    case $triple in
        aarch64-*) debian=arm64 gnu=aarch64-linux-gnu musl=aarch64-linux-musl ;;
        armv7-*) debian=armhf gnu=arm-linux-gnueabihf musl=arm-linux-musleabihf ;;
        *) echo "tests/programs/build.sh: no device is a $triple" >&2 && exit 2 ;;
    esac
    built=target/cross/tests/$triple
    libraries=$headers/lib/$musl
    [[ -e $libraries/libc.so && -e $headers/usr/lib/$musl/Scrt1.o && -e $headers/usr/include/$gnu ]] ||
        cross/debian.sh $headers {musl,musl-dev,linux-libc-dev}:$debian
    mkdir -p "$built"
    compile() {
        target/cross/toolchain/bin/clang --target="$triple" -O1 -nostdlib -fuse-ld=lld \
            -isystem $headers/usr/include/$musl -isystem $headers/usr/include/$gnu -isystem $headers/usr/include \
            -L "$built" -L "$libraries" -Wno-unused-command-line-argument "$@" -lc
    }
    program() {
        local name=$1
        shift
        compile -Wl,--dynamic-linker=/programs/ld.so "$headers/usr/lib/$musl/Scrt1.o" "$here/$name.c" -o "$built/$name" "$@"
    }
    install -m 755 "$libraries/libc.so" "$built/ld.so"
    compile -shared -fPIC "$here/magic.c" -o "$built/libmagic.so"
    program uses_magic -lmagic
    program uring
    program mapped
done
