#include "base/num.h"
#include "plan/lower/lower.h"

#include <math.h>
#include <string.h>

/* ---- writing the list -------------------------------------------------------------------------------------------- */

struct writer {
    const struct tr_block *b;
    const struct tr_stack *stack;
    enum tr_format format;
    struct tr_lowered *out;
};

static struct tr_step_op *add(struct writer *w, enum tr_step_kind kind, enum tr_step_phase phase, enum tr_part part,
                              const char *name)
{
    TR_ASSERT(w->out->count < TR_LOWERED_MAX);
    struct tr_step_op *op = &w->out->op[w->out->count++];
    *op = (struct tr_step_op){.kind = kind, .phase = phase, .part = part, .name = name, .groups = 1, .kernels = 1};
    return op;
}

struct product {
    const char *name;
    enum tr_part part;
    int64_t m, n, k, groups;
    bool wide;       /* 16 bits */
    bool activation; /* both factors are activations: two gradients of inputs, none of weights */
    bool imbalanced;
    bool scan;
    bool outside;
};

static void one_product(struct writer *w, const struct product *p, enum tr_step_phase phase, int64_t m, int64_t n,
                        int64_t k)
{
    struct tr_step_op *op = add(w, TR_STEP_GEMM, phase, p->part, p->name);
    op->m = m, op->n = n, op->k = k;
    op->groups = p->groups ? p->groups : 1;
    op->wide = p->wide;
    op->imbalanced = p->imbalanced;
    op->scan = p->scan;
    op->outside = p->outside;
    op->accumulates = phase == TR_STEP_WEIGHT;
}

/* Y[m, n] = X[m, k] W[k, n]: dX[m, k] = dY W', dW[k, n] = X' dY. */
static void product(struct writer *w, struct product p)
{
    one_product(w, &p, TR_STEP_FORWARD, p.m, p.n, p.k);
    one_product(w, &p, TR_STEP_INPUT, p.m, p.k, p.n);
    if (p.activation)
        one_product(w, &p, TR_STEP_INPUT, p.k, p.n, p.m);
    else if (!w->b->frozen)
        one_product(w, &p, TR_STEP_WEIGHT, p.n, p.k, p.m);
}

static struct tr_step_op *message(struct writer *w, enum tr_step_phase phase, enum tr_part part, const char *name,
                                  enum tr_collective what, enum tr_mesh mesh, double bytes)
{
    struct tr_step_op *op = add(w, TR_STEP_COLLECTIVE, phase, part, name);
    op->collective = what;
    op->mesh = mesh;
    op->bytes = bytes;
    return op;
}

bool tr_block_when(const struct tr_block *b, const struct tr_stack *stack, enum tr_format format, uint32_t when)
{
    bool narrow = tr_format_info(format)->x_bytes < 2;
    return !((when & TR_WHEN_GATED && !b->gated) || (when & TR_WHEN_PLAIN && b->gated) ||
             (when & TR_WHEN_FP8 && !narrow) || (when & TR_WHEN_ROPE && !b->rope) ||
             (when & TR_WHEN_QK_NORM && !b->qk_norm) || (when & TR_WHEN_TP && b->tp == 1) ||
             (when & TR_WHEN_UNFUSED && stack->attention != TR_ATTENTION_UNFUSED) ||
             (when & TR_WHEN_WIDE && narrow) || (when & TR_WHEN_TRAINED && b->frozen) ||
             (when & TR_WHEN_EXPERT_BIAS && !b->expert_bias));
}

static void passes(struct writer *w, enum tr_part part)
{
    for (int i = 0; i < w->stack->pass_count; i++) {
        const struct tr_stack_pass *p = &w->stack->pass[i];
        double elements = tr_extent_elements(w->b, p->over);
        if (p->part != part || elements == 0 || !tr_block_when(w->b, w->stack, w->format, p->when))
            continue;
        if (p->forward.value > 0) {
            struct tr_step_op *op = add(w, TR_STEP_PASS, TR_STEP_FORWARD, part, p->name);
            op->bytes = p->forward.value * elements;
            op->bytes_grade = p->forward.grade;
            op->kernels = p->kernels;
            op->outside = !tr_extent_is_inside(part, p->over);
        }
        if (p->backward.value > 0) {
            struct tr_step_op *op = add(w, TR_STEP_PASS, TR_STEP_INPUT, part, p->name);
            op->bytes = p->backward.value * elements;
            op->bytes_grade = p->backward.grade;
            op->kernels = p->backward_kernels;
        }
    }
}

