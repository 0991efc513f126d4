/* Writing checkpoints: see checkpoint.h for the promises, shard.h for who writes what. */
#include "base/num.h"
#include "base/os.h"
#include "lab/train/checkpoint.h"
#include "lab/train/manifest.h"
#include "lab/train/shard.h"
#include "lab/exchange/safetensors.h"
#include "lab/train/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_ARENA_MAX_BYTES ((int64_t)256 << 20)

/* At most this much at a time, so that the two sums see the bytes while they are in the cache. */
enum { PIECE_BYTES = 1 << 18 };

/* ---- a shard ----------------------------------------------------------------------------------------------------- */

static enum tr_status write_tensor(struct tr_file_out *out, const float *values, int64_t bytes,
                                   struct tr_file_sum *written, struct tr_err *err)
{
    struct tr_sha256 sum;
    enum tr_status status = tr_sha256_start(&sum, err);
    for (int64_t at = 0; at < bytes && status == TR_OK; at += PIECE_BYTES) {
        size_t piece = (size_t)tr_min_i64(PIECE_BYTES, bytes - at);
        tr_sha256_update(&sum, (const char *)values + at, piece);
        status = tr_file_out_write(out, (const char *)values + at, piece, err);
    }
    if (status != TR_OK) {
        tr_sha256_drop(&sum);
        return status;
    }
    tr_sha256_finish(&sum, written->digest);
    written->bytes = bytes;
    return TR_OK;
}

/* The tensors of one file of a shard, as its header says them. */
struct file_list {
    int64_t count;
    struct tr_safetensor *tensor;
    const float **values;
};

static const char *tensor_name(struct tr_arena *arena, const struct tr_part *part, const struct tr_weight *weight, struct tr_err *err)
{
    return tr_arena_printf(arena, err, "%s%s", part->prefix, weight->name);
}

static enum tr_status list_tensors(const struct tr_sharding *split, int32_t shard, const struct tr_part *parts, int part_count,
                                   struct tr_arena *arena, struct file_list *list, struct tr_err *err)
{
    int64_t most = tr_sharding_tensors(split, shard, parts, part_count), at_tensor = 0;
    *list = (struct file_list){.count = most, .tensor = tr_arena_array(arena, most, sizeof *list->tensor, err)};
    list->values = list->tensor ? tr_arena_array(arena, most, sizeof *list->values, err) : NULL;
    if (!list->values)
        return TR_FAILED;
    for (struct tr_part_at at = TR_PART_FIRST; tr_sharding_next(split, shard, parts, part_count, &at); at_tensor++) {
        const struct tr_weight *weight = &split->weights->weight[at.index];
        const char *name = tensor_name(arena, &parts[at.part], weight, err);
        if (!name)
            return TR_FAILED;
        list->tensor[at_tensor] = (struct tr_safetensor){.name = name, .dtype = "F32", .rank = weight->rank,
                                                         .dim = {weight->dim[0], weight->rank > 1 ? weight->dim[1] : 0},
                                                         .bytes = weight->count * (int64_t)sizeof(float)};
        list->values[at_tensor] = parts[at.part].values[at.index];
    }
    return TR_OK;
}

static enum tr_status write_list(struct tr_file_out *out, const struct file_list *list, struct tr_file_sum *sums, struct tr_err *err)
{
    struct tr_text header = {0};
    enum tr_status status = tr_safetensors_header(list->tensor, list->count, &header, err);
    if (status == TR_OK)
        status = tr_file_out_write(out, tr_text_str(&header), header.len, err);
    tr_text_free(&header);
    for (int64_t i = 0; i < list->count && status == TR_OK; i++)
        status = write_tensor(out, list->values[i], list->tensor[i].bytes, &sums[i], err);
    return status;
}

static enum tr_status write_tensors(const char *path, const struct file_list *list, struct tr_file_sum *file,
                                    struct tr_file_sum *sums, struct tr_err *err)
{
    struct tr_file_out out;
    enum tr_status status = tr_file_out_open(&out, path, err);
    if (status != TR_OK)
        return status;
    status = write_list(&out, list, sums, err);
    if (status == TR_OK)
        status = tr_file_out_commit(&out, err);
    if (status != TR_OK) {
        tr_file_out_abort(&out);
        return status;
    }
    file->bytes = out.bytes;
    memcpy(file->digest, out.digest, sizeof file->digest);
    return TR_OK;
}

