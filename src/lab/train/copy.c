#include "lab/train/copy.h"

#include "base/num.h"

#include <string.h>

enum { COPIES = 3 }; /* w, m, v */

/* Whether weight i has copy k of them. */
static bool has(const struct tr_weights *weights, int32_t i, int k) { return k <= weights->weight[i].moments; }

int64_t tr_copy_bytes(const struct tr_weights *weights)
{
    int64_t elements = 0;
    for (int32_t i = 0; i < weights->count; i++)
        elements += (1 + weights->weight[i].moments) * weights->weight[i].count;
    return elements * (int64_t)sizeof(float);
}

enum tr_status tr_copy_open(struct tr_copy *copy, const struct tr_weights *weights, struct tr_err *err)
{
    float **list[COPIES];
    memset(copy, 0, sizeof *copy);
    tr_arena_init(&copy->arena, "addresses of a copy of the weights", (int64_t)64 << 20);
    enum tr_status status = tr_slab_map(tr_copy_bytes(weights), &copy->slab, err);
    if (status != TR_OK)
        return status;
    tr_slab_touch(&copy->slab);
    float *at = copy->slab.at;
    for (int k = 0; k < COPIES; k++) {
        list[k] = tr_arena_array(&copy->arena, weights->count, sizeof *list[k], err);
        if (!list[k])
            return TR_FAILED;
        for (int32_t i = 0; i < weights->count; i++) {
            list[k][i] = at;
            at += has(weights, i, k) ? weights->weight[i].count : 0;
        }
    }
    copy->tensors = (struct tr_tensors){.weights = weights, .w = list[0], .m = list[1], .v = list[2]};
    return TR_OK;
}

static void copy_all(const struct tr_tensors *to, const struct tr_tensors *from)
{
    float *const *source[COPIES] = {from->w, from->m, from->v};
    float *const *target[COPIES] = {to->w, to->m, to->v};
    const struct tr_weights *weights = from->weights;
    TR_ASSERT(to->weights == weights);
    for (int k = 0; k < COPIES; k++)
        for (int32_t i = 0; i < weights->count; i++)
            if (has(weights, i, k))
                memcpy(target[k][i], source[k][i], (size_t)weights->weight[i].count * sizeof(float));
}

void tr_copy_take(struct tr_copy *copy, const struct tr_tensors *tensors) { copy_all(&copy->tensors, tensors); }
void tr_copy_put_back(const struct tr_copy *copy, const struct tr_tensors *tensors) { copy_all(tensors, &copy->tensors); }

void tr_copy_close(struct tr_copy *copy)
{
    tr_slab_unmap(&copy->slab);
    tr_arena_free(&copy->arena);
}
