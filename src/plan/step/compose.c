/* From priced blocks to a step. */
#include "base/fmath.h"
#include "plan/step/stage.h"

#include <string.h>

/* ---- weights and gradients between replicas ---------------------------------------------------------------------- */

static struct tr_cost gradients_cost(const struct tr_site *site, const struct tr_layout *layout, const struct tr_stage *stage)
{
    const struct tr_fact *of = &site->stack->reduce_bytes;
    double bytes = (stage->weights.cut + stage->weights.whole) * of->value;
    enum tr_collective sum_up = layout->zero ? TR_COLLECTIVE_REDUCE_SCATTER : TR_COLLECTIVE_ALL_REDUCE;
    struct tr_cost cost = tr_mesh_collective(site, layout, TR_MESH_DP, sum_up, bytes);
    if (layout->zero && layout->shard) /* hybrid: the pieces are summed over the groups */
        cost = tr_cost_add(cost, tr_mesh_collective(site, layout, TR_MESH_REPLICA, TR_COLLECTIVE_ALL_REDUCE, bytes / layout->shard));
    if (stage->weights.expert > 0)
        cost = tr_cost_add(cost, tr_mesh_collective(site, layout, TR_MESH_EXPERT_DP, sum_up, stage->weights.expert * of->value));
    cost.grade = tr_grade_worse(cost.grade, of->grade);
    return cost;
}

static struct tr_cost gather_cost(const struct tr_site *site, const struct tr_layout *layout, const struct tr_stage *stage)
{
    struct tr_cost cost = tr_mesh_collective(site, layout, TR_MESH_DP, TR_COLLECTIVE_ALL_GATHER,
                                             2 * (stage->weights.cut + stage->weights.whole));
    if (stage->weights.expert > 0)
        cost = tr_cost_add(cost, tr_mesh_collective(site, layout, TR_MESH_EXPERT_DP, TR_COLLECTIVE_ALL_GATHER,
                                                    2 * stage->weights.expert));
    return cost;
}

static struct tr_cost update_cost(const struct tr_site *site, const struct tr_task *task, const struct tr_layout *layout,
                                  const struct tr_stage *stage)
{
    const struct tr_stack *stack = site->stack;
    if (task->lora_rank)
        return (struct tr_cost){0};
    double params = (stage->weights.cut + stage->weights.whole) / tr_layout_shard(layout) +
                    stage->weights.expert / (layout->zero ? tr_layout_expert_dp(layout) : 1);
    struct tr_cost cost = tr_site_pass(site, tr_cost_pass(&site->rates, params * stack->update_bytes.value, 4));
    cost.grade = tr_grade_worse(cost.grade, stack->update_bytes.grade);
    return cost;
}

/* Of what of the messages hides under compute. */
static enum tr_grade hidden_grade(const struct tr_stack *stack)
{
    return tr_grade_worse(stack->dp_hidden.grade, tr_grade_worse(stack->gather_hidden.grade, stack->compute_slow.grade));
}

