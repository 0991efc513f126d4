/* Inside of plan/validate: training runs, one a row. */
#ifndef TR_PLAN_VALIDATE_RUNS_H
#define TR_PLAN_VALIDATE_RUNS_H

#include "plan/validate/validate.h"

/* The row `row` of the table, and the seconds of a step that were measured. A row that can be read and not priced has a
 * reason. */
TR_MUST_CHECK enum tr_status tr_run_read(struct tr_runs *runs, const struct tr_catalog *catalog, const char *name,
                                         const struct tr_csv *csv, int64_t row, struct tr_run *out,
                                         double *time_s, struct tr_err *err);

TR_MUST_CHECK enum tr_status tr_runs_make(struct tr_runs *runs, int64_t count, struct tr_err *err);
void tr_runs_free(struct tr_runs *runs);

#endif
