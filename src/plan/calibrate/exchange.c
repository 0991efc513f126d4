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

enum { STEPS_MAX = 11 };

/* Two programs in which kernels of all kinds take their part. */
static const struct at_once {
    struct tr_trial_shape shape;
    enum tr_dtype dtype;
} at_once[] = {{{TR_GPT2, 384, 6, 6, 1536, 4096, 512, 2}, TR_F32}, {{TR_LLAMA, 640, 10, 5, 1792, 4096, 512, 2}, TR_BF16}};
enum { AT_ONCE = sizeof at_once / sizeof *at_once };

/* What steps took: whole ones, the median; and kinds of operations of this rank, all of them together. */
struct steps {
    double step_s, op_s[TR_OP_KIND_COUNT];
};

static void note_ops(const struct tr_exec *exec, double op_s[TR_OP_KIND_COUNT])
{
    for (int phase = 0; phase < TR_PHASE_COUNT; phase++)
        for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
            op_s[kind] += exec->time[phase][kind].time_s;
}

/* Some steps, each of which all ranks begin together and end with the last of them; `here`: this rank computes. */
static enum tr_status time_steps(struct exchanging *x, struct tr_trial *trial, bool here, int steps, struct steps *took, struct tr_err *err)
{
    double time_s[STEPS_MAX];
    *took = (struct steps){.step_s = 0};
    enum tr_status status = tr_barrier(x->world, err);
    for (int step = -1; step < steps && status == TR_OK; step++) { /* the first warms up */
        memset(trial->exec.time, 0, sizeof trial->exec.time);
        double begin_s = tr_clock_s();
        if (here)
            tr_trial_step(trial);
        status = tr_barrier(x->world, err);
        time_s[step < 0 ? 0 : step] = tr_clock_s() - begin_s;
        if (step >= 0)
            note_ops(&trial->exec, took->op_s);
        if (status == TR_OK)
            status = tr_calibrate_goes_on(x->options, err);
    }
    if (status != TR_OK)
        return status;
    qsort(time_s, (size_t)steps, sizeof *time_s, tr_ascending);
    took->step_s = time_s[steps / 2];
    return TR_OK;
}

/* A program when the first rank computes it alone, and when all do at one time; one thread a rank. */
static enum tr_status measure_program(struct exchanging *x, const struct at_once *which, int steps, struct steps *alone, struct steps *all,
                                      struct tr_err *err)
{
    struct tr_trial trial;
    enum tr_isa isa;
    enum tr_status status = tr_isa_choose(&isa, err);
    if (status == TR_OK)
        status = tr_trial_open(&trial, &which->shape, which->dtype, (struct tr_machine){tr_kernel_set(isa), 1}, err);
    if (status != TR_OK)
        return status;
    status = time_steps(x, &trial, tr_comm_index(x->world) == 0, steps, alone, err);
    if (status == TR_OK)
        status = time_steps(x, &trial, true, steps, all, err);
    tr_trial_close(&trial);
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

/* How many times as long steps take when all ranks compute: what is left when turns on the cores are taken out, the mean of the programs;
 * and which kinds of operations take more of that than others, where an operation's time is its own. */
static enum tr_status measure_shared(struct exchanging *x, int cores, int steps, struct tr_exchange_rates *out, struct tr_err *err)
{
    double sum = 0, turns = fmax(1, (double)tr_comm_count(x->world) / cores);
    struct steps alone[AT_ONCE], all[AT_ONCE];
    enum tr_status status = TR_OK;
    for (int i = 0; i < AT_ONCE && status == TR_OK; i++) {
        status = part_done(x, measure_program(x, &at_once[i], steps, &alone[i], &all[i], err), err);
        sum += status == TR_OK ? all[i].step_s / alone[i].step_s / turns : 0;
    }
    if (status != TR_OK)
        return status;
    for (int i = 1; i < AT_ONCE; i++)
        for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++) {
            alone[0].op_s[kind] += alone[i].op_s[kind];
            all[0].op_s[kind] += all[i].op_s[kind];
        }
    out->shared = fmax(1, sum / AT_ONCE);
    if (turns == 1)
        tr_calibrate_work_times(alone[0].op_s, all[0].op_s, out->work_times);
    return TR_OK;
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
    double scale = x->options->scale;
    int runs = scale < 1 ? 3 : RUNS_MAX;
    enum tr_status status = measure_shared(x, cores, scale < .2 ? 1 : scale < 1 ? 5 : STEPS_MAX, out, err);
    if (status == TR_OK)
        status = part_done(x, measure_beside(x, runs, &out->beside_s, err), err);
    for (int kind = 0; kind < TR_COLL_KIND_COUNT && status == TR_OK; kind++)
        if (tr_exchange_measures((enum tr_coll_kind)kind))
            status = measure_kind(x, (enum tr_coll_kind)kind, runs, out, err);
    return status;
}

int tr_calibrate_exchange_parts(void)
{
    int parts = AT_ONCE + 1;
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
