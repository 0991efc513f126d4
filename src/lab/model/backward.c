/* The backward pass of one layer. `stream` holds the gradient of the residual stream and is changed in place: each
 * branch reads it, sends it backwards and adds the branch's share at its norm. */
#include "lab/model/build.h"

/* dx of a product, into a new buffer. */
static int32_t build_dx(struct tr_builder *b, struct tr_op op, const int32_t dy[3], const enum tr_weight_role weight[3],
                        const char *name)
{
    bool shared = tr_build_shares_parts(b->program) && !(op.flags & TR_OP_ROW_PARALLEL);
    int32_t dx = shared ? tr_build_parts_sum(b, op.in, name) : tr_build_activation(b, TR_BUF_ACTIVATION_GRAD, op.in, name);
    struct tr_program_op *o = tr_build_op(b, op);
    for (int i = 0; i < op.segments; i++) {
        o->buffer[TR_LINEAR_DX_DY + i] = dy[i];
        o->buffer[TR_LINEAR_DX_W + i] = tr_build_weight(b, weight[i], b->layer);
    }
    o->buffer[TR_LINEAR_DX_DX] = dx;
    return shared ? tr_build_parts_end(b, TR_BUF_ACTIVATION_GRAD, op.in, dx, -1, -1, name) : dx;
}

/* The weights of a product are trained all or none. */
static void build_dw(struct tr_builder *b, struct tr_op op, int32_t x, const int32_t dy[3],
                     const enum tr_weight_role weight[3], const enum tr_weight_role bias[3])
{
    if (tr_build_grad(b, weight[0], b->layer) < 0)
        return;
    struct tr_program_op *o = tr_build_op(b, op);
    o->buffer[TR_LINEAR_DW_X] = x;
    for (int i = 0; i < op.segments; i++) {
        o->buffer[TR_LINEAR_DW_DY + i] = dy[i];
        o->buffer[TR_LINEAR_DW_DW + i] = tr_build_grad(b, weight[i], b->layer);
        o->buffer[TR_LINEAR_DW_DB + i] = bias == NULL ? -1 : tr_build_grad(b, bias[i], b->layer);
    }
}

static void build_norm_backward(struct tr_builder *b, struct tr_op op, int32_t x, int32_t stats, int32_t dy, int32_t dx,
                                enum tr_weight_role gain, enum tr_weight_role bias)
{
    struct tr_program_op *o = tr_build_op(b, op);
    o->buffer[TR_NORM_BWD_X] = x;
    o->buffer[TR_NORM_BWD_GAIN] = tr_build_weight(b, gain, b->layer);
    o->buffer[TR_NORM_BWD_STATS] = stats;
    o->buffer[TR_NORM_BWD_DY] = dy;
    o->buffer[TR_NORM_BWD_DX] = dx;
    o->buffer[TR_NORM_BWD_DGAIN] = tr_build_grad(b, gain, b->layer);
    o->buffer[TR_NORM_BWD_DBIAS] = bias == TR_W_ROLE_COUNT ? -1 : tr_build_grad(b, bias, b->layer);
}

static void build_stream_norm_backward(struct tr_builder *b, int32_t x, int32_t stats, int32_t dy, int32_t stream,
                                       enum tr_weight_role gain, enum tr_weight_role bias)
{
    struct tr_op op = tr_build_norm_op(b, TR_OP_NORM_BWD);
    op.flags |= TR_OP_ADD_DX;
    build_norm_backward(b, op, x, stats, dy, stream, gain, bias);
}

/* ---- inputs of products that were not kept ---- */

/* Whether a gradient needs what the layer's product of `weight` (and of others beside it) read: its own, or those of the
 * adapters [target, last]. */
static bool is_input_needed(const struct tr_builder *b, const struct tr_layer_buffers *l, enum tr_weight_role weight,
                            enum tr_lora_target target, enum tr_lora_target last)
{
    bool needed = tr_build_grad(b, weight, b->layer) >= 0;
    for (int i = (int)target; i <= (int)last; i++)
        needed = needed || l->lora[i] >= 0;
    return needed;
}

static int32_t act_again(struct tr_builder *b, const struct tr_layer_buffers *l)
{
    if (b->program->step.recompute != TR_RECOMPUTE_ELEMENTWISE ||
        !is_input_needed(b, l, TR_W_DOWN, TR_LORA_DOWN, TR_LORA_DOWN))
        return l->act;
    b->phase = TR_PHASE_RECOMPUTE;
    int32_t act = tr_build_act(b, l->gate, l->up);
    b->phase = TR_PHASE_BACKWARD;
    return act;
}

/* The output of a norm, all tokens of it. */
static int32_t norm_again(struct tr_builder *b, int32_t x, int32_t kept, bool needed, enum tr_weight_role gain,
                          enum tr_weight_role bias, const char *name)
{
    int32_t stats;
    if (!needed)
        return kept;
    if (b->program->step.recompute == TR_RECOMPUTE_ELEMENTWISE) {
        b->phase = TR_PHASE_RECOMPUTE;
        kept = tr_build_norm(b, x, gain, bias, b->layer, name, &stats);
        b->phase = TR_PHASE_BACKWARD;
    }
    return tr_build_gather_stream(b, TR_BUF_ACTIVATION, kept, name);
}

