#include "lab/exchange/outer.h"

#include <stdio.h>
#include <string.h>

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* llama.cpp's names; in a layer after "blk.N.". NULL: fused into another (q, k, v of GPT-2). */
static const char *const gguf_name[TR_W_LORA_A] = {
    [TR_W_WTE] = "token_embd.weight",         [TR_W_WPE] = "position_embd.weight",
    [TR_W_NORM1_GAIN] = "attn_norm.weight",   [TR_W_NORM1_BIAS] = "attn_norm.bias",
    [TR_W_Q] = "attn_q.weight",               [TR_W_K] = "attn_k.weight",
    [TR_W_V] = "attn_v.weight",               [TR_W_Q_BIAS] = "attn_q.bias",
    [TR_W_K_BIAS] = "attn_k.bias",            [TR_W_V_BIAS] = "attn_v.bias",
    [TR_W_Q_NORM] = "attn_q_norm.weight",     [TR_W_K_NORM] = "attn_k_norm.weight",
    [TR_W_ATTN_OUT] = "attn_output.weight",   [TR_W_ATTN_OUT_BIAS] = "attn_output.bias",
    [TR_W_NORM2_GAIN] = "ffn_norm.weight",    [TR_W_NORM2_BIAS] = "ffn_norm.bias",
    [TR_W_FC] = "ffn_up.weight",              [TR_W_FC_BIAS] = "ffn_up.bias",
    [TR_W_GATE] = "ffn_gate.weight",          [TR_W_UP] = "ffn_up.weight",
    [TR_W_DOWN] = "ffn_down.weight",          [TR_W_DOWN_BIAS] = "ffn_down.bias",
    [TR_W_NORM_GAIN] = "output_norm.weight",  [TR_W_NORM_BIAS] = "output_norm.bias",
    [TR_W_HEAD] = "output.weight",
};

static const char *name_of(enum tr_outer_kind kind, const struct tr_model_config *config, const struct tr_weight *w,
                           struct tr_arena *arena, struct tr_err *err)
{
    const char *end = w->rank == 2 ? "weight" : "bias";
    bool gpt2 = config->family == TR_GPT2, fused = gpt2 && (w->role == TR_W_Q || w->role == TR_W_Q_BIAS);
    if (kind == TR_OUTER_GGUF && w->layer < 0)
        return gguf_name[w->role];
    if (kind == TR_OUTER_GGUF && fused)
        return tr_arena_printf(arena, err, "blk.%d.attn_qkv.%s", w->layer, end);
    if (kind == TR_OUTER_GGUF)
        return tr_arena_printf(arena, err, "blk.%d.%s", w->layer, gguf_name[w->role]);
    if (kind == TR_OUTER_HF && fused)
        return tr_arena_printf(arena, err, "transformer.h.%d.attn.c_attn.%s", w->layer, end);
    if (kind == TR_OUTER_HF && gpt2 && w->role != TR_W_HEAD)
        return tr_arena_printf(arena, err, "transformer.%s", w->name);
    if (kind == TR_OUTER_PEFT)
        return tr_arena_printf(arena, err, "base_model.model.%s%s", gpt2 ? "transformer." : "", w->name);
    return w->name;
}

/* ---- the lists --------------------------------------------------------------------------------------------------- */

static bool is_fused_away(enum tr_weight_role role)
{
    return role == TR_W_K || role == TR_W_V || role == TR_W_K_BIAS || role == TR_W_V_BIAS;
}

/* Q, K, V or their biases of one layer. */
static void join_qkv(struct tr_outer *o, const struct tr_weights *weights, const struct tr_weight *q)
{
    bool matrix = q->rank == 2;
    static const enum tr_weight_role roles[2][TR_OUTER_JOINED_MAX] = {{TR_W_Q_BIAS, TR_W_K_BIAS, TR_W_V_BIAS},
                                                                      {TR_W_Q, TR_W_K, TR_W_V}};
    o->joined = TR_OUTER_JOINED_MAX;
    o->dim[0] = 0;
    for (int i = 0; i < TR_OUTER_JOINED_MAX; i++) {
        o->weight[i] = tr_weight_find(weights, roles[matrix][i], q->layer);
        o->dim[0] += weights->weight[o->weight[i]].dim[0];
    }
}

