/* The memory of the heaviest stage at its peak. */
#include "plan/step/stage.h"

void tr_held_make(struct tr_held *held, const struct tr_site *site, const struct tr_task *task,
                  const struct tr_layout *layout)
{
    const struct tr_stack *stack = site->stack;
    double trained = task->lora_rank ? 0 : 1;
    double mine = 1. / tr_layout_shard(layout), mine_expert = layout->zero ? 1. / tr_layout_expert_dp(layout) : 1;
    /* A pipeline's gradients are summed over replicas once a step (tr_replicas_s): until then they are whole. */
    bool shared = layout->zero == 3 || (layout->zero == 2 && layout->pp == 1);
    *held = (struct tr_held){
        .weight = 2 * (layout->zero == 3 ? mine : 1),
        .weight_expert = 2 * (layout->zero == 3 ? mine_expert : 1),
        .gradient = trained * stack->grad_bytes.value * (shared ? mine : 1),
        .gradient_expert = trained * stack->grad_bytes.value * (shared ? mine_expert : 1),
        .optimizer = trained * stack->master_bytes.value * mine,
        .optimizer_expert = trained * stack->master_bytes.value * mine_expert,
        .alone = trained * stack->alone_bytes.value,
        .gathered = layout->zero == 3 ? 2 * 2 : 0, /* the layer that computes and the next one, in 16 bits */
        .gathers = tr_layout_expert_dp(layout) > 1 ? TR_GATHER_ALL : TR_GATHER_DENSE,
        .buffers = tr_layout_groups(layout) * stack->comm_bytes.value,
        .context = stack->context_bytes.value,
        .loosened = 1 + stack->fragmentation.value};
}

void tr_held_terms(double memory[TR_MEM_COUNT], const struct tr_held *held, const struct tr_load *load, double in_flight)
{
    memory[TR_MEM_WEIGHTS] = held->weight * load->dense + held->weight_expert * load->expert;
    memory[TR_MEM_GRADIENTS] = held->gradient * load->dense + held->gradient_expert * load->expert;
    memory[TR_MEM_OPTIMIZER] = held->optimizer * load->dense + held->optimizer_expert * load->expert;
    memory[TR_MEM_ACTIVATIONS] = in_flight * load->kept + load->transient;
    memory[TR_MEM_LOGITS] = load->logits;
    double loose = 0;
    for (int i = 0; i < TR_MEM_BUFFERS; i++)
        loose += memory[i];
    memory[TR_MEM_BUFFERS] = tr_gathered_bytes(held, load) + held->alone * load->matrix + held->buffers;
    memory[TR_MEM_CONTEXT] = held->context;
    memory[TR_MEM_FRAGMENTATION] = (held->loosened - 1) * loose;
}

void tr_step_memory(const struct tr_stages *stages, const struct tr_site *site, const struct tr_task *task,
                    const struct tr_layout *layout, struct tr_step *out)
{
    struct tr_held held;
    int64_t m = tr_layout_micro_count(layout, &task->batch);
    out->memory_bytes = -1;
    out->memory_error = site->stack->memory_error.value;
    tr_held_make(&held, site, task, layout);
    for (int i = 0; i < stages->load_count; i++) {
        const struct tr_load *load = &stages->load[i];
        double in_flight = tr_layout_in_flight(layout, m, load->index);
        double bytes = tr_held_bytes(&held, load) + tr_waiting_bytes(&held, load, in_flight);
        if (bytes <= out->memory_bytes)
            continue;
        out->memory_bytes = bytes;
        out->heaviest_stage = load->index;
        tr_held_terms(out->memory, &held, load, in_flight);
    }
}
