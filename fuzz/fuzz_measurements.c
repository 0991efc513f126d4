/* Any bytes as a table of measurements: refused with a sentence, or scored: every row is there, covered or with a reason. */
#include "plan/validate/validate.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const struct tr_catalog *catalog(void)
{
    static struct tr_catalog *opened;
    struct tr_err err;
    if (!opened) {
        enum tr_status status = tr_catalog_open(&opened, &err);
        TR_ASSERT(status == TR_OK);
    }
    return opened;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct tr_csv csv;
    struct tr_samples samples;
    struct tr_score score;
    struct tr_err err = {""};
    if (bytes > 1 << 14 || tr_csv_parse("fuzz.csv", (const char *)data, bytes, &csv, &err))
        return 0;
    int64_t rows = csv.rows;
    if (tr_samples_of("fuzz.csv", &csv, catalog(), &samples, &err)) {
        TR_ASSERT(err.text[0]);
        return 0;
    }
    enum tr_status status = tr_validate(&samples, &score, &err);
    TR_ASSERT(status == TR_OK && score.all.rows == rows);
    for (int64_t i = 0; i < rows; i++)
        TR_ASSERT(score.row[i].reason || (score.row[i].cost.time_s > 0 && isfinite(score.row[i].cost.time_s)));
    struct tr_text text = {0};
    tr_score_text(&score, &text);
    tr_score_json(&score, &text);
    tr_score_csv(&score, &text);
    TR_ASSERT(!text.failed);
    tr_text_free(&text);
    tr_score_free(&score);
    tr_samples_free(&samples);
    return 0;
}
