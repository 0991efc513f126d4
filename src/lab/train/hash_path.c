/* The hash of a checkpoint, streamed from its files. */
#include "base/num.h"
#include "base/os.h"
#include "lab/train/checkpoint.h"
#include "lab/train/hash.h"
#include "lab/train/manifest.h"
#include "lab/exchange/safetensors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE_BYTES = 1 << 18 };

struct tensor_file {
    char path[TR_PATH_BYTES];
    int fd;
    struct tr_safetensors header;
};

static enum tr_status open_tensors(struct tensor_file *file, const char *checkpoint, enum tr_checkpoint_file index,
                                   struct tr_err *err)
{
    enum tr_status status = tr_path_join(file->path, checkpoint, tr_checkpoint_file_name(index), err);
    if (status == TR_OK)
        status = tr_safetensors_open(file->path, &file->header, err);
    if (status != TR_OK)
        return status;
    status = tr_open_read(file->path, &file->fd, err);
    if (status != TR_OK) {
        tr_safetensors_free(&file->header);
        return status;
    }
    return TR_OK;
}

static void close_tensors(struct tensor_file *file)
{
    close(file->fd);
    tr_safetensors_free(&file->header);
}

static enum tr_status add_tensor(const struct tensor_file *file, const char *prefix, const struct tr_weight *weight,
                                 char *piece, struct tr_sha256 *sum, struct tr_err *err)
{
    char name[sizeof weight->name + 8];
    snprintf(name, sizeof name, "%s%s", prefix, weight->name);
    const struct tr_safetensor *tensor = tr_safetensors_find(&file->header, name);
    if (!tensor || tensor->bytes != weight->count * (int64_t)sizeof(float))
        return tr_fail(err, TR_BAD_INPUT, "%s: has no tensor %s of the model's shape", file->path, name);
    for (int64_t at = 0; at < tensor->bytes;) {
        ssize_t got = pread(file->fd, piece, (size_t)tr_min_i64(PIECE_BYTES, tensor->bytes - at), tensor->begin + at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return tr_fail(err, TR_FAILED, "%s: cannot be read: %s", file->path,
                           got < 0 ? strerror(errno) : "it ended too early");
        tr_sha256_update(sum, piece, (size_t)got);
        at += got;
    }
    return TR_OK;
}

static enum tr_status hash_files(const struct tensor_file *model, const struct tensor_file *optimizer,
                                 const struct tr_weights *weights, char hex[TR_SHA256_HEX_BYTES], struct tr_err *err)
{
    struct tr_sha256 sum = {0};
    char *piece = malloc(PIECE_BYTES);
    if (!piece)
        return tr_fail(err, TR_FAILED, "out of memory for %d bytes", PIECE_BYTES);
    enum tr_status status = tr_sha256_start(&sum, err);
    for (int32_t i = 0; i < weights->count && status == TR_OK; i++) {
        const struct tr_weight *weight = &weights->weight[i];
        tr_hash_head(&sum, weight);
        status = add_tensor(model, "", weight, piece, &sum, err);
        if (status == TR_OK && weight->moments >= 1)
            status = add_tensor(optimizer, "m.", weight, piece, &sum, err);
        if (status == TR_OK && weight->moments == 2)
            status = add_tensor(optimizer, "v.", weight, piece, &sum, err);
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
    struct tensor_file *file = calloc(2, sizeof *file);
    if (!file)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", 2 * sizeof *file);
    enum tr_status status = tr_checkpoint_read_model(checkpoint, &config, err);
    if (status == TR_OK)
        status = tr_weights_make(&weights, &config, err);
    if (status != TR_OK)
        goto free_files;
    tr_weights_set_optimizer(&weights, optimizer);
    if ((status = open_tensors(&file[0], checkpoint, TR_FILE_MODEL, err)) != TR_OK)
        goto free_weights;
    if ((status = open_tensors(&file[1], checkpoint, TR_FILE_OPTIMIZER, err)) != TR_OK)
        goto close_model;
    status = hash_files(&file[0], &file[1], &weights, hex, err);
    close_tensors(&file[1]);
close_model:
    close_tensors(&file[0]);
free_weights:
    tr_weights_free(&weights);
free_files:
    free(file);
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
