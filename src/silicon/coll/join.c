/* Sums along the tree, and what else joins arrays element by element. A rank that is to have a part of the sum looks
 * at that part of all nodes side by side, wherever they lie, and adds them up block by block, so that what is
 * between stays in the first cache. The order of the additions is the tree's, so it is the same whoever owns which
 * nodes. */
#include "silicon/coll/inside.h"

#include "base/num.h"
#include "base/os.h"

#include <math.h>
#include <string.h>

enum { LEVELS = TR_TREE_DEPTH_MAX + 1 };

typedef void join_fn(float *to, const float *a, const float *b, int64_t n);

struct node {
    struct tr_range leaves;
    int member;
    const float *at; /* the next element that is to be summed */
};

struct tr_join {
    float level[LEVELS][TR_JOIN_BLOCK];
    join_fn *join;
    int64_t leaf_count, n, done; /* n: elements of this member's part */
    float *to;
    int node_count, view_count;
    struct tr_request **view; /* [members]; one for each other member that has nodes */
    int *view_node;           /* [members]: the first node of it */
    int *order;               /* [members]: by their first leaf */
    struct tr_range *leaf;    /* [members]: one each, for tr_max_all */
    int64_t *at;              /* [members + 1] */
    struct node node[];
};

static int64_t nodes_max(int members) { return tr_min_i64(TR_PARTS_MAX, (int64_t)members * TR_TREE_ROOTS_MAX); }

int64_t tr_join_bytes(int members)
{
    int64_t each = (int64_t)(sizeof(struct tr_request *) + 2 * sizeof(int) + sizeof(struct tr_range) + sizeof(int64_t));
    return (int64_t)sizeof(struct tr_join) + nodes_max(members) * (int64_t)sizeof(struct node) + (members + 1) * each;
}

/* Room behind the nodes, the widest first. */
void tr_join_init(struct tr_join *join, int members)
{
    join->leaf = (struct tr_range *)(join->node + nodes_max(members));
    join->at = (int64_t *)(join->leaf + members);
    join->view = (struct tr_request **)(join->at + members + 1);
    join->view_node = (int *)(join->view + members);
    join->order = join->view_node + members;
}

/* --- the joins themselves --- */

typedef float lanes __attribute__((vector_size(64), aligned(4), may_alias));
enum { LANES = 16 };

static void join_sum(float *to, const float *a, const float *b, int64_t n)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        *(lanes *)(to + i) = *(const lanes *)(a + i) + *(const lanes *)(b + i);
    for (; i < n; i++)
        to[i] = a[i] + b[i];
}

static float larger(float a, float b)
{
    if (isnan(a) || isnan(b))
        return NAN;
    if (a == b) /* zeros of two signs: the positive one */
        return signbit(a) ? b : a;
    return a > b ? a : b;
}

static void join_max(float *to, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = larger(a[i], b[i]);
}

/* --- the tree --- */

int tr_owners_nodes(const struct tr_owners *owners, int index)
{
    struct tr_range root[TR_TREE_ROOTS_MAX], own = owners->leaves[index];
    return own.first == own.last ? 0 : tr_tree_roots(owners->leaf_count, own.first, own.last, root);
}

/* Members by their first leaf. Owners are mostly in order already. */
static void sort_members(struct tr_join *join, const struct tr_owners *owners, int count)
{
    for (int i = 0; i < count; i++) {
        int at = i;
        for (; at > 0 && owners->leaves[join->order[at - 1]].first > owners->leaves[i].first; at--)
            join->order[at] = join->order[at - 1];
        join->order[at] = i;
    }
}

static void add_nodes(struct tr_join *join, const struct tr_owners *owners, int member, int64_t *next)
{
    struct tr_range root[TR_TREE_ROOTS_MAX], own = owners->leaves[member];
    if (own.first == own.last)
        return;
    TR_ASSERT(own.first == *next && own.last <= owners->leaf_count);
    int roots = tr_tree_roots(owners->leaf_count, own.first, own.last, root);
    for (int r = 0; r < roots; r++)
        join->node[join->node_count++] = (struct node){.leaves = root[r], .member = member};
    *next = own.last;
}

