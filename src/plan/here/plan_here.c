#include "plan/here/plan_here.h"

#include "base/json.h"
#include "base/quantity.h"
#include "base/table.h"
#include "lab/train/fit.h"
#include "silicon/chip/chip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The text's tokens are not known: a model with any vocabulary will do. */
#define ANY_VOCAB 1

/* ---- the program ------------------------------------------------------------------------------------------------- */

static enum tr_status read_config(const struct tr_here_request *request, struct tr_run_config *config, struct tr_err *err)
{
    char tokens[32], seq_len[32], batch[32];
    struct tr_override all[6] = {{"model.name", request->model},
                                 {"data.path", "text"}, /* a run must name its text; nobody opens this one */
                                 {"train.tokens", tokens},
                                 {"train.dtype", request->dtype == TR_BF16 ? "bf16" : "f32"}};
    int count = 4;
    snprintf(tokens, sizeof tokens, "%lld", (long long)request->tokens);
    snprintf(seq_len, sizeof seq_len, "%lld", (long long)request->seq_len);
    snprintf(batch, sizeof batch, "%lld", (long long)request->batch);
    if (request->seq_len > 0)
        all[count++] = (struct tr_override){"data.seq_len", seq_len};
    if (request->batch > 0)
        all[count++] = (struct tr_override){"train.batch", batch};
    return tr_run_config_read(config, NULL, all, count, err);
}

static enum tr_status find_isa(const struct tr_kernel_rates *rates, enum tr_isa *isa, struct tr_err *err)
{
    for (int i = 0; i < TR_ISA_COUNT; i++)
        if (strcmp(rates->isa, tr_isa_name((enum tr_isa)i)) == 0) {
            *isa = (enum tr_isa)i;
            return TR_OK;
        }
    return tr_fail(err, TR_BAD_INPUT, "kernels of %s: \"%.40s\" is no instruction set that trine has kernels for", rates->id,
                   rates->isa);
}

static enum tr_status resolve(const struct tr_here_request *request, struct tr_run_config *config, struct tr_model_config *model, struct tr_err *err)
{
    if (request->model[0] == 0)
        return tr_fail(err, TR_BAD_INPUT, "no model given: a preset, or a config.json");
    enum tr_status status = read_config(request, config, err);
    return status == TR_OK ? tr_run_config_resolve(config, ANY_VOCAB, model, err) : status;
}

/* What it needs before anything is made smaller; the program that fits, or else the smallest one. */
struct fitted {
    struct tr_program program;
    int64_t first_bytes, bytes;
};

static enum tr_status fit_program(const struct tr_fit *fit, struct tr_kernel_rates *rates, int64_t limit_bytes, struct tr_run_config *config,
                                  struct fitted *out, struct tr_err *err)
{
    tr_fit_fastest(fit, config, limit_bytes, tr_here_price, rates);
    for (int try = 1;; try++) {
        struct tr_step_config step = tr_fit_step(fit, config, 0);
        enum tr_status status = tr_program_train(&out->program, fit->model, &step, fit->machine, err);
        if (status != TR_OK)
            return status;
        out->bytes = tr_fit_bytes(fit, config, &out->program);
        out->first_bytes = try == 1 ? out->bytes : out->first_bytes;
        if (out->bytes <= limit_bytes || try == TR_FIT_TRIES_MAX || !tr_fit_less(fit, config))
            return TR_OK;
        tr_program_free(&out->program);
    }
}

/* ---- the plan ---------------------------------------------------------------------------------------------------- */

static enum tr_status judge_memory(const struct tr_fit *fit, const struct tr_run_config *config, const struct fitted *fitted,
                                   const struct tr_chip *chip, struct tr_here_plan *plan, struct tr_err *err)
{
    char has[TR_QUANTITY_BYTES];
    struct tr_fit_limit limit = {.bytes = (int64_t)chip->memory_bytes.value};
    struct tr_err why;
    if (fitted->bytes <= limit.bytes)
        return TR_OK;
    snprintf(limit.words, sizeof limit.words, "the machine has %s", tr_print_bytes(has, limit.bytes));
    enum tr_status status = tr_fit_refuse(fit, config, 0, fitted->first_bytes, &limit, &why);
    if (status == TR_BAD_INPUT)
        snprintf(plan->why, sizeof plan->why, "%s", why.text);
    else
        *err = why;
    return status == TR_BAD_INPUT ? TR_OK : status;
}

