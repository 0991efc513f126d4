/* What every transport must do, as functions that each rank of a job runs (tr_rank_fn): the collectives against
 * plain loops over what all members bring, bit for bit, and bytes counted against bytes stated. They return a
 * sentence instead of failing a cmocka test, as ranks may be threads or processes. `user` is a struct tr_coll_case,
 * or NULL. */
#ifndef TR_TESTS_LIB_COLL_CASES_H
#define TR_TESTS_LIB_COLL_CASES_H

#include "silicon/coll/coll.h"

struct tr_coll_case {
    int64_t n;       /* elements or bytes; -1: each of a list of sizes with its edges */
    uint64_t digest; /* out: of all results of rank 0, so that transports can be compared */
};

tr_rank_fn tr_case_move;    /* barrier, broadcast, all_gather, gather, all_to_all */
tr_rank_fn tr_case_sum;     /* reduce_scatter, all_reduce: many numbers of leaves, and owners of every kind */
tr_rank_fn tr_case_exact;   /* exact sums, maxima, flags, agreement */
tr_rank_fn tr_case_pair;    /* messages, tags out of order, exchange */
tr_rank_fn tr_case_split;   /* groups by colour, order by key, groups of groups, collectives in them */
tr_rank_fn tr_case_started; /* the same sums in the background, of two groups in different orders */

/* All of them, by name; ends with .run = NULL. */
struct tr_coll_case_entry {
    const char *name;
    tr_rank_fn *run;
};
extern const struct tr_coll_case_entry tr_coll_cases[];

#endif
