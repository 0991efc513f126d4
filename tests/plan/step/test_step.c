#include "base/num.h"
#include "plan/step/walk.h"

#include "lib/catalog.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct tr_system system_of;
static struct tr_stack stack;
static struct tr_site site;

static int open_site(void **state)
{
    struct tr_err err = {""};
    if (tr_catalog_setup(state) || tr_system_find(catalog, "dgx-a100", &system_of, &err) ||
        tr_stack_find(catalog, "megatron-core", &stack, &err) ||
        tr_site_make(&site, &system_of, &stack, TR_FORMAT_BF16, &err))
        fprintf(stderr, "%s\n", err.text);
    return site.system == NULL;
}

static const struct tr_model_shape dense = {.name = "dense", .layers = 24, .width = 2048, .heads = 16, .kv_heads = 16,
                                            .head_dim = 128, .value_dim = 128, .ffn = 8192, .vocab = 51200,
                                            .positions = 4096, .gated = true, .rope = true};
static const struct tr_model_shape experts = {.name = "experts", .layers = 24, .width = 2048, .heads = 16, .kv_heads = 16,
                                              .head_dim = 128, .value_dim = 128, .vocab = 51200, .positions = 4096,
                                              .experts = 64, .top_k = 4, .expert_ffn = 1408, .moe_every = 1,
                                              .gated = true, .rope = true};

/* Of each kind of layer two; experts on tokens of half the width. */
static const struct tr_model_shape hybrid = {.name = "hybrid", .layers = 8, .width = 2048, .heads = 16, .kv_heads = 8,
                                             .head_dim = 128, .value_dim = 128, .ffn = 8192, .vocab = 51200,
                                             .positions = 4096, .experts = 64, .top_k = 4, .expert_ffn = 1408,
                                             .shared_ffn = 2816, .moe_every = 1, .latent = 1024, .pattern = "ME*-ME*-",
                                             .ssm_heads = 64, .ssm_head_dim = 64, .ssm_groups = 8, .ssm_state = 128,
                                             .ssm_conv = 4, .mtp = 2};

static struct tr_task task_of(const struct tr_model_shape *model)
{
    return (struct tr_task){.model = model, .batch = {.seq_len = 2048, .global_batch = 64}};
}

static struct tr_layout layout_of(int32_t tp, int32_t pp, int32_t dp)
{
    struct tr_layout l = tr_layout_single();
    l.tp = tp, l.pp = pp, l.dp = dp, l.zero = 1, l.sp = tp > 1;
    return l;
}

static struct tr_step price(const struct tr_task *task, const struct tr_layout *layout)
{
    struct tr_step step;
    struct tr_err err = {""};
    if (tr_step_price(&site, task, layout, &step, &err) != TR_OK)
        fail_msg("%s", err.text);
    return step;
}

static void assert_near(double a, double b, double share)
{
    if (!(fabs(a - b) <= share * fabs(b)))
        fail_msg("%.9g is not within %g of %.9g", a, share, b);
}

static void terms_of_time_and_of_memory_sum_to_it(void **state)
{
    struct tr_task task = task_of(&dense);
    const struct tr_layout layouts[] = {layout_of(1, 1, 1), layout_of(8, 1, 2), layout_of(2, 4, 4), layout_of(4, 8, 1)};
    (void)state;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        struct tr_step step = price(&task, &layouts[i]);
        double time_s = 0, bytes = 0;
        for (int k = 0; k < TR_TERM_COUNT; k++) {
            assert_true(step.term_s[k] >= 0);
            time_s += step.term_s[k];
        }
        for (int k = 0; k < TR_MEM_COUNT; k++)
            bytes += step.memory[k];
        assert_near(time_s, step.time_s, 1e-12);
        assert_near(bytes, step.memory_bytes, 1e-12);
        assert_true(step.mfu > 0 && step.mfu < 1 && step.error > 0);
    }
}

/* Products of weights: whatever the layout, the chips together do what one would: 6 a parameter and token. */
static double product_flop(const struct tr_task *task, const struct tr_layout *layout)
{
    const struct tr_model_shape *m = task->model;
    double sum = 0, ranks = (double)layout->tp * layout->cp * layout->dp;
    double micros = (double)tr_layout_micro_count(layout, &task->batch);
    const struct {
        enum tr_block_kind kind;
        double count;
    } plain[] = {{m->experts ? TR_BLOCK_MOE : TR_BLOCK_DENSE, m->layers}, {TR_BLOCK_HEAD, 1}},
      mixed[] = {{TR_BLOCK_SSM, tr_shape_ssm_layers(m)},   {TR_BLOCK_ATTENTION, tr_shape_attention_layers(m)},
                 {TR_BLOCK_FFN, tr_shape_dense_layers(m)}, {TR_BLOCK_EXPERTS, tr_shape_moe_layers(m)},
                 {TR_BLOCK_HEAD, 1}},
      *blocks = m->pattern[0] ? mixed : plain;
    size_t kinds = m->pattern[0] ? sizeof mixed / sizeof *mixed : sizeof plain / sizeof *plain;
    for (size_t i = 0; i < kinds; i++) {
        struct tr_block block;
        struct tr_lowered ops;
        tr_block_make(&block, m, blocks[i].kind, 0, layout, &task->batch);
        tr_lower(&block, &stack, TR_FORMAT_BF16, &ops);
        for (int k = 0; k < ops.count; k++)
            if (ops.op[k].kind == TR_STEP_GEMM && !ops.op[k].scan)
                sum += 2.0 * (double)ops.op[k].m * (double)ops.op[k].n * (double)ops.op[k].k *
                       (double)ops.op[k].groups * blocks[i].count;
    }
    return sum * ranks * micros;
}

