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
 * Where the rows of a tile begin or end at different steps, those that all of them have are done together; in the few others
 * each row's own are, with the sums in registers all the way. Where documents stand apart, a tile has rows of one document only.
 *
 * Copies are made of words of 32 bits (simd.h): an fp32 number or, in bf16, a pair along t, which is then a step of the
 * pair chain (reduce.h). Pairs along keys and queries are of absolute positions; where a row has one member only, the other
 * one counts as +0 times +0.
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
    TR_ATTN_SOFTMAX = TR_FOLD, /* scores of a row are taken by so many */
    TR_ATTN_STACK_MAX = 2 * TR_TREE_DEPTH_MAX,
    SECOND_CACHE = 2 /* of prefetches: not into the first one, where it would push out what is at work */
};

enum chain_start { CHAIN_ZERO, CHAIN_GO_ON, CHAIN_SCALE };

/* Where b lies: in a copy that many rows use; in one that few rows use, which have time to ask for what comes next; not
 * copied, the rows of a tensor, of which a step has one (for pairs two), or a word of each: row x is column x then. */
enum chain_source { CHAIN_PACKED, CHAIN_ONCE, CHAIN_IN_PLACE, CHAIN_TURNED };

/* Which elements of a chain each row has: [first[r], last[r]), both ascending, counted from an even position, where words 0 of a
 * and b are. */
struct chain_share {
    int64_t first[TR_ATTN_ROWS], last[TR_ATTN_ROWS];
};

/* Whether all rows have all of a key block. */
static inline bool chain_is_whole(const struct chain_share *share, int rows)
{
    return share->first[rows - 1] == 0 && share->last[0] == TR_KEY_BLOCK;
}

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
    int64_t steps;                   /* which all rows have */
    const struct chain_share *share; /* or: what each row has; steps is not read then */
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

/* chain_term with the other members as zeros: `members` are the bits of a word that count. In place only rows that are there
 * are read. */
TR_V_INLINE tr_v edge_term(const float *step, int64_t b_stride, int64_t x, const bool pairs, const enum chain_source source,
                           uint32_t members)
{
    static const tr_bf16 none[TR_VLEN];
    const tr_bf16 *even = (const tr_bf16 *)step + x;
    if (!pairs)
        return v_load(step + x);
    if (source == CHAIN_IN_PLACE)
        return v_pair(members & 0xffff ? even : none, members >> 16 ? even + b_stride : none);
    return v_and(v_load(step + x), members);
}

/* Steps that not all rows have whole: of each row what is its own. */
TR_V_INLINE void chain_edge(const struct chain *chain, int64_t from, int64_t to, tr_v acc[TR_ATTN_ROWS][8], int row,
                            int64_t x, const int rows, const int vecs, const bool by_columns, const bool pairs,
                            const enum chain_source source)
{
    const float *a = chain->a + row * (by_columns ? 1 : chain->a_stride);
    for (int64_t t = from; t < to; t++) {
        const float *b = chain->b + t * chain->b_stride;
        const int64_t element = pairs ? 2 * t : t;
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const int64_t first = chain->share->first[row + r] - element, last = chain->share->last[row + r] - element;
            const uint32_t low = first <= 0 && last > 0 ? 0xffff : 0, high = first <= 1 && last > 1 ? 0xffff0000 : 0;
            const uint32_t members = pairs ? low | high : low;
            if (members == 0)
                continue;
            const float word = by_columns ? a[t * chain->a_stride + r] : a[r * chain->a_stride + t];
            const tr_v factor = pairs ? v_and(v_set1(word), members) : v_set1(word);
#pragma GCC unroll 8
            for (int i = 0; i < vecs; i++)
                acc[r][i] = chain_step(factor, edge_term(b, chain->b_stride, x + i * TR_VLEN, pairs, source, members),
                                       acc[r][i], pairs);
        }
    }
}

/* The tile at (row, x). `rows`, `vecs`, `by_columns`, `pairs`, `source` and whether there is a share are constants where this is
 * inlined. */
TR_V_INLINE void chain_tile(const struct chain *chain, const struct chain_share *share, int row, int64_t x, const int rows,
                            const int vecs, const bool by_columns, const bool pairs, const enum chain_source source)
{
    if (source == CHAIN_TURNED)
        return turned_tile(chain, row, x, rows, vecs);
    tr_v acc[TR_ATTN_ROWS][8];
    const int64_t a_stride = chain->a_stride, b_stride = chain->b_stride, c_stride = chain->c_stride;
    float *c = chain->c + row * c_stride + x;
    const float *a = chain->a + row * (by_columns ? 1 : a_stride), *b = chain->b;
    const int64_t next_bytes = row == 0 && x == 0 ? chain->next_bytes : 0;
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
    int64_t begin = 0, first = 0, last = chain->steps, end = last; /* all rows have the steps from `first` to `last` */
    if (share != NULL) {
        const int half = pairs; /* a word has 1 << half elements */
        begin = share->first[row] >> half;
        end = (share->last[row + rows - 1] + half) >> half;
        first = tr_min_i64((share->first[row + rows - 1] + half) >> half, end);
        last = tr_max_i64(share->last[row] >> half, first);
    }
    for (bool after = false;; after = true) { /* once and a half, so that the edges on both sides are one piece of code */
        if (share != NULL)
            chain_edge(chain, after ? last : begin, after ? end : first, acc, row, x, rows, vecs, by_columns, pairs, source);
        if (after)
            break;
#pragma GCC unroll 2
        for (int64_t t = first; t < last; t++) {
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
        if (share == NULL)
            break;
    }
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < vecs; i++)
            v_store(c + r * c_stride + i * TR_VLEN, acc[r][i]);
}