static enum tr_status write_shard(const char *folder, const struct tr_manifest *names, const struct tr_tensors *tensors,
                                  const struct tr_sharding *split, int32_t shard, struct tr_file_sum *sums, struct tr_arena *arena,
                                  struct tr_err *err)
{
    static const enum tr_checkpoint_file kinds[TR_SHARD_FILES] = {TR_FILE_MODEL, TR_FILE_OPTIMIZER};
    struct tr_file_sum *next = sums + TR_SHARD_FILES;
    enum tr_status status = TR_OK;
    for (int k = 0; k < TR_SHARD_FILES && status == TR_OK; k++) {
        char path[TR_PATH_BYTES];
        struct file_list list;
        struct tr_part parts[TR_FILE_PARTS_MAX];
        int part_count = tr_file_parts(kinds[k], tensors, parts);
        status = tr_path_join(path, folder, tr_manifest_file(names, kinds[k], shard)->name, err);
        if (status == TR_OK)
            status = list_tensors(split, shard, parts, part_count, arena, &list, err);
        if (status == TR_OK)
            status = write_tensors(path, &list, &sums[k], next, err);
        next += status == TR_OK ? list.count : 0;
    }
    return status;
}

enum tr_status tr_checkpoint_write_shard(const char *folder, const struct tr_tensors *tensors, const struct tr_sharding *split,
                                         int32_t shard, struct tr_file_sum *sums, struct tr_err *err)
{
    struct tr_manifest names;
    struct tr_arena arena;
    if (!tr_folder_exists(folder))
        return tr_fail(err, TR_FAILED, "%s: is not there: run.out must be on a file system that all ranks see", folder);
    tr_arena_init(&arena, "names of a checkpoint's tensors", NAMES_ARENA_MAX_BYTES);
    enum tr_status status = tr_manifest_start(&names, split->count, err);
    if (status == TR_OK)
        status = write_shard(folder, &names, tensors, split, shard, sums, &arena, err);
    tr_manifest_free(&names);
    tr_arena_free(&arena);
    return status;
}

/* ---- the other files --------------------------------------------------------------------------------------------- */

static void note_sum(struct tr_manifest_file *file, const struct tr_file_sum *sum)
{
    file->bytes = sum->bytes;
    tr_sha256_hex(sum->digest, file->sha256);
}

/* Frees the text. */
static enum tr_status write_text(const char *folder, struct tr_text *text, struct tr_manifest_file *file, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_file_out out;
    enum tr_status status = tr_text_failed(text, err) ? TR_FAILED : tr_path_join(path, folder, file->name, err);
    if (status == TR_OK)
        status = tr_file_out_open(&out, path, err);
    if (status == TR_OK)
        status = tr_file_out_write(&out, tr_text_str(text), text->len, err);
    if (status == TR_OK)
        status = tr_file_out_commit(&out, err);
    if (status == TR_OK) {
        file->bytes = out.bytes;
        tr_sha256_hex(out.digest, file->sha256);
    }
    tr_text_free(text);
    return status;
}

static enum tr_status write_config(const char *folder, const struct tr_model_config *model, const struct tr_manifest *manifest,
                                   struct tr_err *err)
{
    struct tr_text text = {0};
    struct tr_json json = tr_json_start(&text, TR_JSON_PRETTY);
    tr_model_config_write(model, &json);
    tr_text_char(&text, '\n');
    return write_text(folder, &text, tr_manifest_file(manifest, TR_FILE_CONFIG, 0), err);
}

static enum tr_status write_state(const char *folder, const struct tr_train_state *state, const struct tr_manifest *manifest,
                                  struct tr_err *err)
{
    struct tr_text text = {0};
    tr_state_text(state, &text);
    return write_text(folder, &text, tr_manifest_file(manifest, TR_FILE_STATE, 0), err);
}

