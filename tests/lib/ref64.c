/* Matrix products, embedding, rope, rows and the end of a step; more in ref64_norm.c, ref64_attn.c and ref64_act.c. */
#include "lib/ref64.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define U TR_REF64_U

int64_t tr_ref64_count(const struct tr_op *op, int i)
{
    int64_t count = tr_shape_count(tr_op_operand_shape(op, i));
    if (tr_op_operands(op->kind)->operand[i].direction == TR_ACC)
        count /= tr_op_leaves(op, i);
    return count;
}

static int64_t tokens_of(const struct tr_op *op) { return op->seqs * op->seq_len; }

/* What n products that are below the normal range may lose. */
static double tiny(int64_t n) { return (double)n * TR_REF64_TINY; }

/* ---- linear ----------------------------------------------------------------------------------------------------- */

struct dot {
    double sum, magnitude, tiny;
};

static struct dot dot(const double *a, int64_t a_stride, const double *b, int64_t b_stride, int64_t n)
{
    struct dot d = {0, 0, 0};
    for (int64_t k = 0; k < n; k++) {
        d.sum += a[k * a_stride] * b[k * b_stride];
        d.magnitude += fabs(a[k * a_stride] * b[k * b_stride]);
        d.tiny += tr_ref64_tiny(a[k * a_stride], b[k * b_stride]);
    }
    return d;
}

static void linear(const struct tr_ref64 *run)
{
    const struct tr_op *op = run->op;
    const double *residual = run->operand[TR_LINEAR_RESIDUAL];
    for (int i = 0; i < op->segments; i++) {
        const double *bias = run->operand[TR_LINEAR_B + i];
        for (int64_t index = 0; index < tokens_of(op) * op->out[i]; index++) {
            int64_t t = index / op->out[i], o = index % op->out[i];
            struct dot y =
                dot(run->operand[TR_LINEAR_X] + t * op->in, 1, run->operand[TR_LINEAR_W + i] + o * op->in, 1, op->in);
            double b = bias == NULL ? 0 : bias[o], r = residual == NULL ? 0 : residual[index];
            double magnitude = y.magnitude + fabs(b) + fabs(r);
            tr_ref64_out(run, TR_LINEAR_Y + i, index, y.sum + b + r, (double)(op->in + 2) * U * magnitude + y.tiny);
        }
    }
}

static void linear_end(const struct tr_ref64 *run)
{
    const double *bias = run->operand[TR_LINEAR_END_B], *residual = run->operand[TR_LINEAR_END_RESIDUAL];
    for (int64_t i = 0; i < tokens_of(run->op) * run->op->width; i++) {
        double sum = run->operand[TR_LINEAR_END_SUM][i], b = bias ? bias[i % run->op->width] : 0, r = residual ? residual[i] : 0;
        tr_ref64_out(run, TR_LINEAR_END_Y, i, sum + b + r, U * (fabs(sum + b) + fabs(sum + b + r)));
    }
}

static void linear_dx(const struct tr_ref64 *run)
{
    const struct tr_op *op = run->op;
    for (int64_t index = 0; index < tokens_of(op) * op->in; index++) {
        int64_t t = index / op->in, c = index % op->in, n = 0;
        struct dot dx = {0, 0, 0};
        for (int i = 0; i < op->segments; i++) {
            struct dot part = dot(run->operand[TR_LINEAR_DX_DY + i] + t * op->out[i], 1,
                                  run->operand[TR_LINEAR_DX_W + i] + c, op->in, op->out[i]);
            dx.sum += part.sum;
            dx.magnitude += part.magnitude;
            dx.tiny += part.tiny;
            n += op->out[i];
        }
        tr_ref64_out(run, TR_LINEAR_DX_DX, index, dx.sum, (double)n * U * dx.magnitude + dx.tiny);
    }
}

static void linear_dw(const struct tr_ref64 *run)
{
    const struct tr_op *op = run->op;
    const double one = 1.0;
    int64_t n = tokens_of(op);
    for (int i = 0; i < op->segments; i++) {
        const double *dy = run->operand[TR_LINEAR_DW_DY + i];
        double *dw = run->operand[TR_LINEAR_DW_DW + i], *db = run->operand[TR_LINEAR_DW_DB + i];
        for (int64_t index = 0; index < op->out[i] * op->in; index++) {
            struct dot sum =
                dot(dy + index / op->in, op->out[i], run->operand[TR_LINEAR_DW_X] + index % op->in, op->in, n);
            double magnitude = sum.magnitude + fabs(dw[index]);
            tr_ref64_out(run, TR_LINEAR_DW_DW + i, index, dw[index] + sum.sum,
                         (double)(n + 2) * U * magnitude + sum.tiny);
        }
        for (int64_t o = 0; db != NULL && o < op->out[i]; o++) {
            struct dot sum = dot(dy + o, op->out[i], &one, 0, n);
            double magnitude = sum.magnitude + fabs(db[o]);
            tr_ref64_out(run, TR_LINEAR_DW_DB + i, o, db[o] + sum.sum, (double)(n + 2) * U * magnitude);
        }
    }
}

