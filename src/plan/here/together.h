/* A step of several ranks on this machine: each rank's step program by itself, as fast as the profile says, and all of them where
 * they meet.
 *
 * A rank goes through its operations one after the other (cost/kernels.h) and waits where its program waits: in a collective until
 * all members of the group have come, at a WAIT until what was started has ended (a group does what was started in order), in a RECV
 * until the message has been sent, before it sends from a place again until what was there has been taken. So what is predicted are
 * bubbles, unequal work and unequal stages, whose order the step programs say exactly.
 *
 * Moving bytes takes what it took when the machine was calibrated (cost/exchange.h): a collective begins when the last member has come and
 * those before it in its group have ended; a message is paid for by who receives it. Without a record of that it takes no time.
 *
 * All ranks are of this machine. What they do, threads that move bytes beside the passes included, cannot take less than its cores need
 * for all of it: where that is longer, it is the step, and everything in it is that many times as long. That they share caches and
 * memory makes each operation longer by what the machine showed when several ranks worked at once (exchange->shared). */
#ifndef TR_PLAN_HERE_TOGETHER_H
#define TR_PLAN_HERE_TOGETHER_H

#include "lab/train/profile.h"
#include "plan/here/here.h"
#include "silicon/cost/exchange.h"

enum { TR_HERE_RANKS_MAX = TR_PROFILE_RANKS_MAX };

/* The step programs of all ranks of a run. */
struct tr_run_programs {
    struct tr_program *program; /* [ranks], owned */
    int ranks, threads;         /* threads: of a rank */
};

/* Of the layout in step->place.degrees. TR_BAD_INPUT: it cannot be shared so, more than TR_HERE_RANKS_MAX ranks. */
TR_MUST_CHECK enum tr_status tr_run_programs_make(const struct tr_model_config *model, const struct tr_step_config *step,
                                                  struct tr_machine machine, struct tr_run_programs *out, struct tr_err *err);
/* Made anew from what the folder of a run holds. TR_BAD_INPUT also: no run, none that has saved. */
TR_MUST_CHECK enum tr_status tr_run_programs_of(const char *run_folder, const struct tr_degrees *layout, struct tr_machine machine,
                                                struct tr_run_programs *out, struct tr_err *err);
double tr_run_programs_state_bytes(const struct tr_run_programs *programs); /* of all: they have one cache, which is larger than it or not */
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
    double turns; /* all of it is so many times as long as it would be with cores for all */
};

/* A step of all of them is over when the last one has done it. */
double tr_ranks_step_s(const struct tr_rank_time *time, int ranks);

/* Whether so many ranks of so many threads take turns on the cores, so that how long an operation takes is not its own. */
bool tr_ranks_take_turns(const struct tr_kernel_rates *rates, int ranks);

/* So many passes of an evaluation of all ranks, one after the other: seconds. */
TR_MUST_CHECK enum tr_status tr_here_passes(const struct tr_kernel_rates *rates, const struct tr_exchange_rates *exchange,
                                            const struct tr_run_programs *programs, int64_t passes, double *time_s, struct tr_err *err);

/* `exchange` NULL: moving bytes takes no time. `see` (NULL: nobody) hears of each rank's in order, as if there were cores enough.
 * out[ranks]. TR_FAILED: memory. */
TR_MUST_CHECK enum tr_status tr_here_together(const struct tr_kernel_rates *rates, const struct tr_exchange_rates *exchange,
                                              const struct tr_run_programs *programs, tr_here_see_fn *see, void *context, struct tr_rank_time *out, struct tr_err *err);

#endif
