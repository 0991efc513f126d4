/* A run on the machine of a profile, before there is one: `trine plan --system profile.yaml`.
 *
 *     struct tr_plan_request request = tr_plan_request_usual();        as of any other plan
 *     request.model = "gpt2", request.tokens = 1e7, request.layout = "dp=2", request.chips = 1 ...
 *     switch (tr_here_plan(profile, &request, &plan, err)) ...
 *
 * What the request leaves open is what `trine train` would take with this profile and all memory of the machine (lab/train/fit.h): one rank,
 * the fastest microbatch that fits, and if none does layers that are computed again. The step programs are the trainer's, so that their
 * memory is the run's, and their time is priced as here.h and together.h say, with all threads that the profile has rates for. A layout of
 * several ranks brings the logical widths that it needs (layout.lanes, context, tensor). Nothing of the machine that plans is looked at:
 * the profile may be of another. */
#ifndef TR_PLAN_HERE_PLAN_HERE_H
#define TR_PLAN_HERE_PLAN_HERE_H

#include "base/text.h"
#include "plan/here/choose.h"
#include "plan/run/run.h"

enum { TR_HERE_WHY_BYTES = TR_ERR_BYTES };

struct tr_here_plan {
    struct tr_plan_request request; /* as chosen: nothing is left open */
    char model[TR_MODEL_NAME_MAX];
    const char *chip_id, *chip; /* live as long as the profile */
    int64_t parameters;
    int ranks, threads;         /* threads: of a rank */
    enum tr_dtype dtype;
    double tokens_low, tokens_high;                     /* of a target loss: the law's 80 % interval; high may be INFINITY */
    int64_t tokens, steps, seq_len, batch, micro_batch; /* tokens: of whole steps */
    double step_s, error;                               /* half width of the 80 % interval, relative */
    struct tr_rank_time slowest;                        /* what the step is made of: that rank's */
    double run_s;                                       /* of all steps; evaluation, samples, checkpoints come on top */
    enum tr_recompute recompute;
    int64_t region_bytes[TR_REGION_COUNT];              /* of the rank that needs most: sums to */
    int64_t memory_bytes;                               /* its step program */
    int64_t needed_bytes;                               /* of all that it takes but the text */
    double machine_bytes;                               /* for each rank */
    char refined[TR_REFINED_WORDS_BYTES];               /* by how many runs the profile was (tr_refined_words) */
    int profile_runs;
    char why[TR_HERE_WHY_BYTES];                        /* why the answer is no; "": it is yes */
};

/* TR_BAD_INPUT: a model, a size or a layout that cannot be trained, a profile without rates. TR_NO: it does not fit, or misses its
 * deadline: *out is filled, out->why says so. */
TR_MUST_CHECK enum tr_status tr_here_plan(const struct tr_catalog *profile, const struct tr_plan_request *request,
                                          struct tr_here_plan *out, struct tr_err *err);

/* `foreign`: as tr_here_foreign_json takes it. */
void tr_here_plan_text(const struct tr_here_plan *plan, struct tr_text *out);
void tr_here_plan_json(const struct tr_here_plan *plan, const char *foreign, struct tr_text *out);
void tr_here_plan_file(const struct tr_here_plan *plan, struct tr_text *out); /* as plan/run/plan_file.h */

/* Seconds of a phase of the slowest rank, its waits for others included. */
double tr_here_phase_s(const struct tr_here_plan *plan, enum tr_phase phase);

#endif
