/* Arithmetic of a run: checkpoints and failures, then chip-hours, dollars, energy, carbon. */
#include "cloud/cost/cost.h"

#include "base/fmath.h"

#include <math.h>

/* exp(x) - 1 and log(1 + x) near zero: what is lost in rounding u is put right by the slope at u (Kahan). */
static double exp_minus_1(double x)
{
    double u = tr_exp(x);
    return u == 1 ? x : u == 0 || isinf(u) ? u - 1 : (u - 1) * x / tr_log(u);
}

static double log_of_1_plus(double x)
{
    double u = 1 + x;
    return u == 1 ? x : u == 0 ? -INFINITY : tr_log(u) * x / (u - 1);
}

/* --- checkpoints --- */

double tr_interval_young(double save_s, double mtbf_s) { return sqrt(2 * save_s * mtbf_s); }

double tr_interval_daly(double save_s, double mtbf_s)
{
    if (isinf(mtbf_s))
        return INFINITY;
    double x = save_s / (2 * mtbf_s);
    if (x >= 1)
        return mtbf_s;
    return sqrt(2 * save_s * mtbf_s) * (1 + sqrt(x) / 3 + x / 9) - save_s;
}

/* With t = interval / mtbf and d = save / mtbf the derivative of the wall-clock time is zero where exp(t + d) (1 - t) = 1,
 * that is t + d + log(1 - t) = 0: its left side falls from d to minus infinity on [0, 1). */
double tr_interval_best(double save_s, double mtbf_s)
{
    if (isinf(mtbf_s))
        return INFINITY;
    double d = save_s / mtbf_s, low = 0, high = 1;
    for (int i = 0; i < 200 && low < high; i++) {
        double t = low + (high - low) / 2;
        if (t == low || t == high)
            break;
        if (t + d + log_of_1_plus(-t) > 0)
            low = t;
        else
            high = t;
    }
    return low * mtbf_s;
}

double tr_goodput(double interval_s, double save_s, double recover_s, double mtbf_s)
{
    if (isinf(mtbf_s))
        return isinf(interval_s) ? 1 : interval_s / (interval_s + save_s);
    if (isinf(interval_s) || interval_s <= 0)
        return save_s <= 0 && interval_s <= 0 ? tr_exp(-recover_s / mtbf_s) : 0;
    return interval_s / (mtbf_s * tr_exp(recover_s / mtbf_s) * exp_minus_1((interval_s + save_s) / mtbf_s));
}

/* --- a run --- */

double tr_job_nodes(const struct tr_system *system, int64_t chips)
{
    return ceil((double)chips / (double)system->chips_per_node);
}

static void time_checkpoints(const struct tr_job *job, struct tr_job_cost *cost)
{
    const struct tr_fact *storage = tr_place_storage(job->site, job->system), *host = &job->system->chip.host_bytes_s;
    if (job->state_bytes > 0 && tr_known(storage))
        cost->write_s = job->state_bytes / (storage->value * tr_job_nodes(job->system, job->chips));
    cost->save_s = cost->write_s;
    if (job->background && tr_known(host))
        cost->save_s = job->state_bytes / (double)job->chips / host->value;
}

static void time_failures(const struct tr_job *job, struct tr_job_cost *cost)
{
    const struct tr_failures *failures = job->failures;
    cost->mtbf_s = failures ? tr_failures_mtbf(failures, job->chips) : INFINITY;
    /* The checkpoint is read as fast as it is written; and one that is on its way to storage is lost. */
    if (isfinite(cost->mtbf_s))
        cost->recover_s = tr_fact_or(&failures->recover_s, 0) + cost->write_s * (job->background ? 2 : 1);
}

static void choose_interval(const struct tr_job *job, struct tr_job_cost *cost)
{
    cost->young_s = tr_interval_young(cost->save_s, cost->mtbf_s);
    cost->daly_s = tr_interval_daly(cost->save_s, cost->mtbf_s);
    cost->interval_s = job->interval_s > 0 ? job->interval_s : tr_interval_best(cost->save_s, cost->mtbf_s);
    if (job->background && cost->interval_s < cost->write_s - cost->save_s)
        cost->interval_s = cost->write_s - cost->save_s; /* one write at a time */
    cost->goodput = tr_goodput(cost->interval_s, cost->save_s, cost->recover_s, cost->mtbf_s);
}

static double power_of(const struct tr_job *job)
{
    const struct tr_place *site = job->site;
    const struct tr_fact node = tr_place_node_power(site, job->system);
    if (!site || !tr_known(&site->pue) || !tr_known(&node))
        return NAN;
    return node.value * tr_job_nodes(job->system, job->chips) * tr_fact_or(&site->load, 1) * tr_fact_or(&site->overhead, 1) *
           site->pue.value;
}

struct tr_job_cost tr_job_cost(const struct tr_job *job)
{
    TR_ASSERT(job->chips > 0 && job->busy_s >= 0);
    struct tr_job_cost cost = {.usd = NAN, .energy_j = NAN, .carbon_g = NAN};
    time_checkpoints(job, &cost);
    time_failures(job, &cost);
    choose_interval(job, &cost);
    cost.wall_s = cost.goodput > 0 ? job->busy_s / cost.goodput : INFINITY;
    cost.failures = isfinite(cost.mtbf_s) ? cost.wall_s / cost.mtbf_s : 0;
    cost.chip_hours = cost.wall_s / 3600 * (double)job->chips;
    if (job->price && tr_known(&job->price->usd_h))
        cost.usd = cost.chip_hours * job->price->usd_h.value;
    cost.power_w = power_of(job);
    cost.energy_j = cost.power_w * cost.wall_s;
    if (job->site && tr_known(&job->site->carbon_g_kwh))
        cost.carbon_g = cost.energy_j / 3.6e6 * job->site->carbon_g_kwh.value;
    return cost;
}
