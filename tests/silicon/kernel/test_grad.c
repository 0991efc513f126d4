/* Every backward operation against finite differences of the double forward pass.
 *
 * With dy the gradient of the outputs, L = sum of dy_i y_i(inputs) is a number, and a backward kernel claims its
 * gradient g with respect to each input. Along a random direction d (one input at a time) the claim is tested:
 *
 *     sum of g_i d_i = (L(x + h d) - L(x - h d)) / 2h      up to
 *         sum of err_i |d_i|       the rounding of the backward kernel (the bounds of lib/ref64.h)
 *         h^2 L''' / 6             the truncation: Richardson's extrapolation of h and h/2 removes it to the order h^4;
 *                                  what it removed bounds what is left
 *         2^-52 n sum |dy_i y_i| / h   the rounding of the double forward pass, n roundings each
 *
 * The test must be able to fail: it is also given gradients of which one element is off by 1 %, and has to say no.
 */
#include "lib/opcase.h"
#include "lib/ref64.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { REPORTS_MAX = 8, COST_MAX = 60000, SUPPORT = 12 };

static const double step = 1e-4;

/* ---- how backward operations belong to forward ones -------------------------------------------------------------- */

enum role {
    VALUE, /* the forward input that the backward operation reads too */
    DY,    /* its operand is the gradient of a forward output; -1: all are loss_scale */
    GRAD   /* its operand is the gradient of a forward input */
};

struct link {
    enum tr_op_kind backward, forward;
    enum role role;
    int forward_operand, backward_operand;
};

