/* Weights in panels: what rounding to int8 and int4 changes, what it leaves, and that products say what they would say of
 * weights in rows. test_ops.c has the bits of the fast kernels. */
#include "lib/opcase.h"
#include "silicon/op/panel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Weight (out, k) as panel.h says that it lies, in double. Written from its text, not from the kernels. */
static double weight_at(const uint8_t *panels, enum tr_dtype type, int64_t in, int64_t out, int64_t k)
{
    const uint8_t *panel = panels + out / 32 * tr_panel_bytes(type, in);
    const int64_t o = out % 32, i = k % 32;
    if (type == TR_F32)
        return (double)((const float *)(const void *)panel)[k * 32 + o];
    if (type == TR_BF16)
        return (double)tr_f32_from_bf16(((const tr_bf16 *)(const void *)panel)[(k / 2 * 32 + o) * 2 + k % 2]);
    const uint8_t *block = panel + k / 32 * (type == TR_INT8 ? 32 * 34 : 32 * 18);
    uint16_t half = (uint16_t)(block[2 * o] | block[2 * o + 1] << 8);
    double d = (double)tr_f32_from_f16(half);
    if (type == TR_INT8)
        return d * (block[64 + (i / 4 * 32 + o) * 4 + i % 4] - 128);
    const uint8_t both = block[64 + (i % 16 / 4 * 32 + o) * 4 + i % 4];
    return d * ((i < 16 ? both & 15 : both >> 4) - 8);
}

struct matrix {
    int64_t out, in;
    float *w;
    uint8_t *panels;
    float error[2 * 8];
};

static struct matrix new_matrix(int64_t out, int64_t in, enum tr_fill fill)
{
    struct matrix m = {.out = out, .in = in, .w = malloc((size_t)(out * in) * sizeof(float))};
    assert_non_null(m.w);
    assert_true(tr_panels(out) <= 8);
    tr_test_fill(m.w, TR_F32, out * in, fill, 77);
    return m;
}

static void pack(struct matrix *m, enum tr_dtype type)
{
    const struct tr_op op = {.kind = TR_OP_PACK, .act = TR_F32, .weight = type, .seqs = 1, .seq_len = 1, .in = m->in,
                             .segments = 1, .out = {m->out}, .quantum = {1}, .context = tr_all_parts(1),
                             .part = tr_all_parts(1)};
    struct tr_count count = {0};
    free(m->panels);
    m->panels = aligned_alloc(64, (size_t)(tr_panels_bytes(type, m->out, m->in) + 63) / 64 * 64);
    assert_non_null(m->panels);
    struct tr_call call = {.op = &op, .operand = {m->w, m->panels, m->error}, .count = &count, .threads = 2};
    tr_kernel_run(tr_kernel_set(TR_ISA_REF), &call);
}

static void free_matrix(struct matrix *m)
{
    free(m->w);
    free(m->panels);
}

/* Root mean square of w' - w over that of w. */
static double relative_error(const struct matrix *m, enum tr_dtype type)
{
    double changed = 0, all = 0;
    for (int64_t o = 0; o < m->out; o++)
        for (int64_t k = 0; k < m->in; k++) {
            double w = (double)m->w[o * m->in + k], change = weight_at(m->panels, type, m->in, o, k) - w;
            changed += change * change;
            all += w * w;
        }
    return sqrt(changed / all);
}

static void rounding_changes_as_little_as_is_said(void **state)
{
    (void)state;
    static const struct {
        enum tr_dtype type;
        double least, most;
    } expect[] = {{TR_F32, 0, 0}, {TR_BF16, 1e-3, 2.5e-3}, {TR_INT8, 3e-3, 6e-3}, {TR_INT4, 0.05, 0.09}};
    struct matrix m = new_matrix(100, 200, TR_FILL_NORMAL);
    for (int64_t i = 0; i < m.out * m.in; i++) /* normally distributed, about: four uniform numbers */
        m.w[i] = (float)(tr_test_value(1, (uint64_t)i) + tr_test_value(2, (uint64_t)i) + tr_test_value(3, (uint64_t)i) +
                         tr_test_value(4, (uint64_t)i));
    for (size_t t = 0; t < sizeof expect / sizeof *expect; t++) {
        pack(&m, expect[t].type);
        double error = relative_error(&m, expect[t].type), changed = 0, all = 0;
        print_message("%s: %.2e of the weights\n", tr_dtype_name(expect[t].type), error);
        assert_true(error >= expect[t].least && error <= expect[t].most);
        for (int p = 0; p < tr_panels(m.out); p++) {
            changed += (double)m.error[2 * p];
            all += (double)m.error[2 * p + 1];
        }
        assert_true(fabs(sqrt(changed / all) - error) <= 1e-4 * error); /* the op says the same of itself */
    }
    free_matrix(&m);
}

