#include "plan/here/explain_run.h"

#include "lab/train/origin.h"
#include "lab/train/run_config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the step program has of one kind of operation in one phase, in one step. */
struct planned {
    int64_t calls, flop, bytes;
    double time_s[TR_LIMIT_COUNT];
    double error; /* the widest of its operations */
};

struct plan {
    struct planned of[TR_PHASE_COUNT][TR_OP_KIND_COUNT];
};

static void add_op(const struct tr_kernel_rates *rates, const struct tr_program_op *op, double state_bytes, int64_t times,
                   struct planned *p)
{
    uint32_t present = tr_program_op_present(op);
    struct tr_work work = tr_op_work(&op->op, present, 0);
    double time_s[TR_LIMIT_COUNT];
    tr_kernel_time_by_limit(rates, &op->op, present, state_bytes, time_s);
    for (int i = 0; i < TR_LIMIT_COUNT; i++)
        p->time_s[i] += (double)times * time_s[i];
    p->calls += times;
    p->flop += times * work.flop;
    p->bytes += times * (work.read_bytes + work.write_bytes);
    bool known = rates->price[op->op.kind][op->op.act == TR_BF16].known;
    p->error = known ? fmax(p->error, tr_kernel_price_of(rates, &op->op)->error) : NAN;
}

static void make_plan(const struct tr_kernel_rates *rates, const struct tr_program *program, struct plan *plan)
{
    int64_t times[TR_SECTIONS_MAX] = {0};
    double state_bytes = tr_here_state_bytes(program);
    for (int32_t i = 0; i < program->schedule_count; i++)
        times[program->schedule[i].section]++;
    for (int32_t s = 0; s < program->section_count; s++)
        for (int32_t i = 0; i < program->section[s].op_count && times[s]; i++) {
            const struct tr_program_op *op = &program->op[program->section[s].first_op + i];
            if (op->coll < 0)
                add_op(rates, op, state_bytes, times[s], &plan->of[op->phase][op->op.kind]);
        }
}

/* ---- do they belong together? ------------------------------------------------------------------------------------ */

/* Steps that were left out did not do all of their update, so calls need not be a multiple of the steps; work a call must be
 * the same. Where documents stand apart, the work of attention depends on them. */
static bool same_work(const struct planned *p, const struct tr_op_time *ran, bool apart)
{
    if (p->calls == 0 || ran->calls == 0)
        return p->calls == ran->calls;
    __int128 calls = p->calls, times = ran->calls;
    return apart || (times * p->flop == calls * ran->flop && times * p->bytes == calls * ran->bytes);
}

static enum tr_status check_work(const struct plan *plan, const struct tr_run_profile *ran, bool apart, struct tr_err *err)
{
    for (int phase = 0; phase < TR_PHASE_COUNT; phase++)
        for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++) {
            const struct planned *p = &plan->of[phase][kind];
            const struct tr_op_time *t = &ran->op[phase][kind];
            if (tr_phase_is_of_step((enum tr_phase)phase) && !same_work(p, t, apart))
                return tr_fail(err, TR_BAD_INPUT,
                               "profile.json: %lld calls of %s (%s) of %lld FLOP and %lld bytes in all do not fit a step program with %lld "
                               "calls of %lld FLOP and %lld bytes a step: it is of another run, or another version of trine made it",
                               (long long)t->calls, tr_op_operands((enum tr_op_kind)kind)->name,
                               tr_phase_name((enum tr_phase)phase), (long long)t->flop, (long long)t->bytes, (long long)p->calls,
                               (long long)p->flop, (long long)p->bytes);
        }
    return TR_OK;
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

/* How many times as slow as when it was calibrated; 1 where either is not known. */
static double slower(double then, double now) { return then > 0 && now > 0 ? then / now : 1; }

static double time_now(const struct tr_run_explained *run, const double time_s[TR_LIMIT_COUNT])
{
    return time_s[TR_LIMIT_CORES] * slower(run->peak_then_flop_s, run->ran.peak_flop_s) +
           time_s[TR_LIMIT_MEMORY] * slower(run->memory_then_byte_s, run->ran.read_byte_s) + time_s[TR_LIMIT_START];
}

