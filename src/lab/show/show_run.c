#include "base/json.h"
#include "base/plot.h"
#include "base/quantity.h"
#include "base/table.h"
#include "lab/exchange/exchange.h"
#include "lab/report/run_files.h"
#include "lab/show/show.h"
#include "lab/train/checkpoint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PLOT_COLUMNS = 64, PLOT_ROWS = 12 };

/* A run folder, read. */
struct folder {
    const char *path;
    struct tr_run_files files;
    struct tr_arena arena;
    int64_t *steps, step_count; /* of the checkpoints */
    struct tr_train_state *state; /* of the newest checkpoint whose state can be read; NULL: none */
    struct tr_model_config model; /* of the same */
};

static enum tr_status read_newest(struct folder *folder, struct tr_err *err)
{
    struct tr_train_state *state = malloc(sizeof *state);
    if (!state)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *state);
    for (int64_t i = folder->step_count - 1; i >= 0; i--) {
        char path[TR_PATH_BYTES];
        struct tr_err ignored;
        if (tr_checkpoint_path(folder->path, folder->steps[i], path, &ignored) == TR_OK &&
            tr_checkpoint_read_state(path, state, &ignored) == TR_OK &&
            tr_checkpoint_read_model(path, &folder->model, &ignored) == TR_OK) {
            folder->state = state;
            return TR_OK;
        }
    }
    free(state);
    return TR_OK;
}

static enum tr_status folder_read(struct folder *folder, const char *path, struct tr_err *err)
{
    *folder = (struct folder){.path = path};
    tr_arena_init(&folder->arena, "list of checkpoints", (int64_t)256 << 20);
    enum tr_status status = tr_run_files_read(&folder->files, path, err);
    if (status != TR_OK)
        return status;
    status = tr_checkpoint_list(path, &folder->arena, &folder->steps, &folder->step_count, err);
    return status == TR_OK ? read_newest(folder, err) : status;
}

