#include "lab/train/saver.h"

#include "base/num.h"

#include <signal.h>
#include <string.h>

enum { COPIES = 3 }; /* w, m, v */

/* Whether weight i has copy k of them. */
static bool has(const struct tr_weights *weights, int32_t i, int k) { return k <= weights->weight[i].moments; }

int64_t tr_saver_bytes(const struct tr_weights *weights)
{
    int64_t elements = 0;
    for (int32_t i = 0; i < weights->count; i++)
        elements += (1 + weights->weight[i].moments) * weights->weight[i].count;
    return elements * (int64_t)sizeof(float);
}

enum tr_status tr_saver_open(struct tr_saver *saver, const struct tr_weights *weights, struct tr_err *err)
{
    float **list[COPIES];
    memset(saver, 0, sizeof *saver);
    tr_arena_init(&saver->arena, "addresses of the copy that is saved", (int64_t)64 << 20);
    enum tr_status status = tr_slab_map(tr_saver_bytes(weights), &saver->slab, err);
    if (status != TR_OK)
        return status;
    tr_slab_touch(&saver->slab);
    float *at = saver->slab.at;
    for (int k = 0; k < COPIES; k++) {
        list[k] = tr_arena_array(&saver->arena, weights->count, sizeof *list[k], err);
        if (!list[k])
            return TR_FAILED;
        for (int32_t i = 0; i < weights->count; i++) {
            list[k][i] = at;
            at += has(weights, i, k) ? weights->weight[i].count : 0;
        }
    }
    saver->tensors = (struct tr_tensors){.weights = weights, .w = list[0], .m = list[1], .v = list[2]};
    return TR_OK;
}

static void *write_copy(void *context)
{
    struct tr_saver *saver = context;
    saver->status = tr_checkpoint_write(saver->run_folder, saver->model, &saver->tensors, &saver->state, &saver->keep,
                                        &saver->err);
    atomic_store_explicit(&saver->done, true, memory_order_release);
    return NULL;
}

/* Signals are for the thread that trains: the new one inherits a mask that blocks them all. */
static int start_thread(struct tr_saver *saver)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int reason = pthread_create(&saver->thread, NULL, write_copy, saver);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return reason;
}

enum tr_status tr_saver_start(struct tr_saver *saver, const char *run_folder, const struct tr_model_config *model,
                              const struct tr_tensors *tensors, const struct tr_train_state *state,
                              const struct tr_keep *keep, struct tr_err *err)
{
    float *const *from[COPIES] = {tensors->w, tensors->m, tensors->v};
    float *const *to[COPIES] = {saver->tensors.w, saver->tensors.m, saver->tensors.v};
    const struct tr_weights *weights = saver->tensors.weights;
    TR_ASSERT(!saver->started && tensors->weights == weights && strlen(run_folder) < TR_PATH_BYTES);
    for (int k = 0; k < COPIES; k++)
        for (int32_t i = 0; i < weights->count; i++)
            if (has(weights, i, k))
                memcpy(to[k][i], from[k][i], (size_t)weights->weight[i].count * sizeof(float));
    saver->model = model;
    saver->state = *state;
    saver->keep = *keep;
    strcpy(saver->run_folder, run_folder);
    atomic_store_explicit(&saver->done, false, memory_order_relaxed);
    int reason = start_thread(saver);
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
    tr_slab_unmap(&saver->slab);
    tr_arena_free(&saver->arena);
}
