/* Between the operands of kernels and those of the double reference. */
#include "lib/ref64.h"

#include <stdlib.h>
#include <string.h>

static bool is_accumulator(const struct tr_op *op, int i)
{
    return tr_op_operands(op->kind)->operand[i].direction == TR_ACC;
}

static double element(const struct tr_guarded *zone, enum tr_dtype type, int64_t i)
{
    return type == TR_I32 ? ((const int32_t *)zone->data)[i] : tr_load(zone->data, type, i);
}

double *tr_ref64_operand(const struct tr_opdata *data, int i)
{
    const struct tr_op *op = &data->test->op;
    const struct tr_guarded *zone = &data->operand[i];
    enum tr_dtype type = tr_op_operand_dtype(op, i);
    int64_t n = tr_ref64_count(op, i), leaves = is_accumulator(op, i) ? tr_op_leaves(op, i) : 1;
    double *x = calloc((size_t)n, sizeof *x);
    TR_ASSERT(x != NULL);
    for (int64_t leaf = 0; leaf < leaves; leaf++)
        for (int64_t k = 0; k < n; k++)
            x[k] += element(zone, type, leaf * n + k);
    return x;
}

void tr_ref64_make(struct tr_ref64 *run, const struct tr_opdata *data)
{
    const struct tr_op *op = &data->test->op;
    const struct tr_op_info *info = tr_op_operands(op->kind);
    *run = (struct tr_ref64){.op = op, .values = &data->values};
    for (int i = 0; i < info->operand_count; i++) {
        if (data->operand[i].data == NULL)
            continue;
        run->operand[i] = tr_ref64_operand(data, i);
        if (info->operand[i].direction == TR_IN)
            continue;
        run->err[i] = calloc((size_t)tr_ref64_count(op, i), sizeof(double));
        TR_ASSERT(run->err[i] != NULL);
    }
}

void tr_ref64_free(struct tr_ref64 *run)
{
    for (int i = 0; i < TR_OP_OPERANDS_MAX; i++) {
        free(run->operand[i]);
        free(run->err[i]);
    }
    *run = (struct tr_ref64){0};
}

void tr_ref64_clear_leaves(struct tr_opdata *data)
{
    const struct tr_op *op = &data->test->op;
    for (int i = 0; i < tr_op_operands(op->kind)->operand_count; i++) {
        if (!is_accumulator(op, i) || data->operand[i].data == NULL)
            continue;
        int64_t leaf_bytes = tr_ref64_count(op, i) * (int64_t)sizeof(float);
        memset((char *)data->operand[i].data + leaf_bytes, 0, (size_t)(data->operand[i].bytes - leaf_bytes));
    }
}
