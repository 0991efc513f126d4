#include "app/run_words.h"

#include <stdlib.h>

enum tr_status tr_app_run_check(const char *path, const struct tr_given *given, struct tr_run_config *config,
                                int64_t *need_bytes, struct tr_err *err)
{
    struct tr_train_options how = {.dry_run = true, .memory_bytes = INT64_MAX};
    struct tr_train_result *result = calloc(1, sizeof *result);
    if (!result)
        return tr_fail(err, TR_FAILED, "out of memory before the config was read");
    enum tr_status status = tr_run_config_read(config, path, given->overrides, given->override_count, err);
    if (status == TR_OK)
        status = tr_train(config, &how, result, err);
    if (status == TR_OK) {
        *config = result->state.config;
        *need_bytes = result->memory_planned_bytes;
    }
    tr_text_free(&result->last_sample);
    free(result);
    return status;
}
