#include "lab/model/weights.h"

#include "base/num.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a role is, in each family. The name of a tensor in a layer has one %d, for the layer. */
struct role_info {
    const char *gpt2_name, *llama_name; /* NULL: the family never has it */
    enum { OUTSIDE, IN_LAYER } place;
    enum { MATRIX, RESIDUAL, GAIN, BIAS } kind; /* RESIDUAL: a matrix whose product is added to the residual stream */
};

static const struct role_info roles[TR_W_LORA_A] = {
    [TR_W_WTE] = {"wte.weight", "model.embed_tokens.weight", OUTSIDE, MATRIX},
    [TR_W_WPE] = {"wpe.weight", NULL, OUTSIDE, MATRIX},
    [TR_W_NORM1_GAIN] = {"h.%d.ln_1.weight", "model.layers.%d.input_layernorm.weight", IN_LAYER, GAIN},
    [TR_W_NORM1_BIAS] = {"h.%d.ln_1.bias", NULL, IN_LAYER, BIAS},
    [TR_W_Q] = {"h.%d.attn.q.weight", "model.layers.%d.self_attn.q_proj.weight", IN_LAYER, MATRIX},
    [TR_W_K] = {"h.%d.attn.k.weight", "model.layers.%d.self_attn.k_proj.weight", IN_LAYER, MATRIX},
    [TR_W_V] = {"h.%d.attn.v.weight", "model.layers.%d.self_attn.v_proj.weight", IN_LAYER, MATRIX},
    [TR_W_Q_BIAS] = {"h.%d.attn.q.bias", "model.layers.%d.self_attn.q_proj.bias", IN_LAYER, BIAS},
    [TR_W_K_BIAS] = {"h.%d.attn.k.bias", "model.layers.%d.self_attn.k_proj.bias", IN_LAYER, BIAS},
    [TR_W_V_BIAS] = {"h.%d.attn.v.bias", "model.layers.%d.self_attn.v_proj.bias", IN_LAYER, BIAS},
    [TR_W_Q_NORM] = {NULL, "model.layers.%d.self_attn.q_norm.weight", IN_LAYER, GAIN},
    [TR_W_K_NORM] = {NULL, "model.layers.%d.self_attn.k_norm.weight", IN_LAYER, GAIN},
    [TR_W_ATTN_OUT] = {"h.%d.attn.c_proj.weight", "model.layers.%d.self_attn.o_proj.weight", IN_LAYER, RESIDUAL},
    [TR_W_ATTN_OUT_BIAS] = {"h.%d.attn.c_proj.bias", NULL, IN_LAYER, BIAS},
    [TR_W_NORM2_GAIN] = {"h.%d.ln_2.weight", "model.layers.%d.post_attention_layernorm.weight", IN_LAYER, GAIN},
    [TR_W_NORM2_BIAS] = {"h.%d.ln_2.bias", NULL, IN_LAYER, BIAS},
    [TR_W_FC] = {"h.%d.mlp.c_fc.weight", NULL, IN_LAYER, MATRIX},
    [TR_W_FC_BIAS] = {"h.%d.mlp.c_fc.bias", NULL, IN_LAYER, BIAS},
    [TR_W_GATE] = {NULL, "model.layers.%d.mlp.gate_proj.weight", IN_LAYER, MATRIX},
    [TR_W_UP] = {NULL, "model.layers.%d.mlp.up_proj.weight", IN_LAYER, MATRIX},
    [TR_W_DOWN] = {"h.%d.mlp.c_proj.weight", "model.layers.%d.mlp.down_proj.weight", IN_LAYER, RESIDUAL},
    [TR_W_DOWN_BIAS] = {"h.%d.mlp.c_proj.bias", NULL, IN_LAYER, BIAS},
    [TR_W_NORM_GAIN] = {"ln_f.weight", "model.norm.weight", OUTSIDE, GAIN},
    [TR_W_NORM_BIAS] = {"ln_f.bias", NULL, OUTSIDE, BIAS},
    [TR_W_HEAD] = {"lm_head.weight", "lm_head.weight", OUTSIDE, MATRIX},
};

enum tr_weight_role tr_lora_base(enum tr_lora_target target)
{
    static const enum tr_weight_role base[TR_LORA_TARGETS] = {
        [TR_LORA_Q] = TR_W_Q,   [TR_LORA_K] = TR_W_K,       [TR_LORA_V] = TR_W_V,   [TR_LORA_O] = TR_W_ATTN_OUT,
        [TR_LORA_FC] = TR_W_FC, [TR_LORA_GATE] = TR_W_GATE, [TR_LORA_UP] = TR_W_UP, [TR_LORA_DOWN] = TR_W_DOWN};
    TR_ASSERT((int)target >= 0 && target < TR_LORA_TARGETS);
    return base[target];
}

static bool is_adapter(enum tr_weight_role role) { return role >= TR_W_LORA_A; }

static enum tr_lora_target target_of(enum tr_weight_role role)
{
    return (enum tr_lora_target)(((int)role - TR_W_LORA_A) % TR_LORA_TARGETS);
}

