/* The files of a run folder: lock, config, metrics, events. Their formats are in train.h. */
#include "base/json.h"
#include "base/quantity.h"
#include "lab/exchange/exchange.h"
#include "lab/train/run.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int64_t tr_run_step_tokens(const struct tr_run *run) { return run->config.batch * run->config.seq_len; }

double tr_run_mfu(const struct tr_run *run, double tokens, double seconds)
{
    if (run->peak_flop_s <= 0 || seconds <= 0)
        return NAN;
    return tokens * (double)run->flop_per_token / seconds / run->peak_flop_s;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

enum tr_status tr_run_folder_open(struct tr_run *run, struct tr_err *err)
{
    char lock[TR_PATH_BYTES];
    const char *out = run->config.out;
    run->folder_is_new = access(out, F_OK) != 0;
    enum tr_status status = tr_folder_make(out, err);
    if (status == TR_OK)
        status = tr_path_join(lock, out, "lock", err);
    if (status == TR_OK)
        status = tr_path_join(run->path_metrics, out, "metrics.jsonl", err);
    if (status == TR_OK)
        status = tr_path_join(run->path_events, out, "events.jsonl", err);
    if (status == TR_OK)
        status = tr_path_join(run->path_samples, out, "samples.txt", err);
    if (status == TR_OK && (status = tr_lock_take(&run->lock, lock, err)) == TR_BAD_INPUT)
        tr_err_prefix(err, "another trainer works in %s", out);
    return status;
}

/* By name, not as a tree: between our look and our lock the folder may have become another run's. */
void tr_run_folder_forget(struct tr_run *run)
{
    static const char *const ours[] = {"lock", "events.jsonl"};
    struct tr_arena arena;
    struct tr_err ignored;
    const char *const *names;
    int64_t count;
    if (!run->folder_is_new || !run->lock.held)
        return;
    tr_arena_init(&arena, "names of a folder", (int64_t)1 << 20);
    bool ours_alone = tr_folder_list(run->config.out, &arena, &names, &count, &ignored) == TR_OK;
    for (int64_t i = 0; ours_alone && i < count; i++)
        ours_alone = strcmp(names[i], ours[0]) == 0 || strcmp(names[i], ours[1]) == 0;
    char path[TR_PATH_BYTES];
    for (int i = 0; ours_alone && i < 2; i++)
        if (tr_path_join(path, run->config.out, ours[i], &ignored) == TR_OK)
            unlink(path);
    if (ours_alone)
        rmdir(run->config.out);
    tr_arena_free(&arena);
}

/* The step that a line belongs to; -1: the line does not begin a record; -2: no line of ours. */
static int64_t step_of_metrics(const char *line)
{
    static const char *const heads[] = {"{\"kind\":\"step\",\"step\":", "{\"kind\":\"eval\",\"step\":"};
    for (int i = 0; i < 2; i++)
        if (strncmp(line, heads[i], strlen(heads[i])) == 0)
            return strtoll(line + strlen(heads[i]), NULL, 10);
    return -2;
}

static int64_t step_of_sample(const char *line)
{
    static const char head[] = "== step ";
    return strncmp(line, head, strlen(head)) == 0 ? strtoll(line + strlen(head), NULL, 10) : -1;
}

/* Where the records of steps after `last`, or a line that was torn, begin. */
static enum tr_status find_end(const char *path, int64_t last, int64_t (*step_of)(const char *), int64_t *end,
                               bool *cut, struct tr_err *err)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return tr_fail(err, TR_FAILED, "%s: cannot be read: %s", path, strerror(errno));
    char *line = NULL;
    size_t room = 0;
    ssize_t got;
    while (!*cut && (got = getline(&line, &room, file)) > 0) {
        int64_t step = step_of(line);
        if (step == -2 || step > last || (step_of == step_of_metrics && line[got - 1] != '\n'))
            *cut = true;
        else
            *end += got;
    }
    bool failed = ferror(file);
    free(line);
    fclose(file);
    return failed ? tr_fail(err, TR_FAILED, "%s: cannot be read: %s", path, strerror(errno)) : TR_OK;
}

