/* Where ranks meet: collectives as operations of the step program, and what they send.
 *
 * Gradients are joined along the tree over lanes: each rank brings the subtrees that it has, one a slot, and all
 * (ALL_REDUCE), or with ZeRO each rank for its slice (REDUCE_SCATTER), get the sum in slot 0; with zero = 2 that of each round of
 * lanes, in the slot that is next. Loss and norm are exact sums,
 * merged in any order. With ZeRO each rank updates its slices and gives them to the others (ALL_GATHER): what operations
 * read, which in bf16 is the rounded copy, half the bytes; after the update, or with zero = 3 when a pass gets there (share.c).
 * Stages of a pipeline send the residual stream and its gradient. Tensor parallel ranks meet in tensor.c, those of a sequence in context.c. */
#include "base/num.h"
#include "lab/model/build.h"

struct tr_program_coll tr_build_coll_of(const struct tr_program *p, enum tr_group group, enum tr_coll_kind kind)
{
    return (struct tr_program_coll){.call = {.kind = kind}, .group = group,
                                    .members = tr_degrees_of(&p->step.place.degrees, group),
                                    .index = tr_rank_index(&p->step.place, group)};
}

int64_t *tr_build_numbers(struct tr_builder *b, int64_t count)
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
    int64_t *at = tr_build_numbers(b, members + 1);
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
    struct tr_program_coll coll = tr_build_coll_of(p, TR_GROUP_DATA, p->has_slices ? TR_COLL_REDUCE_SCATTER : TR_COLL_ALL_REDUCE);
    coll.call.owners = b->lane_owners;
    coll.of_round = p->has_grad_slices;
    coll.call.count = p->own[weight].count;
    coll.call.at = p->has_slices ? slices_at(b, weight, 1) : NULL;
    return add_coll(b, coll, when, b->first_sum + index, p->has_grad_slices ? p->first_grad + index : -1);
}

void tr_build_join_nodes(struct tr_builder *b, enum tr_group group, const struct tr_owners *owners, int32_t sum, int64_t count,
                       const int64_t at[TR_TREE_ROOTS_MAX])
{
    struct tr_program_coll coll = tr_build_coll_of(b->program, group, TR_COLL_ALL_REDUCE);
    int nodes = tr_owners_nodes(owners, coll.index);
    int64_t *node_at = tr_build_numbers(b, nodes);
    for (int k = 0; k < nodes && node_at; k++)
        node_at[k] = at[k] * tr_dtype_bytes(TR_F32);
    coll.call.owners = owners;
    coll.call.count = count;
    coll.node_at = node_at;
    tr_build_coll(b, coll, sum);
}

void tr_build_merge(struct tr_builder *b, enum tr_scalar scalar, enum tr_group group)
{
    if (tr_degrees_of(&b->program->step.place.degrees, group) == 1)
        return;
    struct tr_program_coll coll = tr_build_coll_of(b->program, group, TR_COLL_EXACT);
    coll.scalar = scalar;
    tr_build_coll(b, coll, -1);
}

int32_t tr_build_gather(struct tr_builder *b, int32_t index, int32_t from, int32_t to, enum tr_coll_when when)
{
    struct tr_program *p = b->program;
    if (b->out_of_memory)
        return -1;
    struct tr_program_coll coll = tr_build_coll_of(p, TR_GROUP_DATA, TR_COLL_ALL_GATHER);
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
    struct tr_program_coll coll = tr_build_coll_of(p, TR_GROUP_PIPE, kind);
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
        if (p->op[i].coll < 0 || !tr_program_op_runs(p, &p->op[i], entry))
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
