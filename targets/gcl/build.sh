#!/bin/sh
# Usage: build.sh OUTPUT-DIR, in the module's root. Writes the probe's image and
# the C libraries there, and nothing anywhere else; and the names of the Debian
# packages that have the libraries under the image.
set -eu
mkdir -p "$1"
output=$(cd "$1" && pwd)
sh targets/c/build-support.sh "$output"
sh targets/lisp/build-lock.sh "$output"

ZMQMATRIX_CACHE=$(mktemp -d)
trap 'rm -rf "$ZMQMATRIX_CACHE"' EXIT
export ZMQMATRIX_CACHE
export ZMQMATRIX_TARGET=gcl
export ZMQMATRIX_FOREIGN=gcl
export ZMQMATRIX_BINDING=native
export PROBE_IMAGE="$output/probe"
# The ANSI one of the package's images.
export GCL_ANSI=t

# The command, which is the package's name, too: gcl, or gcl27 for 2.7.
"${GCL:-gcl}" -batch -load targets/gcl/load.lisp </dev/null
# An image that can't start would look like a client that crashes. That of the unit
# tests would run them.
if [ -z "${PROBE_TESTS:-}" ]; then
  "$output/probe" --version
fi

# By the file's name alone: the package may know it below /usr/lib, the loader
# below /lib. dpkg tells of the diversions that moved a file from one to the other, too.
ldd "$output/probe" | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | while read -r library; do
  dpkg -S "*/$(basename "$(readlink -f "$library")")"
done | grep -v '^diversion by ' | cut -d: -f1 | sort -u >"$output/libraries"
