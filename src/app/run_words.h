/* What `trine launch` and `trine submit` share: a run's config as a user gave it, checked as `trine train` would. */
#ifndef TR_APP_RUN_WORDS_H
#define TR_APP_RUN_WORDS_H

#include "base/option.h"
#include "lab/train/train.h"

/* Reads CONFIG and the overrides, and checks everything that `trine train --dry-run` checks but the memory, which may be that
 * of another machine. *config is resolved then: no "auto", and run.out is the run folder. *need_bytes: what it will need. */
TR_MUST_CHECK enum tr_status tr_app_run_check(const char *path, const struct tr_given *given, struct tr_run_config *config,
                                              int64_t *need_bytes, struct tr_err *err);

#endif
