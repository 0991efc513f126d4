/* Levers: what the time of a step would be if one thing of the hardware or the host were better.
 *
 *     struct tr_lever_effect effect;
 *     tr_lever_measure(TR_LEVER_NETWORK, &site, &task, &layout, &effect)
 *     effect.change       -0.031: 10 % more of it take 3.1 % off the step
 *     effect.slope        d log(time) / d log(lever), at the point
 *
 * "Better" is more of a rate and less of a latency. It makes an operation slower in one case, by up to a quarter of a percent of
 * a product: where of the kernels among which a library guesses (silicon/cost/gemm.c) only slower ones become faster. All levers
 * together are everything that takes time: pulled at once by a factor they divide the step by it (a test holds it to 0.5 %), so no
 * cause of time is without a lever, but for the hops of a torus and the time over which a power limit averages. */
#ifndef TR_PLAN_RUN_LEVER_H
#define TR_PLAN_RUN_LEVER_H

#include "plan/step/step.h"

enum tr_lever {
    TR_LEVER_MATRIX,    /* rate of the matrix units, all formats, at the same power where that is known */
    TR_LEVER_POWER,     /* of the chip: the clock of matrix units at work goes as its third root */
    TR_LEVER_CLOCK,     /* of the cores: shared caches, exponentials, epilogues */
    TR_LEVER_MEMORY,    /* bandwidth */
    TR_LEVER_LINK,      /* bandwidth of the first tier */
    TR_LEVER_NETWORK,   /* bandwidth of the last tier */
    TR_LEVER_NETWORK_LATENCY,
    TR_LEVER_LATENCY,   /* of kernels and of messages in the first tier */
    TR_LEVER_HOST,      /* launches, and the host's part once a step */
    TR_LEVER_CAPACITY,  /* of the memory: changes nothing at a layout, but which layouts fit */
    TR_LEVER_COUNT
};

struct tr_lever_effect {
    double slope;  /* d log(step time) / d log(lever), from 0.5 % to either side; below 0: better is faster */
    double change; /* of the step's time with 10 % more; fraction */
    double change_again; /* the same with the layout chosen again, by who has others; NAN: not looked for */
};

/* A site with levers pulled: it holds what it points to. Do not copy. */
struct tr_lever_site {
    struct tr_system system;
    struct tr_stack stack;
    struct tr_site site;
};
void tr_lever_site_make(struct tr_lever_site *out, const struct tr_site *site);
/* Rates times `factor`, latencies divided by it. */
void tr_lever_pull(struct tr_lever_site *site, enum tr_lever lever, double factor);

/* At a fixed layout, which is legal. TR_FAILED: out of memory. */
TR_MUST_CHECK enum tr_status tr_lever_measure(enum tr_lever lever, const struct tr_site *site, const struct tr_task *task,
                                              const struct tr_layout *layout, struct tr_lever_effect *out,
                                              struct tr_err *err);

/* The same with the best of `layouts`, all legal, of which the first is the fastest now: at least as good as that one. */
TR_MUST_CHECK enum tr_status tr_lever_choose(enum tr_lever lever, const struct tr_site *site, const struct tr_task *task,
                                             const struct tr_layout *layouts, int count, double *change,
                                             struct tr_err *err);

/* Whether the system has it: one of a single tier has no network, one of chips without links no links, one of chips whose power is
 * not said none of that. */
bool tr_lever_there(enum tr_lever lever, const struct tr_system *system);
/* What the lever is now, in the unit of *unit; NAN where that is many numbers. */
double tr_lever_value(enum tr_lever lever, const struct tr_site *site, enum tr_unit *unit);
const char *tr_lever_name(enum tr_lever lever); /* "network bandwidth" */

#endif
