#!/bin/sh
# Usage: build-lock.sh OUTPUT-DIR, in the module's root, after build-support.sh.
# Builds the lock of the techniques lisp-lock and main-stack.
set -eu
${CC:-gcc} -std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIC -shared -pthread \
  -Wl,-soname,liblisplock.so -o "$1/liblisplock.so" targets/lisp/lisp_lock.c \
  -L"$1" -lzmfixture -Wl,-rpath,'$ORIGIN'
