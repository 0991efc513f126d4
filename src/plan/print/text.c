#include "base/quantity.h"
#include "base/table.h"
#include "plan/print/print.h"
#include "plan/step/walk.h"

#include <math.h>
#include <string.h>

enum { NUMBER = TR_QUANTITY_BYTES, SAYS_BYTES = 512 };

/* ---- small pieces ------------------------------------------------------------------------------------------------ */

const char *tr_plan_percent(char buf[TR_QUANTITY_BYTES], double fraction)
{
    snprintf(buf, TR_QUANTITY_BYTES, "%.*f %%", fabs(fraction) < .0995 ? 1 : 0, 100 * fraction);
    return buf;
}

const char *tr_plan_commitment(char buf[TR_QUANTITY_BYTES], int commitment)
{
    snprintf(buf, TR_QUANTITY_BYTES, "%s", tr_commitment_name((enum tr_commitment)commitment));
    for (char *c = buf; *c; c++)
        if (*c == '_')
            *c = ' ';
    return buf;
}

const char *tr_plan_energy(char buf[TR_QUANTITY_BYTES], double joules)
{
    char number[TR_QUANTITY_BYTES];
    snprintf(buf, TR_QUANTITY_BYTES, "%.20sh", tr_print_quantity(number, TR_UNIT_POWER, joules / 3600));
    return buf;
}

void tr_plan_title(const struct tr_plan *p, struct tr_text *out)
{
    char total[NUMBER], active[NUMBER];
    struct tr_shape_params params = tr_shape_params(&p->model);
    tr_text_printf(out, "%s (%s parameters", p->model.name, tr_print_quantity(total, TR_UNIT_COUNT, params.total));
    if (p->model.experts)
        tr_text_printf(out, ", %s active", tr_print_quantity(active, TR_UNIT_COUNT, params.active));
    tr_text_printf(out, ") on %lld x %s (%s)", (long long)p->request.chips, p->system.chip.name, p->system.id);
}

void tr_plan_target_words(double loss, double tokens, double low, double high, const char *law, struct tr_text *out)
{
    char said[NUMBER], from[NUMBER], to[NUMBER];
    tr_text_printf(out, "loss %g takes %s tokens, %s to %s (80 %% interval), by %s\n", loss, tr_print_quantity(said, TR_UNIT_COUNT, tokens),
                   tr_print_quantity(from, TR_UNIT_COUNT, low), isfinite(high) ? tr_print_quantity(to, TR_UNIT_COUNT, high) : "never", law);
}

void tr_plan_tokens_words(double tokens, int64_t steps, int64_t batch, int64_t seq_len, struct tr_text *out)
{
    char number[NUMBER];
    const double of_batch = (double)batch * (double)seq_len;
    tr_text_printf(out, "%s tokens in ", tr_print_quantity(number, TR_UNIT_COUNT, tokens));
    tr_text_printf(out, "%s step%s of %lld sequences of %lld tokens", tr_print_count(number, steps), steps == 1 ? "" : "s", (long long)batch,
                   (long long)seq_len);
    if (of_batch > tokens)
        tr_text_printf(out, " (%s, more than was asked for)", tr_print_quantity(number, TR_UNIT_COUNT, of_batch));
}

void tr_plan_subtitle(const struct tr_plan *p, struct tr_text *out)
{
    tr_plan_tokens_words(p->request.tokens, (int64_t)p->steps, p->request.global_batch, p->request.seq_len, out);
    tr_text_printf(out, "; %s, %s", p->stack.name, tr_format_info(p->site.format)->name);
    if (p->model.positions > 0 && p->request.seq_len > p->model.positions)
        tr_text_printf(out, "; longer than the %lld positions of the model", (long long)p->model.positions);
}

void tr_plan_further(const struct tr_plan *p, struct tr_text *out)
{
    char params[NUMBER], flop[NUMBER], time[NUMBER], bytes[NUMBER];
    int32_t count = p->task.mtp;
    if (count == 0)
        return;
    tr_text_printf(out, "with %d module%s for further tokens (MTP): %s parameters, %s of the FLOPs, %s of the time, %s of the memory",
                   count, count == 1 ? "" : "s", tr_print_quantity(params, TR_UNIT_COUNT, p->further.params),
                   tr_plan_percent(flop, p->further.flop / p->step.model_flop),
                   tr_plan_percent(time, p->further.time_s / p->step.time_s),
                   tr_print_quantity(bytes, TR_UNIT_BYTES, p->further.memory_bytes));
}

