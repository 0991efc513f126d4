/* simd.h with 16 lanes made of two AVX2 registers: for tests only, see simd.h. Included by simd.h only. */
#ifndef TR_SILICON_KERNEL_SIMD_WIDE_H
#define TR_SILICON_KERNEL_SIMD_WIDE_H

#include "silicon/kernel/simd_bf16x8.h"

#include <immintrin.h>
#include <stdint.h>

#define TR_VLEN 16
#define TR_SIMD_NAME(name) name##_wide

typedef struct {
    __m256 low, high;
} tr_v;
typedef tr_v tr_m; /* all bits of a true lane are set */

static inline tr_v v_zero(void) { return (tr_v){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
static inline tr_v v_set1(float x) { return (tr_v){_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
static inline tr_v v_load(const float *p) { return (tr_v){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }

static inline void v_store(float *p, tr_v v)
{
    _mm256_storeu_ps(p, v.low);
    _mm256_storeu_ps(p + 8, v.high);
}

static inline __m256i v_first_bits(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline tr_v v_loadn(const float *p, int64_t n)
{
    return (tr_v){_mm256_maskload_ps(p, v_first_bits(n)), _mm256_maskload_ps(p + 8, v_first_bits(n - 8))};
}

static inline void v_storen(float *p, tr_v v, int64_t n)
{
    _mm256_maskstore_ps(p, v_first_bits(n), v.low);
    _mm256_maskstore_ps(p + 8, v_first_bits(n - 8), v.high);
}

static inline tr_v v_add(tr_v a, tr_v b)
{
    return (tr_v){_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}

static inline tr_v v_sub(tr_v a, tr_v b)
{
    return (tr_v){_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}

static inline tr_v v_mul(tr_v a, tr_v b)
{
    return (tr_v){_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}

static inline tr_v v_div(tr_v a, tr_v b)
{
    return (tr_v){_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}

static inline tr_v v_sqrt(tr_v a) { return (tr_v){_mm256_sqrt_ps(a.low), _mm256_sqrt_ps(a.high)}; }

static inline tr_v v_fma(tr_v a, tr_v b, tr_v c)
{
    return (tr_v){_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}

static inline tr_v v_neg(tr_v a)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return (tr_v){_mm256_xor_ps(a.low, sign), _mm256_xor_ps(a.high, sign)};
}

static inline tr_v v_max(tr_v a, tr_v b)
{
    return (tr_v){_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}

static inline tr_m v_gt(tr_v a, tr_v b)
{
    return (tr_m){_mm256_cmp_ps(a.low, b.low, _CMP_GT_OQ), _mm256_cmp_ps(a.high, b.high, _CMP_GT_OQ)};
}

static inline tr_m v_nan(tr_v a)
{
    return (tr_m){_mm256_cmp_ps(a.low, a.low, _CMP_UNORD_Q), _mm256_cmp_ps(a.high, a.high, _CMP_UNORD_Q)};
}

static inline tr_m v_first(int64_t n)
{
    return (tr_m){_mm256_castsi256_ps(v_first_bits(n)), _mm256_castsi256_ps(v_first_bits(n - 8))};
}

static inline tr_v v_select(tr_m m, tr_v a, tr_v b)
{
    return (tr_v){_mm256_blendv_ps(b.low, a.low, m.low), _mm256_blendv_ps(b.high, a.high, m.high)};
}

static inline __m256 v_scale2_half(__m256 a, __m256 n, __m256 x, float low)
{
    __m256i exponent = _mm256_slli_epi32(_mm256_cvttps_epi32(n), 23);
    __m256 scaled = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), exponent));
    return _mm256_andnot_ps(_mm256_cmp_ps(x, _mm256_set1_ps(low), _CMP_LT_OQ), scaled);
}

static inline tr_v v_scale2(tr_v a, tr_v n, tr_v x, float low)
{
    return (tr_v){v_scale2_half(a.low, n.low, x.low, low), v_scale2_half(a.high, n.high, x.high, low)};
}

static inline float v_lane0(tr_v a) { return _mm256_cvtss_f32(a.low); }
static inline tr_v v_of8(__m256 a) { return (tr_v){a, _mm256_setzero_ps()}; }

static inline tr_v v_iota(void)
{
    return (tr_v){_mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7), _mm256_setr_ps(8, 9, 10, 11, 12, 13, 14, 15)};
}

/* ---- bf16 ---- */

static inline tr_v v_load_bf16(const tr_bf16 *p)
{
    return (tr_v){v_upper8(_mm_loadu_si128((const void *)p)), v_upper8(_mm_loadu_si128((const void *)(p + 8)))};
}

static inline tr_v v_loadn_bf16(const tr_bf16 *p, int64_t n)
{
    return (tr_v){v_upper8(v_first_halves(p, n)), v_upper8(v_first_halves(p + 8, n - 8))};
}

static inline void v_store_bf16(tr_bf16 *p, tr_v v)
{
    _mm_storeu_si128((void *)p, v_rounded8(v.low));
    _mm_storeu_si128((void *)(p + 8), v_rounded8(v.high));
}

static inline void v_store_bf16_normal(tr_bf16 *p, tr_v v) { v_store_bf16(p, v); }

static inline void v_storen_bf16(tr_bf16 *p, tr_v v, int64_t n)
{
    v_store_first_halves(p, v_rounded8(v.low), n);
    v_store_first_halves(p + 8, v_rounded8(v.high), n - 8);
}

static inline tr_v v_even(tr_v w) { return (tr_v){v_even8(w.low), v_even8(w.high)}; }
static inline tr_v v_odd(tr_v w) { return (tr_v){v_odd8(w.low), v_odd8(w.high)}; }
static inline tr_v v_and(tr_v a, uint32_t bits) { return (tr_v){v_and8(a.low, bits), v_and8(a.high, bits)}; }

static inline tr_v v_pairn(const tr_bf16 *even, const tr_bf16 *odd, int64_t n)
{
    return (tr_v){v_pair8(v_first_halves(even, n), v_first_halves(odd, n)),
                  v_pair8(v_first_halves(even + 8, n - 8), v_first_halves(odd + 8, n - 8))};
}

static inline tr_v v_pair(const tr_bf16 *even, const tr_bf16 *odd) { return v_pairn(even, odd, TR_VLEN); }

static inline __m256 v_low8(tr_v a) { return a.low; }
static inline __m256 v_high8(tr_v a) { return a.high; }

#endif
