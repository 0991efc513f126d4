/* Figures of a plan, for the pages that have them. */
#ifndef TR_PLAN_REPORT_DRAW_H
#define TR_PLAN_REPORT_DRAW_H

#include "base/text.h"
#include "plan/run/run.h"

/* A bar for each term of the step's time. */
void tr_plan_draw_step(const struct tr_plan *plan, struct tr_text *out);

/* What follows the pipeline once a step, of all stages at once, in the order in which it happens. Some may take no time. */
enum { TR_ONCE_PARTS = 4 };
struct tr_once {
    const char *name;
    double time_s;
};
void tr_plan_once(const struct tr_plan *plan, struct tr_once once[TR_ONCE_PARTS]);

/* What each stage does in the whole step, passes that follow one another as blocks where they are too many to be seen; with `ends_too`
 * then also its beginning and its end pass by pass. Stages beyond 64 are left out. TR_BAD_INPUT: more microbatches than can be walked
 * (plan/step/walk.h). */
TR_MUST_CHECK enum tr_status tr_plan_draw_pipeline(const struct tr_plan *plan, bool ends_too, struct tr_text *out, struct tr_err *err);

#endif
