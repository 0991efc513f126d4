/* Which layouts are legal, and what is said of one that is not. */
#include "plan/layout/layout.h"

#include "base/num.h"

#include <stdio.h>
#include <string.h>

const char *tr_layout_near(tr_layout_near_fn *is, const void *of, int64_t wanted, int64_t most, int64_t times, char buf[TR_LAYOUT_NEAR_BYTES])
{
    int64_t below = tr_min_i64(wanted - 1, most), above = wanted + 1;
    while (below > 0 && !is(of, below))
        below--;
    while (above <= most && !is(of, above))
        above++;
    return tr_layout_either(below > 0 ? below * times : 0, above <= most ? above * times : 0, buf);
}

const char *tr_layout_either(int64_t below, int64_t above, char buf[TR_LAYOUT_NEAR_BYTES])
{
    buf[0] = 0;
    if (below && above)
        snprintf(buf, TR_LAYOUT_NEAR_BYTES, "%lld or %lld", (long long)below, (long long)above);
    else if (below || above)
        snprintf(buf, TR_LAYOUT_NEAR_BYTES, "%lld", (long long)(below ? below : above));
    return buf;
}

static bool divides_count(const void *count, int64_t part) { return *(const int64_t *)count % part == 0; }

static const char *near_divisors(int64_t count, int64_t wanted, int64_t times, char buf[TR_LAYOUT_NEAR_BYTES])
{
    return tr_layout_near(divides_count, &count, wanted, count, times, buf);
}

static enum tr_status divides(const char *key, int64_t part, int64_t count, const char *what, struct tr_err *err)
{
    char buf[TR_LAYOUT_NEAR_BYTES];
    if (count % part == 0)
        return TR_OK;
    return tr_fail(err, TR_BAD_INPUT, "%s %lld does not divide the %lld %s; %s would", key, (long long)part,
                   (long long)count, what, near_divisors(count, part, 1, buf));
}

static enum tr_status positive(const char *key, int64_t value, struct tr_err *err)
{
    if (value >= 1 && value <= TR_CHIPS_MAX)
        return TR_OK;
    return tr_fail(err, TR_BAD_INPUT, "%s must be from 1 to %d, got %lld", key, TR_CHIPS_MAX, (long long)value);
}

static enum tr_status check_ranges(const struct tr_layout *l, struct tr_err *err)
{
    const struct {
        const char *key;
        int64_t value;
    } sizes[] = {{"dp", l->dp}, {"tp", l->tp},   {"cp", l->cp},   {"pp", l->pp},
                 {"ep", l->ep}, {"etp", l->etp}, {"vpp", l->vpp}, {"micro_batch", l->micro_batch}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        enum tr_status status = positive(sizes[i].key, sizes[i].value, err);
        if (status != TR_OK)
            return status;
    }
    int64_t chips = 1;
    if (!tr_mul_i64(l->dp, l->tp, &chips) || !tr_mul_i64(chips, l->cp, &chips) || !tr_mul_i64(chips, l->pp, &chips) ||
        chips > TR_CHIPS_MAX)
        return tr_fail(err, TR_BAD_INPUT, "dp %d x tp %d x cp %d x pp %d is more than %d chips", l->dp, l->tp, l->cp,
                       l->pp, TR_CHIPS_MAX);
    if (l->zero < 0 || l->zero > 3)
        return tr_fail(err, TR_BAD_INPUT, "zero must be 0 (nothing), 1 (optimiser), 2 (and gradients) or 3 (and "
                                          "weights is shared out), got %d", l->zero);
    if (l->shard && !l->zero)
        return tr_fail(err, TR_BAD_INPUT, "shard %d needs zero 1, 2 or 3: with zero 0 nothing is shared out", l->shard);
    if (l->shard < 0 || l->rerun_layers < 0 || l->first_layers < 0 || l->last_layers < 0)
        return tr_fail(err, TR_BAD_INPUT, "shard, recompute_layers, first_layers, last_layers must not be negative");
    if (l->sp && l->tp == 1)
        return tr_fail(err, TR_BAD_INPUT, "sequence parallel (sp) cuts tokens over the tp ranks, and tp is 1");
    return l->shard ? divides("shard", l->shard, (int64_t)l->dp * l->cp, "ranks of dp x cp", err) : TR_OK;
}

