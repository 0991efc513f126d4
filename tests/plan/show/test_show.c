/* What the catalog knows of software, in words and as JSON. */
#include "plan/show/show.h"

#include "lib/catalog.h"
#include "silicon/catalog/catalog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct tr_text shown(const char *what, const char *name, bool json)
{
    const struct tr_show_catalog_options how = {.json = json};
    struct tr_text out = {0};
    struct tr_err err = {""};
    if (tr_show_catalog(catalog, what, name, &how, &out, &err) != TR_OK || tr_text_failed(&out, &err))
        fail_msg("%s", err.text);
    return out;
}

static void stacks_are_listed_and_say_what_they_are_like(void **state)
{
    (void)state;
    struct tr_text out = shown("stacks", NULL, false);
    for (int i = 0; i < tr_catalog_count(catalog, TR_SECTION_STACKS); i++)
        assert_non_null(strstr(out.at, tr_catalog_entry(catalog, TR_SECTION_STACKS, i)->id));
    tr_text_free(&out);
}

static void a_stack_says_its_numbers_what_it_cannot_do_and_who_calls_it_so(void **state)
{
    static const char *const words[] = {"like        plain", "llm-foundry", "cannot      zero0, zero1", "hidden.dp", "run-fits",
                                        "bytes.gradient", "interpolated"};
    static const char *const keys[] = {"\"like\": \"plain\"", "\"zero1\"", "\"hidden.dp\"", "\"source\": \"run-fits\""};
    (void)state;
    struct tr_text out = shown("stack", "fsdp", false);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strstr(out.at, words[i]))
            fail_msg("no \"%s\" in:\n%s", words[i], out.at);
    tr_text_free(&out);
    out = shown("stack", "fsdp", true);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strstr(out.at, keys[i]))
            fail_msg("no %s in:\n%s", keys[i], out.at);
    tr_text_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stacks_are_listed_and_say_what_they_are_like),
        cmocka_unit_test(a_stack_says_its_numbers_what_it_cannot_do_and_who_calls_it_so),
    };
    return cmocka_run_group_tests(tests, tr_catalog_setup, tr_catalog_teardown);
}
