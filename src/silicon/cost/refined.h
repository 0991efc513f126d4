/* Which runs have refined a record of a profile (plan/calibrate/learn.h): each is named by when it began (its attempt,
 * lab/train/profile.h), so that none counts twice. In files `refined: 2026-11-27` and `refined_by: "1764200000000000 ..."`. */
#ifndef TR_SILICON_COST_REFINED_H
#define TR_SILICON_COST_REFINED_H

#include "silicon/catalog/catalog.h"

enum { TR_REFINED_RUNS_MAX = 64, TR_REFINED_BY_MAX = 20 * TR_REFINED_RUNS_MAX /* bytes */, TR_REFINED_WORDS_BYTES = 64 };

struct tr_refined {
    const char *date; /* the day of the last time; "" or NULL: never */
    const char *by;   /* attempts, blanks between */
};

int tr_refined_runs(const struct tr_refined *refined);
bool tr_refined_knows(const struct tr_refined *refined, int64_t attempt);

/* ", refined by 3 runs to 2026-11-27", to stand behind the name of a profile; "" where none has. */
const char *tr_refined_words(const struct tr_refined *refined, char words[TR_REFINED_WORDS_BYTES]);

/* What was read: not too many, and a date beside them. TR_BAD_INPUT, with the place. */
TR_MUST_CHECK enum tr_status tr_refined_check(const struct tr_refined *refined, const struct tr_entry *entry, struct tr_err *err);

#endif
