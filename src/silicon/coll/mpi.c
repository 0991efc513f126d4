/* Ranks that MPI started: processes. Those of one host meet in MPI's shared memory windows, so that everything of
 * message.c goes for them as for threads; to those of other hosts wire.c sends. The library of MPI comes in through
 * a module that is opened when it is wanted (mpi_table.h). */
#define _GNU_SOURCE /* MADV_HUGEPAGE */
#include "silicon/coll/wire.h"

#include "base/num.h"
#include "base/os.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    ROOMS_BYTES = 16 << 20, /* of all slots of an area together, within the next two */
    ROOM_BYTES_MIN = 4096,
    ROOM_BYTES_MAX = 64 * 1024,
    OFFSET_BITS = 48 /* of an address: which map, and where in it */
};

/* Memory of tr_comm_map: each rank's as this one sees it. */
struct map {
    void *shared, **base; /* base[place] */
    char *mine;
    int64_t bytes;
};

struct mpi_rank {
    struct tr_rank rank; /* the first member: a tr_rank of this way is one of these */
    const struct tr_mpi_table *mpi;
    int *host, *place, *everybody;
    void *host_group, *board_shared;
    int host_ranks;
    struct map map[TR_MAPS_MAX];
};

/* What an area hangs on. */
struct held {
    void *group, *shared;
};

static struct mpi_rank *mpi_rank_of(const struct tr_rank *rank) { return (struct mpi_rank *)(uintptr_t)rank; }

static enum tr_status mpi_failed(const struct mpi_rank *self, int code, const char *what, struct tr_err *err)
{
    char words[200] = "";
    self->mpi->text(code, words, sizeof words);
    return tr_fail(err, TR_FAILED, "rank %d: %s: MPI: %s", self->rank.index, what, words);
}

/* --- memory that ranks of a host share --- */

/* MPI's shared memory, from a page's beginning on: windows begin where MPI likes, but as each process maps whole
 * pages, all of them find the same beginning. */
static int share(const struct mpi_rank *self, void *group, int members, int64_t bytes, void **shared, void **base)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    int code = self->mpi->shared_make(group, bytes > 0 ? bytes + (int64_t)page : 0, shared, base);
    for (int i = 0; i < members && code == 0; i++)
        base[i] = (char *)base[i] + -(uintptr_t)base[i] % page;
    return code;
}

/* `bytes` of the first member, zero, seen by all. */
static int share_first(const struct mpi_rank *self, void *group, bool is_first, int members, int64_t bytes,
                       void **shared, void **at)
{
    void **base = calloc((size_t)members, sizeof *base);
    if (base == NULL)
        return 1;
    int code = share(self, group, members, is_first ? bytes : 0, shared, base);
    if (code == 0) {
        *at = base[0];
        if (is_first)
            memset(*at, 0, (size_t)bytes);
    }
    free(base);
    return code;
}

static int64_t room_bytes(int members)
{
    int64_t slots = (int64_t)members * members * TR_PORT_COUNT * TR_SLOTS;
    int64_t room = ROOMS_BYTES / slots / TR_CACHE_LINE * TR_CACHE_LINE;
    return tr_max_i64(ROOM_BYTES_MIN, tr_min_i64(ROOM_BYTES_MAX, room));
}

static enum tr_status make_near(struct tr_comm *comm, struct tr_err *err)
{
    enum { GROUP_NUMBER = 1 };
    struct mpi_rank *self = mpi_rank_of(comm->rank);
    struct held *held = calloc(1, sizeof *held);
    int *near = calloc((size_t)comm->locals, sizeof *near), code = 1;
    bool is_first = comm->local[comm->index] == 0;
    int64_t room = room_bytes(comm->locals), bytes = tr_area_bytes(comm->locals, room);
    void *at = NULL;
    if (held && near) {
        for (int i = 0; i < comm->count; i++)
            if (comm->local[i] >= 0)
                near[comm->local[i]] = comm->member[i];
        code = self->mpi->group_make(near, comm->locals, GROUP_NUMBER, &held->group);
        if (code == 0)
            code = share_first(self, held->group, is_first, comm->locals, bytes, &held->shared, &at);
        if (code == 0 && is_first)
            tr_area_init(at, comm->locals, room);
        if (code == 0)
            code = self->mpi->barrier(held->group);
    }
    free(near);
    if (code != 0) { /* the job ends: what MPI holds goes with it */
        free(held);
        return mpi_failed(self, code, comm->name, err);
    }
    comm->held = held;
    comm->area = at;
    return TR_OK;
}

