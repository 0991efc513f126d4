/* Collectives: how ranks exchange bytes and add up partial sums, to the same bits on any number of them.
 *
 * A `struct tr_comm` is a group of ranks as one of its members sees it: its index, how many there are, and a way to
 * each of the others that nobody above needs to know. The ways are
 *
 *     self      one rank: nothing moves
 *     threads   n ranks as threads of one process: every layout without MPI, in one test   (tr_ranks_run)
 *     mpi       n processes that mpirun or srun started: shared memory between ranks of one host, messages of MPI
 *               between hosts; one group may have both                                      (tr_mpi_start)
 *
 *     static enum tr_status rank_main(struct tr_comm *world, void *user, struct tr_err *err)
 *     {
 *         struct tr_comm *tp;
 *         enum tr_status status = tr_comm_split(world, "tp", tr_comm_index(world) / 2, tr_comm_index(world), &tp, err);
 *         ...
 *         status = tr_all_reduce(tp, &owners, node, n, sum, err);
 *         ...
 *         tr_comm_free(tp);
 *         return status;
 *     }
 *     status = tr_ranks_run(8, &config, rank_main, user, err);
 *
 * Order. All members of a group call the same collectives of it, with the same arguments where this header says so,
 * in the same order. What one rank does in different groups has no order but the program's own. One thread of a rank
 * uses a group at a time.
 *
 * Bits. Sums (tr_reduce_scatter, tr_all_reduce) follow the one binary tree over logical leaves of op/reduce.h: each
 * rank brings the nodes that it owns, and whatever the ranks are, the result is what one owner of all leaves would
 * compute. The other merges are exact, so that order does not matter.
 *
 * Memory. Buffers are the caller's, and nobody may change them from the start of a collective to its end. Where
 * `from` and `to` are allowed to be the same, it is said. Nothing is allocated after tr_comm_split, but for
 * the first start on a group that runs in the background.
 *
 * Errors. What cannot be an argument is our bug and asserts. What the world does is TR_FAILED: members that do not fit
 * together (another collective, other sizes), a rank that failed, and a rank that is not heard of for
 * config.timeout_s: "rank 3: all_gather of group tp, step 12: nothing for 60 s from rank 5, which last ended barrier of
 * group dp, step 11". After that every call of every rank fails with what was said first, and tr_comm_blamed says whose
 * sentence it is, so that one rank prints it.
 *
 * Counting. Bytes are counted where they leave and arrive, by group and kind of collective (tr_comm_counted), and
 * tr_coll_sent_bytes says what they must be. */
#ifndef TR_SILICON_COLL_COLL_H
#define TR_SILICON_COLL_COLL_H

#include "base/arena.h"
#include "silicon/op/exact.h"
#include "silicon/op/reduce.h"

#include <stdbool.h>
#include <stdint.h>

struct tr_comm;

enum {
    TR_RANKS_MAX = 4096,        /* of a job */
    TR_RANKS_THREADS_MAX = 128, /* of one process, and of one host */
    TR_COMM_NAME_BYTES = 16
};

/* --- a job of ranks --- */

struct tr_comm_config {
    double timeout_s;   /* how long a rank waits without any progress before it gives up; 0: TR_COMM_TIMEOUT_S */
    int ranks_per_host; /* tests: so many ranks, counted from 0, are taken for a host of their own; 0: as it is */
};

enum { TR_COMM_TIMEOUT_S = 600 };

/* What one rank does. `world` is freed by who called it. */
typedef enum tr_status tr_rank_fn(struct tr_comm *world, void *user, struct tr_err *err);

/* A group of one, in memory of its own; the only member is rank 0. */
TR_MUST_CHECK enum tr_status tr_comm_self(struct tr_comm **comm, struct tr_err *err);

/* Runs `run` as ranks 0 .. ranks - 1 <= TR_RANKS_THREADS_MAX, each a thread of this process; returns when all have
 * returned. A rank that returns another status than TR_OK ends the waiting of the others; the status and the
 * sentence are those of the first that failed. */
