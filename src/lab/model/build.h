/* Private to lab/model: what the files that build step programs share. program.c says what a program consists of. */
#ifndef TR_LAB_MODEL_BUILD_H
#define TR_LAB_MODEL_BUILD_H

#include "lab/model/program.h"

/* Buffers that a layer's forward pass leaves for its backward pass; -1 where the model has none. Those of heads have all tokens. */
struct tr_layer_buffers {
    int32_t in, norm1, stats1, q, k, v, q_normed, k_normed, q_stats, k_stats, q_heads, k_heads, v_heads, attn_heads, attn_stats, attn,
        mid, norm2, stats2;
    int32_t gate, up, act; /* GPT-2: gate is the input of GELU, no up */
    int32_t out;
    int32_t lora[TR_LORA_TARGETS]; /* (alpha / rank) x A^T of each adapter */
};

enum { TR_BUILD_MAX = 1 << 20 }; /* operations, buffers */

struct tr_builder {
    struct tr_program *program;
    int32_t buffer_capacity, op_capacity, coll_capacity;
    bool out_of_memory;          /* nothing is added any more; reported once at the end */
    enum tr_phase phase;         /* given to each new op */
    int32_t layer;
    int32_t slot;                /* these too */
    bool only_last;
    const struct tr_owners *lane_owners; /* which lanes each rank has; NULL: one rank has all */
    const struct tr_owners *part_owners; /* and which tensor parts */
    const struct tr_owners *context_owners, *context_members; /* and which context parts; each of these ranks once */
    bool has_tied_head;          /* whose gradient is one of its own */
    int32_t slot_buffers;        /* gradient buffers of one slot: one a weight, and behind them that of a tied head */
    int32_t first_sum;           /* what backward passes add to: first_grad, or with zero = 2 the gradients of a lane */
    int32_t *sent;               /* [slot_buffers] the op by which a gradient is joined; -1: none is there */
    int32_t *read, *ahead;       /* [weights.count] with zero = 3: what is there of a weight; the op that gathers it; -1: nothing */
    bool infer;
    int32_t first_k_cache, first_v_cache; /* + layer; inference only */
    struct tr_layer_buffers *layers; /* [model.layers] as the last pass through them left them */
};

/* build.c. What is added until its end is a section of the program, its operations of this phase. */
void tr_build_begin_section(struct tr_builder *b, int32_t section, enum tr_phase phase);
void tr_build_end_section(struct tr_builder *b, int32_t section);

/* Adds a buffer / an op; on lack of memory returns a harmless one and remembers it. The pointer is valid until the next
 * op is added. */
int32_t tr_build_buffer(struct tr_builder *b, enum tr_buffer_kind kind, enum tr_region region, enum tr_dtype dtype,
                        struct tr_shape shape, const char *fmt, ...) TR_PRINTF(6, 7);
struct tr_program_op *tr_build_op(struct tr_builder *b, struct tr_op op);
struct tr_program_op *tr_build_coll(struct tr_builder *b, struct tr_program_coll coll, int32_t buffer);

/* An op on fp32 arrays of `count` elements, operand 0 `buffer`, uncut. */
struct tr_program_op *tr_build_counted(struct tr_builder *b, enum tr_op_kind kind, int32_t buffer, int64_t count);

/* An op of this kind with the program's types, and this rank's tokens and context parts, `part` whole; with all tokens. */
struct tr_op tr_build_template(const struct tr_builder *b, enum tr_op_kind kind);
struct tr_op tr_build_whole_template(const struct tr_builder *b, enum tr_op_kind kind);

/* A WORK buffer for activations of `columns` a token, of `length` tokens of each sequence; of all that this rank has. */
int32_t tr_build_rows(struct tr_builder *b, enum tr_buffer_kind kind, int64_t length, int64_t columns, const char *name);
int32_t tr_build_activation(struct tr_builder *b, enum tr_buffer_kind kind, int64_t columns, const char *name);

/* Buffers of a weight, as operations read it, and of what they add its gradient to; -1 when the model has none, or does not train it. */
int32_t tr_build_weight(const struct tr_builder *b, enum tr_weight_role role, int32_t layer);
int32_t tr_build_grad(const struct tr_builder *b, enum tr_weight_role role, int32_t layer);

