/* What choosing by prediction would have cost. */
#include "plan/run/run.h"
#include "plan/validate/validate.h"

#include <math.h>
#include <string.h>

enum { GROUP_LAYOUTS_MIN = 3 };

static bool in_group(const struct tr_score *score, int64_t i, uint64_t group)
{
    const struct tr_score_row *row = &score->row[i];
    return !row->reason && row->sample->group == group && !row->sample->of.run->layout_open;
}

static bool same_layout(const struct tr_score_row *a, const struct tr_score_row *b)
{
    char words[TR_LAYOUT_TEXT_BYTES], other[TR_LAYOUT_TEXT_BYTES];
    return strcmp(tr_layout_print(&a->layout, words), tr_layout_print(&b->layout, other)) == 0;
}

/* Sources print one layout again with each release or network: what a layout took is the mean of its rows. False when an
 * earlier row of the group has the layout. */
static bool layout_time(const struct tr_score *score, int64_t first, double *mean_s)
{
    double sum = 0;
    int64_t rows = 0;
    for (int64_t i = 0; i < score->samples->count; i++) {
        if (!in_group(score, i, score->row[first].sample->group) || !same_layout(&score->row[i], &score->row[first]))
            continue;
        if (i < first)
            return false;
        sum += score->row[i].sample->time_s;
        rows++;
    }
    *mean_s = sum / (double)rows;
    return true;
}

/* Of the group that begins with row `first`; false when an earlier row began it, or it has too few layouts. */
static bool group_regret(const struct tr_score *score, int64_t first, double *regret)
{
    double best_s = INFINITY, predicted_s = INFINITY, chosen_s = 0, mean_s;
    int64_t layouts = 0;
    for (int64_t i = 0; i < score->samples->count; i++) {
        const struct tr_score_row *row = &score->row[i];
        if (!in_group(score, i, score->row[first].sample->group))
            continue;
        if (i < first)
            return false;
        if (!layout_time(score, i, &mean_s))
            continue;
        layouts++;
        best_s = fmin(best_s, mean_s);
        if (row->cost.time_s < predicted_s)
            predicted_s = row->cost.time_s, chosen_s = mean_s;
    }
    *regret = chosen_s / best_s - 1;
    return layouts >= GROUP_LAYOUTS_MIN;
}

struct tr_regret tr_score_regret(const struct tr_score *score, const int64_t *rows, int64_t count)
{
    struct tr_regret sum = {0};
    for (int64_t i = 0; score->samples->kind == TR_MEASURED_TRAIN && i < count; i++) {
        const struct tr_score_row *row = &score->row[rows[i]];
        double regret;
        if (!in_group(score, rows[i], row->sample->group) || !group_regret(score, rows[i], &regret))
            continue;
        sum.groups++;
        sum.mean += regret;
        sum.within_1 += regret <= .01;
        if (regret > sum.worst)
            sum.worst = regret, sum.worst_line = row->sample->line;
    }
    if (sum.groups)
        sum.mean /= (double)sum.groups;
    return sum;
}

/* ---- which of two is faster -------------------------------------------------------------------------------------- */

static void count_pair(struct tr_pair_order *order, const struct tr_score_row *a, const struct tr_score_row *b, double a_s, double b_s)
{
    double apart = fmax(a->cost.time_s, b->cost.time_s) / fmin(a->cost.time_s, b->cost.time_s) - 1;
    struct tr_pairs *to = apart <= TR_PLAN_ALIKE ? &order->alike : &order->next;
    if (apart > 2 * TR_PLAN_ALIKE)
        return;
    to->pairs++;
    to->right += (a->cost.time_s < b->cost.time_s) == (a_s < b_s);
}

struct tr_pair_order tr_score_order(const struct tr_score *score)
{
    struct tr_pair_order order = {0};
    for (int64_t i = 0; i < score->samples->count; i++) {
        uint64_t group = score->row[i].sample->group;
        double a_s, b_s;
        if (!in_group(score, i, group) || !layout_time(score, i, &a_s))
            continue;
        for (int64_t k = i + 1; k < score->samples->count; k++)
            if (in_group(score, k, group) && layout_time(score, k, &b_s))
                count_pair(&order, &score->row[i], &score->row[k], a_s, b_s);
    }
    return order;
}
