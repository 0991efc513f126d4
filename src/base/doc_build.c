#define _GNU_SOURCE /* qsort_r */
#include "base/doc_build.h"

#include "base/num.h"
#include "base/os.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    POOL_BYTES = 16 * 1024,
    FEW_KEYS = 8 /* up to here keys are compared one by one */
};

char *tr_doc_build_string(struct tr_doc *doc, const char *data, size_t bytes, struct tr_err *err)
{
    int64_t needed = (int64_t)bytes + 1;
    if (needed > POOL_BYTES / 4)
        return tr_arena_copy(&doc->arena, data, (int64_t)bytes, err);
    if (needed > doc->pool_bytes) {
        char *pool = tr_arena_alloc(&doc->arena, POOL_BYTES, err);
        if (!pool)
            return NULL;
        doc->pool = pool;
        doc->pool_bytes = POOL_BYTES;
    }
    char *copy = doc->pool;
    doc->pool += needed;
    doc->pool_bytes -= needed;
    memcpy(copy, data, bytes);
    copy[bytes] = 0;
    return copy;
}

enum tr_status tr_doc_build_count(struct tr_doc *doc, const struct tr_node *node, struct tr_err *err)
{
    if (doc->node_count >= doc->max_nodes)
        return tr_node_fail(node, err, "more than the limit of %lld values in one document",
                            (long long)doc->max_nodes);
    doc->node_count++;
    return TR_OK;
}

static int compare_keys(const void *a, const void *b, void *children)
{
    const struct tr_node *nodes = children;
    return strcmp(nodes[*(const int32_t *)a].key, nodes[*(const int32_t *)b].key);
}

static enum tr_status duplicate(const struct tr_node *node, const struct tr_node *child, struct tr_err *err)
{
    struct tr_node at = *child;
    at.parent = node;
    at.line = child->key_line;
    at.column = child->key_column;
    return tr_node_fail(&at, err, "the key stands here twice");
}

enum tr_status tr_doc_build_children(struct tr_doc *doc, struct tr_node *node, struct tr_node *children, int64_t count,
                                     struct tr_err *err)
{
    int32_t *by_key = NULL;
    if (node->kind == TR_NODE_OBJECT && count > FEW_KEYS) {
        by_key = tr_arena_array(&doc->arena, count, sizeof *by_key, err);
        if (!by_key)
            return TR_FAILED;
        for (int64_t i = 0; i < count; i++)
            by_key[i] = (int32_t)i;
        qsort_r(by_key, (size_t)count, sizeof *by_key, compare_keys, children);
        for (int64_t i = 1; i < count; i++)
            if (strcmp(children[by_key[i - 1]].key, children[by_key[i]].key) == 0)
                return duplicate(node, &children[tr_max_i64(by_key[i - 1], by_key[i])], err);
    } else if (node->kind == TR_NODE_OBJECT) {
        for (int64_t i = 1; i < count; i++)
            for (int64_t j = 0; j < i; j++)
                if (strcmp(children[i].key, children[j].key) == 0)
                    return duplicate(node, &children[i], err);
    }
    node->children = children;
    node->count = count;
    node->by_key = by_key;
    return TR_OK;
}

/* --- the core schema --- */

static size_t count_digits(const char *text)
{
    return strspn(text, "0123456789");
}

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

/* [-+]?[0-9]+ | 0o[0-7]+ | 0x[0-9a-fA-F]+ : the base and where its digits begin, or 0. */
static int whole_number_base(const char *text, const char **digits)
{
    if (text[0] == '0' && (text[1] == 'o' || text[1] == 'x')) {
        *digits = text + 2;
        size_t count = strspn(*digits, text[1] == 'o' ? "01234567" : "0123456789abcdefABCDEF");
        return count > 0 && !(*digits)[count] ? (text[1] == 'o' ? 8 : 16) : 0;
    }
    *digits = text;
    const char *first = text + (*text == '-' || *text == '+');
    size_t count = count_digits(first);
    return count > 0 && !first[count] ? 10 : 0;
}

