/* The run: what is no sum, rates and counts and what failing and saving take. Its time and what that costs: money.c. */
#include "plan/explain/inside.h"

#include "base/quantity.h"

#include <math.h>
#include <stdio.h>

/* ---- the step once more ------------------------------------------------------------------------------------------ */

static const char model_source[] = "config of the model (trine show model)";

/* 100 % less what each term takes of it. */
static void add_mfu(struct tr_explain *e, const struct tr_run_numbers *run)
{
    const struct tr_plan *p = e->plan;
    const struct tr_fact *peak = &p->system.chip.rate_flop_s[tr_format_info(p->site.format)->rate];
    const enum tr_grade grade = e->at[run->step].grade;
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
    tr_number_words(e, at, "-(their time - model FLOPs / peak) / time of the step", tr_grade_worse(grade, peak->grade), "",
                    "what is recomputed, and work that stages do not share evenly, counts here");
    for (int i = TR_TERM_PASS; i < TR_TERM_COUNT; i++) {
        if (p->step.term_s[i] <= 0)
            continue;
        at = tr_number_add(e, mfu, TR_UNIT_RATIO, -p->step.term_s[i] / p->step.time_s, "lost to %s",
                           tr_term_name((enum tr_term)i));
        tr_number_words(e, at, "-term / time of the step", grade, "", "%s", "");
    }
}

static void add_flop(struct tr_explain *e)
{
    const struct tr_plan *p = e->plan;
    double tokens = (double)p->task.batch.seq_len * (double)p->task.batch.global_batch;
    int at = tr_number_ratio(e, TR_UNIT_FLOP, "", p->step.model_flop, "model FLOPs of a step", "FLOPs of a token x tokens", "");
    tr_number_factor(e, at, TR_UNIT_FLOP, "", p->step.model_flop / tokens, "FLOPs of a token",
                     "6 x parameters in its products + 3 x causal attention and scans; nothing computed again", TR_GRADE_STATED,
                     model_source);
    tr_number_factor(e, at, TR_UNIT_COUNT, "token", tokens, "tokens of a step", "sequences x their length", TR_GRADE_STATED,
                     "asked for");
}

/* Said, or by the law what the loss takes. */
static int add_tokens(struct tr_explain *e)
{
    const struct tr_plan *p = e->plan;
    const struct tr_law *law = &p->law;
    const struct tr_fact *const of[] = {&law->e, &law->a, &law->alpha, &law->b, &law->beta};
    const double loss = p->request.target_loss, params = tr_shape_params(&p->model).active;
    int at = tr_number_ratio(e, TR_UNIT_COUNT, "token", p->request.tokens, "tokens", "", "");
    if (loss == 0) {
        tr_number_words(e, at, "asked for", TR_GRADE_STATED, "asked for", "%s", "");
        return at;
    }
    tr_number_words(e, at, "(B / (loss - E - A / parameters^alpha))^(1 / beta)", law->b.grade, tr_fact_source(&law->b), "by %s",
                    law->name);
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        tr_number_by(e, at, of[i]->grade);
    tr_number_factor(e, at, TR_UNIT_COUNT, "nat", loss, "loss", "in nats a token", TR_GRADE_STATED, "asked for");
    tr_number_factor(e, at, TR_UNIT_COUNT, "parameter", params, "parameters of a token", "those that a token uses", TR_GRADE_STATED,
                     model_source);
    tr_number_factor(e, at, TR_UNIT_COUNT, "nat", tr_law_floor(law, params), "loss with endless data", "E + A / parameters^alpha",
                     law->e.grade, tr_fact_source(&law->e));
    tr_number_factor(e, at, TR_UNIT_COUNT, "token", p->tokens_low, "fewest tokens",
                     "where the law's loss is too high by its error (80 %)", law->error.grade, tr_fact_source(&law->error));
    if (isfinite(p->tokens_high))
        tr_number_factor(e, at, TR_UNIT_COUNT, "token", p->tokens_high, "most tokens",
                         "where it is too low by its error (80 %)", law->error.grade, tr_fact_source(&law->error));
    return at;
}

