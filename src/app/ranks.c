#include "app/ranks.h"

#include "base/os.h"
#include "plan/layout/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum tr_status tr_app_ranks_open(struct tr_app_ranks *ranks, double timeout_s, struct tr_err *err)
{
    struct tr_launched launched = tr_launched();
    struct tr_comm_config config = {.timeout_s = timeout_s};
    *ranks = (struct tr_app_ranks){.launched = launched, .leads = launched.rank == 0};
    if (launched.ranks == 1)
        return TR_OK;
    enum tr_status status = tr_mpi_start(&config, &ranks->world, err);
    if (status == TR_OK && tr_comm_count(ranks->world) != launched.ranks)
        return tr_fail(err, TR_BAD_INPUT, "%s started %d processes, and MPI knows of %d: srun needs --mpi=pmix (or pmi2), and "
                       "mpirun must be that of the MPI that trine was built with", launched.by, launched.ranks,
                       tr_comm_count(ranks->world));
    return status;
}

enum tr_status tr_app_ranks_alike(struct tr_app_ranks *ranks, enum tr_status mine, struct tr_err *err)
{
    return ranks->world ? tr_status_all(ranks->world, mine, err) : mine;
}

enum tr_status tr_app_ranks_cores(struct tr_app_ranks *ranks, int *cores, struct tr_err *err)
{
    struct tr_core_set mine;
    int count = ranks->launched.ranks;
    *cores = tr_cores_usable();
    if (!ranks->world)
        return TR_OK;
    struct tr_core_set *all = calloc((size_t)count, sizeof *all);
    int64_t *at = calloc((size_t)count + 1, sizeof *at);
    enum tr_status status = all && at ? TR_OK : tr_fail(err, TR_FAILED, "out of memory for the cores of %d ranks", count);
    status = tr_status_all(ranks->world, status, err);
    for (int i = 0; at && i <= count; i++)
        at[i] = i * (int64_t)sizeof mine;
    tr_cores_allowed(&mine);
    if (status == TR_OK)
        status = tr_all_gather(ranks->world, &mine, all, at, err);
    if (status == TR_OK)
        (void)tr_cores_share(all, count, ranks->launched.rank, tr_cores_quota(), cores);
    free(all);
    free(at);
    return status;
}

/* Another layout of as many ranks as there are: more or fewer that share the lanes. */
static void suggest(const struct tr_degrees *layout, int64_t ranks, int64_t lanes, char *words, size_t bytes)
{
    int64_t others = tr_degrees_ranks(layout) / tr_degrees_of(layout, TR_GROUP_DATA);
    words[0] = 0;
    if (ranks % others == 0 && ranks / others <= lanes)
        snprintf(words, bytes, ", or dp=%lld in the layout", (long long)(ranks / others));
}

enum tr_status tr_app_ranks_layout(const struct tr_launched *launched, const char *words, int64_t lanes,
                                   struct tr_degrees *layout, struct tr_err *err)
{
    char other[64];
    int count = launched->ranks;
    if (count == 1)
        return TR_OK;
    if (!words && count > lanes)
        return tr_fail(err, TR_BAD_INPUT, "%s starts %d ranks, and no --layout says what they share: without it they share the "
                       "data lanes, of which there are %lld; give --layout.lanes=%d (it decides the run's bits, so for good) or "
                       "a --layout of %d ranks", launched->by, count, (long long)lanes, count, count);
    if (!words)
        layout->ranks[TR_GROUP_DATA] = count;
    if (tr_degrees_ranks(layout) == count)
        return TR_OK;
    suggest(layout, count, lanes, other, sizeof other);
    return tr_fail(err, TR_BAD_INPUT, "--layout %s is of %lld rank%s, and %s starts %d: start as many as it has%s", words,
                   (long long)tr_degrees_ranks(layout), tr_degrees_ranks(layout) == 1 ? "" : "s", launched->by, count, other);
}

