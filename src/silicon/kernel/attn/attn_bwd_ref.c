/* The meaning of ATTN_BWD, from the pieces of attn.h. */
#include "silicon/kernel/attn/attn.h"
#include "silicon/kernel/ref.h"

/* One group: the query heads of one key head of one sequence. Pointers at its first head and first token. */
struct group {
    const struct tr_call *call;
    int64_t heads;
    int64_t q_stride, kv_stride; /* elements between tokens */
    const char *q, *k, *v, *o, *dout;
    char *dq, *dk, *dv;
    const float *stats;
    float *p, *ds;    /* [heads][query][key] */
    int64_t kv_head;
    int64_t token;    /* the first one */
};

static int64_t start_of(const struct group *group, int64_t position)
{
    return tr_call_start(group->call, TR_ATTN_BWD_START, group->token + position);
}

static int64_t elements(const struct group *group, int64_t count)
{
    return count * tr_dtype_bytes(group->call->op->act);
}

static struct group group_of(const struct tr_call *call, int64_t seq, int64_t kv_head)
{
    const struct tr_op *op = call->op;
    struct group group = {.call = call, .heads = op->heads / op->kv_heads, .kv_head = kv_head};
    group.q_stride = (int64_t)op->heads * op->head_dim;
    group.kv_stride = (int64_t)op->kv_heads * op->head_dim;
    int64_t head = kv_head * group.heads;
    int64_t q = elements(&group, seq * op->seq_len * group.q_stride + head * op->head_dim);
    int64_t kv = elements(&group, seq * op->positions * group.kv_stride + kv_head * op->head_dim);
    group.q = (const char *)call->operand[TR_ATTN_BWD_Q] + q;
    group.o = (const char *)call->operand[TR_ATTN_BWD_O] + q;
    group.dout = (const char *)call->operand[TR_ATTN_BWD_DO] + q;
    group.dq = (char *)call->operand[TR_ATTN_BWD_DQ] + q;
    group.k = (const char *)call->operand[TR_ATTN_BWD_K] + kv;
    group.v = (const char *)call->operand[TR_ATTN_BWD_V] + kv;
    group.dk = (char *)call->operand[TR_ATTN_BWD_DK] + kv;
    group.dv = (char *)call->operand[TR_ATTN_BWD_DV] + kv;
    group.stats = (const float *)call->operand[TR_ATTN_BWD_STATS] + (seq * op->seq_len * op->heads + head) * 2;
    group.p = call->workspace;
    group.ds = group.p + group.heads * op->seq_len * op->seq_len;
    group.token = seq * op->seq_len;
    return group;
}

/* ---- dq, one query and head ------------------------------------------------------------------------------------- */

struct query {
    const struct group *group;
    int64_t head, position, channel;
    struct tr_tally tally;
};

static float *row_of(const struct query *query, float *matrix)
{
    int64_t n = query->group->call->op->seq_len;
    return matrix + (query->head * n + query->position) * n;
}

static void make_scores(struct query *query)
{
    const struct group *group = query->group;
    const struct tr_op *op = group->call->op;
    int64_t row = elements(group, query->position * group->q_stride + query->head * op->head_dim);
    const float *stats = group->stats + (query->position * op->heads + query->head) * 2;
    float delta = tr_attn_ref_delta(op, group->o + row, group->dout + row);
    struct tr_range keys = {start_of(group, query->position), op->positions};
    int64_t kv = elements(group, keys.first * group->kv_stride);
    int64_t seen = tr_attn_ref_scores(op, group->q + row, group->k + kv, group->v + kv, group->dout + row, stats, delta,
                                      keys, query->position, row_of(query, group->p) + keys.first,
                                      row_of(query, group->ds) + keys.first);
    query->tally.flop += 4 * op->head_dim * seen;
    query->tally.read_bytes += elements(group, 3 * op->head_dim) + 2 * (int64_t)sizeof *stats; /* q, o, do */
    if (query->head == 0) /* the key and value at its own position, which no query before could see */
        query->tally.read_bytes += elements(group, 2 * op->head_dim);
    if (query->head == 0 && group->kv_head == 0 && op->flags & TR_OP_APART)
        query->tally.read_bytes += (int64_t)sizeof(int32_t);
}

