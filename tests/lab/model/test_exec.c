/* One run, one hash, on one rank: what may not change the bits does not. */
#include "fixture.h"
#include "lib/sanitized.h"

#include <math.h>
#include <stdlib.h>

enum { STEPS = TR_SANITIZED ? 2 : 3 };

static struct tr_model_config model_of(int family) { return family == 0 ? fixture_gpt2() : fixture_llama(); }

/* Trains some steps both ways and compares weights and moments. */
static void expect_same_in(enum tr_dtype dtype, struct tr_model_config model, struct tr_step_config a_step,
                           struct tr_machine a_machine, struct tr_step_config b_step, struct tr_machine b_machine)
{
    struct tr_program a_program, b_program;
    struct tr_exec a, b;
    a_step.dtype = b_step.dtype = dtype;
    fixture_open(&a, &a_program, &model, &a_step, a_machine);
    fixture_open(&b, &b_program, &model, &b_step, b_machine);
    struct tr_step_result a_result = fixture_train(&a, STEPS), b_result = fixture_train(&b, STEPS);
    assert_true(a_result.loss == b_result.loss && a_result.grad_norm == b_result.grad_norm);
    assert_same_weights(&a, &b);
    fixture_close(&a, &a_program);
    fixture_close(&b, &b_program);
}

static void expect_same(struct tr_model_config model, struct tr_step_config a_step, struct tr_machine a_machine,
                        struct tr_step_config b_step, struct tr_machine b_machine)
{
    expect_same_in(TR_F32, model, a_step, a_machine, b_step, b_machine);
    if (model.family == TR_LLAMA) /* it has every kind of operation but GELU */
        expect_same_in(TR_BF16, model, a_step, a_machine, b_step, b_machine);
}

static struct tr_step_config wide_step(void)
{
    struct tr_step_config step = fixture_step(8, 4, 130);
    step.widths = (struct tr_widths){2, 2, 2, 3};
    return step;
}

static void the_microbatch_changes_no_bit(void **state)
{
    (void)state;
    for (int family = 0; family < 2; family++) {
        for (int64_t micro = 1; micro <= 2; micro++) {
            struct tr_step_config plain = fixture_step(8, 8, 70), split = fixture_step(8, micro, 70);
            struct tr_machine machine = fixture_machine(fixture_best_isa(), 1);
            expect_same(model_of(family), plain, machine, split, machine);
            struct tr_step_config wide = wide_step(), wide_split = wide_step();
            wide_split.micro_batch = micro;
            expect_same(model_of(family), wide, machine, wide_split, machine);
        }
    }
}

static void recompute_changes_no_bit(void **state)
{
    (void)state;
    for (int family = 0; family < 2; family++) {
        struct tr_step_config plain = wide_step(), recompute = wide_step();
        recompute.recompute = TR_RECOMPUTE_FULL;
        struct tr_machine machine = fixture_machine(fixture_best_isa(), 2);
        expect_same(model_of(family), plain, machine, recompute, machine);
    }
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    for (int family = 0; family < 2; family++)
        for (int threads = 2; threads <= 4; threads += 2)
            expect_same(model_of(family), wide_step(), fixture_machine(fixture_best_isa(), 1), wide_step(),
                        fixture_machine(fixture_best_isa(), threads));
}

static void instruction_sets_change_no_bit(void **state)
{
    (void)state;
    for (int family = 0; family < 2; family++)
        for (int isa = TR_ISA_REF + 1; isa < TR_ISA_COUNT; isa++)
            if (tr_isa_runs((enum tr_isa)isa))
                expect_same(model_of(family), wide_step(), fixture_machine(TR_ISA_REF, 2), wide_step(),
                            fixture_machine((enum tr_isa)isa, 2));
}

static void with_muon_neither_threads_nor_instruction_sets_nor_grouping_do(void **state)
{
    (void)state;
    for (int family = 0; family < 2; family++) {
        struct tr_step_config step = wide_step(), split = wide_step();
        step.optimizer = split.optimizer = TR_OPTIMIZER_MUON;
        split.micro_batch = 1;
        struct tr_machine ref = fixture_machine(TR_ISA_REF, 1);
        expect_same(model_of(family), step, ref, split, fixture_machine(fixture_best_isa(), 3));
        expect_same(model_of(family), step, ref, step, fixture_machine(TR_ISA_REF, 4));
    }
}

static void with_documents_apart_neither_threads_nor_instruction_sets_nor_grouping_do(void **state)
{
    (void)state;
    for (int family = 0; family < 2; family++) {
        struct tr_step_config step = wide_step(), split = wide_step();
        step.apart = split.apart = true;
        split.micro_batch = 1;
        split.recompute = TR_RECOMPUTE_FULL;
        struct tr_machine ref = fixture_machine(TR_ISA_REF, 1);
        expect_same(model_of(family), step, ref, split, fixture_machine(fixture_best_isa(), 3));
        expect_same(model_of(family), step, ref, step, fixture_machine(TR_ISA_REF, 4));
    }
}

