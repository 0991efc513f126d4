/* What a config must satisfy. A config comes from a person or from a file, so the sentences use the keys of the
 * family's config.json. */
#include "lab/model/config.h"

#include "base/num.h"

#include <stdio.h>
#include <string.h>

struct key_names {
    const char *width, *layers, *heads, *kv_heads, *ffn, *positions, *norm_eps;
};

static const struct key_names keys_of[] = {
    [TR_GPT2] = {"n_embd", "n_layer", "n_head", "n_head", "n_inner", "n_positions", "layer_norm_epsilon"},
    [TR_LLAMA] = {"hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
                  "intermediate_size", "max_position_embeddings", "rms_norm_eps"},
};

static enum tr_status check_range(const char *where, const char *key, int64_t value, int64_t min, int64_t max,
                                  struct tr_err *err)
{
    if (value >= min && value <= max)
        return TR_OK;
    return tr_fail(err, TR_BAD_INPUT, "%s: %s %lld: expected %lld to %lld", where, key, (long long)value,
                   (long long)min, (long long)max);
}

/* Above `least` (excluded) and up to `most`; NaN fails both. */
static enum tr_status check_real(const char *where, const char *key, double value, double least, double most,
                                 struct tr_err *err)
{
    if (value > least && value <= most)
        return TR_OK;
    return tr_fail(err, TR_BAD_INPUT, "%s: %s %g: expected more than %g, up to %g", where, key, value, least, most);
}

static enum tr_status check_even(const char *where, const char *key, int64_t value, const char *why,
                                 struct tr_err *err)
{
    if (value % 2 == 0)
        return TR_OK;
    return tr_fail(err, TR_BAD_INPUT, "%s: %s %lld is odd (%s); %lld or %lld would do", where, key, (long long)value,
                   why, (long long)value - 1, (long long)value + 1);
}

typedef bool fits(int64_t count, int64_t whole);

/* "6 or 8 would": the numbers nearest to `count`, below and above, that `right` accepts for `whole`. */
static enum tr_status fail_nearest(const char *where, const char *key, int64_t count, const char *whole_key,
                                   int64_t whole, fits *right, struct tr_err *err)
{
    int64_t below = count - 1, above = count + 1, end = tr_min_i64(whole, TR_HEADS_MAX);
    while (below >= 1 && !right(below, whole))
        below--;
    while (above <= end && !right(above, whole))
        above++;
    char hint[64] = "";
    if (below >= 1 && above <= end)
        snprintf(hint, sizeof hint, "; %lld or %lld would", (long long)below, (long long)above);
    else if (below >= 1 || above <= end)
        snprintf(hint, sizeof hint, "; %lld would", (long long)(below >= 1 ? below : above));
    return tr_fail(err, TR_BAD_INPUT, "%s: %s %lld does not divide %s %lld%s", where, key, (long long)count, whole_key,
                   (long long)whole, hint);
}

static bool divides(int64_t count, int64_t whole) { return whole % count == 0; }

static bool divides_into_heads(int64_t count, int64_t whole)
{
    return whole % count == 0 && whole / count % 2 == 0 && whole / count <= TR_HEAD_DIM_MAX;
}

static enum tr_status check_sizes(const struct tr_model_config *c, const struct key_names *key, const char *where,
                                  struct tr_err *err)
{
    const struct {
        const char *key;
        int64_t value, max;
    } size[] = {
        {"vocab_size", c->vocab, TR_VOCAB_MAX}, {key->width, c->width, TR_WIDTH_MAX},
        {key->layers, c->layers, TR_LAYERS_MAX}, {key->heads, c->heads, TR_HEADS_MAX},
        {key->ffn, c->ffn, TR_FFN_MAX}, {key->positions, c->positions, TR_POSITIONS_MAX},
    };
    for (size_t i = 0; i < sizeof size / sizeof size[0]; i++) {
        enum tr_status status = check_range(where, size[i].key, size[i].value, 1, size[i].max, err);
        if (status != TR_OK)
            return status;
    }
    return check_even(where, key->ffn, c->ffn, "bf16 multiplies pairs", err);
}

static enum tr_status check_heads(const struct tr_model_config *c, const struct key_names *key, const char *where,
                                  struct tr_err *err)
{
    if (c->family == TR_GPT2) {
        if (c->width % c->heads)
            return fail_nearest(where, key->heads, c->heads, key->width, c->width, divides_into_heads, err);
        if (c->head_dim != c->width / c->heads)
            return tr_fail(err, TR_BAD_INPUT,
                           "%s: head_dim %d: in the GPT-2 family it is n_embd %lld / n_head %d = %lld", where,
                           c->head_dim, (long long)c->width, c->heads, (long long)(c->width / c->heads));
        if (c->kv_heads != c->heads)
            return tr_fail(err, TR_BAD_INPUT, "%s: %d key-value heads for n_head %d: the GPT-2 family has as many",
                           where, c->kv_heads, c->heads);
    }
    enum tr_status status = check_range(where, key->kv_heads, c->kv_heads, 1, c->heads, err);
    if (status != TR_OK)
        return status;
    if (c->heads % c->kv_heads)
        return fail_nearest(where, key->kv_heads, c->kv_heads, key->heads, c->heads, divides, err);
    if ((status = check_range(where, "head_dim", c->head_dim, 2, TR_HEAD_DIM_MAX, err)) != TR_OK)
        return status;
    return check_even(where, "head_dim", c->head_dim, "RoPE turns pairs, bf16 multiplies them", err);
}

