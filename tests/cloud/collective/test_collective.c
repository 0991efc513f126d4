#include "cloud/collective/collective.h"

#include "lib/catalog.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct place {
    struct tr_system system;
    struct tr_rates rates;
};

static struct place place_of(const char *name)
{
    struct place place = {.rates = {.cores = 0}};
    struct tr_err err = {""};
    if (tr_system_find(catalog, name, &place.system, &err) || tr_rates_make(&place.system.chip, &place.rates, &err))
        fail_msg("%s", err.text);
    return place;
}

static double bus_gb_s(const struct place *p, int64_t nodes, double bytes)
{
    struct tr_group group = {.ranks = 8 * nodes, .local = 8, .sharing = 1};
    double n = 8. * (double)nodes;
    return 2 * (n - 1) / n * bytes / tr_collective_price(&p->system, &p->rates, TR_COLLECTIVE_ALL_REDUCE, &group, bytes).time_s /
           1e9;
}

/* Published: ml-engineering's network benchmarks and AWS' tables, large messages. */
static void large_all_reduces_across_nodes_reach_about_what_was_published(void **state)
{
    struct place h100 = place_of("dgx-h100"), b200 = place_of("dgx-b200");
    double gib16 = 16. * 1024 * 1024 * 1024;
    (void)state;
    assert_true(fabs(bus_gb_s(&b200, 4, gib16) / 382 - 1) < .12);
    assert_true(fabs(bus_gb_s(&h100, 2, gib16) / 487 - 1) < .15);
    struct place a100 = place_of("dgx-a100");
    struct tr_tier *network = &a100.system.tier[a100.system.tier_count - 1];
    network->kind = TR_LINK_EFA, network->bytes_s.value = 50e9 / 8; /* p4de */
    assert_true(fabs(bus_gb_s(&a100, 2, gib16) / 78 - 1) < .15);
}

/* Over InfiniBand the library's rings carry (n - 1) / n of twice the bytes among two nodes too. */
static void two_nodes_without_a_plugin_or_reducing_switches_sum_in_rings(void **state)
{
    struct place a100 = place_of("dgx-a100"), h100 = place_of("dgx-h100");
    double gib16 = 16. * 1024 * 1024 * 1024, cards = 8 * .9 * a100.system.tier[a100.system.tier_count - 1].bytes_s.value / 1e9;
    (void)state;
    assert_true(fabs(bus_gb_s(&a100, 2, gib16) / cards - 1) < .02);
    assert_true(fabs(bus_gb_s(&a100, 2, gib16) / bus_gb_s(&a100, 4, gib16) - 1) < .02);
    assert_true(bus_gb_s(&h100, 2, gib16) > 1.05 * bus_gb_s(&h100, 4, gib16));
}

static double all_to_all_s(const struct place *p, struct tr_group group)
{
    return tr_collective_price(&p->system, &p->rates, TR_COLLECTIVE_ALL_TO_ALL, &group, 1e9).time_s;
}

/* Pods of 3,072 chips of full bisection, and a seventh of it between them: who stays in a pod sees nothing of that, and rings
 * leave it once for all of a pod's nodes. */
static void a_group_talks_over_the_narrowest_tier_that_holds_it(void **state)
{
    struct place pods = place_of("meta-llama3"), one = place_of("meta-llama3");
    struct tr_group inside = {.ranks = 16, .local = 1, .sharing = 8, .stride = 8, .job = 24576};
    struct tr_group ring = {.ranks = 3072, .local = 1, .sharing = 8, .stride = 8, .job = 24576};
    struct tr_group few = {.ranks = 8, .local = 1, .sharing = 8, .stride = 3072, .job = 24576}, job = few;
    (void)state;
    one.system.tier[2].oversubscription.value = 1;
    assert_true(all_to_all_s(&pods, inside) == all_to_all_s(&one, inside));
    assert_true(all_to_all_s(&pods, ring) > 6 * all_to_all_s(&one, ring));
    struct tr_cost (*price)(const struct tr_system *, const struct tr_rates *, enum tr_collective, const struct tr_group *,
                            double) = tr_collective_price;
    assert_true(price(&pods.system, &pods.rates, TR_COLLECTIVE_ALL_GATHER, &ring, 1e9).time_s ==
                price(&one.system, &one.rates, TR_COLLECTIVE_ALL_GATHER, &ring, 1e9).time_s);
    assert_true(price(&pods.system, &pods.rates, TR_COLLECTIVE_ALL_GATHER, &few, 1e9).time_s >
                6 * price(&one.system, &one.rates, TR_COLLECTIVE_ALL_GATHER, &few, 1e9).time_s);
    job.stride = 100, job.job = 1000; /* no part of a pod, but all of it is there */
    assert_true(all_to_all_s(&pods, job) == all_to_all_s(&one, job));
}

