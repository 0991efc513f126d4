/* Muon as the step program writes it, against the published algorithm in double precision. */
#include "fixture.h"

#include <math.h>
#include <stdlib.h>

enum { STEPS = 2 };
static const struct tr_hyper hyper = {1e-2, 0.9, 0.95, 1e-8, 0.1, 1.0, 0.95};

/* c = a b, or a b^T; a [n, k] */
static void multiply(double *c, const double *a, const double *b, int64_t n, int64_t k, int64_t m, bool transposed)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < m; j++) {
            double sum = 0;
            for (int64_t t = 0; t < k; t++)
                sum += a[i * k + t] * (transposed ? b[j * k + t] : b[t * m + j]);
            c[i * m + j] = sum;
        }
}

static double *zeros(int64_t n)
{
    double *x = calloc((size_t)n, sizeof *x);
    assert_non_null(x);
    return x;
}

/* Five steps of X = a X + (b A + c A^2) X, A = X X^T, on the wide one of x [n, m] and its transpose. */
static void newton_schulz(double *x, int64_t n, int64_t m)
{
    double norm = 0;
    bool tall = n > m;
    int64_t r = tall ? m : n, c = tall ? n : m;
    double *wide = zeros(n * m), *gram = zeros(r * r), *square = zeros(r * r), *product = zeros(n * m);
    for (int64_t i = 0; i < n * m; i++)
        norm += x[i] * x[i];
    norm = fmax(sqrt(norm), 1e-7);
    for (int64_t i = 0; i < r; i++)
        for (int64_t j = 0; j < c; j++)
            wide[i * c + j] = (tall ? x[j * m + i] : x[i * m + j]) / norm;
    for (int step = 0; step < 5; step++) {
        multiply(gram, wide, wide, r, c, r, true);
        multiply(square, gram, gram, r, r, r, false);
        for (int64_t i = 0; i < r * r; i++)
            square[i] = -4.7750 * gram[i] + 2.0315 * square[i];
        multiply(product, square, wide, r, r, c, false);
        for (int64_t i = 0; i < r * c; i++)
            wide[i] = 3.4445 * wide[i] + product[i];
    }
    for (int64_t i = 0; i < r; i++)
        for (int64_t j = 0; j < c; j++)
            x[tall ? j * m + i : i * m + j] = wide[i * c + j];
    free(wide);
    free(gram);
    free(square);
    free(product);
}

/* What weight `index` should be after the update, from what is there before it. Returns the greatest step of it. */
static double expect_step(const struct tr_exec *e, int32_t index, double *expected)
{
    const struct tr_weight *w = &e->program->weights.weight[index];
    double largest = 0, scale = 0.2 * sqrt((double)(w->dim[0] > w->dim[1] ? w->dim[0] : w->dim[1]));
    double *x = zeros(w->count);
    for (int64_t i = 0; i < w->count; i++) {
        double g = tr_exec_gradient(e, index)[i] * (double)e->values.clip_factor;
        double m = 0.95 * tr_exec_moment_m(e, index)[i] + 0.05 * g;
        x[i] = 0.95 * m + 0.05 * g;
    }
    newton_schulz(x, w->dim[0], w->dim[1]);
    for (int64_t i = 0; i < w->count; i++) {
        double step = hyper.lr * scale * x[i];
        expected[i] = tr_exec_weight(e, index)[i] * (1 - hyper.lr * hyper.weight_decay) - step;
        largest = fmax(largest, fabs(step));
    }
    free(x);
    return largest;
}

/* The five steps multiply a small singular value by up to 3.4445^5 = 485, and so what rounding did to it: 485 * 2^-24 =
 * 3e-5 of the largest one, which ends between 0.7 and 1.2. Seen: 2e-6. */
#define SHARE_OF_THE_STEP 3e-5

static void check_family(struct tr_model_config model)
{
    struct tr_step_config config = fixture_step(4, 4, 40);
    struct tr_program p;
    struct tr_exec e;
    config.optimizer = TR_OPTIMIZER_MUON;
    fixture_open(&e, &p, &model, &config, fixture_machine(fixture_best_isa(), 2));
    double **expected = calloc((size_t)p.weights.count, sizeof *expected), *step = zeros(p.weights.count), worst = 0;
    int matrices = 0;
    for (int64_t n = 1; n <= STEPS; n++) {
        int64_t targets = fixture_fill(&e, n * 4, 4);
        tr_exec_set_hyper(&e, &hyper, n);
        assert_true(tr_exec_gradients(&e, targets).finite);
        for (int32_t i = 0; i < p.weights.count; i++) {
            if (p.weights.weight[i].moments != 1)
                continue;
            expected[i] = zeros(p.weights.weight[i].count);
            step[i] = expect_step(&e, i, expected[i]);
            matrices++;
        }
        tr_exec_update(&e);
        for (int32_t i = 0; i < p.weights.count; i++) {
            for (int64_t k = 0; expected[i] && k < p.weights.weight[i].count; k++) {
                double got = tr_exec_weight(&e, i)[k], lost = fabs(got - expected[i][k]) - 0x1p-24 * fabs(got);
                worst = fmax(worst, lost / step[i]);
            }
            free(expected[i]);
            expected[i] = NULL;
        }
    }
    print_message("%s: %d matrices, off by %.1e of the largest element of a step\n", model.name, matrices, worst);
    assert_true(matrices == STEPS * model.layers * (model.family == TR_GPT2 ? 6 : 7));
    assert_true(worst < SHARE_OF_THE_STEP);
    free(expected);
    free(step);
    fixture_close(&e, &p);
}

static void the_step_is_the_published_one(void **state)
{
    (void)state;
    check_family(fixture_gpt2());
    check_family(fixture_llama());
}

static void only_matrices_of_layers_are_its_and_they_have_one_moment(void **state)
{
    (void)state;
    struct tr_model_config model = fixture_llama();
    struct tr_step_config adamw = fixture_step(2, 2, 16), muon = adamw;
    struct tr_program a, b;
    struct tr_err err;
    int64_t matrices = 0;
    muon.optimizer = TR_OPTIMIZER_MUON;
    assert_int_equal(tr_program_train(&a, &model, &adamw, fixture_machine(TR_ISA_REF, 1), &err), TR_OK);
    assert_int_equal(tr_program_train(&b, &model, &muon, fixture_machine(TR_ISA_REF, 1), &err), TR_OK);
    for (int32_t i = 0; i < b.weights.count; i++) {
        const struct tr_weight *w = &b.weights.weight[i];
        bool its = w->layer >= 0 && w->rank == 2;
        assert_int_equal(w->moments, its ? 1 : 2);
        matrices += its ? (w->count * 4 + 63) / 64 * 64 : 0;
    }
    int64_t saved = a.region_bytes[TR_REGION_MOMENTS] - b.region_bytes[TR_REGION_MOMENTS];
    assert_true(saved > 0 && llabs(saved - matrices) < 64 * b.weights.count);
    tr_program_free(&a);
    tr_program_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_step_is_the_published_one),
        cmocka_unit_test(only_matrices_of_layers_are_its_and_they_have_one_moment),
    };
    return cmocka_run_group_tests_name("lab/muon", tests, NULL, NULL);
}
