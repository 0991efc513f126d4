/* How the tensors of other programs' files are made of ours: one list, read and written by the same rules.
 *
 * An outer tensor is up to three of our weights joined along their outputs (GPT-2's fused c_attn), perhaps stored as
 * [in, out] (GPT-2's Conv1D), perhaps with the rows of each head in another order (llama.cpp's RoPE turns neighbours,
 * ours and Hugging Face's turn halves). The lists:
 *     TR_OUTER_HF     model.safetensors of a Hugging Face folder
 *     TR_OUTER_GGUF   llama.cpp
 *     TR_OUTER_OWN    our checkpoints: each weight under its own name
 *     TR_OUTER_PEFT   adapter_model.safetensors of PEFT: adapters, and nothing else
 * Adapters are in the last two only. */
#ifndef TR_LAB_EXCHANGE_OUTER_H
#define TR_LAB_EXCHANGE_OUTER_H

#include "base/arena.h"
#include "lab/model/weights.h"

enum tr_outer_kind { TR_OUTER_HF, TR_OUTER_GGUF, TR_OUTER_OWN, TR_OUTER_PEFT };

enum { TR_OUTER_JOINED_MAX = 3 };

struct tr_outer {
    const char *name;
    int32_t weight[TR_OUTER_JOINED_MAX]; /* canonical indices */
    int32_t joined;
    bool transposed;
    int32_t turned_head_dim;             /* 0: rows as they are */
    int rank;
    int64_t dim[2];                      /* row-major; rank 1: dim[0] elements, one row */
};

struct tr_outer_list {
    struct tr_outer *outer;
    int32_t count;
};

/* In `arena`. */
TR_MUST_CHECK enum tr_status tr_outer_list_make(struct tr_outer_list *list, enum tr_outer_kind kind,
                                                const struct tr_model_config *config,
                                                const struct tr_weights *weights, struct tr_arena *arena,
                                                struct tr_err *err);

int64_t tr_outer_rows(const struct tr_outer *outer);    /* 1 for a vector */
int64_t tr_outer_columns(const struct tr_outer *outer);

/* Row r of the outer tensor, from and to our arrays (w[canonical index]). */
void tr_outer_gather(const struct tr_outer *outer, const struct tr_weights *weights, float *const *w, int64_t r,
                     float *row);
void tr_outer_scatter(const struct tr_outer *outer, const struct tr_weights *weights, float *const *w, int64_t r,
                      const float *row);

#endif
