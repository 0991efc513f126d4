/* A pipeline: which layers a stage has, and in which order it works on microbatches. Pure arithmetic, of any number of
 * stages: the trainer runs it, the planner walks through it.
 *
 * Layers are cut into stages * chunks chunks; chunk c stands on stage c mod stages, as its chunk number c / stages. With one
 * chunk a stage the order is 1F1B (Narayanan and others 2019, PipeDream-flush); with several it is the interleaved one (Narayanan
 * and others 2021): `stages` microbatches go through a chunk, then through the next one.
 *
 * In both a stage begins with some forward turns alone (tr_pipe_warm), then takes turns, one forward and one backward, and ends with
 * what is left. For each chunk microbatches come in ascending order, forward and backward, so that a gradient is added up in the
 * order in which one rank alone does it; and the k-th forward (backward) turn is the same of all stages.
 *
 * Messages. A stage sends what it made and goes on; it waits only before it writes into the same place again. So many places
 * (tr_pipe_mails) each way are enough that no stage ever waits for one that waits for it, and that nobody waits where the
 * pipeline is full (tests/lab/model/test_pipe.c walks through it). */
#ifndef TR_LAB_MODEL_PIPE_H
#define TR_LAB_MODEL_PIPE_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum { TR_STAGE_CHUNKS_MAX = 32, TR_PIPE_MAILS_MAX = 2 };

struct tr_pipe {
    int32_t stages, chunks; /* chunks of one stage */
};

/* Equal parts, the rest one each to those in the middle. */
int32_t tr_pipe_share(int32_t layers, int32_t chunks, int32_t c);

/* Layers of chunk c of `chunks`. When layers divide, all are equal; when layers + 2 divide, the embedding and the head count as
 * a layer each (Megatron's account_for_embedding/loss_in_pipeline_split; Llama 3's 126 layers); else equal parts as above.
 * The sum is `layers`. */
int32_t tr_pipe_chunk_layers(int32_t layers, int32_t chunks, int32_t c);

/* What a stage does in one turn: all layers of a chunk of its own (0 .. chunks - 1), of one microbatch. */
struct tr_pipe_turn {
    bool backward;
    int32_t chunk;
    int64_t micro;
};

/* How many turns a stage has, and with how many forward ones it begins. */
int64_t tr_pipe_turns(struct tr_pipe pipe, int64_t micros);
int64_t tr_pipe_warm(struct tr_pipe pipe, int32_t stage, int64_t micros);

/* Turn number `index` of a stage that begins with `warm` forward turns. Where stages do not divide the microbatches, the last
 * group is filled up: turns of a microbatch >= micros are passed over. */
struct tr_pipe_turn tr_pipe_turn(struct tr_pipe pipe, int64_t micros, int64_t warm, int64_t index);

/* Activations that a stage holds at once: of so many microbatches, each of one chunk (at most, where a group is filled up). */
int64_t tr_pipe_flights(struct tr_pipe pipe, int32_t stage, int64_t micros);

/* Places for messages, each way. */
static inline int32_t tr_pipe_mails(struct tr_pipe pipe) { return pipe.chunks > 1 ? 2 : 1; }

/* The share of a step in which a stage has nothing to do, if all chunks take the same time: (p - 1) / (p - 1 + micros * chunks). */
double tr_pipe_bubble(struct tr_pipe pipe, int64_t micros);

#endif
