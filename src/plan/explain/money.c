/* The run's time, and what is a multiple of it: chip-hours, dollars, energy, carbon. */
#include "plan/explain/inside.h"

#include "base/quantity.h"

#include <math.h>
#include <stdio.h>

/* What time is multiplied by: one unit of it is worth `scale`. */
struct by_time {
    double scale;
    enum tr_grade grade;
    char words[64]; /* " x 1024 chips": after the time in inputs */
};

/* Wall-clock time, or what is a multiple of it, as terms of the step, checkpoints and failures. */
static void add_by_term(struct tr_explain *e, const struct tr_run_numbers *run, int parent, const struct by_time *by)
{
    const struct tr_plan *p = e->plan;
    const struct tr_job_cost *cost = tr_plan_cost(p);
    char step[TR_QUANTITY_BYTES], save[TR_QUANTITY_BYTES], each[TR_QUANTITY_BYTES];
    const enum tr_unit unit = e->at[parent].unit;
    enum tr_grade seen = tr_grade_worse(e->at[run->step].grade, e->at[run->steps].grade);
    for (int i = 0; i < TR_TERM_COUNT; i++) {
        if (p->step.term_s[i] <= 0)
            continue;
        int at = tr_number_add(e, parent, unit, by->scale * p->steps * p->step.term_s[i], "%s of all steps",
                               tr_term_name((enum tr_term)i));
        const struct tr_number *term = &e->at[tr_number_term(run, i)];
        tr_number_words(e, at, "steps x the term of one step", tr_grade_worse(term->grade, by->grade), "", "%.0f x %s%s", p->steps,
                        tr_print_time(step, p->step.term_s[i]), by->words);
        tr_number_by(e, at, e->at[run->steps].grade);
    }
    if (isfinite(cost->interval_s)) {
        int at = tr_number_add(e, parent, unit, by->scale * p->busy_s / cost->interval_s * cost->save_s, "checkpoints");
        seen = tr_grade_worse(seen, tr_grade_worse(e->at[run->interval].grade, e->at[run->save].grade));
        tr_number_words(e, at, "time in steps / interval x time to save", tr_grade_worse(seen, by->grade), "",
                        "%.0f x %s, one each %s%s", p->busy_s / cost->interval_s, tr_print_time(save, cost->save_s),
                        tr_print_time(each, cost->interval_s), by->words);
    }
    double rest = tr_number_rest(e, parent);
    int at = tr_number_add(e, parent, unit, rest, "failures: lost and done again");
    tr_number_words(e, at, "what is left of time in steps / goodput", tr_grade_worse(seen, by->grade),
                    tr_fact_source(&tr_plan_failures(p)->chip_life_s), "%.3g failures, %s to recover%s", cost->failures,
                    tr_print_time(step, cost->recover_s), by->words);
    tr_number_by(e, at, e->at[run->goodput].grade);
}

/* ---- time -------------------------------------------------------------------------------------------------------- */

static void add_time(struct tr_explain *e, struct tr_run_numbers *run)
{
    const struct tr_plan *p = e->plan;
    const struct tr_job_cost *cost = tr_plan_cost(p);
    struct by_time by = {.scale = 1};
    run->time = tr_number_add(e, -1, TR_UNIT_TIME, cost->wall_s, "time");
    e->at[run->time].error = p->step.error;
    tr_number_words(e, run->time, "steps x time of a step / goodput", e->at[run->goodput].grade, "", "%.0f steps, goodput %.2f %%",
                    p->steps, 100 * cost->goodput);
    if (isfinite(cost->wall_s))
        add_by_term(e, run, run->time, &by);
    int hours = tr_number_add(e, -1, TR_UNIT_COUNT, cost->chip_hours, "chip-hours");
    e->at[hours].counts = "chip-hour";
    tr_number_words(e, hours, "time x chips", e->at[run->goodput].grade, "", "%.0f steps, goodput %.2f %%, %lld chips", p->steps,
                    100 * cost->goodput, (long long)p->request.chips);
    by.scale = (double)p->request.chips / 3600;
    snprintf(by.words, sizeof by.words, " x %lld chips", (long long)p->request.chips);
    if (isfinite(cost->chip_hours))
        add_by_term(e, run, hours, &by);
    tr_number_grade(e);
    int failures = tr_number_ratio(e, TR_UNIT_COUNT, "failure", cost->failures, "failures", "time / mean time between failures", "");
    tr_number_see(e, failures, run->time);
    tr_number_see(e, failures, run->mtbf);
}

