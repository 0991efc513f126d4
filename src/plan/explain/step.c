/* The step: terms, and below them operations of the slowest stage. */
#include "plan/explain/inside.h"
#include "plan/step/stage.h"

#include "base/quantity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What terms are made of, all at hand. */
struct parts {
    struct tr_explain *e;
    const struct tr_plan *p;
    int term[TR_TERM_COUNT]; /* indices of the numbers */
    double micro_count;
    const char *whose; /* before the names of blocks */
    struct tr_blocks blocks;
    struct tr_split split;
    struct tr_split_class classes[TR_LAYERS_MAX];
    struct tr_load loads[TR_LAYERS_MAX];
    struct tr_stages stages;
    struct tr_fact facts[TR_FIT_FIELDS_MAX]; /* fitted, of the chip */
};

/* The source of what prices an operation: the first fitted parameter of its group. */
static const char *fitted_source(const struct parts *s, const char *group)
{
    int count;
    const struct tr_param *params = tr_params(&count);
    for (int i = 0; i < count; i++)
        if (strncmp(params[i].path, group, strlen(group)) == 0 && tr_known(&s->facts[i]))
            return tr_fact_source(&s->facts[i]);
    return "values that are typical of what was measured (silicon/cost/rates.h)";
}

/* Of the first parameter with that offset in struct tr_rates: "gemm.bf16.". */
static const char *group_at(size_t offset, char buf[64])
{
    int count;
    const struct tr_param *params = tr_params(&count);
    for (int i = 0; i < count; i++)
        if (params[i].offset == offset) {
            const char *dot = strrchr(params[i].path, '.');
            snprintf(buf, 64, "%.*s", (int)(dot - params[i].path) + 1, params[i].path);
            return buf;
        }
    return "?";
}

static const char *op_source(const struct parts *s, const struct tr_step_op *op)
{
    char group[64];
    enum tr_format format = op->wide ? s->p->site.wide : s->p->site.format;
    switch (op->kind) {
    case TR_STEP_GEMM:
        return fitted_source(s, group_at(offsetof(struct tr_rates, gemm[0].launch_s) +
                                             (size_t)tr_format_info(format)->fit * sizeof(struct tr_gemm_rates),
                                         group));
    case TR_STEP_ATTENTION:
        return fitted_source(s, s->p->site.core == TR_FORMAT_FP8 ? "attention.fp8." : "attention.wide.");
    case TR_STEP_PASS:
        return fitted_source(s, "gemm.bf16.memory");
    case TR_STEP_COLLECTIVE:
        snprintf(group, sizeof group, "collective.%s.", tr_collective_name(op->collective));
        return fitted_source(s, group);
    case TR_STEP_SEND:
    case TR_STEP_KIND_COUNT:
    default:
        return fitted_source(s, "collective.all_to_all.");
    }
}

static const char *phase_name(const struct tr_step_op *op, bool again)
{
    return again                          ? "forward, again"
           : op->phase == TR_STEP_FORWARD ? "forward"
           : op->phase == TR_STEP_INPUT   ? "backward to inputs"
                                          : "backward to weights";
}

static void op_inputs(const struct parts *s, const struct tr_step_op *op, double count, const struct tr_cost *cost,
                      double hidden, char out[TR_NUMBER_WORDS_BYTES])
{
    char time[TR_QUANTITY_BYTES], bytes[TR_QUANTITY_BYTES], share[48] = "";
    const char *format = tr_format_info(op->wide ? s->p->site.wide : s->p->site.format)->name;
    tr_print_time(time, cost->time_s);
    tr_print_quantity(bytes, TR_UNIT_BYTES, op->bytes);
    if (hidden > 0)
        snprintf(share, sizeof share, ", %.0f %% of it hidden", 100 * hidden);
    if (op->kind == TR_STEP_GEMM)
        snprintf(out, TR_NUMBER_WORDS_BYTES, "%.6g x %s: %lld x [%lld, %lld] x [%lld, %lld] %s, bound by %s", count,
                 time, (long long)op->groups, (long long)op->m, (long long)op->k, (long long)op->k, (long long)op->n,
                 format, tr_bound_name(cost->bound));
    else if (op->kind == TR_STEP_PASS)
        snprintf(out, TR_NUMBER_WORDS_BYTES, "%.6g x %s: %s in %d kernels", count, time, bytes, op->kernels);
    else if (op->kind == TR_STEP_ATTENTION)
        snprintf(out, TR_NUMBER_WORDS_BYTES, "%.6g x %s, bound by %s", count, time, tr_bound_name(cost->bound));
    else
        snprintf(out, TR_NUMBER_WORDS_BYTES, "%.6g x %s: %s of %s among %lld of %s%s%s", count, time,
                 op->kind == TR_STEP_SEND ? "send" : tr_collective_name(op->collective), bytes,
                 (long long)tr_mesh_ranks(&s->p->layout, op->mesh), tr_mesh_name(op->mesh),
                 op->copies ? ", a token to a node once" : "", share);
}