static const struct link links[] = {
    {TR_OP_EMBED_BWD, TR_OP_EMBED, VALUE, TR_EMBED_TOKENS, TR_EMBED_BWD_TOKENS},
    {TR_OP_EMBED_BWD, TR_OP_EMBED, VALUE, TR_EMBED_START, TR_EMBED_BWD_START},
    {TR_OP_EMBED_BWD, TR_OP_EMBED, DY, TR_EMBED_Y, TR_EMBED_BWD_DY},
    {TR_OP_EMBED_BWD, TR_OP_EMBED, GRAD, TR_EMBED_WTE, TR_EMBED_BWD_DWTE},
    {TR_OP_EMBED_BWD, TR_OP_EMBED, GRAD, TR_EMBED_WPE, TR_EMBED_BWD_DWPE},
    {TR_OP_NORM_BWD, TR_OP_NORM, VALUE, TR_NORM_X, TR_NORM_BWD_X},
    {TR_OP_NORM_BWD, TR_OP_NORM, VALUE, TR_NORM_GAIN, TR_NORM_BWD_GAIN},
    {TR_OP_NORM_BWD, TR_OP_NORM, DY, TR_NORM_Y, TR_NORM_BWD_DY},
    {TR_OP_NORM_BWD, TR_OP_NORM, GRAD, TR_NORM_X, TR_NORM_BWD_DX},
    {TR_OP_NORM_BWD, TR_OP_NORM, GRAD, TR_NORM_GAIN, TR_NORM_BWD_DGAIN},
    {TR_OP_NORM_BWD, TR_OP_NORM, GRAD, TR_NORM_BIAS, TR_NORM_BWD_DBIAS},
    {TR_OP_LINEAR_DX, TR_OP_LINEAR, VALUE, TR_LINEAR_W, TR_LINEAR_DX_W},
    {TR_OP_LINEAR_DX, TR_OP_LINEAR, VALUE, TR_LINEAR_W + 1, TR_LINEAR_DX_W + 1},
    {TR_OP_LINEAR_DX, TR_OP_LINEAR, VALUE, TR_LINEAR_W + 2, TR_LINEAR_DX_W + 2},
    {TR_OP_LINEAR_DX, TR_OP_LINEAR, DY, TR_LINEAR_Y, TR_LINEAR_DX_DY},
    {TR_OP_LINEAR_DX, TR_OP_LINEAR, DY, TR_LINEAR_Y + 1, TR_LINEAR_DX_DY + 1},
    {TR_OP_LINEAR_DX, TR_OP_LINEAR, DY, TR_LINEAR_Y + 2, TR_LINEAR_DX_DY + 2},
    {TR_OP_LINEAR_DX, TR_OP_LINEAR, GRAD, TR_LINEAR_X, TR_LINEAR_DX_DX},
    {TR_OP_LINEAR_DW, TR_OP_LINEAR, VALUE, TR_LINEAR_X, TR_LINEAR_DW_X},
    {TR_OP_LINEAR_DW, TR_OP_LINEAR, DY, TR_LINEAR_Y, TR_LINEAR_DW_DY},
    {TR_OP_LINEAR_DW, TR_OP_LINEAR, DY, TR_LINEAR_Y + 1, TR_LINEAR_DW_DY + 1},
    {TR_OP_LINEAR_DW, TR_OP_LINEAR, DY, TR_LINEAR_Y + 2, TR_LINEAR_DW_DY + 2},
    {TR_OP_LINEAR_DW, TR_OP_LINEAR, GRAD, TR_LINEAR_W, TR_LINEAR_DW_DW},
    {TR_OP_LINEAR_DW, TR_OP_LINEAR, GRAD, TR_LINEAR_W + 1, TR_LINEAR_DW_DW + 1},
    {TR_OP_LINEAR_DW, TR_OP_LINEAR, GRAD, TR_LINEAR_W + 2, TR_LINEAR_DW_DW + 2},
    {TR_OP_LINEAR_DW, TR_OP_LINEAR, GRAD, TR_LINEAR_B, TR_LINEAR_DW_DB},
    {TR_OP_LINEAR_DW, TR_OP_LINEAR, GRAD, TR_LINEAR_B + 1, TR_LINEAR_DW_DB + 1},
    {TR_OP_LINEAR_DW, TR_OP_LINEAR, GRAD, TR_LINEAR_B + 2, TR_LINEAR_DW_DB + 2},
    {TR_OP_ROPE, TR_OP_ROPE, VALUE, TR_ROPE_TABLE, TR_ROPE_TABLE}, /* the rotation back, in place */
    {TR_OP_ROPE, TR_OP_ROPE, VALUE, TR_ROPE_START, TR_ROPE_START},
    {TR_OP_ROPE, TR_OP_ROPE, DY, TR_ROPE_X, TR_ROPE_X},
    {TR_OP_ROPE, TR_OP_ROPE, GRAD, TR_ROPE_X, TR_ROPE_X},
    {TR_OP_ATTN_BWD, TR_OP_ATTN, VALUE, TR_ATTN_Q, TR_ATTN_BWD_Q},
    {TR_OP_ATTN_BWD, TR_OP_ATTN, VALUE, TR_ATTN_K, TR_ATTN_BWD_K},
    {TR_OP_ATTN_BWD, TR_OP_ATTN, VALUE, TR_ATTN_V, TR_ATTN_BWD_V},
    {TR_OP_ATTN_BWD, TR_OP_ATTN, VALUE, TR_ATTN_START, TR_ATTN_BWD_START},
    {TR_OP_ATTN_BWD, TR_OP_ATTN, DY, TR_ATTN_O, TR_ATTN_BWD_DO},
    {TR_OP_ATTN_BWD, TR_OP_ATTN, GRAD, TR_ATTN_Q, TR_ATTN_BWD_DQ},
    {TR_OP_ATTN_BWD, TR_OP_ATTN, GRAD, TR_ATTN_K, TR_ATTN_BWD_DK},
    {TR_OP_ATTN_BWD, TR_OP_ATTN, GRAD, TR_ATTN_V, TR_ATTN_BWD_DV},
    {TR_OP_GELU_BWD, TR_OP_GELU, VALUE, TR_GELU_X, TR_GELU_BWD_X},
    {TR_OP_GELU_BWD, TR_OP_GELU, DY, TR_GELU_Y, TR_GELU_BWD_DY},
    {TR_OP_GELU_BWD, TR_OP_GELU, GRAD, TR_GELU_X, TR_GELU_BWD_DX},
    {TR_OP_SWIGLU_BWD, TR_OP_SWIGLU, VALUE, TR_SWIGLU_GATE, TR_SWIGLU_BWD_GATE},
    {TR_OP_SWIGLU_BWD, TR_OP_SWIGLU, VALUE, TR_SWIGLU_UP, TR_SWIGLU_BWD_UP},
    {TR_OP_SWIGLU_BWD, TR_OP_SWIGLU, DY, TR_SWIGLU_Y, TR_SWIGLU_BWD_DY},
    {TR_OP_SWIGLU_BWD, TR_OP_SWIGLU, GRAD, TR_SWIGLU_GATE, TR_SWIGLU_BWD_DGATE},
    {TR_OP_SWIGLU_BWD, TR_OP_SWIGLU, GRAD, TR_SWIGLU_UP, TR_SWIGLU_BWD_DUP},
    {TR_OP_HEAD, TR_OP_HEAD, VALUE, TR_HEAD_X, TR_HEAD_X},
    {TR_OP_HEAD, TR_OP_HEAD, VALUE, TR_HEAD_W, TR_HEAD_W},
    {TR_OP_HEAD, TR_OP_HEAD, VALUE, TR_HEAD_TARGETS, TR_HEAD_TARGETS},
    {TR_OP_HEAD, TR_OP_HEAD, DY, TR_HEAD_LOSS, -1},
    {TR_OP_HEAD, TR_OP_HEAD, GRAD, TR_HEAD_X, TR_HEAD_DX},
    {TR_OP_HEAD, TR_OP_HEAD, GRAD, TR_HEAD_W, TR_HEAD_DW},
};

