/* Any YAML as a user's own file of the catalog, alone and on top of the program's: refused with a sentence, or entries
 * that are found by their ids and are read, or refused with a sentence, as chips, networks, systems, prices, sites,
 * failures and models; and shown. */
#include "base/doc.h"
#include "cloud/cost/cost.h"
#include "plan/shape/shape.h"
#include "plan/show/show.h"
#include "silicon/cost/exchange.h"
#include "silicon/cost/kernels.h"
#include "silicon/chip/chip.h"

#include <math.h>
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

/* Lists and entries of what was accepted: printed, in words and as JSON, or refused with a sentence. */
static void show_all(const struct tr_catalog *catalog)
{
    static const char *const lists[] = {"chips", "networks", "systems", "models", "prices", "sites", "failures",
                                        "sources"};
    static const char *const singles[] = {"chip", "network", "system", "model", "site"};
    static const enum tr_section sections[] = {TR_SECTION_CHIPS, TR_SECTION_NETWORKS, TR_SECTION_SYSTEMS,
                                               TR_SECTION_MODELS, TR_SECTION_SITES};
    for (int json = 0; json < 2; json++) {
        struct tr_show_catalog_options how = {.json = json};
        for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
            struct tr_text text = {0};
            struct tr_err err = {""};
            said(tr_show_catalog(catalog, lists[i], NULL, &how, &text, &err), &err);
            tr_text_free(&text);
        }
        for (size_t i = 0; i < sizeof singles / sizeof *singles; i++)
            for (int j = 0; j < tr_catalog_count(catalog, sections[i]); j++) {
                struct tr_text text = {0};
                struct tr_err err = {""};
                const char *id = tr_catalog_entry(catalog, sections[i], j)->id;
                said(tr_show_catalog(catalog, singles[i], id, &how, &text, &err), &err);
                tr_text_free(&text);
            }
    }
}

/* Records of exchanges: times that are numbers, with prices at any size, and are written again, or a sentence. */
static void read_exchanges(const struct tr_catalog *catalog)
{
    for (int i = 0; i < tr_catalog_count(catalog, TR_SECTION_EXCHANGES); i++) {
        struct tr_exchange_rates rates;
        struct tr_err err = {""};
        struct tr_text text = {0};
        enum tr_status status = tr_exchange_read(tr_catalog_entry(catalog, TR_SECTION_EXCHANGES, i), &rates, &err);
        said(status, &err);
        for (double bytes = 1; status == TR_OK && bytes < 1e12; bytes *= 1000)
            TR_ASSERT(tr_exchange_time(&rates, TR_COLL_ALL_REDUCE, bytes) >= 0);
        if (status == TR_OK)
            tr_exchange_yaml(&rates, &text);
        tr_text_free(&text);
    }
}

/* Records of kernels: rates that are numbers and are written again, or a sentence. */
static void read_kernels(const struct tr_catalog *catalog)
{
    for (int i = 0; i < tr_catalog_count(catalog, TR_SECTION_KERNELS); i++) {
        struct tr_kernel_rates rates;
        struct tr_text text = {0};
        struct tr_err err = {""};
        enum tr_status status = tr_kernel_rates_read(tr_catalog_entry(catalog, TR_SECTION_KERNELS, i), &rates, &err);
        said(status, &err);
        for (int kind = 0; status == TR_OK && kind < TR_OP_KIND_COUNT; kind++)
            for (int term = 0; term < TR_KERNEL_TERMS_MAX; term++)
                TR_ASSERT(isfinite(rates.price[kind][0].unit_s[term]) && rates.price[kind][1].unit_s[term] >= 0);
        if (status == TR_OK)
            tr_kernel_rates_yaml(&rates, &text);
        tr_text_free(&text);
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
        read_kernels(catalog);
        read_exchanges(catalog);
        err.text[0] = 0;
        said(tr_chip_check_all(catalog, &err), &err);
        err.text[0] = 0;
        said(tr_system_check_all(catalog, &err), &err);
        err.text[0] = 0;
        said(tr_cloud_cost_check_all(catalog, &err), &err);
        err.text[0] = 0;
        said(tr_shape_check_all(catalog, &err), &err);
        if (open == tr_catalog_open_empty) /* what the program brings is shown in the tests */
            show_all(catalog);
    }
    tr_catalog_free(catalog);
}

/* What is no YAML ends as early on top of the program's catalog, which takes a tenth of a second to read. */
static bool is_yaml(const char *text, size_t bytes)
{
    struct tr_doc *doc;
    struct tr_err err = {""};
    if (tr_doc_parse("input", TR_DOC_YAML, text, bytes, &doc, &err) != TR_OK)
        return false;
    tr_doc_free(doc);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    check(tr_catalog_open_empty, (const char *)data, bytes);
    if (is_yaml((const char *)data, bytes))
        check(tr_catalog_open, (const char *)data, bytes);
    return 0;
}
