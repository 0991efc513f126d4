#include "base/chart.h"

#include "base/err.h"
#include "base/plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { HEIGHT = 208, TICKS_MAX = 24 };

struct bounds {
    double x0, x1, y0, y1;
    bool any;
};

struct frame {
    struct bounds data;
    double y_tick, x_tick;
};

double tr_chart_tick(double range, int wanted)
{
    if (!(range > 0.0) || wanted < 1)
        return 1.0;
    double rough = range / wanted, power = 1.0;
    for (int i = 0; i < 400 && power > rough; i++)
        power /= 10.0;
    for (int i = 0; i < 400 && power * 10.0 <= rough; i++)
        power *= 10.0;
    double lead = rough / power;
    return power * (lead <= 1.0 ? 1.0 : lead <= 2.0 ? 2.0 : lead <= 5.0 ? 5.0 : 10.0);
}

static void include(struct bounds *b, double x, double y)
{
    if (!tr_plot_takes(x) || !tr_plot_takes(y))
        return;
    if (!b->any) {
        *b = (struct bounds){x, x, y, y, true};
        return;
    }
    b->x0 = fmin(b->x0, x);
    b->x1 = fmax(b->x1, x);
    b->y0 = fmin(b->y0, y);
    b->y1 = fmax(b->y1, y);
}

static bool has_band(const struct tr_chart *chart)
{
    const struct tr_band *band = chart->band;
    return band && tr_plot_takes(band->low) && tr_plot_takes(band->middle) && tr_plot_takes(band->high);
}

static void widen(double *low, double *high)
{
    if (*high > *low)
        return;
    double half = *low != 0.0 ? fabs(*low) * 0.05 : 0.5;
    *low -= half;
    *high += half;
}

static struct frame make_frame(const struct tr_chart *chart)
{
    struct frame f = {.data = {.any = false}};
    for (int s = 0; s < chart->series_count; s++)
        for (int64_t i = 0; i < chart->series[s].count; i++)
            include(&f.data, chart->series[s].x[i], chart->series[s].y[i]);
    if (!f.data.any)
        return f;
    if (chart->from_zero)
        f.data.y0 = fmin(0.0, f.data.y0);
    if (has_band(chart)) {
        include(&f.data, f.data.x0, chart->band->low);
        include(&f.data, f.data.x0, chart->band->high);
    }
    widen(&f.data.x0, &f.data.x1);
    widen(&f.data.y0, &f.data.y1);
    f.y_tick = tr_chart_tick(f.data.y1 - f.data.y0, 5);
    f.x_tick = tr_chart_tick(f.data.x1 - f.data.x0, 7);
    f.data.y0 = floor(f.data.y0 / f.y_tick) * f.y_tick;
    f.data.y1 = ceil(f.data.y1 / f.y_tick) * f.y_tick;
    return f;
}

/* Across in thousandths of the width, whatever that is; down in pixels. */
static double x_at(const struct frame *f, double x)
{
    return (x - f->data.x0) / (f->data.x1 - f->data.x0) * TR_CHART_ACROSS;
}

static double y_at(const struct frame *f, double y)
{
    return HEIGHT - (y - f->data.y0) / (f->data.y1 - f->data.y0) * HEIGHT;
}

/* 12500 -> "12.5k": axis labels stay short. */
static const char *tick_label(char buf[32], double value)
{
    double size = fabs(value);
    if (size < 1e-300)
        snprintf(buf, 32, "0");
    else if (size >= 1e9)
        snprintf(buf, 32, "%.4gG", value / 1e9);
    else if (size >= 1e6)
        snprintf(buf, 32, "%.4gM", value / 1e6);
    else if (size >= 1e4)
        snprintf(buf, 32, "%.4gk", value / 1e3);
    else
        snprintf(buf, 32, "%.4g", value);
    return buf;
}