static const char *role_name(const struct tr_model_config *config, enum tr_weight_role role)
{
    return config->family == TR_GPT2 ? roles[role].gpt2_name : roles[role].llama_name;
}

static bool model_has(const struct tr_model_config *config, enum tr_weight_role role)
{
    if (is_adapter(role))
        return config->lora.rank > 0 && (config->lora.targets >> target_of(role) & 1u);
    if (!role_name(config, role))
        return false;
    switch (role) {
    case TR_W_Q_BIAS:
    case TR_W_K_BIAS:
    case TR_W_V_BIAS:
        return config->family == TR_GPT2 || config->qkv_bias;
    case TR_W_Q_NORM:
    case TR_W_K_NORM:
        return config->qk_norm;
    case TR_W_HEAD:
        return !config->tied;
    default:
        return true;
    }
}

/* [out, in]; in = 0 for vectors. */
static void role_shape(const struct tr_model_config *config, enum tr_weight_role role, int64_t dim[2])
{
    int64_t c = config->width;
    int64_t q = (int64_t)config->heads * config->head_dim, kv = (int64_t)config->kv_heads * config->head_dim;
    int64_t out = c, in = 0;
    switch (role) {
    case TR_W_WTE:
    case TR_W_HEAD:
        out = config->vocab, in = c;
        break;
    case TR_W_WPE:
        out = config->positions, in = c;
        break;
    case TR_W_Q:
        out = q, in = c;
        break;
    case TR_W_K:
    case TR_W_V:
        out = kv, in = c;
        break;
    case TR_W_Q_BIAS:
        out = q;
        break;
    case TR_W_K_BIAS:
    case TR_W_V_BIAS:
        out = kv;
        break;
    case TR_W_Q_NORM:
    case TR_W_K_NORM:
        out = config->head_dim;
        break;
    case TR_W_ATTN_OUT:
        in = q;
        break;
    case TR_W_FC:
    case TR_W_GATE:
    case TR_W_UP:
        out = config->ffn, in = c;
        break;
    case TR_W_FC_BIAS:
        out = config->ffn;
        break;
    case TR_W_DOWN:
        in = config->ffn;
        break;
    default: /* gains and biases of the residual stream */
        break;
    }
    dim[0] = out;
    dim[1] = in;
}

/* An adapter is described from its matrix. A begins as PEFT's does (uniform within 1 / sqrt(in)), with a normal
 * distribution of the same variance; B begins as 0, so that the model begins as it was. */
static void describe_adapter(const struct tr_model_config *config, enum tr_weight_role role, struct tr_weight *w)
{
    bool is_a = role < TR_W_LORA_B;
    char *end = strstr(w->name, ".weight");
    TR_ASSERT(end != NULL);
    snprintf(end, sizeof w->name - (size_t)(end - w->name), ".lora_%c.weight", is_a ? 'A' : 'B');
    w->role = role;
    w->frozen = false;
    w->init = is_a ? TR_INIT_NORMAL : TR_INIT_ZERO;
    w->init_std = is_a ? (float)(1.0 / sqrt(3.0 * (double)w->dim[1])) : 0.0f;
    w->dim[is_a ? 0 : 1] = config->lora.rank;
    w->count = w->dim[0] * w->dim[1];
}

static void describe(const struct tr_model_config *config, enum tr_weight_role role, int32_t layer,
                     struct tr_weight *w)
{
    if (is_adapter(role)) {
        describe(config, tr_lora_base(target_of(role)), layer, w);
        describe_adapter(config, role, w);
        return;
    }
    *w = (struct tr_weight){.role = role, .layer = layer, .frozen = config->lora.rank > 0};
    const char *name = role_name(config, role), *digit = strstr(name, "%d");
    if (digit)
        snprintf(w->name, sizeof w->name, "%.*s%d%s", (int)(digit - name), name, layer, digit + 2);
    else
        snprintf(w->name, sizeof w->name, "%s", name);
    role_shape(config, role, w->dim);
    w->rank = w->dim[1] ? 2 : 1;
    if (w->rank == 1)
        w->dim[1] = 1;
    w->count = w->dim[0] * w->dim[1];
    w->decay = w->rank == 2;
    switch (roles[role].kind) {
    case GAIN:
        w->init = TR_INIT_ONE;
        break;
    case BIAS:
        w->init = TR_INIT_ZERO;
        break;
    case MATRIX:
        w->init = TR_INIT_NORMAL;
        w->init_std = config->init_std;
        break;
    case RESIDUAL:
        w->init = TR_INIT_NORMAL;
        w->init_std = (float)((double)config->init_std / sqrt(2.0 * config->layers));
        break;
    }
}

static void append(struct tr_weights *weights, const struct tr_model_config *config, enum tr_weight_role role,
                   int32_t layer)
{
    if (!model_has(config, role))
        return;
    struct tr_weight *w = &weights->weight[weights->count];
    describe(config, role, layer, w);
    weights->index[(int64_t)(layer + 1) * TR_W_ROLE_COUNT + role] = weights->count++;
    weights->element_count += w->count;
}

