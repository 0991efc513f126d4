/* Fits the parameters of the cost models to tables of measurements, and writes the section `fits` of the catalog.
 *
 *     fit [--date DATE] [--sweeps N] [--chip ID] [--only GROUP] TABLE.csv... > catalog/fits/measured.yaml          (`make fit TABLES=DIR`)
 *
 * For each table, chip and group of parameters (gemm.bf16, attention.fp8 ...): the parameters that give the least mean
 * of |predicted / measured - 1| over the rows, found by a search along coordinates and random directions (the models
 * have kinks: no gradients). How wrong the models are on what they were not fitted to is measured by cross-validation:
 * the groups of rows (validate.h) are dealt into FOLDS parts, each part is predicted by a fit to the others. Its errors
 * give the parameter `error`, the half width of the 80 % interval. Same tables, same program: same output. */
#include "base/fmath.h"
#include "base/text.h"
#include "plan/validate/validate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FOLDS = 5, PARAMS_MAX = 64, GROUP_BYTES = 64 };

struct problem {
    const struct tr_samples *samples;
    struct tr_rates rates;
    const struct tr_param *param[PARAMS_MAX];
    int param_count;
    const struct tr_sample **row;
    double *error; /* of each row */
    int64_t rows;
    int skip_fold; /* -1: none */
    int64_t stride;
    uint64_t random;
};

static double *value_of(struct tr_rates *rates, const struct tr_param *param)
{
    return (double *)(void *)((char *)rates + param->offset);
}

static double uniform(struct problem *p)
{
    p->random = p->random * 6364136223846793005u + 1442695040888963407u;
    return (double)(p->random >> 11) / 9007199254740992.;
}

static int fold_of(const struct tr_sample *sample) { return (int)((sample->group >> 33) % FOLDS); }

static double loss(const struct problem *p)
{
    double sum = 0;
    int64_t count = 0;
#pragma omp parallel for
    for (int64_t i = 0; i < p->rows; i += p->stride)
        if (fold_of(p->row[i]) != p->skip_fold)
            p->error[i] = fabs(tr_sample_cost(p->samples, p->row[i], &p->rates).time_s / p->row[i]->time_s - 1);
    for (int64_t i = 0; i < p->rows; i += p->stride) /* in one order, whatever the threads */
        if (fold_of(p->row[i]) != p->skip_fold)
            sum += p->error[i], count++;
    return count ? sum / (double)count : 0;
}

static bool move(struct problem *p, const struct tr_param *param, double by)
{
    double *value = value_of(&p->rates, param), was = *value;
    *value = fmin(param->max, fmax(param->min, was * tr_exp(by)));
    return *value != was;
}

/* Once more where a sweep over all coordinates went, and further as long as it gets better: along the valleys that
 * parameters make which stand for each other. */
static double follow(struct problem *p, const struct tr_rates *from, double best)
{
    double way[PARAMS_MAX], far = 1;
    for (int i = 0; i < p->param_count; i++)
        way[i] =
            tr_log(*value_of(&p->rates, p->param[i]) / *(const double *)((const char *)from + p->param[i]->offset));
    for (int tries = 0; tries < 6; tries++, far *= 1.7) {
        struct tr_rates kept = p->rates;
        for (int i = 0; i < p->param_count; i++)
            move(p, p->param[i], far * way[i]);
        double now = loss(p);
        if (now >= best) {
            p->rates = kept;
            break;
        }
        best = now;
    }
    return best;
}

static void search(struct problem *p, int sweeps)
{
    double step[PARAMS_MAX], best = loss(p);
    for (int i = 0; i < p->param_count; i++)
        step[i] = .25;
    for (int sweep = 0; sweep < sweeps; sweep++) {
        struct tr_rates before = p->rates;
        for (int i = 0; i < p->param_count; i++) {
            bool better = false;
            for (int sign = -1; sign <= 1 && !better; sign += 2) {
                struct tr_rates kept = p->rates;
                double now = move(p, p->param[i], sign * step[i]) ? loss(p) : best;
                better = now < best;
                if (better)
                    best = now;
                else
                    p->rates = kept;
            }
            step[i] = fmax(.004, step[i] * (better ? 1.6 : .55));
            if (sweep % 10 == 9)
                step[i] = fmax(step[i], sweep % 20 == 19 ? .25 : .1);
        }
        best = follow(p, &before, best);
        for (int i = 0; i < p->param_count; i++) {
            struct tr_rates kept = p->rates;
            for (int j = 0; j < p->param_count; j++)
                if (uniform(p) < .25)
                    move(p, p->param[j], (uniform(p) - .5) * 4 * step[j]);
            double now = loss(p);
            if (now < best)
                best = now;
            else
                p->rates = kept;
        }
    }
}

