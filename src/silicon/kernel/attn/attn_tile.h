/* What both attention bodies are made of: one micro-kernel, packing, and a stack of partial results for the tree over
 * context parts.
 *
 * All five products of attention are chains (reduce.h) of the same form, for a few rows r and a panel of columns x:
 *     c[r][x] = c[r][x] (or 0, or c[r][x] * scale[r]), then for t ascending  c[r][x] = fma(a(r, t), b[t][x], c[r][x])
 *     scores       r = query   x = key       t = head dimension    b = K^T         a = q
 *     p v          r = query   x = dimension t = key               b = V           a = p
 *     dp           r = query   x = key       t = head dimension    b = V^T         a = do
 *     dq           r = query   x = dimension t = key               b = K           a = ds
 *     dk, dv       r = key     x = dimension t = query             b = q, do       a = ds, p, read by columns
 * Lanes run along x, so each element is its own chain whatever the tile. Widths are padded to TR_ATTN_PANEL with zeros
 * in the packed copies: a padded lane is another chain that nobody reads. Chains stop and go on in memory, which
 * rounds nothing.
 *
 * A masked pair is no term with p = 0: fma(0, v, c) would turn c = -0 into +0 and a NaN or infinity in v into NaN.
 * Where the rows of a tile end at different keys, the steps that all of them have are done together and the few others
 * row by row. Where documents stand apart, a tile has rows of one document only, so all of them begin at the same key.
 *
 * Copies are made of words of 32 bits (simd.h): an fp32 number or, in bf16, a pair along t, which is then a step of the
 * pair chain (reduce.h). Pairs along keys and queries are of absolute positions; one that has one member only is a step
 * of its own (chain_half), in which the other one counts as +0 times +0.
 */
#ifndef TR_SILICON_KERNEL_ATTN_TILE_H
#define TR_SILICON_KERNEL_ATTN_TILE_H

#include "base/num.h"
#include "silicon/kernel/simd.h"
#include "silicon/op/reduce.h"

#include <stdbool.h>
#include <string.h>

enum {
    TR_ATTN_PANEL = 16, /* packed widths are multiples of this */
    TR_ATTN_ROWS = 6,   /* rows of a register tile */
    TR_ATTN_VECS = TR_VLEN == 8 ? 2 : 4, /* vectors of a register tile: 12 of 16, 24 of 32 registers accumulate */
    TR_ATTN_SOFTMAX = 32, /* scores of a row are taken by so many: a multiple of TR_FOLD that divides a key block */
    TR_ATTN_STACK_MAX = 2 * TR_TREE_DEPTH_MAX,
    SECOND_CACHE = 2 /* of prefetches: not into the first one, where it would push out what is at work */
};

enum chain_start { CHAIN_ZERO, CHAIN_GO_ON, CHAIN_SCALE };

/* Where b lies: in a copy that many rows use; in one that few rows use, which have time to ask for what comes next; not
 * copied, the rows of a tensor, of which a step has one (for pairs two), or a word of each: row x is column x then. */
enum chain_source { CHAIN_PACKED, CHAIN_ONCE, CHAIN_IN_PLACE, CHAIN_TURNED };

/* Strides count words, which are what a and b are made of. */
struct chain {
    enum chain_start start;
    bool pairs;         /* of bf16 */
    const float *scale; /* CHAIN_SCALE: one factor a row */
    float *c;
    int64_t c_stride;
    const float *a;
    int64_t a_stride; /* a(r, t) = a[r * a_stride + t]; by columns a[t * a_stride + r] */
    bool a_by_columns;
    const float *b;
    int64_t b_stride;
    int64_t steps;
    enum chain_source source;
    const char *next;   /* what is to be asked for meanwhile, next_bytes a step, whole lines; not by CHAIN_PACKED */
    int64_t next_bytes;
};

/* One step of a chain: a word of a, as it stands in every lane, and a vector of words of b. */
TR_V_INLINE tr_v chain_step(tr_v a, tr_v b, tr_v acc, const bool pairs)
{
    return pairs ? v_pair_step(a, b, acc) : v_fma(a, b, acc);
}

/* Words of b from column x of a step on. */
TR_V_INLINE tr_v chain_term(const float *step, int64_t b_stride, int64_t x, const bool pairs,
                            const enum chain_source source)
{
    const tr_bf16 *even = (const tr_bf16 *)step + x;
    return pairs && source == CHAIN_IN_PLACE ? v_pair(even, even + b_stride) : v_load(step + x);
}

/* The tile at (row, x) of CHAIN_TURNED: pairs, from zero, a multiple of four steps. Four words of a vector of rows are turned
 * while the steps of others go on. */
