/* A document from outside, JSON or YAML, as one read-only tree.
 *
 *     struct tr_doc *doc;
 *     enum tr_status status = tr_doc_read("run.yaml", TR_DOC_YAML, &doc, err);
 *     ...
 *     const struct tr_node *model;
 *     tr_doc_object(tr_doc_root(doc), "model", TR_REQUIRED, &model, err)
 *     tr_doc_int(model, "layers", TR_REQUIRED, 1, 1024, &layers, err)
 *     tr_doc_double(model, "dropout", TR_OPTIONAL, 0, 1, &dropout, err)      (absent: dropout stays as it was)
 *     tr_doc_known_keys(model, names, name_count, err)
 *     tr_doc_free(doc);
 *
 * Every getter returns a tr_status and on failure a sentence with the place:
 *     run.yaml:3:11: model.layers: expected a whole number from 1 to 1024, got "x"
 * line and column count from 1; both are 0, and left out of the sentence, for JSON values.
 *
 * Strict on purpose, since files come from strangers:
 *   both   no duplicate keys, no characters U+0000, valid UTF-8, limits below checked before memory is taken
 *   JSON   RFC 8259 (jansson); whole numbers beyond int64 and numbers beyond double are refused, never rounded
 *   YAML   one document; plain scalars typed by the YAML 1.2 core schema (so `yes` and `on` are strings, `0o17`, `0x1F`
 *          are ints); anchors, aliases, tags, merge keys and keys that are not scalars are refused
 *
 * Ownership: the document owns nodes and strings; they live until tr_doc_free. Reading from several threads is safe. */
#ifndef TR_BASE_DOC_H
#define TR_BASE_DOC_H

#include "base/err.h"
#include "base/quantity.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tr_doc_format { TR_DOC_JSON, TR_DOC_YAML };

#define TR_DOC_JSON_MAX_BYTES ((int64_t)256 << 20) /* the largest tokenizer.json in use has 33 MB */
#define TR_DOC_YAML_MAX_BYTES ((int64_t)4 << 20)
enum {
    TR_DOC_MAX_DEPTH = 64,
    TR_DOC_MAX_NODES_JSON = 4 * 1000 * 1000, /* the same file has 1.8 million */
    TR_DOC_MAX_NODES_YAML = 200 * 1000,
    TR_DOC_PATH_BYTES = 256
};

enum tr_node_kind {
    TR_NODE_NULL,
    TR_NODE_BOOL,
    TR_NODE_INT,
    TR_NODE_DOUBLE,
    TR_NODE_STRING,
    TR_NODE_ARRAY,
    TR_NODE_OBJECT
};

struct tr_doc;

struct tr_node {
    enum tr_node_kind kind;
    int line, column;             /* of the value; 0 where unknown */
    int key_line, key_column;     /* of the key */
    int64_t index;                /* place in the parent */
    const char *key;              /* in an object; NULL in an array and at the top */
    const char *source;           /* the file's path, or "--section.key" for an override */
    const struct tr_node *parent; /* NULL at the top */
    int64_t count;                /* children, or bytes of the string */
    union {
        bool boolean;
        int64_t integer;
        double real;
        const char *string; /* 0-terminated, no 0 inside */
        const struct tr_node *children; /* in the file's order */
    };
    const int32_t *by_key; /* object of more than a few keys: child indices sorted by key; else NULL */
};

enum tr_need {
    TR_REQUIRED, /* absent is an error that names the key */
    TR_OPTIONAL  /* absent or null: TR_OK, *out stays as it was: put the default there first */
};

/* Reads a whole file. TR_BAD_INPUT: cannot be opened, too big, not valid. *out is the caller's to free. */
TR_MUST_CHECK enum tr_status tr_doc_read(const char *path, enum tr_doc_format format, struct tr_doc **out,
                                         struct tr_err *err);

/* The same from memory; `source` is what sentences call it ("request body"); it is copied. */
TR_MUST_CHECK enum tr_status tr_doc_parse(const char *source, enum tr_doc_format format, const char *data, size_t bytes,
                                          struct tr_doc **out, struct tr_err *err);

/* With tighter limits than the default ones (a request body): bytes, nodes. */
TR_MUST_CHECK enum tr_status tr_doc_parse_limited(const char *source, enum tr_doc_format format, const char *data,
                                                  size_t bytes, int64_t max_bytes, int64_t max_nodes,
                                                  struct tr_doc **out, struct tr_err *err);

