/* Charts of rows: bars, pairs, stacks and timelines. */
#include "base/chart.h"

#include <math.h>

enum { ROW = 20, BAR = ROW - 6, TICKS_MAX = 24 };

static void open_figure(struct tr_text *out, const char *title, const char *unit, const char *const *names, int count)
{
    tr_chart_caption(out, title, unit);
    tr_text_append(out, "<div class=\"legend\">");
    for (int i = 0; i < count; i++) {
        if (!names[i])
            continue;
        tr_text_printf(out, "<span><i class=\"b%d\"></i>", i);
        tr_text_append_words(out, names[i]);
        tr_text_append(out, "</span>");
    }
    tr_text_append(out, "</div>");
}

static void put_span(struct tr_text *out, const char *class, const char *text)
{
    tr_text_printf(out, "<span class=\"%s\">", class);
    tr_text_append_words(out, text ? text : "");
    tr_text_append(out, "</span>");
}

static void put_note(struct tr_text *out, const char *note)
{
    tr_text_append(out, "<p class=\"none\">");
    tr_text_append_words(out, note);
    tr_text_append(out, "</p>");
}

/* In percent of the track: what is not nothing can be seen. */
static double share_of(double value, double longest) { return longest > 0 && value > 0 ? 100 * value / longest : 0; }

/* ---- bars -------------------------------------------------------------------------------------------------------- */

void tr_chart_bars(struct tr_text *out, const char *title, const struct tr_bar *bars, int count)
{
    double longest = 0;
    for (int i = 0; i < count; i++)
        longest = fmax(longest, bars[i].value);
    tr_chart_caption(out, title, NULL);
    tr_text_append(out, "<div class=\"rows\">");
    for (int i = 0; i < count; i++) {
        put_span(out, "label", bars[i].label);
        tr_text_printf(out, "<span class=\"track\"><i class=\"bar\" style=\"width:%.2f%%\"></i></span>",
                       share_of(bars[i].value, longest));
        put_span(out, "note", bars[i].note);
        tr_text_append(out, "\n");
    }
    tr_text_append(out, "</div></figure>\n");
}

/* ---- pairs ------------------------------------------------------------------------------------------------------- */

static double spread_of(double error) { return isfinite(error) ? error : 0; }

/* The interval of a value. */
static void draw_whisker(struct tr_text *out, double value, double spread, double longest)
{
    double from = share_of(value * fmax(0, 1 - spread), longest), to = share_of(value * (1 + spread), longest);
    if (spread > 0)
        tr_text_printf(out, "<i class=\"whisker\" style=\"left:%.2f%%;width:%.2f%%\"></i>", from, to - from);
}

static void draw_pair(struct tr_text *out, const struct tr_pair *pair, double longest)
{
    tr_text_printf(out,
                   "<span class=\"track pair\"><i class=\"b0\" style=\"width:%.2f%%\"></i><i class=\"b1\" "
                   "style=\"width:%.2f%%\"></i>",
                   share_of(pair->expected, longest), share_of(pair->found, longest));
    draw_whisker(out, pair->expected, spread_of(pair->error), longest);
    tr_text_append(out, "</span>");
}

void tr_chart_pairs(struct tr_text *out, const struct tr_pairs *pairs)
{
    double longest = 0;
    for (int i = 0; i < pairs->count; i++) {
        const struct tr_pair *pair = &pairs->pair[i];
        longest = fmax(longest, fmax(pair->found, pair->expected * (1 + spread_of(pair->error))));
    }
    open_figure(out, pairs->title, NULL, (const char *const[]){pairs->expected, pairs->found}, 2);
    tr_text_append(out, "<div class=\"rows\">");
    for (int i = 0; i < pairs->count; i++) {
        put_span(out, "label", pairs->pair[i].label);
        draw_pair(out, &pairs->pair[i], longest);
        put_span(out, "note", pairs->pair[i].note);
        tr_text_append(out, "\n");
    }
    tr_text_append(out, "</div></figure>\n");
}

/* ---- stacks ------------------------------------------------------------------------------------------------------ */

static double sum_of(const struct tr_stack_row *row, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += row->part[i];
    return sum;
}

static void draw_stack(struct tr_text *out, const struct tr_stacks *s, int row, double longest)
{
    char value[32];
    put_span(out, "label", s->rows[row].label);
    tr_text_append(out, "<span class=\"track stack\">");
    for (int i = 0; i < s->part_count; i++) {
        if (!(s->rows[row].part[i] * longest > 0))
            continue;
        tr_text_printf(out, "<i class=\"b%d\" style=\"width:%.2f%%\" title=\"", i,
                       share_of(s->rows[row].part[i], longest));
        tr_text_append_words(out, s->names[i]);
        tr_text_append(out, ": ");
        tr_text_append_words(out, s->print(value, s->rows[row].part[i]));
        tr_text_append(out, "\"></i>");
    }
    draw_whisker(out, sum_of(&s->rows[row], s->part_count), s->error, longest);
    if (s->limit > 0)
        tr_text_printf(out, "<i class=\"limit\" style=\"left:%.2f%%\"></i>", share_of(s->limit, longest));
    tr_text_append(out, "</span>");
    put_span(out, "note", s->rows[row].note);
    tr_text_append(out, "\n");
}

