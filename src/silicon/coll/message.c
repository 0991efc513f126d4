/* Messages between two members, and waiting for them. Here those of one host; wire.c has those between hosts. */
#define _GNU_SOURCE /* syscall */
#include "silicon/coll/wire.h"

#include "base/num.h"
#include "base/os.h"
#include "base/process.h"

#include <linux/futex.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const double nap_s = 0.05; /* asleep, one looks so often whether the job has failed */
static const double look_s = 20e-6;
static const double wire_nap_s[2] = {20e-6, 1e-3}; /* no bell rings for what comes from another host: naps grow */

/* --- bells --- */

/* Who rings adds first and looks for sleepers then; who goes to sleep says so first, and the kernel looks at the count
 * then. So one of them sees the other. */
static void ring(struct tr_bell *bell)
{
    atomic_fetch_add(&bell->rung, 1);
    if (atomic_load(&bell->waits))
        syscall(SYS_futex, &bell->rung, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Where each rank has a core, the answer of one that is at work mostly comes sooner than a sleeper is woken.
 * (Yielding instead of looking takes a whole time slice where other programs want the cores.) */
static void look_for_a_while(struct tr_bell *bell, uint32_t seen)
{
    double until_s = tr_clock_s() + look_s;
    while (atomic_load_explicit(&bell->rung, memory_order_relaxed) == seen && tr_clock_s() < until_s)
        ;
}

static void sleep_until_rung(struct tr_bell *bell, uint32_t seen, double longest_s)
{
    struct timespec nap = {.tv_sec = 0, .tv_nsec = (long)(longest_s * 1e9)};
    if (bell == NULL) {
        nanosleep(&nap, NULL);
        return;
    }
    atomic_store(&bell->waits, 1);
    syscall(SYS_futex, &bell->rung, FUTEX_WAIT, seen, &nap, NULL, 0);
    atomic_store(&bell->waits, 0);
}

static struct tr_bell *bell_of(struct tr_comm *comm, const struct tr_port *port, int member)
{
    return tr_area_bell(comm->area, comm->local[member], port->kind);
}

struct tr_coll_count *tr_port_count(struct tr_comm *comm, const struct tr_port *port, enum tr_coll_kind message)
{
    return &comm->counted[port->kind == TR_PORT_COLL ? port->call : message];
}

static bool is_near(const struct tr_comm *comm, int peer) { return comm->local[peer] >= 0; }

/* --- sending --- */

static struct tr_slot *slots_to(struct tr_comm *comm, const struct tr_port *port, int peer)
{
    return tr_area_channel(comm->area, port->kind, comm->local[comm->index], comm->local[peer]);
}

static struct tr_slot *slots_from(struct tr_comm *comm, const struct tr_port *port, int peer)
{
    return tr_area_channel(comm->area, port->kind, comm->local[peer], comm->local[comm->index]);
}

static struct tr_request **owners_to(struct tr_comm *comm, const struct tr_port *port, int peer)
{
    return port->owner + (int64_t)comm->local[peer] * TR_SLOTS;
}

/* Slots that the receiver is done with are free again. */
static void reap(struct tr_comm *comm, struct tr_port *port, int peer)
{
    struct tr_slot *slot = slots_to(comm, port, peer);
    struct tr_request **owner = owners_to(comm, port, peer);
    for (int s = 0; s < TR_SLOTS; s++) {
        if (owner[s] == NULL || atomic_load_explicit(&slot[s].state, memory_order_acquire) != TR_SLOT_DONE)
            continue;
        atomic_store_explicit(&slot[s].state, TR_SLOT_FREE, memory_order_relaxed);
        owner[s]->flying--;
        owner[s] = NULL;
        port->moves++;
    }
}

static int free_slot(struct tr_comm *comm, const struct tr_port *port, int peer)
{
    struct tr_request **owner = owners_to(comm, port, peer);
    for (int s = 0; s < TR_SLOTS; s++)
        if (owner[s] == NULL)
            return s;
    return -1;
}

/* Whether the receiver can read all arrays where they are; then it is told so. */
static bool write_addresses(const struct tr_comm *comm, const struct tr_request *request, struct tr_slot *slot)
{
    for (int p = 0; p < request->parts && request->bytes > 0; p++)
        if (!comm->rank->way->address_write(comm->rank, request->from[p] + request->skip, request->bytes,
                                            &slot->address[p]))
            return false;
    return true;
}

/* Fills the slot with the next piece: all that is left where it can be seen, else as much as the slot's room takes.
 * What still lies in this core's caches goes through rooms as well: read by another core and then written anew, each
 * of its lines would travel twice (bench/LOG.md). */
enum { ROOMS_TO_STAGE = 128 };

static void fill_slot(struct tr_comm *comm, struct tr_request *request, struct tr_slot *slot)
{
    bool is_small = request->bytes > 0 && request->bytes <= ROOMS_TO_STAGE * comm->area->room_bytes;
    slot->staged = is_small || !write_addresses(comm, request, slot);
    slot->parts = request->parts;
    slot->tag = request->tag;
    slot->seq = request->seq;
    slot->message_bytes = request->bytes;
    slot->offset = request->moved;
    slot->bytes = request->bytes - request->moved;
    if (!slot->staged)
        return;
    int64_t room = comm->area->room_bytes / request->parts / TR_CACHE_LINE * TR_CACHE_LINE;
    slot->bytes = tr_min_i64(slot->bytes, room);
    char *to = tr_area_room(comm->area, slot);
    for (int p = 0; p < request->parts; p++)
        memcpy(to + p * slot->bytes, request->from[p] + request->skip + request->moved, (size_t)slot->bytes);
}

static void post(struct tr_comm *comm, struct tr_port *port, struct tr_request *request, int s)
{
    struct tr_slot *slot = &slots_to(comm, port, request->peer)[s];
    fill_slot(comm, request, slot);
    owners_to(comm, port, request->peer)[s] = request;
    request->begun = true; /* also where there is nothing to move */
    request->moved += slot->bytes;
    request->flying++;
    struct tr_coll_count *count = tr_port_count(comm, port, TR_COLL_SEND);
    count->sent_bytes += slot->bytes * slot->parts;
    count->messages += slot->offset == 0;
    port->moves++;
    atomic_store_explicit(&slot->state, TR_SLOT_POSTED, memory_order_release);
    ring(bell_of(comm, port, request->peer));
}

static void go_on_sending(struct tr_comm *comm, struct tr_port *port, struct tr_request *request)
{
    while ((!request->begun || request->moved < request->bytes) && request->flying < TR_PIECES_MAX &&
           !port->full[request->peer]) {
        int s = free_slot(comm, port, request->peer);
        port->full[request->peer] = s < 0; /* who comes later must not overtake */
        if (s < 0)
            return;
        post(comm, port, request, s);
    }
    request->done = request->begun && request->moved == request->bytes && request->flying == 0;
}

/* --- receiving --- */

static bool has_piece(const struct tr_slot *slot, const struct tr_request *request)
{
    if (atomic_load_explicit(&slot->state, memory_order_acquire) != TR_SLOT_POSTED || slot->tag != request->tag)
        return false;
    return request->seq < 0 ? slot->offset == 0 : slot->seq == request->seq && slot->offset == request->moved;
}

/* The slot with the next piece of the message, the earliest message of its tag; NULL: not there yet. */
static struct tr_slot *find_piece(struct tr_comm *comm, const struct tr_port *port, const struct tr_request *request)
{
    struct tr_slot *slot = slots_from(comm, port, request->peer), *best = NULL;
    for (int s = 0; s < TR_SLOTS; s++)
        if (has_piece(&slot[s], request) && (best == NULL || slot[s].seq < best->seq))
            best = &slot[s];
    return best;
}

/* Another receive of that peer and tag that began before has not found its message yet. */
static bool is_early(const struct tr_port *port, const struct tr_request *request)
{
    for (const struct tr_request *other = port->first; other != request; other = other->next)
        if (!other->sends && other->peer == request->peer && other->tag == request->tag && other->seq < 0)
            return true;
    return false;
}

/* Takes the next piece, if it is there. A piece of the wrong size is not taken: tr_port_wait says so. */
static bool take_piece(struct tr_comm *comm, struct tr_port *port, struct tr_request *request)
{
    if (request->piece != NULL)
        return true;
    if (request->seq < 0 && is_early(port, request))
        return false;
    struct tr_slot *slot = find_piece(comm, port, request);
    uint32_t posted = TR_SLOT_POSTED;
    if (slot == NULL || slot->message_bytes != request->bytes || slot->parts != request->parts ||
        !atomic_compare_exchange_strong(&slot->state, &posted, TR_SLOT_TAKEN))
        return false;
    request->seq = slot->seq;
    request->piece = slot;
    tr_port_count(comm, port, TR_COLL_RECV)->received_bytes += slot->bytes * slot->parts;
    port->moves++;
    return true;
}

static void release_piece(struct tr_comm *comm, struct tr_port *port, struct tr_request *request)
{
    struct tr_slot *slot = request->piece;
    request->piece = NULL;
    port->moves++;
    atomic_store_explicit(&slot->state, TR_SLOT_DONE, memory_order_release);
    ring(bell_of(comm, port, request->peer));
}

static const char *piece_at(struct tr_comm *comm, const struct tr_request *request, int part)
{
    const struct tr_slot *slot = request->piece;
    if (slot->staged)
        return tr_area_room(comm->area, slot) + part * slot->bytes;
    return (const char *)comm->rank->way->address_read(comm->rank, comm->member[request->peer], slot->address[part]) +
           slot->offset;
}

static void go_on_receiving(struct tr_comm *comm, struct tr_port *port, struct tr_request *request)
{
    while (!request->done && take_piece(comm, port, request)) {
        int64_t bytes = request->piece->bytes;
        if (bytes > 0)
            memcpy(request->to + request->moved, piece_at(comm, request, 0), (size_t)bytes);
        request->moved += bytes;
        request->done = request->moved == request->bytes;
        release_piece(comm, port, request);
    }
}

int64_t tr_request_view(struct tr_comm *comm, struct tr_request *request, const char **at)
{
    struct tr_port *port = &comm->port[TR_PORT_COLL];
    if (request->done)
        return 0;
    if (!is_near(comm, request->peer))
        return tr_wire_view(comm, port, request, at);
    if (!take_piece(comm, port, request))
        return 0;
    const struct tr_slot *slot = request->piece;
    int64_t inside = request->moved - slot->offset;
    for (int p = 0; p < request->parts; p++)
        at[p] = piece_at(comm, request, p) + inside;
    return slot->bytes - inside;
}

void tr_request_release(struct tr_comm *comm, struct tr_request *request, int64_t bytes)
{
    if (!is_near(comm, request->peer)) {
        tr_wire_release(comm, &comm->port[TR_PORT_COLL], request, bytes);
        return;
    }
    request->moved += bytes;
    const struct tr_slot *slot = request->piece;
    TR_ASSERT(slot != NULL && request->moved <= slot->offset + slot->bytes);
    if (request->moved < slot->offset + slot->bytes)
        return;
    request->done = request->moved == request->bytes;
    release_piece(comm, &comm->port[TR_PORT_COLL], request);
}

/* --- requests --- */

static void begin(struct tr_comm *comm, enum tr_port_kind kind, struct tr_request *request)
{
    struct tr_port *port = &comm->port[kind];
    TR_ASSERT(request->peer >= 0 && request->peer < comm->count && request->peer != comm->index && request->bytes >= 0);
    TR_ASSERT(request->parts >= 1 && request->parts <= TR_MESSAGE_PARTS_MAX);
    request->next = NULL;
    *port->last = request;
    port->last = &request->next;
}

void tr_request_send_parts(struct tr_comm *comm, enum tr_port_kind port, struct tr_request *request, int peer,
                           int64_t tag, const char *const *from, int parts, int64_t skip, int64_t bytes)
{
    *request = (struct tr_request){.sends = true,
                                   .peer = peer,
                                   .tag = tag,
                                   .seq = comm->port[port].seq[peer]++,
                                   .parts = parts,
                                   .from = from,
                                   .skip = skip,
                                   .bytes = bytes};
    begin(comm, port, request);
}

void tr_request_send(struct tr_comm *comm, enum tr_port_kind port, struct tr_request *request, int peer, int64_t tag,
                     const void *from, int64_t bytes)
{
    tr_request_send_parts(comm, port, request, peer, tag, NULL, 1, 0, bytes);
    request->one = from;
    request->from = &request->one;
}

void tr_request_recv(struct tr_comm *comm, enum tr_port_kind port, struct tr_request *request, int peer, int64_t tag,
                     void *to, int64_t bytes)
{
    *request = (struct tr_request){.peer = peer, .tag = tag, .seq = -1, .parts = 1, .to = to, .bytes = bytes};
    begin(comm, port, request);
}

void tr_request_recv_view(struct tr_comm *comm, enum tr_port_kind port, struct tr_request *request, int peer,
                          int64_t tag, int parts, int64_t bytes)
{
    *request = (struct tr_request){.views = true, .peer = peer, .tag = tag, .seq = -1, .parts = parts, .bytes = bytes};
    begin(comm, port, request);
}

static void go_on_with(struct tr_comm *comm, struct tr_port *port, struct tr_request *request)
{
    bool near = is_near(comm, request->peer);
    if (request->sends)
        near ? go_on_sending(comm, port, request) : tr_wire_send(comm, port, request);
    else if (!request->views)
        near ? go_on_receiving(comm, port, request) : tr_wire_recv(comm, port, request);
}

void tr_port_go_on(struct tr_comm *comm, enum tr_port_kind kind)
{
    struct tr_port *port = &comm->port[kind];
    for (int peer = 0; peer < comm->count && comm->area != NULL; peer++) {
        port->full[peer] = false;
        if (peer != comm->index && is_near(comm, peer))
            reap(comm, port, peer);
    }
    if (comm->wire != NULL)
        tr_wire_poll(comm, port);
    for (struct tr_request **at = &port->first; *at != NULL;) {
        struct tr_request *request = *at;
        go_on_with(comm, port, request);
        if (!request->done) {
            at = &request->next;
            continue;
        }
        *at = request->next;
        if (*at == NULL)
            port->last = at;
    }
}

/* --- giving up --- */

static void withdraw_slot(struct tr_slot *slot, double patience_s)
{
    uint32_t posted = TR_SLOT_POSTED;
    if (atomic_compare_exchange_strong(&slot->state, &posted, TR_SLOT_FREE))
        return;
    /* Somebody reads it. He reads no longer than a copy takes, or until he sees that the job has failed. */
    double until_s = tr_clock_s() + patience_s;
    while (atomic_load_explicit(&slot->state, memory_order_acquire) == TR_SLOT_TAKEN && tr_clock_s() < until_s)
        usleep(1000);
}

static void withdraw_port(struct tr_comm *comm, struct tr_port *port)
{
    for (struct tr_request *request = port->first; request != NULL; request = request->next)
        if (!request->sends && request->piece != NULL)
            release_piece(comm, port, request);
    /* A process whose reader is stopped for good need not wait: its memory goes with the last who has it. */
    double patience_s = comm->rank->way->shares_process ? comm->rank->timeout_s : 1;
    for (int peer = 0; peer < comm->count && comm->area != NULL; peer++) {
        if (peer == comm->index || !is_near(comm, peer))
            continue;
        for (int s = 0; s < TR_SLOTS; s++) {
            if (owners_to(comm, port, peer)[s] != NULL)
                withdraw_slot(&slots_to(comm, port, peer)[s], patience_s);
            owners_to(comm, port, peer)[s] = NULL;
        }
    }
    port->first = NULL;
    port->last = &port->first;
}

void tr_comm_withdraw(struct tr_comm *comm)
{
    comm->failed = true;
    for (int p = 0; p < TR_PORT_COUNT; p++)
        withdraw_port(comm, &comm->port[p]);
}

static enum tr_status give_up(struct tr_comm *comm, struct tr_port *port, const struct tr_err *why, struct tr_err *err)
{
    enum tr_status status = tr_board_fail(comm->rank, comm->rank->index, TR_FAILED, why, err);
    comm->failed = true;
    withdraw_port(comm, port);
    return status;
}

/* --- sentences --- */

static const struct tr_seen *seen_of(const struct tr_comm *comm, int peer)
{
    return &comm->rank->board->seen[comm->rank->place[comm->member[peer]]];
}

/* A letter of tr_process_state, 'Z' for one that is gone; 0 where it cannot be seen: a thread, a rank of another host. */
static char state_of(const struct tr_comm *comm, int peer)
{
    int process = is_near(comm, peer) ? atomic_load_explicit(&seen_of(comm, peer)->process, memory_order_relaxed) : 0;
    char state = process > 0 ? tr_process_state(process) : 0;
    return process > 0 && (state == 0 || state == 'X') ? 'Z' : state;
}

/* What a rank of this host was last seen at. */
static void say_seen(const struct tr_comm *comm, int peer, char *text, size_t bytes)
{
    text[0] = 0;
    if (!is_near(comm, peer))
        return;
    const struct tr_seen *seen = seen_of(comm, peer);
    int64_t last = atomic_load_explicit(&seen->last, memory_order_acquire);
    bool ended = atomic_load_explicit(&seen->ended, memory_order_acquire);
    char state = state_of(comm, peer);
    const char *how = state == 'T' ? " (its process was stopped)" : "", *in = state == 'Z' ? "was in" : "is in";
    if (last < 0)
        snprintf(text, bytes, "%s, which has not begun anything yet", how);
    else
        snprintf(text, bytes, "%s, which %s %s of group %s, step %lld", how, ended ? "last ended" : in,
                 tr_coll_kind_name((enum tr_coll_kind)(last & 0xff)), seen->name[(last >> 8) % TR_COMMS_MAX],
                 (long long)(last >> 16));
}

static bool waits_for(const struct tr_port *port, int peer)
{
    const struct tr_request *request = port->first;
    while (request != NULL && (request->peer != peer || request->done))
        request = request->next;
    return request != NULL;
}

/* Whether the process of a rank that is waited for has ended without a word. */
static bool any_died(struct tr_comm *comm, struct tr_port *port, struct tr_err *err)
{
    char where[TR_WHERE_BYTES], seen[200];
    for (int peer = 0; peer < comm->count; peer++) {
        if (!waits_for(port, peer) || state_of(comm, peer) != 'Z')
            continue;
        say_seen(comm, peer, seen, sizeof seen);
        tr_fail(err, TR_FAILED, "%s: rank %d has died%s", tr_call_where(comm, port->kind, where), comm->member[peer], seen);
        return true;
    }
    return false;
}

/* Who is waited for may itself wait for one of this host whose process was stopped. */
static void say_stopped(const struct tr_comm *comm, char *text, size_t bytes)
{
    const struct tr_rank *rank = comm->rank;
    for (int r = 0; r < rank->count && strstr(text, "stopped") == NULL; r++) {
        bool here = r != rank->index && rank->host[r] == rank->host[rank->index];
        int process = here ? atomic_load_explicit(&rank->board->seen[rank->place[r]].process, memory_order_relaxed) : 0;
        size_t used = strlen(text);
        if (process > 0 && tr_process_state(process) == 'T')
            snprintf(text + used, bytes - used, "; the process of rank %d was stopped", r);
    }
}

enum { PEERS_NAMED_MAX = 3 };

static void say_silence(struct tr_comm *comm, struct tr_port *port, struct tr_err *err)
{
    char where[TR_WHERE_BYTES], seen[200], whom[600] = "";
    int named = 0, left_out = 0;
    for (int peer = 0; peer < comm->count; peer++) {
        if (!waits_for(port, peer))
            continue;
        if (named == PEERS_NAMED_MAX) {
            left_out++;
            continue;
        }
        say_seen(comm, peer, seen, sizeof seen);
        size_t used = strlen(whom);
        snprintf(whom + used, sizeof whom - used, "%srank %d%s", named++ > 0 ? "; from " : "", comm->member[peer],
                 seen);
    }
    if (left_out > 0) {
        size_t used = strlen(whom);
        snprintf(whom + used, sizeof whom - used, "; from %d others", left_out);
    }
    say_stopped(comm, whom, sizeof whom);
    tr_fail(err, TR_FAILED, "%s: nothing for %g s from %s", tr_call_where(comm, port->kind, where),
            comm->rank->timeout_s, whom);
}

/* Whether what the peer has sent cannot be for this request, or is but is not what it should be: the ranks do not do
 * the same. */
static bool misfit(struct tr_comm *comm, struct tr_port *port, const struct tr_request *request,
                   const struct tr_wire_header *sent, struct tr_err *err)
{
    char where[TR_WHERE_BYTES];
    int64_t call = sent->tag >> 16, kind = sent->tag >> 8 & 0xff;
    if (sent->tag == request->tag && request->seq < 0 &&
        (sent->bytes != request->bytes || sent->parts != request->parts)) {
        tr_fail(err, TR_FAILED, "%s: rank %d sends %lld bytes where rank %d expects %lld",
                tr_call_where(comm, port->kind, where), comm->member[request->peer],
                (long long)(sent->bytes * sent->parts), comm->rank->index,
                (long long)(request->bytes * request->parts));
        return true;
    }
    if (port->kind != TR_PORT_COLL || call != request->tag >> 16 || kind == (request->tag >> 8 & 0xff))
        return false;
    tr_fail(err, TR_FAILED, "%s: rank %d is in %s, as its call number %lld of this group: all ranks must do the same",
            tr_call_where(comm, port->kind, where), comm->member[request->peer],
            tr_coll_kind_name((enum tr_coll_kind)kind), (long long)call);
    return true;
}

/* Number `index` of the messages that the peer has sent and that nobody has taken. */
static bool posted(struct tr_comm *comm, struct tr_port *port, const struct tr_request *request, int index,
                   struct tr_wire_header *sent)
{
    if (!is_near(comm, request->peer))
        return tr_wire_announced(comm, port, request, index, sent);
    const struct tr_slot *slot = slots_from(comm, port, request->peer);
    for (int s = 0; s < TR_SLOTS; s++)
        if (atomic_load_explicit(&slot[s].state, memory_order_acquire) == TR_SLOT_POSTED && slot[s].offset == 0 &&
            index-- == 0) {
            *sent = (struct tr_wire_header){slot[s].tag, slot[s].seq, slot[s].message_bytes, slot[s].parts, 0};
            return true;
        }
    return false;
}

static bool any_misfits(struct tr_comm *comm, struct tr_port *port, struct tr_err *err)
{
    struct tr_wire_header sent;
    for (const struct tr_request *request = port->first; request != NULL; request = request->next) {
        bool waits = !request->sends && !request->done && request->seq < 0 && !is_early(port, request);
        for (int i = 0; waits && posted(comm, port, request, i, &sent); i++)
            if (misfit(comm, port, request, &sent, err))
                return true;
    }
    return false;
}

/* The time since it was asked last. A rank that was itself asleep for long (stopped, suspended) has not been
 * listening: that counts as one nap. */
static double since(double *looked_s)
{
    double now_s = tr_clock_s(), passed_s = now_s - *looked_s;
    *looked_s = now_s;
    return passed_s > 2 * nap_s ? nap_s : passed_s;
}

enum tr_status tr_port_wait(struct tr_comm *comm, enum tr_port_kind kind, tr_finished_fn *finished, void *context,
                            struct tr_err *err)
{
    struct tr_port *port = &comm->port[kind];
    struct tr_err why = {""};
    struct tr_bell *bell = comm->area != NULL ? bell_of(comm, port, comm->index) : NULL;
    double looked_s = tr_clock_s(), silent_s = 0, alive_s = 0, nap = 0;
    for (;;) {
        uint32_t seen = bell != NULL ? atomic_load(&bell->rung) : 0;
        int64_t moves = port->moves;
        tr_port_go_on(comm, kind);
        if (finished != NULL ? finished(comm, context) : port->first == NULL)
            return TR_OK;
        if (tr_board_failed(comm->rank))
            return give_up(comm, port, &why, err);
        if (port->moves != moves) {
            since(&looked_s);
            silent_s = alive_s = nap = 0;
            continue;
        }
        TR_ASSERT(port->first != NULL); /* else nothing can ever come */
        if (tr_wire_failed(comm, &why) || any_misfits(comm, port, &why))
            return give_up(comm, port, &why, err);
        nap = comm->wire == NULL ? nap_s : fmin(wire_nap_s[1], fmax(wire_nap_s[0], 2 * nap));
        if (bell != NULL && comm->has_cores)
            look_for_a_while(bell, seen);
        sleep_until_rung(bell, seen, nap);
        silent_s += since(&looked_s);
        if (silent_s > alive_s + nap_s) {
            if (any_died(comm, port, &why))
                return give_up(comm, port, &why, err);
            alive_s = silent_s;
        }
        if (silent_s > comm->rank->timeout_s) {
            say_silence(comm, port, &why);
            return give_up(comm, port, &why, err);
        }
    }
}
