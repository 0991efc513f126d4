/* RUN/profile.json: what the newest attempt of a run took, operation by operation. The trainer writes it at each save and at the
 * end (tr_run_write_profile), and it is read back here. The first step, when pages and caches are cold, is in it.
 *
 *     steps, train_s             that the run keeps of this attempt; what they took, without the first
 *     resumed_at                 the step whose checkpoint it went on from; 0: none
 *     steps_computed, steps_s    with those that were done again; what all of them took
 *     crowded_s                  of that, in which other programs had cores that the run wanted: its operations had fewer threads than
 *                                "threads", or the thread that does the steps was ready and had no core
 *     first_step_s               of steps_s
 *     wall_s                     since the loop of steps began, all included
 *     predicted                  {step_s, error_80, run_s, run_error_80}: what was said before it began
 *     model, parameters, flop_per_token
 *     arithmetic, isa, threads   threads: of a rank, as wanted
 *     type, peak_flop_s          "f32" or "bf16"; of this machine with such numbers, measured when the attempt began
 *     peak_f32_flop_s            where a bf16 run multiplies fp32 too: Muon does
 *     read_byte_s, read_bytes    how fast the run's largest region of memory was read then; how large it is
 *     hand_s                     how long a line of a cache took from core to core then (silicon/chip/peak.h)
 *     looks                      at the machine, from then on (looks.h)
 *     attempt                    when that was, microseconds since 1970
 *     program, processor, cores  trine's version and its kernels; of the host
 *     memory                     {planned_bytes, needed_bytes, peak_bytes, data_bytes, by_kind: {weight, ...}}
 *     ops                        [{phase, op, type, calls, time_s, flop, bytes, first_calls, first_time_s}, ...]; type: of the numbers
 *                                that it works on; first: in the first step
 *
 * Of several ranks all of it is rank 0's, and there are
 *
 *     ranks, hosts, transport    transport: "threads", "mpi"
 *     layout                     tr_run_layout_write
 *     collectives_s, exposed_s   what collectives of the steps took; of that, beside no other work
 *     collectives                [{phase, collective, calls, time_s, sent_bytes}, ...]; time_s: in which rank 0 did nothing else
 *     each_rank                  [struct tr_rank_sum, ...]: all of them, side by side; of the others than rank 0 also "own":
 *                                {steps_s, first_step_s, ops, collectives}, as above but for the ops' types
 *     pipeline                   {stages, chunks, microbatches, in_flight, bubble_planned, bubble}, as in struct tr_train_result */
#ifndef TR_LAB_TRAIN_PROFILE_H
#define TR_LAB_TRAIN_PROFILE_H

#include "base/os.h"
#include "lab/model/exec.h"
#include "lab/train/looks.h"
#include "lab/train/train.h"

enum { TR_RUN_THREADS_MAX = 1 << 16, /* of a rank: what a file may say */
       TR_PROFILE_RANKS_MAX = 128 }; /* ranks beyond are not read one by one */

/* What one rank has done in the steps of an attempt, up to the last one that the log has a line of. */
struct tr_rank_sum {
    int64_t steps;
    double steps_s; /* which took so long */
    double work_s;  /* of that in operations, */
    double wait_s;  /* held up by collectives, */
    double stage_s; /* and of these by messages between stages */
    double crowded_s; /* of steps_s, as of a run */
    int64_t flop;   /* of its operations */
    int64_t sent_bytes, planned_bytes; /* as the transport counted them; as the step program has them */
    int64_t needed_bytes; /* of memory: as much as it held against what there is (fit.h); 0: not noted */
};

/* The same kind by kind: of the steps, and of evaluations. */
struct tr_rank_ops {
    double steps_s, first_s; /* as in struct tr_run_profile */
    struct tr_op_time op[TR_PHASE_COUNT][TR_OP_KIND_COUNT], first[TR_PHASE_COUNT][TR_OP_KIND_COUNT];
    struct tr_op_time coll[TR_PHASE_COUNT][TR_COLL_KIND_COUNT];
};

struct tr_run_profile {
    int64_t steps;      /* that were computed, with those that were done again; 0: none yet */
    int64_t resumed_at; /* the step that they follow; 0: it began the run, or an older trine made it */
    double steps_s;     /* which took so long in all, data and scalars included; 0: not noted */
    double first_s;     /* of these, the first step; 0: not noted */
    double crowded_s;   /* of these, in which other programs had cores that it wanted */
    double wall_s;      /* since its loop began, all included; 0: not noted */
    struct tr_train_predicted predicted; /* of it, before it began */
    int64_t attempt;    /* when it began, microseconds since 1970; 0: not noted, an older trine made it */
    char program[32];   /* trine's version and its kernels; "": not noted, as are the next two */
    char processor[TR_PROCESSOR_NAME_BYTES];
    int cores;          /* of the host of rank 0; 0: not noted */
    double peak_flop_s; /* of this machine, measured when the run began; 0: it was not */
    double read_byte_s; /* of its memory, by the run's own threads; 0: not measured */
    struct tr_looks looks; /* at the machine from then on; 0: an older trine made it */
    double hand_s;      /* a line of a cache took from core to core, when it began; 0: not measured */
    int threads, ranks, hosts; /* hosts: that the ranks are on; 0: not noted */
    char transport[16]; /* of several ranks: "threads", "mpi" */
    struct tr_degrees layout; /* of these ranks */
    enum tr_isa isa;
    int64_t planned_bytes, peak_bytes; /* memory of rank 0's program; of the process */
    int64_t needed_bytes;              /* that the ranks of that process held against what there is (fit.h); 0: not noted */
    int rank;                          /* whose the following are, and steps_s, first_s */
    struct tr_op_time op[TR_PHASE_COUNT][TR_OP_KIND_COUNT]; /* sums over the steps, and over evaluations */
    struct tr_op_time first[TR_PHASE_COUNT][TR_OP_KIND_COUNT]; /* of these, in the first step: calls and time_s alone */
    struct tr_op_time coll[TR_PHASE_COUNT][TR_COLL_KIND_COUNT]; /* the same; bytes: sent */
    double collectives_s; /* what collectives took in the steps, beside other work too */
    struct tr_rank_sum each[TR_PROFILE_RANKS_MAX];
    int each_count;       /* 0: one rank, or none was compared yet */
};

/* "layout": {"tp", "cp", "dp", "pp", "vpp", "sp", "zero"} of an object: how ranks shared the run. */
struct tr_json;
struct tr_node;
void tr_run_layout_write(const struct tr_degrees *layout, struct tr_json *json);
TR_MUST_CHECK enum tr_status tr_run_layout_read(const struct tr_node *object, struct tr_degrees *out, struct tr_err *err);

/* The share of its steps' time that was crowded_s, of the rank of which that is the most. */
double tr_run_profile_crowded(const struct tr_run_profile *profile);

/* "transport" of an object; where it is not said, as before it was: "threads". */
TR_MUST_CHECK enum tr_status tr_run_transport_read(const struct tr_node *object, char transport[16], struct tr_err *err);

/* Of the stages of a pipeline the one whose operations take the longest; else rank 0. */
enum { TR_RANK_SLOWEST = -1 };

/* With the operations of `rank`. TR_BAD_INPUT: no such file, or one that is cut short, has wrong keys or numbers, with the place; no such
 * rank, none whose operations are there. */
TR_MUST_CHECK enum tr_status tr_run_profile_read(const char *run_folder, int rank, struct tr_run_profile *out, struct tr_err *err);

#endif
