#include "plan/here/plan_here.h"

#include "base/json.h"
#include "base/quantity.h"
#include "base/table.h"
#include "plan/print/print.h"
#include "plan/run/plan_file.h"
#include "silicon/chip/chip.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The text's tokens are not known: a model with any vocabulary will do. */
#define ANY_VOCAB 1

/* ---- the question ------------------------------------------------------------------------------------------------ */

/* What is made of a request on the way to a plan. */
struct making {
    const struct tr_catalog *profile;
    struct tr_here_plan *plan;    /* its request is filled in */
    struct tr_run_config config;
    struct tr_model_config model;
    struct tr_kernel_rates all;   /* of all threads */
    struct tr_kernel_rates rates; /* of a rank's */
    struct tr_chip chip;
    struct tr_fit fit;
    bool is_auto;                 /* the layout is looked for */
};

static enum tr_status check_request(const struct tr_plan_request *r, struct tr_err *err)
{
    if (r->model[0] == 0)
        return tr_fail(err, TR_BAD_INPUT, "no model given: a preset, or a config.json");
    if (r->chips > 1 || r->chips_max || r->global_batch_max)
        return tr_fail(err, TR_BAD_INPUT, "%s: a machine that was calibrated is 1 chip, and its global batch one number", r->system);
    if (r->precision[0] && strcmp(r->precision, "bf16") != 0 && strcmp(r->precision, "fp32") != 0)
        return tr_fail(err, TR_BAD_INPUT, "--precision: \"%.15s\": trine trains in fp32 and bf16", r->precision);
    return tr_plan_check_tokens(r, err);
}

static const char *whole(char buf[32], double value)
{
    snprintf(buf, 32, "%.0f", value);
    return buf;
}

/* A layout brings the widths that it needs. */
static enum tr_status resolve(struct making *m, double tokens, struct tr_err *err)
{
    const struct tr_plan_request *r = &m->plan->request;
    const struct tr_degrees *layout = &m->fit.layout;
    char buf[6][32];
    struct tr_override all[9] = {{"model.name", r->model},
                                 {"data.path", "text"}, /* a run must name its text; nobody opens this one */
                                 {"train.tokens", whole(buf[0], tokens)},
                                 {"train.dtype", strcmp(r->precision, "bf16") == 0 ? "bf16" : "f32"},
                                 {"layout.lanes", whole(buf[1], tr_degrees_of(layout, TR_GROUP_DATA))},
                                 {"layout.context", whole(buf[2], tr_degrees_of(layout, TR_GROUP_CONTEXT))},
                                 {"layout.tensor", whole(buf[3], tr_degrees_of(layout, TR_GROUP_TENSOR))}};
    int count = 7;
    if (r->seq_len > 0)
        all[count++] = (struct tr_override){"data.seq_len", whole(buf[4], (double)r->seq_len)};
    if (r->global_batch > 0)
        all[count++] = (struct tr_override){"train.batch", whole(buf[5], (double)r->global_batch)};
    enum tr_status status = tr_run_config_read(&m->config, NULL, all, count, err);
    return status == TR_OK ? tr_run_config_resolve(&m->config, ANY_VOCAB, &m->model, err) : status;
}

/* Of a target loss they follow from the model. */
static enum tr_status choose_tokens(struct making *m, struct tr_err *err)
{
    struct tr_plan_request *r = &m->plan->request;
    struct tr_catalog *catalog = NULL;
    struct tr_model_shape shape;
    struct tr_law_answer answer;
    if (r->target_loss == 0)
        return resolve(m, r->tokens, err);
    enum tr_status status = resolve(m, 1e9, err);
    if (status == TR_OK)
        status = tr_catalog_open(&catalog, err);
    if (status == TR_OK) {
        tr_shape_from_config(&m->model, &shape);
        status = tr_law_ask(catalog, r->law, m->model.name, tr_shape_params(&shape).active, r->target_loss, &answer, err);
    }
    if (status == TR_OK) {
        r->tokens = answer.tokens;
        m->plan->tokens_low = answer.low, m->plan->tokens_high = answer.high;
        snprintf(r->law, sizeof r->law, "%s", answer.law.id);
    }
    tr_catalog_free(catalog);
    return status == TR_OK ? resolve(m, r->tokens, err) : status;
}

