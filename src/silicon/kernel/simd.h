/* The vector words that fast kernels are written in.
 *
 * A kernel body (x_body.h) is written once with these words and included by x_avx2.c (8 lanes) and x_avx512.c (16
 * lanes); which instruction set the words stand for follows from the compiler's flags for that file. The tests also
 * include the bodies with TR_SIMD_WIDE, 16 lanes made of two 8-lane registers, so that the 16-lane bodies are compared
 * bit by bit on machines that have no AVX-512.
 *
 *     tr_v               TR_VLEN lanes of fp32; lane i of a load is p[i]
 *     tr_m               one truth for each lane
 *     TR_VFOLD           how many tr_v make the 16 partial sums of FOLD16 (reduce.h): 2 or 1
 *     TR_SIMD_NAME(f)    f_avx2, f_avx512 or f_wide: the exported functions of a body are named so
 *
 * Made of one instruction (rounded to nearest even, as the scalar operator or fmaf):
 *     v_zero() v_set1(x) v_load(p) v_store(p, v)              pointers need no alignment
 *     v_loadn(p, n) v_storen(p, v, n)                         only the first n lanes, 0 <= n <= TR_VLEN, touch memory;
 *                                                             lanes that are not loaded are +0
 *     v_add v_sub v_mul v_div (a, b)   v_sqrt(a)   v_fma(a, b, c) = a * b + c   v_neg(a)
 *     v_max(a, b) = a > b ? a : b                             (of NaN or of two zeros: b)
 *     v_gt(a, b), v_nan(a), v_first(n)                        -> tr_m; v_first: the lanes below n
 *     v_select(m, a, b) = m ? a : b
 *     v_scale2(a, n, x, low) = x < low ? +0 : a * 2^n         n whole, a and the product normal numbers, or NaN
 *     v_lane0(a), v_of8(a)                                    lane 0 as float; lanes 0 .. 7 are those of an __m256
 *     v_iota()                                                0, 1, 2 ...
 * bf16 in memory (dtype.h), fp32 in registers; a store rounds as tr_bf16_from_f32:
 *     v_load_bf16(p) v_loadn_bf16(p, n) v_store_bf16(p, v) v_storen_bf16(p, v, n)
 *     v_store_bf16_normal(p, v)                               v_store_bf16 where no lane is subnormal
 *     v_load_at(t, type, i) v_loadn_at(t, type, i, n) v_store_at(t, type, i, v) v_storen_at(t, type, i, v, n)
 *                          elements i ... of a tensor of either type; n may be more than TR_VLEN, which means all.
 *                          `type` is a constant where these are inlined
 * Pairs of bf16 (reduce.h) as words of 32 bits, the even element in the lower half:
 *     v_even(w) v_odd(w)   the elements as fp32; the odd one's bits are also the word with +0 as even element
 *     v_and(w, bits)       those bits of each word: with 0xffff the even element, +0 as odd one
 *     v_pair(even, odd)    the words of 2 x TR_VLEN elements from memory;  v_pairn(even, odd, n): the first n of each
 *     TR_SIMD_DP           1: there is v_dp(a, b, c), one step of the pair chain in one instruction (vdpbf16ps)
 *     v_pair_step(a, b, c) the same; without TR_SIMD_DP two multiply-adds, between v_pairs_begin and v_pairs_end, which
 *                          make the processor flush subnormals as the instruction does. What is between them is called,
 *                          not inlined: the compiler does not see that the mode matters
 * Made of those, with the bits of their scalar twins in silicon/op:
 *     v_exps v_sigmoids v_gelus v_gelu_slopes (x, count)      in place on x[count]; count <= V_TOGETHER is a constant, and
 *                          side by side they are up to three times as fast as one by one
 *     v_exps_bounded(x, count)   v_exps where no x is above TR_EXP_HIGH
 *     v_exp(x)   v_silu_of v_silu_slope_of (x, s)             s = sigmoid(x)
 *     v_fold16(p)          FOLD16 of p[TR_VFOLD], that is of 16 partial sums (reduce.h)
 *     v_row_max(v)         the largest lane
 *     v_fold16_rows(p) v_max_rows(v)   lane r: FOLD16 of p[r][TR_VFOLD], the largest lane of v[r], of eight rows at once
 *     v_transpose8_rows(...)    an 8 x 8 block of words;  v_transpose_rows(...): TR_VLEN rows of 8 words
 *     v_turn4(...)         TR_VLEN rows of 4 words, into registers;  v_transpose4(...): into memory
 */