/* Which shard has which tensor, as Hugging Face's programs look it up: a checkpoint of several shards is a model folder too. */
static enum tr_status write_index(const char *folder, const struct tr_sharding *split, const struct tr_manifest *manifest,
                                  struct tr_err *err)
{
    struct tr_text text = {0};
    struct tr_json json = tr_json_start(&text, TR_JSON_PRETTY);
    tr_json_object(&json, NULL);
    tr_json_object(&json, "metadata");
    tr_json_int(&json, "total_size", split->weights->element_count * (int64_t)sizeof(float));
    tr_json_end(&json);
    tr_json_object(&json, "weight_map");
    for (int32_t i = 0; i < split->weights->count; i++)
        tr_json_string(&json, split->weights->weight[i].name, tr_manifest_file(manifest, TR_FILE_MODEL, split->of[i])->name);
    tr_json_end(&json);
    tr_json_end(&json);
    tr_text_char(&text, '\n');
    return write_text(folder, &text, tr_manifest_file(manifest, TR_FILE_INDEX, 0), err);
}

static enum tr_status write_manifest(const char *folder, const struct tr_manifest *manifest, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_text text = {0};
    tr_manifest_text(manifest, &text);
    enum tr_status status = tr_text_failed(&text, err) ? TR_FAILED : TR_OK;
    if (status == TR_OK)
        status = tr_path_join(path, folder, "manifest.json", err);
    if (status == TR_OK)
        status = tr_file_write(path, tr_text_str(&text), text.len, err);
    tr_text_free(&text);
    return status;
}

/* What writers of a file of tensors found out, into its entry. Returns the sums that follow; NULL on failure. */
static const struct tr_file_sum *note_tensors(const struct tr_sharding *split, int32_t shard, enum tr_checkpoint_file kind,
                                              const struct tr_file_sum *sums, struct tr_manifest *manifest, struct tr_err *err)
{
    struct tr_part parts[TR_FILE_PARTS_MAX];
    int part_count = tr_file_parts(kind, &(struct tr_tensors){0}, parts);
    struct tr_manifest_file *file = tr_manifest_file(manifest, kind, shard);
    file->tensor = tr_arena_array(&manifest->arena, tr_sharding_tensors(split, shard, parts, part_count), sizeof *file->tensor, err);
    if (!file->tensor)
        return NULL;
    for (struct tr_part_at at = TR_PART_FIRST; tr_sharding_next(split, shard, parts, part_count, &at); sums++) {
        struct tr_manifest_tensor *tensor = &file->tensor[file->tensor_count++];
        tensor->name = tensor_name(&manifest->arena, &parts[at.part], &split->weights->weight[at.index], err);
        if (!tensor->name)
            return NULL;
        tr_sha256_hex(sums->digest, tensor->sha256);
    }
    return sums;
}

static enum tr_status note_shards(const struct tr_sharding *split, const struct tr_file_sum *sums, struct tr_manifest *manifest,
                                  struct tr_err *err)
{
    for (int32_t shard = 0; shard < split->count; shard++) {
        note_sum(tr_manifest_file(manifest, TR_FILE_MODEL, shard), &sums[0]);
        note_sum(tr_manifest_file(manifest, TR_FILE_OPTIMIZER, shard), &sums[1]);
        sums = note_tensors(split, shard, TR_FILE_MODEL, sums + TR_SHARD_FILES, manifest, err);
        if (sums)
            sums = note_tensors(split, shard, TR_FILE_OPTIMIZER, sums, manifest, err);
        if (!sums)
            return TR_FAILED;
    }
    return TR_OK;
}

/* ---- the folder -------------------------------------------------------------------------------------------------- */

static enum tr_status write_rest(const struct tr_checkpoint_out *out, const struct tr_sharding *split, const struct tr_file_sum *sums,
                                 struct tr_err *err)
{
    struct tr_manifest manifest;
    enum tr_status status = tr_manifest_start(&manifest, split->count, err);
    manifest.step = out->state->step;
    if (status == TR_OK)
        status = note_shards(split, sums, &manifest, err);
    if (status == TR_OK)
        status = write_config(out->folder, out->model, &manifest, err);
    if (status == TR_OK && split->count > 1)
        status = write_index(out->folder, split, &manifest, err);
    if (status == TR_OK)
        status = write_state(out->folder, out->state, &manifest, err);
    if (status == TR_OK)
        status = write_manifest(out->folder, &manifest, err);
    if (status == TR_OK)
        status = tr_folder_sync(out->folder, err);
    tr_manifest_free(&manifest);
    return status;
}

