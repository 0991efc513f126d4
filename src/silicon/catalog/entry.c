/* Reading one entry by a table of its keys, through what it is like. */
#include "silicon/catalog/inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keys that may stand in an entry, besides those of its table; in groups only the first four. */
static const char *const common[] = {"source", "date", "grade", "note", "like", "aliases"};
enum { COMMON = sizeof common / sizeof *common, COMMON_IN_GROUPS = 4 };

enum tr_status tr_entry_fail(const struct tr_entry *entry, struct tr_err *err, const char *fmt, ...)
{
    char sentence[TR_ERR_BYTES];
    va_list args;
    va_start(args, fmt);
    vsnprintf(sentence, sizeof sentence, fmt, args);
    va_end(args);
    struct tr_node at = *entry->node;
    at.line = entry->node->key_line;
    at.column = entry->node->key_column;
    return tr_node_fail(&at, err, "%s", sentence);
}

/* --- finding --- */

/* Follows a dotted path down one entry's own keys. *stopped: some key on the way is null, so it is taken away. */
static const struct tr_node *own_node(const struct tr_node *node, const char *path, bool *stopped)
{
    *stopped = false;
    while (*path) {
        char part[TR_CATALOG_ID_BYTES];
        size_t len = strcspn(path, ".");
        if (len >= sizeof part || node->kind != TR_NODE_OBJECT)
            return NULL;
        memcpy(part, path, len);
        part[len] = 0;
        node = tr_doc_find(node, part);
        if (!node)
            return NULL;
        if (node->kind == TR_NODE_NULL) {
            *stopped = true;
            return NULL;
        }
        path += len + (path[len] == '.');
    }
    return node;
}

const struct tr_node *tr_entry_node(const struct tr_entry *entry, const char *path, const struct tr_entry **holder)
{
    bool stopped = false;
    for (; entry && !stopped; entry = entry->base) {
        const struct tr_node *node = own_node(entry->node, path, &stopped);
        if (node) {
            if (holder)
                *holder = entry;
            return node;
        }
    }
    return NULL;
}

enum tr_status tr_entry_named(const struct tr_entry *entry, const char *key, enum tr_section section,
                              const struct tr_entry **out, struct tr_err *err)
{
    const struct tr_node *node = tr_entry_node(entry, key, NULL);
    const char *name;
    struct tr_err why;
    if (!node)
        return TR_OK;
    enum tr_status status = tr_node_string(node, &name, err);
    if (status == TR_OK && tr_catalog_find(entry->catalog, section, name, out, &why))
        return tr_node_fail(node, err, "%s", why.text);
    return status;
}

static bool is_common(const char *key, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(common[i], key) == 0)
            return true;
    return false;
}

/* The chain from what it is like to the entry itself. */
static int chain_of(const struct tr_entry *entry, const struct tr_entry *chain[TR_CATALOG_MAX_LIKES + 1])
{
    int count = 0, at = 0;
    for (const struct tr_entry *e = entry; e; e = e->base)
        count++;
    TR_ASSERT(count <= TR_CATALOG_MAX_LIKES + 1);
    for (const struct tr_entry *e = entry; e; e = e->base)
        chain[count - ++at] = e;
    return count;
}

enum tr_status tr_entry_keys(const struct tr_entry *entry, const char *path, const char **keys, int max, int *count,
                             struct tr_err *err)
{
    const struct tr_entry *chain[TR_CATALOG_MAX_LIKES + 1];
    int links = chain_of(entry, chain), used = 0;
    for (int i = 0; i < links; i++) {
        bool stopped;
        const struct tr_node *group = own_node(chain[i]->node, path, &stopped);
        if (!group)
            continue;
        if (group->kind != TR_NODE_OBJECT)
            return tr_node_fail(group, err, "expected a group of keys");
        for (int64_t j = 0; j < group->count; j++) {
            const char *key = group->children[j].key;
            char inside[TR_DOC_PATH_BYTES];
            bool there = is_common(key, COMMON_IN_GROUPS);
            for (int k = 0; k < used && !there; k++)
                there = strcmp(keys[k], key) == 0;
            int len = snprintf(inside, sizeof inside, "%s%s%s", path, *path ? "." : "", key);
            if (there)
                continue;
            if (strchr(key, '.') || len >= (int)sizeof inside || len < 0)
                return tr_node_fail(&group->children[j], err, "a name without points was expected");
            if (!tr_entry_node(entry, inside, NULL))
                continue;
            if (used == max)
                return tr_node_fail(&group->children[j], err, "too many keys in the group (the limit is %d)", max);
            keys[used++] = key;
        }
    }
    *count = used;
    return TR_OK;
}