#ifndef TR_SILICON_KERNEL_SIMD_H
#define TR_SILICON_KERNEL_SIMD_H

#include "silicon/op/fn.h"
#include "silicon/op/reduce.h"

#if defined(__AVX512BF16__)
#define TR_SIMD_DP 1
#else
#define TR_SIMD_DP 0
#endif

#if defined(TR_SIMD_WIDE)
#include "silicon/kernel/simd_wide.h"
#elif defined(__AVX512F__)
#include "silicon/kernel/simd_avx512.h"
#elif defined(__AVX2__)
#include "silicon/kernel/simd_avx2.h"
#else
#error "simd.h is for files that are compiled for AVX2 or AVX-512"
#endif

#define TR_VFOLD (TR_FOLD / TR_VLEN)
/* What is inlined so that its arguments are constants. Not for AddressSanitizer, which would give the arrays of each copy a
 * place of their own in one frame, of 160 KiB for the chains of attention, and clear its shadow at each return. */
#if defined(__SANITIZE_ADDRESS__)
#define TR_V_INLINE static inline
#else
#define TR_V_INLINE __attribute__((always_inline)) static inline
#endif

/* ---- chains of pairs --------------------------------------------------------------------------------------------- */

TR_V_INLINE tr_v v_pair_step(tr_v a, tr_v b, tr_v acc)
{
#if TR_SIMD_DP
    return v_dp(a, b, acc);
#else
    return v_fma(v_even(a), v_even(b), v_fma(v_odd(a), v_odd(b), acc));
#endif
}

enum { V_FLUSH_BITS = 0x8040 };

/* Without `pairs` they do nothing. */
static inline unsigned v_pairs_begin(bool pairs)
{
    if (TR_SIMD_DP || !pairs)
        return 0; /* reading the mode waits for all that came before */
    const unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | V_FLUSH_BITS);
    return mode;
}

static inline void v_pairs_end(bool pairs, unsigned mode)
{
    if (!TR_SIMD_DP && pairs)
        _mm_setcsr(mode);
}

/* ---- tensors of either type ------------------------------------------------------------------------------------- */

TR_V_INLINE tr_v v_load_at(const void *tensor, const enum tr_dtype type, int64_t i)
{
    return type == TR_BF16 ? v_load_bf16((const tr_bf16 *)tensor + i) : v_load((const float *)tensor + i);
}

TR_V_INLINE tr_v v_loadn_at(const void *tensor, const enum tr_dtype type, int64_t i, int64_t n)
{
    if (n >= TR_VLEN)
        return v_load_at(tensor, type, i);
    return type == TR_BF16 ? v_loadn_bf16((const tr_bf16 *)tensor + i, n) : v_loadn((const float *)tensor + i, n);
}

TR_V_INLINE void v_store_at(void *tensor, const enum tr_dtype type, int64_t i, tr_v v)
{
    if (type == TR_BF16)
        v_store_bf16((tr_bf16 *)tensor + i, v);
    else
        v_store((float *)tensor + i, v);
}

TR_V_INLINE void v_storen_at(void *tensor, const enum tr_dtype type, int64_t i, tr_v v, int64_t n)
{
    if (n >= TR_VLEN)
        v_store_at(tensor, type, i, v);
    else if (type == TR_BF16)
        v_storen_bf16((tr_bf16 *)tensor + i, v, n);
    else
        v_storen((float *)tensor + i, v, n);
}

/* ---- rows as words ------------------------------------------------------------------------------------------------ */

/* The word number `index` of a row of k elements: an fp32 or a pair of bf16, of which the last may be a half. */
static inline float row_word(const void *row, enum tr_dtype type, int64_t index, int64_t k)
{
    if (type == TR_F32)
        return ((const float *)row)[index];
    const tr_bf16 *pair = (const tr_bf16 *)row + 2 * index;
    return tr_f32_from_bits(pair[0] | (2 * index + 1 < k ? (uint32_t)pair[1] << 16 : 0));
}

/* Four bytes of such a row; of bf16 they may lie at odd places. */
static inline const float *row_words(const void *row, int64_t index) { return (const float *)row + index; }

/* ---- functions --------------------------------------------------------------------------------------------------- */

enum { V_TOGETHER = 4 }; /* most vectors that a word of several takes */

