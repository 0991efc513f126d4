/* trine submit: a run as a job of Slurm. */
#include "app/app.h"
#include "app/choose_layout.h"
#include "app/run_job.h"
#include "app/run_words.h"

#include "base/json.h"
#include "base/process.h"
#include "base/quantity.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct submit_args {
    const char *config, *name, *partition, *account, *qos, *gres, *constraint, *layout, *profile, *mpi;
    int64_t nodes, tasks, cpus, memory_bytes, restarts;
    double time_s, warning_s;
    bool dry_run, json;
};

#define AT(field) .offset = offsetof(struct submit_args, field)

static const struct tr_option options[] = {
    {.name = "time", .letter = 't', .kind = TR_OPTION_TIME, AT(time_s), .fallback = "0s", .value = "TIME", .min = 0,
     .max = 1e8, .help = "limit of one turn; the run goes on in the next one. 0s: the partition's"},
    {.name = "nodes", .letter = 'N', .kind = TR_OPTION_INT, AT(nodes), .fallback = "1", .value = "N", .min = 1,
     .max = TR_RANKS_MAX, .help = "nodes of the job"},
    {.name = "ntasks-per-node", .kind = TR_OPTION_INT, AT(tasks), .fallback = "1", .value = "N", .min = 1,
     .max = TR_RANKS_THREADS_MAX, .help = "ranks of each, one a task of srun"},
    {.name = "layout", .kind = TR_OPTION_STRING, AT(layout), .value = "WORDS",
     .help = "what the ranks share, as of `trine train`; without it, the data lanes. auto is chosen on the node, by its profile, at each start"},
    {.name = "profile", .kind = TR_OPTION_PATH, AT(profile), .value = "FILE",
     .help = "as of `trine train`, and of the node: calibrated there"},
    {.name = "mpi", .kind = TR_OPTION_STRING, AT(mpi), .fallback = "pmix", .value = "NAME",
     .help = "how srun and MPI find together, as srun takes it: pmix (Open MPI), pmi2 (MPICH)"},
    {.name = "cpus", .kind = TR_OPTION_INT, AT(cpus), .fallback = "0", .value = "N", .min = 0, .max = 65536,
     .help = "processors of a task, and threads of each rank; 0: run.threads, or Slurm's default"},
    {.name = "memory", .kind = TR_OPTION_BYTES, AT(memory_bytes), .fallback = "0", .value = "BYTES",
     .help = "memory of a node to ask for; 0: Slurm's default. The answer says what the run will need"},
    {.name = "gres", .kind = TR_OPTION_STRING, AT(gres), .value = "LIST", .help = "generic resources, as sbatch takes them"},
    {.name = "partition", .letter = 'p', .kind = TR_OPTION_STRING, AT(partition), .value = "NAME", .help = "Slurm's partition"},
    {.name = "account", .letter = 'A', .kind = TR_OPTION_STRING, AT(account), .value = "NAME", .help = "whom Slurm charges"},
    {.name = "qos", .kind = TR_OPTION_STRING, AT(qos), .value = "NAME", .help = "quality of service"},
    {.name = "constraint", .letter = 'C', .kind = TR_OPTION_STRING, AT(constraint), .value = "LIST",
     .help = "features that a node must have"},
    {.name = "name", .letter = 'J', .kind = TR_OPTION_STRING, AT(name), .value = "NAME",
     .help = "the job's name; without it, the run folder's"},
    {.name = "warning", .kind = TR_OPTION_TIME, AT(warning_s), .fallback = "2min", .value = "TIME", .min = 1, .max = 86400,
     .help = "save so long before the time is over"},
    {.name = "restarts", .kind = TR_OPTION_INT, AT(restarts), .fallback = "5", .value = "N", .min = 0, .max = 1e6,
     .help = "as of `trine launch`"},
    {.name = "dry-run", .letter = 'n', .kind = TR_OPTION_FLAG, AT(dry_run),
     .help = "check everything, print the job's script, submit and write nothing"},
    {.name = "json", .kind = TR_OPTION_FLAG, AT(json), .help = "print the answer as one JSON object"},
};

static const struct tr_positional positionals[] = {
    {.name = "CONFIG", .help = "YAML file with the keys of the run, as `trine train --config` takes it", AT(config)},
};

static const struct tr_command command = {
    .name = "submit",
    .summary = "hand a run to Slurm",
    .description =
        "Checks the run as `trine train --dry-run` does, writes RUN/job.yaml (its effective config) and RUN/job.sh (the "
        "job's script, to read and to change), and submits it. The job is `trine launch`: it starts again what dies, saves "
        "before its time is over and asks for another turn, and goes on elsewhere when a node fails; each turn goes on from "
        "the newest good checkpoint. With several ranks each attempt is one srun. What it says is in RUN/job-NUMBER.log; "
        "`trine status RUN` tells how it does.\n"
        "The run folder, the data and this program have to be where the nodes find them under the same names.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = sizeof positionals / sizeof *positionals,
    .takes_overrides = true,
    .examples = "trine submit run.yaml --time 8h --cpus 16 --partition main\n"
                "trine submit run.yaml --nodes 4 --ntasks-per-node 2 --cpus 32 --layout dp=8,zero=1\n"
                "trine submit run.yaml --train.steps=100k --dry-run     # look at the script first\n",
};

