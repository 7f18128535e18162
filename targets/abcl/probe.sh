#!/bin/sh
# The probe: one process, which exec makes the JVM's.
# Signals and crashes are the JVM's own; what it would write to a file about a
# crash goes to standard error, its warnings too, for standard output is the
# report's. The serial collector's System.gc() stops all threads, collects both
# generations and compacts them; nothing here runs long enough for the second
# compiler.
set -eu
folder=${0%/*}/
archive="-XX:SharedArchiveFile=${folder}classes.jsa"
exec java ${ZMQMATRIX_CLASSES:-$archive} -Xshare:auto \
  -XX:+UseSerialGC -Xmx256m -XX:TieredStopAtLevel=1 \
  -Xlog:disable -Xlog:all=warning:stderr -XX:+ErrorFileToStderr \
  -Djna.nounpack=true -Dzmqmatrix.directory="$folder" \
  -cp "${folder}classes.jar:${folder}abcl.jar:${folder}jna.jar" org.armedbear.lisp.Main \
  --noinit --nosystem --noinform --batch --eval "(load \"${folder}start.lisp\")" -- "$@"