/* What the tokens follow from, and what would be cheapest; how the batch stands to the one above which more of it is wasted. */
void tr_plan_target(const struct tr_plan *p, struct tr_text *out)
{
    char tokens[NUMBER], params[NUMBER], batch[NUMBER], critical[NUMBER];
    double n, d, loss = p->request.target_loss;
    if (loss == 0)
        return;
    tr_plan_target_words(loss, p->request.tokens, p->tokens_low, p->tokens_high, p->law.name, out);
    if (tr_law_cheapest(&p->law, loss, &n, &d)) {
        double of = tr_shape_params(&p->model).active * p->request.tokens;
        tr_text_printf(out, "%s parameters and %s tokens would reach it with %.0f %% of the compute\n",
                       tr_print_quantity(params, TR_UNIT_COUNT, n), tr_print_quantity(tokens, TR_UNIT_COUNT, d),
                       100 * n * d / of);
    }
    double most = tr_critical_batch(loss), is = (double)(p->request.global_batch * p->request.seq_len);
    tr_text_printf(out, "a batch of %s tokens, where more than about %s bring less each (Kaplan et al. 2020)\n",
                   tr_print_quantity(batch, TR_UNIT_COUNT, is), tr_print_quantity(critical, TR_UNIT_COUNT, most));
}

const char *tr_plan_lever_now(const struct tr_plan *p, enum tr_lever lever, char buf[TR_QUANTITY_BYTES])
{
    enum tr_unit unit;
    double value = tr_lever_value(lever, &p->site, &unit);
    return isnan(value) ? "" : tr_print_quantity(buf, unit, value);
}

bool tr_plan_has_lever(const struct tr_plan *p, enum tr_lever lever)
{
    return tr_lever_there(lever, &p->system) && (lever != TR_LEVER_CAPACITY || p->search.done);
}

void tr_plan_limit(const struct tr_plan *p, struct tr_text *out)
{
    char value[NUMBER];
    enum tr_lever lever = (enum tr_lever)p->limit;
    const char *now = tr_plan_lever_now(p, lever, value);
    tr_text_printf(out, "limited by %s%s%s%s: 10 %% better there gives %+.1f %% of the step's time",
                   tr_lever_name(lever), *now ? " (" : "", now, *now ? ")" : "", 100 * p->lever[lever].change);
}

/* ---- sections ---------------------------------------------------------------------------------------------------- */

const char *tr_plan_mfu_words(const struct tr_plan *p, char words[TR_MFU_WORDS_BYTES])
{
    char mfu[NUMBER];
    const struct tr_format_info *format = tr_format_info(p->site.format);
    bool is_usual = format->rate == TR_RATE_BF16 || format->rate == TR_RATE_FP16;
    snprintf(words, TR_MFU_WORDS_BYTES, "%s%s%s%s", tr_plan_percent(mfu, p->step.mfu), is_usual ? "" : " of the ", is_usual ? "" : format->name,
             is_usual ? "" : " peak");
    return words;
}

static void put_step(const struct tr_plan *p, struct tr_text *out)
{
    char time[NUMBER], error[NUMBER], tokens[NUMBER], mfu[TR_MFU_WORDS_BYTES];
    struct tr_table table = {0};
    tr_text_printf(out, "\nstep %s +- %s, %s tokens/s, MFU %s (80 %% interval; grade %s)\n\n",
                   tr_print_time(time, p->step.time_s), tr_plan_percent(error, p->step.error),
                   tr_print_quantity(tokens, TR_UNIT_COUNT, p->step.tokens_s), tr_plan_mfu_words(p, mfu),
                   tr_grade_name(p->step.grade));
    tr_table_column(&table, "of a step", TR_LEFT);
    tr_table_column(&table, "time", TR_RIGHT);
    tr_table_column(&table, "share", TR_RIGHT);
    for (int i = 0; i < TR_TERM_COUNT; i++) {
        if (p->step.term_s[i] <= 0)
            continue;
        tr_table_cell(&table, "%s", tr_term_name((enum tr_term)i));
        tr_table_cell(&table, "%s", tr_print_time(time, p->step.term_s[i]));
        tr_table_cell(&table, "%.1f %%", 100 * p->step.term_s[i] / p->step.time_s);
    }
    tr_table_text(&table, out);
    tr_table_free(&table);
}

