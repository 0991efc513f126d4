/* Builds step programs: buffers that always exist, the sections in order, the schedule. */
#include "lab/model/program.h"

#include "lab/model/build.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPS_MAX = 1 << 20 };

/* ---- adding buffers and ops -------------------------------------------------------------------------------------- */

/* Doubles an array that is full. On lack of memory the builder goes on with what it has and says so at the end. */
static void *grow(struct tr_builder *b, void *array, int32_t count, int32_t *capacity, size_t item_bytes)
{
    if (count < *capacity || b->out_of_memory)
        return array;
    int32_t wanted = *capacity == 0 ? 256 : 2 * *capacity;
    void *larger = wanted > OPS_MAX ? NULL : realloc(array, (size_t)wanted * item_bytes);
    if (larger == NULL) {
        b->out_of_memory = true;
        return array;
    }
    *capacity = wanted;
    return larger;
}

int32_t tr_build_buffer(struct tr_builder *b, enum tr_buffer_kind kind, enum tr_region region, enum tr_dtype dtype,
                        struct tr_shape shape, const char *fmt, ...)
{
    struct tr_program *p = b->program;
    p->buffer = grow(b, p->buffer, p->buffer_count, &b->buffer_capacity, sizeof *p->buffer);
    if (b->out_of_memory)
        return 0;
    struct tr_buffer *buffer = &p->buffer[p->buffer_count];
    memset(buffer, 0, sizeof *buffer);
    va_list args;
    va_start(args, fmt);
    vsnprintf(buffer->name, sizeof buffer->name, fmt, args);
    va_end(args);
    buffer->kind = kind;
    buffer->region = region;
    buffer->dtype = dtype;
    buffer->shape = shape;
    buffer->bytes = tr_shape_count(shape) * tr_dtype_bytes(dtype);
    buffer->first_op = buffer->last_op = buffer->part_of = -1;
    return p->buffer_count++;
}

struct tr_program_op *tr_build_op(struct tr_builder *b, struct tr_op op)
{
    static _Thread_local struct tr_program_op nowhere;
    struct tr_program *p = b->program;
    p->op = grow(b, p->op, p->op_count, &b->op_capacity, sizeof *p->op);
    struct tr_program_op *o = b->out_of_memory ? &nowhere : &p->op[p->op_count++];
    *o = (struct tr_program_op){.op = op, .coll = -1, .phase = b->phase, .layer = b->layer, .workspace = -1, .slot = b->slot,
                                .only_last = b->only_last};
    for (int i = 0; i < TR_OP_OPERANDS_MAX; i++)
        o->buffer[i] = -1;
    if (op.flags & TR_OP_APART) /* of embeddings: tr_build_own_tokens */
        o->buffer[tr_op_start_operand(op.kind)] = p->starts;
    return o;
}

struct tr_program_op *tr_build_coll(struct tr_builder *b, struct tr_program_coll coll, int32_t buffer)
{
    struct tr_program *p = b->program;
    struct tr_op none;
    memset(&none, 0, sizeof none);
    struct tr_program_op *o = tr_build_op(b, none);
    p->coll = grow(b, p->coll, p->coll_count, &b->coll_capacity, sizeof *p->coll);
    if (b->out_of_memory)
        return o;
    p->coll[p->coll_count] = coll;
    o->coll = p->coll_count++;
    o->buffer[0] = buffer;
    return o;
}

int32_t tr_build_part(struct tr_builder *b, int32_t buffer, int64_t first, int64_t count)
{
    if (b->out_of_memory)
        return 0;
    const struct tr_buffer *whole = &b->program->buffer[buffer];
    enum tr_dtype dtype = whole->dtype;
    if (count == tr_shape_count(whole->shape))
        return buffer;
    char name[TR_BUFFER_NAME_MAX];
    memcpy(name, whole->name, sizeof name);
    int32_t part = tr_build_buffer(b, whole->kind, whole->region, dtype, (struct tr_shape){1, {count}}, "%s", name);
    if (b->out_of_memory)
        return 0;
    b->program->buffer[part].part_of = buffer;
    b->program->buffer[part].offset = first * tr_dtype_bytes(dtype);
    return part;
}

int32_t tr_build_slice(struct tr_builder *b, int32_t buffer, int32_t index)
{
    struct tr_range slice = tr_build_slice_of(b->program, index);
    int64_t count = slice.last - slice.first;
    return count == b->program->own[index].count ? buffer : tr_build_part(b, buffer, slice.first, count);
}

/* Whether an operation of this kind has to know where documents begin; embeddings do for the sake of positions alone. */
static bool needs_starts(const struct tr_program *p, enum tr_op_kind kind)
{
    bool embed = kind == TR_OP_EMBED || kind == TR_OP_EMBED_BWD;
    return p->step.apart && tr_op_start_operand(kind) >= 0 && !(embed && tr_has_rope(&p->model));
}

struct tr_op tr_build_template(const struct tr_builder *b, enum tr_op_kind kind)
{
    const struct tr_program *p = b->program;
    struct tr_op op;
    memset(&op, 0, sizeof op); /* descriptions are compared and hashed as bytes: no padding left to chance */
    op.kind = kind;
    op.act = op.weight = p->step.dtype;
    op.seqs = p->seqs;
    op.seq_len = p->own_len;
    op.context = p->context;
    op.whole_seq_len = tr_parts_owned(p->context) < p->context.parts ? p->seq_len : 0;
    op.part = tr_all_parts(1);
    op.flags = needs_starts(p, kind) ? TR_OP_APART : 0;
    return op;
}

struct tr_op tr_build_whole_template(const struct tr_builder *b, enum tr_op_kind kind)
{
    const struct tr_program *p = b->program;
    struct tr_op op = tr_build_template(b, kind);
    op.seq_len = p->seq_len;
    op.context = tr_all_parts(p->context.parts);
    op.whole_seq_len = 0;
    return op;
}

int32_t tr_build_rows(struct tr_builder *b, enum tr_buffer_kind kind, int64_t length, int64_t columns, const char *name)
{
    const struct tr_program *p = b->program;
    struct tr_shape shape = {2, {p->seqs * length, columns}};
    if (b->layer < 0)
        return tr_build_buffer(b, kind, TR_REGION_WORK, p->step.dtype, shape, "%s", name);
    return tr_build_buffer(b, kind, TR_REGION_WORK, p->step.dtype, shape, "h.%d.%s", b->layer, name);
}

