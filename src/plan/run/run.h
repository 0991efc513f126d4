/* A training run as a whole: model, system, chips and tokens go in; what a step takes, whether it fits, days, dollars,
 * energy, carbon, failures and what would help come out.
 *
 *     struct tr_plan_request request = tr_plan_request_usual();
 *     request.model = "gpt3-175b", request.system = "dgx-h100", request.chips = 1024, request.tokens = 300e9;
 *     struct tr_plan *plan;
 *     switch (tr_plan_make(catalog, &request, &plan, err)) {
 *     case TR_OK: ...
 *     case TR_NO: ...                      an answer too: plan->why says what does not fit, and what would
 *     ...
 *     tr_plan_free(plan);
 *
 * What is not asked for is chosen by the rules at tr_plan_request, and plan->request then holds the choice, so that a plan
 * can be written down and made again (plan_file.h).
 *
 * Ownership: a plan points into itself and into the catalog, which must outlive it. */
#ifndef TR_PLAN_RUN_RUN_H
#define TR_PLAN_RUN_RUN_H

#include "base/text.h"
#include "cloud/cost/cost.h"
#include "plan/run/law.h"
#include "plan/run/lever.h"
#include "plan/search/search.h"
#include "plan/step/step.h"

enum { TR_PLAN_TEXT_BYTES = 256, TR_PLAN_WHY_BYTES = 512 };
/* The largest that is asked for: no run of any kind has come near. And the smallest that means anything. */
#define TR_PLAN_TOKENS_MAX TR_LAW_TOKENS_MAX
#define TR_PLAN_LOSS_MIN .01
#define TR_PLAN_LOSS_MAX 1e3
#define TR_PLAN_DEADLINE_MIN_S 1e-6
#define TR_PLAN_DEADLINE_MAX_S 1e12
#define TR_PLAN_BUDGET_MIN_USD .01
#define TR_PLAN_BUDGET_MAX_USD 1e15
#define TR_PLAN_SEQ_MAX ((int64_t)1 << 26)
#define TR_PLAN_BATCH_MAX ((int64_t)1 << 24)

struct tr_plan_request {
    char model[TR_PLAN_TEXT_BYTES];  /* of the catalog, a preset, or the path of a config.json */
    char system[TR_PLAN_TEXT_BYTES]; /* of the catalog */
    char stack[TR_PLAN_TEXT_BYTES];  /* "": megatron-core; on TPUs xla */
    char layout[TR_LAYOUT_TEXT_BYTES]; /* tr_layout_parse_open: one layout, or what is fixed of it; "": all of them */
    char region[TR_PLAN_TEXT_BYTES]; /* a site of the catalog; "": the system's own, or anywhere */
    char date[TR_FACT_DATE_BYTES];   /* of prices; "": the newest */
    char precision[16];              /* as tr_format_find; "": bf16, on chips without it fp16 */
    int64_t chips;                   /* at least 1 */
    int64_t chips_max;               /* 0: chips alone; else chips, 2 chips, 4 chips ... chips_max, and those near the best of them */
    double tokens;                   /* above 0; 0: what target_loss takes */
    double target_loss;              /* nats a token; 0: none. With tokens: both were said, which is refused */
    char law[TR_PLAN_TEXT_BYTES];    /* scaling law of target_loss; "": the catalog's default */
    int64_t seq_len;                 /* 0: as many as the model has positions, at most 8192 */
    int64_t global_batch;            /* sequences; 0: 3 Mi tokens, what GPT-3 175B was trained with, in whole sequences */
    int64_t global_batch_max;        /* 0: global_batch alone; else it, twice it, four times it ... and the most are tried */
    int commitment;                  /* enum tr_commitment: of the headline's dollars and failures */
    double deadline_s, budget_usd;   /* 0: none */
    int64_t reserve_bytes;           /* of a chip's memory, kept free */
    bool background;                 /* checkpoints are written while the job goes on */
    bool no_mtp;                     /* the model's modules for further tokens are left off */
};
struct tr_plan_request tr_plan_request_usual(void);
/* Tokens, or a target loss with or without a law: one of them. TR_BAD_INPUT says what is missing or too much. */
TR_MUST_CHECK enum tr_status tr_plan_check_tokens(const struct tr_plan_request *request, struct tr_err *err);

