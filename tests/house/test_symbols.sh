#!/bin/sh
# Each rule of symbols.sh can fail: test_symbols.sh CC NM builds tiny libraries that keep the arrows, then break them.
folder=$(cd "$(dirname "$0")" && pwd)
cc=$1 nm=$2
. "$folder/lib.sh"

library() # LAYER CODE: builds the layer's library from one line of C
{
    echo "$2" >"$work/$1.c"
    "$cc" -O0 -fno-builtin -c "$work/$1.c" -o "$work/$1.o"
    rm -f "$work/$1.a"
    ar rc "$work/$1.a" "$work/$1.o"
}
house() { cp "$work"/good/*.a "$work/"; } # the libraries that keep every rule
look()
{
    sh "$folder/symbols.sh" "$nm" base="$work/base.a" silicon="$work/silicon.a" cloud="$work/cloud.a" \
        lab="$work/lab.a" plan="$work/plan.a"
}
refused() { expect 1 "$1" look; house; }

library base 'int tr_b(void) { return 1; }'
library silicon 'int tr_b(void); int tr_s(void) { return tr_b(); }'
library cloud 'int tr_s(void); int tr_c(void) { return tr_s(); }'
library lab 'int tr_s(void), tr_b(void); int tr_l(void) { return tr_s() + tr_b(); }'
library plan 'int tr_c(void), tr_l(void); int tr_p(void) { return tr_c() + tr_l(); }'
mkdir "$work/good" && cp "$work"/*.a "$work/good/"

expect 0 'keep the arrows' look
library base 'int tr_s(void); int tr_b(void) { return tr_s(); }'
refused 'base/base.o: calls tr_s of silicon, but base may call only: base'
library silicon 'int tr_l(void); int tr_s(void) { return tr_l(); }'
refused 'silicon/silicon.o: calls tr_l of lab'
library lab 'int tr_c(void); int tr_l(void) { return tr_c(); }'
refused 'lab/lab.o: calls tr_c of cloud'
library cloud 'int tr_l(void); int tr_c(void) { return tr_l(); }'
refused 'cloud/cloud.o: calls tr_l of lab'
library lab 'int tr_p(void); int tr_l(void) { return tr_p(); }'
refused 'lab/lab.o: calls tr_p of plan'
library lab 'extern int tr_data; int tr_l(void) { return tr_data; }'
refused 'calls tr_data, which no layer defines'
library lab '__attribute__((weak)) int tr_p(void); int tr_l(void) { return tr_p ? tr_p() : 0; }'
refused 'lab/lab.o: calls tr_p of plan'
library lab 'int tr_b(void) { return 2; } int tr_l(void) { return 0; }'
refused 'defines tr_b, and so does base'
library lab 'float expf(float); int tr_l(void) { return (int)expf(1.5f); }'
refused 'calls expf, whose last bits differ'
library lab 'double sqrt(double), fma(double, double, double); int tr_l(void) { return (int)sqrt(fma(1, 2, 3)); }'
expect 0 'keep the arrows' look # these are exact
library lab 'void exit(int); int tr_l(void) { exit(1); return 0; }'
refused 'calls exit'
expect 2 '' sh "$folder/symbols.sh" "$nm" base="$work/missing.a"
expect 2 'nothing was proved' sh "$folder/symbols.sh" "$nm"
echo "$proofs proofs"
