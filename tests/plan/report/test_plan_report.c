/* Pages and traces of plans: whole, self-contained, and of the numbers that the plan has. */
#include "base/doc.h"

#include "lib/catalog.h"
#include "lib/plain.h"
#include "plan/print/print.h"
#include "plan/report/draw.h"
#include "plan/report/report.h"
#include "plan/step/walk.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct tr_plan *plan_of(const char *model, int64_t chips, const char *layout)
{
    struct tr_plan_request r = tr_plan_request_usual();
    struct tr_plan *plan = NULL;
    struct tr_err err = {""};
    snprintf(r.model, sizeof r.model, "%s", model);
    snprintf(r.system, sizeof r.system, "dgx-h100");
    snprintf(r.layout, sizeof r.layout, "%s", layout);
    r.chips = chips, r.tokens = 300e9;
    if (tr_plan_make(catalog, &r, &plan, &err) > TR_NO)
        fail_msg("%s", err.text);
    return plan;
}

static int occurrences(const char *text, const char *word)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += strlen(word))
        n++;
    return n;
}

static void check_page(const char *html, const char *const *words, int count)
{
    static const char *const pairs[][2] = {{"<svg", "</svg>"},         {"<figure", "</figure>"}, {"<table", "</table>"},
                                           {"<details", "</details>"}, {"<tr", "</tr>"},        {"<h2>", "</h2>"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_int_equal(occurrences(html, pairs[i][0]), occurrences(html, pairs[i][1]));
    /* Nothing runs and nothing is fetched. */
    assert_null(strstr(html, "<script"));
    assert_null(strstr(html, " src="));
    assert_null(strstr(html, "href="));
    assert_null(strstr(html, "url("));
    assert_null(strstr(html, ">nan"));
    assert_null(strstr(html, "\"nan"));
    assert_null(strstr(html, "inf\""));
    for (int i = 0; i < count; i++)
        if (!strstr(html, words[i]))
            fail_msg("the page does not have: %s", words[i]);
    assert_non_null(strstr(html, "</main></body></html>"));
}

static void a_page_is_whole_and_needs_nothing_from_elsewhere(void **state)
{
    static const char *const words[] = {"gpt3-175b", "A step, by what takes its time", "A chip of each stage", "stage 15",
                                        "The pipeline", "What each stage does in a step", "What 10 % better gives",
                                        "What it costs", "on demand", "Every number, taken apart", "dense layer: up, forward",
                                        "Where the numbers are from", "gemm.bf16.sustained", "limited by "};
    (void)state;
    struct tr_plan *plan = plan_of("gpt3-175b", 1024, "tp=8,pp=16,vpp=6,mb=1,zero=1,sp,recompute=selective");
    struct tr_text text = {0};
    struct tr_err err = {""};
    assert_int_equal(tr_plan_report(plan, &text, &err), TR_OK);
    check_page(tr_plain(text.at), words, sizeof words / sizeof *words);
    assert_true(text.len < (1 << 20));
    tr_text_free(&text);
    tr_plan_free(plan);
}

static void what_was_searched_is_on_the_page(void **state)
{
    static const char *const words[] = {"Numbers of chips <small>●", "What was searched", "time against memory", "time against dollars", "The fastest layouts"};
    struct tr_plan_request r = tr_plan_request_usual();
    struct tr_plan *plan = NULL;
    struct tr_text text = {0};
    struct tr_err err = {""};
    (void)state;
    snprintf(r.model, sizeof r.model, "gpt3-175b");
    snprintf(r.system, sizeof r.system, "dgx-h100");
    snprintf(r.layout, sizeof r.layout, "auto,tp=8,sp,zero=1,vpp=1,recompute=none");
    r.chips = 64, r.chips_max = 512, r.tokens = 300e9;
    assert_int_equal(tr_plan_make(catalog, &r, &plan, &err), TR_OK);
    assert_int_equal(tr_plan_report(plan, &text, &err), TR_OK);
    check_page(tr_plain(text.at), words, sizeof words / sizeof *words);
    tr_text_free(&text);
    tr_plan_free(plan);
}

static void check_says(const char *page, const char *before, const char *says)
{
    struct tr_text text = {0};
    tr_text_append(&text, before);
    tr_text_append_words(&text, says);
    if (!strstr(page, tr_plain(text.at)))
        fail_msg("the page does not have: %s", text.at);
    tr_text_free(&text);
}

static void check_row(void *page, const char *what, const char *says)
{
    char before[64];
    snprintf(before, sizeof before, "<td>%s</td><td class=\"long\">", what);
    check_says(page, before, says);
}

/* The lines in which the text says what limits a plan, what would help, what the run takes and whose prices those are. */
static void what_the_text_says_of_limits_and_money_is_on_the_page(void **state)
{
    struct tr_text page = {0}, lines = {0};
    struct tr_err err = {""};
    char text[TR_PRICE_WORDS_BYTES];
    (void)state;
    struct tr_plan *plan = plan_of("gpt3-175b", 1024, "auto,tp=8,sp,zero=1,recompute=none");
    assert_int_equal(tr_plan_report(plan, &page, &err), TR_OK);
    tr_plain(page.at);
    tr_plan_searched(plan, &lines);
    assert_non_null(strstr(tr_text_str(&lines), "the tightest limit: "));
    tr_text_char(&lines, '\n');
    tr_plan_limit(plan, &lines);
    tr_text_char(&lines, '\n');
    tr_plan_memory_interval(plan, &lines);
    for (char *at = strtok(lines.at, "\n"); at; at = strtok(NULL, "\n"))
        check_says(page.at, "", at);
    tr_plan_run_rows(plan, check_row, page.at);
    for (int i = 0; i < TR_COMMITMENT_COUNT; i++)
        if (tr_known(&plan->offer[i].price.usd_h))
            assert_non_null(strstr(page.at, tr_price_words(&plan->offer[i].price, text)));
    for (int i = 0; i < TR_LEVER_COUNT; i++)
        assert_non_null(strstr(page.at, tr_plan_lever_now(plan, (enum tr_lever)i, text)));
    assert_non_null(strstr(page.at, "80 GiB, what a chip has</b>"));
    tr_text_free(&lines);
    tr_text_free(&page);
    tr_plan_free(plan);
}

/* What is drawn of the first row of the first timeline in colours of passes, as a share of the whole row. */
static double share_drawn(const char *html)
{
    double share = 0, x, y, wide, high;
    const char *at = strstr(html, "<div class=\"plot time\">"), *end = at ? strstr(at, "class=\"f3") : NULL;
    assert_non_null(end);
    while (*--end != '<') /* of the path that has the colour */
        ;
    for (; (at = strchr(at, 'M')) != NULL && at < end; at++)
        if (sscanf(at, "M%lf %lfh%lfv%lfh", &x, &y, &wide, &high) == 4 && y < 17)
            share += (wide > 2.4 ? wide + .6 : wide) / 1000 * high / 14; /* with the gap behind it */
    return share;
}

static void the_whole_step_is_drawn_and_blocks_are_as_large_as_their_passes(void **state)
{
    static const char *const layouts[] = {"tp=8,pp=16,mb=1,zero=1,sp", "tp=8,pp=4,vpp=12,mb=3,zero=1,sp", "tp=8,pp=8,mb=2,zero=1,recompute=full"};
    (void)state;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        struct tr_plan *plan = plan_of("gpt3-175b", 1024, layouts[i]);
        struct tr_text text = {0};
        struct tr_walk walk = {0};
        struct tr_err err = {""};
        double busy_s = 0, end_s;
        assert_int_equal(tr_plan_report(plan, &text, &err), TR_OK);
        assert_int_equal(tr_walk_make(&walk, &plan->site, &plan->task, &plan->layout, &err), TR_OK);
        for (int64_t k = 0; k < walk.count && walk.event[k].stage == 0; k++)
            busy_s += walk.event[k].end_s - walk.event[k].begin_s;
        struct tr_once once[TR_ONCE_PARTS];
        tr_plan_once(plan, once);
        end_s = walk.time_s;
        for (int k = 0; k < TR_ONCE_PARTS; k++)
            end_s += once[k].time_s;
        assert_true(fabs(share_drawn(text.at) - busy_s / end_s) < .02);
        tr_walk_free(&walk);
        tr_text_free(&text);
        tr_plan_free(plan);
    }
}

static void a_plan_that_does_not_fit_has_a_page_too(void **state)
{
    static const char *const words[] = {"<b>No:</b> needs ", "A chip of each stage", "class=\"limit\""};
    (void)state;
    struct tr_plan *plan = plan_of("gpt3-175b", 8, "tp=8,mb=1");
    struct tr_text text = {0};
    struct tr_err err = {""};
    assert_false(plan->fits);
    assert_int_equal(tr_plan_report(plan, &text, &err), TR_OK);
    check_page(tr_plain(text.at), words, sizeof words / sizeof *words);
    tr_text_free(&text);
    tr_plan_free(plan);
}

static void names_from_outside_cannot_break_the_page(void **state)
{
    (void)state;
    struct tr_plan *plan = plan_of("llama3-8b", 64, "tp=2,mb=1,zero=1");
    struct tr_text text = {0};
    struct tr_err err = {""};
    snprintf(plan->model.name, sizeof plan->model.name, "<b onload=\"x\">&");
    assert_int_equal(tr_plan_report(plan, &text, &err), TR_OK);
    assert_null(strstr(tr_text_str(&text), "<b onload"));
    assert_non_null(strstr(tr_text_str(&text), "&lt;b onload=&quot;x&quot;&gt;&amp;"));
    tr_text_free(&text);
    tr_plan_free(plan);
}

/* ---- traces ------------------------------------------------------------------------------------------------------ */

static double number(const struct tr_node *event, const char *key)
{
    double value = -1;
    struct tr_err err;
    assert_int_equal(tr_doc_double(event, key, TR_REQUIRED, -1e300, 1e300, &value, &err), TR_OK);
    return value;
}

/* Passes of a stage follow one another, all microbatches are there, and what is once a step comes after them. */
static void check_trace(const struct tr_plan *plan, const struct tr_node *events)
{
    int64_t m = tr_layout_micro_count(&plan->layout, &plan->task.batch), passes = 0;
    double *end = calloc((size_t)plan->layout.pp * 3, sizeof *end), last = 0, once = 0;
    assert_non_null(end);
    for (int64_t i = 0; i < events->count; i++) {
        const struct tr_node *event = &events->children[i];
        if (strcmp(tr_doc_find(event, "ph")->string, "X") != 0)
            continue;
        double begin = number(event, "ts"), time = number(event, "dur");
        int row = (int)number(event, "tid"), stage = (int)number(event, "pid");
        assert_true(stage >= 0 && stage < plan->layout.pp && row >= 0 && row < 3 && begin >= 0 && time >= 0);
        if (row == 0) {
            assert_true(begin >= end[3 * stage] - 1e-3);
            passes++;
            last = fmax(last, begin + time);
        } else if (row == 2) {
            assert_true(begin >= last - 1e-3);
            once = fmax(once, begin + time);
        }
        end[3 * stage + row] = begin + time;
    }
    assert_int_equal(passes, 2 * m * plan->layout.pp * plan->layout.vpp);
    /* The walk of the step is within a few percent of the composed one (tests/plan/step). */
    assert_true(fabs(once / 1e6 / plan->step.time_s - 1) < .08);
    free(end);
}

static void a_trace_has_every_pass_of_every_microbatch(void **state)
{
    static const char *const layouts[] = {"tp=8,pp=16,vpp=6,mb=1,zero=1,sp", "tp=8,pp=8,mb=2,recompute=full,zero=1",
                                          "tp=8,mb=1,zero=3"};
    (void)state;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        struct tr_plan *plan = plan_of("gpt3-175b", 1024, layouts[i]);
        struct tr_text text = {0};
        struct tr_doc *doc = NULL;
        struct tr_err err = {""};
        assert_int_equal(tr_plan_trace(plan, &text, &err), TR_OK);
        if (tr_doc_parse("trace", TR_DOC_JSON, text.at, text.len, &doc, &err) != TR_OK)
            fail_msg("%s", err.text);
        check_trace(plan, tr_doc_find(tr_doc_root(doc), "traceEvents"));
        tr_doc_free(doc);
        tr_text_free(&text);
        tr_plan_free(plan);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_is_whole_and_needs_nothing_from_elsewhere),
        cmocka_unit_test(what_was_searched_is_on_the_page),
        cmocka_unit_test(what_the_text_says_of_limits_and_money_is_on_the_page),
        cmocka_unit_test(the_whole_step_is_drawn_and_blocks_are_as_large_as_their_passes),
        cmocka_unit_test(a_plan_that_does_not_fit_has_a_page_too),
        cmocka_unit_test(names_from_outside_cannot_break_the_page),
        cmocka_unit_test(a_trace_has_every_pass_of_every_microbatch),
    };
    return cmocka_run_group_tests(tests, tr_catalog_setup, tr_catalog_teardown);
}
