/* What prices are made of: the few numbers of a chip that the cost models read, flat, in base units.
 *
 * Two kinds, never mixed: the data sheet (cores, clock, peak rates, bandwidth, cache), and what was seen to be reached
 * (shares of those, latencies), fitted to measurements of single operations (section `fits` of the catalog, chip/fit.h).
 * A fitted parameter is a share, a number of bytes a clock or a time, so that it means the same on another chip: a chip
 * that nobody measured takes those of the chip that it is like, on its own data sheet, and its grade is then
 * `transferred`; one that is like no other takes the table's own values, typical of what was measured: `assumed`.
 *
 * The table of parameters (`tr_params`) has a row for each: files, the fitting program and explanations read it, so a
 * parameter is added in one place. */
#ifndef TR_SILICON_COST_RATES_H
#define TR_SILICON_COST_RATES_H

#include "silicon/chip/chip.h"

#include <stdbool.h>
#include <stddef.h>

/* Number formats of matrix products as libraries offer them. */
enum tr_format {
    TR_FORMAT_FP32, /* vector units */
    TR_FORMAT_TF32,
    TR_FORMAT_BF16,
    TR_FORMAT_FP16,
    TR_FORMAT_FP8,       /* one scale a tensor */
    TR_FORMAT_FP8_BLOCK, /* a scale for 1 x 128 of activations and 128 x 128 of weights (DeepSeek-V3) */
    TR_FORMAT_MXFP8,     /* a scale for 32 elements */
    TR_FORMAT_INT8,      /* both operands (SmoothQuant) */
    TR_FORMAT_INT8_WO,   /* weights only, products in bf16 */
    TR_FORMAT_INT4_WO,   /* weights only, a scale for 128 */
    TR_FORMAT_NVFP4,     /* a scale for 16 */
    TR_FORMAT_MXFP4,     /* a scale for 32 */
    TR_FORMAT_COUNT
};

struct tr_format_info {
    const char *name;           /* as in files: "bf16", "fp8_block" */
    enum tr_rate rate;          /* of the data sheet that its products run at */
    double x_bytes, w_bytes;    /* of an element in memory, scales included */
    double y_bytes;
    bool quantises;             /* activations arrive in bf16 and are turned into the format by a pass of its own */
    int fit;                    /* which of struct tr_rates.gemm its parameters are: formats of one kind share them */
};

const struct tr_format_info *tr_format_info(enum tr_format format);
/* By name, or as tables of measurements call it (bfloat16, sq, half ...), in whatever case; TR_FORMAT_COUNT when unknown. */
enum tr_format tr_format_find(const char *name);

/* Formats that have parameters of their own. */
enum { TR_FIT_BF16, TR_FIT_FP8, TR_FIT_FP8_BLOCK, TR_FIT_INT8, TR_FIT_INT8_WO, TR_FIT_INT4_WO, TR_FIT_FP4, TR_FIT_FORMATS };

/* Matrix products (gemm.c says how they come together). */
struct tr_gemm_rates {
    double launch_s;       /* of a kernel that does nothing, start to end */
    double sustained;      /* share of the dense peak that the main loop reaches in a large tile; above 1 where a burst
                              clocks higher than the data sheet says */
    double side;           /* elements lost along each side of a tile */
    double feed_b_clk;     /* bytes of operands that a core takes from the shared cache in a clock */
    double step_s;         /* the shortest time of 64 elements of k */
    double tile_s;         /* of each tile: fill of the pipeline, start of the epilogue */
    double store_b_clk;    /* bytes of output that a core's epilogue writes in a clock */
    double exposed;        /* share of the shorter of products and their operands that is seen nevertheless */
    double epilogue;       /* the same of a tile's main loop and the store of the one before */
    double exposed_memory; /* and of cores and memory */
    double guess;          /* how far from the fastest kernel the library's choice may be */
    double blind;          /* share of the unused part of the last wave that the library's choice does not see */
    double vector_s;       /* latency of a kernel for one row of x */
    double tail;           /* how much of the unused part of the last wave is recovered */
    double memory_share;   /* of the memory's bandwidth */
    double core_b_clk;     /* bytes from memory that one core can have in a clock */
    double warm_share;     /* of the shared cache, in which activations are found warm */
    double split_s;        /* joining the parts of a split k: once */
    double split_b_clk;    /* and bytes of partial sums a core and clock */
    double power;          /* slowing down of a product that runs for long (power limit) */
    double quantise_s;     /* launch of the pass that quantises activations */
    double quantise_share; /* its share of the memory's bandwidth */
    double error;          /* half width of the 80 % interval, from cross-validation by whole sites */
    enum tr_grade grade;   /* the worst of those above */
};