/* ---- the machine and the layout ---------------------------------------------------------------------------------- */

/* Kernels are asked for the size of their workspaces, by code of their own instructions: where those of the profile do not run, the
 * widest that do are asked, whose workspaces are almost the same. */
static enum tr_status find_isa(const struct tr_kernel_rates *rates, enum tr_isa *isa, struct tr_err *err)
{
    for (int i = 0; i < TR_ISA_COUNT; i++) {
        if (tr_isa_runs((enum tr_isa)i))
            *isa = (enum tr_isa)i;
        if (strcmp(rates->isa, tr_isa_name((enum tr_isa)i)) == 0)
            return TR_OK;
    }
    return tr_fail(err, TR_BAD_INPUT, "kernels of %s: \"%.40s\" is no instruction set that trine has kernels for", rates->id,
                   rates->isa);
}

static enum tr_status find_machine(struct making *m, struct tr_err *err)
{
    enum tr_isa isa = TR_ISA_REF;
    enum tr_status status = tr_kernel_rates_find(m->profile, 0, &m->all, err);
    if (status == TR_OK)
        status = tr_chip_find(m->profile, m->all.chip, &m->chip, err);
    if (status == TR_OK)
        status = find_isa(&m->all, &isa, err);
    if (status == TR_OK)
        m->fit.machine = (struct tr_machine){tr_kernel_set(isa), m->all.threads};
    return status;
}

/* The fastest of the layouts that a run of such widths can have; where none fits, the one that needs least, whose plan then says so. */
static enum tr_status choose_layout(struct making *m, struct tr_err *err)
{
    const struct tr_choose_request request = {.profile = m->profile, .fit = m->fit, .config = &m->config, .transport = "threads",
                                              .cores = m->all.threads, .memory_bytes = (int64_t)m->chip.memory_bytes.value};
    struct tr_layouts_found *found = calloc(1, sizeof *found);
    if (!found)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *found);
    enum tr_status status = tr_here_choose(&request, found, err);
    if (status == TR_OK || status == TR_NO)
        m->fit.layout = found->choice[0].layout;
    else
        tr_err_prefix(err, "--layout auto");
    free(found);
    return status == TR_NO ? TR_OK : status;
}

/* So many ranks, each with its share of the threads; their words as they are written down. */
static enum tr_status settle_layout(struct making *m, struct tr_err *err)
{
    char words[TR_LAYOUT_WORDS_BYTES];
    struct tr_here_plan *plan = m->plan;
    enum tr_status status = m->is_auto ? choose_layout(m, err) : TR_OK;
    if (status != TR_OK)
        return status;
    plan->ranks = (int)tr_degrees_ranks(&m->fit.layout);
    if (plan->ranks > m->all.threads)
        return tr_fail(err, TR_BAD_INPUT, "--layout: %d ranks, and the profile is of %d thread%s", plan->ranks, m->all.threads,
                       m->all.threads == 1 ? "" : "s");
    tr_degrees_words(&m->fit.layout, words);
    snprintf(plan->request.layout, sizeof plan->request.layout, "%s", words[0] ? words : "dp=1");
    plan->threads = m->fit.machine.threads = m->all.threads / plan->ranks;
    return tr_kernel_rates_for(m->profile, plan->threads, &m->rates, err);
}

/* ---- the plan ---------------------------------------------------------------------------------------------------- */

static enum tr_status judge_memory(const struct making *m, const struct tr_here_fitted *fitted, const struct tr_fit_limit *limit,
                                   struct tr_err *err)
{
    struct tr_err why;
    if (fitted->bytes <= limit->bytes)
        return TR_OK;
    enum tr_status status = tr_fit_refuse(&m->fit, &m->config, fitted->rank, fitted->first_bytes, limit, &why);
    if (status != TR_NO) {
        *err = why;
        return status;
    }
    if (m->is_auto)
        tr_err_prefix(&why, "no layout fits; %s needs least", m->plan->request.layout);
    snprintf(m->plan->why, sizeof m->plan->why, "%s", why.text);
    return TR_OK;
}

