/* A run on the machine of a profile, before there is one: `trine plan --system profile.yaml`.
 *
 * What the request leaves open is what `trine train` would take with this profile and all memory of the machine (lab/train/fit.h): the fastest
 * microbatch that fits, and if none does layers that are computed again. The step program is the trainer's, so that its memory is
 * the run's, and its time is priced as here.h says. One rank, with all threads that the profile has rates for. Nothing of the
 * machine that plans is looked at: the profile may be of another. */
#ifndef TR_PLAN_HERE_PLAN_HERE_H
#define TR_PLAN_HERE_PLAN_HERE_H

#include "base/text.h"
#include "plan/here/here.h"

struct tr_here_request {
    const char *model;         /* a preset, a config.json, a folder that holds one */
    int64_t tokens;            /* of the whole run */
    int64_t seq_len, batch;    /* tokens of a sequence, sequences of a step; 0: the trainer's */
    enum tr_dtype dtype;       /* TR_F32 or TR_BF16 */
    double deadline_s;         /* 0: none */
};

enum { TR_HERE_WHY_BYTES = TR_ERR_BYTES };

struct tr_here_plan {
    char model[TR_MODEL_NAME_MAX];
    const char *chip_id, *chip; /* live as long as the profile */
    int64_t parameters;
    int threads;
    enum tr_dtype dtype;
    int64_t tokens, steps, seq_len, batch, micro_batch; /* tokens: of whole steps */
    struct tr_here_time time;                           /* of a step */
    double run_s;                                       /* of all steps; evaluation, samples, checkpoints come on top */
    enum tr_recompute recompute;
    int64_t memory_bytes;                               /* of the step program */
    int64_t needed_bytes;                               /* of all that the run takes but its text, which is held against the machine's */
    double machine_bytes;
    char refined[TR_REFINED_WORDS_BYTES];              /* by how many runs the profile was (tr_refined_words) */
    int profile_runs;
    char why[TR_HERE_WHY_BYTES];                        /* why the answer is no; "": it is yes */
};

/* TR_BAD_INPUT: a model or a size that cannot be trained, a profile without rates. TR_NO: it does not fit, or misses its
 * deadline: *out is filled, out->why says so. */
TR_MUST_CHECK enum tr_status tr_here_plan(const struct tr_catalog *profile, const struct tr_here_request *request,
                                          struct tr_here_plan *out, struct tr_err *err);

/* `profile`: what the file is called. */
void tr_here_plan_text(const struct tr_here_plan *plan, const char *profile, struct tr_text *out);
void tr_here_plan_json(const struct tr_here_plan *plan, const char *profile, struct tr_text *out);

#endif