int32_t tr_build_activation(struct tr_builder *b, enum tr_buffer_kind kind, int64_t columns, const char *name)
{
    return tr_build_rows(b, kind, b->program->own_len, columns, name);
}

int32_t tr_build_weight(const struct tr_builder *b, enum tr_weight_role role, int32_t layer)
{
    const struct tr_program *p = b->program;
    int32_t index = tr_weight_find(&p->weights, role, layer);
    if (index >= 0 && b->read != NULL)
        return b->read[index];
    return index < 0 ? -1 : (p->first_copy >= 0 ? p->first_copy : p->first_weight) + index;
}

int32_t tr_build_grad(const struct tr_builder *b, enum tr_weight_role role, int32_t layer)
{
    const struct tr_weights *weights = &b->program->weights;
    int32_t index = tr_weight_find(weights, role, layer);
    return index < 0 || weights->weight[index].frozen ? -1 : b->first_sum + index;
}

/* ---- buffers that always exist ----------------------------------------------------------------------------------- */

static struct tr_shape weight_shape(const struct tr_weight *w)
{
    return w->rank == 1 ? (struct tr_shape){1, {w->dim[0]}} : (struct tr_shape){2, {w->dim[0], w->dim[1]}};
}

static struct tr_shape no_shape(void) { return (struct tr_shape){1, {0}}; }

/* Whether operations of this rank read the weight: its own, and on the last stage the table that is the head too. */
static bool is_read(const struct tr_program *p, int32_t index)
{
    bool head = p->model.tied && p->own[index].role == TR_W_WTE && p->stage == p->pipe.stages - 1;
    return head || tr_program_has(p, index);
}

static struct tr_shape range_shape(const struct tr_program *p, int32_t index, struct tr_range range)
{
    int64_t count = range.last - range.first;
    return count == p->own[index].count ? weight_shape(&p->own[index]) : (struct tr_shape){1, {count}};
}

/* Of a weight that operations read: the whole, or the slice that is gathered before they do. */
static struct tr_shape read_shape(const struct tr_program *p, int32_t index)
{
    return p->has_read_slices ? range_shape(p, index, tr_build_slice_of(p, index)) : weight_shape(&p->own[index]);
}

static void add_copy(struct tr_builder *b, int32_t index)
{
    const struct tr_program *p = b->program;
    const struct tr_weight *w = &p->own[index];
    tr_build_buffer(b, TR_BUF_COPY, TR_REGION_COPIES, p->step.dtype, is_read(p, index) ? read_shape(p, index) : no_shape(), "copy.%s",
                    w->name);
}

/* Whether products read it in panels, where the program's weights are. */
static bool is_in_panels(const struct tr_weight *w)
{
    switch (w->role) {
    case TR_W_Q:
    case TR_W_K:
    case TR_W_V:
    case TR_W_ATTN_OUT:
    case TR_W_FC:
    case TR_W_GATE:
    case TR_W_UP:
    case TR_W_DOWN:
    case TR_W_HEAD:
        return true;
    default:
        return false;
    }
}

/* What makes the panels of a weight. */
static struct tr_op pack_op(const struct tr_builder *b, const struct tr_weight *w)
{
    struct tr_op op = tr_build_in_panels(b, tr_build_template(b, TR_OP_LINEAR));
    op.kind = TR_OP_PACK;
    op.context = tr_all_parts(1);
    op.in = w->dim[1];
    op.segments = 1;
    op.out[0] = w->dim[0];
    op.quantum[0] = 1;
    return op;
}

static int32_t add_panels_of(struct tr_builder *b, const struct tr_weight *w, const char *name)
{
    struct tr_op op = pack_op(b, w);
    return tr_build_buffer(b, TR_BUF_COPY, TR_REGION_COPIES, TR_BYTE, tr_op_operand_shape(&op, TR_PACK_DST), "panels.%s", name);
}

static void add_panels(struct tr_builder *b)
{
    struct tr_program *p = b->program;
    p->first_copy = p->buffer_count;
    for (int32_t i = 0; i < p->weights.count; i++) {
        if (is_in_panels(&p->own[i]))
            add_panels_of(b, &p->own[i], p->own[i].name);
        else
            add_copy(b, i);
    }
    if (p->model.tied)
        p->head_panels = add_panels_of(b, &p->own[tr_weight_find(&p->weights, TR_W_WTE, -1)], "head");
}

/* What is not this rank's is read from WEIGHTS too where there are no copies. */
static struct tr_shape fp32_shape(const struct tr_program *p, int32_t index)
{
    bool as_read = p->step.dtype == TR_F32 && is_read(p, index);
    return as_read ? read_shape(p, index) : range_shape(p, index, tr_program_held(p, index));
}

static void add_weights(struct tr_builder *b)
{
    struct tr_program *p = b->program;
    p->first_weight = p->buffer_count;
    for (int32_t i = 0; i < p->weights.count; i++)
        tr_build_buffer(b, TR_BUF_WEIGHT, TR_REGION_WEIGHTS, TR_F32, fp32_shape(p, i), "%s", p->own[i].name);
    if (p->step.form != TR_FORM_ROWS) {
        add_panels(b);
        return;
    }
    if (p->step.dtype == TR_F32)
        return;
    p->first_copy = p->buffer_count;
    for (int32_t i = 0; i < p->weights.count; i++)
        add_copy(b, i);
}

/* Moment number `moment` of every weight that has so many; else the buffer is empty. */
static int32_t add_moments(struct tr_builder *b, int32_t moment, const char *letter)
{
    struct tr_program *p = b->program;
    int32_t first = p->buffer_count;
    for (int32_t i = 0; i < p->weights.count; i++) {
        const struct tr_weight *w = &p->own[i];
        struct tr_shape shape = moment <= w->moments ? range_shape(p, i, tr_program_slice(p, i)) : no_shape();
        tr_build_buffer(b, TR_BUF_MOMENT, TR_REGION_MOMENTS, TR_F32, shape, "%s.%s", letter, w->name);
    }
    return first;
}

/* How many accumulators the gradient of a weight keeps apart: what the contract says for the operation that makes it
 * (tr_op_leaves), asked of a template of that operation. */
