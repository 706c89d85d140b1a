#!/bin/bash
# build.sh [PAIR...]: builds the image pairs of the tests as OCI layouts. README.md says what
# they are. A pair whose recipe hasn't changed since it was built is left as it is.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
images=${SKIFF_IMAGES:-$here/../../target/images}
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
all_pairs=(nginx mariadb node-red gateway-arm64 gateway-armhf)
pairs=("${@:-${all_pairs[@]}}")

say() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }
fail() {
    printf 'tests/images/build.sh: %s\n' "$*" >&2
    exit 1
}

# Names what a tag is built from; a change of any of it makes the built one stale.
stamp() {
    (cd "$here" && find build.sh base "$@" -type f -print0 | sort -z | xargs -0 sha256sum) |
        cat - <(echo "$codename $(dpkg --print-architecture)") | sha256sum | cut -d' ' -f1
}

# The lines that an old or a new base has in its sources.list: the machine's own mirrors.
deb_lines() {
    local suites=("$codename")
    [[ $1 == new ]] && suites+=("$codename-updates" "$codename-security")
    local suite uri release known
    for suite in "${suites[@]}"; do
        while read -r uri release known; do
            [[ $suite == "$release" || $suite == "$known" ]] || continue
            echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main"
        done < <(
            apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(CODENAME)' \
                'Identifier: Packages' 'Component: main' "Architecture: $(dpkg --print-architecture)"
        )
    done | sort -u
}

bud() {
    buildah --root "$work/storage/root" --runroot "$work/storage/run" \
        --storage-driver "${STORAGE_DRIVER:-overlay}" "$@"
}

# run LOG COMMAND...: a failure is told with the end of its log.
run() {
    local log=$work/logs/$1.log
    shift
    if ! "$@" >"$log" 2>&1 </dev/null; then
        printf -- '--- the end of %s:\n' "$log" >&2
        tail -n 20 "$log" >&2
        return 1
    fi
}

# each WHAT COMMAND...: COMMAND old and COMMAND new at once (there are two cores); both must do.
each() {
    local what=$1 job status=0
    shift
    local jobs=()
    "$@" old & jobs+=($!)
    "$@" new & jobs+=($!)
    for job in "${jobs[@]}"; do wait "$job" || status=1; done
    ((status == 0)) || fail "$what could not be built; the log above says why"
}

# The base's tarball outlives the run, so that pairs built later stand on the same layer.
make_base() {
    local tarball=$work/base-$1.tar.gz
    if [[ ! -e $tarball || $(cat "$tarball.stamp" 2>/dev/null) != "$base_stamp" ]]; then
        say "base ($1): installing Debian $codename"
        rm -f "$tarball"*
        deb_lines "$1" >"$work/base-$1.list"
        run "base-$1" make_tarball "$1" "$work/base-$1.partial.tar.gz"
        mv "$work/base-$1.partial.tar.gz" "$tarball"
        echo "$base_stamp" >"$tarball.stamp"
    fi
    mkdir -p "$work/context/base-$1"
    ln -f "$tarball" "$work/context/base-$1/base.tar.gz"
    run "base-$1-image" bud bud --quiet --isolation chroot --layers --tag "localhost/base:$1" \
        --file "$here/base/Dockerfile" "$work/context/base-$1"
}

make_tarball() { "$here/base/make.sh" "$2" "$codename" <"$work/base-$1.list"; }

# Says which Debian package versions apt has put into an image, as far as they bear its name.
versions() { sed -nE "s/^Setting up ($1(-server|js)?|nodejs) \(([^)]*)\).*/\1 \3/p" "$2" | paste -sd, -; }

make_image() {
    local pair=$1 tag=$2 context=$work/context/$1-$2 log=$1-$2
    say "$pair ($tag): building"
    cp -r "$here/$pair" "$context"
    if [[ -x $context/prepare.sh ]]; then
        (cd "$context" && run "$log-prepare" ./prepare.sh "$tag")
    fi
    run "$log" bud bud --isolation chroot --network host --layers --tag "localhost/$pair:$tag" \
        --build-arg BASE="localhost/base:$tag" "$context"
    rm -rf "$context"
    say "$pair ($tag): built, $(versions "$pair" "$work/logs/$log.log")"
}

make_pair() {
    local pair=$1 partial=$work/$1.partial
    each "$pair" make_image "$pair"
    say "$pair: compressing"
    local tag
    for tag in old new; do
        run "$pair-push" bud push --quiet --format oci --compression-format gzip \
            "localhost/$pair:$tag" "oci:$partial:$tag" || fail "$pair could not be written; the log above says why"
        bud rmi --force "localhost/$pair:$tag" >/dev/null
    done
    stamp "$pair" >"$partial/recipe.sha256"
    rm -rf "${images:?}/$pair"
    mv "$partial" "$images/$pair"
    say "$pair: done, $(du -sh "$images/$pair" | cut -f1) in $images/$pair"
}

cleanup() {
    local job
    for job in $(jobs -p); do kill -- "-$job" 2>/dev/null || true; done
    wait
    awk -v under="$work/" 'index($2, under) == 1 {print $2}' /proc/mounts | sort -r | xargs -r umount
    rm -rf "$work"/{storage,context,tmp,*.partial,*.partial.tar.gz,*.list}
}

for pair in "${pairs[@]}"; do
    [[ " ${all_pairs[*]} " == *" $pair "* ]] || fail "there is no pair $pair; there are ${all_pairs[*]}"
done
[[ -n $codename ]] || fail "this machine isn't a Debian (/etc/os-release has no VERSION_CODENAME); build on Debian and copy $images"
mkdir -p "$images"
images=$(cd "$images" && pwd)
work=$images/.work

# Whoever comes second waits, and finds the pairs built.
exec 9>"$images/.lock"
flock --nonblock 9 || { say "another build is under way; waiting for it" && flock 9; }

stale=()
for pair in "${pairs[@]}"; do
    if [[ $pair == gateway-* ]]; then
        # Made without running anything of theirs; it knows itself whether they are stale.
        SKIFF_IMAGES=$images "$here/gateway/build.sh" "${pair#gateway-}"
    elif [[ $(cat "$images/$pair/recipe.sha256" 2>/dev/null) == "$(stamp "$pair")" ]]; then
        say "$pair: built already"
    else
        stale+=("$pair")
    fi
done
((${#stale[@]})) || exit 0

((EUID == 0)) || fail "run it as root: images hold files of many owners"
for tool in buildah mmdebstrap npm; do
    [[ $tool == npm && " ${stale[*]} " != *" node-red "* ]] && continue
    command -v "$tool" >/dev/null || fail "$tool is missing; run tests/install.sh"
done
[[ -n $(deb_lines old) ]] || fail "apt knows no $codename release pocket on this machine; run apt-get update"
[[ $(deb_lines new) == *"$codename-security"* ]] ||
    fail "apt knows no $codename-security pocket on this machine, so no update would be found; add it to apt's sources"

set -m # each job has a process group of its own, which cleanup can end as a whole
trap cleanup EXIT
trap 'exit 130' INT TERM
mkdir -p "$work"/{logs,storage,context,tmp}
export TMPDIR=$work/tmp
base_stamp=$(stamp)
each "the base" make_base
for pair in "${stale[@]}"; do make_pair "$pair"; done
