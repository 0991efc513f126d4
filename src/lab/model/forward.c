/* The forward pass of both families as operations. A feature of the config adds or leaves out an op or an operand;
 * there is no second code path. */
#include "lab/model/build.h"

static bool is_gpt2(const struct tr_builder *b) { return b->program->model.family == TR_GPT2; }

/* The tensor parts of a product that this rank has. The gradient of a row parallel one's bias sums over tokens instead, which it has
 * all of, as its `part` are sequence parts. */
static struct tr_parts parts_of(const struct tr_builder *b, const struct tr_op *op)
{
    bool sequence = op->kind == TR_OP_LINEAR_DW && (op->flags & TR_OP_ROW_PARALLEL);
    return sequence ? tr_all_parts(b->program->step.widths.tensor) : b->program->tensor;
}

/* How segment `i` of the product is cut: the whole axis, and in multiples of what. */
static void cut_segment(const struct tr_builder *b, struct tr_op *op, int i, int64_t whole, int64_t quantum)
{
    op->quantum[i] = quantum;
    op->part = parts_of(b, op);
    op->whole[i] = tr_parts_owned(op->part) < op->part.parts ? whole : 0;
}

static int64_t q_quantum(const struct tr_builder *b) { return tr_head_quantum(&b->program->model, b->program->step.widths.tensor); }

struct tr_op tr_build_qkv_op(const struct tr_builder *b, enum tr_op_kind kind)
{
    const struct tr_program *p = b->program;
    const struct tr_model_config *c = &p->model;
    struct tr_op op = tr_build_template(b, kind);
    op.in = c->width;
    op.segments = 3;
    op.out[0] = (int64_t)p->heads * c->head_dim;
    op.out[1] = op.out[2] = (int64_t)p->kv_heads * c->head_dim;
    cut_segment(b, &op, 0, (int64_t)c->heads * c->head_dim, q_quantum(b));
    for (int i = 1; i < op.segments; i++)
        cut_segment(b, &op, i, (int64_t)c->kv_heads * c->head_dim, c->head_dim);
    return op;
}

struct tr_op tr_build_attn_out_op(const struct tr_builder *b, enum tr_op_kind kind)
{
    const struct tr_program *p = b->program;
    const struct tr_model_config *c = &p->model;
    struct tr_op op = tr_build_template(b, kind);
    op.flags = TR_OP_ROW_PARALLEL;
    op.in = (int64_t)p->heads * c->head_dim;
    op.segments = 1;
    op.out[0] = c->width;
    cut_segment(b, &op, 0, (int64_t)c->heads * c->head_dim, q_quantum(b));
    return op;
}

struct tr_op tr_build_ffn_in_op(const struct tr_builder *b, enum tr_op_kind kind)
{
    const struct tr_model_config *c = &b->program->model;
    struct tr_op op = tr_build_template(b, kind);
    op.in = c->width;
    op.segments = is_gpt2(b) ? 1 : 2;
    for (int i = 0; i < op.segments; i++) {
        op.out[i] = b->program->ffn;
        cut_segment(b, &op, i, c->ffn, TR_FFN_QUANTUM);
    }
    return op;
}

struct tr_op tr_build_ffn_out_op(const struct tr_builder *b, enum tr_op_kind kind)
{
    const struct tr_model_config *c = &b->program->model;
    struct tr_op op = tr_build_template(b, kind);
    op.flags = TR_OP_ROW_PARALLEL;
    op.in = b->program->ffn;
    op.segments = 1;
    op.out[0] = c->width;
    cut_segment(b, &op, 0, c->ffn, TR_FFN_QUANTUM);
    return op;
}

static struct tr_op norm_op(const struct tr_builder *b, enum tr_op_kind kind, int64_t width, int32_t heads)
{
    struct tr_op op = tr_build_template(b, kind);
    op.flags = is_gpt2(b) ? 0 : TR_OP_RMS;
    op.width = width;
    op.heads = heads;
    op.eps = b->program->model.norm_eps;
    op.part = tr_all_parts(b->program->step.widths.tensor);
    return op;
}