static enum tr_status drop_later(const char *path, int64_t last, int64_t (*step_of)(const char *), struct tr_err *err)
{
    int64_t end = 0;
    bool cut = false;
    if (!tr_file_exists(path))
        return TR_OK;
    enum tr_status status = find_end(path, last, step_of, &end, &cut, err);
    if (status == TR_OK && cut && truncate(path, end) != 0)
        status = tr_fail(err, TR_FAILED, "%s: cannot be cut: %s", path, strerror(errno));
    return status;
}

enum tr_status tr_run_point_best(struct tr_run *run, struct tr_err *err)
{
    char checkpoint[TR_PATH_BYTES], link[TR_PATH_BYTES];
    if (run->config.keep_best != TR_BEST_KEEP || !tr_run_leads(run))
        return TR_OK;
    enum tr_status status = tr_path_join(link, run->config.out, "best", err);
    if (status == TR_OK && run->state.best_step < 0)
        return unlink(link) == 0 || errno == ENOENT ? TR_OK : tr_fail(err, TR_FAILED, "%s: cannot be removed: %s", link,
                                                                      strerror(errno));
    if (status == TR_OK)
        status = tr_checkpoint_path(run->config.out, run->state.best_step, checkpoint, err);
    if (status != TR_OK || !tr_file_exists(checkpoint))
        return status;
    return tr_link_set(link, strrchr(checkpoint, '/') + 1, err);
}

/* The run keeps the tokenizer's file as it is, for whoever uses the model later. */
static enum tr_status keep_tokenizer(const struct tr_run *run, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_bytes file;
    if (run->path_tokenizer[0] == 0)
        return TR_OK;
    enum tr_status status = tr_path_join(path, run->config.out, "tokenizer.json", err);
    if (status == TR_OK && tr_import_is_gguf(run->path_tokenizer))
        return tr_token_write(run->token, path, err);
    if (status == TR_OK)
        status = tr_file_read(run->path_tokenizer, TR_DOC_JSON_MAX_BYTES, &file, err);
    if (status != TR_OK)
        return status;
    status = tr_file_write(path, file.at, file.len, err);
    tr_bytes_free(&file);
    return status;
}

enum tr_status tr_run_folder_drop_later(const struct tr_run *run, int64_t last, struct tr_err *err)
{
    if (!tr_run_leads(run))
        return TR_OK;
    enum tr_status status = drop_later(run->path_metrics, last, step_of_metrics, err);
    return status == TR_OK ? drop_later(run->path_samples, last, step_of_sample, err) : status;
}

/* And how the model is talked to. */
static enum tr_status keep_chat_template(const struct tr_run *run, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    enum tr_status status = tr_path_join(path, run->config.out, TR_CHAT_TEMPLATE_FILE, err);
    if (status != TR_OK || run->manner.text.len == 0)
        return status;
    return tr_file_write(path, tr_text_str(&run->manner.text), run->manner.text.len, err);
}

