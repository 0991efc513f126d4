#include "cloud/collective/collective.h"

#include "base/fmath.h"

#include <math.h>

/* Of the cards' bandwidth, and what a step between nodes takes beyond the network's own latency: README.md. */
static const double network_share = .9, network_step_s = 4e-6, network_latency_s = 3e-6, network_error = .3;
/* Of a torus: chips along a side that a small group fills, a hop, and the start of a collective. */
static const double torus_side = 4, hop_s = 1e-6, torus_start_s = 5e-6;

static double log2_of(double x) { return tr_log(x) / tr_log(2); }

double tr_network_latency_s(const struct tr_tier *network)
{
    return tr_fact_or(&network->latency_s, network_latency_s);
}

double tr_network_step_s(const struct tr_tier *network) { return network_step_s + tr_network_latency_s(network); }

/* Chips of a domain of the first tier: those whose cards a group may use together. */
static double domain_chips(const struct tr_system *system)
{
    int64_t domain = system->tier[0].domain_chips;
    return (double)(domain ? domain : system->chips_per_node);
}

/* What joins a group beyond the first tier. */
struct between {
    const struct tr_tier *tier;
    double cards;         /* bytes/s of a domain's cards, for this group */
    double nodes_below;   /* of the group's, in a domain of the tier below */
    double oversubscribed; /* so many times less leaves that domain */
};

/* The narrowest tier that holds whole groups, wherever they stand. PCIe between pairs of cards nobody has measured: they talk at
 * the network's rate. */
static int tier_between(const struct tr_system *system, const struct tr_group *group)
{
    int64_t block = group->ranks * group->stride;
    for (int i = 1; i < system->tier_count - 1 && block > 0; i++) {
        int64_t domain = system->tier[i].domain_chips;
        if (system->tier[i].kind != TR_LINK_PCIE && (domain == 0 || group->job <= domain || domain % block == 0))
            return i;
    }
    return system->tier_count - 1;
}

static struct between between_of(const struct tr_system *system, const struct tr_group *group)
{
    int i = tier_between(system, group);
    const struct tr_tier *tier = &system->tier[i], *below = i > 1 ? &system->tier[i - 1] : NULL;
    struct between b = {.tier = tier, .nodes_below = 1, .oversubscribed = tr_fact_or(&tier->oversubscription, 1)};
    b.cards = network_share * tier->bytes_s.value * domain_chips(system) / (double)group->sharing;
    if (below && group->stride > 0 && below->domain_chips >= group->stride * group->local)
        b.nodes_below = floor((double)below->domain_chips / (double)(group->stride * group->local));
    return b;
}

/* In a torus: rings along as many of its dimensions as the group reaches, all at once. */
static struct tr_cost torus_price(const struct tr_tier *torus, enum tr_collective op, int64_t ranks, double bytes)
{
    double dimensions = torus->dimensions ? torus->dimensions : 2, used = 1;
    while (used < dimensions && tr_pow(torus_side, used) < (double)ranks)
        used++;
    double hops = used * tr_pow((double)ranks, 1 / used), wire = tr_collective_wire_bytes(op, ranks, bytes);
    double rate = network_share * torus->bytes_s.value * used / dimensions;
    /* All to all: what each sends goes a quarter of the way round each ring. */
    double way = op == TR_COLLECTIVE_ALL_TO_ALL ? fmax(1, tr_pow((double)ranks, 1 / used) / 4) : 1;
    return (struct tr_cost){.time_s = ranks == 1 ? 0 : torus_start_s + hop_s * hops + wire * way / rate, .error = network_error,
                            .bound = TR_BOUND_LINK, .grade = TR_GRADE_ASSUMED, .bytes = wire};
}

static struct tr_cost on_links(const struct tr_tier *links, const struct tr_rates *rates, enum tr_collective op, int64_t ranks,
                               double bytes)
{
    struct tr_cost cost = tr_cost_collective(rates, op, ranks, bytes, links->bytes_s.value);
    cost.grade = tr_grade_worse(cost.grade, links->bytes_s.grade);
    return cost;
}