static void all_layouts_do_the_work_of_the_model(void **state)
{
    (void)state;
    const struct tr_model_shape *models[] = {&dense, &experts, &hybrid};
    for (int i = 0; i < 3; i++) {
        struct tr_task task = task_of(models[i]);
        double tokens = (double)(task.batch.global_batch * task.batch.seq_len);
        double expected = 6 * tr_shape_params(models[i]).matmul * tokens;
        struct tr_layout l[] = {layout_of(1, 1, 1), layout_of(2, 1, 4), layout_of(8, 2, 1), layout_of(4, 4, 2),
                                layout_of(1, 1, 8)};
        l[4].ep = models[i]->experts ? 8 : 1;
        l[1].cp = 2;
        for (size_t k = 0; k < sizeof l / sizeof *l; k++)
            assert_near(product_flop(&task, &l[k]), expected, 2e-3);
    }
}

/* A gather feeds products and travels in their format, with its scales; a sum does not. */
static void tokens_are_gathered_in_the_format_of_the_products_that_read_them(void **state)
{
    static const struct {
        enum tr_format format;
        double bytes;
    } cases[] = {{TR_FORMAT_BF16, 2}, {TR_FORMAT_FP8, 1}, {TR_FORMAT_MXFP8, 1 + 1. / 32}, {TR_FORMAT_NVFP4, .5 + 1. / 16}};
    struct tr_task task = task_of(&dense);
    struct tr_layout l = layout_of(4, 1, 1);
    struct tr_block block;
    struct tr_lowered ops;
    (void)state;
    l.sp = true;
    tr_block_make(&block, &dense, TR_BLOCK_DENSE, 0, &l, &task.batch);
    double elements = (double)block.tokens * (double)block.width;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int gathers = 0, sums = 0;
        tr_lower(&block, &stack, cases[i].format, &ops);
        for (int k = 0; k < ops.count; k++) {
            const struct tr_step_op *op = &ops.op[k];
            if (op->kind != TR_STEP_COLLECTIVE || op->mesh != TR_MESH_TP)
                continue;
            bool gather = op->collective == TR_COLLECTIVE_ALL_GATHER;
            assert_near(op->bytes, elements * (gather ? cases[i].bytes : 2), 1e-12);
            gathers += gather, sums += !gather;
        }
        assert_true(gathers == 6 && sums == 4);
    }
}

static void weights_of_all_stages_are_those_of_the_model(void **state)
{
    struct tr_task task = task_of(&dense);
    struct tr_layout one = layout_of(1, 1, 1);
    (void)state;
    one.zero = 0;
    struct tr_step step = price(&task, &one);
    assert_near(step.memory[TR_MEM_WEIGHTS], 2 * tr_shape_params(&dense).total, 1e-3);
    struct tr_layout four = layout_of(2, 1, 2);
    assert_near(price(&task, &four).memory[TR_MEM_WEIGHTS], tr_shape_params(&dense).total, 2e-3);
    /* 12 bytes a parameter, over the replicas. */
    assert_near(price(&task, &four).memory[TR_MEM_OPTIMIZER], 12 * tr_shape_params(&dense).total / 4, 2e-3);
}

/* All that two modules for further tokens add to a step on one chip: two joins, two layers each, the head twice. */
static void modules_for_further_tokens_are_layers_and_the_head_again(void **state)
{
    struct tr_task task = task_of(&hybrid), further = task;
    struct tr_layout one = layout_of(1, 1, 1);
    (void)state;
    one.zero = 0;
    further.mtp = 2;
    struct tr_step step = price(&task, &one), more = price(&further, &one);
    assert_near(step.memory[TR_MEM_WEIGHTS], 2 * tr_shape_params(&hybrid).total, 1e-3);
    assert_near(more.model_flop / step.model_flop - 1,
                tr_shape_mtp_flop_per_token(&hybrid, 2048) / tr_shape_flop_per_token(&hybrid, 2048), 1e-12);
    assert_near(more.memory[TR_MEM_WEIGHTS] - step.memory[TR_MEM_WEIGHTS], 2 * tr_shape_mtp_params(&hybrid), 1e-3);
    assert_true(more.term_s[TR_TERM_GEMM] > 1.5 * step.term_s[TR_TERM_GEMM]);
    assert_true(more.term_s[TR_TERM_GEMM] < 2.5 * step.term_s[TR_TERM_GEMM]);
    assert_true(more.memory[TR_MEM_LOGITS] == step.memory[TR_MEM_LOGITS]);
    struct tr_layout pipe = layout_of(1, 4, 1);
    double bubble = price(&further, &pipe).term_s[TR_TERM_BUBBLE], without = price(&task, &pipe).term_s[TR_TERM_BUBBLE];
    assert_true(bubble < 2 * without);
}

static void assert_composed_is_walked(const struct tr_task *task, const struct tr_layout *l, double within)
{
    struct tr_walk walk;
    struct tr_err err = {""};
    struct tr_step step = price(task, l);
    if (tr_walk_make(&walk, &site, task, l, &err) != TR_OK)
        fail_msg("%s", err.text);
    double composed = walk.time_s - tr_walk_longer_s(&walk, &site, &step);
    if (fabs(composed / walk.time_s - 1) > within)
        fail_msg("%s pp %d vpp %d, %d microbatches: composed %.6g s, walked %.6g s", tr_pipeline_name(l->pipeline), l->pp, l->vpp,
                 (int)task->batch.global_batch, composed, walk.time_s);
    tr_walk_free(&walk);
}

