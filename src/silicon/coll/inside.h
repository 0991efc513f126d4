/* What the files of coll share: a rank, a group, and messages between two members. Internal to silicon/coll.
 *
 * Members of one host (threads of a process, or processes that share memory) meet in an *area*, memory that all of
 * them see. For each ordered pair of members it has a *channel* of slots. A sender writes into a free slot where its
 * bytes are and rings the receiver's bell; the receiver reads them where they lie and rings back; then the slot is
 * free again. So a message is read once, straight out of the sender's buffer, or, where the receiver cannot see that
 * (process memory that is not shared), out of room that belongs to the slot, piece by piece.
 *
 *     FREE --sender--> POSTED --receiver--> TAKEN --receiver--> DONE --sender--> FREE
 *
 * A sender that gives up takes back what is POSTED and waits for what is TAKEN, so that nobody reads a buffer whose
 * owner has gone.
 *
 * A message may consist of several arrays of equal length (nodes of a tree), which travel side by side: the receiver
 * sees the same stretch of all of them at once. */
#ifndef TR_SILICON_COLL_INSIDE_H
#define TR_SILICON_COLL_INSIDE_H

#include "silicon/coll/coll.h"
#include "silicon/coll/mpi_table.h"

#include <stdatomic.h>
#include <stddef.h>

enum {
    TR_SLOTS = 16,     /* of a channel */
    TR_PIECES_MAX = 2, /* of one message on the way at a time, where it goes in pieces */
    TR_MESSAGE_PARTS_MAX = TR_TREE_ROOTS_MAX,
    TR_COMMS_MAX = 64, /* groups that a rank makes in its life */
    TR_CACHE_LINE = 64,
    TR_JOIN_BLOCK = 1024 /* elements that are summed at a time */
};

/* --- what all ranks of a host see of each other --- */

struct tr_seen {
    _Alignas(
        TR_CACHE_LINE) _Atomic int64_t last; /* kind | group << 8 | step << 16 of the call that began last; -1: none */
    _Atomic int64_t ended;                   /* 0: in it, 1: out of it */
    _Atomic int32_t process;                 /* its number; 0: the rank is a thread of this one */
    char name[TR_COMMS_MAX][TR_COMM_NAME_BYTES]; /* of the groups; written before any call in them */
};

struct tr_board {
    _Atomic int32_t failed; /* 0 no, 1 somebody is writing the sentence, 2 it stands there */
    int32_t blamed, status; /* of whom, and which */
    char text[TR_ERR_BYTES];
    int32_t count;         /* ranks of this host */
    struct tr_seen seen[]; /* by tr_rank.place */
};

static inline int64_t tr_board_bytes(int ranks)
{
    return (int64_t)sizeof(struct tr_board) + ranks * (int64_t)sizeof(struct tr_seen);
}

/* --- the area of a group on one host --- */

enum tr_slot_state { TR_SLOT_FREE, TR_SLOT_POSTED, TR_SLOT_TAKEN, TR_SLOT_DONE };

struct tr_slot {
    _Alignas(TR_CACHE_LINE) _Atomic uint32_t state;
    int32_t parts;                          /* arrays of the message */
    int64_t tag, seq;                       /* seq: number of the message in its channel */
    int64_t message_bytes;                  /* of each array, in the whole message */
    int64_t offset, bytes;                  /* of each array: what this piece has */
    int32_t staged;                         /* whether the bytes lie in the slot's own room, array after array */
    uint64_t address[TR_MESSAGE_PARTS_MAX]; /* else: where the arrays of the message begin, as the way writes it */
};

struct tr_bell {
    _Alignas(TR_CACHE_LINE) _Atomic uint32_t rung;
    _Atomic uint32_t waits; /* whether its owner sleeps on it */
};

/* The two kinds of traffic of a group, apart so that two threads of a rank may be at them. */
enum tr_port_kind { TR_PORT_COLL, TR_PORT_MESSAGE, TR_PORT_COUNT };

struct tr_area {
    _Atomic int32_t users; /* who has not left yet: the last one frees it (threads) */
    int32_t members;       /* on this host */
    int64_t room_bytes;    /* of each slot; 0 where all memory is seen by all */
    int64_t bytes;         /* of the whole area */
    int64_t bells_at, slots_at, rooms_at;
};

int64_t tr_area_bytes(int members, int64_t room_bytes);
void tr_area_init(struct tr_area *area, int members,
                  int64_t room_bytes); /* `area` is zero bytes, tr_area_bytes of them */
struct tr_bell *tr_area_bell(struct tr_area *area, int member, enum tr_port_kind port);
struct tr_slot *tr_area_channel(struct tr_area *area, enum tr_port_kind port, int from, int to); /* TR_SLOTS of them */
char *tr_area_room(struct tr_area *area, const struct tr_slot *slot);

