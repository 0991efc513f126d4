#!/bin/sh
# Configures and builds one preset of CMakePresets.json in build/PRESET: scripts/build.sh PRESET [TARGET...]
# Configuring is run each time, as it is quick and a preset may have changed; its words are shown only if it fails.
set -eu

preset=$1
shift
command -v cmake >/dev/null || { echo "cmake is missing: run 'make setup' first" >&2; exit 2; }
[ -n "${CMAKE_GENERATOR:-}" ] || ! command -v ninja >/dev/null || export CMAKE_GENERATOR=Ninja

log=build/$preset.configure.log
mkdir -p build
cmake --preset "$preset" >"$log" 2>&1 || { cat "$log" >&2; exit 2; }

# The jobs are named here, so make's own jobserver is left out of it.
unset MAKEFLAGS MFLAGS MAKELEVEL
exec cmake --build "build/$preset" --parallel "${JOBS:-$(nproc 2>/dev/null || echo 2)}" ${1:+--target "$@"}
