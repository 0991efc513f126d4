/* A plan for a machine that was calibrated: a step by phases and kinds of operations, memory by regions, the run. */
#include "plan/explain/inside.h"
#include "plan/here/plan_here.h"

#include "base/quantity.h"

#include <math.h>
#include <stdio.h>

struct parts {
    struct tr_explain *e;
    const struct tr_here_plan *p;
    int step;
};

static const char kernels_source[] = "the profile: kernels that `trine calibrate` timed there (silicon/cost/kernels.h)";
static const char exchanges_source[] = "the profile: exchanges of ranks that `trine calibrate` timed there (silicon/cost/exchange.h)";
static const char program_source[] = "the step program, which the trainer executes (lab/model/program.h)";

/* ---- the step ---------------------------------------------------------------------------------------------------- */

static void add_phase(struct parts *s, enum tr_phase phase)
{
    const struct tr_rank_time *time = &s->p->slowest;
    if (tr_here_phase_s(s->p, phase) <= 0)
        return;
    int parent = tr_number_add(s->e, s->step, TR_UNIT_TIME, tr_here_phase_s(s->p, phase), "%s", tr_phase_name(phase));
    tr_number_words(s->e, parent, "sum over its operations, and waits for other ranks", TR_GRADE_NONE, "", "of the slowest of %d rank%s",
                    s->p->ranks, s->p->ranks == 1 ? "" : "s");
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++) {
        if (time->op_s[phase][kind] <= 0)
            continue;
        int at = tr_number_add(s->e, parent, TR_UNIT_TIME, time->op_s[phase][kind], "%s, %s", tr_op_operands((enum tr_op_kind)kind)->name,
                               tr_phase_name(phase));
        tr_number_words(s->e, at, "sum over its calls of FLOPs, bytes, elements and starts x seconds of each", TR_GRADE_INTERPOLATED,
                        kernels_source, "%d thread%s, %s", s->p->threads, s->p->threads == 1 ? "" : "s", s->p->request.precision);
    }
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++) {
        if (time->wait_s[phase][kind] <= 0)
            continue;
        int at = tr_number_add(s->e, parent, TR_UNIT_TIME, time->wait_s[phase][kind], "%s, %s", tr_coll_kind_name((enum tr_coll_kind)kind),
                               tr_phase_name(phase));
        tr_number_words(s->e, at, "waits until all have come and the bytes have moved, all ranks walked together", TR_GRADE_INTERPOLATED,
                        exchanges_source, "%d ranks (%s)", s->p->ranks, s->p->request.layout);
    }
}

