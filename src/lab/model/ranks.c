/* Where ranks meet: collectives as operations of the step program, and what they send.
 *
 * Gradients are joined along the tree over lanes: each rank brings the subtrees that it has, one a slot, and all
 * (ALL_REDUCE), or with ZeRO each rank for its slice (REDUCE_SCATTER), get the sum in slot 0; with zero = 2 that of each round of
 * lanes, in the slot that is next. Loss and norm are exact sums,
 * merged in any order. With ZeRO each rank updates its slices and gives them to the others (ALL_GATHER): what operations
 * read, which in bf16 is the rounded copy, half the bytes; after the update, or with zero = 3 when a pass gets there (share.c).
 * Stages of a pipeline send the residual stream and its gradient. */
#include "base/num.h"
#include "lab/model/build.h"

static enum tr_status make_owners(struct tr_program *p, const struct tr_owners **out, struct tr_err *err)
{
    const struct tr_degrees *d = &p->step.place.degrees;
    int32_t dp = tr_degrees_of(d, TR_GROUP_DATA);
    struct tr_owners *owners = tr_arena_alloc(&p->arena, sizeof *owners, err);
    struct tr_range *lanes = owners ? tr_arena_array(&p->arena, dp, sizeof *lanes, err) : NULL;
    if (!lanes)
        return TR_FAILED;
    for (int32_t i = 0; i < dp; i++) {
        struct tr_lanes own = tr_degrees_lanes(d, p->step.widths.lanes, i);
        lanes[i] = (struct tr_range){own.first, own.first + own.count};
    }
    *owners = (struct tr_owners){p->step.widths.lanes, lanes};
    *out = owners;
    return TR_OK;
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
    enum tr_status status = place_in_pipe(p, err);
    if (status == TR_OK && dp > 1 && !p->has_grad_slices)
        status = make_owners(p, &b->lane_owners, err);
    return status;
}

int32_t tr_program_stage_of(const struct tr_program *p, int32_t index) { return p->chunk_of[index] % p->pipe.stages; }

bool tr_program_has(const struct tr_program *p, int32_t index) { return tr_program_stage_of(p, index) == p->stage; }

struct tr_range tr_build_slice_of(const struct tr_program *p, int32_t index)
{
    int64_t at[TR_RANKS_MAX + 1];
    int32_t member = tr_rank_index(&p->step.place, TR_GROUP_DATA);
    if (!p->has_slices)
        return (struct tr_range){0, p->weights.weight[index].count};
    tr_slices_cut(p, index, at);
    return (struct tr_range){at[member], at[member + 1]};
}

struct tr_range tr_program_slice(const struct tr_program *p, int32_t index)
{
    return tr_program_has(p, index) ? tr_build_slice_of(p, index) : (struct tr_range){0, 0};
}

struct tr_range tr_program_held(const struct tr_program *p, int32_t index)
{
    struct tr_range all = {0, p->weights.weight[index].count};
    return p->has_weight_slices || !tr_program_has(p, index) ? tr_program_slice(p, index) : all;
}

int64_t tr_program_micros(const struct tr_program *p) { return p->sequences / p->step.micro_batch; }

bool tr_program_is_whole(const struct tr_program *p) { return !p->has_slices && p->pipe.stages == 1; }

bool tr_program_reads_whole(const struct tr_program *p) { return !p->has_read_slices && p->pipe.stages == 1; }

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
    tr_slices_cut(p, index, at);
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
    coll.call.count = p->weights.weight[weight].count;
    coll.call.at = p->has_slices ? slices_at(b, weight, 1) : NULL;
    return add_coll(b, coll, when, b->first_sum + index, p->has_grad_slices ? p->first_grad + index : -1);
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
