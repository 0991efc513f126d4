#include "base/json.h"
#include "plan/report/draw.h"
#include "plan/report/report.h"
#include "plan/step/stage.h"
#include "plan/step/walk.h"

#include <stdio.h>
#include <stdlib.h>

struct tracer {
    const struct tr_plan *p;
    const struct tr_blocks *blocks;
    struct tr_json json;
};

/* ---- events ------------------------------------------------------------------------------------------------------ */

/* Rows of a stage. */
enum row { PASSES, OPERATIONS, ONCE };

static void open_event(struct tracer *t, const char *name, int32_t stage, enum row row, double begin_s, double end_s)
{
    tr_json_object(&t->json, NULL);
    tr_json_string(&t->json, "name", name);
    tr_json_string(&t->json, "ph", "X");
    tr_json_int(&t->json, "pid", stage);
    tr_json_int(&t->json, "tid", row);
    tr_json_double(&t->json, "ts", begin_s * 1e6);
    tr_json_double(&t->json, "dur", (end_s - begin_s) * 1e6);
}

static void put_name(struct tracer *t, const char *kind, int32_t stage, int row, const char *name)
{
    tr_json_object(&t->json, NULL);
    tr_json_string(&t->json, "name", kind);
    tr_json_string(&t->json, "ph", "M");
    tr_json_int(&t->json, "pid", stage);
    tr_json_int(&t->json, "tid", row);
    tr_json_object(&t->json, "args");
    tr_json_string(&t->json, "name", name);
    tr_json_end(&t->json);
    tr_json_end(&t->json);
}

static void put_names(struct tracer *t)
{
    static const char *const rows[] = {"microbatches", "operations of the first pass", "once a step"};
    const struct tr_layout *l = &t->p->layout;
    char name[64];
    for (int32_t stage = 0; stage < l->pp; stage++) {
        int32_t last = 0;
        for (int32_t v = 0; v < l->vpp; v++)
            last += tr_layout_chunk_layers(l, t->p->model.layers, v * l->pp + stage);
        snprintf(name, sizeof name, "stage %d: %d layers", stage, last);
        put_name(t, "process_name", stage, 0, name);
        for (int row = PASSES; row <= ONCE; row++)
            put_name(t, "thread_name", stage, row, rows[row]);
    }
}

static void put_passes(struct tracer *t, const struct tr_walk *walk)
{
    char name[64];
    for (int64_t i = 0; i < walk->count; i++) {
        const struct tr_walk_event *event = &walk->event[i];
        snprintf(name, sizeof name, "%s %d", tr_walk_kind_name(event->kind), event->micro);
        open_event(t, name, event->stage, PASSES, event->begin_s, event->end_s);
        tr_json_object(&t->json, "args");
        tr_json_int(&t->json, "microbatch", event->micro);
        tr_json_int(&t->json, "chunk", event->chunk);
        tr_json_end(&t->json);
        tr_json_end(&t->json);
    }
}

/* ---- operations of one pass -------------------------------------------------------------------------------------- */

/* One layer's operations of a phase, one after the other. Messages that run under attention are left
 * out: they are not a line of their own. */
static void put_block(struct tracer *t, int32_t stage, int which, bool backward, double at_s)
{
    const struct tr_plan *p = t->p;
    const enum tr_block_kind kind = t->blocks->kinds.kind[which];
    struct tr_block block;
    struct tr_lowered ops;
    tr_block_make(&block, &p->model, kind, t->blocks->kinds.window[which], &p->layout, &p->task.batch);
    block.frozen = p->task.lora_rank > 0;
    tr_lower(&block, p->site.stack, p->site.format, &ops);
    for (int i = 0; i < ops.count; i++) {
        const struct tr_step_op *op = &ops.op[i];
        if (op->under_core || (op->phase != TR_STEP_FORWARD) != backward)
            continue;
        struct tr_cost cost = tr_step_op_cost(&p->site, &block, &p->layout, op);
        double hidden = t->blocks->layer[which].room * tr_step_op_hidden(&p->site, &p->layout, op)->value;
        double seen_s = cost.time_s * (1 - hidden);
        if (seen_s <= 0)
            continue;
        open_event(t, op->name, stage, OPERATIONS, at_s, at_s + seen_s);
        tr_json_string(&t->json, "cat", tr_term_name(tr_step_op_term(op)));
        tr_json_object(&t->json, "args");
        tr_json_string(&t->json, "block", tr_block_kind_name(kind));
        tr_json_string(&t->json, "bound", tr_bound_name(cost.bound));
        tr_json_string(&t->json, "grade", tr_grade_name(cost.grade));
        tr_json_end(&t->json);
        tr_json_end(&t->json);
        at_s += seen_s;
    }
}

