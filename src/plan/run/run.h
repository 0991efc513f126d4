/* A training run as a whole: model, system, chips and tokens go in; what a step takes, whether it fits, days, dollars,
 * energy, carbon, failures and what would help come out.
 *
 *     struct tr_plan_request request = tr_plan_request_usual();
 *     request.model = "gpt3-175b", request.system = "dgx-h100", request.chips = 1024, request.tokens = 300e9;
 *     request.layout = "tp=8,pp=16,vpp=6,mb=1,zero=1,sp,recompute=selective";
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

#include "cloud/cost/cost.h"
#include "plan/run/lever.h"
#include "plan/step/step.h"

enum { TR_PLAN_TEXT_BYTES = 256, TR_PLAN_WHY_BYTES = 512 };
/* The largest that is asked for: no run of any kind has come near. */
#define TR_PLAN_TOKENS_MAX 1e18
#define TR_PLAN_SEQ_MAX ((int64_t)1 << 26)
#define TR_PLAN_BATCH_MAX ((int64_t)1 << 24)

struct tr_plan_request {
    char model[TR_PLAN_TEXT_BYTES];  /* of the catalog, a preset, or the path of a config.json */
    char system[TR_PLAN_TEXT_BYTES]; /* of the catalog */
    char stack[TR_PLAN_TEXT_BYTES];  /* "": megatron-core; on TPUs xla */
    char layout[TR_LAYOUT_TEXT_BYTES]; /* tr_layout_parse */
    char region[TR_PLAN_TEXT_BYTES]; /* a site of the catalog; "": the system's own, or anywhere */
    char date[TR_FACT_DATE_BYTES];   /* of prices; "": the newest */
    char precision[16];              /* as tr_format_find; "": bf16, on chips without it fp16 */
    int64_t chips;                   /* at least 1 */
    double tokens;                   /* above 0 */
    int64_t seq_len;                 /* 0: as many as the model has positions, at most 8192 */
    int64_t global_batch;            /* sequences; 0: 3 Mi tokens, what GPT-3 175B was trained with, in whole sequences */
    int commitment;                  /* enum tr_commitment: of the headline's dollars and failures */
    double deadline_s, budget_usd;   /* 0: none */
    bool background;                 /* checkpoints are written while the job goes on */
};
struct tr_plan_request tr_plan_request_usual(void);

/* By one way to pay. */
struct tr_plan_offer {
    struct tr_price price;
    struct tr_job_cost cost;
};

struct tr_plan {
    struct tr_plan_request request; /* as chosen: nothing is left open */
    const struct tr_catalog *catalog;
    struct tr_model_shape model;
    struct tr_system system;
    struct tr_stack stack;
    struct tr_site site;
    struct tr_task task;
    struct tr_layout layout;

    struct tr_step step;
    double capacity_bytes; /* of a chip, as the driver shows it */
    bool fits;
    char why[TR_PLAN_WHY_BYTES]; /* "": the answer is yes */

    double steps;       /* optimiser steps for the tokens */
    double busy_s;      /* of them */
    double state_bytes; /* of a checkpoint */
    struct tr_place place;
    struct tr_failures failures;            /* of the headline's commitment */
    struct tr_plan_offer offer[TR_COMMITMENT_COUNT];
    struct tr_lever_effect lever[TR_LEVER_COUNT];
    int limit; /* enum tr_lever: what helps most */
};

/* The program's catalog with a user's file or folder on top (NULL: none), of which each entry is read, whether a plan needs
 * it or not: TR_BAD_INPUT with path:line:col. */
TR_MUST_CHECK enum tr_status tr_plan_catalog(const char *path, struct tr_catalog **out, struct tr_err *err);

/* TR_BAD_INPUT: an unknown name, an illegal layout, contradicting wishes; *out is NULL. TR_NO: the plan is made, and it
 * does not fit or misses a wish: plan->why. */
TR_MUST_CHECK enum tr_status tr_plan_make(const struct tr_catalog *catalog, const struct tr_plan_request *request,
                                          struct tr_plan **out, struct tr_err *err);
void tr_plan_free(struct tr_plan *plan); /* NULL is fine */

/* Of the headline's commitment. */
static inline const struct tr_job_cost *tr_plan_cost(const struct tr_plan *plan)
{
    return &plan->offer[plan->request.commitment].cost;
}

/* The chip's memory that programs can have. */
double tr_plan_capacity(const struct tr_chip *chip);

#endif