enum { LINK_COUNT = sizeof links / sizeof links[0] };

/* ---- L and its differences --------------------------------------------------------------------------------------- */

/* A backward case, and the forward operation that it differentiates. */
struct pass {
    const struct tr_opcase *test;
    struct tr_opcase forward_case;
    struct tr_ref64 before;            /* the backward operands before the kernel ran */
    struct tr_ref64 truth;             /* after the double backward operation, with bounds */
    struct tr_opdata after;            /* after the kernel ran */
    double *input[TR_OP_OPERANDS_MAX]; /* of the forward operation */
};

static double *copy_of(const double *x, int64_t n)
{
    double *copy = malloc((size_t)n * sizeof *x);
    TR_ASSERT(copy != NULL);
    if (x != NULL)
        memcpy(copy, x, (size_t)n * sizeof *x);
    return copy;
}

static const struct link *link_of(const struct pass *pass, enum role role, int forward_operand)
{
    for (int i = 0; i < LINK_COUNT; i++)
        if (links[i].backward == pass->test->op.kind && links[i].role == role &&
            links[i].forward_operand == forward_operand)
            return &links[i];
    return NULL;
}

static void make_inputs(struct pass *pass)
{
    const struct tr_op *forward = &pass->forward_case.op;
    const struct tr_op_info *info = tr_op_operands(forward->kind);
    for (int i = 0; i < info->operand_count; i++) {
        const struct link *value = link_of(pass, VALUE, i), *grad = link_of(pass, GRAD, i);
        int64_t n = tr_ref64_count(forward, i);
        if (value != NULL && pass->before.operand[value->backward_operand] != NULL) {
            pass->input[i] = copy_of(pass->before.operand[value->backward_operand], n);
        } else if (grad != NULL && pass->before.operand[grad->backward_operand] != NULL) {
            pass->input[i] = copy_of(NULL, n); /* the operation is linear in it: any value will do */
            for (int64_t k = 0; k < n; k++)
                pass->input[i][k] = tr_test_value((uint64_t)(77 + i), (uint64_t)k);
        } else if (info->operand[i].direction == TR_IN && !info->operand[i].optional) {
            pass->input[i] = copy_of(NULL, n);
            for (int64_t k = 0; k < n; k++)
                pass->input[i][k] = tr_test_value((uint64_t)(177 + i), (uint64_t)k);
        }
    }
}

static void make_pass(struct pass *pass, const struct tr_opcase *test)
{
    *pass = (struct pass){.test = test, .forward_case = *test};
    for (int i = 0; i < LINK_COUNT; i++)
        if (links[i].backward == test->op.kind)
            pass->forward_case.op.kind = links[i].forward;
    pass->forward_case.op.flags &= ~(uint32_t)(TR_OP_INVERSE | TR_OP_GRAD | TR_OP_ADD_DX);
    tr_opdata_make(&pass->after, test, 0);
    tr_ref64_clear_leaves(&pass->after);
    tr_ref64_make(&pass->before, &pass->after);
    tr_ref64_make(&pass->truth, &pass->after);
    tr_ref64_run(&pass->truth);
    tr_opdata_run(&pass->after, tr_kernel_set(TR_ISA_REF), 1);
    make_inputs(pass);
}

static void free_pass(struct pass *pass)
{
    tr_opdata_free(&pass->after);
    tr_ref64_free(&pass->before);
    tr_ref64_free(&pass->truth);
    for (int i = 0; i < TR_OP_OPERANDS_MAX; i++)
        free(pass->input[i]);
}