struct tr_op tr_build_norm_op(const struct tr_builder *b, enum tr_op_kind kind)
{
    const struct tr_program *p = b->program;
    struct tr_op op = norm_op(b, kind, p->model.width, 1);
    if (!p->step.place.degrees.sequence)
        return op;
    op.seq_len = p->stream_len;
    op.whole_seq_len = p->seq_len;
    op.part = p->tensor;
    return op;
}

struct tr_op tr_build_head_norm_op(const struct tr_builder *b, enum tr_op_kind kind, bool keys)
{
    const struct tr_program *p = b->program;
    struct tr_op op = norm_op(b, kind, p->model.head_dim, keys ? p->kv_heads : p->heads);
    if (!tr_build_shares_parts(p))
        return op;
    op.part = op.heads == 1 ? tr_all_parts(1) : p->tensor; /* with one head `part` would cut tokens */
    op.whole[0] = op.heads == 1 ? 0 : keys ? p->model.kv_heads : p->model.heads;
    return op;
}

struct tr_op tr_build_rope_op(const struct tr_builder *b, int32_t heads)
{
    struct tr_op op = tr_build_whole_template(b, TR_OP_ROPE);
    op.heads = heads;
    op.head_dim = b->program->model.head_dim;
    op.positions = b->program->buffer[b->program->rope_table].shape.dim[0];
    return op;
}

struct tr_op tr_build_attn_op(const struct tr_builder *b, enum tr_op_kind kind)
{
    const struct tr_program *p = b->program;
    struct tr_op op = tr_build_whole_template(b, kind);
    op.heads = p->attn_kv_heads * (p->model.heads / p->model.kv_heads);
    op.kv_heads = p->attn_kv_heads;
    op.head_dim = p->model.head_dim;
    op.positions = p->seq_len;
    return op;
}

int32_t tr_build_embed(struct tr_builder *b)
{
    struct tr_program *p = b->program;
    struct tr_op op = tr_build_template(b, TR_OP_EMBED);
    op.width = p->model.width;
    op.vocab = p->model.vocab;
    op.positions = p->model.positions;
    int32_t y = tr_build_activation(b, TR_BUF_ACTIVATION, op.width, "embed");
    int32_t tokens = tr_build_own_tokens(b, p->tokens, "tokens");
    int32_t starts = op.flags & TR_OP_APART ? tr_build_own_tokens(b, p->starts, "starts") : -1;
    struct tr_program_op *e = tr_build_op(b, op);
    e->buffer[TR_EMBED_START] = starts;
    e->buffer[TR_EMBED_TOKENS] = tokens;
    e->buffer[TR_EMBED_WTE] = tr_build_weight(b, TR_W_WTE, -1);
    e->buffer[TR_EMBED_WPE] = tr_build_weight(b, TR_W_WPE, -1);
    e->buffer[TR_EMBED_Y] = y;
    return tr_build_take_stream(b, TR_BUF_ACTIVATION, y, "stream");
}

static int32_t build_norm_with(struct tr_builder *b, struct tr_op op, int32_t x, enum tr_weight_role gain,
                               enum tr_weight_role bias, const char *name, int32_t *stats)
{
    int32_t y = tr_build_rows(b, TR_BUF_ACTIVATION, op.seq_len, op.width * op.heads, name);
    struct tr_shape shape = {2, {op.seqs * op.seq_len * op.heads, 2}};
    *stats = tr_build_buffer(b, TR_BUF_ACTIVATION, TR_REGION_WORK, TR_F32, shape, "h.%d.%s.stats", b->layer, name);
    struct tr_program_op *n = tr_build_op(b, op);
    n->buffer[TR_NORM_X] = x;
    n->buffer[TR_NORM_GAIN] = tr_build_weight(b, gain, b->layer);
    n->buffer[TR_NORM_BIAS] = bias == TR_W_ROLE_COUNT ? -1 : tr_build_weight(b, bias, b->layer);
    n->buffer[TR_NORM_Y] = y;
    n->buffer[TR_NORM_STATS] = *stats;
    return y;
}

