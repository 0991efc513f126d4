/* The whole loop as one page that a person reads from top to bottom: this machine as it was calibrated, what was predicted of a run
 * on it, the run, prediction beside measurement, the text that the model writes, and what the same planner says of bigger models.
 *
 * One HTML file without scripts or anything from elsewhere. Every number is of a file: the run folder's (lab/train/train.h), the
 * profile of this machine, and plans that `trine plan -o` wrote, which are made again and must come out as they say.
 *
 * Without a profile the chapters of the machine, the prediction and the comparison are one sentence; without a sample or plans
 * theirs are left out. TR_BAD_INPUT: a run without metrics or profile.json, a file that is cut short or damaged (with the place), a
 * profile that is of no use for the run (plan/here/explain_run.h), a refined one that has not learned from it though it could, a plan of another program or catalog. */
#ifndef TR_PLAN_STORY_STORY_H
#define TR_PLAN_STORY_STORY_H

#include "base/text.h"
#include "silicon/catalog/catalog.h"

enum { TR_STORY_PLANS_MAX = 16 };

struct tr_story_request {
    const char *run_folder;
    const struct tr_catalog *profile; /* of this machine, and what its file is called; NULL: there is none */
    const char *profile_path;
    const struct tr_catalog *refined; /* the same profile after it has learned from the run (plan/calibrate/learn.h), its file; NULL: it has not */
    const char *refined_path;
    const struct tr_catalog *catalog; /* of the plans */
    const char *const *plan_path;
    int plan_count;
};

/* The page is appended to `out`. */
TR_MUST_CHECK enum tr_status tr_story(const struct tr_story_request *request, struct tr_text *out, struct tr_err *err);

#endif