static void add_op(struct parts *s, const struct tr_block *block, const struct tr_step_op *op, double room, double count,
                   bool again)
{
    char inputs[TR_NUMBER_WORDS_BYTES];
    struct tr_cost cost = tr_step_op_cost(&s->p->site, block, &s->p->layout, op);
    const struct tr_fact *by_stack = tr_step_op_hidden(&s->p->site, &s->p->layout, op);
    double hidden = room * by_stack->value;
    if (count <= 0)
        return;
    int at = tr_number_add(s->e, s->term[tr_step_op_term(op)], TR_UNIT_TIME, count * cost.time_s * (1 - hidden),
                           "%s%s: %s, %s", s->whose, tr_block_kind_name(block->kind), op->name, phase_name(op, again));
    op_inputs(s, op, count, &cost, hidden, inputs);
    tr_number_words(s->e, at, hidden > 0 ? "times x seconds x what is not hidden" : "times x seconds",
                    tr_grade_worse(cost.grade, by_stack->grade), op_source(s, op), "%s", inputs);
}

/* All operations of `count` blocks of a kind; `full` of them are computed twice, or of `selective` what the stack calls so. */
static void add_block(struct parts *s, struct tr_block *block, const struct tr_block_price *price, double count, double full,
                      double selective)
{
    struct tr_lowered ops;
    block->frozen = s->p->task.lora_rank > 0;
    tr_lower(block, s->p->site.stack, s->p->site.format, &ops);
    for (int i = 0; i < ops.count; i++) {
        const struct tr_step_op *op = &ops.op[i];
        if (op->under_core) /* the ring: what is seen of it follows at the end */
            continue;
        add_op(s, block, op, price->room, s->micro_count * count, false);
        if (op->phase != TR_STEP_FORWARD)
            continue;
        double again = full + (tr_step_op_again(s->p->site.stack, op) ? selective : 0);
        add_op(s, block, op, price->room, s->micro_count * again, true);
    }
}

static void add_blocks(struct parts *s)
{
    const struct tr_plan *p = s->p;
    const struct tr_split_class *class = s->stages.slowest_class;
    struct tr_block block;
    const enum tr_rerun rerun = s->split.rerun;
    for (int k = 0; k < s->blocks.kinds.count; k++) {
        tr_block_make(&block, &p->model, s->blocks.kinds.kind[k], s->blocks.kinds.window[k], &p->layout,
                      &p->task.batch);
        if (class->count[k])
            add_block(s, &block, &s->blocks.layer[k], class->count[k], rerun == TR_RERUN_FULL ? class->again[k] : 0,
                      rerun == TR_RERUN_SELECTIVE ? class->count[k] : 0);
    }
    /* The ends of the model are never computed again. */
    if (class->embed) {
        tr_block_make(&block, &p->model, TR_BLOCK_EMBED, 0, &p->layout, &p->task.batch);
        add_block(s, &block, &s->blocks.embed, 1, 0, 0);
    }
    if (class->head) {
        tr_block_make(&block, &p->model, TR_BLOCK_HEAD, 0, &p->layout, &p->task.batch);
        add_block(s, &block, &s->blocks.head, 1, 0, 0);
    }
}

/* A stage's share of the modules for further tokens; nothing of them is computed again. */
static void add_further(struct parts *s)
{
    const struct tr_plan *p = s->p;
    struct tr_block block;
    int kind[TR_LAYER_KINDS_MAX], count = tr_further_kinds(&s->blocks.kinds, p->model.layers, kind);
    if (s->split.further <= 0)
        return;
    s->whose = "further token's ";
    tr_block_make(&block, &p->model, TR_BLOCK_JOIN, 0, &p->layout, &p->task.batch);
    add_block(s, &block, &s->blocks.further, s->split.further, 0, 0);
    for (int i = 0; i < count; i++) {
        int k = kind[i];
        tr_block_make(&block, &p->model, s->blocks.kinds.kind[k], s->blocks.kinds.window[k], &p->layout, &p->task.batch);
        add_block(s, &block, &s->blocks.layer[k], s->split.further, 0, 0);
    }
    tr_block_make(&block, &p->model, TR_BLOCK_HEAD, 0, &p->layout, &p->task.batch);
    add_block(s, &block, &s->blocks.head, s->split.further, 0, 0);
}

