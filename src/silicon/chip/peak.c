#include "silicon/chip/peak.h"

#include "base/os.h"

#include <math.h>
#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { BURSTS = 9, LOOK_BURSTS = 3 };
static const double burst_s = 0.02;

const int64_t tr_read_bytes[TR_READ_LEVELS] = {24 << 10, 512 << 10, 6 << 20, 192 << 20};

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

/* And of loads: four bytes at a time. */
static void sweep_scalar(const float *at, int64_t count, float *sink)
{
    float most[4] = {0};
    for (int64_t i = 0; i < count; i++)
        most[i % 4] = at[i] > most[i % 4] ? at[i] : most[i % 4];
    *sink = most[0] + most[1] + most[2] + most[3];
}

typedef void sweep_fn(const float *at, int64_t count, float *sink);

static enum tr_isa isa_to_measure(enum tr_isa isa)
{
    if (isa == TR_ISA_REF)
        isa = TR_ISA_COUNT - 1;
    while (!tr_isa_runs(isa))
        isa--;
    return isa;
}

static sweep_fn *sweep_of(enum tr_isa isa)
{
    isa = isa_to_measure(isa);
#if defined(__x86_64__)
    if (isa >= TR_ISA_AVX512)
        return tr_chip_sweep_avx512;
    if (isa >= TR_ISA_AVX2)
        return tr_chip_sweep_avx2;
#endif
    return sweep_scalar;
}

typedef double burn_fn(long count, float x, float *sink);

