/* Any bytes as YAML, and as the text of an override: refused with a sentence, or a tree that can be written as JSON,
 * which then reads as JSON and, JSON being YAML, as YAML. */
#include "base/doc.h"
#include "base/json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_tree(const struct tr_doc *doc)
{
    struct tr_text text = {0};
    struct tr_json json = tr_json_start(&text, TR_JSON_LINE);
    tr_node_write(tr_doc_root(doc), &json, NULL);
    struct tr_doc *again = NULL;
    struct tr_err err = {""};
    enum tr_status status = tr_doc_parse("again", TR_DOC_JSON, text.at, text.len, &again, &err);
    TR_ASSERT(status == TR_OK);
    tr_doc_free(again);
    tr_text_free(&text);
}

static void check_override(const char *key, const char *value)
{
    struct tr_doc *doc = NULL;
    struct tr_err err = {""};
    enum tr_status status = tr_doc_empty("input", &doc, &err);
    TR_ASSERT(status == TR_OK);
    if (tr_doc_override(doc, key, value, &err))
        TR_ASSERT(err.text[0]);
    else
        check_tree(doc);
    tr_doc_free(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct tr_doc *doc = NULL;
    struct tr_err err = {""};
    if (tr_doc_parse_limited("input", TR_DOC_YAML, (const char *)data, bytes, 1 << 20, 10000, &doc, &err)) {
        TR_ASSERT(!doc && err.text[0]);
    } else {
        check_tree(doc);
        tr_doc_free(doc);
    }
    char *text = malloc(bytes + 1);
    if (text) {
        memcpy(text, data, bytes);
        text[bytes] = 0;
        check_override("train.steps", text);
        char *equal = strchr(text, '=');
        if (equal) {
            *equal = 0;
            check_override(text, equal + 1);
        }
    }
    free(text);
    return 0;
}
