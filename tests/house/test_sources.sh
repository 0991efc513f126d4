#!/bin/sh
# Each rule of sources.sh can fail: a small made-up house keeps them all, then one at a time is broken.
folder=$(cd "$(dirname "$0")" && pwd)
. "$folder/lib.sh"

header() # PATH [LINES...]: a header as it should be, with the lines in it
{
    mkdir -p "$work/tree/src/${1%/*}"
    guard=TR_$(echo "$1" | tr 'a-z/.' 'A-Z__')
    path=$1
    shift
    {
        printf '/* A header of the made-up house. */\n#ifndef %s\n#define %s\n' "$guard" "$guard"
        [ $# = 0 ] || printf '%s\n' "$@"
        echo '#endif'
    } >"$work/tree/src/$path"
}

house() # a house that keeps every rule
{
    rm -rf "$work/tree"
    header base/err.h '#include <stdio.h>' '#include <sys/stat.h>'
    header silicon/op/op.h '#include "base/err.h"'
    header silicon/chip/chip.h '#include "silicon/op/op.h"' '#include <immintrin.h>'
    header silicon/kernel/kernel.h '#include "silicon/op/op.h"' '#include "silicon/chip/chip.h"'
    header silicon/kernel/matmul/matmul.h '#include "silicon/kernel/kernel.h"'
    header cloud/cost/cost.h '#include "silicon/chip/chip.h"'
    header lab/model/model.h '#include "silicon/kernel/kernel.h"'
    header lab/train/train.h '#include "lab/model/model.h"'
    header plan/search/search.h '#include "lab/model/model.h"' '#include "cloud/cost/cost.h"'
    header app/app.h '#include "plan/search/search.h"' '#include "lab/train/train.h"'
    echo '#include <jansson.h>' >"$work/tree/src/base/doc.c"
    for module in base silicon/op silicon/chip silicon/kernel cloud/cost lab/model lab/train plan/search app; do
        echo 'Why.' >"$work/tree/src/$module/README.md"
    done
}

line() { mkdir -p "$work/tree/src/${1%/*}"; echo "$2" >>"$work/tree/src/$1"; }

# refused "WORDS": the house as it now stands breaks exactly one rule, with these words.
refused()
{
    expect 1 "$1" sh "$folder/sources.sh" "$work/tree"
    grep -q '^house: 1 faults' "$work/said" || { cat "$work/said" >&2; broken "more than one fault for '$1'"; }
    house
}

house
expect 0 'keep the rules' sh "$folder/sources.sh" "$work/tree"

line base/doc.c '#include "silicon/op/op.h"'
expect 1 'src/base/doc.c:2: includes "silicon/op/op.h", but base may include only: base' \
    sh "$folder/sources.sh" "$work/tree" # a ring too: silicon includes base
house
line silicon/kernel/x.c '#include "lab/model/model.h"'
expect 1 'but silicon may include only: silicon base' sh "$folder/sources.sh" "$work/tree"
house
line cloud/cost/x.c '#include "lab/model/model.h"'
refused 'but cloud may include only: cloud silicon base'
line lab/train/x.c '#include "cloud/cost/cost.h"'
refused 'but lab may include only: lab silicon base'
line plan/search/x.c '#include "app/app.h"'
expect 1 'but plan may include only: plan cloud lab silicon base' sh "$folder/sources.sh" "$work/tree"
house
line silicon/op/x.c '#include "silicon/chip/chip.h"'
expect 1 'silicon/op is below the rest of silicon' sh "$folder/sources.sh" "$work/tree"
house
line lab/model/x.c '  #  include "lab/train/train.h"'
refused 'these modules include each other in a ring: lab/model lab/train'
line lab/model/x.c '#include "model.h"'
refused 'write the path from src/'
line lab/model/x.c '#include "lab/../base/err.h"'
refused 'write the path from src/'
line lab/model/x.c '#include "lab/model/none.h"'
refused 'which is not there'
mkdir "$work/tree/src/attic" && echo 'Why.' >"$work/tree/src/attic/README.md"
echo '/* x */' >"$work/tree/src/attic/x.c"
expect 1 'src/attic is no layer of the house' sh "$folder/sources.sh" "$work/tree"
house

line base/text.c '#include <jansson.h>'
refused 'includes <jansson.h>, which belongs to src/base/doc.c alone'
line lab/model/x.c '#include <jansson.h>'
refused 'includes <jansson.h>, which belongs to src/base/doc.c alone'
line lab/model/x.c '#include <openssl/sha.h>'
line lab/train/x.c '#include <openssl/evp.h>'
refused 'includes <openssl/evp.h>, which belongs to src/lab/model alone'
line silicon/kernel/x.c '#include <mpi.h>'
line silicon/kernel/matmul/x.c '#include <mpi.h>' # the same module
expect 0 'keep the rules' sh "$folder/sources.sh" "$work/tree"

line lab/model/x.c '#ifdef HAVE_MPI'
refused 'asks for a HAVE_ macro'
line lab/model/x.c '#if defined(HAVE_MPI) && 1'
refused 'asks for a HAVE_ macro'
line lab/model/x.c '#pragma omp parallel for reduction(+ : sum)'
refused 'an OpenMP reduction'

rm "$work/tree/src/lab/train/README.md"
refused 'src/lab/train: no README.md'
line lab/data/x.c '/* a module without a front */'
echo 'Why.' >"$work/tree/src/lab/data/README.md"
refused 'src/lab/data: no front header data.h'
header lab/model/guard.h && sed -i '/^#ifndef/d' "$work/tree/src/lab/model/guard.h"
refused 'src/lab/model/guard.h: no include guard'
header lab/model/once.h && sed -i 's/^#ifndef.*/#pragma once/' "$work/tree/src/lab/model/once.h"
refused 'src/lab/model/once.h: no include guard'
header lab/model/twin.h && sed -i 's/TWIN/MODEL/' "$work/tree/src/lab/model/twin.h"
refused 'has the include guard of src/lab/model/model.h'
header lab/model/mute.h && sed -i 1d "$work/tree/src/lab/model/mute.h"
refused 'src/lab/model/mute.h: does not begin with a comment'

# The names are put together here, so that this file does not name a host itself.
for host in deb.debian pypi ftp.de.debian; do
    echo "fetch $host.""org" >"$work/tree/notes.txt"
    refused 'notes.txt:1:'
done
echo "pull europe-docker.""pkg.dev/x" >"$work/tree/notes.txt"
refused 'the host of a registry or mirror'
echo "get https://name:word""@host/" >"$work/tree/notes.txt"
refused 'the host of a registry or mirror'
echo "add_compile_options(-ffast""-math)" >"$work/tree/CMakeLists.txt"
refused 'bits are the product here'

rm -rf "$work/tree/src" && mkdir "$work/tree/src"
expect 2 'nothing was proved' sh "$folder/sources.sh" "$work/tree"
echo "$proofs proofs"