/* By one way to pay. */
struct tr_plan_offer {
    struct tr_price price;
    struct tr_failures failures;
    struct tr_job_cost cost;
};

/* Layouts whose times differ by no more than this share of a step are alike. Errors of two layouts of one run are mostly the same
 * error, so this is less than the step's: of measured pairs that are predicted so near to each other the one predicted faster was in
 * hardly more than half, of those up to twice as far apart in four of five (`trine validate` counts; docs/validation/runs.md). */
#define TR_PLAN_ALIKE .02

/* Of one number of chips that was searched: the layout to take, and what it costs. */
enum {
    TR_PLAN_COUNTS_MAX = 32, TR_PLAN_BATCHES_MAX = 32, TR_PLAN_NEARER_MAX = 256,
    TR_PLAN_CANDIDATES_MAX = TR_PLAN_COUNTS_MAX * TR_PLAN_BATCHES_MAX + TR_PLAN_NEARER_MAX,
    TR_PLAN_NEXT_MAX = 5, TR_PLAN_FRONT_MAX = 200, TR_PLAN_POOL_MAX = 256
};
/* Searches without each limit are for spaces of at most so many layouts. */
#define TR_PLAN_SEARCH_AGAIN_MAX ((int64_t)20 * 1000 * 1000)
/* The limit of which is said what twice as much would give: the same tokens in half as many steps. */
#define TR_PLAN_LIMIT_BATCH "global_batch"
/* Numbers of chips are tried ever nearer to the best until so many layouts were priced: less than a second. */
#define TR_PLAN_NEARER_LAYOUTS ((int64_t)10 * 1000 * 1000)
struct tr_plan_candidate {
    int64_t chips, global_batch;
    bool found;     /* something fits */
    bool kept;      /* and keeps the wishes */
    bool front;     /* no other number of chips is as fast for as few dollars (chip-hours, where there is no price) */
    bool asked;     /* a number that was asked for, and not one that lies between such; tables have these, the chosen and the front */
    int64_t legal, too_big, dominated; /* layouts of the space; dominated: another is as fast in as little memory */
    int64_t beyond;                    /* priced beyond it, as they might be faster, or fit */
    struct tr_layout layout;
    struct tr_step step;
    double wall_s, chip_hours, usd;
};

/* What was searched; all zero when the layout was given. */
struct tr_plan_search {
    bool done;
    struct tr_plan_candidate at[TR_PLAN_CANDIDATES_MAX]; /* by batch, then chips */
    int count;
    int chosen; /* index */
    /* On the chosen number of chips: */
    struct tr_found fastest; /* that fits; layout.dp 0: none does */
    struct tr_found sure;    /* the fastest that fits to the top of memory's interval; layout.dp 0: none does */
    struct tr_found next[TR_PLAN_NEXT_MAX]; /* of each way to divide the chips (tr_layout_divides_alike) the fastest, in the memory that
                                               was allowed to the layout that was taken, which is the first */
    int next_count;
    int next_of, next_alike; /* of so many of the fastest layouts, these included, so many others divide the chips as one of these does */
    struct tr_found front[TR_PLAN_FRONT_MAX]; /* time against memory, the fastest first */
    int front_count, front_all;
    struct tr_limit limit[TR_LIMITS_MAX]; /* what the space costs and the batch (TR_PLAN_LIMIT_BATCH), the tightest first */
    int limit_count;
    struct tr_plan_candidate instead; /* when the wishes are missed: the best of more and of fewer chips; chips 0: not looked for */
    int64_t instead_low, instead_high; /* between which was looked */
};

/* Whether tables show it. */
static inline bool tr_plan_shows(const struct tr_plan_search *search, int i)
{
    return search->at[i].asked || search->at[i].front || i == search->chosen;
}
/* How many they leave out. */
static inline int tr_plan_hides(const struct tr_plan_search *search)
{
    int hidden = 0;
    for (int i = 0; i < search->count; i++)
        hidden += !tr_plan_shows(search, i);
    return hidden;
}

