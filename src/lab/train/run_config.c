/* Reading, printing and comparing a run's config by the table of keys. */
#include "lab/train/run_config.h"

#include "base/num.h"
#include "base/quantity.h"

#include <stdio.h>
#include <string.h>

enum { SECTIONS_MAX = 16, SECTION_BYTES = 32, KEYS_MAX = 96, KEY_BYTES = 64, QUOTED_BYTES = 2 * TR_PATH_BYTES };

static void *field(struct tr_run_config *config, const struct tr_run_key *key) { return (char *)config + key->offset; }
static const void *field_const(const struct tr_run_config *config, const struct tr_run_key *key)
{
    return (const char *)config + key->offset;
}

static int choice_count(const struct tr_run_key *key)
{
    int count = 0;
    while (key->choices[count])
        count++;
    return count;
}

static size_t section_bytes(const struct tr_run_key *key) { return (size_t)(strchr(key->name, '.') - key->name); }
static const char *leaf(const struct tr_run_key *key) { return strchr(key->name, '.') + 1; }

static bool in_section(const struct tr_run_key *key, const char *section)
{
    return strlen(section) == section_bytes(key) && memcmp(key->name, section, section_bytes(key)) == 0;
}

static const struct tr_run_key *find_key(const char *section, const char *name)
{
    int count;
    const struct tr_run_key *keys = tr_run_keys(&count);
    for (int i = 0; i < count; i++)
        if (in_section(&keys[i], section) && strcmp(leaf(&keys[i]), name) == 0)
            return &keys[i];
    return NULL;
}

/* ---- defaults ---------------------------------------------------------------------------------------------------- */

static void set_fallback(struct tr_run_config *config, const struct tr_run_key *key)
{
    struct tr_err err;
    double value = TR_AUTO;
    bool automatic = key->automatic && strcmp(key->fallback, "auto") == 0;
    switch (key->kind) {
    case TR_KEY_STRING:
        TR_ASSERT(strlen(key->fallback) < key->bytes);
        strcpy(field(config, key), key->fallback);
        break;
    case TR_KEY_ENUM:
        for (int i = 0; i < choice_count(key); i++)
            if (strcmp(key->choices[i], key->fallback) == 0)
                *(int *)field(config, key) = i;
        break;
    case TR_KEY_INT:
    case TR_KEY_DOUBLE:
        TR_ASSERT(automatic || tr_parse_quantity(key->fallback, TR_UNIT_RATIO, &value, &err) == TR_OK);
        if (key->kind == TR_KEY_INT)
            *(int64_t *)field(config, key) = (int64_t)value;
        else
            *(double *)field(config, key) = value;
        break;
    }
}

