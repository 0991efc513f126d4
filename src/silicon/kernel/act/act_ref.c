/* The meaning of GELU, GELU_BWD, SWIGLU and SWIGLU_BWD, the functions of fn.h, and of LINEAR_END, element by element. */
#include "silicon/kernel/act/act.h"
#include "silicon/kernel/ref.h"
#include "silicon/op/fn.h"

static int64_t element_count(const struct tr_op *op) { return op->seqs * op->seq_len * op->width; }

static float element(const struct tr_call *call, int operand, int64_t i, struct tr_tally *tally)
{
    tally->read_bytes += tr_dtype_bytes(call->op->act);
    return tr_load(call->operand[operand], call->op->act, i);
}

static void put(const struct tr_call *call, int operand, int64_t i, float value, struct tr_tally *tally)
{
    tally->write_bytes += tr_dtype_bytes(call->op->act);
    tr_store(call->operand[operand], call->op->act, i, value);
}

void tr_gelu_ref(const struct tr_call *call)
{
    struct tr_tally tally = {0};
    for (int64_t i = 0; i < element_count(call->op); i++)
        put(call, TR_GELU_Y, i, tr_gelu(element(call, TR_GELU_X, i, &tally)), &tally);
    tr_tally_add(call, &tally);
}

void tr_gelu_bwd_ref(const struct tr_call *call)
{
    struct tr_tally tally = {0};
    for (int64_t i = 0; i < element_count(call->op); i++) {
        float x = element(call, TR_GELU_BWD_X, i, &tally);
        float dy = element(call, TR_GELU_BWD_DY, i, &tally);
        put(call, TR_GELU_BWD_DX, i, dy * tr_gelu_slope(x), &tally);
    }
    tr_tally_add(call, &tally);
}

void tr_swiglu_ref(const struct tr_call *call)
{
    struct tr_tally tally = {0};
    for (int64_t i = 0; i < element_count(call->op); i++) {
        float gate = element(call, TR_SWIGLU_GATE, i, &tally);
        float up = element(call, TR_SWIGLU_UP, i, &tally);
        put(call, TR_SWIGLU_Y, i, tr_silu(gate) * up, &tally);
    }
    tr_tally_add(call, &tally);
}

void tr_swiglu_bwd_ref(const struct tr_call *call)
{
    struct tr_tally tally = {0};
    for (int64_t i = 0; i < element_count(call->op); i++) {
        float gate = element(call, TR_SWIGLU_BWD_GATE, i, &tally);
        float up = element(call, TR_SWIGLU_BWD_UP, i, &tally);
        float dy = element(call, TR_SWIGLU_BWD_DY, i, &tally);
        put(call, TR_SWIGLU_BWD_DGATE, i, dy * up * tr_silu_slope(gate), &tally);
        put(call, TR_SWIGLU_BWD_DUP, i, dy * tr_silu(gate), &tally);
    }
    tr_tally_add(call, &tally);
}

void tr_linear_end_ref(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    const float *sum = call->operand[TR_LINEAR_END_SUM];
    const void *bias = call->operand[TR_LINEAR_END_B];
    struct tr_tally tally = {0};
    for (int64_t i = 0; i < element_count(op); i++) {
        float y = sum[i];
        tally.read_bytes += (int64_t)sizeof(float);
        if (bias != NULL) {
            y = y + tr_load(bias, op->weight, i % op->width);
            tally.read_bytes += i < op->width ? tr_dtype_bytes(op->weight) : 0;
        }
        if (call->operand[TR_LINEAR_END_RESIDUAL] != NULL)
            y = element(call, TR_LINEAR_END_RESIDUAL, i, &tally) + y;
        put(call, TR_LINEAR_END_Y, i, y, &tally);
    }
    tr_tally_add(call, &tally);
}
