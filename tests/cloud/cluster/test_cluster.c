#include "cloud/cluster/cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct tr_catalog *open_catalog(void)
{
    struct tr_catalog *catalog = NULL;
    struct tr_err err = {""};
    if (tr_catalog_open(&catalog, &err))
        fail_msg("%s", err.text);
    return catalog;
}

static void every_chip_network_and_system_that_the_program_brings_is_right(void **state)
{
    (void)state;
    struct tr_err err = {""};
    struct tr_catalog *catalog = open_catalog();
    if (tr_chip_check_all(catalog, &err) || tr_system_check_all(catalog, &err))
        fail_msg("%s", err.text);
    tr_catalog_free(catalog);
}

static void tiers_go_from_the_chip_outwards(void **state)
{
    (void)state;
    struct tr_err err = {""};
    struct tr_catalog *catalog = open_catalog();
    struct tr_system system;
    if (tr_system_find(catalog, "HGX H100", &system, &err))
        fail_msg("%s", err.text);
    assert_string_equal(system.id, "dgx-h100");
    assert_int_equal(system.tier_count, 2);
    assert_true(system.tier[0].bytes_s.value == 450e9 && system.tier[0].domain_chips == 8);
    assert_true(system.tier[1].bytes_s.value == 50e9 && system.tier[1].domain_chips == 0);
    assert_int_equal(system.tier[1].kind, TR_LINK_INFINIBAND);
    assert_int_equal(tr_system_tier_of(&system, 8), 0);
    assert_int_equal(tr_system_tier_of(&system, 9), 1);
    assert_true(system.chip.rate_flop_s[TR_RATE_BF16].value == 989.5e12);
    tr_catalog_free(catalog);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_chip_network_and_system_that_the_program_brings_is_right),
        cmocka_unit_test(tiers_go_from_the_chip_outwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
