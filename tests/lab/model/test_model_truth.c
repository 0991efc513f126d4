/* Whole models against the truth (tests/lib/model64: plain double, from the textbook): the loss, the logits of
 * generation, and the gradient of every weight tensor against differences of the true loss.
 *
 * A tensor's gradient g is probed along unit directions u: its own (finds a wrong scale), two random ones (find wrong
 * places), and single elements: the largest and some random ones. The derivative of the true loss along u is
 *     (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h,   h = 1e-3,
 * whose own error, h^4 f5/30 and 1e-14 |f| / h, is below 1e-9 here, far below that of fp32; it must equal <g, u> within
 *
 *     PROBE_RELATIVE |g| + PROBE_ABSOLUTE |all gradients|
 *
 * The first term: an element of a gradient comes out of some 100 roundings (a few layers; sums over width, tokens and
 * vocabulary), each 2^-24 = 6e-8 of its terms, errors partly cancelling: 3e-6 of |g|. The second: gradients that are
 * zero by mathematics (a key bias shifts all scores of a query alike) or small by cancellation keep the rounding errors
 * of their terms. The worst probe seen is at 0.7 of its bound (small sizes, RMSNorm of 11 numbers);
 * TRINE_TEST_VERBOSE=1 prints it. A gradient tensor that is wrong by 3 parts in 10^5 fails; the self-check proves it. */
#include "lab/model/fixture.h"
#include "lib/model64.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PROBE_RELATIVE 3e-6
#define PROBE_ABSOLUTE 3e-7
#define PROBE_STEP 1e-3
#define LOSS_BOUND 3e-7   /* relative: 5 * 2^-24 */
#define LOGIT_BOUND 1e-5  /* of the largest logit: a single chain, not a mean */

enum { RANDOM_DIRECTIONS = 2, RANDOM_ELEMENTS = 3, PROBES_MAX = 1024 };

/* ---- models and programs ---------------------------------------------------------------------------------------- */

struct subject {
    const char *name;
    struct tr_model_config model;
    struct tr_step_config step;
};

static struct tr_model_config plain_gpt2(void)
{
    return (struct tr_model_config){.name = "gpt2", .family = TR_GPT2, .vocab = 37, .width = 12, .layers = 2,
                                    .heads = 3, .kv_heads = 3, .head_dim = 4, .ffn = 20, .positions = 130,
                                    .norm_eps = 1e-5f, .tied = true, .qkv_bias = true, .init_std = 0.02f};
}

static struct tr_model_config plain_llama(void)
{
    return (struct tr_model_config){.name = "llama", .family = TR_LLAMA, .vocab = 37, .width = 12, .layers = 2,
                                    .heads = 3, .kv_heads = 3, .head_dim = 4, .ffn = 18, .positions = 130,
                                    .norm_eps = 1e-5f, .rope_theta = 10000, .tied = true, .init_std = 0.02f};
}

static struct subject subject(const char *name, struct tr_model_config model)
{
    return (struct subject){name, model, fixture_step(2, 2, 11)};
}

enum { MODELS = 12 };

