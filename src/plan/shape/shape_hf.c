/* A Hugging Face config.json as a planner's shape.
 *
 * Each model_type names its keys as its authors liked, so a field is looked for under all names that are in use. What a
 * file does not say is what its type means: a table of types holds that, and a type with a habit of its own has a
 * function. A type that is not in the table is read as a Llama with the features that its keys name; layers of another
 * kind (state spaces, linear attention, encoders) are refused by the key that names them, or by type. */
#include "plan/shape/shape.h"

#include "base/doc.h"
#include "base/num.h"
#include "lab/model/config.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (int)(sizeof(array) / sizeof *(array))

enum { NAMES_MAX = 8, KEY_BYTES = 64, SEQUENCE_MAX = TR_POSITIONS_MAX * 16 };

/* As the file has it; 0: it does not say. */
struct raw {
    int64_t layers, width, heads, kv_heads, head_dim, ffn, ffn_ratio, vocab, positions;
    int64_t experts, top_k, groups, top_groups, expert_ffn, shared_ffn, shared_count, dense_layers, moe_every, moe_step;
    int64_t q_rank, kv_rank, nope_dim, rope_dim, value_dim;
    int64_t window, window_every;
    int64_t latent, mtp, ssm_heads, ssm_head_dim, ssm_groups, ssm_state, ssm_conv;
};

/* Getters whose first failure sticks, so that a list of keys reads as a list. */
struct reader {
    const struct tr_node *root; /* the file; `tie_word_embeddings` may stand there and not in the text_config */
    const struct tr_node *object;
    enum tr_status status;
    struct tr_err *err;
};

/* ---- what a model_type means ------------------------------------------------------------------------------------ */

enum position_kind { ROTARY, LEARNED, NO_TABLE }; /* the last: ALiBi, or none */

struct kin {
    const char *type;
    enum position_kind positions;
    bool plain; /* two matrices in a feed-forward */
    bool biased, tied, qkv_bias, expert_bias, qk_norm, embed_norm;
    int32_t window_every; /* with a window; 0: all layers have it */
    struct raw otherwise; /* where the file does not say */
    void (*habits)(struct reader *r, struct raw *raw, struct tr_model_shape *s);
};

static void read_falcon(struct reader *r, struct raw *raw, struct tr_model_shape *s);
static void read_mpt(struct reader *r, struct raw *raw, struct tr_model_shape *s);
static void read_multi_query(struct reader *r, struct raw *raw, struct tr_model_shape *s);
static void read_llama4(struct reader *r, struct raw *raw, struct tr_model_shape *s);
static void read_qwen1(struct reader *r, struct raw *raw, struct tr_model_shape *s);
static void read_chatglm(struct reader *r, struct raw *raw, struct tr_model_shape *s);

