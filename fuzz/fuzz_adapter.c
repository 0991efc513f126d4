/* Any JSON as PEFT's adapter_config.json for two models: refused with a sentence, or adapters that the model may have. */
#include "base/doc.h"
#include "lab/exchange/import.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void read_for(const char *name, const struct tr_doc *doc)
{
    struct tr_err err = {""};
    struct tr_model_config model;
    TR_ASSERT(tr_model_config_find(&model, name, &err) == TR_OK);
    enum tr_status status = tr_import_adapter_config(tr_doc_root(doc), &model, &err);
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && err.text[0]));
    if (status == TR_OK)
        TR_ASSERT(model.lora.rank > 0 && model.lora.targets != 0 && tr_model_check(&model, "again", &err) == TR_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct tr_doc *doc;
    struct tr_err err = {""};
    if (tr_doc_parse("input", TR_DOC_JSON, (const char *)data, bytes, &doc, &err) != TR_OK)
        return 0;
    read_for("tiny-llama", doc);
    read_for("tiny-gpt2", doc);
    tr_doc_free(doc);
    return 0;
}
