#include "lab/exchange/import.h"

#include <string.h>

#define ARENA_MAX_BYTES ((int64_t)1 << 30)

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static bool holds(const char *folder, const char *file)
{
    char path[TR_PATH_BYTES];
    struct tr_err ignored;
    return tr_path_join(path, folder, file, &ignored) == TR_OK && tr_file_exists(path);
}

bool tr_import_is_gguf(const char *path)
{
    return ends_with(path, ".gguf") && tr_file_exists(path) && !tr_folder_exists(path);
}

bool tr_import_is(const char *path)
{
    if (!tr_folder_exists(path))
        return tr_import_is_gguf(path);
    return holds(path, "config.json") &&
           (holds(path, "model.safetensors") || holds(path, "model.safetensors.index.json"));
}

enum tr_status tr_import_open(struct tr_import *import, const char *path, struct tr_err *err)
{
    struct tr_import made = {.is_gguf = !tr_folder_exists(path)};
    if (strlen(path) >= sizeof made.path)
        return tr_fail(err, TR_BAD_INPUT, "%.200s...: a path of more than %d bytes", path, TR_PATH_BYTES - 1);
    if (made.is_gguf && !tr_file_exists(path))
        return tr_fail(err, TR_BAD_INPUT, "%s: there is no such folder or file", path);
    strcpy(made.path, path);
    tr_arena_init(&made.arena, "list of tensors of a model", ARENA_MAX_BYTES);
    *import = made;
    enum tr_status status = made.is_gguf ? tr_import_gguf(import, err) : tr_import_folder(import, err);
    if (status != TR_OK)
        tr_import_close(import);
    return status;
}

void tr_import_close(struct tr_import *import)
{
    tr_arena_free(&import->arena);
    memset(import, 0, sizeof *import);
}

/* ---- weights ----------------------------------------------------------------------------------------------------- */

/* GPT-2's tensors are saved with and without the prefix. */
static const struct tr_inner *find(const struct tr_import *import, const char *name)
{
    static const char prefix[] = "transformer.";
    const struct tr_inner *inner = tr_inner_find(import->tensors, name);
    if (!inner && strncmp(name, prefix, strlen(prefix)) == 0)
        inner = tr_inner_find(import->tensors, name + strlen(prefix));
    return inner;
}

/* What the model does not have and need not: masks and frequencies that can be computed, and the second name of a tied
 * table. */
static bool may_be_left(const struct tr_model_config *model, const char *name)
{
    return ends_with(name, ".attn.bias") || ends_with(name, ".attn.masked_bias") ||
           ends_with(name, ".rotary_emb.inv_freq") || strcmp(name, "rope_freqs.weight") == 0 ||
           (model->tied && (strcmp(name, "lm_head.weight") == 0 || strcmp(name, "output.weight") == 0));
}

static enum tr_status check_left(const struct tr_import *import, const bool *used, struct tr_err *err)
{
    for (int64_t i = 0; i < import->tensors->count; i++) {
        const struct tr_inner *inner = &import->tensors->inner[i];
        if (!used[i] && !may_be_left(&import->model, inner->name))
            return tr_fail(err, TR_BAD_INPUT, "%s: tensor %.96s has no place in the model that the config describes",
                           inner->path, inner->name);
    }
    return TR_OK;
}

static enum tr_status read_all(const struct tr_import *import, const struct tr_outer_list *list, bool *used,
                               const struct tr_weights *weights, float *const *w, struct tr_err *err)
{
    for (int32_t i = 0; i < list->count; i++) {
        const struct tr_outer *outer = &list->outer[i];
        const struct tr_inner *inner = find(import, outer->name);
        if (!inner && !import->is_peft && weights->weight[outer->weight[0]].role >= TR_W_LORA_A)
            continue;
        if (!inner)
            return tr_fail(err, TR_BAD_INPUT, "%s: has no tensor %s, which the model needs", import->path, outer->name);
        enum tr_status status = tr_inner_read(inner, outer, weights, w, err);
        if (status != TR_OK)
            return status;
        used[inner - import->tensors->inner] = true;
    }
    return TR_OK;
}

enum tr_status tr_import_weights(const struct tr_import *import, const struct tr_weights *weights, float *const *w,
                                 struct tr_err *err)
{
    enum tr_outer_kind kind = import->is_gguf ? TR_OUTER_GGUF : import->is_peft ? TR_OUTER_PEFT
                              : import->is_own ? TR_OUTER_OWN : TR_OUTER_HF;
    struct tr_outer_list list;
    struct tr_arena arena;
    tr_arena_init(&arena, "tensors of a model", ARENA_MAX_BYTES);
    enum tr_status status = tr_outer_list_make(&list, kind, &import->model, weights, &arena, err);
    bool *used = status == TR_OK ? tr_arena_array(&arena, import->tensors->count, sizeof *used, err) : NULL;
    if (status == TR_OK && !used)
        status = TR_FAILED;
    if (status == TR_OK)
        status = read_all(import, &list, used, weights, w, err);
    if (status == TR_OK)
        status = check_left(import, used, err);
    tr_arena_free(&arena);
    return status;
}
