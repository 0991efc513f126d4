#include "base/fmath.h"
#include "base/rng.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The truth here is the C library's long double functions: 64 bits of significand, good to about 1 unit of them. Where
 * long double is only a double, they are a poor judge of the last bit and the bound is one ULP wider. */
static const double SLACK = LDBL_MANT_DIG >= 64 ? 0 : 1;

enum { POINTS = 400000 };

/* Distance in units of the last place of the double next to `truth`. */
static double ulps(double got, long double truth)
{
    if (isinf(truth) || isnan(truth) || got == (double)truth)
        return got == (double)truth ? 0 : 1e9;
    int exponent;
    frexpl(truth, &exponent);
    if (exponent < -1021)
        exponent = -1021; /* subnormal numbers have one common unit */
    return (double)(fabsl((long double)got - truth) / ldexpl(1, exponent - 53));
}

static double uniform(const char *what, uint64_t i, double low, double high)
{
    return low + (high - low) * tr_rng_double(tr_rng_key(1, what, 0), i);
}

static void check_worst(const char *name, double worst, double bound)
{
    printf("%s: at most %.3f ULP\n", name, worst);
    assert_true(worst <= bound + SLACK);
    assert_true(worst > 0.4); /* a check that sees no error at all is looking at nothing */
}

static void exp_is_within_one_ulp_everywhere(void **state)
{
    (void)state;
    double worst = 0;
    for (uint64_t i = 0; i < POINTS; i++) {
        double wide = uniform("exp", i, -745, 709.7), narrow = uniform("exp near", i, -1, 1);
        worst = fmax(worst, ulps(tr_exp(wide), expl(wide)));
        worst = fmax(worst, ulps(tr_exp(narrow), expl(narrow)));
    }
    check_worst("exp", worst, 1);
}

static void exp_keeps_its_limits(void **state)
{
    (void)state;
    assert_true(tr_exp(0) == 1);
    assert_true(tr_exp(-0.0) == 1);
    assert_true(tr_exp(INFINITY) == INFINITY);
    assert_true(tr_exp(-INFINITY) == 0);
    assert_true(tr_exp(710) == INFINITY);
    assert_true(tr_exp(-746) == 0);
    assert_true(tr_exp(-745) > 0);
    assert_true(tr_exp(709.78) < INFINITY);
    assert_true(isnan(tr_exp(NAN)));
}

static void log_is_within_one_ulp_everywhere(void **state)
{
    (void)state;
    double worst = 0;
    for (uint64_t i = 0; i < POINTS; i++) {
        uint64_t bits = tr_rng_u64(tr_rng_key(1, "log bits", 0), i) % 0x7ff0000000000000u;
        double any; /* all exponents, subnormals too */
        memcpy(&any, &bits, sizeof any);
        double near = uniform("log near", i, 0.5, 2), close = 1 + uniform("log close", i, -1e-6, 1e-6);
        worst = fmax(worst, ulps(tr_log(any), logl(any)));
        worst = fmax(worst, ulps(tr_log(near), logl(near)));
        worst = fmax(worst, ulps(tr_log(close), logl(close)));
    }
    check_worst("log", worst, 1);
}

static void log_keeps_its_limits(void **state)
{
    (void)state;
    assert_true(tr_log(1) == 0);
    assert_true(tr_log(0) == -INFINITY);
    assert_true(tr_log(INFINITY) == INFINITY);
    assert_true(isnan(tr_log(-1)));
    assert_true(isnan(tr_log(NAN)));
}

static void sin_and_cos_are_within_one_ulp_up_to_2_to_the_29(void **state)
{
    (void)state;
    double worst = 0;
    for (uint64_t i = 0; i < POINTS; i++) {
        /* near zero, as in Box-Muller, RoPE positions, the edge; and whole multiples of pi/2, where the sum cancels */
        double at[5] = {uniform("sin 1", i, -1, 1), uniform("sin 7", i, 0, 6.3), uniform("sin 6", i, -1e6, 1e6),
                        uniform("sin 8", i, -0x1p29, 0x1p29),
                        (double)(tr_rng_u32(tr_rng_key(1, "sin k", 0), i) >> 4) * 0x1.921fb54442d18p+0};
        for (int j = 0; j < 5; j++) {
            /* Beyond some thousands the x87 long double functions lose bits near multiples of pi; there the absolute
             * error in units of 1 is what they can judge. */
            double s = tr_sin(at[j]), c = tr_cos(at[j]);
            if (fabs(at[j]) < 10) {
                worst = fmax(worst, ulps(s, sinl(at[j])));
                worst = fmax(worst, ulps(c, cosl(at[j])));
            } else {
                worst = fmax(worst, (double)(fabsl(s - sinl(at[j])) * 0x1p53L) - (fabs(s) < 0.5));
                worst = fmax(worst, (double)(fabsl(c - cosl(at[j])) * 0x1p53L) - (fabs(c) < 0.5));
            }
        }
    }
    check_worst("sin, cos", worst, 1);
}

