#include "plan/here/traces.h"

#include "base/doc.h"

#include <stdlib.h>
#include <string.h>

/* ---- do they belong together? ------------------------------------------------------------------------------------ */

static enum tr_status check_config(const struct tr_run_traces *t, struct tr_err *err)
{
    char path[TR_PATH_BYTES], hex[TR_SHA256_HEX_BYTES];
    uint8_t digest[TR_SHA256_BYTES];
    struct tr_bytes file = {.at = NULL};
    enum tr_status status = tr_path_join(path, t->run_folder, "config.yaml", err);
    if (status == TR_OK)
        status = tr_file_read(path, TR_DOC_YAML_MAX_BYTES, &file, err);
    if (status == TR_OK)
        status = tr_sha256_of(file.at, file.len, digest, err);
    tr_bytes_free(&file);
    if (status == TR_OK && strcmp(tr_sha256_hex(digest, hex), t->head.config_sha256) != 0)
        status = tr_fail(err, TR_BAD_INPUT, "%s/trace: the traces are of another run than %s, or of an attempt with another config: trace "
                         "this one with `trine train --trace-steps`", t->run_folder, path);
    return status;
}

static bool same_layout(const struct tr_degrees *a, const struct tr_degrees *b)
{
    bool same = a->chunks == b->chunks && a->sequence == b->sequence && a->zero == b->zero;
    for (int group = 0; group < TR_GROUP_COUNT; group++)
        same = same && a->ranks[group] == b->ranks[group];
    return same;
}

/* With rank 0's. */
static enum tr_status check_head(const struct tr_run_traces *t, const char *path, const struct tr_trace_head *head, int rank, struct tr_err *err)
{
    if (head->rank != rank)
        return tr_fail(err, TR_BAD_INPUT, "%s: a trace of rank %d", path, head->rank);
    if (head->attempt != t->head.attempt || strcmp(head->config_sha256, t->head.config_sha256) != 0 || head->ranks != t->head.ranks ||
        strcmp(head->transport, t->head.transport) != 0 || !same_layout(&head->layout, &t->head.layout))
        return tr_fail(err, TR_BAD_INPUT, "%s: a trace of another attempt than that of rank 0", path);
    if (head->threads != t->head.threads || head->isa != t->head.isa)
        return tr_fail(err, TR_BAD_INPUT, "%s: %d threads of %s, and rank 0 had %d of %s: their step programs are not of one machine", path,
                       head->threads, tr_isa_name(head->isa), t->head.threads, tr_isa_name(t->head.isa));
    return TR_OK;
}

static bool is_of(const struct tr_program *p, const struct tr_program_op *op, const struct tr_trace_event *e)
{
    if (op->coll < 0)
        return e->what == TR_TRACE_OP && e->kind == (int)op->op.kind && e->phase == op->phase;
    const struct tr_program_coll *coll = &p->coll[op->coll];
    return e->what == TR_TRACE_COLL && e->kind == (int)coll->call.kind && e->group == coll->group && e->when == coll->when &&
           e->phase == op->phase;
}

/* The next event from `at` on that is an operation or a collective of this step; NULL: the step has no more. */
static const struct tr_trace_event *next_done(const struct tr_trace *trace, int64_t *at)
{
    while (*at < trace->count && trace->event[*at].what != TR_TRACE_STEP) {
        const struct tr_trace_event *e = &trace->event[(*at)++];
        if (e->what == TR_TRACE_OP || e->what == TR_TRACE_COLL)
            return e;
    }
    return NULL;
}

static enum tr_status not_of_it(const char *path, int64_t step, const char *what, struct tr_err *err)
{
    return tr_fail(err, TR_BAD_INPUT, "%s: step %lld %s: it is cut short, of another run, or another version of trine made it", path,
                   (long long)step, what);
}

/* One step from event `at` on; `see` may be NULL. A step that was left out ends with the factor that gradients would have been clipped by. */
static enum tr_status walk_step(const struct tr_program *p, const char *path, const struct tr_trace *trace, int64_t *at, tr_traces_see_fn *see,
                                void *context, struct tr_err *err)
{
    int64_t number = trace->event[(*at)++].step;
    bool clipped = false;
    for (int32_t k = 0; k < p->schedule_count; k++) {
        const struct tr_program_section *section = &p->section[p->schedule[k].section];
        for (int32_t i = section->first_op; i < section->first_op + section->op_count; i++) {
            const struct tr_program_op *op = &p->op[i];
            if (!tr_program_op_runs(p, op, &p->schedule[k]))
                continue;
            const struct tr_trace_event *e = next_done(trace, at);
            if (!e && clipped)
                return TR_OK;
            if (!e || !is_of(p, op, e))
                return not_of_it(path, number, e ? "has another operation than the step program of this rank" :
                                                   "has fewer operations than the step program of this rank", err);
            if (see)
                see(context, p, op, &p->schedule[k], e);
            clipped = op->coll < 0 && op->op.kind == TR_OP_CLIP;
        }
    }
    return next_done(trace, at) ? not_of_it(path, number, "has more operations than the step program of this rank", err) : TR_OK;
}

