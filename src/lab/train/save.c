/* A save: each rank writes its shard of the state side by side, and when all have, the lead writes the other files and gives the
 * checkpoint its name. At once, or by threads of their own while training goes on (saver.h): then the ranks ask each other after each
 * step how far it has come, so that all of them go on with it after the same step. */
#include "base/num.h"
#include "lab/report/report.h"
#include "lab/train/run.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

/* A copy is made where training goes on meanwhile, and where no rank has tensors as a whole. */
static bool copies(const struct tr_run_config *config, const struct tr_program *program)
{
    return config->save_where == TR_SAVE_BACKGROUND || !tr_program_is_whole(program);
}

int64_t tr_run_save_bytes(const struct tr_run_config *config, const struct tr_program *program)
{
    struct tr_writers writers;
    struct tr_err ignored;
    if (!copies(config, program))
        return 0;
    if (tr_writers_make(&writers, program, &ignored) != TR_OK)
        return INT64_MAX;
    int64_t bytes = tr_copy_bytes(&writers.sharding, writers.shard);
    tr_writers_free(&writers);
    return bytes;
}

enum tr_status tr_run_save_open(struct tr_run *run, struct tr_err *err)
{
    return tr_saver_open(&run->saver, &run->writers, copies(&run->config, &run->program), tr_run_leads(run), err);
}

/* ---- what is written: on the saver's thread, so nothing here may speak to other ranks ---------------------------- */

static enum tr_status nothing(struct tr_saver *saver, struct tr_err *err)
{
    (void)saver;
    (void)err;
    return TR_OK;
}

static enum tr_status write_into(struct tr_saver *s, struct tr_file_sum *sums, struct tr_err *err)
{
    enum tr_status status = tr_checkpoint_write_shard(s->folder, &s->tensors, &s->writers->sharding, s->writers->shard, sums, err);
    if (status != TR_OK)
        tr_err_prefix(err, "the checkpoint of step %lld was not written", (long long)s->state.step);
    return status;
}

static enum tr_status write_shard(struct tr_saver *s, struct tr_err *err) { return write_into(s, s->sums, err); }

static enum tr_status write_rest(struct tr_saver *s, struct tr_err *err)
{
    const struct tr_checkpoint_out out = {.run_folder = s->run_folder, .folder = s->folder, .model = s->model, .state = &s->state};
    return tr_checkpoint_finish(&out, &s->writers->sharding, s->all, &s->keep, err);
}

/* One rank alone need not ask others. */
static enum tr_status write_all(struct tr_saver *s, struct tr_err *err)
{
    enum tr_status status = write_into(s, s->all, err);
    return status == TR_OK ? write_rest(s, err) : status;
}

/* ---- how it goes on ---------------------------------------------------------------------------------------------- */