/* One option after the other, then all of the Llama family's at once. */
static struct subject model_of(int index)
{
    struct tr_model_config gpt2 = plain_gpt2(), llama = plain_llama();
    switch (index) {
    case 0:
        return subject("gpt2", gpt2);
    case 1:
        gpt2.tied = false;
        return subject("gpt2, untied", gpt2);
    case 2:
        return subject("llama", llama);
    case 3:
        llama.tied = false;
        return subject("llama, untied", llama);
    case 4:
        llama.heads = 6, llama.kv_heads = 2, llama.head_dim = 6;
        return subject("llama, grouped heads, wider than the stream", llama);
    case 5:
        llama.qkv_bias = true;
        return subject("llama with biases (Qwen2)", llama);
    case 6:
        llama.qk_norm = true;
        return subject("llama with query and key norms (Qwen3)", llama);
    case 7:
        llama.rope_theta = 100;
        llama.rope_scaling = (struct tr_rope_scaling){8, 1, 4, 16};
        return subject("llama with scaled RoPE (Llama 3.1)", llama);
    case 8:
        gpt2.lora = (struct tr_lora){3, 1, tr_lora_targets(TR_GPT2)};
        return subject("gpt2 with adapters", gpt2);
    case 9:
        llama.tied = false;
        llama.lora = (struct tr_lora){4, 2, 1u << TR_LORA_Q | 1u << TR_LORA_V | 1u << TR_LORA_UP};
        return subject("llama with some adapters", llama);
    case 10:
        llama.qkv_bias = llama.qk_norm = true;
        llama.lora = (struct tr_lora){5, 3, tr_lora_targets(TR_LLAMA)};
        return subject("llama with norms, biases and all adapters", llama);
    default:
        llama = (struct tr_model_config){.name = "all", .family = TR_LLAMA, .vocab = 41, .width = 11, .layers = 3,
                                         .heads = 4, .kv_heads = 2, .head_dim = 6, .ffn = 14, .positions = 130,
                                         .norm_eps = 1e-3f, .rope_theta = 100, .rope_scaling = {4, 1, 4, 16},
                                         .qkv_bias = true, .qk_norm = true, .init_std = 0.02f};
        return subject("llama with everything, odd sizes", llama);
    }
}

/* Values that let every part of the model matter: no gain is 1, no bias 0, scores and activations are of order 1. */
static void fill_weights(const struct tr_weights *weights, double **truth)
{
    for (int32_t i = 0; i < weights->count; i++) {
        const struct tr_weight *w = &weights->weight[i];
        struct tr_rng_key key = tr_rng_subkey(tr_rng_key(11, "truth", 0), (uint64_t)i);
        double spread = w->rank == 2 ? 1.2 / sqrt((double)w->dim[1]) : 0.3;
        for (int64_t k = 0; k < w->count; k++)
            truth[i][k] = (float)((w->init == TR_INIT_ONE) + spread * tr_rng_normal(key, (uint64_t)k));
    }
}

struct trial {
    struct subject subject;
    struct tr_program program;
    struct tr_exec exec;
    double **weight; /* the same values in double */
    int64_t targets;
};

static void trial_open(struct trial *t, struct subject s)
{
    t->subject = s;
    fixture_open(&t->exec, &t->program, &s.model, &s.step, fixture_machine(fixture_best_isa(), 1));
    t->weight = model64_new(&t->program.weights);
    fill_weights(&t->program.weights, t->weight);
    for (int32_t i = 0; i < t->program.weights.count; i++)
        for (int64_t k = 0; k < t->program.weights.weight[i].count; k++)
            tr_exec_weight(&t->exec, i)[k] = (float)t->weight[i][k];
    t->targets = fixture_fill(&t->exec, 0, s.step.batch);
}

static void trial_close(struct trial *t)
{
    model64_free(&t->program.weights, t->weight);
    fixture_close(&t->exec, &t->program);
}

static double true_loss(const struct trial *t)
{
    return model64_loss(&t->subject.model, &t->program.weights, t->weight, (int)t->subject.step.batch,
                        (int)t->subject.step.seq_len, tr_exec_buffer(&t->exec, t->program.tokens),
                        tr_exec_buffer(&t->exec, t->program.targets), NULL);
}

/* ---- probes ----------------------------------------------------------------------------------------------------- */

struct probe {
    int32_t tensor;
    int64_t element;   /* -1: along `direction` */
    double *direction; /* of length 1 */
    double derivative; /* of the true loss */
};

struct probes {
    struct probe probe[PROBES_MAX];
    int count;
};

static void move(struct trial *t, const struct probe *p, double by)
{
    double *w = t->weight[p->tensor];
    if (p->element >= 0)
        w[p->element] += by;
    else
        for (int64_t k = 0; k < t->program.weights.weight[p->tensor].count; k++)
            w[k] += by * p->direction[k];
}

