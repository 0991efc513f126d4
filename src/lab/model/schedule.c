/* What one rank does when: the turns of its stage (pipe.h), and around the backward ones what lanes begin and end with.
 *
 * All microbatches of the rank's lanes go through the pipeline one after the other, lane by lane. Gradients are written by
 * backward turns alone, which for each chunk come in that order, so that of one chunk one lane at a time is being added up; chunks
 * have gradients of their own, and each has a stack of its own.
 *
 * The stack. What is complete is a node of the tree over lanes: a lane of this rank, or where gradients are shared out a subtree of
 * the lanes of one round. It is put on top, and as long as the two topmost together are a node they are joined. */
#include "base/num.h"
#include "lab/model/build.h"

#include <stdlib.h>

enum { STACK_MAX = 3 * TR_TREE_DEPTH_MAX }; /* the roots of a range, and one more */

struct stack {
    struct tr_range node[STACK_MAX]; /* in the slots */
    int32_t count;
};

struct writer {
    struct tr_program *p;
    int64_t micros, per_lane;
    int64_t flights;      /* at most */
    bool *taken;          /* [flights] */
    int32_t *flight_of;   /* [chunks][flights], of microbatch m of a chunk in [m % flights], as they come one after the other */
    int32_t sent[2];      /* forward, backward */
    struct stack *stack;  /* [chunks] */
    enum tr_status status;
    struct tr_err *err;
};

static void append(struct writer *w, enum tr_section_kind kind, int32_t chunk, struct tr_schedule_entry entry)
{
    struct tr_program *p = w->p;
    entry.section = tr_section_of(kind, chunk);
    if (p->section[entry.section].op_count > 0)
        p->schedule[p->schedule_count++] = entry;
}

/* ---- nodes of the tree over lanes -------------------------------------------------------------------------------- */

/* How many times something is complete: each lane of this rank, or each round. */
static int32_t turns_of_lanes(const struct tr_program *p)
{
    return p->has_grad_slices ? tr_degrees_rounds(&p->step.place.degrees, p->step.widths.lanes) : p->lanes.count;
}

/* What is complete at time `number`: returns how many nodes. */
static int32_t nodes_of(const struct tr_program *p, int64_t number, struct tr_range node[TR_TREE_ROOTS_MAX])
{
    int64_t dp = tr_degrees_of(&p->step.place.degrees, TR_GROUP_DATA), lanes = p->step.widths.lanes;
    if (p->has_grad_slices)
        return tr_tree_roots(lanes, number * dp, tr_min_i64(lanes, (number + 1) * dp), node);
    node[0] = (struct tr_range){p->lanes.first + number, p->lanes.first + number + 1};
    return 1;
}

static void push(struct stack *stack, struct tr_range node)
{
    TR_ASSERT(stack->count < STACK_MAX);
    stack->node[stack->count++] = node;
}

/* Joins the two topmost, if they are the children of a node. */
static bool join_top(struct stack *stack, int64_t lanes)
{
    struct tr_range root[TR_TREE_ROOTS_MAX], *top = &stack->node[stack->count - 1];
    if (stack->count < 2 || tr_tree_roots(lanes, top[-1].first, top->last, root) > 1)
        return false;
    top[-1].last = top->last;
    stack->count--;
    return true;
}

int32_t tr_build_slots(const struct tr_program *p)
{
    struct stack stack = {.count = 0};
    struct tr_range node[TR_TREE_ROOTS_MAX];
    int32_t slots = 0;
    for (int32_t number = 0; number < turns_of_lanes(p); number++) {
        int32_t nodes = nodes_of(p, number, node);
        for (int32_t k = 0; k < nodes; k++) {
            push(&stack, node[k]);
            slots = stack.count > slots ? stack.count : slots;
            while (join_top(&stack, p->step.widths.lanes))
                continue;
        }
    }
    return slots;
}

/* Who has which of a round's lanes that are below `node`; NULL: out of memory. */
static const struct tr_owners *owners_of(struct writer *w, struct tr_range node)
{
    struct tr_program *p = w->p;
    int32_t dp = tr_degrees_of(&p->step.place.degrees, TR_GROUP_DATA);
    struct tr_owners *owners = tr_arena_alloc(&p->arena, sizeof *owners, w->err);
    struct tr_range *leaves = owners ? tr_arena_array(&p->arena, dp, sizeof *leaves, w->err) : NULL;
    if (!leaves) {
        w->status = TR_FAILED;
        return NULL;
    }
    for (int64_t lane = node.first; lane < node.last; lane++)
        leaves[lane % dp] = (struct tr_range){lane - node.first, lane - node.first + 1};
    *owners = (struct tr_owners){node.last - node.first, leaves};
    return owners;
}

