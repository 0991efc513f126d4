/* Causal attention with grouped heads (Vaswani and others 2017; Shazeer 2019), and the head: softmax, cross-entropy. */
#include "lib/ref64.h"

#include <math.h>
#include <stdlib.h>

#define U TR_REF64_U

static double *zeros(int64_t n)
{
    double *x = calloc((size_t)n + 1, sizeof *x);
    TR_ASSERT(x != NULL);
    return x;
}

/* Roundoff of p, ds and dz on their way into a product: bf16 kernels round them. */
static double factor_u(const struct tr_op *op) { return op->act == TR_BF16 ? TR_REF64_UB : 0; }

/* ---- softmax of one row ----------------------------------------------------------------------------------------- */

struct softmax {
    int64_t n;
    const double *z; /* arguments */
    double z_err;    /* how far each may be off */
    double max, sum;
    double p_err;   /* relative error of exp(z - max) / sum, or of exp(z - max), whatever the rescaling by key blocks */
    double sum_err; /* relative */
};

static void softmax(struct softmax *row)
{
    double spread = 0;
    row->max = -INFINITY;
    row->sum = 0;
    for (int64_t j = 0; j < row->n; j++)
        row->max = fmax(row->max, row->z[j]);
    for (int64_t j = 0; j < row->n; j++) {
        row->sum += exp(row->z[j] - row->max);
        /* below e^-87 an exponential is 0 in fp32, an absolute error of TR_REF64_TINY, counted with the sums */
        spread = fmax(spread, fmin(row->max - row->z[j], 88));
    }
    /* exp(z - max): both rounded arguments, their difference, 1 ULP; rescaled once a block of 64 and a part by
     * exp(old max - new max), whose arguments add up to no more than the spread. */
    double steps = (double)(row->n / 64 + 3);
    double one = expm1(2 * row->z_err + 2 * U * spread + 3 * U * steps + 2 * row->z_err * steps);
    row->p_err = one + 3 * U;
    row->sum_err = one + (double)(row->n / 16 + 8) * U;
}

/* ---- attention -------------------------------------------------------------------------------------------------- */

/* One query and head. */
struct query {
    const struct tr_op *op;
    const double *q;     /* [D] */
    const double *k, *v; /* first key that it sees, of its head */
    int64_t stride;      /* between keys */
    struct softmax row;
    double *z;
};

static void score(struct query *query)
{
    const struct tr_op *op = query->op;
    double worst = 0;
    for (int64_t j = 0; j < query->row.n; j++) {
        double sum = 0, magnitude = 0, tiny = 0;
        for (int64_t d = 0; d < op->head_dim; d++) {
            sum += query->q[d] * query->k[j * query->stride + d];
            magnitude += fabs(query->q[d] * query->k[j * query->stride + d]);
            tiny += tr_ref64_tiny(query->q[d], query->k[j * query->stride + d]);
        }
        query->z[j] = sum / sqrt(op->head_dim);
        worst = fmax(worst, (double)(op->head_dim + 3) * U * magnitude / sqrt(op->head_dim) + tiny);
    }
    query->row.z = query->z;
    query->row.z_err = worst;
    softmax(&query->row);
}

static struct query query_at(const struct tr_ref64 *run, int64_t token, int64_t head, double *z)
{
    const struct tr_op *op = run->op;
    int64_t seq = token / op->seq_len, kv_head = head / (op->heads / op->kv_heads);
    const double *start = run->operand[tr_op_start_operand(op->kind)];
    int64_t first = start == NULL ? 0 : (int64_t)start[token]; /* key of the document */
    const bool by_head = (op->flags & TR_OP_BY_HEAD) != 0;
    int64_t row = by_head ? (seq * op->kv_heads + kv_head) * op->positions + first
                          : (seq * op->positions + first) * op->kv_heads + kv_head;
    int64_t kv = row * op->head_dim;
    struct query query = {.op = op,
                          .q = run->operand[TR_ATTN_Q] + (token * op->heads + head) * op->head_dim,
                          .k = run->operand[TR_ATTN_K] + kv,
                          .v = run->operand[TR_ATTN_V] + kv,
                          .stride = (by_head ? 1 : (int64_t)op->kv_heads) * op->head_dim,
                          .z = z};
    query.row.n = run->values->position + token % op->seq_len + 1 - first;
    score(&query);
    return query;
}

static void attn(const struct tr_ref64 *run)
{
    const struct tr_op *op = run->op;
    double *z = zeros(op->positions);
    for (int64_t row = 0; row < op->seqs * op->seq_len * op->heads; row++) {
        struct query query = query_at(run, row / op->heads, row % op->heads, z);
        const struct softmax *p = &query.row;
        tr_ref64_out(run, TR_ATTN_STATS, 2 * row, p->max, p->z_err);
        tr_ref64_out(run, TR_ATTN_STATS, 2 * row + 1, p->sum, p->sum * (p->sum_err + (double)p->n * TR_REF64_TINY));
        for (int64_t d = 0; d < op->head_dim; d++) {
            double o = 0, magnitude = 0, largest = 0;
            for (int64_t j = 0; j < p->n; j++) {
                double value = query.v[j * query.stride + d];
                o += exp(z[j] - p->max) / p->sum * value;
                magnitude += exp(z[j] - p->max) / p->sum * fabs(value);
                largest = fmax(largest, fabs(value));
            }
            double relative = p->p_err + p->sum_err + (double)(p->n + p->n / 64 + 12) * U + factor_u(op);
            double err = magnitude * relative + 2 * (double)p->n * TR_REF64_TINY * (largest + 1);
            tr_ref64_out(run, TR_ATTN_O, row * op->head_dim + d, o, err);
        }
    }
    free(z);
}

