/* Messages between members of different hosts, by MPI's. For each message a header goes ahead, so that whoever
 * expects something else says so instead of waiting, and messages may be asked for in any order; what it announces
 * follows in pieces, TR_PIECES_MAX of them on their way at a time. A message of several arrays is packed piece by
 * piece, array after array. */
#include "silicon/coll/wire.h"

#include "base/num.h"

#include <stdlib.h>
#include <string.h>

enum {
    PIECE_BYTES = 256 * 1024, /* of all arrays together */
    TAG_HEADER = 0,
    TAG_PIECES = 1, /* and up, by the number of the message */
    TAGS = 30000,   /* MPI promises 32767 */
    ARRIVED_MAX = 4096
};

struct arrived {
    struct tr_wire_header header;
    int peer;
};

struct wire_port {
    void *group;
    struct tr_wire_header header; /* the next one that comes in */
    struct tr_mpi_request listening;
    bool listens;
    struct arrived *arrived; /* announced, not asked for yet: in the order of their coming */
    int arrived_count;
    char *send_room, *recv_room; /* [members][TR_PIECES_MAX][PIECE_BYTES]; of sums only */
};

struct tr_wire {
    const struct tr_mpi_table *mpi;
    struct wire_port port[TR_PORT_COUNT];
    _Atomic int code; /* of the first call that failed */
};

static struct wire_port *wire_of(struct tr_comm *comm, const struct tr_port *port)
{
    return &comm->wire->port[port->kind];
}

static bool worked(struct tr_comm *comm, int code)
{
    int none = 0;
    if (code != 0)
        atomic_compare_exchange_strong(&comm->wire->code, &none, code);
    return code == 0;
}

static char *room_of(char *rooms, int peer, int piece)
{
    return rooms + ((int64_t)peer * TR_PIECES_MAX + piece) * PIECE_BYTES;
}

/* --- sending --- */

static int tag_of(int64_t seq) { return TAG_PIECES + (int)(seq % TAGS); }

static void send_header(struct tr_comm *comm, struct tr_port *port, struct tr_request *request)
{
    struct tr_wire_state *state = &request->wire;
    state->header = (struct tr_wire_header){.tag = request->tag,
                                            .seq = request->seq,
                                            .bytes = request->bytes,
                                            .parts = request->parts,
                                            .piece = PIECE_BYTES / request->parts / TR_CACHE_LINE * TR_CACHE_LINE};
    request->begun = true;
    port->moves++;
    state->header_flies =
        worked(comm, comm->wire->mpi->send(wire_of(comm, port)->group, request->peer, TAG_HEADER, &state->header,
                                           sizeof state->header, &state->header_request));
}

static bool is_over(struct tr_comm *comm, struct tr_mpi_request *request)
{
    int done = 0, from;
    return worked(comm, comm->wire->mpi->test(request, &done, &from)) && done;
}

static void send_piece(struct tr_comm *comm, struct tr_port *port, struct tr_request *request)
{
    struct wire_port *wire = wire_of(comm, port);
    struct tr_wire_state *state = &request->wire;
    int place = (state->oldest + state->flying) % TR_PIECES_MAX;
    int64_t bytes = tr_min_i64(state->header.piece, request->bytes - request->moved);
    const char *from = request->from[0] + request->skip + request->moved;
    if (request->parts > 1) {
        char *room = room_of(wire->send_room, request->peer, place);
        for (int p = 0; p < request->parts; p++)
            memcpy(room + p * bytes, request->from[p] + request->skip + request->moved, (size_t)bytes);
        from = room;
    }
    if (!worked(comm, comm->wire->mpi->send(wire->group, request->peer, tag_of(request->seq), from,
                                            bytes * request->parts, &state->piece[place])))
        return;
    struct tr_coll_count *count = tr_port_count(comm, port, TR_COLL_SEND);
    count->sent_bytes += bytes * request->parts;
    request->moved += bytes;
    state->flying++;
    port->moves++;
}

void tr_wire_send(struct tr_comm *comm, struct tr_port *port, struct tr_request *request)
{
    struct tr_wire_state *state = &request->wire;
    if (!request->begun) {
        tr_port_count(comm, port, TR_COLL_SEND)->messages++;
        send_header(comm, port, request);
    }
    if (state->header_flies && is_over(comm, &state->header_request))
        state->header_flies = false;
    for (; state->flying > 0 && is_over(comm, &state->piece[state->oldest]); state->flying--) {
        state->oldest = (state->oldest + 1) % TR_PIECES_MAX;
        port->moves++;
    }
    while (request->moved < request->bytes && state->flying < TR_PIECES_MAX && comm->wire->code == 0)
        send_piece(comm, port, request);
    request->done = request->moved == request->bytes && state->flying == 0 && !state->header_flies;
}

