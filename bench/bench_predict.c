/* Steps of training predicted and measured: is a profile right about programs that it was not made from?
 *
 *     bench_predict PROFILE.yaml [FIRST COUNT [THREADS]]        (runs number FIRST to FIRST + COUNT - 1 of the list)
 *
 * The runs are drawn once by a generator with a fixed seed: both families, fp32 and bf16, widths 128 to 2048, 1 to 6 layers,
 * sequences of 64 to 4096 tokens, microbatches, recomputation, vocabularies up to 50,257, steps of at most about 1.5 s. None
 * of them is a program of the calibration. A row a run: what it is, predicted, measured (the lower of two
 * medians of the steps after the first), the error; then the mean of the errors' sizes, the median, and how many measured times lie in the interval.
 * With TRINE_BY_KIND in the environment, the kinds of operations of each run too (seconds a step, by the second visit). */
#include "base/num.h"
#include "base/os.h"
#include "lab/model/exec.h"
#include "plan/here/here.h"

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

static void sum_up(double *size, int count, double interval)
{
    double sum = 0;
    int inside = 0;
    for (int i = 0; i < count; i++) {
        sum += size[i];
        inside += size[i] <= interval;
    }
    qsort(size, (size_t)count, sizeof *size, tr_ascending);
    if (count > 0)
        printf("\n%d runs: mean %.2f %%, median %.2f %%, worst %.1f %%; %d within +- %.1f %%\n", count, 100 * sum / count,
               100 * size[count / 2], 100 * size[count - 1], inside, 100 * interval);
}

int main(int argc, char **argv)
{
    struct tr_catalog *catalog = NULL;
    struct tr_kernel_rates rates;
    struct tr_err err;
    enum tr_isa isa;
    double size[RUNS_MAX];
    int first = argc > 2 ? atoi(argv[2]) : 0, wanted = argc > 3 ? atoi(argv[3]) : 40, done = 0;
    int threads = argc > 4 ? atoi(argv[4]) : tr_cores_usable();
    if (argc < 2) {
        fprintf(stderr, "usage: bench_predict PROFILE.yaml [FIRST COUNT [THREADS]]\n");
        return 2;
    }
    if (tr_catalog_open_empty(&catalog, &err) != TR_OK || tr_catalog_add(catalog, argv[1], &err) != TR_OK ||
        tr_kernel_rates_find(catalog, threads, &rates, &err) != TR_OK || tr_isa_choose(&isa, &err) != TR_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 2;
    }
    struct tr_machine machine = {.kernels = tr_kernel_set(isa), .threads = threads};
    printf("| run | predicted | measured | error |\n|---|---|---|---|\n");
    for (int number = 0; number < first + wanted && done < RUNS_MAX;) {
        struct run run;
        if (!draw_run(&run))
            continue;
        double error;
        if (number++ >= first && score(&rates, &run, machine, &error))
            size[done++] = fabs(error);
    }
    sum_up(size, done, rates.step_error);
    tr_catalog_free(catalog);
    return 0;
}
