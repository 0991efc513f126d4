/* Against PyTorch: tiny models saved by transformers, and what torch computes with them in double (tests/torch, made by
 * scripts/peers/torch_golden.py): logits, loss, every gradient, ten steps of AdamW.
 *
 * Bounds. Torch's numbers are exact to the rounding of the file, so what differs is our fp32:
 *     logits      3e-6 of the largest: one chain of 24 products after two layers (seen 7e-7)
 *     loss        3e-7 relative, as in test_model_truth.c (seen 4e-8)
 *     gradients   2e-6 |tensor| + 2e-7 |all| an element, |.| the 2-norm (seen a quarter of it)
 *     ten steps   1e-5 an element, where the ten steps move it by up to 0.1: AdamW divides a gradient by its own size
 *                 plus eps = 1e-4, so an error of 1e-8 in a gradient that is zero by mathematics moves 1e-4 of a step
 *                 of 1e-2, ten times (seen a third of it)
 *     norms       1e-5 relative a step; torch clips by max / (norm + 1e-6)
 * Some models make more of rounding than that within ten steps. `make peers` takes fresh ones, whose file says how far
 * torch's own numbers move when each weight begins half a last place of fp32 off ("moved."); MOVED times that is added
 * to the bounds of the ten steps. */
#include "lab/exchange/exchange.h"
#include "lab/exchange/outer.h"
#include "lab/exchange/safetensors.h"
#include "lab/model/exec.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SEQS = 2, SEQ_LEN = 20, STEPS = 10 };

#define LOGIT_BOUND 3e-6
#define LOSS_BOUND 3e-7
#define GRAD_BOUND 2e-6
#define GRAD_BOUND_ALL 2e-7
#define STEPS_BOUND 1e-5
#define NORM_BOUND 1e-5
#define MOVED 10

static struct tr_err err;

static const char *golden(const char *model, const char *file)
{
    static char path[TR_PATH_BYTES];
    const char *source = getenv("TRINE_SOURCE_DIR");
    assert_non_null(source);
    snprintf(path, sizeof path, "%s/tests/torch/%s%s%s", source, model, file[0] ? "/" : "", file);
    return path;
}

/* ---- the truth --------------------------------------------------------------------------------------------------- */

struct truth {
    struct tr_safetensors header;
    struct tr_bytes bytes;
};

static const void *find(const struct truth *truth, const char *prefix, const char *name, int64_t count)
{
    char whole[200];
    snprintf(whole, sizeof whole, "%s%s", prefix, name);
    const struct tr_safetensor *tensor = tr_safetensors_find(&truth->header, whole);
    if (!tensor || tensor->bytes != count * 4)
        fail_msg("the truth has no %s of %lld numbers", whole, (long long)count);
    return truth->bytes.at + tensor->begin;
}

/* How far torch's number `index` of ten moves; 0 where the file does not say. */
static double moved(const struct truth *truth, const char *name, int index)
{
    const struct tr_safetensor *tensor = tr_safetensors_find(&truth->header, name);
    return tensor ? MOVED * (double)((const float *)(truth->bytes.at + tensor->begin))[index] : 0;
}

/* ---- the model --------------------------------------------------------------------------------------------------- */

struct trial {
    const char *name;
    struct tr_import import;
    struct tr_program program;
    struct tr_exec exec;
    struct tr_outer_list list;
    struct tr_arena arena;
    struct truth truth;
    float **w, **gradient;
};

static void must(enum tr_status status)
{
    if (status != TR_OK)
        fail_msg("%s", err.text);
}

static struct tr_machine machine(void)
{
    enum tr_isa isa;
    must(tr_isa_choose(&isa, &err));
    return (struct tr_machine){.kernels = tr_kernel_set(isa), .threads = 2};
}

