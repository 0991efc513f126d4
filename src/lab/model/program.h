/* The step program: one step of one rank, written down once. Executed (exec.h), priced (plan), compared.
 *
 * A program is
 *   buffers    every array of the step, with type, shape, kind and place: a region and an offset in it;
 *   ops        operations (silicon/op) with the buffers that are their operands;
 *   sections   runs of ops that are executed together: the microbatch, the end of a lane, the update ...;
 *   schedule   which section runs when, for which lane and microbatch.
 *
 * A training step over a batch of `batch` sequences with L lanes of batch / L sequences, in microbatches:
 *
 *     for each lane:  LANE_BEGIN (gradients = 0)   for each microbatch: FORWARD, BACKWARD (gradients +=)
 *                     LANE_END (join the leaves)   JOIN as often as the binary counter says
 *     UPDATE          the sum over ranks, tied gradients, norm, clip, AdamW or Muon, new weights to other ranks
 *
 * The last norm, the head and the loss are of the backward turn: what they leave is used at once.
 *
 * Gradients of a lane accumulate in slot s of a stack of tr_tree_depth(lanes) slots; JOIN adds slot s to slot s - 1.
 * Lanes are logical: their number is in the run's config and decides the bits; the microbatch is physical and does not.
 *
 * Pipeline. The program of a stage has FORWARD, BACKWARD, the ends of lanes and JOIN once for each of its chunks of layers, and the
 * schedule has them in the order of pipe.h, over all microbatches of its lanes. What a backward turn reads of its forward turn
 * lies in one of as many places (flights) as the schedule ever needs at once. The residual stream comes by RECV and goes by SEND,
 * from places of its own (mails), as the receiver takes it when it gets to it.
 *
 * Ranks. The program is that of one rank (step.place): it has its own lanes alone, each subtree of the lanes that it owns in a
 * slot of its own, and collectives (silicon/coll) stand among the operations of a section where ranks meet. What one rank
 * sends is summed from the program (tr_program_sent_bytes). One rank alone has no collectives.
 *
 * Overlap. A collective may START among the operations and go on beside those that follow; a WAIT says where it must have ended.
 * Until then its buffers live. Gradients START to be joined in the BACKWARD section, layer by layer, where these are complete: in
 * the last microbatch of this rank's last lane, which then has the ends of lanes among its operations (only_last).
 *
 * Gradients shared out (zero = 2). Backward passes add to gradients of one lane, all leaves, and of each round of lanes a
 * REDUCE_SCATTER leaves this rank's slices in a slot of the stack, which JOIN then joins as above. Where dp is a power of two that
 * STARTs layer by layer in the last microbatch of each lane; and where that is the only one, the gradients of a lane are in
 * WORK, of one layer while it is passed and the one before while it is sent. Else they are in GRADIENTS, once, and where there is one
 * round this rank's slices are parts of these. A rank that has no lane in the last round takes part in its collectives alone (idle).
 *
 * Weights shared out (zero = 3). What operations read of a layer is gathered into WORK just before they do, forward and backward, while
 * those of the layer before run, and is gone after them.
 *
 * Context parts shared. A rank has its tokens of each sequence in all operations but attention, before and after which ranks exchange
 * (ALL_TO_ALL): there it has all tokens of some heads. Its batch buffers hold whole sequences, of which SPLIT takes its tokens.
 *
 * Sequence parts shared (degrees.sequence). Between products tensor parallel ranks have a share of the tokens each: a product into the
 * stream ends with a REDUCE_SCATTER, and before the next one an ALL_GATHER brings the tokens of all together.
 *
 * Memory. Regions are separate so that checkpoints, inference and sharding can treat them apart:
 *   WEIGHTS    canonical order, each tensor aligned to 64 bytes (the same for every program of a config), always fp32
 *   COPIES     bf16: the weights rounded, which operations read; made by CAST when weights come from outside, and by the
 *              optimiser on the way. With weights in panels: those, and of all other weights copies of the step's type;
 *              then WEIGHTS is needed no more
 *   MOMENTS    the optimiser's m, then v, canonical order; a tensor that Muon updates has no v (0 bytes). With ZeRO this
 *              rank's slices, and in bf16 those of WEIGHTS too
 *   GRADIENTS  slot by slot, canonical order, all leaves
 *   CONSTANTS  the RoPE table
 *   BATCH      tokens and targets of the batch, of this rank's lanes (on all stages of a pipeline), and where documents begin in it if they stand apart
 *   CACHE      keys and values of generation
 *   WORK       activations, their gradients, kernels' workspace: placed by lifetime, so that buffers that never live
 *              at the same time share addresses. Its size is the peak; the memory report and the trainer read it here.
 */
