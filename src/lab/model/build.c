/* Adding buffers and operations to a step program. */
#include "lab/model/build.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Doubles an array that is full. On lack of memory the builder goes on with what it has and says so at the end. */
static void *grow(struct tr_builder *b, void *array, int32_t count, int32_t *capacity, size_t item_bytes)
{
    if (count < *capacity || b->out_of_memory)
        return array;
    int32_t wanted = *capacity == 0 ? 256 : 2 * *capacity;
    void *larger = wanted > TR_BUILD_MAX ? NULL : realloc(array, (size_t)wanted * item_bytes);
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

void tr_build_begin_section(struct tr_builder *b, int32_t section, enum tr_phase phase)
{
    b->program->section[section].first_op = b->program->op_count;
    b->phase = phase;
    b->layer = -1;
}

void tr_build_end_section(struct tr_builder *b, int32_t section)
{
    b->program->section[section].op_count = b->program->op_count - b->program->section[section].first_op;
}
