/* Executes a step program on one rank: its memory, mapped once, and the loop over the schedule.
 *
 * After tr_exec_open nothing is allocated. The caller writes tokens and targets (and the starts of documents, where they
 * stand apart) into the batch, sets the step's values,
 * runs the step, reads loss and norm. All results depend on the program, the weights and the batch alone: not on
 * threads or instruction set.
 */
#ifndef TR_LAB_MODEL_EXEC_H
#define TR_LAB_MODEL_EXEC_H

#include "base/arena.h"
#include "base/crowd.h"
#include "lab/model/program.h"
#include "silicon/op/exact.h"

/* Time and calls of one kind of operation in one phase. */
struct tr_op_time {
    double time_s;
    int64_t calls, flop, bytes; /* planned work of these calls, with the documents that the batch had */
};

/* Called after each operation and each collective, when set: for traces. */
struct tr_exec_seen {
    const struct tr_program_op *op;
    const struct tr_schedule_entry *entry; /* of which it was done */
    int64_t flop, bytes;                   /* as in struct tr_op_time */
    double begin_s, end_s;                 /* of a collective that STARTs, and of its WAIT, what this rank was held up */
};
typedef void tr_exec_observer(void *context, const struct tr_exec_seen *seen);

/* As tr_all_reduce, of call->node[0] .. into call->to. */
typedef enum tr_status tr_exec_all_reduce_fn(void *context, const struct tr_coll *call, struct tr_err *err);

struct tr_exec {
    const struct tr_program *program;
    struct tr_machine machine;
    struct tr_crowd *crowd; /* NULL: machine.threads always; else fewer when other programs want the cores. Not owned */
    struct tr_slab slab[TR_REGION_COUNT];
    bool slab_borrowed[TR_REGION_COUNT]; /* another exec's region: a second program on the same weights */
    bool lends_work;                     /* set by its owner: WORK keeps nothing between its runs that anybody needs */
    struct tr_step_values values;
    struct tr_exact loss_sum, grad_sq;
    struct tr_count count;               /* counted by the kernels since tr_exec_open or the caller's reset */
    struct tr_op_time time[TR_PHASE_COUNT][TR_OP_KIND_COUNT];
    double crowded_s;                    /* of these times, in operations that had fewer threads than machine.threads */
    struct tr_op_time coll_time[TR_PHASE_COUNT][TR_COLL_KIND_COUNT]; /* time: in which nothing else went on; bytes: planned to be sent */
    struct tr_comm *group[TR_GROUP_COUNT]; /* of tr_exec_join */
    struct tr_started {                    /* [program->coll_count] of collectives that go on in the background */
        struct tr_coll call;
        const float *node[TR_TREE_ROOTS_MAX];
        int64_t ticket;
    } *started;
    tr_exec_all_reduce_fn *all_reduce;   /* NULL, or what joins gradients instead of silicon/coll: to compare times, not for bits */
    void *all_reduce_context;
    struct tr_mail {
        struct tr_pending pending;
        bool under_way;
    } mail[TR_WAY_COUNT][TR_PIPE_MAILS_MAX]; /* what this rank has sent and not yet seen taken */
    enum tr_status status;               /* not TR_OK: a collective has failed, and `err` says how; nothing runs any more */
    struct tr_err err;
    tr_exec_observer *observer;
    void *observer_context;
};

/* Maps the program's regions. Regions that `share` has (NULL: none) with equal size among WEIGHTS, COPIES, CONSTANTS and CACHE
 * are borrowed from it instead, and so is its crowd, and WORK where it has enough and lends it: `share` must outlive this exec. Fills the RoPE table where it is not borrowed. */
TR_MUST_CHECK enum tr_status tr_exec_open(struct tr_exec *exec, const struct tr_program *program,
                                          struct tr_machine machine, const struct tr_exec *share, struct tr_err *err);
void tr_exec_close(struct tr_exec *exec);

/* The rank of this program among the others: makes the groups in which it meets them. Collective; `world` must outlive the
 * exec, and all ranks close theirs, unless one has failed (tr_comm_fail). A program of one rank needs no world. */
TR_MUST_CHECK enum tr_status tr_exec_join(struct tr_exec *exec, struct tr_comm *world, struct tr_err *err);

