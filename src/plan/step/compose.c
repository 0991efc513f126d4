/* From priced blocks to a step. */
#include "base/fmath.h"
#include "plan/step/stage.h"

#include <math.h>
#include <string.h>

/* ---- stages ------------------------------------------------------------------------------------------------------ */

static double sum(const double term_s[TR_TERM_COUNT])
{
    double s = 0;
    for (int i = 0; i < TR_TERM_COUNT; i++)
        s += term_s[i];
    return s;
}

static void add_terms(double into[TR_TERM_COUNT], const double term_s[TR_TERM_COUNT], double count)
{
    for (int i = TR_TERM_GEMM; i <= TR_TERM_EP; i++)
        into[i] += count * term_s[i];
}

/* What the host adds to a pass: where it is the slower, the device waits. Within a block now the one is, now the other:
 * near balance both are seen in part (a mean of the fourth order, on the runs of vTrain). */
static double host_wait_s(double host_s, double device_s)
{
    double h = host_s * host_s, d = device_s * device_s;
    return sqrt(sqrt(h * h + d * d)) - device_s;
}

static void add_block(struct tr_stage *stage, const struct tr_block_price *price, double count, double again,
                      enum tr_rerun rerun)
{
    double forward_s = sum(price->forward_s), backward_s = sum(price->input_s) + sum(price->weight_s);
    double again_host_s = host_wait_s(price->forward_host_s, forward_s), core_s = sum(price->core_s);
    add_terms(stage->forward_s, price->forward_s, count);
    add_terms(stage->input_s, price->input_s, count);
    add_terms(stage->weight_s, price->weight_s, count);
    stage->forward_s[TR_TERM_HOST] += count * again_host_s;
    stage->input_s[TR_TERM_HOST] += count * host_wait_s(price->input_host_s + price->weight_host_s, backward_s);
    double error_s = price->error_s[TR_STEP_FORWARD] + price->error_s[TR_STEP_INPUT] + price->error_s[TR_STEP_WEIGHT];
    if (rerun == TR_RERUN_FULL) {
        add_terms(stage->input_s, price->forward_s, again);
        stage->input_s[TR_TERM_HOST] += again * again_host_s;
        stage->error_s += again * price->error_s[TR_STEP_FORWARD];
    } else if (rerun == TR_RERUN_SELECTIVE) {
        add_terms(stage->input_s, price->core_s, count);
        stage->input_s[TR_TERM_HOST] += count * host_wait_s(price->core_host_s, core_s);
    }
    stage->error_s += count * error_s;
    stage->weights.cut += count * price->weights.cut;
    stage->weights.whole += count * price->weights.whole;
    stage->weights.expert += count * price->weights.expert;
    stage->largest = fmax(stage->largest, price->weights.cut + price->weights.whole);
    double kept = rerun == TR_RERUN_FULL        ? again * price->kept.full + (count - again) * price->kept.all
                  : rerun == TR_RERUN_SELECTIVE ? count * price->kept.selective
                                                : count * price->kept.all;
    stage->kept += kept;
    double transient = rerun == TR_RERUN_FULL && again > 0 ? price->kept.all - price->kept.full
                       : rerun == TR_RERUN_SELECTIVE       ? price->kept.all - price->kept.selective
                                                           : 0;
    stage->transient = fmax(stage->transient, transient);
}

