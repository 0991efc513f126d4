#include "lab/train/train.h"

#include "base/num.h"
#include "base/quantity.h"
#include "lab/train/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- one step ---------------------------------------------------------------------------------------------------- */

static enum tr_status too_many_skipped(const struct tr_run *run, bool spike, struct tr_err *err)
{
    char saved[TR_QUANTITY_BYTES + 32] = "there is no checkpoint yet";
    if (run->saved_at >= 0)
        snprintf(saved, sizeof saved, "the last checkpoint is of step %lld", (long long)run->saved_at);
    return tr_fail(
        err, TR_FAILED,
        "loss or gradient was %s in %lld steps in a row, the last of them step %lld (%s): try a lower optimizer.lr or a "
        "longer schedule.warmup",
        spike ? "a spike or not finite" : "not finite", (long long)run->state.skipped_in_row, (long long)run->state.step, saved);
}

static enum tr_status note_skip(struct tr_run *run, const struct tr_step_result *result, const char *spike,
                                struct tr_err *err)
{
    char text[TR_SPIKE_TEXT_BYTES + 64];
    if (spike[0])
        snprintf(text, sizeof text, "step %lld left out: %s", (long long)run->state.step, spike);
    else
        snprintf(text, sizeof text, "step %lld left out: loss %g, gradient norm %g are not both finite",
                 (long long)run->state.step, result->loss, result->grad_norm);
    tr_progress_note(&run->bar, "%s", text);
    return tr_run_note_event(run, "skip", text, err);
}

static void note_time(struct tr_run *run, double step_s)
{
    run->last_step_s = step_s;
    run->computed_s += step_s;
    if (run->computed_steps == 1) {
        run->first_s = step_s;
        memcpy(run->first, run->exec.time, sizeof run->first);
    }
    run->state.train_s += step_s;
    if (run->state.step > run->resumed_at + 1) { /* the first step of an attempt wakes threads and caches */
        run->attempt_steps++;
        run->attempt_s += step_s;
    }
}

/* Targets in rows [first, last) of the batch, which other ranks train on. */
static int64_t count_targets(const struct tr_run *run, int64_t batch, int64_t first, int64_t last)
{
    int64_t length = run->config.seq_len, count = 0;
    if (!run->data.apart)
        return (last - first) * length;
    for (int64_t row = first; row < last; row++)
        count += tr_data_batch(&run->data, batch, row, 1, run->row, run->row + length, run->row + 2 * length);
    return count;
}

/* This rank's rows of the batch into its memory; returns how many targets all rows have. */
static int64_t fill_batch(struct tr_run *run, int64_t batch)
{
    const struct tr_program *p = &run->program;
    int32_t *tokens = tr_exec_buffer(&run->exec, p->tokens), *goals = tr_exec_buffer(&run->exec, p->targets);
    int32_t *starts = run->data.apart ? tr_exec_buffer(&run->exec, p->starts) : NULL;
    int64_t rows = run->config.batch / run->config.lanes, targets = 0;
    for (int32_t lane = 0; lane < run->config.lanes; lane++) {
        int64_t own = tr_lanes_find(&p->lanes, lane), at = own * rows * p->seq_len;
        if (own < 0)
            targets += count_targets(run, batch, lane * rows, (lane + 1) * rows);
        else
            targets += tr_data_batch(&run->data, batch, lane * rows, rows, tokens + at, goals + at, starts ? starts + at : NULL);
    }
    return targets;
}

/* Loss and gradient of the step's batch, and the optimiser's scalars. */
static struct tr_step_result gradients(struct tr_run *run, double lr)
{
    const struct tr_train_state *s = &run->state;
    const struct tr_run_config *c = &run->config;
    int64_t batch = s->step + s->passed_over, targets = fill_batch(run, batch);
    struct tr_hyper hyper = {.lr = lr, .beta1 = c->beta1, .beta2 = c->beta2,
                             .eps = c->eps, .weight_decay = c->weight_decay, .clip_norm = c->clip,
                             .momentum = c->momentum};
    tr_exec_set_hyper(&run->exec, &hyper, s->step + 1);
    /* Where every token of a batch ends a document there is nothing to learn: loss and gradient are 0. */
    struct tr_step_result result = tr_exec_gradients(&run->exec, tr_max_i64(targets, 1));
    if (run->options->fault)
        run->options->fault(run->options->fault_context, &run->exec, batch, &result);
    return result;
}

