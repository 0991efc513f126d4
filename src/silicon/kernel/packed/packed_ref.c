/* The meaning of LINEAR_PACKED, one output element at a time; and PACK, the only one there is of it: once a load. */
#include "base/num.h"
#include "silicon/kernel/packed/packed.h"
#include "silicon/kernel/ref.h"

#include <string.h>

/* ---- reading panels ---------------------------------------------------------------------------------------------- */

static const uint8_t *panel_of(const void *panels, enum tr_dtype type, int64_t in, int64_t out)
{
    return (const uint8_t *)panels + out / TR_PANEL * tr_panel_bytes(type, in);
}

static float f32_weight(const void *panels, int64_t in, int64_t out, int64_t k)
{
    return ((const float *)panel_of(panels, TR_F32, in, out))[k * TR_PANEL + out % TR_PANEL];
}

static tr_bf16 bf16_weight(const void *panels, int64_t in, int64_t out, int64_t k)
{
    return ((const tr_bf16 *)panel_of(panels, TR_BF16, in, out))[(k / 2 * TR_PANEL + out % TR_PANEL) * 2 + k % 2];
}

static const uint8_t *quant_block(const void *panels, enum tr_dtype type, int64_t in, int64_t out, int64_t block)
{
    return panel_of(panels, type, in, out) + block * (type == TR_INT8 ? TR_INT8_BLOCK_BYTES : TR_INT4_BLOCK_BYTES);
}

static float quant_scale(const uint8_t *block, int64_t out)
{
    uint16_t half;
    memcpy(&half, block + out % TR_PANEL * 2, sizeof half);
    return tr_f32_from_f16(half);
}

/* q of element i of a block. */
static int32_t quant_weight(const uint8_t *block, enum tr_dtype type, int64_t out, int i)
{
    const uint8_t *q = block + TR_PANEL * 2;
    int low = i % (TR_QUANT / 2);
    if (type == TR_INT8)
        return q[(i / 4 * TR_PANEL + out % TR_PANEL) * 4 + i % 4] - 128;
    uint8_t both = q[(low / 4 * TR_PANEL + out % TR_PANEL) * 4 + low % 4];
    return (i == low ? both & 15 : both >> 4) - 8;
}

/* ---- LINEAR_PACKED ----------------------------------------------------------------------------------------------- */

struct product {
    const struct tr_call *call;
    int segment;
    int64_t token, out;
};

static float part_of(void *context, int64_t p)
{
    const struct product *at = context;
    const struct tr_op *op = at->call->op;
    const void *w = at->call->operand[TR_LINEAR_W + at->segment], *x = at->call->operand[TR_LINEAR_X];
    struct tr_range in = op->flags & TR_OP_ROW_PARALLEL ? tr_op_part(op, 0, p) : (struct tr_range){0, op->in};
    float acc = 0.0f;
    TR_ASSERT(op->weight == op->act);
    if (op->weight == TR_F32) {
        for (int64_t k = in.first; k < in.last; k++)
            acc = fmaf(tr_load(x, TR_F32, at->token * op->in + k), f32_weight(w, op->in, at->out, k), acc);
        return acc;
    }
    TR_ASSERT(in.first % 2 == 0);
    struct tr_line line = tr_line_of(x, TR_BF16, at->token * op->in, 1);
    for (int64_t k = in.first; k < in.last; k += 2)
        acc = tr_dp_bf16(acc, tr_line_bf16(line, k, in.last), tr_line_bf16(line, k + 1, in.last),
                         bf16_weight(w, op->in, at->out, k),
                         k + 1 < in.last ? bf16_weight(w, op->in, at->out, k + 1) : 0);
    return acc;
}

static float quantized_sum(const struct product *at)
{
    const struct tr_op *op = at->call->op;
    float acc = 0.0f;
    for (int64_t b = 0; b < tr_quant_blocks(op->in); b++) {
        const uint8_t *block = quant_block(at->call->operand[TR_LINEAR_W + at->segment], op->weight, op->in, at->out, b);
        float x[TR_QUANT];
        int64_t n = tr_min_i64(TR_QUANT, op->in - b * TR_QUANT);
        for (int64_t i = 0; i < n; i++)
            x[i] = tr_load(at->call->operand[TR_LINEAR_X], op->act, at->token * op->in + b * TR_QUANT + i);
        struct tr_quant_x rounded;
        tr_quantize_x(&rounded, x, n);
        int32_t sum = 0;
        for (int i = 0; i < TR_QUANT; i++)
            sum += rounded.q[i] * quant_weight(block, op->weight, at->out, i);
        acc = fmaf((float)sum, rounded.d * quant_scale(block, at->out), acc);
    }
    return acc;
}

