/* The hash of a checkpoint, streamed from its files. */
#include "base/num.h"
#include "base/os.h"
#include "lab/train/checkpoint.h"
#include "lab/train/hash.h"
#include "lab/train/shard.h"
#include "lab/exchange/safetensors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE_BYTES = 1 << 18, PARTS = 3 };

/* Where a tensor lies. */
struct place {
    const struct tr_manifest_file *file; /* NULL: nowhere */
    int64_t begin;
};

/* A checkpoint whose tensors are read in another order than that of its files. */
struct tensors {
    const char *checkpoint;
    const struct tr_weights *weights;
    struct tr_manifest manifest;
    struct place *place; /* [PARTS][weights->count] */
};

static enum tr_status find_in_file(struct tensors *t, enum tr_checkpoint_file kind, const struct tr_manifest_file *file,
                                   struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_safetensors header;
    struct tr_part parts[TR_FILE_PARTS_MAX];
    struct tr_part_at at = TR_PART_FIRST;
    int part_count = tr_file_parts(kind, &(struct tr_tensors){0}, parts);
    enum tr_status status = tr_path_join(path, t->checkpoint, file->name, err);
    if (status == TR_OK)
        status = tr_safetensors_open(path, &header, err);
    if (status != TR_OK)
        return status;
    for (int64_t i = 0; i < header.count && tr_part_next(parts, part_count, t->weights, &at);) {
        const struct tr_weight *weight = &t->weights->weight[at.index];
        int part = (kind == TR_FILE_MODEL ? 0 : 1) + at.part;
        if (!tr_part_is_named(&parts[at.part], weight, header.tensor[i].name))
            continue;
        if (header.tensor[i].bytes == weight->count * (int64_t)sizeof(float))
            t->place[part * t->weights->count + at.index] = (struct place){file, header.tensor[i].begin};
        i++;
    }
    tr_safetensors_free(&header);
    return TR_OK;
}

static enum tr_status find_all(struct tensors *t, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int kind = TR_FILE_MODEL; kind <= TR_FILE_OPTIMIZER; kind++)
        for (int32_t shard = 0; shard < t->manifest.shards && status == TR_OK; shard++)
            status = find_in_file(t, kind, tr_manifest_file(&t->manifest, kind, shard), err);
    return status;
}

/* Opens the file for it, so that any number of shards takes one descriptor. */
static enum tr_status add_range(const char *path, int64_t begin, int64_t bytes, char *piece, struct tr_sha256 *sum,
                                struct tr_err *err)
{
    int fd;
    enum tr_status status = tr_open_read(path, &fd, err);
    if (status != TR_OK)
        return status;
    for (int64_t at = 0; at < bytes;) {
        ssize_t got = pread(fd, piece, (size_t)tr_min_i64(PIECE_BYTES, bytes - at), begin + at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            status = tr_fail(err, TR_FAILED, "%s: cannot be read: %s", path, got < 0 ? strerror(errno) : "it ended too early");
            break;
        }
        tr_sha256_update(sum, piece, (size_t)got);
        at += got;
    }
    close(fd);
    return status;
}

static enum tr_status add_tensor(const struct tensors *t, int part, int32_t index, char *piece, struct tr_sha256 *sum,
                                 struct tr_err *err)
{
    static const char *const prefix[PARTS] = {"", "m.", "v."};
    char path[TR_PATH_BYTES];
    const struct tr_weight *weight = &t->weights->weight[index];
    const struct place *place = &t->place[part * t->weights->count + index];
    if (!place->file)
        return tr_fail(err, TR_BAD_INPUT, "%s: has no tensor %s%s of the model's shape", t->checkpoint, prefix[part], weight->name);
    enum tr_status status = tr_path_join(path, t->checkpoint, place->file->name, err);
    return status == TR_OK ? add_range(path, place->begin, weight->count * (int64_t)sizeof(float), piece, sum, err) : status;
}

static enum tr_status hash_tensors(const struct tensors *t, char hex[TR_SHA256_HEX_BYTES], struct tr_err *err)
{
    struct tr_sha256 sum = {0};
    char *piece = malloc(PIECE_BYTES);
    if (!piece)
        return tr_fail(err, TR_FAILED, "out of memory for %d bytes", PIECE_BYTES);
    enum tr_status status = tr_sha256_start(&sum, err);
    for (int32_t i = 0; i < t->weights->count && status == TR_OK; i++) {
        tr_hash_head(&sum, &t->weights->weight[i]);
        for (int part = 0; part <= t->weights->weight[i].moments && status == TR_OK; part++)
            status = add_tensor(t, part, i, piece, &sum, err);
    }
    if (status == TR_OK) {
        uint8_t digest[TR_SHA256_BYTES];
        tr_sha256_finish(&sum, digest);
        tr_sha256_hex(digest, hex);
    }
    tr_sha256_drop(&sum);
    free(piece);
    return status;
}

static enum tr_status hash_checkpoint(const char *checkpoint, enum tr_optimizer optimizer,
                                      char hex[TR_SHA256_HEX_BYTES], struct tr_err *err)
{
    struct tr_model_config config;
    struct tr_weights weights;
    struct tensors tensors = {.checkpoint = checkpoint, .weights = &weights};
    enum tr_status status = tr_checkpoint_read_model(checkpoint, &config, err);
    if (status == TR_OK)
        status = tr_weights_make(&weights, &config, err);
    if (status != TR_OK)
        return status;
    tr_weights_set_optimizer(&weights, optimizer);
    if ((status = tr_manifest_read(checkpoint, &tensors.manifest, err)) != TR_OK)
        goto free_weights;
    tensors.place = calloc((size_t)PARTS * (size_t)weights.count, sizeof *tensors.place);
    status = tensors.place ? find_all(&tensors, err) : tr_fail(err, TR_FAILED, "out of memory for %d tensors", weights.count);
    if (status == TR_OK)
        status = hash_tensors(&tensors, hex, err);
    free(tensors.place);
    tr_manifest_free(&tensors.manifest);
free_weights:
    tr_weights_free(&weights);
    return status;
}

enum tr_status tr_hash_path(const char *path, struct tr_hash *out, struct tr_err *err)
{
    struct tr_hash new;
    struct tr_train_state *state = malloc(sizeof *state);
    if (!state)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *state);
    enum tr_status status = tr_checkpoint_resolve(path, new.checkpoint, err);
    if (status == TR_OK)
        status = tr_checkpoint_verify(new.checkpoint, err);
    if (status == TR_OK)
        status = tr_checkpoint_read_state(new.checkpoint, state, err);
    if (status == TR_OK)
        status = hash_checkpoint(new.checkpoint, (enum tr_optimizer)state->config.optimizer, new.hex, err);
    if (status == TR_OK) {
        new.step = state->step;
        memcpy(new.arithmetic, state->arithmetic, sizeof new.arithmetic);
        *out = new;
    }
    free(state);
    return status;
}