static double loss_at(struct trial *t, const struct probe *p, double by)
{
    size_t bytes = (size_t)t->program.weights.weight[p->tensor].count * sizeof(double);
    double *kept = malloc(bytes);
    memcpy(kept, t->weight[p->tensor], bytes);
    move(t, p, by);
    double loss = true_loss(t);
    memcpy(t->weight[p->tensor], kept, bytes);
    free(kept);
    return loss;
}

/* Takes over `direction`, whatever its length (not 0). */
static void add_probe(struct trial *t, struct probes *probes, int32_t tensor, int64_t element, double *direction)
{
    TR_ASSERT(probes->count < PROBES_MAX);
    struct probe *p = &probes->probe[probes->count++];
    *p = (struct probe){tensor, element, direction, 0};
    if (direction) {
        int64_t count = t->program.weights.weight[tensor].count;
        double square = 0;
        for (int64_t k = 0; k < count; k++)
            square += direction[k] * direction[k];
        for (int64_t k = 0; k < count; k++)
            direction[k] /= sqrt(square);
    }
    double h = PROBE_STEP;
    p->derivative = (8 * (loss_at(t, p, h) - loss_at(t, p, -h)) - (loss_at(t, p, 2 * h) - loss_at(t, p, -2 * h))) /
                    (12 * h);
}

/* The gradients of the trial's last step choose two of the probes of each tensor; the rest is random. */
static void make_probes(struct trial *t, struct probes *probes, int random_directions, int random_elements)
{
    probes->count = 0;
    for (int32_t i = 0; i < t->program.weights.count; i++) {
        int64_t count = t->program.weights.weight[i].count, largest = 0;
        const float *g = tr_exec_gradient(&t->exec, i);
        if (g == NULL) /* frozen */
            continue;
        struct tr_rng_key key = tr_rng_subkey(tr_rng_key(12, "probe", 0), (uint64_t)i);
        double *own = malloc((size_t)count * sizeof *own), square = 0;
        for (int64_t k = 0; k < count; k++) {
            own[k] = g[k];
            square += own[k] * own[k];
            largest = fabsf(g[k]) > fabsf(g[largest]) ? k : largest;
        }
        if (square > 0)
            add_probe(t, probes, i, -1, own);
        else
            free(own);
        add_probe(t, probes, i, largest, NULL);
        for (int r = 0; r < random_directions; r++) {
            double *u = malloc((size_t)count * sizeof *u);
            for (int64_t k = 0; k < count; k++)
                u[k] = tr_rng_normal(key, (uint64_t)(r * count + k));
            add_probe(t, probes, i, -1, u);
        }
        for (int r = 0; r < random_elements; r++)
            add_probe(t, probes, i, (int64_t)tr_rng_below(key, (UINT64_C(1) << 32) + (uint64_t)r, (uint64_t)count),
                      NULL);
    }
}

static void free_probes(struct probes *probes)
{
    for (int i = 0; i < probes->count; i++)
        free(probes->probe[i].direction);
}

static double norm_of(const float *x, int64_t count)
{
    double square = 0;
    for (int64_t k = 0; k < count; k++)
        square += (double)x[k] * x[k];
    return sqrt(square);
}

/* How many probes the gradients of the trial's last step fail; the worst in parts of its bound. */
static int failed_probes(const struct trial *t, const struct probes *probes, bool say, double *worst)
{
    double all = 0;
    int failed = 0;
    *worst = 0;
    for (int32_t i = 0; i < t->program.weights.count; i++)
        if (tr_exec_gradient(&t->exec, i) != NULL)
            all = hypot(all, norm_of(tr_exec_gradient(&t->exec, i), t->program.weights.weight[i].count));
    for (int i = 0; i < probes->count; i++) {
        const struct probe *p = &probes->probe[i];
        const struct tr_weight *w = &t->program.weights.weight[p->tensor];
        const float *g = tr_exec_gradient(&t->exec, p->tensor);
        double along = p->element >= 0 ? g[p->element] : 0;
        for (int64_t k = 0; p->direction && k < w->count; k++)
            along += g[k] * p->direction[k];
        double bound = PROBE_RELATIVE * norm_of(g, w->count) + PROBE_ABSOLUTE * all;
        double parts = fabs(along - p->derivative) / bound;
        *worst = fmax(*worst, parts);
        if (parts <= 1)
            continue;
        failed++;
        if (say)
            print_error("%s, %s, %s %lld: gradient %.9g, difference of the true loss %.9g: %.3g times the bound\n",
                        t->subject.name, w->name, p->element >= 0 ? "element" : "direction",
                        p->element >= 0 ? (long long)p->element : (long long)i, along, p->derivative, parts);
    }
    return failed;
}

