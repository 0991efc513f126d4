/* Steps of training predicted and measured: is a profile right about programs that it was not made from?
 *
 *     bench_predict PROFILE.yaml FIRST COUNT one       (runs number FIRST to FIRST + COUNT - 1 of the list) one rank, every third run
 *                                                      on one thread, the others on all cores
 *     bench_predict PROFILE.yaml FIRST COUNT ranks     on ranks, threads of this process, each run in the next layout
 *     bench_predict PROFILE.yaml FIRST COUNT choose    each run in every layout of up to a rank a core: is the one that is
 *                                                      chosen (plan/here/choose.h) the fastest? Those that cannot be
 *                                                      shared so are passed over: 0 41 has 16 rows
 *
 * The runs are drawn once by a generator with a fixed seed: both families, fp32 and bf16, widths 128 to 2048, 1 to 6 layers,
 * sequences of 64 to 4096 tokens, batches, microbatches, recomputation, vocabularies up to 50,257, steps of at most about 1.5 s. None
 * of them is a program of the calibration.
 *
 * As in a calibration the runs take turns, in three rounds over the whole time, so that what a machine does for a minute is in one visit to each of them at
 * most. At every visit a run is predicted, for what a line of a cache takes from core to core then, and afterwards its steps are timed (their median); it
 * is off by what it is in the middle one of its visits. A row a run, of that visit: what it is, predicted, measured, the error, the interval of 80 %, how far off
 * all visits were, what a line took (and whether that was otherwise afterwards), and whether other programs took the cores; then the mean of the
 * errors' sizes, the median, and how many measured times lie in the interval.
 * On ranks each layout takes its turn; a rank has its share of the cores, at least one thread; what lanes, heads or layers of a run
 * cannot be shared so is passed over. With TRINE_BY_KIND in the environment, the kinds of operations of each run too (seconds a step, by the last visit).
 *
 * For the choice all layouts are visited in rounds; then the one that was chosen and the one that was the fastest are visited in turn, and what
 * the choice costs is the median of the ratios of these pairs, beside half of the range in which the middle half of them lies: two that differ by less
 * are the same. The pairs were not what the fastest was found by, so that being lucky once does not count. */
#include "base/crowd.h"
#include "base/num.h"
#include "base/os.h"
#include "base/progress.h"
#include "lab/model/exec.h"
#include "plan/calibrate/inside.h"
#include "plan/here/choose.h"
#include "plan/here/here.h"
#include "silicon/chip/peak.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS_MAX = 200, STEPS_MIN = 2, STEPS_MAX = 64, VISITS = 3, PAIRS = 7 };
#define VISIT_S .2 /* at least, unless that takes too many steps */

struct run {
    struct tr_model_config model;
    struct tr_step_config step;
};

/* xorshift64*: any generator will do, as long as it is always the same. */
static uint64_t state = 20261126;
static int64_t draw(int64_t count)
{
    state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
    return (int64_t)((state * 0x2545F4914F6CDD1DULL >> 33) % (uint64_t)count);
}
#define PICK(list) list[draw((int64_t)(sizeof list / sizeof *list))]

