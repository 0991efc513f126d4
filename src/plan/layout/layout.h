/* A layout: how the work of one training step is spread over chips and over time. Pure algebra, no prices.
 *
 *     tp    tensor parallel: heads, feed-forward and vocabulary are cut; with sp the token axis between them too
 *     cp    context parallel: each sequence is cut; keys and values go round a ring or heads are exchanged all to all
 *     pp    pipeline: layers are cut into pp * vpp chunks, chunk c stands on stage c mod pp
 *     dp    data parallel: replicas that see other sequences; zero says what they share out among themselves
 *     ep    expert parallel: the experts of a layer are spread over ep ranks, taken out of dp * cp * tp (not in addition)
 *     etp   tensor parallel inside an expert
 *
 * chips = dp * tp * cp * pp. Ranks are placed in the order tp, cp, dp, pp (tp innermost), as Megatron does: chips of a
 * tensor-parallel group are neighbours.
 *
 * Legality is one list of rules. tr_layout_check asks them in order and says the first that is broken, with what would
 * be right; the search makes only layouts that pass (a test proves it). */
#ifndef TR_PLAN_LAYOUT_LAYOUT_H
#define TR_PLAN_LAYOUT_LAYOUT_H

#include "base/err.h"
#include "base/text.h"
#include "plan/shape/shape.h"

#include <stdbool.h>
#include <stdint.h>

/* GPIPE        all forward, then all backward: m microbatches in flight
 * 1F1B         one forward, one backward: at most pp - stage in flight (Narayanan 2019, PipeDream-flush)
 * INTERLEAVED  1F1B over vpp chunks a stage: bubble / vpp, more sends (Narayanan 2021)
 * ZERO_BUBBLE     the backward pass is cut into input and weight parts, and weight parts fill the bubble, on each stage
 *                 in the memory of 1F1B's first (ZB-1p, Qi 2023, arXiv 2401.10241)
 * ZERO_BUBBLE_2P  the same with twice the activations and almost no bubble (ZB-2p) */
enum tr_pipeline { TR_PIPELINE_GPIPE, TR_PIPELINE_1F1B, TR_PIPELINE_INTERLEAVED, TR_PIPELINE_ZERO_BUBBLE,
                   TR_PIPELINE_ZERO_BUBBLE_2P, TR_PIPELINE_COUNT };
enum tr_context { TR_CONTEXT_RING, TR_CONTEXT_ALL_TO_ALL, TR_CONTEXT_COUNT };
/* SELECTIVE: what the stack calls so (`selective`: the inside of attention, Korthikanti 2022, and of feed-forwards); FULL: each
 * layer keeps its input only. */
enum tr_rerun { TR_RERUN_NONE, TR_RERUN_SELECTIVE, TR_RERUN_FULL, TR_RERUN_COUNT };

enum { TR_CHIPS_MAX = 1 << 20, TR_LAYOUT_TEXT_BYTES = 256 };

struct tr_layout {
    int32_t dp, tp, cp, pp, ep, etp;
    int32_t vpp;                 /* chunks a stage; 1: not interleaved */
    int32_t zero;                /* 0 nothing, 1 optimiser, 2 + gradients, 3 + weights (FSDP) are shared out */
    int32_t shard;               /* ranks of dp * cp that share one copy (hybrid sharding); 0: all of them */
    bool sp;                     /* sequence parallel: norms and residuals on tokens / tp */
    enum tr_context context;
    enum tr_pipeline pipeline;
    enum tr_rerun rerun;         /* what the backward pass computes again */
    int32_t rerun_layers;        /* of each chunk, when FULL; 0: all */
    int64_t micro_batch;         /* sequences a microbatch, of one replica */
    int32_t first_layers, last_layers; /* of the first and the last chunk; 0: by the rule of tr_layout_chunk_layers */
    bool graphs;                 /* the host need not know which tokens go where: layers of experts are in CUDA graphs, or drop what is
                                    too many; said of runs, in no layout's text */
    bool bare_exchange;          /* experts' tokens go by the library's all-to-all, under no other work; said of runs, as above */
};

