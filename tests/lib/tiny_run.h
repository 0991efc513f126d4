/* The smallest run that has everything: one layer, a made-up text, a dozen steps of milliseconds. For tests of the
 * trainer; the scratch folder must be set up. */
#ifndef TR_TESTS_LIB_TINY_RUN_H
#define TR_TESTS_LIB_TINY_RUN_H

#include "lab/train/train.h"

enum { TR_TINY_STEPS = 12, TR_TINY_OVERRIDES_MAX = 32 };

/* SCRATCH/text.txt: some kilobytes of words, always the same. Returns its path. */
const char *tr_tiny_text(void);

/* The config of the tiny run into SCRATCH/out, with "section.key=value" changes; NULL ends the list. */
struct tr_run_config tr_tiny_config(const char *out, ...) __attribute__((sentinel));

/* Runs it silently with default options and returns the hash; fails the test when the run fails. */
struct tr_tiny_hash {
    char hex[TR_SHA256_HEX_BYTES];
};
struct tr_tiny_hash tr_tiny_train(const struct tr_run_config *config);

/* Options that neither log nor measure. */
struct tr_train_options tr_tiny_options(void);

/* In such a profile.json: for so long other programs had cores that the run wanted, and each of its ranks. 0: whatever ran beside a test. */
void tr_tiny_crowd(const char *profile, double time_s);

#endif