static void add_counts(struct tr_explain *e, struct tr_run_numbers *run)
{
    const struct tr_plan *p = e->plan;
    int at = tr_number_ratio(e, TR_UNIT_COUNT, "parameter", tr_shape_params(&p->model).total, "parameters", "", "");
    tr_number_words(e, at, "all distinct ones; a tied head counts once", TR_GRADE_STATED, model_source, "%s", p->model.name);
    add_flop(e);
    int tokens = add_tokens(e);
    tr_number_grade(e);
    run->steps = tr_number_ratio(e, TR_UNIT_COUNT, "step", p->steps, "steps", "tokens / tokens of a step, rounded up", "");
    tr_number_see(e, run->steps, tokens);
    tr_number_factor(e, run->steps, TR_UNIT_COUNT, "token",
                     (double)p->task.batch.seq_len * (double)p->task.batch.global_batch, "tokens of a step",
                     "sequences x their length", TR_GRADE_STATED, "asked for");
    at = tr_number_ratio(e, TR_UNIT_COUNT, "token/s", p->step.tokens_s, "tokens a second", "tokens of a step / time of a step", "");
    tr_number_factor(e, at, TR_UNIT_COUNT, "token", (double)p->task.batch.seq_len * (double)p->task.batch.global_batch,
                     "tokens of a step", "sequences x their length", TR_GRADE_STATED, "asked for");
    tr_number_see(e, at, run->step);
}

/* ---- saving and failing ------------------------------------------------------------------------------------------ */

static void add_saving(struct tr_explain *e, struct tr_run_numbers *run)
{
    const struct tr_plan *p = e->plan;
    const struct tr_job_cost *cost = tr_plan_cost(p);
    const struct tr_fact *storage = tr_place_storage(&p->place, &p->system), *host = &p->system.chip.host_bytes_s;
    run->state = tr_number_ratio(e, TR_UNIT_BYTES, "", p->state_bytes, "bytes of a checkpoint", "parameters x (2 + bytes.optimizer)", "");
    tr_number_factor(e, run->state, TR_UNIT_COUNT, "parameter", tr_shape_params(&p->model).total + p->further.params,
                     "parameters that are saved", "of the model, and of modules for further tokens", TR_GRADE_STATED, model_source);
    tr_number_fact(e, run->state, TR_UNIT_BYTES, "bytes.optimizer", "of a parameter", &p->stack.master_bytes);
    tr_number_grade(e);
    bool copied = p->request.background && tr_known(host);
    run->save = tr_number_ratio(e, TR_UNIT_TIME, "", cost->save_s, "time to save",
                                copied ? "bytes of a checkpoint / (chips x bandwidth to a host): the copy, written in the background"
                                       : "bytes of a checkpoint / (nodes x storage of a node)", "");
    tr_number_see(e, run->save, run->state);
    if (copied)
        tr_number_fact(e, run->save, TR_UNIT_BYTES_S, "bandwidth to a host", "of a chip", host);
    else
        tr_number_fact(e, run->save, TR_UNIT_BYTES_S, "storage of a node", "to where checkpoints go", storage);
    if (!copied)
        tr_number_factor(e, run->save, TR_UNIT_COUNT, "node", tr_job_nodes(&p->system, p->request.chips), "nodes",
                         "chips / chips of a node, rounded up", TR_GRADE_STATED, "asked for");
}