TR_V_INLINE void turned_tile(const struct chain *chain, int row, int64_t x, const int rows, const int vecs)
{
    tr_v acc[TR_ATTN_ROWS][8];
    const int64_t row_bytes = chain->b_stride * (int64_t)sizeof(float);
    const char *b = (const char *)(chain->b + x * chain->b_stride);
    const float *a = chain->a + row * chain->a_stride;
    const int64_t next_bytes = row == 0 && x == 0 ? 4 * chain->next_bytes : 0;
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < vecs; i++)
            acc[r][i] = v_zero();
    for (int64_t t = 0; t < chain->steps; t += 4, b += 4 * sizeof(float)) {
        for (int64_t i = 0; i < next_bytes; i += 64)
            __builtin_prefetch(chain->next + t / 4 * next_bytes + i, 0, SECOND_CACHE);
#pragma GCC unroll 8
        for (int i = 0; i < vecs; i++) {
            tr_v term[4];
            v_turn4(term, b + i * TR_VLEN * row_bytes, row_bytes);
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
#pragma GCC unroll 8
                for (int r = 0; r < rows; r++)
                    acc[r][i] = v_pair_step(v_set1(a[r * chain->a_stride + t + j]), term[j], acc[r][i]);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < vecs; i++)
            v_store(chain->c + (row + r) * chain->c_stride + x + i * TR_VLEN, acc[r][i]);
}

/* The tile at (row, x). `rows`, `vecs`, `by_columns`, `pairs` and `source` are constants where this is inlined. */
TR_V_INLINE void chain_tile(const struct chain *chain, int row, int64_t x, const int rows, const int vecs,
                            const bool by_columns, const bool pairs, const enum chain_source source)
{
    if (source == CHAIN_TURNED)
        return turned_tile(chain, row, x, rows, vecs);
    tr_v acc[TR_ATTN_ROWS][8];
    const int64_t a_stride = chain->a_stride, b_stride = chain->b_stride, c_stride = chain->c_stride;
    float *c = chain->c + row * c_stride + x;
    const float *a = chain->a + row * (by_columns ? 1 : a_stride), *b = chain->b;
    const int64_t steps = chain->steps, next_bytes = row == 0 && x == 0 ? chain->next_bytes : 0;
    if (chain->start == CHAIN_ZERO) {
        for (int r = 0; r < rows; r++)
            for (int i = 0; i < vecs; i++)
                acc[r][i] = v_zero();
    } else {
        for (int r = 0; r < rows; r++)
            for (int i = 0; i < vecs; i++)
                acc[r][i] = v_load(c + r * c_stride + i * TR_VLEN);
    }
    if (chain->start == CHAIN_SCALE) {
        for (int r = 0; r < rows; r++)
            for (int i = 0; i < vecs; i++)
                acc[r][i] = v_mul(acc[r][i], v_set1(chain->scale[row + r]));
    }
#pragma GCC unroll 2
    for (int64_t t = 0; t < steps; t++) {
        tr_v term[8];
#pragma GCC unroll 8
        for (int i = 0; i < vecs; i++)
            term[i] = chain_term(b + t * b_stride, b_stride, x + i * TR_VLEN, pairs, source);
        for (int64_t i = 0; source != CHAIN_PACKED && i < next_bytes; i += 64)
            __builtin_prefetch(chain->next + t * next_bytes + i, 0, SECOND_CACHE);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            tr_v factor = v_set1(by_columns ? a[t * a_stride + r] : a[r * a_stride + t]);
#pragma GCC unroll 8
            for (int i = 0; i < vecs; i++)
                acc[r][i] = chain_step(factor, term[i], acc[r][i], pairs);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < vecs; i++)
            v_store(c + r * c_stride + i * TR_VLEN, acc[r][i]);
}

/* Rows [row, row + rows) at x, in tiles of 6, 4, 2 and 1 rows. One row alone takes more vectors, else the latency of the
 * multiply-add rules. */
TR_V_INLINE void chain_rows(const struct chain *chain, int row, int64_t x, int rows, const int vecs,
                            const bool by_columns, const bool pairs, const enum chain_source source)
{
    const int end = row + rows;
    while (row < end) {
        if (end - row >= 6) {
            chain_tile(chain, row, x, 6, vecs, by_columns, pairs, source);
            row += 6;
        } else if (end - row >= 4) {
            chain_tile(chain, row, x, 4, vecs, by_columns, pairs, source);
            row += 4;
        } else if (end - row >= 2) {
            chain_tile(chain, row, x, 2, vecs, by_columns, pairs, source);
            row += 2;
        } else {
            chain_tile(chain, row, x, 1, vecs, by_columns, pairs, source);
            row += 1;
        }
    }
}

