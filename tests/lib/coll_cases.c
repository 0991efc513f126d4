#include "lib/coll_cases.h"

#include "base/num.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- values and checks --- */

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = a * 0x9e3779b97f4a7c15u + b * 0xbf58476d1ce4e5b9u + 0x94d049bb133111ebu;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Numbers whose sums depend on the order. */
static float value(uint64_t stream, int64_t index)
{
    uint64_t bits = mix(stream, (uint64_t)index);
    return ((float)(int32_t)(uint32_t)bits * 0x1p-31f) * (float)(1 << (bits >> 60));
}

static unsigned char byte_of(uint64_t stream, int64_t index) { return (unsigned char)mix(stream, (uint64_t)index); }

static enum tr_status differs(struct tr_comm *comm, struct tr_err *err, const char *what, long long a, long long b,
                              long long c)
{
    return tr_fail(err, TR_NO, "member %d of %d of group %s: %s is wrong (%lld, %lld, %lld)", tr_comm_index(comm),
                   tr_comm_count(comm), tr_comm_name(comm), what, a, b, c);
}

static void digest_add(struct tr_comm *comm, struct tr_coll_case *c, const void *data, int64_t bytes)
{
    const unsigned char *at = data;
    bool is_first = tr_comm_rank(comm, tr_comm_index(comm)) == 0;
    for (int64_t i = 0; c != NULL && is_first && i < bytes; i++)
        c->digest = (c->digest ^ at[i]) * 0x100000001b3u;
}

/* What one call sent must be what is stated of it. */
struct meter {
    struct tr_comm *comm;
    struct tr_coll call;
    struct tr_coll_count before;
};

static struct meter meter_start(struct tr_comm *comm, struct tr_coll call)
{
    return (struct meter){comm, call, *tr_comm_counted(comm, call.kind)};
}

static enum tr_status meter_end(const struct meter *meter, struct tr_err *err)
{
    const struct tr_coll_count *now = tr_comm_counted(meter->comm, meter->call.kind);
    int64_t stated = tr_coll_sent_bytes(&meter->call, tr_comm_count(meter->comm), tr_comm_index(meter->comm));
    int64_t sent = now->sent_bytes - meter->before.sent_bytes;
    if (sent == stated && now->calls == meter->before.calls + 1)
        return TR_OK;
    return tr_fail(err, TR_NO, "member %d of %d: %s sent %lld bytes where %lld are stated", tr_comm_index(meter->comm),
                   tr_comm_count(meter->comm), tr_coll_kind_name(meter->call.kind), (long long)sent, (long long)stated);
}

static const int64_t sizes[] = {0, 1, 2, 3, 15, 16, 17, 63, 64, 65, 1000, 1023, 1024, 1025, 4099, 20011};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

static enum tr_status for_sizes(struct tr_comm *comm, struct tr_coll_case *c, struct tr_err *err,
                                enum tr_status (*run)(struct tr_comm *, struct tr_coll_case *, int64_t,
                                                      struct tr_err *))
{
    if (c != NULL && c->n >= 0)
        return run(comm, c, c->n, err);
    enum tr_status status = TR_OK;
    for (int s = 0; s < SIZES && status == TR_OK; s++)
        status = run(comm, c, sizes[s], err);
    return status;
}

/* --- moving bytes --- */

/* Parts of uneven sizes, some empty. */
static void uneven(int64_t n, int count, int64_t *at)
{
    at[0] = 0;
    for (int i = 0; i < count; i++)
        at[i + 1] = i == count - 1 ? n : tr_min_i64(n, at[i] + (i % 3 == 1 ? 0 : (n + i) / count + i % 2));
}

static enum tr_status check_broadcast(struct tr_comm *comm, unsigned char *room, int64_t n, int root,
                                      struct tr_err *err)
{
    int me = tr_comm_index(comm);
    for (int64_t i = 0; i < n; i++)
        room[i] = me == root ? byte_of((uint64_t)root, i) : 0xee;
    struct meter meter = meter_start(comm, (struct tr_coll){.kind = TR_COLL_BROADCAST, .root = root, .count = n});
    enum tr_status status = tr_broadcast(comm, root, room, n, err);
    if (status == TR_OK)
        status = meter_end(&meter, err);
    for (int64_t i = 0; i < n && status == TR_OK; i++)
        if (room[i] != byte_of((uint64_t)root, i))
            status = differs(comm, err, "broadcast", n, root, i);
    return status;
}

