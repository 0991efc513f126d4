/* Silent corruption, found while a run lasts: a processor or a memory that now and then says something else. Of such
 * faults about one in a hundred shows as NaN or infinity; the rest only makes a model worse.
 *
 * One step has one result, to the bit, so a check needs no tolerance:
 *   at rest   after each step a digest of every tensor (weights, moments) is kept, and before they are changed again they
 *             must still have it. A difference ends the run, which goes on from its last checkpoint.
 *   replay    steps that are a multiple of replay.every are computed twice from the same state, the second time with
 *             another number of threads, so that other cores do most of the work. If the two differ, a third
 *             computation decides: two that agree are right (the fault was transient, the run goes on), and three
 *             different ones end the run (persistent: this machine computes wrongly).
 *
 * What it cannot find: a wrong result of a step that is not replayed (one in replay.every is), and a fault that two cores
 * have alike. A digest is bijective in each word, so no change of a single word goes unseen; of others 2^-64 do.
 *
 * Cost: replay.every = n makes a step 1 + 1/n times as long, and the digests read weights and moments twice a step.
 * Internal to lab/train. */
#ifndef TR_LAB_TRAIN_REPLAY_H
#define TR_LAB_TRAIN_REPLAY_H

#include "lab/train/copy.h"

struct tr_replay {
    struct tr_copy copy;    /* of the state before a step that is computed twice */
    int64_t count;          /* tensors of weights and moments */
    uint64_t *rest;         /* [count] their digests when they were last changed; NULL: nothing is watched */
    uint64_t *seen[3];      /* [count] after each computation */
    int64_t corrected;      /* steps set right */
};

/* A digest of `bytes` bytes, a multiple of 4. */
uint64_t tr_replay_digest(const void *data, size_t bytes);

#endif
