#!/bin/bash
# build.sh [ARCHITECTURE...]: builds the gateway's layers for arm64 and armhf, or for those that are
# named, on any Debian machine: nothing that is built runs, and root isn't needed. ../README.md says
# what they are. Layers whose recipe hasn't changed since they were built are left as they are.
set -euo pipefail
umask 022

here=$(cd "$(dirname "$0")" && pwd)
images=${SKIFF_IMAGES:-$here/../../../target/images}
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
declare -A platform=([arm64]=manylinux2014_aarch64 [armhf]=manylinux2014_armv7l)
# When the images say that they were made.
declare -A date=([base]=2024-10-01 [old]=2024-10-01 [new]=2025-02-01)
# What report.py needs, and a base that is a Debian. ssl and hashlib need libssl3, pydantic-core libgcc-s1.
packages=(
    base-files libc6 libgcc-s1 zlib1g libexpat1 libssl3
    libpython3.11-minimal libpython3.11-stdlib python3.11-minimal
)
# Documents, the character sets of iconv, and the tests and help texts of Python.
unwanted=(
    './usr/share/*' './usr/lib/*/gconv' './usr/lib/python3.11/test' './usr/lib/python3.11/pydoc_data'
    './usr/lib/python3.11/lib-dynload/_test*'
)

say() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }
fail() {
    printf 'tests/images/gateway/build.sh: %s\n' "$*" >&2
    exit 1
}

# Names what an architecture's layers are built from.
stamp() {
    (cd "$here" && find . -type f -print0 | sort -z | xargs -0 sha256sum) |
        cat - <(echo "$codename $1") | sha256sum | cut -d' ' -f1
}

# pack DIRECTORY TAR OPTION...: the same tree gives the same bytes, whoever packs it and when.
pack() {
    local directory=$1 tar=$2
    shift 2
    (cd "$directory" && tar --create --sort=name --format=gnu --numeric-owner --owner=0 --group=0 "$@" -- *) >"$tar"
}

# Debian packages, unpacked as they are; /bin, /lib and /sbin are links, as in every Debian 12.
make_base() {
    local architecture=$1 partial=$2 root=$2/base name file files
    for name in bin lib sbin; do
        mkdir -p "$root/usr/$name"
        ln -s "usr/$name" "$root/$name"
    done
    files=$("$here/../../../cross/debian.sh" - "${packages[@]/%/:$architecture}")
    while read -r file; do
        dpkg-deb --fsys-tarfile "$file" |
            tar --extract --directory "$root" --preserve-permissions --no-same-owner --keep-directory-symlink \
                "${unwanted[@]/#/--exclude=}"
    done <<<"$files"
    pack "$root" "$partial/base.tar" --mtime="${date[base]} UTC" --clamp-mtime
}

# pip only unpacks the wheels: whether they are the pinned ones it sees from their digests.
make_application() {
    local architecture=$1 partial=$2 tag=$3 root=$2/$3
    mkdir -p "$root/srv/gateway"
    if ! PIP_ROOT_USER_ACTION=ignore pip3 install --require-hashes --requirement "$here/$tag/requirements.txt" \
        --no-deps --only-binary=:all: --no-compile --platform "${platform[$architecture]}" \
        --implementation cp --python-version 3.11 \
        --target "$root/usr/local/lib/python3.11/dist-packages" >"$partial/pip.log" 2>&1; then
        tail -n 20 "$partial/pip.log" >&2
        fail "pip could not get the packages of $tag/requirements.txt for $architecture; the lines above say why"
    fi
    cp "$here/$tag/report.py" "$here/readings.json" "$root/srv/gateway"
    chmod -R u=rwX,go=rX "$root"
    pack "$root" "$partial/$tag.tar" --mtime="${date[$tag]} UTC"
}

make_layers() {
    local architecture=$1 pair=gateway-$1 partial=$images/.gateway/$1 kept=$images/gateway-$1 tag
    say "$pair: unpacking Debian and Python packages"
    rm -rf "$partial"
    mkdir -p "$partial"
    make_base "$architecture" "$partial"
    for tag in old new; do make_application "$architecture" "$partial" "$tag"; done
    rm -rf "$partial"/{base,old,new,pip.log}
    stamp "$architecture" >"$partial/recipe.sha256"
    rm -rf "$kept"
    mv "$partial" "$kept"
    say "$pair: done, $(du -sh "$kept" | cut -f1) in $kept"
}

architectures=("$@")
(($#)) || architectures=(arm64 armhf)
for architecture in "${architectures[@]}"; do
    [[ -n ${platform[$architecture]:-} ]] || fail "there is no gateway for $architecture; there are ${!platform[*]}"
done
[[ $codename == bookworm ]] ||
    fail "the gateway stands on Debian 12 (bookworm), whose packages this machine's apt doesn't have; build there and copy $images"
mkdir -p "$images/.gateway"
images=$(cd "$images" && pwd)

# Whoever comes second waits, and finds the layers built.
exec 9>"$images/.gateway/.lock"
flock 9

for architecture in "${architectures[@]}"; do
    if [[ $(cat "$images/gateway-$architecture/recipe.sha256" 2>/dev/null) == "$(stamp "$architecture")" ]]; then
        say "gateway-$architecture: built already"
        continue
    fi
    command -v pip3 >/dev/null || fail "pip3 is missing; run tests/install.sh"
    make_layers "$architecture"
done