static void product_element(const struct product *at, struct tr_tally *tally)
{
    const struct tr_call *call = at->call;
    const struct tr_op *op = call->op;
    const int y_index = TR_LINEAR_Y + at->segment;
    const void *bias = call->operand[TR_LINEAR_B + at->segment], *residual = call->operand[TR_LINEAR_RESIDUAL];
    const enum tr_dtype type = tr_op_operand_dtype(op, y_index);
    struct product part = *at;
    const int64_t parts = op->flags & TR_OP_ROW_PARALLEL ? op->part.parts : 1; /* else they are parts of the outputs */
    float y = tr_is_quantized(op->weight) ? quantized_sum(at) : tr_tree_of(part_of, &part, 0, parts);
    if (bias != NULL) {
        y = y + tr_load(bias, op->act, at->out);
        tally->read_bytes += at->token == 0 ? tr_dtype_bytes(op->act) : 0;
    }
    if (residual != NULL) {
        y = tr_load(residual, op->act, at->token * op->out[0] + at->out) + y;
        tally->read_bytes += tr_dtype_bytes(op->act);
    }
    tr_store(call->operand[y_index], type, at->token * op->out[at->segment] + at->out, y);
    tally->write_bytes += tr_dtype_bytes(type);
    tally->flop += 2 * op->in;
    if (at->token == 0 && at->out % TR_PANEL == 0)
        tally->read_bytes += tr_panel_bytes(op->weight, op->in);
}

void tr_linear_packed_ref(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    TR_ASSERT(tr_parts_owned(op->part) == op->part.parts);
    TR_ASSERT(call->operand[TR_LINEAR_RESIDUAL] == NULL || (op->segments == 1 && !(op->flags & TR_OP_Y_F32)));
#pragma omp parallel for num_threads(call->threads)
    for (int64_t t = 0; t < op->seqs * op->seq_len; t++) {
        struct tr_tally tally = {.read_bytes = op->in * tr_dtype_bytes(op->act)};
        for (int i = 0; i < op->segments; i++)
            for (int64_t o = 0; o < op->out[i]; o++)
                product_element(&(struct product){call, i, t, o}, &tally);
        tr_tally_add(call, &tally);
    }
}

/* ---- PACK -------------------------------------------------------------------------------------------------------- */

/* A block of a panel, turned: value[k][output]. Loops over outputs are inside everywhere, so that they become vectors. */
struct turned {
    float value[TR_QUANT][TR_PANEL];
};

/* What rounding changes, and what there was, of each output of a panel. */
struct error {
    float changed[TR_PANEL], all[TR_PANEL];
};

struct source {
    const float *src;
    int64_t in, out;
};

static void turn(const struct source *p, struct turned *block, int64_t first_out, int64_t first_k)
{
    memset(block, 0, sizeof *block);
    int64_t n = tr_min_i64(TR_PANEL, p->out - first_out), k_count = tr_min_i64(TR_QUANT, p->in - first_k);
    for (int64_t o = 0; o < n; o++)
        for (int64_t k = 0; k < k_count; k++)
            block->value[k][o] = p->src[(first_out + o) * p->in + first_k + k];
}

/* error: NULL when nobody asks. */
static void note_error(struct error *error, const float *value, const float *rounded)
{
    for (int o = 0; error && o < TR_PANEL; o++) {
        float change = value[o] - rounded[o];
        error->changed[o] = error->changed[o] + change * change;
        error->all[o] = error->all[o] + value[o] * value[o];
    }
}

static void pack_f32(const struct source *p, void *panel, int64_t first_out, struct error *error)
{
    float *to = panel;
    for (int64_t k0 = 0; k0 < p->in; k0 += TR_QUANT) {
        struct turned block;
        turn(p, &block, first_out, k0);
        for (int64_t k = 0; k < TR_QUANT && k0 + k < p->in; k++, to += TR_PANEL) {
            memcpy(to, block.value[k], sizeof block.value[k]);
            note_error(error, block.value[k], block.value[k]);
        }
    }
}

