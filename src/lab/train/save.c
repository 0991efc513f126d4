/* When the trainer saves: at once, or by a thread of its own (saver.h), and what follows once a checkpoint is there. */
#include "lab/report/report.h"
#include "lab/train/run.h"

static struct tr_keep keep_of(const struct tr_run *run)
{
    const struct tr_run_config *c = &run->config;
    struct tr_keep keep = {.last = c->keep_last, .every = c->keep_every, .step = {-1, -1, -1}};
    bool best = c->keep_best == TR_BEST_KEEP, anchored = c->spike_action == TR_SPIKE_ROLL_BACK;
    if (best)
        keep.step[0] = run->state.best_step;
    if (anchored)
        keep.step[1] = tr_run_anchor(run);
    if (best && anchored)
        keep.step[2] = run->state.anchor_best_step;
    return keep;
}

/* The checkpoint of `step` is on disk. */
static enum tr_status note_saved(struct tr_run *run, int64_t step, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_err report;
    run->saved_at = step;
    enum tr_status status = tr_checkpoint_path(run->config.out, step, path, err);
    if (status == TR_OK)
        status = tr_run_note_event(run, "save", path, err);
    if (status == TR_OK)
        status = tr_run_point_best(run, err);
    if (status == TR_OK)
        status = tr_run_write_profile(run, err);
    /* The report says what is on disk already; a run does not stop because it could not be drawn. */
    if (status == TR_OK && tr_report_write(run->config.out, &report) != TR_OK)
        tr_progress_note(&run->bar, "no report: %s", report.text);
    return status;
}

static enum tr_status after_write(struct tr_run *run, enum tr_status status, int64_t step, struct tr_err *err)
{
    if (status == TR_OK)
        return note_saved(run, step, err);
    char path[TR_PATH_BYTES];
    struct tr_err ignored;
    bool in_place = tr_checkpoint_path(run->config.out, step, path, &ignored) == TR_OK && tr_folder_exists(path);
    if (run->saved_at >= 0 && !in_place) /* else it was written, and older ones may be gone */
        tr_err_prefix(err, "the checkpoint of step %lld is untouched", (long long)run->saved_at);
    return status;
}

enum tr_status tr_run_save_finish(struct tr_run *run, struct tr_err *err)
{
    enum tr_status status = tr_saver_finish(&run->saver, err);
    return status == TR_NO ? TR_OK : after_write(run, status, run->saver.state.step, err);
}

enum tr_status tr_run_save_poll(struct tr_run *run, struct tr_err *err)
{
    return tr_saver_has_news(&run->saver) ? tr_run_save_finish(run, err) : TR_OK;
}

enum tr_status tr_run_save(struct tr_run *run, struct tr_err *err)
{
    enum tr_status status = tr_run_save_finish(run, err);
    if (status != TR_OK || run->saved_at == run->state.step)
        return status;
    if (tr_run_anchor(run) == run->state.step)
        run->state.anchor_best_step = run->state.best_step;
    if ((status = tr_run_collect(run, err)) != TR_OK)
        return status;
    if (!tr_run_leads(run)) {
        run->saved_at = run->state.step;
        return TR_OK;
    }
    struct tr_keep keep = keep_of(run);
    run->state.config = run->config;
    if (run->config.save_where == TR_SAVE_BACKGROUND)
        return tr_saver_start(&run->saver, run->config.out, &run->model, &run->tensors, &run->state, &keep, err);
    status = tr_checkpoint_write(run->config.out, &run->model, &run->tensors, &run->state, &keep, err);
    return after_write(run, status, run->state.step, err);
}