static void add_ring(struct parts *s)
{
    double rest = tr_number_rest(s->e, s->term[TR_TERM_CP]);
    if (s->p->layout.cp == 1 || s->p->layout.context != TR_CONTEXT_RING)
        return;
    int at = tr_number_add(s->e, s->term[TR_TERM_CP], TR_UNIT_TIME, rest, "ring of keys and values");
    tr_number_words(s->e, at, "what attention does not hide of it, and what it slows attention", s->blocks.grade,
                    fitted_source(s, "collective.all_to_all."), "cp %d", s->p->layout.cp);
}

/* ---- terms that are no operations of a block --------------------------------------------------------------------- */

static void add_host(struct parts *s)
{
    const struct tr_stack *stack = s->p->site.stack;
    char kernel[TR_QUANTITY_BYTES], message[TR_QUANTITY_BYTES], experts[TR_QUANTITY_BYTES];
    int term = s->term[TR_TERM_HOST];
    int at = tr_number_add(s->e, term, TR_UNIT_TIME, stack->host_step_s.value, "host once a step");
    tr_number_words(s->e, at, "the stack's host.step", stack->host_step_s.grade, tr_fact_source(&stack->host_step_s),
                    "data, "
                    "logging, the optimiser's program");
    at = tr_number_add(s->e, term, TR_UNIT_TIME, tr_number_rest(s->e, term), "launches that the device waits for");
    tr_number_words(s->e, at, "of each pass of a block: (host^4 + device^4)^(1/4) - device", stack->host_kernel_s.grade,
                    tr_fact_source(&stack->host_kernel_s), "%s a kernel, %s a message x log2 of its ranks, %s a layer of experts",
                    tr_print_time(kernel, stack->host_kernel_s.value),
                    tr_print_time(message, stack->host_message_s.value), tr_print_time(experts, stack->host_experts_s.value));
    tr_number_by(s->e, at, s->blocks.grade); /* of the device's time, and of the stack's other two */
}

static void add_bubble(struct parts *s)
{
    const struct tr_layout *l = &s->p->layout;
    char forward[TR_QUANTITY_BYTES], backward[TR_QUANTITY_BYTES], weight[TR_QUANTITY_BYTES];
    static const char *const formulas[TR_PIPELINE_COUNT] = {
        "F + B of the other stages, once",
        "F + B of the stages before the slowest (or the last, where that is later), and of those behind it what is beyond its first forward passes",
        "(F + B) / vpp of the other stages, once",
        "F + B - W of the other stages - min(m - 1, pp - 1) W of the slowest, at least F of those before it",
        "F + B - W of the other stages - min(m - 1, 2 (pp - 1)) W of the slowest, at least 0"};
    if (l->pp == 1)
        return;
    int term = s->term[TR_TERM_BUBBLE];
    const bool chunks = l->pipeline == TR_PIPELINE_INTERLEAVED;
    int at = tr_number_add(s->e, term, TR_UNIT_TIME,
                           chunks ? s->stages.others_s / l->vpp : s->p->step.term_s[TR_TERM_BUBBLE], "fill and drain");
    tr_number_words(s->e, at, formulas[l->pipeline], s->blocks.grade, "plan/step/step.h",
                    "%.0f microbatches, %d other stages, vpp %d; the slowest stage has F %s, B %s, of which W %s", s->micro_count, l->pp - 1,
                    l->vpp, tr_print_time(forward, s->stages.slowest.forward_s),
                    tr_print_time(backward, s->stages.slowest.backward_s), tr_print_time(weight, s->stages.slowest.weight_s));
    double rest = tr_number_rest(s->e, term);
    if (rest <= 0)
        return;
    at = tr_number_add(s->e, term, TR_UNIT_TIME, rest, "a last group of microbatches that does not fill the chunks");
    tr_number_words(s->e, at, "(vpp - 1) (pp - m mod pp) B / vpp", s->blocks.grade, "plan/step/step.h",
                    "m %.0f, pp %d, vpp %d", s->micro_count, l->pp, l->vpp);
}