static void add_step(struct parts *s)
{
    const struct tr_here_plan *p = s->p;
    s->step = tr_number_add(s->e, -1, TR_UNIT_TIME, p->step_s, "step");
    s->e->at[s->step].error = p->error;
    tr_number_words(s->e, s->step, "sum of its phases", TR_GRADE_NONE, "", "%lld sequences of %lld tokens, %lld at a time",
                    (long long)p->batch, (long long)p->seq_len, (long long)p->micro_batch);
    for (int phase = 0; phase < TR_PHASE_COUNT; phase++)
        add_phase(s, (enum tr_phase)phase);
    int at = tr_number_add(s->e, s->step, TR_UNIT_TIME, p->slowest.between_s, "between operations");
    tr_number_words(s->e, at, "operations x seconds from one to the next", TR_GRADE_INTERPOLATED, kernels_source, "%s", "");
    at = tr_number_add(s->e, -1, TR_UNIT_RATIO, p->error, "error of the step");
    tr_number_words(s->e, at, "half the width of the 80 % interval", TR_GRADE_INTERPOLATED,
                    "the profile: step programs that were timed and not fitted to", "%s", "");
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static void add_memory(struct parts *s)
{
    const struct tr_here_plan *p = s->p;
    int memory = tr_number_add(s->e, -1, TR_UNIT_BYTES, (double)p->needed_bytes, "memory"), at;
    tr_number_words(s->e, memory, "the step program's regions, and what a process takes beside them", TR_GRADE_NONE, "",
                    "of the rank that needs most; the text comes on top");
    for (int region = 0; region < TR_REGION_COUNT; region++) {
        if (p->region_bytes[region] == 0)
            continue;
        at = tr_number_add(s->e, memory, TR_UNIT_BYTES, (double)p->region_bytes[region], "%s", tr_region_name((enum tr_region)region));
        tr_number_words(s->e, at, "sum of its buffers, placed by lifetime", TR_GRADE_STATED, program_source, "%s",
                        "a run maps the same (a test)");
    }
    at = tr_number_add(s->e, memory, TR_UNIT_BYTES, (double)(p->needed_bytes - p->memory_bytes), "beside the program");
    tr_number_words(s->e, at, "the process, copies for saves, samples and other ranks", TR_GRADE_ASSUMED, "lab/train/fit.h", "%s", "");
    at = tr_number_add(s->e, -1, TR_UNIT_BYTES, p->machine_bytes, "memory that there is");
    tr_number_words(s->e, at, "of the machine / ranks", TR_GRADE_MEASURED, "the profile", "%d rank%s", p->ranks, p->ranks == 1 ? "" : "s");
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

static int add_tokens(struct parts *s)
{
    const struct tr_here_plan *p = s->p;
    const struct tr_plan_request *r = &p->request;
    int at = tr_number_ratio(s->e, TR_UNIT_COUNT, "token", (double)p->tokens, "tokens", "asked for, in whole steps", "asked for");
    if (r->target_loss == 0) {
        tr_number_by(s->e, at, TR_GRADE_STATED);
        return at;
    }
    tr_number_words(s->e, at, "(B / (loss - E - A / parameters^alpha))^(1 / beta), in whole steps", TR_GRADE_TRANSFERRED,
                    "a scaling law (scaling_laws of the catalog), of other data", "by %s", r->law);
    tr_number_factor(s->e, at, TR_UNIT_COUNT, "nat", r->target_loss, "loss", "in nats a token", TR_GRADE_STATED, "asked for");
    tr_number_factor(s->e, at, TR_UNIT_COUNT, "token", p->tokens_low, "fewest tokens",
                     "where the law's loss is too high by its error (80 %)", TR_GRADE_TRANSFERRED, r->law);
    if (isfinite(p->tokens_high))
        tr_number_factor(s->e, at, TR_UNIT_COUNT, "token", p->tokens_high, "most tokens",
                         "where it is too low by its error (80 %)", TR_GRADE_TRANSFERRED, r->law);
    return at;
}

static void add_run(struct parts *s)
{
    const struct tr_here_plan *p = s->p;
    struct tr_explain *e = s->e;
    char step[TR_QUANTITY_BYTES];
    const double of_step = (double)(p->batch * p->seq_len);
    int at = tr_number_ratio(e, TR_UNIT_COUNT, "parameter", (double)p->parameters, "parameters", "elements of all weights", program_source);
    tr_number_by(e, at, TR_GRADE_STATED);
    int tokens = add_tokens(s);
    tr_number_grade(e);
    int steps = tr_number_ratio(e, TR_UNIT_COUNT, "step", (double)p->steps, "steps", "tokens / tokens of a step", "");
    tr_number_see(e, steps, tokens);
    tr_number_factor(e, steps, TR_UNIT_COUNT, "token", of_step, "tokens of a step", "sequences x their length", TR_GRADE_STATED, "asked for");
    at = tr_number_ratio(e, TR_UNIT_COUNT, "token/s", of_step / p->step_s, "tokens a second", "tokens of a step / time of a step", "");
    tr_number_factor(e, at, TR_UNIT_COUNT, "token", of_step, "tokens of a step", "sequences x their length", TR_GRADE_STATED, "asked for");
    tr_number_see(e, at, s->step);
    tr_number_grade(e);
    int time = tr_number_add(e, -1, TR_UNIT_TIME, p->run_s, "time");
    e->at[time].error = p->error;
    tr_number_words(e, time, "steps x time of a step; evaluation, samples and checkpoints come on top",
                    tr_grade_worse(e->at[steps].grade, e->at[s->step].grade), "", "%lld x %s", (long long)p->steps,
                    tr_print_time(step, p->step_s));
    for (int i = s->step + 1; i < e->count && e->at[i].parent >= s->step; i++)
        if (e->at[i].parent == s->step && e->at[i].value > 0) {
            const struct tr_number part = e->at[i];
            at = tr_number_add(e, time, TR_UNIT_TIME, (double)p->steps * part.value, "%s of all steps", part.name);
            tr_number_words(e, at, "steps x that of one step", tr_grade_worse(part.grade, e->at[steps].grade), "", "%lld x %s",
                            (long long)p->steps, tr_print_time(step, part.value));
        }
}

enum tr_status tr_explain_make_here(const struct tr_here_plan *plan, struct tr_explain *out, struct tr_err *err)
{
    struct tr_explain e = {.count = 0};
    struct parts s = {.e = &e, .p = plan};
    enum tr_status status = tr_explain_begin(&e, err);
    if (status != TR_OK)
        return status;
    add_step(&s);
    add_memory(&s);
    tr_number_grade(&e);
    add_run(&s);
    return tr_explain_end(&e, out, err);
}
