/* Fits what software stacks make of a chip's rates to tables of whole runs, and writes section `stack_fits` of the catalog.
 *
 *     fit_stacks [--stack NAME,...] [--without TABLE] [--date DATE] [--sweeps N] [--page FILE] train_runs.csv...
 *         > catalog/stacks/fits.yaml
 *
 * (`make fit-stacks`.) --without: a table of runs that are to be predicted and not learned from. What has the id of one
 * of its rows, or its source, model and software, is left out of everything here, whatever its chips and layout.
 *
 * For each stack that has runs: the parameters (plan/stack/stack.h, tr_stack_params) that give the least error. A source of
 * runs counts by the square root of its rows, so that one long table does not decide alone, and a row by |log(predicted /
 * measured)|. To that comes what is lost by taking the layout predicted fastest, where runs differ in nothing else
 * (choices_lost): a plan is asked which layout before it is asked how long. Parameters that no run depends on stay as the
 * stack's entry says; a stack begins where the one that it is like ended. Releases stay near to that, and hardly change but in
 * what a kernel or an exchange of experts reaches (is_of_kernels): twenty numbers from 50 runs of eight models say nothing of a
 * ninth.
 *
 * How wrong that is on runs that were not fitted to: whole groups (source, model, chip) are dealt into FOLDS parts, each
 * predicted by a fit to the others, which begins where the fit to the same parts of the stack that it is like ended. How the
 * groups fall is luck, of which a stack of few groups has much, so they are dealt DEALS times; the half width that covers 80 % of
 * the errors of all dealings, each run with its weight, is the stack's `error`: that of the runs of one long table would be too narrow
 * for the next program. --page: a Markdown table of them. */
#include "base/fmath.h"
#include "base/os.h"
#include "base/text.h"
#include "plan/validate/validate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* FEW: runs of a source; MANY: of a stack. */
enum { FOLDS = 5, DEALS = 4, STARTS = 4, STARTS_MAX = 6, FEW = 9, MANY = 200, CHOICE_MIN = 3, ROWS_MAX = 1 << 16, PARAMS_MAX = 32 };

struct row {
    const struct tr_sample *sample;
    struct tr_run run; /* with a site of our own, in which the parameters change */
    struct tr_layout layout; /* with what the row leaves open as it was chosen last (choose) */
    struct tr_run_site *where;
    const char *chip;
    double weight;
    uint64_t group; /* as it was dealt last */
    int64_t choice; /* of p->choice; -1: too few runs */
    double predicted_s; /* by the last error_of; 0: has no price, or is held out */
};

/* Runs that differ in nothing but their layouts. */
struct choice {
    uint64_t group;
    int64_t runs;
    double best_s;                /* measured */
    double least_s, weight, lost; /* least_s: predicted; lost: weighted sum of measured / best_s - 1 */
};

