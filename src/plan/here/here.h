/* What a run takes on the machine that was calibrated: each operation of its step program, priced.
 *
 * The program is the one that the trainer executes, so its FLOPs, bytes and memory are those of the run, and only time is
 * an estimate. An explanation compares the two operation by operation (explain_run.h). */
#ifndef TR_PLAN_HERE_HERE_H
#define TR_PLAN_HERE_HERE_H

#include "base/quantity.h"
#include "lab/train/train.h"
#include "silicon/cost/kernels.h"

struct tr_here_time {
    double step_s;
    double error; /* half width of the 80 % interval, relative */
    double op_s[TR_PHASE_COUNT][TR_OP_KIND_COUNT];
    double between_s; /* part of the step: from one operation to the next */
};

/* What cost/kernels.h calls the state of a program. */
double tr_here_state_bytes(const struct tr_program *program);

/* So many passes of an evaluation, by one rank. */
double tr_here_passes_alone(const struct tr_kernel_rates *rates, const struct tr_program *program, int64_t passes);

/* A sample's tokens, one by one on one rank with all of the weights: products and attention read what they need as it lies (cost/kernels.h: few rows), the
 * rest is priced by rates that were fitted to many rows (README.md says how wrong that is). */
double tr_here_sample_s(const struct tr_kernel_rates *rates, const struct tr_program *program, struct tr_machine machine, int64_t tokens);

/* The end of a run whose steps (step_s, error) have been predicted: evaluations of `evaluation_s` each, samples, and the checkpoints that it waits for,
 * as fast as the disk was measured (if it was), come between them. Sets run_s, run_error and steps. */
void tr_here_end(const struct tr_kernel_rates *rates, const struct tr_train_ahead *ahead, double evaluation_s, struct tr_train_predicted *said);

/* What became of a time that was predicted: "took 1 min 2 s, +3.1 %, inside the interval". */
enum { TR_MET_WORDS_BYTES = TR_QUANTITY_BYTES + 48 };
const char *tr_here_met(double said_s, double error, double took_s, char words[TR_MET_WORDS_BYTES]);

/* A training program's step. */
void tr_here_step(const struct tr_kernel_rates *rates, const struct tr_program *program, struct tr_here_time *out);

/* What an answer in JSON says of the profile that it is by: "profile_is_of_this_machine", and "profile_differs", a sentence, null when it is.
 * `foreign`: that sentence, or "". */
struct tr_json;
void tr_here_foreign_json(struct tr_json *json, const char *foreign);

/* Its seconds, as a tr_fit_price_fn; `rates` are struct tr_kernel_rates, of these threads and of cores as far apart as they are. */
double tr_here_price(void *rates, const struct tr_program *program, int threads, double hand_s);

#endif
