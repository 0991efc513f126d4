/* ATTN in vector words: the forward pass of causal attention, and generation with a KV cache.
 *
 * A task is one sequence, one kv head and a range of queries with all query heads of the group: the rows
 * r = (query - first) * group + head of group. It walks the key blocks ascending; each is packed once (K transposed, so
 * that lanes run along keys) and meets all rows of the task, whose running (m, l, o) lie in the workspace. Tasks share
 * nothing that is written. Where documents stand apart, blocks before the document of every row of a task, or of a tile,
 * are passed over. In generation a task has one tile of rows, and time is that of reading the cache: neither
 * V nor, in bf16, K is packed then, and what comes next is asked for step by step.
 *
 * The largest score of a block is taken over its present keys: masked lanes are -inf, which exp turns into +0, and +0
 * added to a partial sum of exponentials (>= +0) changes nothing; p v does not see masked keys at all.
 */
#ifndef TR_SILICON_KERNEL_ATTN_FWD_BODY_H
#define TR_SILICON_KERNEL_ATTN_FWD_BODY_H

#include "silicon/kernel/attn/attn.h"
#include "silicon/kernel/attn/attn_tile.h"

#include <omp.h>

enum { FWD_ROWS = 256 }; /* rows of a task: their o, at D = 64, take 64 KiB of the second-level cache */

struct fwd_shape {
    int64_t seqs, seq_len, positions, position; /* as in tr_op; position of the first query */
    enum tr_dtype type;
    int64_t heads, kv_heads, group, d, padded, words; /* words: of a packed row of q */
    int64_t kv_stride;                                /* from key to key */
    int64_t task_queries, ranges; /* queries of a task, and how many ranges of them a sequence has */
    float scale;
};

/* The scratch memory of one thread. */
struct fwd_scratch {
    float *q;                  /* [rows][words] */
    float *kt;                 /* [words of d][TR_KEY_BLOCK] */
    float *v;                  /* [words of TR_KEY_BLOCK][padded] */
    float *score;              /* [TR_ATTN_ROWS][TR_KEY_BLOCK] */
    float *p;                  /* [TR_ATTN_ROWS][words of TR_KEY_BLOCK]; fp32: in place of the scores */
    float *m, *l, *o;          /* slot 0 of the stack of parts: [rows], [rows], [rows][padded] */
    int64_t slot;              /* floats from one slot to the next */
};

/* The largest task: its queries. */
static int64_t fwd_queries_max(const struct tr_op *op)
{
    return tr_min_i64(op->seq_len, tr_max_i64(1, FWD_ROWS * op->kv_heads / op->heads));
}

static int64_t fwd_rows_max(const struct tr_op *op)
{
    return fwd_queries_max(op) * (op->heads / op->kv_heads);
}

static int64_t fwd_padded(const struct tr_op *op) { return tr_round_up(op->head_dim, TR_ATTN_PANEL); }

/* Lays the scratch memory of one thread out from `base`; returns its floats. */
static int64_t fwd_scratch_at(struct fwd_scratch *s, float *base, const struct tr_op *op)
{
    int64_t padded = fwd_padded(op), rows = tr_round_up(fwd_rows_max(op), 16), used = 0;
    int64_t words = attn_words(op->act, padded), key_words = attn_words(op->act, TR_KEY_BLOCK);
    s->q = carve(base, &used, rows * words);
    s->kt = carve(base, &used, words * TR_KEY_BLOCK);
    s->v = carve(base, &used, padded * key_words);
    s->score = carve(base, &used, TR_ATTN_ROWS * TR_KEY_BLOCK);
    s->p = op->act == TR_BF16 ? carve(base, &used, TR_ATTN_ROWS * key_words) : s->score;
    s->m = carve(base, &used, rows);
    s->l = carve(base, &used, rows);
    s->o = carve(base, &used, rows * padded);
    s->slot = rows * (2 + padded);
    used += (tr_tree_depth(op->context.parts) - 1) * s->slot;
    return used;
}

