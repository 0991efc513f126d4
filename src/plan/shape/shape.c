#include "plan/shape/shape.h"

#include "base/doc.h"
#include "base/num.h"
#include "base/os.h"
#include "lab/model/config.h"
#include "silicon/catalog/catalog.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (int)(sizeof(array) / sizeof *(array))

enum { EXPERTS_MAX = 1 << 16, RANK_MAX = 1 << 16 };

/* --- relations --- */

static enum tr_status wrong(struct tr_err *err, const char *where, const char *what)
{
    return tr_fail(err, TR_BAD_INPUT, "%s: %s", where, what);
}

static enum tr_status check_sizes(const struct tr_model_shape *s, const char *where, struct tr_err *err)
{
    const struct {
        const char *name;
        int64_t value, min, max;
    } sizes[] = {
        {"layers", s->layers, 1, TR_LAYERS_MAX},        {"width", s->width, 1, TR_WIDTH_MAX},
        {"heads", s->heads, 1, TR_HEADS_MAX},           {"kv_heads", s->kv_heads, 1, TR_HEADS_MAX},
        {"head_dim", s->head_dim, 1, 1 << 14},          {"value_dim", s->value_dim, 1, 1 << 14},
        {"vocab", s->vocab, 1, TR_VOCAB_MAX},           {"positions", s->positions, 1, TR_POSITIONS_MAX << 4},
        {"ffn", s->ffn, 0, TR_FFN_MAX},                 {"experts", s->experts, 0, EXPERTS_MAX},
        {"top_k", s->top_k, 0, EXPERTS_MAX},            {"expert_ffn", s->expert_ffn, 0, TR_FFN_MAX},
        {"expert_groups", s->expert_groups, 0, s->experts}, {"top_groups", s->top_groups, 0, s->expert_groups},
        {"shared_ffn", s->shared_ffn, 0, TR_FFN_MAX},   {"dense_layers", s->dense_layers, 0, s->layers},
        {"moe_every", s->moe_every, 0, TR_LAYERS_MAX},  {"window", s->window, 0, TR_POSITIONS_MAX << 4},
        {"window_every", s->window_every, 0, TR_LAYERS_MAX}, {"q_rank", s->q_rank, 0, RANK_MAX},
        {"kv_rank", s->kv_rank, 0, RANK_MAX},           {"rope_dim", s->rope_dim, 0, s->head_dim},
        {"latent", s->latent, 0, s->width},             {"ssm_heads", s->ssm_heads, 0, 1 << 14},
        {"ssm_head_dim", s->ssm_head_dim, 0, 1 << 10},  {"ssm_groups", s->ssm_groups, 0, 1 << 10},
        {"mtp", s->mtp, 0, TR_SHAPE_MTP_MAX},
        {"ssm_state", s->ssm_state, 0, 1 << 12},        {"ssm_conv", s->ssm_conv, 0, 64},
    };
    for (int i = 0; i < COUNT(sizes); i++)
        if (sizes[i].value < sizes[i].min || sizes[i].value > sizes[i].max)
            return tr_fail(err, TR_BAD_INPUT, "%s: %s is %lld; expected %lld to %lld", where, sizes[i].name,
                           (long long)sizes[i].value, (long long)sizes[i].min, (long long)sizes[i].max);
    return TR_OK;
}

