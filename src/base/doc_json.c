/* JSON in: jansson reads, this copies its tree into ours. The only file that includes jansson. */
#include "base/doc_build.h"

#include <jansson.h>
#include <string.h>

/* Limits first, on the raw text and without memory: how deep, and how many values. Counts what would be structure if
 * the text were JSON; whether it is, jansson tells. */
static enum tr_status check_limits(struct tr_doc *doc, const char *data, size_t bytes, struct tr_node *node,
                                   struct tr_err *err)
{
    int64_t nodes = 1;
    int depth = 0, line = 1;
    size_t line_start = 0;
    bool in_string = false;
    for (size_t i = 0; i < bytes; i++) {
        char c = data[i];
        bool opens = !in_string && (c == '[' || c == '{');
        if (c == '\n') {
            line++;
            line_start = i + 1;
        } else if (in_string && c == '\\') {
            i++;
        } else if (c == '"') {
            in_string = !in_string;
        } else if (!in_string && (c == ']' || c == '}')) {
            depth--;
        }
        depth += opens;
        nodes += opens || (!in_string && c == ',');
        if (depth > TR_DOC_MAX_DEPTH || nodes > doc->max_nodes) {
            node->line = line;
            node->column = (int)(i - line_start) + 1;
            if (depth > TR_DOC_MAX_DEPTH)
                return tr_node_fail(node, err, "nested more than %d levels deep", TR_DOC_MAX_DEPTH);
            return tr_node_fail(node, err, "more than the limit of %lld values in one document",
                                (long long)doc->max_nodes);
        }
    }
    return TR_OK;
}

static enum tr_status copy_value(struct tr_doc *doc, json_t *value, struct tr_node *node, struct tr_err *err);

static enum tr_status copy_string(struct tr_doc *doc, json_t *value, struct tr_node *node, struct tr_err *err)
{
    size_t bytes = json_string_length(value);
    char *copy = tr_doc_build_string(doc, json_string_value(value), bytes, err);
    if (!copy)
        return TR_FAILED;
    node->kind = TR_NODE_STRING;
    node->string = copy;
    node->count = (int64_t)bytes;
    return TR_OK;
}

static enum tr_status copy_array(struct tr_doc *doc, json_t *value, struct tr_node *node, struct tr_err *err)
{
    int64_t count = (int64_t)json_array_size(value);
    struct tr_node *children = tr_arena_array(&doc->arena, count, sizeof *children, err);
    if (!children)
        return TR_FAILED;
    for (int64_t i = 0; i < count; i++) {
        children[i].source = node->source;
        enum tr_status status = copy_value(doc, json_array_get(value, (size_t)i), &children[i], err);
        if (status)
            return status;
    }
    node->kind = TR_NODE_ARRAY;
    return tr_doc_build_children(doc, node, children, count, err);
}

static enum tr_status copy_object(struct tr_doc *doc, json_t *value, struct tr_node *node, struct tr_err *err)
{
    int64_t count = (int64_t)json_object_size(value), i = 0;
    struct tr_node *children = tr_arena_array(&doc->arena, count, sizeof *children, err);
    if (!children)
        return TR_FAILED;
    for (void *at = json_object_iter(value); at; at = json_object_iter_next(value, at), i++) {
        TR_ASSERT(i < count);
        const char *key = json_object_iter_key(at);
        children[i].source = node->source;
        children[i].key = tr_doc_build_string(doc, key, strlen(key), err);
        if (!children[i].key)
            return TR_FAILED;
        enum tr_status status = copy_value(doc, json_object_iter_value(at), &children[i], err);
        if (status)
            return status;
    }
    TR_ASSERT(i == count);
    node->kind = TR_NODE_OBJECT;
    return tr_doc_build_children(doc, node, children, count, err);
}

/* Recursion is bounded by check_limits. */
static enum tr_status copy_value(struct tr_doc *doc, json_t *value, struct tr_node *node, struct tr_err *err)
{
    enum tr_status status = tr_doc_build_count(doc, node, err);
    if (status)
        return status;
    switch (json_typeof(value)) {
    case JSON_OBJECT: return copy_object(doc, value, node, err);
    case JSON_ARRAY: return copy_array(doc, value, node, err);
    case JSON_STRING: return copy_string(doc, value, node, err);
    case JSON_INTEGER:
        node->kind = TR_NODE_INT;
        node->integer = json_integer_value(value);
        return TR_OK;
    case JSON_REAL:
        node->kind = TR_NODE_DOUBLE;
        node->real = json_real_value(value);
        return TR_OK;
    case JSON_TRUE:
    case JSON_FALSE:
        node->kind = TR_NODE_BOOL;
        node->boolean = json_is_true(value);
        return TR_OK;
    case JSON_NULL:
        break;
    }
    node->kind = TR_NODE_NULL;
    return TR_OK;
}

/* Whether jansson wanted more where the text ends. */
static bool ends_early(const json_error_t *error)
{
    static const char end[] = "near end of file";
    size_t length = strlen(error->text);
    return json_error_code(error) == json_error_premature_end_of_input ||
           (length >= strlen(end) && strcmp(error->text + length - strlen(end), end) == 0);
}

enum tr_status tr_doc_build_json(struct tr_doc *doc, const char *data, size_t bytes, struct tr_node *node,
                                 struct tr_err *err)
{
    enum tr_status status = check_limits(doc, data, bytes, node, err);
    if (status)
        return status;
    json_error_t error;
    json_t *tree = json_loadb(data, bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!tree) {
        struct tr_node at = *node;
        at.line = error.line > 0 ? error.line : 0;
        at.column = error.column > 0 ? error.column : 0;
        if (json_error_code(&error) == json_error_out_of_memory)
            return tr_fail(err, TR_FAILED, "%s: out of memory", node->source);
        return tr_node_fail(&at, err, "not valid JSON: %s", ends_early(&error) ? "it ends in the middle: the file is cut short" : error.text);
    }
    status = copy_value(doc, tree, node, err);
    json_decref(tree);
    return status;
}
