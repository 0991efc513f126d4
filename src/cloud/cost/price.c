#include "cloud/cost/cost.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const tr_commitment_names[] = {"on_demand", "spot", "reserved_1y", "reserved_3y", "owned", NULL};
_Static_assert(sizeof tr_commitment_names / sizeof *tr_commitment_names == TR_COMMITMENT_COUNT + 1, "a name for each");

const char *tr_commitment_name(enum tr_commitment commitment)
{
    TR_ASSERT(commitment >= 0 && commitment < TR_COMMITMENT_COUNT);
    return tr_commitment_names[commitment];
}

#define AT(field) .offset = offsetof(struct tr_offer, field)
#define DOLLARS(word, which, text)                                                                                 \
    {word, TR_FIELD_FACT, AT(usd_h[which]), .unit = TR_UNIT_USD_H, .min = 1e-3, .max = 1e8, .help = text}

static const struct tr_field fields[] = {
    {"name", TR_FIELD_TEXT, AT(name), .help = "as people write it"},
    {"provider", TR_FIELD_TEXT, AT(provider), .required = true, .help = "who sells it: aws, azure, gcp, ..."},
    {"instance", TR_FIELD_TEXT, AT(instance), .help = "what the seller calls it"},
    {"region", TR_FIELD_TEXT, AT(region), .help = "where; absent: the median of several"},
    {"system", TR_FIELD_GROUP, 0, .help = "id of the system that it is"},
    {"chip", TR_FIELD_GROUP, 0, .help = "id of its chip, where it is no system of the catalog"},
    {"chips", TR_FIELD_WHOLE, AT(chips), .min = 1, .max = 1e6, .required = true,
     .help = "how many the prices below are for"},
    DOLLARS("on_demand", TR_COMMITMENT_ON_DEMAND, "by the hour, no commitment"),
    DOLLARS("spot", TR_COMMITMENT_SPOT, "by the hour, taken away at any time"),
    DOLLARS("reserved_1y", TR_COMMITMENT_RESERVED_1Y, "an hour of a year, or of a block paid in advance"),
    DOLLARS("reserved_3y", TR_COMMITMENT_RESERVED_3Y, "an hour of three years"),
    DOLLARS("owned", TR_COMMITMENT_OWNED, "an hour's share of what it costs its owner"),
};

const struct tr_field *tr_offer_fields(int *count)
{
    *count = sizeof fields / sizeof *fields;
    return fields;
}

enum tr_status tr_offer_read(const struct tr_entry *entry, struct tr_offer *out, struct tr_err *err)
{
    struct tr_offer read = {.id = entry->id, .instance = "", .region = "", .entry = entry}, *offer = &read;
    enum tr_status status = tr_entry_read(entry, "", fields, sizeof fields / sizeof *fields, offer, err);
    if (status == TR_OK)
        status = tr_entry_named(entry, "system", TR_SECTION_SYSTEMS, &offer->system, err);
    if (status == TR_OK && offer->system) {
        struct tr_system system;
        status = tr_system_read(offer->system, &system, err);
        if (status == TR_OK)
            offer->chip = system.chip.entry;
    }
    if (status == TR_OK)
        status = tr_entry_named(entry, "chip", TR_SECTION_CHIPS, &offer->chip, err);
    if (status != TR_OK)
        return status;
    if (!offer->chip)
        return tr_entry_fail(entry, err, "neither `chip` nor `system` says what is sold");
    bool any = false;
    for (int i = 0; i < TR_COMMITMENT_COUNT; i++) {
        any = any || tr_known(&offer->usd_h[i]);
        offer->usd_h[i].value /= (double)offer->chips;
    }
    if (!any)
        return tr_entry_fail(entry, err, "no price: on_demand, spot, reserved_1y, reserved_3y or owned, such as $55.04/h");
    if (!offer->name)
        offer->name = offer->instance[0] ? offer->instance : entry->id;
    *out = *offer;
    return TR_OK;
}

/* --- which offers answer a query --- */

/* Dates are compared as far as the asked one goes: all of May counts as "2026-05". */
static bool is_too_new(const char *date, const char *asked)
{
    return asked && asked[0] && strncmp(date, asked, strlen(asked)) > 0;
}

/* Of one provider and instance the newest counts; of the same day what comes later (a user's own file). */
static void add_offered(struct tr_price *price, const struct tr_offer *offer, const struct tr_fact *usd_h)
{
    int at = 0;
    while (at < price->offers && !(tr_names_equal(price->offer[at].provider, offer->provider) &&
                                   tr_names_equal(price->offer[at].instance, offer->instance)))
        at++;
    if (at == TR_PRICE_OFFERS_MAX || (at < price->offers && strcmp(price->offer[at].usd_h.date, usd_h->date) > 0))
        return;
    price->offer[at] = (struct tr_offered){offer->provider, offer->instance, *usd_h};
    price->offers += at == price->offers;
}

