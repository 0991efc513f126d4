/* Saves in the background: the state at a step boundary is copied, and a thread writes the copy as a checkpoint while
 * the next steps run. Internal to lab/train.
 *
 *     tr_saver_open(&saver, &tensors, err)          maps room for the copy (copy.h)
 *     tr_saver_start(&saver, ..., err)              copies, begins to write; no save may be under way
 *     if (tr_saver_has_news(&saver)) ...                asked after each step: costs a load
 *     tr_saver_finish(&saver, err)                  waits; the outcome of the write, once
 *     tr_saver_close(&saver)
 *
 * One save at a time: who wants the next one finishes the last one first, so that memory is bounded and checkpoints
 * appear in the order of their steps. */
#ifndef TR_LAB_TRAIN_SAVER_H
#define TR_LAB_TRAIN_SAVER_H

#include "lab/train/checkpoint.h"
#include "lab/train/copy.h"

#include <pthread.h>
#include <stdatomic.h>

struct tr_saver {
    struct tr_copy copy;

    pthread_t thread;
    bool started;              /* there is a save whose outcome nobody has taken yet */
    atomic_bool done;
    enum tr_status status;     /* of the write: the thread's until done */
    struct tr_err err;

    const struct tr_model_config *model;
    char run_folder[TR_PATH_BYTES];
    struct tr_train_state state;
    struct tr_keep keep;
};

TR_MUST_CHECK enum tr_status tr_saver_open(struct tr_saver *saver, const struct tr_weights *weights,
                                           struct tr_err *err);

/* `model` must live until the save is finished; everything else is copied before this returns. */
TR_MUST_CHECK enum tr_status tr_saver_start(struct tr_saver *saver, const char *run_folder,
                                            const struct tr_model_config *model, const struct tr_tensors *tensors,
                                            const struct tr_train_state *state, const struct tr_keep *keep,
                                            struct tr_err *err);

/* Whether a save has come to its end and nobody has taken the outcome yet. */
bool tr_saver_has_news(struct tr_saver *saver);

/* Waits for the save that was started; its status and sentence. TR_NO when there is none. */
TR_MUST_CHECK enum tr_status tr_saver_finish(struct tr_saver *saver, struct tr_err *err);

void tr_saver_close(struct tr_saver *saver); /* waits too; also right on a zeroed struct */

#endif
