#include "plan/calibrate/learn_ranks.h"

#include "base/fmath.h"
#include "base/os.h"
#include "plan/here/traces.h"

#include <math.h>
#include <stdlib.h>

/* ---- the calls of a rank ------------------------------------------------------------------------------------------ */

/* A collective that a rank had part in, or a message that it sent or got. */
struct call {
    enum tr_coll_kind kind;
    double bytes, begin_s, end_s;
};

enum { LISTS = TR_GROUP_COUNT + 2 * TR_WAY_COUNT }; /* of a rank: by group; messages sent and got, by way */

struct calls {
    struct call *call; /* [room], owned */
    int64_t count, room;
};

static int list_of_messages(enum tr_mail_way way, bool got) { return TR_GROUP_COUNT + 2 * (int)way + got; }

struct reader {
    const struct tr_run_traces *traces;
    const struct tr_kernel_rates *rates;
    const struct tr_exchange_rates *exchange;
    double state_bytes;
    struct calls (*list)[LISTS]; /* [ranks], owned */
    int rank;
    bool failed;
    double log_sum[TR_COLL_KIND_COUNT][TR_EXCHANGE_SIZES]; /* of measured over said, each call as long as it was said to be */
    struct tr_ranks_seen *out;
};

static void note(struct reader *r, int list, struct call call)
{
    struct calls *to = &r->list[r->rank][list];
    if (to->count == to->room) {
        int64_t room = to->room ? 2 * to->room : 64;
        struct call *more = realloc(to->call, (size_t)room * sizeof *more);
        if (!more) {
            r->failed = true;
            return;
        }
        to->call = more;
        to->room = room;
    }
    to->call[to->count++] = call;
}

static void note_coll(struct reader *r, const struct tr_program_coll *coll, const struct tr_trace_event *e)
{
    bool sends = coll->call.kind == TR_COLL_SEND, gets = coll->call.kind == TR_COLL_RECV;
    struct call call = {coll->call.kind, gets ? (double)coll->call.count : (double)e->bytes, e->begin_s, e->end_s};
    if (sends || gets)
        note(r, list_of_messages(coll->way, gets), call);
    else
        note(r, (int)coll->group, call);
}

/* Operations of rank 0 are known from all steps. */
static void note_op(struct reader *r, const struct tr_op *op, uint32_t present, const struct tr_trace_event *e)
{
    if (r->rank == 0)
        return;
    r->out->took_s[op->kind] += e->end_s - e->begin_s;
    r->out->said_s[op->kind] += tr_exchange_shared(r->exchange, op->kind) * tr_kernel_time(r->rates, op, present, r->state_bytes);
}

static void see_done(void *context, const struct tr_program *program, const struct tr_program_op *op, const struct tr_schedule_entry *entry,
                     const struct tr_trace_event *e)
{
    struct reader *r = context;
    (void)entry;
    if (op->coll < 0)
        note_op(r, &op->op, tr_program_op_present(op), e);
    else if (program->coll[op->coll].when == TR_COLL_NOW ||
             (program->coll[op->coll].when == TR_COLL_START && program->coll[op->coll].call.kind == TR_COLL_SEND))
        note_coll(r, &program->coll[op->coll], e);
}

/* Where they were waited for stands when they went on. */
static void see_beside(struct reader *r, const struct tr_trace *trace)
{
    for (int64_t i = 0; i < trace->count; i++) {
        const struct tr_trace_event *e = &trace->event[i];
        if (e->what == TR_TRACE_BESIDE)
            note(r, (int)e->group, (struct call){(enum tr_coll_kind)e->kind, (double)e->bytes, e->begin_s, e->end_s});
    }
}

static int by_begin(const void *a, const void *b)
{
    const struct call *x = a, *y = b;
    return (x->begin_s > y->begin_s) - (x->begin_s < y->begin_s);
}

static enum tr_status read_rank(struct reader *r, int rank, struct tr_err *err)
{
    struct tr_trace trace = {.event = NULL};
    enum tr_status status = tr_run_traces_read(r->traces, rank, &trace, err);
    if (status != TR_OK)
        return status;
    r->rank = rank;
    tr_run_traces_see(r->traces, rank, &trace, see_done, r);
    see_beside(r, &trace);
    for (int group = 0; group < TR_GROUP_COUNT; group++) /* which does its calls one after the other */
        if (r->list[rank][group].count > 0)
            qsort(r->list[rank][group].call, (size_t)r->list[rank][group].count, sizeof(struct call), by_begin);
    tr_trace_free(&trace);
    return r->failed ? tr_fail(err, TR_FAILED, "out of memory for the collectives of %d ranks", r->traces->head.ranks) : TR_OK;
}

