/* The vocabulary of operations: what a step program is made of, as data.
 *
 * An operation is described by a struct tr_op: its kind, number types, shape and logical cuts, and nothing about where
 * its operands lie. Everything that its meaning, its price and its memory depend on is in there, so that the same
 * description is executed (silicon/kernel), priced and compared. tr_op_operands lists the operands of a kind in order,
 * tr_op_operand_shape gives their shapes, tr_op_contract the reduction contract: which axes it sums, where they are
 * cut, how the parts join, where values are rounded. docs/contract.md is printed from that table.
 *
 * Shapes, row-major, tokens = seqs * seq_len, token t = sequence * seq_len + position:
 *     T tokens   C width   I in   O[i] out[i]   V vocab   H heads   G kv_heads   D head_dim   L leaves (see below)
 *
 * Gradients of weights (direction TR_ACC) are accumulators: they start at +0 at the beginning of a data lane and are
 * added to by each microbatch. Their leading axis holds one accumulator for each leaf, that is for each logical part of
 * the token axis whose sums must stay apart until the lane ends: context parts (outer) times, for some, tensor or
 * sequence parts (inner). TR_OP_FOLD joins the leaves, TR_OP_JOIN the lanes.
 *
 * Documents that share a sequence (TR_OP_APART): the operand `start` [T] has, for each token, the absolute position of
 * the first token of its document, 0 <= start <= the token's own, never falling within a sequence. Attention sees keys
 * from `start` on, and positions of embeddings and rotations are counted from it, so that a document is computed as if
 * it were alone. Where the sums of attention are cut (key blocks, context parts) does not move with it.
 */
#ifndef TR_SILICON_OP_OP_H
#define TR_SILICON_OP_OP_H

#include "silicon/op/dtype.h"
#include "silicon/op/panel.h"
#include "silicon/op/reduce.h"

enum tr_op_kind {
    TR_OP_EMBED,      /* y[t] = wte[token[t]] (+ wpe[position]) */
    TR_OP_EMBED_BWD,
    TR_OP_NORM,       /* LayerNorm, or RMSNorm with TR_OP_RMS; over `width`, `heads` groups a token */
    TR_OP_NORM_BWD,
    TR_OP_LINEAR,     /* y_i = x w_i^T (+ b_i) (+ residual), up to three weights that share x: q/k/v, gate/up */
    TR_OP_LINEAR_PACKED, /* the same with weights in panels (panel.h), perhaps in blocks of 8 or 4 bits: generation */
    TR_OP_LINEAR_DX,  /* dx = sum_i dy_i w_i */
    TR_OP_LINEAR_DW,  /* dw_i += dy_i^T x,  db_i += sum_t dy_i */
    TR_OP_LINEAR_END, /* y = sum (+ bias) (+ residual): what LINEAR or LINEAR_DX does with the sum of its parts, where ranks
                         have joined it */
    TR_OP_ROPE,       /* rotates the pairs (d, d + D/2) of each head, in place; TR_OP_INVERSE turns back */
    TR_OP_ATTN,       /* causal attention, grouped heads, softmax in key blocks */
    TR_OP_ATTN_BWD,
    TR_OP_GELU,
    TR_OP_GELU_BWD,
    TR_OP_SWIGLU,     /* y = silu(gate) * up */
    TR_OP_SWIGLU_BWD,
    TR_OP_HEAD,       /* logits, cross-entropy and, with TR_OP_GRAD, dx and dw at once, a tile of rows at a time */
    TR_OP_LOSS,       /* cross-entropy of logits that are there already, as HEAD has it */
    TR_OP_LAST,       /* y[s] = x[last token of sequence s] */
    TR_OP_KV_APPEND,  /* cache[s, g, position + t] = x[s, t, g] */
    TR_OP_SPLIT,      /* y = parts of x, one after the other: tokens of each sequence, or with TR_OP_BY_HEAD heads;
                         TR_OP_INVERSE: the other way round. What ranks send each other, and a rank's share of a batch */
    TR_OP_TAKE,       /* y = the tokens of x that are in the op's sequence parts */
    TR_OP_ZERO,       /* dst = +0 */
    TR_OP_FOLD,       /* joins the leaves of an accumulator along the trees of context and part, into leaf 0; of a sub-range of the
                         context parts each whole subtree (tr_tree_roots) into the first of its leaves */
    TR_OP_JOIN,       /* dst = dst + src: two lanes, or the two uses of a tied weight */
    TR_OP_LOSS_SUM,   /* exact sum of the losses of a microbatch into the step's */
    TR_OP_GRAD_SQ,    /* exact sum of squares of a gradient into the step's */
    TR_OP_CLIP,       /* the factor of the gradient from its norm */
    TR_OP_ADAMW,
    TR_OP_MUON_MOMENT, /* Muon's momentum, and its direction: Nesterov's step, scaled to Frobenius norm 1 */
    TR_OP_MIX,         /* dst = alpha dst (+ beta src) */
    TR_OP_MUON,        /* w from the orthogonalised direction */
    TR_OP_CAST,        /* dst = src rounded: the copy of a weight that products read */
    TR_OP_PACK,        /* the panels of a weight */
    TR_OP_KIND_COUNT
};

