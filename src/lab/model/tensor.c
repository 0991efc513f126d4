/* Where tensor parallel ranks meet. Sums over their parts are joined along the tree over parts where a product leads into the
 * residual stream, forward, or into its gradient: all of the sum on all of them (ALL_REDUCE), or with sequence parts shared of each
 * its tokens (REDUCE_SCATTER), which an ALL_GATHER brings together before the next product. */
#include "lab/model/build.h"

int32_t tr_build_parts_sum(struct tr_builder *b, int64_t columns, const char *name)
{
    const struct tr_program *p = b->program;
    struct tr_range root[TR_TREE_ROOTS_MAX];
    int nodes = tr_tree_roots(p->tensor.parts, p->tensor.first, p->tensor.last, root);
    struct tr_shape shape = {3, {nodes, p->seqs * p->own_len, columns}};
    return tr_build_buffer(b, TR_BUF_WORKSPACE, TR_REGION_WORK, TR_F32, shape, "h.%d.%s.parts", b->layer, name);
}

static void join_parts(struct tr_builder *b, int32_t sum, int64_t count)
{
    int64_t at[TR_TREE_ROOTS_MAX];
    for (int k = 0; k < TR_TREE_ROOTS_MAX; k++)
        at[k] = k * count;
    tr_build_join_nodes(b, TR_GROUP_TENSOR, b->part_owners, sum, count, at);
}

/* ---- sequence parts ---------------------------------------------------------------------------------------------- */

struct tr_op tr_build_stream_op(const struct tr_builder *b, int32_t index)
{
    const struct tr_program *p = b->program;
    struct tr_op op = tr_build_template(b, TR_OP_TAKE);
    op.whole_seq_len = p->seq_len;
    op.part = tr_degrees_tensor(&p->step.place.degrees, p->step.widths.tensor, index);
    op.width = p->model.width;
    return op;
}

/* A run of tokens that ranks share: those of one context part of one sequence. */
struct segment {
    int64_t first, own;      /* where its tokens begin among all of this rank's context parts; its own among those of its stream */
    const int64_t *member;   /* [members + 1] where each member's begin, from `first` on */
};

static struct segment segment_of(struct tr_builder *b, int64_t sequence, int64_t context, int64_t *own)
{
    const struct tr_program *p = b->program;
    int32_t members = tr_degrees_of(&p->step.place.degrees, TR_GROUP_TENSOR), me = tr_rank_index(&p->step.place, TR_GROUP_TENSOR);
    int64_t *at = tr_build_numbers(b, members + 1), first = 0;
    for (int32_t i = 0; i < members && at; i++) {
        struct tr_op op = tr_build_stream_op(b, i);
        struct tr_range tokens = tr_op_taken(&op, context);
        first = i == 0 ? tokens.first : first;
        at[i] = tokens.first - first;
        at[i + 1] = tokens.last - first;
    }
    struct segment s = {sequence * p->own_len + first, *own, at};
    *own += at ? at[me + 1] - at[me] : 0;
    return s;
}

/* Multiplies where members' tokens begin. */
static const int64_t *in_units(struct tr_builder *b, const struct segment *s, int64_t unit)
{
    int32_t members = tr_degrees_of(&b->program->step.place.degrees, TR_GROUP_TENSOR);
    int64_t *at = tr_build_numbers(b, members + 1);
    for (int32_t i = 0; i <= members && at && s->member; i++)
        at[i] = s->member[i] * unit;
    return at;
}

static void scatter_segment(struct tr_builder *b, const struct segment *s, int32_t sum, int32_t to, int64_t columns)
{
    const struct tr_program *p = b->program;
    struct tr_program_coll coll = tr_build_coll_of(p, TR_GROUP_TENSOR, TR_COLL_REDUCE_SCATTER);
    int nodes = tr_owners_nodes(b->part_owners, coll.index);
    int64_t *node_at = tr_build_numbers(b, nodes), node = p->seqs * p->own_len;
    for (int k = 0; k < nodes && node_at; k++)
        node_at[k] = (k * node + s->first) * columns * tr_dtype_bytes(TR_F32);
    coll.call.owners = b->part_owners;
    coll.call.at = in_units(b, s, columns);
    coll.node_at = node_at;
    coll.other_bytes = s->own * columns * tr_dtype_bytes(TR_F32);
    tr_build_coll(b, coll, sum)->buffer[1] = to;
}

