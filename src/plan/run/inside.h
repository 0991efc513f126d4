/* Inside of plan/run. */
#ifndef TR_PLAN_RUN_INSIDE_H
#define TR_PLAN_RUN_INSIDE_H

#include "plan/run/run.h"

/* choose.c: searches the layouts that the request leaves open, on each number of chips, and takes the best by its wishes: fills
 * search, layout, step, request.chips and, when nothing fits, why (with the layout that needs least memory). `said`: what
 * plan->layout fixes. TR_BAD_INPUT: nothing is legal. */
TR_MUST_CHECK enum tr_status tr_plan_choose(struct tr_plan *plan, uint32_t said, struct tr_err *err);

/* counts.c: which numbers of chips are tried, and which is the best. */

/* Values in turn: `first`, twice it ... and `last` (0: first alone). */
int tr_plan_doublings(int64_t first, int64_t last, int64_t out[TR_PLAN_COUNTS_MAX]);
/* What a search with the batch that the plan has now has found becomes candidates. */
void tr_plan_add_candidates(struct tr_plan *plan, const struct tr_search *found);
/* Tries what was asked for, each batch on each number of chips, then in whole nodes what lies about the best of them. */
TR_MUST_CHECK enum tr_status tr_plan_try_counts(struct tr_plan *plan, const struct tr_space *space, struct tr_err *err);
/* After the wishes were missed on all that was asked for: search.instead. */
TR_MUST_CHECK enum tr_status tr_plan_look_beyond(struct tr_plan *plan, const struct tr_space *space, struct tr_err *err);
/* Candidates by batch and chips, marked: the front of time against dollars, and what tables show. */
void tr_plan_mark_candidates(struct tr_plan *plan);

/* What a run of steps of step_s on so many chips costs. */
struct tr_job_cost tr_plan_job(const struct tr_plan *plan, int commitment, int64_t chips, double step_s);

/* So many steps of such a batch are the tokens of the run. */
double tr_plan_steps(const struct tr_plan *plan, int64_t global_batch);
/* Another batch of as many tokens as the run has: steps follow. */
void tr_plan_set_batch(struct tr_plan *plan, int64_t global_batch);

#endif
