#include "plan/here/plan_here.h"

#include "lab/train/run_config.h"
#include "lib/made_up_profile.h"
#include "lib/scratch.h"
#include "plan/explain/explain.h"
#include "plan/run/plan_file.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct tr_err err;
static struct tr_here_plan plan;

static struct tr_plan_request asked(const char *model, double tokens, int64_t seq_len, int64_t batch)
{
    struct tr_plan_request request = tr_plan_request_usual();
    snprintf(request.model, sizeof request.model, "%s", model);
    snprintf(request.system, sizeof request.system, "profile.yaml");
    request.chips = 1, request.tokens = tokens, request.seq_len = seq_len, request.global_batch = batch;
    return request;
}

static struct tr_plan_request usual(void) { return asked("tiny-llama", 10000, 32, 6); }

static enum tr_status make(const struct tr_plan_request *request)
{
    struct tr_catalog *catalog = tr_made_up_profile(1e9, 1e10);
    enum tr_status status = tr_here_plan(catalog, request, &plan, &err);
    plan.chip = plan.chip_id = "freed";
    tr_catalog_free(catalog);
    return status;
}

/* On the same machine with so much memory. */
static enum tr_status make_with(const struct tr_plan_request *request, int64_t memory_bytes)
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
    struct tr_plan_request request = usual();
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
    assert_true(plan.step_s == time.step_s && time.step_s > 0);
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
    struct tr_plan_request request = usual();
    assert_int_equal(make(&request), TR_OK);
    int64_t bytes = plan.memory_bytes;
    snprintf(request.precision, sizeof request.precision, "bf16");
    assert_int_equal(make(&request), TR_OK);
    assert_int_equal(plan.dtype, TR_BF16);
    assert_int_not_equal(plan.memory_bytes, bytes);
}

static void what_does_not_fit_or_is_late_is_answered_with_no(void **state)
{
    (void)state;
    struct tr_plan_request request = usual();
    request.deadline_s = 1e-9;
    assert_int_equal(make(&request), TR_NO);
    tr_assert_says(plan.why, "more than the deadline of");
    request = asked("gpt2", 1000000, 0, 0);
    assert_int_equal(make(&request), TR_NO);
    tr_assert_says(plan.why, "the machine has 1 GiB");
    snprintf(request.layout, sizeof request.layout, "auto");
    assert_int_equal(make(&request), TR_NO);
    tr_assert_says(plan.why, "no layout fits; dp=1 needs least: training gpt2 needs ");
}

