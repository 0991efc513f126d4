/* silicon/cost/exchange: prices between sizes, records of a file. */
#include "silicon/cost/exchange.h"

#include "base/text.h"
#include "lib/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct tr_err err;

/* A call takes 2 us, and a microsecond for each 4 KiB. */
static struct tr_exchange_rates made_up(const char *id, const char *transport, int ranks)
{
    struct tr_exchange_rates exchange = {.id = id, .chip = "made-up", .ranks = ranks, .shared = 1.25, .beside_s = 3e-5};
    strcpy(exchange.transport, transport);
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
        for (int i = 0; i < TR_EXCHANGE_SIZES && tr_exchange_measures((enum tr_coll_kind)kind); i++)
            exchange.time_s[kind][i] = 2e-6 + 1e-6 * (double)tr_exchange_bytes[i] / 4096 * (1 + kind);
    return exchange;
}

static bool near(double is, double wanted) { return fabs(is / wanted - 1) < 1e-3; }

static void between_sizes_the_time_lies_on_the_line_and_beyond_it_grows_with_the_bytes(void **state)
{
    (void)state;
    struct tr_exchange_rates x = made_up("a", "threads", 2);
    const double *time_s = x.time_s[TR_COLL_ALL_GATHER];
    assert_true(tr_exchange_time(&x, TR_COLL_ALL_GATHER, 0) == time_s[0]);
    assert_true(tr_exchange_time(&x, TR_COLL_ALL_GATHER, 100) == time_s[0]);
    for (int i = 0; i < TR_EXCHANGE_SIZES; i++)
        assert_true(near(tr_exchange_time(&x, TR_COLL_ALL_GATHER, (double)tr_exchange_bytes[i]), time_s[i]));
    assert_true(near(tr_exchange_time(&x, TR_COLL_ALL_GATHER, sqrt((double)tr_exchange_bytes[1] * (double)tr_exchange_bytes[2])),
                     sqrt(time_s[1] * time_s[2])));
    assert_true(near(tr_exchange_time(&x, TR_COLL_ALL_GATHER, 10. * (double)tr_exchange_bytes[TR_EXCHANGE_SIZES - 1]),
                     10 * time_s[TR_EXCHANGE_SIZES - 1]));
    for (double bytes = 1; bytes < 1e10; bytes *= 1.1)
        assert_true(tr_exchange_time(&x, TR_COLL_SEND, bytes * 1.1) >= tr_exchange_time(&x, TR_COLL_SEND, bytes));
}

static void what_was_not_measured_has_the_price_of_what_is_like_it(void **state)
{
    (void)state;
    struct tr_exchange_rates x = made_up("a", "threads", 2), none = {.ranks = 2};
    assert_true(tr_exchange_time(&x, TR_COLL_RECV, 1e6) == tr_exchange_time(&x, TR_COLL_SEND, 1e6));
    assert_true(tr_exchange_time(&x, TR_COLL_EXACT, 1e3) == tr_exchange_time(&x, TR_COLL_ALL_GATHER, 1e3));
    assert_true(tr_exchange_time(&none, TR_COLL_ALL_GATHER, 1e6) == 0);
    assert_true(near(tr_exchange_work(&x, TR_COLL_SEND, 1e7) + tr_exchange_time(&x, TR_COLL_SEND, 0), tr_exchange_time(&x, TR_COLL_SEND, 1e7)));
    assert_true(tr_exchange_work(&x, TR_COLL_SEND, 0) == 0);
}

static struct tr_catalog *file_of(const struct tr_exchange_rates *list, int count)
{
    struct tr_text text = {0};
    struct tr_catalog *catalog;
    tr_text_append(&text, "sources:\n  calibration: {title: made up, date: 2026-01-01, grade: measured}\n"
                          "  runs: {title: runs, date: 2026-01-01, grade: measured}\nexchanges:\n");
    for (int i = 0; i < count; i++)
        tr_exchange_yaml(&list[i], &text);
    tr_scratch_put_text("exchanges.yaml", tr_text_str(&text));
    tr_text_free(&text);
    assert_int_equal(tr_catalog_open_empty(&catalog, &err), TR_OK);
    if (tr_catalog_add(catalog, tr_scratch("exchanges.yaml"), &err) != TR_OK)
        fail_msg("%s", err.text);
    return catalog;
}