/* Letters are those that there are, one a layer, and what they stand for is described. */
static enum tr_status check_pattern(const struct tr_model_shape *s, const char *where, struct tr_err *err)
{
    bool ssm = strchr(s->pattern, 'M') != NULL;
    size_t letters = strlen(s->pattern), known = strspn(s->pattern, "M*-E");
    if (known < letters)
        return tr_fail(err, TR_BAD_INPUT,
                       "%s: \"%c\" in the pattern; expected M (state space), * (attention), - (feed-forward) or E (experts)",
                       where, (unsigned char)s->pattern[known] < 0x80 ? s->pattern[known] : '?');
    if (letters > 0 && letters != (size_t)s->layers)
        return tr_fail(err, TR_BAD_INPUT, "%s: a pattern of %zu layers, and layers is %d", where, letters, s->layers);
    if (letters > 0 && (s->dense_layers || s->moe_every > 1 || s->window))
        return wrong(err, where, "a pattern with dense_layers, moe_every or window: the pattern alone says what layers are");
    if ((letters > 0 && s->experts > 0) != (strchr(s->pattern, 'E') != NULL))
        return wrong(err, where, "experts and the letter E in the pattern go together");
    if (ssm != (s->ssm_heads && s->ssm_head_dim && s->ssm_groups && s->ssm_state && s->ssm_conv))
        return wrong(err, where, "the letter M and ssm_heads, ssm_head_dim, ssm_groups, ssm_state, ssm_conv go together");
    if (ssm && s->ssm_heads % s->ssm_groups)
        return tr_fail(err, TR_BAD_INPUT, "%s: ssm_heads %lld is no multiple of ssm_groups %lld", where,
                       (long long)s->ssm_heads, (long long)s->ssm_groups);
    return TR_OK;
}

/* Groups are equal, and those of a token hold as many experts as it has. */
static enum tr_status check_groups(const struct tr_model_shape *s, const char *where, struct tr_err *err)
{
    if (!s->expert_groups && !s->top_groups)
        return TR_OK;
    if (!s->top_groups)
        return wrong(err, where, "expert_groups and top_groups go together");
    if (s->experts % s->expert_groups)
        return tr_fail(err, TR_BAD_INPUT, "%s: expert_groups %lld does not divide the %lld experts", where,
                       (long long)s->expert_groups, (long long)s->experts);
    int64_t within = s->top_groups * (s->experts / s->expert_groups);
    if (within < s->top_k)
        return tr_fail(err, TR_BAD_INPUT, "%s: top_groups %lld hold %lld experts, fewer than top_k %lld", where,
                       (long long)s->top_groups, (long long)within, (long long)s->top_k);
    return TR_OK;
}

enum tr_status tr_shape_check(const struct tr_model_shape *s, const char *where, struct tr_err *err)
{
    enum tr_status status = check_sizes(s, where, err);
    if (status == TR_OK)
        status = check_pattern(s, where, err);
    if (status == TR_OK)
        status = check_groups(s, where, err);
    if (status != TR_OK)
        return status;
    if (s->heads % s->kv_heads != 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: heads %lld is no multiple of kv_heads %lld", where, (long long)s->heads,
                       (long long)s->kv_heads);
    if (s->experts > 0) {
        if (s->top_k < 1 || s->top_k > s->experts)
            return tr_fail(err, TR_BAD_INPUT, "%s: top_k is %lld; expected 1 to %lld, the number of experts", where,
                           (long long)s->top_k, (long long)s->experts);
        if (s->expert_ffn < 1)
            return wrong(err, where, "expert_ffn is missing: the width inside one expert");
        if (s->moe_every < 1)
            return wrong(err, where, "moe_every is 0; expected 1 (every layer has experts) or more");
    } else if (s->top_k || s->expert_ffn || s->shared_ffn || s->dense_layers || s->moe_every ||
               s->latent) {
        return wrong(err, where, "a model without experts has no top_k, expert_ffn, shared_ffn, dense_layers, moe_every, latent");
    }
    if (s->ffn < 1 && tr_shape_dense_layers(s) > 0)
        return wrong(err, where, "ffn is missing: the width inside the feed-forward of layers without experts");
    if (s->kv_rank == 0 && (s->q_rank || s->rope_dim))
        return wrong(err, where, "q_rank and rope_dim belong to latent attention, which has a kv_rank");
    if (s->kv_rank > 0 && s->kv_heads != s->heads)
        return wrong(err, where, "latent attention has as many kv_heads as heads");
    if (s->window == 0 && s->window_every)
        return wrong(err, where, "window_every without a window");
    if (s->rope && s->learned)
        return wrong(err, where, "positions are rotary or learned, not both");
    return TR_OK;
}

/* --- from the catalog --- */

struct reading {
    struct tr_model_shape shape;
    const char *name, *pattern;
    int family;
    int64_t layers, dense_layers, moe_every, window_every, mtp;
    bool gated, tied, rope, learned, biased;
};