/* A draw that may be of no use: heads that do not divide, a step that is too long or too short. */
static bool draw_run(struct run *run)
{
    static const int32_t widths[] = {128, 192, 256, 320, 384, 512, 640, 768, 896, 1024, 1280, 1600, 2048};
    static const int32_t head_dims[] = {32, 64, 64, 64, 128};
    static const int64_t vocabs[] = {257, 512, 1000, 4096, 8192, 16384, 50257}, seqs[] = {64, 128, 256, 512, 1024, 2048, 4096};
    static const int64_t batches[] = {1, 2, 4, 8, 16, 32, 64};
    static const int32_t layers[] = {1, 2, 3, 4, 6};
    struct tr_model_config *m = &run->model;
    *m = (struct tr_model_config){.name = "run", .family = draw(2) ? TR_GPT2 : TR_LLAMA, .width = PICK(widths),
                                  .head_dim = PICK(head_dims), .vocab = PICK(vocabs), .layers = PICK(layers), .norm_eps = 1e-5f,
                                  .rope_theta = 10000, .init_std = .02f};
    m->heads = m->width / m->head_dim;
    m->kv_heads = m->family == TR_LLAMA && m->heads % 2 == 0 && draw(2) ? m->heads / 2 : m->heads;
    m->ffn = m->family == TR_GPT2 ? 4 * m->width : (m->width * 8 / 3 + 63) / 64 * 64;
    m->tied = m->family == TR_GPT2;
    struct tr_step_config *s = &run->step;
    *s = (struct tr_step_config){.dtype = draw(2) ? TR_BF16 : TR_F32, .form = TR_FORM_ROWS, .seq_len = PICK(seqs),
                                 .batch = PICK(batches), .widths = {1, 1, 1, 1},
                                 .recompute = draw(4) ? TR_RECOMPUTE_ELEMENTWISE : TR_RECOMPUTE_FULL,
                                 .optimizer = TR_OPTIMIZER_ADAMW};
    m->positions = s->seq_len;
    s->micro_batch = s->batch >> draw(3);
    int64_t tokens = s->batch * s->seq_len;
    double flop = (double)tokens * (6. * m->layers * (4. * m->width * m->width + 3. * m->width * (double)m->ffn +
                                                      (double)m->width * (double)s->seq_len) +
                                    6. * (double)m->width * (double)m->vocab);
    return m->width % m->head_dim == 0 && s->micro_batch > 0 && tokens <= 16384 && flop > 2e9 && flop < 6e11;
}

static const char *words(const struct run *run, char text[160])
{
    const struct tr_model_config *m = &run->model;
    const struct tr_step_config *s = &run->step;
    snprintf(text, 160, "%s %d x %d, %d/%d heads, vocab %lld, %lld x %lld (%lld at a time), %s%s",
             m->family == TR_GPT2 ? "GPT-2" : "Llama", m->layers, (int)m->width, m->heads, m->kv_heads, (long long)m->vocab,
             (long long)s->batch, (long long)s->seq_len, (long long)s->micro_batch, tr_dtype_name(s->dtype),
             s->recompute == TR_RECOMPUTE_FULL ? ", recompute" : "");
    return text;
}

/* ---- a run in a layout ------------------------------------------------------------------------------------------- */

struct sitting {
    struct tr_run_programs programs;
    struct tr_machine machine;
    struct tr_rank_time took; /* by rank 0, in the last visit */
    double waiting;           /* seconds a second that threads of rank 0 had no core, the most of all visits */
};

/* False: the run cannot be shared so. */
static bool sit_down(struct sitting *s, const struct run *run, const struct tr_degrees *degrees, enum tr_isa isa, int threads)
{
    struct tr_step_config step = run->step;
    struct tr_err err;
    step.place = (struct tr_rank_place){.degrees = *degrees};
    *s = (struct sitting){.machine = {.kernels = tr_kernel_set(isa), .threads = threads}};
    return tr_run_programs_make(&run->model, &step, s->machine, &s->programs, &err) == TR_OK;
}