static void judge_time(struct tr_here_plan *plan)
{
    char is[TR_QUANTITY_BYTES], may[TR_QUANTITY_BYTES];
    const double deadline_s = plan->request.deadline_s;
    if (plan->why[0] == 0 && deadline_s > 0 && plan->run_s > deadline_s)
        snprintf(plan->why, sizeof plan->why, "takes %s, more than the deadline of %s",
                 tr_print_beside(is, TR_UNIT_TIME, plan->run_s, deadline_s), tr_print_beside(may, TR_UNIT_TIME, deadline_s, plan->run_s));
}

static void fill_request(const struct tr_run_config *config, struct tr_plan_request *request)
{
    request->chips = 1;
    request->seq_len = config->seq_len, request->global_batch = config->batch;
    snprintf(request->precision, sizeof request->precision, "%s", config->dtype == TR_BF16 ? "bf16" : "fp32");
}

static void fill(const struct making *m, const struct tr_here_fitted *fitted)
{
    struct tr_here_plan *plan = m->plan;
    const struct tr_run_config *config = &m->config;
    const struct tr_program *program = &fitted->programs.program[fitted->rank];
    fill_request(config, &plan->request);
    snprintf(plan->model, sizeof plan->model, "%s", program->model.name);
    plan->chip_id = m->chip.id, plan->chip = m->chip.name;
    plan->parameters = program->weights.element_count;
    plan->dtype = (enum tr_dtype)config->dtype;
    plan->steps = config->steps, plan->tokens = config->steps * config->batch * config->seq_len;
    plan->seq_len = config->seq_len, plan->batch = config->batch, plan->micro_batch = config->micro_batch;
    plan->recompute = program->step.recompute;
    memcpy(plan->region_bytes, program->region_bytes, sizeof plan->region_bytes);
    plan->memory_bytes = tr_program_memory_bytes(program), plan->needed_bytes = fitted->bytes;
    plan->profile_runs = tr_refined_runs(&m->rates.refined);
}

static enum tr_status price(const struct making *m, const struct tr_run_programs *programs, struct tr_err *err)
{
    struct tr_here_plan *plan = m->plan;
    struct tr_ranks_price its;
    enum tr_status status = tr_here_price_ranks(m->profile, "threads", 0, programs, 0, &its, err);
    if (status != TR_OK)
        return status;
    plan->step_s = its.step_s, plan->error = its.error, plan->slowest = its.slowest;
    memcpy(plan->refined, its.refined, sizeof plan->refined);
    plan->run_s = (double)plan->steps * plan->step_s;
    return TR_OK;
}

static enum tr_status plan_programs(struct making *m, struct tr_err *err)
{
    struct tr_here_fitted fitted;
    struct tr_fit_limit limit = {.bytes = (int64_t)m->chip.memory_bytes.value / m->plan->ranks};
    char has[TR_QUANTITY_BYTES];
    snprintf(limit.words, sizeof limit.words, m->plan->ranks == 1 ? "the machine has %s" : "the machine has %s for each rank",
             tr_print_bytes(has, limit.bytes));
    m->plan->machine_bytes = (double)limit.bytes;
    enum tr_status status = tr_here_fit(&m->fit, limit.bytes, &m->rates, &m->config, &fitted, err);
    if (status != TR_OK && status != TR_NO)
        return status;
    fill(m, &fitted);
    status = price(m, &fitted.programs, err);
    if (status == TR_OK)
        status = judge_memory(m, &fitted, &limit, err);
    tr_run_programs_free(&fitted.programs);
    judge_time(m->plan);
    return status == TR_OK && m->plan->why[0] ? TR_NO : status;
}

static enum tr_status make(struct making *m, struct tr_err *err)
{
    const struct tr_plan_request *r = &m->plan->request;
    m->is_auto = strcmp(r->layout, "auto") == 0;
    enum tr_status status = check_request(r, err);
    if (status == TR_OK)
        status = tr_degrees_read(m->is_auto || !r->layout[0] ? NULL : r->layout, &m->fit.layout, err);
    if (status == TR_OK)
        status = find_machine(m, err);
    if (status == TR_OK)
        status = choose_tokens(m, err);
    if (status != TR_OK)
        return status;
    m->fit.model = &m->model, m->fit.vocab = m->model.vocab;
    m->fit.auto_micro_batch = m->fit.auto_recompute = true;
    status = settle_layout(m, err);
    return status == TR_OK ? plan_programs(m, err) : status;
}

