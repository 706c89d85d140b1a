#!/bin/bash
# toolchain.sh: makes target/cross/toolchain, a compiler with the C libraries of the machines that
# build.sh builds for. Nothing is done while the scripts that made it are the same; remove the directory
# to have a newer compiler of Debian's.
#
#   bin/        cargo, rustc, ld.lld, clang: each with the libraries that it needs
#   usr/        Debian packages, unpacked
#   usr/lib/rustlib/TRIPLE/lib/self-contained/    the C library, where rustc looks for it
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cross=$here/../target/cross
finished=$cross/toolchain
oldest=1.96

fail() {
    printf 'cross/toolchain.sh: %s\n' "$*" >&2
    exit 1
}

[[ $(uname -m) == x86_64 ]] || fail "the compiler is Debian's for x86_64; build on such a machine"
mkdir -p "$cross"
exec 8>"$cross/.toolchain.lock"
flock 8
recipe=$(cat "$here"/{toolchain.sh,debian.sh,zig.txt} | sha256sum)
[[ $(cat "$finished/recipe" 2>/dev/null) != "$recipe" ]] || exit 0

echo "unpacking a compiler into target/cross/toolchain"
new=$cross/toolchain.new
rm -rf "$new"
mkdir -p "$new/bin"
new=$(cd "$new" && pwd)

# The libraries that these packages need, with those that these need. Among them are some of gcc's, which do no harm.
libraries_of() {
    APT_CONFIG=${SKIFF_DEBIAN:-$here/../target/debian}/etc/apt.conf \
        apt-get -q --simulate --no-install-recommends install "$@" |
        awk '/^Inst lib/ && $2 !~ /^libc6$|-dev$|-bin$/ {print $2}'
}

"$here/debian.sh" "$new" rustc-web cargo-web rust-web-src libstd-rust-web-dev
libraries=$(libraries_of rustc-web cargo-web)
llvm=$(grep -Eo '^libllvm[0-9]+' <<<"$libraries") || fail "rustc-web needs no libllvm; which linker goes with it?"
lld=lld-${llvm#libllvm}
# For the C and assembly of ring: of the same LLVM, and for all machines at once.
clang=clang-${llvm#libllvm}
libraries=$(libraries_of rustc-web cargo-web "$lld")
# shellcheck disable=SC2086 # one word per package
"$here/debian.sh" "$new" "$lld" "$clang" "libclang-cpp${llvm#libllvm}" "libclang-common-${llvm#libllvm}-dev" libjemalloc2 $libraries

ln -s "ld.lld-${llvm#libllvm}" "$new/usr/bin/ld.lld"
ln -s "$clang" "$new/usr/bin/clang"
for program in cargo rustc ld.lld clang; do
    [[ -x $new/usr/bin/$program ]] || fail "Debian's packages have no $program any more"
    with='LD_LIBRARY_PATH=$usr/lib/x86_64-linux-gnu'
    # With jemalloc and huge pages rustc needs 28 % less time than with glibc's malloc.
    [[ $program != rustc ]] || with+=' LD_PRELOAD=$usr/lib/x86_64-linux-gnu/libjemalloc.so.2 MALLOC_CONF=thp:always'
    printf '#!/bin/sh\nusr=$(dirname "$0")/../usr\n%s exec "$usr/bin/%s" "$@"\n' "$with" "$program" >"$new/bin/$program"
done
chmod +x "$new"/bin/*

version=$("$new/bin/rustc" --version | awk '{print $2}')
[[ $(printf '%s\n' $oldest "$version" | sort -V | head -n 1) == "$oldest" ]] ||
    fail "Debian's rustc-web is $version here, and $oldest is needed; it comes from the security suite"
source=$new/usr/lib/rustlib/src/rust
[[ -e $source/library/std/Cargo.toml ]] || fail "rust-web-src has no library/std below usr/lib/rustlib/src/rust"
# Of the compiler's own source only the standard library is built.
rm -rf "$source"/{compiler,src,debian} "$new/usr/share"
# anyhow keeps the printing of backtraces in, with the reading of symbols' names, 22 KB, and there is no feature to leave it
# out. These binaries have no symbols and no unwinder, so a backtrace can't be anything but disabled: the library is told.
backtrace=$source/library/std/src/backtrace.rs
sed -i -e 's|^    fn enabled() -> bool {$|&\n        return false;|' \
    -e 's|^        let capture = match &self.inner {$|        if true {\n            return fmt.write_str("disabled backtrace");\n        }\n&|' "$backtrace"
(($(grep -cE '^ +return false;$|"disabled backtrace"\);$' "$backtrace") == 3)) ||
    fail "std's backtrace.rs is not as it was: the places that are to be changed are not there"

# Objects for rustc's link line that are linker scripts: nothing is in the first two. Nothing unwinds in these
# programs, but std::backtrace names an unwinder: its entry goes to a function that returns at once, without calling
# back, and so a backtrace is empty; the others are never called.
place() { # TRIPLE FILE...
    local directory=$new/usr/lib/rustlib/$1/lib/self-contained symbol
    shift
    mkdir -p "$directory"
    cp "$@" "$directory"
    echo '/* nothing */' | tee "$directory"/crt{begin,end}.o >/dev/null
    for symbol in Backtrace FindEnclosingFunction GetCFA GetIP VRS_Get; do
        echo "PROVIDE(_Unwind_$symbol = getpid);"
    done >"$directory/libunwind.a"
}

"$here/debian.sh" "$new/musl" musl-dev:{amd64,arm64,armhf}
musl=$new/musl/usr/lib
place x86_64-unknown-linux-musl "$musl"/x86_64-linux-musl/{crt1.o,crti.o,crtn.o,libc.a}
place aarch64-unknown-linux-musl "$musl"/aarch64-linux-musl/{crt1.o,crti.o,crtn.o,libc.a}
place armv7-unknown-linux-musleabihf "$musl"/arm-linux-musleabihf/{crt1.o,crti.o,crtn.o,libc.a}

# Debian's armhf is ARMv7. Zig brings musl's source, compiles it for any processor that it links a program for, and says
# on its last line where it has put it.
echo "compiling a C library for ARMv6"
zig=$new/zig
pip3 --quiet --disable-pip-version-check install --root-user-action ignore \
    --no-deps --only-binary :all: --require-hashes --requirement "$here/zig.txt" --target "$zig"
echo 'int main(void) { return 0; }' >"$zig/main.c"
ZIG_GLOBAL_CACHE_DIR=$zig/cache ZIG_LOCAL_CACHE_DIR=$zig/cache "$zig/ziglang/zig" cc --verbose \
    -target arm-linux-musleabihf -mcpu=arm1176jzf_s -Os -s -fno-lto -static -o "$zig/main" "$zig/main.c" >"$cross/zig.log" 2>&1 ||
    { tail -n 5 "$cross/zig.log" >&2; fail "zig could not compile its C library; see the lines above"; }
mapfile -t files < <(tail -n 1 "$cross/zig.log" | grep -Eo '[^ ]+/(crt[1in]\.o|libc\.a)')
((${#files[@]} == 4)) || fail "zig's last line ($cross/zig.log) does not name crt1.o, crti.o, crtn.o and libc.a"
place arm-unknown-linux-musleabihf "${files[@]}"

rm -rf "$new"/{musl,zig}
echo "$recipe" >"$new/recipe"
rm -rf "$finished"
mv "$new" "$finished"