/* Steps after the first, which warms up; all ranks do as many as rank 0 wants. */
static enum tr_status do_steps(struct tr_exec *exec, struct tr_comm *world, double *time_s, int *steps, struct tr_err *err)
{
    static const struct tr_hyper hyper = {.lr = 1e-4, .beta1 = .9, .beta2 = .95, .eps = 1e-8, .weight_decay = .1, .clip_norm = 1};
    const struct tr_step_config *s = &exec->program->step;
    double all_s = 0;
    bool more = true;
    enum tr_status status = TR_OK;
    for (*steps = -1; status == TR_OK && more;) {
        double begin_s = tr_clock_s();
        tr_exec_set_hyper(exec, &hyper, *steps + 2);
        (void)tr_exec_gradients(exec, s->batch * s->seq_len);
        tr_exec_update(exec);
        if (*steps >= 0)
            all_s += time_s[*steps] = tr_clock_s() - begin_s;
        else
            memset(exec->time, 0, sizeof exec->time), memset(exec->coll_time, 0, sizeof exec->coll_time);
        ++*steps;
        more = *steps < STEPS_MIN || (*steps < STEPS_MAX && all_s < VISIT_S);
        status = tr_exec_failed(exec, err);
        if (status == TR_OK)
            status = tr_broadcast(world, 0, &more, sizeof more, err);
    }
    return status;
}

static enum tr_status measure_rank(struct tr_exec *exec, struct tr_comm *world, struct tr_rank_time *took, double *waiting, struct tr_err *err)
{
    double time_s[STEPS_MAX];
    int steps, threads = exec->machine.threads;
    tr_trial_fill(exec);
    double waited_s = tr_team_waited_s(threads), begin_s = tr_clock_s();
    enum tr_status status = do_steps(exec, world, time_s, &steps, err);
    if (status != TR_OK)
        return status;
    *waiting = (tr_team_waited_s(threads) - waited_s) / (tr_clock_s() - begin_s);
    took->step_s = tr_median(time_s, steps);
    for (int phase = 0; phase < TR_PHASE_COUNT; phase++) {
        for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
            took->op_s[phase][kind] = exec->time[phase][kind].time_s / steps;
        for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
            took->wait_s[phase][kind] = exec->coll_time[phase][kind].time_s / steps;
    }
    return TR_OK;
}

static enum tr_status be_a_rank(struct tr_comm *world, void *user, struct tr_err *err)
{
    struct sitting *s = user;
    int me = tr_comm_index(world);
    struct tr_exec exec;
    struct tr_rank_time took = {.step_s = 0};
    double waiting = 0;
    enum tr_status status = tr_exec_open(&exec, &s->programs.program[me], s->machine, NULL, err);
    if (status != TR_OK)
        return status;
    status = tr_exec_join(&exec, world, err);
    if (status == TR_OK)
        status = measure_rank(&exec, world, &took, &waiting, err);
    if (status != TR_OK)
        tr_comm_fail(world, status, err);
    tr_exec_close(&exec);
    if (me == 0) {
        s->took = took;
        s->waiting = fmax(s->waiting, waiting);
    }
    return status;
}

/* A step's median. What fails here is our own fault. */
static double visit(struct sitting *s)
{
    struct tr_err err;
    if (tr_ranks_run(s->programs.ranks, NULL, be_a_rank, s, &err) != TR_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(3);
    }
    return s->took.step_s;
}

/* ---- predictions ------------------------------------------------------------------------------------------------- */

/* Of kinds that take more than a hundredth of a step. */
static void print_kind(const char *name, double said_s, double is_s, double step_s)
{
    if (is_s > .01 * step_s || said_s > .01 * step_s)
        printf("    %-14s %8.4f %8.4f %+.1f %%\n", name, said_s, is_s, 100 * (said_s / is_s - 1));
}

