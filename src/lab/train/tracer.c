#include "base/doc.h"
#include "base/num.h"
#include "lab/train/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CLOCK_ROUNDS = 8 };

/* Of a step (op is NULL): its number, and what is added to this rank's clock. */
struct tr_traced {
    const struct tr_program_op *op;
    const struct tr_schedule_entry *entry;
    int64_t flop, bytes, step;
    double begin_s, end_s, offset_s;
    struct tr_coll_span beside; /* of a WAIT: what has been waited for */
};

/* ---- how much there is of it ------------------------------------------------------------------------------------- */

static bool runs_beside(const struct tr_program_coll *coll)
{
    return coll->when == TR_COLL_WAIT && coll->call.kind != TR_COLL_SEND;
}

/* Of one step: what is seen, and events in the file. */
static void count_step(const struct tr_program *p, int64_t *seen, int64_t *events)
{
    *seen = 1;
    *events = 1 + p->schedule_count;
    for (int32_t k = 0; k < p->schedule_count; k++) {
        const struct tr_program_section *section = &p->section[p->schedule[k].section];
        for (int32_t i = section->first_op; i < section->first_op + section->op_count; i++)
            if (tr_program_op_runs(p, &p->op[i], &p->schedule[k])) {
                ++*seen;
                *events += 1 + (p->op[i].coll >= 0 && runs_beside(&p->coll[p->op[i].coll]));
            }
    }
}

enum tr_status tr_run_trace_fit(struct tr_run *run, struct tr_err *err)
{
    int64_t seen, events, steps = run->options->trace_steps;
    if (steps == 0)
        return TR_OK;
    if (run->config.replay_every > 0)
        return tr_fail(err, TR_BAD_INPUT, "--trace-steps %lld: with replay.every %lld steps are computed twice, and a trace has each once: "
                       "give one of them", (long long)steps, (long long)run->config.replay_every);
    count_step(&run->program, &seen, &events);
    if (steps <= TR_TRACE_EVENTS_MAX / events)
        return TR_OK;
    return tr_fail(err, TR_BAD_INPUT, "--trace-steps %lld: a step has %lld events on a rank, and a trace at most %d: at most %lld step%s",
                   (long long)steps, (long long)events, TR_TRACE_EVENTS_MAX, (long long)(TR_TRACE_EVENTS_MAX / events),
                   TR_TRACE_EVENTS_MAX / events == 1 ? "" : "s");
}

/* Traces of an attempt before are of another layout, maybe. */
static enum tr_status drop_earlier(const struct tr_run *run, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    enum tr_status status = tr_path_join(path, run->config.out, "trace", err);
    if (status == TR_OK)
        status = tr_folder_remove(path, err);
    return status == TR_OK ? tr_folder_make(path, err) : status;
}

enum tr_status tr_run_trace_open(struct tr_run *run, struct tr_err *err)
{
    struct tr_tracer *t = &run->tracer;
    int64_t seen, events;
    t->left = tr_min_i64(run->options->trace_steps, run->config.steps - run->resumed_at);
    if (t->left <= 0)
        return TR_OK;
    count_step(&run->program, &seen, &events);
    t->room = t->left * seen;
    t->seen = calloc((size_t)t->room, sizeof *t->seen);
    if (!t->seen)
        return tr_fail(err, TR_FAILED, "out of memory for a trace of %lld operations", (long long)t->room);
    t->head = (struct tr_trace_head){.rank = run->world ? tr_comm_index(run->world) : 0, .ranks = tr_run_ranks(run),
                                     .threads = run->machine.threads, .host_ranks = run->host_ranks, .layout = run->program.step.place.degrees, .isa = run->isa,
                                     .hand_s = run->hand_s};
    snprintf(t->head.transport, sizeof t->head.transport, "%s", tr_run_transport(run));
    return tr_run_leads(run) ? drop_earlier(run, err) : TR_OK;
}

/* ---- clocks ------------------------------------------------------------------------------------------------------ */

/* What all files of an attempt have in common. */
struct mark {
    char config_sha256[TR_SHA256_HEX_BYTES];
    int64_t attempt;
    double epoch_s;
};

