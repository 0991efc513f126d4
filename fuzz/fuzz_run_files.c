/* Any bytes as the metrics.jsonl, profile.json, config.yaml and samples.txt of a run folder: the report is refused with a
 * sentence, or drawn, and so is what trine show prints. */
#include "lab/report/report.h"
#include "lab/show/show.h"
#include "folder.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void draw(const char *metrics, size_t metrics_bytes, const void *data, size_t bytes)
{
    struct tr_err err = {""};
    folder_put("metrics.jsonl", metrics, metrics_bytes);
    folder_put("profile.json", data, bytes);
    folder_put("config.yaml", data, bytes);
    folder_put("samples.txt", data, bytes);
    enum tr_status status = tr_report_write(folder, &err);
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && err.text[0]));
    struct tr_text text = {0};
    status = tr_show_run(folder, &(struct tr_show_options){0}, &text, &err);
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && err.text[0]));
    tr_text_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const char line[] = "{\"kind\":\"step\",\"step\":1,\"steps\":2,\"tokens\":3,\"loss\":1.5}\n";
    if (!folder[0])
        folder_make();
    draw((const char *)data, bytes, "{}", 2);
    draw(line, sizeof line - 1, data, bytes);
    return 0;
}
