# The emulated devices; sourced by the other scripts. `device NAME` sets what they differ in.

device() {
    case $1 in
        arm64) # A Raspberry Pi 3 or 4 with containerd.
            architecture=arm64 machine=arm64 triple=aarch64-unknown-linux-musl
            system="qemu-system-aarch64 -cpu cortex-a72 -m 512" user=qemu-aarch64-static
            packages=(busybox-static libc6 libseccomp2 containerd runc)
            ;;
        armv7) # A small gateway without containerd: 256 MiB.
            architecture=armhf machine=armmp triple=armv7-unknown-linux-musleabihf
            system="qemu-system-arm -cpu cortex-a15 -m 256" user=qemu-arm-static
            packages=(busybox-static)
            ;;
        *) fail "there is no device '$1'; there are: arm64, armv7" ;;
    esac
}

# Sets the suite that a kernel comes from, as cross/debian.sh takes it.
kernel() {
    local codename
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    case $1 in
        old) suite=$codename ;;           # Debian 12: 6.1
        new) suite=$codename-backports ;; # 6.12
        *) fail "there is no kernel '$1'; there are: old, new" ;;
    esac
}