/* What the model's modules for further tokens (MTP) are and take, the layout as it is; all zero without them. */
struct tr_plan_further {
    double params;
    double flop, time_s; /* of step.model_flop and step.time_s */
    double memory_bytes; /* of step.memory_bytes */
};

struct tr_plan {
    struct tr_plan_request request; /* as chosen: nothing is left open */
    const struct tr_catalog *catalog;
    struct tr_model_shape model;
    struct tr_system system;
    struct tr_stack stack;
    struct tr_site site;
    struct tr_products *products; /* owned: those that the site remembers, */
    struct tr_passes *passes;     /* and passes that searches remember */
    struct tr_task task;
    struct tr_layout layout;

    struct tr_step step;
    struct tr_plan_further further;
    double capacity_bytes; /* of a chip, as the driver shows it, less the reserve */
    bool fits;
    char why[TR_PLAN_WHY_BYTES]; /* "": the answer is yes */

    double steps;       /* optimiser steps for the tokens */
    struct tr_law law;  /* when there is a target_loss */
    double tokens_low, tokens_high; /* that the loss may take: the law's 80 % interval; high may be INFINITY */
    double busy_s;      /* of them */
    double state_bytes; /* of a checkpoint */
    struct tr_place place;
    struct tr_plan_offer offer[TR_COMMITMENT_COUNT];
    struct tr_lever_effect lever[TR_LEVER_COUNT];
    int limit; /* enum tr_lever: what helps most */
    struct tr_plan_search search;
    struct tr_layout *pool; /* owned: the fastest of the search in the memory that was allowed, for levers to look again */
    int pool_count;
    double more_memory_s; /* the fastest step with 10 % more memory */
};

/* Whether the name of a system is that of a file that `trine calibrate` wrote, of which plan/here makes plans: no system of a catalog is
 * called like a file, but a folder may be called like a system. */
bool tr_plan_is_profile(const char *system);

/* The program's catalog with a user's file or folder on top (NULL: none), of which each entry is read, whether a plan needs
 * it or not: TR_BAD_INPUT with path:line:col. */
TR_MUST_CHECK enum tr_status tr_plan_catalog(const char *path, struct tr_catalog **out, struct tr_err *err);

/* TR_BAD_INPUT: an unknown name, an illegal layout, contradicting wishes; *out is NULL. TR_NO: the plan is made, and it
 * does not fit or misses a wish: plan->why. */
TR_MUST_CHECK enum tr_status tr_plan_make(const struct tr_catalog *catalog, const struct tr_plan_request *request,
                                          struct tr_plan **out, struct tr_err *err);
void tr_plan_free(struct tr_plan *plan); /* NULL is fine */

/* Of the headline's commitment. */
static inline const struct tr_failures *tr_plan_failures(const struct tr_plan *plan)
{
    return &plan->offer[plan->request.commitment].failures;
}
static inline const struct tr_job_cost *tr_plan_cost(const struct tr_plan *plan)
{
    return &plan->offer[plan->request.commitment].cost;
}

/* Whether a step that fits may not: to the top of its interval its memory is more than there is. */
static inline bool tr_plan_may_not_fit(const struct tr_plan *plan, const struct tr_step *step)
{
    return step->memory_bytes * (1 + step->memory_error) > plan->capacity_bytes;
}

/* The 80 % interval of its wall-clock time: the step's error, and of tokens that follow from a loss the law's. *high may be
 * INFINITY. */
void tr_plan_wall_interval(const struct tr_plan *plan, double *low_s, double *high_s);

/* A sentence, without a newline, where there is no price for the headline's way to pay, as of the date that was asked for; nothing
 * otherwise. */
void tr_plan_unpriced(const struct tr_plan *plan, struct tr_text *out);

/* The chip's memory that programs can have. */
double tr_plan_capacity(const struct tr_chip *chip);

#endif
