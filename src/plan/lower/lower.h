/* From a model, a layout and a stack to the operations that one rank runs: what is priced, and what an explanation
 * prints.
 *
 *     struct tr_block block;           one kind of layer, as one rank sees it: all sizes are local
 *     struct tr_lowered ops;
 *     tr_block_make(&block, &model, kind, layout, &batch)
 *     tr_lower(&block, stack, format, &ops)
 *     for (i < ops.count) ops.op[i] ...
 *
 * A block is lowered once for one microbatch: its forward operations, and those of its backward pass in two parts, as
 * zero-bubble schedules cut it: gradients of inputs and gradients of weights. What is recomputed is the forward pass
 * again (whole, or the operations that the stack's `selective` names). A step is then a count of these (step/step.h), and the walk of the
 * whole step is the same lists repeated (step/walk.c): a test compares the two.
 *
 * Sizes are exact up to two approximations that are said in the stack's documentation: experts get tokens evenly (the
 * stack's `imbalance` is a factor of their time), and ranks of a context-parallel ring get equal shares of the causal
 * triangle. */
#ifndef TR_PLAN_LOWER_LOWER_H
#define TR_PLAN_LOWER_LOWER_H

#include "plan/layout/layout.h"
#include "plan/stack/stack.h"
#include "silicon/cost/rates.h"

/* DENSE and MOE are attention and a feed-forward; layers of hybrids are one of the four after them. */
enum tr_block_kind {
    TR_BLOCK_EMBED, TR_BLOCK_DENSE, TR_BLOCK_MOE, TR_BLOCK_ATTENTION, TR_BLOCK_FFN, TR_BLOCK_EXPERTS, TR_BLOCK_SSM,
    TR_BLOCK_JOIN, /* of a module for a further token: two widths to one */
    TR_BLOCK_HEAD, TR_BLOCK_KIND_COUNT
};

struct tr_block {
    enum tr_block_kind kind;
    int64_t seqs, queries, keys;  /* of a microbatch; queries = seq_len / cp, keys = seq_len (ring) */
    int64_t tokens;               /* seqs * queries */
    int64_t norm_tokens;          /* tokens / tp with sequence parallel */
    int64_t window;               /* keys a query sees at most; 0: all before it */
    int64_t width, vocab;         /* vocab: of this rank, padded */
    int64_t positions;            /* learned position embeddings; 0: none */
    int64_t heads, kv_heads;      /* of this rank */
    int64_t dim_qk, dim_v;
    int64_t q_rank, kv_rank, rope_dim; /* MLA: heads share a latent; 0: none */
    int64_t ffn;                  /* dense: of this rank */
    int64_t experts, local_experts, top_k, expert_ffn, shared_ffn; /* expert_ffn / etp, shared_ffn / tp */
    int64_t expert_groups, top_groups; /* a token's experts stand in top_groups of so many; 0: anywhere */
    int64_t expert_width;         /* of tokens as experts get them: width, or latent */
    int64_t ssm_heads, ssm_head_dim, ssm_groups, ssm_state, ssm_conv; /* heads and groups of this rank */
    int64_t routed;               /* (token, expert) pairs that this rank's experts compute when balanced */
    int64_t sent;                 /* (token, expert) pairs that this rank dispatches */
    bool gated, rope, qk_norm, qkv_bias, expert_bias, biased, frozen; /* frozen: no gradients of weights (low-rank adapters) */
    int32_t tp, cp, ep, etp;
    bool sp;
    enum tr_context context;
};

/* SEND: from one rank to the next of its mesh axis; COLLECTIVE: among all of them. */
enum tr_step_kind { TR_STEP_GEMM, TR_STEP_ATTENTION, TR_STEP_PASS, TR_STEP_COLLECTIVE, TR_STEP_SEND,
                    TR_STEP_KIND_COUNT };
enum tr_step_phase { TR_STEP_FORWARD, TR_STEP_INPUT, TR_STEP_WEIGHT, TR_STEP_PHASE_COUNT };
/* The axis of the mesh of ranks that a message goes along: how far it reaches, and who shares the network card. */
enum tr_mesh {
    TR_MESH_TP, TR_MESH_CP, TR_MESH_EP, TR_MESH_ETP,
    TR_MESH_DP,        /* that share one copy of weights or sum gradients: dp * cp, or `shard` of them */
    TR_MESH_EXPERT_DP, /* that hold the same experts */
    TR_MESH_REPLICA,   /* hybrid sharding: the same piece in each group of `shard` */
    TR_MESH_PP, TR_MESH_COUNT
};

