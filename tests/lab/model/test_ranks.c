/* Several ranks compute what one rank computes, to the bit, and send and hold what the step program says. */
#include "lab/model/fixture.h"
#include "lib/sanitized.h"
#include "silicon/coll/coll.h"

#include <stdio.h>
#include <stdlib.h>

enum { SEQ_LEN = 70, STEPS = TR_SANITIZED ? 2 : 3, RANKS_MAX = 8 };
enum { EVERY = TR_SANITIZED ? 5 : 1 }; /* which layouts */

struct layout {
    int32_t lanes, dp, zero, pp, vpp, layers; /* 0: as the fixture has it */
    int32_t tp, tensor; /* tensor: parts, 0 as 2 */
    int32_t cp, context; /* the same; 0 as 1 */
    bool sequence;
};

#define PP(lanes, dp, zero, pp, vpp, layers) {lanes, dp, zero, pp, vpp, layers, 0, 0, 0, 0, false}
#define DP(lanes, dp, zero) PP(lanes, dp, zero, 0, 0, 0)

/* What all ranks share: the run, and the memory in which they put its result together. */
struct job {
    struct tr_model_config model;
    struct tr_step_config step;
    enum tr_isa isa;
    struct tr_exec *one; /* the same run on one rank */
    struct tr_step_result result;
};

static int64_t targets_of(const struct tr_exec *e, int64_t first, int64_t sequences)
{
    int64_t count = 0;
    for (int64_t i = 0; i < sequences * e->program->seq_len; i++)
        count += (first * e->program->seq_len + i) % 7 != 3;
    return count;
}

/* This rank's lanes of the batch that begins with sequence `first`. */
static void fill_lanes(struct tr_exec *e, int64_t first)
{
    const struct tr_program *p = e->program;
    int64_t lane = p->sequences / p->lanes.count;
    for (int32_t k = 0; k < p->lanes.count; k++)
        fixture_fill_at(e, k * lane, first + (p->lanes.first + k * p->lanes.step) * lane, lane);
}

/* Steps on the same batches as fixture_train's, of which a rank sees its own sequences alone. */
static struct tr_step_result train(struct tr_exec *e, int64_t steps)
{
    const struct tr_hyper hyper = {1e-2, 0.9, 0.95, 1e-8, 0.1, 1.0, 0.95};
    struct tr_step_result result = {0};
    int64_t batch = e->program->step.batch;
    for (int64_t step = 1; step <= steps; step++) {
        fill_lanes(e, (step - 1) * batch);
        tr_exec_set_hyper(e, &hyper, step);
        result = tr_exec_gradients(e, targets_of(e, (step - 1) * batch, batch));
        tr_exec_update(e);
    }
    return result;
}

/* What a rank finds goes back as a status: cmocka's assertions are for the thread of the test alone. */
static enum tr_status equal(const char *what, int64_t is, int64_t should_be, struct tr_err *err)
{
    if (is == should_be)
        return TR_OK;
    return tr_fail(err, TR_FAILED, "%s: %lld, should be %lld", what, (long long)is, (long long)should_be);
}

/* Whether elements `range` of this rank's portion of a weight, of `bytes` each, are those of the whole. */
static bool same_elements(const struct tr_program *p, int32_t index, struct tr_range range, const void *mine, const void *whole, int64_t bytes)
{
    struct tr_portion portion = tr_program_portion(p, index);
    bool same = true;
    for (int64_t n, at, i = range.first; i < range.last && same; i += n) {
        n = tr_portion_run(&p->weights.weight[index], portion, i, &at);
        n = n < range.last - i ? n : range.last - i;
        same = memcmp((const char *)mine + (i - range.first) * bytes, (const char *)whole + at * bytes, (size_t)(n * bytes)) == 0;
    }
    return same;
}

/* What operations read of a weight, from element `first` on. */
static bool same_copy(const struct tr_exec *e, const struct tr_exec *one, int32_t index, int64_t first)
{
    const struct tr_program *p = e->program, *alone = one->program;
    if (p->first_copy < 0)
        return true;
    int64_t bytes = tr_dtype_bytes(p->step.dtype), count = p->buffer[p->first_copy + index].bytes / bytes;
    return same_elements(p, index, (struct tr_range){first, first + count}, tr_exec_buffer(e, p->first_copy + index),
                         tr_exec_buffer(one, alone->first_copy + index), bytes);
}

/* Where the slice begins of which this rank has what operations read, also where it is of a table that another stage trains. */
static int64_t first_read(const struct tr_program *p, int32_t index)
{
    int64_t at[RANKS_MAX + 1];
    tr_slices_cut(p, index, tr_rank_index(&p->step.place, TR_GROUP_TENSOR), at);
    return at[tr_rank_index(&p->step.place, TR_GROUP_DATA)];
}

/* All that this rank has of weights and moments is what one rank has alone. */
static enum tr_status same_as_one(const struct tr_exec *e, const struct tr_exec *one, struct tr_err *err)
{
    const struct tr_program *p = e->program;
    for (int32_t i = 0; i < p->weights.count; i++) {
        const struct tr_weight *w = &p->own[i];
        struct tr_range slice = tr_program_slice(p, i), held = tr_program_held(p, i), all = {0, w->count};
        if (p->first_copy < 0 && p->buffer[p->first_weight + i].bytes > 0 && !p->has_read_slices)
            held = all; /* a table that the last stage reads, too */
        bool same = same_elements(p, i, held, tr_exec_weight(e, i), tr_exec_weight(one, i), 4);
        same = same && (w->moments < 1 || same_elements(p, i, slice, tr_exec_moment_m(e, i), tr_exec_moment_m(one, i), 4));
        same = same && (w->moments < 2 || same_elements(p, i, slice, tr_exec_moment_v(e, i), tr_exec_moment_v(one, i), 4));
        same = same && same_copy(e, one, i, p->has_read_slices ? first_read(p, i) : 0);
        if (!same)
            return tr_fail(err, TR_FAILED, "rank %d: %s differs", p->step.place.rank, w->name);
    }
    return TR_OK;
}

