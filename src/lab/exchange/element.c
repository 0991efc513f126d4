#include "lab/exchange/element.h"

#include "silicon/op/dtype.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 32, HALF_BYTES = 2 };

static const struct {
    const char *name;
    int block, bytes;
} info[TR_ELEMENT_COUNT] = {
    [TR_ELEMENT_F32] = {"F32", 1, 4},
    [TR_ELEMENT_F16] = {"F16", 1, 2},
    [TR_ELEMENT_BF16] = {"BF16", 1, 2},
    [TR_ELEMENT_Q8_0] = {"Q8_0", BLOCK, HALF_BYTES + BLOCK},
    [TR_ELEMENT_Q4_0] = {"Q4_0", BLOCK, HALF_BYTES + BLOCK / 2},
    [TR_ELEMENT_Q4_1] = {"Q4_1", BLOCK, 2 * HALF_BYTES + BLOCK / 2},
};

const char *tr_element_name(enum tr_element type)
{
    TR_ASSERT((int)type >= 0 && type < TR_ELEMENT_COUNT);
    return info[type].name;
}

int64_t tr_element_block(enum tr_element type)
{
    TR_ASSERT((int)type >= 0 && type < TR_ELEMENT_COUNT);
    return info[type].block;
}

int64_t tr_element_block_bytes(enum tr_element type)
{
    TR_ASSERT((int)type >= 0 && type < TR_ELEMENT_COUNT);
    return info[type].bytes;
}

int64_t tr_element_row_bytes(enum tr_element type, int64_t n)
{
    TR_ASSERT(n % tr_element_block(type) == 0);
    return n / info[type].block * info[type].bytes;
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

static uint16_t load_half(const uint8_t *bytes)
{
    uint16_t half;
    memcpy(&half, bytes, sizeof half);
    return half;
}

static void decode_q8_0(const uint8_t *block, float *values)
{
    float d = tr_f32_from_f16(load_half(block));
    const int8_t *q = (const int8_t *)block + HALF_BYTES;
    for (int i = 0; i < BLOCK; i++)
        values[i] = d * (float)q[i];
}

static void decode_q4_0(const uint8_t *block, float *values)
{
    float d = tr_f32_from_f16(load_half(block));
    const uint8_t *q = block + HALF_BYTES;
    for (int i = 0; i < BLOCK / 2; i++) {
        values[i] = d * (float)((q[i] & 15) - 8);
        values[i + BLOCK / 2] = d * (float)((q[i] >> 4) - 8);
    }
}

static void decode_q4_1(const uint8_t *block, float *values)
{
    float d = tr_f32_from_f16(load_half(block)), m = tr_f32_from_f16(load_half(block + HALF_BYTES));
    const uint8_t *q = block + 2 * HALF_BYTES;
    for (int i = 0; i < BLOCK / 2; i++) {
        values[i] = fmaf(d, (float)(q[i] & 15), m);
        values[i + BLOCK / 2] = fmaf(d, (float)(q[i] >> 4), m);
    }
}

void tr_element_decode(enum tr_element type, const void *from, int64_t n, float *values)
{
    const uint8_t *bytes = from;
    TR_ASSERT(n % tr_element_block(type) == 0);
    if (type == TR_ELEMENT_F32) {
        memcpy(values, bytes, (size_t)n * sizeof *values);
        return;
    }
    for (int64_t i = 0; i < n; i += info[type].block, bytes += info[type].bytes) {
        switch (type) {
        case TR_ELEMENT_F16:
            values[i] = tr_f32_from_f16(load_half(bytes));
            break;
        case TR_ELEMENT_BF16:
            values[i] = tr_f32_from_bf16(load_half(bytes));
            break;
        case TR_ELEMENT_Q8_0:
            decode_q8_0(bytes, values + i);
            break;
        case TR_ELEMENT_Q4_0:
            decode_q4_0(bytes, values + i);
            break;
        default:
            decode_q4_1(bytes, values + i);
            break;
        }
    }
}

static void store_half(uint8_t *bytes, uint16_t half) { memcpy(bytes, &half, sizeof half); }

static void encode_q8_0(const float *values, uint8_t *block)
{
    float largest = 0.0f;
    for (int i = 0; i < BLOCK; i++)
        largest = fabsf(values[i]) > largest ? fabsf(values[i]) : largest;
    float d = largest / 127.0f, inverse = d > 0.0f ? 1.0f / d : 0.0f;
    store_half(block, tr_f16_from_f32(d));
    for (int i = 0; i < BLOCK; i++)
        ((int8_t *)block)[HALF_BYTES + i] = (int8_t)roundf(values[i] * inverse);
}

void tr_element_encode(enum tr_element type, const float *values, int64_t n, void *to)
{
    uint8_t *bytes = to;
    TR_ASSERT(n % tr_element_block(type) == 0 && type <= TR_ELEMENT_Q8_0);
    if (type == TR_ELEMENT_F32) {
        memcpy(bytes, values, (size_t)n * sizeof *values);
        return;
    }
    for (int64_t i = 0; i < n; i += info[type].block, bytes += info[type].bytes) {
        if (type == TR_ELEMENT_F16)
            store_half(bytes, tr_f16_from_f32(values[i]));
        else if (type == TR_ELEMENT_BF16)
            store_half(bytes, tr_bf16_from_f32(values[i]));
        else
            encode_q8_0(values + i, bytes);
    }
}
