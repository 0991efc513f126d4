/* Where machines stand, and what breaks there. */
#include "cloud/cost/cost.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#define COUNT(array) (int)(sizeof(array) / sizeof *(array))

/* --- sites --- */

#define SITE(field) .offset = offsetof(struct tr_place, field)

static const struct tr_field site_fields[] = {
    {"name", TR_FIELD_TEXT, SITE(name), .required = true, .help = "as people write it"},
    {"pue", TR_FIELD_FACT, SITE(pue), .unit = TR_UNIT_COUNT, .min = 1, .max = 10,
     .help = "power of the building / power of what computes"},
    {"carbon", TR_FIELD_FACT, SITE(carbon_g_kwh), .unit = TR_UNIT_CARBON, .min = 0, .max = 1e4,
     .help = "CO2 equivalent of the grid"},
    {"load", TR_FIELD_FACT, SITE(load), .unit = TR_UNIT_RATIO, .min = .01, .max = 2,
     .help = "share of a node's rated power that training draws"},
    {"overhead", TR_FIELD_FACT, SITE(overhead), .unit = TR_UNIT_COUNT, .min = 1, .max = 10,
     .help = "with switches, storage and heads / the nodes alone"},
    {"server", TR_FIELD_FACT, SITE(server), .unit = TR_UNIT_COUNT, .min = 1, .max = 10,
     .help = "power of a node / power of its chips, where nobody says the former"},
    {"storage", TR_FIELD_FACT, SITE(storage_bytes_s), .unit = TR_UNIT_BYTES_S, .min = 1e3, .max = 1e15,
     .help = "of a node, to where checkpoints go, where a system does not say it"},
};

static enum tr_status read_site(const struct tr_entry *entry, struct tr_place *out, struct tr_err *err)
{
    struct tr_place site = {.id = entry->id, .entry = entry};
    enum tr_status status = tr_entry_read(entry, "", site_fields, COUNT(site_fields), &site, err);
    if (status == TR_OK)
        *out = site;
    return status;
}

enum tr_status tr_place_find(const struct tr_catalog *catalog, const char *name, struct tr_place *out,
                             struct tr_err *err)
{
    const struct tr_entry *entry;
    enum tr_status status = tr_catalog_find(catalog, TR_SECTION_SITES, name, &entry, err);
    return status == TR_OK ? read_site(entry, out, err) : status;
}

/* What `site` does not know is taken from the entry of that name, if there is one. */
static enum tr_status complete(const struct tr_catalog *catalog, const char *name, struct tr_place *site,
                               struct tr_err *err)
{
    const struct tr_entry *entry = name && name[0] ? tr_catalog_look(catalog, TR_SECTION_SITES, name) : NULL;
    struct tr_place other;
    enum tr_status status = entry ? read_site(entry, &other, err) : TR_OK;
    if (status != TR_OK || !entry)
        return status;
    if (!site->id) {
        *site = other;
        return TR_OK;
    }
    for (int i = 0; i < COUNT(site_fields); i++) {
        if (site_fields[i].kind != TR_FIELD_FACT)
            continue;
        struct tr_fact *fact = (struct tr_fact *)(void *)((char *)site + site_fields[i].offset);
        if (!tr_known(fact))
            memcpy(fact, (const char *)&other + site_fields[i].offset, sizeof *fact);
    }
    return TR_OK;
}

enum tr_status tr_place_for(const struct tr_catalog *catalog, const struct tr_system *system, const char *region,
                           struct tr_place *out, struct tr_err *err)
{
    struct tr_place site = {0};
    enum tr_status status = TR_OK;
    if (region && region[0])
        status = tr_place_find(catalog, region, &site, err);
    if (status == TR_OK)
        status = complete(catalog, system->operator_id, &site, err);
    if (status == TR_OK)
        status = complete(catalog, "anywhere", &site, err);
    if (status == TR_OK && !site.id)
        site.id = site.name = "nowhere";
    if (status == TR_OK)
        *out = site;
    return status;
}

const struct tr_fact *tr_place_storage(const struct tr_place *place, const struct tr_system *system)
{
    return place && !tr_known(&system->storage_bytes_s) ? &place->storage_bytes_s : &system->storage_bytes_s;
}