static void draw_axes(struct tr_text *out, const struct tr_chart *chart, const struct frame *f)
{
    char label[32];
    int64_t first = (int64_t)ceil(f->data.y0 / f->y_tick - 1e-9);
    for (int64_t i = first; i < first + TICKS_MAX && (double)i * f->y_tick <= f->data.y1 + 1e-9 * f->y_tick; i++) {
        double y = y_at(f, (double)i * f->y_tick);
        tr_text_printf(out, "<line class=\"grid\" x2=\"100%%\" y1=\"%.1f\" y2=\"%.1f\"/>", y, y);
        tr_text_printf(out, "<text x=\"-8\" y=\"%.1f\" text-anchor=\"end\">%s</text>", y + 4.0,
                       tick_label(label, (double)i * f->y_tick));
    }
    first = (int64_t)ceil(f->data.x0 / f->x_tick - 1e-9);
    for (int64_t i = first; i < first + TICKS_MAX && (double)i * f->x_tick <= f->data.x1; i++)
        tr_text_printf(out, "<text x=\"%.2f%%\" y=\"%d\" text-anchor=\"middle\">%s</text>",
                       x_at(f, (double)i * f->x_tick) / 10.0, HEIGHT + 17, tick_label(label, (double)i * f->x_tick));
    tr_text_printf(out, "<line class=\"axis\" x2=\"100%%\" y1=\"%d\" y2=\"%d\"/><text x=\"100%%\" y=\"%d\" "
                        "text-anchor=\"end\">", HEIGHT, HEIGHT, HEIGHT + 34);
    tr_text_append_words(out, chart->x_label);
    tr_text_append(out, "</text>");
}

/* What was expected: an interval across the whole width, its middle as a line. */
static void draw_band(struct tr_text *out, const struct tr_band *band, const struct frame *f)
{
    double top = y_at(f, band->high), middle = y_at(f, band->middle);
    tr_text_printf(out, "<rect class=\"band\" width=\"100%%\" y=\"%.1f\" height=\"%.1f\"/><line class=\"expected\" x2=\"100%%\" "
                        "y1=\"%.1f\" y2=\"%.1f\"/>", top, y_at(f, band->low) - top, middle, middle);
}

/* The mean of a bucket of a long series; a bucket without a finite value is a gap. */
static bool bucket_mean(const struct tr_series *s, int64_t begin, int64_t end, double *x, double *y)
{
    double sum_x = 0.0, sum_y = 0.0;
    int64_t n = 0;
    for (int64_t i = begin; i < end; i++) {
        if (!tr_plot_takes(s->x[i]) || !tr_plot_takes(s->y[i]))
            continue;
        sum_x += s->x[i];
        sum_y += s->y[i];
        n++;
    }
    if (n == 0)
        return false;
    *x = sum_x / (double)n;
    *y = sum_y / (double)n;
    return true;
}

static void draw_line(struct tr_text *out, const struct tr_series *s, int color, const struct frame *f)
{
    int64_t drawn = s->points || s->count < TR_CHART_POINTS ? s->count : TR_CHART_POINTS;
    tr_text_printf(out, "<path class=\"line c%d\" d=\"", color);
    bool pen_down = false;
    for (int64_t i = 0; i < drawn; i++) {
        double x, y;
        bool there = bucket_mean(s, i * s->count / drawn, (i + 1) * s->count / drawn, &x, &y);
        if (there)
            tr_text_printf(out, "%c%.1f %.1f", pen_down ? 'L' : 'M', x_at(f, x), y_at(f, y));
        pen_down = there;
    }
    tr_text_append(out, "\"/>");
}

static void draw_points(struct tr_text *out, const struct tr_series *s, int color, const struct frame *f)
{
    for (int64_t i = 0; i < s->count; i++) {
        if (!tr_plot_takes(s->x[i]) || !tr_plot_takes(s->y[i]))
            continue;
        tr_text_printf(out, "<circle class=\"dot c%d\" cx=\"%.2f%%\" cy=\"%.1f\" r=\"3.5\"><title>", color,
                       x_at(f, s->x[i]) / 10.0, y_at(f, s->y[i]));
        tr_text_append_words(out, s->name);
        tr_text_printf(out, ": %.6g at %.6g</title></circle>", s->y[i], s->x[i]);
    }
}

static void draw_name(struct tr_text *out, const char *class, const char *name)
{
    tr_text_printf(out, "<span><i class=\"%s\"></i>", class);
    tr_text_append_words(out, name);
    tr_text_append(out, "</span>");
}

/* Of one curve alone its title is the name. A band is named here, as in its frame a curve may be anywhere. */
static void draw_legend(struct tr_text *out, const struct tr_chart *chart)
{
    if (chart->series_count < 2 && !has_band(chart))
        return;
    tr_text_append(out, "<div class=\"legend\">");
    for (int s = 0; s < chart->series_count; s++) {
        const char class[] = {'b', (char)('0' + s), 0};
        draw_name(out, class, chart->series[s].name);
    }
    if (has_band(chart))
        draw_name(out, "band", chart->band->name);
    tr_text_append(out, "</div>");
}