/* The rows at x, in tiles of 6, 4, 2 and 1 rows. One row alone takes more vectors, else the latency of the multiply-add
 * rules. */
TR_V_INLINE void chain_rows(const struct chain *chain, const struct chain_share *share, int64_t x, int rows,
                            const int vecs, const bool by_columns, const bool pairs, const enum chain_source source)
{
    int row = 0;
    while (row < rows) {
        if (rows - row >= 6) {
            chain_tile(chain, share, row, x, 6, vecs, by_columns, pairs, source);
            row += 6;
        } else if (rows - row >= 4) {
            chain_tile(chain, share, row, x, 4, vecs, by_columns, pairs, source);
            row += 4;
        } else if (rows - row >= 2) {
            chain_tile(chain, share, row, x, 2, vecs, by_columns, pairs, source);
            row += 2;
        } else {
            chain_tile(chain, share, row, x, 1, vecs, by_columns, pairs, source);
            row += 1;
        }
    }
}

TR_V_INLINE void chain_columns(const struct chain *chain, const struct chain_share *share, int rows, int64_t width,
                               const bool by_columns, const bool pairs, const enum chain_source source)
{
    int64_t x = 0;
    if (rows == 1)
        for (; x + 64 <= width; x += 64)
            chain_tile(chain, share, 0, x, 1, 64 / TR_VLEN, by_columns, pairs, source);
    for (; x + TR_ATTN_VECS * TR_VLEN <= width; x += TR_ATTN_VECS * TR_VLEN)
        chain_rows(chain, share, x, rows, TR_ATTN_VECS, by_columns, pairs, source);
#if TR_VLEN == 16 /* else the panels above are as narrow */
    if (source == CHAIN_PACKED && share == NULL && x + 48 <= width) { /* one vector alone waits for its own sums */
        chain_rows(chain, share, x, rows, 3, by_columns, pairs, source);
        x += 48;
    } else if (source == CHAIN_PACKED && share == NULL && x + 32 <= width) {
        chain_rows(chain, share, x, rows, 2, by_columns, pairs, source);
        x += 32;
    }
    for (; x < width; x += TR_ATTN_PANEL)
        chain_rows(chain, share, x, rows, 1, by_columns, pairs, source);
#endif
}

/* Apart from what sets the processor's mode for pairs (v_pairs_begin). A share is of chains along keys and queries, whose terms are
 * rows of a copy, or lie in place; the others are scores. */
__attribute__((noinline)) static void chain_all(const struct chain *chain, int rows, int64_t width)
{
    const struct chain_share *share = chain->share;
    TR_ASSERT(share != NULL || !chain->a_by_columns);
    TR_ASSERT((share == NULL || chain->source == CHAIN_PACKED) == (chain->source != CHAIN_IN_PLACE));
    TR_ASSERT(chain->source != CHAIN_TURNED || (chain->pairs && chain->start == CHAIN_ZERO && chain->steps % 4 == 0));
#if !TR_SIMD_DP
    if (!chain->pairs && chain->a_by_columns)
        return chain_columns(chain, share, rows, width, true, false, CHAIN_PACKED);
    if (!chain->pairs && chain->source == CHAIN_IN_PLACE) /* numbers are read as those of a copy; what comes next is asked for */
        return chain_columns(chain, share, rows, width, false, false, CHAIN_IN_PLACE);
    if (!chain->pairs && share != NULL)
        return chain_columns(chain, share, rows, width, false, false, CHAIN_PACKED);
    if (!chain->pairs && chain->source == CHAIN_ONCE)
        return chain_columns(chain, NULL, rows, width, false, false, CHAIN_ONCE);
    if (!chain->pairs)
        return chain_columns(chain, NULL, rows, width, false, false, CHAIN_PACKED);
#endif
    if (chain->a_by_columns)
        chain_columns(chain, share, rows, width, true, true, CHAIN_PACKED);
    else if (chain->source == CHAIN_IN_PLACE)
        chain_columns(chain, share, rows, width, false, true, CHAIN_IN_PLACE);
    else if (share != NULL)
        chain_columns(chain, share, rows, width, false, true, CHAIN_PACKED);
    else if (chain->source == CHAIN_TURNED)
        chain_columns(chain, NULL, rows, width, false, true, CHAIN_TURNED);
    else if (chain->source == CHAIN_ONCE)
        chain_columns(chain, NULL, rows, width, false, true, CHAIN_ONCE);
    else
        chain_columns(chain, NULL, rows, width, false, true, CHAIN_PACKED);
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

/* Runs the chain for `rows` rows, at most TR_ATTN_ROWS, and `width` columns, a multiple of TR_ATTN_PANEL. What comes next goes
 * on. The chain is not copied: it was written a moment ago in small pieces, and a processor that reads those together
 * waits until they have left it. */
static void chain_run(struct chain *chain, int rows, int64_t width)
{
    if (!TR_SIMD_DP && chain->pairs && chain->start == CHAIN_SCALE)
        chain_begin(chain, rows, width);
    const unsigned mode = v_pairs_begin(chain->pairs);
    chain_all(chain, rows, width);
    v_pairs_end(chain->pairs, mode);
    chain->start = CHAIN_GO_ON;
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

/* A constant where there is one type only. */
static inline enum tr_dtype attn_type(enum tr_dtype type) { return TR_SIMD_DP ? TR_BF16 : type; }

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
