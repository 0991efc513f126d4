#include "plan/run/inside.h"

#include "base/num.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum tr_status check_stacks(const struct tr_catalog *catalog, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int i = 0; i < tr_catalog_count(catalog, TR_SECTION_STACKS) && status == TR_OK; i++) {
        struct tr_stack stack;
        status = tr_stack_read(tr_catalog_entry(catalog, TR_SECTION_STACKS, i), &stack, err);
    }
    return status;
}

enum tr_status tr_plan_catalog(const char *path, struct tr_catalog **out, struct tr_err *err)
{
    enum tr_status (*const checks[])(const struct tr_catalog *, struct tr_err *) = {
        tr_chip_check_all,  tr_rates_check_all,      tr_system_check_all,
        tr_shape_check_all, tr_cloud_cost_check_all, tr_law_check_all, check_stacks};
    struct tr_catalog *catalog = NULL;
    enum tr_status status = tr_catalog_open(&catalog, err);
    if (status == TR_OK && path)
        status = tr_catalog_add(catalog, path, err);
    for (size_t i = 0; path && i < sizeof checks / sizeof *checks && status == TR_OK; i++)
        status = checks[i](catalog, err);
    if (status == TR_OK)
        *out = catalog;
    else
        tr_catalog_free(catalog);
    return status;
}

/* A chip is no system: the first of those that carry it are named. */
static enum tr_status say_systems_of(const struct tr_catalog *catalog, const char *name, const struct tr_entry *chip,
                                     struct tr_err *err)
{
    enum { NAMED = 4, ROOM = 320 };
    char ids[ROOM] = "";
    int found = 0;
    for (int i = 0; i < tr_catalog_count(catalog, TR_SECTION_SYSTEMS); i++) {
        struct tr_system system;
        enum tr_status status = tr_system_read(tr_catalog_entry(catalog, TR_SECTION_SYSTEMS, i), &system, err);
        if (status != TR_OK)
            return status;
        if (system.chip.entry == chip && found++ < NAMED)
            snprintf(ids + strlen(ids), ROOM - strlen(ids), "%s%.60s", ids[0] ? ", " : "", system.id);
    }
    if (!found)
        return tr_fail(err, TR_BAD_INPUT, "unknown system \"%.60s\": it is a chip, and no system of the catalog carries it; docs/catalog.md says how to "
                       "describe one", name);
    return tr_fail(err, TR_BAD_INPUT, "unknown system \"%.60s\": it is a chip; %s%s carr%s it (`trine show systems`)", name, ids,
                   found > NAMED ? " and others" : "", found > 1 ? "y" : "ies");
}

bool tr_plan_is_profile(const char *system)
{
    const char *end = strrchr(system, '.');
    return end && (strcmp(end, ".yaml") == 0 || strcmp(end, ".yml") == 0);
}

static enum tr_status find_system(const struct tr_catalog *catalog, const char *name, struct tr_system *out, struct tr_err *err)
{
    const struct tr_entry *chip = tr_catalog_look(catalog, TR_SECTION_CHIPS, name);
    if (tr_plan_is_profile(name))
        return tr_fail(err, TR_BAD_INPUT, "the system \"%.60s\" is the profile of a machine: `trine plan` and `trine explain` take it, and a report "
                       "has what was predicted of its run there", name);
    if (chip && !tr_catalog_look(catalog, TR_SECTION_SYSTEMS, name))
        return say_systems_of(catalog, name, chip, err);
    return tr_system_find(catalog, name, out, err);
}

/* ---- what was asked for, and what is chosen where nothing was ---------------------------------------------------- */

struct tr_plan_request tr_plan_request_usual(void)
{
    return (struct tr_plan_request){.commitment = TR_COMMITMENT_ON_DEMAND};
}

enum tr_status tr_plan_check_tokens(const struct tr_plan_request *r, struct tr_err *err)
{
    if (r->target_loss != 0 && r->tokens != 0)
        return tr_fail(err, TR_BAD_INPUT, "the tokens are said, and a target loss from which they would follow: one of them");
    if (r->target_loss == 0 && r->law[0])
        return tr_fail(err, TR_BAD_INPUT, "the scaling law \"%s\" needs a target loss", r->law);
    if (r->target_loss == 0 && r->tokens == 0)
        return tr_fail(err, TR_BAD_INPUT, "how long to train: --tokens 300B, or --target-loss 2.1");
    if (r->target_loss == 0 && !(r->tokens >= 1 && r->tokens <= TR_PLAN_TOKENS_MAX))
        return tr_fail(err, TR_BAD_INPUT, "tokens must be from 1 to %g, got %g", TR_PLAN_TOKENS_MAX, r->tokens);
    return TR_OK;
}