void tr_ref64_linear(const struct tr_ref64 *run)
{
    if (run->op->kind == TR_OP_LINEAR)
        linear(run);
    else if (run->op->kind == TR_OP_LINEAR_DX)
        linear_dx(run);
    else
        linear_dw(run);
}

/* ---- embedding and rows ----------------------------------------------------------------------------------------- */

/* The position of token t in its document. */
static int64_t position_of(const struct tr_ref64 *run, int64_t t)
{
    const double *start = run->operand[tr_op_start_operand(run->op->kind)];
    return run->values->position + t % run->op->seq_len - (start == NULL ? 0 : (int64_t)start[t]);
}

static void embed(const struct tr_ref64 *run)
{
    const struct tr_op *op = run->op;
    for (int64_t index = 0; index < tokens_of(op) * op->width; index++) {
        int64_t t = index / op->width, c = index % op->width;
        int64_t position = position_of(run, t);
        int64_t token = (int64_t)run->operand[TR_EMBED_TOKENS][t];
        double e = run->operand[TR_EMBED_WTE][token * op->width + c];
        double p = run->operand[TR_EMBED_WPE] == NULL ? 0 : run->operand[TR_EMBED_WPE][position * op->width + c];
        tr_ref64_out(run, TR_EMBED_Y, index, e + p, U * fabs(e + p));
    }
}

static void embed_bwd(const struct tr_ref64 *run)
{
    const struct tr_op *op = run->op;
    double n = (double)tokens_of(op);
    for (int i = TR_EMBED_BWD_DWTE; i <= TR_EMBED_BWD_DWPE; i++) {
        double *grad = run->operand[i], *err = run->err[i];
        if (grad == NULL)
            continue;
        for (int64_t k = 0; err != NULL && k < tr_ref64_count(op, i); k++)
            err[k] = n * U * fabs(grad[k]);
        for (int64_t index = 0; index < tokens_of(op) * op->width; index++) {
            int64_t t = index / op->width, c = index % op->width;
            int64_t row = i == TR_EMBED_BWD_DWTE ? (int64_t)run->operand[TR_EMBED_BWD_TOKENS][t]
                                                 : position_of(run, t);
            double dy = run->operand[TR_EMBED_BWD_DY][index];
            grad[row * op->width + c] += dy;
            if (err != NULL)
                err[row * op->width + c] += n * U * fabs(dy);
        }
    }
}

static void last(const struct tr_ref64 *run)
{
    const struct tr_op *op = run->op;
    for (int64_t s = 0; s < op->seqs; s++)
        for (int64_t c = 0; c < op->width; c++) /* exact */
            run->operand[TR_LAST_Y][s * op->width + c] =
                run->operand[TR_LAST_X][((s + 1) * op->seq_len - 1) * op->width + c];
}

/* Element by element of the whole: the part that has it, and where in the parts it lies. */
static void split(const struct tr_ref64 *run)
{
    const struct tr_op *op = run->op;
    bool inverse = (op->flags & TR_OP_INVERSE) != 0;
    for (int64_t s = 0; s < op->seqs; s++)
        for (int64_t t = 0; t < op->seq_len; t++)
            for (int64_t h = 0; h < op->heads; h++)
                for (int64_t p = op->part.first, at = 0; p < op->part.last; p++) {
                    struct tr_op_box box = tr_op_split_part(op, p);
                    int64_t tokens = box.tokens.last - box.tokens.first, heads = box.heads.last - box.heads.first;
                    bool here = t >= box.tokens.first && t < box.tokens.last && h >= box.heads.first && h < box.heads.last;
                    for (int64_t d = 0; here && d < op->head_dim; d++) {
                        int64_t part = at + ((s * tokens + t - box.tokens.first) * heads + h - box.heads.first) * op->head_dim + d;
                        int64_t whole = ((s * op->seq_len + t) * op->heads + h) * op->head_dim + d;
                        run->operand[TR_SPLIT_DST][inverse ? whole : part] = run->operand[TR_SPLIT_SRC][inverse ? part : whole];
                    }
                    at += op->seqs * tokens * heads * op->head_dim;
                }
}

