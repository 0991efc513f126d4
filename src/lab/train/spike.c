#include "lab/train/spike.h"

#include "base/err.h"
#include "base/num.h"

#include <math.h>
#include <string.h>

/* Sums in the order of the steps; sqrt is exact by IEEE 754: the same bar on every machine. */
double tr_spike_bar(const double *values, int64_t count, int64_t window, double deviations)
{
    double sum = 0, squares = 0;
    if (count < window)
        return INFINITY;
    for (int64_t i = count - window; i < count; i++)
        sum += values[i];
    double mean = sum / (double)window;
    for (int64_t i = count - window; i < count; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    double deviation = sqrt(squares / (double)window), least = fabs(mean) / 100;
    return mean + deviations * (deviation > least ? deviation : least);
}

void tr_spike_note(struct tr_spike_window *seen, int64_t window, double loss, double grad_norm)
{
    TR_ASSERT(window >= 1 && window <= TR_SPIKE_WINDOW_MAX);
    int64_t keep = tr_min_i64(seen->count, window - 1), drop = seen->count - keep;
    memmove(seen->loss, seen->loss + drop, (size_t)keep * sizeof *seen->loss);
    memmove(seen->grad_norm, seen->grad_norm + drop, (size_t)keep * sizeof *seen->grad_norm);
    seen->loss[keep] = loss;
    seen->grad_norm[keep] = grad_norm;
    seen->count = keep + 1;
}
