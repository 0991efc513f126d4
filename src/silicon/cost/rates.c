#include "silicon/cost/rates.h"

#include "base/fmath.h"

#include <math.h>
#include <string.h>
#include <strings.h>

static const struct tr_format_info formats[TR_FORMAT_COUNT] = {
    [TR_FORMAT_FP32] = {"fp32", TR_RATE_FP32, 4, 4, 4, false, TR_FIT_BF16},
    [TR_FORMAT_TF32] = {"tf32", TR_RATE_TF32, 4, 4, 4, false, TR_FIT_BF16},
    [TR_FORMAT_BF16] = {"bf16", TR_RATE_BF16, 2, 2, 2, false, TR_FIT_BF16},
    [TR_FORMAT_FP16] = {"fp16", TR_RATE_FP16, 2, 2, 2, false, TR_FIT_BF16},
    [TR_FORMAT_FP8] = {"fp8", TR_RATE_FP8, 1, 1, 2, true, TR_FIT_FP8},
    [TR_FORMAT_FP8_BLOCK] = {"fp8_block", TR_RATE_FP8, 1 + 4. / 128, 1, 2, true, TR_FIT_FP8_BLOCK},
    [TR_FORMAT_MXFP8] = {"mxfp8", TR_RATE_FP8, 1 + 1. / 32, 1 + 1. / 32, 2, true, TR_FIT_FP8_BLOCK},
    [TR_FORMAT_INT8] = {"int8", TR_RATE_INT8, 1, 1, 2, true, TR_FIT_INT8},
    [TR_FORMAT_INT8_WO] = {"int8_wo", TR_RATE_BF16, 2, 1, 2, false, TR_FIT_INT8_WO},
    [TR_FORMAT_INT4_WO] = {"int4_wo", TR_RATE_BF16, 2, .5 + 4. / 128, 2, false, TR_FIT_INT4_WO},
    [TR_FORMAT_NVFP4] = {"nvfp4", TR_RATE_FP4, .5 + 1. / 16, .5 + 1. / 16, 2, true, TR_FIT_FP4},
    [TR_FORMAT_MXFP4] = {"mxfp4", TR_RATE_FP4, .5 + 1. / 32, .5 + 1. / 32, 2, true, TR_FIT_FP4},
};

static const struct {
    const char *name;
    enum tr_format format;
} other_names[] = {
    {"bfloat16", TR_FORMAT_BF16}, {"float16", TR_FORMAT_FP16}, {"half", TR_FORMAT_FP16}, {"float32", TR_FORMAT_FP32},
    {"sq", TR_FORMAT_INT8}, {"fp8_e4m3", TR_FORMAT_FP8}, {"fp8_blockscaled", TR_FORMAT_FP8_BLOCK},
};

const struct tr_format_info *tr_format_info(enum tr_format format)
{
    TR_ASSERT(format >= 0 && format < TR_FORMAT_COUNT);
    return &formats[format];
}

enum tr_format tr_format_find(const char *name)
{
    for (int i = 0; i < TR_FORMAT_COUNT; i++)
        if (strcasecmp(formats[i].name, name) == 0)
            return (enum tr_format)i;
    for (size_t i = 0; i < sizeof other_names / sizeof *other_names; i++)
        if (strcasecmp(other_names[i].name, name) == 0)
            return other_names[i].format;
    return TR_FORMAT_COUNT;
}

#define GEMM(word, fit, key, unit, field, fallback, min, max, help)                                                   \
    {"gemm." word "." key, unit, offsetof(struct tr_rates, gemm[fit].field), fallback, min, max, help}
