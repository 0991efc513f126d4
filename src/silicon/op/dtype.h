/* Number types of tensors, and how trine rounds to 16 bits. */
#ifndef TR_SILICON_OP_DTYPE_H
#define TR_SILICON_OP_DTYPE_H

#include "base/err.h"

#include <stdint.h>
#include <string.h>

/* TR_INT8 and TR_INT4 are weights in blocks (panel.h), which lie in operands of TR_BYTE. */
enum tr_dtype { TR_F32, TR_BF16, TR_I32, TR_BYTE, TR_INT8, TR_INT4, TR_DTYPE_COUNT };

static inline int64_t tr_dtype_bytes(enum tr_dtype type)
{
    static const int64_t bytes[TR_DTYPE_COUNT] = {[TR_F32] = 4, [TR_BF16] = 2, [TR_I32] = 4, [TR_BYTE] = 1};
    TR_ASSERT((int)type >= 0 && type < TR_INT8);
    return bytes[type];
}

/* "f32", "bf16", "i32", "byte", "int8", "int4" */
const char *tr_dtype_name(enum tr_dtype type);

static inline uint32_t tr_f32_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float tr_f32_from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

typedef uint16_t tr_bf16; /* the upper half of an fp32: 1 sign, 8 exponent, 7 mantissa bits */

static inline float tr_f32_from_bf16(tr_bf16 x) { return tr_f32_from_bits((uint32_t)x << 16); }

/* Round to nearest even, as vcvtneps2bf16 does but for subnormals, which are kept here; NaN becomes a quiet NaN. */
static inline tr_bf16 tr_bf16_from_f32(float x)
{
    uint32_t bits = tr_f32_bits(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (tr_bf16)((bits >> 16) | 0x0040u);
    return (tr_bf16)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

/* Half precision: 1 sign, 5 exponent, 10 mantissa bits. */
static inline float tr_f32_from_f16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = half >> 10 & 31u, mantissa = half & 0x3ffu;
    if (exponent == 31)
        return tr_f32_from_bits(sign | 0x7f800000u | mantissa << 13);
    if (exponent > 0)
        return tr_f32_from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
    float magnitude = (float)mantissa * 0x1p-24f; /* subnormal: exact */
    return sign ? -magnitude : magnitude;
}

/* Nearest even; too large becomes infinity, NaN a quiet NaN. */
static inline uint16_t tr_f16_from_f32(float x)
{
    uint32_t bits = tr_f32_bits(x), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u) /* 65520: half way to what would be 2^16 */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) { /* below 2^-14: a multiple of 2^-24, the adder of 0.5 rounds to nearest even */
        float shifted = tr_f32_from_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (tr_f32_bits(shifted) - 0x3f000000u));
    }
    uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
    return (uint16_t)(sign | (rounded - 0x38000000u) >> 13);
}

/* One element of a tensor of type f32 or bf16, read as fp32. Storing rounds once, here. */
static inline float tr_load(const void *tensor, enum tr_dtype type, int64_t index)
{
    if (type == TR_F32)
        return ((const float *)tensor)[index];
    TR_ASSERT(type == TR_BF16);
    return tr_f32_from_bf16(((const tr_bf16 *)tensor)[index]);
}

static inline void tr_store(void *tensor, enum tr_dtype type, int64_t index, float value)
{
    if (type == TR_F32)
        ((float *)tensor)[index] = value;
    else {
        TR_ASSERT(type == TR_BF16);
        ((tr_bf16 *)tensor)[index] = tr_bf16_from_f32(value);
    }
}

#endif