struct tr_step_op {
    enum tr_step_kind kind;
    enum tr_step_phase phase;
    enum tr_part part;
    const char *name;   /* of the program or of the stack's entry: lives as long as the catalog */
    int64_t m, n, k;    /* GEMM: C[m, n] = A[m, k] B[k, n] */
    int64_t groups;     /* GEMM: independent products of that shape, in one launch */
    bool accumulates;   /* GEMM: C is fp32 and added to */
    bool wide;          /* GEMM: 16 bits whatever the precision (router, head, scores) */
    bool scan;          /* GEMM: in the chunks of a state-space layer */
    bool imbalanced;    /* of experts: the slowest rank counts */
    bool outside;       /* its result leaves the part, or is kept: selective recompute does without */
    bool under_core;    /* messages: runs while attention does (ring of context parallel) */
    double bytes;       /* PASS: read and written; COLLECTIVE: of the whole, as tr_cost_collective; SEND: sent */
    enum tr_grade bytes_grade; /* PASS: of the stack's bytes an element */
    enum tr_collective collective;
    enum tr_mesh mesh;
    int64_t copies;     /* COLLECTIVE: so many of the bytes are one token's, which goes to a node once; 0: all go where they go */
    int32_t kernels;    /* launches */
};

enum { TR_LOWERED_MAX = 192 };
struct tr_lowered {
    struct tr_step_op op[TR_LOWERED_MAX];
    int count;
};

static inline bool tr_block_has_attention(enum tr_block_kind kind)
{
    return kind == TR_BLOCK_DENSE || kind == TR_BLOCK_MOE || kind == TR_BLOCK_ATTENTION;
}
static inline bool tr_block_has_ffn(enum tr_block_kind kind) { return kind == TR_BLOCK_DENSE || kind == TR_BLOCK_FFN; }
static inline bool tr_block_has_experts(enum tr_block_kind kind)
{
    return kind == TR_BLOCK_MOE || kind == TR_BLOCK_EXPERTS;
}

/* Whether blocks of that kind have passes and kept tensors of that part. */
bool tr_block_has_part(enum tr_block_kind kind, enum tr_part part);

/* What the first product of a state-space layer gives for one token: x and its gate, B, C, a step a head. */
static inline int64_t tr_block_ssm_inputs(const struct tr_block *b)
{
    return 2 * b->ssm_heads * b->ssm_head_dim + 2 * b->ssm_groups * b->ssm_state + b->ssm_heads;
}

/* The block of that kind on a rank. Asserts that the layout is legal. */
void tr_block_make(struct tr_block *block, const struct tr_model_shape *model, enum tr_block_kind kind,
                   int64_t window, const struct tr_layout *layout, const struct tr_batch *batch);

void tr_lower(const struct tr_block *block, const struct tr_stack *stack, enum tr_format format,
              struct tr_lowered *out);

/* Whether selective recompute does this operation of the forward pass again. */
static inline bool tr_step_op_again(const struct tr_stack *stack, const struct tr_step_op *op)
{
    return op->phase == TR_STEP_FORWARD && !op->outside && stack->selective & 1u << op->part;
}

/* Whether a pass or a kept tensor with these conditions (enum tr_when) happens for the block. */
bool tr_block_when(const struct tr_block *block, const struct tr_stack *stack, enum tr_format format, uint32_t when);

/* Elements of an extent. */
double tr_extent_elements(const struct tr_block *block, enum tr_extent extent);

/* Weights of the block on this rank: those cut by tp (`cut`), replicated over tp (`whole`: norms, routers), and of
 * experts. */
struct tr_block_weights {
    double cut, whole, expert;
    double largest; /* its largest single matrix */
};
struct tr_block_weights tr_block_weights(const struct tr_block *block);

/* Bytes that the forward pass of one microbatch keeps. */
struct tr_block_kept {
    double all;        /* nothing is computed again */
    double selective;  /* without what the stack's `selective` computes again */
    double full;       /* the input of the block only */
};
struct tr_block_kept tr_block_kept(const struct tr_block *block, const struct tr_stack *stack,
                                   enum tr_format format);

const char *tr_block_kind_name(enum tr_block_kind kind);
const char *tr_mesh_name(enum tr_mesh mesh);

#endif
