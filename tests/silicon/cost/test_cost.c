#include "silicon/cost/cost.h"

#include "lib/catalog.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct tr_rates rates_of(const char *name)
{
    struct tr_err err = {""};
    struct tr_chip chip;
    struct tr_rates rates = {0};
    if (tr_chip_find(catalog, name, &chip, &err) || tr_rates_make(&chip, &rates, &err))
        fail_msg("%s", err.text);
    return rates;
}

static void the_fits_of_the_program_are_right(void **state)
{
    struct tr_err err = {""};
    (void)state;
    if (tr_rates_check_all(catalog, &err))
        fail_msg("%s", err.text);
}

static void a_parameter_that_is_no_one_s_or_out_of_range_is_refused(void **state)
{
    static const struct {
        const char *yaml, *says;
    } cases[] = {
        {"fits: {h100-sxm: {gemm: {bf16: {sustaned: 0.9}}}}", "sustained"},
        {"fits: {h100-sxm: {gemm: {bf16: {sustained: 9}}}}", "sustained"},
        {"fits: {h100-sxm: {gemm: {bf16: {launch: 3}}}}", "launch"},
        {"fits: {h100-sxn: {gemm: {bf16: {sustained: 0.9}}}}", "h100-sxm"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tr_catalog *own;
        struct tr_err err = {""};
        assert_int_equal(tr_catalog_open(&own, &err), TR_OK);
        enum tr_status status = tr_catalog_add_text(own, "own.yaml", cases[i].yaml, strlen(cases[i].yaml), &err);
        if (status == TR_OK)
            status = tr_rates_check_all(own, &err);
        assert_int_equal(status, TR_BAD_INPUT);
        if (!strstr(err.text, cases[i].says))
            fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].says);
        tr_catalog_free(own);
    }
}

static void every_chip_of_the_catalog_has_a_price(void **state)
{
    (void)state;
    for (int i = 0; i < tr_catalog_count(catalog, TR_SECTION_CHIPS); i++) {
        const char *id = tr_catalog_entry(catalog, TR_SECTION_CHIPS, i)->id;
        struct tr_rates rates = rates_of(id);
        enum tr_format format = tr_cost_can(&rates, TR_FORMAT_BF16) ? TR_FORMAT_BF16 : TR_FORMAT_FP16;
        struct tr_cost cost = tr_cost_gemm(&rates, format, 8192, 8192, 8192, 1);
        double share = cost.flop / cost.time_s / rates.flop_s[tr_format_info(format)->rate];
        if (!(share > .4 && share < 1 && cost.error > 0 && cost.grade > TR_GRADE_NONE))
            fail_msg("%s: %.2f of its peak", id, share);
    }
}

static void no_product_is_faster_than_peak_and_memory_allow(void **state)
{
    static const char *const chips[] = {"a100", "h100", "b200"};
    static const int64_t sizes[] = {1, 7, 64, 129, 1000, 4096, 16384};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    (void)state;
    for (size_t c = 0; c < 3; c++) {
        struct tr_rates rates = rates_of(chips[c]);
        for (int i = 0; i < SIZES * SIZES * SIZES; i++) {
            int64_t m = sizes[i % SIZES], n = sizes[i / SIZES % SIZES], k = sizes[i / SIZES / SIZES];
            struct tr_cost cost = tr_cost_gemm(&rates, TR_FORMAT_BF16, m, n, k, 1);
            double weights_s = (double)n * (double)k * 2 / rates.memory_bytes_s;
            /* A burst may clock above the data sheet, by what the range of `sustained` allows. */
            assert_true(cost.time_s > cost.flop / rates.flop_s[TR_RATE_BF16] / 1.35);
            assert_true(cost.time_s > weights_s / 1.1);
            assert_true(isfinite(cost.time_s) && cost.error > 0 && cost.grade == TR_GRADE_INTERPOLATED);
        }
    }
}

static void large_products_are_bound_by_arithmetic_thin_by_memory_tiny_by_launch(void **state)
{
    struct tr_rates rates = rates_of("h100");
    (void)state;
    assert_int_equal(tr_cost_gemm(&rates, TR_FORMAT_BF16, 8192, 8192, 8192, 1).bound, TR_BOUND_ARITHMETIC);
    assert_int_equal(tr_cost_gemm(&rates, TR_FORMAT_BF16, 1, 8192, 8192, 1).bound, TR_BOUND_MEMORY);
    assert_int_equal(tr_cost_gemm(&rates, TR_FORMAT_BF16, 1, 64, 64, 1).bound, TR_BOUND_LAUNCH);
}

