#include "base/doc.h"

#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- places and sentences --- */

const char *tr_node_path(const struct tr_node *node, char buf[TR_DOC_PATH_BYTES])
{
    /* From the end of the buffer to its front, since a node knows its parent only. */
    char *at = buf + TR_DOC_PATH_BYTES - 1;
    *at = 0;
    for (; node && node->parent; node = node->parent) {
        char index[32];
        const char *part = node->key;
        if (!part) {
            snprintf(index, sizeof index, "[%lld]", (long long)node->index);
            part = index;
        }
        bool point = node->key && node->parent->parent;
        size_t len = strlen(part);
        if ((size_t)(at - buf) < len + point + 3) { /* room for "..." */
            at -= 3;
            memcpy(at, "...", 3);
            break;
        }
        at -= len;
        memcpy(at, part, len);
        if (point)
            *--at = '.';
    }
    return memmove(buf, at, strlen(at) + 1);
}

enum tr_status tr_node_fail(const struct tr_node *node, struct tr_err *err, const char *fmt, ...)
{
    char sentence[TR_ERR_BYTES], path[TR_DOC_PATH_BYTES], place[32] = "";
    va_list args;
    va_start(args, fmt);
    vsnprintf(sentence, sizeof sentence, fmt, args);
    va_end(args);
    if (node->line > 0)
        snprintf(place, sizeof place, ":%d:%d", node->line, node->column);
    /* An override's source is its path already. */
    bool override = node->source[0] == '-' && node->source[1] == '-';
    if (override)
        place[0] = 0;
    tr_node_path(node, path);
    bool with_path = path[0] && !override;
    return tr_fail(err, TR_BAD_INPUT, "%s%s: %s%s%s", node->source, place, with_path ? path : "",
                   with_path ? ": " : "", sentence);
}

enum { SHOWN_BYTES = 96 };

static const char *show(const struct tr_node *node, char buf[SHOWN_BYTES])
{
    char number[32];
    switch (node->kind) {
    case TR_NODE_NULL: return "nothing";
    case TR_NODE_BOOL: return node->boolean ? "true" : "false";
    case TR_NODE_INT: snprintf(buf, SHOWN_BYTES, "%lld", (long long)node->integer); return buf;
    case TR_NODE_DOUBLE: snprintf(buf, SHOWN_BYTES, "%s", tr_print_shortest(node->real, number)); return buf;
    case TR_NODE_STRING:
        snprintf(buf, SHOWN_BYTES, "\"%.60s%s\"", node->string, node->count > 60 ? "..." : "");
        return buf;
    case TR_NODE_ARRAY: return "a list";
    case TR_NODE_OBJECT: return "a group of keys";
    }
    return "nothing";
}

static enum tr_status expected(const struct tr_node *node, struct tr_err *err, const char *what)
{
    char buf[SHOWN_BYTES];
    return tr_node_fail(node, err, "expected %s, got %s", what, show(node, buf));
}

/* --- looking up --- */