/* Each element of int8 is within half a step of its block, the largest / 127 (and what d loses in F16). int4 has no such
 * bound: its scale is the one with the least sum of squares. */
static void every_element_of_int8_is_within_its_step(void **state)
{
    (void)state;
    for (int fill = TR_FILL_NORMAL; fill <= TR_FILL_LARGE; fill++) {
        struct matrix m = new_matrix(70, 77, (enum tr_fill)fill);
        pack(&m, TR_INT8);
        for (int64_t o = 0; o < m.out; o++)
            for (int64_t k = 0; k < m.in; k++) {
                double most = 0, w = (double)m.w[o * m.in + k];
                for (int64_t i = k / 32 * 32; i < k / 32 * 32 + 32 && i < m.in; i++)
                    most = fmax(most, fabs((double)m.w[o * m.in + i]));
                double step = most / 127 * (1 + 0x1p-10) + 0x1p-24; /* F16 has no smaller steps than 2^-24 */
                double error = fabs(weight_at(m.panels, TR_INT8, m.in, o, k) - w);
                if (error > 0.5 * step + most * 0x1p-11 + 127 * 0x1p-25)
                    fail_msg("%g became %g, the largest of its block is %g", w, weight_at(m.panels, TR_INT8, m.in, o, k),
                             most);
            }
        free_matrix(&m);
    }
}

