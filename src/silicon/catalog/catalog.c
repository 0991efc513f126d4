#include "silicon/catalog/catalog.h"

#include "base/os.h"
#include "silicon/catalog/embedded.h"
#include "silicon/catalog/inside.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SOURCES = TR_SECTION_COUNT, ARENA_MAX_BYTES = 64 << 20 };

/* The sections of a file, and what one entry is called in a sentence. */
static const char *const section_names[] = {
    [TR_SECTION_CHIPS] = "chips",       [TR_SECTION_FITS] = "fits",     [TR_SECTION_NETWORKS] = "networks",
    [TR_SECTION_SYSTEMS] = "systems",   [TR_SECTION_PRICES] = "prices", [TR_SECTION_SITES] = "sites",
    [TR_SECTION_FAILURES] = "failures", [TR_SECTION_MODELS] = "models",
    [TR_SECTION_STACKS] = "stacks", [TR_SECTION_STACK_FITS] = "stack_fits", [TR_SECTION_LAWS] = "scaling_laws",
    [TR_SECTION_KERNELS] = "kernels",   [TR_SECTION_EXCHANGES] = "exchanges", [SOURCES] = "sources",
};
static const char *const entry_words[] = {
    [TR_SECTION_CHIPS] = "chip",     [TR_SECTION_FITS] = "fit",        [TR_SECTION_NETWORKS] = "network",
    [TR_SECTION_SYSTEMS] = "system", [TR_SECTION_PRICES] = "price",    [TR_SECTION_SITES] = "site",
    [TR_SECTION_FAILURES] = "record of failures", [TR_SECTION_MODELS] = "model",
    [TR_SECTION_STACKS] = "software stack", [TR_SECTION_STACK_FITS] = "fit of a stack", [TR_SECTION_LAWS] = "scaling law",
    [TR_SECTION_KERNELS] = "record of kernels", [TR_SECTION_EXCHANGES] = "record of exchanges",
};

static const char *const grades[] = {"unknown", "measured", "stated", "interpolated", "transferred", "assumed"};
_Static_assert(sizeof grades / sizeof *grades == TR_GRADE_COUNT, "a name for each grade");

const char *tr_grade_name(enum tr_grade grade)
{
    TR_ASSERT(grade >= 0 && grade < TR_GRADE_COUNT);
    return grades[grade];
}

const char *const *tr_grade_names(int *count)
{
    *count = TR_GRADE_COUNT - 1;
    return grades + 1;
}

const char *tr_section_name(enum tr_section section)
{
    TR_ASSERT(section >= 0 && section < TR_SECTION_COUNT);
    return section_names[section];
}

/* --- names --- */

static const char *skip_separators(const char *at)
{
    while (*at == '-' || *at == '_' || *at == ' ')
        at++;
    return at;
}

bool tr_names_equal(const char *a, const char *b)
{
    for (;; a++, b++) {
        a = skip_separators(a);
        b = skip_separators(b);
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
            return false;
        if (!*a)
            return true;
    }
}

/* Its aliases, and what its key `name` calls it. An entry that extends the one of its own id has that one's too. */
static bool has_alias(const struct tr_entry *entry, const char *name)
{
    for (const struct tr_entry *e = entry; e && strcmp(e->id, entry->id) == 0; e = e->base) {
        const struct tr_node *written = tr_doc_find(e->node, "name");
        if (written && written->kind == TR_NODE_STRING && tr_names_equal(written->string, name))
            return true;
        for (int i = 0; i < e->alias_count; i++)
            if (tr_names_equal(e->alias[i], name))
                return true;
    }
    return false;
}

/* Ids go before other names, and newer entries before older ones: what a user calls his own is his. */
static const struct tr_entry *look(const struct tr_entry *const *entries, int count, const char *name)
{
    for (int i = count - 1; i >= 0; i--)
        if (tr_names_equal(entries[i]->id, name))
            return entries[i];
    for (int i = count - 1; i >= 0; i--)
        if (has_alias(entries[i], name))
            return entries[i];
    return NULL;
}