/* One layer of each kind that the stage has first, below the stage's first pass in that direction. */
static void put_operations(struct tracer *t, const struct tr_walk *walk)
{
    const struct tr_plan *p = t->p;
    int32_t done_forward = -1, done_backward = -1;
    for (int64_t i = 0; i < walk->count; i++) {
        const struct tr_walk_event *event = &walk->event[i];
        bool backward = event->kind != TR_WALK_FORWARD;
        int32_t *done = backward ? &done_backward : &done_forward;
        if (*done == event->stage) /* events are by stage */
            continue;
        *done = event->stage;
        int32_t chunk = event->chunk * p->layout.pp + event->stage;
        int32_t first = tr_layout_chunk_first(&p->layout, p->model.layers, chunk);
        int which = t->blocks->kinds.of[first < p->model.layers ? first : p->model.layers - 1];
        put_block(t, event->stage, which, backward, event->begin_s);
    }
}

/* ---- what follows ------------------------------------------------------------------------------------------------ */

static void put_once(struct tracer *t, double begin_s)
{
    struct tr_once once[TR_ONCE_PARTS];
    tr_plan_once(t->p, once);
    for (int32_t stage = 0; stage < t->p->layout.pp; stage++) {
        double at_s = begin_s;
        for (int i = 0; i < TR_ONCE_PARTS; i++) {
            if (once[i].time_s <= 0)
                continue;
            open_event(t, once[i].name, stage, ONCE, at_s, at_s + once[i].time_s);
            tr_json_end(&t->json);
            at_s += once[i].time_s;
        }
    }
}

enum tr_status tr_plan_trace(const struct tr_plan *plan, struct tr_text *out, struct tr_err *err)
{
    struct tr_walk walk = {0};
    struct tr_blocks *blocks = malloc(sizeof *blocks);
    char layout[TR_LAYOUT_TEXT_BYTES];
    if (!blocks)
        return tr_fail(err, TR_FAILED, "out of memory for a trace");
    enum tr_status status = tr_walk_make(&walk, &plan->site, &plan->task, &plan->layout, err);
    if (status != TR_OK) {
        free(blocks);
        return status;
    }
    tr_blocks_make(blocks, &plan->site, &plan->task, &plan->layout);
    struct tracer t = {.p = plan, .blocks = blocks, .json = tr_json_start(out, TR_JSON_LINE)};
    tr_json_object(&t.json, NULL);
    tr_json_string(&t.json, "displayTimeUnit", "ms");
    tr_json_object(&t.json, "otherData");
    tr_json_string(&t.json, "model", plan->model.name);
    tr_json_string(&t.json, "system", plan->system.id);
    tr_json_int(&t.json, "chips", plan->request.chips);
    tr_json_string(&t.json, "layout", tr_layout_print(&plan->layout, layout));
    tr_json_double(&t.json, "step_s", plan->step.time_s);
    tr_json_double(&t.json, "error_80", plan->step.error);
    tr_json_end(&t.json);
    tr_json_array(&t.json, "traceEvents");
    put_names(&t);
    put_passes(&t, &walk);
    put_operations(&t, &walk);
    put_once(&t, walk.end_s);
    tr_json_end(&t.json);
    tr_json_end(&t.json);
    tr_text_char(out, '\n');
    tr_walk_free(&walk);
    free(blocks);
    return tr_text_failed(out, err) ? TR_FAILED : TR_OK;
}
