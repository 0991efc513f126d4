/* Reading checkpoints: nothing that is damaged is loaded, and the sentence says what is damaged. */
#include "base/doc.h"
#include "base/num.h"
#include "base/os.h"
#include "lab/train/checkpoint.h"
#include "lab/train/manifest.h"
#include "lab/train/shard.h"
#include "lab/exchange/safetensors.h"
#include "lab/train/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIST_ARENA_MAX_BYTES ((int64_t)256 << 20)

enum { PIECE_BYTES = 1 << 18, CONFIG_MAX_BYTES = 1 << 20 };

/* ---- bytes ------------------------------------------------------------------------------------------------------- */

/* A file whose bytes pass through a SHA-256 on their way. */
struct summed_file {
    int fd;
    char path[TR_PATH_BYTES];
    struct tr_sha256 sum;
};

static enum tr_status summed_open(struct summed_file *file, const char *path, struct tr_err *err)
{
    TR_ASSERT(strlen(path) < sizeof file->path);
    strcpy(file->path, path);
    enum tr_status status = tr_open_read(path, &file->fd, err);
    if (status != TR_OK)
        return status;
    status = tr_sha256_start(&file->sum, err);
    if (status != TR_OK)
        close(file->fd);
    return status;
}

static void summed_close(struct summed_file *file)
{
    tr_sha256_drop(&file->sum);
    close(file->fd);
}

static enum tr_status summed_read(struct summed_file *file, void *to, int64_t bytes, struct tr_err *err)
{
    int64_t done = 0;
    while (done < bytes) {
        ssize_t got = read(file->fd, (char *)to + done, (size_t)tr_min_i64(bytes - done, 1 << 22));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return tr_fail(err, TR_FAILED, "%s: cannot be read: %s", file->path, strerror(errno));
        if (got == 0)
            return tr_fail(err, TR_BAD_INPUT, "%s: ended too early", file->path);
        tr_sha256_update(&file->sum, (char *)to + done, (size_t)got);
        done += got;
    }
    return TR_OK;
}

static enum tr_status summed_skip(struct summed_file *file, int64_t bytes, struct tr_err *err)
{
    char *piece = malloc(PIECE_BYTES);
    if (!piece)
        return tr_fail(err, TR_FAILED, "out of memory for %d bytes", PIECE_BYTES);
    enum tr_status status = TR_OK;
    while (bytes > 0 && status == TR_OK) {
        int64_t here = tr_min_i64(bytes, PIECE_BYTES);
        status = summed_read(file, piece, here, err);
        bytes -= here;
    }
    free(piece);
    return status;
}

/* ---- what is damaged --------------------------------------------------------------------------------------------- */

static enum tr_status sum_of_range(const char *path, int64_t begin, int64_t bytes, char hex[TR_SHA256_HEX_BYTES],
                                   struct tr_err *err)
{
    struct summed_file file;
    uint8_t digest[TR_SHA256_BYTES];
    enum tr_status status = summed_open(&file, path, err);
    if (status != TR_OK)
        return status;
    if (lseek(file.fd, begin, SEEK_SET) != begin)
        status = tr_fail(err, TR_FAILED, "%s: cannot be read: %s", path, strerror(errno));
    if (status == TR_OK)
        status = summed_skip(&file, bytes, err);
    if (status == TR_OK) {
        tr_sha256_finish(&file.sum, digest);
        tr_sha256_hex(digest, hex);
    }
    summed_close(&file);
    return status;
}

static enum tr_status is_as_expected(const char *path, const struct tr_safetensor *tensor, const struct tr_manifest_tensor *expected,
                                     bool *same, struct tr_err *err)
{
    char hex[TR_SHA256_HEX_BYTES];
    enum tr_status status = sum_of_range(path, tensor->begin, tensor->bytes, hex, err);
    *same = status == TR_OK && strcmp(hex, expected->sha256) == 0;
    return status;
}