/* ---- turns ------------------------------------------------------------------------------------------------------- */

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

/* What was complete goes onto the stack. */
static void add_node(struct writer *w, int32_t chunk, struct tr_schedule_entry entry, struct tr_range node)
{
    struct stack *stack = &w->stack[chunk];
    entry.slot = stack->count;
    if (w->p->has_grad_slices && !w->p->sends_early) {
        entry.owners = owners_of(w, node);
        append(w, TR_SECTION_ROUND, chunk, entry);
    }
    push(stack, node);
    while (join_top(stack, w->p->step.widths.lanes)) {
        entry.slot = stack->count - 1;
        append(w, TR_SECTION_JOIN, chunk, entry);
    }
}

static void add_backward(struct writer *w, struct tr_pipe_turn turn, struct tr_schedule_entry entry)
{
    struct tr_program *p = w->p;
    int64_t number = turn.micro / w->per_lane, in_lane = turn.micro % w->per_lane;
    bool ends = in_lane == w->per_lane - 1, ends_all = ends && number == turns_of_lanes(p) - 1;
    struct tr_range node[TR_TREE_ROOTS_MAX];
    int32_t nodes = nodes_of(p, number, node);
    entry.flight = *flight_of(w, turn);
    entry.slot = w->stack[turn.chunk].count;
    entry.last = p->sends_early && (p->has_grad_slices ? ends : ends_all);
    if (entry.last && p->has_grad_slices)
        entry.owners = owners_of(w, node[0]);
    w->taken[entry.flight] = false;
    if (in_lane == 0 && !entry.idle)
        append(w, TR_SECTION_LANE_BEGIN, turn.chunk, entry);
    append(w, TR_SECTION_BACKWARD, turn.chunk, entry);
    if (!ends || (entry.last && !p->has_grad_slices)) /* then that has joined all there is */
        return;
    if (!entry.idle)
        append(w, TR_SECTION_LANE_END, turn.chunk, entry);
    entry.idle = false;
    for (int32_t k = 0; k < nodes; k++)
        add_node(w, turn.chunk, entry, node[k]);
}

static void add_turn(struct writer *w, struct tr_pipe_turn turn)
{
    const struct tr_program *p = w->p;
    int32_t c = turn.chunk * p->pipe.stages + p->stage, end = turn.backward ? 0 : p->pipe.stages * p->pipe.chunks - 1;
    int64_t number = turn.micro / w->per_lane;
    struct tr_schedule_entry entry = {.lane = (int32_t)(p->lanes.first + number * p->lanes.step), .idle = number >= p->lanes.count};
    entry.first_sequence = entry.idle ? 0 : turn.micro * p->step.micro_batch;
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
    for (int64_t i = 0; i < turns && w->status == TR_OK; i++) {
        struct tr_pipe_turn turn = tr_pipe_turn(p->pipe, w->micros, warm, i);
        if (turn.micro < w->micros)
            add_turn(w, turn);
    }
    append(w, TR_SECTION_UPDATE, 0, (struct tr_schedule_entry){0});
}

/* Entries at most: of each node one, and one join on average. */
static int64_t entries_most(const struct tr_program *p, int64_t micros)
{
    struct tr_range node[TR_TREE_ROOTS_MAX];
    int64_t nodes = 0, numbers = turns_of_lanes(p);
    for (int64_t number = 0; number < numbers; number++)
        nodes += nodes_of(p, number, node);
    return p->pipe.chunks * (2 * micros + 2 * numbers + 2 * nodes) + 1;
}

enum tr_status tr_build_schedule(struct tr_program *p, struct tr_err *err)
{
    int64_t per_lane = p->step.batch / p->step.widths.lanes / p->step.micro_batch;
    struct writer w = {.p = p, .micros = turns_of_lanes(p) * per_lane, .per_lane = per_lane, .err = err};
    w.flights = tr_pipe_flights(p->pipe, p->stage, w.micros);
    w.taken = calloc((size_t)w.flights, sizeof *w.taken);
    w.flight_of = calloc((size_t)(p->pipe.chunks * w.flights), sizeof *w.flight_of);
    w.stack = calloc((size_t)p->pipe.chunks, sizeof *w.stack);
    p->schedule = calloc((size_t)entries_most(p, w.micros), sizeof *p->schedule);
    bool enough = w.taken != NULL && w.flight_of != NULL && w.stack != NULL && p->schedule != NULL;
    if (enough)
        add_turns(&w);
    free(w.taken);
    free(w.flight_of);
    free(w.stack);
    if (!enough)
        return tr_fail(err, TR_FAILED, "out of memory for the schedule of %lld sequences", (long long)p->step.batch);
    return w.status;
}
