/* What a story is told from, and its chapters: each appends to `out`. */
#ifndef TR_PLAN_STORY_INSIDE_H
#define TR_PLAN_STORY_INSIDE_H

#include "lab/report/run_files.h"
#include "lab/train/hash.h"
#include "lab/train/run_config.h"
#include "plan/here/explain_run.h"
#include "plan/run/plan_file.h"
#include "plan/story/story.h"
#include "silicon/chip/chip.h"

struct story_plan {
    struct tr_plan_file file;
    struct tr_plan *plan; /* owned */
};

struct story {
    const struct tr_story_request *request;
    struct tr_run_files files;
    struct tr_run_config config;
    struct tr_run_profile ran;
    double parameters, flop_per_token;
    double attempt_steps; /* that the run keeps of its newest attempt, the one that profile.json is of */
    struct tr_hash hash; /* hex "": the run has no checkpoint yet */

    bool predicted; /* there is a profile, and with it: */
    struct tr_kernel_rates rates, most; /* of as many threads as a rank of the run had; of the most that were measured, all cores */
    struct tr_text differs; /* the run's machine or trine from the profile's ("; ..."); empty: nothing does, or the run did not note them */
    struct tr_chip chip;
    struct tr_run_explained run;

    bool learned;                  /* there is the profile after it has learned from the run too, or has not: */
    struct tr_text not_learned;    /* why; empty: it has, and there is */
    struct tr_run_explained after; /* the run by that */

    struct story_plan plan[TR_STORY_PLANS_MAX];
    int plan_count;
};

TR_MUST_CHECK enum tr_status story_read(const struct tr_story_request *request, struct story *story,
                                        struct tr_err *err);
void story_free(struct story *story);

/* <section>, its number and title; the caller closes it. */
void story_chapter(struct tr_text *out, int number, const char *title);

void story_top(const struct story *story, struct tr_text *out);
void story_step(const struct story *story, struct tr_text *out); /* the figure of the step, predicted and measured */
void story_machine(const struct story *story, int number, struct tr_text *out);
void story_prediction(const struct story *story, int number, struct tr_text *out);
void story_run(const struct story *story, int number, struct tr_text *out);
TR_MUST_CHECK enum tr_status story_comparison(const struct story *story, int number, struct tr_text *out,
                                              struct tr_err *err);
void story_learned(const struct story *story, int number, struct tr_text *out);
bool story_has_text(const struct story *story);
void story_text(const struct story *story, int number, struct tr_text *out);
TR_MUST_CHECK enum tr_status story_plans(const struct story *story, int number, struct tr_text *out,
                                         struct tr_err *err);
void story_end(const struct story *story, struct tr_text *out);

/* Steps of the run that are done. */
int64_t story_steps(const struct story *story);
/* What they took, of all attempts; where the log does not say, as if all had been like those of the newest. */
double story_steps_s(const struct story *story);
/* Whether profile.json is of all of them: not where the run was resumed, or killed after its last save. */
bool story_is_whole(const struct story *story);
/* Whether the prediction's error is one of the whole step: not of ranks without a record of what moving bytes takes them. */
bool story_has_interval(const struct story *story);
/* Tokens a second in steps, of all attempts. */
double story_tokens_s(const struct story *story);
/* Bits per byte of text that it had not seen, before and after; false: that was not measured twice. */
bool story_bits(const struct story *story, double *before, double *after);
/* FLOP/s of the model's own arithmetic that the run reached; NAN: not known. */
double story_rate(const struct story *story);
/* The last path component. */
const char *story_name(const char *path);

#endif
