/* The page of the whole loop: its numbers are those of the files, in one order; what is cut short is refused. */
#include "plan/story/story.h"

#include "base/quantity.h"
#include "lib/catalog.h"
#include "lib/made_up_profile.h"
#include "lib/plain.h"
#include "lib/scratch.h"
#include "lib/tiny_run.h"
#include "plan/here/explain_run.h"
#include "plan/run/plan_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct tr_err err;
static struct tr_catalog *profile;
static struct tr_tiny_hash hash;
static struct tr_text plan_text; /* of plan.yaml */

/* A file with the first `was` become `is`; returns it as it was, to be put back. */
static struct tr_bytes change(const char *path, const char *was, const char *is)
{
    struct tr_bytes file = tr_scratch_read(tr_scratch(path));
    struct tr_text text = {0};
    const char *at = strstr(file.at, was);
    assert_non_null(at);
    tr_text_append_bytes(&text, file.at, (size_t)(at - file.at));
    tr_text_printf(&text, "%s%s", is, at + strlen(was));
    tr_scratch_put_text(path, tr_text_str(&text));
    tr_text_free(&text);
    return file;
}

/* The run as one of the machine that the made-up profile is of. */
static void make_at_home(void)
{
    static const char *const noted[][2] = {{"\"processor\": ", "\"processor\": \"p\", \"was_p\": "},
                                           {"\"cores\": ", "\"cores\": 1, \"was_c\": "},
                                           {"\"isa\": ", "\"isa\": \"ref\", \"was_i\": "}};
    for (size_t i = 0; i < sizeof noted / sizeof *noted; i++) {
        struct tr_bytes was = change("run/profile.json", noted[i][0], noted[i][1]);
        tr_bytes_free(&was);
    }
    tr_tiny_crowd("run/profile.json", 0);
}

static void write_plan(void)
{
    struct tr_plan_request r = tr_plan_request_usual();
    struct tr_plan *plan = NULL;
    snprintf(r.model, sizeof r.model, "llama3-8b");
    snprintf(r.system, sizeof r.system, "dgx-h100");
    snprintf(r.layout, sizeof r.layout, "auto,tp=2,pp=4,zero=1,recompute=none");
    r.chips = 64, r.tokens = 1e12;
    if (tr_plan_make(catalog, &r, &plan, &err) != TR_OK)
        fail_msg("%s", err.text);
    tr_plan_file_print(plan, &plan_text);
    tr_scratch_put_text("plan.yaml", tr_text_str(&plan_text));
    tr_plan_free(plan);
}

static int set_up(void **state)
{
    int failed = tr_scratch_setup(state) || tr_catalog_setup(state);
    struct tr_run_config config = tr_tiny_config("run", "train.micro_batch=2", "eval.every=4", "sample.tokens=8", NULL);
    hash = tr_tiny_train(&config);
    profile = tr_made_up_profile(1e9, 1e10);
    make_at_home();
    write_plan();
    return failed;
}

static int tear_down(void **state)
{
    tr_catalog_free(profile);
    tr_text_free(&plan_text);
    return tr_catalog_teardown(state) || tr_scratch_teardown(state);
}

/* Its words with plain spaces. */
static enum tr_status write_story(const struct tr_story_request *request, struct tr_text *out, struct tr_err *error)
{
    enum tr_status status = tr_story(request, out, error);
    if (out->at)
        tr_plain(out->at);
    return status;
}

static enum tr_status tell(const struct tr_catalog *with, int plans, struct tr_text *out)
{
    const char *path[] = {tr_scratch("plan.yaml")};
    const struct tr_story_request request = {.run_folder = tr_scratch("run"),
                                             .profile = with,
                                             .profile_path = "profile.yaml",
                                             .catalog = catalog,
                                             .plan_path = path,
                                             .plan_count = plans};
    tr_text_clear(out);
    return write_story(&request, out, &err);
}

static int occurrences(const char *text, const char *word)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += strlen(word))
        n++;
    return n;
}

