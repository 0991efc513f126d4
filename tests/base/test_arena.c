#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void memory_is_aligned_zeroed_and_never_overlaps(void **state)
{
    (void)state;
    struct tr_arena arena;
    struct tr_err err;
    tr_arena_init(&arena, "test", 64 << 20);
    enum { COUNT = 500 };
    unsigned char *at[COUNT];
    int64_t bytes[COUNT];
    for (int i = 0; i < COUNT; i++) {
        bytes[i] = (int64_t)i * i % 5000;
        at[i] = tr_arena_alloc(&arena, bytes[i], &err);
        assert_non_null(at[i]);
        assert_int_equal((uintptr_t)at[i] % TR_ARENA_ALIGN, 0);
        for (int64_t j = 0; j < bytes[i]; j++)
            assert_int_equal(at[i][j], 0);
        memset(at[i], i % 255 + 1, (size_t)bytes[i]);
    }
    for (int i = 0; i < COUNT; i++)
        for (int64_t j = 0; j < bytes[i]; j++)
            assert_int_equal(at[i][j], i % 255 + 1);
    tr_arena_free(&arena);
    assert_int_equal(arena.reserved_bytes, 0);
}

static void nothing_beyond_the_maximum_is_given_and_the_sentence_names_the_arena(void **state)
{
    (void)state;
    struct tr_arena arena;
    struct tr_err err = {"untouched"};
    tr_arena_init(&arena, "request", 1 << 20);
    int64_t given = 0;
    while (tr_arena_alloc(&arena, 1000, &err))
        given += 1000;
    assert_true(given > (1 << 20) / 2 && given <= 1 << 20);
    assert_true(arena.reserved_bytes <= arena.max_bytes);
    assert_non_null(strstr(err.text, "request"));
    assert_null(tr_arena_alloc(&arena, (int64_t)1 << 40, &err));
    assert_non_null(strstr(err.text, "1099511627776"));
    tr_arena_free(&arena);
}

static void a_count_times_a_size_that_overflows_is_refused(void **state)
{
    (void)state;
    struct tr_arena arena;
    struct tr_err err;
    tr_arena_init(&arena, "test", INT64_MAX / 2);
    assert_null(tr_arena_array(&arena, INT64_MAX / 2, 4, &err));
    assert_null(tr_arena_array(&arena, -1, 4, &err));
    assert_null(tr_arena_array(&arena, (int64_t)1 << 62, 4, &err)); /* would be 0 modulo 2^64 */
    assert_non_null(tr_arena_array(&arena, 3, 4, &err));
    tr_arena_free(&arena);
}

static void strings_are_copied_and_printed(void **state)
{
    (void)state;
    struct tr_arena arena;
    struct tr_err err;
    tr_arena_init(&arena, "test", 1 << 20);
    assert_string_equal(tr_arena_strdup(&arena, "", &err), "");
    assert_string_equal(tr_arena_strdup(&arena, "abc", &err), "abc");
    assert_string_equal(tr_arena_copy(&arena, "abcdef", 4, &err), "abcd");
    assert_string_equal(tr_arena_printf(&arena, &err, "%s-%04d", "step", 7), "step-0007");
    tr_arena_free(&arena);
}

static void a_slab_is_zero_aligned_and_as_long_as_asked(void **state)
{
    (void)state;
    struct tr_slab slab = {0};
    struct tr_err err;
    assert_int_equal(tr_slab_map(5000001, &slab, &err), TR_OK);
    assert_int_equal((uintptr_t)slab.at % 4096, 0);
    tr_slab_touch(&slab);
    char *at = slab.at;
    for (int64_t i = 0; i < slab.bytes; i += 997)
        assert_int_equal(at[i], 0);
    at[slab.bytes - 1] = 1;
    tr_slab_unmap(&slab);
    assert_null(slab.at);
    tr_slab_unmap(&slab);
}

static void a_slab_that_the_system_refuses_is_a_sentence(void **state)
{
    (void)state;
    struct tr_slab slab = {0};
    struct tr_err err;
    assert_int_equal(tr_slab_map((int64_t)1 << 60, &slab, &err), TR_FAILED);
    assert_non_null(strstr(err.text, "1152921504606846976"));
    assert_int_equal(tr_slab_map(INT64_MAX, &slab, &err), TR_FAILED);
    assert_null(slab.at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_aligned_zeroed_and_never_overlaps),
        cmocka_unit_test(nothing_beyond_the_maximum_is_given_and_the_sentence_names_the_arena),
        cmocka_unit_test(a_count_times_a_size_that_overflows_is_refused),
        cmocka_unit_test(strings_are_copied_and_printed),
        cmocka_unit_test(a_slab_is_zero_aligned_and_as_long_as_asked),
        cmocka_unit_test(a_slab_that_the_system_refuses_is_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