/* ---- what calls took ---------------------------------------------------------------------------------------------- */

static void see_call(struct reader *r, enum tr_coll_kind kind, double bytes, double took_s)
{
    double weight[TR_EXCHANGE_SIZES], said_s = tr_exchange_time(r->exchange, kind, bytes);
    enum tr_coll_kind priced = tr_exchange_priced(kind);
    if (!(bytes > 0) || !(said_s > 0))
        return;
    double ratio = fmin(fmax(took_s / said_s, 1 / TR_REFINE_RATIO_MAX), TR_REFINE_RATIO_MAX);
    (void)tr_exchange_weights(bytes, weight);
    for (int size = 0; size < TR_EXCHANGE_SIZES; size++) {
        r->out->moves_s[priced][size] += weight[size] * said_s;
        r->log_sum[priced][size] += weight[size] * said_s * tr_log(ratio);
    }
}

/* The calls of the group that begins with this rank: from when the last one has come. */
static void see_group(struct reader *r, enum tr_group group, int first)
{
    const struct tr_rank_place *place = &r->traces->programs.program[first].step.place;
    int members = tr_degrees_of(&place->degrees, group);
    const struct calls *mine = &r->list[first][group];
    for (int64_t i = 0; i < mine->count; i++) {
        struct call all = mine->call[i];
        bool same = true;
        for (int m = 1; m < members && same; m++) {
            const struct calls *other = &r->list[tr_rank_of_member(place, group, m)][group];
            same = other->count == mine->count && other->call[i].kind == all.kind;
            if (same) {
                all.begin_s = fmax(all.begin_s, other->call[i].begin_s);
                all.end_s = fmax(all.end_s, other->call[i].end_s);
                all.bytes = fmax(all.bytes, other->call[i].bytes);
            }
        }
        if (same)
            see_call(r, all.kind, all.bytes, all.end_s - all.begin_s);
    }
}

/* Messages that this rank sent one way: each from when it is sent and waited for. */
static void see_messages(struct reader *r, enum tr_mail_way way, int from, int to)
{
    const struct calls *sent = &r->list[from][list_of_messages(way, false)], *got = &r->list[to][list_of_messages(way, true)];
    for (int64_t i = 0; sent->count == got->count && i < sent->count; i++)
        see_call(r, TR_COLL_SEND, got->call[i].bytes, got->call[i].end_s - fmax(sent->call[i].begin_s, got->call[i].begin_s));
}

/* To whom a rank sends one way; -1: to nobody. */
static int receiver_of(const struct tr_program *p, enum tr_mail_way way)
{
    for (int32_t i = 0; i < p->coll_count; i++)
        if (p->coll[i].call.kind == TR_COLL_SEND && p->coll[i].way == way)
            return tr_rank_of_member(&p->step.place, p->coll[i].group, p->coll[i].peer);
    return -1;
}

static void see_calls(struct reader *r)
{
    for (int rank = 0; rank < r->traces->head.ranks; rank++) {
        const struct tr_program *p = &r->traces->programs.program[rank];
        for (int group = 0; group < TR_GROUP_COUNT; group++)
            if (tr_rank_group_first(&p->step.place, (enum tr_group)group) == rank)
                see_group(r, (enum tr_group)group, rank);
        for (int way = 0; way < TR_WAY_COUNT; way++)
            if (receiver_of(p, (enum tr_mail_way)way) >= 0)
                see_messages(r, (enum tr_mail_way)way, rank, receiver_of(p, (enum tr_mail_way)way));
    }
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
        for (int size = 0; size < TR_EXCHANGE_SIZES; size++) {
            double said_s = r->out->moves_s[kind][size];
            if (said_s > 0)
                r->out->moved_s[kind][size] = said_s * tr_exp(r->log_sum[kind][size] / said_s);
        }
}

