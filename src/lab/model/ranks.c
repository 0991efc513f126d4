/* Where ranks meet: collectives as operations of the step program, and what they send.
 *
 * Gradients are joined along the tree over lanes: each rank brings the subtrees that it has, one a slot, and all
 * (ALL_REDUCE), or with ZeRO each rank for its slice (REDUCE_SCATTER), get the sum in slot 0. Loss and norm are exact sums,
 * merged in any order. With ZeRO each rank updates its slices and gives them to the others (ALL_GATHER): what operations
 * read, which in bf16 is the rounded copy, half the bytes. */
#include "lab/model/build.h"

static enum tr_status make_owners(struct tr_program *p, const struct tr_owners **out, struct tr_err *err)
{
    const struct tr_degrees *d = &p->step.place.degrees;
    int32_t dp = tr_degrees_of(d, TR_GROUP_DATA);
    struct tr_owners *owners = tr_arena_alloc(&p->arena, sizeof *owners, err);
    struct tr_range *lanes = owners ? tr_arena_array(&p->arena, dp, sizeof *lanes, err) : NULL;
    if (!lanes)
        return TR_FAILED;
    for (int32_t i = 0; i < dp; i++)
        lanes[i] = tr_degrees_lanes(d, p->step.widths.lanes, i);
    *owners = (struct tr_owners){p->step.widths.lanes, lanes};
    *out = owners;
    return TR_OK;
}

enum tr_status tr_build_place_rank(struct tr_builder *b, struct tr_err *err)
{
    struct tr_program *p = b->program;
    const struct tr_degrees *d = &p->step.place.degrees;
    int64_t lane_sequences = p->step.batch / p->step.widths.lanes;
    p->lanes = tr_degrees_lanes(d, p->step.widths.lanes, tr_rank_index(&p->step.place, TR_GROUP_DATA));
    p->first_sequence = p->lanes.first * lane_sequences;
    p->sequences = (p->lanes.last - p->lanes.first) * lane_sequences;
    p->has_slices = d->zero > 0;
    p->has_weight_slices = p->has_slices && p->step.dtype != TR_F32;
    return tr_degrees_of(d, TR_GROUP_DATA) > 1 ? make_owners(p, &b->lane_owners, err) : TR_OK;
}

struct tr_range tr_program_slice(const struct tr_program *p, int32_t index)
{
    int64_t at[TR_RANKS_MAX + 1];
    int32_t member = tr_rank_index(&p->step.place, TR_GROUP_DATA);
    if (!p->has_slices)
        return (struct tr_range){0, p->weights.weight[index].count};
    tr_slices_cut(&p->weights, index, tr_degrees_of(&p->step.place.degrees, TR_GROUP_DATA), at);
    return (struct tr_range){at[member], at[member + 1]};
}

static struct tr_program_coll of_data_group(const struct tr_program *p, enum tr_coll_kind kind)
{
    return (struct tr_program_coll){.call = {.kind = kind}, .group = TR_GROUP_DATA,
                                    .members = tr_degrees_of(&p->step.place.degrees, TR_GROUP_DATA),
                                    .index = tr_rank_index(&p->step.place, TR_GROUP_DATA)};
}

/* Where the slices of a weight begin, in units of `unit` bytes an element (1: elements); NULL: out of memory. */
static const int64_t *slices_at(struct tr_builder *b, int32_t index, int64_t unit)
{
    struct tr_program *p = b->program;
    struct tr_err ignored;
    int32_t members = tr_degrees_of(&p->step.place.degrees, TR_GROUP_DATA);
    int64_t *at = tr_arena_array(&p->arena, members + 1, sizeof *at, &ignored);
    if (!at) {
        b->out_of_memory = true;
        return NULL;
    }
    tr_slices_cut(&p->weights, index, members, at);
    for (int32_t i = 0; i <= members; i++)
        at[i] *= unit;
    return at;
}

void tr_build_join_gradient(struct tr_builder *b, int32_t buffer, int32_t index)
{
    struct tr_program *p = b->program;
    if (tr_degrees_of(&p->step.place.degrees, TR_GROUP_DATA) == 1)
        return;
    struct tr_program_coll coll = of_data_group(p, p->has_slices ? TR_COLL_REDUCE_SCATTER : TR_COLL_ALL_REDUCE);
    coll.call.owners = b->lane_owners;
    coll.call.count = p->weights.weight[index].count;
    coll.call.at = p->has_slices ? slices_at(b, index, 1) : NULL;
    tr_build_coll(b, coll, buffer);
}

void tr_build_merge(struct tr_builder *b, enum tr_scalar scalar)
{
    if (tr_degrees_of(&b->program->step.place.degrees, TR_GROUP_DATA) == 1)
        return;
    struct tr_program_coll coll = of_data_group(b->program, TR_COLL_EXACT);
    coll.scalar = scalar;
    tr_build_coll(b, coll, -1);
}

void tr_build_gather_copy(struct tr_builder *b, int32_t buffer, int32_t index)
{
    struct tr_program *p = b->program;
    if (b->out_of_memory)
        return;
    struct tr_program_coll coll = of_data_group(p, TR_COLL_ALL_GATHER);
    coll.call.at = slices_at(b, index, tr_dtype_bytes(p->buffer[buffer].dtype));
    tr_build_coll(b, coll, buffer);
}

static void add_sent(const struct tr_program *p, enum tr_section_kind section, int64_t by_kind[TR_COLL_KIND_COUNT])
{
    const struct tr_program_section *s = &p->section[section];
    for (int32_t i = s->first_op; i < s->first_op + s->op_count; i++) {
        if (p->op[i].coll < 0)
            continue;
        const struct tr_program_coll *coll = &p->coll[p->op[i].coll];
        by_kind[coll->call.kind] += tr_coll_sent_bytes(&coll->call, coll->members, coll->index);
    }
}

int64_t tr_program_sent_bytes(const struct tr_program *p, int64_t by_kind[TR_COLL_KIND_COUNT])
{
    int64_t sum = 0;
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
        by_kind[kind] = 0;
    for (int32_t i = 0; i < p->schedule_count; i++)
        add_sent(p, p->schedule[i].section, by_kind);
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
