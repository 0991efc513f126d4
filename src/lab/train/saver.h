/* The save that is under way: what it writes, and the thread that writes it while the next steps run. Internal to lab/train; save.c
 * says what a save does.
 *
 *     tr_saver_open(&saver, &writers, copies, err)   with room for a copy of this rank's shard, if it is to be copied
 *     tr_saver_work(&saver, work, background, err)  work(saver) on a thread of its own, or at once
 *     if (tr_saver_is_done(&saver)) ...             asked after each step: costs a load
 *     tr_saver_wait(&saver, err)                    until it is done; what it came to, once
 *     tr_saver_close(&saver)
 *
 * One save at a time: who wants the next one finishes the last one first, so that memory is bounded and checkpoints
 * appear in the order of their steps. */
#ifndef TR_LAB_TRAIN_SAVER_H
#define TR_LAB_TRAIN_SAVER_H

#include "lab/train/copy.h"
#include "lab/train/writers.h"
#include "lab/train/shard.h"

#include <pthread.h>
#include <stdatomic.h>

/* How far a save has come. Each rank writes its shard; when all have, the lead writes the rest, and the checkpoint is there. */
enum tr_save_phase { TR_SAVE_NONE, TR_SAVE_SHARDS, TR_SAVE_REST };

struct tr_saver;
typedef enum tr_status (*tr_save_work)(struct tr_saver *saver, struct tr_err *err);

struct tr_saver {
    const struct tr_writers *writers;
    bool copies;
    struct tr_copy copy;         /* with copies: of this rank's shard */
    struct tr_file_sum *sums;    /* of this rank's shard; NULL: it has none */
    struct tr_file_sum *all;     /* of all shards; NULL: not on this rank */

    enum tr_save_phase phase;
    char folder[TR_PATH_BYTES];  /* that is written */
    char run_folder[TR_PATH_BYTES];
    const struct tr_model_config *model;
    struct tr_tensors tensors;   /* the copy's, or the run's own */
    struct tr_train_state state;
    struct tr_keep keep;

    pthread_t thread;
    bool has_thread;
    tr_save_work work;
    atomic_bool done;
    enum tr_status status;       /* of the work: the thread's until done */
    struct tr_err err;
};

/* With `copies` the tensors of this rank's shard are copied, so that training may go on; `lead`: takes the sums of all. */
TR_MUST_CHECK enum tr_status tr_saver_open(struct tr_saver *saver, const struct tr_writers *writers, bool copies, bool lead,
                                           struct tr_err *err);

/* No work may be under way. What fails in it tr_saver_wait says. */
void tr_saver_work(struct tr_saver *saver, tr_save_work work, bool background);

bool tr_saver_is_done(struct tr_saver *saver);
TR_MUST_CHECK enum tr_status tr_saver_wait(struct tr_saver *saver, struct tr_err *err);

void tr_saver_close(struct tr_saver *saver); /* waits too; also right on a zeroed struct */

#endif