static void schedules_cost_what_their_walk_costs(void **state)
{
    (void)state;
    struct {
        enum tr_pipeline pipeline;
        int32_t pp, vpp;
        int64_t global_batch;
        double within;
    } cases[] = {{TR_PIPELINE_GPIPE, 4, 1, 16, .02},       {TR_PIPELINE_1F1B, 4, 1, 16, .02},
                 {TR_PIPELINE_1F1B, 8, 1, 64, .02},        {TR_PIPELINE_1F1B, 2, 1, 2, .02},
                 {TR_PIPELINE_INTERLEAVED, 4, 3, 16, .03}, {TR_PIPELINE_INTERLEAVED, 8, 3, 64, .03},
                 {TR_PIPELINE_INTERLEAVED, 4, 2, 64, .03}, {TR_PIPELINE_INTERLEAVED, 4, 2, 5, .03},
                 {TR_PIPELINE_INTERLEAVED, 4, 6, 6, .03},  {TR_PIPELINE_INTERLEAVED, 8, 3, 9, .03},
                 {TR_PIPELINE_INTERLEAVED, 8, 3, 20, .03}, {TR_PIPELINE_ZERO_BUBBLE, 4, 1, 32, .05},
                 {TR_PIPELINE_ZERO_BUBBLE, 8, 1, 64, .05}, {TR_PIPELINE_ZERO_BUBBLE_2P, 8, 1, 64, .02},
                 {TR_PIPELINE_ZERO_BUBBLE, 8, 1, 2, .02},  {TR_PIPELINE_ZERO_BUBBLE, 8, 1, 5, .02},
                 {TR_PIPELINE_ZERO_BUBBLE, 8, 1, 12, .05}, {TR_PIPELINE_ZERO_BUBBLE_2P, 4, 1, 1, .02},
                 {TR_PIPELINE_ZERO_BUBBLE_2P, 4, 1, 3, .02}, {TR_PIPELINE_ZERO_BUBBLE_2P, 8, 1, 8, .02},
                 {TR_PIPELINE_ZERO_BUBBLE_2P, 8, 1, 15, .03}, {TR_PIPELINE_ZERO_BUBBLE_2P, 8, 1, 24, .03}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tr_model_shape model = dense;
        struct tr_task task = task_of(&model);
        struct tr_layout l = layout_of(1, cases[i].pp, 1);
        model.vocab = 256; /* stages alike */
        task.batch.global_batch = cases[i].global_batch;
        l.pipeline = cases[i].pipeline, l.vpp = cases[i].vpp;
        assert_composed_is_walked(&task, &l, cases[i].within);
    }
}

/* A heavy head, a heavy first stage, one in between: within so much of the walk (GPIPE and INTERLEAVED have one formula for all of them). */
static void schedules_of_uneven_stages_cost_what_their_walk_costs(void **state)
{
    static const struct {
        enum tr_pipeline pipeline;
        int32_t pp, first, last, vocab;
        double within;
    } cases[] = {{TR_PIPELINE_1F1B, 4, 0, 0, 128256, .01},       {TR_PIPELINE_1F1B, 4, 14, 2, 256, .03},
                 {TR_PIPELINE_1F1B, 8, 10, 2, 32000, .03},       {TR_PIPELINE_1F1B, 8, 1, 5, 32000, .02},
                 {TR_PIPELINE_1F1B, 5, 0, 0, 256, .03},          {TR_PIPELINE_ZERO_BUBBLE, 8, 0, 0, 128256, .06},
                 {TR_PIPELINE_ZERO_BUBBLE_2P, 8, 0, 0, 128256, .06}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int64_t batch = 2; batch <= 32; batch *= 2) {
            struct tr_model_shape model = dense;
            struct tr_task task = task_of(&model);
            struct tr_layout l = layout_of(1, cases[i].pp, 1);
            model.vocab = cases[i].vocab, task.batch.global_batch = batch;
            l.pipeline = cases[i].pipeline, l.first_layers = cases[i].first, l.last_layers = cases[i].last;
            assert_composed_is_walked(&task, &l, cases[i].within);
        }
}

static void a_walk_does_everything_once_and_nothing_at_the_same_time(void **state)
{
    struct tr_task task = task_of(&dense);
    struct tr_layout l = layout_of(1, 4, 1);
    struct tr_walk walk;
    struct tr_err err = {""};
    (void)state;
    l.pipeline = TR_PIPELINE_INTERLEAVED, l.vpp = 3;
    for (int64_t batch = 5; batch <= 13; batch++) {
        task.batch.global_batch = batch;
        assert_int_equal(tr_walk_make(&walk, &site, &task, &l, &err), TR_OK);
        assert_int_equal(walk.count, 2 * batch * 12);
        for (int64_t i = 1; i < walk.count; i++)
            if (walk.event[i].stage == walk.event[i - 1].stage)
                assert_true(walk.event[i].begin_s >= walk.event[i - 1].end_s);
        tr_walk_free(&walk);
    }
}

/* Chunks of more layers take longer, and hold up those of other stages: a walk is longer than its price by stages. */
static void a_walk_knows_how_many_layers_a_chunk_has(void **state)
{
    struct tr_task task = task_of(&dense);
    struct tr_layout l = layout_of(1, 4, 1);
    struct tr_walk walk;
    struct tr_err err = {""};
    double chunk_s[2] = {0};
    (void)state;
    l.pipeline = TR_PIPELINE_INTERLEAVED, l.vpp = 5, task.batch.global_batch = 16; /* 24 layers in 20 chunks: four in the middle have two */
    assert_true(tr_layout_is_ragged(&l, dense.layers));
    assert_int_equal(tr_walk_make(&walk, &site, &task, &l, &err), TR_OK);
    for (int64_t i = 0; i < walk.count; i++) {
        int32_t layers = tr_layout_chunk_layers(&l, dense.layers, walk.event[i].chunk * 4 + walk.event[i].stage);
        if (walk.event[i].stage == 1 && walk.event[i].kind == TR_WALK_FORWARD)
            chunk_s[layers - 1] = walk.event[i].end_s - walk.event[i].begin_s;
    }
    assert_true(chunk_s[0] > 0 && fabs(chunk_s[1] / chunk_s[0] - 2) < 1e-9);
    tr_walk_free(&walk);
    l.first_layers = l.last_layers = 3; /* all others have one each, and wait for the one and then for the other */
    struct tr_step step = price(&task, &l);
    assert_int_equal(tr_walk_make(&walk, &site, &task, &l, &err), TR_OK);
    double longer = tr_walk_longer_s(&walk, &site, &step) / step.time_s;
    print_message("%.1f %% longer than by stages\n", 100 * longer);
    assert_true(longer > .02);
    tr_walk_free(&walk);
}

