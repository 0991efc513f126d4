/* The meaning of HEAD. */
#include "base/fmath.h"
#include "silicon/kernel/head/head.h"
#include "silicon/kernel/ref.h"
#include "silicon/op/fn.h"

int64_t tr_head_ref_workspace(const struct tr_op *op, int threads)
{
    (void)threads;
    return TR_TOKEN_BLOCK * op->vocab * (int64_t)sizeof(float);
}

float tr_head_ref_part_sum(const float *z, int64_t n, float max)
{
    float partial[TR_FOLD] = {0};
    for (int64_t v = 0; v < n; v++)
        partial[v % TR_FOLD] += tr_expf(z[v] - max);
    return tr_fold16(partial);
}

float tr_head_ref_part_dx(const struct tr_op *op, const float *dz, const void *w, int64_t n, int64_t c)
{
    return tr_chain(0.0f, tr_line_of(dz, TR_F32, 0, 1), tr_line_of(w, op->weight, c, op->width), n,
                    tr_pairs(op->act, op->weight));
}

/* One row of the tile. */
struct row {
    const struct tr_call *call;
    int64_t token, channel;
    float *z; /* logits, then dz */
    float max;
    struct tr_tally tally;
};

static void make_logits(struct row *row)
{
    const struct tr_op *op = row->call->op;
    struct tr_line x = tr_line_of(row->call->operand[TR_HEAD_X], op->act, row->token * op->width, 1);
    row->max = -INFINITY;
    for (int64_t v = 0; v < op->vocab; v++) {
        struct tr_line w = tr_line_of(row->call->operand[TR_HEAD_W], op->weight, v * op->width, 1);
        row->z[v] = tr_chain(0.0f, x, w, op->width, tr_pairs(op->act, op->weight));
        row->max = row->z[v] > row->max ? row->z[v] : row->max;
        row->tally.flop += 2 * op->width;
        row->tally.read_bytes += v == 0 ? op->width * tr_dtype_bytes(op->act) : 0;
        row->tally.read_bytes += row->token == 0 ? op->width * tr_dtype_bytes(op->weight) : 0;
    }
}

static float exp_part(void *context, int64_t p)
{
    struct row *row = context;
    struct tr_range part = tr_op_part(row->call->op, 0, p);
    return tr_head_ref_part_sum(row->z + part.first, part.last - part.first, row->max);
}

static float dx_part(void *context, int64_t p)
{
    struct row *row = context;
    const struct tr_op *op = row->call->op;
    struct tr_range part = tr_op_part(op, 0, p);
    const char *w = row->call->operand[TR_HEAD_W];
    w += part.first * op->width * tr_dtype_bytes(op->weight);
    row->tally.flop += 2 * (part.last - part.first);
    return tr_head_ref_part_dx(op, row->z + part.first, w, part.last - part.first, row->channel);
}

static void make_loss(struct row *row, int32_t target, float sum)
{
    float loss = target < 0 ? 0.0f : (float)tr_log((double)sum) - (row->z[target] - row->max);
    ((float *)row->call->operand[TR_HEAD_LOSS])[row->token] = loss;
    row->tally.write_bytes += (int64_t)sizeof loss;
}

static void make_dz(struct row *row, int32_t target, float sum)
{
    const struct tr_op *op = row->call->op;
    float inverse = 1.0f / sum;
    for (int64_t v = 0; v < op->vocab; v++) {
        float p = tr_expf(row->z[v] - row->max) * inverse;
        float dz = target < 0 ? 0.0f : (p - (v == target ? 1.0f : 0.0f)) * row->call->values->loss_scale;
        row->z[v] = op->act == TR_BF16 ? tr_f32_from_bf16(tr_bf16_from_f32(dz)) : dz;
    }
}

static void make_row(const struct tr_call *call, int64_t token, float *z)
{
    const struct tr_op *op = call->op;
    struct row row = {.call = call, .token = token, .z = z};
    int32_t target = ((const int32_t *)call->operand[TR_HEAD_TARGETS])[token];
    TR_ASSERT(target >= -1 && target < op->vocab);
    row.tally.read_bytes += (int64_t)sizeof target;
    make_logits(&row);
    float sum = tr_tree_of(exp_part, &row, 0, op->part.parts);
    make_loss(&row, target, sum);
    if (op->flags & TR_OP_GRAD) {
        make_dz(&row, target, sum);
        for (row.channel = 0; row.channel < op->width; row.channel++) {
            float dx = tr_tree_of(dx_part, &row, 0, op->part.parts);
            tr_store(call->operand[TR_HEAD_DX], op->act, token * op->width + row.channel, dx);
            row.tally.write_bytes += tr_dtype_bytes(op->act);
        }
    }
    tr_tally_add(call, &row.tally);
}