/* Every byte of the whole as member `owner` of it made it. */
static enum tr_status check_parts(struct tr_comm *comm, const unsigned char *whole, const int64_t *at, const char *what,
                                  struct tr_err *err)
{
    for (int r = 0; r < tr_comm_count(comm); r++)
        for (int64_t i = at[r]; i < at[r + 1]; i++)
            if (whole[i] != byte_of((uint64_t)r + 100, i))
                return differs(comm, err, what, at[tr_comm_count(comm)], r, i);
    return TR_OK;
}

static enum tr_status check_gathers(struct tr_comm *comm, struct tr_coll_case *c, unsigned char *room, int64_t n,
                                    struct tr_err *err)
{
    int64_t at[TR_RANKS_THREADS_MAX + 1];
    int me = tr_comm_index(comm), count = tr_comm_count(comm), root = (int)(n % count);
    uneven(n, count, at);
    unsigned char *mine = room + n;
    for (int64_t i = at[me]; i < at[me + 1]; i++)
        mine[i - at[me]] = byte_of((uint64_t)me + 100, i);
    memset(room, 0xee, (size_t)n);
    struct meter meter = meter_start(comm, (struct tr_coll){.kind = TR_COLL_ALL_GATHER, .at = at});
    enum tr_status status = tr_all_gather(comm, mine, room, at, err);
    if (status == TR_OK)
        status = meter_end(&meter, err);
    if (status == TR_OK)
        status = check_parts(comm, room, at, "all_gather", err);
    digest_add(comm, c, room, n);
    memset(room, 0xee, (size_t)at[me]);
    memset(room + at[me + 1], 0xee, (size_t)(n - at[me + 1]));
    if (status == TR_OK) /* in place */
        status = tr_all_gather(comm, room + at[me], room, at, err);
    if (status == TR_OK)
        status = check_parts(comm, room, at, "all_gather in place", err);
    memset(room, 0xee, (size_t)n);
    meter = meter_start(comm, (struct tr_coll){.kind = TR_COLL_GATHER, .root = root, .at = at});
    if (status == TR_OK)
        status = tr_gather(comm, root, mine, room, at, err);
    if (status == TR_OK)
        status = meter_end(&meter, err);
    return status == TR_OK && me == root ? check_parts(comm, room, at, "gather", err) : status;
}

/* How many bytes go from one member to another. */
static int64_t pair_bytes(int64_t n, int from, int to)
{
    return (from * 5 + to * 3) % 4 == 0 ? 0 : n / (1 + (from + 2 * to) % 3);
}

static enum tr_status check_all_to_all(struct tr_comm *comm, struct tr_coll_case *c, unsigned char *room, int64_t n,
                                       struct tr_err *err)
{
    int64_t from_at[TR_RANKS_THREADS_MAX + 1] = {0}, to_at[TR_RANKS_THREADS_MAX + 1] = {0};
    int me = tr_comm_index(comm), count = tr_comm_count(comm);
    for (int i = 0; i < count; i++) {
        from_at[i + 1] = from_at[i] + pair_bytes(n, me, i);
        to_at[i + 1] = to_at[i] + pair_bytes(n, i, me);
    }
    unsigned char *from = room, *to = room + from_at[count];
    for (int p = 0; p < count; p++)
        for (int64_t i = from_at[p]; i < from_at[p + 1]; i++)
            from[i] = byte_of((uint64_t)(me * 1000 + p), i - from_at[p]);
    memset(to, 0xee, (size_t)to_at[count]);
    struct meter meter = meter_start(comm, (struct tr_coll){.kind = TR_COLL_ALL_TO_ALL, .at = from_at});
    enum tr_status status = tr_all_to_all(comm, from, from_at, to, to_at, err);
    if (status == TR_OK)
        status = meter_end(&meter, err);
    for (int p = 0; p < count && status == TR_OK; p++)
        for (int64_t i = to_at[p]; i < to_at[p + 1] && status == TR_OK; i++)
            if (to[i] != byte_of((uint64_t)(p * 1000 + me), i - to_at[p]))
                status = differs(comm, err, "all_to_all", n, p, i);
    digest_add(comm, c, to, to_at[count]);
    return status;
}

