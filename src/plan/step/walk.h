/* The walk of a step: what each stage of the pipeline does when, microbatch by microbatch and chunk by chunk, as its schedule orders it
 * and as what it waits for lets it. The composed form (step.h) must agree with it; reports and traces draw it.
 *
 *     struct tr_walk walk;
 *     tr_walk_make(&walk, &site, &task, &layout, err)
 *     for (i < walk.count) walk.event[i].stage, .begin_s, .end_s ...
 *     walk.end_s, walk.time_s           when the last stage is done, and of a step, without what follows once a step
 *     tr_walk_free(&walk);
 *
 * One rank a stage stands for all ranks of the stage. Sends take what the site says, less what the stack hides. */
#ifndef TR_PLAN_STEP_WALK_H
#define TR_PLAN_STEP_WALK_H

#include "plan/step/step.h"

enum tr_walk_kind { TR_WALK_FORWARD, TR_WALK_BACKWARD, TR_WALK_WEIGHT, TR_WALK_KINDS };

struct tr_walk_event {
    int32_t stage, chunk; /* chunk: of the stage, 0 .. vpp - 1 */
    int32_t micro;
    enum tr_walk_kind kind; /* WEIGHT: gradients of weights alone (zero bubble), and BACKWARD is then without them */
    double begin_s, end_s;
};

enum { TR_WALK_EVENTS_MAX = 1 << 22 };
struct tr_walk {
    struct tr_walk_event *event; /* by stage, in the order of time */
    int64_t count;
    double end_s;  /* when the last stage ends */
    double time_s; /* of a step: end_s; in ZERO_BUBBLE_2P, whose stages begin the next step each when it ends, that of the stage which
                      takes longest from its first event to its last */
};

/* TR_BAD_INPUT: an illegal layout, or more than TR_WALK_EVENTS_MAX events. */
TR_MUST_CHECK enum tr_status tr_walk_make(struct tr_walk *out, const struct tr_site *site, const struct tr_task *task,
                                          const struct tr_layout *layout, struct tr_err *err);
void tr_walk_free(struct tr_walk *walk); /* right on a zeroed struct */

/* How much longer it is than the same part of the step that tr_step_price composes of stages: of interleaved chunks that are not equal up to
 * a third of the step, as a chunk with more layers than the others of its turn holds all of them up. */
double tr_walk_longer_s(const struct tr_walk *walk, const struct tr_site *site, const struct tr_step *step);

const char *tr_walk_kind_name(enum tr_walk_kind kind); /* "forward" ... */

#endif
