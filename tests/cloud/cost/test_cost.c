#include "cloud/cost/cost.h"

#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct tr_catalog *open_with(const char *yaml)
{
    struct tr_catalog *catalog = NULL;
    struct tr_err err = {""};
    if (tr_catalog_open(&catalog, &err) ||
        (yaml && tr_catalog_add_text(catalog, "own.yaml", yaml, strlen(yaml), &err)))
        fail_msg("%s", err.text);
    return catalog;
}

static struct tr_system system_of(const struct tr_catalog *catalog, const char *name)
{
    struct tr_system system;
    struct tr_err err = {""};
    if (tr_system_find(catalog, name, &system, &err))
        fail_msg("%s", err.text);
    return system;
}

static struct tr_price price_of(const struct tr_catalog *catalog, const char *system_name, enum tr_commitment commitment,
                                const char *provider, const char *date)
{
    struct tr_system system = system_of(catalog, system_name);
    struct tr_price_query query = {.commitment = commitment, .provider = provider, .date = date};
    struct tr_price price;
    struct tr_err err = {""};
    if (tr_price_find(catalog, &system, &query, &price, &err))
        fail_msg("%s", err.text);
    return price;
}

static struct tr_failures failures_of(const struct tr_catalog *catalog, const char *system_name,
                                      enum tr_commitment commitment)
{
    struct tr_system system = system_of(catalog, system_name);
    struct tr_failures failures;
    struct tr_err err = {""};
    if (tr_failures_for(catalog, &system, commitment, &failures, &err))
        fail_msg("%s", err.text);
    return failures;
}

static struct tr_place site_of(const struct tr_catalog *catalog, const char *system_name, const char *region)
{
    struct tr_system system = system_of(catalog, system_name);
    struct tr_place site;
    struct tr_err err = {""};
    if (tr_place_for(catalog, &system, region, &site, &err))
        fail_msg("%s", err.text);
    return site;
}

static void near(double value, double expected, double relative)
{
    if (!(fabs(value - expected) <= relative * fabs(expected)))
        fail_msg("%.12g is not %.12g", value, expected);
}

static void every_price_site_and_failure_that_the_program_brings_is_right(void **state)
{
    (void)state;
    struct tr_err err = {""};
    struct tr_catalog *catalog = open_with(NULL);
    if (tr_cloud_cost_check_all(catalog, &err))
        fail_msg("%s", err.text);
    tr_catalog_free(catalog);
}

static void the_newest_offer_up_to_the_date_counts(void **state)
{
    (void)state;
    struct tr_catalog *catalog = open_with(NULL);
    near(price_of(catalog, "aws-p5", TR_COMMITMENT_ON_DEMAND, NULL, NULL).usd_h.value, 55.04 / 8, 1e-12);
    near(price_of(catalog, "aws-p5", TR_COMMITMENT_ON_DEMAND, NULL, "2025-05").usd_h.value, 98.32 / 8, 1e-12);
    near(price_of(catalog, "aws-p5", TR_COMMITMENT_ON_DEMAND, NULL, "2025").usd_h.value, 55.04 / 8, 1e-12);
    struct tr_price none = price_of(catalog, "aws-p5", TR_COMMITMENT_ON_DEMAND, NULL, "2023");
    assert_int_equal(none.usd_h.grade, TR_GRADE_NONE);
    assert_true(strcmp(none.since, "2023") > 0 && price_of(catalog, "aws-p5", TR_COMMITMENT_ON_DEMAND, NULL, none.since).usd_h.value > 0);
    assert_int_equal(price_of(catalog, "aws-p5", TR_COMMITMENT_ON_DEMAND, NULL, "2025").since[0], 0);
    tr_catalog_free(catalog);
}