static void note_sent(const struct tr_exec *e, int64_t sent[TR_COLL_KIND_COUNT])
{
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++) {
        sent[kind] = 0;
        for (int group = 0; group < TR_GROUP_COUNT; group++)
            sent[kind] += e->group[group] ? tr_comm_counted(e->group[group], kind)->sent_bytes : 0;
    }
}

static enum tr_status sent_as_planned(const struct tr_exec *e, int64_t steps, const int64_t before[TR_COLL_KIND_COUNT],
                                      struct tr_err *err)
{
    int64_t planned[TR_COLL_KIND_COUNT], sent[TR_COLL_KIND_COUNT];
    enum tr_status status = equal("something is sent", tr_program_sent_bytes(e->program, planned) > 0, true, err);
    note_sent(e, sent);
    for (int kind = TR_COLL_BARRIER; kind < TR_COLL_KIND_COUNT && status == TR_OK; kind++)
        status = equal(tr_coll_kind_name(kind), sent[kind] - before[kind], steps * planned[kind], err);
    return status;
}

static enum tr_status counted_as_planned(const struct tr_exec *e, int64_t steps, const struct tr_work *before,
                                         struct tr_err *err)
{
    struct tr_work planned = tr_program_step_work(e->program);
    int64_t flop = e->count.flop - before->flop;
    bool bound = e->program->step.apart && flop <= steps * planned.flop;
    enum tr_status status = equal("FLOP", flop, bound ? flop : steps * planned.flop, err);
    if (status == TR_OK)
        status = equal("bytes read", e->count.read_bytes - before->read_bytes, steps * planned.read_bytes, err);
    if (status == TR_OK)
        status = equal("bytes written", e->count.write_bytes - before->write_bytes, steps * planned.write_bytes, err);
    return status;
}

static enum tr_status start(struct tr_exec *e, struct tr_program *p, const struct job *job, struct tr_comm *world,
                            struct tr_err *err)
{
    struct tr_step_config step = job->step;
    step.place.rank = tr_comm_index(world);
    enum tr_status status = tr_program_train(p, &job->model, &step, fixture_machine(job->isa, 1), err);
    if (status == TR_OK)
        status = tr_exec_open(e, p, fixture_machine(job->isa, 1), NULL, err);
    if (status == TR_OK)
        status = tr_exec_join(e, world, err);
    if (status != TR_OK)
        return status;
    tr_exec_init(e, 42);
    return tr_exec_failed(e, err);
}

/* Groups are freed by all ranks together, so that one which has failed says so first. */
static enum tr_status finish(struct tr_exec *e, struct tr_program *p, struct tr_comm *world, enum tr_status status,
                             const struct tr_err *err)
{
    if (status != TR_OK)
        tr_comm_fail(world, status, err);
    fixture_close(e, p);
    return status;
}

static enum tr_status rank_trains(struct tr_comm *world, void *user, struct tr_err *err)
{
    struct job *job = user;
    struct tr_program p;
    struct tr_exec e;
    int64_t sent[TR_COLL_KIND_COUNT];
    enum tr_status status = start(&e, &p, job, world, err);
    if (status != TR_OK)
        return status;
    struct tr_work before = {e.count.flop, e.count.read_bytes, e.count.write_bytes};
    note_sent(&e, sent);
    struct tr_step_result result = train(&e, STEPS);
    status = tr_exec_failed(&e, err);
    if (status == TR_OK)
        status = equal("loss and norm are those of one rank",
                       result.finite && result.loss == job->result.loss && result.grad_norm == job->result.grad_norm, true, err);
    if (status == TR_OK)
        status = same_as_one(&e, job->one, err);
    if (status == TR_OK)
        status = sent_as_planned(&e, STEPS, sent, err);
    if (status == TR_OK)
        status = counted_as_planned(&e, STEPS, &before, err);
    return finish(&e, &p, world, status, err);
}

static struct tr_model_config model_of(int family) { return family == 0 ? fixture_gpt2() : fixture_llama(); }

static struct job job_of(int family, enum tr_dtype dtype, enum tr_optimizer optimizer, struct layout layout)
{
    struct job job = {.model = model_of(family), .step = fixture_step(2 * layout.lanes, 1, SEQ_LEN),
                      .isa = fixture_best_isa()};
    job.step.dtype = dtype;
    job.step.optimizer = optimizer;
    job.step.widths = (struct tr_widths){layout.lanes, 1, layout.tensor ? layout.tensor : 2, 2};
    job.step.place.degrees = (struct tr_degrees){.ranks = {[TR_GROUP_TENSOR] = layout.tp, [TR_GROUP_CONTEXT] = layout.cp,
                                                          [TR_GROUP_DATA] = layout.dp, [TR_GROUP_PIPE] = layout.pp},
                                                 .chunks = layout.vpp, .sequence = layout.sequence, .zero = layout.zero};
    if (layout.layers)
        job.model.layers = layout.layers;
    if (layout.context > 1) { /* and two blocks more in the last part than in the first */
        job.step.widths.context = layout.context;
        job.step.seq_len = job.model.positions = 64 * layout.context + 64 + 9;
    }
    return job;
}

static void run_ranks(struct job *job, tr_rank_fn *run)
{
    struct tr_err err = {{0}};
    if (tr_ranks_run((int)tr_degrees_ranks(&job->step.place.degrees), NULL, run, job, &err) != TR_OK)
        fail_msg("%s", err.text);
}

