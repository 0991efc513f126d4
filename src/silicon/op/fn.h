/* The functions inside operations, as exact sequences of fp32 roundings. The scalar code here is the meaning; vector
 * kernels repeat it operation by operation (simd.h has the same names) and give the same bits. No libm: its results
 * differ by processor and version.
 *
 * Largest errors seen against long double over 70 million fp32 values (test_fn.c holds these bounds on a sample):
 *     tr_expf          1.1 ULP on its range
 *     tr_sigmoidf      2.4 ULP from -87 up; below, 0 where the truth is less than 2^-126
 *     tr_silu          2.7 ULP from -87 up              tr_silu_slope    1.0e-6 absolute (largest near 16.6)
 *     tr_gelu          2.8 ULP from -1 up; 4.1e-7 absolute anywhere below 4
 *     tr_gelu_slope    2.0e-6 absolute (largest near 5)
 * The slopes lose digits where 1 - s is a small difference; their truth is about 1 there.
 */
#ifndef TR_SILICON_OP_FN_H
#define TR_SILICON_OP_FN_H

#include "silicon/op/dtype.h"

#include <math.h>

/* tr_expf: e^x for x in [-87, 88]; below 0, above +infinity, NaN stays NaN.
 * n = round(x / ln 2) by adding 1.5 * 2^23, r = x - n ln 2 in two parts (the first has 9 bits, so n * HI is exact),
 * e^r = 1 + r + r^2 (C2 + C3 r + ... + C6 r^4), interpolated at Chebyshev nodes of [-ln2/2, ln2/2]; 2^n by adding to
 * the exponent. */
#define TR_EXP_LOW (-87.0f)
#define TR_EXP_HIGH 88.0f
#define TR_EXP_LOG2E 0x1.715476p+0f
#define TR_EXP_ROUND 12582912.0f
#define TR_EXP_LN2_HI 0x1.62p-1f
#define TR_EXP_LN2_LO 0x1.c85fep-10f
#define TR_EXP_C2 0.5f
#define TR_EXP_C3 0x1.5554dcp-3f
#define TR_EXP_C4 0x1.555518p-5f
#define TR_EXP_C5 0x1.120ce4p-7f
#define TR_EXP_C6 0x1.6d127ep-10f

static inline float tr_expf(float x)
{
    if (x != x)
        return x;
    if (x < TR_EXP_LOW)
        return 0.0f;
    if (x > TR_EXP_HIGH)
        return INFINITY;
    float n = fmaf(x, TR_EXP_LOG2E, TR_EXP_ROUND) - TR_EXP_ROUND;
    float r = fmaf(n, -TR_EXP_LN2_LO, fmaf(n, -TR_EXP_LN2_HI, x));
    float p = fmaf(r, TR_EXP_C6, TR_EXP_C5);
    p = fmaf(p, r, TR_EXP_C4);
    p = fmaf(p, r, TR_EXP_C3);
    p = fmaf(p, r, TR_EXP_C2);
    p = fmaf(p, r * r, r) + 1.0f;
    return tr_f32_from_bits(tr_f32_bits(p) + ((uint32_t)(int32_t)n << 23));
}

static inline float tr_sigmoidf(float x) { return 1.0f / (1.0f + tr_expf(-x)); }

/* GELU in the tanh form (GPT-2's gelu_new): 0.5 x (1 + tanh u) = x sigmoid(2 u), 2 u = x (C1 + C3 x^2),
 * C1 = 2 sqrt(2/pi), C3 = 0.044715 C1 (Hendrycks and Gimpel 2016). */
#define TR_GELU_C1 1.59576912160573071f
#define TR_GELU_C3 0.0713548162726002527f

static inline float tr_gelu(float x)
{
    float z = x * fmaf(x * x, TR_GELU_C3, TR_GELU_C1);
    return x * tr_sigmoidf(z);
}

/* d gelu / dx = s + x s (1 - s) dz/dx, s = sigmoid(z). */
static inline float tr_gelu_slope(float x)
{
    float square = x * x;
    float s = tr_sigmoidf(x * fmaf(square, TR_GELU_C3, TR_GELU_C1));
    float dz = fmaf(square, 3.0f * TR_GELU_C3, TR_GELU_C1);
    return fmaf(x * (s * (1.0f - s)), dz, s);
}

static inline float tr_silu(float x) { return x * tr_sigmoidf(x); }

/* d silu / dx = s (1 + x (1 - s)) */
static inline float tr_silu_slope(float x)
{
    float s = tr_sigmoidf(x);
    return s * fmaf(x, 1.0f - s, 1.0f);
}

#endif
