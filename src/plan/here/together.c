#include "plan/here/together.h"

#include "base/num.h"
#include "lab/train/origin.h"
#include "lab/train/run_config.h"

#include <math.h>
#include <stdlib.h>

/* ---- the programs ------------------------------------------------------------------------------------------------ */

static enum tr_status find_step(const char *run_folder, struct tr_model_config *model, struct tr_step_config *step, struct tr_err *err)
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
    *model = origin.model;
    *step = tr_run_step_config(&config);
    return TR_OK;
}

enum tr_status tr_run_programs_make(const struct tr_model_config *model, const struct tr_step_config *step, struct tr_machine machine,
                                    struct tr_run_programs *out, struct tr_err *err)
{
    struct tr_step_config of_rank = *step;
    int64_t ranks = tr_degrees_ranks(&step->place.degrees);
    struct tr_run_programs made = {.threads = machine.threads};
    enum tr_status status = TR_OK;
    if (ranks > TR_HERE_RANKS_MAX)
        return tr_fail(err, TR_BAD_INPUT, "a run of %lld ranks; up to %d can be predicted", (long long)ranks, TR_HERE_RANKS_MAX);
    if ((made.program = calloc((size_t)ranks, sizeof *made.program)) == NULL)
        status = tr_fail(err, TR_FAILED, "out of memory for the programs of %lld ranks", (long long)ranks);
    for (; status == TR_OK && made.ranks < ranks; made.ranks += status == TR_OK) {
        of_rank.place.rank = made.ranks;
        status = tr_program_train(&made.program[made.ranks], model, &of_rank, machine, err);
    }
    if (status == TR_OK)
        *out = made;
    else
        tr_run_programs_free(&made);
    return status;
}

enum tr_status tr_run_programs_of(const char *run_folder, const struct tr_degrees *layout, struct tr_machine machine,
                                  struct tr_run_programs *out, struct tr_err *err)
{
    struct tr_model_config model;
    struct tr_step_config step;
    enum tr_status status = find_step(run_folder, &model, &step, err);
    if (status != TR_OK)
        return status;
    step.place.degrees = *layout;
    status = tr_run_programs_make(&model, &step, machine, out, err);
    if (status != TR_OK)
        tr_err_prefix(err, "%s", run_folder);
    return status;
}

double tr_run_programs_state_bytes(const struct tr_run_programs *programs)
{
    double bytes = 0;
    for (int rank = 0; rank < programs->ranks; rank++)
        bytes += tr_here_state_bytes(&programs->program[rank]);
    return bytes;
}

void tr_run_programs_free(struct tr_run_programs *programs)
{
    for (int i = 0; i < programs->ranks; i++)
        tr_program_free(&programs->program[i]);
    free(programs->program);
    *programs = (struct tr_run_programs){.program = NULL};
}

bool tr_ranks_take_turns(const struct tr_kernel_rates *rates, int ranks) { return (int64_t)ranks * rates->threads > rates->cores; }

double tr_ranks_step_s(const struct tr_rank_time *time, int ranks)
{
    double last_s = 0;
    for (int rank = 0; rank < ranks; rank++)
        last_s = fmax(last_s, time[rank].step_s);
    return last_s;
}

/* ---- where ranks meet -------------------------------------------------------------------------------------------- */

/* A call of a group: the calls of a group have one order, which is that of all members. */
struct meeting {
    int32_t come;  /* members that are there */
    double last_s; /* when the last of them came */
    double bytes;  /* that the one who sends most sends */
    double begin_s, end_s;
};

struct group {
    struct meeting *call; /* [room], owned */
    int64_t room;
};

/* Messages of one rank in one way: they go to one other rank, in order. */
struct letters {
    double *sent_s, *taken_s; /* [room], owned */
    int64_t sent, taken, room;
};

struct walker {
    const struct tr_program *p;
    const struct tr_schedule_entry *schedule; /* [schedule_count]: a step's, or passes of an evaluation */
    int32_t schedule_count;
    double now_s, state_bytes;
    int32_t entry, op;                 /* op: of the entry's section */
    int64_t calls[TR_GROUP_COUNT];     /* that this rank has come to */
    int64_t *started;                  /* [coll_count], owned: number of the call; of the last start of each */
    int64_t mail[TR_WAY_COUNT][TR_PIPE_MAILS_MAX]; /* number of the letter that was sent from there, counted from 1; 0: none */
    bool has_come;                     /* to the call that it waits in */
};