TR_MUST_CHECK enum tr_status tr_ranks_run(int ranks, const struct tr_comm_config *config, tr_rank_fn *run, void *user,
                                          struct tr_err *err);

/* The ranks that MPI started (mpirun, srun): this process is one of them. TR_BAD_INPUT where trine was built without
 * MPI, with the sentence that says what is missing. tr_comm_free of the world ends MPI, unless the job has failed:
 * then the process is to end with a status that is not 0, and the launcher ends the others. */
TR_MUST_CHECK enum tr_status tr_mpi_start(const struct tr_comm_config *config, struct tr_comm **world,
                                          struct tr_err *err);

/* Of how many processes a launcher says that this is one, by what it puts into the environment, and which; 1 and 0
 * when no launcher says anything. Costs nothing and starts nothing. */
struct tr_launched {
    int ranks, rank;
    const char *by; /* "Open MPI's mpirun", "srun", ...; NULL: nobody */
};
struct tr_launched tr_launched(void);

/* Memory for tensors that are often sent: zero bytes, by whole pages, of this rank, which the other ranks of its
 * host read where they are. Any memory can be sent; other memory of processes goes through small rooms, piece by
 * piece. Collective among all ranks; bytes > 0 differ as they like. At most TR_MAPS_MAX at a time. */
enum { TR_MAPS_MAX = 16 };
TR_MUST_CHECK enum tr_status tr_comm_map(struct tr_comm *world, int64_t bytes, struct tr_slab *slab,
                                         struct tr_err *err);
void tr_comm_unmap(struct tr_comm *world, struct tr_slab *slab); /* collective; also right on a zeroed struct */

/* --- a group --- */

int tr_comm_index(const struct tr_comm *comm); /* of this rank in the group */
int tr_comm_count(const struct tr_comm *comm);
int tr_comm_rank(const struct tr_comm *comm, int index); /* the rank in the world of member `index` */
int tr_comm_host(const struct tr_comm *comm, int index); /* the lowest rank of the world on the host of member `index` */
const char *tr_comm_name(const struct tr_comm *comm);

/* The members with one colour >= 0 become a group, in the order of `key`, then of their index here; with TR_NO_COLOUR a
 * member is in none, and *part is NULL. The name (at most TR_COMM_NAME_BYTES - 1 bytes) is for sentences and counts.
 * Collective. tr_comm_free before the group that it came from. */
enum { TR_NO_COLOUR = -1 };
TR_MUST_CHECK enum tr_status tr_comm_split(struct tr_comm *comm, const char *name, int colour, int key,
                                           struct tr_comm **part, struct tr_err *err);
void tr_comm_free(struct tr_comm *comm); /* collective, but for a group that failed; NULL is fine */

/* What this rank is at, for sentences: holds for all groups of the rank. */
void tr_comm_set_step(struct tr_comm *comm, int64_t step);

/* Ends the job: every wait of every rank of this host, now and later, fails with this status and sentence, unless
 * others were first. For a rank that has failed at something else. Ranks of other hosts are ended by the launcher. */
void tr_comm_fail(struct tr_comm *comm, enum tr_status status, const struct tr_err *why);

/* The rank whose sentence it was that ended the job; -1: nothing has. */
int tr_comm_blamed(const struct tr_comm *comm);

/* --- moving bytes --- */

enum tr_coll_kind {
    TR_COLL_SPLIT, /* tr_comm_split's own */
    TR_COLL_BARRIER,
    TR_COLL_BROADCAST,
    TR_COLL_ALL_GATHER,
    TR_COLL_GATHER,
    TR_COLL_ALL_TO_ALL,
    TR_COLL_REDUCE_SCATTER,
    TR_COLL_ALL_REDUCE,
    TR_COLL_EXACT,
    TR_COLL_MAX,
    TR_COLL_FLAGS,
    TR_COLL_AGREE,
    TR_COLL_SEND,
    TR_COLL_RECV,
    TR_COLL_KIND_COUNT
};

const char *tr_coll_kind_name(enum tr_coll_kind kind); /* "all_gather" */