/* Only of pipelines whose price by stages is known to be too low. */
static void put_walked(const struct tr_plan *p, struct tr_text *out)
{
    char longer[NUMBER];
    struct tr_walk walk;
    struct tr_err too_long;
    if (!tr_layout_is_ragged(&p->layout, p->model.layers) || tr_walk_make(&walk, &p->site, &p->task, &p->layout, &too_long) != TR_OK)
        return;
    double share = tr_walk_longer_s(&walk, &p->site, &p->step) / p->step.time_s;
    if (share > .01)
        tr_text_printf(out, "not in it: chunks have unequal layers and wait for one another; walked through pass by pass the step takes %s longer\n",
                       tr_plan_percent(longer, share));
    tr_walk_free(&walk);
}

/* It fits, and may not: what would surely. */
static void put_unsure(const struct tr_plan *p, struct tr_text *out)
{
    char layout[TR_LAYOUT_TEXT_BYTES], bytes[NUMBER];
    const struct tr_found *sure = &p->search.sure;
    tr_text_append(out, ": it may not fit; ");
    if (!p->search.done)
        tr_text_append(out, "--reserve keeps some free");
    else if (!sure->layout.dp)
        tr_text_append(out, "no layout surely fits");
    else
        tr_text_printf(out, "surely fits %s, with %s and %.1f %% more time", tr_layout_print(&sure->layout, layout),
                       tr_print_quantity(bytes, TR_UNIT_BYTES, sure->step.memory_bytes),
                       100 * (sure->step.time_s / p->step.time_s - 1));
}

void tr_plan_memory_interval(const struct tr_plan *p, struct tr_text *out)
{
    char bytes[NUMBER], capacity[NUMBER];
    double least = p->step.memory_bytes * (1 - p->step.memory_error), most = p->step.memory_bytes * (1 + p->step.memory_error);
    tr_text_printf(out, "from %s to %s (80 %% interval)", tr_print_quantity(bytes, TR_UNIT_BYTES, fmax(0, least)),
                   tr_print_quantity(capacity, TR_UNIT_BYTES, most));
    if (p->fits && tr_plan_may_not_fit(p, &p->step))
        put_unsure(p, out);
}

static void put_memory(const struct tr_plan *p, struct tr_text *out)
{
    char bytes[NUMBER], capacity[NUMBER];
    struct tr_table table = {0};
    tr_text_char(out, '\n');
    tr_table_column(&table, "memory of a chip at its peak", TR_LEFT);
    tr_table_column(&table, "bytes", TR_RIGHT);
    tr_table_column(&table, "of what it has", TR_RIGHT);
    for (int i = 0; i < TR_MEM_COUNT; i++) {
        if (p->step.memory[i] <= 0)
            continue;
        tr_table_cell(&table, "%s", tr_mem_name((enum tr_mem)i));
        tr_table_cell(&table, "%s", tr_print_quantity(bytes, TR_UNIT_BYTES, p->step.memory[i]));
        tr_table_cell(&table, "%.1f %%", 100 * p->step.memory[i] / p->capacity_bytes);
    }
    tr_table_rule(&table);
    tr_table_cell(&table, "stage %d, the heaviest, of %s", p->step.heaviest_stage,
                  tr_print_quantity(capacity, TR_UNIT_BYTES, p->capacity_bytes));
    tr_table_cell(&table, "%s", tr_print_quantity(bytes, TR_UNIT_BYTES, p->step.memory_bytes));
    tr_table_cell(&table, "%.1f %%", 100 * p->step.memory_bytes / p->capacity_bytes);
    tr_table_text(&table, out);
    tr_table_free(&table);
    tr_plan_memory_interval(p, out);
    tr_text_char(out, '\n');
}