void tr_stage_make(struct tr_stage *stage, const struct tr_blocks *blocks, const struct tr_task *task,
                   const struct tr_layout *layout, int32_t index)
{
    double count[TR_LAYER_KINDS_MAX] = {0}, again[TR_LAYER_KINDS_MAX] = {0};
    memset(stage, 0, sizeof *stage);
    for (int32_t v = 0; v < layout->vpp; v++) {
        int32_t chunk = v * layout->pp + index;
        int32_t layers = tr_layout_chunk_layers(layout, task->model->layers, chunk);
        int32_t first = tr_layout_chunk_first(layout, task->model->layers, chunk);
        int32_t rerun = layout->rerun_layers ? layout->rerun_layers : layers;
        for (int32_t l = 0; l < layers; l++) {
            int kind = blocks->kind_of[first + l];
            count[kind] += 1;
            again[kind] += l < rerun;
        }
    }
    for (int k = 0; k < blocks->kinds; k++)
        if (count[k] > 0)
            add_block(stage, &blocks->layer[k], count[k], again[k], layout->rerun);
    if (index == 0)
        add_block(stage, &blocks->embed, 1, 0, TR_RERUN_NONE);
    if (index == layout->pp - 1) {
        double kept = stage->kept;
        add_block(stage, &blocks->head, 1, 0, TR_RERUN_NONE);
        stage->logits = stage->kept - kept;
        stage->kept = kept;
        if (layout->pp == 1 && task->model->tied)
            stage->weights.cut -= blocks->head.weights.cut;
    }
    stage->layers = 0;
    for (int k = 0; k < blocks->kinds; k++)
        stage->layers += count[k];
    stage->forward_total_s = sum(stage->forward_s);
    stage->weight_total_s = sum(stage->weight_s);
    stage->backward_total_s = sum(stage->input_s) + stage->weight_total_s;
}

/* ---- weights and gradients between replicas ---------------------------------------------------------------------- */

/* Exposed part of a message that may run under `window_s` of compute, slowing of the compute included. */
static double exposed(const struct tr_stack *stack, double message_s, double window_s)
{
    return fmax(0, message_s - window_s) + stack->compute_slow.value * fmin(message_s, window_s);
}

static double gradients_s(const struct tr_site *site, const struct tr_layout *layout, const struct tr_stage *stage)
{
    double bytes = (stage->weights.cut + stage->weights.whole) * site->stack->reduce_bytes.value, s = 0;
    enum tr_collective sum_up = layout->zero ? TR_COLLECTIVE_REDUCE_SCATTER : TR_COLLECTIVE_ALL_REDUCE;
    s += tr_mesh_collective(site, layout, TR_MESH_DP, sum_up, bytes).time_s;
    if (layout->zero && layout->shard) /* hybrid: the pieces are summed over the groups */
        s += tr_mesh_collective(site, layout, TR_MESH_REPLICA, TR_COLLECTIVE_ALL_REDUCE, bytes / layout->shard).time_s;
    if (stage->weights.expert > 0)
        s += tr_mesh_collective(site, layout, TR_MESH_EXPERT_DP, sum_up,
                                stage->weights.expert * site->stack->reduce_bytes.value)
                 .time_s;
    return s;
}

static double gather_s(const struct tr_site *site, const struct tr_layout *layout, const struct tr_stage *stage)
{
    double s = tr_mesh_collective(site, layout, TR_MESH_DP, TR_COLLECTIVE_ALL_GATHER,
                                  2 * (stage->weights.cut + stage->weights.whole))
                   .time_s;
    if (stage->weights.expert > 0)
        s += tr_mesh_collective(site, layout, TR_MESH_EXPERT_DP, TR_COLLECTIVE_ALL_GATHER, 2 * stage->weights.expert)
                 .time_s;
    return s;
}

/* Once a step, after the last microbatch. */
static double ends_s(const struct tr_site *site, const struct tr_task *task, const struct tr_layout *layout,
                     const struct tr_stage *stage, int64_t micro_count)
{
    const struct tr_stack *stack = site->stack;
    double trained = task->lora_rank ? 0 : 1, s = 0;
    if (layout->zero < 2 || layout->pp > 1 || task->lora_rank)
        s += trained *
             exposed(stack, gradients_s(site, layout, stage), stack->dp_hidden.value * stage->backward_total_s);
    else /* each microbatch: only the piece of a rank is kept */
        s += (double)micro_count *
             exposed(stack, gradients_s(site, layout, stage), stack->dp_hidden.value * stage->backward_total_s);
    if (layout->zero == 1 || layout->zero == 2)
        s += trained *
             exposed(stack, gather_s(site, layout, stage), stack->gather_hidden.value * stage->forward_total_s);
    return s;
}