static void a_system_of_nobody_is_priced_by_the_median_of_all_who_offer_its_chip(void **state)
{
    (void)state;
    struct tr_catalog *catalog = open_with(NULL);
    struct tr_price price = price_of(catalog, "dgx-h100", TR_COMMITMENT_ON_DEMAND, NULL, NULL);
    assert_true(price.offers >= 8 && price.low < price.usd_h.value && price.usd_h.value < price.high);
    assert_true(price.usd_h.source && price.provider[0]);
    for (int i = 0; i < price.offers; i++) {
        assert_true(price.offer[i].usd_h.source && price.offer[i].usd_h.date[0] && price.usd_h.grade >= price.offer[i].usd_h.grade);
        assert_true(i == 0 || price.offer[i].usd_h.value >= price.offer[i - 1].usd_h.value);
    }
    assert_string_equal(price.provider, price.offer[price.middle].provider);
    char words[TR_PRICE_WORDS_BYTES];
    assert_non_null(strstr(tr_price_words(&price, words), price.provider));
    assert_null(strstr(words, " offers of "));
    price = price_of(catalog, "dgx-h100", TR_COMMITMENT_ON_DEMAND, "azure", NULL);
    near(price.usd_h.value, 127.816 / 8, 1e-12);
    assert_int_equal(price.offers, 1);
    tr_catalog_free(catalog);
}

/* AWS's blocks of 2024 beside what all take since: cheaper than AWS by the hour, dearer than most others. */
static void a_way_to_pay_that_is_dearer_than_by_the_hour_says_so(void **state)
{
    (void)state;
    struct tr_catalog *catalog = open_with(NULL);
    char words[TR_PRICE_WORDS_BYTES];
    struct tr_price hourly = price_of(catalog, "dgx-h100", TR_COMMITMENT_ON_DEMAND, NULL, NULL);
    struct tr_price block = price_of(catalog, "dgx-h100", TR_COMMITMENT_RESERVED_1Y, NULL, NULL);
    assert_true(tr_price_is_dearer(&block, &hourly));
    assert_string_equal(tr_price_dearer_words(&block, &hourly, words),
                        "; older, and dearer than on_demand, so nobody would take it (aws p5.48xlarge on_demand: $6.88, 2025-06-05)");
    struct tr_price spot = price_of(catalog, "dgx-h100", TR_COMMITMENT_SPOT, NULL, NULL);
    assert_string_equal(tr_price_dearer_words(&spot, &hourly, words), "");
    hourly = price_of(catalog, "dgx-h100", TR_COMMITMENT_ON_DEMAND, "aws", NULL); /* one seller: like with like */
    assert_false(tr_price_is_dearer(&block, &hourly));
    hourly = price_of(catalog, "dgx-h100", TR_COMMITMENT_ON_DEMAND, NULL, "1999");
    assert_string_equal(tr_price_dearer_words(&block, &hourly, words), "");
    tr_catalog_free(catalog);
}

static void of_two_offers_the_price_is_their_mean(void **state)
{
    (void)state;
    struct tr_catalog *catalog =
        open_with("chips:\n  x1: {like: h100-sxm, name: X1}\nsystems:\n  lab: {like: dgx-h100, name: Lab, chip: x1}\n"
                  "prices:\n  a: {provider: a, chip: x1, chips: 1, on_demand: $2/h}\n"
                  "  b: {provider: b, chip: x1, chips: 8, on_demand: $32/h}\n");
    struct tr_price price = price_of(catalog, "lab", TR_COMMITMENT_ON_DEMAND, NULL, NULL);
    near(price.usd_h.value, 3, 1e-12);
    assert_true(price.offers == 2 && price.low == 2 && price.high == 4 && strcmp(price.provider, "b") == 0);
    tr_catalog_free(catalog);
}

static void a_chip_that_nobody_offers_has_the_price_of_the_one_it_is_like_and_says_so(void **state)
{
    (void)state;
    struct tr_catalog *catalog = open_with(NULL);
    struct tr_price price = price_of(catalog, "hgx-h100-96", TR_COMMITMENT_ON_DEMAND, NULL, NULL);
    char words[TR_PRICE_WORDS_BYTES];
    assert_int_equal(price.usd_h.grade, TR_GRADE_TRANSFERRED);
    assert_non_null(strstr(tr_price_words(&price, words), " offers of h100-sxm, "));
    near(price.usd_h.value, price_of(catalog, "dgx-h100", TR_COMMITMENT_ON_DEMAND, NULL, NULL).usd_h.value, 0);
    price = price_of(catalog, "atlas-800-910b", TR_COMMITMENT_SPOT, NULL, NULL);
    assert_true(price.usd_h.grade == TR_GRADE_NONE && price.offers == 0);
    tr_catalog_free(catalog);
}