/* Nobody leaves before all have come. */
TR_MUST_CHECK enum tr_status tr_barrier(struct tr_comm *comm, struct tr_err *err);

/* The root's bytes into everybody's `data`. `bytes` and root are the same on all. */
TR_MUST_CHECK enum tr_status tr_broadcast(struct tr_comm *comm, int root, void *data, int64_t bytes,
                                          struct tr_err *err);

/* Parts of any sizes: that of member i lies at bytes [at[i], at[i + 1]) of `to`, the same at[] on all, ascending.
 * `from` is this rank's part; it may lie in its place already (from = to + at[index]). */
TR_MUST_CHECK enum tr_status tr_all_gather(struct tr_comm *comm, const void *from, void *to, const int64_t *at,
                                           struct tr_err *err);

/* The same to the root alone; elsewhere `to` is not used. */
TR_MUST_CHECK enum tr_status tr_gather(struct tr_comm *comm, int root, const void *from, void *to, const int64_t *at,
                                       struct tr_err *err);

/* Bytes [from_at[i], from_at[i + 1]) of `from` go to member i, to where its own to_at[] says; what this member gets
 * of i are the bytes [to_at[i], to_at[i + 1]) of `to`. Both sides must agree on sizes. `from` and `to` apart. */
TR_MUST_CHECK enum tr_status tr_all_to_all(struct tr_comm *comm, const void *from, const int64_t *from_at, void *to,
                                           const int64_t *to_at, struct tr_err *err);

/* --- sums along the tree --- */

/* Which leaves each member owns: leaves[i] of member i, a contiguous range that may be empty; together each leaf of
 * leaf_count once. The nodes that member i brings are those of tr_tree_roots over its range, in that order: arrays that
 * hold the sums of the leaves below them. The same on all members. */
struct tr_owners {
    int64_t leaf_count;
    const struct tr_range *leaves; /* [members] */
};

/* How many arrays member `index` brings. */
int tr_owners_nodes(const struct tr_owners *owners, int index);

/* node[k][0 .. at[count]): the nodes of this member; the sum of all, elements [at[index], at[index + 1]), into `to`.
 * at[] are elements, ascending, at[0] = 0, and the same on all. `to` may be the place of that part in one of the
 * nodes. */
TR_MUST_CHECK enum tr_status tr_reduce_scatter(struct tr_comm *comm, const struct tr_owners *owners,
                                               const float *const *node, const int64_t *at, float *to,
                                               struct tr_err *err);

/* The sum of n elements to all. `to` may be one of the nodes. */
TR_MUST_CHECK enum tr_status tr_all_reduce(struct tr_comm *comm, const struct tr_owners *owners,
                                           const float *const *node, int64_t n, float *to, struct tr_err *err);

/* Which part of n elements member i adds up in tr_all_reduce: from here to where member i + 1 begins. Multiples of
 * 16 but for the end. */
int64_t tr_all_reduce_at(int64_t n, int members, int i);

/* --- exact merges --- */

/* Each member's sum becomes the sum of all. Of one kind on all. */
TR_MUST_CHECK enum tr_status tr_exact_all(struct tr_comm *comm, struct tr_exact *sum, struct tr_err *err);

/* x[i] = the largest of all members' x[i]; NaN where any has NaN; +0 is more than -0. */
TR_MUST_CHECK enum tr_status tr_max_all(struct tr_comm *comm, float *x, int64_t n, struct tr_err *err);

/* Bits that any member has, and that all have. */
TR_MUST_CHECK enum tr_status tr_flags_all(struct tr_comm *comm, uint64_t flags, uint64_t *any, uint64_t *every,
                                          struct tr_err *err);

/* Whether all have the same bytes (their config, their version). If not, TR_BAD_INPUT on all, and the sentence names
 * the members that differ from member 0 in `what`. */
TR_MUST_CHECK enum tr_status tr_agree_all(struct tr_comm *comm, const char *what, const void *data, int64_t bytes,
                                          struct tr_err *err);