struct tr_fact tr_place_node_power(const struct tr_place *place, const struct tr_system *system)
{
    struct tr_fact power = system->power_w;
    if (tr_known(&power) || !place || !tr_known(&system->chip.tdp_w) || !tr_known(&place->server))
        return power;
    power = system->chip.tdp_w;
    power.value *= place->server.value * (double)system->chips_per_node;
    power.grade = tr_grade_worse(power.grade, place->server.grade);
    return power;
}

/* --- failures --- */

struct reading {
    struct tr_failures failures;
    const char *operator_id;
    const struct tr_entry *system_entry;
    int64_t chips;
    struct tr_fact span_s, interruptions;
};

#define AT(field) .offset = offsetof(struct reading, field)

static const struct tr_field failure_fields[] = {
    {"name", TR_FIELD_TEXT, AT(failures.name), .required = true, .help = "as people write it"},
    {"chip", TR_FIELD_GROUP, 0, .help = "id of the chip that it was"},
    {"system", TR_FIELD_GROUP, 0, .help = "id of the system that it was, or is to be used for"},
    {"operator", TR_FIELD_TEXT, AT(operator_id), .help = "whose spot market it was"},
    {"spot", TR_FIELD_FLAG, AT(failures.spot), .help = "true: instances were taken away, not broken"},
    {"chips", TR_FIELD_WHOLE, AT(chips), .min = 1, .max = 1e9, .help = "that were watched"},
    {"span", TR_FIELD_FACT, AT(span_s), .unit = TR_UNIT_TIME, .min = 1, .max = 1e12, .help = "for so long"},
    {"interruptions", TR_FIELD_FACT, AT(interruptions), .unit = TR_UNIT_COUNT, .min = 1, .max = 1e9,
     .help = "of jobs, that were seen"},
    {"chip_life", TR_FIELD_FACT, AT(failures.chip_life_s), .unit = TR_UNIT_TIME, .min = 1, .max = 1e15,
     .help = "mean time between interruptions of a job of one chip, in place of the three above"},
    {"group_life", TR_FIELD_FACT, AT(failures.group_life_s), .unit = TR_UNIT_TIME, .min = 1, .max = 1e12,
     .help = "on spot: of a job of any size"},
    {"recover", TR_FIELD_FACT, AT(failures.recover_s), .unit = TR_UNIT_TIME, .min = 0, .max = 1e7,
     .help = "from an interruption to the first step again, without reading the checkpoint"},
};

static enum tr_status read_failures(const struct tr_entry *entry, struct reading *out, struct tr_err *err)
{
    struct reading r = {.failures = {.id = entry->id, .entry = entry}};
    enum tr_status status = tr_entry_read(entry, "", failure_fields, COUNT(failure_fields), &r, err);
    if (status == TR_OK)
        status = tr_doc_string(entry->node, "note", TR_OPTIONAL, &r.failures.note, err);
    if (status == TR_OK)
        status = tr_entry_named(entry, "chip", TR_SECTION_CHIPS, &r.failures.chip, err);
    if (status == TR_OK)
        status = tr_entry_named(entry, "system", TR_SECTION_SYSTEMS, &r.system_entry, err);
    if (status != TR_OK)
        return status;
    struct tr_fact *life = &r.failures.chip_life_s;
    if (!tr_known(life) && tr_known(&r.span_s) && tr_known(&r.interruptions) && r.chips) {
        *life = r.interruptions;
        life->value = (double)r.chips * r.span_s.value / r.interruptions.value;
        life->grade = tr_grade_worse(life->grade, r.span_s.grade);
    }
    if (!tr_known(life) && !tr_known(&r.failures.group_life_s))
        return tr_entry_fail(entry, err,
                             "nothing says how often: `chips`, `span` and `interruptions`, or `chip_life`, or "
                             "on spot `group_life`");
    *out = r;
    return TR_OK;
}

enum tr_status tr_failures_find(const struct tr_catalog *catalog, const char *name, struct tr_failures *out,
                                struct tr_err *err)
{
    const struct tr_entry *entry;
    struct reading reading;
    enum tr_status status = tr_catalog_find(catalog, TR_SECTION_FAILURES, name, &entry, err);
    if (status == TR_OK)
        status = read_failures(entry, &reading, err);
    if (status == TR_OK)
        *out = reading.failures;
    return status;
}

