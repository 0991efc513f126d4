#include "silicon/chip/peak.h"

#include "base/os.h"

enum { BURSTS = 9 };
static const double burst_s = 0.02;

/* Where there are no vectors of ours: chains of multiply and add. */
static double burn_scalar(long count, float x, float *sink)
{
    float acc[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    for (long round = 0; round < count; round++)
        for (int i = 0; i < 8; i++)
            acc[i] = acc[i] * x + (1.0f - x);
    *sink = acc[0] + acc[1] + acc[2] + acc[3] + acc[4] + acc[5] + acc[6] + acc[7];
    return 2.0 * 8.0 * (double)count;
}

typedef double burn_fn(long count, float x, float *sink);

static burn_fn *burn_of(enum tr_isa isa, enum tr_dtype type)
{
    if (isa == TR_ISA_REF)
        isa = TR_ISA_COUNT - 1;
    while (!tr_isa_runs(isa))
        isa--;
#if defined(__x86_64__)
    if (isa >= TR_ISA_AVX512_BF16 && type == TR_BF16)
        return tr_chip_burn_avx512bf16;
    if (isa >= TR_ISA_AVX512)
        return tr_chip_burn_avx512;
    if (isa >= TR_ISA_AVX2)
        return tr_chip_burn_avx2;
#endif
    (void)type;
    return burn_scalar;
}

/* All threads at once, each by the time that it had a processor: what others took away says nothing about the chip. */
static double burst_flop_s(burn_fn *burn, long count, int threads)
{
    double flop_s = 0.0;
#pragma omp parallel num_threads(threads)
    {
        float sink;
        const double begin_s = tr_thread_cpu_s();
        const double flop = burn(count, 0.999f, &sink);
        const double taken_s = tr_thread_cpu_s() - begin_s;
#pragma omp critical(tr_chip_peak)
        flop_s += sink == sink ? flop / taken_s : 0.0; /* always so, but the compiler does not know */
    }
    const int cores = tr_cores_usable(); /* more threads than that take turns */
    return threads > cores ? flop_s * cores / threads : flop_s;
}

/* Rounds that make a burst of burst_s; finding out warms up the processor too. */
static long burst_count(burn_fn *burn)
{
    float sink;
    long count = 1000;
    double begin_s;
    do {
        count *= 2;
        begin_s = tr_thread_cpu_s();
        (void)burn(count, 0.999f, &sink);
    } while (tr_thread_cpu_s() - begin_s < burst_s);
    return count;
}

double tr_chip_measure_peak_flop_s(enum tr_isa isa, enum tr_dtype type, int threads)
{
    burn_fn *burn = burn_of(isa, type);
    const long count = burst_count(burn);
    double best_flop_s = 0.0;
    for (int i = 0; i < BURSTS; i++) {
        double flop_s = burst_flop_s(burn, count, threads);
        best_flop_s = flop_s > best_flop_s ? flop_s : best_flop_s;
    }
    return best_flop_s;
}