/* --- a rank --- */

struct tr_rank;

/* How ranks come together: one table a transport. */
struct tr_way {
    const char *name;
    /* Makes comm->area for the members of this host: collective in `parent`, whose members may be in several new
     * groups. */
    enum tr_status (*area_make)(struct tr_comm *parent, struct tr_comm *comm, struct tr_err *err);
    void (*area_free)(struct tr_comm *comm);
    /* Whether the members of this host can read `bytes` at `at`, and how to tell them where. */
    bool (*address_write)(const struct tr_rank *rank, const void *at, int64_t bytes, uint64_t *address);
    const void *(*address_read)(const struct tr_rank *rank, int peer, uint64_t address); /* peer: rank in the world */
    /* Memory that address_write knows: see tr_comm_map. */
    enum tr_status (*map)(struct tr_comm *world, int64_t bytes, struct tr_slab *slab, struct tr_err *err);
    void (*unmap)(struct tr_comm *world, struct tr_slab *slab); /* one that is mapped */
    bool shares_process;                                        /* all members of a host have one address space */
};

struct tr_rank {
    int index, count; /* in the world */
    double timeout_s;
    const struct tr_way *way;
    struct tr_board *board;
    struct tr_seen *seen; /* of this rank, on the board */
    _Atomic int64_t step;
    int cores;                         /* that this process may use */
    int comms;                         /* made so far */
    struct tr_comm *first;             /* those that live */
    const int *host;                   /* [count] of each rank: equal for ranks of one host */
    const int *place;                  /* [count] of each rank: which of its host's ranks it is */
    void (*end)(struct tr_rank *rank); /* when its world is freed; NULL: who made the rank does that */
    void *ending;                      /* for `end` */
};

/* --- a group --- */

/* What goes ahead of a message to another host, and how far it is. */
struct tr_wire_header {
    int64_t tag, seq;
    int64_t bytes;        /* of each array */
    int32_t parts, piece; /* piece: bytes of each array that go at a time */
};

struct tr_wire_state {
    struct tr_wire_header header;
    struct tr_mpi_request header_request, piece[TR_PIECES_MAX];
    bool header_flies, has_piece;  /* has_piece: the oldest has come and is looked at */
    int oldest, flying;            /* pieces on their way, in a ring */
    int64_t asked;                 /* receive: bytes of each array that pieces were asked for */
    int64_t piece_at, piece_bytes; /* of the oldest */
};

struct tr_request {
    bool sends, views, begun, done;
    int peer;
    int64_t tag, seq; /* seq of a receive: -1 until a message was found */
    int parts;
    const char *const *from; /* send: the arrays */
    const char *one;         /* the array of a message that has one; `from` points here */
    char *to;                /* receive */
    int64_t skip;            /* send: where they begin in the arrays */
    int64_t bytes;           /* of each array */
    int64_t moved;           /* send: posted; receive: taken or, with views, released */
    int flying;              /* send: slots that are not done */
    struct tr_slot *piece;   /* receive: the slot that is taken */
    struct tr_wire_state wire;
    struct tr_request *next;
};

struct tr_port {
    enum tr_port_kind kind;
    struct tr_request *first, **last; /* those that are not done, in the order of their starts */
    struct tr_request **owner;        /* [local members][TR_SLOTS]: whose piece is in that slot to that member */
    int64_t *seq;                     /* [members]: messages sent to each so far */
    bool *full;                       /* [members]: no slot left, in this round */
    int64_t moves;                    /* grows with anything that went on */
    enum tr_coll_kind call;           /* what runs, for sentences and counts */
};

struct tr_comm {
    struct tr_rank *rank;
    char name[TR_COMM_NAME_BYTES];
    int number; /* of the groups of this rank: index in tr_seen.name */
    int index, count;
    int *member; /* [count] ranks in the world */
    int *local;  /* [count] index in the area; -1: on another host */
    int locals;
    bool has_cores;       /* as many as members on this host */
    struct tr_area *area; /* NULL: no other member on this host */
    struct tr_wire *wire; /* NULL: no member on another host */
    void *held;           /* by the way, with the area */
    struct tr_port port[TR_PORT_COUNT];
    struct tr_request *request; /* TR_REQUESTS a member */
    int requests;
    int64_t calls;
    struct tr_coll_count counted[TR_COLL_KIND_COUNT];
    struct tr_join *join; /* room of the sums */
    char *small;          /* room for TR_SMALL_BYTES of each member, and for two exact sums before them */
    struct tr_background *background;
    struct tr_comm *next; /* of the rank */
    bool failed;
};

enum { TR_SMALL_BYTES = 32 };
enum { TR_REQUESTS = 4 }; /* a member: two sends, two receives in one collective */

