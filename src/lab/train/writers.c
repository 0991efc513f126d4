#include "lab/train/writers.h"

#include <stdlib.h>

/* To each tensor its rank. */
static void choose_ranks(const struct tr_program *p, int64_t ranks, int64_t *elements, int32_t *of)
{
    for (int32_t i = 0; i < p->weights.count; i++) {
        int32_t stage = tr_program_stage_of(p, i), best = -1;
        for (int32_t rank = 0; rank < ranks; rank++) {
            const struct tr_rank_place place = {p->step.place.degrees, rank};
            if (tr_rank_index(&place, TR_GROUP_PIPE) == stage && (best < 0 || elements[rank] < elements[best]))
                best = rank;
        }
        of[i] = best;
        elements[best] += (1 + p->weights.weight[i].moments) * p->weights.weight[i].count;
    }
}

/* Ranks become shards: those that have something, in their order. */
static void number_shards(struct tr_writers *o, int64_t ranks, const int64_t *elements, int32_t me, int32_t *shard_of)
{
    o->shard = -1;
    for (int32_t rank = 0; rank < ranks; rank++) {
        if (elements[rank] == 0)
            continue;
        o->shard = rank == me ? o->sharding.count : o->shard;
        o->rank[o->sharding.count] = rank;
        shard_of[rank] = o->sharding.count++;
    }
    for (int32_t i = 0; i < o->sharding.weights->count; i++)
        o->of[i] = shard_of[o->of[i]];
    o->sharding.of = o->of;
}

enum tr_status tr_writers_make(struct tr_writers *writers, const struct tr_program *program, struct tr_err *err)
{
    int64_t ranks = tr_degrees_ranks(&program->step.place.degrees);
    *writers = (struct tr_writers){.sharding = tr_sharding_whole(&program->weights)};
    if (ranks == 1)
        return TR_OK;
    if (ranks > TR_SHARDS_MAX)
        return tr_fail(err, TR_BAD_INPUT, "a layout of %lld ranks: a checkpoint has %d shards at most", (long long)ranks, TR_SHARDS_MAX);
    enum tr_status status = TR_OK;
    int64_t *elements = calloc((size_t)ranks, sizeof *elements);
    int32_t *shard_of = calloc((size_t)ranks, sizeof *shard_of);
    writers->rank = calloc((size_t)ranks, sizeof *writers->rank);
    writers->of = calloc((size_t)program->weights.count, sizeof *writers->of);
    if (elements && shard_of && writers->rank && writers->of) {
        writers->sharding.count = 0;
        choose_ranks(program, ranks, elements, writers->of);
        number_shards(writers, ranks, elements, program->step.place.rank, shard_of);
    } else {
        status = tr_fail(err, TR_FAILED, "out of memory for %lld ranks", (long long)ranks);
        tr_writers_free(writers);
    }
    free(elements);
    free(shard_of);
    return status;
}

void tr_writers_free(struct tr_writers *writers)
{
    free(writers->of);
    free(writers->rank);
    *writers = (struct tr_writers){0};
}
