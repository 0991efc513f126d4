/* Writing checkpoints, and removing old ones: see checkpoint.h for the promises. */
#include "base/num.h"
#include "base/os.h"
#include "lab/train/checkpoint.h"
#include "lab/train/manifest.h"
#include "lab/train/parts.h"
#include "lab/exchange/safetensors.h"
#include "lab/train/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_ARENA_MAX_BYTES ((int64_t)256 << 20)
#define PREFIX "step-"

/* At most this much at a time, so that the two sums see the bytes while they are in the cache. */
enum { PIECE_BYTES = 1 << 18, STEP_DIGITS_MAX = 18 };

enum tr_status tr_checkpoint_path(const char *run_folder, int64_t step, char path[TR_PATH_BYTES], struct tr_err *err)
{
    char name[32];
    snprintf(name, sizeof name, PREFIX "%08lld", (long long)step);
    return tr_path_join(path, run_folder, name, err);
}

/* ---- which there are --------------------------------------------------------------------------------------------- */

/* -1 when the name is not that of a checkpoint. */
static int64_t step_of_name(const char *name)
{
    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
        return -1;
    const char *digits = name + strlen(PREFIX);
    size_t count = strspn(digits, "0123456789");
    if (count < 8 || count > STEP_DIGITS_MAX || digits[count] != 0)
        return -1;
    return strtoll(digits, NULL, 10);
}

