/* Inside of plan/search: the walk over all layouts, and where it is. From outside to inside, each loop with what is priced
 * there once:
 *
 *     numbers of chips between the same tiers
 *     mesh (tp, sp, cp, context, ep, etp), micro_batch      blocks
 *     pipe (pp, vpp), recompute                             stages
 *     chips, so dp; zero and who shares                     ends, held (kept while the mesh stays)
 *     schedule                                              a layout: two sums and a maximum
 *
 * beyond.c goes the same way a second time, for layouts that are few among the fastest: those that a bound does not show to be slower. */
#ifndef TR_PLAN_SEARCH_SPACE_WALK_H
#define TR_PLAN_SEARCH_SPACE_WALK_H

#include "plan/search/keep.h"
#include "plan/search/search.h"
#include "plan/step/stage.h"

/* Sharings and variants: zero 0; zero 1 to 3 shared by all; by a node; beyond, by any part: divisors of at most TR_CHIPS_MAX. */
enum {
    TR_SPACE_SHARINGS = 3,
    TR_SPACE_VARIANTS = 1 + 3 * 2,
    TR_SPACE_SHARINGS_BEYOND = TR_SPACE_SHARINGS + 240,
    TR_SPACE_VARIANTS_BEYOND = TR_SPACE_VARIANTS + 3 * 240,
    TR_SPACE_SCHEDULES_MAX = 4,
    TR_SPACE_DIVISORS_MAX = 4096,
    TR_SEARCH_BYTES_MAX = 1 << 30
};

/* One way to share out what zero shares out. */
struct tr_space_variant {
    int32_t zero, shard;
    int sharing; /* which of `ends` */
    struct tr_held held;
};

/* A pipeline on a number of chips: what stays while tp, cp, ep and etp stay. */
struct tr_space_place {
    uint64_t mesh; /* for which the rest holds */
    int32_t dp;
    double straggle;
    double send_s; /* of the blocks that the walk is at */
    struct tr_space_variant *variant;
    int variants;     /* 0: not made yet */
    int others;       /* the first of those that the second walk alone has */
    int32_t *ends_of; /* by sharing: the slowest stage that `ends` are of; -1: not made */
    struct tr_ends *ends;
};

struct tr_space_pipe {
    int32_t pp, vpp;
    enum tr_pipeline schedule[TR_SPACE_SCHEDULES_MAX];
    int schedules;
    struct tr_split *split; /* one a way to recompute */
    int32_t *rerun_layers;  /* of each */
    int splits;
    struct tr_space_place *place; /* by number of chips */
    bool equal; /* of the first walk: not interleaved, or chunks are not ragged (tr_layout_is_ragged), or its vpp is asked for */
};

struct tr_space_walk {
    const struct tr_site *site;
    struct tr_site remembering; /* the site, with a memory of products: what the walk prices by */
    struct tr_products *own;    /* of the walk, where the site has none */
    const struct tr_task *task;
    const struct tr_space *space;
    struct tr_err *err;
    struct tr_arena arena;
    struct tr_layer_kinds kinds;
    struct tr_space_pipe *pipe;
    int pipes;
    struct tr_space_beyond *beyond; /* the second walk; NULL: the first */
    struct tr_keep *keep; /* by number of chips */
    bool first_fit;       /* stop when anything fits */
    bool found;

    /* Where the walk is: at the numbers of chips [from, to), for which blocks have the same prices. */
    int from, to;
    struct tr_layout layout;
    uint64_t mesh;
    bool priced; /* blocks are of this mesh and micro_batch */
    struct tr_blocks blocks;
    double passes_s; /* of all of them, forward and backward, of one microbatch through the whole model */
    struct tr_stages stages;
    struct tr_load load[TR_LAYERS_MAX];
    double waiting[TR_SPACE_SCHEDULES_MAX][TR_LAYERS_MAX]; /* bytes of activations, by schedule and load */
    int64_t divisor[TR_SPACE_DIVISORS_MAX];                /* of the global batch */
    int divisors;
};

static inline bool tr_span_has(struct tr_span range, int64_t value)
{
    return value >= range.min && (range.max == 0 || value <= range.max);
}

static inline double tr_space_both_s(const struct tr_block_price *price) { return price->forward_pass_s + price->backward_pass_s; }

/* Whether a choice is among those of a mask; of an empty one all are. */
static inline bool tr_mask_has(uint32_t mask, int value) { return mask == 0 || mask >> value & 1; }

