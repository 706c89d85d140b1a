#!/bin/bash
# install.sh [--without-npm]: installs what the tests, the demo and CI need, with apt-get.
# --without-npm leaves out npm and pip3, which the demo's image doesn't need.
# Where all of it is there already it does nothing, and needs neither root nor a network.
set -euo pipefail

# program → Debian package
declare -A package=(
    [buildah]=buildah [containerd]=containerd [ctr]=containerd
    [docker-registry]=docker-registry [ip]=iproute2 [make]=make [mmdebstrap]=mmdebstrap
    [gzip]=gzip [mount]=mount [nsenter]=util-linux [setpriv]=util-linux [tar]=tar
    [runc]=runc [skopeo]=skopeo [cc]=gcc
    [node]=nodejs [npm]=npm [pip3]=python3-pip
    [qemu-img]=qemu-utils [qemu-io]=qemu-utils [mke2fs]=e2fsprogs [e2fsck]=e2fsprogs
)
[[ ${1:-} == --without-npm ]] && unset 'package[node]' 'package[npm]' 'package[pip3]'

fail() {
    printf 'tests/install.sh: %s\n' "$*" >&2
    exit 1
}

PATH=$PATH:/usr/sbin:/sbin
wanted=()
for program in "${!package[@]}"; do
    command -v "$program" >/dev/null || wanted+=("${package[$program]}")
done
[[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || wanted+=(debian-archive-keyring)
((${#wanted[@]})) || exit 0
mapfile -t wanted < <(printf '%s\n' "${wanted[@]}" | sort -u)

command -v apt-get >/dev/null ||
    fail "this machine has no apt-get; install these yourself: ${wanted[*]}"
((EUID == 0)) || fail "run it as root, or install these yourself: ${wanted[*]}"
echo "installing ${wanted[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# apt must not start a daemon of ours: the tests start their own.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    trap 'rm -f "$log" "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get -q update && apt-get -q install -y --no-install-recommends "${wanted[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    fail "apt-get could not install ${wanted[*]}; the lines above say why"
fi
