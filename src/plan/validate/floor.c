/* What no prediction can know: the same run, measured again. */
#include "base/num.h"
#include "plan/validate/validate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows that say the same but for the time: a group is of one source, system, stack, model and batch. */
static bool same_run(const struct tr_score_row *a, const struct tr_score_row *b)
{
    char words[TR_LAYOUT_TEXT_BYTES], other[TR_LAYOUT_TEXT_BYTES];
    return !a->reason && !b->reason && a->sample->group == b->sample->group &&
           strcmp(tr_layout_print(&a->layout, words), tr_layout_print(&b->layout, other)) == 0;
}

static double median(double *times, int64_t count)
{
    qsort(times, (size_t)count, sizeof *times, tr_ascending);
    return (times[(count - 1) / 2] + times[count / 2]) / 2;
}

/* The run that row `first` is the first of, when it is, and was measured again. `times` has room for all rows. */
static void add_run(const struct tr_score *score, int64_t first, double *times, struct tr_floor *sum)
{
    int64_t count = 0;
    for (int64_t i = 0; i < score->samples->count; i++) {
        if (!same_run(&score->row[first], &score->row[i]))
            continue;
        if (i < first)
            return;
        times[count++] = score->row[i].sample->time_s;
    }
    if (count < 2)
        return;
    double middle = median(times, count);
    sum->runs++;
    for (int64_t i = 0; i < count; i++) {
        double error = fabs(middle / times[i] - 1);
        sum->rows++;
        sum->mean += error;
        sum->worst = fmax(sum->worst, error);
    }
}

enum tr_status tr_score_floor(const struct tr_score *score, const char *source, struct tr_floor *out, struct tr_err *err)
{
    TR_ASSERT(score->samples->kind == TR_MEASURED_TRAIN);
    struct tr_floor sum = {0};
    double *times = calloc((size_t)score->samples->count + 1, sizeof *times);
    if (!times)
        return tr_fail(err, TR_FAILED, "out of memory for runs that were measured again");
    for (int64_t i = 0; i < score->samples->count; i++)
        if (strcmp(score->row[i].sample->source, source) == 0)
            add_run(score, i, times, &sum);
    if (sum.rows)
        sum.mean /= (double)sum.rows;
    free(times);
    *out = sum;
    return TR_OK;
}
