#!/bin/sh
# Tests of the fixture and the witness; exit status 0 when every claim holds.
set -eu
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sh "$here/build-support.sh" "$work"
${CC:-gcc} -std=gnu11 -O1 -g -Wall -Wextra -Werror -pthread -I "$here" \
    -o "$work/support_test" "$here/support_test.c" \
    -L "$work" -lzmfixture -Wl,-rpath,"$work"
LD_PRELOAD=$work/libzmwitness.so ZM_WITNESS=$work/witness "$work/support_test"

LD_PRELOAD=$work/libzmwitness.so ZM_WITNESS=$work/overrun "$work/support_test" overrun
if [ "$(tail -n 1 "$work/overrun")" != "lost 100" ]; then
    echo "the last line of a regular exit is not \"lost 100\": $(tail -n 1 "$work/overrun")" >&2
    exit 1
fi
echo "ok   a regular exit leaves the exact loss on the last line"