static enum tr_status move_size(struct tr_comm *comm, struct tr_coll_case *c, int64_t n, struct tr_err *err)
{
    unsigned char *room = malloc((size_t)(2 * n * (tr_comm_count(comm) + 1) + 1));
    if (room == NULL)
        return tr_fail(err, TR_FAILED, "no memory");
    enum tr_status status = tr_barrier(comm, err);
    for (int root = 0; root < tr_comm_count(comm) && status == TR_OK; root++)
        status = check_broadcast(comm, room, n, root, err);
    if (status == TR_OK)
        status = check_gathers(comm, c, room, n, err);
    if (status == TR_OK)
        status = check_all_to_all(comm, c, room, n, err);
    free(room);
    return status;
}

enum tr_status tr_case_move(struct tr_comm *world, void *user, struct tr_err *err)
{
    return for_sizes(world, user, err, move_size);
}

/* --- sums --- */

/* The tree as the contract says it. */
static float leaf_sum(int64_t begin, int64_t end, int64_t i)
{
    if (end - begin == 1)
        return value((uint64_t)begin + 7, i);
    int64_t left = 1;
    while (2 * left < end - begin)
        left *= 2;
    return leaf_sum(begin, begin + left, i) + leaf_sum(begin + left, end, i);
}

/* Who owns which leaves: even cuts, all on one member, from right to left. */
enum { OWNINGS = 4 };
static void own(int owning, int64_t leaf_count, int count, struct tr_range *leaves)
{
    for (int i = 0; i < count; i++) {
        int who = owning == 2 ? count - 1 - i : i;
        leaves[who] = (struct tr_range){tr_cut(leaf_count, 1, count, i), tr_cut(leaf_count, 1, count, i + 1)};
        if (owning == 1)
            leaves[who] = i == count / 2 ? (struct tr_range){0, leaf_count} : (struct tr_range){0, 0};
        if (owning == 3) /* the first has nearly all */
            leaves[who] = (struct tr_range){i == 0 ? 0 : tr_max_i64(0, leaf_count - count + i),
                                            tr_max_i64(0, leaf_count - count + i + 1)};
    }
    for (int i = 0; owning == 3 && i < count; i++)
        if (leaves[i].last <= leaves[i].first)
            leaves[i] = (struct tr_range){0, 0};
}

struct sums {
    struct tr_comm *comm;
    struct tr_coll_case *c;
    int64_t n;
    struct tr_owners owners;
    struct tr_range leaves[TR_RANKS_THREADS_MAX];
    float *node[TR_TREE_ROOTS_MAX], *to;
};

static bool make_sums(struct sums *sums)
{
    struct tr_range root[TR_TREE_ROOTS_MAX], own_leaves = sums->leaves[tr_comm_index(sums->comm)];
    int roots = tr_owners_nodes(&sums->owners, tr_comm_index(sums->comm));
    if (roots > 0)
        tr_tree_roots(sums->owners.leaf_count, own_leaves.first, own_leaves.last, root);
    sums->to = malloc((size_t)sums->n * sizeof(float) + 1);
    for (int k = 0; k < roots && sums->to; k++) {
        sums->node[k] = malloc((size_t)sums->n * sizeof(float) + 1);
        if (sums->node[k] == NULL)
            return false;
        for (int64_t i = 0; i < sums->n; i++)
            sums->node[k][i] = leaf_sum(root[k].first, root[k].last, i);
    }
    return sums->to != NULL;
}

static void free_sums(struct sums *sums)
{
    for (int k = 0; k < TR_TREE_ROOTS_MAX; k++)
        free(sums->node[k]);
    free(sums->to);
}

static enum tr_status check_sum(const struct sums *sums, const char *what, const float *got, int64_t first,
                                int64_t last, struct tr_err *err)
{
    for (int64_t i = first; i < last; i++) {
        float want = leaf_sum(0, sums->owners.leaf_count, i);
        if (memcmp(&got[i - first], &want, sizeof want) != 0)
            return differs(sums->comm, err, what, sums->n, sums->owners.leaf_count, i);
    }
    digest_add(sums->comm, sums->c, got, (last - first) * (int64_t)sizeof *got);
    return TR_OK;
}