static void expect_one_result(struct job job, int64_t micro_batch)
{
    struct tr_program p;
    struct tr_exec e;
    struct tr_step_config alone = job.step;
    alone.place = (struct tr_rank_place){0};
    fixture_open(&e, &p, &job.model, &alone, fixture_machine(job.isa, 1));
    job.result = fixture_train(&e, STEPS);
    job.one = &e;
    job.step.micro_batch = micro_batch;
    run_ranks(&job, rank_trains);
    fixture_close(&e, &p);
}

static void ranks_that_share_the_lanes_compute_what_one_does(void **state)
{
    (void)state;
    static const struct layout layouts[] = {DP(2, 2, 0), DP(8, 2, 0), DP(8, 3, 0), DP(8, 4, 0), DP(8, 8, 0), DP(5, 2, 0), DP(7, 5, 0)};
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        for (int family = 0; family < 2; family++)
            expect_one_result(job_of(family, i % 2 ? TR_BF16 : TR_F32, TR_OPTIMIZER_ADAMW, layouts[i]), 1 + (int64_t)i % 2);
}

static void so_they_do_with_the_optimiser_shared_out(void **state)
{
    (void)state;
    static const struct layout layouts[] = {DP(2, 2, 1), DP(8, 2, 1), DP(8, 3, 1), DP(8, 8, 1), DP(5, 4, 1)};
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        for (int family = 0; family < 2; family++)
            for (int dtype = 0; dtype < 2; dtype++)
                expect_one_result(job_of(family, dtype ? TR_BF16 : TR_F32, TR_OPTIMIZER_ADAMW, layouts[i]), 2);
}

static void so_they_do_with_muon_whose_matrices_stay_whole(void **state)
{
    (void)state;
    static const struct layout layouts[] = {DP(4, 2, 0), DP(4, 2, 1), DP(6, 3, 1)};
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        for (int family = 0; family < 2; family++)
            expect_one_result(job_of(family, family ? TR_BF16 : TR_F32, TR_OPTIMIZER_MUON, layouts[i]), 1);
}

/* ---- gradients and weights shared out ------------------------------------------------------------------------------ */

static const struct layout shared[] = {
    DP(2, 2, 2), DP(8, 2, 3), DP(8, 4, 2), DP(8, 8, 3), DP(8, 8, 2),
    DP(5, 2, 3), DP(7, 4, 2), DP(5, 4, 3), /* a last round in which not all ranks have a lane */
    DP(8, 3, 2), DP(8, 3, 3), DP(7, 5, 3), DP(8, 6, 2), DP(8, 7, 3), /* rounds of several subtrees */
};
enum { SHARED = sizeof shared / sizeof *shared };

/* One microbatch a lane, and two. */
static void so_they_do_with_gradients_and_weights_shared_out(void **state)
{
    (void)state;
    for (int i = 0; i < SHARED; i += EVERY)
        for (int family = 0; family < 2; family++)
            for (int dtype = 0; dtype < 2; dtype++) {
                struct job job = job_of(family, dtype ? TR_BF16 : TR_F32, TR_OPTIMIZER_ADAMW, shared[i]);
                job.step.recompute = (enum tr_recompute)((i + dtype) % 3);
                job.step.foreground = (i + family + dtype) % 4 == 0;
                expect_one_result(job, 1 + (i + family) % 2);
            }
}

static void so_they_do_then_with_muon_adapters_and_documents_apart(void **state)
{
    (void)state;
    for (int i = 1; i < SHARED; i += 3)
        for (int family = 0; family < 2; family++) {
            struct job job = job_of(family, family ? TR_BF16 : TR_F32, TR_OPTIMIZER_MUON, shared[i]);
            expect_one_result(job, 2);
            job.step.optimizer = TR_OPTIMIZER_ADAMW;
            job.step.apart = true;
            expect_one_result(job, 1);
            job.model.lora = (struct tr_lora){3, 6.0, 1u << TR_LORA_Q | 1u << TR_LORA_DOWN};
            expect_one_result(job, 2);
        }
}

/* ---- pipelines ----------------------------------------------------------------------------------------------------- */

static const struct layout pipelines[] = {
    PP(1, 1, 0, 2, 1, 2), /* as many layers as stages, one or two microbatches */
    PP(2, 1, 0, 2, 1, 3), /* layers that do not divide */
    PP(4, 2, 0, 2, 1, 4),
    PP(4, 2, 1, 2, 1, 6),
    PP(5, 1, 0, 3, 1, 7),
    PP(1, 1, 0, 5, 1, 5), /* more stages than microbatches */
    PP(2, 1, 0, 2, 2, 4),
    PP(3, 1, 0, 2, 3, 6),
    PP(7, 3, 1, 2, 2, 6), /* lanes that dp does not divide, layers that stages do not */
    PP(3, 1, 0, 3, 2, 6), /* microbatches that fill no group of stages */
    PP(4, 2, 2, 2, 1, 3),
    PP(4, 4, 3, 2, 2, 5),
    PP(5, 2, 3, 3, 1, 4), /* a last round in which not all ranks have a lane */
    PP(7, 4, 2, 2, 2, 6),
    PP(8, 3, 2, 2, 2, 4), /* rounds of several subtrees */
    PP(7, 3, 3, 2, 1, 3),
};
enum { PIPELINES = sizeof pipelines / sizeof *pipelines };

static void stages_of_a_pipeline_compute_what_one_rank_does(void **state)
{
    (void)state;
    for (int i = 0; i < PIPELINES; i += EVERY)
        for (int family = 0; family < 2; family++)
            for (int dtype = 0; dtype < 2; dtype++) {
                struct job job = job_of(family, dtype ? TR_BF16 : TR_F32, TR_OPTIMIZER_ADAMW, pipelines[i]);
                job.step.recompute = (enum tr_recompute)((i + dtype) % 3);
                expect_one_result(job, 1 + (i + family) % 2);
            }
}

