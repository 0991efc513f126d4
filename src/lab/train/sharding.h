/* How the tensors of a checkpoint are split among shards: files that ranks write side by side. A tensor lies in one shard as a whole,
 * with its moments. Internal to lab/train.
 *
 *     const struct tr_sharding one = tr_sharding_whole(weights);     one shard has all
 *     tr_sharding_has(&split, shard, i)                           whether shard has weight i
 */
#ifndef TR_LAB_TRAIN_SHARDING_H
#define TR_LAB_TRAIN_SHARDING_H

#include "lab/model/weights.h"
#include "lab/train/parts.h"

enum { TR_SHARDS_MAX = 99999 };

struct tr_sharding {
    const struct tr_weights *weights;
    int32_t count;     /* shards; each has a tensor at least */
    const int32_t *of; /* [weights->count]: the shard of each; NULL: there is one */
};

static inline struct tr_sharding tr_sharding_whole(const struct tr_weights *weights)
{
    return (struct tr_sharding){.weights = weights, .count = 1};
}

static inline bool tr_sharding_has(const struct tr_sharding *split, int32_t shard, int32_t index)
{
    return !split->of || split->of[index] == shard;
}

/* tr_part_next for the tensors of a shard. */
static inline bool tr_sharding_next(const struct tr_sharding *split, int32_t shard, const struct tr_part *parts, int part_count,
                                 struct tr_part_at *at)
{
    while (tr_part_next(parts, part_count, split->weights, at))
        if (tr_sharding_has(split, shard, at->index))
            return true;
    return false;
}

#endif