static int64_t fwd_scratch_floats(const struct tr_op *op)
{
    struct fwd_scratch unused;
    return fwd_scratch_at(&unused, NULL, op);
}

int64_t TR_SIMD_NAME(tr_attn_workspace)(const struct tr_op *op, int threads)
{
    return threads * fwd_scratch_floats(op) * (int64_t)sizeof(float);
}

static struct fwd_shape fwd_shape_of(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    TR_ASSERT(op->heads % op->kv_heads == 0 && call->values->position + op->seq_len <= op->positions);
    struct fwd_shape f = {.seqs = op->seqs, .seq_len = op->seq_len, .positions = op->positions,
                          .position = call->values->position, .type = op->act, .heads = op->heads,
                          .kv_heads = op->kv_heads, .group = op->heads / op->kv_heads, .d = op->head_dim,
                          .padded = fwd_padded(op), .words = attn_words(op->act, fwd_padded(op)),
                          .kv_stride = tr_attn_kv_stride(op)};
    /* smaller tasks where there are few, so that every thread has some of the long ones (late queries) */
    f.task_queries = fwd_queries_max(op);
    while (f.task_queries > 64 &&
           f.seqs * f.kv_heads * tr_ceil_div(f.seq_len, f.task_queries) < 4 * (int64_t)call->threads)
        f.task_queries = (f.task_queries + 1) / 2;
    f.ranges = tr_ceil_div(f.seq_len, f.task_queries);
    f.scale = 1.0f / sqrtf((float)op->head_dim);
    return f;
}

/* The largest s * scale of one row of scores, by lane; those of keys that are not present become -inf: the first `hidden` ones
 * and those from `present` on. */
static tr_v fwd_row_max(float *score, int64_t hidden, int64_t present, int64_t width, float scale)
{
    const tr_v factor = v_set1(scale), lowest = v_set1(-INFINITY);
    tr_v largest = lowest;
    int64_t whole = present - present % TR_VLEN;
    for (int64_t j = 0; j < hidden; j += TR_VLEN)
        v_store(score + j, v_select(v_first(tr_min_i64(hidden - j, TR_VLEN)), lowest, v_load(score + j)));
    for (int64_t j = 0; j < whole; j += TR_VLEN)
        largest = v_max(v_mul(v_load(score + j), factor), largest);
    for (int64_t j = whole; j < width; j += TR_VLEN) {
        tr_v s = v_select(v_first(tr_max_i64(present - j, 0)), v_load(score + j), lowest);
        largest = v_max(v_mul(s, factor), largest);
        v_store(score + j, s);
    }
    return largest;
}

/* p = exp(s * scale - max) of `together` vectors from column j on, rounded to `type`; their sums by lane into `sum`. */
TR_V_INLINE void fwd_exps(const float *score, void *row, const enum tr_dtype type, int64_t j, tr_v factor, tr_v offset,
                          const int together, tr_v *sum)
{
    tr_v p[V_TOGETHER];
    for (int i = 0; i < together; i++)
        p[i] = v_sub(v_mul(v_load(score + j + i * TR_VLEN), factor), offset);
    v_exps_bounded(p, together); /* at most 0 */
    for (int i = 0; i < together; i++) {
        sum[i % TR_VFOLD] = v_add(sum[i % TR_VFOLD], p[i]);
        if (type == TR_BF16)
            v_store_bf16_normal((tr_bf16 *)row + j + i * TR_VLEN, p[i]); /* exp gives none that is subnormal */
        else
            v_store((float *)row + j + i * TR_VLEN, p[i]);
    }
}