/* ---- attention --------------------------------------------------------------------------------------------------- */

/* What goes between the ranks of tp around a pair of products cut by column, then by row. */
static void tensor_messages(struct writer *w, enum tr_part part)
{
    const struct tr_block *b = w->b;
    double bytes = 2.0 * (double)b->tokens * (double)b->width;
    if (b->tp == 1)
        return;
    if (!b->sp) {
        message(w, TR_STEP_FORWARD, part, "sum over tp", TR_COLLECTIVE_ALL_REDUCE, TR_MESH_TP, bytes)->outside = true;
        message(w, TR_STEP_INPUT, part, "sum over tp", TR_COLLECTIVE_ALL_REDUCE, TR_MESH_TP, bytes);
        return;
    }
    /* What only products read is gathered in their format, if that is a narrow one: Transformer Engine
     * (pytorch/distributed.py, gather_along_first_dim) and torchao's float8 tensor parallel. Sums travel in 16 bits. */
    double gathered = bytes / 2 * fmin(2, tr_format_info(w->format)->x_bytes);
    message(w, TR_STEP_FORWARD, part, "gather tokens", TR_COLLECTIVE_ALL_GATHER, TR_MESH_TP, gathered);
    message(w, TR_STEP_FORWARD, part, "scatter tokens", TR_COLLECTIVE_REDUCE_SCATTER, TR_MESH_TP, bytes)->outside = true;
    message(w, TR_STEP_INPUT, part, "gather tokens", TR_COLLECTIVE_ALL_GATHER, TR_MESH_TP, gathered);
    message(w, TR_STEP_INPUT, part, "scatter tokens", TR_COLLECTIVE_REDUCE_SCATTER, TR_MESH_TP, bytes);
    if (!b->frozen) /* the input is kept in pieces and gathered again for the gradient of the weights */
        message(w, TR_STEP_WEIGHT, part, "gather inputs", TR_COLLECTIVE_ALL_GATHER, TR_MESH_TP, gathered);
}

static void ring(struct writer *w, enum tr_step_phase phase, double bytes, int32_t sends)
{
    struct tr_step_op *op = add(w, TR_STEP_SEND, phase, TR_PART_CORE, "ring of keys");
    op->mesh = TR_MESH_CP;
    op->bytes = bytes;
    op->kernels = sends;
    op->under_core = true;
}

static void context_messages(struct writer *w)
{
    const struct tr_block *b = w->b;
    if (b->cp == 1)
        return;
    if (b->context == TR_CONTEXT_ALL_TO_ALL) {
        double bytes = 2 * (tr_extent_elements(b, TR_EXTENT_QKV) + tr_extent_elements(b, TR_EXTENT_HEADS));
        message(w, TR_STEP_FORWARD, TR_PART_CORE, "exchange heads", TR_COLLECTIVE_ALL_TO_ALL, TR_MESH_CP, bytes);
        message(w, TR_STEP_INPUT, TR_PART_CORE, "exchange heads", TR_COLLECTIVE_ALL_TO_ALL, TR_MESH_CP, bytes);
        return;
    }
    double kv = 2.0 * (double)b->tokens * (double)b->kv_heads * (double)(b->dim_qk + b->dim_v) * (b->cp - 1);
    ring(w, TR_STEP_FORWARD, kv, b->cp - 1);
    ring(w, TR_STEP_INPUT, 2 * kv, 2 * (b->cp - 1)); /* their gradients too */
}