#define AT(field) .offset = offsetof(struct reading, field)
#define SIZE(key, field, max_, text) {key, TR_FIELD_WHOLE, AT(field), .min = 1, .max = max_, .help = text}
#define FEATURE(key, field, text) {key, TR_FIELD_FLAG, AT(field), .help = text}

static const char *const family_names[] = {"llama", "gpt", NULL};

static const struct tr_field fields[] = {
    {"name", TR_FIELD_TEXT, AT(name), .required = true, .help = "as people write it"},
    {"family", TR_FIELD_ENUM, AT(family), .choices = family_names,
     .help = "defaults of the features: llama (rotary, gated) or gpt (learned positions, biases, tied)"},
    {"layers", TR_FIELD_WHOLE, AT(layers), .min = 1, .max = TR_LAYERS_MAX, .required = true, .help = "blocks"},
    {"width", TR_FIELD_WHOLE, AT(shape.width), .min = 1, .max = TR_WIDTH_MAX, .required = true,
     .help = "of the residual stream"},
    {"heads", TR_FIELD_WHOLE, AT(shape.heads), .min = 1, .max = TR_HEADS_MAX, .required = true, .help = "of queries"},
    SIZE("kv_heads", shape.kv_heads, TR_HEADS_MAX, "of keys and values; absent: as heads"),
    SIZE("head_dim", shape.head_dim, 1 << 14, "of queries and keys; absent: width / heads"),
    SIZE("value_dim", shape.value_dim, 1 << 14, "of values; absent: as head_dim"),
    SIZE("ffn", shape.ffn, TR_FFN_MAX, "inside the feed-forward of dense layers; absent in family gpt: 4 x width"),
    {"vocab", TR_FIELD_WHOLE, AT(shape.vocab), .min = 1, .max = TR_VOCAB_MAX, .required = true, .help = "tokens"},
    {"positions", TR_FIELD_WHOLE, AT(shape.positions), .min = 1, .max = (double)TR_POSITIONS_MAX * 16,
     .required = true, .help = "longest sequence"},
    SIZE("q_rank", shape.q_rank, RANK_MAX, "latent attention: of queries"),
    SIZE("kv_rank", shape.kv_rank, RANK_MAX, "latent attention: of keys and values"),
    SIZE("rope_dim", shape.rope_dim, 1 << 14, "latent attention: part of head_dim with positions"),
    SIZE("experts", shape.experts, EXPERTS_MAX, "routed ones of a layer"),
    SIZE("top_k", shape.top_k, EXPERTS_MAX, "experts of a token"),
    SIZE("expert_groups", shape.expert_groups, EXPERTS_MAX, "groups that experts stand in"),
    SIZE("top_groups", shape.top_groups, EXPERTS_MAX, "of which a token's experts are in so many at most"),
    SIZE("expert_ffn", shape.expert_ffn, TR_FFN_MAX, "inside one expert"),
    SIZE("shared_ffn", shape.shared_ffn, TR_FFN_MAX, "inside the shared experts, together"),
    SIZE("dense_layers", dense_layers, TR_LAYERS_MAX, "first layers without experts"),
    SIZE("moe_every", moe_every, TR_LAYERS_MAX, "each n-th layer has experts; absent: all"),
    SIZE("latent", shape.latent, TR_WIDTH_MAX, "experts work on tokens projected to this width"),
    {"pattern", TR_FIELD_TEXT, AT(pattern),
     .help = "hybrids: a letter a layer, M state space, * attention, - feed-forward, E experts"},
    SIZE("ssm_heads", shape.ssm_heads, 1 << 14, "of state-space layers"),
    SIZE("ssm_head_dim", shape.ssm_head_dim, 1 << 10, "elements of such a head"),
    SIZE("ssm_groups", shape.ssm_groups, 1 << 10, "of heads that share B and C"),
    SIZE("ssm_state", shape.ssm_state, 1 << 12, "states of an element"),
    SIZE("ssm_conv", shape.ssm_conv, 64, "tokens under the convolution"),
    SIZE("mtp", mtp, TR_SHAPE_MTP_MAX, "modules that predict further tokens in training"),
    SIZE("window", shape.window, (double)TR_POSITIONS_MAX * 16, "keys that a query sees"),
    SIZE("window_every", window_every, TR_LAYERS_MAX, "the last of each n layers sees all keys"),
    FEATURE("gated", gated, "three matrices in a feed-forward"),
    FEATURE("tied", tied, "the head is the embedding"),
    FEATURE("rope", rope, "rotary positions"),
    FEATURE("learned", learned, "a table of positions"),
    FEATURE("biased", biased, "LayerNorms and matrices with biases"),
    FEATURE("qkv_bias", shape.qkv_bias, "biases of queries, keys, values"),
    FEATURE("expert_bias", shape.expert_bias, "biases of experts"),
    FEATURE("qk_norm", shape.qk_norm, "norms of queries and keys"),
    FEATURE("embed_norm", shape.embed_norm, "a norm after the embedding"),
};

