/* The reference kernels against the textbook in double, element by element, within the bounds of lib/ref64.h. */
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

enum { REPORTS_MAX = 8 };

/* What was seen of one kind of operation. */
struct tally {
    int failures;
    int64_t elements;
    double worst;     /* largest error, in bounds */
    double bound_sum; /* of fp32 results from ordinary values: bound / largest element, summed over the results */
    int64_t bound_count;
};

static void report(struct tally *tally, const struct tr_opcase *test, int i, int64_t index, double got, double want,
                   double bound)
{
    char name[TR_OPCASE_NAME_BYTES];
    if (tally->failures++ < REPORTS_MAX)
        print_error("%s[%lld] is %.9g, the truth %.9g +- %.3g\n    in %s\n",
                    tr_op_operands(test->op.kind)->operand[i].name, (long long)index, got, want, bound,
                    tr_opcase_name(test, name));
}

/* Compares one output with its truth. */
static void compare(struct tally *tally, const struct tr_opcase *test, int i, const double *got,
                    const struct tr_ref64 *truth)
{
    int64_t n = test->op.kind == TR_OP_FOLD ? test->op.count : tr_ref64_count(&test->op, i);
    double largest = 0, bound = 0;
    for (int64_t k = 0; k < n; k++) {
        double want = truth->operand[i][k], limit = truth->err[i][k], error = fabs(got[k] - want);
        bool good = error <= limit || isinf(limit) || isnan(limit); /* a bound may overflow, then nothing is known */
        if (isnan(got[k]) && !isnan(want) && !isinf(limit) && !isnan(limit))
            good = false;
        if (!good)
            report(tally, test, i, k, got[k], want, limit);
        if (limit > 0 && error / limit > tally->worst)
            tally->worst = error / limit;
        largest = fmax(largest, fabs(want));
        bound = fmax(bound, limit);
    }
    tally->elements += n;
    if (test->fill == TR_FILL_NORMAL && tr_op_operand_dtype(&test->op, i) == TR_F32 && test->op.act == TR_F32 &&
        largest > 0) {
        tally->bound_sum += bound / largest;
        tally->bound_count++;
    }
}

/* Part of an operation has no meaning alone. */
static bool is_whole(const struct tr_op *op)
{
    return tr_parts_owned(op->context) == op->context.parts && tr_parts_owned(op->part) == op->part.parts;
}

static void check_case(struct tally *tally, const struct tr_opcase *test)
{
    struct tr_opdata data;
    struct tr_ref64 truth;
    if (!is_whole(&test->op))
        return;
    tr_opdata_make(&data, test, 0);
    tr_ref64_clear_leaves(&data);
    tr_ref64_make(&truth, &data);
    tr_ref64_run(&truth);
    tr_opdata_run(&data, tr_kernel_set(TR_ISA_REF), 1);
    for (int i = 0; i < TR_OP_OPERANDS_MAX; i++) {
        if (truth.err[i] == NULL)
            continue;
        double *got = tr_ref64_operand(&data, i);
        compare(tally, test, i, got, &truth);
        free(got);
    }
    tr_ref64_free(&truth);
    tr_opdata_free(&data);
}

/* On ordinary values the bounds are so small that a wrong formula cannot hide below them. */
#define AVERAGE_BOUND_MAX 1e-3

static void the_reference_is_within_its_bound_of_the_truth(void **state)
{
    enum tr_op_kind kind = *(const enum tr_op_kind *)*state;
    const struct tr_opcase *cases;
    int count = tr_opcases(kind, &cases);
    struct tally tally = {0};
    for (int i = 0; i < count; i++)
        check_case(&tally, &cases[i]);
    double average = tally.bound_count > 0 ? tally.bound_sum / (double)tally.bound_count : 0;
    print_message("%lld elements, largest error %.2f of its bound; fp32 bounds are %.1e of the largest element\n",
                  (long long)tally.elements, tally.worst, average);
    assert_true(tally.elements > 0);
    assert_int_equal(tally.failures, 0);
    assert_true(average < AVERAGE_BOUND_MAX);
}