static enum tr_status check_request(const struct tr_plan_request *r, struct tr_err *err)
{
    if (r->chips_max && (r->chips_max < r->chips || r->chips_max > TR_CHIPS_MAX))
        return tr_fail(err, TR_BAD_INPUT, "from %lld to %lld chips is no range of at most %d", (long long)r->chips,
                       (long long)r->chips_max, TR_CHIPS_MAX);
    if (r->chips < 1 || r->chips > TR_CHIPS_MAX)
        return tr_fail(err, TR_BAD_INPUT, "chips must be from 1 to %d, got %lld", TR_CHIPS_MAX, (long long)r->chips);
    if (r->seq_len < 0 || r->seq_len > TR_PLAN_SEQ_MAX)
        return tr_fail(err, TR_BAD_INPUT, "a sequence has 1 to %lld tokens, got %lld", (long long)TR_PLAN_SEQ_MAX,
                       (long long)r->seq_len);
    if (r->global_batch < 0 || r->global_batch > TR_PLAN_BATCH_MAX)
        return tr_fail(err, TR_BAD_INPUT, "a global batch has 1 to %lld sequences, got %lld",
                       (long long)TR_PLAN_BATCH_MAX, (long long)r->global_batch);
    if (r->global_batch_max && (r->global_batch < 1 || r->global_batch_max < r->global_batch ||
                                r->global_batch_max > TR_PLAN_BATCH_MAX))
        return tr_fail(err, TR_BAD_INPUT, "from %lld to %lld sequences is no range of batches of at most %lld",
                       (long long)r->global_batch, (long long)r->global_batch_max, (long long)TR_PLAN_BATCH_MAX);
    TR_ASSERT(r->commitment >= 0 && r->commitment < TR_COMMITMENT_COUNT);
    return tr_plan_check_tokens(r, err);
}

static void choose_batch(struct tr_plan_request *r, const struct tr_model_shape *model)
{
    if (!r->seq_len)
        r->seq_len = tr_shape_usual_length(model);
    if (!r->global_batch)
        r->global_batch = tr_max_i64(1, TR_USUAL_BATCH_TOKENS / r->seq_len);
}

static enum tr_status choose_tokens(struct tr_plan *p, struct tr_err *err)
{
    struct tr_plan_request *r = &p->request;
    struct tr_law_answer answer;
    if (r->target_loss == 0)
        return TR_OK;
    enum tr_status status = tr_law_ask(p->catalog, r->law, p->model.name, tr_shape_params(&p->model).active, r->target_loss, &answer, err);
    if (status != TR_OK)
        return status;
    p->law = answer.law;
    p->tokens_low = answer.low, p->tokens_high = answer.high;
    r->tokens = answer.tokens;
    snprintf(r->law, sizeof r->law, "%s", p->law.id);
    return TR_OK;
}

static void choose_software(struct tr_plan_request *r, const struct tr_chip *chip)
{
    bool tpu = strcmp(chip->vendor, "Google") == 0, wide = tr_known(&chip->rate_flop_s[TR_RATE_BF16]);
    if (!r->stack[0])
        snprintf(r->stack, sizeof r->stack, "%s", tpu ? "xla" : "megatron-core");
    if (!r->precision[0])
        snprintf(r->precision, sizeof r->precision, "%s", wide ? "bf16" : "fp16");
}

