/* A plan as a page and as a trace.
 *
 * The page is one HTML file without scripts or anything from elsewhere: the answer, the step by terms, memory by stage, the
 * pipeline's timeline, what was searched, what would help, prices, every number taken apart, and where each fact is from.
 *
 * The trace is one step as Chrome's trace event format (chrome://tracing, ui.perfetto.dev): a process a pipeline stage, the
 * passes of its microbatches, what follows once a step, and inside of the first forward and backward pass of each stage its
 * operations. Times are microseconds from the beginning of the step.
 *
 * Both append to a text; TR_FAILED: out of memory. TR_BAD_INPUT: more microbatches than can be walked (plan/step/walk.h). */
#ifndef TR_PLAN_REPORT_REPORT_H
#define TR_PLAN_REPORT_REPORT_H

#include "base/text.h"
#include "plan/run/run.h"

TR_MUST_CHECK enum tr_status tr_plan_report(const struct tr_plan *plan, struct tr_text *out, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_plan_trace(const struct tr_plan *plan, struct tr_text *out, struct tr_err *err);

#endif
