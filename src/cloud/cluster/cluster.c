#include "cloud/cluster/cluster.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (int)(sizeof(array) / sizeof *(array))

/* --- networks --- */

#define NET(field) .offset = offsetof(struct tr_network, field)

static const struct tr_field network_fields[] = {
    {"name", TR_FIELD_TEXT, NET(name), .required = true, .help = "as people write it"},
    {"kind", TR_FIELD_ENUM, NET(kind), .choices = tr_link_names, .required = true, .help = "infiniband, roce, ..."},
    {"port", TR_FIELD_FACT, NET(port_bytes_s), .unit = TR_UNIT_BYTES_S, .min = 1e6, .max = 1e15, .required = true,
     .help = "what one port carries, per direction"},
    {"latency", TR_FIELD_FACT, NET(latency_s), .unit = TR_UNIT_TIME, .min = 0, .max = 1, .help = "of one message"},
    {"in_network", TR_FIELD_FLAG, NET(in_network), .help = "true: its switches can reduce"},
};

enum tr_status tr_network_read(const struct tr_entry *entry, struct tr_network *out, struct tr_err *err)
{
    struct tr_network network = {.id = entry->id, .entry = entry};
    enum tr_status status = tr_entry_read(entry, "", network_fields, COUNT(network_fields), &network, err);
    if (status == TR_OK)
        *out = network;
    return status;
}

enum tr_status tr_network_find(const struct tr_catalog *catalog, const char *name, struct tr_network *out,
                               struct tr_err *err)
{
    const struct tr_entry *entry;
    enum tr_status status = tr_catalog_find(catalog, TR_SECTION_NETWORKS, name, &entry, err);
    return status == TR_OK ? tr_network_read(entry, out, err) : status;
}

/* --- tiers --- */

#define TIER(field) .offset = offsetof(struct tr_tier, field)

static const struct tr_field tier_fields[] = {
    {"network", TR_FIELD_TEXT, TIER(network), .help = "the network it is made of: kind, port, latency are from there"},
    {"kind", TR_FIELD_ENUM, TIER(kind), .choices = tr_link_names, .help = "nvlink, ici, infiniband, ..."},
    {"topology", TR_FIELD_ENUM, TIER(topology), .choices = tr_topology_names, .help = "how its members are joined"},
    {"domain", TR_FIELD_WHOLE, TIER(domain_chips), .min = 1, .max = 1e9,
     .help = "chips that it joins; absent: as many as there are"},
    {"bandwidth", TR_FIELD_FACT, TIER(bytes_s), .unit = TR_UNIT_BYTES_S, .min = 1e3, .max = 1e18,
     .help = "per direction and chip; absent: nics x port / chips of a node"},
    {"latency", TR_FIELD_FACT, TIER(latency_s), .unit = TR_UNIT_TIME, .min = 0, .max = 1, .help = "of one message"},
    {"oversubscription", TR_FIELD_FACT, TIER(oversubscription), .unit = TR_UNIT_COUNT, .min = 1, .max = 1e4,
     .help = "7: a seventh of what enters the level below can leave it"},
    {"nics", TR_FIELD_FACT, TIER(nics), .unit = TR_UNIT_COUNT, .min = 1, .max = 1024, .help = "of a node"},
    {"nic", TR_FIELD_FACT, TIER(nic_bytes_s), .unit = TR_UNIT_BYTES_S, .min = 1e3, .max = 1e15,
     .help = "rate of one NIC, where it is not the network's port"},
    {"in_network", TR_FIELD_FLAG, TIER(in_network), .help = "true: its switches can reduce"},
    {"torus", TR_FIELD_GROUP, 0, .help = "chips along each dimension: [16, 16, 16]"},
};

static const struct tr_node *in_group(const struct tr_entry *entry, const char *group, const char *key)
{
    char path[2 * TR_DOC_PATH_BYTES];
    snprintf(path, sizeof path, "%s.%s", group, key);
    return tr_entry_node(entry, path, NULL);
}