static enum tr_status make_area(struct tr_comm *parent, struct tr_comm *comm, struct tr_err *err)
{
    (void)parent; /* the members find together by themselves */
    enum tr_status status = TR_OK;
    if (comm != NULL && comm->locals > 1)
        status = make_near(comm, err);
    if (status == TR_OK && comm != NULL && comm->locals < comm->count)
        status = tr_wire_open(comm, mpi_rank_of(comm->rank)->mpi, err);
    return status;
}

/* After a failure MPI is left alone: its calls wait for members that may be gone. */
static void free_area(struct tr_comm *comm)
{
    struct mpi_rank *self = mpi_rank_of(comm->rank);
    struct held *held = comm->held;
    bool is_sound = !tr_board_failed(comm->rank);
    tr_wire_close(comm, is_sound);
    if (held != NULL && is_sound) {
        self->mpi->shared_free(held->shared);
        self->mpi->group_free(held->group);
    }
    free(held);
    comm->held = NULL;
    comm->area = NULL;
}

static bool write_address(const struct tr_rank *rank, const void *at, int64_t bytes, uint64_t *address)
{
    const struct mpi_rank *self = mpi_rank_of(rank);
    for (uint64_t m = 0; m < TR_MAPS_MAX; m++) {
        const struct map *map = &self->map[m];
        uintptr_t first = (uintptr_t)map->mine, want = (uintptr_t)at;
        if (map->mine == NULL || want < first || want - first > (uint64_t)map->bytes ||
            (uint64_t)bytes > (uint64_t)map->bytes - (want - first))
            continue;
        *address = m << OFFSET_BITS | (want - first);
        return true;
    }
    return false;
}

static const void *read_address(const struct tr_rank *rank, int peer, uint64_t address)
{
    const struct map *map = &mpi_rank_of(rank)->map[address >> OFFSET_BITS];
    return (const char *)map->base[rank->place[peer]] + (address & ((UINT64_C(1) << OFFSET_BITS) - 1));
}

/* Maps are made by all ranks in one order, so that all of them have a map at the same place of the table. */
static enum tr_status map_shared(struct tr_comm *world, int64_t bytes, struct tr_slab *slab, struct tr_err *err)
{
    struct mpi_rank *self = mpi_rank_of(world->rank);
    struct map *map = self->map;
    while (map < self->map + TR_MAPS_MAX && map->mine != NULL)
        map++;
    TR_ASSERT(map < self->map + TR_MAPS_MAX);
    int64_t rounded, page = sysconf(_SC_PAGESIZE);
    if (!tr_add_i64(bytes, page - 1, &rounded))
        return tr_fail(err, TR_FAILED, "a map of %lld bytes: not a size", (long long)bytes);
    rounded -= rounded % page;
    void **base = calloc((size_t)self->host_ranks, sizeof *base);
    if (base == NULL)
        return tr_fail(err, TR_FAILED, "no memory for a map of %d ranks", self->host_ranks);
    int code = share(self, self->host_group, self->host_ranks, rounded, &map->shared, base);
    if (code != 0) {
        free(base);
        char what[64];
        snprintf(what, sizeof what, "%lld bytes of shared memory", (long long)bytes);
        return mpi_failed(self, code, what, err);
    }
    map->base = base;
    map->mine = base[self->rank.place[self->rank.index]];
    map->bytes = rounded;
    madvise(map->mine, (size_t)rounded, MADV_HUGEPAGE); /* a wish */
    memset(map->mine, 0, (size_t)rounded);
    *slab = (struct tr_slab){.at = map->mine, .bytes = bytes, .mapped_bytes = rounded};
    return TR_OK;
}

static void unmap_shared(struct tr_comm *world, struct tr_slab *slab)
{
    struct mpi_rank *self = mpi_rank_of(world->rank);
    for (int m = 0; m < TR_MAPS_MAX; m++) {
        if (self->map[m].mine != slab->at)
            continue;
        if (!tr_board_failed(&self->rank))
            self->mpi->shared_free(self->map[m].shared);
        free(self->map[m].base);
        self->map[m] = (struct map){0};
    }
    *slab = (struct tr_slab){0};
}

static const struct tr_way mpi_way = {.name = "mpi",
                                      .area_make = make_area,
                                      .area_free = free_area,
                                      .address_write = write_address,
                                      .address_read = read_address,
                                      .map = map_shared,
                                      .unmap = unmap_shared};

/* --- the launcher --- */

struct launcher {
    const char *ranks, *rank, *by;
};