/* From the table's own values and from others about them, as the models have more than one valley (the more, the fewer rows
 * there are); on from the best. */
static void fit(struct problem *p, int sweeps)
{
    enum { FEW = 1000, STARTS = 4, STARTS_OF_FEW = 12 };
    const int starts = p->rows < FEW ? STARTS_OF_FEW : STARTS;
    struct tr_rates table = p->rates, found = table;
    double best = INFINITY;
    p->random = 1;
    if (p->rows < FEW)
        sweeps *= 5;
    p->stride = p->rows > 2000 ? 5 : 1;
    for (int start = 0; start < starts; start++) {
        p->rates = table;
        for (int i = 0; start > 0 && i < p->param_count; i++)
            move(p, p->param[i], uniform(p) - .5);
        search(p, sweeps / 2);
        double now = loss(p);
        if (now < best)
            best = now, found = p->rates;
    }
    p->rates = found;
    search(p, sweeps / 2);
    p->stride = 1;
    search(p, sweeps / 2);
}

/* --- what there is to fit --- */

/* "gemm.bf16." of a row. */
static void prefix_of(const struct tr_samples *samples, const struct tr_sample *sample, char out[GROUP_BYTES])
{
    static const char *const gemm[TR_FIT_FORMATS] = {"bf16", "fp8", "fp8_block", "int8", "int8_wo", "int4_wo", "fp4"};
    static const char *const attention[TR_FIT_ATTENTIONS] = {"wide", "cache8", "fp8"};
    if (samples->kind == TR_MEASURED_GEMM)
        snprintf(out, GROUP_BYTES, "gemm.%s.", gemm[tr_format_info(sample->of.gemm.format)->fit]);
    else if (samples->kind == TR_MEASURED_ATTENTION)
        snprintf(out, GROUP_BYTES, "attention.%s.", attention[tr_attention_fit(&sample->of.attention)]);
    else
        snprintf(out, GROUP_BYTES, "collective.%s.", tr_collective_name(sample->of.collective.op));
}

