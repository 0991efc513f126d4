/* Ranks side by side. A step ends on all ranks together, so one that is slow (a hot processor, a bad disk, another program) holds
 * up all of them, and nobody sees it in their step times. What shows it is the time that each spends on its own work, outside
 * of collectives, beside what it had to do: layouts give ranks different work. */
#ifndef TR_LAB_TRAIN_PACE_H
#define TR_LAB_TRAIN_PACE_H

/* Of one rank, over some steps. */
struct tr_pace {
    double work_s; /* beside collectives, in which it may have waited for others */
    double flop;   /* what its operations were planned to need */
};

/* A straggler takes this many times as long for the same work as the median of the ranks. */
#define TR_STRAGGLER_FACTOR 1.5

/* The slowest rank, by its time for a flop, and how many times the median's that is; -1: none is a straggler. `scratch` has
 * room for `ranks`. */
int tr_pace_straggler(const struct tr_pace *pace, int ranks, double *scratch, double *factor);

#endif