/* exp(s * scale - max), rounded to `type`; sum: the 16 partial sums (fold16) of the unrounded ones. */
TR_V_INLINE void fwd_exp_row(const float *score, void *row, const enum tr_dtype type, int64_t width, float scale, float max,
                             tr_v *sum)
{
    const tr_v factor = v_set1(scale), offset = v_set1(max);
    for (int i = 0; i < TR_VFOLD; i++)
        sum[i] = v_zero();
    int64_t j = 0;
    for (; j + V_TOGETHER * TR_VLEN <= width; j += V_TOGETHER * TR_VLEN)
        fwd_exps(score, row, type, j, factor, offset, V_TOGETHER, sum);
    const int64_t rest = (width - j) / TR_VLEN;
    if (rest == 3)
        fwd_exps(score, row, type, j, factor, offset, 3, sum);
    else if (rest == 2)
        fwd_exps(score, row, type, j, factor, offset, 2, sum);
    else if (rest == 1)
        fwd_exps(score, row, type, j, factor, offset, 1, sum);
}

/* Scores of a tile become exponentials, in rows of TR_KEY_BLOCK; m and l of its rows take the block in, and factor[r] is
 * what o is to be scaled with. Rows are lanes where single numbers of a row are computed. */
static void fwd_softmax(const struct fwd_shape *f, float *score, void *p, int rows, int64_t hidden,
                        const int64_t *present, int64_t width, bool first_block, float *m, float *l, float *factor)
{
    enum { LANES = 8 };
    tr_v largest[LANES], sum[LANES][TR_VFOLD];
    float max[TR_VLEN];
    for (int r = 0; r < rows; r++)
        largest[r] = fwd_row_max(score + r * TR_KEY_BLOCK, hidden, present[r], width, f->scale);
    for (int r = rows; r < LANES && rows > 1; r++) {
        largest[r] = v_zero();
        for (int i = 0; i < TR_VFOLD; i++)
            sum[r][i] = v_zero();
    }
    const tr_v most = rows == 1 ? v_set1(v_row_max(largest[0])) : v_max_rows(largest);
    const tr_v before = v_loadn(m, rows), after = v_max(most, before);
    const tr_v change = first_block ? v_zero() : v_exp(v_sub(before, after));
    v_store(max, after);
    v_store(factor, change);
    for (int r = 0; r < rows; r++) {
        const int64_t at = r * TR_KEY_BLOCK;
        if (!TR_SIMD_DP && f->type == TR_F32)
            fwd_exp_row(score + at, (float *)p + at, TR_F32, width, f->scale, max[r], sum[r]);
        else
            fwd_exp_row(score + at, (tr_bf16 *)p + at, TR_BF16, width, f->scale, max[r], sum[r]);
    }
    const tr_v part = rows == 1 ? v_set1(v_fold16(sum[0])) : v_fold16_rows((const tr_v(*)[TR_VFOLD])sum);
    v_storen(m, after, rows);
    v_storen(l, first_block ? part : v_fma(v_loadn(l, rows), change, part), rows);
}

/* A key block: where its values are read, and where the sums that take it in lie. */
struct fwd_block {
    const float *k, *v; /* packed, or in place where they are read only once */
    int64_t k_stride, v_stride;
    bool k_in_place, v_in_place;
    const char *next_k, *next_v; /* what a single tile of rows asks for meanwhile: NULL: nothing */
    bool first; /* of its part: the sums begin */
    float *m, *l, *o;
};

/* Rows [row, row + count) of one document, and what of a key block they see, counted in the block: all begin at the same key. */
struct fwd_rows {
    int64_t row;
    int count;
    bool begin; /* no block before has a key for them */
    struct chain_share keys;
};