/* FSDP: each pass of each microbatch gathers the weights of a layer while the one before computes. */
static double sharded_s(const struct tr_site *site, const struct tr_task *task, const struct tr_layout *layout,
                        const struct tr_stage *stage, int64_t micro_count)
{
    const struct tr_stack *stack = site->stack;
    double gather = gather_s(site, layout, stage), reduce = task->lora_rank ? 0 : gradients_s(site, layout, stage);
    double first = gather / (stage->layers + 1); /* nothing to hide under */
    double forward = exposed(stack, gather, stack->gather_hidden.value * stage->forward_total_s);
    double backward = exposed(stack, gather + reduce, stack->dp_hidden.value * stage->backward_total_s);
    return (double)micro_count * (fmax(first, forward) + fmax(first, backward));
}

static double update_s(const struct tr_site *site, const struct tr_task *task, const struct tr_layout *layout,
                       const struct tr_stage *stage)
{
    if (task->lora_rank)
        return 0;
    double params = (stage->weights.cut + stage->weights.whole) / tr_layout_shard(layout) +
                    stage->weights.expert / (layout->zero ? tr_layout_expert_dp(layout) : 1);
    return tr_cost_pass(&site->rates, params * site->stack->update_bytes.value, 4).time_s /
           site->stack->memory_share.value;
}

/* ---- the pipeline ------------------------------------------------------------------------------------------------ */

/* What one of the other stages adds once, of its F + B and W. */
static double once_s(const struct tr_layout *layout, const struct tr_stage *stage)
{
    double whole = stage->forward_total_s + stage->backward_total_s, w = stage->weight_total_s;
    switch (layout->pipeline) {
    case TR_PIPELINE_ZERO_BUBBLE:
        return fmax(0, whole - 2 * w);
    case TR_PIPELINE_ZERO_BUBBLE_2P:
        return fmax(0, whole - 3 * w);
    case TR_PIPELINE_INTERLEAVED:
        return whole / layout->vpp;
    case TR_PIPELINE_GPIPE:
    case TR_PIPELINE_1F1B:
    default:
        return whole;
    }
}

struct slowest {
    struct tr_stage stage;
    int32_t index;
    double others_s; /* once */
};

static void find_slowest(struct slowest *slowest, const struct tr_blocks *blocks, const struct tr_task *task,
                         const struct tr_layout *layout)
{
    double longest = -1, all = 0;
    for (int32_t i = 0; i < layout->pp; i++) {
        struct tr_stage stage;
        tr_stage_make(&stage, blocks, task, layout, i);
        all += once_s(layout, &stage);
        double s = stage.forward_total_s + stage.backward_total_s;
        if (s > longest) {
            longest = s;
            slowest->stage = stage;
            slowest->index = i;
        }
    }
    slowest->others_s = all - once_s(layout, &slowest->stage);
}

static double sends_s(const struct tr_site *site, const struct tr_blocks *blocks, const struct tr_layout *layout,
                      int64_t micro_count)
{
    if (layout->pp == 1)
        return 0;
    double one = tr_mesh_send(site, layout, TR_MESH_PP, blocks->send_bytes, 1).time_s;
    double steady = 2.0 * one * (double)micro_count * layout->vpp * (1 - site->stack->p2p_hidden.value);
    return steady + 2.0 * one * (layout->pp - 1);
}

/* How much later the slowest of many nodes is than their mean: a * sqrt(L) * L / (L + 1) with L doublings of one node, the
 * form that SimuMax found on its clusters. */
static double straggling(const struct tr_site *site, const struct tr_layout *layout)
{
    double nodes = (double)tr_layout_chips(layout) / (double)site->system->chips_per_node;
    double doublings = nodes > 1 ? tr_log(nodes) / tr_log(2) : 0;
    return site->stack->straggle.value * sqrt(doublings) * doublings / (doublings + 1);
}

