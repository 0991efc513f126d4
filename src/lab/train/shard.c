/* What is in a shard of a checkpoint. */
#include "lab/train/shard.h"

int tr_file_parts(enum tr_checkpoint_file kind, const struct tr_tensors *tensors, struct tr_part parts[TR_FILE_PARTS_MAX])
{
    TR_ASSERT(kind == TR_FILE_MODEL || kind == TR_FILE_OPTIMIZER);
    if (kind == TR_FILE_MODEL) {
        parts[0] = (struct tr_part){"", tensors->w, 0};
        return 1;
    }
    parts[0] = (struct tr_part){"m.", tensors->m, 1};
    parts[1] = (struct tr_part){"v.", tensors->v, 2};
    return 2;
}

int64_t tr_sharding_tensors(const struct tr_sharding *split, int32_t shard, const struct tr_part *parts, int part_count)
{
    int64_t count = 0;
    for (struct tr_part_at at = TR_PART_FIRST; tr_sharding_next(split, shard, parts, part_count, &at);)
        count++;
    return count;
}

int64_t tr_shard_sums(const struct tr_sharding *split, int32_t shard)
{
    struct tr_part parts[TR_FILE_PARTS_MAX];
    int64_t count = TR_SHARD_FILES;
    for (int kind = TR_FILE_MODEL; kind <= TR_FILE_OPTIMIZER; kind++) {
        int part_count = tr_file_parts(kind, &(struct tr_tensors){0}, parts);
        count += tr_sharding_tensors(split, shard, parts, part_count);
    }
    return count;
}