enum tr_status tr_run_compute(struct tr_run *run, double lr, struct tr_outcome *outcome, struct tr_err *err)
{
    struct tr_outcome o = {.result = gradients(run, lr)};
    enum tr_status status = tr_exec_failed(&run->exec, err);
    if (status != TR_OK)
        return status;
    o.taken = o.result.finite && !tr_run_is_spike(run, &o.result, o.spike);
    status = tr_run_replay_watch(run, err);
    if (status == TR_OK && o.taken)
        tr_exec_update(&run->exec);
    if (status == TR_OK)
        status = tr_exec_failed(&run->exec, err);
    *outcome = o;
    return status;
}

/* What a rank waits for is timed around a call, what collectives take is timed inside it: they took at least as long as they were
 * waited for. */
static void note_collectives(struct tr_run *run, struct tr_coll_times before)
{
    struct tr_coll_times now = tr_exec_coll_times(&run->exec);
    double exposed_s = now.exposed_s - before.exposed_s;
    run->step_coll = (struct tr_coll_times){fmax(now.busy_s - before.busy_s, exposed_s), exposed_s};
    run->coll.busy_s += run->step_coll.busy_s;
    run->coll.exposed_s += run->step_coll.exposed_s;
}

/* How long this rank has been short of a core until now. */
struct shortage {
    double fewer_s;  /* operations had fewer threads than are wanted */
    double waited_s; /* the thread that does the step was ready and had no core */
};

static struct shortage shortage_of(const struct tr_run *run)
{
    return (struct shortage){run->exec.crowded_s, tr_thread_waited_s()};
}

/* What the thread may have waited for others of the run, which says nothing of other programs: for threads of ranks where the host has
 * fewer cores than they are, for one that moves bytes beside its operations, for one that saves. */
static double waited_for_own_s(const struct tr_run *run, double step_s)
{
    bool cores_for_all = (int64_t)run->machine.threads * run->host_ranks <= run->host_cores;
    return cores_for_all && run->saver.phase == TR_SAVE_NONE ? run->step_coll.busy_s - run->step_coll.exposed_s : step_s;
}

/* Where there were fewer threads that time is short as a whole, what they waited in it too. */
static void note_shortage(struct tr_run *run, struct shortage before, double step_s)
{
    struct shortage now = shortage_of(run);
    double waited_s = now.waited_s - before.waited_s - waited_for_own_s(run, step_s);
    double crowded_s = fmin(step_s, fmax(now.fewer_s - before.fewer_s, fmax(0, waited_s)));
    run->crowded_s += crowded_s;
    run->step_crowded = crowded_s / step_s;
}

/* TR_NO: instead of being done the step sent the run back. */
static enum tr_status one_step(struct tr_run *run, struct tr_err *err)
{
    struct tr_train_state *s = &run->state;
    const struct tr_run_config *c = &run->config;
    struct tr_schedule schedule = tr_run_schedule(c);
    enum tr_status status = tr_run_trace_begin(run, err);
    if (status != TR_OK)
        return status;
    double begin_s = tr_clock_s(), lr = tr_schedule_lr(&schedule, s->step);
    struct tr_outcome o;
    int64_t sent_before = tr_run_sent_bytes(run);
    struct tr_coll_times coll_before = tr_exec_coll_times(&run->exec);
    struct shortage shortage_before = shortage_of(run);
    if (run->world)
        tr_comm_set_step(run->world, s->step + 1);
    status = tr_run_replay_step(run, lr, &o, err);
    if (status != TR_OK)
        return status;
    if (o.spike[0] && c->spike_action == TR_SPIKE_ROLL_BACK && tr_run_anchor(run) > 0) {
        tr_run_trace_end(run);
        return tr_run_roll_back(run, o.spike, err);
    }
    if (o.taken && c->spike_action != TR_SPIKE_TAKE)
        tr_spike_note(&s->seen, c->spike_window, o.result.loss, o.result.grad_norm);
    tr_run_replay_rest(run);
    run->computed_steps++;
    run->sent_bytes += tr_run_sent_bytes(run) - sent_before;
    note_collectives(run, coll_before);
    s->step++;
    s->tokens += tr_run_step_tokens(run);
    s->loss = o.result.loss;
    s->skipped += !o.taken;
    s->skipped_in_row = o.taken ? 0 : s->skipped_in_row + 1;
    double step_s = tr_clock_s() - begin_s;
    note_time(run, step_s);
    note_shortage(run, shortage_before, step_s);
    tr_run_trace_end(run);
    status = tr_run_note_step(run, &o.result, lr, !o.taken, err);
    if (status == TR_OK)
        status = tr_run_pace(run, run->last_step_s, err);
    if (status == TR_OK && !o.taken)
        status = note_skip(run, &o.result, o.spike, err);
    if (status != TR_OK || s->skipped_in_row < c->max_skipped)
        return status;
    status = tr_run_save_finish(run, err); /* the save that is under way, as long as ranks speak to each other */
    return status == TR_OK ? tr_run_alike(run, too_many_skipped(run, o.spike[0] != 0, err), err) : status;
}

