/* Where ranks meet: collectives as operations of the step program, and what they send.
 *
 * Gradients are joined along the tree over lanes: each rank brings the subtrees that it has, one a slot, and all
 * (ALL_REDUCE), or with ZeRO each rank for its slice (REDUCE_SCATTER), get the sum in slot 0; with zero = 2 that of each round of
 * lanes, in the slot that is next. Loss and norm are exact sums,
 * merged in any order. With ZeRO each rank updates its slices and gives them to the others (ALL_GATHER): what operations
 * read, which in bf16 is the rounded copy, half the bytes; after the update, or with zero = 3 when a pass gets there (share.c).
 * Stages of a pipeline send the residual stream and its gradient. Tensor parallel ranks join sums over their parts (ALL_REDUCE along
 * the tree over parts) where a product leads into the stream, forward, or into its gradient. */
#include "base/num.h"
#include "lab/model/build.h"

/* The lanes, or the tensor or context parts, of a member. */
static struct tr_range owned_by(const struct tr_program *p, enum tr_group group, int32_t member)
{
    const struct tr_degrees *d = &p->step.place.degrees;
    if (group == TR_GROUP_TENSOR) {
        struct tr_parts parts = tr_degrees_tensor(d, p->step.widths.tensor, member);
        return (struct tr_range){parts.first, parts.last};
    }
    if (group == TR_GROUP_CONTEXT) {
        struct tr_parts parts = tr_degrees_context(d, p->step.widths.context, member);
        return (struct tr_range){parts.first, parts.last};
    }
    struct tr_lanes lanes = tr_degrees_lanes(d, p->step.widths.lanes, member);
    return (struct tr_range){lanes.first, lanes.first + lanes.count};
}

/* Each member one, in order. */
static enum tr_status make_members(struct tr_program *p, enum tr_group group, const struct tr_owners **out, struct tr_err *err)
{
    int32_t members = tr_degrees_of(&p->step.place.degrees, group);
    struct tr_owners *owners = tr_arena_alloc(&p->arena, sizeof *owners, err);
    struct tr_range *range = owners ? tr_arena_array(&p->arena, members, sizeof *range, err) : NULL;
    if (!range)
        return TR_FAILED;
    for (int32_t i = 0; i < members; i++)
        range[i] = (struct tr_range){i, i + 1};
    *owners = (struct tr_owners){members, range};
    *out = owners;
    return TR_OK;
}

/* Who has which of them. */
static enum tr_status make_owners(struct tr_program *p, enum tr_group group, const struct tr_owners **out, struct tr_err *err)
{
    int32_t members = tr_degrees_of(&p->step.place.degrees, group);
    struct tr_owners *owners = tr_arena_alloc(&p->arena, sizeof *owners, err);
    struct tr_range *range = owners ? tr_arena_array(&p->arena, members, sizeof *range, err) : NULL;
    if (!range)
        return TR_FAILED;
    for (int32_t i = 0; i < members; i++)
        range[i] = owned_by(p, group, i);
    *owners = (struct tr_owners){range[members - 1].last, range};
    *out = owners;
    return TR_OK;
}

static int64_t length_of(int64_t n, int64_t quantum, struct tr_parts cut)
{
    return tr_cut(n, quantum, cut.parts, cut.last) - tr_cut(n, quantum, cut.parts, cut.first);
}

static enum tr_status place_in_tensors(struct tr_builder *b, struct tr_err *err)
{
    struct tr_program *p = b->program;
    const struct tr_model_config *c = &p->model;
    struct tr_parts cut = tr_degrees_tensor(&p->step.place.degrees, p->step.widths.tensor,
                                            tr_rank_index(&p->step.place, TR_GROUP_TENSOR));
    bool shares = tr_parts_owned(cut) < cut.parts; /* then parts are of whole groups: tr_build_check_step */
    struct tr_weight *own = tr_arena_array(&p->arena, p->weights.count, sizeof *own, err);
    if (!own)
        return TR_FAILED;
    for (int32_t i = 0; i < p->weights.count; i++)
        own[i] = tr_portion_weight(&p->weights.weight[i], tr_portion_of(c, &p->weights.weight[i], cut));
    p->own = own;
    p->tensor = cut;
    p->kv_heads = shares ? (int32_t)length_of(c->kv_heads, 1, cut) : c->kv_heads;
    p->heads = c->heads / c->kv_heads * p->kv_heads;
    p->ffn = length_of(c->ffn, TR_FFN_QUANTUM, cut);
    return shares ? make_owners(p, TR_GROUP_TENSOR, &b->part_owners, err) : TR_OK;
}