/* A tile of rows that is one block of tokens of one leaf. */
struct tile {
    int64_t leaf, first_token, rows;
    bool first, last; /* of the leaf */
};

static void add_dw(const struct tr_call *call, const struct tile *tile)
{
    const struct tr_op *op = call->op;
    float *dw = (float *)call->operand[TR_HEAD_DW] + tile->leaf * op->vocab * op->width;
#pragma omp parallel for num_threads(call->threads)
    for (int64_t v = 0; v < op->vocab; v++) {
        struct tr_tally tally = {0};
        struct tr_line dz = tr_line_of(call->workspace, TR_F32, v, op->vocab);
        for (int64_t c = 0; c < op->width; c++) {
            struct tr_line x =
                tr_line_of(call->operand[TR_HEAD_X], op->act, tile->first_token * op->width + c, op->width);
            float *sum = dw + v * op->width + c;
            *sum = *sum + tr_chain(0.0f, dz, x, tile->rows, tr_pairs(op->act, op->act));
            tally.flop += 2 * tile->rows;
            tally.read_bytes += tile->first ? (int64_t)sizeof *sum : 0;
            tally.write_bytes += tile->last ? (int64_t)sizeof *sum : 0;
        }
        tr_tally_add(call, &tally);
    }
}

static void make_tile(const struct tr_call *call, const struct tile *tile)
{
#pragma omp parallel for num_threads(call->threads)
    for (int64_t r = 0; r < tile->rows; r++)
        make_row(call, tile->first_token + r, (float *)call->workspace + r * call->op->vocab);
    if ((call->op->flags & TR_OP_GRAD) && call->operand[TR_HEAD_DW] != NULL)
        add_dw(call, tile);
}

void tr_head_ref(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    TR_ASSERT(tr_parts_owned(op->part) == op->part.parts);
    TR_ASSERT(!(op->flags & TR_OP_GRAD) || call->operand[TR_HEAD_DX] != NULL);
    for (int64_t leaf = 0; leaf < tr_op_leaves(op, TR_HEAD_DW); leaf++) {
        struct tr_range tokens = tr_op_leaf_tokens(op, TR_HEAD_DW, leaf);
        for (int64_t s = 0; s < op->seqs; s++) {
            for (int64_t t = tokens.first; t < tokens.last; t += TR_TOKEN_BLOCK) {
                struct tile tile = {.leaf = leaf,
                                    .first_token = s * op->seq_len + t,
                                    .rows = tokens.last - t < TR_TOKEN_BLOCK ? tokens.last - t : TR_TOKEN_BLOCK};
                tile.first = s == 0 && t == tokens.first;
                tile.last = s == op->seqs - 1 && t + tile.rows == tokens.last;
                make_tile(call, &tile);
            }
        }
    }
}

void tr_loss_ref(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
#pragma omp parallel for num_threads(call->threads)
    for (int64_t t = 0; t < op->seqs * op->seq_len; t++) {
        const float *z = (const float *)call->operand[TR_LOSS_LOGITS] + t * op->vocab;
        const int32_t target = ((const int32_t *)call->operand[TR_LOSS_TARGETS])[t];
        float max = -INFINITY, loss = 0.0f;
        TR_ASSERT(target >= -1 && target < op->vocab);
        for (int64_t v = 0; v < op->vocab; v++)
            max = z[v] > max ? z[v] : max;
        if (target >= 0)
            loss = (float)tr_log((double)tr_head_ref_part_sum(z, op->vocab, max)) - (z[target] - max);
        ((float *)call->operand[TR_LOSS_LOSS])[t] = loss;
        tr_count_add(call->count, 0, (int64_t)sizeof *z * op->vocab + (int64_t)sizeof target, (int64_t)sizeof loss);
    }
}