static void a_user_s_own_offer_goes_before_all_others(void **state)
{
    (void)state;
    struct tr_catalog *catalog =
        open_with("systems:\n  mine: {like: dgx-h100, name: Mine, operator: me}\n"
                  "prices:\n  mine: {provider: me, system: mine, chips: 8, on_demand: $12/h, owned: $9.6/h}\n");
    near(price_of(catalog, "mine", TR_COMMITMENT_ON_DEMAND, NULL, NULL).usd_h.value, 1.5, 1e-12);
    near(price_of(catalog, "mine", TR_COMMITMENT_OWNED, NULL, NULL).usd_h.value, 1.2, 1e-12);
    tr_catalog_free(catalog);
}

static void bad_entries_and_unknown_names_get_a_sentence(void **state)
{
    static const struct {
        const char *yaml, *says;
    } cases[] = {
        {"prices: {x: {provider: me, chip: h100-sxm, chips: 8, on_demand: 12}}", "own.yaml:1:65: prices.x.on_demand: a "
                                                                                "number without its unit"},
        {"prices: {x: {provider: me, chip: h100-sxn, chips: 8, on_demand: $1/h}}", "did you mean h100-sxm"},
        {"prices: {x: {provider: me, chips: 8, on_demand: $1/h}}", "neither `chip` nor `system`"},
        {"prices: {x: {provider: me, chip: h100, chips: 8}}", "no price"},
        {"prices: {x: {provider: me, chip: h100, chips: 8, on_demnd: $1/h}}", "on_demand"},
        {"prices: {x: {provider: me, chip: h100, chips: 0, on_demand: $1/h}}", "prices.x.chips"},
        {"prices: {x: {provider: me, system: dgx-h10, chips: 8, on_demand: $1/h}}", "dgx-h100"},
        {"sites: {x: {name: X, carbon: 300}}", "unit"},
        {"sites: {x: {name: X, pue: 0.5}}", "sites.x.pue"},
        {"failures: {x: {name: X, chips: 8, span: 3d}}", "nothing says how often"},
        {"failures: {x: {name: X, chip_life: 3}}", "unit"},
        {"failures: {x: {name: X, chip_life: 3d, system: dgx-h10}}", "dgx-h100"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tr_err err = {""};
        struct tr_catalog *catalog = open_with(cases[i].yaml);
        assert_int_equal(tr_cloud_cost_check_all(catalog, &err), TR_BAD_INPUT);
        if (!strstr(err.text, cases[i].says))
            fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].says);
        tr_catalog_free(catalog);
    }
    struct tr_catalog *catalog = open_with(NULL);
    struct tr_system system = system_of(catalog, "dgx-h100");
    struct tr_price_query query = {.commitment = TR_COMMITMENT_SPOT, .provider = "azur"};
    struct tr_price price;
    struct tr_place site;
    struct tr_err err = {""};
    assert_int_equal(tr_price_find(catalog, &system, &query, &price, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "did you mean azure?"));
    assert_int_equal(tr_place_for(catalog, &system, "frnace", &site, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "france"));
    tr_catalog_free(catalog);
}

static void a_site_is_put_together_of_region_operator_and_anywhere(void **state)
{
    (void)state;
    struct tr_catalog *catalog = open_with(NULL);
    struct tr_place site = site_of(catalog, "aws-p5", "sweden");
    near(site.pue.value, 1.15, 0);
    near(site.carbon_g_kwh.value, 41, 0);
    near(site.load.value, .76, 1e-12);
    site = site_of(catalog, "dgx-h100", NULL);
    near(site.pue.value, 1.52, 0);
    near(site.carbon_g_kwh.value, 480, 0);
    tr_catalog_free(catalog);
}