/* Of rank 0. The profile has priced it already. */
static void print_kinds(const struct tr_catalog *catalog, double hand_s, const struct sitting *s)
{
    struct tr_rank_time all[TR_RANKS_THREADS_MAX];
    const struct tr_rank_time *said = &all[0], *is = &s->took;
    struct tr_kernel_rates rates;
    struct tr_exchange_rates exchange;
    struct tr_err err;
    bool alone = s->programs.ranks == 1;
    if (tr_kernel_rates_for(catalog, s->programs.threads, &rates, &err) != TR_OK ||
        (!alone && tr_exchange_find(catalog, "threads", s->programs.ranks, &exchange, &err) != TR_OK))
        return;
    tr_kernel_set_apart(&rates, hand_s);
    if (tr_here_together(&rates, alone ? NULL : &exchange, &s->programs, NULL, NULL, all, &err) != TR_OK)
        return;
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++) {
        double sum[2] = {0};
        for (int phase = 0; phase < TR_PHASE_COUNT; phase++)
            sum[0] += said->op_s[phase][kind], sum[1] += is->op_s[phase][kind];
        print_kind(tr_op_operands((enum tr_op_kind)kind)->name, sum[0], sum[1], is->step_s);
    }
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++) {
        double sum[2] = {0};
        for (int phase = 0; phase < TR_PHASE_COUNT; phase++)
            sum[0] += said->wait_s[phase][kind], sum[1] += is->wait_s[phase][kind];
        print_kind(tr_coll_kind_name((enum tr_coll_kind)kind), sum[0], sum[1], is->step_s);
    }
}

/* One visit: what a step would take, and what it took. */
struct visit {
    double said_s, error, is_s, hand_s, waiting;
    bool moved; /* the cores, meanwhile */
};

/* A run in its layout, and how far off predictions of it were. */
struct seat {
    struct run run;
    struct sitting sitting;
    char where[32]; /* the layout, or how many threads */
    struct visit visit[VISITS];
};

/* Whether what a line takes from core to core has stayed the same. */
static bool is_as_far(double before_s, double after_s) { return after_s <= 1.5 * before_s && before_s <= 1.5 * after_s; }

/* Of what it took; trine explain has the other sign, how much longer it took than predicted. */
static double off(const struct visit *v) { return v->said_s / v->is_s - 1; }

static void predict_and_visit(const struct tr_catalog *catalog, struct sitting *s, struct visit *v)
{
    struct tr_ranks_price price;
    struct tr_err err;
    *v = (struct visit){.hand_s = tr_chip_measure_hand_s()};
    if (tr_here_price_ranks(catalog, "threads", v->hand_s, &s->programs, 0, &price, &err) != TR_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(2);
    }
    s->waiting = 0;
    v->is_s = visit(s);
    v->said_s = price.step_s;
    v->error = price.error;
    v->moved = !is_as_far(v->hand_s, tr_chip_measure_hand_s());
    v->waiting = s->programs.ranks * s->programs.threads <= tr_cores_usable() ? s->waiting : 0;
}

static int by_off(const void *a, const void *b)
{
    double x = off(a), y = off(b);
    return (x > y) - (x < y);
}

/* A row of the table; returns how far off it is, and whether that is within the interval. */
static double print_row(const struct tr_catalog *catalog, struct seat *seat, bool *inside)
{
    char text[160];
    const double last_hand_s = seat->visit[VISITS - 1].hand_s;
    qsort(seat->visit, VISITS, sizeof *seat->visit, by_off);
    const struct visit *v = &seat->visit[VISITS / 2];
    printf("| %s | %s | %.4f s | %.4f s | %+.1f %% | %.1f %% | %+.1f to %+.1f %% | %.0f ns%s%s |\n", seat->where, words(&seat->run, text), v->said_s, v->is_s, 100 * off(v), 100 * v->error,
           100 * off(&seat->visit[0]), 100 * off(&seat->visit[VISITS - 1]), 1e9 * v->hand_s, v->moved ? ", then not" : "", v->waiting > TR_MUCH_WAITING ? ", others at work" : "");
    if (getenv("TRINE_BY_KIND"))
        print_kinds(catalog, last_hand_s, &seat->sitting);
    *inside = fabs(v->is_s / v->said_s - 1) <= v->error;
    return off(v);
}

