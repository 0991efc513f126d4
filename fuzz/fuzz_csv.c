/* Any bytes as a table: refused with a sentence, or cells that are written, read back and are the same. */
#include "base/csv.h"
#include "base/text.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void write_row(struct tr_text *text, char *const *cell, int columns)
{
    for (int i = 0; i < columns; i++) {
        if (i > 0)
            tr_text_char(text, ',');
        /* A row of one empty cell would be an empty line. */
        if (columns == 1 && !*cell[i])
            tr_text_append(text, "\"\"");
        tr_csv_append(text, cell[i]);
    }
    tr_text_char(text, '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct tr_csv csv, back;
    struct tr_err err = {""};
    if (bytes > 1 << 16)
        return 0;
    if (tr_csv_parse("fuzz.csv", (const char *)data, bytes, &csv, &err)) {
        TR_ASSERT(err.text[0]);
        return 0;
    }
    struct tr_text text = {0};
    for (int64_t row = 0; row <= csv.rows; row++)
        write_row(&text, csv.cell + row * csv.columns, csv.columns);
    enum tr_status status = tr_csv_parse("back.csv", text.at, text.len, &back, &err);
    TR_ASSERT(status == TR_OK && back.rows == csv.rows && back.columns == csv.columns);
    for (int64_t i = 0; i < (csv.rows + 1) * csv.columns; i++)
        TR_ASSERT(strcmp(csv.cell[i], back.cell[i]) == 0);
    tr_csv_free(&csv);
    tr_csv_free(&back);
    tr_text_free(&text);
    return 0;
}