/* Token by token of x: is it in a part that is taken? Those that are come in their order. */
static void take(const struct tr_ref64 *run)
{
    const struct tr_op *op = run->op;
    int64_t to = 0, before = tr_cut(op->whole_seq_len, 64, op->context.parts, op->context.first);
    for (int64_t t = 0; t < tokens_of(op); t++) {
        bool taken = false;
        int64_t position = before + t % op->seq_len;
        for (int64_t c = op->context.first; c < op->context.last; c++) {
            int64_t begin = tr_cut(op->whole_seq_len, 64, op->context.parts, c);
            int64_t n = tr_cut(op->whole_seq_len, 64, op->context.parts, c + 1) - begin;
            taken = taken || (position >= begin + n * op->part.first / op->part.parts && position < begin + n * op->part.last / op->part.parts);
        }
        for (int64_t i = 0; taken && i < op->width; i++)
            run->operand[TR_TAKE_Y][to++] = run->operand[TR_TAKE_X][t * op->width + i];
    }
}

static void kv_append(const struct tr_ref64 *run)
{
    const struct tr_op *op = run->op;
    const double *x = run->operand[TR_KV_APPEND_X];
    for (int64_t t = 0; t < op->seqs * op->seq_len; t++) {
        for (int64_t g = 0; g < op->kv_heads; g++) {
            int64_t head = t / op->seq_len * op->kv_heads + g, position = run->values->position + t % op->seq_len;
            for (int64_t d = 0; d < op->head_dim; d++, x++) /* exact */
                run->operand[TR_KV_APPEND_CACHE][(head * op->positions + position) * op->head_dim + d] = *x;
        }
    }
}

static void rope(const struct tr_ref64 *run)
{
    const struct tr_op *op = run->op;
    double *x = run->operand[TR_ROPE_X];
    int64_t half = op->head_dim / 2;
    for (int64_t row = 0; row < tokens_of(op) * op->heads; row++) {
        int64_t position = position_of(run, row / op->heads);
        for (int64_t d = 0; d < half; d++) {
            const double *angle = run->operand[TR_ROPE_TABLE] + (position * half + d) * 2;
            double cosine = angle[0], sine = op->flags & TR_OP_INVERSE ? -angle[1] : angle[1];
            int64_t i = row * op->head_dim + d, j = i + half;
            double a = x[i], b = x[j];
            tr_ref64_out(run, TR_ROPE_X, i, a * cosine - b * sine,
                         2 * U * (fabs(a * cosine) + fabs(b * sine)) + tiny(2));
            tr_ref64_out(run, TR_ROPE_X, j, b * cosine + a * sine,
                         2 * U * (fabs(b * cosine) + fabs(a * sine)) + tiny(2));
        }
    }
}

/* ---- the end of a step ------------------------------------------------------------------------------------------ */

static void fold_leaves(const struct tr_ref64 *run, int64_t first, int64_t leaves)
{
    const struct tr_op *op = run->op;
    for (int64_t i = 0; i < op->count; i++) {
        double sum = 0, magnitude = 0;
        for (int64_t leaf = first; leaf < first + leaves; leaf++) {
            sum += run->operand[TR_FOLD_LEAVES][leaf * op->count + i];
            magnitude += fabs(run->operand[TR_FOLD_LEAVES][leaf * op->count + i]);
        }
        tr_ref64_out(run, TR_FOLD_LEAVES, first * op->count + i, sum, (double)leaves * U * magnitude);
    }
}

static void fold(const struct tr_ref64 *run)
{
    struct tr_range root[TR_TREE_ROOTS_MAX];
    const struct tr_op *op = run->op;
    int roots = tr_tree_roots(op->context.parts, op->context.first, op->context.last, root);
    for (int k = 0; k < roots; k++)
        fold_leaves(run, (root[k].first - op->context.first) * op->part.parts, (root[k].last - root[k].first) * op->part.parts);
}

static void join(const struct tr_ref64 *run)
{
    for (int64_t i = 0; i < run->op->count; i++) {
        double sum = run->operand[TR_JOIN_DST][i] + run->operand[TR_JOIN_SRC][i];
        tr_ref64_out(run, TR_JOIN_DST, i, sum, U * fabs(sum));
    }
}