static void add_sends(struct parts *s)
{
    const struct tr_layout *l = &s->p->layout;
    const struct tr_stack *stack = s->p->site.stack;
    char time[TR_QUANTITY_BYTES], bytes[TR_QUANTITY_BYTES];
    if (l->pp == 1)
        return;
    struct tr_cost one = tr_mesh_send(&s->p->site, l, TR_MESH_PP, s->blocks.send_bytes, 1);
    double seen_s = tr_send_seen_s(stack, &s->split, &s->stages.slowest, one.time_s);
    int term = s->term[TR_TERM_PP];
    int at = tr_number_add(s->e, term, TR_UNIT_TIME, 2 * seen_s * s->micro_count * l->vpp, "of each microbatch");
    tr_number_words(s->e, at, "2 x microbatches x vpp x time of a send x what is not hidden", one.grade,
                    tr_fact_source(&stack->p2p_hidden), "%.0f microbatches, vpp %d, %s for %s, %.0f %% hidden",
                    s->micro_count, l->vpp, tr_print_time(time, one.time_s),
                    tr_print_quantity(bytes, TR_UNIT_BYTES, s->blocks.send_bytes), 100 * (1 - seen_s / one.time_s));
    tr_number_by(s->e, at, stack->p2p_hidden.grade);
    at = tr_number_add(s->e, term, TR_UNIT_TIME, 2 * one.time_s * (l->pp - 1), "through the other stages, once");
    tr_number_words(s->e, at, "2 x (pp - 1) x time of a send", one.grade, fitted_source(s, "collective.all_to_all."),
                    "pp %d", l->pp);
}

static void add_replicas(struct parts *s)
{
    const struct tr_plan *p = s->p;
    const struct tr_stack *stack = p->site.stack;
    char weights[TR_QUANTITY_BYTES];
    struct tr_ends ends;
    int term = s->term[TR_TERM_DP];
    tr_ends_make(&ends, &p->site, &p->task, &p->layout, &s->stages.slowest);
    double trained = p->task.lora_rank ? 0 : 1;
    bool each = p->layout.zero == 3 || (p->layout.zero == 2 && p->layout.pp == 1);
    double times = each ? s->micro_count : 1;
    double gathers = p->layout.zero == 3 ? 2 * s->micro_count : p->layout.zero ? 1 : 0;
    struct tr_block_weights w = s->stages.slowest.weights;
    tr_print_quantity(weights, TR_UNIT_COUNT, w.cut + w.whole + w.expert);
    if (trained * times * ends.gradients_s <= 0 && gathers * ends.gather_s <= 0)
        return;
    int at = tr_number_add(s->e, term, TR_UNIT_TIME, trained * times * ends.gradients_s, "gradients summed");
    tr_number_words(s->e, at,
                    p->layout.zero ? "times x reduce-scatter of the stage's gradients"
                                   : "times x all-reduce of the stage's gradients",
                    ends.gradients_grade, "cloud/collective/README.md", "%.0f x, %s weights x %g bytes among %lld", times,
                    weights, stack->reduce_bytes.value, (long long)tr_mesh_ranks(&p->layout, TR_MESH_DP));
    if (gathers > 0) {
        at = tr_number_add(s->e, term, TR_UNIT_TIME, gathers * ends.gather_s, "weights gathered");
        tr_number_words(s->e, at, "times x all-gather of the stage's weights", ends.gather_grade,
                        "cloud/collective/README.md", "%.0f x, %s weights x 2 bytes among %lld", gathers, weights,
                        (long long)tr_mesh_ranks(&p->layout, TR_MESH_DP));
    }
    at = tr_number_add(s->e, term, TR_UNIT_TIME, tr_number_rest(s->e, term), "hidden under compute");
    tr_number_words(
        s->e, at, "what fits under the passes, less what it slows them", tr_grade_worse(ends.hidden_grade, s->blocks.grade),
        tr_fact_source(&stack->dp_hidden),
        "up to %.0f %% of the backward pass, %.0f %% of the forward pass; compute is %.0f %% slower meanwhile",
        100 * stack->dp_hidden.value, 100 * stack->gather_hidden.value, 100 * stack->compute_slow.value);
}

