#!/bin/sh
# Fails unless every loaded part of each ELF file begins on a page of 16 KB, as Android 15 asks for.
# Needs readelf (binutils).
set -eu
[ $# -gt 0 ] || { echo "usage: check-alignment.sh FILE.so..." >&2; exit 2; }
for file in "$@"; do
    alignments="$(readelf --program-headers --wide "$file" | awk '$1 == "LOAD" { print $NF }')"
    [ -n "$alignments" ] || { echo "$file has nothing to load" >&2; exit 1; }
    for alignment in $alignments; do
        if [ $((alignment % 16384)) -ne 0 ]; then
            echo "$file: a part is aligned to $alignment, not to 0x4000; link with -z max-page-size=16384" >&2
            exit 1
        fi
    done
    echo "$file: aligned to 16 KB"
done
