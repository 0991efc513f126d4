/* Inside of plan/explain: how the tree grows. */
#ifndef TR_PLAN_EXPLAIN_INSIDE_H
#define TR_PLAN_EXPLAIN_INSIDE_H

#include "plan/explain/explain.h"

/* A number more, below `parent` (-1: at the top); its index. Words are set by tr_number_words. */
int tr_number_add(struct tr_explain *explain, int parent, enum tr_unit unit, double value, const char *name, ...)
    TR_PRINTF(5, 6);
/* Of the number at `index`: formula, grade and source (NULL: ""), then inputs. */
void tr_number_words(struct tr_explain *explain, int index, const char *formula, enum tr_grade grade, const char *source,
                     const char *inputs, ...) TR_PRINTF(6, 7);

/* What is missing in what stands below `parent` so far to its value; INFINITY-free numbers only. */
double tr_number_rest(const struct tr_explain *explain, int parent);

/* Each fills in its part of the tree. */
void tr_explain_step(struct tr_explain *explain);   /* step.c */
void tr_explain_memory(struct tr_explain *explain); /* memory.c */
void tr_explain_run(struct tr_explain *explain);    /* run.c */

const char *tr_fact_source(const struct tr_fact *fact); /* its title; "computed" without one */

#endif
