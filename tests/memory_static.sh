#!/bin/bash
# memory_static.sh: the tests of the agent's memory, with the static build for this machine.
set -euo pipefail
cd "$(dirname "$0")/.."
triple=$(uname -m)-unknown-linux-musl
SKIFF_BIN=$PWD/target/cross/$triple/skiff
[[ -x $SKIFF_BIN ]] || { echo "memory_static.sh: no $SKIFF_BIN; make cross builds it" >&2; exit 2; }
export SKIFF_BIN
cargo test --release --locked -p skiff-tests --test lazy_real -- --nocapture memory
cargo test --release --locked -p skiff-tests --test real -- --nocapture memory