#ifndef TR_LAB_MODEL_PROGRAM_H
#define TR_LAB_MODEL_PROGRAM_H

#include "base/arena.h"
#include "lab/model/config.h"
#include "lab/model/place.h"
#include "lab/model/portion.h"
#include "lab/model/weights.h"
#include "silicon/coll/coll.h"
#include "silicon/kernel/kernel.h"

/* Logical widths: the largest layout that a run may ever use. They decide the bits; 1 costs nothing. */
struct tr_widths {
    int32_t lanes;   /* data lanes: divides the batch */
    int32_t context; /* parts of each sequence, in whole key blocks of 64 */
    int32_t tensor;  /* parts of heads, ffn and (norms, biases) of tokens */
    int32_t vocab;   /* parts of the vocabulary */
};

enum tr_recompute {
    TR_RECOMPUTE_NONE,
    TR_RECOMPUTE_ELEMENTWISE, /* outputs of norms and activations are computed again from their inputs, which are kept */
    TR_RECOMPUTE_FULL         /* keep each layer's input only and run its forward pass again in the backward pass */
};

/* How the forward pass reads its matrices. Panels (silicon/op/panel.h) are made once, when the weights have been written:
 * for programs that never change them. The bits of PANELS are those of ROWS. */
enum tr_weight_form {
    TR_FORM_ROWS,   /* as they lie in WEIGHTS or COPIES */
    TR_FORM_PANELS, /* of the step's type */
    TR_FORM_INT8, TR_FORM_INT4, TR_FORM_COUNT
};

struct tr_step_config {
    enum tr_dtype dtype;
    enum tr_weight_form form; /* training: ROWS */
    int64_t batch;       /* sequences a step, all lanes */
    int64_t seq_len;
    int64_t micro_batch; /* sequences at a time; divides batch / lanes */
    struct tr_widths widths;
    enum tr_recompute recompute;
    enum tr_optimizer optimizer;
    bool apart;          /* sequences hold several documents that do not see each other: the batch has `starts` */
    bool foreground;     /* each collective ends before the next operation begins */
    struct tr_rank_place place; /* training: which rank's program; all zero: of the only one */
};

enum tr_region {
    TR_REGION_WEIGHTS, TR_REGION_COPIES, TR_REGION_MOMENTS, TR_REGION_GRADIENTS, TR_REGION_CONSTANTS,
    TR_REGION_BATCH, TR_REGION_CACHE, TR_REGION_WORK, TR_REGION_COUNT
};

/* What a buffer is, for the memory report. */
enum tr_buffer_kind {
    TR_BUF_WEIGHT, TR_BUF_COPY, TR_BUF_MOMENT, TR_BUF_GRADIENT, TR_BUF_CONSTANT, TR_BUF_BATCH, TR_BUF_CACHE,
    TR_BUF_ACTIVATION, TR_BUF_ACTIVATION_GRAD, TR_BUF_WORKSPACE, TR_BUF_KIND_COUNT
};

/* What messages of a pipeline are about; each way has its own tag, and its own places to be sent from. */
enum tr_mail_way { TR_WAY_FORWARD, TR_WAY_BACKWARD, /* the residual stream and its gradient */
              TR_WAY_TIED,                     /* the tied table: its gradient as head, its new values */
              TR_WAY_COUNT };

enum { TR_BUFFER_ALIGN = 64, TR_BUFFER_NAME_MAX = 48 };

