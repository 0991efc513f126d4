#include "plan/report/draw.h"

#include "base/chart.h"
#include "base/quantity.h"
#include "plan/step/walk.h"

#include <stdio.h>
#include <stdlib.h>

enum { NOTE_BYTES = 96, STAGES_MAX = 64 };

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

/* The longest window from the beginning (or up to the end) with at most spans_max events. */
static double window_s(const struct tr_walk *walk, int spans_max, bool from_end)
{
    double low = 0, high = walk->time_s;
    for (int round = 0; round < 40; round++) {
        double middle = round == 0 ? high : (low + high) / 2;
        int64_t inside = 0;
        for (int64_t i = 0; i < walk->count; i++)
            inside += from_end ? walk->event[i].end_s > walk->time_s - middle : walk->event[i].begin_s < middle;
        if (inside <= spans_max)
            low = middle;
        else
            high = middle;
        if (low == high)
            break;
    }
    return low;
}

static void put_window(const struct tr_plan *p, struct tr_text *out, const struct tr_walk *walk,
                       const struct tr_span_of *spans, double begin_s, double end_s, const char *title)
{
    static const char *const kinds[] = {"forward", "backward", "weight gradients"};
    static char label[STAGES_MAX][24];
    const char *names[STAGES_MAX];
    int rows = p->layout.pp < STAGES_MAX ? p->layout.pp : STAGES_MAX;
    for (int i = 0; i < rows; i++) {
        snprintf(label[i], sizeof label[i], "stage %d", i);
        names[i] = label[i];
    }
    bool split = p->layout.pipeline == TR_PIPELINE_ZERO_BUBBLE || p->layout.pipeline == TR_PIPELINE_ZERO_BUBBLE_2P;
    tr_chart_timeline(out, &(struct tr_timeline){.title = title,
                                                 .unit = "ms",
                                                 .begin = begin_s,
                                                 .end = end_s,
                                                 .scale = 1e3,
                                                 .row_names = names,
                                                 .row_count = rows,
                                                 .color_names = kinds,
                                                 .color_count = split ? 3 : 2,
                                                 .spans = spans,
                                                 .span_count = walk->count});
}

enum tr_status tr_plan_draw_pipeline(const struct tr_plan *p, int spans_max, bool end_too, struct tr_text *out,
                                     struct tr_err *err)
{
    struct tr_walk walk = {0};
    enum tr_status status = tr_walk_make(&walk, &p->site, &p->task, &p->layout, err);
    if (status != TR_OK)
        return status;
    struct tr_span_of *spans = calloc((size_t)walk.count + 1, sizeof *spans);
    if (!spans) {
        tr_walk_free(&walk);
        return tr_fail(err, TR_FAILED, "out of memory for a report");
    }
    int64_t count = 0;
    for (int64_t i = 0; i < walk.count; i++)
        if (walk.event[i].stage < STAGES_MAX)
            spans[count++] = (struct tr_span_of){.row = walk.event[i].stage,
                                                 .color = (int)walk.event[i].kind,
                                                 .begin = walk.event[i].begin_s,
                                                 .end = walk.event[i].end_s};
    walk.count = count;
    double first = window_s(&walk, spans_max, false), last = window_s(&walk, spans_max, true);
    if (first >= walk.time_s) {
        put_window(p, out, &walk, spans, 0, walk.time_s, "One step");
    } else {
        put_window(p, out, &walk, spans, 0, first, "The beginning of a step");
        if (end_too)
            put_window(p, out, &walk, spans, walk.time_s - last, walk.time_s, "The end of a step");
    }
    free(spans);
    tr_walk_free(&walk);
    return TR_OK;
}