const struct tr_entry *tr_catalog_look(const struct tr_catalog *catalog, enum tr_section section, const char *name)
{
    return look(catalog->live + catalog->live_start[section], tr_catalog_count(catalog, section), name);
}

enum { NAMES_MAX = 4096 }; /* among which a near one is looked for */

/* The id whose own name, or one of whose aliases, is near; NULL when none is. */
static const char *nearest_id(const struct tr_entry *const *entries, int count, const char *name)
{
    const char *names[NAMES_MAX], *ids[NAMES_MAX];
    int used = 0;
    for (int i = 0; i < count; i++)
        for (int j = -1; j < entries[i]->alias_count && used < NAMES_MAX; j++, used++) {
            names[used] = j < 0 ? entries[i]->id : entries[i]->alias[j];
            ids[used] = entries[i]->id;
        }
    int nearest = tr_nearest(name, names, used);
    return nearest < 0 ? NULL : ids[nearest];
}

/* ": plain, fsdp ..." of a section that one can read in a line. */
static const char *all_ids(const struct tr_entry *const *entries, int count, char out[640])
{
    enum { A_LINE = 20 };
    out[0] = 0;
    for (int i = 0; i < count && count <= A_LINE; i++)
        snprintf(out + strlen(out), 640 - strlen(out), "%s%.28s", i ? ", " : ": ", entries[i]->id);
    return out;
}

enum tr_status tr_catalog_find(const struct tr_catalog *catalog, enum tr_section section, const char *name,
                               const struct tr_entry **out, struct tr_err *err)
{
    const struct tr_entry *entry = tr_catalog_look(catalog, section, name);
    if (entry) {
        *out = entry;
        return TR_OK;
    }
    int count = tr_catalog_count(catalog, section);
    const struct tr_entry *const *entries = catalog->live + catalog->live_start[section];
    const char *nearest = nearest_id(entries, count, name);
    char ids[640];
    if (nearest)
        return tr_fail(err, TR_BAD_INPUT, "unknown %s \"%.60s\"; did you mean %s?", entry_words[section], name,
                       nearest);
    return tr_fail(err, TR_BAD_INPUT, "unknown %s \"%.60s\": none of the catalog's %d %s has a name like it%s",
                   entry_words[section], name, count, section_names[section], all_ids(entries, count, ids));
}

int tr_catalog_count(const struct tr_catalog *catalog, enum tr_section section)
{
    return catalog->live_start[section + 1] - catalog->live_start[section];
}

const struct tr_entry *tr_catalog_entry(const struct tr_catalog *catalog, enum tr_section section, int index)
{
    TR_ASSERT(index >= 0 && index < tr_catalog_count(catalog, section));
    return catalog->live[catalog->live_start[section] + index];
}

int tr_catalog_source_count(const struct tr_catalog *catalog)
{
    return catalog->source_count;
}

const struct tr_source *tr_catalog_source(const struct tr_catalog *catalog, int index)
{
    TR_ASSERT(index >= 0 && index < catalog->source_count);
    return catalog->sources[index];
}

enum tr_status tr_catalog_source_find(const struct tr_catalog *catalog, const struct tr_node *node,
                                      const struct tr_source **out, struct tr_err *err)
{
    const char *id, *ids[TR_CATALOG_MAX_SOURCES];
    enum tr_status status = tr_node_string(node, &id, err);
    if (status != TR_OK)
        return status;
    for (int i = catalog->source_count - 1; i >= 0; i--) {
        ids[i] = catalog->sources[i]->id;
        if (strcmp(ids[i], id) == 0) {
            *out = catalog->sources[i];
            return TR_OK;
        }
    }
    int nearest = tr_nearest(id, ids, catalog->source_count);
    return tr_node_fail(node, err, "unknown source \"%.60s\"%s%s%s", id, nearest < 0 ? "" : "; did you mean ",
                        nearest < 0 ? ": it has to stand in a group `sources`" : ids[nearest], nearest < 0 ? "" : "?");
}