static const struct kin kins[] = {
    {.type = "llama"}, /* the first is that of unknown types */
    {"gpt2", .positions = LEARNED, .plain = true, .biased = true, .tied = true},
    {"openai-gpt", .positions = LEARNED, .plain = true, .biased = true, .tied = true},
    {"gpt_bigcode", .positions = LEARNED, .plain = true, .biased = true, .tied = true, .habits = read_multi_query},
    {"gpt_neo", .positions = LEARNED, .plain = true, .biased = true, .tied = true, .window_every = 2},
    {"gptj", .plain = true, .biased = true},
    {"codegen", .plain = true, .biased = true},
    {"gpt_neox", .plain = true, .biased = true},
    {"opt", .positions = LEARNED, .plain = true, .biased = true, .tied = true},
    {"bloom", .positions = NO_TABLE, .plain = true, .biased = true, .tied = true, .embed_norm = true,
     .otherwise = {.positions = 2048}},
    {"mpt", .positions = LEARNED, .plain = true, .biased = true, .tied = true, .habits = read_mpt},
    {"falcon", .plain = true, .tied = true, .otherwise = {.positions = 2048}, .habits = read_falcon},
    {"RefinedWeb", .plain = true, .tied = true, .otherwise = {.positions = 2048}, .habits = read_falcon},
    {"RefinedWebModel", .plain = true, .tied = true, .otherwise = {.positions = 2048}, .habits = read_falcon},
    {"phi", .plain = true, .biased = true},
    {"persimmon", .plain = true, .biased = true, .qk_norm = true},
    {"starcoder2", .plain = true, .biased = true, .tied = true},
    {"nemotron", .plain = true},
    {"nemotron_h", .positions = NO_TABLE, .plain = true},
    {"mistral", .otherwise = {.window = 4096}},
    {"qwen", .qkv_bias = true, .habits = read_qwen1},
    {"qwen2", .qkv_bias = true},
    {"qwen2_moe", .qkv_bias = true},
    {"qwen2_vl", .qkv_bias = true},
    {"qwen2_5_vl", .qkv_bias = true},
    {"qwen3", .qk_norm = true, .otherwise = {.head_dim = 128}},
    {"qwen3_moe", .qk_norm = true, .otherwise = {.head_dim = 128}},
    {"qwen3_vl_text", .qk_norm = true, .otherwise = {.head_dim = 128}},
    {"qwen3_vl_moe_text", .qk_norm = true, .otherwise = {.head_dim = 128}},
    {"gemma", .tied = true, .otherwise = {.head_dim = 256}},
    {"gemma2", .tied = true, .window_every = 2, .otherwise = {.head_dim = 256}},
    {"gemma3_text", .tied = true, .qk_norm = true, .window_every = 6,
     .otherwise = {.heads = 8, .kv_heads = 4, .head_dim = 256, .vocab = 262208, .positions = 131072}},
    {"gpt_oss", .qkv_bias = true, .expert_bias = true, .window_every = 2, .otherwise = {.head_dim = 64}},
    {"llama4_text", .window_every = 4, .habits = read_llama4},
    {"cohere", .tied = true},
    {"cohere2", .tied = true, .window_every = 4},
    {"exaone4", .qk_norm = true, .window_every = 4},
    {"olmo2", .qk_norm = true},
    {"olmo3", .qk_norm = true, .window_every = 4},
    {"olmoe", .qk_norm = true},
    {"chatglm", .habits = read_chatglm},
    {"smollm3", .tied = true},
    {"ernie4_5", .tied = true},
    {"ernie4_5_moe", .tied = true},
    {"grok-1", .tied = true},
};

/* Types with another structure than a decoder of attention and feed-forward. */
static const struct {
    const char *what;
    const char *types[24]; /* NULL at the end */
} others[] = {
    {"an encoder",
     {"bert", "roberta", "distilbert", "xlm-roberta", "albert", "electra", "deberta", "deberta-v2", "modernbert", "t5",
      "mt5", "umt5", "bart", "mbart", "pegasus", "whisper", "clip", "siglip", "vit"}},
    {"state-space layers",
     {"mamba", "mamba2", "falcon_mamba", "jamba", "bamba", "zamba", "zamba2", "falcon_h1",
      "granitemoehybrid"}},
    {"recurrent layers", {"rwkv", "recurrent_gemma"}},
    {"convolutions", {"lfm2"}},
    {"linear attention", {"qwen3_next", "kimi_linear"}},
    {"an embedding a layer", {"gemma3n"}},
    {"a dense feed-forward beside the experts", {"arctic"}},
};

/* Keys that name such a structure in types that nobody has heard of; false, 0, null and empty are none. */
static const struct {
    const char *key, *what;
} other_keys[] = {
    {"is_encoder_decoder", "an encoder"},
    {"add_cross_attention", "cross attention"},
    {"ssm_cfg", "state-space layers"},
    {"mamba_d_state", "state-space layers"},
    {"linear_num_value_heads", "linear attention"},
    {"linear_attn_config", "linear attention"},
};

static bool says_nothing(const struct tr_node *node)
{
    switch (node->kind) {
    case TR_NODE_NULL:
        return true;
    case TR_NODE_BOOL:
        return !node->boolean;
    case TR_NODE_INT:
        return node->integer == 0;
    case TR_NODE_DOUBLE:
        return node->real == 0;
    default:
        return node->count == 0;
    }
}

static enum tr_status refuse_others(const struct tr_node *object, const char *type, struct tr_err *err)
{
    for (int i = 0; i < COUNT(others); i++)
        for (int j = 0; others[i].types[j]; j++)
            if (strcmp(others[i].types[j], type) == 0)
                return tr_node_fail(tr_doc_find(object, "model_type"), err,
                                    "\"%s\" has %s; decoders of attention and feed-forward layers are priced", type,
                                    others[i].what);
    for (int i = 0; i < COUNT(other_keys); i++) {
        const struct tr_node *node = tr_doc_find(object, other_keys[i].key);
        if (node && !says_nothing(node))
            return tr_node_fail(node, err, "%s; decoders of attention and feed-forward layers are priced",
                                other_keys[i].what);
    }
    return TR_OK;
}