static void check_page(const char *html)
{
    static const char *const pairs[][2] = {{"<svg", "</svg>"}, {"<figure", "</figure>"},   {"<table", "</table>"},
                                           {"<tr>", "</tr>"},  {"<section", "</section>"}, {"<article", "</article>"},
                                           {"<div", "</div>"}, {"<ul", "</ul>"},           {"<p", "</p>"},
                                           {"<h2", "</h2>"},   {"<header", "</header>"},   {"<footer", "</footer>"}};
    static const char *const never[] = {"<script", " src=", "href=", "url(",  "http", ">nan",
                                        " nan",    "\"nan", ">inf",  " inf ", ":nan%"};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) /* "<p" is the beginning of <pre> and <path too */
        if (strcmp(pairs[i][0], "<p") == 0)
            assert_int_equal(occurrences(html, "<p>") + occurrences(html, "<p class"), occurrences(html, "</p>"));
        else
            assert_int_equal(occurrences(html, pairs[i][0]), occurrences(html, pairs[i][1]));
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (strstr(html, never[i]))
            fail_msg("the page has %s: %.80s", never[i], strstr(html, never[i]) - 40);
    assert_non_null(strstr(html, "</main></body></html>"));
}

static void a_story_goes_from_the_machine_to_the_big_plans(void **state)
{
    static const char *const order[] = {"<h1>",
                                        "class=\"deck\"",
                                        "One step, by what takes its time",
                                        "This machine",
                                        "Main loops",
                                        "The prediction",
                                        "operations a step",
                                        "The run",
                                        "Loss",
                                        "What each step took",
                                        "class=\"band\"",
                                        "Prediction beside measurement",
                                        "class=\"whisker\"",
                                        "The largest differences",
                                        "What it writes",
                                        "<blockquote>",
                                        "Its big brothers",
                                        "on this machine",
                                        "<article>",
                                        "llama3-8b",
                                        "A step, by what takes its time",
                                        "stage 3",
                                        "Memory of a chip, of 80 GiB",
                                        "on demand",
                                        "What limits it",
                                        "To check it",
                                        "trine explain"};
    struct tr_text page = {0};
    (void)state;
    if (tell(profile, 1, &page) != TR_OK)
        fail_msg("%s", err.text);
    const char *at = tr_text_str(&page);
    check_page(at);
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        const char *next = strstr(at, order[i]);
        if (!next)
            fail_msg("\"%s\" does not come where it should", order[i]);
        at = next;
    }
    assert_non_null(strstr(tr_text_str(&page), hash.hex));
    assert_true(page.len < (1 << 18));
    tr_text_free(&page);
}

static void its_numbers_are_those_of_the_files(void **state)
{
    struct tr_text page = {0};
    struct tr_plan_file file;
    char text[TR_QUANTITY_BYTES], line[200];
    struct tr_run_explained *run = calloc(1, sizeof *run);
    (void)state;
    assert_non_null(run);
    assert_int_equal(tell(profile, 1, &page), TR_OK);
    assert_int_equal(tr_run_explain(tr_scratch("run"), profile, 0, run, &err), TR_OK);
    snprintf(line, sizeof line, "<h1>%s a step was predicted.", tr_print_time(text, run->predicted_s));
    tr_assert_says(tr_text_str(&page), line);
    snprintf(line, sizeof line, "It took %s.</h1>", tr_print_time(text, run->measured_s));
    tr_assert_says(tr_text_str(&page), line);
    tr_assert_says(tr_text_str(&page), tr_print_bytes(text, run->planned_bytes));
    assert_int_equal(tr_plan_file_read(tr_scratch("plan.yaml"), &file, &err), TR_OK);
    tr_assert_says(tr_text_str(&page), tr_print_time(text, file.step_s));
    assert_true(file.layouts > 0 && file.limit_count > 0);
    snprintf(line, sizeof line, "The tightest limit: %s; with", file.limit[0].name);
    tr_assert_says(tr_text_str(&page), line);
    snprintf(line, sizeof line, " %.1f %% less time", 100 * file.limit[0].gain);
    tr_assert_says(tr_text_str(&page), line);
    free(run);
    tr_text_free(&page);
}

static void without_a_profile_or_plans_what_they_say_is_left_out(void **state)
{
    struct tr_text page = {0};
    (void)state;
    assert_int_equal(tell(NULL, 1, &page), TR_OK);
    check_page(tr_text_str(&page));
    tr_assert_says(tr_text_str(&page), "It was not calibrated, so nothing was predicted");
    tr_assert_says(tr_text_str(&page), "<article>");
    assert_null(strstr(tr_text_str(&page), "The prediction"));
    assert_int_equal(tell(profile, 0, &page), TR_OK);
    check_page(tr_text_str(&page));
    assert_null(strstr(tr_text_str(&page), "<article>"));
    assert_null(strstr(tr_text_str(&page), "Its big brothers"));
    tr_text_free(&page);
}