/* A batch script has the number of tasks, but only what srun started has a step with tasks. */
static const struct launcher launchers[] = {{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "Open MPI's mpirun"},
                                            {"PMI_SIZE", "PMI_RANK", "MPI's launcher (PMI)"},
                                            {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "Slurm's srun"}};

static bool read_number(const char *name, int max, int *number)
{
    const char *text = getenv(name);
    char *end;
    long value = text != NULL && *text >= '0' && *text <= '9' ? strtol(text, &end, 10) : -1;
    if (value < 0 || value > max || *end != 0)
        return false;
    *number = (int)value;
    return true;
}

struct tr_launched tr_launched(void)
{
    struct tr_launched launched = {1, 0, NULL};
    for (size_t i = 0; i < sizeof launchers / sizeof launchers[0] && launched.by == NULL; i++)
        if (read_number(launchers[i].ranks, INT_MAX, &launched.ranks) && launched.ranks >= 1 &&
            read_number(launchers[i].rank, launched.ranks - 1, &launched.rank))
            launched.by = launchers[i].by;
    return launched.by != NULL ? launched : (struct tr_launched){1, 0, NULL};
}

/* --- the module --- */

enum { PLACES = 3 };

/* Where the module may lie: where TRINE_MPI says, beside the program, or where `make install` puts it. */
static int list_places(char path[PLACES][TR_PATH_BYTES])
{
    const char *said = getenv("TRINE_MPI");
    if (said != NULL && *said != 0) {
        snprintf(path[0], TR_PATH_BYTES, "%s", said);
        return 1;
    }
    char self[TR_PATH_BYTES - 64];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = 0;
    char *slash = strrchr(self, '/');
    if (slash == NULL)
        return 0;
    *slash = 0;
    snprintf(path[0], TR_PATH_BYTES, "%s/trine_mpi.so", self);
    snprintf(path[1], TR_PATH_BYTES, "%s/../trine_mpi.so", self); /* of tests and benchmarks */
    snprintf(path[2], TR_PATH_BYTES, "%s/../lib/trine/trine_mpi.so", self);
    return PLACES;
}

static enum tr_status open_module(const struct tr_mpi_table **mpi, struct tr_err *err)
{
    char path[PLACES][TR_PATH_BYTES];
    int places = list_places(path), p = 0;
    while (p < places && !tr_file_exists(path[p]))
        p++;
    if (p == places)
        return tr_fail(err, TR_BAD_INPUT,
                       "no MPI: trine_mpi.so is not at %s: trine was built without MPI (on Debian: apt-get install "
                       "libopenmpi-dev openmpi-bin, then build again)",
                       places > 0 ? path[0] : "the place of the program");
    /* Global, as libraries of MPI open plug-ins of their own that look for its names. */
    void *module = dlopen(path[p], RTLD_NOW | RTLD_GLOBAL);
    if (module == NULL)
        return tr_fail(err, TR_BAD_INPUT, "no MPI: %s", dlerror());
    tr_mpi_module_fn *table = NULL;
    void *symbol = dlsym(module, TR_MPI_SYMBOL);
    memcpy(&table, &symbol, sizeof table); /* POSIX: a pointer of dlsym may be one to a function */
    if (table == NULL || table()->version != TR_MPI_TABLE_VERSION) {
        dlclose(module);
        return tr_fail(err, TR_BAD_INPUT, "no MPI: %s is not of this version of trine: build it again", path[p]);
    }
    *mpi = table();
    return TR_OK;
}

/* --- start and end --- */

static void free_rank(struct mpi_rank *self)
{
    free(self->host);
    free(self->place);
    free(self->everybody);
    free(self);
}

static void end_mpi(struct tr_rank *rank)
{
    struct mpi_rank *self = mpi_rank_of(rank);
    bool is_sound = !tr_board_failed(rank);
    for (int m = 0; m < TR_MAPS_MAX; m++) {
        if (self->map[m].mine != NULL && is_sound)
            self->mpi->shared_free(self->map[m].shared);
        free(self->map[m].base);
    }
    if (is_sound) {
        self->mpi->shared_free(self->board_shared);
        self->mpi->group_free(self->host_group);
        self->mpi->end();
    }
    free_rank(self);
}

/* Which ranks share a host, and which of them each is. */
static int find_hosts(struct mpi_rank *self, int ranks_per_host)
{
    int ranks = self->rank.count, code = self->mpi->hosts(self->host);
    for (int r = ranks - 1; r >= 0 && ranks_per_host > 0 && code == 0; r--) {
        int first = r - r % ranks_per_host;
        self->host[r] = self->host[r] == self->host[first] ? first : self->host[r];
    }
    for (int r = 0; r < ranks; r++) {
        self->everybody[r] = r;
        for (int i = 0; i < r; i++)
            self->place[r] += self->host[i] == self->host[r];
        self->host_ranks += self->host[r] == self->host[self->rank.index];
    }
    return code;
}