enum tr_op_flag {
    TR_OP_RMS = 1 << 0,
    TR_OP_INVERSE = 1 << 1,
    TR_OP_ROW_PARALLEL = 1 << 2, /* LINEAR*: tensor parts cut `in` (else they cut `out`) */
    TR_OP_GRAD = 1 << 3,         /* HEAD: also dx, and dw where it is there */
    TR_OP_ADD_DX = 1 << 4,       /* NORM_BWD: dx += instead of dx = (the residual stream's gradient) */
    TR_OP_DECAY = 1 << 5,        /* ADAMW, MUON: weight decay applies */
    TR_OP_APART = 1 << 6,        /* EMBED*, ROPE, ATTN*: documents of a sequence stand apart, by the operand `start` */
    TR_OP_Y_F32 = 1 << 7,        /* LINEAR, LINEAR_PACKED: y is fp32 whatever the activations are: logits */
    TR_OP_BY_HEAD = 1 << 8       /* ATTN: k and v are caches, as KV_APPEND writes them: heads outermost. SPLIT: heads are cut */
};

/* A logical axis cut in `parts`, of which this operation does [first, last). Full range on one rank. */
struct tr_parts {
    int32_t parts, first, last;
};

static inline struct tr_parts tr_all_parts(int parts) { return (struct tr_parts){parts, 0, parts}; }
static inline int tr_parts_owned(struct tr_parts cut) { return cut.last - cut.first; }

/* Sequences are cut in context parts in multiples of this: whole key blocks, so that the blocks of attention are the
 * same for every width. */
enum { TR_CONTEXT_QUANTUM = TR_KEY_BLOCK };

/* The vocabulary is cut in multiples of this: pairs of bf16. */
enum { TR_VOCAB_QUANTUM = 2 };

enum { TR_OP_SEGMENTS_MAX = 3, TR_OP_OPERANDS_MAX = 12, TR_SHAPE_RANK_MAX = 4 };

struct tr_op {
    enum tr_op_kind kind;
    enum tr_dtype act;    /* activations and their gradients */
    enum tr_dtype weight; /* weights as the operation reads them; weight gradients and moments are always fp32. PACK,
                             LINEAR_PACKED: of the panels, here TR_INT8 and TR_INT4 too */
    uint32_t flags;       /* enum tr_op_flag */
    int64_t seqs, seq_len;
    int64_t width;        /* C: EMBED*, NORM* (of one group), LINEAR_END, HEAD, LAST, TAKE, element-wise ops (columns a token) */
    int64_t in;           /* LINEAR*, PACK */
    int32_t segments;     /* LINEAR*: how many of out[]; PACK: 1 */
    int64_t out[TR_OP_SEGMENTS_MAX];
    int32_t heads, kv_heads, head_dim; /* ATTN*, ROPE, SPLIT (heads, head_dim), KV_APPEND (kv_heads, head_dim); NORM*: heads =
                                          groups of `width` a token, 1 for an ordinary norm */
    int64_t vocab;        /* EMBED*, HEAD, LOSS */
    int64_t positions;    /* rows of wpe or of the RoPE table; ATTN, KV_APPEND: rows of K and V a sequence (and head) */
    int64_t count;        /* elements: ZERO, FOLD (of one leaf), JOIN, GRAD_SQ, ADAMW, MUON*, MIX, CAST */
    float eps;            /* NORM* */
    float alpha, beta;    /* MIX: of dst, of src; MUON: alpha, of the learning rate */
    struct tr_parts context; /* parts of each sequence */
    struct tr_parts part;    /* tensor, sequence or vocabulary parts: what the kind says. SPLIT: members of a group of ranks */
    int64_t quantum[TR_OP_SEGMENTS_MAX]; /* LINEAR*: `part` cuts out[i] (row parallel: in, by quantum[0]) in multiples
                                            of this: whole heads, and even numbers for bf16 pairs */
    int64_t whole[TR_OP_SEGMENTS_MAX]; /* how long the axis that `part` cuts is over all ranks: out[i] of LINEAR* (row parallel:
                                          in, [0]), heads of NORM_BWD with heads > 1, vocab of HEAD. Only who has several
                                          parts, not all, needs to say so: parts may differ */
    int64_t whole_seq_len; /* so for the tokens of a sequence, which `context` cuts and, in NORM_BWD with heads = 1, `part`. EMBED*
                              count positions from the first token that is here, and need it with any share */
};