static enum tr_status check_reduce_scatter(struct sums *sums, struct tr_err *err)
{
    int64_t at[TR_RANKS_THREADS_MAX + 1];
    int me = tr_comm_index(sums->comm);
    uneven(sums->n, tr_comm_count(sums->comm), at);
    struct meter meter =
        meter_start(sums->comm, (struct tr_coll){.kind = TR_COLL_REDUCE_SCATTER, .at = at, .owners = &sums->owners});
    enum tr_status status =
        tr_reduce_scatter(sums->comm, &sums->owners, (const float *const *)sums->node, at, sums->to, err);
    if (status == TR_OK)
        status = meter_end(&meter, err);
    return status == TR_OK ? check_sum(sums, "reduce_scatter", sums->to, at[me], at[me + 1], err) : status;
}

static enum tr_status check_all_reduce(struct sums *sums, float *to, const char *what, struct tr_err *err)
{
    struct meter meter = meter_start(
        sums->comm, (struct tr_coll){.kind = TR_COLL_ALL_REDUCE, .count = sums->n, .owners = &sums->owners});
    enum tr_status status =
        tr_all_reduce(sums->comm, &sums->owners, (const float *const *)sums->node, sums->n, to, err);
    if (status == TR_OK)
        status = meter_end(&meter, err);
    return status == TR_OK ? check_sum(sums, what, to, 0, sums->n, err) : status;
}

static enum tr_status sum_of(struct tr_comm *comm, struct tr_coll_case *c, int64_t n, int64_t leaf_count, int owning,
                             struct tr_err *err)
{
    struct sums sums = {.comm = comm, .c = c, .n = n};
    sums.owners = (struct tr_owners){leaf_count, sums.leaves};
    own(owning, leaf_count, tr_comm_count(comm), sums.leaves);
    enum tr_status status = make_sums(&sums) ? TR_OK : tr_fail(err, TR_FAILED, "no memory");
    if (status == TR_OK)
        status = check_reduce_scatter(&sums, err);
    if (status == TR_OK)
        status = check_all_reduce(&sums, sums.to, "all_reduce", err);
    int nodes = tr_owners_nodes(&sums.owners, tr_comm_index(comm)), last = nodes > 0 ? nodes - 1 : 0;
    if (status == TR_OK) /* in place of a node: the first by turns, or the last */
        status = check_all_reduce(&sums, nodes == 0 ? sums.to : sums.node[owning % 2 ? last : 0], "all_reduce in place",
                                  err);
    free_sums(&sums);
    return status;
}

static enum tr_status sum_size(struct tr_comm *comm, struct tr_coll_case *c, int64_t n, struct tr_err *err)
{
    static const int64_t leaf_counts[] = {1, 2, 3, 5, 7, 8, 9, 13, 16, 31};
    enum tr_status status = TR_OK;
    for (size_t l = 0; l < sizeof leaf_counts / sizeof leaf_counts[0] && status == TR_OK; l++)
        for (int owning = 0; owning < OWNINGS && status == TR_OK; owning++)
            if (n <= 1100 || l % 3 == 1) /* long ones with a few trees only */
                status = sum_of(comm, c, n, leaf_counts[l], owning, err);
    return status;
}

enum tr_status tr_case_sum(struct tr_comm *world, void *user, struct tr_err *err)
{
    return for_sizes(world, user, err, sum_size);
}

/* --- exact merges --- */

static enum tr_status exact_size(struct tr_comm *comm, struct tr_coll_case *c, int64_t n, struct tr_err *err)
{
    int me = tr_comm_index(comm), count = tr_comm_count(comm);
    float *x = malloc((size_t)n * sizeof *x + 1);
    if (x == NULL)
        return tr_fail(err, TR_FAILED, "no memory");
    struct tr_exact all, mine;
    tr_exact_clear(&all, n % 2 ? TR_EXACT_SQUARES : TR_EXACT_VALUES);
    mine = all;
    for (int r = 0; r < count; r++) {
        for (int64_t i = 0; i < n; i++)
            x[i] = value((uint64_t)r + 50, i);
        tr_exact_add(&all, x, n);
        if (r == me)
            tr_exact_add(&mine, x, n);
    }
    struct meter meter = meter_start(comm, (struct tr_coll){.kind = TR_COLL_EXACT});
    enum tr_status status = tr_exact_all(comm, &mine, err);
    if (status == TR_OK)
        status = meter_end(&meter, err);
    if (status == TR_OK && memcmp(all.bin, mine.bin, sizeof all.bin) != 0)
        status = differs(comm, err, "exact_all", n, 0, 0);
    digest_add(comm, c, mine.bin, sizeof mine.bin);
    free(x);
    return status;
}

