#!/bin/bash
# run.sh [PART...]: all tests, part by part, or only these parts, each with its seconds beside its
# budget. The first part that fails ends the run: its own words are the last ones.
set -euo pipefail
cd "$(dirname "$0")/.."

part() { # NAME BUDGET-SECONDS COMMAND...
    local name=$1 budget=$2 from=$SECONDS
    shift 2
    [[ -z $chosen || " $chosen " == *" $name "* ]] || return 0
    echo "== $name"
    "$@" || { echo "== $name failed after $((SECONDS - from)) s" >&2; exit 1; }
    summary+="$(printf '%-12s %5d s of %5d' "$name" $((SECONDS - from)) "$budget")"$'\n'
    ((SECONDS - from <= budget)) || summary+="             (over its budget)"$'\n'
}

chosen=$*
summary=
part install 120 tests/install.sh
part build 600 make --no-print-directory build
part lint 420 make --no-print-directory lint
part deny 420 make --no-print-directory deny
part unit 420 make --no-print-directory unit
part database 240 cargo test --release --locked -p skiff-tests --test database
part notify 60 cargo test --release --locked -p skiff-tests --test notify
part images 420 tests/images/build.sh
part cross 600 make --no-print-directory cross
part compare 30 cargo test --release --locked -p skiff-compare -p skiff-linkem
part stock 60 cargo test --release --locked -p skiff-tests --lib --test stock
part on-the-fly 120 cargo test --release --locked -p skiff-tests --test on_the_fly -- --nocapture
part hard 240 cargo test --release --locked -p skiff-tests --test hard
part hostile 30 cargo test --release --locked -p skiff-tests --test hostile
part scripted 120 cargo test --release --locked -p skiff-tests --test scripted
part applications 360 cargo test --release --locked -p skiff-tests --test applications -- --nocapture
part reroot 120 cargo test --release --locked -p skiff-tests --test reroot
part local 60 cargo test --release --locked -p skiff-tests --test local_sources
part memory 90 cargo test --release --locked -p skiff-tests --test accelerator_memory -- --nocapture
part bad-input 60 cargo test --release --locked -p skiff-tests --test bad_input
part link 60 cargo test --release --locked -p skiff-tests --test link
part real 360 cargo test --release --locked -p skiff-tests --test real -- --nocapture
part trace 120 cargo test --release --locked -p skiff-tests --test trace
part programs 120 tests/programs.sh
part qemu 240 qemu/build.sh
part device 360 cargo test --release --locked -p skiff-tests --test device -- --nocapture
part power-cut 300 cargo test --release --locked -p skiff-tests --test power_cut -- --nocapture
printf '\n%s' "$summary"