static void a_library_that_does_not_see_its_last_wave_is_never_faster_and_at_times_slower(void **state)
{
    struct tr_rates seeing = rates_of("a100"), blind = seeing;
    double most = 0;
    (void)state;
    seeing.gemm[TR_FIT_BF16].guess = blind.gemm[TR_FIT_BF16].guess = .001;
    seeing.gemm[TR_FIT_BF16].blind = 0;
    blind.gemm[TR_FIT_BF16].blind = 1;
    for (int64_t m = 2; m <= 4096; m *= 2)
        for (int64_t n = 64; n <= 8192; n += 448) {
            double times = tr_cost_gemm(&blind, TR_FORMAT_BF16, m, n, 2048, 1).time_s / tr_cost_gemm(&seeing, TR_FORMAT_BF16, m, n, 2048, 1).time_s;
            assert_true(times > .998);
            most = fmax(most, times);
        }
    assert_true(most > 1.1);
}

static void a_row_takes_its_bytes_and_at_most_the_wait_for_its_numbers(void **state)
{
    struct tr_rates rates = rates_of("a100");
    struct tr_gemm_rates *fit = &rates.gemm[TR_FIT_BF16];
    (void)state;
    fit->guess = .001; /* the fastest kernel alone */
    double once = tr_cost_gemm(&rates, TR_FORMAT_BF16, 1, 8192, 2048, 1).time_s, more = tr_cost_gemm(&rates, TR_FORMAT_BF16, 1, 16384, 2048, 1).time_s;
    double stream_s = 8192. * 2048 * 2 / (fit->memory_share * rates.memory_bytes_s);
    assert_true(fabs((more - once) / stream_s - 1) < .05); /* twice the rows: their bytes more, and no latency */
    assert_true(once > fit->launch_s + stream_s && once < 1.01 * (fit->launch_s + stream_s + fit->vector_s / 2));
}

static void a_batch_costs_less_than_its_products_one_by_one(void **state)
{
    struct tr_rates rates = rates_of("b200");
    (void)state;
    struct tr_cost one = tr_cost_gemm(&rates, TR_FORMAT_BF16, 256, 256, 128, 1);
    struct tr_cost many = tr_cost_gemm(&rates, TR_FORMAT_BF16, 256, 256, 128, 64);
    assert_true(many.time_s > one.time_s && many.time_s < 64 * one.time_s);
    assert_true(many.flop == 64 * one.flop && many.bytes == 64 * one.bytes);
}

static void a_format_without_units_costs_infinity(void **state)
{
    struct tr_rates rates = rates_of("a100");
    (void)state;
    assert_false(tr_cost_can(&rates, TR_FORMAT_FP8));
    assert_true(isinf(tr_cost_gemm(&rates, TR_FORMAT_FP8, 64, 64, 64, 1).time_s));
    assert_true(tr_cost_can(&rates, TR_FORMAT_INT4_WO));
}

static void a_chip_that_is_like_another_is_graded_transferred_and_one_like_none_assumed(void **state)
{
    static const char yaml[] =
        "chips:\n"
        "  mine: {like: h100-sxm, memory_bandwidth: {value: 4.8TB/s, grade: stated}}\n"
        "  guessed: {like: h100-sxm, memory_bandwidth: 4.8TB/s}\n"
        "  alone: {name: X, vendor: Y, year: 2026, dense: {bf16: 500TFLOP/s}, memory: 64GiB, memory_bandwidth: 3TB/s}\n";
    struct tr_err err = {""};
    (void)state;
    if (tr_catalog_add_text(catalog, "own.yaml", yaml, sizeof yaml - 1, &err))
        fail_msg("%s", err.text);
    struct tr_rates mine = rates_of("mine"), alone = rates_of("alone"), h100 = rates_of("h100");
    struct tr_cost thin = tr_cost_gemm(&mine, TR_FORMAT_BF16, 1, 16384, 16384, 1);
    assert_int_equal(thin.grade, TR_GRADE_TRANSFERRED);
    assert_true(thin.time_s < tr_cost_gemm(&h100, TR_FORMAT_BF16, 1, 16384, 16384, 1).time_s);
    assert_true(thin.error > tr_cost_gemm(&h100, TR_FORMAT_BF16, 1, 16384, 16384, 1).error);
    assert_int_equal(tr_cost_gemm(&alone, TR_FORMAT_BF16, 64, 64, 64, 1).grade, TR_GRADE_ASSUMED);
    struct tr_rates guessed = rates_of("guessed"); /* the chip's own numbers count too */
    assert_int_equal(tr_cost_gemm(&guessed, TR_FORMAT_BF16, 64, 64, 64, 1).grade, TR_GRADE_ASSUMED);
}

