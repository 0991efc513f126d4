/* The passes through the model: forward and backward of each chunk of layers, evaluation, inference. */
#include "lab/model/build.h"

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

/* Returns the residual stream after the chunk's layers, each of which leaves its buffers in b->layers[layer]. */
static int32_t build_layers(struct tr_builder *b, int32_t chunk, int32_t x)
{
    struct tr_range range = tr_build_chunk_layers(b, chunk);
    for (int32_t layer = (int32_t)range.first; layer < range.last; layer++) {
        tr_build_enter(b, layer + 1 < range.last || is_head_ahead(b) ? layer + 1 : TR_PART_NONE, false);
        tr_build_layer(b, layer, x, &b->layers[layer]);
        x = b->layers[layer].out;
    }
    b->layer = -1;
    return x;
}

/* Returns the stream, of which the last chunk's backward turn goes on. */
static int32_t build_forward(struct tr_builder *b, int32_t chunk)
{
    bool sends = !tr_build_is_last(b, chunk);
    tr_build_begin_section(b, tr_section_of(TR_SECTION_FORWARD, chunk), TR_PHASE_FORWARD);
    if (sends)
        tr_build_sent(b, TR_WAY_FORWARD, -1);
    int32_t x = build_layers(b, chunk, build_chunk_input(b, chunk));
    if (sends) {
        tr_build_mail(b, TR_WAY_FORWARD, x);
        tr_build_send(b, TR_WAY_FORWARD, x);
    }
    tr_build_end_section(b, tr_section_of(TR_SECTION_FORWARD, chunk));
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

static void build_layers_backward(struct tr_builder *b, int32_t chunk, int32_t stream)
{
    struct tr_range range = tr_build_chunk_layers(b, chunk);
    for (int32_t layer = (int32_t)range.last - 1; layer >= range.first; layer--) {
        tr_build_enter(b, layer - 1, true);
        tr_build_part_begin(b, layer);
        if (b->program->step.recompute == TR_RECOMPUTE_FULL) {
            b->phase = TR_PHASE_RECOMPUTE;
            tr_build_layer(b, layer, b->layers[layer].in, &b->layers[layer]);
            b->phase = TR_PHASE_BACKWARD;
        }
        b->layer = layer;
        tr_build_layer_backward(b, &b->layers[layer], stream);
        tr_build_part_end(b, layer);
    }
    b->layer = -1;
}

static void build_backward(struct tr_builder *b, int32_t chunk, int32_t x)
{
    bool sends = !tr_build_is_first(b, chunk);
    tr_build_begin_section(b, tr_section_of(TR_SECTION_BACKWARD, chunk), TR_PHASE_BACKWARD);
    if (sends)
        tr_build_sent(b, TR_WAY_BACKWARD, -1);
    int32_t stream = tr_build_is_last(b, chunk) ? build_loss(b, x) : build_gradient_input(b, chunk);
    build_layers_backward(b, chunk, stream);
    if (sends) {
        tr_build_mail(b, TR_WAY_BACKWARD, stream);
        tr_build_send(b, TR_WAY_BACKWARD, stream);
    } else {
        tr_build_part_begin(b, -1);
        build_embed_backward(b, stream);
        tr_build_part_end(b, -1);
    }
    tr_build_passed(b, sends ? (int32_t)tr_build_chunk_layers(b, chunk).first : -1);
    tr_build_end_section(b, tr_section_of(TR_SECTION_BACKWARD, chunk));
}

void tr_build_chunks(struct tr_builder *b)
{
    for (int32_t chunk = 0; chunk < b->program->pipe.chunks; chunk++)
        build_backward(b, chunk, build_forward(b, chunk));
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

void tr_build_eval(struct tr_builder *b)
{
    tr_build_begin_section(b, TR_SECTION_EVAL, TR_PHASE_EVAL);
    for (int32_t chunk = 0; chunk < b->program->pipe.chunks; chunk++) {
        int32_t x = build_layers(b, chunk, build_chunk_input(b, chunk));
        if (tr_build_is_last(b, chunk)) {
            build_eval_loss(b, x);
            continue;
        }
        tr_build_send(b, TR_WAY_FORWARD, x);
        tr_build_sent(b, TR_WAY_FORWARD, x);
    }
    tr_build_end_section(b, TR_SECTION_EVAL);
}



void tr_build_infer(struct tr_builder *b)
{
    struct tr_program *p = b->program;
    tr_build_begin_section(b, TR_SECTION_INFER, TR_PHASE_FORWARD);
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
    tr_build_end_section(b, TR_SECTION_INFER);
}