static enum tr_status read_torus(const struct tr_entry *entry, const char *path, struct tr_tier *tier,
                                 struct tr_err *err)
{
    const struct tr_node *list = in_group(entry, path, "torus");
    if (!list) {
        if (tier->topology == TR_TOPOLOGY_TORUS)
            return tr_entry_fail(entry, err, "%s is a torus: `torus` says how many chips along each dimension", path);
        return TR_OK;
    }
    if (list->kind != TR_NODE_ARRAY || list->count < 1 || list->count > TR_TORUS_DIMENSIONS_MAX)
        return tr_node_fail(list, err, "expected a list of 1 to %d counts of chips, such as [16, 16]",
                            TR_TORUS_DIMENSIONS_MAX);
    int64_t chips = 1;
    for (int64_t i = 0; i < list->count; i++) {
        enum tr_status status = tr_node_int(&list->children[i], 1, 1 << 14, &tier->torus[i], err);
        if (status != TR_OK)
            return status;
        chips *= tier->torus[i]; /* at most 2^56 */
    }
    tier->dimensions = (int)list->count;
    if (tier->domain_chips && tier->domain_chips != chips)
        return tr_node_fail(list, err, "joins %lld chips, but its domain is %lld", (long long)chips,
                            (long long)tier->domain_chips);
    tier->domain_chips = chips;
    return TR_OK;
}

/* What the tier does not say itself is the network's. */
static enum tr_status take_network(const struct tr_entry *entry, const char *path, struct tr_tier *tier,
                                   struct tr_err *err)
{
    struct tr_network network;
    struct tr_err why;
    if (tr_network_find(entry->catalog, tier->network, &network, &why))
        return tr_node_fail(in_group(entry, path, "network"), err, "%s", why.text);
    if (!in_group(entry, path, "kind"))
        tier->kind = network.kind;
    if (!in_group(entry, path, "in_network"))
        tier->in_network = network.in_network;
    if (!tr_known(&tier->latency_s))
        tier->latency_s = network.latency_s;
    if (!tr_known(&tier->nic_bytes_s))
        tier->nic_bytes_s = network.port_bytes_s;
    return TR_OK;
}

static enum tr_status read_tier(const struct tr_entry *entry, const char *key, int64_t chips_per_node,
                                struct tr_tier *tier, struct tr_err *err)
{
    char path[TR_DOC_PATH_BYTES];
    snprintf(path, sizeof path, "tiers.%s", key);
    *tier = (struct tr_tier){.name = key, .network = ""};
    enum tr_status status = tr_entry_read(entry, path, tier_fields, COUNT(tier_fields), tier, err);
    if (status == TR_OK && tier->network[0])
        status = take_network(entry, path, tier, err);
    if (status == TR_OK)
        status = read_torus(entry, path, tier, err);
    if (status != TR_OK)
        return status;
    if (tier->kind == TR_LINK_NONE)
        return tr_entry_fail(entry, err, "%s: its kind is missing (kind: nvlink, or network: ib-ndr)", path);
    if (!tr_known(&tier->bytes_s)) {
        if (!tr_known(&tier->nics) || !tr_known(&tier->nic_bytes_s))
            return tr_entry_fail(entry, err, "%s: its rate is missing (bandwidth: 450GB/s, or nics: 8 and a network)",
                                 path);
        tier->bytes_s = tier->nics;
        tier->bytes_s.value *= tier->nic_bytes_s.value / (double)chips_per_node;
        if (tier->nic_bytes_s.grade > tier->bytes_s.grade)
            tier->bytes_s.grade = tier->nic_bytes_s.grade;
    }
    if (!tr_known(&tier->oversubscription))
        tier->oversubscription = (struct tr_fact){.value = 1, .grade = TR_GRADE_ASSUMED,
                                                  .note = "nothing is said, so full bisection"};
    return TR_OK;
}

static bool is_wider(const struct tr_tier *a, const struct tr_tier *b)
{
    return b->domain_chips && (!a->domain_chips || a->domain_chips > b->domain_chips);
}

static bool is_network(const struct tr_tier *tier)
{
    return tier->network[0] || tr_known(&tier->nics) || (tier->domain_chips == 0 && tier->kind >= TR_LINK_INFINIBAND);
}

