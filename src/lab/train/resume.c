/* Where a run begins: at step 0, or at a checkpoint that belongs to it. */
#include "lab/train/origin.h"
#include "lab/train/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum tr_status refuse_other_run(const struct tr_run *run, const char *checkpoint, const char *what,
                                       const char *its, const char *ours, struct tr_err *err)
{
    (void)run;
    return tr_fail(err, TR_BAD_INPUT,
                   "%s: was made with %s %s, this run has %s: it is another run, so give it another run.out",
                   checkpoint, what, its, ours);
}

/* What differs between the checkpoint's config and ours: refused, noted or of no matter. */
static enum tr_status compare_configs(struct tr_run *run, const char *checkpoint, const struct tr_train_state *state,
                                      struct tr_err *err)
{
    struct tr_text its = {0}, ours = {0}, note = {0};
    int count, at = -1;
    const struct tr_run_key *keys = tr_run_keys(&count);
    enum tr_status status = TR_OK;
    while (status == TR_OK &&
           (at = tr_run_config_difference(&state->config, &run->config, at + 1, &its, &ours)) >= 0) {
        if (keys[at].effect == TR_KEY_FIXED)
            status = refuse_other_run(run, checkpoint, keys[at].name, tr_text_str(&its), tr_text_str(&ours), err);
        if (keys[at].effect != TR_KEY_NOTED)
            continue;
        tr_text_clear(&note);
        tr_text_printf(&note, "%s was %s, is now %s", keys[at].name, tr_text_str(&its), tr_text_str(&ours));
        tr_progress_note(&run->bar, "changed: %s", tr_text_str(&note));
        status = tr_run_note_event(run, "changed", tr_text_str(&note), err);
    }
    tr_text_free(&its);
    tr_text_free(&ours);
    tr_text_free(&note);
    return status;
}

static enum tr_status check_belongs(struct tr_run *run, const char *checkpoint, const struct tr_train_state *state,
                                    struct tr_err *err)
{
    if (strcmp(state->arithmetic, run->state.arithmetic) != 0)
        return refuse_other_run(run, checkpoint, "arithmetic", state->arithmetic, run->state.arithmetic, err);
    if (strcmp(state->data_sha256, run->data.sha256) != 0)
        return tr_fail(err, TR_BAD_INPUT,
                       "%s: was trained on other text than %s (the SHA-256 of the data differ): give this run another "
                       "run.out",
                       checkpoint, run->config.data);
    if (state->step > run->config.steps)
        return tr_fail(err, TR_BAD_INPUT,
                       "%s: has done %lld steps, and train.steps is %lld: give as many at least, or this run another run.out",
                       checkpoint, (long long)state->step, (long long)run->config.steps);
    return compare_configs(run, checkpoint, state, err);
}

static enum tr_status adopt(struct tr_run *run, const char *checkpoint, struct tr_err *err)
{
    struct tr_train_state *state = malloc(sizeof *state);
    if (!state)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *state);
    enum tr_status status = tr_checkpoint_read_state(checkpoint, state, err);
    if (status == TR_OK)
        status = check_belongs(run, checkpoint, state, err);
    if (status == TR_OK) {
        state->config = run->config;
        state->reads_bytes = run->state.reads_bytes; /* one of before does not say */
        run->state = *state;
        run->resumed_at = state->step;
    }
    free(state);
    return status;
}

/* Sentences about damaged checkpoints, a line each, go to the log and the events. */
static enum tr_status tell_bad(struct tr_run *run, char *lines, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    char *rest = NULL;
    for (char *line = strtok_r(lines, "\n", &rest); line && status == TR_OK; line = strtok_r(NULL, "\n", &rest)) {
        tr_progress_note(&run->bar, "passed over: %s", line);
        status = tr_run_note_event(run, "bad_checkpoint", line, err);
    }
    return status;
}

static enum tr_status start_auto(struct tr_run *run, char checkpoint[TR_PATH_BYTES], struct tr_err *err)
{
    struct tr_text bad = {0};
    enum tr_status status = tr_checkpoint_find_latest(run->config.out, checkpoint, &bad, err);
    if (status == TR_NO) {
        checkpoint[0] = 0;
        status = TR_OK;
    }
    if (status == TR_OK && bad.len > 0)
        status = tell_bad(run, bad.at, err);
    tr_text_free(&bad);
    return status;
}

/* The newest step of which the run folder holds a checkpoint, -1 when there is none. */
static enum tr_status newest_step(const struct tr_run *run, int64_t *newest, struct tr_err *err)
{
    struct tr_arena arena;
    int64_t *steps, count;
    tr_arena_init(&arena, "list of checkpoints", (int64_t)256 << 20);
    enum tr_status status = tr_checkpoint_list(run->config.out, &arena, &steps, &count, err);
    if (status == TR_OK)
        *newest = count ? steps[count - 1] : -1;
    tr_arena_free(&arena);
    return status;
}

static enum tr_status start_never(const struct tr_run *run, struct tr_err *err)
{
    int64_t newest;
    enum tr_status status = newest_step(run, &newest, err);
    if (status == TR_OK && newest >= 0)
        return tr_fail(err, TR_BAD_INPUT,
                       "%s: holds a checkpoint of step %lld already, and a new run would overwrite it: give another "
                       "run.out, or remove that folder",
                       run->config.out, (long long)newest);
    return status;
}