static void gather_segment(struct tr_builder *b, const struct segment *s, int32_t from, int32_t to, int64_t columns)
{
    int64_t bytes = columns * tr_dtype_bytes(b->program->step.dtype);
    struct tr_program_coll coll = tr_build_coll_of(b->program, TR_GROUP_TENSOR, TR_COLL_ALL_GATHER);
    coll.call.at = in_units(b, s, bytes);
    coll.to_bytes = s->first * bytes;
    coll.other_bytes = s->own * bytes;
    tr_build_coll(b, coll, to)->buffer[1] = from;
}

static void each_segment(struct tr_builder *b, int32_t from, int32_t to, int64_t columns,
                         void (*move)(struct tr_builder *, const struct segment *, int32_t, int32_t, int64_t))
{
    const struct tr_program *p = b->program;
    int64_t own = 0;
    for (int64_t sequence = 0; sequence < p->seqs; sequence++)
        for (int64_t c = p->context.first; c < p->context.last && !b->out_of_memory; c++) {
            struct segment s = segment_of(b, sequence, c, &own);
            if (s.member && s.member[tr_degrees_of(&p->step.place.degrees, TR_GROUP_TENSOR)] > 0)
                move(b, &s, from, to, columns);
        }
}

/* Of the sum of all parts of all ranks this rank's tokens. */
static int32_t scatter_parts(struct tr_builder *b, int32_t sum, int64_t columns, const char *name)
{
    const struct tr_program *p = b->program;
    struct tr_shape shape = {2, {p->seqs * p->stream_len, columns}};
    int32_t to = tr_build_buffer(b, TR_BUF_WORKSPACE, TR_REGION_WORK, TR_F32, shape, "h.%d.%s.sum", b->layer, name);
    each_segment(b, sum, to, columns, scatter_segment);
    return to;
}

int32_t tr_build_gather_stream(struct tr_builder *b, enum tr_buffer_kind kind, int32_t x, const char *name)
{
    const struct tr_program *p = b->program;
    if (!p->step.place.degrees.sequence)
        return x;
    int32_t to = tr_build_activation(b, kind, p->model.width, name);
    each_segment(b, x, to, p->model.width, gather_segment);
    return to;
}

int32_t tr_build_take_stream(struct tr_builder *b, enum tr_buffer_kind kind, int32_t x, const char *name)
{
    const struct tr_program *p = b->program;
    if (!p->step.place.degrees.sequence)
        return x;
    int32_t y = tr_build_rows(b, kind, p->stream_len, p->model.width, name);
    struct tr_program_op *take = tr_build_op(b, tr_build_stream_op(b, tr_rank_index(&p->step.place, TR_GROUP_TENSOR)));
    take->buffer[TR_TAKE_X] = x;
    take->buffer[TR_TAKE_Y] = y;
    return y;
}

int32_t tr_build_parts_end(struct tr_builder *b, enum tr_buffer_kind kind, int64_t columns, int32_t sum, int32_t bias, int32_t residual,
                           const char *name)
{
    const struct tr_program *p = b->program;
    if (p->step.place.degrees.sequence)
        sum = scatter_parts(b, sum, columns, name);
    else
        join_parts(b, sum, p->seqs * p->own_len * columns);
    struct tr_op op = tr_build_template(b, TR_OP_LINEAR_END);
    op.seq_len = p->stream_len;
    op.width = columns;
    int32_t y = tr_build_rows(b, kind, p->stream_len, columns, name);
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
    int64_t *at = tr_build_numbers(b, members + 1);
    for (int32_t i = 0; i <= members && at; i++)
        at[i] = ((int64_t)context * p->tensor.parts + (i < members ? b->part_owners->leaves[i].first : p->tensor.parts)) * leaf_bytes;
    struct tr_program_coll coll = tr_build_coll_of(p, TR_GROUP_TENSOR, TR_COLL_ALL_GATHER);
    coll.call.at = at;
    coll.other_bytes = (int64_t)context * tr_parts_owned(p->tensor) * leaf_bytes;
    tr_build_coll(b, coll, all)->buffer[1] = own;
}

bool tr_build_shares_leaves(const struct tr_program *p, enum tr_weight_role role)
{
    switch (role) {
    case TR_W_Q_NORM:
    case TR_W_K_NORM:
        return tr_build_shares_parts(p);
    case TR_W_NORM1_GAIN:
    case TR_W_NORM1_BIAS:
    case TR_W_NORM2_GAIN:
    case TR_W_NORM2_BIAS:
    case TR_W_NORM_GAIN:
    case TR_W_NORM_BIAS:
        return p->step.place.degrees.sequence;
    default:
        return false;
    }
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
