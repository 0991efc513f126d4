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

static burn_fn *burn_of(enum tr_isa isa)
{
    if (isa == TR_ISA_REF)
        isa = tr_isa_runs(TR_ISA_AVX512) ? TR_ISA_AVX512 : TR_ISA_AVX2;
#if defined(__x86_64__)
    if (isa == TR_ISA_AVX512 && tr_isa_runs(isa))
        return tr_chip_burn_avx512;
    if (isa == TR_ISA_AVX2 && tr_isa_runs(isa))
        return tr_chip_burn_avx2;
#endif
    return burn_scalar;
}

/* All threads at once; the clock runs from the first start to the last end. */
static double burst_flop_s(burn_fn *burn, long count, int threads)
{
    double flop = 0.0;
    const double begin_s = tr_clock_s();
#pragma omp parallel num_threads(threads)
    {
        float sink;
        double mine = burn(count, 0.999f, &sink);
#pragma omp critical(tr_chip_peak)
        flop += sink == sink ? mine : 0.0; /* always so, but the compiler does not know */
    }
    return flop / (tr_clock_s() - begin_s);
}

double tr_chip_measure_peak_flop_s(enum tr_isa isa, int threads)
{
    burn_fn *burn = burn_of(isa);
    long count = 1000;
    double begin_s, taken_s;
    do { /* how many rounds make a burst; this warms up the processor too */
        count *= 2;
        begin_s = tr_clock_s();
        (void)burst_flop_s(burn, count, threads);
        taken_s = tr_clock_s() - begin_s;
    } while (taken_s < burst_s);
    double best_flop_s = 0.0;
    for (int i = 0; i < BURSTS; i++) {
        double flop_s = burst_flop_s(burn, count, threads);
        best_flop_s = flop_s > best_flop_s ? flop_s : best_flop_s;
    }
    return best_flop_s;
}