struct together {
    const struct tr_kernel_rates *rates;
    const struct tr_exchange_rates *exchange;
    int ranks;
    double core_s; /* what all ranks have done, in seconds of one core */
    struct walker *walker;  /* [ranks] */
    struct group *group;    /* [TR_GROUP_COUNT * ranks], by its first member */
    struct letters *letters; /* [TR_WAY_COUNT * ranks], by who sends */
    tr_here_see_fn *see;
    void *context;
    struct tr_rank_time *out;
    bool failed;
};

static struct group *group_of(const struct together *t, int rank, enum tr_group group)
{
    return &t->group[(int)group * t->ranks + tr_rank_group_first(&t->walker[rank].p->step.place, group)];
}

static struct meeting *meeting_at(struct together *t, struct group *group, int64_t number)
{
    if (number >= group->room) {
        int64_t room = tr_max_i64(64, 2 * number);
        struct meeting *more = realloc(group->call, (size_t)room * sizeof *more);
        if (!more) {
            t->failed = true;
            return NULL;
        }
        for (int64_t i = group->room; i < room; i++)
            more[i] = (struct meeting){.come = 0};
        group->call = more;
        group->room = room;
    }
    return &group->call[number];
}

/* Seconds of a call of so many members. */
static double moving_s(struct together *t, enum tr_coll_kind kind, double bytes, int members)
{
    if (!t->exchange)
        return 0;
    t->core_s += tr_exchange_work(t->exchange, kind, bytes) * (double)tr_min_i64(members, t->rates->cores);
    return tr_exchange_time(t->exchange, kind, bytes);
}

/* This rank comes to the next call of the group; the last one to come says when it is done. */
static void come(struct together *t, int rank, const struct tr_program_coll *coll, const struct tr_schedule_entry *entry)
{
    struct walker *w = &t->walker[rank];
    struct group *group = group_of(t, rank, coll->group);
    int64_t number = w->calls[coll->group]++;
    struct meeting *m = meeting_at(t, group, number);
    if (!m)
        return;
    m->come++;
    m->last_s = fmax(m->last_s, w->now_s);
    m->bytes = fmax(m->bytes, (double)tr_program_coll_bytes(coll, entry));
    if (m->come < coll->members)
        return;
    m->begin_s = fmax(m->last_s, number > 0 ? group->call[number - 1].end_s : 0);
    m->end_s = m->begin_s + moving_s(t, coll->call.kind, m->bytes, coll->members);
}

/* NULL: not all have come yet. */
static const struct meeting *met(const struct together *t, int rank, const struct tr_program_coll *coll, int64_t number)
{
    const struct group *group = group_of(t, rank, coll->group);
    return number < group->room && group->call[number].come == coll->members ? &group->call[number] : NULL;
}

static bool post(struct together *t, int rank, const struct tr_program_coll *coll, int32_t place)
{
    struct walker *w = &t->walker[rank];
    struct letters *l = &t->letters[(int)coll->way * t->ranks + rank];
    if (l->sent == l->room) {
        int64_t room = tr_max_i64(64, 2 * l->room);
        double *sent_s = realloc(l->sent_s, (size_t)room * sizeof *sent_s);
        l->sent_s = sent_s ? sent_s : l->sent_s;
        double *taken_s = sent_s ? realloc(l->taken_s, (size_t)room * sizeof *taken_s) : NULL;
        if (!taken_s) {
            t->failed = true;
            return false;
        }
        l->taken_s = taken_s;
        l->room = room;
    }
    l->sent_s[l->sent++] = w->now_s;
    w->mail[coll->way][place] = l->sent;
    return true;
}

/* ---- one rank ---------------------------------------------------------------------------------------------------- */

static bool wait_for_place(struct together *t, int rank, enum tr_mail_way way, int32_t place, double *until_s)
{
    struct walker *w = &t->walker[rank];
    const struct letters *l = &t->letters[(int)way * t->ranks + rank];
    int64_t number = w->mail[way][place];
    if (number > l->taken)
        return false;
    if (number > 0)
        *until_s = fmax(*until_s, l->taken_s[number - 1]);
    w->mail[way][place] = 0;
    return true;
}

static bool receive(struct together *t, int rank, const struct tr_program_coll *coll, double *until_s)
{
    int from = tr_rank_of_member(&t->walker[rank].p->step.place, coll->group, coll->peer);
    struct letters *l = &t->letters[(int)coll->way * t->ranks + from];
    if (l->taken == l->sent)
        return false;
    *until_s = fmax(*until_s, l->sent_s[l->taken]) + moving_s(t, TR_COLL_SEND, (double)coll->call.count, 1);
    l->taken_s[l->taken++] = *until_s;
    return true;
}

