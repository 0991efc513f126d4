/* A model that is there already, wherever it comes from: a checkpoint, a run folder (its newest checkpoint), a Hugging
 * Face folder or a GGUF file. What generate, eval, export and model.init take as PATH.
 *
 *     struct tr_origin origin;
 *     tr_origin_find(&origin, "runs/depth-4", err)
 *     ... origin.model, origin.widths, origin.tokenizer ...
 *     tr_origin_weights(&origin, &weights, w, err)            every byte of a checkpoint is verified on the way
 */
#ifndef TR_LAB_TRAIN_ORIGIN_H
#define TR_LAB_TRAIN_ORIGIN_H

#include "base/os.h"
#include "base/sha256.h"
#include "lab/chat/chat.h"
#include "lab/model/exec.h"
#include "lab/token/token.h"

struct tr_origin {
    char path[TR_PATH_BYTES];      /* of the folder or file that holds the weights */
    bool is_checkpoint;
    int64_t step;                  /* of a checkpoint; else 0 */
    struct tr_model_config model;
    bool reads_bytes;              /* where it has no tokenizer: the run says so, or a vocabulary of TR_BYTE_VOCAB */
    enum tr_dtype dtype;           /* of the run's arithmetic; TR_F32 for what is no checkpoint */
    struct tr_widths widths;       /* those of the run; 1 for what is no checkpoint */
    char adapter[TR_PATH_BYTES];   /* folder of adapters on top (tr_origin_adapt); "": none */
    char tokenizer[TR_PATH_BYTES]; /* tokenizer.json beside the model, or of its run, or the .gguf file itself (for
                                      tr_import_token); "": there is none */

    /* Of a checkpoint's run, as its config says: what it was trained on. */
    char data[TR_PATH_BYTES], data_sha256[TR_SHA256_HEX_BYTES];
    int encoding; /* enum tr_encoding */
    int64_t seq_len, val_windows;
    bool apart;
    double val_fraction;
};

/* TR_BAD_INPUT: none of these, or damaged. */
TR_MUST_CHECK enum tr_status tr_origin_find(struct tr_origin *origin, const char *path, struct tr_err *err);

/* Puts the adapters of a folder of PEFT's on top: model.lora is theirs, and their values come with the weights. */
TR_MUST_CHECK enum tr_status tr_origin_adapt(struct tr_origin *origin, const char *folder, struct tr_err *err);

/* Fills w[i] for every tensor of `weights`, made from origin->model; where adapters have been added to it since, theirs
 * are left as they are. On failure the contents are undefined. */
TR_MUST_CHECK enum tr_status tr_origin_weights(const struct tr_origin *origin, const struct tr_weights *weights,
                                               float *const *w, struct tr_err *err);

/* The same into an exec of the model. */
TR_MUST_CHECK enum tr_status tr_origin_load(const struct tr_origin *origin, struct tr_exec *exec,
                                            struct tr_err *err);

/* The tokenizer that goes with the model: the file `given`, or (NULL) the one that was found; *out is NULL when the model
 * reads bytes, else the caller's to free. TR_BAD_INPUT: there is none, it has more tokens than the model, or it is
 * another than the model's own (by tr_token_sha256; of a GGUF file, by what its ids stand for). */
TR_MUST_CHECK enum tr_status tr_origin_token(const struct tr_origin *origin, const char *given, struct tr_token **out,
                                             struct tr_err *err);

/* Whether `given`, read from the file `path`, is another tokenizer than the model's own, in the sense of tr_origin_token. An own one
 * that trine cannot read, or none, is no other. TR_FAILED: memory, descriptors. */
TR_MUST_CHECK enum tr_status tr_origin_token_differs(const struct tr_origin *origin, const char *path,
                                                     const struct tr_token *given, bool *differs, struct tr_err *err);

/* How a model is talked to. */
struct tr_manner {
    struct tr_text text;        /* of its chat template; empty: it has none */
    const struct tr_chat *chat; /* NULL: it has none, or one that trine does not know */
    struct tr_stops stops;      /* tokens that end its texts, as its files say; else, of one with a chat template, the
                                   token that ends a turn and tr_token_end_id; else none */
};

/* By what stands beside the tokenizer at `path` (tr_import_chat, tr_import_stops; "": nothing does), which is `token`. `name`,
 * if not empty, is the template's, whatever the files have. TR_BAD_INPUT: no template is called so; files that cannot be
 * read. Free with tr_manner_free in any case. */
TR_MUST_CHECK enum tr_status tr_manner_find(struct tr_manner *manner, const char *path, const struct tr_token *token,
                                            const char *name, struct tr_err *err);
void tr_manner_free(struct tr_manner *manner);

/* The template of one that is found; TR_BAD_INPUT with a list of those known: there is none. `source` names the model. */
TR_MUST_CHECK enum tr_status tr_manner_chat(const struct tr_manner *manner, const char *source,
                                            const struct tr_chat **out, struct tr_err *err);

#endif
