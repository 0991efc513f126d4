#include "cloud/job/job.h"

#include "base/process.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- the script -------------------------------------------------------------------------------------------------- */

static enum tr_status check_word(const char *what, const char *word, struct tr_err *err)
{
    for (const char *at = word; at && *at; at++)
        if ((unsigned char)*at < ' ' || *at == 127)
            return tr_fail(err, TR_BAD_INPUT, "%s has a line break or another control character in it: a job's script cannot "
                           "say that", what);
    return TR_OK;
}

/* A word of the shell, in single quotes unless it needs none. */
static void write_word(const char *word, struct tr_text *out)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+=./,:@%";
    if (*word && strspn(word, plain) == strlen(word)) {
        tr_text_append(out, word);
        return;
    }
    tr_text_char(out, '\'');
    for (; *word; word++)
        if (*word == '\'')
            tr_text_append(out, "'\\''");
        else
            tr_text_char(out, *word);
    tr_text_char(out, '\'');
}

/* sbatch reads its lines by rules of its own: double quotes, and a backslash before a quote or a backslash. */
static void write_option(const char *name, const char *value, struct tr_text *out)
{
    if (!value)
        return;
    tr_text_printf(out, "#SBATCH --%s=\"", name);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            tr_text_char(out, '\\');
        tr_text_char(out, *value);
    }
    tr_text_append(out, "\"\n");
}

static void write_count(const char *name, int64_t count, struct tr_text *out)
{
    tr_text_printf(out, "#SBATCH --%s=%lld\n", name, (long long)count);
}

/* Slurm counts time in minutes; a limit is never shortened. */
static void write_time(double seconds, struct tr_text *out)
{
    long long minutes = (long long)((seconds + 59.999) / 60);
    tr_text_printf(out, "#SBATCH --time=%lld-%02lld:%02lld:00\n", minutes / 1440, minutes / 60 % 24, minutes % 60);
}

static enum tr_status check_job(const struct tr_slurm_job *job, struct tr_err *err)
{
    const struct {
        const char *what, *word;
    } words[] = {{"the job's name", job->name}, {"the folder's name", job->folder}, {"the output's name", job->output},
                 {"the partition", job->partition}, {"the account", job->account}, {"the QOS", job->qos},
                 {"--gres", job->gres}, {"the constraint", job->constraint}};
    enum tr_status status = TR_OK;
    for (int i = 0; i < (int)(sizeof words / sizeof *words) && status == TR_OK; i++)
        status = check_word(words[i].what, words[i].word, err);
    for (int i = 0; job->words[i] && status == TR_OK; i++)
        status = check_word("a word of the command", job->words[i], err);
    return status;
}

enum tr_status tr_slurm_script(const struct tr_slurm_job *job, struct tr_text *out, struct tr_err *err)
{
    enum tr_status status = check_job(job, err);
    if (status != TR_OK)
        return status;
    tr_text_append(out, "#!/bin/sh\n");
    write_option("job-name", job->name, out);
    write_option("chdir", job->folder, out);
    write_option("output", job->output, out);
    tr_text_append(out, "#SBATCH --open-mode=append\n");
    write_option("partition", job->partition, out);
    write_option("account", job->account, out);
    write_option("qos", job->qos, out);
    write_option("gres", job->gres, out);
    write_option("constraint", job->constraint, out);
    write_count("nodes", job->nodes, out);
    write_count("ntasks-per-node", job->tasks_per_node, out);
    if (job->cpus_per_task > 0)
        write_count("cpus-per-task", job->cpus_per_task, out);
    if (job->memory_bytes > 0)
        tr_text_printf(out, "#SBATCH --mem=%lldM\n", (long long)((job->memory_bytes + (1 << 20) - 1) >> 20));
    if (job->time_s > 0)
        write_time(job->time_s, out);
    tr_text_printf(out, "#SBATCH --requeue\n#SBATCH --signal=B:USR1@%.0f\n\nexec", job->warning_s);
    for (int i = 0; job->words[i]; i++) {
        tr_text_append(out, i ? " \\\n    " : " ");
        write_word(job->words[i], out);
    }
    tr_text_char(out, '\n');
    return TR_OK;
}

/* ---- Slurm's commands -------------------------------------------------------------------------------------------- */

struct answer {
    struct tr_text out, said;
    int code;
};

static void answer_free(struct answer *answer)
{
    tr_text_free(&answer->out);
    tr_text_free(&answer->said);
}