static enum tr_status place_in_context(struct tr_builder *b, struct tr_err *err)
{
    struct tr_program *p = b->program;
    const struct tr_degrees *d = &p->step.place.degrees;
    int32_t cp = tr_degrees_of(d, TR_GROUP_CONTEXT), index = tr_rank_index(&p->step.place, TR_GROUP_CONTEXT);
    p->context = tr_degrees_context(d, p->step.widths.context, index);
    p->own_len = length_of(p->seq_len, TR_CONTEXT_QUANTUM, p->context);
    p->attn_kv_heads = (int32_t)(tr_cut(p->kv_heads, 1, cp, index + 1) - tr_cut(p->kv_heads, 1, cp, index));
    if (cp == 1)
        return TR_OK;
    enum tr_status status = make_owners(p, TR_GROUP_CONTEXT, &b->context_owners, err);
    return status == TR_OK ? make_members(p, TR_GROUP_CONTEXT, &b->context_members, err) : status;
}

static int32_t chunk_of_layer(const struct tr_program *p, int32_t layer)
{
    int32_t chunks = p->pipe.stages * p->pipe.chunks, c = 0;
    for (int32_t after = tr_pipe_chunk_layers(p->model.layers, chunks, 0); after <= layer; c++)
        after += tr_pipe_chunk_layers(p->model.layers, chunks, c + 1);
    return c;
}

static int32_t chunk_of_weight(const struct tr_program *p, const struct tr_weight *w)
{
    if (w->layer >= 0)
        return chunk_of_layer(p, w->layer);
    return w->role == TR_W_WTE || w->role == TR_W_WPE ? 0 : p->pipe.stages * p->pipe.chunks - 1;
}

static enum tr_status place_in_pipe(struct tr_program *p, struct tr_err *err)
{
    int32_t *chunk_of = tr_arena_array(&p->arena, p->weights.count, sizeof *chunk_of, err);
    if (!chunk_of)
        return TR_FAILED;
    p->pipe = tr_degrees_pipe(&p->step.place.degrees);
    p->stage = tr_rank_index(&p->step.place, TR_GROUP_PIPE);
    p->section_count = TR_SECTION_KINDS * p->pipe.chunks;
    for (int32_t i = 0; i < p->weights.count; i++)
        chunk_of[i] = chunk_of_weight(p, &p->weights.weight[i]);
    p->chunk_of = chunk_of;
    return TR_OK;
}

enum tr_status tr_build_place_rank(struct tr_builder *b, struct tr_err *err)
{
    struct tr_program *p = b->program;
    const struct tr_degrees *d = &p->step.place.degrees;
    int32_t dp = tr_degrees_of(d, TR_GROUP_DATA);
    p->lanes = tr_degrees_lanes(d, p->step.widths.lanes, tr_rank_index(&p->step.place, TR_GROUP_DATA));
    p->sequences = p->lanes.count * (p->step.batch / p->step.widths.lanes);
    p->has_slices = d->zero >= 1;
    p->has_grad_slices = d->zero >= 2;
    p->has_read_slices = d->zero >= 3;
    p->has_weight_slices = p->has_read_slices || (p->has_slices && p->step.dtype != TR_F32);
    p->sends_early = dp > 1 && (!p->has_grad_slices || (dp & (dp - 1)) == 0);
    enum tr_status status = place_in_tensors(b, err);
    if (status == TR_OK)
        status = place_in_context(b, err);
    if (status == TR_OK)
        status = place_in_pipe(p, err);
    if (status == TR_OK && dp > 1 && !p->has_grad_slices)
        status = make_owners(p, TR_GROUP_DATA, &b->lane_owners, err);
    return status;
}