/* A group of `count` members without its area; `member` is copied. */
enum tr_status tr_comm_new(struct tr_rank *rank, const char *name, const int *member, int count, int index,
                           struct tr_comm **comm, struct tr_err *err);
void tr_comm_delete(struct tr_comm *comm);
/* Takes back what is on its way, so that no member reads memory of this rank any more. */
void tr_comm_withdraw(struct tr_comm *comm);

/* --- messages (message.c) --- */

/* Begins; the request lives until it is done. tr_request_send_parts: `from` has `parts` arrays and lives as long; bytes
 * [skip, skip + bytes) of each go. */
void tr_request_send(struct tr_comm *comm, enum tr_port_kind port, struct tr_request *request, int peer, int64_t tag,
                     const void *from, int64_t bytes);
void tr_request_send_parts(struct tr_comm *comm, enum tr_port_kind port, struct tr_request *request, int peer,
                           int64_t tag, const char *const *from, int parts, int64_t skip, int64_t bytes);
void tr_request_recv(struct tr_comm *comm, enum tr_port_kind port, struct tr_request *request, int peer, int64_t tag,
                     void *to, int64_t bytes);
/* A receive that is looked at where it lies: tr_request_view, then tr_request_release, until all bytes are released. */
void tr_request_recv_view(struct tr_comm *comm, enum tr_port_kind port, struct tr_request *request, int peer,
                          int64_t tag, int parts, int64_t bytes);

/* How many bytes of each array are there from what was released on; 0: none yet. at[part] is where they lie. */
int64_t tr_request_view(struct tr_comm *comm, struct tr_request *request, const char **at);
void tr_request_release(struct tr_comm *comm, struct tr_request *request, int64_t bytes);

/* Goes once through all that is under way, without waiting; what is done leaves the list. */
void tr_port_go_on(struct tr_comm *comm, enum tr_port_kind kind);

/* Goes on with everything until `finished` says so; NULL: until all requests of the port are done. */
typedef bool tr_finished_fn(struct tr_comm *comm, void *context);
TR_MUST_CHECK enum tr_status tr_port_wait(struct tr_comm *comm, enum tr_port_kind port, tr_finished_fn *finished,
                                          void *context, struct tr_err *err);

/* Where the port's traffic is counted: by the collective that runs, or as `message` where there is none. */
struct tr_coll_count *tr_port_count(struct tr_comm *comm, const struct tr_port *port, enum tr_coll_kind message);

/* --- calls (comm.c) --- */

/* Every collective begins and ends with these: they note where the rank is, count, and fail when the job has failed. */
TR_MUST_CHECK enum tr_status tr_call_begin(struct tr_comm *comm, enum tr_port_kind port, enum tr_coll_kind kind,
                                           struct tr_err *err);
void tr_call_end(struct tr_comm *comm, enum tr_port_kind port, double began_s);
/* The tag of a message of the collective that runs. */
int64_t tr_call_tag(const struct tr_comm *comm, int phase);
struct tr_request *tr_call_request(struct tr_comm *comm); /* a fresh one of the comm's */

/* The sentence's beginning: "rank 3: all_gather of group tp, step 12". */
enum { TR_WHERE_BYTES = 128 };
const char *tr_call_where(const struct tr_comm *comm, enum tr_port_kind port, char where[TR_WHERE_BYTES]);

/* --- the board (board.c) --- */

/* Puts status and sentence of rank `blamed` there, unless some are; what stands there in the end is returned and goes into
 * *err. */
enum tr_status tr_board_fail(struct tr_rank *rank, int blamed, enum tr_status status, const struct tr_err *why,
                             struct tr_err *err);
bool tr_board_failed(const struct tr_rank *rank);

/* --- sums (join.c) --- */

struct tr_join;
int64_t tr_join_bytes(int members);
void tr_join_init(struct tr_join *join, int members); /* zero bytes, tr_join_bytes of them */
TR_MUST_CHECK enum tr_status tr_join_reduce_scatter(struct tr_comm *comm, const struct tr_coll *call,
                                                    struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_join_all_reduce(struct tr_comm *comm, const struct tr_coll *call, struct tr_err *err);

/* --- calls that are data (coll.c) --- */

/* On the calling thread, whatever was started. */
TR_MUST_CHECK enum tr_status tr_coll_run_now(struct tr_comm *comm, const struct tr_coll *call, struct tr_err *err);

/* Small things are handed to all, and each merges for itself: `all` has room for one of `bytes` of each member. */
TR_MUST_CHECK enum tr_status tr_tell_all(struct tr_comm *comm, enum tr_coll_kind kind, const void *mine, void *all,
                                         int64_t bytes, struct tr_err *err);

/* --- in the background (background.c) --- */

/* Waits for all that was started. */
void tr_background_drain(struct tr_comm *comm);
/* The same, and ends the thread. */
void tr_background_end(struct tr_comm *comm);

#endif
