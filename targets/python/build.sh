#!/bin/sh
# Usage: build.sh OUTPUT-DIR, in the module's root. Writes the probe, compiled,
# and the two C libraries there.
set -eu
mkdir -p "$1"
output=$(cd "$1" && pwd)
# Debian's interpreter, which python3-zmq is for; another may come first on the
# PATH.
python=/usr/bin/python3
if ! $python -I -c 'import zmq'; then
    echo "$python has no module zmq: apt-get install python3-zmq" >&2
    exit 1
fi
sh targets/c/build-support.sh "$output"
rm -rf "$output/probe"
cp -r targets/python/probe "$output/probe"
# Where the probe runs nothing can be written, so that it would be compiled each
# time. Unchecked, as the sources' times may change on the way to an image.
$python -I -m compileall -q --invalidation-mode unchecked-hash "$output/probe"
