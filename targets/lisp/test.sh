#!/bin/sh
# Usage: test.sh [TARGET ...], in the module's root. Builds the unit tests' image
# with each target's own build script and runs it. A Lisp that is not installed
# is a failure: name the targets that are to be tested.
set -eu
PROBE_TESTS=1
export PROBE_TESTS
for target in ${*:-sbcl clisp ecl abcl}; do
  output=$(mktemp -d)
  if ! sh "targets/$target/build.sh" "$output" >"$output/build.log" 2>&1; then
    tail -40 "$output/build.log"
    echo "$target: the build failed" >&2
    rm -rf "$output"
    exit 1
  fi
  echo "== $target"
  status=0
  "$output/probe" || status=$?
  rm -rf "$output"
  if [ "$status" -ne 0 ]; then
    echo "$target: exit status $status" >&2
    exit 1
  fi
done