static void add_failing(struct tr_explain *e, struct tr_run_numbers *run)
{
    const struct tr_plan *p = e->plan;
    const struct tr_job_cost *cost = tr_plan_cost(p);
    const struct tr_failures *failures = tr_plan_failures(p);
    const struct tr_fact *storage = tr_place_storage(&p->place, &p->system);
    run->mtbf = tr_number_ratio(e, TR_UNIT_TIME, "", isfinite(cost->mtbf_s) ? cost->mtbf_s : NAN, "mean time between failures",
                                "1 / (chips / life of a job of one chip + 1 / life of a group)", "");
    tr_number_fact(e, run->mtbf, TR_UNIT_TIME, "life of a job of one chip", failures->name, &failures->chip_life_s);
    tr_number_fact(e, run->mtbf, TR_UNIT_TIME, "life of a group", "on spot, of a job of any size", &failures->group_life_s);
    tr_number_factor(e, run->mtbf, TR_UNIT_COUNT, "chip", (double)p->request.chips, "chips", "asked for", TR_GRADE_STATED, "asked for");
    run->recover = tr_number_ratio(e, TR_UNIT_TIME, "", cost->recover_s, "time to recover",
                                   p->request.background ? "to start again + twice the time to write a checkpoint"
                                                         : "to start again + the time to read a checkpoint", "");
    tr_number_fact(e, run->recover, TR_UNIT_TIME, "time to start again", failures->name, &failures->recover_s);
    tr_number_factor(e, run->recover, TR_UNIT_TIME, "", cost->write_s, "time to write or read a checkpoint",
                     "bytes of a checkpoint / (nodes x storage of a node)",
                     tr_grade_worse(storage->grade, e->at[run->state].grade), tr_fact_source(storage));
}

static void add_interval(struct tr_explain *e, struct tr_run_numbers *run)
{
    static const char daly[] = "J. Daly 2006, Future Generation Computer Systems 22";
    const struct tr_job_cost *cost = tr_plan_cost(e->plan);
    const double interval_s = isfinite(cost->interval_s) ? cost->interval_s : NAN;
    run->interval = tr_number_ratio(e, TR_UNIT_TIME, "", interval_s, "checkpoint interval",
                                    "where saving and failing cost least: Daly 2006, equation 20, minimised", daly);
    tr_number_see(e, run->interval, run->save);
    tr_number_see(e, run->interval, run->mtbf);
    tr_number_factor(e, run->interval, TR_UNIT_TIME, "", isfinite(cost->young_s) ? cost->young_s : NAN, "by Young 1974, to compare",
                     "sqrt(2 x time to save x mean time between failures)",
                     tr_grade_worse(e->at[run->save].grade, e->at[run->mtbf].grade), "J. Young 1974, CACM 17");
    tr_number_grade(e);
    run->goodput = tr_number_ratio(e, TR_UNIT_RATIO, "", cost->goodput, "goodput",
                                   "interval / (mtbf e^(recover / mtbf) (e^((interval + save) / mtbf) - 1)): the share of steps in the time", daly);
    const int of[] = {run->interval, run->save, run->recover, run->mtbf};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        tr_number_see(e, run->goodput, of[i]);
}

/* ---- what would help --------------------------------------------------------------------------------------------- */

static void add_levers(struct tr_explain *e, const struct tr_run_numbers *run)
{
    const struct tr_plan *p = e->plan;
    int at = tr_number_ratio(e, TR_UNIT_RATIO, "", p->lever[p->limit].change, "what would help",
                             "the step's time with one thing 10 % better, priced again / as it is, - 1: what gives most of those below", "");
    tr_number_by(e, at, e->at[run->step].grade);
    for (int i = 0; i < TR_LEVER_COUNT; i++) {
        char now[TR_QUANTITY_BYTES] = "many numbers", time[TR_QUANTITY_BYTES];
        enum tr_unit unit;
        double value = tr_lever_value((enum tr_lever)i, &p->site, &unit);
        if (!tr_lever_there((enum tr_lever)i, &p->system))
            continue;
        if (!isnan(value))
            tr_print_quantity(now, unit, value);
        int one = tr_number_add(e, at, TR_UNIT_RATIO, p->lever[i].change, "10 %% better: %s", tr_lever_name((enum tr_lever)i));
        tr_number_words(e, one, "the step's time with it / as it is, - 1", e->at[run->step].grade, "", "now %s; the step would take %s", now,
                        tr_print_time(time, p->step.time_s * (1 + p->lever[i].change)));
    }
}

void tr_explain_run(struct tr_explain *e)
{
    struct tr_run_numbers run = {.step = 0};
    add_counts(e, &run);
    add_mfu(e, &run);
    add_saving(e, &run);
    add_failing(e, &run);
    tr_number_grade(e);
    add_interval(e, &run);
    tr_number_grade(e);
    tr_explain_money(e, &run);
    add_levers(e, &run);
}
