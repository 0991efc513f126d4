/* ZERO, FOLD, JOIN, GRAD_SQ, ADAMW, MUON_MOMENT, MIX, MUON and CAST in vector words. Threads take pieces of UPDATE_PIECE
 * elements; only GRAD_SQ and MUON_MOMENT sum over pieces, exactly, so that their order does not matter. */
#ifndef TR_SILICON_KERNEL_UPDATE_BODY_H
#define TR_SILICON_KERNEL_UPDATE_BODY_H

#include "base/num.h"
#include "silicon/kernel/simd.h"
#include "silicon/kernel/update/update.h"
#include "silicon/op/exact.h"

#include <omp.h>

enum { UPDATE_PIECE = 1 << 14 };

void TR_SIMD_NAME(tr_zero)(const struct tr_call *call)
{
    float *dst = call->operand[TR_ZERO_DST];
    int64_t count = call->op->count;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < count; i += UPDATE_PIECE) {
        int64_t n = tr_min_i64(UPDATE_PIECE, count - i);
        memset(dst + i, 0, (size_t)n * sizeof(float));
        tr_count_add(call->count, 0, 0, 4 * n);
    }
}

/* sum += part, n elements */
static void update_add(float *sum, const float *part, int64_t n)
{
    int64_t i = 0;
    for (; i + TR_VLEN <= n; i += TR_VLEN)
        v_store(sum + i, v_add(v_load(sum + i), v_load(part + i)));
    if (i < n)
        v_storen(sum + i, v_add(v_loadn(sum + i, n - i), v_loadn(part + i, n - i)), n - i);
}

void TR_SIMD_NAME(tr_join)(const struct tr_call *call)
{
    float *dst = call->operand[TR_JOIN_DST];
    const float *src = call->operand[TR_JOIN_SRC];
    int64_t count = call->op->count;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < count; i += UPDATE_PIECE) {
        int64_t n = tr_min_i64(UPDATE_PIECE, count - i);
        update_add(dst + i, src + i, n);
        tr_count_add(call->count, 0, 8 * n, 4 * n);
    }
}

/* The tree over `leaves` arrays of n elements, `stride` apart, into the first. */
static void update_tree(float *at, int64_t stride, int64_t leaves, int64_t n)
{
    if (leaves == 1)
        return;
    int64_t left = tr_tree_split(leaves);
    update_tree(at, stride, left, n);
    update_tree(at + left * stride, stride, leaves - left, n);
    update_add(at, at + left * stride, n);
}

/* One subtree of `contexts` context parts, the leaves of which begin here. */
static void update_fold(const struct tr_call *call, float *leaves, int64_t contexts)
{
    int64_t count = call->op->count, parts = call->op->part.parts;
    if (contexts * parts == 1)
        return;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < count; i += UPDATE_PIECE) {
        int64_t n = tr_min_i64(UPDATE_PIECE, count - i), done = 0;
        for (int64_t c = 0; c < contexts; c++, done += parts)
            update_tree(leaves + c * parts * count + i, count, parts, n);
        update_tree(leaves + i, parts * count, contexts, n);
        tr_count_add(call->count, 0, 4 * n * done, 4 * n);
    }
}

void TR_SIMD_NAME(tr_fold)(const struct tr_call *call)
{
    struct tr_range root[TR_TREE_ROOTS_MAX];
    const struct tr_op *op = call->op;
    int roots = tr_tree_roots(op->context.parts, op->context.first, op->context.last, root);
    for (int k = 0; k < roots; k++) {
        float *leaves = (float *)call->operand[TR_FOLD_LEAVES] + (root[k].first - op->context.first) * op->part.parts * op->count;
        update_fold(call, leaves, root[k].last - root[k].first);
    }
}

/* Squares are added to bins by exponent as in exact.c, into four tables in turn: gradients have few exponents, and an
 * addition to the number that was stored last would have to wait for it. */
enum { SQUARES_PIECE = 1 << 17, SQUARES_TABLES = 4 }; /* 2^15 squares below 2^48 in a bin at most */

struct squares {
    struct tr_exact sum;
    uint64_t bin[SQUARES_TABLES][256];
};

int64_t TR_SIMD_NAME(tr_grad_sq_workspace)(const struct tr_op *op, int threads)
{
    (void)op;
    return threads * (int64_t)sizeof(struct squares);
}

