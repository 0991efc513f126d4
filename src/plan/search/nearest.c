/* The nearest numbers of chips, and batches, for which a space has anything legal. */
#include "plan/search/space_walk.h"

#include "base/num.h"

enum { CONTEXTS_MAX = 512, TRIES = 1024 };

struct question {
    const struct tr_site *site;
    const struct tr_task *task;
    const struct tr_space *space;
    int64_t cp[CONTEXTS_MAX]; /* those that divide the sequence */
    int contexts;
};

static int lowest(uint32_t mask)
{
    int bit = 0;
    while (mask && !(mask >> bit & 1))
        bit++;
    return bit;
}

/* The layout of these parts with the least of all else that the space allows. */
static struct tr_layout simplest(const struct tr_space *s, int64_t tp, int64_t cp, int64_t pp, int64_t dp)
{
    struct tr_layout l = tr_layout_single();
    l.tp = (int32_t)tp, l.cp = (int32_t)cp, l.pp = (int32_t)pp, l.dp = (int32_t)dp;
    l.ep = (int32_t)tr_max_i64(1, s->ep.min), l.etp = (int32_t)tr_max_i64(1, s->etp.min);
    l.vpp = (int32_t)tr_max_i64(1, s->vpp.min);
    l.micro_batch = tr_max_i64(1, s->micro_batch.min);
    l.sp = s->sp == TR_SP_ON && tp > 1;
    l.context = (enum tr_context)lowest(s->contexts);
    l.pipeline = l.vpp > 1 ? TR_PIPELINE_INTERLEAVED : TR_PIPELINE_1F1B;
    l.first_layers = s->first_layers, l.last_layers = s->last_layers;
    l.shard = s->shard, l.zero = s->shard > 0;
    return l;
}

static bool is_legal(const struct question *q, int64_t tp, int64_t cp, int64_t pp, int64_t chips, int64_t global_batch)
{
    const struct tr_space *s = q->space;
    int64_t dp = chips / (tp * cp * pp);
    struct tr_batch batch = {.seq_len = q->task->batch.seq_len, .global_batch = global_batch};
    struct tr_err why;
    if (chips % (tp * cp * pp) || !tr_span_has(s->dp, dp) || global_batch % (dp * tr_max_i64(1, s->micro_batch.min)))
        return false;
    struct tr_layout l = simplest(s, tp, cp, pp, dp);
    return tr_layout_check(&l, q->task->model, &batch, &why) == TR_OK;
}

static bool some_is_legal(const struct question *q, int64_t chips, int64_t global_batch)
{
    const struct tr_space *s = q->space;
    int64_t most_tp = tr_space_most_tp(q->site, q->task, s);
    for (int64_t tp = 1; tp <= most_tp; tp++)
        for (int i = 0; i < q->contexts && chips % tp == 0 && tr_span_has(s->tp, tp); i++)
            for (int64_t pp = 1; pp <= q->task->model->layers && chips % (tp * q->cp[i]) == 0; pp++)
                if (tr_span_has(s->pp, pp) && is_legal(q, tp, q->cp[i], pp, chips, global_batch))
                    return true;
    return false;
}

/* The first of value + step, value + 2 step ... up to `last` that has something legal; 0: none of as many as are tried. */
static int64_t first_legal(const struct question *q, bool of_chips, int64_t value, int64_t step, int64_t last)
{
    const int64_t chips = q->space->chips[q->space->chips_count - 1], batch = q->task->batch.global_batch;
    int64_t at = value + step;
    for (int i = 0; i < TRIES && (step > 0 ? at <= last : at >= last); i++, at += step)
        if (some_is_legal(q, of_chips ? at : chips, of_chips ? batch : at))
            return at;
    return 0;
}

void tr_space_nearest(const struct tr_site *site, const struct tr_task *task, const struct tr_space *space,
                      char chips[TR_LAYOUT_NEAR_BYTES], char batches[TR_LAYOUT_NEAR_BYTES])
{
    struct question q = {.site = site, .task = task, .space = space};
    const int64_t now = space->chips[space->chips_count - 1], batch = task->batch.global_batch;
    int64_t most = tr_system_max_chips(site->system), node = site->system->chips_per_node;
    if (most == 0 || most > TR_CHIPS_MAX)
        most = TR_CHIPS_MAX;
    for (int64_t cp = 1; cp <= tr_min_i64(task->batch.seq_len, TR_CHIPS_MAX) && q.contexts < CONTEXTS_MAX; cp++)
        if (task->batch.seq_len % cp == 0 && tr_span_has(space->cp, cp))
            q.cp[q.contexts++] = cp;
    /* Whole nodes, but of less than one. */
    int64_t step = now > node ? node : 1, down = tr_round_up(now, step);
    tr_layout_either(first_legal(&q, true, down, -step, 1), first_legal(&q, true, now / step * step, step, most), chips);
    tr_layout_either(first_legal(&q, false, batch, -1, 1), first_legal(&q, false, batch, 1, 2 * batch), batches);
}
