#include "plan/here/explain_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the step program has of one kind of operation in one phase, in one step. */
struct planned {
    int64_t calls, flop, bytes;
    double time_s[TR_LIMIT_COUNT];
    double bf16_s; /* of these, of activations in bf16 */
    double error; /* the widest of its operations */
};

struct plan {
    struct planned of[TR_PHASE_COUNT][TR_OP_KIND_COUNT];
    struct planned coll[TR_PHASE_COUNT][TR_COLL_KIND_COUNT]; /* calls and bytes sent */
};

static void add_op(const struct tr_kernel_rates *rates, const struct tr_program_op *op, double state_bytes, struct planned *p)
{
    uint32_t present = tr_program_op_present(op);
    struct tr_work work = tr_op_work(&op->op, present, 0);
    double time_s[TR_LIMIT_COUNT];
    tr_kernel_time_by_limit(rates, &op->op, present, state_bytes, time_s);
    for (int i = 0; i < TR_LIMIT_COUNT; i++) {
        p->time_s[i] += time_s[i];
        p->bf16_s += op->op.act == TR_BF16 ? time_s[i] : 0;
    }
    p->calls++;
    p->flop += work.flop;
    p->bytes += work.read_bytes + work.write_bytes;
    bool known = rates->price[op->op.kind][op->op.act == TR_BF16].known;
    p->error = known ? fmax(p->error, tr_kernel_price_of(rates, &op->op)->error) : NAN;
}

static void add_coll(const struct tr_program *program, const struct tr_program_op *op, const struct tr_schedule_entry *entry, struct plan *plan)
{
    const struct tr_program_coll *coll = &program->coll[op->coll];
    struct planned *p = &plan->coll[op->phase][coll->call.kind];
    p->calls += coll->when != TR_COLL_WAIT;
    p->bytes += tr_program_coll_bytes(coll, entry);
}