typedef void row_fn(void *context, const char *what, const char *says);

static void say_failures(const struct tr_plan *p, row_fn *row, void *context)
{
    char a[NUMBER], says[SAYS_BYTES];
    const struct tr_job_cost *cost = tr_plan_cost(p);
    if (cost->failures > 0)
        snprintf(says, sizeof says, "%.*f expected, one in %s (%s%s)", cost->failures < 9.95 ? 1 : 0, cost->failures, tr_print_time(a, cost->mtbf_s),
                 p->request.commitment == TR_COMMITMENT_SPOT ? "with what spot takes back; " : "", tr_plan_failures(p)->name);
    row(context, "failures", cost->failures > 0 ? says : "none known of");
}

static void say_takes(const struct tr_plan *p, row_fn *row, void *context)
{
    char a[NUMBER], b[NUMBER], c[NUMBER], says[SAYS_BYTES];
    const struct tr_job_cost *cost = tr_plan_cost(p);
    double low_s, high_s;
    tr_plan_wall_interval(p, &low_s, &high_s);
    if (p->request.target_loss > 0)
        snprintf(says, sizeof says, "%s, from %s to %s with the law's error", tr_print_time(a, cost->wall_s), tr_print_time(b, low_s),
                 tr_print_time(c, high_s));
    else
        snprintf(says, sizeof says, "%s +- %s, %s of it in steps", tr_print_time(a, cost->wall_s), tr_plan_percent(b, p->step.error),
                 tr_plan_percent(c, cost->goodput));
    size_t used = strlen(says);
    if (p->request.deadline_s > 0 && cost->wall_s <= p->request.deadline_s && high_s > p->request.deadline_s)
        snprintf(says + used, sizeof says - used, "; it may miss the deadline (up to %s)", tr_print_beside(a, TR_UNIT_TIME, high_s, p->request.deadline_s));
    row(context, "takes", says);
}

static void say_power(const struct tr_plan *p, row_fn *row, void *context)
{
    char a[NUMBER], b[NUMBER], says[SAYS_BYTES];
    const struct tr_job_cost *cost = tr_plan_cost(p);
    snprintf(says, sizeof says, "%s at %s, all of the building", tr_plan_energy(a, cost->energy_j),
             tr_print_quantity(b, TR_UNIT_POWER, cost->power_w));
    row(context, "energy", isnan(cost->energy_j) ? "not known" : says);
    snprintf(says, sizeof says, "%.4g t CO2e at %.0f g/kWh (%s)", cost->carbon_g / 1e6, p->place.carbon_g_kwh.value, p->place.name);
    row(context, "carbon", isnan(cost->carbon_g) ? "not known" : says);
}

void tr_plan_run_rows(const struct tr_plan *p, row_fn *row, void *context)
{
    char a[NUMBER], b[NUMBER], c[NUMBER], says[SAYS_BYTES];
    const struct tr_job_cost *cost = tr_plan_cost(p);
    say_takes(p, row, context);
    row(context, "chip-hours", tr_print_quantity(a, TR_UNIT_COUNT, cost->chip_hours));
    say_failures(p, row, context);
    snprintf(says, sizeof says, "%s each %s of computing, %s to save", tr_print_quantity(a, TR_UNIT_BYTES, p->state_bytes),
             isfinite(cost->interval_s) ? tr_print_time(b, cost->interval_s) : "run", tr_print_time(c, cost->save_s));
    row(context, "checkpoints", says);
    say_power(p, row, context);
}

static void put_run_row(void *table, const char *what, const char *says)
{
    tr_table_cell(table, "%s", what);
    tr_table_cell(table, "%s", says);
}

static void put_run(const struct tr_plan *p, struct tr_text *out)
{
    struct tr_table table = {0};
    tr_text_char(out, '\n');
    tr_table_column(&table, "the run", TR_LEFT);
    tr_table_column(&table, "", TR_LEFT);
    tr_plan_run_rows(p, put_run_row, &table);
    tr_table_text(&table, out);
    tr_table_free(&table);
}