/* One tile of rows against one key block. */
static void fwd_tile(const struct fwd_shape *f, const struct fwd_scratch *s, const struct fwd_block *block,
                     const struct fwd_rows *tile)
{
    const bool pairs = f->type == TR_BF16;
    int rows = tile->count;
    int64_t row = tile->row, hidden = tile->keys.first[0] % TR_ATTN_SOFTMAX, base = tile->keys.first[0] - hidden;
    int64_t width = tr_round_up(tile->keys.last[rows - 1], TR_ATTN_SOFTMAX) - base;
    struct chain scores = {.start = CHAIN_ZERO, .pairs = pairs, .c = s->score + base, .c_stride = TR_KEY_BLOCK,
                           .a = s->q + row * f->words, .a_stride = f->words,
                           .b = block->k + base * (block->k_in_place ? block->k_stride : 1),
                           .b_stride = block->k_stride, .steps = attn_words(f->type, f->d),
                           .source = block->k_in_place ? CHAIN_TURNED : block->v_in_place ? CHAIN_ONCE : CHAIN_PACKED,
                           .next = block->next_k,
                           .next_bytes = block->next_k == NULL ? 0 : TR_KEY_BLOCK * (int64_t)sizeof(float)};
    chain_run(&scores, rows, width);
    float factor[TR_VLEN];
    int64_t present[TR_ATTN_ROWS];
    for (int r = 0; r < rows; r++)
        present[r] = tile->keys.last[r] - base;
    fwd_softmax(f, s->score + base, s->p + attn_words(f->type, base), rows, hidden, present, width, tile->begin,
                block->m + row, block->l + row, factor);
    struct chain values = {.start = tile->begin ? CHAIN_ZERO : CHAIN_SCALE, .pairs = pairs, .scale = factor,
                           .c = block->o + row * f->padded, .c_stride = f->padded, .a = s->p,
                           .a_stride = attn_words(f->type, TR_KEY_BLOCK), .b = block->v, .b_stride = block->v_stride,
                           .source = block->v_in_place ? CHAIN_IN_PLACE : CHAIN_PACKED, .next = block->next_v,
                           .next_bytes = block->next_v == NULL ? 0 : f->d * (int64_t)sizeof(float),
                           .steps = attn_words(f->type, TR_KEY_BLOCK),
                           .share = !block->v_in_place && chain_is_whole(&tile->keys, rows) ? NULL : &tile->keys};
    chain_run(&values, rows, f->padded);
}

/* What a task works on. */
struct fwd_task {
    const void *k, *v;    /* at key 0 */
    const int32_t *start; /* of its sequence; NULL: one document */
    int64_t first_query;  /* its position */
    int64_t rows;
    const void *k_after, *v_after, *q_after; /* what the thread takes up next, to be asked for; NULL: nothing */
    const void *o;                           /* where the results go, asked for with q_after */
};

/* Where the document of row r begins. */
static int64_t fwd_start(const struct fwd_shape *f, const struct fwd_task *task, int64_t r)
{
    return attn_start(task->start, task->first_query - f->position + r / f->group);
}

/* Asks for rows [row, row + count) of the next head's queries, and for where this one's results go. */
static void fwd_ask_queries(const struct fwd_shape *f, const struct fwd_task *task, int64_t row, int64_t count)
{
    for (int64_t r = row; r < row + count; r++) {
        const int64_t at = r / f->group * f->heads * f->d + r % f->group * f->d;
        prefetch_rows(attn_at(task->q_after, f->type, at), f->type, 0, 1, f->d);
        prefetch_rows(attn_at(task->o, f->type, at), f->type, 0, 1, f->d);
    }
}

/* The rows of a task against one key block of `count` keys; `next` keys that come after it are fetched meanwhile.
 * Returns the pairs that were there. */
