#include "plan/run/lever.h"

#include "base/fmath.h"
#include "cloud/collective/collective.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[TR_LEVER_COUNT] = {
    "matrix rate",       "power of the chip", "core clock and caches",   "memory bandwidth", "link bandwidth",
    "network bandwidth", "network latency",   "kernel and link latency", "host launches",    "memory capacity"};

const char *tr_lever_name(enum tr_lever lever)
{
    TR_ASSERT((int)lever >= 0 && lever < TR_LEVER_COUNT);
    return names[lever];
}

bool tr_lever_there(enum tr_lever lever, const struct tr_system *system)
{
    if (lever == TR_LEVER_LINK)
        return tr_system_has_links(system);
    if (lever == TR_LEVER_POWER)
        return tr_known(&system->chip.tdp_w);
    return system->tier_count > 1 || (lever != TR_LEVER_NETWORK && lever != TR_LEVER_NETWORK_LATENCY);
}

void tr_lever_site_make(struct tr_lever_site *out, const struct tr_site *site)
{
    out->system = *site->system;
    out->stack = *site->stack;
    out->site = *site;
    out->site.system = &out->system;
    out->site.stack = &out->stack;
    out->site.products = NULL; /* they were priced by the rates as they are */
}

/* All fitted times of the chip: launches, fills, protocols. */
static void shorten_latencies(struct tr_rates *rates, double factor)
{
    int count;
    const struct tr_param *params = tr_params(&count);
    for (int i = 0; i < count; i++) {
        double value;
        if (params[i].unit != TR_UNIT_TIME)
            continue;
        memcpy(&value, (const char *)rates + params[i].offset, sizeof value);
        value /= factor;
        memcpy((char *)rates + params[i].offset, &value, sizeof value);
    }
}

static void multiply(struct tr_fact *fact, double factor) { fact->value *= factor; }

/* All tiers beyond the first: groups talk over the narrowest that joins them. */
static void pull_networks(struct tr_system *system, enum tr_lever lever, double factor)
{
    for (int i = 1; i < system->tier_count; i++) {
        struct tr_tier *network = &system->tier[i];
        if (lever == TR_LEVER_NETWORK) {
            multiply(&network->bytes_s, factor);
            multiply(&network->nic_bytes_s, factor);
            continue;
        }
        double now = tr_network_step_s(network), latency = tr_network_latency_s(network);
        network->latency_s = (struct tr_fact){.value = now / factor - (now - latency), .grade = TR_GRADE_ASSUMED};
    }
}

static void pull_host(struct tr_stack *stack, double factor)
{
    multiply(&stack->host_kernel_s, 1 / factor);
    multiply(&stack->host_message_s, 1 / factor);
    multiply(&stack->host_experts_s, 1 / factor);
    multiply(&stack->host_step_s, 1 / factor);
}

/* Of attention with older instructions (step/site.c) the clock is the limit where it is below the matrix rate. */
static void pull_attention(struct tr_site *site, enum tr_lever lever, double factor)
{
    struct tr_rates *attention = &site->attention;
    for (int i = 0; i < TR_RATE_COUNT; i++) {
        bool by_clock = attention->flop_s[i] < site->rates.flop_s[i];
        if (lever == (by_clock ? TR_LEVER_CLOCK : TR_LEVER_MATRIX))
            attention->flop_s[i] *= factor;
    }
    if (lever == TR_LEVER_CLOCK)
        attention->clock_hz *= factor;
    if (lever == TR_LEVER_MEMORY)
        attention->memory_bytes_s *= factor;
    if (lever == TR_LEVER_LATENCY)
        shorten_latencies(attention, factor);
}

/* By what power does to products under load (silicon/cost/rates.c): more FLOP/s of the same power are at a lower clock. Of a chip whose
 * power is not said, it is taken to grow with the rate. */
static void pull_products(struct tr_lever_site *at, double power_for_each_flop)
{
    if (!tr_lever_there(TR_LEVER_POWER, &at->system))
        return;
    for (int i = 0; i < TR_FIT_FORMATS; i++)
        at->site.rates.gemm[i].sustained *= tr_pow(power_for_each_flop, 1. / 3);
}

void tr_lever_pull(struct tr_lever_site *at, enum tr_lever lever, double factor)
{
    struct tr_rates *rates = &at->site.rates;
    pull_attention(&at->site, lever, factor);
    struct tr_tier *links = &at->system.tier[0];
    switch (lever) {
    case TR_LEVER_MATRIX:
        for (int i = 0; i < TR_RATE_COUNT; i++)
            rates->flop_s[i] *= factor;
        pull_products(at, 1 / factor);
        return;
    case TR_LEVER_POWER:
        pull_products(at, factor);
        return;
    case TR_LEVER_CLOCK:
        rates->clock_hz *= factor;
        return;
    case TR_LEVER_MEMORY:
        rates->memory_bytes_s *= factor;
        return;
    case TR_LEVER_LINK:
        rates->link_bytes_s *= factor;
        multiply(&links->bytes_s, factor);
        return;
    case TR_LEVER_NETWORK:
    case TR_LEVER_NETWORK_LATENCY:
        pull_networks(&at->system, lever, factor);
        return;
    case TR_LEVER_LATENCY:
        shorten_latencies(rates, factor);
        return;
    case TR_LEVER_HOST:
        pull_host(&at->stack, factor);
        return;
    case TR_LEVER_CAPACITY:
        multiply(&at->system.chip.memory_bytes, factor);
        multiply(&at->system.chip.memory_visible_bytes, factor);
        return;
    case TR_LEVER_COUNT:
    default:
        TR_ASSERT(!"a lever");
    }
}

