#!/bin/bash
# run.sh [OPTIONS] [COMMAND [ARGUMENT...]]: boots an emulated device.
#
# Without a command: a shell on the device; its end, or Ctrl-A X, turns the device off. With one: runs
# it on the device, prints what it says, and ends with its exit code.
#
#   --device arm64|armv7     which device (arm64)
#   --kernel old|new         Debian's kernel, or the one of its backports (old)
#   --disk FILE|nbd:SOCKET   the disk, made if there is no such file; without it changes are forgotten
#   --programs DIRECTORY     its files stand in /programs, first in PATH (target/cross/TRIPLE: skiff)
#   --clock SECONDS          what the device takes for the time, since 1970 (the host's; 0 is a device
#                            without a clock)
#   --serial FILE            where the kernel's messages go, with a command (target/qemu/serial.log)
#   --time-limit SECONDS     of a command (600)
#   --control SOCKET         for a harness: connects the control port (guest/etc/init.d/session says
#                            what is spoken) to this listening socket, instead of a command
#
# The host is 10.0.2.2 for the device. Exit codes of its own: 2 usage, 124 time limit, 125 the device ended
# before the command did.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
target=$(cd "$here/.." && pwd)/target

fail() {
    printf 'qemu/run.sh: %s\n' "$*" >&2
    exit 2
}

. "$here/devices.sh"

device=arm64 kernel=old disk='' programs='' clock='' serial=$target/qemu/serial.log limit=600 control=''
while (($#)); do
    case $1 in
        --device | --kernel | --disk | --programs | --clock | --serial | --control | --time-limit)
            (($# >= 2)) || fail "$1 wants a value"
            option=${1#--}
            [[ $option == time-limit ]] && option=limit
            printf -v "$option" %s "$2"
            shift 2
            ;;
        --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit ;;
        --*) fail "unknown option $1; --help says what there is" ;;
        *) break ;;
    esac
done
device "$device"
kernel "$kernel"
"$here/build.sh" "$device/$kernel" >&2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

root=$target/qemu/$device/root.ext4
drives=()
case $disk in
    '') drives+=(-drive "if=none,id=root,file=$root,format=raw,snapshot=on") ;;
    nbd:*) drives+=(-blockdev "driver=nbd,node-name=root,server.type=unix,server.path=${disk#nbd:},discard=unmap") ;;
    *)
        [[ -e $disk ]] || cp --sparse=always "$root" "$disk"
        drives+=(-drive "if=none,id=root,file=$disk,format=raw,discard=unmap")
        ;;
esac
: "${programs:=$target/cross/$triple}"
[[ -d $programs ]] || fail "there is no $programs; run make cross, or say --programs"
# Whoever reads it opens it before this directory goes.
tar --create --file "$work/programs" --directory "$programs" --owner 0 --group 0 .
exec 8<"$work/programs"
drives+=(-drive "if=none,id=programs,file=/dev/fd/8,format=raw,readonly=on")

# shellcheck disable=SC2206 # the emulator and its arguments
emulator=($system -machine virt -accel tcg,thread=multi -smp 2 -nodefaults -no-user-config -no-reboot
    -display none -global virtio-mmio.force-legacy=false
    -kernel "$target/qemu/$device-$kernel/vmlinuz" -initrd "$target/qemu/$device-$kernel/initramfs"
    "${drives[@]}"
    -device virtio-blk-device,drive=root,serial=root
    -device virtio-blk-device,drive=programs,serial=programs
    -rtc "base=$(date -u -d "@${clock:-$(date +%s)}" +%FT%T),clock=vm"
    -netdev user,id=net -device virtio-net-device,netdev=net)
line="console=ttyAMA0 panic=-1 $line"
port=(-device virtio-serial-device -device virtserialport,chardev=control,name=control)

if [[ -n $control ]]; then
    rm -rf "$work"
    exec "${emulator[@]}" -append "$line" -serial "file:$serial" \
        -chardev "socket,id=control,path=$control" "${port[@]}"
elif (($# == 0)); then
    "${emulator[@]}" -append "$line quiet" -serial mon:stdio
else
    mkfifo "$work/port.in" "$work/port.out"
    # Both ends are held open here, so that neither side waits for the other one's opening.
    exec 5<>"$work/port.in" 6<>"$work/port.out"
    # The command, and then the end.
    for text in "$(printf '%q ' "$@")" poweroff; do
        base64 --wrap 0 <<<"$text"
        echo
    done >&5
    cat "$work/port.out" >"$work/answer" 5>&- 6>&- &
    status=0
    timeout --signal KILL "$limit" "${emulator[@]}" -append "$line" -serial "file:$serial" \
        -chardev "pipe,id=control,path=$work/port" "${port[@]}" </dev/null || status=$?
    exec 6>&-
    wait
    exec 7<"$work/answer"
    # The port's greeting, then the command's answer.
    if read -r _ && read -r code length; then
        head --bytes "$length"
        exit "$code"
    fi <&7
    tail -n 20 "$serial" >&2
    ((status == 137)) && echo "qemu/run.sh: not done in $limit seconds; the end of $serial is above" >&2 && exit 124
    echo "qemu/run.sh: the device ended first; the end of $serial is above" >&2
    exit 125
fi