static int open_board(struct mpi_rank *self)
{
    int *near = calloc((size_t)self->host_ranks, sizeof *near), count = 0;
    if (near == NULL)
        return 1;
    for (int r = 0; r < self->rank.count; r++)
        if (self->host[r] == self->host[self->rank.index])
            near[count++] = r;
    bool is_first = near[0] == self->rank.index;
    void *board = NULL;
    int code = self->mpi->group_make(near, count, 0, &self->host_group);
    if (code == 0)
        code = share_first(self, self->host_group, is_first, count, tr_board_bytes(count), &self->board_shared, &board);
    if (code == 0 && is_first) {
        ((struct tr_board *)board)->count = count;
        for (int i = 0; i < count; i++)
            atomic_store(&((struct tr_board *)board)->seen[i].last, -1);
    }
    if (code == 0)
        code = self->mpi->barrier(self->host_group); /* it is in order now */
    free(near);
    if (code != 0)
        return code;
    self->rank.board = board;
    self->rank.seen = &self->rank.board->seen[self->place[self->rank.index]];
    atomic_store(&self->rank.seen->process, (int32_t)getpid());
    return self->mpi->barrier(self->host_group);
}

static enum tr_status make_rank(const struct tr_comm_config *config, int index, int ranks,
                                const struct tr_mpi_table *mpi, struct mpi_rank **made, struct tr_err *err)
{
    struct mpi_rank *self = calloc(1, sizeof *self);
    if (self == NULL)
        return tr_fail(err, TR_FAILED, "no memory for a rank");
    self->mpi = mpi;
    self->rank = (struct tr_rank){
        .index = index,
        .count = ranks,
        .way = &mpi_way,
        .timeout_s = TR_COMM_TIMEOUT_S,
        .cores = (int)sysconf(_SC_NPROCESSORS_ONLN), /* the launcher may have bound each rank to its own */
        .end = end_mpi};
    if (config != NULL && config->timeout_s > 0)
        self->rank.timeout_s = config->timeout_s;
    self->rank.host = self->host = calloc((size_t)ranks, sizeof(int));
    self->rank.place = self->place = calloc((size_t)ranks, sizeof(int));
    self->everybody = calloc((size_t)ranks, sizeof(int));
    if (!self->host || !self->place || !self->everybody) {
        free_rank(self);
        return tr_fail(err, TR_FAILED, "no memory for %d ranks", ranks);
    }
    int code = find_hosts(self, config != NULL ? config->ranks_per_host : 0);
    if (code == 0)
        code = open_board(self);
    if (code != 0) {
        enum tr_status status = mpi_failed(self, code, "the ranks of a host", err);
        free_rank(self);
        return status;
    }
    *made = self;
    return TR_OK;
}

enum tr_status tr_mpi_start(const struct tr_comm_config *config, struct tr_comm **world, struct tr_err *err)
{
    const struct tr_mpi_table *mpi;
    struct mpi_rank *self = NULL;
    int index = 0, ranks = 1, threads = 0;
    enum tr_status status = open_module(&mpi, err);
    if (status != TR_OK)
        return status;
    if (mpi->start(&index, &ranks, &threads) != 0)
        return tr_fail(err, TR_FAILED, "MPI does not start");
    if (ranks > TR_RANKS_MAX || !threads) {
        mpi->end();
        return ranks > TR_RANKS_MAX
                   ? tr_fail(err, TR_BAD_INPUT, "%d ranks, more than the limit of %d", ranks, TR_RANKS_MAX)
                   : tr_fail(err, TR_BAD_INPUT, "this MPI has no MPI_THREAD_MULTIPLE, which trine needs");
    }
    status = make_rank(config, index, ranks, mpi, &self, err);
    if (status != TR_OK)
        return status;
    struct tr_comm *comm;
    status = tr_comm_new(&self->rank, "world", self->everybody, ranks, index, &comm, err);
    if (status == TR_OK)
        status = make_area(NULL, comm, err);
    if (status != TR_OK)
        return status; /* the job ends, and with it what MPI holds */
    *world = comm;
    return TR_OK;
}

const struct tr_mpi_table *tr_mpi_of(const struct tr_comm *comm, void **group)
{
    if (comm->rank->way != &mpi_way || comm->held == NULL)
        return NULL;
    *group = ((struct held *)comm->held)->group;
    return mpi_rank_of(comm->rank)->mpi;
}