const struct tr_field *tr_shape_fields(int *count)
{
    *count = COUNT(fields);
    return fields;
}

/* What a shape does not say itself. */
static void fill_defaults(struct tr_model_shape *s)
{
    if (!s->kv_heads)
        s->kv_heads = s->heads;
    if (!s->head_dim && s->heads)
        s->head_dim = s->width / s->heads;
    if (!s->value_dim)
        s->value_dim = s->head_dim;
    if (s->experts && !s->moe_every)
        s->moe_every = 1;
}

static bool is_gpt(const struct tr_entry *entry)
{
    const struct tr_node *node = tr_entry_node(entry, "family", NULL);
    return node && node->kind == TR_NODE_STRING && strcmp(node->string, "gpt") == 0;
}

enum tr_status tr_shape_read(const struct tr_entry *entry, struct tr_model_shape *out, struct tr_err *err)
{
    bool gpt = is_gpt(entry);
    struct reading r = {.name = "", .pattern = "", .gated = !gpt, .rope = !gpt, .learned = gpt, .biased = gpt, .tied = gpt};
    enum tr_status status = tr_entry_read(entry, "", fields, COUNT(fields), &r, err);
    if (status != TR_OK)
        return status;
    struct tr_model_shape *s = &r.shape;
    snprintf(s->name, sizeof s->name, "%s", entry->id);
    if (strlen(r.pattern) >= sizeof s->pattern)
        return tr_entry_fail(entry, err, "a pattern of %zu layers; expected %d at most", strlen(r.pattern),
                             TR_SHAPE_PATTERN_BYTES - 1);
    memcpy(s->pattern, r.pattern, strlen(r.pattern) + 1);
    s->layers = (int32_t)r.layers;
    s->dense_layers = (int32_t)r.dense_layers;
    s->moe_every = (int32_t)r.moe_every;
    s->window_every = (int32_t)r.window_every;
    s->mtp = (int32_t)r.mtp;
    s->gated = r.gated;
    s->tied = r.tied;
    s->rope = r.rope;
    s->learned = r.learned;
    s->biased = r.biased;
    if (gpt && !s->ffn)
        s->ffn = 4 * s->width;
    fill_defaults(s);
    struct tr_err why;
    status = tr_shape_check(s, "this model", &why);
    if (status != TR_OK)
        return tr_entry_fail(entry, err, "%s", why.text);
    *out = *s;
    return TR_OK;
}

enum tr_status tr_shape_check_all(const struct tr_catalog *catalog, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int i = 0; status == TR_OK && i < tr_catalog_count(catalog, TR_SECTION_MODELS); i++) {
        struct tr_model_shape shape;
        status = tr_shape_read(tr_catalog_entry(catalog, TR_SECTION_MODELS, i), &shape, err);
    }
    return status;
}

/* --- from the trainer --- */

void tr_shape_from_config(const struct tr_model_config *c, struct tr_model_shape *out)
{
    bool gpt = c->family == TR_GPT2;
    *out = (struct tr_model_shape){
        .layers = c->layers, .width = c->width, .heads = c->heads, .kv_heads = c->kv_heads, .head_dim = c->head_dim,
        .value_dim = c->head_dim, .ffn = c->ffn, .vocab = c->vocab, .positions = c->positions, .gated = !gpt,
        .tied = c->tied, .rope = !gpt, .learned = gpt, .biased = gpt, .qkv_bias = !gpt && c->qkv_bias,
        .qk_norm = c->qk_norm};
    snprintf(out->name, sizeof out->name, "%s", c->name);
}