#define GEMMS(word, fit)                                                                                              \
    GEMM(word, fit, "launch", TR_UNIT_TIME, launch_s, 2.5e-6, .3e-6, 20e-6, "of a kernel that does nothing"),          \
    GEMM(word, fit, "sustained", TR_UNIT_RATIO, sustained, .9, .2, 1.35, "share of the dense peak of the main loop"),  \
    GEMM(word, fit, "side", TR_UNIT_COUNT, side, 8, .01, 120, "elements lost along each side of a tile"),              \
    GEMM(word, fit, "feed", TR_UNIT_COUNT, feed_b_clk, 90, 10, 1000, "bytes a core takes from the cache in a clock"),  \
    GEMM(word, fit, "step", TR_UNIT_TIME, step_s, 60e-9, 1e-9, 1e-6, "the shortest time of 64 elements of k"),         \
    GEMM(word, fit, "tile", TR_UNIT_TIME, tile_s, .4e-6, 1e-9, 10e-6, "of each tile: fill, epilogue"),                 \
    GEMM(word, fit, "store", TR_UNIT_COUNT, store_b_clk, 20, 2, 2000, "bytes of output of a core in a clock"),         \
    GEMM(word, fit, "exposed", TR_UNIT_RATIO, exposed, .1, .001, .95, "share seen of operands or products"),            \
    GEMM(word, fit, "epilogue", TR_UNIT_RATIO, epilogue, .5, .001, 1, "share seen of stores beside main loops"),       \
    GEMM(word, fit, "exposed_memory", TR_UNIT_RATIO, exposed_memory, .2, .001, 1, "share seen of memory or cores"),    \
    GEMM(word, fit, "guess", TR_UNIT_RATIO, guess, .3, .001, 1, "distance from the fastest kernel to the one taken"),  \
    GEMM(word, fit, "blind", TR_UNIT_RATIO, blind, .02, .001, 1, "share of the unused part of the last wave that the library does not see"),  \
    GEMM(word, fit, "vector", TR_UNIT_TIME, vector_s, 2e-6, .01e-6, 20e-6, "latency of a kernel for one row"),         \
    GEMM(word, fit, "tail", TR_UNIT_RATIO, tail, .7, .001, 1, "share of the unused last wave that is recovered"),      \
    GEMM(word, fit, "memory", TR_UNIT_RATIO, memory_share, .8, .2, 1.1, "share of the memory's bandwidth"),            \
    GEMM(word, fit, "core_memory", TR_UNIT_COUNT, core_b_clk, 60, 1, 500, "bytes of memory of a core in a clock"),     \
    GEMM(word, fit, "warm", TR_UNIT_RATIO, warm_share, .1, .001, 4, "share of the cache that holds activations"),      \
    GEMM(word, fit, "split", TR_UNIT_TIME, split_s, 2.5e-6, .05e-6, 20e-6, "joining the parts of a split k"),          \
    GEMM(word, fit, "split_store", TR_UNIT_COUNT, split_b_clk, 30, 1, 2000, "bytes of parts of a core in a clock"),    \
    GEMM(word, fit, "power", TR_UNIT_RATIO, power, .06, .0001, .9, "slowing down of long products"),                   \
    GEMM(word, fit, "error", TR_UNIT_RATIO, error, .45, .001, 3, "half width of the 80 % interval")

#define QUANTISES(word, fit)                                                                                          \
    GEMM(word, fit, "quantise", TR_UNIT_TIME, quantise_s, 1e-6, .01e-6, 20e-6, "launch of the quantising pass"),       \
    GEMM(word, fit, "quantise_memory", TR_UNIT_RATIO, quantise_share, .5, .02, 3, "its share of the bandwidth")

#define ATTENTION(word, fit, key, unit, field, fallback, min, max, help)                                              \
    {"attention." word "." key, unit, offsetof(struct tr_rates, attention[fit].field), fallback, min, max, help}
#define ATTENTIONS(word, fit)                                                                                         \
    ATTENTION(word, fit, "launch", TR_UNIT_TIME, launch_s, 4e-6, .3e-6, 60e-6, "of a kernel that does nothing"),       \
    ATTENTION(word, fit, "sustained", TR_UNIT_RATIO, sustained, .7, .1, 1.3, "share of the dense peak"),               \
    ATTENTION(word, fit, "exponent", TR_UNIT_COUNT, exponent_clk, 16, 1, 500, "exponentials of a core in a clock"),    \
    ATTENTION(word, fit, "exposed", TR_UNIT_RATIO, exposed, .3, .001, 1, "share seen of what overlaps"),               \
    ATTENTION(word, fit, "block", TR_UNIT_TIME, block_s, 1e-6, 1e-9, 30e-6, "of each block of queries"),               \
    ATTENTION(word, fit, "step", TR_UNIT_TIME, step_s, .2e-6, 1e-9, 5e-6, "the shortest time of 128 keys"),            \
    ATTENTION(word, fit, "tail", TR_UNIT_RATIO, tail, .5, .001, 2, "of the longest block, at the end"),                \
    ATTENTION(word, fit, "window", TR_UNIT_COUNT, window_keys, 64, 1, 2000, "keys walked over beyond a window"),       \
    ATTENTION(word, fit, "memory", TR_UNIT_RATIO, memory_share, .7, .05, 1.5, "share of the memory's bandwidth"),      \
    ATTENTION(word, fit, "prepare", TR_UNIT_TIME, prepare_s, 3e-6, .01e-6, 60e-6, "launch of the preparing pass"),     \
    ATTENTION(word, fit, "prepare_memory", TR_UNIT_RATIO, prepare_share, .5, .02, 3, "its share of the bandwidth"),    \
    ATTENTION(word, fit, "power", TR_UNIT_RATIO, power, .05, .0001, .9, "slowing down of long kernels"),               \
    ATTENTION(word, fit, "error", TR_UNIT_RATIO, error, .45, .001, 3, "half width of the 80 % interval")

