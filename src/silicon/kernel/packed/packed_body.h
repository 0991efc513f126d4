/* Products with weights in panels, written once for every vector length.
 *
 * A task is one panel and a group of tiles of rows. Threads take contiguous tasks, so that each of them reads its share of
 * the weights straight through. Rows lie as tiles of words, [word][row of the tile], which one row does by itself; for int8
 * and int4 they are rounded first, [block][row of the tile]. */
#ifndef TR_SILICON_KERNEL_PACKED_BODY_H
#define TR_SILICON_KERNEL_PACKED_BODY_H

#include "base/num.h"
#include "silicon/kernel/linear/finish.h"
#include "silicon/kernel/packed/packed.h"
#include "silicon/kernel/packed/packed_words.h"
#include "silicon/kernel/simd.h"

#include <omp.h>
#include <string.h>

#if TR_VLEN == 8
enum { ROWS = 6, QUANT_ROWS = 2 }; /* of a tile: sums of 12 and 8 of 16 registers */
#else
enum { ROWS = 14, QUANT_ROWS = 6 }; /* 28 and 24 of 32 */
#endif
/* Few rows wait for memory: what they will read is asked for so far ahead, distances as measured (bench/LOG.md). Blocks of
 * int8 and int4 go into the first cache only (READ_ONCE, of prefetches). */
enum { AHEAD_ROWS = 2, AHEAD_BYTES = 4096, AHEAD_BYTES_INT8 = 8192, AHEAD_BYTES_INT4 = 12288, READ_ONCE = 0 };
enum { NV = 2, NR = NV * TR_VLEN, HALVES = TR_PANEL / NR, LEVELS_MAX = 16 };

/* What all tasks share. */
struct packed {
    const struct tr_call *call;
    const struct tr_op *op;
    bool quantized;
    int64_t rows, words, blocks, tiles; /* words of a row: fp32 numbers, or pairs */
    int64_t panel_bytes, panels[TR_OP_SEGMENTS_MAX + 1]; /* of the first segments */
    int64_t groups, tasks;
    bool in_place; /* one row, whose words are there already */
    void *x;       /* words, or struct tr_quant_x */
};

static inline int64_t ahead_bytes(enum tr_dtype type) { return type == TR_INT4 ? AHEAD_BYTES_INT4 : AHEAD_BYTES_INT8; }

static int64_t packed_rows(const struct tr_op *op) { return op->seqs * op->seq_len; }

static int64_t words_of_row(const struct tr_op *op) { return op->act == TR_BF16 ? (op->in + 1) / 2 : op->in; }

static bool is_in_place(const struct tr_op *op)
{
    return packed_rows(op) == 1 && !tr_is_quantized(op->weight) && (op->act == TR_F32 || op->in % 2 == 0);
}

int64_t TR_SIMD_NAME(tr_linear_packed_workspace)(const struct tr_op *op, int threads)
{
    int64_t rows = packed_rows(op);
    if (tr_is_quantized(op->weight)) /* one row: each thread rounds it for itself */
        return (rows == 1 ? threads : rows) * tr_quant_blocks(op->in) * (int64_t)sizeof(struct tr_quant_x);
    return is_in_place(op) ? 0 : rows * words_of_row(op) * (int64_t)sizeof(float);
}

static struct packed packed_of(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    struct packed p = {.call = call, .op = op, .quantized = tr_is_quantized(op->weight), .rows = packed_rows(op),
                       .words = words_of_row(op), .blocks = tr_quant_blocks(op->in),
                       .panel_bytes = tr_panel_bytes(op->weight, op->in), .in_place = is_in_place(op),
                       .x = call->workspace};
    TR_ASSERT((p.quantized || op->weight == op->act) && tr_parts_owned(op->part) == op->part.parts);
    TR_ASSERT(call->operand[TR_LINEAR_RESIDUAL] == NULL || (op->segments == 1 && !(op->flags & TR_OP_Y_F32)));
    p.tiles = tr_ceil_div(p.rows, p.quantized ? QUANT_ROWS : ROWS);
    for (int i = 0; i < op->segments; i++)
        p.panels[i + 1] = p.panels[i] + tr_panels(op->out[i]);
    int64_t panels = p.panels[op->segments];
    p.groups = tr_min_i64(p.tiles, tr_max_i64(1, tr_ceil_div(4 * (int64_t)call->threads, panels)));
    p.tasks = panels * p.groups;
    return p;
}

