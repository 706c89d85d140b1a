#!/bin/bash
# build.sh [DEVICE[/KERNEL]...]: builds what emulated devices boot from, in target/qemu, from Debian's
# packages. Devices: arm64, armv7; kernels: old, new. Without arguments all of them. What is built
# already from these scripts is kept.
#
#   target/qemu/DEVICE-KERNEL/{vmlinuz,initramfs}
#   target/qemu/DEVICE/root.ext4
#
# Needs no root; without it all files of the device belong to whoever has built it.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
built=$here/../target/qemu
PATH=$PATH:/usr/sbin:/sbin
# The root file system: the device can write so much. It is a sparse file.
size=2G
# What the kernel's packages have as modules and the device needs, in the initramfs.
modules=(virtio_mmio virtio_blk virtio_net virtio_console ext4 overlay)

fail() {
    printf 'qemu/build.sh: %s\n' "$*" >&2
    exit 1
}

. "$here/devices.sh"

say() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }

# make_directory DIRECTORY COMMAND...: COMMAND fills a new directory, which then takes DIRECTORY's place.
make_directory() {
    local directory=$1
    shift
    [[ $(cat "$directory/recipe.sha256" 2>/dev/null) != "$recipe" ]] || return 0
    work=$directory.partial
    rm -rf "$work"
    mkdir -p "$work"
    "$@"
    echo "$recipe" >"$work/recipe.sha256"
    rm -rf "$directory"
    mv "$work" "$directory"
    say "${directory##*/}: built, $(du -sh "$directory" | cut -f1)"
}

make_kernel() {
    local meta package deb version
    meta=$("$here/../cross/debian.sh" - "linux-image-$machine:$architecture/$suite")
    package=$(dpkg-deb --field "$meta" Depends | grep -o 'linux-image-[^ ,]*' | head -n 1)
    deb=$("$here/../cross/debian.sh" - "$package:$architecture/$suite")
    version=${package#linux-image-}
    mkdir "$work/package"
    dpkg-deb --fsys-tarfile "$deb" | tar --extract --directory "$work/package" --exclude './usr/share'
    cp "$work/package/boot/vmlinuz-$version" "$work/vmlinuz"
    make_initramfs "$version"
    rm -rf "$work/package"
    say "kernel $version for $name"
}

# Modules in the order of loading, uncompressed, since busybox doesn't know xz.
make_initramfs() {
    local version=$1 module path file root=$work/initramfs.d
    mkdir -p "$root"/{bin,dev,proc,sys,new,modules}
    cp "$built/$name/busybox" "$root/bin/busybox"
    install -m 755 "$here/guest/init" "$root/init"
    depmod --basedir "$work/package" "$version" || fail "depmod doesn't understand the modules of $version"
    for module in "${modules[@]}"; do
        modprobe --dirname "$work/package" --set-version "$version" --show-depends "$module" ||
            fail "the kernel $version has no module $module"
    done | awk '$1 == "insmod" && !seen[$2]++ {print $2}' >"$work/order"
    while read -r path; do
        file=${path##*/}
        case $path in
            *.xz) xz --decompress --stdout "$path" >"$root/modules/${file%.xz}" ;;
            *) cp "$path" "$root/modules/$file" ;;
        esac
        echo "${file%.xz}" >>"$root/modules/order"
    done <"$work/order"
    (cd "$root" && find . -print0 | sort -z | cpio --quiet --null --create --format newc --owner 0:0) |
        gzip -1 >"$work/initramfs"
    rm -rf "$root" "$work/order"
}

make_root() {
    local root=$work/root applet
    mkdir -p "$root"/{bin,sbin,dev,proc,sys,run,tmp,root,etc,var/lib,programs}
    "$here/../cross/debian.sh" "$root" "${packages[@]/%/:$architecture}"
    rm -rf "$root"/usr/share/{doc,man,lintian,bash-completion,locale,zsh,fish} "$root/usr/lib/systemd" "$root/lib/systemd"
    cp "$root/bin/busybox" "$work/busybox"
    for applet in $("$user" "$root/bin/busybox" --list); do
        [[ -e $root/bin/$applet || -e $root/usr/bin/$applet || -e $root/usr/sbin/$applet ]] ||
            ln -s busybox "$root/bin/$applet"
    done
    ln -s ../bin/busybox "$root/sbin/init"
    cp -r "$here/guest/etc/." "$root/etc/"
    truncate --size "$size" "$work/root.ext4"
    mke2fs -q -F -t ext4 -d "$root" -L root -N 131072 -E lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0 \
        "$work/root.ext4"
    rm -rf "$root"
}

devices=("$@")
((${#devices[@]})) || devices=(arm64/old arm64/new armv7/old armv7/new)
"$here/install.sh"
mkdir -p "$built"
built=$(cd "$built" && pwd)
exec 9>"$built/.lock"
flock 9
recipe=$(cd "$here" && find build.sh devices.sh guest -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)
for device in "${devices[@]}"; do
    name=${device%%/*}
    device "$name"
    make_directory "$built/$name" make_root
    [[ $device == */* ]] || continue
    kernel "${device#*/}"
    make_directory "$built/$name-${device#*/}" make_kernel
done
