/* The run: time and what is paid for it by terms of the step, and what is no sum. */
#include "plan/explain/inside.h"

#include "base/quantity.h"

#include <math.h>

/* Wall-clock time, or what is a multiple of it, as terms of the step, checkpoints and failures. */
static void add_by_term(struct tr_explain *e, int parent, double scale)
{
    const struct tr_plan *p = e->plan;
    const struct tr_job_cost *cost = tr_plan_cost(p);
    char step[TR_QUANTITY_BYTES], save[TR_QUANTITY_BYTES], each[TR_QUANTITY_BYTES];
    enum tr_unit unit = e->at[parent].unit;
    for (int i = 0; i < TR_TERM_COUNT; i++) {
        if (p->step.term_s[i] <= 0)
            continue;
        int at = tr_number_add(e, parent, unit, scale * p->steps * p->step.term_s[i], "%s of all steps",
                               tr_term_name((enum tr_term)i));
        tr_number_words(e, at, "steps x the term of one step", p->step.grade, "", "%.0f x %s", p->steps,
                        tr_print_time(step, p->step.term_s[i]));
    }
    if (isfinite(cost->interval_s)) {
        int at = tr_number_add(e, parent, unit, scale * p->busy_s / cost->interval_s * cost->save_s, "checkpoints");
        tr_number_words(e, at, "time in steps / interval x time to save", cost->time_grade,
                        tr_fact_source(&p->place.storage_bytes_s), "%.0f x %s, one each %s",
                        p->busy_s / cost->interval_s, tr_print_time(save, cost->save_s),
                        tr_print_time(each, cost->interval_s));
    }
    double rest = tr_number_rest(e, parent);
    int at = tr_number_add(e, parent, unit, rest, "failures: lost and done again");
    tr_number_words(e, at, "what is left of time in steps / goodput", cost->time_grade,
                    tr_fact_source(&tr_plan_failures(p)->chip_life_s), "%.3g failures, %s to recover", cost->failures,
                    tr_print_time(step, cost->recover_s));
}

static void add_times(struct tr_explain *e)
{
    const struct tr_plan *p = e->plan;
    const struct tr_job_cost *cost = tr_plan_cost(p);
    const struct tr_fact *price = &p->offer[p->request.commitment].price.usd_h;
    char power[TR_QUANTITY_BYTES];
    const struct {
        const char *name, *formula;
        enum tr_unit unit;
        double value;
        enum tr_grade grade;
    } of[] = {
        {"time", "steps x time of a step / goodput", TR_UNIT_TIME, cost->wall_s, cost->time_grade},
        {"chip-hours", "time x chips", TR_UNIT_COUNT, cost->chip_hours, cost->time_grade},
        {"dollars", "chip-hours x price", TR_UNIT_USD, cost->usd, cost->usd_grade},
        {"energy", "time x power of nodes x load x overhead x PUE", TR_UNIT_ENERGY, cost->energy_j, cost->energy_grade},
        {"carbon", "energy x carbon of the grid", TR_UNIT_CARBON, cost->carbon_g, cost->energy_grade},
    };
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        int at = tr_number_add(e, -1, of[i].unit, of[i].value, "%s", of[i].name);
        if (i == 2)
            tr_number_words(e, at, of[i].formula, of[i].grade, tr_known(price) ? tr_fact_source(price) : "",
                            "$%.2f a chip-hour (%s)", price->value,
                            tr_commitment_name((enum tr_commitment)p->request.commitment));
        else if (i == 3)
            tr_number_words(e, at, of[i].formula, of[i].grade, tr_fact_source(&p->place.pue),
                            "%s, PUE %.2f, load %.0f %%", tr_print_quantity(power, TR_UNIT_POWER, cost->power_w),
                            p->place.pue.value, 100 * p->place.load.value);
        else if (i == 4)
            tr_number_words(e, at, of[i].formula, of[i].grade, tr_fact_source(&p->place.carbon_g_kwh),
                            "%.0f g/kWh (%s)", p->place.carbon_g_kwh.value, p->place.name);
        else
            tr_number_words(e, at, of[i].formula, of[i].grade, "", "%.0f steps, goodput %.2f %%", p->steps,
                            100 * cost->goodput);
        if (isfinite(of[i].value) && cost->wall_s > 0)
            add_by_term(e, at, of[i].value / cost->wall_s);
    }
}

/* 100 % less what each term takes of it. */
static void add_mfu(struct tr_explain *e)
{
    const struct tr_plan *p = e->plan;
    const struct tr_fact *peak = &p->system.chip.rate_flop_s[tr_format_info(p->site.format)->rate];
    double chips = (double)tr_layout_chips(&p->layout), ideal_s = p->step.model_flop / (peak->value * chips);
    double compute_s = p->step.term_s[TR_TERM_GEMM] + p->step.term_s[TR_TERM_ATTENTION];
    char flop[TR_QUANTITY_BYTES], rate[TR_QUANTITY_BYTES];
    int mfu = tr_number_add(e, -1, TR_UNIT_RATIO, p->step.mfu, "mfu");
    tr_number_words(e, mfu, "model FLOPs of a step / (time x dense peak x chips)", TR_GRADE_NONE, tr_fact_source(peak),
                    "%s, %s a chip, %.0f chips", tr_print_quantity(flop, TR_UNIT_FLOP, p->step.model_flop),
                    tr_print_quantity(rate, TR_UNIT_FLOP_S, peak->value), chips);
    int at = tr_number_add(e, mfu, TR_UNIT_RATIO, 1, "all of the time at the peak");
    tr_number_words(e, at, "1", peak->grade, tr_fact_source(peak), "%s", "");
    at = tr_number_add(e, mfu, TR_UNIT_RATIO, -(compute_s - ideal_s) / p->step.time_s,
                       "products and attention below the peak");
    tr_number_words(e, at, "-(their time - model FLOPs / peak) / time of the step", p->step.grade, "",
                    "what is recomputed, and work that stages do not share evenly, counts here");
    for (int i = TR_TERM_PASS; i < TR_TERM_COUNT; i++) {
        if (p->step.term_s[i] <= 0)
            continue;
        at = tr_number_add(e, mfu, TR_UNIT_RATIO, -p->step.term_s[i] / p->step.time_s, "lost to %s",
                           tr_term_name((enum tr_term)i));
        tr_number_words(e, at, "-term / time of the step", p->step.grade, "", "%s", "");
    }
}

