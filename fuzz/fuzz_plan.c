/* Any YAML as plan.yaml: refused with a sentence, or a request in which every number is in its range and every text ends;
 * and the plan that is made of it, if it is one, is written and read as the same. */
#include "plan/run/plan_file.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static enum tr_status read(const char *data, size_t bytes, struct tr_plan_file *file, struct tr_err *err)
{
    struct tr_doc *doc = NULL;
    enum tr_status status = tr_doc_parse_limited("input", TR_DOC_YAML, data, bytes, 1 << 16, 1000, &doc, err);
    if (status != TR_OK)
        return status;
    status = tr_plan_file_from_node(tr_doc_root(doc), file, err);
    tr_doc_free(doc);
    return status;
}

static void make(const struct tr_plan_request *request)
{
    static struct tr_catalog *catalog;
    struct tr_plan *plan = NULL;
    struct tr_plan_file again;
    struct tr_err err = {""};
    struct tr_text text = {0};
    if (!catalog)
        TR_ASSERT(tr_catalog_open(&catalog, &err) == TR_OK);
    /* No files of this machine, and no search for each input. */
    if (strchr(request->model, '/') || strstr(request->model, ".json") || request->global_batch > 64 ||
        strstr(request->layout, "auto") || !request->layout[strspn(request->layout, ", ")])
        return;
    enum tr_status status = tr_plan_make(catalog, request, &plan, &err);
    TR_ASSERT(status == TR_OK || status == TR_NO ? plan != NULL : status == TR_BAD_INPUT && !plan && err.text[0]);
    if (!plan)
        return;
    tr_plan_file_print(plan, &text);
    TR_ASSERT(read(tr_text_str(&text), text.len, &again, &err) == TR_OK);
    TR_ASSERT(memcmp(&again.request, &plan->request, sizeof again.request) == 0);
    tr_text_free(&text);
    tr_plan_free(plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct tr_plan_file file;
    struct tr_err err = {""};
    enum tr_status status = read((const char *)data, bytes, &file, &err);
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && err.text[0]));
    if (status != TR_OK)
        return 0;
    const struct tr_plan_request *r = &file.request;
    TR_ASSERT(r->chips >= 1 && r->chips <= TR_CHIPS_MAX && r->tokens >= 1 && r->tokens <= TR_PLAN_TOKENS_MAX);
    TR_ASSERT(memchr(r->model, 0, sizeof r->model) && memchr(r->layout, 0, sizeof r->layout));
    TR_ASSERT(r->commitment >= 0 && r->commitment < TR_COMMITMENT_COUNT);
    make(r);
    return 0;
}
