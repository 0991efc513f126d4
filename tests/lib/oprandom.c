/* Cases that nobody thought of: every number of an operation by chance, edges more often than not. */
#include "lib/opcase.h"

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

struct dice {
    uint64_t seed, thrown;
};

/* 0 .. n - 1 */
static int64_t throw(struct dice *dice, int64_t n)
{
    return (int64_t)(tr_test_bits(dice->seed, dice->thrown++) >> 8) % n;
}

static bool maybe(struct dice *dice) { return throw(dice, 2) == 0; }

/* Of an axis: where tiles, vectors, blocks begin and end, or anything. */
static int64_t any_size(struct dice *dice)
{
    static const int64_t edge[] = {1,  2,  3,  5,  6,  7,  8,  9,  13, 14, 15,  16,  17,  27,  28,  29,  31,  32,
                                   33, 63, 64, 65, 80, 95, 96, 97, 98, 99, 127, 128, 129, 255, 256, 257, 513, 1030, 1200, 2100};
    return throw(dice, 3) > 0 ? edge[throw(dice, COUNT_OF(edge))] : throw(dice, 200) + 1;
}

static void any_linear(struct tr_opcase *test, struct dice *dice)
{
    struct tr_op *op = &test->op;
    op->in = any_size(dice);
    op->segments = (int32_t)throw(dice, TR_OP_SEGMENTS_MAX) + 1;
    for (int i = 0; i < op->segments; i++) {
        op->out[i] = any_size(dice);
        op->quantum[i] = 2;
    }
    op->flags = maybe(dice) ? TR_OP_ROW_PARALLEL : 0;
    op->part = tr_all_parts((int)throw(dice, 5) + 1);
    const bool forward = op->kind == TR_OP_LINEAR || op->kind == TR_OP_LINEAR_PACKED;
    test->absent = (uint32_t)throw(dice, 8) << (forward ? TR_LINEAR_B : TR_LINEAR_DW_DB) |
                   (uint32_t)throw(dice, 2) << TR_LINEAR_RESIDUAL;
    if (op->kind == TR_OP_LINEAR_PACKED) {
        op->weight = maybe(dice) ? op->act : maybe(dice) ? TR_INT8 : TR_INT4;
        if (tr_is_quantized(op->weight))
            op->flags = 0;
    }
    if (forward && op->segments > 1)
        test->absent |= 1u << TR_LINEAR_RESIDUAL;
    if (forward && test->absent >> TR_LINEAR_RESIDUAL & 1u && maybe(dice))
        op->flags |= TR_OP_Y_F32;
}

static void any_attention(struct tr_opcase *test, struct dice *dice)
{
    static const int32_t dims[] = {1, 2, 3, 8, 16, 33, 48, 64, 80, 96, 112, 128, 200, 256};
    struct tr_op *op = &test->op;
    op->kv_heads = (int32_t)throw(dice, 3) + 1;
    op->heads = op->kv_heads * ((int32_t)throw(dice, 7) + 1);
    op->head_dim = dims[throw(dice, COUNT_OF(dims))];
    op->positions = op->seq_len;
    op->flags = maybe(dice) ? TR_OP_APART : 0;
    if (op->kind == TR_OP_ATTN && maybe(dice)) { /* generation */
        op->flags = maybe(dice) ? TR_OP_BY_HEAD : 0;
        op->seq_len = maybe(dice) ? 1 : op->seq_len;
        test->position = throw(dice, 300);
        op->positions = test->position + op->seq_len + throw(dice, 80);
    }
}

static void any_shape(struct tr_opcase *test, struct dice *dice)
{
    struct tr_op *op = &test->op;
    switch (op->kind) {
    case TR_OP_LINEAR:
    case TR_OP_LINEAR_DX:
    case TR_OP_LINEAR_DW:
    case TR_OP_LINEAR_PACKED:
        any_linear(test, dice);
        break;
    case TR_OP_ATTN:
    case TR_OP_ATTN_BWD:
        any_attention(test, dice);
        break;
    case TR_OP_HEAD:
        op->vocab = any_size(dice);
        op->flags = maybe(dice) ? TR_OP_GRAD : 0;
        op->part = tr_all_parts((int)throw(dice, 5) + 1);
        test->absent = op->flags == 0 ? 1u << TR_HEAD_DX | 1u << TR_HEAD_DW : maybe(dice) ? 1u << TR_HEAD_DW : 0;
        break;
    case TR_OP_LOSS:
        op->vocab = any_size(dice);
        break;
    case TR_OP_NORM_BWD:
        op->part = tr_all_parts((int)throw(dice, 3) + 1);
        op->flags = maybe(dice) ? TR_OP_ADD_DX : 0;
        /* fall through */
    case TR_OP_NORM:
        op->heads = maybe(dice) ? 1 : (int32_t)throw(dice, 6) + 1;
        op->flags |= maybe(dice) ? TR_OP_RMS : 0;
        test->absent = maybe(dice) ? 1u << (op->kind == TR_OP_NORM ? TR_NORM_BIAS : TR_NORM_BWD_DBIAS) : 0;
        break;
    default:
        op->alpha = 0.7f;
        op->beta = -1.3f;
        op->flags = (op->kind == TR_OP_ADAMW || op->kind == TR_OP_MUON) && maybe(dice) ? TR_OP_DECAY : 0;
        break;
    }
}

void tr_opcase_random(struct tr_opcase *test, enum tr_op_kind kind, uint64_t seed)
{
    struct dice dice = {.seed = seed * TR_OP_KIND_COUNT + (uint64_t)kind};
    const enum tr_dtype type = maybe(&dice) ? TR_F32 : TR_BF16;
    do {
        *test = (struct tr_opcase){.op = {.kind = kind, .act = type, .weight = type, .heads = 1, .segments = 1, .eps = 1e-5f,
                                          .context = tr_all_parts(1), .part = tr_all_parts(1), .quantum = {1, 1, 1}},
                                   .fill = (enum tr_fill)throw(&dice, TR_FILL_COUNT)};
        test->op.seqs = maybe(&dice) ? 1 : throw(&dice, 4) + 1;
        test->op.seq_len = any_size(&dice);
        test->op.width = any_size(&dice);
        test->op.count = any_size(&dice) * any_size(&dice);
        any_shape(test, &dice);
        const int64_t blocks = (kind == TR_OP_ATTN ? test->op.positions : test->op.seq_len) / TR_CONTEXT_QUANTUM;
        if (blocks > 1 && (kind != TR_OP_HEAD || test->op.flags & TR_OP_GRAD))
            test->op.context = tr_all_parts((int)throw(&dice, blocks < 5 ? blocks : 5) + 1);
    } while (tr_opcase_cost(test) > 1 << 21);
}