static void describe(struct tr_outer *o, enum tr_outer_kind kind, const struct tr_model_config *config,
                     const struct tr_weights *weights, int32_t index)
{
    const struct tr_weight *w = &weights->weight[index];
    bool gpt2 = config->family == TR_GPT2, matrix = w->rank == 2;
    o->weight[0] = index;
    o->joined = 1;
    o->rank = w->rank;
    o->dim[0] = w->dim[0];
    o->dim[1] = matrix ? w->dim[1] : 1;
    if (kind == TR_OUTER_OWN || kind == TR_OUTER_PEFT)
        return;
    if (gpt2 && (w->role == TR_W_Q || w->role == TR_W_Q_BIAS))
        join_qkv(o, weights, w);
    if (kind == TR_OUTER_HF && gpt2 && matrix && w->layer >= 0) {
        int64_t out = o->dim[0];
        o->transposed = true;
        o->dim[0] = o->dim[1];
        o->dim[1] = out;
    }
    /* llama.cpp keeps the order of Hugging Face for the Qwens, whose RoPE it runs on halves. */
    bool plain_llama = !gpt2 && !config->qkv_bias && !config->qk_norm;
    if (kind == TR_OUTER_GGUF && plain_llama && (w->role == TR_W_Q || w->role == TR_W_K))
        o->turned_head_dim = config->head_dim;
}

static bool is_listed(enum tr_outer_kind kind, const struct tr_model_config *config, enum tr_weight_role role)
{
    if (kind == TR_OUTER_OWN)
        return true;
    if (kind == TR_OUTER_PEFT)
        return role >= TR_W_LORA_A;
    return role < TR_W_LORA_A && !(config->family == TR_GPT2 && is_fused_away(role));
}

enum tr_status tr_outer_list_make(struct tr_outer_list *list, enum tr_outer_kind kind,
                                  const struct tr_model_config *config, const struct tr_weights *weights,
                                  struct tr_arena *arena, struct tr_err *err)
{
    struct tr_outer *outer = tr_arena_array(arena, weights->count, sizeof *outer, err);
    int32_t count = 0;
    if (!outer)
        return TR_FAILED;
    for (int32_t i = 0; i < weights->count; i++) {
        const struct tr_weight *w = &weights->weight[i];
        if (!is_listed(kind, config, w->role))
            continue;
        struct tr_outer *o = &outer[count++];
        memset(o, 0, sizeof *o);
        describe(o, kind, config, weights, i);
        if (!(o->name = name_of(kind, config, w, arena, err)))
            return TR_FAILED;
    }
    *list = (struct tr_outer_list){outer, count};
    return TR_OK;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

int64_t tr_outer_rows(const struct tr_outer *outer) { return outer->rank == 1 ? 1 : outer->dim[0]; }
int64_t tr_outer_columns(const struct tr_outer *outer) { return outer->dim[outer->rank - 1]; }

/* Our row for row r of a head that the file turns by neighbours: (h, i, k) -> (h, k, i). */
static int64_t unturned(int64_t r, int64_t head_dim)
{
    int64_t head = r / head_dim, within = r % head_dim;
    return head * head_dim + within % 2 * (head_dim / 2) + within / 2;
}

/* The part of row r that lies in one of our arrays: row[column + i] is at[i * stride]. */
struct span {
    float *at;
    int64_t column, count, stride;
};

static int spans_of(const struct tr_outer *o, const struct tr_weights *weights, float *const *w, int64_t r,
                    struct span span[TR_OUTER_JOINED_MAX])
{
    int64_t before = 0; /* outputs of the weights before this one */
    int count = 0;
    for (int32_t s = 0; s < o->joined; s++) {
        const struct tr_weight *weight = &weights->weight[o->weight[s]];
        float *values = w[o->weight[s]];
        int64_t out = weight->dim[0], in = weight->dim[1];
        if (o->rank == 1) {
            span[count++] = (struct span){values, before, out, 1};
        } else if (o->transposed) {
            span[count++] = (struct span){values + r, before, out, in};
        } else if (r >= before && r < before + out) {
            int64_t row = o->turned_head_dim ? unturned(r - before, o->turned_head_dim) : r - before;
            span[count++] = (struct span){values + row * in, 0, in, 1};
        }
        before += out;
    }
    return count;
}

void tr_outer_gather(const struct tr_outer *outer, const struct tr_weights *weights, float *const *w, int64_t r,
                     float *row)
{
    struct span span[TR_OUTER_JOINED_MAX];
    int count = spans_of(outer, weights, w, r, span);
    for (int s = 0; s < count; s++)
        for (int64_t i = 0; i < span[s].count; i++)
            row[span[s].column + i] = span[s].at[i * span[s].stride];
}

void tr_outer_scatter(const struct tr_outer *outer, const struct tr_weights *weights, float *const *w, int64_t r,
                      const float *row)
{
    struct span span[TR_OUTER_JOINED_MAX];
    int count = spans_of(outer, weights, w, r, span);
    for (int s = 0; s < count; s++)
        for (int64_t i = 0; i < span[s].count; i++)
            span[s].at[i * span[s].stride] = row[span[s].column + i];
}
