/* Blocks: each operation priced once. */
#include "base/fmath.h"
#include "plan/step/step.h"

#include <math.h>
#include <string.h>

static bool is_message(const struct tr_step_op *op)
{
    return op->kind == TR_STEP_COLLECTIVE || op->kind == TR_STEP_SEND;
}

enum tr_term tr_step_op_term(const struct tr_step_op *op)
{
    static const enum tr_term by_kind[TR_STEP_KIND_COUNT] = {
        [TR_STEP_GEMM] = TR_TERM_GEMM, [TR_STEP_ATTENTION] = TR_TERM_ATTENTION, [TR_STEP_PASS] = TR_TERM_PASS};
    if (!is_message(op))
        return by_kind[op->kind];
    return op->mesh == TR_MESH_CP ? TR_TERM_CP : op->mesh == TR_MESH_EP ? TR_TERM_EP : TR_TERM_TP;
}

/* Tensor parallel messages go under products as stores to a neighbour's memory (Transformer Engine's userbuffers, PyTorch's
 * symmetric memory), which links have and networks have not. */
const struct tr_fact *tr_step_op_hidden(const struct tr_site *site, const struct tr_layout *layout, const struct tr_step_op *op)
{
    static const struct tr_fact nothing = {0};
    if (!is_message(op) || (op->mesh == TR_MESH_EP && layout->bare_exchange))
        return &nothing;
    if (op->mesh == TR_MESH_EP)
        return &site->stack->ep_hidden;
    bool tensor = op->mesh == TR_MESH_TP || op->mesh == TR_MESH_ETP;
    return tensor && !tr_mesh_is_across(site, layout, op->mesh) ? &site->stack->tp_hidden : &nothing;
}

/* Of one pass beside its terms: the host's time, what the stack hides of its messages, and how much compute that goes under. */
struct beside {
    double host_s, hidden_s[TR_TERM_COUNT], hidden_error_s, under_s;
};

/* A message over links moves under compute no longer than the links take: what a stack loses of their rate is waiting for other
 * ranks, which ends with the message that all have come to. */
static double under_s(const struct tr_site *site, const struct tr_layout *layout, const struct tr_step_op *op, double hidden_s)
{
    return tr_mesh_is_across(site, layout, op->mesh) ? hidden_s : hidden_s * fmin(1, site->stack->link_share.value);
}

static void price_phase(const struct tr_site *site, const struct tr_block *block, const struct tr_layout *layout,
                        const struct tr_lowered *ops, enum tr_step_phase phase, bool again,
                        double term_s[TR_TERM_COUNT], struct beside *beside, struct tr_block_price *out)
{
    double attention_s = 0, ring_s = 0, error_s = 0;
    double kernels = 0, messages = 0;
    *beside = (struct beside){0};
    memset(term_s, 0, TR_TERM_COUNT * sizeof *term_s);
    for (int i = 0; i < ops->count; i++) {
        const struct tr_step_op *op = &ops->op[i];
        if (op->phase != phase || (again && !tr_step_op_again(site->stack, op)))
            continue;
        struct tr_cost cost = tr_step_op_cost(site, block, layout, op);
        const struct tr_fact *hidden = tr_step_op_hidden(site, layout, op);
        double hidden_s = cost.time_s * hidden->value, seen_s = cost.time_s - hidden_s;
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
        term_s[tr_step_op_term(op)] += seen_s;
        error_s += seen_s * cost.error;
        if (hidden_s > 0) {
            beside->hidden_s[tr_step_op_term(op)] += hidden_s;
            beside->hidden_error_s += hidden_s * cost.error;
            beside->under_s += under_s(site, layout, op, hidden_s);
        }
        out->grade = tr_grade_worse(out->grade, tr_grade_worse(cost.grade, hidden->grade));
    }
    /* The ring's last messages end with attention at best; the first part of attention has nothing to wait for. */
    double window_s = attention_s * (layout->cp - 1) / layout->cp;
    term_s[TR_TERM_CP] += fmax(0, ring_s - window_s) + site->stack->compute_slow.value * fmin(ring_s, window_s);
    beside->host_s = kernels * site->stack->host_kernel_s.value + messages * site->stack->host_message_s.value;
    if (!again)
        out->error_s[phase] = error_s;
}

/* ---- a pass of a block --------------------------------------------------------------------------------------------- */

static double sum(const double term_s[TR_TERM_COUNT])
{
    double s = 0;
    for (int i = 0; i < TR_TERM_COUNT; i++)
        s += term_s[i];
    return s;
}

/* What the host adds to a pass: where it is the slower, the device waits. Within a block now the one is, now the other:
 * near balance both are seen in part (a mean of the fourth order, on the runs of vTrain). */