static const struct tr_model_config *find_preset(const char *name)
{
    for (int i = 0; tr_model_preset(i); i++)
        if (tr_names_equal(tr_model_preset(i)->name, name))
            return tr_model_preset(i);
    return NULL;
}

/* --- by name --- */

static bool is_path(const char *name)
{
    size_t len = strlen(name);
    return strchr(name, '/') || (len > 5 && strcmp(name + len - 5, ".json") == 0);
}

static enum tr_status read_path(const char *path, struct tr_model_shape *out, struct tr_err *err)
{
    struct tr_doc *doc = NULL;
    char name[TR_MODEL_NAME_MAX];
    struct tr_model_shape shape;
    enum tr_status status = tr_model_config_open(path, name, &doc, err);
    if (status == TR_OK)
        status = tr_shape_from_hf(doc, &shape, err);
    tr_doc_free(doc);
    if (status != TR_OK)
        return status;
    snprintf(shape.name, sizeof shape.name, "%s", name);
    *out = shape;
    return TR_OK;
}

enum { NAMES_MAX = 4096 };

/* Names of the catalog and of the trainer's presets, as many as fit. */
static int list_names(const struct tr_catalog *catalog, const char *names[NAMES_MAX])
{
    int count = 0;
    for (int i = 0; tr_model_preset(i) && count < NAMES_MAX; i++)
        names[count++] = tr_model_preset(i)->name;
    for (int i = 0; i < tr_catalog_count(catalog, TR_SECTION_MODELS); i++) {
        const struct tr_entry *entry = tr_catalog_entry(catalog, TR_SECTION_MODELS, i);
        for (int j = -1; j < entry->alias_count && count < NAMES_MAX; j++)
            names[count++] = j < 0 ? entry->id : entry->alias[j];
    }
    return count;
}

static enum tr_status unknown_model(const struct tr_catalog *catalog, const char *name, struct tr_err *err)
{
    const char *names[NAMES_MAX];
    int nearest = tr_nearest(name, names, list_names(catalog, names));
    if (nearest < 0)
        return tr_fail(err, TR_BAD_INPUT,
                       "unknown model \"%.60s\": neither in the catalog nor a preset, and no path of a config.json", name);
    return tr_fail(err, TR_BAD_INPUT, "unknown model \"%.60s\"; did you mean %s?", name, names[nearest]);
}

/* Models are often named with who made them: "meta-llama/Meta-Llama-3-8B". */
static enum tr_status no_file(const struct tr_catalog *catalog, const char *path, struct tr_err *err)
{
    const char *slash = strrchr(path, '/');
    const struct tr_entry *entry = slash ? tr_catalog_look(catalog, TR_SECTION_MODELS, slash + 1) : NULL;
    return tr_fail(err, TR_BAD_INPUT, "%.200s: no such file%s%s", path, entry ? "; the catalog calls that model " : "", entry ? entry->id : "");
}

enum tr_status tr_shape_find(const struct tr_catalog *catalog, const char *name, struct tr_model_shape *out,
                             struct tr_err *err)
{
    if (is_path(name) && tr_file_exists(name))
        return read_path(name, out, err);
    if (is_path(name))
        return no_file(catalog, name, err);
    const struct tr_entry *entry = tr_catalog_look(catalog, TR_SECTION_MODELS, name);
    if (entry)
        return tr_shape_read(entry, out, err);
    const struct tr_model_config *preset = find_preset(name);
    if (!preset)
        return unknown_model(catalog, name, err);
    tr_shape_from_config(preset, out);
    return TR_OK;
}

/* --- what follows from it --- */

static int32_t count_letter(const struct tr_model_shape *s, char letter)
{
    int32_t count = 0;
    for (const char *p = s->pattern; *p; p++)
        count += *p == letter;
    return count;
}

