/* What a chip reaches, besides what its data sheet says: parameters of cost models, fitted to measurements. Which there
 * are, the models say (a table of fields each); where they stand is said here:
 *
 *     fits:
 *       h100-sxm:                      the chip's own id
 *         source: gemm-measurements
 *         gemm: {launch: 2.7us, ...}
 *       gb200: {like: b200}
 *
 * A parameter that a chip does not have is that of the chip it is like; its grade is then `transferred`. */
#ifndef TR_SILICON_CHIP_FIT_H
#define TR_SILICON_CHIP_FIT_H

#include "silicon/catalog/catalog.h"

enum { TR_FIT_FIELDS_MAX = 512 };

/* Reads the parameters of a chip (its entry of section chips) into *target, field by field; all are TR_FIELD_FACT.
 * Those that nobody has stay as they are. */
TR_MUST_CHECK enum tr_status tr_fit_read(const struct tr_entry *chip, const struct tr_field *fields, int count,
                                         void *target, struct tr_err *err);

/* Every entry of section fits belongs to a chip, and has keys of the table only, with right units and ranges. */
TR_MUST_CHECK enum tr_status tr_fit_check_all(const struct tr_catalog *catalog, const struct tr_field *fields, int count,
                                              struct tr_err *err);

#endif