/* What prices are made of, of which date, and which nobody would pay. */
static void put_offers(const struct tr_plan *p, struct tr_text *out)
{
    char words[TR_PRICE_WORDS_BYTES], dearer[TR_PRICE_WORDS_BYTES];
    for (int i = 0; i < TR_COMMITMENT_COUNT; i++) {
        const struct tr_price *price = &p->offer[i].price;
        if (tr_known(&price->usd_h))
            tr_text_printf(out, "%s: %s%s\n", tr_commitment_name((enum tr_commitment)i), tr_price_words(price, words),
                           tr_price_dearer_words(price, &p->offer[TR_COMMITMENT_ON_DEMAND].price, dearer));
    }
}

static void put_prices(const struct tr_plan *p, struct tr_text *out)
{
    char a[NUMBER];
    struct tr_table table = {0};
    tr_table_column(&table, "paid", TR_LEFT);
    tr_table_column(&table, "$ a chip-hour", TR_RIGHT);
    tr_table_column(&table, "takes", TR_RIGHT);
    tr_table_column(&table, "dollars", TR_RIGHT);
    for (int i = 0; i < TR_COMMITMENT_COUNT; i++) {
        const struct tr_plan_offer *offer = &p->offer[i];
        if (!tr_known(&offer->price.usd_h))
            continue;
        tr_table_cell(&table, "%s", tr_commitment_name((enum tr_commitment)i));
        tr_table_cell(&table, "%.2f", offer->price.usd_h.value);
        tr_table_cell(&table, "%s", tr_print_time(a, offer->cost.wall_s));
        tr_table_cell(&table, "%s", tr_print_beside(a, TR_UNIT_USD, offer->cost.usd, p->request.budget_usd));
    }
    if (table.cell_count > 0) {
        tr_text_char(out, '\n');
        tr_table_text(&table, out);
        put_offers(p, out);
    }
    tr_table_free(&table);
    if (!tr_known(&p->offer[p->request.commitment].price.usd_h)) {
        tr_text_char(out, '\n');
        tr_plan_unpriced(p, out);
        tr_text_char(out, '\n');
    }
}

static void put_levers(const struct tr_plan *p, struct tr_text *out)
{
    char value[NUMBER];
    struct tr_table table = {0};
    tr_text_char(out, '\n');
    tr_plan_limit(p, out);
    tr_text_append(out, "\n\n");
    tr_table_column(&table, "10 % better", TR_LEFT);
    tr_table_column(&table, "now", TR_RIGHT);
    tr_table_column(&table, "step's time", TR_RIGHT);
    if (p->search.done)
        tr_table_column(&table, "layout chosen again", TR_RIGHT);
    for (int i = 0; i < TR_LEVER_COUNT; i++) {
        if (!tr_plan_has_lever(p, (enum tr_lever)i))
            continue;
        tr_table_cell(&table, "%s", tr_lever_name((enum tr_lever)i));
        tr_table_cell(&table, "%s", tr_plan_lever_now(p, (enum tr_lever)i, value));
        tr_table_cell(&table, "%+.2f %%", 100 * p->lever[i].change);
        if (p->search.done)
            tr_table_cell(&table, "%+.2f %%", 100 * p->lever[i].change_again);
    }
    tr_table_text(&table, out);
    tr_table_free(&table);
}

/* The fastest is named, so that whoever trusts the estimate of its memory can have it. */
static void put_safer(const struct tr_plan *p, struct tr_text *out)
{
    char layout[TR_LAYOUT_TEXT_BYTES], bytes[NUMBER];
    const struct tr_found *fastest = &p->search.fastest;
    if (fastest->layout.dp && p->step.time_s > fastest->step.time_s)
        tr_text_printf(out, "%s is %.2f %% faster, but %s may not fit: within %g %%, where predictions do not tell which is faster, what surely fits is preferred",
                       tr_layout_print(&fastest->layout, layout), 100 * (1 - fastest->step.time_s / p->step.time_s),
                       tr_print_quantity(bytes, TR_UNIT_BYTES, fastest->step.memory_bytes), 100 * TR_PLAN_ALIKE);
}

