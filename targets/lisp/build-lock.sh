#!/bin/sh
# Usage: build-lock.sh OUTPUT-DIR, in the module's root, after build-support.sh.
# Builds the lock of the techniques lisp-lock and main-stack.
set -eu
. targets/c/flags.sh
${CC:-gcc} $flags -fPIC -shared \
  -Wl,-soname,liblisplock.so -o "$1/liblisplock.so" targets/lisp/lisp_lock.c \
  -L"$1" -lzmfixture -Wl,-rpath,'$ORIGIN'
