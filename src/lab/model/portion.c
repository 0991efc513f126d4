#include "lab/model/portion.h"

#include "base/num.h"

#include <string.h>

static struct tr_parts parts_of(int32_t width, int32_t members, int32_t index)
{
    return (struct tr_parts){width, (int32_t)tr_cut(width, 1, members, index), (int32_t)tr_cut(width, 1, members, index + 1)};
}

struct tr_parts tr_degrees_tensor(const struct tr_degrees *degrees, int32_t width, int32_t index)
{
    return parts_of(width, tr_degrees_of(degrees, TR_GROUP_TENSOR), index);
}

struct tr_parts tr_degrees_context(const struct tr_degrees *degrees, int32_t width, int32_t index)
{
    return parts_of(width, tr_degrees_of(degrees, TR_GROUP_CONTEXT), index);
}

int64_t tr_head_quantum(const struct tr_model_config *c, int32_t tensor_width)
{
    return tensor_width <= c->kv_heads ? (int64_t)c->heads / c->kv_heads * c->head_dim : c->head_dim;
}

static struct tr_portion cut(const struct tr_weight *whole, int32_t axis, int64_t quantum, struct tr_parts tensor)
{
    int64_t n = whole->dim[axis];
    return (struct tr_portion){axis, tr_cut(n, quantum, tensor.parts, tensor.first), tr_cut(n, quantum, tensor.parts, tensor.last)};
}

struct tr_portion tr_portion_of(const struct tr_model_config *c, const struct tr_weight *whole, struct tr_parts tensor)
{
    if (tr_parts_owned(tensor) == tensor.parts)
        return (struct tr_portion){-1, 0, whole->dim[0]};
    switch (whole->role) {
    case TR_W_Q:
    case TR_W_Q_BIAS:
        return cut(whole, 0, tr_head_quantum(c, tensor.parts), tensor);
    case TR_W_K:
    case TR_W_V:
    case TR_W_K_BIAS:
    case TR_W_V_BIAS:
        return cut(whole, 0, c->head_dim, tensor);
    case TR_W_ATTN_OUT:
        return cut(whole, 1, tr_head_quantum(c, tensor.parts), tensor);
    case TR_W_FC:
    case TR_W_FC_BIAS:
    case TR_W_GATE:
    case TR_W_UP:
        return cut(whole, 0, TR_FFN_QUANTUM, tensor);
    case TR_W_DOWN:
        return cut(whole, 1, TR_FFN_QUANTUM, tensor);
    default:
        return (struct tr_portion){-1, 0, whole->dim[0]};
    }
}

struct tr_weight tr_portion_weight(const struct tr_weight *whole, struct tr_portion portion)
{
    struct tr_weight weight = *whole;
    if (portion.axis >= 0)
        weight.dim[portion.axis] = portion.last - portion.first;
    weight.count = weight.dim[0] * weight.dim[1];
    return weight;
}

int64_t tr_portion_run(const struct tr_weight *whole, struct tr_portion portion, int64_t element, int64_t *at)
{
    int64_t columns = whole->dim[1];
    if (portion.axis != 1) {
        *at = (portion.axis < 0 ? 0 : portion.first * columns) + element;
        return (portion.last - portion.first) * columns - element;
    }
    int64_t own = portion.last - portion.first;
    *at = element / own * columns + portion.first + element % own;
    return own - element % own;
}

void tr_portion_take(const struct tr_weight *whole, struct tr_portion portion, struct tr_range range, const float *from_whole, float *to)
{
    for (int64_t n, at, i = range.first; i < range.last; i += n) {
        n = tr_min_i64(tr_portion_run(whole, portion, i, &at), range.last - i);
        memcpy(to + (i - range.first), from_whole + at, (size_t)n * sizeof *to);
    }
}

void tr_portion_put(const struct tr_weight *whole, struct tr_portion portion, struct tr_range range, const float *from, float *to_whole)
{
    for (int64_t n, at, i = range.first; i < range.last; i += n) {
        n = tr_min_i64(tr_portion_run(whole, portion, i, &at), range.last - i);
        memcpy(to_whole + at, from + (i - range.first), (size_t)n * sizeof *from);
    }
}
