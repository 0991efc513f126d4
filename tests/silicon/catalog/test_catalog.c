#include "silicon/chip/chip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The program's own files, then the texts as layers. */
static struct tr_catalog *open_with(const char *first, const char *second)
{
    const char *const texts[] = {first, second};
    struct tr_catalog *catalog = NULL;
    struct tr_err err = {""};
    assert_int_equal(tr_catalog_open(&catalog, &err), TR_OK);
    for (size_t i = 0; i < 2; i++)
        if (texts[i] && tr_catalog_add_text(catalog, i ? "second.yaml" : "own.yaml", texts[i], strlen(texts[i]), &err))
            fail_msg("%s", err.text);
    return catalog;
}

static struct tr_chip chip_of(const struct tr_catalog *catalog, const char *name)
{
    struct tr_chip chip;
    struct tr_err err = {""};
    if (tr_chip_find(catalog, name, &chip, &err))
        fail_msg("%s", err.text);
    return chip;
}

static void every_number_of_the_program_s_chips_says_where_it_is_from(void **state)
{
    int count;
    const struct tr_field *fields = tr_chip_fields(&count);
    (void)state;
    struct tr_catalog *catalog = open_with(NULL, NULL);
    for (int i = 0; i < tr_catalog_count(catalog, TR_SECTION_CHIPS); i++) {
        struct tr_chip chip = chip_of(catalog, tr_catalog_entry(catalog, TR_SECTION_CHIPS, i)->id);
        for (int j = 0; j < count; j++) {
            const struct tr_fact *fact = (const struct tr_fact *)(const void *)((const char *)&chip + fields[j].offset);
            if (fields[j].kind != TR_FIELD_FACT || !tr_known(fact))
                continue;
            if (!fact->source || strncmp(fact->source->id, "catalog/", 8) == 0 || !fact->date[0])
                fail_msg("%s: %s has no source or no date", chip.id, fields[j].path);
        }
    }
    tr_catalog_free(catalog);
}

/* Ada and Hopper and all after them have matrix units for 8 bits, no slower than those for 16. */
static void nvidia_s_chips_of_2022_and_later_have_a_rate_in_fp8(void **state)
{
    int seen = 0;
    (void)state;
    struct tr_catalog *catalog = open_with(NULL, NULL);
    for (int i = 0; i < tr_catalog_count(catalog, TR_SECTION_CHIPS); i++) {
        struct tr_chip chip = chip_of(catalog, tr_catalog_entry(catalog, TR_SECTION_CHIPS, i)->id);
        const struct tr_fact *fp8 = &chip.rate_flop_s[TR_RATE_FP8], *wide = &chip.rate_flop_s[TR_RATE_BF16];
        if (strcmp(chip.vendor, "NVIDIA") != 0 || chip.year < 2022 || strncmp(chip.id, "a800", 4) == 0)
            continue;
        if (!tr_known(fp8) || !tr_known(wide) || fp8->value < 1.9 * wide->value || fp8->value > 4.4 * wide->value)
            fail_msg("%s: fp8 %g, bf16 %g", chip.id, fp8->value, wide->value);
        seen++;
    }
    assert_true(seen >= 20);
    struct tr_chip card = chip_of(catalog, "rtx-4090");
    assert_true(card.rate_flop_s[TR_RATE_FP8].value == 330.3e12); /* sums in fp32 */
    tr_catalog_free(catalog);
}

static void ten_lines_describe_a_chip_by_what_it_is_like(void **state)
{
    (void)state;
    struct tr_catalog *catalog = open_with("sources:\n"
                                           "  sheet: {title: X1 sheet, date: 2026-02, grade: stated}\n"
                                           "chips:\n"
                                           "  x1:\n"
                                           "    like: h100\n"
                                           "    name: Example X1\n"
                                           "    aliases: [example]\n"
                                           "    source: sheet\n"
                                           "    memory: 96GiB\n"
                                           "    dense: {bf16: {value: 800TFLOP/s, grade: measured}, fp8: null}\n",
                                           NULL);
    struct tr_chip chip = chip_of(catalog, "EXAMPLE");
    assert_string_equal(chip.id, "x1");
    assert_true(chip.memory_bytes.value == 96. * (1 << 30) && chip.memory_bytes.grade == TR_GRADE_STATED);
    assert_string_equal(chip.memory_bytes.source->id, "sheet");
    assert_string_equal(chip.memory_bytes.date, "2026-02");
    assert_int_equal(chip.rate_flop_s[TR_RATE_BF16].grade, TR_GRADE_MEASURED);
    assert_false(tr_known(&chip.rate_flop_s[TR_RATE_FP8]));
    assert_true(chip.memory_bytes_s.value == 3.35e12 && strcmp(chip.memory_bytes_s.source->id, "mle-accelerators") == 0);
    tr_catalog_free(catalog);
}

static void a_later_layer_replaces_or_extends_an_entry_and_what_is_like_the_old_one_stays(void **state)
{
    (void)state;
    struct tr_catalog *catalog = open_with("chips: {h100-sxm: {like: h100-sxm, tdp: 500W}}", NULL);
    assert_true(chip_of(catalog, "h100").tdp_w.value == 500);
    assert_true(chip_of(catalog, "h100").memory_bytes_s.value == 3.35e12);
    assert_true(chip_of(catalog, "h200").tdp_w.value == 700);
    tr_catalog_free(catalog);
    catalog = open_with("chips: {a: {like: h100, tdp: 1W}}", "chips: {a: {like: b200, tdp: 2W}}");
    assert_true(chip_of(catalog, "a").tdp_w.value == 2 && chip_of(catalog, "a").rate_flop_s[TR_RATE_BF16].value == 2250e12);
    tr_catalog_free(catalog);
}