struct number {
    double value, magnitude;
};

/* L with input `moved` at x + t * direction. */
static struct number loss(const struct pass *pass, int moved, const double *direction, double t)
{
    const struct tr_op *op = &pass->forward_case.op;
    const struct tr_op_info *info = tr_op_operands(op->kind);
    struct tr_ref64 run = {.op = op, .values = pass->before.values};
    struct number sum = {0, 0};
    for (int i = 0; i < info->operand_count; i++) {
        bool present = pass->input[i] != NULL || info->operand[i].direction != TR_IN;
        int64_t n = tr_ref64_count(op, i);
        run.operand[i] = present && n > 0 ? copy_of(pass->input[i], n) : NULL;
        for (int64_t k = 0; i == moved && k < n; k++)
            run.operand[i][k] += t * direction[k];
    }
    tr_ref64_run(&run);
    for (int i = 0; i < info->operand_count; i++) {
        const struct link *dy = link_of(pass, DY, i);
        const double *factor =
            dy == NULL || dy->backward_operand < 0 ? NULL : pass->before.operand[dy->backward_operand];
        for (int64_t k = 0; dy != NULL && run.operand[i] != NULL && k < tr_ref64_count(op, i); k++) {
            double term = run.operand[i][k] * (factor != NULL ? factor[k] : (double)pass->before.values->loss_scale);
            sum.value += term;
            sum.magnitude += fabs(term);
        }
    }
    tr_ref64_free(&run);
    return sum;
}

struct slope {
    double value, bound;
};

static struct slope finite_difference(const struct pass *pass, int moved, const double *direction)
{
    double at[4];
    static const double offset[] = {1, -1, 0.5, -0.5};
    double magnitude = 0;
    for (int i = 0; i < 4; i++) {
        struct number l = loss(pass, moved, direction, offset[i] * step);
        at[i] = l.value;
        magnitude = fmax(magnitude, l.magnitude);
    }
    double wide = (at[0] - at[1]) / (2 * step), narrow = (at[2] - at[3]) / step;
    double correction = (narrow - wide) / 3; /* of order h^2; what is left is of order h^4 */
    const struct tr_op *op = &pass->forward_case.op;
    double roundings = 10 + sqrt((double)(op->in + op->width + op->vocab + op->seq_len * op->head_dim));
    return (struct slope){narrow + correction, fabs(correction) + 0x1p-52 * roundings * magnitude / step};
}

/* ---- the tests --------------------------------------------------------------------------------------------------- */

/* What one gradient says along the direction, and by how much it may be wrong. `spoil`: its most telling element times
 * 1.01. `truth`: of the double backward operation. */
static struct slope claimed(const struct pass *pass, int operand, const double *direction, bool spoil, bool truth)
{
    const struct tr_op *op = &pass->test->op;
    enum tr_direction kind = tr_op_operands(op->kind)->operand[operand].direction;
    bool in_place = op->kind == TR_OP_ROPE; /* its operand was dy: not something that is added to */
    bool adds = !in_place && (kind == TR_ACC || (op->flags & TR_OP_ADD_DX && operand == TR_NORM_BWD_DX));
    double *got = truth ? copy_of(pass->truth.operand[operand], tr_ref64_count(op, operand))
                        : tr_ref64_operand(&pass->after, operand);
    struct slope slope = {0, 0};
    double telling = 0;
    for (int64_t k = 0; k < tr_ref64_count(op, operand); k++) {
        double g = got[k] - (adds ? pass->before.operand[operand][k] : 0);
        slope.value += g * direction[k];
        slope.bound += truth ? 0x1p-46 * fabs(g * direction[k]) : pass->truth.err[operand][k] * fabs(direction[k]);
        bool known = pass->truth.err[operand][k] <= 1e-3 * fabs(g); /* else it is zero, but for rounding */
        telling = known && fabs(g * direction[k]) > fabs(telling) ? g * direction[k] : telling;
    }
    slope.value += spoil ? 0.01 * telling : 0;
    free(got);
    return slope;
}

/* A direction of about `support` elements; 0: of all. */
static double *new_direction(int64_t n, uint64_t stream, uint64_t support)
{
    double *direction = copy_of(NULL, n);
    for (int64_t k = 0; k < n; k++) {
        bool in = support == 0 || tr_test_bits(stream + 1, (uint64_t)k) % (uint64_t)n < support;
        direction[k] = in ? tr_test_value(stream, (uint64_t)k) : 0;
    }
    return direction;
}

