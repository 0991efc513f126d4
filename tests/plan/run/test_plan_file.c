/* Plans as files: what is written is read, and what is wrong is said with its place. */
#include "plan/run/plan_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static enum tr_status read_text(const char *text, struct tr_plan_file *file, struct tr_err *err)
{
    struct tr_doc *doc = NULL;
    enum tr_status status = tr_doc_parse("plan.yaml", TR_DOC_YAML, text, strlen(text), &doc, err);
    if (status != TR_OK)
        return status;
    status = tr_plan_file_from_node(tr_doc_root(doc), file, err);
    tr_doc_free(doc);
    return status;
}

static void a_plan_that_is_written_is_read_as_the_same(void **state)
{
    struct tr_catalog *catalog;
    struct tr_plan *plan;
    struct tr_err err = {""};
    struct tr_text text = {0};
    struct tr_plan_file file;
    struct tr_plan_request r = tr_plan_request_usual();
    (void)state;
    assert_int_equal(tr_catalog_open(&catalog, &err), TR_OK);
    snprintf(r.model, sizeof r.model, "llama3-8b");
    snprintf(r.system, sizeof r.system, "dgx-h100");
    snprintf(r.layout, sizeof r.layout, "tp=2,mb=1,zero=1,sp");
    snprintf(r.region, sizeof r.region, "france");
    snprintf(r.date, sizeof r.date, "2026");
    r.chips = 64, r.tokens = 1.5e12, r.background = true, r.commitment = TR_COMMITMENT_SPOT, r.deadline_s = 1e9;
    assert_int_equal(tr_plan_make(catalog, &r, &plan, &err), TR_OK);
    tr_plan_file_print(plan, &text);
    if (read_text(tr_text_str(&text), &file, &err) != TR_OK)
        fail_msg("%s", err.text);
    assert_memory_equal(&file.request, &plan->request, sizeof file.request);
    assert_true(file.step_s == plan->step.time_s && file.wall_s == tr_plan_cost(plan)->wall_s);
    assert_true(file.memory_bytes == plan->step.memory_bytes);
    tr_text_clear(&text);
    tr_plan_free(plan);
    r.tokens = 0, r.target_loss = 2.25, r.reserve_bytes = 1 << 30; /* tokens follow, and are not written */
    assert_int_equal(tr_plan_make(catalog, &r, &plan, &err), TR_OK);
    tr_plan_file_print(plan, &text);
    if (read_text(tr_text_str(&text), &file, &err) != TR_OK)
        fail_msg("%s", err.text);
    assert_true(file.request.tokens == 0 && file.request.target_loss == 2.25);
    plan->request.tokens = 0;
    assert_memory_equal(&file.request, &plan->request, sizeof file.request);
    tr_text_free(&text);
    tr_plan_free(plan);
    tr_catalog_free(catalog);
}

static void what_a_search_found_is_read_too(void **state)
{
    struct tr_catalog *catalog;
    struct tr_plan *plan;
    struct tr_err err = {""};
    struct tr_text text = {0};
    struct tr_plan_file file;
    struct tr_plan_request r = tr_plan_request_usual();
    char layout[TR_LAYOUT_TEXT_BYTES];
    (void)state;
    assert_int_equal(tr_catalog_open(&catalog, &err), TR_OK);
    snprintf(r.model, sizeof r.model, "llama3-8b");
    snprintf(r.system, sizeof r.system, "dgx-h100");
    snprintf(r.layout, sizeof r.layout, "auto");
    r.chips = 64, r.tokens = 1e12;
    assert_int_equal(tr_plan_make(catalog, &r, &plan, &err), TR_OK);
    tr_plan_file_print(plan, &text);
    if (read_text(tr_text_str(&text), &file, &err) != TR_OK)
        fail_msg("%s", err.text);
    const struct tr_plan_search *s = &plan->search;
    assert_true(s->at[s->chosen].legal > 0 && file.layouts == s->at[s->chosen].legal);
    assert_true(file.too_big == s->at[s->chosen].too_big && file.dominated == s->at[s->chosen].dominated);
    assert_true(file.limit_count > 0 && file.limit_count == s->limit_count);
    for (int i = 0; i < file.limit_count; i++) {
        assert_string_equal(file.limit[i].name, s->limit[i].name);
        assert_string_equal(file.limit[i].layout, tr_layout_print(&s->limit[i].found.layout, layout));
        assert_true(file.limit[i].gain == s->limit[i].gain);
    }
    tr_text_free(&text);
    tr_plan_free(plan);
    tr_catalog_free(catalog);
}

static void each_mistake_is_said_with_its_place(void **state)
{
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        {"7", "expected a plan"},
        {"pan: {}", "did you mean \"plan\"?"},
        {"answer: {}", "plan"},
        {"plan: {model: m, tokens: 1, system: s, chips: 1}", "layout"},
        {"plan:\n  model: m\n  tokens: 1\n  system: s\n  chip: 1\n  layout: mb1\n", "plan.yaml:5:3: plan.chip: unknown key"},
        {"plan: {model: m, tokens: 0, system: s, chips: 1, layout: mb1}", "plan.tokens"},
        {"plan: {model: m, tokens: 1e99, system: s, chips: 1, layout: mb1}", "plan.tokens"},
        {"plan: {model: m, tokens: 1, system: s, chips: 99999999, layout: mb1}", "plan.chips"},
        {"plan: {model: m, tokens: 1, system: s, chips: 1, layout: mb1, pay: later}", "on_demand"},
        {"plan: {model: m, tokens: 1, system: s, chips: 1, layout: mb1, background_saves: 3}", "plan.background_saves"},
        {"plan: {model: m, tokens: 1, system: s, chips: 1, layout: mb1}\nanswer: {step_s: -1}", "answer.step_s"},
        {"plan: {model: m, tokens: 1, system: s, chips: 1, layout: mb1}\nanswer: {searched: {layouts: 1}}", "too_big"},
        {"plan: {model: m, tokens: 1, system: s, chips: 1, layout: mb1}\nanswer: {limits: [3]}", "expected a limit"},
        {"plan: {model: m, tokens: 1, system: s, chips: 1, layout: mb1}\nanswer: {limits: [{name: tp, gain: 2, layout: tp1}]}",
         "gain"},
        {"plan: {model: m, tokens: 1, system: s, chips: 1, layout: mb1}\nanswer: {limits: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, "
         "0, 0, 0, 0, 0, 0, 0, 0]}", "a list of 0 to 20 values"},
        {"plan: {model: m, tokens: 1, system: s, chips: 1, layout: mb1, prices_of: \"2026-01-01-01\"}", "longer than 11"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tr_plan_file file;
        struct tr_err err = {""};
        assert_int_equal(read_text(cases[i].text, &file, &err), TR_BAD_INPUT);
        if (!strstr(err.text, cases[i].sentence))
            fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].sentence);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_that_is_written_is_read_as_the_same),
        cmocka_unit_test(what_a_search_found_is_read_too),
        cmocka_unit_test(each_mistake_is_said_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
