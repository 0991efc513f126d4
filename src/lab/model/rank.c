/* What a rank has: its lanes, its tensor and context parts, its chunks of layers, its slices of the weights. */
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

/* Who has which of them; or with `members` each of who has them one, in order. */
static enum tr_status make_owners(struct tr_program *p, enum tr_group group, bool members, const struct tr_owners **out, struct tr_err *err)
{
    int32_t count = tr_degrees_of(&p->step.place.degrees, group);
    struct tr_owners *owners = tr_arena_alloc(&p->arena, sizeof *owners, err);
    struct tr_range *range = owners ? tr_arena_array(&p->arena, count, sizeof *range, err) : NULL;
    if (!range)
        return TR_FAILED;
    for (int32_t i = 0; i < count; i++)
        range[i] = members ? (struct tr_range){i, i + 1} : owned_by(p, group, i);
    *owners = (struct tr_owners){range[count - 1].last, range};
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
    return shares ? make_owners(p, TR_GROUP_TENSOR, false, &b->part_owners, err) : TR_OK;
}

static enum tr_status place_in_context(struct tr_builder *b, struct tr_err *err)
{
    struct tr_program *p = b->program;
    const struct tr_degrees *d = &p->step.place.degrees;
    int32_t cp = tr_degrees_of(d, TR_GROUP_CONTEXT), index = tr_rank_index(&p->step.place, TR_GROUP_CONTEXT);
    p->context = tr_degrees_context(d, p->step.widths.context, index);
    p->own_len = length_of(p->seq_len, TR_CONTEXT_QUANTUM, p->context);
    struct tr_op stream = tr_build_stream_op(b, tr_rank_index(&p->step.place, TR_GROUP_TENSOR));
    p->stream_len = d->sequence ? tr_op_operand_shape(&stream, TR_TAKE_Y).dim[0] / p->seqs : p->own_len;
    p->attn_kv_heads = (int32_t)(tr_cut(p->kv_heads, 1, cp, index + 1) - tr_cut(p->kv_heads, 1, cp, index));
    if (cp == 1)
        return TR_OK;
    enum tr_status status = make_owners(p, TR_GROUP_CONTEXT, false, &b->context_owners, err);
    return status == TR_OK ? make_owners(p, TR_GROUP_CONTEXT, true, &b->context_members, err) : status;
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
        status = make_owners(p, TR_GROUP_DATA, false, &b->lane_owners, err);
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
