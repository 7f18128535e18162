#!/bin/sh
# Usage: build.sh OUTPUT-DIR, in the module's root. Writes the probe's image and
# the two C libraries there, and nothing anywhere else.
#
# ZMQMATRIX_ARCHIVE   the release file of Clozure CL
# ZMQMATRIX_BINDING   binding of the probe: a file of targets/lisp/bindings
# ZMQMATRIX_SYSTEMS   its ASDF system, if it comes from elsewhere; else empty
# ZMQMATRIX_SOURCE    the folder with that system; else empty
set -eu
mkdir -p "$1"
output=$(cd "$1" && pwd)
sh targets/c/build-support.sh "$output"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/release" "$work/cache"
tar -xf "$ZMQMATRIX_ARCHIVE" -C "$work/release"
lisp=
for found in "$work"/release/lx86cl64 "$work"/release/*/lx86cl64; do
  if [ -x "$found" ]; then lisp=$found; fi
done
if [ -z "$lisp" ]; then
  echo "there is no lx86cl64 in $ZMQMATRIX_ARCHIVE" >&2
  exit 1
fi

export ZMQMATRIX_CACHE="$work/cache"
export ZMQMATRIX_TARGET=ccl
export PROBE_IMAGE="$output/probe"
"$lisp" --no-init --batch --quiet --load targets/ccl/save.lisp </dev/null
# The image is written while the Lisp ends, whose exit status does not tell.
if ! [ -x "$output/probe" ]; then
  echo "save-application wrote no image" >&2
  exit 1
fi
