/* The report: made from a run folder's files alone, self-contained, refused with a sentence where a file is damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"
#include "lib/plain.h"
#include "lab/report/report.h"

static char folder[] = "/tmp/trine-report-XXXXXX";

static void put(const char *name, const char *text)
{
    char path[TR_PATH_BYTES];
    struct tr_err err = {{0}};
    assert_int_equal(tr_path_join(path, folder, name, &err), TR_OK);
    if (tr_file_write(path, text, strlen(text), &err) != TR_OK)
        fail_msg("%s", err.text);
}

static struct tr_bytes page(void)
{
    char path[TR_PATH_BYTES];
    struct tr_err err = {{0}};
    struct tr_bytes bytes;
    assert_int_equal(tr_path_join(path, folder, "report.html", &err), TR_OK);
    if (tr_file_read(path, 1 << 24, &bytes, &err) != TR_OK)
        fail_msg("%s", err.text);
    tr_plain(bytes.at);
    return bytes;
}

static const char *const metrics =
    "{\"kind\":\"eval\",\"step\":0,\"tokens\":0,\"val_loss\":5.55,\"val_bpb\":8.007,\"windows\":4,\"bytes\":99}\n"
    "{\"kind\":\"step\",\"step\":1,\"steps\":2,\"tokens\":64,\"loss\":5.5,\"grad_norm\":1.5,\"lr\":0.001,\"step_s\":0."
    "1,"
    "\"tok_s\":640,\"mfu\":0.25,\"memory_bytes\":1000000,\"skipped\":0}\n"
    "{\"kind\":\"step\",\"step\":2,\"steps\":2,\"tokens\":128,\"loss\":null,\"grad_norm\":null,\"lr\":0.0005,\"step_"
    "s\":0.1,"
    "\"tok_s\":650,\"mfu\":0.26,\"memory_bytes\":1000000,\"skipped\":1}\n"
    "{\"kind\":\"eval\",\"step\":2,\"tokens\":128,\"val_loss\":2.25,\"val_bpb\":3.246,\"windows\":4,\"bytes\":99}\n";

static void a_run_becomes_one_page_without_anything_from_outside(void **state)
{
    (void)state;
    struct tr_err err = {{0}};
    put("metrics.jsonl", metrics);
    put("samples.txt", "== step 2 ==\nAnd <the> LORD said\n");
    put("config.yaml", "model: book-1m # a comment\n");
    put("profile.json",
        "{\"steps\":2,\"train_s\":0.2,\"flop_per_token\":6e6,\"peak_flop_s\":1e11,\"threads\":2,\"isa\":\"avx2\","
        "\"predicted\":{\"step_s\":0.09,\"error_80\":0.12,\"run_s\":1},\"arithmetic\":\"trine-1/f32 lanes=1\",\"parameters\":1000000,\"memory\":{\"planned_bytes\":3000,"
        "\"peak_bytes\":9000,\"by_kind\":{\"weights\":1000,\"activations\":2000,\"constants\":0}},\"ops\":["
        "{\"phase\":\"forward\",\"op\":\"linear\",\"calls\":2,\"time_s\":0.1,\"flop\":1e9,\"bytes\":1000},"
        "{\"phase\":\"eval\",\"op\":\"linear\",\"calls\":2,\"time_s\":7.0,\"flop\":1e9,\"bytes\":1000},"
        "{\"phase\":\"update\",\"op\":\"adamw\",\"calls\":1,\"time_s\":0.3,\"flop\":0,\"bytes\":1000}]}");
    if (tr_report_write(folder, &err) != TR_OK)
        fail_msg("%s", err.text);
    struct tr_bytes html = page();
    assert_non_null(strstr(html.at, "5.550 → 2.250"));
    assert_non_null(strstr(html.at, "8.007 → 3.246"));
    assert_non_null(strstr(html.at, "And &lt;the&gt; LORD said"));
    assert_non_null(strstr(html.at, "book-1m"));
    assert_non_null(strstr(html.at, "<b>100 ms</b><span>a step, median; 90 ms ± 12 % was predicted</span>"));
    assert_non_null(strstr(html.at, "steps skipped"));
    assert_non_null(strstr(html.at, "75.0 %")); /* adamw's share: evaluation does not count */
    assert_non_null(strstr(html.at, "10 GFLOP/s"));
    assert_null(strstr(html.at, "<script"));
    assert_null(strstr(html.at, "http"));
    assert_null(strstr(html.at, "nan"));
    tr_bytes_free(&html);
}

