#include "lab/exchange/gguf_model.h"

#include "lab/model/rope.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum architecture { LLAMA, QWEN2, QWEN3, GPT2, ARCHITECTURE_COUNT };
enum { KEY_BYTES = 96 };

static const char *const architecture_name[] = {"llama", "qwen2", "qwen3", "gpt2"};

/* What llama.cpp computes for one model in fp32 rounds the factors of rope_freqs.weight by about 1e-6. */
static const double rope_bound = 1e-4;

/* Parameters of the rule where a file does not say them: those of Llama 3.1 and 3.2. */
static const struct tr_rope_scaling llama31 = {.low_freq = 1, .high_freq = 4, .original_positions = 8192};

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Getters whose first failure sticks, so that the list of keys below reads as a list. */
struct reader {
    const struct tr_gguf *file;
    const char *architecture;
    enum tr_status status;
    struct tr_err *err;
};

static const char *full_key(const struct reader *r, const char *key, char buf[KEY_BYTES])
{
    snprintf(buf, KEY_BYTES, "%s.%s", r->architecture, key);
    return buf;
}

static int64_t read_int(struct reader *r, const char *key, enum tr_need need, int64_t fallback, int64_t max)
{
    char full[KEY_BYTES];
    int64_t value = fallback;
    if (r->status == TR_OK)
        r->status = tr_gguf_int(r->file, full_key(r, key, full), need, 1, max, &value, r->err);
    return value;
}

static double read_double(struct reader *r, const char *key, enum tr_need need, double fallback)
{
    char full[KEY_BYTES];
    double value = fallback;
    if (r->status == TR_OK)
        r->status = tr_gguf_double(r->file, full_key(r, key, full), need, 0, 1e12, &value, r->err);
    return value;
}

static enum tr_status read_architecture(const struct tr_gguf *file, enum architecture *out, struct tr_err *err)
{
    struct tr_string name = {0};
    enum tr_status status = tr_gguf_string(file, "general.architecture", TR_REQUIRED, &name, err);
    if (status != TR_OK)
        return status;
    for (int i = 0; i < ARCHITECTURE_COUNT; i++)
        if ((int64_t)strlen(architecture_name[i]) == name.bytes &&
            memcmp(architecture_name[i], name.at, (size_t)name.bytes) == 0) {
            *out = (enum architecture)i;
            return TR_OK;
        }
    int shown = name.bytes < 40 ? (int)name.bytes : 40;
    return tr_fail(err, TR_BAD_INPUT, "%s: the architecture \"%.*s\" is not supported; supported are llama, qwen2, qwen3 "
                   "and gpt2", file->source, shown, name.at);
}

/* Keys that change a model's arithmetic, with the one value that does not. */
static enum tr_status refuse_changers(const struct reader *r, int64_t positions, struct tr_err *err)
{
    static const struct {
        const char *key, *what;
        int64_t neutral;
    } changers[] = {
        {"expert_count", "a mixture of experts", 0},
        {"expert_used_count", "a mixture of experts", 0},
        {"attention.causal", "attention that looks ahead", 1},
        {"use_parallel_residual", "attention and feed-forward side by side", 0},
        {"attention.clamp_kqv", "clipped queries, keys and values", -1},
        {"attention.max_alibi_bias", "ALiBi positions", -1},
        {"attention.scale", "another scale of attention scores", -1},
        {"attn_logit_softcapping", "capped attention scores", -1},
        {"final_logit_softcapping", "capped logits", -1},
        {"logit_scale", "scaled logits", -1},
        {"embedding_scale", "scaled embeddings", -1},
        {"residual_scale", "scaled residuals", -1},
        {"rope.scale_linear", "stretched RoPE", -1},
    };
    char full[KEY_BYTES];
    for (size_t i = 0; i < sizeof changers / sizeof *changers; i++) {
        const struct tr_gguf_value *value = tr_gguf_find(r->file, full_key(r, changers[i].key, full));
        int64_t got = -2; /* what is no whole number is not neutral */
        bool truth = false;
        struct tr_err ignored;
        if (!value)
            continue;
        if (value->kind == TR_GGUF_BOOL && tr_gguf_bool(r->file, full, TR_REQUIRED, &truth, &ignored) == TR_OK)
            got = truth;
        else if (tr_gguf_int(r->file, full, TR_REQUIRED, 0, INT64_MAX, &got, &ignored) != TR_OK)
            got = -2;
        if (got != changers[i].neutral)
            return tr_fail(err, TR_BAD_INPUT, "%s: %s: %s is not supported", r->file->source, full, changers[i].what);
    }
    int64_t window = 0;
    enum tr_status status = tr_gguf_int(r->file, full_key(r, "attention.sliding_window", full), TR_OPTIONAL, 0,
                                        INT64_MAX - 1, &window, err);
    if (status == TR_OK && window > 0 && window < positions)
        return tr_fail(err, TR_BAD_INPUT, "%s: %s: a window of %lld positions out of %lld is not supported",
                       r->file->source, full, (long long)window, (long long)positions);
    return status;
}

