#include "app/ranks.h"

#include "base/os.h"

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

void tr_app_ranks_apart(struct tr_err *err)
{
    if (tr_launched().rank > 0 && nanosleep(&(struct timespec){.tv_sec = 2}, NULL) != 0)
        err->text[0] = 0; /* the launcher's signal */
}

void tr_app_ranks_close(struct tr_app_ranks *ranks, enum tr_status status, struct tr_err *err)
{
    if (status != TR_OK && !ranks->world) {
        tr_app_ranks_apart(err);
        return;
    }
    bool speaks = ranks->leads;
    if (status != TR_OK) {
        tr_comm_fail(ranks->world, status, err);
        speaks = tr_comm_blamed(ranks->world) == ranks->launched.rank;
    }
    tr_comm_free(ranks->world);
    ranks->world = NULL;
    if (speaks)
        return;
    err->text[0] = 0;
    /* The launcher ends all as soon as one has ended with a status that is not 0: let the other one be heard first. */
    if (status != TR_OK)
        nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
}
