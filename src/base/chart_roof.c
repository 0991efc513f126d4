/* The roofline (Williams, Waterman and Patterson 2009, doi 10.1145/1498765.1498785) as SVG. */
#include "base/chart.h"

#include "base/fmath.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { HEIGHT = 320, LABEL_ROW = 14 };

/* Both axes as decades: log10 of the first and the last value. */
struct frame {
    double x0, x1, y0, y1;
};

struct dot {
    const struct tr_roof_point *point;
    double x, y, label_y;
};

static double log_10(double x) { return tr_log(x) / 2.302585092994045684; /* log 10 */ }

/* Across in thousandths of the width, whatever that is; down in pixels. */
static double x_at(const struct frame *f, double x)
{
    return (log_10(x) - f->x0) / (f->x1 - f->x0) * TR_CHART_ACROSS;
}

static double y_at(const struct frame *f, double y)
{
    return HEIGHT - (log_10(y) - f->y0) / (f->y1 - f->y0) * HEIGHT;
}

static bool is_drawn(double x) { return x > 1e-30 && x < 1e30; }

static bool has_lower(const struct tr_roof *roof) { return is_drawn(roof->lower_flat) && roof->lower_flat < roof->flat; }

/* Whole decades around all points and the ridge, and some room below for names. */
static struct frame make_frame(const struct tr_roof *roof, const struct dot *dots, int count)
{
    const double ridge = log_10(roof->flat / roof->slope);
    struct frame f = {ridge, ridge, log_10(roof->flat), log_10(roof->flat)};
    if (has_lower(roof)) {
        f.x0 = log_10(roof->lower_flat / roof->slope);
        f.y0 = log_10(roof->lower_flat);
    }
    for (int i = 0; i < count; i++) {
        f.x0 = fmin(f.x0, log_10(dots[i].point->x));
        f.x1 = fmax(f.x1, log_10(dots[i].point->x));
        f.y0 = fmin(f.y0, log_10(dots[i].point->y));
        f.y1 = fmax(f.y1, log_10(dots[i].point->y));
    }
    return (struct frame){floor(f.x0 - 0.1), ceil(f.x1 + 0.1), floor(f.y0 - 0.7), ceil(f.y1 + 0.05)};
}

/* 1e9 -> "1 G" */
static const char *decade_label(char buf[32], int decade)
{
    static const char *const prefix[] = {"", " k", " M", " G", " T", " P", " E"};
    int third = decade >= 0 ? decade / 3 : 0;
    if (decade < 0 || third >= (int)(sizeof prefix / sizeof prefix[0]))
        snprintf(buf, 32, "1e%d", decade);
    else
        snprintf(buf, 32, "%d%s", decade % 3 == 0 ? 1 : decade % 3 == 1 ? 10 : 100, prefix[third]);
    return buf;
}

static void draw_axes(struct tr_text *out, const struct tr_roof *roof, const struct frame *f)
{
    char label[32];
    for (int d = (int)f->y0; d <= (int)f->y1; d++) {
        double y = y_at(f, tr_pow(10.0, d));
        tr_text_printf(out, "<line class=\"grid\" x2=\"100%%\" y1=\"%.1f\" y2=\"%.1f\"/><text x=\"-8\" y=\"%.1f\" "
                            "text-anchor=\"end\">%s</text>", y, y, y + 4.0, decade_label(label, d));
    }
    for (int d = (int)f->x0; d <= (int)f->x1; d++) {
        double x = x_at(f, tr_pow(10.0, d)) / 10.0;
        tr_text_printf(out, "<line class=\"grid\" x1=\"%.2f%%\" x2=\"%.2f%%\" y2=\"%d\"/><text x=\"%.2f%%\" y=\"%d\" "
                            "text-anchor=\"middle\">%s</text>", x, x, HEIGHT, x, HEIGHT + 17, decade_label(label, d));
    }
    tr_text_printf(out, "<text x=\"100%%\" y=\"%d\" text-anchor=\"end\">", HEIGHT + 34);
    tr_text_append_words(out, roof->x_label);
    tr_text_append(out, "</text>");
}

static void draw_flat_label(struct tr_text *out, const struct frame *f, double flat, const char *label)
{
    tr_text_printf(out, "<text class=\"over\" x=\"100%%\" y=\"%.1f\" text-anchor=\"end\">", y_at(f, flat) - 6.0);
    tr_text_append_words(out, label);
    tr_text_append(out, "</text>");
}

/* From where the slope meets it to the right edge. */
static void draw_lower(struct tr_text *out, const struct tr_roof *roof, const struct frame *f)
{
    tr_text_printf(out, "<line class=\"axis\" x1=\"%.2f%%\" x2=\"100%%\" y1=\"%.1f\" y2=\"%.1f\"/>",
                   x_at(f, roof->lower_flat / roof->slope) / 10.0, y_at(f, roof->lower_flat), y_at(f, roof->lower_flat));
    draw_flat_label(out, f, roof->lower_flat, roof->lower_label);
}

