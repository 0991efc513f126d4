/* A run on several ranks: what they tell each other beside the step program's own collectives.
 *
 * Rank 0 leads: it keeps the run folder, reads and writes checkpoints, and holds the whole state while it does. The others
 * know what it knows (state, where the run begins) and decide what depends on that alone by themselves, so that all of them do
 * the same. What depends on the outside world (a signal, a file) is the lead's, or is agreed upon. */
#include "lab/train/run.h"

#include <string.h>

int tr_run_ranks(const struct tr_run *run) { return run->world ? tr_comm_count(run->world) : 1; }
bool tr_run_leads(const struct tr_run *run) { return !run->world || tr_comm_index(run->world) == 0; }

enum tr_status tr_run_tell(struct tr_run *run, void *data, int64_t bytes, struct tr_err *err)
{
    return run->world ? tr_broadcast(run->world, 0, data, bytes, err) : TR_OK;
}

enum tr_status tr_run_look_for_stop(struct tr_run *run, struct tr_err *err)
{
    int signal = run->options->stop ? *run->options->stop : 0;
    uint64_t any, every;
    if (!run->world) {
        run->stop_seen = signal;
        return TR_OK;
    }
    enum tr_status status = tr_flags_all(run->world, signal > 0 && signal < 64 ? UINT64_C(1) << signal : 0, &any, &every, err);
    if (status == TR_OK && any)
        run->stop_seen = __builtin_ctzll(any);
    return status;
}

/* --- the whole state, on the lead --- */

enum { PARTS = 3 };

static float *const *values_of(const struct tr_tensors *tensors, int part)
{
    return part == 0 ? tensors->w : part == 1 ? tensors->m : tensors->v;
}

static bool is_cut(const struct tr_run *run, int part)
{
    return part == 0 ? run->program.has_weight_slices : run->program.has_slices;
}

enum tr_status tr_run_ranks_open(struct tr_run *run, struct tr_err *err)
{
    run->own = run->tensors;
    if (!run->world || !run->program.has_slices)
        return TR_OK;
    run->slice_bytes_at = tr_arena_array(&run->arena, tr_run_ranks(run) + 1, sizeof *run->slice_bytes_at, err);
    run->scatter_bytes_at = tr_arena_array(&run->arena, tr_run_ranks(run) + 1, sizeof *run->scatter_bytes_at, err);
    if (!run->slice_bytes_at || !run->scatter_bytes_at)
        return TR_FAILED;
    if (!tr_run_leads(run))
        return TR_OK;
    enum tr_status status = tr_copy_open(&run->whole, &run->program.weights, err);
    if (status == TR_OK)
        run->tensors = run->whole.tensors;
    return status;
}

static void cut_bytes(const struct tr_run *run, int32_t index)
{
    int ranks = tr_run_ranks(run);
    tr_slices_cut(&run->program.weights, index, ranks, run->slice_bytes_at);
    for (int i = 0; i <= ranks; i++)
        run->slice_bytes_at[i] *= (int64_t)sizeof(float);
}

/* The slices of a tensor of all ranks become the whole on the lead. */
static enum tr_status collect(struct tr_run *run, int part, int32_t index, struct tr_err *err)
{
    float *whole = values_of(&run->tensors, part)[index], *own = values_of(&run->own, part)[index];
    if (!is_cut(run, part)) { /* bits of fp32 weights are the same on all */
        if (whole != own)
            memcpy(whole, own, (size_t)run->program.weights.weight[index].count * sizeof(float));
        return TR_OK;
    }
    cut_bytes(run, index);
    return tr_gather(run->world, 0, own, whole, run->slice_bytes_at, err);
}

/* The other way round: each rank gets what it has of the tensor. */
static enum tr_status spread(struct tr_run *run, int part, int32_t index, struct tr_err *err)
{
    float *whole = values_of(&run->tensors, part)[index], *own = values_of(&run->own, part)[index];
    int64_t bytes = run->program.weights.weight[index].count * (int64_t)sizeof(float), *to_at = run->scatter_bytes_at;
    bool leads = tr_run_leads(run);
    int ranks = tr_run_ranks(run), me = run->world ? tr_comm_index(run->world) : 0;
    if (!is_cut(run, part)) {
        if (leads && whole != own)
            memcpy(own, whole, (size_t)bytes);
        return tr_run_tell(run, own, bytes, err);
    }
    cut_bytes(run, index);
    for (int i = 0; i <= ranks; i++)
        to_at[i] = i == 0 ? 0 : run->slice_bytes_at[me + 1] - run->slice_bytes_at[me];
    if (!leads)
        memset(run->slice_bytes_at, 0, (size_t)(ranks + 1) * sizeof *run->slice_bytes_at);
    return tr_all_to_all(run->world, whole, run->slice_bytes_at, own, to_at, err);
}

static enum tr_status each_tensor(struct tr_run *run, enum tr_status (*move)(struct tr_run *, int, int32_t, struct tr_err *),
                                  struct tr_err *err)
{
    const struct tr_weights *weights = &run->program.weights;
    enum tr_status status = TR_OK;
    for (int part = 0; part < PARTS; part++)
        for (int32_t i = 0; i < weights->count && status == TR_OK; i++)
            if (part <= weights->weight[i].moments)
                status = move(run, part, i, err);
    return status;
}

enum tr_status tr_run_collect(struct tr_run *run, struct tr_err *err)
{
    return run->program.has_slices ? each_tensor(run, collect, err) : TR_OK;
}

enum tr_status tr_run_spread(struct tr_run *run, struct tr_err *err)
{
    enum tr_status status = run->world ? each_tensor(run, spread, err) : TR_OK;
    if (status != TR_OK)
        return status;
    tr_exec_weights_written(&run->exec);
    return tr_exec_failed(&run->exec, err);
}