/* Of a file whose header lists what the manifest lists: the first tensor that differs, or that all do. TR_OK: none does. */
static enum tr_status name_tensor(const char *path, const struct tr_safetensors *file, const struct tr_manifest_file *expected,
                                  struct tr_err *err)
{
    int64_t differ = 0, first = 0;
    for (int64_t i = 0; i < file->count; i++) {
        bool same;
        enum tr_status status = is_as_expected(path, &file->tensor[i], &expected->tensor[i], &same, err);
        if (status != TR_OK)
            return status;
        first = same || differ ? first : i;
        differ += !same;
    }
    if (differ == 0)
        return TR_OK;
    if (differ == file->count && differ > 1)
        return tr_fail(err, TR_BAD_INPUT, "%s: none of its %lld tensors is that of the manifest: the file is of another step or of "
                       "another run", path, (long long)differ);
    const struct tr_safetensor *tensor = &file->tensor[first];
    return tr_fail(err, TR_BAD_INPUT,
                   "%s: damaged in tensor %.96s (bytes %lld to %lld of the file): its SHA-256 is not that of the manifest", path,
                   tensor->name, (long long)tensor->begin, (long long)(tensor->begin + tensor->bytes - 1));
}

static bool lists_the_same(const struct tr_safetensors *file, const struct tr_manifest_file *expected)
{
    bool same = file->count == expected->tensor_count;
    for (int64_t i = 0; same && i < file->count; i++)
        same = strcmp(file->tensor[i].name, expected->tensor[i].name) == 0;
    return same;
}