int32_t tr_build_norm(struct tr_builder *b, int32_t x, enum tr_weight_role gain, enum tr_weight_role bias,
                      int32_t layer, const char *name, int32_t *stats)
{
    b->layer = layer;
    return build_norm_with(b, tr_build_norm_op(b, TR_OP_NORM), x, gain, bias, name, stats);
}

static void build_rope(struct tr_builder *b, int32_t x, int32_t heads)
{
    struct tr_program_op *r = tr_build_op(b, tr_build_rope_op(b, heads));
    r->buffer[TR_ROPE_X] = x;
    r->buffer[TR_ROPE_TABLE] = b->program->rope_table;
}

/* y with the adapter's share of it, when the target has one. */
static int32_t add_adapter(struct tr_builder *b, struct tr_layer_buffers *l, enum tr_lora_target target, int32_t x,
                           int32_t y)
{
    l->lora[target] = tr_build_lora_low(b, target, x);
    return tr_build_lora_high(b, target, l->lora[target], y);
}

/* What op.weight of a product in panels is. */
static enum tr_dtype panel_type(const struct tr_program *p)
{
    return p->step.form == TR_FORM_INT8 ? TR_INT8 : p->step.form == TR_FORM_INT4 ? TR_INT4 : p->step.dtype;
}

struct tr_op tr_build_in_panels(const struct tr_builder *b, struct tr_op op)
{
    if (b->program->step.form == TR_FORM_ROWS)
        return op;
    op.kind = TR_OP_LINEAR_PACKED;
    op.weight = panel_type(b->program);
    return op;
}

static void build_qkv(struct tr_builder *b, struct tr_layer_buffers *l)
{
    const struct tr_model_config *c = &b->program->model;
    struct tr_op op = tr_build_in_panels(b, tr_build_qkv_op(b, TR_OP_LINEAR));
    int32_t x = tr_build_gather_stream(b, TR_BUF_ACTIVATION, l->norm1, "norm1.whole");
    l->q = tr_build_activation(b, TR_BUF_ACTIVATION, op.out[0], "q");
    l->k = tr_build_activation(b, TR_BUF_ACTIVATION, op.out[1], "k");
    l->v = tr_build_activation(b, TR_BUF_ACTIVATION, op.out[2], "v");
    struct tr_program_op *qkv = tr_build_op(b, op);
    qkv->buffer[TR_LINEAR_X] = x;
    static const enum tr_weight_role weight[3] = {TR_W_Q, TR_W_K, TR_W_V};
    static const enum tr_weight_role bias[3] = {TR_W_Q_BIAS, TR_W_K_BIAS, TR_W_V_BIAS};
    const int32_t y[3] = {l->q, l->k, l->v};
    for (int i = 0; i < 3; i++) {
        qkv->buffer[TR_LINEAR_W + i] = tr_build_weight(b, weight[i], b->layer);
        qkv->buffer[TR_LINEAR_B + i] = tr_build_weight(b, bias[i], b->layer);
        qkv->buffer[TR_LINEAR_Y + i] = y[i];
    }
    l->q = add_adapter(b, l, TR_LORA_Q, x, l->q);
    l->k = add_adapter(b, l, TR_LORA_K, x, l->k);
    l->v = add_adapter(b, l, TR_LORA_V, x, l->v);
    l->q_normed = l->q;
    l->k_normed = l->k;
    l->q_stats = l->k_stats = -1;
    if (c->qk_norm) {
        l->q_normed = build_norm_with(b, tr_build_head_norm_op(b, TR_OP_NORM, false), l->q, TR_W_Q_NORM,
                                      TR_W_ROLE_COUNT, "q_norm", &l->q_stats);
        l->k_normed = build_norm_with(b, tr_build_head_norm_op(b, TR_OP_NORM, true), l->k, TR_W_K_NORM,
                                      TR_W_ROLE_COUNT, "k_norm", &l->k_stats);
    }
}

