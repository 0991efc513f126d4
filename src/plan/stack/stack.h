/* A stack: the software that runs a step, as data. Two programs that train the same model on the same chips take
 * different times, because they launch other kernels, move other bytes and hide other messages; a prediction names the
 * one it is for. The catalog holds them (catalog/stacks/, section `stacks`), each number with its source:
 *
 *     stacks:
 *       megatron-2021:
 *         about: "Megatron-LM and Megatron-DeepSpeed of 2021: fp16, unfused attention, nothing hidden"
 *         frameworks: ["Megatron-DeepSpeed", "Megatron-LM (Apr 2021)"]     as tables of runs call it; first match counts
 *         attention: unfused
 *         host: {kernel: 7us}
 *         passes:
 *           norm: {part: block, over: width, forward: 4, backward: 10, kernels: 1, backward_kernels: 2}
 *         kept:
 *           scores: {part: core, over: scores, bytes: 5}
 *
 * passes   kernels that only move memory: bytes read and written an element of their extent, forward and backward
 * kept     what the forward pass keeps for the backward pass: bytes an element
 *
 * Both are lists with names, so that `like:` can change one of them and an explanation can name it. Matrix products,
 * attention and messages are not listed: they follow from the model and the layout (step/lower.c); the stack says how
 * they are done. Parameters that are fitted are few, and say so (grade interpolated). */
#ifndef TR_PLAN_STACK_STACK_H
#define TR_PLAN_STACK_STACK_H

#include "silicon/catalog/catalog.h"

#include <stdbool.h>
#include <stdint.h>

/* Elements of one microbatch on one rank; T tokens of the rank = micro_batch * seq_len / cp. */
enum tr_extent {
    TR_EXTENT_WIDTH,      /* T * width, / tp with sequence parallel */
    TR_EXTENT_WIDTH_FULL, /* T * width */
    TR_EXTENT_QKV,        /* T * (heads * dims of a query + kv_heads * dims of a key and a value) / tp */
    TR_EXTENT_HEADS,      /* T * heads * dims of a value / tp */
    TR_EXTENT_LATENT,     /* T * (q rank + kv rank + rope dims), MLA only */
    TR_EXTENT_SCORES,     /* seqs * heads / tp * queries * keys, whole square: unfused attention does not skip its half */
    TR_EXTENT_FFN,        /* T * ffn / tp: one of the two when gated */
    TR_EXTENT_ROUTED,     /* experts: (token, expert) pairs that a rank computes * width */
    TR_EXTENT_ROUTED_FFN, /* the same * expert ffn / etp */
    TR_EXTENT_SHARED_FFN, /* T * shared ffn / tp */
    TR_EXTENT_EXPERTS,    /* experts: T / (tp with sp) * experts: the router's table */
    TR_EXTENT_SSM,        /* state space: T * heads * dims of a head / tp */
    TR_EXTENT_SSM_CONV,   /* what its convolution sees: the same and B and C */
    TR_EXTENT_SSM_STATES, /* T / TR_SSM_CHUNK * heads * dims of a head * state / tp */
    TR_EXTENT_LOGITS,     /* T * vocabulary / tp */
    TR_EXTENT_WEIGHTS,    /* weights of the part on this rank: adding a microbatch's gradients to the buffer */
    TR_EXTENT_COUNT
};

enum { TR_SSM_CHUNK = 128 }; /* tokens that a state-space layer takes at once (chunk_size of Nemotron-H's config.json) */

/* Where a pass or a kept tensor belongs; CORE: inside of attention. */
enum tr_part { TR_PART_EMBED, TR_PART_ATTENTION, TR_PART_CORE, TR_PART_FFN, TR_PART_MOE, TR_PART_SSM,
               TR_PART_HEAD, TR_PART_COUNT };

/* A pass happens only when all that it asks for is so. */
enum tr_when {
    TR_WHEN_GATED = 1 << 0,
    TR_WHEN_PLAIN = 1 << 1, /* not gated */
    TR_WHEN_FP8 = 1 << 2,   /* any 8-bit or 4-bit products */
    TR_WHEN_ROPE = 1 << 3,
    TR_WHEN_QK_NORM = 1 << 4,
    TR_WHEN_TP = 1 << 5,    /* tp > 1 */
    TR_WHEN_UNFUSED = 1 << 6,
    TR_WHEN_WIDE = 1 << 7,   /* 16-bit products */
    TR_WHEN_TRAINED = 1 << 8, /* weights have gradients: not the frozen ones below adapters */
    TR_WHEN_EXPERT_BIAS = 1 << 9
};