/* [-+]? ( \.[0-9]+ | [0-9]+(\.[0-9]*)? ) ([eE][-+]?[0-9]+)? */
static bool is_real_number(const char *text)
{
    text += *text == '-' || *text == '+';
    size_t before = count_digits(text), after = 0;
    text += before;
    if (*text == '.') {
        after = count_digits(++text);
        text += after;
    }
    if (before + after == 0)
        return false;
    if (*text == 'e' || *text == 'E') {
        text++;
        text += *text == '-' || *text == '+';
        size_t exponent = count_digits(text);
        if (exponent == 0)
            return false;
        text += exponent;
    }
    return !*text;
}

enum tr_status tr_doc_build_scalar(struct tr_doc *doc, const char *text, size_t bytes, struct tr_node *node,
                                   struct tr_err *err)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    static const char *const infinities[] = {".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
                                             "+.INF", "-.inf", "-.Inf", "-.INF", NULL};
    static const char *const nans[] = {".nan", ".NaN", ".NAN", NULL};
    char *copy = tr_doc_build_string(doc, text, bytes, err);
    if (!copy)
        return TR_FAILED;
    const char *digits;
    int base = whole_number_base(copy, &digits);
    if (is_one_of(copy, nulls)) {
        node->kind = TR_NODE_NULL;
    } else if (is_one_of(copy, trues) || is_one_of(copy, falses)) {
        node->kind = TR_NODE_BOOL;
        node->boolean = is_one_of(copy, trues);
    } else if (base) {
        errno = 0;
        node->kind = TR_NODE_INT;
        node->integer = strtoll(digits, NULL, base);
        if (errno == ERANGE)
            return tr_node_fail(node, err, "%.60s: a whole number that does not fit 64 bits", copy);
    } else if (is_real_number(copy)) {
        node->kind = TR_NODE_DOUBLE;
        node->real = strtod(copy, NULL);
        if (isinf(node->real))
            return tr_node_fail(node, err, "%.60s: too large a number", copy);
    } else if (is_one_of(copy, infinities) || is_one_of(copy, nans)) {
        node->kind = TR_NODE_DOUBLE;
        node->real = is_one_of(copy, nans) ? NAN : copy[0] == '-' ? -INFINITY : INFINITY;
    } else {
        node->kind = TR_NODE_STRING;
        node->string = copy;
        node->count = (int64_t)bytes;
    }
    return TR_OK;
}

/* --- documents --- */

/* Parents are set when all nodes have their place. At most TR_DOC_MAX_DEPTH deep. */
static void link_children(const struct tr_node *node)
{
    if (node->kind != TR_NODE_ARRAY && node->kind != TR_NODE_OBJECT)
        return;
    struct tr_node *children = (struct tr_node *)node->children; /* the document's own, const only for readers */
    for (int64_t i = 0; i < node->count; i++) {
        children[i].parent = node;
        children[i].index = i;
        link_children(&children[i]);
    }
}

static enum tr_status doc_new(const char *source, int64_t max_bytes, int64_t max_nodes, struct tr_doc **out,
                              struct tr_err *err)
{
    struct tr_doc *doc = calloc(1, sizeof *doc);
    if (!doc)
        return tr_fail(err, TR_FAILED, "%s: out of memory", source);
    /* Nodes may be copied once (from a growing list, by an override) and every list is rounded up; decoded strings are
     * at most a little longer than the text. */
    int64_t node_bytes = 2 * (int64_t)sizeof(struct tr_node) + TR_ARENA_ALIGN + (int64_t)sizeof(int32_t);
    tr_arena_init(&doc->arena, "document", (1 << 20) + 3 * max_bytes + max_nodes * node_bytes);
    doc->max_nodes = max_nodes;
    doc->source = tr_doc_build_string(doc, source, strlen(source), err);
    if (!doc->source) {
        tr_doc_free(doc);
        return TR_FAILED;
    }
    doc->root.source = doc->source;
    *out = doc;
    return TR_OK;
}

