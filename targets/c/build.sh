#!/bin/sh
# Usage: build.sh OUTPUT-DIR
# Builds the C client, the fixture and the witness.
set -eu
here=$(dirname "$0")
output=$1
. "$here/flags.sh"
sh "$here/build-support.sh" "$output"
generated=$(mktemp -d)
trap 'rm -rf "$generated"' EXIT
sh "$here/loads.sh" >"$generated/loads.h"
${CC:-gcc} $flags -I "$generated" -o "$output/probe" \
    "$here/probe.c" "$here/callback.c" "$here/static_area.c" "$here/zero_copy.c" \
    "$here/messaging.c" "$here/binding.c" -L "$output" -lzmfixture -lzmq -Wl,-rpath,'$ORIGIN'
