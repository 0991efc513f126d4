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

enum { ACT_VECS = V_TOGETHER, ACT_STEP = ACT_VECS * TR_VLEN };

/* ACT_VECS vectors of which n elements are there. */
static inline void act_load(tr_v *v, const float *p, int64_t n)
{
    for (int i = 0; i < ACT_VECS; i++)
        v[i] = n >= ACT_STEP ? v_load(p + i * TR_VLEN)
                             : v_loadn(p + i * TR_VLEN, tr_min_i64(TR_VLEN, tr_max_i64(0, n - i * TR_VLEN)));
}

static inline void act_store(float *p, const tr_v *v, int64_t n)
{
    for (int i = 0; i < ACT_VECS; i++) {
        if (n >= ACT_STEP)
            v_store(p + i * TR_VLEN, v[i]);
        else
            v_storen(p + i * TR_VLEN, v[i], tr_min_i64(TR_VLEN, tr_max_i64(0, n - i * TR_VLEN)));
    }
}

static void gelu_piece(const float *x, float *y, int64_t n)
{
    for (int64_t at = 0; at < n; at += ACT_STEP) {
        tr_v v[ACT_VECS];
        act_load(v, x + at, n - at);
        v_gelus(v, ACT_VECS);
        act_store(y + at, v, n - at);
    }
}

static void gelu_bwd_piece(const float *x, const float *dy, float *dx, int64_t n)
{
    for (int64_t at = 0; at < n; at += ACT_STEP) {
        tr_v v[ACT_VECS], grad[ACT_VECS];
        act_load(v, x + at, n - at);
        v_gelu_slopes(v, ACT_VECS);
        act_load(grad, dy + at, n - at);
        for (int i = 0; i < ACT_VECS; i++)
            v[i] = v_mul(grad[i], v[i]);
        act_store(dx + at, v, n - at);
    }
}

static void swiglu_piece(const float *gate, const float *up, float *y, int64_t n)
{
    for (int64_t at = 0; at < n; at += ACT_STEP) {
        tr_v g[ACT_VECS], s[ACT_VECS], u[ACT_VECS];
        act_load(s, gate + at, n - at);
        v_sigmoids(s, ACT_VECS);
        act_load(g, gate + at, n - at);
        act_load(u, up + at, n - at);
        for (int i = 0; i < ACT_VECS; i++)
            u[i] = v_mul(v_silu_of(g[i], s[i]), u[i]);
        act_store(y + at, u, n - at);
    }
}

static void swiglu_bwd_piece(const float *gate, const float *up, const float *dy, float *dgate, float *dup, int64_t n)
{
    for (int64_t at = 0; at < n; at += ACT_STEP) {
        tr_v g[ACT_VECS], s[ACT_VECS], u[ACT_VECS], grad[ACT_VECS];
        act_load(s, gate + at, n - at);
        v_sigmoids(s, ACT_VECS);
        act_load(g, gate + at, n - at);
        act_load(u, up + at, n - at);
        act_load(grad, dy + at, n - at);
        for (int i = 0; i < ACT_VECS; i++) {
            u[i] = v_mul(v_mul(grad[i], u[i]), v_silu_slope_of(g[i], s[i]));
            grad[i] = v_mul(grad[i], v_silu_of(g[i], s[i]));
        }
        act_store(dgate + at, u, n - at);
        act_store(dup + at, grad, n - at);
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
