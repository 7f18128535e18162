#!/bin/sh
# Usage: build.sh OUTPUT-DIR
# Builds the C client, the fixture and the witness.
set -eu
here=$(dirname "$0")
output=$1
sh "$here/build-support.sh" "$output"
${CC:-gcc} -std=gnu11 -O2 -g -Wall -Wextra -Werror -pthread -o "$output/probe" \
    "$here/probe.c" "$here/callback.c" "$here/static_area.c" "$here/zero_copy.c" \
    "$here/messaging.c" -L "$output" -lzmfixture -lzmq -Wl,-rpath,'$ORIGIN'
