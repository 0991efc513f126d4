/* A site: what an operation or a message costs there. */
#include "base/fmath.h"
#include "base/num.h"
#include "cloud/collective/collective.h"
#include "plan/step/step.h"

#include <math.h>
#include <string.h>

/* Written for Ampere's matrix instructions, which Hopper and later still have and which do 2,048 FLOP a core and clock on
 * Ampere: it gets no more of them there, nor a longer pipeline filled. 1,800 is what llm-foundry's runs on H100 take beside
 * those on A100, at any length from 512 to 65,536 tokens (61 runs: 3.7 %, where 2,560 errs 10.1 and 2,048 5.5 %); the paper
 * of FlashAttention-3 (Shah 2024, arXiv:2407.08608) has FlashAttention-2 at 35 % of an H100's peak. */
static void older_attention(struct tr_rates *rates, const struct tr_chip *chip)
{
    const double ampere = 2048, later = 1800;
    const double clocks = rates->cores * rates->clock_hz;
    if (strcmp(chip->vendor, "NVIDIA") != 0 || rates->flop_s[TR_RATE_BF16] < 1.5 * ampere * clocks)
        return;
    rates->flop_s[TR_RATE_BF16] = rates->flop_s[TR_RATE_FP16] = later * clocks;
}

enum tr_status tr_site_make(struct tr_site *site, const struct tr_system *system, const struct tr_stack *stack,
                            enum tr_format format, struct tr_err *err)
{
    struct tr_site made = {.system = system, .stack = stack, .format = format};
    enum tr_status status = tr_rates_make(&system->chip, &made.rates, err);
    if (status != TR_OK)
        return status;
    made.wide = tr_cost_can(&made.rates, TR_FORMAT_BF16) && format != TR_FORMAT_FP16 ? TR_FORMAT_BF16 : TR_FORMAT_FP16;
    if (!tr_cost_can(&made.rates, format) || !tr_cost_can(&made.rates, made.wide))
        return tr_fail(err, TR_BAD_INPUT, "%s has no units for products in %s", system->chip.name,
                       tr_format_info(format)->name);
    made.core = stack->attention8 && format == TR_FORMAT_MXFP8 && made.rates.exponents >= 2 ? TR_FORMAT_FP8 : made.wide;
    made.attention = made.rates;
    if (stack->attention == TR_ATTENTION_FLASH_2)
        older_attention(&made.attention, &system->chip);
    made.known = tr_stack_has_runs(stack, system->chip.id, tr_format_info(format)->name);
    made.graphs = stack->graphs && system->tier[0].domain_chips > system->chips_per_node;
    *site = made;
    return TR_OK;
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

struct ranks {
    int64_t count, stride; /* its members are chips first, first + stride, ... in the order of placement */
};

static struct ranks ranks_of(const struct tr_layout *l, enum tr_mesh mesh)
{
    int64_t tp = l->tp, replica = tp * l->cp * l->dp, shard = l->zero ? tr_layout_shard(l) : (int64_t)l->cp * l->dp;
    switch (mesh) {
    case TR_MESH_TP:
        return (struct ranks){tp, 1};
    case TR_MESH_CP:
        return (struct ranks){l->cp, tp};
    case TR_MESH_EP:
        return (struct ranks){l->ep, l->etp};
    case TR_MESH_ETP:
        return (struct ranks){l->etp, 1};
    case TR_MESH_DP:
        return (struct ranks){shard, tp};
    case TR_MESH_REPLICA:
        return (struct ranks){(int64_t)l->cp * l->dp / shard, tp * shard};
    case TR_MESH_EXPERT_DP:
        return (struct ranks){tr_layout_expert_dp(l), (int64_t)l->ep * l->etp};
    case TR_MESH_PP:
    case TR_MESH_COUNT:
    default:
        return (struct ranks){l->pp, replica};
    }
}

int64_t tr_mesh_ranks(const struct tr_layout *layout, enum tr_mesh mesh) { return ranks_of(layout, mesh).count; }

/* Of the ranks of a group, so many share a domain of the first tier: neighbours at distance `stride`. A domain is used by
 * all groups that have ranks in it at once, each with its part of the cards. */
static struct tr_group span_of(const struct tr_site *site, const struct tr_layout *layout, const struct ranks *ranks)
{
    const struct tr_tier *first = &site->system->tier[0];
    int64_t domain = first->domain_chips ? first->domain_chips : INT64_MAX;
    int64_t local = ranks->stride >= domain ? 1 : tr_min_i64(ranks->count, domain / ranks->stride);
    while (ranks->count % local)
        local--;
    return (struct tr_group){.ranks = ranks->count,
                             .local = local,
                             .sharing = domain == INT64_MAX ? 1 : domain / local,
                             .stride = ranks->stride,
                             .job = tr_layout_chips(layout)};
}

/* At a share of its rate, which is a number of the stack's and counts for what is known of the time too. */
static struct tr_cost on_stack(struct tr_cost cost, const struct tr_fact *share)
{
    if (tr_known(share))
        cost.time_s /= share->value;
    cost.grade = tr_grade_worse(cost.grade, share->grade);
    return cost;
}

struct tr_cost tr_mesh_collective(const struct tr_site *site, const struct tr_layout *layout, enum tr_mesh mesh,
                                  enum tr_collective op, double bytes)
{
    struct ranks ranks = ranks_of(layout, mesh);
    if (ranks.count == 1 || bytes <= 0)
        return (struct tr_cost){.grade = TR_GRADE_MEASURED};
    struct tr_group group = span_of(site, layout, &ranks);
    struct tr_cost cost = tr_collective_price(site->system, &site->rates, op, &group, bytes);
    return on_stack(cost, group.local == group.ranks ? &site->stack->link_share : &site->stack->net_share);
}

/* How many of `all` are met by so many draws, each of one of them. */
static double met(double all, double draws) { return all * (1 - tr_pow(1 - 1 / all, draws)); }

/* Of so many nodes those that hold experts of one token, in the mean. Where its experts stand in a few of the groups that all are
 * dealt into, these groups' nodes; of several groups a node, those that hold a group with one of its experts. */
static double nodes_of_token(const struct tr_block *b, double nodes)
{
    double draws = (double)b->top_k, groups = (double)b->expert_groups, few = (double)b->top_groups;
    if (groups == 0 || few >= groups)
        return met(nodes, draws);
    if (nodes >= groups)
        return met(nodes * few / groups, draws);
    return nodes * (1 - tr_pow(1 - met(few, draws) / groups, groups / nodes));
}

/* Of the pairs of a token with its experts, which are spread over the group's nodes, those with one node cross the network as one,
 * and go on to its chips over its links. */
static struct tr_cost dispatch_cost(const struct tr_site *site, const struct tr_block *block, const struct tr_layout *layout,
                                    const struct tr_step_op *op)
{
    struct ranks ranks = ranks_of(layout, op->mesh);
    struct tr_group group = span_of(site, layout, &ranks), node = group;
    if (group.local == group.ranks)
        return tr_mesh_collective(site, layout, op->mesh, op->collective, op->bytes);
    double share = nodes_of_token(block, (double)(group.ranks / group.local)) / (double)op->copies;
    struct tr_cost cost = tr_collective_price(site->system, &site->rates, op->collective, &group, op->bytes * share);
    node.ranks = node.local;
    double inside_s = tr_collective_price(site->system, &site->rates, op->collective, &node, op->bytes).time_s;
    cost = on_stack(cost, &site->stack->net_share);
    cost.time_s = fmax(cost.time_s, inside_s / site->stack->link_share.value);
    return cost;
}

struct tr_cost tr_mesh_send(const struct tr_site *site, const struct tr_layout *layout, enum tr_mesh mesh, double bytes,
                            int32_t sends)
{
    struct ranks ranks = ranks_of(layout, mesh);
    if (ranks.count == 1 || bytes <= 0)
        return (struct tr_cost){.grade = TR_GRADE_MEASURED};
    struct tr_group group = span_of(site, layout, &ranks);
    bool across = group.local < group.ranks;
    group.sharing = 1; /* a card of its own */
    struct tr_cost one = tr_send_price(site->system, &site->rates, &group, bytes / sends);
    return on_stack(tr_cost_times(one, sends), across ? &site->stack->net_share : &site->stack->link_share);
}

int tr_site_tiers_around(const struct tr_site *site, int64_t chips)
{
    int around = 0;
    for (int i = 1; i < site->system->tier_count - 1; i++)
        around += chips <= site->system->tier[i].domain_chips;
    return around;
}

bool tr_mesh_is_across(const struct tr_site *site, const struct tr_layout *layout, enum tr_mesh mesh)
{
    struct ranks ranks = ranks_of(layout, mesh);
    struct tr_group group = span_of(site, layout, &ranks);
    return group.local < group.ranks;
}

/* ---- operations -------------------------------------------------------------------------------------------------- */

static struct tr_cost attention_cost(const struct tr_site *site, const struct tr_block *b, const struct tr_layout *l,
                                     bool backward)
{
    bool ring = l->cp > 1 && l->context == TR_CONTEXT_RING, split = l->cp > 1 && !ring;
    struct tr_attention a = {.format = site->core,
                             .kv_format = site->core,
                             .batch = b->seqs,
                             .queries = split ? b->keys : b->queries,
                             .keys = split ? b->keys : b->queries,
                             .heads = split ? b->heads / l->cp : b->heads,
                             .kv_heads = b->kv_heads,
                             .head_dim = b->dim_qk,
                             .value_dim = b->dim_v,
                             .window = b->window,
                             .causal = true,
                             .alone = true}; /* rotating is a pass of the stack's, and there is no cache */
    if (split)
        a.kv_heads = tr_max_i64(1, b->kv_heads / l->cp);
    struct tr_cost (*price)(const struct tr_rates *, const struct tr_attention *) =
        backward ? tr_cost_attention_backward : tr_cost_attention;
    struct tr_cost cost = price(&site->attention, &a);
    if (!ring)
        return cost;
    /* Zigzag: a rank has a piece from the front and one from the back, so that of each block of others' keys it works on
     * half the pairs, whichever it is. */
    a.causal = false, a.window = 0;
    a.queries = tr_max_i64(1, b->queries / 2);
    return tr_cost_add(cost, tr_cost_times(price(&site->attention, &a), l->cp - 1));
}

/* Measured alone, a kernel takes its launch from start to end; in a queue the next is ready when it ends. */
static struct tr_cost queued(const struct tr_site *site, struct tr_cost cost, double launch_s)
{
    cost.time_s -= (1 - site->stack->launch_share.value) * fmin(launch_s, .9 * cost.time_s);
    cost.grade = tr_grade_worse(cost.grade, site->stack->launch_share.grade);
    return cost;
}

static struct tr_cost product_cost(const struct tr_site *site, enum tr_format format, const struct tr_step_op *op)
{
    if (!site->products)
        return tr_cost_gemm(&site->rates, format, op->m, op->n, op->k, op->groups);
    uint64_t hash = (uint64_t)format;
    const int64_t key[] = {op->m, op->n, op->k, op->groups};
    for (size_t i = 0; i < sizeof key / sizeof *key; i++)
        hash = (hash ^ (uint64_t)key[i]) * 0x9E3779B97F4A7C15u ^ hash >> 29;
    struct tr_product *p = &site->products->at[hash >> 32 & (TR_PRODUCTS_MAX - 1)];
    if (p->m != op->m || p->n != op->n || p->k != op->k || p->groups != op->groups || p->format != format)
        *p = (struct tr_product){op->m, op->n, op->k, op->groups, format,
                                 tr_cost_gemm(&site->rates, format, op->m, op->n, op->k, op->groups)};
    return p->cost;
}

/* What the stack makes of a format's rate beside that of all products. */
static struct tr_cost on_narrow(const struct tr_stack *stack, enum tr_format format, struct tr_cost cost)
{
    if (tr_format_info(format)->rate == TR_RATE_FP4)
        return on_stack(cost, &stack->fp4_share);
    return format == TR_FORMAT_MXFP8 ? on_stack(cost, &stack->mxfp8_share) : cost;
}

/* Shares of a stack and of a chip's kernels are fitted apart: together they come to no more than the data sheet's rates. */
static struct tr_cost at_most_peak(const struct tr_site *site, enum tr_format format, struct tr_cost cost)
{
    cost.time_s = fmax(cost.time_s, cost.flop / site->rates.flop_s[tr_format_info(format)->rate]);
    return cost;
}

static struct tr_cost gemm_cost(const struct tr_site *site, const struct tr_step_op *op)
{
    const struct tr_stack *stack = site->stack;
    enum tr_format format = op->wide ? site->wide : site->format;
    struct tr_cost cost = product_cost(site, format, op);
    cost = queued(site, cost, site->rates.gemm[tr_format_info(format)->fit].launch_s);
    if (op->imbalanced) {
        cost.time_s *= 1 + stack->imbalance.value;
        cost.grade = tr_grade_worse(cost.grade, stack->imbalance.grade);
    }
    if (op->scan)
        cost = on_stack(cost, &stack->scan_share);
    return at_most_peak(site, format, on_narrow(stack, format, on_stack(cost, &stack->compute_share)));
}

/* Inside of attention, fused. */
static struct tr_cost core_cost(const struct tr_site *site, const struct tr_block *block, const struct tr_layout *layout,
                                const struct tr_step_op *op)
{
    const int fit = site->core == TR_FORMAT_FP8 ? TR_FIT_ATTENTION_FP8 : TR_FIT_ATTENTION_WIDE;
    struct tr_cost cost = attention_cost(site, block, layout, op->phase != TR_STEP_FORWARD);
    cost = queued(site, cost, op->kernels * site->rates.attention[fit].launch_s);
    return at_most_peak(site, site->core, on_stack(cost, &site->stack->attention_share));
}

struct tr_cost tr_site_pass(const struct tr_site *site, struct tr_cost cost)
{
    cost = on_stack(cost, &site->stack->memory_share);
    cost.time_s = fmax(cost.time_s, cost.bytes / site->rates.memory_bytes_s);
    return cost;
}

static struct tr_cost pass_cost(const struct tr_site *site, const struct tr_step_op *op)
{
    struct tr_cost cost = tr_cost_pass(&site->rates, op->bytes, op->kernels);
    cost = queued(site, cost, op->kernels * site->rates.gemm[TR_FIT_BF16].launch_s);
    cost.grade = tr_grade_worse(cost.grade, op->bytes_grade);
    return tr_site_pass(site, cost);
}

struct tr_cost tr_step_op_cost(const struct tr_site *site, const struct tr_block *block, const struct tr_layout *layout,
                               const struct tr_step_op *op)
{
    switch (op->kind) {
    case TR_STEP_GEMM:
        return gemm_cost(site, op);
    case TR_STEP_ATTENTION:
        return core_cost(site, block, layout, op);
    case TR_STEP_PASS:
        return pass_cost(site, op);
    case TR_STEP_COLLECTIVE:
        if (op->copies && !layout->bare_exchange)
            return dispatch_cost(site, block, layout, op);
        return tr_mesh_collective(site, layout, op->mesh, op->collective, op->bytes);
    case TR_STEP_SEND:
        return tr_mesh_send(site, layout, op->mesh, op->bytes, op->kernels);
    case TR_STEP_KIND_COUNT:
    default:
        TR_ASSERT(!"a kind of operation");
    }
}
