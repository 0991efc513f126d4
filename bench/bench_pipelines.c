/* Measures what searches of pipelines find beyond even stages (plan/search/beyond.c), and how far prices by stages are from walks.
 *
 *     bench_pipelines              of eight models on DGX H100, two stages or more, all schedules: a step of even stages alone and of all,
 *                                  what the pipeline takes as composed over what its walk takes, and how long each search takes
 *     bench_pipelines walks [N]    of six models N interleaved layouts drawn at random, 400 unless said: composed over walked
 *
 * Stack megatron-core, bf16. */
#include "base/num.h"
#include "base/os.h"
#include "plan/search/search.h"
#include "plan/step/walk.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct tr_system dgx;
static struct tr_stack stack;
static struct tr_site site;

static void fail(const struct tr_err *err)
{
    fprintf(stderr, "bench_pipelines: %s\n", err->text);
    exit(3);
}

/* What of the step the walk has, over the walk. */
static double composed_over_walked(const struct tr_task *task, const struct tr_layout *layout, const struct tr_step *step)
{
    struct tr_walk walk;
    struct tr_err err;
    if (tr_walk_make(&walk, &site, task, layout, &err) != TR_OK)
        fail(&err);
    double ratio = 1 - tr_walk_longer_s(&walk, &site, step) / walk.time_s;
    tr_walk_free(&walk);
    return ratio;
}

/* ---- searches -------------------------------------------------------------------------------------------------------- */

static const struct job {
    const char *model;
    int64_t chips, seq_len, global_batch;
} jobs[] = {{"gpt3-175b", 1024, 2048, 1536},   {"gpt-oss-120b", 512, 4096, 1024}, {"llama3-8b", 64, 8192, 128},
            {"llama3.1-405b", 1024, 8192, 512}, {"llama3-70b", 512, 8192, 512},    {"mixtral-8x7b", 128, 4096, 512},
            {"deepseek-v3", 2048, 8192, 384},   {"qwen3-235b-a22b", 1024, 8192, 384}};

static void search(const struct tr_catalog *catalog, const struct job *job)
{
    struct tr_model_shape model;
    struct tr_err err;
    double step_s[2];
    if (tr_shape_find(catalog, job->model, &model, &err))
        fail(&err);
    struct tr_task task = {.model = &model, .batch = {job->seq_len, job->global_batch}};
    printf("%-16s %5lld chips", job->model, (long long)job->chips);
    for (int even = 1; even >= 0; even--) {
        struct tr_space space = {.chips = &job->chips, .chips_count = 1, .top = 1, .pp = {2, 0}, .even = even, .passes = tr_passes_make()};
        struct tr_search found;
        char layout[TR_LAYOUT_TEXT_BYTES];
        double begin_s = tr_clock_s();
        if (tr_search(&site, &task, &space, &found, &err) != TR_OK)
            fail(&err);
        double took_s = tr_clock_s() - begin_s;
        const struct tr_found *best = &found.best->fits.top[0];
        step_s[even] = best->step.time_s;
        printf("  %s %.4g s (walk %.3f), searched in %.3f s", even ? "even" : "all", best->step.time_s,
               composed_over_walked(&task, &best->layout, &best->step), took_s);
        if (!even)
            printf("  %+.2f %%  %s\n", 100 * (step_s[0] / step_s[1] - 1), tr_layout_print(&best->layout, layout));
        tr_search_free(&found);
        tr_passes_free(space.passes);
    }
}

/* ---- walks ----------------------------------------------------------------------------------------------------------- */

static int64_t draw(uint64_t *random, int64_t below)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((*random >> 33) % (uint64_t)below);
}

struct off {
    int count;
    double sum, low, high;
};

static void print_off(const char *what, const struct off *off)
{
    if (off->count)
        printf("  %s: %d, mean %.2f %%, %+.1f to %+.1f", what, off->count, 100 * off->sum / off->count, 100 * off->low, 100 * off->high);
}

static void walk(const struct tr_catalog *catalog, const char *name, int wanted)
{
    struct tr_model_shape model;
    struct tr_err err;
    struct off off[2] = {{0}};
    uint64_t random = 12345;
    if (tr_shape_find(catalog, name, &model, &err))
        fail(&err);
    for (int tries = 0; tries < 100 * wanted && off[1].count < wanted; tries++) {
        struct tr_layout l = tr_layout_single();
        struct tr_step step;
        l.tp = model.experts ? 1 : 8, l.sp = l.tp > 1, l.ep = l.dp = model.experts ? 8 : 1;
        l.pp = 2 + (int32_t)draw(&random, 15), l.vpp = 2 + (int32_t)draw(&random, 15), l.pipeline = TR_PIPELINE_INTERLEAVED;
        struct tr_task task = {.model = &model, .batch = {4096, l.dp * l.pp * (1 + draw(&random, 8))}};
        if (tr_step_price(&site, &task, &l, &step, &err) != TR_OK)
            continue;
        struct off *of = &off[tr_layout_is_ragged(&l, model.layers)];
        double is = composed_over_walked(&task, &l, &step) - 1;
        of->count++, of->sum += fabs(is);
        of->low = fmin(of->low, is), of->high = fmax(of->high, is);
    }
    printf("%-16s", name);
    print_off("equal", &off[0]);
    print_off("ragged", &off[1]);
    printf("\n");
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"gpt3-175b", "llama3.1-405b", "llama3-70b", "deepseek-v3", "gpt-oss-120b", "mixtral-8x7b"};
    struct tr_catalog *catalog;
    struct tr_err err;
    int wanted = argc > 2 ? atoi(argv[2]) : 400;
    if (argc > 3 || (argc > 1 && strcmp(argv[1], "walks") != 0) || wanted < 1 || wanted > 100000) {
        fprintf(stderr, "usage: bench_pipelines [walks [layouts from 1 to 100000]]\n");
        return 2;
    }
    if (tr_catalog_open(&catalog, &err) || tr_system_find(catalog, "dgx-h100", &dgx, &err) || tr_stack_find(catalog, "megatron-core", &stack, &err) ||
        tr_site_make(&site, &dgx, &stack, TR_FORMAT_BF16, &err))
        fail(&err);
    for (size_t i = 0; argc > 1 && i < sizeof names / sizeof *names; i++)
        walk(catalog, names[i], wanted);
    for (size_t i = 0; argc == 1 && i < sizeof jobs / sizeof *jobs; i++)
        search(catalog, &jobs[i]);
    tr_catalog_free(catalog);
    return 0;
}
