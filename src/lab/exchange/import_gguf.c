/* GGUF: one file that holds everything. */
#include "lab/exchange/gguf_model.h"
#include "lab/exchange/import.h"

#include "base/num.h"

#include <stdlib.h>
#include <string.h>

#define FACTORS_NAME "rope_freqs.weight"

static enum tr_status list_tensors(struct tr_import *import, const struct tr_gguf *file, struct tr_err *err)
{
    struct tr_inner *inner = tr_arena_array(&import->arena, file->tensor_count, sizeof *inner, err);
    import->tensors = inner ? tr_arena_array(&import->arena, 1, sizeof *import->tensors, err) : NULL;
    if (!import->tensors)
        return TR_FAILED;
    for (int64_t i = 0; i < file->tensor_count; i++) {
        const struct tr_gguf_tensor *t = &file->tensor[i];
        inner[i] = (struct tr_inner){.path = import->path, .type = t->type, .type_name = tr_element_name(t->type),
                                     .rank = t->rank, .dim = {t->dim[0], t->dim[1]}, .begin = t->begin};
        inner[i].name = tr_arena_copy(&import->arena, t->name, (int64_t)strlen(t->name), err);
        if (!inner[i].name)
            return TR_FAILED;
    }
    return tr_inner_table_make(import->tensors, inner, file->tensor_count, &import->arena, err);
}

static enum tr_status read_rope(struct tr_import *import, const struct tr_gguf *file, struct tr_err *err)
{
    const struct tr_inner *inner = tr_inner_find(import->tensors, FACTORS_NAME);
    float factors[TR_HEAD_DIM_MAX / 2];
    if (!inner || !tr_has_rope(&import->model))
        return TR_OK;
    const struct tr_weight weight = {.name = FACTORS_NAME, .rank = 1, .dim = {import->model.head_dim / 2, 1}};
    const struct tr_weights weights = {.count = 1, .weight = (struct tr_weight *)&weight};
    const struct tr_outer outer = {.name = FACTORS_NAME, .joined = 1, .rank = 1, .dim = {weight.dim[0], 1}};
    enum tr_status status = tr_inner_read(inner, &outer, &weights, (float *const[]){factors}, err);
    return status == TR_OK ? tr_gguf_rope(file, factors, &import->model, err) : status;
}

enum tr_status tr_import_gguf(struct tr_import *import, struct tr_err *err)
{
    struct tr_gguf file;
    enum tr_status status = tr_gguf_open(import->path, &file, err);
    if (status != TR_OK)
        return status;
    import->has_token = tr_gguf_has_token(&file);
    status = tr_gguf_model(&file, &import->model, err);
    if (status == TR_OK)
        status = list_tensors(import, &file, err);
    if (status == TR_OK)
        status = read_rope(import, &file, err);
    tr_gguf_free(&file);
    if (status == TR_OK)
        tr_model_name_from_path(import->model.name, import->path);
    return status;
}

static enum tr_status token_of_gguf(const char *path, struct tr_token **out, struct tr_err *err)
{
    struct tr_gguf file;
    enum tr_status status = tr_gguf_open(path, &file, err);
    if (status != TR_OK)
        return status;
    status = tr_gguf_token(&file, out, err);
    if (status == TR_OK && !*out)
        status = tr_fail(err, TR_BAD_INPUT, "%s: holds no tokenizer: give a tokenizer.json", path);
    tr_gguf_free(&file);
    return status;
}

enum tr_status tr_import_token(const char *path, struct tr_token **out, struct tr_err *err)
{
    return tr_import_is_gguf(path) ? token_of_gguf(path, out, err) : tr_token_read(path, out, err);
}
