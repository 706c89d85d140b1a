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
small=false
options=()
triples=()
while (($#)); do
    case $1 in
        --package | --bin | --features | --output)
            (($# >= 2)) || fail "$1 wants a value"
            declare "${1#--}=$2"
            shift
            ;;
        --symbols) strip=false ;;
        --small) small=true ;;
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

# Without TLS there is no ring, and every byte goes through sha2; with it only keys of devices do, for signatures.
if $small; then
    options=(--no-default-features --config 'profile.release.package.sha2.opt-level=3')
elif [[ $package == skiff ]]; then
    options=(--config 'profile.release.package.sha2.rustflags=["--cfg=sha2_backend=\"soft\"", "--cfg=sha2_backend_soft=\"compact\""]')
fi

"$here/install.sh"
"$here/toolchain.sh"
[[ " ${triples[*]} " != *" arm-"* ]] || "$here/armv6.sh"

toolchain=$PWD/target/cross/toolchain/bin
# What rustc is told of a machine: its name, or a file of this name that says what rustc says of it, but for what a line of
# sed here changes. For 64-bit ARM rustc keeps frame pointers, for profilers, and asks a processor at each atomic operation what
# it can do.
mkdir -p target/cross/machines
machine() { # TRIPLE SED...
    local triple=$1 file=target/cross/machines/$1.json said
    shift
    said=$(RUSTC_BOOTSTRAP=1 "$toolchain/rustc" -Zunstable-options --print target-spec-json --target "$triple")
    for change; do
        [[ $said != "$(sed "$change" <<<"$said")" ]] || fail "rustc's description of $triple is not as it was: $change"
        said=$(sed "$change" <<<"$said")
    done
    [[ $(cat "$file" 2>/dev/null) == "$said" ]] || echo "$said" >"$file"
    targets+=("--target=$file")
}
targets=()
for triple in "${triples[@]}"; do
    case $triple in
        aarch64-*) machine "$triple" '/"frame-pointer": /d' 's/,+outline-atomics"/"/' ;;
        *) targets+=("--target=$triple") ;;
    esac
done
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
    --package "$package" --bin "$bin" "${options[@]}" --features "$features" "${targets[@]}"

for triple in "${triples[@]}"; do
    built=target/cross/build/$triple/release/$bin
    mkdir -p "$output/$triple"
    cmp -s "$built" "$output/$triple/$bin" || install -m 755 "$built" "$output/$triple/$bin"
done
