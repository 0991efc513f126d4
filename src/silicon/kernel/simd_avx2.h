/* simd.h in AVX2 and FMA: 8 lanes. Included by simd.h only. */
#ifndef TR_SILICON_KERNEL_SIMD_AVX2_H
#define TR_SILICON_KERNEL_SIMD_AVX2_H

#include "silicon/kernel/simd_bf16x8.h"

#include <immintrin.h>
#include <stdint.h>

#define TR_VLEN 8
#define TR_SIMD_NAME(name) name##_avx2

typedef __m256 tr_v;
typedef __m256 tr_m; /* all bits of a true lane are set */

static inline tr_v v_zero(void) { return _mm256_setzero_ps(); }
static inline tr_v v_set1(float x) { return _mm256_set1_ps(x); }
static inline tr_v v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void v_store(float *p, tr_v v) { _mm256_storeu_ps(p, v); }

static inline __m256i v_first_bits(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline tr_v v_loadn(const float *p, int64_t n) { return _mm256_maskload_ps(p, v_first_bits(n)); }
static inline void v_storen(float *p, tr_v v, int64_t n) { _mm256_maskstore_ps(p, v_first_bits(n), v); }

static inline tr_v v_add(tr_v a, tr_v b) { return _mm256_add_ps(a, b); }
static inline tr_v v_sub(tr_v a, tr_v b) { return _mm256_sub_ps(a, b); }
static inline tr_v v_mul(tr_v a, tr_v b) { return _mm256_mul_ps(a, b); }
static inline tr_v v_div(tr_v a, tr_v b) { return _mm256_div_ps(a, b); }
static inline tr_v v_sqrt(tr_v a) { return _mm256_sqrt_ps(a); }
static inline tr_v v_fma(tr_v a, tr_v b, tr_v c) { return _mm256_fmadd_ps(a, b, c); }
static inline tr_v v_neg(tr_v a) { return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f)); }
static inline tr_v v_max(tr_v a, tr_v b) { return _mm256_max_ps(a, b); }

static inline tr_m v_gt(tr_v a, tr_v b) { return _mm256_cmp_ps(a, b, _CMP_GT_OQ); }
static inline tr_m v_nan(tr_v a) { return _mm256_cmp_ps(a, a, _CMP_UNORD_Q); }
static inline tr_m v_first(int64_t n) { return _mm256_castsi256_ps(v_first_bits(n)); }
static inline tr_v v_select(tr_m m, tr_v a, tr_v b) { return _mm256_blendv_ps(b, a, m); }
static inline tr_v v_scale2(tr_v a, tr_v n, tr_v x, float low)
{
    __m256i exponent = _mm256_slli_epi32(_mm256_cvttps_epi32(n), 23);
    __m256 scaled = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), exponent));
    return _mm256_andnot_ps(_mm256_cmp_ps(x, _mm256_set1_ps(low), _CMP_LT_OQ), scaled);
}

static inline float v_lane0(tr_v a) { return _mm256_cvtss_f32(a); }
static inline tr_v v_of8(__m256 a) { return a; }
static inline tr_v v_iota(void) { return _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7); }

/* ---- bf16 ---- */

static inline tr_v v_load_bf16(const tr_bf16 *p) { return v_upper8(_mm_loadu_si128((const void *)p)); }
static inline tr_v v_loadn_bf16(const tr_bf16 *p, int64_t n) { return v_upper8(v_first_halves(p, n)); }
static inline void v_store_bf16(tr_bf16 *p, tr_v v) { _mm_storeu_si128((void *)p, v_rounded8(v)); }
static inline void v_store_bf16_normal(tr_bf16 *p, tr_v v) { v_store_bf16(p, v); }
static inline void v_storen_bf16(tr_bf16 *p, tr_v v, int64_t n) { v_store_first_halves(p, v_rounded8(v), n); }

static inline tr_v v_even(tr_v w) { return v_even8(w); }
static inline tr_v v_odd(tr_v w) { return v_odd8(w); }
static inline tr_v v_and(tr_v a, uint32_t bits) { return v_and8(a, bits); }

static inline tr_v v_pair(const tr_bf16 *even, const tr_bf16 *odd)
{
    return v_pair8(_mm_loadu_si128((const void *)even), _mm_loadu_si128((const void *)odd));
}
static inline tr_v v_pairn(const tr_bf16 *even, const tr_bf16 *odd, int64_t n)
{
    return v_pair8(v_first_halves(even, n), v_first_halves(odd, n));
}

#endif
