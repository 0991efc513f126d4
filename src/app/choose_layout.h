/* `--layout auto` of train, launch and submit: the layout that the profile of this machine says is the fastest. */
#ifndef TR_APP_CHOOSE_LAYOUT_H
#define TR_APP_CHOOSE_LAYOUT_H

#include "app/predict.h"
#include "app/ranks.h"

/* Whether these are the words of --layout that ask for it. */
bool tr_app_layout_is_auto(const char *words);

/* Before there are ranks: that a profile is there (`path` NULL: profile.yaml of the current folder) and has rates. Whether it is of the
 * machine where they will be is asked there. TR_BAD_INPUT. */
TR_MUST_CHECK enum tr_status tr_app_layout_can_be_auto(const char *path, struct tr_err *err);

/* Into how->layout, the same on all ranks. The lead makes a dry run of one rank for it, and says on how->log what it found.
 * Collective. TR_BAD_INPUT: no profile of this machine, or what a dry run refuses, ranks of several hosts, or no
 * layout of so many ranks can be. */
TR_MUST_CHECK enum tr_status tr_app_choose_layout(struct tr_app_ranks *ranks, const struct tr_app_prediction *prediction,
                                                  const struct tr_run_config *config, struct tr_train_options *how, struct tr_err *err);

#endif
