/* trine explain: any number of a plan, taken apart into terms that sum to it; and a run beside its prediction. */
#include "app/app.h"
#include "app/predict.h"

#include "base/json.h"
#include "base/os.h"
#include "plan/explain/explain.h"
#include "plan/here/explain_run.h"
#include "plan/here/here.h"
#include "plan/here/plan_here.h"
#include "plan/here/timeline.h"
#include "plan/run/plan_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct explain_args {
    const char *path, *number, *catalog, *profile, *trace;
    int64_t rank;
    bool json;
};

#define AT(field) .offset = offsetof(struct explain_args, field)

static const struct tr_option options[] = {
    {.name = "catalog", .kind = TR_OPTION_PATH, AT(catalog), .value = "PATH",
     .help = "the file or folder that the plan was made with, on top of the program's own"},
    {.name = "profile", .kind = TR_OPTION_PATH, AT(profile), .value = "FILE",
     .help = "of a run: what `trine calibrate` wrote of this machine (usually profile.yaml here)"},
    {.name = "rank", .kind = TR_OPTION_INT, AT(rank), .fallback = "-1", .value = "N", .min = -1, .max = TR_RANKS_MAX - 1,
     .help = "of a run on several ranks: whose operations are compared; -1: of the stages of a pipeline the slowest, else rank 0"},
    {.name = "trace", .kind = TR_OPTION_PATH, AT(trace), .value = "OUT.json",
     .help = "of a run that was traced (`trine train --trace-steps`): one timeline of all its ranks, with the predicted steps below, for "
             "ui.perfetto.dev or chrome://tracing"},
    {.name = "json", .kind = TR_OPTION_FLAG, AT(json), .help = "print the whole tree below as JSON"},
};

static const struct tr_positional positionals[] = {
    {.name = "WHAT", .help = "a file that `trine plan -o` wrote, or a run folder of `trine train`", AT(path)},
    {.name = "NUMBER", .help = "of a plan: step, \"matrix products\", memory/activations, dollars ...; all of them unless said",
     .optional = true, AT(number)},
};

static const struct tr_command command = {
    .name = "explain",
    .summary = "take any number of a plan apart, or hold a run against its prediction",
    .description =
        "Of a plan: makes it again and shows what NUMBER is made of: each part with its value and share, its formula, "
        "its inputs, where it is from, and the evidence for it (measured, stated, interpolated, transferred, assumed). "
        "Parts have parts, down to single operations and facts of the catalog; a way to one is written with '/'. Of a run on this "
        "machine: predicted beside measured for each kind of operation, each stage of a step and the whole of it, the largest "
        "differences first, and what they come of as far as numbers say. Calls, FLOPs and bytes must be equal. Of several ranks: operations and "
        "collectives of one of them (--rank; of a pipeline that of the slowest stage), and all ranks side by side; collectives are predicted where the profile says what exchanging bytes takes; else their waits for other ranks alone.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = sizeof positionals / sizeof *positionals,
    .examples = "trine explain plan.yaml\n"
                "trine explain plan.yaml step\n"
                "trine explain plan.yaml \"matrix products\"\n"
                "trine explain plan.yaml memory/activations --json\n"
                "trine explain runs/depth-4\n"
                "trine explain runs/depth-4 --trace timeline.json\n",
};

/* Another program or catalog may price what was written down differently. */
static void compare(double step_s, const struct tr_plan_file *file, const char *by)
{
    char then[TR_QUANTITY_BYTES], now[TR_QUANTITY_BYTES];
    if (file->step_s > 0 && fabs(step_s / file->step_s - 1) > 1e-6)
        fprintf(stderr, "note: the plan says %s a step, this program and %s %s\n", tr_print_time(then, file->step_s), by,
                tr_print_time(now, step_s));
}

static enum tr_status answer(const struct explain_args *args, const struct tr_explain *explain, struct tr_err *err)
{
    const struct tr_number *number = NULL;
    struct tr_text text = {0};
    enum tr_status status = args->number ? tr_explain_find(explain, args->number, &number, err) : TR_OK;
    if (status != TR_OK)
        return status;
    if (args->json)
        tr_explain_json(explain, number, &text);
    else
        tr_explain_text(explain, number, &text);
    return tr_app_print(&text, err);
}