static void pack_bf16(const struct source *p, void *panel, int64_t first_out, struct error *error)
{
    tr_bf16 *to = panel;
    for (int64_t k0 = 0; k0 < p->in; k0 += TR_QUANT) {
        struct turned block;
        turn(p, &block, first_out, k0);
        for (int64_t k = 0; k < TR_QUANT && k0 + k < (p->in + 1) / 2 * 2; k++) {
            float rounded[TR_PANEL];
            for (int o = 0; o < TR_PANEL; o++) {
                tr_bf16 half = tr_bf16_from_f32(block.value[k][o]);
                to[((k0 + k) / 2 * TR_PANEL + o) * 2 + k % 2] = half;
                rounded[o] = tr_f32_from_bf16(half);
            }
            note_error(error, block.value[k], rounded);
        }
    }
}

/* Whole numbers of a block and their scales. */
struct quantized {
    float q[TR_QUANT][TR_PANEL];
    float d[TR_PANEL]; /* F16 numbers */
};

static void round_to_f16(float *d)
{
    for (int o = 0; o < TR_PANEL; o++)
        d[o] = tr_f32_from_f16(tr_f16_from_f32(d[o]));
}

/* q = value * scale, held to least .. most. */
static void round_all(const struct turned *block, const float *scale, float least, float most, struct quantized *to)
{
    for (int k = 0; k < TR_QUANT; k++)
        for (int o = 0; o < TR_PANEL; o++) {
            float x = block->value[k][o] * scale[o];
            x = x > least ? x : least; /* NaN: least */
            x = x < most ? x : most;
            to->q[k][o] = (x + 0x1.8p23f) - 0x1.8p23f; /* nearest whole number, ties to even */
        }
}

static void clear_where_no_scale(struct quantized *to)
{
    for (int k = 0; k < TR_QUANT; k++)
        for (int o = 0; o < TR_PANEL; o++)
            to->q[k][o] = to->d[o] == 0.0f ? 0.0f : to->q[k][o];
}

/* The number of largest magnitude of each output, the first of equals; a NaN is larger than all. */
static void find_extremes(const struct turned *block, float *extreme)
{
    uint32_t most[TR_PANEL] = {0};
    memset(extreme, 0, TR_PANEL * sizeof *extreme);
    for (int k = 0; k < TR_QUANT; k++)
        for (int o = 0; o < TR_PANEL; o++) {
            uint32_t magnitude = tr_f32_bits(block->value[k][o]) & 0x7fffffffu;
            extreme[o] = magnitude > most[o] ? block->value[k][o] : extreme[o];
            most[o] = magnitude > most[o] ? magnitude : most[o];
        }
}

static void quantize_int8(const struct turned *block, struct quantized *to)
{
    float extreme[TR_PANEL], scale[TR_PANEL];
    find_extremes(block, extreme);
    for (int o = 0; o < TR_PANEL; o++)
        to->d[o] = fabsf(extreme[o]) / 127.0f;
    round_to_f16(to->d);
    for (int o = 0; o < TR_PANEL; o++)
        scale[o] = to->d[o] == 0.0f ? 0.0f : 1.0f / to->d[o];
    round_all(block, scale, -127.0f, 127.0f, to);
    clear_where_no_scale(to);
}

static void least_squares(const struct turned *block, struct quantized *to)
{
    float product[TR_PANEL] = {0}, square[TR_PANEL] = {0};
    for (int k = 0; k < TR_QUANT; k++)
        for (int o = 0; o < TR_PANEL; o++) {
            product[o] = product[o] + block->value[k][o] * to->q[k][o];
            square[o] = square[o] + to->q[k][o] * to->q[k][o];
        }
    for (int o = 0; o < TR_PANEL; o++)
        to->d[o] = square[o] == 0.0f ? 0.0f : product[o] / square[o];
}

static void sum_errors(const struct turned *block, const struct quantized *of, float *sum)
{
    memset(sum, 0, TR_PANEL * sizeof *sum);
    for (int k = 0; k < TR_QUANT; k++)
        for (int o = 0; o < TR_PANEL; o++) {
            float change = block->value[k][o] - of->d[o] * of->q[k][o];
            sum[o] = sum[o] + change * change;
        }
}