/* Of the rank whose operations are shown. */
static void make_plan(const struct tr_kernel_rates *rates, const struct tr_run_programs *programs, int rank, struct plan *plan)
{
    const struct tr_program *program = &programs->program[rank];
    double state_bytes = tr_run_programs_state_bytes(programs);
    for (int32_t k = 0; k < program->schedule_count; k++) {
        const struct tr_schedule_entry *entry = &program->schedule[k];
        const struct tr_program_section *section = &program->section[entry->section];
        for (int32_t i = section->first_op; i < section->first_op + section->op_count; i++) {
            const struct tr_program_op *op = &program->op[i];
            if (tr_program_op_runs(program, op, entry) && op->coll >= 0)
                add_coll(program, op, entry, plan);
            else if (tr_program_op_runs(program, op, entry))
                add_op(rates, op, state_bytes, &plan->of[op->phase][op->op.kind]);
        }
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

static enum tr_status not_one(const char *what, enum tr_phase phase, const struct tr_op_time *t, const struct planned *p, struct tr_err *err)
{
    return tr_fail(err, TR_BAD_INPUT,
                   "profile.json: %lld calls of %s (%s) of %lld FLOP and %lld bytes in all do not fit a step program with %lld "
                   "calls of %lld FLOP and %lld bytes a step: it is of another run, or another version of trine made it",
                   (long long)t->calls, what, tr_phase_name(phase), (long long)t->flop, (long long)t->bytes, (long long)p->calls,
                   (long long)p->flop, (long long)p->bytes);
}

static enum tr_status check_work(const struct plan *plan, const struct tr_run_profile *ran, bool apart, struct tr_err *err)
{
    for (int phase = 0; tr_phase_is_of_step((enum tr_phase)phase); phase++) {
        for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
            if (!same_work(&plan->of[phase][kind], &ran->op[phase][kind], apart))
                return not_one(tr_op_operands((enum tr_op_kind)kind)->name, (enum tr_phase)phase, &ran->op[phase][kind], &plan->of[phase][kind], err);
        for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
            if (!same_work(&plan->coll[phase][kind], &ran->coll[phase][kind], false))
                return not_one(tr_coll_kind_name((enum tr_coll_kind)kind), (enum tr_phase)phase, &ran->coll[phase][kind], &plan->coll[phase][kind], err);
    }
    return TR_OK;
}

/* What the transport counted, rank by rank. Where a step was left out its update was, and with it what that sends. */
static enum tr_status check_sent(const struct tr_run_programs *programs, const struct tr_run_profile *ran, bool all_taken, struct tr_err *err)
{
    int64_t by_kind[TR_COLL_KIND_COUNT];
    for (int i = 0; i < ran->each_count; i++) {
        const struct tr_rank_sum *sum = &ran->each[i];
        __int128 planned = (__int128)sum->steps * tr_program_sent_bytes(&programs->program[i], by_kind);
        if (sum->sent_bytes != sum->planned_bytes || (all_taken && planned != sum->sent_bytes))
            return tr_fail(err, TR_BAD_INPUT, "profile.json: rank %d sent %lld bytes in %lld steps, and its step program has %lld a step: it is "
                           "of another run, or another version of trine made it", i, (long long)sum->sent_bytes, (long long)sum->steps,
                           (long long)tr_program_sent_bytes(&programs->program[i], by_kind));
    }
    return TR_OK;
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

/* How many times as slow as when it was calibrated; 1 where either is not known. */
static double slower(double then, double now) { return then > 0 && now > 0 ? then / now : 1; }

static double time_now(const struct tr_run_explained *run, const double time_s[TR_LIMIT_COUNT])
{
    return time_s[TR_LIMIT_CORES] * slower(run->peak_then_flop_s, run->peak_now_flop_s) +
           time_s[TR_LIMIT_MEMORY] * (run->read_memory ? slower(run->memory_then_byte_s, run->memory_now_byte_s) : 1) + time_s[TR_LIMIT_START];
}

static double sum_of(const double time_s[TR_LIMIT_COUNT])
{
    double sum_s = 0;
    for (int i = 0; i < TR_LIMIT_COUNT; i++)
        sum_s += time_s[i];
    return sum_s;
}

/* What the calls after the first step took, as if all had: a step. */
static double warm_s(const struct tr_op_time *t, const struct tr_op_time *first, double steps)
{
    int64_t calls = t->calls - first->calls;
    return calls > 0 ? (t->time_s - first->time_s) / (double)calls * (double)t->calls / steps : 0;
}

/* `other`: with its cores as they were not when it began. */
static void add_row(struct tr_run_explained *run, enum tr_phase phase, enum tr_op_kind kind, const struct planned *p, const struct planned *other)
{
    const struct tr_op_time *t = &run->ran.op[phase][kind];
    double steps = (double)run->ran.steps, all_s = sum_of(p->time_s), mixed_s[TR_LIMIT_COUNT];
    double share = run->turns * run->shared[kind] * (double)t->calls / ((double)p->calls * steps);
    for (int i = 0; i < TR_LIMIT_COUNT; i++)
        mixed_s[i] = p->time_s[i] + run->moved * (other->time_s[i] - p->time_s[i]);
    struct tr_run_row row = {.phase = phase, .kind = kind, .calls = (double)t->calls / steps, .flop = (double)t->flop / steps,
                             .bytes = (double)t->bytes / steps, .measured_s = t->time_s / steps, .predicted_s = share * all_s,
                             .now_s = share * time_now(run, mixed_s), .moved_s = share * (sum_of(mixed_s) - all_s), .error = p->error,
                             .start = all_s > 0 ? p->time_s[TR_LIMIT_START] / all_s : 0, .bf16 = all_s > 0 ? p->bf16_s / all_s : 0,
                             .warm_s = warm_s(t, &run->ran.first[phase][kind], steps)};
    run->row[run->rows++] = row;
    run->between_measured_s -= row.measured_s;
    run->predicted_s += row.predicted_s;
    run->now_s += row.now_s;
}

/* Of two rows: the larger difference first, then as phases and kinds are numbered. */
static int order(double x_off_s, double y_off_s, int x_phase, int y_phase, int x_kind, int y_kind)
{
    double x = fabs(x_off_s), y = fabs(y_off_s);
    return x != y ? (x < y) - (x > y) : x_phase != y_phase ? x_phase - y_phase : x_kind - y_kind;
}

static int ops_by_difference(const void *a, const void *b)
{
    const struct tr_run_row *x = a, *y = b;
    return order(x->measured_s - x->predicted_s, y->measured_s - y->predicted_s, (int)x->phase, (int)y->phase, (int)x->kind, (int)y->kind);
}

static int colls_by_difference(const void *a, const void *b)
{
    const struct tr_run_coll_row *x = a, *y = b;
    return order(x->measured_s - x->predicted_s, y->measured_s - y->predicted_s, (int)x->phase, (int)y->phase, (int)x->kind, (int)y->kind);
}

static void compare_ops(struct tr_run_explained *run, const struct plan *plan, const struct plan *other, double between_s)
{
    double calls = 0;
    for (int phase = 0; tr_phase_is_of_step((enum tr_phase)phase); phase++)
        for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
            if (run->ran.op[phase][kind].calls > 0) {
                add_row(run, (enum tr_phase)phase, (enum tr_op_kind)kind, &plan->of[phase][kind], &other->of[phase][kind]);
                calls += run->row[run->rows - 1].calls;
            }
    run->between_predicted_s = run->turns * calls * between_s;
    run->predicted_s += run->between_predicted_s;
    run->now_s += run->between_predicted_s;
    qsort(run->row, (size_t)run->rows, sizeof *run->row, ops_by_difference);
}

/* Waits are predicted of ranks that are as fast as when the machine was calibrated, on either side. */
static void compare_colls(struct tr_run_explained *run, const struct tr_rank_time *time)
{
    double steps = (double)run->ran.steps;
    for (int phase = 0; tr_phase_is_of_step((enum tr_phase)phase); phase++)
        for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++) {
            const struct tr_op_time *t = &run->ran.coll[phase][kind];
            if (t->calls == 0 && t->time_s == 0)
                continue;
            struct tr_run_coll_row row = {.phase = (enum tr_phase)phase, .kind = (enum tr_coll_kind)kind, .calls = (double)t->calls / steps,
                                          .bytes = (double)t->bytes / steps, .measured_s = t->time_s / steps, .predicted_s = time->wait_s[phase][kind]};
            run->coll[run->colls++] = row;
            run->wait_measured_s += row.measured_s;
            run->wait_predicted_s += row.predicted_s;
        }
    run->between_measured_s -= run->wait_measured_s;
    run->predicted_s += run->wait_predicted_s;
    run->now_s += run->wait_predicted_s;
    qsort(run->coll, (size_t)run->colls, sizeof *run->coll, colls_by_difference);
}

/* A step is over when the last rank has done it, as `trine train` predicts it; this one may have less to do. */
static void wait_for_last(struct tr_run_explained *run, const struct tr_rank_time *time, int ranks)
{
    double more_s = tr_ranks_step_s(time, ranks) - time[run->ran.rank].step_s;
    run->between_predicted_s += more_s;
    run->predicted_s += more_s;
    run->now_s += more_s;
}

static void compare_ranks(struct tr_run_explained *run, const struct tr_rank_time *time)
{
    for (int i = 0; i < run->ran.each_count; i++) {
        const struct tr_rank_sum *sum = &run->ran.each[i];
        double steps = (double)sum->steps;
        struct tr_run_rank_row row = {.step_s = sum->steps_s / steps, .work_s = sum->work_s / steps, .wait_s = sum->wait_s / steps,
                                      .stage_s = sum->stage_s / steps, .bytes = (double)sum->sent_bytes / steps};
        for (int phase = 0; phase < TR_PHASE_COUNT; phase++) {
            for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
                row.predicted_work_s += time[i].op_s[phase][kind];
            for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
                row.predicted_wait_s += time[i].wait_s[phase][kind];
            row.predicted_stage_s += time[i].wait_s[phase][TR_COLL_SEND] + time[i].wait_s[phase][TR_COLL_RECV];
        }
        run->rank[i] = row;
    }
}

/* Whether every step changed the weights. */
static bool all_taken(const struct plan *plan, const struct tr_run_profile *ran)
{
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
        if (ran->op[TR_PHASE_UPDATE][kind].calls != ran->steps * plan->of[TR_PHASE_UPDATE][kind].calls)
            return false;
    return true;
}

static double mean_of(double first, double last) { return first > 0 && last > 0 ? (first + last) / 2 : first; }

/* A profile is of one host: several that are alike have its cores each, and what lies between them it does not know. */
static int hosts_of(const struct tr_run_profile *ran) { return ran->hosts > 1 ? ran->hosts : 1; }

/* What a rank has of the peak of all, as if it had a core for each thread: that ranks take turns is counted by itself (turns). */
static double share_of_rank(const struct tr_run_profile *ran)
{
    double threads = (double)ran->threads * ran->ranks / hosts_of(ran);
    return (ran->cores > 0 ? fmax(1, threads / ran->cores) : 1) / ran->ranks;
}

/* What the machine gave this run, beside what it gave the calibration; all of one rank. */
static void see_machine(struct tr_run_explained *run, const struct tr_kernel_rates *rates, bool bf16)
{
    struct tr_looks *looks = &run->ran.looks;
    run->ran.peak_flop_s *= share_of_rank(&run->ran);
    looks->last.peak_flop_s *= share_of_rank(&run->ran);
    run->peak_now_flop_s = mean_of(run->ran.peak_flop_s, looks->last.peak_flop_s);
    run->peak_then_flop_s = rates->machine.peak_flop_s[bf16];
    run->memory_now_byte_s = mean_of(looks->first_read_byte_s, looks->last.read_byte_s);
    for (int level = 0; level < TR_READ_LEVELS; level++)
        if (looks->read_bytes == run->ran.threads * tr_read_bytes[level]) {
            run->memory_then_byte_s = rates->machine.read_byte_s[level];
            run->read_memory = level == TR_READ_MEMORY;
        }
    run->hand_then_s = rates->machine.hand_s;
}

/* For how much of its time its cores were not as far apart as when it began. */
static void see_moves(struct tr_run_explained *run, const struct tr_kernel_rates *rates, bool began_apart)
{
    const struct tr_hands *hands = &run->ran.looks.hands;
    int moved = 0;
    for (int i = 0; i < hands->count; i++)
        moved += tr_kernel_is_apart(rates, hands->at[i]) != began_apart;
    run->moved = run->ran.ranks == 1 && hands->count ? (double)moved / hands->count : 0;
    run->apart_share = began_apart ? 1 - run->moved : run->moved;
}

static enum tr_status compare(struct tr_run_explained *run, const struct plan *plan, const struct plan *other, const struct tr_run_programs *programs,
                              const struct tr_rank_time *time, const struct tr_kernel_rates *rates, struct tr_err *err)
{
    const struct tr_program *p = &programs->program[run->ran.rank];
    enum tr_status status = check_work(plan, &run->ran, p->step.apart, err);
    if (status == TR_OK)
        status = check_sent(programs, &run->ran, all_taken(plan, &run->ran), err);
    if (status != TR_OK)
        return status;
    snprintf(run->model, sizeof run->model, "%s", p->model.name);
    run->turns = time[0].turns;
    see_machine(run, rates, p->step.dtype == TR_BF16);
    run->planned_bytes = tr_program_memory_bytes(p);
    run->bubble_planned = p->pipe.stages > 1 ? tr_pipe_bubble(p->pipe, tr_program_micros(p)) : 0;
    run->measured_s = run->between_measured_s = run->ran.steps_s / (double)run->ran.steps;
    if (run->ran.steps > 1 && run->ran.first_s > 0)
        run->warm_s = (run->ran.steps_s - run->ran.first_s) / (double)(run->ran.steps - 1);
    tr_refined_words(&rates->refined, run->refined);
    run->profile_runs = tr_refined_runs(&rates->refined);
    compare_ops(run, plan, other, rates->between_s);
    compare_colls(run, &time[run->ran.rank]);
    wait_for_last(run, time, programs->ranks);
    compare_ranks(run, time);
    return TR_OK;
}

/* `other`: rates of cores as they were not when it began. */
static enum tr_status explain(struct tr_run_explained *run, const struct tr_run_programs *programs, const struct tr_kernel_rates *rates,
                              const struct tr_kernel_rates *other, const struct tr_exchange_rates *exchange, struct tr_err *err)
{
    struct plan *plan = calloc(2, sizeof *plan);
    struct tr_rank_time *time = calloc((size_t)programs->ranks, sizeof *time);
    enum tr_status status = TR_OK;
    if (!plan || !time)
        status = tr_fail(err, TR_FAILED, "out of memory to hold %d ranks against their programs", programs->ranks);
    if (status == TR_OK)
        status = tr_here_together(rates, exchange, programs, NULL, NULL, time, err);
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
        run->shared[kind] = exchange ? tr_exchange_shared(exchange, (enum tr_op_kind)kind) : 1;
    run->exchanges = exchange != NULL;
    run->error = exchange ? tr_exchange_step_error(exchange, rates->step_error) : rates->step_error;
    if (exchange)
        tr_refined_words(&exchange->refined, run->refined_ranks);
    if (status == TR_OK) {
        make_plan(rates, programs, run->ran.rank, &plan[0]);
        make_plan(other, programs, run->ran.rank, &plan[1]);
        status = compare(run, &plan[0], &plan[1], programs, time, rates, err);
    }
    free(plan);
    free(time);
    return status;
}

static enum tr_status check_run(const char *run_folder, const struct tr_run_profile *ran, struct tr_err *err)
{
    if (ran->steps == 0 || ran->steps_s <= 0)
        return tr_fail(err, TR_BAD_INPUT, "%s: its newest attempt has computed no step yet", run_folder);
    return TR_OK;
}

/* Rates as the run's cores were when it began, which is returned, and as they were not. */
static bool find_states(struct tr_run_explained *run, struct tr_kernel_rates *rates, struct tr_kernel_rates *other)
{
    *other = *rates;
    bool apart = tr_kernel_set_apart(rates, run->ran.hand_s);
    if (!apart)
        (void)tr_kernel_set_apart(other, INFINITY); /* where the profile has no such prices they are the same */
    run->unseen = rates->unseen;
    see_moves(run, rates, apart);
    return apart;
}

enum tr_status tr_run_explain(const char *run_folder, const struct tr_catalog *profile, int rank, struct tr_run_explained *out,
                              struct tr_err *err)
{
    struct tr_kernel_rates rates, other;
    struct tr_exchange_rates exchange;
    bool exchanges = false;
    struct tr_run_programs programs = {.program = NULL};
    struct tr_run_explained *run = calloc(1, sizeof *run);
    if (!run)
        return tr_fail(err, TR_FAILED, "out of memory for %zu bytes", sizeof *run);
    enum tr_status status = tr_run_profile_read(run_folder, rank, &run->ran, err);
    if (status == TR_OK)
        status = check_run(run_folder, &run->ran, err);
    if (status == TR_OK)
        status = tr_kernel_rates_for(profile, run->ran.threads, &rates, err);
    if (status == TR_OK) {
        rates.cores *= hosts_of(&run->ran);
        run->apart = find_states(run, &rates, &other);
        run->learned_from = tr_refined_knows(&rates.refined, run->ran.attempt);
    }
    if (status == TR_OK && run->ran.ranks > 1 && hosts_of(&run->ran) == 1) {
        status = tr_exchange_find(profile, run->ran.transport, run->ran.ranks, &exchange, err);
        exchanges = status == TR_OK;
        run->learned_from = exchanges && tr_refined_knows(&exchange.refined, run->ran.attempt);
        run->apart = exchanges && tr_exchange_set_apart(&exchange, run->ran.hand_s) ? true : run->apart;
        status = status == TR_NO ? TR_OK : status;
    }
    if (status == TR_OK) {
        struct tr_machine machine = {tr_kernel_set(run->ran.isa), run->ran.threads};
        status = tr_run_programs_of(run_folder, &run->ran.layout, machine, &programs, err);
    }
    if (status == TR_OK && (status = explain(run, &programs, &rates, &other, exchanges ? &exchange : NULL, err)) != TR_OK)
        tr_err_prefix(err, "%s", run_folder);
    tr_run_programs_free(&programs);
    if (status == TR_OK)
        *out = *run;
    free(run);
    return status;
}