static void so_they_do_with_documents_apart_and_with_muon(void **state)
{
    (void)state;
    static const struct layout layouts[] = {PP(4, 2, 1, 2, 1, 4), PP(2, 1, 0, 2, 2, 5), PP(4, 2, 3, 2, 2, 4)};
    for (int i = 0; i < 3; i++)
        for (int family = 0; family < 2; family++) {
            struct job job = job_of(family, family ? TR_BF16 : TR_F32, TR_OPTIMIZER_MUON, layouts[i]);
            expect_one_result(job, 1);
            job.step.optimizer = TR_OPTIMIZER_ADAMW;
            job.step.apart = true;
            expect_one_result(job, 1);
        }
}

/* Then gradients have several leaves, of which the tied table's last stage sends the first. */
static void so_they_do_with_context_parts(void **state)
{
    (void)state;
    for (int family = 0; family < 2; family++)
        for (int32_t zero = 0; zero < 4; zero += 3) {
            struct layout layout = PP(2, zero ? 2 : 1, zero, 2, 1, 2);
            struct job job = job_of(family, family ? TR_F32 : TR_BF16, TR_OPTIMIZER_ADAMW, layout);
            job.step.seq_len = 140;
            job.step.widths.context = 2;
            expect_one_result(job, 1);
        }
}

static void so_they_do_with_adapters_whose_table_is_not_trained(void **state)
{
    (void)state;
    for (int family = 0; family < 2; family++)
        for (int32_t zero = 1; zero < 4; zero++) {
            struct job job = job_of(family, family ? TR_F32 : TR_BF16, TR_OPTIMIZER_ADAMW, (struct layout)PP(2, 2, zero, 2, 2, 4));
            job.model.lora = (struct tr_lora){3, 6.0, 1u << TR_LORA_Q | 1u << TR_LORA_DOWN};
            expect_one_result(job, 1);
        }
}

/* ---- tensor parts -------------------------------------------------------------------------------------------------- */

static const struct layout tensors[] = {
    {.lanes = 1, .tp = 2}, {.lanes = 3, .tp = 2}, {.lanes = 4, .dp = 2, .tp = 2},
    {.lanes = 1, .tp = 4, .tensor = 4}, {.lanes = 2, .tp = 2, .tensor = 4},
    {.lanes = 1, .tp = 2, .tensor = 5}, {.lanes = 2, .tp = 3, .tensor = 5}, /* parts that differ; several subtrees a rank */
    {.lanes = 2, .tp = 3, .tensor = 6}, {.lanes = 4, .dp = 2, .tp = 2, .zero = 1, .tensor = 3},
    {.lanes = 4, .dp = 2, .tp = 2, .zero = 2}, {.lanes = 5, .dp = 3, .tp = 2, .zero = 3, .tensor = 3},
    {.lanes = 4, .dp = 2, .tp = 2, .zero = 1, .pp = 2, .vpp = 1, .layers = 4}, {.lanes = 4, .dp = 2, .tp = 2, .zero = 3, .pp = 2, .layers = 4},
    {.lanes = 2, .tp = 2, .pp = 2, .vpp = 2, .layers = 5},
};
enum { TENSORS = sizeof tensors / sizeof *tensors };

/* A model with heads enough for the parts, and in the second family not all alike: 7 groups, and 19 pairs of columns; groups of
 * several heads, or norms of queries and keys. */
static struct job job_of_parts(int family, enum tr_dtype dtype, struct layout layout)
{
    struct job job = job_of(family, dtype, TR_OPTIMIZER_ADAMW, layout);
    if (layout.tensor == 0)
        return job;
    job.model.kv_heads = family == 0 ? 6 : 7;
    job.model.qk_norm = family == 1 && layout.tensor != 5;
    job.model.heads = job.model.kv_heads * (family == 1 && layout.tensor == 5 ? 2 : 1);
    job.model.head_dim = 4;
    job.model.ffn = family == 0 ? 40 : 38;
    return job;
}

static void ranks_that_share_tensor_parts_compute_what_one_does(void **state)
{
    (void)state;
    for (int i = 0; i < TENSORS; i += EVERY)
        for (int family = 0; family < 2; family++)
            for (int dtype = 0; dtype < 2; dtype++) {
                struct job job = job_of_parts(family, dtype ? TR_BF16 : TR_F32, tensors[i]);
                job.step.recompute = (enum tr_recompute)((i + dtype) % 3);
                expect_one_result(job, 1 + (i + family) % 2);
            }
}

/* Query and key norms have leaves of context parts and of tensor parts, biases of the stream of sequence parts. */
static void so_they_do_with_context_parts_and_documents_apart(void **state)
{
    (void)state;
    for (int i = 0; i < TENSORS; i += 2 * EVERY)
        for (int family = 0; family < 2; family++) {
            struct job job = job_of_parts(family, family ? TR_BF16 : TR_F32, tensors[i]);
            job.step.seq_len = 140;
            job.step.widths.context = 2;
            expect_one_result(job, 1);
            job.step.apart = true;
            expect_one_result(job, 1);
        }
}

/* ---- context parts ------------------------------------------------------------------------------------------------- */

static const struct layout contexts[] = {
    {.lanes = 2, .cp = 2, .context = 2},
    {.lanes = 1, .cp = 2, .context = 5},                              /* several parts to a rank, and several subtrees */
    {.lanes = 3, .cp = 3, .context = 7},
    {.lanes = 4, .dp = 2, .cp = 2, .context = 3, .zero = 1},
    {.lanes = 5, .dp = 2, .cp = 2, .context = 2, .zero = 2},
    {.lanes = 4, .dp = 2, .cp = 3, .context = 3, .zero = 3},
    {.lanes = 3, .pp = 2, .vpp = 1, .layers = 3, .cp = 2, .context = 3},
    {.lanes = 2, .pp = 2, .vpp = 2, .layers = 5, .cp = 2, .context = 2},
    {.lanes = 2, .tp = 2, .cp = 2, .context = 3},
    {.lanes = 2, .dp = 2, .tp = 2, .cp = 2, .tensor = 3, .context = 2, .zero = 1},
};
enum { CONTEXTS = sizeof contexts / sizeof *contexts };

