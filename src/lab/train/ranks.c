/* A run on several ranks: what they tell each other beside the step program's own collectives.
 *
 * Rank 0 leads: it keeps the run folder, reads and writes checkpoints, and holds the whole state while it does. The others
 * know what it knows (state, where the run begins) and decide what depends on that alone by themselves, so that all of them do
 * the same. What depends on the outside world (a signal, a file) is the lead's, or is agreed upon. */
#include "base/num.h"
#include "lab/train/run.h"

#include <string.h>

int tr_run_ranks(const struct tr_run *run) { return run->world ? tr_comm_count(run->world) : 1; }
bool tr_run_leads(const struct tr_run *run) { return !run->world || tr_comm_index(run->world) == 0; }

enum tr_status tr_run_ranks_begin(struct tr_run *run, struct tr_err *err)
{
    int ranks = tr_run_ranks(run);
    run->rank_at = tr_arena_array(&run->arena, ranks + 1, sizeof *run->rank_at, err);
    run->pace_of = run->rank_at ? tr_arena_array(&run->arena, ranks, sizeof *run->pace_of, err) : NULL;
    run->pace_order = run->pace_of ? tr_arena_array(&run->arena, ranks, sizeof *run->pace_order, err) : NULL;
    run->sum_of = run->pace_order ? tr_arena_array(&run->arena, ranks, sizeof *run->sum_of, err) : NULL;
    run->sum_now = run->sum_of ? tr_arena_array(&run->arena, ranks, sizeof *run->sum_now, err) : NULL;
    return run->sum_now ? TR_OK : TR_FAILED;
}

enum tr_status tr_run_tell(struct tr_run *run, void *data, int64_t bytes, struct tr_err *err)
{
    return run->world ? tr_broadcast(run->world, 0, data, bytes, err) : TR_OK;
}

enum tr_status tr_run_tell_each(struct tr_run *run, const void *mine, void *all, int64_t bytes, struct tr_err *err)
{
    for (int i = 0; i <= tr_run_ranks(run); i++)
        run->rank_at[i] = i * bytes;
    return tr_all_gather(run->world, mine, all, run->rank_at, err);
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

enum tr_status tr_run_all(struct tr_run *run, bool here, bool *everywhere, struct tr_err *err)
{
    uint64_t any, every = here;
    enum tr_status status = run->world ? tr_flags_all(run->world, here, &any, &every, err) : TR_OK;
    *everywhere = every & 1;
    return status;
}

int64_t tr_run_sent_bytes(const struct tr_run *run)
{
    int64_t sum = 0;
    for (int group = 0; group < TR_GROUP_COUNT; group++)
        for (int kind = TR_COLL_BARRIER; kind < TR_COLL_KIND_COUNT && run->exec.group[group]; kind++)
            sum += tr_comm_counted(run->exec.group[group], kind)->sent_bytes;
    return sum;
}

double tr_run_bubble(const struct tr_run *run)
{
    static const enum tr_phase phases[] = {TR_PHASE_FORWARD, TR_PHASE_BACKWARD};
    double waited_s = 0;
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++)
        waited_s += run->exec.coll_time[phases[i]][TR_COLL_SEND].time_s + run->exec.coll_time[phases[i]][TR_COLL_RECV].time_s;
    return run->computed_s > 0 ? waited_s / run->computed_s : 0;
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
    int64_t count = tr_run_ranks(run) + 1;
    run->own = run->tensors;
    if (!run->world)
        return TR_OK;
    run->slices_at = tr_arena_array(&run->arena, count, sizeof *run->slices_at, err);
    run->bytes_at = tr_arena_array(&run->arena, count, sizeof *run->bytes_at, err);
    run->own_bytes_at = tr_arena_array(&run->arena, count, sizeof *run->own_bytes_at, err);
    if (!run->slices_at || !run->bytes_at || !run->own_bytes_at)
        return TR_FAILED;
    if (!tr_run_leads(run) || tr_program_is_whole(&run->program))
        return TR_OK;
    enum tr_status status = tr_copy_open(&run->whole, &run->program.weights, err);
    if (status == TR_OK)
        run->tensors = run->whole.tensors;
    if (status == TR_OK && tr_run_staged_bytes(&run->program) > 0)
        status = tr_slab_map(tr_run_staged_bytes(&run->program), &run->staged, err);
    return status;
}

static int32_t tensor_ranks(const struct tr_program *p) { return tr_degrees_of(&p->step.place.degrees, TR_GROUP_TENSOR); }

int64_t tr_run_staged_bytes(const struct tr_program *p)
{
    int64_t most = 0;
    for (int32_t i = 0; i < p->weights.count && tensor_ranks(p) > 1; i++)
        most = tr_max_i64(most, p->weights.weight[i].count);
    return most * (int64_t)sizeof(float);
}

static struct tr_portion portion_of(const struct tr_program *p, int32_t index, int32_t tensor)
{
    return tr_portion_of(&p->model, &p->weights.weight[index], tr_degrees_tensor(&p->step.place.degrees, p->step.widths.tensor, tensor));
}

static bool is_portioned(const struct tr_run *run, int32_t index) { return tr_program_portion(&run->program, index).axis >= 0; }

/* What rank `rank` brings to the whole of a tensor, in elements of its portion: its slice of what its stage has; where that is not cut,
 * the first of those who have the same brings all of it. */