/* ---- dollars ----------------------------------------------------------------------------------------------------- */

/* All offers, the cheapest first. */
static int add_price(struct tr_explain *e, const struct tr_price *price, const char *name)
{
    char offer[TR_OFFERED_NAME_BYTES], words[TR_NUMBER_WORDS_BYTES];
    int at = tr_number_ratio(e, TR_UNIT_USD_H, "", price->usd_h.value, name, "", "");
    tr_number_words(e, at, "median of the newest offer of each seller and machine", price->usd_h.grade, tr_fact_source(&price->usd_h), "%s", tr_price_words(price, words));
    for (int i = 0; i < price->offers; i++) {
        const struct tr_fact *usd_h = &price->offer[i].usd_h;
        int one = tr_number_add(e, at, TR_UNIT_USD_H, usd_h->value, "%s", tr_offered_name(&price->offer[i], offer));
        tr_number_words(e, one, "price of the machine / its chips", usd_h->grade, tr_fact_source(usd_h), "of %s%s", usd_h->date,
                        i == price->middle && price->offers > 1 ? ", the middle one" : "");
    }
    return at;
}

static void add_dollars(struct tr_explain *e, const struct tr_run_numbers *run)
{
    const struct tr_plan *p = e->plan;
    const struct tr_job_cost *cost = tr_plan_cost(p);
    const struct tr_price *price = &p->offer[p->request.commitment].price;
    char words[TR_NUMBER_WORDS_BYTES];
    if (tr_known(&price->usd_h))
        add_price(e, price, "price");
    int at = tr_number_add(e, -1, TR_UNIT_USD, cost->usd, "dollars");
    if (!tr_known(&price->usd_h)) {
        tr_number_words(e, at, "chip-hours x price", TR_GRADE_NONE, "", "nobody of the catalog offers it %s",
                        tr_commitment_name((enum tr_commitment)p->request.commitment));
        return;
    }
    struct by_time by = {.scale = (double)p->request.chips / 3600 * price->usd_h.value, .grade = price->usd_h.grade};
    snprintf(by.words, sizeof by.words, " x %lld chips x $%.2f/h", (long long)p->request.chips, price->usd_h.value);
    tr_number_words(e, at, "chip-hours x price", tr_grade_worse(price->usd_h.grade, e->at[run->time].grade),
                    tr_fact_source(&price->usd_h), "$%.2f a chip-hour (%s), %s", price->usd_h.value,
                    tr_commitment_name((enum tr_commitment)p->request.commitment), tr_price_words(price, words));
    if (isfinite(cost->usd))
        add_by_term(e, run, at, &by);
}

/* Of the other ways to pay; their failures are others too. */
static void add_other_offers(struct tr_explain *e, const struct tr_run_numbers *run)
{
    const struct tr_plan *p = e->plan;
    char name[TR_NUMBER_NAME_BYTES];
    for (int i = 0; i < TR_COMMITMENT_COUNT; i++) {
        const struct tr_plan_offer *offer = &p->offer[i];
        const struct tr_failures *failures = &offer->failures;
        const char *paid = tr_commitment_name((enum tr_commitment)i);
        if (i == p->request.commitment || !tr_known(&offer->price.usd_h))
            continue;
        snprintf(name, sizeof name, "price %s", paid);
        int price = add_price(e, &offer->price, name);
        tr_number_grade(e);
        snprintf(name, sizeof name, "dollars %s", paid);
        int at = tr_number_ratio(e, TR_UNIT_USD, "", offer->cost.usd, name, "chip-hours x price", "");
        enum tr_grade fails = tr_grade_worse(failures->chip_life_s.grade,
                                             tr_grade_worse(failures->group_life_s.grade, failures->recover_s.grade));
        tr_number_factor(e, at, TR_UNIT_COUNT, "chip-hour", offer->cost.chip_hours, "chip-hours",
                         "as those of the headline, with the failures of this way to pay",
                         tr_grade_worse(e->at[run->time].grade, fails), failures->name);
        tr_number_see(e, at, price);
    }
}