static void ranks_that_share_context_parts_compute_what_one_does(void **state)
{
    (void)state;
    for (int i = 0; i < CONTEXTS; i += EVERY)
        for (int family = 0; family < 2; family++)
            for (int dtype = 0; dtype < 2; dtype++) {
                struct layout layout = contexts[i];
                layout.tensor = layout.tensor ? layout.tensor : 2;
                struct job job = job_of_parts(family, dtype ? TR_BF16 : TR_F32, layout);
                job.step.recompute = (enum tr_recompute)((i + dtype) % 3);
                expect_one_result(job, 1 + (i + family) % 2);
            }
}

static void so_they_do_there_with_documents_apart_muon_and_adapters(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        for (int family = 0; family < 2; family++) {
            struct job job = job_of(family, family ? TR_BF16 : TR_F32, TR_OPTIMIZER_MUON, contexts[i]);
            if (job.model.kv_heads < contexts[i].cp)
                continue;
            job.step.apart = true;
            expect_one_result(job, 2);
            job.step.optimizer = TR_OPTIMIZER_ADAMW;
            job.model.lora = (struct tr_lora){3, 6.0, 1u << TR_LORA_Q | 1u << TR_LORA_O};
            expect_one_result(job, 1);
        }
}

/* ---- memory -------------------------------------------------------------------------------------------------------- */

static enum tr_status rank_touches(struct tr_comm *world, void *user, struct tr_err *err)
{
    static const enum tr_region region[] = {TR_REGION_WORK, TR_REGION_GRADIENTS};
    const struct job *job = user;
    struct tr_program p;
    struct tr_exec e;
    enum tr_status status = start(&e, &p, job, world, err);
    if (status != TR_OK)
        return status;
    for (int i = 0; i < 2 && status == TR_OK; i++)
        status = equal(tr_region_name(region[i]), fixture_touched(&e, region[i], train), p.region_bytes[region[i]], err);
    if (status == TR_OK)
        status = tr_exec_failed(&e, err);
    return finish(&e, &p, world, status, err);
}

static void peak_memory_touched_by_each_rank_equals_the_plan(void **state)
{
    (void)state;
    for (int zero = 0; zero < 4; zero++)
        for (int family = 0; family < 2; family++)
            for (int32_t dp = 3; dp < 5; dp++) {
                struct job job = job_of(family, TR_F32, TR_OPTIMIZER_ADAMW, (struct layout)DP(8, dp, zero));
                job.step.micro_batch = 1 + family;
                run_ranks(&job, rank_touches);
            }
}

static void so_it_does_on_each_stage_of_a_pipeline(void **state)
{
    (void)state;
    for (int i = 0; i < PIPELINES; i += EVERY) {
        struct job job = job_of(i % 2, TR_F32, TR_OPTIMIZER_ADAMW, pipelines[i]);
        job.step.recompute = (enum tr_recompute)(i % 3);
        run_ranks(&job, rank_touches);
    }
}

static void so_it_does_where_tensor_parts_are_shared(void **state)
{
    (void)state;
    for (int i = 0; i < TENSORS; i += EVERY) {
        struct job job = job_of_parts(i % 2, TR_F32, tensors[i]);
        job.step.recompute = (enum tr_recompute)(i % 3);
        run_ranks(&job, rank_touches);
    }
}

static void so_it_does_where_context_parts_are_shared(void **state)
{
    (void)state;
    for (int i = 0; i < CONTEXTS; i += EVERY) {
        struct layout layout = contexts[i];
        layout.tensor = layout.tensor ? layout.tensor : 2;
        struct job job = job_of_parts(i % 2, TR_F32, layout);
        job.step.recompute = (enum tr_recompute)(i % 3);
        run_ranks(&job, rank_touches);
    }
}

/* Tensor parallel ranks that share the stream's tokens, in all that they and ranks of contexts do. */
static void ranks_that_share_the_tokens_of_the_stream_do_too(void **state)
{
    (void)state;
    for (int i = 0; i < TENSORS + CONTEXTS; i += EVERY)
        for (int family = 0; family < 2; family++) {
            struct layout layout = i < TENSORS ? tensors[i] : contexts[i - TENSORS];
            if (layout.tp < 2)
                continue;
            layout.sequence = true;
            layout.tensor = layout.tensor ? layout.tensor : 2;
            struct job job = job_of_parts(family, (i + family) % 2 ? TR_BF16 : TR_F32, layout);
            job.step.recompute = (enum tr_recompute)(i % 3);
            expect_one_result(job, 1 + (i + family) % 2);
            job.step.apart = true;
            expect_one_result(job, 2);
            run_ranks(&job, rank_touches);
        }
}

/* ---- by chance ----------------------------------------------------------------------------------------------------- */

struct dice {
    struct tr_rng_key key;
    uint64_t thrown;
};

static int32_t below(struct dice *dice, int32_t limit) { return (int32_t)tr_rng_below(dice->key, dice->thrown++, (uint64_t)limit); }
static int32_t up_to(struct dice *dice, int32_t most) { return 1 + below(dice, most); }
static int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }

static struct tr_model_config model_by_chance(struct dice *dice)
{
    int family = below(dice, 2);
    struct tr_model_config model = model_of(family);
    model.kv_heads = up_to(dice, 6);
    model.heads = model.kv_heads * (family ? up_to(dice, 3) : 1);
    model.head_dim = 2 * up_to(dice, 4);
    model.width = family ? 4 * up_to(dice, 10) : model.heads * model.head_dim;
    model.ffn = 2 * (8 + below(dice, 24));
    model.layers = up_to(dice, 5);
    model.qk_norm = family && below(dice, 2);
    return model;
}