/* How an offer may belong to a system, best first. */
enum match { MATCH_SYSTEM, MATCH_OPERATOR, MATCH_CHIP, MATCHES };

static bool matches(const struct tr_offer *offer, const struct tr_system *system, const struct tr_entry *chip,
                    const char *provider, enum match how)
{
    if (provider && !tr_names_equal(offer->provider, provider))
        return false;
    if (how == MATCH_SYSTEM)
        return offer->system == system->entry && chip == system->chip.entry;
    if (offer->chip != chip)
        return false;
    return how == MATCH_CHIP || (system->operator_id[0] && tr_names_equal(offer->provider, system->operator_id));
}

static int by_price(const void *a, const void *b)
{
    double x = ((const struct tr_offered *)a)->usd_h.value, y = ((const struct tr_offered *)b)->usd_h.value;
    return (x > y) - (x < y);
}

static void choose(struct tr_price *price, const struct tr_entry *chip, bool transferred)
{
    struct tr_offered *offer = price->offer;
    qsort(offer, (size_t)price->offers, sizeof *offer, by_price);
    /* Of two in the middle their mean, by the name of the dearer one. */
    price->middle = price->offers / 2;
    price->usd_h = offer[price->middle].usd_h;
    price->usd_h.value = (offer[(price->offers - 1) / 2].usd_h.value + price->usd_h.value) / 2;
    for (int i = 0; i < price->offers; i++) {
        if (transferred)
            offer[i].usd_h.grade = tr_grade_worse(offer[i].usd_h.grade, TR_GRADE_TRANSFERRED);
        price->usd_h.grade = tr_grade_worse(price->usd_h.grade, offer[i].usd_h.grade);
    }
    price->provider = offer[price->middle].provider;
    price->low = offer[0].usd_h.value;
    price->high = offer[price->offers - 1].usd_h.value;
    price->chip = chip;
    price->transferred = transferred;
}

static void find_dates(const struct tr_price *price, const char **oldest, const char **newest)
{
    *oldest = *newest = price->offer[0].usd_h.date;
    for (int i = 1; i < price->offers; i++) {
        const char *date = price->offer[i].usd_h.date;
        *oldest = strcmp(date, *oldest) < 0 ? date : *oldest;
        *newest = strcmp(date, *newest) > 0 ? date : *newest;
    }
}

const char *tr_offered_name(const struct tr_offered *offer, char buf[TR_OFFERED_NAME_BYTES])
{
    snprintf(buf, TR_OFFERED_NAME_BYTES, "%.30s%s%.30s", offer->provider, offer->instance[0] ? " " : "", offer->instance);
    return buf;
}

const char *tr_price_words(const struct tr_price *price, char buf[TR_PRICE_WORDS_BYTES])
{
    const char *oldest, *newest;
    char middle[TR_OFFERED_NAME_BYTES], of[48] = "";
    TR_ASSERT(price->offers > 0);
    if (price->transferred)
        snprintf(of, sizeof of, " of %.40s", price->chip->id);
    find_dates(price, &oldest, &newest);
    bool one_month = strncmp(oldest, newest, 7) == 0;
    tr_offered_name(&price->offer[price->middle], middle);
    if (price->offers == 1)
        snprintf(buf, TR_PRICE_WORDS_BYTES, "one offer%s, %s: %s", of, newest, middle);
    else
        snprintf(buf, TR_PRICE_WORDS_BYTES, "median of %d offers%s, %.7s%s%.7s, $%.2f to $%.2f; in the middle %s", price->offers, of, oldest,
                 one_month ? "" : " to ", one_month ? "" : newest, price->low, price->high, middle);
    return buf;
}

bool tr_price_is_dearer(const struct tr_price *price, const struct tr_price *on_demand)
{
    return tr_known(&price->usd_h) && tr_known(&on_demand->usd_h) && price->usd_h.value > on_demand->usd_h.value;
}

/* What the same seller takes for the same machine; NULL: not known. */
static const struct tr_offered *same_offered(const struct tr_price *price, const struct tr_offered *offer)
{
    for (int i = 0; i < price->offers; i++)
        if (tr_names_equal(price->offer[i].provider, offer->provider) && tr_names_equal(price->offer[i].instance, offer->instance))
            return &price->offer[i];
    return NULL;
}