/* --- one file --- */

static enum tr_status check_id(const struct tr_node *node, struct tr_err *err)
{
    struct tr_node at = *node;
    at.line = node->key_line;
    at.column = node->key_column;
    size_t len = strlen(node->key);
    bool good = len > 0 && len < TR_CATALOG_ID_BYTES && isalnum((unsigned char)node->key[0]);
    for (size_t i = 0; i < len; i++)
        good = good && (isalnum((unsigned char)node->key[i]) || strchr(".-_", node->key[i]));
    if (!good)
        return tr_node_fail(&at, err, "an id is at most %d letters, digits, '.', '-' and '_', the first one a letter "
                            "or a digit", TR_CATALOG_ID_BYTES - 1);
    return TR_OK;
}

bool tr_is_date(const char *text)
{
    const char form[] = "0000-00-00";
    size_t len = strlen(text);
    bool good = len == 4 || len == 7 || len == 10;
    for (size_t i = 0; good && i < len; i++)
        good = form[i] == '-' ? text[i] == '-' : isdigit((unsigned char)text[i]);
    if (good && len >= 7)
        good = strncmp(text + 5, "01", 2) >= 0 && strncmp(text + 5, "12", 2) <= 0;
    if (good && len == 10)
        good = strcmp(text + 8, "01") >= 0 && strcmp(text + 8, "31") <= 0;
    return good;
}

enum tr_status tr_catalog_date(const struct tr_node *node, char out[TR_FACT_DATE_BYTES], struct tr_err *err)
{
    char text[TR_FACT_DATE_BYTES] = "";
    if (node->kind == TR_NODE_STRING)
        snprintf(text, sizeof text, "%s", node->string);
    else if (node->kind == TR_NODE_INT && node->integer >= 1900 && node->integer <= 9999)
        snprintf(text, sizeof text, "%d", (int)node->integer);
    if (!tr_is_date(text))
        return tr_node_fail(node, err, "expected a date such as 2024, 2024-03 or 2024-03-17");
    memcpy(out, text, sizeof text);
    return TR_OK;
}

static enum tr_status read_source(const struct tr_node *node, struct tr_source *source, struct tr_err *err)
{
    static const char *const keys[] = {"title", "where", "date", "grade"};
    int count, grade = TR_GRADE_STATED - 1;
    const char *const *names = tr_grade_names(&count);
    const struct tr_node *date = NULL;
    enum tr_status status = tr_doc_known_keys(node, keys, sizeof keys / sizeof *keys, err);
    if (status == TR_OK)
        status = tr_doc_string(node, "title", TR_REQUIRED, &source->title, err);
    if (status == TR_OK)
        status = tr_doc_string(node, "where", TR_OPTIONAL, &source->where, err);
    if (status == TR_OK)
        status = tr_doc_enum(node, "grade", TR_OPTIONAL, names, count, &grade, err);
    if (status == TR_OK)
        status = tr_doc_get(node, "date", TR_OPTIONAL, &date, err);
    if (status == TR_OK && date)
        status = tr_catalog_date(date, source->date, err);
    source->grade = (enum tr_grade)(grade + 1);
    return status;
}

static enum tr_status add_source(struct tr_catalog *catalog, const struct tr_node *node, int layer, struct tr_err *err)
{
    enum tr_status status = check_id(node, err);
    if (status != TR_OK)
        return status;
    for (int i = 0; i < catalog->source_count; i++)
        if (catalog->source_layer[i] == layer && strcmp(catalog->sources[i]->id, node->key) == 0)
            return tr_node_fail(node, err, "there is a source of this id already");
    if (catalog->source_count == TR_CATALOG_MAX_SOURCES)
        return tr_node_fail(node, err, "too many sources (the limit is %d)", TR_CATALOG_MAX_SOURCES);
    struct tr_source *source = tr_arena_alloc(&catalog->arena, sizeof *source, err);
    if (!source)
        return TR_FAILED;
    source->id = node->key;
    source->where = "";
    status = read_source(node, source, err);
    if (status != TR_OK)
        return status;
    catalog->sources[catalog->source_count] = source;
    catalog->source_layer[catalog->source_count++] = layer;
    return TR_OK;
}

