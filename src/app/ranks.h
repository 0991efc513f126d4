/* A command as one rank of many that a launcher started (mpirun, srun): they come together, fare alike, and one of them speaks.
 *
 *     struct tr_app_ranks ranks;
 *     status = tr_app_ranks_open(&ranks, timeout_s, err);
 *     if (status == TR_OK)
 *         status = tr_app_ranks_alike(&ranks, prepare(...), err);
 *     ... the work of all ranks, with ranks.world ...
 *     tr_app_ranks_close(&ranks, status, err);
 *     if (status == TR_OK && ranks.leads)
 *         print the answer */
#ifndef TR_APP_RANKS_H
#define TR_APP_RANKS_H

#include "lab/model/place.h"
#include "silicon/coll/coll.h"

struct tr_app_ranks {
    struct tr_launched launched;
    struct tr_comm *world; /* NULL: this process is alone */
    bool leads;            /* rank 0: the one that answers */
};

/* Where a launcher started one process, or none did: alone, and without MPI. TR_BAD_INPUT: it started several, and MPI is not
 * there or knows nothing of them. *ranks may be closed in any case. */
TR_MUST_CHECK enum tr_status tr_app_ranks_open(struct tr_app_ranks *ranks, double timeout_s, struct tr_err *err);

/* tr_status_all, also of a process that is alone. */
TR_MUST_CHECK enum tr_status tr_app_ranks_alike(struct tr_app_ranks *ranks, enum tr_status mine, struct tr_err *err);

/* How many cores all these ranks may use, together: of a host of theirs each may be bound to some. Collective. */
TR_MUST_CHECK enum tr_status tr_app_ranks_cores(struct tr_app_ranks *ranks, int *cores, struct tr_err *err);

/* That layout has as many ranks as are started; without words they share the data lanes. `lanes` tells what would be right. */
TR_MUST_CHECK enum tr_status tr_app_ranks_layout(const struct tr_launched *launched, const char *words, int64_t lanes,
                                                 struct tr_degrees *layout, struct tr_err *err);

/* For a failure of ranks that do not know of each other yet, as it may be that of all: rank 0 keeps its sentence, and the launcher
 * ends the others as soon as rank 0 has ended. One that is let be for two seconds has failed alone, and keeps its own. */
void tr_app_ranks_apart(struct tr_err *err);

/* Ends MPI. Of a job that failed one rank keeps its sentence in *err, and the others lose theirs. */
void tr_app_ranks_close(struct tr_app_ranks *ranks, enum tr_status status, struct tr_err *err);

#endif
