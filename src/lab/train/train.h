/* The trainer: from a config to a trained model, whatever happens on the way.
 *
 * tr_train does the whole run: reads the data, builds the step program, refuses what does not fit, takes the run
 * folder, initialises or resumes, and loops: batch, gradients, update, metrics; with evaluation, samples and
 * checkpoints in between. One step is a pure function of (config, data, weights, moments, step), so where a run was
 * interrupted, and how often, cannot be seen in its result.
 *
 * A run folder holds
 *     lock           held while a trainer runs; a second one is refused
 *     config.yaml    the effective config
 *     tokenizer.json a copy of the run's tokenizer, when it has one
 *     chat_template.jinja  the model's chat template, when it has one
 *     metrics.jsonl  one JSON object a line, flushed each step. "kind":
 *                      "step"  step, steps, tokens, loss, grad_norm, lr, step_s, tok_s, mfu, memory_bytes (peak of the
 *                              process), skipped, eta_s; "skipped_now": true when this step was left out; "threads": how many
 *                              there were in the end, when fewer than wanted (base/crowd.h); "crowded": the share of step_s
 *                              in which other programs had cores that it wanted, when that is more than .05; on several ranks
 *                              collectives_s, exposed_s (what those of rank 0 took, and how much of it beside no other work)
 *                      "eval"  step, tokens, val_loss, val_bpb, windows, bytes, eval_s
 *                    After a resume or a roll-back the lines of steps that are done again are dropped first: steps ascend.
 *     events.jsonl   one JSON object a line: "time" (UTC), "step", "event" (start, resume, bad_checkpoint, changed,
 *                    save, skip, roll_back, corruption, straggler, interrupt, early_stop, finish, fail), "text"
 *     samples.txt    "== step N ==" and the text, one after the other
 *     profile.json   at each save: where time and memory go (profile.h)
 *     trace          with options.trace_steps: what each rank did when, a file each (trace.h)
 *     report.html    at each save: lab/report
 *     step-*         checkpoints (checkpoint.h)
 *     best           with checkpoint.best: a link to the one of the lowest validation loss
 *
 * MFU = tokens/s * tr_model_flop_per_token / peak, with the peak measured on this machine (silicon/chip/peak.h) for
 * the threads in use; it is measured again when a step was faster than it.
 *
 * Ranks: with options.layout the run is done by several ranks, threads of this process or, with options.world, processes of
 * any hosts, this being one of them. Ranks of a host share its cores and its memory. Nothing that a run folder holds depends
 * on the layout but times, and a run goes on under any other. Rank 0 keeps the folder and reports; each
 * rank writes its shard of a checkpoint (shard.h), so that all hosts must see the folder. Stages of a pipeline evaluate together; samples need all
 * layers, so that rank 0 gets all weights for them, and makes them alone. Processes are asked first whether they are one program with
 * one layout, config and text. A rank that fails ends the job, with one sentence for all (tr_comm_blamed says whose).
 *
 * Memory: everything is mapped before the first step; a step after the first allocates nothing, unless threads come back that were
 * too many for a while (base/crowd.h).
 *
 * Status, which is the exit code: TR_OK when all steps are done, or eval.patience is at its end. TR_NO: it does not fit into memory. TR_BAD_INPUT: config, data, run folder or checkpoint
 * cannot be right. TR_FAILED: disk full, out of memory, too many steps that were not finite; also interrupted, after
 * the step was finished and saved: the same command goes on from there.
 */
#ifndef TR_LAB_TRAIN_TRAIN_H
#define TR_LAB_TRAIN_TRAIN_H

#include "base/err.h"
#include "base/text.h"
#include "lab/model/exec.h"
#include "lab/train/checkpoint.h"
#include "lab/train/fit.h"
#include "lab/train/run_config.h"

#include <stdatomic.h>
#include <stdio.h>

enum tr_resume_kind {
    TR_RESUME_AUTO,  /* from the newest good checkpoint of the run folder; from the beginning when it has none */
    TR_RESUME_NEVER, /* from the beginning; the run folder must not hold a checkpoint (nothing is overwritten) */
    TR_RESUME_FROM   /* from the checkpoint at resume_path, into this run's folder */
};

/* For tests: called after the gradients of a batch (the step, but for batches that were passed over), may change their
 * result (a fault). */
