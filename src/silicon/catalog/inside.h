/* Inside of the catalog: what its files share. Not for others. */
#ifndef TR_SILICON_CATALOG_INSIDE_H
#define TR_SILICON_CATALOG_INSIDE_H

#include "base/arena.h"
#include "silicon/catalog/catalog.h"

struct tr_catalog {
    struct tr_arena arena;
    struct tr_doc *docs[TR_CATALOG_MAX_FILES];
    int doc_count, layer_count;
    struct tr_entry *entries[TR_CATALOG_MAX_ENTRIES]; /* all, layer by layer, in the order of files */
    int entry_count;
    const struct tr_entry *live[TR_CATALOG_MAX_ENTRIES]; /* those that count, by section */
    int live_start[TR_SECTION_COUNT + 1];
    struct tr_source *sources[TR_CATALOG_MAX_SOURCES];
    int source_layer[TR_CATALOG_MAX_SOURCES];
    int source_count;
};

/* Names of grades from index 0 on, without "unknown": the grade is the index + 1. */
const char *const *tr_grade_names(int *count);

/* "2024", "2024-03", "2024-03-17". */
TR_MUST_CHECK enum tr_status tr_catalog_date(const struct tr_node *node, char out[TR_FACT_DATE_BYTES],
                                             struct tr_err *err);

/* The newest source of that id. Unknown: TR_BAD_INPUT at the node, naming the nearest. */
TR_MUST_CHECK enum tr_status tr_catalog_source_find(const struct tr_catalog *catalog, const struct tr_node *node,
                                                    const struct tr_source **out, struct tr_err *err);

#endif
