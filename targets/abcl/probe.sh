#!/bin/sh
# The probe: one process, which exec makes the JVM's.
# Signals and crashes are the JVM's own; what it would write to a file about a
# crash goes to standard error, its warnings too, for standard output is the
# report's. The serial collector's System.gc() stops all threads, collects both
# generations and compacts them; nothing here runs long enough for the second
# compiler.
set -eu
folder=${0%/*}/
java="${folder}java/bin/java"
# A container has a runtime of its own here, a host the one on the PATH.
test -x "$java" || java=java
archive="-XX:SharedArchiveFile=${folder}classes.jsa"
exec "$java" -Xshare:auto ${ZMQMATRIX_CLASSES:-$archive} \
  -XX:+UseSerialGC -Xmx256m -XX:TieredStopAtLevel=1 \
  -Xlog:disable -Xlog:all=warning:stderr -XX:+ErrorFileToStderr \
  -Djna.nounpack=true -Dzmqmatrix.directory="$folder" \
  -cp "${folder}classes.jar:${folder}abcl.jar:${folder}jna.jar" org.armedbear.lisp.Main \
  --noinit --nosystem --noinform --batch --eval "(load \"${folder}start.lisp\")" -- "$@"
