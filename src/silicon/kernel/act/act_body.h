/* The element-wise operations in vector words: fn.h, lane by lane. Threads take equal pieces of whole vectors. Each
 * function over a piece is compiled for both types. */
#ifndef TR_SILICON_KERNEL_ACT_BODY_H
#define TR_SILICON_KERNEL_ACT_BODY_H

#include "base/num.h"
#include "silicon/kernel/act/act.h"
#include "silicon/kernel/linear/finish.h"
#include "silicon/kernel/simd.h"

enum { ACT_PIECE = 4096 }; /* elements that a thread takes at a time */

static int64_t act_elements(const struct tr_op *op) { return op->seqs * op->seq_len * op->width; }

enum { ACT_VECS = V_TOGETHER, ACT_STEP = ACT_VECS * TR_VLEN };

/* ACT_VECS vectors from element `at` on, of which n elements are there. */
TR_V_INLINE void act_load(tr_v *v, const void *t, const enum tr_dtype type, int64_t at, int64_t n)
{
    for (int i = 0; i < ACT_VECS; i++)
        v[i] = n >= ACT_STEP ? v_load_at(t, type, at + i * TR_VLEN)
                             : v_loadn_at(t, type, at + i * TR_VLEN, tr_max_i64(0, n - i * TR_VLEN));
}

TR_V_INLINE void act_store(void *t, const enum tr_dtype type, int64_t at, const tr_v *v, int64_t n)
{
    for (int i = 0; i < ACT_VECS; i++) {
        if (n >= ACT_STEP)
            v_store_at(t, type, at + i * TR_VLEN, v[i]);
        else
            v_storen_at(t, type, at + i * TR_VLEN, v[i], tr_max_i64(0, n - i * TR_VLEN));
    }
}

/* Elements [at, last) of each operand. */
typedef void act_piece(void *const *operand, int64_t at, int64_t last);

TR_V_INLINE void gelu_piece(void *const *operand, int64_t at, int64_t last, const enum tr_dtype type)
{
    for (; at < last; at += ACT_STEP) {
        tr_v v[ACT_VECS];
        act_load(v, operand[TR_GELU_X], type, at, last - at);
        v_gelus(v, ACT_VECS);
        act_store(operand[TR_GELU_Y], type, at, v, last - at);
    }
}

TR_V_INLINE void gelu_bwd_piece(void *const *operand, int64_t at, int64_t last, const enum tr_dtype type)
{
    for (; at < last; at += ACT_STEP) {
        tr_v v[ACT_VECS], grad[ACT_VECS];
        act_load(v, operand[TR_GELU_BWD_X], type, at, last - at);
        v_gelu_slopes(v, ACT_VECS);
        act_load(grad, operand[TR_GELU_BWD_DY], type, at, last - at);
        for (int i = 0; i < ACT_VECS; i++)
            v[i] = v_mul(grad[i], v[i]);
        act_store(operand[TR_GELU_BWD_DX], type, at, v, last - at);
    }
}

TR_V_INLINE void swiglu_piece(void *const *operand, int64_t at, int64_t last, const enum tr_dtype type)
{
    for (; at < last; at += ACT_STEP) {
        tr_v g[ACT_VECS], s[ACT_VECS], u[ACT_VECS];
        act_load(s, operand[TR_SWIGLU_GATE], type, at, last - at);
        v_sigmoids(s, ACT_VECS);
        act_load(g, operand[TR_SWIGLU_GATE], type, at, last - at);
        act_load(u, operand[TR_SWIGLU_UP], type, at, last - at);
        for (int i = 0; i < ACT_VECS; i++)
            u[i] = v_mul(v_silu_of(g[i], s[i]), u[i]);
        act_store(operand[TR_SWIGLU_Y], type, at, u, last - at);
    }
}

TR_V_INLINE void swiglu_bwd_piece(void *const *operand, int64_t at, int64_t last, const enum tr_dtype type)
{
    for (; at < last; at += ACT_STEP) {
        tr_v g[ACT_VECS], s[ACT_VECS], u[ACT_VECS], grad[ACT_VECS];
        act_load(s, operand[TR_SWIGLU_BWD_GATE], type, at, last - at);
        v_sigmoids(s, ACT_VECS);
        act_load(g, operand[TR_SWIGLU_BWD_GATE], type, at, last - at);
        act_load(u, operand[TR_SWIGLU_BWD_UP], type, at, last - at);
        act_load(grad, operand[TR_SWIGLU_BWD_DY], type, at, last - at);
        for (int i = 0; i < ACT_VECS; i++) {
            u[i] = v_mul(v_mul(grad[i], u[i]), v_silu_slope_of(g[i], s[i]));
            grad[i] = v_mul(grad[i], v_silu_of(g[i], s[i]));
        }
        act_store(operand[TR_SWIGLU_BWD_DGATE], type, at, u, last - at);
        act_store(operand[TR_SWIGLU_BWD_DUP], type, at, grad, last - at);
    }
}

