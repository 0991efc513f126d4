/* The state of a run, of which each rank has parts: put together where it is wanted, tensor by tensor, and handed out to all. No rank
 * has room for the whole of it. */
#include "base/num.h"
#include "lab/train/run.h"

#include <string.h>

enum { PARTS = 3 };

static float *const *values_of(const struct tr_tensors *tensors, int part)
{
    return part == 0 ? tensors->w : part == 1 ? tensors->m : tensors->v;
}

static bool is_cut(const struct tr_run *run, int part)
{
    return part == 0 ? run->program.has_weight_slices : run->program.has_slices;
}

/* ---- room -------------------------------------------------------------------------------------------------------- */

static int32_t tensor_ranks(const struct tr_program *p) { return tr_degrees_of(&p->step.place.degrees, TR_GROUP_TENSOR); }

static int64_t largest_bytes(const struct tr_program *p)
{
    int64_t most = 0;
    for (int32_t i = 0; i < p->weights.count; i++)
        most = tr_max_i64(most, p->weights.weight[i].count);
    return most * (int64_t)sizeof(float);
}

/* Of the lead, a tensor as a whole; of everyone, what tensor parallel ranks have of one, side by side. */
static int64_t whole_bytes(const struct tr_program *p) { return p->step.place.rank == 0 ? largest_bytes(p) : 0; }
static int64_t staged_bytes(const struct tr_program *p) { return tensor_ranks(p) > 1 ? largest_bytes(p) : 0; }

int64_t tr_run_spread_bytes(const struct tr_program *p)
{
    return tr_degrees_ranks(&p->step.place.degrees) > 1 ? whole_bytes(p) + staged_bytes(p) : 0;
}

enum tr_status tr_run_spread_open(struct tr_run *run, struct tr_err *err)
{
    int64_t count = tr_run_ranks(run) + 1;
    enum tr_status status = TR_OK;
    if (!run->world)
        return TR_OK;
    run->slices_at = tr_arena_array(&run->arena, count, sizeof *run->slices_at, err);
    run->bytes_at = tr_arena_array(&run->arena, count, sizeof *run->bytes_at, err);
    run->own_bytes_at = tr_arena_array(&run->arena, count, sizeof *run->own_bytes_at, err);
    if (!run->slices_at || !run->bytes_at || !run->own_bytes_at)
        return TR_FAILED;
    if (whole_bytes(&run->program) > 0)
        status = tr_slab_map(whole_bytes(&run->program), &run->whole, err);
    if (status == TR_OK && staged_bytes(&run->program) > 0)
        status = tr_slab_map(staged_bytes(&run->program), &run->staged, err);
    return status;
}

void tr_run_spread_close(struct tr_run *run)
{
    tr_slab_unmap(&run->whole);
    tr_slab_unmap(&run->staged);
}

/* ---- who has what ------------------------------------------------------------------------------------------------ */

static struct tr_portion portion_of(const struct tr_program *p, int32_t index, int32_t tensor)
{
    return tr_portion_of(&p->model, &p->weights.weight[index], tr_degrees_tensor(&p->step.place.degrees, p->step.widths.tensor, tensor));
}

static bool is_portioned(const struct tr_run *run, int32_t index) { return tr_program_portion(&run->program, index).axis >= 0; }

/* What rank `rank` brings to the whole of a tensor that `root` gets, in elements of its portion: its slice of what its stage has. Of
 * those who have the same it is the one that stands as the root does; so a root that has all of it needs nobody. */
static struct tr_range part_of(const struct tr_run *run, int rank, int root, int part, int32_t index)
{
    const struct tr_program *p = &run->program;
    const struct tr_rank_place place = {p->step.place.degrees, rank}, like = {p->step.place.degrees, root};
    int32_t member = tr_rank_index(&place, TR_GROUP_DATA), tensor = tr_rank_index(&place, TR_GROUP_TENSOR);
    bool other = (tensor != tr_rank_index(&like, TR_GROUP_TENSOR) && !is_portioned(run, index)) ||
                 tr_rank_index(&place, TR_GROUP_CONTEXT) != tr_rank_index(&like, TR_GROUP_CONTEXT);
    if (tr_rank_index(&place, TR_GROUP_PIPE) != tr_program_stage_of(p, index) || other)
        return (struct tr_range){0, 0};
    if (is_cut(run, part)) {
        tr_slices_cut(p, index, tensor, run->slices_at);
        return (struct tr_range){run->slices_at[member], run->slices_at[member + 1]};
    }
    if (member != tr_rank_index(&like, TR_GROUP_DATA))
        return (struct tr_range){0, 0};
    return (struct tr_range){0, tr_portion_weight(&p->weights.weight[index], portion_of(p, index, tensor)).count};
}

