/* Collectives that move bytes, and exact merges on top of them. Everyone sends to everyone whom it concerns at once:
 * on one host a message is read where it lies, so that there is nothing to gain by passing it on. */
#include "silicon/coll/inside.h"

#include "base/num.h"
#include "base/os.h"
#include "base/sha256.h"

#include <stdio.h>
#include <string.h>

/* The members in an order that differs from one to the next, so that they do not all begin with the same. */
static int after(const struct tr_comm *comm, int steps) { return (comm->index + steps) % comm->count; }
static int before(const struct tr_comm *comm, int steps) { return (comm->index - steps + comm->count) % comm->count; }

static void send_to(struct tr_comm *comm, int peer, int phase, const void *from, int64_t bytes)
{
    tr_request_send(comm, TR_PORT_COLL, tr_call_request(comm), peer, tr_call_tag(comm, phase), from, bytes);
}

static void recv_from(struct tr_comm *comm, int peer, int phase, void *to, int64_t bytes)
{
    tr_request_recv(comm, TR_PORT_COLL, tr_call_request(comm), peer, tr_call_tag(comm, phase), to, bytes);
}

static enum tr_status wait_for_all(struct tr_comm *comm, struct tr_err *err)
{
    return tr_port_wait(comm, TR_PORT_COLL, NULL, NULL, err);
}

static void copy(void *to, const void *from, int64_t bytes)
{
    if (to != from && bytes > 0)
        memmove(to, from, (size_t)bytes);
}

/* In round r each tells the one 2^r further: after log2 of them everybody has heard of everybody. */
static enum tr_status run_barrier(struct tr_comm *comm, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int step = 1, round = 0; step < comm->count && status == TR_OK; step *= 2, round++) {
        comm->requests = 0;
        send_to(comm, after(comm, step), round, NULL, 0);
        recv_from(comm, before(comm, step), round, NULL, 0);
        status = wait_for_all(comm, err);
    }
    return status;
}

/* A binomial tree: counted from the root, member v gets it from v without its lowest bit, and hands it to v + 2^k for
 * all 2^k below that bit. */
static int lowest_bit(int v, int count)
{
    int bit = 1;
    while (bit < count && (v & bit) == 0)
        bit *= 2;
    return bit;
}

static enum tr_status run_broadcast(struct tr_comm *comm, const struct tr_coll *call, struct tr_err *err)
{
    int v = (comm->index - call->root + comm->count) % comm->count, bit = lowest_bit(v, comm->count);
    enum tr_status status = TR_OK;
    if (v != 0) {
        recv_from(comm, (v - bit + call->root) % comm->count, 0, call->to, call->count);
        status = wait_for_all(comm, err);
    }
    for (int k = bit / 2; k >= 1 && status == TR_OK; k /= 2)
        if (v + k < comm->count)
            send_to(comm, (v + k + call->root) % comm->count, 0, call->to, call->count);
    return status == TR_OK ? wait_for_all(comm, err) : status;
}

static enum tr_status run_all_gather(struct tr_comm *comm, const void *from, void *to, const int64_t *at,
                                     struct tr_err *err)
{
    int64_t mine = at[comm->index + 1] - at[comm->index];
    copy((char *)to + at[comm->index], from, mine);
    for (int i = 1; i < comm->count; i++) {
        int peer = before(comm, i);
        if (mine > 0)
            send_to(comm, after(comm, i), 0, from, mine);
        if (at[peer + 1] > at[peer])
            recv_from(comm, peer, 0, (char *)to + at[peer], at[peer + 1] - at[peer]);
    }
    return wait_for_all(comm, err);
}

static enum tr_status run_gather(struct tr_comm *comm, const struct tr_coll *call, struct tr_err *err)
{
    const int64_t *at = call->at;
    int64_t mine = at[comm->index + 1] - at[comm->index];
    if (comm->index != call->root) {
        if (mine > 0)
            send_to(comm, call->root, 0, call->from, mine);
        return wait_for_all(comm, err);
    }
    copy((char *)call->to + at[comm->index], call->from, mine);
    for (int i = 1; i < comm->count; i++) {
        int peer = before(comm, i);
        if (at[peer + 1] > at[peer])
            recv_from(comm, peer, 0, (char *)call->to + at[peer], at[peer + 1] - at[peer]);
    }
    return wait_for_all(comm, err);
}

