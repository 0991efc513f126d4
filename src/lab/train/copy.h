/* A copy of weights and moments in memory of its own, of a shard of them or of all: what a save writes while training goes on, what a
 * replay begins from. Internal to lab/train.
 *
 *     tr_copy_open(&copy, &sharding, shard, err)   maps the room: 12 bytes a parameter (AdamW)
 *     tr_copy_take(&copy, &tensors)                copies them
 *     tr_copy_put_back(&copy, &tensors)            and back
 *     tr_copy_close(&copy)                         also right on a zeroed struct
 */
#ifndef TR_LAB_TRAIN_COPY_H
#define TR_LAB_TRAIN_COPY_H

#include "base/arena.h"
#include "lab/train/hash.h"
#include "lab/train/sharding.h"

struct tr_copy {
    struct tr_tensors tensors; /* its w, m, v point into arena, their values into slab; NULL where the shard has none */
    struct tr_sharding sharding;
    int32_t shard;
    struct tr_arena arena;
    struct tr_slab slab;
};

/* Bytes that tr_copy_open maps for this shard. */
int64_t tr_copy_bytes(const struct tr_sharding *sharding, int32_t shard);

/* What `sharding` points to must outlive the copy. */
TR_MUST_CHECK enum tr_status tr_copy_open(struct tr_copy *copy, const struct tr_sharding *sharding, int32_t shard,
                                          struct tr_err *err);
void tr_copy_take(struct tr_copy *copy, const struct tr_tensors *tensors);
void tr_copy_put_back(const struct tr_copy *copy, const struct tr_tensors *tensors);
void tr_copy_close(struct tr_copy *copy);

#endif
