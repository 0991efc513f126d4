/* What choosing by prediction would have cost. */
#include "plan/validate/validate.h"

#include <math.h>

enum { GROUP_ROWS_MIN = 3 };

/* Of the group that begins with row `first`; false when an earlier row began it, or it has too few rows. */
static bool group_regret(const struct tr_score *score, int64_t first, double *regret)
{
    const struct tr_sample *of = score->row[first].sample;
    double best_s = INFINITY, predicted_s = INFINITY, chosen_s = 0;
    int64_t rows = 0;
    for (int64_t i = 0; i < score->samples->count; i++) {
        const struct tr_score_row *row = &score->row[i];
        if (row->reason || row->sample->group != of->group)
            continue;
        if (i < first)
            return false;
        rows++;
        best_s = fmin(best_s, row->sample->time_s);
        if (row->cost.time_s < predicted_s)
            predicted_s = row->cost.time_s, chosen_s = row->sample->time_s;
    }
    *regret = chosen_s / best_s - 1;
    return rows >= GROUP_ROWS_MIN;
}

struct tr_regret tr_score_regret(const struct tr_score *score)
{
    struct tr_regret sum = {.worst_line = 0};
    for (int64_t i = 0; i < score->samples->count; i++) {
        double regret;
        if (score->row[i].reason || !group_regret(score, i, &regret))
            continue;
        sum.groups++;
        sum.mean += regret;
        sum.within_1 += regret <= .01;
        if (regret > sum.worst)
            sum.worst = regret, sum.worst_line = score->row[i].sample->line;
    }
    if (sum.groups)
        sum.mean /= (double)sum.groups;
    return sum;
}
