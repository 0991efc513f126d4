/* How fast GPT-2 124M, or another preset, reads a prompt and writes: tokens a second of `prompt` tokens at once, then
 * of `more` tokens one by one, at batch 1. Weights are random, which changes no time. Medians of several runs.
 *
 *     bench_generate [f32 | bf16] [prompt 512] [more 128] [threads: all] [preset gpt2]
 */
#include "base/num.h"
#include "base/os.h"
#include "lab/serve/serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS = 5 };

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static enum tr_status measure(struct tr_generator *g, const int32_t *tokens, int64_t prompt, int64_t more,
                              struct tr_err *err)
{
    double read_s[RUNS], write_s[RUNS];
    for (int run = -1; run < RUNS; run++) { /* number -1 warms up */
        tr_generator_reset(g);
        double begin_s = tr_clock_s();
        enum tr_status status = tr_generator_read(g, tokens, prompt, err);
        double middle_s = tr_clock_s();
        for (int64_t i = 0; i < more && status == TR_OK; i++)
            status = tr_generator_read(g, tokens + prompt + i, 1, err);
        if (status != TR_OK)
            return status;
        read_s[run < 0 ? 0 : run] = middle_s - begin_s;
        write_s[run < 0 ? 0 : run] = tr_clock_s() - middle_s;
    }
    qsort(read_s, RUNS, sizeof *read_s, by_size);
    qsort(write_s, RUNS, sizeof *write_s, by_size);
    printf("%s %s, %d threads: prompt of %lld %.1f tok/s, then %lld one by one %.1f tok/s\n", g->model.name,
           tr_dtype_name(g->dtype), g->machine.threads, (long long)prompt, (double)prompt / read_s[RUNS / 2],
           (long long)more, (double)more / write_s[RUNS / 2]);
    return TR_OK;
}

static enum tr_status run(const char *preset, enum tr_dtype dtype, int64_t prompt, int64_t more, int threads,
                          struct tr_err *err)
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
    struct tr_machine machine = {.kernels = tr_kernel_set(isa), .threads = threads};
    status = tr_generator_open(&g, &model, dtype, &one, prompt + more, machine, NULL, err);
    if (status != TR_OK)
        return status;
    int32_t *tokens = calloc((size_t)(prompt + more), sizeof *tokens);
    tr_exec_init(&g.exec, 1);
    for (int64_t i = 0; tokens && i < prompt + more; i++)
        tokens[i] = (int32_t)(i * 7919 % model.vocab);
    status = tokens ? measure(&g, tokens, prompt, more, err) : tr_fail(err, TR_FAILED, "out of memory");
    free(tokens);
    tr_generator_close(&g);
    return status;
}

int main(int argc, char **argv)
{
    struct tr_err err = {{0}};
    bool bf16 = argc > 1 && strcmp(argv[1], "bf16") == 0;
    int64_t prompt = argc > 2 ? atoll(argv[2]) : 512, more = argc > 3 ? atoll(argv[3]) : 128;
    int threads = argc > 4 ? atoi(argv[4]) : tr_cores_usable();
    if (argc > 6 || prompt < 1 || more < 1 || threads < 1 || (argc > 1 && !bf16 && strcmp(argv[1], "f32") != 0)) {
        fprintf(stderr, "usage: bench_generate [f32 | bf16] [prompt] [more] [threads] [preset]\n");
        return TR_BAD_INPUT;
    }
    enum tr_status status = run(argc > 5 ? argv[5] : "gpt2", bf16 ? TR_BF16 : TR_F32, prompt, more, threads, &err);
    if (status != TR_OK)
        fprintf(stderr, "bench_generate: %s\n", err.text);
    return (int)status;
}
