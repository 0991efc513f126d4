/* Prices, sites, failures. */
#include "plan/show/inside.h"

#include <math.h>

/* --- prices --- */

/* A name may be a chip's, a system's or a provider's. */
static bool is_asked(const struct tr_showing *s, const struct tr_offer *offer)
{
    if (!s->name || tr_names_equal(offer->provider, s->name))
        return true;
    return offer->chip == tr_catalog_look(s->catalog, TR_SECTION_CHIPS, s->name) ||
           (offer->system && offer->system == tr_catalog_look(s->catalog, TR_SECTION_SYSTEMS, s->name));
}

/* The name that nothing belongs to, and the one that was perhaps meant. */
static enum tr_status nobody(const struct tr_showing *s)
{
    enum { NAMES_MAX = 1024 };
    const char *names[NAMES_MAX];
    int used = 0;
    for (int i = 0; i < tr_catalog_count(s->catalog, TR_SECTION_PRICES) && used + 2 < NAMES_MAX; i++) {
        struct tr_offer offer;
        enum tr_status status = tr_offer_read(tr_catalog_entry(s->catalog, TR_SECTION_PRICES, i), &offer, s->err);
        if (status != TR_OK)
            return status;
        names[used++] = offer.provider;
        names[used++] = offer.chip->id;
    }
    int nearest = tr_nearest(s->name, names, used);
    return tr_fail(s->err, TR_BAD_INPUT, "no prices of \"%.60s\": it is no provider, and no chip or system that is offered%s%s"
                   "%s", s->name, nearest < 0 ? "" : "; did you mean ", nearest < 0 ? "" : names[nearest],
                   nearest < 0 ? "" : "?");
}

static const char *date_of(const struct tr_offer *offer)
{
    for (int i = 0; i < TR_COMMITMENT_COUNT; i++)
        if (tr_known(&offer->usd_h[i]))
            return offer->usd_h[i].date;
    return "";
}

static void write_offer_json(struct tr_json *json, const struct tr_offer *offer)
{
    tr_json_object(json, NULL);
    tr_json_string(json, "id", offer->id);
    tr_json_string(json, "provider", offer->provider);
    tr_json_string(json, "instance", offer->instance[0] ? offer->instance : NULL);
    tr_json_string(json, "region", offer->region[0] ? offer->region : NULL);
    tr_json_string(json, "chip", offer->chip->id);
    tr_json_string(json, "system", offer->system ? offer->system->id : NULL);
    tr_json_int(json, "chips", offer->chips);
    tr_json_object(json, "usd_chip_hour");
    for (int i = 0; i < TR_COMMITMENT_COUNT; i++)
        tr_fact_json(json, tr_commitment_name((enum tr_commitment)i), &offer->usd_h[i], TR_UNIT_USD_H);
    tr_json_end(json);
    tr_json_end(json);
}

static void write_offer_row(struct tr_table *table, const struct tr_offer *offer)
{
    tr_table_cell(table, "%s", offer->provider);
    tr_table_cell(table, "%s", offer->instance);
    tr_table_cell(table, "%s", offer->chip->id);
    for (int i = 0; i < TR_COMMITMENT_COUNT; i++)
        if (tr_known(&offer->usd_h[i]))
            tr_table_cell(table, "%.2f", offer->usd_h[i].value);
        else
            tr_table_cell(table, "%s", "");
    tr_table_cell(table, "%s", date_of(offer));
    for (int i = 0; i < TR_COMMITMENT_COUNT; i++)
        if (tr_known(&offer->usd_h[i])) {
            tr_table_cell(table, "%s", offer->usd_h[i].source ? offer->usd_h[i].source->id : "");
            break;
        }
}

enum tr_status tr_show_prices(struct tr_showing *s)
{
    struct tr_table table = {0};
    enum tr_status status = TR_OK;
    bool json = s->options->json;
    int shown = 0;
    tr_table_column(&table, "provider", TR_LEFT);
    tr_table_column(&table, "instance", TR_LEFT);
    tr_table_column(&table, "chip", TR_LEFT);
    for (int i = 0; i < TR_COMMITMENT_COUNT; i++)
        tr_table_column(&table, tr_commitment_name((enum tr_commitment)i), TR_RIGHT);
    tr_table_column(&table, "date", TR_LEFT);
    tr_table_column(&table, "source", TR_LEFT);
    if (json)
        tr_json_array(&s->json, NULL);
    for (int i = 0; status == TR_OK && i < tr_catalog_count(s->catalog, TR_SECTION_PRICES); i++) {
        struct tr_offer offer;
        status = tr_offer_read(tr_catalog_entry(s->catalog, TR_SECTION_PRICES, i), &offer, s->err);
        if (status != TR_OK || !is_asked(s, &offer))
            continue;
        shown++;
        if (json)
            write_offer_json(&s->json, &offer);
        else
            write_offer_row(&table, &offer);
    }
    if (json)
        tr_json_end(&s->json);
    else if (status == TR_OK) {
        tr_table_text(&table, s->out);
        tr_text_append(s->out, "\nDollars of one chip, an hour.\n");
    }
    tr_table_free(&table);
    if (status == TR_OK && s->name && shown == 0)
        return nobody(s);
    return status;
}

/* --- sites --- */

static void write_site_json(struct tr_json *json, const struct tr_place *site)
{
    int count;
    const struct tr_field *fields = tr_place_fields(&count);
    tr_json_object(json, NULL);
    tr_json_string(json, "id", site->id);
    tr_json_string(json, "name", site->name);
    tr_aliases_json(site->entry, json);
    tr_facts_json(fields, count, site, json);
    tr_json_end(json);
}

