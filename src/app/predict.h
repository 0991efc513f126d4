/* What is said of steps before they are made: by the profile of this machine, if there is one. */
#ifndef TR_APP_PREDICT_H
#define TR_APP_PREDICT_H

#include "lab/train/train.h"
#include "silicon/catalog/catalog.h"

struct tr_app_prediction {
    const char *path; /* of the profile; NULL: there is none */
    struct tr_catalog *catalog;
    const char *transport; /* of several ranks: "threads", "mpi" */
    struct tr_train_predicted said; /* of the run; step_s 0: nothing was predicted */
    struct tr_err unsaid;           /* why not; "": it was, or was not asked for */
    struct tr_text foreign;         /* "profile.yaml is of another machine or trine; ..."; "": it is of this one, or was not asked */
};

/* The profile at `path`, which must be one; NULL: profile.yaml if the current folder has it. */
TR_MUST_CHECK enum tr_status tr_app_predict_open(struct tr_app_prediction *to, const char *path, struct tr_err *err);
void tr_app_predict_close(struct tr_app_prediction *prediction);

/* What of the profile's rates, if any, is not of this machine and program: into prediction->foreign, and on standard error. */
void tr_app_note_foreign(struct tr_app_prediction *prediction, int threads);

/* The same of the machine and program of a run in `folder`, as far as it noted them; without a profile nothing. */
void tr_app_note_foreign_run(struct tr_app_prediction *prediction, const char *folder);

/* A tr_fit_price_fn; `context` is the prediction. Without a profile of this machine nothing can be said. */
double tr_app_price(void *context, const struct tr_program *program, int threads, double hand_s);

/* A tr_train_planned_fn; `context` is the prediction. */
void tr_app_predict(void *context, const struct tr_train_ahead *ahead, struct tr_train_predicted *out, struct tr_text *say);

#endif
