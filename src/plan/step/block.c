/* Blocks: each operation priced once. */
#include "base/fmath.h"
#include "plan/step/step.h"

#include <math.h>
#include <string.h>

static bool is_message(const struct tr_step_op *op)
{
    return op->kind == TR_STEP_COLLECTIVE || op->kind == TR_STEP_SEND;
}

static enum tr_term term_of(const struct tr_step_op *op)
{
    static const enum tr_term by_kind[TR_STEP_KIND_COUNT] = {
        [TR_STEP_GEMM] = TR_TERM_GEMM, [TR_STEP_ATTENTION] = TR_TERM_ATTENTION, [TR_STEP_PASS] = TR_TERM_PASS};
    if (!is_message(op))
        return by_kind[op->kind];
    return op->mesh == TR_MESH_CP ? TR_TERM_CP : op->mesh == TR_MESH_EP ? TR_TERM_EP : TR_TERM_TP;
}

/* What the stack hides of a message under other work. */
static double hidden_share(const struct tr_stack *stack, const struct tr_step_op *op)
{
    if (!is_message(op))
        return 0;
    return op->mesh == TR_MESH_EP ? stack->ep_hidden.value : op->mesh == TR_MESH_TP ? stack->tp_hidden.value : 0;
}

static void price_phase(const struct tr_site *site, const struct tr_block *block, const struct tr_layout *layout,
                        const struct tr_lowered *ops, enum tr_step_phase phase, bool core_only,
                        double term_s[TR_TERM_COUNT], double *host_s, struct tr_block_price *out)
{
    double attention_s = 0, ring_s = 0, error_s = 0;
    double kernels = 0, messages = 0;
    memset(term_s, 0, TR_TERM_COUNT * sizeof *term_s);
    for (int i = 0; i < ops->count; i++) {
        const struct tr_step_op *op = &ops->op[i];
        if (op->phase != phase || (core_only && op->part != TR_PART_CORE))
            continue;
        struct tr_cost cost = tr_step_op_cost(site, block, layout, op);
        double seen_s = cost.time_s * (1 - hidden_share(site->stack, op));
        /* The hosts of all ranks must have come to a message: the slowest of more is later. */
        if (is_message(op))
            messages += op->kernels * tr_log((double)tr_mesh_ranks(layout, op->mesh)) / tr_log(2);
        else
            kernels += op->kernels;
        if (op->under_core) {
            ring_s += cost.time_s;
            continue;
        }
        if (op->part == TR_PART_CORE && !is_message(op))
            attention_s += cost.time_s;
        term_s[term_of(op)] += seen_s;
        error_s += seen_s * cost.error;
        if (cost.grade > out->grade)
            out->grade = cost.grade;
    }
    /* The ring's last messages end with attention at best; the first part of attention has nothing to wait for. */
    double window_s = attention_s * (layout->cp - 1) / layout->cp;
    term_s[TR_TERM_CP] += fmax(0, ring_s - window_s) + site->stack->compute_slow.value * fmin(ring_s, window_s);
    *host_s = kernels * site->stack->host_kernel_s.value + messages * site->stack->host_message_s.value;
    if (!core_only)
        out->error_s[phase] = error_s;
}

static void price_block(struct tr_block_price *out, const struct tr_site *site, const struct tr_block *block,
                        const struct tr_layout *layout)
{
    struct tr_lowered ops;
    *out = (struct tr_block_price){.grade = TR_GRADE_MEASURED};
    tr_lower(block, site->stack, site->format, &ops);
    price_phase(site, block, layout, &ops, TR_STEP_FORWARD, false, out->forward_s, &out->forward_host_s, out);
    price_phase(site, block, layout, &ops, TR_STEP_INPUT, false, out->input_s, &out->input_host_s, out);
    price_phase(site, block, layout, &ops, TR_STEP_WEIGHT, false, out->weight_s, &out->weight_host_s, out);
    price_phase(site, block, layout, &ops, TR_STEP_FORWARD, true, out->core_s, &out->core_host_s, out);
    out->weights = tr_block_weights(block);
    out->kept = tr_block_kept(block, site->stack, site->format);
}

/* The kind of layer l: with experts or not, with a window or not. */
static void layer_kind(const struct tr_model_shape *model, int32_t l, enum tr_block_kind *kind, int64_t *window)
{
    bool moe = model->experts > 0 && l >= model->dense_layers && (l - model->dense_layers) % model->moe_every == 0;
    *kind = moe ? TR_BLOCK_MOE : TR_BLOCK_DENSE;
    *window = model->window && (model->window_every == 0 || l % model->window_every != 0) ? model->window : 0;
}

void tr_blocks_make(struct tr_blocks *blocks, const struct tr_site *site, const struct tr_task *task,
                    const struct tr_layout *layout)
{
    const struct tr_model_shape *model = task->model;
    struct tr_block block, seen[TR_LAYER_KINDS_MAX];
    memset(blocks, 0, sizeof *blocks);
    for (int32_t l = 0; l < model->layers; l++) {
        enum tr_block_kind kind;
        int64_t window;
        int k = 0;
        layer_kind(model, l, &kind, &window);
        while (k < blocks->kinds && !(seen[k].kind == kind && seen[k].window == window))
            k++;
        if (k == blocks->kinds) {
            TR_ASSERT(k < TR_LAYER_KINDS_MAX);
            tr_block_make(&block, model, kind, window, layout, &task->batch);
            block.frozen = task->lora_rank > 0;
            seen[k] = block;
            price_block(&blocks->layer[k], site, &block, layout);
            blocks->kinds++;
        }
        blocks->kind_of[l] = (uint8_t)k;
    }
    tr_block_make(&block, model, TR_BLOCK_EMBED, 0, layout, &task->batch);
    block.frozen = task->lora_rank > 0;
    blocks->send_bytes = 2.0 * (double)block.tokens * (double)block.width / layout->tp;
    price_block(&blocks->embed, site, &block, layout);
    block.kind = TR_BLOCK_HEAD;
    price_block(&blocks->head, site, &block, layout);
}

bool tr_blocks_same(const struct tr_layout *a, const struct tr_layout *b)
{
    return a->tp == b->tp && a->sp == b->sp && a->cp == b->cp && a->ep == b->ep && a->etp == b->etp &&
           a->context == b->context && a->micro_batch == b->micro_batch;
}