static void list_nodes(struct tr_join *join, const struct tr_owners *owners, int count)
{
    int64_t next = 0;
    TR_ASSERT(owners->leaf_count >= 1 && owners->leaf_count <= TR_PARTS_MAX);
    join->leaf_count = owners->leaf_count;
    join->node_count = 0;
    sort_members(join, owners, count);
    for (int i = 0; i < count; i++)
        add_nodes(join, owners, join->order[i], &next);
    TR_ASSERT(next == owners->leaf_count); /* each leaf once */
}

/* The sum of leaves [begin, end), elements [at, at + n): where it lies already, in `to`, or in the level's room. */
static const float *join_range(struct tr_join *join, int *next, int64_t begin, int64_t end, int level, int64_t at,
                               int64_t n, float *to)
{
    const struct node *node = &join->node[*next];
    if (node->leaves.first == begin && node->leaves.last == end) {
        (*next)++;
        return node->at + at;
    }
    TR_ASSERT(end - begin >= 2 && level + 1 < LEVELS);
    int64_t middle = begin + tr_tree_split(end - begin);
    const float *left = join_range(join, next, begin, middle, level, at, n, NULL);
    const float *right = join_range(join, next, middle, end, level + 1, at, n, NULL);
    to = to != NULL ? to : join->level[level];
    join->join(to, left, right, n);
    return to;
}

/* Joins `n` elements from where all nodes stand now. */
static void join_elements(struct tr_join *join, int64_t n)
{
    for (int64_t at = 0; at < n; at += TR_JOIN_BLOCK) {
        int64_t block = tr_min_i64(TR_JOIN_BLOCK, n - at);
        float *to = join->to + join->done + at;
        int next = 0;
        const float *sum = join_range(join, &next, 0, join->leaf_count, 0, at, block, to);
        if (sum != to)
            memmove(to, sum, (size_t)block * sizeof *to);
    }
}

/* As long as all others' nodes are there to be looked at, goes on; whether all is done. */
static bool go_on_joining(struct tr_comm *comm, void *context)
{
    struct tr_join *join = context;
    const char *at[TR_MESSAGE_PARTS_MAX];
    while (join->done < join->n) {
        int64_t n = join->n - join->done;
        for (int v = 0; v < join->view_count; v++) {
            n = tr_min_i64(n, tr_request_view(comm, join->view[v], at) / (int64_t)sizeof(float));
            if (n == 0)
                return false;
            for (int p = 0; p < join->view[v]->parts; p++)
                join->node[join->view_node[v] + p].at = (const float *)(const void *)at[p];
        }
        join_elements(join, n);
        for (int i = 0; i < join->node_count; i++)
            if (join->node[i].member == comm->index)
                join->node[i].at += n;
        join->done += n;
        for (int v = 0; v < join->view_count; v++)
            tr_request_release(comm, join->view[v], n * (int64_t)sizeof(float));
    }
    return true;
}

/* Sends each member its part of this member's nodes, and begins to look at those of the others. */
static void begin_joining(struct tr_comm *comm, const struct tr_owners *owners, const float *const *node,
                          const int64_t *at)
{
    struct tr_join *join = comm->join;
    const char *const *from = (const char *const *)(const void *)node;
    int me = comm->index, mine = tr_owners_nodes(owners, me);
    int64_t tag = tr_call_tag(comm, 0), bytes = (int64_t)sizeof(float);
    for (int i = 1; i < comm->count && mine > 0; i++) {
        int peer = (me + i) % comm->count;
        int64_t n = at[peer + 1] - at[peer];
        if (n > 0)
            tr_request_send_parts(comm, TR_PORT_COLL, tr_call_request(comm), peer, tag, from, mine, at[peer] * bytes,
                                  n * bytes);
    }
    join->view_count = 0;
    for (int first = 0, nodes; first < join->node_count && join->n > 0; first += nodes) {
        int member = join->node[first].member;
        nodes = tr_owners_nodes(owners, member);
        for (int k = 0; k < nodes && member == me; k++)
            join->node[first + k].at = node[k] + at[me];
        if (member == me)
            continue;
        struct tr_request *view = tr_call_request(comm);
        tr_request_recv_view(comm, TR_PORT_COLL, view, member, tag, nodes, join->n * bytes);
        join->view_node[join->view_count] = first;
        join->view[join->view_count++] = view;
    }
}

