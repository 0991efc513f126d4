/* Sums that do not depend on order: of fp32 values (the loss over all tokens) and of their squares (the gradient norm).
 *
 * An fp32 number is a whole mantissa (< 2^24) times a power of two, its square a whole number below 2^48 times an even
 * power. One 128-bit bin for each of the 256 exponents adds these whole numbers without any rounding (2^79 additions
 * fit), so any split over threads, parts or ranks gives the same bins; the one rounding is in tr_exact_value, to
 * nearest even. Infinities and NaN are counted apart and make the result NaN.
 */
#ifndef TR_SILICON_OP_EXACT_H
#define TR_SILICON_OP_EXACT_H

#include <stdint.h>

__extension__ typedef __int128 tr_i128;

enum tr_exact_kind { TR_EXACT_VALUES, TR_EXACT_SQUARES };

struct tr_exact {
    enum tr_exact_kind kind;
    int64_t nonfinite;
    tr_i128 bin[256]; /* by exponent field; values are in units of 2^(e - 150), squares of 2^(2 e - 300), e >= 1 */
};

void tr_exact_clear(struct tr_exact *sum, enum tr_exact_kind kind);

/* Adds n values (or their squares, by the kind of the sum). */
void tr_exact_add(struct tr_exact *sum, const float *x, int64_t n);

/* sum += part; both of one kind. */
void tr_exact_merge(struct tr_exact *sum, const struct tr_exact *part);

/* The sum, rounded once to nearest even (overflow gives infinity, a nonfinite term NaN). */
double tr_exact_value(const struct tr_exact *sum);

#endif