static enum tr_status make_site(struct tr_plan *p, struct tr_err *err)
{
    struct tr_plan_request *r = &p->request;
    enum tr_format format = tr_format_find(r->precision);
    if (format == TR_FORMAT_COUNT)
        return tr_fail(err, TR_BAD_INPUT,
                       "unknown precision \"%s\"; bf16, fp16, fp8, fp8_block, mxfp8 and nvfp4 are known", r->precision);
    if (format >= TR_FORMAT_INT8 && format <= TR_FORMAT_INT4_WO)
        return tr_fail(err, TR_BAD_INPUT, "nobody trains in %s, a format of inference; bf16, fp16, fp8, fp8_block, mxfp8 and nvfp4 are of training",
                       tr_format_info(format)->name);
    enum tr_status status = tr_stack_find(p->catalog, r->stack, &p->stack, err);
    if (status == TR_OK)
        status = tr_site_make(&p->site, &p->system, &p->stack, format, err);
    if (status != TR_OK)
        return status;
    p->site.products = p->products;
    int64_t most = tr_system_max_chips(&p->system), asked = tr_max_i64(r->chips, r->chips_max);
    if (most && asked > most)
        return tr_fail(err, TR_BAD_INPUT, "%s joins at most %lld chips, %lld were asked for", p->system.id,
                       (long long)most, (long long)asked);
    return TR_OK;
}

static enum tr_status make_layout(struct tr_plan *p, struct tr_err *err)
{
    uint32_t said;
    bool open;
    enum tr_status status = tr_layout_parse_open(p->request.layout, &p->layout, &said, &open, err);
    if (status != TR_OK)
        return status;
    if (open)
        return tr_plan_choose(p, said, err);
    if (p->request.chips_max || p->request.global_batch_max)
        return tr_fail(err, TR_BAD_INPUT,
                       "several numbers of chips, or batches, are tried with open layouts only: say auto,... instead of "
                       "the layout \"%s\"",
                       p->request.layout);
    status = tr_layout_check_parts(&p->layout, &p->model, p->task.batch.seq_len, err); /* what no number of chips makes right comes first */
    if (status == TR_OK)
        status = tr_layout_fit_chips(&p->layout, p->request.chips, err);
    if (status == TR_OK && !(said & 1u << TR_LAYOUT_DP))
        status = tr_layout_fit_batch(&p->layout, &p->task.batch, err);
    if (status == TR_OK)
        status = tr_layout_check(&p->layout, &p->model, &p->task.batch, err);
    return status == TR_OK ? tr_step_price(&p->site, &p->task, &p->layout, &p->step, err) : status;
}

static enum tr_status price_further(struct tr_plan *p, struct tr_err *err)
{
    struct tr_task without = p->task;
    struct tr_step step;
    without.mtp = 0;
    if (p->task.mtp == 0)
        return TR_OK;
    enum tr_status status = tr_step_price(&p->site, &without, &p->layout, &step, err);
    if (status == TR_OK) {
        p->further.flop = p->step.model_flop - step.model_flop;
        p->further.time_s = p->step.time_s - step.time_s;
        p->further.memory_bytes = p->step.memory_bytes - step.memory_bytes;
    }
    return status;
}

/* ---- does it fit? ------------------------------------------------------------------------------------------------ */

/* The two errors have nothing to do with each other. */
void tr_plan_wall_interval(const struct tr_plan *p, double *low_s, double *high_s)
{
    const double wall_s = tr_plan_cost(p)->wall_s, error = p->step.error, tokens = p->request.tokens;
    bool by_law = p->request.target_loss > 0;
    double less = by_law ? 1 - p->tokens_low / tokens : 0, more = by_law ? p->tokens_high / tokens - 1 : 0;
    *low_s = wall_s * fmax(0, 1 - sqrt(error * error + less * less));
    *high_s = wall_s * (1 + sqrt(error * error + more * more));
}

double tr_plan_capacity(const struct tr_chip *chip)
{
    return tr_fact_or(&chip->memory_visible_bytes, chip->memory_bytes.value);
}

static bool fits_with(const struct tr_plan *p, const struct tr_layout *layout)
{
    struct tr_step step;
    struct tr_err ignored;
    return tr_step_price(&p->site, &p->task, layout, &step, &ignored) == TR_OK &&
           step.memory_bytes <= p->capacity_bytes;
}

/* The fewest replicas, more than there are, with which the layout fits; 0: none that divides the batch. */
static int32_t replicas_that_fit(const struct tr_plan *p)
{
    struct tr_layout layout = p->layout;
    int64_t batch = p->request.global_batch, of_replica = tr_layout_chips(&layout) / layout.dp;
    for (int64_t dp = layout.dp + 1; dp <= batch && dp * of_replica <= TR_CHIPS_MAX; dp++) {
        layout.dp = (int32_t)dp;
        if (batch % dp == 0 && fits_with(p, &layout))
            return layout.dp;
    }
    return 0;
}

