#include "plan/report/draw.h"

#include "base/chart.h"
#include "base/quantity.h"
#include "plan/step/walk.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Passes: more of a stage cannot be seen side by side; so many of one kind are a block of their own among those that alternate. */
enum { NOTE_BYTES = 96, STAGES_MAX = 64, PASSES_SEEN = 128, RUN_MIN = 4 };
/* A stage that waits longer than so many of its next pass is drawn as waiting. */
#define WAIT_MAX 2.0
/* What is drawn beyond the filling of the pipeline, and before it drains. */
#define SOME_MORE 1.4

void tr_plan_draw_step(const struct tr_plan *p, struct tr_text *out)
{
    struct tr_bar bars[TR_TERM_COUNT];
    char note[TR_TERM_COUNT][NOTE_BYTES], time[TR_QUANTITY_BYTES];
    int count = 0;
    for (int i = 0; i < TR_TERM_COUNT; i++) {
        if (p->step.term_s[i] <= 0)
            continue;
        snprintf(note[count], NOTE_BYTES, "%s, %.1f %%", tr_print_time(time, p->step.term_s[i]),
                 100 * p->step.term_s[i] / p->step.time_s);
        bars[count] = (struct tr_bar){tr_term_name((enum tr_term)i), p->step.term_s[i], note[count]};
        count++;
    }
    tr_chart_bars(out, "A step, by what takes its time", bars, count);
}

/* ---- the pipeline ------------------------------------------------------------------------------------------------ */

void tr_plan_once(const struct tr_plan *p, struct tr_once once[TR_ONCE_PARTS])
{
    const struct tr_step *step = &p->step;
    once[0] = (struct tr_once){"gradients and weights between replicas", step->term_s[TR_TERM_DP]};
    once[1] = (struct tr_once){"optimiser", step->term_s[TR_TERM_UPDATE]};
    once[2] = (struct tr_once){"host", p->stack.host_step_s.value};
    once[3] = (struct tr_once){"waiting for the slowest node", step->term_s[TR_TERM_STRAGGLE]};
}

/* Colours: kinds of passes, then what is once a step. */
enum { COLORS = TR_WALK_KINDS + TR_ONCE_PARTS };

struct drawing {
    const struct tr_plan *p;
    struct tr_walk walk;
    struct tr_once once[TR_ONCE_PARTS];
    struct tr_span_of *span; /* owned; of stages below STAGES_MAX */
    int64_t count;
    double end_s;  /* of what follows the walk */
    bool merged;   /* more passes than can be seen one by one */
};

static void add_span(struct drawing *d, struct tr_span_of span)
{
    if (span.end > span.begin)
        d->span[d->count++] = span;
}

static void add_pass(struct drawing *d, const struct tr_walk_event *e)
{
    add_span(d, (struct tr_span_of){.row = e->stage, .color = (int)e->kind, .begin = e->begin_s, .end = e->end_s, .faint = e->chunk % 2});
}

static bool is_kept_busy(const struct tr_walk_event *e) { return e->begin_s - e[-1].end_s <= WAIT_MAX * (e->end_s - e->begin_s); }

/* Behind the last of the passes of one kind that begin at `from`. */
static int64_t end_of_run(const struct tr_walk_event *e, int64_t from, int64_t end)
{
    int64_t i = from + 1;
    while (i < end && e[i].kind == e[from].kind && is_kept_busy(&e[i]))
        i++;
    return i;
}

/* Behind the last of those that become one block: a run of one kind, or short runs that alternate. */
static int64_t end_of_block(const struct tr_walk_event *e, int64_t from, int64_t end)
{
    int64_t i = end_of_run(e, from, end);
    for (int64_t run = i - from, next; run < RUN_MIN && i < end && is_kept_busy(&e[i]); i = next) {
        next = end_of_run(e, i, end);
        run = next - i;
        if (run >= RUN_MIN)
            break;
    }
    return i;
}

