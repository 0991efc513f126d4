/* Fits what software stacks make of a chip's rates to tables of whole runs, and writes section `stack_fits` of the catalog.
 *
 *     fit_stacks [--stack NAME] [--without TABLE] [--date DATE] [--sweeps N] [--deal N] train_runs.csv...
 *         > catalog/stacks/fits.yaml
 *
 * (`make fit-stacks`.) --without: a table of runs that are to be predicted and not learned from. What has the id of one
 * of its rows, or its source, model and software, is left out of everything here, whatever its chips and layout.
 *
 * For each stack that has runs: the parameters (plan/stack/stack.h, tr_stack_params) that give the least error. A source of
 * runs counts by the square root of its rows, so that one long table does not decide alone, and a row by |log(predicted /
 * measured)|. Parameters that no run depends on stay as the stack's entry says, and with few runs all stay near that; a stack
 * begins where the one that it is like ended.
 *
 * How wrong that is on runs that were not fitted to: whole groups (source, model, chip) are dealt into FOLDS parts, each
 * predicted by a fit to the others, which begins where the fit to the same parts of the stack that it is like ended; the half
 * width that covers 80 % of those errors is the stack's `error`. --deal N deals the groups another way (0 if not said): how far
 * that figure moves with N is how much of it is luck. What is fitted to all runs is the same whatever N. */
#include "base/fmath.h"
#include "base/text.h"
#include "plan/validate/validate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FOLDS = 5, STARTS = 4, FEW = 9, ROWS_MAX = 1 << 16, PARAMS_MAX = 32 };

struct row {
    const struct tr_sample *sample;
    struct tr_run run; /* with a site of our own, in which the parameters change */
    struct tr_layout layout; /* with what the row leaves open as it was chosen last (choose) */
    struct tr_run_site *where;
    double weight;
    uint64_t group;
};

struct problem {
    struct row *row;
    int64_t rows;
    struct tr_run_site *site;
    int sites;
    struct tr_stack stack, start; /* start: as the catalog says without fits */
    const struct tr_stack_param *param;
    int params, skip_fold;
    bool used[PARAMS_MAX];
    uint64_t random, deal;
};

static double *value_of(struct tr_stack *stack, const struct tr_stack_param *param)
{
    return &((struct tr_fact *)(void *)((char *)stack + param->offset))->value;
}

static double uniform(struct problem *p)
{
    p->random = p->random * 6364136223846793005u + 1442695040888963407u;
    return (double)(p->random >> 11) / 9007199254740992.;
}

static int fold_of(const struct row *row) { return (int)((row->group >> 33) % FOLDS); }

static void spread(struct problem *p)
{
    for (int i = 0; i < p->sites; i++)
        for (int k = 0; k < p->params; k++)
            *value_of(&p->site[i].stack, &p->param[k]) = *value_of(&p->stack, &p->param[k]);
}

static bool price(const struct row *row, double *time_s)
{
    struct tr_step step;
    struct tr_err why;
    if (tr_step_price(&row->run.where->site, &row->run.task, &row->layout, &step, &why) != TR_OK)
        return false;
    *time_s = step.time_s;
    return true;
}

/* What rows leave open is chosen anew when the parameters have come a way, and not at each of their steps: a search each. */
static void choose(struct problem *p)
{
    struct tr_step step;
    struct tr_err why;
    spread(p);
    for (int64_t i = 0; i < p->rows; i++) {
        struct row *row = &p->row[i];
        bool open = row->run.micro_open || row->run.rerun_open || row->run.chunks_open || row->run.ep_open ||
                    row->run.context_open;
        if (open && tr_run_price(&row->run, &step, &row->layout, &why) != TR_OK)
            fprintf(stderr, "%lld: %s\n", (long long)row->sample->line, why.text);
    }
}

static bool is_linear(const struct tr_stack_param *param) { return param->max == 1; }

/* How far the parameters are from where they began, in steps of which one is large: with few runs they stay near. */
static double distance(struct problem *p)
{
    double sum = 0;
    for (int i = 0; i < p->params; i++) {
        double now = *value_of(&p->stack, &p->param[i]), was = *value_of(&p->start, &p->param[i]);
        double step = is_linear(&p->param[i]) ? (now - was) / .3 : tr_log(fmax(now, 1e-6) / fmax(was, 1e-6));
        sum += step * step;
    }
    return sum;
}