static void add_row(struct tr_run_explained *run, enum tr_phase phase, enum tr_op_kind kind, const struct planned *p)
{
    const struct tr_op_time *t = &run->ran.op[phase][kind];
    double steps = (double)run->ran.steps, share = (double)t->calls / ((double)p->calls * steps), all_s = 0;
    for (int i = 0; i < TR_LIMIT_COUNT; i++)
        all_s += p->time_s[i];
    struct tr_run_row row = {.phase = phase, .kind = kind, .calls = (double)t->calls / steps, .flop = (double)t->flop / steps,
                             .bytes = (double)t->bytes / steps, .measured_s = t->time_s / steps, .predicted_s = share * all_s,
                             .now_s = share * time_now(run, p->time_s), .error = p->error,
                             .start = all_s > 0 ? p->time_s[TR_LIMIT_START] / all_s : 0};
    run->row[run->rows++] = row;
    run->between_measured_s -= row.measured_s;
    run->predicted_s += row.predicted_s;
    run->now_s += row.now_s;
}

static int by_difference(const void *a, const void *b)
{
    const struct tr_run_row *x = a, *y = b;
    double dx = fabs(x->measured_s - x->predicted_s), dy = fabs(y->measured_s - y->predicted_s);
    return dx != dy ? (dx < dy) - (dx > dy) : x->phase != y->phase ? (int)x->phase - (int)y->phase : (int)x->kind - (int)y->kind;
}

static void compare(struct tr_run_explained *run, const struct plan *plan, const struct tr_kernel_rates *rates)
{
    double calls = 0;
    run->measured_s = run->between_measured_s = run->ran.steps_s / (double)run->ran.steps;
    for (int phase = 0; phase < TR_PHASE_COUNT; phase++)
        for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
            if (tr_phase_is_of_step((enum tr_phase)phase) && run->ran.op[phase][kind].calls > 0) {
                add_row(run, (enum tr_phase)phase, (enum tr_op_kind)kind, &plan->of[phase][kind]);
                calls += run->row[run->rows - 1].calls;
            }
    run->between_predicted_s = calls * rates->between_s;
    run->predicted_s += run->between_predicted_s;
    run->now_s += run->between_predicted_s;
    qsort(run->row, (size_t)run->rows, sizeof *run->row, by_difference);
}

static enum tr_status explain(struct tr_run_explained *run, const struct tr_program *program, const struct tr_kernel_rates *rates,
                              struct tr_err *err)
{
    struct plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *plan);
    make_plan(rates, program, plan);
    enum tr_status status = check_work(plan, &run->ran, program->step.apart, err);
    if (status == TR_OK) {
        run->error = rates->step_error;
        run->peak_then_flop_s = rates->machine.peak_flop_s[program->step.dtype == TR_BF16];
        run->memory_then_byte_s = rates->machine.read_byte_s[TR_READ_MEMORY];
        run->planned_bytes = tr_program_memory_bytes(program);
        compare(run, plan, rates);
    }
    free(plan);
    return status;
}

/* The program that the run executed. */
static enum tr_status make_program(const char *run_folder, const struct tr_run_profile *ran, struct tr_program *out, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_run_config config;
    struct tr_origin origin;
    enum tr_status status = tr_path_join(path, run_folder, "config.yaml", err);
    if (status == TR_OK)
        status = tr_run_config_read(&config, path, NULL, 0, err);
    if (status == TR_OK)
        status = tr_origin_find(&origin, run_folder, err);
    if (status != TR_OK)
        return status;
    struct tr_step_config step = tr_run_step_config(&config);
    return tr_program_train(out, &origin.model, &step, (struct tr_machine){tr_kernel_set(ran->isa), ran->threads}, err);
}

static enum tr_status check_run(const char *run_folder, const struct tr_run_profile *ran, struct tr_err *err)
{
    if (ran->steps == 0 || ran->steps_s <= 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: its newest attempt has computed no step yet", run_folder);
    if (ran->ranks > 1)
        return tr_fail(err, TR_BAD_INPUT, "%s: a run of %d ranks; runs of one rank can be explained so far", run_folder, ran->ranks);
    return TR_OK;
}

enum tr_status tr_run_explain(const char *run_folder, const struct tr_catalog *profile, struct tr_run_explained *out,
                              struct tr_err *err)
{
    struct tr_kernel_rates rates;
    struct tr_program program;
    struct tr_run_explained *run = calloc(1, sizeof *run);
    if (!run)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *run);
    enum tr_status status = tr_run_profile_read(run_folder, &run->ran, err);
    if (status == TR_OK)
        status = check_run(run_folder, &run->ran, err);
    if (status == TR_OK)
        status = tr_kernel_rates_find(profile, run->ran.threads, &rates, err);
    if (status == TR_OK)
        status = make_program(run_folder, &run->ran, &program, err);
    if (status == TR_OK) {
        snprintf(run->model, sizeof run->model, "%s", program.model.name);
        status = explain(run, &program, &rates, err);
        if (status != TR_OK)
            tr_err_prefix(err, "%s", run_folder);
        tr_program_free(&program);
    }
    if (status == TR_OK)
        *out = *run;
    free(run);
    return status;
}
