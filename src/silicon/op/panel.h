/* Weights in panels: how LINEAR_PACKED reads them. A weight w [out, in] lies in panels of 32 outputs, one after the other;
 * in a panel the axis `in` is slow and outputs are fast, so that one vector holds a step of 16 chains and a product of one
 * row reads memory straight through. Outputs past the last are +0 everywhere.
 *
 *     f32    [in][32] numbers
 *     bf16   [ceil(in / 2)][32] words: the pair (even, odd) of a chain, the even one in the low half; a missing odd one is 0
 *     int8   [ceil(in / 32)] blocks: 32 scales d (F16), then [8][32][4] bytes: quad g of an output has q + 128 of its
 *            elements 4 g .. 4 g + 3 of the block. w = d q, -127 <= q <= 127. 8.5 bits a weight, as GGUF's Q8_0
 *     int4   [ceil(in / 32)] blocks: 32 scales d (F16), then [4][32][4] bytes: byte j of quad g has q + 8 of element 4 g + j
 *            in its low half, of element 16 + 4 g + j in its high half. w = d q, -8 <= q <= 7. 4.5 bits, as GGUF's Q4_0
 *
 * Elements past `in` have q = 0.
 *
 * How PACK rounds (docs/contract.md, row pack): bf16 to nearest even. int8: d = F16(max |w| / 127), q = w / d to nearest.
 * int4: d from a few candidates, the one with the least squared error; the first of them is that of Q4_0. What was in
 * blocks of Q8_0 or Q4_0 before, as their writers make them (the largest number of a block is 127 d or -8 d), comes out as
 * it was. The relative error of int8 is some 0.5 %, of int4 some 8 % of normally distributed weights (root mean square).
 */
#ifndef TR_SILICON_OP_PANEL_H
#define TR_SILICON_OP_PANEL_H

#include "silicon/op/dtype.h"

#include <stdbool.h>

enum { TR_PANEL = 32, TR_QUANT = 32 }; /* outputs of a panel; elements of a block along `in` */
enum { TR_INT8_BLOCK_BYTES = TR_PANEL * (2 + TR_QUANT), TR_INT4_BLOCK_BYTES = TR_PANEL * (2 + TR_QUANT / 2) };

static inline int64_t tr_panels(int64_t out) { return (out + TR_PANEL - 1) / TR_PANEL; }

static inline int64_t tr_quant_blocks(int64_t in) { return (in + TR_QUANT - 1) / TR_QUANT; }

static inline bool tr_is_quantized(enum tr_dtype type) { return type == TR_INT8 || type == TR_INT4; }

/* Bytes of one panel. */
static inline int64_t tr_panel_bytes(enum tr_dtype type, int64_t in)
{
    switch (type) {
    case TR_F32:
        return in * TR_PANEL * 4;
    case TR_BF16:
        return (in + 1) / 2 * TR_PANEL * 4;
    case TR_INT8:
        return tr_quant_blocks(in) * TR_INT8_BLOCK_BYTES;
    default:
        TR_ASSERT(type == TR_INT4);
        return tr_quant_blocks(in) * TR_INT4_BLOCK_BYTES;
    }
}

static inline int64_t tr_panels_bytes(enum tr_dtype type, int64_t out, int64_t in)
{
    return tr_panels(out) * tr_panel_bytes(type, in);
}

/* ---- activations for int8 and int4 ------------------------------------------------------------------------------- */

/* A block of 32 activations of one token: x is about d q. */
struct tr_quant_x {
    int8_t q[TR_QUANT];
    float d;
    int32_t sum; /* of q */
};

/* As much smaller than 1 that its products with weights are nothing: such a block counts as zeros. */
#define TR_QUANT_LEAST 0x1p-100f

static inline float tr_quant_clamp(float x, float most)
{
    float low = x > -most ? x : -most; /* NaN: -most */
    return low < most ? low : most;
}

/* Nearest whole number, ties to even, of |x| < 2^21. */
static inline int32_t tr_quant_round(float x)
{
    return (int32_t)tr_f32_bits(x + 0x1.8p23f) - 0x4b400000;
}

/* n <= 32 numbers; those that are missing count as 0. d = max |x| / 127, q = x (127 / max |x|) to nearest even. A NaN
 * or an infinity among them makes d one, and so every product. */
static inline void tr_quantize_x(struct tr_quant_x *block, const float *x, int64_t n)
{
    float padded[TR_QUANT] = {0};
    uint32_t most = 0;
    for (int64_t i = 0; i < n; i++)
        padded[i] = x[i];
    for (int i = 0; i < TR_QUANT; i++) {
        uint32_t bits = tr_f32_bits(padded[i]) & 0x7fffffffu;
        most = bits > most ? bits : most;
    }
    float largest = tr_f32_from_bits(most);
    bool nothing = largest < TR_QUANT_LEAST;
    float scale = nothing ? 0.0f : 127.0f / largest;
    int32_t sum = 0;
    for (int i = 0; i < TR_QUANT; i++) {
        int32_t q = tr_quant_round(tr_quant_clamp(padded[i] * scale, 127.0f));
        block->q[i] = (int8_t)q;
        sum += q;
    }
    block->d = nothing ? 0.0f : largest / 127.0f;
    block->sum = sum;
}

#endif
