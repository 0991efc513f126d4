/* What it takes ranks to exchange bytes. All ranks begin a measurement together, and of several the median counts. */
#include "plan/calibrate/inside.h"

#include "base/num.h"
#include "base/os.h"
#include "silicon/chip/peak.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS_MAX = 9, FLOAT_BYTES = sizeof(float) };
#define TIMEOUT_S 60.

/* Calls of a measurement: small ones are many. */
static const int calls_of[TR_EXCHANGE_SIZES] = {64, 16, 3, 1};

struct exchanging {
    struct tr_comm *world;
    struct tr_slab from, to;
    int64_t at[TR_RANKS_THREADS_MAX + 1];
    struct tr_range leaf[TR_RANKS_THREADS_MAX];
    const struct tr_calibrate_options *options;
    struct tr_progress *bar; /* NULL: nobody looks */
};

/* The root of a binomial tree sends so often. */
static int64_t children_of_root(int members)
{
    int64_t count = 0;
    for (int bit = 1; bit < members; bit *= 2)
        count++;
    return count;
}

static void cut_evenly(struct exchanging *x, int64_t part)
{
    for (int i = 0; i <= tr_comm_count(x->world); i++)
        x->at[i] = i * part;
}

/* One message, from the even rank of a pair to the odd one or back. */
static enum tr_status pass(struct exchanging *x, bool back, int64_t bytes, struct tr_err *err)
{
    int me = tr_comm_index(x->world), peer = me ^ 1;
    bool sends = (me % 2 == 0) != back;
    if (peer >= tr_comm_count(x->world))
        return TR_OK;
    return tr_exchange(x->world, sends ? peer : -1, x->from.at, sends ? bytes : 0, sends ? -1 : peer, x->to.at, sends ? 0 : bytes, err);
}

/* A call in which the rank that sends most sends so many bytes. */
static enum tr_status call(struct exchanging *x, enum tr_coll_kind kind, int64_t bytes, struct tr_err *err)
{
    const float *node[1] = {x->from.at};
    int members = tr_comm_count(x->world), me = tr_comm_index(x->world);
    int64_t others = members - 1, floats = bytes / FLOAT_BYTES;
    struct tr_owners owners = {members, x->leaf};
    switch (kind) {
    case TR_COLL_BROADCAST: return tr_broadcast(x->world, 0, x->to.at, bytes / children_of_root(members), err);
    case TR_COLL_ALL_GATHER:
        cut_evenly(x, bytes / others);
        return tr_all_gather(x->world, x->from.at, x->to.at, x->at, err);
    case TR_COLL_ALL_TO_ALL:
        cut_evenly(x, bytes / others);
        return tr_all_to_all(x->world, x->from.at, x->at, x->to.at, x->at, err);
    case TR_COLL_REDUCE_SCATTER:
        cut_evenly(x, floats / others);
        return tr_reduce_scatter(x->world, &owners, node, x->at, (float *)x->to.at + x->at[me], err);
    case TR_COLL_ALL_REDUCE: return tr_all_reduce(x->world, &owners, node, floats * members / (2 * others), x->to.at, err);
    default: break;
    }
    enum tr_status status = pass(x, false, bytes, err);
    return status == TR_OK ? pass(x, true, bytes, err) : status;
}

/* There and back. */
static int messages_of(enum tr_coll_kind kind) { return kind == TR_COLL_SEND ? 2 : 1; }

static enum tr_status measure(struct exchanging *x, enum tr_coll_kind kind, int size, int runs, double *time_s, struct tr_err *err)
{
    double took_s[RUNS_MAX];
    enum tr_status status = call(x, kind, tr_exchange_bytes[size], err); /* which warms up */
    for (int run = 0; run < runs && status == TR_OK; run++) {
        status = tr_barrier(x->world, err);
        double begin_s = tr_clock_s();
        for (int i = 0; i < calls_of[size] && status == TR_OK; i++)
            status = call(x, kind, tr_exchange_bytes[size], err);
        took_s[run] = (tr_clock_s() - begin_s) / (calls_of[size] * messages_of(kind));
    }
    if (status != TR_OK)
        return status;
    qsort(took_s, (size_t)runs, sizeof *took_s, tr_ascending);
    *time_s = took_s[runs / 2];
    return TR_OK;
}

