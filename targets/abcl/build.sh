#!/bin/sh
# Usage: build.sh OUTPUT-DIR, in the module's root. Writes the probe, what it is
# started from and the two C libraries there, and nothing anywhere else.
#
# ZMQMATRIX_BINDING   binding of the probe: a file of targets/lisp/bindings
# ZMQMATRIX_SYSTEMS   its ASDF system, if it comes from elsewhere; else empty
# ZMQMATRIX_SOURCE    the folder with that system; else empty
set -eu
mkdir -p "$1"
output=$(cd "$1" && pwd)
sh targets/c/build-support.sh "$output"

# The package abcl brings more of Java than a probe needs: its jar is enough.
java=/usr/share/java
cp "$java/abcl.jar" "$java/jna.jar" "$output"
cp targets/abcl/start.lisp "$output"
cp targets/abcl/probe.sh "$output/probe"
chmod 755 "$output/probe"

ZMQMATRIX_CACHE=$(mktemp -d)
trap 'rm -rf "$ZMQMATRIX_CACHE"' EXIT
export ZMQMATRIX_CACHE
export ZMQMATRIX_TARGET=abcl
export PROBE_OUTPUT="$output"
export ABCL_JAR="$java/abcl.jar"

# In --eval ABCL exits with 2 if nobody handles an error; in --load its debugger
# would read the end of the input and exit with 0. As in the probe nothing runs long
# enough for the second compiler, which would take as long again.
java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$ABCL_JAR:$java/abcl-contrib.jar:$java/jna.jar" org.armedbear.lisp.Main \
     --noinit --nosystem --noinform --batch \
     --eval '(load "targets/abcl/bundle.lisp")' </dev/null
test -s "$output/classes.jar"

# Class data sharing: what a run that collects and is called back loads is kept
# in an archive, which the JVM maps at the next start instead of reading,
# checking and linking 12000 classes. The archive is good for the JVM, the paths
# and the collector that it was made with alone: the probe's own command makes it.
if [ -z "${PROBE_TESTS:-}" ]; then
  classes="$ZMQMATRIX_CACHE/classes"
  env ZMQMATRIX_CLASSES="-XX:DumpLoadedClassList=$classes" \
      ZM_PROTOCOL=1 ZM_FEATURE=callback/masked-thread ZM_TECHNIQUE=plain ZM_SEED=1 \
      ZM_PARAM_THREADS=1 ZM_PARAM_CALLS=20 ZM_PARAM_PACE_US=1000 ZM_PARAM_GC_EVERY=5 \
      "$output/probe" >"$ZMQMATRIX_CACHE/report"
  tail -1 "$ZMQMATRIX_CACHE/report"
  # A binding from elsewhere may have no callbacks, or not load here, which is for
  # its attempts to say: what it loads until then is kept.
  grep -q -e '"type":"done"' ${ZMQMATRIX_SYSTEMS:+-e '"type":"unsupported"' -e '"type":"failed"'} "$ZMQMATRIX_CACHE/report"
  env ZMQMATRIX_CLASSES="-Xshare:dump -XX:SharedClassListFile=$classes -XX:SharedArchiveFile=$output/classes.jsa" \
      "$output/probe"
  # Without it the probe would start all the same, with a third more to do.
  env ZMQMATRIX_CLASSES="-Xshare:on -XX:SharedArchiveFile=$output/classes.jsa" "$output/probe" --version
fi