static enum tr_status read_aliases(const struct tr_node *node, struct tr_entry *entry, struct tr_err *err)
{
    const struct tr_node *list = NULL;
    enum tr_status status = tr_doc_array(node, "aliases", TR_OPTIONAL, 0, TR_CATALOG_MAX_ALIASES, &list, err);
    for (int64_t i = 0; status == TR_OK && list && i < list->count; i++)
        status = tr_node_string(&list->children[i], &entry->alias[entry->alias_count++], err);
    return status;
}

static enum tr_status add_entry(struct tr_catalog *catalog, const struct tr_node *node, enum tr_section section,
                                int layer, const struct tr_source *file, struct tr_err *err)
{
    enum tr_status status = check_id(node, err);
    if (status != TR_OK)
        return status;
    if (node->kind != TR_NODE_OBJECT)
        return tr_node_fail(node, err, "expected a group of keys");
    for (int i = 0; i < catalog->entry_count; i++) {
        const struct tr_entry *other = catalog->entries[i];
        if (other->layer == layer && other->section == section && tr_names_equal(other->id, node->key))
            return tr_node_fail(node, err, "there is one of this id already, in %s:%d", other->node->source,
                                other->node->key_line);
    }
    if (catalog->entry_count == TR_CATALOG_MAX_ENTRIES)
        return tr_node_fail(node, err, "too many entries (the limit is %d)", TR_CATALOG_MAX_ENTRIES);
    struct tr_entry *entry = tr_arena_alloc(&catalog->arena, sizeof *entry, err);
    if (!entry)
        return TR_FAILED;
    *entry = (struct tr_entry){.id = node->key, .section = section, .catalog = catalog, .node = node, .layer = layer,
                               .file = file};
    status = read_aliases(node, entry, err);
    if (status == TR_OK)
        catalog->entries[catalog->entry_count++] = entry;
    return status;
}

static enum tr_status add_section(struct tr_catalog *catalog, const struct tr_node *section, int layer,
                                  const struct tr_source *file, struct tr_err *err)
{
    int which = 0;
    while (strcmp(section_names[which], section->key) != 0)
        which++;
    if (section->kind != TR_NODE_OBJECT)
        return tr_node_fail(section, err, "expected a group of entries by id");
    enum tr_status status = TR_OK;
    for (int64_t i = 0; status == TR_OK && i < section->count; i++) {
        const struct tr_node *node = &section->children[i];
        if (which == SOURCES)
            status = add_source(catalog, node, layer, err);
        else
            status = add_entry(catalog, node, (enum tr_section)which, layer, file, err);
    }
    return status;
}

/* Takes over the document, also on failure. */
static enum tr_status add_doc(struct tr_catalog *catalog, struct tr_doc *doc, const char *name, int layer,
                              struct tr_err *err)
{
    if (catalog->doc_count == TR_CATALOG_MAX_FILES) {
        tr_doc_free(doc);
        return tr_fail(err, TR_BAD_INPUT, "%s: too many files in the catalog (the limit is %d)", name,
                       TR_CATALOG_MAX_FILES);
    }
    catalog->docs[catalog->doc_count++] = doc;
    struct tr_source *file = tr_arena_alloc(&catalog->arena, sizeof *file, err);
    char *id = tr_arena_strdup(&catalog->arena, name, err);
    if (!file || !id)
        return TR_FAILED;
    *file = (struct tr_source){.id = id, .title = id, .where = id, .grade = TR_GRADE_ASSUMED};
    const struct tr_node *root = tr_doc_root(doc);
    enum tr_status status = tr_doc_known_keys(root, section_names, sizeof section_names / sizeof *section_names, err);
    for (int64_t i = 0; status == TR_OK && i < root->count; i++)
        status = add_section(catalog, &root->children[i], layer, file, err);
    return status;
}

