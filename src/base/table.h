/* Tables of text for the terminal: the one look of every report.
 *
 *     struct tr_table table = {0};
 *     tr_table_column(&table, "layer", TR_LEFT);
 *     tr_table_column(&table, "ms", TR_RIGHT);
 *     tr_table_cell(&table, "attention");
 *     tr_table_cell(&table, "%.2f", 1.25);            (a row is full when every column has its cell)
 *     tr_table_rule(&table);                          (a line, before totals)
 *     tr_table_print(&table, stdout);
 *     tr_table_free(&table);
 *
 *     layer        ms
 *     ---------  ----
 *     attention  1.25
 *
 * Two spaces between columns, no trailing blanks. UTF-8 is counted by characters. Out of memory sticks: the table then
 * prints a line that says so, and tr_table_text leaves the text failed. */
#ifndef TR_BASE_TABLE_H
#define TR_BASE_TABLE_H

#include "base/text.h"

#include <stdint.h>
#include <stdio.h>

enum { TR_TABLE_MAX_COLUMNS = 32, TR_TABLE_MAX_ROWS = 1000000 };
enum tr_side { TR_LEFT, TR_RIGHT };

struct tr_table {
    int column_count;
    struct {
        char name[64];
        enum tr_side side;
        int width;
    } column[TR_TABLE_MAX_COLUMNS];
    struct tr_text cells; /* 0-terminated one after the other; a rule is "\1" */
    int64_t cell_count;   /* without rules */
};

void tr_table_column(struct tr_table *table, const char *name, enum tr_side side);
void tr_table_cell(struct tr_table *table, const char *fmt, ...) TR_PRINTF(2, 3);
void tr_table_rule(struct tr_table *table);
void tr_table_text(const struct tr_table *table, struct tr_text *out);
void tr_table_print(const struct tr_table *table, FILE *out);
void tr_table_free(struct tr_table *table);

#endif
