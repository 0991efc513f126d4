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

static double weight_of(const struct tr_sampling *s, float logit, float top)
{
    return tr_exp(((double)logit - (double)top) / s->temperature);
}

/* The candidates whose logits are at least `least`, sorted. Returns how many. */
static int64_t collect(const float *logits, int64_t vocab, float least, struct tr_candidate *sorted)
{
    int64_t count = 0;
    for (int64_t i = 0; i < vocab; i++)
        if (sortable(logits[i]) >= least)
            sorted[count++] = (struct tr_candidate){sortable(logits[i]), (int32_t)i};
    qsort(sorted, (size_t)count, sizeof *sorted, likelier_first);
    return count;
}

/* How many of the sorted candidates the nucleus of top_p holds, and their summed weight; of all weights the sum is `all`.
 * More than there are: it does not end among them. */
static int64_t nucleus(const struct tr_sampling *s, const struct tr_candidate *sorted, int64_t count, double all, double *sum)
{
    double kept = 0.0;
    int64_t n = 0;
    while (n < count && (n == 0 || kept < s->top_p * all))
        kept += weight_of(s, sorted[n++].logit, sorted[0].logit);
    *sum = kept;
    return n == count && kept < s->top_p * all ? count + 1 : n;
}

/* The weights of all candidates, or of the k likeliest, which are the first of `sorted`. */
static double all_weights(const struct tr_sampling *s, const float *logits, int64_t vocab, const struct tr_candidate *sorted,
                          int64_t k)
{
    double all = 0.0;
    for (int64_t i = 0; i < k; i++)
        all += weight_of(s, sorted[i].logit, sorted[0].logit);
    for (int64_t i = 0; i < vocab && k == 0; i++)
        all += weight_of(s, sortable(logits[i]), sorted[0].logit);
    return all;
}

int32_t tr_sample(const struct tr_sampling *s, const float *logits, int64_t vocab, uint64_t index,
                  struct tr_candidate *scratch)
{
    TR_ASSERT(vocab >= 1);
    int32_t best = most_likely(logits, vocab);
    if (s->temperature == 0.0 || !isfinite(logits[best]))
        return best;
    /* Few are sorted, more only where the nucleus does not end among them: its tail is long, and rarely wanted. */
    const int64_t k = s->top_k > 0 && s->top_k < vocab ? s->top_k : 0;
    double sum = 0.0, all = -1.0;
    int64_t count = 0;
    for (double below = 4.0;; below *= 2.0) {
        float least = below < 100.0 ? logits[best] - (float)(below * s->temperature) : -INFINITY;
        int64_t collected = collect(logits, vocab, least, scratch);
        if (collected < k)
            continue;
        if (k > 0 || all < 0.0)
            all = all_weights(s, logits, vocab, scratch, k);
        count = nucleus(s, scratch, k > 0 ? k : collected, all, &sum);
        if (count <= collected)
            break;
        if (collected == vocab || k > 0) { /* all, and the sums in different orders differ */
            count = k > 0 ? k : vocab;
            break;
        }
    }
    double left = tr_rng_double(tr_rng_key(s->seed, "sample", 0), index) * sum;
    for (int64_t i = 0; i < count - 1; i++) {
        left -= weight_of(s, scratch[i].logit, scratch[0].logit);
        if (left < 0.0)
            return scratch[i].token;
    }
    return scratch[count - 1].token;
}
