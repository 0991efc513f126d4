/* Inside of plan/step: the sums of a pipeline stage. */
#ifndef TR_PLAN_STEP_STAGE_H
#define TR_PLAN_STEP_STAGE_H

#include "plan/step/step.h"

/* One stage, one microbatch. */
struct tr_stage {
    double forward_s[TR_TERM_COUNT], input_s[TR_TERM_COUNT], weight_s[TR_TERM_COUNT]; /* input_s: recompute too */
    double forward_total_s, backward_total_s, weight_total_s;
    double error_s;
    double layers;
    struct tr_block_weights weights;
    double largest;   /* weights of its largest block: what FSDP gathers at a time */
    double kept;      /* bytes that a microbatch in flight keeps */
    double transient; /* bytes of the block that is computed again */
    double logits;    /* bytes of the head */
};

void tr_stage_make(struct tr_stage *stage, const struct tr_blocks *blocks, const struct tr_task *task,
                   const struct tr_layout *layout, int32_t index);

/* Fills memory and heaviest_stage. */
void tr_step_memory(const struct tr_blocks *blocks, const struct tr_site *site, const struct tr_task *task,
                    const struct tr_layout *layout, struct tr_step *out);

#endif