/* From the left edge up to the ridge, then level. Where the slope leaves the frame below, it begins there. */
static void draw_roof(struct tr_text *out, const struct tr_roof *roof, const struct frame *f)
{
    const double ridge = roof->flat / roof->slope;
    const double begin = fmax(tr_pow(10.0, f->x0), tr_pow(10.0, f->y0) / roof->slope);
    tr_text_printf(out, "<svg viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" height=\"%d\"><path class=\"line c1\" "
                        "d=\"M%.1f %.1fL%.1f %.1fL%d %.1f\"/></svg>", TR_CHART_ACROSS, HEIGHT, HEIGHT, x_at(f, begin),
                   y_at(f, begin * roof->slope), x_at(f, ridge), y_at(f, roof->flat), TR_CHART_ACROSS, y_at(f, roof->flat));
    draw_flat_label(out, f, roof->flat, roof->flat_label);
    const double x = sqrt(begin * ridge); /* the middle of the slope */
    tr_text_printf(out, "<text class=\"over\" x=\"%.2f%%\" dx=\"10\" y=\"%.1f\">", x_at(f, x) / 10.0,
                   y_at(f, x * roof->slope) + 18.0); /* below the line, also where it bends */
    tr_text_append_words(out, roof->slope_label);
    tr_text_append(out, "</text>");
}

static int highest_first(const void *a, const void *b)
{
    const struct dot *p = a, *q = b;
    return (p->y > q->y) - (p->y < q->y);
}

/* Names stand in a column behind the frame, each as near to the height of its dot as those above it let it. */
static void place_labels(struct dot *dots, int count)
{
    for (int i = 0; i < count; i++)
        dots[i].label_y = i ? fmax(dots[i].y, dots[i - 1].label_y + LABEL_ROW) : dots[i].y;
    for (int i = count - 1; i >= 0; i--)
        dots[i].label_y = fmin(dots[i].label_y, i + 1 < count ? dots[i + 1].label_y - LABEL_ROW : HEIGHT);
}

static void draw_leads(struct tr_text *out, const struct dot *dots, int count)
{
    for (int i = 0; i < count; i++)
        tr_text_printf(out, "<line class=\"lead\" x1=\"%.2f%%\" x2=\"100%%\" y1=\"%.1f\" y2=\"%.1f\"/>", dots[i].x / 10.0, dots[i].y,
                       dots[i].label_y);
}

static void draw_dot(struct tr_text *out, const struct dot *dot)
{
    tr_text_printf(out, "<circle class=\"dot c0\" cx=\"%.2f%%\" cy=\"%.1f\" r=\"%.1f\"><title>", dot->x / 10.0, dot->y,
                   3.0 + 7.0 * sqrt(fmin(fmax(dot->point->weight, 0.0), 1.0)));
    tr_text_append_words(out, dot->point->label);
    tr_text_printf(out, ": %.4g at %.4g</title></circle><text class=\"over\" x=\"100%%\" dx=\"4\" y=\"%.1f\">", dot->point->y,
                   dot->point->x, dot->label_y + 4.0);
    tr_text_append_words(out, dot->point->label);
    tr_text_append(out, "</text>");
}

void tr_chart_roof(struct tr_text *out, const struct tr_roof *roof)
{
    struct dot dots[TR_ROOF_POINTS];
    int count = 0;
    for (int i = 0; i < roof->count && count < TR_ROOF_POINTS; i++)
        if (is_drawn(roof->points[i].x) && is_drawn(roof->points[i].y))
            dots[count++] = (struct dot){.point = &roof->points[i]};
    if (count == 0 || !is_drawn(roof->slope) || !is_drawn(roof->flat))
        return;
    const struct frame f = make_frame(roof, dots, count);
    for (int i = 0; i < count; i++) {
        dots[i].x = x_at(&f, dots[i].point->x);
        dots[i].y = y_at(&f, dots[i].point->y);
    }
    qsort(dots, (size_t)count, sizeof dots[0], highest_first);
    place_labels(dots, count);
    tr_chart_caption(out, roof->title, roof->y_label);
    tr_chart_plot(out, "plot roof", roof->title, HEIGHT);
    draw_axes(out, roof, &f);
    draw_leads(out, dots, count);
    draw_roof(out, roof, &f);
    if (has_lower(roof))
        draw_lower(out, roof, &f);
    for (int i = 0; i < count; i++)
        draw_dot(out, &dots[i]);
    tr_text_append(out, "</svg></div></figure>\n");
}