/* What the script is made of: all paths from the root, since a job may be started anywhere. */
struct script {
    char here[TR_PATH_BYTES], program[TR_PATH_BYTES];
    char run_folder[TR_PATH_BYTES], config[TR_PATH_BYTES], path[TR_PATH_BYTES], profile[TR_PATH_BYTES], output[TR_PATH_BYTES + 64];
    char restarts[32], by[128];
    struct tr_text text;
};

static enum tr_status join(char to[TR_PATH_BYTES], const char *folder, const char *name, struct tr_err *err)
{
    if (name[0] != '/')
        return tr_path_join(to, folder, name, err);
    snprintf(to, TR_PATH_BYTES, "%s", name);
    return TR_OK;
}

/* A % in a file's name would be a word of sbatch's patterns. */
static enum tr_status name_output(struct script *script, struct tr_err *err)
{
    size_t len = 0;
    for (const char *at = script->run_folder; *at; at++) {
        if (len + 64 >= sizeof script->output)
            return tr_fail(err, TR_BAD_INPUT, "%s: too long a name for a job's log", script->run_folder);
        if (*at == '%')
            script->output[len++] = '%';
        script->output[len++] = *at;
    }
    snprintf(script->output + len, sizeof script->output - len, "/job-%%j.log");
    return TR_OK;
}

static enum tr_status name_paths(struct script *script, const struct submit_args *args, const struct tr_run_config *config, struct tr_err *err)
{
    if (!getcwd(script->here, sizeof script->here))
        return tr_fail(err, TR_FAILED, "the current folder cannot be named: %s", strerror(errno));
    enum tr_status status = tr_process_own_path(script->program, err);
    if (status == TR_OK)
        status = join(script->run_folder, script->here, config->out, err);
    if (status == TR_OK)
        status = tr_path_join(script->config, script->run_folder, "job.yaml", err);
    if (status == TR_OK)
        status = tr_path_join(script->path, script->run_folder, "job.sh", err);
    if (status == TR_OK && args->profile)
        status = join(script->profile, script->here, args->profile, err);
    return status == TR_OK ? name_output(script, err) : status;
}

/* srun takes nodes and tasks from the job, but not the processors of a task; with -K it ends the others when a rank dies. */
static const char *name_starter(const struct submit_args *args, const struct tr_run_config *config, struct script *script)
{
    int len = snprintf(script->by, sizeof script->by, "srun --mpi=%.60s --kill-on-bad-exit=1", args->mpi);
    if (config->threads > 0)
        snprintf(script->by + len, sizeof script->by - (size_t)len, " --cpus-per-task=%lld", (long long)config->threads);
    return script->by;
}

static enum tr_status make_script(const struct submit_args *args, const struct tr_run_config *config, struct script *script,
                                  struct tr_err *err)
{
    enum tr_status status = name_paths(script, args, config, err);
    if (status != TR_OK)
        return status;
    snprintf(script->restarts, sizeof script->restarts, "%lld", (long long)args->restarts);
    const char *words[16] = {script->program, "launch", "--requeue", "--restarts", script->restarts, script->config};
    int count = 6;
    if (args->nodes * args->tasks > 1) {
        words[count++] = "--by";
        words[count++] = name_starter(args, config, script);
    }
    if (args->layout) {
        words[count++] = "--layout";
        words[count++] = args->layout;
    }
    if (args->profile) {
        words[count++] = "--profile";
        words[count++] = script->profile;
    }
    const char *slash = strrchr(script->run_folder, '/');
    struct tr_slurm_job job = {
        .name = args->name ? args->name : slash + 1, .folder = script->here, .output = script->output,
        .partition = args->partition, .account = args->account, .qos = args->qos, .gres = args->gres,
        .constraint = args->constraint, .nodes = args->nodes, .tasks_per_node = args->tasks, .cpus_per_task = config->threads,
        .memory_bytes = args->memory_bytes, .time_s = args->time_s, .warning_s = args->warning_s, .words = words};
    return tr_slurm_script(&job, &script->text, err);
}

/* One job a run: a second one would wait for the first one's lock, and be refused. */
static enum tr_status refuse_second(const struct tr_run_config *config, struct tr_err *err)
{
    struct tr_run_job job;
    struct tr_slurm_state state;
    struct tr_err unknown;
    enum tr_status status = tr_run_job_read(config->out, &job, err);
    if (status != TR_OK || !job.id[0] || tr_slurm_query(job.id, &state, &unknown) != TR_OK || state.ended)
        return status;
    return tr_fail(err, TR_BAD_INPUT, "%s is in Slurm's hands already: job %s is %s; `scancel %s` would end it", config->out,
                   job.id, state.state, job.id);
}

