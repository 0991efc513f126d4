/* bf16: the rounding of a store and the chain of pairs. */
#include "silicon/op/reduce.h"

#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void every_bf16_is_an_fp32_and_comes_back(void **state)
{
    (void)state;
    for (uint32_t i = 0; i <= 0xffff; i++) {
        float x = tr_f32_from_bf16((tr_bf16)i);
        if (isnan(x))
            assert_true(isnan(tr_f32_from_bf16(tr_bf16_from_f32(x))));
        else
            assert_int_equal(tr_bf16_from_f32(x), i);
    }
}

/* Below, above and at the middle of two neighbours, for every pair of them: subnormals and the step to infinity too. */
static void rounding_goes_to_the_nearest_and_from_the_middle_to_the_even_one(void **state)
{
    (void)state;
    for (uint32_t sign = 0; sign <= 0x8000; sign += 0x8000) {
        for (uint32_t low = 0; low < 0x7f80; low++) {
            uint32_t here = sign | low, middle = here << 16 | 0x8000u;
            assert_int_equal(tr_bf16_from_f32(tr_f32_from_bits(middle - 1)), here);
            assert_int_equal(tr_bf16_from_f32(tr_f32_from_bits(middle + 1)), here + 1);
            assert_int_equal(tr_bf16_from_f32(tr_f32_from_bits(middle)), here + (here & 1));
            assert_int_equal(tr_bf16_from_f32(tr_f32_from_bits((here << 16) + 1)), here);
        }
    }
}

static void nan_stays_nan_and_infinity_infinity(void **state)
{
    (void)state;
    static const uint32_t nan_bits[] = {0x7f800001u, 0x7fc00000u, 0xff800001u, 0x7fffffffu, 0xffffffffu};
    for (size_t i = 0; i < sizeof nan_bits / sizeof nan_bits[0]; i++)
        assert_true(isnan(tr_f32_from_bf16(tr_bf16_from_f32(tr_f32_from_bits(nan_bits[i])))));
    assert_int_equal(tr_bf16_from_f32(INFINITY), 0x7f80);
    assert_int_equal(tr_bf16_from_f32(-INFINITY), 0xff80);
}

static tr_bf16 bf16(float x) { return tr_bf16_from_f32(x); }

static void of_a_pair_the_odd_element_is_accumulated_first(void **state)
{
    (void)state;
    /* 2^24 + 1 rounds back to 2^24: a one is lost when it comes after the large term, not when it cancels it before */
    const float large = 0x1p+24f;
    assert_true(tr_dp_bf16(0.0f, bf16(1.0f), bf16(large), bf16(1.0f), bf16(1.0f)) == large);
    assert_true(tr_dp_bf16(-large, bf16(1.0f), bf16(large), bf16(1.0f), bf16(1.0f)) == 1.0f);
    assert_true(tr_dp_bf16(-large, bf16(large), bf16(1.0f), bf16(1.0f), bf16(1.0f)) == 1.0f);
    assert_true(tr_dp_bf16(large, bf16(-large), bf16(1.0f), bf16(1.0f), bf16(1.0f)) == 0.0f);
    assert_true(tr_dp_bf16(large, bf16(1.0f), bf16(-large), bf16(1.0f), bf16(1.0f)) == 1.0f);
}

static void each_step_rounds_once(void **state)
{
    (void)state;
    /* 1.0078125^2 = 1 + 2^-6 + 2^-14 exactly; minus 1 keeps every bit only when multiply and add are fused */
    const float x = 1.0078125f;
    assert_true(tr_dp_bf16(-1.0f, 0, bf16(x), 0, bf16(x)) == 0x1p-6f + 0x1p-14f);
    for (uint64_t i = 0; i < 20000; i++) {
        struct tr_rng_key key = tr_rng_key(5, "pairs", 0);
        float value[5];
        for (uint64_t j = 0; j < 5; j++)
            value[j] = (float)(tr_rng_double(key, i * 5 + j) * 4.0 - 2.0);
        tr_bf16 a0 = bf16(value[0]), a1 = bf16(value[1]), b0 = bf16(value[2]), b1 = bf16(value[3]);
        float odd = (float)((double)value[4] + (double)tr_f32_from_bf16(a1) * (double)tr_f32_from_bf16(b1));
        float both = (float)((double)odd + (double)tr_f32_from_bf16(a0) * (double)tr_f32_from_bf16(b0));
        float got = tr_dp_bf16(value[4], a0, a1, b0, b1);
        /* the double sum is exact here (products of 16 bits, exponents close), so each cast is the one rounding; a
         * result near zero may need more bits than a double has */
        if (fabsf(both) > 0x1p-20f && fabsf(odd) > 0x1p-20f)
            assert_true(got == both);
    }
}

static void subnormals_count_as_zero_of_their_sign(void **state)
{
    (void)state;
    const tr_bf16 subnormal = 0x0001, minus_subnormal = 0x8001, one = 0x3f80;
    assert_true(tr_f32_bits(tr_flush(tr_f32_from_bits(0x007fffffu))) == 0);
    assert_true(tr_f32_bits(tr_flush(tr_f32_from_bits(0x807fffffu))) == 0x80000000u);
    assert_true(tr_f32_bits(tr_flush(tr_f32_from_bits(0x00800000u))) == 0x00800000u);
    /* factors */
    assert_true(tr_dp_bf16(0.0f, 0, subnormal, 0, bf16(0x1p+100f)) == 0.0f);
    assert_true(tr_dp_bf16(0.0f, subnormal, 0, bf16(0x1p+100f), 0) == 0.0f);
    /* the accumulator */
    assert_true(tr_f32_bits(tr_dp_bf16(tr_f32_from_bits(1), 0, 0, 0, 0)) == 0);
    /* results: 2^-70 * 2^-60 is subnormal */
    assert_true(tr_f32_bits(tr_dp_bf16(0.0f, bf16(0x1p-70f), 0, bf16(0x1p-60f), 0)) == 0);
    /* the result in the middle of a pair too: two halves of the smallest normal number do not make it */
    tr_bf16 half = bf16(0x1p-64f), other = bf16(0x1p-63f);
    assert_true(tr_dp_bf16(0.0f, half, half, other, other) == 0.0f);
    assert_true(tr_dp_bf16(0.0f, bf16(0x1p-63f), 0, other, 0) == 0x1p-126f);
    /* signs: -0 stays through a product that is -0, and meets +0 as +0 */
    assert_true(tr_f32_bits(tr_dp_bf16(-0.0f, minus_subnormal, minus_subnormal, one, one)) == 0x80000000u);
    assert_true(tr_f32_bits(tr_dp_bf16(-0.0f, minus_subnormal, subnormal, one, one)) == 0);
}

static void an_absent_member_changes_nothing_but_the_sign_of_zero(void **state)
{
    (void)state;
    assert_true(tr_dp_bf16(1.5f, bf16(2.0f), 0, bf16(3.0f), 0) == 7.5f);
    assert_true(tr_f32_bits(tr_dp_bf16(-0.0f, 0, 0, 0, 0)) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bf16_is_an_fp32_and_comes_back),
        cmocka_unit_test(rounding_goes_to_the_nearest_and_from_the_middle_to_the_even_one),
        cmocka_unit_test(nan_stays_nan_and_infinity_infinity),
        cmocka_unit_test(of_a_pair_the_odd_element_is_accumulated_first),
        cmocka_unit_test(each_step_rounds_once),
        cmocka_unit_test(subnormals_count_as_zero_of_their_sign),
        cmocka_unit_test(an_absent_member_changes_nothing_but_the_sign_of_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