static double loss(struct problem *p)
{
    /* Chosen by the error on groups held out, of .02, .1 and .4. */
    const double prior = p->start.release ? .1 : .02;
    double sum = 0, weights = 0, time_s;
    spread(p);
    for (int64_t i = 0; i < p->rows; i++) {
        const struct row *row = &p->row[i];
        if (fold_of(row) == p->skip_fold || !price(row, &time_s))
            continue;
        sum += row->weight * fabs(tr_log(time_s / row->sample->time_s));
        weights += row->weight;
    }
    return weights > 0 ? sum / weights + prior * distance(p) / (double)(p->rows + 1) : 0;
}

static bool move(struct problem *p, int which, double by)
{
    const struct tr_stack_param *param = &p->param[which];
    double *value = value_of(&p->stack, param), was = *value;
    /* Shares that may be 0 move on a line, times on a logarithmic one. */
    *value = is_linear(param) ? was + .3 * by : fmax(was, 1e-7) * tr_exp(by);
    *value = fmin(param->max, fmax(param->min, *value));
    return *value != was;
}

static double descend(struct problem *p, int sweeps)
{
    double step[PARAMS_MAX], best = 0;
    for (int i = 0; i < p->params; i++)
        step[i] = .3;
    for (int sweep = 0; sweep < sweeps; sweep++) {
        if (sweep % 4 == 0) {
            choose(p);
            best = loss(p);
        }
        for (int i = 0; i < p->params; i++) {
            bool better = false;
            for (int sign = -1; sign <= 1 && p->used[i] && !better; sign += 2) {
                struct tr_stack kept = p->stack;
                double now = move(p, i, sign * step[i]) ? loss(p) : best;
                better = now < best - 1e-6;
                if (better)
                    best = now;
                else
                    p->stack = kept;
            }
            step[i] = fmax(.004, step[i] * (better ? 1.6 : .55));
        }
        for (int turn = 0; turn < p->params; turn++) {
            struct tr_stack kept = p->stack;
            for (int j = 0; j < p->params; j++)
                if (p->used[j] && uniform(p) < .3)
                    move(p, j, (uniform(p) - .5) * 4 * step[j]);
            double now = loss(p);
            if (now < best - 1e-6)
                best = now;
            else
                p->stack = kept;
        }
        if (sweep % 8 == 7)
            for (int i = 0; i < p->params; i++)
                step[i] = fmax(step[i], .1);
    }
    return best;
}

/* From where the stack begins, and from points around it: valleys are many and flat, and the first is not always the
 * deepest. The best of short descents goes on. */
static void search(struct problem *p, int sweeps)
{
    struct tr_stack first = p->stack, best = first;
    double least = INFINITY;
    for (int start = 0; start < STARTS; start++) {
        p->stack = first;
        for (int i = 0; i < p->params && start; i++)
            if (p->used[i])
                move(p, i, (uniform(p) - .5) * 2);
        double now = descend(p, sweeps / 2);
        if (now < least)
            least = now, best = p->stack;
    }
    p->stack = best;
    descend(p, sweeps);
    spread(p);
}

/* Which parameters change any prediction. */
static void find_used(struct problem *p)
{
    for (int i = 0; i < p->params; i++) {
        struct tr_stack kept = p->stack;
        double before = loss(p);
        p->used[i] = (move(p, i, .2) && loss(p) != before);
        p->stack = kept;
        p->used[i] = p->used[i] || (move(p, i, -.2) && loss(p) != before);
        p->stack = kept;
    }
    spread(p);
}

/* ---- the runs of a stack ----------------------------------------------------------------------------------------- */

static uint64_t hash_of(const char *text, uint64_t hash)
{
    for (; *text; text++)
        hash = (hash ^ (uint64_t)(unsigned char)*text) * 0x100000001B3u;
    return hash ^ hash >> 29;
}

static bool one_node(const struct row *row)
{
    return tr_layout_chips(&row->run.layout) <= row->where->system.chips_per_node;
}

/* A source's runs on one node and those on many count as two sources; one of few runs counts by their number. */
static void weigh(struct problem *p)
{
    for (int64_t i = 0; i < p->rows; i++) {
        int64_t same = 0;
        for (int64_t j = 0; j < p->rows; j++)
            same += strcmp(p->row[i].sample->source, p->row[j].sample->source) == 0 &&
                    one_node(&p->row[i]) == one_node(&p->row[j]);
        p->row[i].weight = 1 / sqrt(fmax((double)same, FEW));
    }
}

