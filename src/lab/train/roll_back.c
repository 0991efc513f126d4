/* Spikes, and the way back: the run goes on from an older checkpoint as if the batches since had never been there.
 *
 * Whatever kills the run in between: the state on disk is one from before the spike, and leads to the same spike and the
 * same way back. */
#include "lab/train/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int64_t tr_run_anchor(const struct tr_run *run)
{
    int64_t every = run->config.save_every;
    return every > 0 ? run->state.step / every * every : 0;
}

bool tr_run_is_spike(const struct tr_run *run, const struct tr_step_result *result, char text[TR_SPIKE_TEXT_BYTES])
{
    const struct tr_run_config *c = &run->config;
    const struct tr_spike_window *seen = &run->state.seen;
    if (c->spike_action == TR_SPIKE_TAKE || !result->finite)
        return false;
    double loss = tr_spike_bar(seen->loss, seen->count, c->spike_window, c->spike_deviations);
    double norm = tr_spike_bar(seen->grad_norm, seen->count, c->spike_window, c->spike_deviations);
    if (!(result->loss > loss) && !(result->grad_norm > norm))
        return false;
    snprintf(text, TR_SPIKE_TEXT_BYTES, "a spike: loss %.4g, gradient norm %.4g, where the last %lld steps allow %.4g, %.4g",
             result->loss, result->grad_norm, (long long)c->spike_window, loss, norm);
    return true;
}

/* The state of the anchor, from which the run goes on with the batch behind the spike's. */
static enum tr_status take_state(struct tr_run *run, const char *anchor, struct tr_err *err)
{
    int64_t next = run->state.step + run->state.passed_over + 1, roll_backs = run->state.roll_backs + 1;
    struct tr_train_state *state = malloc(sizeof *state);
    if (!state)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *state);
    enum tr_status status = TR_OK;
    if (tr_run_leads(run))
        status = tr_checkpoint_read_state(anchor, state, err);
    if (status == TR_OK)
        status = tr_run_tell(run, state, sizeof *state, err);
    if (status == TR_OK)
        status = tr_run_read_state(run, anchor, err);
    if (status == TR_OK) {
        state->config = run->config;
        state->reads_bytes = run->state.reads_bytes;
        state->passed_over = next - state->step;
        state->roll_backs = roll_backs;
        run->state = *state;
        run->saved_at = state->step;
        tr_run_replay_rest(run);
    }
    free(state);
    return status;
}

enum tr_status tr_run_roll_back(struct tr_run *run, const char *why, struct tr_err *err)
{
    char anchor[TR_PATH_BYTES], text[TR_SPIKE_TEXT_BYTES + 160];
    int64_t to = tr_run_anchor(run), from = run->state.step;
    enum tr_status status = tr_run_save_finish(run, err);
    if (status == TR_OK && run->state.roll_backs >= run->config.spike_roll_backs)
        status = tr_fail(err, TR_FAILED, "step %lld: %s; the run went back %lld times already (spike.roll_backs): try a lower "
                         "optimizer.lr", (long long)from + 1, why, (long long)run->state.roll_backs);
    if (status == TR_OK)
        status = tr_checkpoint_path(run->config.out, to, anchor, err);
    if (status == TR_OK && tr_run_leads(run) && (status = tr_checkpoint_verify(anchor, err)) != TR_OK)
        tr_err_prefix(err, "step %lld: %s, and there is no way back", (long long)from + 1, why);
    if (status == TR_OK)
        status = take_state(run, anchor, err);
    if (status != TR_OK)
        return status;
    snprintf(text, sizeof text, "step %lld: %s; back to step %lld, and on with batch %lld", (long long)from + 1, why,
             (long long)to, (long long)(run->state.step + run->state.passed_over));
    tr_progress_note(&run->bar, "%s", text);
    tr_progress_resume(&run->bar, to);
    status = tr_run_note_event(run, "roll_back", text, err);
    if (status == TR_OK && tr_run_leads(run))
        status = tr_checkpoint_remove_later(run->config.out, to, err);
    if (status == TR_OK)
        status = tr_run_folder_drop_later(run, to, err);
    if (status == TR_OK)
        status = tr_run_point_best(run, err);
    return status == TR_OK ? TR_NO : status;
}