static void refuse_rope_scaling(struct reader *r)
{
    char full[KEY_BYTES];
    struct tr_string type = {"none", 4};
    if (r->status == TR_OK)
        r->status = tr_gguf_string(r->file, full_key(r, "rope.scaling.type", full), TR_OPTIONAL, &type, r->err);
    if (r->status == TR_OK && (type.bytes != 4 || memcmp(type.at, "none", 4) != 0))
        r->status = tr_fail(r->err, TR_BAD_INPUT, "%s: %s: \"%.*s\" is not supported; supported are none, and Llama 3.1's "
                            "rope_freqs.weight", r->file->source, full, type.bytes < 40 ? (int)type.bytes : 40, type.at);
}

/* llama.cpp has three names for the length of a head, and the width divided by the heads where there is none. */
static void read_head_dim(struct reader *r, struct tr_model_config *c)
{
    char full[KEY_BYTES];
    static const char *const same[] = {"attention.value_length", "rope.dimension_count"};
    if (r->status != TR_OK)
        return;
    int64_t head_dim = read_int(r, "attention.key_length", TR_OPTIONAL, c->width / c->heads, TR_HEAD_DIM_MAX);
    for (int i = 0; i < 2; i++) {
        int64_t other = read_int(r, same[i], TR_OPTIONAL, head_dim, TR_HEAD_DIM_MAX);
        if (r->status == TR_OK && other != head_dim)
            r->status = tr_fail(r->err, TR_BAD_INPUT, "%s: %s: %lld: only as many as a head's %lld are supported",
                                r->file->source, full_key(r, same[i], full), (long long)other, (long long)head_dim);
    }
    c->head_dim = (int32_t)head_dim;
}

static void read_rope_family(struct reader *r, enum architecture architecture, struct tr_model_config *c)
{
    c->family = TR_LLAMA;
    c->kv_heads = (int32_t)read_int(r, "attention.head_count_kv", TR_OPTIONAL, c->heads, TR_HEADS_MAX);
    c->norm_eps = (float)read_double(r, "attention.layer_norm_rms_epsilon", TR_REQUIRED, 0);
    c->rope_theta = read_double(r, "rope.freq_base", TR_OPTIONAL, 10000);
    c->qkv_bias = architecture == QWEN2;
    c->qk_norm = architecture == QWEN3;
    read_head_dim(r, c);
    refuse_rope_scaling(r);
}

static void read_gpt2(struct reader *r, struct tr_model_config *c)
{
    c->family = TR_GPT2;
    c->kv_heads = c->heads;
    c->norm_eps = (float)read_double(r, "attention.layer_norm_epsilon", TR_REQUIRED, 0);
    c->qkv_bias = true;
    read_head_dim(r, c);
}

static const struct tr_gguf_tensor *find_tensor(const struct tr_gguf *file, const char *name)
{
    for (int64_t i = 0; i < file->tensor_count; i++)
        if (strcmp(file->tensor[i].name, name) == 0)
            return &file->tensor[i];
    return NULL;
}