/* ---- between steps ----------------------------------------------------------------------------------------------- */

static bool out_of_patience(const struct tr_run *run)
{
    return run->config.eval_patience > 0 && run->state.evals_since_best >= run->config.eval_patience;
}

static bool ended(const struct tr_run *run)
{
    return run->state.step == run->config.steps || out_of_patience(run);
}

static bool due(const struct tr_run *run, int64_t every)
{
    return ended(run) || (every > 0 && run->state.step % every == 0);
}

/* The state says all of it, so a run that is resumed after its end finds itself ended. */
static enum tr_status note_early_stop(struct tr_run *run, struct tr_err *err)
{
    char text[160];
    snprintf(text, sizeof text, "validation loss has not fallen in %lld evaluations: the lowest was %.4f, of step %lld",
             (long long)run->state.evals_since_best, run->state.best_val_loss, (long long)run->state.best_step);
    tr_progress_note(&run->bar, "%s", text);
    return tr_run_note_event(run, "early_stop", text, err);
}

static enum tr_status interrupted(struct tr_run *run, struct tr_err *err)
{
    const char *name = tr_signal_name(run->world ? run->stop_seen : *run->options->stop);
    if (run->state.step == 0)
        return tr_run_alike(run, tr_fail(err, TR_FAILED, "interrupted by %s before the first step: there was nothing to save",
                                         name), err);
    enum tr_status status = tr_run_save(run, err);
    if (status == TR_OK)
        status = tr_run_save_finish(run, err);
    if (status == TR_OK)
        status = tr_run_note_event(run, "interrupt", name, err);
    if (status != TR_OK)
        return status;
    status = tr_fail(
        err, TR_FAILED,
        "interrupted by %s after step %lld of %lld, which is saved in %s: the same command goes on from there", name,
        (long long)run->state.step, (long long)run->config.steps, run->config.out);
    return tr_run_alike(run, status, err); /* no rank says so before it is saved */
}

static void note_aside(struct tr_run *run, enum tr_aside which, double begin_s)
{
    run->aside[which].time_s += tr_clock_s() - begin_s;
    run->aside[which].count++;
}

/* Before the first step, after steps, and at resume when the interrupt fell into an evaluation: whether and when the
 * run stops early must not depend on interrupts. */
static enum tr_status evaluate_if_due(struct tr_run *run, struct tr_err *err)
{
    const struct tr_run_config *c = &run->config;
    if (c->eval_every == 0 || run->state.eval_step == run->state.step || !due(run, c->eval_every))
        return TR_OK;
    double begin_s = tr_clock_s();
    enum tr_status status = tr_run_evaluate(run, err);
    note_aside(run, TR_ASIDE_EVALUATION, begin_s);
    if (status == TR_OK && out_of_patience(run))
        status = note_early_stop(run, err);
    return status;
}

static enum tr_status sample_if_due(struct tr_run *run, struct tr_err *err)
{
    const struct tr_run_config *c = &run->config;
    if (c->sample_tokens == 0 || !due(run, c->sample_every) || tr_run_stopped(run))
        return TR_OK;
    double begin_s = tr_clock_s();
    enum tr_status status = tr_run_sample(run, err);
    note_aside(run, TR_ASIDE_SAMPLE, begin_s);
    return status;
}

static enum tr_status save_if_due(struct tr_run *run, struct tr_err *err)
{
    const struct tr_run_config *c = &run->config;
    bool best = c->keep_best == TR_BEST_KEEP && run->state.best_step == run->state.step;
    if (!best && !due(run, c->save_every))
        return TR_OK;
    double begin_s = tr_clock_s();
    enum tr_status status = tr_run_save(run, err);
    note_aside(run, TR_ASIDE_SAVE, begin_s);
    return status;
}

static enum tr_status after_step(struct tr_run *run, struct tr_err *err)
{
    enum tr_status status = evaluate_if_due(run, err);
    if (status == TR_OK)
        status = sample_if_due(run, err);
    if (status == TR_OK)
        status = save_if_due(run, err);
    if (status == TR_OK && !ended(run) && tr_run_stopped(run))
        status = interrupted(run, err);
    return status;
}

