/* What the chips that programs run on can do: rates that predictions and shares of peak are made of.
 *
 *     chip.h    a chip as the catalog has it: its data sheet
 *     fit.h     what it was seen to reach
 *     link.h    kinds of links and topologies
 *     derive.h  what follows from a data sheet: ridge points, bytes per FLOP, class under the export rules
 *     peak.h    the peak of fused multiply-adds of this processor, measured
 *
 *     struct tr_chip chip;
 *     tr_chip_find(catalog, "h100", &chip, err)
 *     chip.rate_flop_s[TR_RATE_BF16].value     989.5e12, of one chip, dense
 *     chip.memory_bytes_s.source->title
 *
 * A rate is in its unit's name (_flop_s, _bytes_s). Those of struct tr_chip are of one chip as programs see it: one
 * package of a GPU (B200: two dies, one chip; MI250X: two chips as software sees them, one here), one TPU chip.
 * Numbers that are not known have tr_known(...) false; those that a chip must have are said below. */
#ifndef TR_SILICON_CHIP_CHIP_H
#define TR_SILICON_CHIP_CHIP_H

#include "silicon/catalog/catalog.h"
#include "silicon/chip/fit.h"
#include "silicon/chip/link.h"
#include "silicon/chip/peak.h"

/* Number types of matrix products, by what is multiplied; sums are fp32 (int32 for int8). Block formats have the rate
 * of their elements: MXFP8 that of fp8, MXFP4 and NVFP4 that of fp4. */
enum tr_rate {
    TR_RATE_FP64,
    TR_RATE_FP32, /* vector units, where there are no matrix units for it */
    TR_RATE_TF32,
    TR_RATE_BF16,
    TR_RATE_FP16,
    TR_RATE_FP8,
    TR_RATE_FP6,
    TR_RATE_FP4,
    TR_RATE_INT8,
    TR_RATE_COUNT
};

enum tr_market { TR_MARKET_DATACENTER, TR_MARKET_CONSUMER };

struct tr_chip {
    const char *id, *name;   /* "h100-sxm", "NVIDIA H100 SXM5 80GB" */
    const char *vendor;      /* "NVIDIA" */
    const char *process;     /* "TSMC 4N"; "" when not known */
    const char *memory_type; /* "HBM3"; "" when not known */
    const char *note;        /* NULL: none */
    const struct tr_entry *entry;
    int market;              /* enum tr_market */
    bool announced;          /* not sold yet: its numbers are promises */
    int64_t year;            /* of launch */

    /* Always known: the memory, its bandwidth, and at least one rate. */
    struct tr_fact rate_flop_s[TR_RATE_COUNT]; /* dense, never sparse; int8 counts operations */
    struct tr_fact memory_bytes;               /* as sold. Makers write GB and mean 2^30 (chips.yaml says where) */
    struct tr_fact memory_visible_bytes;       /* what the driver reports: less than sold; else not known */
    struct tr_fact memory_bytes_s;

    struct tr_fact die_mm2;  /* logic dies, all of a package: what performance density divides by */
    struct tr_fact tdp_w;
    struct tr_fact l2_bytes; /* the last cache that all cores share */
    struct tr_fact cores;    /* SMs, CUs, TensorCores, TPCs */
    struct tr_fact clock_hz; /* at which the rates hold: boost */
    struct tr_fact exponentials; /* of a core in a clock, by its special function units */
    struct tr_fact array_side; /* of its systolic arrays: a factor's side that is shorter leaves the rest of the array idle */
    struct tr_fact price_usd; /* of one, at launch */

    int scaleup_kind;             /* enum tr_link_kind */
    const char *scaleup_name;     /* "NVLink 4" */
    struct tr_fact scaleup_bytes_s; /* per direction and chip, over all its links */
    struct tr_fact scaleup_domain;  /* chips that it can join */
    const char *host_name;        /* "PCIe 5.0 x16" */
    struct tr_fact host_bytes_s;  /* per direction and chip */
};

/* The keys of a chip's entry, for tables and docs; facts are at their offsets in struct tr_chip. */
const struct tr_field *tr_chip_fields(int *count);

const char *tr_rate_name(enum tr_rate rate); /* "bf16", as in files */
int tr_rate_bits(enum tr_rate rate);         /* of an element: 16; TF32 counts as 32 in memory */

/* By id or alias ("h100", "A100-SXM"). Unknown, or an error in its entry: TR_BAD_INPUT. */
TR_MUST_CHECK enum tr_status tr_chip_find(const struct tr_catalog *catalog, const char *name, struct tr_chip *out,
                                          struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_chip_read(const struct tr_entry *entry, struct tr_chip *out, struct tr_err *err);
/* Reads each chip of the catalog: what is wrong with any is said. */
TR_MUST_CHECK enum tr_status tr_chip_check_all(const struct tr_catalog *catalog, struct tr_err *err);

#endif
