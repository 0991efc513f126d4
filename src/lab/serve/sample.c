#include "lab/serve/sample.h"

#include "base/fmath.h"
#include "base/rng.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum tr_status tr_sampling_check(const struct tr_sampling *s, struct tr_err *err)
{
    if (!(s->temperature >= 0.0) || !isfinite(s->temperature))
        return tr_fail(err, TR_BAD_INPUT, "temperature %g: 0 (always the most likely token) or more is right",
                       s->temperature);
    if (s->top_k < 0)
        return tr_fail(err, TR_BAD_INPUT, "top_k %lld: 0 (all tokens) or more is right", (long long)s->top_k);
    if (!(s->top_p > 0.0 && s->top_p <= 1.0))
        return tr_fail(err, TR_BAD_INPUT, "top_p %g: more than 0 and at most 1 is right", s->top_p);
    return TR_OK;
}

static float sortable(float logit) { return isnan(logit) ? -INFINITY : logit; }

static int likelier_first(const void *a, const void *b)
{
    const struct tr_candidate *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit > y->logit ? -1 : 1;
    return x->token < y->token ? -1 : x->token > y->token;
}

static int32_t most_likely(const float *logits, int64_t vocab)
{
    int32_t best = 0;
    for (int64_t i = 1; i < vocab; i++)
        if (sortable(logits[i]) > sortable(logits[best]))
            best = (int32_t)i;
    return best;
}

static double weight_of(const struct tr_sampling *s, struct tr_candidate candidate, float top)
{
    return tr_exp(((double)candidate.logit - (double)top) / s->temperature);
}

/* How many of the sorted candidates the nucleus of top_p holds, and their summed weight. */
static int64_t nucleus(const struct tr_sampling *s, const struct tr_candidate *sorted, int64_t count, double *sum)
{
    double all = 0.0;
    for (int64_t i = 0; i < count; i++)
        all += weight_of(s, sorted[i], sorted[0].logit);
    double kept = 0.0;
    int64_t n = 0;
    while (n < count && (n == 0 || kept < s->top_p * all))
        kept += weight_of(s, sorted[n++], sorted[0].logit);
    *sum = kept;
    return n;
}

int32_t tr_sample(const struct tr_sampling *s, const float *logits, int64_t vocab, uint64_t index,
                  struct tr_candidate *scratch)
{
    TR_ASSERT(vocab >= 1);
    int32_t best = most_likely(logits, vocab);
    if (s->temperature == 0.0 || !isfinite(logits[best]))
        return best;
    for (int64_t i = 0; i < vocab; i++)
        scratch[i] = (struct tr_candidate){sortable(logits[i]), (int32_t)i};
    qsort(scratch, (size_t)vocab, sizeof *scratch, likelier_first);
    int64_t count = s->top_k > 0 && s->top_k < vocab ? s->top_k : vocab;
    double sum;
    count = nucleus(s, scratch, count, &sum);
    double left = tr_rng_double(tr_rng_key(s->seed, "sample", 0), index) * sum;
    for (int64_t i = 0; i < count - 1; i++) {
        left -= weight_of(s, scratch[i], scratch[0].logit);
        if (left < 0.0)
            return scratch[i].token;
    }
    return scratch[count - 1].token;
}
