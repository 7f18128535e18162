#!/bin/sh
# Usage: build.sh OUTPUT-DIR, in the module's root. Builds the witness, and puts
# the probe beside it, which was built before: $ZM_BIN/probe.
set -eu
output=$1
sh targets/c/build-support.sh "$output"
cp "$ZM_BIN/probe" "$output/probe"