/* What is laid out: the model, and one step of it. */
struct tr_batch {
    int64_t seq_len;      /* tokens a sequence */
    int64_t global_batch; /* sequences a step, all replicas */
};

static inline int64_t tr_layout_chips(const struct tr_layout *l) { return (int64_t)l->dp * l->tp * l->cp * l->pp; }
/* Whether model, tokens and experts are cut over chips in the same way; what is left differs in how work is ordered and what is kept. */
static inline bool tr_layout_divides_alike(const struct tr_layout *a, const struct tr_layout *b)
{
    return a->tp == b->tp && a->cp == b->cp && a->pp == b->pp && a->dp == b->dp && a->ep == b->ep && a->etp == b->etp;
}
static inline int64_t tr_layout_micro_count(const struct tr_layout *l, const struct tr_batch *b)
{
    return b->global_batch / (l->dp * l->micro_batch);
}
/* Ranks over which optimiser state is shared out (zero >= 1); 1 otherwise. */
static inline int32_t tr_layout_shard(const struct tr_layout *l)
{
    return l->zero == 0 ? 1 : l->shard ? l->shard : l->dp * l->cp;
}
/* Replicas of one expert's weights. */
static inline int32_t tr_layout_expert_dp(const struct tr_layout *l) { return l->dp * l->cp * l->tp / (l->ep * l->etp); }

/* Groups that a rank is a member of, each with a communicator. */
static inline int32_t tr_layout_groups(const struct tr_layout *l)
{
    return (l->tp > 1) + (l->cp > 1) + (l->ep > 1) + (l->pp > 1) + ((int64_t)l->dp * l->cp > 1);
}

/* A layout of one chip for one sequence at a time: where a search or a reader starts. */
struct tr_layout tr_layout_single(void);

/* TR_BAD_INPUT with the first broken rule: what does not divide and what would. TR_OK: the layout is legal. */
TR_MUST_CHECK enum tr_status tr_layout_check(const struct tr_layout *layout, const struct tr_model_shape *model,
                                             const struct tr_batch *batch, struct tr_err *err);

/* The rules that hold on any number of chips and with any batch: replicas are as few as go with ep, and the batch is one that they
 * divide (dp and shard are not read). What they refuse no number of chips makes right. */
TR_MUST_CHECK enum tr_status tr_layout_check_parts(const struct tr_layout *layout, const struct tr_model_shape *model, int64_t seq_len,
                                                   struct tr_err *err);

/* "2 or 8": of 1 .. most the nearest below and above the one that is not so, `times` as many of each; "": none. */
enum { TR_LAYOUT_NEAR_BYTES = 64 };
typedef bool tr_layout_near_fn(const void *of, int64_t number);
const char *tr_layout_near(tr_layout_near_fn *is, const void *of, int64_t wanted, int64_t most, int64_t times, char buf[TR_LAYOUT_NEAR_BYTES]);
/* The same of two numbers of which either may be 0, for none. */
const char *tr_layout_either(int64_t below, int64_t above, char buf[TR_LAYOUT_NEAR_BYTES]);

/* Layers of chunk c (0 .. pp * vpp - 1). When first_layers or last_layers are given the others share what is left.
 * Otherwise as training cuts them (tr_pipe_chunk_layers of lab/model/pipe.h). The sum is `layers`. Asserts 0 <= c < pp * vpp. */
int32_t tr_layout_chunk_layers(const struct tr_layout *layout, int32_t layers, int32_t chunk);
/* Of all chunks the most. */
int32_t tr_layout_longest_chunk(const struct tr_layout *layout, int32_t layers);
/* Interleaved, and not of as many layers each, the ends that or fewer. */
bool tr_layout_is_ragged(const struct tr_layout *layout, int32_t layers);
/* The index of the first layer of the chunk. */
int32_t tr_layout_chunk_first(const struct tr_layout *layout, int32_t layers, int32_t chunk);
/* Layers of all chunks of a stage. */
int32_t tr_layout_stage_layers(const struct tr_layout *layout, int32_t layers, int32_t stage);