static struct layout layout_by_chance(struct dice *dice, const struct tr_model_config *model)
{
    struct layout l = {.lanes = up_to(dice, 6), .tensor = up_to(dice, least(4, model->kv_heads)), .context = up_to(dice, 4)};
    l.dp = up_to(dice, least(3, l.lanes));
    l.tp = up_to(dice, least(3, l.tensor));
    l.cp = up_to(dice, least(3, l.context));
    l.pp = up_to(dice, least(3, model->layers));
    l.vpp = l.pp > 1 ? up_to(dice, least(2, model->layers / l.pp)) : 0;
    l.zero = l.dp > 1 ? below(dice, 4) : 0;
    l.sequence = l.tp > 1 && below(dice, 2);
    return l;
}

static struct job job_by_chance(struct dice *dice)
{
    struct tr_model_config model = model_by_chance(dice);
    struct layout layout = layout_by_chance(dice, &model);
    bool whole = layout.tp == 1, adapters = whole && below(dice, 5) == 0;
    struct job job = job_of(0, below(dice, 2) ? TR_BF16 : TR_F32, whole && below(dice, 4) == 0 ? TR_OPTIMIZER_MUON : TR_OPTIMIZER_ADAMW, layout);
    job.model = model;
    job.step.widths.context = layout.context;
    job.step.seq_len = job.model.positions = 64 * layout.context + below(dice, 70);
    job.step.recompute = (enum tr_recompute)below(dice, 3);
    job.step.apart = below(dice, 4) == 0;
    job.step.foreground = below(dice, 2);
    if (adapters && job.step.optimizer == TR_OPTIMIZER_ADAMW)
        job.model.lora = (struct tr_lora){3, 6.0, 1u << TR_LORA_Q | 1u << TR_LORA_DOWN};
    return job;
}

/* Whether it is one that is not refused, of few ranks. */
static bool can_be(const struct job *job)
{
    struct tr_program p;
    struct tr_err err;
    int64_t ranks = tr_degrees_ranks(&job->step.place.degrees);
    if (ranks < 2 || ranks > 12 || tr_program_train(&p, &job->model, &job->step, fixture_machine(TR_ISA_REF, 1), &err) != TR_OK)
        return false;
    tr_program_free(&p);
    return true;
}

/* TRINE_LAYOUTS=FIRST-LAST tries these numbers instead of the first ten. */
static void layouts_by_chance_compute_what_one_rank_does(void **state)
{
    (void)state;
    int first = 0, last = 10;
    const char *said = getenv("TRINE_LAYOUTS");
    if (said)
        assert_int_equal(sscanf(said, "%d-%d", &first, &last), 2);
    for (int number = first; number < last; number += EVERY) {
        struct dice dice = {tr_rng_key((uint64_t)number, "layouts", 0), 0};
        struct job job = job_by_chance(&dice);
        for (int tries = 0; !can_be(&job) && tries < 100; tries++)
            job = job_by_chance(&dice);
        print_message("layout %d\n", number);
        expect_one_result(job, up_to(&dice, 2));
        run_ranks(&job, rank_touches);
    }
}

static int64_t region_bytes(struct job job, int32_t rank, enum tr_region region)
{
    struct tr_program p;
    struct tr_err err;
    job.step.place.rank = rank;
    assert_int_equal(tr_program_train(&p, &job.model, &job.step, fixture_machine(TR_ISA_REF, 1), &err), TR_OK);
    int64_t bytes = p.region_bytes[region];
    tr_program_free(&p);
    return bytes;
}

static void moments_that_are_shared_out_are_there_once(void **state)
{
    (void)state;
    for (int family = 0; family < 2; family++) {
        struct job one = job_of(family, TR_BF16, TR_OPTIMIZER_ADAMW, (struct layout)DP(8, 1, 0));
        struct job four = job_of(family, TR_BF16, TR_OPTIMIZER_ADAMW, (struct layout)DP(8, 4, 1));
        static const enum tr_region cut[] = {TR_REGION_MOMENTS, TR_REGION_WEIGHTS, TR_REGION_BATCH};
        for (int i = 0; i < 3; i++) {
            int64_t sum = 0, gaps = 4 * 128 * TR_BUFFER_ALIGN; /* alignment of each tensor on each rank */
            for (int rank = 0; rank < 4; rank++)
                sum += region_bytes(four, rank, cut[i]);
            assert_true(sum < region_bytes(one, 0, cut[i]) + gaps);
            assert_true(sum > region_bytes(one, 0, cut[i]) - gaps);
        }
    }
}

/* Where a lane is one microbatch, of gradients there are the slots of the rounds alone; with several one lane's beside them, and in it
 * where one round is all. */
static void gradients_and_weights_that_are_shared_out_are_kept_once(void **state)
{
    (void)state;
    for (int family = 0; family < 2; family++)
        for (int64_t micro_batch = 1; micro_batch <= 2; micro_batch++) {
            struct job one = job_of(family, TR_BF16, TR_OPTIMIZER_ADAMW, (struct layout)DP(1, 1, 0));
            struct job four = job_of(family, TR_BF16, TR_OPTIMIZER_ADAMW, (struct layout)DP(8, 4, 3));
            four.step.micro_batch = micro_batch;
            one.step.widths.tensor = four.step.widths.tensor = 1; /* one leaf each */
            static const enum tr_region cut[] = {TR_REGION_WEIGHTS, TR_REGION_COPIES, TR_REGION_MOMENTS, TR_REGION_GRADIENTS};
            for (int i = 0; i < 4; i++) {
                bool grads = cut[i] == TR_REGION_GRADIENTS;
                int64_t sum = 0, whole = region_bytes(one, 0, cut[i]), gaps = 4 * 256 * TR_BUFFER_ALIGN;
                int64_t wanted = grads ? 2 * whole + (micro_batch == 1 ? 4 * whole : 0) : whole;
                for (int rank = 0; rank < 4; rank++)
                    sum += region_bytes(four, rank, cut[i]);
                assert_true(sum < wanted + gaps && sum > wanted - gaps);
            }
        }
}