/* x[i] = exp(x[i]) for `count` vectors, step by step side by side: one alone is a chain of a dozen dependent steps that
 * the processor does not overlap well with the next one's. NaN comes through all of it. `bounded`: no x is above
 * TR_EXP_HIGH. */
__attribute__((always_inline)) static inline void v_exps_of(tr_v *x, const int count, const bool bounded)
{
    tr_v n[V_TOGETHER], r[V_TOGETHER], p[V_TOGETHER];
    for (int i = 0; i < count; i++)
        n[i] = v_fma(x[i], v_set1(TR_EXP_LOG2E), v_set1(TR_EXP_ROUND));
    for (int i = 0; i < count; i++)
        n[i] = v_sub(n[i], v_set1(TR_EXP_ROUND));
    for (int i = 0; i < count; i++)
        r[i] = v_fma(n[i], v_set1(-TR_EXP_LN2_HI), x[i]);
    for (int i = 0; i < count; i++)
        r[i] = v_fma(n[i], v_set1(-TR_EXP_LN2_LO), r[i]);
    for (int i = 0; i < count; i++)
        p[i] = v_fma(r[i], v_set1(TR_EXP_C6), v_set1(TR_EXP_C5));
    for (int i = 0; i < count; i++)
        p[i] = v_fma(p[i], r[i], v_set1(TR_EXP_C4));
    for (int i = 0; i < count; i++)
        p[i] = v_fma(p[i], r[i], v_set1(TR_EXP_C3));
    for (int i = 0; i < count; i++)
        p[i] = v_fma(p[i], r[i], v_set1(TR_EXP_C2));
    for (int i = 0; i < count; i++)
        p[i] = v_add(v_fma(p[i], v_mul(r[i], r[i]), r[i]), v_set1(1.0f));
    for (int i = 0; i < count; i++)
        p[i] = v_scale2(p[i], n[i], x[i], TR_EXP_LOW);
    for (int i = 0; i < count; i++)
        x[i] = bounded ? p[i] : v_select(v_gt(x[i], v_set1(TR_EXP_HIGH)), v_set1(INFINITY), p[i]);
}

static inline void v_exps(tr_v *x, const int count) { v_exps_of(x, count, false); }
static inline void v_exps_bounded(tr_v *x, const int count) { v_exps_of(x, count, true); }

static inline tr_v v_exp(tr_v x)
{
    v_exps(&x, 1);
    return x;
}

static inline void v_sigmoids(tr_v *x, const int count)
{
    for (int i = 0; i < count; i++)
        x[i] = v_neg(x[i]);
    v_exps(x, count);
    for (int i = 0; i < count; i++)
        x[i] = v_div(v_set1(1.0f), v_add(v_set1(1.0f), x[i]));
}

static inline void v_gelus(tr_v *x, const int count)
{
    tr_v s[V_TOGETHER];
    for (int i = 0; i < count; i++)
        s[i] = v_mul(x[i], v_fma(v_mul(x[i], x[i]), v_set1(TR_GELU_C3), v_set1(TR_GELU_C1)));
    v_sigmoids(s, count);
    for (int i = 0; i < count; i++)
        x[i] = v_mul(x[i], s[i]);
}

static inline void v_gelu_slopes(tr_v *x, const int count)
{
    tr_v s[V_TOGETHER];
    for (int i = 0; i < count; i++)
        s[i] = v_mul(x[i], v_fma(v_mul(x[i], x[i]), v_set1(TR_GELU_C3), v_set1(TR_GELU_C1)));
    v_sigmoids(s, count);
    for (int i = 0; i < count; i++) {
        tr_v dz = v_fma(v_mul(x[i], x[i]), v_set1(3.0f * TR_GELU_C3), v_set1(TR_GELU_C1));
        x[i] = v_fma(v_mul(x[i], v_mul(s[i], v_sub(v_set1(1.0f), s[i]))), dz, s[i]);
    }
}

/* silu(x) from x and s = sigmoid(x), and its slope. */
static inline tr_v v_silu_of(tr_v x, tr_v s) { return v_mul(x, s); }
static inline tr_v v_silu_slope_of(tr_v x, tr_v s)
{
    return v_mul(s, v_fma(x, v_sub(v_set1(1.0f), s), v_set1(1.0f)));
}