static void a_run_on_ranks_shows_all_of_them(void **state)
{
    struct tr_run_config config = tr_tiny_config("shared", "layout.lanes=2", "train.steps=3", NULL);
    struct tr_train_options options = tr_tiny_options();
    struct tr_train_result result;
    struct tr_text page = {0};
    (void)state;
    options.layout = (struct tr_degrees){.ranks = {[TR_GROUP_DATA] = 2}, .zero = 1};
    if (tr_train(&config, &options, &result, &err) != TR_OK)
        fail_msg("%s", err.text);
    tr_text_free(&result.last_sample);
    const struct tr_story_request request = {
        .run_folder = tr_scratch("shared"), .profile = profile, .profile_path = "profile.yaml", .catalog = catalog};
    if (write_story(&request, &page, &err) != TR_OK)
        fail_msg("%s", err.text);
    check_page(tr_text_str(&page));
    tr_assert_says(tr_text_str(&page), "waiting for other ranks");
    tr_assert_says(tr_text_str(&page), "It ran on 2 ranks.");
    tr_assert_says(tr_text_str(&page), "bytes on their way are not priced");
    tr_assert_says(tr_text_str(&page), "which moving bytes between ranks is no part of");
    assert_null(strstr(tr_text_str(&page), "80 % interval)"));
    tr_assert_says(strstr(tr_text_str(&page), "A step of each rank"), ">rank 1<");
    assert_null(strstr(tr_text_str(&page), ">rank 2<"));

    struct tr_story_request priced = request;
    struct tr_catalog *exchanges = tr_made_up_exchange("threads", 1e-5);
    priced.profile = exchanges;
    tr_text_clear(&page);
    if (write_story(&priced, &page, &err) != TR_OK)
        fail_msg("%s", err.text);
    tr_assert_says(tr_text_str(&page), "and what moving its bytes took so many ranks when this machine was calibrated");
    assert_null(strstr(tr_text_str(&page), "not priced"));
    tr_catalog_free(exchanges);
    tr_text_free(&page);
}

/* The made-up profile with the run among those that refined it. */
static struct tr_catalog *refined_profile(void)
{
    struct tr_run_profile ran;
    struct tr_catalog *made;
    struct tr_bytes whole = tr_scratch_read(tr_scratch("profile.yaml"));
    struct tr_text text = {0};
    const char *at = strstr(whole.at, "    threads: 1\n");
    assert_non_null(at);
    assert_int_equal(tr_run_profile_read(tr_scratch("run"), 0, &ran, &err), TR_OK);
    tr_text_append_bytes(&text, whole.at, (size_t)(at - whole.at));
    tr_text_printf(&text, "    refined: 2026-11-27\n    refined_by: \"%lld\"\n%s", (long long)ran.attempt, at);
    tr_scratch_put_text("refined.yaml", tr_text_str(&text));
    tr_text_free(&text);
    tr_bytes_free(&whole);
    if (tr_catalog_open_empty(&made, &err) != TR_OK || tr_catalog_add(made, tr_scratch("refined.yaml"), &err) != TR_OK)
        fail_msg("%s", err.text);
    return made;
}

/* The run's steps are said to have taken so many times what is predicted; returns profile.json as it was. */
static struct tr_bytes take(double times)
{
    static struct tr_run_explained run;
    char steps_s[96];
    assert_int_equal(tr_run_explain(tr_scratch("run"), profile, 0, &run, &err), TR_OK);
    snprintf(steps_s, sizeof steps_s, "\"steps_s\": %.9g, \"was_s\": ", times * run.predicted_s * (double)run.ran.steps);
    struct tr_bytes was = change("run/profile.json", "\"steps_s\": ", steps_s);
    snprintf(steps_s, sizeof steps_s, "\"first_step_s\": %.9g, \"was_first_s\": ", times * run.predicted_s);
    struct tr_bytes once = change("run/profile.json", "\"first_step_s\": ", steps_s);
    tr_bytes_free(&once);
    return was;
}

