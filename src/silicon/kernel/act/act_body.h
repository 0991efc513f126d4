/* The element-wise activations in vector words: fn.h, lane by lane. Threads take equal pieces of whole vectors. */
#ifndef TR_SILICON_KERNEL_ACT_BODY_H
#define TR_SILICON_KERNEL_ACT_BODY_H

#include "base/num.h"
#include "silicon/kernel/act/act.h"
#include "silicon/kernel/simd.h"

enum { ACT_PIECE = 4096 }; /* elements that a thread takes at a time */

static int64_t act_elements(const struct tr_op *op)
{
    TR_ASSERT(op->act == TR_F32);
    return op->seqs * op->seq_len * op->width;
}

static void gelu_piece(const float *x, float *y, int64_t n)
{
    int64_t i = 0;
    for (; i + TR_VLEN <= n; i += TR_VLEN)
        v_store(y + i, v_gelu(v_load(x + i)));
    if (i < n)
        v_storen(y + i, v_gelu(v_loadn(x + i, n - i)), n - i);
}

static void gelu_bwd_piece(const float *x, const float *dy, float *dx, int64_t n)
{
    int64_t i = 0;
    for (; i + TR_VLEN <= n; i += TR_VLEN)
        v_store(dx + i, v_mul(v_load(dy + i), v_gelu_slope(v_load(x + i))));
    if (i < n)
        v_storen(dx + i, v_mul(v_loadn(dy + i, n - i), v_gelu_slope(v_loadn(x + i, n - i))), n - i);
}

static void swiglu_piece(const float *gate, const float *up, float *y, int64_t n)
{
    int64_t i = 0;
    for (; i + TR_VLEN <= n; i += TR_VLEN)
        v_store(y + i, v_mul(v_silu(v_load(gate + i)), v_load(up + i)));
    if (i < n)
        v_storen(y + i, v_mul(v_silu(v_loadn(gate + i, n - i)), v_loadn(up + i, n - i)), n - i);
}

static inline void swiglu_bwd_vector(tr_v gate, tr_v up, tr_v dy, tr_v *dgate, tr_v *dup)
{
    *dgate = v_mul(v_mul(dy, up), v_silu_slope(gate));
    *dup = v_mul(dy, v_silu(gate));
}

static void swiglu_bwd_piece(const float *gate, const float *up, const float *dy, float *dgate, float *dup, int64_t n)
{
    int64_t i = 0;
    tr_v a, b;
    for (; i + TR_VLEN <= n; i += TR_VLEN) {
        swiglu_bwd_vector(v_load(gate + i), v_load(up + i), v_load(dy + i), &a, &b);
        v_store(dgate + i, a);
        v_store(dup + i, b);
    }
    if (i < n) {
        swiglu_bwd_vector(v_loadn(gate + i, n - i), v_loadn(up + i, n - i), v_loadn(dy + i, n - i), &a, &b);
        v_storen(dgate + i, a, n - i);
        v_storen(dup + i, b, n - i);
    }
}

void TR_SIMD_NAME(tr_gelu)(const struct tr_call *call)
{
    const float *x = call->operand[TR_GELU_X];
    float *y = call->operand[TR_GELU_Y];
    int64_t total = act_elements(call->op);
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < total; i += ACT_PIECE) {
        int64_t n = tr_min_i64(ACT_PIECE, total - i);
        gelu_piece(x + i, y + i, n);
        tr_count_add(call->count, 0, 4 * n, 4 * n);
    }
}

void TR_SIMD_NAME(tr_gelu_bwd)(const struct tr_call *call)
{
    const float *x = call->operand[TR_GELU_BWD_X], *dy = call->operand[TR_GELU_BWD_DY];
    float *dx = call->operand[TR_GELU_BWD_DX];
    int64_t total = act_elements(call->op);
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < total; i += ACT_PIECE) {
        int64_t n = tr_min_i64(ACT_PIECE, total - i);
        gelu_bwd_piece(x + i, dy + i, dx + i, n);
        tr_count_add(call->count, 0, 8 * n, 4 * n);
    }
}

void TR_SIMD_NAME(tr_swiglu)(const struct tr_call *call)
{
    const float *gate = call->operand[TR_SWIGLU_GATE], *up = call->operand[TR_SWIGLU_UP];
    float *y = call->operand[TR_SWIGLU_Y];
    int64_t total = act_elements(call->op);
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < total; i += ACT_PIECE) {
        int64_t n = tr_min_i64(ACT_PIECE, total - i);
        swiglu_piece(gate + i, up + i, y + i, n);
        tr_count_add(call->count, 0, 8 * n, 4 * n);
    }
}

void TR_SIMD_NAME(tr_swiglu_bwd)(const struct tr_call *call)
{
    const float *gate = call->operand[TR_SWIGLU_BWD_GATE], *up = call->operand[TR_SWIGLU_BWD_UP];
    const float *dy = call->operand[TR_SWIGLU_BWD_DY];
    float *dgate = call->operand[TR_SWIGLU_BWD_DGATE], *dup = call->operand[TR_SWIGLU_BWD_DUP];
    int64_t total = act_elements(call->op);
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < total; i += ACT_PIECE) {
        int64_t n = tr_min_i64(ACT_PIECE, total - i);
        swiglu_bwd_piece(gate + i, up + i, dy + i, dgate + i, dup + i, n);
        tr_count_add(call->count, 0, 12 * n, 8 * n);
    }
}

#endif