static void print_rows(const struct tr_catalog *catalog, const char *where, struct seat *seat, int count)
{
    double size[RUNS_MAX], sum = 0, bias = 0;
    int inside = 0;
    printf("| %s | run | predicted | took | predicted / took - 1 | interval | visits | hand |\n|---|---|---|---|---|---|---|---|\n", where);
    for (int i = 0; i < count; i++) {
        bool is_inside;
        double is_off = print_row(catalog, &seat[i], &is_inside);
        inside += is_inside;
        bias += is_off;
        sum += size[i] = fabs(is_off);
    }
    double middle = tr_median(size, count);
    printf("\n%d runs: mean %.2f %%, median %.2f %%, worst %.1f %%, bias %+.2f %%; %d within their interval of 80 %%\n", count, 100 * sum / count, 100 * middle,
           100 * size[count - 1], 100 * bias / count, inside);
}

/* All of them in rounds, then the table; what they hold is freed. */
static void score_all(const struct tr_catalog *catalog, const char *where, struct seat *seat, int count)
{
    struct tr_progress bar;
    tr_progress_start(&bar, stderr, "bench_predict", "visit", VISITS * (int64_t)count);
    for (int i = 0; i < VISITS * count; i++) {
        predict_and_visit(catalog, &seat[i % count].sitting, &seat[i % count].visit[i / count]);
        tr_progress_update(&bar, i + 1, "%s", seat[i % count].where);
    }
    tr_progress_end(&bar);
    if (count > 0)
        print_rows(catalog, where, seat, count);
    for (int i = 0; i < count; i++)
        tr_run_programs_free(&seat[i].sitting.programs);
}

/* ---- one rank ---------------------------------------------------------------------------------------------------- */

static void score_one_rank(const struct tr_catalog *catalog, enum tr_isa isa, int first, int wanted)
{
    static const struct tr_degrees alone = {.zero = 0};
    static struct seat seat[RUNS_MAX];
    int count = 0;
    for (int number = 0; number < first + wanted && count < RUNS_MAX;) {
        struct seat *s = &seat[count];
        if (!draw_run(&s->run) || number++ < first)
            continue;
        int threads = number % 3 == 0 ? 1 : tr_cores_usable();
        snprintf(s->where, sizeof s->where, "%d", threads);
        count += sit_down(&s->sitting, &s->run, &alone, isa, threads);
    }
    score_all(catalog, "threads", seat, count);
}

/* ---- on ranks ---------------------------------------------------------------------------------------------------- */

#define DP(n, z) {.ranks = {[TR_GROUP_DATA] = (n)}, .zero = (z)}
#define TP(t, n, p) {.ranks = {[TR_GROUP_TENSOR] = (t), [TR_GROUP_DATA] = (n), [TR_GROUP_PIPE] = (p)}}
static const struct layout {
    const char *words;
    struct tr_degrees degrees;
} layouts[] = {
    {"dp=2", DP(2, 0)},
    {"tp=2", TP(2, 1, 1)},
    {"pp=2", TP(1, 1, 2)},
    {"dp=2,zero=1", DP(2, 1)},
    {"cp=2", {.ranks = {[TR_GROUP_CONTEXT] = 2}}},
    {"dp=2,zero=3", DP(2, 3)},
    {"tp=2,sp", {.ranks = {[TR_GROUP_TENSOR] = 2}, .sequence = true}},
    {"pp=2,vpp=2", {.ranks = {[TR_GROUP_PIPE] = 2}, .chunks = 2}},
    {"dp=4", DP(4, 0)},
    {"dp=2,tp=2", TP(2, 2, 1)},
    {"dp=2,pp=2", TP(1, 2, 2)},
    {"dp=2,zero=2", DP(2, 2)},
};
enum { LAYOUTS = sizeof layouts / sizeof *layouts };

