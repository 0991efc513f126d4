/* Inside of doc: what the JSON and the YAML reader build with. Not for others. */
#ifndef TR_BASE_DOC_BUILD_H
#define TR_BASE_DOC_BUILD_H

#include "base/arena.h"
#include "base/doc.h"

struct tr_doc {
    struct tr_arena arena; /* "document" */
    const char *source;
    char *pool; /* what is left of the last piece of memory for strings: they need no alignment */
    int64_t pool_bytes;
    int64_t node_count, max_nodes;
    struct tr_node root;
};

/* A copy with a 0 behind it. NULL and *err when out of memory. */
char *tr_doc_build_string(struct tr_doc *doc, const char *data, size_t bytes, struct tr_err *err);

/* Counts one node more; TR_BAD_INPUT beyond the limit. */
TR_MUST_CHECK enum tr_status tr_doc_build_count(struct tr_doc *doc, const struct tr_node *node, struct tr_err *err);

/* Gives `node` its children (the array is the document's) and, for an object, its index by key. A duplicate key is an
 * error. */
TR_MUST_CHECK enum tr_status tr_doc_build_children(struct tr_doc *doc, struct tr_node *node, struct tr_node *children,
                                                   int64_t count, struct tr_err *err);

/* The kind and value of a plain scalar by the YAML 1.2 core schema; node->source, line and column are set already. */
TR_MUST_CHECK enum tr_status tr_doc_build_scalar(struct tr_doc *doc, const char *text, size_t bytes,
                                                 struct tr_node *node, struct tr_err *err);

/* Each reads a whole text into `node`, whose source is set; parents are linked by the caller. */
TR_MUST_CHECK enum tr_status tr_doc_build_json(struct tr_doc *doc, const char *data, size_t bytes, struct tr_node *node,
                                               struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_doc_build_yaml(struct tr_doc *doc, const char *data, size_t bytes, struct tr_node *node,
                                               struct tr_err *err);

#endif
