/* Messages of two members that the caller starts and waits for: pipelines and rings. */
#include "silicon/coll/inside.h"

#include "base/os.h"

_Static_assert(sizeof(struct tr_request) <= sizeof(struct tr_pending), "a request fits into the caller's memory");

static struct tr_request *request_in(struct tr_pending *message) { return (struct tr_request *)(void *)message; }

enum tr_status tr_send_start(struct tr_comm *comm, int peer, int64_t tag, const void *from, int64_t bytes,
                             struct tr_pending *message, struct tr_err *err)
{
    enum tr_status status = tr_call_begin(comm, TR_PORT_MESSAGE, TR_COLL_SEND, err);
    if (status != TR_OK)
        return status;
    tr_request_send(comm, TR_PORT_MESSAGE, request_in(message), peer, tag, from, bytes);
    tr_port_go_on(comm, TR_PORT_MESSAGE);
    return TR_OK;
}

enum tr_status tr_recv_start(struct tr_comm *comm, int peer, int64_t tag, void *to, int64_t bytes,
                             struct tr_pending *message, struct tr_err *err)
{
    enum tr_status status = tr_call_begin(comm, TR_PORT_MESSAGE, TR_COLL_RECV, err);
    if (status == TR_OK)
        tr_request_recv(comm, TR_PORT_MESSAGE, request_in(message), peer, tag, to, bytes);
    return status;
}

static bool is_done(struct tr_comm *comm, void *context)
{
    (void)comm;
    return ((const struct tr_request *)context)->done;
}

enum tr_status tr_message_wait(struct tr_comm *comm, struct tr_pending *message, struct tr_err *err)
{
    struct tr_request *request = request_in(message);
    double began_s = tr_clock_s();
    comm->port[TR_PORT_MESSAGE].call = request->sends ? TR_COLL_SEND : TR_COLL_RECV;
    enum tr_status status = tr_port_wait(comm, TR_PORT_MESSAGE, is_done, request, err);
    tr_call_end(comm, TR_PORT_MESSAGE, began_s);
    return status;
}

enum tr_status tr_exchange(struct tr_comm *comm, int to_peer, const void *from, int64_t from_bytes, int from_peer,
                           void *to, int64_t to_bytes, struct tr_err *err)
{
    struct tr_pending sent, received;
    enum { TAG = -1 }; /* apart from those of messages that are under way */
    enum tr_status status = TR_OK;
    if (to_peer >= 0)
        status = tr_send_start(comm, to_peer, TAG, from, from_bytes, &sent, err);
    if (from_peer >= 0 && status == TR_OK)
        status = tr_recv_start(comm, from_peer, TAG, to, to_bytes, &received, err);
    if (from_peer >= 0 && status == TR_OK)
        status = tr_message_wait(comm, &received, err);
    if (to_peer >= 0 && status == TR_OK)
        status = tr_message_wait(comm, &sent, err);
    return status;
}