/* Until when the rank is held up; false: that is not known yet. */
static bool meet(struct together *t, int rank, const struct tr_program_op *op, const struct tr_schedule_entry *entry,
                 struct tr_here_seen *seen)
{
    struct walker *w = &t->walker[rank];
    const struct tr_program_coll *coll = &w->p->coll[op->coll];
    if (coll->call.kind == TR_COLL_SEND && coll->when == TR_COLL_WAIT)
        return wait_for_place(t, rank, coll->way, entry->mail, &seen->end_s);
    if (coll->call.kind == TR_COLL_SEND)
        return post(t, rank, coll, entry->mail);
    if (coll->call.kind == TR_COLL_RECV)
        return receive(t, rank, coll, &seen->end_s);
    if (coll->when == TR_COLL_START) {
        w->started[op->coll] = w->calls[coll->group];
        seen->end_s += t->exchange ? t->exchange->beside_s : 0; /* what it takes from the work that goes on */
        w->now_s = seen->end_s;
        come(t, rank, coll, entry);
        return !t->failed;
    }
    if (coll->when == TR_COLL_NOW && !w->has_come)
        come(t, rank, coll, entry);
    w->has_come = true;
    const struct meeting *m = met(t, rank, coll, coll->when == TR_COLL_NOW ? w->calls[coll->group] - 1 : w->started[coll->started]);
    if (!m)
        return false;
    seen->end_s = fmax(seen->end_s, m->end_s);
    seen->beside_begin_s = m->begin_s;
    seen->beside_end_s = m->end_s;
    w->has_come = false;
    return true;
}

/* What was sent must have been taken before the update begins (exec.c does so). */
static bool settle(struct together *t, int rank, double *until_s)
{
    for (int way = 0; way < TR_WAY_COUNT; way++)
        for (int32_t place = 0; place < TR_PIPE_MAILS_MAX; place++)
            if (!wait_for_place(t, rank, (enum tr_mail_way)way, place, until_s))
                return false;
    return true;
}

/* false: the rank has to wait for others. */
static bool do_op(struct together *t, int rank, const struct tr_program_op *op, const struct tr_schedule_entry *entry)
{
    struct walker *w = &t->walker[rank];
    struct tr_rank_time *out = &t->out[rank];
    struct tr_here_seen seen = {.rank = rank, .op = op, .entry = entry, .begin_s = w->now_s, .end_s = w->now_s};
    if (op->coll >= 0) {
        if (!meet(t, rank, op, entry, &seen))
            return false;
        out->wait_s[op->phase][w->p->coll[op->coll].call.kind] += seen.end_s - seen.begin_s;
        w->now_s = seen.end_s;
    } else {
        double shared = t->exchange ? tr_exchange_shared(t->exchange, op->op.kind) : 1;
        double time_s = shared * tr_kernel_time(t->rates, &op->op, tr_program_op_present(op), w->state_bytes);
        out->op_s[op->phase][op->op.kind] += time_s;
        out->between_s += t->rates->between_s;
        t->core_s += (time_s + t->rates->between_s) * t->rates->threads;
        seen.end_s = w->now_s + time_s;
        w->now_s = seen.end_s + t->rates->between_s;
    }
    if (t->see)
        t->see(t->context, &seen);
    return true;
}

/* As far as it comes; whether it came on at all. */
static bool walk(struct together *t, int rank)
{
    struct walker *w = &t->walker[rank];
    bool moved = false;
    for (; w->entry < w->schedule_count; w->entry++, w->op = 0) {
        const struct tr_schedule_entry *entry = &w->schedule[w->entry];
        const struct tr_program_section *section = &w->p->section[entry->section];
        if (w->entry == w->schedule_count - 1 && w->op == 0 && !settle(t, rank, &w->now_s))
            return moved;
        for (; w->op < section->op_count; w->op++) {
            const struct tr_program_op *op = &w->p->op[section->first_op + w->op];
            if (tr_program_op_runs(w->p, op, entry) && (t->failed || !do_op(t, rank, op, entry)))
                return moved;
            moved = true;
        }
    }
    t->out[rank].step_s = w->now_s;
    return moved;
}

static bool done(const struct together *t)
{
    for (int rank = 0; rank < t->ranks; rank++)
        if (t->walker[rank].entry < t->walker[rank].schedule_count)
            return false;
    return true;
}

/* Programs of one layout fit together: somebody always can go on. */
static void walk_all(struct together *t)
{
    while (!t->failed && !done(t)) {
        bool moved = false;
        for (int rank = 0; rank < t->ranks; rank++)
            moved |= walk(t, rank);
        TR_ASSERT(moved || t->failed);
    }
}

