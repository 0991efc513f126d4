/* Figures of a plan, for the pages that have them. */
#ifndef TR_PLAN_REPORT_DRAW_H
#define TR_PLAN_REPORT_DRAW_H

#include "base/text.h"
#include "plan/run/run.h"

/* A bar for each term of the step's time. */
void tr_plan_draw_step(const struct tr_plan *plan, struct tr_text *out);

/* What each stage does when: as much of the beginning of the step as `spans_max` passes are, and with `end_too` of its end. Stages
 * beyond 64 are left out. TR_BAD_INPUT: more microbatches than can be walked (plan/step/walk.h). */
TR_MUST_CHECK enum tr_status tr_plan_draw_pipeline(const struct tr_plan *plan, int spans_max, bool end_too,
                                                   struct tr_text *out, struct tr_err *err);

#endif