static enum tr_status write_text(const char *path, struct tr_text *text, struct tr_err *err)
{
    enum tr_status status = tr_text_failed(text, err) ? TR_FAILED : tr_file_write(path, text->at, text->len, err);
    tr_text_free(text);
    return status;
}

/* Writes what the job needs and submits it; when Slurm refuses, a folder that was made for it goes again. */
static enum tr_status submit(struct script *script, const struct tr_run_config *config, struct tr_run_job *job,
                             struct tr_err *err)
{
    struct tr_text yaml = {0};
    struct tr_err ignored;
    bool is_new = !tr_folder_exists(config->out);
    tr_run_config_yaml(config, &yaml);
    enum tr_status status = tr_folder_make(config->out, err);
    if (status == TR_OK)
        status = write_text(script->config, &yaml, err);
    if (status == TR_OK)
        status = write_text(script->path, &script->text, err);
    if (status == TR_OK)
        status = tr_slurm_submit(script->path, job->id, err);
    if (status != TR_OK && is_new && tr_folder_remove(config->out, &ignored) != TR_OK)
        tr_err_prefix(err, "%s", ignored.text);
    tr_text_free(&yaml);
    if (status != TR_OK)
        return status;
    tr_date(tr_wall_s(), job->submitted);
    return tr_run_job_write(config->out, job, err);
}

static enum tr_status answer(const struct submit_args *args, const struct tr_run_config *config, const struct tr_run_job *job,
                             int64_t need_bytes, struct tr_err *err)
{
    struct tr_text text = {0};
    char need[TR_QUANTITY_BYTES];
    if (args->json) {
        struct tr_json json = tr_json_start(&text, TR_JSON_LINE);
        tr_json_object(&json, NULL);
        tr_json_string(&json, "job", job->id);
        tr_json_string(&json, "run", config->out);
        tr_json_int(&json, "memory_planned_bytes", need_bytes);
        tr_json_end(&json);
        tr_text_char(&text, '\n');
    } else {
        tr_text_printf(&text, "job     %s\nrun     %s; `trine status %s` says how it does\nlog     %s/job-%s.log\n"
                       "memory  %s by its plan, and the text\n", job->id, config->out, config->out, config->out, job->id,
                       tr_print_bytes(need, need_bytes));
    }
    return tr_app_print(&text, err);
}

static enum tr_status check_ranks(const struct submit_args *args, const struct tr_app_run *run, struct tr_err *err)
{
    if (args->nodes * args->tasks > TR_RANKS_MAX)
        return tr_fail(err, TR_BAD_INPUT, "%lld nodes of %lld tasks are more than %d ranks", (long long)args->nodes,
                       (long long)args->tasks, TR_RANKS_MAX);
    struct tr_launched job = {.ranks = (int)(args->nodes * args->tasks), .by = "the job"};
    if (tr_app_layout_is_auto(args->layout) && args->nodes > 1)
        return tr_fail(err, TR_BAD_INPUT, "--layout auto: a profile is of one machine, and the job has %lld nodes: say the layout, as dp=%d",
                       (long long)args->nodes, job.ranks);
    return tr_app_run_check_layout(run, args->layout, args->profile, &job, err);
}

static enum tr_status run_submit(const struct submit_args *args, const struct tr_given *given, struct tr_app_run *run,
                                 struct tr_err *err)
{
    struct script script = {.text = {0}};
    struct tr_run_job job = {.id = ""};
    struct tr_run_config *config = &run->config;
    enum tr_status status = tr_app_run_check(args->config, given, run, err);
    if (status == TR_OK)
        status = check_ranks(args, run, err);
    if (status != TR_OK)
        return status;
    if (args->cpus > 0)
        config->threads = args->cpus;
    status = make_script(args, config, &script, err);
    if (status == TR_OK && args->dry_run)
        return tr_app_print(&script.text, err);
    if (status == TR_OK)
        status = refuse_second(config, err);
    if (status == TR_OK)
        status = submit(&script, config, &job, err);
    tr_text_free(&script.text);
    return status == TR_OK ? answer(args, config, &job, run->need_bytes, err) : status;
}

static enum tr_status run(void *parsed, const struct tr_given *given, struct tr_err *err)
{
    struct tr_app_run *checked = calloc(1, sizeof *checked);
    if (!checked)
        return tr_fail(err, TR_FAILED, "out of memory before the config was read");
    enum tr_status status = run_submit(parsed, given, checked, err);
    free(checked);
    return status;
}

const struct tr_app_command tr_cmd_submit = {&command, sizeof(struct submit_args), run};