static enum tr_status ask(const char *const *words, struct answer *answer, struct tr_err *err)
{
    *answer = (struct answer){.code = 0};
    enum tr_status status = tr_process_run(words, &answer->out, &answer->said, &answer->code, err);
    if (status == TR_BAD_INPUT)
        tr_err_prefix(err, "Slurm is not on this machine");
    return status;
}

/* What a command of Slurm complains about, in its own words: lines joined, its name in front as it puts it. */
static enum tr_status refused(const char *command, const struct answer *answer, struct tr_err *err)
{
    char words[TR_ERR_BYTES / 2];
    const char *said = tr_text_str(answer->said.len ? &answer->said : &answer->out);
    size_t len = 0;
    for (; *said && len + 1 < sizeof words; said++)
        if (!isspace((unsigned char)*said))
            words[len++] = *said;
        else if (len > 0 && words[len - 1] != ' ')
            words[len++] = ' ';
    while (len > 0 && words[len - 1] == ' ')
        len--;
    words[len] = 0;
    return tr_fail(err, TR_BAD_INPUT, "Slurm refused (%s ended with status %d): %s", command, answer->code,
                   len ? words : "it gave no reason");
}

enum tr_status tr_slurm_submit(const char *script, char id[TR_JOB_ID_BYTES], struct tr_err *err)
{
    const char *const words[] = {"sbatch", "--parsable", script, NULL};
    struct answer answer;
    enum tr_status status = ask(words, &answer, err);
    if (status == TR_OK && answer.code != 0)
        status = refused("sbatch", &answer, err);
    if (status == TR_OK) {
        const char *number = tr_text_str(&answer.out); /* "123" or "123;cluster" */
        size_t len = strspn(number, "0123456789");
        if (len == 0 || len >= TR_JOB_ID_BYTES)
            status = tr_fail(err, TR_FAILED, "sbatch --parsable did not print a job's number but \"%.60s\"", number);
        else
            snprintf(id, TR_JOB_ID_BYTES, "%.*s", (int)len, number);
    }
    answer_free(&answer);
    return status;
}

/* ---- how a job does ---------------------------------------------------------------------------------------------- */

/* squeue pads each column to its width, so that no separator can stand in a value. */
static const struct {
    const char *name;
    int width;
} columns[] = {{"State", 32}, {"Reason", 160}, {"NodeList", 200}, {"TimeUsed", 32}, {"TimeLeft", 32}, {"RestartCnt", 16}};
enum { COLUMN_COUNT = sizeof columns / sizeof *columns };

/* Slurm's words for nothing. */
static bool is_nothing(const char *word)
{
    static const char *const nothing[] = {"None", "n/a", "N/A", "(null)", "None assigned", "Unknown", "INVALID"};
    for (int i = 0; i < (int)(sizeof nothing / sizeof *nothing); i++)
        if (strcmp(word, nothing[i]) == 0)
            return true;
    return false;
}

static void copy_trimmed(char *to, size_t bytes, const char *from, size_t len)
{
    while (len > 0 && from[len - 1] == ' ')
        len--;
    snprintf(to, bytes, "%.*s", (int)len, from);
    for (char *at = to; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 127)
            *at = '?';
    if (is_nothing(to))
        to[0] = 0;
}

static bool has_ended(const char *state)
{
    static const char *const living[] = {"PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "REQUEUED", "REQUEUE_HOLD",
                                         "REQUEUE_FED", "RESIZING", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED",
                                         "SUSPENDED", "RESV_DEL_HOLD"};
    for (int i = 0; i < (int)(sizeof living / sizeof *living); i++)
        if (strcmp(state, living[i]) == 0)
            return false;
    return true;
}

enum tr_status tr_slurm_queue_parse(const char *line, struct tr_slurm_state *out, struct tr_err *err)
{
    struct tr_slurm_state s = {.restarts = -1};
    char restarts[TR_JOB_WORD_BYTES] = "";
    const struct {
        char *at;
        size_t bytes;
    } to[COLUMN_COUNT] = {{s.state, sizeof s.state}, {s.reason, sizeof s.reason}, {s.nodes, sizeof s.nodes},
                          {s.used, sizeof s.used}, {s.left, sizeof s.left}, {restarts, sizeof restarts}};
    size_t len = strcspn(line, "\n"), at = 0;
    for (int i = 0; i < COLUMN_COUNT && at < len; i++) {
        size_t width = (size_t)columns[i].width < len - at ? (size_t)columns[i].width : len - at;
        copy_trimmed(to[i].at, to[i].bytes, line + at, width);
        at += width;
    }
    if (!s.state[0])
        return tr_fail(err, TR_BAD_INPUT, "squeue's answer is not the table that was asked for: \"%.60s\"", line);
    if (restarts[0] && strspn(restarts, "0123456789") == strlen(restarts) && strlen(restarts) < 10)
        s.restarts = strtoll(restarts, NULL, 10);
    s.ended = has_ended(s.state);
    *out = s;
    return TR_OK;
}