int32_t tr_shape_moe_layers(const struct tr_model_shape *s)
{
    if (s->pattern[0])
        return count_letter(s, 'E');
    int32_t after = s->layers - s->dense_layers;
    return s->experts && s->moe_every ? (after + s->moe_every - 1) / s->moe_every : 0;
}

int32_t tr_shape_dense_layers(const struct tr_model_shape *s)
{
    return s->pattern[0] ? count_letter(s, '-') : s->layers - tr_shape_moe_layers(s);
}

int32_t tr_shape_attention_layers(const struct tr_model_shape *s)
{
    return s->pattern[0] ? count_letter(s, '*') : s->layers;
}

int32_t tr_shape_ssm_layers(const struct tr_model_shape *s) { return count_letter(s, 'M'); }

int32_t tr_shape_window_layers(const struct tr_model_shape *s)
{
    if (!s->window)
        return 0;
    return s->window_every ? s->layers - s->layers / s->window_every : s->layers;
}

struct tr_shape_layer tr_shape_layer(const struct tr_model_shape *s, int32_t layer)
{
    if (s->pattern[0]) {
        char letter = s->pattern[layer];
        return (struct tr_shape_layer){letter == '*', letter == 'M', letter == '-', letter == 'E', 0};
    }
    bool experts = s->experts && layer >= s->dense_layers && (layer - s->dense_layers) % s->moe_every == 0;
    bool sees_all = s->window_every && (layer + 1) % s->window_every == 0;
    return (struct tr_shape_layer){true, false, !experts, experts, sees_all ? 0 : s->window};
}

/* Matrices of one layer's attention. */
static double attention_params(const struct tr_model_shape *s)
{
    double c = (double)s->width, h = (double)s->heads, g = (double)s->kv_heads;
    double qk = (double)s->head_dim, v = (double)s->value_dim;
    if (!s->kv_rank)
        return c * h * qk + c * g * (qk + v) + h * v * c;
    double q = s->q_rank ? (double)s->q_rank * (c + h * qk) : c * h * qk;
    double down = c * (double)(s->kv_rank + s->rope_dim);
    double up = (double)s->kv_rank * h * (qk - (double)s->rope_dim + v);
    return q + down + up + h * v * c;
}

/* Biases and gains inside one layer's attention. */
static double small_attention_params(const struct tr_model_shape *s)
{
    double h = (double)s->heads, g = (double)s->kv_heads, qk = (double)s->head_dim, v = (double)s->value_dim;
    double sum = s->kv_rank ? (double)(s->q_rank + s->kv_rank) : 0;
    if (s->qk_norm)
        sum += 2 * qk;
    if (s->biased || s->qkv_bias)
        sum += h * qk + g * (qk + v);
    return sum + (s->biased ? (double)s->width : 0);
}

/* A state-space layer: x and its gate, B, C and a step a head are projected together; then back. */
static double ssm_inner(const struct tr_model_shape *s) { return (double)s->ssm_heads * (double)s->ssm_head_dim; }
static double ssm_shared(const struct tr_model_shape *s) { return 2 * (double)s->ssm_groups * (double)s->ssm_state; }

static double ssm_params(const struct tr_model_shape *s)
{
    double d = ssm_inner(s);
    return (double)s->width * (2 * d + ssm_shared(s) + (double)s->ssm_heads) + d * (double)s->width;
}

/* The convolution and its bias; three numbers a head (A, D, the bias of the step); gains. */
static double small_ssm_params(const struct tr_model_shape *s)
{
    double d = ssm_inner(s);
    return (d + ssm_shared(s)) * (double)(s->ssm_conv + 1) + 3 * (double)s->ssm_heads + d;
}

int64_t tr_shape_usual_length(const struct tr_model_shape *s)
{
    const int64_t most = 8192;
    return s->positions > 0 ? tr_min_i64(s->positions, most) : most;
}

