/* Inside of plan/run. */
#ifndef TR_PLAN_RUN_INSIDE_H
#define TR_PLAN_RUN_INSIDE_H

#include "plan/run/run.h"

/* Searches the layouts that the request leaves open, on each number of chips, and takes the best by its wishes: fills
 * search, layout, step, request.chips and, when nothing fits, why (with the layout that needs least memory). `said`: what
 * plan->layout fixes. TR_BAD_INPUT: nothing is legal. */
TR_MUST_CHECK enum tr_status tr_plan_choose(struct tr_plan *plan, uint32_t said, struct tr_err *err);

/* What a run of steps of step_s on so many chips costs. */
struct tr_job_cost tr_plan_job(const struct tr_plan *plan, int commitment, int64_t chips, double step_s);

/* Another batch of as many tokens as the run has: steps follow. */
void tr_plan_set_batch(struct tr_plan *plan, int64_t global_batch);

#endif