/* A program of several ranks can fail while it runs: asked after each of the functions below that runs it, as they then have
 * done nothing, or not all of it. TR_OK, or what the first failure was. */
TR_MUST_CHECK enum tr_status tr_exec_failed(const struct tr_exec *exec, struct tr_err *err);

/* Address of a buffer (of its first sequence, for batch buffers). */
void *tr_exec_buffer(const struct tr_exec *exec, int32_t buffer);

/* The fp32 weight; where weights are cut among ranks, what this one has of it (tr_program_held; moments: tr_program_slice). */
static inline float *tr_exec_weight(const struct tr_exec *exec, int32_t index)
{
    return tr_exec_buffer(exec, exec->program->first_weight + index);
}
/* Moments and gradients are NULL where the weight has none. */
static inline float *tr_exec_moment_m(const struct tr_exec *exec, int32_t index)
{
    if (exec->program->weights.weight[index].moments < 1)
        return NULL;
    return tr_exec_buffer(exec, exec->program->first_m + index);
}
static inline float *tr_exec_moment_v(const struct tr_exec *exec, int32_t index)
{
    if (exec->program->weights.weight[index].moments < 2)
        return NULL;
    return tr_exec_buffer(exec, exec->program->first_v + index);
}
/* Gradient of the last step, joined over the lanes (slot 0, leaf 0), before clipping. For a tied weight the head's and
 * the embedding's share are summed here. With ZeRO right in this rank's slice alone; from zero = 2 on this is the slice. */
static inline const float *tr_exec_gradient(const struct tr_exec *exec, int32_t index)
{
    if (exec->program->weights.weight[index].frozen)
        return NULL;
    return tr_exec_buffer(exec, exec->program->first_grad + index);
}

/* Whoever has written into the weights (a file that was read) says so before the next step, evaluation or token: in bf16
 * operations read copies. All ranks do where weights are cut among them, or layers. Of a program with weights in panels they are
 * given back then, if they are its own: they are
 * written once, and tr_exec_weight is no more. */
void tr_exec_weights_written(struct tr_exec *exec);

/* Initial weights from the seed; moments zero. */
void tr_exec_init(struct tr_exec *exec, uint64_t seed);

/* The optimiser's scalars of step `step` (counted from 1), from its hyper-parameters. */
struct tr_hyper {
    double lr, beta1, beta2, eps, weight_decay, clip_norm;
    double momentum; /* Muon */
};
void tr_exec_set_hyper(struct tr_exec *exec, const struct tr_hyper *hyper, int64_t step);

struct tr_step_result {
    double loss;      /* mean over target tokens, nats */
    double grad_norm; /* before clipping */
    bool finite;      /* loss and norm are; else the caller decides whether to update */
};

/* Forward and backward passes of the batch (of all ranks), gradients joined, norm computed; then tr_exec_update changes the
 * weights (or is left out). `target_count`: targets in the batch that are not -1. */
struct tr_step_result tr_exec_gradients(struct tr_exec *exec, int64_t target_count);
void tr_exec_update(struct tr_exec *exec);

/* What collectives have taken since tr_exec_join: in all, waiting for other ranks too, and the time of these in which this rank
 * did nothing else. The first of several groups that ran at once count each. */
struct tr_coll_times {
    double busy_s, exposed_s;
};
struct tr_coll_times tr_exec_coll_times(const struct tr_exec *exec);

/* Where what operations read is cut among ranks (program->has_read_slices), all of them evaluate at once; one that has nothing to
 * evaluate attends. */
void tr_exec_attend(struct tr_exec *exec);

/* Sum of losses (nats) of one microbatch of seqs sequences, forward only; tokens and targets of these sequences stand
 * at the batch's beginning. Stages of a pipeline do it together: the sum is the last one's, and 0 on the others. exec->loss_sum holds the sum unrounded: what sums over microbatches merges these. */
double tr_exec_evaluate(struct tr_exec *exec);

/* What rounding has changed of matrices in panels, relative, root mean square: sqrt(sum of (w - w')^2 / sum of w^2) over all of
 * them, by what PACK has written; 0 for fp32. */
double tr_exec_form_error(const struct tr_exec *exec);

/* Generation: runs the INFER section for tokens at `position`; returns logits [seqs, vocab]. */
const float *tr_exec_infer(struct tr_exec *exec, const int32_t *tokens, int64_t position);

#endif