static bool agree(struct slope a, struct slope b) { return fabs(a.value - b.value) <= a.bound + b.bound; }

struct tally {
    int tests, failures, spoilt, caught;
};

/* Along a direction of all elements, and one of so few that the bound of their sum is no larger than a fault in one. */
static void check_gradient(struct tally *tally, const struct pass *pass, const struct link *grad, uint64_t support)
{
    int64_t n = tr_ref64_count(&pass->forward_case.op, grad->forward_operand);
    double *direction = new_direction(n, (uint64_t)(tally->tests + 1000), support);
    struct slope difference = finite_difference(pass, grad->forward_operand, direction);
    struct slope kernel = claimed(pass, grad->backward_operand, direction, false, false);
    struct slope spoilt = claimed(pass, grad->backward_operand, direction, true, false);
    struct slope truth = claimed(pass, grad->backward_operand, direction, false, true);
    char name[TR_OPCASE_NAME_BYTES];
    tally->tests++;
    for (int i = 0; i < 2; i++) {
        const struct slope *claim = i == 0 ? &kernel : &truth;
        if (agree(*claim, difference) || tally->failures++ >= REPORTS_MAX)
            continue;
        print_error("%s of the %s: %.9g +- %.2g along a direction, finite differences give %.9g +- %.2g\n    in %s\n",
                    tr_op_operands(pass->test->op.kind)->operand[grad->backward_operand].name,
                    i == 0 ? "kernel" : "double reference", claim->value, claim->bound, difference.value,
                    difference.bound, tr_opcase_name(pass->test, name));
    }
    if (support > 0 && pass->test->op.act == TR_F32 && spoilt.value != kernel.value) {
        tally->spoilt++;
        tally->caught += !agree(spoilt, difference);
    }
    free(direction);
}

static bool is_wanted(const struct tr_opcase *test)
{
    const struct tr_op *op = &test->op;
    bool whole = tr_parts_owned(op->context) == op->context.parts && tr_parts_owned(op->part) == op->part.parts;
    bool backward = op->kind != TR_OP_ROPE || op->flags & TR_OP_INVERSE;
    bool grad = op->kind != TR_OP_HEAD || (op->flags & TR_OP_GRAD && !test->no_targets);
    return whole && backward && grad && test->fill == TR_FILL_NORMAL && tr_opcase_cost(test) <= COST_MAX;
}

static void a_gradient_is_what_finite_differences_say(void **state)
{
    enum tr_op_kind kind = *(const enum tr_op_kind *)*state;
    const struct tr_opcase *cases;
    int count = tr_opcases(kind, &cases);
    struct tally tally = {0};
    for (int i = 0; i < count; i++) {
        struct pass pass;
        if (!is_wanted(&cases[i]))
            continue;
        make_pass(&pass, &cases[i]);
        for (int k = 0; k < LINK_COUNT; k++) {
            if (links[k].backward != kind || links[k].role != GRAD ||
                pass.truth.operand[links[k].backward_operand] == NULL)
                continue;
            check_gradient(&tally, &pass, &links[k], 0);
            check_gradient(&tally, &pass, &links[k], SUPPORT);
        }
        free_pass(&pass);
    }
    print_message("%d gradients; of %d with one element 1 %% off %d are refused\n", tally.tests, tally.spoilt,
                  tally.caught);
    assert_int_equal(tally.failures, 0);
    assert_true(tally.spoilt > 0 && tally.caught * 100 >= tally.spoilt * 98);
}

int main(void)
{
    static enum tr_op_kind kinds[TR_OP_KIND_COUNT];
    static char names[TR_OP_KIND_COUNT][96];
    struct CMUnitTest tests[TR_OP_KIND_COUNT];
    int count = 0;
    for (int i = 0; i < LINK_COUNT; i++) {
        enum tr_op_kind kind = links[i].backward;
        if (i > 0 && links[i - 1].backward == kind)
            continue;
        kinds[count] = kind;
        snprintf(names[count], sizeof names[count], "%s: a gradient is what finite differences say",
                 tr_op_operands(kind)->name);
        tests[count] =
            (struct CMUnitTest){names[count], a_gradient_is_what_finite_differences_say, NULL, NULL, &kinds[count]};
        count++;
    }
    return _cmocka_run_group_tests("grad", tests, (size_t)count, NULL, NULL);
}