static burn_fn *burn_of(enum tr_isa isa, enum tr_dtype type)
{
    isa = isa_to_measure(isa);
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

/* What the threads' rates come to: more threads than cores take turns. */
static double together(double rates, int threads)
{
    const int cores = tr_cores_usable();
    return threads > cores ? rates * cores / threads : rates;
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
    return together(flop_s, threads);
}

/* The rate of all threads reading their shares `rounds` times. */
static double burst_byte_s(sweep_fn *sweep, const float *at, int64_t count, int64_t rounds, int threads)
{
    double byte_s = 0.0;
#pragma omp parallel num_threads(threads)
    {
        const int64_t share = count / omp_get_num_threads();
        float sink = 0.0f;
        const double begin_s = tr_thread_cpu_s();
        for (int64_t i = 0; i < rounds; i++)
            sweep(at + omp_get_thread_num() * share, share, &sink);
        const double taken_s = tr_thread_cpu_s() - begin_s;
#pragma omp critical(tr_chip_peak)
        byte_s += sink < 0.0f ? 0.0 : (double)(rounds * share) * (double)sizeof *at / taken_s; /* it never is */
    }
    return together(byte_s, threads);
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

static double best_flop_s(enum tr_isa isa, enum tr_dtype type, int threads, int bursts)
{
    burn_fn *burn = burn_of(isa, type);
    const long count = burst_count(burn);
    double best_flop_s = 0.0;
    for (int i = 0; i < bursts; i++) {
        double flop_s = burst_flop_s(burn, count, threads);
        best_flop_s = flop_s > best_flop_s ? flop_s : best_flop_s;
    }
    return best_flop_s;
}

double tr_chip_measure_peak_flop_s(enum tr_isa isa, enum tr_dtype type, int threads) { return best_flop_s(isa, type, threads, BURSTS); }

double tr_chip_look_peak_flop_s(enum tr_isa isa, enum tr_dtype type, int threads) { return best_flop_s(isa, type, threads, LOOK_BURSTS); }

static double best_read_byte_s(enum tr_isa isa, const void *memory, int64_t bytes, int threads, int bursts)
{
    sweep_fn *sweep = sweep_of(isa);
    const int64_t count = bytes / (int64_t)sizeof(float);
    int64_t rounds = 1;
    double best_byte_s = 0.0;
    if (count < threads)
        return 0.0;
    for (int i = 0; i < bursts; i++) {
        const double begin_s = tr_clock_s();
        const double byte_s = burst_byte_s(sweep, memory, count, rounds, threads);
        best_byte_s = byte_s > best_byte_s ? byte_s : best_byte_s;
        if (tr_clock_s() - begin_s < burst_s / 2) { /* not long enough for the clock: it does not count as a burst */
            rounds *= 2;
            best_byte_s = 0.0;
            i = -1;
        }
    }
    return best_byte_s;
}

double tr_chip_measure_read_byte_s(enum tr_isa isa, const void *memory, int64_t bytes, int threads)
{
    return best_read_byte_s(isa, memory, bytes, threads, BURSTS);
}

double tr_chip_look_read_byte_s(enum tr_isa isa, const void *memory, int64_t bytes, int threads)
{
    return best_read_byte_s(isa, memory, bytes, threads, LOOK_BURSTS);
}

/* ---- from core to core ------------------------------------------------------------------------------------------- */

enum { HANDS = 500, NOBODY = -1, LINE_BYTES = 128, PAIRS_MAX = 7 };
#define SHARED_CORE_S 1e-6 /* so long a hand-over takes while another program has one of the two cores ... */
#define PATIENT_S .05      /* ... which is waited for to end for so long */

struct hands {
    _Alignas(LINE_BYTES) atomic_int turn; /* alone in its line */
    _Alignas(LINE_BYTES) double end_s;    /* when both threads give up */
    int core[2];
    double best_s; /* INFINITY: no burst was whole */
};

/* Where another program has the other core, that thread has to get it. False: it is over. */
static bool wait_for_turn(const struct hands *h, int me)
{
    enum { PATIENCE = 1 << 14 };
    int whose;
    for (int looks = 1; (whose = atomic_load_explicit(&h->turn, memory_order_acquire)) != me && whose != NOBODY; looks++)
        if (looks % PATIENCE == 0) {
            if (tr_clock_s() > h->end_s)
                return false;
            sched_yield();
        }
    return whose == me;
}

static bool hand_over(struct hands *h, int me)
{
    for (int i = 0; i < HANDS; i++) {
        if (!wait_for_turn(h, me))
            return false;
        atomic_store_explicit(&h->turn, !me, memory_order_release);
    }
    return true;
}

static void *be_the_other(void *hands)
{
    struct hands *h = hands;
    tr_thread_pin(h->core[1]);
    while (hand_over(h, 1))
        ;
    return NULL;
}

static void *time_hands(void *hands)
{
    struct hands *h = hands;
    tr_thread_pin(h->core[0]);
    double begin_s = tr_clock_s();
    for (int i = 0; (i < BURSTS || h->best_s > SHARED_CORE_S) && begin_s < h->end_s; i++) {
        bool whole = hand_over(h, 0);
        double now_s = tr_clock_s();
        h->best_s = whole ? fmin(h->best_s, (now_s - begin_s) / (2 * HANDS)) : h->best_s;
        begin_s = now_s;
    }
    (void)wait_for_turn(h, 0);
    atomic_store(&h->turn, NOBODY);
    return NULL;
}

/* Threads of their own, which end: those of OpenMP would stay where they were pinned. */
static double pair_hand_s(int one, int other)
{
    struct hands hands = {.end_s = tr_clock_s() + PATIENT_S, .core = {one, other}, .best_s = INFINITY};
    pthread_t timing, answering;
    if (tr_thread_start(&answering, be_the_other, &hands) != 0)
        return INFINITY;
    if (tr_thread_start(&timing, time_hands, &hands) == 0)
        pthread_join(timing, NULL);
    else
        atomic_store(&hands.turn, NOBODY);
    pthread_join(answering, NULL);
    return hands.best_s;
}

/* Up to `most` of the cores that may be used, spread evenly over them; returns how many. */
static int spread_cores(int *core, int most)
{
    struct tr_core_set set;
    int usable = 0, seen = 0, count = 0;
    tr_cores_allowed(&set);
    for (int i = 0; i < TR_CORES_MAX; i++)
        usable += tr_core_in(&set, i);
    most = usable < most ? usable : most;
    for (int i = 0; i < TR_CORES_MAX && count < most; i++)
        if (tr_core_in(&set, i) && seen++ == count * (usable - 1) / (most > 1 ? most - 1 : 1))
            core[count++] = i;
    return count;
}

double tr_chip_measure_hand_s(void)
{
    int core[1 + PAIRS_MAX], count = tr_cores_usable() > 1 ? spread_cores(core, 1 + PAIRS_MAX) : 0, whole = 0;
    double sum_s = 0;
    for (int i = 1; i < count; i++) {
        double hand_s = pair_hand_s(core[0], core[i]);
        if (hand_s < SHARED_CORE_S)
            sum_s += hand_s, whole++;
    }
    return whole ? sum_s / whole : 0.0;
}
