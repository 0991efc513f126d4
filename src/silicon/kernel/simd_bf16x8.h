/* Eight bf16 at a time in AVX2: what simd_avx2.h and simd_wide.h make their bf16 words of. */
#ifndef TR_SILICON_KERNEL_SIMD_BF16X8_H
#define TR_SILICON_KERNEL_SIMD_BF16X8_H

#include "silicon/op/dtype.h"

#include <immintrin.h>

static inline __m256 v_upper8(__m128i half)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

static inline __m128i v_rounded8(__m256 v)
{
    __m256i bits = _mm256_castps_si256(v), upper = _mm256_srli_epi32(bits, 16);
    __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
    __m256i sum = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    __m256i rounded = _mm256_blendv_epi8(_mm256_srli_epi32(sum, 16), quiet, nan);
    return _mm_packus_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
}

/* AVX2 has no masks for 16 bits. */
static inline __m128i v_first_halves(const tr_bf16 *p, int64_t n)
{
    tr_bf16 half[8] = {0};
    for (int64_t i = 0; i < n && i < 8; i++)
        half[i] = p[i];
    return _mm_loadu_si128((const void *)half);
}

static inline void v_store_first_halves(tr_bf16 *p, __m128i v, int64_t n)
{
    tr_bf16 half[8];
    _mm_storeu_si128((void *)half, v);
    for (int64_t i = 0; i < n && i < 8; i++)
        p[i] = half[i];
}

static inline __m256 v_pair8(__m128i even, __m128i odd)
{
    return _mm256_castsi256_ps(_mm256_or_si256(_mm256_cvtepu16_epi32(even),
                                               _mm256_slli_epi32(_mm256_cvtepu16_epi32(odd), 16)));
}

static inline __m256 v_even8(__m256 w) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(w), 16)); }
static inline __m256 v_odd8(__m256 w)
{
    return _mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(w), _mm256_set1_epi32((int)0xffff0000u)));
}
static inline __m256 v_and8(__m256 a, uint32_t bits)
{
    return _mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(a), _mm256_set1_epi32((int)bits)));
}

#endif