/* Where what each rank brings lies, rank by rank: run->bytes_at. Unless tensor parallel ranks share the tensor, that is the whole. */
static void find_parts(struct tr_run *run, int root, int part, int32_t index)
{
    run->bytes_at[0] = 0;
    for (int rank = 0; rank < tr_run_ranks(run); rank++) {
        struct tr_range range = part_of(run, rank, root, part, index);
        run->bytes_at[rank + 1] = run->bytes_at[rank] + (range.last - range.first) * (int64_t)sizeof(float);
    }
}

/* Between the whole of a tensor and what ranks have of it, rank by rank. */
static void restage(struct tr_run *run, int root, int part, int32_t index, float *whole, bool put)
{
    const struct tr_program *p = &run->program;
    const struct tr_weight *w = &p->weights.weight[index];
    float *at = run->staged.at;
    for (int rank = 0; rank < tr_run_ranks(run); rank++) {
        const struct tr_rank_place place = {p->step.place.degrees, rank};
        struct tr_portion portion = portion_of(p, index, tr_rank_index(&place, TR_GROUP_TENSOR));
        struct tr_range range = part_of(run, rank, root, part, index);
        if (put)
            tr_portion_put(w, portion, range, at, whole);
        else
            tr_portion_take(w, portion, range, whole, at);
        at += range.last - range.first;
    }
}

/* ---- to one rank ------------------------------------------------------------------------------------------------- */

/* What the ranks have of a tensor becomes the whole of it, in `whole` of the root. */
static enum tr_status collect(struct tr_run *run, int root, int part, int32_t index, float *whole, struct tr_err *err)
{
    const float *own = values_of(&run->tensors, part)[index];
    bool here = tr_comm_index(run->world) == root, staged = is_portioned(run, index) && here;
    find_parts(run, root, part, index);
    int64_t all = run->bytes_at[tr_run_ranks(run)];
    if (run->bytes_at[root + 1] - run->bytes_at[root] == all && !is_portioned(run, index)) {
        if (here)
            memcpy(whole, own, (size_t)all);
        return TR_OK;
    }
    enum tr_status status = tr_gather(run->world, root, own, staged ? run->staged.at : whole, run->bytes_at, err);
    if (status == TR_OK && staged)
        restage(run, root, part, index, whole, true);
    return status;
}

enum tr_status tr_run_snapshot(struct tr_run *run, struct tr_copy *to, struct tr_err *err)
{
    const struct tr_weights *weights = &run->program.weights;
    enum tr_status status = TR_OK;
    if (!run->world)
        tr_copy_take(to, &run->tensors);
    for (int part = 0; part < PARTS && run->world; part++)
        for (int32_t i = 0; i < weights->count && status == TR_OK; i++) {
            int owner = tr_writer_of(&run->writers, i);
            bool here = tr_comm_index(run->world) == owner;
            if (part <= weights->weight[i].moments)
                status = collect(run, owner, part, i, here ? values_of(&to->tensors, part)[i] : NULL, err);
        }
    return status;
}

enum tr_status tr_run_collect_weights(struct tr_run *run, float *const *to, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int32_t i = 0; i < run->program.weights.count && status == TR_OK; i++)
        status = collect(run, 0, 0, i, tr_run_leads(run) ? to[i] : NULL, err);
    return status;
}

static enum tr_status hash_parts(struct tr_run *run, struct tr_sha256 *sum, struct tr_err *err)
{
    const struct tr_weights *weights = &run->program.weights;
    enum tr_status status = TR_OK;
    for (int32_t i = 0; i < weights->count && status == TR_OK; i++) {
        const struct tr_weight *weight = &weights->weight[i];
        if (tr_run_leads(run))
            tr_hash_head(sum, weight);
        for (int part = 0; part <= weight->moments && status == TR_OK; part++) {
            status = collect(run, 0, part, i, run->whole.at, err);
            if (status == TR_OK && tr_run_leads(run))
                tr_sha256_update(sum, run->whole.at, (size_t)weight->count * sizeof(float));
        }
    }
    return status;
}