static void say_memory(struct tr_plan *p)
{
    char needs[TR_QUANTITY_BYTES], has[TR_QUANTITY_BYTES], most_text[TR_QUANTITY_BYTES], more[160];
    int most = 0;
    for (int i = 0; i < TR_MEM_COUNT; i++)
        if (p->step.memory[i] > p->step.memory[most])
            most = i;
    int32_t dp = replicas_that_fit(p);
    if (dp)
        snprintf(more, sizeof more, "the smallest count at which this layout fits is %lld chips (dp %d)",
                 (long long)(tr_layout_chips(&p->layout) / p->layout.dp * dp), dp);
    else
        snprintf(more, sizeof more, "no number of replicas makes this layout fit");
    snprintf(p->why, sizeof p->why, "needs %s per chip, has %s%s; %s; what takes most on stage %d is %s (%s)",
             tr_print_bytes(needs, (int64_t)p->step.memory_bytes), tr_print_bytes(has, (int64_t)p->capacity_bytes),
             p->request.reserve_bytes > 0 ? " without the reserve" : "", more, p->step.heaviest_stage, tr_mem_name((enum tr_mem)most),
             tr_print_bytes(most_text, (int64_t)p->step.memory[most]));
}

/* ---- prices ------------------------------------------------------------------------------------------------------ */

