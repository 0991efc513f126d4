#include "plan/here/timeline.h"

#include "base/json.h"
#include "base/num.h"
#include "lab/train/profile.h"
#include "plan/here/traces.h"

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
    struct tr_run_traces traces;
    struct step *step;         /* [steps], owned */
    struct arrow *arrow;       /* [arrows], owned: of the rank that is read; no more than its events */
    int64_t arrows;
    int64_t sent[TR_WAY_COUNT], received[TR_WAY_COUNT]; /* by it so far */
    struct tr_timeline *out;
    struct tr_file_out file;
    struct tr_text text;
    struct tr_json json;
};

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* Messages of one rank in one way go to one other rank, and arrive in order. */
static void note_message(void *context, const struct tr_program *p, const struct tr_program_op *op, const struct tr_schedule_entry *entry,
                         const struct tr_trace_event *e)
{
    struct merger *m = context;
    (void)entry;
    if (op->coll < 0)
        return;
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

/* As all ranks together did them. */
static void note_steps(struct merger *m, const struct tr_trace *trace)
{
    struct step *s = m->step;
    for (int64_t i = 0; i < trace->count; i++) {
        const struct tr_trace_event *e = &trace->event[i];
        if (e->what != TR_TRACE_STEP)
            continue;
        s->begin_s = s->number == 0 ? e->begin_s : fmin(s->begin_s, e->begin_s);
        s->end_s = fmax(s->end_s, e->end_s);
        s++->number = e->step;
    }
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
    name_rank(&m->traces.head.layout, rank, name);
    tr_trace_put_rows(&m->json, rank, name, trace->event, trace->count);
    for (int64_t i = 0; i < trace->count; i++)
        tr_trace_put(&m->json, rank, &trace->event[i]);
    for (int64_t i = 0; i < m->arrows; i++)
        put_arrow(&m->json, rank, &m->arrow[i]);
    m->out->events += trace->count;
    m->out->clock_error_s = fmax(m->out->clock_error_s, trace->head.clock_error_s);
    return flush(m, err);
}

static enum tr_status merge_rank(struct merger *m, int rank, struct tr_err *err)
{
    struct tr_trace trace = {.event = NULL};
    enum tr_status status = tr_run_traces_read(&m->traces, rank, &trace, err);
    if (status != TR_OK)
        return status;
    note_steps(m, &trace);
    m->arrow = calloc((size_t)trace.count + 1, sizeof *m->arrow);
    m->arrows = 0;
    memset(m->sent, 0, sizeof m->sent);
    memset(m->received, 0, sizeof m->received);
    if (m->arrow) {
        tr_run_traces_see(&m->traces, rank, &trace, note_message, m);
        status = put_rank(m, rank, &trace, err);
    } else {
        status = tr_fail(err, TR_FAILED, "out of memory for %lld messages", (long long)trace.count);
    }
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
    int process = m->traces.head.ranks + rank, at = snprintf(name, sizeof name, "predicted: ");
    name_rank(&m->traces.head.layout, rank, name + at); /* which is short */
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
    struct oracle o = {.programs = &m->traces.programs, .of = calloc((size_t)m->traces.head.ranks, sizeof *o.of)};
    struct tr_rank_time *time = calloc((size_t)m->traces.head.ranks, sizeof *time);
    enum tr_status status = o.of && time ? tr_here_together(rates, exchange, &m->traces.programs, see, &o, time, err) : TR_FAILED;
    if (!o.of || !time || o.failed)
        status = tr_fail(err, TR_FAILED, "out of memory for a predicted step of %d ranks", m->traces.head.ranks);
    if (status == TR_OK)
        m->out->predicted_s = tr_ranks_step_s(time, m->traces.head.ranks);
    for (int rank = 0; status == TR_OK && rank < m->traces.head.ranks; rank++) {
        put_predicted(m, &o, rank);
        status = flush(m, err);
    }
    for (int rank = 0; o.of && rank < m->traces.head.ranks; rank++)
        free(o.of[rank].event);
    free(o.of);
    free(time);
    return status;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static enum tr_status merge_all(struct merger *m, const struct tr_catalog *profile, struct tr_err *err)
{
    struct tr_kernel_rates rates;
    enum tr_status status = TR_OK;
    m->json = tr_json_start(&m->text, TR_JSON_LINE);
    tr_json_object(&m->json, NULL);
    tr_json_string(&m->json, "displayTimeUnit", "ms");
    tr_json_array(&m->json, "traceEvents");
    for (int rank = 0; rank < m->traces.head.ranks && status == TR_OK; rank++)
        status = merge_rank(m, rank, err);
    if (status != TR_OK)
        return status;
    if (!profile)
        (void)tr_fail(&m->out->unpredicted, TR_NO, "there is no profile of this machine");
    else if (tr_kernel_rates_for(profile, m->traces.head.threads, &rates, &m->out->unpredicted) == TR_OK) {
        tr_kernel_set_apart(&rates, m->traces.head.hand_s);
        struct tr_exchange_rates exchange;
        int hosts = (int)tr_ceil_div(m->traces.head.ranks, m->traces.head.host_ranks); /* alike; what lies between them no profile says */
        status = hosts == 1 ? tr_exchange_find(profile, m->traces.head.transport, m->traces.head.ranks, &exchange, err) : TR_NO;
        m->out->cores = rates.cores;
        rates.cores *= hosts;
        m->out->exchanges = status == TR_OK;
        if (status == TR_OK)
            tr_exchange_set_apart(&exchange, m->traces.head.hand_s);
        if (status == TR_OK || status == TR_NO)
            status = predict(m, &rates, status == TR_OK && m->traces.head.ranks > 1 ? &exchange : NULL, err);
    }
    tr_json_end(&m->json);
    tr_json_object(&m->json, "otherData");
    tr_json_string(&m->json, "model", m->traces.programs.program[0].model.name);
    tr_json_int(&m->json, "ranks", m->traces.head.ranks);
    tr_run_layout_write(&m->traces.head.layout, &m->json);
    tr_json_double(&m->json, "clock_error_s", m->out->clock_error_s);
    if (m->out->predicted_s > 0)
        tr_json_string(&m->json, "predicted", m->out->exchanges ? "operations and collectives as the profile says; ranks wait for each other"
                                                               : "operations as the profile says; ranks wait for each other, and moving bytes takes no time");
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

static void head_of(const struct tr_run_traces *traces, struct tr_timeline *out)
{
    const struct tr_trace_head *h = &traces->head;
    *out = (struct tr_timeline){.ranks = h->ranks, .threads = h->threads, .busy = h->host_ranks * h->threads, .steps = traces->steps};
}

enum tr_status tr_run_timeline(const char *run_folder, const struct tr_catalog *profile, const char *path, struct tr_timeline *out,
                               struct tr_err *err)
{
    struct tr_timeline made;
    struct merger m = {.out = &made};
    enum tr_status status = tr_run_traces_open(&m.traces, run_folder, err);
    head_of(&m.traces, &made);
    if (status == TR_OK && (m.step = calloc((size_t)made.steps, sizeof *m.step)) == NULL)
        status = tr_fail(err, TR_FAILED, "out of memory for %lld steps", (long long)made.steps);
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
    tr_run_traces_close(&m.traces);
    tr_text_free(&m.text);
    free(m.step);
    return status;
}