/* Fused attention (attention.c). */
struct tr_attention_rates {
    double launch_s;
    double sustained;      /* share of the dense peak that the two products reach */
    double exponent_clk;   /* exponentials (with their share of softmax) of a core in a clock */
    double exposed;        /* share of the shorter of products and softmax that is seen nevertheless */
    double block_s;        /* of each block of queries: fill, epilogue */
    double step_s;         /* the shortest time of 128 keys */
    double tail;           /* how much of the longest block the last wave costs */
    double window_keys;    /* keys that a block of queries walks over beyond those that its window shows */
    double memory_share;
    double prepare_s;      /* launch of the pass that rotates queries and keys and writes the cache */
    double prepare_share;  /* its share of the memory's bandwidth */
    double power;
    double error;
    enum tr_grade grade;
};

/* By the format of products and of keys and values in memory: libraries have kernels of their own for each. */
enum { TR_FIT_ATTENTION_WIDE, TR_FIT_ATTENTION_CACHE8, TR_FIT_ATTENTION_FP8, TR_FIT_ATTENTIONS };

/* Collectives among chips of one domain of fast links (collective.c). */
enum tr_collective {
    TR_COLLECTIVE_ALL_REDUCE,
    TR_COLLECTIVE_ALL_GATHER,
    TR_COLLECTIVE_REDUCE_SCATTER,
    TR_COLLECTIVE_ALL_TO_ALL,
    /* All-reduces in one kernel that inference engines bring, launched in a graph or by the host each time. */
    TR_COLLECTIVE_TRTLLM,
    TR_COLLECTIVE_VLLM_GRAPH,
    TR_COLLECTIVE_VLLM_EAGER,
    TR_COLLECTIVE_SGLANG_GRAPH,
    TR_COLLECTIVE_SGLANG_EAGER,
    /* All of them, in this order, once more: as they were before the release that made them what they are. */
    TR_COLLECTIVE_OLD,
    TR_COLLECTIVE_COUNT = 2 * TR_COLLECTIVE_OLD
};

/* One protocol: time = start + step * (ranks - 1) + bytes on the wire / (share * gain^log2(ranks / 4) * link). */
struct tr_line {
    double start_s, step_s;
    double share; /* of the link's bandwidth, among four */
    double gain;  /* of the share when ranks double: more channels, more links in use */
};

enum { TR_LINES = 3 }; /* low latency (LL), in between (LL128), high bandwidth (Simple): the library takes the fastest */

struct tr_collective_rates {
    struct tr_line line[TR_LINES];
    double narrow; /* of reductions: share of the wire's rate that is left where elements are whole numbers of 8 bits, which
                      switches do not sum and of which there are twice as many a byte */
    double error;
    enum tr_grade grade;
};

struct tr_rates {
    double exponents;                 /* of a core in a clock, over the 16 of the chips that attention was fitted to */
    double array_side;                /* of systolic arrays; 1: none, or so small that tiles are multiples of it */
    double cores, clock_hz;           /* cores: those of the data sheet, or as many of the usual size (rates.c) */
    double memory_bytes_s, l2_bytes;
    double flop_s[TR_RATE_COUNT];     /* dense peak; 0: not there */
    enum tr_grade flop_grade[TR_RATE_COUNT]; /* of it and of the memory's bandwidth, whichever is the worse */
    struct tr_gemm_rates gemm[TR_FIT_FORMATS];
    struct tr_attention_rates attention[TR_FIT_ATTENTIONS];
    double link_bytes_s;              /* per direction, of the chip's own links; without them of its slot (PCIe); 0: none */
    struct tr_collective_rates collective[TR_COLLECTIVE_COUNT];
};

/* From the chip's data sheet and the catalog's fits. Faults of the fits' file: TR_BAD_INPUT with the place. */
TR_MUST_CHECK enum tr_status tr_rates_make(const struct tr_chip *chip, struct tr_rates *out, struct tr_err *err);

/* The facts of the catalog behind the fitted parameters, by index of tr_params; not known: the table's own value. `facts`
 * has room for TR_FIT_FIELDS_MAX. */
TR_MUST_CHECK enum tr_status tr_rates_facts(const struct tr_chip *chip, struct tr_fact *facts, struct tr_err *err);

/* One parameter: how files, the fit and explanations see it. */
struct tr_param {
    const char *path;  /* in the fits entry: "gemm.bf16.sustained" */
    enum tr_unit unit;
    size_t offset;     /* of the double in struct tr_rates */
    double fallback;   /* when no file says it */
    double min, max;
    const char *help;
};

const struct tr_param *tr_params(int *count);

/* Every entry of section fits belongs to a chip, and has keys of the table only, with right units and ranges. */
TR_MUST_CHECK enum tr_status tr_rates_check_all(const struct tr_catalog *catalog, struct tr_err *err);

#endif