static int64_t fwd_all_rows(const struct fwd_shape *f, const struct fwd_scratch *s, const struct fwd_task *task,
                            const struct fwd_block *block, int64_t key, int64_t count, const void *next_k,
                            const void *next_v, int64_t next)
{
    int64_t pairs = 0, fetched = 0, from = tr_max_i64(0, key - task->first_query) * f->group;
    int64_t query = task->first_query + from / f->group, head = 0; /* of the next row */
    int64_t step = tr_ceil_div(next, tr_max_i64(1, tr_ceil_div(task->rows - from, TR_ATTN_ROWS)));
    struct fwd_rows tile;
    for (int64_t r = from; r < task->rows; r += tile.count) {
        int64_t start = fwd_start(f, task, r);
        if (start >= key + count) /* so do all documents behind it */
            break;
        tile = (struct fwd_rows){.row = r, .begin = block->first || start >= key};
        while (tile.count < TR_ATTN_ROWS && r + tile.count < task->rows &&
               attn_start(task->start, query - f->position) == start) {
            const int64_t first = tr_max_i64(0, start - key), last = tr_min_i64(count, query - key + 1);
            tile.keys.first[tile.count] = first;
            tile.keys.last[tile.count++] = last;
            pairs += last - first;
            head = head + 1 < f->group ? head + 1 : 0;
            query += head == 0;
        }
        int64_t some = tr_min_i64(step, next - fetched), at = fetched * f->kv_stride;
        prefetch_rows(attn_at(next_k, f->type, at), f->type, f->kv_stride, some, f->d);
        prefetch_rows(attn_at(next_v, f->type, at), f->type, f->kv_stride, some, f->d);
        fetched += some;
        if (task->q_after != NULL)
            fwd_ask_queries(f, task, tile.row, tile.count);
        fwd_tile(f, s, block, &tile);
    }
    return pairs;
}

/* All rows of the task against the key blocks of one part, from (-inf, 0, 0). Returns the pairs that were there. */
static int64_t fwd_part(const struct fwd_shape *f, const struct fwd_scratch *s, const struct fwd_task *task,
                        struct tr_range keys, float *m, float *l, float *o)
{
    /* with one tile of rows a copy of V would be read once */
    const bool v_in_place = task->rows <= TR_ATTN_ROWS && f->padded == f->d;
    for (int64_t r = 0; r < task->rows; r++)
        m[r] = -INFINITY;
    int64_t pairs = 0, start = fwd_start(f, task, 0);
    for (int64_t key = tr_max_i64(keys.first, start - start % TR_KEY_BLOCK); key < keys.last; key += TR_KEY_BLOCK) {
        int64_t count = tr_min_i64(TR_KEY_BLOCK, keys.last - key), next = tr_min_i64(TR_KEY_BLOCK, keys.last - key - count);
        const void *k = attn_at(task->k, f->type, key * f->kv_stride), *v = attn_at(task->v, f->type, key * f->kv_stride);
        /* whole blocks, as rows that are not there are not read; fp32 has twice the words to turn and is slower so */
        const bool k_in_place = f->type == TR_BF16 && v_in_place && count == TR_KEY_BLOCK;
        const bool after = next == 0 && task->k_after != NULL; /* another head: begins at key 0 */
        const void *next_k = after ? task->k_after : attn_at(k, f->type, count * f->kv_stride);
        const void *next_v = after ? task->v_after : attn_at(v, f->type, count * f->kv_stride);
        const bool stream = v_in_place && (next > 0 || after) && f->kv_stride == f->d; /* a block is one piece of memory */
        struct fwd_block block = {.k = k_in_place ? k : s->kt,
                                  .k_stride = k_in_place ? attn_words(f->type, f->kv_stride) : TR_KEY_BLOCK,
                                  .k_in_place = k_in_place,
                                  .v = v_in_place ? v : s->v, .v_stride = v_in_place ? f->kv_stride : f->padded,
                                  .v_in_place = v_in_place, .next_k = stream ? next_k : NULL,
                                  .next_v = stream ? next_v : NULL,
                                  .first = key == keys.first, .m = m, .l = l, .o = o};
        if (!k_in_place)
            pack_transposed(s->kt, k, f->type, f->kv_stride, count, f->d);
        if (!v_in_place && f->type == TR_BF16)
            pack_pairs(s->v, f->padded, v, f->kv_stride, 0, count, f->d);
        else if (!v_in_place)
            pack_rows(s->v, f->padded, v, TR_F32, f->kv_stride, count, f->d);
        pairs += fwd_all_rows(f, s, task, &block, key, count, next_k, next_v,
                              v_in_place ? 0 : after ? tr_min_i64(TR_KEY_BLOCK, f->seq_len) : next);
    }
    return pairs;
}