static int64_t weight_leaves(const struct tr_builder *b, enum tr_weight_role role)
{
    switch (role) {
    case TR_W_WPE: {
        struct tr_op op = tr_build_template(b, TR_OP_EMBED_BWD);
        return tr_op_leaves(&op, TR_EMBED_BWD_DWPE);
    }
    case TR_W_NORM1_GAIN:
    case TR_W_NORM1_BIAS:
    case TR_W_NORM2_GAIN:
    case TR_W_NORM2_BIAS:
    case TR_W_NORM_GAIN:
    case TR_W_NORM_BIAS: {
        struct tr_op op = tr_build_norm_op(b, TR_OP_NORM_BWD);
        return tr_op_leaves(&op, TR_NORM_BWD_DGAIN);
    }
    case TR_W_Q_NORM:
    case TR_W_K_NORM: {
        struct tr_op op = tr_build_head_norm_op(b, TR_OP_NORM_BWD, role == TR_W_K_NORM);
        return tr_op_leaves(&op, TR_NORM_BWD_DGAIN);
    }
    case TR_W_ATTN_OUT_BIAS:
    case TR_W_DOWN_BIAS: {
        struct tr_op op = tr_build_ffn_out_op(b, TR_OP_LINEAR_DW);
        return tr_op_leaves(&op, TR_LINEAR_DW_DB);
    }
    default: {
        struct tr_op op = tr_build_template(b, TR_OP_LINEAR_DW);
        return tr_op_leaves(&op, TR_LINEAR_DW_DW);
    }
    }
}

int32_t tr_build_weight_of(const struct tr_builder *b, int32_t index)
{
    const struct tr_weights *weights = &b->program->weights;
    return index < weights->count ? index : tr_weight_find(weights, TR_W_WTE, -1);
}

static struct tr_shape sum_shape(const struct tr_builder *b, const struct tr_weight *w)
{
    int64_t leaves = weight_leaves(b, w->role);
    return w->rank == 1 ? (struct tr_shape){2, {leaves, w->dim[0]}} : (struct tr_shape){3, {leaves, w->dim[0], w->dim[1]}};
}

static struct tr_shape grad_slice_shape(const struct tr_program *p, int32_t weight)
{
    struct tr_range slice = tr_build_slice_of(p, weight);
    return (struct tr_shape){2, {1, slice.last - slice.first}};
}

/* One of each weight, and of a tied head: all leaves, or the slice that this rank has. Empty for what is not trained, or not
 * here. Returns the first. */
static int32_t add_gradients_of(struct tr_builder *b, enum tr_region region, bool sums, const char *of)
{
    const struct tr_program *p = b->program;
    int32_t first = p->buffer_count;
    for (int32_t i = 0; i < b->slot_buffers; i++) {
        int32_t index = tr_build_weight_of(b, i);
        const struct tr_weight *w = &p->own[index];
        bool head = i == p->weights.count, here = !w->frozen && (head || tr_program_has(p, index));
        struct tr_shape shape = !here ? no_shape() : sums ? sum_shape(b, w) : grad_slice_shape(p, index);
        tr_build_buffer(b, TR_BUF_GRADIENT, region, TR_F32, shape, "grad.%s%s.%s", of, head ? ".head" : "", w->name);
    }
    return first;
}

bool tr_build_sums_in_work(const struct tr_program *p)
{
    return p->has_grad_slices && p->sends_early && p->step.batch / p->step.widths.lanes == p->step.micro_batch;
}

/* Of one round the slice takes the place of what the lane had of it. */
static void put_slices_into_sums(struct tr_builder *b)
{
    struct tr_program *p = b->program;
    for (int32_t i = 0; i < b->slot_buffers && !b->out_of_memory; i++) {
        struct tr_buffer *slice = &p->buffer[p->first_grad + i];
        slice->part_of = b->first_sum + i;
        slice->offset = tr_build_slice_of(p, tr_build_weight_of(b, i)).first * tr_dtype_bytes(TR_F32);
    }
}

static void add_gradients(struct tr_builder *b)
{
    struct tr_program *p = b->program;
    b->has_tied_head = tr_build_has_tied_gradient(b) && p->stage == p->pipe.stages - 1; /* the table has one as head too */
    b->slot_buffers = p->weights.count + (b->has_tied_head ? 1 : 0);
    p->grad_slots = tr_build_slots(p);
    p->first_grad = p->buffer_count;
    for (int32_t slot = 0; slot < p->grad_slots; slot++) {
        char of[16];
        snprintf(of, sizeof of, "%d", slot);
        add_gradients_of(b, TR_REGION_GRADIENTS, !p->has_grad_slices, of);
    }
    for (int32_t i = p->first_grad; i < p->buffer_count && !b->out_of_memory; i++)
        p->buffer[i].slot_stride = b->slot_buffers;
    b->first_sum = p->first_grad;
    if (!p->has_grad_slices)
        return;
    b->first_sum = add_gradients_of(b, tr_build_sums_in_work(p) ? TR_REGION_WORK : TR_REGION_GRADIENTS, true, "lane");
    if (p->grad_slots == 1 && !tr_build_sums_in_work(p))
        put_slices_into_sums(b);
}

static void add_rope_table(struct tr_builder *b, int64_t positions)
{
    struct tr_program *p = b->program;
    p->rope_table = -1;
    if (tr_has_rope(&p->model))
        p->rope_table = tr_build_buffer(b, TR_BUF_CONSTANT, TR_REGION_CONSTANTS, TR_F32,
                                        (struct tr_shape){3, {positions, p->model.head_dim / 2, 2}}, "rope");
}

static int32_t add_batch(struct tr_builder *b, int64_t sequences, const char *name)
{
    struct tr_program *p = b->program;
    int32_t id = tr_build_buffer(b, TR_BUF_BATCH, TR_REGION_BATCH, TR_I32,
                                 (struct tr_shape){2, {sequences, p->seq_len}}, "%s", name);
    if (!b->out_of_memory)
        p->buffer[id].bytes_per_sequence = p->seq_len * tr_dtype_bytes(TR_I32);
    return id;
}

/* ---- sections ---------------------------------------------------------------------------------------------------- */

static void begin_section(struct tr_builder *b, int32_t section, enum tr_phase phase)
{
    b->program->section[section].first_op = b->program->op_count;
    b->phase = phase;
    b->layer = -1;
}

static void end_section(struct tr_builder *b, int32_t section)
{
    b->program->section[section].op_count = b->program->op_count - b->program->section[section].first_op;
}

static void build_pack(struct tr_builder *b, int32_t index, int32_t panels)
{
    struct tr_program *p = b->program;
    struct tr_op op = pack_op(b, &p->own[index]);
    int32_t error = tr_build_buffer(b, TR_BUF_COPY, TR_REGION_COPIES, TR_F32, tr_op_operand_shape(&op, TR_PACK_ERROR), "error.%s",
                                    p->own[index].name);
    struct tr_program_op *pack = tr_build_op(b, op);
    pack->buffer[TR_PACK_SRC] = p->first_weight + index;
    pack->buffer[TR_PACK_DST] = panels;
    pack->buffer[TR_PACK_ERROR] = error;
}