/* `--train.steps=500`: sets the value at a dotted path to `text`. A text that begins with [ { " or ' is read as YAML
 * ("[1, 2]"); any other is one plain scalar, typed as in a file ("500", "1e-3", "true", "cosine", "a: *b"). Objects on
 * the way are made when absent; a path through something that is not an object is an error. To be called before nodes
 * are looked up: pointers to nodes become stale. */
TR_MUST_CHECK enum tr_status tr_doc_override(struct tr_doc *doc, const char *dotted_key, const char *text,
                                             struct tr_err *err);

/* An empty object to put overrides on when there is no file. */
TR_MUST_CHECK enum tr_status tr_doc_empty(const char *source, struct tr_doc **out, struct tr_err *err);

void tr_doc_free(struct tr_doc *doc); /* NULL is fine */

const struct tr_node *tr_doc_root(const struct tr_doc *doc);

/* NULL when `object` is not an object or has no such key. */
const struct tr_node *tr_doc_find(const struct tr_node *object, const char *key);

/* --- by key of an object: TR_BAD_INPUT with the place when absent (REQUIRED) or not of that kind and range --- */

TR_MUST_CHECK enum tr_status tr_doc_get(const struct tr_node *object, const char *key, enum tr_need need,
                                        const struct tr_node **out, struct tr_err *err); /* any kind */
TR_MUST_CHECK enum tr_status tr_doc_object(const struct tr_node *object, const char *key, enum tr_need need,
                                           const struct tr_node **out, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_doc_array(const struct tr_node *object, const char *key, enum tr_need need,
                                          int64_t min_count, int64_t max_count, const struct tr_node **out,
                                          struct tr_err *err);
/* min..max inclusive. A double that is a whole number (1e3) is taken as one. */
TR_MUST_CHECK enum tr_status tr_doc_int(const struct tr_node *object, const char *key, enum tr_need need, int64_t min,
                                        int64_t max, int64_t *out, struct tr_err *err);
/* min..max inclusive, pass -INFINITY/INFINITY for no limit; NaN and infinities are always refused. */
TR_MUST_CHECK enum tr_status tr_doc_double(const struct tr_node *object, const char *key, enum tr_need need, double min,
                                           double max, double *out, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_doc_bool(const struct tr_node *object, const char *key, enum tr_need need, bool *out,
                                         struct tr_err *err);
/* The string belongs to the document. */
TR_MUST_CHECK enum tr_status tr_doc_string(const struct tr_node *object, const char *key, enum tr_need need,
                                           const char **out, struct tr_err *err);
/* The index of the string in `names`; an unknown one is an error that lists them and names the nearest. */
TR_MUST_CHECK enum tr_status tr_doc_enum(const struct tr_node *object, const char *key, enum tr_need need,
                                         const char *const *names, int count, int *out, struct tr_err *err);
/* --- by node: items of arrays, and values found by hand --- */

TR_MUST_CHECK enum tr_status tr_node_int(const struct tr_node *node, int64_t min, int64_t max, int64_t *out,
                                         struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_node_double(const struct tr_node *node, double min, double max, double *out,
                                            struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_node_bool(const struct tr_node *node, bool *out, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_node_string(const struct tr_node *node, const char **out, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_node_enum(const struct tr_node *node, const char *const *names, int count, int *out,
                                          struct tr_err *err);
/* A string with its unit (`80GiB`, `3.35TB/s`), in base units; a bare number too, where quantity.h takes one. */
TR_MUST_CHECK enum tr_status tr_node_quantity(const struct tr_node *node, enum tr_unit unit, double min, double max,
                                              double *out, struct tr_err *err);

/* Every key of `object` is one of `names`, else an error that names the nearest. */
TR_MUST_CHECK enum tr_status tr_doc_known_keys(const struct tr_node *object, const char *const *names, int count,
                                               struct tr_err *err);

/* A reader's own complaint about a node, with the place in front: `run.yaml:3:11: model.layers: <fmt...>`. Returns
 * TR_BAD_INPUT. */
enum tr_status tr_node_fail(const struct tr_node *node, struct tr_err *err, const char *fmt, ...) TR_PRINTF(3, 4);

/* "model.layers[3]"; "" for the top. Cut with "..." in front when longer. Returns buf. */
const char *tr_node_path(const struct tr_node *node, char buf[TR_DOC_PATH_BYTES]);

/* Writes the value below `node` as JSON (json.h), under `key`. */
struct tr_json;
void tr_node_write(const struct tr_node *node, struct tr_json *json, const char *key);

#endif