static void a_record_reads_back(void **state)
{
    (void)state;
    struct tr_exchange_rates was = made_up("a-2", "threads", 2), is;
    struct tr_catalog *catalog = file_of(&was, 1);
    if (tr_exchange_find(catalog, "threads", 2, &is, &err) != TR_OK)
        fail_msg("%s", err.text);
    assert_string_equal(is.id, "a-2");
    assert_string_equal(is.chip, "made-up");
    assert_true(is.ranks == 2 && near(is.shared, was.shared) && near(is.beside_s, was.beside_s));
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
        for (int i = 0; i < TR_EXCHANGE_SIZES; i++)
            assert_true(was.time_s[kind][i] == 0 ? is.time_s[kind][i] == 0 : near(is.time_s[kind][i], was.time_s[kind][i]));
    tr_catalog_free(catalog);
}

static void of_cores_that_are_apart_no_kind_waits_for_memory_more_than_others(void **state)
{
    (void)state;
    struct tr_exchange_rates was = made_up("a-2", "threads", 2), is;
    was.hand_s = 40e-9;
    was.work_times[TR_OP_ADAMW] = 1.5;
    struct tr_catalog *catalog = file_of(&was, 1);
    assert_int_equal(tr_exchange_find(catalog, "threads", 2, &is, &err), TR_OK);
    assert_true(near(is.hand_s, 40e-9) && near(tr_exchange_shared(&is, TR_OP_ADAMW), 1.5 * was.shared));
    assert_false(tr_exchange_set_apart(&is, 0) || tr_exchange_set_apart(&is, 60e-9));
    assert_true(near(tr_exchange_shared(&is, TR_OP_ADAMW), 1.5 * was.shared));
    assert_true(tr_exchange_set_apart(&is, 190e-9));
    assert_true(near(tr_exchange_shared(&is, TR_OP_ADAMW), was.shared) && near(tr_exchange_step_error(&is, .05), tr_exchange_step_error(&was, .05)));
    is.hand_s = 0; /* an older record */
    assert_false(tr_exchange_set_apart(&is, 190e-9));
    tr_catalog_free(catalog);
}

static void what_runs_refined_reads_back_and_counts(void **state)
{
    (void)state;
    struct tr_exchange_rates was = made_up("a-2", "threads", 2), is;
    was.refined = (struct tr_refined){"2026-11-27", "12 345"};
    was.step_error = .08;
    was.work_times[TR_OP_ADAMW] = 1.5, was.work_runs[TR_OP_ADAMW] = .9;
    was.time_runs[TR_COLL_ALL_GATHER][1] = .4;
    struct tr_text text = {0};
    tr_text_append(&text, "sources: {runs: {title: runs, date: 2026-11-27, grade: measured}, "
                          "calibration: {title: c, date: 2026-11-26, grade: measured}}\nexchanges:\n");
    tr_exchange_yaml(&was, &text);
    struct tr_catalog *catalog;
    assert_int_equal(tr_catalog_open_empty(&catalog, &err), TR_OK);
    if (tr_catalog_add_text(catalog, "refined.yaml", tr_text_str(&text), text.len, &err) != TR_OK ||
        tr_exchange_find(catalog, "threads", 2, &is, &err) != TR_OK)
        fail_msg("%s", err.text);
    assert_true(tr_refined_runs(&is.refined) == 2 && tr_refined_knows(&is.refined, 345));
    assert_true(near(tr_exchange_shared(&is, TR_OP_ADAMW), 1.5 * 1.25) && near(is.work_runs[TR_OP_ADAMW], .9));
    assert_true(tr_exchange_shared(&is, TR_OP_LINEAR) == 1.25 && is.work_runs[TR_OP_LINEAR] == 0);
    assert_true(near(is.time_s[TR_COLL_ALL_GATHER][1], was.time_s[TR_COLL_ALL_GATHER][1]) && near(is.time_runs[TR_COLL_ALL_GATHER][1], .4));
    assert_true(near(tr_exchange_step_error(&is, .05), .08));
    struct tr_text again = {0};
    tr_exchange_yaml(&is, &again);
    assert_non_null(strstr(tr_text_str(&text), tr_text_str(&again))); /* by which it is found in its file */
    is.step_error = 0;
    assert_true(near(tr_exchange_step_error(&is, .05), .3)); /* as much again as ranks are in each other's way */
    tr_text_free(&again);
    tr_text_free(&text);
    tr_catalog_free(catalog);
}