/* The gradient of one query and head: dp = do v^T, delta = do o, ds = p (dp - delta) scale. */
struct score_grad {
    double *p, *p_err, *ds, *ds_err;
};

static void score_grad(const struct tr_ref64 *run, const struct query *query, int64_t row, struct score_grad *grad)
{
    const struct tr_op *op = run->op;
    const double *dout = run->operand[TR_ATTN_BWD_DO] + row * op->head_dim;
    const struct softmax *softmax_row = &query->row;
    double scale = 1 / sqrt(op->head_dim), delta = 0, delta_size = 0, size = 0;
    /* o comes from the forward pass: it has that kernel's error and was rounded to its type. */
    double o_relative = softmax_row->p_err + softmax_row->sum_err +
                        (double)(softmax_row->n + softmax_row->n / 64 + 12) * U + 2 * factor_u(op);
    for (int64_t j = 0; j < softmax_row->n; j++) {
        grad->p[j] = exp(query->z[j] - softmax_row->max) / softmax_row->sum;
        grad->p_err[j] = grad->p[j] * (softmax_row->p_err + softmax_row->sum_err + 2 * U) + 2 * TR_REF64_TINY;
        double dp = 0, dp_size = 0, tiny = 0;
        for (int64_t d = 0; d < op->head_dim; d++) {
            dp += dout[d] * query->v[j * query->stride + d];
            dp_size += fabs(dout[d] * query->v[j * query->stride + d]);
            tiny += tr_ref64_tiny(dout[d], query->v[j * query->stride + d]);
        }
        grad->ds[j] = dp;
        grad->ds_err[j] = (double)op->head_dim * U * dp_size + tiny;
        delta += grad->p[j] * dp;
        delta_size += grad->p[j] * dp_size;
        size = fmax(size, dp_size);
    }
    double delta_err = delta_size * (o_relative + (double)(op->head_dim / 16 + 8) * U) +
                       2 * (double)softmax_row->n * TR_REF64_TINY * (size + 1);
    for (int64_t j = 0; j < softmax_row->n; j++) {
        double dp = grad->ds[j], difference = dp - delta, p = grad->p[j];
        grad->ds[j] = p * difference * scale;
        grad->ds_err[j] = scale * (p * (grad->ds_err[j] + delta_err + 5 * U * fabs(difference)) +
                                   grad->p_err[j] * (fabs(difference) + delta_err)) +
                          4 * TR_REF64_TINY;
        grad->ds_err[j] += factor_u(op) * (fabs(grad->ds[j]) + grad->ds_err[j]); /* as it goes into products */
        grad->p_err[j] += factor_u(op) * p;
    }
}

/* out += a b, a with error a_err; the sum over n such terms. */
static void add_product(double *out, double *err, double a, double a_err, double b, int64_t n)
{
    *out += a * b;
    *err += a_err * fabs(b) + (double)n * U * fabs(a * b) + tr_ref64_tiny(a, b);
}

static void attn_bwd_query(const struct tr_ref64 *run, int64_t row, double *z, struct score_grad *grad,
                           double *const err[3])
{
    const struct tr_op *op = run->op;
    int64_t token = row / op->heads, head = row % op->heads;
    struct query query = query_at(run, token, head, z);
    const double *dout = run->operand[TR_ATTN_BWD_DO] + row * op->head_dim;
    int64_t kv = query.k - run->operand[TR_ATTN_BWD_K];
    int64_t group = op->heads / op->kv_heads, queries = op->seq_len * group + 16;
    score_grad(run, &query, row, grad);
    for (int64_t j = 0; j < query.row.n; j++) {
        for (int64_t d = 0; d < op->head_dim; d++) {
            int64_t i = row * op->head_dim + d, k = kv + j * query.stride + d;
            add_product(&run->operand[TR_ATTN_BWD_DQ][i], &err[0][i], grad->ds[j], grad->ds_err[j],
                        query.k[j * query.stride + d], query.row.n + 8);
            add_product(&run->operand[TR_ATTN_BWD_DK][k], &err[1][k], grad->ds[j], grad->ds_err[j], query.q[d],
                        queries);
            add_product(&run->operand[TR_ATTN_BWD_DV][k], &err[2][k], grad->p[j], grad->p_err[j], dout[d], queries);
        }
    }
}