TR_V_INLINE void chain_columns(const struct chain *chain, int row, int rows, int64_t width, const bool by_columns,
                               const bool pairs, const enum chain_source source)
{
    int64_t x = 0;
    if (rows == 1)
        for (; x + 64 <= width; x += 64)
            chain_tile(chain, row, x, 1, 64 / TR_VLEN, by_columns, pairs, source);
    for (; x + TR_ATTN_VECS * TR_VLEN <= width; x += TR_ATTN_VECS * TR_VLEN)
        chain_rows(chain, row, x, rows, TR_ATTN_VECS, by_columns, pairs, source);
#if TR_VLEN == 16 /* else the panels above are as narrow */
    for (; x < width; x += TR_ATTN_PANEL)
        chain_rows(chain, row, x, rows, TR_ATTN_PANEL / TR_VLEN, by_columns, pairs, source);
#endif
}

/* Apart from what sets the processor's mode for pairs (v_pairs_begin). */
__attribute__((noinline)) static void chain_all(const struct chain *chain, int row, int rows, int64_t width)
{
    TR_ASSERT(chain->source == CHAIN_PACKED || !chain->a_by_columns);
    TR_ASSERT(chain->source != CHAIN_TURNED || (chain->pairs && chain->start == CHAIN_ZERO && chain->steps % 4 == 0));
#if !TR_SIMD_DP
    if (!chain->pairs && chain->source != CHAIN_PACKED) /* in place or not, numbers are read the same way */
        return chain_columns(chain, row, rows, width, false, false, CHAIN_ONCE);
    if (!chain->pairs && chain->a_by_columns)
        return chain_columns(chain, row, rows, width, true, false, CHAIN_PACKED);
    if (!chain->pairs)
        return chain_columns(chain, row, rows, width, false, false, CHAIN_PACKED);
#endif
    if (chain->source == CHAIN_IN_PLACE)
        chain_columns(chain, row, rows, width, false, true, CHAIN_IN_PLACE);
    else if (chain->source == CHAIN_TURNED)
        chain_columns(chain, row, rows, width, false, true, CHAIN_TURNED);
    else if (chain->source == CHAIN_ONCE)
        chain_columns(chain, row, rows, width, false, true, CHAIN_ONCE);
    else if (chain->a_by_columns)
        chain_columns(chain, row, rows, width, true, true, CHAIN_PACKED);
    else
        chain_columns(chain, row, rows, width, false, true, CHAIN_PACKED);
}

/* c = 0 or c * scale, in the processor's ordinary mode, so that the chain goes on. */
__attribute__((noinline)) static void chain_begin(struct chain *chain, int rows, int64_t width)
{
    for (int r = 0; r < rows && chain->start != CHAIN_GO_ON; r++) {
        for (int64_t x = 0; x < width; x += TR_VLEN) {
            float *c = chain->c + r * chain->c_stride + x;
            v_store(c, chain->start == CHAIN_ZERO ? v_zero() : v_mul(v_load(c), v_set1(chain->scale[r])));
        }
    }
    chain->start = CHAIN_GO_ON;
}

/* Runs the chain for rows [row, row + rows), at most TR_ATTN_ROWS, and `width` columns, a multiple of TR_ATTN_PANEL. What
 * comes next goes on. The chain is not copied: it was written a moment ago in small pieces, and a processor that reads
 * those together waits until they have left it. */
static void chain_run_rows(struct chain *chain, int row, int rows, int64_t width)
{
    if (chain->steps == 0 && chain->start == CHAIN_GO_ON)
        return;
    if (!TR_SIMD_DP && chain->pairs && chain->start == CHAIN_SCALE)
        chain_begin(chain, rows, width);
    const unsigned mode = v_pairs_begin(chain->pairs);
    chain_all(chain, row, rows, width);
    v_pairs_end(chain->pairs, mode);
    chain->start = CHAIN_GO_ON;
}

static void chain_run(struct chain *chain, int rows, int64_t width) { chain_run_rows(chain, 0, rows, width); }

/* The words of b with the other member as zero; in place only its row is read. */
TR_V_INLINE tr_v half_term(const struct chain *chain, int64_t x, bool odd)
{
    static const tr_bf16 none[TR_VLEN];
    const tr_bf16 *even = (const tr_bf16 *)chain->b + x;
    if (chain->source == CHAIN_IN_PLACE)
        return odd ? v_pair(none, even + chain->b_stride) : v_pair(even, none);
    return odd ? v_odd(v_load(chain->b + x)) : v_only_even(v_load(chain->b + x));
}