/* From the weights to the copies that operations read. */
static void build_cast(struct tr_builder *b)
{
    struct tr_program *p = b->program;
    begin_section(b, TR_SECTION_CAST, TR_PHASE_LOAD);
    if (p->head_panels >= 0)
        build_pack(b, tr_weight_find(&p->weights, TR_W_WTE, -1), p->head_panels);
    for (int32_t i = 0; i < p->weights.count && p->first_copy >= 0 && !b->out_of_memory; i++) {
        if (p->step.form != TR_FORM_ROWS && is_in_panels(&p->own[i])) {
            build_pack(b, i, p->first_copy + i);
            continue;
        }
        if (!tr_program_has(p, i))
            continue;
        struct tr_range slice = tr_program_slice(p, i);
        int32_t copy = tr_build_slice(b, p->first_copy + i, i);
        if (slice.last > slice.first) {
            struct tr_program_op *cast = tr_build_counted(b, TR_OP_CAST, p->first_weight + i, slice.last - slice.first);
            cast->op.weight = p->step.dtype;
            cast->buffer[TR_CAST_DST] = copy;
        }
        if (p->has_weight_slices && !p->has_read_slices)
            tr_build_gather(b, i, -1, p->first_copy + i, TR_COLL_NOW);
    }
    tr_build_share_table(b);
    end_section(b, TR_SECTION_CAST);
}

/* Loss (and with it the gradients of the head) from the last residual stream. Returns d of the final norm's output,
 * -1 without gradients. */
static int32_t build_head(struct tr_builder *b, int32_t x, bool gradients)
{
    struct tr_program *p = b->program;
    b->layer = -1;
    x = tr_build_gather_stream(b, TR_BUF_ACTIVATION, x, "norm.whole");
    struct tr_op op = tr_build_template(b, TR_OP_HEAD);
    op.width = p->model.width;
    op.vocab = p->model.vocab;
    op.flags = gradients ? TR_OP_GRAD : 0;
    op.part = tr_all_parts(p->step.widths.vocab);
    int32_t dx = gradients ? tr_build_activation(b, TR_BUF_ACTIVATION_GRAD, op.width, "d.norm") : -1;
    int32_t targets = tr_build_own_tokens(b, p->targets, "targets");
    int32_t loss = tr_build_buffer(b, TR_BUF_ACTIVATION, TR_REGION_WORK, TR_F32,
                                   (struct tr_shape){1, {p->seqs * p->own_len}}, "loss");
    struct tr_program_op *head = tr_build_op(b, op);
    head->buffer[TR_HEAD_X] = x;
    head->buffer[TR_HEAD_W] = tr_build_weight(b, p->model.tied ? TR_W_WTE : TR_W_HEAD, -1);
    head->buffer[TR_HEAD_TARGETS] = targets;
    head->buffer[TR_HEAD_LOSS] = loss;
    head->buffer[TR_HEAD_DX] = dx;
    if (gradients)
        head->buffer[TR_HEAD_DW] = b->has_tied_head ? b->first_sum + p->weights.count : tr_build_grad(b, TR_W_HEAD, -1);
    struct tr_program_op *sum = tr_build_op(b, tr_build_template(b, TR_OP_LOSS_SUM));
    sum->buffer[TR_LOSS_SUM_LOSS] = loss;
    if (p->loss < 0)
        p->loss = loss;
    return gradients ? tr_build_take_stream(b, TR_BUF_ACTIVATION_GRAD, dx, "d.norm.own") : -1;
}

static void build_embed_backward(struct tr_builder *b, int32_t stream)
{
    struct tr_program *p = b->program;
    b->layer = -1;
    if (tr_build_grad(b, TR_W_WTE, -1) < 0)
        return;
    stream = tr_build_gather_stream(b, TR_BUF_ACTIVATION_GRAD, stream, "d.embed");
    struct tr_op op = tr_build_template(b, TR_OP_EMBED_BWD);
    op.width = p->model.width;
    op.vocab = p->model.vocab;
    op.positions = p->model.positions;
    int32_t tokens = tr_build_own_tokens(b, p->tokens, "tokens");
    int32_t starts = op.flags & TR_OP_APART ? tr_build_own_tokens(b, p->starts, "starts") : -1;
    struct tr_program_op *o = tr_build_op(b, op);
    o->buffer[TR_EMBED_BWD_START] = starts;
    o->buffer[TR_EMBED_BWD_TOKENS] = tokens;
    o->buffer[TR_EMBED_BWD_DY] = stream;
    o->buffer[TR_EMBED_BWD_DWTE] = tr_build_grad(b, TR_W_WTE, -1);
    o->buffer[TR_EMBED_BWD_DWPE] = tr_build_grad(b, TR_W_WPE, -1);
}

/* The gradient of the stream from that of the final norm's output. */
static int32_t build_final_norm_backward(struct tr_builder *b, int32_t x, int32_t stats, int32_t dy)
{
    int32_t stream = tr_build_rows(b, TR_BUF_ACTIVATION_GRAD, b->program->stream_len, b->program->model.width, "d.stream");
    struct tr_program_op *o = tr_build_op(b, tr_build_norm_op(b, TR_OP_NORM_BWD));
    o->buffer[TR_NORM_BWD_X] = x;
    o->buffer[TR_NORM_BWD_GAIN] = tr_build_weight(b, TR_W_NORM_GAIN, -1);
    o->buffer[TR_NORM_BWD_STATS] = stats;
    o->buffer[TR_NORM_BWD_DY] = dy;
    o->buffer[TR_NORM_BWD_DX] = stream;
    o->buffer[TR_NORM_BWD_DGAIN] = tr_build_grad(b, TR_W_NORM_GAIN, -1);
    o->buffer[TR_NORM_BWD_DBIAS] = tr_build_grad(b, TR_W_NORM_BIAS, -1);
    return stream;
}

/* The residual stream that a chunk begins with. */
static int32_t build_chunk_input(struct tr_builder *b, int32_t chunk)
{
    int32_t first_layer = (int32_t)tr_build_chunk_layers(b, chunk).first;
    if (tr_build_is_first(b, chunk)) {
        tr_build_enter(b, -1, false);
        tr_build_enter(b, first_layer, false);
        return tr_build_embed(b);
    }
    tr_build_enter(b, first_layer, false);
    int32_t x = tr_build_rows(b, TR_BUF_ACTIVATION, b->program->stream_len, b->program->model.width, "stream");
    tr_build_receive(b, TR_WAY_FORWARD, x);
    return x;
}