/* Of this profile: the limits are 100 GFLOP/s and 50 GB/s. linear has 10 GFLOP in 0.2 s (0.1 s at the limit of arithmetic),
 * adamw 10 GB in 0.8 s (0.2 s at that of memory), and evaluation does not count. */
static void a_roofline_says_what_is_left_of_each_limit(void **state)
{
    (void)state;
    struct tr_err err = {{0}};
    put("metrics.jsonl", metrics);
    put("profile.json",
        "{\"steps\":2,\"train_s\":0.2,\"flop_per_token\":6e6,\"peak_flop_s\":1e11,\"read_byte_s\":5e10,"
        "\"read_bytes\":1048576,\"threads\":2,\"ops\":["
        "{\"phase\":\"forward\",\"op\":\"linear\",\"calls\":2,\"time_s\":0.2,\"flop\":1e10,\"bytes\":1000000},"
        "{\"phase\":\"eval\",\"op\":\"linear\",\"calls\":2,\"time_s\":7.0,\"flop\":1e9,\"bytes\":1000},"
        "{\"phase\":\"update\",\"op\":\"adamw\",\"calls\":1,\"time_s\":0.8,\"flop\":0,\"bytes\":1e10}]}");
    if (tr_report_write(folder, &err) != TR_OK)
        fail_msg("%s", err.text);
    struct tr_bytes html = page();
    const char *roof = strstr(html.at, "<h2>Roofline</h2>");
    assert_non_null(roof);
    assert_non_null(strstr(roof, "100 GFLOP/s</text>"));
    assert_non_null(strstr(roof, "50 GB/s</text>"));
    const char *first = strstr(roof, "<td>adamw</td><td>memory</td>"), *second = strstr(roof, "<td>linear</td><td>arithmetic</td>");
    assert_non_null(first);
    assert_true(second > first); /* what has most left stands first */
    assert_non_null(strstr(first, "12.5 GB/s</td><td class=\"n\">25 %</td><td class=\"n\">600 ms</td><td class=\"n\">60.0 %"));
    assert_non_null(strstr(second, "50 GFLOP/s</td><td class=\"n\">50 %</td><td class=\"n\">100 ms</td><td class=\"n\">10.0 %"));
    assert_non_null(strstr(roof, "took 1 s; at their limits they would take 300 ms, 30 % of that"));
    assert_null(strstr(roof, "nan"));
    tr_bytes_free(&html);
}

