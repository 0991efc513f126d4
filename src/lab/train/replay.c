#include "lab/train/replay.h"

#include "lab/train/parts.h"
#include "lab/train/run.h"

#include <string.h>

/* ---- digests ----------------------------------------------------------------------------------------------------- */

enum { LANES = 8 };

/* For a given h this is a bijection of the word, and the other way round. */
static uint64_t mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

/* Lanes, so that multiplications overlap. */
uint64_t tr_replay_digest(const void *data, size_t bytes)
{
    const char *at = data, *end = at + bytes;
    uint64_t lane[LANES] = {0, 1, 2, 3, 4, 5, 6, 7}, word, h = bytes;
    for (; at + sizeof lane <= end; at += sizeof lane)
        for (int i = 0; i < LANES; i++) {
            memcpy(&word, at + i * (int)sizeof word, sizeof word);
            lane[i] = mix(lane[i], word);
        }
    for (uint32_t half; at < end; at += sizeof half) {
        memcpy(&half, at, sizeof half);
        h = mix(h, half);
    }
    for (int i = 0; i < LANES; i++)
        h = mix(h, lane[i]);
    return h;
}

/* All tensors of weights and moments, in the order of checkpoints. */
#define PARTS(t) {{"", (t)->w, 0}, {"m.", (t)->m, 1}, {"v.", (t)->v, 2}}
enum { PART_COUNT = 3 };

static int64_t digest_all(const struct tr_tensors *tensors, uint64_t *out)
{
    const struct tr_part parts[PART_COUNT] = PARTS(tensors);
    struct tr_part_at at = TR_PART_FIRST;
    int64_t count = 0;
    for (; tr_part_next(parts, PART_COUNT, tensors->weights, &at); count++)
        if (out)
            out[count] = tr_replay_digest(parts[at.part].values[at.index],
                                          (size_t)tensors->weights->weight[at.index].count * sizeof(float));
    return count;
}

enum { TENSOR_TEXT_BYTES = sizeof((struct tr_weight *)0)->name + 8 };

/* The first tensor whose digests differ; "the loss" when none does. */
static const char *first_difference(const struct tr_run *run, const uint64_t *a, const uint64_t *b,
                                    char text[TENSOR_TEXT_BYTES])
{
    const struct tr_part parts[PART_COUNT] = PARTS(&run->tensors);
    struct tr_part_at at = TR_PART_FIRST;
    strcpy(text, "the loss");
    for (int64_t i = 0; tr_part_next(parts, PART_COUNT, run->tensors.weights, &at); i++)
        if (a[i] != b[i]) {
            snprintf(text, TENSOR_TEXT_BYTES, "%s%s", parts[at.part].prefix, run->tensors.weights->weight[at.index].name);
            break;
        }
    return text;
}

/* ---- at rest ----------------------------------------------------------------------------------------------------- */

enum tr_status tr_run_replay_open(struct tr_run *run, struct tr_err *err)
{
    struct tr_replay *r = &run->replay;
    if (run->config.replay_every == 0)
        return TR_OK;
    enum tr_status status = tr_copy_open(&r->copy, &run->writers.sharding, run->writers.shard, err); /* one rank has all */
    r->count = digest_all(&run->tensors, NULL);
    for (int i = 0; i < 3 && status == TR_OK; i++)
        if (!(r->seen[i] = tr_arena_array(&run->arena, r->count, sizeof *r->seen[i], err)))
            status = TR_FAILED;
    if (status == TR_OK && !(r->rest = tr_arena_array(&run->arena, r->count, sizeof *r->rest, err)))
        status = TR_FAILED;
    return status;
}

void tr_run_replay_rest(struct tr_run *run)
{
    if (run->replay.rest)
        digest_all(&run->tensors, run->replay.rest);
}