static enum tr_status read_split(const struct tr_gguf *file, struct tr_err *err)
{
    int64_t parts = 1;
    enum tr_status status = tr_gguf_int(file, "split.count", TR_OPTIONAL, 0, INT64_MAX - 1, &parts, err);
    if (status == TR_OK && parts > 1)
        return tr_fail(err, TR_BAD_INPUT, "%s: is one of %lld parts of a model: join them first (llama-gguf-split --merge)",
                       file->source, (long long)parts);
    return status;
}

enum tr_status tr_gguf_model(const struct tr_gguf *file, struct tr_model_config *model, struct tr_err *err)
{
    enum architecture architecture = LLAMA;
    enum tr_status status = read_split(file, err);
    if (status == TR_OK)
        status = read_architecture(file, &architecture, err);
    if (status != TR_OK)
        return status;
    struct reader r = {file, architecture_name[architecture], TR_OK, err};
    struct tr_model_config c = {.init_std = 0.02f};
    const struct tr_gguf_tensor *table = find_tensor(file, "token_embd.weight");
    if (!table || table->rank != 2)
        return tr_fail(err, TR_BAD_INPUT, "%s: has no table token_embd.weight of two dimensions: no model, or only a "
                       "vocabulary", file->source);
    c.vocab = table->dim[0];
    c.tied = !find_tensor(file, "output.weight");
    c.width = read_int(&r, "embedding_length", TR_REQUIRED, 1, TR_WIDTH_MAX);
    c.layers = (int32_t)read_int(&r, "block_count", TR_REQUIRED, 1, TR_LAYERS_MAX);
    c.heads = (int32_t)read_int(&r, "attention.head_count", TR_REQUIRED, 1, TR_HEADS_MAX);
    c.ffn = read_int(&r, "feed_forward_length", TR_REQUIRED, 1, TR_FFN_MAX);
    c.positions = read_int(&r, "context_length", TR_REQUIRED, 1, TR_POSITIONS_MAX);
    if (architecture == GPT2)
        read_gpt2(&r, &c);
    else
        read_rope_family(&r, architecture, &c);
    status = r.status == TR_OK ? refuse_changers(&r, c.positions, err) : r.status;
    if (status == TR_OK)
        status = tr_model_check(&c, file->source, err);
    if (status == TR_OK)
        *model = c;
    return status;
}

/* ---- RoPE -------------------------------------------------------------------------------------------------------- */

void tr_gguf_rope_factors(const struct tr_model_config *model, float *factors)
{
    struct tr_model_config plain = *model;
    plain.rope_scaling.factor = 0;
    for (int32_t d = 0; d < model->head_dim / 2; d++)
        factors[d] = (float)(tr_rope_frequency(&plain, d) / tr_rope_frequency(model, d));
}

