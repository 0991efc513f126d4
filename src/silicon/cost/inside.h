/* What the cost models share. */
#ifndef TR_SILICON_COST_INSIDE_H
#define TR_SILICON_COST_INSIDE_H

#include "silicon/cost/cost.h"

#include <math.h>

/* Two parts that run side by side: the longer, and a share of the shorter that is not hidden. */
static inline double tr_beside(double x, double y, double exposed)
{
    return fmax(x, y) + exposed * fmin(x, y);
}

/* A power limit averages over some time: what is shorter runs at full clock, what is much longer slower by `power`. */
static inline double tr_throttled(double time_s, double power)
{
    const double averaged_s = 500e-6;
    return time_s * (1 + power * time_s / (time_s + averaged_s));
}

/* Share of a systolic array's rows that a factor's side of so many elements keeps at work, block after block. */
static inline double tr_filled(const struct tr_rates *rates, double side)
{
    return side / (ceil(side / rates->array_side) * rates->array_side);
}

#endif