static enum tr_status time_with(struct tr_lever_site *pulled, enum tr_lever lever, double factor,
                                const struct tr_site *site, const struct tr_task *task, const struct tr_layout *layout,
                                double *time_s, struct tr_err *err)
{
    struct tr_step step;
    tr_lever_site_make(pulled, site);
    tr_lever_pull(pulled, lever, factor);
    enum tr_status status = tr_step_price(&pulled->site, task, layout, &step, err);
    if (status == TR_OK)
        *time_s = step.time_s;
    return status;
}

static const double near = 1.005, wished = 1.1;

enum tr_status tr_lever_measure(enum tr_lever lever, const struct tr_site *site, const struct tr_task *task,
                                const struct tr_layout *layout, struct tr_lever_effect *out, struct tr_err *err)
{
    if (lever == TR_LEVER_CAPACITY || !tr_lever_there(lever, site->system)) {
        *out = (struct tr_lever_effect){0, 0, NAN};
        return TR_OK;
    }
    struct tr_lever_site *pulled = malloc(sizeof *pulled);
    if (!pulled)
        return tr_fail(err, TR_FAILED, "out of memory for sensitivities");
    double now = 0, above = 0, below = 0, better = 0;
    enum tr_status status = time_with(pulled, lever, 1, site, task, layout, &now, err);
    if (status == TR_OK)
        status = time_with(pulled, lever, near, site, task, layout, &above, err);
    if (status == TR_OK)
        status = time_with(pulled, lever, 1 / near, site, task, layout, &below, err);
    if (status == TR_OK)
        status = time_with(pulled, lever, wished, site, task, layout, &better, err);
    free(pulled);
    if (status == TR_OK)
        *out = (struct tr_lever_effect){(tr_log(above) - tr_log(below)) / (2 * tr_log(near)), better / now - 1, NAN};
    return status;
}

enum tr_status tr_lever_choose(enum tr_lever lever, const struct tr_site *site, const struct tr_task *task,
                               const struct tr_layout *layouts, int count, double *change, struct tr_err *err)
{
    struct tr_lever_site *pulled = malloc(sizeof *pulled);
    struct tr_products *products = calloc(1, sizeof *products);
    struct tr_step step;
    double now = INFINITY, best = INFINITY;
    if (!pulled || !products) {
        free(pulled), free(products);
        return tr_fail(err, TR_FAILED, "out of memory for sensitivities");
    }
    enum tr_status status = count > 0 ? tr_step_price(site, task, &layouts[0], &step, err) : TR_OK;
    if (status == TR_OK && count > 0)
        now = step.time_s;
    tr_lever_site_make(pulled, site);
    tr_lever_pull(pulled, lever, wished);
    pulled->site.products = products;
    for (int i = 0; i < count && status == TR_OK; i++) {
        status = tr_step_price(&pulled->site, task, &layouts[i], &step, err);
        best = fmin(best, step.time_s);
    }
    free(pulled), free(products);
    if (status == TR_OK)
        *change = best / now - 1;
    return status;
}

double tr_lever_value(enum tr_lever lever, const struct tr_site *site, enum tr_unit *unit)
{
    const struct tr_system *system = site->system;
    const struct tr_tier *network = &system->tier[system->tier_count - 1];
    switch (lever) {
    case TR_LEVER_MATRIX:
        *unit = TR_UNIT_FLOP_S;
        return site->rates.flop_s[tr_format_info(site->format)->rate];
    case TR_LEVER_POWER:
        *unit = TR_UNIT_POWER;
        return system->chip.tdp_w.value;
    case TR_LEVER_CLOCK:
        *unit = TR_UNIT_HZ;
        return site->rates.clock_hz;
    case TR_LEVER_MEMORY:
        *unit = TR_UNIT_BYTES_S;
        return site->rates.memory_bytes_s;
    case TR_LEVER_LINK:
        *unit = TR_UNIT_BYTES_S;
        return system->tier[0].bytes_s.value;
    case TR_LEVER_NETWORK:
        *unit = TR_UNIT_BYTES_S;
        return network->bytes_s.value;
    case TR_LEVER_NETWORK_LATENCY:
        *unit = TR_UNIT_TIME;
        return tr_network_step_s(network);
    case TR_LEVER_HOST:
        *unit = TR_UNIT_TIME;
        return site->stack->host_kernel_s.value;
    case TR_LEVER_CAPACITY:
        *unit = TR_UNIT_BYTES;
        return tr_fact_or(&system->chip.memory_visible_bytes, system->chip.memory_bytes.value);
    case TR_LEVER_LATENCY:
    case TR_LEVER_COUNT:
    default:
        *unit = TR_UNIT_TIME;
        return NAN;
    }
}