enum tr_direction { TR_IN, TR_OUT, TR_INOUT, TR_ACC };

enum tr_operand_type { TR_TYPE_ACT, TR_TYPE_WEIGHT, TR_TYPE_F32, TR_TYPE_I32, TR_TYPE_PANELS /* of type weight */ };

struct tr_operand_info {
    const char *name;
    enum tr_direction direction;
    enum tr_operand_type type;
    bool optional; /* its pointer may be NULL: no bias, no residual, a segment that is not there */
};

struct tr_op_info {
    const char *name;    /* "linear_dw" */
    const char *meaning; /* one line */
    int operand_count;
    struct tr_operand_info operand[TR_OP_OPERANDS_MAX];
};

const struct tr_op_info *tr_op_operands(enum tr_op_kind kind);

struct tr_shape {
    int rank;
    int64_t dim[TR_SHAPE_RANK_MAX];
};

/* Shape of operand `index` of `op`; rank 0 when the kind has none there or this op cannot (a fourth segment). */
struct tr_shape tr_op_operand_shape(const struct tr_op *op, int index);
enum tr_dtype tr_op_operand_dtype(const struct tr_op *op, int index);
int64_t tr_op_operand_bytes(const struct tr_op *op, int index);
int64_t tr_shape_count(struct tr_shape shape);

/* Operand indices, so that programs and kernels name them instead of counting. */
enum { TR_EMBED_TOKENS, TR_EMBED_WTE, TR_EMBED_WPE, TR_EMBED_Y, TR_EMBED_START };
enum { TR_EMBED_BWD_TOKENS, TR_EMBED_BWD_DY, TR_EMBED_BWD_DWTE, TR_EMBED_BWD_DWPE,
       TR_EMBED_BWD_START };
enum { TR_NORM_X, TR_NORM_GAIN, TR_NORM_BIAS, TR_NORM_Y, TR_NORM_STATS };
enum { TR_NORM_BWD_X, TR_NORM_BWD_GAIN, TR_NORM_BWD_STATS, TR_NORM_BWD_DY, TR_NORM_BWD_DX, TR_NORM_BWD_DGAIN,
       TR_NORM_BWD_DBIAS };
enum { TR_LINEAR_X, TR_LINEAR_W, TR_LINEAR_B = 4, TR_LINEAR_Y = 7, TR_LINEAR_RESIDUAL = 10 }; /* LINEAR_PACKED too */
enum { TR_LINEAR_DX_DY, TR_LINEAR_DX_W = 3, TR_LINEAR_DX_DX = 6 };
enum { TR_LINEAR_DW_X, TR_LINEAR_DW_DY, TR_LINEAR_DW_DW = 4, TR_LINEAR_DW_DB = 7 };
enum { TR_LINEAR_END_SUM, TR_LINEAR_END_B, TR_LINEAR_END_RESIDUAL, TR_LINEAR_END_Y };
enum { TR_ROPE_X, TR_ROPE_TABLE, TR_ROPE_START };
enum { TR_ATTN_Q, TR_ATTN_K, TR_ATTN_V, TR_ATTN_O, TR_ATTN_STATS, TR_ATTN_START };
enum { TR_ATTN_BWD_Q, TR_ATTN_BWD_K, TR_ATTN_BWD_V, TR_ATTN_BWD_O, TR_ATTN_BWD_STATS, TR_ATTN_BWD_DO, TR_ATTN_BWD_DQ,
       TR_ATTN_BWD_DK, TR_ATTN_BWD_DV, TR_ATTN_BWD_START };
