/* What is measured of this processor: rates of the right order whatever runs beside, and reads that stay in bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/os.h"
#include "silicon/chip/peak.h"

static void rates_are_of_the_right_order(void **state)
{
    enum { BYTES = 1 << 20 };
    char *memory = malloc(BYTES);
    (void)state;
    assert_non_null(memory);
    memset(memory, 0xff, BYTES); /* NaN all over */
    double flop_s = tr_chip_measure_peak_flop_s(TR_ISA_REF, TR_F32, 1);
    double byte_s = tr_chip_measure_read_byte_s(TR_ISA_REF, memory, BYTES, 1);
    assert_true(flop_s > 1e6 && flop_s < 1e13);
    assert_true(byte_s > 1e6 && byte_s < 1e14);
    free(memory);
}

/* Beside other programs nothing may be known, but it is never what two threads on one core take. */
static void a_line_is_handed_over_between_two_cores_or_not_at_all(void **state)
{
    (void)state;
    double hand_s = tr_chip_measure_hand_s();
    assert_true(hand_s == 0 || (tr_cores_usable() > 1 && hand_s > 1e-9 && hand_s < 1e-6));
}

/* The numbers end where a page does, and the next page may not be read. */
static void every_length_is_read_to_its_end_and_no_further(void **state)
{
    (void)state;
#if defined(__x86_64__)
    void (*const sweep[])(const float *, int64_t, float *) = {tr_chip_sweep_avx2, tr_chip_sweep_avx512};
    const enum tr_isa isa[] = {TR_ISA_AVX2, TR_ISA_AVX512};
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(pages, MAP_FAILED);
    assert_int_equal(mprotect(pages + page, page, PROT_NONE), 0);
    for (int v = 0; v < 2; v++) {
        for (int64_t count = 1; count < 300 && tr_isa_runs(isa[v]); count++) {
            float sink = -1.0f, *at = (float *)(void *)(pages + page) - count;
            memset(pages, 0, page);
            at[count - 1] = (float)count; /* the largest */
            sweep[v](at, count, &sink);
            assert_true(sink >= (float)count && sink <= (float)count);
        }
    }
    munmap(pages, 2 * page);
#endif
}

static void nothing_to_read_has_no_rate(void **state)
{
    (void)state;
    double byte_s = tr_chip_measure_read_byte_s(TR_ISA_REF, NULL, 0, 2);
    assert_true(byte_s >= 0.0 && byte_s <= 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_are_of_the_right_order),
        cmocka_unit_test(a_line_is_handed_over_between_two_cores_or_not_at_all),
        cmocka_unit_test(every_length_is_read_to_its_end_and_no_further),
        cmocka_unit_test(nothing_to_read_has_no_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