/* Empty messages too: a member that expects something where nothing comes is told so. */
static enum tr_status run_all_to_all(struct tr_comm *comm, const struct tr_coll *call, struct tr_err *err)
{
    const char *from = call->from;
    char *to = call->to;
    int me = comm->index;
    TR_ASSERT(call->at[me + 1] - call->at[me] == call->to_at[me + 1] - call->to_at[me]);
    copy(to + call->to_at[me], from + call->at[me], call->at[me + 1] - call->at[me]);
    for (int i = 1; i < comm->count; i++) {
        int there = after(comm, i), here = before(comm, i);
        send_to(comm, there, 0, from + call->at[there], call->at[there + 1] - call->at[there]);
        recv_from(comm, here, 0, to + call->to_at[here], call->to_at[here + 1] - call->to_at[here]);
    }
    return wait_for_all(comm, err);
}

/* --- calls as data --- */

static void assert_ascending(const struct tr_comm *comm, const int64_t *at)
{
    TR_ASSERT(at != NULL && at[0] >= 0);
    for (int i = 0; i < comm->count; i++)
        TR_ASSERT(at[i] <= at[i + 1]);
}

static void assert_sound(const struct tr_comm *comm, const struct tr_coll *call)
{
    enum tr_coll_kind kind = call->kind;
    TR_ASSERT(kind >= TR_COLL_BARRIER && kind <= TR_COLL_ALL_REDUCE);
    if (kind == TR_COLL_BROADCAST || kind == TR_COLL_GATHER)
        TR_ASSERT(call->root >= 0 && call->root < comm->count);
    if (kind == TR_COLL_ALL_GATHER || kind == TR_COLL_GATHER || kind == TR_COLL_ALL_TO_ALL ||
        kind == TR_COLL_REDUCE_SCATTER)
        assert_ascending(comm, call->at);
    if (kind == TR_COLL_ALL_TO_ALL)
        assert_ascending(comm, call->to_at);
    TR_ASSERT(call->count >= 0);
}

static enum tr_status run_kind(struct tr_comm *comm, const struct tr_coll *call, struct tr_err *err)
{
    switch (call->kind) {
    case TR_COLL_BARRIER: return run_barrier(comm, err);
    case TR_COLL_BROADCAST: return run_broadcast(comm, call, err);
    case TR_COLL_ALL_GATHER: return run_all_gather(comm, call->from, call->to, call->at, err);
    case TR_COLL_GATHER: return run_gather(comm, call, err);
    case TR_COLL_ALL_TO_ALL: return run_all_to_all(comm, call, err);
    case TR_COLL_REDUCE_SCATTER: return tr_join_reduce_scatter(comm, call, err);
    default: return tr_join_all_reduce(comm, call, err);
    }
}

enum tr_status tr_coll_run_now(struct tr_comm *comm, const struct tr_coll *call, struct tr_err *err)
{
    assert_sound(comm, call);
    double began_s = tr_clock_s();
    enum tr_status status = tr_call_begin(comm, TR_PORT_COLL, call->kind, err);
    if (status == TR_OK)
        status = run_kind(comm, call, err);
    tr_call_end(comm, TR_PORT_COLL, began_s);
    return status;
}

enum tr_status tr_coll_run(struct tr_comm *comm, const struct tr_coll *call, struct tr_err *err)
{
    tr_background_drain(comm);
    return tr_coll_run_now(comm, call, err);
}

enum tr_status tr_barrier(struct tr_comm *comm, struct tr_err *err)
{
    return tr_coll_run(comm, &(struct tr_coll){.kind = TR_COLL_BARRIER}, err);
}

enum tr_status tr_broadcast(struct tr_comm *comm, int root, void *data, int64_t bytes, struct tr_err *err)
{
    return tr_coll_run(comm, &(struct tr_coll){.kind = TR_COLL_BROADCAST, .root = root, .to = data, .count = bytes},
                       err);
}