enum { TR_GELU_X, TR_GELU_Y };
enum { TR_GELU_BWD_X, TR_GELU_BWD_DY, TR_GELU_BWD_DX };
enum { TR_SWIGLU_GATE, TR_SWIGLU_UP, TR_SWIGLU_Y };
enum { TR_SWIGLU_BWD_GATE, TR_SWIGLU_BWD_UP, TR_SWIGLU_BWD_DY, TR_SWIGLU_BWD_DGATE, TR_SWIGLU_BWD_DUP };
enum { TR_HEAD_X, TR_HEAD_W, TR_HEAD_TARGETS, TR_HEAD_LOSS, TR_HEAD_DX, TR_HEAD_DW };
enum { TR_LOSS_LOGITS, TR_LOSS_TARGETS, TR_LOSS_LOSS };
enum { TR_LAST_X, TR_LAST_Y };
enum { TR_KV_APPEND_X, TR_KV_APPEND_CACHE };
enum { TR_SPLIT_SRC, TR_SPLIT_DST };
enum { TR_TAKE_X, TR_TAKE_Y };
enum { TR_ZERO_DST };
enum { TR_FOLD_LEAVES };
enum { TR_JOIN_DST, TR_JOIN_SRC };
enum { TR_LOSS_SUM_LOSS };
enum { TR_GRAD_SQ_GRAD };
enum { TR_ADAMW_W, TR_ADAMW_GRAD, TR_ADAMW_M, TR_ADAMW_V, TR_ADAMW_COPY };
enum { TR_MUON_MOMENT_GRAD, TR_MUON_MOMENT_M, TR_MUON_MOMENT_Y };
enum { TR_MIX_DST, TR_MIX_SRC };
enum { TR_MUON_W, TR_MUON_X, TR_MUON_COPY };
enum { TR_CAST_SRC, TR_CAST_DST };
enum { TR_PACK_SRC, TR_PACK_DST, TR_PACK_ERROR };

/* ---- the reduction contract ------------------------------------------------------------------------------------ */

enum tr_axis { TR_AXIS_NONE, TR_AXIS_IN, TR_AXIS_OUT, TR_AXIS_TOKENS, TR_AXIS_KEYS, TR_AXIS_QUERIES, TR_AXIS_HEAD_DIM,
               TR_AXIS_WIDTH, TR_AXIS_VOCAB, TR_AXIS_GROUP, TR_AXIS_ALL };

/* Within one leaf (see reduce.h). */
enum tr_order { TR_ORDER_NONE, TR_ORDER_CHAIN, TR_ORDER_BLOCKS, TR_ORDER_ADDS, TR_ORDER_FOLD16, TR_ORDER_SOFTMAX,
                TR_ORDER_EXACT };

/* What logical parts cut the axis; each cut is joined by the tree, outermost first. */
enum tr_cut_by { TR_CUT_LANE = 1 << 0, TR_CUT_CONTEXT = 1 << 1, TR_CUT_TENSOR = 1 << 2, TR_CUT_SEQUENCE = 1 << 3,
                 TR_CUT_VOCAB = 1 << 4, TR_CUT_GROUP_HEAD = 1 << 5 };

enum tr_rounding { TR_ROUND_NEVER, TR_ROUND_ACT, TR_ROUND_F32 };

struct tr_contract {
    enum tr_op_kind kind;
    const char *flags;       /* "" or which variant of the kind the row is for */
    const char *result;      /* the operand (or scalar) that the row defines */
    enum tr_axis axis;
    enum tr_order order;
    uint32_t cuts;           /* enum tr_cut_by */
    enum tr_rounding rounding;
    const char *note;        /* the formula, and what the columns cannot say */
};

const struct tr_contract *tr_op_contract(int *row_count);
const char *tr_axis_name(enum tr_axis axis);
const char *tr_order_name(enum tr_order order);
const char *tr_cut_name(enum tr_cut_by cut);

