#include "base/plot.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DOTS_X = 2, DOTS_Y = 4, LABEL_BYTES = 32, WIDTH_MAX = TR_PLOT_COLUMNS_MAX * DOTS_X };

struct range {
    double low, high; /* low > high: nothing yet */
};

static const struct range nothing = {INFINITY, -INFINITY};

static void include(struct range *range, double value)
{
    range->low = fmin(range->low, value);
    range->high = fmax(range->high, value);
}

/* Where value lies in range, in 0 .. last. */
static int place(struct range range, double value, int last)
{
    double share = range.high > range.low ? (value - range.low) / (range.high - range.low) : 0;
    return (int)lround(share * last);
}

struct grid {
    int columns, rows; /* characters */
    unsigned char cell[TR_PLOT_ROWS_MAX][TR_PLOT_COLUMNS_MAX];
};

/* Dot (x, y) from the lower left. Bits of U+2800 + n: 1, 2, 4, 64 down the left side, 8, 16, 32, 128 down the right. */
static void dot(struct grid *grid, int x, int y)
{
    static const unsigned char bit[DOTS_X][DOTS_Y] = {{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}};
    int down = grid->rows * DOTS_Y - 1 - y;
    grid->cell[down / DOTS_Y][x / DOTS_X] |= bit[x % DOTS_X][down % DOTS_Y];
}

/* The values of each column of dots. */
static void sort_into_columns(const double *x, const double *y, int64_t count, struct range across, int width,
                              struct range *column)
{
    for (int i = 0; i < width; i++)
        column[i] = nothing;
    for (int64_t i = 0; i < count; i++)
        if (tr_plot_takes(x[i]) && tr_plot_takes(y[i]))
            include(&column[place(across, x[i], width - 1)], y[i]);
}

/* Columns between two that have values get a straight line. */
static void bridge(struct range *column, int width)
{
    int last = -1;
    for (int i = 0; i < width; i++) {
        if (column[i].low > column[i].high)
            continue;
        double from = last < 0 ? 0 : (column[last].low + column[last].high) / 2;
        double to = (column[i].low + column[i].high) / 2;
        for (int between = last + 1; last >= 0 && between < i; between++)
            include(&column[between], from + (to - from) * (between - last) / (i - last));
        last = i;
    }
}

static void draw(struct grid *grid, const struct range *column, struct range up)
{
    int top = grid->rows * DOTS_Y - 1;
    for (int i = 0; i < grid->columns * DOTS_X; i++) {
        if (column[i].low > column[i].high)
            continue;
        for (int y = place(up, column[i].low, top); y <= place(up, column[i].high, top); y++)
            dot(grid, i, y);
    }
}

static void print_braille(struct tr_text *out, unsigned char dots)
{
    if (dots == 0) {
        tr_text_char(out, ' ');
        return;
    }
    unsigned code = 0x2800u + dots; /* three bytes in UTF-8 */
    tr_text_char(out, (char)(0xe0 | code >> 12));
    tr_text_char(out, (char)(0x80 | (code >> 6 & 0x3f)));
    tr_text_char(out, (char)(0x80 | (code & 0x3f)));
}

static void print_grid(const struct grid *grid, const char *high, const char *low, int label, struct tr_text *out)
{
    for (int row = 0; row < grid->rows; row++) {
        int end = grid->columns;
        while (end > 0 && grid->cell[row][end - 1] == 0)
            end--;
        tr_text_printf(out, "%*s%s", label, row == 0 ? high : row == grid->rows - 1 ? low : "", end ? " " : "");
        for (int i = 0; i < end; i++)
            print_braille(out, grid->cell[row][i]);
        tr_text_char(out, '\n');
    }
}

void tr_plot_curve(const double *x, const double *y, int64_t count, int columns, int rows, struct tr_text *out)
{
    struct range across = nothing, up = nothing, column[WIDTH_MAX];
    struct grid grid = {.columns = columns, .rows = rows};
    TR_ASSERT(columns > 0 && columns <= TR_PLOT_COLUMNS_MAX && rows > 1 && rows <= TR_PLOT_ROWS_MAX);
    for (int64_t i = 0; i < count; i++)
        if (tr_plot_takes(x[i]) && tr_plot_takes(y[i])) {
            include(&across, x[i]);
            include(&up, y[i]);
        }
    if (across.low > across.high)
        return;
    sort_into_columns(x, y, count, across, columns * DOTS_X, column);
    bridge(column, columns * DOTS_X);
    draw(&grid, column, up);

    char high[LABEL_BYTES], low[LABEL_BYTES], left[LABEL_BYTES], right[LABEL_BYTES];
    snprintf(high, sizeof high, "%.4g", up.high);
    snprintf(low, sizeof low, "%.4g", up.low);
    snprintf(left, sizeof left, "%.10g", across.low);
    snprintf(right, sizeof right, "%.10g", across.high);
    int label = (int)(strlen(high) > strlen(low) ? strlen(high) : strlen(low));
    print_grid(&grid, high, low, label, out);
    tr_text_printf(out, "%*s %-*s%s\n", label, "", columns - (int)strlen(right), left, right);
}