__attribute__((noinline)) static void half_rows(const struct chain *chain, int row, int rows, int64_t width, bool odd)
{
    for (int r = row; r < row + rows; r++) {
        const tr_v a = v_set1(chain->a[chain->a_by_columns ? r : r * chain->a_stride]);
        const tr_v factor = odd ? v_odd(a) : v_only_even(a);
        for (int64_t x = 0; x < width; x += TR_VLEN) {
            float *c = chain->c + r * chain->c_stride + x;
            v_store(c, v_pair_step(factor, half_term(chain, x, odd), v_load(c)));
        }
    }
}

/* A step of a chain of pairs, of which only the odd member is there (then it is the first), or only the even one. */
static void chain_half(struct chain *chain, int row, int rows, int64_t width, bool odd)
{
    chain_begin(chain, rows, width);
    const unsigned mode = v_pairs_begin(true);
    half_rows(chain, row, rows, width, odd);
    v_pairs_end(true, mode);
}

/* A chain over keys, by rows: row r has the keys from `first` to last[r], of which last[0] is the smallest and greater
 * than `first`. a and b are at key 0, which is even. */
static void chain_run_keys(struct chain *chain, int rows, int64_t width, int64_t first, const int64_t *last)
{
    const int64_t per_word = chain->pairs ? 2 : 1, begin = (first + per_word - 1) / per_word, all = last[0] / per_word;
    const float *a = chain->a, *b = chain->b;
    if (begin * per_word != first) {
        chain->a = a + first / 2;
        chain->b = b + first / 2 * chain->b_stride;
        chain_half(chain, 0, rows, width, true);
    }
    chain->a = a + begin;
    chain->b = b + begin * chain->b_stride;
    chain->steps = all - begin;
    chain_run(chain, rows, width);
    for (int r = 0; r < rows; r++) {
        const int64_t more = last[r] / per_word - all;
        chain->a = a + all;
        chain->b = b + all * chain->b_stride;
        chain->steps = more;
        chain_run_rows(chain, r, 1, width);
        chain->a += more;
        chain->b += more * chain->b_stride;
        if (last[r] % per_word > 0)
            chain_half(chain, r, 1, width, false);
    }
}

/* Where the document of the query at index i of its sequence begins; without `start` the sequence is one document. */
static inline int64_t attn_start(const int32_t *start, int64_t i) { return start == NULL ? 0 : start[i]; }

/* How many of the queries from `first` on, at most `limit`, are of one document. */
static inline int64_t attn_together(const int32_t *start, int64_t first, int64_t limit)
{
    int64_t n = start == NULL ? limit : 1;
    while (n < limit && start[first + n] == start[first])
        n++;
    return n;
}

/* The first query from `first` on whose document begins at `key` or later; `end` when there is none. */
static inline int64_t attn_reach(const int32_t *start, int64_t first, int64_t end, int64_t key)
{
    int64_t i = start == NULL ? end : first;
    while (i < end && start[i] < key)
        i++;
    return i;
}

/* The next n floats of scratch memory that begins at `base`, n a multiple of 16; with base = NULL it only counts. */
static inline float *carve(float *base, int64_t *used, int64_t n)
{
    float *at = base == NULL ? NULL : base + *used;
    TR_ASSERT(n % 16 == 0);
    *used += n;
    return at;
}

/* Words that `n` elements of a row take. */
static inline int64_t attn_words(enum tr_dtype type, int64_t n) { return type == TR_BF16 ? (n + 1) / 2 : n; }

static inline const void *attn_at(const void *tensor, enum tr_dtype type, int64_t index)
{
    return (const char *)tensor + index * tr_dtype_bytes(type);
}

static inline void *attn_to(void *tensor, enum tr_dtype type, int64_t index)
{
    return (char *)tensor + index * tr_dtype_bytes(type);
}

/* Rows that will be packed soon. They lie far apart, each in a few lines, so that the processor does not guess them;
 * packing cold rows took 15 % of the time of the whole pass. Strides count elements. */
static inline void prefetch_rows(const void *at, enum tr_dtype type, int64_t stride, int64_t rows, int64_t d)
{
    const int64_t bytes = tr_dtype_bytes(type);
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < d * bytes; i += 64)
            __builtin_prefetch((const char *)at + row * stride * bytes + i);
}