enum tr_status tr_all_gather(struct tr_comm *comm, const void *from, void *to, const int64_t *at, struct tr_err *err)
{
    return tr_coll_run(comm, &(struct tr_coll){.kind = TR_COLL_ALL_GATHER, .from = from, .to = to, .at = at}, err);
}

enum tr_status tr_gather(struct tr_comm *comm, int root, const void *from, void *to, const int64_t *at,
                         struct tr_err *err)
{
    return tr_coll_run(comm, &(struct tr_coll){.kind = TR_COLL_GATHER, .root = root, .from = from, .to = to, .at = at},
                       err);
}

enum tr_status tr_all_to_all(struct tr_comm *comm, const void *from, const int64_t *from_at, void *to,
                             const int64_t *to_at, struct tr_err *err)
{
    return tr_coll_run(
        comm, &(struct tr_coll){.kind = TR_COLL_ALL_TO_ALL, .from = from, .to = to, .at = from_at, .to_at = to_at},
        err);
}

enum tr_status tr_reduce_scatter(struct tr_comm *comm, const struct tr_owners *owners, const float *const *node,
                                 const int64_t *at, float *to, struct tr_err *err)
{
    return tr_coll_run(
        comm, &(struct tr_coll){.kind = TR_COLL_REDUCE_SCATTER, .to = to, .at = at, .owners = owners, .node = node},
        err);
}

enum tr_status tr_all_reduce(struct tr_comm *comm, const struct tr_owners *owners, const float *const *node, int64_t n,
                             float *to, struct tr_err *err)
{
    return tr_coll_run(
        comm, &(struct tr_coll){.kind = TR_COLL_ALL_REDUCE, .to = to, .count = n, .owners = owners, .node = node}, err);
}

/* --- exact merges --- */

enum tr_status tr_tell_all(struct tr_comm *comm, enum tr_coll_kind kind, const void *mine, void *all, int64_t bytes,
                           struct tr_err *err)
{
    tr_background_drain(comm);
    double began_s = tr_clock_s();
    enum tr_status status = tr_call_begin(comm, TR_PORT_COLL, kind, err);
    if (status == TR_OK) {
        copy((char *)all + comm->index * bytes, mine, bytes);
        for (int i = 1; i < comm->count; i++) {
            send_to(comm, after(comm, i), 0, (char *)all + comm->index * bytes, bytes);
            recv_from(comm, before(comm, i), 0, (char *)all + before(comm, i) * bytes, bytes);
        }
        status = wait_for_all(comm, err);
    }
    tr_call_end(comm, TR_PORT_COLL, began_s);
    return status;
}

static char *small_room(struct tr_comm *comm) { return comm->small + 2 * sizeof(struct tr_exact); }

enum tr_status tr_flags_all(struct tr_comm *comm, uint64_t flags, uint64_t *any, uint64_t *every, struct tr_err *err)
{
    uint64_t *all = (uint64_t *)(void *)small_room(comm);
    enum tr_status status = tr_tell_all(comm, TR_COLL_FLAGS, &flags, all, sizeof flags, err);
    if (status != TR_OK)
        return status;
    *any = 0;
    *every = ~UINT64_C(0);
    for (int i = 0; i < comm->count; i++) {
        *any |= all[i];
        *every &= all[i];
    }
    return TR_OK;
}

static enum tr_status say_who_differs(const struct tr_comm *comm, const char *what, const char *all, struct tr_err *err)
{
    char whom[200] = "";
    int differ = 0;
    for (int i = 1; i < comm->count; i++) {
        if (memcmp(all, all + i * TR_SHA256_BYTES, TR_SHA256_BYTES) == 0)
            continue;
        size_t used = strlen(whom);
        if (used + 16 < sizeof whom)
            snprintf(whom + used, sizeof whom - used, "%s%d", differ > 0 ? ", " : "", comm->member[i]);
        differ++;
    }
    if (differ == 0)
        return TR_OK;
    return tr_fail(err, TR_BAD_INPUT, "rank%s %s %s another %s than rank %d: all ranks must have the same",
                   differ > 1 ? "s" : "", whom, differ > 1 ? "have" : "has", what, comm->member[0]);
}

