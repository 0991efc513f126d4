/* Whole numbers from outside, without overflow. No raw `*` or `+` is used on a number that a file, a user or a
 * request gave: these return false instead of a wrong value, and leave *out untouched then.
 * Sizes and counts are int64_t throughout trine (the largest tensor of a 405B model has 2^32 elements). */
#ifndef TR_BASE_NUM_H
#define TR_BASE_NUM_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

TR_MUST_CHECK static inline bool tr_add_i64(int64_t a, int64_t b, int64_t *out)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

TR_MUST_CHECK static inline bool tr_mul_i64(int64_t a, int64_t b, int64_t *out)
{
    int64_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

/* For numbers that are ours and already bounded: rounding helpers, asserted. */
static inline int64_t tr_ceil_div(int64_t a, int64_t b)
{
    TR_ASSERT(a >= 0 && b > 0);
    return a / b + (a % b != 0);
}

static inline int64_t tr_round_up(int64_t a, int64_t multiple)
{
    return tr_ceil_div(a, multiple) * multiple;
}

/* The unsigned number in so many bytes, 1 to 8, the lowest first. */
static inline uint64_t tr_get_le(const uint8_t *at, int bytes)
{
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

static inline int64_t tr_min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t tr_max_i64(int64_t a, int64_t b) { return a > b ? a : b; }

/* For qsort of doubles that are numbers, lowest first. */
static inline int tr_ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

#endif