struct tr_buffer {
    char name[TR_BUFFER_NAME_MAX];  /* "h.3.q", "d.stream", "grad.1.h.3.attn.q.weight" is cut to fit */
    enum tr_buffer_kind kind;
    enum tr_region region;
    enum tr_dtype dtype;
    struct tr_shape shape;
    int64_t bytes;
    int64_t offset;                 /* in its region */
    int64_t bytes_per_sequence;     /* BATCH: a microbatch sees a window that begins at its first sequence; else 0 */
    int64_t bytes_per_flight;       /* WORK: from one microbatch in flight to the next; 0: there is one such buffer */
    int64_t bytes_per_mail;         /* WORK: the same from one place for messages to the next */
    enum tr_mail_way way;                /* by which messages from these places go */
    int32_t first_op, last_op;      /* WORK: lifetime, inclusive; others -1 */
    int32_t slot_stride;            /* GRADIENTS: buffer id of the same gradient one slot up, minus this id; else 0 */
    int32_t part_of;                /* a slice: the buffer that it lies in, `offset` bytes from its beginning until placed; else -1 */
};

enum tr_phase { TR_PHASE_FORWARD, TR_PHASE_RECOMPUTE, TR_PHASE_BACKWARD, TR_PHASE_REDUCE, TR_PHASE_UPDATE,
                TR_PHASE_EVAL, TR_PHASE_LOAD, /* of no step; LOAD: what is made of weights that came from outside */
                TR_PHASE_COUNT };
static inline bool tr_phase_is_of_step(enum tr_phase phase) { return phase < TR_PHASE_EVAL; }

/* What a collective of exact sums merges. */
enum tr_scalar { TR_SCALAR_NONE, TR_SCALAR_LOSS, TR_SCALAR_GRAD_SQ };

/* NOW: it has ended when the next operation begins. WAIT: the same of one that STARTs before. */
enum tr_coll_when { TR_COLL_NOW, TR_COLL_START, TR_COLL_WAIT };

/* A collective: `call` is complete but for addresses, which follow from the operands. A SEND always STARTs, and its WAIT is for the
 * place in which the schedule's entry has it: for what was sent from there before, if anything was. */
struct tr_program_coll {
    struct tr_coll call;
    enum tr_group group;
    int32_t members, index; /* of the group, and this rank in it */
    enum tr_scalar scalar;
    enum tr_coll_when when;
    int32_t started;        /* WAIT: index of the one that is to have ended; not of a SEND */
    bool of_round;          /* REDUCE_SCATTER: who has which lanes, the schedule's entry says */
    const int64_t *node_at; /* where in operand 0 the nodes begin, bytes; NULL: they are in its slots */
    int64_t to_bytes;       /* ALL_GATHER: where in operand 0 the parts of all begin */
    int64_t other_bytes;    /* ALL_GATHER, REDUCE_SCATTER: where in operand 1 this rank's part begins */
    int32_t peer;           /* SEND, RECV: the other side */
    enum tr_mail_way way;
};

struct tr_program_op {
    struct tr_op op;                             /* of a collective: zero */
    int32_t coll;                                /* a collective: its index in program->coll, operand 0 what it is about;
                                                    its nodes are that operand's slots. Operand 1: where the slice goes (comes
                                                    from), -1: in operand 0. -1: an operation of silicon/op */
    enum tr_phase phase;
    int32_t layer;                               /* -1 outside the layers */
    int32_t buffer[TR_OP_OPERANDS_MAX];          /* -1: optional operand not there */
    int32_t slot;                                /* of gradients: counted from that of the schedule's entry */
    int32_t src_slot;                            /* JOIN of lanes: 1, its source is one slot above its destination */
    bool only_last;                              /* done by entries that are `last` alone */
    int32_t workspace;                           /* buffer, -1 */
};

enum tr_section_kind { TR_SECTION_CAST, /* not scheduled: what exec.h runs when weights have been written */
                       TR_SECTION_LANE_BEGIN, TR_SECTION_FORWARD, TR_SECTION_BACKWARD, TR_SECTION_LANE_END, TR_SECTION_ROUND, TR_SECTION_JOIN,
                       TR_SECTION_UPDATE, TR_SECTION_EVAL, TR_SECTION_INFER, TR_SECTION_KINDS };

/* Number of the section of a kind that chunk `chunk` of the stage has; those that are no chunk's are chunk 0's. */
static inline int32_t tr_section_of(enum tr_section_kind kind, int32_t chunk) { return chunk * TR_SECTION_KINDS + (int32_t)kind; }

enum { TR_SECTIONS_MAX = TR_SECTION_KINDS * TR_STAGE_CHUNKS_MAX };

struct tr_program_section {
    int32_t first_op, op_count; /* op_count 0: this program has none */
};