void tr_run_config_default(struct tr_run_config *config)
{
    int count;
    const struct tr_run_key *keys = tr_run_keys(&count);
    memset(config, 0, sizeof *config); /* padding too: configs are compared and stored */
    for (int i = 0; i < count; i++)
        set_fallback(config, &keys[i]);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static enum tr_status read_string(struct tr_run_config *config, const struct tr_run_key *key,
                                  const struct tr_node *node, struct tr_err *err)
{
    const char *text;
    enum tr_status status = tr_node_string(node, &text, err);
    if (status != TR_OK)
        return status;
    if (strlen(text) >= key->bytes)
        return tr_node_fail(node, err, "longer than %zu bytes", key->bytes - 1);
    memset(field(config, key), 0, key->bytes);
    strcpy(field(config, key), text);
    return TR_OK;
}

static bool says_auto(const struct tr_run_key *key, const struct tr_node *node)
{
    return key->automatic && node->kind == TR_NODE_STRING && strcmp(node->string, "auto") == 0;
}

static enum tr_status read_int(struct tr_run_config *config, const struct tr_run_key *key, const struct tr_node *node,
                               struct tr_err *err)
{
    int64_t value = TR_AUTO;
    if (says_auto(key, node)) {
        *(int64_t *)field(config, key) = value;
        return TR_OK;
    }
    if (node->kind == TR_NODE_STRING) { /* 10k, 1.5M */
        struct tr_err reason;
        if (tr_parse_whole(node->string, TR_UNIT_COUNT, &value, &reason) != TR_OK)
            return tr_node_fail(node, err, "expected a whole number such as 500 or 10k%s, got \"%.40s\"",
                                key->automatic ? ", or auto" : "", node->string);
        if (value < (int64_t)key->min || value > (int64_t)key->max)
            return tr_node_fail(node, err, "expected a whole number from %lld to %lld, got %lld",
                                (long long)key->min, (long long)key->max, (long long)value);
    } else {
        enum tr_status status = tr_node_int(node, (int64_t)key->min, (int64_t)key->max, &value, err);
        if (status != TR_OK)
            return status;
    }
    *(int64_t *)field(config, key) = value;
    return TR_OK;
}

static enum tr_status read_double(struct tr_run_config *config, const struct tr_run_key *key,
                                  const struct tr_node *node, struct tr_err *err)
{
    double value = TR_AUTO;
    if (!says_auto(key, node)) {
        enum tr_status status = tr_node_double(node, key->min, key->max, &value, err);
        if (status != TR_OK)
            return status;
        if (key->above_min && value == key->min)
            return tr_node_fail(node, err, "expected a number above %g", key->min);
    }
    *(double *)field(config, key) = value;
    return TR_OK;
}

static enum tr_status read_value(struct tr_run_config *config, const struct tr_run_key *key,
                                 const struct tr_node *node, struct tr_err *err)
{
    switch (key->kind) {
    case TR_KEY_STRING: return read_string(config, key, node, err);
    case TR_KEY_INT: return read_int(config, key, node, err);
    case TR_KEY_DOUBLE: return read_double(config, key, node, err);
    case TR_KEY_ENUM: return tr_node_enum(node, key->choices, choice_count(key), field(config, key), err);
    }
    return TR_OK;
}

/* "train.lr" is most likely a key of another section; else a slip of the pen. */
static enum tr_status unknown_key(const struct tr_node *node, const char *section, struct tr_err *err)
{
    int count;
    const struct tr_run_key *keys = tr_run_keys(&count);
    const char *names[KEYS_MAX];
    TR_ASSERT(count <= KEYS_MAX);
    for (int i = 0; i < count; i++)
        if (strcmp(leaf(&keys[i]), node->key) == 0)
            return tr_node_fail(node, err, "unknown key; did you mean %s?", keys[i].name);
    char full[KEY_BYTES];
    snprintf(full, sizeof full, "%.24s%s%.38s", section, section[0] ? "." : "", node->key);
    for (int i = 0; i < count; i++)
        names[i] = keys[i].name;
    int near = tr_nearest(full, names, count);
    if (near >= 0)
        return tr_node_fail(node, err, "unknown key; did you mean %s?", names[near]);
    for (int i = 0; i < count; i++)
        names[i] = leaf(&keys[i]);
    near = tr_nearest(node->key, names, count);
    if (near >= 0)
        return tr_node_fail(node, err, "unknown key; did you mean %s?", keys[near].name);
    return tr_node_fail(node, err, "unknown key (`trine docs` lists all keys)");
}

static enum tr_status unknown_section(const struct tr_node *node, struct tr_err *err)
{
    int count, sections = 0;
    const struct tr_run_key *keys = tr_run_keys(&count);
    char text[SECTIONS_MAX][SECTION_BYTES];
    const char *names[SECTIONS_MAX];
    for (int i = 0; i < count; i++) {
        if (i > 0 && section_bytes(&keys[i]) == section_bytes(&keys[i - 1]) &&
            memcmp(keys[i].name, keys[i - 1].name, section_bytes(&keys[i])) == 0)
            continue;
        TR_ASSERT(sections < SECTIONS_MAX);
        snprintf(text[sections], SECTION_BYTES, "%.*s", (int)section_bytes(&keys[i]), keys[i].name);
        names[sections] = text[sections];
        sections++;
    }
    if (node->kind != TR_NODE_OBJECT)
        return unknown_key(node, "", err);
    int near = tr_nearest(node->key, names, sections);
    if (near >= 0)
        return tr_node_fail(node, err, "unknown section; did you mean %s?", names[near]);
    return tr_node_fail(node, err, "unknown section (`trine docs` lists all keys)");
}

static bool is_section(const char *name)
{
    int count;
    const struct tr_run_key *keys = tr_run_keys(&count);
    for (int i = 0; i < count; i++)
        if (in_section(&keys[i], name))
            return true;
    return false;
}

static enum tr_status read_section(struct tr_run_config *config, const struct tr_node *section, struct tr_err *err)
{
    if (!is_section(section->key))
        return unknown_section(section, err);
    if (section->kind == TR_NODE_NULL) /* "train:" with nothing below */
        return TR_OK;
    if (section->kind != TR_NODE_OBJECT)
        return tr_node_fail(section, err, "expected keys of this section below it, as in `%s:` and indented lines",
                            section->key);
    for (int64_t i = 0; i < section->count; i++) {
        const struct tr_node *node = &section->children[i];
        const struct tr_run_key *key = find_key(section->key, node->key);
        if (!key)
            return unknown_key(node, section->key, err);
        enum tr_status status = read_value(config, key, node, err);
        if (status != TR_OK)
            return status;
    }
    return TR_OK;
}

enum tr_status tr_run_config_from_node(struct tr_run_config *config, const struct tr_node *root, struct tr_err *err)
{
    if (root->kind == TR_NODE_NULL)
        return TR_OK;
    if (root->kind != TR_NODE_OBJECT)
        return tr_node_fail(root, err, "expected sections such as `train:` and keys below them");
    struct tr_run_config new = *config;
    for (int64_t i = 0; i < root->count; i++) {
        enum tr_status status = read_section(&new, &root->children[i], err);
        if (status != TR_OK)
            return status;
    }
    *config = new;
    return TR_OK;
}

/* The value of a key that takes text is text, whatever YAML would make of it: --run.out=2024, --sample.prompt="a: b". */
static enum tr_status override_one(struct tr_doc *doc, const struct tr_override *override, struct tr_err *err)
{
    int count;
    const struct tr_run_key *keys = tr_run_keys(&count);
    for (int i = 0; i < count; i++) {
        if (keys[i].kind != TR_KEY_STRING || strcmp(keys[i].name, override->key) != 0)
            continue;
        struct tr_text quoted = {0};
        tr_text_char(&quoted, '"');
        tr_text_append_json(&quoted, override->value, strlen(override->value));
        tr_text_char(&quoted, '"');
        enum tr_status status = TR_FAILED;
        if (!tr_text_failed(&quoted, err))
            status = tr_doc_override(doc, override->key, tr_text_str(&quoted), err);
        tr_text_free(&quoted);
        return status;
    }
    return tr_doc_override(doc, override->key, override->value, err);
}

enum tr_status tr_run_config_read(struct tr_run_config *config, const char *path, const struct tr_override *overrides,
                                  int override_count, struct tr_err *err)
{
    struct tr_doc *doc;
    enum tr_status status = path ? tr_doc_read(path, TR_DOC_YAML, &doc, err) : tr_doc_empty("command line", &doc, err);
    if (status != TR_OK)
        return status;
    for (int i = 0; i < override_count && status == TR_OK; i++)
        status = override_one(doc, &overrides[i], err);
    struct tr_run_config new;
    tr_run_config_default(&new);
    if (status == TR_OK)
        status = tr_run_config_from_node(&new, tr_doc_root(doc), err);
    if (status == TR_OK)
        *config = new;
    tr_doc_free(doc);
    return status;
}

/* ---- printing ---------------------------------------------------------------------------------------------------- */

static bool is_auto(const struct tr_run_config *config, const struct tr_run_key *key)
{
    if (!key->automatic)
        return false;
    if (key->kind == TR_KEY_INT)
        return *(const int64_t *)field_const(config, key) == TR_AUTO;
    return *(const double *)field_const(config, key) == TR_AUTO;
}

/* The value as YAML and as JSON would write it alike. */
static void print_value(const struct tr_run_config *config, const struct tr_run_key *key, struct tr_text *out)
{
    const void *at = field_const(config, key);
    char number[32];
    if (is_auto(config, key)) {
        tr_text_append(out, "\"auto\"");
        return;
    }
    switch (key->kind) {
    case TR_KEY_STRING:
        tr_text_char(out, '"');
        tr_text_append_json(out, at, strlen(at));
        tr_text_char(out, '"');
        break;
    case TR_KEY_INT: tr_text_printf(out, "%lld", (long long)*(const int64_t *)at); break;
    case TR_KEY_DOUBLE: tr_text_append(out, tr_print_shortest(*(const double *)at, number)); break;
    case TR_KEY_ENUM: tr_text_printf(out, "\"%s\"", key->choices[*(const int *)at]); break;
    }
}

void tr_run_config_yaml(const struct tr_run_config *config, struct tr_text *out)
{
    int count;
    const struct tr_run_key *keys = tr_run_keys(&count);
    for (int i = 0; i < count; i++) {
        if (i == 0 || section_bytes(&keys[i]) != section_bytes(&keys[i - 1]) ||
            memcmp(keys[i].name, keys[i - 1].name, section_bytes(&keys[i])) != 0)
            tr_text_printf(out, "%s%.*s:\n", i ? "\n" : "", (int)section_bytes(&keys[i]), keys[i].name);
        size_t before = out->len;
        tr_text_printf(out, "  %s: ", leaf(&keys[i]));
        print_value(config, &keys[i], out);
        size_t width = out->len - before;
        tr_text_fill(out, ' ', width < 32 ? 32 - width : 1);
        tr_text_printf(out, "# %s\n", keys[i].help);
    }
}

void tr_run_config_json(const struct tr_run_config *config, struct tr_json *json, const char *name)
{
    int count;
    const struct tr_run_key *keys = tr_run_keys(&count);
    struct tr_text value = {0};
    tr_json_object(json, name);
    for (int i = 0; i < count; i++) {
        if (i == 0 || section_bytes(&keys[i]) != section_bytes(&keys[i - 1]) ||
            memcmp(keys[i].name, keys[i - 1].name, section_bytes(&keys[i])) != 0) {
            char section[SECTION_BYTES];
            snprintf(section, sizeof section, "%.*s", (int)section_bytes(&keys[i]), keys[i].name);
            if (i > 0)
                tr_json_end(json);
            tr_json_object(json, section);
        }
        tr_text_clear(&value);
        print_value(config, &keys[i], &value);
        tr_json_raw(json, leaf(&keys[i]), tr_text_str(&value));
    }
    tr_json_end(json);
    tr_json_end(json);
    tr_text_free(&value);
}

static void print_range(const struct tr_run_key *key, struct tr_text *out)
{
    char low[32], high[32];
    if (key->kind == TR_KEY_STRING) {
        tr_text_append(out, "text");
    } else if (key->kind == TR_KEY_ENUM) {
        for (int i = 0; key->choices[i]; i++)
            tr_text_printf(out, "%s%s", i ? ", " : "", key->choices[i]);
    } else {
        tr_text_printf(out, "%s%s to %s%s", key->above_min ? "above " : "", tr_print_shortest(key->min, low),
                       tr_print_shortest(key->max, high), key->automatic ? ", or auto" : "");
    }
}

void tr_run_config_markdown(struct tr_text *out)
{
    int count;
    const struct tr_run_key *keys = tr_run_keys(&count);
    tr_text_append(out, "| key | default | range | meaning |\n|---|---|---|---|\n");
    for (int i = 0; i < count; i++) {
        tr_text_printf(out, "| `%s` | %s%s%s | ", keys[i].name, keys[i].fallback[0] ? "`" : "", keys[i].fallback,
                       keys[i].fallback[0] ? "`" : "");
        print_range(&keys[i], out);
        tr_text_printf(out, " | %s |\n", keys[i].help);
    }
}

int tr_run_config_difference(const struct tr_run_config *a, const struct tr_run_config *b, int from,
                             struct tr_text *a_value, struct tr_text *b_value)
{
    int count;
    const struct tr_run_key *keys = tr_run_keys(&count);
    for (int i = from; i < count; i++) {
        tr_text_clear(a_value);
        tr_text_clear(b_value);
        print_value(a, &keys[i], a_value);
        print_value(b, &keys[i], b_value);
        if (strcmp(tr_text_str(a_value), tr_text_str(b_value)) != 0)
            return i;
    }
    return -1;
}
