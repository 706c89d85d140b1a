#!/bin/bash
# armv6.sh: adds a C library for ARMv6 to target/cross/toolchain. Debian's armhf is ARMv7. Zig brings musl's source, compiles it
# for any processor that it links a program for, and says on its last line where it has put it.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cross=$(cd "$here/../target/cross" && pwd)
library=$cross/toolchain/usr/lib/rustlib/arm-unknown-linux-musleabihf/lib/self-contained

fail() {
    printf 'cross/armv6.sh: %s\n' "$*" >&2
    exit 1
}

exec 8>"$cross/.toolchain.lock"
flock 8
recipe=$(cat "$here"/{armv6.sh,place.sh,zig.txt} | sha256sum)
[[ $(cat "$library/recipe" 2>/dev/null) != "$recipe" ]] || exit 0

echo "compiling a C library for ARMv6"
zig=$cross/zig
rm -rf "$zig" "$library"
pip3 --quiet --disable-pip-version-check install --root-user-action ignore \
    --no-deps --only-binary :all: --require-hashes --requirement "$here/zig.txt" --target "$zig"
echo 'int main(void) { return 0; }' >"$zig/main.c"
ZIG_GLOBAL_CACHE_DIR=$zig/cache ZIG_LOCAL_CACHE_DIR=$zig/cache "$zig/ziglang/zig" cc --verbose \
    -target arm-linux-musleabihf -mcpu=arm1176jzf_s -Os -s -fno-lto -static -o "$zig/main" "$zig/main.c" >"$cross/zig.log" 2>&1 ||
    { tail -n 5 "$cross/zig.log" >&2; fail "zig could not compile its C library; see the lines above"; }
mapfile -t files < <(tail -n 1 "$cross/zig.log" | grep -Eo '[^ ]+/(crt[1in]\.o|libc\.a)')
((${#files[@]} == 4)) || fail "zig's last line ($cross/zig.log) does not name crt1.o, crti.o, crtn.o and libc.a"
"$here/place.sh" "$library" "${files[@]}"
rm -rf "$zig"
echo "$recipe" >"$library/recipe"
