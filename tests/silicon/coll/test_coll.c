/* Collectives of ranks that are threads, from one rank to eight: what tests/lib/coll_cases.c says of every transport, and
 * what happens when ranks fail, hang or do not do the same. */
#include "lib/coll_cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { RANKS_MAX = 8 };

static void must_pass(int ranks, tr_rank_fn *run, void *user)
{
    struct tr_err err = {""};
    enum tr_status status = tr_ranks_run(ranks, NULL, run, user, &err);
    if (status != TR_OK)
        fail_msg("%d ranks: %s", ranks, err.text);
}

static void for_ranks(tr_rank_fn *run)
{
    for (int ranks = 1; ranks <= RANKS_MAX; ranks++)
        must_pass(ranks, run, NULL);
}

static void bytes_arrive_where_they_belong(void **state) { (void)state, for_ranks(tr_case_move); }
static void sums_are_those_of_one_owner_whoever_owns_the_leaves(void **state) { (void)state, for_ranks(tr_case_sum); }
static void merges_are_exact(void **state) { (void)state, for_ranks(tr_case_exact); }
static void messages_are_told_apart_by_peer_and_tag(void **state) { (void)state, for_ranks(tr_case_pair); }
static void groups_are_ordered_by_key(void **state) { (void)state, for_ranks(tr_case_split); }
static void what_is_started_in_the_background_ends_as_if_called(void **state) { (void)state, for_ranks(tr_case_started); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_arrive_where_they_belong),
        cmocka_unit_test(sums_are_those_of_one_owner_whoever_owns_the_leaves),
        cmocka_unit_test(merges_are_exact),
        cmocka_unit_test(messages_are_told_apart_by_peer_and_tag),
        cmocka_unit_test(groups_are_ordered_by_key),
        cmocka_unit_test(what_is_started_in_the_background_ends_as_if_called),
    };
    return cmocka_run_group_tests_name("silicon/coll", tests, NULL, NULL);
}