typedef void tr_train_fault_fn(void *context, struct tr_exec *exec, int64_t batch, struct tr_step_result *result);

/* What lies before a run. What nobody can know is not in it: an early end, checkpoints of the best. */
struct tr_train_ahead {
    const struct tr_program *program; /* of rank 0 */
    const struct tr_run_config *config;
    struct tr_fit fit;
    int threads, hosts, cores;        /* cores: that the ranks of this host may use, together */
    int64_t steps;
    int64_t evaluations, eval_micros; /* microbatches of each, of all ranks together */
    int64_t samples, sample_tokens;   /* tokens of each */
    int64_t saves, save_bytes;        /* checkpoints that it waits for: with those in the background the last; bytes of each */
};

/* What was predicted of it; profile.json keeps that. 0: not predicted. */
struct tr_train_predicted {
    double step_s, error;    /* error: half width of the 80 % interval, relative */
    double run_s, run_error; /* all that lies ahead: */
    int64_t steps;           /* so many steps, of a run that is resumed its last ones; what goes between them; not in profile.json */
};

/* Called when the run is planned and before it begins (a dry run too): what should be said of what is to come is
 * appended to `say`, without a line break. `out` is zero. */
typedef void tr_train_planned_fn(void *context, const struct tr_train_ahead *ahead, struct tr_train_predicted *out, struct tr_text *say);

struct tr_train_options {
    struct tr_degrees layout;           /* all zero: one rank */
    struct tr_comm *world;              /* the layout's ranks, this process one of them (tr_mpi_start); NULL: threads */
    double timeout_s;                   /* of threads: see tr_comm_config */
    enum tr_resume_kind resume;
    const char *resume_path;
    FILE *log;                          /* progress and log lines, of rank 0; NULL: silent */
    const atomic_int *stop;             /* not 0: the number of the signal that asks to save and stop; NULL: never */
    const char *program;                /* trine's version and its kernels, for profile.json; NULL: not said */
    int64_t trace_steps;                /* trace so many steps, from the attempt's second on (trace.h); 0: none */
    double peak_flop_s;                 /* 0: measured at start, and with it how fast memory is read and a line handed over */
    int64_t memory_bytes;               /* of this host, for all ranks there: refuse what needs more; 0: what is free there, but for a little */
    tr_train_planned_fn *planned;       /* NULL: nothing more is said */
    void *planned_context;
    tr_fit_price_fn *price;             /* pure; the fastest microbatch of one rank is taken by it (fit.h). NULL: by rules (run_config.h) */
    void *price_context;
    tr_train_fault_fn *fault;
    void *fault_context;
    bool dry_run;                       /* checks everything, reports the plan to log, writes nothing */
};

struct tr_train_result {
    struct tr_train_state state;
    char run_folder[TR_PATH_BYTES];
    char checkpoint[TR_PATH_BYTES];   /* the last one; "" when there is none */
    char hash[TR_SHA256_HEX_BYTES];   /* when all steps are done; else "" */
    int64_t resumed_at;               /* step; 0: from the beginning */
    int32_t ranks;
    struct tr_degrees layout;         /* of these ranks */
    int32_t layers;                   /* of the model */
    int64_t parameters, memory_planned_bytes, memory_peak_bytes; /* planned: of this rank; peak: of the process */
    int64_t sent_planned_bytes;       /* of this rank in a step's collectives */
    int64_t sent_bytes, sent_steps;   /* counted, in so many steps of this attempt */
    struct tr_coll_times coll;        /* of this rank in these steps */
    int32_t stages, chunks;           /* of a pipeline; else 1 */
    double bubble_planned, bubble;    /* share of its steps in which this rank waits for other stages: if all chunks took the same
                                         time, and as it was in this attempt, messages included */
    int64_t corrected;                /* steps of this attempt that a replay set right */
    double tok_s, mfu, peak_flop_s;   /* mean over this attempt, without its first step */
    double wall_s;                    /* of this attempt, with evaluation, samples, checkpoints; 0: it did not come to its end */
    struct tr_text last_sample;       /* owned by the caller */
};

/* `config` as read; it is resolved inside. *result is filled as far as the run came, also when it failed; free
 * result->last_sample in any case. */
TR_MUST_CHECK enum tr_status tr_train(const struct tr_run_config *config, const struct tr_train_options *options,
                                      struct tr_train_result *result, struct tr_err *err);

#endif
