#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct tr_rng_key *key_of(const char *purpose)
{
    static struct tr_rng_key key;
    key = tr_rng_key(42, purpose, 7);
    return &key;
}

static void philox_gives_the_words_of_its_authors(void **state)
{
    (void)state;
    /* The three vectors of philox4x32-10 in the file kat_vectors of Random123, the authors' own library. */
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        tr_philox(known[i].key[0], known[i].key[1], known[i].counter, out);
        assert_memory_equal(out, known[i].out, sizeof out);
    }
}

static void seed_purpose_step_and_subkey_each_make_another_stream(void **state)
{
    (void)state;
    struct tr_rng_key keys[6] = {tr_rng_key(1, "a", 1),
                                 tr_rng_key(2, "a", 1),
                                 tr_rng_key(1, "b", 1),
                                 tr_rng_key(1, "a", 2),
                                 tr_rng_subkey(tr_rng_key(1, "a", 1), 0),
                                 tr_rng_subkey(tr_rng_key(1, "a", 1), 1)};
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < i; j++) {
            uint32_t a[4], b[4];
            tr_rng_block(keys[i], 5, a);
            tr_rng_block(keys[j], 5, b);
            for (int k = 0; k < 4; k++)
                assert_int_not_equal(a[k], b[k]);
        }
    struct tr_rng_key same = tr_rng_key(1, "a", 1);
    assert_memory_equal(&same, &keys[0], sizeof same);
}

static void single_numbers_agree_with_their_blocks(void **state)
{
    (void)state;
    struct tr_rng_key key = *key_of("blocks");
    for (uint64_t i = 0; i < 100; i++) {
        uint32_t block[4];
        tr_rng_block(key, i / 4, block);
        assert_int_equal(tr_rng_u32(key, i), block[i % 4]);
        assert_true(tr_rng_float(key, i) == (float)(block[i % 4] >> 8) / 16777216);
        uint64_t wide = (uint64_t)tr_rng_u32(key, 2 * i + 1) << 32 | tr_rng_u32(key, 2 * i);
        assert_true(tr_rng_u64(key, i) == wide);
        assert_true(tr_rng_double(key, i) == (double)(wide >> 11) / 9007199254740992.0);
    }
    assert_int_not_equal(tr_rng_u32(key, (uint64_t)4 << 40), tr_rng_u32(key, 0)); /* all 64 bits of the index count */
}

static void uniform_numbers_fill_their_interval_evenly(void **state)
{
    (void)state;
    struct tr_rng_key key = *key_of("uniform");
    enum { COUNT = 200000, BINS = 64 };
    int bins[BINS] = {0};
    double sum = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        float value = tr_rng_float(key, i);
        assert_true(value >= 0 && value < 1);
        bins[(int)(value * BINS)]++;
        sum += tr_rng_double(key, i);
    }
    double chi2 = 0, expected = (double)COUNT / BINS;
    for (int i = 0; i < BINS; i++)
        chi2 += (bins[i] - expected) * (bins[i] - expected) / expected;
    assert_true(chi2 > 30 && chi2 < 110); /* 63 expected, deviation 11 */
    assert_true(fabs(sum / COUNT - 0.5) < 0.003);
}

static void normal_numbers_have_the_moments_and_tails_of_the_normal_law(void **state)
{
    (void)state;
    struct tr_rng_key key = *key_of("normal");
    enum { COUNT = 200000 };
    double sum = 0, square = 0, fourth = 0, neighbours = 0, previous = 0;
    int beyond_two = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        double x = tr_rng_normal(key, i);
        sum += x;
        square += x * x;
        fourth += x * x * x * x;
        neighbours += x * previous;
        beyond_two += fabs(x) > 2;
        previous = x;
    }
    assert_true(fabs(sum / COUNT) < 0.01);
    assert_true(fabs(square / COUNT - 1) < 0.015);
    assert_true(fabs(fourth / COUNT - 3) < 0.12);
    assert_true(fabs(neighbours / COUNT) < 0.01);
    assert_true(fabs((double)beyond_two / COUNT - 0.0455) < 0.002);
}

static void a_filled_range_is_the_same_from_wherever_it_starts(void **state)
{
    (void)state;
    struct tr_rng_key key = *key_of("fill");
    float whole[101], part[101];
    tr_rng_fill_normal(key, 0, 101, 0.02, whole);
    for (int start = 0; start < 101; start += 7) {
        tr_rng_fill_normal(key, (uint64_t)start, 101 - start, 0.02, part);
        assert_memory_equal(part, whole + start, (size_t)(101 - start) * sizeof *part);
    }
    float one[5];
    tr_rng_fill_normal(key, 50, 5, 1, one);
    for (int i = 0; i < 5; i++)
        assert_true(one[i] == tr_rng_normal(key, 50 + (uint64_t)i));
}