/* The gradients of one lane alone, leaves folded, in slot 0. */
static void lane_gradients(struct tr_model_config model, int64_t lane, int64_t sequences, int64_t target_count,
                           float *gradients, int64_t stride)
{
    struct tr_step_config step = fixture_step(sequences, 1, 70);
    struct tr_program p;
    struct tr_exec e;
    fixture_open(&e, &p, &model, &step, fixture_machine(fixture_best_isa(), 1));
    fixture_fill(&e, lane * sequences, sequences);
    tr_exec_gradients(&e, target_count);
    float *at = gradients + lane * stride;
    for (int32_t i = 0; i < p.weights.count; i++) {
        memcpy(at, tr_exec_gradient(&e, i), (size_t)p.weights.weight[i].count * sizeof(float));
        at += p.weights.weight[i].count;
    }
    fixture_close(&e, &p);
}

static void lanes_join_along_the_tree(void **state)
{
    (void)state;
    struct tr_model_config model = fixture_llama(); /* untied: a tied weight adds its two uses after both trees */
    static const int32_t lane_counts[] = {2, 3, 5, 8};
    for (size_t n = 0; n < sizeof lane_counts / sizeof lane_counts[0]; n++) {
        int32_t lanes = lane_counts[n];
        struct tr_step_config step = fixture_step(2 * lanes, 1, 70);
        step.widths.lanes = lanes;
        struct tr_program p;
        struct tr_exec e;
        fixture_open(&e, &p, &model, &step, fixture_machine(fixture_best_isa(), 1));
        int64_t targets = fixture_fill(&e, 0, step.batch);
        tr_exec_gradients(&e, targets);

        int64_t count = p.weights.element_count;
        float *sum = malloc((size_t)(lanes * count) * sizeof *sum);
        assert_non_null(sum);
        for (int32_t lane = 0; lane < lanes; lane++)
            lane_gradients(model, lane, 2, targets, sum, count);
        tr_tree_join(sum, count, lanes, count);
        const float *at = sum;
        for (int32_t i = 0; i < p.weights.count; i++) {
            assert_memory_equal(at, tr_exec_gradient(&e, i), (size_t)p.weights.weight[i].count * sizeof(float));
            at += p.weights.weight[i].count;
        }
        free(sum);
        fixture_close(&e, &p);
    }
}

static void a_model_learns_a_small_batch_by_heart(void **state)
{
    (void)state;
    for (int variant = 0; variant < 4; variant++) {
        struct tr_model_config model = model_of(variant % 2);
        struct tr_step_config step = fixture_step(2, 2, 32);
        step.dtype = variant < 2 ? TR_F32 : TR_BF16;
        struct tr_program p;
        struct tr_exec e;
        fixture_open(&e, &p, &model, &step, fixture_machine(fixture_best_isa(), 1));
        int64_t targets = fixture_fill(&e, 0, 2);
        const struct tr_hyper hyper = {1e-2, 0.9, 0.95, 1e-8, 0.0, 1.0, 0.95};
        double first = 0.0, last = 0.0;
        for (int64_t i = 1; i <= 120; i++) {
            tr_exec_set_hyper(&e, &hyper, i);
            last = tr_exec_gradients(&e, targets).loss;
            first = i == 1 ? last : first;
            tr_exec_update(&e);
        }
        assert_true(first > 3.5 && last < 0.3);
        double eval = tr_exec_evaluate(&e) / (double)targets;
        assert_true(eval <= last * 1.2 + 0.01);
        fixture_close(&e, &p);
    }
}

static void clipping_limits_the_step_and_the_norm_is_that_of_the_gradients(void **state)
{
    (void)state;
    struct tr_model_config model = fixture_gpt2();
    struct tr_step_config step = fixture_step(2, 2, 32);
    struct tr_program p;
    struct tr_exec e;
    fixture_open(&e, &p, &model, &step, fixture_machine(fixture_best_isa(), 1));
    struct tr_hyper hyper = {1e-2, 0.9, 0.95, 1e-8, 0.0, 0.0, 0.95};
    tr_exec_set_hyper(&e, &hyper, 1);
    int64_t targets = fixture_fill(&e, 0, 2);
    struct tr_step_result result = tr_exec_gradients(&e, targets);
    long double sum = 0.0L;
    for (int32_t i = 0; i < p.weights.count; i++)
        for (int64_t k = 0; k < p.weights.weight[i].count; k++)
            sum += (long double)tr_exec_gradient(&e, i)[k] * (long double)tr_exec_gradient(&e, i)[k];
    assert_true(fabsl(sqrtl(sum) - (long double)result.grad_norm) < 1e-14L * sqrtl(sum));
    assert_true(e.values.clip_factor == 1.0f);
    hyper.clip_norm = result.grad_norm / 4.0;
    tr_exec_set_hyper(&e, &hyper, 1);
    tr_exec_gradients(&e, targets);
    assert_true(fabs((double)e.values.clip_factor - 0.25) < 1e-6);
    fixture_close(&e, &p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_microbatch_changes_no_bit),
        cmocka_unit_test(recompute_changes_no_bit),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(instruction_sets_change_no_bit),
        cmocka_unit_test(with_muon_neither_threads_nor_instruction_sets_nor_grouping_do),
        cmocka_unit_test(with_documents_apart_neither_threads_nor_instruction_sets_nor_grouping_do),
        cmocka_unit_test(lanes_join_along_the_tree),
        cmocka_unit_test(a_model_learns_a_small_batch_by_heart),
        cmocka_unit_test(clipping_limits_the_step_and_the_norm_is_that_of_the_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
