/* The best layout: every legal one of a space is priced, time and memory, none is left out; and of those beyond it all that may be faster.
 *
 *     const int64_t chips[] = {1024};
 *     struct tr_space space = {.chips = chips, .chips_count = 1, .top = 5};
 *     space.tp = (struct tr_span){8, 8};                         fixed; all that is 0 is open
 *     struct tr_search search;
 *     enum tr_status status = tr_search(&site, &task, &space, &search, err);
 *     TR_OK   search.best->fits.top[0].layout, .step                   the fastest that fits
 *     TR_NO   err: "gpt3-175b needs 93 GiB a chip on 32 chips ..., has 80 GiB; 64 chips are the fewest that fit, in whole nodes"
 *     tr_search_free(&search);
 *
 * The space, of each number of chips:
 *
 *     tp            divisors of the heads, up to the first tier's domain unless `tp` says more; with sp and without
 *     cp            divisors of the sequence; ring, all-to-all
 *     pp            up to the number of layers, uneven stages by the rule of tr_layout_chunk_layers; gpipe, 1f1b, zero-bubble,
 *                   zero-bubble-2p (alone on one stage all of them are 1f1b, and count once)
 *     vpp           interleaved with each that makes chunks of equal layers, the ends of no more (as where embedding and head count as one each)
 *     ep, etp       divisors of the experts, and of tp
 *     dp            what is left; divides the global batch
 *     micro_batch   divisors of a replica's sequences
 *     zero          0 to 3; shared by all of dp * cp, or (1 to 3) by those of a node, the first tier's domain
 *     recompute     none, selective, full, full with 1, 2, 3 ... layers a chunk
 *
 * All that tr_layout_check calls legal there and nothing else, each once: a test compares with a plain enumeration.
 *
 * Beyond it, unless `even` says not to (beyond.c):
 *
 *     first_layers, last_layers   any; interleaved, those that leave all other chunks as many layers each and the ends no more
 *     shard                       any part of dp * cp
 *
 * Of these are priced and kept all that the bounds of beyond.c do not show to be as slow as the fastest or too big, so the fastest is that
 * of all (a test compares with all prices), and so are the fastest of those that surely fit and of each way to divide the chips that is
 * listed, and what fits so alone is found. The front of time against memory and what would be the fastest with more memory are those of the
 * space but for what came by. Not at all are looked at, unless their vpp is asked for, interleaved chunks that are ragged
 * (tr_layout_is_ragged): a price by stages does not know how they wait for one another (tr_walk_longer_s).
 *
 * Prices are those of tr_step_price (same code, step/stage.h; within 1e-9, a test compares); only the order of sums differs.
 *
 * How fast (bench/bench_search.c; README.md has figures): blocks are priced once for each (tp, sp, cp, context, ep, etp,
 * micro_batch), stages summed once for each (blocks, pp, vpp, recompute), messages of replicas priced once for each
 * (mesh, shared by); a layout is then some ten multiply-adds. So nothing of the space is pruned, and its counts are exact, but for searches
 * of something faster than a time (README.md has their bound).
 *
 * One thread; memory some MiB; the same answer always. Of layouts with equal time the smaller comes first, then the one
 * that is found first. */
#ifndef TR_PLAN_SEARCH_SEARCH_H
#define TR_PLAN_SEARCH_SEARCH_H

#include "base/arena.h"
#include "plan/step/step.h"

struct tr_span {
    int64_t min, max; /* 0: open */
};

enum { TR_SPACE_CHIPS_MAX = 1024, TR_SEARCH_TOP_MAX = 1000 };
/* Who shares what zero shares out (tr_layout.shard); bits of tr_space.shares. */
enum { TR_SHARE_ALL = 1, TR_SHARE_NODE = 2 };
/* Bits of tr_space.sp. */
enum { TR_SP_OFF = 1, TR_SP_ON = 2 };

struct tr_space {
    const int64_t *chips; /* numbers of chips, each searched; ascending */
    int chips_count;
    double memory_bytes;  /* of a chip; 0: what the catalog says is there for programs */
    double reserve_bytes; /* of them kept free */
    struct tr_span tp, cp, pp, vpp, dp, ep, etp, micro_batch;
    /* Of each the allowed values, 1u << value; 0: all. */
    uint32_t contexts, pipelines, zeros, reruns;
    uint32_t sp, shares;         /* 0: all */
    int32_t shard;               /* this one alone; 0: as `shares` says */
    struct tr_span rerun_layers; /* of a chunk, when recompute is full; max beyond the chunk's: all of them */
    int32_t first_layers, last_layers;
    int top; /* how many of the fastest are wanted, at least 1 */
    int apart; /* and how many of them that divide the chips apart */
    double faster_than_s; /* 0: all. Else layouts that take as long need not be looked at, and neither found nor counted */
    struct tr_passes *passes; /* what searches of one site remember for those that look for something faster; NULL: nothing */
    bool even;  /* the space alone, without what may be faster beyond it */
    bool brief; /* the fastest alone: no front, and when nothing fits nobody looks for a number of chips on which something would */
    /* Called for every layout, in the order of the walk; NULL: nobody. */
    void (*visit)(void *context, const struct tr_layout *layout, double time_s, double memory_bytes);
    void *context;
};