/* Where all that is done needs the cores for longer than the step takes, it takes so much longer. */
static void share_cores(const struct together *t)
{
    double longest_s = tr_ranks_step_s(t->out, t->ranks), least_s = t->core_s / t->rates->cores;
    for (int rank = 0; rank < t->ranks && least_s > longest_s; rank++) {
        struct tr_rank_time *out = &t->out[rank];
        double times = least_s / longest_s;
        out->turns = times;
        out->step_s *= times;
        out->between_s *= times;
        for (int phase = 0; phase < TR_PHASE_COUNT; phase++) {
            for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
                out->op_s[phase][kind] *= times;
            for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
                out->wait_s[phase][kind] *= times;
        }
    }
}

static bool open_walkers(struct together *t, const struct tr_run_programs *programs)
{
    t->walker = calloc((size_t)t->ranks, sizeof *t->walker);
    t->group = calloc((size_t)t->ranks * TR_GROUP_COUNT, sizeof *t->group);
    t->letters = calloc((size_t)t->ranks * TR_WAY_COUNT, sizeof *t->letters);
    if (!t->walker || !t->group || !t->letters)
        return false;
    double state_bytes = tr_run_programs_state_bytes(programs);
    for (int rank = 0; rank < t->ranks; rank++) {
        const struct tr_program *p = &programs->program[rank];
        t->out[rank] = (struct tr_rank_time){.turns = 1};
        t->walker[rank] = (struct walker){.p = p, .schedule = p->schedule, .schedule_count = p->schedule_count, .state_bytes = state_bytes,
                                          .started = calloc((size_t)p->coll_count + 1, sizeof(int64_t))};
        if (!t->walker[rank].started)
            return false;
    }
    return true;
}

static void close_walkers(struct together *t)
{
    for (int rank = 0; rank < t->ranks && t->walker; rank++)
        free(t->walker[rank].started);
    for (int i = 0; i < t->ranks * TR_GROUP_COUNT && t->group; i++)
        free(t->group[i].call);
    for (int i = 0; i < t->ranks * TR_WAY_COUNT && t->letters; i++) {
        free(t->letters[i].sent_s);
        free(t->letters[i].taken_s);
    }
    free(t->walker);
    free(t->group);
    free(t->letters);
}

static enum tr_status finish(struct together *t, struct tr_err *err)
{
    if (!t->failed)
        share_cores(t);
    close_walkers(t);
    return t->failed ? tr_fail(err, TR_FAILED, "out of memory for a step of %d ranks", t->ranks) : TR_OK;
}

enum tr_status tr_here_together(const struct tr_kernel_rates *rates, const struct tr_exchange_rates *exchange,
                                const struct tr_run_programs *programs, tr_here_see_fn *see, void *context, struct tr_rank_time *out,
                                struct tr_err *err)
{
    struct together t = {.rates = rates, .exchange = exchange, .ranks = programs->ranks, .see = see, .context = context, .out = out};
    if (open_walkers(&t, programs))
        walk_all(&t);
    else
        t.failed = true;
    return finish(&t, err);
}

/* Of many passes a few are walked: the first one fills a pipeline, and each that follows takes what the last one took. */
enum { PASSES_WALKED = 4 };

static enum tr_status walk_passes(const struct together *like, const struct tr_run_programs *programs, int32_t passes, double *time_s,
                                  struct tr_err *err)
{
    struct together t = *like;
    struct tr_rank_time time[TR_HERE_RANKS_MAX];
    struct tr_schedule_entry pass[PASSES_WALKED];
    t.out = time;
    for (int i = 0; i < PASSES_WALKED; i++)
        pass[i] = (struct tr_schedule_entry){.section = TR_SECTION_EVAL};
    t.failed = !open_walkers(&t, programs);
    for (int rank = 0; !t.failed && rank < t.ranks; rank++) {
        t.walker[rank].schedule = pass;
        t.walker[rank].schedule_count = passes;
    }
    if (!t.failed)
        walk_all(&t);
    enum tr_status status = finish(&t, err);
    *time_s = status == TR_OK ? tr_ranks_step_s(time, t.ranks) : 0;
    return status;
}

enum tr_status tr_here_passes(const struct tr_kernel_rates *rates, const struct tr_exchange_rates *exchange,
                              const struct tr_run_programs *programs, int64_t passes, double *time_s, struct tr_err *err)
{
    struct together t = {.rates = rates, .exchange = exchange, .ranks = programs->ranks};
    int32_t walked = (int32_t)tr_min_i64(passes, PASSES_WALKED);
    double before_s = 0;
    *time_s = 0;
    enum tr_status status = walked > 0 ? walk_passes(&t, programs, walked, time_s, err) : TR_OK;
    if (status != TR_OK || passes == walked)
        return status;
    status = walk_passes(&t, programs, walked - 1, &before_s, err);
    *time_s += (double)(passes - walked) * (*time_s - before_s);
    return status;
}
