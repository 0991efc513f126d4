/* One tile of C in registers: up to MR x NR, over one packed panel of A and one of B. Included by gemm_body.h only. */
#ifndef TR_SILICON_KERNEL_LINEAR_GEMM_TILE_H
#define TR_SILICON_KERNEL_LINEAR_GEMM_TILE_H

#if TR_VLEN == 8
enum { MR = 6 }; /* 12 of 16 registers hold sums */
#else
enum { MR = 14 }; /* 28 of 32 */
#endif
enum {
    NV = 2,
    NR = NV * TR_VLEN,
    PART = 8,              /* words of a chain between which something else is done */
    JOB_WORDS = 4,         /* words of a panel that one unit of a job packs */
    JOB_AHEAD = 3,         /* units that rows are asked for before, */
    JOB_BYTES_AHEAD = 128, /* or bytes, along k */
    K_OF_WORD = TR_SIMD_DP ? 2 : 1,
    LANES_MAX = 8,
    LINE = 64,
    WANTED_MAX = 3
};

enum tile_end {
    TILE_STORE,    /* C = chain from 0 */
    TILE_CONTINUE, /* C = chain from C */
    TILE_ADD       /* C = C + chain from 0 */
};

/* Packing that is done while tiles are multiplied, unit by unit: multiply-adds leave the processor room for it, and what
 * comes from memory need not be waited for (bench/LOG.md, "packing in the shadow of tiles"). A unit is to[word * step + i] =
 * word of row i, of JOB_WORDS words and TR_VLEN rows; of the type whose words are not widened. Units of several lanes take
 * turns, so that where k is the slow index all of a line is read at once. */
struct job {
    const char *from;
    int64_t row_bytes; /* from one row to the next, or when k is the slow index from one k to the next */
    bool k_slow;
    float *to;
    int64_t step, units; /* left */
    int64_t wrap;        /* from where this job would go on along k to where the next one begins */
    int lanes, lane;
    int32_t lane_bytes[LANES_MAX], lane_floats[LANES_MAX]; /* from `from`, from `to` */
};

/* Rows that a tile asks for towards its end. */
struct wanted {
    const void *at;
    int64_t row_bytes;
};

struct tile {
    const float *a; /* [k][MR] words */
    const float *b; /* [k][NR] words */
    int64_t k;      /* words of the panels */
    float *c;
    int64_t c_stride;
    int64_t n; /* columns that C has here, <= NR */
    enum tile_end end;
    struct job *job;                  /* what is packed meanwhile */
    struct wanted wanted[WANTED_MAX]; /* what this tile's end and the next one's beginning touch */
    int wanted_count;
    const struct finish *finish; /* of the element at the tile's corner: where the sums go instead of `c`, NULL: nowhere else;
                                    wants n = NR */
};

/* One step of a chain: a word of A, as it stands in every lane, and a vector of words of B. */
static inline tr_v word_step(tr_v a, tr_v b, tr_v acc)
{
#if TR_SIMD_DP
    return v_dp(a, b, acc);
#else
    return v_fma(a, b, acc);
#endif
}

/* ---- few rows ---------------------------------------------------------------------------------------------------- */

/* With few rows of A each element of B is used so little that packing it is most of the work. Here B is turned 8 words
 * of k at a time, straight from its rows, so that multiply-adds and waiting for memory overlap. */
enum { FEW_MR = 4 };

