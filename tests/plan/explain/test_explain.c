/* Explanations: numbers are the sums of what stands below them, and everything has a name, a formula and a grade. */
#include "plan/explain/explain.h"

#include "base/doc.h"
#include "lib/catalog.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *model, *system, *stack, *precision, *layout;
    int64_t chips;
} cases[] = {
    {"gpt3-175b", "dgx-h100", "megatron-core", "bf16", "tp=8,pp=16,vpp=6,mb=1,zero=1,sp,recompute=selective", 1024},
    {"gpt3-175b", "dgx-a100", "megatron-2021", "fp16", "tp=8,pp=12,mb=2,recompute=full", 1536},
    {"gpt3-175b", "dgx-a100", "megatron-core", "bf16", "tp=8,pp=8,mb=1,recompute=full,recompute-layers=5,zero=1", 512},
    {"gpt3-175b", "dgx-h100", "megatron-core", "bf16", "tp=8,pp=8,mb=1,schedule=zero-bubble,zero=2,sp", 512},
    {"llama3-8b", "dgx-h100", "fsdp", "bf16", "zero=3,mb=1", 64},
    {"llama3-8b", "dgx-h100", "fsdp", "bf16", "zero=3,shard=8,mb=1,recompute=full", 64},
    {"llama3-8b", "dgx-h100", "megatron-core", "fp8", "tp=2,cp=4,mb=1,zero=1,sp", 64},
    {"llama3-8b", "dgx-h100", "megatron-core", "bf16", "cp=4,context=all-to-all,mb=1,recompute=selective", 64},
    {"mixtral-8x7b", "dgx-h100", "megatron-core", "bf16", "tp=2,ep=8,pp=4,mb=1,zero=1,sp", 256},
    {"deepseek-v3", "dgx-h100", "megatron-core", "fp8", "ep=32,pp=16,mb=1,zero=1", 2048},
    {"deepseek-v3", "gcp-a3-high", "megatron-bridge-26.06", "bf16", "ep=64,pp=8,mb=1,zero=1,recompute=full", 1024},
    {"mixtral-8x7b", "dgx-h100", "fsdp", "bf16", "etp=2,ep=2,zero=3,mb=1", 64},
    {"gpt-oss-120b", "dgx-b200", "megatron-core", "bf16", "ep=16,pp=4,mb=1,zero=1", 256},
    {"llama3-8b", "tpu-v5p-pod", "xla", "bf16", "zero=3,mb=1,recompute=full", 128},
};
enum { CASES = sizeof cases / sizeof *cases };

static struct tr_plan *plan_of(size_t i)
{
    struct tr_plan_request r = tr_plan_request_usual();
    struct tr_plan *plan = NULL;
    struct tr_err err = {""};
    snprintf(r.model, sizeof r.model, "%s", cases[i].model);
    snprintf(r.system, sizeof r.system, "%s", cases[i].system);
    snprintf(r.stack, sizeof r.stack, "%s", cases[i].stack);
    snprintf(r.precision, sizeof r.precision, "%s", cases[i].precision);
    snprintf(r.layout, sizeof r.layout, "%s", cases[i].layout);
    r.chips = cases[i].chips, r.tokens = 1e12;
    if (tr_plan_make(catalog, &r, &plan, &err) > TR_NO)
        fail_msg("%s %s: %s", cases[i].model, cases[i].layout, err.text);
    return plan;
}

static struct tr_explain explain_of(const struct tr_plan *plan)
{
    struct tr_explain explain;
    struct tr_err err = {""};
    if (tr_explain_make(plan, &explain, &err) != TR_OK)
        fail_msg("%s", err.text);
    return explain;
}

static void every_number_is_the_sum_of_those_below_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        struct tr_plan *plan = plan_of(i);
        struct tr_explain e = explain_of(plan);
        int sums = 0;
        for (int n = 0; n < e.count; n++) {
            double sum = 0, size = fabs(e.at[n].value);
            if (!e.at[n].made_of || !e.at[n].sums)
                continue;
            for (int k = n + 1; k < e.count; k++)
                if (e.at[k].parent == n)
                    sum += e.at[k].value, size = fmax(size, fabs(e.at[k].value));
            if (!(fabs(sum - e.at[n].value) <= 1e-9 * size))
                fail_msg("%s %s: %s is %.15g, and its parts are %.15g", cases[i].model, cases[i].layout, e.at[n].name,
                         e.at[n].value, sum);
            sums++;
        }
        assert_true(sums >= 12);
        tr_explain_free(&e);
        tr_plan_free(plan);
    }
}