static void core(struct writer *w)
{
    const struct tr_block *b = w->b;
    if (w->stack->attention == TR_ATTENTION_UNFUSED) {
        int64_t groups = b->seqs * b->heads;
        product(w, (struct product){.name = "scores",
                                    .part = TR_PART_CORE,
                                    .m = b->queries,
                                    .n = b->keys,
                                    .k = b->dim_qk,
                                    .groups = groups,
                                    .wide = true,
                                    .activation = true});
        product(w, (struct product){.name = "context",
                                    .part = TR_PART_CORE,
                                    .m = b->queries,
                                    .n = b->dim_v,
                                    .k = b->keys,
                                    .groups = groups,
                                    .wide = true,
                                    .activation = true});
    } else {
        int32_t steps = b->cp > 1 && b->context == TR_CONTEXT_RING ? b->cp : 1;
        add(w, TR_STEP_ATTENTION, TR_STEP_FORWARD, TR_PART_CORE, "attention")->kernels = steps;
        add(w, TR_STEP_ATTENTION, TR_STEP_INPUT, TR_PART_CORE, "attention")->kernels = 3 * steps;
    }
    passes(w, TR_PART_CORE);
    context_messages(w);
}

static void attention(struct writer *w)
{
    const struct tr_block *b = w->b;
    int64_t t = b->tokens, qd = b->heads * b->dim_qk, vd = b->heads * b->dim_v;
    passes(w, TR_PART_ATTENTION);
    if (b->kv_rank) {
        int64_t nope = b->dim_qk - b->rope_dim;
        if (b->q_rank) {
            product(w, (struct product){
                           .name = "query down", .part = TR_PART_ATTENTION, .m = t, .n = b->q_rank, .k = b->width});
            product(w,
                    (struct product){.name = "query up", .part = TR_PART_ATTENTION, .m = t, .n = qd, .k = b->q_rank});
        } else {
            product(w, (struct product){.name = "query", .part = TR_PART_ATTENTION, .m = t, .n = qd, .k = b->width});
        }
        product(w, (struct product){.name = "key-value down",
                                    .part = TR_PART_ATTENTION,
                                    .m = t,
                                    .n = b->kv_rank + b->rope_dim,
                                    .k = b->width});
        product(w, (struct product){.name = "key-value up",
                                    .part = TR_PART_ATTENTION,
                                    .m = t,
                                    .n = b->heads * (nope + b->dim_v),
                                    .k = b->kv_rank});
    } else {
        product(w, (struct product){.name = "query-key-value",
                                    .part = TR_PART_ATTENTION,
                                    .m = t,
                                    .n = qd + b->kv_heads * (b->dim_qk + b->dim_v),
                                    .k = b->width});
    }
    core(w);
    product(w, (struct product){.name = "projection", .part = TR_PART_ATTENTION, .m = t, .n = b->width, .k = vd});
    tensor_messages(w, TR_PART_ATTENTION);
}

/* ---- feed-forward ------------------------------------------------------------------------------------------------ */

static void dense(struct writer *w)
{
    const struct tr_block *b = w->b;
    passes(w, TR_PART_FFN);
    product(w, (struct product){.name = b->gated ? "gate and up" : "up",
                                .part = TR_PART_FFN,
                                .m = b->tokens,
                                .n = b->ffn * (b->gated ? 2 : 1),
                                .k = b->width});
    product(w, (struct product){
                   .name = "down", .part = TR_PART_FFN, .m = b->tokens, .n = b->width, .k = b->ffn, .outside = true});
    tensor_messages(w, TR_PART_FFN);
}