struct problem {
    struct row *row;
    int64_t rows;
    struct choice *choice;
    int64_t choices;
    struct tr_run_site *site;
    int sites;
    struct tr_stack stack, start; /* start: as the catalog says without fits */
    struct tr_stack_param param[PARAMS_MAX];
    int params, skip_fold;
    bool used[PARAMS_MAX];
    uint64_t random;
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
static bool is_time(const struct tr_stack_param *param) { return strncmp(param->path, "host.", 5) == 0; }

/* What a stack's own kernels and exchanges of experts reach: what a release changes. The rest is its parent's host and overlap. */
static bool is_of_kernels(const struct tr_stack_param *param)
{
    static const char *const names[] = {"share.compute", "share.mxfp8", "share.fp4", "share.attention", "share.memory",
                                        "share.link", "hidden.ep", "slow.imbalance", "host.experts"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(param->path, names[i]) == 0)
            return true;
    return false;
}

/* How far the parameters are from where they began, in steps of which one is large. */
static double distance(struct problem *p)
{
    const double other = p->start.release ? 10 : 1; /* held out, 10 to 50 is the same */
    double sum = 0;
    for (int i = 0; i < p->params; i++) {
        double now = *value_of(&p->stack, &p->param[i]), was = *value_of(&p->start, &p->param[i]);
        double step = is_linear(&p->param[i]) ? (now - was) / .3 : tr_log(fmax(now, 1e-6) / fmax(was, 1e-6));
        sum += (is_of_kernels(&p->param[i]) ? 1 : other) * step * step;
    }
    return sum;
}

/* The choice that a row takes part in: not where it has no price, or is held out. */
static struct choice *choice_of(struct problem *p, const struct row *row)
{
    return row->choice >= 0 && row->predicted_s > 0 ? &p->choice[row->choice] : NULL;
}

/* Mean over the choices of how much longer than the fastest the layout took that was predicted fastest by the last error_of: of
 * all layouts, each with a weight that falls with its distance from that, as which of near ones comes first is luck. */
static double choices_lost(struct problem *p)
{
    const double near = .01;
    double sum = 0;
    int64_t seen = 0;
    struct choice *choice;
    for (int64_t k = 0; k < p->choices; k++)
        p->choice[k].least_s = INFINITY, p->choice[k].weight = p->choice[k].lost = 0;
    for (int64_t i = 0; i < p->rows; i++)
        if ((choice = choice_of(p, &p->row[i])) != NULL)
            choice->least_s = fmin(choice->least_s, p->row[i].predicted_s);
    for (int64_t i = 0; i < p->rows; i++) {
        const struct row *row = &p->row[i];
        if (!(choice = choice_of(p, row)))
            continue;
        double weight = tr_exp((1 - row->predicted_s / choice->least_s) / near);
        choice->weight += weight;
        choice->lost += weight * (row->sample->time_s / choice->best_s - 1);
    }
    for (int64_t k = 0; k < p->choices; k++)
        if (p->choice[k].weight > 0)
            sum += p->choice[k].lost / p->choice[k].weight, seen++;
    return seen ? sum / (double)seen : 0;
}

/* Weighted mean of |log(predicted / measured)|; -1: no run has a price. */
static double error_of(struct problem *p)
{
    double sum = 0, weights = 0;
    spread(p);
    for (int64_t i = 0; i < p->rows; i++) {
        struct row *row = &p->row[i];
        row->predicted_s = 0;
        if (fold_of(row) == p->skip_fold || !price(row, &row->predicted_s))
            continue;
        sum += row->weight * fabs(tr_log(row->predicted_s / row->sample->time_s));
        weights += row->weight;
    }
    return weights > 0 ? sum / weights : -1;
}

static double loss(struct problem *p)
{
    /* Chosen by the error on groups held out, of .02, .1, .3 and .4; between .1 and .3 by that in sample. */
    const double prior = p->start.release ? .1 : .02;
    /* Of 0, .1, .3 (.2 and 1 for Megatron's of 2021 alone): most of what there is to be had, at no more error on groups held out. */
    const double choice = .1;
    double error = error_of(p);
    return error < 0 ? 0 : error + choice * choices_lost(p) + prior * distance(p) / (double)(p->rows + 1);
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

/* Takes one more into a mean of `before`, in the space that move() walks in. */
static void take_in(struct problem *p, struct tr_stack *mean, struct tr_stack *one, int before)
{
    for (int i = 0; i < p->params; i++) {
        double *m = value_of(mean, &p->param[i]), v = *value_of(one, &p->param[i]);
        if (is_linear(&p->param[i]))
            *m = (*m * before + v) / (before + 1);
        else
            *m = tr_exp((tr_log(fmax(*m, 1e-7)) * before + tr_log(fmax(v, 1e-7))) / (before + 1));
    }
}

/* From where the stack begins, and from points around it: valleys are many and flat, and the first is not always the deepest.
 * With many runs the best of short descents goes on. With fewer, which is the deepest is luck: the mean of those that are
 * about as deep errs less on runs that were not seen; where that is a ridge, the deepest. */
static void search(struct problem *p, int sweeps)
{
    const double about = 1.1;
    const int starts = p->rows < MANY ? STARTS_MAX : STARTS;
    struct tr_stack first = p->stack, end[STARTS_MAX], best = first;
    double depth[STARTS_MAX], least = INFINITY;
    for (int start = 0; start < starts; start++) {
        p->stack = first;
        for (int i = 0; i < p->params && start; i++)
            if (p->used[i])
                move(p, i, (uniform(p) - .5) * 2);
        depth[start] = descend(p, sweeps / 2);
        end[start] = p->stack;
        if (depth[start] < least)
            least = depth[start], best = p->stack;
    }
    p->stack = best;
    for (int start = 0, taken = 0; start < starts && p->rows < MANY; start++)
        if (depth[start] <= about * least)
            take_in(p, &p->stack, &end[start], taken++);
    if (p->rows >= MANY)
        descend(p, sweeps);
    choose(p);
    if (loss(p) > about * least)
        p->stack = best;
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

/* The runs among which a layout is chosen, by the groups of tr_score_regret; that takes the mean of a layout's runs, here each stands for
 * itself. */
static void find_choices(struct problem *p)
{
    p->choice = calloc((size_t)p->rows + 1, sizeof *p->choice);
    TR_ASSERT(p->choice);
    for (int64_t i = 0; i < p->rows; i++) {
        struct row *row = &p->row[i];
        int64_t k;
        for (k = 0; k < p->choices && p->choice[k].group != row->sample->group; k++)
            ;
        if (k == p->choices)
            p->choice[p->choices++] = (struct choice){.group = row->sample->group, .best_s = INFINITY};
        p->choice[k].runs++;
        p->choice[k].best_s = fmin(p->choice[k].best_s, row->sample->time_s);
        row->choice = k;
    }
    for (int64_t i = 0; i < p->rows; i++)
        if (p->choice[p->row[i].choice].runs < CHOICE_MIN)
            p->row[i].choice = -1;
}

static bool is_akin(const struct tr_sample *a, const struct tr_sample *b)
{
    return a->of.run->where && b->of.run->where && strcmp(a->source, b->source) == 0 &&
           strcmp(a->of.run->model.name, b->of.run->model.name) == 0 &&
           strcmp(a->of.run->where->stack.name, b->of.run->where->stack.name) == 0;
}

static bool is_left_out(const struct tr_samples *samples, const struct tr_sample *sample, const struct tr_samples *without)
{
    const char *id = tr_sample_id(samples, sample);
    for (int64_t i = 0; i < without->count; i++)
        if (is_akin(&without->at[i], sample) || (*id && strcmp(tr_sample_id(without, &without->at[i]), id) == 0))
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
        kept->chip = samples->chip[sample->chip].name;
    }
    weigh(p);
}

/* |measured / predicted - 1| of a run, and what it counts. */
struct miss {
    double error, weight;
};

static int ascending(const void *a, const void *b)
{
    double x = ((const struct miss *)a)->error, y = ((const struct miss *)b)->error;
    return (x > y) - (x < y);
}

/* The error that four fifths of the weight lie within, rounded up so that they do by what is printed of it. 0 without misses. */
static double within_80(struct miss *miss, int64_t count)
{
    double all = 0, within = 0;
    qsort(miss, (size_t)count, sizeof *miss, ascending);
    for (int64_t i = 0; i < count; i++)
        all += miss[i].weight;
    for (int64_t i = 0; i < count; i++)
        if ((within += miss[i].weight) >= .8 * all)
            return ceil(1e3 * miss[i].error) / 1e3;
    return 0;
}

struct held {
    double mape[DEALS], mean, error80; /* mape: of each dealing; the others of all */
    struct miss *miss;
    int64_t misses;
};

/* Parts of a stack's groups: the fit without each, of each dealing. */
typedef struct tr_stack folds[DEALS][FOLDS];

static void deal_groups(struct problem *p, uint64_t deal)
{
    for (int64_t i = 0; i < p->rows; i++) {
        struct row *row = &p->row[i];
        row->group = hash_of(row->run.model.name, hash_of(row->sample->source, hash_of(row->chip, 1 + deal)));
    }
}

/* What the fit without part p->skip_fold makes of that part. Returns the sum of the errors. */
static double score_fold(struct problem *p, struct held *held)
{
    double sum = 0, time_s;
    choose(p);
    for (int64_t i = 0; i < p->rows; i++) {
        if (fold_of(&p->row[i]) != p->skip_fold || !price(&p->row[i], &time_s))
            continue;
        sum += fabs(time_s / p->row[i].sample->time_s - 1);
        held->miss[held->misses++] = (struct miss){fabs(p->row[i].sample->time_s / time_s - 1), p->row[i].weight};
    }
    return sum;
}

/* fold: where the fit without each part begins, and then what it found. What was fitted to all would have seen the runs that
 * are held out, and so would what a stack that this one is like was fitted to. */
static void cross_validate(struct problem *p, struct tr_stack fold[FOLDS], int sweeps, int deal, struct held *held)
{
    const int64_t before = held->misses;
    double sum = 0;
    deal_groups(p, (uint64_t)deal);
    for (p->skip_fold = 0; p->skip_fold < FOLDS; p->skip_fold++) {
        p->stack = p->start = fold[p->skip_fold];
        search(p, sweeps);
        fold[p->skip_fold] = p->stack;
        sum += score_fold(p, held);
    }
    p->skip_fold = -1;
    held->mape[deal] = held->misses > before ? sum / (double)(held->misses - before) : 0;
}

/* Each dealing with the same numbers by chance, and the stack as it was at the end. */
static struct held hold_out(struct problem *p, folds fold, int sweeps)
{
    struct held held = {.miss = calloc((size_t)(DEALS * p->rows) + 1, sizeof *held.miss)};
    const struct tr_stack kept = p->stack, kept_start = p->start;
    const uint64_t random = p->random;
    TR_ASSERT(held.miss);
    for (int deal = 0; deal < DEALS; deal++) {
        p->random = random;
        cross_validate(p, fold[deal], sweeps, deal, &held);
        held.mean += held.mape[deal] / DEALS;
    }
    p->stack = kept, p->start = kept_start;
    spread(p);
    held.error80 = within_80(held.miss, held.misses);
    free(held.miss);
    held.miss = NULL;
    return held;
}

/* Memory is not fitted: how far it is off, so that 80 % of the rows that print it lie within. 0: too few do. */
static double memory_error(struct problem *p)
{
    struct miss *miss = calloc((size_t)p->rows + 1, sizeof *miss);
    int64_t rows = 0;
    TR_ASSERT(miss);
    choose(p);
    for (int64_t i = 0; i < p->rows; i++) {
        const struct row *row = &p->row[i];
        struct tr_step step;
        struct tr_err why;
        if (row->run.memory_bytes <= 0 ||
            tr_step_price(&row->run.where->site, &row->run.task, &row->layout, &step, &why) != TR_OK)
            continue;
        miss[rows++] = (struct miss){fabs(row->run.memory_bytes / tr_run_memory(&row->run, &step, &row->layout) - 1), row->weight};
    }
    const double error80 = rows >= FEW ? within_80(miss, rows) : 0;
    free(miss);
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
        tr_text_printf(out, is_time(&p->param[i]) ? "%s%s: %.4gus" : "%s%s: %.3g", same ? ", " : "", path + group, is_time(&p->param[i]) ? value * 1e6 : value);
    }
    tr_text_append(out, group ? "}\n" : "");
}

/* What was fitted so far: a stack that is like another begins where that one ended, but for what its entry says itself. The
 * one that all are like stands for odd programs, and nothing begins with those. */
struct fitted {
    const struct tr_entry *entry;
    struct tr_stack stack;
    folds fold;
};

/* Whether no row before is on that chip (in that format). */
static bool is_first_of(const struct problem *p, int64_t row, bool of_format)
{
    const struct tr_run_site *here = p->row[row].where;
    for (int64_t i = 0; i < row; i++) {
        const struct tr_run_site *other = p->row[i].where;
        if (strcmp(other->system.chip.id, here->system.chip.id) == 0 && (!of_format || other->site.format == here->site.format))
            return false;
    }
    return true;
}

/* Chips of the runs, and the formats on each. */
static void print_runs(const struct problem *p, struct tr_text *out)
{
    const char *between = "    runs: {";
    for (int64_t i = 0; i < p->rows; i++) {
        const char *chip = p->row[i].where->system.chip.id, *comma = "";
        if (!is_first_of(p, i, false))
            continue;
        tr_text_printf(out, "%s%s: [", between, chip);
        for (int64_t k = i; k < p->rows; k++)
            if (strcmp(p->row[k].where->system.chip.id, chip) == 0 && is_first_of(p, k, true)) {
                tr_text_printf(out, "%s%s", comma, tr_format_info(p->row[k].where->site.format)->name);
                comma = ", ";
            }
        tr_text_append(out, "]");
        between = ", ";
    }
    tr_text_append(out, "}\n");
}

/* fold: of the fits without that part of that dealing; -1: of those to all. */
static void begin(struct problem *p, const struct tr_entry *entry, const struct fitted *fitted, int count, int deal, int fold)
{
    struct tr_err why;
    struct tr_stack base;
    TR_ASSERT(tr_stack_read_unfitted(entry, &p->start, &why) == TR_OK); /* it was read when the tables were */
    bool odd = !entry->base || !entry->base->base;
    if (!odd)
        TR_ASSERT(tr_stack_read(entry->base, &base, &why) == TR_OK); /* of an earlier fit, when one stack alone is fitted */
    for (int i = 0; i < count; i++)
        if (fitted[i].entry == entry->base)
            base = fold < 0 ? fitted[i].stack : fitted[i].fold[deal][fold];
    for (int k = 0; !odd && k < p->params; k++) {
        const struct tr_entry *holder;
        if (!tr_entry_node(entry, p->param[k].path, &holder) || holder != entry)
            *value_of(&p->start, &p->param[k]) = *value_of(&base, &p->param[k]);
    }
    p->stack = p->start;
}

static const char page_head[] =
    "# Whole runs on groups held out\n\n"
    "Written by `make fit-stacks`. What a software stack makes of a chip is fitted to published training runs; here each run is\n"
    "predicted by a fit that has not seen its group (source, model, chip). The groups of a stack are dealt into five parts, in four\n"
    "ways. Mean error of the step time by dealing and of all four, and the half width within which 80 % of the measured times lie, where\n"
    "a source counts by the square root of its runs as it does in the fit: the stack's `error` in catalog/stacks/fits.yaml. Where the dealings differ by much, a stack has few groups.\n\n"
    "| stack | runs | groups | 1 | 2 | 3 | 4 | mean error | 80 % within |\n|---|---|---|---|---|---|---|---|---|\n";

static int64_t groups_of(const struct problem *p)
{
    int64_t groups = 0;
    for (int64_t i = 0, j; i < p->rows; i++) {
        for (j = 0; j < i && p->row[j].group != p->row[i].group; j++)
            ;
        groups += j == i;
    }
    return groups;
}

static void print_page_row(const struct problem *p, const char *name, const struct held *held, struct tr_text *page)
{
    tr_text_printf(page, "| %s | %lld | %lld |", name, (long long)p->rows, (long long)groups_of(p));
    for (int deal = 0; deal < DEALS; deal++)
        tr_text_printf(page, " %.1f %% |", 100 * held->mape[deal]);
    tr_text_printf(page, " %.1f %% | %.1f %% |\n", 100 * held->mean, 100 * held->error80);
}

/* All but the times that the entry has as 0: its software does not wait for that. */
static void choose_params(struct problem *p, const struct tr_entry *entry)
{
    struct tr_err why;
    int count;
    const struct tr_stack_param *param = tr_stack_params(&count);
    TR_ASSERT(count <= PARAMS_MAX && tr_stack_read_unfitted(entry, &p->start, &why) == TR_OK); /* it was read when the tables were */
    for (int i = 0; i < count; i++)
        if (!is_time(&param[i]) || *value_of(&p->start, &param[i]) > 0)
            p->param[p->params++] = param[i];
}

static void fit_stack(const struct tr_samples *samples, int tables, const struct tr_samples *without,
                      const struct tr_entry *entry, int sweeps, const char *date,
                      struct fitted *fitted, int fitted_count, struct tr_text *out, struct tr_text *page)
{
    struct fitted *now = &fitted[fitted_count];
    struct problem p = {.skip_fold = -1, .random = 1};
    p.row = calloc(ROWS_MAX, sizeof *p.row);
    p.site = calloc(TR_RUN_SITES_MAX, sizeof *p.site);
    TR_ASSERT(p.row && p.site);
    choose_params(&p, entry);
    for (int i = 0; i < DEALS * FOLDS; i++) {
        begin(&p, entry, fitted, fitted_count, i / FOLDS, i % FOLDS);
        now->fold[i / FOLDS][i % FOLDS] = p.stack;
    }
    begin(&p, entry, fitted, fitted_count, 0, -1);
    for (int t = 0; t < tables; t++)
        gather(&p, &samples[t], without, entry->id);
    find_choices(&p);
    if (p.rows >= 3) {
        find_used(&p);
        double before = error_of(&p);
        search(&p, sweeps);
        double after = error_of(&p);
        struct held held = hold_out(&p, now->fold, sweeps * 2 / 3);
        fprintf(stderr, "%s: %lld runs, error %.3f -> %.3f in sample, %.3f on groups held out\n", entry->id,
                (long long)p.rows, before, after, held.mean);
        tr_text_printf(out, "  %s: # %lld runs; mean error on groups held out %.1f %%\n    source: run-fits\n    date: %s\n",
                       entry->id, (long long)p.rows, 100 * held.mean, date);
        print_values(&p, out);
        tr_text_printf(out, "    error: %.3g\n", held.error80);
        print_runs(&p, out);
        print_page_row(&p, entry->id, &held, page);
        double memory = memory_error(&p);
        if (memory > 0)
            tr_text_printf(out, "    memory_error: %.3g\n", memory);
    }
    now->entry = entry, now->stack = p.stack;
    free(p.row);
    free(p.choice);
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

/* Whether a list of names with commas has it. NULL: of all names. */
static bool is_listed(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || !at[length]))
            return true;
    return !list;
}

