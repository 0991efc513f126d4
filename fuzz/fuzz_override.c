/* Lines KEY=VALUE as the options of a run on the command line (--KEY=VALUE): refused with a sentence, or a config that is
 * written and read again unchanged. */
#include "base/doc.h"
#include "lab/train/run_config.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { TEXT_MAX_BYTES = 4096, OVERRIDES_MAX = 32 };

static void write_and_read(const struct tr_run_config *config)
{
    static struct tr_run_config again;
    struct tr_text yaml = {0};
    struct tr_doc *doc;
    struct tr_err err = {""};
    tr_run_config_yaml(config, &yaml);
    tr_run_config_default(&again);
    TR_ASSERT(tr_doc_parse("again", TR_DOC_YAML, tr_text_str(&yaml), yaml.len, &doc, &err) == TR_OK);
    TR_ASSERT(tr_run_config_from_node(&again, tr_doc_root(doc), &err) == TR_OK);
    TR_ASSERT(memcmp(config, &again, sizeof again) == 0);
    tr_doc_free(doc);
    tr_text_free(&yaml);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct tr_run_config config;
    char text[TEXT_MAX_BYTES], *rest = text;
    struct tr_override list[OVERRIDES_MAX];
    struct tr_err err = {""};
    int count = 0;
    if (bytes >= sizeof text)
        return 0;
    memcpy(text, data, bytes);
    text[bytes] = 0;
    for (char *line; count < OVERRIDES_MAX && (line = strsep(&rest, "\n")) != NULL;) {
        char *value = strchr(line, '=');
        if (!value)
            continue;
        *value = 0;
        list[count++] = (struct tr_override){line, value + 1};
    }
    enum tr_status status = tr_run_config_read(&config, NULL, list, count, &err);
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && err.text[0]));
    if (status == TR_OK)
        write_and_read(&config);
    return 0;
}
