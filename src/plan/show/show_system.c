/* Networks and systems. */
#include "plan/show/inside.h"

#include <math.h>

/* --- networks --- */

static void write_network_json(struct tr_json *json, const struct tr_network *network)
{
    int count;
    const struct tr_field *fields = tr_network_fields(&count);
    tr_json_object(json, NULL);
    tr_json_string(json, "id", network->id);
    tr_json_string(json, "name", network->name);
    tr_json_string(json, "kind", tr_link_names[network->kind]);
    tr_json_bool(json, "in_network", network->in_network);
    tr_aliases_json(network->entry, json);
    tr_facts_json(fields, count, network, json);
    tr_json_end(json);
}

static void write_network_row(struct tr_table *table, const struct tr_network *network)
{
    char value[TR_QUANTITY_BYTES];
    tr_table_cell(table, "%s", network->id);
    tr_table_cell(table, "%s", tr_link_names[network->kind]);
    tr_table_cell(table, "%s", tr_print_bits_s(value, network->port_bytes_s.value));
    tr_table_cell(table, "%s", tr_fact_text(&network->latency_s, TR_UNIT_TIME, value));
    tr_table_cell(table, "%s", network->in_network ? "yes" : "");
    tr_table_cell(table, "%s", network->name);
}

static enum tr_status list_network(struct tr_showing *s, const struct tr_entry *entry, struct tr_table *table)
{
    struct tr_network network;
    enum tr_status status = tr_network_read(entry, &network, s->err);
    if (status == TR_OK && table)
        write_network_row(table, &network);
    else if (status == TR_OK)
        write_network_json(&s->json, &network);
    return status;
}

enum tr_status tr_show_networks(struct tr_showing *s)
{
    static const struct tr_listing listing = {
        TR_SECTION_NETWORKS,
        {{"network", TR_LEFT}, {"kind", TR_LEFT}, {"port", TR_RIGHT}, {"latency", TR_RIGHT}, {"reduces", TR_LEFT},
         {"name", TR_LEFT}},
        list_network, NULL};
    return tr_show_list(s, &listing);
}

enum tr_status tr_show_network(struct tr_showing *s)
{
    struct tr_network network;
    struct tr_source_list sources = {.count = 0};
    int count;
    const struct tr_field *fields = tr_network_fields(&count);
    enum tr_status status = tr_network_find(s->catalog, s->name, &network, s->err);
    if (status != TR_OK)
        return status;
    if (s->options->json) {
        write_network_json(&s->json, &network);
        return TR_OK;
    }
    tr_text_printf(s->out, "%s (%s), %s%s\n", network.name, network.id, tr_link_names[network.kind],
                   network.in_network ? ", its switches can reduce" : "");
    tr_aliases_text(network.entry, s->out);
    tr_text_char(s->out, '\n');
    tr_facts_table(fields, count, &network, s->out);
    tr_sources_add(&sources, fields, count, &network);
    tr_sources_text(&sources, s->out);
    return TR_OK;
}

/* --- systems --- */

static enum tr_status price_of(const struct tr_showing *s, const struct tr_system *system,
                               enum tr_commitment commitment, struct tr_price *out)
{
    struct tr_price_query query = {.commitment = commitment, .date = s->options->date};
    return tr_price_find(s->catalog, system, &query, out, s->err);
}

/* The first over which anything moves. */
static int first_tier(const struct tr_system *system) { return tr_system_has_links(system) ? 0 : 1; }

static void write_tier(const struct tr_tier *tier, struct tr_text *out)
{
    char value[TR_QUANTITY_BYTES];
    tr_text_printf(out, "%s %s", tier->network[0] ? tier->network : tr_link_names[tier->kind],
                   tr_fact_text(&tier->bytes_s, TR_UNIT_BYTES_S, value));
    if (tier->dimensions) {
        tr_text_append(out, " x ");
        for (int i = 0; i < tier->dimensions; i++)
            tr_text_printf(out, "%s%lld", i ? "." : "", (long long)tier->torus[i]);
    } else if (tier->domain_chips) {
        tr_text_printf(out, " x %lld", (long long)tier->domain_chips);
    }
    if (tier->oversubscription.value > 1)
        tr_text_printf(out, " (%g:1)", tier->oversubscription.value);
}

static enum tr_status write_system_row(struct tr_showing *s, struct tr_table *table, const struct tr_system *system)
{
    struct tr_text tiers = {0};
    struct tr_price price;
    char value[TR_QUANTITY_BYTES];
    enum tr_status status = price_of(s, system, TR_COMMITMENT_ON_DEMAND, &price);
    if (status != TR_OK)
        return status;
    for (int i = first_tier(system); i < system->tier_count; i++) {
        tr_text_append(&tiers, tiers.len ? ", " : "");
        write_tier(&system->tier[i], &tiers);
    }
    tr_table_cell(table, "%s", system->id);
    tr_table_cell(table, "%s", system->chip.id);
    tr_table_cell(table, "%lld", (long long)system->chips_per_node);
    tr_table_cell(table, "%s", tr_fact_text(&system->power_w, TR_UNIT_POWER, value));
    tr_cell_number(table, 2, tr_known(&price.usd_h) ? price.usd_h.value : NAN);
    tr_table_cell(table, "%s", tiers.at ? tiers.at : "");
    if (tr_text_failed(&tiers, s->err))
        status = TR_FAILED;
    tr_text_free(&tiers);
    return status;
}