/* Joins the partial results (m, l, o) of two subtrees for row r, or moves the right one where only it has keys. */
static void fwd_join_row(const struct fwd_shape *f, const struct fwd_scratch *s, int left, int right, int64_t r,
                         bool only_right)
{
    int64_t to_right = (right - left) * s->slot;
    float *m = s->m + left * s->slot + r, *l = s->l + left * s->slot + r;
    float *o = s->o + left * s->slot + r * f->padded;
    if (only_right) {
        m[0] = m[to_right];
        l[0] = l[to_right];
        memcpy(o, o + to_right, (size_t)f->padded * sizeof *o);
        return;
    }
    float max = m[0] > m[to_right] ? m[0] : m[to_right];
    float a1 = tr_expf(m[0] - max), a2 = tr_expf(m[to_right] - max);
    m[0] = max;
    l[0] = fmaf(l[to_right], a2, l[0] * a1);
    for (int64_t i = 0; i < f->padded; i += TR_VLEN) {
        tr_v scaled = v_mul(v_load(o + i), v_set1(a1));
        v_store(o + i, v_fma(v_load(o + i + to_right), v_set1(a2), scaled));
    }
}

/* o * (1 / l) and (m, l) of row r into the operands' rows. */
static void fwd_finish_row(const struct fwd_shape *f, const struct fwd_scratch *s, int slot, int64_t r, void *o,
                           int64_t o_first, float *stats)
{
    float l = s->l[slot * s->slot + r];
    const float *from = s->o + slot * s->slot + r * f->padded;
    stats[0] = s->m[slot * s->slot + r] + 0.0f; /* of two zeros the larger one, whatever the order */
    stats[1] = l;
    const tr_v factor = v_set1(1.0f / l);
    for (int64_t i = 0; i < f->d; i += TR_VLEN)
        v_storen_at(o, attn_type(f->type), o_first + i, v_mul(v_load(from + i), factor), f->d - i);
}