static enum tr_status run(int argc, char **argv, struct tr_err *err)
{
    enum { TABLES_MAX = 8, STACKS_MAX = 256 };
    struct tr_catalog *catalog = NULL;
    static struct tr_samples samples[TABLES_MAX], without;
    int tables = 0, sweeps = 24;
    const char *date = "", *only = NULL, *page_path = NULL;
    enum tr_status status = tr_catalog_open(&catalog, err);
    for (int i = 1; status == TR_OK && i < argc; i++) {
        if (strcmp(argv[i], "--date") == 0 && i + 1 < argc)
            date = argv[++i];
        else if (strcmp(argv[i], "--stack") == 0 && i + 1 < argc)
            only = argv[++i];
        else if (strcmp(argv[i], "--sweeps") == 0 && i + 1 < argc)
            sweeps = atoi(argv[++i]);
        else if (strcmp(argv[i], "--page") == 0 && i + 1 < argc)
            page_path = argv[++i];
        else if (strcmp(argv[i], "--without") == 0 && i + 1 < argc && !without.at)
            status = read_runs(argv[++i], catalog, &without, err);
        else if (tables == TABLES_MAX)
            status = tr_fail(err, TR_BAD_INPUT, "more than %d tables", TABLES_MAX);
        else
            status = read_runs(argv[i], catalog, &samples[tables++], err);
    }
    struct tr_text out = {0}, page = {0};
    tr_text_append(&page, page_head);
    tr_text_append(&out, "# What software makes of a chip's rates: written by `make fit-stacks`, not by hand.\nsources:\n  run-fits:\n"
                         "    title: \"Fitted to published training runs (tools/fit_stacks.c)\"\n    grade: interpolated\nstack_fits:\n");
    static struct fitted fitted[STACKS_MAX];
    int stacks = 0;
    for (int i = 0; status == TR_OK && stacks < STACKS_MAX && i < tr_catalog_count(catalog, TR_SECTION_STACKS); i++) {
        const struct tr_entry *entry = tr_catalog_entry(catalog, TR_SECTION_STACKS, i);
        if (is_listed(only, entry->id))
            fit_stack(samples, tables, &without, entry, sweeps, date, fitted, stacks++, &out, &page);
    }
    if (status == TR_OK)
        fputs(tr_text_str(&out), stdout);
    if (status == TR_OK && page_path)
        status = tr_file_write(page_path, tr_text_str(&page), page.len, err);
    tr_text_free(&page);
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