enum tr_status tr_slurm_account_parse(const char *line, struct tr_slurm_state *out, struct tr_err *err)
{
    struct tr_slurm_state s = {.restarts = -1};
    const struct {
        char *at;
        size_t bytes;
    } to[] = {{s.state, sizeof s.state}, {s.exit_code, sizeof s.exit_code}, {s.used, sizeof s.used}, {s.nodes, sizeof s.nodes}};
    for (int i = 0; i < 4; i++) {
        size_t len = strcspn(line, "|\n");
        copy_trimmed(to[i].at, to[i].bytes, line, len);
        line += len + (line[len] == '|');
    }
    if (!s.state[0])
        return tr_fail(err, TR_BAD_INPUT, "sacct's answer is not the table that was asked for");
    char *by = strchr(s.state, ' '); /* "CANCELLED by 0" */
    if (by) {
        snprintf(s.reason, sizeof s.reason, "%.200s", by + 1);
        *by = 0;
    }
    s.ended = has_ended(s.state);
    *out = s;
    return TR_OK;
}

static enum tr_status ask_queue(const char *id, struct tr_slurm_state *out, bool *known, struct tr_err *err)
{
    char jobs[TR_JOB_ID_BYTES + 16], format[256];
    size_t len = (size_t)snprintf(format, sizeof format, "--Format=");
    for (int i = 0; i < COLUMN_COUNT; i++)
        len += (size_t)snprintf(format + len, sizeof format - len, "%s%s:%d", i ? "," : "", columns[i].name,
                                columns[i].width);
    snprintf(jobs, sizeof jobs, "--jobs=%s", id);
    const char *const words[] = {"squeue", "--noheader", "--states=all", jobs, format, NULL};
    struct answer answer;
    enum tr_status status = ask(words, &answer, err);
    *known = false;
    if (status == TR_OK && answer.code == 0 && answer.out.len) {
        *known = true;
        status = tr_slurm_queue_parse(tr_text_str(&answer.out), out, err);
    } else if (status == TR_OK && answer.code != 0 && !strstr(tr_text_str(&answer.said), "Invalid job id")) {
        status = refused("squeue", &answer, err);
    }
    answer_free(&answer);
    return status;
}

static enum tr_status ask_account(const char *id, struct tr_slurm_state *out, struct tr_err *err)
{
    char jobs[TR_JOB_ID_BYTES + 16];
    snprintf(jobs, sizeof jobs, "--jobs=%s", id);
    const char *const words[] = {"sacct", "--noheader", "--parsable2", "--allocations", jobs,
                                 "--format=State,ExitCode,Elapsed,NodeList", NULL};
    struct answer answer;
    enum tr_status status = ask(words, &answer, err);
    if (status == TR_OK && answer.code != 0) {
        status = refused("sacct", &answer, err);
        tr_err_prefix(err, "job %s is no longer in the queue", id);
    } else if (status == TR_OK && answer.out.len == 0) {
        status = tr_fail(err, TR_BAD_INPUT, "Slurm knows no job %s", id);
    } else if (status == TR_OK) {
        status = tr_slurm_account_parse(tr_text_str(&answer.out), out, err);
    }
    answer_free(&answer);
    return status;
}

static enum tr_status check_id(const char *id, struct tr_err *err)
{
    size_t len = strlen(id);
    if (len == 0 || len >= TR_JOB_ID_BYTES || strspn(id, "0123456789") != len)
        return tr_fail(err, TR_BAD_INPUT, "\"%.40s\" is no number of a Slurm job", id);
    return TR_OK;
}

enum tr_status tr_slurm_query(const char *id, struct tr_slurm_state *out, struct tr_err *err)
{
    bool known;
    enum tr_status status = check_id(id, err);
    if (status == TR_OK)
        status = ask_queue(id, out, &known, err);
    return status == TR_OK && !known ? ask_account(id, out, err) : status;
}

enum tr_status tr_slurm_requeue(const char *id, struct tr_err *err)
{
    const char *const words[] = {"scontrol", "requeue", id, NULL};
    struct answer answer;
    enum tr_status status = check_id(id, err);
    if (status != TR_OK)
        return status;
    status = ask(words, &answer, err);
    if (status == TR_OK && answer.code != 0)
        status = refused("scontrol", &answer, err);
    answer_free(&answer);
    return status;
}
