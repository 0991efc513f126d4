/* Facts of the catalog behind a plan. */
#include "plan/explain/inside.h"

#include "base/quantity.h"

#include <stdio.h>
#include <string.h>

struct list {
    tr_provenance_visit *visit;
    void *context;
    const char *of;
};

static void say(const struct list *list, const char *name, enum tr_unit unit, const struct tr_fact *fact)
{
    struct tr_provenance p = {.of = list->of, .fact = fact};
    if (!tr_known(fact))
        return;
    snprintf(p.name, sizeof p.name, "%s", name);
    if (unit == TR_UNIT_RATIO || unit == TR_UNIT_COUNT)
        snprintf(p.value, sizeof p.value, "%.4g", fact->value);
    else
        tr_print_quantity(p.value, unit, fact->value);
    list->visit(list->context, &p);
}

static void say_chip(struct list *list, const struct tr_plan *p)
{
    const struct tr_chip *chip = &p->system.chip;
    char name[64];
    list->of = chip->name;
    for (int i = 0; i < TR_RATE_COUNT; i++) {
        snprintf(name, sizeof name, "dense %s", tr_rate_name((enum tr_rate)i));
        if (i == (int)tr_format_info(p->site.format)->rate || i == (int)tr_format_info(p->site.wide)->rate)
            say(list, name, TR_UNIT_FLOP_S, &chip->rate_flop_s[i]);
    }
    say(list, "memory", TR_UNIT_BYTES, &chip->memory_bytes);
    say(list, "memory that programs see", TR_UNIT_BYTES, &chip->memory_visible_bytes);
    say(list, "memory bandwidth", TR_UNIT_BYTES_S, &chip->memory_bytes_s);
    say(list, "shared cache", TR_UNIT_BYTES, &chip->l2_bytes);
    say(list, "cores", TR_UNIT_COUNT, &chip->cores);
    say(list, "clock", TR_UNIT_HZ, &chip->clock_hz);
    say(list, "power", TR_UNIT_POWER, &chip->tdp_w);
}

static enum tr_status say_fits(struct list *list, const struct tr_plan *p, struct tr_err *err)
{
    int count;
    const struct tr_param *params = tr_params(&count);
    struct tr_fact facts[TR_FIT_FIELDS_MAX];
    enum tr_status status = tr_rates_facts(&p->system.chip, facts, err);
    int gemm = tr_format_info(p->site.format)->fit, wide = tr_format_info(p->site.wide)->fit;
    list->of = "fitted to operations";
    for (int i = 0; i < count && status == TR_OK; i++) {
        size_t at = params[i].offset, size = sizeof(struct tr_gemm_rates), base = offsetof(struct tr_rates, gemm[0]);
        bool used = (at >= base + (size_t)gemm * size && at < base + (size_t)(gemm + 1) * size) ||
                    (at >= base + (size_t)wide * size && at < base + (size_t)(wide + 1) * size) ||
                    strncmp(params[i].path, "attention.wide.", 15) == 0 ||
                    (strncmp(params[i].path, "collective.", 11) == 0 &&
                     at < offsetof(struct tr_rates, collective[TR_COLLECTIVE_TRTLLM])); /* those of NCCL today */
        if (used)
            say(list, params[i].path, params[i].unit, &facts[i]);
    }
    return status;
}

static void say_system(struct list *list, const struct tr_plan *p)
{
    char name[TR_NUMBER_NAME_BYTES];
    list->of = p->system.name;
    for (int i = !tr_system_has_links(&p->system); i < p->system.tier_count; i++) {
        const struct tr_tier *tier = &p->system.tier[i];
        snprintf(name, sizeof name, "%s: bandwidth of a chip", tier->name);
        say(list, name, TR_UNIT_BYTES_S, &tier->bytes_s);
        snprintf(name, sizeof name, "%s: latency", tier->name);
        say(list, name, TR_UNIT_TIME, &tier->latency_s);
        snprintf(name, sizeof name, "%s: oversubscription", tier->name);
        say(list, name, TR_UNIT_RATIO, &tier->oversubscription);
    }
    say(list, "power of a node", TR_UNIT_POWER, &p->system.power_w);
    say(list, "storage of a node", TR_UNIT_BYTES_S, &p->system.storage_bytes_s);
}

