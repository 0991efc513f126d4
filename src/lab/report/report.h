/* The report of a run: one self-contained HTML file (inline SVG, no network, no script) made from what the run folder
 * holds: metrics.jsonl, profile.json, config.yaml, samples.txt (lab/train/train.h says what is in them). The trainer
 * writes it at each save and at the end; `trine report RUN` makes it anew.
 *
 * What is missing leaves its section out; what is damaged is an error that names file and line. */
#ifndef TR_LAB_REPORT_REPORT_H
#define TR_LAB_REPORT_REPORT_H

#include "base/err.h"

enum { TR_REPORT_MAX_LINES = 20 * 1000 * 1000 };

/* Writes RUN/report.html, as a whole or not at all. TR_BAD_INPUT when the folder holds no metrics. */
TR_MUST_CHECK enum tr_status tr_report_write(const char *run_folder, struct tr_err *err);

#endif