/* False: the run cannot be shared so. */
static bool share(const struct layout *layout, struct run *run)
{
    const struct tr_degrees *d = &layout->degrees;
    struct tr_step_config *s = &run->step;
    int32_t lanes = tr_degrees_of(d, TR_GROUP_DATA), tensor = tr_degrees_of(d, TR_GROUP_TENSOR), context = tr_degrees_of(d, TR_GROUP_CONTEXT);
    s->widths = (struct tr_widths){lanes, context, tensor, 1};
    if (s->batch % lanes || (s->batch / lanes) % s->micro_batch)
        return false;
    return tr_degrees_of(d, TR_GROUP_PIPE) == 1 || run->model.layers % (tr_degrees_of(d, TR_GROUP_PIPE) * (d->chunks > 1 ? d->chunks : 1)) == 0;
}

static void score_on_ranks(const struct tr_catalog *catalog, enum tr_isa isa, int first, int wanted)
{
    static struct seat seat[RUNS_MAX];
    int count = 0;
    for (int number = 0; number < first + wanted && count < RUNS_MAX;) {
        const struct layout *layout = &layouts[number % LAYOUTS];
        int threads = (int)tr_max_i64(1, tr_cores_usable() / tr_degrees_ranks(&layout->degrees));
        struct seat *s = &seat[count];
        if (!draw_run(&s->run) || !share(layout, &s->run))
            continue;
        snprintf(s->where, sizeof s->where, "%s", layout->words);
        if (number < first)
            number++;
        else if (sit_down(&s->sitting, &s->run, &layout->degrees, isa, threads))
            count++, number++;
    }
    score_all(catalog, "layout", seat, count);
}

/* ---- the choice -------------------------------------------------------------------------------------------------- */


/* All layouts in rounds; took_s: of each the middle one. Returns the fastest. */
static int find_fastest(struct sitting *s, int count, double *took_s)
{
    int best = 0;
    double round_s[TR_LAYOUTS_KEPT][VISITS];
    for (int i = 0; i < VISITS * count; i++)
        round_s[i % count][i / count] = visit(&s[i % count]);
    for (int i = 0; i < count; i++) {
        took_s[i] = tr_median(round_s[i], VISITS);
        best = took_s[i] < took_s[best] ? i : best;
    }
    return best;
}

/* How many times as long the first takes as the second, and half of what the middle half of the pairs spans. */
static double hold_together(struct sitting *a, struct sitting *b, double *spread)
{
    double ratio[PAIRS];
    for (int i = 0; i < PAIRS; i++) {
        double first_s = visit(i % 2 ? b : a), second_s = visit(i % 2 ? a : b);
        ratio[i] = i % 2 ? second_s / first_s : first_s / second_s;
    }
    double middle = tr_median(ratio, PAIRS);
    *spread = (ratio[PAIRS - 1 - PAIRS / 4] - ratio[PAIRS / 4]) / 2;
    return middle;
}

/* What the choice among these costs. */
static double judge(struct sitting *s, const struct tr_choice *choice, int count, const struct run *run)
{
    double took_s[TR_LAYOUTS_KEPT] = {0}, times = 1, spread = 0;
    char text[160];
    int best = find_fastest(s, count, took_s);
    if (best > 0)
        times = hold_together(&s[0], &s[best], &spread);
    printf("| %s | %d | %s | %.4f s | %.4f s | %s | %.4f s | %.4f s | %+.1f %% +- %.1f |\n", words(run, text), count, tr_choice_words(&choice[0]), choice[0].step_s,
           took_s[0], tr_choice_words(&choice[best]), choice[best].step_s, took_s[best], 100 * (times - 1), 100 * spread);
    for (int i = 0; i < count && getenv("TRINE_BY_KIND"); i++)
        printf("    %-14s %8.4f %8.4f %+.1f %%\n", tr_choice_words(&choice[i]), choice[i].step_s, took_s[i], 100 * (choice[i].step_s / took_s[i] - 1));
    fflush(stdout);
    return times - 1;
}