static enum tr_status print_run(const struct explain_args *args, struct tr_app_prediction *prediction, struct tr_err *err)
{
    struct tr_text text = {0};
    struct tr_run_explained *run = calloc(1, sizeof *run);
    if (!run)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *run);
    enum tr_status status = tr_run_explain(args->path, prediction->catalog, (int)args->rank, run, err);
    if (status == TR_OK) {
        tr_app_note_foreign_run(prediction, args->path);
        if (args->json)
            tr_run_explain_json(run, tr_text_str(&prediction->foreign), &text);
        else
            tr_run_explain_text(run, &text);
        status = tr_app_print(&text, err);
    }
    free(run);
    return status;
}

static void write_timeline_text(const struct explain_args *args, const struct tr_timeline *line, struct tr_text *out)
{
    char measured[TR_QUANTITY_BYTES], predicted[TR_QUANTITY_BYTES];
    tr_text_printf(out, "%s: steps %lld to %lld of %d rank%s, %lld events; it opens in ui.perfetto.dev\n", args->trace, (long long)line->first_step,
                   (long long)(line->first_step + line->steps - 1), line->ranks, line->ranks == 1 ? "" : "s", (long long)line->events);
    if (line->clock_error_s > 0)
        tr_text_printf(out, "clocks of ranks on other hosts than rank 0's are off by at most %s\n", tr_print_time(measured, line->clock_error_s));
    tr_text_printf(out, "a step took %s, from its first rank's beginning to its last one's end", tr_print_time(measured, line->measured_s));
    if (line->predicted_s > 0)
        tr_text_printf(out, "; predicted %s%s\n", tr_print_time(predicted, line->predicted_s),
                       line->ranks == 1 ? "" : line->exchanges ? ", in which ranks wait for each other and move bytes"
                                                               : ", in which ranks wait for each other, and moving bytes takes no time");
    else
        tr_text_printf(out, "; nothing is predicted: %s\n", line->unpredicted.text);
    if (line->predicted_s > 0 && line->busy > line->cores)
        tr_text_printf(out, "%d threads of ranks take turns on %d cores, which is in the figure; the drawing is of ranks that have cores of their own\n",
                       line->busy, line->cores);
}

static void write_timeline_json(const struct explain_args *args, const struct tr_timeline *line, const char *foreign, struct tr_text *out)
{
    struct tr_json json = tr_json_start(out, TR_JSON_PRETTY);
    tr_json_object(&json, NULL);
    tr_json_string(&json, "trace", args->trace);
    tr_json_int(&json, "ranks", line->ranks);
    tr_json_int(&json, "first_step", line->first_step);
    tr_json_int(&json, "steps", line->steps);
    tr_json_int(&json, "events", line->events);
    tr_json_double(&json, "clock_error_s", line->clock_error_s);
    tr_json_double(&json, "measured_s", line->measured_s);
    if (line->predicted_s > 0) {
        tr_json_double(&json, "predicted_s", line->predicted_s);
        tr_json_int(&json, "threads_on_host", line->busy);
        tr_json_int(&json, "cores", line->cores);
        tr_here_foreign_json(&json, foreign);
    } else
        tr_json_string(&json, "unpredicted", line->unpredicted.text);
    tr_json_end(&json);
    tr_text_char(out, '\n');
}

static enum tr_status write_timeline(const struct explain_args *args, struct tr_app_prediction *prediction, struct tr_err *err)
{
    struct tr_timeline line;
    struct tr_text text = {0};
    enum tr_status status = tr_run_timeline(args->path, prediction->catalog, args->trace, &line, err);
    if (status != TR_OK)
        return status;
    tr_app_note_foreign_run(prediction, args->path);
    if (args->json)
        write_timeline_json(args, &line, tr_text_str(&prediction->foreign), &text);
    else
        write_timeline_text(args, &line, &text);
    return tr_app_print(&text, err);
}