/* Whether the weights of the head are asked for while the last layer runs. In a pipeline that would be in the forward turn, of which
 * every flight would then have its own. */
static bool is_head_ahead(const struct tr_builder *b) { return b->program->pipe.stages == 1; }

/* Asks for them now, if nobody has. */
static void enter_head(struct tr_builder *b)
{
    if (!is_head_ahead(b))
        tr_build_enter(b, b->program->model.layers, false);
}

/* Returns the residual stream after the chunk's layers, each of which leaves its buffers in layers[layer]. */
static int32_t build_chunk_layers(struct tr_builder *b, int32_t chunk, int32_t x, struct tr_layer_buffers *layers)
{
    struct tr_range range = tr_build_chunk_layers(b, chunk);
    for (int32_t layer = (int32_t)range.first; layer < range.last; layer++) {
        tr_build_enter(b, layer + 1 < range.last || is_head_ahead(b) ? layer + 1 : TR_PART_NONE, false);
        tr_build_layer(b, layer, x, &layers[layer]);
        x = layers[layer].out;
    }
    b->layer = -1;
    return x;
}

/* Returns the stream, of which the last chunk's backward turn goes on. */
static int32_t build_forward(struct tr_builder *b, int32_t chunk, struct tr_layer_buffers *layers)
{
    bool sends = !tr_build_is_last(b, chunk);
    begin_section(b, tr_section_of(TR_SECTION_FORWARD, chunk), TR_PHASE_FORWARD);
    if (sends)
        tr_build_sent(b, TR_WAY_FORWARD, -1);
    int32_t x = build_chunk_layers(b, chunk, build_chunk_input(b, chunk), layers);
    if (sends) {
        tr_build_mail(b, TR_WAY_FORWARD, x);
        tr_build_send(b, TR_WAY_FORWARD, x);
    }
    end_section(b, tr_section_of(TR_SECTION_FORWARD, chunk));
    return x;
}

/* The loss of the last stream, and the gradient of it. */
static int32_t build_loss(struct tr_builder *b, int32_t x)
{
    int32_t stats, head = b->program->model.layers;
    b->phase = TR_PHASE_FORWARD;
    enter_head(b);
    tr_build_enter(b, head - 1, true);
    tr_build_part_begin(b, head);
    int32_t normed = tr_build_norm(b, x, TR_W_NORM_GAIN, TR_W_NORM_BIAS, -1, "norm", &stats);
    int32_t d_normed = build_head(b, normed, true);
    b->phase = TR_PHASE_BACKWARD;
    int32_t stream = build_final_norm_backward(b, x, stats, d_normed);
    tr_build_part_end(b, head);
    return stream;
}

/* The gradient of the stream, which the next chunk sends. */
static int32_t build_gradient_input(struct tr_builder *b, int32_t chunk)
{
    tr_build_enter(b, (int32_t)tr_build_chunk_layers(b, chunk).last - 1, true);
    int32_t stream = tr_build_rows(b, TR_BUF_ACTIVATION_GRAD, b->program->stream_len, b->program->model.width, "d.stream");
    tr_build_receive(b, TR_WAY_BACKWARD, stream);
    return stream;
}

static void build_layers_backward(struct tr_builder *b, int32_t chunk, int32_t stream, struct tr_layer_buffers *layers)
{
    struct tr_range range = tr_build_chunk_layers(b, chunk);
    for (int32_t layer = (int32_t)range.last - 1; layer >= range.first; layer--) {
        tr_build_enter(b, layer - 1, true);
        tr_build_part_begin(b, layer);
        if (b->program->step.recompute == TR_RECOMPUTE_FULL) {
            b->phase = TR_PHASE_RECOMPUTE;
            tr_build_layer(b, layer, layers[layer].in, &layers[layer]);
            b->phase = TR_PHASE_BACKWARD;
        }
        b->layer = layer;
        tr_build_layer_backward(b, &layers[layer], stream);
        tr_build_part_end(b, layer);
    }
    b->layer = -1;
}

static void build_backward(struct tr_builder *b, int32_t chunk, int32_t x, struct tr_layer_buffers *layers)
{
    bool sends = !tr_build_is_first(b, chunk);
    begin_section(b, tr_section_of(TR_SECTION_BACKWARD, chunk), TR_PHASE_BACKWARD);
    if (sends)
        tr_build_sent(b, TR_WAY_BACKWARD, -1);
    int32_t stream = tr_build_is_last(b, chunk) ? build_loss(b, x) : build_gradient_input(b, chunk);
    build_layers_backward(b, chunk, stream, layers);
    if (sends) {
        tr_build_mail(b, TR_WAY_BACKWARD, stream);
        tr_build_send(b, TR_WAY_BACKWARD, stream);
    } else {
        tr_build_part_begin(b, -1);
        build_embed_backward(b, stream);
        tr_build_part_end(b, -1);
    }
    tr_build_passed(b, sends ? (int32_t)tr_build_chunk_layers(b, chunk).first : -1);
    end_section(b, tr_section_of(TR_SECTION_BACKWARD, chunk));
}

static void build_chunks(struct tr_builder *b, struct tr_layer_buffers *layers)
{
    for (int32_t chunk = 0; chunk < b->program->pipe.chunks; chunk++)
        build_backward(b, chunk, build_forward(b, chunk, layers), layers);
}

static int32_t head_weight(const struct tr_builder *b)
{
    if (b->program->head_panels >= 0)
        return b->program->head_panels;
    return tr_build_weight(b, b->program->model.tied ? TR_W_WTE : TR_W_HEAD, -1);
}

/* Of all tokens of x; returns their buffer. */
static int32_t build_logits(struct tr_builder *b, int32_t x)
{
    struct tr_program *p = b->program;
    struct tr_op head = tr_build_template(b, TR_OP_LINEAR);
    head.in = p->model.width;
    head.segments = 1;
    head.out[0] = p->model.vocab;
    head.quantum[0] = 1;
    head.flags = TR_OP_Y_F32;
    int32_t logits = tr_build_buffer(b, TR_BUF_ACTIVATION, TR_REGION_WORK, TR_F32,
                                     (struct tr_shape){2, {p->seqs * p->own_len, p->model.vocab}}, "logits");
    struct tr_program_op *h = tr_build_op(b, tr_build_in_panels(b, head));
    h->buffer[TR_LINEAR_X] = x;
    h->buffer[TR_LINEAR_W] = head_weight(b);
    h->buffer[TR_LINEAR_Y] = logits;
    return logits;
}