static const struct tr_attention usual = {.format = TR_FORMAT_BF16, .kv_format = TR_FORMAT_BF16, .batch = 4,
                                          .queries = 4096, .keys = 4096, .heads = 32, .kv_heads = 8, .head_dim = 128,
                                          .causal = true};

static void attention_counts_the_pairs_that_are_not_masked(void **state)
{
    struct tr_rates rates = rates_of("h100");
    struct tr_attention a = usual;
    (void)state;
    double heads = 4 * 32, pairs = 4096. * 4097 / 2;
    assert_true(tr_cost_attention(&rates, &a).flop == 4 * 128 * heads * pairs);
    a.window = 128; /* the first 128 queries see 1, 2, ... 128 keys, the others 128 */
    assert_true(tr_cost_attention(&rates, &a).flop == 4 * 128 * heads * (128. * 129 / 2 + 3968. * 128));
    a.window = 0;
    a.causal = false;
    assert_true(tr_cost_attention(&rates, &a).flop == 4 * 128 * heads * 4096 * 4096);
}

static void masks_windows_and_few_key_heads_save_time_and_backward_costs_more(void **state)
{
    struct tr_rates rates = rates_of("h100");
    struct tr_attention all = usual, window = usual, wide = usual;
    (void)state;
    all.causal = false;
    window.window = 128;
    wide.kv_heads = 32;
    double time_s = tr_cost_attention(&rates, &usual).time_s;
    assert_true(tr_cost_attention(&rates, &all).time_s > 1.5 * time_s);
    assert_true(tr_cost_attention(&rates, &window).time_s < .7 * time_s);
    assert_true(tr_cost_attention(&rates, &wide).time_s > time_s);
    assert_true(tr_cost_attention_backward(&rates, &usual).time_s > 2 * time_s);
    assert_true(tr_cost_attention_unfused(&rates, &usual, 12, 5).time_s > 2 * time_s);
}

/* What is prepared before it grows with the tokens, it with their square. */
static void attention_alone_is_what_long_contexts_take(void **state)
{
    struct tr_rates rates = rates_of("h100");
    struct tr_attention a = usual;
    double share_before = 1;
    (void)state;
    a.batch = 1;
    for (a.keys = 2048; a.keys <= 1 << 20; a.keys *= 8) {
        a.queries = a.keys, a.alone = false;
        double with_s = tr_cost_attention(&rates, &a).time_s;
        a.alone = true;
        double alone_s = tr_cost_attention(&rates, &a).time_s, share = 1 - alone_s / with_s;
        assert_true(share > 0 && share < share_before / 3);
        share_before = share;
    }
    assert_true(share_before < .001);
}

