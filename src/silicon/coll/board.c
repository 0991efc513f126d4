/* What ranks of one host see of each other: where each is, and the sentence of the one that failed first. */
#include "silicon/coll/inside.h"

#include <string.h>

bool tr_board_failed(const struct tr_rank *rank)
{
    return atomic_load_explicit(&rank->board->failed, memory_order_acquire) == 2;
}

enum tr_status tr_board_fail(struct tr_rank *rank, int blamed, enum tr_status status, const struct tr_err *why,
                             struct tr_err *err)
{
    struct tr_board *board = rank->board;
    int32_t nobody = 0;
    if (atomic_compare_exchange_strong(&board->failed, &nobody, 1)) {
        memcpy(board->text, why->text, sizeof board->text);
        board->blamed = blamed;
        board->status = (int32_t)status;
        atomic_store_explicit(&board->failed, 2, memory_order_release);
    }
    if (tr_board_failed(rank)) {
        memcpy(err->text, board->text, sizeof err->text);
        return (enum tr_status)board->status;
    }
    /* Another rank is writing its own just now, or has died while it did: then ours is as good. */
    *err = *why;
    return status;
}

void tr_comm_fail(struct tr_comm *comm, enum tr_status status, const struct tr_err *why)
{
    struct tr_err first;
    TR_ASSERT(status != TR_OK);
    tr_board_fail(comm->rank, comm->rank->index, status, why, &first);
}

int tr_comm_blamed(const struct tr_comm *comm) { return tr_board_failed(comm->rank) ? comm->rank->board->blamed : -1; }