static float max_value(int rank, int64_t i)
{
    if (mix((uint64_t)i, 3) % 7 == 0) /* zeros of both signs */
        return rank % 2 ? -0.0f : 0.0f;
    if (mix((uint64_t)i, 3) % 7 == 1 && rank == (int)(i % 5))
        return NAN;
    return mix((uint64_t)i, 3) % 7 == 2 ? -INFINITY : value((uint64_t)rank + 90, i);
}

static enum tr_status max_size(struct tr_comm *comm, struct tr_coll_case *c, int64_t n, struct tr_err *err)
{
    int me = tr_comm_index(comm), count = tr_comm_count(comm);
    float *x = malloc((size_t)n * sizeof *x + 1);
    if (x == NULL)
        return tr_fail(err, TR_FAILED, "no memory");
    for (int64_t i = 0; i < n; i++)
        x[i] = max_value(me, i);
    struct meter meter = meter_start(comm, (struct tr_coll){.kind = TR_COLL_MAX, .count = n});
    enum tr_status status = tr_max_all(comm, x, n, err);
    if (status == TR_OK)
        status = meter_end(&meter, err);
    for (int64_t i = 0; i < n && status == TR_OK; i++) {
        float want = max_value(0, i);
        bool nan = isnan(want);
        for (int r = 1; r < count; r++) {
            float other = max_value(r, i);
            nan = nan || isnan(other);
            if (other > want || (other == want && !signbit(other)))
                want = other;
        }
        if (nan ? !isnan(x[i]) : memcmp(&want, &x[i], sizeof want) != 0)
            status = differs(comm, err, "max_all", n, i, 0);
    }
    for (int64_t i = 0; i < n; i++)
        x[i] = isnan(x[i]) ? 1 : x[i];
    digest_add(comm, c, x, n * (int64_t)sizeof *x);
    free(x);
    return status;
}

static enum tr_status check_flags(struct tr_comm *comm, struct tr_err *err)
{
    int me = tr_comm_index(comm), count = tr_comm_count(comm);
    uint64_t any = 0, every = 0, want = 0;
    for (int r = 0; r < count; r++)
        want |= UINT64_C(1) << (r % 60);
    struct meter meter = meter_start(comm, (struct tr_coll){.kind = TR_COLL_FLAGS});
    enum tr_status status = tr_flags_all(comm, UINT64_C(1) << (me % 60) | UINT64_C(1) << 63, &any, &every, err);
    if (status == TR_OK)
        status = meter_end(&meter, err);
    if (status == TR_OK && (any != (want | UINT64_C(1) << 63) || every != (count == 1 ? any : UINT64_C(1) << 63)))
        status = differs(comm, err, "flags_all", (long long)any, (long long)every, 0);
    return status;
}

static enum tr_status check_agreement(struct tr_comm *comm, struct tr_err *err)
{
    int me = tr_comm_index(comm), count = tr_comm_count(comm);
    struct tr_err why = {""};
    enum tr_status status = tr_agree_all(comm, "config", "the same", 8, err);
    if (status != TR_OK)
        return status;
    status = tr_agree_all(comm, "config", me > 0 && me == count - 1 ? "another" : "one", 3, &why);
    if (count > 1 && (status != TR_BAD_INPUT || strstr(why.text, "another config than rank 0") == NULL))
        return differs(comm, err, "agree_all", status, 0, 0);
    return TR_OK;
}

enum tr_status tr_case_exact(struct tr_comm *world, void *user, struct tr_err *err)
{
    enum tr_status status = for_sizes(world, user, err, exact_size);
    if (status == TR_OK)
        status = for_sizes(world, user, err, max_size);
    if (status == TR_OK)
        status = check_flags(world, err);
    return status == TR_OK ? check_agreement(world, err) : status;
}

/* --- messages --- */

enum { TAGS = 5 };