void tr_chart_caption(struct tr_text *out, const char *title, const char *unit)
{
    tr_text_append(out, "<figure><figcaption>");
    tr_text_append_words(out, title);
    if (unit != NULL) {
        tr_text_append(out, " <small>");
        tr_text_append_words(out, unit);
        tr_text_append(out, "</small>");
    }
    tr_text_append(out, "</figcaption>");
}

void tr_chart_plot(struct tr_text *out, const char *class, const char *title, int height)
{
    tr_text_printf(out, "<div class=\"%s\"><svg height=\"%d\" role=\"img\" aria-label=\"", class, height);
    tr_text_append_words(out, title);
    tr_text_append(out, "\">");
}

void tr_chart_lines(struct tr_text *out, const struct tr_chart *chart)
{
    TR_ASSERT(chart->series_count <= TR_CHART_COLORS);
    struct frame f = make_frame(chart);
    tr_chart_caption(out, chart->title, chart->y_label);
    if (!f.data.any) {
        tr_text_append(out, "<p class=\"none\">no values</p></figure>\n");
        return;
    }
    draw_legend(out, chart);
    tr_chart_plot(out, "plot", chart->title, HEIGHT);
    draw_axes(out, chart, &f);
    if (has_band(chart))
        draw_band(out, chart->band, &f);
    tr_text_printf(out, "<svg viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" height=\"%d\">", TR_CHART_ACROSS, HEIGHT, HEIGHT);
    for (int s = 0; s < chart->series_count; s++)
        draw_line(out, &chart->series[s], s, &f);
    tr_text_append(out, "</svg>");
    for (int s = 0; s < chart->series_count; s++)
        if (chart->series[s].points)
            draw_points(out, &chart->series[s], s, &f);
    tr_text_append(out, "</svg></div></figure>\n");
}