enum tr_status tr_here_plan(const struct tr_catalog *profile, const struct tr_plan_request *request, struct tr_here_plan *out,
                            struct tr_err *err)
{
    struct making *m = calloc(1, sizeof *m);
    if (!m)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *m);
    *out = (struct tr_here_plan){.request = *request};
    m->profile = profile, m->plan = out;
    enum tr_status status = make(m, err);
    free(m);
    return status;
}

/* ---- saying it --------------------------------------------------------------------------------------------------- */

double tr_here_phase_s(const struct tr_here_plan *plan, enum tr_phase phase)
{
    double sum_s = 0;
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
        sum_s += plan->slowest.op_s[phase][kind];
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
        sum_s += plan->slowest.wait_s[phase][kind];
    return sum_s;
}

static void put_row(struct tr_table *table, const char *name, double time_s, double step_s)
{
    char text[TR_QUANTITY_BYTES];
    tr_table_cell(table, "%s", name);
    tr_table_cell(table, "%s", tr_print_time(text, time_s));
    tr_table_cell(table, "%.1f %%", 100 * time_s / step_s);
}

static void put_step(const struct tr_here_plan *plan, struct tr_text *out)
{
    struct tr_table table = {0};
    double step_s = plan->step_s;
    tr_table_column(&table, "of a step", TR_LEFT);
    tr_table_column(&table, "time", TR_RIGHT);
    tr_table_column(&table, "share", TR_RIGHT);
    for (int phase = 0; phase < TR_PHASE_COUNT; phase++)
        if (tr_here_phase_s(plan, (enum tr_phase)phase) > 0)
            put_row(&table, tr_phase_name((enum tr_phase)phase), tr_here_phase_s(plan, (enum tr_phase)phase), step_s);
    put_row(&table, "between operations", plan->slowest.between_s, step_s);
    tr_table_text(&table, out);
    tr_table_free(&table);
}

static double tokens_s(const struct tr_here_plan *plan) { return (double)(plan->batch * plan->seq_len) / plan->step_s; }

void tr_here_plan_text(const struct tr_here_plan *plan, struct tr_text *out)
{
    char first[TR_QUANTITY_BYTES], second[TR_QUANTITY_BYTES];
    tr_text_printf(out, "%s (%s parameters) on %s (%s%s)\n", plan->model, tr_print_count(first, plan->parameters), plan->chip,
                   plan->request.system, plan->refined);
    if (plan->request.target_loss > 0)
        tr_plan_target_words(plan->request.target_loss, plan->request.tokens, plan->tokens_low, plan->tokens_high, plan->request.law, out);
    tr_plan_tokens_words(plan->request.tokens, plan->steps, plan->batch, plan->seq_len, out);
    tr_text_printf(out, ", %lld at a time%s; trine train, %s, ", (long long)plan->micro_batch,
                   plan->recompute == TR_RECOMPUTE_FULL ? ", layers computed again" : "", plan->request.precision);
    if (plan->ranks > 1)
        tr_text_printf(out, "%d ranks (%s), each with ", plan->ranks, plan->request.layout);
    tr_text_printf(out, "%d thread%s\n", plan->threads, plan->threads == 1 ? "" : "s");
    if (plan->why[0])
        tr_text_printf(out, "\nno: %s\n", plan->why);
    tr_text_printf(out, "\nstep %s +- %.0f %%, %s tokens/s (80 %% interval)\n\n", tr_print_time(first, plan->step_s),
                   100 * plan->error, tr_print_count(second, (int64_t)tokens_s(plan)));
    put_step(plan, out);
    tr_text_printf(out, "\nmemory%s %s by the step program, ", plan->ranks > 1 ? " of a rank" : "",
                   tr_print_bytes(first, plan->memory_bytes));
    tr_text_printf(out, "%s with the process, of %s; the text comes on top\n", tr_print_bytes(first, plan->needed_bytes),
                   tr_print_bytes(second, (int64_t)plan->machine_bytes));
    tr_text_printf(out, "the run takes %s +- %.0f %% in steps; evaluation, samples and checkpoints come on top\n",
                   tr_print_time(first, plan->run_s), 100 * plan->error);
}