enum tr_status tr_run_folder_begin(struct tr_run *run, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_text text = {0};
    if (!tr_run_leads(run))
        return TR_OK;
    tr_text_append(&text, "# The effective config of this run; `trine train --config` reads it.\n");
    tr_run_config_yaml(&run->config, &text);
    enum tr_status status = tr_text_failed(&text, err) ? TR_FAILED : TR_OK;
    if (status == TR_OK)
        status = tr_path_join(path, run->config.out, "config.yaml", err);
    if (status == TR_OK)
        status = tr_file_write(path, tr_text_str(&text), text.len, err);
    tr_text_free(&text);
    if (status == TR_OK)
        status = keep_tokenizer(run, err);
    if (status == TR_OK)
        status = keep_chat_template(run, err);
    return status == TR_OK ? tr_run_folder_drop_later(run, run->resumed_at > 0 ? run->resumed_at : -1, err) : status;
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

/* What ranks write into the folder, the lead alone does. */
static enum tr_status append_line(struct tr_run *run, const char *path, struct tr_err *err)
{
    if (!tr_run_leads(run))
        return TR_OK;
    tr_text_char(&run->line, '\n');
    if (tr_text_failed(&run->line, err))
        return TR_FAILED;
    return tr_file_append(path, tr_text_str(&run->line), run->line.len, err);
}

enum tr_status tr_run_note_event(struct tr_run *run, const char *event, const char *text, struct tr_err *err)
{
    char date[TR_DATE_BYTES];
    tr_text_clear(&run->line);
    struct tr_json json = tr_json_start(&run->line, TR_JSON_LINE);
    tr_json_object(&json, NULL);
    tr_json_string(&json, "time", tr_date(tr_wall_s(), date));
    tr_json_int(&json, "step", run->state.step);
    tr_json_string(&json, "event", event);
    tr_json_string(&json, "text", text);
    tr_json_end(&json);
    return append_line(run, run->path_events, err);
}

double tr_run_eta_s(const struct tr_run *run)
{
    const struct tr_run_config *c = &run->config;
    const int64_t due[TR_ASIDE_COUNT] = {c->eval_every > 0 ? tr_run_times_due(run, c->eval_every) : 0,
                                         c->sample_tokens > 0 ? tr_run_times_due(run, c->sample_every) : 0, tr_run_times_due(run, c->save_every)};
    double each = run->attempt_steps > 0 ? run->attempt_s / (double)run->attempt_steps : run->last_step_s;
    double sum_s = each * (double)(c->steps - run->state.step);
    for (int i = 0; i < TR_ASIDE_COUNT; i++)
        sum_s += run->aside[i].count > 0 ? run->aside[i].time_s / (double)run->aside[i].count * (double)due[i] : 0;
    return sum_s;
}

/* "MFU 45.1%", or what it would need. */
static const char *print_mfu(const struct tr_run *run, char buf[TR_QUANTITY_BYTES])
{
    double mfu = tr_run_mfu(run, (double)tr_run_step_tokens(run), run->last_step_s);
    if (isnan(mfu))
        return "MFU unknown";
    snprintf(buf, TR_QUANTITY_BYTES, "MFU %.1f%%", 100 * mfu);
    return buf;
}

/* The share of a step without a core that is worth a word. */
#define CROWDED_SAID .05

/* "  1 of 2 threads, as other programs want the cores", or nothing. */
static const char *print_crowd(const struct tr_run *run, char *buf, size_t size)
{
    const int threads = run->crowd.threads, wanted = run->machine.threads;
    buf[0] = 0;
    if (threads < wanted)
        snprintf(buf, size, "  %d of %d threads, as other programs want the cores", threads, wanted);
    else if (run->step_crowded > CROWDED_SAID)
        snprintf(buf, size, "  without a core %.0f%% of it, as other programs want the cores", 100 * run->step_crowded);
    return buf;
}

static void log_step(struct tr_run *run, const struct tr_step_result *result, double lr)
{
    const struct tr_train_state *s = &run->state;
    char tokens[TR_QUANTITY_BYTES], rate[TR_QUANTITY_BYTES], memory[TR_QUANTITY_BYTES], eta[TR_QUANTITY_BYTES];
    char mfu[TR_QUANTITY_BYTES], crowd[96];
    double tok_s = (double)tr_run_step_tokens(run) / run->last_step_s;
    tr_progress_note(&run->bar,
                     "step %lld/%lld  tokens %s  loss %.4f  grad_norm %.3f  lr %.2e  %.1f ms  %s tok/s  %s  memory %s  "
                     "skipped %lld  ETA %s%s",
                     (long long)s->step, (long long)run->config.steps, tr_print_count(tokens, s->tokens), result->loss,
                     result->grad_norm, lr, 1000 * run->last_step_s, tr_print_count(rate, (int64_t)tok_s),
                     print_mfu(run, mfu), tr_print_bytes(memory, tr_memory_peak_bytes()), (long long)s->skipped,
                     tr_print_clock(eta, tr_run_eta_s(run)), print_crowd(run, crowd, sizeof crowd));
}

const char *tr_run_transport(const struct tr_run *run) { return run->options->world ? "mpi" : "threads"; }

bool tr_run_log_is_due(const struct tr_run *run)
{
    int64_t step = run->state.step;
    return step % run->config.log_every == 0 || step == run->config.steps || step == run->resumed_at + 1;
}

/* The bar moves at each step; lines come now and then. A log file gets the lines only. */
static void tell_step(struct tr_run *run, const struct tr_step_result *result, double lr)
{
    char rate[TR_QUANTITY_BYTES], mfu[TR_QUANTITY_BYTES];
    int64_t step = run->state.step, tok_s = (int64_t)((double)tr_run_step_tokens(run) / run->last_step_s);
    run->bar.eta_s = tr_run_eta_s(run);
    if (run->bar.terminal)
        tr_progress_update(&run->bar, step, "loss %.4f  %s tok/s  %s", result->loss, tr_print_count(rate, tok_s),
                           print_mfu(run, mfu));
    if (tr_run_log_is_due(run))
        log_step(run, result, lr);
}

enum tr_status tr_run_note_step(struct tr_run *run, const struct tr_step_result *result, double lr, bool skipped,
                                struct tr_err *err)
{
    const struct tr_train_state *s = &run->state;
    double tokens = (double)tr_run_step_tokens(run);
    tr_text_clear(&run->line);
    struct tr_json json = tr_json_start(&run->line, TR_JSON_LINE);
    tr_json_object(&json, NULL);
    tr_json_string(&json, "kind", "step");
    tr_json_int(&json, "step", s->step);
    tr_json_int(&json, "steps", run->config.steps);
    tr_json_int(&json, "tokens", s->tokens);
    tr_json_double(&json, "loss", result->loss);
    tr_json_double(&json, "grad_norm", result->grad_norm);
    tr_json_double(&json, "lr", lr);
    tr_json_double(&json, "step_s", run->last_step_s);
    tr_json_double(&json, "tok_s", tokens / run->last_step_s);
    tr_json_double(&json, "mfu", tr_run_mfu(run, tokens, run->last_step_s));
    tr_json_int(&json, "memory_bytes", tr_memory_peak_bytes());
    tr_json_int(&json, "skipped", s->skipped);
    if (skipped)
        tr_json_bool(&json, "skipped_now", true);
    if (run->crowd.threads < run->machine.threads)
        tr_json_int(&json, "threads", run->crowd.threads);
    if (run->step_crowded > CROWDED_SAID)
        tr_json_double(&json, "crowded", run->step_crowded);
    if (run->world) {
        tr_json_double(&json, "collectives_s", run->step_coll.busy_s);
        tr_json_double(&json, "exposed_s", run->step_coll.exposed_s);
    }
    tr_json_double(&json, "eta_s", tr_run_eta_s(run));
    tr_json_end(&json);
    tell_step(run, result, lr);
    return append_line(run, run->path_metrics, err);
}

enum tr_status tr_run_note_eval(struct tr_run *run, int64_t bytes, double eval_s, struct tr_err *err)
{
    const struct tr_train_state *s = &run->state;
    tr_text_clear(&run->line);
    struct tr_json json = tr_json_start(&run->line, TR_JSON_LINE);
    tr_json_object(&json, NULL);
    tr_json_string(&json, "kind", "eval");
    tr_json_int(&json, "step", s->step);
    tr_json_int(&json, "tokens", s->tokens);
    tr_json_double(&json, "val_loss", s->val_loss);
    tr_json_double(&json, "val_bpb", s->val_bpb);
    tr_json_int(&json, "windows", run->data.val_windows);
    tr_json_int(&json, "bytes", bytes);
    tr_json_double(&json, "eval_s", eval_s);
    tr_json_end(&json);
    tr_progress_note(&run->bar, "step %lld: validation loss %.4f, %.4f bits per byte (%lld of %lld windows)",
                     (long long)s->step, s->val_loss, s->val_bpb, (long long)run->data.val_windows,
                     (long long)run->data.val_windows_all);
    return append_line(run, run->path_metrics, err);
}
