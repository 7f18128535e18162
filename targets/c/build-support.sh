#!/bin/sh
# Usage: build-support.sh OUTPUT-DIR
# Builds what probes of every language load: the fixture and the witness.
set -eu
here=$(dirname "$0")
output=$1
mkdir -p "$output"
. "$here/flags.sh"
flags="$flags -fPIC -shared"
${CC:-gcc} $flags -Wl,-soname,libzmfixture.so -o "$output/libzmfixture.so" "$here/fixture.c" -ldl
${CC:-gcc} $flags -Wl,-soname,libzmwitness.so -o "$output/libzmwitness.so" "$here/witness.c" -ldl
