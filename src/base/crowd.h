/* Threads when other programs want the same cores.
 *
 * Threads that wait for each other at every operation are as slow as the slowest of them: one that has lost its core to
 * another program for three milliseconds holds up all others, which wait in a loop meanwhile and so take cores too. Then
 * fewer threads, each with a core of its own, are faster. How many that are is found out on the way: the kernel counts how
 * long threads were ready and had no core. When that is much, twice in a row, there are fewer; when it is little, one more
 * is tried from time to time, more and more seldom while it fails.
 *
 * What counts is the waiting of one team: the thread that asks, and the OpenMP threads that work for it. Ranks that are
 * threads of one process have a crowd each, and only the one whose team has lost a core goes on with fewer.
 *
 * It is for work whose result does not depend on the number of threads, and has no state but this struct: no thread, no
 * signal, no memory; but the OpenMP runtime ends threads that a team no longer has and may take memory for new ones when it
 * grows again. Where the system does not count (other than Linux), and with OMP_DYNAMIC=false in the environment, the number
 * stays as it is wanted. */
#ifndef TR_BASE_CROWD_H
#define TR_BASE_CROWD_H

#include <stdbool.h>

struct tr_crowd { /* begins as zeros */
    int threads;       /* to be used; 0: not asked yet */
    bool stays;        /* by OMP_DYNAMIC */
    bool trying;       /* one more than was good before */
    double looked_s;   /* when the team's waiting was read last, and what it was */
    double waited_s;
    double waiting;    /* seconds a second, between the last two readings */
    double again_s;    /* when one more is to be tried */
    double patience_s; /* how long after a try that has failed */
};

/* How many threads to use at `now_s` (tr_clock_s) where `wanted` (>= 1) are wanted; to be asked often, which costs nothing, by the
 * thread that has the team. */
int tr_crowd_threads(struct tr_crowd *crowd, int wanted, double now_s);

/* How long the calling thread and the `threads` - 1 that work for it were ready to run and had no core, since they began: not what else the
 * process has, such as the teams of other ranks. 0 where the system does not count. */
double tr_team_waited_s(int threads);

/* The rule by itself: the threads of `wanted` after a time in which they have waited for a core `waiting` seconds a second, all
 * threads together. Changes `crowd`. */
int tr_crowd_decide(struct tr_crowd *crowd, int wanted, double waiting, double now_s);

#endif