enum tr_status tr_run_find_resume(struct tr_run *run, struct tr_err *err)
{
    if (run->options->resume != TR_RESUME_FROM || !tr_run_leads(run))
        return TR_OK;
    enum tr_status status = tr_checkpoint_resolve(run->options->resume_path, run->path_resume, err);
    return status == TR_OK ? tr_checkpoint_verify(run->path_resume, err) : status;
}

static enum tr_status start_from(struct tr_run *run, char checkpoint[TR_PATH_BYTES], struct tr_err *err)
{
    int64_t newest;
    strcpy(checkpoint, run->path_resume);
    enum tr_status status = newest_step(run, &newest, err);
    if (status == TR_OK)
        status = adopt(run, checkpoint, err);
    if (status == TR_OK && newest > run->state.step)
        return tr_fail(err, TR_BAD_INPUT,
                       "%s: holds a checkpoint of step %lld, later than step %lld of %s: give another run.out",
                       run->config.out, (long long)newest, (long long)run->state.step, checkpoint);
    return status;
}

/* Of the lead. */
static enum tr_status choose_start(struct tr_run *run, char checkpoint[TR_PATH_BYTES], struct tr_err *err)
{
    run->state = (struct tr_train_state){.loss = NAN, .first_val_loss = NAN, .first_val_bpb = NAN, .val_loss = NAN,
                                         .val_bpb = NAN, .best_val_loss = NAN, .eval_step = -1,
                                         .best_step = -1, .anchor_best_step = -1, .reads_bytes = !run->token};
    struct tr_step_config step = tr_run_step_config(&run->config);
    tr_arithmetic_id(run->state.arithmetic, step.dtype, &step.widths);
    memcpy(run->state.data_sha256, run->data.sha256, sizeof run->state.data_sha256);
    run->state.config = run->config;
    run->saved_at = -1;
    enum tr_status status;
    switch (run->options->resume) {
    case TR_RESUME_NEVER: return start_never(run, err);
    case TR_RESUME_FROM:
        status = start_from(run, checkpoint, err);
        break;
    default:
        status = start_auto(run, checkpoint, err);
        if (status == TR_OK && checkpoint[0])
            status = adopt(run, checkpoint, err);
        if (status == TR_OK && checkpoint[0])
            run->saved_at = run->state.step;
        break;
    }
    return status;
}

enum tr_status tr_run_choose_start(struct tr_run *run, char checkpoint[TR_PATH_BYTES], struct tr_err *err)
{
    checkpoint[0] = 0;
    enum tr_status status = tr_run_leads(run) ? choose_start(run, checkpoint, err) : TR_OK;
    if (status == TR_OK)
        status = tr_run_tell(run, &run->state, sizeof run->state, err);
    if (status == TR_OK)
        status = tr_run_tell(run, &run->resumed_at, sizeof run->resumed_at, err);
    if (status == TR_OK)
        status = tr_run_tell(run, &run->saved_at, sizeof run->saved_at, err);
    return status == TR_OK ? tr_run_tell(run, checkpoint, TR_PATH_BYTES, err) : status;
}

/* Room for all weights, on the lead: other programs' files are read as a whole. */
static float **open_all(struct tr_run *run, struct tr_slab *slab, struct tr_err *err)
{
    const struct tr_weights *weights = &run->program.weights;
    float **list = tr_arena_array(&run->arena, weights->count, sizeof *list, err);
    if (!list || tr_slab_map(weights->element_count * (int64_t)sizeof(float), slab, err) != TR_OK)
        return NULL;
    float *at = slab->at;
    for (int32_t i = 0; i < weights->count; at += weights->weight[i++].count)
        list[i] = at;
    return list;
}

/* Weights of the model of model.init. What it does not have, adapters, stays as it is. */
static enum tr_status load_init(struct tr_run *run, float *const *w, struct tr_err *err)
{
    struct tr_origin origin;
    enum tr_status status = tr_origin_find(&origin, run->config.init, err);
    return status == TR_OK ? tr_origin_weights(&origin, &run->program.weights, w, err) : status;
}

static enum tr_status load_init_on_ranks(struct tr_run *run, struct tr_err *err)
{
    struct tr_slab slab = {0};
    float **all = NULL;
    enum tr_status status = TR_OK;
    if (tr_run_leads(run) && !(all = open_all(run, &slab, err)))
        status = TR_FAILED;
    status = tr_run_alike(run, status, err);
    if (status == TR_OK)
        status = tr_run_collect_weights(run, all, err);
    if (status == TR_OK)
        status = tr_run_alike(run, tr_run_leads(run) ? load_init(run, all, err) : TR_OK, err);
    if (status == TR_OK)
        status = tr_run_spread_weights(run, all, err);
    tr_slab_unmap(&slab);
    return status;
}

enum tr_status tr_run_load(struct tr_run *run, const char *checkpoint, struct tr_err *err)
{
    if (checkpoint[0])
        return tr_run_read_state(run, checkpoint, err);
    tr_exec_init(&run->exec, (uint64_t)run->config.seed);
    enum tr_status status = tr_exec_failed(&run->exec, err);
    if (status != TR_OK || run->config.init[0] == 0)
        return status;
    if (run->world)
        return load_init_on_ranks(run, err);
    status = load_init(run, run->tensors.w, err);
    tr_exec_weights_written(&run->exec);
    return status == TR_OK ? tr_exec_failed(&run->exec, err) : status;
}