/* About 200 us of arithmetic. */
static void work(struct exchanging *x)
{
    enum { FLOATS = 4096, TIMES = 200 };
    float *at = (float *)x->from.at;
    for (int t = 0; t < TIMES; t++)
        for (int i = 0; i < FLOATS; i++)
            at[i] = at[i] * .5f + 1;
}

/* Works, each beside a small call that was started before it and is waited for after it, or none. */
static enum tr_status time_works(struct exchanging *x, bool calls, double *each_s, struct tr_err *err)
{
    enum { WORKS = 50 };
    int64_t ticket;
    cut_evenly(x, tr_exchange_bytes[0]);
    const struct tr_coll small = {.kind = TR_COLL_ALL_GATHER, .from = (char *)x->to.at + tr_comm_index(x->world) * tr_exchange_bytes[0],
                                  .to = x->to.at, .at = x->at};
    enum tr_status status = tr_barrier(x->world, err);
    double begin_s = tr_clock_s();
    for (int i = 0; i < WORKS && status == TR_OK; i++) {
        if (calls)
            status = tr_coll_start(x->world, &small, &ticket, err);
        work(x);
        if (calls && status == TR_OK)
            status = tr_coll_wait(x->world, ticket, err);
    }
    *each_s = (tr_clock_s() - begin_s) / WORKS;
    return status;
}

static enum tr_status measure_beside(struct exchanging *x, int runs, double *beside_s, struct tr_err *err)
{
    double lost_s[RUNS_MAX];
    enum tr_status status = TR_OK;
    for (int run = 0; run < runs && status == TR_OK; run++) {
        double alone_s = 0, with_s = 0;
        status = time_works(x, false, &alone_s, err);
        if (status == TR_OK)
            status = time_works(x, true, &with_s, err);
        lost_s[run] = with_s - alone_s;
    }
    if (status != TR_OK)
        return status;
    qsort(lost_s, (size_t)runs, sizeof *lost_s, tr_ascending);
    *beside_s = lost_s[runs / 2] > 0 ? lost_s[runs / 2] : 0;
    return TR_OK;
}

/* ---- how far it is ---------------------------------------------------------------------------------------------- */

/* A part was measured with this result; the first rank says so, and any may be asked to stop. */
static enum tr_status part_done(struct exchanging *x, enum tr_status status, struct tr_err *err)
{
    if (status != TR_OK)
        return status;
    if (x->bar && tr_comm_index(x->world) == 0)
        tr_progress_update(x->bar, x->bar->done + 1, "%d ranks", tr_comm_count(x->world));
    return tr_calibrate_goes_on(x->options, err);
}

/* ---- work at one time -------------------------------------------------------------------------------------------- */

/* Steps by themselves and together, in turn, in so many visits that lie some seconds apart: a machine that is slower for a while is so for
 * both, and one that is shared has different neighbours each time. */
enum { VISITS_MAX = 3, PAIRS_MAX = 2 };
static int visits_of(double scale) { return scale < .2 ? 1 : VISITS_MAX; }
static int pairs_of(double scale) { return scale < .2 ? 1 : PAIRS_MAX; }

/* Two programs in which kernels of all kinds take their part. */
static const struct at_once {
    struct tr_trial_shape shape;
    enum tr_dtype dtype;
} at_once[] = {{{TR_GPT2, 384, 6, 6, 1536, 4096, 512, 2}, TR_F32}, {{TR_LLAMA, 640, 10, 5, 1792, 4096, 512, 2}, TR_BF16}};
enum { AT_ONCE = sizeof at_once / sizeof *at_once };

/* What all visits have seen so far: how many times as long a step took when all ranks computed, and this rank's kinds of operations. */
struct together {
    int threads; /* of a rank: its share of the cores */
    double times[AT_ONCE][VISITS_MAX * PAIRS_MAX];
    double alone_s[TR_OP_KIND_COUNT], all_s[TR_OP_KIND_COUNT];
    int visits, pairs; /* of each program; pairs of all visits */
};