static void trial_open(struct trial *t, const char *name)
{
    memset(t, 0, sizeof *t);
    t->name = name;
    must(tr_import_open(&t->import, golden(name, ""), &err));
    struct tr_step_config step = {.dtype = TR_F32, .batch = SEQS, .seq_len = SEQ_LEN, .micro_batch = SEQS,
                                  .widths = {1, 1, 1, 1}};
    must(tr_program_train(&t->program, &t->import.model, &step, machine(), &err));
    must(tr_exec_open(&t->exec, &t->program, machine(), NULL, &err));
    tr_exec_init(&t->exec, 1);
    int32_t count = t->program.weights.count;
    t->w = calloc((size_t)count, sizeof *t->w);
    t->gradient = calloc((size_t)count, sizeof *t->gradient);
    assert_true(t->w && t->gradient);
    for (int32_t i = 0; i < count; i++) {
        t->w[i] = tr_exec_weight(&t->exec, i);
        t->gradient[i] = tr_exec_buffer(&t->exec, t->program.first_grad + i);
    }
    must(tr_import_weights(&t->import, &t->program.weights, t->w, &err));
    tr_arena_init(&t->arena, "golden", 1 << 24);
    must(tr_outer_list_make(&t->list, TR_OUTER_HF, &t->import.model, &t->program.weights, &t->arena, &err));
    must(tr_file_read(golden(name, "truth.safetensors"), 1 << 24, &t->truth.bytes, &err));
    must(tr_safetensors_open(golden(name, "truth.safetensors"), &t->truth.header, &err));

    const int32_t *tokens = find(&t->truth, "tokens", "", SEQS * (SEQ_LEN + 1));
    int32_t *in = tr_exec_buffer(&t->exec, t->program.tokens), *out = tr_exec_buffer(&t->exec, t->program.targets);
    for (int s = 0; s < SEQS; s++)
        for (int i = 0; i < SEQ_LEN; i++) {
            in[s * SEQ_LEN + i] = tokens[s * (SEQ_LEN + 1) + i];
            out[s * SEQ_LEN + i] = tokens[s * (SEQ_LEN + 1) + i + 1];
        }
}

static void trial_close(struct trial *t)
{
    tr_safetensors_free(&t->truth.header);
    tr_bytes_free(&t->truth.bytes);
    tr_arena_free(&t->arena);
    free(t->w);
    free(t->gradient);
    tr_exec_close(&t->exec);
    tr_program_free(&t->program);
    tr_import_close(&t->import);
}

/* Calls visit for every outer tensor with our numbers and torch's. */
typedef void visit_fn(struct trial *t, const char *name, const float *ours, const float *torch, int64_t count);

static void for_each(struct trial *t, const char *prefix, float *const *arrays, visit_fn *visit)
{
    for (int32_t i = 0; i < t->list.count; i++) {
        const struct tr_outer *o = &t->list.outer[i];
        int64_t rows = tr_outer_rows(o), columns = tr_outer_columns(o);
        float *ours = malloc((size_t)(rows * columns) * sizeof *ours);
        assert_non_null(ours);
        for (int64_t r = 0; r < rows; r++)
            tr_outer_gather(o, &t->program.weights, arrays, r, ours + r * columns);
        visit(t, o->name, ours, find(&t->truth, prefix, o->name, rows * columns), rows * columns);
        free(ours);
    }
}

static double norm_of(const float *x, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += (double)x[i] * x[i];
    return sqrt(sum);
}

/* ---- what is compared -------------------------------------------------------------------------------------------- */

static double all_norm, worst; /* worst: in parts of its bound */

static void compare_gradient(struct trial *t, const char *name, const float *ours, const float *torch, int64_t count)
{
    double bound = GRAD_BOUND * norm_of(torch, count) + GRAD_BOUND_ALL * all_norm;
    for (int64_t i = 0; i < count; i++) {
        double off = fabs((double)ours[i] - torch[i]);
        worst = fmax(worst, off / bound);
        if (!(off <= bound))
            fail_msg("%s: gradient of %s[%lld] is %.9g, torch has %.9g", t->name, name, (long long)i, ours[i], torch[i]);
    }
}

static void compare_weight(struct trial *t, const char *name, const float *ours, const float *torch, int64_t count)
{
    double bound = STEPS_BOUND + moved(&t->truth, "moved.after", 0);
    for (int64_t i = 0; i < count; i++) {
        double off = fabs((double)ours[i] - torch[i]);
        worst = fmax(worst, off / bound);
        if (!(off <= bound))
            fail_msg("%s: after ten steps %s[%lld] is %.9g, torch has %.9g", t->name, name, (long long)i, ours[i],
                     torch[i]);
    }
}