static enum tr_status loop(struct tr_run *run, struct tr_err *err)
{
    tr_run_replay_rest(run);
    enum tr_status status = tr_run_look_for_stop(run, err);
    if (status == TR_OK)
        status = evaluate_if_due(run, err);
    if (status == TR_OK)
        status = tr_run_point_best(run, err);
    if (status == TR_OK && !ended(run) && tr_run_stopped(run))
        return interrupted(run, err);
    while (status == TR_OK && !ended(run)) {
        status = one_step(run, err);
        if (status == TR_OK)
            status = tr_run_look_for_stop(run, err);
        if (status == TR_OK)
            status = after_step(run, err);
        if (status == TR_NO)
            status = TR_OK;
        if (status == TR_OK)
            status = tr_run_save_poll(run, err);
        tr_run_look_at_hand(run);
    }
    return status == TR_OK ? tr_run_save_finish(run, err) : status;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* Each rank writes its shard of a checkpoint into the folder that the lead has made. */
static enum tr_status see_folder(struct tr_run *run, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    if (!tr_folder_exists(run->config.out))
        status = tr_fail(err, TR_BAD_INPUT, "run.out %s: rank 0 has made this folder, and it is not there for this rank: it must be on "
                         "a file system that all hosts share", run->config.out);
    return tr_run_alike(run, status, err);
}

static enum tr_status begin(struct tr_run *run, struct tr_err *err)
{
    char checkpoint[TR_PATH_BYTES], text[TR_PATH_BYTES + 64] = "from the beginning";
    enum tr_status status = tr_run_leads(run) ? tr_run_folder_open(run, err) : TR_OK;
    if (status == TR_OK)
        status = tr_run_choose_start(run, checkpoint, err);
    if (status == TR_OK)
        status = see_folder(run, err);
    if (status == TR_OK)
        status = tr_run_open_memory(run, err);
    if (status == TR_OK)
        status = tr_run_load(run, checkpoint, err);
    if (status == TR_OK)
        status = tr_run_folder_begin(run, err);
    if (status == TR_OK)
        status = tr_run_trace_open(run, err);
    if (status != TR_OK)
        return status;
    tr_run_say_plan(run);
    if (checkpoint[0]) {
        snprintf(text, sizeof text, "from %s", checkpoint);
        tr_progress_resume(&run->bar, run->state.step);
        tr_progress_note(&run->bar, "resumed %s", text);
    }
    return tr_run_note_event(run, checkpoint[0] ? "resume" : "start", text, err);
}

static enum tr_status run_all(struct tr_run *run, const struct tr_run_config *config, struct tr_train_result *result,
                              struct tr_err *err)
{
    struct tr_err ignored;
    enum tr_status status = tr_run_prepare(run, config, err);
    if (status == TR_OK)
        status = tr_run_alike(run, tr_run_open_data(run, err), err);
    if (status == TR_OK)
        status = tr_run_agree_text(run, err);
    if (status != TR_OK)
        return status;
    run->peak_flop_s = run->options->peak_flop_s;
    if (run->peak_flop_s == 0 && tr_run_leads(run))
        tr_run_measure_peaks(run);
    tr_progress_start(&run->bar, tr_run_leads(run) ? run->options->log : NULL, "train", "step", run->config.steps);
    if (run->options->dry_run) {
        tr_run_say_plan(run);
        return TR_OK;
    }
    status = begin(run, err);
    if (status != TR_OK) {
        tr_run_folder_forget(run);
        return status;
    }
    run->begin_s = tr_clock_s();
    status = loop(run, err);
    if (status == TR_OK)
        run->wall_s = tr_clock_s() - run->begin_s;
    if (status == TR_OK)
        status = tr_run_note_event(run, "finish", run->config.out, err);
    else if (!tr_run_stopped(run) && tr_run_note_event(run, "fail", err->text, &ignored) != TR_OK)
        tr_progress_note(&run->bar, "not noted in the run folder: %s", ignored.text);
    if (run->bar.terminal) /* a log has its lines already */
        tr_progress_end(&run->bar);
    return status == TR_OK ? tr_run_hash(run, result->hash, err) : status;
}

static void fill_sent(const struct tr_run *run, struct tr_train_result *result)
{
    int64_t by_kind[TR_COLL_KIND_COUNT];
    result->sent_planned_bytes = tr_program_sent_bytes(&run->program, by_kind);
    result->sent_steps = run->computed_steps;
    result->sent_bytes = run->sent_bytes;
    result->coll = run->coll;
}

static void fill_pipe(const struct tr_run *run, struct tr_train_result *result)
{
    result->stages = run->program.pipe.stages;
    result->chunks = run->program.pipe.chunks;
    result->bubble_planned = tr_pipe_bubble(run->program.pipe, tr_program_micros(&run->program));
    result->bubble = tr_run_bubble(run);
}

static void fill_result(struct tr_run *run, struct tr_train_result *result)
{
    struct tr_err ignored;
    result->state = run->state;
    result->state.config = run->config;
    strcpy(result->run_folder, run->config.out);
    if (run->saved_at < 0 ||
        tr_checkpoint_path(run->config.out, run->saved_at, result->checkpoint, &ignored) != TR_OK)
        result->checkpoint[0] = 0;
    result->resumed_at = run->resumed_at;
    if (run->has_program) {
        result->parameters = run->program.weights.element_count;
        result->memory_planned_bytes = tr_program_memory_bytes(&run->program);
        fill_pipe(run, result);
    }
    result->ranks = tr_run_ranks(run);
    result->layout = run->options->layout;
    result->layers = run->model.layers;
    if (run->has_program && run->world)
        fill_sent(run, result);
    result->memory_peak_bytes = tr_memory_peak_bytes();
    double tokens = (double)run->attempt_steps * (double)tr_run_step_tokens(run);
    result->tok_s = run->attempt_s > 0 ? tokens / run->attempt_s : NAN;
    result->wall_s = run->wall_s;
    result->mfu = tr_run_mfu(run, tokens, run->attempt_s);
    result->peak_flop_s = run->peak_flop_s;
    result->last_sample = run->sample;
    result->corrected = run->replay.corrected;
}

static void close_run(struct tr_run *run)
{
    tr_run_trace_write(run);
    tr_saver_close(&run->saver);
    tr_copy_close(&run->replay.copy);
    tr_run_spread_close(run);
    tr_writers_free(&run->writers);
    if (run->has_exec)
        tr_exec_close(&run->exec);
    if (run->has_program)
        tr_program_free(&run->program);
    tr_data_close(&run->data);
    tr_token_free(run->token);
    tr_manner_free(&run->manner);
    tr_lock_drop(&run->lock);
    tr_arena_free(&run->arena);
    tr_text_free(&run->line);
}

static enum tr_status train_rank(struct tr_comm *world, const struct tr_run_config *config,
                                 const struct tr_train_options *options, struct tr_train_result *result, struct tr_err *err)
{
    struct tr_run *run = calloc(1, sizeof *run);
    if (!run)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *run);
    run->options = options;
    run->attempt = (int64_t)(tr_wall_s() * 1e6);
    run->world = world;
    run->saved_at = -1;
    tr_arena_init(&run->arena, "run", (int64_t)64 << 20);
    enum tr_status status = tr_run_ranks_begin(run, err);
    if (status == TR_OK)
        status = run_all(run, config, result, err);
    if (status != TR_OK && world) /* before anything is closed that others would wait for */
        tr_comm_fail(world, status, err);
    fill_result(run, result);
    close_run(run);
    free(run);
    return status;
}

