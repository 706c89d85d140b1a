#!/bin/bash
# packages.sh NEED=PACKAGE...: installs with apt-get the Debian packages whose need isn't met. A need is a
# program, or the path of a file. If all are met it does nothing, and needs neither root nor a network.
set -euo pipefail

fail() {
    printf 'cross/packages.sh: %s\n' "$*" >&2
    exit 1
}

PATH=$PATH:/usr/sbin:/sbin
wanted=()
for pair; do
    need=${pair%%=*}
    if [[ $need == /* ]]; then
        [[ -e $need ]] && continue
    elif command -v "$need" >/dev/null; then
        continue
    fi
    wanted+=("${pair#*=}")
done
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
# A mirror in the middle of an update fails for one list; the others, or the old one, may do.
# The emulator and the disk tools have parts in common, so both must be of one version: newer tools, from backports say,
# make room for those that the emulator has.
with_tools() {
    [[ " ${wanted[*]} " == *" qemu-system-arm "* ]] || return 0
    version=$(apt-cache policy qemu-system-arm | awk '/Candidate:/ {print $2}')
    for at in "${!wanted[@]}"; do [[ ${wanted[at]} != qemu-utils ]] || unset "wanted[at]"; done
    wanted+=("qemu-utils=$version" --allow-downgrades)
}
if ! { apt-get -q update || true; with_tools; apt-get -q install -y --no-install-recommends "${wanted[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    fail "apt-get could not install ${wanted[*]}; the lines above say why"
fi