static void folder_free(struct folder *folder)
{
    tr_run_files_free(&folder->files);
    tr_arena_free(&folder->arena);
    free(folder->state);
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

static double last_of(const double *values, int64_t count) { return count ? values[count - 1] : (double)NAN; }

static void write_progress(const struct folder *folder, struct tr_text *out)
{
    const struct tr_run_files *f = &folder->files;
    char a[TR_QUANTITY_BYTES], b[TR_QUANTITY_BYTES];
    tr_text_printf(out, "run         %s", folder->path);
    if (folder->state)
        tr_text_printf(out, ": %s on %s", folder->model.name, folder->state->config.data);
    if (f->step_count)
        tr_text_printf(out, "\nsteps       %.0f of %.0f, %s tokens, last loss %.4f, %s tok/s",
                       last_of(f->step, f->step_count), f->steps_planned,
                       tr_print_quantity(a, TR_UNIT_COUNT, f->tokens),
                       last_of(f->value[TR_CURVE_LOSS], f->step_count),
                       tr_print_quantity(b, TR_UNIT_COUNT, last_of(f->value[TR_CURVE_TOK_S], f->step_count)));
    if (f->skipped > 0)
        tr_text_printf(out, ", %.0f left out", f->skipped);
    if (f->step_count && f->eta_s > 0)
        tr_text_printf(out, "; %s to go at this rate", tr_print_clock(a, f->eta_s));
    if (f->eval_count)
        tr_text_printf(out, "\nvalidation  loss %.4f, %.4f bits per byte after step %.0f",
                       last_of(f->eval[TR_EVAL_LOSS], f->eval_count), last_of(f->eval[TR_EVAL_BPB], f->eval_count),
                       last_of(f->eval_step, f->eval_count));
    if (folder->state && folder->state->best_step >= 0)
        tr_text_printf(out, " (lowest %.4f, of step %lld)", folder->state->best_val_loss,
                       (long long)folder->state->best_step);
    tr_text_char(out, '\n');
}

static void write_curve(const char *name, const double *x, const double *y, int64_t count, struct tr_text *out)
{
    if (count < 2)
        return;
    tr_text_printf(out, "\n%s\n", name);
    tr_plot_curve(x, y, count, PLOT_COLUMNS, PLOT_ROWS, out);
}

static bool is_best(const struct folder *folder, int64_t step)
{
    char link[TR_PATH_BYTES], name[64] = "", path[TR_PATH_BYTES];
    struct tr_err ignored;
    if (tr_path_join(link, folder->path, "best", &ignored) != TR_OK ||
        tr_checkpoint_path(folder->path, step, path, &ignored) != TR_OK)
        return false;
    ssize_t length = readlink(link, name, sizeof name - 1);
    return length > 0 && strcmp(name, strrchr(path, '/') + 1) == 0;
}

static void write_checkpoints(const struct folder *folder, struct tr_text *out)
{
    struct tr_table table = {0};
    if (folder->step_count == 0) {
        tr_text_printf(out, "\nno checkpoint yet\n");
        return;
    }
    tr_table_column(&table, "checkpoint", TR_LEFT);
    tr_table_column(&table, "validation loss", TR_RIGHT);
    tr_table_column(&table, "", TR_LEFT);
    struct tr_train_state *state = malloc(sizeof *state);
    for (int64_t i = 0; i < folder->step_count && state; i++) {
        char path[TR_PATH_BYTES];
        struct tr_err why;
        bool good = tr_checkpoint_path(folder->path, folder->steps[i], path, &why) == TR_OK &&
                    tr_checkpoint_read_state(path, state, &why) == TR_OK;
        tr_table_cell(&table, "%s", path);
        if (good && state->eval_step == state->step && !isnan(state->val_loss))
            tr_table_cell(&table, "%.4f", state->val_loss);
        else
            tr_table_cell(&table, "%s", "");
        tr_table_cell(&table, "%s", !good ? why.text : is_best(folder, folder->steps[i]) ? "best" : "");
    }
    free(state);
    tr_text_char(out, '\n');
    tr_table_text(&table, out);
    tr_table_free(&table);
}

static void write_text(const struct folder *folder, bool brief, struct tr_text *out)
{
    const struct tr_run_files *f = &folder->files;
    write_progress(folder, out);
    if (brief)
        return;
    write_curve("training loss", f->step, f->value[TR_CURVE_LOSS], f->step_count, out);
    write_curve("validation loss", f->eval_step, f->eval[TR_EVAL_LOSS], f->eval_count, out);
    write_checkpoints(folder, out);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void write_json(const struct folder *folder, struct tr_text *out)
{
    const struct tr_run_files *f = &folder->files;
    struct tr_json json = tr_json_start(out, TR_JSON_LINE);
    tr_json_object(&json, NULL);
    tr_json_string(&json, "run", folder->path);
    if (folder->state) {
        tr_json_string(&json, "model", folder->model.name);
        tr_json_string(&json, "arithmetic", folder->state->arithmetic);
        tr_json_int(&json, "best_step", folder->state->best_step);
        tr_json_double(&json, "best_val_loss", folder->state->best_val_loss);
    }
    tr_json_double(&json, "step", last_of(f->step, f->step_count));
    tr_json_double(&json, "steps", f->steps_planned);
    tr_json_double(&json, "tokens", f->tokens);
    tr_json_double(&json, "eta_s", f->step_count ? f->eta_s : (double)NAN);
    tr_json_double(&json, "loss", last_of(f->value[TR_CURVE_LOSS], f->step_count));
    tr_json_double(&json, "val_loss", last_of(f->eval[TR_EVAL_LOSS], f->eval_count));
    tr_json_double(&json, "val_bpb", last_of(f->eval[TR_EVAL_BPB], f->eval_count));
    tr_json_array(&json, "checkpoints");
    for (int64_t i = 0; i < folder->step_count; i++)
        tr_json_int(&json, NULL, folder->steps[i]);
    tr_json_end(&json);
    tr_json_end(&json);
    tr_text_char(out, '\n');
}

enum tr_status tr_show_run(const char *run_folder, const struct tr_show_options *options, struct tr_text *out,
                           struct tr_err *err)
{
    struct folder folder;
    enum tr_status status = folder_read(&folder, run_folder, err);
    if (status == TR_OK && options->json)
        write_json(&folder, out);
    else if (status == TR_OK)
        write_text(&folder, options->brief, out);
    folder_free(&folder);
    if (status != TR_OK)
        return status;
    return tr_text_failed(out, err) ? TR_FAILED : TR_OK;
}

/* ---- which of them ----------------------------------------------------------------------------------------------- */

static bool holds(const char *folder, const char *file)
{
    char path[TR_PATH_BYTES];
    struct tr_err ignored;
    return tr_path_join(path, folder, file, &ignored) == TR_OK && tr_file_exists(path);
}

static enum tr_status model_of_gguf(const char *path, struct tr_model_config *model, struct tr_err *err)
{
    struct tr_import import;
    enum tr_status status = tr_import_open(&import, path, err);
    if (status != TR_OK)
        return status;
    *model = import.model;
    tr_import_close(&import);
    return TR_OK;
}

enum tr_status tr_show(const char *what, const struct tr_show_options *options, struct tr_text *out,
                       struct tr_err *err)
{
    struct tr_model_config model;
    if (holds(what, "metrics.jsonl"))
        return tr_show_run(what, options, out, err);
    enum tr_status status =
        tr_import_is_gguf(what) ? model_of_gguf(what, &model, err) : tr_model_config_find(&model, what, err);
    return status == TR_OK ? tr_show_model(&model, options, out, err) : status;
}
