/* Any YAML as the config of a run: refused with a sentence, or a config that is written and read again unchanged. */
#include "base/doc.h"
#include "lab/train/run_config.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static enum tr_status read_config(struct tr_run_config *config, const char *data, size_t bytes, struct tr_err *err)
{
    struct tr_doc *doc;
    tr_run_config_default(config);
    enum tr_status status = tr_doc_parse_limited("input", TR_DOC_YAML, data, bytes, 1 << 20, 10000, &doc, err);
    if (status != TR_OK)
        return status;
    status = tr_run_config_from_node(config, tr_doc_root(doc), err);
    tr_doc_free(doc);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct tr_run_config config, again;
    struct tr_text yaml = {0};
    struct tr_err err = {""};
    enum tr_status status = read_config(&config, (const char *)data, bytes, &err);
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && err.text[0]));
    if (status != TR_OK)
        return 0;
    tr_run_config_yaml(&config, &yaml);
    TR_ASSERT(read_config(&again, tr_text_str(&yaml), yaml.len, &err) == TR_OK);
    TR_ASSERT(memcmp(&config, &again, sizeof config) == 0);
    tr_text_free(&yaml);
    return 0;
}