/* ---- energy ------------------------------------------------------------------------------------------------------ */

static void add_power(struct tr_explain *e, struct tr_run_numbers *run)
{
    const struct tr_plan *p = e->plan;
    const struct tr_place *place = &p->place;
    const struct tr_fact node = tr_place_node_power(place, &p->system);
    run->power = tr_number_ratio(e, TR_UNIT_POWER, "", tr_plan_cost(p)->power_w, "power",
                                 "rated power of a node x nodes x load x overhead x PUE", "");
    tr_number_fact(e, run->power, TR_UNIT_POWER, "rated power of a node",
                   tr_known(&p->system.power_w) ? "of the system" : "power of its chips x what a server adds", &node);
    tr_number_factor(e, run->power, TR_UNIT_COUNT, "node", tr_job_nodes(&p->system, p->request.chips), "nodes",
                     "chips / chips of a node, rounded up", TR_GRADE_STATED, "asked for");
    tr_number_fact(e, run->power, TR_UNIT_RATIO, "load", "share of the rated power that training draws", &place->load);
    tr_number_fact(e, run->power, TR_UNIT_COUNT, "overhead", "with switches, storage and heads / the nodes alone", &place->overhead);
    tr_number_fact(e, run->power, TR_UNIT_COUNT, "PUE", "power of the building / power of what computes in it", &place->pue);
    tr_number_grade(e);
}

static void add_energy(struct tr_explain *e, const struct tr_run_numbers *run)
{
    const struct tr_plan *p = e->plan;
    const struct tr_job_cost *cost = tr_plan_cost(p);
    const struct tr_fact *grid = &p->place.carbon_g_kwh;
    char power[TR_QUANTITY_BYTES];
    struct by_time by = {.scale = cost->power_w, .grade = e->at[run->power].grade};
    snprintf(power, sizeof power, "power that is not known");
    if (isfinite(cost->power_w))
        tr_print_quantity(power, TR_UNIT_POWER, cost->power_w);
    int at = tr_number_add(e, -1, TR_UNIT_ENERGY, cost->energy_j, "energy");
    tr_number_words(e, at, "time x power", tr_grade_worse(by.grade, e->at[run->time].grade), "",
                    "%s, all of the building", power);
    snprintf(by.words, sizeof by.words, " x %s", power);
    if (isfinite(cost->energy_j))
        add_by_term(e, run, at, &by);
    at = tr_number_add(e, -1, TR_UNIT_CARBON, cost->carbon_g, "carbon");
    by.scale *= grid->value / 3.6e6;
    by.grade = tr_grade_worse(by.grade, grid->grade);
    snprintf(by.words, sizeof by.words, " x %s x %.0f g/kWh", power, grid->value);
    tr_number_words(e, at, "energy x carbon of the grid", tr_grade_worse(by.grade, e->at[run->time].grade), tr_fact_source(grid),
                    "%.0f g CO2e/kWh (%s)", grid->value, p->place.name);
    if (isfinite(cost->carbon_g))
        add_by_term(e, run, at, &by);
}

void tr_explain_money(struct tr_explain *e, struct tr_run_numbers *run)
{
    add_time(e, run);
    tr_number_grade(e);
    add_dollars(e, run);
    add_other_offers(e, run);
    add_power(e, run);
    add_energy(e, run);
}