static enum tr_status walk(const struct tr_program *p, const char *path, const struct tr_trace *trace, tr_traces_see_fn *see, void *context,
                           struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int64_t at = 0; status == TR_OK && at < trace->count;)
        status = walk_step(p, path, trace, &at, see, context, err);
    return status;
}

/* The steps of rank 0 are those of all. */
static enum tr_status check_steps(const struct tr_run_traces *t, const char *path, const struct tr_trace *trace, struct tr_err *err)
{
    int64_t step = 0;
    if (trace->steps != t->steps)
        return tr_fail(err, TR_BAD_INPUT, "%s: %lld steps, and rank 0 has %lld: one of them is cut short", path, (long long)trace->steps,
                       (long long)t->steps);
    for (int64_t i = 0; i < trace->count; i++) {
        const struct tr_trace_event *e = &trace->event[i];
        if (e->what == TR_TRACE_STEP && t->number[step++] != e->step)
            return tr_fail(err, TR_BAD_INPUT, "%s: has step %lld where rank 0 has step %lld", path, (long long)e->step,
                           (long long)t->number[step - 1]);
    }
    return TR_OK;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static enum tr_status read_first(struct tr_run_traces *t, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_trace trace = {.event = NULL};
    enum tr_status status = tr_trace_path(path, t->run_folder, 0, err);
    if (status == TR_OK)
        status = tr_trace_read(path, &trace, err);
    if (status == TR_OK && trace.steps == 0)
        status = tr_fail(err, TR_BAD_INPUT, "%s: no step was traced: the attempt had only its first one", path);
    if (status == TR_OK && (t->number = calloc((size_t)trace.steps, sizeof *t->number)) == NULL)
        status = tr_fail(err, TR_FAILED, "out of memory for %lld steps", (long long)trace.steps);
    for (int64_t i = 0; status == TR_OK && i < trace.count; i++)
        if (trace.event[i].what == TR_TRACE_STEP)
            t->number[t->steps++] = trace.event[i].step;
    t->head = trace.head;
    tr_trace_free(&trace);
    return status;
}

enum tr_status tr_run_traces_open(struct tr_run_traces *out, const char *run_folder, struct tr_err *err)
{
    *out = (struct tr_run_traces){.run_folder = run_folder};
    enum tr_status status = read_first(out, err);
    if (status == TR_OK)
        status = check_config(out, err);
    if (status == TR_OK) {
        struct tr_machine machine = {tr_kernel_set(out->head.isa), out->head.threads};
        status = tr_run_programs_of(run_folder, &out->head.layout, machine, &out->programs, err);
    }
    return status;
}

enum tr_status tr_run_traces_read(const struct tr_run_traces *traces, int rank, struct tr_trace *out, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_trace trace = {.event = NULL};
    enum tr_status status = tr_trace_path(path, traces->run_folder, rank, err);
    if (status == TR_OK)
        status = tr_trace_read(path, &trace, err);
    if (status == TR_OK)
        status = check_head(traces, path, &trace.head, rank, err);
    if (status == TR_OK)
        status = check_steps(traces, path, &trace, err);
    if (status == TR_OK)
        status = walk(&traces->programs.program[rank], path, &trace, NULL, NULL, err);
    if (status == TR_OK)
        *out = trace;
    else
        tr_trace_free(&trace);
    return status;
}

void tr_run_traces_see(const struct tr_run_traces *traces, int rank, const struct tr_trace *trace, tr_traces_see_fn *see, void *context)
{
    struct tr_err never;
    enum tr_status status = walk(&traces->programs.program[rank], "", trace, see, context, &never);
    TR_ASSERT(status == TR_OK); /* it was when it was read */
}

void tr_run_traces_close(struct tr_run_traces *traces)
{
    tr_run_programs_free(&traces->programs);
    free(traces->number);
    *traces = (struct tr_run_traces){.steps = 0};
}
