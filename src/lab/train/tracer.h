/* How a run records its trace (trace.h): options.trace_steps steps of an attempt, from its second on, as the first one wakes threads
 * and caches. Each rank keeps what it sees in memory of its own, taken before the first step, and writes its file when the last of
 * these steps is done, or when the attempt ends before.
 *
 * Clocks. Ranks of one host read one clock. A rank of another host asks rank 0 for the time before each step that is traced, a few
 * times, and takes the answer that came back fastest: its clock is then off by at most half of that way there and back, which the
 * file says.
 *
 * Cost: without trace_steps none but a pointer that is looked at after each operation. With it, some 100 bytes an operation (the
 * clock is read anyway), and for ranks of other hosts eight messages a step, before it begins; after the last step the file.
 * Internal to lab/train. */
#ifndef TR_LAB_TRAIN_TRACER_H
#define TR_LAB_TRAIN_TRACER_H

#include "lab/train/trace.h"

struct tr_tracer {
    struct tr_trace_head head;
    struct tr_traced *seen;  /* [room], owned: one a step, and one an operation or collective */
    int64_t count, room;
    int64_t step_at;         /* in seen: the step that goes on */
    int64_t left;            /* steps still to be traced */
    double epoch_s;          /* 0 of the trace, by the clock of rank 0 */
};

#endif