static void lives_of_chips_follow_from_what_was_counted(void **state)
{
    (void)state;
    struct tr_catalog *catalog = open_with("failures: {mine: {name: Mine, system: dgx-b200, chip_life: 1000d}}");
    struct tr_failures failures = failures_of(catalog, "dgx-h100", TR_COMMITMENT_ON_DEMAND);
    assert_string_equal(failures.id, "meta-llama3");
    near(tr_failures_mtbf(&failures, 16384), 54. * 86400 / 419, 1e-12); /* 3.1 hours */
    near(tr_failures_mtbf(&failures, 1024) / tr_failures_mtbf(&failures, 16384), 16, 1e-12);
    assert_string_equal(failures_of(catalog, "dgx-b200", TR_COMMITMENT_ON_DEMAND).id, "mine");
    assert_string_equal(failures_of(catalog, "dgx-a100", TR_COMMITMENT_ON_DEMAND).id, "meta-rsc-1");
    failures = failures_of(catalog, "dgx-h100", TR_COMMITMENT_SPOT);
    near(tr_failures_mtbf(&failures, 8), 1.9 * 3600, 1e-3); /* taken away long before anything breaks */
    tr_catalog_free(catalog);
}

static void the_best_interval_is_where_goodput_is_highest_and_the_formulas_approach_it(void **state)
{
    static const double saves[] = {.01, 1, 30, 300, 3600}, lives[] = {600, 11136, 86400, 3e6};
    (void)state;
    for (size_t i = 0; i < 5; i++)
        for (size_t j = 0; j < 4; j++) {
            double save = saves[i], mtbf = lives[j], best = tr_interval_best(save, mtbf);
            double top = tr_goodput(best, save, 600, mtbf);
            for (double factor = .25; factor < 4; factor += .125)
                if (best * factor > 0)
                    assert_true(tr_goodput(best * factor, save, 600, mtbf) <= top * (1 + 1e-9));
            if (save < mtbf / 20) {
                near(tr_interval_daly(save, mtbf), best, 2e-3);
                near(tr_interval_young(save, mtbf), best, .25);
            }
        }
    assert_true(tr_interval_daly(7200, 3600) == 3600);
    assert_true(isinf(tr_interval_best(1, INFINITY)) && tr_goodput(INFINITY, 1, 1, INFINITY) == 1);
    near(tr_goodput(0, 0, 60, 3600), exp(-1. / 60), 1e-12);
}

/* Independent truth: interruptions drawn at random, the same rules walked through one by one. */
static double simulated(double interval_s, double save_s, double recover_s, double mtbf_s)
{
    enum { SEGMENTS = 60000 };
    struct tr_rng_key key = tr_rng_key(7, "interruptions", 0);
    double wall = 0, next = 0;
    uint64_t draws = 0;
    for (int done = 0; done < SEGMENTS; done++) {
        bool recovering = false;
        for (;;) {
            double need = interval_s + save_s + (recovering ? recover_s : 0);
            next = -mtbf_s * log1p(-tr_rng_double(key, draws++)); /* no memory: drawn anew each time */
            if (next >= need) {
                wall += need;
                break;
            }
            wall += next;
            recovering = true;
        }
    }
    return SEGMENTS * interval_s / wall;
}

static void goodput_is_what_a_walk_through_random_interruptions_gives(void **state)
{
    (void)state;
    near(tr_goodput(600, 30, 0, 3600), simulated(600, 30, 0, 3600), .01);
    near(tr_goodput(1800, 60, 300, 7200), simulated(1800, 60, 300, 7200), .02);
}

