/* The traces of all ranks of a run as one timeline, with what was predicted of the same steps below.
 *
 * Each rank's file (lab/train/trace.h) has the clock of rank 0 already, so that they only have to belong together: of one attempt of
 * this run, all of its ranks, the same steps, and in each step the operations of that rank's step program, in its order. Then come
 * as many processes again: the step as the profile predicts it (together.h), from where the first rank began that step, or from where the
 * one before was predicted to end.
 *
 * From where a stage sends a message to where the other one has it goes an arrow.
 *
 * The file is in Chrome's trace event format: ui.perfetto.dev and chrome://tracing open it. */
#ifndef TR_PLAN_HERE_TIMELINE_H
#define TR_PLAN_HERE_TIMELINE_H

#include "silicon/catalog/catalog.h"

struct tr_timeline {
    int ranks, threads;             /* threads: of a rank */
    bool exchanges;                 /* the profile says what moving bytes takes, and the prediction has it */
    int busy, cores;                /* threads that ranks have on the host of rank 0; its cores, as the profile says (0: it does not) */
    int64_t steps, first_step, events; /* events: measured ones */
    double clock_error_s;           /* how far the clock of a rank may be off, at most */
    double measured_s, predicted_s; /* a step, from its first rank's beginning to its last one's end, their mean; predicted_s 0: it is not */
    struct tr_err unpredicted;      /* then why */
};

/* Writes `path`, which is there as a whole or not at all. `profile` NULL: without a prediction. TR_BAD_INPUT: no trace, one that is
 * cut short, of another run, another attempt or other steps than the others; the sentence names the file. */
TR_MUST_CHECK enum tr_status tr_run_timeline(const char *run_folder, const struct tr_catalog *profile, const char *path,
                                             struct tr_timeline *out, struct tr_err *err);

#endif