/* 64 chips of an UltraServer have rings of their own beside the network. */
static void a_tier_between_links_and_network_is_used(void **state)
{
    struct place p = place_of("aws-trn2-ultra");
    struct tr_group near = {.ranks = 4, .local = 1, .sharing = 16, .stride = 16, .job = 128}, far = near;
    (void)state;
    far.stride = 32;
    assert_true(all_to_all_s(&p, far) > 4 * all_to_all_s(&p, near));
}

static void groups_that_share_cards_get_their_part(void **state)
{
    struct place p = place_of("dgx-h100");
    (void)state;
    struct tr_group alone = {.ranks = 16, .local = 1, .sharing = 1}, shared = {.ranks = 16, .local = 1, .sharing = 8};
    double one = tr_collective_price(&p.system, &p.rates, TR_COLLECTIVE_ALL_REDUCE, &alone, 1e9).time_s;
    double eight = tr_collective_price(&p.system, &p.rates, TR_COLLECTIVE_ALL_REDUCE, &shared, 1e9).time_s;
    assert_true(eight > 7 * one && eight < 8 * one);
}

static void a_group_in_one_node_is_priced_by_its_links_and_one_rank_is_free(void **state)
{
    struct place p = place_of("dgx-h100");
    struct tr_group node = {.ranks = 8, .local = 8, .sharing = 1}, one = {.ranks = 1, .local = 1, .sharing = 1};
    (void)state;
    struct tr_cost cost = tr_collective_price(&p.system, &p.rates, TR_COLLECTIVE_ALL_GATHER, &node, 1e8);
    assert_true(cost.time_s == tr_cost_collective(&p.rates, TR_COLLECTIVE_ALL_GATHER, 8, 1e8, 450e9).time_s);
    assert_int_equal(cost.grade, TR_GRADE_INTERPOLATED);
    assert_true(tr_collective_price(&p.system, &p.rates, TR_COLLECTIVE_ALL_REDUCE, &one, 1e8).time_s == 0);
}

static void more_nodes_never_cost_less_and_a_send_over_a_card_more_than_over_links(void **state)
{
    static const enum tr_collective ops[] = {TR_COLLECTIVE_ALL_REDUCE, TR_COLLECTIVE_ALL_GATHER,
                                             TR_COLLECTIVE_REDUCE_SCATTER, TR_COLLECTIVE_ALL_TO_ALL};
    struct place p = place_of("dgx-h100");
    (void)state;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        for (double bytes = 1e3; bytes < 1e11; bytes *= 100) {
            double before = 0;
            for (int64_t nodes = 1; nodes <= 512; nodes *= 2) {
                struct tr_group group = {.ranks = 8 * nodes, .local = 8, .sharing = 1};
                double now = tr_collective_price(&p.system, &p.rates, ops[i], &group, bytes).time_s;
                assert_true(now >= before);
                before = now;
            }
        }
    struct tr_group across = {.ranks = 2, .local = 1, .sharing = 1}, inside = {.ranks = 2, .local = 2, .sharing = 1};
    assert_true(tr_send_price(&p.system, &p.rates, &across, 1e8).time_s >
                2 * tr_send_price(&p.system, &p.rates, &inside, 1e8).time_s);
}

static void four_cards_behind_one_switch_have_the_rate_of_a_pair(void **state)
{
    struct place four = place_of("l40s-4"), eight = place_of("l40s-8");
    struct tr_group group = {.ranks = 4, .local = 4, .sharing = 1};
    double bytes = 1 << 27;
    (void)state;
    double one = tr_collective_price(&four.system, &four.rates, TR_COLLECTIVE_ALL_REDUCE, &group, bytes).time_s;
    double two = tr_collective_price(&eight.system, &eight.rates, TR_COLLECTIVE_ALL_REDUCE, &group, bytes).time_s;
    assert_true(one < .6 * two);
    group.ranks = group.local = 2;
    double pair = tr_collective_price(&four.system, &four.rates, TR_COLLECTIVE_ALL_REDUCE, &group, bytes).time_s;
    assert_true(one > 1.3 * pair && one < 1.7 * pair); /* three halves of the bytes on the wire */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_all_reduces_across_nodes_reach_about_what_was_published),
        cmocka_unit_test(two_nodes_without_a_plugin_or_reducing_switches_sum_in_rings),
        cmocka_unit_test(a_group_talks_over_the_narrowest_tier_that_holds_it),
        cmocka_unit_test(a_tier_between_links_and_network_is_used),
        cmocka_unit_test(groups_that_share_cards_get_their_part),
        cmocka_unit_test(a_group_in_one_node_is_priced_by_its_links_and_one_rank_is_free),
        cmocka_unit_test(four_cards_behind_one_switch_have_the_rate_of_a_pair),
        cmocka_unit_test(more_nodes_never_cost_less_and_a_send_over_a_card_more_than_over_links),
    };
    return cmocka_run_group_tests(tests, tr_catalog_setup, tr_catalog_teardown);
}