static void judge_time(const struct tr_here_request *request, struct tr_here_plan *plan)
{
    char is[TR_QUANTITY_BYTES], may[TR_QUANTITY_BYTES];
    if (plan->why[0] == 0 && request->deadline_s > 0 && plan->run_s > request->deadline_s)
        snprintf(plan->why, sizeof plan->why, "takes %s, more than the deadline of %s", tr_print_time(is, plan->run_s),
                 tr_print_time(may, request->deadline_s));
}

static void fill(const struct tr_kernel_rates *rates, const struct tr_chip *chip, const struct tr_run_config *config,
                 const struct fitted *fitted, struct tr_here_plan *plan)
{
    const struct tr_program *program = &fitted->program;
    *plan = (struct tr_here_plan){.chip_id = chip->id, .chip = chip->name, .parameters = program->weights.element_count,
                                  .threads = rates->threads, .dtype = (enum tr_dtype)config->dtype, .steps = config->steps,
                                  .tokens = config->steps * config->batch * config->seq_len, .seq_len = config->seq_len,
                                  .batch = config->batch, .micro_batch = config->micro_batch, .recompute = program->step.recompute,
                                  .memory_bytes = tr_program_memory_bytes(program), .needed_bytes = fitted->bytes,
                                  .machine_bytes = chip->memory_bytes.value};
    snprintf(plan->model, sizeof plan->model, "%s", program->model.name);
    plan->profile_runs = tr_refined_runs(&rates->refined);
    tr_refined_words(&rates->refined, plan->refined);
    tr_here_step(rates, program, &plan->time);
    plan->run_s = (double)plan->steps * plan->time.step_s;
}

static enum tr_status plan_model(struct tr_kernel_rates *rates, const struct tr_chip *chip, const struct tr_here_request *request,
                                 const struct tr_fit *fit, struct tr_run_config *config, struct tr_here_plan *out, struct tr_err *err)
{
    struct fitted fitted;
    enum tr_status status = fit_program(fit, rates, (int64_t)chip->memory_bytes.value, config, &fitted, err);
    if (status != TR_OK)
        return status;
    fill(rates, chip, config, &fitted, out);
    status = judge_memory(fit, config, &fitted, chip, out, err);
    judge_time(request, out);
    tr_program_free(&fitted.program);
    return status == TR_OK && out->why[0] ? TR_NO : status;
}

static enum tr_status plan_by(struct tr_kernel_rates *rates, const struct tr_chip *chip, const struct tr_here_request *request,
                              struct tr_here_plan *out, struct tr_err *err)
{
    struct tr_model_config model;
    enum tr_isa isa = TR_ISA_REF;
    struct tr_run_config *config = calloc(1, sizeof *config);
    if (!config)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *config);
    enum tr_status status = find_isa(rates, &isa, err);
    if (status == TR_OK)
        status = resolve(request, config, &model, err);
    const struct tr_fit fit = {.model = &model, .machine = {tr_kernel_set(isa), rates->threads}, .vocab = model.vocab,
                               .auto_micro_batch = true, .auto_recompute = true};
    if (status == TR_OK)
        status = plan_model(rates, chip, request, &fit, config, out, err);
    free(config);
    return status;
}

enum tr_status tr_here_plan(const struct tr_catalog *profile, const struct tr_here_request *request, struct tr_here_plan *out,
                            struct tr_err *err)
{
    struct tr_kernel_rates rates;
    struct tr_chip chip;
    enum tr_status status = tr_kernel_rates_find(profile, 0, &rates, err);
    if (status == TR_OK)
        status = tr_chip_find(profile, rates.chip, &chip, err);
    return status == TR_OK ? plan_by(&rates, &chip, request, out, err) : status;
}

/* ---- saying it --------------------------------------------------------------------------------------------------- */