static enum tr_status make_mark(const struct tr_run *run, struct mark *mark, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    uint8_t digest[TR_SHA256_BYTES];
    struct tr_bytes file = {.at = NULL};
    enum tr_status status = tr_path_join(path, run->config.out, "config.yaml", err);
    if (status == TR_OK)
        status = tr_file_read(path, TR_DOC_YAML_MAX_BYTES, &file, err);
    if (status == TR_OK)
        status = tr_sha256_of(file.at, file.len, digest, err);
    tr_bytes_free(&file);
    if (status != TR_OK)
        return status;
    tr_sha256_hex(digest, mark->config_sha256);
    mark->attempt = run->attempt;
    mark->epoch_s = tr_clock_s();
    return TR_OK;
}

/* Before the first traced step: all know whose trace it is, and its 0. */
static enum tr_status begin_trace(struct tr_run *run, struct tr_err *err)
{
    struct tr_tracer *t = &run->tracer;
    struct mark mark = {.attempt = 0};
    enum tr_status status = tr_run_leads(run) ? make_mark(run, &mark, err) : TR_OK;
    if (status == TR_OK)
        status = tr_run_tell(run, &mark, sizeof mark, err);
    if (status != TR_OK)
        return status;
    memcpy(t->head.config_sha256, mark.config_sha256, sizeof mark.config_sha256);
    t->head.attempt = mark.attempt;
    t->epoch_s = mark.epoch_s;
    return TR_OK;
}

static enum tr_status answer_clock(struct tr_comm *world, int rank, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int i = 0; i < CLOCK_ROUNDS && status == TR_OK; i++) {
        double asked, now_s;
        status = tr_exchange(world, -1, NULL, 0, rank, &asked, sizeof asked, err);
        now_s = tr_clock_s();
        if (status == TR_OK)
            status = tr_exchange(world, rank, &now_s, sizeof now_s, -1, NULL, 0, err);
    }
    return status;
}

static enum tr_status ask_clock(struct tr_comm *world, double *offset_s, double *error_s, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    *error_s = INFINITY;
    for (int i = 0; i < CLOCK_ROUNDS && status == TR_OK; i++) {
        double asked_s = tr_clock_s(), its_s;
        status = tr_exchange(world, 0, &asked_s, sizeof asked_s, -1, NULL, 0, err);
        if (status == TR_OK)
            status = tr_exchange(world, -1, NULL, 0, 0, &its_s, sizeof its_s, err);
        double now_s = tr_clock_s(), half_s = (now_s - asked_s) / 2;
        if (status == TR_OK && half_s < *error_s) {
            *error_s = half_s;
            *offset_s = its_s - (asked_s + half_s);
        }
    }
    return status;
}