static void sin_and_cos_keep_their_limits(void **state)
{
    (void)state;
    assert_true(tr_sin(0) == 0 && !signbit(tr_sin(0)));
    assert_true(tr_sin(-0.0) == 0 && signbit(tr_sin(-0.0)));
    assert_true(tr_cos(0) == 1);
    assert_true(tr_sin(1e-300) == 1e-300);
    assert_true(isnan(tr_sin(0x1p30)));
    assert_true(isnan(tr_cos(INFINITY)));
    assert_true(isnan(tr_cos(NAN)));
    assert_true(fabs(tr_sin(0x1.921fb54442d18p+1) - 0x1.1a62633145c07p-53) < 1e-31); /* pi as a double is not pi */
    for (double x = -50; x < 50; x += 0.37) {
        double s, c;
        tr_sincos(x, &s, &c);
        assert_true(s == tr_sin(x) && c == tr_cos(x));
        assert_true(s == -tr_sin(-x) && c == tr_cos(-x));
    }
}

static void pow_is_within_one_ulp_where_schedules_and_rope_use_it(void **state)
{
    (void)state;
    double worst = 0, worst_wide = 0;
    for (uint64_t i = 0; i < POINTS; i++) {
        double rope_base = uniform("pow base", i, 1000, 1e7), share = uniform("pow share", i, -1, 1);
        double beta = uniform("pow beta", i, 0.8, 1), step = (double)(i % 5000);
        double x = tr_exp(uniform("pow x", i, -300, 300)), y = uniform("pow y", i, -2.3, 2.3);
        worst = fmax(worst, ulps(tr_pow(rope_base, share), powl(rope_base, share)));
        worst = fmax(worst, ulps(tr_pow(beta, step), powl(beta, step)));
        worst_wide = fmax(worst_wide, ulps(tr_pow(x, y), powl(x, y)));
    }
    check_worst("pow", worst, 1);
    check_worst("pow, results down to 1e-300 and up to 1e300", worst_wide, 1);
}

static void pow_keeps_its_limits(void **state)
{
    (void)state;
    assert_true(tr_pow(2, 10) == 1024);
    assert_true(tr_pow(10, 3) == 1000);
    assert_true(tr_pow(0, 2) == 0);
    assert_true(tr_pow(0, 0) == 1);
    assert_true(tr_pow(0, -1) == INFINITY);
    assert_true(tr_pow(5, 0) == 1);
    assert_true(tr_pow(1, 1e300) == 1);
    assert_true(tr_pow(1e300, 2) == INFINITY);
    assert_true(tr_pow(1e-300, 2) == 0);
    assert_true(isnan(tr_pow(-2, 2)));
    assert_true(isnan(tr_pow(2, NAN)));
}

/* The bits themselves, so that another compiler, CPU or C library that disagrees is caught. */
static void the_bits_are_the_same_on_every_machine(void **state)
{
    (void)state;
    uint64_t hash = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        double x = uniform("bits", i, -700, 700), p = uniform("bits positive", i, 0, 1e6);
        double values[5] = {tr_exp(x), tr_log(p), tr_sin(x), tr_cos(p), tr_pow(p, x / 100)};
        for (int j = 0; j < 5; j++) {
            uint64_t bits;
            memcpy(&bits, &values[j], sizeof bits);
            hash = (hash ^ bits) * 0x9E3779B97F4A7C15u;
            hash ^= hash >> 29;
        }
    }
    if (hash != UINT64_C(0x8b5ced4a3cfe90db))
        print_error("the hash of all bits is %016llx\n", (unsigned long long)hash);
    assert_true(hash == UINT64_C(0x8b5ced4a3cfe90db));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_within_one_ulp_everywhere),
        cmocka_unit_test(exp_keeps_its_limits),
        cmocka_unit_test(log_is_within_one_ulp_everywhere),
        cmocka_unit_test(log_keeps_its_limits),
        cmocka_unit_test(sin_and_cos_are_within_one_ulp_up_to_2_to_the_29),
        cmocka_unit_test(sin_and_cos_keep_their_limits),
        cmocka_unit_test(pow_is_within_one_ulp_where_schedules_and_rope_use_it),
        cmocka_unit_test(pow_keeps_its_limits),
        cmocka_unit_test(the_bits_are_the_same_on_every_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