/* Loshchilov and Hutter 2019, algorithm 2 (AdamW), the decay multiplied by the learning rate. */
static void adamw(const struct tr_ref64 *run)
{
    const struct tr_step_values *values = run->values;
    double *w = run->operand[TR_ADAMW_W], *m = run->operand[TR_ADAMW_M], *v = run->operand[TR_ADAMW_V];
    double decay = run->op->flags & TR_OP_DECAY ? values->weight_decay : 0;
    double beta1 = values->beta1, beta2 = values->beta2;
    for (int64_t i = 0; i < run->op->count; i++) {
        double g = run->operand[TR_ADAMW_GRAD][i] * values->clip_factor;
        double m_new = beta1 * m[i] + (1 - beta1) * g, v_new = beta2 * v[i] + (1 - beta2) * g * g;
        /* 1 - beta is exact or rounded once; a product each; g is rounded */
        double m_err = U * (4 * fabs((1 - beta1) * g) + 2 * fabs(beta1 * m[i])) + tiny(2);
        double v_err = U * (6 * (1 - beta2) * g * g + 2 * beta2 * v[i]) + tiny(3);
        double root = sqrt(v_new * values->bias2), divisor = root + values->eps;
        double root_err = root > 0
                              ? fmin(v_err * values->bias2 / (2 * root), sqrt(v_err * values->bias2)) + 3 * U * root
                              : sqrt(v_err * values->bias2);
        double u = m_new * values->bias1 / divisor;
        double u_err = m_err * values->bias1 / divisor + fabs(u) * ((root_err + U * divisor) / divisor + 3 * U);
        /* the second order matters where the root is no larger than its own error */
        u_err *= 1 / fmax(1 - root_err / divisor, 0.5);
        double keep = 1 - values->lr * decay;
        double w_new = keep * w[i] - values->lr * u;
        double w_err = values->lr * u_err + U * (3 * fabs(w[i]) + fabs(w_new)) + tiny(2);
        tr_ref64_out(run, TR_ADAMW_M, i, m_new, m_err);
        tr_ref64_out(run, TR_ADAMW_V, i, v_new, v_err);
        tr_ref64_out(run, TR_ADAMW_W, i, w_new, w_err);
        tr_ref64_out(run, TR_ADAMW_COPY, i, w_new, w_err);
    }
}

/* Muon's momentum (Jordan and others 2024, as an average) and Nesterov's step of it, scaled to norm 1. */
static void muon_moment(const struct tr_ref64 *run)
{
    double *m = run->operand[TR_MUON_MOMENT_M], *y = run->operand[TR_MUON_MOMENT_Y];
    double mu = run->values->momentum, rest = 1 - mu, norm_sq = 0, lost_sq = 0;
    int64_t n = run->op->count;
    double *lost = calloc((size_t)n, sizeof *lost);
    TR_ASSERT(lost != NULL);
    for (int64_t i = 0; i < n; i++) {
        double g = run->operand[TR_MUON_MOMENT_GRAD][i] * run->values->clip_factor;
        double m_new = mu * m[i] + rest * g;
        double m_err = U * (4 * fabs(rest * g) + 2 * fabs(mu * m[i])) + tiny(2);
        y[i] = mu * m_new + rest * g;
        lost[i] = mu * m_err + U * (4 * fabs(rest * g) + 2 * fabs(mu * m_new)) + tiny(2);
        norm_sq += y[i] * y[i];
        lost_sq += lost[i] * lost[i];
        tr_ref64_out(run, TR_MUON_MOMENT_M, i, m_new, m_err);
    }
    double divisor = fmax(sqrt(norm_sq), 1e-7);
    for (int64_t i = 0; i < n; i++) {
        double value = y[i] / divisor;
        double bound = (lost[i] + fabs(value) * sqrt(lost_sq)) / divisor / fmax(1 - sqrt(lost_sq) / divisor, 0.5);
        tr_ref64_out(run, TR_MUON_MOMENT_Y, i, value, bound + 3 * U * fabs(value) + tiny(1));
    }
    free(lost);
}

static void mix(const struct tr_ref64 *run)
{
    const double *src = run->operand[TR_MIX_SRC];
    double alpha = run->op->alpha, beta = run->op->beta;
    for (int64_t i = 0; i < run->op->count; i++) {
        double scaled = src ? beta * src[i] : 0, sum = alpha * run->operand[TR_MIX_DST][i] + scaled;
        tr_ref64_out(run, TR_MIX_DST, i, sum, U * (fabs(sum) + fabs(scaled)) + tiny(1));
    }
}

