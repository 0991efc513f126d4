#include "lab/exchange/safetensors.h"

#include "base/doc.h"
#include "base/json.h"
#include "base/num.h"
#include "base/os.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARENA_MAX_BYTES ((int64_t)512 << 20)

/* A tensor takes at most: its object, dtype, shape and its dims, data_offsets and two numbers. */
enum { NODES_PER_TENSOR = 6 + TR_SAFETENSORS_MAX_RANK, LENGTH_BYTES = 8 };

struct dtype {
    const char *name;
    int bytes;
};

static const struct dtype dtypes[] = {{"F32", 4}, {"BF16", 2}, {"F16", 2}, {"F64", 8}, {"I64", 8}, {"I32", 4},
                                      {"I16", 2}, {"I8", 1},   {"U8", 1},  {"U16", 2}, {"U32", 4}, {"U64", 8},
                                      {"BOOL", 1}};

static const struct dtype *find_dtype(const char *name)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].name, name) == 0)
            return &dtypes[i];
    return NULL;
}

static enum tr_status read_shape(const struct tr_node *node, const struct dtype *dtype, struct tr_safetensor *tensor,
                                 struct tr_err *err)
{
    const struct tr_node *shape;
    enum tr_status status = tr_doc_array(node, "shape", TR_REQUIRED, 0, TR_SAFETENSORS_MAX_RANK, &shape, err);
    if (status != TR_OK)
        return status;
    int64_t bytes = dtype->bytes;
    tensor->rank = (int)shape->count;
    for (int i = 0; i < tensor->rank; i++) {
        if ((status = tr_node_int(&shape->children[i], 0, INT64_MAX, &tensor->dim[i], err)) != TR_OK)
            return status;
        if (!tr_mul_i64(bytes, tensor->dim[i], &bytes))
            return tr_node_fail(shape, err, "a tensor of more bytes than can be counted");
    }
    tensor->bytes = bytes;
    return TR_OK;
}

/* `end` of the range relative to the data; begin must be where the tensor before it ended (checked after sorting). */
static enum tr_status read_range(const struct tr_node *node, int64_t data_bytes, struct tr_safetensor *tensor,
                                 struct tr_err *err)
{
    const struct tr_node *range;
    int64_t begin, end;
    enum tr_status status = tr_doc_array(node, "data_offsets", TR_REQUIRED, 2, 2, &range, err);
    if (status == TR_OK)
        status = tr_node_int(&range->children[0], 0, INT64_MAX, &begin, err);
    if (status == TR_OK)
        status = tr_node_int(&range->children[1], 0, INT64_MAX, &end, err);
    if (status != TR_OK)
        return status;
    if (begin > end || end > data_bytes)
        return tr_node_fail(range, err, "[%lld, %lld] is no range of the file's %lld bytes of data", (long long)begin,
                            (long long)end, (long long)data_bytes);
    if (end - begin != tensor->bytes)
        return tr_node_fail(range, err, "%lld bytes, but dtype and shape make %lld", (long long)(end - begin),
                            (long long)tensor->bytes);
    tensor->begin = begin;
    return TR_OK;
}

static enum tr_status read_tensor(const struct tr_node *node, int64_t data_bytes, struct tr_safetensors *file,
                                  struct tr_safetensor *tensor, struct tr_err *err)
{
    static const char *const keys[] = {"dtype", "shape", "data_offsets"};
    const char *name;
    if (node->kind != TR_NODE_OBJECT)
        return tr_node_fail(node, err, "expected an object with dtype, shape and data_offsets");
    enum tr_status status = tr_doc_known_keys(node, keys, 3, err);
    if (status == TR_OK)
        status = tr_doc_string(node, "dtype", TR_REQUIRED, &name, err);
    if (status != TR_OK)
        return status;
    const struct dtype *dtype = find_dtype(name);
    if (!dtype)
        return tr_node_fail(node, err, "dtype \"%.20s\" is not known", name);
    tensor->dtype = dtype->name;
    if ((status = read_shape(node, dtype, tensor, err)) != TR_OK)
        return status;
    if ((status = read_range(node, data_bytes, tensor, err)) != TR_OK)
        return status;
    tensor->name = tr_arena_strdup(&file->arena, node->key, err);
    return tensor->name ? TR_OK : TR_FAILED;
}

static enum tr_status read_metadata(const struct tr_node *node, struct tr_err *err)
{
    if (node->kind != TR_NODE_OBJECT)
        return tr_node_fail(node, err, "expected an object of strings");
    for (int64_t i = 0; i < node->count; i++)
        if (node->children[i].kind != TR_NODE_STRING)
            return tr_node_fail(&node->children[i], err, "expected a string");
    return TR_OK;
}

