/* The one file that knows <mpi.h>: a library of its own, trine_mpi.so, opened when a run wants MPI (mpi_table.h). */
#include "silicon/coll/mpi_table.h"

#include <mpi.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(MPI_Request) <= sizeof(struct tr_mpi_request), "a request fits into the caller's memory");

static int start(int *rank, int *ranks, int *threads)
{
    int level = MPI_THREAD_SINGLE, code = MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &level);
    if (code != MPI_SUCCESS)
        return code;
    *threads = level == MPI_THREAD_MULTIPLE;
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    code = MPI_Comm_rank(MPI_COMM_WORLD, rank);
    return code == MPI_SUCCESS ? MPI_Comm_size(MPI_COMM_WORLD, ranks) : code;
}

static void end(void) { MPI_Finalize(); }

static void end_all(int code) { MPI_Abort(MPI_COMM_WORLD, code); }

static int hosts(int *host)
{
    int rank, lowest;
    MPI_Comm here;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    int code = MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &here);
    if (code == MPI_SUCCESS)
        code = MPI_Allreduce(&rank, &lowest, 1, MPI_INT, MPI_MIN, here);
    if (code == MPI_SUCCESS)
        code = MPI_Comm_free(&here);
    return code == MPI_SUCCESS ? MPI_Allgather(&lowest, 1, MPI_INT, host, 1, MPI_INT, MPI_COMM_WORLD) : code;
}

static int group_make(const int *rank, int count, int number, void **group)
{
    MPI_Group world, part;
    MPI_Comm *comm = malloc(sizeof *comm);
    if (comm == NULL)
        return MPI_ERR_NO_MEM;
    MPI_Comm_group(MPI_COMM_WORLD, &world);
    int code = MPI_Group_incl(world, count, rank, &part);
    if (code == MPI_SUCCESS) {
        code = MPI_Comm_create_group(MPI_COMM_WORLD, part, number, comm);
        MPI_Group_free(&part);
    }
    MPI_Group_free(&world);
    if (code == MPI_SUCCESS)
        code = MPI_Comm_set_errhandler(*comm, MPI_ERRORS_RETURN);
    if (code == MPI_SUCCESS)
        *group = comm;
    else
        free(comm);
    return code;
}

static void group_free(void *group)
{
    MPI_Comm_free(group);
    free(group);
}

static int barrier(void *group) { return MPI_Barrier(*(MPI_Comm *)group); }

/* Memory of each member in a place of its own. The epoch that MPI wants for loads and stores lasts as long as it. */
static int shared_make(void *group, int64_t bytes, void **shared, void **base)
{
    MPI_Comm comm = *(MPI_Comm *)group;
    MPI_Win *window = malloc(sizeof *window);
    MPI_Info info;
    void *mine;
    int count;
    if (window == NULL)
        return MPI_ERR_NO_MEM;
    MPI_Comm_size(comm, &count);
    MPI_Info_create(&info);
    MPI_Info_set(info, "alloc_shared_noncontig", "true");
    int code = MPI_Win_allocate_shared((MPI_Aint)bytes, 1, info, comm, &mine, window);
    MPI_Info_free(&info);
    for (int i = 0; i < count && code == MPI_SUCCESS; i++) {
        MPI_Aint size;
        int unit;
        code = MPI_Win_shared_query(*window, i, &size, &unit, &base[i]);
    }
    if (code == MPI_SUCCESS)
        code = MPI_Win_lock_all(MPI_MODE_NOCHECK, *window);
    if (code == MPI_SUCCESS)
        *shared = window;
    else
        free(window);
    return code;
}

static void shared_free(void *shared)
{
    MPI_Win_unlock_all(*(MPI_Win *)shared);
    MPI_Win_free(shared);
    free(shared);
}

static int send(void *group, int to, int tag, const void *from, int64_t bytes, struct tr_mpi_request *request)
{
    if (bytes < 0 || bytes > INT32_MAX)
        return MPI_ERR_COUNT;
    return MPI_Isend(from, (int)bytes, MPI_BYTE, to, tag, *(MPI_Comm *)group, (MPI_Request *)(void *)request);
}

static int recv(void *group, int from, int tag, void *to, int64_t bytes, struct tr_mpi_request *request)
{
    if (bytes < 0 || bytes > INT32_MAX)
        return MPI_ERR_COUNT;
    return MPI_Irecv(to, (int)bytes, MPI_BYTE, from == TR_MPI_ANY ? MPI_ANY_SOURCE : from, tag, *(MPI_Comm *)group,
                     (MPI_Request *)(void *)request);
}

static int test(struct tr_mpi_request *request, int *done, int *from)
{
    MPI_Status status;
    int code = MPI_Test((MPI_Request *)(void *)request, done, &status);
    if (code == MPI_SUCCESS && *done)
        *from = status.MPI_SOURCE;
    return code;
}

static void cancel(struct tr_mpi_request *request)
{
    MPI_Cancel((MPI_Request *)(void *)request);
    MPI_Wait((MPI_Request *)(void *)request, MPI_STATUS_IGNORE);
}

static int all_reduce(void *group, float *data, int64_t n, int64_t chunk)
{
    int code = MPI_SUCCESS;
    for (int64_t at = 0; at < n && code == MPI_SUCCESS; at += chunk)
        code = MPI_Allreduce(MPI_IN_PLACE, data + at, (int)(n - at < chunk ? n - at : chunk), MPI_FLOAT, MPI_SUM,
                             *(MPI_Comm *)group);
    return code;
}

static void text(int code, char *buf, size_t bytes)
{
    char words[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, words, &length);
    if (bytes > 0) {
        strncpy(buf, words, bytes - 1);
        buf[bytes - 1] = 0;
    }
}

__attribute__((visibility("default"))) const struct tr_mpi_table *tr_mpi_module(void);

const struct tr_mpi_table *tr_mpi_module(void)
{
    static const struct tr_mpi_table table = {.version = TR_MPI_TABLE_VERSION,
                                              .start = start,
                                              .end = end,
                                              .abort = end_all,
                                              .hosts = hosts,
                                              .group_make = group_make,
                                              .group_free = group_free,
                                              .barrier = barrier,
                                              .shared_make = shared_make,
                                              .shared_free = shared_free,
                                              .send = send,
                                              .recv = recv,
                                              .test = test,
                                              .cancel = cancel,
                                              .all_reduce = all_reduce,
                                              .text = text};
    return &table;
}