/* The loss of logits that are in memory, and its sum. */
static void build_loss_of_logits(struct tr_builder *b, int32_t logits)
{
    struct tr_program *p = b->program;
    struct tr_op op = tr_build_template(b, TR_OP_LOSS);
    op.vocab = p->model.vocab;
    op.flags = 0;
    p->loss = tr_build_buffer(b, TR_BUF_ACTIVATION, TR_REGION_WORK, TR_F32,
                              (struct tr_shape){1, {p->seqs * p->own_len}}, "loss");
    struct tr_program_op *loss = tr_build_op(b, op);
    loss->buffer[TR_LOSS_LOGITS] = logits;
    loss->buffer[TR_LOSS_TARGETS] = p->targets;
    loss->buffer[TR_LOSS_LOSS] = p->loss;
    tr_build_op(b, tr_build_template(b, TR_OP_LOSS_SUM))->buffer[TR_LOSS_SUM_LOSS] = p->loss;
}

static void build_eval_loss(struct tr_builder *b, int32_t x)
{
    int32_t stats;
    enter_head(b);
    tr_build_enter(b, TR_PART_NONE, false);
    int32_t normed = tr_build_norm(b, x, TR_W_NORM_GAIN, TR_W_NORM_BIAS, -1, "norm", &stats);
    if (b->program->step.form == TR_FORM_ROWS)
        build_head(b, normed, false);
    else
        build_loss_of_logits(b, build_logits(b, normed));
}

static void build_eval(struct tr_builder *b, struct tr_layer_buffers *layers)
{
    begin_section(b, TR_SECTION_EVAL, TR_PHASE_EVAL);
    for (int32_t chunk = 0; chunk < b->program->pipe.chunks; chunk++) {
        int32_t x = build_chunk_layers(b, chunk, build_chunk_input(b, chunk), layers);
        if (tr_build_is_last(b, chunk)) {
            build_eval_loss(b, x);
            continue;
        }
        tr_build_send(b, TR_WAY_FORWARD, x);
        tr_build_sent(b, TR_WAY_FORWARD, x);
    }
    end_section(b, TR_SECTION_EVAL);
}

/* One op of `kind` for each gradient buffer of slot 0. */
struct tr_program_op *tr_build_counted(struct tr_builder *b, enum tr_op_kind kind, int32_t buffer, int64_t count)
{
    struct tr_op op = tr_build_template(b, kind);
    op.act = op.weight = TR_F32;
    op.count = count;
    op.context = tr_all_parts(1);
    op.whole_seq_len = 0;
    struct tr_program_op *o = tr_build_op(b, op);
    o->buffer[0] = buffer;
    return o;
}

static bool is_of_chunk(const struct tr_builder *b, int32_t index, int32_t chunk)
{
    const struct tr_program *p = b->program;
    int32_t of = index < p->weights.count ? p->chunk_of[index] / p->pipe.stages : p->pipe.chunks - 1;
    return of == chunk && p->buffer[b->first_sum + index].bytes > 0;
}

/* The leaves of this rank's context parts, `inner` to each, and then of all. */
static void build_fold_of(struct tr_builder *b, int32_t leaves, int32_t inner, int64_t count)
{
    const struct tr_parts context = b->program->context;
    if (tr_parts_owned(context) * inner > 1) {
        struct tr_program_op *fold = tr_build_counted(b, TR_OP_FOLD, leaves, count);
        fold->op.context = context;
        fold->op.part = tr_all_parts(inner);
    }
    tr_build_join_context(b, leaves, inner, count, false);
}

/* Leaves of tensor or sequence parts that ranks share: each gets all of them. */
static void build_fold_of_ranks(struct tr_builder *b, int32_t sum, int64_t count)
{
    int32_t all = tr_build_gather_leaves(b, sum, count);
    build_fold_of(b, all, b->program->tensor.parts, count);
    tr_build_counted(b, TR_OP_CAST, all, count)->buffer[TR_CAST_DST] = sum;
}

void tr_build_fold(struct tr_builder *b, int32_t index)
{
    const struct tr_program *p = b->program;
    enum tr_weight_role role = p->own[tr_build_weight_of(b, index)].role;
    int32_t sum = b->first_sum + index;
    if (b->out_of_memory)
        return;
    int64_t leaves = p->buffer[sum].shape.dim[0], count = tr_shape_count(p->buffer[sum].shape) / leaves;
    if (role == TR_W_WPE && !p->step.apart) /* each position is in one context part */
        tr_build_join_context(b, sum, 1, count, true);
    else if (tr_build_shares_leaves(p, role))
        build_fold_of_ranks(b, sum, count);
    else
        build_fold_of(b, sum, (int32_t)(leaves / tr_parts_owned(p->context)), count);
}

void tr_build_lane_join(struct tr_builder *b, int32_t index)
{
    const struct tr_program *p = b->program;
    int32_t grad = p->first_grad + index;
    const struct tr_shape shape = p->buffer[grad].shape;
    if (b->out_of_memory || p->buffer[grad].bytes == 0)
        return;
    struct tr_program_op *join = tr_build_counted(b, TR_OP_JOIN, grad, tr_shape_count(shape) / shape.dim[0]);
    join->buffer[TR_JOIN_SRC] = grad;
    join->src_slot = 1;
}

static void build_lane_begin(struct tr_builder *b, int32_t chunk)
{
    const struct tr_program *p = b->program;
    begin_section(b, tr_section_of(TR_SECTION_LANE_BEGIN, chunk), TR_PHASE_REDUCE);
    for (int32_t i = 0; i < b->slot_buffers && !tr_build_sums_in_work(p) && !b->out_of_memory; i++)
        if (is_of_chunk(b, i, chunk))
            tr_build_counted(b, TR_OP_ZERO, b->first_sum + i, tr_shape_count(p->buffer[b->first_sum + i].shape));
    end_section(b, tr_section_of(TR_SECTION_LANE_BEGIN, chunk));
}

/* Of a lane that is not the last of the backward pass that STARTs what follows. */
static void build_lane_end(struct tr_builder *b, int32_t chunk)
{
    const struct tr_program *p = b->program;
    bool early = p->has_grad_slices && p->sends_early;
    begin_section(b, tr_section_of(TR_SECTION_LANE_END, chunk), TR_PHASE_REDUCE);
    for (int32_t i = 0; i < b->slot_buffers && !early && !b->out_of_memory; i++)
        if (is_of_chunk(b, i, chunk))
            tr_build_fold(b, i);
    end_section(b, tr_section_of(TR_SECTION_LANE_END, chunk));
}

