/* Predicted memory held against what runs print. */
#include "plan/validate/validate.h"

#include "base/num.h"

#include <math.h>
#include <stdlib.h>

double tr_run_memory(const struct tr_run *run, const struct tr_step *step, const struct tr_layout *layout)
{
    double buffers = run->where->stack.comm_bytes.value * (double)tr_layout_groups(layout);
    if (!run->allocated)
        return step->memory_bytes;
    return step->memory_bytes - step->memory[TR_MEM_CONTEXT] - step->memory[TR_MEM_FRAGMENTATION] - buffers;
}

enum tr_status tr_score_memory(const struct tr_score *score, bool allocated, struct tr_memory_score *out,
                               struct tr_err *err)
{
    struct tr_memory_score sum = {0};
    double *errors = calloc((size_t)score->samples->count + 1, sizeof *errors);
    if (!errors)
        return tr_fail(err, TR_FAILED, "out of memory for the score of %lld rows", (long long)score->samples->count);
    for (int64_t i = 0; score->samples->kind == TR_MEASURED_TRAIN && i < score->samples->count; i++) {
        const struct tr_score_row *row = &score->row[i];
        const struct tr_run *run = row->sample->of.run;
        if (row->reason || run->memory_bytes <= 0 || run->allocated != allocated)
            continue;
        double predicted = tr_run_memory(run, &row->step, &row->layout), error = predicted / run->memory_bytes - 1;
        sum.inside += fabs(run->memory_bytes / predicted - 1) <= row->step.memory_error;
        sum.mape += fabs(error);
        sum.bias += error;
        sum.worst = fmax(sum.worst, fabs(error));
        errors[sum.rows++] = fabs(error);
    }
    if (sum.rows) {
        qsort(errors, (size_t)sum.rows, sizeof *errors, tr_ascending);
        sum.median = errors[sum.rows / 2];
        sum.mape /= (double)sum.rows;
        sum.bias /= (double)sum.rows;
        sum.inside /= (double)sum.rows;
    }
    free(errors);
    *out = sum;
    return TR_OK;
}