/* From here on to the end of attention a rank has all tokens of its heads. */
static void build_heads(struct tr_builder *b, struct tr_layer_buffers *l)
{
    const struct tr_model_config *c = &b->program->model;
    const struct tr_op op = tr_build_attn_op(b, TR_OP_ATTN);
    l->q_heads = tr_build_to_heads(b, TR_BUF_ACTIVATION, l->q_normed, op.heads / op.kv_heads * op.head_dim, "q.heads");
    l->k_heads = tr_build_to_heads(b, TR_BUF_ACTIVATION, l->k_normed, op.head_dim, "k.heads");
    l->v_heads = tr_build_to_heads(b, TR_BUF_ACTIVATION, l->v, op.head_dim, "v.heads");
    if (tr_has_rope(c)) {
        build_rope(b, l->q_heads, op.heads);
        build_rope(b, l->k_heads, op.kv_heads);
    }
}

static int32_t build_cache_append(struct tr_builder *b, int32_t x, int32_t cache)
{
    struct tr_program *p = b->program;
    struct tr_op op = tr_build_template(b, TR_OP_KV_APPEND);
    op.kv_heads = p->kv_heads;
    op.head_dim = p->model.head_dim;
    op.positions = p->buffer[cache].shape.dim[1];
    struct tr_program_op *append = tr_build_op(b, op);
    append->buffer[TR_KV_APPEND_X] = x;
    append->buffer[TR_KV_APPEND_CACHE] = cache;
    return cache;
}

static void build_attention(struct tr_builder *b, struct tr_layer_buffers *l)
{
    struct tr_program *p = b->program;
    int32_t k = l->k_heads, v = l->v_heads;
    struct tr_op op = tr_build_attn_op(b, TR_OP_ATTN);
    if (b->infer) {
        k = build_cache_append(b, k, b->first_k_cache + b->layer);
        v = build_cache_append(b, v, b->first_v_cache + b->layer);
        op.flags |= TR_OP_BY_HEAD;
        op.positions = p->buffer[k].shape.dim[1];
    }
    l->attn_heads = tr_build_rows(b, TR_BUF_ACTIVATION, p->seq_len, (int64_t)op.heads * op.head_dim, "attn");
    struct tr_shape shape = {3, {op.seqs * op.seq_len, op.heads, 2}};
    l->attn_stats = tr_build_buffer(b, TR_BUF_ACTIVATION, TR_REGION_WORK, TR_F32, shape, "h.%d.attn.stats", b->layer);
    struct tr_program_op *attn = tr_build_op(b, op);
    attn->buffer[TR_ATTN_Q] = l->q_heads;
    attn->buffer[TR_ATTN_K] = k;
    attn->buffer[TR_ATTN_V] = v;
    attn->buffer[TR_ATTN_O] = l->attn_heads;
    attn->buffer[TR_ATTN_STATS] = l->attn_stats;
    l->attn = tr_build_to_tokens(b, TR_BUF_ACTIVATION, l->attn_heads, op.heads / op.kv_heads * op.head_dim, "attn.tokens");
}

/* A projection back into the residual stream: stream + x w^T + bias. */
static int32_t build_into_stream(struct tr_builder *b, struct tr_op op, int32_t x, enum tr_weight_role weight,
                                 enum tr_weight_role bias, int32_t stream, const char *name)
{
    bool shared = tr_build_shares_parts(b->program);
    int32_t bias_buffer = tr_build_weight(b, bias, b->layer);
    int32_t y = shared ? tr_build_parts_sum(b, op.out[0], name) : tr_build_activation(b, TR_BUF_ACTIVATION, op.out[0], name);
    struct tr_program_op *linear = tr_build_op(b, tr_build_in_panels(b, op));
    linear->buffer[TR_LINEAR_X] = x;
    linear->buffer[TR_LINEAR_W] = tr_build_weight(b, weight, b->layer);
    linear->buffer[TR_LINEAR_Y] = y;
    if (shared)
        return tr_build_parts_end(b, TR_BUF_ACTIVATION, op.out[0], y, bias_buffer, stream, name);
    linear->buffer[TR_LINEAR_B] = bias_buffer;
    linear->buffer[TR_LINEAR_RESIDUAL] = stream;
    return y;
}

