/* Adapters: what is frozen stays, what is trained is small, and merging keeps the model. (That their gradients are true
 * is in test_model_truth.c; that their work is planned, in test_program.c.) */
#include "fixture.h"

#include "lab/model/merge.h"

#include <math.h>
#include <stdlib.h>

static struct tr_model_config with_adapters(int family)
{
    struct tr_model_config model = family == 0 ? fixture_gpt2() : fixture_llama();
    model.lora = (struct tr_lora){4, 8, tr_lora_targets(model.family)};
    return model;
}

static void only_adapters_are_trained(void **state)
{
    (void)state;
    for (int family = 0; family < 2; family++) {
        struct tr_model_config model = with_adapters(family);
        struct tr_step_config step = fixture_step(4, 2, 40);
        struct tr_program p;
        struct tr_exec e;
        fixture_open(&e, &p, &model, &step, fixture_machine(fixture_best_isa(), 2));
        fixture_train(&e, 3);
        int changed = 0;
        for (int32_t i = 0; i < p.weights.count; i++) {
            const struct tr_weight *w = &p.weights.weight[i];
            float *first = malloc((size_t)w->count * sizeof *first);
            assert_non_null(first);
            tr_weight_init_values(w, i, 42, first);
            bool same = memcmp(first, tr_exec_weight(&e, i), (size_t)w->count * sizeof *first) == 0;
            free(first);
            assert_int_equal(w->frozen, w->role < TR_W_LORA_A);
            assert_int_equal(same, w->frozen);
            assert_int_equal(w->moments, w->frozen ? 0 : 2);
            assert_true((tr_exec_gradient(&e, i) == NULL) == w->frozen);
            changed += !same;
        }
        assert_int_equal(changed, 2 * model.layers * (family == 0 ? 6 : 7));
        fixture_close(&e, &p);
    }
}

/* B begins as zero, so the first loss is that of the model without adapters, to the bit. */
static void adapters_begin_as_nothing(void **state)
{
    (void)state;
    for (int family = 0; family < 2; family++) {
        struct tr_model_config model = with_adapters(family), plain = model;
        struct tr_step_config step = fixture_step(2, 2, 40);
        struct tr_program p, q;
        struct tr_exec e, f;
        plain.lora = (struct tr_lora){0};
        fixture_open(&e, &p, &model, &step, fixture_machine(fixture_best_isa(), 1));
        fixture_open(&f, &q, &plain, &step, fixture_machine(fixture_best_isa(), 1));
        fixture_fill(&e, 0, 2);
        fixture_fill(&f, 0, 2);
        assert_true(tr_exec_evaluate(&e) == tr_exec_evaluate(&f));
        int64_t trained = 0;
        for (int buffer = 0; buffer < TR_REGION_COUNT; buffer++)
            trained += buffer == TR_REGION_MOMENTS || buffer == TR_REGION_GRADIENTS
                           ? q.region_bytes[buffer] - p.region_bytes[buffer]
                           : 0;
        assert_true(trained > 0); /* gradients and moments of adapters only */
        fixture_close(&e, &p);
        fixture_close(&f, &q);
    }
}

static double evaluate(struct tr_exec *e)
{
    fixture_fill(e, 77, 4);
    return tr_exec_evaluate(e) / 137; /* 4 x 40 tokens, every 7th without a target */
}

static void a_merged_model_is_the_model_with_adapters(void **state)
{
    (void)state;
    for (int family = 0; family < 2; family++) {
        struct tr_model_config model = with_adapters(family), plain = model;
        struct tr_step_config step = fixture_step(4, 4, 40);
        struct tr_program p, q;
        struct tr_exec e, f;
        plain.lora = (struct tr_lora){0};
        fixture_open(&e, &p, &model, &step, fixture_machine(fixture_best_isa(), 1));
        double untrained = evaluate(&e);
        fixture_train(&e, 10);
        double trained = evaluate(&e);

        float **w = calloc((size_t)p.weights.count, sizeof *w);
        assert_non_null(w);
        for (int32_t i = 0; i < p.weights.count; i++)
            w[i] = tr_exec_weight(&e, i);
        tr_lora_merge(&model, &p.weights, w);
        fixture_open(&f, &q, &plain, &step, fixture_machine(fixture_best_isa(), 1));
        for (int32_t i = 0; i < q.weights.count; i++) {
            int32_t same = tr_weight_by_name(&p.weights, q.weights.weight[i].name);
            assert_true(same >= 0);
            memcpy(tr_exec_weight(&f, i), w[same], (size_t)q.weights.weight[i].count * sizeof(float));
        }
        double merged = evaluate(&f);
        assert_true(fabs(trained - untrained) > 1e-3);
        assert_true(fabs(merged - trained) < 1e-5 * trained); /* a product is rounded differently, some layers deep */
        free(w);
        fixture_close(&e, &p);
        fixture_close(&f, &q);
    }
}

static void the_bits_do_not_depend_on_threads_grouping_or_recomputation(void **state)
{
    (void)state;
    for (int family = 0; family < 2; family++) {
        struct tr_model_config model = with_adapters(family);
        struct tr_step_config a_step = fixture_step(4, 2, 130), b_step = a_step;
        a_step.widths = b_step.widths = (struct tr_widths){2, 2, 2, 3};
        b_step.micro_batch = 1;
        b_step.recompute = family ? TR_RECOMPUTE_FULL : TR_RECOMPUTE_ELEMENTWISE;
        struct tr_program p, q;
        struct tr_exec a, b;
        fixture_open(&a, &p, &model, &a_step, fixture_machine(TR_ISA_REF, 1));
        fixture_open(&b, &q, &model, &b_step, fixture_machine(fixture_best_isa(), 3));
        fixture_train(&a, 3);
        fixture_train(&b, 3);
        for (int32_t i = 0; i < p.weights.count; i++)
            assert_memory_equal(tr_exec_weight(&a, i), tr_exec_weight(&b, i),
                                (size_t)p.weights.weight[i].count * sizeof(float));
        fixture_close(&a, &p);
        fixture_close(&b, &q);
    }
}

static void impossible_adapters_are_refused(void **state)
{
    (void)state;
    struct tr_model_config model = with_adapters(1);
    struct tr_err err;
    model.lora.targets |= 1u << TR_LORA_FC;
    assert_int_equal(tr_model_check(&model, "test", &err), TR_BAD_INPUT);
    model = with_adapters(0);
    model.lora.rank = TR_LORA_RANK_MAX + 1;
    assert_int_equal(tr_model_check(&model, "test", &err), TR_BAD_INPUT);
    model.lora.rank = 1;
    model.lora.alpha = -1;
    assert_int_equal(tr_model_check(&model, "test", &err), TR_BAD_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_adapters_are_trained),
        cmocka_unit_test(adapters_begin_as_nothing),
        cmocka_unit_test(a_merged_model_is_the_model_with_adapters),
        cmocka_unit_test(the_bits_do_not_depend_on_threads_grouping_or_recomputation),
        cmocka_unit_test(impossible_adapters_are_refused),
    };
    return cmocka_run_group_tests_name("lab/lora", tests, NULL, NULL);
}
