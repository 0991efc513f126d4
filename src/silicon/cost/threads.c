/* Rates for a number of threads that nobody measured, from the two measured ones around it. */
#include "base/fmath.h"
#include "base/num.h"
#include "silicon/cost/kernels.h"

#include <math.h>

/* A time has a part that no thread shortens and a part that all share (Amdahl), which follow from both neighbours: it is linear in
 * 1 / threads. So is a sum of times: an operation follows the same law as each of its terms. */
struct between {
    const struct tr_kernel_rates *lower, *upper;
    int threads;
};

static double mix(const struct between *b, double lower_s, double upper_s)
{
    double lower = b->lower->threads, upper = b->upper->threads;
    double share = (1 / (double)b->threads - 1 / upper) / (1 / lower - 1 / upper);
    return share * lower_s + (1 - share) * upper_s;
}

/* Of rates it is the times that are mixed. 0: not measured. */
static double mix_rate(const struct between *b, double lower, double upper)
{
    return lower > 0 && upper > 0 ? 1 / mix(b, 1 / lower, 1 / upper) : 0;
}

/* How far from it the other law is that goes through both: a power of the number of threads. */
static double doubt(const struct between *b, double lower, double upper)
{
    if (lower <= 0 || upper <= 0)
        return 0;
    double power = tr_log((double)b->threads / b->lower->threads) / tr_log((double)b->upper->threads / b->lower->threads);
    return fabs(mix_rate(b, lower, upper) / (lower * tr_pow(upper / lower, power)) - 1);
}

/* What is in doubt of a step: arithmetic and memory are the two things that threads share. */
static double doubt_of_step(const struct between *b)
{
    const struct tr_kernel_machine *lower = &b->lower->machine, *upper = &b->upper->machine;
    return fmax(doubt(b, lower->peak_flop_s[0], upper->peak_flop_s[0]), doubt(b, lower->read_byte_s[TR_READ_MEMORY], upper->read_byte_s[TR_READ_MEMORY]));
}

static struct tr_kernel_price mix_price(const struct between *b, const struct tr_kernel_price *lower, const struct tr_kernel_price *upper)
{
    struct tr_kernel_price price = {.known = lower->known && upper->known};
    for (int i = 0; i < TR_KERNEL_TERMS_MAX && price.known; i++)
        price.unit_s[i] = mix(b, lower->unit_s[i], upper->unit_s[i]);
    price.error = fmax(lower->error, upper->error) + doubt_of_step(b);
    price.runs = fmin(lower->runs, upper->runs);
    return price;
}

/* What lines take from core to core, and disks, are those of the more threads: one has no need of the former. */
static struct tr_kernel_machine mix_machine(const struct between *b)
{
    const struct tr_kernel_machine *lower = &b->lower->machine;
    struct tr_kernel_machine machine = b->upper->machine;
    for (int type = 0; type < TR_KERNEL_TYPES; type++)
        machine.peak_flop_s[type] = mix_rate(b, lower->peak_flop_s[type], machine.peak_flop_s[type]);
    for (int level = 0; level < TR_READ_LEVELS; level++)
        machine.read_byte_s[level] = mix_rate(b, lower->read_byte_s[level], machine.read_byte_s[level]);
    machine.noise = fmax(lower->noise, machine.noise);
    machine.noise_bf16 = fmax(lower->noise_bf16, machine.noise_bf16);
    machine.noise_memory = fmax(lower->noise_memory, machine.noise_memory);
    machine.waiting = fmax(lower->waiting, machine.waiting);
    return machine;
}

void tr_kernel_rates_between(const struct tr_kernel_rates *lower, const struct tr_kernel_rates *upper, int threads, struct tr_kernel_rates *out)
{
    const struct between b = {lower, upper, threads};
    struct tr_kernel_rates rates = *upper;
    TR_ASSERT(lower->threads < threads && threads < upper->threads);
    rates.threads = threads;
    rates.lower = lower->threads;
    rates.upper = upper->threads;
    rates.machine = mix_machine(&b);
    rates.step_error = fmax(lower->step_error, upper->step_error) + doubt_of_step(&b);
    rates.between_s = mix(&b, lower->between_s, upper->between_s);
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
        for (int type = 0; type < TR_KERNEL_TYPES; type++) {
            const struct tr_kernel_price *apart = lower->apart[kind][type].known ? &lower->apart[kind][type] : &lower->price[kind][type];
            rates.price[kind][type] = mix_price(&b, &lower->price[kind][type], &upper->price[kind][type]);
            rates.apart[kind][type] = mix_price(&b, apart, &upper->apart[kind][type]);
        }
    *out = rates;
}