static double host_wait_s(double host_s, double device_s)
{
    double h = host_s * host_s, d = device_s * device_s;
    return sqrt(sqrt(h * h + d * d)) - device_s;
}

static double compute_s(const double term_s[TR_TERM_COUNT])
{
    return term_s[TR_TERM_GEMM] + term_s[TR_TERM_ATTENTION] + term_s[TR_TERM_PASS];
}

/* Messages hide under the compute of one microbatch forward and backward, be it their own or that of another one that passes
 * it: what the stack hides is at most as long as that, and the rest is seen. */
static void see_what_has_no_room(struct tr_block_price *out, const struct beside beside[TR_STEP_PHASE_COUNT + 1])
{
    double *const term_s[] = {out->forward_s, out->input_s, out->weight_s, out->again_s};
    double hidden_s = 0, room_s = 0;
    for (int i = 0; i < TR_STEP_PHASE_COUNT; i++)
        hidden_s += beside[i].under_s, room_s += compute_s(term_s[i]);
    out->room = hidden_s > room_s ? room_s / hidden_s : 1;
    for (int i = 0; i <= TR_STEP_PHASE_COUNT && out->room < 1; i++) {
        for (int k = 0; k < TR_TERM_COUNT; k++)
            term_s[i][k] += (1 - out->room) * beside[i].hidden_s[k];
        if (i < TR_STEP_PHASE_COUNT)
            out->error_s[i] += (1 - out->room) * beside[i].hidden_error_s;
    }
}

/* Of what the host's time in a block is made of. */
static enum tr_grade host_grade(const struct tr_stack *stack)
{
    return tr_grade_worse(stack->host_kernel_s.grade, tr_grade_worse(stack->host_message_s.grade, stack->host_experts_s.grade));
}

static void price_block(struct tr_block_price *out, const struct tr_site *site, const struct tr_block *block,
                        const struct tr_layout *layout)
{
    enum { AGAIN = TR_STEP_PHASE_COUNT };
    struct tr_lowered ops;
    struct beside beside[TR_STEP_PHASE_COUNT + 1];
    *out = (struct tr_block_price){.grade = host_grade(site->stack)};
    tr_lower(block, site->stack, site->format, &ops);
    price_phase(site, block, layout, &ops, TR_STEP_FORWARD, false, out->forward_s, &beside[TR_STEP_FORWARD], out);
    price_phase(site, block, layout, &ops, TR_STEP_INPUT, false, out->input_s, &beside[TR_STEP_INPUT], out);
    price_phase(site, block, layout, &ops, TR_STEP_WEIGHT, false, out->weight_s, &beside[TR_STEP_WEIGHT], out);
    price_phase(site, block, layout, &ops, TR_STEP_FORWARD, true, out->again_s, &beside[AGAIN], out);
    see_what_has_no_room(out, beside);
    out->weight_pass_s = sum(out->weight_s);
    bool experts = block->kind == TR_BLOCK_MOE || block->kind == TR_BLOCK_EXPERTS;
    double experts_s = experts && !layout->graphs && !site->graphs ? site->stack->host_experts_s.value : 0;
    out->forward_s[TR_TERM_HOST] = host_wait_s(beside[TR_STEP_FORWARD].host_s + experts_s, sum(out->forward_s));
    out->input_s[TR_TERM_HOST] = host_wait_s(beside[TR_STEP_INPUT].host_s + beside[TR_STEP_WEIGHT].host_s + 2 * experts_s,
                                             sum(out->input_s) + out->weight_pass_s);
    out->again_s[TR_TERM_HOST] = host_wait_s(beside[AGAIN].host_s, sum(out->again_s));
    out->forward_pass_s = sum(out->forward_s);
    out->backward_pass_s = sum(out->input_s) + out->weight_pass_s;
    out->again_pass_s = sum(out->again_s);
    out->weights = tr_block_weights(block);
    out->kept = tr_block_kept(block, site->stack, site->format);
}

static enum tr_block_kind layer_kind(const struct tr_shape_layer *layer)
{
    if (layer->ssm)
        return TR_BLOCK_SSM;
    if (layer->attention)
        return layer->experts ? TR_BLOCK_MOE : layer->dense ? TR_BLOCK_DENSE : TR_BLOCK_ATTENTION;
    return layer->experts ? TR_BLOCK_EXPERTS : TR_BLOCK_FFN;
}

