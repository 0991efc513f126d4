/* A run while it runs: what the parts of the trainer share. Internal to lab/train; the manual is train.h. */
#ifndef TR_LAB_TRAIN_RUN_H
#define TR_LAB_TRAIN_RUN_H

#include "base/arena.h"
#include "base/os.h"
#include "base/progress.h"
#include "base/text.h"
#include "lab/data/data.h"
#include "lab/train/origin.h"
#include "lab/train/pace.h"
#include "lab/train/profile.h"
#include "lab/train/replay.h"
#include "lab/train/saver.h"
#include "lab/train/tracer.h"
#include "lab/train/train.h"

enum { TR_SPIKE_TEXT_BYTES = 160 };

/* What a step came to. */
struct tr_outcome {
    struct tr_step_result result;
    bool taken;                        /* the weights were changed */
    char spike[TR_SPIKE_TEXT_BYTES];   /* why it is one; "": it is none */
};

/* What a run does besides its steps, and takes time. */
enum tr_aside { TR_ASIDE_EVALUATION, TR_ASIDE_SAMPLE, TR_ASIDE_SAVE, TR_ASIDE_COUNT };

struct tr_run {
    const struct tr_train_options *options;
    struct tr_comm *world;       /* of several ranks; NULL: the only one */
    int64_t *rank_at;            /* [ranks + 1], scratch of tr_run_tell_each */
    int hosts, host_ranks;       /* how many hosts there are; ranks of this one */
    int cores, host_cores;       /* for this rank; that the ranks of this host may run on, together */
    int stop_seen;               /* the signal to stop by, which all ranks have seen; 0: none */
    struct tr_run_config config; /* resolved */
    bool auto_micro_batch, auto_recompute; /* the user left the choice to us */
    struct tr_model_config model;
    struct tr_machine machine;
    enum tr_isa isa;
    char path_tokenizer[TR_PATH_BYTES]; /* "": bytes */
    struct tr_token *token;      /* NULL: bytes */
    bool foreign_token;          /* and not that of model.init */
    char path_resume[TR_PATH_BYTES]; /* the checkpoint to go on from; "": by the run folder */
    struct tr_manner manner;     /* its chat template */
    const struct tr_chat *chat;  /* of data that are conversations; else NULL */
    int64_t data_bytes;          /* as measured before anything is read */
    struct tr_data data;
    struct tr_program program;
    bool has_program;
    int64_t need_bytes;          /* that this rank holds against the memory that there is */
    struct tr_exec exec;
    struct tr_crowd crowd;       /* of exec */
    bool has_exec;
    struct tr_arena arena;       /* the arrays of addresses below */
    struct tr_tensors tensors;   /* what this rank has of the state; addresses in exec: of slices, where they
                                    are cut; of nothing, where another stage has it */
    struct tr_writers writers;     /* who writes what of a checkpoint */
    struct tr_slab whole;        /* on the lead of several ranks: room for a tensor, scratch of spread.c */
    struct tr_slab staged;       /* for what tensor parallel ranks have of one, the same */
    int64_t *slices_at, *bytes_at, *own_bytes_at; /* [ranks + 1], the same */
    int32_t *row;                /* scratch: tokens, targets and starts of one row */
    struct tr_saver saver;
    struct tr_replay replay;     /* with replay.every; else zero */
    struct tr_tracer tracer;     /* with options.trace_steps, until these are done; else zero */

    struct tr_lock lock;
    bool folder_is_new;          /* made by this attempt */
    char path_metrics[TR_PATH_BYTES], path_events[TR_PATH_BYTES], path_samples[TR_PATH_BYTES];
    struct tr_text line;         /* one line of metrics, its memory kept from step to step */
    struct tr_progress bar;