/* Every pair, TAGS messages each way at once, asked for in the opposite order. */
static enum tr_status pair_size(struct tr_comm *comm, struct tr_coll_case *c, int64_t n, struct tr_err *err)
{
    int me = tr_comm_index(comm), count = tr_comm_count(comm);
    struct tr_pending *message = calloc((size_t)count * TAGS * 2, sizeof *message);
    unsigned char *room = malloc((size_t)(2 * n * count * TAGS + 1));
    enum tr_status status = message && room ? TR_OK : tr_fail(err, TR_FAILED, "no memory");
    int64_t sent_before = tr_comm_counted(comm, TR_COLL_SEND)->sent_bytes;
    int messages = 0;
    for (int p = 0; p < count && status == TR_OK; p++)
        for (int t = 0; t < TAGS && status == TR_OK && p != me; t++) {
            unsigned char *from = room + n * (p * TAGS + t);
            for (int64_t i = 0; i < n; i++)
                from[i] = byte_of((uint64_t)(me * 100 + p * 10 + t), i);
            status = tr_send_start(comm, p, t, from, n, &message[messages++], err);
        }
    int first_receive = messages;
    for (int p = count - 1; p >= 0 && status == TR_OK; p--)
        for (int t = TAGS - 1; t >= 0 && status == TR_OK && p != me; t--)
            status =
                tr_recv_start(comm, p, t, room + n * count * TAGS + n * (p * TAGS + t), n, &message[messages++], err);
    for (int m = first_receive; m < messages && status == TR_OK; m++)
        status = tr_message_wait(comm, &message[m], err);
    for (int m = 0; m < first_receive && status == TR_OK; m++)
        status = tr_message_wait(comm, &message[m], err);
    for (int p = 0; p < count && status == TR_OK; p++)
        for (int64_t i = 0; i < n * TAGS && status == TR_OK && p != me; i++)
            if (room[n * count * TAGS + n * p * TAGS + i] != byte_of((uint64_t)(p * 100 + me * 10 + i / n), i % n))
                status = differs(comm, err, "message", n, p, i);
    int other = me == 0; /* what one of the others has sent */
    digest_add(comm, c, room + n * (count + other) * TAGS, count > 1 ? n * TAGS : 0);
    if (status == TR_OK && tr_comm_counted(comm, TR_COLL_SEND)->sent_bytes - sent_before != n * TAGS * (count - 1))
        status = differs(comm, err, "count of sent bytes", n, sent_before, 0);
    free(message);
    free(room);
    return status;
}

/* A ring: what comes from the left goes on to the right, until all have seen all. */
static enum tr_status check_ring(struct tr_comm *comm, struct tr_err *err)
{
    int me = tr_comm_index(comm), count = tr_comm_count(comm);
    int64_t held = me, next = -1;
    enum tr_status status = TR_OK;
    for (int i = 1; i < count && status == TR_OK; i++) {
        status =
            tr_exchange(comm, (me + 1) % count, &held, sizeof held, (me + count - 1) % count, &next, sizeof next, err);
        held = next;
        if (status == TR_OK && held != (me + count - i) % count)
            status = differs(comm, err, "exchange", i, held, 0);
    }
    return status;
}

enum tr_status tr_case_pair(struct tr_comm *world, void *user, struct tr_err *err)
{
    enum tr_status status = for_sizes(world, user, err, pair_size);
    return status == TR_OK ? check_ring(world, err) : status;
}

/* --- groups --- */