/* --- receiving --- */

static void listen(struct tr_comm *comm, struct wire_port *wire)
{
    if (!wire->listens && wire->arrived_count < ARRIVED_MAX)
        wire->listens = worked(comm, comm->wire->mpi->recv(wire->group, TR_MPI_ANY, TAG_HEADER, &wire->header,
                                                           sizeof wire->header, &wire->listening));
}

void tr_wire_poll(struct tr_comm *comm, struct tr_port *port)
{
    struct wire_port *wire = wire_of(comm, port);
    int done = 1, from = -1;
    listen(comm, wire);
    while (wire->listens && worked(comm, comm->wire->mpi->test(&wire->listening, &done, &from)) && done) {
        wire->arrived[wire->arrived_count++] = (struct arrived){wire->header, from};
        wire->listens = false;
        port->moves++;
        listen(comm, wire);
    }
}

/* Where the request's message is announced; -1: not yet. Headers of one peer come in the order of their messages. */
static int find_arrived(const struct wire_port *wire, const struct tr_request *request)
{
    for (int i = 0; i < wire->arrived_count; i++)
        if (wire->arrived[i].peer == request->peer && wire->arrived[i].header.tag == request->tag)
            return i;
    return -1;
}

/* Whether the request has found its message. One of the wrong size is not taken: tr_port_wait says so. */
static bool has_header(struct tr_comm *comm, struct tr_port *port, struct tr_request *request)
{
    struct wire_port *wire = wire_of(comm, port);
    if (request->seq >= 0)
        return true;
    int at = find_arrived(wire, request);
    if (at < 0 || wire->arrived[at].header.bytes != request->bytes || wire->arrived[at].header.parts != request->parts)
        return false;
    request->wire.header = wire->arrived[at].header;
    request->seq = request->wire.header.seq;
    wire->arrived_count--;
    memmove(&wire->arrived[at], &wire->arrived[at + 1], (size_t)(wire->arrived_count - at) * sizeof wire->arrived[0]);
    port->moves++;
    return true;
}

static void ask_for_pieces(struct tr_comm *comm, struct tr_port *port, struct tr_request *request)
{
    struct wire_port *wire = wire_of(comm, port);
    struct tr_wire_state *state = &request->wire;
    while (state->asked < request->bytes && state->flying < TR_PIECES_MAX && comm->wire->code == 0) {
        int place = (state->oldest + state->flying) % TR_PIECES_MAX;
        int64_t bytes = tr_min_i64(state->header.piece, request->bytes - state->asked);
        char *to = request->views ? room_of(wire->recv_room, request->peer, place) : request->to + state->asked;
        if (!worked(comm, comm->wire->mpi->recv(wire->group, request->peer, tag_of(request->seq), to,
                                                bytes * request->parts, &state->piece[place])))
            return;
        state->asked += bytes;
        state->flying++;
    }
}

/* Whether the oldest piece is there. */
static bool has_piece(struct tr_comm *comm, struct tr_port *port, struct tr_request *request)
{
    struct tr_wire_state *state = &request->wire;
    if (state->has_piece || state->flying == 0)
        return state->has_piece;
    if (!is_over(comm, &state->piece[state->oldest]))
        return false;
    state->has_piece = true;
    state->piece_at = request->moved;
    state->piece_bytes = tr_min_i64(state->header.piece, request->bytes - request->moved);
    tr_port_count(comm, port, TR_COLL_RECV)->received_bytes += state->piece_bytes * request->parts;
    port->moves++;
    return true;
}

static void leave_piece(struct tr_wire_state *state)
{
    state->has_piece = false;
    state->oldest = (state->oldest + 1) % TR_PIECES_MAX;
    state->flying--;
}

void tr_wire_recv(struct tr_comm *comm, struct tr_port *port, struct tr_request *request)
{
    if (!has_header(comm, port, request))
        return;
    ask_for_pieces(comm, port, request);
    while (has_piece(comm, port, request)) {
        request->moved += request->wire.piece_bytes;
        leave_piece(&request->wire);
        ask_for_pieces(comm, port, request);
    }
    request->done = request->moved == request->bytes;
}