/* Tensors without bytes stand before the one that begins at the same place. */
static int by_range(const void *a, const void *b)
{
    const struct tr_safetensor *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static enum tr_status check_cover(const char *source, const struct tr_safetensors *file, int64_t data_bytes,
                                  struct tr_err *err)
{
    int64_t at = 0;
    for (int64_t i = 0; i < file->count; i++) {
        const struct tr_safetensor *tensor = &file->tensor[i];
        if (tensor->begin != at)
            return tr_fail(err, TR_BAD_INPUT,
                           "%s: tensor %.96s begins at byte %lld of the data, the one before it ends at %lld", source,
                           tensor->name, (long long)tensor->begin, (long long)at);
        at += tensor->bytes;
    }
    if (at != data_bytes)
        return tr_fail(err, TR_BAD_INPUT, "%s: the tensors cover %lld of %lld bytes of data", source, (long long)at,
                       (long long)data_bytes);
    return TR_OK;
}

static enum tr_status read_tensors(const char *source, const struct tr_node *root, int64_t data_bytes,
                                   struct tr_safetensors *file, struct tr_err *err)
{
    if (root->count > TR_SAFETENSORS_MAX_TENSORS)
        return tr_fail(err, TR_BAD_INPUT, "%s: more than %d tensors", source, TR_SAFETENSORS_MAX_TENSORS);
    file->tensor = tr_arena_array(&file->arena, root->count, sizeof *file->tensor, err);
    if (!file->tensor)
        return TR_FAILED;
    for (int64_t i = 0; i < root->count; i++) {
        const struct tr_node *node = &root->children[i];
        enum tr_status status;
        if (strcmp(node->key, "__metadata__") == 0)
            status = read_metadata(node, err);
        else
            status = read_tensor(node, data_bytes, file, &file->tensor[file->count++], err);
        if (status != TR_OK)
            return status;
    }
    qsort(file->tensor, (size_t)file->count, sizeof *file->tensor, by_range);
    enum tr_status status = check_cover(source, file, data_bytes, err);
    for (int64_t i = 0; i < file->count; i++)
        file->tensor[i].begin += file->data_begin;
    return status;
}

/* The header's length, from the first 8 bytes. */
static enum tr_status header_bytes(const char *source, const uint8_t *data, size_t bytes, int64_t file_bytes,
                                   int64_t *out, struct tr_err *err)
{
    if (bytes < LENGTH_BYTES || file_bytes < LENGTH_BYTES)
        return tr_fail(err, TR_BAD_INPUT, "%s: %lld bytes are too few for a safetensors file", source,
                       (long long)file_bytes);
    uint64_t length = 0;
    for (int i = 0; i < LENGTH_BYTES; i++)
        length |= (uint64_t)data[i] << (8 * i);
    if (length > TR_SAFETENSORS_HEADER_MAX)
        return tr_fail(err, TR_BAD_INPUT, "%s: a header of %llu bytes is more than the limit of %d", source,
                       (unsigned long long)length, TR_SAFETENSORS_HEADER_MAX);
    if ((int64_t)length > file_bytes - LENGTH_BYTES)
        return tr_fail(err, TR_BAD_INPUT, "%s: a header of %llu bytes in a file of %lld: the file is cut off", source,
                       (unsigned long long)length, (long long)file_bytes);
    *out = (int64_t)length;
    return TR_OK;
}

enum tr_status tr_safetensors_parse(const char *source, const void *data, size_t bytes, int64_t file_bytes,
                                    struct tr_safetensors *out, struct tr_err *err)
{
    int64_t length;
    const char *header = (const char *)data + LENGTH_BYTES;
    enum tr_status status = header_bytes(source, data, bytes, file_bytes, &length, err);
    if (status != TR_OK)
        return status;
    if ((int64_t)bytes - LENGTH_BYTES < length || length == 0 || header[0] != '{')
        return tr_fail(err, TR_BAD_INPUT, "%s: the header of a safetensors file begins with '{'", source);
    struct tr_doc *doc;
    status = tr_doc_parse_limited(source, TR_DOC_JSON, header, (size_t)length, TR_SAFETENSORS_HEADER_MAX,
                                  (int64_t)TR_SAFETENSORS_MAX_TENSORS * NODES_PER_TENSOR, &doc, err);
    if (status != TR_OK)
        return status;
    struct tr_safetensors new = {.data_begin = LENGTH_BYTES + length};
    tr_arena_init(&new.arena, "safetensors header", ARENA_MAX_BYTES);
    status = read_tensors(source, tr_doc_root(doc), file_bytes - new.data_begin, &new, err);
    tr_doc_free(doc);
    if (status != TR_OK) {
        tr_arena_free(&new.arena);
        return status;
    }
    *out = new;
    return TR_OK;
}

static enum tr_status read_fully(int fd, const char *path, void *to, int64_t bytes, struct tr_err *err)
{
    int64_t done = 0;
    while (done < bytes) {
        ssize_t got = read(fd, (char *)to + done, (size_t)(bytes - done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return tr_fail(err, TR_FAILED, "%s: cannot be read: %s", path, strerror(errno));
        if (got == 0)
            return tr_fail(err, TR_BAD_INPUT, "%s: ended after %lld bytes of its header", path, (long long)done);
        done += got;
    }
    return TR_OK;
}

enum tr_status tr_safetensors_open(const char *path, struct tr_safetensors *out, struct tr_err *err)
{
    int64_t file_bytes, length = 0;
    uint8_t first[LENGTH_BYTES];
    enum tr_status status = tr_file_bytes(path, &file_bytes, err);
    if (status != TR_OK)
        return status;
    int fd;
    status = tr_open_read(path, &fd, err);
    if (status != TR_OK)
        return status;
    uint8_t *head = NULL;
    if (file_bytes >= LENGTH_BYTES)
        status = read_fully(fd, path, first, LENGTH_BYTES, err);
    if (status == TR_OK)
        status = header_bytes(path, first, LENGTH_BYTES, file_bytes, &length, err);
    if (status != TR_OK)
        goto close_file;
    head = malloc(LENGTH_BYTES + (size_t)length);
    if (!head) {
        status = tr_fail(err, TR_FAILED, "%s: out of memory for a header of %lld bytes", path, (long long)length);
        goto close_file;
    }
    memcpy(head, first, LENGTH_BYTES);
    status = read_fully(fd, path, head + LENGTH_BYTES, length, err);
    if (status == TR_OK)
        status = tr_safetensors_parse(path, head, LENGTH_BYTES + (size_t)length, file_bytes, out, err);
    free(head);
close_file:
    close(fd);
    return status;
}

void tr_safetensors_free(struct tr_safetensors *file)
{
    tr_arena_free(&file->arena);
    *file = (struct tr_safetensors){0};
}

const struct tr_safetensor *tr_safetensors_find(const struct tr_safetensors *file, const char *name)
{
    for (int64_t i = 0; i < file->count; i++)
        if (strcmp(file->tensor[i].name, name) == 0)
            return &file->tensor[i];
    return NULL;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void write_header(const struct tr_safetensor *tensors, int64_t count, struct tr_text *out)
{
    struct tr_json json = tr_json_start(out, TR_JSON_LINE);
    int64_t at = 0;
    tr_json_object(&json, NULL);
    tr_json_object(&json, "__metadata__");
    tr_json_string(&json, "format", "pt"); /* transformers refuses files without it: row-major, as PyTorch */
    tr_json_end(&json);
    for (int64_t i = 0; i < count; i++) {
        tr_json_object(&json, tensors[i].name);
        tr_json_string(&json, "dtype", tensors[i].dtype);
        tr_json_array(&json, "shape");
        for (int d = 0; d < tensors[i].rank; d++)
            tr_json_int(&json, NULL, tensors[i].dim[d]);
        tr_json_end(&json);
        tr_json_array(&json, "data_offsets");
        tr_json_int(&json, NULL, at);
        at += tensors[i].bytes;
        tr_json_int(&json, NULL, at);
        tr_json_end(&json);
        tr_json_end(&json);
    }
    tr_json_end(&json);
}

enum tr_status tr_safetensors_header(struct tr_safetensor *tensors, int64_t count, struct tr_text *out,
                                     struct tr_err *err)
{
    struct tr_text header = {0};
    write_header(tensors, count, &header);
    while ((header.len + LENGTH_BYTES) % TR_SAFETENSORS_ALIGN && !header.failed)
        tr_text_char(&header, ' ');
    uint8_t length[LENGTH_BYTES];
    for (int i = 0; i < LENGTH_BYTES; i++)
        length[i] = (uint8_t)((uint64_t)header.len >> (8 * i));
    tr_text_append_bytes(out, length, sizeof length);
    tr_text_append_bytes(out, tr_text_str(&header), header.len);
    int64_t at = LENGTH_BYTES + (int64_t)header.len;
    for (int64_t i = 0; i < count; i++) {
        tensors[i].begin = at;
        at += tensors[i].bytes;
    }
    enum tr_status status = tr_text_failed(&header, err) || tr_text_failed(out, err) ? TR_FAILED : TR_OK;
    tr_text_free(&header);
    return status;
}
