/* The tensors of a model, in canonical order: the order of files, of hashes and of memory. It depends on the config
 * alone, never on layout or widths. Weights are stored [out, in]; GPT-2's fused c_attn is three tensors q, k, v here
 * (and transposed: Hugging Face stores Conv1D as [in, out]).
 *
 * Names are those of Hugging Face Llama (model.layers.3.self_attn.q_proj.weight); for GPT-2 its own
 * (h.3.ln_1.weight, h.3.attn.q.weight, h.3.attn.c_proj.weight, h.3.mlp.c_fc.weight, ...). Adapters stand behind all
 * others, layer by layer: model.layers.3.self_attn.q_proj.lora_A.weight, then ...lora_B.weight.
 */
#ifndef TR_LAB_MODEL_WEIGHTS_H
#define TR_LAB_MODEL_WEIGHTS_H

#include "lab/model/config.h"

enum tr_weight_role {
    TR_W_WTE, TR_W_WPE,
    TR_W_NORM1_GAIN, TR_W_NORM1_BIAS,
    TR_W_Q, TR_W_K, TR_W_V, TR_W_Q_BIAS, TR_W_K_BIAS, TR_W_V_BIAS, TR_W_Q_NORM, TR_W_K_NORM,
    TR_W_ATTN_OUT, TR_W_ATTN_OUT_BIAS,
    TR_W_NORM2_GAIN, TR_W_NORM2_BIAS,
    TR_W_FC, TR_W_FC_BIAS,   /* GPT-2 */
    TR_W_GATE, TR_W_UP,      /* Llama */
    TR_W_DOWN, TR_W_DOWN_BIAS,
    TR_W_NORM_GAIN, TR_W_NORM_BIAS, /* after the last layer */
    TR_W_HEAD,               /* untied only */
    TR_W_LORA_A,             /* + enum tr_lora_target */
    TR_W_LORA_B = TR_W_LORA_A + TR_LORA_TARGETS,
    TR_W_ROLE_COUNT = TR_W_LORA_B + TR_LORA_TARGETS
};

/* The matrix that the adapters of a target belong to. */
enum tr_weight_role tr_lora_base(enum tr_lora_target target);

enum tr_weight_init { TR_INIT_NORMAL, TR_INIT_ZERO, TR_INIT_ONE };

struct tr_weight {
    char name[96];
    enum tr_weight_role role;
    int32_t layer;           /* -1 outside the layers */
    int32_t rank;            /* 1 or 2 */
    int64_t dim[2];          /* [out, in] */
    int64_t count;           /* elements */
    enum tr_weight_init init;
    float init_std;          /* TR_INIT_NORMAL */
    bool decay;              /* weight decay: matrices and embeddings yes, gains and biases no */
    bool frozen;             /* not trained: no gradient, no moments */
    int32_t moments;         /* arrays of optimiser state: 2 with AdamW (m and v), 1 with Muon (m), 0 when frozen */
};

struct tr_weights {
    int32_t count;
    struct tr_weight *weight;   /* canonical order */
    int64_t element_count;      /* parameters in all */
    int32_t *index;             /* [(layer + 1) * TR_W_ROLE_COUNT + role] -> weight, -1: the model has none */
};

enum tr_optimizer {
    TR_OPTIMIZER_ADAMW,
    TR_OPTIMIZER_MUON /* the matrices of the layers by Muon; embeddings, head, gains and biases by AdamW */
};

/* Owns its memory; free with tr_weights_free. The config must have passed tr_model_check. Every tensor has two moments
 * until tr_weights_set_optimizer says otherwise. */
TR_MUST_CHECK enum tr_status tr_weights_make(struct tr_weights *weights, const struct tr_model_config *config,
                                             struct tr_err *err);
void tr_weights_free(struct tr_weights *weights);
void tr_weights_set_optimizer(struct tr_weights *weights, enum tr_optimizer optimizer);

/* Index of a role in a layer (-1 for none: wte, final norm, head); -1 when this model has no such tensor. */
static inline int32_t tr_weight_find(const struct tr_weights *weights, enum tr_weight_role role, int32_t layer)
{
    return weights->index[(int64_t)(layer + 1) * TR_W_ROLE_COUNT + role];
}

/* Index by name, -1 when there is none. */
int32_t tr_weight_by_name(const struct tr_weights *weights, const char *name);

/* Fills weight `index` with its initial values: counter-based, keyed by (seed, tensor, element), so that any rank can
 * make any slice. `values` has weight->count floats. */
void tr_weight_init_values(const struct tr_weight *weight, int32_t index, uint64_t seed, float *values);

/* Elements first .. first + count - 1 of the same; values[0] is element `first`. */
void tr_weight_init_slice(const struct tr_weight *weight, int32_t index, uint64_t seed, int64_t first, int64_t count,
                          float *values);

/* Parameters of the adapters. */
int64_t tr_model_lora_params(const struct tr_model_config *config);

/* Parameters that multiply activations, without adapters (matrices without the input embedding, with the head), for FLOPs per token. */
int64_t tr_model_matmul_params(const struct tr_model_config *config);

/* Model FLOPs of training one token at sequence length seq_len: 6 * matmul_params + attention, causal:
 * 6 * layers * heads * head_dim * (seq_len + 1). (PaLM appendix B counts 12 * L * H * D * T; causality halves it.
 * Exactly, query t has t + 1 keys: on average (T + 1) / 2, 4 D flop forward and 8 D backward for each.) With adapters
 * the frozen matrices need no gradient of their own: 4 * matmul_params + 6 * adapter parameters. */
int64_t tr_model_flop_per_token(const struct tr_model_config *config, int64_t seq_len);

#endif
