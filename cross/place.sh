#!/bin/bash
# place.sh DIRECTORY FILE...: makes the directory where rustc looks for a machine's C library, with these files of it.
#
# Objects for rustc's link line that are linker scripts are there, too: nothing is in the first two. Nothing unwinds in these
# programs, but std::backtrace names an unwinder: its entry goes to a function that returns at once, without calling
# back, and so a backtrace is empty; the others are never called.
set -euo pipefail

directory=$1
shift
mkdir -p "$directory"
cp "$@" "$directory"
echo '/* nothing */' | tee "$directory"/crt{begin,end}.o >/dev/null
for symbol in Backtrace FindEnclosingFunction GetCFA GetIP VRS_Get; do
    echo "PROVIDE(_Unwind_$symbol = getpid);"
done >"$directory/libunwind.a"