/* The first row of tile number `tile`: rows are divided evenly. */
static int64_t tile_begin(const struct packed *p, int64_t tile) { return p->rows * tile / p->tiles; }

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static void lay_words(const struct packed *p, int64_t tile)
{
    const int64_t first = tile_begin(p, tile), mr = tile_begin(p, tile + 1) - first, in = p->op->in;
    float *to = (float *)p->x + first * p->words;
    for (int64_t r = 0; r < mr; r++) {
        const char *row = (const char *)p->call->operand[TR_LINEAR_X] + (first + r) * in * tr_dtype_bytes(p->op->act);
        const int64_t whole = p->op->act == TR_BF16 ? in / 2 : in;
        for (int64_t k = 0; k < whole; k++) {
            float word;
            memcpy(&word, row + 4 * k, sizeof word);
            to[k * mr + r] = word;
        }
        if (whole < p->words)
            to[whole * mr + r] = row_word(row, TR_BF16, whole, in);
    }
}

static void round_row(const struct packed *p, int64_t row, struct tr_quant_x *to, int64_t step)
{
    for (int64_t b = 0; b < p->blocks; b++) {
        float x[TR_QUANT];
        const int64_t n = tr_min_i64(TR_QUANT, p->op->in - b * TR_QUANT), at = row * p->op->in + b * TR_QUANT;
        for (int i = 0; i < TR_QUANT; i += TR_VLEN) /* elements that are missing are 0 */
            v_store(x + i, v_loadn_at(p->call->operand[TR_LINEAR_X], p->op->act, at + i, tr_max_i64(0, n - i)));
        tr_quantize_x(&to[b * step], x, TR_QUANT);
    }
}

static void round_tile(const struct packed *p, int64_t tile)
{
    const int64_t first = tile_begin(p, tile), mr = tile_begin(p, tile + 1) - first;
    for (int64_t r = 0; r < mr; r++)
        round_row(p, first + r, (struct tr_quant_x *)p->x + first * p->blocks + r, mr);
}

/* ---- tiles of fp32 and bf16 -------------------------------------------------------------------------------------- */

/* Some words of the chains of a tile, from +0, into sum[row][TR_PANEL]. x may be pairs of bf16 in place: it is read by
 * word_at and vector loads alone. */
struct float_tile {
    const float *x, *w;
    int64_t words;
    float *sum;
};

TR_V_INLINE float word_at(const float *x)
{
    float word;
    memcpy(&word, x, sizeof word);
    return word;
}