int32_t tr_build_act(struct tr_builder *b, int32_t gate, int32_t up)
{
    struct tr_op op = tr_build_template(b, is_gpt2(b) ? TR_OP_GELU : TR_OP_SWIGLU);
    op.width = b->program->ffn;
    int32_t y = tr_build_activation(b, TR_BUF_ACTIVATION, op.width, "act");
    struct tr_program_op *act = tr_build_op(b, op);
    if (is_gpt2(b)) {
        act->buffer[TR_GELU_X] = gate;
        act->buffer[TR_GELU_Y] = y;
    } else {
        act->buffer[TR_SWIGLU_GATE] = gate;
        act->buffer[TR_SWIGLU_UP] = up;
        act->buffer[TR_SWIGLU_Y] = y;
    }
    return y;
}

static void build_ffn(struct tr_builder *b, struct tr_layer_buffers *l)
{
    struct tr_op op = tr_build_in_panels(b, tr_build_ffn_in_op(b, TR_OP_LINEAR));
    int32_t x = tr_build_gather_stream(b, TR_BUF_ACTIVATION, l->norm2, "norm2.whole");
    l->gate = tr_build_activation(b, TR_BUF_ACTIVATION, op.out[0], is_gpt2(b) ? "fc" : "gate");
    l->up = is_gpt2(b) ? -1 : tr_build_activation(b, TR_BUF_ACTIVATION, op.out[1], "up");
    struct tr_program_op *in = tr_build_op(b, op);
    in->buffer[TR_LINEAR_X] = x;
    in->buffer[TR_LINEAR_W] = tr_build_weight(b, is_gpt2(b) ? TR_W_FC : TR_W_GATE, b->layer);
    in->buffer[TR_LINEAR_B] = tr_build_weight(b, TR_W_FC_BIAS, b->layer);
    in->buffer[TR_LINEAR_Y] = l->gate;
    if (!is_gpt2(b)) {
        in->buffer[TR_LINEAR_W + 1] = tr_build_weight(b, TR_W_UP, b->layer);
        in->buffer[TR_LINEAR_Y + 1] = l->up;
    }
    l->lora[TR_LORA_FC] = l->lora[TR_LORA_GATE] = l->lora[TR_LORA_UP] = -1;
    l->gate = add_adapter(b, l, is_gpt2(b) ? TR_LORA_FC : TR_LORA_GATE, x, l->gate);
    if (!is_gpt2(b))
        l->up = add_adapter(b, l, TR_LORA_UP, x, l->up);

    l->act = tr_build_act(b, l->gate, l->up);
}

void tr_build_layer(struct tr_builder *b, int32_t layer, int32_t in, struct tr_layer_buffers *l)
{
    b->layer = layer;
    l->in = in;
    l->norm1 = tr_build_norm(b, in, TR_W_NORM1_GAIN, TR_W_NORM1_BIAS, layer, "norm1", &l->stats1);
    build_qkv(b, l);
    build_heads(b, l);
    build_attention(b, l);
    l->mid = build_into_stream(b, tr_build_attn_out_op(b, TR_OP_LINEAR), l->attn, TR_W_ATTN_OUT, TR_W_ATTN_OUT_BIAS,
                               in, "mid");
    l->mid = add_adapter(b, l, TR_LORA_O, l->attn, l->mid);
    l->norm2 = tr_build_norm(b, l->mid, TR_W_NORM2_GAIN, TR_W_NORM2_BIAS, layer, "norm2", &l->stats2);
    build_ffn(b, l);
    l->lora[TR_LORA_DOWN] = tr_build_lora_low(b, TR_LORA_DOWN, l->act);
    l->out = -1;
    if (b->phase == TR_PHASE_RECOMPUTE) /* the backward pass does not need its own output again */
        return;
    l->out = build_into_stream(b, tr_build_ffn_out_op(b, TR_OP_LINEAR), l->act, TR_W_DOWN, TR_W_DOWN_BIAS, l->mid,
                               "out");
    l->out = tr_build_lora_high(b, TR_LORA_DOWN, l->lora[TR_LORA_DOWN], l->out);
}