/* The checkpoint of `step` is on disk. */
static enum tr_status note_saved(struct tr_run *run, int64_t step, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_err report;
    run->saved_at = step;
    enum tr_status status = tr_run_collect_ops(run, err);
    if (status != TR_OK || !tr_run_leads(run))
        return status;
    status = tr_checkpoint_path(run->config.out, step, path, err);
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

/* It was not saved, or older ones were not removed: what is still there. */
static void say_what_is_left(const struct tr_run *run, int64_t step, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_err ignored;
    bool in_place = tr_checkpoint_path(run->config.out, step, path, &ignored) == TR_OK && tr_folder_exists(path);
    if (run->saved_at >= 0 && !in_place) /* else it was written, and older ones may be gone */
        tr_err_prefix(err, "the checkpoint of step %lld is untouched", (long long)run->saved_at);
}

/* To the lead the sums of all shards. */
static enum tr_status collect_sums(struct tr_run *run, struct tr_err *err)
{
    const struct tr_sharding *sharding = &run->writers.sharding;
    for (int rank = 0, shard = 0; rank < tr_run_ranks(run); rank++) {
        bool has = shard < sharding->count && run->writers.rank[shard] == rank;
        run->bytes_at[rank + 1] = (rank ? run->bytes_at[rank] : 0) +
                                  (has ? tr_shard_sums(sharding, shard++) * (int64_t)sizeof *run->saver.sums : 0);
    }
    run->bytes_at[0] = 0;
    return tr_gather(run->world, 0, run->saver.sums, run->saver.all, run->bytes_at, err);
}

static bool in_background(const struct tr_run *run) { return run->config.save_where == TR_SAVE_BACKGROUND; }

/* The work of this phase is done, or is waited for: how it went on all ranks, and the next phase. */
static enum tr_status advance(struct tr_run *run, struct tr_err *err)
{
    struct tr_saver *s = &run->saver;
    struct tr_err ignored;
    bool shards = s->phase == TR_SAVE_SHARDS;
    s->phase = TR_SAVE_NONE;
    enum tr_status status = tr_saver_wait(s, err);
    if (status != TR_OK)
        say_what_is_left(run, s->state.step, err);
    status = tr_run_alike(run, status, err);
    if (!shards || status != TR_OK) {
        if (status != TR_OK && tr_run_leads(run) && tr_folder_remove(s->folder, &ignored) != TR_OK)
            tr_progress_note(&run->bar, "left over: %s", ignored.text);
        return status == TR_OK ? note_saved(run, s->state.step, err) : status;
    }
    if ((status = collect_sums(run, err)) != TR_OK)
        return status;
    s->phase = TR_SAVE_REST;
    tr_saver_work(s, tr_run_leads(run) ? write_rest : nothing, in_background(run));
    return TR_OK;
}

enum tr_status tr_run_save_finish(struct tr_run *run, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    while (run->saver.phase != TR_SAVE_NONE && status == TR_OK)
        status = advance(run, err);
    return status;
}

enum tr_status tr_run_save_poll(struct tr_run *run, struct tr_err *err)
{
    bool done;
    if (run->saver.phase == TR_SAVE_NONE)
        return TR_OK;
    enum tr_status status = tr_run_all(run, tr_saver_is_done(&run->saver), &done, err);
    return status == TR_OK && done ? advance(run, err) : status;
}

/* ---- how it begins ----------------------------------------------------------------------------------------------- */

/* The folder that all write into. Its name is this attempt's: a rank of one before, which was thought dead, writes elsewhere. */
static enum tr_status begin(struct tr_run *run, struct tr_err *err)
{
    struct tr_saver *s = &run->saver;
    char attempt[16] = "";
    enum tr_status status = TR_OK;
    if (run->world)
        snprintf(attempt, sizeof attempt, ".%08x", (unsigned)(uint64_t)(tr_wall_s() * 1e6) ^ (unsigned)getpid());
    if (tr_run_leads(run)) {
        status = tr_checkpoint_begin(run->config.out, s->state.step, attempt, s->folder, err);
        if (status != TR_OK) {
            tr_checkpoint_give_up(s->folder, s->state.step, err);
            say_what_is_left(run, s->state.step, err);
        }
    }
    status = tr_run_alike(run, status, err);
    return status == TR_OK ? tr_run_tell(run, s->folder, sizeof s->folder, err) : status;
}

enum tr_status tr_run_save(struct tr_run *run, struct tr_err *err)
{
    struct tr_saver *s = &run->saver;
    enum tr_status status = tr_run_save_finish(run, err);
    if (status != TR_OK || run->saved_at == run->state.step)
        return status;
    if (tr_run_anchor(run) == run->state.step)
        run->state.anchor_best_step = run->state.best_step;
    if (s->copies && (status = tr_run_snapshot(run, &s->copy, err)) != TR_OK)
        return status;
    s->tensors = s->copies ? s->copy.tensors : run->tensors;
    s->model = &run->model;
    s->state = run->state;
    s->state.config = run->config;
    s->keep = keep_of(run);
    strcpy(s->run_folder, run->config.out);
    if ((status = begin(run, err)) != TR_OK)
        return status;
    s->phase = run->world ? TR_SAVE_SHARDS : TR_SAVE_REST;
    tr_saver_work(s, !run->world ? write_all : run->writers.shard >= 0 ? write_shard : nothing, in_background(run));
    return in_background(run) ? TR_OK : tr_run_save_finish(run, err);
}