struct tr_schedule_entry {
    int32_t section;        /* tr_section_of */
    int32_t lane;
    int64_t first_sequence; /* of the microbatch, in the batch */
    int32_t slot;           /* of the gradient stack: where this entry accumulates; JOIN: the destination */
    int32_t flight, mail;   /* where the microbatch's activations lie, and what is sent from here */
    bool last;              /* after it gradients are complete: those of the lane, with zero < 2 those of this rank */
    bool idle;              /* a lane that is not there: collectives alone, and none between stages */
    const struct tr_owners *owners; /* of the round's lanes, where its gradients are joined */
};

struct tr_program {
    struct tr_model_config model;
    struct tr_step_config step;
    struct tr_weights weights;      /* of the model */
    const struct tr_weight *own;    /* [weights.count], in the arena: of each what this rank's tensor parts have (portion.h) */
    struct tr_parts tensor;         /* these parts, and what they have of the model: */
    int32_t heads, kv_heads;
    int64_t ffn;
    int64_t seqs, seq_len;          /* of one microbatch (inference: sequences, tokens at a time) */
    struct tr_parts context;        /* this rank's context parts, */
    int64_t own_len;                /* so many tokens of each sequence, */
    int64_t stream_len;             /* of the residual stream with sequence parts shared fewer; */
    int32_t attn_kv_heads;          /* and in attention, where it has all of a sequence, so many of its key/value heads */
    int32_t grad_slots;
    struct tr_lanes lanes;          /* of this rank */
    struct tr_pipe pipe;
    int32_t stage;                  /* of this rank */
    const int32_t *chunk_of;        /* [weights.count], in the arena: the chunk of the model that each weight is of */
    int32_t flights;                /* microbatches whose activations are held at once */
    int64_t flight_bytes;           /* of one; 0: they are placed by lifetime, as there is one only */
    int64_t sequences;              /* of this rank's lanes; its batch buffers hold these, lane after lane */
    bool has_slices, has_weight_slices; /* moments are cut among ranks; fp32 weights too */
    bool has_grad_slices, has_read_slices; /* so are gradients; so is what operations read */
    bool sends_early;               /* gradients, as soon as they are complete */
    struct tr_arena arena;          /* what collectives point to */

    struct tr_buffer *buffer;
    int32_t buffer_count;
    struct tr_program_op *op;
    int32_t op_count;
    struct tr_program_coll *coll;
    int32_t coll_count;
    struct tr_program_section section[TR_SECTIONS_MAX]; /* of section_count */
    int32_t section_count;
    struct tr_schedule_entry *schedule;
    int32_t schedule_count;
    int64_t region_bytes[TR_REGION_COUNT];

    /* Buffers by name of purpose; -1 where the program has none. */
    int32_t tokens, targets, starts, loss, rope_table, logits;
    int32_t first_weight, first_grad, first_m, first_v; /* + canonical index; first_grad: slot 0 */
    int32_t first_copy;                                 /* the same; -1 in fp32 rows, where operations read the weights */
    int32_t head_panels;                                /* of a head that is tied; else -1 */
};

/* What runs the program: needed for the size of workspaces only. */
struct tr_machine {
    const struct tr_kernel_set *kernels;
    int threads;
};

/* Builds the training program, evaluation section included. Refuses with a sentence what cannot be: a batch that lanes
 * or microbatch do not divide, a sequence longer than the model's positions, too few key blocks for the context parts,
 * more tensor parts than heads ... Free with tr_program_free. */
TR_MUST_CHECK enum tr_status tr_program_train(struct tr_program *program, const struct tr_model_config *model,
                                              const struct tr_step_config *step, struct tr_machine machine,
                                              struct tr_err *err);

/* Builds a generation program: `seqs` sequences, `tokens` new tokens each at values.position, keys and values of at
 * most `capacity` positions; logits [seqs, vocab] (fp32) of the last token. Programs that differ in `tokens` only have
 * the same WEIGHTS, COPIES, CONSTANTS and CACHE regions: a prompt and the tokens after it share them. */
TR_MUST_CHECK enum tr_status tr_program_infer(struct tr_program *program, const struct tr_model_config *model,
                                              enum tr_dtype dtype, enum tr_weight_form form,
                                              const struct tr_widths *widths, int64_t seqs, int64_t tokens,
                                              int64_t capacity, struct tr_machine machine, struct tr_err *err);