/* The exponent fields and the squared mantissas of 8 numbers: those of the even lanes, then of the odd ones. */
static inline void squares_of(const float *x, uint32_t *exponent, uint64_t *square)
{
    const __m256i hidden = _mm256_set1_epi32(0x00800000);
    __m256i bits = _mm256_loadu_si256((const __m256i *)(const void *)x);
    __m256i field = _mm256_and_si256(_mm256_srli_epi32(bits, 23), _mm256_set1_epi32(255));
    __m256i is_subnormal = _mm256_cmpeq_epi32(field, _mm256_setzero_si256());
    __m256i mantissa = _mm256_or_si256(_mm256_and_si256(bits, _mm256_set1_epi32(0x007fffff)),
                                       _mm256_andnot_si256(is_subnormal, hidden));
    __m256i odd = _mm256_srli_epi64(mantissa, 32);
    _mm256_storeu_si256((__m256i *)(void *)exponent, field);
    _mm256_storeu_si256((__m256i *)(void *)square, _mm256_mul_epu32(mantissa, mantissa));
    _mm256_storeu_si256((__m256i *)(void *)(square + 4), _mm256_mul_epu32(odd, odd));
}

static int64_t squares_nonfinite(const float *x, int64_t n)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        count += (tr_f32_bits(x[i]) >> 23 & 255u) == 255u;
    return count;
}

static void squares_add(struct squares *s, const float *x, int64_t n)
{
    uint32_t exponent[8];
    uint64_t square[8];
    int64_t whole = n - n % 8;
    memset(s->bin, 0, sizeof s->bin);
    for (int64_t i = 0; i < whole; i += 8) {
        squares_of(x + i, exponent, square);
        for (int k = 0; k < 4; k++) {
            s->bin[k][exponent[2 * k]] += square[k];
            s->bin[k][exponent[2 * k + 1]] += square[4 + k];
        }
    }
    bool nonfinite = false;
    for (int k = 0; k < SQUARES_TABLES; k++) {
        s->sum.bin[1] += (tr_i128)s->bin[k][0]; /* subnormals share the unit of exponent 1 */
        for (int e = 1; e < 255; e++)
            s->sum.bin[e] += (tr_i128)s->bin[k][e];
        nonfinite = nonfinite || s->bin[k][255] != 0; /* an infinity has a mantissa, too: the hidden bit */
    }
    if (nonfinite)
        s->sum.nonfinite += squares_nonfinite(x, whole);
    tr_exact_add(&s->sum, x + whole, n - whole);
}

void TR_SIMD_NAME(tr_grad_sq)(const struct tr_call *call)
{
    const float *grad = call->operand[TR_GRAD_SQ_GRAD];
    struct squares *mine = call->workspace;
    int64_t count = call->op->count;
    TR_ASSERT(call->values->grad_sq->kind == TR_EXACT_SQUARES);
    for (int t = 0; t < call->threads; t++)
        tr_exact_clear(&mine[t].sum, TR_EXACT_SQUARES);
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < count; i += SQUARES_PIECE) {
        int64_t n = tr_min_i64(SQUARES_PIECE, count - i);
        squares_add(&mine[omp_get_thread_num()], grad + i, n);
        tr_count_add(call->count, 0, 4 * n, 0);
    }
    for (int t = 0; t < call->threads; t++)
        tr_exact_merge(call->values->grad_sq, &mine[t].sum);
}

struct adamw {
    tr_v clip, beta1, rest1, beta2, rest2, bias1, bias2, eps, minus_lr, keep;
    bool decay;
};

static struct adamw adamw_of(const struct tr_call *call)
{
    const struct tr_step_values *v = call->values;
    return (struct adamw){.clip = v_set1(v->clip_factor), .beta1 = v_set1(v->beta1), .rest1 = v_set1(1.0f - v->beta1),
                          .beta2 = v_set1(v->beta2), .rest2 = v_set1(1.0f - v->beta2), .bias1 = v_set1(v->bias1),
                          .bias2 = v_set1(v->bias2), .eps = v_set1(v->eps), .minus_lr = v_set1(-v->lr),
                          .keep = v_set1(1.0f - v->lr * v->weight_decay),
                          .decay = (call->op->flags & TR_OP_DECAY) != 0};
}

