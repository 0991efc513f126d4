/* What the metadata of a GGUF file say: the model and its tokenizer, in llama.cpp's words. Internal to lab/exchange. */
#ifndef TR_LAB_EXCHANGE_GGUF_MODEL_H
#define TR_LAB_EXCHANGE_GGUF_MODEL_H

#include "lab/exchange/gguf.h"
#include "lab/model/config.h"

/* The config: architectures llama, qwen2, qwen3, gpt2. What changes the arithmetic to something that trine does not
 * have (another architecture, experts, a sliding window, another scaling of RoPE) is refused by name. The vocabulary is
 * that of the tensor token_embd.weight; the head is tied when there is no output.weight. The name and the scaling of
 * RoPE are left empty: the file's metadata do not have them. */
TR_MUST_CHECK enum tr_status tr_gguf_model(const struct tr_gguf *file, struct tr_model_config *model,
                                           struct tr_err *err);

/* The scaling of RoPE out of rope_freqs.weight, by which llama.cpp divides the frequencies (head_dim / 2 factors).
 * What Llama 3.1's rule does not give is refused: those numbers are all that such a file says. The rule's parameters
 * are taken from our own keys (trine.rope.*), or are those of Llama 3.1 and 3.2: 1, 4, 8192. */
TR_MUST_CHECK enum tr_status tr_gguf_rope(const struct tr_gguf *file, const float *factors,
                                          struct tr_model_config *model, struct tr_err *err);

/* The factors of a config with such a scaling, head_dim / 2 of them. */
void tr_gguf_rope_factors(const struct tr_model_config *model, float *factors);

/* The architecture's name; NULL when llama.cpp has none that computes this. */
const char *tr_gguf_architecture(const struct tr_model_config *model);

void tr_gguf_put_model(const struct tr_model_config *model, struct tr_text *out);

/* Whether tokenizer.ggml.model is there, and not "no_vocab". */
bool tr_gguf_has_token(const struct tr_gguf *file);

/* The tokenizer; *out is NULL when the file has none. TR_BAD_INPUT: one that
 * trine does not have (SentencePiece, WordPiece, an unknown pre-tokenizer), or one that contradicts itself. */
TR_MUST_CHECK enum tr_status tr_gguf_token(const struct tr_gguf *file, struct tr_token **out, struct tr_err *err);

/* Writes a tokenizer for a model of `vocab` tokens (at least the tokenizer's; ids without a token become unused ones),
 * NULL: "no_vocab". The first of `stops` ends a text, unless the tokenizer puts one there; NULL or none: tr_token_end_id.
 * TR_BAD_INPUT: llama.cpp has no pre-tokenizer that splits like this one. */
TR_MUST_CHECK enum tr_status tr_gguf_put_token(const struct tr_token *token, const struct tr_stops *stops,
                                               int64_t vocab, struct tr_text *out, struct tr_err *err);

#endif
