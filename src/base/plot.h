/* A curve in a terminal, drawn with braille dots: 2 x 4 of them a character.
 *
 *      5.58 ⡇
 *           ⢣
 *      1.40 ⠈⠒⠒⠤⠤⣀⣀⣀⣀
 *           1        850
 *
 * Each column of dots shows the range of the values that fall into it; columns without a value are joined by a line
 * to the next. Values that are not finite are left out. */
#ifndef TR_BASE_PLOT_H
#define TR_BASE_PLOT_H

#include "base/text.h"

#include <stdint.h>

enum { TR_PLOT_COLUMNS_MAX = 200, TR_PLOT_ROWS_MAX = 50 };

/* x ascending; `columns` x `rows` characters for the curve itself, labels beside and below. Nothing when no value is
 * finite. */
void tr_plot_curve(const double *x, const double *y, int64_t count, int columns, int rows, struct tr_text *out);

#endif
