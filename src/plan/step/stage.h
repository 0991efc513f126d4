/* Between blocks and steps: what one price of one layout and the search of millions are both made of (compose.c,
 * search/search.c). Each part depends on less than the whole layout, so that the search makes it once for many.
 *
 *     split     which layers stand on which stage         the model, pp, vpp, what is recomputed; no price
 *     stages    sums of a microbatch's blocks             blocks and split
 *     ends      messages between replicas, the update     the mesh, zero, shard, weights of the slowest stage
 *     held      bytes a weight                            the mesh, zero, shard
 *
 * A step's time and memory are then a dozen multiply-adds of these. */
#ifndef TR_PLAN_STEP_STAGE_H
#define TR_PLAN_STEP_STAGE_H

#include "plan/step/step.h"

/* Of numbers: in place, where fmax and fmin of the C library are calls, which a search makes by the hundred million. */
static inline double tr_larger(double a, double b) { return a > b ? a : b; }
static inline double tr_smaller(double a, double b) { return a < b ? a : b; }

/* ---- split ------------------------------------------------------------------------------------------------------- */

/* Stages [first, first + stages) that hold the same: what is true of one is true of all of them. */
struct tr_split_class {
    int32_t first, stages;
    uint16_t count[TR_LAYER_KINDS_MAX], again[TR_LAYER_KINDS_MAX]; /* layers by kind; of them computed again (FULL) */
    bool embed, head;
};

struct tr_split {
    int32_t pp, vpp;
    enum tr_rerun rerun;
    double further;   /* modules for further tokens of a stage: they stand on the last, which those who train with them give
                         fewer layers, so they are spread over all */
    bool shared_head; /* the head is the embedding, and both stand on the one stage */
    int classes;
    struct tr_split_class *of;
};

/* `of`: room for layout->pp classes. Asserts that the layout is legal. */
void tr_split_make(struct tr_split *split, struct tr_split_class *of, const struct tr_model_shape *model,
                   const struct tr_layer_kinds *kinds, const struct tr_layout *layout, int32_t mtp);

/* ---- stages ------------------------------------------------------------------------------------------------------ */

/* What FSDP gathers of a block at a time: its weights without experts, where each chip keeps its own, or with them. */
enum { TR_GATHER_DENSE, TR_GATHER_ALL, TR_GATHERS };

/* One stage, one microbatch. */
struct tr_stage {
    double forward_s, backward_s; /* backward_s: with what is computed again */
    double weight_s;              /* of backward_s: gradients of weights, which zero-bubble schedules move */
    double error_s, layers;
    struct tr_block_weights weights;
    double largest[TR_GATHERS]; /* weights of its largest block */
    double matrix;    /* elements of its largest matrix */
    double kept;      /* bytes that a microbatch in flight keeps */
    double transient; /* bytes of the block that is computed again */
    double logits;    /* bytes of the head */
};

void tr_stage_make(struct tr_stage *stage, const struct tr_blocks *blocks, const struct tr_split *split,
                   const struct tr_split_class *class);
/* Both passes by term (GEMM .. EP, HOST), added up: their sum is forward_s + backward_s. */
void tr_stage_terms(double term_s[TR_TERM_COUNT], const struct tr_blocks *blocks, const struct tr_split *split,
                    const struct tr_split_class *class);

/* What a stage's memory depends on. */
struct tr_load {
    int32_t index;
    double dense, expert; /* weights */
    double largest[TR_GATHERS], matrix, kept, transient, logits;
};

struct tr_load tr_load_of(const struct tr_stage *stage, int32_t index);

/* Where a 1F1B pipeline may be held up: a stage, the last of its class. */
struct tr_turning {
    int32_t index;
    double forward_s, both_s, before_s; /* of one microbatch: on it, forward and with backward; through those before it, both */
};

struct tr_stages {
    struct tr_stage slowest;
    const struct tr_split_class *slowest_class;
    double others_s, others_weight_s; /* one microbatch through the other stages, forward and backward; of it gradients of weights */
    double before_s;                  /* forward passes of one microbatch through the stages before the slowest */
    struct tr_turning slow, late;     /* the slowest; the one that has done as many microbatches as there are stages the latest, of all but the last */
    double last_s;                    /* one microbatch, forward and backward, on the last stage */
    int load_count;
    struct tr_load *load; /* of stages of which any may be the heaviest */
};

/* `load`: room for split->classes. Left out are stages after one that is as large in every field of tr_load: all of them
 * enter memory with factors of at least 0, and microbatches in flight never grow from stage to stage
 * (tr_layout_in_flight), so they are never heavier. */