/* forward.c. Each returns the buffer that its result is in; of embedding and layer that is the residual stream. */
int32_t tr_build_embed(struct tr_builder *b);
void tr_build_layer(struct tr_builder *b, int32_t layer, int32_t in, struct tr_layer_buffers *buffers);
int32_t tr_build_act(struct tr_builder *b, int32_t gate, int32_t up); /* GELU of gate, or SwiGLU of both */
int32_t tr_build_norm(struct tr_builder *b, int32_t x, enum tr_weight_role gain, enum tr_weight_role bias,
                      int32_t layer, const char *name, int32_t *stats);

/* Descriptions that forward and backward passes share: the same matrix product seen from three sides. */
struct tr_op tr_build_qkv_op(const struct tr_builder *b, enum tr_op_kind kind);
struct tr_op tr_build_attn_out_op(const struct tr_builder *b, enum tr_op_kind kind);
struct tr_op tr_build_ffn_in_op(const struct tr_builder *b, enum tr_op_kind kind);
struct tr_op tr_build_ffn_out_op(const struct tr_builder *b, enum tr_op_kind kind);
struct tr_op tr_build_norm_op(const struct tr_builder *b, enum tr_op_kind kind);
struct tr_op tr_build_head_norm_op(const struct tr_builder *b, enum tr_op_kind kind, bool keys);
struct tr_op tr_build_rope_op(const struct tr_builder *b, int32_t heads);
struct tr_op tr_build_attn_op(const struct tr_builder *b, enum tr_op_kind kind);

/* lora.c. Forward: the low half u = (alpha / rank) x A^T, and y + u B^T, whose buffer is returned; -1 and y itself when
 * the target has no adapter. Backward: adds the adapter's share to dx, and the gradients of A and B. */
int32_t tr_build_lora_low(struct tr_builder *b, enum tr_lora_target target, int32_t x);
int32_t tr_build_lora_high(struct tr_builder *b, enum tr_lora_target target, int32_t low, int32_t y);
void tr_build_lora_backward(struct tr_builder *b, enum tr_lora_target target, int32_t x, int32_t low, int32_t dy, int32_t dx);

/* forward.c: the same product with its weights in panels, if the program's are. */
struct tr_op tr_build_in_panels(const struct tr_builder *b, struct tr_op op);

/* backward.c: adds the gradient of `stream` (in place) from the layer's output to its input. */
void tr_build_layer_backward(struct tr_builder *b, const struct tr_layer_buffers *buffers, int32_t stream);

/* Elements [first, first + count) of a buffer; the buffer itself when it has no more. */
int32_t tr_build_part(struct tr_builder *b, int32_t buffer, int64_t first, int64_t count);

/* Of a buffer that holds all of weight `index` (of a gradient: leaf 0 of it), this rank's slice; the buffer itself when that
 * is all of the weight, or the slice alone. */
int32_t tr_build_slice(struct tr_builder *b, int32_t buffer, int32_t index);

/* The same as elements, also of a weight that is another stage's: ranks of one place in DATA have the same on all stages. */
struct tr_range tr_build_slice_of(const struct tr_program *program, int32_t index);

/* ranks.c: where ranks meet. Each does nothing when this is the only one. */
void tr_build_merge(struct tr_builder *b, enum tr_scalar scalar, enum tr_group group);

/* The same, and the op by which it happens; -1: by none. A collective that is to START is NOW where the step has them in the foreground. */
int32_t tr_build_join_gradient(struct tr_builder *b, int32_t index, enum tr_coll_when when); /* over lanes; of gradient `index` */
/* What this rank has of weight `index` in `from`, and others in theirs, becomes the whole in `to`; from < 0: in its place there. */
int32_t tr_build_gather(struct tr_builder *b, int32_t index, int32_t from, int32_t to, enum tr_coll_when when);
/* What that op has STARTed has ended. */
void tr_build_wait(struct tr_builder *b, int32_t op);

