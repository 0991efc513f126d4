/* What a collective must send: the algorithms of coll.c and join.c as sums, for plans. Nothing here is used to run
 * them. */
#include "silicon/coll/coll.h"

#include "base/sha256.h"

static int64_t part(const int64_t *at, int i) { return at[i + 1] - at[i]; }

/* Messages that member `index` sends in a binomial tree. */
static int64_t children(int members, int v)
{
    int64_t count = 0;
    for (int bit = 1; bit < members && (v & bit) == 0; bit *= 2)
        count += v + bit < members;
    return count;
}

/* n elements of which each member joins a part: its nodes' other parts, and what it has joined to all others. */
static int64_t all_reduce_bytes(int64_t n, int64_t nodes, int members, int index)
{
    int64_t mine = tr_all_reduce_at(n, members, index + 1) - tr_all_reduce_at(n, members, index);
    return (int64_t)sizeof(float) * (nodes * (n - mine) + (members - 1) * mine);
}

int64_t tr_coll_sent_bytes(const struct tr_coll *call, int members, int index)
{
    TR_ASSERT(members >= 1 && index >= 0 && index < members);
    int64_t others = members - 1;
    switch (call->kind) {
    case TR_COLL_BROADCAST: return children(members, (index - call->root + members) % members) * call->count;
    case TR_COLL_ALL_GATHER: return others * part(call->at, index);
    case TR_COLL_GATHER: return index == call->root ? 0 : part(call->at, index);
    case TR_COLL_ALL_TO_ALL: return call->at[members] - call->at[0] - part(call->at, index);
    case TR_COLL_REDUCE_SCATTER:
        return (int64_t)sizeof(float) * tr_owners_nodes(call->owners, index) *
               (call->at[members] - call->at[0] - part(call->at, index));
    case TR_COLL_ALL_REDUCE:
        return all_reduce_bytes(call->count, tr_owners_nodes(call->owners, index), members, index);
    case TR_COLL_EXACT: return others * (int64_t)sizeof(struct tr_exact);
    case TR_COLL_MAX: return all_reduce_bytes(call->count, 1, members, index);
    case TR_COLL_FLAGS: return others * (int64_t)sizeof(uint64_t);
    case TR_COLL_AGREE: return others * TR_SHA256_BYTES;
    case TR_COLL_SEND: return call->count;
    default: return 0; /* barriers and receives send nothing that counts */
    }
}