static enum tr_status check_rope(const struct tr_model_config *c, const char *where, struct tr_err *err)
{
    const struct tr_rope_scaling *s = &c->rope_scaling;
    if (!tr_has_rope(c)) {
        if (s->factor != 0)
            return tr_fail(err, TR_BAD_INPUT, "%s: rope_scaling: the GPT-2 family has learned positions, not RoPE",
                           where);
        return TR_OK;
    }
    enum tr_status status = check_real(where, "rope_theta", c->rope_theta, 1, 1e12, err);
    if (status != TR_OK || s->factor == 0)
        return status;
    if (!(s->factor >= 1 && s->factor <= 1e6))
        return tr_fail(err, TR_BAD_INPUT, "%s: rope_scaling.factor %g: expected 1 to 1e+06", where, s->factor);
    if ((status = check_real(where, "rope_scaling.low_freq_factor", s->low_freq, 0, 1e6, err)) != TR_OK)
        return status;
    if (!(s->high_freq > s->low_freq && s->high_freq <= 1e6))
        return tr_fail(err, TR_BAD_INPUT,
                       "%s: rope_scaling.high_freq_factor %g: expected more than low_freq_factor %g, up to 1e+06",
                       where, s->high_freq, s->low_freq);
    return check_range(where, "rope_scaling.original_max_position_embeddings", s->original_positions, 1,
                       TR_POSITIONS_MAX, err);
}

static const char *const lora_name[2][TR_LORA_TARGETS] = {
    [TR_GPT2] = {"attn.q", "attn.k", "attn.v", "attn.c_proj", "mlp.c_fc", NULL, NULL, "mlp.c_proj"},
    [TR_LLAMA] = {"q_proj", "k_proj", "v_proj", "o_proj", NULL, "gate_proj", "up_proj", "down_proj"},
};

const char *tr_lora_target_name(enum tr_family family, enum tr_lora_target target)
{
    TR_ASSERT((int)target >= 0 && target < TR_LORA_TARGETS);
    return lora_name[family][target];
}

uint32_t tr_lora_targets(enum tr_family family)
{
    uint32_t targets = 0;
    for (int i = 0; i < TR_LORA_TARGETS; i++)
        targets |= lora_name[family][i] ? 1u << i : 0;
    return targets;
}

static enum tr_status check_lora(const struct tr_model_config *c, const char *where, struct tr_err *err)
{
    const struct tr_lora *lora = &c->lora;
    if (lora->rank == 0)
        return TR_OK;
    enum tr_status status = check_range(where, "lora rank", lora->rank, 1, TR_LORA_RANK_MAX, err);
    if (status == TR_OK)
        status = check_real(where, "lora alpha", lora->alpha, 0, 1e6, err);
    if (status == TR_OK && (lora->targets == 0 || lora->targets & ~tr_lora_targets(c->family)))
        return tr_fail(err, TR_BAD_INPUT, "%s: lora targets: none, or some that the %s family does not have", where,
                       c->family == TR_GPT2 ? "GPT-2" : "Llama");
    return status;
}

enum tr_status tr_model_check(const struct tr_model_config *c, const char *where, struct tr_err *err)
{
    if (c->family != TR_GPT2 && c->family != TR_LLAMA)
        return tr_fail(err, TR_BAD_INPUT, "%s: family %d: expected GPT-2 (%d) or Llama (%d)", where, (int)c->family,
                       TR_GPT2, TR_LLAMA);
    TR_ASSERT(memchr(c->name, 0, sizeof c->name));
    const struct key_names *key = &keys_of[c->family];
    enum tr_status status;
    if ((status = check_sizes(c, key, where, err)) != TR_OK || (status = check_heads(c, key, where, err)) != TR_OK ||
        (status = check_rope(c, where, err)) != TR_OK || (status = check_lora(c, where, err)) != TR_OK)
        return status;
    if ((status = check_real(where, key->norm_eps, (double)c->norm_eps, 0, 1, err)) != TR_OK ||
        (status = check_real(where, "initializer_range", (double)c->init_std, 0, 10, err)) != TR_OK)
        return status;
    if (c->family == TR_GPT2 && c->qk_norm)
        return tr_fail(err, TR_BAD_INPUT, "%s: qk_norm: the GPT-2 family has no query and key norms", where);
    return TR_OK;
}