static void collectives_send_what_their_algorithm_must_and_no_faster_than_the_link(void **state)
{
    struct tr_rates rates = rates_of("h100");
    (void)state;
    assert_true(tr_collective_wire_bytes(TR_COLLECTIVE_ALL_REDUCE, 8, 800) == 1400);
    assert_true(tr_collective_wire_bytes(TR_COLLECTIVE_ALL_GATHER, 8, 800) == 700);
    for (int op = 0; op < TR_COLLECTIVE_COUNT; op++)
        for (int64_t ranks = 2; ranks <= 8; ranks *= 2) {
            double before = 0;
            for (double bytes = 1; bytes < 1e10; bytes *= 10) {
                struct tr_cost cost = tr_cost_collective(&rates, (enum tr_collective)op, ranks, bytes, 450e9);
                assert_true(cost.time_s >= before && cost.time_s > bytes / 2 / 450e9 && isfinite(cost.time_s));
                before = cost.time_s;
            }
            struct tr_cost small = tr_cost_collective(&rates, (enum tr_collective)op, ranks, 1, 450e9);
            struct tr_cost large = tr_cost_collective(&rates, (enum tr_collective)op, ranks, 1e10, 450e9);
            assert_true(small.bound == TR_BOUND_LAUNCH && large.bound == TR_BOUND_LINK);
        }
    assert_true(tr_cost_collective(&rates, TR_COLLECTIVE_ALL_REDUCE, 1, 1e9, 450e9).time_s == 0);
    for (int narrow = 0; narrow < 2; narrow++) { /* whole numbers of 8 bits are slower to sum, and no slower to send */
        double reduced = tr_cost_collective_of(&rates, TR_COLLECTIVE_ALL_REDUCE, narrow, 8, 1 << 28, 450e9).time_s;
        double gathered = tr_cost_collective_of(&rates, TR_COLLECTIVE_ALL_GATHER, narrow, 8, 1 << 28, 450e9).time_s;
        assert_true((reduced > tr_cost_collective(&rates, TR_COLLECTIVE_ALL_REDUCE, 8, 1 << 28, 450e9).time_s) == narrow);
        assert_true(gathered == tr_cost_collective(&rates, TR_COLLECTIVE_ALL_GATHER, 8, 1 << 28, 450e9).time_s);
    }
}

/* GB300 has the rates of GB200 and a sixth more power, an H100 PCIe half of the power and three quarters of the rate. */
static void products_under_load_run_as_fast_as_power_lets_them(void **state)
{
    struct tr_rates b200 = rates_of("b200"), gb200 = rates_of("gb200"), gb300 = rates_of("gb300");
    struct tr_rates sxm = rates_of("h100-sxm"), pcie = rates_of("h100-pcie"), h20 = rates_of("h20");
    (void)state;
    double of_b200 = b200.gemm[TR_FIT_BF16].sustained, of_h100 = sxm.gemm[TR_FIT_BF16].sustained;
    assert_true(fabs(gb300.gemm[TR_FIT_BF16].sustained / of_b200 - cbrt(1.4 * 2250 / 2500)) < 1e-6);
    assert_true(fabs(gb300.gemm[TR_FIT_FP8].sustained / gb200.gemm[TR_FIT_FP8].sustained - cbrt(1400. / 1200)) < 1e-6);
    assert_true(pcie.gemm[TR_FIT_BF16].sustained < .9 * of_h100 && pcie.gemm[TR_FIT_BF16].sustained > .8 * of_h100);
    assert_true(fabs(h20.gemm[TR_FIT_BF16].sustained / of_h100 - 1.1) < 1e-9); /* its clock is the limit, not its power */
}

static void softmax_is_faster_with_more_exponentials(void **state)
{
    struct tr_rates b200 = rates_of("b200"), more = b200, ultra = rates_of("b300");
    struct tr_attention a = {.format = TR_FORMAT_BF16, .kv_format = TR_FORMAT_BF16, .batch = 1, .queries = 8192,
                             .keys = 8192, .heads = 64, .kv_heads = 8, .head_dim = 128, .causal = true};
    (void)state;
    assert_true(b200.exponents == 1 && ultra.exponents == 2);
    more.exponents = 2;
    double once = tr_cost_attention(&b200, &a).time_s, twice = tr_cost_attention(&more, &a).time_s;
    assert_true(twice < .95 * once && twice > .5 * once);
}

/* An array of 256 x 256 is half idle in attention of 128 dims and in products of so deep a sum; two short sides lie on it in the
 * better way. */