/* Within a domain of links of the chips' own. */
static struct tr_cost inside_price(const struct tr_system *system, const struct tr_rates *rates, enum tr_collective op,
                                   int64_t ranks, double bytes)
{
    const struct tr_tier *links = &system->tier[0];
    if (links->topology == TR_TOPOLOGY_TORUS)
        return torus_price(links, op, ranks, bytes);
    /* Four cards and fewer stand behind one switch, where any two have the rate of a pair. Machines that were measured have
     * eight on two sockets. */
    if (links->kind == TR_LINK_PCIE && system->chips_per_node <= 4 && ranks > 2)
        return on_links(links, rates, op, 2,
                        bytes * tr_collective_wire_bytes(op, ranks, 1) / tr_collective_wire_bytes(op, 2, 1));
    return on_links(links, rates, op, ranks, bytes);
}

/* Two and three nodes could sum along trees with less on the wire than rings have. The library does so where switches reduce
 * inside of nodes, and with Amazon's plugin; else what it reckons of trees, 0.92 / 2 of the wire's rate, is below rings:
 * nodes of 8 A100 with HDR InfiniBand reach the rate of their cards among two as among more. */
static bool trees_between(const struct tr_system *system, const struct tr_tier *network)
{
    return system->tier[0].in_network || network->kind == TR_LINK_EFA;
}

/* Between nodes: the fastest of what the library has. */
static double between_s(const struct tr_system *system, enum tr_collective op, const struct tr_group *group, double bytes)
{
    const struct between b = between_of(system, group);
    double nodes = (double)(group->ranks / group->local), step = tr_network_step_s(b.tier);
    double wire = tr_collective_wire_bytes(op, group->ranks, bytes);
    if (op == TR_COLLECTIVE_ALL_TO_ALL) {
        double of_a_node = bytes * (double)group->local, outside = 1 - 1 / nodes, above = fmax(0, 1 - b.nodes_below / nodes);
        return of_a_node * fmax(outside, above * b.oversubscribed) / b.cards + step * log2_of(2 * nodes);
    }
    double cards = b.cards / fmax(1, b.oversubscribed / fmin(nodes, b.nodes_below));
    if (op == TR_COLLECTIVE_ALL_GATHER || op == TR_COLLECTIVE_REDUCE_SCATTER)
        return wire / cards + step * (nodes - 1);
    double through = nodes >= 4 || !trees_between(system, b.tier) ? 2 : nodes < 3 ? 1 : 1.5;
    return fmin(wire / cards + 2 * step * (nodes - 1), through * bytes / cards + 2 * step * ceil(log2_of(nodes) - 1e-9));
}

struct tr_cost tr_collective_price(const struct tr_system *system, const struct tr_rates *rates, enum tr_collective op,
                                   const struct tr_group *group, double bytes)
{
    TR_ASSERT(group->ranks >= 1 && group->local >= 1 && group->ranks % group->local == 0 && group->sharing >= 1);
    double inside = op == TR_COLLECTIVE_ALL_TO_ALL ? bytes * (double)group->local / (double)group->ranks : bytes;
    struct tr_cost cost = inside_price(system, rates, op, group->local, inside);
    if (group->local == group->ranks)
        return cost;
    double between = between_s(system, op, group, bytes);
    if (between > cost.time_s)
        cost.bound = TR_BOUND_LINK;
    cost.time_s = fmax(cost.time_s, between);
    cost.error = fmax(cost.error, network_error);
    cost.grade = TR_GRADE_ASSUMED;
    cost.bytes = tr_collective_wire_bytes(op, group->ranks, bytes);
    return cost;
}

struct tr_cost tr_send_price(const struct tr_system *system, const struct tr_rates *rates, const struct tr_group *group,
                             double bytes)
{
    TR_ASSERT(group->sharing >= 1 && bytes >= 0);
    struct tr_cost cost = {.error = network_error, .grade = TR_GRADE_ASSUMED, .bytes = bytes, .bound = TR_BOUND_LINK};
    if (group->local == group->ranks) { /* as an all-to-all of two, of which half stays */
        cost = on_links(&system->tier[0], rates, TR_COLLECTIVE_ALL_TO_ALL, 2, 2 * bytes);
        cost.grade = tr_grade_worse(cost.grade, TR_GRADE_TRANSFERRED);
        return cost;
    }
    const struct between b = between_of(system, group);
    double card = network_share * tr_fact_or(&b.tier->nic_bytes_s, b.tier->bytes_s.value);
    cost.time_s = tr_network_step_s(b.tier) + bytes / fmin(card, b.cards / b.oversubscribed);
    return cost;
}
