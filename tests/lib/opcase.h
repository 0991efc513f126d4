/* The one list of cases that every operation is proved on, and operands to run them with.
 *
 * tr_opcases gives the cases of a kind: shapes with every kind of tail, flags, segments, logical parts, positions, edge
 * values; each for fp32 and bf16. Bits (test_ops), truth (test_truth) and gradients (test_grad) are checked on this
 * list, so a shape that once went wrong is added here, once.
 *
 * tr_opdata holds the operands of one case: allocated by tr_op_operand_shape, 64-byte aligned, each between two guard
 * zones (poisoned under AddressSanitizer, so that reads are caught as well), filled by a deterministic random function.
 * Outputs and the workspace begin as garbage that differs between two data sets of one case ("salt"), so that an
 * element that is not written, or is read before it is written, shows.
 *
 * Running out of memory aborts: this is a test.
 */
#ifndef TR_TESTS_LIB_OPCASE_H
#define TR_TESTS_LIB_OPCASE_H

#include "silicon/kernel/kernel.h"
#include "silicon/op/exact.h"

#include <stddef.h>

enum tr_fill {
    TR_FILL_NORMAL, /* about -1 .. 1 */
    TR_FILL_EDGE,   /* zeros of both signs, subnormals, the least normal, ones, a few large ones */
    TR_FILL_LARGE,  /* about -1000 .. 1000 */
    TR_FILL_SPECIAL, /* as NORMAL, but one in fifty infinite, NaN, as large as can be, or zero */
    TR_FILL_COUNT
};

struct tr_opcase {
    struct tr_op op;
    uint32_t absent;  /* bit i: optional operand i is not there (those without a shape never are) */
    int64_t position; /* tr_step_values.position */
    enum tr_fill fill;
    bool no_targets; /* HEAD: every target is -1 */
    float clip_norm; /* CLIP */
};

/* The cases of a kind; they live for ever. Returns how many. */
int tr_opcases(enum tr_op_kind kind, const struct tr_opcase **cases);

/* A case of the kind by chance, a function of the seed, that the reference does in some milliseconds. For LINEAR*, ATTN*, HEAD,
 * LOSS, NORM*, what takes `width` elements a token, and what takes `count`. */
void tr_opcase_random(struct tr_opcase *test, enum tr_op_kind kind, uint64_t seed);

enum { TR_OPCASE_NAME_BYTES = 256 };

/* "linear bf16 seqs 2 x 65 in 33 out 17 ...": what is needed to find the case again. Returns name. */
const char *tr_opcase_name(const struct tr_opcase *test, char name[TR_OPCASE_NAME_BYTES]);

/* Bit i: operand i is there. As tr_op_work wants it. */
uint32_t tr_opcase_present(const struct tr_opcase *test);

/* Multiply-adds of the case, to choose cases by cost. */
int64_t tr_opcase_cost(const struct tr_opcase *test);

struct tr_guarded {
    unsigned char *block;
    void *data;    /* NULL: not there */
    int64_t bytes; /* of data */
    int64_t room;  /* of block */
};

void tr_guarded_make(struct tr_guarded *zone, int64_t bytes);
void tr_guarded_free(struct tr_guarded *zone);
bool tr_guarded_intact(const struct tr_guarded *zone);

struct tr_opdata {
    const struct tr_opcase *test;
    struct tr_guarded operand[TR_OP_OPERANDS_MAX];
    struct tr_step_values values; /* its sums point into this struct */
    struct tr_exact loss_sum, grad_sq;
    struct tr_count count;
};

/* Operands of `test`; the inputs depend on the case alone, garbage in outputs on `salt`. */
void tr_opdata_make(struct tr_opdata *data, const struct tr_opcase *test, unsigned char salt);
void tr_opdata_free(struct tr_opdata *data);

/* A copy of `source` as tr_opdata_make made it, with other garbage in outputs. */
void tr_opdata_clone(struct tr_opdata *data, const struct tr_opdata *source, unsigned char salt);

/* A call on these operands without workspace; the caller sets it. Clears the counters. */
struct tr_call tr_opdata_call(struct tr_opdata *data, int threads);

/* Runs the operation with a workspace of its own and asserts that the workspace's guards hold. */
void tr_opdata_run(struct tr_opdata *data, const struct tr_kernel_set *set, int threads);

/* Whether all guards hold; if not, *operand is the index of the first that does not. */
bool tr_opdata_intact(const struct tr_opdata *data, int *operand);

/* Whether element `index` of operand i is equal in both to the bit; NaN equals NaN (payloads are not promised). */
bool tr_operand_same(const struct tr_opdata *a, const struct tr_opdata *b, int i, int64_t *index);

/* Deterministic numbers: a pure function of (stream, index). Uniform bits; about normal in -1 .. 1. */
uint64_t tr_test_bits(uint64_t stream, uint64_t index);
double tr_test_value(uint64_t stream, uint64_t index);

/* The operand `start` of TR_OP_APART for sequences whose first token stands at `position`: some are one document, some many
 * short ones, some begin documents where key blocks begin. */
void tr_test_starts(int32_t *start, int64_t seqs, int64_t seq_len, int64_t position, uint64_t stream);

/* Fills n elements of `type` (f32 or bf16) with random values. */
void tr_test_fill(void *data, enum tr_dtype type, int64_t n, enum tr_fill fill, uint64_t stream);

#endif