/* What the schedule saves in time it may not take in memory that the plan does not count. */
static void a_zero_bubble_holds_no_more_than_is_counted(void **state)
{
    struct tr_task task = task_of(&dense);
    struct tr_layout l = layout_of(1, 4, 1);
    struct tr_walk walk;
    struct tr_err err = {""};
    (void)state;
    task.batch.global_batch = 24;
    for (int two = 0; two < 2; two++) {
        l.pipeline = two ? TR_PIPELINE_ZERO_BUBBLE_2P : TR_PIPELINE_ZERO_BUBBLE;
        assert_int_equal(tr_walk_make(&walk, &site, &task, &l, &err), TR_OK);
        int64_t held[4] = {0}, most[4] = {0};
        for (int64_t i = 0; i < walk.count; i++) {
            const struct tr_walk_event *event = &walk.event[i];
            held[event->stage] += event->kind == TR_WALK_FORWARD ? 1 : event->kind == TR_WALK_WEIGHT ? -1 : 0;
            most[event->stage] = tr_max_i64(most[event->stage], held[event->stage]);
        }
        for (int32_t stage = 0; stage < 4; stage++)
            assert_true(held[stage] == 0 && most[stage] == (int64_t)tr_layout_in_flight(&l, 24, stage));
        tr_walk_free(&walk);
    }
}

/* Small microbatches of experts take the host's time, however small, unless the launches are in CUDA graphs. */
static void a_layer_of_experts_waits_for_its_host(void **state)
{
    struct tr_task task = task_of(&experts);
    struct tr_layout l = layout_of(1, 1, 8);
    const struct tr_fact was = stack.host_experts_s;
    (void)state;
    l.ep = 8;
    double without = price(&task, &l).time_s;
    stack.host_experts_s.value = 3e-3;
    double one = price(&task, &l).time_s, floor_s = 3 * 3e-3 * 24 * 64 / 8;
    assert_true(one > floor_s && one > without);
    l.graphs = true;
    assert_true(price(&task, &l).time_s == without);
    stack.host_experts_s = was;
    task = task_of(&dense), l = layout_of(1, 1, 8);
    without = price(&task, &l).time_s;
    stack.host_experts_s.value = 3e-3;
    assert_true(price(&task, &l).time_s == without);
    stack.host_experts_s = was;
}

/* Of experts without biases there is no such pass, and what the library's own all-to-all moves is all seen. */
static void biases_of_experts_and_bare_exchanges_take_time(void **state)
{
    struct tr_model_shape biased = experts;
    struct tr_task task = task_of(&experts);
    struct tr_layout l = layout_of(1, 1, 8);
    const struct tr_fact was = stack.ep_hidden;
    (void)state;
    l.ep = 8;
    const struct tr_step plain = price(&task, &l);
    biased.expert_bias = true;
    task.model = &biased;
    const struct tr_step more = price(&task, &l);
    assert_true(more.term_s[TR_TERM_PASS] > 1.1 * plain.term_s[TR_TERM_PASS] &&
                more.term_s[TR_TERM_GEMM] == plain.term_s[TR_TERM_GEMM]);
    stack.ep_hidden.value = 0;
    const struct tr_step all = price(&task, &l);
    stack.ep_hidden.value = .9;
    const struct tr_step few = price(&task, &l);
    l.bare_exchange = true;
    assert_true(few.term_s[TR_TERM_EP] < .2 * all.term_s[TR_TERM_EP]);
    assert_true(price(&task, &l).term_s[TR_TERM_EP] == all.term_s[TR_TERM_EP]);
    stack.ep_hidden = was;
}

/* What hides under compute ends with it: a network ten times slower is seen, whatever share of messages the stack hides. */
static void messages_hide_under_no_more_compute_than_there_is(void **state)
{
    struct tr_task task = task_of(&experts);
    struct tr_layout l = layout_of(1, 1, 64);
    const struct tr_fact was = stack.ep_hidden, network = system_of.tier[1].bytes_s;
    (void)state;
    l.ep = 64;
    stack.ep_hidden.value = 0;
    system_of.tier[1].bytes_s.value = network.value / 10;
    const struct tr_step seen = price(&task, &l);
    double compute_s = seen.term_s[TR_TERM_GEMM] + seen.term_s[TR_TERM_ATTENTION] + seen.term_s[TR_TERM_PASS];
    assert_true(seen.term_s[TR_TERM_EP] > 2 * compute_s);
    stack.ep_hidden.value = 1;
    const struct tr_step hidden = price(&task, &l);
    assert_true(hidden.term_s[TR_TERM_EP] < seen.term_s[TR_TERM_EP]);
    assert_true(hidden.term_s[TR_TERM_EP] >= seen.term_s[TR_TERM_EP] - (1 + 1e-9) * compute_s);
    system_of.tier[1].bytes_s = network;
    stack.ep_hidden = was;
}

/* The same inside of a domain: links that are 30 times slower hide no more than all compute. */
static void messages_over_links_hide_under_no_more_compute_either(void **state)
{
    struct tr_task tasks[] = {task_of(&dense), task_of(&experts)};
    const struct tr_fact was[] = {stack.tp_hidden, stack.ep_hidden, stack.link_share, system_of.tier[0].bytes_s};
    (void)state;
    stack.link_share.value = 1;
    system_of.tier[0].bytes_s.value /= 30;
    for (int i = 0; i < 2; i++) {
        enum tr_term term = i ? TR_TERM_EP : TR_TERM_TP;
        struct tr_layout l = i ? layout_of(1, 1, 8) : layout_of(8, 1, 1);
        l.ep = i ? 8 : 1;
        stack.tp_hidden.value = stack.ep_hidden.value = 0;
        const struct tr_step seen = price(&tasks[i], &l);
        double compute_s = seen.term_s[TR_TERM_GEMM] + seen.term_s[TR_TERM_ATTENTION] + seen.term_s[TR_TERM_PASS];
        stack.tp_hidden.value = stack.ep_hidden.value = 1;
        const struct tr_step hidden = price(&tasks[i], &l);
        assert_true(seen.term_s[term] > 2 * compute_s && hidden.term_s[term] < seen.term_s[term]);
        assert_true(hidden.term_s[term] >= seen.term_s[term] - (1 + 1e-9) * compute_s);
    }
    stack.tp_hidden = was[0], stack.ep_hidden = was[1], stack.link_share = was[2], system_of.tier[0].bytes_s = was[3];
}