int32_t tr_program_stage_of(const struct tr_program *p, int32_t index) { return p->chunk_of[index] % p->pipe.stages; }

bool tr_program_has(const struct tr_program *p, int32_t index) { return tr_program_stage_of(p, index) == p->stage; }

struct tr_portion tr_program_portion(const struct tr_program *p, int32_t index)
{
    return tr_portion_of(&p->model, &p->weights.weight[index], p->tensor);
}

struct tr_range tr_build_slice_of(const struct tr_program *p, int32_t index)
{
    int64_t at[TR_RANKS_MAX + 1];
    int32_t member = tr_rank_index(&p->step.place, TR_GROUP_DATA);
    if (!p->has_slices)
        return (struct tr_range){0, p->own[index].count};
    tr_slices_cut(p, index, tr_rank_index(&p->step.place, TR_GROUP_TENSOR), at);
    return (struct tr_range){at[member], at[member + 1]};
}

struct tr_range tr_program_slice(const struct tr_program *p, int32_t index)
{
    return tr_program_has(p, index) ? tr_build_slice_of(p, index) : (struct tr_range){0, 0};
}

struct tr_range tr_program_held(const struct tr_program *p, int32_t index)
{
    struct tr_range all = {0, p->own[index].count};
    return p->has_weight_slices || !tr_program_has(p, index) ? tr_program_slice(p, index) : all;
}

int64_t tr_program_micros(const struct tr_program *p) { return p->sequences / p->step.micro_batch; }

bool tr_build_shares_parts(const struct tr_program *p) { return tr_parts_owned(p->tensor) < p->tensor.parts; }

bool tr_program_is_whole(const struct tr_program *p) { return !p->has_slices && p->pipe.stages == 1 && !tr_build_shares_parts(p); }

bool tr_program_reads_whole(const struct tr_program *p)
{
    return !p->has_read_slices && p->pipe.stages == 1 && !tr_build_shares_parts(p);
}

struct tr_range tr_build_chunk_layers(const struct tr_builder *b, int32_t chunk)
{
    const struct tr_program *p = b->program;
    int32_t chunks = p->pipe.stages * p->pipe.chunks, c = chunk * p->pipe.stages + p->stage;
    struct tr_range layers = {0, tr_pipe_chunk_layers(p->model.layers, chunks, 0)};
    for (int32_t next = 1; next <= c; next++)
        layers = (struct tr_range){layers.last, layers.last + tr_pipe_chunk_layers(p->model.layers, chunks, next)};
    return layers;
}

bool tr_build_is_first(const struct tr_builder *b, int32_t chunk) { return chunk == 0 && b->program->stage == 0; }

bool tr_build_is_last(const struct tr_builder *b, int32_t chunk)
{
    const struct tr_program *p = b->program;
    return chunk == p->pipe.chunks - 1 && p->stage == p->pipe.stages - 1;
}

static struct tr_program_coll of_group(const struct tr_program *p, enum tr_group group, enum tr_coll_kind kind)
{
    return (struct tr_program_coll){.call = {.kind = kind}, .group = group,
                                    .members = tr_degrees_of(&p->step.place.degrees, group),
                                    .index = tr_rank_index(&p->step.place, group)};
}

/* Numbers that a collective points to; NULL: out of memory. */
static int64_t *numbers(struct tr_builder *b, int64_t count)
{
    struct tr_err ignored;
    int64_t *array = tr_arena_array(&b->program->arena, count, sizeof *array, &ignored);
    if (!array)
        b->out_of_memory = true;
    return array;
}

/* Where the slices of a weight begin, in units of `unit` bytes an element (1: elements); NULL: out of memory. */
static const int64_t *slices_at(struct tr_builder *b, int32_t index, int64_t unit)
{
    const struct tr_program *p = b->program;
    int32_t members = tr_degrees_of(&p->step.place.degrees, TR_GROUP_DATA);
    int64_t *at = numbers(b, members + 1);
    if (!at)
        return NULL;
    tr_slices_cut(p, index, tr_rank_index(&p->step.place, TR_GROUP_TENSOR), at);
    for (int32_t i = 0; i <= members; i++)
        at[i] *= unit;
    return at;
}