enum { TR_STACK_PASSES_MAX = 48, TR_STACK_KEPT_MAX = 48, TR_STACK_FRAMEWORKS_MAX = 32 };

struct tr_stack_pass {
    const char *name;
    enum tr_part part;
    enum tr_extent over;
    uint32_t when;
    struct tr_fact forward, backward; /* bytes an element */
    int32_t kernels, backward_kernels;
};

struct tr_stack_kept {
    const char *name;
    enum tr_part part;
    enum tr_extent over;
    uint32_t when;
    struct tr_fact bytes; /* an element */
};

/* FLASH    one kernel, as good as the best measured on the chip
 * FLASH_2  one kernel written for Ampere (FlashAttention-2): a core of a later chip does no more with it in a clock
 * UNFUSED  products around passes over the scores */
enum tr_attention_kind { TR_ATTENTION_FLASH, TR_ATTENTION_FLASH_2, TR_ATTENTION_UNFUSED, TR_ATTENTION_KIND_COUNT };

/* What a program may not do, as words of a layout (catalog: `cannot: [zero3, zero-bubble]`). A search of open layouts leaves
 * it out; who asks for it by name gets its price nevertheless. */
enum tr_ability {
    TR_ABILITY_SP,
    TR_ABILITY_RING,       /* context parallel, as a ring */
    TR_ABILITY_ALL_TO_ALL, /* and all to all; neither: no cp */
    TR_ABILITY_ZERO0, TR_ABILITY_ZERO1, TR_ABILITY_ZERO2, TR_ABILITY_ZERO3,
    TR_ABILITY_GPIPE, TR_ABILITY_1F1B, TR_ABILITY_INTERLEAVED, TR_ABILITY_ZERO_BUBBLE, TR_ABILITY_ZERO_BUBBLE_2P,
    TR_ABILITY_COUNT
};

struct tr_stack {
    const char *name, *about;
    uint32_t cannot;                /* 1u << enum tr_ability */
    const struct tr_entry *entry;
    const char *framework[TR_STACK_FRAMEWORKS_MAX];
    int framework_count;
    int attention;                  /* enum tr_attention_kind */
    bool attention8;                /* attention of runs in MXFP8 is in 8 bits, on chips whose exponentials keep up with it (Blackwell
                                       Ultra's are twice as many a clock) */
    uint32_t selective;             /* 1u << enum tr_part: whose inside `recompute=selective` computes again; of CORE, FFN, MOE */

    /* Time */
    struct tr_fact host_kernel_s;   /* the host's time to launch one kernel; a layer takes no less than its launches */
    struct tr_fact host_message_s;  /* and to start a collective or a send */
    struct tr_fact host_experts_s;  /* what it does beside launches in the forward pass of a layer of experts, to know and tell which
                                       tokens go where; twice that backward, nothing where CUDA graphs hold the layer (struct
                                       tr_layout, graphs) */
    bool dispatch_once;             /* a token goes to a node once, however many experts it has there (DeepEP, HybridEP) */
    bool graphs;                    /* they do in scale-up domains of more than a node, whatever a run says */
    struct tr_fact host_step_s;     /* once a step: data, logging, the optimiser's Python */
    struct tr_fact launch_share;    /* of a kernel's start-to-end latency that is seen when kernels queue on the device */
    struct tr_fact compute_share;   /* of the rate of short benchmarks that products reach in long runs (power, clocks) */
    struct tr_fact mxfp8_share;     /* of that again, in products of 8 bits with a scale a block, which both factors are cast to
                                       along rows and along columns */
    struct tr_fact fp4_share;       /* of that again, in products of 4 bits */
    struct tr_fact attention_share; /* the same for fused attention: how good the stack's kernel is, beside the measured */
    struct tr_fact scan_share;      /* of a product's rate that the chunked scan of a state-space layer reaches: many small
                                       kernels, that are written for generality */
    struct tr_fact memory_share;    /* the same for passes */
    struct tr_fact link_share;      /* the same for messages inside a scale-up domain */
    struct tr_fact net_share;       /* the same for messages between nodes */
    struct tr_fact tp_hidden;       /* share of the tensor-parallel messages that runs under products */
    struct tr_fact dp_hidden;       /* 1: gradients are reduced under the last backward pass, as far as it lasts; 0: after */
    struct tr_fact gather_hidden;   /* the same for weights of a sharded optimiser under the first forward pass */
    struct tr_fact ep_hidden;       /* share of the experts' all-to-all under other work */
    struct tr_fact p2p_hidden;      /* share of the sends between stages under other work */
    struct tr_fact compute_slow;    /* products run at (1 - this) while messages move */
    struct tr_fact imbalance;       /* what experts' products take longer than as many products of their size: the slowest rank over the
                                       mean, and what kernels of grouped products lose. Half of the published runs of experts have
                                       their balance forced and show the second alone: without that a run may take longer */
    struct tr_fact straggle;        /* how much later the slowest of many nodes is than the mean: step/compose.c */
    bool release;                   /* a later release of the stack that it is like */
    struct tr_fact memory_error;    /* half width of the 80 % interval of a rank's memory, relative */
    struct tr_fact error;           /* half width of the 80 % interval that the software adds, relative */
    const struct tr_node *runs;     /* that it was fitted to: lists of formats by chip; NULL: none */

