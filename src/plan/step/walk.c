#include "plan/step/walk.h"

#include "base/num.h"
#include "lab/model/pipe.h"
#include "plan/step/stage.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a stage does next, in the order of its schedule. */
struct turn {
    int32_t chunk, micro;
    enum tr_walk_kind kind;
};

struct line { /* a stage */
    struct turn *turn;
    int64_t count, next;
    double free_s, weight_s; /* weight_s: gradients of weights of one microbatch, where they are apart */
    int64_t owed, owed_most;                /* microbatches whose weight gradients wait; as many as may, for what they keep */
    int32_t owed_micro;
};

struct walker {
    const struct tr_layout *layout;
    int64_t micro_count;
    struct line *line;
    double *pass_s[2]; /* forward and backward of one microbatch through a chunk of the model */
    double *done[2]; /* when forward and backward of (chunk of the model, microbatch) were done; negative: not yet */
    double send_s;
    struct tr_walk *walk;
    int64_t per_stage;
    int64_t *filled; /* events of a stage */
};

static int64_t at(const struct walker *w, int64_t model_chunk, int64_t micro) { return model_chunk * w->micro_count + micro; }

/* ---- schedules --------------------------------------------------------------------------------------------------- */

static void add(struct line *line, enum tr_walk_kind kind, int64_t chunk, int64_t micro)
{
    line->turn[line->count++] = (struct turn){(int32_t)chunk, (int32_t)micro, kind};
}

static void order(const struct walker *w, struct line *line, int32_t stage)
{
    const struct tr_layout *l = w->layout;
    struct tr_pipe pipe = {l->pp, l->vpp};
    int64_t m = w->micro_count, turns = tr_pipe_turns(pipe, m);
    int64_t warm = l->pipeline == TR_PIPELINE_GPIPE            ? turns / 2
                   : l->pipeline == TR_PIPELINE_ZERO_BUBBLE_2P ? tr_min_i64(turns / 2, 2 * (l->pp - stage - 1))
                                                               : tr_pipe_warm(pipe, stage, m);
    for (int64_t k = 0; k < turns; k++) {
        struct tr_pipe_turn turn = tr_pipe_turn(pipe, m, warm, k);
        if (turn.micro < m)
            add(line, turn.backward ? TR_WALK_BACKWARD : TR_WALK_FORWARD, turn.chunk, turn.micro);
    }
}

/* ---- time -------------------------------------------------------------------------------------------------------- */

static void note(struct walker *w, int32_t stage, int32_t chunk, int32_t micro, enum tr_walk_kind kind, double begin_s,
                 double end_s)
{
    struct tr_walk_event *event = &w->walk->event[stage * w->per_stage + w->filled[stage]++];
    *event = (struct tr_walk_event){stage, chunk, micro, kind, begin_s, end_s};
    w->line[stage].free_s = end_s;
}

/* When the turn could begin, as far as others are concerned; negative: not known yet. */
static double ready_s(const struct walker *w, int32_t stage, const struct turn *turn)
{
    int64_t p = w->layout->pp, chunks = p * w->layout->vpp, mine = turn->chunk * p + stage;
    bool forward = turn->kind == TR_WALK_FORWARD;
    if (forward && mine == 0)
        return 0;
    if (!forward && mine == chunks - 1)
        return w->done[0][at(w, mine, turn->micro)];
    double before = forward ? w->done[0][at(w, mine - 1, turn->micro)] : w->done[1][at(w, mine + 1, turn->micro)];
    return before < 0 ? before : before + (p > 1 ? w->send_s : 0);
}

static void pay(struct walker *w, int32_t stage)
{
    struct line *line = &w->line[stage];
    note(w, stage, 0, line->owed_micro++, TR_WALK_WEIGHT, line->free_s, line->free_s + line->weight_s);
    line->owed--;
}

/* Takes the next turn of the stage if what it waits for is known; gradients of weights fill the waiting. */
static bool take(struct walker *w, int32_t stage)
{
    struct line *line = &w->line[stage];
    if (line->next == line->count)
        return false;
    const struct turn *turn = &line->turn[line->next];
    double ready = ready_s(w, stage, turn);
    if (ready < 0)
        return false;
    while (line->owed > 0 && line->weight_s > 0 && line->free_s + line->weight_s * .5 < ready)
        pay(w, stage);
    bool forward = turn->kind == TR_WALK_FORWARD;
    int64_t chunk = turn->chunk * w->layout->pp + stage;
    double begin = fmax(line->free_s, ready), end = begin + w->pass_s[!forward][chunk];
    note(w, stage, turn->chunk, turn->micro, turn->kind, begin, end);
    w->done[!forward][at(w, chunk, turn->micro)] = end;
    line->owed += !forward && line->weight_s > 0;
    while (line->owed > line->owed_most)
        pay(w, stage);
    line->next++;
    return true;
}

