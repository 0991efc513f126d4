/* Which rank writes which tensor of a checkpoint: of the ranks that train it, the one with least to write so far. So no rank writes
 * more than its share by more than one tensor of its stage, and a rank that has a tensor as a whole writes it from its own memory.
 * All ranks come to the same answer by themselves. Internal to lab/train.
 *
 *     tr_writers_make(&writers, &program, err)     also for one rank, which has all
 *     tr_writers_free(&writers)                    also right on a zeroed struct
 */
#ifndef TR_LAB_TRAIN_WRITERS_H
#define TR_LAB_TRAIN_WRITERS_H

#include "lab/model/program.h"
#include "lab/train/sharding.h"

struct tr_writers {
    struct tr_sharding sharding; /* its weights are the program's, its `of` is the one below */
    int32_t *of;                 /* NULL with one rank */
    int32_t *rank;               /* [sharding.count] the rank of each shard, ascending; NULL with one rank */
    int32_t shard;               /* this rank's; -1: it has none */
};

TR_MUST_CHECK enum tr_status tr_writers_make(struct tr_writers *writers, const struct tr_program *program, struct tr_err *err);
void tr_writers_free(struct tr_writers *writers);

/* The rank that writes weight i. */
static inline int32_t tr_writer_of(const struct tr_writers *writers, int32_t index)
{
    return writers->rank ? writers->rank[writers->of[index]] : 0;
}

#endif