/* The loss and the gradients of a step are right. */
static void assert_step_is_true(struct trial *t, const struct probes *probes, struct tr_step_result result)
{
    double truth = true_loss(t), worst;
    double loss_parts = fabs(result.loss - truth) / (LOSS_BOUND * truth);
    if (!(loss_parts <= 1))
        fail_msg("%s: loss %.9g, the truth is %.9g", t->subject.name, result.loss, truth);
    int failed = failed_probes(t, probes, true, &worst);
    if (getenv("TRINE_TEST_VERBOSE"))
        print_message("%s: loss %.6f, error %.3f of its bound; %d probes, worst %.3f of its bound\n", t->subject.name,
                      truth, loss_parts, probes->count, worst);
    assert_int_equal(failed, 0);
}

/* ---- tests ------------------------------------------------------------------------------------------------------ */

static struct probes probes; /* big: not on the stack */

static void loss_and_gradients_of_every_kind_of_model_are_true(void **state)
{
    (void)state;
    for (int i = 0; i < MODELS; i++) {
        struct trial t;
        trial_open(&t, model_of(i));
        struct tr_step_result result = tr_exec_gradients(&t.exec, t.targets);
        make_probes(&t, &probes, RANDOM_DIRECTIONS, RANDOM_ELEMENTS);
        assert_step_is_true(&t, &probes, result);
        free_probes(&probes);
        trial_close(&t);
    }
}

/* The true derivatives do not depend on how the step is cut, so one set of probes serves all programs. */
static void assert_variants_are_true(struct tr_model_config model, const char *name)
{
    const struct {
        const char *name;
        struct tr_widths widths; /* lanes, context, tensor, vocabulary */
        int64_t micro_batch;
        enum tr_recompute recompute;
    } variant[] = {
        {"recompute", {1, 1, 1, 1}, 4, TR_RECOMPUTE_FULL},     {"element-wise", {1, 1, 1, 1}, 4, TR_RECOMPUTE_ELEMENTWISE},
        {"microbatches", {1, 1, 1, 1}, 1, TR_RECOMPUTE_NONE},
        {"lanes", {4, 1, 1, 1}, 1, TR_RECOMPUTE_NONE},         {"context parts", {1, 2, 1, 1}, 4, TR_RECOMPUTE_NONE},
        {"tensor parts", {1, 1, 3, 1}, 2, TR_RECOMPUTE_NONE},  {"vocabulary parts", {1, 1, 1, 5}, 4, TR_RECOMPUTE_NONE},
        {"everything", {2, 2, 2, 3}, 1, TR_RECOMPUTE_FULL},
    };
    struct subject s = {name, model, fixture_step(4, 4, 130)};
    struct trial t;
    trial_open(&t, s);
    struct tr_step_result result = tr_exec_gradients(&t.exec, t.targets);
    make_probes(&t, &probes, 0, 0);
    assert_step_is_true(&t, &probes, result);
    trial_close(&t);
    for (size_t i = 0; i < sizeof variant / sizeof variant[0]; i++) {
        s.name = variant[i].name;
        s.step.widths = variant[i].widths;
        s.step.micro_batch = variant[i].micro_batch;
        s.step.recompute = variant[i].recompute;
        trial_open(&t, s);
        assert_step_is_true(&t, &probes, tr_exec_gradients(&t.exec, t.targets));
        trial_close(&t);
    }
    free_probes(&probes);
}