static struct tr_range part_of(const struct tr_run *run, int rank, int part, int32_t index)
{
    const struct tr_program *p = &run->program;
    const struct tr_rank_place place = {p->step.place.degrees, rank};
    int32_t member = tr_rank_index(&place, TR_GROUP_DATA), tensor = tr_rank_index(&place, TR_GROUP_TENSOR);
    bool same = (tensor > 0 && !is_portioned(run, index)) || tr_rank_index(&place, TR_GROUP_CONTEXT) > 0;
    if (tr_rank_index(&place, TR_GROUP_PIPE) != tr_program_stage_of(p, index) || same)
        return (struct tr_range){0, 0};
    if (is_cut(run, part)) {
        tr_slices_cut(p, index, tensor, run->slices_at);
        return (struct tr_range){run->slices_at[member], run->slices_at[member + 1]};
    }
    return (struct tr_range){0, member == 0 ? tr_portion_weight(&p->weights.weight[index], portion_of(p, index, tensor)).count : 0};
}

/* Where what each rank brings lies, rank by rank: run->bytes_at. Unless tensor parallel ranks share the tensor, that is the whole. */
static void find_parts(struct tr_run *run, int part, int32_t index)
{
    run->bytes_at[0] = 0;
    for (int rank = 0; rank < tr_run_ranks(run); rank++) {
        struct tr_range range = part_of(run, rank, part, index);
        run->bytes_at[rank + 1] = run->bytes_at[rank] + (range.last - range.first) * (int64_t)sizeof(float);
    }
}

/* Between the whole of a tensor and what ranks have of it, rank by rank. */
static void restage(struct tr_run *run, int part, int32_t index, float *whole, bool put)
{
    const struct tr_program *p = &run->program;
    const struct tr_weight *w = &p->weights.weight[index];
    float *at = run->staged.at;
    for (int rank = 0; rank < tr_run_ranks(run); rank++) {
        const struct tr_rank_place place = {p->step.place.degrees, rank};
        struct tr_portion portion = portion_of(p, index, tr_rank_index(&place, TR_GROUP_TENSOR));
        struct tr_range range = part_of(run, rank, part, index);
        if (put)
            tr_portion_put(w, portion, range, at, whole);
        else
            tr_portion_take(w, portion, range, whole, at);
        at += range.last - range.first;
    }
}

/* What the ranks have of a tensor becomes the whole on the lead. */
static enum tr_status collect(struct tr_run *run, int part, int32_t index, struct tr_err *err)
{
    float *whole = values_of(&run->tensors, part)[index];
    bool staged = is_portioned(run, index) && tr_run_leads(run);
    find_parts(run, part, index);
    enum tr_status status = tr_gather(run->world, 0, values_of(&run->own, part)[index], staged ? run->staged.at : whole, run->bytes_at, err);
    if (status == TR_OK && staged)
        restage(run, part, index, whole, true);
    return status;
}

/* To those who have the same of a tensor: `count` elements. */
static enum tr_status tell_replicas(struct tr_run *run, enum tr_group group, float *own, int64_t count, struct tr_err *err)
{
    return run->exec.group[group] ? tr_broadcast(run->exec.group[group], 0, own, count * (int64_t)sizeof(float), err) : TR_OK;
}

/* The other way round: each rank gets what it has of the tensor. */
static enum tr_status spread(struct tr_run *run, int part, int32_t index, struct tr_err *err)
{
    const struct tr_program *p = &run->program;
    float *whole = values_of(&run->tensors, part)[index], *own = values_of(&run->own, part)[index];
    int ranks = tr_run_ranks(run), me = tr_comm_index(run->world);
    bool staged = is_portioned(run, index) && tr_run_leads(run);
    struct tr_range mine = part == 0 ? tr_program_held(p, index) : tr_program_slice(p, index);
    if (staged)
        restage(run, part, index, whole, false);
    find_parts(run, part, index);
    for (int i = 0; i <= ranks; i++)
        run->own_bytes_at[i] = i == 0 ? 0 : run->bytes_at[me + 1] - run->bytes_at[me];
    if (!tr_run_leads(run))
        memset(run->bytes_at, 0, (size_t)(ranks + 1) * sizeof *run->bytes_at);
    enum tr_status status = tr_all_to_all(run->world, staged ? run->staged.at : whole, run->bytes_at, own, run->own_bytes_at, err);
    if (status == TR_OK && !is_cut(run, part) && tr_program_has(p, index))
        status = tell_replicas(run, TR_GROUP_DATA, own, mine.last - mine.first, err);
    if (status == TR_OK && !is_portioned(run, index) && tr_program_has(p, index))
        status = tell_replicas(run, TR_GROUP_TENSOR, own, mine.last - mine.first, err);
    if (status == TR_OK && tr_program_has(p, index))
        status = tell_replicas(run, TR_GROUP_CONTEXT, own, mine.last - mine.first, err);
    return status;
}

static enum tr_status each_tensor(struct tr_run *run, int parts,
                                  enum tr_status (*move)(struct tr_run *, int, int32_t, struct tr_err *), struct tr_err *err)
{
    const struct tr_weights *weights = &run->program.weights;
    enum tr_status status = TR_OK;
    for (int part = 0; part < parts; part++)
        for (int32_t i = 0; i < weights->count && status == TR_OK; i++)
            if (part <= weights->weight[i].moments)
                status = move(run, part, i, err);
    return status;
}

enum tr_status tr_run_collect(struct tr_run *run, struct tr_err *err)
{
    return tr_program_is_whole(&run->program) ? TR_OK : each_tensor(run, PARTS, collect, err);
}

enum tr_status tr_run_collect_weights(struct tr_run *run, struct tr_err *err)
{
    return tr_program_is_whole(&run->program) ? TR_OK : each_tensor(run, 1, collect, err);
}

enum tr_status tr_run_spread(struct tr_run *run, struct tr_err *err)
{
    enum tr_status status = run->world ? each_tensor(run, PARTS, spread, err) : TR_OK;
    if (status != TR_OK)
        return status;
    tr_exec_weights_written(&run->exec);
    return tr_exec_failed(&run->exec, err);
}