void tr_stages_make(struct tr_stages *stages, struct tr_load *load, const struct tr_blocks *blocks,
                    const struct tr_split *split);

/* ---- time -------------------------------------------------------------------------------------------------------- */

/* Of the slowest stage's weights, alone and not hidden. Depends on zero only by its being 0 or not. */
struct tr_ends {
    double gradients_s, gather_s, update_s;
    enum tr_grade gradients_grade, gather_grade, update_grade, hidden_grade; /* hidden: of how much of the first two is not seen */
};
void tr_ends_make(struct tr_ends *ends, const struct tr_site *site, const struct tr_task *task,
                  const struct tr_layout *layout, const struct tr_stage *slowest);

/* Exposed part of a message that may run under `window_s` of compute, slowing of the compute included. */
static inline double tr_exposed_s(const struct tr_stack *stack, double message_s, double window_s)
{
    return tr_larger(0, message_s - window_s) + stack->compute_slow.value * tr_smaller(message_s, window_s);
}

/* Once a step after the last microbatch (zero 0, 1; with pp also 2), after each (2), or FSDP (3): each pass of each
 * microbatch gathers the weights of a layer while the one before computes. */
static inline double tr_replicas_s(const struct tr_stack *stack, const struct tr_task *task, const struct tr_split *split,
                                   int32_t zero, const struct tr_ends *ends, const struct tr_stage *slowest,
                                   double micro_count)
{
    double under_forward = stack->gather_hidden.value * slowest->forward_s;
    double under_backward = stack->dp_hidden.value * slowest->backward_s;
    if (zero == 3) {
        double first = ends->gather_s / (slowest->layers + 1); /* nothing to hide under */
        double reduce = task->lora_rank ? 0 : ends->gradients_s;
        return micro_count * (tr_larger(first, tr_exposed_s(stack, ends->gather_s, under_forward)) +
                              tr_larger(first, tr_exposed_s(stack, ends->gather_s + reduce, under_backward)));
    }
    if (task->lora_rank)
        return 0;
    double s = (zero == 2 && split->pp == 1 ? micro_count : 1) * tr_exposed_s(stack, ends->gradients_s, under_backward);
    return zero == 0 ? s : s + tr_exposed_s(stack, ends->gather_s, under_forward);
}

/* What a step takes beyond the microbatches of the slowest stage, because of this one. A stage begins when the first microbatch has come
 * through those before it and ends when the last has gone back through them; between these it works, and waits for its first gradient as
 * long as the stages behind it take beyond its own first forward passes. With fewer microbatches than stages those of them that have all
 * before their first gradient wait for its last. */
static inline double tr_turning_s(const struct tr_stages *stages, const struct tr_turning *at, int32_t pp, double micro_count)
{
    double more_s = at->both_s - stages->slow.both_s; /* than the slowest, none or below 0 */
    double behind = pp - at->index - 1, behind_s = stages->others_s - more_s - at->before_s;
    double first = tr_smaller(micro_count - 1, behind); /* forward passes after its first and before its first gradient */
    double wait_s = tr_larger(0, behind_s - first * at->forward_s);
    if (first > 0 && first < behind)
        wait_s = tr_larger(wait_s, (behind_s - stages->last_s) * (behind - first) / (behind - 1));
    return at->before_s + micro_count * more_s + wait_s;
}

/* 1F1B: the step is that of the stage for which this is longest: the slowest, one as good as that further on, or the last (of uneven stages
 * drawn at random within 1 % of their walk in the mean). */
static inline double tr_bubble_1f1b_s(const struct tr_stages *stages, const struct tr_split *split, int64_t micro_count)
{
    double m = (double)micro_count;
    double last_s = stages->others_s + (m - 1) * (stages->last_s - stages->slow.both_s);
    return tr_larger(last_s, tr_larger(tr_turning_s(stages, &stages->slow, split->pp, m), tr_turning_s(stages, &stages->late, split->pp, m)));
}

/* Zero bubble: while the last microbatch goes through all stages and back, gradients of weights of the slowest one are made, of as many
 * microbatches as may wait (tr_layout_in_flight) and as there are, but for the last's own. No step begins on it before a first microbatch has
 * come there; in ZB-2p the stages begin the next step one after the other too, as nothing waits for all of them. */
static inline double tr_bubble_zero_s(const struct tr_stages *stages, const struct tr_split *split, bool twice, int64_t micro_count)
{
    double waiting = tr_smaller((double)micro_count - 1, (twice ? 2 : 1) * (split->pp - 1.0));
    return tr_larger(twice ? 0 : stages->before_s,
                     stages->others_s - stages->others_weight_s - waiting * stages->slowest.weight_s);
}

