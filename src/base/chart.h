/* Charts as inline SVG and boxes, for reports that are one HTML file (page.h): lines over steps, bars of shares, pairs of expected
 * and found, stacks, timelines. No script, no network; the colours are CSS variables of the page (tr_chart_style), so that they
 * follow a dark screen. Points and parts have a title, which browsers show when the mouse rests on them.
 *
 * A chart is as wide as its place. Only curves are stretched; letters, dots and lines keep their size, so that a chart on a phone
 * can be read: x is in percent, y in pixels.
 *
 * Long series are thinned: at most TR_CHART_POINTS are drawn, each the mean of its bucket, so that a curve of a million
 * steps stays a small file. Values that are not finite (or beyond 1e290) leave a gap. */
#ifndef TR_BASE_CHART_H
#define TR_BASE_CHART_H

#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

enum { TR_CHART_POINTS = 600, TR_CHART_COLORS = 8, TR_CHART_ACROSS = 1000 }; /* the last: of the drawing of a curve */

struct tr_series {
    const char *name;
    const double *x, *y; /* not owned; x ascending */
    int64_t count;
    bool points;         /* a dot at each value, not thinned: few values (validation) */
};

/* An interval that was expected of y. */
struct tr_band {
    double low, middle, high;
    const char *name;
};

struct tr_chart {
    const char *title, *x_label, *y_label;
    const struct tr_series *series;
    int series_count;    /* at most TR_CHART_COLORS */
    bool from_zero;      /* the y axis begins at 0 */
    const struct tr_band *band; /* behind the curves; NULL: none */
};

/* A figure with title, axes, legend when there are two series or more. A chart without a finite value says so. */
void tr_chart_lines(struct tr_text *out, const struct tr_chart *chart);

struct tr_bar {
    const char *label;
    double value;        /* >= 0 */
    const char *note;    /* behind the bar: "1.2 s, 54 %"; may be NULL */
};

/* Horizontal bars, in the order given, the longest across the whole width. */
void tr_chart_bars(struct tr_text *out, const char *title, const struct tr_bar *bars, int count);

/* Two bars a row: what was expected, with its interval, and what was found. Widths are to one scale. */
struct tr_pair {
    const char *label;
    double expected, error; /* error: half width, relative; not finite: none is known */
    double found;
    const char *note;       /* behind the bars; may be NULL */
};
struct tr_pairs {
    const char *title, *expected, *found; /* what the legend calls the two */
    const struct tr_pair *pair;
    int count;
};
void tr_chart_pairs(struct tr_text *out, const struct tr_pairs *pairs);

/* Rows of parts side by side: memory by stage, time by layout. Widths are to one scale; `limit` (0: none) is drawn as a line
 * across all rows, with `limit_name` above it, and a part's title says its name and what `print` makes of its value. */
struct tr_stack_row {
    const char *label;
    const double *part; /* >= 0, part_count of them */
    const char *note;   /* behind the row; may be NULL */
};
struct tr_stacks {
    const char *title;
    const char *const *names; /* of the parts */
    int part_count;           /* at most TR_CHART_COLORS */
    const struct tr_stack_row *rows;
    int row_count;
    double limit;
    const char *limit_name;   /* "80 GiB"; NULL: none */
    double error;             /* half width of the interval of each row's sum, relative; drawn as a thin line; 0: none */
    const char *(*print)(char buf[32], double value);
};
void tr_chart_stacks(struct tr_text *out, const struct tr_stacks *stacks);

/* Who does what when: a line a row, spans on it, beside or above one another. Only what lies in [begin, end] is drawn. */
struct tr_span_of {
    int row, color; /* color: index below TR_CHART_COLORS */
    double begin, end;
    double low, high; /* which part of the row's height, from below, 0 to 1; both 0: all of it */
    bool faint;
};
struct tr_timeline {
    const char *title, *unit;      /* of the axis */
    double begin, end, scale;      /* the axis shows time * scale */
    const char *const *row_names;
    int row_count;
    const char *const *color_names; /* a legend; color_count of them, NULL: no span has it */
    int color_count;
    const struct tr_span_of *spans;
    int64_t span_count;
    const char *note; /* below the axis; may be NULL */
};
void tr_chart_timeline(struct tr_text *out, const struct tr_timeline *timeline);

/* Rates against two limits, both axes logarithmic: y <= slope * x and y <= flat. A dot for each point, the larger the
 * larger its weight, with its name in a column behind. Points that are not positive and finite are left out; so is the whole
 * figure without any, or without limits. `lower_flat` is a second y <= that holds for some of the points; 0: there is none. */
struct tr_roof_point {
    const char *label;
    double x, y;
    double weight;       /* 0 to 1 */
};
struct tr_roof {
    const char *title, *x_label, *y_label;
    double slope, flat, lower_flat;
    const char *slope_label, *flat_label, *lower_label;
    const struct tr_roof_point *points;
    int count;           /* at most TR_ROOF_POINTS are drawn */
};
enum { TR_ROOF_POINTS = 32 };
void tr_chart_roof(struct tr_text *out, const struct tr_roof *roof);

/* Begins a figure: "title unit". `unit` may be NULL. */
void tr_chart_caption(struct tr_text *out, const char *title, const char *unit);

/* Opens the drawing of a figure, as wide as its place; `title` is for those who cannot see it. The caller closes svg, div. */
void tr_chart_plot(struct tr_text *out, const char *class, const char *title, int height);

/* The CSS that charts (and a plain page around them) need; goes inside <style>. */
void tr_chart_style(struct tr_text *out);

/* The step between ticks that gives about `wanted` of them over `range` > 0: 1, 2 or 5 times a power of ten. */
double tr_chart_tick(double range, int wanted);

#endif
