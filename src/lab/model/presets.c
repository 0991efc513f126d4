/* Models by name. Each number is from the published configuration that the comment names;
 * tests/lab/model/test_presets.c holds the parameter counts, of distinct tensors: a tied head counts once. */
#include "lab/model/config.h"

#include <stdio.h>

/* GPT-2 (Radford and others, "Language models are unsupervised multitask learners", 14 Feb 2019; the larger ones
 * released until 5 Nov 2019). Numbers: config.json of openai-community/gpt2* on Hugging Face, as of 2024-02. */
#define GPT2(name_, width_, layers_, heads_)                                                                          \
    {.name = name_, .family = TR_GPT2, .vocab = 50257, .width = width_, .layers = layers_, .heads = heads_,            \
     .kv_heads = heads_, .head_dim = 64, .ffn = 4 * width_, .positions = 1024, .norm_eps = 1e-5f, .tied = true,        \
     .qkv_bias = true, .init_std = 0.02f}

/* Llama 3 (model card of meta-llama, 18 Apr 2024; "The Llama 3 herd of models", arXiv 2407.21783, table 3, 23 Jul 2024;
 * config.json of meta-llama/Meta-Llama-3-8B, Meta-Llama-3-70B and Llama-3.1-405B on Hugging Face). */
#define LLAMA3(name_, width_, layers_, heads_, ffn_, positions_)                                                      \
    .name = name_, .family = TR_LLAMA, .vocab = 128256, .width = width_, .layers = layers_, .heads = heads_,           \
    .kv_heads = 8, .head_dim = 128, .ffn = ffn_, .positions = positions_, .norm_eps = 1e-5f, .rope_theta = 500000,     \
    .init_std = 0.02f

/* Ours, for bytes: 256 byte values and the end of a text. */
#define BYTES(name_, width_, layers_, heads_, ffn_, positions_)                                                       \
    {.name = name_, .family = TR_LLAMA, .vocab = 257, .width = width_, .layers = layers_, .heads = heads_,             \
     .kv_heads = heads_, .head_dim = width_ / heads_, .ffn = ffn_, .positions = positions_, .norm_eps = 1e-5f,         \
     .rope_theta = 10000, .tied = true, .init_std = 0.02f}

static const struct tr_model_config preset[] = {
    /* Teaching. The tiny ones are for tests: seconds on one core, every feature of their family. */
    {.name = "tiny-gpt2", .family = TR_GPT2, .vocab = 257, .width = 32, .layers = 2, .heads = 4, .kv_heads = 4,
     .head_dim = 8, .ffn = 128, .positions = 64, .norm_eps = 1e-5f, .tied = true, .qkv_bias = true, .init_std = 0.02f},
    {.name = "tiny-llama", .family = TR_LLAMA, .vocab = 257, .width = 32, .layers = 2, .heads = 4, .kv_heads = 2,
     .head_dim = 8, .ffn = 96, .positions = 64, .norm_eps = 1e-5f, .rope_theta = 10000, .tied = true,
     .init_std = 0.02f},
    BYTES("book-1m", 128, 5, 4, 384, 256),
    BYTES("book-5m", 256, 6, 4, 704, 512),
    BYTES("book-20m", 512, 6, 8, 1408, 1024),

    GPT2("gpt2", 768, 12, 12),
    GPT2("gpt2-medium", 1024, 24, 16),
    GPT2("gpt2-large", 1280, 36, 20),
    GPT2("gpt2-xl", 1600, 48, 25),

    /* SmolLM2 (Hugging Face, 31 Oct 2024; arXiv 2502.02737): config.json of HuggingFaceTB/SmolLM2-135M. Its
     * initializer_range is 1/24 = 1/sqrt(576). */
    {.name = "smollm2-135m", .family = TR_LLAMA, .vocab = 49152, .width = 576, .layers = 30, .heads = 9, .kv_heads = 3,
     .head_dim = 64, .ffn = 1536, .positions = 8192, .norm_eps = 1e-5f, .rope_theta = 100000, .tied = true,
     .init_std = 0.041666666666666664f},

    /* Qwen3 (28 Apr 2025; arXiv 2505.09388): config.json of Qwen/Qwen3-0.6B. Heads are wider than width / heads. */
    {.name = "qwen3-0.6b", .family = TR_LLAMA, .vocab = 151936, .width = 1024, .layers = 28, .heads = 16, .kv_heads = 8,
     .head_dim = 128, .ffn = 3072, .positions = 40960, .norm_eps = 1e-6f, .rope_theta = 1000000, .tied = true,
     .qk_norm = true, .init_std = 0.02f},

    {LLAMA3("llama3-8b", 4096, 32, 32, 14336, 8192)},
    {LLAMA3("llama3-70b", 8192, 80, 64, 28672, 8192)},
    {LLAMA3("llama3-405b", 16384, 126, 128, 53248, 131072),
     .rope_scaling = {.factor = 8, .low_freq = 1, .high_freq = 4, .original_positions = 8192}},
};

const struct tr_model_config *tr_model_preset(int index)
{
    return index >= 0 && index < (int)(sizeof preset / sizeof preset[0]) ? &preset[index] : NULL;
}

/* Why these formulas: heads of 64 are what GPT-2 and most small models have, so width / 64 heads; a SwiGLU of 8/3 width
 * has the parameters of a plain feed-forward of 4 width (Shazeer 2020), rounded up to a multiple of 64 so that vectors
 * and tensor parts divide it. Keys and values are not grouped: that saves memory when serving, which small models do
 * not need. Parameters in the layers: about 12 layers width^2 = 49,152 depth^3. */
enum tr_status tr_model_from_depth(struct tr_model_config *config, int depth, int64_t vocab, int64_t seq_len,
                                   struct tr_err *err)
{
    enum { DEPTH_MAX = 128, HEAD = 64 };
    if (depth < 1 || depth > DEPTH_MAX)
        return tr_fail(err, TR_BAD_INPUT, "--depth %d: expected 1 to %d", depth, DEPTH_MAX);
    struct tr_model_config made = {
        .family = TR_LLAMA, .vocab = vocab, .width = (int64_t)HEAD * depth, .layers = depth, .heads = depth,
        .kv_heads = depth, .head_dim = HEAD, .positions = seq_len, .norm_eps = 1e-5f, .rope_theta = 10000, .tied = true,
        .init_std = 0.02f};
    made.ffn = (made.width * 8 / 3 + HEAD - 1) / HEAD * HEAD;
    snprintf(made.name, sizeof made.name, "depth-%d", depth);
    enum tr_status status = tr_model_check(&made, "--depth", err);
    if (status == TR_OK)
        *config = made;
    return status;
}
