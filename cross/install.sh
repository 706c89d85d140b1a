#!/bin/bash
# install.sh: installs what building and checking for other machines needs from this one, with apt-get.
# Where all of it is there already it does nothing, and needs neither root nor a network.
set -euo pipefail

# program → Debian package
declare -A package=(
    [cc]=gcc [pip3]=python3-pip [readelf]=binutils
    [qemu-aarch64-static]=qemu-user-static [qemu-arm-static]=qemu-user-static
)

fail() {
    printf 'cross/install.sh: %s\n' "$*" >&2
    exit 1
}

wanted=()
for program in "${!package[@]}"; do
    command -v "$program" >/dev/null || wanted+=("${package[$program]}")
done
# What cc links with: gcc only recommends it.
[[ -e /usr/include/stdio.h ]] || wanted+=(libc6-dev)
((${#wanted[@]})) || exit 0
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
