/* Models in the files of others: Hugging Face folders and GGUF, read and written.
 *
 *     struct tr_import import;
 *     tr_import_open(&import, "SmolLM2-135M", err)            folder or .gguf: config and list of tensors, all checked
 *     tr_weights_make(&weights, &import.model, err)
 *     tr_import_weights(&import, &weights, w, err)            every tensor, to fp32
 *     tr_import_close(&import)
 *
 *     tr_export_hf(&model, &weights, w, "out", &options, err)
 *     tr_export_gguf(&model, &weights, w, "out.gguf", &options, err)
 *
 * READING. A folder has config.json (lab/model/config.h says which architectures) and model.safetensors, or
 * model.safetensors.index.json with the files that it names; F32, F16, BF16. Our checkpoints are such folders too.
 * A GGUF file is of version 2 or 3, of architecture llama, qwen2, qwen3 or gpt2; F32, F16, BF16, Q8_0, Q4_0, Q4_1.
 * Every tensor of the model must be there once, with the model's shape; what the model does not have is refused by name,
 * but for tables that can be computed (causal masks, rotary frequencies) and a head that repeats a tied embedding.
 * Nothing is allocated by a number from the file that was not checked against the file's size.
 *
 * WRITING is whole or not at all: a folder is written aside and renamed, a file as base/os.h writes files. The same
 * model read back has the same bits (F32), or each number rounded once (BF16, Q8_0). */
#ifndef TR_LAB_EXCHANGE_EXCHANGE_H
#define TR_LAB_EXCHANGE_EXCHANGE_H

#include "base/arena.h"
#include "base/doc.h"
#include "base/os.h"
#include "lab/exchange/element.h"
#include "lab/model/weights.h"
#include "lab/token/token.h"

struct tr_inner_table;

struct tr_import {
    struct tr_model_config model;
    char path[TR_PATH_BYTES];      /* as given */
    bool is_gguf;
    bool is_own;                   /* tensors under our own names: a checkpoint */
    bool is_peft;                  /* adapters alone */
    bool has_token;                /* a GGUF file with a tokenizer: tr_import_token reads it */
    struct tr_inner_table *tensors;
    struct tr_arena arena;
};

/* TR_BAD_INPUT: not such a folder or file, an architecture that trine does not have, a file that contradicts itself. */
TR_MUST_CHECK enum tr_status tr_import_open(struct tr_import *import, const char *path, struct tr_err *err);
void tr_import_close(struct tr_import *import); /* right on a zeroed struct */

/* Whether path looks like something to import: a .gguf file, or a folder with config.json and safetensors. */
bool tr_import_is(const char *path);
bool tr_import_is_gguf(const char *path);

/* A tokenizer out of a file: a GGUF file that has one, or a tokenizer.json. The caller's to free (tr_token_free). */
TR_MUST_CHECK enum tr_status tr_import_token(const char *path, struct tr_token **out, struct tr_err *err);

/* What goes with a tokenizer, by the path of the latter. A GGUF file: tokenizer.chat_template; ..eos_token_id, ..eot_token_id.
 * A tokenizer.json: beside it chat_template.jinja or else tokenizer_config.json; generation_config.json or else config.json.
 * Appends the template's text, nothing where there is none. */
#define TR_CHAT_TEMPLATE_FILE "chat_template.jinja"
TR_MUST_CHECK enum tr_status tr_import_chat(const char *tokenizer, struct tr_text *out, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_import_stops(const char *tokenizer, struct tr_stops *out, struct tr_err *err);

/* The same of the tree of tokenizer_config.json, of generation_config.json. */
TR_MUST_CHECK enum tr_status tr_import_chat_from_node(const struct tr_node *root, struct tr_text *out,
                                                      struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_import_stops_from_node(const struct tr_node *root, struct tr_stops *out,
                                                       struct tr_err *err);

/* All tensors of `weights` (made from import->model; with adapters added to it their tensors are left as they are,
 * unless the files have them) into w[i]. On failure their contents are undefined. */
TR_MUST_CHECK enum tr_status tr_import_weights(const struct tr_import *import, const struct tr_weights *weights,
                                               float *const *w, struct tr_err *err);

/* ADAPTERS (LoRA) in PEFT's format: a folder with adapter_config.json and adapter_model.safetensors (F32, F16, BF16).
 * The first sets model->lora, the second fills the adapters' tensors of `weights`, which were made from that model; all
 * others stay as they are. TR_BAD_INPUT: no such folder, what is no plain LoRA on matrices of the layers (DoRA, rsLoRA,
 * biases, whole modules, ranks or factors of their own), tensors that do not match; GPT-2, whose c_attn is three tensors
 * here. */
TR_MUST_CHECK enum tr_status tr_import_adapter(const char *folder, struct tr_model_config *model, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_import_adapter_weights(const char *folder, const struct tr_model_config *model,
                                                       const struct tr_weights *weights, float *const *w,
                                                       struct tr_err *err);

struct tr_export_options {
    enum tr_element type;         /* folder: F32 or BF16; GGUF also Q8_0 */
    int64_t shard_bytes;          /* folder: a file holds at most so much, but at least one tensor; 0: one file */
    const struct tr_token *token; /* the model's tokenizer; NULL: none */
    const char *tokenizer;        /* folder: its tokenizer.json, copied as it is; NULL: written anew from `token` */
    const struct tr_stops *stops; /* the tokens that end a text, the usual one first; NULL or none: tr_token_end_id */
    const char *chat;             /* the text of its chat template; NULL or "": none */
};

/* `model` must have no adapters: merge them first (lab/model/merge.h). `folder` must not exist, or be empty. */
TR_MUST_CHECK enum tr_status tr_export_hf(const struct tr_model_config *model, const struct tr_weights *weights,
                                          float *const *w, const char *folder, const struct tr_export_options *options,
                                          struct tr_err *err);

/* The adapters of `model` alone, as PEFT reads them; F32 or BF16. `folder` must not exist, or be empty. TR_BAD_INPUT: it
 * has none, or is a GPT-2. */
TR_MUST_CHECK enum tr_status tr_export_peft(const struct tr_model_config *model, const struct tr_weights *weights,
                                            float *const *w, const char *folder,
                                            const struct tr_export_options *options, struct tr_err *err);

/* A .gguf file that llama.cpp runs, replacing one that is there. Vectors, GPT-2's table of positions, and under Q8_0
 * matrices whose rows are no multiple of 32 stay F32. TR_BAD_INPUT: llama.cpp has no architecture that computes this
 * model, or no name for how the tokenizer splits. */
TR_MUST_CHECK enum tr_status tr_export_gguf(const struct tr_model_config *model, const struct tr_weights *weights,
                                            float *const *w, const char *path, const struct tr_export_options *options,
                                            struct tr_err *err);

#endif