/* What is computed as the rest of a sum would hide a part that is missing: it must be no part that is below 0. */
static void what_is_left_over_is_never_negative(void **state)
{
    static const char *const rests[] = {"ring of keys and values", "launches that the device waits for",
                                        "failures: lost and done again"};
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        struct tr_plan *plan = plan_of(i);
        struct tr_explain e = explain_of(plan);
        for (int n = 0; n < e.count; n++) {
            for (size_t k = 0; k < sizeof rests / sizeof *rests; k++)
                if (strcmp(e.at[n].name, rests[k]) == 0 && e.at[n].value < -1e-9 * plan->step.time_s)
                    fail_msg("%s %s: %s is %g", cases[i].model, cases[i].layout, e.at[n].name, e.at[n].value);
            if (strcmp(e.at[n].name, "hidden under compute") == 0)
                assert_true(e.at[n].value <= 1e-9);
        }
        tr_explain_free(&e);
        tr_plan_free(plan);
    }
}

/* No number is worth more, nor less, than the least of what it is made of. */
static void every_grade_is_the_worst_of_those_below_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        struct tr_plan *plan = plan_of(i);
        struct tr_explain e = explain_of(plan);
        for (int n = 0; n < e.count; n++) {
            enum tr_grade worst = TR_GRADE_NONE;
            for (int k = n + 1; k < e.count; k++)
                if (e.at[k].parent == n)
                    worst = tr_grade_worse(worst, e.at[k].grade);
            if (e.at[n].made_of && e.at[n].grade != worst && e.at[n].value != 0 && !isnan(e.at[n].value))
                fail_msg("%s %s: %s is %s, and what it is made of %s", cases[i].model, cases[i].layout, e.at[n].name,
                         tr_grade_name(e.at[n].grade), tr_grade_name(worst));
        }
        tr_explain_free(&e);
        tr_plan_free(plan);
    }
}

/* What is a product of others without standing above them: no better than each. */
static void what_follows_from_the_step_s_time_is_no_better_than_it(void **state)
{
    static const char *const names[] = {"time", "chip-hours", "dollars", "energy", "carbon", "failures", "tokens a second", "mfu",
                                        "what would help", "dollars spot"};
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        struct tr_plan *plan = plan_of(i);
        struct tr_explain e = explain_of(plan);
        const struct tr_number *price, *n;
        struct tr_err err = {""};
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
            if (tr_explain_find(&e, names[k], &n, &err) != TR_OK || n->value == 0 || isnan(n->value))
                continue;
            if (n->grade < e.at[0].grade)
                fail_msg("%s: %s is %s, and the step %s", cases[i].model, names[k], tr_grade_name(n->grade), tr_grade_name(e.at[0].grade));
        }
        if (tr_explain_find(&e, "price", &price, &err) == TR_OK) {
            assert_int_equal(tr_explain_find(&e, "dollars", &n, &err), TR_OK);
            assert_true(n->grade >= price->grade);
        }
        tr_explain_free(&e);
        tr_plan_free(plan);
    }
}

/* The median of many offers cites each of them. */
static void a_price_is_taken_apart_into_its_offers(void **state)
{
    (void)state;
    struct tr_plan *plan = plan_of(0);
    struct tr_explain e = explain_of(plan);
    const struct tr_price *price = &plan->offer[plan->request.commitment].price;
    const struct tr_number *n, *dollars;
    struct tr_err err = {""};
    int offers = 0;
    double last = 0;
    assert_int_equal(tr_explain_find(&e, "price", &n, &err), TR_OK);
    for (int k = 0; k < e.count; k++)
        if (e.at[k].parent == (int)(n - e.at)) {
            assert_true(e.at[k].value >= last && e.at[k].source[0] && strncmp(e.at[k].inputs, "of 20", 5) == 0);
            last = e.at[k].value, offers++;
        }
    assert_true(price->offers > 1 && offers == price->offers);
    assert_int_equal(tr_explain_find(&e, "dollars", &dollars, &err), TR_OK);
    assert_non_null(strstr(dollars->inputs, "median of"));
    assert_non_null(strstr(dollars->inputs, price->offer[price->middle].provider));
    tr_explain_free(&e);
    tr_plan_free(plan);
}

/* The plan's one word for its evidence is that of what the step is made of. */
static void a_plan_s_grade_is_that_of_its_step(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        struct tr_plan *plan = plan_of(i);
        struct tr_explain e = explain_of(plan);
        const struct tr_number *step;
        struct tr_err err = {""};
        assert_int_equal(tr_explain_find(&e, "step", &step, &err), TR_OK);
        if (plan->step.grade != step->grade)
            fail_msg("%s %s: %s, and its step is %s", cases[i].model, cases[i].layout, tr_grade_name(plan->step.grade),
                     tr_grade_name(step->grade));
        tr_explain_free(&e);
        tr_plan_free(plan);
    }
}