void tr_plan_limit_words(const char *name, double gain, const char *layout, struct tr_text *out)
{
    bool batch = strcmp(name, TR_PLAN_LIMIT_BATCH) == 0;
    tr_text_printf(out, "%s; %s %.1f %% less time%s, with %s", name, batch ? "with twice as many sequences" : "without it", 100 * gain,
                   batch ? " for as many tokens" : "", layout);
}

static void put_limits(const struct tr_plan *p, struct tr_text *out)
{
    char layout[TR_LAYOUT_TEXT_BYTES];
    for (int i = 0; i < p->search.limit_count; i++) {
        const struct tr_limit *limit = &p->search.limit[i];
        tr_text_append(out, i ? "then the limit: " : "the tightest limit: ");
        tr_plan_limit_words(limit->name, limit->gain, tr_layout_print(&limit->found.layout, layout), out);
        tr_text_char(out, '\n');
    }
}

void tr_plan_searched(const struct tr_plan *p, struct tr_text *out)
{
    const struct tr_plan_candidate *c = &p->search.at[p->search.chosen];
    char legal[NUMBER], big[NUMBER], dominated[NUMBER], beyond[NUMBER];
    size_t before = out->len;
    put_safer(p, out);
    bool safer = out->len > before;
    tr_text_printf(out, "%s%s %s legal layouts: %s need more memory than there is, %s are no faster than a smaller one",
                   safer ? "\n" : "", safer ? "out of" : "the fastest of", tr_print_count(legal, c->legal),
                   tr_print_count(big, c->too_big), tr_print_count(dominated, c->dominated));
    if (c->beyond)
        tr_text_printf(out, "; and of %s of uneven stages or other sharings that might be faster", tr_print_count(beyond, c->beyond));
    tr_text_char(out, '\n');
    put_limits(p, out);
}

static void put_counts(const struct tr_plan *p, struct tr_text *out)
{
    char step[NUMBER], days[NUMBER], usd[NUMBER], layout[TR_LAYOUT_TEXT_BYTES];
    struct tr_table table = {0};
    static const char *const right[] = {"step", "MFU", "takes", "dollars"};
    const int others = tr_plan_hides(&p->search);
    tr_text_append(out, "\n(* nothing else is as fast for as few dollars; > chosen; ? may not fit, by memory's error");
    if (others)
        tr_text_printf(out, "; %d others were priced, none of these", others);
    tr_text_append(out, ")\n\n");
    tr_table_column(&table, "", TR_LEFT);
    tr_table_column(&table, "chips", TR_RIGHT);
    bool batches = p->search.at[0].global_batch != p->search.at[p->search.count - 1].global_batch;
    if (batches)
        tr_table_column(&table, "batch", TR_RIGHT);
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        tr_table_column(&table, right[i], TR_RIGHT);
    tr_table_column(&table, "layout", TR_LEFT);
    for (int i = 0; i < p->search.count; i++) {
        const struct tr_plan_candidate *c = &p->search.at[i];
        if (!tr_plan_shows(&p->search, i))
            continue;
        tr_table_cell(&table, "%s%s%s", i == p->search.chosen ? ">" : " ", c->front ? "*" : "",
                      c->found && tr_plan_may_not_fit(p, &c->step) ? "?" : "");
        tr_table_cell(&table, "%lld", (long long)c->chips);
        if (batches)
            tr_table_cell(&table, "%lld", (long long)c->global_batch);
        tr_table_cell(&table, "%s", c->found ? tr_print_time(step, c->step.time_s) : "");
        if (c->found)
            tr_table_cell(&table, "%.1f %%", 100 * c->step.mfu);
        else
            tr_table_cell(&table, "%s", "");
        tr_table_cell(&table, "%s", c->found ? tr_print_beside(days, TR_UNIT_TIME, c->wall_s, p->request.deadline_s) : "");
        tr_table_cell(&table, "%s", c->found && !isnan(c->usd) ? tr_print_beside(usd, TR_UNIT_USD, c->usd, p->request.budget_usd) : "");
        tr_table_cell(&table, "%s",
                      c->found   ? tr_layout_print(&c->layout, layout)
                      : c->legal ? "nothing fits"
                                 : "nothing divides");
    }
    tr_table_text(&table, out);
    tr_table_free(&table);
}

