/* The tensors of a checkpoint's file, in order: one array after the other, of each the weights that have it. Internal
 * to lab/train.
 *
 *     struct tr_part_at at = TR_PART_FIRST;
 *     while (tr_part_next(parts, part_count, weights, &at))
 *         ... parts[at.part].values[at.index], parts[at.part].prefix, weights->weight[at.index] ...
 */
#ifndef TR_LAB_TRAIN_PARTS_H
#define TR_LAB_TRAIN_PARTS_H

#include "lab/model/weights.h"

#include <string.h>

struct tr_part {
    const char *prefix;    /* of the tensors' names: "", "m.", "v." */
    float *const *values;  /* [weights->count] */
    int32_t moments;       /* the weights that have at least so many */
};

struct tr_part_at {
    int part;
    int32_t index;
};

#define TR_PART_FIRST {0, -1}

static inline bool tr_part_next(const struct tr_part *parts, int part_count, const struct tr_weights *weights,
                                struct tr_part_at *at)
{
    for (;;) {
        if (++at->index == weights->count) {
            at->index = 0;
            at->part++;
        }
        if (at->part >= part_count)
            return false;
        if (weights->weight[at->index].moments >= parts[at->part].moments)
            return true;
    }
}

/* Whether a tensor of a file is called like this part of a weight. */
static inline bool tr_part_is_named(const struct tr_part *part, const struct tr_weight *weight, const char *name)
{
    size_t skip = strlen(part->prefix);
    return strncmp(name, part->prefix, skip) == 0 && strcmp(name + skip, weight->name) == 0;
}

#endif