/* What is added to this rank's clock. */
static enum tr_status compare_clocks(struct tr_run *run, double *offset_s, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    double error_s = 0;
    *offset_s = 0;
    for (int rank = 1, me = run->tracer.head.rank; rank < tr_run_ranks(run) && status == TR_OK; rank++)
        if (tr_comm_host(run->world, rank) != tr_comm_host(run->world, 0)) {
            if (me == 0)
                status = answer_clock(run->world, rank, err);
            else if (me == rank)
                status = ask_clock(run->world, offset_s, &error_s, err);
        }
    run->tracer.head.clock_offset_s = *offset_s;
    run->tracer.head.clock_error_s = fmax(run->tracer.head.clock_error_s, error_s);
    return status;
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

static void see(void *context, const struct tr_exec_seen *seen)
{
    struct tr_run *run = context;
    struct tr_tracer *t = &run->tracer;
    const struct tr_program_coll *coll = seen->op->coll >= 0 ? &run->program.coll[seen->op->coll] : NULL;
    struct tr_traced traced = {.op = seen->op, .entry = seen->entry, .flop = seen->flop, .bytes = seen->bytes,
                               .begin_s = seen->begin_s, .end_s = seen->end_s};
    if (run->exec.status != TR_OK)
        return;
    if (coll && runs_beside(coll))
        traced.beside = tr_coll_waited(run->exec.group[coll->group], run->exec.started[coll->started].ticket);
    TR_ASSERT(t->count < t->room);
    t->seen[t->count++] = traced;
}

enum tr_status tr_run_trace_begin(struct tr_run *run, struct tr_err *err)
{
    struct tr_tracer *t = &run->tracer;
    double offset_s;
    if (t->left == 0 || run->computed_steps == 0)
        return TR_OK;
    enum tr_status status = t->count == 0 ? begin_trace(run, err) : TR_OK;
    if (status == TR_OK)
        status = compare_clocks(run, &offset_s, err);
    if (status != TR_OK)
        return status;
    t->step_at = t->count++;
    t->seen[t->step_at] = (struct tr_traced){.step = run->state.step + 1, .offset_s = offset_s, .begin_s = tr_clock_s()};
    run->exec.observer = see;
    run->exec.observer_context = run;
    return TR_OK;
}

void tr_run_trace_end(struct tr_run *run)
{
    struct tr_tracer *t = &run->tracer;
    if (run->exec.observer != see)
        return;
    run->exec.observer = NULL;
    t->seen[t->step_at].end_s = tr_clock_s();
    if (--t->left == 0)
        tr_run_trace_write(run);
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static void add(struct tr_trace *trace, struct tr_trace_event event, double offset_s)
{
    event.begin_s += offset_s;
    event.end_s += offset_s;
    trace->event[trace->count++] = event;
}

/* Passes are what comes one after the other of one entry of the schedule. */
static void fill(const struct tr_run *run, struct tr_trace *trace)
{
    const struct tr_tracer *t = &run->tracer;
    struct tr_trace_event *pass = NULL;
    const struct tr_schedule_entry *entry = NULL;
    double offset_s = 0;
    for (int64_t i = 0; i < t->count; i++) {
        const struct tr_traced *seen = &t->seen[i];
        if (!seen->op) {
            offset_s = seen->offset_s - t->epoch_s;
            add(trace, (struct tr_trace_event){.what = TR_TRACE_STEP, .step = seen->step, .begin_s = seen->begin_s, .end_s = seen->end_s}, offset_s);
            trace->steps++;
            entry = NULL;
            continue;
        }
        if (seen->entry != entry) {
            pass = &trace->event[trace->count];
            add(trace, tr_trace_pass_of(&run->program, seen->entry, seen->begin_s), offset_s);
            entry = seen->entry;
        }
        struct tr_trace_event beside, event = tr_trace_event_of(&run->program, seen->op, entry, seen->begin_s, seen->end_s);
        event.flop = seen->flop;
        event.bytes = seen->bytes;
        add(trace, event, offset_s);
        pass->end_s = seen->end_s + offset_s;
        if (tr_trace_beside_of(&run->program, seen->op, entry, seen->beside.begin_s, seen->beside.end_s, &beside))
            add(trace, beside, offset_s);
    }
}

static enum tr_status write_trace(const struct tr_run *run, struct tr_err *err)
{
    const struct tr_tracer *t = &run->tracer;
    char path[TR_PATH_BYTES];
    struct tr_text text = {0};
    struct tr_trace trace = {.head = t->head, .event = calloc((size_t)t->count * 3, sizeof *trace.event)};
    if (!trace.event)
        return tr_fail(err, TR_FAILED, "out of memory for %lld events", (long long)t->count * 3);
    fill(run, &trace);
    tr_trace_text(&trace, &text);
    enum tr_status status = tr_text_failed(&text, err) ? TR_FAILED : tr_trace_path(path, run->config.out, t->head.rank, err);
    if (status == TR_OK)
        status = tr_file_write(path, tr_text_str(&text), text.len, err);
    tr_text_free(&text);
    tr_trace_free(&trace);
    return status;
}

/* A run does not end because it could not be drawn. */
void tr_run_trace_write(struct tr_run *run)
{
    struct tr_tracer *t = &run->tracer;
    struct tr_err err;
    if (run->exec.observer == see) /* the step did not come to its end */
        t->count = t->step_at;
    run->exec.observer = NULL;
    if (t->count > 0 && write_trace(run, &err) != TR_OK)
        tr_progress_note(&run->bar, "no trace of rank %d: %s", t->head.rank, err.text);
    free(t->seen);
    *t = (struct tr_tracer){.seen = NULL};
}
