/* Exact sums against an oracle that shares nothing with them: a fixed-point number wide enough for every double, and
 * the definition of rounding (no double is nearer; of two as near, the even one). */
#include "silicon/op/exact.h"

#include "base/rng.h"
#include "silicon/op/dtype.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Two's complement, in units of 2^-1080; 2240 bits reach beyond the largest double. */
enum { LIMBS = 70, UNIT = -1080 };

struct wide {
    uint32_t limb[LIMBS];
};

static void wide_add(struct wide *sum, const struct wide *x)
{
    uint64_t carry = 0;
    for (int i = 0; i < LIMBS; i++) {
        carry += (uint64_t)sum->limb[i] + x->limb[i];
        sum->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

static void wide_negate(struct wide *x)
{
    struct wide one = {{1}};
    for (int i = 0; i < LIMBS; i++)
        x->limb[i] = ~x->limb[i];
    wide_add(x, &one);
}

static void wide_add_double(struct wide *sum, double x, bool negate)
{
    int exponent;
    double fraction = frexp(fabs(x), &exponent);
    uint64_t mantissa = (uint64_t)ldexp(fraction, 53);
    struct wide value = {{0}};
    for (int bit = 0; bit < 53; bit++) {
        int at = bit + exponent - 53 - UNIT;
        if (mantissa >> bit & 1)
            value.limb[at / 32] |= UINT32_C(1) << (at % 32);
    }
    if (signbit(x) ? !negate : negate)
        wide_negate(&value);
    wide_add(sum, &value);
}

/* -1, 0 or 1 */
static int wide_sign(const struct wide *x)
{
    if (x->limb[LIMBS - 1] >> 31)
        return -1;
    for (int i = 0; i < LIMBS; i++)
        if (x->limb[i] != 0)
            return 1;
    return 0;
}

/* The sign of 2 sum - a - b: on which side of the middle of a and b the sum lies. */
static int side_of_middle(const struct wide *sum, double a, double b)
{
    struct wide difference = *sum;
    wide_add(&difference, sum);
    wide_add_double(&difference, a, true);
    wide_add_double(&difference, b, true);
    return wide_sign(&difference);
}

static bool is_even(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits & 1) == 0;
}

static bool is_nearest(const struct wide *sum, double value)
{
    int below = side_of_middle(sum, value, nextafter(value, -INFINITY));
    int above = side_of_middle(sum, value, nextafter(value, INFINITY));
    return is_even(value) ? below >= 0 && above <= 0 : below > 0 && above < 0;
}

static double sum_of(enum tr_exact_kind kind, const float *x, int64_t n)
{
    struct tr_exact sum;
    tr_exact_clear(&sum, kind);
    tr_exact_add(&sum, x, n);
    return tr_exact_value(&sum);
}

static void check_rounding(enum tr_exact_kind kind, const float *x, int64_t n)
{
    struct wide sum = {{0}};
    for (int64_t i = 0; i < n; i++)
        wide_add_double(&sum, kind == TR_EXACT_SQUARES ? (double)x[i] * (double)x[i] : (double)x[i], false);
    assert_true(is_nearest(&sum, sum_of(kind, x, n)));
}

enum { N_MAX = 3000 };

static uint32_t random_bits(uint64_t stream, int64_t i)
{
    return tr_rng_u32(tr_rng_key(4, "exact", stream), (uint64_t)i);
}

enum style { ORDINARY, ALL_EXPONENTS, SUBNORMALS, CANCELLING, STYLE_COUNT };

static void fill(float *x, int64_t n, enum style style, uint64_t stream)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = random_bits(stream * STYLE_COUNT + style, i);
        switch (style) {
        case ORDINARY:
            bits = (bits & 0x807fffffu) | (118u + bits % 16u) << 23;
            break;
        case SUBNORMALS:
            bits &= 0x80ffffffu;
            break;
        default:
            bits = (bits & 0x7f800000u) == 0x7f800000u ? bits ^ 0x40000000u : bits; /* finite */
            break;
        }
        x[i] = tr_f32_from_bits(bits);
        if (style == CANCELLING && i % 2 == 1 && i > 2)
            x[i] = -x[i - 1];
    }
}

static void sums_are_rounded_once_to_nearest_even(void **state)
{
    (void)state;
    static float x[N_MAX];
    for (int style = 0; style < STYLE_COUNT; style++) {
        for (uint64_t trial = 0; trial < 12; trial++) {
            int64_t n = 1 + (int64_t)(trial * trial * 20);
            fill(x, n, (enum style)style, trial);
            check_rounding(TR_EXACT_VALUES, x, n);
            check_rounding(TR_EXACT_SQUARES, x, n);
        }
    }
}

static void ties_go_to_even_and_the_smallest_term_breaks_them(void **state)
{
    (void)state;
    const float big = 0x1p+52f;
    float tie[] = {big, 1.0f, 0.5f, 0.0f};
    assert_true(sum_of(TR_EXACT_VALUES, tie, 2) == 0x1p+52 + 1.0);
    assert_true(sum_of(TR_EXACT_VALUES, tie, 3) == 0x1p+52 + 2.0); /* 1.5 lies between 1 (odd) and 2 (even) */
    float other_tie[] = {big, 2.0f, 0.5f, 0.0f};
    assert_true(sum_of(TR_EXACT_VALUES, other_tie, 3) == 0x1p+52 + 2.0);
    other_tie[3] = tr_f32_from_bits(1); /* 2^-149 */
    assert_true(sum_of(TR_EXACT_VALUES, other_tie, 4) == 0x1p+52 + 3.0);
    tie[3] = -tr_f32_from_bits(1);
    assert_true(sum_of(TR_EXACT_VALUES, tie, 4) == 0x1p+52 + 1.0);
    float all_ones[] = {0x1p+53f, -1.0f, 0.5f}; /* 2^53 - 0.5 carries into a new exponent */
    assert_true(sum_of(TR_EXACT_VALUES, all_ones, 3) == 0x1p+53);
}

