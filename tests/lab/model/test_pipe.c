/* The order of a pipeline's turns: walked through, stage by stage, as messages and their places let it. */
#include "base/num.h"
#include "lab/model/pipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <math.h>
#include <string.h>

enum { STAGES_MAX = 6, CHUNKS_MAX = 4, MICROS_MAX = 20, FORWARD_S = 1, BACKWARD_S = 2, NOT_YET = -1 };
enum { TURNS_MAX = 2 * CHUNKS_MAX * (MICROS_MAX + STAGES_MAX) };

/* One pipeline on its way through a step. Times of [way][chunk of the model][microbatch]. */
struct walk {
    struct tr_pipe pipe;
    int64_t micros;
    struct tr_pipe_turn turn[STAGES_MAX][TURNS_MAX];
    int64_t turns[STAGES_MAX], next[STAGES_MAX], sent[STAGES_MAX][2];
    int64_t last_sent[STAGES_MAX][2][TURNS_MAX]; /* [mail]: chunk * MICROS_MAX + microbatch of what is on its way from there */
    int64_t free_s[STAGES_MAX];
    int64_t taken_s[2][STAGES_MAX * CHUNKS_MAX * MICROS_MAX], done_s[2][STAGES_MAX * CHUNKS_MAX * MICROS_MAX];
};

static struct walk w;

static void begin(struct tr_pipe pipe, int64_t micros)
{
    memset(&w, 0, sizeof w);
    memset(w.taken_s, 0xff, sizeof w.taken_s);
    memset(w.done_s, 0xff, sizeof w.done_s);
    w.pipe = pipe;
    w.micros = micros;
    for (int32_t stage = 0; stage < pipe.stages; stage++)
        for (int64_t i = 0; i < tr_pipe_turns(pipe, micros); i++) {
            struct tr_pipe_turn turn = tr_pipe_turn(pipe, micros, tr_pipe_warm(pipe, stage, micros), i);
            if (turn.micro < micros)
                w.turn[stage][w.turns[stage]++] = turn;
        }
}

/* Takes the next turn of a stage: waits until its place for messages is free, receives, works, sends. */
static bool take(int32_t stage, int64_t mails)
{
    if (w.next[stage] == w.turns[stage])
        return false;
    struct tr_pipe_turn t = w.turn[stage][w.next[stage]];
    int64_t chunks = w.pipe.stages * w.pipe.chunks, chunk = t.chunk * w.pipe.stages + stage;
    int64_t me = chunk * MICROS_MAX + t.micro, after = t.backward ? -MICROS_MAX : MICROS_MAX;
    bool first = t.backward ? chunk == chunks - 1 : chunk == 0, last = t.backward ? chunk == 0 : chunk == chunks - 1;
    int64_t came_s = first ? (t.backward ? w.done_s[0][me] : 0) : w.done_s[t.backward][me - after];
    if (came_s == NOT_YET)
        return false;
    int64_t begin_s = tr_max_i64(came_s, w.free_s[stage]), *mail = w.last_sent[stage][t.backward], number = w.sent[stage][t.backward];
    if (!last && number >= mails) {
        int64_t taken_s = w.taken_s[t.backward][mail[number % mails] + after];
        if (taken_s == NOT_YET)
            return false;
        begin_s = tr_max_i64(begin_s, taken_s);
    }
    w.taken_s[t.backward][me] = begin_s;
    if (!last) {
        mail[number % mails] = me;
        w.sent[stage][t.backward]++;
    }
    w.done_s[t.backward][me] = w.free_s[stage] = begin_s + (t.backward ? BACKWARD_S : FORWARD_S);
    w.next[stage]++;
    return true;
}

/* When the last stage is done; -1: all wait for each other. */
static int64_t walk_through(struct tr_pipe pipe, int64_t micros, int64_t mails)
{
    int64_t end_s = 0;
    begin(pipe, micros);
    for (bool moved = true; moved;) {
        moved = false;
        for (int32_t stage = 0; stage < pipe.stages; stage++)
            while (take(stage, mails))
                moved = true;
    }
    for (int32_t stage = 0; stage < pipe.stages; stage++) {
        if (w.next[stage] < w.turns[stage])
            return -1;
        end_s = tr_max_i64(end_s, w.free_s[stage]);
    }
    return end_s;
}