/* Returns the op. */
static int32_t add_coll(struct tr_builder *b, struct tr_program_coll coll, enum tr_coll_when when, int32_t to, int32_t other)
{
    coll.when = when == TR_COLL_START && b->program->step.foreground ? TR_COLL_NOW : when;
    struct tr_program_op *o = tr_build_coll(b, coll, to);
    o->buffer[1] = other;
    return b->out_of_memory ? -1 : b->program->op_count - 1;
}

int32_t tr_build_join_gradient(struct tr_builder *b, int32_t index, enum tr_coll_when when)
{
    struct tr_program *p = b->program;
    if (tr_degrees_of(&p->step.place.degrees, TR_GROUP_DATA) == 1)
        return -1;
    int32_t weight = tr_build_weight_of(b, index);
    struct tr_program_coll coll = of_group(p, TR_GROUP_DATA, p->has_slices ? TR_COLL_REDUCE_SCATTER : TR_COLL_ALL_REDUCE);
    coll.call.owners = b->lane_owners;
    coll.of_round = p->has_grad_slices;
    coll.call.count = p->own[weight].count;
    coll.call.at = p->has_slices ? slices_at(b, weight, 1) : NULL;
    return add_coll(b, coll, when, b->first_sum + index, p->has_grad_slices ? p->first_grad + index : -1);
}

/* ---- tensor parts ------------------------------------------------------------------------------------------------ */

int32_t tr_build_parts_sum(struct tr_builder *b, int64_t columns, const char *name)
{
    const struct tr_program *p = b->program;
    struct tr_range root[TR_TREE_ROOTS_MAX];
    int nodes = tr_tree_roots(p->tensor.parts, p->tensor.first, p->tensor.last, root);
    struct tr_shape shape = {3, {nodes, p->seqs * p->own_len, columns}};
    return tr_build_buffer(b, TR_BUF_WORKSPACE, TR_REGION_WORK, TR_F32, shape, "h.%d.%s.parts", b->layer, name);
}

/* The sum of all members' nodes, arrays of `count` elements in `sum`, the first of which begin at at[k] elements. */
static void join_nodes(struct tr_builder *b, enum tr_group group, const struct tr_owners *owners, int32_t sum, int64_t count,
                       const int64_t at[TR_TREE_ROOTS_MAX])
{
    struct tr_program_coll coll = of_group(b->program, group, TR_COLL_ALL_REDUCE);
    int nodes = tr_owners_nodes(owners, coll.index);
    int64_t *node_at = numbers(b, nodes);
    for (int k = 0; k < nodes && node_at; k++)
        node_at[k] = at[k] * tr_dtype_bytes(TR_F32);
    coll.call.owners = owners;
    coll.call.count = count;
    coll.node_at = node_at;
    tr_build_coll(b, coll, sum);
}

static void join_parts(struct tr_builder *b, int32_t sum, int64_t count)
{
    int64_t at[TR_TREE_ROOTS_MAX];
    for (int k = 0; k < TR_TREE_ROOTS_MAX; k++)
        at[k] = k * count;
    join_nodes(b, TR_GROUP_TENSOR, b->part_owners, sum, count, at);
}

int32_t tr_build_parts_end(struct tr_builder *b, enum tr_buffer_kind kind, int64_t columns, int32_t sum, int32_t bias, int32_t residual,
                           const char *name)
{
    const struct tr_program *p = b->program;
    join_parts(b, sum, p->seqs * p->own_len * columns);
    struct tr_op op = tr_build_template(b, TR_OP_LINEAR_END);
    op.width = columns;
    int32_t y = tr_build_activation(b, kind, columns, name);
    struct tr_program_op *end = tr_build_op(b, op);
    end->buffer[TR_LINEAR_END_SUM] = sum;
    end->buffer[TR_LINEAR_END_B] = bias;
    end->buffer[TR_LINEAR_END_RESIDUAL] = residual;
    end->buffer[TR_LINEAR_END_Y] = y;
    return y;
}

