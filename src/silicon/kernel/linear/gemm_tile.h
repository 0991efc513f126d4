/* One tile of C in registers: up to MR x NR, over one packed panel of A and one of B. Included by gemm_body.h only. */
#ifndef TR_SILICON_KERNEL_LINEAR_GEMM_TILE_H
#define TR_SILICON_KERNEL_LINEAR_GEMM_TILE_H

#if TR_VLEN == 8
enum { MR = 6 }; /* 12 of 16 registers hold sums */
#else
enum { MR = 14 }; /* 28 of 32 */
#endif
enum { NV = 2, NR = NV * TR_VLEN };

enum tile_end {
    TILE_STORE,    /* C = chain from 0 */
    TILE_CONTINUE, /* C = chain from C */
    TILE_ADD       /* C = C + chain from 0 */
};

struct tile {
    const float *a; /* [k][MR] */
    const float *b; /* [k][NR] */
    int64_t k;
    float *c;
    int64_t c_stride;
    int64_t n; /* columns that C has here, <= NR */
    enum tile_end end;
};

/* ---- few rows ---------------------------------------------------------------------------------------------------- */

/* With few rows of A each element of B is used so little that packing it is most of the work. Here B is turned 8 of k at
 * a time, straight from its rows, so that multiply-adds and waiting for memory overlap. */
enum { FEW_MR = 4 };

/* `row` are the rows of B that are columns of C, NR of them (repeated where C has fewer). */
static inline __attribute__((always_inline)) void few_rows_of(const struct tile *t, const float *const row[NR],
                                                              const int mr)
{
    float b[8 * NR];
    tr_v acc[FEW_MR][NV];
    const int64_t n0 = t->n < TR_VLEN ? t->n : TR_VLEN, n1 = t->n - n0;
    for (int i = 0; i < mr; i++) {
        const float *c = t->c + i * t->c_stride;
        acc[i][0] = t->end == TILE_CONTINUE ? v_loadn(c, n0) : v_zero();
        acc[i][1] = t->end == TILE_CONTINUE ? v_loadn(c + TR_VLEN, n1) : v_zero();
    }
    for (int64_t k0 = 0; k0 < t->k; k0 += 8) {
        const int64_t left = t->k - k0 < 8 ? t->k - k0 : 8;
        if (left == 8) {
            for (int j = 0; j < NR; j += 8) {
                const float *at[8];
                for (int r = 0; r < 8; r++)
                    at[r] = row[j + r] + k0;
                v_transpose8_rows(b + j, NR, at);
            }
        } else {
            for (int j = 0; j < NR; j++)
                for (int64_t k = 0; k < left; k++)
                    b[k * NR + j] = row[j][k0 + k];
        }
        for (int64_t k = 0; k < left; k++) {
            tr_v b0 = v_load(b + k * NR), b1 = v_load(b + k * NR + TR_VLEN);
            for (int i = 0; i < mr; i++) {
                tr_v x = v_set1(t->a[(k0 + k) * MR + i]);
                acc[i][0] = v_fma(x, b0, acc[i][0]);
                acc[i][1] = v_fma(x, b1, acc[i][1]);
            }
        }
    }
    for (int i = 0; i < mr; i++) {
        float *c = t->c + i * t->c_stride;
        v_storen(c, acc[i][0], n0);
        v_storen(c + TR_VLEN, acc[i][1], n1);
    }
}

static __attribute__((noinline)) void few_rows_run(const struct tile *t, const float *const row[NR], int64_t rows)
{
    switch (rows) {
    case 1:
        return few_rows_of(t, row, 1);
    case 2:
        return few_rows_of(t, row, 2);
    case 3:
        return few_rows_of(t, row, 3);
    case 4:
        return few_rows_of(t, row, 4);
    default:
        TR_ASSERT(rows >= 1 && rows <= FEW_MR);
    }
}

/* ---- tiles from packed panels ------------------------------------------------------------------------------------ */