static void weights_of_sizes_are_what_a_time_is_made_of(void **state)
{
    (void)state;
    struct tr_exchange_rates x = made_up("a", "threads", 2);
    for (double bytes = 100; bytes < 1e9; bytes *= 3) {
        double weight[TR_EXCHANGE_SIZES], times = tr_exchange_weights(bytes, weight), sum = 0, log_s = 0;
        for (int i = 0; i < TR_EXCHANGE_SIZES; i++) {
            sum += weight[i];
            log_s += weight[i] * log(x.time_s[TR_COLL_SEND][i]);
        }
        assert_true(near(sum, 1) && near(times * exp(log_s), tr_exchange_time(&x, TR_COLL_SEND, bytes)));
    }
}

static void the_record_of_as_many_ranks_is_taken_or_the_next(void **state)
{
    (void)state;
    struct tr_exchange_rates list[] = {made_up("a-4", "threads", 4), made_up("a-2", "threads", 2), made_up("m-8", "mpi", 8)}, is;
    struct tr_catalog *catalog = file_of(list, 3);
    static const struct {
        const char *transport;
        int ranks, found;
    } cases[] = {{"threads", 2, 2}, {"threads", 3, 4}, {"threads", 4, 4}, {"threads", 16, 4}, {"mpi", 2, 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(tr_exchange_find(catalog, cases[i].transport, cases[i].ranks, &is, &err), TR_OK);
        assert_int_equal(is.ranks, cases[i].found);
    }
    tr_catalog_free(catalog);
    catalog = file_of(list, 2);
    assert_int_equal(tr_exchange_find(catalog, "mpi", 2, &is, &err), TR_NO);
    tr_catalog_free(catalog);
}

static void a_record_that_cannot_be_is_refused_with_its_place(void **state)
{
    (void)state;
    struct tr_exchange_rates of_smoke = made_up("a-2", "smoke", 2), is;
    struct tr_catalog *catalog = file_of(&of_smoke, 1);
    assert_int_equal(tr_exchange_find(catalog, "threads", 2, &is, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "exchanges.yaml:5:");
    tr_assert_says(err.text, "transport: \"smoke\" is neither threads nor mpi");
    tr_catalog_free(catalog);
    struct tr_exchange_rates nameless = made_up("a-2", "threads", 2);
    nameless.refined = (struct tr_refined){"2026-11-27", "me \\\" and you"};
    catalog = file_of(&nameless, 1);
    assert_int_equal(tr_exchange_find(catalog, "threads", 2, &is, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "numbers with blanks between");
    tr_catalog_free(catalog);
    of_smoke = made_up("a-1", "threads", 1);
    catalog = file_of(&of_smoke, 1);
    assert_int_equal(tr_exchange_find(catalog, "threads", 2, &is, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "ranks");
    tr_catalog_free(catalog);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(between_sizes_the_time_lies_on_the_line_and_beyond_it_grows_with_the_bytes),
        cmocka_unit_test(what_was_not_measured_has_the_price_of_what_is_like_it),
        cmocka_unit_test(a_record_reads_back),
        cmocka_unit_test(of_cores_that_are_apart_no_kind_waits_for_memory_more_than_others),
        cmocka_unit_test(what_runs_refined_reads_back_and_counts),
        cmocka_unit_test(weights_of_sizes_are_what_a_time_is_made_of),
        cmocka_unit_test(the_record_of_as_many_ranks_is_taken_or_the_next),
        cmocka_unit_test(a_record_that_cannot_be_is_refused_with_its_place),
    };
    return cmocka_run_group_tests_name("silicon/cost/exchange", tests, tr_scratch_setup, tr_scratch_teardown);
}
