/* Charts of rows: stacks and timelines. */
#include "base/chart.h"

#include <math.h>

/* As wide as a page, so that letters are as large as in charts of half the width. */
enum { WIDTH = 1120, ROW = 20, LABEL = 96, NOTE = 96, AXIS = 34, TICKS_MAX = 24 };

static void open_figure(struct tr_text *out, const char *title, const char *unit, const char *const *names, int count)
{
    tr_text_append(out, "<figure><figcaption>");
    tr_text_append_html(out, title);
    if (unit) {
        tr_text_append(out, " <small>");
        tr_text_append_html(out, unit);
        tr_text_append(out, "</small>");
    }
    tr_text_append(out, "</figcaption><div class=\"legend\">");
    for (int i = 0; i < count; i++) {
        tr_text_printf(out, "<span><i class=\"b%d\"></i>", i);
        tr_text_append_html(out, names[i]);
        tr_text_append(out, "</span>");
    }
    tr_text_append(out, "</div>");
}

static void put_label(struct tr_text *out, const char *label, int row)
{
    tr_text_printf(out, "<text class=\"barlabel\" x=\"%d\" y=\"%d\" text-anchor=\"end\">", LABEL - 8, row * ROW + 14);
    tr_text_append_html(out, label);
    tr_text_append(out, "</text>");
}

/* ---- stacks ------------------------------------------------------------------------------------------------------ */

static double sum_of(const struct tr_stack_row *row, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += row->part[i];
    return sum;
}

static void draw_stack(struct tr_text *out, const struct tr_stacks *s, int row, double scale)
{
    char value[32];
    double x = LABEL;
    put_label(out, s->rows[row].label, row);
    for (int i = 0; i < s->part_count; i++) {
        double width = s->rows[row].part[i] * scale;
        if (!(width > 0))
            continue;
        tr_text_printf(out, "<rect class=\"f%d\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\"><title>", i, x,
                       row * ROW + 3, width, ROW - 6);
        tr_text_append_html(out, s->names[i]);
        tr_text_append(out, ": ");
        tr_text_append_html(out, s->print(value, s->rows[row].part[i]));
        tr_text_append(out, "</title></rect>");
        x += width;
    }
    if (!s->rows[row].note)
        return;
    tr_text_printf(out, "<text class=\"note\" x=\"%d\" y=\"%d\" text-anchor=\"end\">", WIDTH - 8, row * ROW + 14);
    tr_text_append_html(out, s->rows[row].note);
    tr_text_append(out, "</text>");
}

void tr_chart_stacks(struct tr_text *out, const struct tr_stacks *s)
{
    double longest = s->limit;
    TR_ASSERT(s->part_count <= TR_CHART_COLORS);
    for (int i = 0; i < s->row_count; i++)
        longest = fmax(longest, sum_of(&s->rows[i], s->part_count));
    double scale = longest > 0 ? (WIDTH - LABEL - NOTE) / longest : 0;
    open_figure(out, s->title, NULL, s->names, s->part_count);
    tr_text_printf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\">", WIDTH, s->row_count * ROW + 4);
    for (int i = 0; i < s->row_count; i++)
        draw_stack(out, s, i, scale);
    if (s->limit > 0)
        tr_text_printf(out, "<line class=\"limit\" x1=\"%.1f\" x2=\"%.1f\" y1=\"0\" y2=\"%d\"/>",
                       LABEL + s->limit * scale, LABEL + s->limit * scale, s->row_count * ROW + 4);
    tr_text_append(out, "</svg></figure>\n");
}

/* ---- timelines --------------------------------------------------------------------------------------------------- */

/* One path a color: thousands of spans in few bytes. */
static void draw_spans(struct tr_text *out, const struct tr_timeline *t, int color, double scale)
{
    bool any = false;
    for (int64_t i = 0; i < t->span_count; i++) {
        const struct tr_span_of *span = &t->spans[i];
        double begin = fmax(span->begin, t->begin), end = fmin(span->end, t->end);
        if (span->color != color || !(end > begin))
            continue;
        TR_ASSERT(span->row >= 0 && span->row < t->row_count);
        double x = LABEL + (begin - t->begin) * scale, gap = (end - begin) * scale > 3 ? .6 : 0;
        tr_text_printf(out, "%sM%.1f %dh%.1fv%dh-%.1fz", any ? "" : "<path d=\"", x, span->row * ROW + 3,
                       fmax((end - begin) * scale - gap, .3), ROW - 6, fmax((end - begin) * scale - gap, .3));
        any = true;
    }
    if (any)
        tr_text_printf(out, "\" class=\"f%d\"/>", color);
}

static void draw_axis(struct tr_text *out, const struct tr_timeline *t, double scale)
{
    double tick = tr_chart_tick((t->end - t->begin) * t->scale, 10);
    int bottom = t->row_count * ROW + 4;
    tr_text_printf(out, "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>", LABEL, WIDTH - 8, bottom,
                   bottom);
    double first = ceil(t->begin * t->scale / tick - 1e-9);
    for (int i = 0; i < TICKS_MAX && (first + i) * tick <= t->end * t->scale * (1 + 1e-9); i++)
        tr_text_printf(out, "<text class=\"tick\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.6g</text>",
                       LABEL + ((first + i) * tick / t->scale - t->begin) * scale, bottom + 16, (first + i) * tick);
}

void tr_chart_timeline(struct tr_text *out, const struct tr_timeline *t)
{
    TR_ASSERT(t->color_count <= TR_CHART_COLORS && t->end > t->begin && t->scale > 0);
    double scale = (WIDTH - LABEL - 8) / (t->end - t->begin);
    open_figure(out, t->title, t->unit, t->color_names, t->color_count);
    tr_text_printf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\">", WIDTH, t->row_count * ROW + AXIS);
    for (int i = 0; i < t->row_count; i++)
        put_label(out, t->row_names[i], i);
    for (int c = 0; c < t->color_count; c++)
        draw_spans(out, t, c, scale);
    draw_axis(out, t, scale);
    tr_text_append(out, "</svg></figure>\n");
}