/* What the ranks of one process have in common. */
struct job {
    const struct tr_run_config *config;
    const struct tr_train_options *options;
    struct tr_train_result *result; /* the lead's */
};

static enum tr_status rank_main(struct tr_comm *world, void *user, struct tr_err *err)
{
    const struct job *job = user;
    if (tr_comm_index(world) == 0)
        return train_rank(world, job->config, job->options, job->result, err);
    struct tr_train_result *result = calloc(1, sizeof *result);
    if (!result)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *result);
    enum tr_status status = train_rank(world, job->config, job->options, result, err);
    free(result);
    return status;
}

enum tr_status tr_train(const struct tr_run_config *config, const struct tr_train_options *options,
                        struct tr_train_result *result, struct tr_err *err)
{
    int64_t ranks = tr_degrees_ranks(&options->layout);
    struct tr_comm_config waiting = {.timeout_s = options->timeout_s};
    struct job job = {config, options, result};
    *result = (struct tr_train_result){0};
    TR_ASSERT(!options->world || tr_comm_count(options->world) == ranks);
    if (ranks > 1 && config->replay_every > 0)
        return tr_fail(err, TR_BAD_INPUT, "replay.every %lld: a step is computed twice on one rank only, and the layout has "
                       "%lld: give replay.every 0", (long long)config->replay_every, (long long)ranks);
    if (options->world || ranks == 1)
        return train_rank(options->world, config, options, result, err);
    if (ranks > TR_RANKS_THREADS_MAX)
        return tr_fail(err, TR_BAD_INPUT, "a layout of %lld ranks: threads of one process may be 1 to %d", (long long)ranks,
                       TR_RANKS_THREADS_MAX);
    return tr_ranks_run((int)ranks, &waiting, rank_main, &job, err);
}
