/* GELU in the tanh form (Hendrycks and Gimpel 2016), SwiGLU (Shazeer 2020), and their derivatives. */
#include "lib/ref64.h"

#include <math.h>

#define U TR_REF64_U

/* A function of one number with its error. */
struct value {
    double y, err;
};

/* Sigmoid of z, z off by `err`: s (1 - s) err, and 2.5 ULP of its own (fn.h), an ULP being at most 2 u. */
static struct value sigmoid(double z, double err)
{
    double s = z < 0 ? exp(z) / (1 + exp(z)) : 1 / (1 + exp(-z));
    return (struct value){s, s * (1 - s) * err + 5 * U * s + TR_REF64_TINY};
}

/* gelu(x) = x (1 + tanh(z / 2)) / 2 with this z, and its derivative. */
static double gelu_z(double x) { return 2 * sqrt(2 / acos(-1.0)) * (x + 0.044715 * x * x * x); }
static double gelu_dz(double x) { return 2 * sqrt(2 / acos(-1.0)) * (1 + 3 * 0.044715 * x * x); }

/* (1 + tanh(z / 2)) / 2 is the sigmoid of z, which does not cancel. */
static double gelu_of(double x) { return x * sigmoid(gelu_z(x), 0).y; }

static struct value gelu(double x)
{
    struct value s = sigmoid(gelu_z(x), 6 * U * fabs(gelu_z(x)));
    return (struct value){gelu_of(x), fabs(x) * s.err + U * fabs(gelu_of(x))};
}

/* s + x s (1 - s) z', the three products and the sum rounded; 1 - s has the error of s and a rounding. */
static struct value gelu_slope(double x)
{
    struct value s = sigmoid(gelu_z(x), 6 * U * fabs(gelu_z(x)));
    double dz = gelu_dz(x), term = x * s.y * (1 - s.y) * dz, y = s.y + term;
    double err = s.err + fabs(x * dz) * (s.err + s.y * U) + 6 * U * fabs(term) + U * fabs(y);
    return (struct value){y, err};
}

static struct value silu(double x)
{
    struct value s = sigmoid(x, 0);
    return (struct value){x * s.y, fabs(x) * s.err + U * fabs(x * s.y)};
}

static struct value silu_slope(double x)
{
    struct value s = sigmoid(x, 0);
    double inner = 1 + x * (1 - s.y);
    double inner_err = fabs(x) * (s.err + U) + U * fabs(inner);
    return (struct value){s.y * inner, s.y * inner_err + fabs(inner) * s.err + U * fabs(s.y * inner)};
}

/* out = factor * f, rounded `roundings` times. */
static void out_product(const struct tr_ref64 *run, int i, int64_t index, double factor, struct value f, int roundings)
{
    double err = fabs(factor) * f.err + roundings * U * fabs(factor * f.y) + fabs(factor) * TR_REF64_TINY;
    tr_ref64_out(run, i, index, factor * f.y, err);
}

void tr_ref64_act(const struct tr_ref64 *run)
{
    const struct tr_op *op = run->op;
    double *const *operand = run->operand;
    for (int64_t i = 0; i < op->seqs * op->seq_len * op->width; i++) {
        switch (op->kind) {
        case TR_OP_GELU:
            out_product(run, TR_GELU_Y, i, 1, gelu(operand[TR_GELU_X][i]), 0);
            break;
        case TR_OP_GELU_BWD:
            out_product(run, TR_GELU_BWD_DX, i, operand[TR_GELU_BWD_DY][i], gelu_slope(operand[TR_GELU_BWD_X][i]), 1);
            break;
        case TR_OP_SWIGLU:
            out_product(run, TR_SWIGLU_Y, i, operand[TR_SWIGLU_UP][i], silu(operand[TR_SWIGLU_GATE][i]), 1);
            break;
        default: {
            double gate = operand[TR_SWIGLU_BWD_GATE][i], up = operand[TR_SWIGLU_BWD_UP][i];
            double dy = operand[TR_SWIGLU_BWD_DY][i];
            out_product(run, TR_SWIGLU_BWD_DGATE, i, dy * up, silu_slope(gate), 2);
            out_product(run, TR_SWIGLU_BWD_DUP, i, dy, silu(gate), 1);
        }
        }
    }
}