static void step_json(const struct tr_here_plan *plan, struct tr_json *json)
{
    tr_json_object(json, "step");
    tr_json_double(json, "time_s", plan->step_s);
    tr_json_double(json, "error_80", plan->error);
    tr_json_double(json, "tokens_s", tokens_s(plan));
    tr_json_object(json, "terms");
    for (int phase = 0; phase < TR_PHASE_COUNT; phase++) {
        char key[64];
        snprintf(key, sizeof key, "%s_s", tr_phase_name((enum tr_phase)phase));
        if (tr_here_phase_s(plan, (enum tr_phase)phase) > 0)
            tr_json_double(json, key, tr_here_phase_s(plan, (enum tr_phase)phase));
    }
    tr_json_double(json, "between_s", plan->slowest.between_s);
    tr_json_end(json);
    tr_json_end(json);
}

void tr_here_plan_json(const struct tr_here_plan *plan, const char *foreign, struct tr_text *out)
{
    struct tr_json json = tr_json_start(out, TR_JSON_PRETTY);
    tr_json_object(&json, NULL);
    tr_json_bool(&json, "feasible", plan->why[0] == 0);
    tr_json_string(&json, "why", plan->why[0] ? plan->why : NULL);
    tr_json_string(&json, "model", plan->model);
    tr_json_int(&json, "parameters", plan->parameters);
    tr_json_string(&json, "system", plan->request.system);
    tr_json_string(&json, "chip", plan->chip_id);
    tr_json_string(&json, "layout", plan->request.layout);
    tr_json_int(&json, "ranks", plan->ranks);
    tr_here_foreign_json(&json, foreign);
    tr_json_int(&json, "threads", plan->threads);
    tr_json_int(&json, "profile_runs", plan->profile_runs);
    tr_json_string(&json, "precision", plan->request.precision);
    tr_json_int(&json, "tokens", plan->tokens);
    if (plan->request.target_loss > 0) {
        tr_json_double(&json, "target_loss", plan->request.target_loss);
        tr_json_string(&json, "law", plan->request.law);
        tr_json_double(&json, "tokens_low", plan->tokens_low);
        tr_json_double(&json, "tokens_high", plan->tokens_high);
    }
    tr_json_int(&json, "seq_len", plan->seq_len);
    tr_json_int(&json, "global_batch", plan->batch);
    tr_json_int(&json, "micro_batch", plan->micro_batch);
    tr_json_string(&json, "recompute", plan->recompute == TR_RECOMPUTE_FULL ? "full" : "elementwise");
    step_json(plan, &json);
    tr_json_object(&json, "memory");
    tr_json_int(&json, "needed_bytes", plan->needed_bytes);
    tr_json_int(&json, "program_bytes", plan->memory_bytes);
    tr_json_double(&json, "capacity_bytes", plan->machine_bytes);
    tr_json_bool(&json, "fits", (double)plan->needed_bytes <= plan->machine_bytes);
    tr_json_end(&json);
    tr_json_object(&json, "run");
    tr_json_int(&json, "steps", plan->steps);
    tr_json_double(&json, "busy_s", plan->run_s);
    tr_json_end(&json);
    tr_json_end(&json);
    tr_text_char(out, '\n');
}

void tr_here_plan_file(const struct tr_here_plan *plan, struct tr_text *out)
{
    tr_plan_file_begin(&plan->request, plan->why, out);
    tr_plan_file_number(out, "step_s", plan->step_s);
    tr_plan_file_number(out, "error_80", plan->error);
    tr_plan_file_number(out, "tokens_s", tokens_s(plan));
    tr_plan_file_number(out, "memory_bytes", (double)plan->needed_bytes);
    tr_plan_file_number(out, "capacity_bytes", plan->machine_bytes);
    tr_plan_file_number(out, "wall_s", plan->run_s);
}
