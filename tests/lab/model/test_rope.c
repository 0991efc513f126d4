/* The RoPE table against libm in long double, and against values worked out by hand. */
#include "lab/model/rope.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct tr_model_config llama(int32_t head_dim, double theta)
{
    return (struct tr_model_config){.family = TR_LLAMA, .head_dim = head_dim, .rope_theta = theta};
}

/* The published rule of Llama 3.1, written from its wavelengths. */
static long double frequency_by_libm(const struct tr_model_config *c, int d)
{
    long double f = powl(c->rope_theta, -2.0L * d / c->head_dim);
    const struct tr_rope_scaling *s = &c->rope_scaling;
    if (s->factor == 0)
        return f;
    long double wavelength = 2 * acosl(-1) / f, original = s->original_positions;
    if (wavelength < original / s->high_freq)
        return f;
    if (wavelength > original / s->low_freq)
        return f / s->factor;
    long double smooth = (original / wavelength - s->low_freq) / (s->high_freq - s->low_freq);
    return (1 - smooth) * f / s->factor + smooth * f;
}

/* The bound of rope.h: one rounding to fp32 and the error of the angle. */
static void compare(const struct tr_model_config *config, int64_t first, int64_t positions)
{
    float *table = malloc((size_t)tr_rope_table_count(config, positions) * sizeof *table);
    tr_rope_table(config, first, positions, table);
    int half = config->head_dim / 2;
    for (int64_t p = 0; p < positions; p++)
        for (int d = 0; d < half; d++) {
            long double angle = (first + p) * frequency_by_libm(config, d);
            const float *entry = table + (p * half + d) * 2;
            assert_true(fabsl(entry[0] - cosl(angle)) < 0x1p-25L + 0x1p-28L);
            assert_true(fabsl(entry[1] - sinl(angle)) < 0x1p-25L + 0x1p-28L);
        }
    free(table);
}

static struct tr_model_config llama31(void)
{
    struct tr_model_config config = llama(128, 500000);
    config.rope_scaling = (struct tr_rope_scaling){8, 1, 4, 8192};
    return config;
}

static void the_table_is_within_its_bound_of_libm(void **state)
{
    (void)state;
    struct tr_model_config config = llama(64, 10000);
    compare(&config, 0, 300);
    compare(&config, 8000, 50);
    config = llama(128, 1000000);
    compare(&config, 40000, 50);
    compare(&config, TR_POSITIONS_MAX - 20, 20);
    config = llama(TR_HEAD_DIM_MAX, 500000);
    compare(&config, 1, 5);
    config = llama(2, 10000);
    compare(&config, 0, 5);
}

static void the_scaled_table_is_within_its_bound_of_libm(void **state)
{
    (void)state;
    struct tr_model_config config = llama31();
    compare(&config, 0, 100);
    compare(&config, 131000, 72);
}

static void position_zero_does_not_turn_and_the_first_pair_turns_one_radian_a_position(void **state)
{
    (void)state;
    struct tr_model_config config = llama(8, 10000);
    float table[4 * 4 * 2];
    tr_rope_table(&config, 0, 4, table);
    for (int d = 0; d < 4; d++)
        assert_true(table[d * 2] == 1.0f && table[d * 2 + 1] == 0.0f);
    /* cos and sin of 1 and 3 radians; of 3/10, 3/100, 3/1000: theta^(-2/8) = 1/10. Tables of mathematics. */
    const double expected[] = {-0.98999249660044546, 0.14112000805986722, 0.95533648912560602, 0.29552020666133958,
                               0.99955003374898751,  0.02999550020249566, 0.99999550000337500, 0.00299999550000203};
    assert_true(fabs(table[8] - 0.54030230586813972) < 0x1p-24 && fabs(table[9] - 0.84147098480789651) < 0x1p-24);
    for (int i = 0; i < 8; i++)
        assert_true(fabs(table[3 * 8 + i] - expected[i]) < 0x1p-24);
}

static void llama31_keeps_short_waves_stretches_long_ones_and_mixes_between(void **state)
{
    (void)state;
    struct tr_model_config scaled = llama31(), plain = llama(128, 500000);
    int kept = 0, mixed = 0, stretched = 0;
    for (int d = 0; d < 64; d++) {
        double f = tr_rope_frequency(&plain, d), g = tr_rope_frequency(&scaled, d);
        double turns = 8192 * f / 6.283185307179586;
        if (turns > 4)
            kept += g == f;
        else if (turns < 1)
            stretched += g == f / 8;
        else
            mixed += g < f && g > f / 8;
    }
    /* turns = 4 at d = 64 ln(8192 / (8 pi)) / ln 500000 = 28.2, turns = 1 at 34.98 */
    assert_int_equal(kept, 29);
    assert_int_equal(mixed, 6);
    assert_int_equal(stretched, 29);
}

static void any_row_equals_the_row_of_the_whole_table(void **state)
{
    (void)state;
    struct tr_model_config config = llama31();
    float whole[20 * 128], row[128];
    tr_rope_table(&config, 0, 20, whole);
    for (int p = 0; p < 20; p++) {
        tr_rope_table(&config, p, 1, row);
        assert_memory_equal(row, whole + p * 128, sizeof row);
    }
    float untouched = 3.0f;
    tr_rope_table(&config, 5, 0, &untouched);
    assert_true(untouched == 3.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_within_its_bound_of_libm),
        cmocka_unit_test(the_scaled_table_is_within_its_bound_of_libm),
        cmocka_unit_test(position_zero_does_not_turn_and_the_first_pair_turns_one_radian_a_position),
        cmocka_unit_test(llama31_keeps_short_waves_stretches_long_ones_and_mixes_between),
        cmocka_unit_test(any_row_equals_the_row_of_the_whole_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
