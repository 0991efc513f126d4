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

/* A superchip a node, and a user's servers of which nobody says what is inside. */
static void chips_that_a_network_joins_are_domains_of_one(void **state)
{
    static const char yaml[] = "systems:\n  cluster:\n    name: x\n    chip: h100\n    chips_per_node: 4\n    tiers:\n"
                               "      ethernet: {kind: ethernet, topology: fat-tree, bandwidth: 5GB/s}\n";
    static const char *const names[] = {"gh200-1", "cluster"};
    (void)state;
    struct tr_err err = {""};
    struct tr_catalog *catalog = open_catalog();
    if (tr_catalog_add_text(catalog, "own.yaml", yaml, sizeof yaml - 1, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct tr_system system;
        assert_int_equal(tr_system_find(catalog, names[i], &system, &err), TR_OK);
        assert_false(tr_system_has_links(&system));
        assert_true(system.tier_count == 2 && system.tier[0].domain_chips == 1 && system.tier[1].domain_chips == 0);
        assert_int_equal(tr_system_tier_of(&system, 2), 1);
    }
    tr_catalog_free(catalog);
}

static void check_facts(const struct tr_field *fields, int count, const void *of, const char *id)
{
    for (int i = 0; i < count; i++) {
        const struct tr_fact *fact = (const struct tr_fact *)(const void *)((const char *)of + fields[i].offset);
        if (fields[i].kind != TR_FIELD_FACT || !tr_known(fact) || strcmp(fields[i].path, "oversubscription") == 0)
            continue;
        if (!fact->source || strncmp(fact->source->id, "catalog/", 8) == 0 || !fact->date[0])
            fail_msg("%s: %s has no source or no date", id, fields[i].path);
    }
}

static void every_number_of_the_program_s_networks_and_systems_says_where_it_is_from(void **state)
{
    struct tr_err err = {""};
    int count, tier_count;
    (void)state;
    struct tr_catalog *catalog = open_catalog();
    const struct tr_field *fields = tr_network_fields(&count), *tier_fields = tr_tier_fields(&tier_count);
    for (int i = 0; i < tr_catalog_count(catalog, TR_SECTION_NETWORKS); i++) {
        struct tr_network network;
        assert_int_equal(tr_network_read(tr_catalog_entry(catalog, TR_SECTION_NETWORKS, i), &network, &err), TR_OK);
        check_facts(fields, count, &network, network.id);
    }
    fields = tr_system_fields(&count);
    for (int i = 0; i < tr_catalog_count(catalog, TR_SECTION_SYSTEMS); i++) {
        struct tr_system system;
        assert_int_equal(tr_system_read(tr_catalog_entry(catalog, TR_SECTION_SYSTEMS, i), &system, &err), TR_OK);
        check_facts(fields, count, &system, system.id);
        for (int j = 0; j < system.tier_count; j++)
            check_facts(tier_fields, tier_count, &system.tier[j], system.id);
    }
    tr_catalog_free(catalog);
}

/* Names as tables of published runs write them. */
static void chips_of_published_runs_are_found_by_the_names_that_the_tables_use(void **state)
{
    static const char *const names[] = {
        "A100-SXM", "B200", "B300", "GB200", "GB300", "Gaudi2", "H100-SXM", "H200-SXM", "H800-SXM", "L40S", "MI300X",
        "MI325X", "MI350X", "MI355X", "TPU-v3", "TPU-v4", "TPU-v5e", "TPU-v5p", "TPU-v6e-Trillium", "TPU7x-Ironwood",
        "V100-SXM", "V100-SXM3", "Trainium1", "a100_sxm", "b60", "rtx_pro_6000_server", "GH200 480GB", "H100 PCIe 80GB",
        "H100 NVL 94GB", "A100-SXM 40", "H100-SXM 96", "RTX 4090", "Ascend 910B", "Gaudi3", "Trainium2", "Rubin",
        "NVIDIA H100 SXM5 80GB", "NVIDIA H200-NVL-141GB", "AMD Instinct MI300X-NPS1-SPX-192GB-750W", "A40 48GB",
        "NVIDIA RTX PRO 6000 Blackwell Server Edition", "4090 24GB", "RTX 6000 Ada 48GB", "AMD Instinct MI355X 288GB HBM3e",
    };
    (void)state;
    struct tr_catalog *catalog = open_catalog();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!tr_catalog_look(catalog, TR_SECTION_CHIPS, names[i]))
            fail_msg("no chip is called %s", names[i]);
    tr_catalog_free(catalog);
}