/* Before a network comes what it joins. */
static void add_chip_alone(struct tr_system *system)
{
    struct tr_tier alone = system->tier[0];
    alone.name = "chip", alone.domain_chips = 1, alone.in_network = false;
    memmove(&system->tier[1], &system->tier[0], (size_t)system->tier_count * sizeof alone);
    system->tier[0] = alone;
    system->tier_count++;
}

static enum tr_status read_tiers(const struct tr_entry *entry, struct tr_system *system, struct tr_err *err)
{
    const char *keys[TR_TIERS_MAX - 1];
    int count;
    enum tr_status status = tr_entry_keys(entry, "tiers", keys, TR_TIERS_MAX - 1, &count, err);
    if (status != TR_OK)
        return status;
    if (count == 0)
        return tr_entry_fail(entry, err, "the key \"tiers\" is missing: what its chips are joined by");
    for (int i = 0; i < count; i++) {
        struct tr_tier tier;
        status = read_tier(entry, keys[i], system->chips_per_node, &tier, err);
        if (status != TR_OK)
            return status;
        int at = i;
        for (; at > 0 && is_wider(&system->tier[at - 1], &tier); at--)
            system->tier[at] = system->tier[at - 1];
        system->tier[at] = tier;
    }
    system->tier_count = count;
    for (int i = 1; i < count; i++)
        if (!is_wider(&system->tier[i], &system->tier[i - 1]))
            return tr_entry_fail(entry, err, "tiers.%s and tiers.%s join the same number of chips",
                                 system->tier[i - 1].name, system->tier[i].name);
    if (is_network(&system->tier[0]))
        add_chip_alone(system);
    return TR_OK;
}

/* --- systems --- */

#define AT(field) .offset = offsetof(struct tr_system, field)

static const struct tr_field system_fields[] = {
    {"name", TR_FIELD_TEXT, AT(name), .required = true, .help = "as people write it"},
    {"operator", TR_FIELD_TEXT, AT(operator_id), .help = "whose site it stands in"},
    {"chip", TR_FIELD_GROUP, 0, .required = true, .help = "id of its chip"},
    {"chips_per_node", TR_FIELD_WHOLE, AT(chips_per_node), .min = 1, .max = 1024, .required = true,
     .help = "chips behind one host"},
    {"power", TR_FIELD_FACT, AT(power_w), .unit = TR_UNIT_POWER, .min = 1, .max = 1e8,
     .help = "of a node under load"},
    {"host_memory", TR_FIELD_FACT, AT(host_memory_bytes), .unit = TR_UNIT_BYTES, .min = 1e6, .max = 1e15,
     .help = "of a node"},
    {"storage", TR_FIELD_FACT, AT(storage_bytes_s), .unit = TR_UNIT_BYTES_S, .min = 1e3, .max = 1e15,
     .help = "of a node, to where checkpoints go"},
    {"tiers", TR_FIELD_GROUP, 0, .help = "links from the chip outwards, by name"},
};

enum tr_status tr_system_read(const struct tr_entry *entry, struct tr_system *out, struct tr_err *err)
{
    struct tr_system read = {.id = entry->id, .operator_id = "", .entry = entry}, *system = &read;
    enum tr_status status = tr_entry_read(entry, "", system_fields, COUNT(system_fields), system, err);
    if (status == TR_OK)
        status = tr_doc_string(entry->node, "note", TR_OPTIONAL, &system->note, err);
    if (status != TR_OK)
        return status;
    const struct tr_entry *chip = NULL;
    status = tr_entry_named(entry, "chip", TR_SECTION_CHIPS, &chip, err);
    if (status == TR_OK)
        status = tr_chip_read(chip, &system->chip, err);
    if (status == TR_OK)
        status = read_tiers(entry, system, err);
    if (status == TR_OK)
        *out = *system;
    return status;
}

enum tr_status tr_system_find(const struct tr_catalog *catalog, const char *name, struct tr_system *out,
                              struct tr_err *err)
{
    const struct tr_entry *entry;
    enum tr_status status = tr_catalog_find(catalog, TR_SECTION_SYSTEMS, name, &entry, err);
    return status == TR_OK ? tr_system_read(entry, out, err) : status;
}