/* --- a layer --- */

/* What an entry is like: in its own layer, or the newest of the layers before; its own id means one before it. */
static enum tr_status resolve(struct tr_catalog *catalog, struct tr_entry *entry, struct tr_err *err)
{
    const char *name = NULL;
    enum tr_status status = tr_doc_string(entry->node, "like", TR_OPTIONAL, &name, err);
    if (status != TR_OK || !name)
        return status;
    const struct tr_entry *candidates[TR_CATALOG_MAX_ENTRIES];
    int count = 0;
    bool itself = tr_names_equal(name, entry->id);
    for (int i = 0; i < catalog->entry_count; i++) {
        const struct tr_entry *other = catalog->entries[i];
        if (other->section == entry->section && other != entry && !(itself && other->layer == entry->layer))
            candidates[count++] = other;
    }
    entry->base = look(candidates, count, name);
    if (entry->base)
        return TR_OK;
    const char *nearest = nearest_id(candidates, count, name);
    return tr_node_fail(tr_doc_find(entry->node, "like"), err, "unknown %s \"%.60s\"%s%s%s",
                        entry_words[entry->section], name, nearest ? "; did you mean " : "", nearest ? nearest : "",
                        nearest ? "?" : "");
}

static enum tr_status resolve_layer(struct tr_catalog *catalog, int layer, struct tr_err *err)
{
    for (int i = 0; i < catalog->entry_count; i++)
        if (catalog->entries[i]->layer == layer && resolve(catalog, catalog->entries[i], err))
            return TR_BAD_INPUT;
    for (int i = 0; i < catalog->entry_count; i++) {
        const struct tr_entry *entry = catalog->entries[i];
        int likes = 0;
        for (const struct tr_entry *e = entry->base; e; e = e->base)
            if (++likes > TR_CATALOG_MAX_LIKES)
                return tr_node_fail(tr_doc_find(entry->node, "like"), err, "like one another in a ring, or over more "
                                    "than %d steps", TR_CATALOG_MAX_LIKES);
    }
    return TR_OK;
}

static bool is_replaced(const struct tr_catalog *catalog, int index)
{
    const struct tr_entry *entry = catalog->entries[index];
    for (int i = index + 1; i < catalog->entry_count; i++)
        if (catalog->entries[i]->section == entry->section && tr_names_equal(catalog->entries[i]->id, entry->id))
            return true;
    return false;
}

static enum tr_status finish_layer(struct tr_catalog *catalog, struct tr_err *err)
{
    enum tr_status status = resolve_layer(catalog, catalog->layer_count, err);
    if (status != TR_OK)
        return status;
    int count = 0;
    for (int section = 0; section < TR_SECTION_COUNT; section++) {
        catalog->live_start[section] = count;
        for (int i = 0; i < catalog->entry_count; i++)
            if ((int)catalog->entries[i]->section == section && !is_replaced(catalog, i))
                catalog->live[count++] = catalog->entries[i];
    }
    catalog->live_start[TR_SECTION_COUNT] = count;
    catalog->layer_count++;
    return TR_OK;
}

static enum tr_status add_text(struct tr_catalog *catalog, const char *name, const char *data, size_t bytes,
                               struct tr_err *err)
{
    struct tr_doc *doc;
    enum tr_status status = tr_doc_parse(name, TR_DOC_YAML, data, bytes, &doc, err);
    return status != TR_OK ? status : add_doc(catalog, doc, name, catalog->layer_count, err);
}

static enum tr_status add_file(struct tr_catalog *catalog, const char *path, struct tr_err *err)
{
    struct tr_doc *doc;
    enum tr_status status = tr_doc_read(path, TR_DOC_YAML, &doc, err);
    return status != TR_OK ? status : add_doc(catalog, doc, path, catalog->layer_count, err);
}