static void moe(struct writer *w)
{
    const struct tr_block *b = w->b;
    int64_t each = b->routed > b->local_experts ? b->routed / b->local_experts : 1;
    double sent = 2.0 * (double)b->sent * (double)b->expert_width;
    passes(w, TR_PART_MOE);
    product(
        w,
        (struct product){
            .name = "router", .part = TR_PART_MOE, .m = b->norm_tokens, .n = b->experts, .k = b->width, .wide = true, .outside = true});
    if (b->expert_width != b->width) { /* latent: each rank of tp projects its own tokens */
        product(w, (struct product){
                       .name = "latent down", .part = TR_PART_MOE, .m = b->norm_tokens, .n = b->expert_width, .k = b->width});
        product(w, (struct product){
                       .name = "latent up", .part = TR_PART_MOE, .m = b->norm_tokens, .n = b->width, .k = b->expert_width,
                       .outside = true});
    }
    product(w, (struct product){.name = b->gated ? "experts gate and up" : "experts up",
                                .part = TR_PART_MOE,
                                .m = each,
                                .n = b->expert_ffn * (b->gated ? 2 : 1),
                                .k = b->expert_width,
                                .groups = b->local_experts,
                                .imbalanced = true});
    product(w, (struct product){.name = "experts down",
                                .part = TR_PART_MOE,
                                .m = each,
                                .n = b->expert_width,
                                .k = b->expert_ffn,
                                .groups = b->local_experts,
                                .imbalanced = true,
                                .outside = true});
    for (int phase = TR_STEP_FORWARD; phase <= TR_STEP_INPUT && b->ep > 1; phase++) {
        const int64_t copies = w->stack->dispatch_once ? b->top_k : 0;
        message(w, phase, TR_PART_MOE, "dispatch", TR_COLLECTIVE_ALL_TO_ALL, TR_MESH_EP, sent)->copies = copies;
        struct tr_step_op *combine = message(w, phase, TR_PART_MOE, "combine", TR_COLLECTIVE_ALL_TO_ALL, TR_MESH_EP, sent);
        combine->copies = copies, combine->outside = true;
    }
    /* Without sequence parallel each rank of tp has had its share of the tokens computed, and all need all. */
    for (int phase = TR_STEP_FORWARD; phase <= TR_STEP_INPUT && b->tp > 1 && !b->sp; phase++)
        message(w, phase, TR_PART_MOE, "gather tokens", TR_COLLECTIVE_ALL_GATHER, TR_MESH_TP,
                2.0 * (double)b->tokens * (double)b->width)->outside = true;
    for (int phase = TR_STEP_FORWARD; phase <= TR_STEP_INPUT && b->etp > 1; phase++) {
        double whole = 2.0 * (double)b->routed * (double)b->expert_width;
        message(w, phase, TR_PART_MOE, "gather experts' tokens", TR_COLLECTIVE_ALL_GATHER, TR_MESH_ETP, whole);
        message(w, phase, TR_PART_MOE, "scatter experts' tokens", TR_COLLECTIVE_REDUCE_SCATTER, TR_MESH_ETP, whole)->outside = true;
    }
    if (b->shared_ffn) {
        product(w, (struct product){.name = "shared up",
                                    .part = TR_PART_MOE,
                                    .m = b->tokens,
                                    .n = b->shared_ffn * (b->gated ? 2 : 1),
                                    .k = b->width});
        product(w, (struct product){
                       .name = "shared down", .part = TR_PART_MOE, .m = b->tokens, .n = b->width, .k = b->shared_ffn, .outside = true});
        tensor_messages(w, TR_PART_MOE);
    }
}

/* ---- state space ------------------------------------------------------------------------------------------------- */

/* Mamba-2 in chunks (Dao and Gu 2024, section 6): within a chunk as attention without a softmax, between chunks by states.
 * B and C are a group's, everything else a head's. */
static void scan(struct writer *w)
{
    const struct tr_block *b = w->b;
    int64_t chunks = tr_max_i64(1, b->tokens / TR_SSM_CHUNK), chunk = tr_min_i64(b->tokens, TR_SSM_CHUNK);
    const struct product all[] = {
        {.name = "scan scores", .m = chunk, .n = chunk, .k = b->ssm_state, .groups = chunks * b->ssm_groups},
        {.name = "scan within", .m = chunk, .n = b->ssm_head_dim, .k = chunk, .groups = chunks * b->ssm_heads},
        {.name = "scan states", .m = b->ssm_head_dim, .n = b->ssm_state, .k = chunk, .groups = chunks * b->ssm_heads},
        {.name = "scan across", .m = chunk, .n = b->ssm_head_dim, .k = b->ssm_state, .groups = chunks * b->ssm_heads},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct product p = all[i];
        p.part = TR_PART_SSM;
        p.wide = p.activation = p.scan = true;
        product(w, p);
    }
}