/* Of context part number `context` of this rank, the leaves that lie at `own` on this rank, into their places among all. */
static void gather_leaves(struct tr_builder *b, int32_t all, int32_t own, int32_t context, int64_t leaf_bytes)
{
    const struct tr_program *p = b->program;
    int32_t members = tr_degrees_of(&p->step.place.degrees, TR_GROUP_TENSOR);
    int64_t *at = numbers(b, members + 1);
    for (int32_t i = 0; i <= members && at; i++)
        at[i] = ((int64_t)context * p->tensor.parts + (i < members ? b->part_owners->leaves[i].first : p->tensor.parts)) * leaf_bytes;
    struct tr_program_coll coll = of_group(p, TR_GROUP_TENSOR, TR_COLL_ALL_GATHER);
    coll.call.at = at;
    coll.from_bytes = (int64_t)context * tr_parts_owned(p->tensor) * leaf_bytes;
    tr_build_coll(b, coll, all)->buffer[1] = own;
}

int32_t tr_build_gather_leaves(struct tr_builder *b, int32_t own, int64_t count)
{
    const struct tr_program *p = b->program;
    int32_t contexts = tr_parts_owned(p->context);
    int32_t all = tr_build_buffer(b, TR_BUF_WORKSPACE, TR_REGION_WORK, TR_F32,
                                  (struct tr_shape){2, {(int64_t)contexts * p->tensor.parts, count}}, "leaves");
    for (int32_t context = 0; context < contexts && !b->out_of_memory; context++)
        gather_leaves(b, all, own, context, count * tr_dtype_bytes(TR_F32));
    return all;
}

/* ---- context parts ----------------------------------------------------------------------------------------------- */

static bool shares_context(const struct tr_program *p) { return tr_degrees_of(&p->step.place.degrees, TR_GROUP_CONTEXT) > 1; }

/* The parts of all members of what has `columns` for each key/value head: heads of this rank's tokens, or tokens of its heads. */
static struct tr_op split_op(const struct tr_builder *b, bool heads, int64_t columns)
{
    const struct tr_program *p = b->program;
    struct tr_op op = tr_build_whole_template(b, TR_OP_SPLIT);
    op.flags = heads ? TR_OP_BY_HEAD : 0;
    op.seq_len = heads ? p->own_len : p->seq_len;
    op.heads = heads ? p->kv_heads : p->attn_kv_heads;
    op.head_dim = (int32_t)columns;
    op.part = tr_all_parts(tr_degrees_of(&p->step.place.degrees, TR_GROUP_CONTEXT));
    return op;
}

/* Where the part of each member begins, bytes. */
static int64_t *parts_at(struct tr_builder *b, struct tr_op op)
{
    int32_t members = op.part.parts;
    int64_t *at = numbers(b, members + 1);
    for (int32_t i = 0; i <= members && at; i++) {
        op.part.last = i;
        at[i] = i == 0 ? 0 : tr_op_operand_bytes(&op, TR_SPLIT_DST);
    }
    return at;
}

/* Parts of one sequence's tokens lie one after the other as it is. */
static bool is_split(const struct tr_op *op) { return op->seqs == 1 && !(op->flags & TR_OP_BY_HEAD); }

static int32_t build_split(struct tr_builder *b, struct tr_op op, int32_t from, int32_t to)
{
    struct tr_program_op *split = tr_build_op(b, op);
    split->buffer[TR_SPLIT_SRC] = from;
    split->buffer[TR_SPLIT_DST] = to;
    return to;
}

static int32_t parts_buffer(struct tr_builder *b, enum tr_buffer_kind kind, const struct tr_op *op, const char *name)
{
    return tr_build_buffer(b, kind, TR_REGION_WORK, op->act, tr_op_operand_shape(op, TR_SPLIT_DST), "h.%d.%s.parts", b->layer, name);
}