/* Sends between stages too: over a network a thousand times slower the rest of each is seen. */
static void sends_hide_under_no_more_than_the_pass_of_a_chunk(void **state)
{
    struct tr_task task = task_of(&dense);
    struct tr_layout l = layout_of(8, 4, 1);
    const struct tr_fact was = stack.p2p_hidden, network = system_of.tier[1].bytes_s, card = system_of.tier[1].nic_bytes_s;
    (void)state;
    system_of.tier[1].bytes_s.value /= 1e3, system_of.tier[1].nic_bytes_s.value /= 1e3;
    stack.p2p_hidden.value = 0;
    const struct tr_step seen = price(&task, &l);
    double pass_s = 0;
    for (int i = TR_TERM_GEMM; i <= TR_TERM_HOST; i++)
        pass_s += seen.term_s[i];
    pass_s -= stack.host_step_s.value;
    stack.p2p_hidden.value = 1;
    const struct tr_step hidden = price(&task, &l);
    assert_true(seen.term_s[TR_TERM_PP] > 2 * pass_s);
    assert_near(hidden.term_s[TR_TERM_PP], seen.term_s[TR_TERM_PP] - pass_s, 1e-9);
    system_of.tier[1].bytes_s = network, system_of.tier[1].nic_bytes_s = card;
    stack.p2p_hidden = was;
}

/* The share that hides over links was seen over links: beyond them all of a tensor parallel message is. */
static void tensor_parallel_messages_hide_over_links_only(void **state)
{
    struct tr_model_shape wide = dense;
    struct tr_task task = task_of(&wide);
    const struct tr_fact was = stack.tp_hidden;
    (void)state;
    wide.width = 8192, wide.heads = wide.kv_heads = 64, wide.ffn = 4 * wide.width; /* products that have room for all of it */
    for (int32_t tp = 8; tp <= 16; tp *= 2) {
        struct tr_layout l = layout_of(tp, 1, 1);
        stack.tp_hidden.value = 0;
        double seen = price(&task, &l).term_s[TR_TERM_TP];
        stack.tp_hidden.value = .8;
        assert_near(price(&task, &l).term_s[TR_TERM_TP], seen * (tp == 8 ? .2 : 1), .02); /* the embedding's have no products */
    }
    stack.tp_hidden = was;
}

/* Eight experts of 64 on eight nodes: 5.25 of these are distinct. Inside of one node nothing changes. */
static void a_token_goes_to_a_node_once_where_the_stack_has_it_so(void **state)
{
    struct tr_model_shape model = experts;
    struct tr_task task = task_of(&model);
    struct tr_layout l = layout_of(1, 1, 64);
    const struct tr_fact was = stack.ep_hidden;
    (void)state;
    model.top_k = 8;
    stack.ep_hidden.value = 0;
    for (l.ep = 64; l.ep >= 8; l.ep /= 8) {
        double each = price(&task, &l).term_s[TR_TERM_EP];
        stack.dispatch_once = true;
        double once = price(&task, &l).term_s[TR_TERM_EP];
        assert_near(once / each, l.ep == 64 ? 5.251 / 8 : 1, .02);
        l.bare_exchange = true; /* by the library's all-to-all */
        assert_true(price(&task, &l).term_s[TR_TERM_EP] == each);
        l.bare_exchange = stack.dispatch_once = false;
    }
    stack.ep_hidden = was;
}

/* Eight experts of a token in four of eight groups: on as many nodes 3.6 of them have one, on 16 the groups are cut in two, on four
 * a node holds two. */
static void routing_by_groups_goes_to_fewer_nodes(void **state)
{
    static const struct {
        int32_t ep;
        double nodes, anywhere;
    } cases[] = {{8, 1, 1}, {32, 2.790, 3.600}, {64, 3.600, 5.251}, {128, 5.251, 6.454}};
    struct tr_model_shape model = experts;
    struct tr_task task = task_of(&model);
    struct tr_layout l = layout_of(1, 1, 128);
    const struct tr_fact was = stack.ep_hidden;
    (void)state;
    task.batch.global_batch = 128;
    model.experts = 128, model.top_k = 8;
    stack.ep_hidden.value = 0, stack.dispatch_once = true;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        l.ep = cases[i].ep;
        model.expert_groups = model.top_groups = 0;
        double anywhere = price(&task, &l).term_s[TR_TERM_EP];
        model.expert_groups = 8, model.top_groups = 4;
        assert_near(price(&task, &l).term_s[TR_TERM_EP] / anywhere, cases[i].nodes / cases[i].anywhere, .02);
    }
    stack.dispatch_once = false;
    stack.ep_hidden = was;
}

/* XLA's keeps no result of the feed-forward's first product: more time than Megatron's, less memory, and less of both changes
 * than by computing all again. */
static void selective_recompute_is_what_the_stack_says(void **state)
{
    struct tr_task task = task_of(&dense);
    struct tr_layout l = layout_of(1, 1, 8);
    const uint32_t was = stack.selective;
    (void)state;
    const struct tr_step none = price(&task, &l);
    l.rerun = TR_RERUN_SELECTIVE;
    const struct tr_step core = price(&task, &l);
    stack.selective = was | 1u << TR_PART_FFN;
    const struct tr_step wide = price(&task, &l);
    stack.selective = was;
    l.rerun = TR_RERUN_FULL;
    const struct tr_step full = price(&task, &l);
    assert_true(none.time_s < core.time_s && core.time_s < wide.time_s && wide.time_s < full.time_s);
    assert_true(none.memory_bytes >= core.memory_bytes && core.memory_bytes > wide.memory_bytes &&
                wide.memory_bytes > full.memory_bytes);
    /* of its two products of the same size the first */
    double both = full.term_s[TR_TERM_GEMM] - none.term_s[TR_TERM_GEMM], first = wide.term_s[TR_TERM_GEMM] - none.term_s[TR_TERM_GEMM];
    assert_true(first > .2 * both && first < .5 * both);
}