    /* Bytes */
    struct tr_fact grad_bytes;      /* of one gradient as it is kept */
    struct tr_fact alone_bytes;     /* of a gradient of the matrix that was computed last, before it is added to the kept */
    struct tr_fact reduce_bytes;    /* as it travels */
    struct tr_fact master_bytes;    /* optimiser state of one parameter: fp32 copy and two moments: 12 */
    struct tr_fact update_bytes;    /* read and written by the optimiser, one parameter of the shard */
    struct tr_fact context_bytes;   /* CUDA context, libraries */
    struct tr_fact comm_bytes;      /* buffers of one communicator */
    struct tr_fact fragmentation;   /* of what is allocated, never used */

    struct tr_stack_pass pass[TR_STACK_PASSES_MAX];
    int pass_count;
    struct tr_stack_kept kept[TR_STACK_KEPT_MAX];
    int kept_count;
};

/* A parameter that is fitted to whole runs (tools/fit_stacks.c): a fact of struct tr_stack, in section stack_fits. A
 * stack without a fit of its own has that of the one it is like. */
struct tr_stack_param {
    const char *path;
    size_t offset; /* of the fact */
    double min, max;
};
const struct tr_stack_param *tr_stack_params(int *count);

/* The keys of a stack's entry, for tables: offsets in struct tr_stack. */
struct tr_field;
const struct tr_field *tr_stack_fields(int *count);

/* Reads the stack of that name; unknown: TR_BAD_INPUT, naming the nearest. Strings live as long as the catalog. */
TR_MUST_CHECK enum tr_status tr_stack_find(const struct tr_catalog *catalog, const char *name, struct tr_stack *out,
                                           struct tr_err *err);

TR_MUST_CHECK enum tr_status tr_stack_read(const struct tr_entry *entry, struct tr_stack *out, struct tr_err *err);
/* As the entry itself says, without what was fitted: where a fit begins. */
TR_MUST_CHECK enum tr_status tr_stack_read_unfitted(const struct tr_entry *entry, struct tr_stack *out,
                                                    struct tr_err *err);

/* The stack that says it is this framework: the longest of all `frameworks` texts that begins `framework`.
 * When none does, the longest of those that begin a word in it; NULL: none of them either. In any case of letters. */
const struct tr_entry *tr_stack_for(const struct tr_catalog *catalog, const char *framework);

/* Whether runs on the chip of that id, in products of the format of that name, are among those that it was fitted to: `error` then
 * has what the chip's operations err in it. */
bool tr_stack_has_runs(const struct tr_stack *stack, const char *chip, const char *format);

/* Whether it is the stack of that name, or like it. */
bool tr_stack_is_like(const struct tr_stack *stack, const char *name);

/* Whether what is over that extent lies inside of the part, between its first product and the one that ends it: all of CORE, what is as
 * wide as a feed-forward of FFN and MOE. Selective recompute keeps all else: norms, residuals, the router's table. */
bool tr_extent_is_inside(enum tr_part part, enum tr_extent over);

/* Whether selective recompute leaves it to the backward pass. */
bool tr_stack_kept_again(const struct tr_stack *stack, const struct tr_stack_kept *kept);

const char *tr_extent_name(enum tr_extent extent);
const char *tr_part_name(enum tr_part part);
const char *tr_ability_name(enum tr_ability ability); /* "zero3", "all-to-all" */

#endif
