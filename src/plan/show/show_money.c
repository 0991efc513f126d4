/* Prices, sites, failures. */
#include "plan/show/inside.h"

#include <math.h>

/* --- prices --- */

/* A name may be a chip's, a system's (then all who offer its chip) or a provider's. */
static bool is_asked(const struct tr_showing *s, const struct tr_offer *offer)
{
    return !s->name || tr_names_equal(offer->provider, s->name) || (s->chip && offer->chip == s->chip);
}

/* The chip or system of that name, if it is one. */
static enum tr_status find_asked(struct tr_showing *s, struct tr_system *system)
{
    struct tr_chip chip;
    enum tr_status status = TR_OK;
    if (s->name && tr_catalog_look(s->catalog, TR_SECTION_CHIPS, s->name)) {
        status = tr_chip_find(s->catalog, s->name, &chip, s->err);
        if (status == TR_OK)
            *system = tr_chip_alone(&chip);
    } else if (s->name && tr_catalog_look(s->catalog, TR_SECTION_SYSTEMS, s->name)) {
        status = tr_system_find(s->catalog, s->name, system, s->err);
    }
    if (status == TR_OK)
        s->chip = system->chip.entry;
    return status;
}

/* What plans take, in their words. */
static enum tr_status write_taken(struct tr_showing *s, const struct tr_system *system)
{
    struct tr_price price[TR_COMMITMENT_COUNT];
    enum tr_status status = TR_OK;
    for (int i = 0; i < TR_COMMITMENT_COUNT && status == TR_OK; i++) {
        struct tr_price_query query = {.commitment = (enum tr_commitment)i, .date = s->options->date};
        status = tr_price_find(s->catalog, system, &query, &price[i], s->err);
    }
    if (status != TR_OK)
        return status;
    tr_text_printf(s->out, "\nA plan for %s takes\n", system->id);
    tr_prices_text(price, system->chip.entry, s->out);
    return TR_OK;
}

/* A chip that nobody offers is an answer; a name that nothing belongs to is not, and perhaps another one was meant. */
static enum tr_status nobody(const struct tr_showing *s)
{
    if (s->chip)
        return tr_fail(s->err, TR_NO, "nobody of the catalog offers %s; prices of your own come by --catalog (docs/catalog.md)", s->chip->id);
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

static enum tr_status list_offer(struct tr_showing *s, const struct tr_entry *entry, struct tr_table *table)
{
    struct tr_offer offer;
    enum tr_status status = tr_offer_read(entry, &offer, s->err);
    if (status != TR_OK || !is_asked(s, &offer))
        return status;
    s->shown++;
    if (table)
        write_offer_row(table, &offer);
    else
        write_offer_json(&s->json, &offer);
    return TR_OK;
}

enum tr_status tr_show_prices(struct tr_showing *s)
{
    struct tr_listing listing = {
        TR_SECTION_PRICES, {{"provider", TR_LEFT}, {"instance", TR_LEFT}, {"chip", TR_LEFT}}, list_offer,
        "\nDollars of one chip, an hour, at that date. Plans take the newest offer of each seller and machine, and by way to pay their median.\n"};
    int columns = 3;
    for (int i = 0; i < TR_COMMITMENT_COUNT; i++, columns++)
        listing.column[columns].name = tr_commitment_name((enum tr_commitment)i), listing.column[columns].side = TR_RIGHT;
    listing.column[columns].name = "date", listing.column[columns].side = TR_LEFT;
    listing.column[columns + 1].name = "source", listing.column[columns + 1].side = TR_LEFT;
    struct tr_system system = {0};
    enum tr_status status = find_asked(s, &system);
    if (status == TR_OK)
        status = tr_show_list(s, &listing);
    if (status == TR_OK && s->name && s->shown == 0)
        return nobody(s);
    return status == TR_OK && s->chip && !s->options->json ? write_taken(s, &system) : status;
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

static void write_site_row(struct tr_table *table, const struct tr_place *site)
{
    char value[TR_QUANTITY_BYTES];
    tr_table_cell(table, "%s", site->id);
    tr_table_cell(table, "%s", tr_fact_text(&site->pue, TR_UNIT_COUNT, value));
    tr_table_cell(table, "%s", tr_fact_text(&site->carbon_g_kwh, TR_UNIT_CARBON, value));
    tr_table_cell(table, "%s", tr_fact_text(&site->load, TR_UNIT_RATIO, value));
    tr_table_cell(table, "%s", tr_fact_text(&site->overhead, TR_UNIT_COUNT, value));
    tr_table_cell(table, "%s", tr_fact_text(&site->server, TR_UNIT_COUNT, value));
    tr_table_cell(table, "%s", site->name);
}

static enum tr_status list_site(struct tr_showing *s, const struct tr_entry *entry, struct tr_table *table)
{
    struct tr_place site;
    enum tr_status status = tr_place_find(s->catalog, entry->id, &site, s->err);
    if (status == TR_OK && table)
        write_site_row(table, &site);
    else if (status == TR_OK)
        write_site_json(&s->json, &site);
    return status;
}

enum tr_status tr_show_sites(struct tr_showing *s)
{
    static const struct tr_listing listing = {
        TR_SECTION_SITES,
        {{"site", TR_LEFT}, {"PUE", TR_RIGHT}, {"carbon", TR_RIGHT}, {"load", TR_RIGHT}, {"overhead", TR_RIGHT},
         {"server", TR_RIGHT}, {"name", TR_LEFT}},
        list_site, NULL};
    return tr_show_list(s, &listing);
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

static enum tr_status list_failures(struct tr_showing *s, const struct tr_entry *entry, struct tr_table *table)
{
    struct tr_failures failures;
    enum tr_status status = tr_failures_find(s->catalog, entry->id, &failures, s->err);
    if (status == TR_OK && table)
        write_failures_row(table, &failures);
    else if (status == TR_OK)
        write_failures_json(&s->json, &failures);
    return status;
}

enum tr_status tr_show_failures(struct tr_showing *s)
{
    static const struct tr_listing listing = {
        TR_SECTION_FAILURES,
        {{"record", TR_LEFT}, {"one chip", TR_RIGHT}, {"1,024 chips", TR_RIGHT}, {"16,384", TR_RIGHT},
         {"recover", TR_RIGHT}, {"grade", TR_LEFT}, {"source", TR_LEFT}, {"name", TR_LEFT}},
        list_failures,
        "\nMean time between interruptions of a job of so many chips.\n"};
    return tr_show_list(s, &listing);
}
