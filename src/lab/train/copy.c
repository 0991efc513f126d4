#include "lab/train/copy.h"

#include "base/num.h"

#include <string.h>

enum { COPIES = 3 }; /* w, m, v */

/* Whether there is a copy k of weight i. */
static bool has(const struct tr_sharding *sharding, int32_t shard, int32_t i, int k)
{
    return tr_sharding_has(sharding, shard, i) && k <= sharding->weights->weight[i].moments;
}

int64_t tr_copy_bytes(const struct tr_sharding *sharding, int32_t shard)
{
    int64_t elements = 0;
    for (int k = 0; k < COPIES; k++)
        for (int32_t i = 0; i < sharding->weights->count; i++)
            elements += has(sharding, shard, i, k) ? sharding->weights->weight[i].count : 0;
    return elements * (int64_t)sizeof(float);
}

enum tr_status tr_copy_open(struct tr_copy *copy, const struct tr_sharding *sharding, int32_t shard, struct tr_err *err)
{
    float **list[COPIES];
    const struct tr_weights *weights = sharding->weights;
    *copy = (struct tr_copy){.sharding = *sharding, .shard = shard};
    tr_arena_init(&copy->arena, "addresses of a copy of the weights", (int64_t)64 << 20);
    enum tr_status status = tr_slab_map(tr_copy_bytes(sharding, shard), &copy->slab, err);
    if (status != TR_OK)
        return status;
    tr_slab_touch(&copy->slab);
    float *at = copy->slab.at;
    for (int k = 0; k < COPIES; k++) {
        list[k] = tr_arena_array(&copy->arena, weights->count, sizeof *list[k], err);
        if (!list[k])
            return TR_FAILED;
        for (int32_t i = 0; i < weights->count; i++) {
            if (!has(sharding, shard, i, k))
                continue;
            list[k][i] = at;
            at += weights->weight[i].count;
        }
    }
    copy->tensors = (struct tr_tensors){.weights = weights, .w = list[0], .m = list[1], .v = list[2]};
    return TR_OK;
}

static void copy_all(const struct tr_copy *copy, const struct tr_tensors *to, const struct tr_tensors *from)
{
    float *const *source[COPIES] = {from->w, from->m, from->v};
    float *const *target[COPIES] = {to->w, to->m, to->v};
    for (int k = 0; k < COPIES; k++)
        for (int32_t i = 0; i < from->weights->count; i++)
            if (has(&copy->sharding, copy->shard, i, k))
                memcpy(target[k][i], source[k][i], (size_t)from->weights->weight[i].count * sizeof(float));
}

void tr_copy_take(struct tr_copy *copy, const struct tr_tensors *tensors) { copy_all(copy, &copy->tensors, tensors); }
void tr_copy_put_back(const struct tr_copy *copy, const struct tr_tensors *tensors) { copy_all(copy, tensors, &copy->tensors); }

void tr_copy_close(struct tr_copy *copy)
{
    tr_slab_unmap(&copy->slab);
    tr_arena_free(&copy->arena);
}
