/* Inside of plan/validate: what a row of a training run leaves open and no search can find. Guesses by the habits of the
 * field; a run that needed one has the grade `assumed` and a wider interval (tr_run.assumed). */
#ifndef TR_PLAN_VALIDATE_GUESS_H
#define TR_PLAN_VALIDATE_GUESS_H

#include "plan/shape/shape.h"

#include <stdbool.h>

/* A model of which only its size is known: parameters in all and of one token (0: all of them), each 0 when not said; then
 * what the name says counts ("109B-A17B", "gemma4-2b"). A Llama 128 times as wide as it is deep, as GPT-3, Llama 7B and 33B
 * are; experts, where fewer parameters are active than there are, of which each token takes 8. False: no size is said. */
bool tr_guess_model(const char *name, double total, double active, struct tr_model_shape *out);

/* Sequences of a step: as a plan has it that does not say (3 Mi tokens), in whole multiples of the chips. */
int64_t tr_guess_batch(int64_t seq_len, int64_t chips);

/* Chips of a run of which only the chip-hours are printed: a power of two that takes about a month. */
int64_t tr_guess_chips(double chip_hours);

/* "14.8T tokens", "150k steps" (or iterations) in a row's notes; 0: not said. */
double tr_notes_tokens(const char *notes);
double tr_notes_steps(const char *notes);

#endif
