#include "base/table.h"

#include <string.h>

/* Cells lie one after the other in `cells`, each closed by a 0. A rule stands between rows as a cell of this text,
 * which no printed cell can be confused with. */
static const char RULE[] = "\1";

void tr_table_column(struct tr_table *table, const char *name, enum tr_side side)
{
    TR_ASSERT(table->column_count < TR_TABLE_MAX_COLUMNS && table->cell_count == 0);
    int index = table->column_count++;
    snprintf(table->column[index].name, sizeof table->column[index].name, "%s", name);
    table->column[index].side = side;
    table->column[index].width = tr_text_columns(table->column[index].name);
}

void tr_table_cell(struct tr_table *table, const char *fmt, ...)
{
    TR_ASSERT(table->column_count > 0 && table->cell_count / table->column_count < TR_TABLE_MAX_ROWS);
    size_t start = table->cells.len;
    va_list args;
    va_start(args, fmt);
    tr_text_vprintf(&table->cells, fmt, args);
    va_end(args);
    tr_text_char(&table->cells, 0);
    if (table->cells.failed)
        return;
    /* One cell, one line: what a name from outside brings along must not break the table. */
    char *cell = table->cells.at + start;
    for (char *c = cell; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    int width = tr_text_columns(cell);
    int index = (int)(table->cell_count++ % table->column_count);
    if (width > table->column[index].width)
        table->column[index].width = width;
}

void tr_table_rule(struct tr_table *table)
{
    TR_ASSERT(table->column_count > 0 && table->cell_count % table->column_count == 0);
    tr_text_append_bytes(&table->cells, RULE, sizeof RULE);
}

/* Blanks that would end a line are owed, and paid only when something follows. */
static void put_cell(struct tr_text *out, const char *cell, int width, enum tr_side side, int *owed)
{
    int missing = width - tr_text_columns(cell);
    if (side == TR_RIGHT)
        *owed += missing;
    if (cell[0]) {
        tr_text_fill(out, ' ', (size_t)*owed);
        *owed = 0;
        tr_text_append(out, cell);
    }
    if (side == TR_LEFT)
        *owed += missing;
    *owed += 2;
}

static void put_rule(const struct tr_table *table, struct tr_text *out)
{
    for (int i = 0; i < table->column_count; i++) {
        tr_text_append(out, i ? "  " : "");
        tr_text_fill(out, '-', (size_t)table->column[i].width);
    }
    tr_text_char(out, '\n');
}

void tr_table_text(const struct tr_table *table, struct tr_text *out)
{
    if (table->cells.failed) {
        out->failed = true;
        return;
    }
    TR_ASSERT(table->column_count > 0 && table->cell_count % table->column_count == 0);
    int owed = 0;
    for (int i = 0; i < table->column_count; i++)
        put_cell(out, table->column[i].name, table->column[i].width, table->column[i].side, &owed);
    tr_text_char(out, '\n');
    put_rule(table, out);
    const char *cell = tr_text_str(&table->cells), *end = cell + table->cells.len;
    for (int64_t index = 0; cell < end; cell += strlen(cell) + 1) {
        if (strcmp(cell, RULE) == 0) {
            put_rule(table, out);
            continue;
        }
        int column = (int)(index++ % table->column_count);
        if (column == 0)
            owed = 0;
        put_cell(out, cell, table->column[column].width, table->column[column].side, &owed);
        if (column == table->column_count - 1)
            tr_text_char(out, '\n');
    }
}

void tr_table_print(const struct tr_table *table, FILE *out)
{
    struct tr_text text = {0};
    tr_table_text(table, &text);
    fputs(text.failed ? "(the table did not fit into memory)\n" : tr_text_str(&text), out);
    tr_text_free(&text);
}

void tr_table_free(struct tr_table *table)
{
    tr_text_free(&table->cells);
    *table = (struct tr_table){0};
}