static void attn_bwd(const struct tr_ref64 *run)
{
    const struct tr_op *op = run->op;
    double *z = zeros(op->positions);
    struct score_grad grad = {zeros(op->positions), zeros(op->positions), zeros(op->positions), zeros(op->positions)};
    double *err[3];
    for (int i = 0; i < 3; i++) {
        int64_t n = tr_ref64_count(op, TR_ATTN_BWD_DQ + i);
        err[i] = zeros(n);
        for (int64_t k = 0; k < n; k++)
            run->operand[TR_ATTN_BWD_DQ + i][k] = 0;
    }
    for (int64_t row = 0; row < op->seqs * op->seq_len * op->heads; row++)
        attn_bwd_query(run, row, z, &grad, err);
    for (int i = 0; i < 3; i++) {
        for (int64_t k = 0; k < tr_ref64_count(op, TR_ATTN_BWD_DQ + i); k++)
            tr_ref64_out(run, TR_ATTN_BWD_DQ + i, k, run->operand[TR_ATTN_BWD_DQ + i][k], err[i][k]);
        free(err[i]);
    }
    free(z);
    free(grad.p);
    free(grad.p_err);
    free(grad.ds);
    free(grad.ds_err);
}

void tr_ref64_attn(const struct tr_ref64 *run)
{
    if (run->op->kind == TR_OP_ATTN)
        attn(run);
    else
        attn_bwd(run);
}

/* ---- head ------------------------------------------------------------------------------------------------------- */

/* Adds the gradients of one token: dz = (softmax(z) - [target]) scale, dx = dz w, dw += dz^T x. */
static void head_grad(const struct tr_ref64 *run, int64_t t, int64_t target, const struct softmax *row, double *dx_err)
{
    const struct tr_op *op = run->op;
    int64_t n_tokens = op->seqs * op->seq_len + 2;
    const double *x = run->operand[TR_HEAD_X] + t * op->width;
    double scale = run->values->loss_scale, ignored = 0;
    double *dx = run->operand[TR_HEAD_DX] + t * op->width;
    for (int64_t c = 0; c < op->width; c++)
        dx[c] = dx_err[c] = 0;
    for (int64_t v = 0; v < op->vocab && target >= 0; v++) {
        double p = exp(row->z[v] - row->max) / row->sum, y = p - (v == target);
        double dz = y * scale;
        double dz_err = scale * (p * (row->p_err + row->sum_err + 2 * U) + 2 * TR_REF64_TINY) + 2 * U * fabs(dz);
        dz_err += factor_u(op) * (fabs(dz) + dz_err) + TR_REF64_TINY;
        for (int64_t c = 0; c < op->width; c++) {
            int64_t k = v * op->width + c;
            double *dw_err = run->err[TR_HEAD_DW] != NULL ? &run->err[TR_HEAD_DW][k] : &ignored;
            add_product(&dx[c], &dx_err[c], dz, dz_err, run->operand[TR_HEAD_W][k], op->vocab + 8);
            if (run->operand[TR_HEAD_DW] != NULL)
                add_product(&run->operand[TR_HEAD_DW][k], dw_err, dz, dz_err, x[c], n_tokens);
        }
    }
    for (int64_t c = 0; c < op->width; c++)
        tr_ref64_out(run, TR_HEAD_DX, t * op->width + c, dx[c], dx_err[c]);
}

void tr_ref64_head(const struct tr_ref64 *run)
{
    const struct tr_op *op = run->op;
    double *z = zeros(op->vocab), *dx_err = zeros(op->width);
    for (int64_t k = 0; run->err[TR_HEAD_DW] != NULL && k < op->vocab * op->width; k++)
        run->err[TR_HEAD_DW][k] = (double)(op->seqs * op->seq_len + 2) * U * fabs(run->operand[TR_HEAD_DW][k]);
    for (int64_t t = 0; t < op->seqs * op->seq_len; t++) {
        int64_t target = (int64_t)run->operand[TR_HEAD_TARGETS][t];
        double worst = 0;
        for (int64_t v = 0; v < op->vocab; v++) {
            double magnitude = 0, tiny = 0;
            z[v] = 0;
            for (int64_t c = 0; c < op->width; c++) {
                double product =
                    run->operand[TR_HEAD_X][t * op->width + c] * run->operand[TR_HEAD_W][v * op->width + c];
                z[v] += product;
                magnitude += fabs(product);
                tiny += tr_ref64_tiny(run->operand[TR_HEAD_X][t * op->width + c],
                                      run->operand[TR_HEAD_W][v * op->width + c]);
            }
            worst = fmax(worst, (double)op->width * U * magnitude + tiny);
        }
        struct softmax row = {.n = op->vocab, .z = z, .z_err = worst};
        softmax(&row);
        double log_sum = log(row.sum), loss = target < 0 ? 0 : log_sum - (z[target] - row.max);
        double err =
            target < 0 ? 0 : 2 * row.z_err + row.sum_err + U * (log_sum + 2 * fabs(z[target] - row.max) + fabs(loss));
        tr_ref64_out(run, TR_HEAD_LOSS, t, loss, err);
        if (op->flags & TR_OP_GRAD)
            head_grad(run, t, target, &row, dx_err);
    }
    free(z);
    free(dx_err);
}
