#!/bin/sh
# Brings what trine needs to be built, shown and checked:
#
#     scripts/setup.sh build    the program: compiler, CMake, libraries
#     scripts/setup.sh demo     that, and the text that the demo learns (not when TEXT names another)
#     scripts/setup.sh check    all of it, and what the tests, the sanitizers and the fuzzers need
#     scripts/setup.sh bench    what the demo needs, and a dictionary whose many words the tokenizer learns
#     scripts/setup.sh peers    what the demo needs, and what brings programs out of PyPI and compiles them
#
# Each need is probed by using it, so a tool from anywhere counts, and a machine that has all is done in a moment and
# without a network. What is missing is installed by apt where there is apt, asking nothing; where that is not possible
# the script says what to install and ends with 2.
set -u

group=${1:-demo}
case $group in
build | demo | check | bench | peers) ;;
*)
    echo "setup: '$group' is none of build, demo, check, bench, peers" >&2
    exit 2
    ;;
esac

have() { command -v "$1" >/dev/null 2>&1; }
library() { have pkg-config && pkg-config --exists "$1"; }
compiles() # COMPILER HEADER FLAGS...
{
    compiler=$1 header=$2
    shift 2
    have "$compiler" && echo "#include <$header>" | "$compiler" "$@" -fsyntax-only -x c - 2>/dev/null
}
python_headers() { [ -e "$(python3 -c 'import sysconfig; print(sysconfig.get_paths()["include"])' 2>/dev/null)/Python.h" ]; }
python_venv() { have python3 && python3 -c 'import ensurepip, venv' 2>/dev/null; }
slurm() { have sbatch && have slurmctld && have slurmd && have munged; }
gcc_file() { have gcc && [ -e "$(gcc -print-file-name="$1")" ]; }
clang_runtime() # NAME: a library of Clang's own, such as fuzzer; its folder and ending differ by version
{
    have clang || return 1
    for file in "$(clang -print-resource-dir)"/lib/*/libclang_rt."$1"*.a; do
        [ -e "$file" ] && return 0
    done
    return 1
}
mpi_compiles() { echo '#include <mpi.h>' | mpicc -fsyntax-only -x c - 2>/dev/null; }
archer()
{
    have clang || return 1
    folder=$(clang -print-resource-dir)
    [ -e "$folder/../../libarcher.so" ] || [ -e "$folder/../../../lib/libarcher.so" ]
}

# need PACKAGES WHAT PROBE...: if the probe fails, the packages (Debian's names) and what they are for are noted down.
# PACKAGES is `a b` for both, `a|b` for the first of them that this distribution has.
packages='' lacks=''
need()
{
    names=$1 what=$2
    shift 2
    "$@" && return
    packages="$packages $names"
    lacks="$lacks
    $what (on Debian: $names)"
}

missing()
{
    packages='' lacks=''
    need 'gcc libc6-dev' "the C compiler gcc, with the C library's headers" compiles gcc stdio.h
    need 'gcc' 'libgomp, the OpenMP of gcc' gcc_file libgomp.so
    need 'cmake' 'CMake, 3.22 or newer' have cmake
    need 'ninja-build' 'Ninja' have ninja
    need 'pkg-config' 'pkg-config' have pkg-config
    need 'libjansson-dev' 'the library jansson with its headers' library jansson
    need 'libyaml-dev' 'the library libyaml with its headers' library yaml-0.1
    need 'libssl-dev' 'the library libcrypto of OpenSSL with its headers' library libcrypto
    if [ "$group" = demo ] && [ -z "${TEXT:-}" ] || [ "$group" = bench ] || [ "$group" = peers ]; then
        need 'bible-kjv bible-kjv-text' 'the command bible, whose text the demo learns; or name another: TEXT=file' \
            have bible
    fi
    if [ "$group" = bench ]; then
        need 'python3' 'Python 3' have python3
        need 'dict-wn' 'the dictionary WordNet (/usr/share/dictd/wn.dict.dz)' test -e /usr/share/dictd/wn.dict.dz
    fi
    if [ "$group" = peers ]; then
        need 'python3 python3-venv' 'Python 3 with its module venv' python_venv
        need 'python3-dev' "Python's headers, for what torch.compile compiles" python_headers
        need 'g++' 'the C++ compiler g++, for llama.cpp' have g++
    fi
    [ "$group" = check ] || return
    need 'libopenmpi-dev' "MPI's compiler mpicc, for ranks that MPI starts" mpi_compiles
    need 'openmpi-bin' "MPI's launcher mpirun" have mpirun
    need 'libcmocka-dev' 'the library cmocka with its headers' library cmocka
    need 'clang' 'the C compiler clang' compiles clang stdio.h
    need 'libclang-rt-dev|libclang-common-14-dev' "clang's sanitizers and libFuzzer" clang_runtime fuzzer
    need 'libomp-dev' "libomp, the OpenMP of clang" compiles clang omp.h -fopenmp
    need 'libomp-dev' "Archer (libarcher.so), through which clang's ThreadSanitizer sees OpenMP" archer
    need 'llvm' 'llvm-symbolizer, which gives names to the lines of a sanitizer report' have llvm-symbolizer
    need 'strace' 'strace' have strace
    need 'git' 'git' have git
    have apt-get || return # what follows is named as Debian names it; elsewhere the tests do without it
    need 'procps' 'pkill, with which the tests kill what a job has started' have pkill
    need 'slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge' \
        'Slurm (slurmctld, slurmd, sbatch) and munge, to run jobs as on a cluster' slurm
    need 'bible-kjv bible-kjv-text' 'the command bible, a real text to test with' have bible
}

missing
[ -n "$packages" ] || exit 0

say_and_stop()
{
    echo "setup: missing for 'make $group':$lacks" >&2
    printf '%s\n' "$@" >&2
    exit 2
}

have apt-get && have dpkg || say_and_stop 'setup: this is not Debian or Ubuntu: install these, then try again.'

# Each name once; of `a|b` the first that apt knows, by its package lists as they are.
choose()
{
    chosen=''
    for names in $packages; do
        choice=${names%%|*}
        case $names in
        *'|'*) apt-cache show "$choice" >/dev/null 2>&1 || choice=${names#*|} ;;
        esac
        case " $chosen " in
        *" $choice "*) ;;
        *) chosen="$chosen $choice" ;;
        esac
    done
}

admin=''
if [ "$(id -u)" != 0 ]; then
    choose
    command="apt-get update && $(have sudo && echo 'sudo ')apt-get install -y --no-install-recommends$chosen"
    have sudo || say_and_stop 'setup: neither root nor sudo: have root run this, then try again:' "    $command"
    admin='sudo -n'
    # Without a terminal nobody can type a password, so sudo must not ask for one.
    $admin true 2>/dev/null || { [ -t 0 ] && admin=sudo; } || say_and_stop \
        'setup: sudo asks for a password and there is no terminal: run this, then try again:' "    sudo $command"
fi
apt()
{
    $admin env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
        -o Dpkg::Use-Pty=0 "$@" </dev/null
}

echo "setup: missing for 'make $group':$lacks"
log=$(mktemp) || exit 3
trap 'rm -f "$log"' EXIT
run() # shows apt's words only if it fails: a page of them says nothing to a person who wants to build
{
    echo "setup: apt-get $1 ..."
    apt "$@" >"$log" 2>&1 && return
    cat "$log" >&2
    echo "setup: apt-get $1 failed, see above" >&2
    return 1
}

run update || echo "setup: going on with the package lists that are here" >&2
choose
# shellcheck disable=SC2086 # the names are words
run install --no-install-recommends $chosen || exit 3

missing
[ -z "$packages" ] || say_and_stop 'setup: apt installed its packages, and still these are not usable.'
echo "setup: done"
