#!/bin/bash
# debian.sh DIRECTORY PACKAGE[:ARCHITECTURE][/SUITE]...: unpacks Debian packages into a directory.
# With - for the directory it only downloads them, and prints the files' paths.
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
mkdir -p "$work"/{lists/partial,cache/archives/partial,etc,empty}
if [[ $directory == - ]]; then
    directory=
else
    mkdir -p "$directory"
    directory=$(cd "$directory" && pwd)
fi
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

# A mirror may be in the middle of an update. Apt throws away the whole suite when the list of one
# architecture is wrong: that list is then left out, so that the others stay.
update() {
    local suite architecture
    find "$work/etc/updated" -mmin -720 2>/dev/null | grep -q . && cmp -s "$work/etc/sources.list" "$work/etc/updated" && return
    cp "$work/etc/sources.list" "$work/etc/wanted"
    if ! apt apt-get -q update >"$work/update.log" 2>&1; then
        while read -r suite architecture; do
            echo "cross/debian.sh: $suite has no proper list for $architecture at the moment ($work/update.log); going on without" >&2
            sed -i "/ $suite main/s/\([=,]\)$architecture\b,\?/\1/" "$work/etc/sources.list"
        done < <(sed -nE 's|^E: Failed to fetch .*/dists/([^/]+)/main/binary-([a-z0-9]+)/.*|\1 \2|p' "$work/update.log" | sort -u)
        if ! apt apt-get -q update >"$work/update.log" 2>&1; then
            echo "cross/debian.sh: apt-get update had errors ($work/update.log); going on with what it got" >&2
            return
        fi
    fi
    mv "$work/etc/wanted" "$work/etc/updated"
}

write_configuration
update
# In an empty directory: apt names no file that lies in the current one already.
uris=$(cd "$work/empty" && apt apt-get -q --print-uris download "$@" 2>"$work/download.log") ||
    { tail -n 5 "$work/download.log" >&2; fail "apt doesn't have all of: $*; see the lines above"; }
mapfile -t files < <(awk '/^\x27/ {print $2}' <<<"$uris")
((${#files[@]} == $#)) || fail "apt finds ${#files[@]} of these $# packages: $*"
cd "$work/cache/archives"
missing=0
for file in "${files[@]}"; do [[ -e $file ]] || missing=1; done
if ((missing)); then
    apt apt-get -q download "$@" >"$work/download.log" 2>&1 ||
        { tail -n 5 "$work/download.log" >&2; fail "not all of $* could be downloaded; see the lines above"; }
fi
for file in "${files[@]}"; do
    if [[ -z $directory ]]; then
        echo "$PWD/$file"
    else
        dpkg-deb --extract "$file" "$directory"
    fi
done