enum tr_status tr_run_hash(struct tr_run *run, char hex[TR_SHA256_HEX_BYTES], struct tr_err *err)
{
    struct tr_sha256 sum;
    uint8_t digest[TR_SHA256_BYTES];
    if (!run->world)
        return tr_hash_tensors(&run->tensors, hex, err);
    enum tr_status status = tr_sha256_start(&sum, err);
    if (status == TR_OK)
        status = hash_parts(run, &sum, err);
    if (status == TR_OK) {
        tr_sha256_finish(&sum, digest);
        tr_sha256_hex(digest, hex);
    }
    tr_sha256_drop(&sum);
    return status;
}

/* ---- to all ranks ------------------------------------------------------------------------------------------------ */

/* To those who have the same of a tensor: `count` elements. */
static enum tr_status tell_replicas(struct tr_run *run, enum tr_group group, float *own, int64_t count, struct tr_err *err)
{
    return run->exec.group[group] ? tr_broadcast(run->exec.group[group], 0, own, count * (int64_t)sizeof(float), err) : TR_OK;
}

/* Each rank gets what it has of the tensor that the lead has in `whole`. */
static enum tr_status spread(struct tr_run *run, int part, int32_t index, float *whole, struct tr_err *err)
{
    const struct tr_program *p = &run->program;
    float *own = values_of(&run->tensors, part)[index];
    int ranks = tr_run_ranks(run), me = tr_comm_index(run->world);
    bool staged = is_portioned(run, index) && tr_run_leads(run);
    struct tr_range mine = part == 0 ? tr_program_held(p, index) : tr_program_slice(p, index);
    if (staged)
        restage(run, 0, part, index, whole, false);
    find_parts(run, 0, part, index);
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

/* What operations read of the weights is written anew. */
static enum tr_status weights_written(struct tr_run *run, struct tr_err *err)
{
    tr_exec_weights_written(&run->exec);
    return tr_exec_failed(&run->exec, err);
}

enum tr_status tr_run_spread_weights(struct tr_run *run, float *const *from, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int32_t i = 0; i < run->program.weights.count && status == TR_OK; i++)
        status = spread(run, 0, i, tr_run_leads(run) ? from[i] : NULL, err);
    return status == TR_OK ? weights_written(run, err) : status;
}

/* Which tensor of a checkpoint comes next. The lead alone knows its files, so it says so to the others. */
struct next {
    int32_t part, index; /* part -1: there are no more */
};

static float *room_of_lead(void *context, int part, int32_t index)
{
    (void)part;
    (void)index;
    return ((struct tr_run *)context)->whole.at;
}

static enum tr_status spread_next(void *context, int part, int32_t index, struct tr_err *err)
{
    struct tr_run *run = context;
    struct next next = {part, index};
    enum tr_status status = tr_run_tell(run, &next, sizeof next, err);
    return status == TR_OK ? spread(run, part, index, run->whole.at, err) : status;
}

static enum tr_status read_as_lead(struct tr_run *run, const char *checkpoint, struct tr_err *err)
{
    const struct tr_tensor_sink sink = {.context = run, .room = room_of_lead, .take = spread_next};
    struct next end = {-1, -1};
    enum tr_status status = tr_checkpoint_read_each(checkpoint, &run->program.weights, true, &sink, err);
    return status == TR_OK ? tr_run_tell(run, &end, sizeof end, err) : status;
}

static enum tr_status read_as_other(struct tr_run *run, struct tr_err *err)
{
    for (;;) {
        struct next next;
        enum tr_status status = tr_run_tell(run, &next, sizeof next, err);
        if (status != TR_OK || next.part < 0)
            return status;
        if ((status = spread(run, next.part, next.index, NULL, err)) != TR_OK)
            return status;
    }
}

enum tr_status tr_run_read_state(struct tr_run *run, const char *checkpoint, struct tr_err *err)
{
    enum tr_status status = !run->world           ? tr_checkpoint_read(checkpoint, &run->tensors, err)
                            : tr_run_leads(run) ? read_as_lead(run, checkpoint, err)
                                                  : read_as_other(run, err);
    return status == TR_OK ? weights_written(run, err) : status;
}
