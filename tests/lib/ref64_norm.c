/* LayerNorm (Ba, Kiros and Hinton 2016) and RMSNorm (Zhang and Sennrich 2019), forward and backward. */
#include "lib/ref64.h"

#include <math.h>

#define U TR_REF64_U

/* Roundings that a term of a sum of n terms along a row passes through: 16 partial sums, then a tree, a division. */
static double row_sum_roundings(int64_t n) { return (double)(n / 16 + 8); }

struct row {
    const double *x;
    int64_t width;
    bool rms;
    double mean, rstd, mean_err, rstd_err; /* rstd_err relative */
};

/* Mean and 1 / sqrt(variance + eps), with their bounds. */
static void measure(struct row *row, double eps)
{
    double n = (double)row->width, sum = 0, magnitude = 0, square = 0;
    for (int64_t c = 0; c < row->width; c++) {
        sum += row->x[c];
        magnitude += fabs(row->x[c]);
    }
    row->mean = row->rms ? 0 : sum / n;
    row->mean_err = row->rms ? 0 : row_sum_roundings(row->width) * U * magnitude / n;
    for (int64_t c = 0; c < row->width; c++)
        square += (row->x[c] - row->mean) * (row->x[c] - row->mean);
    double variance = square / n;
    row->rstd = 1 / sqrt(variance + eps);
    /* d = x - mean is rounded and has the error of the mean: in the variance 2 u each, and mean_err^2 (the term of
     * first order in mean_err sums to zero); a row of n products; the division, + eps; half of it through the root,
     * the root and the reciprocal. Where mean_err is not small beside the deviation, d's own error counts too. */
    double relative = (row_sum_roundings(row->width) + 4) * U;
    double absolute = row->mean_err * row->mean_err + 2 * row->mean_err * U * sqrt(variance);
    row->rstd_err = (relative * variance + absolute + TR_REF64_TINY) / (variance + eps) / 2 + 3 * U;
}

static double normalized(const struct row *row, int64_t c) { return (row->x[c] - row->mean) * row->rstd; }

static double normalized_err(const struct row *row, int64_t c)
{
    double d = row->x[c] - row->mean;
    return row->rstd * (row->mean_err + U * fabs(d)) + fabs(d * row->rstd) * (row->rstd_err + U);
}

static void forward(const struct tr_ref64 *run)
{
    const struct tr_op *op = run->op;
    for (int64_t r = 0; r < op->seqs * op->seq_len * op->heads; r++) {
        struct row row = {
            .x = run->operand[TR_NORM_X] + r * op->width, .width = op->width, .rms = (op->flags & TR_OP_RMS) != 0};
        measure(&row, op->eps);
        tr_ref64_out(run, TR_NORM_STATS, 2 * r, row.mean, row.mean_err);
        tr_ref64_out(run, TR_NORM_STATS, 2 * r + 1, row.rstd, row.rstd * row.rstd_err);
        for (int64_t c = 0; c < op->width; c++) {
            double gain = run->operand[TR_NORM_GAIN][c];
            double bias = run->operand[TR_NORM_BIAS] == NULL ? 0 : run->operand[TR_NORM_BIAS][c];
            double y = normalized(&row, c) * gain + bias;
            tr_ref64_out(run, TR_NORM_Y, r * op->width + c, y, fabs(gain) * normalized_err(&row, c) + U * fabs(y));
        }
    }
}

/* dx of one row: with g = dy gain, dx = rstd (g - mean(g) - xhat mean(g xhat)); RMSNorm without mean(g). */
static void backward_row(const struct tr_ref64 *run, const struct row *row, int64_t r)
{
    const struct tr_op *op = run->op;
    const double *dy = run->operand[TR_NORM_BWD_DY] + r * op->width, *gain = run->operand[TR_NORM_BWD_GAIN];
    double n = (double)op->width, a = 0, b = 0, a_size = 0, b_size = 0, b_err = 0;
    for (int64_t c = 0; c < op->width; c++) {
        double g = dy[c] * gain[c], xhat = normalized(row, c);
        a += g / n;
        b += g * xhat / n;
        a_size += fabs(g) / n;
        b_size += fabs(g * xhat) / n;
        b_err += fabs(g) * normalized_err(row, c) / n;
    }
    double sums = (row_sum_roundings(op->width) + 1) * U;
    double a_err = sums * a_size;
    b_err += sums * b_size;
    if (row->rms)
        a = a_err = 0;
    for (int64_t c = 0; c < op->width; c++) {
        int64_t i = r * op->width + c;
        double g = dy[c] * gain[c], xhat = normalized(row, c);
        double d = row->rstd * (g - a - xhat * b);
        double size = fabs(g) + fabs(a) + fabs(xhat * b);
        double err = row->rstd * (3 * U * size + a_err + fabs(xhat) * b_err + fabs(b) * normalized_err(row, c)) +
                     fabs(d) * (row->rstd_err + U);
        double old = op->flags & TR_OP_ADD_DX ? run->operand[TR_NORM_BWD_DX][i] : 0;
        tr_ref64_out(run, TR_NORM_BWD_DX, i, old + d, err + U * fabs(old + d));
    }
}

static void backward_parameters(const struct tr_ref64 *run, const struct row *row, int64_t r)
{
    const struct tr_op *op = run->op;
    double n = (double)(op->seqs * op->seq_len * op->heads + 2); /* terms of the sum over tokens */
    double *dbias = run->operand[TR_NORM_BWD_DBIAS];
    for (int64_t c = 0; c < op->width; c++) {
        double dy = run->operand[TR_NORM_BWD_DY][r * op->width + c];
        if (run->operand[TR_NORM_BWD_DGAIN] == NULL)
            return;
        run->operand[TR_NORM_BWD_DGAIN][c] += dy * normalized(row, c);
        if (run->err[TR_NORM_BWD_DGAIN] != NULL)
            run->err[TR_NORM_BWD_DGAIN][c] +=
                n * U * fabs(dy * normalized(row, c)) + fabs(dy) * normalized_err(row, c) + TR_REF64_TINY;
        if (dbias == NULL)
            continue;
        dbias[c] += dy;
        if (run->err[TR_NORM_BWD_DBIAS] != NULL)
            run->err[TR_NORM_BWD_DBIAS][c] += n * U * fabs(dy);
    }
}

/* err of the accumulators begins with what was in them. */
static void start_accumulators(const struct tr_ref64 *run)
{
    const struct tr_op *op = run->op;
    double n = (double)(op->seqs * op->seq_len * op->heads + 2);
    for (int i = TR_NORM_BWD_DGAIN; i <= TR_NORM_BWD_DBIAS; i++)
        for (int64_t c = 0; run->err[i] != NULL && c < op->width; c++)
            run->err[i][c] = n * U * fabs(run->operand[i][c]);
}

static void backward(const struct tr_ref64 *run)
{
    const struct tr_op *op = run->op;
    start_accumulators(run);
    for (int64_t r = 0; r < op->seqs * op->seq_len * op->heads; r++) {
        struct row row = {
            .x = run->operand[TR_NORM_BWD_X] + r * op->width, .width = op->width, .rms = (op->flags & TR_OP_RMS) != 0};
        /* The kernel takes the statistics of the forward pass. They are those of this row, rounded to fp32: their
         * error is within the bound that measure() gives to a forward kernel. */
        measure(&row, op->eps);
        backward_row(run, &row, r);
        backward_parameters(run, &row, r);
    }
}

void tr_ref64_norm(const struct tr_ref64 *run)
{
    if (run->op->kind == TR_OP_NORM)
        forward(run);
    else
        backward(run);
}
