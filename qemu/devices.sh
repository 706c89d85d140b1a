# The emulated devices; sourced by the other scripts. `device NAME` sets what they differ in, and `kernel NAME` after it what
# its kernels differ in.

device() {
    case $1 in
        arm64) # A Raspberry Pi 3 or 4 with containerd. Such processors need no tables of pages for the kernel alone, but with a
            # random place for the kernel Linux makes them, and the emulator forgets all pages at each change to them: every
            # system call takes several times as long.
            architecture=arm64 old=arm64 new=arm64 line=kpti=off triple=aarch64-unknown-linux-musl
            system="qemu-system-aarch64 -cpu cortex-a72 -m 512" user=qemu-aarch64-static
            packages=(busybox-static libc6 libseccomp2 containerd runc)
            ;;
        armv7) # A small gateway without containerd: 256 MiB. Debian has two kernels for it. That for large memory changes no domains
            # in system calls, which makes the emulator forget all pages, too; 6.12's does as much in another way.
            architecture=armhf old=armmp-lpae new=armmp line= triple=armv7-unknown-linux-musleabihf
            system="qemu-system-arm -cpu cortex-a15 -m 256" user=qemu-arm-static
            packages=(busybox-static)
            ;;
        *) fail "there is no device '$1'; there are: arm64, armv7" ;;
    esac
}

# Sets the suite that a kernel comes from, as cross/debian.sh takes it, and for which machine it is.
kernel() {
    local codename
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    case $1 in
        old) suite=$codename machine=$old ;;           # Debian 12: 6.1
        new) suite=$codename-backports machine=$new ;; # 6.12
        *) fail "there is no kernel '$1'; there are: old, new" ;;
    esac
}
