/* simd.h in AVX-512 F, BW, DQ and VL, with or without BF16: 16 lanes. Included by simd.h only. */
#ifndef TR_SILICON_KERNEL_SIMD_AVX512_H
#define TR_SILICON_KERNEL_SIMD_AVX512_H

#include <immintrin.h>
#include <stdint.h>

#define TR_VLEN 16
#if TR_SIMD_DP
#define TR_SIMD_NAME(name) name##_avx512bf16
#else
#define TR_SIMD_NAME(name) name##_avx512
#endif

typedef __m512 tr_v;
typedef __mmask16 tr_m;

static inline tr_v v_zero(void) { return _mm512_setzero_ps(); }
static inline tr_v v_set1(float x) { return _mm512_set1_ps(x); }
static inline tr_v v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store(float *p, tr_v v) { _mm512_storeu_ps(p, v); }
static inline tr_m v_first(int64_t n) { return (tr_m)((1u << n) - 1u); }
static inline tr_v v_loadn(const float *p, int64_t n) { return _mm512_maskz_loadu_ps(v_first(n), p); }
static inline void v_storen(float *p, tr_v v, int64_t n) { _mm512_mask_storeu_ps(p, v_first(n), v); }

static inline tr_v v_add(tr_v a, tr_v b) { return _mm512_add_ps(a, b); }
static inline tr_v v_sub(tr_v a, tr_v b) { return _mm512_sub_ps(a, b); }
static inline tr_v v_mul(tr_v a, tr_v b) { return _mm512_mul_ps(a, b); }
static inline tr_v v_div(tr_v a, tr_v b) { return _mm512_div_ps(a, b); }
static inline tr_v v_sqrt(tr_v a) { return _mm512_sqrt_ps(a); }
static inline tr_v v_fma(tr_v a, tr_v b, tr_v c) { return _mm512_fmadd_ps(a, b, c); }
static inline tr_v v_neg(tr_v a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
static inline tr_v v_max(tr_v a, tr_v b) { return _mm512_max_ps(a, b); }

static inline tr_m v_gt(tr_v a, tr_v b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
static inline tr_m v_nan(tr_v a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
static inline tr_v v_select(tr_m m, tr_v a, tr_v b) { return _mm512_mask_blend_ps(m, b, a); }
static inline tr_v v_scale2(tr_v a, tr_v n, tr_v x, float low)
{
    return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(low), _CMP_NLT_UQ), a, n);
}

static inline float v_lane0(tr_v a) { return _mm512_cvtss_f32(a); }

static inline tr_v v_iota(void)
{
    return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

/* ---- bf16 ---- */

static inline tr_v v_upper(__m256i half)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

static inline __m256i v_rounded_bits(tr_v v)
{
    __m512i bits = _mm512_castps_si512(v), upper = _mm512_srli_epi32(bits, 16);
    __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
    __m512i sum = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    __m512i rounded = _mm512_srli_epi32(sum, 16);
    rounded = _mm512_mask_or_epi32(rounded, v_nan(v), upper, _mm512_set1_epi32(0x40));
    return _mm512_cvtepi32_epi16(rounded);
}

static inline __m256i v_rounded(tr_v v)
{
#if TR_SIMD_DP
    enum { SUBNORMAL = 0x20 };
    if (__builtin_expect(_mm512_fpclass_ps_mask(v, SUBNORMAL) == 0, 1)) /* else they would be flushed */
        return (__m256i)_mm512_cvtneps_pbh(v);
#endif
    return v_rounded_bits(v);
}

static inline tr_v v_load_bf16(const tr_bf16 *p) { return v_upper(_mm256_loadu_si256((const void *)p)); }
static inline tr_v v_loadn_bf16(const tr_bf16 *p, int64_t n)
{
    return v_upper(_mm256_maskz_loadu_epi16(v_first(n), p));
}
static inline void v_store_bf16(tr_bf16 *p, tr_v v) { _mm256_storeu_si256((void *)p, v_rounded(v)); }
static inline void v_store_bf16_normal(tr_bf16 *p, tr_v v)
{
#if TR_SIMD_DP
    _mm256_storeu_si256((void *)p, (__m256i)_mm512_cvtneps_pbh(v));
#else
    v_store_bf16(p, v);
#endif
}
static inline void v_storen_bf16(tr_bf16 *p, tr_v v, int64_t n)
{
    _mm256_mask_storeu_epi16(p, v_first(n), v_rounded(v));
}

static inline tr_v v_even(tr_v w) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(w), 16)); }
static inline tr_v v_odd(tr_v w)
{
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(w), _mm512_set1_epi32((int)0xffff0000u)));
}

static inline tr_v v_and(tr_v a, uint32_t bits)
{
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(a), _mm512_set1_epi32((int)bits)));
}

static inline tr_v v_pair_of(__m256i even, __m256i odd)
{
    return _mm512_castsi512_ps(_mm512_or_si512(_mm512_cvtepu16_epi32(even),
                                               _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16)));
}
static inline tr_v v_pair(const tr_bf16 *even, const tr_bf16 *odd)
{
    return v_pair_of(_mm256_loadu_si256((const void *)even), _mm256_loadu_si256((const void *)odd));
}
static inline tr_v v_pairn(const tr_bf16 *even, const tr_bf16 *odd, int64_t n)
{
    return v_pair_of(_mm256_maskz_loadu_epi16(v_first(n), even), _mm256_maskz_loadu_epi16(v_first(n), odd));
}

#if TR_SIMD_DP
static inline tr_v v_dp(tr_v a, tr_v b, tr_v c)
{
    return _mm512_dpbf16_ps(c, (__m512bh)_mm512_castps_si512(a), (__m512bh)_mm512_castps_si512(b));
}
#endif

static inline tr_v v_of8(__m256 a) { return _mm512_zextps256_ps512(a); }
static inline __m256 v_low8(tr_v a) { return _mm512_castps512_ps256(a); }
static inline __m256 v_high8(tr_v a) { return _mm512_extractf32x8_ps(a, 1); }

#endif