static void a_number_without_a_source_is_assumed_and_its_source_is_the_file(void **state)
{
    (void)state;
    struct tr_catalog *catalog = open_with("chips: {a: {like: h100, tdp: 1W}}", NULL);
    struct tr_chip chip = chip_of(catalog, "a");
    assert_int_equal(chip.tdp_w.grade, TR_GRADE_ASSUMED);
    assert_string_equal(chip.tdp_w.source->id, "own.yaml");
    tr_catalog_free(catalog);
}

static void mistakes_get_a_sentence_with_path_line_and_column(void **state)
{
    static const struct {
        const char *yaml, *says;
    } cases[] = {
        {"chips:\n  a:\n    like: h100\n    memory: 80\n", "own.yaml:4:13: chips.a.memory: a number without its unit"},
        {"chips:\n  a:\n    like: h100\n    memory: 80Gb\n", "own.yaml:4:13: chips.a.memory: \"80Gb\": expected a number of "
                                                         "bytes"},
        {"chips: {a: {like: h100, memory_bandwidth: 3TB}}", "own.yaml:1:43: chips.a.memory_bandwidth: \"3TB\": expected a "
                                                            "rate"},
        {"chips: {a: {like: h100, memori: 80GiB}}", "own.yaml:1:25: chips.a.memori: unknown key; did you mean \"memory\"?"},
        {"chips: {a: {like: h100, dense: {bf61: 1TFLOP/s}}}", "did you mean \"bf16\"?"},
        {"chips: {a: {like: h100, tdp: -5W}}", "own.yaml:1:30"},
        {"chips: {a: {like: h100, tdp: {value: 5W, grade: rumoured}}}", "chips.a.tdp.grade"},
        {"chips: {a: {like: h100, tdp: {value: 5W, source: nowhere}}}", "unknown source \"nowhere\""},
        {"chips: {a: {like: h100, tdp: {value: 5W, date: 12/2024}}}", "expected a date such as 2024"},
        {"chips: {a: {like: h10}}", "did you mean h100-sxm?"},
        {"chips: {a: {like: a}}", "like"},
        {"chips: {a: {name: A, vendor: B, year: 2020, memory: 1GiB, memory_bandwidth: 1GB/s}}", "no rate of any number type"},
        {"chips: {a: {name: A, year: 2020, memory: 1GiB, memory_bandwidth: 1GB/s}}", "the key \"vendor\" is missing"},
        {"chips: {a: {like: h100, market: home}}", "datacenter"},
        {"chip: {a: {like: h100}}", "did you mean \"chips\"?"},
        {"chips: {a: {like: h100}, A: {like: h100}}", "there is one of this id already"},
        {"chips: {a b: {like: h100}}", "an id is at most"},
        {"chips: [1]", "own.yaml:1:8"},
        {"chips: {a: {like: h100, memory: &x 1GiB}}", "anchor"},
        {"chips: {a: {like: h100, memory_visible: 99GiB}}", "memory_visible is more than memory"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tr_catalog *catalog;
        struct tr_err err = {""};
        assert_int_equal(tr_catalog_open(&catalog, &err), TR_OK);
        enum tr_status status = tr_catalog_add_text(catalog, "own.yaml", cases[i].yaml, strlen(cases[i].yaml), &err);
        if (status == TR_OK)
            status = tr_chip_check_all(catalog, &err);
        if (status != TR_BAD_INPUT || !strstr(err.text, cases[i].says))
            fail_msg("%s: status %d, \"%s\" does not say \"%s\"", cases[i].yaml, status, err.text, cases[i].says);
        tr_catalog_free(catalog);
    }
}

static void unknown_names_give_the_nearest(void **state)
{
    (void)state;
    struct tr_catalog *catalog = open_with(NULL, NULL);
    const struct tr_entry *entry;
    struct tr_err err = {""};
    assert_int_equal(tr_catalog_find(catalog, TR_SECTION_CHIPS, "mi300", &entry, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "unknown chip \"mi300\"; did you mean mi300x?"));
    assert_int_equal(tr_catalog_find(catalog, TR_SECTION_SYSTEMS, "zzzzzzzzzz", &entry, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "none of the catalog's"));
    assert_int_equal(tr_catalog_find(catalog, TR_SECTION_STACKS, "zzzzzzzzzz", &entry, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "stacks has a name like it: plain, megatron-2021, ")); /* few enough to name all */
    tr_catalog_free(catalog);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_of_the_program_s_chips_says_where_it_is_from),
        cmocka_unit_test(nvidia_s_chips_of_2022_and_later_have_a_rate_in_fp8),
        cmocka_unit_test(ten_lines_describe_a_chip_by_what_it_is_like),
        cmocka_unit_test(a_later_layer_replaces_or_extends_an_entry_and_what_is_like_the_old_one_stays),
        cmocka_unit_test(a_number_without_a_source_is_assumed_and_its_source_is_the_file),
        cmocka_unit_test(mistakes_get_a_sentence_with_path_line_and_column),
        cmocka_unit_test(unknown_names_give_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
