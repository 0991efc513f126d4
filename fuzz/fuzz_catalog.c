/* Any YAML as a user's own file of the catalog, alone and on top of the program's: refused with a sentence, or entries
 * that are found by their ids and are read, or refused with a sentence, as chips, networks, systems, prices, sites,
 * failures and models. */
#include "cloud/cost/cost.h"
#include "plan/shape/shape.h"
#include "silicon/chip/chip.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void said(enum tr_status status, const struct tr_err *err)
{
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && err->text[0]));
}

static void find_all(const struct tr_catalog *catalog)
{
    for (int s = 0; s < TR_SECTION_COUNT; s++)
        for (int i = 0; i < tr_catalog_count(catalog, (enum tr_section)s); i++) {
            const struct tr_entry *entry = tr_catalog_entry(catalog, (enum tr_section)s, i);
            TR_ASSERT(tr_catalog_look(catalog, (enum tr_section)s, entry->id) != NULL);
        }
}

static void check(enum tr_status (*open)(struct tr_catalog **, struct tr_err *), const char *text, size_t bytes)
{
    struct tr_catalog *catalog;
    struct tr_err err = {""};
    TR_ASSERT(open(&catalog, &err) == TR_OK);
    enum tr_status status = tr_catalog_add_text(catalog, "input", text, bytes, &err);
    said(status, &err);
    if (status == TR_OK) {
        find_all(catalog);
        err.text[0] = 0;
        said(tr_chip_check_all(catalog, &err), &err);
        err.text[0] = 0;
        said(tr_system_check_all(catalog, &err), &err);
        err.text[0] = 0;
        said(tr_cloud_cost_check_all(catalog, &err), &err);
        err.text[0] = 0;
        said(tr_shape_check_all(catalog, &err), &err);
    }
    tr_catalog_free(catalog);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    check(tr_catalog_open_empty, (const char *)data, bytes);
    check(tr_catalog_open, (const char *)data, bytes);
    return 0;
}