void tr_plan_next_rule(const struct tr_plan *p, struct tr_text *out)
{
    char of[NUMBER], alike[NUMBER];
    tr_text_append(out, "of each way to divide the chips (tp, cp, pp, dp, ep, etp) the fastest layout");
    if (p->search.next_alike)
        tr_text_printf(out, "; %s of the %s fastest are left out, which differ from one of these in other words only",
                       tr_print_count(alike, p->search.next_alike), tr_print_count(of, p->search.next_of));
}

/* Within the error of the first all are candidates. */
static void put_next(const struct tr_plan *p, struct tr_text *out)
{
    char step[NUMBER], bytes[NUMBER], layout[TR_LAYOUT_TEXT_BYTES];
    struct tr_table table = {0};
    bool unsure = false;
    for (int i = 0; i < p->search.next_count; i++)
        unsure = unsure || tr_plan_may_not_fit(p, &p->search.next[i].step);
    tr_text_char(out, '\n');
    tr_plan_next_rule(p, out);
    tr_text_append(out, "\n\n");
    tr_table_column(&table, "fastest layouts", TR_LEFT);
    tr_table_column(&table, "step", TR_RIGHT);
    tr_table_column(&table, "memory", TR_RIGHT);
    if (unsure)
        tr_table_column(&table, "", TR_LEFT);
    for (int i = 0; i < p->search.next_count; i++) {
        const struct tr_found *found = &p->search.next[i];
        tr_table_cell(&table, "%s", tr_layout_print(&found->layout, layout));
        tr_table_cell(&table, "%s", tr_print_time(step, found->step.time_s));
        tr_table_cell(&table, "%s", tr_print_quantity(bytes, TR_UNIT_BYTES, found->step.memory_bytes));
        if (unsure)
            tr_table_cell(&table, "%s", tr_plan_may_not_fit(p, &found->step) ? "may not fit" : "");
    }
    tr_table_text(&table, out);
    tr_table_free(&table);
}

void tr_plan_undone(const struct tr_plan *p, struct tr_text *out)
{
    const struct tr_layout *l = &p->layout;
    const uint32_t asked = (l->sp ? 1u << TR_ABILITY_SP : 0) | (l->cp > 1 ? 1u << ((int)TR_ABILITY_RING + (int)l->context) : 0) |
                           (l->dp > 1 ? 1u << ((int)TR_ABILITY_ZERO0 + l->zero) : 0) |
                           (l->pp > 1 ? 1u << ((int)TR_ABILITY_GPIPE + (int)l->pipeline) : 0);
    bool any = false;
    for (int i = 0; i < TR_ABILITY_COUNT; i++)
        if (p->stack.cannot & asked & 1u << i) {
            if (!any)
                tr_text_printf(out, "priced as if %s did ", p->stack.name);
            tr_text_printf(out, "%s%s", any ? " and " : "", tr_ability_name((enum tr_ability)i));
            any = true;
        }
    tr_text_append(out, any ? ", which it does not\n" : "");
}

void tr_plan_text(const struct tr_plan *p, struct tr_text *out)
{
    char layout[TR_LAYOUT_TEXT_BYTES];
    tr_plan_title(p, out);
    tr_text_char(out, '\n');
    tr_plan_subtitle(p, out);
    tr_text_char(out, '\n');
    tr_plan_further(p, out);
    tr_text_append(out, p->task.mtp ? "\n" : "");
    tr_plan_target(p, out);
    tr_text_printf(out, "layout %s\n", tr_layout_print(&p->layout, layout));
    tr_plan_undone(p, out);
    if (p->search.done && p->fits)
        tr_plan_searched(p, out);
    if (p->why[0])
        tr_text_printf(out, "\nno: %s\n", p->why);
    if (p->search.count > 1)
        put_counts(p, out);
    put_step(p, out);
    put_walked(p, out);
    put_memory(p, out);
    if (!p->fits)
        return;
    if (p->search.next_count > 1)
        put_next(p, out);
    put_run(p, out);
    put_prices(p, out);
    put_levers(p, out);
}