/* Builds a program that has the EVAL section only: losses of `seqs` sequences of `seq_len` tokens at a time, by the same
 * operations as in a training program. widths->lanes does not matter. program->loss [seqs, seq_len] holds each token's
 * loss after it has run, 0 where there is no target. `apart` as in the step config. With a `form` other than ROWS the
 * logits of all tokens are in memory at once. */
TR_MUST_CHECK enum tr_status tr_program_eval(struct tr_program *program, const struct tr_model_config *model,
                                             enum tr_dtype dtype, enum tr_weight_form form,
                                             const struct tr_widths *widths, int64_t seqs, int64_t seq_len, bool apart,
                                             struct tr_machine machine, struct tr_err *err);

void tr_program_free(struct tr_program *program);

/* The stage that trains weight `index`, and whether it is this rank's. */
int32_t tr_program_stage_of(const struct tr_program *program, int32_t index);
bool tr_program_has(const struct tr_program *program, int32_t index);

/* What this rank's tensor parts have of weight `index`, wherever it is trained. */
struct tr_portion tr_program_portion(const struct tr_program *program, int32_t index);

/* The elements of that portion whose optimiser state this rank has, and those whose fp32 weights are its own: all of them without
 * ZeRO, none of what is another stage's. */
struct tr_range tr_program_slice(const struct tr_program *program, int32_t index);
struct tr_range tr_program_held(const struct tr_program *program, int32_t index);

/* Microbatches of this rank's lanes. */
int64_t tr_program_micros(const struct tr_program *program);

/* Whether every weight and moment is there as a whole; whether what operations read of the weights is. */
bool tr_program_is_whole(const struct tr_program *program);
bool tr_program_reads_whole(const struct tr_program *program);

/* Whether an op of the section of this entry is done by it. Of a lane that is not there stages have nothing to tell each other. */
static inline bool tr_program_op_runs(const struct tr_program *program, const struct tr_program_op *op,
                                      const struct tr_schedule_entry *entry)
{
    bool meets = op->coll >= 0 && program->coll[op->coll].group != TR_GROUP_PIPE;
    return (!op->only_last || entry->last) && (meets || !entry->idle);
}

/* Work of all operations of a section, or of the whole step. Where documents stand apart this is a bound, reached when each
 * sequence is one document: what is executed is tr_op_work_apart of the starts that are in the batch. */
struct tr_work tr_program_section_work(const struct tr_program *program, int32_t section, int64_t position);
struct tr_work tr_program_step_work(const struct tr_program *program);

/* Bytes that this rank sends in a collective of an entry of the schedule. */
int64_t tr_program_coll_bytes(const struct tr_program_coll *coll, const struct tr_schedule_entry *entry);

/* Bytes that this rank sends in a step's collectives, by their kind; returns the sum. */
int64_t tr_program_sent_bytes(const struct tr_program *program, int64_t by_kind[TR_COLL_KIND_COUNT]);

/* Bytes of all regions; and by kind at the moment of the peak, for the report (they sum to the total; what WORK holds
 * at its peak op is by kind, gaps between buffers count as workspace). */
int64_t tr_program_memory_bytes(const struct tr_program *program);
/* TR_NO unless as much memory is free as the program, `beside_bytes` and a process without them take: "`doing` MODEL needs
 * 9 GiB of memory, 7 GiB of the machine's 8 GiB are free: `remedy`". The system would end the process without a word. */
TR_MUST_CHECK enum tr_status tr_program_check_memory(const struct tr_program *program, int64_t beside_bytes, const char *doing,
                                                     const char *remedy, struct tr_err *err);
void tr_program_memory_by_kind(const struct tr_program *program, int64_t bytes[TR_BUF_KIND_COUNT]);

/* "rows", "panels", "int8", "int4" */
const char *tr_form_name(enum tr_weight_form form);

const char *tr_group_name(enum tr_group group); /* "tp", "cp", "dp", "pp" */
const char *tr_region_name(enum tr_region region);
const char *tr_buffer_kind_name(enum tr_buffer_kind kind);
const char *tr_phase_name(enum tr_phase phase);

/* Which optional operands an op of the program has, as tr_op_work wants it. */
uint32_t tr_program_op_present(const struct tr_program_op *op);

#endif
