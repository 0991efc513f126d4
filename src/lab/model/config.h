/* What a GPT-like model is: its shape and its features. Both families are one struct of features; `family` decides only
 * names and defaults. From a Hugging Face config.json, a named preset, or the one dial --depth.
 *
 *     GPT-2   LayerNorm with bias, learned positions, GELU, biases everywhere, head tied to the embedding
 *     Llama   RMSNorm, RoPE, SwiGLU, grouped-query attention, no biases; Qwen2 adds q/k/v biases, Qwen3 query/key norms
 */
#ifndef TR_LAB_MODEL_CONFIG_H
#define TR_LAB_MODEL_CONFIG_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum tr_family { TR_GPT2, TR_LLAMA };

/* RoPE scaling of Llama 3.1 (rope_type "llama3"): wavelengths longer than original/low_freq are stretched by factor,
 * those shorter than original/high_freq kept, smooth between. factor 0: none. */
struct tr_rope_scaling {
    double factor, low_freq, high_freq;
    int64_t original_positions;
};

/* Low-rank adapters (LoRA: Hu and others 2021, arXiv 2106.09685): a targeted matrix W becomes W + (alpha / rank) B A
 * with A [rank, in] and B [out, rank]. Only A and B are trained; everything else of the model is frozen. */
enum tr_lora_target {
    TR_LORA_Q, TR_LORA_K, TR_LORA_V, TR_LORA_O, /* attention */
    TR_LORA_FC,                                 /* feed-forward: GPT-2 */
    TR_LORA_GATE, TR_LORA_UP,                   /* Llama */
    TR_LORA_DOWN,                               /* both */
    TR_LORA_TARGETS
};
enum { TR_LORA_RANK_MAX = 1024 };

struct tr_lora {
    int32_t rank;     /* 0: no adapters */
    double alpha;
    uint32_t targets; /* bit i: enum tr_lora_target i */
};

enum { TR_MODEL_NAME_MAX = 64 };

/* Limits: each is checked wherever a config comes from outside. */
enum { TR_LAYERS_MAX = 1024, TR_HEADS_MAX = 1024, TR_HEAD_DIM_MAX = 256, TR_WIDTH_MAX = 1 << 17, TR_FFN_MAX = 1 << 19,
       TR_VOCAB_MAX = 1 << 20, TR_POSITIONS_MAX = 1 << 22 };

struct tr_model_config {
    char name[TR_MODEL_NAME_MAX];    /* "gpt2", "qwen3-0.6b", "depth-4"; or the config.json's folder */
    enum tr_family family;
    int64_t vocab;
    int64_t width;                   /* C, of the residual stream */
    int32_t layers, heads, kv_heads; /* heads % kv_heads == 0 */
    int32_t head_dim;                /* even; heads * head_dim need not be width (Qwen3) */
    int64_t ffn;                     /* width inside the feed-forward; even */
    int64_t positions;               /* longest sequence: rows of wpe, or what RoPE was trained for */
    float norm_eps;
    double rope_theta;               /* RoPE only */
    struct tr_rope_scaling rope_scaling;
    bool tied;                       /* the head is the embedding */
    bool qkv_bias, qk_norm;          /* features of the Llama family; GPT-2 always has its biases, never qk_norm */
    struct tr_lora lora;
    float init_std;                  /* of weights; projections into the residual stream get init_std/sqrt(2 layers) */
};

static inline bool tr_has_rope(const struct tr_model_config *c) { return c->family == TR_LLAMA; }

/* The targets that the family has. */
uint32_t tr_lora_targets(enum tr_family family);
/* The name of a target (q_proj, c_fc, ...) in the family, as PEFT's target_modules has it; NULL when the
 * family has none. GPT-2's c_attn is three targets, which no PEFT name fits: attn.q, attn.k, attn.v. */
const char *tr_lora_target_name(enum tr_family family, enum tr_lora_target target);

/* Asks every relation above (divisibility, limits, evenness); the sentence names the key, its value and what would be
 * right, with the keys of the family's config.json. `where` stands before it (a file name or "--model"). */
TR_MUST_CHECK enum tr_status tr_model_check(const struct tr_model_config *config, const char *where,
                                            struct tr_err *err);

/* A preset's name, or a path of a config.json or of a folder that holds one. Unknown: the nearest preset is named. */
TR_MUST_CHECK enum tr_status tr_model_config_find(struct tr_model_config *config, const char *name_or_path,
                                                  struct tr_err *err);

/* What a model is called after its place: the folder of its config.json, or the file without .json or .gguf; "model" where
 * that is no name. */
void tr_model_name_from_path(char name[TR_MODEL_NAME_MAX], const char *path);

/* The config.json at a path, or in the folder of that path, as a document (to be freed), and in `name` what the model is
 * called after its place: its folder's name, or the file's own. At most 1 MiB. */
struct tr_doc;
TR_MUST_CHECK enum tr_status tr_model_config_open(const char *path, char name[TR_MODEL_NAME_MAX], struct tr_doc **out,
                                                  struct tr_err *err);

/* Presets, in the order in which they are listed; NULL after the last. */
const struct tr_model_config *tr_model_preset(int index);

/* The one dial: depth derives width = 64 depth, heads of 64 (at least 1), ffn, positions from seq_len; Llama family,
 * tied, for `vocab` tokens. depth 1..128. */
TR_MUST_CHECK enum tr_status tr_model_from_depth(struct tr_model_config *config, int depth, int64_t vocab,
                                                 int64_t seq_len, struct tr_err *err);

/* Reads / writes the Hugging Face config.json form: GPT2LMHeadModel, LlamaForCausalLM, MistralForCausalLM (without a
 * sliding window), Qwen2ForCausalLM, Qwen3ForCausalLM. What changes the arithmetic to something that trine does not
 * have (another architecture or activation, a mixture of experts, a sliding window, other rope_scaling ...) is refused
 * by name; keys that trine does not know are ignored. What is read has passed tr_model_check; what is written reads
 * back as the same config. config->name is empty unless the file has trine_name. */
TR_MUST_CHECK enum tr_status tr_model_config_read(struct tr_model_config *config, const struct tr_doc *doc,
                                                  struct tr_err *err);
struct tr_json;
void tr_model_config_write(const struct tr_model_config *config, struct tr_json *json);

/* The adapters in the words of PEFT's adapter_config.json, in an object with the keys r, lora_alpha, target_modules: sets
 * config->lora, and nothing else; it has to pass tr_model_check still. Other keys are the caller's. */
struct tr_node;
TR_MUST_CHECK enum tr_status tr_model_lora_read(struct tr_model_config *config, const struct tr_node *object,
                                                struct tr_err *err);
void tr_model_lora_write(const struct tr_model_config *config, struct tr_json *json);

#endif
