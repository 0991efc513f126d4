/* Checkpoints: nothing is lost, and nothing damaged is loaded.
 *
 * A checkpoint is a folder RUN/step-00000100 (the step after which it was taken) with
 *     config.json            the model, as Hugging Face writes it
 *     model.safetensors      weights, fp32, names and order of lab/model/weights.h
 *     optimizer.safetensors  AdamW's moments: m.NAME and v.NAME
 *     state.json             step, tokens, losses, the run's config, the SHA-256 of its data, the arithmetic id
 *     manifest.json          size and SHA-256 of each of these files, and of each tensor
 *
 * Several ranks write a shard each, side by side: model-00001-of-00002.safetensors and optimizer-00001-of-00002.safetensors, with
 * whole tensors, and model.safetensors.index.json says which file has which, as Hugging Face's programs want it. Whoever reads does
 * not see how many there are.
 *
 * Writing is atomic: all of it is written and synced in RUN/step-00000100.tmp (of several ranks with
 * the attempt in its name, shard.h), which is then renamed, and RUN synced.
 * Whatever kills the program or fills the disk in between leaves the older checkpoints as they were. A folder that
 * ends in .tmp or .old is never read.
 *
 * Reading trusts nothing: the manifest must be, byte for byte, what we would have written for its values; sizes, sums
 * and headers must agree. A damaged checkpoint is refused with a sentence that names file, tensor and byte range.
 */
#ifndef TR_LAB_TRAIN_CHECKPOINT_H
#define TR_LAB_TRAIN_CHECKPOINT_H

#include "base/os.h"
#include "base/text.h"
#include "lab/train/hash.h"
#include "lab/train/run_config.h"
#include "lab/train/spike.h"

#include <stdint.h>

struct tr_train_state {
    int64_t step;            /* steps done */
    int64_t tokens;          /* trained on so far */
    int64_t skipped;         /* steps that were left out because loss or gradient was not finite */
    int64_t skipped_in_row;  /* of these, up to now without a good one between */
    double loss;             /* of the last step */
    double first_val_loss, first_val_bpb; /* before training; NaN when there was no evaluation */
    double val_loss, val_bpb;             /* the last ones */
    int64_t eval_step;       /* of the last evaluation; -1: none. An interrupted one is made up for at resume */
    double best_val_loss;    /* the lowest so far; NaN: none */
    int64_t best_step;       /* its step; -1: none */
    int64_t evals_since_best;
    double train_s;          /* seconds spent in steps, all attempts */
    int64_t passed_over;     /* batches: step s trains on batch s + passed_over (both counted from 0) */
    int64_t roll_backs;      /* how often the run went back to an older checkpoint */
    int64_t anchor_best_step; /* best_step at the last step that was a multiple of checkpoint.every; -1: none */
    struct tr_spike_window seen; /* with spike.action other than take */
    char arithmetic[TR_ARITHMETIC_BYTES];
    char data_sha256[TR_SHA256_HEX_BYTES];
    bool reads_bytes;        /* its text has no tokenizer, however large its vocabulary is */
    struct tr_run_config config;
};

/* Which checkpoints stay beside the one just written. */
struct tr_keep {
    int64_t last;  /* so many of the newest; 0: all */
    int64_t every; /* those whose step is a multiple of it; 0: none for that reason */
    int64_t step[3]; /* these; -1: none */
};

/* Writes RUN/step-N and then removes the others, but for what `keep` says. A checkpoint whose manifest or file sizes
 * are wrong is not counted among the newest. Ones of later steps (a run that was set back) are left alone. */
TR_MUST_CHECK enum tr_status tr_checkpoint_write(const char *run_folder, const struct tr_model_config *model,
                                                 const struct tr_tensors *tensors, const struct tr_train_state *state,
                                                 const struct tr_keep *keep, struct tr_err *err);

/* Removes the checkpoints of later steps: those of a course that was given up. */
TR_MUST_CHECK enum tr_status tr_checkpoint_remove_later(const char *run_folder, int64_t step, struct tr_err *err);

/* Reads and checks every byte of it. */
TR_MUST_CHECK enum tr_status tr_checkpoint_verify(const char *path, struct tr_err *err);

/* state.json alone, against the manifest's sum. */
TR_MUST_CHECK enum tr_status tr_checkpoint_read_state(const char *path, struct tr_train_state *state,
                                                      struct tr_err *err);

/* The model of a checkpoint: config.json, against the manifest's sum. */
TR_MUST_CHECK enum tr_status tr_checkpoint_read_model(const char *path, struct tr_model_config *model,
                                                      struct tr_err *err);

/* Weights, and moments where tensors->m and v are not NULL, into the arrays, verified while they are read. They must
 * have exactly the names, order and shapes of tensors->weights. On failure the arrays' contents are undefined. */
TR_MUST_CHECK enum tr_status tr_checkpoint_read(const char *path, const struct tr_tensors *tensors,
                                                struct tr_err *err);

/* Takes tensors one after another. Part 0: the weights; 1, 2: the first and the second moments. */
struct tr_tensor_sink {
    void *context;
    float *(*room)(void *context, int part, int32_t index); /* where the tensor is to be read to */
    enum tr_status (*take)(void *context, int part, int32_t index, struct tr_err *err); /* it is there; NULL: nothing to do */
};

/* The same, one tensor after another, in the files' order: needs no room for all. What was taken counts only when TR_OK is
 * returned at last. */
TR_MUST_CHECK enum tr_status tr_checkpoint_read_each(const char *path, const struct tr_weights *weights, bool moments,
                                                     const struct tr_tensor_sink *sink, struct tr_err *err);

/* The newest checkpoint of a run folder that verifies; sentences about newer ones that do not are added to `bad`, a
 * line each. TR_NO: the folder holds no checkpoint at all. TR_BAD_INPUT: it does, but none of them is good. */
TR_MUST_CHECK enum tr_status tr_checkpoint_find_latest(const char *run_folder, char path[TR_PATH_BYTES],
                                                       struct tr_text *bad, struct tr_err *err);

/* What a user may name: a checkpoint folder (returned as it is) or a run folder (its newest checkpoint, verified or
 * not). TR_BAD_INPUT when it is neither. */
TR_MUST_CHECK enum tr_status tr_checkpoint_resolve(const char *path, char out[TR_PATH_BYTES], struct tr_err *err);

/* Steps of the checkpoints in a run folder, ascending, in `arena`; an absent folder has none. */
TR_MUST_CHECK enum tr_status tr_checkpoint_list(const char *run_folder, struct tr_arena *arena, int64_t **steps,
                                                int64_t *count, struct tr_err *err);

/* RUN/step-00000100 */
TR_MUST_CHECK enum tr_status tr_checkpoint_path(const char *run_folder, int64_t step, char path[TR_PATH_BYTES],
                                                struct tr_err *err);

#endif
