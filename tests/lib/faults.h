/* Counting faults: a test that injects them does so a few times in `make check` and many times in `make faults`, which
 * writes the counts down as docs/faults.md (scripts/faults.sh). */
#ifndef TR_TESTS_LIB_FAULTS_H
#define TR_TESTS_LIB_FAULTS_H

#include <stdint.h>

/* `full` when TRINE_FAULT_TABLE is set, else `quick`. */
int fault_tries(int quick, int full);

/* Appends a row to the file TRINE_FAULT_TABLE, if that is set, and prints it:
 * number of the row, the fault, how it was caused, how often, how often all was right, what a user reads (one example). */
void fault_row(const char *number, const char *fault, const char *how, int64_t tried, int64_t right, const char *sees);

/* What cannot be tried here, and why: a row that says so. */
void fault_not_tried(const char *number, const char *fault, const char *why);

#endif
