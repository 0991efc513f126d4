/* manifest.json of a checkpoint: what its files must be. Internal to lab/train.
 *
 *     {"format": "trine-checkpoint-1", "step": 100,
 *      "files": {"config.json": {"bytes": 700, "sha256": "..."},
 *                "model.safetensors": {"bytes": ..., "sha256": "...", "tensors": {"NAME": "sha256 of its bytes", ...}},
 *                "optimizer.safetensors": ..., "state.json": ...},
 *      "manifest_sha256": "of all that stands above"}
 *
 * Reading is exact: the file must be byte for byte what tr_manifest_text gives for its values, so that no flipped bit
 * in it goes unseen either. */
#ifndef TR_LAB_TRAIN_MANIFEST_H
#define TR_LAB_TRAIN_MANIFEST_H

#include "base/arena.h"
#include "base/err.h"
#include "base/os.h"
#include "base/sha256.h"
#include "base/text.h"

#include <stdint.h>

enum tr_checkpoint_file { TR_FILE_CONFIG, TR_FILE_MODEL, TR_FILE_OPTIMIZER, TR_FILE_STATE, TR_CHECKPOINT_FILES };
enum { TR_MANIFEST_MAX_BYTES = 64 << 20 };

struct tr_manifest_tensor {
    const char *name;
    char sha256[TR_SHA256_HEX_BYTES];
};

struct tr_manifest_file {
    int64_t bytes;
    char sha256[TR_SHA256_HEX_BYTES];
    int64_t tensor_count;              /* 0: not a safetensors file */
    struct tr_manifest_tensor *tensor; /* in the file's order */
};

struct tr_manifest {
    int64_t step;
    struct tr_manifest_file file[TR_CHECKPOINT_FILES];
    struct tr_arena arena; /* owns names and tensors */
};

/* "config.json", ... */
const char *tr_checkpoint_file_name(enum tr_checkpoint_file file);

void tr_manifest_start(struct tr_manifest *manifest);
void tr_manifest_free(struct tr_manifest *manifest);
/* `out` must be empty. */
void tr_manifest_text(const struct tr_manifest *manifest, struct tr_text *out);

/* Free with tr_manifest_free. `source` is what sentences call it. */
TR_MUST_CHECK enum tr_status tr_manifest_parse(const char *source, const char *data, size_t bytes,
                                               struct tr_manifest *out, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_manifest_read(const char *checkpoint, struct tr_manifest *out, struct tr_err *err);

#endif