/* ranks.c, for its like. A collective of a group, which lacks what is special about it; numbers that it points to (NULL: out of memory);
 * the sum of all members' nodes, arrays of `count` elements in `sum`, the first of which begin at at[k] elements. */
struct tr_program_coll tr_build_coll_of(const struct tr_program *program, enum tr_group group, enum tr_coll_kind kind);
int64_t *tr_build_numbers(struct tr_builder *b, int64_t count);
void tr_build_join_nodes(struct tr_builder *b, enum tr_group group, const struct tr_owners *owners, int32_t sum, int64_t count,
                         const int64_t at[TR_TREE_ROOTS_MAX]);

/* tensor.c: tensor parts that are shared. A product that sums over them writes into tr_build_parts_sum: an array [T, columns] for each
 * node of the tree that this rank has. tr_build_parts_end: the sum over all parts of all ranks + bias + residual (-1: none), rounded;
 * returns its buffer. */
bool tr_build_shares_parts(const struct tr_program *program);
int32_t tr_build_parts_sum(struct tr_builder *b, int64_t columns, const char *name);
int32_t tr_build_parts_end(struct tr_builder *b, enum tr_buffer_kind kind, int64_t columns, int32_t sum, int32_t bias, int32_t residual,
                           const char *name);
/* Whether the gradient of such a weight has leaves of parts that ranks share, and these: leaves of `count` elements, [context parts][this rank's tensor parts] in `own`, become all ranks' [context parts][tensor parts];
 * returns their buffer. */
bool tr_build_shares_leaves(const struct tr_program *program, enum tr_weight_role role);
int32_t tr_build_gather_leaves(struct tr_builder *b, int32_t own, int64_t count);

/* The residual stream, as TAKE takes the tokens of it that member `index` of the tensor parallel ranks has. */
struct tr_op tr_build_stream_op(const struct tr_builder *b, int32_t index);

/* What of the residual stream's tokens ranks share becomes all of them; of these its own. x itself where they are not shared. */
int32_t tr_build_gather_stream(struct tr_builder *b, enum tr_buffer_kind kind, int32_t x, const char *name);
int32_t tr_build_take_stream(struct tr_builder *b, enum tr_buffer_kind kind, int32_t x, const char *name);

/* context.c: context parts that are shared. What has `columns` for each key/value head goes from all heads of this rank's tokens to all
 * tokens of its heads, and back; returns the buffer where it is then. Where they are not shared, this is x itself. */
int32_t tr_build_to_heads(struct tr_builder *b, enum tr_buffer_kind kind, int32_t x, int64_t columns, const char *name);
int32_t tr_build_to_tokens(struct tr_builder *b, enum tr_buffer_kind kind, int32_t x, int64_t columns, const char *name);
/* This rank's tokens of a batch buffer. */
int32_t tr_build_own_tokens(struct tr_builder *b, int32_t batch, const char *name);
/* The sum over context parts of what this rank has folded at `sums`: arrays of `count` elements, one for each leaf, `inner` of these
 * to a context part. rows: there is one array, in which each rank has rows of its own, and +0 elsewhere. */
void tr_build_join_context(struct tr_builder *b, int32_t sums, int64_t inner, int64_t count, bool rows);

/* share.c: what goes on while passes go through the parts of the model: the embedding (-1), layer after layer, and the last norm with
 * the head (model.layers).
 *
 * Enters a part: with zero = 3 the weights that were asked for are there, and those of the part before are gone; those of part
 * `next` are asked for. */
void tr_build_enter(struct tr_builder *b, int32_t next, bool backward);
enum { TR_PART_NONE = -2 }; /* as `next`: none */
/* Gradients of a part, around its backward pass: they are zero, where they are one lane's and in WORK; they are complete in an entry
 * that is last, and START to be joined. */
void tr_build_part_begin(struct tr_builder *b, int32_t part);
void tr_build_part_end(struct tr_builder *b, int32_t part);
/* After the last part that a backward turn passes: what was sent of its gradients, where these are one lane's, is free. */
void tr_build_passed(struct tr_builder *b, int32_t part);
/* Room for what these know of weights and gradients. */
TR_MUST_CHECK enum tr_status tr_build_share(struct tr_builder *b, struct tr_err *err);

