/* The trainer as a process of its own, to be killed and starved: the test program again, started with arguments. It prints
 * the sentence of a failure on standard error and ends with its status. With TRINE_TEST_RANKS=N in the environment it has N data parallel ranks,
 * threads of one process.
 *
 *     int main(int argc, char **argv)
 *     {
 *         if (argc > 1)
 *             return tr_trainer_main(argc, argv);            SELF CONFIG OUT
 *         ...
 *     }
 *
 *     tr_trainer_config(&config);                            SCRATCH/config.yaml
 *     struct tr_trainer_end end = tr_trainer_run(out, before);
 */
#ifndef TR_TESTS_LIB_TRAINER_H
#define TR_TESTS_LIB_TRAINER_H

#include "lab/train/run_config.h"

#include <sys/types.h>

int tr_trainer_main(int argc, char **argv);

void tr_trainer_config(const struct tr_run_config *config);

/* Starts it into the run folder `out`; `before` are words that stand before the program (strace ...), NULL at the end;
 * NULL: none. Standard error goes to SCRATCH/said. */
pid_t tr_trainer_start(const char *out, const char *const *before);

struct tr_trainer_end {
    int status;      /* its exit status; -1: it was killed */
    int signal;      /* that killed it; 0: none */
    char said[1024]; /* the end of what it said */
};
struct tr_trainer_end tr_trainer_wait(pid_t child);
struct tr_trainer_end tr_trainer_run(const char *out, const char *const *before);

/* Fails the test unless a trainer into `out` arrives, at this hash. */
void tr_trainer_must_arrive(const char *out, const char *hex);

#endif
