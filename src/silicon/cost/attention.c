/* Attention: blocks of queries over blocks of keys.
 *
 * Fused: each (sequence, head, block of queries) is one piece of work of a core, which walks over the blocks of keys that
 * its queries see. A block of keys costs two products at the pace of the matrix units beside the softmax between them at
 * the pace of the exponentials, at least the latency of a step; a piece costs a fixed time too. Pieces are dealt to the
 * cores as they come, so the whole takes the mean load of a core and a share `tail` of the longest piece. Meanwhile
 * memory is read and written. Before it, what the measured library does in a kernel of its own: rotate queries and keys,
 * write the cache. That pass grows with the tokens and the products with their square: a tenth to a third of what is measured
 * at 2,048 to 8,192 tokens is nothing of it at a million, so whoever does without it (`alone`) must not be priced with it.
 *
 * A systolic array has a head's dims on one of its sides in both products (tr_filled): 128 dims are half the work of
 * an array of 256.
 *
 * Sources of the form: T. Dao, "FlashAttention-2" (2023, arXiv:2307.08691): blocks, causal skipping; J. Shah et al.,
 * "FlashAttention-3" (2024, arXiv:2407.08608): softmax beside the products, the exponential as a limit. */
#include "silicon/cost/inside.h"

static const double block_keys = 128;

/* Keys that all blocks of `rows` queries walk over, whole blocks of keys; and those of the longest. */
struct walk {
    double blocks, keys, longest, pairs;
};

/* Sum of min(first + step i, most) for i in 0..count-1. */
static double clipped_sum(double first, double step, double count, double most)
{
    double below = fmin(count, fmax(0, floor((most - first) / step) + 1));
    return below * first + step * below * (below - 1) / 2 + (count - below) * most;
}

static struct walk walk_keys(const struct tr_attention *a, double rows, double window_keys)
{
    double queries = (double)a->queries, keys = (double)a->keys, window = a->window > 0 ? (double)a->window : keys;
    double whole = ceil(keys / block_keys) * block_keys;
    struct walk walk = {.blocks = ceil(queries / rows)};
    if (!a->causal) {
        walk.longest = fmin(whole, window + rows);
        walk.keys = walk.blocks * walk.longest;
        walk.pairs = queries * fmin(keys, window);
        return walk;
    }
    /* A block of rows sees one block of keys more, half of the time, when it ends inside of one. */
    double before = keys - queries, ragged = rows < block_keys ? (block_keys - rows) / 2 : 0;
    double most = fmin(whole, window + rows + (a->window > 0 ? window_keys : 0));
    walk.longest = most;
    walk.keys = clipped_sum(fmax(before + rows + ragged, fmin(block_keys, whole)), rows, walk.blocks, most);
    walk.pairs = clipped_sum(before + 1, 1, queries, fmin(window, keys));
    return walk;
}

static double value_dim(const struct tr_attention *a) { return (double)(a->value_dim ? a->value_dim : a->head_dim); }

int tr_attention_fit(const struct tr_attention *a)
{
    if (tr_format_info(a->format)->x_bytes < 2)
        return TR_FIT_ATTENTION_FP8;
    return tr_format_info(a->kv_format)->x_bytes < 2 ? TR_FIT_ATTENTION_CACHE8 : TR_FIT_ATTENTION_WIDE;
}

static double attention_bytes(const struct tr_attention *a)
{
    double dims = (double)a->head_dim + value_dim(a), batch = (double)a->batch;
    double q = batch * (double)a->queries * (double)a->heads * dims * tr_format_info(a->format)->x_bytes;
    return q + batch * (double)a->keys * (double)a->kv_heads * dims * tr_format_info(a->kv_format)->x_bytes;
}

struct work {
    double time_s, longest_s, blocks;
};

