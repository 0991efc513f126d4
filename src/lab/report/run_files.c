#include "lab/report/run_files.h"

#include "lab/report/report.h"

#include <math.h>
#include <string.h>

#define METRICS_MAX_BYTES ((int64_t)8 << 30)
#define TEXT_MAX_BYTES ((int64_t)16 << 20)
enum { LINE_MAX_BYTES = 1 << 16, LINE_MAX_NODES = 256 };

static const char *const curve_key[TR_CURVE_COUNT] = {"loss", "grad_norm", "lr", "tok_s", "mfu", "memory_bytes",
                                                      "step_s"};
static const char *const eval_key[TR_EVAL_COUNT] = {"val_loss", "val_bpb"};

static int64_t count_lines(const char *at, size_t len)
{
    int64_t lines = 1;
    for (size_t i = 0; i < len; i++)
        lines += at[i] == '\n';
    return lines;
}

static enum tr_status make_arrays(struct tr_run_files *f, int64_t lines, struct tr_err *err)
{
    double **array[2 + TR_CURVE_COUNT + TR_EVAL_COUNT] = {&f->step, &f->eval_step};
    for (int i = 0; i < TR_CURVE_COUNT; i++)
        array[2 + i] = &f->value[i];
    for (int i = 0; i < TR_EVAL_COUNT; i++)
        array[2 + TR_CURVE_COUNT + i] = &f->eval[i];
    for (size_t i = 0; i < sizeof array / sizeof array[0]; i++) {
        *array[i] = tr_arena_array(&f->arena, lines, (int64_t)sizeof(double), err);
        if (*array[i] == NULL)
            return TR_FAILED;
    }
    return TR_OK;
}

/* A number, NaN where the line has null (a loss that was not finite) or nothing. */
static enum tr_status read_number(const struct tr_node *line, const char *key, double *out, struct tr_err *err)
{
    *out = (double)NAN;
    return tr_doc_double(line, key, TR_OPTIONAL, -INFINITY, INFINITY, out, err);
}

static enum tr_status read_numbers(const struct tr_node *line, const char *const *keys, int count, double **arrays,
                                   int64_t at, struct tr_err *err)
{
    for (int i = 0; i < count; i++) {
        enum tr_status status = read_number(line, keys[i], &arrays[i][at], err);
        if (status != TR_OK)
            return status;
    }
    return TR_OK;
}

static enum tr_status read_line(struct tr_run_files *f, const struct tr_node *line, struct tr_err *err)
{
    const char *kind = "";
    enum tr_status status = tr_doc_string(line, "kind", TR_REQUIRED, &kind, err);
    if (status != TR_OK)
        return status;
    bool is_step = strcmp(kind, "step") == 0;
    if (!is_step && strcmp(kind, "eval") != 0)
        return TR_OK;
    double step;
    status = tr_doc_double(line, "step", TR_REQUIRED, 0.0, 1e15, &step, err);
    if (status == TR_OK && !is_step) {
        f->eval_step[f->eval_count] = step;
        status = read_numbers(line, eval_key, TR_EVAL_COUNT, f->eval, f->eval_count, err);
        f->eval_count += status == TR_OK;
        return status;
    }
    if (status == TR_OK)
        status = read_numbers(line, curve_key, TR_CURVE_COUNT, f->value, f->step_count, err);
    if (status == TR_OK)
        status = read_number(line, "tokens", &f->tokens, err);
    if (status == TR_OK)
        status = read_number(line, "steps", &f->steps_planned, err);
    if (status == TR_OK)
        status = read_number(line, "skipped", &f->skipped, err);
    if (status == TR_OK)
        status = read_number(line, "eta_s", &f->eta_s, err);
    if (status == TR_OK)
        f->step[f->step_count++] = step;
    return status;
}

static enum tr_status read_metrics(struct tr_run_files *f, const char *path, struct tr_err *err)
{
    struct tr_bytes bytes;
    enum tr_status status = tr_file_read(path, METRICS_MAX_BYTES, &bytes, err);
    if (status != TR_OK)
        return status;
    int64_t lines = count_lines(bytes.at, bytes.len), number = 0;
    status = lines > TR_REPORT_MAX_LINES
                 ? tr_fail(err, TR_BAD_INPUT, "%s: %lld lines; at most %d are read", path, (long long)lines,
                           TR_REPORT_MAX_LINES)
                 : make_arrays(f, lines, err);
    const char *at = bytes.at, *end = bytes.at + bytes.len;
    while (status == TR_OK && at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = stop == NULL ? (size_t)(end - at) : (size_t)(stop - at);
        number++;
        struct tr_doc *doc = NULL;
        if (stop == NULL)
            break; /* a line that was being written when the run was killed */
        if (len > 0)
            status = tr_doc_parse_limited(path, TR_DOC_JSON, at, len, LINE_MAX_BYTES, LINE_MAX_NODES, &doc, err);
        if (status == TR_OK && doc != NULL)
            status = read_line(f, tr_doc_root(doc), err);
        tr_doc_free(doc);
        if (status != TR_OK)
            tr_err_prefix(err, "line %lld of the metrics", (long long)number);
        at = stop + 1;
    }
    tr_bytes_free(&bytes);
    if (status == TR_OK && f->step_count == 0 && f->eval_count == 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: no steps in it yet", path);
    return status;
}

static enum tr_status read_text(const char *run_folder, const char *name, struct tr_bytes *out, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    enum tr_status status = tr_path_join(path, run_folder, name, err);
    if (status != TR_OK || !tr_file_exists(path))
        return status;
    return tr_file_read(path, TEXT_MAX_BYTES, out, err);
}

enum tr_status tr_run_files_read(struct tr_run_files *files, const char *run_folder, struct tr_err *err)
{
    struct tr_run_files f = {.tokens = 0.0};
    char path[TR_PATH_BYTES];
    tr_arena_init(&f.arena, "report", METRICS_MAX_BYTES);
    enum tr_status status = tr_path_join(path, run_folder, "metrics.jsonl", err);
    if (status == TR_OK && !tr_file_exists(path))
        status = tr_fail(err, TR_BAD_INPUT, "%s: no such file; a run folder of `trine train` has one", path);
    if (status == TR_OK)
        status = read_metrics(&f, path, err);
    if (status == TR_OK)
        status = read_text(run_folder, "config.yaml", &f.config, err);
    if (status == TR_OK)
        status = read_text(run_folder, "samples.txt", &f.samples, err);
    if (status == TR_OK)
        status = tr_path_join(path, run_folder, "profile.json", err);
    if (status == TR_OK && tr_file_exists(path))
        status = tr_doc_read(path, TR_DOC_JSON, &f.profile, err);
    if (status == TR_OK)
        *files = f;
    else
        tr_run_files_free(&f);
    return status;
}

void tr_run_files_free(struct tr_run_files *files)
{
    tr_doc_free(files->profile);
    tr_bytes_free(&files->config);
    tr_bytes_free(&files->samples);
    tr_arena_free(&files->arena);
    memset(files, 0, sizeof *files);
}
