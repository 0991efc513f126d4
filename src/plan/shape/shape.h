/* The shape of a model, as far as its cost depends on it: dense or mixture of experts, grouped or latent attention,
 * windows. Wider than what the trainer runs (lab/model/config.h), since other people's models are priced too.
 *
 *     struct tr_model_shape shape;
 *     tr_shape_find(catalog, "gpt3-175b", &shape, err)      a model of the catalog, a preset of the trainer,
 *                                                           or a Hugging Face config.json or a folder with one
 *     tr_shape_params(&shape).total, .active, .matmul
 *     tr_shape_flop_per_token(&shape, 2048)
 *
 * A zeroed feature is one that the model does not have. */
#ifndef TR_PLAN_SHAPE_SHAPE_H
#define TR_PLAN_SHAPE_SHAPE_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum { TR_SHAPE_NAME_BYTES = 64, TR_SHAPE_PATTERN_BYTES = 256, TR_SHAPE_MTP_MAX = 16 };

struct tr_model_shape {
    char name[TR_SHAPE_NAME_BYTES];
    int32_t layers;
    int64_t width;           /* of the residual stream */
    int64_t heads, kv_heads; /* heads % kv_heads == 0 */
    int64_t head_dim;        /* of queries and keys, those with positions included (MLA: nope + rope) */
    int64_t value_dim;       /* of values */
    int64_t q_rank, kv_rank; /* latent attention (MLA): kv_rank > 0; q_rank 0: queries are projected directly */
    int64_t rope_dim;        /* MLA: the part of head_dim with positions, whose key all heads share */
    int64_t ffn;             /* width inside the feed-forward of dense layers; 0 when there are none */
    int64_t vocab, positions;

    int64_t experts, top_k; /* routed; 0: dense */
    int64_t expert_groups, top_groups; /* experts stand in so many groups, of which a token's are in so many at most, so that it goes
                                          to few nodes (DeepSeek-V2, V3); 0: anywhere */
    int64_t expert_ffn;     /* width inside one routed expert */
    int64_t shared_ffn;     /* width inside the shared experts of a layer, together */
    int32_t dense_layers;   /* so many of the first layers have no experts */
    int32_t moe_every;      /* of the others each n-th has experts, beginning with the first; 1: all */

    int64_t latent;         /* experts work on tokens projected to this width and back (LatentMoE); 0: on all of it */

    /* Hybrids: a letter a layer, which is one thing and not attention and a feed-forward: M state space, * attention,
     * - feed-forward, E experts. "": none; then dense_layers and moe_every say which layers have experts. */
    char pattern[TR_SHAPE_PATTERN_BYTES];
    int64_t ssm_heads, ssm_head_dim, ssm_groups, ssm_state, ssm_conv; /* state-space layers (Mamba-2) */

    int32_t mtp; /* modules that predict further tokens in training: each a layer more (in hybrids one of attention and one
                    of experts or feed-forward), and the head again. Parameters do not count them: they are dropped. */

    int64_t window;       /* keys that a query of a windowed layer sees; 0: all */
    int32_t window_every; /* of each n layers, the last sees all keys; 0: all layers are windowed */

    bool gated;      /* three matrices in a feed-forward (SwiGLU), not two */
    bool tied;       /* the head is the embedding */
    bool rope;       /* rotary positions */
    bool learned;    /* a table of positions; neither: ALiBi, or none */
    bool biased;     /* GPT style: LayerNorms with bias, biases of all matrices of dense blocks */
    bool qkv_bias;   /* biases of queries, keys and values, where not biased */
    bool expert_bias; /* biases of all matrices of experts (gpt-oss) */
    bool qk_norm;    /* norms of queries and keys, one gain a head element */
    bool embed_norm; /* a LayerNorm after the embedding (BLOOM) */
};

/* Every relation above (divisibility, ranges, features that go together); `where` stands before the sentence. */
TR_MUST_CHECK enum tr_status tr_shape_check(const struct tr_model_shape *shape, const char *where, struct tr_err *err);

/* By path of a config.json or a folder that holds one (a name with '/' or that ends in .json), by id or alias in the
 * catalog, or by name of a preset of the trainer. Unknown: TR_BAD_INPUT, naming the nearest. */
struct tr_catalog;
struct tr_entry;
TR_MUST_CHECK enum tr_status tr_shape_find(const struct tr_catalog *catalog, const char *name, struct tr_model_shape *out,
                                           struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_shape_read(const struct tr_entry *entry, struct tr_model_shape *out, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_shape_check_all(const struct tr_catalog *catalog, struct tr_err *err);

/* The keys of a model's entry, for docs. */
struct tr_field;
const struct tr_field *tr_shape_fields(int *count);

/* What the trainer runs. */
struct tr_model_config;
void tr_shape_from_config(const struct tr_model_config *config, struct tr_model_shape *out);

/* A Hugging Face config.json of a decoder: GPT-2, GPT-NeoX, OPT, BLOOM, MPT, Falcon, Llama and what grew out of it,
 * Mixtral, Qwen, DeepSeek-V2/V3, GPT-OSS, Gemma, Phi ... A model_type that is not in the list is read as a Llama with
 * the features that its keys name. With a group `text_config` that is read. */
struct tr_doc;
TR_MUST_CHECK enum tr_status tr_shape_from_hf(const struct tr_doc *doc, struct tr_model_shape *out, struct tr_err *err);

/* What is taken where nobody says it: tokens of a batch; of a sequence, as many as the model has positions, at most 8,192. */
enum { TR_USUAL_BATCH_TOKENS = 3 << 20 };
int64_t tr_shape_usual_length(const struct tr_model_shape *shape);

struct tr_shape_params {
    double total;  /* all distinct parameters; a tied head counts once */
    double active; /* of one token: top_k of the experts, and all that all tokens use */
    double matmul; /* active ones in matrix products: without the input embedding, positions, norms, biases; with the
                      head, tied or not */
    double expert; /* of total: in routed experts */
};
struct tr_shape_params tr_shape_params(const struct tr_model_shape *shape);

/* Layers of a kind: with attention, with a window on it, with a dense feed-forward, with experts, of state space. */
int32_t tr_shape_attention_layers(const struct tr_model_shape *shape);
int32_t tr_shape_window_layers(const struct tr_model_shape *shape);
int32_t tr_shape_dense_layers(const struct tr_model_shape *shape);
int32_t tr_shape_moe_layers(const struct tr_model_shape *shape);
int32_t tr_shape_ssm_layers(const struct tr_model_shape *shape);

/* What layer number `layer` is, counted from 0. */
struct tr_shape_layer {
    bool attention, ssm, dense, experts;
    int64_t window; /* of its attention; 0: all keys */
};
struct tr_shape_layer tr_shape_layer(const struct tr_model_shape *shape, int32_t layer);

/* Model FLOPs of one token of a sequence in training: 6 x matmul parameters + attention, causal, windows respected, + 3 x
 * 7 a state-space layer's state (as Megatron counts its scan); recompute is not counted. A forward pass is a third. */
double tr_shape_flop_per_token(const struct tr_model_shape *shape, int64_t seq_len);

/* The same of the model's mtp modules, together: in addition. Their embedding and head are the model's. */
double tr_shape_mtp_flop_per_token(const struct tr_model_shape *shape, int64_t seq_len);
double tr_shape_mtp_params(const struct tr_model_shape *shape);

/* Elements that one token keeps in the key-value cache, over all layers. State-space layers keep none. */
double tr_shape_kv_elements(const struct tr_model_shape *shape);

#endif
