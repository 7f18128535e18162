#!/bin/sh
# Usage: build.sh OUTPUT-DIR
# Builds the negative controls: the C client, with what misbehaves between its
# parts and between it and libzmq.
set -eu
here=$(dirname "$0")
client=$here/../c
output=$1
. "$client/flags.sh"
sh "$client/build-support.sh" "$output"
generated=$(mktemp -d)
trap 'rm -rf "$generated"' EXIT
sh "$client/loads.sh" >"$generated/loads.h"
flags="$flags -I $generated -I $client"
${CC:-gcc} $flags -Dmain=client_main -c -o "$generated/probe.o" "$client/probe.c"
${CC:-gcc} $flags -o "$output/control" "$here/misbehave.c" "$generated/probe.o" \
    "$client/callback.c" "$client/static_area.c" "$client/zero_copy.c" "$client/messaging.c" "$client/binding.c" \
    -Wl,--wrap=payload_fill -Wl,--wrap=zmq_send -Wl,--wrap=zmq_msg_init_data -L "$output" -lzmfixture -lzmq -Wl,-rpath,'$ORIGIN'
