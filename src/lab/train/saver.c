#include "lab/train/saver.h"

#include "base/num.h"

#include <string.h>

enum tr_status tr_saver_open(struct tr_saver *saver, const struct tr_weights *weights, struct tr_err *err)
{
    memset(saver, 0, sizeof *saver);
    return tr_copy_open(&saver->copy, weights, err);
}

static void *write_copy(void *context)
{
    struct tr_saver *saver = context;
    saver->status = tr_checkpoint_write(saver->run_folder, saver->model, &saver->copy.tensors, &saver->state, &saver->keep,
                                        &saver->err);
    atomic_store_explicit(&saver->done, true, memory_order_release);
    return NULL;
}

enum tr_status tr_saver_start(struct tr_saver *saver, const char *run_folder, const struct tr_model_config *model,
                              const struct tr_tensors *tensors, const struct tr_train_state *state,
                              const struct tr_keep *keep, struct tr_err *err)
{
    TR_ASSERT(!saver->started && strlen(run_folder) < TR_PATH_BYTES);
    tr_copy_take(&saver->copy, tensors);
    saver->model = model;
    saver->state = *state;
    saver->keep = *keep;
    strcpy(saver->run_folder, run_folder);
    atomic_store_explicit(&saver->done, false, memory_order_relaxed);
    int reason = tr_thread_start(&saver->thread, write_copy, saver);
    if (reason)
        return tr_fail(err, TR_FAILED, "the checkpoint of step %lld was not written: no thread for it: %s",
                       (long long)state->step, strerror(reason));
    saver->started = true;
    return TR_OK;
}

bool tr_saver_has_news(struct tr_saver *saver)
{
    return saver->started && atomic_load_explicit(&saver->done, memory_order_acquire);
}

enum tr_status tr_saver_finish(struct tr_saver *saver, struct tr_err *err)
{
    if (!saver->started)
        return TR_NO;
    TR_ASSERT(pthread_join(saver->thread, NULL) == 0);
    saver->started = false;
    if (saver->status != TR_OK)
        *err = saver->err;
    return saver->status;
}

void tr_saver_close(struct tr_saver *saver)
{
    if (saver->started)
        TR_ASSERT(pthread_join(saver->thread, NULL) == 0);
    saver->started = false;
    tr_copy_close(&saver->copy);
}
