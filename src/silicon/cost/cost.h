/* What an operation costs on a chip: seconds, what bounds it, how sure that is. Models of a few physical parameters,
 * fitted to published measurements of single operations (`make fit`), never to whole training steps.
 *
 *     struct tr_rates rates;                                          (rates.h: what of a chip prices are made of)
 *     tr_rates_make(&chip, &rates, err);
 *     struct tr_cost cost = tr_cost_gemm(&rates, TR_FORMAT_BF16, tokens, out, in, 1);
 *     cost.time_s      4.7e-4
 *     cost.error       0.09: four times of five the truth lies within time_s * (1 -+ 0.09)
 *     cost.bound       TR_BOUND_ARITHMETIC
 *     cost.grade       TR_GRADE_INTERPOLATED: the chip was measured, this shape was not
 *
 * All functions are pure, take no memory, and may be called by many threads. Shapes are whole numbers from 1 to
 * TR_COST_MAX_EXTENT; other shapes are the caller's bug and assert. A cost with time_s INFINITY is an operation that the
 * chip cannot do (a format that it has no units for): `tr_cost_can` asks first.
 *
 * How wrong each model is, is said in README.md. */
#ifndef TR_SILICON_COST_COST_H
#define TR_SILICON_COST_COST_H

#include "silicon/cost/rates.h"

#define TR_COST_MAX_EXTENT ((int64_t)1 << 40)

enum tr_bound {
    TR_BOUND_LAUNCH,     /* fixed latencies: launch, pipeline fill, synchronisation */
    TR_BOUND_ARITHMETIC, /* matrix units, or the cores that feed them */
    TR_BOUND_MEMORY,     /* bandwidth of the memory */
    TR_BOUND_LINK,       /* bandwidth of links between chips */
    TR_BOUND_COUNT
};

struct tr_cost {
    double time_s;
    double error; /* half width of the 80 % interval, relative */
    enum tr_bound bound;
    enum tr_grade grade; /* the worst of the parameters that it is made of */
    double flop;         /* multiply-adds x 2; attention: of the pairs that are not masked */
    double bytes;        /* to and from memory, at least; collectives: sent by one chip */
};

const char *tr_bound_name(enum tr_bound bound); /* "launch", "arithmetic", "memory", "link" */

/* Whether the chip multiplies in this format at all (weight-only formats: in the one of the activations). */
bool tr_cost_can(const struct tr_rates *rates, enum tr_format format);

/* y[m, n] = x[m, k] w[n, k]^T, `batch` times (a batch is one launch: grouped experts, heads of unfused attention).
 * x, w in `format`; y is bf16, but for fp32 and tf32, where it is fp32. Formats that quantise activations on the way
 * (fp8, fp8_block, mxfp8, int8, nvfp4, mxfp4) include that pass, as the measured libraries do; `tr_cost_gemm_only`
 * leaves it out (the operand was quantised before). */
struct tr_cost tr_cost_gemm(const struct tr_rates *rates, enum tr_format format, int64_t m, int64_t n, int64_t k,
                            int64_t batch);
struct tr_cost tr_cost_gemm_only(const struct tr_rates *rates, enum tr_format format, int64_t m, int64_t n, int64_t k,
                                 int64_t batch);

/* Fused attention (FlashAttention and its kin) over whole sequences. */
struct tr_attention {
    enum tr_format format;    /* of the two products: bf16, fp16 or fp8 */
    enum tr_format kv_format; /* of keys and values in memory */
    int64_t batch;            /* sequences */
    int64_t queries, keys;    /* tokens a sequence; causal: query i sees keys up to keys - queries + i */
    int64_t heads, kv_heads;  /* kv_heads divides heads */
    int64_t head_dim;         /* of a query and a key */
    int64_t value_dim;        /* of a value; 0: head_dim */
    int64_t window;           /* a query sees the last `window` keys; 0: all */
    bool causal;
    bool alone;               /* the kernel alone, as training launches it; else with the pass before it that prepares its operands:
                                 queries and keys rotated, keys and values written to a cache */
};

/* Which of struct tr_rates.attention its parameters are. */
int tr_attention_fit(const struct tr_attention *attention);

struct tr_cost tr_cost_attention(const struct tr_rates *rates, const struct tr_attention *attention);
/* dQ, dK, dV with scores computed again: 5 products of the same pairs instead of 2. */
struct tr_cost tr_cost_attention_backward(const struct tr_rates *rates, const struct tr_attention *attention);

/* Kernels that only move memory (norms, residuals, activations, softmax, dropout, optimiser): `bytes` read and written
 * in all, in `kernels` launches of equal size. */
struct tr_cost tr_cost_pass(const struct tr_rates *rates, double bytes, int64_t kernels);

/* Attention as it was before FlashAttention: QK^T and PV as batched products, `score_bytes` moved an element of the
 * score matrix (whole square) in `kernels` launches between them (scale, mask, softmax, dropout). */
struct tr_cost tr_cost_attention_unfused(const struct tr_rates *rates, const struct tr_attention *attention,
                                         double score_bytes, int64_t kernels);

/* A collective among `ranks` chips that share a domain of switched links, each with link_bytes_s per direction. `bytes`: of
 * the whole: what is reduced, what is gathered, what is scattered, what one rank sends (its own part too). One rank: 0. */
struct tr_cost tr_cost_collective(const struct tr_rates *rates, enum tr_collective op, int64_t ranks, double bytes,
                                  double link_bytes_s);
/* The same; narrow: its elements are whole numbers of 8 bits, which reductions are slower with. */
struct tr_cost tr_cost_collective_of(const struct tr_rates *rates, enum tr_collective op, bool narrow, int64_t ranks,
                                     double bytes, double link_bytes_s);
/* Bytes that each rank sends, at least. */
double tr_collective_wire_bytes(enum tr_collective op, int64_t ranks, double bytes);
const char *tr_collective_name(enum tr_collective op); /* "all_reduce" ... */

/* One after the other: times add, errors as if they were one (they are of one chip and one model: not independent),
 * the worse grade, the bound of the longer. */
struct tr_cost tr_cost_add(struct tr_cost a, struct tr_cost b);
/* The same operation `count` times. */
struct tr_cost tr_cost_times(struct tr_cost cost, double count);

#endif
