#include "plan/here/timeline.h"

#include "base/doc.h"
#include "base/json.h"
#include "lab/train/profile.h"
#include "lab/train/trace.h"
#include "plan/here/together.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One step, as all ranks together did it. */
struct step {
    int64_t number;
    double begin_s, end_s;
};

/* A message between stages where it leaves and where it has arrived: two events of one id, between which viewers draw an arrow. */
struct arrow {
    int64_t id;
    bool arrives;
    double at_s;
};

struct merger {
    const char *run_folder;
    struct tr_trace_head head; /* of rank 0: what all others must agree with */
    struct tr_run_programs programs;
    struct step *step;         /* [steps], owned */
    struct arrow *arrow;       /* [arrows], owned: of the rank that is read; no more than its events */
    int64_t arrows;
    int64_t sent[TR_WAY_COUNT], received[TR_WAY_COUNT]; /* by it so far */
    struct tr_timeline *out;
    struct tr_file_out file;
    struct tr_text text;
    struct tr_json json;
};

/* ---- do they belong together? ------------------------------------------------------------------------------------ */

static enum tr_status check_config(const struct merger *m, struct tr_err *err)
{
    char path[TR_PATH_BYTES], hex[TR_SHA256_HEX_BYTES];
    uint8_t digest[TR_SHA256_BYTES];
    struct tr_bytes file = {.at = NULL};
    enum tr_status status = tr_path_join(path, m->run_folder, "config.yaml", err);
    if (status == TR_OK)
        status = tr_file_read(path, TR_DOC_YAML_MAX_BYTES, &file, err);
    if (status == TR_OK)
        status = tr_sha256_of(file.at, file.len, digest, err);
    tr_bytes_free(&file);
    if (status == TR_OK && strcmp(tr_sha256_hex(digest, hex), m->head.config_sha256) != 0)
        status = tr_fail(err, TR_BAD_INPUT, "%s/trace: the traces are of another run than %s, or of an attempt with another config: trace "
                         "this one with `trine train --trace-steps`", m->run_folder, path);
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
static enum tr_status check_head(const struct merger *m, const char *path, const struct tr_trace_head *head, int rank, struct tr_err *err)
{
    if (head->rank != rank)
        return tr_fail(err, TR_BAD_INPUT, "%s: a trace of rank %d", path, head->rank);
    if (head->attempt != m->head.attempt || strcmp(head->config_sha256, m->head.config_sha256) != 0 || head->ranks != m->head.ranks ||
        !same_layout(&head->layout, &m->head.layout))
        return tr_fail(err, TR_BAD_INPUT, "%s: a trace of another attempt than that of rank 0", path);
    if (head->threads != m->head.threads || head->isa != m->head.isa)
        return tr_fail(err, TR_BAD_INPUT, "%s: %d threads of %s, and rank 0 had %d of %s: their step programs are not of one machine", path,
                       head->threads, tr_isa_name(head->isa), m->head.threads, tr_isa_name(m->head.isa));
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

/* Messages of one rank in one way go to one other rank, and arrive in order. */
static void note_message(struct merger *m, const struct tr_program *p, const struct tr_program_op *op, const struct tr_trace_event *e)
{
    const struct tr_program_coll *coll = &p->coll[op->coll];
    bool arrives = coll->call.kind == TR_COLL_RECV;
    if (!arrives && (coll->call.kind != TR_COLL_SEND || coll->when == TR_COLL_WAIT))
        return;
    int from = arrives ? tr_rank_of_member(&p->step.place, coll->group, coll->peer) : p->step.place.rank;
    int64_t number = arrives ? m->received[coll->way]++ : m->sent[coll->way]++;
    /* An arrow ends in the event, not at its end; a message between two cores is there sooner than in a microsecond. */
    double inside_s = fmin(1e-8, (e->end_s - e->begin_s) / 2);
    m->arrow[m->arrows++] = (struct arrow){.id = ((int64_t)from * TR_WAY_COUNT + (int64_t)coll->way) << 32 | number, .arrives = arrives,
                                           .at_s = arrives ? e->end_s - inside_s : e->begin_s};
}

/* One step from event `at` on. A step that was left out ends with the factor that gradients would have been clipped by. */
static enum tr_status check_step(struct merger *m, const struct tr_program *p, const char *path, const struct tr_trace *trace, int64_t *at,
                                 struct tr_err *err)
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
            if (op->coll >= 0)
                note_message(m, p, op, e);
            clipped = op->coll < 0 && op->op.kind == TR_OP_CLIP;
        }
    }
    return next_done(trace, at) ? not_of_it(path, number, "has more operations than the step program of this rank", err) : TR_OK;
}