    struct tr_train_state state;
    int64_t resumed_at;
    int64_t saved_at;            /* step of the newest checkpoint; -1: none */
    int64_t flop_per_token;
    struct {
        double time_s;
        int64_t count;
    } aside[TR_ASIDE_COUNT];     /* what this attempt did besides its steps */
    double peak_flop_s;          /* with numbers of the run's type; 0: unknown */
    double peak_f32_flop_s;      /* where a bf16 run multiplies fp32 too; else 0 */
    double read_byte_s;          /* of the largest region of the run's memory; 0: unknown */
    int64_t read_bytes;          /* how large that is */
    double hand_s;               /* a line of a cache took from core to core; 0: unknown */
    struct tr_looks looks;       /* at the machine, since then */
    int64_t computed_steps;      /* of this attempt, with those that were left out or done again */
    int64_t sent_bytes;          /* by this rank, in these steps */
    double computed_s;           /* which took so long */
    double crowded_s;            /* of that, in which other programs had cores that this rank wanted */
    double step_crowded;         /* the same, as a share of the last step */
    double first_s;              /* the first of them, when threads and caches are cold */
    struct tr_op_time first[TR_PHASE_COUNT][TR_OP_KIND_COUNT]; /* what exec->time had after it */
    int64_t attempt;             /* when this one began: microseconds since 1970 */
    struct tr_coll_times coll, step_coll; /* of this rank, in these steps; in the last one */
    int64_t attempt_steps;       /* without the first one of this attempt */
    double attempt_s;
    double last_step_s;
    double steps_s;              /* of all steps of this attempt */
    double begin_s, wall_s;      /* when its loop began; of all of it, once it is done */
    struct tr_train_predicted predicted; /* before it began */
    double paced_s;              /* since pace.c looked last, of so many steps */
    int64_t paced_steps;
    struct tr_rank_sum *sum_of;  /* [ranks] of all steps until then */
    struct tr_rank_sum *sum_now; /* [ranks] scratch */
    struct tr_rank_ops *own_ops; /* of this rank, when it saved last */
    struct tr_rank_ops *ops_of;  /* [ranks] of all of them, on the lead, if they are kept */
    struct tr_pace *pace_of;     /* [ranks] scratch */
    double *pace_order;          /* [ranks] scratch */
    struct tr_text sample;       /* the last one */
};

/* --- prepare.c: before the first step --- */