/* A row that has the name of the limit where the limit is. It is written towards the middle, so that it keeps to the track. */
static void draw_limit_name(struct tr_text *out, const struct tr_stacks *s, double longest)
{
    const double at = share_of(s->limit, longest);
    put_span(out, "label", NULL);
    tr_text_append(out, "<span class=\"track named\">");
    tr_text_printf(out, at > 50 ? "<b style=\"right:%.2f%%\">" : "<b style=\"left:%.2f%%\">", at > 50 ? 100 - at : at);
    tr_text_append_words(out, s->limit_name);
    tr_text_append(out, "</b></span>");
    put_span(out, "note", NULL);
    tr_text_append(out, "\n");
}

void tr_chart_stacks(struct tr_text *out, const struct tr_stacks *s)
{
    double longest = s->limit;
    TR_ASSERT(s->part_count <= TR_CHART_COLORS);
    for (int i = 0; i < s->row_count; i++)
        longest = fmax(longest, sum_of(&s->rows[i], s->part_count) * (1 + s->error));
    open_figure(out, s->title, NULL, s->names, s->part_count);
    tr_text_append(out, "<div class=\"rows\">");
    if (s->limit > 0 && s->limit_name)
        draw_limit_name(out, s, longest);
    for (int i = 0; i < s->row_count; i++)
        draw_stack(out, s, i, longest);
    tr_text_append(out, "</div></figure>\n");
}

/* ---- timelines --------------------------------------------------------------------------------------------------- */

static void draw_span(struct tr_text *out, const struct tr_timeline *t, const struct tr_span_of *span, double scale)
{
    const double begin = fmax(span->begin, t->begin), end = fmin(span->end, t->end), wide = (end - begin) * scale;
    const double low = span->high > 0 ? span->low : 0, high = span->high > 0 ? span->high : 1, x = (begin - t->begin) * scale;
    const double shown = fmax(wide > 3 ? wide - .6 : wide, .3); /* a gap between those that are wide */
    TR_ASSERT(span->row >= 0 && span->row < t->row_count);
    tr_text_printf(out, "M%.1f %.4gh%.1fv%.4gh-%.1fz", x, span->row * ROW + 3 + (1 - high) * BAR, shown, (high - low) * BAR, shown);
}

/* One path a color: thousands of spans in few bytes. */
static void draw_spans(struct tr_text *out, const struct tr_timeline *t, int color, bool faint, double scale)
{
    bool any = false;
    for (int64_t i = 0; i < t->span_count; i++) {
        const struct tr_span_of *span = &t->spans[i];
        if (span->color != color || span->faint != faint || !(fmin(span->end, t->end) > fmax(span->begin, t->begin)))
            continue;
        tr_text_append(out, any ? "" : "<path d=\"");
        draw_span(out, t, span, scale);
        any = true;
    }
    if (any)
        tr_text_printf(out, "\" class=\"f%d%s\"/>", color, faint ? " faint" : "");
}

static void draw_axis(struct tr_text *out, const struct tr_timeline *t, double scale)
{
    double tick = tr_chart_tick((t->end - t->begin) * t->scale, 6);
    int bottom = t->row_count * ROW + 4;
    tr_text_printf(out, "<line class=\"axis\" x2=\"100%%\" y1=\"%d\" y2=\"%d\"/>", bottom, bottom);
    double first = ceil(t->begin * t->scale / tick - 1e-9);
    for (int i = 0; i < TICKS_MAX && (first + i) * tick <= t->end * t->scale * (1 + 1e-9); i++)
        tr_text_printf(out, "<text x=\"%.2f%%\" y=\"%d\" text-anchor=\"middle\">%.6g</text>",
                       ((first + i) * tick / t->scale - t->begin) * scale / 10, bottom + 16, (first + i) * tick);
}

void tr_chart_timeline(struct tr_text *out, const struct tr_timeline *t)
{
    TR_ASSERT(t->color_count <= TR_CHART_COLORS && t->end > t->begin && t->scale > 0);
    double scale = TR_CHART_ACROSS / (t->end - t->begin);
    int height = t->row_count * ROW;
    open_figure(out, t->title, t->unit, t->color_names, t->color_count);
    tr_chart_plot(out, "plot time", t->title, height + 4);
    for (int i = 0; i < t->row_count; i++) {
        tr_text_printf(out, "<text x=\"-8\" y=\"%d\" text-anchor=\"end\">", i * ROW + 14);
        tr_text_append_words(out, t->row_names[i]);
        tr_text_append(out, "</text>");
    }
    tr_text_printf(out, "<svg viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" height=\"%d\">", TR_CHART_ACROSS,
                   height, height);
    for (int c = 0; c < t->color_count; c++) {
        draw_spans(out, t, c, false, scale);
        draw_spans(out, t, c, true, scale);
    }
    tr_text_append(out, "</svg>");
    draw_axis(out, t, scale);
    tr_text_append(out, "</svg></div>");
    if (t->note)
        put_note(out, t->note);
    tr_text_append(out, "</figure>\n");
}