static void what_a_profile_learned_of_the_run_is_a_chapter(void **state)
{
    (void)state;
    struct tr_catalog *refined = refined_profile();
    struct tr_text page = {0};
    struct tr_story_request request = {.run_folder = tr_scratch("run"), .profile = profile, .profile_path = "profile.yaml",
                                       .refined = refined, .refined_path = "refined.yaml"};
    if (write_story(&request, &page, &err) != TR_OK)
        fail_msg("%s", err.text);
    check_page(tr_text_str(&page));
    tr_assert_says(tr_text_str(&page), "What was learned");
    tr_assert_says(tr_text_str(&page), "a step, as predicted now");
    tr_text_free(&page);
    request.refined = profile;
    struct tr_bytes ran = take(1000);
    assert_int_equal(write_story(&request, &page, &err), TR_OK);
    tr_assert_says(tr_text_str(&page), "times what was predicted: something else was at work");
    tr_scratch_put("run/profile.json", ran.at, ran.len);
    tr_bytes_free(&ran);
    ran = take(1);
    assert_int_equal(write_story(&request, &page, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "refined.yaml: has not learned from ");
    tr_scratch_put("run/profile.json", ran.at, ran.len);
    tr_bytes_free(&ran);
    request.refined = refined;
    request.profile = NULL;
    assert_int_equal(write_story(&request, &page, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "there is no profile from before");
    tr_text_free(&page);
    tr_catalog_free(refined);
}

static void a_profile_that_knows_the_run_did_not_predict_it(void **state)
{
    (void)state;
    struct tr_catalog *refined = refined_profile();
    struct tr_text page = {0};
    assert_int_equal(tell(profile, 0, &page), TR_OK);
    tr_assert_says(tr_text_str(&page), "of this run itself the prediction knows nothing");
    assert_int_equal(tell(refined, 0, &page), TR_OK);
    check_page(tr_text_str(&page));
    tr_assert_says(tr_text_str(&page), "a step is what was learned. It took ");
    tr_assert_says(tr_text_str(&page), "this run is one of them, so what stands here was not said before it");
    assert_null(strstr(tr_text_str(&page), "knows nothing"));
    tr_text_free(&page);
    tr_catalog_free(refined);
}

/* profile.json is of its newest attempt: of 12 steps that took 18 s it kept 5. */
static void a_run_of_several_attempts_took_what_all_of_them_took(void **state)
{
    (void)state;
    struct tr_bytes metrics = tr_scratch_read(tr_scratch("run/metrics.jsonl")),
                    ran = change("run/profile.json", "\"wall_s\":", "\"predicted\": {\"step_s\": 1, \"error_80\": 0.1, \"run_s\": 7}, \"wall_s\":");
    struct tr_text page = {0}, text = {0};
    for (int i = 1; i <= 12; i++)
        tr_text_printf(&text, "{\"kind\":\"step\",\"step\":%d,\"steps\":12,\"tokens\":%d,\"loss\":1,\"step_s\":1.5}\n", i, 128 * i);
    tr_scratch_put_text("run/metrics.jsonl", tr_text_str(&text));
    assert_int_equal(tell(profile, 0, &page), TR_OK);
    tr_assert_says(tr_text_str(&page), "the mean of all 12 steps");
    tr_assert_says(tr_text_str(&page), "from the first step to the last save");
    assert_null(strstr(tr_text_str(&page), "newest attempt"));
    tr_assert_says(tr_text_str(&page), "with evaluations, samples, checkpoints, ± 10");
    tr_assert_says(tr_text_str(&page), "Before it began it was said to take 7");
    struct tr_bytes whole = change("run/profile.json", "\"steps\": 12,", "\"steps\": 5,");
    assert_int_equal(tell(profile, 0, &page), TR_OK);
    check_page(tr_text_str(&page));
    tr_assert_says(tr_text_str(&page), "text.txt in 18 s");
    tr_assert_says(tr_text_str(&page), "In its newest attempt it took ");
    tr_assert_says(tr_text_str(&page), "One step of the newest attempt, by what takes its time");
    tr_assert_says(tr_text_str(&page), "What follows is of the newest attempt alone.");
    tr_assert_says(tr_text_str(&page), "<b>85.33</b><span>tokens a second"); /* 128 a step of 1.5 s, like all tiles of that chapter */
    tr_assert_says(tr_text_str(&page), "the 12 steps that the newest attempt had computed when it saved last");
    assert_null(strstr(tr_text_str(&page), "from the first step to the last save"));
    assert_null(strstr(tr_text_str(&page), "with evaluations, samples, checkpoints"));
    tr_scratch_put("run/profile.json", ran.at, ran.len);
    tr_scratch_put("run/metrics.jsonl", metrics.at, metrics.len);
    tr_bytes_free(&whole);
    tr_bytes_free(&ran);
    tr_bytes_free(&metrics);
    tr_text_free(&text);
    tr_text_free(&page);
}

static void a_profile_of_another_machine_is_called_so(void **state)
{
    (void)state;
    struct tr_text page = {0};
    assert_int_equal(tell(profile, 0, &page), TR_OK);
    tr_assert_says(tr_text_str(&page), "</i>This machine</h2>");
    assert_null(strstr(tr_text_str(&page), "of another machine"));
    struct tr_bytes ran = change("run/profile.json", "\"processor\": \"p\"", "\"processor\": \"q\"");
    assert_int_equal(tell(profile, 0, &page), TR_OK);
    check_page(tr_text_str(&page));
    tr_assert_says(tr_text_str(&page), " · profile of Made up · ");
    tr_assert_says(tr_text_str(&page), "</i>The machine of the profile</h2>");
    tr_assert_says(tr_text_str(&page), "another machine or trine than the run; the processor is q, the profile&#39;s was p.");
    tr_scratch_put("run/profile.json", ran.at, ran.len);
    tr_bytes_free(&ran);
    tr_text_free(&page);
}

/* What a machine can do is what all its threads can, however few a rank of the run had. */
static void the_machine_is_described_by_all_its_threads(void **state)
{
    (void)state;
    struct tr_kernel_rates rates;
    struct tr_catalog *both, *alone = tr_made_up_profile(1e9, 1e10); /* without records of exchanges that other tests wrote behind it */
    struct tr_text page = {0}, text = {0};
    struct tr_bytes one = tr_scratch_read(tr_scratch("profile.yaml"));
    assert_int_equal(tr_kernel_rates_find(profile, 1, &rates, &err), TR_OK);
    rates.id = "made-up-2", rates.threads = 2, rates.machine.peak_flop_s[0] = 1.75e9;
    tr_text_append_bytes(&text, one.at, one.len);
    tr_kernel_rates_yaml(&rates, &text);
    tr_scratch_put_text("two.yaml", tr_text_str(&text));
    if (tr_catalog_open_empty(&both, &err) != TR_OK || tr_catalog_add(both, tr_scratch("two.yaml"), &err) != TR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(tell(both, 0, &page), TR_OK);
    tr_assert_says(tr_text_str(&page), "<b>1.75 GFLOP/s</b><span>peak in fp32");
    tr_assert_says(tr_text_str(&page), "A rank of this run had 1 thread: it was predicted by what so many take, and what follows is of all.");
    assert_int_equal(tell(profile, 0, &page), TR_OK);
    assert_null(strstr(tr_text_str(&page), "A rank of this run had"));
    tr_bytes_free(&one);
    tr_catalog_free(both);
    tr_catalog_free(alone);
    tr_text_free(&text);
    tr_text_free(&page);
}

/* Another program wanted the cores: then a copy that was to learn from the run is as the profile was. */
static void that_nothing_was_learned_is_said(void **state)
{
    (void)state;
    struct tr_text page = {0};
    const struct tr_story_request request = {.run_folder = tr_scratch("run"), .profile = profile, .profile_path = "profile.yaml",
                                             .refined = profile, .refined_path = "profile.yaml"};
    struct tr_bytes ran = change("run/profile.json", "\"steps_s\": ", "\"steps_s\": 1, \"crowded_s\": 0.25, \"was_s\": ");
    struct tr_bytes once = change("run/profile.json", "\n  \"crowded_s\": 0,", "");
    assert_int_equal(write_story(&request, &page, &err), TR_OK);
    check_page(tr_text_str(&page));
    tr_assert_says(tr_text_str(&page), "What was learned");
    tr_assert_says(tr_text_str(&page), "Nothing. The run was left out, and the profile is as it was: 25 % of the time of its steps");
    tr_scratch_put("run/profile.json", ran.at, ran.len);
    tr_bytes_free(&once);
    tr_bytes_free(&ran);
    tr_text_free(&page);
}

static void a_run_beside_other_programs_says_so(void **state)
{
    (void)state;
    struct tr_text page = {0};
    struct tr_bytes ran = change("run/profile.json", "\"crowded_s\":", "\"crowded_s\": 1e-9, \"was\":");
    assert_int_equal(tell(profile, 0, &page), TR_OK);
    tr_assert_says(tr_text_str(&page), "Other programs had cores that it wanted in ");
    tr_scratch_put("run/profile.json", ran.at, ran.len);
    tr_bytes_free(&ran);
    tr_text_free(&page);
}

/* A machine that was calibrated beside other programs may err by more than all. */
static void no_step_is_drawn_to_take_less_than_nothing(void **state)
{
    (void)state;
    struct tr_text page = {0};
    struct tr_catalog *wide;
    struct tr_bytes was = change("profile.yaml", "step_error: 0.1\n", "step_error: 2.5\n");
    assert_int_equal(tr_catalog_open_empty(&wide, &err), TR_OK);
    assert_int_equal(tr_catalog_add(wide, tr_scratch("profile.yaml"), &err), TR_OK);
    assert_int_equal(tell(wide, 0, &page), TR_OK);
    const char *figure = strstr(tr_text_str(&page), "What each step took");
    tr_assert_says(figure, "± 250");
    assert_null(strstr(figure, "text-anchor=\"end\">-"));
    tr_scratch_put("profile.yaml", was.at, was.len);
    tr_bytes_free(&was);
    tr_catalog_free(wide);
    tr_text_free(&page);
}

static void what_a_model_writes_cannot_break_the_page(void **state)
{
    struct tr_text page = {0};
    (void)state;
    tr_scratch_put_text("run/samples.txt", "== step 4 ==\nold\n== step 12 ==\n</blockquote><script>x</script>\n");
    assert_int_equal(tell(profile, 0, &page), TR_OK);
    check_page(tr_text_str(&page));
    tr_assert_says(tr_text_str(&page), "<blockquote>&lt;/blockquote&gt;&lt;script&gt;x&lt;/script&gt;</blockquote>");
    char text[6000] = "== step 12 ==\n";
    for (size_t i = strlen(text); i + 3 < sizeof text; i += 2)
        memcpy(text + i, "é", 3); /* longer than is shown, and cut between two bytes of a letter if counted blindly */
    tr_scratch_put_text("run/samples.txt", text);
    assert_int_equal(tell(profile, 0, &page), TR_OK);
    tr_assert_says(tr_text_str(&page), "é …</blockquote>");
    assert_null(strstr(tr_text_str(&page), "\ufffd"));
    tr_scratch_put_text("run/samples.txt", "== step 12 ==\n \n");
    assert_int_equal(tell(profile, 0, &page), TR_OK);
    assert_null(strstr(tr_text_str(&page), "What it writes"));
    tr_text_free(&page);
}

/* One step waited a minute: it is said, and the others can still be told apart. */
static void a_step_that_waited_does_not_flatten_the_others(void **state)
{
    struct tr_bytes metrics = tr_scratch_read(tr_scratch("run/metrics.jsonl"));
    struct tr_text page = {0}, text = {0};
    (void)state;
    for (int i = 1; i <= 12; i++)
        tr_text_printf(&text, "{\"kind\":\"step\",\"step\":%d,\"steps\":12,\"tokens\":%d,\"loss\":1,\"step_s\":%s}\n",
                       i, 128 * i, i == 7 ? "61.5" : "0.02");
    tr_scratch_put_text("run/metrics.jsonl", tr_text_str(&text));
    assert_int_equal(tell(profile, 0, &page), TR_OK);
    tr_assert_says(tr_text_str(&page), " 1 took longer than ");
    tr_assert_says(tr_text_str(&page), ", up to 1 min 01.5 s: they are in the mean");
    assert_null(strstr(strstr(tr_text_str(&page), "What each step took"), "k</text>")); /* no axis of 60k ms */
    tr_scratch_put("run/metrics.jsonl", metrics.at, metrics.len);
    tr_bytes_free(&metrics);
    tr_text_free(&text);
    tr_text_free(&page);
}

/* Every beginning of a plan that ends before its answer is refused; so is one whose answer this program does not give. */
static void a_plan_that_is_cut_short_or_another_s_is_refused(void **state)
{
    struct tr_text page = {0}, part = {0};
    const char *whole = tr_text_str(&plan_text), *answer = strstr(whole, "step_s: ");
    (void)state;
    assert_non_null(answer);
    for (size_t length = 0; length < (size_t)(answer - whole) + 7; length += 1 + length % 23) {
        tr_text_clear(&part);
        tr_text_append_bytes(&part, whole, length);
        tr_scratch_put_text("plan.yaml", tr_text_str(&part));
        if (tell(profile, 1, &page) != TR_BAD_INPUT)
            fail_msg("%zu bytes of a plan are taken", length);
        assert_true(err.text[0] && page.len == 0);
    }
    tr_text_clear(&part);
    tr_text_append_bytes(&part, whole, (size_t)(answer - whole));
    tr_text_append(&part, "step_s: 1\n");
    tr_scratch_put_text("plan.yaml", tr_text_str(&part));
    assert_int_equal(tell(profile, 1, &page), TR_BAD_INPUT);
    tr_assert_says(err.text, "says 1 s a step, this program and catalog ");
    tr_scratch_put_text("plan.yaml", whole);
    tr_text_free(&part);
    tr_text_free(&page);
}

static void a_run_that_is_cut_short_is_refused(void **state)
{
    struct tr_text page = {0};
    (void)state;
    struct tr_bytes ran = tr_scratch_read(tr_scratch("run/profile.json")),
                    config = tr_scratch_read(tr_scratch("run/config.yaml"));
    tr_scratch_put("run/profile.json", ran.at, ran.len / 2);
    assert_int_equal(tell(profile, 0, &page), TR_BAD_INPUT);
    tr_assert_says(err.text, "profile.json");
    tr_scratch_put("run/profile.json", ran.at, ran.len);
    /* What is left of a config is one too, of another run. */
    tr_scratch_put("run/config.yaml", config.at, (size_t)(strstr(config.at, "  batch:") - config.at));
    assert_int_equal(tell(profile, 0, &page), TR_BAD_INPUT);
    tr_scratch_put("run/config.yaml", config.at, config.len);
    tr_bytes_free(&ran);
    tr_bytes_free(&config);
    struct tr_bytes metrics = tr_scratch_read(tr_scratch("run/metrics.jsonl"));
    tr_scratch_put("run/metrics.jsonl", metrics.at, 40); /* in the first line */
    assert_int_equal(tell(profile, 0, &page), TR_BAD_INPUT);
    tr_assert_says(err.text, "no steps in it yet");
    tr_scratch_put_text("run/metrics.jsonl", "{\"kind\":\"step\",\"step\":12,\"loss\":1}\n");
    assert_int_equal(tell(profile, 0, &page), TR_BAD_INPUT);
    tr_assert_says(err.text, "its last step has no");
    tr_scratch_put("run/metrics.jsonl", metrics.at, metrics.len);
    tr_bytes_free(&metrics);
    tr_text_free(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_story_goes_from_the_machine_to_the_big_plans),
        cmocka_unit_test(its_numbers_are_those_of_the_files),
        cmocka_unit_test(without_a_profile_or_plans_what_they_say_is_left_out),
        cmocka_unit_test(a_run_on_ranks_shows_all_of_them),
        cmocka_unit_test(what_a_profile_learned_of_the_run_is_a_chapter),
        cmocka_unit_test(a_profile_that_knows_the_run_did_not_predict_it),
        cmocka_unit_test(a_run_of_several_attempts_took_what_all_of_them_took),
        cmocka_unit_test(a_profile_of_another_machine_is_called_so),
        cmocka_unit_test(the_machine_is_described_by_all_its_threads),
        cmocka_unit_test(that_nothing_was_learned_is_said),
        cmocka_unit_test(a_run_beside_other_programs_says_so),
        cmocka_unit_test(no_step_is_drawn_to_take_less_than_nothing),
        cmocka_unit_test(what_a_model_writes_cannot_break_the_page),
        cmocka_unit_test(a_step_that_waited_does_not_flatten_the_others),
        cmocka_unit_test(a_plan_that_is_cut_short_or_another_s_is_refused),
        cmocka_unit_test(a_run_that_is_cut_short_is_refused),
    };
    return cmocka_run_group_tests_name("plan/story", tests, set_up, tear_down);
}