/* From what `out` splits to what `in` does. */
static int32_t exchange(struct tr_builder *b, enum tr_buffer_kind kind, struct tr_op out, struct tr_op in, int32_t x, const char *name)
{
    struct tr_program_coll coll = of_group(b->program, TR_GROUP_CONTEXT, TR_COLL_ALL_TO_ALL);
    coll.call.at = parts_at(b, out);
    coll.call.to_at = parts_at(b, in);
    int64_t columns = (int64_t)in.heads * in.head_dim;
    bool whole = !(in.flags & TR_OP_BY_HEAD);
    int32_t from = is_split(&out) ? x : build_split(b, out, x, parts_buffer(b, kind, &out, name));
    int32_t y = whole ? tr_build_whole_activation(b, kind, columns, name) : tr_build_activation(b, kind, columns, name);
    int32_t to = is_split(&in) ? y : parts_buffer(b, kind, &in, name);
    tr_build_coll(b, coll, to)->buffer[1] = from;
    in.flags |= TR_OP_INVERSE;
    return to == y ? y : build_split(b, in, to, y);
}

int32_t tr_build_to_heads(struct tr_builder *b, enum tr_buffer_kind kind, int32_t x, int64_t columns, const char *name)
{
    return shares_context(b->program) ? exchange(b, kind, split_op(b, true, columns), split_op(b, false, columns), x, name) : x;
}

int32_t tr_build_to_tokens(struct tr_builder *b, enum tr_buffer_kind kind, int32_t x, int64_t columns, const char *name)
{
    return shares_context(b->program) ? exchange(b, kind, split_op(b, false, columns), split_op(b, true, columns), x, name) : x;
}

int32_t tr_build_own_tokens(struct tr_builder *b, int32_t batch, const char *name)
{
    const struct tr_program *p = b->program;
    if (!shares_context(p))
        return batch;
    struct tr_op op = split_op(b, false, 1);
    op.act = op.weight = TR_I32;
    op.heads = 1;
    op.part.first = tr_rank_index(&p->step.place, TR_GROUP_CONTEXT);
    op.part.last = op.part.first + 1;
    return build_split(b, op, batch, parts_buffer(b, TR_BUF_WORKSPACE, &op, name));
}

void tr_build_join_context(struct tr_builder *b, int32_t sums, int64_t inner, int64_t count, bool rows)
{
    const struct tr_parts context = b->program->context;
    struct tr_range root[TR_TREE_ROOTS_MAX];
    int64_t at[TR_TREE_ROOTS_MAX] = {0};
    if (!shares_context(b->program))
        return;
    int nodes = rows ? 1 : tr_tree_roots(context.parts, context.first, context.last, root);
    for (int k = 0; k < nodes && !rows; k++)
        at[k] = (root[k].first - context.first) * inner * count;
    join_nodes(b, TR_GROUP_CONTEXT, rows ? b->context_members : b->context_owners, sums, count, at);
}

void tr_build_merge(struct tr_builder *b, enum tr_scalar scalar, enum tr_group group)
{
    if (tr_degrees_of(&b->program->step.place.degrees, group) == 1)
        return;
    struct tr_program_coll coll = of_group(b->program, group, TR_COLL_EXACT);
    coll.scalar = scalar;
    tr_build_coll(b, coll, -1);
}

int32_t tr_build_gather(struct tr_builder *b, int32_t index, int32_t from, int32_t to, enum tr_coll_when when)
{
    struct tr_program *p = b->program;
    if (b->out_of_memory)
        return -1;
    struct tr_program_coll coll = of_group(p, TR_GROUP_DATA, TR_COLL_ALL_GATHER);
    coll.call.at = slices_at(b, index, tr_dtype_bytes(p->buffer[to].dtype));
    return add_coll(b, coll, when, to, from);
}