static enum tr_status explain_run(const struct explain_args *args, struct tr_err *err)
{
    struct tr_app_prediction prediction = {0};
    if (args->number)
        return tr_fail(err, TR_BAD_INPUT, "explain: '%s' is a run folder; a NUMBER is of a plan", args->path);
    if (args->catalog)
        return tr_fail(err, TR_BAD_INPUT, "explain: '%s' is a run folder; --catalog is of a plan", args->path);
    if (args->trace && args->rank >= 0)
        return tr_fail(err, TR_BAD_INPUT, "explain: --rank %lld is of the comparison, and --trace has all ranks", (long long)args->rank);
    enum tr_status status = tr_app_predict_open(&prediction, args->profile, err);
    if (status == TR_OK && !prediction.path && !args->trace)
        status = tr_fail(err, TR_BAD_INPUT, "explain: a run is held against what `trine calibrate` measured of this machine, and "
                         "there is no profile.yaml here: calibrate, or name one with --profile");
    if (status == TR_OK)
        status = args->trace ? write_timeline(args, &prediction, err) : print_run(args, &prediction, err);
    tr_app_predict_close(&prediction);
    return status;
}

/* On a system of the catalog. */
static enum tr_status explain_there(const struct explain_args *args, const struct tr_plan_file *file, struct tr_err *err)
{
    struct tr_catalog *catalog = NULL;
    struct tr_explain explain = {0};
    struct tr_plan *plan = NULL;
    enum tr_status status = tr_plan_catalog(args->catalog, &catalog, err);
    if (status == TR_OK)
        status = tr_plan_make(catalog, &file->request, &plan, err);
    if (plan) { /* also one that does not fit has numbers */
        compare(plan->step.time_s, file, "catalog");
        status = tr_explain_make(plan, &explain, err);
        if (status == TR_OK)
            status = answer(args, &explain, err);
    }
    tr_explain_free(&explain);
    tr_plan_free(plan);
    tr_catalog_free(catalog);
    return status;
}

/* On a machine that was calibrated: the plan names its profile. */
static enum tr_status explain_here(const struct explain_args *args, const struct tr_plan_file *file, struct tr_err *err)
{
    struct tr_app_prediction profile = {.path = NULL};
    struct tr_explain explain = {0};
    struct tr_here_plan plan;
    if (args->catalog)
        return tr_fail(err, TR_BAD_INPUT, "explain: --catalog is for systems of the catalog, and '%s' is of the machine of %s", args->path,
                       file->request.system);
    enum tr_status status = tr_app_predict_open(&profile, file->request.system, err);
    if (status == TR_OK)
        status = tr_here_plan(profile.catalog, &file->request, &plan, err);
    if (status == TR_OK || status == TR_NO) {
        compare(plan.step_s, file, "profile");
        status = tr_explain_make_here(&plan, &explain, err);
        if (status == TR_OK)
            status = answer(args, &explain, err);
    }
    tr_explain_free(&explain);
    tr_app_predict_close(&profile);
    return status;
}

static enum tr_status explain_plan(const struct explain_args *args, struct tr_err *err)
{
    struct tr_plan_file file;
    if (args->trace)
        return tr_fail(err, TR_BAD_INPUT, "explain: --trace is of a run folder, and '%s' is none; of a plan, `trine plan --trace`", args->path);
    if (args->profile)
        return tr_fail(err, TR_BAD_INPUT, "explain: --profile is of a run folder, and '%s' is none", args->path);
    if (args->rank >= 0)
        return tr_fail(err, TR_BAD_INPUT, "explain: --rank is of a run folder, and '%s' is none", args->path);
    enum tr_status status = tr_plan_file_read(args->path, &file, err);
    if (status != TR_OK)
        return status;
    return tr_plan_is_profile(file.request.system) ? explain_here(args, &file, err) : explain_there(args, &file, err);
}

static enum tr_status run(void *parsed, const struct tr_given *given, struct tr_err *err)
{
    const struct explain_args *args = parsed;
    (void)given;
    return tr_folder_exists(args->path) ? explain_run(args, err) : explain_plan(args, err);
}

const struct tr_app_command tr_cmd_explain = {&command, sizeof(struct explain_args), run};
