/* trine report: the HTML page of a run, made anew from the run folder. */
#include "app/app.h"

#include "lab/report/report.h"

struct report_args {
    const char *path;
};

static const struct tr_positional positionals[] = {
    {.name = "RUN", .help = "a run folder of `trine train`", .offset = offsetof(struct report_args, path)},
};

static const struct tr_command command = {
    .name = "report",
    .summary = "write a run's HTML report",
    .description =
        "Makes RUN/report.html from the files of the run folder: curves, where the time went, memory, samples, config; "
        "one "
        "self-contained file. The trainer does the same at each checkpoint; a run that goes on may be looked at so.",
    .positionals = positionals,
    .positional_count = 1,
    .examples = "trine report runs/depth-4\n",
};

static enum tr_status run(void *parsed, const struct tr_given *given, struct tr_err *err)
{
    struct report_args *args = parsed;
    (void)given;
    enum tr_status status = tr_report_write(args->path, err);
    if (status != TR_OK)
        return status;
    struct tr_text text = {0};
    tr_text_printf(&text, "%s/report.html\n", args->path);
    return tr_app_print(&text, err);
}

const struct tr_app_command tr_cmd_report = {&command, sizeof(struct report_args), run};
