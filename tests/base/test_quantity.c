#include "base/quantity.h"
#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static double read(const char *text, enum tr_unit unit)
{
    struct tr_err err;
    double value = NAN;
    if (tr_parse_quantity(text, unit, &value, &err))
        print_error("%s\n", err.text);
    return value;
}

static int64_t read_whole(const char *text, enum tr_unit unit)
{
    struct tr_err err;
    int64_t value = -1;
    if (tr_parse_whole(text, unit, &value, &err))
        print_error("%s\n", err.text);
    return value;
}

static void values_are_read_into_base_units(void **state)
{
    (void)state;
    assert_true(read("80GiB", TR_UNIT_BYTES) == 80.0 * (1 << 30));
    assert_true(read("4kB", TR_UNIT_BYTES) == 4000);
    assert_true(read("4 KiB", TR_UNIT_BYTES) == 4096);
    assert_true(read("512", TR_UNIT_BYTES) == 512);
    assert_true(read("1EB", TR_UNIT_BYTES) == 1e18);
    assert_true(read("400Gb/s", TR_UNIT_BYTES_S) == 50e9);
    assert_true(read("100Mbit/s", TR_UNIT_BYTES_S) == 12.5e6);
    assert_true(read("3.35TB/s", TR_UNIT_BYTES_S) == 3.35e12);
    assert_true(read("12GiB/s", TR_UNIT_BYTES_S) == 12.0 * (1 << 30));
    assert_true(read("30d", TR_UNIT_TIME) == 30 * 86400);
    assert_true(read("2h", TR_UNIT_TIME) == 7200);
    assert_true(read("15m", TR_UNIT_TIME) == 900);
    assert_true(read("15min", TR_UNIT_TIME) == 900);
    assert_true(read("250ms", TR_UNIT_TIME) == 0.25);
    assert_true(read("3us", TR_UNIT_TIME) == 3e-6);
    assert_true(read("124M", TR_UNIT_COUNT) == 124e6);
    assert_true(read("1.5B", TR_UNIT_COUNT) == 1.5e9);
    assert_true(read("1e9", TR_UNIT_COUNT) == 1e9);
    assert_true(read("989TFLOP/s", TR_UNIT_FLOP_S) == 989e12);
    assert_true(read("312TFLOPS", TR_UNIT_FLOP_S) == 312e12);
    assert_true(read("3.1e23FLOP", TR_UNIT_FLOP) == 3.1e23);
    assert_true(read("$2.50", TR_UNIT_USD) == 2.5);
    assert_true(read("1.2M$", TR_UNIT_USD) == 1.2e6);
    assert_true(read("$1.2M", TR_UNIT_USD) == 1.2e6);
    assert_true(read("300kUSD", TR_UNIT_USD) == 300e3);
    assert_true(read("1M", TR_UNIT_USD) == 1e6 && read("2.5 k", TR_UNIT_USD) == 2500 && read("1B", TR_UNIT_USD) == 1e9);
    assert_true(read("$2.50/h", TR_UNIT_USD_H) == 2.5);
    assert_true(read("2.5USD/h", TR_UNIT_USD_H) == 2.5);
    assert_true(read("700W", TR_UNIT_POWER) == 700);
    assert_true(read("30MW", TR_UNIT_POWER) == 30e6);
    assert_true(read("1.2kWh", TR_UNIT_ENERGY) == 1200 * 3600);
    assert_true(read("1.98GHz", TR_UNIT_HZ) == 1.98e9);
    assert_true(read("45%", TR_UNIT_RATIO) == 0.45);
    assert_true(read("0.45", TR_UNIT_RATIO) == 0.45);
    assert_true(read("624TOP/s", TR_UNIT_FLOP_S) == 624e12);
    assert_true(read("814mm2", TR_UNIT_AREA) == 814);
    assert_true(read("369g/kWh", TR_UNIT_CARBON) == 369);
    assert_true(read("0", TR_UNIT_BYTES) == 0);
    assert_true(read("0.000", TR_UNIT_COUNT) == 0);
}

static void whole_values_are_exact(void **state)
{
    (void)state;
    assert_true(read_whole("1.5B", TR_UNIT_COUNT) == 1500000000);
    assert_true(read_whole("0.1k", TR_UNIT_COUNT) == 100);
    assert_true(read_whole("9007199254740993", TR_UNIT_COUNT) == 9007199254740993); /* 2^53 + 1 */
    assert_true(read_whole("9223372036854775807", TR_UNIT_COUNT) == INT64_MAX);
    assert_true(read_whole("0.5KiB", TR_UNIT_BYTES) == 512);
    assert_true(read_whole("7EiB", TR_UNIT_BYTES) == (int64_t)7 << 60);
    assert_true(read_whole("80GiB", TR_UNIT_BYTES) == (int64_t)80 << 30);
    assert_true(read_whole("12.50e2", TR_UNIT_COUNT) == 1250);
    assert_true(read_whole("0", TR_UNIT_COUNT) == 0);
}

