/* What one training step takes: seconds and bytes, of a layout on a system, by named terms.
 *
 *     struct tr_site site;                      the system, the stack, the number format
 *     struct tr_task task;                      the model, its batch
 *     struct tr_step step;
 *     tr_site_make(&site, &system, &stack, TR_FORMAT_BF16, err);
 *     tr_step_price(&site, &task, &layout, &step, err)
 *     step.time_s, step.term_s[TR_TERM_GEMM], step.memory[TR_MEM_WEIGHTS] (of the heaviest stage) ...
 *
 * How a step is put together (compose.c):
 *
 *   block     each kind of layer is lowered and each operation priced once (block.c); of messages of tp (over links) and ep a
 *             share is hidden, at most as long as a microbatch's compute; a pass takes the longer of what the device does
 *             and what the host needs to launch it
 *   stage     sums of blocks: forward F, backward B (with what is recomputed), weight part W of B
 *   pipeline  GPIPE             m (F + B) of the slowest stage + F + B of the others, once
 *             1F1B              of the slowest stage or the last, whichever is later, + F + B of those before it, and of those behind it
 *                               what is beyond its first forward passes; of even stages that is the same
 *             INTERLEAVED       the others' once / vpp; for each microbatch that the last group of pp lacks, (vpp - 1) B / vpp
 *             ZERO_BUBBLE       the others' F + B - W once, less the slowest's W of min(m - 1, pp - 1) microbatches (2p: twice pp - 1),
 *                               not below the F of those before it (2p: 0)
 *   sends     two a microbatch and chunk on the slowest stage, less what is hidden under a chunk's pass; and the way through the
 *             others, once
 *   ends      gradients summed over dp, the update, weights gathered: under compute as far as the stack hides them
 *   rest      host once a step, stragglers
 *
 * The terms sum to the step. The same from the walk of every operation of every microbatch (walk.c): a test compares.
 *
 * Memory: of each stage at its peak, which is the end of the forward pass of its last microbatch in flight. */
#ifndef TR_PLAN_STEP_STEP_H
#define TR_PLAN_STEP_STEP_H

#include "cloud/cluster/cluster.h"
#include "lab/model/config.h"
#include "plan/layout/layout.h"
#include "plan/lower/lower.h"
#include "plan/stack/stack.h"
#include "silicon/cost/cost.h"

enum tr_term {
    TR_TERM_GEMM,      /* matrix products */
    TR_TERM_ATTENTION,
    TR_TERM_PASS,      /* norms, activations, residuals: memory-bound kernels */
    TR_TERM_TP,        /* messages that are not hidden, by axis */
    TR_TERM_CP,
    TR_TERM_EP,
    TR_TERM_HOST,      /* launches that the device waits for, and the host once a step */
    TR_TERM_BUBBLE,    /* stages that wait for others: fill and drain, and uneven stages */
    TR_TERM_PP,        /* sends between stages */
    TR_TERM_DP,        /* gradients summed, weights gathered */
    TR_TERM_UPDATE,    /* the optimiser */
    TR_TERM_STRAGGLE,  /* waiting for the slowest of many nodes */
    TR_TERM_COUNT
};

enum tr_mem {
    TR_MEM_WEIGHTS, TR_MEM_GRADIENTS, TR_MEM_OPTIMIZER, TR_MEM_ACTIVATIONS, TR_MEM_LOGITS, TR_MEM_BUFFERS,
    TR_MEM_CONTEXT, TR_MEM_FRAGMENTATION, TR_MEM_COUNT
};

/* Products that were priced already, so that a search prices each of its few thousand once and not in each of its blocks: a
 * table in which the newer takes the place of the older. Zeroed it is empty. Of one site and one thread. */
enum { TR_PRODUCTS_MAX = 1 << 16 };
struct tr_products {
    struct tr_product {
        int64_t m, n, k, groups; /* m 0: none */
        enum tr_format format;
        struct tr_cost cost;
    } at[TR_PRODUCTS_MAX];
};

/* Where a step runs. */
struct tr_site {
    const struct tr_system *system;
    const struct tr_stack *stack;
    struct tr_rates rates;
    enum tr_format format;
    struct tr_rates attention; /* the rates as the stack's attention kernel sees them */
    enum tr_format wide; /* of what is always done in 16 bits: router, head, scores */
    enum tr_format core; /* of attention: the same, or the stack's 8 bits on this chip */
    bool graphs;         /* the stack's, on this chip */
    bool known;          /* the stack was fitted to runs on this chip in this format: its error has that of operations in it */
    struct tr_products *products; /* whose site this is keeps them; NULL: each is priced when it is asked for */
};

/* What is trained. */
struct tr_task {
    const struct tr_model_shape *model;
    struct tr_batch batch;
    int32_t lora_rank; /* 0: all weights are trained */
    int32_t mtp;       /* so many of the model's modules for further tokens are trained */
};

/* One kind of block for one microbatch, priced. Seconds by term (GEMM .. EP, and HOST: what the device waits for the host
 * in that pass; of the whole backward pass in input_s). */