/* dst[row] = src[row][0..d) and zeros, `words` words, a multiple of 8. */
static void pack_rows(float *dst, int64_t words, const void *src, enum tr_dtype type, int64_t src_stride, int64_t rows,
                      int64_t d)
{
    const int64_t there = attn_words(type, d), whole = (type == TR_BF16 ? d / 2 : d) / 8 * 8;
    for (int64_t row = 0; row < rows; row++, dst += words) {
        const void *from = attn_at(src, type, row * src_stride);
        for (int64_t i = 0; i < whole; i += 8)
            _mm256_storeu_ps(dst + i, _mm256_loadu_ps(row_words(from, i)));
        for (int64_t i = whole; i < words; i++)
            dst[i] = i < there ? row_word(from, type, i, d) : 0.0f;
    }
}

/* dst[i][row] = word i of src[row], rows of dst TR_KEY_BLOCK long; columns from `rows` on are zeros up to the end of the
 * block. */
static void pack_transposed(float *dst, const void *src, enum tr_dtype type, int64_t src_stride, int64_t rows,
                            int64_t d)
{
    static const float none[8]; /* of a row that is not there */
    const int64_t words = attn_words(type, d), whole_words = (type == TR_BF16 ? d / 2 : d) / 8 * 8;
    for (int64_t row = 0; row < TR_KEY_BLOCK; row += TR_VLEN) {
        for (int64_t i = 0; i < whole_words; i += 8) {
            const float *from[TR_VLEN];
            for (int64_t r = 0; r < TR_VLEN; r++)
                from[r] = row + r < rows ? row_words(attn_at(src, type, (row + r) * src_stride), i) : none;
            v_transpose_rows(dst + i * TR_KEY_BLOCK + row, TR_KEY_BLOCK, from);
        }
    }
    for (int64_t row = 0; row < TR_KEY_BLOCK && whole_words < words; row++) {
        const void *from = attn_at(src, type, row * src_stride);
        for (int64_t i = whole_words; i < words; i++)
            dst[i * TR_KEY_BLOCK + row] = row < rows ? row_word(from, type, i, d) : 0.0f;
    }
}

/* dst[pair][i] = the words (even row, odd row) of element i < d, zeros up to `padded`. `src` is the first of `rows` rows
 * at positions `first` ...; of the pairs of absolute positions, the one of `first` is the first. */
static void pack_pairs(float *dst, int64_t padded, const tr_bf16 *src, int64_t src_stride, int64_t first, int64_t rows,
                       int64_t d)
{
    static const tr_bf16 none[TR_VLEN];
    for (int64_t row = -(first % 2); row < rows; row += 2, dst += padded) {
        const tr_bf16 *even = src + row * src_stride, *odd = even + src_stride;
        for (int64_t i = 0; i < padded; i += TR_VLEN) {
            const tr_bf16 *low = row < 0 ? none : even + i, *high = row + 1 == rows ? none : odd + i;
            const int64_t n = tr_min_i64(TR_VLEN, d - i);
            v_store(dst + i, n <= 0 ? v_zero() : n == TR_VLEN ? v_pair(low, high) : v_pairn(low, high, n));
        }
    }
}

/* The binary counter of reduce.h over parts some of which have nothing to add: entry = which slot of scratch memory
 * holds the node, and whether there is anything in it. */
struct part_stack {
    int depth;
    int slot[TR_ATTN_STACK_MAX];
    bool present[TR_ATTN_STACK_MAX];
};

static inline struct part_stack part_stack_new(void)
{
    struct part_stack stack = {0};
    for (int i = 0; i < TR_ATTN_STACK_MAX; i++)
        stack.slot[i] = i;
    return stack;
}

/* The slot that the next leaf is to be computed in. */
static inline int part_stack_next(const struct part_stack *stack) { return stack->slot[stack->depth]; }

static inline void part_stack_push(struct part_stack *stack, bool present)
{
    TR_ASSERT(stack->depth < TR_ATTN_STACK_MAX);
    stack->present[stack->depth++] = present;
}

/* Takes the top entry off. True when both it and the one below have something: the caller adds slot *top to slot
 * *below. Otherwise whichever is there stands as it is. */
static inline bool part_stack_pop(struct part_stack *stack, int *below, int *top)
{
    TR_ASSERT(stack->depth >= 2);
    int i = --stack->depth;
    *below = stack->slot[i - 1];
    *top = stack->slot[i];
    if (stack->present[i] && !stack->present[i - 1]) {
        stack->slot[i - 1] = *top;
        stack->slot[i] = *below;
        stack->present[i - 1] = true;
        return false;
    }
    return stack->present[i];
}

#endif