enum tr_status tr_show_sites(struct tr_showing *s)
{
    static const char *const heads[] = {"PUE", "carbon", "load", "overhead", "server"};
    struct tr_table table = {0};
    enum tr_status status = TR_OK;
    char value[TR_QUANTITY_BYTES];
    bool json = s->options->json;
    tr_table_column(&table, "site", TR_LEFT);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        tr_table_column(&table, heads[i], TR_RIGHT);
    tr_table_column(&table, "name", TR_LEFT);
    if (json)
        tr_json_array(&s->json, NULL);
    for (int i = 0; status == TR_OK && i < tr_catalog_count(s->catalog, TR_SECTION_SITES); i++) {
        struct tr_place site;
        status = tr_place_find(s->catalog, tr_catalog_entry(s->catalog, TR_SECTION_SITES, i)->id, &site, s->err);
        if (status != TR_OK)
            break;
        if (json) {
            write_site_json(&s->json, &site);
            continue;
        }
        tr_table_cell(&table, "%s", site.id);
        tr_table_cell(&table, "%s", tr_fact_text(&site.pue, TR_UNIT_COUNT, value));
        tr_table_cell(&table, "%s", tr_fact_text(&site.carbon_g_kwh, TR_UNIT_CARBON, value));
        tr_table_cell(&table, "%s", tr_fact_text(&site.load, TR_UNIT_RATIO, value));
        tr_table_cell(&table, "%s", tr_fact_text(&site.overhead, TR_UNIT_COUNT, value));
        tr_table_cell(&table, "%s", tr_fact_text(&site.server, TR_UNIT_COUNT, value));
        tr_table_cell(&table, "%s", site.name);
    }
    if (json)
        tr_json_end(&s->json);
    else if (status == TR_OK)
        tr_table_text(&table, s->out);
    tr_table_free(&table);
    return status;
}

enum tr_status tr_show_site(struct tr_showing *s)
{
    struct tr_place site;
    struct tr_source_list sources = {.count = 0};
    int count;
    const struct tr_field *fields = tr_place_fields(&count);
    enum tr_status status = tr_place_find(s->catalog, s->name, &site, s->err);
    if (status != TR_OK)
        return status;
    if (s->options->json) {
        write_site_json(&s->json, &site);
        return TR_OK;
    }
    tr_text_printf(s->out, "%s (%s)\n\n", site.name, site.id);
    tr_facts_table(fields, count, &site, s->out);
    tr_sources_add(&sources, fields, count, &site);
    tr_sources_text(&sources, s->out);
    return TR_OK;
}

/* --- failures --- */

static void write_failures_json(struct tr_json *json, const struct tr_failures *f)
{
    tr_json_object(json, NULL);
    tr_json_string(json, "id", f->id);
    tr_json_string(json, "name", f->name);
    tr_json_bool(json, "spot", f->spot);
    tr_json_string(json, "chip", f->chip ? f->chip->id : NULL);
    tr_fact_json(json, "chip_life", &f->chip_life_s, TR_UNIT_TIME);
    tr_fact_json(json, "group_life", &f->group_life_s, TR_UNIT_TIME);
    tr_fact_json(json, "recover", &f->recover_s, TR_UNIT_TIME);
    tr_json_end(json);
}

static void write_failures_row(struct tr_table *table, const struct tr_failures *f)
{
    enum { SMALL = 1024, LARGE = 16384 };
    char value[TR_QUANTITY_BYTES];
    const struct tr_fact *life = f->spot ? &f->group_life_s : &f->chip_life_s;
    tr_table_cell(table, "%s", f->id);
    tr_table_cell(table, "%s", tr_fact_text(&f->chip_life_s, TR_UNIT_TIME, value));
    tr_table_cell(table, "%s", tr_print_time(value, tr_failures_mtbf(f, SMALL)));
    tr_table_cell(table, "%s", tr_print_time(value, tr_failures_mtbf(f, LARGE)));
    tr_table_cell(table, "%s", tr_fact_text(&f->recover_s, TR_UNIT_TIME, value));
    tr_table_cell(table, "%s", tr_grade_name(life->grade));
    tr_table_cell(table, "%s", life->source ? life->source->id : "");
    tr_table_cell(table, "%s", f->name);
}

enum tr_status tr_show_failures(struct tr_showing *s)
{
    static const char *const heads[] = {"one chip", "1,024 chips", "16,384", "recover"};
    struct tr_table table = {0};
    enum tr_status status = TR_OK;
    bool json = s->options->json;
    tr_table_column(&table, "record", TR_LEFT);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        tr_table_column(&table, heads[i], TR_RIGHT);
    tr_table_column(&table, "grade", TR_LEFT);
    tr_table_column(&table, "source", TR_LEFT);
    tr_table_column(&table, "name", TR_LEFT);
    if (json)
        tr_json_array(&s->json, NULL);
    for (int i = 0; status == TR_OK && i < tr_catalog_count(s->catalog, TR_SECTION_FAILURES); i++) {
        struct tr_failures failures;
        const struct tr_entry *entry = tr_catalog_entry(s->catalog, TR_SECTION_FAILURES, i);
        status = tr_failures_find(s->catalog, entry->id, &failures, s->err);
        if (status != TR_OK)
            break;
        if (json)
            write_failures_json(&s->json, &failures);
        else
            write_failures_row(&table, &failures);
    }
    if (json)
        tr_json_end(&s->json);
    else if (status == TR_OK) {
        tr_table_text(&table, s->out);
        tr_text_append(s->out, "\nMean time between interruptions of a job of so many chips.\n");
    }
    tr_table_free(&table);
    return status;
}