static inline void adamw_vector(const struct adamw *a, tr_v grad, tr_v *w, tr_v *m, tr_v *v)
{
    tr_v g = v_mul(grad, a->clip);
    *m = v_fma(a->beta1, *m, v_mul(a->rest1, g));
    *v = v_fma(a->beta2, *v, v_mul(a->rest2, v_mul(g, g)));
    tr_v u = v_div(v_mul(*m, a->bias1), v_add(v_sqrt(v_mul(*v, a->bias2)), a->eps));
    *w = v_fma(a->minus_lr, u, a->decay ? v_mul(*w, a->keep) : *w);
}

/* Where the copy of a weight goes; at NULL there is none. */
struct copy {
    void *at;
    enum tr_dtype type;
};

static struct copy copy_of(const struct tr_call *call, int operand)
{
    return (struct copy){call->operand[operand], call->op->weight};
}

static int64_t copy_bytes(struct copy copy, int64_t n) { return copy.at == NULL ? 0 : n * tr_dtype_bytes(copy.type); }

/* Elements i ... i + n - 1; n may be more than TR_VLEN, which means all. */
static inline void copy_store(struct copy copy, int64_t i, tr_v w, int64_t n)
{
    if (copy.at == NULL)
        return;
    if (copy.type == TR_BF16)
        v_storen_at(copy.at, TR_BF16, i, w, n);
    else
        v_storen_at(copy.at, TR_F32, i, w, n);
}

/* Elements first ... end - 1 of the operands. */
static void adamw_piece(const struct adamw *a, float *const *operand, struct copy copy, int64_t first, int64_t end)
{
    float *w = operand[TR_ADAMW_W], *m = operand[TR_ADAMW_M], *v = operand[TR_ADAMW_V];
    for (int64_t i = first; i < end; i += TR_VLEN) {
        const int64_t n = end - i;
        tr_v new_w = v_loadn_at(w, TR_F32, i, n), new_m = v_loadn_at(m, TR_F32, i, n);
        tr_v new_v = v_loadn_at(v, TR_F32, i, n);
        adamw_vector(a, v_loadn_at(operand[TR_ADAMW_GRAD], TR_F32, i, n), &new_w, &new_m, &new_v);
        v_storen_at(w, TR_F32, i, new_w, n);
        v_storen_at(m, TR_F32, i, new_m, n);
        v_storen_at(v, TR_F32, i, new_v, n);
        copy_store(copy, i, new_w, n);
    }
}

void TR_SIMD_NAME(tr_adamw)(const struct tr_call *call)
{
    const int64_t count = call->op->count;
    const struct adamw a = adamw_of(call);
    const struct copy copy = copy_of(call, TR_ADAMW_COPY);
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < count; i += UPDATE_PIECE) {
        int64_t n = tr_min_i64(UPDATE_PIECE, count - i);
        adamw_piece(&a, (float *const *)call->operand, copy, i, i + n);
        tr_count_add(call->count, 0, 16 * n, 12 * n + copy_bytes(copy, n));
    }
}

/* m and Nesterov's step from the gradient, n elements. */
static void muon_piece(const struct tr_step_values *v, const float *grad, float *m, float *y, int64_t n)
{
    const tr_v clip = v_set1(v->clip_factor), momentum = v_set1(v->momentum), rest = v_set1(1.0f - v->momentum);
    for (int64_t i = 0; i < n; i += TR_VLEN) {
        tr_v g = v_mul(rest, v_mul(v_loadn_at(grad, TR_F32, i, n - i), clip));
        tr_v moment = v_fma(momentum, v_loadn_at(m, TR_F32, i, n - i), g);
        v_storen_at(m, TR_F32, i, moment, n - i);
        v_storen_at(y, TR_F32, i, v_fma(momentum, moment, g), n - i);
    }
}

int64_t TR_SIMD_NAME(tr_muon_moment_workspace)(const struct tr_op *op, int threads)
{
    return TR_SIMD_NAME(tr_grad_sq_workspace)(op, threads);
}

/* y = y * scale */
static void update_scale(float *y, float scale, int64_t n)
{
    const tr_v factor = v_set1(scale);
    for (int64_t i = 0; i < n; i += TR_VLEN)
        v_storen_at(y, TR_F32, i, v_mul(v_loadn_at(y, TR_F32, i, n - i), factor), n - i);
}