static void fwd_run_task(const struct tr_call *call, const struct fwd_shape *f, const struct fwd_scratch *s,
                         int64_t seq, int64_t kv_head, struct tr_range queries)
{
    int64_t query_count = queries.last - queries.first, rows = query_count * f->group;
    int64_t token_head = (seq * f->seq_len + queries.first) * f->heads + kv_head * f->group;
    int64_t kv_at = seq * f->positions * f->kv_heads * f->d + kv_head * tr_attn_head_stride(call->op);
    struct fwd_task task = {.k = attn_at(call->operand[TR_ATTN_K], f->type, kv_at),
                            .v = attn_at(call->operand[TR_ATTN_V], f->type, kv_at),
                            .first_query = f->position + queries.first, .rows = rows};
    const void *q = attn_at(call->operand[TR_ATTN_Q], f->type, token_head * f->d);
    if (f->ranges == 1 && kv_head + 1 < f->kv_heads) {
        /* where it was shown to gain: fp32, one key block, so that each line is asked for once; not one query's */
        if (f->type == TR_F32 && rows > TR_ATTN_ROWS && f->position + f->seq_len <= TR_KEY_BLOCK) {
            task.q_after = attn_at(q, f->type, f->group * f->d);
            task.o = attn_at(call->operand[TR_ATTN_O], f->type, token_head * f->d);
        }
        task.k_after = attn_at(task.k, f->type, tr_attn_head_stride(call->op));
        task.v_after = attn_at(task.v, f->type, tr_attn_head_stride(call->op));
    }
    if (call->op->flags & TR_OP_APART)
        task.start = (const int32_t *)call->operand[TR_ATTN_START] + seq * f->seq_len;
    for (int64_t i = 0; i < query_count; i++)
        pack_rows(s->q + i * f->group * f->words, f->words, attn_at(q, f->type, i * f->heads * f->d), f->type, f->d,
                  f->group, f->d);

    int64_t keys_last = f->position + queries.last, pairs = 0;
    struct part_stack stack = part_stack_new();
    int64_t stack_first[TR_ATTN_STACK_MAX]; /* the first key of each node */
    for (int64_t p = 0; p < call->op->context.parts; p++) {
        struct tr_range keys = tr_op_keys(call->op, p);
        keys.last = tr_min_i64(keys.last, keys_last);
        bool present = keys.first < keys.last && fwd_start(f, &task, 0) < keys.last;
        int64_t at = part_stack_next(&stack) * s->slot;
        if (present)
            pairs += fwd_part(f, s, &task, keys, s->m + at, s->l + at, s->o + at);
        stack_first[stack.depth] = keys.first;
        part_stack_push(&stack, present);
        for (int joins = tr_tree_joins_after(p, call->op->context.parts); joins > 0; joins--) {
            int left, right;
            int64_t key = stack_first[stack.depth - 1], from = tr_max_i64(0, key - task.first_query) * f->group;
            if (!part_stack_pop(&stack, &left, &right))
                continue;
            for (int64_t r = from; r < rows; r++) /* the rows whose query has keys in the right part */
                fwd_join_row(f, s, left, right, r, fwd_start(f, &task, r) >= key);
        }
    }
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = token_head + r / f->group * f->heads + r % f->group;
        fwd_finish_row(f, s, stack.slot[0], r, call->operand[TR_ATTN_O], at * f->d,
                       (float *)call->operand[TR_ATTN_STATS] + at * 2);
    }
    int64_t kv_rows = queries.last == f->seq_len ? keys_last : 0; /* the last queries see every key */
    int64_t starts = task.start != NULL && kv_head == 0 ? query_count : 0;
    int64_t bytes = tr_dtype_bytes(f->type);
    tr_count_add(call->count, 4 * f->d * pairs, bytes * f->d * (rows + 2 * kv_rows) + 4 * starts,
                 rows * (bytes * f->d + 2 * 4));
}

void TR_SIMD_NAME(tr_attn)(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    TR_ASSERT((op->act == TR_BF16 || !TR_SIMD_DP) && tr_parts_owned(op->context) == op->context.parts);
    TR_ASSERT(!(op->flags & TR_OP_APART) || call->operand[TR_ATTN_START] != NULL);
    const struct fwd_shape f = fwd_shape_of(call);
    int64_t heads = f.seqs * f.kv_heads;
    int together = 1;
    if (f.seq_len == 1) /* a thread's heads one after the other, as it asks for the next one's keys at the end of one */
        together = (int)tr_ceil_div(heads, call->threads);
    else if (f.ranges == 1 && heads >= 16 * (int64_t)call->threads)
        together = 4; /* short sequences: neighbouring heads share lines and pages */
#pragma omp parallel num_threads(call->threads)
    {
        struct fwd_scratch scratch;
        fwd_scratch_at(&scratch, (float *)call->workspace + omp_get_thread_num() * fwd_scratch_floats(op), op);
#pragma omp for schedule(dynamic, together)
        for (int64_t task = 0; task < heads * f.ranges; task++) { /* the longest first */
            int64_t range = f.ranges - 1 - task / heads, head = task % heads;
            struct tr_range queries = {range * f.task_queries, tr_min_i64(f.seq_len, (range + 1) * f.task_queries)};
            fwd_run_task(call, &f, &scratch, head / f.kv_heads, head % f.kv_heads, queries);
        }
    }
}

#endif
