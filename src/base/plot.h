/* A curve in a terminal, drawn with braille dots: 2 x 4 of them a character.
 *
 *      5.58 ⡇
 *           ⢣
 *      1.40 ⠈⠒⠒⠤⠤⣀⣀⣀⣀
 *           1        850
 *
 * Each column of dots shows the range of the values that fall into it; columns without a value are joined by a line
 * to the next. Values that tr_plot_takes refuses are left out. */
#ifndef TR_BASE_PLOT_H
#define TR_BASE_PLOT_H

#include "base/text.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

enum { TR_PLOT_COLUMNS_MAX = 200, TR_PLOT_ROWS_MAX = 50 };

/* What can be drawn, here and in charts: finite, and so far from the end of double that differences and sums are finite. */
static inline bool tr_plot_takes(double value) { return fabs(value) <= 1e290; }

/* x ascending; `columns` x `rows` characters for the curve itself, labels beside and below. Nothing when no value can
 * be drawn. */
void tr_plot_curve(const double *x, const double *y, int64_t count, int columns, int rows, struct tr_text *out);

#endif
