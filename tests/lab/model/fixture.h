/* Small models and filled batches for the tests of programs. */
#ifndef TR_TESTS_LAB_MODEL_FIXTURE_H
#define TR_TESTS_LAB_MODEL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <string.h>

#include "base/rng.h"
#include "lab/model/exec.h"
#include "lib/opcase.h"

static inline struct tr_model_config fixture_gpt2(void)
{
    return (struct tr_model_config){.name = "gpt2-test", .family = TR_GPT2, .vocab = 61, .width = 24, .layers = 2,
                                    .heads = 3, .kv_heads = 3, .head_dim = 8, .ffn = 40, .positions = 192,
                                    .norm_eps = 1e-5f, .tied = true, .init_std = 0.08f};
}

/* Grouped heads, q/k/v biases, query and key norms, a head of its own, heads * head_dim != width. */
static inline struct tr_model_config fixture_llama(void)
{
    return (struct tr_model_config){.name = "llama-test", .family = TR_LLAMA, .vocab = 50, .width = 20, .layers = 2,
                                    .heads = 4, .kv_heads = 2, .head_dim = 6, .ffn = 36, .positions = 192,
                                    .norm_eps = 1e-6f, .rope_theta = 10000.0, .tied = false, .qkv_bias = true,
                                    .qk_norm = true, .init_std = 0.08f};
}

static inline struct tr_step_config fixture_step(int64_t batch, int64_t micro_batch, int64_t seq_len)
{
    return (struct tr_step_config){.dtype = TR_F32, .batch = batch, .seq_len = seq_len, .micro_batch = micro_batch,
                                   .widths = {1, 1, 1, 1}, .recompute = TR_RECOMPUTE_NONE};
}

static inline struct tr_machine fixture_machine(enum tr_isa isa, int threads)
{
    return (struct tr_machine){.kernels = tr_kernel_set(isa), .threads = threads};
}

static inline enum tr_isa fixture_best_isa(void)
{
    enum tr_isa isa = TR_ISA_REF;
    for (int i = 0; i < TR_ISA_COUNT; i++)
        if (tr_isa_runs((enum tr_isa)i))
            isa = (enum tr_isa)i;
    return isa;
}

/* Tokens and targets of `sequences` sequences that begin with number `first` of an endless seeded text, from sequence `at` of the
 * batch on; every 7th target is left out. Where documents stand apart, each sequence is cut in some. Returns how many targets there
 * are. */
static inline int64_t fixture_fill_at(const struct tr_exec *e, int64_t at, int64_t first, int64_t sequences)
{
    const struct tr_program *p = e->program;
    int32_t *tokens = (int32_t *)tr_exec_buffer(e, p->tokens) + at * p->seq_len;
    int32_t *targets = (int32_t *)tr_exec_buffer(e, p->targets) + at * p->seq_len;
    struct tr_rng_key key = tr_rng_key(5, "fixture", 0);
    int64_t count = 0;
    for (int64_t i = 0; i < sequences * p->seq_len; i++) {
        uint64_t number = (uint64_t)(first * p->seq_len + i);
        tokens[i] = (int32_t)tr_rng_below(key, number, (uint64_t)p->model.vocab);
        targets[i] = number % 7 == 3 ? -1 : (int32_t)tr_rng_below(key, number + (UINT64_C(1) << 40), (uint64_t)p->model.vocab);
        count += targets[i] >= 0;
    }
    for (int64_t s = 0; p->starts >= 0 && s < sequences; s++)
        tr_test_starts((int32_t *)tr_exec_buffer(e, p->starts) + (at + s) * p->seq_len, 1, p->seq_len, 0,
                       (uint64_t)(first + s));
    return count;
}

static inline int64_t fixture_fill(const struct tr_exec *e, int64_t first, int64_t sequences)
{
    return fixture_fill_at(e, 0, first, sequences);
}

static inline void fixture_open(struct tr_exec *e, struct tr_program *p, const struct tr_model_config *model,
                                const struct tr_step_config *step, struct tr_machine machine)
{
    struct tr_err err = {{0}};
    if (tr_program_train(p, model, step, machine, &err) != TR_OK)
        fail_msg("%s", err.text);
    if (tr_exec_open(e, p, machine, NULL, &err) != TR_OK)
        fail_msg("%s", err.text);
    tr_exec_init(e, 42);
}

static inline void fixture_close(struct tr_exec *e, struct tr_program *p)
{
    tr_exec_close(e);
    tr_program_free(p);
}

/* `steps` training steps on successive batches. */
static inline struct tr_step_result fixture_train(struct tr_exec *e, int64_t steps)
{
    const struct tr_hyper hyper = {1e-2, 0.9, 0.95, 1e-8, 0.1, 1.0, 0.95};
    struct tr_step_result result = {0};
    for (int64_t step = 1; step <= steps; step++) {
        int64_t batch = e->program->step.batch;
        int64_t targets = fixture_fill(e, (step - 1) * batch, batch);
        tr_exec_set_hyper(e, &hyper, step);
        result = tr_exec_gradients(e, targets);
        assert_true(result.finite);
        tr_exec_update(e);
    }
    return result;
}

/* One past the highest byte of a region that a step and an evaluation change, found by running them over two different
 * backgrounds. `train` as fixture_train. */
static inline int64_t fixture_touched(struct tr_exec *e, enum tr_region region,
                                      struct tr_step_result (*train)(struct tr_exec *, int64_t))
{
    unsigned char *at = e->slab[region].at;
    size_t mapped = (size_t)e->slab[region].mapped_bytes, highest = 0;
    for (int background = 0; background < 2; background++) {
        int fill = background == 0 ? 0xa5 : 0x5a;
        memset(at, fill, mapped);
        train(e, 1);
        tr_exec_evaluate(e);
        for (size_t i = mapped; i > highest; i--)
            if (at[i - 1] != fill)
                highest = i;
    }
    return (int64_t)highest;
}

static inline void assert_same_weights(const struct tr_exec *a, const struct tr_exec *b)
{
    const struct tr_weights *w = &a->program->weights;
    for (int32_t i = 0; i < w->count; i++) {
        size_t bytes = (size_t)w->weight[i].count * sizeof(float);
        if (memcmp(tr_exec_weight(a, i), tr_exec_weight(b, i), bytes) != 0)
            fail_msg("weight %s differs", w->weight[i].name);
        if (memcmp(tr_exec_moment_m(a, i), tr_exec_moment_m(b, i), bytes) != 0)
            fail_msg("first moment of %s differs", w->weight[i].name);
        if (w->weight[i].moments == 2 && memcmp(tr_exec_moment_v(a, i), tr_exec_moment_v(b, i), bytes) != 0)
            fail_msg("second moment of %s differs", w->weight[i].name);
    }
}

#endif
