#include "lab/train/pace.h"

#include "base/num.h"
#include "lab/train/run.h"

#include <stdlib.h>

int tr_pace_straggler(const struct tr_pace *pace, int ranks, double *scratch, double *factor)
{
    int slowest = 0;
    for (int i = 0; i < ranks; i++) {
        scratch[i] = pace[i].flop > 0 ? pace[i].work_s / pace[i].flop : 0;
        slowest = scratch[i] > scratch[slowest] ? i : slowest;
    }
    double most = scratch[slowest];
    qsort(scratch, (size_t)ranks, sizeof *scratch, tr_ascending);
    double median = scratch[(ranks - 1) / 2];
    if (median <= 0 || most < TR_STRAGGLER_FACTOR * median)
        return -1;
    *factor = most / median;
    return slowest;
}

/* All that this rank has done in steps since the attempt began. */
static struct tr_rank_sum total(const struct tr_run *run)
{
    struct tr_rank_sum sum = {.steps = run->computed_steps, .steps_s = run->steps_s, .crowded_s = run->crowded_s,
                             .sent_bytes = run->sent_bytes, .needed_bytes = run->need_bytes};
    for (int phase = 0; tr_phase_is_of_step((enum tr_phase)phase); phase++) {
        for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++) {
            sum.work_s += run->exec.time[phase][kind].time_s;
            sum.flop += run->exec.time[phase][kind].flop;
        }
        for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++) {
            const struct tr_op_time *coll = &run->exec.coll_time[phase][kind];
            sum.wait_s += coll->time_s;
            sum.stage_s += kind == TR_COLL_SEND || kind == TR_COLL_RECV ? coll->time_s : 0;
            sum.planned_bytes += coll->bytes;
        }
    }
    return sum;
}

static struct tr_pace between(const struct tr_rank_sum *before, const struct tr_rank_sum *now)
{
    return (struct tr_pace){.work_s = (now->steps_s - now->wait_s) - (before->steps_s - before->wait_s), .flop = (double)(now->flop - before->flop)};
}

static enum tr_status tell(struct tr_run *run, int rank, double factor, struct tr_err *err)
{
    char text[200];
    const struct tr_pace *all = run->pace_of;
    snprintf(text, sizeof text, "rank %d is slow: its work takes %.1f times as long as the median rank's (%.0f ms of the last "
             "%lld steps' %.0f ms), and all wait for it", rank, factor, 1000 * all[rank].work_s, (long long)run->paced_steps,
             1000 * run->paced_s);
    tr_progress_note(&run->bar, "%s", text);
    return tr_run_note_event(run, "straggler", text, err);
}

enum tr_status tr_run_pace(struct tr_run *run, double step_s, struct tr_err *err)
{
    double factor;
    run->steps_s += step_s;
    run->paced_s += step_s;
    run->paced_steps++;
    if (!run->world || !tr_run_log_is_due(run))
        return TR_OK;
    struct tr_rank_sum mine = total(run);
    bool is_first = run->state.step == run->resumed_at + 1; /* of an attempt: it wakes threads and caches */
    enum tr_status status = tr_run_tell_each(run, &mine, run->sum_now, sizeof mine, err);
    if (status != TR_OK)
        return status;
    for (int i = 0; i < tr_run_ranks(run); i++) {
        run->pace_of[i] = between(&run->sum_of[i], &run->sum_now[i]);
        run->sum_of[i] = run->sum_now[i];
    }
    int rank = is_first ? -1 : tr_pace_straggler(run->pace_of, tr_run_ranks(run), run->pace_order, &factor);
    if (rank >= 0)
        status = tell(run, rank, factor, err);
    run->paced_s = 0;
    run->paced_steps = 0;
    return status;
}