static void llama_3_kept_more_than_nine_tenths_of_its_time(void **state)
{
    (void)state;
    struct tr_catalog *catalog = open_with("sites: {fast: {name: Fast, storage: 1GB/s}}"); /* 2 TB/s in all */
    struct tr_system system = system_of(catalog, "meta-llama3");
    struct tr_failures failures = failures_of(catalog, "meta-llama3", TR_COMMITMENT_ON_DEMAND);
    struct tr_place site = site_of(catalog, "meta-llama3", "fast");
    struct tr_job job = {.system = &system, .chips = 16384, .busy_s = 50 * 86400, .state_bytes = 405e9 * 14,
                         .failures = &failures, .site = &site};
    struct tr_job_cost cost = tr_job_cost(&job);
    near(cost.write_s, 405e9 * 14 / 2048e9, 1e-12);
    near(cost.goodput, .93, .01);
    near(cost.failures, cost.wall_s / 86400 * 419 / 54, 1e-9);
    near(cost.wall_s * cost.goodput, job.busy_s, 1e-12);
    job.background = true;
    assert_true(tr_job_cost(&job).save_s < cost.save_s && tr_job_cost(&job).goodput > .9);
    tr_catalog_free(catalog);
}

static void dollars_energy_and_carbon_are_products_of_what_is_known(void **state)
{
    (void)state;
    struct tr_catalog *catalog = open_with(NULL);
    struct tr_system system = system_of(catalog, "aws-p5");
    struct tr_price price = price_of(catalog, "aws-p5", TR_COMMITMENT_ON_DEMAND, NULL, NULL);
    struct tr_place site = site_of(catalog, "aws-p5", "us");
    struct tr_job job = {.system = &system, .chips = 1020, .busy_s = 86400, .price = &price, .site = &site};
    struct tr_job_cost cost = tr_job_cost(&job);
    near(cost.goodput, 1, 0);
    near(cost.chip_hours, 1020 * 24, 1e-12);
    near(cost.usd, 1020 * 24 * 6.88, 1e-12);
    near(cost.energy_j, 128 * 10.2e3 * .76 * 1.14 * 1.15 * 86400, 1e-12); /* whole nodes */
    near(cost.carbon_g, cost.energy_j / 3.6e6 * 369, 1e-12);
    job.price = NULL;
    job.site = NULL;
    cost = tr_job_cost(&job);
    assert_true(isnan(cost.usd) && isnan(cost.energy_j) && isnan(cost.carbon_g));
    tr_catalog_free(catalog);
}

static void a_node_s_power_is_taken_from_its_chips_where_nobody_says_it(void **state)
{
    (void)state;
    struct tr_catalog *catalog = open_with(NULL);
    struct tr_system system = system_of(catalog, "tpu-v5p-pod");
    struct tr_place site = site_of(catalog, "tpu-v5p-pod", NULL);
    struct tr_job job = {.system = &system, .chips = 4, .busy_s = 1, .site = &site};
    near(tr_job_cost(&job).power_w, 4 * 540 * 1.8 * .76 * 1.14 * 1.52, 1e-12);
    tr_catalog_free(catalog);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_price_site_and_failure_that_the_program_brings_is_right),
        cmocka_unit_test(the_newest_offer_up_to_the_date_counts),
        cmocka_unit_test(a_system_of_nobody_is_priced_by_the_median_of_all_who_offer_its_chip),
        cmocka_unit_test(a_way_to_pay_that_is_dearer_than_by_the_hour_says_so),
        cmocka_unit_test(of_two_offers_the_price_is_their_mean),
        cmocka_unit_test(a_chip_that_nobody_offers_has_the_price_of_the_one_it_is_like_and_says_so),
        cmocka_unit_test(a_user_s_own_offer_goes_before_all_others),
        cmocka_unit_test(bad_entries_and_unknown_names_get_a_sentence),
        cmocka_unit_test(a_site_is_put_together_of_region_operator_and_anywhere),
        cmocka_unit_test(lives_of_chips_follow_from_what_was_counted),
        cmocka_unit_test(the_best_interval_is_where_goodput_is_highest_and_the_formulas_approach_it),
        cmocka_unit_test(goodput_is_what_a_walk_through_random_interruptions_gives),
        cmocka_unit_test(llama_3_kept_more_than_nine_tenths_of_its_time),
        cmocka_unit_test(dollars_energy_and_carbon_are_products_of_what_is_known),
        cmocka_unit_test(a_node_s_power_is_taken_from_its_chips_where_nobody_says_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
