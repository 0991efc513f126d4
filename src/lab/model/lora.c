/* Adapters in the step program: y + s (x A^T) B^T beside y = x W^T, s = alpha / rank. They are the operations LINEAR*
 * and MIX, whole on every tensor part: an adapter is small. */
#include "lab/model/build.h"

static int64_t columns(const struct tr_builder *b, int32_t buffer) { return b->program->buffer[buffer].shape.dim[1]; }

static struct tr_op product(const struct tr_builder *b, enum tr_op_kind kind, int64_t in, int64_t out)
{
    struct tr_op op = tr_build_template(b, kind);
    op.in = in;
    op.segments = 1;
    op.out[0] = out;
    op.quantum[0] = 1;
    return op;
}

static int32_t adapter(const struct tr_builder *b, enum tr_weight_role first, enum tr_lora_target target)
{
    return tr_build_weight(b, (enum tr_weight_role)(first + (int)target), b->layer);
}

static int32_t adapter_grad(const struct tr_builder *b, enum tr_weight_role first, enum tr_lora_target target)
{
    return tr_build_grad(b, (enum tr_weight_role)(first + (int)target), b->layer);
}

static void build_mix(struct tr_builder *b, int32_t dst, float alpha, int32_t src, float beta)
{
    struct tr_op op = tr_build_template(b, TR_OP_MIX);
    op.count = tr_shape_count(b->program->buffer[dst].shape);
    op.context = tr_all_parts(1);
    op.alpha = alpha;
    op.beta = beta;
    struct tr_program_op *mix = tr_build_op(b, op);
    mix->buffer[TR_MIX_DST] = dst;
    mix->buffer[TR_MIX_SRC] = src;
}

static float scale(const struct tr_builder *b)
{
    const struct tr_lora *lora = &b->program->model.lora;
    return (float)(lora->alpha / lora->rank);
}

int32_t tr_build_lora_low(struct tr_builder *b, enum tr_lora_target target, int32_t x)
{
    int32_t a = adapter(b, TR_W_LORA_A, target);
    if (a < 0)
        return -1;
    int32_t rank = b->program->model.lora.rank;
    int32_t low = tr_build_activation(b, TR_BUF_ACTIVATION, rank, "lora");
    struct tr_program_op *o = tr_build_op(b, product(b, TR_OP_LINEAR, columns(b, x), rank));
    o->buffer[TR_LINEAR_X] = x;
    o->buffer[TR_LINEAR_W] = a;
    o->buffer[TR_LINEAR_Y] = low;
    build_mix(b, low, scale(b), -1, 0.0f);
    return low;
}

int32_t tr_build_lora_high(struct tr_builder *b, enum tr_lora_target target, int32_t low, int32_t y)
{
    if (low < 0)
        return y;
    int32_t sum = tr_build_activation(b, TR_BUF_ACTIVATION, columns(b, y), "lora.sum");
    struct tr_program_op *o = tr_build_op(b, product(b, TR_OP_LINEAR, columns(b, low), columns(b, y)));
    o->buffer[TR_LINEAR_X] = low;
    o->buffer[TR_LINEAR_W] = adapter(b, TR_W_LORA_B, target);
    o->buffer[TR_LINEAR_Y] = sum;
    o->buffer[TR_LINEAR_RESIDUAL] = y;
    return sum;
}

static void build_dw(struct tr_builder *b, int32_t x, int32_t dy, int32_t dw)
{
    struct tr_program_op *o = tr_build_op(b, product(b, TR_OP_LINEAR_DW, columns(b, x), columns(b, dy)));
    o->buffer[TR_LINEAR_DW_X] = x;
    o->buffer[TR_LINEAR_DW_DY] = dy;
    o->buffer[TR_LINEAR_DW_DW] = dw;
}

static int32_t build_dx(struct tr_builder *b, int32_t dy, int32_t w, int64_t in, const char *name)
{
    int32_t dx = tr_build_activation(b, TR_BUF_ACTIVATION_GRAD, in, name);
    struct tr_program_op *o = tr_build_op(b, product(b, TR_OP_LINEAR_DX, in, columns(b, dy)));
    o->buffer[TR_LINEAR_DX_DY] = dy;
    o->buffer[TR_LINEAR_DX_W] = w;
    o->buffer[TR_LINEAR_DX_DX] = dx;
    return dx;
}

void tr_build_lora_backward(struct tr_builder *b, enum tr_lora_target target, int32_t x, int32_t low, int32_t dy, int32_t dx)
{
    if (low < 0)
        return;
    build_dw(b, low, dy, adapter_grad(b, TR_W_LORA_B, target));
    int32_t d_low = build_dx(b, dy, adapter(b, TR_W_LORA_B, target), columns(b, low), "d.lora");
    build_mix(b, d_low, scale(b), -1, 0.0f);
    build_dw(b, x, d_low, adapter_grad(b, TR_W_LORA_A, target));
    build_mix(b, dx, 1.0f, build_dx(b, d_low, adapter(b, TR_W_LORA_A, target), columns(b, x), "d.lora.x"), 1.0f);
}
