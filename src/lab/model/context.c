/* Where ranks meet that share context parts: around attention, for which they exchange tokens for heads, and where gradients of their
 * tokens are joined along the tree over context parts. */
#include "lab/model/build.h"

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
    int64_t *at = tr_build_numbers(b, members + 1);
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
    struct tr_program_coll coll = tr_build_coll_of(b->program, TR_GROUP_CONTEXT, TR_COLL_ALL_TO_ALL);
    coll.call.at = parts_at(b, out);
    coll.call.to_at = parts_at(b, in);
    int64_t columns = (int64_t)in.heads * in.head_dim;
    int32_t from = is_split(&out) ? x : build_split(b, out, x, parts_buffer(b, kind, &out, name));
    int32_t y = tr_build_rows(b, kind, in.seq_len, columns, name);
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
    tr_build_join_nodes(b, TR_GROUP_CONTEXT, rows ? b->context_members : b->context_owners, sums, count, at);
}