static int by_step(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

enum tr_status tr_checkpoint_list(const char *run_folder, struct tr_arena *arena, int64_t **steps, int64_t *count,
                                  struct tr_err *err)
{
    const char *const *names;
    int64_t name_count, found = 0;
    if (!tr_folder_exists(run_folder)) {
        *steps = NULL;
        *count = 0;
        return TR_OK;
    }
    enum tr_status status = tr_folder_list(run_folder, arena, &names, &name_count, err);
    if (status != TR_OK)
        return status;
    int64_t *list = tr_arena_array(arena, name_count, sizeof *list, err);
    if (!list)
        return TR_FAILED;
    for (int64_t i = 0; i < name_count; i++)
        if (step_of_name(names[i]) >= 0)
            list[found++] = step_of_name(names[i]);
    qsort(list, (size_t)found, sizeof *list, by_step);
    *steps = list;
    *count = found;
    return TR_OK;
}

/* ---- one file ---------------------------------------------------------------------------------------------------- */

static void note_file(struct tr_manifest_file *file, const struct tr_file_out *out)
{
    file->bytes = out->bytes;
    tr_sha256_hex(out->digest, file->sha256);
}

static enum tr_status write_text(const char *folder, enum tr_checkpoint_file file, const struct tr_text *text,
                                 struct tr_manifest *manifest, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_file_out out;
    if (tr_text_failed(text, err))
        return TR_FAILED;
    enum tr_status status = tr_path_join(path, folder, tr_checkpoint_file_name(file), err);
    if (status == TR_OK)
        status = tr_file_out_open(&out, path, err);
    if (status != TR_OK)
        return status;
    status = tr_file_out_write(&out, tr_text_str(text), text->len, err);
    if (status == TR_OK)
        status = tr_file_out_commit(&out, err);
    if (status == TR_OK)
        note_file(&manifest->file[file], &out);
    return status;
}

static enum tr_status write_tensor(struct tr_file_out *out, const float *values, int64_t bytes,
                                   char sha256[TR_SHA256_HEX_BYTES], struct tr_err *err)
{
    struct tr_sha256 sum;
    uint8_t digest[TR_SHA256_BYTES];
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
    tr_sha256_finish(&sum, digest);
    tr_sha256_hex(digest, sha256);
    return TR_OK;
}

static enum tr_status write_parts(struct tr_file_out *out, const struct tr_weights *weights, const struct tr_part *parts,
                                  int part_count, struct tr_manifest *manifest, struct tr_manifest_file *file,
                                  struct tr_err *err)
{
    int64_t most = (int64_t)part_count * weights->count, count = 0;
    struct tr_safetensor *list = tr_arena_array(&manifest->arena, most, sizeof *list, err);
    const float **values = tr_arena_array(&manifest->arena, most, sizeof *values, err);
    file->tensor = tr_arena_array(&manifest->arena, most, sizeof *file->tensor, err);
    if (!list || !values || !file->tensor)
        return TR_FAILED;
    for (struct tr_part_at at = TR_PART_FIRST; tr_part_next(parts, part_count, weights, &at); count++) {
        const struct tr_weight *weight = &weights->weight[at.index];
        const char *name = tr_arena_printf(&manifest->arena, err, "%s%s", parts[at.part].prefix, weight->name);
        if (!name)
            return TR_FAILED;
        list[count] = (struct tr_safetensor){.name = name, .dtype = "F32", .rank = weight->rank,
                                             .dim = {weight->dim[0], weight->rank > 1 ? weight->dim[1] : 0},
                                             .bytes = weight->count * (int64_t)sizeof(float)};
        values[count] = parts[at.part].values[at.index];
        file->tensor[count].name = name;
    }
    struct tr_text header = {0};
    enum tr_status status = tr_safetensors_header(list, count, &header, err);
    if (status == TR_OK)
        status = tr_file_out_write(out, tr_text_str(&header), header.len, err);
    tr_text_free(&header);
    for (int64_t i = 0; i < count && status == TR_OK; i++)
        status = write_tensor(out, values[i], list[i].bytes, file->tensor[i].sha256, err);
    file->tensor_count = count;
    return status;
}

static enum tr_status write_tensors(const char *folder, enum tr_checkpoint_file file, const struct tr_weights *weights,
                                    const struct tr_part *parts, int part_count, struct tr_manifest *manifest,
                                    struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_file_out out;
    enum tr_status status = tr_path_join(path, folder, tr_checkpoint_file_name(file), err);
    if (status == TR_OK)
        status = tr_file_out_open(&out, path, err);
    if (status != TR_OK)
        return status;
    status = write_parts(&out, weights, parts, part_count, manifest, &manifest->file[file], err);
    if (status == TR_OK)
        status = tr_file_out_commit(&out, err);
    if (status != TR_OK) {
        tr_file_out_abort(&out);
        return status;
    }
    note_file(&manifest->file[file], &out);
    return TR_OK;
}

/* ---- the folder -------------------------------------------------------------------------------------------------- */

static enum tr_status write_config(const char *folder, const struct tr_model_config *model,
                                   struct tr_manifest *manifest, struct tr_err *err)
{
    struct tr_text text = {0};
    struct tr_json json = tr_json_start(&text, TR_JSON_PRETTY);
    tr_model_config_write(model, &json);
    tr_text_char(&text, '\n');
    enum tr_status status = write_text(folder, TR_FILE_CONFIG, &text, manifest, err);
    tr_text_free(&text);
    return status;
}

static enum tr_status write_state(const char *folder, const struct tr_train_state *state,
                                  struct tr_manifest *manifest, struct tr_err *err)
{
    struct tr_text text = {0};
    tr_state_text(state, &text);
    enum tr_status status = write_text(folder, TR_FILE_STATE, &text, manifest, err);
    tr_text_free(&text);
    return status;
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

static enum tr_status write_files(const char *folder, const struct tr_model_config *model,
                                  const struct tr_tensors *tensors, const struct tr_train_state *state,
                                  struct tr_err *err)
{
    const struct tr_part weights = {"", tensors->w, 0}, moments[] = {{"m.", tensors->m, 1}, {"v.", tensors->v, 2}};
    struct tr_manifest manifest;
    tr_manifest_start(&manifest);
    manifest.step = state->step;
    enum tr_status status = write_config(folder, model, &manifest, err);
    if (status == TR_OK)
        status = write_tensors(folder, TR_FILE_MODEL, tensors->weights, &weights, 1, &manifest, err);
    if (status == TR_OK)
        status = write_tensors(folder, TR_FILE_OPTIMIZER, tensors->weights, moments, 2, &manifest, err);
    if (status == TR_OK)
        status = write_state(folder, state, &manifest, err);
    if (status == TR_OK)
        status = write_manifest(folder, &manifest, err);
    if (status == TR_OK)
        status = tr_folder_sync(folder, err);
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

/* ---- removing ---------------------------------------------------------------------------------------------------- */

/* The cheap test for what is worth keeping: sizes, not sums. */
static bool looks_whole(const char *checkpoint)
{
    struct tr_manifest manifest;
    struct tr_err ignored;
    if (tr_manifest_read(checkpoint, &manifest, &ignored) != TR_OK)
        return false;
    bool whole = true;
    for (int i = 0; i < TR_CHECKPOINT_FILES && whole; i++) {
        char path[TR_PATH_BYTES];
        int64_t bytes;
        whole = tr_path_join(path, checkpoint, tr_checkpoint_file_name(i), &ignored) == TR_OK &&
                tr_file_bytes(path, &bytes, &ignored) == TR_OK && bytes == manifest.file[i].bytes;
    }
    tr_manifest_free(&manifest);
    return whole;
}

/* Renamed first, so that whoever is killed in the middle leaves no checkpoint with half of its files. */
static enum tr_status remove_checkpoint(const char *path, struct tr_err *err)
{
    char old[TR_PATH_BYTES + 8];
    snprintf(old, sizeof old, "%s.old", path);
    enum tr_status status = tr_folder_remove(old, err);
    if (status == TR_OK)
        status = tr_rename(path, old, err);
    return status == TR_OK ? tr_folder_remove(old, err) : status;
}

static bool stays_anyway(const struct tr_keep *keep, int64_t step)
{
    for (size_t i = 0; i < sizeof keep->step / sizeof *keep->step; i++)
        if (step == keep->step[i])
            return true;
    return keep->every > 0 && step % keep->every == 0;
}

static enum tr_status remove_older(const char *run_folder, int64_t newest, const struct tr_keep *keep,
                                   struct tr_arena *arena, struct tr_err *err)
{
    int64_t *steps, count, kept = 0;
    enum tr_status status = tr_checkpoint_list(run_folder, arena, &steps, &count, err);
    for (int64_t i = count - 1; i >= 0 && status == TR_OK; i--) {
        char path[TR_PATH_BYTES];
        if (steps[i] > newest)
            continue;
        if ((status = tr_checkpoint_path(run_folder, steps[i], path, err)) != TR_OK)
            return status;
        if (kept < keep->last)
            kept += steps[i] == newest || looks_whole(path);
        else if (!stays_anyway(keep, steps[i]))
            status = remove_checkpoint(path, err);
    }
    return status;
}

enum tr_status tr_checkpoint_remove_later(const char *run_folder, int64_t step, struct tr_err *err)
{
    struct tr_arena arena;
    int64_t *steps, count;
    tr_arena_init(&arena, "list of checkpoints", LIST_ARENA_MAX_BYTES);
    enum tr_status status = tr_checkpoint_list(run_folder, &arena, &steps, &count, err);
    for (int64_t i = count - 1; status == TR_OK && i >= 0 && steps[i] > step; i--) {
        char path[TR_PATH_BYTES];
        status = tr_checkpoint_path(run_folder, steps[i], path, err);
        if (status == TR_OK)
            status = remove_checkpoint(path, err);
    }
    tr_arena_free(&arena);
    return status;
}

static bool is_leftover(const char *name)
{
    size_t length = strlen(name);
    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0 || length < strlen(PREFIX) + 4)
        return false;
    return strcmp(name + length - 4, ".tmp") == 0 || strcmp(name + length - 4, ".old") == 0;
}

static enum tr_status remove_leftovers(const char *run_folder, struct tr_arena *arena, struct tr_err *err)
{
    const char *const *names;
    int64_t count;
    enum tr_status status = tr_folder_list(run_folder, arena, &names, &count, err);
    for (int64_t i = 0; i < count && status == TR_OK; i++) {
        char path[TR_PATH_BYTES];
        if (!is_leftover(names[i]))
            continue;
        status = tr_path_join(path, run_folder, names[i], err);
        if (status == TR_OK)
            status = tr_folder_remove(path, err);
    }
    return status;
}

enum tr_status tr_checkpoint_write(const char *run_folder, const struct tr_model_config *model,
                                   const struct tr_tensors *tensors, const struct tr_train_state *state,
                                   const struct tr_keep *keep, struct tr_err *err)
{
    char final[TR_PATH_BYTES], tmp[TR_PATH_BYTES + 8];
    struct tr_err ignored;
    enum tr_status status = tr_checkpoint_path(run_folder, state->step, final, err);
    if (status != TR_OK)
        return status;
    snprintf(tmp, sizeof tmp, "%s.tmp", final);
    if ((status = tr_folder_remove(tmp, err)) == TR_OK && (status = tr_folder_make(tmp, err)) == TR_OK)
        status = write_files(tmp, model, tensors, state, err);
    if (status == TR_OK)
        status = put_in_place(tmp, final, err);
    if (status != TR_OK) {
        if (tr_folder_remove(tmp, &ignored) != TR_OK)
            tr_err_prefix(err, "(and %.200s is left over)", tmp);
        tr_err_prefix(err, "the checkpoint of step %lld was not written", (long long)state->step);
        return status;
    }
    struct tr_arena arena;
    tr_arena_init(&arena, "list of checkpoints", LIST_ARENA_MAX_BYTES);
    status = remove_leftovers(run_folder, &arena, err);
    if (status == TR_OK && keep->last > 0)
        status = remove_older(run_folder, state->step, keep, &arena, err);
    tr_arena_free(&arena);
    if (status != TR_OK)
        tr_err_prefix(err, "the checkpoint of step %lld is written, older ones were not removed", (long long)state->step);
    return status;
}