struct tr_found {
    struct tr_layout layout;
    struct tr_step step; /* tr_step_price of it */
};

/* In some memory, the fastest first. */
struct tr_fastest {
    struct tr_found *top;
    int top_count;
    struct tr_found *apart; /* of each way to divide the chips (tr_layout_divides_alike) its fastest alone */
    int apart_count;
    struct tr_found roomier; /* with 10 % more memory; layout.dp 0: still none, or not asked for (brief) */
};

/* Of which meshes it is known how long their passes take: those that cannot be faster are not priced. NULL: no memory. One thread. */
struct tr_passes *tr_passes_make(void);
void tr_passes_free(struct tr_passes *passes); /* NULL is fine */

/* What was found on one number of chips. legal = too_big + dominated + those of the front that are of the space. */
struct tr_search_count {
    int64_t chips;
    int64_t legal;     /* of the space, all of them priced */
    int64_t too_big;   /* of these need more memory than there is */
    int64_t dominated; /* of these fit, and another is as fast or faster in as little memory or less */
    int64_t beyond;    /* priced beyond the space, as they might be faster, or fit */
    struct tr_fastest fits, sure; /* in the memory that there is; in so much that they fit to the top of its 80 % interval */
    struct tr_found *front; /* that fit and are not dominated: memory falls, time grows; NULL when brief */
    int front_count;
    struct tr_found lightest; /* needs least memory, whether it fits or not; legal > 0 */
    struct tr_found unlimited; /* the fastest if memory were without limit; legal > 0 */
    bool dominated_count; /* fewer chips, or as many, are as fast: not on the front of time against chips */
};

struct tr_search {
    double memory_bytes; /* that a layout may use: of a chip, less the reserve */
    struct tr_search_count *at; /* by tr_space.chips */
    int count;
    const struct tr_search_count *best;     /* the fastest; NULL when nothing fits */
    const struct tr_search_count *cheapest; /* fewest chip-seconds a step */
    int64_t legal, too_big;                 /* of all */
    struct tr_arena arena;                  /* all of it lives here */
};

/* TR_NO: nothing that is legal fits, or nothing is legal; err says which and what would be right, and *out is filled as
 * far as there is anything (`lightest`). TR_BAD_INPUT: a range or a number of chips that cannot be. */
TR_MUST_CHECK enum tr_status tr_search(const struct tr_site *site, const struct tr_task *task, const struct tr_space *space,
                                       struct tr_search *out, struct tr_err *err);
void tr_search_free(struct tr_search *search); /* right on a zeroed struct */

/* The fewest chips, in whole nodes and more than `above`, on which something fits (space->chips is not read). Begins where
 * weights, gradients and optimiser states alone would fit if they were spread evenly, which no layout undercuts; tries
 * each number of nodes there, then doubles. *exact: no smaller number of nodes fits. TR_NO: none up to TR_CHIPS_MAX or the
 * system's most. */
TR_MUST_CHECK enum tr_status tr_search_fewest(const struct tr_site *site, const struct tr_task *task,
                                              const struct tr_space *space, int64_t above, int64_t *chips, bool *exact,
                                              struct tr_err *err);

/* The fastest on so many chips (space->chips is not read) of even stages, where it takes less than so long. TR_NO: none does. */
TR_MUST_CHECK enum tr_status tr_search_faster(const struct tr_site *site, const struct tr_task *task, const struct tr_space *space,
                                              int64_t chips, double than_s, struct tr_found *fastest, struct tr_err *err);

/* What each limit alone costs: memory, and all of the space that is not open. */
struct tr_limit {
    const char *name;  /* "memory", "tp", "zero" ... as of struct tr_space */
    double gain;       /* share of the time that is saved without it; 1: nothing fits with it */
    struct tr_found found; /* the fastest without it */
};
enum { TR_LIMITS_MAX = 20 };

/* On so many chips (space->chips is not read), the tightest first; limits without which nothing is gained are left out.
 * `with`: the fastest of the space (NULL: nothing fits); `unlimited`: the same, were memory without limit. A search for each limit,
 * of what it keeps out: the fastest without it is among these, or is `with`. Without `tp` (also when it is the domain of the first
 * tier by default): up to the heads. */
TR_MUST_CHECK enum tr_status tr_search_limits(const struct tr_site *site, const struct tr_task *task, const struct tr_space *space,
                                              int64_t chips, const struct tr_found *with, const struct tr_found *unlimited,
                                              struct tr_limit *out, int *count, struct tr_err *err);
/* Keeps the order; nothing where nothing is gained. */
void tr_limit_add(struct tr_limit *limits, int *count, const char *name, const struct tr_found *found, double gain);

/* Bytes of a chip that programs may use; and the most that a layout may be said to need, so that it fits to the top of
 * memory's 80 % interval. */
double tr_search_capacity(const struct tr_site *site, const struct tr_space *space);
double tr_search_sure_bytes(const struct tr_site *site, const struct tr_space *space);

#endif