static void muon(const struct tr_ref64 *run)
{
    const struct tr_step_values *values = run->values;
    double decay = run->op->flags & TR_OP_DECAY ? values->weight_decay : 0;
    double rate = values->lr * (double)run->op->alpha, keep = 1 - values->lr * decay;
    for (int64_t i = 0; i < run->op->count; i++) {
        double w = run->operand[TR_MUON_W][i], step = rate * run->operand[TR_MUON_X][i], w_new = keep * w - step;
        double error = U * (3 * fabs(w) + 2 * fabs(step) + fabs(w_new)) + tiny(2);
        tr_ref64_out(run, TR_MUON_W, i, w_new, error);
        tr_ref64_out(run, TR_MUON_COPY, i, w_new, error);
    }
}

/* Logits are exact here; exp within 1.1 ULP of arguments that are rounded once, summed in chains; the logarithm's result,
 * z - max and the difference each rounded once. */
static void loss(const struct tr_ref64 *run)
{
    const struct tr_op *op = run->op;
    for (int64_t t = 0; t < tokens_of(op); t++) {
        const double *z = run->operand[TR_LOSS_LOGITS] + t * op->vocab;
        int64_t target = (int64_t)run->operand[TR_LOSS_TARGETS][t];
        double max = -INFINITY, sum = 0, spread = 0;
        for (int64_t v = 0; v < op->vocab; v++)
            max = fmax(max, z[v]);
        for (int64_t v = 0; v < op->vocab; v++) {
            sum += exp(z[v] - max);
            spread += exp(z[v] - max) * fabs(z[v] - max);
        }
        if (target < 0) {
            tr_ref64_out(run, TR_LOSS_LOSS, t, 0, 0);
            continue;
        }
        double below = max - z[target], relative = ((double)op->vocab + 4) * U + U * spread / sum;
        tr_ref64_out(run, TR_LOSS_LOSS, t, log(sum) + below, relative + 3 * U * (fabs(log(sum)) + below));
    }
}

/* ---- ------------------------------------------------------------------------------------------------------------ */

bool tr_ref64_knows(enum tr_op_kind kind)
{
    return kind != TR_OP_LOSS_SUM && kind != TR_OP_GRAD_SQ && kind != TR_OP_CLIP && kind != TR_OP_LINEAR_PACKED &&
           kind != TR_OP_PACK;
}

void tr_ref64_run(const struct tr_ref64 *run)
{
    switch (run->op->kind) {
    case TR_OP_EMBED:
        embed(run);
        break;
    case TR_OP_EMBED_BWD:
        embed_bwd(run);
        break;
    case TR_OP_NORM:
    case TR_OP_NORM_BWD:
        tr_ref64_norm(run);
        break;
    case TR_OP_LINEAR:
    case TR_OP_LINEAR_DX:
    case TR_OP_LINEAR_DW:
        tr_ref64_linear(run);
        break;
    case TR_OP_LINEAR_END:
        linear_end(run);
        break;
    case TR_OP_ROPE:
        rope(run);
        break;
    case TR_OP_ATTN:
    case TR_OP_ATTN_BWD:
        tr_ref64_attn(run);
        break;
    case TR_OP_GELU:
    case TR_OP_GELU_BWD:
    case TR_OP_SWIGLU:
    case TR_OP_SWIGLU_BWD:
        tr_ref64_act(run);
        break;
    case TR_OP_HEAD:
        tr_ref64_head(run);
        break;
    case TR_OP_LAST:
        last(run);
        break;
    case TR_OP_SPLIT:
        split(run);
        break;
    case TR_OP_TAKE:
        take(run);
        break;
    case TR_OP_KV_APPEND:
        kv_append(run);
        break;
    case TR_OP_ZERO:
        memset(run->operand[TR_ZERO_DST], 0, (size_t)run->op->count * sizeof(double));
        break;
    case TR_OP_FOLD:
        fold(run);
        break;
    case TR_OP_JOIN:
        join(run);
        break;
    case TR_OP_ADAMW:
        adamw(run);
        break;
    case TR_OP_MUON_MOMENT:
        muon_moment(run);
        break;
    case TR_OP_MIX:
        mix(run);
        break;
    case TR_OP_MUON:
        muon(run);
        break;
    case TR_OP_CAST:
        for (int64_t i = 0; i < run->op->count; i++)
            tr_ref64_out(run, TR_CAST_DST, i, run->operand[TR_CAST_SRC][i], 0);
        break;
    case TR_OP_LOSS:
        loss(run);
        break;
    case TR_OP_LINEAR_PACKED:
    case TR_OP_PACK:
    case TR_OP_LOSS_SUM:
    case TR_OP_GRAD_SQ:
    case TR_OP_CLIP:
    case TR_OP_KIND_COUNT:
        TR_ASSERT(tr_ref64_knows(run->op->kind));
    }
}