static void no_system_s_links_are_faster_than_its_chip_s(void **state)
{
    (void)state;
    struct tr_err err = {""};
    struct tr_catalog *catalog = open_catalog();
    for (int i = 0; i < tr_catalog_count(catalog, TR_SECTION_SYSTEMS); i++) {
        struct tr_system system;
        assert_int_equal(tr_system_read(tr_catalog_entry(catalog, TR_SECTION_SYSTEMS, i), &system, &err), TR_OK);
        const struct tr_fact *links = &system.chip.scaleup_bytes_s, *host = &system.chip.host_bytes_s;
        for (int j = 0; j < system.tier_count; j++) {
            const struct tr_tier *tier = &system.tier[j];
            const struct tr_fact *limit = tier->kind == TR_LINK_PCIE ? host : links;
            if (tier->network[0] == 0 && tier->kind != TR_LINK_ETHERNET &&
                !(tr_known(limit) && tier->bytes_s.value <= limit->value))
                fail_msg("%s: tier %s is faster than the links of %s", system.id, tier->name, system.chip.id);
            if (j && tier->bytes_s.value > system.tier[j - 1].bytes_s.value)
                fail_msg("%s: tier %s is faster than the one inside it", system.id, tier->name);
        }
    }
    tr_catalog_free(catalog);
}

static void every_chip_with_links_stands_in_a_system(void **state)
{
    static const char *const alone[] = {"a100-pcie-80", "a100-pcie-40", "h100-nvl", "h200-nvl", "b100", "v100-sxm2-16",
                                        "mi455x"};
    (void)state;
    struct tr_err err = {""};
    struct tr_catalog *catalog = open_catalog();
    for (int i = 0; i < tr_catalog_count(catalog, TR_SECTION_CHIPS); i++) {
        const char *id = tr_catalog_entry(catalog, TR_SECTION_CHIPS, i)->id;
        struct tr_chip chip;
        assert_int_equal(tr_chip_find(catalog, id, &chip, &err), TR_OK);
        bool found = !tr_known(&chip.scaleup_bytes_s); /* a card */
        for (size_t j = 0; j < sizeof alone / sizeof *alone; j++)
            found = found || strcmp(alone[j], id) == 0;
        for (int j = 0; j < tr_catalog_count(catalog, TR_SECTION_SYSTEMS) && !found; j++) {
            struct tr_system system;
            assert_int_equal(tr_system_read(tr_catalog_entry(catalog, TR_SECTION_SYSTEMS, j), &system, &err), TR_OK);
            found = strcmp(system.chip.id, id) == 0;
        }
        if (!found)
            fail_msg("no system has the chip %s", id);
    }
    tr_catalog_free(catalog);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_chip_network_and_system_that_the_program_brings_is_right),
        cmocka_unit_test(tiers_go_from_the_chip_outwards),
        cmocka_unit_test(chips_that_a_network_joins_are_domains_of_one),
        cmocka_unit_test(every_number_of_the_program_s_networks_and_systems_says_where_it_is_from),
        cmocka_unit_test(chips_of_published_runs_are_found_by_the_names_that_the_tables_use),
        cmocka_unit_test(no_system_s_links_are_faster_than_its_chip_s),
        cmocka_unit_test(every_chip_with_links_stands_in_a_system),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