#define LINE(word, op, name, i, key, unit, field, fallback, min, max, help)                                           \
    {"collective." word "." name "." key, unit, offsetof(struct tr_rates, collective[op].line[i].field), fallback, min, \
     max, help}
#define LINES(word, op, name, i, begin, part)                                                                        \
    LINE(word, op, name, i, "start", TR_UNIT_TIME, start_s, begin, .1e-6, 1e-3, "before the first byte"),              \
    LINE(word, op, name, i, "step", TR_UNIT_TIME, step_s, .5e-6, 1e-9, 50e-6, "for each rank more"),                   \
    LINE(word, op, name, i, "share", TR_UNIT_RATIO, share, part, .0005, 2, "of the link's bandwidth, among four"),    \
    LINE(word, op, name, i, "gain", TR_UNIT_RATIO, gain, 1.1, .1, 4, "of the share when ranks double")
#define COLLECTIVE(word, op)                                                                                          \
    LINES(word, op, "ll", 0, 6e-6, .04), LINES(word, op, "ll128", 1, 10e-6, .35),                                      \
    LINES(word, op, "simple", 2, 25e-6, .75),                                                                          \
    {"collective." word ".error", TR_UNIT_RATIO, offsetof(struct tr_rates, collective[op].error), .3, .001, 3,         \
     "half width of the 80 % interval"}
#define RELEASES(word, op) COLLECTIVE(word, op), COLLECTIVE(word "_old", TR_COLLECTIVE_OLD + op)
#define NARROW(word, op)                                                                                              \
    {"collective." word ".narrow", TR_UNIT_RATIO, offsetof(struct tr_rates, collective[op].narrow), .95, .5, 1.1,      \
     "share left of the wire's rate where elements have 8 bits"}

static const struct tr_param params[] = {
    GEMMS("bf16", TR_FIT_BF16), GEMMS("fp8", TR_FIT_FP8), QUANTISES("fp8", TR_FIT_FP8),
    GEMMS("fp8_block", TR_FIT_FP8_BLOCK), QUANTISES("fp8_block", TR_FIT_FP8_BLOCK),
    GEMMS("int8", TR_FIT_INT8), QUANTISES("int8", TR_FIT_INT8), GEMMS("int8_wo", TR_FIT_INT8_WO),
    GEMMS("int4_wo", TR_FIT_INT4_WO), GEMMS("fp4", TR_FIT_FP4), QUANTISES("fp4", TR_FIT_FP4),
    ATTENTIONS("wide", TR_FIT_ATTENTION_WIDE), ATTENTIONS("cache8", TR_FIT_ATTENTION_CACHE8),
    ATTENTIONS("fp8", TR_FIT_ATTENTION_FP8),
    RELEASES("all_reduce", TR_COLLECTIVE_ALL_REDUCE), RELEASES("all_gather", TR_COLLECTIVE_ALL_GATHER),
    RELEASES("reduce_scatter", TR_COLLECTIVE_REDUCE_SCATTER), RELEASES("all_to_all", TR_COLLECTIVE_ALL_TO_ALL),
    RELEASES("trtllm", TR_COLLECTIVE_TRTLLM), RELEASES("vllm_graph", TR_COLLECTIVE_VLLM_GRAPH),
    RELEASES("vllm_eager", TR_COLLECTIVE_VLLM_EAGER), RELEASES("sglang_graph", TR_COLLECTIVE_SGLANG_GRAPH),
    RELEASES("sglang_eager", TR_COLLECTIVE_SGLANG_EAGER), NARROW("all_reduce", TR_COLLECTIVE_ALL_REDUCE),
    NARROW("all_reduce_old", TR_COLLECTIVE_OLD + TR_COLLECTIVE_ALL_REDUCE),
    NARROW("reduce_scatter", TR_COLLECTIVE_REDUCE_SCATTER),
    NARROW("reduce_scatter_old", TR_COLLECTIVE_OLD + TR_COLLECTIVE_REDUCE_SCATTER),
};