/* Kinds above one another, each as high as its share of the block's time; what stays empty is waiting. */
static void add_block(struct drawing *d, const struct tr_walk_event *e, int64_t count)
{
    double sum_s[TR_WALK_KINDS] = {0}, low = 0;
    const double begin_s = e[0].begin_s, end_s = e[count - 1].end_s;
    for (int64_t i = 0; i < count; i++)
        sum_s[e[i].kind] += e[i].end_s - e[i].begin_s;
    for (int kind = 0; kind < TR_WALK_KINDS && end_s > begin_s; kind++) {
        const double high = fmin(1, low + sum_s[kind] / (end_s - begin_s));
        if (high > low)
            add_span(d, (struct tr_span_of){.row = e->stage, .color = kind, .begin = begin_s, .end = end_s, .low = low, .high = high});
        low = high;
    }
}

static void add_stage(struct drawing *d, const struct tr_walk_event *e, int64_t count)
{
    for (int64_t i = 0, next; i < count; i = next) {
        next = d->merged ? end_of_block(e, i, count) : i + 1;
        if (d->merged)
            add_block(d, &e[i], next - i);
        else
            add_pass(d, &e[i]);
    }
}

static void add_once(struct drawing *d, int stage)
{
    double at_s = d->walk.end_s;
    for (int i = 0; i < TR_ONCE_PARTS; i++) {
        if (!(d->once[i].time_s > 0))
            continue;
        add_span(d, (struct tr_span_of){.row = stage, .color = TR_WALK_KINDS + i, .begin = at_s, .end = at_s + d->once[i].time_s});
        at_s += d->once[i].time_s;
    }
    d->end_s = at_s;
}

static int64_t count_of(const struct tr_walk *walk, int64_t from)
{
    int64_t i = from;
    while (i < walk->count && walk->event[i].stage == walk->event[from].stage)
        i++;
    return i - from;
}

/* All rows; `merged` says whether passes become blocks. */
static void fill(struct drawing *d, bool merged)
{
    d->count = 0;
    d->merged = merged;
    for (int64_t i = 0, count; i < d->walk.count && d->walk.event[i].stage < STAGES_MAX; i += count) {
        count = count_of(&d->walk, i);
        add_stage(d, &d->walk.event[i], count);
        add_once(d, d->walk.event[i].stage);
    }
}

/* From `begin_s` to `end_s` of the step. */
static void put_window(const struct drawing *d, struct tr_text *out, double begin_s, double end_s, const char *title, const char *note)
{
    static char label[STAGES_MAX][24];
    const char *names[STAGES_MAX], *colors[COLORS] = {NULL};
    const bool in_seconds = end_s - begin_s >= 1;
    const int rows = d->p->layout.pp < STAGES_MAX ? d->p->layout.pp : STAGES_MAX;
    for (int i = 0; i < rows; i++) {
        snprintf(label[i], sizeof label[i], "stage %d", i);
        names[i] = label[i];
    }
    for (int64_t i = 0; i < d->count; i++) {
        const struct tr_span_of *span = &d->span[i];
        if (span->end > begin_s && span->begin < end_s)
            colors[span->color] = span->color < TR_WALK_KINDS ? tr_walk_kind_name((enum tr_walk_kind)span->color)
                                                              : d->once[span->color - TR_WALK_KINDS].name;
    }
    tr_chart_timeline(out, &(struct tr_timeline){.title = title,
                                                 .unit = in_seconds ? "seconds from its beginning" : "ms from its beginning",
                                                 .begin = begin_s,
                                                 .end = end_s,
                                                 .scale = in_seconds ? 1 : 1e3,
                                                 .row_names = names,
                                                 .row_count = rows,
                                                 .color_names = colors,
                                                 .color_count = COLORS,
                                                 .spans = d->span,
                                                 .span_count = d->count,
                                                 .note = note});
}

