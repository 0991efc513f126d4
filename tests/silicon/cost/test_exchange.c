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
    tr_text_append(&text, "sources:\n  calibration: {title: made up, date: 2026-01-01, grade: measured}\nexchanges:\n");
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
    tr_assert_says(err.text, "exchanges.yaml:4:");
    tr_assert_says(err.text, "transport: \"smoke\" is neither threads nor mpi");
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
        cmocka_unit_test(the_record_of_as_many_ranks_is_taken_or_the_next),
        cmocka_unit_test(a_record_that_cannot_be_is_refused_with_its_place),
    };
    return cmocka_run_group_tests_name("silicon/cost/exchange", tests, tr_scratch_setup, tr_scratch_teardown);
}