static const struct kin *find_kin(const char *type)
{
    for (int i = 0; i < COUNT(kins); i++)
        if (strcmp(kins[i].type, type) == 0)
            return &kins[i];
    return &kins[0];
}

/* ---- keys ------------------------------------------------------------------------------------------------------- */

/* "attn_config.kv_n_heads": the object that has the last name, in *object. */
static const char *descend(const char *path, const struct tr_node **object)
{
    const char *dot = strchr(path, '.');
    if (!dot)
        return path;
    char group[KEY_BYTES];
    snprintf(group, sizeof group, "%.*s", (int)(dot - path), path);
    *object = tr_doc_find(*object, group);
    return dot + 1;
}

static const struct tr_node *look(const struct tr_node *object, const char *path)
{
    const char *key = descend(path, &object);
    const struct tr_node *node = object ? tr_doc_find(object, key) : NULL;
    return node && node->kind != TR_NODE_NULL ? node : NULL;
}

static void read_int(struct reader *r, const char *path, int64_t min, int64_t max, int64_t *out)
{
    const struct tr_node *object = r->object;
    const char *key = descend(path, &object);
    if (r->status == TR_OK && object)
        r->status = tr_doc_int(object, key, TR_OPTIONAL, min, max, out, r->err);
}

static bool read_bool(struct reader *r, const char *path, bool fallback)
{
    const struct tr_node *object = r->object;
    const char *key = descend(path, &object);
    bool value = fallback;
    if (r->status == TR_OK && object)
        r->status = tr_doc_bool(object, key, TR_OPTIONAL, &value, r->err);
    return value;
}

struct key {
    size_t offset;
    int64_t max;
    bool required;
    const char *names[NAMES_MAX]; /* the first that is there counts; NULL at the end, unless all are taken */
};

#define AT(field) offsetof(struct raw, field)

