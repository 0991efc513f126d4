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
    TR_ATTN_SOFTMAX = 32, /* scores of a row that exp takes together; a multiple of TR_FOLD that divides a key block */
    TR_ATTN_TOGETHER = TR_ATTN_SOFTMAX / TR_VLEN,
    TR_ATTN_STACK_MAX = 2 * TR_TREE_DEPTH_MAX
};

enum chain_start { CHAIN_ZERO, CHAIN_GO_ON, CHAIN_SCALE };

struct chain {
    enum chain_start start;
    const float *scale; /* CHAIN_SCALE: one factor a row */
    float *c;
    int64_t c_stride;
    const float *a;
    int64_t a_stride; /* a(r, t) = a[r * a_stride + t]; by columns a[t * a_stride + r] */
    bool a_by_columns;
    const float *b;
    int64_t b_stride;
    int64_t steps;
};

/* `rows`, `vecs` and `by_columns` are constants where this is inlined. */
__attribute__((always_inline)) static inline void chain_tile(const struct chain *chain, int64_t x, const int rows,
                                                             const int vecs, const bool by_columns)
{
    tr_v acc[TR_ATTN_ROWS][8];
    float *c = chain->c + x;
    const float *a = chain->a, *b = chain->b + x;
    const int64_t a_stride = chain->a_stride, b_stride = chain->b_stride, c_stride = chain->c_stride;
    const int64_t steps = chain->steps;
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
                acc[r][i] = v_mul(acc[r][i], v_set1(chain->scale[r]));
    }
#pragma GCC unroll 2
    for (int64_t t = 0; t < steps; t++) {
        tr_v term[8];
#pragma GCC unroll 8
        for (int i = 0; i < vecs; i++)
            term[i] = v_load(b + t * b_stride + i * TR_VLEN);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            tr_v factor = v_set1(by_columns ? a[t * a_stride + r] : a[r * a_stride + t]);
#pragma GCC unroll 8
            for (int i = 0; i < vecs; i++)
                acc[r][i] = v_fma(factor, term[i], acc[r][i]);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < vecs; i++)
            v_store(c + r * c_stride + i * TR_VLEN, acc[r][i]);
}

/* Tiles exist for 6, 4, 2 and 1 rows; `rows` is made of them. One row alone takes more vectors, else the latency of the
 * multiply-add rules. */
__attribute__((always_inline)) static inline void chain_rows(const struct chain *chain, int64_t x, int rows,
                                                             const int vecs, const bool by_columns)
{
    struct chain rest = *chain;
    while (rows > 0) {
        int take = rows >= 6 ? 6 : rows >= 4 ? 4 : rows >= 2 ? 2 : 1;
        if (take == 6)
            chain_tile(&rest, x, 6, vecs, by_columns);
        else if (take == 4)
            chain_tile(&rest, x, 4, vecs, by_columns);
        else if (take == 2)
            chain_tile(&rest, x, 2, vecs, by_columns);
        else
            chain_tile(&rest, x, 1, vecs, by_columns);
        rows -= take;
        rest.c += take * rest.c_stride;
        rest.a += by_columns ? take : take * rest.a_stride;
        rest.scale += rest.start == CHAIN_SCALE ? take : 0;
    }
}

__attribute__((always_inline)) static inline void chain_columns(const struct chain *chain, int rows, int64_t width,
                                                                const bool by_columns)
{
    int64_t x = 0;
    if (rows == 1)
        for (; x + 64 <= width; x += 64)
            chain_tile(chain, x, 1, 64 / TR_VLEN, by_columns);
    for (; x + TR_ATTN_VECS * TR_VLEN <= width; x += TR_ATTN_VECS * TR_VLEN)
        chain_rows(chain, x, rows, TR_ATTN_VECS, by_columns);
#if TR_VLEN == 16 /* else the panels above are as narrow */
    for (; x < width; x += TR_ATTN_PANEL)
        chain_rows(chain, x, rows, TR_ATTN_PANEL / TR_VLEN, by_columns);
#endif
}

/* Runs the chain for `rows` <= TR_ATTN_ROWS rows and `width` columns, a multiple of TR_ATTN_PANEL. */
__attribute__((noinline)) static void chain_run(const struct chain *chain, int rows, int64_t width)
{
    if (chain->steps == 0 && chain->start == CHAIN_GO_ON)
        return;
    if (chain->a_by_columns)
        chain_columns(chain, rows, width, true);
    else
        chain_columns(chain, rows, width, false);
}

/* As chain_run, by rows, where row r has only last[r] steps (ascending: last[0] is the smallest). */
static void chain_run_ragged(struct chain chain, int rows, int64_t width, const int64_t *last)
{
    chain.steps = last[0];
    chain_run(&chain, rows, width);
    for (int r = 1; r < rows; r++) {
        struct chain rest = chain;
        rest.start = CHAIN_GO_ON;
        rest.c += r * chain.c_stride;
        rest.a += r * chain.a_stride + last[0];
        rest.b += last[0] * chain.b_stride;
        rest.steps = last[r] - last[0];
        chain_run(&rest, 1, width);
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

/* The first n lanes, n > 0, or all when there are more: partial loads and stores are slow. */
static inline tr_v load_some(const float *p, int64_t n) { return n >= TR_VLEN ? v_load(p) : v_loadn(p, n); }

static inline void store_some(float *p, tr_v v, int64_t n)
{
    if (n >= TR_VLEN)
        v_store(p, v);
    else
        v_storen(p, v, n);
}

/* Rows that will be packed soon. They lie far apart, each in a few lines, so that the processor does not guess them;
 * packing cold rows took 15 % of the time of the whole pass. */
static inline void prefetch_rows(const float *at, int64_t stride, int64_t rows, int64_t d)
{
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < d; i += 16)
            __builtin_prefetch(at + row * stride + i);
}

/* dst[row][0..padded) = src[row][0..d) and zeros. */
static void pack_rows(float *dst, int64_t padded, const float *src, int64_t src_stride, int64_t rows, int64_t d)
{
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = 0; i < padded; i += TR_VLEN)
            v_store(dst + row * padded + i, i < d ? load_some(src + row * src_stride + i, d - i) : v_zero());
    }
}

/* dst[i][row] = src[row][i] for i < d, rows of dst TR_KEY_BLOCK long; columns from `rows` on are zeros up to the end
 * of the block. */
static void pack_transposed(float *dst, const float *src, int64_t src_stride, int64_t rows, int64_t d)
{
    int64_t whole = rows & ~INT64_C(7), whole_d = d & ~INT64_C(7);
    for (int64_t row = 0; row < whole; row += 8)
        for (int64_t i = 0; i < whole_d; i += 8)
            v_transpose8(dst + i * TR_KEY_BLOCK + row, TR_KEY_BLOCK, src + row * src_stride + i, src_stride);
    for (int64_t i = whole_d; i < d; i++)
        for (int64_t row = 0; row < whole; row++)
            dst[i * TR_KEY_BLOCK + row] = src[row * src_stride + i];
    if (whole == TR_KEY_BLOCK)
        return;
    for (int64_t i = 0; i < d; i++) {
        for (int64_t row = whole; row < rows; row++)
            dst[i * TR_KEY_BLOCK + row] = src[row * src_stride + i];
        for (int64_t row = rows; row < TR_KEY_BLOCK; row++)
            dst[i * TR_KEY_BLOCK + row] = 0.0f;
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
