#include "plan/calibrate/refine.h"

#include "base/err.h"
#include "base/fmath.h"

#include <math.h>

/* What the calibration counts as, in runs: for the factor, and for how far runs spread. */
#define BEFORE 1.
#define BEFORE_SPREAD 4.
#define TIMES_80 1.2816 /* half width of the 80 % interval, in standard deviations */

/* Weighted sums of what runs say. */
struct said {
    double weight, sum, squares;
};

/* The logarithm of measured over predicted; false: it cannot be said. */
static bool ratio_of(double took_s, double said_s, double *log_ratio)
{
    if (!(took_s > 0) || !(said_s > 0))
        return false;
    *log_ratio = tr_log(fmin(fmax(took_s / said_s, 1 / TR_REFINE_RATIO_MAX), TR_REFINE_RATIO_MAX));
    return true;
}

static void add(struct said *s, double weight, double log_ratio)
{
    s->weight += weight;
    s->sum += weight * log_ratio;
    s->squares += weight * log_ratio * log_ratio;
}

/* Of all runs but one (-1: of all). */
static struct said said_of_kind(const struct tr_run_seen *run, int count, int left_out, int kind, int type)
{
    struct said s = {0};
    double ratio;
    for (int i = 0; i < count; i++) {
        double all_s = run[i].all_s[kind][type];
        if (i != left_out && ratio_of(run[i].took_s[kind][type], run[i].said_s[kind][type], &ratio))
            add(&s, all_s / (all_s + TR_REFINE_HALF_S), ratio);
    }
    return s;
}

static struct said said_of_between(const struct tr_run_seen *run, int count, int left_out)
{
    struct said s = {0};
    double ratio;
    for (int i = 0; i < count; i++)
        if (i != left_out && ratio_of(run[i].between_took_s, run[i].between_said_s, &ratio))
            add(&s, 1, ratio);
    return s;
}

static double factor(const struct said *s, double runs_before) { return tr_exp(s->sum / (BEFORE + runs_before + s->weight)); }

/* The half width after runs that were seen */
static double error_after(const struct said *s, double error, double runs_before)
{
    if (s->weight <= 0)
        return error;
    double before = BEFORE + runs_before, after = before + s->weight, mean = s->sum / s->weight;
    double sd = error / TIMES_80;
    double squares = (BEFORE_SPREAD + runs_before) * sd * sd / (1 + 1 / before) + fmax(0, s->squares - mean * s->sum) +
                     before * s->weight / after * mean * mean;
    double spread = sqrt(squares / (BEFORE_SPREAD + runs_before + s->weight));
    return fmax(TIMES_80 * spread * sqrt(1 + 1 / after), fmin(error, TR_REFINE_NOISE));
}

/* What a run's step would be predicted to take if the others alone had refined the rates. */
static double predicted_by_others(const struct tr_run_seen *run, int count, int which, const struct tr_kernel_rates *rates)
{
    struct said between = said_of_between(run, count, which);
    double time_s = run[which].rest_said_s + run[which].between_said_s * factor(&between, tr_refined_runs(&rates->refined));
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
        for (int type = 0; type < TR_KERNEL_TYPES; type++) {
            struct said s = said_of_kind(run, count, which, kind, type);
            time_s += run[which].said_s[kind][type] * factor(&s, rates->price[kind][type].runs);
        }
    return time_s;
}

/* The half width of a step's interval: predictions of runs that were left out have no mean of their own, the rates had theirs. */
struct misses {
    double weight, squares;
};

static struct misses misses_before(double error, int runs_before)
{
    double weight = BEFORE_SPREAD + runs_before;
    return (struct misses){weight, weight * error * error};
}

static void add_miss(struct misses *m, double took_s, double said_s)
{
    double ratio;
    if (!ratio_of(took_s, said_s, &ratio))
        return;
    m->squares += TIMES_80 * ratio * TIMES_80 * ratio;
    m->weight++;
}

static double error_of(const struct misses *m, double error)
{
    return fmax(sqrt(m->squares / m->weight), fmin(error, TR_REFINE_NOISE));
}

static void refine_price(const struct said *s, struct tr_kernel_price *price)
{
    double times = factor(s, price->runs);
    for (int i = 0; i < TR_KERNEL_TERMS_MAX; i++)
        price->unit_s[i] *= times;
    price->error = error_after(s, price->error, price->runs);
    price->runs += s->weight;
}

void tr_kernel_refine(const struct tr_run_seen *run, int count, struct tr_kernel_rates *rates)
{
    TR_ASSERT(count >= 1);
    struct misses misses = misses_before(rates->step_error, tr_refined_runs(&rates->refined));
    for (int i = 0; i < count; i++)
        add_miss(&misses, run[i].step_took_s, predicted_by_others(run, count, i, rates));
    struct said between = said_of_between(run, count, -1);
    rates->step_error = error_of(&misses, rates->step_error);
    rates->between_s *= factor(&between, tr_refined_runs(&rates->refined));
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
        for (int type = 0; type < TR_KERNEL_TYPES; type++)
            if (rates->price[kind][type].known) {
                struct said s = said_of_kind(run, count, -1, kind, type);
                refine_price(&s, &rates->price[kind][type]);
                refine_price(&s, &rates->apart[kind][type]); /* runs say by how much, whichever of the two they were predicted by */
            }
}

/* ---- ranks ------------------------------------------------------------------------------------------------------- */

static void add_seen(struct said *s, double took_s, double said_s, double half_s)
{
    double ratio;
    if (ratio_of(took_s, said_s, &ratio))
        add(s, took_s / (took_s + half_s), ratio);
}

static void refine_number(const struct said *s, double *number, double *runs)
{
    *number *= factor(s, *runs);
    *runs += s->weight;
}

static void refine_work(const struct tr_ranks_seen *run, int count, int left_out, int kind, struct tr_exchange_rates *exchange)
{
    struct said s = {0};
    for (int i = 0; i < count; i++)
        if (i != left_out)
            add_seen(&s, run[i].took_s[kind], run[i].said_s[kind], TR_REFINE_HALF_S);
    if (exchange->work_times[kind] == 0 && s.weight > 0)
        exchange->work_times[kind] = 1;
    refine_number(&s, &exchange->work_times[kind], &exchange->work_runs[kind]);
}

static void refine_moves(const struct tr_ranks_seen *run, int count, int left_out, int kind, int size, struct tr_exchange_rates *exchange)
{
    struct said s = {0};
    for (int i = 0; i < count; i++)
        if (i != left_out)
            add_seen(&s, run[i].moved_s[kind][size], run[i].moves_s[kind][size], TR_REFINE_MOVES_HALF_S);
    refine_number(&s, &exchange->time_s[kind][size], &exchange->time_runs[kind][size]);
}

void tr_exchange_refine(const struct tr_ranks_seen *run, int count, int left_out, struct tr_exchange_rates *exchange)
{
    TR_ASSERT(count >= 1 && left_out < count);
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
        refine_work(run, count, left_out, kind, exchange);
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
        for (int size = 0; size < TR_EXCHANGE_SIZES; size++)
            refine_moves(run, count, left_out, kind, size, exchange);
}

double tr_exchange_refined_error(const struct tr_ranks_seen *run, int count, double error, int runs_before)
{
    struct misses misses = misses_before(error, runs_before);
    for (int i = 0; i < count; i++)
        add_miss(&misses, run[i].step_took_s, run[i].step_said_s);
    return error_of(&misses, error);
}
