/* Any number of a plan taken apart: a tree in which each number is the sum of those below it, down to operations, kept
 * tensors and facts, each with its formula, its inputs, where it is from and how much that is worth.
 *
 *     struct tr_explain explain;
 *     tr_explain_make(plan, &explain, err)
 *     const struct tr_number *number;
 *     tr_explain_find(&explain, "matrix products", &number, err)
 *     tr_explain_text(&explain, number, &text)        the number, and what it is made of
 *     tr_explain_free(&explain);
 *
 * Where something is no sum (a rate, a count of failures) it says so: `sums` is false, and what stands below are its
 * factors. Terms below 0 are what is hidden or saved. A test holds every sum to 1e-9, and every grade to those below. */
#ifndef TR_PLAN_EXPLAIN_EXPLAIN_H
#define TR_PLAN_EXPLAIN_EXPLAIN_H

#include "base/json.h"
#include "plan/run/run.h"

enum { TR_NUMBER_NAME_BYTES = 96, TR_NUMBER_WORDS_BYTES = 256, TR_NUMBERS_MAX = 16384 };

struct tr_number {
    int parent; /* index; -1: at the top */
    int depth;  /* 0 at the top */
    bool sums;  /* the numbers below add up to it */
    bool made_of; /* there are numbers below */
    enum tr_unit unit; /* TR_UNIT_RATIO is printed as percent, TR_UNIT_ENERGY as Wh; TR_UNIT_CARBON is grams here */
    const char *counts; /* of TR_UNIT_COUNT: what is counted, "chip-hour"; "": a bare number */
    double value;
    double error; /* half width of its 80 % interval, relative; 0: not said */
    enum tr_grade grade; /* the worst of its inputs and of all numbers below it; TR_GRADE_NONE: it is 0, or not known */
    char name[TR_NUMBER_NAME_BYTES];
    char formula[TR_NUMBER_WORDS_BYTES];
    char inputs[TR_NUMBER_WORDS_BYTES]; /* "" when the numbers below are the inputs */
    const char *source; /* a title; "": the numbers below have theirs */
};

struct tr_explain {
    const struct tr_plan *plan; /* NULL: of a machine that was calibrated */
    struct tr_number *at; /* a number stands before those below it */
    int count, room;
    bool failed; /* out of memory, or more than TR_NUMBERS_MAX */
};

/* Numbers at the top: step, memory, and what of the run a plan prints (run.c). TR_FAILED: out of memory. The plan must live as long. */
TR_MUST_CHECK enum tr_status tr_explain_make(const struct tr_plan *plan, struct tr_explain *out, struct tr_err *err);
/* The same of a plan for a machine that was calibrated: step, memory, and what of the run it prints (here.c). */
struct tr_here_plan;
TR_MUST_CHECK enum tr_status tr_explain_make_here(const struct tr_here_plan *plan, struct tr_explain *out, struct tr_err *err);
void tr_explain_free(struct tr_explain *explain); /* right on a zeroed struct */

/* By name, case and blanks and '-' apart; names that stand in several places are found nearest to the top; "memory/weights"
 * names the way. Unknown: TR_BAD_INPUT, naming the nearest. */
TR_MUST_CHECK enum tr_status tr_explain_find(const struct tr_explain *explain, const char *name,
                                             const struct tr_number **out, struct tr_err *err);

/* One number with what it is made of; NULL: all at the top. */
void tr_explain_text(const struct tr_explain *explain, const struct tr_number *number, struct tr_text *out);
/* The whole tree below. */
void tr_explain_json(const struct tr_explain *explain, const struct tr_number *number, struct tr_text *out);

/* "6.9 s", "48 %", "319 MWh". Returns buf. */
const char *tr_number_print(char buf[TR_QUANTITY_BYTES], const struct tr_number *number);

/* --- where the facts are from --- */

struct tr_provenance {
    const char *of; /* "chip", "fitted to the chip", "system", "stack", "price", "place", "failures" */
    char name[TR_NUMBER_NAME_BYTES];
    char value[TR_QUANTITY_BYTES];
    const struct tr_fact *fact;
};
typedef void tr_provenance_visit(void *context, const struct tr_provenance *provenance);
/* Each fact of the catalog that the plan's numbers are made of. TR_BAD_INPUT: fits that cannot be read. */
TR_MUST_CHECK enum tr_status tr_explain_provenance(const struct tr_plan *plan, tr_provenance_visit *visit, void *context,
                                                   struct tr_err *err);

#endif
