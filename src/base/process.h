/* Other programs: one is run and what it says is read, or one is started and looked after.
 *
 * A program is named by its first argument and found along PATH; no shell takes part, so no word needs quoting. Its
 * standard input is empty. One that is started is the leader of a process group of its own: an interrupt typed at the
 * terminal reaches whoever looks after it, who decides what to pass on; should that one be killed, the kernel sends it a
 * SIGTERM.
 *
 *     struct tr_text out = {0}, said = {0};
 *     const char *const words[] = {"squeue", "--version", NULL};
 *     status = tr_process_run(words, &out, &said, &code, err);            the caller frees both texts
 *
 *     status = tr_process_start(words, &process, err);
 *     while (!tr_process_ended(&process, 0.05, &code)) ...
 */
#ifndef TR_BASE_PROCESS_H
#define TR_BASE_PROCESS_H

#include "base/err.h"
#include "base/os.h"
#include "base/text.h"

#include <stdbool.h>

enum { TR_PROCESS_MAX_BYTES = 16 << 20 };

/* Runs a program to its end; `out` and `said` get its standard output and standard error, appended. *code is its exit
 * status, or 128 + the number of the signal that ended it. TR_BAD_INPUT when there is no such program; TR_FAILED when the
 * system cannot start it, or it writes more than TR_PROCESS_MAX_BYTES (it is killed then). */
TR_MUST_CHECK enum tr_status tr_process_run(const char *const *words, struct tr_text *out, struct tr_text *said,
                                            int *code, struct tr_err *err);

struct tr_process {
    int id; /* 0: not running */
};

/* Starts a program; it shares our standard output and standard error. Fails as tr_process_run does. */
TR_MUST_CHECK enum tr_status tr_process_start(const char *const *words, struct tr_process *process, struct tr_err *err);

/* Waits for its end, at most so long, or until a signal reaches this process. True, with *code as above, when it has ended. */
bool tr_process_ended(struct tr_process *process, double seconds, int *code);

/* Nothing when it has ended. */
void tr_process_signal(const struct tr_process *process, int number);

/* What the kernel says of any process: 'R' runs, 'S' and 'D' wait, 'T' was stopped, 'Z' has died and nobody has asked how; 0:
 * there is none of that number. */
char tr_process_state(int id);

/* Where the program stands that is running. */
TR_MUST_CHECK enum tr_status tr_process_own_path(char path[TR_PATH_BYTES], struct tr_err *err);

#endif
