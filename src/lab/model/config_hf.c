/* Configs from outside and back: Hugging Face's config.json.
 *
 * Such files carry many keys that change nothing here (bos_token_id, torch_dtype, dropout ...), and new ones with each
 * release, so unknown keys are ignored. The keys that are known to change a model's arithmetic are refused by name
 * unless they stand at the value that changes nothing: a model that would compute something else is worse than none. */
#include "lab/model/config.h"

#include "base/doc.h"
#include "base/json.h"
#include "base/os.h"
#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CONFIG_BYTES_MAX = 1 << 20, CONFIG_NODES_MAX = 100 * 1000 };

/* The last one is ours, for what no Hugging Face architecture has: biases and norms of queries and keys at once. */
enum architecture { GPT2, LLAMA, MISTRAL, QWEN2, QWEN3, TRINE, ARCHITECTURE_COUNT };

static const char *const architecture_name[] = {"GPT2LMHeadModel",  "LlamaForCausalLM", "MistralForCausalLM",
                                                "Qwen2ForCausalLM", "Qwen3ForCausalLM", "TrineForCausalLM"};
static const char *const model_type_name[] = {"gpt2", "llama", "mistral", "qwen2", "qwen3", "trine"};

/* ---- what changes the arithmetic -------------------------------------------------------------------------------- */

/* `neutral`: the number (false 0, true 1) at which the key changes nothing; NAN: every value changes something. null
 * and empty lists change nothing. */
struct changer {
    const char *key;
    double neutral;
    const char *what;
};

static const struct changer changers[] = {
    {"quantization_config", NAN, "quantised weights"},
    {"is_encoder_decoder", 0, "an encoder"},
    {"add_cross_attention", 0, "cross attention"},
    {"pruned_heads", NAN, "heads taken out of single layers"},
    /* GPT-2 */
    {"scale_attn_weights", 1, "attention without the factor 1/sqrt(head_dim)"},
    {"scale_attn_by_inverse_layer_idx", 0, "attention divided by the layer's number"},
    /* Llama and those that grew out of it. In Llama and Qwen3 attention_bias puts a bias on o_proj too. */
    {"attention_bias", 0, "a bias after the attention's output projection"},
    {"mlp_bias", 0, "biases in the feed-forward"},
    {"num_experts", 0, "a mixture of experts"},
    {"num_local_experts", 0, "a mixture of experts"},
    {"n_routed_experts", 0, "a mixture of experts"},
    {"num_experts_per_tok", 0, "a mixture of experts"},
    {"partial_rotary_factor", 1, "RoPE on a part of each head"},
    {"rotary_pct", 1, "RoPE on a part of each head"},
    {"rope_interleaved", 0, "RoPE on neighbouring elements"},
    {"no_rope_layers", NAN, "layers without RoPE"},
    {"alibi", 0, "ALiBi positions"},
    {"use_qk_norm", 0, "another query and key norm than Qwen3's"},
    {"qk_layernorm", 0, "another query and key norm than Qwen3's"},
    {"clip_qkv", NAN, "clipped queries, keys and values"},
    {"parallel_attn", 0, "attention and feed-forward side by side"},
    {"attn_logit_softcapping", NAN, "capped attention scores"},
    {"final_logit_softcapping", NAN, "capped logits"},
    {"query_pre_attn_scalar", NAN, "another scale of attention scores"},
    {"attention_multiplier", NAN, "another scale of attention scores"},
    {"logit_scale", 1, "scaled logits"},
    {"logits_scaling", 1, "scaled logits"},
    {"embedding_multiplier", 1, "scaled embeddings"},
    {"residual_multiplier", 1, "scaled residuals"},
};

static bool is_neutral(const struct tr_node *node, double neutral)
{
    switch (node->kind) {
    case TR_NODE_NULL:
        return true;
    case TR_NODE_BOOL:
        return (double)node->boolean == neutral;
    case TR_NODE_INT:
        return (double)node->integer == neutral;
    case TR_NODE_DOUBLE:
        return node->real == neutral;
    case TR_NODE_ARRAY:
    case TR_NODE_OBJECT:
        return node->count == 0;
    case TR_NODE_STRING:
        break;
    }
    return false;
}

