/* manifest.json of a checkpoint: what its files must be. Internal to lab/train.
 *
 *     {"format": "trine-checkpoint-1", "step": 100,
 *      "files": {"config.json": {"bytes": 700, "sha256": "..."},
 *                "model.safetensors": {"bytes": ..., "sha256": "...", "tensors": {"NAME": "sha256 of its bytes", ...}},
 *                "optimizer.safetensors": ..., "state.json": ...},
 *      "manifest_sha256": "of all that stands above"}
 *
 * Where several ranks wrote shards, the format is trine-checkpoint-2, a field "shards" says how many, and the files are config.json,
 * model-00001-of-00002.safetensors ..., optimizer-00001-of-00002.safetensors ..., model.safetensors.index.json, state.json.
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

enum tr_checkpoint_file { TR_FILE_CONFIG, TR_FILE_MODEL, TR_FILE_OPTIMIZER, TR_FILE_INDEX, TR_FILE_STATE };
enum { TR_MANIFEST_MAX_BYTES = 64 << 20, TR_FILE_NAME_BYTES = 64 };

struct tr_manifest_tensor {
    const char *name;
    char sha256[TR_SHA256_HEX_BYTES];
};

struct tr_manifest_file {
    char name[TR_FILE_NAME_BYTES];
    int64_t bytes;
    char sha256[TR_SHA256_HEX_BYTES];
    int64_t tensor_count;              /* 0: none, or not a safetensors file */
    struct tr_manifest_tensor *tensor; /* in the file's order */
};

struct tr_manifest {
    int64_t step;
    int32_t shards; /* 1 to TR_SHARDS_MAX */
    int32_t files;
    struct tr_manifest_file *file; /* [files], in the order in which they are listed */
    struct tr_arena arena;         /* owns files, names and tensors */
};

/* Names the files of so many shards. Free with tr_manifest_free, also where it fails. */
TR_MUST_CHECK enum tr_status tr_manifest_start(struct tr_manifest *manifest, int32_t shards, struct tr_err *err);
void tr_manifest_free(struct tr_manifest *manifest);

/* One of its files. `shard` is 0 for those that there is one of; an index there is of several shards only. */
struct tr_manifest_file *tr_manifest_file(const struct tr_manifest *manifest, enum tr_checkpoint_file kind, int32_t shard);

/* `out` must be empty. */
void tr_manifest_text(const struct tr_manifest *manifest, struct tr_text *out);

/* Free with tr_manifest_free. `source` is what sentences call it. */
TR_MUST_CHECK enum tr_status tr_manifest_parse(const char *source, const char *data, size_t bytes,
                                               struct tr_manifest *out, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_manifest_read(const char *checkpoint, struct tr_manifest *out, struct tr_err *err);

#endif