void tr_layer_kinds_make(struct tr_layer_kinds *kinds, const struct tr_model_shape *model)
{
    memset(kinds, 0, sizeof *kinds);
    for (int32_t l = 0; l < model->layers; l++) {
        struct tr_shape_layer layer = tr_shape_layer(model, l);
        enum tr_block_kind kind = layer_kind(&layer);
        int64_t window = layer.window;
        int k = 0;
        while (k < kinds->count && !(kinds->kind[k] == kind && kinds->window[k] == window))
            k++;
        if (k == kinds->count) {
            TR_ASSERT(k < TR_LAYER_KINDS_MAX);
            kinds->kind[k] = kind, kinds->window[k] = window;
            kinds->count++;
        }
        kinds->of[l] = (uint8_t)k;
    }
}

static void add_price(struct tr_block_price *sum, const struct tr_block_price *one)
{
    double *const to[] = {sum->forward_s, sum->input_s, sum->weight_s, sum->again_s};
    const double *const from[] = {one->forward_s, one->input_s, one->weight_s, one->again_s};
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < TR_TERM_COUNT; k++)
            to[i][k] += from[i][k];
    sum->forward_pass_s += one->forward_pass_s, sum->backward_pass_s += one->backward_pass_s;
    sum->weight_pass_s += one->weight_pass_s, sum->again_pass_s += one->again_pass_s;
    for (int i = 0; i < TR_STEP_PHASE_COUNT; i++)
        sum->error_s[i] += one->error_s[i];
    sum->weights.cut += one->weights.cut, sum->weights.whole += one->weights.whole;
    sum->weights.expert += one->weights.expert;
    sum->kept.all += one->kept.all, sum->kept.selective += one->kept.selective, sum->kept.full += one->kept.full;
    sum->grade = tr_grade_worse(sum->grade, one->grade);
}

int tr_further_kinds(const struct tr_layer_kinds *kinds, int32_t layers, int out[TR_LAYER_KINDS_MAX])
{
    int last = kinds->of[layers - 1], count = 0;
    bool experts = false;
    for (int k = 0; k < kinds->count; k++)
        experts = experts || kinds->kind[k] == TR_BLOCK_EXPERTS;
    for (int k = 0; k < kinds->count; k++) {
        enum tr_block_kind kind = kinds->kind[k];
        bool whole = k == last && (kind == TR_BLOCK_DENSE || kind == TR_BLOCK_MOE);
        if (whole || kind == TR_BLOCK_ATTENTION || kind == TR_BLOCK_EXPERTS || (kind == TR_BLOCK_FFN && !experts))
            out[count++] = k;
    }
    return count;
}

/* A module for a further token: two widths are joined, then layers, then the head, which is the model's own. */
static void price_further(struct tr_blocks *blocks, const struct tr_site *site, const struct tr_block *join,
                          const struct tr_layout *layout, int32_t layers)
{
    int kind[TR_LAYER_KINDS_MAX], count = tr_further_kinds(&blocks->kinds, layers, kind);
    price_block(&blocks->further, site, join, layout);
    for (int i = 0; i < count; i++)
        add_price(&blocks->further, &blocks->layer[kind[i]]);
    add_price(&blocks->further, &blocks->head);
    blocks->further.weights.cut -= blocks->head.weights.cut;
    blocks->further.weights.whole -= blocks->head.weights.whole;
}

void tr_blocks_make(struct tr_blocks *blocks, const struct tr_site *site, const struct tr_task *task,
                    const struct tr_layout *layout)
{
    struct tr_block block;
    tr_layer_kinds_make(&blocks->kinds, task->model);
    for (int k = 0; k < blocks->kinds.count; k++) {
        tr_block_make(&block, task->model, blocks->kinds.kind[k], blocks->kinds.window[k], layout, &task->batch);
        block.frozen = task->lora_rank > 0;
        price_block(&blocks->layer[k], site, &block, layout);
    }
    tr_block_make(&block, task->model, TR_BLOCK_EMBED, 0, layout, &task->batch);
    block.frozen = task->lora_rank > 0;
    blocks->send_bytes = 2.0 * (double)block.tokens * (double)block.width / layout->tp;
    price_block(&blocks->embed, site, &block, layout);
    block.kind = TR_BLOCK_HEAD;
    price_block(&blocks->head, site, &block, layout);
    blocks->further = (struct tr_block_price){.room = 1};
    if (task->mtp) {
        block.kind = TR_BLOCK_JOIN;
        price_further(blocks, site, &block, layout, task->model->layers);
    }
    blocks->grade = tr_grade_worse(blocks->further.grade, tr_grade_worse(blocks->embed.grade, blocks->head.grade));
    for (int k = 0; k < blocks->kinds.count; k++)
        blocks->grade = tr_grade_worse(blocks->grade, blocks->layer[k].grade);
}
