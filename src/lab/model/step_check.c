/* What cannot be a step: each relation between model, batch and logical widths, with what would be right. */
#include "base/num.h"
#include "lab/model/build.h"

enum { BATCH_TOKENS_MAX = 1 << 30 };

static enum tr_status check_widths(const struct tr_model_config *c, const struct tr_widths *w, int64_t seq_len,
                                   struct tr_err *err)
{
    const struct {
        const char *name;
        int32_t value;
        int64_t most;
        const char *because;
    } limit[] = {
        {"lanes", w->lanes, TR_PARTS_MAX, "the largest logical width"},
        {"context", w->context, seq_len < TR_KEY_BLOCK ? 1 : seq_len / TR_KEY_BLOCK,
         "whole key blocks of 64 in seq_len"},
        {"tensor", w->tensor, tr_min_i64(c->heads, c->ffn / 2), "heads, and pairs of ffn"},
        {"vocab", w->vocab, c->vocab / 2, "pairs of the vocabulary"},
    };
    for (size_t i = 0; i < sizeof limit / sizeof limit[0]; i++) {
        int64_t most = tr_max_i64(1, tr_min_i64(limit[i].most, TR_PARTS_MAX));
        if (limit[i].value < 1 || limit[i].value > most)
            return tr_fail(err, TR_BAD_INPUT, "logical width %s is %d; this run allows 1 to %lld (%s)", limit[i].name,
                           limit[i].value, (long long)most, limit[i].because);
    }
    return TR_OK;
}

/* Of the tensor parallel ranks, parts of which may differ, the one with the fewest. */
static int32_t fewest_kv_heads(const struct tr_model_config *c, const struct tr_step_config *s)
{
    int64_t fewest = c->kv_heads;
    for (int32_t i = 0; i < tr_degrees_of(&s->place.degrees, TR_GROUP_TENSOR); i++) {
        struct tr_parts parts = tr_degrees_tensor(&s->place.degrees, s->widths.tensor, i);
        int64_t first = tr_cut(c->kv_heads, 1, parts.parts, parts.first), last = tr_cut(c->kv_heads, 1, parts.parts, parts.last);
        fewest = tr_min_i64(fewest, last - first);
    }
    return (int32_t)fewest;
}

/* What ranks cannot share of a model. */
static enum tr_status check_portions(const struct tr_model_config *c, const struct tr_step_config *s, struct tr_err *err)
{
    int32_t tp = tr_degrees_of(&s->place.degrees, TR_GROUP_TENSOR);
    if (tp > 1 && s->widths.tensor > c->kv_heads)
        return tr_fail(err, TR_BAD_INPUT, "layout tp=%d: of the run's %d tensor parts (layout.tensor) some have no key/value head of their "
                       "own, as model %s has %d; parts can be shared where there are at most so many", tp, s->widths.tensor, c->name,
                       c->kv_heads);
    if (tp > 1 && c->qk_norm && c->heads != c->kv_heads && c->kv_heads % s->widths.tensor != 0)
        return tr_fail(err, TR_BAD_INPUT, "layout tp=%d: the %d tensor parts (layout.tensor) of query norms are not those of the %d groups "
                       "of heads of model %s; parts can be shared where their number divides the groups", tp, s->widths.tensor, c->kv_heads,
                       c->name);
    int32_t cp = tr_degrees_of(&s->place.degrees, TR_GROUP_CONTEXT), most = tp > 1 ? fewest_kv_heads(c, s) : c->kv_heads;
    if (cp > most && tp == 1)
        return tr_fail(err, TR_BAD_INPUT, "layout cp=%d: ranks that share a sequence share its heads in attention, and model %s has %d key/value "
                       "heads; give cp=%d or less", cp, c->name, most, most);
    if (cp > most)
        return tr_fail(err, TR_BAD_INPUT, "layout tp=%d,cp=%d: ranks that share a sequence share its heads in attention, and of the %d key/value "
                       "heads of model %s one of the tensor parallel ranks has %d; give cp=%d or less", tp, cp, c->kv_heads, c->name, most, most);
    if (tp > 1 && c->lora.rank > 0)
        return tr_fail(err, TR_BAD_INPUT, "layout tp=%d: adapters (lora.rank %d) are trained by ranks that have whole matrices; give tp=1",
                       tp, c->lora.rank);
    return TR_OK;
}

enum tr_status tr_build_check_step(const struct tr_model_config *c, const struct tr_step_config *s, struct tr_err *err)
{
    if (s->seq_len < 1 || s->seq_len > c->positions)
        return tr_fail(err, TR_BAD_INPUT, "seq_len %lld: model %s has positions for 1 to %lld tokens",
                       (long long)s->seq_len, c->name, (long long)c->positions);
    int64_t tokens;
    if (s->batch < 1 || !tr_mul_i64(s->batch, s->seq_len, &tokens) || tokens > BATCH_TOKENS_MAX)
        return tr_fail(err, TR_BAD_INPUT, "batch %lld of %lld tokens: a step may have 1 to %d tokens in all",
                       (long long)s->batch, (long long)s->seq_len, BATCH_TOKENS_MAX);
    enum tr_status status = check_widths(c, &s->widths, s->seq_len, err);
    if (status != TR_OK)
        return status;
    if (s->batch % s->widths.lanes != 0)
        return tr_fail(err, TR_BAD_INPUT, "batch %lld is not a multiple of the %d lanes; %lld or %lld would be",
                       (long long)s->batch, s->widths.lanes,
                       (long long)tr_max_i64(s->widths.lanes, s->batch / s->widths.lanes * s->widths.lanes),
                       (long long)tr_round_up(s->batch, s->widths.lanes));
    int64_t lane = s->batch / s->widths.lanes;
    if (s->micro_batch < 1 || lane % s->micro_batch != 0)
        return tr_fail(err, TR_BAD_INPUT,
                       "micro_batch %lld does not divide the %lld sequences of a lane (batch %lld, %d "
                       "lanes)",
                       (long long)s->micro_batch, (long long)lane, (long long)s->batch, s->widths.lanes);
    status = tr_rank_check(s, c->layers, err);
    return status == TR_OK ? check_portions(c, s, err) : status;
}