/* Whole heads, and whole key-value heads or, of fewer than ranks, whole groups of copies. */
static bool heads_go_over(const void *model, int64_t tp)
{
    const struct tr_model_shape *m = model;
    return m->heads % tp == 0 && (m->kv_rank || m->kv_heads % tp == 0 || tp % m->kv_heads == 0);
}

static enum tr_status check_key_value_heads(const struct tr_layout *l, const struct tr_model_shape *model, struct tr_err *err)
{
    char buf[TR_LAYOUT_NEAR_BYTES];
    if (heads_go_over(model, l->tp))
        return TR_OK;
    return tr_fail(err, TR_BAD_INPUT, "tp %d neither divides the %lld key-value heads nor is a multiple of them; tp %s would do", l->tp,
                   (long long)model->kv_heads, tr_layout_near(heads_go_over, model, l->tp, model->heads, 1, buf));
}

static enum tr_status check_model(const struct tr_layout *l, const struct tr_model_shape *model, struct tr_err *err)
{
    enum tr_status status = divides("tp", l->tp, model->heads, "heads", err);
    if (status == TR_OK)
        status = check_key_value_heads(l, model, err);
    if (status == TR_OK && model->ssm_groups)
        status = divides("tp", l->tp, model->ssm_groups, "groups of the state-space layers", err);
    if (status == TR_OK && model->ffn)
        status = divides("tp", l->tp, model->ffn, "columns of the feed-forward", err);
    if (status == TR_OK && l->cp > 1 && l->context == TR_CONTEXT_ALL_TO_ALL)
        status = divides("cp (all-to-all)", l->cp, model->heads / l->tp, "heads of a tp rank", err);
    if (status != TR_OK)
        return status;
    if ((l->ep > 1 || l->etp > 1) && model->experts == 0)
        return tr_fail(err, TR_BAD_INPUT, "%s %d: %s has no experts", l->ep > 1 ? "ep" : "etp", l->ep > 1 ? l->ep : l->etp, model->name);
    if (model->experts == 0)
        return TR_OK;
    status = divides("ep", l->ep, model->experts, "experts", err);
    if (status == TR_OK)
        status = divides("etp", l->etp, model->expert_ffn, "columns of an expert", err);
    if (status == TR_OK)
        status = divides("ep x etp", (int64_t)l->ep * l->etp, (int64_t)l->dp * l->cp * l->tp, "ranks of dp x cp x tp",
                         err);
    return status;
}

/* tr_layout_chunk_layers needs a chunk for what is left: with first_layers alone on one chunk there is none. */
static enum tr_status check_pipeline(const struct tr_layout *l, const struct tr_model_shape *model, int64_t micro_count,
                                     struct tr_err *err)
{
    int64_t chunks = (int64_t)l->pp * l->vpp;
    if (chunks > model->layers)
        return tr_fail(err, TR_BAD_INPUT, "pp %d x vpp %d is %lld chunks, more than the %d layers of %s", l->pp, l->vpp,
                       (long long)chunks, (int)model->layers, model->name);
    if (l->vpp > 1 && (l->pipeline != TR_PIPELINE_INTERLEAVED || l->pp == 1))
        return tr_fail(err, TR_BAD_INPUT, "vpp %d needs the interleaved schedule and pp of at least 2", l->vpp);
    if (l->pipeline == TR_PIPELINE_INTERLEAVED && l->vpp == 1 && l->pp > 1)
        return tr_fail(err, TR_BAD_INPUT, "the interleaved schedule needs vpp of at least 2; 1f1b is the one for vpp 1");
    if (l->vpp > 1 && micro_count < l->pp)
        return tr_fail(err, TR_BAD_INPUT, "the interleaved schedule needs at least pp = %d microbatches, there are %lld",
                       l->pp, (long long)micro_count);
    int32_t others = (int32_t)chunks - (l->first_layers > 0) - (l->last_layers > 0);
    bool both_of_one = chunks == 1 && l->first_layers && l->last_layers; /* each would be all of them */
    if (both_of_one || (others <= 0 && l->first_layers + l->last_layers != model->layers))
        return tr_fail(err, TR_BAD_INPUT, "first_layers %d and last_layers %d are not the %d layers of %s",
                       l->first_layers, l->last_layers, (int)model->layers, model->name);
    for (int64_t c = 0; c < chunks; c++)
        if (tr_layout_chunk_layers(l, model->layers, (int32_t)c) < (chunks > 1 && c > 0 && c < chunks - 1))
            return tr_fail(err, TR_BAD_INPUT, "first_layers %d and last_layers %d leave nothing of %d layers for chunk %d",
                           l->first_layers, l->last_layers, (int)model->layers, (int)c);
    return TR_OK;
}

