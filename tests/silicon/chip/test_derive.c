#include "silicon/chip/derive.h"

#include "lib/catalog.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct tr_chip chip_of(const char *name)
{
    struct tr_chip chip;
    struct tr_err err = {""};
    if (tr_chip_find(catalog, name, &chip, &err))
        fail_msg("%s", err.text);
    return chip;
}

static void ridge_points_are_rate_by_bandwidth(void **state)
{
    (void)state;
    struct tr_chip chip = chip_of("h100");
    assert_true(fabs(tr_chip_ridge(&chip, TR_RATE_BF16, TR_LEVEL_MEMORY) - 989.5 / 3.35) < 1e-9);
    assert_true(fabs(tr_chip_ridge(&chip, TR_RATE_FP8, TR_LEVEL_LINKS) - 1979 / .45) < 1e-9);
    assert_true(isnan(tr_chip_ridge(&chip, TR_RATE_FP4, TR_LEVEL_MEMORY)));
    chip = chip_of("rtx-4090");
    assert_true(isnan(tr_chip_ridge(&chip, TR_RATE_BF16, TR_LEVEL_LINKS)));
}

/* TPP, density and classes worked out elsewhere, on the same data sheets (dies of 0: not known). */
static void classes_under_the_export_rules_are_those_of_published_arithmetic(void **state)
{
    static const struct {
        const char *chip;
        double tpp, density;
        const char *in_2022, *in_2023, *in_2026;
    } cases[] = {
        {"v100-sxm2-16", 2000, 2.45, "free", "not 3A090", "not affected"},
        {"v100-sxm2-32", 2000, 2.45, "free", "not 3A090", "not affected"},
        {"a100-pcie-40", 4992, 6.04, "controlled", "3A090.a", "case by case"},
        {"v100-pcie", 1792, 2.20, "free", "not 3A090", "not affected"},
        {"a100-sxm-40", 4992, 6.04, "controlled", "3A090.a", "case by case"},
        {"a100-sxm-80", 4992, 6.04, "controlled", "3A090.a", "case by case"},
        {"a100-pcie-80", 4992, 6.04, "controlled", "3A090.a", "case by case"},
        {"a800-sxm-80", 4992, 6.04, "free", "3A090.a", "case by case"},
        {"h100-sxm", 15832, 19.45, "controlled", "3A090.a", "case by case"},
        {"h100-pcie", 12104, 14.87, "controlled", "3A090.a", "case by case"},
        {"h100-nvl", 13368, 16.42, "controlled", "3A090.a", "case by case"},
        {"h800-sxm", 15832, 19.45, "free", "3A090.a", "case by case"},
        {"h200-sxm", 15832, 19.45, "controlled", "3A090.a", "case by case"},
        {"h200-nvl", 13368, 16.42, "controlled", "3A090.a", "case by case"},
        {"h20", 2368, 2.91, "free", "not 3A090", "not affected"},
        {"gh200-96", 15832, 19.45, "controlled", "3A090.a", "case by case"},
        {"gh200-144", 15832, 19.45, "controlled", "3A090.a", "case by case"},
        {"b100", 28000, 17.20, "controlled", "3A090.a", "presumed denied"},
        {"b200", 36000, 22.11, "controlled", "3A090.a", "presumed denied"},
        {"b300", 56000, 34.40, "controlled", "3A090.a", "presumed denied"},
        {"gb200", 40000, 24.57, "controlled", "3A090.a", "presumed denied"},
        {"gb300", 60000, 36.86, "controlled", "3A090.a", "presumed denied"},
        {"rubin", 140000, 0, "controlled", "3A090.a", "presumed denied"},
        {"rtx-4090", 5285, 8.69, "free", "3A090.a", "case by case"},
        {"rtx-5090", 6704, 8.94, "free", "3A090.a", "case by case"},
        {"l4", 1940, 6.60, "free", "3A090.a", "case by case"},
        {"l40s", 5864, 9.63, "free", "3A090.a", "case by case"},
        {"a10", 2000, 3.18, "free", "not 3A090", "not affected"},
        {"mi250x", 6128, 4.23, /* both dies of the package; published: 8.46, of one */ "controlled", "3A090.a", "case by case"},
        {"mi300x", 20919, 20.57, "controlled", "3A090.a", "case by case"},
        {"mi325x", 20919, 20.57, "controlled", "3A090.a", "case by case"},
        {"mi350x", 36954, 0, "controlled", "3A090.a", "presumed denied"},
        {"mi355x", 40266, 0, "controlled", "3A090.a", "presumed denied"},
        {"mi455x", 80000, 0, "controlled", "3A090.a", "presumed denied"},
        {"tpu-v3", 1968, 0, "free", "undetermined", "undetermined"},
        {"tpu-v4", 4400, 0, "free", "undetermined", "undetermined"},
        {"tpu-v5e", 3152, 9.70, "free", "3A090.a", "case by case"},
        {"tpu-v5p", 7344, 0, "controlled", "3A090.a", "case by case"},
        {"tpu-v6e", 14688, 0, "controlled", "3A090.a", "case by case"},
        {"tpu7x", 36912, 0, "controlled", "3A090.a", "presumed denied"},
        {"trainium1", 3040, 0, "free", "undetermined", "undetermined"},
        {"trainium2", 10672, 0, "controlled", "3A090.a", "case by case"},
        {"trainium3", 20136, 0, "controlled", "3A090.a", "case by case"},
        {"inferentia2", 3040, 0, "free", "undetermined", "undetermined"},
        {"gaudi2", 6920, 0, "free", "3A090.a", "case by case"},
        {"gaudi3", 26848, 0, "controlled", "3A090.a", "presumed denied"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tr_chip chip = chip_of(cases[i].chip);
        struct tr_export export;
        struct tr_export_verdict v;
        tr_export_derive(&chip, &export);
        if (fabs(export.tpp - cases[i].tpp) > .501)
            fail_msg("%s: TPP %g", cases[i].chip, export.tpp);
        if (cases[i].density ? fabs(export.density - cases[i].density) > .006 : !isnan(export.density))
            fail_msg("%s: density %g", cases[i].chip, export.density);
        tr_export_verdict(&export, TR_EXPORT_2022, &v);
        if (strcmp(v.class, cases[i].in_2022) != 0)
            fail_msg("%s in 2022: %s (%s)", cases[i].chip, v.class, v.why);
        tr_export_verdict(&export, TR_EXPORT_2023, &v);
        if (strcmp(v.class, cases[i].in_2023) != 0)
            fail_msg("%s in 2023: %s (%s)", cases[i].chip, v.class, v.why);
        tr_export_verdict(&export, TR_EXPORT_2026, &v);
        if (strcmp(v.class, cases[i].in_2026) != 0)
            fail_msg("%s in 2026: %s (%s)", cases[i].chip, v.class, v.why);
    }
}

static void verdict_is(const char *chip_name, enum tr_export_rule rule, const char *class, const char *why)
{
    struct tr_chip chip = chip_of(chip_name);
    struct tr_export export;
    struct tr_export_verdict v;
    tr_export_derive(&chip, &export);
    tr_export_verdict(&export, rule, &v);
    assert_string_equal(v.class, class);
    if (!strstr(v.why, why))
        fail_msg("%s: \"%s\" does not say \"%s\"", chip_name, v.why, why);
}

static void letters_tariffs_and_exceptions_are_told_apart(void **state)
{
    (void)state;
    verdict_is("h20", TR_EXPORT_H20, "licence", "memory 4000 GB/s and links 1028 GB/s, H20: 4000 and 1028");
    verdict_is("h20", TR_EXPORT_2023, "not 3A090", "TPP 2368, density 2.91");
    verdict_is("l4", TR_EXPORT_H20, "not affected", "below 3A090");
    verdict_is("h200", TR_EXPORT_TARIFF, "tariff band 1", "4800");
    verdict_is("mi325x", TR_EXPORT_TARIFF, "tariff band 2", "6000");
    verdict_is("h100", TR_EXPORT_TARIFF, "not affected", "3350");
    verdict_is("rtx-4090", TR_EXPORT_2023, "3A090.a", "NAC/ACA");
    verdict_is("b60", TR_EXPORT_2023, "not 3A090", "Note 2");
    verdict_is("h100", TR_EXPORT_DIFFUSION, "controlled", "not enforced");
    verdict_is("h100", TR_EXPORT_HBM, "not affected", "packaged");
    verdict_is("tpu-v4", TR_EXPORT_2023, "undetermined", "not known");
}

static void every_rule_has_its_date_and_its_words(void **state)
{
    (void)state;
    for (enum tr_export_rule rule = 0; rule < TR_EXPORT_RULES; rule++) {
        const struct tr_export_rule_info *info = tr_export_rule_info(rule);
        assert_true(strlen(info->date) == 10 && info->cite[0] && info->says[0]);
        assert_true(rule == 0 || strcmp(tr_export_rule_info(rule - 1)->date, info->date) < 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ridge_points_are_rate_by_bandwidth),
        cmocka_unit_test(classes_under_the_export_rules_are_those_of_published_arithmetic),
        cmocka_unit_test(letters_tariffs_and_exceptions_are_told_apart),
        cmocka_unit_test(every_rule_has_its_date_and_its_words),
    };
    return cmocka_run_group_tests(tests, tr_catalog_setup, tr_catalog_teardown);
}