/* What is kept is not computed again: of the passes of a feed-forward and of experts only those over what is as wide as they are. */
static void selective_recompute_does_no_pass_again_whose_result_is_kept(void **state)
{
    static const char *const again[] = {"activation", "moe-permute", "moe-gated", "moe-shared"};
    struct tr_task task = task_of(&hybrid);
    struct tr_layout l = layout_of(1, 1, 8);
    struct tr_stack own = stack;
    struct tr_block block;
    struct tr_lowered ops;
    int found = 0, passes = 0;
    (void)state;
    own.selective = 1u << TR_PART_FFN | 1u << TR_PART_MOE;
    for (int kind = TR_BLOCK_FFN; kind <= TR_BLOCK_EXPERTS; kind++) {
        tr_block_make(&block, &hybrid, (enum tr_block_kind)kind, 0, &l, &task.batch);
        tr_lower(&block, &own, TR_FORMAT_BF16, &ops);
        for (int k = 0; k < ops.count; k++) {
            if (ops.op[k].kind != TR_STEP_PASS || ops.op[k].phase != TR_STEP_FORWARD)
                continue;
            bool listed = false;
            for (size_t i = 0; i < sizeof again / sizeof *again; i++)
                listed = listed || strcmp(ops.op[k].name, again[i]) == 0;
            if (tr_step_op_again(&own, &ops.op[k]) != listed)
                fail_msg("%s", ops.op[k].name);
            found += listed, passes++;
        }
    }
    assert_true(found == 4 && passes > 8);
}

static void a_stack_computes_again_only_parts_that_have_an_inside(void **state)
{
    static const char yaml[] = "stacks:\n  own:\n    like: plain\n    selective: [core, attention]\n";
    struct tr_catalog *own;
    struct tr_stack read;
    struct tr_err err = {""};
    (void)state;
    if (tr_catalog_open(&own, &err) || tr_catalog_add_text(own, "own.yaml", yaml, sizeof yaml - 1, &err))
        fail_msg("%s", err.text);
    assert_int_equal(tr_stack_find(own, "own", &read, &err), TR_BAD_INPUT);
    assert_string_equal(err.text, "own.yaml:4:16: stacks.own.selective: selective recompute computes the inside of core, ffn and moe "
                                  "again, and has none for attention");
    tr_catalog_free(own);
}

/* Ranks that cut an expert exchange its tokens among themselves, however many ranks of tp there are. */
static void experts_that_are_cut_exchange_tokens_among_their_ranks(void **state)
{
    struct tr_task task = task_of(&experts);
    struct tr_layout l = layout_of(1, 1, 8);
    (void)state;
    assert_true(price(&task, &l).term_s[TR_TERM_TP] == 0);
    l.etp = 2;
    double two = price(&task, &l).term_s[TR_TERM_TP];
    l.etp = 8;
    assert_true(two > 0 && price(&task, &l).term_s[TR_TERM_TP] > 3 * two);
}

/* Physics that no change of the model may turn round. */
static void better_hardware_is_never_slower(void **state)
{
    struct tr_task task = task_of(&dense);
    struct tr_layout l = layout_of(8, 2, 4);
    struct tr_err err = {""};
    (void)state;
    double before = price(&task, &l).time_s;
    for (int i = 0; i < 4; i++) {
        struct tr_system better = system_of;
        struct tr_site other;
        if (i == 0)
            better.chip.memory_bytes_s.value *= 1.5;
        else if (i == 1)
            better.chip.rate_flop_s[TR_RATE_BF16].value *= 1.5;
        else if (i == 2)
            better.tier[0].bytes_s.value *= 1.5;
        else
            better.tier[1].bytes_s.value *= 1.5;
        assert_int_equal(tr_site_make(&other, &better, &stack, TR_FORMAT_BF16, &err), TR_OK);
        struct tr_step step;
        assert_int_equal(tr_step_price(&other, &task, &l, &step, &err), TR_OK);
        assert_true(i < 2 ? step.time_s < before : step.time_s <= before); /* messages may all be hidden */
    }
}

/* Of a stage that fills a domain to the next one, from chip to chip. */
static void assert_no_send_is_faster_than_the_card(const struct tr_site *there, const char *of, const char *with)
{
    const double bytes = 1 << 28;
    struct tr_layout across = layout_of((int32_t)there->system->tier[0].domain_chips, 2, 1);
    if (there->system->tier_count < 2 || !tr_mesh_is_across(there, &across, TR_MESH_PP))
        return;
    const struct tr_tier *network = &there->system->tier[1];
    double card = tr_fact_or(&network->nic_bytes_s, network->bytes_s.value);
    if (tr_mesh_send(there, &across, TR_MESH_PP, bytes, 1).time_s < bytes / card * (1 - 1e-12))
        fail_msg("%s with %s: a message is faster than the card", of, with);
}

