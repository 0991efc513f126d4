/* The errors of fn.h, against the C library in long double, over fp32 arguments at a stride through all bit patterns.
 * The bounds are those that fn.h states. */
#include "silicon/op/fn.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { STRIDE = 1499 }; /* a prime: 2.8 million of all patterns */

/* In units of the last place of the fp32 next to the truth. */
static double ulps(float got, long double truth)
{
    if (isnan(got) || isinf(got))
        return 1e9;
    int exponent;
    frexpl(truth, &exponent);
    if (truth == 0 || exponent < -125)
        exponent = -125; /* subnormals have one unit */
    return (double)(fabsl((long double)got - truth) / ldexpl(1, exponent - 24));
}

struct worst {
    double error;
    float at;
};

typedef float fast_fn(float x);
typedef long double true_fn(long double x);

/* The largest error of `fast` for low <= x <= high: in ULP, or absolute. */
static struct worst worst_of(fast_fn *fast, true_fn *truth, float low, float high, bool absolute)
{
    struct worst worst = {0, 0};
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += STRIDE) {
        float x = tr_f32_from_bits((uint32_t)bits);
        if (!(x >= low && x <= high))
            continue;
        float got = fast(x);
        long double want = truth((long double)x);
        double error = absolute ? (double)fabsl((long double)got - want) : ulps(got, want);
        if (error > worst.error)
            worst = (struct worst){error, x};
    }
    return worst;
}

static void check(const char *name, struct worst worst, double bound)
{
    printf("%s: at most %.4g, at %.9g\n", name, worst.error, (double)worst.at);
    if (!(worst.error <= bound))
        fail_msg("%s: error %.4g at %a, stated %.4g", name, worst.error, (double)worst.at, bound);
}

static long double true_exp(long double x) { return expl(x); }
static long double true_sigmoid(long double x) { return 1 / (1 + expl(-x)); }
static long double true_silu(long double x) { return x / (1 + expl(-x)); }
static const long double TWO_OVER_PI = 0.63661977236758134307553505349005744814L;
static long double gelu_u(long double x) { return 2 * sqrtl(TWO_OVER_PI) * (x + 0.044715L * x * x * x); }
static long double true_gelu(long double x) { return x / (1 + expl(-gelu_u(x))); }

static long double true_silu_slope(long double x)
{
    long double s = true_sigmoid(x);
    return s * (1 + x * (1 - s));
}

static long double true_gelu_slope(long double x)
{
    long double s = true_sigmoid(gelu_u(x));
    return s + x * s * (1 - s) * 2 * sqrtl(TWO_OVER_PI) * (1 + 3 * 0.044715L * x * x);
}

static void exp_keeps_its_bound(void **state)
{
    (void)state;
    check("tr_expf, ULP", worst_of(tr_expf, true_exp, TR_EXP_LOW, TR_EXP_HIGH, false), 1.1);
}

static void exp_beyond_its_range_is_zero_or_infinity(void **state)
{
    (void)state;
    assert_true(tr_expf(0.0f) == 1.0f && tr_expf(-0.0f) == 1.0f);
    assert_true(tr_expf(nextafterf(TR_EXP_LOW, -INFINITY)) == 0.0f && tr_expf(TR_EXP_LOW) > 0.0f);
    assert_true(tr_expf(nextafterf(TR_EXP_HIGH, INFINITY)) == INFINITY && tr_expf(TR_EXP_HIGH) < INFINITY);
    assert_true(tr_expf(-INFINITY) == 0.0f && tr_expf(INFINITY) == INFINITY && isnan(tr_expf(NAN)));
    assert_true(tr_expf(TR_EXP_LOW) >= FLT_MIN); /* no result is subnormal: flushing units agree */
}

static void exp_never_decreases(void **state)
{
    (void)state;
    float before = 0.0f;
    int64_t falls = 0;
    for (int64_t i = 0; i < 4000000; i++) {
        float now = tr_expf((float)(-87.0 + 175.0 * (double)i / 4000000.0));
        falls += now < before;
        before = now;
    }
    assert_int_equal(falls, 0);
}

static void sigmoid_keeps_its_bound(void **state)
{
    (void)state;
    check("tr_sigmoidf, ULP", worst_of(tr_sigmoidf, true_sigmoid, -87.0f, INFINITY, false), 2.4);
    check("tr_sigmoidf below -87, absolute", worst_of(tr_sigmoidf, true_sigmoid, -FLT_MAX, -87.0f, true), 0x1p-126);
}

static void silu_keeps_its_bound(void **state)
{
    (void)state;
    check("tr_silu, ULP", worst_of(tr_silu, true_silu, -87.0f, FLT_MAX, false), 2.7);
    check("tr_silu_slope, absolute", worst_of(tr_silu_slope, true_silu_slope, -FLT_MAX, FLT_MAX, true), 1.0e-6);
}

static void gelu_keeps_its_bound(void **state)
{
    (void)state;
    check("tr_gelu from -1 up, ULP", worst_of(tr_gelu, true_gelu, -1.0f, 1e12f, false), 2.8);
    check("tr_gelu, absolute below 4", worst_of(tr_gelu, true_gelu, -1e12f, 4.0f, true), 4.1e-7);
    check("tr_gelu_slope, absolute", worst_of(tr_gelu_slope, true_gelu_slope, -1e6f, 1e6f, true), 2.0e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_keeps_its_bound),     cmocka_unit_test(exp_beyond_its_range_is_zero_or_infinity),
        cmocka_unit_test(exp_never_decreases),     cmocka_unit_test(sigmoid_keeps_its_bound),
        cmocka_unit_test(silu_keeps_its_bound),    cmocka_unit_test(gelu_keeps_its_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
