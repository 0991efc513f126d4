/* What trine uses of an MPI library, as a table that a small library of its own fills (mpi_module.c, the one file
 * with <mpi.h>). The program opens it when a run wants MPI, so that it starts without MPI on the machine, costs
 * nothing where MPI is not used, and one program goes with whatever MPI a cluster has: only the module is compiled
 * against it. Internal to silicon/coll.
 *
 * All functions return 0 or a code of MPI's, for which `text` has words. Groups and shared memory are handles. */
#ifndef TR_SILICON_COLL_MPI_TABLE_H
#define TR_SILICON_COLL_MPI_TABLE_H

#include <stddef.h>
#include <stdint.h>

enum { TR_MPI_TABLE_VERSION = 1, TR_MPI_ANY = -1 };

/* A message on its way, in the caller's memory. */
struct tr_mpi_request {
    int64_t opaque[2];
};

struct tr_mpi_table {
    int version;
    /* MPI_Init_thread and what the world is. *threads: whether several threads may call at once. */
    int (*start)(int *rank, int *ranks, int *threads);
    void (*end)(void);
    void (*abort)(int code); /* ends all ranks */
    /* host[r] = the lowest rank that shares memory with rank r. */
    int (*hosts)(int *host);
    /* The ranks of the world `rank[0 .. count)` as a group, by all of them; `number` tells groups apart that are
     * made at the same time. */
    int (*group_make)(const int *rank, int count, int number, void **group);
    void (*group_free)(void *group);
    int (*barrier)(void *group);
    /* `bytes` of memory of each member that all can read and write: base[i] is member i's as this one sees it. */
    int (*shared_make)(void *group, int64_t bytes, void **shared, void **base);
    void (*shared_free)(void *shared);
    int (*send)(void *group, int to, int tag, const void *from, int64_t bytes, struct tr_mpi_request *request);
    int (*recv)(void *group, int from, int tag, void *to, int64_t bytes, struct tr_mpi_request *request);
    /* Whether it is over; then *from is who sent it. */
    int (*test)(struct tr_mpi_request *request, int *done, int *from);
    void (*cancel)(struct tr_mpi_request *request); /* and waits until it is gone */
    /* MPI_Allreduce of floats, at most `chunk` at a time: for benchmarks, whose sums have MPI's order. */
    int (*all_reduce)(void *group, float *data, int64_t n, int64_t chunk);
    void (*text)(int code, char *buf, size_t bytes);
};

/* The module's one symbol. */
#define TR_MPI_SYMBOL "tr_mpi_module"
typedef const struct tr_mpi_table *tr_mpi_module_fn(void);

#endif