static void a_systolic_array_is_idle_where_a_side_is_shorter(void **state)
{
    struct tr_rates v6e = rates_of("tpu-v6e"), small = v6e, h100 = rates_of("h100-sxm");
    struct tr_attention a = {.format = TR_FORMAT_BF16, .kv_format = TR_FORMAT_BF16, .batch = 1, .queries = 8192, .keys = 8192,
                             .heads = 64, .kv_heads = 8, .head_dim = 128, .causal = true, .alone = true};
    (void)state;
    assert_true(v6e.array_side == 256 && h100.array_side == 1);
    small.array_side = 128;
    double large_s = tr_cost_attention(&v6e, &a).time_s, small_s = tr_cost_attention(&small, &a).time_s;
    assert_true(large_s > 1.3 * small_s && large_s < 2.01 * small_s);
    a.head_dim = 256;
    assert_true(tr_cost_attention(&v6e, &a).time_s == tr_cost_attention(&small, &a).time_s);
    double deep_s = tr_cost_gemm(&v6e, TR_FORMAT_BF16, 16384, 16384, 128, 1).time_s; /* mostly memory */
    assert_true(deep_s > tr_cost_gemm(&small, TR_FORMAT_BF16, 16384, 16384, 128, 1).time_s);
    assert_true(tr_cost_gemm(&v6e, TR_FORMAT_BF16, 16384, 128, 16384, 1).time_s ==
                tr_cost_gemm(&small, TR_FORMAT_BF16, 16384, 128, 16384, 1).time_s);
}

static void chips_without_links_talk_through_their_slot(void **state)
{
    struct tr_rates rates = rates_of("l40s");
    (void)state;
    double two = tr_cost_collective(&rates, TR_COLLECTIVE_ALL_REDUCE, 2, 1 << 27, rates.link_bytes_s).time_s;
    double eight = tr_cost_collective(&rates, TR_COLLECTIVE_ALL_REDUCE, 8, 1 << 27, rates.link_bytes_s).time_s;
    /* Measured (AIConfigurator, NCCL 2.27.3): 6.7 and 162 ms for 128 MiB. */
    assert_true(fabs(two / 6.72e-3 - 1) < .25 && fabs(eight / 162e-3 - 1) < .25);
}

static void sums_add_times_and_keep_the_worse_grade(void **state)
{
    (void)state;
    struct tr_cost a = {.time_s = 3, .error = .1, .grade = TR_GRADE_MEASURED, .bound = TR_BOUND_MEMORY};
    struct tr_cost b = {.time_s = 1, .error = .5, .grade = TR_GRADE_ASSUMED};
    struct tr_cost sum = tr_cost_add(a, b), twice = tr_cost_times(sum, 2);
    assert_true(sum.time_s == 4 && fabs(sum.error - .2) < 1e-12 && sum.grade == TR_GRADE_ASSUMED);
    assert_int_equal(sum.bound, TR_BOUND_MEMORY);
    assert_true(twice.time_s == 8 && twice.error == sum.error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fits_of_the_program_are_right),
        cmocka_unit_test(a_parameter_that_is_no_one_s_or_out_of_range_is_refused),
        cmocka_unit_test(every_chip_of_the_catalog_has_a_price),
        cmocka_unit_test(no_product_is_faster_than_peak_and_memory_allow),
        cmocka_unit_test(large_products_are_bound_by_arithmetic_thin_by_memory_tiny_by_launch),
        cmocka_unit_test(a_library_that_does_not_see_its_last_wave_is_never_faster_and_at_times_slower),
        cmocka_unit_test(a_row_takes_its_bytes_and_at_most_the_wait_for_its_numbers),
        cmocka_unit_test(a_batch_costs_less_than_its_products_one_by_one),
        cmocka_unit_test(a_format_without_units_costs_infinity),
        cmocka_unit_test(attention_counts_the_pairs_that_are_not_masked),
        cmocka_unit_test(attention_alone_is_what_long_contexts_take),
        cmocka_unit_test(masks_windows_and_few_key_heads_save_time_and_backward_costs_more),
        cmocka_unit_test(collectives_send_what_their_algorithm_must_and_no_faster_than_the_link),
        cmocka_unit_test(sums_add_times_and_keep_the_worse_grade),
        cmocka_unit_test(products_under_load_run_as_fast_as_power_lets_them),
        cmocka_unit_test(softmax_is_faster_with_more_exponentials),
        cmocka_unit_test(a_systolic_array_is_idle_where_a_side_is_shorter),
        cmocka_unit_test(chips_without_links_talk_through_their_slot),
        cmocka_unit_test(a_chip_that_is_like_another_is_graded_transferred_and_one_like_none_assumed),
    };
    return cmocka_run_group_tests(tests, tr_catalog_setup, tr_catalog_teardown);
}