static void put_whole(const struct drawing *d, struct tr_text *out)
{
    char drawn[TR_QUANTITY_BYTES], composed[TR_QUANTITY_BYTES];
    struct tr_text note = {0};
    if (d->merged)
        tr_text_append(&note, "Passes that follow one another are drawn as one block. Where a stage alternates between kinds, each is as high "
                              "as its share of the time. ");
    tr_text_append(&note, "What is empty is waiting. ");
    if (d->p->layout.pp > STAGES_MAX)
        tr_text_printf(&note, "The first %d of %d stages. ", STAGES_MAX, d->p->layout.pp);
    tr_text_printf(&note, "Walked through pass by pass the step ends after %s; composed of its terms it takes %s.",
                   tr_print_time(drawn, d->end_s), tr_print_time(composed, d->p->step.time_s));
    if (d->walk.time_s < d->walk.end_s)
        tr_text_printf(&note, " That its stages begin one after the other, %s, is not in it: they end so too, and begin the next step at once.",
                       tr_print_time(drawn, d->walk.end_s - d->walk.time_s));
    put_window(d, out, 0, d->end_s, "What each stage does in a step", tr_text_str(&note));
    tr_text_free(&note);
}

/* When the first stage begins its first backward pass: by then all stages have work. And when it ends its last forward pass. */
static void find_turns(const struct tr_walk *walk, double *first_backward_s, double *last_forward_s)
{
    *first_backward_s = walk->end_s;
    *last_forward_s = 0;
    for (int64_t i = 0; i < walk->count && walk->event[i].stage == 0; i++) {
        const struct tr_walk_event *e = &walk->event[i];
        if (e->kind == TR_WALK_FORWARD)
            *last_forward_s = fmax(*last_forward_s, e->end_s);
        else
            *first_backward_s = fmin(*first_backward_s, e->begin_s);
    }
}

/* The beginning and the end as they are, pass by pass, where the whole had to be merged. */
static void put_ends(struct drawing *d, struct tr_text *out)
{
    char title[96], time[TR_QUANTITY_BYTES], of[TR_QUANTITY_BYTES];
    const char *note = d->p->layout.vpp > 1 ? "Fainter: every other chunk of layers of the stage." : NULL;
    double first_s, last_s;
    find_turns(&d->walk, &first_s, &last_s);
    first_s = fmin(first_s * SOME_MORE, d->walk.end_s / 2);
    last_s = fmin((d->walk.end_s - last_s) * SOME_MORE, d->walk.end_s / 2) + d->end_s - d->walk.end_s;
    fill(d, false);
    tr_print_time(of, d->end_s);
    snprintf(title, sizeof title, "Its first %s of %s, pass by pass", tr_print_time(time, first_s), of);
    put_window(d, out, 0, first_s, title, note);
    snprintf(title, sizeof title, "Its last %s of %s, pass by pass", tr_print_time(time, last_s), of);
    put_window(d, out, d->end_s - last_s, d->end_s, title, note);
}

enum tr_status tr_plan_draw_pipeline(const struct tr_plan *p, bool ends_too, struct tr_text *out, struct tr_err *err)
{
    struct drawing d = {.p = p};
    enum tr_status status = tr_walk_make(&d.walk, &p->site, &p->task, &p->layout, err);
    if (status != TR_OK)
        return status;
    d.span = calloc((size_t)(d.walk.count + STAGES_MAX * TR_ONCE_PARTS), sizeof *d.span); /* a block has no more spans than passes */
    if (d.span) {
        tr_plan_once(p, d.once);
        fill(&d, count_of(&d.walk, 0) > PASSES_SEEN);
        put_whole(&d, out);
        if (ends_too && d.merged)
            put_ends(&d, out);
    } else {
        status = tr_fail(err, TR_FAILED, "out of memory for a report");
    }
    free(d.span);
    tr_walk_free(&d.walk);
    return status;
}
