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
recipe=$(cat "$here"/{toolchain.sh,debian.sh,place.sh} | sha256sum)
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

"$here/debian.sh" "$new/musl" musl-dev:{amd64,arm64,armhf}
musl=$new/musl/usr/lib
while read -r triple debian; do
    "$here/place.sh" "$new/usr/lib/rustlib/$triple/lib/self-contained" "$musl/$debian"/{crt1.o,crti.o,crtn.o,libc.a}
done <<'END'
x86_64-unknown-linux-musl x86_64-linux-musl
aarch64-unknown-linux-musl aarch64-linux-musl
armv7-unknown-linux-musleabihf arm-linux-musleabihf
END

rm -rf "$new/musl"
echo "$recipe" >"$new/recipe"
rm -rf "$finished"
mv "$new" "$finished"