static void wrong_values_are_refused_with_what_would_be_right(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum tr_unit unit;
        const char *sentence;
    } bad[] = {
        {"80Gb", TR_UNIT_BYTES, "\"80Gb\": expected a number of bytes such as 80GiB or 4kB"},
        {"400", TR_UNIT_BYTES_S, "expected a rate"},
        {"400GB", TR_UNIT_BYTES_S, "expected a rate"},
        {"30", TR_UNIT_TIME, "expected a time"},
        {"30M", TR_UNIT_TIME, "expected a time"},
        {"10X", TR_UNIT_COUNT, "expected a count"},
        {"10MM", TR_UNIT_COUNT, "expected a count"},
        {"", TR_UNIT_COUNT, "expected a count"},
        {".", TR_UNIT_COUNT, "expected a count"},
        {"k", TR_UNIT_COUNT, "expected a count"},
        {"-1", TR_UNIT_COUNT, "expected a count"},
        {"+1", TR_UNIT_COUNT, "expected a count"},
        {" 1", TR_UNIT_COUNT, "expected a count"},
        {"1 ", TR_UNIT_COUNT, "expected a count"},
        {"1  k", TR_UNIT_COUNT, "expected a count"},
        {"1.2.3", TR_UNIT_COUNT, "expected a count"},
        {"0x10", TR_UNIT_COUNT, "expected a count"},
        {"nan", TR_UNIT_COUNT, "expected a count"},
        {"inf", TR_UNIT_RATIO, "expected a share"},
        {"1e", TR_UNIT_COUNT, "expected a count"},
        {"1ZiB", TR_UNIT_BYTES, "expected a number of bytes"},
        {"1e999", TR_UNIT_COUNT, "too large"},
        {"$", TR_UNIT_USD, "expected an amount"},
        {"$5$", TR_UNIT_USD, "expected an amount"},
        {"$5USD", TR_UNIT_USD, "expected an amount"},
        {"1m", TR_UNIT_USD, "expected an amount such as $2.50, 1.2M$ or 300k"},
        {"5/h", TR_UNIT_USD_H, "expected a price"},
        {"1000000000000000000000000000000000000000000000000000001", TR_UNIT_COUNT, "expected a count"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct tr_err err = {""};
        double value = 7;
        assert_int_equal(tr_parse_quantity(bad[i].text, bad[i].unit, &value, &err), TR_BAD_INPUT);
        assert_true(value == 7);
        if (!strstr(err.text, bad[i].sentence))
            fail_msg("\"%s\" gave: %s", bad[i].text, err.text);
    }
    static const char *const not_whole[] = {"0.3", "1e-1", "0.3B", "9223372036854775808", "1e19", "8EiB",
                                            "1.00000000000000000001"};
    for (size_t i = 0; i < sizeof not_whole / sizeof *not_whole; i++) {
        struct tr_err err;
        int64_t value = 7;
        assert_int_equal(tr_parse_whole(not_whole[i], TR_UNIT_BYTES, &value, &err), TR_BAD_INPUT);
        assert_true(value == 7);
    }
}

static void values_print_with_at_most_four_digits_and_the_right_prefix(void **state)
{
    (void)state;
    char buf[TR_QUANTITY_BYTES];
    assert_string_equal(tr_print_bytes(buf, 0), "0 B");
    assert_string_equal(tr_print_bytes(buf, 1023), "1023 B");
    assert_string_equal(tr_print_bytes(buf, 1024), "1 KiB");
    assert_string_equal(tr_print_bytes(buf, 1024 * 1024 - 1), "1 MiB");
    assert_string_equal(tr_print_bytes(buf, (int64_t)80 << 30), "80 GiB");
    assert_string_equal(tr_print_bytes(buf, 85000000000), "79.16 GiB");
    assert_string_equal(tr_print_bytes(buf, -2048), "-2 KiB");
    assert_string_equal(tr_print_bytes(buf, INT64_MAX), "8 EiB");
    assert_string_equal(tr_print_count(buf, 124439808), "124.4 M");
    assert_string_equal(tr_print_count(buf, 50257), "50.26 k");
    assert_string_equal(tr_print_count(buf, 768), "768");
    assert_string_equal(tr_print_count(buf, 999999), "1 M");
    assert_string_equal(tr_print_flop_s(buf, 989e12), "989 TFLOP/s");
    assert_string_equal(tr_print_bits_s(buf, 50e9), "400 Gb/s");
    assert_string_equal(tr_print_quantity(buf, TR_UNIT_RATIO, 0.4512), "45.12 %");
    assert_string_equal(tr_print_quantity(buf, TR_UNIT_USD, 1234567), "1.235 M$");
    assert_string_equal(tr_print_quantity(buf, TR_UNIT_USD_H, 2.5), "2.5 $/h");
    assert_string_equal(tr_print_quantity(buf, TR_UNIT_BYTES_S, NAN), "nan");
    assert_string_equal(tr_print_clock(buf, 65), "01:05");
    assert_string_equal(tr_print_clock(buf, 3 * 3600 + 4 * 60 + 5), "03:04:05");
    assert_string_equal(tr_print_clock(buf, 2 * 86400 + 0.6), "2d 00:00:01");
    assert_string_equal(tr_print_clock(buf, INFINITY), "unknown");
}