enum tr_status tr_layout_fit_batch(const struct tr_layout *l, const struct tr_batch *batch, struct tr_err *err)
{
    char buf[TR_LAYOUT_NEAR_BYTES];
    int64_t chips = tr_layout_chips(l), at_once = (int64_t)l->dp * l->micro_batch;
    if (l->micro_batch < 1 || batch->global_batch % l->micro_batch || batch->global_batch % at_once == 0)
        return TR_OK;
    int64_t whole = batch->global_batch / at_once * at_once;
    return tr_fail(err, TR_BAD_INPUT,
                   "%lld chips are %d replicas of %lld, which do not divide the %lld sequences of the global batch; %s chips would, "
                   "or %lld sequences", (long long)chips, l->dp, (long long)(chips / l->dp), (long long)batch->global_batch,
                   near_divisors(batch->global_batch / l->micro_batch, l->dp, chips / l->dp, buf),
                   (long long)(whole ? whole : at_once));
}

struct sequence {
    int64_t tokens, ranks; /* ranks: that cut tokens beside those of cp */
};

/* Ranks of cp have two pieces each, so that all have as much of the causal triangle. */
static int64_t pieces(const struct sequence *s, int64_t cp) { return cp * s->ranks * (cp > 1 ? 2 : 1); }

static bool sequence_goes_over(const void *sequence, int64_t cp)
{
    const struct sequence *s = sequence;
    return s->tokens % pieces(s, cp) == 0;
}

static enum tr_status check_sequence(const struct tr_layout *l, int64_t seq_len, struct tr_err *err)
{
    const struct sequence s = {seq_len, l->sp ? l->tp : 1};
    char buf[TR_LAYOUT_NEAR_BYTES], would[96] = "";
    if (sequence_goes_over(&s, l->cp))
        return TR_OK;
    if (sequence_goes_over(&s, 1))
        snprintf(would, sizeof would, "; cp %s would do", tr_layout_near(sequence_goes_over, &s, l->cp, tr_min_i64(seq_len, TR_CHIPS_MAX), 1, buf));
    return tr_fail(err, TR_BAD_INPUT, "a sequence of %lld tokens does not divide into the %lld parts of cp %d%s%s", (long long)seq_len,
                   (long long)pieces(&s, l->cp), l->cp, l->sp ? " and sp" : "", would);
}

static int64_t common_divisor(int64_t a, int64_t b) { return b ? common_divisor(b, a % b) : a; }

enum tr_status tr_layout_check_parts(const struct tr_layout *layout, const struct tr_model_shape *model, int64_t seq_len,
                                     struct tr_err *err)
{
    struct tr_layout l = *layout;
    l.dp = 1, l.shard = 0;
    enum tr_status status = check_ranges(&l, err);
    if (status != TR_OK)
        return status;
    int64_t experts = (int64_t)l.ep * l.etp;
    l.dp = (int32_t)(experts / common_divisor(experts, (int64_t)l.cp * l.tp));
    status = check_model(&l, model, err);
    if (status == TR_OK)
        status = check_sequence(&l, seq_len, err);
    return status == TR_OK ? check_pipeline(&l, model, INT64_MAX, err) : status;
}

enum tr_status tr_layout_check(const struct tr_layout *l, const struct tr_model_shape *model, const struct tr_batch *batch,
                               struct tr_err *err)
{
    enum tr_status status = check_ranges(l, err);
    if (status == TR_OK)
        status = check_model(l, model, err);
    if (status == TR_OK)
        status = check_sequence(l, batch->seq_len, err);
    if (status == TR_OK)
        status = divides("dp", l->dp, batch->global_batch, "sequences of the global batch", err);
    if (status == TR_OK)
        status = divides("micro_batch", l->micro_batch, batch->global_batch / l->dp, "sequences of a replica", err);
    return status == TR_OK ? check_pipeline(l, model, tr_layout_micro_count(l, batch), err) : status;
}