static const char *id_of(const struct tr_samples *table, const struct tr_sample *sample)
{
    int column = tr_csv_column(&table->csv, "id");
    return column < 0 ? "" : tr_csv_cell(&table->csv, sample - table->at, column);
}

static bool is_akin(const struct tr_sample *a, const struct tr_sample *b)
{
    return a->of.run->where && b->of.run->where && strcmp(a->source, b->source) == 0 &&
           strcmp(a->of.run->model.name, b->of.run->model.name) == 0 &&
           strcmp(a->of.run->where->stack.name, b->of.run->where->stack.name) == 0;
}

static bool is_left_out(const struct tr_samples *samples, const struct tr_sample *sample, const struct tr_samples *without)
{
    const char *id = id_of(samples, sample);
    for (int64_t i = 0; i < without->count; i++)
        if (is_akin(&without->at[i], sample) || (*id && strcmp(id_of(without, &without->at[i]), id) == 0))
            return true;
    return false;
}

static bool is_to_fit(const struct tr_sample *sample, const char *stack)
{
    const struct tr_run *run = sample->of.run;
    return !sample->reason && !run->layout_open && !run->assumed && strcmp(run->where->stack.name, stack) == 0;
}

static void gather(struct problem *p, const struct tr_samples *samples, const struct tr_samples *without, const char *stack)
{
    for (int64_t i = 0; i < samples->count; i++) {
        const struct tr_sample *sample = &samples->at[i];
        if (!is_to_fit(sample, stack) || is_left_out(samples, sample, without))
            continue;
        struct row row = {.sample = sample, .run = *sample->of.run};
        int at;
        for (at = 0; at < p->sites; at++)
            if (memcmp(&p->site[at].system, &row.run.where->system, sizeof p->site[at].system) == 0 &&
                p->site[at].site.format == row.run.where->site.format)
                break;
        if (at == p->sites) {
            TR_ASSERT(p->sites < TR_RUN_SITES_MAX);
            struct tr_run_site *own = &p->site[p->sites++];
            *own = *row.run.where;
            own->site.system = &own->system;
            own->site.stack = &own->stack;
            own->site.products = calloc(1, sizeof *own->site.products);
            TR_ASSERT(own->site.products);
        }
        row.run.where = row.where = &p->site[at];
        p->row[p->rows] = row;
        row.run.task.model = &row.run.model;
        struct row *kept = &p->row[p->rows];
        struct tr_step step;
        struct tr_err why;
        kept->run.task.model = &kept->run.model;
        if (p->rows + 1 == ROWS_MAX || tr_run_price(&row.run, &step, &kept->layout, &why) != TR_OK)
            continue;
        p->rows++;
        kept->group = hash_of(samples->chip[sample->chip].name, 1 + p->deal);
        kept->group = hash_of(kept->run.model.name, hash_of(sample->source, kept->group));
    }
    weigh(p);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct held {
    double mape, error80;
    int64_t rows;
};

/* fold: where the fit without each part begins, and then what it found. What was fitted to all would have seen the runs that
 * are held out, and so would what a stack that this one is like was fitted to. */
static struct held cross_validate(struct problem *p, struct tr_stack fold[FOLDS], int sweeps)
{
    struct held held = {0};
    struct tr_stack kept = p->stack, kept_start = p->start;
    double *errors = calloc((size_t)p->rows + 1, sizeof *errors);
    TR_ASSERT(errors);
    for (p->skip_fold = 0; p->skip_fold < FOLDS; p->skip_fold++) {
        p->stack = p->start = fold[p->skip_fold];
        search(p, sweeps);
        fold[p->skip_fold] = p->stack;
        choose(p);
        for (int64_t i = 0; i < p->rows; i++) {
            double time_s;
            if (fold_of(&p->row[i]) != p->skip_fold || !price(&p->row[i], &time_s))
                continue;
            held.mape += fabs(time_s / p->row[i].sample->time_s - 1);
            errors[held.rows++] = fabs(p->row[i].sample->time_s / time_s - 1);
        }
    }
    p->skip_fold = -1;
    p->stack = kept, p->start = kept_start;
    spread(p);
    qsort(errors, (size_t)held.rows, sizeof *errors, ascending);
    if (held.rows) {
        held.mape /= (double)held.rows;
        held.error80 = errors[held.rows * 4 / 5 < held.rows ? held.rows * 4 / 5 : held.rows - 1];
    }
    free(errors);
    return held;
}

/* Memory is not fitted: how far it is off, so that 80 % of the rows that print it lie within. 0: too few do. */
static double memory_error(struct problem *p)
{
    double *errors = calloc((size_t)p->rows + 1, sizeof *errors), error80 = 0;
    int64_t rows = 0;
    TR_ASSERT(errors);
    choose(p);
    for (int64_t i = 0; i < p->rows; i++) {
        const struct row *row = &p->row[i];
        struct tr_step step;
        struct tr_err why;
        if (row->run.memory_bytes <= 0 ||
            tr_step_price(&row->run.where->site, &row->run.task, &row->layout, &step, &why) != TR_OK)
            continue;
        errors[rows++] = fabs(row->run.memory_bytes / tr_run_memory(&row->run, &step, &row->layout) - 1);
    }
    qsort(errors, (size_t)rows, sizeof *errors, ascending);
    if (rows >= FEW)
        error80 = errors[rows * 4 / 5];
    free(errors);
    return error80;
}

/* "host.kernel" goes into the braces of `host`. */
static void print_values(struct problem *p, struct tr_text *out)
{
    size_t group = 0;
    const char *open = "";
    for (int i = 0; i < p->params; i++) {
        const char *path = p->param[i].path;
        double value = *value_of(&p->stack, &p->param[i]);
        if (!p->used[i])
            continue;
        bool same = group && strncmp(path, open, group) == 0;
        if (!same) {
            group = (size_t)(strchr(path, '.') - path) + 1, open = path;
            tr_text_printf(out, "%s    %.*s: {", out->at && out->at[out->len - 1] != '\n' ? "}\n" : "", (int)group - 1, path);
        }
        bool time = strncmp(path, "host.", 5) == 0;
        tr_text_printf(out, time ? "%s%s: %.4gus" : "%s%s: %.3g", same ? ", " : "", path + group, time ? value * 1e6 : value);
    }
    tr_text_append(out, group ? "}\n" : "");
}

/* What was fitted so far: a stack that is like another begins where that one ended, but for what its entry says itself. The
 * one that all are like stands for odd programs, and nothing begins with those. */
struct fitted {
    const struct tr_entry *entry;
    struct tr_stack stack, fold[FOLDS]; /* fold: without that part of the groups */
};

/* fold: of the fits without that part; -1: of those to all. */
static void begin(struct problem *p, const struct tr_entry *entry, const struct fitted *fitted, int count, int fold)
{
    struct tr_err why;
    struct tr_stack base;
    TR_ASSERT(tr_stack_read_unfitted(entry, &p->start, &why) == TR_OK); /* it was read when the tables were */
    bool odd = !entry->base || !entry->base->base;
    if (!odd)
        TR_ASSERT(tr_stack_read(entry->base, &base, &why) == TR_OK); /* of an earlier fit, when one stack alone is fitted */
    for (int i = 0; i < count; i++)
        if (fitted[i].entry == entry->base)
            base = fold < 0 ? fitted[i].stack : fitted[i].fold[fold];
    for (int k = 0; !odd && k < p->params; k++) {
        const struct tr_entry *holder;
        if (!tr_entry_node(entry, p->param[k].path, &holder) || holder != entry)
            *value_of(&p->start, &p->param[k]) = *value_of(&base, &p->param[k]);
    }
    p->stack = p->start;
}

static void fit_stack(const struct tr_samples *samples, int tables, const struct tr_samples *without,
                      const struct tr_entry *entry, int sweeps, uint64_t deal, const char *date,
                      struct fitted *fitted, int fitted_count, struct tr_text *out)
{
    struct fitted *now = &fitted[fitted_count];
    struct problem p = {.skip_fold = -1, .random = 1, .deal = deal};
    p.param = tr_stack_params(&p.params);
    p.row = calloc(ROWS_MAX, sizeof *p.row);
    p.site = calloc(TR_RUN_SITES_MAX, sizeof *p.site);
    TR_ASSERT(p.row && p.site && p.params <= PARAMS_MAX);
    for (int fold = 0; fold < FOLDS; fold++) {
        begin(&p, entry, fitted, fitted_count, fold);
        now->fold[fold] = p.stack;
    }
    begin(&p, entry, fitted, fitted_count, -1);
    for (int t = 0; t < tables; t++)
        gather(&p, &samples[t], without, entry->id);
    if (p.rows >= 3) {
        find_used(&p);
        double before = loss(&p);
        search(&p, sweeps);
        double after = loss(&p);
        struct held held = cross_validate(&p, now->fold, sweeps * 2 / 3);
        fprintf(stderr, "%s: %lld runs, error %.3f -> %.3f in sample, %.3f on groups held out\n", entry->id,
                (long long)p.rows, before, after, held.mape);
        tr_text_printf(out, "  %s: # %lld runs; mean error on groups held out %.1f %%\n    source: run-fits\n    date: %s\n",
                       entry->id, (long long)p.rows, 100 * held.mape, date);
        print_values(&p, out);
        tr_text_printf(out, "    error: %.3g\n", held.error80);
        double memory = memory_error(&p);
        if (memory > 0)
            tr_text_printf(out, "    memory_error: %.3g\n", memory);
    }
    now->entry = entry, now->stack = p.stack;
    free(p.row);
    for (int i = 0; i < p.sites; i++)
        free(p.site[i].site.products);
    free(p.site);
}

static enum tr_status read_runs(const char *path, const struct tr_catalog *catalog, struct tr_samples *out, struct tr_err *err)
{
    enum tr_status status = tr_samples_read(path, catalog, out, err);
    if (status == TR_OK && out->kind != TR_MEASURED_TRAIN)
        status = tr_fail(err, TR_BAD_INPUT, "%s: no table of training runs (train_runs)", path);
    return status;
}

static enum tr_status run(int argc, char **argv, struct tr_err *err)
{
    enum { TABLES_MAX = 8, STACKS_MAX = 256 };
    struct tr_catalog *catalog = NULL;
    static struct tr_samples samples[TABLES_MAX], without;
    int tables = 0, sweeps = 24;
    uint64_t deal = 0;
    const char *date = "", *only = NULL;
    enum tr_status status = tr_catalog_open(&catalog, err);
    for (int i = 1; status == TR_OK && i < argc; i++) {
        if (strcmp(argv[i], "--date") == 0 && i + 1 < argc)
            date = argv[++i];
        else if (strcmp(argv[i], "--stack") == 0 && i + 1 < argc)
            only = argv[++i];
        else if (strcmp(argv[i], "--sweeps") == 0 && i + 1 < argc)
            sweeps = atoi(argv[++i]);
        else if (strcmp(argv[i], "--deal") == 0 && i + 1 < argc)
            deal = (uint64_t)atoi(argv[++i]);
        else if (strcmp(argv[i], "--without") == 0 && i + 1 < argc && !without.at)
            status = read_runs(argv[++i], catalog, &without, err);
        else if (tables == TABLES_MAX)
            status = tr_fail(err, TR_BAD_INPUT, "more than %d tables", TABLES_MAX);
        else
            status = read_runs(argv[i], catalog, &samples[tables++], err);
    }
    struct tr_text out = {0};
    tr_text_append(&out, "# What software makes of a chip's rates: written by `make fit-stacks`, not by hand.\nsources:\n  run-fits:\n"
                         "    title: \"Fitted to published training runs (tools/fit_stacks.c)\"\n    grade: interpolated\nstack_fits:\n");
    static struct fitted fitted[STACKS_MAX];
    int stacks = 0;
    for (int i = 0; status == TR_OK && stacks < STACKS_MAX && i < tr_catalog_count(catalog, TR_SECTION_STACKS); i++) {
        const struct tr_entry *entry = tr_catalog_entry(catalog, TR_SECTION_STACKS, i);
        if (!only || strcmp(only, entry->id) == 0)
            fit_stack(samples, tables, &without, entry, sweeps, deal, date, fitted, stacks++, &out);
    }
    if (status == TR_OK)
        fputs(tr_text_str(&out), stdout);
    tr_text_free(&out);
    for (int i = 0; i < tables; i++)
        tr_samples_free(&samples[i]);
    tr_samples_free(&without);
    tr_catalog_free(catalog);
    return status;
}

int main(int argc, char **argv)
{
    struct tr_err err = {""};
    enum tr_status status = run(argc, argv, &err);
    if (status != TR_OK)
        fprintf(stderr, "fit_stacks: %s\n", err.text);
    return (int)status;
}
