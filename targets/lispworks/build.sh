#!/bin/sh
# Usage: build.sh OUTPUT-DIR, in the module's root. Writes the probe's image and
# the two C libraries there, and nothing anywhere else.
#
# ZMQMATRIX_BINDING   binding of the probe: a file of targets/lisp/bindings
# ZMQMATRIX_SYSTEMS   its ASDF system, if it comes from elsewhere; else empty
# ZMQMATRIX_SOURCE    the folder with that system; else empty
set -eu
mkdir -p "$1"
output=$(cd "$1" && pwd)
sh targets/c/build-support.sh "$output"

ZMQMATRIX_CACHE=$(mktemp -d)
trap 'rm -rf "$ZMQMATRIX_CACHE"' EXIT
export ZMQMATRIX_CACHE
export ZMQMATRIX_TARGET=lispworks
export PROBE_IMAGE="$output/probe"
lispworks -init - -siteinit - -build targets/lispworks/deliver.lisp </dev/null
if ! [ -x "$output/probe" ]; then
  echo "lispworks delivered no probe" >&2
  exit 1
fi
