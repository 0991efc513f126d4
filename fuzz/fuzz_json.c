/* Any bytes as JSON: refused with a sentence, or a tree that survives being written and read again unchanged. */
#include "base/doc.h"
#include "base/json.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void write_tree(const struct tr_doc *doc, struct tr_text *out)
{
    struct tr_json json = tr_json_start(out, TR_JSON_LINE);
    tr_node_write(tr_doc_root(doc), &json, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct tr_doc *doc = NULL, *again = NULL;
    struct tr_err err = {""};
    if (tr_doc_parse_limited("input", TR_DOC_JSON, (const char *)data, bytes, 1 << 20, 100000, &doc, &err)) {
        TR_ASSERT(!doc && err.text[0]);
        return 0;
    }
    struct tr_text first = {0}, second = {0};
    write_tree(doc, &first);
    enum tr_status status = tr_doc_parse("again", TR_DOC_JSON, first.at, first.len, &again, &err);
    TR_ASSERT(status == TR_OK);
    write_tree(again, &second);
    TR_ASSERT(first.len == second.len && memcmp(first.at, second.at, first.len) == 0);

    /* The getters on whatever is at the top. */
    const char *const known[] = {"a", "model"};
    const struct tr_node *root = tr_doc_root(doc), *child;
    int64_t whole;
    double real;
    if (tr_doc_int(root, "a", TR_OPTIONAL, 0, 9, &whole, &err) || tr_doc_known_keys(root, known, 2, &err) ||
        tr_node_quantity(root, TR_UNIT_BYTES, 0, 1e12, &real, &err) || tr_doc_get(root, "model", TR_REQUIRED, &child, &err))
        TR_ASSERT(err.text[0]);
    for (int64_t i = 0; root->kind == TR_NODE_OBJECT && i < root->count && i < 1000; i++)
        TR_ASSERT(tr_doc_find(root, root->children[i].key) == &root->children[i]);
    tr_text_free(&first);
    tr_text_free(&second);
    tr_doc_free(doc);
    tr_doc_free(again);
    return 0;
}