/* With the same words as the trainer, which has the same memory. */
static void a_plan_takes_less_memory_where_the_trainer_would(void **state)
{
    (void)state;
    struct tr_plan_request request = asked("gpt2", 1000000, 256, 16);
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
    struct tr_plan_request request = usual();
    request = asked("no-such-model", 10000, 32, 6);
    assert_int_equal(make(&request), TR_BAD_INPUT);
    tr_assert_says(err.text, "no-such-model");
    request.model[0] = 0;
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
    struct tr_plan_request request = usual();
    struct tr_catalog *catalog;
    assert_int_equal(tr_catalog_open(&catalog, &err), TR_OK);
    assert_int_equal(tr_here_plan(catalog, &request, &plan, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "`trine calibrate` makes one");
    tr_catalog_free(catalog);
}

/* ---- layouts, losses, files -------------------------------------------------------------------------------------- */

static void put_with(struct tr_text *out, const char *text, const char *const *was, const char *const *is)
{
    while (*text) {
        int i = 0;
        while (was[i] && strncmp(text, was[i], strlen(was[i])) != 0)
            i++;
        if (was[i]) {
            tr_text_append(out, is[i]);
            text += strlen(was[i]);
        } else
            tr_text_char(out, *text++);
    }
}

/* The made-up machine with two cores, measured with one thread and with two, and an exchange of two ranks. */
static struct tr_catalog *two_cores(void)
{
    static const char *const was[] = {"made-up-1", "cores: 1\n", "threads: 1\n", NULL};
    static const char *const one[] = {"made-up-1", "cores: 2\n", "threads: 1\n"}, *const two[] = {"made-up-2", "cores: 2\n", "threads: 2\n"};
    struct tr_text text = {0};
    tr_catalog_free(tr_made_up_profile(1e9, 1e10));
    struct tr_bytes file = tr_scratch_read(tr_scratch("profile.yaml"));
    tr_text_append_bytes(&text, file.at, file.len);
    tr_bytes_free(&file);
    char *all = strdup(tr_text_str(&text));
    const char *kernels = strstr(all, "  made-up-1:");
    assert_non_null(kernels);
    tr_text_clear(&text);
    put_with(&text, all, was, one);
    put_with(&text, kernels, was, two);
    tr_scratch_put_text("profile.yaml", tr_text_str(&text));
    tr_text_free(&text);
    free(all);
    return tr_made_up_exchange("threads", 1e-6);
}

static enum tr_status make_on_two(const struct tr_plan_request *request)
{
    struct tr_catalog *catalog = two_cores();
    enum tr_status status = tr_here_plan(catalog, request, &plan, &err);
    plan.chip = plan.chip_id = "freed";
    tr_catalog_free(catalog);
    return status;
}

static void a_layout_of_several_ranks_is_priced_as_those_of_a_run(void **state)
{
    (void)state;
    struct tr_plan_request request = usual();
    assert_int_equal(make_on_two(&request), TR_OK);
    assert_true(plan.ranks == 1 && plan.threads == 2);
    assert_string_equal(plan.request.layout, "dp=1");
    double alone_s = plan.step_s;
    snprintf(request.layout, sizeof request.layout, "dp=2,zero=1");
    if (make_on_two(&request) != TR_OK)
        fail_msg("%s", err.text);
    assert_true(plan.ranks == 2 && plan.threads == 1 && plan.step_s > 0 && plan.step_s != alone_s);
    assert_string_equal(plan.request.layout, "dp=2,zero=1");
    double sum_s = plan.slowest.between_s;
    for (int phase = 0; phase < TR_PHASE_COUNT; phase++)
        sum_s += tr_here_phase_s(&plan, (enum tr_phase)phase);
    assert_true(fabs(sum_s / plan.step_s - 1) < 1e-9);
    snprintf(request.layout, sizeof request.layout, "auto");
    assert_int_equal(make_on_two(&request), TR_OK);
    assert_true(plan.step_s <= alone_s * (1 + 1e-9));
    snprintf(request.layout, sizeof request.layout, "dp=3");
    assert_int_equal(make_on_two(&request), TR_BAD_INPUT);
    tr_assert_says(err.text, "3 ranks, and the profile is of 2 threads");
    snprintf(request.layout, sizeof request.layout, "ep=2");
    assert_int_equal(make_on_two(&request), TR_BAD_INPUT);
    tr_assert_says(err.text, "not executed yet");
}

/* The profile may be of a processor with instructions that this one has not. */
static void kernels_that_do_not_run_here_are_planned_all_the_same(void **state)
{
    (void)state;
    for (int isa = 0; isa < TR_ISA_COUNT; isa++) {
        struct tr_plan_request request = usual();
        struct tr_text text = {0};
        struct tr_catalog *catalog;
        char is[32];
        snprintf(is, sizeof is, "isa: %s", tr_isa_name((enum tr_isa)isa));
        tr_catalog_free(tr_made_up_profile(1e9, 1e10));
        struct tr_bytes file = tr_scratch_read(tr_scratch("profile.yaml"));
        tr_text_append_bytes(&text, file.at, file.len);
        char *all = strdup(tr_text_str(&text));
        assert_non_null(strstr(all, "isa: ref"));
        tr_text_clear(&text);
        put_with(&text, all, (const char *const[]){"isa: ref", NULL}, (const char *const[]){is});
        assert_int_equal(tr_catalog_open_empty(&catalog, &err), TR_OK);
        if (tr_catalog_add_text(catalog, "profile.yaml", tr_text_str(&text), text.len, &err) != TR_OK ||
            tr_here_plan(catalog, &request, &plan, &err) != TR_OK)
            fail_msg("%s: %s", is, err.text);
        assert_true(plan.memory_bytes > 0 && plan.step_s > 0);
        tr_catalog_free(catalog);
        tr_text_free(&text);
        tr_bytes_free(&file);
        free(all);
    }
}

static void tokens_follow_from_a_target_loss(void **state)
{
    (void)state;
    struct tr_plan_request request = usual();
    request.tokens = 0, request.target_loss = 20;
    if (make(&request) != TR_OK)
        fail_msg("%s", err.text);
    assert_string_equal(plan.request.law, "besiroglu-2024");
    assert_true(plan.tokens_low < plan.request.tokens && plan.request.tokens < plan.tokens_high);
    assert_true((double)plan.tokens >= plan.request.tokens);
    request.target_loss = 1;
    assert_int_equal(make(&request), TR_BAD_INPUT);
    tr_assert_says(err.text, "out of reach");
    request.tokens = 1000;
    assert_int_equal(make(&request), TR_BAD_INPUT);
    tr_assert_says(err.text, "one of them");
    request = usual(), request.tokens = 0;
    assert_int_equal(make(&request), TR_BAD_INPUT);
    tr_assert_says(err.text, "--target-loss");
}

static void a_plan_that_was_written_is_made_again_from_its_file(void **state)
{
    (void)state;
    struct tr_plan_request request = usual();
    struct tr_text text = {0};
    struct tr_plan_file file;
    request.tokens = 0, request.target_loss = 20;
    snprintf(request.layout, sizeof request.layout, "dp=2");
    assert_int_equal(make_on_two(&request), TR_OK);
    struct tr_here_plan first = plan;
    tr_here_plan_file(&plan, &text);
    tr_scratch_put_text("plan.yaml", tr_text_str(&text));
    tr_text_free(&text);
    if (tr_plan_file_read(tr_scratch("plan.yaml"), &file, &err) != TR_OK)
        fail_msg("%s", err.text);
    assert_true(file.step_s == first.step_s);
    assert_int_equal(make_on_two(&file.request), TR_OK);
    assert_true(plan.step_s == first.step_s && plan.steps == first.steps && plan.needed_bytes == first.needed_bytes);
}

static void every_number_of_it_is_taken_apart(void **state)
{
    static const char *const layouts[] = {"", "dp=2", "pp=2"};
    (void)state;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        struct tr_plan_request request = usual();
        struct tr_explain e;
        snprintf(request.layout, sizeof request.layout, "%s", layouts[i]);
        if (make_on_two(&request) != TR_OK || tr_explain_make_here(&plan, &e, &err) != TR_OK)
            fail_msg("%s: %s", layouts[i], err.text);
        for (int n = 0; n < e.count; n++) {
            enum tr_grade worst = TR_GRADE_NONE;
            double sum = 0;
            for (int k = n + 1; k < e.count; k++)
                if (e.at[k].parent == n)
                    worst = tr_grade_worse(worst, e.at[k].grade), sum += e.at[k].value;
            assert_true(e.at[n].formula[0] && (e.at[n].value == 0 || e.at[n].grade != TR_GRADE_NONE));
            if (e.at[n].made_of)
                assert_int_equal(e.at[n].grade, worst);
            if (e.at[n].made_of && e.at[n].sums && fabs(sum / e.at[n].value - 1) > 1e-9)
                fail_msg("%s: %s is %.15g, and its parts are %.15g", layouts[i], e.at[n].name, e.at[n].value, sum);
        }
        tr_explain_free(&e);
    }
}

static void it_prints_words_and_json(void **state)
{
    (void)state;
    struct tr_plan_request request = usual();
    struct tr_text text = {0};
    assert_int_equal(make(&request), TR_OK);
    tr_here_plan_text(&plan, &text);
    tr_assert_says(tr_text_str(&text), "of 6 sequences of 32 tokens");
    tr_assert_says(tr_text_str(&text), "forward");
    tr_text_clear(&text);
    tr_here_plan_json(&plan, "", &text);
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
        cmocka_unit_test(a_layout_of_several_ranks_is_priced_as_those_of_a_run),
        cmocka_unit_test(kernels_that_do_not_run_here_are_planned_all_the_same),
        cmocka_unit_test(tokens_follow_from_a_target_loss),
        cmocka_unit_test(a_plan_that_was_written_is_made_again_from_its_file),
        cmocka_unit_test(every_number_of_it_is_taken_apart),
        cmocka_unit_test(it_prints_words_and_json),
    };
    return cmocka_run_group_tests_name("plan/here/plan_here", tests, tr_scratch_setup, tr_scratch_teardown);
}