/* All that can be said without taking memory for it or writing a byte. */
TR_MUST_CHECK enum tr_status tr_run_prepare(struct tr_run *run, const struct tr_run_config *config, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_run_open_data(struct tr_run *run, struct tr_err *err);
/* Weights, moments and what else a run holds, once its data are open. */
TR_MUST_CHECK enum tr_status tr_run_open_memory(struct tr_run *run, struct tr_err *err);

/* --- looks.c --- */

void tr_run_measure_peaks(struct tr_run *run);        /* of all ranks */
void tr_run_measure_memory(struct tr_run *run);       /* and what is compared with it later */
/* Between steps, and before profile.json is written: where it is due. */
void tr_run_look_at_hand(struct tr_run *run);
void tr_run_look(struct tr_run *run);

/* --- say_plan.c --- */

/* What is to be trained, on what, where and how long that will take: lines of the log. */
/* Of steps after this one, those with a number that `every` divides, and the last. */
int64_t tr_run_times_due(const struct tr_run *run, int64_t every);
void tr_run_say_plan(struct tr_run *run);

/* --- ranks.c: what ranks tell each other; each of these works on one, too --- */

int tr_run_ranks(const struct tr_run *run);
/* Whether this rank is the one that keeps the run folder. */
bool tr_run_leads(const struct tr_run *run);
/* Whether the profile has the operations of each rank, not of rank 0 alone: there are not too many. */
bool tr_run_keeps_ops(const struct tr_run *run);
/* First of all: scratch. */
TR_MUST_CHECK enum tr_status tr_run_ranks_begin(struct tr_run *run, struct tr_err *err);
/* The lead's bytes to all. */
TR_MUST_CHECK enum tr_status tr_run_tell(struct tr_run *run, void *data, int64_t bytes, struct tr_err *err);
/* `bytes` of each rank to all of several, in the order of ranks. */
TR_MUST_CHECK enum tr_status tr_run_tell_each(struct tr_run *run, const void *mine, void *all, int64_t bytes, struct tr_err *err);
/* The same to the lead alone; elsewhere `all` is not used. */
TR_MUST_CHECK enum tr_status tr_run_tell_lead(struct tr_run *run, const void *mine, void *all, int64_t bytes, struct tr_err *err);
/* Agrees upon whether a signal has come to any rank: what tr_run_stopped says from then on. */
TR_MUST_CHECK enum tr_status tr_run_look_for_stop(struct tr_run *run, struct tr_err *err);
/* Counted in the groups of the step program since it was opened. */
int64_t tr_run_sent_bytes(const struct tr_run *run);
/* Whether it is so on all ranks. */
TR_MUST_CHECK enum tr_status tr_run_all(struct tr_run *run, bool here, bool *everywhere, struct tr_err *err);
/* --- spread.c: the state, of which each rank has parts; each of these works on one, too --- */

/* Room that a rank needs to put tensors together and to hand them out. */
int64_t tr_run_spread_bytes(const struct tr_program *program);
/* Once run->tensors is there. */
TR_MUST_CHECK enum tr_status tr_run_spread_open(struct tr_run *run, struct tr_err *err);
void tr_run_spread_close(struct tr_run *run);
/* Each rank gets its shard of the state: run->writers say which. */
TR_MUST_CHECK enum tr_status tr_run_snapshot(struct tr_run *run, struct tr_copy *to, struct tr_err *err);
/* Of several ranks: the lead gets all weights in `to`; all get what they have of the weights that the lead has in `from`. */
TR_MUST_CHECK enum tr_status tr_run_collect_weights(struct tr_run *run, float *const *to, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_run_spread_weights(struct tr_run *run, float *const *from, struct tr_err *err);
/* The hash of the state, on the lead. */
TR_MUST_CHECK enum tr_status tr_run_hash(struct tr_run *run, char hex[TR_SHA256_HEX_BYTES], struct tr_err *err);
/* The lead reads a checkpoint, and all have its state. */
TR_MUST_CHECK enum tr_status tr_run_read_state(struct tr_run *run, const char *checkpoint, struct tr_err *err);

/* --- agree.c: ranks that are processes, on hosts of their own --- */

/* How a rank has fared becomes how all have: one sentence (tr_status_all). */
TR_MUST_CHECK enum tr_status tr_run_alike(struct tr_run *run, enum tr_status mine, struct tr_err *err);
/* They are the same program, with the same layout; they have one config and model, once it is resolved; one text. */
TR_MUST_CHECK enum tr_status tr_run_agree_program(struct tr_run *run, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_run_agree_config(struct tr_run *run, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_run_agree_text(struct tr_run *run, struct tr_err *err);
/* hosts, host_ranks, cores, host_cores. */
TR_MUST_CHECK enum tr_status tr_run_share_host(struct tr_run *run, struct tr_err *err);

/* --- pace.c --- */

/* After each step of several ranks: where a line of the log is due, they are compared, and a straggler is named. */
TR_MUST_CHECK enum tr_status tr_run_pace(struct tr_run *run, double step_s, struct tr_err *err);

/* --- tracer.c --- */

/* Once the program is there: refuses more steps than a trace holds. */
TR_MUST_CHECK enum tr_status tr_run_trace_fit(struct tr_run *run, struct tr_err *err);
/* Once it is clear where the run begins. */
TR_MUST_CHECK enum tr_status tr_run_trace_open(struct tr_run *run, struct tr_err *err);
/* Around what a step computes; collective while steps are traced. */
TR_MUST_CHECK enum tr_status tr_run_trace_begin(struct tr_run *run, struct tr_err *err);
void tr_run_trace_end(struct tr_run *run);
/* Writes what there is, and ends the trace. */
void tr_run_trace_write(struct tr_run *run);

/* --- run_fit.c: the program, and whether it fits (fit.h) --- */

/* What of a run decides about its memory; its model is the run's. */
struct tr_fit tr_run_fit_of(const struct tr_run *run);
TR_MUST_CHECK enum tr_status tr_run_fit(struct tr_run *run, struct tr_err *err);

/* --- run_folder.c --- */

/* Makes the folder, takes its lock. */
TR_MUST_CHECK enum tr_status tr_run_folder_open(struct tr_run *run, struct tr_err *err);
/* After a run that was refused: the folder goes again, if this attempt made it and nothing else is in it. */
void tr_run_folder_forget(struct tr_run *run);
/* RUN/best leads to the checkpoint of the best evaluation, if that is to be kept and is there. */
TR_MUST_CHECK enum tr_status tr_run_point_best(struct tr_run *run, struct tr_err *err);
/* Once it is clear where the run begins: config.yaml; metrics and samples of later steps are dropped. */
TR_MUST_CHECK enum tr_status tr_run_folder_begin(struct tr_run *run, struct tr_err *err);
/* Drops metrics and samples of steps after `last`. */
TR_MUST_CHECK enum tr_status tr_run_folder_drop_later(const struct tr_run *run, int64_t last, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_run_note_event(struct tr_run *run, const char *event, const char *text,
                                               struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_run_note_step(struct tr_run *run, const struct tr_step_result *result, double lr,
                                              bool skipped, struct tr_err *err);
/* Until the end, by what steps, evaluations, samples and saves of this attempt took; those that it has not had yet are not in it. */
double tr_run_eta_s(const struct tr_run *run);
/* What moves bytes between ranks: "threads", "mpi". */
const char *tr_run_transport(const struct tr_run *run);
/* Whether this step has a line in the log: the same on all ranks. */
bool tr_run_log_is_due(const struct tr_run *run);
TR_MUST_CHECK enum tr_status tr_run_note_eval(struct tr_run *run, int64_t bytes, double eval_s, struct tr_err *err);
int64_t tr_run_step_tokens(const struct tr_run *run);
/* The share of its steps in which this rank waited for other stages of its pipeline. */
double tr_run_bubble(const struct tr_run *run);
double tr_run_mfu(const struct tr_run *run, double tokens, double seconds);

/* --- profile_write.c --- */

/* What all ranks have done until now, to the lead; then it writes. */
TR_MUST_CHECK enum tr_status tr_run_collect_ops(struct tr_run *run, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_run_write_profile(struct tr_run *run, struct tr_err *err);

/* --- roll_back.c: spikes, and the way back --- */

/* Where a roll-back goes: the last step that is a multiple of checkpoint.every; 0: there is none yet. Only steps that
 * are a multiple count, since others are saved when somebody interrupts the run, which must not decide its course. */
int64_t tr_run_anchor(const struct tr_run *run);

/* Whether this step is a spike, and in `text` why. */
bool tr_run_is_spike(const struct tr_run *run, const struct tr_step_result *result, char text[TR_SPIKE_TEXT_BYTES]);

/* Back to the anchor, which must be a step; the batches up to the one of `why` are passed over. */
TR_MUST_CHECK enum tr_status tr_run_roll_back(struct tr_run *run, const char *why, struct tr_err *err);

/* --- replay.c --- */

TR_MUST_CHECK enum tr_status tr_run_replay_open(struct tr_run *run, struct tr_err *err);
/* Weights and moments are what they are to be: what every step must find them as. */
void tr_run_replay_rest(struct tr_run *run);
/* They are still what they were then. TR_FAILED names the tensor. */
TR_MUST_CHECK enum tr_status tr_run_replay_watch(const struct tr_run *run, struct tr_err *err);
/* Computes the step; where it is due, twice, and a third time when the two differ. */
TR_MUST_CHECK enum tr_status tr_run_replay_step(struct tr_run *run, double lr, struct tr_outcome *outcome,
                                                struct tr_err *err);

/* --- train.c --- */

/* One computation of the step, up to changed weights, of which nothing is noted. */
TR_MUST_CHECK enum tr_status tr_run_compute(struct tr_run *run, double lr, struct tr_outcome *outcome,
                                            struct tr_err *err);

/* --- resume.c --- */

/* The checkpoint that --resume names is there and whole: asked before anything is written. */
TR_MUST_CHECK enum tr_status tr_run_find_resume(struct tr_run *run, struct tr_err *err);
/* Decides where the run begins and puts weights and moments there. */
TR_MUST_CHECK enum tr_status tr_run_choose_start(struct tr_run *run, char checkpoint[TR_PATH_BYTES],
                                                 struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_run_load(struct tr_run *run, const char *checkpoint, struct tr_err *err);

/* --- save.c --- */

/* Memory for the copy that this rank's saves make. */
int64_t tr_run_save_bytes(const struct tr_run_config *config, const struct tr_program *program);
/* Once the writers are known. */
TR_MUST_CHECK enum tr_status tr_run_save_open(struct tr_run *run, struct tr_err *err);

/* Nothing when this step is saved already. In the background: begins to, after the save before it is finished. All ranks call these
 * together. */
TR_MUST_CHECK enum tr_status tr_run_save(struct tr_run *run, struct tr_err *err);
/* Goes on with a background save, if there is one and all ranks have come so far; waits for it. */
TR_MUST_CHECK enum tr_status tr_run_save_poll(struct tr_run *run, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_run_save_finish(struct tr_run *run, struct tr_err *err);

/* --- evaluate.c --- */

/* On one rank: now; on several: when they last agreed upon it. */
bool tr_run_stopped(const struct tr_run *run);
/* Leaves the state as it is when it is asked to stop in the middle. */
TR_MUST_CHECK enum tr_status tr_run_evaluate(struct tr_run *run, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_run_sample(struct tr_run *run, struct tr_err *err);

#endif