/* docs/contract.md: the table as Markdown, after an introduction that explains its words. */
struct tr_text;
void tr_op_contract_print(struct tr_text *out);

/* The accumulators that weight gradient `operand` of `op` keeps apart on this rank: the leading axis of its shape. */
int64_t tr_op_leaves(const struct tr_op *op, int operand);

/* Where the cuts lie, in indices of the operands that this operation has. An operation that does a sub-range of the
 * parts has that share of the axis only (its seq_len, in, out, heads are those of the share, concatenated); how long the axis
 * is as a whole (`whole`, `whole_seq_len`) tells where the cuts inside lie, so several parts without it assert, and so does a
 * share that is not as long as its parts.
 *
 * tr_op_leaf_tokens: the tokens of each sequence that leaf number `leaf` of weight gradient `operand` sums. (The one
 * exception to the above: db of a row-parallel LINEAR_DW has all tokens of its context parts and sums those of its
 * sequence parts.)
 * tr_op_part: what part number p, part.first <= p < part.last, has of the axis that `part` cuts: LINEAR* in (row
 * parallel) or out[segment], NORM_BWD the heads, HEAD the vocabulary.
 * tr_op_keys: the keys of context part number p; ATTN* has the keys of all parts.
 * tr_op_taken: of the tokens of context part number c those that are in the op's sequence parts (TAKE, NORM_BWD with heads = 1, both with
 * whole_seq_len); counted among all tokens of the op's context parts.
 * tr_op_first_token: where in its sequence the first token stands that is here.
 * tr_op_split_part: tokens (of each sequence) and heads that part p of SPLIT has of the whole: members take the context parts, or
 * the heads, in ranges as equal as they can be. */
struct tr_range tr_op_leaf_tokens(const struct tr_op *op, int operand, int64_t leaf);
struct tr_range tr_op_part(const struct tr_op *op, int segment, int64_t p);
struct tr_range tr_op_keys(const struct tr_op *op, int64_t p);
struct tr_range tr_op_taken(const struct tr_op *op, int64_t c);
int64_t tr_op_first_token(const struct tr_op *op);
struct tr_op_box {
    struct tr_range tokens, heads;
};
struct tr_op_box tr_op_split_part(const struct tr_op *op, int64_t p);

/* The id of the arithmetic that these kernels obey: the contract's version and the number type, e.g. "trine-1/f32". */
enum { TR_CONTRACT_VERSION = 1 };

/* ---- price ------------------------------------------------------------------------------------------------------ */

struct tr_work {
    int64_t flop;        /* 2 per multiply-add of the matrix products and of attention over the pairs that causality
                            allows; element-wise arithmetic is not counted, it is priced by its bytes */
    int64_t read_bytes;  /* each operand element that is needed, once */
    int64_t write_bytes;
};

/* The work of one operation, from its description alone. Kernels count the same independently in their loops.
 * Bit i of `present` says that optional operand i is there; `position` as in struct tr_step_values. With TR_OP_APART the
 * work of attention depends on data: this is the bound, the work of one document a sequence. */
struct tr_work tr_op_work(const struct tr_op *op, uint32_t present, int64_t position);

/* The work with the documents of `start` [T], to the FLOP; NULL: as tr_op_work. */
struct tr_work tr_op_work_apart(const struct tr_op *op, uint32_t present, int64_t position, const int32_t *start);

/* Which operand is `start`; -1: the kind has none. */
int tr_op_start_operand(enum tr_op_kind kind);

/* ---- values that change from step to step, and the step's scalars ----------------------------------------------- */

struct tr_exact;

struct tr_step_values {
    float loss_scale;     /* 1 / number of target tokens in the whole batch */
    int64_t position;     /* absolute position of the first token (generation); 0 in training */
    float lr, beta1, beta2, eps, weight_decay, momentum;
    float bias1, bias2;   /* 1 / (1 - beta^t) */
    float clip_norm;      /* 0: no clipping */
    struct tr_exact *loss_sum, *grad_sq;
    float clip_factor;    /* written by CLIP, read by ADAMW and MUON_MOMENT */
    double grad_norm;     /* written by CLIP */
};

#endif
