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

#if !TR_SIMD_DP
enum { SWEEPS = 8 }; /* vectors side by side, so that nobody waits for the maximum */

/* Maxima, because sums of whatever bits lie there could be subnormal, which some processors are slow at. */
void TR_SIMD_NAME(tr_chip_sweep)(const float *at, int64_t count, float *sink)
{
    tr_v most[SWEEPS];
    int64_t i = 0;
    for (int v = 0; v < SWEEPS; v++)
        most[v] = v_zero();
    for (; i + SWEEPS * TR_VLEN <= count; i += SWEEPS * TR_VLEN)
        for (int v = 0; v < SWEEPS; v++)
            most[v] = v_max(v_load(at + i + v * TR_VLEN), most[v]);
    for (; i < count; i += TR_VLEN)
        most[0] = v_max(v_loadn(at + i, count - i < TR_VLEN ? count - i : TR_VLEN), most[0]);
    for (int v = 1; v < SWEEPS; v++)
        most[0] = v_max(most[v], most[0]);
    *sink = v_row_max(most[0]);
}
#endif

#endif