static void assert_no_op_is_faster_than_the_data_sheet(const struct tr_site *there, const char *of, const char *with)
{
    static const int64_t shapes[][4] = {{8192, 8192, 28672, 1}, {16384, 53248, 16384, 1}, {512, 2048, 7168, 64}, {1, 4096, 4096, 1}};
    const struct tr_block block = {.seqs = 1, .queries = 8192, .keys = 8192, .heads = 64, .kv_heads = 8, .dim_qk = 128, .dim_v = 128};
    const struct tr_layout layout = layout_of(1, 1, 1);
    const double pairs = 8192. * 8193 / 2, flop = 2 * pairs * 256 * 64;
    const double peak = there->rates.flop_s[tr_format_info(there->format)->rate];
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int64_t *s = shapes[i];
        struct tr_step_op op = {.kind = TR_STEP_GEMM, .m = s[0], .n = s[1], .k = s[2], .groups = s[3], .kernels = 1};
        double least_s = 2. * (double)s[0] * (double)s[1] * (double)s[2] * (double)s[3] / peak;
        if (tr_step_op_cost(there, &block, &layout, &op).time_s < least_s * (1 - 1e-12))
            fail_msg("%s with %s: product %zu is faster than its peak", of, with, i);
    }
    for (int backward = 0; backward < 2; backward++) {
        struct tr_step_op op = {.kind = TR_STEP_ATTENTION, .kernels = 1, .phase = backward ? TR_STEP_INPUT : TR_STEP_FORWARD};
        double least_s = flop * (backward ? 2.5 : 1) / there->rates.flop_s[tr_format_info(there->core)->rate];
        if (tr_step_op_cost(there, &block, &layout, &op).time_s < least_s * (1 - 1e-12))
            fail_msg("%s with %s: attention is faster than its peak", of, with);
    }
    struct tr_step_op op = {.kind = TR_STEP_PASS, .bytes = 1e9, .kernels = 1};
    if (tr_step_op_cost(there, &block, &layout, &op).time_s < 1e9 / there->rates.memory_bytes_s * (1 - 1e-12))
        fail_msg("%s with %s: a pass is faster than the memory", of, with);
}

/* What is fitted, to operations and to whole runs, may never say together that a chip does more than its maker says. */
static void no_stack_makes_a_chip_faster_than_its_data_sheet(void **state)
{
    static struct tr_stack with[64];
    const int stacks = tr_catalog_count(catalog, TR_SECTION_STACKS);
    struct tr_err err = {""};
    int checked = 0;
    (void)state;
    assert_true(stacks > 10 && stacks <= (int)(sizeof with / sizeof *with));
    for (int j = 0; j < stacks; j++)
        assert_int_equal(tr_stack_read(tr_catalog_entry(catalog, TR_SECTION_STACKS, j), &with[j], &err), TR_OK);
    for (int i = 0; i < tr_catalog_count(catalog, TR_SECTION_SYSTEMS); i++) {
        struct tr_system of;
        assert_int_equal(tr_system_read(tr_catalog_entry(catalog, TR_SECTION_SYSTEMS, i), &of, &err), TR_OK);
        for (int format = 0; format < TR_FORMAT_COUNT; format++) {
            struct tr_site there;
            if (tr_site_make(&there, &of, &with[0], (enum tr_format)format, &err) != TR_OK)
                continue;
            /* Its rates are the chip's, but for attention that was written for another one, which is slower: made once, as that takes long. */
            for (int j = 0; j < stacks; j++, checked++) {
                there.stack = &with[j];
                assert_no_op_is_faster_than_the_data_sheet(&there, of.name, with[j].name);
                assert_no_send_is_faster_than_the_card(&there, of.name, with[j].name);
            }
        }
    }
    assert_true(checked > 1000);
}

/* With it tokens stay cut, and each rank sends its own to the experts. */
static void without_sequence_parallel_experts_tokens_are_gathered_over_tp(void **state)
{
    struct tr_task task = task_of(&experts);
    struct tr_layout l = layout_of(4, 1, 2);
    struct tr_block block;
    struct tr_lowered ops;
    (void)state;
    for (int sp = 0; sp < 2; sp++) {
        int gathers = 0;
        l.sp = sp;
        tr_block_make(&block, &experts, TR_BLOCK_MOE, 0, &l, &task.batch);
        tr_lower(&block, &stack, TR_FORMAT_BF16, &ops);
        for (int k = 0; k < ops.count; k++) {
            const struct tr_step_op *op = &ops.op[k];
            if (op->part != TR_PART_MOE || op->mesh != TR_MESH_TP || op->kind != TR_STEP_COLLECTIVE)
                continue;
            assert_near(op->bytes, 2 * (double)block.tokens * (double)block.width, 1e-12);
            gathers += op->collective == TR_COLLECTIVE_ALL_GATHER;
        }
        assert_int_equal(gathers, sp ? 0 : 2);
    }
}

/* Weights of experts that are shared out are gathered like all others: those of two layers stand there whole. */
static void shared_out_experts_are_gathered_too(void **state)
{
    struct tr_task task = task_of(&experts);
    struct tr_layout l = layout_of(1, 1, 8);
    (void)state;
    l.zero = 2;
    double before = price(&task, &l).memory[TR_MEM_BUFFERS];
    l.zero = 3;
    double layer = tr_shape_params(&experts).expert / experts.layers;
    double attention = 4. * 2048 * 2048, embedding = 51200. * 2048;
    assert_near(price(&task, &l).memory[TR_MEM_BUFFERS] - before, 2 * 2 * (layer + attention), .01);
    l.ep = 8; /* each rank has experts of its own, and nobody to gather them from */
    assert_near(price(&task, &l).memory[TR_MEM_BUFFERS] - before, 2 * 2 * embedding + stack.comm_bytes.value, .01);
}

static void recomputing_trades_time_for_memory(void **state)
{
    struct tr_task task = task_of(&dense);
    struct tr_layout l = layout_of(2, 4, 1);
    (void)state;
    struct tr_step none = price(&task, &l);
    l.rerun = TR_RERUN_FULL, l.rerun_layers = 3;
    struct tr_step some = price(&task, &l);
    l.rerun_layers = 0;
    struct tr_step full = price(&task, &l);
    assert_true(none.time_s < some.time_s && some.time_s < full.time_s);
    assert_true(none.memory_bytes > some.memory_bytes && some.memory_bytes > full.memory_bytes);
    /* A forward pass more: a third, but for what is not in layers. */
    assert_true(full.time_s / none.time_s > 1.2 && full.time_s / none.time_s < 1.36);
}

static void a_format_that_the_chip_lacks_is_refused(void **state)
{
    struct tr_site other;
    struct tr_err err = {""};
    (void)state;
    assert_int_equal(tr_site_make(&other, &system_of, &stack, TR_FORMAT_FP8, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "fp8"));
}