struct tr_block_price {
    double forward_s[TR_TERM_COUNT], input_s[TR_TERM_COUNT], weight_s[TR_TERM_COUNT];
    double again_s[TR_TERM_COUNT];                     /* of forward: what selective recompute does again */
    double forward_pass_s, backward_pass_s, weight_pass_s, again_pass_s; /* their sums; backward: input and weight */
    double error_s[TR_STEP_PHASE_COUNT];               /* half widths: of one model of one chip, so they add */
    double room;                                       /* of messages that the stack hides, the share for which there is compute */
    struct tr_block_weights weights;
    struct tr_block_kept kept;
    enum tr_grade grade;
};

/* The kinds of layers that a model has: with experts or not, with a window or not. */
enum { TR_LAYER_KINDS_MAX = 4 };
struct tr_layer_kinds {
    int count;
    enum tr_block_kind kind[TR_LAYER_KINDS_MAX];
    int64_t window[TR_LAYER_KINDS_MAX];
    uint8_t of[TR_LAYERS_MAX]; /* layer -> kind */
};
void tr_layer_kinds_make(struct tr_layer_kinds *kinds, const struct tr_model_shape *model);

/* All blocks of a layout: what tr_step_compose puts together. Prices depend on the layout's tp, sp, cp, context, ep, etp
 * and micro_batch and on tr_site_tiers_around its chips, not on dp, pp, zero or the schedule: the search makes them once for many layouts. */
struct tr_blocks {
    struct tr_block_price embed, head, layer[TR_LAYER_KINDS_MAX];
    struct tr_block_price further; /* one module for a further token, without the weights of the head */
    struct tr_layer_kinds kinds;
    double send_bytes; /* from stage to stage, of one microbatch and rank */
    enum tr_grade grade; /* the worst of all: which stage is the slowest, and so the step, depends on each */
};

struct tr_step {
    double time_s, error;               /* error: half width of the 80 % interval, relative */
    double term_s[TR_TERM_COUNT];       /* sum to time_s */
    int slowest_stage;
    double memory_error;                /* half width of the 80 % interval of memory_bytes, relative */
    double memory_bytes;                /* of the heaviest stage; sum of: */
    double memory[TR_MEM_COUNT];
    int heaviest_stage;
    double model_flop;                  /* of the step, all chips: 6 N a token and causal attention; no recompute */
    double mfu;                         /* of the dense peak of the format */
    double tokens_s;                    /* all chips */
    enum tr_grade grade;
};

/* The chip's rates on this stack. TR_BAD_INPUT: the chip has no units for the format, or the catalog's fits are wrong. */
TR_MUST_CHECK enum tr_status tr_site_make(struct tr_site *site, const struct tr_system *system,
                                          const struct tr_stack *stack, enum tr_format format, struct tr_err *err);

/* The kinds of layers, by index, that a module for a further token has between its join and the head: the last layer's, in hybrids
 * one of attention and one of experts or feed-forward. Returns how many. */
int tr_further_kinds(const struct tr_layer_kinds *kinds, int32_t layers, int out[TR_LAYER_KINDS_MAX]);

void tr_blocks_make(struct tr_blocks *blocks, const struct tr_site *site, const struct tr_task *task,
                    const struct tr_layout *layout);

/* Asserts that the layout is legal. */
void tr_step_compose(const struct tr_blocks *blocks, const struct tr_site *site, const struct tr_task *task,
                     const struct tr_layout *layout, struct tr_step *out);

/* Both. The layout is checked: TR_BAD_INPUT says what is wrong with it. */
TR_MUST_CHECK enum tr_status tr_step_price(const struct tr_site *site, const struct tr_task *task,
                                           const struct tr_layout *layout, struct tr_step *out, struct tr_err *err);

/* One operation on the site, its layout's group included. */
struct tr_cost tr_step_op_cost(const struct tr_site *site, const struct tr_block *block,
                               const struct tr_layout *layout, const struct tr_step_op *op);

/* Which term it counts to, and what share of its time the stack hides under other work, where its block has room for all of it (a
 * fact that is not known, of value 0: all of it is seen). */
enum tr_term tr_step_op_term(const struct tr_step_op *op);
const struct tr_fact *tr_step_op_hidden(const struct tr_site *site, const struct tr_layout *layout, const struct tr_step_op *op);

/* Messages know of the job's size only how many of the tiers between the first and the last hold all of it. */
int tr_site_tiers_around(const struct tr_site *site, int64_t chips);

/* Whether ranks along the axis talk over the network. */
bool tr_mesh_is_across(const struct tr_site *site, const struct tr_layout *layout, enum tr_mesh mesh);

/* Ranks along an axis of the mesh. */
int64_t tr_mesh_ranks(const struct tr_layout *layout, enum tr_mesh mesh);

/* What the stack makes of a pass of single kernels: its share, and no more bytes a second than the data sheet's. */
struct tr_cost tr_site_pass(const struct tr_site *site, struct tr_cost cost);

/* Messages along an axis of the mesh of ranks: a collective, and `bytes` sent to the next rank in `sends` messages. */
struct tr_cost tr_mesh_collective(const struct tr_site *site, const struct tr_layout *layout, enum tr_mesh mesh,
                                  enum tr_collective op, double bytes);
struct tr_cost tr_mesh_send(const struct tr_site *site, const struct tr_layout *layout, enum tr_mesh mesh, double bytes,
                            int32_t sends);

double tr_model_flop_step(const struct tr_task *task);

const char *tr_term_name(enum tr_term term);
const char *tr_mem_name(enum tr_mem mem);

#endif