/* mr and nv are constants where this is called, so that `acc` lives in registers. */
static inline __attribute__((always_inline)) void tile_of(const struct tile *t, const int mr, const int nv)
{
    tr_v acc[MR][NV];
    const int64_t n0 = t->n < TR_VLEN ? t->n : TR_VLEN, n1 = t->n - n0; /* columns in the first and second vector */
    const bool full = t->n == nv * TR_VLEN;
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++) {
        float *c = t->c + i * t->c_stride;
        if (t->end == TILE_CONTINUE) {
            acc[i][0] = full ? v_load(c) : v_loadn(c, n0);
            if (nv == 2)
                acc[i][1] = full ? v_load(c + TR_VLEN) : v_loadn(c + TR_VLEN, n1);
        } else {
            if (t->end == TILE_ADD)
                __builtin_prefetch(c);
            acc[i][0] = v_zero();
            if (nv == 2)
                acc[i][1] = v_zero();
        }
    }
    const float *a = t->a, *b = t->b;
    for (int64_t k = 0; k < t->k; k++, a += MR, b += NR) {
        tr_v b0 = v_load(b), b1 = nv == 2 ? v_load(b + TR_VLEN) : v_zero();
#pragma GCC unroll 16
        for (int i = 0; i < mr; i++) {
            tr_v x = v_set1(a[i]);
            acc[i][0] = v_fma(x, b0, acc[i][0]);
            if (nv == 2)
                acc[i][1] = v_fma(x, b1, acc[i][1]);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++) {
        float *c = t->c + i * t->c_stride;
        if (t->end == TILE_ADD) {
            acc[i][0] = v_add(full ? v_load(c) : v_loadn(c, n0), acc[i][0]);
            if (nv == 2)
                acc[i][1] = v_add(full ? v_load(c + TR_VLEN) : v_loadn(c + TR_VLEN, n1), acc[i][1]);
        }
        if (full) {
            v_store(c, acc[i][0]);
            if (nv == 2)
                v_store(c + TR_VLEN, acc[i][1]);
        } else {
            v_storen(c, acc[i][0], n0);
            if (nv == 2)
                v_storen(c + TR_VLEN, acc[i][1], n1);
        }
    }
}

static __attribute__((noinline)) void tile_full(const struct tile *t) { tile_of(t, MR, 2); }

static __attribute__((noinline)) void tile_edge(const struct tile *t, int64_t rows)
{
    const bool wide = t->n > TR_VLEN;
    switch (rows) {
    case 1:
        return wide ? tile_of(t, 1, 2) : tile_of(t, 1, 1);
    case 2:
        return wide ? tile_of(t, 2, 2) : tile_of(t, 2, 1);
    case 3:
        return wide ? tile_of(t, 3, 2) : tile_of(t, 3, 1);
    case 4:
        return wide ? tile_of(t, 4, 2) : tile_of(t, 4, 1);
    case 5:
        return wide ? tile_of(t, 5, 2) : tile_of(t, 5, 1);
    case 6:
        return wide ? tile_of(t, 6, 2) : tile_of(t, 6, 1);
#if TR_VLEN == 16
    case 7:
        return wide ? tile_of(t, 7, 2) : tile_of(t, 7, 1);
    case 8:
        return wide ? tile_of(t, 8, 2) : tile_of(t, 8, 1);
    case 9:
        return wide ? tile_of(t, 9, 2) : tile_of(t, 9, 1);
    case 10:
        return wide ? tile_of(t, 10, 2) : tile_of(t, 10, 1);
    case 11:
        return wide ? tile_of(t, 11, 2) : tile_of(t, 11, 1);
    case 12:
        return wide ? tile_of(t, 12, 2) : tile_of(t, 12, 1);
    case 13:
        return wide ? tile_of(t, 13, 2) : tile_of(t, 13, 1);
    case 14:
        return wide ? tile_of(t, 14, 2) : tile_of(t, 14, 1);
#endif
    default:
        TR_ASSERT(rows >= 1 && rows <= MR);
    }
}

static inline void tile_run(const struct tile *t, int64_t rows)
{
    if (rows == MR && t->n > TR_VLEN)
        tile_full(t);
    else
        tile_edge(t, rows);
}

#endif