static void compare_steps(struct trial *t)
{
    const float *losses = find(&t->truth, "losses", "", STEPS), *norms = find(&t->truth, "norms", "", STEPS);
    const struct tr_hyper hyper = {.lr = 1e-2, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-4, .weight_decay = 0.1,
                                   .clip_norm = 1.0};
    for (int step = 1; step <= STEPS; step++) {
        tr_exec_set_hyper(&t->exec, &hyper, step);
        struct tr_step_result result = tr_exec_gradients(&t->exec, SEQS * SEQ_LEN);
        double loss = losses[step - 1], norm = norms[step - 1];
        assert_true(fabs(result.loss - loss) < 1e-5 * loss + moved(&t->truth, "moved.losses", step - 1));
        assert_true(fabs(result.grad_norm - norm) <
                    NORM_BOUND * norm * step + moved(&t->truth, "moved.norms", step - 1));
        tr_exec_update(&t->exec);
    }
}

static void check_model(const char *name)
{
    struct trial t;
    double gradients;
    trial_open(&t, name);
    const float *loss = find(&t.truth, "loss", "", 1), *norms = find(&t.truth, "norms", "", STEPS);
    struct tr_step_result result = tr_exec_gradients(&t.exec, SEQS * SEQ_LEN);
    if (!(fabs(result.loss - loss[0]) <= LOSS_BOUND * loss[0]))
        fail_msg("%s: loss %.9g, torch has %.9g", name, result.loss, loss[0]);
    all_norm = norms[0];
    worst = 0;
    for_each(&t, "grad.", t.gradient, compare_gradient);
    gradients = worst;
    compare_steps(&t);
    worst = 0;
    for_each(&t, "after.", t.w, compare_weight);
    print_message("%s: loss off by %.1e, gradients %.2f of the bound, ten steps %.2f\n", name,
                  fabs(result.loss - loss[0]) / loss[0], gradients, worst);
    trial_close(&t);
}

static void loss_gradients_and_ten_steps_are_those_of_torch(void **state)
{
    (void)state;
    check_model("gpt2");
    check_model("llama");
    check_model("mistral");
    check_model("qwen2");
    check_model("qwen3");
}

/* Generation's logits, read token by token. */
static void check_logits(const char *name)
{
    struct trial t;
    struct tr_program program;
    struct tr_exec exec;
    struct tr_widths widths = {1, 1, 1, 1};
    trial_open(&t, name);
    int64_t vocab = t.import.model.vocab;
    const float *truth = find(&t.truth, "logits", "", SEQS * SEQ_LEN * vocab);
    const int32_t *tokens = find(&t.truth, "tokens", "", SEQS * (SEQ_LEN + 1));
    must(tr_program_infer(&program, &t.import.model, TR_F32, TR_FORM_ROWS, &widths, 1, 1, SEQ_LEN, machine(), &err));
    must(tr_exec_open(&exec, &program, machine(), &t.exec, &err));
    for (int32_t i = 0; i < program.weights.count; i++)
        memcpy(tr_exec_weight(&exec, i), t.w[i], (size_t)program.weights.weight[i].count * sizeof(float));
    double largest = 0, off = 0;
    for (int64_t i = 0; i < SEQS * SEQ_LEN * vocab; i++)
        largest = fmax(largest, fabs((double)truth[i]));
    for (int s = 0; s < SEQS; s++)
        for (int i = 0; i < SEQ_LEN; i++) {
            const float *ours = tr_exec_infer(&exec, &tokens[s * (SEQ_LEN + 1) + i], i);
            for (int64_t v = 0; v < vocab; v++)
                off = fmax(off, fabs((double)ours[v] - truth[(s * SEQ_LEN + i) * vocab + v]));
        }
    print_message("%s: logits off by %.1e of the largest\n", name, off / largest);
    assert_true(off <= LOGIT_BOUND * largest);
    tr_exec_close(&exec);
    tr_program_free(&program);
    trial_close(&t);
}

static void logits_are_those_of_torch(void **state)
{
    (void)state;
    check_logits("gpt2");
    check_logits("llama");
    check_logits("mistral");
    check_logits("qwen2");
    check_logits("qwen3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_gradients_and_ten_steps_are_those_of_torch),
        cmocka_unit_test(logits_are_those_of_torch),
    };
    return cmocka_run_group_tests_name("lab/torch", tests, NULL, NULL);
}
