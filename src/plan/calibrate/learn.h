/* A profile that runs refine: `trine calibrate --from RUN...`.
 *
 * Each run is held against its prediction (plan/here/explain_run.h), so that it is proved to be of its step program; its first step, which is
 * cold, is left out. What its kinds of operations took then moves the prices of the profile's entry for so many threads, and their
 * errors (refine.h). The entry says so: `runs` at each kind, the attempts in `refined_by`, and a source of its own.
 *
 * A run of several ranks refines the profile's record of so many ranks in section exchanges: how long operations take while the others
 * work, and collectives (learn_ranks.h). The prices of operations stay those of a rank that is alone.
 *
 * A run is of the profile's machine or is refused, as is one that the profile has learned from already. One in which other programs
 * took cores (tr_run_profile_crowded) is left out: its steps say what those took. */
#ifndef TR_PLAN_CALIBRATE_LEARN_H
#define TR_PLAN_CALIBRATE_LEARN_H

#include "base/text.h"
#include "plan/here/explain_run.h"
#include "silicon/cost/exchange.h"
#include "silicon/cost/kernels.h"

/* What changed in the entry for so many threads, or the record of so many ranks. */
struct tr_learned {
    int threads, ranks;                 /* threads: of a rank */
    char transport[TR_TRANSPORT_BYTES]; /* of several ranks */
    int runs, runs_before;              /* runs: that were given; before: that it had learned from already */
    int turns, untraced;                /* of these, whose ranks took turns on the cores: whole steps alone; that had no traces: collectives
                                           were not learned from */
    double step_error_was, step_error;  /* half width of the 80 % interval, relative */
    double fastest, slowest;            /* of what the kinds that the runs have take, how many times as long as before: least and most */
    double moves_fastest, moves_slowest; /* the same of collectives; 0: none was learned from */
};

enum { TR_LEARNED_MAX = 8 };

/* The share of its time in which other programs may have had cores that a run wanted: with two threads of which one is missed, its
 * steps are slower by as much again at most, with one by as much, which is less than what steps of two runs differ by. */
#define TR_LEARN_CROWDED_MAX .01

/* Why nothing is learned from a run that was held against its prediction, after "as "; nothing where something could be. */
void tr_learn_why_not(const struct tr_run_explained *run, struct tr_text *why);

/* Refines the file: it is replaced as a whole, or left as it was. out[0..*entries) are the entries that changed, room for
 * TR_LEARNED_MAX; a line for each run that was left out is appended to `left_out`. TR_NO: all were. TR_BAD_INPUT, with the run's folder: no run or one that is cut short, of another machine, isa or version of trine, of
 * a number of threads or ranks that the profile has nothing of, of one step alone, learned from already, more than
 * TR_REFINE_RATIO_MAX off; an entry that somebody has edited. */
TR_MUST_CHECK enum tr_status tr_learn(const char *profile, char *const *run, int count, struct tr_learned out[TR_LEARNED_MAX],
                                      int *entries, struct tr_text *left_out, struct tr_err *err);

#endif
