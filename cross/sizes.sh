#!/bin/bash
# sizes.sh [TRIPLE]: where the agent's bytes are, by crate (for aarch64, if no machine is named).
#
# They are read from the symbols of a build that is not stripped. Generic code of the standard library is
# counted for the crate that it was made for. Constants have no symbols: what is left of the file is them, mostly.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
triple=${1:-aarch64-unknown-linux-musl}
cross=$here/../target/cross
"$here/build.sh" "$triple" >&2
"$here/build.sh" --symbols --output "$cross/symbols" "$triple" >&2

nm --radix=d --print-size --size-sort "$cross/symbols/$triple/skiff" |
    awk '$3 !~ /[bB]/ && !seen[$1]++ {print $2 + 0, $4}' |
    c++filt |
    awk -v file="$(stat --format %s "$cross/$triple/skiff")" '{
        bytes = $1
        $1 = crate = ""
        while (crate ~ /^(core|alloc|std|)$/ && match($0, /[A-Za-z_][A-Za-z_0-9]*\[[0-9a-f]+\]/)) {
            crate = substr($0, RSTART, RLENGTH)
            sub(/\[.*/, "", crate)
            $0 = substr($0, RSTART + RLENGTH)
        }
        if (crate ~ /^(core|alloc|std)$/) crate = "(standard library)"
        if (crate == "") crate = /OUTLINED/ ? "(pieces that several functions share)" : "(C library)"
        sum[crate] += bytes
        file -= bytes
    }
    END {
        sum["(constants and headers)"] = file
        for (crate in sum) printf "%8d  %s\n", sum[crate], crate
    }' |
    sort --numeric-sort --reverse