/* Where exponentials keep up with it alone. */
static void attention_is_in_8_bits_where_stack_format_and_chip_have_it_so(void **state)
{
    static const struct {
        const char *system, *stack;
        enum tr_format format, core;
    } cases[] = {{"gb300-nvl72", "megatron-bridge-26.06", TR_FORMAT_MXFP8, TR_FORMAT_FP8},
                 {"gb300-nvl72", "megatron-bridge-26.06", TR_FORMAT_FP8, TR_FORMAT_BF16},
                 {"gb200-nvl72", "megatron-bridge-26.06", TR_FORMAT_MXFP8, TR_FORMAT_BF16},
                 {"gb300-nvl72", "megatron-bridge-26", TR_FORMAT_MXFP8, TR_FORMAT_BF16}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tr_system system;
        struct tr_stack own;
        struct tr_site there;
        struct tr_err err = {""};
        if (tr_system_find(catalog, cases[i].system, &system, &err) || tr_stack_find(catalog, cases[i].stack, &own, &err) ||
            tr_site_make(&there, &system, &own, cases[i].format, &err))
            fail_msg("%s", err.text);
        assert_int_equal(there.core, cases[i].core);
    }
}

static void a_stack_without_runs_has_the_fit_of_its_kin_but_for_what_it_says_itself(void **state)
{
    struct tr_stack kin, own;
    struct tr_err err = {""};
    (void)state;
    assert_int_equal(tr_stack_find(catalog, "megatron-core", &kin, &err), TR_OK);
    assert_int_equal(tr_stack_find(catalog, "hai-llm", &own, &err), TR_OK);
    assert_true(own.compute_share.value == kin.compute_share.value && own.host_step_s.value == kin.host_step_s.value);
    assert_true(own.ep_hidden.value == 1 && kin.ep_hidden.value < 1);
    assert_true(own.error.value != kin.error.value && own.error.grade == TR_GRADE_ASSUMED);
    assert_true(kin.runs && !own.runs); /* and its kin's runs are none of its own */
}

static void operations_add_to_the_error_where_the_stack_has_no_runs(void **state)
{
    static const struct {
        const char *system;
        enum tr_format format;
        bool known;
    } cases[] = {{"dgx-h100", TR_FORMAT_FP8, true}, {"dgx-h100", TR_FORMAT_FP16, false}, {"dgx-a100-80", TR_FORMAT_BF16, false}};
    const struct tr_task task = task_of(&dense);
    const struct tr_layout layout = layout_of(2, 4, 4);
    double unknown_error = 0;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tr_system system;
        struct tr_stack own;
        struct tr_site there;
        struct tr_step step;
        struct tr_err err = {""};
        if (tr_system_find(catalog, cases[i].system, &system, &err) || tr_stack_find(catalog, "megatron-core", &own, &err) ||
            tr_site_make(&there, &system, &own, cases[i].format, &err))
            fail_msg("%s", err.text);
        assert_true(there.known == cases[i].known);
        own.error.value = 1e-6; /* so that operations would be more */
        assert_int_equal(tr_step_price(&there, &task, &layout, &step, &err), TR_OK);
        assert_true((step.error == 1e-6) == there.known);
        unknown_error = fmax(unknown_error, there.known ? 0 : step.error);
    }
    assert_true(unknown_error > .01 && unknown_error < 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stack_without_runs_has_the_fit_of_its_kin_but_for_what_it_says_itself),
        cmocka_unit_test(operations_add_to_the_error_where_the_stack_has_no_runs),
        cmocka_unit_test(terms_of_time_and_of_memory_sum_to_it),
        cmocka_unit_test(all_layouts_do_the_work_of_the_model),
        cmocka_unit_test(tokens_are_gathered_in_the_format_of_the_products_that_read_them),
        cmocka_unit_test(weights_of_all_stages_are_those_of_the_model),
        cmocka_unit_test(modules_for_further_tokens_are_layers_and_the_head_again),
        cmocka_unit_test(schedules_cost_what_their_walk_costs),
        cmocka_unit_test(schedules_of_uneven_stages_cost_what_their_walk_costs),
        cmocka_unit_test(a_walk_does_everything_once_and_nothing_at_the_same_time),
        cmocka_unit_test(a_walk_knows_how_many_layers_a_chunk_has),
        cmocka_unit_test(a_zero_bubble_holds_no_more_than_is_counted),
        cmocka_unit_test(a_layer_of_experts_waits_for_its_host),
        cmocka_unit_test(attention_is_in_8_bits_where_stack_format_and_chip_have_it_so),
        cmocka_unit_test(biases_of_experts_and_bare_exchanges_take_time),
        cmocka_unit_test(messages_hide_under_no_more_compute_than_there_is),
        cmocka_unit_test(messages_over_links_hide_under_no_more_compute_either),
        cmocka_unit_test(sends_hide_under_no_more_than_the_pass_of_a_chunk),
        cmocka_unit_test(tensor_parallel_messages_hide_over_links_only),
        cmocka_unit_test(a_token_goes_to_a_node_once_where_the_stack_has_it_so),
        cmocka_unit_test(routing_by_groups_goes_to_fewer_nodes),
        cmocka_unit_test(selective_recompute_is_what_the_stack_says),
        cmocka_unit_test(selective_recompute_does_no_pass_again_whose_result_is_kept),
        cmocka_unit_test(a_stack_computes_again_only_parts_that_have_an_inside),
        cmocka_unit_test(experts_that_are_cut_exchange_tokens_among_their_ranks),
        cmocka_unit_test(better_hardware_is_never_slower),
        cmocka_unit_test(no_stack_makes_a_chip_faster_than_its_data_sheet),
        cmocka_unit_test(without_sequence_parallel_experts_tokens_are_gathered_over_tp),
        cmocka_unit_test(shared_out_experts_are_gathered_too),
        cmocka_unit_test(recomputing_trades_time_for_memory),
        cmocka_unit_test(a_format_that_the_chip_lacks_is_refused),
    };
    return cmocka_run_group_tests(tests, open_site, tr_catalog_teardown);
}
