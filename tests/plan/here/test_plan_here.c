#include "plan/here/plan_here.h"

#include "lab/train/run_config.h"
#include "lib/made_up_profile.h"
#include "lib/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct tr_err err;
static struct tr_here_plan plan;

static struct tr_here_request usual(void)
{
    return (struct tr_here_request){.model = "tiny-llama", .tokens = 10000, .seq_len = 32, .batch = 6, .dtype = TR_F32};
}

static enum tr_status make(const struct tr_here_request *request)
{
    struct tr_catalog *catalog = tr_made_up_profile(1e9, 1e10);
    enum tr_status status = tr_here_plan(catalog, request, &plan, &err);
    plan.chip = plan.chip_id = "freed";
    tr_catalog_free(catalog);
    return status;
}

/* On the same machine with so much memory. */
static enum tr_status make_with(const struct tr_here_request *request, int64_t memory_bytes)
{
    static const char was[] = "memory: 1GiB";
    struct tr_text text = {0};
    struct tr_catalog *catalog;
    tr_catalog_free(tr_made_up_profile(1e9, 1e10));
    struct tr_bytes file = tr_scratch_read(tr_scratch("profile.yaml"));
    const char *at = strstr((const char *)file.at, was);
    assert_non_null(at);
    tr_text_printf(&text, "%.*smemory: %lldB%s", (int)(at - (const char *)file.at), (const char *)file.at, (long long)memory_bytes, at + sizeof was - 1);
    tr_bytes_free(&file);
    assert_int_equal(tr_catalog_open_empty(&catalog, &err), TR_OK);
    if (tr_catalog_add_text(catalog, "profile.yaml", tr_text_str(&text), text.len, &err) != TR_OK)
        fail_msg("%s", err.text);
    enum tr_status status = tr_here_plan(catalog, request, &plan, &err);
    plan.chip = plan.chip_id = "freed";
    tr_catalog_free(catalog);
    tr_text_free(&text);
    return status;
}

static void a_plan_is_of_the_step_program_that_the_trainer_makes(void **state)
{
    (void)state;
    struct tr_here_request request = usual();
    struct tr_override all[] = {{"model.name", "tiny-llama"}, {"data.path", "x"}, {"train.tokens", "10000"},
                                {"data.seq_len", "32"}, {"train.batch", "6"}, {"train.dtype", "f32"}};
    struct tr_run_config config;
    struct tr_model_config model;
    struct tr_program program;
    struct tr_kernel_rates rates;
    struct tr_here_time time;
    struct tr_catalog *catalog = tr_made_up_profile(1e9, 1e10);
    assert_int_equal(tr_kernel_rates_find(catalog, 0, &rates, &err), TR_OK);
    assert_int_equal(tr_run_config_read(&config, NULL, all, 6, &err), TR_OK);
    assert_int_equal(tr_run_config_resolve(&config, 257, &model, &err), TR_OK);
    struct tr_step_config step = tr_run_step_config(&config);
    assert_int_equal(tr_program_train(&program, &model, &step, (struct tr_machine){tr_kernel_set(TR_ISA_REF), 1}, &err), TR_OK);
    tr_here_step(&rates, &program, &time);

    if (make(&request) != TR_OK)
        fail_msg("%s", err.text);
    assert_true(plan.time.step_s == time.step_s && time.step_s > 0);
    assert_int_equal(plan.memory_bytes, tr_program_memory_bytes(&program));
    assert_int_equal(plan.parameters, program.weights.element_count);
    assert_int_equal(plan.steps, config.steps);
    assert_true(plan.run_s == (double)config.steps * time.step_s);
    assert_int_equal(plan.threads, 1);
    tr_program_free(&program);
    tr_catalog_free(catalog);
}

static void bf16_is_another_program(void **state)
{
    (void)state;
    struct tr_here_request request = usual();
    assert_int_equal(make(&request), TR_OK);
    int64_t bytes = plan.memory_bytes;
    request.dtype = TR_BF16;
    assert_int_equal(make(&request), TR_OK);
    assert_int_equal(plan.dtype, TR_BF16);
    assert_int_not_equal(plan.memory_bytes, bytes);
}

