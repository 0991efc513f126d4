#include "plan/print/print.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* "matrix products" -> "matrix_products_s". */
static const char *key_of(char buf[64], const char *name, const char *unit)
{
    snprintf(buf, 64, "%s_%s", name, unit);
    for (char *c = buf; *c; c++)
        if (*c == ' ' || *c == '-')
            *c = '_';
    return buf;
}

static void put_request(struct tr_json *json, const struct tr_plan *p)
{
    char layout[TR_LAYOUT_TEXT_BYTES];
    struct tr_shape_params params = tr_shape_params(&p->model);
    tr_json_string(json, "model", p->request.model);
    tr_json_double(json, "parameters", params.total);
    tr_json_double(json, "active_parameters", params.active);
    tr_json_string(json, "system", p->system.id);
    tr_json_string(json, "chip", p->system.chip.id);
    tr_json_int(json, "chips", p->request.chips);
    tr_json_string(json, "stack", p->stack.name);
    tr_json_string(json, "precision", tr_format_info(p->site.format)->name);
    tr_json_double(json, "tokens", p->request.tokens);
    if (p->request.target_loss > 0) {
        tr_json_double(json, "target_loss", p->request.target_loss);
        tr_json_string(json, "law", p->law.id);
        tr_json_double(json, "tokens_low", p->tokens_low);
        tr_json_double(json, "tokens_high", p->tokens_high);
        tr_json_double(json, "critical_batch_tokens", tr_critical_batch(p->request.target_loss));
    }
    tr_json_int(json, "seq_len", p->request.seq_len);
    tr_json_int(json, "global_batch", p->request.global_batch);
    tr_json_string(json, "layout", tr_layout_print(&p->layout, layout));
}

static void put_further(struct tr_json *json, const struct tr_plan *p)
{
    tr_json_object(json, "mtp");
    tr_json_int(json, "modules", p->task.mtp);
    tr_json_double(json, "parameters", p->further.params);
    tr_json_double(json, "model_flop", p->further.flop);
    tr_json_double(json, "time_s", p->further.time_s);
    tr_json_double(json, "memory_bytes", p->further.memory_bytes);
    tr_json_end(json);
}

static void put_step(struct tr_json *json, const struct tr_plan *p)
{
    char key[64];
    tr_json_object(json, "step");
    tr_json_double(json, "time_s", p->step.time_s);
    tr_json_double(json, "error_80", p->step.error);
    tr_json_string(json, "grade", tr_grade_name(p->step.grade));
    tr_json_double(json, "tokens_s", p->step.tokens_s);
    tr_json_double(json, "mfu", p->step.mfu);
    tr_json_double(json, "mfu_of_flop_s", p->system.chip.rate_flop_s[tr_format_info(p->site.format)->rate].value);
    tr_json_double(json, "model_flop", p->step.model_flop);
    tr_json_int(json, "slowest_stage", p->step.slowest_stage);
    tr_json_object(json, "terms");
    for (int i = 0; i < TR_TERM_COUNT; i++)
        tr_json_double(json, key_of(key, tr_term_name((enum tr_term)i), "s"), p->step.term_s[i]);
    tr_json_end(json);
    tr_json_end(json);
}

static void put_memory(struct tr_json *json, const struct tr_plan *p)
{
    char key[64];
    tr_json_object(json, "memory");
    tr_json_double(json, "needed_bytes", p->step.memory_bytes);
    tr_json_double(json, "error_80", p->step.memory_error);
    tr_json_double(json, "capacity_bytes", p->capacity_bytes);
    tr_json_bool(json, "fits", p->fits);
    tr_json_int(json, "heaviest_stage", p->step.heaviest_stage);
    tr_json_object(json, "terms");
    for (int i = 0; i < TR_MEM_COUNT; i++)
        tr_json_double(json, key_of(key, tr_mem_name((enum tr_mem)i), "bytes"), p->step.memory[i]);
    tr_json_end(json);
    tr_json_end(json);
}

