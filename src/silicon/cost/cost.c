#include "silicon/cost/inside.h"

static const char *const bound_names[TR_BOUND_COUNT] = {"launch", "arithmetic", "memory", "link"};

const char *tr_bound_name(enum tr_bound bound)
{
    TR_ASSERT(bound >= 0 && bound < TR_BOUND_COUNT);
    return bound_names[bound];
}

bool tr_cost_can(const struct tr_rates *rates, enum tr_format format)
{
    /* Units that take a scale for 32 elements came with those for fp6 and fp4. */
    if (format == TR_FORMAT_MXFP8 && !(rates->flop_s[TR_RATE_FP6] > 0 || rates->flop_s[TR_RATE_FP4] > 0))
        return false;
    return rates->flop_s[tr_format_info(format)->rate] > 0;
}

/* Nobody published a table of such kernels for these chips: they have the launch and the memory of bf16 products, whose
 * smallest and thinnest are nothing else. */
struct tr_cost tr_cost_pass(const struct tr_rates *rates, double bytes, int64_t kernels)
{
    TR_ASSERT(bytes >= 0 && kernels >= 1);
    const struct tr_gemm_rates *fit = &rates->gemm[TR_FIT_BF16];
    double launch_s = fit->launch_s * (double)kernels, memory_s = bytes / (fit->memory_share * rates->memory_bytes_s);
    return (struct tr_cost){.time_s = launch_s + memory_s, .error = fit->error * 1.5, .bytes = bytes,
                            .bound = launch_s > memory_s ? TR_BOUND_LAUNCH : TR_BOUND_MEMORY,
                            .grade = tr_grade_worse(fit->grade, TR_GRADE_TRANSFERRED)};
}

struct tr_cost tr_cost_add(struct tr_cost a, struct tr_cost b)
{
    double time_s = a.time_s + b.time_s;
    double error = time_s > 0 && isfinite(time_s) ? (a.error * a.time_s + b.error * b.time_s) / time_s
                                                  : fmax(a.error, b.error);
    return (struct tr_cost){time_s, error, a.time_s >= b.time_s ? a.bound : b.bound,
                            tr_grade_worse(a.grade, b.grade), a.flop + b.flop, a.bytes + b.bytes};
}

struct tr_cost tr_cost_times(struct tr_cost cost, double count)
{
    cost.time_s *= count;
    cost.flop *= count;
    cost.bytes *= count;
    return cost;
}