const struct tr_node *tr_doc_find(const struct tr_node *object, const char *key)
{
    if (object->kind != TR_NODE_OBJECT)
        return NULL;
    if (!object->by_key) {
        for (int64_t i = 0; i < object->count; i++)
            if (strcmp(object->children[i].key, key) == 0)
                return &object->children[i];
        return NULL;
    }
    int64_t low = 0, high = object->count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        const struct tr_node *child = &object->children[object->by_key[middle]];
        int order = strcmp(key, child->key);
        if (order == 0)
            return child;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* *out is NULL when an optional key is absent or null. */
static enum tr_status look_up(const struct tr_node *object, const char *key, enum tr_need need,
                              const struct tr_node **out, struct tr_err *err)
{
    if (object->kind != TR_NODE_OBJECT)
        return expected(object, err, "a group of keys");
    const struct tr_node *node = tr_doc_find(object, key);
    if (need == TR_OPTIONAL && (!node || node->kind == TR_NODE_NULL)) {
        *out = NULL;
        return TR_OK;
    }
    if (!node)
        return tr_node_fail(object, err, "the key \"%s\" is missing", key);
    *out = node;
    return TR_OK;
}

enum tr_status tr_doc_get(const struct tr_node *object, const char *key, enum tr_need need, const struct tr_node **out,
                          struct tr_err *err)
{
    const struct tr_node *node = NULL;
    enum tr_status status = look_up(object, key, need, &node, err);
    if (!status && node)
        *out = node;
    return status;
}

enum tr_status tr_doc_object(const struct tr_node *object, const char *key, enum tr_need need,
                             const struct tr_node **out, struct tr_err *err)
{
    const struct tr_node *node = NULL;
    enum tr_status status = look_up(object, key, need, &node, err);
    if (status || !node)
        return status;
    if (node->kind != TR_NODE_OBJECT)
        return expected(node, err, "a group of keys");
    *out = node;
    return TR_OK;
}

enum tr_status tr_doc_array(const struct tr_node *object, const char *key, enum tr_need need, int64_t min_count,
                            int64_t max_count, const struct tr_node **out, struct tr_err *err)
{
    const struct tr_node *node = NULL;
    enum tr_status status = look_up(object, key, need, &node, err);
    if (status || !node)
        return status;
    if (node->kind != TR_NODE_ARRAY)
        return expected(node, err, "a list");
    if (node->count < min_count || node->count > max_count)
        return tr_node_fail(node, err, "expected a list of %lld to %lld values, got %lld", (long long)min_count,
                            (long long)max_count, (long long)node->count);
    *out = node;
    return TR_OK;
}

/* --- values --- */

enum tr_status tr_node_int(const struct tr_node *node, int64_t min, int64_t max, int64_t *out, struct tr_err *err)
{
    int64_t value = 0;
    bool whole = node->kind == TR_NODE_INT;
    if (whole)
        value = node->integer;
    /* 1e3 is a whole number too; beyond 2^53 a double no longer says which one. */
    if (node->kind == TR_NODE_DOUBLE && node->real >= -0x1p53 && node->real <= 0x1p53) {
        value = (int64_t)node->real;
        whole = (double)value == node->real;
    }
    if (whole && value >= min && value <= max) {
        *out = value;
        return TR_OK;
    }
    char what[96];
    if (min == INT64_MIN && max == INT64_MAX)
        snprintf(what, sizeof what, "a whole number");
    else if (max == INT64_MAX)
        snprintf(what, sizeof what, "a whole number of at least %lld", (long long)min);
    else if (min == INT64_MIN)
        snprintf(what, sizeof what, "a whole number of at most %lld", (long long)max);
    else
        snprintf(what, sizeof what, "a whole number from %lld to %lld", (long long)min, (long long)max);
    return expected(node, err, what);
}

static void describe_range(char *what, size_t bytes, const char *kind, double min, double max)
{
    char low[32], high[32];
    tr_print_shortest(min, low);
    tr_print_shortest(max, high);
    if (isinf(min) && isinf(max))
        snprintf(what, bytes, "%s", kind);
    else if (isinf(max))
        snprintf(what, bytes, "%s of at least %s", kind, low);
    else if (isinf(min))
        snprintf(what, bytes, "%s of at most %s", kind, high);
    else
        snprintf(what, bytes, "%s from %s to %s", kind, low, high);
}

enum tr_status tr_node_double(const struct tr_node *node, double min, double max, double *out, struct tr_err *err)
{
    double value = node->kind == TR_NODE_INT ? (double)node->integer : node->kind == TR_NODE_DOUBLE ? node->real : NAN;
    if (isfinite(value) && value >= min && value <= max) {
        *out = value;
        return TR_OK;
    }
    char what[128];
    describe_range(what, sizeof what, "a number", min, max);
    return expected(node, err, what);
}

enum tr_status tr_node_bool(const struct tr_node *node, bool *out, struct tr_err *err)
{
    if (node->kind != TR_NODE_BOOL)
        return expected(node, err, "true or false");
    *out = node->boolean;
    return TR_OK;
}

enum tr_status tr_node_string(const struct tr_node *node, const char **out, struct tr_err *err)
{
    if (node->kind != TR_NODE_STRING)
        return expected(node, err, "a text");
    *out = node->string;
    return TR_OK;
}

/* "one of a, b or c", cut when there are many. */
static void describe_names(char *what, size_t bytes, const char *const *names, int count)
{
    size_t used = (size_t)snprintf(what, bytes, "one of ");
    for (int i = 0; i < count && used < bytes; i++) {
        const char *before = i == 0 ? "" : i == count - 1 ? " or " : ", ";
        if (used + strlen(names[i]) + 16 > bytes) {
            snprintf(what + used, bytes - used, "%s...", before);
            return;
        }
        used += (size_t)snprintf(what + used, bytes - used, "%s%s", before, names[i]);
    }
}

enum tr_status tr_node_enum(const struct tr_node *node, const char *const *names, int count, int *out,
                            struct tr_err *err)
{
    for (int i = 0; node->kind == TR_NODE_STRING && i < count; i++) {
        if (strcmp(node->string, names[i]) == 0) {
            *out = i;
            return TR_OK;
        }
    }
    char what[400], shown[SHOWN_BYTES];
    describe_names(what, sizeof what, names, count);
    int nearest = node->kind == TR_NODE_STRING ? tr_nearest(node->string, names, count) : -1;
    if (nearest >= 0)
        return tr_node_fail(node, err, "expected %s, got %s; did you mean \"%s\"?", what, show(node, shown),
                            names[nearest]);
    return expected(node, err, what);
}

enum tr_status tr_node_quantity(const struct tr_node *node, enum tr_unit unit, double min, double max, double *out,
                                struct tr_err *err)
{
    char text[64], shown[SHOWN_BYTES], low[TR_QUANTITY_BYTES], high[TR_QUANTITY_BYTES];
    const char *written = text;
    if (node->kind == TR_NODE_STRING)
        written = node->string;
    else if (node->kind == TR_NODE_INT)
        snprintf(text, sizeof text, "%lld", (long long)node->integer);
    else if (node->kind == TR_NODE_DOUBLE)
        tr_print_shortest(node->real, text);
    else
        return expected(node, err, tr_unit_hint(unit));
    double value;
    struct tr_err why;
    if (tr_parse_quantity(written, unit, &value, &why))
        return tr_node_fail(node, err, "%s", why.text);
    if (!(value >= min && value <= max))
        return tr_node_fail(node, err, "expected a value from %s to %s, got %s", tr_print_quantity(low, unit, min),
                            tr_print_quantity(high, unit, max), show(node, shown));
    *out = value;
    return TR_OK;
}

/* --- values by key: the same, after the key was found --- */

enum tr_status tr_doc_int(const struct tr_node *object, const char *key, enum tr_need need, int64_t min, int64_t max,
                          int64_t *out, struct tr_err *err)
{
    const struct tr_node *node = NULL;
    enum tr_status status = look_up(object, key, need, &node, err);
    return status || !node ? status : tr_node_int(node, min, max, out, err);
}

enum tr_status tr_doc_double(const struct tr_node *object, const char *key, enum tr_need need, double min, double max,
                             double *out, struct tr_err *err)
{
    const struct tr_node *node = NULL;
    enum tr_status status = look_up(object, key, need, &node, err);
    return status || !node ? status : tr_node_double(node, min, max, out, err);
}

enum tr_status tr_doc_bool(const struct tr_node *object, const char *key, enum tr_need need, bool *out,
                           struct tr_err *err)
{
    const struct tr_node *node = NULL;
    enum tr_status status = look_up(object, key, need, &node, err);
    return status || !node ? status : tr_node_bool(node, out, err);
}

enum tr_status tr_doc_string(const struct tr_node *object, const char *key, enum tr_need need, const char **out,
                             struct tr_err *err)
{
    const struct tr_node *node = NULL;
    enum tr_status status = look_up(object, key, need, &node, err);
    return status || !node ? status : tr_node_string(node, out, err);
}

enum tr_status tr_doc_enum(const struct tr_node *object, const char *key, enum tr_need need, const char *const *names,
                           int count, int *out, struct tr_err *err)
{
    const struct tr_node *node = NULL;
    enum tr_status status = look_up(object, key, need, &node, err);
    return status || !node ? status : tr_node_enum(node, names, count, out, err);
}

enum tr_status tr_doc_known_keys(const struct tr_node *object, const char *const *names, int count, struct tr_err *err)
{
    if (object->kind != TR_NODE_OBJECT)
        return expected(object, err, "a group of keys");
    for (int64_t i = 0; i < object->count; i++) {
        const struct tr_node *child = &object->children[i];
        bool known = false;
        for (int j = 0; j < count && !known; j++)
            known = strcmp(child->key, names[j]) == 0;
        if (known)
            continue;
        struct tr_node at = *child;
        at.line = child->key_line;
        at.column = child->key_column;
        int nearest = tr_nearest(child->key, names, count);
        if (nearest >= 0)
            return tr_node_fail(&at, err, "unknown key; did you mean \"%s\"?", names[nearest]);
        char what[400];
        describe_names(what, sizeof what, names, count);
        return tr_node_fail(&at, err, "unknown key; expected %s", what);
    }
    return TR_OK;
}

void tr_node_write(const struct tr_node *node, struct tr_json *json, const char *key)
{
    switch (node->kind) {
    case TR_NODE_NULL: tr_json_null(json, key); break;
    case TR_NODE_BOOL: tr_json_bool(json, key, node->boolean); break;
    case TR_NODE_INT: tr_json_int(json, key, node->integer); break;
    case TR_NODE_DOUBLE: tr_json_double(json, key, node->real); break;
    case TR_NODE_STRING: tr_json_bytes(json, key, node->string, (size_t)node->count); break;
    case TR_NODE_ARRAY:
    case TR_NODE_OBJECT:
        if (node->kind == TR_NODE_ARRAY)
            tr_json_array(json, key);
        else
            tr_json_object(json, key);
        for (int64_t i = 0; i < node->count; i++)
            tr_node_write(&node->children[i], json, node->children[i].key);
        tr_json_end(json);
        break;
    }
}