static void build_ffn_backward(struct tr_builder *b, const struct tr_layer_buffers *l, int32_t stream)
{
    bool gpt2 = b->program->model.family == TR_GPT2;
    const int32_t d_out = tr_build_gather_stream(b, TR_BUF_ACTIVATION_GRAD, stream, "d.out"), d_stream[3] = {d_out, -1, -1};
    static const enum tr_weight_role down[3] = {TR_W_DOWN}, down_bias[3] = {TR_W_DOWN_BIAS};
    int32_t d_act = build_dx(b, tr_build_ffn_out_op(b, TR_OP_LINEAR_DX), d_stream, down, "d.act");
    const int32_t act_y = act_again(b, l);
    build_dw(b, tr_build_ffn_out_op(b, TR_OP_LINEAR_DW), act_y, d_stream, down, down_bias);
    tr_build_lora_backward(b, TR_LORA_DOWN, act_y, l->lora[TR_LORA_DOWN], d_out, d_act);

    struct tr_op act = tr_build_template(b, gpt2 ? TR_OP_GELU_BWD : TR_OP_SWIGLU_BWD);
    act.width = b->program->ffn;
    int32_t d_gate = tr_build_activation(b, TR_BUF_ACTIVATION_GRAD, act.width, gpt2 ? "d.fc" : "d.gate");
    int32_t d_up = gpt2 ? -1 : tr_build_activation(b, TR_BUF_ACTIVATION_GRAD, act.width, "d.up");
    struct tr_program_op *o = tr_build_op(b, act);
    if (gpt2) {
        o->buffer[TR_GELU_BWD_X] = l->gate;
        o->buffer[TR_GELU_BWD_DY] = d_act;
        o->buffer[TR_GELU_BWD_DX] = d_gate;
    } else {
        o->buffer[TR_SWIGLU_BWD_GATE] = l->gate;
        o->buffer[TR_SWIGLU_BWD_UP] = l->up;
        o->buffer[TR_SWIGLU_BWD_DY] = d_act;
        o->buffer[TR_SWIGLU_BWD_DGATE] = d_gate;
        o->buffer[TR_SWIGLU_BWD_DUP] = d_up;
    }

    const int32_t d_in[3] = {d_gate, d_up, -1};
    static const enum tr_weight_role fc[3] = {TR_W_FC}, gate_up[3] = {TR_W_GATE, TR_W_UP};
    static const enum tr_weight_role fc_bias[3] = {TR_W_FC_BIAS};
    const enum tr_weight_role *in = gpt2 ? fc : gate_up;
    int32_t d_norm = build_dx(b, tr_build_ffn_in_op(b, TR_OP_LINEAR_DX), d_in, in, "d.norm2");
    const int32_t norm2 = norm_again(b, l->mid, l->norm2, is_input_needed(b, l, in[0], TR_LORA_FC, TR_LORA_UP),
                                     TR_W_NORM2_GAIN, TR_W_NORM2_BIAS, "norm2");
    build_dw(b, tr_build_ffn_in_op(b, TR_OP_LINEAR_DW), norm2, d_in, in, gpt2 ? fc_bias : NULL);
    tr_build_lora_backward(b, TR_LORA_FC, norm2, l->lora[TR_LORA_FC], d_gate, d_norm);
    tr_build_lora_backward(b, TR_LORA_GATE, norm2, l->lora[TR_LORA_GATE], d_gate, d_norm);
    tr_build_lora_backward(b, TR_LORA_UP, norm2, l->lora[TR_LORA_UP], d_up, d_norm);
    build_stream_norm_backward(b, l->mid, l->stats2, d_norm, stream, TR_W_NORM2_GAIN, TR_W_NORM2_BIAS);
}

static void build_rope_backward(struct tr_builder *b, int32_t dx, int32_t heads)
{
    struct tr_op op = tr_build_rope_op(b, heads);
    op.flags |= TR_OP_INVERSE;
    struct tr_program_op *o = tr_build_op(b, op);
    o->buffer[TR_ROPE_X] = dx;
    o->buffer[TR_ROPE_TABLE] = b->program->rope_table;
}

/* Query or key norm: returns the gradient before the norm. */
static int32_t build_head_norm_backward(struct tr_builder *b, int32_t x, int32_t stats, int32_t dy, bool keys, const char *name)
{
    struct tr_op op = tr_build_head_norm_op(b, TR_OP_NORM_BWD, keys);
    int32_t dx = tr_build_activation(b, TR_BUF_ACTIVATION_GRAD, op.width * op.heads, name);
    build_norm_backward(b, op, x, stats, dy, dx, keys ? TR_W_K_NORM : TR_W_Q_NORM, TR_W_ROLE_COUNT);
    return dx;
}

