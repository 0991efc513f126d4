/* Steps of training predicted and measured: is a profile right about programs that it was not made from?
 *
 *     bench_predict PROFILE.yaml [FIRST COUNT [THREADS]]        (runs number FIRST to FIRST + COUNT - 1 of the list)
 *     bench_predict PROFILE.yaml FIRST COUNT ranks              the same on ranks, threads of this process, each run in the next layout
 *     bench_predict PROFILE.yaml FIRST COUNT choose             each run in every layout of up to a rank a core: is the one that is
 *                                                               chosen (plan/here/choose.h) the fastest?
 *
 * The runs are drawn once by a generator with a fixed seed: both families, fp32 and bf16, widths 128 to 2048, 1 to 6 layers,
 * sequences of 64 to 4096 tokens, microbatches, recomputation, vocabularies up to 50,257, steps of at most about 1.5 s. None
 * of them is a program of the calibration. A row a run: what it is, predicted, measured (the lower of two
 * medians of the steps after the first), the error; then the mean of the errors' sizes, the median, and how many measured times lie in the interval.
 * On ranks each layout takes its turn; a rank has its share of the cores, at least one thread; what lanes, heads or layers of a run
 * cannot be shared so is passed over. With TRINE_BY_KIND in the environment, the kinds of operations of each run too (seconds a step, by the second visit). */
#include "base/num.h"
#include "base/os.h"
#include "lab/model/exec.h"
#include "plan/here/here.h"
#include "plan/here/choose.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS_MAX = 200, STEPS_MIN = 3, STEPS_MAX = 64 };
#define MEASURED_S .25 /* at least, unless that takes too many steps; twice, and the better one counts */

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

static double measure(struct tr_exec *exec, int64_t vocab, int *count)
{
    static const struct tr_hyper hyper = {.lr = 1e-4, .beta1 = .9, .beta2 = .95, .eps = 1e-8, .weight_decay = .1, .clip_norm = 1};
    const struct tr_step_config *s = &exec->program->step;
    int64_t tokens = s->batch * s->seq_len;
    int32_t *token = tr_exec_buffer(exec, exec->program->tokens), *target = tr_exec_buffer(exec, exec->program->targets);
    double time_s[STEPS_MAX];
    tr_exec_init(exec, 1);
    for (int64_t i = 0; i < tokens; i++) {
        token[i] = (int32_t)(i * 7919 % vocab);
        target[i] = (int32_t)((i + 1) * 7919 % vocab);
    }
    int steps = -1; /* the first does not count */
    double all_s = 0;
    while (steps < STEPS_MIN || (steps < STEPS_MAX && all_s < MEASURED_S)) {
        double begin_s = tr_clock_s();
        tr_exec_set_hyper(exec, &hyper, steps + 2);
        (void)tr_exec_gradients(exec, tokens);
        tr_exec_update(exec);
        if (steps >= 0)
            all_s += time_s[steps] = tr_clock_s() - begin_s;
        else
            memset(exec->time, 0, sizeof exec->time);
        steps++;
    }
    *count = steps;
    qsort(time_s, (size_t)steps, sizeof *time_s, tr_ascending);
    return time_s[steps / 2];
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

/* The kinds of operations that take more than a hundredth of a step. `steps`: that exec has noted times of. */
static void print_kinds(const struct tr_here_time *predicted, const struct tr_exec *exec, int steps, double step_s)
{
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++) {
        double said_s = 0, is_s = 0;
        for (int phase = 0; phase < TR_PHASE_COUNT; phase++) {
            said_s += predicted->op_s[phase][kind];
            is_s += exec->time[phase][kind].time_s / steps;
        }
        if (is_s > .01 * step_s)
            printf("    %-12s %8.4f %8.4f %+.1f %%\n", tr_op_operands((enum tr_op_kind)kind)->name, said_s, is_s,
                   100 * (said_s / is_s - 1));
    }
}

