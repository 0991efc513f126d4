/* state.json of a checkpoint. Internal to lab/train. */
#ifndef TR_LAB_TRAIN_STATE_H
#define TR_LAB_TRAIN_STATE_H

#include "lab/train/checkpoint.h"

enum { TR_STATE_MAX_BYTES = 1 << 20 };

void tr_state_text(const struct tr_train_state *state, struct tr_text *out);
TR_MUST_CHECK enum tr_status tr_state_parse(const char *source, const char *data, size_t bytes,
                                            struct tr_train_state *out, struct tr_err *err);

#endif