static void what_was_in_such_blocks_before_comes_out_as_it_was(void **state)
{
    (void)state;
    for (int type = TR_INT8; type <= TR_INT4; type++) {
        const int least = type == TR_INT8 ? -127 : -8, most = type == TR_INT8 ? 127 : 7;
        struct matrix m = new_matrix(65, 96, TR_FILL_NORMAL);
        for (int64_t i = 0; i < m.out * m.in; i++) {
            float d = tr_f32_from_f16((uint16_t)(0x1c00 + tr_test_bits(5, (uint64_t)(i / 32)) % 0x1000));
            int q = least + (int)(tr_test_bits(6, (uint64_t)i) % (uint64_t)(most - least + 1));
            bool negative = type == TR_INT4 && tr_test_bits(7, (uint64_t)(i / 32)) % 2; /* Q4_0's d has a sign */
            m.w[i] = (negative ? -d : d) * (float)(i % 32 == 11 ? least : q);
        }
        pack(&m, (enum tr_dtype)type);
        for (int64_t i = 0; i < m.out * m.in; i++)
            assert_true(weight_at(m.panels, (enum tr_dtype)type, m.in, i / m.in, i % m.in) == (double)m.w[i]);
        free_matrix(&m);
    }
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

static bool is_ordinary(const struct tr_opcase *test) { return test->fill != TR_FILL_EDGE; }

static void of_f32_and_bf16_the_bits_are_those_of_rows(void **state)
{
    (void)state;
    const struct tr_opcase *cases;
    int count = tr_opcases(TR_OP_LINEAR_PACKED, &cases), compared = 0;
    for (int c = 0; c < count; c++) {
        if (tr_is_quantized(cases[c].op.weight))
            continue;
        struct tr_opcase rows = cases[c];
        struct tr_opdata packed, plain;
        rows.op.kind = TR_OP_LINEAR;
        tr_opdata_make(&packed, &cases[c], 1);
        tr_opdata_make(&plain, &rows, 2);
        for (int i = 0; i < TR_OP_OPERANDS_MAX; i++) {
            struct tr_guarded *to = &plain.operand[i], *from = &packed.operand[i];
            if (to->data == NULL || tr_op_operands(TR_OP_LINEAR)->operand[i].direction == TR_OUT)
                continue;
            if (i < TR_LINEAR_W || i >= TR_LINEAR_B) {
                memcpy(to->data, from->data, (size_t)to->bytes);
                continue;
            }
            for (int64_t o = 0; o < rows.op.out[i - TR_LINEAR_W]; o++)
                for (int64_t k = 0; k < rows.op.in; k++)
                    tr_store(to->data, rows.op.weight, o * rows.op.in + k,
                             (float)weight_at(from->data, rows.op.weight, rows.op.in, o, k));
        }
        tr_opdata_run(&packed, tr_kernel_set(TR_ISA_REF), 1);
        tr_opdata_run(&plain, tr_kernel_set(TR_ISA_REF), 1);
        for (int i = TR_LINEAR_Y; i < TR_LINEAR_RESIDUAL; i++) {
            int64_t index = 0;
            if (packed.operand[i].bytes > 0 && !tr_operand_same(&packed, &plain, i, &index))
                fail_msg("element %lld differs", (long long)index);
        }
        compared++;
        tr_opdata_free(&packed);
        tr_opdata_free(&plain);
    }
    assert_true(compared > 100);
}

/* |y - sum of x w'| <= sum over blocks of max |x| / 254 * sum |w'|, and the chain's roundings. */
static void of_int8_and_int4_the_error_is_that_of_rounded_activations(void **state)
{
    (void)state;
    const struct tr_opcase *cases;
    int count = tr_opcases(TR_OP_LINEAR_PACKED, &cases);
    double worst = 0;
    for (int c = 0; c < count; c++) {
        const struct tr_op *op = &cases[c].op;
        if (!tr_is_quantized(op->weight) || !is_ordinary(&cases[c]))
            continue;
        struct tr_opdata data;
        tr_opdata_make(&data, &cases[c], 1);
        tr_opdata_run(&data, tr_kernel_set(TR_ISA_REF), 1);
        for (int s = 0; s < op->segments; s++)
            for (int64_t index = 0; index < op->seqs * op->seq_len * op->out[s]; index++) {
                int64_t t = index / op->out[s], o = index % op->out[s];
                const void *bias = data.operand[TR_LINEAR_B + s].data, *residual = data.operand[TR_LINEAR_RESIDUAL].data;
                double truth = bias ? (double)tr_load(bias, op->act, o) : 0, bound = 0, magnitude = fabs(truth);
                if (residual)
                    truth += (double)tr_load(residual, op->act, index);
                magnitude += residual ? fabs((double)tr_load(residual, op->act, index)) : 0;
                for (int64_t b = 0; b < op->in; b += 32) {
                    double most = 0, sum = 0;
                    for (int64_t k = b; k < b + 32 && k < op->in; k++) {
                        double x = (double)tr_load(data.operand[TR_LINEAR_X].data, op->act, t * op->in + k);
                        double w = weight_at(data.operand[TR_LINEAR_W + s].data, op->weight, op->in, o, k);
                        truth += x * w;
                        most = fmax(most, fabs(x));
                        sum += fabs(w);
                    }
                    bound += most / 254 * sum * (1 + 1e-5);
                    magnitude += most * sum;
                }
                const enum tr_dtype type = tr_op_operand_dtype(op, TR_LINEAR_Y + s);
                double y = (double)tr_load(data.operand[TR_LINEAR_Y + s].data, type, index);
                bound += magnitude * ((double)tr_quant_blocks(op->in) + 5) * 0x1p-24;
                bound += type == TR_BF16 ? (fabs(truth) + bound) * 0x1p-8 : 0;
                if (!(fabs(y - truth) <= bound))
                    fail_msg("case %d: y is %g, the truth %g +- %g", c, y, truth, bound);
                worst = bound > 0 ? fmax(worst, fabs(y - truth) / bound) : worst;
            }
        tr_opdata_free(&data);
    }
    print_message("largest error %.2f of its bound\n", worst);
    assert_true(worst > 0.05);
}

static void what_is_not_a_number_is_none_afterwards(void **state)
{
    (void)state;
    struct matrix m = new_matrix(2, 32, TR_FILL_NORMAL);
    struct tr_quant_x x;
    float row[32] = {0};
    for (int type = TR_INT8; type <= TR_INT4; type++) {
        m.w[3] = (float)NAN;
        m.w[32 + 5] = INFINITY;
        pack(&m, (enum tr_dtype)type);
        assert_false(isfinite(weight_at(m.panels, (enum tr_dtype)type, 32, 0, 0)));
        assert_false(isfinite(weight_at(m.panels, (enum tr_dtype)type, 32, 1, 0)));
    }
    row[7] = (float)NAN;
    tr_quantize_x(&x, row, 32);
    assert_true(isnan(x.d));
    row[7] = -INFINITY;
    tr_quantize_x(&x, row, 32);
    assert_true(isinf(x.d));
    row[7] = 0x1p-101f;
    tr_quantize_x(&x, row, 32);
    assert_true(x.d == 0.0f && x.sum == 0 && x.q[7] == 0);
    free_matrix(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounding_changes_as_little_as_is_said),
        cmocka_unit_test(every_element_of_int8_is_within_its_step),
        cmocka_unit_test(what_was_in_such_blocks_before_comes_out_as_it_was),
        cmocka_unit_test(of_f32_and_bf16_the_bits_are_those_of_rows),
        cmocka_unit_test(of_int8_and_int4_the_error_is_that_of_rounded_activations),
        cmocka_unit_test(what_is_not_a_number_is_none_afterwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