/* Interleaved: a chunk is 1 / vpp of a stage. A last group of microbatches that does not fill the chunks waits as long as the backward passes
 * of those that it lacks would take, in all chunks but one; their forward passes others do meanwhile
 * (of even stages within 2.6 % of the walk where a backward pass takes twice a forward one, 4 % where it takes as long). */
static inline double tr_bubble_chunks_s(const struct tr_stages *stages, const struct tr_split *split, int64_t micro_count)
{
    double lacking = micro_count % split->pp ? (double)(split->pp - micro_count % split->pp) : 0;
    return (stages->others_s + (split->vpp - 1.0) * lacking * (stages->slow.both_s - stages->slow.forward_s)) / split->vpp;
}

/* What a step takes beyond the microbatches of its slowest stage. */
static inline double tr_bubble_s(const struct tr_stages *stages, const struct tr_split *split, enum tr_pipeline pipeline,
                                 int64_t micro_count)
{
    switch (pipeline) {
    case TR_PIPELINE_1F1B:
        return tr_bubble_1f1b_s(stages, split, micro_count);
    case TR_PIPELINE_INTERLEAVED:
        return tr_bubble_chunks_s(stages, split, micro_count);
    case TR_PIPELINE_ZERO_BUBBLE:
    case TR_PIPELINE_ZERO_BUBBLE_2P:
        return tr_bubble_zero_s(stages, split, pipeline == TR_PIPELINE_ZERO_BUBBLE_2P, micro_count);
    case TR_PIPELINE_GPIPE:
    case TR_PIPELINE_COUNT:
    default:
        return stages->others_s;
    }
}

/* What is seen of a message to the next stage that takes one_s: the share that the stack hides goes under the next pass of a chunk,
 * and is at most as long. */
static inline double tr_send_seen_s(const struct tr_stack *stack, const struct tr_split *split, const struct tr_stage *slowest,
                                    double one_s)
{
    double pass_s = (slowest->forward_s + slowest->backward_s) / (2 * split->vpp);
    return one_s - tr_smaller(stack->p2p_hidden.value * one_s, pass_s);
}

static inline double tr_sends_s(const struct tr_stack *stack, const struct tr_split *split, const struct tr_stage *slowest,
                                double one_s, double micro_count)
{
    return 2 * (micro_count * split->vpp * tr_send_seen_s(stack, split, slowest, one_s) + (split->pp - 1) * one_s);
}

/* Of a step's other time: how much later the slowest node is. */
double tr_straggle_share(const struct tr_site *site, int64_t chips);

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* Bytes a weight by what holds it, and bytes that do not follow from the stage. */
struct tr_held {
    double weight, weight_expert, gradient, gradient_expert, optimizer, optimizer_expert;
    double gathered; /* a weight of the largest block, */
    int gathers;     /* of TR_GATHERS */
    double alone;    /* a gradient of the largest matrix */
    double buffers, context, loosened; /* loosened: 1 + fragmentation, of weights and activations */
};
void tr_held_make(struct tr_held *held, const struct tr_site *site, const struct tr_task *task,
                  const struct tr_layout *layout);

static inline double tr_gathered_bytes(const struct tr_held *h, const struct tr_load *load)
{
    return h->gathered * load->largest[h->gathers];
}
/* Of a stage: all but the activations that wait; with those of `in_flight` microbatches (a product apart, so that the
 * search adds it to the first by schedule). */
static inline double tr_held_bytes(const struct tr_held *h, const struct tr_load *load)
{
    double dense = h->weight + h->gradient + h->optimizer;
    double expert = h->weight_expert + h->gradient_expert + h->optimizer_expert;
    double loose = load->dense * dense + load->expert * expert + load->transient + load->logits;
    return h->loosened * loose + tr_gathered_bytes(h, load) + h->alone * load->matrix + h->buffers + h->context;
}
static inline double tr_waiting_bytes(const struct tr_held *h, const struct tr_load *load, double in_flight)
{
    return h->loosened * in_flight * load->kept;
}

/* The same by term. */
void tr_held_terms(double memory[TR_MEM_COUNT], const struct tr_held *held, const struct tr_load *load, double in_flight);

/* Fills memory and heaviest_stage. */
void tr_step_memory(const struct tr_stages *stages, const struct tr_site *site, const struct tr_task *task,
                    const struct tr_layout *layout, struct tr_step *out);

#endif