static void append_adapters(struct tr_weights *weights, const struct tr_model_config *config)
{
    for (int32_t layer = 0; layer < config->layers; layer++)
        for (int target = 0; target < TR_LORA_TARGETS; target++) {
            append(weights, config, (enum tr_weight_role)(TR_W_LORA_A + target), layer);
            append(weights, config, (enum tr_weight_role)(TR_W_LORA_B + target), layer);
        }
}

static void append_outside(struct tr_weights *weights, const struct tr_model_config *config, int first, int last)
{
    for (int role = first; role <= last; role++)
        append(weights, config, (enum tr_weight_role)role, -1);
}

enum tr_status tr_weights_make(struct tr_weights *weights, const struct tr_model_config *config, struct tr_err *err)
{
    TR_ASSERT(config->layers >= 1 && config->layers <= TR_LAYERS_MAX);
    int64_t slots = (int64_t)(config->layers + 1) * TR_W_ROLE_COUNT;
    struct tr_weights made = {0};
    made.weight = calloc((size_t)slots, sizeof *made.weight);
    made.index = malloc((size_t)slots * sizeof *made.index);
    if (!made.weight || !made.index) {
        tr_weights_free(&made);
        return tr_fail(err, TR_FAILED, "out of memory: the list of the tensors of %s", config->name);
    }
    for (int64_t i = 0; i < slots; i++)
        made.index[i] = -1;

    /* Canonical order: the order of the roles, with the layers, one after the other, in the middle; then adapters. */
    append_outside(&made, config, TR_W_WTE, TR_W_WPE);
    for (int32_t layer = 0; layer < config->layers; layer++)
        for (int role = TR_W_NORM1_GAIN; role <= TR_W_DOWN_BIAS; role++)
            append(&made, config, (enum tr_weight_role)role, layer);
    append_outside(&made, config, TR_W_NORM_GAIN, TR_W_HEAD);
    append_adapters(&made, config);
    tr_weights_set_optimizer(&made, TR_OPTIMIZER_ADAMW);
    *weights = made;
    return TR_OK;
}

void tr_weights_set_optimizer(struct tr_weights *weights, enum tr_optimizer optimizer)
{
    for (int32_t i = 0; i < weights->count; i++) {
        struct tr_weight *w = &weights->weight[i];
        bool muon = optimizer == TR_OPTIMIZER_MUON && w->layer >= 0 && w->rank == 2;
        w->moments = w->frozen ? 0 : muon ? 1 : 2;
    }
}

void tr_weights_free(struct tr_weights *weights)
{
    free(weights->weight);
    free(weights->index);
    *weights = (struct tr_weights){0};
}

int32_t tr_weight_by_name(const struct tr_weights *weights, const char *name)
{
    for (int32_t i = 0; i < weights->count; i++)
        if (strcmp(weights->weight[i].name, name) == 0)
            return i;
    return -1;
}

void tr_weight_init_slice(const struct tr_weight *weight, int32_t index, uint64_t seed, int64_t first, int64_t count,
                          float *values)
{
    TR_ASSERT(first >= 0 && count >= 0 && first <= weight->count && count <= weight->count - first);
    if (weight->init == TR_INIT_NORMAL) {
        struct tr_rng_key key = tr_rng_subkey(tr_rng_key(seed, "init", 0), (uint64_t)index);
        tr_rng_fill_normal(key, (uint64_t)first, count, (double)weight->init_std, values);
        return;
    }
    float value = weight->init == TR_INIT_ONE ? 1.0f : 0.0f;
    for (int64_t i = 0; i < count; i++)
        values[i] = value;
}

void tr_weight_init_values(const struct tr_weight *weight, int32_t index, uint64_t seed, float *values)
{
    tr_weight_init_slice(weight, index, seed, 0, weight->count, values);
}

int64_t tr_model_lora_params(const struct tr_model_config *config)
{
    int64_t layer = 0;
    for (int target = 0; target < TR_LORA_TARGETS; target++) {
        int64_t dim[2];
        if (!model_has(config, (enum tr_weight_role)(TR_W_LORA_A + target)))
            continue;
        role_shape(config, tr_lora_base((enum tr_lora_target)target), dim);
        layer += config->lora.rank * (dim[0] + dim[1]);
    }
    return config->layers * layer;
}

int64_t tr_model_matmul_params(const struct tr_model_config *config)
{
    int64_t layer = 0;
    for (int role = 0; role < TR_W_LORA_A; role++) {
        if (roles[role].place != IN_LAYER || !model_has(config, (enum tr_weight_role)role))
            continue;
        int64_t dim[2];
        role_shape(config, (enum tr_weight_role)role, dim);
        layer += dim[0] * dim[1]; /* 0 for vectors */
    }
    return config->layers * layer + config->vocab * config->width;
}

int64_t tr_model_flop_per_token(const struct tr_model_config *config, int64_t seq_len)
{
    int64_t head_width = (int64_t)config->heads * config->head_dim;
    int64_t matmul = (config->lora.rank > 0 ? 4 : 6) * tr_model_matmul_params(config);
    return matmul + 6 * tr_model_lora_params(config) + 6 * config->layers * head_width * (seq_len + 1);
}
