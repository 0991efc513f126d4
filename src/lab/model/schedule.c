/* What one rank does when: the turns of its stage (pipe.h), and around the backward ones what lanes begin and end with.
 *
 * All microbatches of the rank's lanes go through the pipeline one after the other, lane by lane. Gradients are written by
 * backward turns alone, which for each chunk come in that order, so that of one chunk one lane at a time is being added up; chunks
 * have gradients of their own, and each has a binary counter of its own over the lanes. */
#include "base/num.h"
#include "lab/model/build.h"

#include <stdlib.h>

struct writer {
    struct tr_program *p;
    int64_t micros, per_lane;
    int64_t flights;      /* at most */
    bool *taken;          /* [flights] */
    int32_t *flight_of;   /* [chunks][flights], of microbatch m of a chunk in [m % flights], as they come one after the other */
    int32_t sent[2];      /* forward, backward */
};

static void append(struct writer *w, enum tr_section_kind kind, int32_t chunk, struct tr_schedule_entry entry)
{
    struct tr_program *p = w->p;
    entry.section = tr_section_of(kind, chunk);
    if (p->section[entry.section].op_count > 0)
        p->schedule[p->schedule_count++] = entry;
}

/* Where lane number `number` of this rank is added up: its index in its subtree of `lanes`, which is to end in slot `root`. */
struct lane {
    int32_t index, lanes, root;
};

static struct lane lane_of(const struct tr_program *p, int64_t number)
{
    struct tr_range root[TR_TREE_ROOTS_MAX];
    int32_t r = 0;
    tr_tree_roots(p->step.widths.lanes, p->lanes.first, p->lanes.last, root);
    while (p->lanes.first + number >= root[r].last)
        r++;
    return (struct lane){(int32_t)(p->lanes.first + number - root[r].first), (int32_t)(root[r].last - root[r].first), r};
}

static int32_t *flight_of(const struct writer *w, struct tr_pipe_turn turn)
{
    return &w->flight_of[turn.chunk * w->flights + turn.micro % w->flights];
}

static int32_t take_flight(struct writer *w)
{
    int32_t flight = 0;
    while (w->taken[flight])
        flight++;
    w->taken[flight] = true;
    w->p->flights = flight + 1 > w->p->flights ? flight + 1 : w->p->flights;
    return flight;
}

static void add_forward(struct writer *w, struct tr_pipe_turn turn, struct tr_schedule_entry entry)
{
    entry.flight = *flight_of(w, turn) = take_flight(w);
    append(w, TR_SECTION_FORWARD, turn.chunk, entry);
}

static void add_backward(struct writer *w, struct tr_pipe_turn turn, struct tr_schedule_entry entry)
{
    int64_t number = turn.micro / w->per_lane, in_lane = turn.micro % w->per_lane;
    struct lane lane = lane_of(w->p, number);
    entry.flight = *flight_of(w, turn);
    entry.slot = lane.root + __builtin_popcount((unsigned)lane.index);
    w->taken[entry.flight] = false;
    if (in_lane == 0)
        append(w, TR_SECTION_LANE_BEGIN, turn.chunk, entry);
    append(w, TR_SECTION_BACKWARD, turn.chunk, entry);
    if (in_lane < w->per_lane - 1)
        return;
    append(w, TR_SECTION_LANE_END, turn.chunk, entry);
    for (int join = tr_tree_joins_after(lane.index, lane.lanes); join > 0; join--) {
        entry.slot--;
        append(w, TR_SECTION_JOIN, turn.chunk, entry);
    }
}

static void add_turn(struct writer *w, struct tr_pipe_turn turn)
{
    const struct tr_program *p = w->p;
    int32_t c = turn.chunk * p->pipe.stages + p->stage, end = turn.backward ? 0 : p->pipe.stages * p->pipe.chunks - 1;
    struct tr_schedule_entry entry = {.lane = (int32_t)(p->lanes.first + turn.micro / w->per_lane),
                                      .first_sequence = turn.micro * p->step.micro_batch};
    if (c != end)
        entry.mail = w->sent[turn.backward]++ % tr_pipe_mails(p->pipe);
    if (turn.backward)
        add_backward(w, turn, entry);
    else
        add_forward(w, turn, entry);
}

static void add_turns(struct writer *w)
{
    struct tr_program *p = w->p;
    int64_t warm = tr_pipe_warm(p->pipe, p->stage, w->micros), turns = tr_pipe_turns(p->pipe, w->micros);
    for (int64_t i = 0; i < turns; i++) {
        struct tr_pipe_turn turn = tr_pipe_turn(p->pipe, w->micros, warm, i);
        if (turn.micro < w->micros)
            add_turn(w, turn);
    }
    append(w, TR_SECTION_UPDATE, 0, (struct tr_schedule_entry){0});
}

enum tr_status tr_build_schedule(struct tr_program *p, struct tr_err *err)
{
    int64_t per_lane = p->step.batch / p->step.widths.lanes / p->step.micro_batch, lanes = p->lanes.last - p->lanes.first;
    struct writer w = {.p = p, .micros = tr_program_micros(p), .per_lane = per_lane};
    w.flights = tr_pipe_flights(p->pipe, p->stage, w.micros);
    w.taken = calloc((size_t)w.flights, sizeof *w.taken);
    w.flight_of = calloc((size_t)(p->pipe.chunks * w.flights), sizeof *w.flight_of);
    /* a lane has one join on average */
    p->schedule = calloc((size_t)(p->pipe.chunks * (2 * w.micros + 3 * lanes) + 1), sizeof *p->schedule);
    bool enough = w.taken != NULL && w.flight_of != NULL && p->schedule != NULL;
    if (enough)
        add_turns(&w);
    free(w.taken);
    free(w.flight_of);
    if (!enough)
        return tr_fail(err, TR_FAILED, "out of memory for the schedule of %lld sequences", (long long)p->step.batch);
    return TR_OK;
}
