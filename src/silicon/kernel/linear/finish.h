/* The end of a product, in vector words: c = sum (+ bias) (+ residual), in this order, rounded once. For all kernels that have
 * the sums of outputs as fp32. */
#ifndef TR_SILICON_KERNEL_LINEAR_FINISH_H
#define TR_SILICON_KERNEL_LINEAR_FINISH_H

#include "silicon/kernel/simd.h"

struct finish {
    const void *bias;     /* of the first column on, of `type`, or NULL */
    const void *residual; /* the first element, laid out and typed as C, or NULL */
    void *c;              /* the same of C */
    int64_t stride;       /* elements from row to row of both */
    enum tr_dtype type, c_type;
};

TR_V_INLINE void finish_rows_of(const struct finish *f, const float *sum, int64_t sum_stride, int64_t rows, int64_t n,
                                const enum tr_dtype type, const enum tr_dtype c_type)
{
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < n; j += TR_VLEN) {
            const int64_t left = n - j;
            tr_v y = v_loadn_at(sum + i * sum_stride + j, TR_F32, 0, left);
            if (f->bias != NULL)
                y = v_add(y, v_loadn_at(f->bias, type, j, left));
            if (f->residual != NULL)
                y = v_add(v_loadn_at(f->residual, c_type, i * f->stride + j, left), y);
            v_storen_at(f->c, c_type, i * f->stride + j, y, left);
        }
    }
}

/* `rows` rows of n sums, sum_stride apart. */
static inline void finish_rows(const struct finish *f, const float *sum, int64_t sum_stride, int64_t rows, int64_t n)
{
    if (f->c_type == TR_BF16)
        finish_rows_of(f, sum, sum_stride, rows, n, TR_BF16, TR_BF16);
    else if (f->type == TR_BF16)
        finish_rows_of(f, sum, sum_stride, rows, n, TR_BF16, TR_F32);
    else
        finish_rows_of(f, sum, sum_stride, rows, n, TR_F32, TR_F32);
}

#endif
