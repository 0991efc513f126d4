/* The one engine of matrix products: C[m, n] = sum over k of A[m, k] B[k, n], behind LINEAR, LINEAR_DX, LINEAR_DW and
 * HEAD. Factors are fp32, or bf16 both: then chains are pair chains (reduce.h) and each run is padded to an even number
 * of k by itself. C is fp32, or (TREE) bf16, rounded when all of an output has been summed.
 *
 * The k axis is a list of runs. The join says what they mean (reduce.h):
 *     TREE    a chain goes on through all runs of one leaf; the leaves of an output are joined by the tree, in C;
 *             then + bias, then residual + that. C is overwritten.
 *     BLOCKS  each run is a chain of its own, at most TR_TOKEN_BLOCK long, and is added to C; runs ascending.
 *
 * Up to three matrices may stand side by side along one axis (`segment_axis`): weights that share x along n, their
 * gradients along m, and along k when they are summed. They share the packed panels of what they have in common.
 *
 * How it runs. B is packed in panels of NR columns, up to NC columns and so many of k at a time, by all threads that share
 * it; each thread packs blocks of MC rows of its own rows of A in panels of MR rows, and multiplies panels into tiles of
 * MR x NR of C held in registers. What is packed next is packed while tiles are multiplied, a few words at a time between
 * parts of their chains, because multiply-adds leave the processor time for it and memory is not waited for. Vector lanes
 * run along n, every element has its own chain, so that no blocking and no division of the work over threads can change a
 * bit. Up to 1,100 rows every thread has its own columns, nobody waits.
 *
 * Panels are made of words of 32 bits along k: an fp32 number; where the processor has vdpbf16ps, a pair of bf16; where
 * it has not, a bf16 widened to fp32, of each pair the odd one first, so that the tile of fp32 computes the pair chain
 * (with subnormals flushed to zero by the processor, as the instruction does).
 */
#ifndef TR_SILICON_KERNEL_LINEAR_GEMM_H
#define TR_SILICON_KERNEL_LINEAR_GEMM_H

#include "silicon/kernel/kernel.h"

enum tr_gemm_join { TR_GEMM_TREE, TR_GEMM_BLOCKS };
enum tr_gemm_axis { TR_GEMM_M, TR_GEMM_N, TR_GEMM_K };

/* A factor: element (row, k) at data[row * stride + k], or at data[k * stride + row] when k is the slow index. */
struct tr_gemm_view {
    const void *data;
    int64_t stride;
};

struct tr_gemm_run {
    int64_t k0, k;    /* k0, k0 + 1 ... k0 + k - 1 of the factors' k axis; k may be 0 */
    int32_t segment;  /* which factors, when segments lie along k */
    int32_t output;   /* which slab of C */
    int32_t level; /* TREE: the partial sum that the leaf's chain makes; 0 is C itself, others are in the workspace */
    int32_t joins;    /* TREE, on the last run of a leaf: how many times the two topmost partial sums join then */
    bool first, last; /* TREE: first and last run of a leaf. BLOCKS: first and last run of an output, for counting */
    bool done;        /* TREE: the output is complete */
};

struct tr_gemm {
    enum tr_gemm_join join;
    enum tr_gemm_axis segment_axis;
    int segments;
    int64_t m[TR_OP_SEGMENTS_MAX], n[TR_OP_SEGMENTS_MAX]; /* by segment along that axis, else [0] */
    enum tr_dtype type;                /* of both factors, and of bias */
    enum tr_dtype c_type;              /* of C and residual; TR_F32 with BLOCKS */
    bool a_k_slow, b_k_slow;
    struct tr_gemm_view a[TR_OP_SEGMENTS_MAX], b[TR_OP_SEGMENTS_MAX];
    void *c[TR_OP_SEGMENTS_MAX];       /* [outputs, m, n] dense but for c_stride between rows */
    int64_t c_stride[TR_OP_SEGMENTS_MAX];
    const void *bias[TR_OP_SEGMENTS_MAX]; /* [n] or NULL */
    const void *residual;                 /* laid out as c[0], or NULL */
    const struct tr_gemm_run *run;
    int64_t run_count;
    int levels;                        /* 1 + the highest run.level */
    bool count_a, count_b, count_c;    /* which of them are operands whose bytes count here */
};

/* The runs of one leaf of a tree are made by the caller; this fills level, joins and done of leaf `index` of the
 * `count` that make output number `output`. */
void tr_gemm_place_leaf(struct tr_gemm_run *run, int run_count, int output, int64_t index, int64_t count);

/* For sums over tokens: the blocks of leaf number `output`, which has `tokens` of each sequence. Returns how many there
 * are; writes them when run is not NULL. */
int64_t tr_gemm_token_blocks(struct tr_gemm_run *run, const struct tr_op *op, int output, struct tr_range tokens);

/* What a workspace depends on. */
struct tr_gemm_size {
    int64_t m, n; /* summed over segments */
    int64_t k;    /* TREE: of the longest leaf, each run rounded up to an even number; BLOCKS: 0 */
    int levels;
    enum tr_dtype c_type;
};

int64_t tr_gemm_workspace_avx2(const struct tr_gemm_size *size, int threads);
int64_t tr_gemm_workspace_avx512(const struct tr_gemm_size *size, int threads);
int64_t tr_gemm_workspace_avx512bf16(const struct tr_gemm_size *size, int threads);

/* avx512bf16 is for bf16 factors only. */
void tr_gemm_avx2(const struct tr_gemm *gemm, void *workspace, struct tr_count *count, int threads);
void tr_gemm_avx512(const struct tr_gemm *gemm, void *workspace, struct tr_count *count, int threads);
void tr_gemm_avx512bf16(const struct tr_gemm *gemm, void *workspace, struct tr_count *count, int threads);

/* Sizes in a workspace are multiples of this, so that every buffer begins on a cache line. */
static inline int64_t tr_gemm_round_bytes(int64_t bytes) { return (bytes + 63) / 64 * 64; }
static inline int64_t tr_gemm_run_bytes(int64_t runs)
{
    return tr_gemm_round_bytes(runs * (int64_t)sizeof(struct tr_gemm_run));
}

#endif