void tr_step_compose(const struct tr_blocks *blocks, const struct tr_site *site, const struct tr_task *task,
                     const struct tr_layout *layout, struct tr_step *out)
{
    struct slowest slow;
    int64_t m = tr_layout_micro_count(layout, &task->batch);
    find_slowest(&slow, blocks, task, layout);
    memset(out, 0, sizeof *out);
    const struct tr_stage *stage = &slow.stage;
    for (int i = 0; i < TR_TERM_COUNT; i++)
        out->term_s[i] = (double)m * (stage->forward_s[i] + stage->input_s[i] + stage->weight_s[i]);
    out->term_s[TR_TERM_BUBBLE] = slow.others_s;
    /* A last group of microbatches that does not fill the chunks of an interleaved pipeline. */
    if (layout->pipeline == TR_PIPELINE_INTERLEAVED && m % layout->pp)
        out->term_s[TR_TERM_BUBBLE] += (layout->vpp - 1.0) * (layout->pp - (double)(m % layout->pp)) *
                                       (stage->forward_total_s + stage->backward_total_s) / layout->vpp;
    out->term_s[TR_TERM_PP] = sends_s(site, blocks, layout, m);
    out->term_s[TR_TERM_DP] =
        layout->zero == 3 ? sharded_s(site, task, layout, stage, m) : ends_s(site, task, layout, stage, m);
    out->term_s[TR_TERM_UPDATE] = update_s(site, task, layout, stage);
    out->term_s[TR_TERM_HOST] += site->stack->host_step_s.value;
    out->term_s[TR_TERM_STRAGGLE] = sum(out->term_s) * straggling(site, layout);
    out->time_s = sum(out->term_s);
    out->slowest_stage = slow.index;
    double operations = (double)m * stage->error_s / out->time_s, software = site->stack->error.value;
    out->error = fmax(operations, software);
    out->model_flop = tr_model_flop_step(task);
    double peak = site->system->chip.rate_flop_s[tr_format_info(site->format)->rate].value;
    out->mfu = out->model_flop / (out->time_s * peak * (double)tr_layout_chips(layout));
    out->tokens_s = (double)(task->batch.global_batch * task->batch.seq_len) / out->time_s;
    out->grade = blocks->layer[0].grade;
    tr_step_memory(blocks, site, task, layout, out);
}

enum tr_status tr_step_price(const struct tr_site *site, const struct tr_task *task, const struct tr_layout *layout,
                             struct tr_step *out, struct tr_err *err)
{
    struct tr_blocks blocks;
    enum tr_status status = tr_layout_check(layout, task->model, &task->batch, err);
    if (status != TR_OK)
        return status;
    tr_blocks_make(&blocks, site, task, layout);
    tr_step_compose(&blocks, site, task, layout, out);
    return TR_OK;
}

double tr_model_flop_step(const struct tr_task *task)
{
    double tokens = (double)(task->batch.global_batch * task->batch.seq_len);
    return tr_shape_flop_per_token(task->model, task->batch.seq_len) * tokens;
}

static const char *const term_names[TR_TERM_COUNT] = {
    "matrix products", "attention", "memory passes", "tensor parallel", "context parallel", "expert parallel", "host",
    "bubble", "pipeline sends", "data parallel", "optimiser", "stragglers"};
static const char *const mem_names[TR_MEM_COUNT] = {"weights", "gradients", "optimiser", "activations", "logits",
                                                    "buffers", "context", "fragmentation"};

const char *tr_term_name(enum tr_term term)
{
    TR_ASSERT((int)term >= 0 && term < TR_TERM_COUNT);
    return term_names[term];
}

const char *tr_mem_name(enum tr_mem mem)
{
    TR_ASSERT((int)mem >= 0 && mem < TR_MEM_COUNT);
    return mem_names[mem];
}
