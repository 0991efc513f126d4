/* Any bytes as a file of questions: refused with a sentence, or questions whose labels and rows are in range. */
#include "lab/eval/eval.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct tr_choices choices;
    struct tr_err err = {""};
    enum tr_status status = tr_choices_parse("input", (const char *)data, bytes, &choices, &err);
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && err.text[0]));
    int64_t rows = 0;
    for (int64_t i = 0; status == TR_OK && i < choices.count; i++) {
        const struct tr_choice_question *q = &choices.question[i];
        TR_ASSERT(q->label >= 0 && q->label < q->ending_count && q->first_row == rows);
        for (int32_t k = 0; k < q->ending_count; k++)
            TR_ASSERT(q->ending[k].bytes > 0);
        rows += q->ending_count;
    }
    TR_ASSERT(status != TR_OK || (choices.count > 0 && rows == choices.row_count));
    tr_choices_free(&choices);
    return 0;
}
