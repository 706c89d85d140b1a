#!/bin/bash
# run.sh [PART...]: all tests, part by part, or only these parts, each with its seconds beside its
# budget. The first part that fails ends the run: its own words are the last ones.
#
# What emulated devices do takes a third of the time, and needs nothing of the rest but what is built
# first. So it runs beside the rest; what it says goes to target/devices.log, and is printed at its end.
set -euo pipefail
cd "$(dirname "$0")/.."

# What the two below need. The lock of target/ is held by one cargo at a time, so both find their
# tests built.
first() {
    part install 120 tests/install.sh
    part build 600 make --no-print-directory build
    part build-tests 300 cargo test --release --locked -p skiff-tests --no-run
    part images 420 tests/images/build.sh
}

devices() {
    part cross 900 make --no-print-directory cross
    part programs 180 tests/programs.sh
    part qemu 360 qemu/build.sh
    part device 540 cargo test --release --locked -p skiff-tests --test device -- --nocapture
    part power-cut 450 cargo test --release --locked -p skiff-tests --test power_cut -- --nocapture
}

rest() {
    part lint 600 make --no-print-directory lint
    part deny 600 make --no-print-directory deny
    part unit 600 make --no-print-directory unit
    part database 360 cargo test --release --locked -p skiff-tests --test database
    part notify 60 cargo test --release --locked -p skiff-tests --test notify
    part compare 60 cargo test --release --locked -p skiff-compare -p skiff-linkem
    part stock 90 cargo test --release --locked -p skiff-tests --lib --test stock
    part on-the-fly 180 cargo test --release --locked -p skiff-tests --test on_the_fly -- --nocapture
    part round-trips 90 cargo test --release --locked -p skiff-tests --test round_trips -- --nocapture
    part hard 360 cargo test --release --locked -p skiff-tests --test hard
    part fuzz 90 cargo test --release --locked -p skiff-fuzz
    part hostile 60 cargo test --release --locked -p skiff-tests --test hostile
    part security 120 cargo test --release --locked -p skiff-tests --test security
    part signed 90 cargo test --release --locked -p skiff-tests --test signed
    part proxies 120 cargo test --release --locked -p skiff-tests --test proxies
    part scripted 180 cargo test --release --locked -p skiff-tests --test scripted
    part applications 300 cargo test --release --locked -p skiff-tests --test applications -- --nocapture
    part reroot 180 cargo test --release --locked -p skiff-tests --test reroot
    part joint 120 cargo test --release --locked -p skiff-tests --test joint
    part local 90 cargo test --release --locked -p skiff-tests --test local_sources
    part memory 150 cargo test --release --locked -p skiff-tests --test accelerator_memory -- --nocapture
    part bad-input 90 cargo test --release --locked -p skiff-tests --test bad_input
    part resume 90 cargo test --release --locked -p skiff-tests --test resume
    part verify 240 cargo test --release --locked -p skiff-tests --test verify
    part killed 120 cargo test --release --locked -p skiff-tests --test killed -- --nocapture
    part link 90 cargo test --release --locked -p skiff-tests --test link
    part real 540 cargo test --release --locked -p skiff-tests --test real -- --nocapture
    part trace 180 cargo test --release --locked -p skiff-tests --test trace
    part lazy 120 cargo test --release --locked -p skiff-tests --test lazy
    part lazy-cases 180 cargo test --release --locked -p skiff-tests --test lazy_cases -- --nocapture
    part lazy-real 240 cargo test --release --locked -p skiff-tests --test lazy_real -- --nocapture
}

# The memory of the program that devices get. It needs the cross build, and the machine's one setting for leases.
last() {
    part memory-static 180 tests/memory_static.sh
}

chosen=$*
is_chosen() { [[ -z $chosen || " $chosen " == *" $1 "* ]]; }

part() { # NAME BUDGET-SECONDS COMMAND...
    local name=$1 budget=$2 from=$SECONDS
    shift 2
    is_chosen "$name" || return 0
    echo "== $name"
    "$@" || { echo "== $name failed after $((SECONDS - from)) s" >&2; exit 1; }
    printf '%-12s %5d s of %5d\n' "$name" $((SECONDS - from)) "$budget" >>"$summary"
    ((SECONDS - from <= budget)) || echo '             (over its budget)' >>"$summary"
}

# The parts of some chains, without running them.
names() { (part() { echo "$1"; }; for chain in "$@"; do "$chain"; done); }
has_chosen() { local name; for name in $(names "$1"); do is_chosen "$name" && return; done; return 1; }

known=$(names first devices rest last)
for name in "$@"; do
    grep -qxF -e "$name" <<<"$known" ||
        { echo "tests/run.sh: no part $name; there are:" $known >&2; exit 2; }
done

mkdir -p target
work=$(mktemp -d)
summary=$work/1
trap 'rm -rf "$work"' EXIT
first
if has_chosen devices && has_chosen rest; then
    log=$PWD/target/devices.log
    # Each has a process group of its own, so that it can be ended as a whole.
    set -m
    (set +m; summary=$work/3; devices) >"$log" 2>&1 </dev/null &
    one=$!
    (set +m; summary=$work/2; rest) </dev/null &
    other=$!
    set +m
    end() { kill -- "-$1" 2>/dev/null || true; }
    trap 'end "$one"; end "$other"; wait; rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM
    status=0
    wait -n -p ended "$one" "$other" || status=$?
    if ((status == 0)); then
        ended=$((ended == one ? other : one))
        wait "$ended" || status=$?
    fi
    if ((status)); then
        end "$((ended == one ? other : one))"
        wait
        ((ended == other)) || cat "$log" >&2
        exit "$status"
    fi
    trap 'rm -rf "$work"' EXIT
    cat "$log"
else
    devices
    rest
fi
last
printf '\n'
cat "$work"/[0-9]
printf '%-12s %5d s\n' 'in all' "$SECONDS"