static void build_round(struct tr_builder *b, int32_t chunk)
{
    const struct tr_program *p = b->program;
    begin_section(b, tr_section_of(TR_SECTION_ROUND, chunk), TR_PHASE_REDUCE);
    for (int32_t i = 0; i < b->slot_buffers && p->has_grad_slices && !p->sends_early && !b->out_of_memory; i++)
        if (is_of_chunk(b, i, chunk))
            tr_build_join_gradient(b, i, TR_COLL_NOW);
    end_section(b, tr_section_of(TR_SECTION_ROUND, chunk));
}

static void build_join(struct tr_builder *b, int32_t chunk)
{
    const struct tr_program *p = b->program;
    begin_section(b, tr_section_of(TR_SECTION_JOIN, chunk), TR_PHASE_REDUCE);
    for (int32_t i = 0; i < b->slot_buffers && p->grad_slots > 1 && !b->out_of_memory; i++)
        if (is_of_chunk(b, i, chunk))
            tr_build_lane_join(b, i);
    end_section(b, tr_section_of(TR_SECTION_JOIN, chunk));
}

static void build_reductions(struct tr_builder *b)
{
    for (int32_t chunk = 0; chunk < b->program->pipe.chunks; chunk++) {
        build_lane_begin(b, chunk);
        build_lane_end(b, chunk);
        build_round(b, chunk);
        build_join(b, chunk);
    }
}

/* ---- the programs ------------------------------------------------------------------------------------------------ */

static enum tr_status begin(struct tr_program *p, struct tr_builder *b, const struct tr_model_config *model,
                            struct tr_err *err)
{
    memset(p, 0, sizeof *p);
    *b = (struct tr_builder){.program = p, .layer = -1};
    p->model = *model;
    tr_arena_init(&p->arena, "step program", (int64_t)1 << 30);
    p->tokens = p->targets = p->starts = p->loss = p->rope_table = p->logits = p->head_panels = -1;
    p->first_weight = p->first_copy = p->first_grad = p->first_m = p->first_v = -1;
    enum tr_status status = tr_model_check(model, model->name, err);
    return status != TR_OK ? status : tr_weights_make(&p->weights, model, err);
}

/* The buffers of all layers; the caller frees them. */
static struct tr_layer_buffers *layer_buffers(const struct tr_builder *b, struct tr_err *err)
{
    struct tr_layer_buffers *layers = calloc((size_t)b->program->model.layers, sizeof *layers);
    if (layers == NULL)
        (void)tr_fail(err, TR_FAILED, "out of memory for the buffers of %d layers", b->program->model.layers);
    return layers;
}

static enum tr_status finish(struct tr_builder *b, struct tr_machine machine, struct tr_err *err)
{
    if (b->out_of_memory)
        return tr_fail(err, TR_FAILED, "out of memory while writing the step program (%d operations, %d buffers; at most "
                       "%d of each)", b->program->op_count, b->program->buffer_count, OPS_MAX);
    return tr_build_place(b, machine, err);
}

enum tr_status tr_program_train(struct tr_program *program, const struct tr_model_config *model,
                                const struct tr_step_config *step, struct tr_machine machine, struct tr_err *err)
{
    struct tr_program p;
    struct tr_builder b;
    enum tr_status status = begin(&p, &b, model, err);
    if (status == TR_OK)
        status = tr_build_check_step(model, step, err);
    if (status != TR_OK)
        goto free_program;
    p.step = *step;
    tr_weights_set_optimizer(&p.weights, step->optimizer);
    p.seqs = step->micro_batch;
    p.seq_len = step->seq_len;
    if ((status = tr_build_place_rank(&b, err)) != TR_OK)
        goto free_program;

    add_weights(&b);
    p.first_m = add_moments(&b, 1, "m");
    p.first_v = add_moments(&b, 2, "v");
    add_gradients(&b);
    if ((status = tr_build_share(&b, err)) != TR_OK)
        goto free_program;
    add_rope_table(&b, step->seq_len);
    p.tokens = add_batch(&b, p.sequences, "tokens");
    p.targets = add_batch(&b, p.sequences, "targets");
    if (step->apart)
        p.starts = add_batch(&b, p.sequences, "starts");

    struct tr_layer_buffers *layers = layer_buffers(&b, err);
    if (layers == NULL) {
        status = TR_FAILED;
        goto free_program;
    }
    build_cast(&b);
    build_chunks(&b, layers);
    build_reductions(&b);
    begin_section(&b, TR_SECTION_UPDATE, TR_PHASE_UPDATE);
    tr_build_update(&b);
    end_section(&b, TR_SECTION_UPDATE);
    build_eval(&b, layers);
    free(layers);
    if ((status = tr_build_schedule(&p, err)) == TR_OK)
        status = finish(&b, machine, err);
free_program:
    if (status == TR_OK)
        *program = p;
    else
        tr_program_free(&p);
    return status;
}

enum tr_status tr_program_eval(struct tr_program *program, const struct tr_model_config *model, enum tr_dtype dtype,
                               enum tr_weight_form form, const struct tr_widths *widths, int64_t seqs, int64_t seq_len, bool apart,
                               struct tr_machine machine, struct tr_err *err)
{
    struct tr_program p;
    struct tr_builder b;
    enum tr_status status = begin(&p, &b, model, err);
    if (status != TR_OK)
        goto free_program;
    p.step = (struct tr_step_config){.dtype = dtype, .form = form, .batch = seqs, .seq_len = seq_len, .micro_batch = seqs,
                                     .widths = {1, widths->context, widths->tensor, widths->vocab}, .apart = apart};
    if ((status = tr_build_check_step(model, &p.step, err)) != TR_OK)
        goto free_program;
    p.seqs = seqs;
    p.seq_len = seq_len;
    if ((status = tr_build_place_rank(&b, err)) != TR_OK)
        goto free_program;
    add_weights(&b);
    add_rope_table(&b, seq_len);
    p.tokens = add_batch(&b, seqs, "tokens");
    p.targets = add_batch(&b, seqs, "targets");
    if (apart)
        p.starts = add_batch(&b, seqs, "starts");
    struct tr_layer_buffers *layers = layer_buffers(&b, err);
    if (layers == NULL) {
        status = TR_FAILED;
        goto free_program;
    }
    build_cast(&b);
    build_eval(&b, layers);
    free(layers);
    status = finish(&b, machine, err);
free_program:
    if (status == TR_OK)
        *program = p;
    else
        tr_program_free(&p);
    return status;
}