static void one_round_takes_no_more_than_the_optimisers_state_shared_out(void **state)
{
    (void)state;
    for (int family = 0; family < 2; family++) {
        struct job one = job_of(family, TR_BF16, TR_OPTIMIZER_ADAMW, (struct layout)DP(4, 4, 1));
        struct job two = job_of(family, TR_BF16, TR_OPTIMIZER_ADAMW, (struct layout)DP(4, 4, 2));
        one.step.micro_batch = two.step.micro_batch = 1; /* of two sequences a lane */
        for (int rank = 0; rank < 4; rank++)
            assert_int_equal(region_bytes(one, rank, TR_REGION_GRADIENTS), region_bytes(two, rank, TR_REGION_GRADIENTS));
    }
}

static bool uses(const struct tr_program *p, const struct tr_program_op *op, int32_t buffer)
{
    for (int k = 0; k < TR_OP_OPERANDS_MAX; k++)
        if (op->buffer[k] >= 0 && (op->buffer[k] == buffer || p->buffer[op->buffer[k]].part_of == buffer))
            return true;
    return false;
}

/* From the op that STARTs `coll` on nobody touches its buffer before it is waited for, in the section where it STARTs. Returns
 * whether it is waited for. */
static bool check_started(const struct tr_program *p, int32_t start)
{
    bool same_section = true;
    for (int32_t i = start + 1; i < p->op_count; i++) {
        const struct tr_program_op *op = &p->op[i];
        for (int32_t s = 0; s < p->section_count; s++)
            same_section = same_section && !(p->section[s].op_count > 0 && p->section[s].first_op == i);
        if (op->coll >= 0 && p->coll[op->coll].when == TR_COLL_WAIT && p->coll[op->coll].started == p->op[start].coll)
            return true;
        assert_false(same_section && uses(p, op, p->op[start].buffer[0]));
    }
    return false;
}

static void nothing_touches_what_moves_in_the_background(void **state)
{
    (void)state;
    for (int zero = 0; zero < 4; zero++)
        for (int family = 0; family < 2; family++) {
            struct job job = job_of(family, family ? TR_BF16 : TR_F32, TR_OPTIMIZER_ADAMW, (struct layout)DP(8, 4, zero));
            struct tr_program p;
            struct tr_err err;
            int started = 0;
            assert_int_equal(tr_program_train(&p, &job.model, &job.step, fixture_machine(TR_ISA_REF, 1), &err), TR_OK);
            for (int32_t i = 0; i < p.op_count; i++)
                if (p.op[i].coll >= 0 && p.coll[p.op[i].coll].when == TR_COLL_START) {
                    assert_true(check_started(&p, i));
                    started++;
                }
            assert_true(started >= p.weights.count);
            tr_program_free(&p);
        }
}

/* What a stage holds of layers in flight: as many microbatches as there are stages from it to the end. */
static void a_stage_holds_its_own_layers_and_as_many_microbatches_as_it_must(void **state)
{
    (void)state;
    for (int family = 0; family < 2; family++) {
        struct job job = job_of(family, TR_F32, TR_OPTIMIZER_ADAMW, (struct layout)PP(8, 1, 0, 4, 1, 8));
        int64_t moments = 0, all = region_bytes(job_of(family, TR_F32, TR_OPTIMIZER_ADAMW, (struct layout)PP(8, 1, 0, 1, 1, 8)), 0,
                                                TR_REGION_MOMENTS);
        for (int32_t rank = 0; rank < 4; rank++) {
            struct tr_program p;
            struct tr_err err;
            job.step.place.rank = rank;
            assert_int_equal(tr_program_train(&p, &job.model, &job.step, fixture_machine(TR_ISA_REF, 1), &err), TR_OK);
            assert_int_equal(p.flights, 4 - rank);
            for (int32_t i = 0; i < p.weights.count; i++)
                moments += p.buffer[p.first_m + i].bytes + p.buffer[p.first_v + i].bytes;
            tr_program_free(&p);
        }
        assert_true(moments <= all && moments > all - 2 * 128 * TR_BUFFER_ALIGN); /* each is there once */
    }
}

/* ---- a rank that fails --------------------------------------------------------------------------------------------- */

static enum tr_status rank_goes_on_without_another(struct tr_comm *world, void *user, struct tr_err *err)
{
    struct tr_program p;
    struct tr_exec e;
    enum tr_status status = start(&e, &p, user, world, err);
    if (status != TR_OK)
        return status;
    train(&e, 1);
    if (tr_comm_index(world) == 1)
        return finish(&e, &p, world, tr_fail(err, TR_FAILED, "rank 1 has had enough"), err);
    train(&e, 2);
    status = tr_exec_failed(&e, err);
    return finish(&e, &p, world, status != TR_OK ? status : tr_fail(err, TR_FAILED, "a step without rank 1"), err);
}

static void a_rank_that_fails_ends_what_others_wait_for_in_the_background(void **state)
{
    (void)state;
    for (int zero = 0; zero < 4; zero++) {
        struct job job = job_of(zero % 2, TR_F32, TR_OPTIMIZER_ADAMW, (struct layout)DP(8, 3 + zero % 2, zero));
        struct tr_err err = {{0}};
        assert_int_equal(tr_ranks_run(3 + zero % 2, NULL, rank_goes_on_without_another, &job, &err), TR_FAILED);
        if (strstr(err.text, "rank 1 has had enough") == NULL)
            fail_msg("'%s'", err.text);
    }
}

/* ---- what cannot be ------------------------------------------------------------------------------------------------ */

