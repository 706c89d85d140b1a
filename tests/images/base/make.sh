#!/bin/bash
# base/make.sh TARBALL CODENAME < DEB-LINES: a small Debian root file system as a tarball.
#
# What an official image leaves out (manuals, documentation, translations, package lists) is
# left out here too. Times stay as the packages have them: a clamp below the newest package would
# give a file that both bases hold unchanged two different times, and the update would grow.
set -euo pipefail
tarball=$1 codename=$2
here=$(cd "$(dirname "$0")" && pwd)
lines=$(cat)

include=usr-is-merged
[[ $lines == *https:* ]] && include+=,ca-certificates

# The machine's own way to its mirror goes into the base: apt must work in there, too.
aptopts=()
while read -r option; do aptopts+=(--aptopt="$option"); done < <(
    apt-config dump | grep -E '^Acquire::(https?::Proxy|Check-Valid-Until|Check-Date) .*"[^"]+";'
)

# The hooks' $1 is the new root, for the shell that mmdebstrap starts.
# shellcheck disable=SC2016
mmdebstrap --quiet --variant=minbase --include="$include" \
    --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
    --aptopt='Acquire::Languages "none"' "${aptopts[@]}" \
    --dpkgopt='force-unsafe-io' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/lintian/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-include=/usr/share/locale/locale.alias' \
    --customize-hook="upload '$here/apt.conf' /etc/apt/apt.conf.d/docker" \
    --customize-hook='printf "#!/bin/sh\nexit 101\n" >"$1/usr/sbin/policy-rc.d"' \
    --customize-hook='chmod 755 "$1/usr/sbin/policy-rc.d"' \
    --customize-hook='rm -rf "$1"/var/log/apt "$1"/var/log/dpkg.log "$1"/var/cache/ldconfig' \
    --customize-hook='rm -f "$1"/var/cache/apt/*.bin "$1"/var/cache/debconf/*-old "$1"/var/lib/dpkg/*-old' \
    "$codename" "$tarball" - <<<"$lines"