/* ---- results that are no operands ------------------------------------------------------------------------------- */

/* |sum - truth| <= 2^-53 |truth| (the one rounding) + what the long double sum of n terms may be off. */
static void check_sum(const struct tr_opcase *test, double got, const float *x, int64_t n, bool squares, double before)
{
    long double sum = before, magnitude = fabs(before);
    for (int64_t i = 0; i < n; i++) {
        long double term = squares ? (long double)x[i] * x[i] : x[i];
        sum += term;
        magnitude += fabsl(term);
    }
    long double bound = 0x1p-52L * fabsl(sum) + (long double)(n + 1) * 0x1p-63L * magnitude;
    char name[TR_OPCASE_NAME_BYTES];
    if (fabsl(got - sum) > bound)
        fail_msg("%s: the sum is %.17g, the truth %.17Lg", tr_opcase_name(test, name), got, sum);
}

static void exact_sums_are_the_sums(void **state)
{
    (void)state;
    for (int kind = TR_OP_LOSS_SUM; kind <= TR_OP_GRAD_SQ; kind++) {
        const struct tr_opcase *cases;
        int count = tr_opcases((enum tr_op_kind)kind, &cases);
        for (int i = 0; i < count; i++) {
            struct tr_opdata data;
            tr_opdata_make(&data, &cases[i], 0);
            bool squares = kind == TR_OP_GRAD_SQ;
            struct tr_exact *sum = squares ? &data.grad_sq : &data.loss_sum;
            double before = tr_exact_value(sum);
            tr_opdata_run(&data, tr_kernel_set(TR_ISA_REF), 1);
            check_sum(&cases[i], tr_exact_value(sum), data.operand[0].data, data.operand[0].bytes / 4, squares, before);
            tr_opdata_free(&data);
        }
    }
}

static void the_clip_factor_brings_the_norm_down_to_the_limit(void **state)
{
    (void)state;
    const struct tr_opcase *cases;
    int count = tr_opcases(TR_OP_CLIP, &cases);
    for (int i = 0; i < count; i++) {
        struct tr_opdata data;
        tr_opdata_make(&data, &cases[i], 0);
        double norm = sqrt(tr_exact_value(&data.grad_sq)), limit = (double)cases[i].clip_norm;
        double factor = limit == 0 || norm <= limit ? 1 : limit / norm;
        tr_opdata_run(&data, tr_kernel_set(TR_ISA_REF), 1);
        assert_true(fabs(data.values.grad_norm - norm) <= 0x1p-52 * norm);
        assert_true(fabs((double)data.values.clip_factor - factor) <= 0x1p-23 * factor);
        tr_opdata_free(&data);
    }
}

int main(void)
{
    static enum tr_op_kind kinds[TR_OP_KIND_COUNT];
    static char names[TR_OP_KIND_COUNT][96];
    struct CMUnitTest tests[TR_OP_KIND_COUNT + 2] = {
        cmocka_unit_test(exact_sums_are_the_sums),
        cmocka_unit_test(the_clip_factor_brings_the_norm_down_to_the_limit),
    };
    int count = 2;
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++) {
        if (!tr_ref64_knows((enum tr_op_kind)kind))
            continue;
        kinds[kind] = (enum tr_op_kind)kind;
        snprintf(names[kind], sizeof names[kind], "%s: the reference is within its bound of the truth",
                 tr_op_operands((enum tr_op_kind)kind)->name);
        tests[count++] =
            (struct CMUnitTest){names[kind], the_reference_is_within_its_bound_of_the_truth, NULL, NULL, &kinds[kind]};
    }
    return _cmocka_run_group_tests("truth", tests, (size_t)count, NULL, NULL);
}