static void logical_widths_lanes_and_recompute_keep_gpt2_true(void **state)
{
    (void)state;
    struct tr_model_config model = plain_gpt2();
    model.layers = 1;
    assert_variants_are_true(model, "gpt2, 130 tokens");
}

static void logical_widths_lanes_and_recompute_keep_llama_true(void **state)
{
    (void)state;
    struct tr_model_config model = plain_llama();
    model.layers = 1, model.heads = 4, model.kv_heads = 2, model.qkv_bias = model.qk_norm = true, model.tied = false;
    assert_variants_are_true(model, "llama, 130 tokens");
}

static void evaluation_is_true(void **state)
{
    (void)state;
    for (int i = 0; i < MODELS; i++) {
        struct trial t;
        trial_open(&t, model_of(i));
        double truth = true_loss(&t) * (double)t.targets;
        assert_true(fabs(tr_exec_evaluate(&t.exec) - truth) <= LOSS_BOUND * truth);
        trial_close(&t);
    }
}

static void open_generator(struct tr_program *p, struct tr_exec *e, const struct trial *t, int64_t tokens,
                           const struct tr_exec *share)
{
    struct tr_err err = {""};
    struct tr_machine machine = fixture_machine(fixture_best_isa(), 1);
    const struct tr_step_config *step = &t->subject.step;
    if (tr_program_infer(p, &t->subject.model, TR_F32, TR_FORM_ROWS, &step->widths, step->batch, tokens, step->seq_len, machine,
                         &err) != TR_OK ||
        tr_exec_open(e, p, machine, share, &err) != TR_OK)
        fail_msg("%s", err.text);
}

static void assert_logits(const struct trial *t, const float *logits, const double *truth, int64_t position)
{
    int64_t vocab = t->subject.model.vocab, seq_len = t->subject.step.seq_len;
    for (int64_t s = 0; s < t->subject.step.batch; s++) {
        const double *row = truth + (s * seq_len + position) * vocab;
        double largest = 0;
        for (int64_t v = 0; v < vocab; v++)
            largest = fmax(largest, fabs(row[v]));
        for (int64_t v = 0; v < vocab; v++)
            if (!(fabs(logits[s * vocab + v] - row[v]) <= LOGIT_BOUND * largest))
                fail_msg("%s: sequence %lld, position %lld, token %lld: logit %.9g, the truth is %.9g",
                         t->subject.name, (long long)s, (long long)position, (long long)v,
                         (double)logits[s * vocab + v], row[v]);
    }
}

/* A prompt of 5 tokens at once, then token by token through the cache: each time the last token's logits. */
static void logits_of_generation_are_true(void **state)
{
    (void)state;
    enum { PROMPT = 5 };
    for (int i = 0; i < MODELS; i++) {
        struct trial t;
        trial_open(&t, model_of(i));
        int64_t seqs = t.subject.step.batch, seq_len = t.subject.step.seq_len;
        const int32_t *tokens = tr_exec_buffer(&t.exec, t.program.tokens);
        double *truth = malloc((size_t)(seqs * seq_len * t.subject.model.vocab) * sizeof *truth);
        model64_loss(&t.subject.model, &t.program.weights, t.weight, (int)seqs, (int)seq_len, tokens,
                     tr_exec_buffer(&t.exec, t.program.targets), truth);

        struct tr_program prompt_program, next_program;
        struct tr_exec prompt, next;
        open_generator(&prompt_program, &prompt, &t, PROMPT, &t.exec);
        open_generator(&next_program, &next, &t, 1, &prompt);
        int32_t input[2 * PROMPT];
        for (int64_t s = 0; s < seqs; s++)
            memcpy(input + s * PROMPT, tokens + s * seq_len, PROMPT * sizeof *input);
        assert_logits(&t, tr_exec_infer(&prompt, input, 0), truth, PROMPT - 1);
        for (int64_t position = PROMPT; position < seq_len; position++) {
            for (int64_t s = 0; s < seqs; s++)
                input[s] = tokens[s * seq_len + position];
            assert_logits(&t, tr_exec_infer(&next, input, position), truth, position);
        }
        fixture_close(&next, &next_program);
        fixture_close(&prompt, &prompt_program);
        free(truth);
        trial_close(&t);
    }
}