/* How much wider an interval is on a chip that the parameters were not fitted to: errors grow from 6-8 % to 12-27 % when
 * A100, H100 and B200 are priced with each other's (README.md). */
static const double transfer_error = 2.5;

enum { PARAMS = sizeof params / sizeof *params };
_Static_assert((int)PARAMS <= (int)TR_FIT_FIELDS_MAX, "fit.h reads them all");

const struct tr_param *tr_params(int *count)
{
    *count = PARAMS;
    return params;
}

/* The table as chip/fit.h wants it: facts, by index. */
static void make_fields(struct tr_field fields[PARAMS])
{
    for (int i = 0; i < PARAMS; i++)
        fields[i] = (struct tr_field){.path = params[i].path, .kind = TR_FIELD_FACT,
                                      .offset = (size_t)i * sizeof(struct tr_fact), .unit = params[i].unit,
                                      .min = params[i].min, .max = params[i].max, .help = params[i].help};
}

/* The group that a parameter belongs to has the worst grade of all in it. */
static void note_grade(struct tr_rates *rates, size_t offset, enum tr_grade grade)
{
    enum tr_grade *of = NULL;
    for (int i = 0; i < TR_FIT_FORMATS; i++)
        if (offset >= offsetof(struct tr_rates, gemm[i]) && offset < offsetof(struct tr_rates, gemm[i + 1]))
            of = &rates->gemm[i].grade;
    for (int i = 0; i < TR_FIT_ATTENTIONS; i++)
        if (offset >= offsetof(struct tr_rates, attention[i]) && offset < offsetof(struct tr_rates, attention[i + 1]))
            of = &rates->attention[i].grade;
    for (int i = 0; i < TR_COLLECTIVE_COUNT; i++)
        if (offset >= offsetof(struct tr_rates, collective[i]) && offset < offsetof(struct tr_rates, collective[i + 1]))
            of = &rates->collective[i].grade;
    if (of)
        *of = tr_grade_worse(*of, grade);
}

/* Chips whose cores are few and huge (a TPU's two) or not counted in a data sheet are priced as so many cores of a
 * GPU's size, since tiles and their latencies are known for those: an assumption, and the fits of such chips say so. */
static void make_cores(const struct tr_chip *chip, struct tr_rates *rates)
{
    enum { USUAL_CLOCK_HZ = 1500000000 };
    const double usual_flop_s = 8e12, huge_flop_s = 40e12;
    double wide = rates->flop_s[TR_RATE_BF16] > 0 ? rates->flop_s[TR_RATE_BF16] : rates->flop_s[TR_RATE_FP16];
    rates->clock_hz = tr_fact_or(&chip->clock_hz, USUAL_CLOCK_HZ);
    rates->cores = tr_fact_or(&chip->cores, 0);
    if (rates->cores < 1 || wide / rates->cores > huge_flop_s)
        rates->cores = fmax(1, round(wide / usual_flop_s));
}

/* How much faster matrix units run under load than those of the chip that the fit of products is of. Such load is limited by
 * power, which grows as the third power of the clock (voltage goes along), so that the clock goes as its third root: of the
 * power for each FLOP/s of the data sheet. Never much faster: then the clock itself is the limit. */