/* The steps of rank 0 are those of all. */
static enum tr_status note_steps(struct merger *m, const char *path, const struct tr_trace *trace, struct tr_err *err)
{
    int64_t step = 0;
    if (trace->steps != m->out->steps)
        return tr_fail(err, TR_BAD_INPUT, "%s: %lld steps, and rank 0 has %lld: one of them is cut short", path, (long long)trace->steps,
                       (long long)m->out->steps);
    for (int64_t i = 0; i < trace->count; i++) {
        const struct tr_trace_event *e = &trace->event[i];
        if (e->what != TR_TRACE_STEP)
            continue;
        struct step *s = &m->step[step++];
        if (s->number != 0 && s->number != e->step)
            return tr_fail(err, TR_BAD_INPUT, "%s: has step %lld where rank 0 has step %lld", path, (long long)e->step, (long long)s->number);
        s->begin_s = s->number == 0 ? e->begin_s : fmin(s->begin_s, e->begin_s);
        s->end_s = fmax(s->end_s, e->end_s);
        s->number = e->step;
    }
    return TR_OK;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static enum tr_status flush(struct merger *m, struct tr_err *err)
{
    enum tr_status status = tr_text_failed(&m->text, err) ? TR_FAILED : tr_file_out_write(&m->file, tr_text_str(&m->text), m->text.len, err);
    tr_text_clear(&m->text);
    return status;
}

/* "rank 3: tp 1 of 2, pp 1 of 2" */
static void name_rank(const struct tr_degrees *layout, int rank, char name[96])
{
    struct tr_rank_place place = {*layout, rank};
    int at = snprintf(name, 96, "rank %d", rank);
    for (int group = 0; group < TR_GROUP_COUNT; group++)
        if (tr_degrees_of(layout, (enum tr_group)group) > 1)
            at += snprintf(name + at, 96 - (size_t)at, " %s=%d", tr_group_name((enum tr_group)group), tr_rank_index(&place, (enum tr_group)group));
}

static void put_arrow(struct tr_json *json, int rank, const struct arrow *arrow)
{
    tr_json_object(json, NULL);
    tr_json_string(json, "name", "message");
    tr_json_string(json, "cat", "message");
    tr_json_string(json, "ph", arrow->arrives ? "f" : "s");
    if (arrow->arrives)
        tr_json_string(json, "bp", "e"); /* to the event around it, not to the next one */
    tr_json_int(json, "id", arrow->id);
    tr_json_double(json, "ts", floor(arrow->at_s * 1e9 + .5) / 1e3);
    tr_json_int(json, "pid", rank);
    tr_json_int(json, "tid", TR_TRACE_ROW_OPERATIONS);
    tr_json_end(json);
}

static enum tr_status put_rank(struct merger *m, int rank, const struct tr_trace *trace, struct tr_err *err)
{
    char name[96];
    name_rank(&m->head.layout, rank, name);
    tr_trace_put_rows(&m->json, rank, name, trace->event, trace->count);
    for (int64_t i = 0; i < trace->count; i++)
        tr_trace_put(&m->json, rank, &trace->event[i]);
    for (int64_t i = 0; i < m->arrows; i++)
        put_arrow(&m->json, rank, &m->arrow[i]);
    m->out->events += trace->count;
    m->out->clock_error_s = fmax(m->out->clock_error_s, trace->head.clock_error_s);
    return flush(m, err);
}

/* Read, held against its step program, written: one at a time, as they may be large. */
static enum tr_status merge_rank(struct merger *m, int rank, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_trace trace = {.event = NULL};
    enum tr_status status = tr_trace_path(path, m->run_folder, rank, err);
    if (status == TR_OK)
        status = tr_trace_read(path, &trace, err);
    if (status == TR_OK)
        status = check_head(m, path, &trace.head, rank, err);
    if (status == TR_OK)
        status = note_steps(m, path, &trace, err);
    m->arrow = status == TR_OK ? calloc((size_t)trace.count + 1, sizeof *m->arrow) : NULL;
    if (status == TR_OK && !m->arrow)
        status = tr_fail(err, TR_FAILED, "out of memory for %lld messages", (long long)trace.count);
    m->arrows = 0;
    memset(m->sent, 0, sizeof m->sent);
    memset(m->received, 0, sizeof m->received);
    for (int64_t at = 0; status == TR_OK && at < trace.count;)
        status = check_step(m, &m->programs.program[rank], path, &trace, &at, err);
    if (status == TR_OK)
        status = put_rank(m, rank, &trace, err);
    free(m->arrow);
    m->arrow = NULL;
    tr_trace_free(&trace);
    return status;
}

/* ---- what was predicted ------------------------------------------------------------------------------------------ */

/* The events of one rank's predicted step, from 0. */
struct predicted {
    struct tr_trace_event *event; /* owned */
    int64_t count, room;
    const struct tr_schedule_entry *entry;
    int64_t pass; /* index of the event of the pass that goes on */
};

struct oracle {
    const struct tr_run_programs *programs;
    struct predicted *of; /* [ranks] */
    bool failed;
};

static struct tr_trace_event *add(struct oracle *o, struct predicted *to, struct tr_trace_event event)
{
    if (to->count == to->room) {
        int64_t room = to->room ? 2 * to->room : 256;
        struct tr_trace_event *more = realloc(to->event, (size_t)room * sizeof *more);
        if (!more) {
            o->failed = true;
            return NULL;
        }
        to->event = more;
        to->room = room;
    }
    to->event[to->count] = event;
    return &to->event[to->count++];
}

static void see(void *context, const struct tr_here_seen *seen)
{
    struct oracle *o = context;
    struct predicted *to = &o->of[seen->rank];
    const struct tr_program *p = &o->programs->program[seen->rank];
    struct tr_trace_event beside, event = tr_trace_event_of(p, seen->op, seen->entry, seen->begin_s, seen->end_s);
    if (to->count == 0)
        add(o, to, (struct tr_trace_event){.what = TR_TRACE_STEP});
    if (seen->entry != to->entry && add(o, to, tr_trace_pass_of(p, seen->entry, seen->begin_s)))
        to->pass = to->count - 1;
    to->entry = seen->entry;
    add(o, to, event);
    if (tr_trace_beside_of(p, seen->op, seen->entry, seen->beside_begin_s, seen->beside_end_s, &beside))
        add(o, to, beside);
    if (!o->failed)
        to->event[to->pass].end_s = to->event[0].end_s = seen->end_s;
}

/* Each step from where the first rank began it, or from where the one before was to end. */
static void put_predicted(struct merger *m, const struct oracle *o, int rank)
{
    char name[16 + 96];
    const struct predicted *p = &o->of[rank];
    int process = m->head.ranks + rank, at = snprintf(name, sizeof name, "predicted: ");
    name_rank(&m->head.layout, rank, name + at); /* which is short */
    tr_trace_put_rows(&m->json, process, name, p->event, p->count);
    double begin_s = 0;
    for (int64_t s = 0; s < m->out->steps; s++, begin_s += m->out->predicted_s) {
        begin_s = fmax(begin_s, m->step[s].begin_s);
        for (int64_t i = 0; i < p->count; i++) {
            struct tr_trace_event event = p->event[i];
            event.begin_s += begin_s;
            event.end_s += begin_s;
            event.step = m->step[s].number;
            tr_trace_put(&m->json, process, &event);
        }
    }
}

static enum tr_status predict(struct merger *m, const struct tr_kernel_rates *rates, const struct tr_exchange_rates *exchange, struct tr_err *err)
{
    struct oracle o = {.programs = &m->programs, .of = calloc((size_t)m->head.ranks, sizeof *o.of)};
    struct tr_rank_time *time = calloc((size_t)m->head.ranks, sizeof *time);
    enum tr_status status = o.of && time ? tr_here_together(rates, exchange, &m->programs, see, &o, time, err) : TR_FAILED;
    if (!o.of || !time || o.failed)
        status = tr_fail(err, TR_FAILED, "out of memory for a predicted step of %d ranks", m->head.ranks);
    for (int rank = 0; status == TR_OK && rank < m->head.ranks; rank++)
        m->out->predicted_s = fmax(m->out->predicted_s, time[rank].step_s);
    for (int rank = 0; status == TR_OK && rank < m->head.ranks; rank++) {
        put_predicted(m, &o, rank);
        status = flush(m, err);
    }
    for (int rank = 0; o.of && rank < m->head.ranks; rank++)
        free(o.of[rank].event);
    free(o.of);
    free(time);
    return status;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static enum tr_status read_first(struct merger *m, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_trace trace = {.event = NULL};
    enum tr_status status = tr_trace_path(path, m->run_folder, 0, err);
    if (status == TR_OK)
        status = tr_trace_read(path, &trace, err);
    if (status == TR_OK && trace.steps == 0)
        status = tr_fail(err, TR_BAD_INPUT, "%s: no step was traced: the attempt had only its first one", path);
    if (status == TR_OK && (m->step = calloc((size_t)trace.steps, sizeof *m->step)) == NULL)
        status = tr_fail(err, TR_FAILED, "out of memory for %lld steps", (long long)trace.steps);
    m->head = trace.head;
    m->out->ranks = trace.head.ranks;
    m->out->threads = trace.head.threads;
    m->out->busy = trace.head.host_ranks * trace.head.threads;
    m->out->steps = trace.steps;
    tr_trace_free(&trace);
    return status;
}

static enum tr_status merge_all(struct merger *m, const struct tr_catalog *profile, struct tr_err *err)
{
    struct tr_kernel_rates rates;
    enum tr_status status = TR_OK;
    m->json = tr_json_start(&m->text, TR_JSON_LINE);
    tr_json_object(&m->json, NULL);
    tr_json_string(&m->json, "displayTimeUnit", "ms");
    tr_json_array(&m->json, "traceEvents");
    for (int rank = 0; rank < m->head.ranks && status == TR_OK; rank++)
        status = merge_rank(m, rank, err);
    if (status != TR_OK)
        return status;
    if (!profile)
        (void)tr_fail(&m->out->unpredicted, TR_NO, "there is no profile of this machine");
    else if (tr_kernel_rates_find(profile, m->head.threads, &rates, &m->out->unpredicted) == TR_OK) {
        struct tr_exchange_rates exchange; /* of threads: a trace does not say what moved its bytes, and on one machine both go through memory */
        status = tr_exchange_find(profile, "threads", m->head.ranks, &exchange, err);
        m->out->exchanges = status == TR_OK;
        if (status == TR_OK || status == TR_NO)
            status = predict(m, &rates, status == TR_OK && m->head.ranks > 1 ? &exchange : NULL, err);
        m->out->cores = rates.cores;
    }
    tr_json_end(&m->json);
    tr_json_object(&m->json, "otherData");
    tr_json_string(&m->json, "model", m->programs.program[0].model.name);
    tr_json_int(&m->json, "ranks", m->head.ranks);
    tr_run_layout_write(&m->head.layout, &m->json);
    tr_json_double(&m->json, "clock_error_s", m->out->clock_error_s);
    if (m->out->predicted_s > 0)
        tr_json_string(&m->json, "predicted", "operations as the profile says; ranks wait for each other, and moving bytes takes no time");
    tr_json_end(&m->json);
    tr_json_end(&m->json);
    tr_text_char(&m->text, '\n');
    return status == TR_OK ? flush(m, err) : status;
}

static void sum_up(struct merger *m)
{
    double sum_s = 0;
    for (int64_t i = 0; i < m->out->steps; i++)
        sum_s += m->step[i].end_s - m->step[i].begin_s;
    m->out->first_step = m->step[0].number;
    m->out->measured_s = sum_s / (double)m->out->steps;
}

enum tr_status tr_run_timeline(const char *run_folder, const struct tr_catalog *profile, const char *path, struct tr_timeline *out,
                               struct tr_err *err)
{
    struct tr_timeline made = {.ranks = 0};
    struct merger m = {.run_folder = run_folder, .out = &made};
    enum tr_status status = read_first(&m, err);
    if (status == TR_OK)
        status = check_config(&m, err);
    if (status == TR_OK) {
        struct tr_machine machine = {tr_kernel_set(m.head.isa), m.head.threads};
        status = tr_run_programs_of(run_folder, &m.head.layout, machine, &m.programs, err);
    }
    if (status == TR_OK)
        status = tr_file_out_open(&m.file, path, err);
    if (status == TR_OK)
        status = merge_all(&m, profile, err);
    if (status == TR_OK)
        status = tr_file_out_commit(&m.file, err);
    else
        tr_file_out_abort(&m.file);
    if (status == TR_OK) {
        sum_up(&m);
        *out = made;
    }
    tr_run_programs_free(&m.programs);
    tr_text_free(&m.text);
    free(m.step);
    return status;
}
