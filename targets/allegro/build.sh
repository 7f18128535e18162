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
export ZMQMATRIX_TARGET=allegro
export PROBE_IMAGE="$output/probe.dxl"
lisp=$(command -v alisp)
"$lisp" -qq -batch -L targets/allegro/dump.lisp -kill </dev/null
if ! [ -f "$output/probe.dxl" ]; then
  echo "alisp wrote no image" >&2
  exit 1
fi
# An image is no executable (dumplisp.htm): Allegro's own starts it, and is told
# where it lies.
cat >"$output/probe" <<END
#!/bin/sh
exec "$lisp" -I "\${0%/*}/probe.dxl" -qq -- "\${0%/*}/" "\$@"
END
chmod +x "$output/probe"