static void times_are_said_in_the_units_that_people_use(void **state)
{
    (void)state;
    static const struct {
        double seconds;
        const char *said;
    } times[] = {
        {0, "0 s"},
        {0.0123, "12.3 ms"},
        {-0.0123, "-12.3 ms"},
        {16.14, "16.14 s"},
        {59.994, "59.99 s"},
        {59.9999, "1 min"},
        {72.24, "1 min 12.2 s"},
        {65, "1 min 05 s"},
        {-439.44, "-7 min 19.4 s"},
        {599.94, "9 min 59.9 s"},
        {599.96, "10 min"},
        {1318, "21 min 58 s"},
        {3599.4, "59 min 59 s"},
        {3599.6, "1 h"},
        {2 * 3600 + 5 * 60 + 29, "2 h 05 min"},
        {86369, "23 h 59 min"},
        {86399, "1 day"},
        {33.04 * 86400, "33 days"},
        {3 * 86400 + 4 * 3600, "3.2 days"},
        {99.94 * 86400, "99.9 days"},
        {112.3 * 86400, "112 days"},
        {1e300, "1.157e+295 days"},
        {(double)INFINITY, "never"},
        {(double)NAN, "unknown"},
    };
    char buf[TR_QUANTITY_BYTES];
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        assert_string_equal(tr_print_time(buf, times[i].seconds), times[i].said);
        assert_string_equal(tr_print_quantity(buf, TR_UNIT_TIME, times[i].seconds), times[i].said);
    }
}

static void what_is_printed_reads_back_close_and_prints_the_same_again(void **state)
{
    (void)state;
    for (int unit = 0; unit < TR_UNIT_COUNT_OF; unit++) {
        struct tr_rng_key key = tr_rng_key(5, "quantity", (uint64_t)unit);
        for (uint64_t i = 0; i < 4000; i++) {
            /* all magnitudes; and close below powers of ten, of two and of sixty, where rounding moves one unit up */
            double value = pow(10, 40 * tr_rng_double(key, i) - 12);
            double edges[] = {1000, 1024, 60, 24, 10};
            if (i % 2)
                value = pow(edges[i % 5], (double)(i % 7)) * (1 - pow(10, -6 * tr_rng_double(key, i)));
            char first[TR_QUANTITY_BYTES], again[TR_QUANTITY_BYTES];
            if (unit == TR_UNIT_TIME) /* of a minute and more they are for people alone */
                value = fmod(value, 59);
            tr_print_quantity(first, (enum tr_unit)unit, value);
            double back = read(first, (enum tr_unit)unit);
            tr_print_quantity(again, (enum tr_unit)unit, back);
            assert_string_equal(first, again);
            /* Small values have the step's last digit only: half of 0.001 of the smallest unit. */
            if (value > 1)
                assert_true(fabs(back - value) <= 0.000501 * value);
        }
    }
}

static void beside_another_value_it_is_seen_which_is_larger(void **state)
{
    static const struct {
        enum tr_unit unit;
        double value, beside;
        const char *text;
    } cases[] = {{TR_UNIT_USD, 690040, 690e3, "690.04 k$"},       {TR_UNIT_USD, 689999.9, 690e3, "689.9999 k$"},
                 {TR_UNIT_USD, 690e3, 690e3, "690 k$"},           {TR_UNIT_USD, 708.4e3, 690e3, "708.4 k$"},
                 {TR_UNIT_USD, 999.9999e3, 1e6, "0.9999999 M$"},  {TR_UNIT_USD, 690040, 0, "690 k$"},
                 {TR_UNIT_TIME, 5.02 * 86400, 5 * 86400, "5.02 days"}, {TR_UNIT_TIME, 7201, 7200, "2.0003 h"},
                 {TR_UNIT_TIME, INFINITY, INFINITY, "never"}};
    char text[TR_QUANTITY_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(tr_print_beside(text, cases[i].unit, cases[i].value, cases[i].beside), cases[i].text);
    assert_string_equal(tr_print_beside(text, TR_UNIT_USD, NAN, 1), "nan");
}

static void whole_bytes_below_four_digits_print_exactly(void **state)
{
    (void)state;
    for (int64_t i = 0; i < 1024; i++) {
        char buf[TR_QUANTITY_BYTES];
        assert_int_equal(read_whole(tr_print_bytes(buf, i), TR_UNIT_BYTES), i);
        if (i < 1000)
            assert_int_equal(read_whole(tr_print_bytes(buf, i << 30), TR_UNIT_BYTES), i << 30);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read_into_base_units),
        cmocka_unit_test(whole_values_are_exact),
        cmocka_unit_test(wrong_values_are_refused_with_what_would_be_right),
        cmocka_unit_test(values_print_with_at_most_four_digits_and_the_right_prefix),
        cmocka_unit_test(times_are_said_in_the_units_that_people_use),
        cmocka_unit_test(beside_another_value_it_is_seen_which_is_larger),
        cmocka_unit_test(what_is_printed_reads_back_close_and_prints_the_same_again),
        cmocka_unit_test(whole_bytes_below_four_digits_print_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