static const struct key keys[] = {
    {AT(layers), TR_LAYERS_MAX, true, {"num_hidden_layers", "n_layer", "num_layers", "n_layers"}},
    {AT(width), TR_WIDTH_MAX, true, {"hidden_size", "n_embd", "d_model"}},
    {AT(heads), TR_HEADS_MAX, true, {"num_attention_heads", "n_head", "n_heads", "num_heads"}},
    {AT(kv_heads), TR_HEADS_MAX, false, {"num_key_value_heads", "num_kv_heads", "n_head_kv", "attn_config.kv_n_heads"}},
    {AT(head_dim), 1 << 14, false, {"head_dim", "kv_channels"}},
    {AT(ffn), TR_FFN_MAX * 2, false,
     {"intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "ffn_config.ffn_hidden_size"}},
    {AT(ffn_ratio), 64, false, {"expansion_ratio"}},
    {AT(vocab), TR_VOCAB_MAX, true, {"vocab_size", "padded_vocab_size"}},
    {AT(positions), SEQUENCE_MAX, true,
     {"max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length", "n_ctx",
      "max_sequence_length"}},
    {AT(experts), 1 << 16, false,
     {"num_local_experts", "n_routed_experts", "num_experts", "moe_num_experts", "ffn_config.moe_num_experts"}},
    {AT(top_k), 1 << 16, false,
     {"num_experts_per_tok", "num_experts_per_token", "experts_per_token", "num_selected_experts", "moe_k", "moe_topk",
      "ffn_config.moe_top_k"}},
    {AT(groups), 1 << 16, false, {"n_group"}},
    {AT(top_groups), 1 << 16, false, {"topk_group"}},
    {AT(expert_ffn), TR_FFN_MAX, false, {"moe_intermediate_size"}},
    {AT(shared_ffn), TR_FFN_MAX, false,
     {"shared_expert_intermediate_size", "moe_shared_expert_intermediate_size"}},
    {AT(shared_count), 1 << 10, false, {"n_shared_experts", "num_shared_experts", "moe_num_shared_experts"}},
    {AT(dense_layers), TR_LAYERS_MAX, false, {"first_k_dense_replace", "moe_layer_start_index"}},
    {AT(moe_every), TR_LAYERS_MAX, false, {"moe_layer_interval"}},
    {AT(moe_step), TR_LAYERS_MAX, false, {"decoder_sparse_step", "interleave_moe_layer_step"}},
    {AT(q_rank), 1 << 16, false, {"q_lora_rank"}},
    {AT(kv_rank), 1 << 16, false, {"kv_lora_rank"}},
    {AT(nope_dim), 1 << 13, false, {"qk_nope_head_dim"}},
    {AT(rope_dim), 1 << 13, false, {"qk_rope_head_dim"}},
    {AT(value_dim), 1 << 14, false, {"v_head_dim"}},
    {AT(mtp), TR_SHAPE_MTP_MAX, false, {"num_nextn_predict_layers"}},
    {AT(latent), TR_WIDTH_MAX, false, {"moe_latent_size"}},
    {AT(ssm_heads), 1 << 14, false, {"mamba_num_heads", "mamba_n_heads"}},
    {AT(ssm_head_dim), 1 << 10, false, {"mamba_head_dim", "mamba_d_head"}},
    {AT(ssm_groups), 1 << 10, false, {"n_groups", "mamba_n_groups"}},
    {AT(ssm_state), 1 << 12, false, {"ssm_state_size"}},
    {AT(ssm_conv), 64, false, {"conv_kernel", "mamba_d_conv"}},
    {AT(window), SEQUENCE_MAX, false, {"sliding_window", "attention_chunk_size", "window_size"}},
};

static void read_key(struct reader *r, const struct key *key, const struct kin *kin, struct raw *raw)
{
    int64_t *out = (int64_t *)(void *)((char *)raw + key->offset);
    *out = *(const int64_t *)(const void *)((const char *)&kin->otherwise + key->offset);
    for (int i = 0; i < NAMES_MAX && key->names[i]; i++)
        if (look(r->object, key->names[i])) {
            read_int(r, key->names[i], key->required, key->max, out);
            return;
        }
    if (key->required && *out == 0 && r->status == TR_OK)
        r->status = tr_doc_int(r->object, key->names[0], TR_REQUIRED, 1, key->max, out, r->err);
}

/* ---- experts ---------------------------------------------------------------------------------------------------- */

/* Whether an item of a list by layer says that its layer has experts: 0 or 1 (moe_layer_freq), "dense" or "sparse". */
static enum tr_status has_experts(const struct tr_node *item, bool *out, struct tr_err *err)
{
    static const char *const words[] = {"dense", "sparse"};
    int64_t number = 0;
    int which = 0;
    enum tr_status status = item->kind == TR_NODE_STRING ? tr_node_enum(item, words, 2, &which, err)
                                                         : tr_node_int(item, 0, 1, &number, err);
    *out = which || number;
    return status;
}

/* First dense layers, then layers with experts: all that a list by layer may say here. */
static void read_expert_list(struct reader *r, const struct tr_node *list, struct raw *raw)
{
    bool before = false;
    raw->dense_layers = 0;
    for (int64_t i = 0; i < list->count && r->status == TR_OK; i++) {
        bool experts = false;
        r->status = has_experts(&list->children[i], &experts, r->err);
        if (r->status == TR_OK && before && !experts)
            r->status = tr_node_fail(&list->children[i], r->err,
                                     "a layer without experts after one with them; only the first layers may be dense");
        before = experts;
        raw->dense_layers += !experts;
    }
}

/* Numbers of layers that have no experts: they must be the first. */
static void read_dense_list(struct reader *r, const struct tr_node *list, struct raw *raw)
{
    for (int64_t i = 0; i < list->count && r->status == TR_OK; i++) {
        int64_t layer = 0;
        r->status = tr_node_int(&list->children[i], 0, TR_LAYERS_MAX, &layer, r->err);
        if (r->status == TR_OK && layer != i)
            r->status = tr_node_fail(&list->children[i], r->err,
                                     "layer %lld has no experts; only the first layers may be dense", (long long)layer);
    }
    raw->dense_layers = list->count;
}

static void read_expert_layers(struct reader *r, struct raw *raw)
{
    static const char *const by_layer[] = {"moe_layer_freq", "mlp_layer_types"};
    for (int i = 0; i < COUNT(by_layer); i++) {
        const struct tr_node *list = look(r->object, by_layer[i]);
        if (list && list->kind == TR_NODE_ARRAY)
            read_expert_list(r, list, raw);
        else if (list)
            read_int(r, by_layer[i], 1, TR_LAYERS_MAX, &raw->moe_every);
    }
    if (raw->moe_step > 0) { /* the last of each so many layers */
        raw->dense_layers = raw->moe_step - 1;
        raw->moe_every = raw->moe_step;
    }
    const struct tr_node *dense = NULL;
    if (r->status == TR_OK)
        r->status = tr_doc_array(r->object, "mlp_only_layers", TR_OPTIONAL, 0, TR_LAYERS_MAX, &dense, r->err);
    if (dense && dense->count)
        read_dense_list(r, dense, raw);
}

/* One group, or all of them, is no limit; "greedy" takes experts wherever they stand, and the files that say so have groups too. */
static void set_groups(struct reader *r, const struct raw *raw, struct tr_model_shape *s)
{
    const char *method = "";
    if (r->status == TR_OK)
        r->status = tr_doc_string(r->object, "topk_method", TR_OPTIONAL, &method, r->err);
    if (!s->experts || raw->top_groups == 0 || raw->top_groups >= raw->groups || strcmp(method, "greedy") == 0)
        return;
    s->expert_groups = raw->groups;
    s->top_groups = raw->top_groups;
}

static void set_experts(const struct raw *raw, struct tr_model_shape *s)
{
    if (!raw->experts || (s->pattern[0] && !strchr(s->pattern, 'E')))
        return;
    s->latent = raw->latent;
    s->experts = raw->experts;
    s->top_k = raw->top_k;
    s->expert_ffn = raw->expert_ffn ? raw->expert_ffn : raw->ffn;
    s->shared_ffn = raw->shared_ffn ? raw->shared_ffn : raw->shared_count * s->expert_ffn;
    s->dense_layers = (int32_t)raw->dense_layers;
    s->moe_every = raw->moe_every ? (int32_t)raw->moe_every : 1;
    if (tr_shape_dense_layers(s) == 0)
        s->ffn = 0;
}

/* ---- hybrids ---------------------------------------------------------------------------------------------------- */

/* A letter a layer, or a list of words. */
static void read_hybrid(struct reader *r, const struct raw *raw, struct tr_model_shape *s)
{
    static const char *const words[] = {"mamba", "attention", "mlp", "moe"};
    const struct tr_node *list = NULL;
    const char *letters = "";
    if (r->status == TR_OK)
        r->status = tr_doc_string(r->object, "hybrid_override_pattern", TR_OPTIONAL, &letters, r->err);
    if (r->status == TR_OK && !letters[0])
        r->status = tr_doc_array(r->object, "layers_block_type", TR_OPTIONAL, 0, TR_LAYERS_MAX, &list, r->err);
    if (r->status != TR_OK)
        return;
    size_t count = list ? (size_t)list->count : strlen(letters);
    if (count >= sizeof s->pattern) {
        r->status = tr_node_fail(r->object, r->err, "%zu layers of several kinds; expected %d at most", count,
                                 TR_SHAPE_PATTERN_BYTES - 1);
        return;
    }
    memcpy(s->pattern, letters, list ? 0 : count);
    for (size_t i = 0; list && i < count && r->status == TR_OK; i++) {
        int which = 0;
        r->status = tr_node_enum(&list->children[i], words, COUNT(words), &which, r->err);
        s->pattern[i] = "M*-E"[which];
    }
    if (r->status != TR_OK || !raw->ssm_heads)
        return;
    if (!strchr(s->pattern, 'M')) {
        r->status = tr_node_fail(r->object, r->err,
                                 "state-space layers (mamba_num_heads), and no hybrid_override_pattern or "
                                 "layers_block_type says which they are");
        return;
    }
    s->ssm_heads = raw->ssm_heads, s->ssm_head_dim = raw->ssm_head_dim, s->ssm_groups = raw->ssm_groups;
    s->ssm_state = raw->ssm_state, s->ssm_conv = raw->ssm_conv;
}

/* ---- windows ---------------------------------------------------------------------------------------------------- */

/* layer_types: how many of the layers see all keys. */
static void read_layer_types(struct reader *r, const struct tr_node *list, int64_t *full)
{
    static const char *const words[] = {"full_attention", "sliding_attention", "chunked_attention"};
    *full = 0;
    for (int64_t i = 0; i < list->count && r->status == TR_OK; i++) {
        int which = 0;
        r->status = tr_node_enum(&list->children[i], words, COUNT(words), &which, r->err);
        *full += which == 0;
    }
}

/* A number, or a word with a letter a layer ("LLLG"). */
static void read_pattern(struct reader *r, int64_t *every)
{
    const struct tr_node *node = look(r->object, "sliding_window_pattern");
    if (node && node->kind == TR_NODE_STRING)
        *every = tr_min_i64(node->count, TR_LAYERS_MAX);
    else
        read_int(r, "sliding_window_pattern", 0, TR_LAYERS_MAX, every);
}

static void set_window(struct reader *r, const struct kin *kin, const struct raw *raw, struct tr_model_shape *s)
{
    const struct tr_node *types = NULL, *window = tr_doc_find(r->object, "sliding_window");
    int64_t every = kin->window_every, full = 0, first_full = 0;
    bool in_use = read_bool(r, "use_sliding_window", strncmp(kin->type, "qwen", 4) != 0);
    read_pattern(r, &every);
    read_int(r, "max_window_layers", 0, TR_LAYERS_MAX, &first_full);
    if (r->status == TR_OK)
        r->status = tr_doc_array(r->object, "layer_types", TR_OPTIONAL, 0, TR_LAYERS_MAX, &types, r->err);
    if (types)
        read_layer_types(r, types, &full);
    if (!in_use || raw->window == 0 || (window && window->kind == TR_NODE_NULL))
        return;
    if (types && types->count)
        every = full ? types->count / full : 0;
    else if (first_full >= s->layers)
        every = 1;
    if (every == 1)
        return;
    s->window = raw->window;
    s->window_every = (int32_t)every;
}

/* ---- habits ----------------------------------------------------------------------------------------------------- */

static void read_multi_query(struct reader *r, struct raw *raw, struct tr_model_shape *s)
{
    (void)s;
    if (read_bool(r, "multi_query", true))
        raw->kv_heads = 1;
}

static void read_falcon(struct reader *r, struct raw *raw, struct tr_model_shape *s)
{
    bool grouped = raw->kv_heads && raw->kv_heads != raw->heads;
    if (!read_bool(r, "new_decoder_architecture", grouped))
        raw->kv_heads = read_bool(r, "multi_query", true) ? 1 : raw->heads;
    s->biased = read_bool(r, "bias", false);
    s->rope = !read_bool(r, "alibi", false);
}

static void read_mpt(struct reader *r, struct raw *raw, struct tr_model_shape *s)
{
    (void)raw;
    s->biased = !read_bool(r, "no_bias", false);
    s->learned = read_bool(r, "learned_pos_emb", true) && !read_bool(r, "attn_config.alibi", false) &&
                 !read_bool(r, "attn_config.rope", false);
    s->rope = read_bool(r, "attn_config.rope", false);
}

/* intermediate_size is of experts and of the shared one; dense layers have another. */
static void read_llama4(struct reader *r, struct raw *raw, struct tr_model_shape *s)
{
    (void)s;
    raw->expert_ffn = raw->shared_ffn = raw->ffn;
    read_int(r, "intermediate_size_mlp", 1, TR_FFN_MAX, &raw->ffn);
}

/* intermediate_size is of both halves of the gated feed-forward. */
static void read_qwen1(struct reader *r, struct raw *raw, struct tr_model_shape *s)
{
    (void)r, (void)s;
    raw->ffn /= 2;
}

static void read_chatglm(struct reader *r, struct raw *raw, struct tr_model_shape *s)
{
    (void)s;
    if (read_bool(r, "multi_query_attention", false))
        read_int(r, "multi_query_group_num", 1, TR_HEADS_MAX, &raw->kv_heads);
}

/* ---- all together ----------------------------------------------------------------------------------------------- */

/* Features that keys name, whatever the type. */
static void read_features(struct reader *r, struct tr_model_shape *s)
{
    static const char *const qkv[] = {"attention_bias", "attention_qkv_bias", "use_qkv_bias", "qkv_bias", "add_qkv_bias",
                                      "bias"};
    static const char *const norms[] = {"use_qk_norm", "qk_layernorm", "qk_norm"};
    static const char *const all[] = {"use_bias", "enable_bias"};
    for (int i = 0; i < COUNT(qkv); i++)
        s->qkv_bias = read_bool(r, qkv[i], s->qkv_bias);
    for (int i = 0; i < COUNT(norms); i++)
        s->qk_norm = read_bool(r, norms[i], s->qk_norm);
    for (int i = 0; i < COUNT(all) && s->biased; i++)
        s->biased = read_bool(r, all[i], s->biased);
    bool tied = s->tied;
    if (r->object != r->root && r->status == TR_OK)
        r->status = tr_doc_bool(r->root, "tie_word_embeddings", TR_OPTIONAL, &tied, r->err);
    s->tied = read_bool(r, "tie_word_embeddings", tied);
    /* A Llama's feed-forward is gated whatever the activation; these two are those of plain ones alone. */
    const struct tr_node *act = look(r->object, "mlp_hidden_act");
    if (act && act->kind == TR_NODE_STRING && (strcmp(act->string, "relu2") == 0 || strcmp(act->string, "relu") == 0))
        s->gated = false;
}

static void set_attention(struct reader *r, const struct raw *raw, struct tr_model_shape *s)
{
    s->heads = raw->heads;
    s->kv_heads = raw->kv_heads ? raw->kv_heads : raw->heads;
    s->head_dim = raw->head_dim;
    s->q_rank = raw->kv_rank ? raw->q_rank : 0;
    s->kv_rank = raw->kv_rank;
    if (raw->kv_rank) {
        s->kv_heads = raw->heads;
        s->rope_dim = raw->rope_dim;
        s->head_dim = raw->nope_dim + raw->rope_dim;
    }
    if (r->status == TR_OK && !s->head_dim && raw->width % raw->heads)
        r->status = tr_node_fail(r->object, r->err,
                                 "%lld heads do not divide the width of %lld, and no head_dim is given",
                                 (long long)raw->heads, (long long)raw->width);
    if (r->status == TR_OK && !s->head_dim)
        s->head_dim = raw->width / raw->heads;
    s->value_dim = raw->kv_rank && raw->value_dim ? raw->value_dim : s->head_dim;
}

static void read_shape(struct reader *r, const struct kin *kin, struct tr_model_shape *s)
{
    struct raw raw = {0};
    *s = (struct tr_model_shape){.gated = !kin->plain, .biased = kin->biased, .tied = kin->tied,
                                 .rope = kin->positions == ROTARY, .learned = kin->positions == LEARNED,
                                 .qkv_bias = kin->qkv_bias, .expert_bias = kin->expert_bias, .qk_norm = kin->qk_norm, .embed_norm = kin->embed_norm};
    for (int i = 0; i < COUNT(keys); i++)
        read_key(r, &keys[i], kin, &raw);
    read_expert_layers(r, &raw);
    read_features(r, s);
    if (r->status == TR_OK && kin->habits)
        kin->habits(r, &raw, s);
    if (r->status != TR_OK)
        return;
    int64_t narrow = raw.width;
    read_int(r, "word_embed_proj_dim", 1, TR_WIDTH_MAX, &narrow);
    if (r->status == TR_OK && narrow != raw.width)
        r->status = tr_node_fail(tr_doc_find(r->object, "word_embed_proj_dim"), r->err,
                                 "an embedding of another width than the layers is not priced; expected %lld",
                                 (long long)raw.width);
    s->layers = (int32_t)raw.layers;
    s->width = raw.width;
    s->vocab = raw.vocab;
    s->positions = raw.positions;
    s->mtp = (int32_t)raw.mtp;
    s->ffn = raw.ffn ? raw.ffn : raw.width * (raw.ffn_ratio ? raw.ffn_ratio : 4);
    read_hybrid(r, &raw, s);
    set_attention(r, &raw, s);
    set_experts(&raw, s);
    set_groups(r, &raw, s);
    set_window(r, kin, &raw, s);
}

enum tr_status tr_shape_from_hf(const struct tr_doc *doc, struct tr_model_shape *out, struct tr_err *err)
{
    const struct tr_node *root = tr_doc_root(doc), *object = NULL;
    const char *type = "";
    enum tr_status status = tr_doc_object(root, "text_config", TR_OPTIONAL, &object, err);
    if (!object)
        object = root;
    if (status == TR_OK)
        status = tr_doc_string(object, "model_type", TR_OPTIONAL, &type, err);
    if (status == TR_OK)
        status = refuse_others(object, type, err);
    if (status != TR_OK)
        return status;
    struct reader r = {root, object, TR_OK, err};
    struct tr_model_shape shape = {0};
    read_shape(&r, find_kin(type), &shape);
    if (r.status == TR_OK)
        r.status = tr_shape_check(&shape, root->source, err);
    if (r.status == TR_OK)
        *out = shape;
    return r.status;
}
