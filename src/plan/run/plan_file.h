/* A plan as a file, plan.yaml: the question with nothing left open, and what the answer was when it was written.
 *
 *     plan:                         what `trine explain` makes the plan of, again
 *       model: "gpt3-175b"
 *       chips: 1024
 *       layout: "tp8 pp16 vpp6 dp8 mb1 sp zero1 recompute=selective"
 *       ...
 *     answer:                       for people, and to notice that the program or its catalog is another by now
 *       step_s: 6.9
 *       searched: {layouts: 933000, too_big: 854600, dominated: 78360}    what a search looked at, and what it was kept from:
 *       limits: [{name: "memory", gain: 0.102, layout: "tp2 dp512 ..."}]  without it 10.2 % less time, with that layout
 *       ...
 *
 * Numbers are in base units. The file names no other file but the model, when that was a config.json, and the profile of a machine
 * (system: "profile.yaml"; plan/here); a catalog of the user's own is given again by who reads the plan. */
#ifndef TR_PLAN_RUN_PLAN_FILE_H
#define TR_PLAN_RUN_PLAN_FILE_H

#include "base/doc.h"
#include "plan/run/run.h"

enum { TR_PLAN_FILE_NAME_BYTES = 32 };

struct tr_plan_file_limit {
    char name[TR_PLAN_FILE_NAME_BYTES];
    double gain; /* share of the step's time */
    char layout[TR_LAYOUT_TEXT_BYTES];
};

struct tr_plan_file {
    struct tr_plan_request request;
    double step_s, memory_bytes, wall_s;  /* of the answer; 0: not said */
    int64_t layouts, too_big, dominated;  /* as tr_plan_candidate; layouts 0: nothing was searched */
    struct tr_plan_file_limit limit[TR_LIMITS_MAX]; /* the tightest first */
    int limit_count;
};

void tr_plan_file_print(const struct tr_plan *plan, struct tr_text *out);
/* The question, and of the answer whether it is yes (why: ""); its numbers follow, one by one. */
void tr_plan_file_begin(const struct tr_plan_request *request, const char *why, struct tr_text *out);
void tr_plan_file_number(struct tr_text *out, const char *key, double value);

/* TR_BAD_INPUT with path:line:col: a key that is not known (the nearest), a value out of range, a key that is missing. */
TR_MUST_CHECK enum tr_status tr_plan_file_read(const char *path, struct tr_plan_file *out, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_plan_file_from_node(const struct tr_node *root, struct tr_plan_file *out,
                                                    struct tr_err *err);

#endif
