#!/bin/bash
# run.sh [PART...]: all tests, part by part, or only these parts, each with its seconds beside its
# budget. The first part that fails ends the run: its own words are the last ones.
#
# What emulated devices do takes a third of the time, and needs nothing of the rest but what is built
# first. So it runs beside the rest, as the images are built beside the programs, where much waits for mirrors. What
# these say goes to target/CHAIN.log, and is printed at their end.
set -euo pipefail
cd "$(dirname "$0")/.."

# Whoever started this in the background may have had Ctrl-C ignored, and tests press it.
[[ -n ${SKIFF_SIGNALS:-} ]] || SKIFF_SIGNALS=default exec env --default-signal=INT,QUIT tests/run.sh "$@"

install() {
    part install 120 tests/install.sh
}

images() {
    part images 600 tests/images/build.sh
}

# All at once, and tests always of all packages: chosen alone, a package would have its dependencies built anew, with the features
# that it alone needs. The lock of target/ is held by one cargo at a time, so what runs side by side later finds its tests built.
programs() {
    part build 900 cargo build --release --locked --workspace --all-targets
}

run_tests() { cargo test --release --locked --workspace "$@"; }

# The programs that devices get. Whoever needs this machine's in the other chain waits for them.
static() { # TRIPLES
    make --no-print-directory cross "TRIPLES=$1" && touch "$work/static"
}

with_static() {
    while is_chosen cross && [[ ! -e $work/static ]]; do sleep 1; done
    SKIFF_BIN=$PWD/target/cross/$(uname -m)-unknown-linux-musl/skiff "$@"
}

devices() {
    # ARMv6 takes as long as two others, and no device here has it. `make test-long` builds it.
    local triples=${SKIFF_TRIPLES-aarch64-unknown-linux-musl armv7-unknown-linux-musleabihf x86_64-unknown-linux-musl}
    part cross 1200 static "$triples"
    part programs 300 tests/programs.sh
    part qemu 360 qemu/build.sh
    part device 900 run_tests --test device -- --nocapture
    part power-cut 450 run_tests --test power_cut -- --nocapture
}

rest() {
    part lint 600 make --no-print-directory lint
    part deny 600 make --no-print-directory deny
    part unit 300 run_tests --lib --test roundtrip --test script --test vectors --test ingest --test layer_gnu_tar --test registry --test serve
    part database 360 run_tests --test database
    part notify 60 run_tests --test notify
    part compare 60 run_tests --test program
    part stock 90 run_tests --test stock
    part on-the-fly 180 run_tests --test on_the_fly -- --nocapture
    part round-trips 90 run_tests --test round_trips -- --nocapture
    part hard 360 run_tests --test hard
    part fuzz 90 run_tests --test targets
    part patches 120 run_tests --test patches -- --nocapture
    part hostile 60 run_tests --test hostile
    part security 120 run_tests --test security
    part signed 90 run_tests --test signed
    part proxies 120 run_tests --test proxies
    part scripted 180 run_tests --test scripted
    part applications 300 run_tests --test applications -- --nocapture
    part reroot 180 run_tests --test reroot
    part updates 60 run_tests --test updates
    part joint 120 run_tests --test joint
    part local 90 run_tests --test local_sources
    part memory 150 run_tests --test accelerator_memory -- --nocapture
    part bad-input 90 run_tests --test bad_input
    part resume 120 run_tests --test resume
    part verify 240 run_tests --test verify
    part killed 120 run_tests --test killed -- --nocapture
    part link 90 run_tests --test link
    part trace 240 run_tests --test trace
    # Devices get done later, and leave half of a machine idle.
    part real 540 with_static run_tests --test real -- --nocapture
}

# What has to have the machine for itself: files that must still be cold when something happens.
last() {
    part lazy 240 run_tests --test lazy
    part lazy-cases 180 run_tests --test lazy_cases -- --nocapture
    part lazy-real 360 with_static run_tests --test lazy_real -- --nocapture
}

chosen=$*
is_chosen() { [[ -z $chosen || " $chosen " == *" $1 "* ]]; }

# Sets `spent` to the seconds of processors that what has ended has taken. (A subshell would not know.)
look() {
    local file=$work/times-$BASHPID
    times >"$file"
    spent=$(awk -F '[ms ]+' 'NR == 2 {printf "%d", $1 * 60 + $2 + $3 * 60 + $4}' "$file")
}

part() { # NAME BUDGET-SECONDS COMMAND...
    local name=$1 budget=$2 from=$SECONDS spent before
    shift 2
    is_chosen "$name" || return 0
    look
    before=$spent
    echo "== $name, $SECONDS s after the start"
    "$@" || { echo "== $name failed after $((SECONDS - from)) s" >&2; exit 1; }
    look
    printf '%-12s %5d s of %5d; %5d s of processors\n' "$name" $((SECONDS - from)) "$budget" $((spent - before)) >>"$summary"
    ((SECONDS - from <= budget)) || echo '             (over its budget)' >>"$summary"
}

# The parts of some chains, without running them.
names() { (part() { echo "$1"; }; for chain in "$@"; do "$chain"; done); }
has_chosen() { local name; for name in $(names "$1"); do is_chosen "$name" && return; done; return 1; }

known=$(names install images programs devices rest last)
for name in "$@"; do
    grep -qxF -e "$name" <<<"$known" ||
        { echo "tests/run.sh: no part $name; there are:" $known >&2; exit 2; }
done

# What no part runs can not fail. (`make bench` and `make demo` run the two that their names say.)
for file in */tests/{*.rs,*/main.rs} */*/tests/*.rs; do
    name=${file%/main.rs} name=${name##*/} name=${name%.rs}
    [[ $name == @(bench|demo) ]] || grep -qw -e "--test $name" tests/run.sh ||
        { echo "tests/run.sh: no part runs $file: add it to one" >&2; exit 2; }
done

mkdir -p target
work=$(mktemp -d)
summary=$work/summary
touch "$summary"
trap 'rm -rf "$work"' EXIT
# Runs two chains side by side; the first one's words go to target/CHAIN.log meanwhile.
beside() { # CHAIN CHAIN
    if ! has_chosen "$1" || ! has_chosen "$2"; then
        "$1"
        "$2"
        return
    fi
    local log=$PWD/target/$1.log one other ended status=0
    # Each has a process group of its own, so that it can be ended as a whole.
    set -m
    (set +m; summary=$work/summary-$1; "$1") >"$log" 2>&1 </dev/null &
    one=$!
    (set +m; summary=$work/summary-$2; "$2") </dev/null &
    other=$!
    set +m
    trap "end $one; end $other; wait; rm -rf '$work'" EXIT
    trap 'exit 130' INT TERM
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
    cat "$work/summary-$1" "$work/summary-$2" >>"$summary"
}
end() { kill -- "-$1" 2>/dev/null || true; }

install
beside images programs
beside devices rest
last
printf '\n'
cat "$summary"
printf '%-12s %5d s\n' 'in all' "$SECONDS"