/* bf16: 200 GFLOP/s, fp32: 100. Muon's products of the update, fp32, are half of what they can be and a row of their own. */
static void products_of_muon_are_held_against_the_peak_of_fp32(void **state)
{
    (void)state;
    static const char *const profile =
        "{\"steps\":2,\"train_s\":0.2,\"flop_per_token\":6e6,\"type\":\"bf16\",\"peak_flop_s\":2e11,%s\"read_byte_s\":5e10,"
        "\"read_bytes\":1048576,\"threads\":2,\"ops\":["
        "{\"phase\":\"forward\",\"op\":\"linear\",\"type\":\"bf16\",\"calls\":2,\"time_s\":0.2,\"flop\":3e10,\"bytes\":1000000},"
        "{\"phase\":\"update\",\"op\":\"linear\",\"type\":\"f32\",\"calls\":2,\"time_s\":0.2,\"flop\":1e10,\"bytes\":1000000},"
        "{\"phase\":\"update\",\"op\":\"adamw\",\"type\":\"f32\",\"calls\":1,\"time_s\":0.6,\"flop\":0,\"bytes\":1e10}]}";
    char text[2048];
    struct tr_err err = {{0}};
    put("metrics.jsonl", metrics);
    snprintf(text, sizeof text, profile, "\"peak_f32_flop_s\":1e11,");
    put("profile.json", text);
    if (tr_report_write(folder, &err) != TR_OK)
        fail_msg("%s", err.text);
    struct tr_bytes html = page();
    assert_non_null(strstr(html.at, "<td>linear</td><td class=\"n\">2</td><td class=\"n\">200 ms</td><td class=\"n\">20.0 %</td>"
                                    "<td class=\"n\">150 GFLOP/s</td><td class=\"n\">75 %</td>"));
    assert_non_null(strstr(html.at, "<td>linear, f32</td><td class=\"n\">2</td><td class=\"n\">200 ms</td><td class=\"n\">20.0 %</td>"
                                    "<td class=\"n\">50 GFLOP/s</td><td class=\"n\">50 %</td>"));
    const char *roof = strstr(html.at, "<h2>Roofline</h2>");
    assert_non_null(roof);
    assert_non_null(strstr(roof, "<title>linear: 1.5e+11 at ")); /* dots have their own names, though fp32 has more left */
    assert_non_null(strstr(roof, "<title>linear, f32: 5e+10 at "));
    assert_non_null(strstr(roof, "fp32: 100 GFLOP/s</text>"));
    assert_non_null(strstr(roof, "<td>linear, f32</td><td>arithmetic</td><td class=\"n\">50 GFLOP/s</td><td class=\"n\">50 %</td>"
                                 "<td class=\"n\">100 ms</td>"));
    assert_non_null(strstr(roof, "<td>adamw</td><td>memory</td>"));
    tr_bytes_free(&html);

    snprintf(text, sizeof text, profile, ""); /* its peak is not known: no share is made up */
    put("profile.json", text);
    if (tr_report_write(folder, &err) != TR_OK)
        fail_msg("%s", err.text);
    html = page();
    assert_non_null(strstr(html.at, "<td class=\"n\">50 GFLOP/s</td><td></td>"));
    assert_non_null(strstr(html.at, "<h2>Roofline</h2>"));
    assert_null(strstr(html.at, "<td>linear, f32</td><td>"));
    assert_null(strstr(strstr(html.at, "<h2>Roofline</h2>"), "nan"));
    tr_bytes_free(&html);
}

static void a_run_on_several_ranks_shows_what_they_waited_for(void **state)
{
    (void)state;
    struct tr_err err = {{0}};
    put("metrics.jsonl", metrics);
    put("profile.json",
        "{\"steps\":2,\"train_s\":0.2,\"peak_flop_s\":2e11,\"read_byte_s\":5e10,\"ops\":[{\"phase\":\"forward\",\"op\":\"linear\",\"calls\":2,"
        "\"time_s\":0.2,\"flop\":1e10,\"bytes\":1000000}],\"ranks\":2,\"collectives\":[{\"phase\":\"forward\",\"collective\":\"send\",\"calls\":16,"
        "\"time_s\":0.25,\"sent_bytes\":4096},{\"phase\":\"update\",\"collective\":\"exact<\",\"calls\":2}],"
        "\"each_rank\":[{\"steps\":2,\"steps_s\":0.4,\"work_s\":0.2,\"wait_s\":0.16,\"stage_s\":0.12,\"sent_bytes\":4096},{\"steps\":0}],"
        "\"pipeline\":{\"stages\":2,"
        "\"chunks\":3,\"microbatches\":8,\"in_flight\":7,\"bubble_planned\":0.04,\"bubble\":0.055}}");
    if (tr_report_write(folder, &err) != TR_OK)
        fail_msg("%s", err.text);
    struct tr_bytes html = page();
    assert_non_null(strstr(html.at, "<td>send</td><td>forward</td><td class=\"n\">16</td><td class=\"n\">250 ms</td><td class=\"n\">4 KiB</td>"));
    assert_non_null(strstr(html.at, "<td>exact&lt;</td>"));
    assert_non_null(strstr(html.at, "50 GFLOP/s</td><td class=\"n\">50 %")); /* of what one of the two ranks can do */
    assert_non_null(strstr(html.at, "operations: 100 ms"));
    assert_non_null(strstr(html.at, "held up by collectives: 20 ms"));
    assert_non_null(strstr(html.at, "held up by other stages: 60 ms"));
    assert_non_null(strstr(html.at, "data, log: 20 ms"));
    assert_non_null(strstr(html.at, "works 50.0 %, sends 2 KiB"));
    assert_non_null(strstr(html.at, "works 0.0 %, sends 0 B")); /* of a rank that says nothing */
    assert_non_null(strstr(html.at, "2 stages, each with 3 of the chunks"));
    assert_non_null(strstr(html.at, "waited 5.5 % of its steps for other stages; it would be 4.0 %"));
    tr_bytes_free(&html);
}

