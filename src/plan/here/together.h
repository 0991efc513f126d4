/* A step of several ranks on this machine: each rank's step program by itself, as fast as the profile says, and all of them where
 * they meet.
 *
 * A rank goes through its operations one after the other (cost/kernels.h) and waits where its program waits: in a collective until
 * all members of the group have come, at a WAIT until what was started has ended (a group does what was started in order), in a RECV
 * until the message has been sent, before it sends from a place again until what was there has been taken. So what is predicted are
 * bubbles, unequal work and unequal stages, whose order the step programs say exactly.
 *
 * What moving bytes takes is not in it: no profile has measured that yet, and 0 is what stands for it. Nor that ranks of one
 * machine share its memory: each operation takes what it takes alone. */
#ifndef TR_PLAN_HERE_TOGETHER_H
#define TR_PLAN_HERE_TOGETHER_H

#include "lab/train/profile.h"
#include "plan/here/here.h"

enum { TR_HERE_RANKS_MAX = TR_PROFILE_RANKS_MAX };

/* The step programs of all ranks of a run, made anew from what its folder holds. */
struct tr_run_programs {
    struct tr_program *program; /* [ranks], owned */
    int ranks, threads;         /* threads: of a rank */
};

/* TR_BAD_INPUT: no run, none that has saved, one that cannot be shared so, more than TR_HERE_RANKS_MAX ranks. */
TR_MUST_CHECK enum tr_status tr_run_programs_make(const char *run_folder, const struct tr_degrees *layout, struct tr_machine machine,
                                                  struct tr_run_programs *out, struct tr_err *err);
void tr_run_programs_free(struct tr_run_programs *programs); /* right on a zeroed struct */

/* One operation or collective of one rank; times count from the beginning of the step. */
struct tr_here_seen {
    int rank;
    const struct tr_program_op *op;
    const struct tr_schedule_entry *entry;
    double begin_s, end_s;
    double beside_begin_s; /* of a WAIT: when the group began what has been waited for, which ended at ... */
    double beside_end_s;
};
typedef void tr_here_see_fn(void *context, const struct tr_here_seen *seen);

/* What a step takes one rank. */
struct tr_rank_time {
    double step_s, between_s;
    double op_s[TR_PHASE_COUNT][TR_OP_KIND_COUNT];
    double wait_s[TR_PHASE_COUNT][TR_COLL_KIND_COUNT];
};

/* `see` (NULL: nobody) hears of each rank's in order. out[ranks]. TR_FAILED: memory. */
TR_MUST_CHECK enum tr_status tr_here_together(const struct tr_kernel_rates *rates, const struct tr_run_programs *programs,
                                              tr_here_see_fn *see, void *context, struct tr_rank_time *out, struct tr_err *err);

#endif