enum tr_status tr_system_check_all(const struct tr_catalog *catalog, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int i = 0; status == TR_OK && i < tr_catalog_count(catalog, TR_SECTION_NETWORKS); i++) {
        struct tr_network network;
        status = tr_network_read(tr_catalog_entry(catalog, TR_SECTION_NETWORKS, i), &network, err);
    }
    for (int i = 0; status == TR_OK && i < tr_catalog_count(catalog, TR_SECTION_SYSTEMS); i++) {
        struct tr_system system;
        status = tr_system_read(tr_catalog_entry(catalog, TR_SECTION_SYSTEMS, i), &system, err);
    }
    return status;
}

const struct tr_field *tr_system_fields(int *count)
{
    *count = COUNT(system_fields);
    return system_fields;
}

const struct tr_field *tr_tier_fields(int *count)
{
    *count = COUNT(tier_fields);
    return tier_fields;
}

const struct tr_field *tr_network_fields(int *count)
{
    *count = COUNT(network_fields);
    return network_fields;
}

/* What such a chip usually stands in. */
static void usual_system(const struct tr_chip *chip, int64_t chips_per_node, struct tr_system *out)
{
    enum { USUAL_CHIPS = 8, USUAL_LINK = 32, NETWORK_OLD = 25, NETWORK_NEW = 50, YEAR_NEW = 2022 }; /* GB/s */
    double network = (chip->year < YEAR_NEW ? NETWORK_OLD : NETWORK_NEW) * 1e9;
    *out = (struct tr_system){.id = chip->id, .name = chip->name, .operator_id = "", .chip = *chip, .tier_count = 2,
                              .chips_per_node = chips_per_node ? chips_per_node : USUAL_CHIPS};
    out->tier[0] = (struct tr_tier){.name = "links", .network = "", .kind = chip->scaleup_kind,
                                    .topology = TR_TOPOLOGY_SWITCHED, .domain_chips = out->chips_per_node,
                                    .bytes_s = chip->scaleup_bytes_s};
    if (!tr_known(&chip->scaleup_bytes_s))
        out->tier[0].bytes_s = (struct tr_fact){.value = USUAL_LINK * 1e9, .grade = TR_GRADE_ASSUMED};
    int64_t domain = tr_known(&chip->scaleup_domain) ? (int64_t)chip->scaleup_domain.value : 0;
    if (domain > out->chips_per_node)
        out->tier[0].domain_chips = domain;
    out->tier[1] = (struct tr_tier){.name = "network", .network = "", .kind = TR_LINK_INFINIBAND,
                                    .topology = TR_TOPOLOGY_FAT_TREE,
                                    .bytes_s = {.value = network, .grade = TR_GRADE_ASSUMED},
                                    .oversubscription = {.value = 1, .grade = TR_GRADE_ASSUMED}};
}

enum tr_status tr_system_around(const struct tr_catalog *catalog, const struct tr_chip *chip, int64_t chips_per_node,
                                struct tr_system *out, struct tr_err *err)
{
    for (int i = 0; i < tr_catalog_count(catalog, TR_SECTION_SYSTEMS); i++) {
        struct tr_system system;
        enum tr_status status = tr_system_read(tr_catalog_entry(catalog, TR_SECTION_SYSTEMS, i), &system, err);
        if (status != TR_OK)
            return status;
        if (system.chip.entry != chip->entry || (chips_per_node && system.chips_per_node != chips_per_node))
            continue;
        *out = system;
        return TR_OK;
    }
    usual_system(chip, chips_per_node, out);
    return TR_OK;
}

int tr_system_tier_of(const struct tr_system *system, int64_t chips)
{
    for (int i = 0; i < system->tier_count; i++)
        if (system->tier[i].domain_chips == 0 || system->tier[i].domain_chips >= chips)
            return i;
    return system->tier_count - 1;
}

int64_t tr_system_max_chips(const struct tr_system *system)
{
    return system->tier[system->tier_count - 1].domain_chips;
}