/* buffers.c. fp32 weights, and the copies or panels that operations read in their place; moment number `moment` of each weight (returns
 * the first); gradients; the table of RoPE; tokens of a batch; keys or values of every layer (returns the first). */
void tr_build_weight_buffers(struct tr_builder *b);
int32_t tr_build_moment_buffers(struct tr_builder *b, int32_t moment, const char *letter);
void tr_build_gradient_buffers(struct tr_builder *b);
void tr_build_rope_buffer(struct tr_builder *b, int64_t positions);
int32_t tr_build_batch_buffer(struct tr_builder *b, int64_t sequences, const char *name);
int32_t tr_build_cache_buffers(struct tr_builder *b, int64_t capacity, const char *letter);
/* The section that makes the copies from the weights. */
void tr_build_cast(struct tr_builder *b);
/* The weight of gradient `index`; whether gradients of a lane are in WORK, and each entry begins with none. */
int32_t tr_build_weight_of(const struct tr_builder *b, int32_t index);
bool tr_build_sums_in_work(const struct tr_program *program);

/* passes.c: the sections of forward and backward turns of each chunk; of evaluation; of inference. */
void tr_build_chunks(struct tr_builder *b);
void tr_build_eval(struct tr_builder *b);
void tr_build_infer(struct tr_builder *b);

/* reduce.c: the sections between passes and update. Of gradient `index`: its leaves become one; it is joined with the one a slot above.
 * Nothing where there is nothing to do. */
void tr_build_reductions(struct tr_builder *b);
void tr_build_fold(struct tr_builder *b, int32_t index);
void tr_build_lane_join(struct tr_builder *b, int32_t index);

/* ranks.c: messages between stages. A buffer that was sent may be written again after tr_build_sent; of a mail (buffer -1) that is
 * what the schedule's entry will write. */
void tr_build_send(struct tr_builder *b, enum tr_mail_way way, int32_t buffer);
void tr_build_sent(struct tr_builder *b, enum tr_mail_way way, int32_t buffer);
void tr_build_receive(struct tr_builder *b, enum tr_mail_way way, int32_t buffer);
/* Makes `buffer` one that is sent while this rank goes on: it gets places of its own. */
void tr_build_mail(struct tr_builder *b, enum tr_mail_way way, int32_t buffer);

/* The layers of chunk `chunk` of this stage; whether it is the model's first or last chunk. */
struct tr_range tr_build_chunk_layers(const struct tr_builder *b, int32_t chunk);
bool tr_build_is_first(const struct tr_builder *b, int32_t chunk);
bool tr_build_is_last(const struct tr_builder *b, int32_t chunk);

/* rank.c: lanes, sequences, parts, chunks and slices of this rank; needs step and weights. */
TR_MUST_CHECK enum tr_status tr_build_place_rank(struct tr_builder *b, struct tr_err *err);

/* update.c: the section that happens once a step, from the joined gradients of slot 0 to the weights. */
void tr_build_update(struct tr_builder *b);

/* update.c: whether the tied table has a gradient as head too. */
bool tr_build_has_tied_gradient(const struct tr_builder *b);

/* update.c: the last stage gets what it reads of a tied table from the first one. */
void tr_build_share_table(struct tr_builder *b);

/* step_check.c: refuses, with a sentence, what tr_program_train and tr_program_infer cannot build. */
TR_MUST_CHECK enum tr_status tr_build_check_step(const struct tr_model_config *config,
                                                 const struct tr_step_config *step, struct tr_err *err);

/* schedule.c: how many slots the lanes of this rank take, or with zero = 2 the rounds; p->schedule and p->flights, once the sections
 * are there. */
int32_t tr_build_slots(const struct tr_program *program);
TR_MUST_CHECK enum tr_status tr_build_schedule(struct tr_program *program, struct tr_err *err);

/* memory.c: lifetimes, workspaces, offsets, region sizes. */
TR_MUST_CHECK enum tr_status tr_build_place(struct tr_builder *b, struct tr_machine machine, struct tr_err *err);

#endif
