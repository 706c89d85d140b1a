#!/bin/bash
# debian.sh DIRECTORY PACKAGE[:ARCHITECTURE][/SUITE]...: unpacks Debian packages into a directory.
#
# They are not installed: no script of theirs runs, and the machine's own apt and dpkg learn nothing
# of foreign architectures. Apt works with lists and a cache of its own (target/debian), from the mirrors
# and with the keys that the machine has. Dependencies are not followed. Needs no root.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
work=${SKIFF_DEBIAN:-$here/../target/debian}
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
architectures=(amd64 arm64 armhf)

fail() {
    printf 'cross/debian.sh: %s\n' "$*" >&2
    exit 1
}

[[ $# -ge 2 ]] || fail "usage: debian.sh DIRECTORY PACKAGE[:ARCHITECTURE][/SUITE]..."
[[ -n $codename ]] || fail "this machine isn't a Debian (/etc/os-release has no VERSION_CODENAME); build on Debian"
directory=$1
shift
mkdir -p "$directory" "$work"/{lists/partial,cache/archives/partial,etc}
directory=$(cd "$directory" && pwd)
work=$(cd "$work" && pwd)

exec 9>"$work/.lock"
flock 9

apt() {
    APT_CONFIG=$work/etc/apt.conf "$@"
}

# The machine's mirrors, asked for more suites and architectures than the machine itself uses.
write_configuration() {
    local uri release known suite
    while read -r uri release known; do
        case $release in
            "$codename-security" | *-security) suite=("$codename-security") ;;
            "$codename-updates" | *-updates) suite=("$codename-updates") ;;
            *) suite=("$codename" "$codename-backports") ;;
        esac
        [[ $known == "$codename"* ]] || continue
        for suite in "${suite[@]}"; do
            echo "deb [arch=$(IFS=,; echo "${architectures[*]}") signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main"
        done
    done < <(
        apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(CODENAME)' \
            'Identifier: Packages' 'Component: main' "Architecture: $(dpkg --print-architecture)"
    ) | sort -u >"$work/etc/sources.list"
    [[ -s $work/etc/sources.list ]] || fail "apt knows no $codename on this machine; run apt-get update"
    : >"$work/status"
    # Architectures are a list, which -o can only extend: a file of our own clears it first.
    cat >"$work/etc/apt.conf" <<CONF
Dir::Etc::sourcelist "$work/etc/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$work/lists";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Architecture "amd64";
#clear APT::Architectures;
APT::Architectures { $(printf '"%s"; ' "${architectures[@]}")};
CONF
}

# A mirror may be in the middle of an update; then what it has already will do, or the download below says so.
update() {
    find "$work/lists" -maxdepth 1 -name '*_Packages*' -mmin -720 | grep -q . && cmp -s "$work/etc/sources.list" "$work/etc/updated" && return
    apt apt-get -q update >"$work/update.log" 2>&1 || echo "cross/debian.sh: apt-get update had errors ($work/update.log); going on with what it got" >&2
    cp "$work/etc/sources.list" "$work/etc/updated"
}

write_configuration
update
cd "$work/cache/archives"
for package in "$@"; do
    file=$(apt apt-get -q --print-uris download "$package" 2>"$work/download.log" | awk 'END {print $2}') ||
        { tail -n 5 "$work/download.log" >&2; fail "apt has no $package; see the lines above"; }
    [[ -n $file ]] || { tail -n 5 "$work/download.log" >&2; fail "apt has no $package; see the lines above"; }
    if [[ ! -e $file ]]; then
        apt apt-get -q download "$package" >"$work/download.log" 2>&1 ||
            { tail -n 5 "$work/download.log" >&2; fail "$package could not be downloaded; see the lines above"; }
    fi
    dpkg-deb --extract "$file" "$directory"
done
