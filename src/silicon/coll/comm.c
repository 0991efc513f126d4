/* Groups: how they are made and split, and how calls of them begin and end. */
#include "silicon/coll/inside.h"

#include "base/num.h"
#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[TR_COLL_KIND_COUNT] = {
    "split",      "barrier",   "broadcast", "all_gather", "gather",    "all_to_all", "reduce_scatter",
    "all_reduce", "exact_all", "max_all",   "flags_all",  "agree_all", "send",       "recv"};

const char *tr_coll_kind_name(enum tr_coll_kind kind)
{
    return (unsigned)kind < TR_COLL_KIND_COUNT ? kind_names[kind] : "something unknown";
}

int tr_comm_index(const struct tr_comm *comm) { return comm->index; }
int tr_comm_count(const struct tr_comm *comm) { return comm->count; }
const char *tr_comm_name(const struct tr_comm *comm) { return comm->name; }

int tr_comm_host(const struct tr_comm *comm, int index) { return comm->rank->host[tr_comm_rank(comm, index)]; }

int tr_comm_rank(const struct tr_comm *comm, int index)
{
    TR_ASSERT(index >= 0 && index < comm->count);
    return comm->member[index];
}

void tr_comm_set_step(struct tr_comm *comm, int64_t step)
{
    atomic_store_explicit(&comm->rank->step, step, memory_order_relaxed);
}

const struct tr_coll_count *tr_comm_counted(const struct tr_comm *comm, enum tr_coll_kind kind)
{
    TR_ASSERT((unsigned)kind < TR_COLL_KIND_COUNT);
    return &comm->counted[kind];
}

/* --- making --- */

static void find_locals(struct tr_comm *comm)
{
    const int *host = comm->rank->host;
    for (int i = 0; i < comm->count; i++)
        comm->local[i] = host[comm->member[i]] == host[comm->rank->index] ? comm->locals++ : -1;
}

static bool make_port(struct tr_comm *comm, enum tr_port_kind kind)
{
    struct tr_port *port = &comm->port[kind];
    port->kind = kind;
    port->last = &port->first;
    port->owner = calloc((size_t)comm->locals * TR_SLOTS, sizeof(struct tr_request *));
    port->seq = calloc((size_t)comm->count, sizeof *port->seq);
    port->full = calloc((size_t)comm->count, sizeof *port->full);
    return port->owner && port->seq && port->full;
}

static bool make_room(struct tr_comm *comm)
{
    comm->request = calloc((size_t)comm->count * TR_REQUESTS, sizeof *comm->request);
    comm->join = calloc(1, (size_t)tr_join_bytes(comm->count));
    comm->small = calloc(1, 2 * sizeof(struct tr_exact) + (size_t)comm->count * TR_SMALL_BYTES);
    if (comm->join)
        tr_join_init(comm->join, comm->count);
    return comm->request && comm->join && comm->small && make_port(comm, TR_PORT_COLL) &&
           make_port(comm, TR_PORT_MESSAGE);
}

enum tr_status tr_comm_new(struct tr_rank *rank, const char *name, const int *member, int count, int index,
                           struct tr_comm **made, struct tr_err *err)
{
    TR_ASSERT(count >= 1 && count <= TR_RANKS_MAX && index >= 0 && index < count && strlen(name) < TR_COMM_NAME_BYTES);
    if (rank->comms == TR_COMMS_MAX)
        return tr_fail(err, TR_FAILED, "group %s: a rank can make %d groups and has made them", name, TR_COMMS_MAX);
    struct tr_comm *comm = calloc(1, sizeof *comm);
    if (comm) {
        *comm = (struct tr_comm){.rank = rank, .index = index, .count = count};
        comm->member = calloc((size_t)count, sizeof(int));
        comm->local = calloc((size_t)count, sizeof(int));
    }
    if (!comm || !comm->member || !comm->local)
        goto delete;
    strcpy(comm->name, name);
    memcpy(comm->member, member, (size_t)count * sizeof(int));
    find_locals(comm);
    comm->has_cores = rank->cores >= comm->locals;
    if (!make_room(comm))
        goto delete;
    comm->number = rank->comms++;
    strcpy(rank->seen->name[comm->number], name);
    comm->next = rank->first;
    rank->first = comm;
    *made = comm;
    return TR_OK;
    delete : tr_comm_delete(comm);
    return tr_fail(err, TR_FAILED, "group %s: no memory for %d members", name, count);
}

void tr_comm_delete(struct tr_comm *comm)
{
    if (!comm)
        return;
    for (struct tr_comm **at = &comm->rank->first; *at != NULL; at = &(*at)->next)
        if (*at == comm) {
            *at = comm->next;
            break;
        }
    for (int p = 0; p < TR_PORT_COUNT; p++) {
        free(comm->port[p].owner);
        free(comm->port[p].seq);
        free(comm->port[p].full);
    }
    free(comm->request);
    free(comm->join);
    free(comm->small);
    free(comm->member);
    free(comm->local);
    free(comm);
}

