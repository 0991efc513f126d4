/* The checkpoints of a run folder: which there are, and which of them go. */
#include "base/os.h"
#include "lab/train/checkpoint.h"
#include "lab/train/manifest.h"
#include "lab/train/shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_ARENA_MAX_BYTES ((int64_t)256 << 20)
#define PREFIX "step-"

enum { STEP_DIGITS_MAX = 18 };

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

/* ---- removing ---------------------------------------------------------------------------------------------------- */

/* The cheap test for what is worth keeping: sizes, not sums. */
static bool looks_whole(const char *checkpoint)
{
    struct tr_manifest manifest;
    struct tr_err ignored;
    if (tr_manifest_read(checkpoint, &manifest, &ignored) != TR_OK)
        return false;
    bool whole = true;
    for (int32_t i = 0; i < manifest.files && whole; i++) {
        char path[TR_PATH_BYTES];
        int64_t bytes;
        whole = tr_path_join(path, checkpoint, manifest.file[i].name, &ignored) == TR_OK &&
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

static bool ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

/* Of saves that were not finished, .tmp, and of removals, .old. */
static enum tr_status remove_leftovers(const char *run_folder, bool old_too, struct tr_arena *arena, struct tr_err *err)
{
    const char *const *names;
    int64_t count;
    enum tr_status status = tr_folder_list(run_folder, arena, &names, &count, err);
    for (int64_t i = 0; i < count && status == TR_OK; i++) {
        char path[TR_PATH_BYTES];
        bool is_old = ends_with(names[i], ".old");
        if (strncmp(names[i], PREFIX, strlen(PREFIX)) != 0 || !(is_old ? old_too : ends_with(names[i], ".tmp")))
            continue;
        status = tr_path_join(path, run_folder, names[i], err);
        if (status == TR_OK)
            status = tr_folder_remove(path, err);
    }
    return status;
}

enum tr_status tr_checkpoint_remove_unfinished(const char *run_folder, struct tr_err *err)
{
    struct tr_arena arena;
    if (!tr_folder_exists(run_folder))
        return TR_OK;
    tr_arena_init(&arena, "list of checkpoints", LIST_ARENA_MAX_BYTES);
    enum tr_status status = remove_leftovers(run_folder, false, &arena, err);
    tr_arena_free(&arena);
    return status;
}

enum tr_status tr_checkpoint_remove_older(const char *run_folder, int64_t newest, const struct tr_keep *keep, struct tr_err *err)
{
    struct tr_arena arena;
    tr_arena_init(&arena, "list of checkpoints", LIST_ARENA_MAX_BYTES);
    enum tr_status status = remove_leftovers(run_folder, true, &arena, err);
    if (status == TR_OK && keep->last > 0)
        status = remove_older(run_folder, newest, keep, &arena, err);
    tr_arena_free(&arena);
    return status;
}
