/* Whole numbers in vectors, for blocks of int8 and int4: beside the words of simd.h, of as many lanes. A lane is an int32, or
 * four bytes of one output.
 *
 *     q_set1(n) q_load(p) q_bytes(p)        the same number in each lane; TR_VLEN lanes; the same four bytes in each lane
 *     q_low(w) q_high(w)                    the low and the high halves of bytes, as bytes
 *     q_dot(acc, w, x)                      acc + the four products of unsigned bytes w with signed bytes x
 *     q_dot_small(acc, w, x)                the same where w is at most 15
 *     q_float(acc) q_scales(p)              int32 as fp32; TR_VLEN numbers of half precision as fp32
 */
#ifndef TR_SILICON_KERNEL_PACKED_WORDS_H
#define TR_SILICON_KERNEL_PACKED_WORDS_H

#include "silicon/kernel/simd.h"

#include <string.h>

static inline int32_t q_four(const int8_t *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return four;
}

/* ---- eight lanes ------------------------------------------------------------------------------------------------- */

#if TR_VLEN == 8 || defined(TR_SIMD_WIDE)

/* Bytes as 16-bit numbers, the even and the odd ones apart: no sum of two products overflows. */
static inline __m256i q_dot8(__m256i acc, __m256i w, __m256i x)
{
    __m256i w_even = _mm256_and_si256(w, _mm256_set1_epi16(0xff)), w_odd = _mm256_srli_epi16(w, 8);
    __m256i x_even = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8), x_odd = _mm256_srai_epi16(x, 8);
    acc = _mm256_add_epi32(acc, _mm256_madd_epi16(w_even, x_even));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(w_odd, x_odd));
}

static inline __m256i q_dot_small8(__m256i acc, __m256i w, __m256i x)
{
    return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(w, x), _mm256_set1_epi16(1)));
}

static inline __m256i q_low8(__m256i w) { return _mm256_and_si256(w, _mm256_set1_epi8(15)); }
static inline __m256i q_high8(__m256i w) { return q_low8(_mm256_srli_epi16(w, 4)); }

static inline __m256 q_scales8(const uint8_t *p)
{
    __m256i half = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)p));
    __m256i magnitude = _mm256_and_si256(half, _mm256_set1_epi32(0x7fff));
    __m256i sign = _mm256_slli_epi32(_mm256_xor_si256(half, magnitude), 16);
    __m256 number = _mm256_mul_ps(_mm256_castsi256_ps(_mm256_slli_epi32(magnitude, 13)), _mm256_set1_ps(0x1p112f));
    __m256i special = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7bff));
    special = _mm256_and_si256(special, _mm256_set1_epi32(0x7f800000));
    return _mm256_or_ps(number, _mm256_castsi256_ps(_mm256_or_si256(sign, special)));
}

#endif

#if defined(TR_SIMD_WIDE)

typedef struct {
    __m256i low, high;
} tr_q;

static inline tr_q q_set1(int32_t n) { return (tr_q){_mm256_set1_epi32(n), _mm256_set1_epi32(n)}; }
static inline tr_q q_bytes(const int8_t *p) { return q_set1(q_four(p)); }
static inline tr_q q_load(const uint8_t *p)
{
    return (tr_q){_mm256_loadu_si256((const void *)p), _mm256_loadu_si256((const void *)(p + 32))};
}
static inline tr_q q_low(tr_q w) { return (tr_q){q_low8(w.low), q_low8(w.high)}; }
static inline tr_q q_high(tr_q w) { return (tr_q){q_high8(w.low), q_high8(w.high)}; }
static inline tr_q q_dot(tr_q acc, tr_q w, tr_q x)
{
    return (tr_q){q_dot8(acc.low, w.low, x.low), q_dot8(acc.high, w.high, x.high)};
}
static inline tr_q q_dot_small(tr_q acc, tr_q w, tr_q x)
{
    return (tr_q){q_dot_small8(acc.low, w.low, x.low), q_dot_small8(acc.high, w.high, x.high)};
}
static inline tr_v q_float(tr_q acc) { return (tr_v){_mm256_cvtepi32_ps(acc.low), _mm256_cvtepi32_ps(acc.high)}; }
static inline tr_v q_scales(const uint8_t *p) { return (tr_v){q_scales8(p), q_scales8(p + 16)}; }

#elif TR_VLEN == 8

typedef __m256i tr_q;

static inline tr_q q_set1(int32_t n) { return _mm256_set1_epi32(n); }
static inline tr_q q_bytes(const int8_t *p) { return q_set1(q_four(p)); }
static inline tr_q q_load(const uint8_t *p) { return _mm256_loadu_si256((const void *)p); }
static inline tr_q q_low(tr_q w) { return q_low8(w); }
static inline tr_q q_high(tr_q w) { return q_high8(w); }
static inline tr_q q_dot(tr_q acc, tr_q w, tr_q x) { return q_dot8(acc, w, x); }
static inline tr_q q_dot_small(tr_q acc, tr_q w, tr_q x) { return q_dot_small8(acc, w, x); }
static inline tr_v q_float(tr_q acc) { return _mm256_cvtepi32_ps(acc); }
static inline tr_v q_scales(const uint8_t *p) { return q_scales8(p); }

#else

typedef __m512i tr_q;

static inline tr_q q_set1(int32_t n) { return _mm512_set1_epi32(n); }
static inline tr_q q_bytes(const int8_t *p) { return q_set1(q_four(p)); }
static inline tr_q q_load(const uint8_t *p) { return _mm512_loadu_si512(p); }
static inline tr_q q_low(tr_q w) { return _mm512_and_si512(w, _mm512_set1_epi8(15)); }
static inline tr_q q_high(tr_q w) { return q_low(_mm512_srli_epi16(w, 4)); }
static inline tr_v q_float(tr_q acc) { return _mm512_cvtepi32_ps(acc); }
static inline tr_v q_scales(const uint8_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)p)); }

#if TR_SIMD_DP
static inline tr_q q_dot(tr_q acc, tr_q w, tr_q x) { return _mm512_dpbusd_epi32(acc, w, x); }
static inline tr_q q_dot_small(tr_q acc, tr_q w, tr_q x) { return _mm512_dpbusd_epi32(acc, w, x); }
#else
static inline tr_q q_dot(tr_q acc, tr_q w, tr_q x)
{
    __m512i w_even = _mm512_and_si512(w, _mm512_set1_epi16(0xff)), w_odd = _mm512_srli_epi16(w, 8);
    __m512i x_even = _mm512_srai_epi16(_mm512_slli_epi16(x, 8), 8), x_odd = _mm512_srai_epi16(x, 8);
    acc = _mm512_add_epi32(acc, _mm512_madd_epi16(w_even, x_even));
    return _mm512_add_epi32(acc, _mm512_madd_epi16(w_odd, x_odd));
}
static inline tr_q q_dot_small(tr_q acc, tr_q w, tr_q x)
{
    return _mm512_add_epi32(acc, _mm512_madd_epi16(_mm512_maddubs_epi16(w, x), _mm512_set1_epi16(1)));
}
#endif

#endif

#endif