void TR_SIMD_NAME(tr_muon_moment)(const struct tr_call *call)
{
    const float *grad = call->operand[TR_MUON_MOMENT_GRAD];
    float *m = call->operand[TR_MUON_MOMENT_M], *y = call->operand[TR_MUON_MOMENT_Y];
    struct squares *mine = call->workspace;
    int64_t count = call->op->count;
    for (int t = 0; t < call->threads; t++)
        tr_exact_clear(&mine[t].sum, TR_EXACT_SQUARES);
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < count; i += SQUARES_PIECE) {
        int64_t n = tr_min_i64(SQUARES_PIECE, count - i);
        muon_piece(call->values, grad + i, m + i, y + i, n);
        squares_add(&mine[omp_get_thread_num()], y + i, n);
        tr_count_add(call->count, 0, 8 * n, 4 * n);
    }
    for (int t = 1; t < call->threads; t++)
        tr_exact_merge(&mine[0].sum, &mine[t].sum);
    double norm = sqrt(tr_exact_value(&mine[0].sum));
    float scale = (float)(1.0 / (norm > TR_MUON_NORM_MIN ? norm : TR_MUON_NORM_MIN));
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < count; i += UPDATE_PIECE) {
        int64_t n = tr_min_i64(UPDATE_PIECE, count - i);
        update_scale(y + i, scale, n);
        tr_count_add(call->count, 0, 0, 4 * n);
    }
}

/* dst = fma(alpha, dst, beta * src), or alpha * dst, elements first ... end - 1 */
TR_V_INLINE void update_mix(const struct tr_call *call, const enum tr_dtype type, int64_t first, int64_t end)
{
    const tr_v a = v_set1(call->op->alpha), b = v_set1(call->op->beta);
    void *dst = call->operand[TR_MIX_DST];
    const void *src = call->operand[TR_MIX_SRC];
    for (int64_t i = first; i < end; i += TR_VLEN) {
        tr_v x = v_loadn_at(dst, type, i, end - i);
        if (src == NULL)
            x = v_mul(x, a);
        else
            x = v_fma(a, x, v_mul(b, v_loadn_at(src, type, i, end - i)));
        v_storen_at(dst, type, i, x, end - i);
    }
}

void TR_SIMD_NAME(tr_mix)(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    const int64_t bytes = tr_dtype_bytes(op->act), operands = call->operand[TR_MIX_SRC] == NULL ? 1 : 2;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < op->count; i += UPDATE_PIECE) {
        int64_t n = tr_min_i64(UPDATE_PIECE, op->count - i);
        if (op->act == TR_F32)
            update_mix(call, TR_F32, i, i + n);
        else
            update_mix(call, TR_BF16, i, i + n);
        tr_count_add(call->count, 0, operands * bytes * n, bytes * n);
    }
}

void TR_SIMD_NAME(tr_muon)(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    const struct tr_step_values *v = call->values;
    const bool decay = (op->flags & TR_OP_DECAY) != 0;
    const struct copy copy = copy_of(call, TR_MUON_COPY);
    float *w = call->operand[TR_MUON_W];
    const float *x = call->operand[TR_MUON_X];
    const tr_v kept = v_set1(1.0f - v->lr * v->weight_decay), minus_rate = v_set1(-(v->lr * op->alpha));
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t first = 0; first < op->count; first += UPDATE_PIECE) {
        int64_t n = tr_min_i64(UPDATE_PIECE, op->count - first);
        for (int64_t i = first; i < first + n; i += TR_VLEN) {
            const int64_t left = first + n - i;
            tr_v old = v_loadn_at(w, TR_F32, i, left);
            tr_v new = v_fma(minus_rate, v_loadn_at(x, TR_F32, i, left), decay ? v_mul(old, kept) : old);
            v_storen_at(w, TR_F32, i, new, left);
            copy_store(copy, i, new, left);
        }
        tr_count_add(call->count, 0, 8 * n, 4 * n + copy_bytes(copy, n));
    }
}

void TR_SIMD_NAME(tr_cast)(const struct tr_call *call)
{
    const int64_t count = call->op->count;
    const struct copy copy = copy_of(call, TR_CAST_DST);
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t first = 0; first < count; first += UPDATE_PIECE) {
        int64_t n = tr_min_i64(UPDATE_PIECE, count - first);
        for (int64_t i = first; i < first + n; i += TR_VLEN)
            copy_store(copy, i, v_loadn_at(call->operand[TR_CAST_SRC], TR_F32, i, first + n - i), first + n - i);
        tr_count_add(call->count, 0, 4 * n, copy_bytes(copy, n));
    }
}

#endif
