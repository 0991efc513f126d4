/* Number types of tensors in files of others, a row at a time: to fp32 and back.
 *
 *     F32 F16 BF16     one number an element; to fp32 exactly, from fp32 rounded to nearest even
 *     Q8_0             blocks of 32: an F16 scale d and 32 int8 q; x = d q
 *     Q4_0             blocks of 32: an F16 scale d and 32 4-bit q, the low halves first; x = d (q - 8)
 *     Q4_1             blocks of 32: F16 d and m, and the same q; x = fma(d, q, m)
 *
 * Writing Q8_0: d = max |x| / 127 rounded to F16, q = x / d (in fp32, the unrounded d) to nearest, ties away from zero,
 * as ggml's reference does. |x - d q| is at most d / 2, and 2^-11 of |x| for the rounding of d. */
#ifndef TR_LAB_EXCHANGE_ELEMENT_H
#define TR_LAB_EXCHANGE_ELEMENT_H

#include "base/err.h"

#include <stdint.h>

enum tr_element { TR_ELEMENT_F32, TR_ELEMENT_F16, TR_ELEMENT_BF16, TR_ELEMENT_Q8_0, TR_ELEMENT_Q4_0, TR_ELEMENT_Q4_1,
                  TR_ELEMENT_COUNT };

/* "F32", ..., "Q4_1" */
const char *tr_element_name(enum tr_element type);

/* Elements of a block (1 or 32) and its bytes. A row is whole blocks. */
int64_t tr_element_block(enum tr_element type);
int64_t tr_element_block_bytes(enum tr_element type);

/* Bytes of a row of n elements; n must be whole blocks. */
int64_t tr_element_row_bytes(enum tr_element type, int64_t n);

/* n elements, whole blocks; bytes need no alignment. */
void tr_element_decode(enum tr_element type, const void *bytes, int64_t n, float *values);

/* F32, F16, BF16, Q8_0. */
void tr_element_encode(enum tr_element type, const float *values, int64_t n, void *bytes);

#endif
