/* Measures the search for layouts: GPT-3 175B on 4,096 chips, and others; layouts a second of one core, every one legal,
 * distinct and fully priced (time and memory).
 *
 *     bench_search [repeats]
 *
 * The median of the repeats is printed. For comparison the last column: tr_step_price alone, one layout after the other,
 * blocks and all. */
#include "base/num.h"
#include "base/os.h"
#include "base/quantity.h"
#include "plan/search/search.h"

#include <stdio.h>
#include <stdlib.h>

struct job {
    const char *model, *system, *stack;
    int64_t chips, seq_len, global_batch;
};

static const struct job jobs[] = {
    {"gpt3-175b", "dgx-a100", "megatron-core", 4096, 2048, 1536},
    {"gpt3-175b", "dgx-h100", "megatron-core", 1024, 2048, 1536},
    {"llama3.1-405b", "dgx-h100", "megatron-core", 16384, 8192, 2048},
    {"mixtral-8x7b", "dgx-h100", "megatron-core", 256, 4096, 1024},
    {"deepseek-v3", "dgx-h100", "megatron-core", 2048, 4096, 15360},
};

static void fail(const struct tr_err *err)
{
    fprintf(stderr, "bench_search: %s\n", err->text);
    exit(3);
}

static double price_alone_s(const struct tr_site *site, const struct tr_task *task, const struct tr_layout *layout)
{
    enum { TIMES = 200 };
    struct tr_err err;
    struct tr_step step;
    double begin = tr_clock_s();
    for (int i = 0; i < TIMES; i++)
        if (tr_step_price(site, task, layout, &step, &err) != TR_OK)
            fail(&err);
    return (tr_clock_s() - begin) / TIMES;
}

static void run(const struct tr_catalog *catalog, const struct job *job, int repeats)
{
    static struct tr_system system;
    static struct tr_stack stack;
    static struct tr_site site;
    struct tr_model_shape model;
    struct tr_err err;
    if (tr_shape_find(catalog, job->model, &model, &err) || tr_system_find(catalog, job->system, &system, &err) ||
        tr_stack_find(catalog, job->stack, &stack, &err) || tr_site_make(&site, &system, &stack, TR_FORMAT_BF16, &err))
        fail(&err);
    struct tr_task task = {.model = &model, .batch = {job->seq_len, job->global_batch}};
    struct tr_space space = {.chips = &job->chips, .chips_count = 1, .top = 1};
    double seconds[64];
    for (int i = 0; i < repeats; i++) {
        struct tr_search search;
        double begin = tr_clock_s();
        if (tr_search(&site, &task, &space, &search, &err) != TR_OK)
            fail(&err);
        seconds[i] = tr_clock_s() - begin;
        if (i == repeats - 1) {
            char layout[TR_LAYOUT_TEXT_BYTES];
            const struct tr_found *best = &search.best->fits.top[0];
            qsort(seconds, (size_t)repeats, sizeof *seconds, tr_ascending);
            double median = seconds[repeats / 2], alone = price_alone_s(&site, &task, &best->layout);
            printf("%-15s %-12s %6lld chips %11lld layouts %8.3f s %7.2f M/s   %5.1f k/s\n", job->model, job->system,
                   (long long)job->chips, (long long)search.legal, median, (double)search.legal / median * 1e-6,
                   1e-3 / alone);
            printf("    %s: %.4g s, %.1f GiB, MFU %.1f %%; %lld too big, front of %d\n",
                   tr_layout_print(&best->layout, layout), best->step.time_s, best->step.memory_bytes / (1 << 30),
                   100 * best->step.mfu, (long long)search.too_big, search.best->front_count);
        }
        tr_search_free(&search);
    }
}

int main(int argc, char **argv)
{
    struct tr_catalog *catalog;
    struct tr_err err;
    int repeats = argc > 1 ? atoi(argv[1]) : 5;
    if (repeats < 1 || repeats > 64) {
        fprintf(stderr, "usage: bench_search [repeats from 1 to 64]\n");
        return 2;
    }
    if (tr_catalog_open(&catalog, &err) != TR_OK)
        fail(&err);
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++)
        run(catalog, &jobs[i], repeats);
    tr_catalog_free(catalog);
    return 0;
}
