/* Every operation in plain double, from the textbook formulas, and how far fp32 or bf16 kernels may be from it.
 *
 * This is the independent truth of test_truth.c and test_grad.c: it knows nothing of blocks, trees, logical parts or
 * fold16, and uses libm. Operands are arrays of double in the order and shape of op.h (indices as whole numbers) with
 * one exception: accumulators (TR_ACC) have no leaf axis; they are the whole sum.
 *
 * Bounds. Let u = 2^-24 be the unit roundoff of fp32. A sum of n products a_i b_i in any order, each term passing
 * through at most n roundings, is off by at most n u sum |a_i b_i| to first order (Higham, Accuracy and Stability of
 * Numerical Algorithms, section 3.1). For functions of rounded values the error is carried by the first derivative;
 * exp of an argument with absolute error e has relative error e. Values stored as bf16 add 2^-8 of themselves. err[i]
 * is this absolute bound for every element of output i, with TR_REF64_SLACK for terms of second order and TR_REF64_TINY
 * for products below the normal range, which lose digits or (bf16) count as zero.
 */
#ifndef TR_TESTS_LIB_REF64_H
#define TR_TESTS_LIB_REF64_H

#include "lib/opcase.h"

#define TR_REF64_U     0x1p-24
#define TR_REF64_UB    0x1p-8
#define TR_REF64_SLACK 1.05
#define TR_REF64_TINY  0x1p-126

struct tr_ref64 {
    const struct tr_op *op;
    const struct tr_step_values *values; /* loss_scale, position, AdamW's numbers */
    double *operand[TR_OP_OPERANDS_MAX]; /* NULL: not there */
    double *err[TR_OP_OPERANDS_MAX];     /* of outputs; NULL: not wanted */
};

/* Elements of operand i: its shape without the leaf axis of accumulators. */
int64_t tr_ref64_count(const struct tr_op *op, int i);

/* Whether it knows the kind: all but LOSS_SUM, GRAD_SQ and CLIP, whose results are no operands, and LINEAR_PACKED and PACK,
 * which have a test of their own (test_packed.c). */
bool tr_ref64_knows(enum tr_op_kind kind);

/* Runs the operation. Outputs are overwritten, accumulators and in-out operands updated. An operation that does a
 * sub-range of the parts is not for here: it has no meaning alone. */
void tr_ref64_run(const struct tr_ref64 *run);

/* The chapters of it. */
void tr_ref64_linear(const struct tr_ref64 *run);
void tr_ref64_norm(const struct tr_ref64 *run);
void tr_ref64_attn(const struct tr_ref64 *run);
void tr_ref64_head(const struct tr_ref64 *run);
void tr_ref64_act(const struct tr_ref64 *run);

/* A run on the operands of `data`, as they are now: numbers converted, the leaves of accumulators added up, err all
 * zero for outputs. It keeps nothing of data but its op and values. */
void tr_ref64_make(struct tr_ref64 *run, const struct tr_opdata *data);
void tr_ref64_free(struct tr_ref64 *run);

/* The elements of operand i of `data` (leaves added up), tr_ref64_count of them; the caller frees them. */
double *tr_ref64_operand(const struct tr_opdata *data, int i);

/* +0 in all leaves of the accumulators but the first, so that their sum is an fp32 number. */
void tr_ref64_clear_leaves(struct tr_opdata *data);

/* What a product may lose when it or a factor is below the normal range. */
static inline double tr_ref64_tiny(double a, double b)
{
    return TR_REF64_TINY * (1 + (a < 0 ? -a : a) + (b < 0 ? -b : b));
}

/* out = value, with `bound` u's of error before it is stored as `type` (TR_F32: the last rounding is in the bound). */
static inline void tr_ref64_out(const struct tr_ref64 *run, int i, int64_t index, double value, double bound)
{
    bool bf16 = tr_op_operand_dtype(run->op, i) == TR_BF16;
    double magnitude = value < 0 ? -value : value;
    if (run->operand[i] == NULL) /* an optional one */
        return;
    run->operand[i][index] = value;
    if (run->err[i] != NULL)
        run->err[i][index] =
            TR_REF64_SLACK * (bound + (bf16 ? TR_REF64_UB * (magnitude + bound) : 0.0)) + TR_REF64_TINY;
}

#endif