static enum tr_status read_all(struct reader *r, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    int ranks = r->traces->head.ranks;
    if ((r->list = calloc((size_t)ranks, sizeof *r->list)) == NULL)
        return tr_fail(err, TR_FAILED, "out of memory for the collectives of %d ranks", ranks);
    r->state_bytes = tr_run_programs_state_bytes(&r->traces->programs);
    for (int rank = 0; rank < ranks && status == TR_OK; rank++)
        status = read_rank(r, rank, err);
    if (status == TR_OK)
        see_calls(r);
    for (int rank = 0; rank < ranks; rank++)
        for (int list = 0; list < LISTS; list++)
            free(r->list[rank][list].call);
    free(r->list);
    return status;
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

static enum tr_status see_traces(const char *run_folder, const struct tr_run_explained *run, const struct tr_kernel_rates *rates,
                                 const struct tr_exchange_rates *exchange, struct tr_ranks_seen *out, bool *traced, struct tr_err *err)
{
    char path[TR_PATH_BYTES];
    struct tr_run_traces traces;
    enum tr_status status = tr_trace_path(path, run_folder, 0, err);
    if (status != TR_OK || !tr_file_exists(path))
        return status;
    status = tr_run_traces_open(&traces, run_folder, err);
    if (traces.head.ranks > 0 && traces.head.attempt != run->ran.attempt) { /* which may have had another config */
        status = TR_OK;
    } else if (status == TR_OK) {
        struct reader reader = {.traces = &traces, .rates = rates, .exchange = exchange, .out = out};
        status = read_all(&reader, err);
        *traced = status == TR_OK;
    }
    tr_run_traces_close(&traces);
    return status;
}

/* Of rank 0, without the first step. */
static void see_rows(const struct tr_run_explained *run, struct tr_ranks_seen *out)
{
    double steps = (double)run->ran.steps - 1;
    for (int i = 0; i < run->rows; i++) {
        out->took_s[run->row[i].kind] += steps * run->row[i].warm_s;
        out->said_s[run->row[i].kind] += steps * run->row[i].predicted_s;
    }
}

/* All kinds alike. */
static void see_turns(const struct tr_run_explained *run, struct tr_ranks_seen *out)
{
    see_rows(run, out);
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
        out->took_s[kind] = out->said_s[kind] * out->step_took_s / out->step_said_s;
}

/* The slowest rank's step, warm. */
static double step_s(const struct tr_run_explained *run)
{
    double slowest_s = 0;
    for (int i = 0; i < run->ran.each_count; i++)
        slowest_s = fmax(slowest_s, run->rank[i].step_s);
    return run->warm_s * fmax(1, slowest_s / run->measured_s);
}

enum tr_status tr_ranks_said(const char *run_folder, const struct tr_run_profile *ran, const struct tr_kernel_rates *rates,
                             const struct tr_exchange_rates *exchange, double *step_s, struct tr_err *err)
{
    struct tr_run_programs programs = {.program = NULL};
    struct tr_machine machine = {tr_kernel_set(ran->isa), ran->threads};
    struct tr_rank_time time[TR_HERE_RANKS_MAX];
    enum tr_status status = tr_run_programs_of(run_folder, &ran->layout, machine, &programs, err);
    if (status == TR_OK)
        status = tr_here_together(rates, exchange, &programs, NULL, NULL, time, err);
    *step_s = status == TR_OK ? tr_ranks_step_s(time, programs.ranks) : 0;
    tr_run_programs_free(&programs);
    return status;
}

enum tr_status tr_ranks_see(const char *run_folder, const struct tr_run_explained *run, const struct tr_kernel_rates *rates,
                            const struct tr_exchange_rates *exchange, struct tr_ranks_seen *out, bool *traced, struct tr_err *err)
{
    struct tr_ranks_seen seen = {.step_took_s = step_s(run)};
    *traced = false;
    enum tr_status status = tr_ranks_said(run_folder, &run->ran, rates, exchange, &seen.step_said_s, err);
    if (status == TR_OK && tr_ranks_take_turns(rates, run->ran.ranks)) {
        see_turns(run, &seen);
    } else if (status == TR_OK) {
        see_rows(run, &seen);
        status = see_traces(run_folder, run, rates, exchange, &seen, traced, err);
    }
    if (status == TR_OK)
        *out = seen;
    return status;
}
