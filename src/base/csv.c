#include "base/csv.h"

#include "base/num.h"
#include "base/os.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

struct reader {
    const char *name;
    char *at, *end;
    int64_t line;
    struct tr_csv *csv;
    struct tr_err *err;
};

static enum tr_status bad(const struct reader *r, const char *what)
{
    return tr_fail(r->err, TR_BAD_INPUT, "%s:%lld: %s", r->name, (long long)r->line, what);
}

/* One cell, unquoted and closed in place. *last: it ends its row. */
static enum tr_status read_cell(struct reader *r, char **cell, bool *last)
{
    char *to = r->at;
    bool quoted = *r->at == '"';
    *cell = to;
    if (quoted) {
        for (r->at++;; *to++ = *r->at++) {
            if (r->at == r->end)
                return bad(r, "a quoted cell is not closed");
            if (*r->at == '\n')
                r->line++;
            if (*r->at == '"' && *++r->at != '"')
                break;
        }
        if (r->at < r->end && !strchr(",\r\n", *r->at))
            return bad(r, "text after a closing quote: expected a comma or the end of the line");
    } else {
        for (; r->at < r->end && !strchr(",\r\n", *r->at); r->at++)
            if (*r->at == '"')
                return bad(r, "a quote inside of a cell: cells with quotes stand in quotes, and theirs are doubled");
        to = r->at;
    }
    char stop = r->at < r->end ? *r->at : '\n';
    if (stop == '\r') {
        if (r->at + 1 < r->end && r->at[1] != '\n')
            return bad(r, "a carriage return inside of a line");
        r->at++;
    }
    r->at += r->at < r->end;
    *to = 0;
    *last = stop != ',';
    return TR_OK;
}

static enum tr_status read_row(struct reader *r, char **cells, int max, int *count)
{
    bool last = false;
    for (*count = 0; !last; ++*count) {
        if (*count == max)
            return bad(r, max == TR_CSV_MAX_COLUMNS ? "more than 256 columns" : "more cells than the header has");
        enum tr_status status = read_cell(r, &cells[*count], &last);
        if (status != TR_OK)
            return status;
    }
    return TR_OK;
}

static void skip_empty(struct reader *r)
{
    while (r->at < r->end && (*r->at == '\n' || (*r->at == '\r' && r->at + 1 < r->end && r->at[1] == '\n'))) {
        r->line += *r->at == '\n';
        r->at++;
    }
}

static enum tr_status read_header(struct reader *r, char **names)
{
    skip_empty(r);
    if (r->at == r->end)
        return tr_fail(r->err, TR_BAD_INPUT, "%s: an empty table: expected a line with the names of columns", r->name);
    enum tr_status status = read_row(r, names, TR_CSV_MAX_COLUMNS, &r->csv->columns);
    for (int i = 0; status == TR_OK && i < r->csv->columns; i++)
        for (int j = 0; j < i; j++)
            if (strcmp(names[i], names[j]) == 0)
                return tr_fail(r->err, TR_BAD_INPUT, "%s:%lld: two columns are called \"%s\"", r->name,
                               (long long)r->line, names[i]);
    return status;
}

static enum tr_status read_rows(struct reader *r)
{
    struct tr_csv *csv = r->csv;
    for (;;) {
        r->line++;
        skip_empty(r);
        if (r->at == r->end)
            return TR_OK;
        if (csv->rows == TR_CSV_MAX_ROWS)
            return bad(r, "more than 4,000,000 rows");
        int count;
        csv->line[csv->rows] = r->line;
        enum tr_status status = read_row(r, csv->cell + (csv->rows + 1) * csv->columns, csv->columns, &count);
        if (status != TR_OK)
            return status;
        if (count < csv->columns)
            return tr_fail(r->err, TR_BAD_INPUT, "%s:%lld: %d cells, and the header has %d", r->name,
                           (long long)csv->line[csv->rows], count, csv->columns);
        csv->rows++;
    }
}

/* No more rows than line breaks. */
static enum tr_status reserve(struct reader *r, char **names)
{
    int64_t lines = 2, cells;
    for (const char *p = r->at; p < r->end; p++)
        lines += *p == '\n';
    lines = tr_min_i64(lines, TR_CSV_MAX_ROWS + 1);
    if (tr_mul_i64(lines, r->csv->columns, &cells)) {
        r->csv->cell = calloc((size_t)cells, sizeof *r->csv->cell);
        r->csv->line = calloc((size_t)lines, sizeof *r->csv->line);
    }
    if (!r->csv->cell || !r->csv->line)
        return tr_fail(r->err, TR_FAILED, "%s: out of memory for its cells", r->name);
    memcpy(r->csv->cell, names, (size_t)r->csv->columns * sizeof *names);
    return TR_OK;
}

/* The mark of UTF-8, which programs put before a table and which is no part of its first name. */
static bool begins_marked(const char *text) { return strncmp(text, "\xEF\xBB\xBF", 3) == 0; }

enum tr_status tr_csv_parse(const char *name, const char *data, size_t bytes, struct tr_csv *out, struct tr_err *err)
{
    struct tr_csv csv = {0};
    char *names[TR_CSV_MAX_COLUMNS];
    if (bytes > (size_t)TR_CSV_MAX_BYTES)
        return tr_fail(err, TR_BAD_INPUT, "%s: more than 256 MiB", name);
    if (memchr(data, 0, bytes))
        return tr_fail(err, TR_BAD_INPUT, "%s: a 0 byte: not a table of text", name);
    csv.data = malloc(bytes + 1);
    if (!csv.data)
        return tr_fail(err, TR_FAILED, "%s: out of memory for %zu bytes", name, bytes);
    memcpy(csv.data, data, bytes);
    csv.data[bytes] = 0;
    struct reader r = {name, csv.data, csv.data + bytes, 1, &csv, err};
    if (begins_marked(csv.data))
        r.at += 3;
    enum tr_status status = read_header(&r, names);
    if (status == TR_OK)
        status = reserve(&r, names);
    if (status == TR_OK)
        status = read_rows(&r);
    if (status != TR_OK) {
        tr_csv_free(&csv);
        return status;
    }
    *out = csv;
    return TR_OK;
}

enum tr_status tr_csv_read(const char *path, struct tr_csv *out, struct tr_err *err)
{
    struct tr_bytes bytes;
    enum tr_status status = tr_file_read(path, TR_CSV_MAX_BYTES, &bytes, err);
    if (status != TR_OK)
        return status;
    status = tr_csv_parse(path, bytes.at, bytes.len, out, err);
    tr_bytes_free(&bytes);
    return status;
}

void tr_csv_free(struct tr_csv *csv)
{
    free(csv->data);
    free(csv->cell);
    free(csv->line);
    *csv = (struct tr_csv){0};
}

int tr_csv_column(const struct tr_csv *csv, const char *name)
{
    for (int i = 0; i < csv->columns; i++)
        if (strcmp(csv->cell[i], name) == 0)
            return i;
    return -1;
}

const char *tr_csv_cell(const struct tr_csv *csv, int64_t row, int column)
{
    TR_ASSERT(row >= 0 && row < csv->rows && column >= 0 && column < csv->columns);
    return csv->cell[(row + 1) * csv->columns + column];
}

void tr_csv_append(struct tr_text *out, const char *value)
{
    if (!value[strcspn(value, ",\"\r\n")] && !begins_marked(value)) {
        tr_text_append(out, value);
        return;
    }
    tr_text_char(out, '"');
    for (; *value; value++) {
        if (*value == '"')
            tr_text_char(out, '"');
        tr_text_char(out, *value);
    }
    tr_text_char(out, '"');
}