static void run(struct walker *w)
{
    for (bool moved = true; moved;) {
        moved = false;
        for (int32_t stage = 0; stage < w->layout->pp; stage++)
            while (take(w, stage))
                moved = true;
    }
    for (int32_t stage = 0; stage < w->layout->pp; stage++) {
        TR_ASSERT(w->line[stage].next == w->line[stage].count);
        while (w->line[stage].owed > 0)
            pay(w, stage);
        double begin_s = w->layout->pipeline == TR_PIPELINE_ZERO_BUBBLE_2P ? w->walk->event[stage * w->per_stage].begin_s : 0;
        w->walk->time_s = fmax(w->walk->time_s, w->line[stage].free_s - begin_s);
        w->walk->end_s = fmax(w->walk->end_s, w->line[stage].free_s);
    }
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static double send_s(const struct walker *w, const struct tr_site *site, const struct tr_blocks *blocks, const struct tr_task *task)
{
    struct tr_split split;
    struct tr_split_class classes[TR_LAYERS_MAX];
    struct tr_load loads[TR_LAYERS_MAX];
    struct tr_stages stages;
    tr_split_make(&split, classes, task->model, &blocks->kinds, w->layout, task->mtp);
    tr_stages_make(&stages, loads, blocks, &split);
    return tr_send_seen_s(site->stack, &split, &stages.slowest, tr_mesh_send(site, w->layout, TR_MESH_PP, blocks->send_bytes, 1).time_s);
}

/* Each chunk has the time of its own layers: it is a stage of a pipeline of as many stages as there are chunks. */
static void make_lines(struct walker *w, const struct tr_blocks *blocks, const struct tr_task *task, struct turn *turns)
{
    const struct tr_layout *l = w->layout;
    struct tr_layout chunks = *l;
    bool apart = l->pipeline == TR_PIPELINE_ZERO_BUBBLE || l->pipeline == TR_PIPELINE_ZERO_BUBBLE_2P;
    struct tr_split split;
    struct tr_split_class classes[TR_LAYERS_MAX];
    chunks.pp = l->pp * l->vpp, chunks.vpp = 1;
    tr_split_make(&split, classes, task->model, &blocks->kinds, &chunks, task->mtp);
    for (int c = 0; c < split.classes; c++) {
        struct tr_stage of;
        tr_stage_make(&of, blocks, &split, &classes[c]);
        for (int32_t i = classes[c].first; i < classes[c].first + classes[c].stages; i++) {
            double weight_s = apart ? of.weight_s : 0;
            w->pass_s[0][i] = of.forward_s;
            w->pass_s[1][i] = of.backward_s - weight_s;
            if (i < l->pp)
                w->line[i].weight_s = weight_s;
        }
    }
    for (int32_t i = 0; i < l->pp; i++) {
        w->line[i].turn = turns + i * 2 * w->micro_count * l->vpp;
        w->line[i].owed_most = (l->pipeline == TR_PIPELINE_ZERO_BUBBLE_2P ? 2 : 1) * i;
        order(w, &w->line[i], i);
    }
}

enum tr_status tr_walk_make(struct tr_walk *out, const struct tr_site *site, const struct tr_task *task,
                            const struct tr_layout *layout, struct tr_err *err)
{
    struct tr_walk walk = {0};
    enum tr_status status = tr_layout_check(layout, task->model, &task->batch, err);
    if (status != TR_OK)
        return status;
    int64_t m = tr_layout_micro_count(layout, &task->batch), chunks = (int64_t)layout->pp * layout->vpp;
    struct walker w = {.layout = layout, .micro_count = m, .walk = &walk, .per_stage = 3 * m * layout->vpp};
    if (m > TR_WALK_EVENTS_MAX || chunks * m * 3 > TR_WALK_EVENTS_MAX)
        return tr_fail(err, TR_BAD_INPUT, "%lld microbatches on %lld chunks are too many to walk; at most %d events",
                       (long long)m, (long long)chunks, TR_WALK_EVENTS_MAX);
    struct tr_blocks *blocks = malloc(sizeof *blocks);
    struct turn *turns = calloc((size_t)(2 * chunks * m), sizeof *turns);
    w.line = calloc((size_t)layout->pp, sizeof *w.line);
    w.filled = calloc((size_t)layout->pp, sizeof *w.filled);
    w.pass_s[0] = malloc((size_t)(2 * chunks) * sizeof *w.pass_s[0]);
    w.done[0] = malloc((size_t)(2 * chunks * m) * sizeof *w.done[0]);
    walk.event = calloc((size_t)(layout->pp * w.per_stage), sizeof *walk.event);
    if (blocks && turns && w.line && w.filled && w.pass_s[0] && w.done[0] && walk.event) {
        w.pass_s[1] = w.pass_s[0] + chunks;
        w.done[1] = w.done[0] + chunks * m;
        for (int64_t i = 0; i < 2 * chunks * m; i++)
            w.done[0][i] = -1;
        tr_blocks_make(blocks, site, task, layout);
        make_lines(&w, blocks, task, turns);
        w.send_s = layout->pp > 1 ? send_s(&w, site, blocks, task) : 0;
        run(&w);
        for (int32_t i = 0; i < layout->pp; i++) {
            memmove(walk.event + walk.count, walk.event + i * w.per_stage, (size_t)w.filled[i] * sizeof *walk.event);
            walk.count += w.filled[i];
        }
        *out = walk;
    } else {
        free(walk.event);
        status = tr_fail(err, TR_FAILED, "out of memory for the walk of a step");
    }
    free(blocks);
    free(turns);
    free(w.line);
    free(w.filled);
    free(w.pass_s[0]);
    free(w.done[0]);
    return status;
}

void tr_walk_free(struct tr_walk *walk)
{
    free(walk->event);
    *walk = (struct tr_walk){0};
}

double tr_walk_longer_s(const struct tr_walk *walk, const struct tr_site *site, const struct tr_step *step)
{
    double once_s = step->term_s[TR_TERM_DP] + step->term_s[TR_TERM_UPDATE] + step->term_s[TR_TERM_STRAGGLE] + site->stack->host_step_s.value;
    return walk->time_s - (step->time_s - once_s);
}

const char *tr_walk_kind_name(enum tr_walk_kind kind)
{
    static const char *const names[TR_WALK_KINDS] = {"forward", "backward", "weight gradients"};
    TR_ASSERT((int)kind >= 0 && kind < TR_WALK_KINDS);
    return names[kind];
}