static void put_cost(struct tr_json *json, const struct tr_job_cost *cost)
{
    const struct {
        const char *key;
        double value;
    } numbers[] = {{"wall_s", cost->wall_s},
                   {"goodput", cost->goodput},
                   {"failures", cost->failures},
                   {"mtbf_s", cost->mtbf_s},
                   {"interval_s", cost->interval_s},
                   {"save_s", cost->save_s},
                   {"recover_s", cost->recover_s},
                   {"chip_hours", cost->chip_hours},
                   {"usd", cost->usd},
                   {"power_w", cost->power_w},
                   {"energy_kwh", cost->energy_j / 3.6e6},
                   {"carbon_g", cost->carbon_g}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        tr_json_double(json, numbers[i].key, numbers[i].value);
}

/* What the price is the median of. */
static void put_offers(struct tr_json *json, const struct tr_price *price)
{
    tr_json_array(json, "median_of");
    for (int i = 0; i < price->offers; i++) {
        const struct tr_fact *usd_h = &price->offer[i].usd_h;
        tr_json_object(json, NULL);
        tr_json_string(json, "provider", price->offer[i].provider);
        tr_json_string(json, "instance", price->offer[i].instance);
        tr_json_double(json, "usd_h", usd_h->value);
        tr_json_string(json, "date", usd_h->date);
        tr_json_string(json, "source", usd_h->source ? usd_h->source->title : "");
        tr_json_string(json, "grade", tr_grade_name(usd_h->grade));
        tr_json_end(json);
    }
    tr_json_end(json);
}

static void put_run(struct tr_json *json, const struct tr_plan *p)
{
    tr_json_object(json, "run");
    tr_json_double(json, "steps", p->steps);
    tr_json_double(json, "busy_s", p->busy_s);
    tr_json_double(json, "state_bytes", p->state_bytes);
    tr_json_string(json, "commitment", tr_commitment_name((enum tr_commitment)p->request.commitment));
    put_cost(json, tr_plan_cost(p));
    double low_s, high_s;
    tr_plan_wall_interval(p, &low_s, &high_s);
    tr_json_double(json, "wall_low_s", low_s);
    tr_json_double(json, "wall_high_s", high_s);
    tr_json_end(json);
    struct tr_text unpriced = {0};
    tr_plan_unpriced(p, &unpriced);
    tr_json_string(json, "unpriced", unpriced.len ? tr_text_str(&unpriced) : NULL);
    tr_text_free(&unpriced);
    tr_json_object(json, "offers");
    for (int i = 0; i < TR_COMMITMENT_COUNT; i++) {
        const struct tr_plan_offer *offer = &p->offer[i];
        if (!tr_known(&offer->price.usd_h))
            continue;
        tr_json_object(json, tr_commitment_name((enum tr_commitment)i));
        tr_json_double(json, "usd_h", offer->price.usd_h.value);
        tr_json_double(json, "low_usd_h", offer->price.low);
        tr_json_double(json, "high_usd_h", offer->price.high);
        tr_json_string(json, "grade", tr_grade_name(offer->price.usd_h.grade));
        tr_json_bool(json, "dearer_than_on_demand", tr_price_is_dearer(&offer->price, &p->offer[TR_COMMITMENT_ON_DEMAND].price));
        put_offers(json, &offer->price);
        put_cost(json, &offer->cost);
        tr_json_end(json);
    }
    tr_json_end(json);
}

static void put_levers(struct tr_json *json, const struct tr_plan *p)
{
    tr_json_string(json, "limited_by", tr_lever_name((enum tr_lever)p->limit));
    tr_json_array(json, "sensitivities");
    for (int i = 0; i < TR_LEVER_COUNT; i++) {
        if (!tr_lever_there((enum tr_lever)i, &p->system))
            continue;
        tr_json_object(json, NULL);
        tr_json_string(json, "of", tr_lever_name((enum tr_lever)i));
        tr_json_double(json, "slope", p->lever[i].slope);
        tr_json_double(json, "change_10_percent_better", p->lever[i].change);
        if (p->search.done)
            tr_json_double(json, "change_layout_chosen_again", p->lever[i].change_again);
        tr_json_end(json);
    }
    tr_json_end(json);
}

static void put_found(struct tr_json *json, const struct tr_plan *p, const char *key, const struct tr_found *found, int count)
{
    char layout[TR_LAYOUT_TEXT_BYTES];
    tr_json_array(json, key);
    for (int i = 0; i < count; i++) {
        tr_json_object(json, NULL);
        tr_json_string(json, "layout", tr_layout_print(&found[i].layout, layout));
        tr_json_double(json, "step_s", found[i].step.time_s);
        tr_json_double(json, "memory_bytes", found[i].step.memory_bytes);
        tr_json_bool(json, "may_not_fit", tr_plan_may_not_fit(p, &found[i].step));
        tr_json_end(json);
    }
    tr_json_end(json);
}

static void put_search(struct tr_json *json, const struct tr_plan *p)
{
    char layout[TR_LAYOUT_TEXT_BYTES];
    tr_json_object(json, "search");
    tr_json_array(json, "chips");
    for (int i = 0; i < p->search.count; i++) {
        const struct tr_plan_candidate *c = &p->search.at[i];
        tr_json_object(json, NULL);
        tr_json_int(json, "chips", c->chips);
        tr_json_int(json, "global_batch", c->global_batch);
        tr_json_int(json, "legal", c->legal);
        tr_json_int(json, "too_big", c->too_big);
        tr_json_int(json, "dominated", c->dominated);
        tr_json_int(json, "beyond", c->beyond);
        tr_json_bool(json, "fits", c->found);
        tr_json_bool(json, "may_not_fit", c->found && tr_plan_may_not_fit(p, &c->step));
        tr_json_bool(json, "on_front", c->front);
        tr_json_string(json, "layout", c->legal ? tr_layout_print(&c->layout, layout) : NULL);
        tr_json_double(json, "step_s", c->found ? c->step.time_s : NAN);
        tr_json_double(json, "wall_s", c->found ? c->wall_s : NAN);
        tr_json_double(json, "chip_hours", c->found ? c->chip_hours : NAN);
        tr_json_double(json, "usd", c->found ? c->usd : NAN);
        tr_json_end(json);
    }
    tr_json_end(json);
    tr_json_array(json, "limits");
    for (int i = 0; i < p->search.limit_count; i++) {
        const struct tr_limit *limit = &p->search.limit[i];
        tr_json_object(json, NULL);
        tr_json_string(json, "limit", limit->name);
        tr_json_double(json, strcmp(limit->name, TR_PLAN_LIMIT_BATCH) == 0 ? "gain_with_twice" : "gain_without", limit->gain);
        tr_json_string(json, "layout", tr_layout_print(&limit->found.layout, layout));
        tr_json_end(json);
    }
    tr_json_end(json);
    put_found(json, p, "fastest", p->search.next, p->search.next_count);
    tr_json_int(json, "fastest_left_out", p->search.next_alike);
    put_found(json, p, "surely_fits", &p->search.sure, p->search.sure.layout.dp > 0);
    put_found(json, p, "front_of_time_and_memory", p->search.front, p->search.front_count);
    tr_json_end(json);
}

void tr_plan_json(const struct tr_plan *p, struct tr_text *out)
{
    struct tr_json json = tr_json_start(out, TR_JSON_PRETTY);
    tr_json_object(&json, NULL);
    tr_json_bool(&json, "feasible", p->why[0] == 0);
    tr_json_string(&json, "why", p->why[0] ? p->why : NULL);
    put_request(&json, p);
    if (p->task.mtp)
        put_further(&json, p);
    put_step(&json, p);
    put_memory(&json, p);
    put_run(&json, p);
    put_levers(&json, p);
    if (p->search.done)
        put_search(&json, p);
    tr_json_end(&json);
    tr_text_char(out, '\n');
}
