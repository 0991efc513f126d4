/* Ranks as threads of one process, and the group of one. All memory is seen by all, so nothing goes through rooms. */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "silicon/coll/inside.h"

#include "base/os.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Zero bytes that cost nothing before they are touched. */
static void *map_zeros(int64_t bytes)
{
    void *at = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static struct tr_area *new_area(int members)
{
    struct tr_area *area = map_zeros(tr_area_bytes(members, 0));
    if (area != NULL)
        tr_area_init(area, members, 0);
    return area;
}

static void free_unused(struct tr_area *area)
{
    if (area != NULL)
        munmap(area, (size_t)area->bytes);
}

/* The first member of each new group maps its area, and all members of the parent tell each other what they have. */
static enum tr_status make_area(struct tr_comm *parent, struct tr_comm *comm, struct tr_err *err)
{
    bool first = comm != NULL && comm->index == 0, alone = comm != NULL && comm->count == 1;
    struct tr_area *mine = first && !alone ? new_area(comm->count) : NULL;
    struct tr_area **all = calloc((size_t)parent->count, sizeof(struct tr_area *));
    if (all == NULL) {
        free_unused(mine);
        return tr_fail(err, TR_FAILED, "no memory to make a group");
    }
    enum tr_status status = tr_tell_all(parent, TR_COLL_SPLIT, &mine, all, sizeof mine, err);
    if (status != TR_OK)
        free_unused(mine);
    if (status == TR_OK && comm != NULL && !alone) {
        int leader = 0;
        while (parent->member[leader] != comm->member[0])
            leader++;
        comm->area = all[leader];
        if (comm->area == NULL)
            status =
                tr_fail(err, TR_FAILED, "group %s: no memory for the exchange of %d members", comm->name, comm->count);
    }
    free(all);
    return status;
}

static void free_area(struct tr_comm *comm)
{
    if (comm->area != NULL && atomic_fetch_sub(&comm->area->users, 1) == 1)
        munmap(comm->area, (size_t)comm->area->bytes);
    comm->area = NULL;
}

static bool write_address(const struct tr_rank *rank, const void *at, int64_t bytes, uint64_t *address)
{
    (void)rank, (void)bytes;
    *address = (uint64_t)(uintptr_t)at;
    return true;
}

static const void *read_address(const struct tr_rank *rank, int peer, uint64_t address)
{
    (void)rank, (void)peer;
    return (const void *)(uintptr_t)address; /* write_address of another thread wrote it */
}

static enum tr_status map_own(struct tr_comm *world, int64_t bytes, struct tr_slab *slab, struct tr_err *err)
{
    (void)world;
    return tr_slab_map(bytes, slab, err);
}

static void unmap_own(struct tr_comm *world, struct tr_slab *slab)
{
    (void)world;
    tr_slab_unmap(slab);
}

static const struct tr_way threads_way = {.name = "threads",
                                          .area_make = make_area,
                                          .area_free = free_area,
                                          .address_write = write_address,
                                          .address_read = read_address,
                                          .map = map_own,
                                          .unmap = unmap_own,
                                          .shares_process = true};

/* --- the job --- */

struct job {
    struct tr_board *board;
    int *host, *place; /* all 0; 0, 1, 2 ... */
    struct member *member;
    int ranks;
};

struct member {
    struct tr_rank rank;
    struct tr_comm *world;
    tr_rank_fn *run;
    void *user;
    pthread_t thread;
    enum tr_status status;
    struct tr_err err;
};

static void close_job(struct job *job)
{
    for (int r = 0; r < job->ranks && job->member != NULL; r++)
        tr_comm_free(job->member[r].world);
    if (job->board != NULL)
        munmap(job->board, (size_t)tr_board_bytes(job->ranks));
    free(job->host);
    free(job->place);
    free(job->member);
}

static enum tr_status open_world(struct job *job, int r, const struct tr_comm_config *config, struct tr_err *err)
{
    struct member *member = &job->member[r];
    member->rank = (struct tr_rank){.index = r,
                                    .count = job->ranks,
                                    .way = &threads_way,
                                    .board = job->board,
                                    .seen = &job->board->seen[r],
                                    .host = job->host,
                                    .place = job->place};
    member->rank.cores = tr_cores_usable();
    member->rank.timeout_s = config != NULL && config->timeout_s > 0 ? config->timeout_s : TR_COMM_TIMEOUT_S;
    return tr_comm_new(&member->rank, "world", job->place, job->ranks, r, &member->world, err);
}

static enum tr_status open_worlds(struct job *job, const struct tr_comm_config *config, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    job->board->count = job->ranks;
    for (int r = 0; r < job->ranks; r++) {
        job->place[r] = r;
        atomic_store(&job->board->seen[r].last, -1);
    }
    for (int r = 0; r < job->ranks && status == TR_OK; r++)
        status = open_world(job, r, config, err);
    struct tr_area *area = status == TR_OK && job->ranks > 1 ? new_area(job->ranks) : NULL;
    if (status == TR_OK && job->ranks > 1 && area == NULL)
        status = tr_fail(err, TR_FAILED, "no memory for the exchange of %d ranks", job->ranks);
    for (int r = 0; r < job->ranks && area != NULL; r++)
        job->member[r].world->area = area;
    return status;
}

/* Everything but the threads. */
static enum tr_status open_job(struct job *job, int ranks, const struct tr_comm_config *config, struct tr_err *err)
{
    *job = (struct job){.ranks = ranks,
                        .board = map_zeros(tr_board_bytes(ranks)),
                        .host = calloc((size_t)ranks, sizeof(int)),
                        .place = calloc((size_t)ranks, sizeof(int)),
                        .member = calloc((size_t)ranks, sizeof *job->member)};
    enum tr_status status = TR_OK;
    if (!job->board || !job->host || !job->place || !job->member)
        status = tr_fail(err, TR_FAILED, "no memory for %d ranks", ranks);
    if (status == TR_OK)
        status = open_worlds(job, config, err);
    if (status != TR_OK)
        close_job(job);
    return status;
}

/* Groups that the rank did not free, as it failed, go here: nobody may read memory of a rank that is gone. */
static void leave(struct member *member)
{
    while (member->rank.first != member->world)
        tr_comm_free(member->rank.first);
    tr_comm_withdraw(member->world);
}

static void *run_member(void *context)
{
    struct member *member = context;
    member->status = member->run(member->world, member->user, &member->err);
    if (member->status != TR_OK)
        tr_comm_fail(member->world, member->status, &member->err);
    leave(member);
    return NULL;
}

static enum tr_status run_threads(struct job *job, struct tr_err *err)
{
    struct tr_err why = {""};
    int started = 0, reason = 0;
    for (; started < job->ranks && reason == 0; started += reason == 0)
        reason = tr_thread_start(&job->member[started].thread, run_member, &job->member[started]);
    if (reason != 0) {
        tr_fail(&why, TR_FAILED, "no thread for rank %d of %d: %s", started, job->ranks, strerror(reason));
        tr_board_fail(&job->member[started].rank, started, TR_FAILED, &why, &why);
    }
    for (int r = 0; r < started; r++)
        TR_ASSERT(pthread_join(job->member[r].thread, NULL) == 0);
    if (tr_comm_blamed(job->member[0].world) < 0)
        return TR_OK;
    memcpy(err->text, job->board->text, sizeof err->text);
    return (enum tr_status)job->board->status;
}

enum tr_status tr_ranks_run(int ranks, const struct tr_comm_config *config, tr_rank_fn *run, void *user,
                            struct tr_err *err)
{
    TR_ASSERT(ranks >= 1 && ranks <= TR_RANKS_THREADS_MAX);
    struct job job;
    enum tr_status status = open_job(&job, ranks, config, err);
    if (status != TR_OK)
        return status;
    for (int r = 0; r < ranks; r++) {
        job.member[r].run = run;
        job.member[r].user = user;
    }
    status = run_threads(&job, err);
    close_job(&job);
    return status;
}

/* --- one rank alone --- */

static void end_alone(struct tr_rank *rank)
{
    struct job *job = rank->ending;
    job->member[0].world = NULL; /* it is being freed */
    close_job(job);
    free(job);
}

enum tr_status tr_comm_self(struct tr_comm **comm, struct tr_err *err)
{
    struct job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return tr_fail(err, TR_FAILED, "no memory for a rank");
    enum tr_status status = open_job(job, 1, NULL, err);
    if (status != TR_OK) {
        free(job);
        return status;
    }
    job->member[0].rank.end = end_alone;
    job->member[0].rank.ending = job;
    *comm = job->member[0].world;
    return TR_OK;
}