/* tmp becomes final. A checkpoint of the same step that is there already (a damaged one that was passed over) steps
 * aside first: a folder cannot be renamed over a full one. */
static enum tr_status put_in_place(const char *tmp, const char *final, struct tr_err *err)
{
    char old[TR_PATH_BYTES + 8];
    enum tr_status status;
    if (!tr_file_exists(final))
        return tr_rename(tmp, final, err);
    snprintf(old, sizeof old, "%s.old", final);
    if ((status = tr_folder_remove(old, err)) != TR_OK)
        return status;
    if ((status = tr_rename(final, old, err)) != TR_OK)
        return status;
    if ((status = tr_rename(tmp, final, err)) != TR_OK)
        return status;
    return tr_folder_remove(old, err);
}

enum tr_status tr_checkpoint_begin(const char *run_folder, int64_t step, const char *attempt, char folder[TR_PATH_BYTES],
                                   struct tr_err *err)
{
    char final[TR_PATH_BYTES];
    folder[0] = 0;
    enum tr_status status = tr_checkpoint_path(run_folder, step, final, err);
    if (status == TR_OK && strlen(final) + strlen(attempt) + sizeof ".tmp" > TR_PATH_BYTES)
        status = tr_fail(err, TR_BAD_INPUT, "%.200s...: a path of more than %d bytes", final, TR_PATH_BYTES - 1);
    if (status != TR_OK)
        return status;
    stpcpy(stpcpy(stpcpy(folder, final), attempt), ".tmp");
    status = tr_checkpoint_remove_unfinished(run_folder, err);
    return status == TR_OK ? tr_folder_make(folder, err) : status;
}

void tr_checkpoint_give_up(const char *folder, int64_t step, struct tr_err *err)
{
    struct tr_err ignored;
    if (folder[0] && tr_folder_remove(folder, &ignored) != TR_OK)
        tr_err_prefix(err, "(and %.200s is left over)", folder);
    tr_err_prefix(err, "the checkpoint of step %lld was not written", (long long)step);
}

enum tr_status tr_checkpoint_finish(const struct tr_checkpoint_out *out, const struct tr_sharding *split, const struct tr_file_sum *sums,
                                    const struct tr_keep *keep, struct tr_err *err)
{
    char final[TR_PATH_BYTES];
    enum tr_status status = tr_checkpoint_path(out->run_folder, out->state->step, final, err);
    if (status == TR_OK)
        status = write_rest(out, split, sums, err);
    if (status == TR_OK)
        status = put_in_place(out->folder, final, err);
    if (status != TR_OK) {
        tr_checkpoint_give_up(out->folder, out->state->step, err);
        return status;
    }
    status = tr_checkpoint_remove_older(out->run_folder, out->state->step, keep, err);
    if (status != TR_OK)
        tr_err_prefix(err, "the checkpoint of step %lld is written, older ones were not removed", (long long)out->state->step);
    return status;
}

enum tr_status tr_checkpoint_write(const char *run_folder, const struct tr_model_config *model,
                                   const struct tr_tensors *tensors, const struct tr_train_state *state,
                                   const struct tr_keep *keep, struct tr_err *err)
{
    char folder[TR_PATH_BYTES];
    const struct tr_sharding whole = tr_sharding_whole(tensors->weights);
    struct tr_file_sum *sums = calloc((size_t)tr_shard_sums(&whole, 0), sizeof *sums);
    if (!sums)
        return tr_fail(err, TR_FAILED, "out of memory for %lld sums", (long long)tr_shard_sums(&whole, 0));
    enum tr_status status = tr_checkpoint_begin(run_folder, state->step, "", folder, err);
    if (status == TR_OK)
        status = tr_checkpoint_write_shard(folder, tensors, &whole, 0, sums, err);
    if (status != TR_OK) {
        tr_checkpoint_give_up(folder, state->step, err);
        goto free_sums;
    }
    const struct tr_checkpoint_out out = {.run_folder = run_folder, .folder = folder, .model = model, .state = state};
    status = tr_checkpoint_finish(&out, &whole, sums, keep, err);
free_sums:
    free(sums);
    return status;
}