static void build_infer(struct tr_builder *b)
{
    struct tr_program *p = b->program;
    begin_section(b, TR_SECTION_INFER, TR_PHASE_FORWARD);
    int32_t x = tr_build_embed(b);
    for (int32_t layer = 0; layer < p->model.layers; layer++) {
        struct tr_layer_buffers buffers;
        tr_build_layer(b, layer, x, &buffers);
        x = buffers.out;
    }
    b->layer = -1;
    struct tr_op last = tr_build_template(b, TR_OP_LAST);
    last.width = p->model.width;
    struct tr_shape shape = {2, {p->seqs, p->model.width}};
    int32_t x_last = tr_build_buffer(b, TR_BUF_ACTIVATION, TR_REGION_WORK, p->step.dtype, shape, "last");
    struct tr_program_op *o = tr_build_op(b, last);
    o->buffer[TR_LAST_X] = x;
    o->buffer[TR_LAST_Y] = x_last;

    p->own_len = p->stream_len = 1; /* from here on one token a sequence */
    int32_t stats;
    int32_t normed = tr_build_norm(b, x_last, TR_W_NORM_GAIN, TR_W_NORM_BIAS, -1, "norm", &stats);
    p->logits = build_logits(b, normed);
    p->own_len = p->stream_len = p->seq_len;
    end_section(b, TR_SECTION_INFER);
}

static int32_t add_caches(struct tr_builder *b, int64_t capacity, const char *letter)
{
    struct tr_program *p = b->program;
    int32_t first = p->buffer_count;
    const struct tr_shape shape = {3, {p->seqs * p->kv_heads, capacity, p->model.head_dim}};
    for (int32_t layer = 0; layer < p->model.layers; layer++)
        tr_build_buffer(b, TR_BUF_CACHE, TR_REGION_CACHE, p->step.dtype, shape, "h.%d.%s_cache", layer, letter);
    return first;
}

enum tr_status tr_program_infer(struct tr_program *program, const struct tr_model_config *model, enum tr_dtype dtype,
                                enum tr_weight_form form, const struct tr_widths *widths, int64_t seqs, int64_t tokens, int64_t capacity,
                                struct tr_machine machine, struct tr_err *err)
{
    struct tr_program p;
    struct tr_builder b;
    enum tr_status status = begin(&p, &b, model, err);
    if (status != TR_OK)
        goto free_program;
    p.step = (struct tr_step_config){.dtype = dtype, .form = form, .batch = seqs, .seq_len = tokens, .micro_batch = seqs,
                                     .widths = {1, 1, widths->tensor, 1}};
    status = tr_build_check_step(model, &p.step, err);
    if (status == TR_OK && (capacity < tokens || capacity > model->positions))
        status = tr_fail(err, TR_BAD_INPUT, "%lld tokens of text are wanted; model %s has positions for %lld",
                         (long long)capacity, model->name, (long long)model->positions);
    if (status != TR_OK)
        goto free_program;
    p.seqs = seqs;
    p.seq_len = tokens;
    if ((status = tr_build_place_rank(&b, err)) != TR_OK)
        goto free_program;
    b.infer = true;
    add_weights(&b);
    add_rope_table(&b, capacity);
    b.first_k_cache = add_caches(&b, capacity, "k");
    b.first_v_cache = add_caches(&b, capacity, "v");
    p.tokens = add_batch(&b, seqs, "tokens");
    build_cast(&b);
    build_infer(&b);
    status = finish(&b, machine, err);
free_program:
    if (status == TR_OK)
        *program = p;
    else
        tr_program_free(&p);
    return status;
}

void tr_program_free(struct tr_program *program)
{
    tr_weights_free(&program->weights);
    free(program->buffer);
    free(program->op);
    free(program->coll);
    free(program->schedule);
    tr_arena_free(&program->arena);
    memset(program, 0, sizeof *program);
}

/* ---- sums over a program ----------------------------------------------------------------------------------------- */

uint32_t tr_program_op_present(const struct tr_program_op *op)
{
    uint32_t present = 0;
    for (int i = 0; i < TR_OP_OPERANDS_MAX; i++)
        if (op->buffer[i] >= 0)
            present |= 1u << i;
    return present;
}

static void add_work(struct tr_work *sum, struct tr_work work)
{
    sum->flop += work.flop;
    sum->read_bytes += work.read_bytes;
    sum->write_bytes += work.write_bytes;
}

/* Of an entry of the schedule. */
static struct tr_work entry_work(const struct tr_program *p, const struct tr_schedule_entry *entry, int64_t position)
{
    struct tr_work sum = {0};
    const struct tr_program_section *s = &p->section[entry->section];
    for (int32_t i = s->first_op; i < s->first_op + s->op_count; i++)
        if (p->op[i].coll < 0 && tr_program_op_runs(p, &p->op[i], entry))
            add_work(&sum, tr_op_work(&p->op[i].op, tr_program_op_present(&p->op[i]), position));
    return sum;
}

struct tr_work tr_program_section_work(const struct tr_program *p, int32_t section, int64_t position)
{
    return entry_work(p, &(struct tr_schedule_entry){.section = section, .last = true}, position);
}

struct tr_work tr_program_step_work(const struct tr_program *p)
{
    struct tr_work section[TR_SECTIONS_MAX][2], sum = {0};
    for (int32_t s = 0; s < p->section_count; s++)
        for (int last = 0; last < 2; last++)
            section[s][last] = entry_work(p, &(struct tr_schedule_entry){.section = s, .last = last}, 0);
    for (int32_t i = 0; i < p->schedule_count; i++)
        if (!p->schedule[i].idle)
            add_work(&sum, section[p->schedule[i].section][p->schedule[i].last]);
    return sum;
}

const char *tr_form_name(enum tr_weight_form form)
{
    static const char *const name[TR_FORM_COUNT] = {"rows", "panels", "int8", "int4"};
    TR_ASSERT((int)form >= 0 && form < TR_FORM_COUNT);
    return name[form];
}

const char *tr_phase_name(enum tr_phase phase)
{
    static const char *const name[TR_PHASE_COUNT] = {"forward", "recompute", "backward", "reduce", "update", "eval", "load"};
    TR_ASSERT((int)phase >= 0 && phase < TR_PHASE_COUNT);
    return name[phase];
}
