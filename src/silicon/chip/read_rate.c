#include "silicon/chip/read_rate.h"

#include "base/os.h"

#include <omp.h>

typedef uint64_t read_all_fn(const void *memory, int64_t bytes);

static volatile uint64_t nobody_reads[64]; /* so that the loops stay */

uint64_t tr_read_all_ref(const void *memory, int64_t bytes)
{
    const uint64_t *at = memory;
    uint64_t sum[8] = {0};
    for (int64_t i = 0; i + 8 <= bytes / 8; i += 8)
        for (int j = 0; j < 8; j++)
            sum[j] ^= at[i + j];
    return sum[0] ^ sum[1] ^ sum[2] ^ sum[3] ^ sum[4] ^ sum[5] ^ sum[6] ^ sum[7];
}

static read_all_fn *loop_of(enum tr_isa isa)
{
#if defined(__x86_64__)
    if (isa >= TR_ISA_AVX512)
        return tr_read_all_avx512;
    if (isa == TR_ISA_AVX2)
        return tr_read_all_avx2;
#endif
    (void)isa;
    return tr_read_all_ref;
}

double tr_chip_measure_read_rate(enum tr_isa isa, const void *memory, int64_t bytes, int threads)
{
    read_all_fn *read_all = loop_of(isa);
    const int64_t lines = bytes / 64;
    double begin_s = tr_clock_s();
#pragma omp parallel num_threads(threads)
    {
        const int64_t thread = omp_get_thread_num(), team = omp_get_num_threads();
        const int64_t first = lines * thread / team, last = lines * (thread + 1) / team;
        nobody_reads[thread % 64] = read_all((const char *)memory + 64 * first, 64 * (last - first));
    }
    return (double)bytes / (tr_clock_s() - begin_s);
}