void tr_app_ranks_close(struct tr_app_ranks *ranks, enum tr_status status, struct tr_err *err)
{
    bool speaks = ranks->leads;
    if (ranks->world && status != TR_OK) {
        tr_comm_fail(ranks->world, status, err);
        speaks = tr_comm_blamed(ranks->world) == ranks->launched.rank;
    }
    tr_comm_free(ranks->world);
    ranks->world = NULL;
    if (speaks)
        return;
    err->text[0] = 0;
    /* The launcher ends all as soon as one has ended with a status that is not 0: let the other one be heard first. */
    if (status != TR_OK && ranks->launched.ranks > 1)
        nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
}

/* What a plan may say and a run cannot do. */
static enum tr_status check_executed(const struct tr_layout *l, uint32_t said, struct tr_err *err)
{
    const struct {
        const char *word;
        int64_t value, single;
    } not_yet[] = {{"ep", l->ep, 1}, {"etp", l->etp, 1}, {"shard", l->shard, 0},
                   {"first-layers", l->first_layers, 0}, {"last-layers", l->last_layers, 0}};
    enum tr_pipeline pipeline = l->vpp > 1 ? TR_PIPELINE_INTERLEAVED : TR_PIPELINE_1F1B;
    for (size_t i = 0; i < sizeof not_yet / sizeof *not_yet; i++)
        if (not_yet[i].value > not_yet[i].single)
            return tr_fail(err, TR_BAD_INPUT, "--layout: training has tp, sp, cp, dp, zero, pp and vpp; %s is planned (trine plan), not executed yet",
                           not_yet[i].word);
    if (said & 1u << TR_LAYOUT_CONTEXT && l->context != TR_CONTEXT_ALL_TO_ALL)
        return tr_fail(err, TR_BAD_INPUT, "--layout: context=%s is planned (trine plan), not executed yet; ranks of cp that train exchange "
                       "heads: context=%s", tr_context_name(l->context), tr_context_name(TR_CONTEXT_ALL_TO_ALL));
    if (l->pipeline != pipeline)
        return tr_fail(err, TR_BAD_INPUT, "--layout: schedule=%s is planned (trine plan), not executed yet; training runs 1f1b, and "
                       "interleaved with vpp", tr_pipeline_name(l->pipeline));
    return TR_OK;
}

enum tr_status tr_app_layout_read(const char *words, struct tr_degrees *out, struct tr_err *err)
{
    static const uint32_t ours = 1u << TR_LAYOUT_MB | 1u << TR_LAYOUT_RECOMPUTE | 1u << TR_LAYOUT_RECOMPUTE_LAYERS;
    struct tr_layout layout;
    uint32_t said;
    bool open;
    if (!words)
        return TR_OK;
    enum tr_status status = tr_layout_parse_open(words, &layout, &said, &open, err);
    if (status != TR_OK) {
        tr_err_prefix(err, "--layout");
        return status;
    }
    if (open)
        return tr_fail(err, TR_BAD_INPUT, "--layout: expected what ranks share, such as dp=2; trine plan finds layouts");
    const struct {
        const char *word;
        int64_t value;
        int key;
    } counts[] = {{"tp", layout.tp, TR_LAYOUT_TP}, {"cp", layout.cp, TR_LAYOUT_CP}, {"dp", layout.dp, TR_LAYOUT_DP},
                  {"pp", layout.pp, TR_LAYOUT_PP}, {"vpp", layout.vpp, TR_LAYOUT_VPP}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (said & 1u << counts[i].key && counts[i].value < 1)
            return tr_fail(err, TR_BAD_INPUT, "--layout: %s=%lld: expected 1 or more", counts[i].word, (long long)counts[i].value);
    if (said & ours)
        return tr_fail(err, TR_BAD_INPUT, "--layout: the microbatch and recomputation are train.micro_batch and train.recompute here");
    if ((status = check_executed(&layout, said, err)) == TR_OK)
        *out = (struct tr_degrees){.ranks = {[TR_GROUP_TENSOR] = layout.tp, [TR_GROUP_CONTEXT] = layout.cp, [TR_GROUP_DATA] = layout.dp,
                                             [TR_GROUP_PIPE] = layout.pp},
                                   .chunks = layout.vpp, .sequence = layout.sp, .zero = layout.zero};
    return status;
}
