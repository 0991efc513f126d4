/* The meaning of ROPE. */
#include "silicon/kernel/ref.h"
#include "silicon/kernel/rope/rope.h"

/* All heads of one token. */
static void rope_token(const struct tr_call *call, int64_t t)
{
    const struct tr_op *op = call->op;
    void *x = call->operand[TR_ROPE_X];
    int64_t half = op->head_dim / 2;
    int64_t position = call->values->position + t % op->seq_len - tr_call_start(call, TR_ROPE_START, t);
    bool apart = (op->flags & TR_OP_APART) != 0;
    TR_ASSERT(position >= 0 && position < op->positions);
    const float *table = (const float *)call->operand[TR_ROPE_TABLE] + position * half * 2;
    struct tr_tally tally = {.read_bytes = apart ? (int64_t)sizeof(int32_t) : 0};
    for (int64_t h = 0; h < op->heads; h++) {
        for (int64_t d = 0; d < half; d++) {
            int64_t first = (t * op->heads + h) * op->head_dim + d, second = first + half;
            float cosine = table[2 * d], sine = table[2 * d + 1];
            if (op->flags & TR_OP_INVERSE)
                sine = -sine;
            float a = tr_load(x, op->act, first), b = tr_load(x, op->act, second);
            float b_sine = b * sine, a_sine = a * sine;
            tr_store(x, op->act, first, fmaf(a, cosine, -b_sine));
            tr_store(x, op->act, second, fmaf(b, cosine, a_sine));
            tally.read_bytes += 2 * tr_dtype_bytes(op->act);
            tally.read_bytes += (apart || t < op->seq_len) && h == 0 ? 2 * (int64_t)sizeof *table : 0;
            tally.write_bytes += 2 * tr_dtype_bytes(op->act);
        }
    }
    tr_tally_add(call, &tally);
}

void tr_rope_ref(const struct tr_call *call)
{
    TR_ASSERT(call->op->head_dim % 2 == 0);
#pragma omp parallel for num_threads(call->threads)
    for (int64_t t = 0; t < call->op->seqs * call->op->seq_len; t++)
        rope_token(call, t);
}
