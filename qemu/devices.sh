# The emulated devices; sourced by the other scripts. `device NAME` sets what they differ in, then `kernel NAME` what kernels do.

device() {
    case $1 in
        arm64) # A Raspberry Pi 3 or 4 with containerd. Such processors need no tables of pages for the kernel alone, but with a
            # random place for the kernel Linux makes them, and the emulator forgets all pages at each change to them: a
            # system call takes eight times as long.
            architecture=arm64 machine=arm64 line="kpti=off" triple=aarch64-unknown-linux-musl
            system="qemu-system-aarch64 -cpu cortex-a72 -m 512" user=qemu-aarch64-static
            packages=(busybox-static libc6 libseccomp2 containerd runc)
            ;;
        armv7) # A small gateway without containerd: 256 MiB.
            architecture=armhf machine=armmp line='' triple=armv7-unknown-linux-musleabihf
            system="qemu-system-arm -cpu cortex-a15 -m 256" user=qemu-arm-static
            packages=(busybox-static)
            ;;
        *) fail "there is no device '$1'; there are: arm64, armv7" ;;
    esac
}

# Sets the suite that a kernel comes from, as cross/debian.sh takes it. Debian has two for ARMv7, for large memory and for any. With the old
# one for large memory system calls take an eighth of the time here.
kernel() {
    local codename
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    case $1 in
        old) suite=$codename machine=${machine/armmp/armmp-lpae} ;; # Debian 12: 6.1
        new) suite=$codename-backports ;;                           # 6.12
        *) fail "there is no kernel '$1'; there are: old, new" ;;
    esac
}