/* Odd and even ranks, each from the highest down; in them halves; some ranks in none. */
enum tr_status tr_case_split(struct tr_comm *world, void *user, struct tr_err *err)
{
    int me = tr_comm_index(world), count = tr_comm_count(world);
    struct tr_comm *parity = NULL, *half = NULL, *some = NULL;
    enum tr_status status = tr_comm_split(world, "parity", me % 2, -me, &parity, err);
    if (status != TR_OK)
        return status;
    int members = (count + 1 - me % 2) / 2;
    if (tr_comm_count(parity) != members || tr_comm_rank(parity, tr_comm_index(parity)) != me)
        status = differs(world, err, "split", members, tr_comm_count(parity), 0);
    for (int i = 1; i < members && status == TR_OK; i++)
        if (tr_comm_rank(parity, i) != tr_comm_rank(parity, i - 1) - 2)
            status = differs(world, err, "order of a split", i, tr_comm_rank(parity, i), 0);
    if (status == TR_OK)
        status = tr_comm_split(parity, "half", tr_comm_index(parity) * 2 / members, 0, &half, err);
    if (status == TR_OK)
        status = tr_comm_split(world, "some", me < count - 1 ? 0 : TR_NO_COLOUR, 0, &some, err);
    if (status == TR_OK && (some == NULL) != (me == count - 1))
        status = differs(world, err, "a member without colour", me, 0, 0);
    struct tr_coll_case c = {.n = 65};
    struct tr_comm *group[] = {parity, half, some, world};
    for (int g = 0; g < 4 && status == TR_OK; g++) {
        if (group[g] == NULL)
            continue;
        status = tr_case_move(group[g], &c, err);
        if (status == TR_OK)
            status = tr_case_sum(group[g], &c, err);
        if (status == TR_OK)
            status = tr_case_pair(group[g], &c, err);
    }
    if (user != NULL && me == 0)
        ((struct tr_coll_case *)user)->digest ^= c.digest;
    tr_comm_free(some);
    tr_comm_free(half);
    tr_comm_free(parity);
    return status;
}

/* --- in the background --- */

enum { BUCKETS = 6 };

static enum tr_status run_started(struct tr_comm *const group[2], struct sums sums[2][BUCKETS], struct tr_err *err)
{
    struct tr_coll call[2][BUCKETS];
    int64_t ticket[2][BUCKETS];
    int first = tr_comm_index(group[0]) % 2; /* ranks begin with different groups */
    enum tr_status status = TR_OK;
    for (int b = 0; b < BUCKETS * 2 && status == TR_OK; b++) {
        int g = (b + first) % 2, k = b / 2;
        struct sums *s = &sums[g][k];
        call[g][k] = (struct tr_coll){.kind = TR_COLL_ALL_REDUCE,
                                      .to = s->to,
                                      .count = s->n,
                                      .owners = &s->owners,
                                      .node = (const float *const *)s->node};
        status = tr_coll_start(group[g], &call[g][k], &ticket[g][k], err);
    }
    if (status == TR_OK) /* one that is not started has its turn after them */
        status = check_flags(group[0], err);
    if (status == TR_OK)
        status = check_flags(group[1], err);
    for (int b = BUCKETS * 2 - 1; b >= 0 && status == TR_OK; b--) {
        int g = b % 2, k = b / 2;
        status = tr_coll_wait(group[g], ticket[g][k], err);
        if (status == TR_OK)
            status = check_sum(&sums[g][k], "all_reduce in the background", sums[g][k].to, 0, sums[g][k].n, err);
    }
    return status;
}

enum tr_status tr_case_started(struct tr_comm *world, void *user, struct tr_err *err)
{
    struct tr_comm *group[2] = {world, NULL};
    struct sums(*sums)[BUCKETS] = calloc(2, sizeof *sums);
    if (sums == NULL)
        return tr_fail(err, TR_FAILED, "no memory");
    enum tr_status status = tr_comm_split(world, "other", 0, 0, &group[1], err);
    for (int g = 0; g < 2 && status == TR_OK; g++)
        for (int b = 0; b < BUCKETS && status == TR_OK; b++) {
            struct sums *s = &sums[g][b];
            *s = (struct sums){.comm = group[g], .c = user, .n = 777 * b + g};
            s->owners = (struct tr_owners){9, s->leaves};
            own(b % 3, 9, tr_comm_count(world), s->leaves);
            status = make_sums(s) ? TR_OK : tr_fail(err, TR_FAILED, "no memory");
        }
    if (status == TR_OK)
        status = run_started(group, sums, err);
    if (group[1] != NULL)
        tr_comm_free(group[1]);
    for (int g = 0; g < 2; g++)
        for (int b = 0; b < BUCKETS; b++)
            free_sums(&sums[g][b]);
    free(sums);
    return status;
}

const struct tr_coll_case_entry tr_coll_cases[] = {{"move", tr_case_move},
                                                   {"sum", tr_case_sum},
                                                   {"exact", tr_case_exact},
                                                   {"pair", tr_case_pair},
                                                   {"split", tr_case_split},
                                                   {"started", tr_case_started},
                                                   {NULL, NULL}};