static enum tr_status power_clock(const struct tr_chip *chip, double *factor, struct tr_err *err)
{
    const double most = 1.1;
    const struct tr_entry *from = chip->entry;
    struct tr_chip of;
    *factor = 1;
    for (; from; from = from->base) {
        const struct tr_entry *fit = tr_catalog_look(chip->entry->catalog, TR_SECTION_FITS, from->id);
        if (fit && tr_entry_node(fit, "gemm.bf16.sustained", NULL))
            break;
    }
    if (!from || from == chip->entry)
        return TR_OK;
    enum tr_status status = tr_chip_read(from, &of, err);
    if (status != TR_OK)
        return status;
    const struct tr_fact *rate = &chip->rate_flop_s[TR_RATE_BF16], *rate_of = &of.rate_flop_s[TR_RATE_BF16];
    if (tr_known(&chip->tdp_w) && tr_known(&of.tdp_w) && tr_known(rate) && tr_known(rate_of))
        *factor = fmin(most, tr_pow(chip->tdp_w.value / rate->value * rate_of->value / of.tdp_w.value, 1. / 3));
    return TR_OK;
}

/* The row of the table that is the same number of the other release of a collective; -1: there is none. */
static int other_release(int param)
{
    size_t first = offsetof(struct tr_rates, collective[0]), at = params[param].offset;
    size_t apart = TR_COLLECTIVE_OLD * sizeof(struct tr_collective_rates);
    size_t other = at < first + apart ? at + apart : at - apart;
    for (int i = 0; i < PARAMS && at >= first; i++)
        if (params[i].offset == other)
            return i;
    return -1;
}

/* Of what was measured in one release only the other is like it. */
static void take_other_release(struct tr_fact *facts)
{
    struct tr_fact own[TR_FIT_FIELDS_MAX];
    memcpy(own, facts, PARAMS * sizeof *own);
    for (int i = 0; i < PARAMS; i++) {
        int other = tr_known(&own[i]) ? -1 : other_release(i);
        if (other < 0 || !tr_known(&own[other]))
            continue;
        facts[i] = own[other];
        facts[i].grade = tr_grade_worse(facts[i].grade, TR_GRADE_TRANSFERRED);
    }
}

enum tr_status tr_rates_facts(const struct tr_chip *chip, struct tr_fact *facts, struct tr_err *err)
{
    struct tr_field fields[PARAMS];
    make_fields(fields);
    memset(facts, 0, PARAMS * sizeof *facts);
    enum tr_status status = tr_fit_read(chip->entry, fields, PARAMS, facts, err);
    if (status == TR_OK)
        take_other_release(facts);
    return status;
}

enum tr_status tr_rates_make(const struct tr_chip *chip, struct tr_rates *out, struct tr_err *err)
{
    struct tr_fact facts[TR_FIT_FIELDS_MAX];
    struct tr_rates rates = {.memory_bytes_s = chip->memory_bytes_s.value};
    enum tr_status status = tr_rates_facts(chip, facts, err);
    if (status != TR_OK)
        return status;
    for (int i = 0; i < TR_RATE_COUNT; i++) {
        rates.flop_s[i] = tr_fact_or(&chip->rate_flop_s[i], 0);
        rates.flop_grade[i] = tr_grade_worse(chip->rate_flop_s[i].grade, chip->memory_bytes_s.grade);
    }
    rates.l2_bytes = tr_fact_or(&chip->l2_bytes, 32 << 20);
    rates.link_bytes_s = tr_fact_or(&chip->scaleup_bytes_s, tr_fact_or(&chip->host_bytes_s, 0));
    rates.exponents = tr_fact_or(&chip->exponentials, 16) / 16;
    rates.array_side = tr_fact_or(&chip->array_side, 1);
    make_cores(chip, &rates);
    for (int i = 0; i < PARAMS; i++) {
        double value = tr_fact_or(&facts[i], params[i].fallback);
        bool is_error = strcmp(strrchr(params[i].path, '.'), ".error") == 0;
        if (is_error && facts[i].grade >= TR_GRADE_TRANSFERRED)
            value *= transfer_error;
        memcpy((char *)&rates + params[i].offset, &value, sizeof value);
        note_grade(&rates, params[i].offset, tr_known(&facts[i]) ? facts[i].grade : TR_GRADE_ASSUMED);
    }
    double clock = 1;
    status = power_clock(chip, &clock, err);
    for (int i = 0; i < TR_FIT_FORMATS; i++)
        rates.gemm[i].sustained *= clock;
    if (status == TR_OK)
        *out = rates;
    return status;
}

enum tr_status tr_rates_check_all(const struct tr_catalog *catalog, struct tr_err *err)
{
    struct tr_field fields[PARAMS];
    make_fields(fields);
    return tr_fit_check_all(catalog, fields, PARAMS, err);
}
