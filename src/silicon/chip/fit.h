/* What a chip reaches, besides what its data sheet says: the parameters of the cost model (silicon/cost), fitted to
 * measurements, by name. The list below is all there is: a row here is a key that files may have in
 *
 *     fits:
 *       h100-sxm:                      the chip's id
 *         source: gemm-measurements
 *         gemm: {launch: 2.7us, ...}
 *
 * A chip that has no parameter of its own takes that of the chip it is like; its grade is then `transferred`. */
#ifndef TR_SILICON_CHIP_FIT_H
#define TR_SILICON_CHIP_FIT_H

#include "silicon/catalog/catalog.h"

enum tr_fit_key {
    TR_FIT_GEMM_LAUNCH,
    TR_FIT_GEMM_MEMORY_SHARE,
    TR_FIT_COUNT
};

struct tr_fit_info {
    const char *path; /* "gemm.launch" */
    enum tr_unit unit;
    double min, max;
    const char *help;
};

extern const struct tr_fit_info tr_fit_infos[TR_FIT_COUNT];

/* Reads the parameters of a chip's entry (of section chips). Those that nobody has stay as they are. */
TR_MUST_CHECK enum tr_status tr_fit_read(const struct tr_entry *chip, struct tr_fact fit[TR_FIT_COUNT],
                                         struct tr_err *err);

/* Every entry of section fits belongs to a chip. */
TR_MUST_CHECK enum tr_status tr_fit_check_all(const struct tr_catalog *catalog, struct tr_err *err);

#endif