void tr_build_wait(struct tr_builder *b, int32_t op)
{
    const struct tr_program *p = b->program;
    if (b->out_of_memory || op < 0 || p->coll[p->op[op].coll].when != TR_COLL_START)
        return;
    struct tr_program_coll coll = p->coll[p->op[op].coll];
    coll.started = p->op[op].coll;
    add_coll(b, coll, TR_COLL_WAIT, p->op[op].buffer[0], p->op[op].buffer[1]);
}

/* ---- messages between stages ------------------------------------------------------------------------------------- */

/* Who is at the other end of a way: for who sends, one stage further; for who receives, one back. The table goes from the last
 * stage to the first one and back. */
static int32_t peer_of(const struct tr_program *p, enum tr_mail_way way, bool sends)
{
    int32_t stages = p->pipe.stages;
    if (way == TR_WAY_TIED)
        return stages - 1 - p->stage;
    return (p->stage + ((way == TR_WAY_FORWARD) == sends ? 1 : stages - 1)) % stages;
}

static void build_message(struct tr_builder *b, enum tr_coll_kind kind, enum tr_mail_way way, enum tr_coll_when when, int32_t buffer)
{
    const struct tr_program *p = b->program;
    if (p->pipe.stages == 1 || b->out_of_memory)
        return;
    struct tr_program_coll coll = of_group(p, TR_GROUP_PIPE, kind);
    coll.call.count = when == TR_COLL_WAIT ? 0 : p->buffer[buffer].bytes;
    coll.peer = peer_of(p, way, kind == TR_COLL_SEND);
    coll.way = way;
    coll.when = when;
    tr_build_coll(b, coll, buffer);
}

void tr_build_send(struct tr_builder *b, enum tr_mail_way way, int32_t buffer) { build_message(b, TR_COLL_SEND, way, TR_COLL_START, buffer); }

void tr_build_sent(struct tr_builder *b, enum tr_mail_way way, int32_t buffer) { build_message(b, TR_COLL_SEND, way, TR_COLL_WAIT, buffer); }

void tr_build_receive(struct tr_builder *b, enum tr_mail_way way, int32_t buffer) { build_message(b, TR_COLL_RECV, way, TR_COLL_NOW, buffer); }

void tr_build_mail(struct tr_builder *b, enum tr_mail_way way, int32_t buffer)
{
    if (b->out_of_memory)
        return;
    struct tr_buffer *mail = &b->program->buffer[buffer];
    mail->way = way;
    mail->bytes_per_mail = tr_round_up(mail->bytes, TR_BUFFER_ALIGN);
}

/* ---- what is sent ------------------------------------------------------------------------------------------------ */

int64_t tr_program_coll_bytes(const struct tr_program_coll *coll, const struct tr_schedule_entry *entry)
{
    struct tr_coll call = coll->call;
    if (coll->when == TR_COLL_WAIT)
        return 0;
    if (coll->of_round)
        call.owners = entry->owners;
    return tr_coll_sent_bytes(&call, coll->members, coll->index);
}

static void add_sent(const struct tr_program *p, const struct tr_schedule_entry *entry, int64_t by_kind[TR_COLL_KIND_COUNT])
{
    const struct tr_program_section *s = &p->section[entry->section];
    for (int32_t i = s->first_op; i < s->first_op + s->op_count; i++) {
        if (p->op[i].coll < 0 || !tr_program_op_runs(&p->op[i], entry))
            continue;
        const struct tr_program_coll *coll = &p->coll[p->op[i].coll];
        by_kind[coll->call.kind] += tr_program_coll_bytes(coll, entry);
    }
}

int64_t tr_program_sent_bytes(const struct tr_program *p, int64_t by_kind[TR_COLL_KIND_COUNT])
{
    int64_t sum = 0;
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
        by_kind[kind] = 0;
    for (int32_t i = 0; i < p->schedule_count; i++)
        add_sent(p, &p->schedule[i], by_kind);
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
        sum += by_kind[kind];
    return sum;
}

const char *tr_group_name(enum tr_group group)
{
    static const char *const name[TR_GROUP_COUNT] = {"tp", "cp", "dp", "pp"};
    TR_ASSERT((int)group >= 0 && group < TR_GROUP_COUNT);
    return name[group];
}