/* The self-check: faults that a kernel could have. A gradient tensor scaled by 1 + 3e-5 must fail its probe, and so
 * must one whose values are right but one place off, whatever the tensor. */
static void a_gradient_that_is_slightly_wrong_is_found_in_every_tensor(void **state)
{
    (void)state;
    struct trial t;
    trial_open(&t, model_of(MODELS - 1));
    tr_exec_gradients(&t.exec, t.targets);
    make_probes(&t, &probes, RANDOM_DIRECTIONS, RANDOM_ELEMENTS);
    double all = t.exec.values.grad_norm, worst;
    int proved = 0;
    for (int32_t i = 0; i < t.program.weights.count; i++) {
        int64_t count = t.program.weights.weight[i].count;
        float *g = tr_exec_buffer(&t.exec, t.program.first_grad + i);
        float *kept = malloc((size_t)count * sizeof *kept);
        memcpy(kept, g, (size_t)count * sizeof *kept);
        double norm = norm_of(g, count);
        if (3e-5 * norm > 2 * (PROBE_RELATIVE * norm + PROBE_ABSOLUTE * all)) {
            for (int64_t k = 0; k < count; k++)
                g[k] *= 1.00003f;
            assert_true(failed_probes(&t, &probes, false, &worst) > 0);
            for (int64_t k = 0; k < count; k++)
                g[k] = kept[(k + 1) % count];
            assert_true(failed_probes(&t, &probes, false, &worst) > 0);
            memcpy(g, kept, (size_t)count * sizeof *kept);
            proved++;
        }
        free(kept);
    }
    assert_int_equal(failed_probes(&t, &probes, true, &worst), 0);
    assert_true(proved >= t.program.weights.count * 3 / 4);
    free_probes(&probes);
    trial_close(&t);
}

/* Every option and every tensor reaches the true loss: then one that trine ignored could not agree above. */
static void every_option_changes_the_true_loss(void **state)
{
    (void)state;
    struct trial t;
    trial_open(&t, model_of(MODELS - 1));
    const struct tr_model_config model = t.subject.model;
    double loss = true_loss(&t);
    struct tr_model_config other[5];
    for (int i = 0; i < 5; i++)
        other[i] = model;
    other[0].norm_eps *= 2;
    other[1].rope_theta *= 2;
    other[2].rope_scaling.factor *= 2;
    other[3].qk_norm = false;
    other[4].tied = true;
    for (int i = 0; i < 5; i++) {
        t.subject.model = other[i];
        assert_true(fabs(true_loss(&t) - loss) > 10 * LOSS_BOUND * loss);
    }
    t.subject.model = model;
    for (int32_t i = 0; i < t.program.weights.count; i++) {
        int64_t count = t.program.weights.weight[i].count;
        for (int64_t k = 0; k < count; k++)
            t.weight[i][k] += 0.01 * (double)(k % 7);
        if (!(fabs(true_loss(&t) - loss) > 10 * LOSS_BOUND * loss))
            fail_msg("%s does not reach the loss", t.program.weights.weight[i].name);
        for (int64_t k = 0; k < count; k++)
            t.weight[i][k] -= 0.01 * (double)(k % 7);
    }
    trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_and_gradients_of_every_kind_of_model_are_true),
        cmocka_unit_test(logical_widths_lanes_and_recompute_keep_gpt2_true),
        cmocka_unit_test(logical_widths_lanes_and_recompute_keep_llama_true),
        cmocka_unit_test(evaluation_is_true),
        cmocka_unit_test(logits_of_generation_are_true),
        cmocka_unit_test(a_gradient_that_is_slightly_wrong_is_found_in_every_tensor),
        cmocka_unit_test(every_option_changes_the_true_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
