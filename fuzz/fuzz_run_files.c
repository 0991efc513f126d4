/* Any bytes as the metrics.jsonl, profile.json, config.yaml and samples.txt of a run folder: the report is refused with a
 * sentence, or drawn, and so are what trine show prints and the story of the run. */
#include "lab/report/report.h"
#include "lab/show/show.h"
#include "plan/story/story.h"
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

/* The story of a run whose metrics, or samples, are anything. */
static void tell(const char *metrics, size_t metrics_bytes, const void *samples, size_t samples_bytes)
{
    static const char config[] = "model: {depth: 1}\n";
    static const char ran[] = "{\"parameters\":9,\"flop_per_token\":6e6,\"steps_computed\":2,\"steps_s\":0.5,\"threads\":2,"
                              "\"isa\":\"avx2\",\"memory\":{\"planned_bytes\":3,\"peak_bytes\":9},\"ops\":[]}";
    struct tr_err err = {""};
    struct tr_text text = {0};
    folder_put("metrics.jsonl", metrics, metrics_bytes);
    folder_put("profile.json", ran, sizeof ran - 1);
    folder_put("config.yaml", config, sizeof config - 1);
    folder_put("samples.txt", samples, samples_bytes);
    enum tr_status status = tr_story(&(struct tr_story_request){.run_folder = folder}, &text, &err);
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
    tell((const char *)data, bytes, "", 0);
    tell(line, sizeof line - 1, data, bytes);
    return 0;
}