enum tr_status tr_run_replay_watch(const struct tr_run *run, struct tr_err *err)
{
    const struct tr_replay *r = &run->replay;
    char tensor[TENSOR_TEXT_BYTES];
    if (!r->rest)
        return TR_OK;
    digest_all(&run->tensors, r->seen[2]);
    if (memcmp(r->seen[2], r->rest, (size_t)r->count * sizeof *r->rest) == 0)
        return TR_OK;
    return tr_fail(err, TR_FAILED, "the memory of %s changed while nothing wrote to it, before the end of step %lld: the same "
                   "command goes on from the last checkpoint", first_difference(run, r->seen[2], r->rest, tensor),
                   (long long)run->state.step + 1);
}

/* ---- replay ------------------------------------------------------------------------------------------------------ */

static bool same(const struct tr_replay *r, const struct tr_outcome *a, const uint64_t *a_seen, const struct tr_outcome *b,
                 const uint64_t *b_seen)
{
    return memcmp(&a->result.loss, &b->result.loss, sizeof a->result.loss) == 0 &&
           memcmp(&a->result.grad_norm, &b->result.grad_norm, sizeof a->result.grad_norm) == 0 &&
           a->taken == b->taken && memcmp(a_seen, b_seen, (size_t)r->count * sizeof *a_seen) == 0;
}

/* One computation from the state before the step. */
static enum tr_status again(struct tr_run *run, double lr, struct tr_outcome *outcome, uint64_t *seen, struct tr_err *err)
{
    tr_copy_put_back(&run->replay.copy, &run->tensors);
    tr_exec_weights_written(&run->exec);
    enum tr_status status = tr_run_compute(run, lr, outcome, err);
    digest_all(&run->tensors, seen);
    return status;
}

static enum tr_status note_corrected(struct tr_run *run, bool first_was_wrong, const uint64_t *right, const uint64_t *wrong,
                                     struct tr_err *err)
{
    char text[TENSOR_TEXT_BYTES + 160], tensor[TENSOR_TEXT_BYTES];
    snprintf(text, sizeof text, "step %lld was computed three times, and the %s was wrong (%s): a transient fault of this "
             "machine, set right", (long long)run->state.step + 1, first_was_wrong ? "first" : "second",
             first_difference(run, right, wrong, tensor));
    run->replay.corrected++;
    tr_progress_note(&run->bar, "%s", text);
    return tr_run_note_event(run, "corruption", text, err);
}

/* The first two differ: the third decides. */
static enum tr_status decide(struct tr_run *run, double lr, const struct tr_outcome two[2], struct tr_outcome *outcome,
                             struct tr_err *err)
{
    struct tr_replay *r = &run->replay;
    char tensor[TENSOR_TEXT_BYTES];
    enum tr_status status = again(run, lr, outcome, r->seen[2], err);
    if (status != TR_OK)
        return status;
    for (int i = 0; i < 2; i++)
        if (same(r, outcome, r->seen[2], &two[i], r->seen[i]))
            return note_corrected(run, i == 1, r->seen[2], r->seen[1 - i], err);
    return tr_fail(err, TR_FAILED, "step %lld came out in three ways (first in %s): this machine computes wrongly, so have its "
                   "processor and memory checked; the run goes on elsewhere from its last checkpoint",
                   (long long)run->state.step + 1, first_difference(run, r->seen[0], r->seen[1], tensor));
}

enum tr_status tr_run_replay_step(struct tr_run *run, double lr, struct tr_outcome *outcome, struct tr_err *err)
{
    struct tr_replay *r = &run->replay;
    struct tr_outcome two[2];
    if (!r->rest || (run->state.step + 1) % run->config.replay_every != 0)
        return tr_run_compute(run, lr, outcome, err);
    tr_copy_take(&r->copy, &run->tensors);
    enum tr_status status = tr_run_compute(run, lr, &two[0], err);
    if (status != TR_OK)
        return status;
    digest_all(&run->tensors, r->seen[0]);
    int threads = run->exec.machine.threads;
    run->exec.machine.threads = threads > 1 ? threads - 1 : 1;
    status = again(run, lr, &two[1], r->seen[1], err);
    run->exec.machine.threads = threads;
    if (status != TR_OK)
        return status;
    *outcome = two[1];
    return same(r, &two[0], r->seen[0], &two[1], r->seen[1]) ? TR_OK : decide(run, lr, two, outcome, err);
}