enum tr_status tr_agree_all(struct tr_comm *comm, const char *what, const void *data, int64_t bytes, struct tr_err *err)
{
    _Static_assert((int)TR_SMALL_BYTES >= (int)TR_SHA256_BYTES, "the digests of all members have room");
    uint8_t digest[TR_SHA256_BYTES];
    enum tr_status status = tr_sha256_of(data, (size_t)bytes, digest, err);
    if (status == TR_OK)
        status = tr_tell_all(comm, TR_COLL_AGREE, digest, small_room(comm), TR_SHA256_BYTES, err);
    return status == TR_OK ? say_who_differs(comm, what, small_room(comm), err) : status;
}

/* What each member has to say of itself in tr_status_all. */
struct fared {
    _Alignas(TR_SHA256_BYTES) int64_t status; /* as large as what is agreed upon by tr_agree_all */
};

/* Nobody fails before all have the sentence: a rank that failed no longer passes on what others wait for. */
static enum tr_status fail_together(struct tr_comm *comm, int first, enum tr_status its, struct tr_err *said, struct tr_err *err)
{
    struct fared heard = {TR_OK};
    struct tr_err ignored;
    enum tr_status status = tr_broadcast(comm, first, said->text, sizeof said->text, err);
    if (status != TR_OK)
        return status;
    status = tr_tell_all(comm, TR_COLL_AGREE, &heard, small_room(comm), sizeof heard, &ignored);
    return tr_board_fail(comm->rank, comm->member[first], its, said, err);
}

enum tr_status tr_status_all(struct tr_comm *comm, enum tr_status mine, struct tr_err *err)
{
    struct fared own = {mine}, other;
    struct tr_err said = {""}, why;
    enum tr_status status = tr_tell_all(comm, TR_COLL_AGREE, &own, small_room(comm), sizeof own, &why), its = TR_OK;
    int first = 0, failed = 0;
    for (int i = comm->count - 1; i >= 0 && status == TR_OK; i--) {
        memcpy(&other, small_room(comm) + i * (int64_t)sizeof other, sizeof other);
        if (other.status == TR_OK)
            continue;
        its = (enum tr_status)other.status;
        first = i;
        failed++;
    }
    if (status == TR_OK && failed == 0)
        return TR_OK;
    if (status == TR_OK && comm->index == first) {
        said = *err;
        if (first > 0 && failed < comm->count)
            tr_err_prefix(&said, "rank %d", comm->member[first]);
    }
    if (status == TR_OK)
        status = fail_together(comm, first, its, &said, &why);
    *err = why;
    return status;
}

static bool is_done(struct tr_comm *comm, void *context)
{
    (void)comm;
    return ((const struct tr_request *)context)->done;
}

/* The others' sums one after the other, as each of them is 4 kB. */
static enum tr_status merge_all(struct tr_comm *comm, struct tr_exact *sum, struct tr_err *err)
{
    struct tr_exact *mine = (struct tr_exact *)(void *)comm->small, *theirs = mine + 1;
    enum tr_status status = TR_OK;
    *mine = *sum;
    for (int i = 1; i < comm->count; i++)
        send_to(comm, after(comm, i), 0, mine, sizeof *mine);
    for (int i = 1; i < comm->count && status == TR_OK; i++) {
        struct tr_request *request = tr_call_request(comm);
        tr_request_recv(comm, TR_PORT_COLL, request, before(comm, i), tr_call_tag(comm, 0), theirs, sizeof *theirs);
        status = tr_port_wait(comm, TR_PORT_COLL, is_done, request, err);
        if (status == TR_OK)
            tr_exact_merge(sum, theirs);
    }
    return status == TR_OK ? wait_for_all(comm, err) : status;
}

enum tr_status tr_exact_all(struct tr_comm *comm, struct tr_exact *sum, struct tr_err *err)
{
    tr_background_drain(comm);
    double began_s = tr_clock_s();
    enum tr_status status = tr_call_begin(comm, TR_PORT_COLL, TR_COLL_EXACT, err);
    if (status == TR_OK)
        status = merge_all(comm, sum, err);
    tr_call_end(comm, TR_PORT_COLL, began_s);
    return status;
}