static enum tr_status refuse_changers(const struct tr_node *root, struct tr_err *err)
{
    for (size_t i = 0; i < sizeof changers / sizeof changers[0]; i++) {
        const struct tr_node *node = tr_doc_find(root, changers[i].key);
        if (!node || is_neutral(node, changers[i].neutral))
            continue;
        char neutral[32] = "null";
        if (node->kind == TR_NODE_BOOL)
            snprintf(neutral, sizeof neutral, "%s", node->boolean ? "false" : "true");
        else if (!isnan(changers[i].neutral))
            snprintf(neutral, sizeof neutral, "%g", changers[i].neutral);
        return tr_node_fail(node, err, "%s: trine has only models where this is %s", changers[i].what, neutral);
    }
    return TR_OK;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* Getters whose first failure sticks, so that the list of keys below reads as a list. */
struct reader {
    const struct tr_node *object;
    enum tr_status status;
    struct tr_err *err;
};

static int64_t read_int(struct reader *r, const char *key, enum tr_need need, int64_t fallback, int64_t max)
{
    int64_t value = fallback;
    if (r->status == TR_OK)
        r->status = tr_doc_int(r->object, key, need, 1, max, &value, r->err);
    return value;
}

static double read_double(struct reader *r, const char *key, enum tr_need need, double fallback)
{
    double value = fallback;
    if (r->status == TR_OK)
        r->status = tr_doc_double(r->object, key, need, 0, 1e12, &value, r->err);
    return value;
}

static bool read_bool(struct reader *r, const char *key, bool fallback)
{
    bool value = fallback;
    if (r->status == TR_OK)
        r->status = tr_doc_bool(r->object, key, TR_OPTIONAL, &value, r->err);
    return value;
}

static void read_activation(struct reader *r, const char *key, const char *const *names, int count)
{
    int which = 0;
    if (r->status == TR_OK)
        r->status = tr_doc_enum(r->object, key, TR_OPTIONAL, names, count, &which, r->err);
}

static enum tr_status read_architecture(const struct tr_node *root, int *architecture, struct tr_err *err)
{
    const struct tr_node *list = NULL, *type = tr_doc_find(root, "model_type");
    int by_list = -1, by_type = -1;
    enum tr_status status = tr_doc_array(root, "architectures", TR_OPTIONAL, 1, 1, &list, err);
    if (status == TR_OK && list)
        status = tr_node_enum(&list->children[0], architecture_name, ARCHITECTURE_COUNT, &by_list, err);
    if (status == TR_OK && (type || !list))
        status = tr_doc_enum(root, "model_type", list ? TR_OPTIONAL : TR_REQUIRED, model_type_name,
                             ARCHITECTURE_COUNT, &by_type, err);
    if (status != TR_OK)
        return status;
    if (by_list >= 0 && by_type >= 0 && by_list != by_type)
        return tr_node_fail(type, err, "\"%s\" contradicts the architecture %s, whose model_type is \"%s\"",
                            model_type_name[by_type], architecture_name[by_list], model_type_name[by_list]);
    *architecture = by_list >= 0 ? by_list : by_type;
    return TR_OK;
}

static void read_gpt2(struct reader *r, struct tr_model_config *c)
{
    static const char *const activations[] = {"gelu_new", "gelu_pytorch_tanh"}; /* two names of the tanh form */
    c->family = TR_GPT2;
    c->width = read_int(r, "n_embd", TR_REQUIRED, 0, TR_WIDTH_MAX);
    c->layers = (int32_t)read_int(r, "n_layer", TR_REQUIRED, 0, TR_LAYERS_MAX);
    c->heads = c->kv_heads = (int32_t)read_int(r, "n_head", TR_REQUIRED, 1, TR_HEADS_MAX);
    c->head_dim = (int32_t)(c->width / c->heads); /* tr_model_check asks that it divides */
    c->ffn = read_int(r, "n_inner", TR_OPTIONAL, 4 * c->width, TR_FFN_MAX);
    int64_t n_ctx = read_int(r, "n_ctx", TR_OPTIONAL, 1024, TR_POSITIONS_MAX);
    c->positions = read_int(r, "n_positions", TR_OPTIONAL, n_ctx, TR_POSITIONS_MAX);
    c->norm_eps = (float)read_double(r, "layer_norm_epsilon", TR_OPTIONAL, 1e-5);
    c->tied = read_bool(r, "tie_word_embeddings", true);
    c->qkv_bias = true;
    read_activation(r, "activation_function", activations, 2);
}

/* "rope_scaling", or since transformers 5 "rope_parameters", which holds rope_theta too. */
static void read_rope(struct reader *r, struct tr_model_config *c)
{
    static const char *const types[] = {"default", "llama3"};
    c->rope_theta = read_double(r, "rope_theta", TR_OPTIONAL, 10000);
    const struct tr_node *object = NULL;
    for (int i = 0; i < 2 && r->status == TR_OK && !object; i++)
        r->status = tr_doc_object(r->object, i == 0 ? "rope_parameters" : "rope_scaling", TR_OPTIONAL, &object,
                                  r->err);
    if (r->status != TR_OK || !object || object->count == 0)
        return;
    struct reader in = {object, TR_OK, r->err};
    int type = 0;
    in.status = tr_doc_enum(object, tr_doc_find(object, "type") ? "type" : "rope_type", TR_REQUIRED, types, 2, &type,
                            in.err);
    c->rope_theta = read_double(&in, "rope_theta", TR_OPTIONAL, c->rope_theta);
    if (type == 1) {
        c->rope_scaling.factor = read_double(&in, "factor", TR_REQUIRED, 1);
        c->rope_scaling.low_freq = read_double(&in, "low_freq_factor", TR_REQUIRED, 1);
        c->rope_scaling.high_freq = read_double(&in, "high_freq_factor", TR_REQUIRED, 4);
        c->rope_scaling.original_positions =
            read_int(&in, "original_max_position_embeddings", TR_REQUIRED, 1, TR_POSITIONS_MAX);
        if (in.status == TR_OK && c->rope_scaling.factor < 1) /* 0 would mean: none */
            in.status = tr_node_fail(tr_doc_find(object, "factor"), in.err, "%g: expected 1 or more",
                                     c->rope_scaling.factor);
    }
    r->status = in.status;
}

/* Attention over the last sliding_window keys only. A window as long as the longest sequence is none. */
static void refuse_sliding_window(struct reader *r, enum architecture architecture, const struct tr_model_config *c)
{
    const struct tr_node *window = tr_doc_find(r->object, "sliding_window"), *types = NULL;
    bool in_use = architecture == MISTRAL; /* whose default, for a file that does not say, is 4096 */
    if (architecture == QWEN2 || architecture == QWEN3)
        in_use = read_bool(r, "use_sliding_window", false) &&
                 read_int(r, "max_window_layers", TR_OPTIONAL, 28, TR_LAYERS_MAX) < c->layers;
    int64_t width = read_int(r, "sliding_window", TR_OPTIONAL, 4096, INT64_MAX);
    bool none = window && window->kind == TR_NODE_NULL;
    if (r->status == TR_OK && in_use && !none && width < c->positions) {
        if (window)
            r->status = tr_node_fail(window, r->err,
                                     "a window of %lld positions out of %lld is not supported; null is",
                                     (long long)width, (long long)c->positions);
        else
            r->status = tr_node_fail(r->object, r->err,
                                     "sliding_window is absent, and then %s has one of %lld positions, which is not "
                                     "supported; \"sliding_window\": null says that there is none",
                                     architecture_name[architecture], (long long)width);
    }
    if (r->status == TR_OK)
        r->status = tr_doc_array(r->object, "layer_types", TR_OPTIONAL, 0, TR_LAYERS_MAX, &types, r->err);
    static const char *const supported[] = {"full_attention"};
    for (int64_t i = 0; r->status == TR_OK && types && i < types->count; i++) {
        int which;
        r->status = tr_node_enum(&types->children[i], supported, 1, &which, r->err);
    }
}

static void read_llama(struct reader *r, enum architecture architecture, struct tr_model_config *c)
{
    static const char *const activations[] = {"silu", "swish"}; /* two names of one function */
    c->family = TR_LLAMA;
    c->width = read_int(r, "hidden_size", TR_REQUIRED, 0, TR_WIDTH_MAX);
    c->layers = (int32_t)read_int(r, "num_hidden_layers", TR_REQUIRED, 0, TR_LAYERS_MAX);
    c->heads = (int32_t)read_int(r, "num_attention_heads", TR_REQUIRED, 1, TR_HEADS_MAX);
    /* Llama alone has as many as query heads when the file does not say; the others have numbers of their own. */
    bool optional = architecture == LLAMA || architecture == TRINE;
    c->kv_heads = (int32_t)read_int(r, "num_key_value_heads", optional ? TR_OPTIONAL : TR_REQUIRED, c->heads,
                                    TR_HEADS_MAX);
    int64_t head_dim = architecture == QWEN3 ? 128 : 0;
    c->head_dim = (int32_t)read_int(r, "head_dim", TR_OPTIONAL, head_dim, TR_HEAD_DIM_MAX);
    if (r->status == TR_OK && c->head_dim == 0) {
        if (c->width % c->heads)
            r->status = tr_node_fail(tr_doc_find(r->object, "num_attention_heads"), r->err,
                                     "%d does not divide hidden_size %lld, and no head_dim is given", c->heads,
                                     (long long)c->width);
        c->head_dim = (int32_t)(c->width / c->heads);
    }
    c->ffn = read_int(r, "intermediate_size", TR_REQUIRED, 0, TR_FFN_MAX);
    c->positions = read_int(r, "max_position_embeddings", TR_REQUIRED, 0, TR_POSITIONS_MAX);
    c->norm_eps = (float)read_double(r, "rms_norm_eps", TR_OPTIONAL, 1e-6);
    c->tied = read_bool(r, "tie_word_embeddings", false);
    c->qkv_bias = architecture == QWEN2 || (architecture == TRINE && read_bool(r, "qkv_bias", false));
    c->qk_norm = architecture == QWEN3 || (architecture == TRINE && read_bool(r, "qk_norm", false));
    read_activation(r, "hidden_act", activations, 2);
    read_rope(r, c);
    refuse_sliding_window(r, architecture, c);
}

static enum tr_status add_lora_target(struct tr_model_config *c, const struct tr_node *name, struct tr_err *err)
{
    for (int i = 0; i < TR_LORA_TARGETS && name->kind == TR_NODE_STRING; i++) {
        const char *known = tr_lora_target_name(c->family, (enum tr_lora_target)i);
        if (!known || strcmp(name->string, known) != 0)
            continue;
        c->lora.targets |= 1u << i;
        return TR_OK;
    }
    return tr_node_fail(name, err, "target_modules: expected names of the matrices of a layer, such as %s",
                        tr_lora_target_name(c->family, TR_LORA_Q));
}

enum tr_status tr_model_lora_read(struct tr_model_config *c, const struct tr_node *object, struct tr_err *err)
{
    const struct tr_node *targets = NULL;
    struct reader r = {object, TR_OK, err};
    c->lora.targets = 0;
    c->lora.rank = (int32_t)read_int(&r, "r", TR_REQUIRED, 0, TR_LORA_RANK_MAX);
    c->lora.alpha = read_double(&r, "lora_alpha", TR_OPTIONAL, c->lora.rank);
    if (r.status == TR_OK)
        r.status = tr_doc_array(object, "target_modules", TR_REQUIRED, 1, TR_LORA_TARGETS, &targets, err);
    for (int i = 0; r.status == TR_OK && i < targets->count; i++)
        r.status = add_lora_target(c, &targets->children[i], err);
    return r.status;
}

/* A checkpoint's model may have adapters (checkpoint.h). */
static void read_lora(struct reader *r, struct tr_model_config *c)
{
    const struct tr_node *lora = NULL;
    if (r->status == TR_OK)
        r->status = tr_doc_object(r->object, "trine_lora", TR_OPTIONAL, &lora, r->err);
    if (r->status == TR_OK && lora)
        r->status = tr_model_lora_read(c, lora, r->err);
}

/* The first characters of `text` that fit, whole ones; bytes that are no character end it. */
static void copy_name(char name[TR_MODEL_NAME_MAX], const char *text, size_t bytes)
{
    size_t kept = 0;
    for (int length = 1; kept < bytes && length > 0; kept += (size_t)length) {
        length = tr_utf8_length(text + kept, bytes - kept);
        if (kept + (size_t)length >= TR_MODEL_NAME_MAX)
            break;
    }
    memcpy(name, text, kept);
    name[kept] = 0;
}

enum tr_status tr_model_config_read(struct tr_model_config *config, const struct tr_doc *doc, struct tr_err *err)
{
    const struct tr_node *root = tr_doc_root(doc);
    if (root->kind != TR_NODE_OBJECT)
        return tr_node_fail(root, err, "expected an object with the keys of a Hugging Face config.json");
    int architecture = 0;
    enum tr_status status = read_architecture(root, &architecture, err);
    if (status != TR_OK || (status = refuse_changers(root, err)) != TR_OK)
        return status;
    struct tr_model_config made = {0};
    struct reader r = {root, TR_OK, err};
    made.vocab = read_int(&r, "vocab_size", TR_REQUIRED, 0, TR_VOCAB_MAX);
    made.init_std = (float)read_double(&r, "initializer_range", TR_OPTIONAL, 0.02);
    if (architecture == GPT2)
        read_gpt2(&r, &made);
    else
        read_llama(&r, (enum architecture)architecture, &made);
    read_lora(&r, &made);
    const char *name = "";
    if (r.status == TR_OK)
        r.status = tr_doc_string(root, "trine_name", TR_OPTIONAL, &name, err);
    if (r.status != TR_OK)
        return r.status;
    copy_name(made.name, name, strlen(name));
    if ((status = tr_model_check(&made, root->source, err)) == TR_OK)
        *config = made;
    return status;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void write_gpt2(const struct tr_model_config *c, struct tr_json *json)
{
    tr_json_int(json, "n_embd", c->width);
    tr_json_int(json, "n_layer", c->layers);
    tr_json_int(json, "n_head", c->heads);
    tr_json_int(json, "n_inner", c->ffn);
    tr_json_int(json, "n_positions", c->positions);
    tr_json_int(json, "n_ctx", c->positions);
    tr_json_string(json, "activation_function", "gelu_new");
    tr_json_float(json, "layer_norm_epsilon", c->norm_eps);
}

static void write_llama(const struct tr_model_config *c, enum architecture architecture, struct tr_json *json)
{
    tr_json_int(json, "hidden_size", c->width);
    tr_json_int(json, "num_hidden_layers", c->layers);
    tr_json_int(json, "num_attention_heads", c->heads);
    tr_json_int(json, "num_key_value_heads", c->kv_heads);
    tr_json_int(json, "head_dim", c->head_dim);
    tr_json_int(json, "intermediate_size", c->ffn);
    tr_json_int(json, "max_position_embeddings", c->positions);
    tr_json_string(json, "hidden_act", "silu");
    tr_json_float(json, "rms_norm_eps", c->norm_eps);
    tr_json_double(json, "rope_theta", c->rope_theta);
    if (c->rope_scaling.factor > 0) {
        tr_json_object(json, "rope_scaling");
        tr_json_string(json, "rope_type", "llama3");
        tr_json_double(json, "factor", c->rope_scaling.factor);
        tr_json_double(json, "low_freq_factor", c->rope_scaling.low_freq);
        tr_json_double(json, "high_freq_factor", c->rope_scaling.high_freq);
        tr_json_int(json, "original_max_position_embeddings", c->rope_scaling.original_positions);
        tr_json_end(json);
    } else {
        tr_json_null(json, "rope_scaling");
    }
    tr_json_bool(json, "attention_bias", false);
    if (architecture == LLAMA)
        tr_json_bool(json, "mlp_bias", false);
    if (architecture == QWEN2 || architecture == QWEN3)
        tr_json_bool(json, "use_sliding_window", false);
    if (architecture == TRINE) {
        tr_json_bool(json, "qkv_bias", c->qkv_bias);
        tr_json_bool(json, "qk_norm", c->qk_norm);
    }
}

void tr_model_lora_write(const struct tr_model_config *c, struct tr_json *json)
{
    tr_json_int(json, "r", c->lora.rank);
    tr_json_double(json, "lora_alpha", c->lora.alpha);
    tr_json_array(json, "target_modules");
    for (int i = 0; i < TR_LORA_TARGETS; i++)
        if (c->lora.targets >> i & 1u)
            tr_json_string(json, NULL, tr_lora_target_name(c->family, (enum tr_lora_target)i));
    tr_json_end(json);
}

static void write_lora(const struct tr_model_config *c, struct tr_json *json)
{
    tr_json_object(json, "trine_lora");
    tr_model_lora_write(c, json);
    tr_json_end(json);
}

void tr_model_config_write(const struct tr_model_config *c, struct tr_json *json)
{
    enum architecture architecture = c->family == TR_GPT2           ? GPT2
                                     : c->qkv_bias && c->qk_norm ? TRINE
                                     : c->qkv_bias               ? QWEN2
                                     : c->qk_norm                ? QWEN3
                                                                 : LLAMA;
    tr_json_object(json, NULL);
    tr_json_array(json, "architectures");
    tr_json_string(json, NULL, architecture_name[architecture]);
    tr_json_end(json);
    tr_json_string(json, "model_type", model_type_name[architecture]);
    tr_json_string(json, "trine_name", c->name);
    tr_json_int(json, "vocab_size", c->vocab);
    if (architecture == GPT2)
        write_gpt2(c, json);
    else
        write_llama(c, architecture, json);
    tr_json_float(json, "initializer_range", c->init_std);
    tr_json_bool(json, "tie_word_embeddings", c->tied);
    if (c->lora.rank > 0)
        write_lora(c, json);
    tr_json_end(json);
}

/* ---- by name ---------------------------------------------------------------------------------------------------- */

enum { PRESETS_MAX = 64 };

static enum tr_status fail_unknown(const char *name, struct tr_err *err)
{
    const char *names[PRESETS_MAX];
    int count = 0;
    const struct tr_model_config *preset;
    struct tr_text list = {0};
    for (; count < PRESETS_MAX && (preset = tr_model_preset(count)); count++) {
        names[count] = preset->name;
        tr_text_printf(&list, "%s%s", count ? ", " : "", preset->name);
    }
    int nearest = tr_nearest(name, names, count);
    enum tr_status status =
        nearest >= 0
            ? tr_fail(err, TR_BAD_INPUT, "model \"%s\": no preset and no file of that name; did you mean %s?", name,
                      names[nearest])
            : tr_fail(err, TR_BAD_INPUT, "model \"%s\": no preset and no file of that name; presets are %s", name,
                      tr_text_str(&list));
    tr_text_free(&list);
    return status;
}

void tr_model_name_from_path(char name[TR_MODEL_NAME_MAX], const char *path)
{
    size_t len = strlen(path);
    const char *suffixes[] = {"/", "/config.json", "/", ".json", ".gguf"};
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        size_t cut = strlen(suffixes[i]);
        while (len > cut && memcmp(path + len - cut, suffixes[i], cut) == 0)
            len -= cut;
    }
    size_t begin = len;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    size_t kept = len - begin;
    if (kept == 0 || path[begin] == '.' || (kept == 6 && memcmp(path + begin, "config", 6) == 0))
        copy_name(name, "model", 5);
    else
        copy_name(name, path + begin, kept);
}

static enum tr_status read_file(const char *path, struct tr_doc **out, struct tr_err *err)
{
    struct tr_bytes bytes;
    enum tr_status status = tr_file_read(path, CONFIG_BYTES_MAX, &bytes, err);
    if (status != TR_OK)
        return status;
    status = tr_doc_parse_limited(path, TR_DOC_JSON, bytes.at, bytes.len, CONFIG_BYTES_MAX, CONFIG_NODES_MAX, out, err);
    tr_bytes_free(&bytes);
    return status;
}

enum tr_status tr_model_config_open(const char *path, char name[TR_MODEL_NAME_MAX], struct tr_doc **out,
                                    struct tr_err *err)
{
    char file[TR_PATH_BYTES];
    enum tr_status status = TR_OK;
    if (tr_folder_exists(path))
        status = tr_path_join(file, path, "config.json", err);
    else
        snprintf(file, sizeof file, "%s", path);
    if (status == TR_OK)
        status = read_file(file, out, err);
    if (status == TR_OK)
        tr_model_name_from_path(name, file);
    return status;
}

enum tr_status tr_model_config_find(struct tr_model_config *config, const char *name_or_path, struct tr_err *err)
{
    const struct tr_model_config *preset;
    for (int i = 0; (preset = tr_model_preset(i)); i++)
        if (strcmp(preset->name, name_or_path) == 0) {
            *config = *preset;
            return TR_OK;
        }
    if (!tr_file_exists(name_or_path))
        return fail_unknown(name_or_path, err);
    char name[TR_MODEL_NAME_MAX];
    struct tr_doc *doc = NULL;
    struct tr_model_config made;
    enum tr_status status = tr_model_config_open(name_or_path, name, &doc, err);
    if (status == TR_OK)
        status = tr_model_config_read(&made, doc, err);
    tr_doc_free(doc);
    if (status != TR_OK)
        return status;
    if (!made.name[0])
        memcpy(made.name, name, sizeof made.name);
    *config = made;
    return TR_OK;
}