static void say_stack(struct list *list, const struct tr_plan *p)
{
    const struct tr_stack *stack = &p->stack;
    int count;
    const struct tr_stack_param *params = tr_stack_params(&count);
    list->of = stack->name;
    for (int i = 0; i < count; i++) {
        const void *fact = (const char *)stack + params[i].offset;
        bool time = strncmp(params[i].path, "host.", 5) == 0;
        say(list, params[i].path, time ? TR_UNIT_TIME : TR_UNIT_RATIO, fact);
    }
    say(list, "error", TR_UNIT_RATIO, &stack->error);
    say(list, "memory_error", TR_UNIT_RATIO, &stack->memory_error);
    say(list, "bytes.gradient", TR_UNIT_BYTES, &stack->grad_bytes);
    say(list, "bytes.alone", TR_UNIT_BYTES, &stack->alone_bytes);
    say(list, "bytes.reduced", TR_UNIT_BYTES, &stack->reduce_bytes);
    say(list, "bytes.optimizer", TR_UNIT_BYTES, &stack->master_bytes);
    say(list, "bytes.update", TR_UNIT_BYTES, &stack->update_bytes);
    say(list, "bytes.context", TR_UNIT_BYTES, &stack->context_bytes);
    say(list, "bytes.communicator", TR_UNIT_BYTES, &stack->comm_bytes);
    say(list, "bytes.fragmentation", TR_UNIT_RATIO, &stack->fragmentation);
}

/* Only where the tokens follow from a loss. */
static void say_law(struct list *list, const struct tr_plan *p)
{
    const struct tr_law *law = &p->law;
    if (p->request.target_loss == 0)
        return;
    list->of = law->name;
    say(list, "E, loss of endless data", TR_UNIT_RATIO, &law->e);
    say(list, "A, of parameters", TR_UNIT_RATIO, &law->a);
    say(list, "alpha, exponent of parameters", TR_UNIT_RATIO, &law->alpha);
    say(list, "B, of tokens", TR_UNIT_RATIO, &law->b);
    say(list, "beta, exponent of tokens", TR_UNIT_RATIO, &law->beta);
    say(list, "error of a loss, nats", TR_UNIT_RATIO, &law->error);
}

/* Each offer that the price is the median of. */
static void say_price(struct list *list, enum tr_commitment commitment, const struct tr_price *price)
{
    char name[TR_NUMBER_NAME_BYTES], seller[TR_OFFERED_NAME_BYTES];
    list->of = "price of a chip-hour";
    for (int i = 0; i < price->offers; i++) {
        tr_offered_name(&price->offer[i], seller);
        snprintf(name, sizeof name, "%s: %s%s", tr_commitment_name(commitment), seller,
                 i == price->middle && price->offers > 1 ? " (the middle one)" : "");
        say(list, name, TR_UNIT_USD_H, &price->offer[i].usd_h);
    }
}

static void say_money(struct list *list, const struct tr_plan *p)
{
    for (int i = 0; i < TR_COMMITMENT_COUNT; i++)
        say_price(list, (enum tr_commitment)i, &p->offer[i].price);
    list->of = p->place.name;
    say(list, "PUE", TR_UNIT_RATIO, &p->place.pue);
    say(list, "carbon of the grid", TR_UNIT_CARBON, &p->place.carbon_g_kwh);
    say(list, "load in training", TR_UNIT_RATIO, &p->place.load);
    say(list, "switches, storage, heads", TR_UNIT_RATIO, &p->place.overhead);
    say(list, "storage of a node", TR_UNIT_BYTES_S, &p->place.storage_bytes_s);
    list->of = tr_plan_failures(p)->name;
    say(list, "life of a job of one chip", TR_UNIT_TIME, &tr_plan_failures(p)->chip_life_s);
    say(list, "life of a group", TR_UNIT_TIME, &tr_plan_failures(p)->group_life_s);
    say(list, "time to recover", TR_UNIT_TIME, &tr_plan_failures(p)->recover_s);
}

enum tr_status tr_explain_provenance(const struct tr_plan *plan, tr_provenance_visit *visit, void *context,
                                     struct tr_err *err)
{
    struct list list = {visit, context, ""};
    say_chip(&list, plan);
    enum tr_status status = say_fits(&list, plan, err);
    if (status != TR_OK)
        return status;
    say_system(&list, plan);
    say_stack(&list, plan);
    say_law(&list, plan);
    say_money(&list, plan);
    return TR_OK;
}
