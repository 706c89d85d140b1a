#!/bin/bash
# build.sh [--package NAME] [--bin NAME] [--features LIST] [--small] [--output DIRECTORY] [--symbols] [TRIPLE...]:
# builds a static, stripped binary of this workspace for each machine (all four, if none is named) as
# DIRECTORY/TRIPLE/NAME. Without options it is the agent: target/cross/TRIPLE/skiff. With --symbols it
# is not stripped. With --small it is the smallest agent, without any feature that can be left out: no TLS.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."

fail() {
    printf 'cross/build.sh: %s\n' "$*" >&2
    exit 2
}

package=skiff
bin=skiff
features=
output=target/cross
strip=true
defaults=()
triples=()
while (($#)); do
    case $1 in
        --package | --bin | --features | --output)
            (($# >= 2)) || fail "$1 wants a value"
            declare "${1#--}=$2"
            shift
            ;;
        --symbols) strip=false ;;
        # Without TLS there is no ring, and every byte goes through sha2.
        --small) defaults=(--no-default-features --config 'profile.release.package.sha2.opt-level=3') ;;
        -*) fail "unknown option $1; the first lines of the script say what there is" ;;
        *) triples+=("$1") ;;
    esac
    shift
done
mapfile -t known < <(awk '!/^#/ {print $1}' "$here/budgets")
((${#triples[@]})) || triples=("${known[@]}")
for triple in "${triples[@]}"; do
    [[ " ${known[*]} " == *" $triple "* ]] || fail "unknown machine $triple; there are: ${known[*]}"
done

"$here/install.sh"
"$here/toolchain.sh"
[[ " ${triples[*]} " != *" arm-"* ]] || "$here/armv6.sh"

toolchain=$PWD/target/cross/toolchain/bin
# What a person has set for builds of their own machine.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER
# C code is ring's. It needs no header of a C library, but has to be told so for x86-64, where one of clang's would
# include stdlib.h.
unset CC CFLAGS
export CC_aarch64_unknown_linux_musl=$toolchain/clang CC_armv7_unknown_linux_musleabihf=$toolchain/clang
export CC_arm_unknown_linux_musleabihf=$toolchain/clang CC_x86_64_unknown_linux_musl=$toolchain/clang
no_unwinding="-fno-unwind-tables -fno-asynchronous-unwind-tables"
export CFLAGS_aarch64_unknown_linux_musl=$no_unwinding
export CFLAGS_x86_64_unknown_linux_musl="$no_unwinding -nostdlibinc -DRING_CORE_NOSTDLIBINC=1 -D__MM_MALLOC_H"
export CFLAGS_armv7_unknown_linux_musleabihf="$no_unwinding -mthumb"
# Without -mcpu clang compiles for ARMv7 wherever floats are in registers.
export CFLAGS_arm_unknown_linux_musleabihf="$no_unwinding -mcpu=arm1176jzf-s"
# Debian's compiler is a stable one, and building std is not.
PATH=$toolchain:$PATH RUSTC=$toolchain/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$PWD/target/cross/build \
    "$toolchain/cargo" build --release --locked --config "$here/config.toml" --config profile.release.strip=$strip \
    --package "$package" --bin "$bin" "${defaults[@]}" --features "$features" "${triples[@]/#/--target=}"

for triple in "${triples[@]}"; do
    built=target/cross/build/$triple/release/$bin
    mkdir -p "$output/$triple"
    cmp -s "$built" "$output/$triple/$bin" || install -m 755 "$built" "$output/$triple/$bin"
done
