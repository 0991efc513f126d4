#include "app/run_words.h"

#include "app/choose_layout.h"
#include "app/ranks.h"

#include "plan/here/choose.h"

#include <stdlib.h>

enum tr_status tr_app_run_check(const char *path, const struct tr_given *given, struct tr_app_run *run, struct tr_err *err)
{
    struct tr_train_options how = {.dry_run = true, .memory_bytes = INT64_MAX};
    struct tr_train_result *result = calloc(1, sizeof *result);
    if (!result)
        return tr_fail(err, TR_FAILED, "out of memory before the config was read");
    enum tr_status status = tr_run_config_read(&run->config, path, given->overrides, given->override_count, err);
    if (status == TR_OK)
        status = tr_train(&run->config, &how, result, err);
    if (status == TR_OK) {
        run->config = result->state.config;
        run->need_bytes = result->memory_planned_bytes;
        run->layers = result->layers;
    }
    tr_text_free(&result->last_sample);
    free(result);
    return status;
}

enum tr_status tr_app_run_check_layout(const struct tr_app_run *run, const char *words, const char *profile,
                                       const struct tr_launched *starts, struct tr_err *err)
{
    struct tr_step_config step = tr_run_step_config(&run->config);
    if (tr_app_layout_is_auto(words))
        return tr_app_layout_can_be_auto(profile, err);
    enum tr_status status = tr_degrees_read(words, &step.place.degrees, err);
    if (status == TR_OK)
        status = tr_app_ranks_layout(starts, words, run->config.lanes, &step.place.degrees, err);
    return status == TR_OK ? tr_rank_check(&step, run->layers, err) : status;
}
