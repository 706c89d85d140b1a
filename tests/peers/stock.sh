#!/bin/bash
# stock.sh prepare|pull|run|ready|stop: a peer for `make bench PARTS=figure`, as an example: containerd and `ctr` as Debian has them.
set -euo pipefail

socket=$SKIFF_DIRECTORY/containerd.sock
ctr() { command ctr --address "$socket" --namespace default "$@"; }
pull() { ctr images pull --plain-http --snapshotter overlayfs "$1" >/dev/null; }

case $1 in
    prepare)
        cat >"$SKIFF_DIRECTORY/config.toml" <<END
version = 2
root = "$SKIFF_DIRECTORY/root"
state = "$SKIFF_DIRECTORY/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$socket"
[ttrpc]
  address = "$socket.ttrpc"
END
        setsid containerd --config "$SKIFF_DIRECTORY/config.toml" >"$SKIFF_DIRECTORY/log" 2>&1 &
        echo $! >"$SKIFF_DIRECTORY/pid"
        until ctr version >/dev/null 2>&1; do sleep 0.1; done
        [[ -z $SKIFF_OLD ]] || pull "$SKIFF_OLD"
        ;;
    pull) pull "$SKIFF_NEW" ;;
    run) ctr run --detach --null-io --net-host --snapshotter overlayfs "$SKIFF_NEW" service ;;
    # A database greets whoever connects; others are asked.
    ready)
        # Until something listens there, bash would say each time that nothing does.
        exec 2>/dev/null
        exec 3<>"/dev/tcp/127.0.0.1/$SKIFF_PORT"
        printf 'GET / HTTP/1.0\r\n\r\n' >&3
        [[ -n $(timeout 2 head --bytes 1 <&3) ]]
        ;;
    stop)
        # Whatever is wrong with the container, the daemon must go: its directory is removed next.
        ctr task kill --signal SIGKILL service || true
        for _ in {1..50}; do
            ctr task rm service 2>/dev/null && break
            sleep 0.1
        done
        pid=$(<"$SKIFF_DIRECTORY/pid")
        kill "$pid"
        while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
        ;;
    *)
        echo "stock.sh: unknown phase $1" >&2
        exit 2
        ;;
esac