/* How all have fared: TR_OK where `mine` is TR_OK on every member. Else the job has ended (tr_comm_fail) with status and
 * sentence of the first member that failed, on all, and that one is blamed; the sentence names its rank, unless it is member 0
 * or all have failed. *err: what this member had to say. */
TR_MUST_CHECK enum tr_status tr_status_all(struct tr_comm *comm, enum tr_status mine, struct tr_err *err);

/* --- one to one --- */

/* A message on its way, in the caller's memory: not to be moved or looked into before its wait. */
struct tr_pending {
    int64_t opaque[48];
};

/* Begins to send to or to receive from member `peer`, another than this one. Messages of one peer and tag arrive in the
 * order of their starts; different tags may be received in any order. At most TR_MESSAGES_MAX starts of a group may be
 * waiting. The bytes that were sent must be those that are expected. */
enum { TR_MESSAGES_MAX = 256 };
TR_MUST_CHECK enum tr_status tr_send_start(struct tr_comm *comm, int peer, int64_t tag, const void *from, int64_t bytes,
                                           struct tr_pending *message, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_recv_start(struct tr_comm *comm, int peer, int64_t tag, void *to, int64_t bytes,
                                           struct tr_pending *message, struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_message_wait(struct tr_comm *comm, struct tr_pending *message, struct tr_err *err);

/* Both at once: what a pipeline's and a ring's steps are. peer < 0: that side is not there. */
TR_MUST_CHECK enum tr_status tr_exchange(struct tr_comm *comm, int to_peer, const void *from, int64_t from_bytes,
                                         int from_peer, void *to, int64_t to_bytes, struct tr_err *err);

/* --- in the background --- */

/* A call as data: what the functions above take, by name. */
struct tr_coll {
    enum tr_coll_kind kind; /* BARRIER to ALL_REDUCE */
    int root;
    const void *from;
    void *to;
    int64_t count;             /* BROADCAST: bytes, of `to`; ALL_REDUCE: n */
    const int64_t *at, *to_at; /* as above; ALL_TO_ALL: from_at and to_at */
    const struct tr_owners *owners;
    const float *const *node;
};

/* Runs it, as the function of its name does. */
TR_MUST_CHECK enum tr_status tr_coll_run(struct tr_comm *comm, const struct tr_coll *call, struct tr_err *err);

/* The same beside what this rank goes on to do: a thread of the group (made at the first start) runs what was
 * started, in the order of the starts; calls that are not started wait for all of it first. `call` and what it
 * points to live until the wait. At most TR_STARTS_MAX wait to be waited for. tr_coll_wait returns how the call with
 * this ticket ended. */
enum { TR_STARTS_MAX = 4096 };
TR_MUST_CHECK enum tr_status tr_coll_start(struct tr_comm *comm, const struct tr_coll *call, int64_t *ticket,
                                           struct tr_err *err);
TR_MUST_CHECK enum tr_status tr_coll_wait(struct tr_comm *comm, int64_t ticket, struct tr_err *err);

/* From when to when (tr_clock_s) a call ran that has been waited for, as long as fewer than TR_STARTS_MAX have started since. */
struct tr_coll_span {
    double begin_s, end_s;
};
struct tr_coll_span tr_coll_waited(const struct tr_comm *comm, int64_t ticket);

/* --- counting --- */

struct tr_coll_count {
    int64_t calls, messages;            /* messages: sent */
    int64_t sent_bytes, received_bytes; /* by this rank */
    double busy_s;                      /* in the calls, waiting too */
};

/* What this rank has counted in this group since it was made. */
const struct tr_coll_count *tr_comm_counted(const struct tr_comm *comm, enum tr_coll_kind kind);

/* What member `index` of `members` sends in one such call, to the byte. Of `call` are used what is the same on all,
 * and of ALL_TO_ALL at[] as that member has it; MAX: count elements; SEND: count bytes. What a split sends is the
 * transport's affair. */
int64_t tr_coll_sent_bytes(const struct tr_coll *call, int members, int index);

#endif
