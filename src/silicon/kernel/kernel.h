/* Kernels: how each operation of silicon/op runs on this processor.
 *
 * An operation lives in one folder: x_ref.c is its meaning, obvious and slow; x_avx2.c, x_avx512.c and, where pairs
 * of bf16 are multiplied, x_avx512bf16.c are its speed; x.c lists them. Any of them gives the same bits
 * (docs/contract.md). A kernel set is one function for each kind of operation; it starts as all reference, and the
 * variants of an instruction set override entries.
 *
 * Threads: a kernel uses up to call->threads OpenMP threads itself. The bits do not depend on how many.
 * Memory: a kernel allocates nothing. Packing buffers and tiles lie in call->workspace, whose size
 * tr_kernel_workspace_bytes says beforehand.
 * Errors: none at run time; a call that does not fit its description is our bug and asserts.
 * Counting: kernels add what they do to call->count, counted in their own loops, not read from tr_op_work, so that
 * "planned = measured" can fail. Each operand element counts once, when it is first loaded or last stored.
 */
#ifndef TR_SILICON_KERNEL_KERNEL_H
#define TR_SILICON_KERNEL_KERNEL_H

#include "silicon/op/op.h"

#include <stdatomic.h>

struct tr_count {
    atomic_int_fast64_t flop, read_bytes, write_bytes;
};

struct tr_call {
    const struct tr_op *op;
    void *operand[TR_OP_OPERANDS_MAX]; /* row-major, densely packed, 64-byte aligned; NULL: an optional one not there */
    struct tr_step_values *values;
    void *workspace;                   /* 64-byte aligned; NULL when the kernel wants 0 bytes */
    struct tr_count *count;
    int threads;                       /* >= 1 */
};

typedef void tr_kernel_fn(const struct tr_call *call);
typedef int64_t tr_workspace_fn(const struct tr_op *op, int threads);

enum tr_isa { TR_ISA_REF, TR_ISA_AVX2, TR_ISA_AVX512, TR_ISA_AVX512_BF16, TR_ISA_COUNT };

/* One implementation of one kind; a module folder exports a list of them, ended by .run = NULL. */
struct tr_kernel {
    enum tr_op_kind kind;
    enum tr_isa isa;
    enum tr_dtype act; /* the activation type that it can do; TR_BF16 kernels stand beside TR_F32 ones */
    tr_kernel_fn *run;
    tr_workspace_fn *workspace; /* NULL: 0 bytes */
};

struct tr_kernel_set {
    enum tr_isa isa;
    struct tr_kernel kernel[TR_OP_KIND_COUNT][2]; /* [kind][act is bf16] */
};

/* Eight digits that are others where a source of the kernels is (scripts/kernels_id.cmake), whatever compiled them: what was measured of
 * other kernels says nothing of these. */
extern const char *const tr_kernels_id;

/* "ref", "avx2", "avx512", "avx512bf16" */
const char *tr_isa_name(enum tr_isa isa);

/* Whether this processor and this build can run `isa`. */
bool tr_isa_runs(enum tr_isa isa);

/* The best instruction set that runs here, or the one that the environment variable TRINE_ISA names; a name that is
 * unknown or does not run here is refused with a sentence. */
TR_MUST_CHECK enum tr_status tr_isa_choose(enum tr_isa *isa, struct tr_err *err);

/* The kernels of `isa`, with fallback to lower ones for kinds that have no faster variant. Valid for ever. */
const struct tr_kernel_set *tr_kernel_set(enum tr_isa isa);

int64_t tr_kernel_workspace_bytes(const struct tr_kernel_set *set, const struct tr_op *op, int threads);

/* Runs the operation. */
void tr_kernel_run(const struct tr_kernel_set *set, const struct tr_call *call);

/* Asserts what bit-exactness needs of the processor: round to nearest, no flush to zero (a library built with fast-math
 * can change both). Call it at start and before each step, evaluation and token. */
void tr_kernel_assert_fp_mode(void);

/* The position at which the document of token t begins, by operand `start`; 0 without TR_OP_APART. */
static inline int64_t tr_call_start(const struct tr_call *call, int start, int64_t t)
{
    return call->op->flags & TR_OP_APART ? ((const int32_t *)call->operand[start])[t] : 0;
}

/* Adds to the counters; thread-safe. Call it once a thread or a tile, with local sums. */
static inline void tr_count_add(struct tr_count *count, int64_t flop, int64_t read_bytes, int64_t write_bytes)
{
    atomic_fetch_add_explicit(&count->flop, flop, memory_order_relaxed);
    atomic_fetch_add_explicit(&count->read_bytes, read_bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&count->write_bytes, write_bytes, memory_order_relaxed);
}

/* What a loop has done; added to call->count once a row, a thread or so. */
struct tr_tally {
    int64_t flop, read_bytes, write_bytes;
};

static inline void tr_tally_add(const struct tr_call *call, const struct tr_tally *tally)
{
    tr_count_add(call->count, tally->flop, tally->read_bytes, tally->write_bytes);
}

/* The module folders' lists. */
extern const struct tr_kernel tr_embed_kernels[], tr_norm_kernels[], tr_linear_kernels[], tr_rope_kernels[],
    tr_packed_kernels[], tr_attn_kernels[], tr_act_kernels[], tr_head_kernels[], tr_update_kernels[];

#endif
