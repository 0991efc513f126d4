/* Collectives in one domain: the least of three straight lines, one a protocol (low latency, in between, high bandwidth), as
 * NCCL's tuner chooses them (S. Hu et al., "Demystifying NCCL", 2025, arXiv:2507.04786). What rings, trees and reduction
 * in the switch (NVLS) have in common at one number of ranks is such a line; what they do not is in `step` and `gain`. */
#include "base/fmath.h"
#include "silicon/cost/inside.h"

static const char *const names[TR_COLLECTIVE_COUNT] = {
    "all_reduce",     "all_gather",     "reduce_scatter",     "all_to_all",     "trtllm",
    "vllm_graph",     "vllm_eager",     "sglang_graph",       "sglang_eager",   "all_reduce_old",
    "all_gather_old", "reduce_scatter_old", "all_to_all_old", "trtllm_old",     "vllm_graph_old",
    "vllm_eager_old", "sglang_graph_old",   "sglang_eager_old",
};

const char *tr_collective_name(enum tr_collective op)
{
    TR_ASSERT(op >= 0 && op < TR_COLLECTIVE_COUNT);
    return names[op];
}

double tr_collective_wire_bytes(enum tr_collective op, int64_t ranks, double bytes)
{
    double others = bytes * (double)(ranks - 1) / (double)ranks;
    enum tr_collective kind = op % TR_COLLECTIVE_OLD;
    bool gathers = kind == TR_COLLECTIVE_ALL_GATHER || kind == TR_COLLECTIVE_REDUCE_SCATTER ||
                   kind == TR_COLLECTIVE_ALL_TO_ALL;
    return gathers ? others : 2 * others;
}

/* gain^log2(ranks / 4). Measured among 2 to 8: beyond, more ranks bring no more links into use. */
static double gained(double gain, int64_t ranks)
{
    if (ranks >= 8)
        return gain;
    if (ranks == 2 || ranks == 4)
        return ranks == 2 ? 1 / gain : 1;
    return tr_pow((double)ranks / 4, tr_log(gain) / tr_log(2));
}

struct tr_cost tr_cost_collective(const struct tr_rates *rates, enum tr_collective op, int64_t ranks, double bytes,
                                  double link_bytes_s)
{
    return tr_cost_collective_of(rates, op, false, ranks, bytes, link_bytes_s);
}

struct tr_cost tr_cost_collective_of(const struct tr_rates *rates, enum tr_collective op, bool narrow, int64_t ranks,
                                     double bytes, double link_bytes_s)
{
    TR_ASSERT(op >= 0 && op < TR_COLLECTIVE_COUNT && ranks >= 1 && bytes >= 0);
    const struct tr_collective_rates *fit = &rates->collective[op];
    double slower = narrow && fit->narrow > 0 ? fit->narrow : 1;
    struct tr_cost cost = {.time_s = ranks == 1 ? 0 : INFINITY, .error = fit->error, .grade = fit->grade,
                           .bytes = tr_collective_wire_bytes(op, ranks, bytes)};
    for (int i = 0; ranks > 1 && link_bytes_s > 0 && i < TR_LINES; i++) {
        const struct tr_line *line = &fit->line[i];
        double share = line->share * gained(line->gain, ranks) * slower;
        double start_s = line->start_s + line->step_s * (double)(ranks - 1), wire_s = cost.bytes / (share * link_bytes_s);
        if (start_s + wire_s >= cost.time_s)
            continue;
        cost.time_s = start_s + wire_s;
        cost.bound = start_s > wire_s ? TR_BOUND_LAUNCH : TR_BOUND_LINK;
    }
    return cost;
}
