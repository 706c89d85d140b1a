#!/bin/bash
# check.sh: what the four agents of build.sh must be: static, stripped, for their machine, within
# their budget, and working. Those of other machines run under qemu-user.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cross=$here/../target/cross
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

fail() {
    printf 'cross/check.sh: %s: %s\n' "$triple" "$*" >&2
    exit 1
}

# What readelf says of a binary of this machine, and what runs it.
machine() {
    case $triple in
        aarch64-*) class=ELF64 machine=AArch64 newest= runs=qemu-aarch64-static ;;
        armv7-*) class=ELF32 machine=ARM newest='v([456].*|7)' runs=qemu-arm-static ;;
        arm-*) class=ELF32 machine=ARM newest='v([45].*|6)' runs="qemu-arm-static -cpu arm1176" ;;
        x86_64-*) class=ELF64 machine='Advanced Micro Devices X86-64' newest= runs= ;;
        *) fail "check.sh does not know this machine" ;;
    esac
}

built_right() {
    local elf file found newer
    elf=$(readelf --file-header --program-headers --sections --wide "$binary")
    grep -Eq "Class: +$class$" <<<"$elf" || fail "it is not $class"
    grep -Eq "Machine: +$machine$" <<<"$elf" || fail "it is not for $machine"
    ! grep -Eq '^ +(INTERP|DYNAMIC) ' <<<"$elf" || fail "it is not static"
    ! grep -Eq ' \.(symtab|debug_[a-z]+) ' <<<"$elf" || fail "it is not stripped"
    [[ -n $newest ]] || return 0
    # The linker takes the attributes of the first object: those of the whole C library count, too.
    for file in "$binary" "$cross/toolchain/usr/lib/rustlib/$triple/lib/self-contained/libc.a"; do
        found=$(readelf --arch-specific "$file" 2>/dev/null | awk '/Tag_CPU_arch:/ {print $2}' | sort -u)
        [[ -n $found ]] || fail "${file##*/} does not say which ARM its code is for"
        newer=$(grep -Evx "$newest" <<<"$found" || true)
        [[ -z $newer ]] || fail "${file##*/} holds code for ARM ${newer//$'\n'/ }"
    done
}

# A command line, the exit code that its documentation promises, and a pattern of what it says.
says() { # CODE PATTERN ARGUMENT...
    local expected=$1 pattern=$2 code=0 said
    shift 2
    # shellcheck disable=SC2086 # the emulator and its arguments
    said=$($runs "$binary" "$@" 2>&1) || code=$?
    ((code == expected)) || fail "skiff $*: exit code $code instead of $expected: $said"
    [[ $said =~ $pattern ]] || fail "skiff $*: it says '$said'"
}

works() {
    local version
    version=$(awk -F '"' '/^version/ {print $2; exit}' "$here/../Cargo.toml")
    local root=(--root "$directory/$triple" --state "$directory/$triple.state")
    mkdir -p "$directory/$triple"
    says 0 "^skiff $version\$" --version
    says 0 "^skiff: .*exit codes:" --help
    says 2 "." --nonsense
    says 0 "^\$" ls "${root[@]}"
    says 0 "^nothing is left" status "${root[@]}"
    says 0 "^removed 0 leftovers" gc "${root[@]}"
    says 0 '"removed_pulls":0' gc --json "${root[@]}"
    says 3 "." rm nothing "${root[@]}"
    says 7 "is it running" ls --containerd "$directory/nothing.sock" --state "$directory/state"
    # Nobody listens on port 1; the name goes through the C library.
    says 4 "can't be reached" pull nothing --accelerator http://localhost:1 "${root[@]}"
    says 2 "not ASCII" pull nothing --accelerator http://bücher.example "${root[@]}"
    [[ -z $(find "$directory/$triple.state" -path '*/pulls/*') ]] || fail "a pull left something behind"
}

printf '%-32s %8s %8s %9s\n' machine bytes budget headroom
over=
while read -r triple budget; do
    binary=$cross/$triple/skiff
    [[ -x $binary ]] || fail "there is no ${binary#"$here/../"}; run cross/build.sh"
    machine
    built_right
    works
    bytes=$(stat --format %s "$binary")
    printf '%-32s %8d %8d %7d %%\n' "$triple" "$bytes" "$budget" $(((budget - bytes) * 100 / budget))
    ((bytes <= budget)) || over+=" $triple"
done < <(grep -v '^#' "$here/budgets")
[[ -z $over ]] || { echo "cross/check.sh: too big:$over (cross/README.md says where the bytes go)" >&2; exit 1; }
