/* The memory of the heaviest stage at its peak. */
#include "plan/step/stage.h"

#include <math.h>
#include <string.h>

static void stage_memory(double memory[TR_MEM_COUNT], const struct tr_stage *stage, const struct tr_site *site,
                         const struct tr_task *task, const struct tr_layout *layout, int32_t index)
{
    const struct tr_stack *stack = site->stack;
    double dense = stage->weights.cut + stage->weights.whole, expert = stage->weights.expert, all = dense + expert;
    double shard = tr_layout_shard(layout), expert_shard = layout->zero ? tr_layout_expert_dp(layout) : 1;
    double mine = dense / shard + expert / expert_shard, trained = task->lora_rank ? 0 : 1;
    int64_t m = tr_layout_micro_count(layout, &task->batch);
    memset(memory, 0, TR_MEM_COUNT * sizeof *memory);
    memory[TR_MEM_WEIGHTS] = 2 * (layout->zero == 3 ? mine : all);
    memory[TR_MEM_GRADIENTS] = trained * stack->grad_bytes.value * (layout->zero >= 2 ? mine : all);
    memory[TR_MEM_OPTIMIZER] = trained * stack->master_bytes.value * mine;
    memory[TR_MEM_ACTIVATIONS] = tr_layout_in_flight(layout, m, index) * stage->kept + stage->transient;
    memory[TR_MEM_LOGITS] = stage->logits;
    if (layout->zero == 3) /* the layer that computes and the next one, gathered */
        memory[TR_MEM_BUFFERS] += 2 * 2 * stage->largest;
    int groups =
        (layout->tp > 1) + (layout->cp > 1) + (layout->ep > 1) + (layout->pp > 1) + (layout->dp * layout->cp > 1);
    memory[TR_MEM_BUFFERS] += groups * stack->comm_bytes.value;
    double sum = 0;
    for (int i = 0; i < TR_MEM_BUFFERS; i++)
        sum += memory[i];
    memory[TR_MEM_FRAGMENTATION] = stack->fragmentation.value * sum;
    memory[TR_MEM_CONTEXT] = stack->context_bytes.value;
}

void tr_step_memory(const struct tr_blocks *blocks, const struct tr_site *site, const struct tr_task *task,
                    const struct tr_layout *layout, struct tr_step *out)
{
    out->memory_bytes = -1;
    for (int32_t i = 0; i < layout->pp; i++) {
        struct tr_stage stage;
        double memory[TR_MEM_COUNT], sum = 0;
        tr_stage_make(&stage, blocks, task, layout, i);
        stage_memory(memory, &stage, site, task, layout, i);
        for (int k = 0; k < TR_MEM_COUNT; k++)
            sum += memory[k];
        if (sum <= out->memory_bytes)
            continue;
        out->memory_bytes = sum;
        out->heaviest_stage = i;
        memcpy(out->memory, memory, sizeof memory);
    }
}
