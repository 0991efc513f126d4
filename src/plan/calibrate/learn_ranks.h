/* What a run of several ranks says of how ranks are in each other's way: operations and collectives of all ranks, out of what the run
 * noted of rank 0 in all its steps (lab/train/profile.h) and, where it was traced, of all ranks in a few (plan/here/traces.h).
 *
 * A collective moves bytes from when the last member has come, so that what it takes is seen where all members are: in traces alone.
 * Where ranks take turns on the cores, an operation's time is not its own: of such a run the step counts as a whole, all kinds of
 * operations alike, and collectives not at all. */
#ifndef TR_PLAN_CALIBRATE_LEARN_RANKS_H
#define TR_PLAN_CALIBRATE_LEARN_RANKS_H

#include "plan/calibrate/refine.h"
#include "plan/here/explain_run.h"

/* `run`: its explanation by these rates and this record. *traced: collectives are among what was seen. A folder without traces of this
 * attempt is fine; TR_BAD_INPUT: it has traces that are cut short, or not of its steps. */
TR_MUST_CHECK enum tr_status tr_ranks_see(const char *run_folder, const struct tr_run_explained *run, const struct tr_kernel_rates *rates,
                                          const struct tr_exchange_rates *exchange, struct tr_ranks_seen *out, bool *traced,
                                          struct tr_err *err);

/* A step of the run as these rates and this record predict it. */
TR_MUST_CHECK enum tr_status tr_ranks_said(const char *run_folder, const struct tr_run_profile *ran, const struct tr_kernel_rates *rates,
                                           const struct tr_exchange_rates *exchange, double *step_s, struct tr_err *err);

#endif