void tr_ends_make(struct tr_ends *ends, const struct tr_site *site, const struct tr_task *task,
                  const struct tr_layout *layout, const struct tr_stage *slowest)
{
    struct tr_cost gradients = gradients_cost(site, layout, slowest), update = update_cost(site, task, layout, slowest);
    struct tr_cost gather = layout->zero ? gather_cost(site, layout, slowest) : (struct tr_cost){0};
    *ends = (struct tr_ends){.gradients_s = gradients.time_s, .gradients_grade = gradients.grade,
                             .gather_s = gather.time_s, .gather_grade = gather.grade,
                             .update_s = update.time_s, .update_grade = update.grade,
                             .hidden_grade = hidden_grade(site->stack)};
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* a * L / (L + 1) with L doublings of one node: most of what waiting costs is there with the second node. SimuMax has another
 * sqrt(L) on its clusters; held out, that errs more on runs of 64 to 11,000 chips (vTrain's, MLPerf's, NeMo's). */
double tr_straggle_share(const struct tr_site *site, int64_t chips)
{
    double nodes = (double)chips / (double)site->system->chips_per_node;
    double doublings = nodes > 1 ? tr_log(nodes) / tr_log(2) : 0;
    return site->stack->straggle.value * doublings / (doublings + 1);
}

static double sum(const double term_s[TR_TERM_COUNT])
{
    double s = 0;
    for (int i = 0; i < TR_TERM_COUNT; i++)
        s += term_s[i];
    return s;
}

/* The worst of all that there is of it, as an explanation has it (plan/explain/explain.h). */
static enum tr_grade grade_of(const struct tr_blocks *blocks, const struct tr_stack *stack, const struct tr_ends *ends,
                              enum tr_grade sends, const struct tr_step *step)
{
    const enum tr_grade messages = tr_grade_worse(ends->gradients_grade, tr_grade_worse(ends->gather_grade, ends->hidden_grade));
    const struct {
        enum tr_term term;
        enum tr_grade grade;
    } once[] = {{TR_TERM_PP, tr_grade_worse(sends, stack->p2p_hidden.grade)},
                {TR_TERM_DP, messages},
                {TR_TERM_HOST, stack->host_step_s.grade},
                {TR_TERM_UPDATE, ends->update_grade},
                {TR_TERM_STRAGGLE, stack->straggle.grade}};
    enum tr_grade worst = blocks->grade;
    for (size_t i = 0; i < sizeof once / sizeof *once; i++)
        if (step->term_s[once[i].term] > 0)
            worst = tr_grade_worse(worst, once[i].grade);
    return worst;
}

static void compose_time(const struct tr_blocks *blocks, const struct tr_split *split, const struct tr_stages *stages,
                         const struct tr_site *site, const struct tr_task *task, const struct tr_layout *layout,
                         struct tr_step *out)
{
    const struct tr_stack *stack = site->stack;
    int64_t m = tr_layout_micro_count(layout, &task->batch);
    struct tr_ends ends;
    const struct tr_cost send = tr_mesh_send(site, layout, TR_MESH_PP, blocks->send_bytes, 1);
    tr_stage_terms(out->term_s, blocks, split, stages->slowest_class);
    for (int i = 0; i < TR_TERM_COUNT; i++)
        out->term_s[i] *= (double)m;
    tr_ends_make(&ends, site, task, layout, &stages->slowest);
    out->term_s[TR_TERM_BUBBLE] = tr_bubble_s(stages, split, layout->pipeline, m);
    out->term_s[TR_TERM_PP] = tr_sends_s(stack, split, &stages->slowest, send.time_s, (double)m);
    out->term_s[TR_TERM_DP] = tr_replicas_s(stack, task, split, layout->zero, &ends, &stages->slowest, (double)m);
    out->term_s[TR_TERM_UPDATE] = ends.update_s;
    out->term_s[TR_TERM_HOST] += stack->host_step_s.value;
    out->term_s[TR_TERM_STRAGGLE] = sum(out->term_s) * tr_straggle_share(site, tr_layout_chips(layout));
    out->time_s = sum(out->term_s);
    out->slowest_stage = stages->slowest_class->first;
    out->grade = grade_of(blocks, stack, &ends, send.grade, out);
    double operations = (double)m * stages->slowest.error_s / out->time_s, software = stack->error.value;
    out->error = site->known ? software : fmax(operations, software);
}

void tr_step_compose(const struct tr_blocks *blocks, const struct tr_site *site, const struct tr_task *task,
                     const struct tr_layout *layout, struct tr_step *out)
{
    struct tr_split split;
    struct tr_split_class classes[TR_LAYERS_MAX];
    struct tr_stages stages;
    struct tr_load loads[TR_LAYERS_MAX];
    TR_ASSERT(layout->pp <= TR_LAYERS_MAX);
    memset(out, 0, sizeof *out);
    tr_split_make(&split, classes, task->model, &blocks->kinds, layout, task->mtp);
    tr_stages_make(&stages, loads, blocks, &split);
    compose_time(blocks, &split, &stages, site, task, layout, out);
    out->model_flop = tr_model_flop_step(task);
    double peak = site->system->chip.rate_flop_s[tr_format_info(site->format)->rate].value;
    out->mfu = out->model_flop / (out->time_s * peak * (double)tr_layout_chips(layout));
    out->tokens_s = (double)(task->batch.global_batch * task->batch.seq_len) / out->time_s;
    tr_step_memory(&stages, site, task, layout, out);
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
    double flop = tr_shape_flop_per_token(task->model, task->batch.seq_len);
    if (task->mtp)
        flop += task->mtp * tr_shape_mtp_flop_per_token(task->model, task->batch.seq_len) / task->model->mtp;
    return flop * tokens;
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
