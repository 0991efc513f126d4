/* What follows from a chip's data sheet by arithmetic alone.
 *
 *     tr_chip_ridge(&chip, TR_RATE_BF16, TR_LEVEL_MEMORY)      295 FLOP a byte: below it, memory is what holds a kernel up
 *     struct tr_export export;
 *     tr_export_derive(&chip, &export);
 *     export.tpp                                               15,832
 *     tr_export_verdict(&export, TR_EXPORT_2023, &verdict)     "3A090.a", and the sentence of its arithmetic
 */
#ifndef TR_SILICON_CHIP_DERIVE_H
#define TR_SILICON_CHIP_DERIVE_H

#include "silicon/chip/chip.h"

/* --- ridge points --- */

enum tr_level {
    TR_LEVEL_MEMORY,
    TR_LEVEL_LINKS, /* to the chips of its domain, all links together */
    TR_LEVEL_HOST,
    TR_LEVEL_COUNT
};

const char *tr_level_name(enum tr_level level); /* "memory", "links", "host" */

/* Operations for each byte of that level at which both take the same time; its inverse is bytes per FLOP. NAN when
 * either rate is not known. */
double tr_chip_ridge(const struct tr_chip *chip, enum tr_rate rate, enum tr_level level);

/* --- export rules of the United States (ECCN 3A090): arithmetic, NOT LEGAL ADVICE ---
 *
 * TPP (total processing performance): dense operations a second, in units of 1e12, times the bits of the operation, the
 * largest over number types of 16, 8 and 4 bits. (TF32 and fp32 stand apart, as in published lists: the bit length of
 * TF32 is disputed. fp6 is left out for the same reason, and `tpp_fp6` has it.) Performance density: TPP / mm2 of logic
 * dies on FinFET or later processes. */
struct tr_export {
    double tpp;
    enum tr_rate tpp_rate;  /* of which it is */
    double tpp_fp6;         /* what fp6 would count; 0: the chip has none */
    double density;         /* NAN: the area of its dies is not known */
    double io_bytes_s;      /* both directions, links and host, without memory; 0: none is known */
    double memory_bytes_s;
    bool datacenter;        /* designed or marketed for data centres */
    bool announced;
};

void tr_export_derive(const struct tr_chip *chip, struct tr_export *out);

enum tr_export_rule {
    TR_EXPORT_2022,      /* 7 October 2022 */
    TR_EXPORT_2023,      /* 17 November 2023 */
    TR_EXPORT_HBM,       /* 2 December 2024: stacks of memory by themselves */
    TR_EXPORT_DIFFUSION, /* 15 January 2025, not enforced from 13 May 2025 */
    TR_EXPORT_H20,       /* letter of April 2025 */
    TR_EXPORT_TARIFF,    /* 14 January 2026 */
    TR_EXPORT_2026,      /* 15 January 2026 */
    TR_EXPORT_RULES
};

struct tr_export_rule_info {
    const char *date;  /* from when; ISO */
    const char *until; /* NULL: in force, as far as the sources of 2026-08 say */
    const char *cite;
    const char *says;  /* one sentence */
};

const struct tr_export_rule_info *tr_export_rule_info(enum tr_export_rule rule);

enum { TR_EXPORT_WHY_BYTES = 200 };

struct tr_export_verdict {
    const char *class;              /* a fixed word or two: "controlled", "3A090.a", "not 3A090", "undetermined" ... */
    char why[TR_EXPORT_WHY_BYTES];  /* the numbers that it is made of */
};

void tr_export_verdict(const struct tr_export *export, enum tr_export_rule rule, struct tr_export_verdict *out);

#endif