TR_V_INLINE void float_tile_of(const struct float_tile *t, const int mr, const int nv, const enum tr_dtype type)
{
    tr_v acc[ROWS][2 * NV];
    const float *x = t->x, *w = t->w;
#pragma GCC unroll 16
    for (int r = 0; r < mr; r++)
        for (int v = 0; v < nv; v++)
            acc[r][v] = v_zero();
    for (int64_t k = 0; k < t->words; k++, x += mr, w += TR_PANEL) {
        tr_v b[2 * NV];
        for (int v = 0; v < nv; v++)
            b[v] = v_load(w + v * TR_VLEN);
        for (int line = 0; mr <= AHEAD_ROWS && line < nv * TR_VLEN; line += 16)
            __builtin_prefetch(w + AHEAD_BYTES / 4 + line);
#pragma GCC unroll 16
        for (int r = 0; r < mr; r++) {
            tr_v a = v_set1(word_at(x + r));
            for (int v = 0; v < nv; v++)
                acc[r][v] = type == TR_BF16 ? v_pair_step(a, b[v], acc[r][v]) : v_fma(a, b[v], acc[r][v]);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < mr; r++)
        for (int v = 0; v < nv; v++)
            v_store(t->sum + r * TR_PANEL + v * TR_VLEN, acc[r][v]);
}

/* Few rows of 8 lanes: all of a panel at once, so that there are chains enough. */
TR_V_INLINE void float_tile_rows(const struct float_tile *t, const int mr, const enum tr_dtype type)
{
    if (mr <= 2 && HALVES == 2) {
        float_tile_of(t, mr, 2 * NV, type);
        return;
    }
    for (int half = 0; half < HALVES; half++) {
        struct float_tile part = *t;
        part.w += half * NR;
        part.sum += half * NR;
        float_tile_of(&part, mr, NV, type);
    }
}

TR_V_INLINE void float_tile_run_of(const struct float_tile *t, int64_t rows, const enum tr_dtype type)
{
#define CASE(n)                                                                                                         \
    case n:                                                                                                             \
        return float_tile_rows(t, n, type);
    switch (rows) {
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
#if TR_VLEN == 16
        CASE(7)
        CASE(8)
        CASE(9)
        CASE(10)
        CASE(11)
        CASE(12)
        CASE(13)
        CASE(14)
#endif
    default:
        TR_ASSERT(rows >= 1 && rows <= ROWS);
    }
#undef CASE
}

static __attribute__((noinline)) void f32_tile_run(const struct float_tile *t, int64_t rows) { float_tile_run_of(t, rows, TR_F32); }

static __attribute__((noinline)) void bf16_tile_run(const struct float_tile *t, int64_t rows) { float_tile_run_of(t, rows, TR_BF16); }

static void float_tile_run(const struct float_tile *t, int64_t rows, enum tr_dtype type)
{
    if (type == TR_F32) {
        f32_tile_run(t, rows);
        return;
    }
    const unsigned mode = v_pairs_begin(true);
    bf16_tile_run(t, rows);
    v_pairs_end(true, mode);
}

static void add_sums(float *to, const float *from, int64_t rows)
{
    for (int64_t i = 0; i < rows * TR_PANEL; i += TR_VLEN)
        v_store(to + i, v_add(v_load(to + i), v_load(from + i)));
}

/* All parts of `in`, joined along the tree, into sum[row][TR_PANEL]; sum has place for the partial sums behind it. */
static void float_sums(const struct packed *p, const uint8_t *panel, int64_t tile, float *sum)
{
    const int64_t first = tile_begin(p, tile), rows = tile_begin(p, tile + 1) - first;
    const float *x = p->in_place ? p->call->operand[TR_LINEAR_X] : (const float *)p->x + first * p->words;
    const int64_t parts = p->op->flags & TR_OP_ROW_PARALLEL ? p->op->part.parts : 1, pair = p->op->act == TR_BF16 ? 2 : 1;
    int depth = 0;
    for (int64_t i = 0; i < parts; i++) {
        struct tr_range in = parts > 1 ? tr_op_part(p->op, 0, i) : (struct tr_range){0, p->op->in};
        TR_ASSERT(in.first % pair == 0 && depth < LEVELS_MAX);
        const int64_t word = in.first / pair;
        struct float_tile t = {.x = x + word * rows, .w = (const float *)(const void *)panel + word * TR_PANEL,
                               .words = tr_ceil_div(in.last, pair) - word, .sum = sum + depth * ROWS * TR_PANEL};
        float_tile_run(&t, rows, p->op->act);
        depth++;
        for (int joins = tr_tree_joins_after(i, parts); joins > 0; joins--, depth--)
            add_sums(sum + (depth - 2) * ROWS * TR_PANEL, sum + (depth - 1) * ROWS * TR_PANEL, rows);
    }
}

/* ---- tiles of int8 and int4 -------------------------------------------------------------------------------------- */

struct quant_tile {
    const struct tr_quant_x *x; /* [block][row] */
    const uint8_t *w;
    int64_t blocks, first; /* output of the panel */
    float *sum;
};

TR_V_INLINE void quant_tile_of(const struct quant_tile *t, const int mr, const int nv, const enum tr_dtype type)
{
    const int64_t bytes = type == TR_INT8 ? TR_INT8_BLOCK_BYTES : TR_INT4_BLOCK_BYTES;
    const int64_t ahead = ahead_bytes(type) + 2 * TR_PANEL;
    const int zero = type == TR_INT8 ? 128 : 8, quads = type == TR_INT8 ? TR_QUANT / 4 : TR_QUANT / 8;
    tr_v acc[QUANT_ROWS][2 * NV];
    const struct tr_quant_x *x = t->x;
    const uint8_t *w = t->w;
#pragma GCC unroll 8
    for (int r = 0; r < mr; r++)
        for (int v = 0; v < nv; v++)
            acc[r][v] = v_zero();
    for (int64_t b = 0; b < t->blocks; b++, x += mr, w += bytes) {
        tr_q s[QUANT_ROWS][2 * NV];
#pragma GCC unroll 8
        for (int r = 0; r < mr; r++)
            for (int v = 0; v < nv; v++)
                s[r][v] = q_set1(-zero * x[r].sum);
#pragma GCC unroll 8
        for (int quad = 0; quad < quads; quad++) {
            tr_q q[2 * NV];
            for (int v = 0; mr <= AHEAD_ROWS && v < nv * TR_VLEN / 16; v++)
                __builtin_prefetch(w + ahead + 4 * (quad * TR_PANEL + t->first + v * 16), 0, READ_ONCE);
            for (int v = 0; v < nv; v++)
                q[v] = q_load(w + 2 * TR_PANEL + 4 * (quad * TR_PANEL + t->first + v * TR_VLEN));
#pragma GCC unroll 8
            for (int r = 0; r < mr; r++) {
                tr_q a = q_bytes(x[r].q + 4 * quad);
                for (int v = 0; v < nv; v++)
                    s[r][v] = type == TR_INT8 ? q_dot(s[r][v], q[v], a) : q_dot_small(s[r][v], q_low(q[v]), a);
            }
            if (type == TR_INT8)
                continue;
#pragma GCC unroll 8
            for (int r = 0; r < mr; r++) {
                tr_q a = q_bytes(x[r].q + TR_QUANT / 2 + 4 * quad);
                for (int v = 0; v < nv; v++)
                    s[r][v] = q_dot_small(s[r][v], q_high(q[v]), a);
            }
        }
        tr_v d[2 * NV];
        for (int v = 0; v < nv; v++)
            d[v] = q_scales(w + 2 * (t->first + v * TR_VLEN));
#pragma GCC unroll 8
        for (int r = 0; r < mr; r++)
            for (int v = 0; v < nv; v++)
                acc[r][v] = v_fma(q_float(s[r][v]), v_mul(v_set1(x[r].d), d[v]), acc[r][v]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < mr; r++)
        for (int v = 0; v < nv; v++)
            v_store(t->sum + r * TR_PANEL + t->first + v * TR_VLEN, acc[r][v]);
}

TR_V_INLINE void quant_tile_rows(const struct quant_tile *t, const int mr, const enum tr_dtype type)
{
    if (mr == 1) {
        quant_tile_of(t, mr, HALVES * NV, type);
        return;
    }
    for (int half = 0; half < HALVES; half++) {
        struct quant_tile part = *t;
        part.first = half * NR;
        quant_tile_of(&part, mr, NV, type);
    }
}

static __attribute__((noinline)) void quant_tile_run(const struct quant_tile *t, int64_t rows, enum tr_dtype type)
{
#define CASE(n)                                                                                                         \
    case n:                                                                                                             \
        if (type == TR_INT8)                                                                                            \
            quant_tile_rows(t, n, TR_INT8);                                                                             \
        else                                                                                                            \
            quant_tile_rows(t, n, TR_INT4);                                                                             \
        return;
    switch (rows) {
        CASE(1)
        CASE(2)
#if TR_VLEN == 16
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
#endif
    default:
        TR_ASSERT(rows >= 1 && rows <= QUANT_ROWS);
    }
#undef CASE
}

/* ---- tasks ------------------------------------------------------------------------------------------------------- */

/* Where the outputs from number `out` of a segment on go, of the rows from `row` on. */
static struct finish finish_of(const struct packed *p, int segment, int64_t row, int64_t out)
{
    const struct tr_op *op = p->op;
    const char *bias = p->call->operand[TR_LINEAR_B + segment], *residual = p->call->operand[TR_LINEAR_RESIDUAL];
    const enum tr_dtype y_type = tr_op_operand_dtype(op, TR_LINEAR_Y + segment);
    const int64_t at = row * op->out[segment] + out, y_bytes = tr_dtype_bytes(y_type);
    return (struct finish){.bias = bias == NULL ? NULL : bias + out * tr_dtype_bytes(op->act),
                           .residual = residual == NULL ? NULL : residual + at * y_bytes,
                           .c = (char *)p->call->operand[TR_LINEAR_Y + segment] + at * y_bytes,
                           .stride = op->out[segment], .type = op->act, .c_type = y_type};
}

static void do_tile(const struct packed *p, const struct tr_quant_x *x, int segment, int64_t panel, int64_t tile,
                    struct tr_tally *tally)
{
    _Alignas(64) float sum[LEVELS_MAX * ROWS * TR_PANEL];
    const struct tr_op *op = p->op;
    const int64_t first = tile_begin(p, tile), rows = tile_begin(p, tile + 1) - first, out = panel * TR_PANEL;
    const int64_t n = tr_min_i64(TR_PANEL, op->out[segment] - out);
    const uint8_t *w = (const uint8_t *)p->call->operand[TR_LINEAR_W + segment] + panel * p->panel_bytes;
    if (p->quantized) {
        struct quant_tile t = {.x = x + first * p->blocks, .w = w, .blocks = p->blocks, .sum = sum};
        quant_tile_run(&t, rows, op->weight);
    } else {
        float_sums(p, w, tile, sum);
    }
    const struct finish finish = finish_of(p, segment, first, out);
    finish_rows(&finish, sum, TR_PANEL, rows, n);
    const int64_t bytes = tr_dtype_bytes(op->act);
    tally->flop += 2 * rows * n * op->in;
    tally->read_bytes += (tile == 0 ? p->panel_bytes : 0) +
                         (tile == 0 && finish.bias != NULL ? n * bytes : 0) +
                         (finish.residual != NULL ? rows * n * bytes : 0);
    tally->write_bytes += rows * n * tr_dtype_bytes(finish.c_type);
}

/* Where a task's weights begin. */
static const uint8_t *task_weights(const struct packed *p, int64_t task)
{
    const int64_t panel = task / p->groups;
    int segment = 0;
    while (panel >= p->panels[segment + 1])
        segment++;
    return (const uint8_t *)p->call->operand[TR_LINEAR_W + segment] + (panel - p->panels[segment]) * p->panel_bytes;
}

/* Asks for the first blocks of a thread, which come while it rounds the activations. */
static void ask_first_blocks(const struct packed *p, int64_t first)
{
    const uint8_t *w = task_weights(p, first);
    for (int64_t i = 0; i < tr_min_i64(ahead_bytes(p->op->weight), p->panel_bytes); i += 64)
        __builtin_prefetch(w + i, 0, READ_ONCE);
}

static void do_tasks(const struct packed *p, const struct tr_quant_x *x, int64_t first, int64_t last, struct tr_tally *tally)
{
    int segment = 0;
    for (int64_t task = first; task < last; task++) {
        int64_t panel = task / p->groups, group = task % p->groups;
        while (panel >= p->panels[segment + 1])
            segment++;
        int64_t end = p->tiles * (group + 1) / p->groups;
        for (int64_t tile = p->tiles * group / p->groups; tile < end; tile++)
            do_tile(p, x, segment, panel - p->panels[segment], tile, tally);
    }
}

void TR_SIMD_NAME(tr_linear_packed)(const struct tr_call *call)
{
    const struct packed p = packed_of(call);
#pragma omp parallel num_threads(call->threads)
    {
        const int64_t team = omp_get_num_threads(), thread = omp_get_thread_num();
        struct tr_tally tally = {.read_bytes = thread == 0 ? p.rows * p.op->in * tr_dtype_bytes(p.op->act) : 0};
        const int64_t first = p.tasks * thread / team, last = p.tasks * (thread + 1) / team;
        const struct tr_quant_x *x = p.x;
        if (p.quantized && p.rows == 1) {
            struct tr_quant_x *own = (struct tr_quant_x *)p.x + thread * p.blocks;
            if (first < last)
                ask_first_blocks(&p, first);
            round_row(&p, 0, own, 1);
            x = own;
        } else if (!p.in_place) {
#pragma omp for schedule(static)
            for (int64_t tile = 0; tile < p.tiles; tile++) {
                if (p.quantized)
                    round_tile(&p, tile);
                else
                    lay_words(&p, tile);
            }
        }
        do_tasks(&p, x, first, last, &tally);
        tr_tally_add(call, &tally);
    }
}

#endif
