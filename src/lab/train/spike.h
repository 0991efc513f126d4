/* Steps that are finite and still wrong: a loss or a gradient far above those of the steps before, as after a poisoned
 * batch or a flipped bit. Internal to lab/train.
 *
 * The rule looks at the last spike.window steps that were taken. With mean m and standard deviation s of their losses, a
 * loss above m + spike.deviations * max(s, m / 100) is a spike; the same for gradient norms (before clipping). Until the
 * window is full nothing is one. What was left out is not in the window: it would raise the bar for the next one.
 *
 * All of it is a function of the state, which a checkpoint holds to the bit, so a run that was interrupted finds the same
 * spikes. OLMo's trainers leave steps out by such a rule (mean + 6 deviations of the last 128 steps); PaLM went back
 * to an older checkpoint and passed over the batches of the spike (Chowdhery and others 2022, section 5.1). */
#ifndef TR_LAB_TRAIN_SPIKE_H
#define TR_LAB_TRAIN_SPIKE_H

#include <stdbool.h>
#include <stdint.h>

enum { TR_SPIKE_WINDOW_MIN = 8, TR_SPIKE_WINDOW_MAX = 256 };

/* The last steps that were taken, oldest first. */
struct tr_spike_window {
    int64_t count;
    double loss[TR_SPIKE_WINDOW_MAX], grad_norm[TR_SPIKE_WINDOW_MAX];
};

/* What a value has to exceed to be a spike; +infinity while fewer than `window` values are there. */
double tr_spike_bar(const double *values, int64_t count, int64_t window, double deviations);

/* Takes a step in; of more than `window` the oldest are dropped. */
void tr_spike_note(struct tr_spike_window *seen, int64_t window, double loss, double grad_norm);

#endif
