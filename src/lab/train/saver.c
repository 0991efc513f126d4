#include "lab/train/saver.h"

#include "base/num.h"

#include <stdlib.h>
#include <string.h>

static struct tr_file_sum *room_for_sums(const struct tr_sharding *sharding, int32_t first, int32_t last, struct tr_err *err)
{
    int64_t count = 0;
    for (int32_t shard = first; shard < last; shard++)
        count += tr_shard_sums(sharding, shard);
    struct tr_file_sum *sums = calloc((size_t)count, sizeof *sums);
    if (!sums)
        (void)tr_fail(err, TR_FAILED, "out of memory for the sums of %lld files and tensors", (long long)count);
    return sums;
}

enum tr_status tr_saver_open(struct tr_saver *saver, const struct tr_writers *writers, bool copies, bool lead, struct tr_err *err)
{
    const struct tr_sharding *sharding = &writers->sharding;
    int32_t mine = writers->shard;
    memset(saver, 0, sizeof *saver);
    saver->writers = writers;
    saver->copies = copies;
    if (mine >= 0 && !(saver->sums = room_for_sums(sharding, mine, mine + 1, err)))
        return TR_FAILED;
    if (lead && !(saver->all = room_for_sums(sharding, 0, sharding->count, err)))
        return TR_FAILED;
    return copies && mine >= 0 ? tr_copy_open(&saver->copy, sharding, mine, err) : TR_OK;
}

static void *do_work(void *context)
{
    struct tr_saver *saver = context;
    saver->status = saver->work(saver, &saver->err);
    atomic_store_explicit(&saver->done, true, memory_order_release);
    return NULL;
}

void tr_saver_work(struct tr_saver *saver, tr_save_work work, bool background)
{
    TR_ASSERT(!saver->has_thread);
    saver->work = work;
    atomic_store_explicit(&saver->done, false, memory_order_relaxed);
    int reason = background ? tr_thread_start(&saver->thread, do_work, saver) : 0;
    saver->has_thread = background && reason == 0;
    if (!background || reason) /* without a thread it takes longer, and nothing is lost */
        do_work(saver);
}

bool tr_saver_is_done(struct tr_saver *saver) { return atomic_load_explicit(&saver->done, memory_order_acquire); }

static void join(struct tr_saver *saver)
{
    if (saver->has_thread)
        TR_ASSERT(pthread_join(saver->thread, NULL) == 0);
    saver->has_thread = false;
}

enum tr_status tr_saver_wait(struct tr_saver *saver, struct tr_err *err)
{
    join(saver);
    if (saver->status != TR_OK)
        *err = saver->err;
    return saver->status;
}

void tr_saver_close(struct tr_saver *saver)
{
    join(saver);
    free(saver->sums);
    free(saver->all);
    tr_copy_close(&saver->copy);
}