static void quantize_int4(const struct turned *block, struct quantized *to)
{
    static const float steps[] = {0.0f, 1.0f, -0.75f, -0.5f, -0.25f, 0.25f, 0.5f, 0.75f};
    float extreme[TR_PANEL], scale[TR_PANEL], error[TR_PANEL], least[TR_PANEL];
    find_extremes(block, extreme);
    for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
        struct quantized tried;
        float c = -8.0f + steps[s];
        for (int o = 0; o < TR_PANEL; o++) {
            scale[o] = extreme[o] == 0.0f ? 0.0f : c / extreme[o];
            tried.d[o] = extreme[o] / c;
        }
        round_all(block, scale, -8.0f, 7.0f, &tried);
        if (s > 0)
            least_squares(block, &tried);
        round_to_f16(tried.d);
        sum_errors(block, &tried, error);
        for (int o = 0; o < TR_PANEL; o++) {
            bool better = s == 0 || error[o] < least[o];
            least[o] = better ? error[o] : least[o];
            to->d[o] = better ? tried.d[o] : to->d[o];
            scale[o] = better ? 1.0f : 0.0f;
        }
        for (int k = 0; k < TR_QUANT; k++)
            for (int o = 0; o < TR_PANEL; o++)
                to->q[k][o] = scale[o] > 0.0f ? tried.q[k][o] : to->q[k][o];
    }
    clear_where_no_scale(to);
}

static void pack_quantized(const struct source *p, enum tr_dtype type, uint8_t *to, int64_t first_out,
                           struct error *error)
{
    for (int64_t k0 = 0; k0 < p->in; k0 += TR_QUANT) {
        struct turned block;
        struct quantized q;
        turn(p, &block, first_out, k0);
        if (type == TR_INT8)
            quantize_int8(&block, &q);
        else
            quantize_int4(&block, &q);
        for (int o = 0; o < TR_PANEL; o++) {
            uint16_t half = tr_f16_from_f32(q.d[o]);
            memcpy(to + 2 * o, &half, sizeof half);
        }
        to += 2 * TR_PANEL;
        const int halves = type == TR_INT8 ? 1 : 2, quads = TR_QUANT / 4 / halves;
        for (int quad = 0; quad < quads; quad++)
            for (int o = 0; o < TR_PANEL; o++)
                for (int j = 0; j < 4; j++, to++) {
                    int k = 4 * quad + j;
                    if (halves == 1)
                        *to = (uint8_t)((int)q.q[k][o] + 128);
                    else
                        *to = (uint8_t)(((int)q.q[k][o] + 8) | ((int)q.q[TR_QUANT / 2 + k][o] + 8) << 4);
                }
        for (int k = 0; k < TR_QUANT; k++) {
            float rounded[TR_PANEL];
            for (int o = 0; o < TR_PANEL; o++)
                rounded[o] = q.d[o] * q.q[k][o];
            note_error(error, block.value[k], rounded);
        }
    }
}

static void pack_panel(const struct source *p, enum tr_dtype type, void *panel, int64_t first_out, struct error *error)
{
    if (type == TR_F32)
        pack_f32(p, panel, first_out, error);
    else if (type == TR_BF16)
        pack_bf16(p, panel, first_out, error);
    else
        pack_quantized(p, type, panel, first_out, error);
}

void tr_pack_ref(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    const struct source p = {call->operand[TR_PACK_SRC], op->in, op->out[0]};
    float *errors = call->operand[TR_PACK_ERROR];
    const int64_t bytes = tr_panel_bytes(op->weight, op->in);
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < tr_panels(p.out); i++) {
        struct error error = {{0}, {0}};
        float sum[2] = {0};
        pack_panel(&p, op->weight, (uint8_t *)call->operand[TR_PACK_DST] + i * bytes, i * TR_PANEL, errors ? &error : NULL);
        for (int o = 0; o < TR_PANEL; o++) {
            sum[0] = sum[0] + error.changed[o];
            sum[1] = sum[1] + error.all[o];
        }
        if (errors)
            memcpy(errors + 2 * i, sum, sizeof sum);
        tr_count_add(call->count, 0, 4 * p.in * tr_min_i64(TR_PANEL, p.out - i * TR_PANEL),
                     bytes + (errors ? (int64_t)sizeof sum : 0));
    }
}