static void the_bits_of_normal_numbers_are_the_same_on_every_machine(void **state)
{
    (void)state;
    float values[4];
    tr_rng_fill_normal(tr_rng_key(1, "golden", 0), 1000000007, 4, 1, values);
    const float golden[4] = {0x1.13ea26p-1f, 0x1.8138f4p+0f, 0x1.2ca2bap+0f, -0x1.559c8p+0f};
    for (int i = 0; i < 4; i++)
        if (values[i] != golden[i])
            print_error("%d: %a\n", i, (double)values[i]);
    assert_memory_equal(values, golden, sizeof values);
}

static void integers_below_a_bound_are_all_reached_equally(void **state)
{
    (void)state;
    struct tr_rng_key key = *key_of("below");
    for (uint64_t bound = 1; bound <= 7; bound++) {
        int seen[7] = {0};
        for (uint64_t i = 0; i < 14000; i++)
            seen[tr_rng_below(key, i, bound)]++;
        for (uint64_t value = 0; value < bound; value++)
            assert_true(fabs(seen[value] - 14000.0 / (double)bound) < 6 * sqrt(14000.0 / (double)bound));
        for (uint64_t value = bound; value < 7; value++)
            assert_int_equal(seen[value], 0);
    }
}

static void a_bound_where_half_of_the_draws_are_rejected_is_still_uniform(void **state)
{
    (void)state;
    /* With bound 2^63 + 1 nearly every second draw must be thrown away. Without rejection, the values of one residue
     * class mod 2 would come twice as often as the other. */
    struct tr_rng_key key = *key_of("reject");
    uint64_t bound = ((uint64_t)1 << 63) + 1;
    int odd = 0, upper = 0;
    enum { COUNT = 20000 };
    for (uint64_t i = 0; i < COUNT; i++) {
        uint64_t value = tr_rng_below(key, i, bound);
        assert_true(value < bound);
        odd += value & 1;
        upper += value > bound / 2;
        assert_true(value == tr_rng_below(key, i, bound));
    }
    assert_true(abs(odd - COUNT / 2) < 6 * 71);
    assert_true(abs(upper - COUNT / 2) < 6 * 71);
}

static void a_permutation_is_a_bijection_for_every_count(void **state)
{
    (void)state;
    enum { MOST = 70000 };
    unsigned char *seen = malloc(MOST);
    const uint64_t large[] = {1023, 1024, 1025, 4095, 4097, 65536, 65537};
    for (uint64_t trial = 1; trial < 300 + 7; trial++) {
        uint64_t count = trial < 300 ? trial : large[trial - 300];
        struct tr_rng_key key = tr_rng_key(trial, "shuffle", 0);
        memset(seen, 0, MOST);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t to = tr_permute(i, count, key);
            assert_true(to < count);
            assert_int_equal(seen[to], 0);
            seen[to] = 1;
        }
    }
    free(seen);
}

static void a_permutation_of_a_huge_range_stays_inside_it(void **state)
{
    (void)state;
    struct tr_rng_key key = *key_of("huge");
    for (uint64_t i = 0; i < 1000; i++) {
        assert_true(tr_permute(i, ((uint64_t)1 << 62) + 1, key) <= (uint64_t)1 << 62);
        assert_true(tr_permute(UINT64_MAX - 1 - i, UINT64_MAX, key) < UINT64_MAX);
    }
}

static void a_permutation_leaves_no_order_behind_and_changes_with_the_key(void **state)
{
    (void)state;
    enum { COUNT = 10000 };
    struct tr_rng_key key = tr_rng_key(3, "shuffle", 0), other = tr_rng_key(3, "shuffle", 1);
    double product = 0;
    int follows = 0, fixed = 0, same = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        uint64_t to = tr_permute(i, COUNT, key);
        product += ((double)i / COUNT - 0.5) * ((double)to / COUNT - 0.5) * 12 / COUNT;
        follows += i > 0 && to == tr_permute(i - 1, COUNT, key) + 1;
        fixed += to == i;
        same += to == tr_permute(i, COUNT, other);
    }
    assert_true(fabs(product) < 0.05); /* correlation, deviation 0.01 */
    assert_true(follows < 8 && fixed < 8 && same < 8); /* 1 expected of each */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_words_of_its_authors),
        cmocka_unit_test(seed_purpose_step_and_subkey_each_make_another_stream),
        cmocka_unit_test(single_numbers_agree_with_their_blocks),
        cmocka_unit_test(uniform_numbers_fill_their_interval_evenly),
        cmocka_unit_test(normal_numbers_have_the_moments_and_tails_of_the_normal_law),
        cmocka_unit_test(a_filled_range_is_the_same_from_wherever_it_starts),
        cmocka_unit_test(the_bits_of_normal_numbers_are_the_same_on_every_machine),
        cmocka_unit_test(integers_below_a_bound_are_all_reached_equally),
        cmocka_unit_test(a_bound_where_half_of_the_draws_are_rejected_is_still_uniform),
        cmocka_unit_test(a_permutation_is_a_bijection_for_every_count),
        cmocka_unit_test(a_permutation_of_a_huge_range_stays_inside_it),
        cmocka_unit_test(a_permutation_leaves_no_order_behind_and_changes_with_the_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
