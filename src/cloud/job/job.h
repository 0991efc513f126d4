/* Jobs: a run is handed to Slurm, is looked after while it lasts, and is asked how it does.
 *
 * tr_launch keeps one command going: what ends by itself is done, what was asked to end has ended, what says that trying again
 * will not help is not tried again, what dies is started again after a pause, which doubles up to a limit, and is given up when too
 * many attempts in a row have kept nothing.
 * Whether work was kept is asked of the caller (a run's newest checkpoint), so that a run which fails every night and
 * gets on every day goes on for ever, and one that fails at once does not.
 *
 * tr_slurm_* speak with Slurm through its commands (sbatch, squeue, sacct, scontrol), because these are the same from
 * version to version and from cluster to cluster. What Slurm refuses is passed on in its own words. */
#ifndef TR_CLOUD_JOB_JOB_H
#define TR_CLOUD_JOB_JOB_H

#include "base/err.h"
#include "base/text.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* ---- looking after a command ------------------------------------------------------------------------------------- */

struct tr_launch {
    const char *const *words; /* the command, NULL at the end; it ends as programs of ours do (base/err.h) */
    const atomic_int *stop;   /* the number of the signal that asks to end; 0: none. NULL: nobody asks */
    /* A number that grows when work was kept, below 0 while there is none; NULL: attempts are counted, not weighed. */
    int64_t (*kept)(void *context);
    void *context;
    int64_t restarts;         /* so many more attempts in a row that kept nothing */
    double pause_s, pause_max_s; /* before a restart: doubled each time that nothing was kept */
    FILE *log;                /* a line an event; NULL: silent */
};

struct tr_launch_result {
    int64_t attempts;
    int code;      /* of the last attempt */
    bool stopped;  /* somebody asked */
};

/* Signals: the first one that `stop` shows is passed on as SIGUSR1, which mpirun and srun hand to every rank where they would
 * kill on others; the command then has all the time that it wants. TR_OK: done. TR_BAD_INPUT: the command said so (and
 * why), or there is no such program. TR_NO: the command said so (it does not fit) before anything was kept; what has kept something
 * did fit, and is tried again: others have the memory. TR_FAILED: stopped, or given up; the sentence says after how many attempts. */
TR_MUST_CHECK enum tr_status tr_launch(const struct tr_launch *launch, struct tr_launch_result *result,
                                       struct tr_err *err);

/* ---- Slurm ------------------------------------------------------------------------------------------------------- */

enum { TR_JOB_ID_BYTES = 32, TR_JOB_WORD_BYTES = 64, TR_JOB_LINE_BYTES = 256 };

/* A job as sbatch wants it. Strings may be NULL: Slurm's own default. */
struct tr_slurm_job {
    const char *name;
    const char *folder;       /* where the script's commands run; absolute */
    const char *output;       /* file; Slurm adds what later attempts say; "%j" in it is the job's number */
    const char *partition, *account, *qos, *gres, *constraint;
    int64_t nodes, tasks_per_node, cpus_per_task;
    int64_t memory_bytes;     /* of a node; 0: Slurm's default */
    double time_s;            /* 0: the partition's limit */
    double warning_s;         /* SIGUSR1 to the script so long before the time is over */
    const char *const *words; /* what the script becomes, NULL at the end */
};

/* The script: #SBATCH lines and one command. Fails when a word has a line break or another control character in it. */
TR_MUST_CHECK enum tr_status tr_slurm_script(const struct tr_slurm_job *job, struct tr_text *out, struct tr_err *err);

/* sbatch SCRIPT. `id` gets the job's number. */
TR_MUST_CHECK enum tr_status tr_slurm_submit(const char *script, char id[TR_JOB_ID_BYTES], struct tr_err *err);

struct tr_slurm_state {
    char state[TR_JOB_WORD_BYTES];   /* PENDING, RUNNING, COMPLETED, FAILED, TIMEOUT, NODE_FAIL ... */
    char reason[TR_JOB_LINE_BYTES];  /* why it waits or how it ended; "" when Slurm names none */
    char nodes[TR_JOB_LINE_BYTES];   /* "n[1-2]" */
    char used[TR_JOB_WORD_BYTES], left[TR_JOB_WORD_BYTES]; /* time, as Slurm prints it: "1-02:03:04" */
    char exit_code[TR_JOB_WORD_BYTES]; /* "0:0"; "" while it runs */
    int64_t restarts;                /* -1: Slurm did not say */
    bool ended;                      /* it will not run again by itself */
};

/* squeue; for a job that squeue has forgotten, sacct. TR_BAD_INPUT when neither knows it. */
TR_MUST_CHECK enum tr_status tr_slurm_query(const char *id, struct tr_slurm_state *out, struct tr_err *err);

/* One line of `squeue --Format` as tr_slurm_query asks for it: columns of fixed width. For the tests and the fuzzer too. */
TR_MUST_CHECK enum tr_status tr_slurm_queue_parse(const char *line, struct tr_slurm_state *out, struct tr_err *err);
/* One line of `sacct --parsable2` as tr_slurm_query asks for it. */
TR_MUST_CHECK enum tr_status tr_slurm_account_parse(const char *line, struct tr_slurm_state *out, struct tr_err *err);

/* scontrol requeue: the job ends here and waits for its next turn. */
TR_MUST_CHECK enum tr_status tr_slurm_requeue(const char *id, struct tr_err *err);

#endif
