/* Where one rank stands in a layout, and what of a step is its own. Pure arithmetic: no program, no other rank.
 *
 * Logical widths (program.h) decide the bits and are the run's; degrees say how many ranks share the work and are chosen at
 * each start. A rank owns whole logical parts, in one range: data lanes, cut by tr_cut. Such a range is a few whole subtrees
 * of the tree over lanes (op/reduce.h), so that the sums that ranks exchange are nodes of the tree that one rank would climb.
 *
 * Tensor parts. Neighbours share heads and columns of the feed-forward network (portion.h): what leads into the residual stream are
 * then sums over the parts of all, joined along the tree over parts. What is of the stream itself, norms, embedding and head, each of
 * them computes as a whole.
 *
 * Pipeline. Layers are cut into chunks (pipe.h); a rank has those of its stage. The embedding is of the first stage, the last norm and
 * the head are of the last one. A table that is tied is the first stage's: the last one sends what it has of the gradient there and
 * gets back what operations read, so that moments and norm have it once.
 *
 * ZeRO. From zero = 1 on the optimiser's state of each tensor is cut in slices, one a rank, in multiples of TR_SLICE_QUANTUM
 * elements (of its portion); a matrix that Muon updates is one rank's as a whole, since its direction is a function of all of it. From zero = 2 on
 * so are gradients, and lanes are dealt out in turn (rank r has lanes r, r + dp, ...): of the lanes that all ranks compute at one
 * time, a round, the gradients make a few whole subtrees again, one where dp is a power of two, so that each rank keeps of every
 * round its slices of these, and of no rank's lanes the whole. With zero = 3 what operations read is cut too.
 */
#ifndef TR_LAB_MODEL_PLACE_H
#define TR_LAB_MODEL_PLACE_H

#include "base/err.h"
#include "lab/model/pipe.h"
#include "silicon/op/reduce.h"

#include <stdint.h>

struct tr_program;
struct tr_step_config;

enum { TR_SLICE_QUANTUM = 32 }; /* elements: whole cache lines, also of bf16 */

/* The axes along which ranks share the work, in the order in which ranks are numbered: neighbours share tensors. A rank is in
 * one group of each: the ranks that differ from it in that axis alone. */
enum tr_group {
    TR_GROUP_TENSOR,  /* heads, ffn, vocabulary */
    TR_GROUP_CONTEXT, /* parts of each sequence */
    TR_GROUP_DATA,    /* lanes */
    TR_GROUP_PIPE,    /* layers */
    TR_GROUP_COUNT
};

/* What a layout divides. All zero: nothing, one rank does it all. */
struct tr_degrees {
    int32_t ranks[TR_GROUP_COUNT]; /* along each axis; 0 as 1 */
    int32_t chunks; /* of layers, that each stage of PIPE has; 0 as 1 */
    bool sequence; /* ranks of TENSOR also share the tokens of the residual stream */
    int32_t zero; /* what ranks of DATA share out among themselves: 0 nothing, 1 the optimiser's state (in bf16 the fp32 weights too),
                     2 gradients too, 3 weights too */
};

struct tr_rank_place {
    struct tr_degrees degrees;
    int32_t rank; /* in the world of ranks */
};

static inline int32_t tr_degrees_of(const struct tr_degrees *degrees, enum tr_group group)
{
    return degrees->ranks[group] > 1 ? degrees->ranks[group] : 1;
}

/* How many ranks a layout has. */
static inline int64_t tr_degrees_ranks(const struct tr_degrees *degrees)
{
    int64_t ranks = 1;
    for (int group = 0; group < TR_GROUP_COUNT; group++)
        ranks *= tr_degrees_of(degrees, (enum tr_group)group);
    return ranks;
}

static inline struct tr_pipe tr_degrees_pipe(const struct tr_degrees *degrees)
{
    return (struct tr_pipe){tr_degrees_of(degrees, TR_GROUP_PIPE), degrees->chunks > 1 ? degrees->chunks : 1};
}

/* How many ranks lie between neighbours of a group. */
static inline int32_t tr_group_stride(const struct tr_degrees *degrees, enum tr_group group)
{
    int32_t stride = 1;
    for (int inner = 0; inner < (int)group; inner++)
        stride *= tr_degrees_of(degrees, (enum tr_group)inner);
    return stride;
}

/* Which member of its group a rank is. */
static inline int32_t tr_rank_index(const struct tr_rank_place *place, enum tr_group group)
{
    return place->rank / tr_group_stride(&place->degrees, group) % tr_degrees_of(&place->degrees, group);
}

/* Members of a group have the same: the number of the first of them. */
static inline int32_t tr_rank_group_first(const struct tr_rank_place *place, enum tr_group group)
{
    return place->rank - tr_rank_index(place, group) * tr_group_stride(&place->degrees, group);
}

/* The rank that is member `index` of a group of this rank. */
static inline int32_t tr_rank_of_member(const struct tr_rank_place *place, enum tr_group group, int32_t index)
{
    return tr_rank_group_first(place, group) + index * tr_group_stride(&place->degrees, group);
}

/* Data lanes first, first + step, ... */
struct tr_lanes {
    int32_t first, step, count;
};

/* Those of member `index` of the data parallel group. */
struct tr_lanes tr_degrees_lanes(const struct tr_degrees *degrees, int32_t lanes, int32_t index);

/* Which of these lanes `lane` is; -1: none. */
int32_t tr_lanes_find(const struct tr_lanes *lanes, int32_t lane);

/* How many rounds there are, of which each has a lane of every rank; in the last one some may have none. */
static inline int32_t tr_degrees_rounds(const struct tr_degrees *degrees, int32_t lanes)
{
    int32_t dp = tr_degrees_of(degrees, TR_GROUP_DATA);
    return (lanes + dp - 1) / dp;
}

/* Where the slices of weight `index` begin, among the data parallel ranks of the stage that has it: at[0 .. dp], elements, of the
 * portion that member `tensor` of the tensor parallel ranks has (portion.h). */
void tr_slices_cut(const struct tr_program *program, int32_t index, int32_t tensor, int64_t *at);

/* Refuses a layout that the step cannot be divided by, with what would: fewer lanes than ranks, fewer
 * layers than chunks ... */
TR_MUST_CHECK enum tr_status tr_rank_check(const struct tr_step_config *step, int32_t layers, struct tr_err *err);

#endif