/* --- numbers --- */

/* A key of the innermost group around a number that has it. */
static const struct tr_node *around(const struct tr_entry *holder, const struct tr_node *node, const char *key)
{
    for (const struct tr_node *at = node; at; at = at->parent) {
        const struct tr_node *found = at->kind == TR_NODE_OBJECT ? tr_doc_find(at, key) : NULL;
        if (found && found->kind != TR_NODE_NULL)
            return found;
        if (at == holder->node)
            break;
    }
    return NULL;
}

static enum tr_status read_origin(const struct tr_entry *holder, const struct tr_node *node, struct tr_fact *fact,
                                  struct tr_err *err)
{
    const struct tr_node *source = around(holder, node, "source");
    const struct tr_node *date = around(holder, node, "date");
    const struct tr_node *grade = around(holder, node, "grade");
    enum tr_status status = TR_OK;
    fact->source = holder->file;
    if (source)
        status = tr_catalog_source_find(holder->catalog, source, &fact->source, err);
    if (status != TR_OK)
        return status;
    memcpy(fact->date, fact->source->date, sizeof fact->date);
    if (date)
        status = tr_catalog_date(date, fact->date, err);
    if (status != TR_OK)
        return status;
    fact->grade = fact->source->grade;
    if (grade) {
        int count, index;
        const char *const *names = tr_grade_names(&count);
        status = tr_node_enum(grade, names, count, &index, err);
        if (status == TR_OK)
            fact->grade = (enum tr_grade)(index + 1);
    }
    return status;
}

/* quantity.h takes bare numbers of bytes and dollars; here only counts and shares have no unit. */
static enum tr_status check_unit(const struct tr_node *value, enum tr_unit unit, struct tr_err *err)
{
    if (unit == TR_UNIT_COUNT || unit == TR_UNIT_RATIO)
        return TR_OK;
    char *end = NULL;
    bool bare = value->kind == TR_NODE_INT || value->kind == TR_NODE_DOUBLE;
    if (value->kind == TR_NODE_STRING) {
        strtod(value->string, &end);
        bare = end != value->string && *end == 0;
    }
    return bare ? tr_node_fail(value, err, "a number without its unit; expected %s", tr_unit_hint(unit)) : TR_OK;
}

enum tr_status tr_entry_fact(const struct tr_entry *holder, const struct tr_node *node, enum tr_unit unit, double min,
                             double max, struct tr_fact *out, struct tr_err *err)
{
    static const char *const keys[] = {"value", "source", "date", "grade", "note"};
    struct tr_fact fact = {0};
    const struct tr_node *value = node;
    enum tr_status status = TR_OK;
    if (node->kind == TR_NODE_OBJECT) {
        status = tr_doc_known_keys(node, keys, sizeof keys / sizeof *keys, err);
        if (status == TR_OK)
            status = tr_doc_get(node, "value", TR_REQUIRED, &value, err);
        if (status == TR_OK)
            status = tr_doc_string(node, "note", TR_OPTIONAL, &fact.note, err);
    }
    if (status == TR_OK)
        status = check_unit(value, unit, err);
    if (status == TR_OK)
        status = tr_node_quantity(value, unit, min, max, &fact.value, err);
    if (status == TR_OK)
        status = read_origin(holder, node, &fact, err);
    if (status == TR_OK)
        *out = fact;
    return status;
}

/* --- by table --- */

enum { KEYS_MAX = 256 };

struct key_list {
    char name[KEYS_MAX][TR_CATALOG_ID_BYTES];
    const char *at[KEYS_MAX];
    int count;
};