static void word_ends(struct parts *s)
{
    const struct tr_plan *p = s->p;
    const struct tr_stack *stack = p->site.stack;
    char rate[TR_QUANTITY_BYTES];
    struct tr_ends ends;
    int update = s->term[TR_TERM_UPDATE], straggle = s->term[TR_TERM_STRAGGLE];
    tr_ends_make(&ends, &p->site, &p->task, &p->layout, &s->stages.slowest);
    tr_number_words(s->e, update, "4 launches + weights of a rank x bytes.update / memory bandwidth reached", ends.update_grade,
                    tr_fact_source(&stack->update_bytes), "%g bytes a weight, %.3g of the rate of single kernels on %s",
                    stack->update_bytes.value, stack->memory_share.value,
                    tr_print_quantity(rate, TR_UNIT_BYTES_S, p->site.rates.memory_bytes_s));
    tr_number_words(s->e, straggle, "share of all other terms", stack->straggle.grade,
                    tr_fact_source(&stack->straggle), "%.2f %%: straggle %.4g x L / (L + 1), L = log2(nodes)",
                    100 * tr_straggle_share(&p->site, tr_layout_chips(&p->layout)), stack->straggle.value);
    tr_number_grade(s->e);
    for (int i = 0; i < TR_TERM_STRAGGLE; i++)
        tr_number_by(s->e, straggle, s->e->at[s->term[i]].grade);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static void add_terms(struct parts *s)
{
    static const char *const formulas[TR_TERM_COUNT] = {[TR_TERM_GEMM] = "sum over products of the slowest stage",
                                                        [TR_TERM_ATTENTION] = "sum over attention of the slowest stage",
                                                        [TR_TERM_PASS] = "sum over kernels that only move memory",
                                                        [TR_TERM_TP] = "messages of tensor parallelism",
                                                        [TR_TERM_CP] = "messages of context parallelism",
                                                        [TR_TERM_EP] = "messages of expert parallelism",
                                                        [TR_TERM_HOST] = "what the device waits for",
                                                        [TR_TERM_BUBBLE] = "waiting for other stages",
                                                        [TR_TERM_PP] = "messages from stage to stage",
                                                        [TR_TERM_DP] = "messages between replicas",
                                                        [TR_TERM_UPDATE] = "the optimiser",
                                                        [TR_TERM_STRAGGLE] = "the slowest of many nodes"};
    int step = tr_number_add(s->e, -1, TR_UNIT_TIME, s->p->step.time_s, "step");
    s->e->at[step].error = s->p->step.error;
    tr_number_words(s->e, step, "sum of its terms, of the slowest stage", s->blocks.grade, "", "stage %d of %d",
                    s->p->step.slowest_stage, s->p->layout.pp);
    for (int i = 0; i < TR_TERM_COUNT; i++) {
        s->term[i] = tr_number_add(s->e, step, TR_UNIT_TIME, s->p->step.term_s[i], "%s", tr_term_name((enum tr_term)i));
        tr_number_words(s->e, s->term[i], formulas[i], TR_GRADE_NONE, "", "%s", "");
    }
}

/* Half the width of the 80 % interval. */
static void add_error(struct parts *s)
{
    const struct tr_step *step = &s->p->step;
    const struct tr_fact *software = &s->p->site.stack->error;
    int at = tr_number_ratio(s->e, TR_UNIT_RATIO, "", step->error, "error of the step",
                             "the larger of those below: that of operations is in the software's, which was held against whole runs", "");
    tr_number_fact(s->e, at, TR_UNIT_RATIO, "of the software on whole runs", "of four of five runs held out the truth was within",
                   software);
    tr_number_factor(s->e, at, TR_UNIT_RATIO, "", s->micro_count * s->stages.slowest.error_s / step->time_s, "of operations",
                     "sum of the errors of the slowest stage's operations / the step", s->blocks.grade, "silicon/cost/README.md");
}

void tr_explain_step(struct tr_explain *e)
{
    struct tr_err ignored;
    struct parts *s = calloc(1, sizeof *s);
    if (!s) {
        e->failed = true;
        return;
    }
    s->e = e, s->p = e->plan, s->whose = "";
    s->micro_count = (double)tr_layout_micro_count(&s->p->layout, &s->p->task.batch);
    if (tr_rates_facts(&s->p->system.chip, s->facts, &ignored) != TR_OK)
        memset(s->facts, 0, sizeof s->facts);
    tr_blocks_make(&s->blocks, &s->p->site, &s->p->task, &s->p->layout);
    tr_split_make(&s->split, s->classes, &s->p->model, &s->blocks.kinds, &s->p->layout, s->p->task.mtp);
    tr_stages_make(&s->stages, s->loads, &s->blocks, &s->split);
    add_terms(s);
    add_blocks(s);
    add_further(s);
    add_ring(s);
    add_host(s);
    add_bubble(s);
    add_sends(s);
    add_replicas(s);
    word_ends(s);
    add_error(s);
    free(s);
}
