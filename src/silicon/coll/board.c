/* What ranks of one host see of each other: where each is, and the sentence of the one that failed first. */
#include "silicon/coll/inside.h"

#include "base/os.h"

#include <string.h>
#include <unistd.h>

bool tr_board_failed(const struct tr_rank *rank)
{
    return atomic_load_explicit(&rank->board->failed, memory_order_acquire) == 2;
}

/* A rank that is about to be blamed writes some hundred bytes; one that has not after this long has died while it did. */
static const double sentence_s = 1;

static bool is_written(const struct tr_rank *rank)
{
    for (double until_s = tr_clock_s() + sentence_s; !tr_board_failed(rank) && tr_clock_s() < until_s;)
        usleep(100);
    return tr_board_failed(rank);
}

static void write_sentence(struct tr_board *board, int blamed, enum tr_status status, const struct tr_err *why)
{
    memcpy(board->text, why->text, sizeof board->text);
    board->blamed = blamed;
    board->status = (int32_t)status;
    atomic_store_explicit(&board->failed, 2, memory_order_release);
}

/* Nobody goes on before the sentence stands there: who asked in between would find nobody blamed, and be silent. */
enum tr_status tr_board_fail(struct tr_rank *rank, int blamed, enum tr_status status, const struct tr_err *why,
                             struct tr_err *err)
{
    struct tr_board *board = rank->board;
    int32_t nobody = 0;
    if (atomic_compare_exchange_strong(&board->failed, &nobody, 1) || !is_written(rank))
        write_sentence(board, blamed, status, why);
    memcpy(err->text, board->text, sizeof err->text);
    return (enum tr_status)board->status;
}

void tr_comm_fail(struct tr_comm *comm, enum tr_status status, const struct tr_err *why)
{
    struct tr_err first;
    TR_ASSERT(status != TR_OK);
    tr_board_fail(comm->rank, comm->rank->index, status, why, &first);
}

int tr_comm_blamed(const struct tr_comm *comm) { return tr_board_failed(comm->rank) ? comm->rank->board->blamed : -1; }