static bool is_yaml(const char *name)
{
    size_t len = strlen(name);
    return name[0] != '.' && len > 5 && strcmp(name + len - 5, ".yaml") == 0;
}

enum { FOLDERS_DEEP = 8 };

static enum tr_status add_folder(struct tr_catalog *catalog, const char *path, int depth, struct tr_err *err)
{
    if (depth == FOLDERS_DEEP)
        return tr_fail(err, TR_BAD_INPUT, "%s: folders inside of folders, more than %d deep", path, FOLDERS_DEEP);
    const char *const *names;
    int64_t count;
    enum tr_status status = tr_folder_list(path, &catalog->arena, &names, &count, err);
    for (int64_t i = 0; status == TR_OK && i < count; i++) {
        char inside[TR_PATH_BYTES];
        status = tr_path_join(inside, path, names[i], err);
        if (status != TR_OK)
            break;
        if (is_yaml(names[i]))
            status = add_file(catalog, inside, err);
        else if (names[i][0] != '.' && tr_folder_exists(inside))
            status = add_folder(catalog, inside, depth + 1, err);
    }
    return status;
}

static enum tr_status check_layers(const struct tr_catalog *catalog, const char *name, struct tr_err *err)
{
    if (catalog->layer_count == TR_CATALOG_MAX_LAYERS)
        return tr_fail(err, TR_BAD_INPUT, "%s: too many catalogs (the limit is %d)", name, TR_CATALOG_MAX_LAYERS);
    return TR_OK;
}

enum tr_status tr_catalog_add(struct tr_catalog *catalog, const char *path, struct tr_err *err)
{
    enum tr_status status = check_layers(catalog, path, err);
    int before = catalog->doc_count;
    if (status == TR_OK)
        status = tr_folder_exists(path) ? add_folder(catalog, path, 0, err) : add_file(catalog, path, err);
    if (status == TR_OK && catalog->doc_count == before)
        return tr_fail(err, TR_BAD_INPUT, "%s: the folder holds no *.yaml files", path);
    return status == TR_OK ? finish_layer(catalog, err) : status;
}

enum tr_status tr_catalog_add_text(struct tr_catalog *catalog, const char *name, const char *data, size_t bytes,
                                   struct tr_err *err)
{
    enum tr_status status = check_layers(catalog, name, err);
    if (status == TR_OK)
        status = add_text(catalog, name, data, bytes, err);
    return status == TR_OK ? finish_layer(catalog, err) : status;
}

/* --- the whole --- */

enum tr_status tr_catalog_open_empty(struct tr_catalog **out, struct tr_err *err)
{
    struct tr_catalog *catalog = calloc(1, sizeof *catalog);
    if (!catalog)
        return tr_fail(err, TR_FAILED, "no memory for the catalog");
    tr_arena_init(&catalog->arena, "catalog", ARENA_MAX_BYTES);
    *out = catalog;
    return TR_OK;
}

enum tr_status tr_catalog_open(struct tr_catalog **out, struct tr_err *err)
{
    struct tr_catalog *catalog = NULL;
    enum tr_status status = tr_catalog_open_empty(&catalog, err);
    if (status != TR_OK)
        return status;
    for (const struct tr_embedded *file = tr_embedded_files; status == TR_OK && file->path; file++)
        status = add_text(catalog, file->path, (const char *)file->data, file->bytes, err);
    if (status == TR_OK)
        status = finish_layer(catalog, err);
    if (status == TR_OK)
        *out = catalog;
    else
        tr_catalog_free(catalog);
    return status;
}

void tr_catalog_free(struct tr_catalog *catalog)
{
    if (!catalog)
        return;
    for (int i = 0; i < catalog->doc_count; i++)
        tr_doc_free(catalog->docs[i]);
    tr_arena_free(&catalog->arena);
    free(catalog);
}