void tr_chart_style(struct tr_text *out)
{
    tr_text_append(out,
        ":root{color-scheme:light dark;--bg:#fbfbf9;--card:#fff;--paper:var(--card);--ink:#22262b;--soft:#6a7178;--grid:#e6e7e4;"
        "--c0:#2563a8;--c1:#c4581a;--c2:#2d8659;--c3:#8a4fa3;--c4:#a8872a;--c5:#b03a5b;--c6:#5c7c8a;--c7:#7a6a5a}\n"
        "@media(prefers-color-scheme:dark){:root{--bg:#15181c;--card:#1d2126;--ink:#e4e6e8;--soft:#969da5;--grid:#30353b;"
        "--c0:#6ea8e6;--c1:#ef9157;--c2:#62c392;--c3:#c491db;--c4:#d9bb62;--c5:#e8799a;--c6:#9dbac6;--c7:#b8a695}}\n"
        "*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);"
        "font:15px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif}\n"
        "main{max-width:1180px;margin:0 auto;padding:28px 20px 60px}"
        "h1{font-size:26px;line-height:1.25;margin:0;text-wrap:balance}h2{font-size:18px;"
        "margin:34px 0 10px}p.sub{color:var(--soft);margin:4px 0 20px}\n"
        ".charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(460px,100%),1fr));gap:16px;"
        "align-items:start}.one{grid-template-columns:100%}"
        "main>figure+figure,main>figure+.charts,main>.charts+.charts,main>.charts+figure{margin-top:16px}\n"
        "figure{margin:0;background:var(--card);border:1px solid var(--grid);border-radius:8px;padding:14px 16px 8px;min-width:0;"
        "container-type:inline-size}\n"
        "figcaption{font-weight:600;margin-bottom:4px}figcaption small,.legend,.none{color:var(--soft);font-weight:400}"
        ".none{font-size:13px;margin:0 0 6px}\n"
        "svg{display:block;width:100%;overflow:visible}.plot{margin:8px 12px 40px 62px}.plot.roof{margin-right:84px}"
        ".plot.time{margin-bottom:26px}\n"
        ".grid{stroke:var(--grid)}.axis{stroke:var(--soft)}.lead{stroke:var(--soft);opacity:.45}"
        "svg text{fill:var(--soft);font-size:12px}"
        "svg .over{fill:var(--ink);paint-order:stroke;stroke:var(--card);stroke-width:3px}\n"
        ".line{fill:none;stroke-width:2;stroke-linejoin:round;vector-effect:non-scaling-stroke}"
        ".band{fill:var(--c0);opacity:.13}.expected{stroke:var(--c0);stroke-dasharray:5 4}\n"
        ".rows{display:grid;grid-template-columns:fit-content(44%) minmax(60px,1fr) fit-content(44%);gap:5px 10px;"
        "align-items:center;font-size:13px;padding:6px 0 8px}.rows .label{text-align:right}.rows .note{color:var(--soft);"
        "font-variant-numeric:tabular-nums}\n"
        ".track{position:relative;height:15px}.track i{display:block;min-width:1px;height:100%;-webkit-print-color-adjust:exact;"
        "print-color-adjust:exact}.track .bar{background:var(--c0);border-radius:2px}.stack{display:flex}\n"
        ".pair i{height:7px;margin-bottom:1px;border-radius:1px}"
        ".track .whisker{position:absolute;top:3px;height:1px;background:var(--ink)}"
        ".stack .whisker{top:4px;height:7px;border:solid var(--ink);border-width:0 1px;"
        "background:linear-gradient(var(--ink),var(--ink)) 0 3px/100% 1px no-repeat}"
        ".track .limit{position:absolute;margin-left:-1px;top:-4px;height:23px;border-left:2px dashed var(--ink)}"
        ".named b{position:absolute;white-space:nowrap;font-weight:600}\n"
        /* Too narrow for three columns: what a row is and what it says stand above its bar. */
        "@container(max-width:400px){.rows{grid-template-columns:1fr auto;grid-auto-flow:dense;gap:2px 10px}"
        ".rows .label{text-align:left}.rows .note{text-align:right}"
        ".rows .track{grid-column:1/-1;margin-bottom:6px}}\n"
        ".legend{font-size:13px}.legend span{margin-right:16px;display:inline-block}"
        ".legend i{display:inline-block;width:12px;height:3px;"
        "margin-right:6px;vertical-align:middle}.legend i.band{height:11px;background:var(--c0);border:1px dashed var(--c0)}\n");
    for (int c = 0; c < TR_CHART_COLORS; c++)
        tr_text_printf(out, ".line.c%d{stroke:var(--c%d)}.dot.c%d,.f%d{fill:var(--c%d)}i.b%d{background:var(--c%d)}\n", c, c,
                       c, c, c, c, c);
    tr_text_append(out,
        ".tiles{display:grid;grid-template-columns:repeat(4,1fr);gap:12px;margin:18px 0}"
        "@media(max-width:800px){.tiles{grid-template-columns:1fr 1fr}}\n"
        ".tile{background:var(--card);border:1px solid var(--grid);border-radius:8px;padding:12px 14px}"
        ".tile b{display:block;font-size:20px;font-weight:650;line-height:1.25}.tile span{color:var(--soft);font-size:13px}\n"
        ".faint{opacity:.6}.wide{overflow-x:auto;"
        /* A shadow at the side where there is more. */
        "background:linear-gradient(90deg,var(--paper) 40%,transparent) 0 0/36px 100% no-repeat local,"
        "linear-gradient(270deg,var(--paper) 40%,transparent) 100% 0/36px 100% no-repeat local,"
        "linear-gradient(90deg,var(--grid),transparent) 0 0/14px 100% no-repeat,"
        "linear-gradient(270deg,var(--grid),transparent) 100% 0/14px 100% no-repeat}"
        "table{border-collapse:collapse;font-size:13px;min-width:100%}"
        "td,th{padding:4px 8px 4px 0;text-align:left;border-bottom:1px "
        "solid var(--grid);vertical-align:top}th{color:var(--soft);font-weight:500}td.long{min-width:12em}"
        "td:last-child,th:last-child{padding-right:0}tr:last-child td{border-bottom:0}"
        "figure+p.sub,.charts+p.sub{margin-top:10px}td.n,th.n{text-align:right;padding-left:6px;white-space:nowrap;"
        "font-variant-numeric:tabular-nums}\n"
        "pre{background:var(--card);border:1px solid var(--grid);border-radius:8px;padding:14px;overflow-x:auto;"
        "white-space:pre-wrap;font-size:13px;line-height:1.45}code{font-size:13px;overflow-wrap:anywhere}\n");
}
