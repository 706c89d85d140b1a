#!/bin/bash
# install.sh: installs what building and booting emulated devices needs, with apt-get.
# Where all of it is there already it does nothing, and needs neither root nor a network.
set -euo pipefail

# program → Debian package
declare -A package=(
    [qemu-system-aarch64]=qemu-system-arm [qemu-system-arm]=qemu-system-arm
    [qemu-aarch64-static]=qemu-user-static [qemu-arm-static]=qemu-user-static
    [depmod]=kmod [cpio]=cpio [xz]=xz-utils [gzip]=gzip [mke2fs]=e2fsprogs [tar]=tar
)

fail() {
    printf 'qemu/install.sh: %s\n' "$*" >&2
    exit 1
}

PATH=$PATH:/usr/sbin:/sbin
wanted=()
for program in "${!package[@]}"; do
    command -v "$program" >/dev/null || wanted+=("${package[$program]}")
done
((${#wanted[@]})) || exit 0
# The emulator and the disk tools have parts in common: asked for alone, it removes newer ones.
[[ " ${wanted[*]} " == *" qemu-system-arm "* ]] && wanted+=(qemu-utils)
mapfile -t wanted < <(printf '%s\n' "${wanted[@]}" | sort -u)

command -v apt-get >/dev/null ||
    fail "this machine has no apt-get; install these yourself: ${wanted[*]}"
((EUID == 0)) || fail "run it as root, or install these yourself: ${wanted[*]}"
echo "installing ${wanted[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get -q update && apt-get -q install -y --no-install-recommends "${wanted[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    fail "apt-get could not install ${wanted[*]}; the lines above say why"
fi