static double phase_s(const struct tr_here_plan *plan, int phase)
{
    double sum_s = 0;
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
        sum_s += plan->time.op_s[phase][kind];
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
    double step_s = plan->time.step_s;
    tr_table_column(&table, "of a step", TR_LEFT);
    tr_table_column(&table, "time", TR_RIGHT);
    tr_table_column(&table, "share", TR_RIGHT);
    for (int phase = 0; phase < TR_PHASE_COUNT; phase++)
        if (phase_s(plan, phase) > 0)
            put_row(&table, tr_phase_name((enum tr_phase)phase), phase_s(plan, phase), step_s);
    put_row(&table, "between operations", plan->time.between_s, step_s);
    tr_table_text(&table, out);
    tr_table_free(&table);
}

static double tokens_s(const struct tr_here_plan *plan) { return (double)(plan->batch * plan->seq_len) / plan->time.step_s; }

void tr_here_plan_text(const struct tr_here_plan *plan, const char *profile, struct tr_text *out)
{
    char first[TR_QUANTITY_BYTES], second[TR_QUANTITY_BYTES];
    tr_text_printf(out, "%s (%s parameters) on %s (%s%s)\n", plan->model, tr_print_count(first, plan->parameters), plan->chip, profile,
                   plan->refined);
    tr_text_printf(out, "%s tokens in %s steps of %lld sequences of %lld tokens, ", tr_print_count(first, plan->tokens),
                   tr_print_count(second, plan->steps), (long long)plan->batch, (long long)plan->seq_len);
    tr_text_printf(out, "%lld at a time%s; trine train, %s, %d thread%s\n", (long long)plan->micro_batch,
                   plan->recompute == TR_RECOMPUTE_FULL ? ", layers computed again" : "", plan->dtype == TR_BF16 ? "bf16" : "fp32", plan->threads,
                   plan->threads == 1 ? "" : "s");
    if (plan->why[0])
        tr_text_printf(out, "\nno: %s\n", plan->why);
    tr_text_printf(out, "\nstep %s +- %.0f %%, %s tokens/s (80 %% interval)\n\n", tr_print_time(first, plan->time.step_s),
                   100 * plan->time.error, tr_print_count(second, (int64_t)tokens_s(plan)));
    put_step(plan, out);
    tr_text_printf(out, "\nmemory %s by the step program, ", tr_print_bytes(first, plan->memory_bytes));
    tr_text_printf(out, "%s with the process, of %s; the text comes on top\n", tr_print_bytes(first, plan->needed_bytes),
                   tr_print_bytes(second, (int64_t)plan->machine_bytes));
    tr_text_printf(out, "the run takes %s +- %.0f %% in steps; evaluation, samples and checkpoints come on top\n",
                   tr_print_time(first, plan->run_s), 100 * plan->time.error);
}

static void step_json(const struct tr_here_plan *plan, struct tr_json *json)
{
    tr_json_object(json, "step");
    tr_json_double(json, "time_s", plan->time.step_s);
    tr_json_double(json, "error_80", plan->time.error);
    tr_json_double(json, "tokens_s", tokens_s(plan));
    tr_json_object(json, "terms");
    for (int phase = 0; phase < TR_PHASE_COUNT; phase++) {
        char key[64];
        snprintf(key, sizeof key, "%s_s", tr_phase_name((enum tr_phase)phase));
        if (phase_s(plan, phase) > 0)
            tr_json_double(json, key, phase_s(plan, phase));
    }
    tr_json_double(json, "between_s", plan->time.between_s);
    tr_json_end(json);
    tr_json_end(json);
}

void tr_here_plan_json(const struct tr_here_plan *plan, const char *profile, struct tr_text *out)
{
    struct tr_json json = tr_json_start(out, TR_JSON_PRETTY);
    tr_json_object(&json, NULL);
    tr_json_bool(&json, "feasible", plan->why[0] == 0);
    tr_json_string(&json, "why", plan->why[0] ? plan->why : NULL);
    tr_json_string(&json, "model", plan->model);
    tr_json_int(&json, "parameters", plan->parameters);
    tr_json_string(&json, "system", profile);
    tr_json_string(&json, "chip", plan->chip_id);
    tr_json_int(&json, "threads", plan->threads);
    tr_json_int(&json, "profile_runs", plan->profile_runs);
    tr_json_string(&json, "precision", plan->dtype == TR_BF16 ? "bf16" : "fp32");
    tr_json_int(&json, "tokens", plan->tokens);
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
