/* Any JSON as a model's config.json: refused with a sentence, or a config that satisfies every relation and survives
 * being written and read again unchanged. */
#include "base/doc.h"
#include "base/json.h"
#include "lab/model/weights.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static bool read_config(struct tr_model_config *config, const char *data, size_t bytes)
{
    struct tr_doc *doc = NULL;
    struct tr_err err = {""};
    if (tr_doc_parse_limited("input", TR_DOC_JSON, data, bytes, 1 << 20, 100000, &doc, &err))
        return false;
    enum tr_status status = tr_model_config_read(config, doc, &err);
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && err.text[0]));
    tr_doc_free(doc);
    return status == TR_OK;
}

static void write_config(const struct tr_model_config *config, struct tr_text *out)
{
    struct tr_json json = tr_json_start(out, TR_JSON_LINE);
    tr_model_config_write(config, &json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct tr_model_config config, again;
    if (!read_config(&config, (const char *)data, bytes))
        return 0;
    struct tr_err err;
    TR_ASSERT(tr_model_check(&config, "input", &err) == TR_OK);
    TR_ASSERT(tr_model_matmul_params(&config) > 0 && tr_model_flop_per_token(&config, config.positions) > 0);

    struct tr_text first = {0}, second = {0};
    write_config(&config, &first);
    TR_ASSERT(read_config(&again, first.at, first.len));
    write_config(&again, &second);
    TR_ASSERT(first.len == second.len && memcmp(first.at, second.at, first.len) == 0);
    tr_text_free(&first);
    tr_text_free(&second);

    struct tr_weights weights;
    if (config.layers < 16 && tr_weights_make(&weights, &config, &err) == TR_OK) {
        TR_ASSERT(weights.element_count > 0);
        tr_weights_free(&weights);
    }
    return 0;
}
