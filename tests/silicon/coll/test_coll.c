/* Collectives of ranks that are threads, from one rank to eight: what tests/lib/coll_cases.c says of every
 * transport, and what happens when ranks fail, hang or do not do the same. */
#include "lib/coll_cases.h"

#include "base/os.h"
#include "silicon/coll/inside.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
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
static void what_is_started_in_the_background_ends_as_if_called(void **state)
{
    (void)state, for_ranks(tr_case_started);
}

/* --- what goes wrong --- */

static const struct tr_comm_config impatient = {.timeout_s = 0.5};

/* Runs ranks that are expected to fail; the sentence of the job. */
static enum tr_status fails(int ranks, tr_rank_fn *run, void *user, struct tr_err *err)
{
    err->text[0] = 0;
    enum tr_status status = tr_ranks_run(ranks, &impatient, run, user, err);
    assert_int_not_equal(status, TR_OK);
    return status;
}

static void must_say(const struct tr_err *err, const char *part)
{
    if (strstr(err->text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err->text, part);
}

/* Hangs, outside of any call, until another rank has given up. */
static void hang(struct tr_comm *world)
{
    for (int i = 0; i < 6000 && tr_comm_blamed(world) < 0; i++)
        usleep(10 * 1000);
}

static enum tr_status late_for_the_gather(struct tr_comm *world, void *user, struct tr_err *err)
{
    (void)user;
    char all[4], mine = 'x';
    int64_t at[5] = {0, 1, 2, 3, 4};
    struct tr_comm *tp;
    enum tr_status status = tr_comm_split(world, "tp", 0, 0, &tp, err);
    tr_comm_set_step(world, 12);
    if (status == TR_OK)
        status = tr_barrier(tp, err);
    if (status == TR_OK && tr_comm_index(world) == 2)
        hang(world);
    if (status == TR_OK)
        status = tr_all_gather(tp, &mine, all, at, err);
    if (status == TR_OK || tr_comm_blamed(world) == 2)
        status = tr_fail(err, TR_NO, "rank %d got through, or rank 2 was believed", tr_comm_index(world));
    return status;
}

static void a_rank_that_hangs_is_named_with_collective_group_and_step(void **state)
{
    (void)state;
    struct tr_err err;
    assert_int_equal(fails(4, late_for_the_gather, NULL, &err), TR_FAILED);
    must_say(&err, ": all_gather of group tp, step 12: nothing for 0.5 s from ");
    must_say(&err, "rank 2, which last ended barrier of group tp, step 12");
}

static enum tr_status stuck_elsewhere(struct tr_comm *world, void *user, struct tr_err *err)
{
    (void)user;
    char byte = 0;
    struct tr_comm *pp;
    struct tr_pending message;
    enum tr_status status = tr_comm_split(world, "pp", 0, 0, &pp, err);
    tr_comm_set_step(world, 3);
    if (status == TR_OK && tr_comm_index(world) == 1) { /* waits for what nobody sends */
        status = tr_recv_start(pp, 0, 7, &byte, 1, &message, err);
        return status == TR_OK ? tr_message_wait(pp, &message, err) : status;
    }
    return status == TR_OK ? tr_barrier(world, err) : status;
}

static void a_rank_that_is_stuck_elsewhere_is_said_to_be_there(void **state)
{
    (void)state;
    struct tr_err err;
    fails(2, stuck_elsewhere, NULL, &err);
    must_say(
        &err,
        strstr(err.text, "rank 1: ") == err.text /* both wait, and either may be the first to give up */
            ? "recv of group pp, step 3: nothing for 0.5 s from rank 0, which is in barrier of group world, step 3"
            : "barrier of group world, step 3: nothing for 0.5 s from rank 1, which is in recv of group pp, step 3");
}

static enum tr_status one_fails(struct tr_comm *world, void *user, struct tr_err *err)
{
    if (tr_comm_index(world) == 1) {
        usleep(50 * 1000);
        return tr_fail(err, TR_BAD_INPUT, "the disk of rank 1 is full");
    }
    float x[100] = {0};
    enum tr_status status = tr_max_all(world, x, 100, err);
    if (status == TR_BAD_INPUT && strstr(err->text, "disk of rank 1") && tr_comm_blamed(world) == 1)
        atomic_fetch_add((atomic_int *)user, 1);
    return status;
}

static void who_waits_for_a_rank_that_failed_gets_its_sentence(void **state)
{
    (void)state;
    struct tr_err err;
    atomic_int told = 0;
    double began_s = tr_clock_s();
    assert_int_equal(fails(5, one_fails, &told, &err), TR_BAD_INPUT);
    assert_string_equal(err.text, "the disk of rank 1 is full");
    assert_int_equal(told, 4);
    assert_true(tr_clock_s() - began_s < 60); /* nobody waited for the time limit of a real run */
}

struct slow_writer {
    bool ends;
    int blamed; /* as rank 1 sees it */
};

/* Rank 0 has begun to write its sentence when rank 1 fails, and ends or dies while it does. */
static enum tr_status writes_slowly(struct tr_comm *world, void *user, struct tr_err *err)
{
    struct slow_writer *slow = user;
    struct tr_board *board = world->rank->board;
    if (tr_comm_index(world) == 0) {
        atomic_store(&board->failed, 1);
        usleep(50 * 1000);
        strcpy(board->text, "trouble of 0");
        board->blamed = 0;
        board->status = TR_BAD_INPUT;
        if (slow->ends)
            atomic_store(&board->failed, 2);
        return TR_OK;
    }
    while (atomic_load(&board->failed) == 0)
        usleep(1000);
    enum tr_status status = tr_fail(err, TR_FAILED, "trouble of 1");
    tr_comm_fail(world, status, err);
    slow->blamed = tr_comm_blamed(world);
    return status;
}

static void who_fails_while_another_says_why_knows_who_is_blamed(void **state)
{
    (void)state;
    struct slow_writer slow = {.ends = true};
    struct tr_err err;
    assert_int_equal(fails(2, writes_slowly, &slow, &err), TR_BAD_INPUT);
    assert_string_equal(err.text, "trouble of 0");
    assert_int_equal(slow.blamed, 0);
    slow.ends = false;
    assert_int_equal(fails(2, writes_slowly, &slow, &err), TR_FAILED);
    assert_string_equal(err.text, "trouble of 1");
    assert_int_equal(slow.blamed, 1);
}

/* The ranks of the bit mask fail, each in its own way. */
static enum tr_status some_fare_badly(struct tr_comm *world, void *user, struct tr_err *err)
{
    int me = tr_comm_index(world), mask = *(int *)user;
    enum tr_status status = tr_status_all(world, TR_OK, err);
    if (status != TR_OK)
        return status;
    if (mask >> me & 1)
        status = tr_fail(err, me == 3 ? TR_FAILED : TR_BAD_INPUT, "trouble of %d", me);
    status = tr_status_all(world, status, err);
    return tr_comm_blamed(world) == __builtin_ctz((unsigned)mask) ? status : tr_fail(err, TR_NO, "blamed is %d", tr_comm_blamed(world));
}

static void the_first_that_fared_badly_speaks_for_all(void **state)
{
    (void)state;
    struct tr_err err;
    int two = 1 << 2 | 1 << 3, last = 1 << 3, lead = 1, all = 15;
    assert_int_equal(fails(4, some_fare_badly, &two, &err), TR_BAD_INPUT);
    assert_string_equal(err.text, "rank 2: trouble of 2");
    assert_int_equal(fails(4, some_fare_badly, &last, &err), TR_FAILED);
    assert_string_equal(err.text, "rank 3: trouble of 3");
    assert_int_equal(fails(4, some_fare_badly, &lead, &err), TR_BAD_INPUT);
    assert_string_equal(err.text, "trouble of 0");
    assert_int_equal(fails(4, some_fare_badly, &all, &err), TR_BAD_INPUT);
    assert_string_equal(err.text, "trouble of 0");
}

static enum tr_status not_the_same(struct tr_comm *world, void *user, struct tr_err *err)
{
    (void)user;
    int64_t at[3] = {0, 8, 16};
    char data[16] = {0};
    enum tr_status status = tr_barrier(world, err);
    if (status != TR_OK)
        return status;
    return tr_comm_index(world) == 0 ? tr_barrier(world, err) : tr_all_gather(world, data + 8, data, at, err);
}

static enum tr_status not_of_one_size(struct tr_comm *world, void *user, struct tr_err *err)
{
    (void)user;
    char data[16] = {0};
    return tr_broadcast(world, 0, data, tr_comm_index(world) == 0 ? 16 : 12, err);
}

static void ranks_that_do_not_do_the_same_are_told_so(void **state)
{
    (void)state;
    struct tr_err err;
    fails(2, not_the_same, NULL, &err);
    must_say(&err, "call number 2 of this group: all ranks must do the same");
    fails(2, not_of_one_size, NULL, &err);
    must_say(&err, "rank 1: broadcast of group world, step 0: rank 0 sends 16 bytes where rank 1 expects 12");
}

/* A message that nobody takes is taken back when its sender gives up, so its memory may go (AddressSanitizer looks). */
static enum tr_status sender_gives_up(struct tr_comm *world, void *user, struct tr_err *err)
{
    (void)user;
    enum { BYTES = 1 << 20 };
    char *data = malloc(BYTES);
    assert_non_null(data);
    memset(data, tr_comm_index(world), BYTES);
    struct tr_pending message;
    enum tr_status status;
    if (tr_comm_index(world) == 0) {
        status = tr_send_start(world, 1, 0, data, BYTES, &message, err);
        if (status == TR_OK)
            status = tr_message_wait(world, &message, err);
    } else {
        hang(world);
        status = tr_recv_start(world, 0, 0, data, BYTES, &message, err);
        if (status == TR_OK)
            status = tr_message_wait(world, &message, err);
    }
    free(data);
    return status;
}

static void what_a_rank_that_gave_up_had_sent_is_read_by_nobody(void **state)
{
    (void)state;
    struct tr_err err;
    fails(2, sender_gives_up, NULL, &err);
    must_say(&err, "rank 0: send of group world, step 0: nothing for 0.5 s from rank 1");
}

static enum tr_status hang_behind_a_start(struct tr_comm *world, void *user, struct tr_err *err)
{
    (void)user;
    float x[64] = {0};
    const float *node[1] = {x};
    struct tr_range leaves[] = {{0, 1}, {1, 2}, {2, 3}};
    struct tr_owners owners = {3, leaves};
    struct tr_coll call = {.kind = TR_COLL_ALL_REDUCE, .to = x, .count = 64, .owners = &owners, .node = node};
    int64_t ticket;
    if (tr_comm_index(world) == 2) {
        hang(world);
        return TR_OK;
    }
    enum tr_status status = tr_coll_start(world, &call, &ticket, err);
    return status == TR_OK ? tr_coll_wait(world, ticket, err) : status;
}

static void who_hangs_while_others_wait_in_the_background_is_named(void **state)
{
    (void)state;
    struct tr_err err;
    fails(3, hang_behind_a_start, NULL, &err);
    must_say(&err, ": all_reduce of group world, step 0: nothing for 0.5 s from");
    must_say(&err, "from rank 2, which has not begun anything yet");
}

static enum tr_status too_many_groups(struct tr_comm *world, void *user, struct tr_err *err)
{
    (void)user;
    struct tr_comm *part;
    enum tr_status status = TR_OK;
    for (int i = 0; i < 100 && status == TR_OK; i++) {
        status = tr_comm_split(world, "part", 0, 0, &part, err);
        if (status == TR_OK)
            tr_comm_free(part);
    }
    return status;
}

static void a_rank_that_makes_too_many_groups_is_told_so(void **state)
{
    (void)state;
    struct tr_err err;
    fails(2, too_many_groups, NULL, &err);
    must_say(&err, "group part: a rank can make 64 groups and has made them");
}

static void one_rank_alone_needs_nobody(void **state)
{
    (void)state;
    struct tr_err err = {""};
    struct tr_comm *self = NULL;
    assert_int_equal(tr_comm_self(&self, &err), TR_OK);
    assert_int_equal(tr_comm_count(self), 1);
    for (int i = 0; tr_coll_cases[i].run != NULL; i++)
        if (tr_coll_cases[i].run(self, NULL, &err) != TR_OK)
            fail_msg("%s: %s", tr_coll_cases[i].name, err.text);
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
        assert_int_equal(tr_comm_counted(self, (enum tr_coll_kind)kind)->sent_bytes, 0);
    tr_comm_free(self);
}

/* More ranks than cores, and a number that is no power of two. */
static void many_ranks_on_few_cores_come_through(void **state)
{
    (void)state;
    struct tr_coll_case c = {.n = 1025};
    must_pass(37, tr_case_move, &c);
    must_pass(24, tr_case_split, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_arrive_where_they_belong),
        cmocka_unit_test(sums_are_those_of_one_owner_whoever_owns_the_leaves),
        cmocka_unit_test(merges_are_exact),
        cmocka_unit_test(messages_are_told_apart_by_peer_and_tag),
        cmocka_unit_test(groups_are_ordered_by_key),
        cmocka_unit_test(what_is_started_in_the_background_ends_as_if_called),
        cmocka_unit_test(one_rank_alone_needs_nobody),
        cmocka_unit_test(many_ranks_on_few_cores_come_through),
        cmocka_unit_test(a_rank_that_hangs_is_named_with_collective_group_and_step),
        cmocka_unit_test(a_rank_that_is_stuck_elsewhere_is_said_to_be_there),
        cmocka_unit_test(who_waits_for_a_rank_that_failed_gets_its_sentence),
        cmocka_unit_test(who_fails_while_another_says_why_knows_who_is_blamed),
        cmocka_unit_test(the_first_that_fared_badly_speaks_for_all),
        cmocka_unit_test(ranks_that_do_not_do_the_same_are_told_so),
        cmocka_unit_test(what_a_rank_that_gave_up_had_sent_is_read_by_nobody),
        cmocka_unit_test(who_hangs_while_others_wait_in_the_background_is_named),
        cmocka_unit_test(a_rank_that_makes_too_many_groups_is_told_so),
    };
    return cmocka_run_group_tests_name("silicon/coll", tests, NULL, NULL);
}
