/* trine launch: a run that is started again when it dies. */
#include "app/app.h"
#include "app/run_words.h"

#include "base/process.h"
#include "cloud/job/job.h"
#include "lab/train/checkpoint.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct launch_args {
    const char *config, *by, *layout, *profile, *timeout;
    int64_t restarts;
    double pause_s, pause_max_s;
    bool requeue, quiet;
};

#define AT(field) .offset = offsetof(struct launch_args, field)

static const struct tr_option options[] = {
    {.name = "by", .kind = TR_OPTION_STRING, AT(by), .value = "WORDS",
     .help = "what starts the trainer on many ranks, words apart by blanks: \"mpirun -n 4\", \"srun --mpi=pmix\", or a script "
             "of yours that finds the hosts that are left; it gets the trainer's words behind its own"},
    {.name = "layout", .kind = TR_OPTION_STRING, AT(layout), .value = "WORDS", .help = "as of `trine train`; auto is chosen anew at each start"},
    {.name = "profile", .kind = TR_OPTION_PATH, AT(profile), .value = "FILE", .help = "as of `trine train`"},
    {.name = "timeout", .kind = TR_OPTION_STRING, AT(timeout), .value = "TIME", .help = "as of `trine train`"},
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
        "counted, and too many of them in a row end it; wrong input ends it at once, and what does not fit into memory (status 1) unless it "
        "has saved something, and so did fit.\n"
        "SIGINT, SIGTERM and SIGUSR1 are passed on: the step is finished and saved, and the exit status is 3. The result is "
        "the same, bit for bit, however often it died.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = sizeof positionals / sizeof *positionals,
    .takes_overrides = true,
    .examples = "trine launch run.yaml\n"
                "trine launch run.yaml --train.steps=100k --restarts 20 --pause 10s\n"
                "trine launch run.yaml --by \"mpirun -n 4\" --layout dp=4,zero=1\n"
                "trine launch run.yaml --by \"mpirun -n 2\" --layout auto --profile profile.yaml\n",
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

enum { BY_WORDS_MAX = 128, WORDS_MAX = BY_WORDS_MAX + 10 + TR_OVERRIDE_MAX + 1 };

/* The words of an attempt: what starts it, this program, `train`, and what the user gave. */
struct words {
    const char *word[WORDS_MAX];
    int count;
    char program[TR_PATH_BYTES];
    char *by; /* the user's, cut at its blanks */
    struct tr_text override[TR_OVERRIDE_MAX];
    int override_count;
};

static void words_free(struct words *words)
{
    free(words->by);
    for (int i = 0; i < words->override_count; i++)
        tr_text_free(&words->override[i]);
    free(words);
}

static enum tr_status cut_by(struct words *words, const char *by, struct tr_err *err)
{
    char *rest = NULL;
    words->by = by ? strdup(by) : NULL;
    if (by && !words->by)
        return tr_fail(err, TR_FAILED, "out of memory before the run began");
    for (char *word = by ? strtok_r(words->by, " \t", &rest) : NULL; word; word = strtok_r(NULL, " \t", &rest)) {
        if (words->count == BY_WORDS_MAX)
            return tr_fail(err, TR_BAD_INPUT, "--by: has more than %d words", BY_WORDS_MAX);
        words->word[words->count++] = word;
    }
    return TR_OK;
}

static void add_option(struct words *words, const char *name, const char *value)
{
    if (!value)
        return;
    words->word[words->count++] = name;
    words->word[words->count++] = value;
}

static enum tr_status make_words(const struct launch_args *args, const struct tr_given *given, struct words *words,
                                 struct tr_err *err)
{
    enum tr_status status = cut_by(words, args->by, err);
    if (status == TR_OK)
        status = tr_process_own_path(words->program, err);
    if (status != TR_OK)
        return status;
    words->word[words->count++] = words->program;
    words->word[words->count++] = "train";
    add_option(words, "--config", args->config);
    add_option(words, "--layout", args->layout);
    add_option(words, "--profile", args->profile);
    add_option(words, "--timeout", args->timeout);
    for (int i = 0; i < given->override_count; i++) {
        struct tr_text *text = &words->override[words->override_count++];
        tr_text_printf(text, "--%s=%s", given->overrides[i].key, given->overrides[i].value);
        if (tr_text_failed(text, err))
            return TR_FAILED;
        words->word[words->count++] = tr_text_str(text);
    }
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

static enum tr_status launch(const struct launch_args *args, const struct tr_given *given, char *run_folder,
                             struct tr_err *err)
{
    struct tr_launch_result result = {0};
    struct words *words = calloc(1, sizeof *words);
    if (!words)
        return tr_fail(err, TR_FAILED, "out of memory before the run began");
    struct tr_launch how = {.words = words->word, .stop = &tr_app_signal, .kept = newest_step, .context = run_folder,
                            .restarts = args->restarts, .pause_s = args->pause_s, .pause_max_s = args->pause_max_s,
                            .log = args->quiet ? NULL : stderr};
    enum tr_status status = make_words(args, given, words, err);
    if (status == TR_OK)
        status = tr_app_catch_signals(err);
    if (status == TR_OK)
        status = tr_launch(&how, &result, err);
    words_free(words);
    if (result.stopped && status == TR_FAILED && args->requeue && tr_app_signal == SIGUSR1)
        return requeue(err);
    return status;
}

static enum tr_status run_launch(void *parsed, const struct tr_given *given, struct tr_err *err)
{
    const struct launch_args *args = parsed;
    struct tr_launched launched = tr_launched(), not_yet = {.ranks = 1};
    if (launched.ranks > 1)
        return tr_fail(err, TR_BAD_INPUT, "trine launch was started by %s, and is to start it: trine launch %s --by \"mpirun "
                       "-n %d\"", launched.by, args->config, launched.ranks);
    struct tr_app_run *run = calloc(1, sizeof *run);
    if (!run)
        return tr_fail(err, TR_FAILED, "out of memory before the run began");
    enum tr_status status = tr_app_run_check(args->config, given, run, err);
    if (status == TR_OK)
        status = tr_app_run_check_layout(run, args->layout, args->profile, &not_yet, err);
    if (status == TR_OK)
        status = launch(args, given, run->config.out, err);
    free(run);
    return status;
}

const struct tr_app_command tr_cmd_launch = {&command, sizeof(struct launch_args), run_launch};