void tr_plan_unpriced(const struct tr_plan *p, struct tr_text *out)
{
    const struct tr_price *price = &p->offer[p->request.commitment].price;
    const char *way = tr_commitment_name((enum tr_commitment)p->request.commitment);
    if (tr_known(&price->usd_h))
        return;
    if (price->since[0])
        tr_text_printf(out, "no price of %s %s is as old as %s: the first is of %s", p->system.id, way, p->request.date, price->since);
    else
        tr_text_printf(out, "nobody of the catalog offers %s %s", p->system.id, way);
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

double tr_plan_steps(const struct tr_plan *p, int64_t global_batch)
{
    return ceil(p->request.tokens / ((double)p->task.batch.seq_len * (double)global_batch));
}

void tr_plan_set_batch(struct tr_plan *p, int64_t global_batch)
{
    p->task.batch.global_batch = global_batch;
    p->steps = tr_plan_steps(p, global_batch);
}

/* Prices and failures do not depend on the layout. */
static enum tr_status find_offers(struct tr_plan *p, struct tr_err *err)
{
    enum tr_status status = tr_place_for(p->catalog, &p->system, p->request.region, &p->place, err);
    for (int i = 0; i < TR_COMMITMENT_COUNT && status == TR_OK; i++) {
        struct tr_price_query query = {.commitment = (enum tr_commitment)i, .date = p->request.date};
        status = tr_price_find(p->catalog, &p->system, &query, &p->offer[i].price, err);
        if (status == TR_OK)
            status = tr_failures_for(p->catalog, &p->system, query.commitment, &p->offer[i].failures, err);
    }
    tr_plan_set_batch(p, p->request.global_batch);
    /* Weights in 16 bits and the optimiser's state: gradients are not saved. */
    p->state_bytes = (tr_shape_params(&p->model).total + p->further.params) * (2 + p->stack.master_bytes.value);
    return status;
}

struct tr_job_cost tr_plan_job(const struct tr_plan *p, int commitment, int64_t chips, double step_s)
{
    struct tr_job job = {.system = &p->system,
                         .chips = chips,
                         .busy_s = p->steps * step_s,
                         .state_bytes = p->state_bytes,
                         .background = p->request.background,
                         .price = &p->offer[commitment].price,
                         .site = &p->place,
                         .failures = &p->offer[commitment].failures};
    return tr_job_cost(&job);
}

static void price_run(struct tr_plan *p)
{
    p->busy_s = p->steps * p->step.time_s;
    for (int i = 0; i < TR_COMMITMENT_COUNT; i++)
        p->offer[i].cost = tr_plan_job(p, i, p->request.chips, p->step.time_s);
}

static void add_why(struct tr_plan *p, const char *format, ...) TR_PRINTF(2, 3);

static void add_why(struct tr_plan *p, const char *format, ...)
{
    size_t said = strlen(p->why);
    va_list args;
    va_start(args, format);
    vsnprintf(p->why + said, sizeof p->why - said, format, args);
    va_end(args);
}

/* How many chips would keep the wishes, or come nearest. */
static void say_instead(struct tr_plan *p)
{
    const struct tr_plan_candidate *c = &p->search.instead;
    char days[TR_QUANTITY_BYTES], usd[TR_QUANTITY_BYTES];
    if (!c->chips || p->search.instead_low == p->search.instead_high)
        return;
    if (!c->kept)
        add_why(p, "; of the numbers of chips that were tried, %lld to %lld, none would do", (long long)p->search.instead_low,
                (long long)p->search.instead_high);
    if (c->chips == p->request.chips)
        return;
    const bool both = p->request.deadline_s > 0 && p->request.budget_usd > 0; /* then it is not plain which of them is missed */
    add_why(p, c->kept ? "; %lld chips would do: %s%s" : ", and %lld come nearest: %s%s", (long long)c->chips,
            tr_print_beside(days, TR_UNIT_TIME, c->wall_s, p->request.deadline_s),
            both && c->wall_s > p->request.deadline_s ? " (more than the deadline)" : "");
    if (!isnan(c->usd))
        add_why(p, ", %s%s", tr_print_beside(usd, TR_UNIT_USD, c->usd, p->request.budget_usd),
                both && c->usd > p->request.budget_usd ? " (more than the budget)" : "");
}

/* Other ways to rent the same chips that keep the wishes. */
static void say_other_offers(struct tr_plan *p)
{
    char usd[TR_QUANTITY_BYTES];
    int count = 0;
    for (int i = 0; i < TR_COMMITMENT_OWNED; i++) {
        const struct tr_job_cost *cost = &p->offer[i].cost;
        if (!tr_known(&p->offer[i].price.usd_h) || !(cost->usd <= p->request.budget_usd) ||
            (p->request.deadline_s > 0 && cost->wall_s > p->request.deadline_s))
            continue;
        add_why(p, "%s%s for %s", count ? ", or " : "; paid by ", tr_commitment_name((enum tr_commitment)i),
                tr_print_beside(usd, TR_UNIT_USD, cost->usd, p->request.budget_usd));
        count++;
    }
    if (count)
        add_why(p, " it would do");
}

/* All that are missed, so that nobody meets one of them to be told of the other. */
static void say_wishes(struct tr_plan *p)
{
    char is[TR_QUANTITY_BYTES], wished[TR_QUANTITY_BYTES];
    const struct tr_job_cost *cost = tr_plan_cost(p);
    bool goes_on = cost->goodput > 0;
    if (p->why[0])
        return;
    if (!goes_on)
        add_why(p, "a job of %lld chips fails too often to come forward: every %s, and to recover takes %s",
                (long long)p->request.chips, tr_print_time(is, cost->mtbf_s), tr_print_time(wished, cost->recover_s));
    if (goes_on && p->request.deadline_s > 0 && cost->wall_s > p->request.deadline_s)
        add_why(p, "takes %s, more than the deadline of %s", tr_print_beside(is, TR_UNIT_TIME, cost->wall_s, p->request.deadline_s),
                tr_print_beside(wished, TR_UNIT_TIME, p->request.deadline_s, cost->wall_s));
    if (goes_on && p->request.budget_usd > 0 && cost->usd > p->request.budget_usd)
        add_why(p, "%scosts %s, more than the budget of %s", p->why[0] ? "; " : "", tr_print_beside(is, TR_UNIT_USD, cost->usd, p->request.budget_usd),
                tr_print_beside(wished, TR_UNIT_USD, p->request.budget_usd, cost->usd));
    if (p->why[0] && goes_on && p->request.budget_usd > 0)
        say_other_offers(p);
    if (p->why[0])
        say_instead(p);
}

static enum tr_status check_wishes(const struct tr_plan *p, struct tr_err *err)
{
    struct tr_text why = {0};
    tr_plan_unpriced(p, &why);
    enum tr_status status = why.len == 0 || p->request.budget_usd == 0
                                ? TR_OK
                                : tr_fail(err, TR_BAD_INPUT, "a budget needs a price, and %s", tr_text_str(&why));
    tr_text_free(&why);
    return status;
}

/* ---- what would help --------------------------------------------------------------------------------------------- */

static enum tr_status pull_levers(struct tr_plan *p, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    p->limit = 0;
    for (int i = 0; i < TR_LEVER_COUNT && status == TR_OK; i++) {
        struct tr_lever_effect *effect = &p->lever[i];
        status = tr_lever_measure((enum tr_lever)i, &p->site, &p->task, &p->layout, effect, err);
        effect->change_again = NAN;
        if (status == TR_OK && p->search.done && p->fits && tr_lever_there((enum tr_lever)i, &p->system))
            status = tr_lever_choose((enum tr_lever)i, &p->site, &p->task, p->pool, p->pool_count,
                                     &effect->change_again, err);
        if (effect->change < p->lever[p->limit].change)
            p->limit = i;
    }
    if (p->search.done && p->fits)
        p->lever[TR_LEVER_CAPACITY].change_again = p->more_memory_s / p->step.time_s - 1;
    return status;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static enum tr_status make(struct tr_plan *p, struct tr_err *err)
{
    enum tr_status status = check_request(&p->request, err);
    if (status == TR_OK)
        status = tr_shape_find(p->catalog, p->request.model, &p->model, err);
    if (status == TR_OK)
        status = find_system(p->catalog, p->request.system, &p->system, err);
    if (status != TR_OK)
        return status;
    status = choose_tokens(p, err);
    if (status != TR_OK)
        return status;
    choose_batch(&p->request, &p->model);
    choose_software(&p->request, &p->system.chip);
    p->task = (struct tr_task){.model = &p->model,
                               .batch = {p->request.seq_len, p->request.global_batch},
                               .mtp = p->request.no_mtp ? 0 : p->model.mtp};
    p->further.params = p->request.no_mtp ? 0 : tr_shape_mtp_params(&p->model);
    p->capacity_bytes = tr_plan_capacity(&p->system.chip) - (double)p->request.reserve_bytes;
    char reserve[TR_QUANTITY_BYTES], has[TR_QUANTITY_BYTES];
    if (p->request.reserve_bytes > 0 && p->request.reserve_bytes < 1 << 20)
        return tr_fail(err, TR_BAD_INPUT, "a reserve of %lld bytes: is a unit missing, as in 8GiB?",
                       (long long)p->request.reserve_bytes);
    if (p->capacity_bytes <= 0)
        return tr_fail(err, TR_BAD_INPUT, "a reserve of %s leaves nothing of the %s that %s has", tr_print_bytes(reserve, p->request.reserve_bytes),
                       tr_print_bytes(has, (int64_t)tr_plan_capacity(&p->system.chip)), p->system.chip.id);
    status = make_site(p, err);
    if (status == TR_OK)
        status = find_offers(p, err);
    if (status == TR_OK)
        status = check_wishes(p, err);
    if (status == TR_OK)
        status = make_layout(p, err);
    if (status == TR_OK)
        status = price_further(p, err);
    if (status != TR_OK)
        return status;
    tr_layout_print(&p->layout, p->request.layout);
    p->request.chips_max = p->request.global_batch_max = 0;
    p->request.global_batch = p->task.batch.global_batch;
    p->fits = p->step.memory_bytes <= p->capacity_bytes;
    if (!p->fits && !p->why[0])
        say_memory(p);
    price_run(p);
    say_wishes(p);
    return pull_levers(p, err);
}

enum tr_status tr_plan_make(const struct tr_catalog *catalog, const struct tr_plan_request *request,
                            struct tr_plan **out, struct tr_err *err)
{
    struct tr_plan *plan = calloc(1, sizeof *plan);
    *out = NULL;
    if (plan) {
        plan->products = calloc(1, sizeof *plan->products);
        plan->passes = tr_passes_make();
    }
    if (!plan || !plan->products || !plan->passes) {
        tr_plan_free(plan);
        return tr_fail(err, TR_FAILED, "out of memory for a plan");
    }
    plan->catalog = catalog;
    plan->request = *request;
    enum tr_status status = make(plan, err);
    if (status != TR_OK) {
        tr_plan_free(plan);
        return status;
    }
    *out = plan;
    *err = (struct tr_err){""}; /* of searches that found nothing, as they may */
    return plan->why[0] ? TR_NO : TR_OK;
}

void tr_plan_free(struct tr_plan *plan)
{
    if (plan)
        free(plan->pool), free(plan->products), tr_passes_free(plan->passes);
    free(plan);
}