/* The file does not have its sum: which tensor, or the header? Returns the failure in any case. */
static enum tr_status name_damage(const char *path, const struct tr_manifest_file *expected, struct tr_err *err)
{
    struct tr_safetensors file;
    struct tr_err reason;
    if (expected->tensor_count == 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: damaged: its SHA-256 is not that of the manifest", path);
    enum tr_status status = tr_safetensors_open(path, &file, &reason);
    if (status == TR_BAD_INPUT)
        return tr_fail(err, TR_BAD_INPUT, "%s: damaged in its header: %.600s", path, reason.text);
    if (status != TR_OK)
        return tr_fail(err, status, "%s", reason.text);
    status = lists_the_same(&file, expected) ? name_tensor(path, &file, expected, err) : TR_OK;
    if (status == TR_OK)
        status = tr_fail(err, TR_BAD_INPUT, "%s: damaged in its header (bytes 0 to %lld)", path,
                         (long long)file.data_begin - 1);
    tr_safetensors_free(&file);
    return status;
}

static enum tr_status check_sum(struct summed_file *file, const struct tr_manifest_file *expected, struct tr_err *err)
{
    uint8_t digest[TR_SHA256_BYTES];
    char hex[TR_SHA256_HEX_BYTES];
    tr_sha256_finish(&file->sum, digest);
    if (strcmp(tr_sha256_hex(digest, hex), expected->sha256) == 0)
        return TR_OK;
    return name_damage(file->path, expected, err);
}

static enum tr_status check_size(const char *path, const struct tr_manifest_file *expected, struct tr_err *err)
{
    int64_t bytes;
    enum tr_status status = tr_file_bytes(path, &bytes, err);
    if (status == TR_OK && bytes != expected->bytes)
        return tr_fail(err, TR_BAD_INPUT, "%s: damaged: %lld bytes, the manifest says %lld", path, (long long)bytes,
                       (long long)expected->bytes);
    return status;
}

/* ---- whole checkpoints ------------------------------------------------------------------------------------------- */

/* The folder's name and its manifest must tell the same step: a folder that was renamed is not what it says. */
static enum tr_status open_manifest(const char *checkpoint, struct tr_manifest *manifest, struct tr_err *err)
{
    char expected[TR_PATH_BYTES];
    enum tr_status status = tr_manifest_read(checkpoint, manifest, err);
    if (status != TR_OK)
        return status;
    const char *slash = strrchr(checkpoint, '/');
    status = tr_checkpoint_path("x", manifest->step, expected, err);
    if (status == TR_OK && strncmp(slash ? slash + 1 : checkpoint, "step-", 5) == 0 &&
        strcmp(slash ? slash + 1 : checkpoint, expected + 2) != 0)
        status = tr_fail(err, TR_BAD_INPUT, "%s: its manifest is of step %lld", checkpoint,
                         (long long)manifest->step);
    if (status != TR_OK)
        tr_manifest_free(manifest);
    return status;
}

static enum tr_status verify_file(const char *checkpoint, const struct tr_manifest_file *expected, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct summed_file file;
    enum tr_status status = tr_path_join(path, checkpoint, expected->name, err);
    if (status == TR_OK)
        status = check_size(path, expected, err);
    if (status == TR_OK)
        status = summed_open(&file, path, err);
    if (status != TR_OK)
        return status;
    status = summed_skip(&file, expected->bytes, err);
    if (status == TR_OK)
        status = check_sum(&file, expected, err);
    summed_close(&file);
    return status;
}

/* A small file whose bytes are checked and then used. */
static enum tr_status read_small(const char *checkpoint, const struct tr_manifest_file *expected, int64_t max_bytes,
                                 char path[TR_PATH_BYTES], struct tr_bytes *out, struct tr_err *err)
{
    uint8_t digest[TR_SHA256_BYTES];
    char hex[TR_SHA256_HEX_BYTES];
    enum tr_status status = tr_path_join(path, checkpoint, expected->name, err);
    if (status == TR_OK)
        status = check_size(path, expected, err);
    if (status == TR_OK)
        status = tr_file_read(path, max_bytes, out, err);
    if (status != TR_OK)
        return status;
    status = tr_sha256_of(out->at, out->len, digest, err);
    if (status == TR_OK && strcmp(tr_sha256_hex(digest, hex), expected->sha256) != 0)
        status = name_damage(path, expected, err);
    if (status != TR_OK)
        tr_bytes_free(out);
    return status;
}

static enum tr_status read_state(const char *checkpoint, const struct tr_manifest *manifest,
                                 struct tr_train_state *state, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_bytes bytes;
    enum tr_status status = read_small(checkpoint, tr_manifest_file(manifest, TR_FILE_STATE, 0), TR_STATE_MAX_BYTES, path,
                                       &bytes, err);
    if (status != TR_OK)
        return status;
    struct tr_train_state new;
    status = tr_state_parse(path, bytes.at, bytes.len, &new, err);
    tr_bytes_free(&bytes);
    if (status == TR_OK && new.step != manifest->step)
        status = tr_fail(err, TR_BAD_INPUT, "%s: is of step %lld, the manifest of step %lld", path,
                         (long long)new.step, (long long)manifest->step);
    if (status == TR_OK)
        *state = new;
    return status;
}

enum tr_status tr_checkpoint_read_state(const char *checkpoint, struct tr_train_state *state, struct tr_err *err)
{
    struct tr_manifest manifest;
    enum tr_status status = open_manifest(checkpoint, &manifest, err);
    if (status != TR_OK)
        return status;
    status = read_state(checkpoint, &manifest, state, err);
    tr_manifest_free(&manifest);
    return status;
}

enum tr_status tr_checkpoint_read_model(const char *checkpoint, struct tr_model_config *model, struct tr_err *err)
{
    struct tr_manifest manifest;
    char path[TR_PATH_BYTES];
    struct tr_bytes bytes;
    struct tr_doc *doc;
    enum tr_status status = open_manifest(checkpoint, &manifest, err);
    if (status != TR_OK)
        return status;
    status = read_small(checkpoint, tr_manifest_file(&manifest, TR_FILE_CONFIG, 0), CONFIG_MAX_BYTES, path, &bytes, err);
    tr_manifest_free(&manifest);
    if (status != TR_OK)
        return status;
    status = tr_doc_parse(path, TR_DOC_JSON, bytes.at, bytes.len, &doc, err);
    tr_bytes_free(&bytes);
    if (status != TR_OK)
        return status;
    status = tr_model_config_read(model, doc, err);
    tr_doc_free(doc);
    return status;
}

enum tr_status tr_checkpoint_verify(const char *checkpoint, struct tr_err *err)
{
    struct tr_manifest manifest;
    struct tr_train_state *state = malloc(sizeof *state); /* holds several paths: too big for a stack frame */
    if (!state)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *state);
    enum tr_status status = open_manifest(checkpoint, &manifest, err);
    if (status != TR_OK)
        goto free_state;
    for (int32_t i = 0; status == TR_OK && i < manifest.files; i++)
        status = verify_file(checkpoint, &manifest.file[i], err);
    if (status == TR_OK)
        status = read_state(checkpoint, &manifest, state, err);
    tr_manifest_free(&manifest);
free_state:
    free(state);
    return status;
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

/* What is read of the files of one kind, of all shards. */
struct reading {
    const char *checkpoint;
    const struct tr_manifest *manifest;
    enum tr_checkpoint_file kind;
    const struct tr_weights *weights;
    struct tr_part parts[TR_FILE_PARTS_MAX];
    int part_count;
    bool *seen; /* [part_count * weights->count] */
    const struct tr_tensor_sink *sink;
};

static enum tr_status check_shape(const char *path, const struct tr_safetensor *tensor, const struct tr_weight *weight,
                                  struct tr_err *err)
{
    bool same = strcmp(tensor->dtype, "F32") == 0 && tensor->rank == weight->rank;
    for (int i = 0; i < weight->rank && same; i++)
        same = tensor->dim[i] == weight->dim[i];
    if (!same)
        return tr_fail(err, TR_BAD_INPUT, "%s: tensor %.96s has another type or shape than the model's", path, tensor->name);
    return TR_OK;
}

/* Goes to the next tensor of the model that a shard has, which is as it is called in the file; one shard has them all, in order. */
static enum tr_status find_tensor(const struct reading *r, const char *path, const struct tr_safetensor *tensor,
                                  struct tr_part_at *at, struct tr_err *err)
{
    struct tr_part_at first = *at;
    while (tr_part_next(r->parts, r->part_count, r->weights, at)) {
        const struct tr_weight *weight = &r->weights->weight[at->index];
        if (tr_part_is_named(&r->parts[at->part], weight, tensor->name))
            return check_shape(path, tensor, weight, err);
        if (r->manifest->shards == 1)
            break;
    }
    if (tr_part_next(r->parts, r->part_count, r->weights, &first) && r->manifest->shards == 1)
        return tr_fail(err, TR_BAD_INPUT, "%s: tensor %.96s stands where %s%s belongs", path, tensor->name, r->parts[first.part].prefix,
                       r->weights->weight[first.index].name);
    return tr_fail(err, TR_BAD_INPUT, "%s: tensor %.96s is not one of the model's, or not in its place", path, tensor->name);
}

static enum tr_status read_tensor(const struct reading *r, struct summed_file *file, const struct tr_safetensor *tensor,
                                  struct tr_part_at *at, struct tr_err *err)
{
    enum tr_status status = find_tensor(r, file->path, tensor, at, err);
    if (status != TR_OK)
        return status;
    bool *seen = &r->seen[at->part * r->weights->count + at->index];
    if (*seen)
        return tr_fail(err, TR_BAD_INPUT, "%s: tensor %.96s is in another shard too", file->path, tensor->name);
    *seen = true;
    int part = r->kind == TR_FILE_MODEL ? 0 : 1 + at->part;
    status = summed_read(file, r->sink->room(r->sink->context, part, at->index), tensor->bytes, err);
    return status == TR_OK && r->sink->take ? r->sink->take(r->sink->context, part, at->index, err) : status;
}

static enum tr_status read_file(const struct reading *r, const struct tr_manifest_file *expected, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_safetensors header;
    struct summed_file file;
    struct tr_part_at at = TR_PART_FIRST;
    enum tr_status status = tr_path_join(path, r->checkpoint, expected->name, err);
    if (status == TR_OK)
        status = check_size(path, expected, err);
    if (status == TR_OK && tr_safetensors_open(path, &header, err) != TR_OK)
        return name_damage(path, expected, err);
    if (status != TR_OK)
        return status;
    if ((status = summed_open(&file, path, err)) != TR_OK)
        goto free_header;
    status = summed_skip(&file, header.data_begin, err);
    for (int64_t i = 0; i < header.count && status == TR_OK; i++)
        status = read_tensor(r, &file, &header.tensor[i], &at, err);
    if (status == TR_OK)
        status = check_sum(&file, expected, err);
    summed_close(&file);
free_header:
    tr_safetensors_free(&header);
    return status;
}

static enum tr_status check_complete(const struct reading *r, struct tr_err *err)
{
    for (struct tr_part_at at = TR_PART_FIRST; tr_part_next(r->parts, r->part_count, r->weights, &at);)
        if (!r->seen[at.part * r->weights->count + at.index])
            return tr_fail(err, TR_BAD_INPUT, "%s: has no tensor %s%s", r->checkpoint, r->parts[at.part].prefix,
                           r->weights->weight[at.index].name);
    return TR_OK;
}

static enum tr_status read_kind(struct reading *r, enum tr_checkpoint_file kind, struct tr_err *err)
{
    r->kind = kind;
    r->part_count = tr_file_parts(kind, &(struct tr_tensors){0}, r->parts);
    r->seen = calloc((size_t)(r->part_count * r->weights->count), sizeof *r->seen);
    if (!r->seen)
        return tr_fail(err, TR_FAILED, "out of memory for %d tensors", r->part_count * r->weights->count);
    enum tr_status status = TR_OK;
    for (int32_t shard = 0; shard < r->manifest->shards && status == TR_OK; shard++)
        status = read_file(r, tr_manifest_file(r->manifest, kind, shard), err);
    if (status == TR_OK)
        status = check_complete(r, err);
    free(r->seen);
    return status;
}

enum tr_status tr_checkpoint_read_each(const char *checkpoint, const struct tr_weights *weights, bool moments,
                                       const struct tr_tensor_sink *sink, struct tr_err *err)
{
    struct tr_manifest manifest;
    struct reading reading = {.checkpoint = checkpoint, .manifest = &manifest, .weights = weights, .sink = sink};
    enum tr_status status = open_manifest(checkpoint, &manifest, err);
    if (status != TR_OK)
        return status;
    status = read_kind(&reading, TR_FILE_MODEL, err);
    if (status == TR_OK && moments)
        status = read_kind(&reading, TR_FILE_OPTIMIZER, err);
    tr_manifest_free(&manifest);
    return status;
}

static float *room_in_arrays(void *context, int part, int32_t index)
{
    const struct tr_tensors *tensors = context;
    return (part == 0 ? tensors->w : part == 1 ? tensors->m : tensors->v)[index];
}

enum tr_status tr_checkpoint_read(const char *checkpoint, const struct tr_tensors *tensors, struct tr_err *err)
{
    struct tr_tensors arrays = *tensors;
    const struct tr_tensor_sink sink = {.context = &arrays, .room = room_in_arrays};
    return tr_checkpoint_read_each(checkpoint, tensors->weights, tensors->m != NULL, &sink, err);
}

/* ---- finding ----------------------------------------------------------------------------------------------------- */

static enum tr_status newest_good(const char *run_folder, const int64_t *steps, int64_t count,
                                  char path[TR_PATH_BYTES], struct tr_text *bad, struct tr_err *err)
{
    struct tr_err reason, newest = {""};
    char candidate[TR_PATH_BYTES];
    for (int64_t i = count - 1; i >= 0; i--) {
        enum tr_status status = tr_checkpoint_path(run_folder, steps[i], candidate, err);
        if (status != TR_OK)
            return status;
        status = tr_checkpoint_verify(candidate, &reason);
        if (status == TR_OK) {
            strcpy(path, candidate);
            return TR_OK;
        }
        if (status == TR_FAILED) { /* cannot be read now: it may still be good, so do not pass it over */
            *err = reason;
            return status;
        }
        tr_text_printf(bad, "%s\n", reason.text);
        if (i == count - 1)
            newest = reason;
    }
    if (count == 0)
        return TR_NO;
    return tr_fail(err, TR_BAD_INPUT, "%s: none of the %lld checkpoints is whole; the newest: %.700s", run_folder,
                   (long long)count, newest.text);
}

enum tr_status tr_checkpoint_find_latest(const char *run_folder, char path[TR_PATH_BYTES], struct tr_text *bad,
                                         struct tr_err *err)
{
    struct tr_arena arena;
    int64_t *steps, count;
    tr_arena_init(&arena, "list of checkpoints", LIST_ARENA_MAX_BYTES);
    enum tr_status status = tr_checkpoint_list(run_folder, &arena, &steps, &count, err);
    if (status == TR_OK)
        status = newest_good(run_folder, steps, count, path, bad, err);
    tr_arena_free(&arena);
    return status;
}

enum tr_status tr_checkpoint_resolve(const char *path, char out[TR_PATH_BYTES], struct tr_err *err)
{
    char manifest[TR_PATH_BYTES];
    struct tr_arena arena;
    int64_t *steps, count;
    if (!tr_file_exists(path))
        return tr_fail(err, TR_BAD_INPUT, "%s: there is no such folder", path);
    enum tr_status status = tr_path_join(manifest, path, "manifest.json", err);
    if (status != TR_OK)
        return status;
    if (tr_file_exists(manifest)) {
        snprintf(out, TR_PATH_BYTES, "%s", path);
        return TR_OK;
    }
    tr_arena_init(&arena, "list of checkpoints", LIST_ARENA_MAX_BYTES);
    status = tr_checkpoint_list(path, &arena, &steps, &count, err);
    if (status == TR_OK && count > 0)
        status = tr_checkpoint_path(path, steps[count - 1], out, err);
    else if (status == TR_OK)
        status = tr_fail(err, TR_BAD_INPUT, "%s: is neither a checkpoint nor a run folder that holds one", path);
    tr_arena_free(&arena);
    return status;
}