/* A step that all ranks begin together and end with the last of them; `here`: this rank computes. Adds to op_s. */
static enum tr_status time_step(struct exchanging *x, struct tr_trial *trial, bool here, double op_s[TR_OP_KIND_COUNT], double *time_s,
                                struct tr_err *err)
{
    enum tr_status status = tr_barrier(x->world, err);
    if (status != TR_OK)
        return status;
    memset(trial->exec.time, 0, sizeof trial->exec.time);
    double begin_s = tr_clock_s();
    if (here)
        tr_trial_step(trial);
    status = tr_barrier(x->world, err);
    *time_s = tr_clock_s() - begin_s;
    for (int phase = 0; phase < TR_PHASE_COUNT; phase++)
        for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
            op_s[kind] += trial->exec.time[phase][kind].time_s;
    return status == TR_OK ? tr_calibrate_goes_on(x->options, err) : status;
}

/* When the first rank computes by itself, and when all do, after a step of all that warms up. */
static enum tr_status time_pairs(struct exchanging *x, struct tr_trial *trial, int pairs, double *times, struct together *t, struct tr_err *err)
{
    double unused_s[TR_OP_KIND_COUNT] = {0}, all_s;
    enum tr_status status = time_step(x, trial, true, unused_s, &all_s, err);
    for (int pair = 0; pair < pairs && status == TR_OK; pair++) {
        double alone_s;
        status = time_step(x, trial, tr_comm_index(x->world) == 0, t->alone_s, &alone_s, err);
        if (status == TR_OK)
            status = time_step(x, trial, true, t->all_s, &all_s, err);
        if (status == TR_OK)
            times[pair] = all_s / alone_s;
    }
    return status;
}

static enum tr_status visit_program(struct exchanging *x, int which, int pairs, struct together *t, struct tr_err *err)
{
    struct tr_trial trial;
    enum tr_isa isa;
    enum tr_status status = tr_isa_choose(&isa, err);
    if (status == TR_OK)
        status = tr_trial_open(&trial, &at_once[which].shape, at_once[which].dtype, (struct tr_machine){tr_kernel_set(isa), t->threads}, err);
    if (status != TR_OK)
        return status;
    status = time_pairs(x, &trial, pairs, t->times[which] + t->pairs, t, err);
    tr_trial_close(&trial);
    return status;
}

static enum tr_status visit_work(struct exchanging *x, int pairs, struct together *t, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int i = 0; i < AT_ONCE && status == TR_OK; i++)
        status = part_done(x, visit_program(x, i, pairs, t, err), err);
    t->visits++;
    t->pairs += pairs;
    return status;
}

#define LITTLE .005  /* of a step: what takes less says nothing */
#define TIMES_MAX 8.

void tr_calibrate_work_times(const double alone_s[TR_OP_KIND_COUNT], const double all_s[TR_OP_KIND_COUNT], double times[TR_OP_KIND_COUNT])
{
    double alone_sum_s = 0, all_sum_s = 0;
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++) {
        alone_sum_s += alone_s[kind];
        all_sum_s += all_s[kind];
    }
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++) {
        bool seen = alone_s[kind] > LITTLE * alone_sum_s && all_s[kind] > 0;
        times[kind] = seen ? fmin(fmax(all_s[kind] / alone_s[kind] * alone_sum_s / all_sum_s, 1 / TIMES_MAX), TIMES_MAX) : 0;
    }
}

/* How many times as long steps take when all ranks compute, once turns on the cores are taken out: the mean of the programs' medians; how
 * far that of one visit to one program was from it; and which kinds of operations take more of it than others, where an operation's time
 * is its own. */
static void sum_up(struct together *t, double turns, struct tr_exchange_rates *out)
{
    const int each = t->pairs / t->visits;
    double sum = 0, visit[AT_ONCE][VISITS_MAX];
    for (int i = 0; i < AT_ONCE; i++) {
        for (int v = 0; v < t->visits; v++)
            visit[i][v] = tr_median(t->times[i] + v * each, each) / turns;
        sum += tr_median(t->times[i], t->pairs) / turns;
    }
    out->shared = fmin(fmax(1, sum / AT_ONCE), TR_EXCHANGE_TIMES_MAX);
    out->spread = 0;
    for (int i = 0; i < AT_ONCE; i++)
        for (int v = 0; v < t->visits; v++)
            out->spread = fmin(fmax(out->spread, fabs(visit[i][v] / out->shared - 1)), TR_EXCHANGE_TIMES_MAX);
    if (turns == 1)
        tr_calibrate_work_times(t->alone_s, t->all_s, out->work_times);
}