struct tr_shape_params tr_shape_params(const struct tr_model_shape *s)
{
    double c = (double)s->width, attention = tr_shape_attention_layers(s), ssm = tr_shape_ssm_layers(s);
    double dense = tr_shape_dense_layers(s), moe = tr_shape_moe_layers(s);
    double up = s->gated ? 3 : 2, embedding = (double)s->vocab * c;
    double expert = up * (s->latent ? (double)s->latent : c) * (double)s->expert_ffn;
    double expert_bias = s->expert_bias ? (double)s->expert_ffn * (up - 1) + c : 0;
    double ffn_bias = s->biased ? (double)s->ffn * (up - 1) + c : 0;
    double norms = 1 + s->layers * (s->pattern[0] ? 1 : 2);
    double all_use = attention * attention_params(s) + ssm * ssm_params(s) + dense * up * c * (double)s->ffn +
                     moe * (up * c * (double)s->shared_ffn + c * (double)(s->experts + 2 * s->latent));
    double small = attention * small_attention_params(s) + ssm * small_ssm_params(s) + dense * ffn_bias +
                   moe * (double)s->top_k * expert_bias +
                   norms * c * (s->biased ? 2 : 1) + (s->embed_norm ? 2 * c : 0) +
                   (s->learned ? (double)s->positions * c : 0);
    struct tr_shape_params p = {.expert = moe * (double)s->experts * (expert + expert_bias)};
    p.matmul = all_use + moe * (double)s->top_k * expert + embedding;
    p.active = p.matmul + small + (s->tied ? 0 : embedding);
    p.total = p.active - moe * (double)s->top_k * (expert + expert_bias) + p.expert;
    return p;
}

/* Query-key pairs of one sequence, by query: 1, 2, ... window, window, ... on average. */
static double mean_keys(int64_t seq_len, int64_t window)
{
    double t = (double)seq_len, w = (double)window;
    if (window == 0 || window >= seq_len)
        return (t + 1) / 2;
    return (w * (w + 1) / 2 + (t - w) * w) / t;
}

double tr_shape_flop_per_token(const struct tr_model_shape *s, int64_t seq_len)
{
    double windowed = tr_shape_window_layers(s), all = tr_shape_attention_layers(s) - windowed;
    double keys = windowed * mean_keys(seq_len, s->window) + all * mean_keys(seq_len, 0);
    double pair = 2 * (double)s->heads * (double)(s->head_dim + s->value_dim);
    double scan = 7 * tr_shape_ssm_layers(s) * ssm_inner(s) * (double)s->ssm_state;
    return 6 * tr_shape_params(s).matmul + 3 * (pair * keys + scan);
}

/* A module is a model of one layer, whose embedding and head are shared, after two norms and a product of two widths to one. */
static struct tr_model_shape mtp_module(const struct tr_model_shape *s)
{
    struct tr_model_shape one = *s;
    one.window = one.window_every = one.dense_layers = 0;
    one.layers = 1;
    one.moe_every = s->experts ? 1 : 0;
    if (s->pattern[0]) {
        one.layers = 2;
        snprintf(one.pattern, sizeof one.pattern, "*%c", s->experts ? 'E' : '-');
    }
    return one;
}

static double mtp_join(const struct tr_model_shape *s) { return 2 * (double)s->width * (double)s->width; }

double tr_shape_mtp_flop_per_token(const struct tr_model_shape *s, int64_t seq_len)
{
    struct tr_model_shape one = mtp_module(s);
    return s->mtp ? s->mtp * (tr_shape_flop_per_token(&one, seq_len) + 6 * mtp_join(s)) : 0;
}

double tr_shape_mtp_params(const struct tr_model_shape *s)
{
    struct tr_model_shape one = mtp_module(s);
    double width = (double)s->width, shared = (double)s->vocab * width * (s->tied ? 1 : 2);
    one.learned = one.embed_norm = false;
    return s->mtp ? s->mtp * (tr_shape_params(&one).total - shared + mtp_join(s) + 2 * width * (s->biased ? 2 : 1)) : 0;
}

double tr_shape_kv_elements(const struct tr_model_shape *s)
{
    double one = s->kv_rank ? (double)(s->kv_rank + s->rope_dim)
                            : (double)s->kv_heads * (double)(s->head_dim + s->value_dim);
    return one * tr_shape_attention_layers(s);
}