/* Ranks of tensor parallel, at most: as the space says, else the first tier's domain. */
int64_t tr_space_most_tp(const struct tr_site *site, const struct tr_task *task, const struct tr_space *space);

/* nearest.c: of a space in which nothing is legal, the nearest numbers of chips (whole nodes, below and above the last that was
 * asked for) and sequences of a batch with which something is, each with all else as it is: "992 or 1024"; "": none near. */
void tr_space_nearest(const struct tr_site *site, const struct tr_task *task, const struct tr_space *space,
                      char chips[TR_LAYOUT_NEAR_BYTES], char batches[TR_LAYOUT_NEAR_BYTES]);

/* passes.c: w->passes_s of the mesh and microbatch that the walk is at. */
void tr_passes_keep(const struct tr_space_walk *walk);
bool tr_passes_recall(struct tr_space_walk *walk);

/* Of the numbers of chips that are asked for. */
bool tr_space_some_chips_divide_by(const struct tr_space_walk *walk, int64_t parts);

/* pipes.c: all pipelines of the space, with their ways to recompute, into walk->pipe. */
TR_MUST_CHECK enum tr_status tr_space_make_pipes(struct tr_space_walk *walk);
/* Of pp and vpp, with its schedules alone; false: there is none, or the space has none. */
bool tr_space_pipe_make(const struct tr_space_walk *walk, struct tr_space_pipe *pipe, int32_t pp, int32_t vpp);
/* Room for a number of chips' variants. */
TR_MUST_CHECK enum tr_status tr_space_place_make(struct tr_space_walk *walk, struct tr_space_place *place, int count, int sharings,
                                                 int variants);

/* space_walk.c, for both walks. Whether the walk's mesh and micro_batch go with the pipe on so many chips; then the layout has its dp. */
bool tr_space_place_on(struct tr_space_walk *walk, const struct tr_space_pipe *pipe, int64_t chips);
/* Empties it for the mesh and the chips that the walk is at. */
void tr_space_place_turn(const struct tr_space_walk *walk, struct tr_space_place *place);
void tr_space_price_blocks(struct tr_space_walk *walk);
/* Blocks, or how long their passes take, for whoever looks whether they are too slow. */
void tr_space_know_passes(struct tr_space_walk *walk);
/* A microbatch takes no less than slowest_s on the slowest stage: whether a step takes as long as than_s, as all else only adds. */
bool tr_space_is_slow(const struct tr_space_walk *walk, const struct tr_space_place *place, double slowest_s, double than_s);
/* All layouts of the stages that the walk is at, on one number of chips. */
TR_MUST_CHECK enum tr_status tr_space_price_variants(struct tr_space_walk *walk, const struct tr_space_pipe *pipe, const struct tr_split *split,
                                                     struct tr_space_place *place, struct tr_keep *keep);

/* beyond.c. */
TR_MUST_CHECK enum tr_status tr_space_beyond_make(struct tr_space_walk *walk);
TR_MUST_CHECK enum tr_status tr_space_walk_beyond(struct tr_space_walk *walk);

/* Of all layers before one: passes of a microbatch, weights, bytes that it keeps by what is computed again. */
struct tr_space_sums {
    double both_s, again_s, forward_s, dense, expert, kept, selective, full;
};

/* A mesh and a micro_batch at a time, in either walk. */
struct tr_space_beyond {
    struct tr_space_place place;
    bool summed; /* sums are of the mesh and micro_batch that the walk is at */
    struct tr_space_sums sum[TR_LAYERS_MAX + 1];
    bool again; /* the walk is at stages that the first walk has been at */
    double fits_s, than_s; /* what takes as long need not be looked at: of what fits; of what surely does, or this too */
};

/* Walks all of a space that tr_space_check has passed, or until something fits (first_fit). *out is to be freed, also when
 * it fails; it keeps task, space and err. */
TR_MUST_CHECK enum tr_status tr_space_walk_all(struct tr_space_walk **out, const struct tr_site *site, const struct tr_task *task,
                                         const struct tr_space *space, bool first_fit, struct tr_err *err);
void tr_space_walk_free(struct tr_space_walk *walk);

/* search.c: whether there is anything to walk; TR_BAD_INPUT with a sentence if not. */
TR_MUST_CHECK enum tr_status tr_space_check(const struct tr_site *site, const struct tr_task *task,
                                            const struct tr_space *space, struct tr_err *err);

#endif