static enum tr_status join_parts(struct tr_comm *comm, join_fn *fn, const struct tr_owners *owners,
                                 const float *const *node, const int64_t *at, float *to, struct tr_err *err)
{
    struct tr_join *join = comm->join;
    join->join = fn;
    join->to = to;
    join->n = at[comm->index + 1] - at[comm->index];
    join->done = 0;
    list_nodes(join, owners, comm->count);
    begin_joining(comm, owners, node, at);
    return tr_port_wait(comm, TR_PORT_COLL, go_on_joining, join, err);
}

/* The part that this member has joined to all, and theirs into `to`. */
static void begin_gathering(struct tr_comm *comm, const int64_t *at, float *to)
{
    int me = comm->index;
    int64_t tag = tr_call_tag(comm, 1), bytes = (int64_t)sizeof(float);
    for (int i = 1; i < comm->count; i++) {
        int there = (me + i) % comm->count, here = (me - i + comm->count) % comm->count;
        if (at[me + 1] > at[me])
            tr_request_send(comm, TR_PORT_COLL, tr_call_request(comm), there, tag, to + at[me],
                            (at[me + 1] - at[me]) * bytes);
        if (at[here + 1] > at[here])
            tr_request_recv(comm, TR_PORT_COLL, tr_call_request(comm), here, tag, to + at[here],
                            (at[here + 1] - at[here]) * bytes);
    }
}

static enum tr_status join_all(struct tr_comm *comm, join_fn *fn, const struct tr_owners *owners,
                               const float *const *node, int64_t n, float *to, struct tr_err *err)
{
    int64_t *at = comm->join->at;
    for (int i = 0; i <= comm->count; i++)
        at[i] = tr_all_reduce_at(n, comm->count, i);
    enum tr_status status = join_parts(comm, fn, owners, node, at, to + at[comm->index], err);
    if (status != TR_OK)
        return status;
    begin_gathering(comm, at, to);
    return tr_port_wait(comm, TR_PORT_COLL, NULL, NULL, err);
}

/* --- the calls --- */

int64_t tr_all_reduce_at(int64_t n, int members, int i) { return tr_cut(n, LANES, members, i); }

enum tr_status tr_join_reduce_scatter(struct tr_comm *comm, const struct tr_coll *call, struct tr_err *err)
{
    enum tr_status status = join_parts(comm, join_sum, call->owners, call->node, call->at, call->to, err);
    return status == TR_OK ? tr_port_wait(comm, TR_PORT_COLL, NULL, NULL, err) : status;
}

enum tr_status tr_join_all_reduce(struct tr_comm *comm, const struct tr_coll *call, struct tr_err *err)
{
    return join_all(comm, join_sum, call->owners, call->node, call->count, call->to, err);
}

enum tr_status tr_max_all(struct tr_comm *comm, float *x, int64_t n, struct tr_err *err)
{
    TR_ASSERT(n >= 0);
    tr_background_drain(comm);
    for (int i = 0; i < comm->count; i++)
        comm->join->leaf[i] = (struct tr_range){i, i + 1};
    struct tr_owners owners = {comm->count, comm->join->leaf};
    const float *node[1] = {x};
    double began_s = tr_clock_s();
    enum tr_status status = tr_call_begin(comm, TR_PORT_COLL, TR_COLL_MAX, err);
    if (status == TR_OK)
        status = join_all(comm, join_max, &owners, node, n, x, err);
    tr_call_end(comm, TR_PORT_COLL, began_s);
    return status;
}