static void gelu_f32(void *const *o, int64_t at, int64_t last) { gelu_piece(o, at, last, TR_F32); }
static void gelu_bf16(void *const *o, int64_t at, int64_t last) { gelu_piece(o, at, last, TR_BF16); }
static void gelu_bwd_f32(void *const *o, int64_t at, int64_t last) { gelu_bwd_piece(o, at, last, TR_F32); }
static void gelu_bwd_bf16(void *const *o, int64_t at, int64_t last) { gelu_bwd_piece(o, at, last, TR_BF16); }
static void swiglu_f32(void *const *o, int64_t at, int64_t last) { swiglu_piece(o, at, last, TR_F32); }
static void swiglu_bf16(void *const *o, int64_t at, int64_t last) { swiglu_piece(o, at, last, TR_BF16); }
static void swiglu_bwd_f32(void *const *o, int64_t at, int64_t last) { swiglu_bwd_piece(o, at, last, TR_F32); }
static void swiglu_bwd_bf16(void *const *o, int64_t at, int64_t last) { swiglu_bwd_piece(o, at, last, TR_BF16); }

/* All elements in pieces; of each, `inputs` elements are read and `outputs` written. */
static void act_run(const struct tr_call *call, act_piece *piece, int64_t inputs, int64_t outputs)
{
    const int64_t total = act_elements(call->op), bytes = tr_dtype_bytes(call->op->act);
    if (total <= ACT_PIECE) { /* one thread has all */
        piece(call->operand, 0, total);
        tr_count_add(call->count, 0, inputs * bytes * total, outputs * bytes * total);
        return;
    }
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < total; i += ACT_PIECE) {
        int64_t last = tr_min_i64(i + ACT_PIECE, total);
        piece(call->operand, i, last);
        tr_count_add(call->count, 0, inputs * bytes * (last - i), outputs * bytes * (last - i));
    }
}

void TR_SIMD_NAME(tr_gelu)(const struct tr_call *call)
{
    act_run(call, call->op->act == TR_BF16 ? gelu_bf16 : gelu_f32, 1, 1);
}

void TR_SIMD_NAME(tr_gelu_bwd)(const struct tr_call *call)
{
    act_run(call, call->op->act == TR_BF16 ? gelu_bwd_bf16 : gelu_bwd_f32, 2, 1);
}

void TR_SIMD_NAME(tr_swiglu)(const struct tr_call *call)
{
    act_run(call, call->op->act == TR_BF16 ? swiglu_bf16 : swiglu_f32, 2, 1);
}

void TR_SIMD_NAME(tr_swiglu_bwd)(const struct tr_call *call)
{
    act_run(call, call->op->act == TR_BF16 ? swiglu_bwd_bf16 : swiglu_bwd_f32, 3, 2);
}

void TR_SIMD_NAME(tr_linear_end)(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    const int64_t tokens = op->seqs * op->seq_len, width = op->width, bytes = tr_dtype_bytes(op->act);
    const int64_t residual = call->operand[TR_LINEAR_END_RESIDUAL] != NULL ? bytes : 0;
    TR_ASSERT(op->weight == op->act);
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t t = 0; t < tokens; t++) {
        const char *added = call->operand[TR_LINEAR_END_RESIDUAL];
        const struct finish row = {.bias = call->operand[TR_LINEAR_END_B],
                                   .residual = added == NULL ? NULL : added + t * width * bytes,
                                   .c = (char *)call->operand[TR_LINEAR_END_Y] + t * width * bytes,
                                   .stride = width, .type = op->act, .c_type = op->act};
        finish_rows(&row, (const float *)call->operand[TR_LINEAR_END_SUM] + t * width, width, 1, width);
        int64_t bias = t == 0 && call->operand[TR_LINEAR_END_B] != NULL ? bytes : 0;
        tr_count_add(call->count, 0, ((int64_t)sizeof(float) + residual + bias) * width, bytes * width);
    }
}

#endif
