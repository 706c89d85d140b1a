#!/bin/bash
# check.sh [TRIPLE...]: what the agents of build.sh must be (all four, if none is named), and the smallest one: static, stripped, for their machine, within
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

# A server that speaks TLS and no HTTP: what the machine's code for it does shows in what the agent says then.
tls_works() {
    says 12 "is none that is pinned" pull nothing --accelerator "$server" --pin "${pin//[A-Z]/a}" "${root[@]}"
    says 4 "the connection to the accelerator .* failed|does not answer as an accelerator" \
        pull nothing --accelerator "$server" --pin "$pin" "${root[@]}"
}

serve_tls() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj /CN=check -days 2 \
        -keyout "$directory/key" -out "$directory/certificate" 2>/dev/null
    pin=sha256/$(openssl pkey -in "$directory/key" -pubout -outform der | openssl dgst -sha256 -binary | base64)
    # Reading a pipe that is never written, it does not end before it is told to.
    mkfifo "$directory/input"
    : >"$directory/said"
    exec 7<>"$directory/input"
    openssl s_server -accept 127.0.0.1:0 -rev -cert "$directory/certificate" -key "$directory/key" \
        <&7 >"$directory/said" 2>&1 &
    trap "kill $!; rm -rf '$directory'" EXIT
    local port=
    until [[ -n $port ]]; do
        port=$(awk -F: '/^ACCEPT/ {print $NF}' "$directory/said")
        kill -0 $! || { cat "$directory/said" >&2; exit 1; }
        sleep 0.1
    done
    server=https://127.0.0.1:$port
}

over=
check() { # NAME BUDGET
    machine
    built_right
    works
    bytes=$(stat --format %s "$binary")
    printf '%-40s %8d %8d %7d %%\n' "$1" "$bytes" "$2" $((($2 - bytes) * 100 / $2))
    ((bytes <= $2)) || over+=" $1"
}

serve_tls
printf '%-40s %8s %8s %9s\n' machine bytes budget headroom
while read -r triple budget small; do
    (($# == 0)) || [[ " $* " == *" $triple "* ]] || continue
    root=(--root "$directory/$triple" --state "$directory/$triple.state")
    binary=$cross/$triple/skiff
    [[ -x $binary ]] || fail "there is no ${binary#"$here/../"}; run cross/build.sh"
    check "$triple" "$budget"
    tls_works
    if [[ -n $small ]]; then
        binary=$cross/small/$triple/skiff
        [[ -x $binary ]] || fail "there is no ${binary#"$here/../"}; run make cross"
        check "$triple, smallest" "$small"
        says 2 "no TLS" pull nothing --accelerator "$server" "${root[@]}"
    fi
done < <(grep -v '^#' "$here/budgets")
[[ -z $over ]] || { echo "cross/check.sh: too big:$over (cross/README.md says where the bytes go)" >&2; exit 1; }