enum { SUITS_ITSELF = 4 };

/* How well a record suits a system: 0 not at all. */
static int suits(const struct reading *r, const struct tr_system *system)
{
    if (r->system_entry)
        return r->system_entry == system->entry ? SUITS_ITSELF : 0;
    if (r->operator_id)
        return tr_names_equal(r->operator_id, system->operator_id) ? 3 : 0;
    return r->failures.chip && r->failures.chip == system->chip.entry ? 2 : 0;
}

/* Of what was counted elsewhere: here it is at best alike. */
static void transfer(struct tr_failures *failures)
{
    struct tr_fact *const facts[] = {&failures->chip_life_s, &failures->group_life_s, &failures->recover_s};
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        if (tr_known(facts[i]))
            facts[i]->grade = tr_grade_worse(facts[i]->grade, TR_GRADE_TRANSFERRED);
}

/* The best record, broken or taken away; a later one before an earlier one that suits as well. */
static enum tr_status best_record(const struct tr_catalog *catalog, const struct tr_system *system, bool spot,
                                  struct tr_failures *out, struct tr_err *err)
{
    int best = 0;
    for (int i = 0; i < tr_catalog_count(catalog, TR_SECTION_FAILURES); i++) {
        struct reading r;
        enum tr_status status = read_failures(tr_catalog_entry(catalog, TR_SECTION_FAILURES, i), &r, err);
        if (status != TR_OK)
            return status;
        int how = r.failures.spot == spot ? suits(&r, system) : 0;
        if (how && how >= best) {
            best = how;
            *out = r.failures;
        }
    }
    const struct tr_entry *entry = tr_catalog_look(catalog, TR_SECTION_FAILURES, spot ? "default-spot" : "default");
    enum tr_status status = !best && entry ? tr_failures_find(catalog, entry->id, out, err) : TR_OK;
    if (best < SUITS_ITSELF)
        transfer(out);
    return status;
}

enum tr_status tr_failures_for(const struct tr_catalog *catalog, const struct tr_system *system,
                               enum tr_commitment commitment, struct tr_failures *out, struct tr_err *err)
{
    struct tr_failures failures = {.id = "none", .name = "nothing is known"}, spot = {0};
    enum tr_status status = best_record(catalog, system, false, &failures, err);
    if (status == TR_OK && commitment == TR_COMMITMENT_SPOT)
        status = best_record(catalog, system, true, &spot, err);
    if (status != TR_OK)
        return status;
    failures.group_life_s = spot.group_life_s;
    if (tr_known(&spot.group_life_s) && tr_known(&spot.recover_s))
        failures.recover_s = spot.recover_s; /* most interruptions are then of that kind */
    *out = failures;
    return TR_OK;
}

double tr_failures_mtbf(const struct tr_failures *failures, int64_t chips)
{
    double rate = 0;
    if (tr_known(&failures->chip_life_s))
        rate += (double)chips / failures->chip_life_s.value;
    if (tr_known(&failures->group_life_s))
        rate += 1 / failures->group_life_s.value;
    return rate > 0 ? 1 / rate : INFINITY;
}

const struct tr_field *tr_place_fields(int *count)
{
    *count = COUNT(site_fields);
    return site_fields;
}

const struct tr_field *tr_failures_fields(int *count)
{
    *count = COUNT(failure_fields);
    return failure_fields;
}

enum tr_status tr_cloud_cost_check_all(const struct tr_catalog *catalog, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int i = 0; status == TR_OK && i < tr_catalog_count(catalog, TR_SECTION_PRICES); i++) {
        struct tr_offer offer;
        status = tr_offer_read(tr_catalog_entry(catalog, TR_SECTION_PRICES, i), &offer, err);
    }
    for (int i = 0; status == TR_OK && i < tr_catalog_count(catalog, TR_SECTION_SITES); i++) {
        struct tr_place site;
        status = read_site(tr_catalog_entry(catalog, TR_SECTION_SITES, i), &site, err);
    }
    for (int i = 0; status == TR_OK && i < tr_catalog_count(catalog, TR_SECTION_FAILURES); i++) {
        struct reading reading;
        status = read_failures(tr_catalog_entry(catalog, TR_SECTION_FAILURES, i), &reading, err);
    }
    return status;
}