static void write_tier_json(struct tr_json *json, const struct tr_tier *tier)
{
    int count;
    const struct tr_field *fields = tr_tier_fields(&count);
    tr_json_object(json, NULL);
    tr_json_string(json, "name", tier->name);
    tr_json_string(json, "network", tier->network[0] ? tier->network : NULL);
    tr_json_string(json, "kind", tr_link_names[tier->kind]);
    tr_json_string(json, "topology", tr_topology_names[tier->topology]);
    tr_json_int(json, "domain_chips", tier->domain_chips);
    tr_json_bool(json, "in_network", tier->in_network);
    tr_json_array(json, "torus");
    for (int i = 0; i < tier->dimensions; i++)
        tr_json_int(json, NULL, tier->torus[i]);
    tr_json_end(json);
    tr_facts_json(fields, count, tier, json);
    tr_json_end(json);
}

static enum tr_status write_system_json(struct tr_showing *s, const struct tr_system *system)
{
    struct tr_json *json = &s->json;
    int count;
    const struct tr_field *fields = tr_system_fields(&count);
    tr_json_object(json, NULL);
    tr_json_string(json, "id", system->id);
    tr_json_string(json, "name", system->name);
    tr_json_string(json, "operator", system->operator_id[0] ? system->operator_id : NULL);
    tr_json_string(json, "chip", system->chip.id);
    tr_json_int(json, "chips_per_node", system->chips_per_node);
    tr_aliases_json(system->entry, json);
    tr_facts_json(fields, count, system, json);
    tr_json_object(json, "usd_chip_hour");
    for (int i = 0; i < TR_COMMITMENT_COUNT; i++) {
        struct tr_price price;
        enum tr_status status = price_of(s, system, (enum tr_commitment)i, &price);
        if (status != TR_OK)
            return status;
        tr_fact_json(json, tr_commitment_name((enum tr_commitment)i), &price.usd_h, TR_UNIT_USD_H);
    }
    tr_json_end(json);
    tr_json_array(json, "tiers");
    for (int i = first_tier(system); i < system->tier_count; i++)
        write_tier_json(json, &system->tier[i]);
    tr_json_end(json);
    tr_json_end(json);
    return TR_OK;
}

static enum tr_status list_system(struct tr_showing *s, const struct tr_entry *entry, struct tr_table *table)
{
    struct tr_system system;
    enum tr_status status = tr_system_read(entry, &system, s->err);
    if (status != TR_OK)
        return status;
    return table ? write_system_row(s, table, &system) : write_system_json(s, &system);
}

enum tr_status tr_show_systems(struct tr_showing *s)
{
    static const struct tr_listing listing = {
        TR_SECTION_SYSTEMS,
        {{"system", TR_LEFT}, {"chip", TR_LEFT}, {"a node", TR_RIGHT}, {"power", TR_RIGHT}, {"$/chip-h", TR_RIGHT},
         {"links, from the chip outwards, per direction and chip", TR_LEFT}},
        list_system, NULL};
    return tr_show_list(s, &listing);
}

static void write_tiers(const struct tr_system *system, struct tr_source_list *sources, struct tr_text *out)
{
    int count;
    const struct tr_field *fields = tr_tier_fields(&count);
    for (int i = first_tier(system); i < system->tier_count; i++) {
        const struct tr_tier *tier = &system->tier[i];
        tr_text_printf(out, "\ntier %s: ", tier->name);
        write_tier(tier, out);
        tr_text_printf(out, ", %s%s\n", tr_topology_names[tier->topology],
                       tier->in_network ? ", its switches can reduce" : "");
        tr_facts_table(fields, count, tier, out);
        tr_sources_add(sources, fields, count, tier);
    }
}

enum tr_status tr_show_system(struct tr_showing *s)
{
    struct tr_system system;
    struct tr_source_list sources = {.count = 0};
    int count;
    const struct tr_field *fields = tr_system_fields(&count);
    enum tr_status status = tr_system_find(s->catalog, s->name, &system, s->err);
    if (status != TR_OK)
        return status;
    if (s->options->json)
        return write_system_json(s, &system);
    tr_text_printf(s->out, "%s (%s)\n", system.name, system.id);
    tr_aliases_text(system.entry, s->out);
    tr_text_printf(s->out, "chip        %s: %s\n", system.chip.id, system.chip.name);
    tr_text_printf(s->out, "a node      %lld chips\n", (long long)system.chips_per_node);
    if (system.operator_id[0])
        tr_text_printf(s->out, "operator    %s\n", system.operator_id);
    if (system.note)
        tr_text_printf(s->out, "note        %s\n", system.note);
    for (int i = 0; i < TR_COMMITMENT_COUNT; i++) {
        struct tr_price price;
        char words[TR_PRICE_WORDS_BYTES];
        status = price_of(s, &system, (enum tr_commitment)i, &price);
        if (status != TR_OK)
            return status;
        if (!tr_known(&price.usd_h))
            continue;
        tr_text_printf(s->out, "%-12s$%.2f a chip and hour, %s\n", tr_commitment_name((enum tr_commitment)i), price.usd_h.value,
                       tr_price_words(&price, words));
    }
    tr_text_char(s->out, '\n');
    tr_facts_table(fields, count, &system, s->out);
    tr_sources_add(&sources, fields, count, &system);
    write_tiers(&system, &sources, s->out);
    tr_sources_text(&sources, s->out);
    return TR_OK;
}