static void what_does_not_fit_or_is_late_is_answered_with_no(void **state)
{
    (void)state;
    struct tr_here_request request = usual();
    request.deadline_s = 1e-9;
    assert_int_equal(make(&request), TR_NO);
    tr_assert_says(plan.why, "more than the deadline of");
    request = (struct tr_here_request){.model = "gpt2", .tokens = 1000000};
    assert_int_equal(make(&request), TR_NO);
    tr_assert_says(plan.why, "the machine has 1 GiB");
}

/* With the same words as the trainer, which has the same memory. */
static void a_plan_takes_less_memory_where_the_trainer_would(void **state)
{
    (void)state;
    struct tr_here_request request = {.model = "gpt2", .tokens = 1000000, .seq_len = 256, .batch = 16, .dtype = TR_F32};
    assert_int_equal(make_with(&request, (int64_t)1 << 40), TR_OK);
    int64_t micro_batch = plan.micro_batch, needs = plan.needed_bytes;
    assert_true(micro_batch > 1 && plan.recompute == TR_RECOMPUTE_ELEMENTWISE && needs > plan.memory_bytes);
    assert_int_equal(make_with(&request, needs - 1), TR_OK);
    assert_true(plan.micro_batch < micro_batch && plan.needed_bytes < needs);
    int64_t fits = 0;
    while (make_with(&request, plan.needed_bytes - 1) == TR_OK)
        fits = plan.needed_bytes;
    assert_true(plan.micro_batch == 1 && plan.recompute == TR_RECOMPUTE_FULL && plan.needed_bytes == fits);
    tr_assert_says(plan.why, "training gpt2 needs ");
    tr_assert_says(plan.why, "; even with train.micro_batch 1 and train.recompute full it would need ");
    tr_assert_says(plan.why, "with data.seq_len 128 besides, ");
    tr_assert_says(plan.why, ", or with model.depth ");
}

static void what_cannot_be_trained_is_refused(void **state)
{
    (void)state;
    struct tr_here_request request = usual();
    request.model = "no-such-model";
    assert_int_equal(make(&request), TR_BAD_INPUT);
    tr_assert_says(err.text, "no-such-model");
    request.model = "";
    assert_int_equal(make(&request), TR_BAD_INPUT);
    tr_assert_says(err.text, "no model given");
    request = usual();
    request.seq_len = 1 << 20;
    assert_int_equal(make(&request), TR_BAD_INPUT);
    tr_assert_says(err.text, "data.seq_len");
}

static void a_catalog_without_kernels_is_refused(void **state)
{
    (void)state;
    struct tr_here_request request = usual();
    struct tr_catalog *catalog;
    assert_int_equal(tr_catalog_open(&catalog, &err), TR_OK);
    assert_int_equal(tr_here_plan(catalog, &request, &plan, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "`trine calibrate` makes one");
    tr_catalog_free(catalog);
}

static void it_prints_words_and_json(void **state)
{
    (void)state;
    struct tr_here_request request = usual();
    struct tr_text text = {0};
    assert_int_equal(make(&request), TR_OK);
    tr_here_plan_text(&plan, "profile.yaml", &text);
    tr_assert_says(tr_text_str(&text), "of 6 sequences of 32 tokens");
    tr_assert_says(tr_text_str(&text), "forward");
    tr_text_clear(&text);
    tr_here_plan_json(&plan, "profile.yaml", &text);
    tr_assert_says(tr_text_str(&text), "\"feasible\": true");
    tr_assert_says(tr_text_str(&text), "\"backward_s\": ");
    tr_text_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_is_of_the_step_program_that_the_trainer_makes),
        cmocka_unit_test(bf16_is_another_program),
        cmocka_unit_test(what_does_not_fit_or_is_late_is_answered_with_no),
        cmocka_unit_test(a_plan_takes_less_memory_where_the_trainer_would),
        cmocka_unit_test(what_cannot_be_trained_is_refused),
        cmocka_unit_test(a_catalog_without_kernels_is_refused),
        cmocka_unit_test(it_prints_words_and_json),
    };
    return cmocka_run_group_tests_name("plan/here/plan_here", tests, tr_scratch_setup, tr_scratch_teardown);
}
