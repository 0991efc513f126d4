/* trine launch: a run that is started again when it dies. */
#include "app/app.h"
#include "app/run_words.h"

#include "base/process.h"
#include "cloud/job/job.h"
#include "lab/train/checkpoint.h"

#include <signal.h>
#include <stdlib.h>

struct launch_args {
    const char *config;
    int64_t restarts;
    double pause_s, pause_max_s;
    bool requeue, quiet;
};

#define AT(field) .offset = offsetof(struct launch_args, field)

static const struct tr_option options[] = {
    {.name = "restarts", .kind = TR_OPTION_INT, AT(restarts), .fallback = "5", .value = "N", .min = 0, .max = 1e6,
     .help = "give up after so many more attempts in a row that saved nothing new"},
    {.name = "pause", .kind = TR_OPTION_TIME, AT(pause_s), .fallback = "2s", .value = "TIME", .min = 0, .max = 86400,
     .help = "wait so long before a restart; twice as long each time that nothing was saved"},
    {.name = "pause-max", .kind = TR_OPTION_TIME, AT(pause_max_s), .fallback = "5min", .value = "TIME", .min = 0,
     .max = 86400, .help = "but no longer than this"},
    {.name = "requeue", .kind = TR_OPTION_FLAG, AT(requeue),
     .help = "in a job of Slurm: after SIGUSR1 (its time is nearly over) save, and ask Slurm for another turn"},
    {.name = "quiet", .letter = 'q', .kind = TR_OPTION_FLAG, AT(quiet), .help = "no lines about attempts on standard error"},
};

static const struct tr_positional positionals[] = {
    {.name = "CONFIG", .help = "YAML file with the keys of the run, as `trine train --config` takes it", AT(config)},
};

static const struct tr_command command = {
    .name = "launch",
    .summary = "train, and start again whatever dies",
    .description =
        "Runs `trine train --config CONFIG` and looks after it: an attempt that dies (killed, out of memory, a disk that was "
        "full) is followed by another from the newest good checkpoint, after a pause. Attempts that saved nothing new are "
        "counted, and too many of them in a row end it; wrong input ends it at once.\n"
        "SIGINT, SIGTERM and SIGUSR1 are passed on: the step is finished and saved, and the exit status is 3. The result is "
        "the same, bit for bit, however often it died.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = sizeof positionals / sizeof *positionals,
    .takes_overrides = true,
    .examples = "trine launch run.yaml\n"
                "trine launch run.yaml --train.steps=100k --restarts 20 --pause 10s\n",
};

/* The step of the newest checkpoint whose files are there; -1: none. */
static int64_t newest_step(void *run_folder)
{
    struct tr_arena arena;
    struct tr_err ignored;
    int64_t *steps, count, newest = -1;
    tr_arena_init(&arena, "list of checkpoints", (int64_t)256 << 20);
    if (tr_checkpoint_list(run_folder, &arena, &steps, &count, &ignored) == TR_OK && count > 0)
        newest = steps[count - 1];
    tr_arena_free(&arena);
    return newest;
}

/* The words of an attempt: this program, `train`, and what the user gave. `texts` owns the overrides. */
static enum tr_status make_words(const struct launch_args *args, const struct tr_given *given, const char *program,
                                 const char **words, struct tr_text *texts, struct tr_err *err)
{
    int count = 0;
    words[count++] = program;
    words[count++] = "train";
    words[count++] = "--config";
    words[count++] = args->config;
    for (int i = 0; i < given->override_count; i++) {
        tr_text_printf(&texts[i], "--%s=%s", given->overrides[i].key, given->overrides[i].value);
        if (tr_text_failed(&texts[i], err))
            return TR_FAILED;
        words[count++] = tr_text_str(&texts[i]);
    }
    words[count] = NULL;
    return TR_OK;
}

/* Its time was nearly over: the work is saved, and Slurm gives it another turn. */
static enum tr_status requeue(struct tr_err *err)
{
    struct tr_err why;
    const char *job = getenv("SLURM_JOB_ID");
    if (!job)
        return tr_fail(err, TR_BAD_INPUT, "--requeue: this is no job of Slurm (SLURM_JOB_ID is not set); the run is saved");
    enum tr_status status = tr_slurm_requeue(job, &why);
    if (status != TR_OK)
        return tr_fail(err, status, "the run is saved, but job %s got no other turn: %s", job, why.text);
    return tr_fail(err, TR_FAILED, "the run is saved and job %s waits for its next turn", job);
}

static enum tr_status launch(const struct launch_args *args, const struct tr_given *given, struct tr_run_config *config,
                             struct tr_err *err)
{
    char program[TR_PATH_BYTES];
    const char *words[4 + TR_OVERRIDE_MAX + 1];
    struct tr_text texts[TR_OVERRIDE_MAX] = {{0}};
    struct tr_launch_result result = {0};
    struct tr_launch how = {.words = words, .stop = &tr_app_signal, .kept = newest_step, .context = config->out,
                            .restarts = args->restarts, .pause_s = args->pause_s, .pause_max_s = args->pause_max_s,
                            .log = args->quiet ? NULL : stderr};
    enum tr_status status = tr_process_own_path(program, err);
    if (status == TR_OK)
        status = make_words(args, given, program, words, texts, err);
    if (status == TR_OK)
        status = tr_app_catch_signals(err);
    if (status == TR_OK)
        status = tr_launch(&how, &result, err);
    for (int i = 0; i < given->override_count; i++)
        tr_text_free(&texts[i]);
    if (result.stopped && status == TR_FAILED && args->requeue && tr_app_signal == SIGUSR1)
        return requeue(err);
    return status;
}

static enum tr_status run(void *parsed, const struct tr_given *given, struct tr_err *err)
{
    const struct launch_args *args = parsed;
    struct tr_run_config *config = calloc(1, sizeof *config);
    if (!config)
        return tr_fail(err, TR_FAILED, "out of memory before the run began");
    int64_t need_bytes;
    enum tr_status status = tr_app_run_check(args->config, given, config, &need_bytes, err);
    if (status == TR_OK)
        status = launch(args, given, config, err);
    free(config);
    return status;
}

const struct tr_app_command tr_cmd_launch = {&command, sizeof(struct launch_args), run};