/* The 8 lanes of `p` folded: + 4, + 2, + 1. */
static inline float v_fold8(__m256 p)
{
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(p), _mm256_extractf128_ps(p, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    q = _mm_add_ss(q, _mm_movehdup_ps(q));
    return _mm_cvtss_f32(q);
}

static inline float v_fold16(const tr_v p[TR_VFOLD])
{
#if TR_VLEN == 8
    return v_fold8(_mm256_add_ps(p[0], p[1]));
#else
    return v_fold8(_mm256_add_ps(v_low8(p[0]), v_high8(p[0])));
#endif
}

static inline float v_row_max(tr_v v)
{
#if TR_VLEN == 8
    __m256 p = v;
#else
    __m256 p = _mm256_max_ps(v_low8(v), v_high8(v));
#endif
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(p), _mm256_extractf128_ps(p, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    q = _mm_max_ss(q, _mm_movehdup_ps(q));
    return _mm_cvtss_f32(q);
}

/* Lane r is what is left of the 8 lanes of row r: their sum as v_fold8 takes it, or the largest. */
TR_V_INLINE __m256 v_join8(__m256 a, __m256 b, const bool sum) { return sum ? _mm256_add_ps(a, b) : _mm256_max_ps(a, b); }
TR_V_INLINE __m256 v_join8_rows(const __m256 row[8], const bool sum)
{
    __m256 half[4], pair[2];
    for (int i = 0; i < 4; i++)
        half[i] = v_join8(_mm256_permute2f128_ps(row[i], row[i + 4], 0x20), _mm256_permute2f128_ps(row[i], row[i + 4], 0x31),
                          sum);
    for (int i = 0; i < 2; i++)
        pair[i] = v_join8(_mm256_shuffle_ps(half[i], half[i + 2], 0x44), _mm256_shuffle_ps(half[i], half[i + 2], 0xee), sum);
    __m256 all = v_join8(_mm256_shuffle_ps(pair[0], pair[1], 0x88), _mm256_shuffle_ps(pair[0], pair[1], 0xdd), sum);
    return _mm256_permute_ps(all, 0xd8); /* 0 2 1 3 in both halves */
}

static inline tr_v v_fold16_rows(const tr_v p[8][TR_VFOLD])
{
    __m256 row[8];
    for (int r = 0; r < 8; r++)
#if TR_VLEN == 8
        row[r] = _mm256_add_ps(p[r][0], p[r][1]);
#else
        row[r] = _mm256_add_ps(v_low8(p[r][0]), v_high8(p[r][0]));
#endif
    return v_of8(v_join8_rows(row, true));
}

static inline tr_v v_max_rows(const tr_v v[8])
{
    __m256 row[8];
    for (int r = 0; r < 8; r++)
#if TR_VLEN == 8
        row[r] = v[r];
#else
        row[r] = _mm256_max_ps(v_low8(v[r]), v_high8(v[r]));
#endif
    return v_of8(v_join8_rows(row, false));
}

/* dst[j * stride + i] = row[i][j] for i, j < 8 */
static inline void v_transpose8_rows(float *dst, int64_t stride, const float *const row[8])
{
    __m256 r[8], pair[8];
    /* Rows i and i + 4 meet as 128-bit halves when loaded; two rounds of unpacking do the rest. */
    for (int i = 0; i < 4; i++) {
        const float *low = row[i], *high = row[i + 4];
        r[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
        r[i + 4] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low + 4)), _mm_loadu_ps(high + 4), 1);
    }
    for (int half = 0; half < 8; half += 4) { /* columns 0..3, then 4..7 */
        pair[half] = _mm256_unpacklo_ps(r[half], r[half + 1]);
        pair[half + 1] = _mm256_unpackhi_ps(r[half], r[half + 1]);
        pair[half + 2] = _mm256_unpacklo_ps(r[half + 2], r[half + 3]);
        pair[half + 3] = _mm256_unpackhi_ps(r[half + 2], r[half + 3]);
        _mm256_storeu_ps(dst + (half + 0) * stride, _mm256_shuffle_ps(pair[half], pair[half + 2], 0x44));
        _mm256_storeu_ps(dst + (half + 1) * stride, _mm256_shuffle_ps(pair[half], pair[half + 2], 0xee));
        _mm256_storeu_ps(dst + (half + 2) * stride, _mm256_shuffle_ps(pair[half + 1], pair[half + 3], 0x44));
        _mm256_storeu_ps(dst + (half + 3) * stride, _mm256_shuffle_ps(pair[half + 1], pair[half + 3], 0xee));
    }
}