/* Microbatches whose activations a stage holds at its peak, in whole stages' worth: GPIPE m; 1F1B min(m, pp - stage);
 * ZERO_BUBBLE min(m, pp) and ZERO_BUBBLE_2P min(m, 2 pp - 1) on any stage, those whose gradients of weights wait
 * included (plan/step/walk.c lets no more wait); INTERLEAVED min(m vpp, 2 (pp - stage - 1) +
 * (vpp - 1) pp + 1) / vpp, which on the first stage is pp (1 + (pp - 1) / (pp vpp)). */
double tr_layout_in_flight(const struct tr_layout *layout, int64_t micro_count, int32_t stage);

/* As people write it: words between commas or blanks, "tp=8" or "tp8": tp cp pp vpp dp ep etp mb (micro_batch) zero shard
 * recompute-layers first-layers last-layers with whole numbers; sp alone; context=ring|all-to-all, schedule=gpipe|1f1b|
 * interleaved|zero-bubble|zero-bubble-2p (not said: interleaved when vpp is above 1, else 1f1b), recompute=none|selective|
 * full. What is not said is 1, off or none, and dp 0: it follows from the chips. Legality is not looked at. */
TR_MUST_CHECK enum tr_status tr_layout_parse(const char *text, struct tr_layout *out, struct tr_err *err);
/* The same for a layout that is to be found: "auto", or "auto,tp=8,sp": what is said is fixed (bits 1u << enum
 * tr_layout_key in *said), all else open. *open: whether the text says auto, or nothing at all. */
enum tr_layout_key {
    TR_LAYOUT_TP, TR_LAYOUT_CP, TR_LAYOUT_PP, TR_LAYOUT_VPP, TR_LAYOUT_DP, TR_LAYOUT_EP, TR_LAYOUT_ETP, TR_LAYOUT_MB,
    TR_LAYOUT_SP, TR_LAYOUT_ZERO, TR_LAYOUT_SHARD, TR_LAYOUT_CONTEXT, TR_LAYOUT_SCHEDULE, TR_LAYOUT_RECOMPUTE,
    TR_LAYOUT_RECOMPUTE_LAYERS, TR_LAYOUT_FIRST_LAYERS, TR_LAYOUT_LAST_LAYERS, TR_LAYOUT_KEYS
};
TR_MUST_CHECK enum tr_status tr_layout_parse_open(const char *text, struct tr_layout *out, uint32_t *said, bool *open,
                                                  struct tr_err *err);
/* dp = chips / (tp cp pp). TR_BAD_INPUT: it does not divide, or dp is said and is another. */
TR_MUST_CHECK enum tr_status tr_layout_fit_chips(struct tr_layout *layout, int64_t chips, struct tr_err *err);
/* Where dp follows from the chips: TR_BAD_INPUT when so many replicas do not divide the batch, with the chips, and the batch, that
 * would do. All other rules are those of tr_layout_check. */
TR_MUST_CHECK enum tr_status tr_layout_fit_batch(const struct tr_layout *layout, const struct tr_batch *batch, struct tr_err *err);

/* "tp8 pp16 vpp6 dp8 mb1 sp zero1 recompute=full"; only what is not 1 or off. What is printed reads
 * back as the same. Returns buf. */
const char *tr_layout_print(const struct tr_layout *layout, char buf[TR_LAYOUT_TEXT_BYTES]);

const char *tr_pipeline_name(enum tr_pipeline pipeline); /* "gpipe" "1f1b" "interleaved" "zero-bubble" "zero-bubble-2p" */
const char *tr_context_name(enum tr_context context);    /* "ring" "all-to-all" */
const char *tr_rerun_name(enum tr_rerun rerun);          /* "none" "selective" "full" */

#endif
