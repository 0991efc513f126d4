/* trine report: the page of a run from its folder; with a profile and plans, the whole loop as one page. */
#include "app/app.h"
#include "app/predict.h"

#include "base/os.h"
#include "lab/report/report.h"
#include "lab/train/profile.h"
#include "plan/run/run.h"
#include "plan/story/story.h"

struct report_args {
    const char *path, *profile, *refined, *catalog;
};

#define AT(field) .offset = offsetof(struct report_args, field)

static const struct tr_option options[] = {
    {.name = "profile",
     .kind = TR_OPTION_PATH,
     AT(profile),
     .value = "FILE",
     .help = "what `trine calibrate` wrote of this machine: the run is held against its prediction"},
    {.name = "refined",
     .kind = TR_OPTION_PATH,
     AT(refined),
     .value = "FILE",
     .help = "the same profile after `trine calibrate --from RUN`: how what is predicted has changed"},
    {.name = "catalog",
     .kind = TR_OPTION_PATH,
     AT(catalog),
     .value = "PATH",
     .help = "the file or folder that the plans were made with, on top of the program's own"},
};

static const struct tr_positional positionals[] = {
    {.name = "RUN", .help = "a run folder of `trine train`", AT(path)},
    {.name = "PLAN",
     .help = "files that `trine plan -o` wrote: bigger models, to close the story with",
     .optional = true,
     .many = true},
};

static const struct tr_command command = {
    .name = "report",
    .summary = "write a run's HTML report, or the whole loop as one page",
    .description =
        "Makes RUN/report.html from the files of the run folder: curves, where the time went, memory, samples, config; "
        "one "
        "self-contained file. The trainer does the same at each checkpoint; a run that goes on may be looked at so.\n"
        "With a profile or plans it makes RUN/story.html, to be read from top to bottom: this machine as it was "
        "calibrated, what was "
        "predicted, the run, prediction beside measurement, what the profile learned of it, the text that the model writes, and a card for each plan "
        "with days, "
        "dollars, memory and limits. Plans are made again and must come out as their files say.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = sizeof positionals / sizeof *positionals,
    .examples = "trine report runs/depth-4\n"
                "trine report runs/depth-4 --profile profile.yaml\n"
                "trine report runs/demo gpt3.yaml llama.yaml --profile profile.yaml\n"
                "trine report runs/demo --profile before.yaml --refined profile.yaml\n",
};

static enum tr_status write_story(const struct report_args *args, const struct tr_given *given, const char *path,
                                  struct tr_err *err)
{
    struct tr_app_prediction prediction = {.path = NULL}, refined = {.path = NULL};
    struct tr_catalog *catalog = NULL;
    struct tr_text page = {0};
    enum tr_status status = tr_plan_catalog(args->catalog, &catalog, err);
    if (status == TR_OK && args->profile)
        status = tr_app_predict_open(&prediction, args->profile, err);
    if (status == TR_OK && args->refined)
        status = tr_app_predict_open(&refined, args->refined, err);
    if (status == TR_OK) {
        const struct tr_story_request request = {.run_folder = args->path,
                                                 .profile = prediction.catalog,
                                                 .profile_path = prediction.path,
                                                 .refined = refined.catalog,
                                                 .refined_path = refined.path,
                                                 .catalog = catalog,
                                                 .plan_path = (const char *const *)given->rest,
                                                 .plan_count = given->rest_count};
        status = tr_story(&request, &page, err);
    }
    if (status == TR_OK)
        tr_app_note_foreign_run(&prediction, args->path);
    if (status == TR_OK)
        status = tr_file_write(path, page.at, page.len, err);
    tr_text_free(&page);
    tr_app_predict_close(&refined);
    tr_app_predict_close(&prediction);
    tr_catalog_free(catalog);
    return status;
}

static enum tr_status run(void *parsed, const struct tr_given *given, struct tr_err *err)
{
    const struct report_args *args = parsed;
    char path[TR_PATH_BYTES];
    struct tr_text text = {0};
    bool story = args->profile || args->refined || given->rest_count > 0;
    enum tr_status status = tr_path_join(path, args->path, story ? "story.html" : "report.html", err);
    if (status == TR_OK)
        status = story ? write_story(args, given, path, err) : tr_report_write(args->path, err);
    if (status != TR_OK)
        return status;
    tr_text_printf(&text, "%s\n", path);
    return tr_app_print(&text, err);
}

const struct tr_app_command tr_cmd_report = {&command, sizeof(struct report_args), run};
