#!/bin/bash
# fuzz.sh [SECONDS [TARGET...]]: each target (all, if none is named) under libFuzzer for so long (600), with
# cargo-fuzz. Corpora stay in target/fuzz/corpus, findings in target/fuzz/findings.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-600}
shift || true

fail() { printf 'tests/fuzz/fuzz.sh: %s\n' "$*" >&2; exit 2; }
command -v cargo-fuzz >/dev/null ||
    fail 'there is no cargo-fuzz; install it: cargo install cargo-fuzz --locked'

fuzz=tests/fuzz/cargo
# The same versions of everything that both have.
cp Cargo.lock "$fuzz/Cargo.lock"
corpus() { cargo run --release --locked --quiet -p skiff-fuzz --example corpus -- "$@"; }
targets=("$@")
((${#targets[@]})) || mapfile -t targets < <(corpus)
for target in "${targets[@]}"; do
    corpus=target/fuzz/corpus/$target
    mkdir -p "$corpus" "target/fuzz/findings/$target"
    corpus "$target" "$corpus"
    # Without a sanitizer (there is no unsafe code of ours behind the targets) any compiler does; and a crate below
    # async-h1, rustix 0.37, does not build with nightly ones of 2026.
    cargo fuzz run --fuzz-dir "$fuzz" --target-dir target/fuzz/build --sanitizer none "$target" "$PWD/$corpus" -- \
        -max_total_time="$seconds" -max_len=65536 -timeout=60 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$PWD/target/fuzz/findings/$target/"
done
