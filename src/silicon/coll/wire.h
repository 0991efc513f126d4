/* Messages between members of different hosts: what message.c does for those of one host, by MPI's messages. The rules
 * are the same; both kinds of peers may be in one group. Internal to silicon/coll. */
#ifndef TR_SILICON_COLL_WIRE_H
#define TR_SILICON_COLL_WIRE_H

#include "silicon/coll/inside.h"

/* The group's own communicators and rooms; collective among its members. On failure nothing is left. */
TR_MUST_CHECK enum tr_status tr_wire_open(struct tr_comm *comm, const struct tr_mpi_table *mpi, struct tr_err *err);
/* Collective, but for a group that is not sound any more: that leaves MPI alone. */
void tr_wire_close(struct tr_comm *comm, bool is_sound);

void tr_wire_poll(struct tr_comm *comm, struct tr_port *port); /* takes in what was announced */
void tr_wire_send(struct tr_comm *comm, struct tr_port *port, struct tr_request *request);
void tr_wire_recv(struct tr_comm *comm, struct tr_port *port, struct tr_request *request);
int64_t tr_wire_view(struct tr_comm *comm, struct tr_port *port, struct tr_request *request, const char **at);
void tr_wire_release(struct tr_comm *comm, struct tr_port *port, struct tr_request *request, int64_t bytes);

/* Number `index` of what the request's peer has announced and nobody has asked for; false: there are not so many. */
bool tr_wire_announced(struct tr_comm *comm, struct tr_port *port, const struct tr_request *request, int index,
                       struct tr_wire_header *header);

/* Whether a call of MPI has failed; the sentence. */
bool tr_wire_failed(struct tr_comm *comm, struct tr_err *err);

/* MPI's own functions and the group of this host's members, for benchmarks beside them (mpi.c); NULL: not by MPI, or
 * alone. */
const struct tr_mpi_table *tr_mpi_of(const struct tr_comm *comm, void **group);

#endif