static bool score(const struct tr_kernel_rates *rates, const struct run *run, struct tr_machine machine, double *error)
{
    struct tr_program program;
    struct tr_exec exec;
    struct tr_here_time predicted;
    struct tr_err err;
    char text[160];
    if (tr_program_train(&program, &run->model, &run->step, machine, &err) != TR_OK) {
        fprintf(stderr, "%s\n", err.text);
        return false;
    }
    tr_here_step(rates, &program, &predicted);
    bool ran = tr_exec_open(&exec, &program, machine, NULL, &err) == TR_OK;
    if (ran) {
        int steps;
        double first_s = measure(&exec, run->model.vocab, &steps);
        double measured_s = fmin(first_s, measure(&exec, run->model.vocab, &steps));
        *error = predicted.step_s / measured_s - 1;
        printf("| %s | %.4f s | %.4f s | %+.1f %% |\n", words(run, text), predicted.step_s, measured_s, 100 * *error);
        fflush(stdout);
        if (getenv("TRINE_BY_KIND"))
            print_kinds(&predicted, &exec, steps, measured_s);
        tr_exec_close(&exec);
    } else {
        fprintf(stderr, "%s\n", err.text);
    }
    tr_program_free(&program);
    return ran;
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

struct measured {
    const struct tr_run_programs *programs;
    struct tr_machine machine;
    double step_s; /* of rank 0, as all of this */
    struct tr_rank_time took;
};

static void fill_share(struct tr_exec *exec)
{
    const struct tr_program *p = exec->program;
    int32_t *token = tr_exec_buffer(exec, p->tokens), *target = tr_exec_buffer(exec, p->targets);
    int64_t count = p->lanes.count * (p->step.batch / p->step.widths.lanes) * p->step.seq_len;
    for (int64_t i = 0; i < count; i++) {
        token[i] = (int32_t)(i * 7919 % p->model.vocab);
        target[i] = (int32_t)((i + 1) * 7919 % p->model.vocab);
    }
}

/* The median of the steps after the first; all ranks do as many as rank 0 wants. */
static enum tr_status measure_rank(struct tr_exec *exec, struct tr_comm *world, struct tr_rank_time *took, struct tr_err *err)
{
    static const struct tr_hyper hyper = {.lr = 1e-4, .beta1 = .9, .beta2 = .95, .eps = 1e-8, .weight_decay = .1, .clip_norm = 1};
    const struct tr_step_config *s = &exec->program->step;
    double time_s[STEPS_MAX], all_s = 0;
    bool more = true;
    enum tr_status status = TR_OK;
    tr_exec_init(exec, 1);
    fill_share(exec);
    int steps = -1;
    while (status == TR_OK && more) {
        double begin_s = tr_clock_s();
        tr_exec_set_hyper(exec, &hyper, steps + 2);
        (void)tr_exec_gradients(exec, s->batch * s->seq_len);
        tr_exec_update(exec);
        if (steps >= 0)
            all_s += time_s[steps] = tr_clock_s() - begin_s;
        else
            memset(exec->time, 0, sizeof exec->time), memset(exec->coll_time, 0, sizeof exec->coll_time);
        steps++;
        more = steps < STEPS_MIN || (steps < STEPS_MAX && all_s < 2 * MEASURED_S);
        status = tr_exec_failed(exec, err);
        if (status == TR_OK)
            status = tr_broadcast(world, 0, &more, sizeof more, err);
    }
    qsort(time_s, (size_t)(steps > 0 ? steps : 0), sizeof *time_s, tr_ascending);
    took->step_s = steps > 0 ? time_s[steps / 2] : 0;
    for (int phase = 0; phase < TR_PHASE_COUNT && steps > 0; phase++) {
        for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
            took->op_s[phase][kind] = exec->time[phase][kind].time_s / steps;
        for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
            took->wait_s[phase][kind] = exec->coll_time[phase][kind].time_s / steps;
    }
    return status;
}

static enum tr_status be_a_rank(struct tr_comm *world, void *user, struct tr_err *err)
{
    struct measured *m = user;
    int me = tr_comm_index(world);
    struct tr_exec exec;
    struct tr_rank_time took = {.step_s = 0};
    enum tr_status status = tr_exec_open(&exec, &m->programs->program[me], m->machine, NULL, err);
    if (status != TR_OK)
        return status;
    status = tr_exec_join(&exec, world, err);
    if (status == TR_OK)
        status = measure_rank(&exec, world, &took, err);
    if (status != TR_OK)
        tr_comm_fail(world, status, err);
    tr_exec_close(&exec);
    if (me == 0) {
        m->step_s = took.step_s;
        m->took = took;
    }
    return status;
}

/* Of kinds that take more than a hundredth of a step. */
static void print_kind(const char *name, double said_s, double is_s, double step_s)
{
    if (is_s > .01 * step_s || said_s > .01 * step_s)
        printf("    %-14s %8.4f %8.4f\n", name, said_s, is_s);
}

static void print_rank(const struct tr_rank_time *said, const struct tr_rank_time *is)
{
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

/* False: the run cannot be shared so. */
static bool share(const struct layout *layout, struct run *run)
{
    const struct tr_degrees *d = &layout->degrees;
    struct tr_step_config *s = &run->step;
    int32_t lanes = tr_degrees_of(d, TR_GROUP_DATA), tensor = tr_degrees_of(d, TR_GROUP_TENSOR), context = tr_degrees_of(d, TR_GROUP_CONTEXT);
    s->widths = (struct tr_widths){lanes, context, tensor, 1};
    s->place.degrees = *d;
    if (s->batch % lanes || (s->batch / lanes) % s->micro_batch)
        return false;
    return tr_degrees_of(d, TR_GROUP_PIPE) == 1 || run->model.layers % (tr_degrees_of(d, TR_GROUP_PIPE) * (d->chunks > 1 ? d->chunks : 1)) == 0;
}

static struct tr_rank_time predict_ranks(const struct tr_kernel_rates *rates, const struct tr_exchange_rates *exchange,
                                         const struct tr_run_programs *programs)
{
    static struct tr_rank_time time[TR_RANKS_THREADS_MAX];
    struct tr_err err;
    if (tr_here_together(rates, exchange, programs, NULL, NULL, time, &err) != TR_OK)
        fprintf(stderr, "%s\n", err.text);
    return time[0];
}

/* False: it is none that can be shared so. */
static bool score_ranks(const struct tr_catalog *catalog, const struct run *run, const struct layout *layout, enum tr_isa isa,
                        double *error, double *interval)
{
    int ranks = (int)tr_degrees_ranks(&layout->degrees), threads = (int)tr_max_i64(1, tr_cores_usable() / ranks);
    struct tr_kernel_rates rates;
    struct tr_exchange_rates exchange;
    struct tr_run_programs programs;
    struct tr_err err;
    char text[160];
    struct measured m = {&programs, {.kernels = tr_kernel_set(isa), .threads = threads}, .step_s = 0};
    if (tr_kernel_rates_find(catalog, threads, &rates, &err) != TR_OK || tr_exchange_find(catalog, "threads", ranks, &exchange, &err) != TR_OK) {
        fprintf(stderr, "the profile has no record of %d threads or of exchanges\n", threads);
        exit(2);
    }
    if (tr_run_programs_make(&run->model, &run->step, m.machine, &programs, &err) != TR_OK)
        return false;
    struct tr_rank_time said = predict_ranks(&rates, &exchange, &programs);
    double predicted_s = said.step_s, first_s = 0;
    enum tr_status status = tr_ranks_run(ranks, NULL, be_a_rank, &m, &err);
    first_s = m.step_s;
    if (status == TR_OK)
        status = tr_ranks_run(ranks, NULL, be_a_rank, &m, &err);
    if (status == TR_OK) {
        double measured_s = fmin(first_s, m.step_s);
        *error = predicted_s / measured_s - 1;
        *interval = rates.step_error + exchange.shared - 1;
        printf("| %s | %s | %.4f s | %.4f s | %+.1f %% |\n", layout->words, words(run, text), predicted_s, measured_s, 100 * *error);
        if (getenv("TRINE_BY_KIND"))
            print_rank(&said, &m.took);
        fflush(stdout);
    } else {
        fprintf(stderr, "%s\n", err.text);
    }
    tr_run_programs_free(&programs);
    return status == TR_OK;
}

/* `inside`: how many lay in their interval of 80 %. */
static void sum_up(double *size, int count, int inside)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += size[i];
    qsort(size, (size_t)count, sizeof *size, tr_ascending);
    if (count > 0)
        printf("\n%d runs: mean %.2f %%, median %.2f %%, worst %.1f %%; %d within their interval of 80 %%\n", count, 100 * sum / count,
               100 * size[count / 2], 100 * size[count - 1], inside);
}

static void score_all_on_ranks(const struct tr_catalog *catalog, enum tr_isa isa, int first, int wanted)
{
    double size[RUNS_MAX], interval = 0;
    int done = 0, inside = 0;
    printf("| layout | run | predicted | measured | error |\n|---|---|---|---|---|\n");
    for (int number = 0; number < first + wanted && done < RUNS_MAX;) {
        const struct layout *layout = &layouts[number % LAYOUTS];
        struct run run;
        double error;
        if (!draw_run(&run) || !share(layout, &run))
            continue;
        if (number < first)
            number++;
        else if (score_ranks(catalog, &run, layout, isa, &error, &interval)) {
            inside += fabs(error) <= interval;
            size[done++] = fabs(error);
            number++;
        }
    }
    sum_up(size, done, inside);
}

/* ---- the choice -------------------------------------------------------------------------------------------------- */

enum { LAYOUTS_MAX = 64 };

/* The lower of two medians of a step in this layout; 0: it failed. */
static double time_of(const struct run *run, const struct tr_choice *choice, enum tr_isa isa)
{
    int ranks = (int)tr_degrees_ranks(&choice->layout);
    struct tr_run_programs programs;
    struct tr_err err;
    struct measured m = {&programs, {.kernels = tr_kernel_set(isa), .threads = (int)tr_max_i64(1, tr_cores_usable() / ranks)}, .step_s = 0};
    struct tr_step_config step = run->step;
    double best_s = INFINITY;
    step.place.degrees = choice->layout;
    enum tr_status status = tr_run_programs_make(&run->model, &step, m.machine, &programs, &err);
    if (status != TR_OK)
        return 0;
    for (int visit = 0; visit < 2 && status == TR_OK; visit++) {
        status = tr_ranks_run(ranks, NULL, be_a_rank, &m, &err);
        best_s = fmin(best_s, m.step_s);
    }
    tr_run_programs_free(&programs);
    return status == TR_OK ? best_s : 0;
}

static bool score_choice(const struct tr_catalog *catalog, struct run *run, enum tr_isa isa, double *regret)
{
    static struct tr_choice choice[LAYOUTS_MAX];
    char text[160];
    struct tr_err err;
    int count, best = 0;
    double chosen_s = 0, best_s = INFINITY;
    run->step.widths = (struct tr_widths){2, 2, 2, 1};
    run->step.place = (struct tr_rank_place){.rank = 0};
    if (run->step.batch % 2 || (run->step.batch / 2) % run->step.micro_batch || run->step.seq_len < 128)
        return false;
    const struct tr_choose_request request = {.profile = catalog, .model = &run->model, .step = &run->step, .kernels = tr_kernel_set(isa),
                                              .transport = "threads", .cores = tr_cores_usable()};
    if (tr_here_choose(&request, choice, LAYOUTS_MAX, &count, &err) != TR_OK)
        return false;
    for (int i = 0; i < count; i++) {
        double time_s = time_of(run, &choice[i], isa);
        if (time_s > 0 && time_s < best_s)
            best_s = time_s, best = i;
        chosen_s = i == 0 ? time_s : chosen_s;
    }
    *regret = chosen_s / best_s - 1;
    printf("| %s | %d | %s | %.4f s | %s | %.4f s | %.1f %% |\n", words(run, text), count, choice[0].words[0] ? choice[0].words : "one rank",
           chosen_s, choice[best].words[0] ? choice[best].words : "one rank", best_s, 100 * *regret);
    fflush(stdout);
    return true;
}

static void score_choices(const struct tr_catalog *catalog, enum tr_isa isa, int first, int wanted)
{
    double size[RUNS_MAX];
    int done = 0, inside = 0;
    printf("| run | layouts | chosen | took | fastest | took | more |\n|---|---|---|---|---|---|---|\n");
    for (int number = 0; number < first + wanted && done < RUNS_MAX;) {
        struct run run;
        double regret;
        if (!draw_run(&run))
            continue;
        if (number++ >= first && score_choice(catalog, &run, isa, &regret)) {
            inside += regret <= .03;
            size[done++] = regret;
        }
    }
    qsort(size, (size_t)done, sizeof *size, tr_ascending);
    if (done > 0)
        printf("\n%d runs: %d within 3 %% of the fastest, worst %.1f %%\n", done, inside, 100 * size[done - 1]);
}

static void score_all(const struct tr_kernel_rates *rates, struct tr_machine machine, int first, int wanted)
{
    double size[RUNS_MAX];
    int done = 0, inside = 0;
    printf("| run | predicted | measured | error |\n|---|---|---|---|\n");
    for (int number = 0; number < first + wanted && done < RUNS_MAX;) {
        struct run run;
        if (!draw_run(&run))
            continue;
        double error;
        if (number++ >= first && score(rates, &run, machine, &error)) {
            inside += fabs(error) <= rates->step_error;
            size[done++] = fabs(error);
        }
    }
    sum_up(size, done, inside);
}

int main(int argc, char **argv)
{
    struct tr_catalog *catalog = NULL;
    struct tr_kernel_rates rates;
    struct tr_err err;
    enum tr_isa isa;
    bool on_ranks = argc > 4 && strcmp(argv[4], "ranks") == 0, choice = argc > 4 && strcmp(argv[4], "choose") == 0;
    int first = argc > 2 ? atoi(argv[2]) : 0, wanted = argc > 3 ? atoi(argv[3]) : 40;
    int threads = argc > 4 && !on_ranks && !choice ? atoi(argv[4]) : tr_cores_usable();
    if (argc < 2) {
        fprintf(stderr, "usage: bench_predict PROFILE.yaml [FIRST COUNT [THREADS | ranks | choose]]\n");
        return 2;
    }
    if (tr_catalog_open_empty(&catalog, &err) != TR_OK || tr_catalog_add(catalog, argv[1], &err) != TR_OK ||
        tr_kernel_rates_find(catalog, threads, &rates, &err) != TR_OK || tr_isa_choose(&isa, &err) != TR_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 2;
    }
    if (on_ranks)
        score_all_on_ranks(catalog, isa, first, wanted);
    else if (choice)
        score_choices(catalog, isa, first, wanted);
    else
        score_all(&rates, (struct tr_machine){.kernels = tr_kernel_set(isa), .threads = threads}, first, wanted);
    tr_catalog_free(catalog);
    return 0;
}