void tr_comm_free(struct tr_comm *comm)
{
    if (!comm)
        return;
    tr_background_end(comm);
    tr_comm_withdraw(comm);
    comm->rank->way->area_free(comm);
    struct tr_rank *rank = comm->rank;
    bool is_world = comm->number == 0;
    tr_comm_delete(comm);
    if (is_world && rank->end != NULL)
        rank->end(rank);
}

/* --- memory --- */

enum tr_status tr_comm_map(struct tr_comm *world, int64_t bytes, struct tr_slab *slab, struct tr_err *err)
{
    TR_ASSERT(bytes > 0 && world->number == 0);
    return world->rank->way->map(world, bytes, slab, err);
}

void tr_comm_unmap(struct tr_comm *world, struct tr_slab *slab)
{
    if (slab->at != NULL)
        world->rank->way->unmap(world, slab);
}

/* --- splitting --- */

struct colour {
    int32_t colour, key;
};

/* The members of this colour, by key, then by index: insertion, as groups are small and mostly in order already. */
static int choose_members(const struct tr_comm *comm, const struct colour *all, int *chosen)
{
    int count = 0;
    for (int i = 0; i < comm->count; i++) {
        if (all[i].colour != all[comm->index].colour)
            continue;
        int at = count++;
        for (; at > 0 && all[chosen[at - 1]].key > all[i].key; at--)
            chosen[at] = chosen[at - 1];
        chosen[at] = i;
    }
    return count;
}

enum tr_status tr_comm_split(struct tr_comm *comm, const char *name, int colour, int key, struct tr_comm **part,
                             struct tr_err *err)
{
    TR_ASSERT(colour >= TR_NO_COLOUR);
    struct colour *all = calloc((size_t)comm->count, sizeof *all);
    int *chosen = calloc((size_t)comm->count, sizeof *chosen);
    if (!all || !chosen) {
        free(all);
        free(chosen);
        return tr_fail(err, TR_FAILED, "group %s: no memory to split group %s", name, comm->name);
    }
    struct colour mine = {colour, key};
    struct tr_comm *made = NULL;
    enum tr_status status = tr_tell_all(comm, TR_COLL_SPLIT, &mine, all, sizeof mine, err);
    if (status == TR_OK && colour != TR_NO_COLOUR) {
        int count = choose_members(comm, all, chosen), index = 0;
        for (int i = 0; i < count; i++) {
            index = chosen[i] == comm->index ? i : index;
            chosen[i] = comm->member[chosen[i]];
        }
        status = tr_comm_new(comm->rank, name, chosen, count, index, &made, err);
    }
    free(all);
    free(chosen);
    if (status == TR_OK)
        status = comm->rank->way->area_make(comm, made, err);
    if (status != TR_OK) {
        tr_comm_delete(made);
        return status;
    }
    *part = made;
    return TR_OK;
}

/* --- calls --- */

enum tr_status tr_call_begin(struct tr_comm *comm, enum tr_port_kind kind, enum tr_coll_kind call, struct tr_err *err)
{
    struct tr_port *port = &comm->port[kind];
    struct tr_err why = {""};
    port->call = call;
    if (kind == TR_PORT_COLL) {
        comm->calls++;
        comm->requests = 0;
    }
    comm->counted[call].calls++;
    int64_t step = atomic_load_explicit(&comm->rank->step, memory_order_relaxed);
    atomic_store_explicit(&comm->rank->seen->ended, 0, memory_order_relaxed);
    atomic_store_explicit(&comm->rank->seen->last, (int64_t)call | (int64_t)comm->number << 8 | step << 16,
                          memory_order_release);
    if (tr_board_failed(comm->rank) || comm->failed)
        return tr_board_fail(comm->rank, comm->rank->index, TR_FAILED, &why, err);
    return TR_OK;
}

void tr_call_end(struct tr_comm *comm, enum tr_port_kind kind, double began_s)
{
    comm->counted[comm->port[kind].call].busy_s += tr_clock_s() - began_s;
    atomic_store_explicit(&comm->rank->seen->ended, 1, memory_order_release);
}

int64_t tr_call_tag(const struct tr_comm *comm, int phase)
{
    return comm->calls << 16 | (int64_t)comm->port[TR_PORT_COLL].call << 8 | phase;
}

struct tr_request *tr_call_request(struct tr_comm *comm)
{
    TR_ASSERT(comm->requests < comm->count * TR_REQUESTS);
    return &comm->request[comm->requests++];
}

const char *tr_call_where(const struct tr_comm *comm, enum tr_port_kind port, char where[TR_WHERE_BYTES])
{
    snprintf(where, TR_WHERE_BYTES, "rank %d: %s of group %s, step %lld", comm->rank->index,
             tr_coll_kind_name(comm->port[port].call), comm->name,
             (long long)atomic_load_explicit(&comm->rank->step, memory_order_relaxed));
    return where;
}
