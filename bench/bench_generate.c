/* How fast GPT-2 124M, or another preset, reads a prompt and writes: tokens a second of `prompt` tokens at once, then
 * of `more` tokens one by one, at batch 1. Weights are random, which changes no time. Medians of several runs. Beside them
 * what memory allows: the same bytes of weights (and of keys and values) read and added up by the same threads, in turn
 * with the runs. With `detail` where the time of the single tokens goes, by operation.
 *
 *     bench_generate [f32 | bf16 | int8 | int4] [prompt 512] [more 128] [threads: all] [preset gpt2] [detail]
 */
#include "base/num.h"
#include "base/os.h"
#include "lab/serve/serve.h"
#include "silicon/chip/peak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS = 5 };

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, by_size);
    return values[count / 2];
}

static void print_detail(const struct tr_generator *g)
{
    double all = 0;
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
        all += g->exec.time[TR_PHASE_FORWARD][kind].time_s;
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++) {
        const struct tr_op_time *t = &g->exec.time[TR_PHASE_FORWARD][kind];
        if (t->calls > 0)
            printf("    %-14s %5.1f %% of the time, %7.2f us a call, %6.1f GB/s\n",
                   tr_op_operands((enum tr_op_kind)kind)->name, 100 * t->time_s / all, 1e6 * t->time_s / (double)t->calls,
                   1e-9 * (double)t->bytes / t->time_s);
    }
}

struct plan {
    enum tr_dtype dtype;
    enum tr_weight_form form;
    const char *name;
    int64_t prompt, more;
    int threads;
    bool detail;
};

static enum tr_status measure(struct tr_generator *g, const struct plan *plan, const int32_t *tokens, struct tr_err *err)
{
    double read_s[RUNS], write_s[RUNS], memory_s[RUNS];
    for (int run = -1; run < RUNS; run++) { /* number -1 warms up */
        const int at = run < 0 ? 0 : run;
        tr_generator_reset(g);
        double begin_s = tr_clock_s();
        enum tr_status status = tr_generator_read(g, tokens, plan->prompt, err);
        double middle_s = tr_clock_s();
        memset(g->exec.time, 0, sizeof g->exec.time);
        for (int64_t i = 0; i < plan->more && status == TR_OK; i++)
            status = tr_generator_read(g, tokens + plan->prompt + i, 1, err);
        if (status != TR_OK)
            return status;
        read_s[at] = middle_s - begin_s;
        write_s[at] = tr_clock_s() - middle_s;
        const struct tr_slab *weights = &g->exec.slab[TR_REGION_COPIES];
        memory_s[at] = tr_chip_measure_read_byte_s(g->machine.kernels->isa, weights->at, weights->bytes, plan->threads);
    }
    double memory = median(memory_s, RUNS), write = (double)plan->more / median(write_s, RUNS);
    double allowed = memory / (double)tr_generator_token_bytes(g, plan->prompt + plan->more / 2);
    printf("%s %s, %d threads: prompt of %lld %.1f tok/s, then %lld one by one %.1f tok/s, %.1f %% of the %.1f that memory "
           "allows (%.1f GB/s)\n", g->model.name, plan->name, plan->threads, (long long)plan->prompt,
           (double)plan->prompt / median(read_s, RUNS), (long long)plan->more, write, 100 * write / allowed, allowed,
           1e-9 * memory);
    if (plan->detail)
        print_detail(g);
    return TR_OK;
}

static enum tr_status run(const char *preset, const struct plan *plan, struct tr_err *err)
{
    struct tr_model_config model;
    struct tr_generator g;
    enum tr_isa isa;
    const struct tr_widths one = {1, 1, 1, 1};
    enum tr_status status = tr_isa_choose(&isa, err);
    if (status == TR_OK)
        status = tr_model_config_find(&model, preset, err);
    if (status != TR_OK)
        return status;
    struct tr_machine machine = {.kernels = tr_kernel_set(isa), .threads = plan->threads};
    const int64_t count = plan->prompt + plan->more;
    status = tr_generator_open(&g, &model, plan->dtype, plan->form, &one, count, machine, NULL, err);
    if (status != TR_OK)
        return status;
    int32_t *tokens = calloc((size_t)count, sizeof *tokens);
    tr_exec_init(&g.exec, 1);
    for (int64_t i = 0; tokens && i < count; i++)
        tokens[i] = (int32_t)(i * 7919 % model.vocab);
    status = tokens ? measure(&g, plan, tokens, err) : tr_fail(err, TR_FAILED, "out of memory");
    free(tokens);
    tr_generator_close(&g);
    return status;
}

static bool choose(struct plan *plan, const char *name)
{
    static const struct {
        const char *name;
        enum tr_dtype dtype;
        enum tr_weight_form form;
    } choice[] = {{"f32", TR_F32, TR_FORM_PANELS},
                  {"bf16", TR_BF16, TR_FORM_PANELS},
                  {"int8", TR_BF16, TR_FORM_INT8},
                  {"int4", TR_BF16, TR_FORM_INT4}};
    for (size_t i = 0; i < sizeof choice / sizeof *choice; i++)
        if (strcmp(name, choice[i].name) == 0) {
            plan->name = choice[i].name;
            plan->dtype = choice[i].dtype;
            plan->form = choice[i].form;
            return true;
        }
    return false;
}

int main(int argc, char **argv)
{
    struct tr_err err = {{0}};
    struct plan plan = {.prompt = argc > 2 ? atoll(argv[2]) : 512, .more = argc > 3 ? atoll(argv[3]) : 128,
                        .threads = argc > 4 ? atoi(argv[4]) : tr_cores_usable(), .detail = argc > 6};
    if (argc > 7 || plan.prompt < 1 || plan.more < 1 || plan.threads < 1 || !choose(&plan, argc > 1 ? argv[1] : "f32")) {
        fprintf(stderr, "usage: bench_generate [f32 | bf16 | int8 | int4] [prompt] [more] [threads] [preset] [detail]\n");
        return TR_BAD_INPUT;
    }
    enum tr_status status = run(argc > 5 ? argv[5] : "gpt2", &plan, &err);
    if (status != TR_OK)
        fprintf(stderr, "bench_generate: %s\n", err.text);
    return (int)status;
}