static void every_number_has_words_and_evidence(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        struct tr_plan *plan = plan_of(i);
        struct tr_explain e = explain_of(plan);
        for (int n = 0; n < e.count; n++) {
            const struct tr_number *number = &e.at[n];
            assert_true(number->name[0] && number->parent < n);
            if (number->value == 0 || isnan(number->value))
                continue;
            if (!number->formula[0])
                fail_msg("%s: no formula", number->name);
            if (!number->inputs[0] && !number->source[0] && !number->made_of && strcmp(number->formula, "see there") != 0 &&
                strncmp(number->name, "lost to ", 8) != 0)
                fail_msg("%s: neither inputs nor a source", number->name);
            if (number->unit == TR_UNIT_COUNT && !number->counts[0] && number->parent < 0)
                fail_msg("%s: it is not said what is counted", number->name);
            if (number->grade == TR_GRADE_NONE)
                fail_msg("%s %s: %s has no grade", cases[i].model, cases[i].layout, number->name);
        }
        tr_explain_free(&e);
        tr_plan_free(plan);
    }
}

static void numbers_are_found_by_name_and_by_the_way_to_them(void **state)
{
    (void)state;
    struct tr_plan *plan = plan_of(0);
    struct tr_explain e = explain_of(plan);
    const struct tr_number *n;
    struct tr_err err = {""};
    assert_int_equal(tr_explain_find(&e, "Step", &n, &err), TR_OK);
    assert_true(n->value == plan->step.time_s && n->depth == 0);
    assert_int_equal(tr_explain_find(&e, "matrix-products", &n, &err), TR_OK);
    assert_true(n->value == plan->step.term_s[TR_TERM_GEMM]);
    assert_int_equal(tr_explain_find(&e, "memory/optimiser", &n, &err), TR_OK);
    assert_true(n->value == plan->step.memory[TR_MEM_OPTIMIZER]);
    assert_int_equal(tr_explain_find(&e, "step/optimiser", &n, &err), TR_OK);
    assert_true(n->value == plan->step.term_s[TR_TERM_UPDATE]);
    assert_int_equal(tr_explain_find(&e, "dollers", &n, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "no number \"dollers\"; did you mean dollars?"));
    assert_int_equal(tr_explain_find(&e, "memory/dollars", &n, &err), TR_BAD_INPUT);
    assert_int_equal(tr_explain_find(&e, "", &n, &err), TR_BAD_INPUT);
    tr_explain_free(&e);
    tr_plan_free(plan);
}

static void the_tree_is_json(void **state)
{
    (void)state;
    struct tr_plan *plan = plan_of(8);
    struct tr_explain e = explain_of(plan);
    struct tr_text text = {0};
    struct tr_doc *doc = NULL;
    struct tr_err err = {""};
    tr_explain_json(&e, NULL, &text);
    assert_int_equal(tr_doc_parse("tree", TR_DOC_JSON, text.at, text.len, &doc, &err), TR_OK);
    assert_true(tr_doc_root(doc)->count >= 25);
    const struct tr_node *step = &tr_doc_root(doc)->children[0];
    assert_string_equal(tr_doc_find(step, "name")->string, "step");
    assert_int_equal(tr_doc_find(step, "terms")->count, TR_TERM_COUNT);
    tr_doc_free(doc);
    tr_text_free(&text);
    tr_explain_free(&e);
    tr_plan_free(plan);
}

struct seen {
    int count;
    int offers;
    bool peak, fit, stack, carbon;
};

static void look(void *context, const struct tr_provenance *p)
{
    struct seen *seen = context;
    assert_true(tr_known(p->fact) && p->name[0] && p->value[0]);
    seen->count++;
    seen->peak |= strcmp(p->name, "dense bf16") == 0;
    seen->fit |= strcmp(p->name, "gemm.bf16.sustained") == 0 && p->fact->source != NULL;
    seen->stack |= strcmp(p->name, "hidden.dp") == 0;
    seen->offers += strncmp(p->name, "on_demand: ", 11) == 0 && p->fact->date[0];
    seen->carbon |= strcmp(p->name, "carbon of the grid") == 0;
}

static void facts_behind_a_plan_are_listed(void **state)
{
    (void)state;
    struct tr_plan *plan = plan_of(0);
    struct seen seen = {0};
    struct tr_err err = {""};
    assert_int_equal(tr_explain_provenance(plan, look, &seen, &err), TR_OK);
    assert_true(seen.count > 80 && seen.peak && seen.fit && seen.stack && seen.carbon);
    assert_int_equal(seen.offers, plan->offer[TR_COMMITMENT_ON_DEMAND].price.offers);
    tr_plan_free(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_is_the_sum_of_those_below_it),
        cmocka_unit_test(what_is_left_over_is_never_negative),
        cmocka_unit_test(a_plan_s_grade_is_that_of_its_step),
        cmocka_unit_test(every_grade_is_the_worst_of_those_below_it),
        cmocka_unit_test(what_follows_from_the_step_s_time_is_no_better_than_it),
        cmocka_unit_test(a_price_is_taken_apart_into_its_offers),
        cmocka_unit_test(every_number_has_words_and_evidence),
        cmocka_unit_test(numbers_are_found_by_name_and_by_the_way_to_them),
        cmocka_unit_test(the_tree_is_json),
        cmocka_unit_test(facts_behind_a_plan_are_listed),
    };
    return cmocka_run_group_tests(tests, tr_catalog_setup, tr_catalog_teardown);
}
