/* The loop of peak.h, for every vector length, and for pairs of bf16. Enough chains to hide the latency of a
 * multiply-add (4 cycles, of pairs 6, 2 a cycle), few enough for the registers. */
#ifndef TR_SILICON_CHIP_PEAK_BODY_H
#define TR_SILICON_CHIP_PEAK_BODY_H

#include "silicon/chip/peak.h"
#include "silicon/kernel/simd.h"

enum { CHAINS = TR_VLEN == 8 ? 12 : 24 };

double TR_SIMD_NAME(tr_chip_burn)(long count, float x, float *sink)
{
    tr_v acc[CHAINS];
    const tr_v factor = v_set1(x), term = v_set1(1.0f - x);
    for (int i = 0; i < CHAINS; i++)
        acc[i] = v_set1((float)i);
    for (long round = 0; round < count; round++) {
#pragma GCC unroll 24
        for (int i = 0; i < CHAINS; i++)
#if TR_SIMD_DP
            acc[i] = v_dp(factor, term, acc[i]);
#else
            acc[i] = v_fma(acc[i], factor, term);
#endif
    }
    for (int i = 1; i < CHAINS; i++)
        acc[0] = v_add(acc[0], acc[i]);
    *sink = v_lane0(acc[0]);
    return (TR_SIMD_DP ? 4.0 : 2.0) * CHAINS * TR_VLEN * (double)count;
}

#endif
