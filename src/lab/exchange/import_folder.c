/* Hugging Face folders: config.json and one or many safetensors files. */
#include "lab/exchange/import.h"

#include "base/doc.h"
#include "lab/exchange/safetensors.h"

#include <string.h>

enum { FILES_MAX = 10000 };

struct files {
    const char **name; /* in the folder */
    int64_t count;
};

/* Tensors of all files so far. */
struct listing {
    struct tr_inner *inner;
    int64_t count, room;
};

static enum tr_element element_of(const char *dtype)
{
    for (int i = 0; i <= TR_ELEMENT_BF16; i++)
        if (strcmp(dtype, tr_element_name((enum tr_element)i)) == 0)
            return (enum tr_element)i;
    return TR_ELEMENT_COUNT;
}

static enum tr_status list_file(struct tr_import *import, const char *name, struct listing *list, struct tr_err *err)
{
    char joined[TR_PATH_BYTES];
    struct tr_safetensors file;
    enum tr_status status = tr_path_join(joined, import->path, name, err);
    const char *path = status == TR_OK ? tr_arena_printf(&import->arena, err, "%s", joined) : NULL;
    if (!path)
        return status == TR_OK ? TR_FAILED : status;
    if ((status = tr_safetensors_open(path, &file, err)) != TR_OK)
        return status;
    struct tr_inner *grown = tr_arena_array(&import->arena, list->count + file.count, sizeof *grown, err);
    if (!grown) {
        tr_safetensors_free(&file);
        return TR_FAILED;
    }
    if (list->count)
        memcpy(grown, list->inner, (size_t)list->count * sizeof *grown);
    list->inner = grown;
    for (int64_t i = 0; i < file.count && status == TR_OK; i++) {
        const struct tr_safetensor *t = &file.tensor[i];
        struct tr_inner *inner = &list->inner[list->count++];
        *inner = (struct tr_inner){.path = path, .type = element_of(t->dtype), .rank = t->rank, .begin = t->begin,
                                   .dim = {t->rank > 0 ? t->dim[0] : 1, t->rank > 1 ? t->dim[1] : 1}};
        inner->name = tr_arena_printf(&import->arena, err, "%s", t->name);
        inner->type_name = tr_arena_printf(&import->arena, err, "%s", t->dtype);
        status = inner->name && inner->type_name ? TR_OK : TR_FAILED;
    }
    tr_safetensors_free(&file);
    return status;
}

/* ---- the index of a sharded model -------------------------------------------------------------------------------- */

static enum tr_status add_file(struct tr_import *import, const struct tr_node *entry, struct files *files,
                               struct tr_err *err)
{
    const char *name;
    enum tr_status status = tr_node_string(entry, &name, err);
    if (status != TR_OK)
        return status;
    for (int64_t i = 0; i < files->count; i++)
        if (strcmp(files->name[i], name) == 0)
            return TR_OK;
    if (name[0] == 0 || name[0] == '.' || strchr(name, '/'))
        return tr_node_fail(entry, err, "\"%.96s\": expected the name of a file in the same folder", name);
    if (files->count == FILES_MAX)
        return tr_node_fail(entry, err, "more than %d files", FILES_MAX);
    files->name[files->count] = tr_arena_printf(&import->arena, err, "%s", name);
    return files->name[files->count++] ? TR_OK : TR_FAILED;
}

static enum tr_status read_index(struct tr_import *import, const struct tr_doc *doc, struct files *files,
                                 struct tr_err *err)
{
    const struct tr_node *map;
    enum tr_status status = tr_doc_object(tr_doc_root(doc), "weight_map", TR_REQUIRED, &map, err);
    files->name = tr_arena_array(&import->arena, FILES_MAX, sizeof *files->name, err);
    if (status == TR_OK && !files->name)
        status = TR_FAILED;
    for (int64_t i = 0; status == TR_OK && i < map->count; i++)
        status = add_file(import, &map->children[i], files, err);
    return status;
}

/* Each tensor lies in the file that the index says. */
static enum tr_status check_index(const struct tr_import *import, const struct tr_doc *doc, struct tr_err *err)
{
    const struct tr_node *map = tr_doc_find(tr_doc_root(doc), "weight_map");
    for (int64_t i = 0; i < map->count; i++) {
        const struct tr_node *entry = &map->children[i];
        const struct tr_inner *inner = tr_inner_find(import->tensors, entry->key);
        if (!inner || strcmp(strrchr(inner->path, '/') + 1, entry->string) != 0)
            return tr_node_fail(entry, err, "%s has no tensor of this name", entry->string);
    }
    if (map->count != import->tensors->count)
        return tr_node_fail(map, err, "%lld tensors, the files have %lld", (long long)map->count,
                            (long long)import->tensors->count);
    return TR_OK;
}

static enum tr_status make_table(struct tr_import *import, const struct listing *list, struct tr_err *err)
{
    import->tensors = tr_arena_array(&import->arena, 1, sizeof *import->tensors, err);
    if (!import->tensors)
        return TR_FAILED;
    return tr_inner_table_make(import->tensors, list->inner, list->count, &import->arena, err);
}

static enum tr_status open_sharded(struct tr_import *import, const char *index_path, struct tr_err *err)
{
    struct tr_doc *doc;
    struct files files = {0};
    struct listing list = {0};
    enum tr_status status = tr_doc_read(index_path, TR_DOC_JSON, &doc, err);
    if (status != TR_OK)
        return status;
    status = read_index(import, doc, &files, err);
    for (int64_t i = 0; i < files.count && status == TR_OK; i++)
        status = list_file(import, files.name[i], &list, err);
    if (status == TR_OK)
        status = make_table(import, &list, err);
    if (status == TR_OK)
        status = check_index(import, doc, err);
    tr_doc_free(doc);
    return status;
}

enum tr_status tr_import_file(struct tr_import *import, const char *name, struct tr_err *err)
{
    struct listing list = {0};
    enum tr_status status = list_file(import, name, &list, err);
    return status == TR_OK ? make_table(import, &list, err) : status;
}

enum tr_status tr_import_folder(struct tr_import *import, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    enum tr_status status = tr_model_config_find(&import->model, import->path, err);
    if (status == TR_OK)
        status = tr_path_join(path, import->path, "manifest.json", err);
    if (status == TR_OK)
        import->is_own = tr_file_exists(path);
    if (status == TR_OK)
        status = tr_path_join(path, import->path, "model.safetensors.index.json", err);
    if (status != TR_OK)
        return status;
    if (tr_file_exists(path))
        return open_sharded(import, path, err);
    return tr_import_file(import, "model.safetensors", err);
}