const char *tr_price_dearer_words(const struct tr_price *price, const struct tr_price *on_demand, char buf[TR_PRICE_WORDS_BYTES])
{
    const char *oldest, *newest, *oldest_there, *newest_there, *there = tr_commitment_name(on_demand->commitment);
    char name[TR_OFFERED_NAME_BYTES], same[128] = "";
    buf[0] = 0;
    if (!tr_price_is_dearer(price, on_demand))
        return buf;
    find_dates(price, &oldest, &newest);
    find_dates(on_demand, &oldest_there, &newest_there);
    const struct tr_offered *middle = &price->offer[price->middle], *own = same_offered(on_demand, middle);
    if (own)
        snprintf(same, sizeof same, " (%s %s: $%.2f, %s)", tr_offered_name(own, name), there, own->usd_h.value, own->usd_h.date);
    snprintf(buf, TR_PRICE_WORDS_BYTES, "; %sdearer than %s, so nobody would take it%s", strcmp(newest, newest_there) < 0 ? "older, and " : "",
             there, same);
    return buf;
}

/* Whether anybody of that name sells anything; nearest: the one that is spelled almost so. */
static enum tr_status check_provider(const struct tr_offer *offers, int count, const char *provider,
                                     struct tr_err *err)
{
    enum { NAMES_MAX = 512 };
    const char *names[NAMES_MAX];
    int used = 0;
    for (int i = 0; i < count; i++) {
        if (tr_names_equal(offers[i].provider, provider))
            return TR_OK;
        bool there = false;
        for (int j = 0; j < used && !there; j++)
            there = strcmp(names[j], offers[i].provider) == 0;
        if (!there && used < NAMES_MAX)
            names[used++] = offers[i].provider;
    }
    int nearest = tr_nearest(provider, names, used);
    return tr_fail(err, TR_BAD_INPUT, "no prices of a provider \"%.60s\"%s%s%s", provider,
                   nearest < 0 ? ": `trine show prices` lists them" : "; did you mean ",
                   nearest < 0 ? "" : names[nearest], nearest < 0 ? "" : "?");
}

/* Offers of the system or of its chip, then of the chip that this one is like. */
static void search(const struct tr_offer *offers, int count, const struct tr_system *system,
                   const struct tr_price_query *query, struct tr_price *price)
{
    const char *provider = query->provider && query->provider[0] ? query->provider : NULL;
    for (const struct tr_entry *chip = system->chip.entry; chip; chip = chip->base)
        for (enum match how = MATCH_SYSTEM; how < MATCHES; how++) {
            for (int i = 0; i < count; i++) {
                const struct tr_fact *usd_h = &offers[i].usd_h[query->commitment];
                if (!tr_known(usd_h) || !matches(&offers[i], system, chip, provider, how))
                    continue;
                if (!is_too_new(usd_h->date, query->date))
                    add_offered(price, &offers[i], usd_h);
                else if (!price->since[0] || strcmp(usd_h->date, price->since) < 0)
                    memcpy(price->since, usd_h->date, sizeof price->since);
            }
            if (price->offers) {
                price->since[0] = 0;
                choose(price, chip, chip != system->chip.entry);
                return;
            }
        }
}

enum tr_status tr_price_find(const struct tr_catalog *catalog, const struct tr_system *system,
                             const struct tr_price_query *query, struct tr_price *out, struct tr_err *err)
{
    TR_ASSERT(query->commitment >= 0 && query->commitment < TR_COMMITMENT_COUNT);
    if (query->date && query->date[0] && !tr_is_date(query->date))
        return tr_fail(err, TR_BAD_INPUT, "\"%.40s\" is no date: 2025, 2025-06 or 2025-06-15", query->date);
    int count = tr_catalog_count(catalog, TR_SECTION_PRICES);
    struct tr_offer *offers = calloc((size_t)count + 1, sizeof *offers);
    if (!offers)
        return tr_fail(err, TR_FAILED, "out of memory for %d prices", count);
    enum tr_status status = TR_OK;
    for (int i = 0; status == TR_OK && i < count; i++)
        status = tr_offer_read(tr_catalog_entry(catalog, TR_SECTION_PRICES, i), &offers[i], err);
    if (status == TR_OK && query->provider && query->provider[0])
        status = check_provider(offers, count, query->provider, err);
    if (status == TR_OK) {
        struct tr_price price = {.provider = "", .commitment = query->commitment};
        search(offers, count, system, query, &price);
        *out = price;
    }
    free(offers);
    return status;
}