static bool dq_part(void *context, int64_t p, float *sum)
{
    struct query *query = context;
    const struct group *group = query->group;
    const struct tr_op *op = group->call->op;
    struct tr_range keys = tr_attn_ref_seen(tr_op_keys(op, p), start_of(group, query->position));
    keys.last = query->position + 1 < keys.last ? query->position + 1 : keys.last;
    if (keys.last <= keys.first)
        return false;
    *sum = tr_attn_ref_dq(op, row_of(query, group->ds) + keys.first,
                          group->k + elements(group, keys.first * group->kv_stride), keys, query->channel);
    query->tally.flop += 2 * (keys.last - keys.first);
    return true;
}

static void make_dq(const struct group *group, int64_t head, int64_t position)
{
    const struct tr_op *op = group->call->op;
    struct query query = {.group = group, .head = head, .position = position};
    make_scores(&query);
    for (int64_t d = 0; d < op->head_dim; d++) {
        float dq = 0.0f;
        query.channel = d;
        TR_ASSERT(tr_tree_of_present(dq_part, &query, 0, op->context.parts, &dq));
        tr_store(group->dq, op->act, position * group->q_stride + head * op->head_dim + d, dq);
        query.tally.write_bytes += elements(group, 1);
    }
    tr_tally_add(group->call, &query.tally);
}

/* ---- dk and dv, one key ----------------------------------------------------------------------------------------- */

struct key {
    const struct group *group;
    const float *factor; /* p for dv, ds for dk */
    const char *rows;    /* do for dv, q for dk */
    int64_t position, head, channel;
    int64_t end; /* of the key's document */
    struct tr_tally tally;
};

static bool key_part(void *context, int64_t p, float *sum)
{
    struct key *key = context;
    const struct group *group = key->group;
    const struct tr_op *op = group->call->op;
    struct tr_range queries = tr_op_keys(op, p);
    queries.last = key->end < queries.last ? key->end : queries.last;
    if (queries.last <= key->position || queries.first >= queries.last)
        return false;
    int64_t n = op->seq_len;
    const float *factor = key->factor + (key->head * n + queries.first) * n + key->position;
    const char *rows = key->rows + elements(group, queries.first * group->q_stride + key->head * op->head_dim);
    *sum = tr_attn_ref_dkv(op, factor, n, rows, queries, key->position, key->channel);
    key->tally.flop += 2 * (queries.last - (key->position > queries.first ? key->position : queries.first));
    return true;
}

static float key_head(void *context, int64_t head)
{
    struct key *key = context;
    float sum = 0.0f;
    key->head = head;
    TR_ASSERT(tr_tree_of_present(key_part, key, 0, key->group->call->op->context.parts, &sum));
    return sum;
}

static void make_dkv(const struct group *group, int64_t position)
{
    const struct tr_op *op = group->call->op;
    int64_t end = position + 1;
    while (end < op->seq_len && start_of(group, end) <= position)
        end++;
    struct key dk = {.group = group, .factor = group->ds, .rows = group->q, .position = position, .end = end};
    struct key dv = {.group = group, .factor = group->p, .rows = group->dout, .position = position, .end = end};
    for (int64_t d = 0; d < op->head_dim; d++) {
        dk.channel = dv.channel = d;
        int64_t index = position * group->kv_stride + d;
        tr_store(group->dk, op->act, index, tr_tree_of(key_head, &dk, 0, group->heads));
        tr_store(group->dv, op->act, index, tr_tree_of(key_head, &dv, 0, group->heads));
        dk.tally.write_bytes += elements(group, 2);
    }
    tr_tally_add(group->call, &dk.tally);
    tr_tally_add(group->call, &dv.tally);
}

int64_t tr_attn_bwd_ref_workspace(const struct tr_op *op, int threads)
{
    (void)threads;
    return 2 * (op->heads / op->kv_heads) * op->seq_len * op->seq_len * (int64_t)sizeof(float);
}

void tr_attn_bwd_ref(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    TR_ASSERT(op->kv_heads > 0 && op->heads % op->kv_heads == 0);
    TR_ASSERT(op->positions == op->seq_len && !(op->flags & TR_OP_BY_HEAD) && call->values->position == 0);
    for (int64_t s = 0; s < op->seqs; s++) {
        for (int64_t g = 0; g < op->kv_heads; g++) {
            const struct group group = group_of(call, s, g);
#pragma omp parallel for num_threads(call->threads)
            for (int64_t i = 0; i < op->seq_len; i++)
                for (int64_t h = 0; h < group.heads; h++)
                    make_dq(&group, h, i);
#pragma omp parallel for num_threads(call->threads)
            for (int64_t j = 0; j < op->seq_len; j++)
                make_dkv(&group, j);
        }
    }
}
