/* What runs say about the rates of a profile: a Bayesian update, kind by kind of operation.
 *
 * All prices of a kind and type are multiplied by one factor, those of cores that are apart too: a run is held against the prices of
 * the distance that its cores had (kernels.h), so that the distance is not learned as the kind's. Before any run its logarithm is taken
 * to be normal around 0, its variance unknown: the calibration counts as one run that took what was predicted, and its error as the spread of four. Each run
 * adds the logarithm of measured over predicted, with a weight below 1 where the kind took it little time. What comes out (the
 * conjugate normal and inverse gamma) are sums, so that runs given one after the other say the same as runs given at once:
 *
 *     factor  = exp(sum of w y / (1 + sum of w))                              n runs that agree go n / (n + 1) of the way
 *     spread2 = (4 before2 + squares around the mean + mean2 W / (1 + W)) / (4 + W)
 *     error   = 1.28 sqrt(spread2 (1 + 1 / (1 + W)))                          W: sum of w, from all runs so far
 *
 * So agreeing runs narrow the interval, runs at odds with each other or far from the calibration widen it. It is never narrowed below
 * TR_REFINE_NOISE, what runs of one program differ by minutes apart. The error of a step is updated alike by how far off each run is
 * predicted when the others alone have refined the rates.
 *
 * Runs of several ranks leave the prices alone, which are those of a rank that is alone, and move what ranks do to each other
 * (cost/exchange.h) in the same way: how many times as long each kind of operation takes, and collectives, each at the sizes between
 * which its calls lie. */
#ifndef TR_PLAN_CALIBRATE_REFINE_H
#define TR_PLAN_CALIBRATE_REFINE_H

#include "silicon/cost/exchange.h"
#include "silicon/cost/kernels.h"

#define TR_REFINE_NOISE .02   /* relative; half width */
#define TR_REFINE_HALF_S .1   /* a kind that took so long in all of a run has half the weight: what disturbs comes in milliseconds */
#define TR_REFINE_MOVES_HALF_S .01 /* the same of collectives of one size, which are seen in a few steps alone */
#define TR_REFINE_RATIO_MAX 10. /* measured over predicted, either way; what is further off is no difference of rates */

/* What one run took, and what the rates that are to be refined say of it: seconds a step, by type of activations. */
struct tr_run_seen {
    double took_s[TR_OP_KIND_COUNT][TR_KERNEL_TYPES], said_s[TR_OP_KIND_COUNT][TR_KERNEL_TYPES]; /* 0: it has none */
    double all_s[TR_OP_KIND_COUNT][TR_KERNEL_TYPES]; /* took_s in all steps together */
    double between_took_s, between_said_s;
    double step_took_s; /* all of it */
    double rest_said_s; /* of kinds that have no prices of their own */
};

/* Refines prices, between_s, errors and the kinds' `runs`; whose runs they were is the caller's to note. count >= 1. */
void tr_kernel_refine(const struct tr_run_seen *run, int count, struct tr_kernel_rates *rates);

/* What a run of ranks took, and what the record that is to be refined says of it: seconds, in all that was seen. */
struct tr_ranks_seen {
    double took_s[TR_OP_KIND_COUNT], said_s[TR_OP_KIND_COUNT];                                           /* 0: it has none */
    double moved_s[TR_COLL_KIND_COUNT][TR_EXCHANGE_SIZES], moves_s[TR_COLL_KIND_COUNT][TR_EXCHANGE_SIZES]; /* took, said */
    double step_took_s, step_said_s; /* one step; said: by the record when the other runs alone have refined it */
};

/* Refines the record's times, errors and counts of runs but step_error; with `left_out` >= 0 as if there were no such run. */
void tr_exchange_refine(const struct tr_ranks_seen *run, int count, int left_out, struct tr_exchange_rates *exchange);
/* And that; `runs_before`: that the record has learned from already. */
double tr_exchange_refined_error(const struct tr_ranks_seen *run, int count, double error, int runs_before);

#endif
