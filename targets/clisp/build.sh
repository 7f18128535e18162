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
sh targets/lisp/build-lock.sh "$output"

ZMQMATRIX_CACHE=$(mktemp -d)
trap 'rm -rf "$ZMQMATRIX_CACHE"' EXIT
export ZMQMATRIX_CACHE
export ZMQMATRIX_TARGET=clisp
export PROBE_IMAGE="$output/probe"

# :executable 0 keeps the runtime from interpreting the command line.
clisp -norc -q -on-error exit -E UTF-8 -x '
  (load "targets/lisp/load.lisp")
  (ext:saveinitmem (ext:getenv "PROBE_IMAGE")
                   :executable 0 :quiet t :norc t
                   :init-function *entry*)'
