/* What the tests of logical widths share: whole operands, their shares, groupings of parts into owners, one hash.
 *
 * A grouping of W parts is W - 1 bits: bit i is set where an owner ends after part i. tr_next_owner walks the owners. A
 * hash gathers the results of an operation at every width; the same results must come out for every grouping, kernel
 * set, compiler and machine, and so the same hash (tests/silicon/kernel/contract_hashes.txt).
 */
#ifndef TR_TESTS_LIB_WIDTHS_H
#define TR_TESTS_LIB_WIDTHS_H

#include "base/sha256.h"
#include "silicon/kernel/kernel.h"

/* ---- arrays ----------------------------------------------------------------------------------------------------- */

enum { TR_ARRAYS_MAX = 256 };

/* Arrays of one test, 64-byte aligned, freed together. */
struct tr_arrays {
    void *at[TR_ARRAYS_MAX];
    int count;
};

void *tr_array_zeros(struct tr_arrays *arrays, int64_t bytes);
void *tr_array_random(struct tr_arrays *arrays, int64_t elements, enum tr_dtype type);
void tr_arrays_free(struct tr_arrays *arrays, int down_to); /* all but the first down_to */

/* Whole operands for `op`: inputs random (tokens below vocab, targets from -1), accumulators and outputs zero. Bit i of
 * absent: without operand i. The statistics of a norm are any numbers, but rstd is positive. */
void tr_make_operands(struct tr_arrays *arrays, const struct tr_op *op, uint32_t absent,
                      void *operand[TR_OP_OPERANDS_MAX]);

/* Runs op with workspace of its own. */
void tr_run_operands(const struct tr_kernel_set *set, const struct tr_op *op, void *const operand[TR_OP_OPERANDS_MAX]);

/* Kernel set number i of those that run here, "wide" among them; the reference is number 0. False after the last. */
bool tr_next_set(int i, const struct tr_kernel_set **set);

/* Columns [first, last) of `rows` rows of `width` elements, packed. */
void *tr_take_columns(struct tr_arrays *arrays, const void *from, enum tr_dtype type, int64_t rows, int64_t width,
                      struct tr_range columns);

/* ---- groupings -------------------------------------------------------------------------------------------------- */

/* The next owner after [.., last) of `width` parts; false at the end. Begin with {width, 0, 0}. */
bool tr_next_owner(uint32_t grouping, struct tr_parts *owner);

/* Groupings 0 (one owner) .. all (each part its own) of `width` parts that are worth running: all of few parts, some of
 * many. Start with 0; returns false after the last. */
bool tr_next_grouping(int width, uint32_t *grouping);
uint32_t tr_each_its_own(int width);

/* The roots of all owners of a grouping, from left to right. */
int tr_grouping_nodes(int width, uint32_t grouping, struct tr_range *node);

/* ---- hashes ----------------------------------------------------------------------------------------------------- */

struct tr_hash {
    struct tr_sha256 sum;
};

void tr_hash_start(struct tr_hash *hash);
void tr_hash_add(struct tr_hash *hash, const void *data, int64_t bytes);
void tr_hash_end(struct tr_hash *hash, char hex[TR_SHA256_HEX_BYTES]);

/* Prints "name type hash" and fails the test unless that line is in tests/silicon/kernel/contract_hashes.txt. */
void tr_hash_check(const char *name, const char *type, const char *hex);

#endif
