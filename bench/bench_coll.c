/* Measures sums among the ranks of one host: reduce_scatter and all_reduce along the tree, out of memory that is
 * mapped for it, and out of any other, beside MPI_Allreduce as it is and in chunks of 4 MiB. All in turn at each
 * size; the median is printed.
 *
 *     mpirun -n 2 bench_coll [MB, the largest: 500]         ranks as processes
 *     bench_coll threads=2 [MB]                             ranks as threads: without MPI's columns
 *
 * Bytes a second are those of the array, once, over the time. */
#include "base/num.h"
#include "base/os.h"
#include "silicon/coll/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { RUNS_MAX = 41, MPI_CHUNK = 1 << 20 /* floats: 4 MiB */ };

enum way { WAY_SCATTER, WAY_GATHER, WAY_MAPPED, WAY_ANY, WAY_MPI, WAY_MPI_CHUNKS, WAYS };
static const char *const way_names[WAYS] = {"reduce_scatter, tree, mapped",
                                            "all_gather, mapped",
                                            "all_reduce, tree, mapped",
                                            "any memory",
                                            "MPI_Allreduce",
                                            "in 4 MiB chunks"};

struct bench {
    struct tr_comm *world;
    struct tr_owners owners;
    struct tr_range leaves[TR_RANKS_THREADS_MAX];
    float *data[WAYS];
    const struct tr_mpi_table *mpi;
    void *group;
};

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static enum tr_status run_way(struct bench *bench, enum way way, int64_t n, struct tr_err *err)
{
    const float *node[1] = {bench->data[way]};
    int64_t at[TR_RANKS_THREADS_MAX + 1];
    for (int i = 0; i <= tr_comm_count(bench->world) && (way == WAY_SCATTER || way == WAY_GATHER); i++)
        at[i] = tr_all_reduce_at(n, tr_comm_count(bench->world), i) * (way == WAY_GATHER ? 4 : 1);
    if (way == WAY_GATHER)
        return tr_all_gather(bench->world, (char *)bench->data[way] + at[tr_comm_index(bench->world)], bench->data[way],
                             at, err);
    if (way == WAY_SCATTER)
        return tr_reduce_scatter(bench->world, &bench->owners, node, at,
                                 bench->data[way] + at[tr_comm_index(bench->world)], err);
    if (way == WAY_MAPPED || way == WAY_ANY)
        return tr_all_reduce(bench->world, &bench->owners, node, n, bench->data[way], err);
    int code = bench->mpi->all_reduce(bench->group, bench->data[way], n, way == WAY_MPI ? n : MPI_CHUNK);
    return code == 0 ? TR_OK : tr_fail(err, TR_FAILED, "MPI_Allreduce: code %d", code);
}

/* Small sizes are run many times a measurement. */
static enum tr_status measure(struct bench *bench, int64_t n, struct tr_err *err)
{
    int64_t repeats = tr_max_i64(1, (1 << 16) / n), runs = tr_max_i64(3, tr_min_i64(RUNS_MAX, (1 << 26) / n));
    double took[WAYS][RUNS_MAX];
    int ways = bench->mpi != NULL ? WAYS : WAY_MPI;
    enum tr_status status = TR_OK;
    for (int64_t run = 0; run <= runs && status == TR_OK; run++) /* the first one is not counted */
        for (int w = 0; w < ways && status == TR_OK; w++) {
            status = tr_barrier(bench->world, err);
            double began_s = tr_clock_s();
            for (int64_t r = 0; r < repeats && status == TR_OK; r++)
                status = run_way(bench, (enum way)w, n, err);
            took[w][run > 0 ? run - 1 : 0] = (tr_clock_s() - began_s) / (double)repeats;
        }
    if (status != TR_OK || tr_comm_index(bench->world) != 0)
        return status;
    printf("%10lld bytes", (long long)n * 4);
    for (int w = 0; w < ways; w++) {
        qsort(took[w], (size_t)runs, sizeof took[w][0], by_size);
        double median_s = took[w][runs / 2];
        printf("  %10.1f us %6.2f GB/s", median_s * 1e6, (double)n * 4 / median_s * 1e-9);
    }
    printf("\n");
    fflush(stdout);
    return TR_OK;
}

static enum tr_status make_data(struct bench *bench, int64_t n, struct tr_slab slab[WAYS], struct tr_err *err)
{
    enum tr_status status = tr_comm_map(bench->world, n * 4, &slab[WAY_MAPPED], err);
    slab[WAY_SCATTER] = slab[WAY_GATHER] = slab[WAY_MAPPED];
    for (int w = WAY_ANY; w < (bench->mpi != NULL ? WAYS : WAY_MPI) && status == TR_OK; w++)
        status = tr_slab_map(n * 4, &slab[w], err);
    for (int w = 0; w < WAYS && status == TR_OK; w++) {
        bench->data[w] = slab[w].at;
        for (int64_t i = 0; i < n && slab[w].at != NULL; i++)
            bench->data[w][i] = 0;
    }
    return status;
}

static enum tr_status run(struct tr_comm *world, void *user, struct tr_err *err)
{
    int64_t largest = *(const int64_t *)user / 4;
    struct bench bench = {.world = world, .owners = {tr_comm_count(world), NULL}};
    struct tr_slab slab[WAYS] = {{0}};
    bench.owners.leaves = bench.leaves;
    for (int i = 0; i < tr_comm_count(world); i++)
        bench.leaves[i] = (struct tr_range){i, i + 1};
    bench.mpi = tr_mpi_of(world, &bench.group);
    enum tr_status status = make_data(&bench, largest, slab, err);
    if (status == TR_OK && tr_comm_index(world) == 0) {
        printf("%d ranks: ", tr_comm_count(world));
        for (int w = 0; w < (bench.mpi != NULL ? WAYS : WAY_MPI); w++)
            printf("%s%s", w > 0 ? " | " : "", way_names[w]);
        printf("\n");
    }
    for (int64_t n = 1024; n <= largest && status == TR_OK; n *= 8)
        status = measure(&bench, n, err);
    if (status == TR_OK)
        status = measure(&bench, largest, err);
    tr_comm_unmap(world, &slab[WAY_MAPPED]);
    for (int w = WAY_ANY; w < WAYS; w++)
        tr_slab_unmap(&slab[w]);
    return status;
}

int main(int argc, char **argv)
{
    struct tr_comm *world = NULL;
    struct tr_err err = {""};
    int threads = argc > 1 && strncmp(argv[1], "threads=", 8) == 0 ? atoi(argv[1] + 8) : 0;
    int64_t bytes = (argc > 1 + (threads > 0) ? atoll(argv[1 + (threads > 0)]) : 500) * 1000000;
    if (threads < 0 || threads > TR_RANKS_THREADS_MAX || bytes <= 0) {
        fprintf(stderr, "bench_coll: usage: bench_coll [threads=N] [MB]\n");
        return TR_BAD_INPUT;
    }
    enum tr_status status =
        threads > 0 ? tr_ranks_run(threads, NULL, run, &bytes, &err) : tr_mpi_start(NULL, &world, &err);
    if (world != NULL) {
        status = run(world, &bytes, &err);
        if (status != TR_OK)
            tr_comm_fail(world, status, &err);
        tr_comm_free(world);
    }
    if (status != TR_OK)
        fprintf(stderr, "bench_coll: %s\n", err.text);
    return (int)status;
}
