/* simd.h in AVX-512 F, BW, DQ and VL: 16 lanes. Included by simd.h only. */
#ifndef TR_SILICON_KERNEL_SIMD_AVX512_H
#define TR_SILICON_KERNEL_SIMD_AVX512_H

#include <immintrin.h>
#include <stdint.h>

#define TR_VLEN 16
#define TR_SIMD_NAME(name) name##_avx512

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

static inline tr_m v_lt(tr_v a, tr_v b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
static inline tr_m v_gt(tr_v a, tr_v b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
static inline tr_m v_nan(tr_v a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
static inline tr_v v_select(tr_m m, tr_v a, tr_v b) { return _mm512_mask_blend_ps(m, b, a); }
static inline tr_v v_clear(tr_m m, tr_v a) { return _mm512_maskz_mov_ps(_knot_mask16(m), a); }

static inline tr_v v_scale2(tr_v a, tr_v n)
{
    __m512i exponent = _mm512_slli_epi32(_mm512_cvttps_epi32(n), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), exponent));
}

static inline float v_lane0(tr_v a) { return _mm512_cvtss_f32(a); }

static inline tr_v v_iota(void)
{
    return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

static inline __m256 v_low8(tr_v a) { return _mm512_castps512_ps256(a); }
static inline __m256 v_high8(tr_v a) { return _mm512_extractf32x8_ps(a, 1); }

#endif