/* `row` are the rows of B that are columns of C, NR of them (repeated where C has fewer), of k elements. */
static inline __attribute__((always_inline)) void few_rows_of(const struct tile *t, const void *const row[NR],
                                                              int64_t k, const enum tr_dtype type, const int mr)
{
    const bool widened = type == TR_BF16 && !TR_SIMD_DP; /* a word of B is two of A */
    const int64_t words = type == TR_BF16 ? (k + 1) / 2 : k, whole = type == TR_BF16 ? k / 2 : k;
    float b[8 * NR];
    tr_v acc[FEW_MR][NV];
    const int64_t n0 = t->n < TR_VLEN ? t->n : TR_VLEN, n1 = t->n - n0;
    for (int i = 0; i < mr; i++) {
        const float *c = t->c + i * t->c_stride;
        acc[i][0] = t->end == TILE_CONTINUE ? v_loadn(c, n0) : v_zero();
        acc[i][1] = t->end == TILE_CONTINUE ? v_loadn(c + TR_VLEN, n1) : v_zero();
    }
    for (int64_t k0 = 0; k0 < words; k0 += 8) {
        const int64_t left = words - k0 < 8 ? words - k0 : 8;
        if (k0 + 8 <= whole) {
            for (int j = 0; j < NR; j += 8) {
                const float *at[8];
                for (int r = 0; r < 8; r++)
                    at[r] = row_words(row[j + r], k0);
                v_transpose8_rows(b + j, NR, at);
            }
        } else {
            for (int j = 0; j < NR; j++)
                for (int64_t i = 0; i < left; i++)
                    b[i * NR + j] = row_word(row[j], type, k0 + i, k);
        }
        for (int64_t i = 0; i < left; i++) {
            tr_v b0 = v_load(b + i * NR), b1 = v_load(b + i * NR + TR_VLEN);
            const float *a = t->a + (widened ? 2 : 1) * (k0 + i) * MR;
            for (int r = 0; r < mr && widened; r++) {
                tr_v odd = v_set1(a[r]), even = v_set1(a[MR + r]);
                acc[r][0] = v_fma(even, v_even(b0), v_fma(odd, v_odd(b0), acc[r][0]));
                acc[r][1] = v_fma(even, v_even(b1), v_fma(odd, v_odd(b1), acc[r][1]));
            }
            for (int r = 0; r < mr && !widened; r++) {
                tr_v x = v_set1(a[r]);
                acc[r][0] = word_step(x, b0, acc[r][0]);
                acc[r][1] = word_step(x, b1, acc[r][1]);
            }
        }
    }
    for (int i = 0; i < mr; i++) {
        float *c = t->c + i * t->c_stride;
        v_storen(c, acc[i][0], n0);
        v_storen(c + TR_VLEN, acc[i][1], n1);
    }
}

static inline __attribute__((always_inline)) void few_rows_of_type(const struct tile *t, const void *const row[NR],
                                                                   int64_t k, int64_t rows, const enum tr_dtype type)
{
    switch (rows) {
    case 1:
        return few_rows_of(t, row, k, type, 1);
    case 2:
        return few_rows_of(t, row, k, type, 2);
    case 3:
        return few_rows_of(t, row, k, type, 3);
    case 4:
        return few_rows_of(t, row, k, type, 4);
    default:
        TR_ASSERT(rows >= 1 && rows <= FEW_MR);
    }
}

static __attribute__((noinline)) void few_rows_run(const struct tile *t, const void *const row[NR], int64_t k,
                                                   enum tr_dtype type, int64_t rows)
{
#if !TR_SIMD_DP
    if (type == TR_F32)
        return few_rows_of_type(t, row, k, rows, TR_F32);
#endif
    TR_ASSERT(type == TR_BF16);
    few_rows_of_type(t, row, k, rows, TR_BF16);
}

/* ---- tiles from packed panels ------------------------------------------------------------------------------------ */

