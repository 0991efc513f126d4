#!/bin/sh
# Runs the tests of one build: scripts/ctest.sh BUILD [ctest's options]. Ends with ctest's own summary.
# TEST_TIMEOUT_S is for a hung test, not for a slow one.
set -eu

build=$1
shift

# The sanitizers of GCC 12 and Clang 14 to 17 do not start where the kernel spreads addresses over more than 28 bits.
plain=''
bits=$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0)
if [ "$bits" -gt 28 ] && grep -q '^TRINE_SANITIZE:STRING=..*' "$build/CMakeCache.txt"; then
    setarch -R true 2>/dev/null && plain='setarch -R'
fi

exec $plain ctest --test-dir "$build" --output-on-failure --no-tests=error --timeout "${TEST_TIMEOUT_S:-1200}" --parallel "${JOBS:-2}" "$@" </dev/null
