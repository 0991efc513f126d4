/* trine status: what Slurm says of a run's job, and what the run says of itself. */
#include "app/app.h"
#include "app/run_job.h"

#include "base/json.h"
#include "lab/show/show.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct status_args {
    const char *run;
    double every_s;
    bool follow, json;
};

#define AT(field) .offset = offsetof(struct status_args, field)

static const struct tr_option options[] = {
    {.name = "follow", .letter = 'f', .kind = TR_OPTION_FLAG, AT(follow),
     .help = "print again whenever something has changed, until the job has ended"},
    {.name = "every", .kind = TR_OPTION_TIME, AT(every_s), .fallback = "10s", .value = "TIME", .min = 0.1, .max = 86400,
     .help = "with --follow: how often to ask"},
    {.name = "json", .kind = TR_OPTION_FLAG, AT(json), .help = "print one JSON object a line"},
};

static const struct tr_positional positionals[] = {
    {.name = "RUN", .help = "a run folder of `trine train` or `trine submit`", AT(run)},
};

static const struct tr_command command = {
    .name = "status",
    .summary = "tell how a run and its job do",
    .description =
        "One view of both: the job as Slurm sees it (squeue, or sacct when it has left the queue), and how far the run is by "
        "its own files. A run that was never submitted has the second part only.\n"
        "With --follow it ends when the job has: with 0 when it was completed, else with 1.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = sizeof positionals / sizeof *positionals,
    .examples = "trine status runs/depth-4\n"
                "trine status runs/depth-4 --follow --every 1min\n",
};

struct view {
    struct tr_run_job job;
    struct tr_slurm_state state;
    bool has_state, has_run;
    struct tr_err job_lacks, run_lacks; /* why not */
    struct tr_text run;
};

static enum tr_status look(const struct status_args *args, struct view *view, struct tr_err *err)
{
    struct tr_show_options how = {.brief = true, .json = args->json};
    *view = (struct view){.run = {0}};
    enum tr_status status = tr_run_job_read(args->run, &view->job, err);
    if (status != TR_OK)
        return status;
    view->has_state = view->job.id[0] && tr_slurm_query(view->job.id, &view->state, &view->job_lacks) == TR_OK;
    view->has_run = tr_show_run(args->run, &how, &view->run, &view->run_lacks) == TR_OK;
    if (!view->has_run && !view->job.id[0])
        return tr_fail(err, TR_BAD_INPUT, "%s", view->run_lacks.text);
    if (args->json && view->run.len > 0)
        view->run.at[--view->run.len] = 0; /* its line break: the object stands inside another one here */
    return TR_OK;
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

static void write_job(const struct view *view, struct tr_text *out)
{
    const struct tr_slurm_state *s = &view->state;
    tr_text_printf(out, "job         %s", view->job.id);
    if (!view->has_state) {
        tr_text_printf(out, ": %s\n", view->job_lacks.text);
        return;
    }
    tr_text_printf(out, " %s", s->state);
    if (s->reason[0])
        tr_text_printf(out, " (%s)", s->reason);
    if (s->nodes[0])
        tr_text_printf(out, " on %s", s->nodes);
    if (s->used[0])
        tr_text_printf(out, ", %s used", s->used);
    if (s->left[0])
        tr_text_printf(out, ", %s left", s->left);
    if (s->exit_code[0])
        tr_text_printf(out, ", exit code %s", s->exit_code);
    if (s->restarts > 0)
        tr_text_printf(out, ", turn %lld", (long long)s->restarts + 1);
    tr_text_char(out, '\n');
}

static void write_text(const struct view *view, struct tr_text *out)
{
    if (view->job.id[0])
        write_job(view, out);
    if (!view->has_run)
        tr_text_printf(out, "run         %s\n", view->run_lacks.text);
    tr_text_append(out, tr_text_str(&view->run));
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void write_json(const struct view *view, struct tr_text *out)
{
    const struct tr_slurm_state *s = &view->state;
    struct tr_json json = tr_json_start(out, TR_JSON_LINE);
    tr_json_object(&json, NULL);
    tr_json_object(&json, "job");
    tr_json_string(&json, "id", view->job.id[0] ? view->job.id : NULL);
    if (view->job.id[0] && !view->has_state)
        tr_json_string(&json, "unknown", view->job_lacks.text);
    if (view->has_state) {
        tr_json_string(&json, "submitted", view->job.submitted);
        tr_json_string(&json, "state", s->state);
        tr_json_string(&json, "reason", s->reason);
        tr_json_string(&json, "nodes", s->nodes);
        tr_json_string(&json, "used", s->used);
        tr_json_string(&json, "left", s->left);
        tr_json_string(&json, "exit_code", s->exit_code);
        if (s->restarts >= 0)
            tr_json_int(&json, "restarts", s->restarts);
        tr_json_bool(&json, "ended", s->ended);
    }
    tr_json_end(&json);
    if (!view->has_run)
        tr_json_null(&json, "run");
    else
        tr_json_raw(&json, "run", tr_text_str(&view->run));
    tr_json_end(&json);
    tr_text_char(out, '\n');
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

/* False when a signal asked to end. */
static bool wait_for(double seconds)
{
    struct timespec nap = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    return tr_app_signal == 0 && nanosleep(&nap, NULL) == 0 && tr_app_signal == 0;
}

/* Prints the view when it is not what was printed last.. */
static enum tr_status tell(const struct status_args *args, struct tr_text *last, struct view *view, struct tr_err *err)
{
    struct tr_text text = {0};
    enum tr_status status = look(args, view, err);
    if (status == TR_OK && args->json)
        write_json(view, &text);
    else if (status == TR_OK)
        write_text(view, &text);
    tr_text_free(&view->run);
    if (status != TR_OK || strcmp(tr_text_str(&text), tr_text_str(last)) == 0) {
        tr_text_free(&text);
        return status;
    }
    tr_text_clear(last);
    tr_text_append(last, tr_text_str(&text));
    return tr_app_print(&text, err);
}

static enum tr_status follow(const struct status_args *args, struct tr_err *err)
{
    struct tr_text last = {0};
    struct view view;
    enum tr_status status = tr_app_catch_signals(err);
    while (status == TR_OK) {
        status = tell(args, &last, &view, err);
        if (status != TR_OK || view.state.ended || !view.job.id[0])
            break;
        if (!view.has_state)
            status = tr_fail(err, TR_FAILED, "%s", view.job_lacks.text);
        else if (!wait_for(args->every_s))
            status = tr_fail(err, TR_FAILED, "interrupted by %s: the job goes on", tr_signal_name(tr_app_signal));
    }
    tr_text_free(&last);
    if (status == TR_OK && view.job.id[0] && strcmp(view.state.state, "COMPLETED") != 0)
        return TR_NO;
    return status;
}

static enum tr_status run(void *parsed, const struct tr_given *given, struct tr_err *err)
{
    const struct status_args *args = parsed;
    struct tr_text last = {0};
    struct view view;
    (void)given;
    if (args->follow)
        return follow(args, err);
    enum tr_status status = tell(args, &last, &view, err);
    tr_text_free(&last);
    return status;
}

const struct tr_app_command tr_cmd_status = {&command, sizeof(struct status_args), run};
