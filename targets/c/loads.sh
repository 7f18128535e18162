#!/bin/sh
# Usage: loads.sh [COMPILER-OPTION ...], prints loads.h: what the compiler says of
# zmq.h. -Wsystem-headers, for a header in the system's folder is silent otherwise;
# what it says of other headers is not zmq.h's. Warnings are those of -Wall
# -Wextra, style warnings what -pedantic adds, conflicts those of names that
# another header has taken.
set -eu
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# An error is counted as the worst of warnings: the probe, which is built next,
# then ends the build with it.
said () {
  LC_ALL=C ${CC:-gcc} -std=gnu11 -Wall -Wextra -Wsystem-headers "$@" -fsyntax-only \
      "$here/loads.c" 2>"$work/said" || true
  grep -E '(zmq\.h|loads\.c):[0-9]+(:[0-9]+)?: (fatal error|error|warning): ' "$work/said" \
      | sed -E 's/^.*(zmq\.h|loads\.c):/\1:/' || true
}
count () { grep -c . "$1" || true; }
first () { sed -n '1{s/\\/\\\\/g; s/"/\\"/g; p}' "$1"; }

conflict='redefin|redeclar|conflicting types'
said "$@" >"$work/all"
said "$@" -pedantic >"$work/pedantic"
grep -E "$conflict" "$work/all" >"$work/conflicts" || true
grep -vE "$conflict" "$work/all" >"$work/warnings" || true
cat <<HEADER
#define LOADS_WARNINGS $(count "$work/warnings")
#define LOADS_FIRST_WARNING "$(first "$work/warnings")"
#define LOADS_STYLE_WARNINGS $(($(count "$work/pedantic") - $(count "$work/all")))
#define LOADS_CONFLICTS $(count "$work/conflicts")
#define LOADS_FIRST_CONFLICT "$(first "$work/conflicts")"
HEADER
