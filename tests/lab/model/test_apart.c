/* Documents that share a sequence: each is computed as if it were alone. */
#include "fixture.h"

#include <math.h>
#include <stdlib.h>

enum { LEN = 600, DOCUMENT = 101 };

/* One sequence of one document with targets, at `at`, among others without; `others` chooses what stands in those. */
static int64_t fill(const struct tr_exec *e, int64_t at, uint64_t others)
{
    const struct tr_program *p = e->program;
    int32_t *tokens = tr_exec_buffer(e, p->tokens), *targets = tr_exec_buffer(e, p->targets);
    int32_t *starts = tr_exec_buffer(e, p->starts);
    struct tr_rng_key key = tr_rng_key(5, "apart", 0), other = tr_rng_key(6, "apart", others);
    uint64_t vocab = (uint64_t)p->model.vocab;
    for (int64_t i = 0; i < LEN; i++) {
        bool mine = i >= at && i < at + DOCUMENT;
        uint64_t n = (uint64_t)(i - at);
        tokens[i] = (int32_t)(mine ? tr_rng_below(key, n, vocab) : tr_rng_below(other, (uint64_t)i, vocab));
        targets[i] = mine && n % 3 != 1 ? (int32_t)tr_rng_below(key, 1000 + n, vocab) : -1;
        starts[i] = (int32_t)(i < at ? i - i % 37 : mine ? at : i - (i - at - DOCUMENT) % 50);
    }
    return (DOCUMENT + 1) / 3 + (DOCUMENT + 0) / 3;
}

struct run {
    struct tr_program p;
    struct tr_exec e;
    double loss;
};

static void run_at(struct run *run, int family, int context, int64_t at, uint64_t others)
{
    struct tr_model_config model = family == 0 ? fixture_gpt2() : fixture_llama();
    struct tr_step_config step = fixture_step(1, 1, LEN);
    model.positions = LEN;
    step.apart = true;
    step.widths.context = context;
    fixture_open(&run->e, &run->p, &model, &step, fixture_machine(fixture_best_isa(), 2));
    run->loss = tr_exec_gradients(&run->e, fill(&run->e, at, others)).loss;
}

static double largest_gradient(const struct run *run)
{
    double largest = 0;
    for (int32_t i = 0; i < run->p.weights.count; i++)
        for (int64_t k = 0; k < run->p.weights.weight[i].count; k++)
            largest = fmax(largest, fabs((double)tr_exec_gradient(&run->e, i)[k]));
    return largest;
}

/* Largest difference of a gradient, as a share of the largest element of its tensor; of tensors whose gradient is nothing
 * but rounding (a key bias without rotations: softmax does not see it) as a share of 1e-2 of the largest of all. */
static double difference(const struct run *a, const struct run *b)
{
    double worst = 0, floor = 1e-2 * largest_gradient(a);
    for (int32_t i = 0; i < a->p.weights.count; i++) {
        const float *x = tr_exec_gradient(&a->e, i), *y = tr_exec_gradient(&b->e, i);
        double most = 0, largest = floor;
        for (int64_t k = 0; k < a->p.weights.weight[i].count; k++) {
            most = fmax(most, fabs((double)x[k] - (double)y[k]));
            largest = fmax(largest, fabs((double)x[k]));
        }
        worst = fmax(worst, most / largest);
    }
    return worst;
}

static void what_the_others_hold_changes_no_bit_of_loss_and_gradients(void **state)
{
    (void)state;
    for (int family = 0; family < 2; family++) {
        for (int context = 1; context <= 3; context += 2) {
            struct run a, b;
            run_at(&a, family, context, 150, 1);
            run_at(&b, family, context, 150, 2);
            assert_true(a.loss == b.loss);
            for (int32_t i = 0; i < a.p.weights.count; i++) {
                size_t bytes = (size_t)a.p.weights.weight[i].count * sizeof(float);
                if (memcmp(tr_exec_gradient(&a.e, i), tr_exec_gradient(&b.e, i), bytes) != 0)
                    fail_msg("the gradient of %s differs", a.p.weights.weight[i].name);
            }
            fixture_close(&a.e, &a.p);
            fixture_close(&b.e, &b.p);
        }
    }
}

/* Where blocks of keys (64) and of tokens (256) fall in the document decides the last bits: at a multiple of both they
 * are those of the document alone, elsewhere sums of at most 101 terms are grouped otherwise, each within some 2^-24 of
 * the truth. */
static void a_document_among_others_is_the_document_alone(void **state)
{
    (void)state;
    for (int family = 0; family < 2; family++) {
        struct run alone, at_block, anywhere;
        run_at(&alone, family, 1, 0, 1);
        run_at(&at_block, family, 1, 256, 2);
        run_at(&anywhere, family, 1, 333, 3);
        assert_true(alone.loss == at_block.loss && difference(&alone, &at_block) == 0);
        double far = difference(&alone, &anywhere);
        print_message("%s: elsewhere loss differs by %.1e, gradients by %.1e of the largest\n", alone.p.model.name,
                      fabs(alone.loss - anywhere.loss), far);
        assert_true(fabs(alone.loss - anywhere.loss) <= 1e-6 * alone.loss && far <= 1e-5);
        fixture_close(&alone.e, &alone.p);
        fixture_close(&at_block.e, &at_block.p);
        fixture_close(&anywhere.e, &anywhere.p);
    }
}

/* The tests above would pass too if nothing in a document saw anything. */
static void a_document_sees_itself(void **state)
{
    (void)state;
    struct run whole, cut;
    run_at(&whole, 1, 1, 150, 1);
    run_at(&cut, 1, 1, 150, 1);
    int32_t *starts = tr_exec_buffer(&cut.e, cut.p.starts);
    for (int64_t i = 200; i < 150 + DOCUMENT; i++)
        starts[i] = 200;
    double loss = tr_exec_gradients(&cut.e, 68).loss;
    assert_true(fabs(loss - whole.loss) > 1e-4);
    fixture_close(&whole.e, &whole.p);
    fixture_close(&cut.e, &cut.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_others_hold_changes_no_bit_of_loss_and_gradients),
        cmocka_unit_test(a_document_among_others_is_the_document_alone),
        cmocka_unit_test(a_document_sees_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