static void build_attention_backward(struct tr_builder *b, const struct tr_layer_buffers *l, int32_t stream)
{
    const struct tr_model_config *c = &b->program->model;
    const int32_t d_mid = tr_build_gather_stream(b, TR_BUF_ACTIVATION_GRAD, stream, "d.mid"), d_stream[3] = {d_mid, -1, -1};
    static const enum tr_weight_role out[3] = {TR_W_ATTN_OUT}, out_bias[3] = {TR_W_ATTN_OUT_BIAS};
    int32_t d_attn = build_dx(b, tr_build_attn_out_op(b, TR_OP_LINEAR_DX), d_stream, out, "d.attn");
    build_dw(b, tr_build_attn_out_op(b, TR_OP_LINEAR_DW), l->attn, d_stream, out, out_bias);
    tr_build_lora_backward(b, TR_LORA_O, l->attn, l->lora[TR_LORA_O], d_mid, d_attn);

    struct tr_op op = tr_build_attn_op(b, TR_OP_ATTN_BWD);
    int64_t kv_width = (int64_t)op.kv_heads * op.head_dim, q_columns = op.heads / op.kv_heads * op.head_dim;
    int32_t d_heads = tr_build_to_heads(b, TR_BUF_ACTIVATION_GRAD, d_attn, q_columns, "d.attn.heads");
    int32_t d_q = tr_build_rows(b, TR_BUF_ACTIVATION_GRAD, op.seq_len, (int64_t)op.heads * op.head_dim, "d.q");
    int32_t d_k = tr_build_rows(b, TR_BUF_ACTIVATION_GRAD, op.seq_len, kv_width, "d.k");
    int32_t d_v = tr_build_rows(b, TR_BUF_ACTIVATION_GRAD, op.seq_len, kv_width, "d.v");
    struct tr_program_op *o = tr_build_op(b, op);
    o->buffer[TR_ATTN_BWD_Q] = l->q_heads;
    o->buffer[TR_ATTN_BWD_K] = l->k_heads;
    o->buffer[TR_ATTN_BWD_V] = l->v_heads;
    o->buffer[TR_ATTN_BWD_O] = l->attn_heads;
    o->buffer[TR_ATTN_BWD_STATS] = l->attn_stats;
    o->buffer[TR_ATTN_BWD_DO] = d_heads;
    o->buffer[TR_ATTN_BWD_DQ] = d_q;
    o->buffer[TR_ATTN_BWD_DK] = d_k;
    o->buffer[TR_ATTN_BWD_DV] = d_v;

    if (tr_has_rope(c)) {
        build_rope_backward(b, d_q, op.heads);
        build_rope_backward(b, d_k, op.kv_heads);
    }
    d_q = tr_build_to_tokens(b, TR_BUF_ACTIVATION_GRAD, d_q, q_columns, "d.q.tokens");
    d_k = tr_build_to_tokens(b, TR_BUF_ACTIVATION_GRAD, d_k, op.head_dim, "d.k.tokens");
    d_v = tr_build_to_tokens(b, TR_BUF_ACTIVATION_GRAD, d_v, op.head_dim, "d.v.tokens");
    if (c->qk_norm) {
        d_q = build_head_norm_backward(b, l->q, l->q_stats, d_q, false, "d.q_raw");
        d_k = build_head_norm_backward(b, l->k, l->k_stats, d_k, true, "d.k_raw");
    }
    const int32_t d_qkv[3] = {d_q, d_k, d_v};
    static const enum tr_weight_role qkv[3] = {TR_W_Q, TR_W_K, TR_W_V};
    static const enum tr_weight_role qkv_bias[3] = {TR_W_Q_BIAS, TR_W_K_BIAS, TR_W_V_BIAS};
    int32_t d_norm = build_dx(b, tr_build_qkv_op(b, TR_OP_LINEAR_DX), d_qkv, qkv, "d.norm1");
    const int32_t norm1 = norm_again(b, l->in, l->norm1, is_input_needed(b, l, TR_W_Q, TR_LORA_Q, TR_LORA_V),
                                     TR_W_NORM1_GAIN, TR_W_NORM1_BIAS, "norm1");
    build_dw(b, tr_build_qkv_op(b, TR_OP_LINEAR_DW), norm1, d_qkv, qkv, qkv_bias);
    for (int i = 0; i < 3; i++)
        tr_build_lora_backward(b, (enum tr_lora_target)(TR_LORA_Q + i), norm1, l->lora[TR_LORA_Q + i], d_qkv[i],
                               d_norm);
    build_stream_norm_backward(b, l->in, l->stats1, d_norm, stream, TR_W_NORM1_GAIN, TR_W_NORM1_BIAS);
}

void tr_build_layer_backward(struct tr_builder *b, const struct tr_layer_buffers *l, int32_t stream)
{
    build_ffn_backward(b, l, stream);
    build_attention_backward(b, l, stream);
}