static void for_all_pipes(void (*check)(struct tr_pipe pipe, int64_t micros))
{
    for (int32_t stages = 1; stages <= STAGES_MAX; stages++)
        for (int32_t chunks = 1; chunks <= (stages > 1 ? CHUNKS_MAX : 1); chunks++)
            for (int64_t micros = 1; micros <= MICROS_MAX; micros++)
                check((struct tr_pipe){stages, chunks}, micros);
}

static void check_ends(struct tr_pipe pipe, int64_t micros)
{
    int64_t end_s = walk_through(pipe, micros, tr_pipe_mails(pipe));
    assert_true(end_s > 0);
    assert_int_equal(end_s, walk_through(pipe, micros, TURNS_MAX));
}

static void no_stage_waits_for_ever_nor_for_a_place_for_its_messages(void **state)
{
    (void)state;
    for_all_pipes(check_ends);
}

static void check_bubble(struct tr_pipe pipe, int64_t micros)
{
    if (micros % pipe.stages != 0 && pipe.chunks > 1)
        return;
    int64_t end_s = walk_through(pipe, micros, tr_pipe_mails(pipe)), busy_s = micros * pipe.chunks * (FORWARD_S + BACKWARD_S);
    assert_true(fabs((double)(end_s - busy_s) / (double)end_s - tr_pipe_bubble(pipe, micros)) < 1e-12);
}

static void a_stage_has_nothing_to_do_for_as_long_as_is_planned(void **state)
{
    (void)state;
    for_all_pipes(check_bubble);
}

static void check_order(struct tr_pipe pipe, int64_t micros)
{
    begin(pipe, micros);
    for (int32_t stage = 0; stage < pipe.stages; stage++) {
        int64_t next[2][CHUNKS_MAX] = {{0}}, flights = 0, most = 0;
        assert_int_equal(w.turns[stage], 2 * micros * pipe.chunks);
        for (int64_t i = 0; i < w.turns[stage]; i++) {
            struct tr_pipe_turn t = w.turn[stage][i];
            assert_int_equal(t.micro, next[t.backward][t.chunk]++);
            flights += t.backward ? -1 : 1;
            most = tr_max_i64(most, flights);
        }
        assert_true(most <= tr_pipe_flights(pipe, stage, micros));
        assert_true(micros % pipe.stages != 0 || most == tr_pipe_flights(pipe, stage, micros));
    }
}

static void each_chunk_sees_every_microbatch_once_in_ascending_order(void **state)
{
    (void)state;
    for_all_pipes(check_order);
}

static void layers_are_spread_over_all_chunks(void **state)
{
    (void)state;
    static const struct {
        int32_t layers, chunks, first, second, last;
    } known[] = {{12, 4, 3, 3, 3}, {126, 16, 7, 8, 7}, {6, 4, 1, 2, 1}, {7, 4, 2, 2, 1}, {5, 1, 5, 0, 5}, {2, 4, 0, 1, 0}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        int32_t n = known[i].chunks;
        assert_int_equal(tr_pipe_chunk_layers(known[i].layers, n, 0), known[i].first);
        assert_int_equal(tr_pipe_chunk_layers(known[i].layers, n, n - 1), known[i].last);
        if (n > 1)
            assert_int_equal(tr_pipe_chunk_layers(known[i].layers, n, 1), known[i].second);
    }
    for (int32_t layers = 1; layers <= 40; layers++)
        for (int32_t chunks = 1; chunks <= layers; chunks++) {
            int32_t sum = 0;
            for (int32_t c = 0; c < chunks; c++)
                sum += tr_pipe_chunk_layers(layers, chunks, c);
            assert_int_equal(sum, layers);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_stage_waits_for_ever_nor_for_a_place_for_its_messages),
        cmocka_unit_test(a_stage_has_nothing_to_do_for_as_long_as_is_planned),
        cmocka_unit_test(each_chunk_sees_every_microbatch_once_in_ascending_order),
        cmocka_unit_test(layers_are_spread_over_all_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
