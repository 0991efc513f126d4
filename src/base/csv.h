/* Tables of comma-separated values (RFC 4180), read as a whole.
 *
 *     struct tr_csv csv;
 *     tr_csv_read("op_gemm.csv", &csv, err)
 *     int m = tr_csv_column(&csv, "m");                 -1 when there is no such column
 *     for (int64_t row = 0; row < csv.rows; row++)
 *         tr_csv_cell(&csv, row, m) ...                 text, "" when empty; csv.line[row] is where it stands
 *     tr_csv_free(&csv);
 *
 * The first line names the columns, each once. A cell in double quotes may hold commas, line breaks and "" for a quote.
 * Lines end with LF or CRLF; empty lines and a byte order mark are skipped. A row with more or fewer cells than the
 * header, an open quote, a 0 byte, more than the limits: TR_BAD_INPUT, path:line. */
#ifndef TR_BASE_CSV_H
#define TR_BASE_CSV_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define TR_CSV_MAX_BYTES ((int64_t)256 << 20)
enum { TR_CSV_MAX_COLUMNS = 256, TR_CSV_MAX_ROWS = 4000000 };

struct tr_csv {
    char *data; /* owned: cells point into it */
    char **cell;
    int64_t *line;
    int64_t rows; /* without the header */
    int columns;
};

TR_MUST_CHECK enum tr_status tr_csv_read(const char *path, struct tr_csv *out, struct tr_err *err);
/* The same from memory, copied; `name` is what sentences call it. */
TR_MUST_CHECK enum tr_status tr_csv_parse(const char *name, const char *data, size_t bytes, struct tr_csv *out,
                                          struct tr_err *err);
void tr_csv_free(struct tr_csv *csv); /* right on a zeroed struct */

int tr_csv_column(const struct tr_csv *csv, const char *name);
const char *tr_csv_cell(const struct tr_csv *csv, int64_t row, int column);

/* Appends a cell, quoted where it must be. */
struct tr_text;
void tr_csv_append(struct tr_text *out, const char *value);

#endif