/* A quotient: what stands below are its factors. */
static int add_ratio(struct tr_explain *e, enum tr_unit unit, double value, const char *name, const char *formula,
                     enum tr_grade grade)
{
    int at = tr_number_add(e, -1, unit, value, "%s", name);
    tr_number_words(e, at, formula, grade, "", "%s", "");
    e->at[at].sums = false;
    return at;
}

static void add_factor(struct tr_explain *e, int parent, enum tr_unit unit, double value, const char *name,
                       const char *formula, enum tr_grade grade, const char *source)
{
    int at = tr_number_add(e, parent, unit, value, "%s", name);
    tr_number_words(e, at, formula, grade, source, "%s", "");
}

/* Said, or by the law what the loss takes. */
static void add_tokens(struct tr_explain *e)
{
    const struct tr_plan *p = e->plan;
    const struct tr_law *law = &p->law;
    const double loss = p->request.target_loss, params = tr_shape_params(&p->model).active;
    if (loss == 0) {
        add_ratio(e, TR_UNIT_COUNT, p->request.tokens, "tokens", "asked for", TR_GRADE_STATED);
        return;
    }
    const char *formula = "(B / (loss - E - A / parameters^alpha))^(1 / beta)";
    int at = add_ratio(e, TR_UNIT_COUNT, p->request.tokens, "tokens", formula, law->b.grade);
    tr_number_words(e, at, formula, law->b.grade, tr_fact_source(&law->b), "by %s", law->name);
    add_factor(e, at, TR_UNIT_COUNT, loss, "loss", "in nats a token", TR_GRADE_STATED, "asked for");
    add_factor(e, at, TR_UNIT_COUNT, params, "parameters", "those that a token uses", TR_GRADE_STATED, "the layers of the model");
    add_factor(e, at, TR_UNIT_COUNT, tr_law_floor(law, params), "loss with endless data", "E + A / parameters^alpha",
               law->e.grade, tr_fact_source(&law->e));
    add_factor(e, at, TR_UNIT_COUNT, p->tokens_low, "fewest tokens", "where the law's loss is too high by its error (80 %)",
               law->error.grade, tr_fact_source(&law->error));
    if (isfinite(p->tokens_high))
        add_factor(e, at, TR_UNIT_COUNT, p->tokens_high, "most tokens", "where it is too low by its error (80 %)",
                   law->error.grade, tr_fact_source(&law->error));
}

static void add_ratios(struct tr_explain *e)
{
    const struct tr_plan *p = e->plan;
    const struct tr_job_cost *cost = tr_plan_cost(p);
    double tokens = (double)p->task.batch.seq_len * (double)p->task.batch.global_batch;
    add_tokens(e);
    int at = add_ratio(e, TR_UNIT_COUNT, p->step.tokens_s, "tokens a second", "tokens of a step / time of a step",
                       p->step.grade);
    add_factor(e, at, TR_UNIT_COUNT, tokens, "tokens of a step", "sequences x their length", TR_GRADE_STATED,
               "asked for");
    add_factor(e, at, TR_UNIT_TIME, p->step.time_s, "time of a step", "see: step", p->step.grade, "");
    at = add_ratio(e, TR_UNIT_COUNT, cost->failures, "failures", "time / mean time between failures", cost->time_grade);
    add_factor(e, at, TR_UNIT_TIME, cost->wall_s, "time of the run", "see: time", cost->time_grade, "");
    add_factor(e, at, TR_UNIT_TIME, cost->mtbf_s, "mean time between failures", "life of one chip's job / chips",
               tr_plan_failures(p)->chip_life_s.grade, tr_fact_source(&tr_plan_failures(p)->chip_life_s));
    at = add_ratio(e, TR_UNIT_TIME, cost->interval_s, "checkpoint interval",
                   "where saving and failing cost least: Daly 2006, "
                   "equation 20, minimised",
                   cost->time_grade);
    add_factor(e, at, TR_UNIT_TIME, cost->save_s, "time to save", "bytes of a checkpoint / storage of all nodes",
               cost->time_grade, tr_fact_source(&p->place.storage_bytes_s));
    add_factor(e, at, TR_UNIT_BYTES, p->state_bytes, "bytes of a checkpoint", "parameters x (2 + bytes.optimizer)",
               p->stack.master_bytes.grade, tr_fact_source(&p->stack.master_bytes));
    add_factor(e, at, TR_UNIT_TIME, cost->mtbf_s, "mean time between failures, again", "see: failures",
               tr_plan_failures(p)->chip_life_s.grade, tr_fact_source(&tr_plan_failures(p)->chip_life_s));
    add_factor(e, at, TR_UNIT_TIME, cost->young_s, "by Young 1974", "sqrt(2 save mtbf)", cost->time_grade, "");
}

void tr_explain_run(struct tr_explain *e)
{
    add_mfu(e);
    add_times(e);
    add_ratios(e);
}