static void list_key(struct key_list *list, const char *key, size_t len)
{
    for (int i = 0; i < list->count; i++)
        if (strlen(list->at[i]) == len && memcmp(list->at[i], key, len) == 0)
            return;
    TR_ASSERT(list->count < KEYS_MAX && len < TR_CATALOG_ID_BYTES);
    memcpy(list->name[list->count], key, len);
    list->name[list->count][len] = 0;
    list->at[list->count] = list->name[list->count];
    list->count++;
}

/* What follows `path` in a field's path; NULL when the field is not inside of that group. */
static const char *inside_of(const char *field, const char *path)
{
    size_t len = strlen(path);
    if (len == 0)
        return field;
    return strncmp(field, path, len) == 0 && field[len] == '.' ? field + len + 1 : NULL;
}

/* Every key of the group and of the groups in it belongs to a field. `path` is from where the fields begin. */
static enum tr_status check_keys(const struct tr_node *group, const char *path, bool is_entry,
                                 const struct tr_field *fields, int count, struct tr_err *err)
{
    struct key_list list = {.count = 0};
    for (int i = 0; i < count; i++) {
        const char *rest = inside_of(fields[i].path, path);
        if (rest)
            list_key(&list, rest, strcspn(rest, "."));
    }
    for (int i = 0; i < (is_entry ? COMMON : COMMON_IN_GROUPS); i++)
        list_key(&list, common[i], strlen(common[i]));
    enum tr_status status = tr_doc_known_keys(group, list.at, list.count, err);
    for (int64_t i = 0; status == TR_OK && i < group->count; i++) {
        const struct tr_node *child = &group->children[i];
        char below[TR_DOC_PATH_BYTES];
        snprintf(below, sizeof below, "%s%s%s", path, *path ? "." : "", child->key);
        bool is_group = false;
        for (int j = 0; j < count && !is_group; j++)
            is_group = inside_of(fields[j].path, below) != NULL;
        if (is_group && child->kind != TR_NODE_NULL)
            status = check_keys(child, below, false, fields, count, err);
    }
    return status;
}

static enum tr_status read_enum(const struct tr_node *node, const char *const *choices, int *out, struct tr_err *err)
{
    int count = 0;
    while (choices[count])
        count++;
    return tr_node_enum(node, choices, count, out, err);
}

static enum tr_status read_field(const struct tr_entry *entry, const char *prefix, const struct tr_field *field,
                                 char *target, struct tr_err *err)
{
    char path[TR_DOC_PATH_BYTES];
    snprintf(path, sizeof path, "%s%s%s", prefix, *prefix ? "." : "", field->path);
    const struct tr_entry *holder;
    const struct tr_node *node = tr_entry_node(entry, path, &holder);
    void *out = target + field->offset;
    if (!node)
        return field->required ? tr_entry_fail(entry, err, "the key \"%s\" is missing", path) : TR_OK;
    switch (field->kind) {
    case TR_FIELD_FACT: return tr_entry_fact(holder, node, field->unit, field->min, field->max, out, err);
    case TR_FIELD_WHOLE: return tr_node_int(node, (int64_t)field->min, (int64_t)field->max, out, err);
    case TR_FIELD_TEXT: return tr_node_string(node, out, err);
    case TR_FIELD_ENUM: return read_enum(node, field->choices, out, err);
    case TR_FIELD_FLAG: return tr_node_bool(node, out, err);
    case TR_FIELD_GROUP: break;
    }
    return TR_OK;
}

enum tr_status tr_entry_read(const struct tr_entry *entry, const char *prefix, const struct tr_field *fields, int count,
                             void *target, struct tr_err *err)
{
    for (const struct tr_entry *e = entry; e; e = e->base) {
        bool stopped;
        const struct tr_node *group = own_node(e->node, prefix, &stopped);
        enum tr_status status = group ? check_keys(group, "", !*prefix, fields, count, err) : TR_OK;
        if (status != TR_OK)
            return status;
        if (stopped)
            break;
    }
    for (int i = 0; i < count; i++) {
        enum tr_status status = read_field(entry, prefix, &fields[i], target, err);
        if (status != TR_OK)
            return status;
    }
    return TR_OK;
}