/* The config of a run that is not left anything. */
static void config_of(const struct run *run, struct tr_run_config *config)
{
    static const struct tr_override text = {"data.path", "text"}; /* which nobody opens */
    const struct tr_step_config *s = &run->step;
    struct tr_err err;
    if (tr_run_config_read(config, NULL, &text, 1, &err) != TR_OK)
        TR_ASSERT(!"a config of nothing but a text");
    config->dtype = s->dtype;
    config->batch = s->batch;
    config->seq_len = s->seq_len;
    config->micro_batch = s->micro_batch;
    config->lanes = s->widths.lanes;
    config->context = s->widths.context;
    config->tensor = s->widths.tensor;
    config->vocab = s->widths.vocab;
    config->recompute = s->recompute + 1;
    config->optimizer = s->optimizer;
}

/* False: the run cannot be shared in many ways. */
static bool score_choice(const struct tr_catalog *catalog, struct run *run, enum tr_isa isa, double *cost)
{
    static struct tr_layouts_found found;
    static struct tr_run_config config;
    static struct sitting s[TR_LAYOUTS_KEPT];
    struct tr_err err;
    int sat = 0;
    run->step.widths = (struct tr_widths){2, 2, 2, 1};
    run->step.place = (struct tr_rank_place){.rank = 0};
    if (run->step.batch % 2 || (run->step.batch / 2) % run->step.micro_batch || run->step.seq_len < 128)
        return false;
    config_of(run, &config);
    const struct tr_choose_request request = {.profile = catalog, .fit = {.model = &run->model, .machine = {.kernels = tr_kernel_set(isa)}},
                                              .config = &config, .transport = "threads", .hand_s = tr_chip_measure_hand_s(), .cores = tr_cores_usable()};
    if (tr_here_choose(&request, &found, &err) != TR_OK)
        return false;
    while (sat < found.count && sit_down(&s[sat], run, &found.choice[sat].layout, isa,
                                        (int)tr_max_i64(1, tr_cores_usable() / tr_degrees_ranks(&found.choice[sat].layout))))
        sat++;
    TR_ASSERT(sat == found.count); /* they were made a moment ago */
    *cost = judge(s, found.choice, found.count, run);
    for (int i = 0; i < found.count; i++)
        tr_run_programs_free(&s[i].programs);
    return true;
}

static void score_choices(const struct tr_catalog *catalog, enum tr_isa isa, int first, int wanted)
{
    double worst = 0;
    int done = 0, inside = 0;
    printf("| run | layouts | chosen | predicted | took | fastest | predicted | took | costs |\n|---|---|---|---|---|---|---|---|---|\n");
    for (int number = 0; number < first + wanted && done < RUNS_MAX;) {
        struct run run;
        double cost;
        if (draw_run(&run) && number++ >= first && score_choice(catalog, &run, isa, &cost)) {
            inside += cost <= .03;
            worst = fmax(worst, cost);
            done++;
        }
    }
    if (done > 0)
        printf("\n%d runs: %d within 3 %% of the fastest, worst %.1f %%\n", done, inside, 100 * worst);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*score)(const struct tr_catalog *catalog, enum tr_isa isa, int first, int wanted);
    } modes[] = {{"one", score_one_rank}, {"ranks", score_on_ranks}, {"choose", score_choices}};
    struct tr_catalog *catalog = NULL;
    struct tr_err err;
    enum tr_isa isa;
    size_t mode = 0;
    while (argc == 5 && mode < sizeof modes / sizeof *modes && strcmp(argv[4], modes[mode].name) != 0)
        mode++;
    if (argc != 5 || mode == sizeof modes / sizeof *modes) {
        fprintf(stderr, "usage: bench_predict PROFILE.yaml FIRST COUNT one | ranks | choose\n");
        return 2;
    }
    if (tr_catalog_open_empty(&catalog, &err) != TR_OK || tr_catalog_add(catalog, argv[1], &err) != TR_OK || tr_isa_choose(&isa, &err) != TR_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 2;
    }
    modes[mode].score(catalog, isa, atoi(argv[2]), atoi(argv[3]));
    tr_catalog_free(catalog);
    return 0;
}