static struct work attention_work(const struct tr_rates *rates, const struct tr_attention *a, double rows)
{
    const struct tr_attention_rates *fit = &rates->attention[tr_attention_fit(a)];
    struct walk walk = walk_keys(a, rows, fit->window_keys);
    double core_flop_s = rates->flop_s[tr_format_info(a->format)->rate] * fit->sustained / rates->cores;
    double dim = (double)a->head_dim, dim_v = value_dim(a);
    double multiply = 2 * rows * (dim / tr_filled(rates, dim) + dim_v / tr_filled(rates, dim_v)) / core_flop_s;
    double soften = rows / (fit->exponent_clk * rates->exponents * rates->clock_hz);
    double each = fmax(tr_beside(multiply, soften, fit->exposed), fit->step_s / block_keys);
    double pieces = walk.blocks * (double)a->batch * (double)a->heads, longest = walk.longest * each + fit->block_s;
    double total = (walk.keys * each + walk.blocks * fit->block_s) * (double)a->batch * (double)a->heads;
    double time = pieces <= rates->cores ? longest : fmax(longest, total / rates->cores + fit->tail * longest);
    return (struct work){time, longest, pieces};
}

/* Beyond its launch: operands are read, and written in 16 bits. */
static double prepare_s(const struct tr_rates *rates, const struct tr_attention *a, double bytes)
{
    double prepared = bytes + bytes / tr_format_info(a->format)->x_bytes * 2;
    return prepared / (rates->attention[tr_attention_fit(a)].prepare_share * rates->memory_bytes_s);
}

struct tr_cost tr_cost_attention(const struct tr_rates *rates, const struct tr_attention *a)
{
    TR_ASSERT(a->batch >= 1 && a->queries >= 1 && a->keys >= a->queries && a->kv_heads >= 1 && a->head_dim >= 1);
    TR_ASSERT(a->heads % a->kv_heads == 0 && a->window >= 0);
    const struct tr_attention_rates *fit = &rates->attention[tr_attention_fit(a)];
    struct tr_cost cost = {.time_s = INFINITY, .error = fit->error, .bytes = attention_bytes(a),
                           .grade = tr_grade_worse(fit->grade, rates->flop_grade[tr_format_info(a->format)->rate])};
    cost.flop = 2 * walk_keys(a, block_keys, 0).pairs * ((double)a->head_dim + value_dim(a)) * (double)a->batch *
                (double)a->heads;
    if (!tr_cost_can(rates, a->format))
        return cost;
    double work = fmin(attention_work(rates, a, 128).time_s, attention_work(rates, a, 64).time_s);
    double memory = cost.bytes / (fit->memory_share * rates->memory_bytes_s);
    double time = tr_throttled(tr_beside(work, memory, fit->exposed), fit->power);
    double start = fit->launch_s + (a->alone ? 0 : fit->prepare_s);
    cost.time_s = start + time + (a->alone ? 0 : prepare_s(rates, a, cost.bytes));
    cost.bound = work > memory ? TR_BOUND_ARITHMETIC : TR_BOUND_MEMORY;
    if (start > time)
        cost.bound = TR_BOUND_LAUNCH;
    return cost;
}

/* Dao 2023, section 4: five products where the forward pass has two, and 63 % of the peak where it reaches 73 %. */
struct tr_cost tr_cost_attention_backward(const struct tr_rates *rates, const struct tr_attention *attention)
{
    struct tr_cost cost = tr_cost_times(tr_cost_attention(rates, attention), 5. / 2);
    cost.time_s *= 73. / 63;
    cost.error *= 1.5;
    cost.grade = tr_grade_worse(cost.grade, TR_GRADE_TRANSFERRED);
    return cost;
}

struct tr_cost tr_cost_attention_unfused(const struct tr_rates *rates, const struct tr_attention *a,
                                         double score_bytes, int64_t kernels)
{
    int64_t count = a->batch * a->heads, dim_v = a->value_dim ? a->value_dim : a->head_dim;
    double scores = (double)count * (double)a->queries * (double)a->keys;
    struct tr_cost cost = tr_cost_gemm(rates, a->format, a->queries, a->keys, a->head_dim, count);
    cost = tr_cost_add(cost, tr_cost_gemm(rates, a->format, a->queries, dim_v, a->keys, count));
    return tr_cost_add(cost, tr_cost_pass(rates, scores * score_bytes, kernels));
}
