/* Choosing the next token from logits. A pure function of (logits, settings, seed, index): the same text on every
 * machine, whatever else is generated beside it. */
#ifndef TR_LAB_SERVE_SAMPLE_H
#define TR_LAB_SERVE_SAMPLE_H

#include "base/err.h"

#include <stdint.h>

struct tr_sampling {
    double temperature; /* 0: the most likely token (lowest id among equals); up to 2 and more: flatter */
    int64_t top_k;      /* only the k most likely; 0: all */
    double top_p;       /* only the smallest set whose probabilities sum to at least this; 1: all */
    uint64_t seed;
};

struct tr_candidate {
    float logit;
    int32_t token;
};

/* Checks the ranges: temperature >= 0 and finite, top_k >= 0, 0 < top_p <= 1. */
TR_MUST_CHECK enum tr_status tr_sampling_check(const struct tr_sampling *sampling, struct tr_err *err);

/* The token for draw number `index` of the text. `scratch` holds vocab candidates. Order: top_k, then top_p among those
 * left, then the draw, probabilities in double (softmax of logit / temperature); equal logits count by token id. NaN
 * logits count as the least likely; if all are, token 0. */
int32_t tr_sample(const struct tr_sampling *sampling, const float *logits, int64_t vocab, uint64_t index,
                  struct tr_candidate *scratch);

#endif
