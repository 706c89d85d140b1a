#!/bin/bash
# programs.sh: builds what the tests run on emulated devices, besides `make cross`'s agents: the
# comparer, the ways to open cold files, and the programs compiled from C that these need
# (target/cross/tests), and an agent that syncs nothing, which the power-cut test must catch
# (target/cross/without-sync).
set -euo pipefail
cd "$(dirname "$0")/.."

arm64=aarch64-unknown-linux-musl
armv7=armv7-unknown-linux-musleabihf
cross/build.sh --package skiff-compare --bin skiff-compare --output target/cross/tests $arm64 $armv7
cross/build.sh --package skiff-cold --bin skiff-cold --output target/cross/tests $arm64 $armv7
tests/programs/build.sh $arm64 $armv7
cross/build.sh --features without-sync --output target/cross/without-sync $arm64
cross/build.sh $arm64 $armv7