/* The log is of all attempts, profile.json of the newest. */
static void a_run_that_was_resumed_says_which_steps_its_times_are_of(void **state)
{
    (void)state;
    struct tr_err err = {{0}};
    put("metrics.jsonl", metrics);
    put("profile.json", "{\"steps\":1,\"resumed_at\":1,\"train_s\":0.05,\"ops\":["
                        "{\"phase\":\"forward\",\"op\":\"linear\",\"calls\":2,\"time_s\":0.1,\"flop\":1e9,\"bytes\":1000}]}");
    if (tr_report_write(folder, &err) != TR_OK)
        fail_msg("%s", err.text);
    struct tr_bytes html = page();
    assert_non_null(strstr(html.at, "<b>200 ms</b><span>time in steps, all attempts</span>"));
    assert_non_null(strstr(html.at, "The run was resumed after step 1. From here on times, bytes and memory are of its newest attempt, 1 step."));
    tr_bytes_free(&html);
    /* A log of before steps said what they took. */
    put("metrics.jsonl", "{\"kind\":\"step\",\"step\":1,\"steps\":2,\"tokens\":64,\"loss\":5.5}\n");
    if (tr_report_write(folder, &err) != TR_OK)
        fail_msg("%s", err.text);
    html = page();
    assert_non_null(strstr(html.at, "<b>50 ms</b><span>time in steps, newest attempt</span>"));
    tr_bytes_free(&html);
}

static void a_line_that_was_cut_off_by_a_kill_is_left_out(void **state)
{
    (void)state;
    char text[4096];
    struct tr_err err = {{0}};
    snprintf(text, sizeof text, "%s{\"kind\":\"step\",\"st", metrics);
    put("metrics.jsonl", text);
    assert_int_equal(tr_report_write(folder, &err), TR_OK);
}

static void a_damaged_line_is_named(void **state)
{
    (void)state;
    char text[4096];
    struct tr_err err = {{0}};
    snprintf(text, sizeof text, "%s{\"kind\":\"step\",]}\n", metrics);
    put("metrics.jsonl", text);
    assert_int_equal(tr_report_write(folder, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "line 5"));
}

static void a_folder_without_metrics_is_refused(void **state)
{
    (void)state;
    struct tr_err err = {{0}};
    assert_int_equal(tr_report_write("/nonexistent", &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "metrics.jsonl"));
    put("metrics.jsonl", "");
    assert_int_equal(tr_report_write(folder, &err), TR_BAD_INPUT);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    struct tr_err err;
    (void)state;
    return tr_folder_remove(folder, &err) != TR_OK;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_becomes_one_page_without_anything_from_outside),
        cmocka_unit_test(a_roofline_says_what_is_left_of_each_limit),
        cmocka_unit_test(products_of_muon_are_held_against_the_peak_of_fp32),
        cmocka_unit_test(a_run_on_several_ranks_shows_what_they_waited_for),
        cmocka_unit_test(a_run_that_was_resumed_says_which_steps_its_times_are_of),
        cmocka_unit_test(a_line_that_was_cut_off_by_a_kill_is_left_out),
        cmocka_unit_test(a_damaged_line_is_named),
        cmocka_unit_test(a_folder_without_metrics_is_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
