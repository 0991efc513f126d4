/* The traces of all ranks of a run (lab/train/trace.h), read one at a time as they may be large, and proved to belong together: of one
 * attempt of this run, all of its ranks, the same steps, and in each step the operations of that rank's step program, in its order.
 *
 *     tr_run_traces_open(run_folder, &traces, err)
 *     for (int rank = 0; rank < traces.head.ranks; rank++)
 *         tr_run_traces_read(&traces, rank, &trace, err), ..., tr_trace_free(&trace)
 *     tr_run_traces_close(&traces) */
#ifndef TR_PLAN_HERE_TRACES_H
#define TR_PLAN_HERE_TRACES_H

#include "lab/train/trace.h"
#include "plan/here/together.h"

struct tr_run_traces {
    const char *run_folder;
    struct tr_trace_head head;       /* of rank 0: what all others agree with */
    struct tr_run_programs programs; /* owned */
    int64_t steps, *number;          /* number[steps], owned: of the steps, counted from 1 */
};

/* TR_BAD_INPUT, naming the file: no trace, one that is cut short or of another run than the folder's. Close it in any case. */
TR_MUST_CHECK enum tr_status tr_run_traces_open(struct tr_run_traces *out, const char *run_folder, struct tr_err *err);

/* One rank's; freed by the caller. TR_BAD_INPUT also: of another rank, attempt or program, other steps than rank 0's. */
TR_MUST_CHECK enum tr_status tr_run_traces_read(const struct tr_run_traces *traces, int rank, struct tr_trace *out, struct tr_err *err);

/* What was done with what the step program says of it, in order. */
typedef void tr_traces_see_fn(void *context, const struct tr_program *program, const struct tr_program_op *op,
                              const struct tr_schedule_entry *entry, const struct tr_trace_event *event);
void tr_run_traces_see(const struct tr_run_traces *traces, int rank, const struct tr_trace *trace, tr_traces_see_fn *see, void *context);

void tr_run_traces_close(struct tr_run_traces *traces); /* right on a zeroed struct */

#endif