int64_t tr_wire_view(struct tr_comm *comm, struct tr_port *port, struct tr_request *request, const char **at)
{
    struct tr_wire_state *state = &request->wire;
    if (!has_header(comm, port, request))
        return 0;
    ask_for_pieces(comm, port, request);
    if (!has_piece(comm, port, request))
        return 0;
    const char *room = room_of(wire_of(comm, port)->recv_room, request->peer, state->oldest);
    int64_t inside = request->moved - state->piece_at;
    for (int p = 0; p < request->parts; p++)
        at[p] = room + p * state->piece_bytes + inside;
    return state->piece_bytes - inside;
}

void tr_wire_release(struct tr_comm *comm, struct tr_port *port, struct tr_request *request, int64_t bytes)
{
    struct tr_wire_state *state = &request->wire;
    request->moved += bytes;
    if (request->moved < state->piece_at + state->piece_bytes)
        return;
    leave_piece(state);
    ask_for_pieces(comm, port, request);
    request->done = request->moved == request->bytes;
    port->moves++;
}

bool tr_wire_announced(struct tr_comm *comm, struct tr_port *port, const struct tr_request *request, int index,
                       struct tr_wire_header *header)
{
    const struct wire_port *wire = wire_of(comm, port);
    for (int i = 0; i < wire->arrived_count; i++)
        if (wire->arrived[i].peer == request->peer && index-- == 0) {
            *header = wire->arrived[i].header;
            return true;
        }
    return false;
}

/* --- groups --- */

static bool make_port(struct tr_comm *comm, enum tr_port_kind kind, int group_number)
{
    struct wire_port *wire = &comm->wire->port[kind];
    wire->arrived = calloc(ARRIVED_MAX, sizeof *wire->arrived);
    size_t rooms = (size_t)comm->count * TR_PIECES_MAX * PIECE_BYTES;
    if (kind == TR_PORT_COLL) { /* untouched pages cost nothing: those of members on this host */
        wire->send_room = malloc(rooms);
        wire->recv_room = malloc(rooms);
    }
    if (!wire->arrived || (kind == TR_PORT_COLL && (!wire->send_room || !wire->recv_room)))
        return false;
    return worked(comm, comm->wire->mpi->group_make(comm->member, comm->count, group_number, &wire->group));
}

enum tr_status tr_wire_open(struct tr_comm *comm, const struct tr_mpi_table *mpi, struct tr_err *err)
{
    enum { GROUP_NUMBER = 2 };
    comm->wire = calloc(1, sizeof *comm->wire);
    if (comm->wire == NULL)
        return tr_fail(err, TR_FAILED, "group %s: no memory", comm->name);
    comm->wire->mpi = mpi;
    bool made = true;
    for (int p = 0; p < TR_PORT_COUNT && made; p++)
        made = make_port(comm, (enum tr_port_kind)p, GROUP_NUMBER + p);
    if (made)
        return TR_OK;
    enum tr_status status =
        tr_wire_failed(comm, err)
            ? TR_FAILED
            : tr_fail(err, TR_FAILED, "group %s: no memory for messages of %d members", comm->name, comm->count);
    tr_wire_close(comm, false);
    return status;
}

void tr_wire_close(struct tr_comm *comm, bool is_sound)
{
    if (comm->wire == NULL)
        return;
    for (int p = 0; p < TR_PORT_COUNT; p++) {
        struct wire_port *wire = &comm->wire->port[p];
        if (is_sound && wire->listens)
            comm->wire->mpi->cancel(&wire->listening);
        if (is_sound && wire->group != NULL)
            comm->wire->mpi->group_free(wire->group);
        if (!is_sound && wire->listens)
            continue; /* MPI may still write there */
        free(wire->arrived);
        free(wire->send_room);
        free(wire->recv_room);
    }
    if (is_sound)
        free(comm->wire);
    comm->wire = NULL;
}

bool tr_wire_failed(struct tr_comm *comm, struct tr_err *err)
{
    char words[200] = "";
    if (comm->wire == NULL || comm->wire->code == 0)
        return false;
    comm->wire->mpi->text(comm->wire->code, words, sizeof words);
    tr_fail(err, TR_FAILED, "rank %d: group %s: MPI: %s", comm->rank->index, comm->name, words);
    return true;
}