static void state_space(struct writer *w)
{
    const struct tr_block *b = w->b;
    int64_t t = b->tokens, c = b->width, inner = b->ssm_heads * b->ssm_head_dim;
    passes(w, TR_PART_SSM);
    product(w, (struct product){.name = "state in", .part = TR_PART_SSM, .m = t, .n = tr_block_ssm_inputs(b), .k = c});
    scan(w);
    product(w, (struct product){.name = "state out", .part = TR_PART_SSM, .m = t, .n = c, .k = inner});
    tensor_messages(w, TR_PART_SSM);
    if (b->cp > 1) { /* heads against tokens, there and back */
        double bytes = 2 * (tr_extent_elements(b, TR_EXTENT_SSM_CONV) + 2 * tr_extent_elements(b, TR_EXTENT_SSM));
        message(w, TR_STEP_FORWARD, TR_PART_SSM, "exchange heads", TR_COLLECTIVE_ALL_TO_ALL, TR_MESH_CP, bytes);
        message(w, TR_STEP_INPUT, TR_PART_SSM, "exchange heads", TR_COLLECTIVE_ALL_TO_ALL, TR_MESH_CP, bytes);
    }
}

static void head(struct writer *w)
{
    const struct tr_block *b = w->b;
    double bytes = 2.0 * (double)b->tokens * (double)b->width;
    passes(w, TR_PART_HEAD);
    product(w, (struct product){
                   .name = "logits", .part = TR_PART_HEAD, .m = b->tokens, .n = b->vocab, .k = b->width, .wide = true});
    if (b->tp > 1) {
        if (b->sp)
            message(w, TR_STEP_FORWARD, TR_PART_HEAD, "gather tokens", TR_COLLECTIVE_ALL_GATHER, TR_MESH_TP, bytes);
        message(w, TR_STEP_FORWARD, TR_PART_HEAD, "sum of losses", TR_COLLECTIVE_ALL_REDUCE, TR_MESH_TP,
                3 * 4.0 * (double)b->tokens);
        message(w, TR_STEP_INPUT, TR_PART_HEAD, "sum over tp",
                b->sp ? TR_COLLECTIVE_REDUCE_SCATTER : TR_COLLECTIVE_ALL_REDUCE, TR_MESH_TP, bytes);
    }
}

static void embed(struct writer *w)
{
    const struct tr_block *b = w->b;
    passes(w, TR_PART_EMBED);
    if (b->tp > 1)
        message(w, TR_STEP_FORWARD, TR_PART_EMBED, "sum over tp",
                b->sp ? TR_COLLECTIVE_REDUCE_SCATTER : TR_COLLECTIVE_ALL_REDUCE, TR_MESH_TP,
                2.0 * (double)b->tokens * (double)b->width);
}

void tr_lower(const struct tr_block *block, const struct tr_stack *stack, enum tr_format format, struct tr_lowered *out)
{
    struct writer w = {block, stack, format, out};
    out->count = 0;
    if (block->kind == TR_BLOCK_EMBED)
        embed(&w);
    if (block->kind == TR_BLOCK_SSM)
        state_space(&w);
    if (tr_block_has_attention(block->kind))
        attention(&w);
    if (tr_block_has_ffn(block->kind))
        dense(&w);
    if (tr_block_has_experts(block->kind))
        moe(&w);
    if (block->kind == TR_BLOCK_JOIN)
        product(&w, (struct product){.name = "join",
                                     .part = TR_PART_HEAD,
                                     .m = block->tokens,
                                     .n = block->width / block->tp,
                                     .k = 2 * block->width});
    if (block->kind == TR_BLOCK_HEAD)
        head(&w);
}
