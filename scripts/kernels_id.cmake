# Writes a C file that names the sources of all kernels: cmake -D OUT=x.c -D ROOT=dir -P kernels_id.cmake
# The name is of their paths and contents alone: the same for every compiler and type of build.
file(GLOB_RECURSE files RELATIVE "${ROOT}" "${ROOT}/src/silicon/kernel/*.[ch]")
list(SORT files)
set(all "")
foreach(file IN LISTS files)
  file(SHA256 "${ROOT}/${file}" hash)
  string(APPEND all "${file} ${hash}\n")
endforeach()
string(SHA256 hash "${all}")
string(SUBSTRING "${hash}" 0 8 id)
file(WRITE "${OUT}" "/* Written by scripts/kernels_id.cmake. */\n#include \"silicon/kernel/kernel.h\"\n\nconst char *const tr_kernels_id = \"${id}\";\n")