TR_V_INLINE void finish_sums_of(const struct finish *f, tr_v acc[MR][NV], const int mr, const enum tr_dtype c_type)
{
    if (f->residual != NULL) {
#pragma GCC unroll 16
        for (int i = 0; i < mr; i++)
            for (int v = 0; v < NV; v++)
                acc[i][v] = v_add(v_load_at(f->residual, c_type, i * f->stride + v * TR_VLEN), acc[i][v]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++)
        for (int v = 0; v < NV; v++)
            v_store_at(f->c, c_type, i * f->stride + v * TR_VLEN, acc[i][v]);
}

TR_V_INLINE void finish_sums(const struct finish *f, tr_v acc[MR][NV], const int mr)
{
    if (f->bias != NULL) {
        tr_v bias[NV];
        for (int v = 0; v < NV; v++)
            bias[v] =
                f->type == TR_BF16 ? v_load_at(f->bias, TR_BF16, v * TR_VLEN) : v_load_at(f->bias, TR_F32, v * TR_VLEN);
#pragma GCC unroll 16
        for (int i = 0; i < mr; i++)
            for (int v = 0; v < NV; v++)
                acc[i][v] = v_add(acc[i][v], bias[v]);
    }
    if (f->c_type == TR_BF16)
        finish_sums_of(f, acc, mr, TR_BF16);
    else
        finish_sums_of(f, acc, mr, TR_F32);
}

/* The chain over words k to end - 1. */
TR_V_INLINE void chain_of(const struct tile *t, int64_t k, int64_t end, tr_v acc[MR][NV], const int mr, const int nv)
{
    const float *a = t->a + k * MR, *b = t->b + k * NR;
    for (; k < end; k++, a += MR, b += NR) {
        tr_v b0 = v_load(b), b1 = nv == 2 ? v_load(b + TR_VLEN) : v_zero();
#pragma GCC unroll 16
        for (int i = 0; i < mr; i++) {
            tr_v x = v_set1(a[i]);
            acc[i][0] = word_step(x, b0, acc[i][0]);
            if (nv == 2)
                acc[i][1] = word_step(x, b1, acc[i][1]);
        }
    }
}

TR_V_INLINE void job_unit(struct job *job)
{
    const int64_t row_bytes = job->row_bytes, step = job->step;
    const char *from = job->from + job->lane_bytes[job->lane];
    float *to = job->to + job->lane_floats[job->lane];
    if (job->k_slow) {
        const int64_t word_bytes = K_OF_WORD * row_bytes;
        const char *ahead =
            from + JOB_AHEAD * JOB_WORDS * word_bytes + (job->units <= JOB_AHEAD * job->lanes ? job->wrap : 0);
        for (int j = 0; j < JOB_WORDS; j++, from += word_bytes, ahead += word_bytes) {
            __builtin_prefetch(ahead);
#if TR_SIMD_DP
            __builtin_prefetch(ahead + row_bytes);
            v_store(to + j * step, v_pair((const tr_bf16 *)from, (const tr_bf16 *)(from + row_bytes)));
#else
            v_store(to + j * step, v_load((const float *)from));
#endif
        }
    } else {
        v_transpose4(to, step, from, row_bytes);
        from += job->units % 4 * (TR_VLEN / 4) * row_bytes + JOB_BYTES_AHEAD +
                (job->units * JOB_WORDS * 4 <= JOB_BYTES_AHEAD ? job->wrap : 0);
        for (int j = 0; j < TR_VLEN / 4; j++)
            __builtin_prefetch(from + j * row_bytes);
    }
    job->units--;
    if (++job->lane == job->lanes) {
        job->lane = 0;
        job->from += JOB_WORDS * (job->k_slow ? K_OF_WORD * row_bytes : 4);
        job->to += JOB_WORDS * step;
    }
}

/* PART words of the chain, and a unit of the job. */
TR_V_INLINE void chain_part(const struct tile *t, int64_t k, tr_v acc[MR][NV], const int mr, const int nv)
{
    if (2 * mr > MR && nv == NV && t->job->units > 0)
        job_unit(t->job);
    chain_of(t, k, tr_min_i64(k + PART, t->k), acc, mr, nv);
}

/* The chain, and towards its end row after row what is touched then: not earlier, or it has left the first cache again,
 * and not at once, or panels wait for it. */
TR_V_INLINE void chain_and_ask(const struct tile *t, tr_v acc[MR][NV], const int mr, const int nv)
{
    int64_t k = 0;
    for (; k < t->k - mr * PART; k += PART)
        chain_part(t, k, acc, mr, nv);
    for (int i = 0; i < mr; i++, k += PART) {
        for (int w = 0; w < t->wanted_count; w++) {
            const char *row = (const char *)t->wanted[w].at + i * t->wanted[w].row_bytes;
            __builtin_prefetch(row, 1);
            __builtin_prefetch(row + LINE, 1);
        }
        chain_part(t, k, acc, mr, nv);
    }
}

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
            acc[i][0] = v_zero();
            if (nv == 2)
                acc[i][1] = v_zero();
        }
    }
    chain_and_ask(t, acc, mr, nv);
    if (nv == NV && t->finish != NULL) {
        finish_sums(t->finish, acc, mr);
        return;
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