static void a_term_that_doubles_would_lose_is_not_lost(void **state)
{
    (void)state;
    const float x[] = {FLT_MAX, tr_f32_from_bits(1), -FLT_MAX};
    assert_true(sum_of(TR_EXACT_VALUES, x, 3) == 0x1p-149);
    const float tiny[] = {tr_f32_from_bits(1)};
    assert_true(sum_of(TR_EXACT_SQUARES, tiny, 1) == 0x1p-298);
    const float far[] = {0x1p+100f, 0x1p-100f};
    assert_true(sum_of(TR_EXACT_SQUARES, far, 2) == 0x1p+200);
}

static void no_order_and_no_split_changes_the_sum(void **state)
{
    (void)state;
    static float x[N_MAX], shuffled[N_MAX];
    for (int kind = TR_EXACT_VALUES; kind <= TR_EXACT_SQUARES; kind++) {
        fill(x, N_MAX, ALL_EXPONENTS, 77);
        struct tr_exact whole;
        tr_exact_clear(&whole, (enum tr_exact_kind)kind);
        tr_exact_add(&whole, x, N_MAX);

        memcpy(shuffled, x, sizeof x);
        for (int64_t i = N_MAX - 1; i > 0; i--) {
            int64_t j = random_bits(78, i) % (uint32_t)(i + 1);
            float kept = shuffled[i];
            shuffled[i] = shuffled[j];
            shuffled[j] = kept;
        }
        struct tr_exact parts;
        tr_exact_clear(&parts, (enum tr_exact_kind)kind);
        for (int64_t first = 0, last; first < N_MAX; first = last) {
            last = first + 1 + random_bits(79, first) % 400;
            last = last > N_MAX ? N_MAX : last;
            struct tr_exact part;
            tr_exact_clear(&part, (enum tr_exact_kind)kind);
            tr_exact_add(&part, shuffled + first, last - first);
            tr_exact_merge(&parts, &part);
        }
        assert_memory_equal(parts.bin, whole.bin, sizeof whole.bin);
        assert_true(tr_exact_value(&parts) == tr_exact_value(&whole));
    }
}

static void long_sums_of_the_largest_squares_do_not_overflow_a_bin(void **state)
{
    (void)state;
    enum { LONG = 100000 }; /* more than three blocks of the 64-bit bins */
    float *x = malloc(LONG * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < LONG; i++)
        x[i] = FLT_MAX;
    check_rounding(TR_EXACT_SQUARES, x, LONG);
    check_rounding(TR_EXACT_VALUES, x, LONG);
    free(x);
}

static void nothing_and_zeros_sum_to_zero(void **state)
{
    (void)state;
    const float zeros[] = {0.0f, -0.0f, -0.0f};
    for (int kind = TR_EXACT_VALUES; kind <= TR_EXACT_SQUARES; kind++) {
        double empty = sum_of((enum tr_exact_kind)kind, zeros, 0), sum = sum_of((enum tr_exact_kind)kind, zeros + 1, 2);
        assert_true(empty == 0.0 && !signbit(empty) && sum == 0.0 && !signbit(sum));
    }
    const float cancel[] = {3.5f, -3.5f};
    assert_true(sum_of(TR_EXACT_VALUES, cancel, 2) == 0.0 && !signbit(sum_of(TR_EXACT_VALUES, cancel, 2)));
}

static void a_term_that_is_not_finite_makes_the_sum_nan_wherever_it_stands(void **state)
{
    (void)state;
    const float bad[] = {INFINITY, -INFINITY, NAN};
    for (int kind = TR_EXACT_VALUES; kind <= TR_EXACT_SQUARES; kind++) {
        for (int i = 0; i < 3; i++) {
            float x[] = {1.0f, 2.0f, 3.0f};
            x[i] = bad[i];
            assert_true(isnan(sum_of((enum tr_exact_kind)kind, x, 3)));
            struct tr_exact sum, part;
            tr_exact_clear(&sum, (enum tr_exact_kind)kind);
            tr_exact_clear(&part, (enum tr_exact_kind)kind);
            tr_exact_add(&part, x, 3);
            tr_exact_merge(&sum, &part);
            assert_true(isnan(tr_exact_value(&sum)));
        }
    }
}

static void the_oracle_itself_tells_a_wrong_rounding(void **state)
{
    (void)state;
    struct wide sum = {{0}};
    wide_add_double(&sum, 1.0, false);
    wide_add_double(&sum, 0x1p-53, false); /* the middle of 1 and its successor */
    assert_true(is_nearest(&sum, 1.0));
    assert_false(is_nearest(&sum, nextafter(1.0, 2.0)));
    wide_add_double(&sum, -0x1p-1070, true);
    assert_false(is_nearest(&sum, 1.0));
    assert_true(is_nearest(&sum, nextafter(1.0, 2.0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oracle_itself_tells_a_wrong_rounding),
        cmocka_unit_test(sums_are_rounded_once_to_nearest_even),
        cmocka_unit_test(ties_go_to_even_and_the_smallest_term_breaks_them),
        cmocka_unit_test(a_term_that_doubles_would_lose_is_not_lost),
        cmocka_unit_test(no_order_and_no_split_changes_the_sum),
        cmocka_unit_test(long_sums_of_the_largest_squares_do_not_overflow_a_bin),
        cmocka_unit_test(nothing_and_zeros_sum_to_zero),
        cmocka_unit_test(a_term_that_is_not_finite_makes_the_sum_nan_wherever_it_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
