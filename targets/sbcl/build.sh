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
export ZMQMATRIX_TARGET=sbcl
export PROBE_IMAGE="$output/probe"

# :save-runtime-options keeps the runtime from interpreting the command line.
sbcl --noinform --no-sysinit --no-userinit --non-interactive \
     --load targets/lisp/load.lisp \
     --eval '(sb-ext:save-lisp-and-die (sb-ext:posix-getenv "PROBE_IMAGE")
               :executable t :save-runtime-options t
               :toplevel *entry*)'
