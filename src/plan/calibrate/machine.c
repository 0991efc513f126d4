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

enum { BURSTS = 3, DISK_BYTES = 256 << 20, LEAST_BYTES = 1 << 20, SMALL_BYTES = 4096 };

void tr_calibrate_burst(double flop_s, struct tr_kernel_machine *m)
{
    double fastest = m->peak_flop_s[0], slowest = fastest > 0 ? fastest * (1 - m->noise) : flop_s;
    m->peak_flop_s[0] = fmax(fastest, flop_s);
    m->noise = 1 - fmin(slowest, flop_s) / m->peak_flop_s[0];
}

void tr_calibrate_bursts(enum tr_isa isa, int threads, struct tr_kernel_machine *m)
{
    for (int i = 0; i < BURSTS; i++)
        tr_calibrate_burst(tr_chip_measure_peak_flop_s(isa, TR_F32, threads), m);
}

enum tr_status tr_calibrate_machine(enum tr_isa isa, int threads, struct tr_kernel_machine *out, struct tr_err *err)
{
    static const enum tr_dtype types[TR_KERNEL_TYPES] = {TR_F32, TR_BF16};
    struct tr_slab slab;
    enum tr_status status = tr_slab_map(threads * tr_read_bytes[TR_READ_MEMORY], &slab, err);
    if (status != TR_OK)
        return status;
    tr_slab_touch(&slab);
    out->peak_flop_s[0] = 0;
    tr_calibrate_bursts(isa, threads, out);
    out->peak_flop_s[1] = tr_chip_measure_peak_flop_s(isa, types[1], threads);
    for (int i = 0; i < TR_READ_LEVELS; i++)
        out->read_byte_s[i] = tr_chip_measure_read_byte_s(isa, slab.at, threads * tr_read_bytes[i], threads);
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

enum tr_status tr_calibrate_disk(const char *folder, double *byte_s, double *sync_s, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    double large_s, small_s[BURSTS], least_s = INFINITY;
    const int64_t large = tr_max_i64(LEAST_BYTES, tr_min_i64(DISK_BYTES, tr_disk_free_bytes(folder) / 4)); /* a small disk is not filled */
    enum tr_status status = tr_path_join(path, folder, ".trine-calibrate", err);
    if (status != TR_OK)
        return status;
    char *data = malloc((size_t)large);
    if (!data)
        return tr_fail(err, TR_FAILED, "out of memory for %lld bytes", (long long)large);
    for (int64_t i = 0; i < large; i++) /* nothing that a disk could write shorter */
        data[i] = (char)(i * 2654435761u >> 13);
    status = time_file(path, data, (size_t)large, &large_s, err);
    for (int i = 0; i < BURSTS && status == TR_OK; i++) {
        status = time_file(path, data, SMALL_BYTES, &small_s[i], err);
        least_s = status == TR_OK ? fmin(least_s, small_s[i]) : least_s;
    }
    free(data);
    unlink(path);
    if (status != TR_OK)
        return status;
    *byte_s = (double)large / large_s;
    *sync_s = least_s;
    return TR_OK;
}