static void collect(struct problem *p, const char *prefix)
{
    int count;
    const struct tr_param *params = tr_params(&count);
    p->param_count = 0;
    for (int i = 0; i < count; i++) {
        const char *key = params[i].path + strlen(prefix);
        if (strncmp(params[i].path, prefix, strlen(prefix)) != 0 || strcmp(key, "error") == 0)
            continue;
        TR_ASSERT(p->param_count < PARAMS_MAX);
        p->param[p->param_count++] = &params[i];
    }
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Mean error on parts that the fit did not see; *error80: the half width that covers 80 % of them; found: what was fitted to the others. */
static double cross_validate(const struct problem *whole, int sweeps, double *error80, struct tr_rates found[FOLDS])
{
    double *errors = malloc((size_t)whole->rows * sizeof *errors), sum = 0;
    int64_t count = 0;
    TR_ASSERT(errors);
    for (int fold = 0; fold < FOLDS; fold++) {
        struct problem part = *whole;
        part.skip_fold = fold;
        fit(&part, sweeps / 2);
        found[fold] = part.rates;
        for (int64_t i = 0; i < part.rows; i++)
            if (fold_of(part.row[i]) == fold) {
                /* Relative to what is predicted, as an interval is given. */
                double predicted = tr_sample_cost(part.samples, part.row[i], &part.rates).time_s;
                sum += fabs(predicted / part.row[i]->time_s - 1);
                errors[count++] = fabs(part.row[i]->time_s / predicted - 1);
            }
    }
    qsort(errors, (size_t)count, sizeof *errors, ascending);
    *error80 = errors[count * 4 / 5];
    free(errors);
    return sum / (double)count;
}

/* To all rows; on from the best of this and of what was fitted to parts of them, each of which may have found a better valley. */
static double fit_whole(struct problem *p, int sweeps, const struct tr_rates found[FOLDS])
{
    fit(p, sweeps);
    struct tr_rates best = p->rates;
    double least = loss(p), own = least;
    for (int fold = 0; fold < FOLDS; fold++) {
        p->rates = found[fold];
        double now = loss(p);
        if (now < least)
            least = now, best = found[fold];
    }
    p->rates = best;
    if (least < own)
        search(p, sweeps / 2);
    return loss(p);
}

static int64_t count_groups(const struct problem *p)
{
    int64_t groups = 0;
    for (int64_t i = 0; i < p->rows; i++) {
        bool seen = false;
        for (int64_t j = 0; j < i && !seen; j++)
            seen = p->row[j]->group == p->row[i]->group;
        groups += !seen;
    }
    return groups;
}

/* Parameters by name; those of an inner group ("ll.start") in braces. */
static void print_values(struct problem *p, size_t prefix, struct tr_text *out)
{
    char open[GROUP_BYTES] = "";
    for (int i = 0; i < p->param_count; i++) {
        const char *key = p->param[i]->path + prefix, *point = strchr(key, '.');
        double value = *value_of(&p->rates, p->param[i]);
        bool time = p->param[i]->unit == TR_UNIT_TIME, inner = point && strncmp(open, key, (size_t)(point - key)) == 0;
        if (*open && !inner)
            tr_text_append(out, "}\n");
        if (point && !inner) {
            snprintf(open, sizeof open, "%.*s", (int)(point - key), key);
            tr_text_printf(out, "        %s: {", open);
        } else {
            tr_text_append(out, inner ? ", " : "        ");
        }
        if (!point)
            *open = 0;
        tr_text_printf(out, "%s: %.4g%s%s", point ? point + 1 : key, time ? value * 1e9 : value, time ? "ns" : "",
                       point ? "" : "\n");
    }
    if (*open)
        tr_text_append(out, "}\n");
}

static void print_group(struct problem *p, const char *prefix, int sweeps, struct tr_text *out)
{
    double outside = 0, error80 = 0;
    collect(p, prefix);
    for (int i = 0; i < p->param_count; i++) /* not from the last fit: the output depends on the tables alone */
        *value_of(&p->rates, p->param[i]) = p->param[i]->fallback;
    struct tr_rates start = p->rates, found[FOLDS];
    outside = cross_validate(p, sweeps, &error80, found);
    p->rates = start;
    double inside = fit_whole(p, sweeps, found);
    fprintf(stderr, "%s %s%lld rows: %.1f %% in sample, %.1f %% by group, 80 %% within %.1f %%\n", p->row[0]->what,
            prefix, (long long)p->rows, 100 * inside, 100 * outside, 100 * error80);
    const char *word = strchr(prefix, '.') + 1;
    tr_text_printf(out, "      # %lld rows in %lld groups: %.1f %% in sample, %.1f %% on groups held out.\n",
                   (long long)p->rows, (long long)count_groups(p), 100 * inside, 100 * outside);
    tr_text_printf(out, "      %.*s:\n        error: %.3g\n", (int)strlen(word) - 1, word, error80);
    print_values(p, strlen(prefix), out);
}

/* Rows of one chip and group. */
static void gather(struct problem *p, int chip, const char *prefix)
{
    p->rows = 0;
    for (int64_t i = 0; i < p->samples->count; i++) {
        const struct tr_sample *sample = &p->samples->at[i];
        char of[GROUP_BYTES];
        if (sample->chip != chip || sample->reason)
            continue;
        prefix_of(p->samples, sample, of);
        if (strcmp(of, prefix) == 0 && isfinite(tr_sample_cost(p->samples, sample, &p->rates).time_s))
            p->row[p->rows++] = sample;
    }
}

static const char *const gemm_prefixes[] = {"gemm.bf16.",    "gemm.fp8.",     "gemm.fp8_block.", "gemm.int8.",
                                            "gemm.int8_wo.", "gemm.int4_wo.", "gemm.fp4.",       NULL};
static const char *const attention_prefixes[] = {"attention.wide.", "attention.cache8.", "attention.fp8.", NULL};
static const char *const collective_prefixes[] = {
    "collective.all_reduce.",         "collective.all_gather.",      "collective.reduce_scatter.",
    "collective.all_to_all.",         "collective.trtllm.",          "collective.vllm_graph.",
    "collective.vllm_eager.",         "collective.sglang_graph.",    "collective.sglang_eager.",
    "collective.all_reduce_old.",     "collective.all_gather_old.",  "collective.reduce_scatter_old.",
    "collective.all_to_all_old.",     "collective.trtllm_old.",      "collective.vllm_graph_old.",
    "collective.vllm_eager_old.",     "collective.sglang_graph_old.", "collective.sglang_eager_old.", NULL};

static void fit_chip(const struct tr_samples *samples, int chip, int sweeps, const char *only, struct tr_text *out)
{
    static const char *const *const of[TR_MEASURED_KINDS] = {gemm_prefixes, attention_prefixes, collective_prefixes};
    const char *const *prefixes = of[samples->kind];
    bool first = true;
    struct problem p = {.samples = samples, .rates = samples->chip[chip].rates, .skip_fold = -1, .stride = 1};
    p.row = calloc((size_t)samples->count + 1, sizeof *p.row);
    p.error = calloc((size_t)samples->count + 1, sizeof *p.error);
    TR_ASSERT(p.row && p.error);
    for (int i = 0; prefixes[i]; i++) {
        gather(&p, chip, prefixes[i]);
        if (p.rows < 20 || (only && !strstr(prefixes[i], only)))
            continue;
        if (first)
            tr_text_printf(out, "    %.*s:\n", (int)strcspn(prefixes[i], "."), prefixes[i]);
        first = false;
        print_group(&p, prefixes[i], sweeps, out);
    }
    free(p.row);
    free(p.error);
}

static enum tr_status run(int argc, char **argv, struct tr_err *err)
{
    struct tr_catalog *catalog = NULL;
    static struct tr_samples samples[TR_MEASURED_KINDS * 4];
    int tables = 0, sweeps = 60;
    const char *date = "", *only = NULL, *only_chip = NULL;
    enum tr_status status = tr_catalog_open(&catalog, err);
    for (int i = 1; status == TR_OK && i < argc; i++) {
        if (strcmp(argv[i], "--date") == 0 && i + 1 < argc)
            date = argv[++i];
        else if (strcmp(argv[i], "--sweeps") == 0 && i + 1 < argc)
            sweeps = atoi(argv[++i]);
        else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
            only = argv[++i];
        else if (strcmp(argv[i], "--chip") == 0 && i + 1 < argc)
            only_chip = argv[++i];
        else if (tables < (int)(sizeof samples / sizeof *samples))
            status = tr_samples_read(argv[i], catalog, &samples[tables++], err);
    }
    struct tr_text out = {0};
    tr_text_append(
        &out, "# What chips reach: written by `make fit`, not by hand. Parameters: `silicon/cost/rates.h`.\nfits:\n");
    for (int c = 0; status == TR_OK && c < tr_catalog_count(catalog, TR_SECTION_CHIPS); c++) {
        const char *id = tr_catalog_entry(catalog, TR_SECTION_CHIPS, c)->id;
        struct tr_text entry = {0};
        if (only_chip && strcmp(only_chip, id) != 0)
            continue;
        for (int t = 0; t < tables; t++)
            for (int i = 0; i < samples[t].chip_count; i++)
                if (samples[t].chip[i].known && strcmp(samples[t].chip[i].chip.id, id) == 0)
                    fit_chip(&samples[t], i, sweeps, only, &entry);
        if (entry.len > 0)
            tr_text_printf(&out, "  %s:\n    source: operator-fits\n    date: %s\n%s", id, date, tr_text_str(&entry));
        tr_text_free(&entry);
    }
    if (status == TR_OK)
        fputs(tr_text_str(&out), stdout);
    tr_text_free(&out);
    for (int i = 0; i < tables; i++)
        tr_samples_free(&samples[i]);
    tr_catalog_free(catalog);
    return status;
}

int main(int argc, char **argv)
{
    struct tr_err err = {""};
    enum tr_status status = run(argc, argv, &err);
    if (status != TR_OK)
        fprintf(stderr, "fit: %s\n", err.text);
    return (int)status;
}