static void expect_refusal(struct layout layout, const char *words)
{
    struct tr_program p;
    struct tr_err err = {{0}};
    struct job job = job_of(0, TR_F32, TR_OPTIMIZER_ADAMW, layout);
    assert_int_equal(tr_program_train(&p, &job.model, &job.step, fixture_machine(TR_ISA_REF, 1), &err), TR_BAD_INPUT);
    if (strstr(err.text, words) == NULL)
        fail_msg("'%s' does not say '%s'", err.text, words);
}

static void layouts_that_do_not_divide_are_refused_with_what_would(void **state)
{
    (void)state;
    expect_refusal((struct layout)DP(2, 3, 0), "which 1 to 2 ranks can share");
    expect_refusal((struct layout){.lanes = 1, .tp = 3}, "the run has 2 tensor parts (layout.tensor), which 1 to 2 ranks can share");
    expect_refusal((struct layout){.lanes = 1, .tp = -1}, "which 1 to 2 ranks can share");
    expect_refusal((struct layout){.lanes = 1, .sequence = true}, "layout sp: ranks that share tensor parts");
    expect_refusal((struct layout){.lanes = 1, .cp = 2}, "the run has 1 context part (layout.context), which 1 to 1 ranks can share");
    expect_refusal((struct layout)DP(8, 2, 4), "zero=4");
    expect_refusal((struct layout)DP(8, 1, 1), "there is no other rank to share with");
    expect_refusal((struct layout)DP(8, -1, 0), "1 to 4096 ranks");
    expect_refusal((struct layout)PP(8, 1, 0, 3, 0, 2), "1 to 2 stages");
    expect_refusal((struct layout)PP(8, 1, 0, 0, 2, 4), "give pp=2 or more");
    expect_refusal((struct layout)PP(8, 1, 0, 2, 3, 4), "1 to 2 chunks");
}

static void expect_model_refused(struct job job, const char *words)
{
    struct tr_program p;
    struct tr_err err = {{0}};
    assert_int_equal(tr_program_train(&p, &job.model, &job.step, fixture_machine(TR_ISA_REF, 1), &err), TR_BAD_INPUT);
    if (strstr(err.text, words) == NULL)
        fail_msg("'%s' does not say '%s'", err.text, words);
}

static void what_tensor_parallel_ranks_cannot_share_is_refused(void **state)
{
    (void)state;
    static const struct layout two = {.lanes = 1, .tp = 2}, three = {.lanes = 1, .tp = 2, .tensor = 3};
    struct job job = job_of(0, TR_F32, TR_OPTIMIZER_ADAMW, two);
    job.model.lora = (struct tr_lora){3, 6.0, 1u << TR_LORA_Q};
    expect_model_refused(job, "adapters (lora.rank 3) are trained by ranks that have whole matrices");
    expect_model_refused(job_of(0, TR_F32, TR_OPTIMIZER_MUON, two), "Muon's direction is a function of whole matrices");
    expect_model_refused(job_of(1, TR_F32, TR_OPTIMIZER_ADAMW, three), "some have no key/value head of their own");
    expect_model_refused(job_of(1, TR_F32, TR_OPTIMIZER_ADAMW, (struct layout){.lanes = 1, .cp = 3, .context = 3}), "give cp=2 or less");
    job = job_of_parts(0, TR_F32, (struct layout){.lanes = 1, .tp = 3, .tensor = 4, .cp = 2, .context = 2}); /* 1, 2 and 3 heads */
    expect_model_refused(job, "one of the tensor parallel ranks has 1; give cp=1 or less");
    job = job_of_parts(1, TR_F32, three);
    job.model.heads = 14;
    expect_model_refused(job, "their number divides the groups");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_that_share_the_lanes_compute_what_one_does),
        cmocka_unit_test(so_they_do_with_the_optimiser_shared_out),
        cmocka_unit_test(so_they_do_with_muon_whose_matrices_stay_whole),
        cmocka_unit_test(so_they_do_with_gradients_and_weights_shared_out),
        cmocka_unit_test(so_they_do_then_with_muon_adapters_and_documents_apart),
        cmocka_unit_test(stages_of_a_pipeline_compute_what_one_rank_does),
        cmocka_unit_test(so_they_do_with_documents_apart_and_with_muon),
        cmocka_unit_test(so_they_do_with_context_parts),
        cmocka_unit_test(so_they_do_with_adapters_whose_table_is_not_trained),
        cmocka_unit_test(ranks_that_share_tensor_parts_compute_what_one_does),
        cmocka_unit_test(so_they_do_with_context_parts_and_documents_apart),
        cmocka_unit_test(ranks_that_share_context_parts_compute_what_one_does),
        cmocka_unit_test(so_they_do_there_with_documents_apart_muon_and_adapters),
        cmocka_unit_test(ranks_that_share_the_tokens_of_the_stream_do_too),
        cmocka_unit_test(layouts_by_chance_compute_what_one_rank_does),
        cmocka_unit_test(peak_memory_touched_by_each_rank_equals_the_plan),
        cmocka_unit_test(so_it_does_on_each_stage_of_a_pipeline),
        cmocka_unit_test(so_it_does_where_tensor_parts_are_shared),
        cmocka_unit_test(so_it_does_where_context_parts_are_shared),
        cmocka_unit_test(a_stage_holds_its_own_layers_and_as_many_microbatches_as_it_must),
        cmocka_unit_test(moments_that_are_shared_out_are_there_once),
        cmocka_unit_test(gradients_and_weights_that_are_shared_out_are_kept_once),
        cmocka_unit_test(one_round_takes_no_more_than_the_optimisers_state_shared_out),
        cmocka_unit_test(nothing_touches_what_moves_in_the_background),
        cmocka_unit_test(a_rank_that_fails_ends_what_others_wait_for_in_the_background),
        cmocka_unit_test(layouts_that_do_not_divide_are_refused_with_what_would),
        cmocka_unit_test(what_tensor_parallel_ranks_cannot_share_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