enum tr_status tr_gguf_rope(const struct tr_gguf *file, const float *factors, struct tr_model_config *model,
                            struct tr_err *err)
{
    float want[TR_HEAD_DIM_MAX / 2];
    struct tr_model_config c = *model;
    c.rope_scaling = llama31;
    c.rope_scaling.factor = 1;
    for (int32_t d = 0; d < c.head_dim / 2; d++)
        c.rope_scaling.factor = fmax(c.rope_scaling.factor, (double)factors[d]); /* NaN is passed over, and then unequal */
    enum tr_status status = tr_gguf_int(file, "trine.rope.original_context_length", TR_OPTIONAL, 1, TR_POSITIONS_MAX,
                                        &c.rope_scaling.original_positions, err);
    if (status == TR_OK)
        status = tr_gguf_double(file, "trine.rope.factor", TR_OPTIONAL, 1, 1e6, &c.rope_scaling.factor, err);
    if (status == TR_OK)
        status = tr_gguf_double(file, "trine.rope.low_freq_factor", TR_OPTIONAL, 0, 1e6, &c.rope_scaling.low_freq, err);
    if (status == TR_OK)
        status = tr_gguf_double(file, "trine.rope.high_freq_factor", TR_OPTIONAL, 0, 1e6, &c.rope_scaling.high_freq, err);
    if (status == TR_OK)
        status = tr_model_check(&c, file->source, err);
    if (status != TR_OK)
        return status;
    tr_gguf_rope_factors(&c, want);
    for (int32_t d = 0; d < c.head_dim / 2; d++)
        if (!(fabs((double)factors[d] - (double)want[d]) <= rope_bound * (double)want[d]))
            return tr_fail(err, TR_BAD_INPUT, "%s: rope_freqs.weight: factor %d is %g, Llama 3.1's rule (factor %g, low %g, "
                           "high %g, %lld positions) gives %g; no other is supported", file->source, d,
                           (double)factors[d], c.rope_scaling.factor, c.rope_scaling.low_freq, c.rope_scaling.high_freq,
                           (long long)c.rope_scaling.original_positions, (double)want[d]);
    *model = c;
    return TR_OK;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

const char *tr_gguf_architecture(const struct tr_model_config *model)
{
    bool scaled = model->rope_scaling.factor > 0;
    if (model->family == TR_GPT2)
        return architecture_name[GPT2];
    if (!model->qkv_bias && !model->qk_norm)
        return architecture_name[LLAMA];
    /* llama.cpp reads rope_freqs.weight for llama alone. */
    if (scaled || (model->qkv_bias && model->qk_norm))
        return NULL;
    return architecture_name[model->qkv_bias ? QWEN2 : QWEN3];
}

static void put_u32(const struct tr_model_config *model, struct tr_text *out, const char *key, int64_t value)
{
    char full[KEY_BYTES];
    snprintf(full, sizeof full, "%s.%s", tr_gguf_architecture(model), key);
    tr_gguf_put_u32(out, full, (uint32_t)value);
}

static void put_f32(const struct tr_model_config *model, struct tr_text *out, const char *key, double value)
{
    char full[KEY_BYTES];
    snprintf(full, sizeof full, "%s.%s", tr_gguf_architecture(model), key);
    tr_gguf_put_f32(out, full, (float)value);
}

void tr_gguf_put_model(const struct tr_model_config *c, struct tr_text *out)
{
    const char *architecture = tr_gguf_architecture(c);
    tr_gguf_put_string(out, "general.architecture", architecture, strlen(architecture));
    tr_gguf_put_string(out, "general.name", c->name, strlen(c->name));
    put_u32(c, out, "vocab_size", c->vocab);
    put_u32(c, out, "context_length", c->positions);
    put_u32(c, out, "embedding_length", c->width);
    put_u32(c, out, "block_count", c->layers);
    put_u32(c, out, "feed_forward_length", c->ffn);
    put_u32(c, out, "attention.head_count", c->heads);
    if (c->family == TR_GPT2) {
        put_f32(c, out, "attention.layer_norm_epsilon", (double)c->norm_eps);
        return;
    }
    put_f32(c, out, "attention.layer_norm_rms_epsilon", (double)c->norm_eps);
    put_u32(c, out, "attention.head_count_kv", c->kv_heads);
    put_u32(c, out, "attention.key_length", c->head_dim);
    put_u32(c, out, "attention.value_length", c->head_dim);
    put_u32(c, out, "rope.dimension_count", c->head_dim);
    put_f32(c, out, "rope.freq_base", c->rope_theta);
    if (c->rope_scaling.factor > 0) { /* rope_freqs.weight is what llama.cpp reads; these say where it comes from */
        tr_gguf_put_f32(out, "trine.rope.factor", (float)c->rope_scaling.factor);
        tr_gguf_put_f32(out, "trine.rope.low_freq_factor", (float)c->rope_scaling.low_freq);
        tr_gguf_put_f32(out, "trine.rope.high_freq_factor", (float)c->rope_scaling.high_freq);
        tr_gguf_put_u32(out, "trine.rope.original_context_length", (uint32_t)c->rope_scaling.original_positions);
    }
}