/* to[j] = word j of rows 0 .. TR_VLEN - 1 for j < 4; rows are row_bytes apart. */
TR_V_INLINE void v_turn4(tr_v to[4], const char *src, int64_t row_bytes)
{
#define V_ROW(i) _mm_loadu_ps((const float *)(src + (i) * row_bytes))
#if TR_VLEN == 16 && !defined(TR_SIMD_WIDE)
    __m512 r[4], pair[4];
    for (int i = 0; i < 4; i++) { /* rows i, i + 4, i + 8, i + 12 as quarters */
        r[i] = _mm512_castps128_ps512(V_ROW(i));
        r[i] = _mm512_insertf32x4(r[i], V_ROW(i + 4), 1);
        r[i] = _mm512_insertf32x4(r[i], V_ROW(i + 8), 2);
        r[i] = _mm512_insertf32x4(r[i], V_ROW(i + 12), 3);
    }
    for (int i = 0; i < 4; i += 2) {
        pair[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        pair[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    to[0] = _mm512_shuffle_ps(pair[0], pair[2], 0x44);
    to[1] = _mm512_shuffle_ps(pair[0], pair[2], 0xee);
    to[2] = _mm512_shuffle_ps(pair[1], pair[3], 0x44);
    to[3] = _mm512_shuffle_ps(pair[1], pair[3], 0xee);
#else
    __m256 part[TR_VLEN / 8][4];
    for (int half = 0; half < TR_VLEN / 8; half++) {
        __m256 r[4], pair[4];
        for (int i = 0; i < 4; i++)
            r[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(V_ROW(8 * half + i)), V_ROW(8 * half + i + 4), 1);
        for (int i = 0; i < 4; i += 2) {
            pair[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
            pair[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
        }
        part[half][0] = _mm256_shuffle_ps(pair[0], pair[2], 0x44);
        part[half][1] = _mm256_shuffle_ps(pair[0], pair[2], 0xee);
        part[half][2] = _mm256_shuffle_ps(pair[1], pair[3], 0x44);
        part[half][3] = _mm256_shuffle_ps(pair[1], pair[3], 0xee);
    }
    for (int j = 0; j < 4; j++)
#if TR_VLEN == 16
        to[j] = (tr_v){part[0][j], part[1][j]};
#else
        to[j] = part[0][j];
#endif
#endif
#undef V_ROW
}

/* dst[j * stride + i] = word j of row i for i < TR_VLEN, j < 4; rows are row_bytes apart; j ascending as below. */
TR_V_INLINE void v_transpose4(float *dst, int64_t stride, const char *src, int64_t row_bytes)
{
    tr_v turned[4];
    v_turn4(turned, src, row_bytes);
    for (int j = 0; j < 4; j++)
        v_store(dst + j * stride, turned[j]);
}

/* dst[j * stride + i] = row[i][j] for i < TR_VLEN, j < 8; whole vectors, j ascending, so that a smaller stride keeps of each
 * j what the next one does not write. */
static inline void v_transpose_rows(float *dst, int64_t stride, const float *const row[TR_VLEN])
{
#if TR_VLEN == 16 && !defined(TR_SIMD_WIDE)
    __m512 r[4], pair[4];
    for (int half = 0; half < 8; half += 4) { /* columns 0..3, then 4..7 */
        for (int i = 0; i < 4; i++) { /* rows i, i + 4, i + 8, i + 12 as quarters; the rest as in v_transpose8_rows */
            r[i] = _mm512_castps128_ps512(_mm_loadu_ps(row[i] + half));
            r[i] = _mm512_insertf32x4(r[i], _mm_loadu_ps(row[i + 4] + half), 1);
            r[i] = _mm512_insertf32x4(r[i], _mm_loadu_ps(row[i + 8] + half), 2);
            r[i] = _mm512_insertf32x4(r[i], _mm_loadu_ps(row[i + 12] + half), 3);
        }
        for (int i = 0; i < 4; i += 2) {
            pair[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
            pair[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
        }
        v_store(dst + (half + 0) * stride, _mm512_shuffle_ps(pair[0], pair[2], 0x44));
        v_store(dst + (half + 1) * stride, _mm512_shuffle_ps(pair[0], pair[2], 0xee));
        v_store(dst + (half + 2) * stride, _mm512_shuffle_ps(pair[1], pair[3], 0x44));
        v_store(dst + (half + 3) * stride, _mm512_shuffle_ps(pair[1], pair[3], 0xee));
    }
#else
    for (int i = TR_VLEN - 8; i >= 0; i -= 8)
        v_transpose8_rows(dst + i, stride, row + i);
#endif
}

#endif
