/* A run on several ranks: what they tell each other beside the step program's own collectives.
 *
 * Rank 0 leads: it keeps the run folder and reads checkpoints; each rank writes its shard of them (save.c). The others know
 * what it knows (state, where the run begins) and decide what depends on that alone by themselves, so that all of them do
 * the same. What depends on the outside world (a signal, a file) is the lead's, or is agreed upon. */
#include "base/num.h"
#include "lab/train/run.h"

#include <string.h>

int tr_run_ranks(const struct tr_run *run) { return run->world ? tr_comm_count(run->world) : 1; }
bool tr_run_leads(const struct tr_run *run) { return !run->world || tr_comm_index(run->world) == 0; }

bool tr_run_keeps_ops(const struct tr_run *run) { return tr_run_ranks(run) <= TR_PROFILE_RANKS_MAX; }

enum tr_status tr_run_ranks_begin(struct tr_run *run, struct tr_err *err)
{
    int ranks = tr_run_ranks(run);
    run->rank_at = tr_arena_array(&run->arena, ranks + 1, sizeof *run->rank_at, err);
    run->pace_of = run->rank_at ? tr_arena_array(&run->arena, ranks, sizeof *run->pace_of, err) : NULL;
    run->pace_order = run->pace_of ? tr_arena_array(&run->arena, ranks, sizeof *run->pace_order, err) : NULL;
    run->sum_of = run->pace_order ? tr_arena_array(&run->arena, ranks, sizeof *run->sum_of, err) : NULL;
    run->sum_now = run->sum_of ? tr_arena_array(&run->arena, ranks, sizeof *run->sum_now, err) : NULL;
    run->own_ops = run->sum_now ? tr_arena_array(&run->arena, 1, sizeof *run->own_ops, err) : NULL;
    int others = run->world && tr_run_leads(run) && tr_run_keeps_ops(run) ? ranks : 0;
    run->ops_of = run->own_ops ? tr_arena_array(&run->arena, others, sizeof *run->ops_of, err) : NULL;
    return run->ops_of ? TR_OK : TR_FAILED;
}

enum tr_status tr_run_tell(struct tr_run *run, void *data, int64_t bytes, struct tr_err *err)
{
    return run->world ? tr_broadcast(run->world, 0, data, bytes, err) : TR_OK;
}

/* Where equal parts of all ranks stand. */
static const int64_t *parts_at(struct tr_run *run, int64_t bytes)
{
    for (int i = 0; i <= tr_run_ranks(run); i++)
        run->rank_at[i] = i * bytes;
    return run->rank_at;
}

enum tr_status tr_run_tell_each(struct tr_run *run, const void *mine, void *all, int64_t bytes, struct tr_err *err)
{
    return tr_all_gather(run->world, mine, all, parts_at(run, bytes), err);
}

enum tr_status tr_run_tell_lead(struct tr_run *run, const void *mine, void *all, int64_t bytes, struct tr_err *err)
{
    return tr_gather(run->world, 0, mine, all, parts_at(run, bytes), err);
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
    double waited_s = 0;
    for (int phase = 0; tr_phase_is_of_step((enum tr_phase)phase); phase++)
        waited_s += run->exec.coll_time[phase][TR_COLL_SEND].time_s + run->exec.coll_time[phase][TR_COLL_RECV].time_s;
    return run->computed_s > 0 ? waited_s / run->computed_s : 0;
}
