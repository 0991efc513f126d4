/* Inside of plan/explain: how the tree grows. */
#ifndef TR_PLAN_EXPLAIN_INSIDE_H
#define TR_PLAN_EXPLAIN_INSIDE_H

#include "plan/explain/explain.h"

/* A number more, below `parent` (-1: at the top); its index. Words are set by tr_number_words. */
int tr_number_add(struct tr_explain *explain, int parent, enum tr_unit unit, double value, const char *name, ...)
    TR_PRINTF(5, 6);
/* Of the number at `index`: formula, the grade of its inputs and their source (NULL: ""), then inputs. */
void tr_number_words(struct tr_explain *explain, int index, const char *formula, enum tr_grade grade, const char *source,
                     const char *inputs, ...) TR_PRINTF(6, 7);
/* An input more, which may be the worst. */
void tr_number_by(struct tr_explain *explain, int index, enum tr_grade grade);
/* Of all numbers so far: no better than those below, which alone makes a grade final. */
void tr_number_grade(struct tr_explain *explain);
/* A number that is there already, and final, as a factor of another. */
void tr_number_see(struct tr_explain *explain, int parent, int index);

/* What is missing in what stands below `parent` so far to its value; INFINITY-free numbers only. */
double tr_number_rest(const struct tr_explain *explain, int parent);

/* A number at the top of which those below are factors, and such a factor; `counts` as in struct tr_number. */
int tr_number_ratio(struct tr_explain *explain, enum tr_unit unit, const char *counts, double value, const char *name,
                    const char *formula, const char *source);
int tr_number_factor(struct tr_explain *explain, int parent, enum tr_unit unit, const char *counts, double value, const char *name,
                     const char *formula, enum tr_grade grade, const char *source);
/* A fact of the catalog as a factor; none where it is not known. */
void tr_number_fact(struct tr_explain *explain, int parent, enum tr_unit unit, const char *name, const char *formula,
                    const struct tr_fact *fact);

/* Numbers of which others of the run are made: their indices. */
struct tr_run_numbers {
    int step, steps, state, save, mtbf, recover, interval, goodput, time, power;
};
/* Of a term of the step: terms stand right after it. */
static inline int tr_number_term(const struct tr_run_numbers *run, int term) { return run->step + 1 + term; }

/* An empty tree; and the same with all that has been added to it, grades final, or thrown away: TR_FAILED. */
TR_MUST_CHECK enum tr_status tr_explain_begin(struct tr_explain *explain, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_explain_end(struct tr_explain *explain, struct tr_explain *out, struct tr_err *err);

/* Each fills in its part of the tree. */
void tr_explain_step(struct tr_explain *explain);   /* step.c */
void tr_explain_memory(struct tr_explain *explain); /* memory.c */
void tr_explain_run(struct tr_explain *explain);    /* run.c */
void tr_explain_money(struct tr_explain *explain, struct tr_run_numbers *run); /* money.c */

const char *tr_fact_source(const struct tr_fact *fact); /* its title; "computed" without one */

#endif