static enum tr_status measure_kind(struct exchanging *x, enum tr_coll_kind kind, int runs, struct tr_exchange_rates *out, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int size = 0; size < TR_EXCHANGE_SIZES && status == TR_OK; size++)
        status = measure(x, kind, size, runs, &out->time_s[kind][size], err);
    return part_done(x, status, err);
}

static enum tr_status measure_all(struct exchanging *x, int cores, struct tr_exchange_rates *out, struct tr_err *err)
{
    const double scale = x->options->scale;
    const int runs = scale < 1 ? 3 : RUNS_MAX, visits = visits_of(scale);
    struct together together = {.threads = (int)tr_max_i64(1, cores / tr_comm_count(x->world))};
    enum tr_status status = part_done(x, measure_beside(x, runs, &out->beside_s, err), err);
    for (int visit = 0; visit < visits && status == TR_OK; visit++) {
        status = visit_work(x, pairs_of(scale), &together, err);
        for (int kind = visit; kind < TR_COLL_KIND_COUNT && status == TR_OK; kind += visits)
            if (tr_exchange_measures((enum tr_coll_kind)kind))
                status = measure_kind(x, (enum tr_coll_kind)kind, runs, out, err);
    }
    if (status == TR_OK)
        sum_up(&together, fmax(1, (double)tr_comm_count(x->world) / cores), out);
    return status;
}

int tr_calibrate_rank_counts(int cores, int ranks[TR_PROFILE_EXCHANGES_MAX])
{
    int most = 4;
    while (2 * most <= cores && 2 * most <= TR_RANKS_THREADS_MAX)
        most *= 2;
    ranks[0] = 2, ranks[1] = 4, ranks[2] = most;
    return cores < 2 ? 0 : most > 4 ? 3 : 2;
}

int tr_calibrate_exchange_parts(double scale)
{
    int parts = visits_of(scale) * AT_ONCE + 1;
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
        parts += tr_exchange_measures((enum tr_coll_kind)kind);
    return parts;
}

enum tr_status tr_calibrate_exchange(struct tr_comm *world, int cores, const struct tr_calibrate_options *options, struct tr_progress *bar,
                                     struct tr_exchange_rates *out, struct tr_err *err)
{
    struct exchanging x = {.world = world, .options = options, .bar = bar};
    int64_t most = 2 * tr_exchange_bytes[TR_EXCHANGE_SIZES - 1];
    out->ranks = tr_comm_count(world);
    TR_ASSERT(out->ranks >= 2 && out->ranks <= TR_RANKS_THREADS_MAX);
    for (int i = 0; i < out->ranks; i++)
        x.leaf[i] = (struct tr_range){i, i + 1};
    enum tr_status status = tr_comm_map(world, most, &x.from, err);
    if (status == TR_OK)
        status = tr_comm_map(world, most, &x.to, err);
    if (status == TR_OK) {
        tr_slab_touch(&x.from);
        tr_slab_touch(&x.to);
        double hand_s = tr_comm_index(world) == 0 ? tr_chip_measure_hand_s() : 0; /* others wait for this one in measure_all */
        status = measure_all(&x, cores, out, err);
        out->hand_s = hand_s > 0 ? fmax(0, tr_calibrate_hand(hand_s, tr_chip_measure_hand_s())) : 0;
    }
    tr_comm_unmap(world, &x.to);
    tr_comm_unmap(world, &x.from);
    return status;
}

/* ---- ranks as threads -------------------------------------------------------------------------------------------- */

struct thread_job {
    const struct tr_calibrate_options *options;
    struct tr_progress *bar;
    struct tr_exchange_rates *out;
};

static enum tr_status be_a_thread(struct tr_comm *world, void *user, struct tr_err *err)
{
    const struct thread_job *job = user;
    struct tr_exchange_rates mine = *job->out;
    enum tr_status status = tr_calibrate_exchange(world, tr_cores_usable(), job->options, job->bar, &mine, err);
    if (tr_comm_index(world) == 0)
        *job->out = mine;
    return status;
}

enum tr_status tr_calibrate_threads(int ranks, const struct tr_calibrate_options *options, struct tr_progress *bar, struct tr_exchange_rates *out,
                                    struct tr_err *err)
{
    const struct tr_comm_config config = {.timeout_s = TIMEOUT_S};
    struct thread_job job = {options, bar, out};
    return tr_ranks_run(ranks, &config, be_a_thread, &job, err);
}
