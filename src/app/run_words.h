/* What `trine launch` and `trine submit` share: a run's config as a user gave it, checked as `trine train` would. */
#ifndef TR_APP_RUN_WORDS_H
#define TR_APP_RUN_WORDS_H

#include "base/option.h"
#include "lab/train/train.h"
#include "silicon/coll/coll.h"

struct tr_app_run {
    struct tr_run_config config; /* resolved: no "auto", and run.out is the run folder */
    int64_t need_bytes;          /* memory of a rank that has all of the run */
    int32_t layers;              /* of the model */
};

/* Reads CONFIG and the overrides, and checks everything that `trine train --dry-run` checks but the memory, which may be that
 * of another machine. */
TR_MUST_CHECK enum tr_status tr_app_run_check(const char *path, const struct tr_given *given, struct tr_app_run *run,
                                              struct tr_err *err);

/* Whether the run can have the layout of these words on the ranks that are started; `starts` of one rank: that is
 * not known. words NULL: as tr_app_ranks_layout decides; "auto": whether there is a profile to choose by when they are started. */
TR_MUST_CHECK enum tr_status tr_app_run_check_layout(const struct tr_app_run *run, const char *words, const char *profile,
                                                     const struct tr_launched *starts, struct tr_err *err);

#endif