void tr_doc_free(struct tr_doc *doc)
{
    if (!doc)
        return;
    tr_arena_free(&doc->arena);
    free(doc);
}

const struct tr_node *tr_doc_root(const struct tr_doc *doc)
{
    return &doc->root;
}

enum tr_status tr_doc_empty(const char *source, struct tr_doc **out, struct tr_err *err)
{
    struct tr_doc *doc;
    enum tr_status status = doc_new(source, 0, TR_DOC_MAX_NODES_YAML, &doc, err);
    if (status)
        return status;
    doc->root.kind = TR_NODE_OBJECT;
    *out = doc;
    return TR_OK;
}

enum tr_status tr_doc_parse_limited(const char *source, enum tr_doc_format format, const char *data, size_t bytes,
                                    int64_t max_bytes, int64_t max_nodes, struct tr_doc **out, struct tr_err *err)
{
    int64_t hard_bytes = format == TR_DOC_JSON ? TR_DOC_JSON_MAX_BYTES : TR_DOC_YAML_MAX_BYTES;
    int64_t hard_nodes = format == TR_DOC_JSON ? TR_DOC_MAX_NODES_JSON : TR_DOC_MAX_NODES_YAML;
    TR_ASSERT(max_bytes >= 0 && max_bytes <= hard_bytes && max_nodes >= 1 && max_nodes <= hard_nodes);
    if (bytes > (size_t)max_bytes)
        return tr_fail(err, TR_BAD_INPUT, "%s: %zu bytes, more than the limit of %lld", source, bytes,
                       (long long)max_bytes);
    if (bytes == 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: empty, expected %s", source, format == TR_DOC_JSON ? "JSON" : "YAML");
    struct tr_doc *doc;
    enum tr_status status = doc_new(source, max_bytes, max_nodes, &doc, err);
    if (status)
        return status;
    if (format == TR_DOC_JSON)
        status = tr_doc_build_json(doc, data, bytes, &doc->root, err);
    else
        status = tr_doc_build_yaml(doc, data, bytes, &doc->root, err);
    if (status) {
        tr_doc_free(doc);
        return status;
    }
    link_children(&doc->root);
    *out = doc;
    return TR_OK;
}

enum tr_status tr_doc_parse(const char *source, enum tr_doc_format format, const char *data, size_t bytes,
                            struct tr_doc **out, struct tr_err *err)
{
    if (format == TR_DOC_JSON)
        return tr_doc_parse_limited(source, format, data, bytes, TR_DOC_JSON_MAX_BYTES, TR_DOC_MAX_NODES_JSON, out,
                                    err);
    return tr_doc_parse_limited(source, format, data, bytes, TR_DOC_YAML_MAX_BYTES, TR_DOC_MAX_NODES_YAML, out, err);
}

enum tr_status tr_doc_read(const char *path, enum tr_doc_format format, struct tr_doc **out, struct tr_err *err)
{
    struct tr_bytes bytes;
    int64_t max_bytes = format == TR_DOC_JSON ? TR_DOC_JSON_MAX_BYTES : TR_DOC_YAML_MAX_BYTES;
    enum tr_status status = tr_file_read(path, max_bytes, &bytes, err);
    if (status)
        return status;
    status = tr_doc_parse(path, format, bytes.at, bytes.len, out, err);
    tr_bytes_free(&bytes);
    return status;
}

/* --- overrides --- */

/* The child of that key, made (null) at the end when absent. NULL and *err when out of memory or over the limit. */
static struct tr_node *find_or_add(struct tr_doc *doc, struct tr_node *object, const char *key, const char *source,
                                   struct tr_err *err)
{
    const struct tr_node *found = tr_doc_find(object, key);
    if (found)
        return (struct tr_node *)found;
    struct tr_node added = {.kind = TR_NODE_NULL, .key = key, .source = source, .parent = object};
    if (tr_doc_build_count(doc, &added, err))
        return NULL;
    struct tr_node *children = tr_arena_array(&doc->arena, object->count + 1, sizeof *children, err);
    if (!children)
        return NULL;
    if (object->count)
        memcpy(children, object->children, (size_t)object->count * sizeof *children);
    children[object->count] = added;
    if (tr_doc_build_children(doc, object, children, object->count + 1, err))
        return NULL;
    return &children[object->count - 1];
}

/* All that can be wrong with the value is found out before the tree is touched. */
static enum tr_status override_value(struct tr_doc *doc, const char *source, const char *text, struct tr_node *value,
                                     struct tr_err *err)
{
    *value = (struct tr_node){.source = source};
    size_t bytes = strlen(text);
    if (bytes > (size_t)TR_DOC_YAML_MAX_BYTES)
        return tr_fail(err, TR_BAD_INPUT, "%s: a value of %zu bytes", source, bytes);
    if (text[0] && strchr("[{\"'", text[0]))
        return tr_doc_build_yaml(doc, text, bytes, value, err);
    for (size_t i = 0; i < bytes;) {
        int length = tr_utf8_length(text + i, bytes - i);
        if (!length)
            return tr_fail(err, TR_BAD_INPUT, "%s: the value is not valid UTF-8", source);
        i += (size_t)length;
    }
    return tr_doc_build_scalar(doc, text, bytes, value, err);
}

enum { OVERRIDE_MAX_PARTS = 8 };

/* How many names "a.b.c" has; 0 when it is not of that form. */
static int count_parts(const char *key)
{
    if (strlen(key) >= TR_DOC_PATH_BYTES)
        return 0;
    for (int parts = 1; parts <= OVERRIDE_MAX_PARTS; parts++) {
        size_t len = strcspn(key, ".");
        if (len == 0)
            return 0;
        if (!key[len])
            return parts;
        key += len + 1;
    }
    return 0;
}

/* Levels of lists and objects; at most TR_DOC_MAX_DEPTH, as the reader saw to. */
static int node_depth(const struct tr_node *node)
{
    if (node->kind != TR_NODE_ARRAY && node->kind != TR_NODE_OBJECT)
        return 0;
    int deepest = 0;
    for (int64_t i = 0; i < node->count; i++) {
        int depth = node_depth(&node->children[i]);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + 1;
}

enum tr_status tr_doc_override(struct tr_doc *doc, const char *dotted_key, const char *text, struct tr_err *err)
{
    int parts = count_parts(dotted_key);
    if (!parts)
        return tr_fail(err, TR_BAD_INPUT, "--%.60s: expected at most %d names with points between them, such as "
                                          "--train.steps", dotted_key, OVERRIDE_MAX_PARTS);
    char *source = tr_arena_printf(&doc->arena, err, "--%s", dotted_key);
    if (!source)
        return TR_FAILED;
    struct tr_node value;
    enum tr_status status = override_value(doc, source, text, &value, err);
    if (status)
        return status;
    if (parts + node_depth(&value) > TR_DOC_MAX_DEPTH)
        return tr_fail(err, TR_BAD_INPUT, "%s: nested more than %d levels deep", source, TR_DOC_MAX_DEPTH);
    struct tr_node *at = &doc->root;
    for (const char *part = dotted_key;;) {
        size_t len = strcspn(part, ".");
        if (at->kind != TR_NODE_OBJECT)
            return tr_node_fail(at, err, "expected keys below it, one of which %s gives", source);
        char *key = tr_doc_build_string(doc, part, len, err);
        if (!key)
            return TR_FAILED;
        struct tr_node *child = find_or_add(doc, at, key, source, err);
        if (!child)
            return TR_FAILED;
        link_children(&doc->root); /* the children may have moved */
        if (!part[len]) {
            value.key = child->key;
            value.index = child->index;
            value.parent = child->parent;
            *child = value;
            link_children(child);
            return TR_OK;
        }
        if (child->kind == TR_NODE_NULL)
            *child = (struct tr_node){.kind = TR_NODE_OBJECT, .key = child->key, .source = source,
                                      .index = child->index, .parent = child->parent};
        at = child;
        part += len + 1;
    }
}
