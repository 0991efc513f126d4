/* What the processor, the memory and the disk do, without any kernel. */
#include "plan/calibrate/inside.h"

#include "base/arena.h"
#include "base/num.h"
#include "base/os.h"
#include "silicon/chip/peak.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BURSTS = 3, DISK_BYTES = 128 << 20, LEAST_BYTES = 1 << 20, SMALL_BYTES = 4096 };

/* One more of several equal measurements: the fastest of all so far, and how far the slowest is behind it. */
static void note_rate(double rate, double *fastest, double *noise)
{
    double slowest = *fastest > 0 ? *fastest * (1 - *noise) : rate;
    *fastest = fmax(*fastest, rate);
    *noise = 1 - fmin(slowest, rate) / *fastest;
}

void tr_calibrate_burst(double flop_s, struct tr_kernel_machine *m) { note_rate(flop_s, &m->peak_flop_s[0], &m->noise); }

void tr_calibrate_bursts(enum tr_isa isa, int threads, struct tr_kernel_machine *m)
{
    for (int i = 0; i < BURSTS; i++)
        tr_calibrate_burst(tr_chip_measure_peak_flop_s(isa, TR_F32, threads), m);
}

static double read_byte_s(enum tr_isa isa, void *at, int level, int threads)
{
    return tr_chip_measure_read_byte_s(isa, at, threads * tr_read_bytes[level], threads);
}

enum tr_status tr_calibrate_machine(enum tr_isa isa, int threads, struct tr_kernel_machine *out, struct tr_err *err)
{
    struct tr_slab slab;
    enum tr_status status = tr_slab_map(threads * tr_read_bytes[TR_READ_MEMORY], &slab, err);
    if (status != TR_OK)
        return status;
    tr_slab_touch(&slab);
    out->peak_flop_s[0] = out->peak_flop_s[1] = out->read_byte_s[TR_READ_MEMORY] = 0;
    tr_calibrate_bursts(isa, threads, out);
    for (int i = 0; i < BURSTS; i++)
        note_rate(tr_chip_measure_peak_flop_s(isa, TR_BF16, threads), &out->peak_flop_s[1], &out->noise_bf16);
    for (int i = 0; i < TR_READ_MEMORY; i++)
        out->read_byte_s[i] = read_byte_s(isa, slab.at, i, threads);
    for (int i = 0; i < BURSTS; i++)
        note_rate(read_byte_s(isa, slab.at, TR_READ_MEMORY, threads), &out->read_byte_s[TR_READ_MEMORY], &out->noise_memory);
    out->hand_s = tr_chip_measure_hand_s();
    tr_slab_unmap(&slab);
    return TR_OK;
}

/* Seconds that a file of so many bytes takes until it is on the disk. */
static enum tr_status time_file(const char *path, const void *data, size_t bytes, double *seconds, struct tr_err *err)
{
    double begin_s = tr_clock_s();
    enum tr_status status = tr_file_write(path, data, bytes, err);
    *seconds = tr_clock_s() - begin_s;
    return status;
}

/* The middle one of several equal files, and how far the slowest is behind the fastest. */
static enum tr_status time_files(const char *path, const void *data, size_t bytes, double *middle_s, double *noise, struct tr_err *err)
{
    double took_s[BURSTS];
    enum tr_status status = TR_OK;
    for (int i = 0; i < BURSTS && status == TR_OK; i++)
        status = time_file(path, data, bytes, &took_s[i], err);
    if (status != TR_OK)
        return status;
    qsort(took_s, BURSTS, sizeof *took_s, tr_ascending);
    *middle_s = took_s[BURSTS / 2];
    *noise = 1 - took_s[0] / took_s[BURSTS - 1];
    return TR_OK;
}

enum tr_status tr_calibrate_disk(const char *folder, struct tr_kernel_machine *out, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    double large_s, small_s, noise, ignored;
    const int64_t large = tr_max_i64(LEAST_BYTES, tr_min_i64(DISK_BYTES, tr_disk_free_bytes(folder) / 4)); /* a small disk is not filled */
    enum tr_status status = tr_path_join(path, folder, ".trine-calibrate", err);
    if (status != TR_OK)
        return status;
    char *data = malloc((size_t)large);
    if (!data)
        return tr_fail(err, TR_FAILED, "out of memory for %lld bytes", (long long)large);
    for (int64_t i = 0; i < large; i++) /* nothing that a disk could write shorter */
        data[i] = (char)(i * 2654435761u >> 13);
    status = time_files(path, data, (size_t)large, &large_s, &noise, err);
    if (status == TR_OK)
        status = time_files(path, data, SMALL_BYTES, &small_s, &ignored, err);
    free(data);
    unlink(path);
    if (status != TR_OK)
        return status;
    out->disk_byte_s = (double)large / large_s;
    out->disk_sync_s = small_s;
    out->noise_disk = noise;
    return TR_OK;
}
