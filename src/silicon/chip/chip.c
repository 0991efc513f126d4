#include "silicon/chip/chip.h"

#include <stddef.h>
#include <string.h>

const char *const tr_link_names[] = {"none", "nvlink",     "infinity-fabric", "ici",      "neuronlink", "hccs",      "pcie",
                                     "infiniband", "roce", "ethernet",        "efa",      "omni-path",  "slingshot", NULL};
_Static_assert(sizeof tr_link_names / sizeof *tr_link_names == TR_LINK_KINDS + 1, "a name for each kind");

const char *const tr_topology_names[] = {"switched", "mesh", "cube", "ring", "torus", "rail", "fat-tree", NULL};
_Static_assert(sizeof tr_topology_names / sizeof *tr_topology_names == TR_TOPOLOGIES + 1, "a name for each topology");

static const struct {
    const char *name;
    int bits;
} rates[TR_RATE_COUNT] = {
    [TR_RATE_FP64] = {"fp64", 64}, [TR_RATE_FP32] = {"fp32", 32}, [TR_RATE_TF32] = {"tf32", 32},
    [TR_RATE_BF16] = {"bf16", 16}, [TR_RATE_FP16] = {"fp16", 16}, [TR_RATE_FP8] = {"fp8", 8},
    [TR_RATE_FP6] = {"fp6", 6},    [TR_RATE_FP4] = {"fp4", 4},    [TR_RATE_INT8] = {"int8", 8},
};

const char *tr_rate_name(enum tr_rate rate)
{
    TR_ASSERT(rate >= 0 && rate < TR_RATE_COUNT);
    return rates[rate].name;
}

int tr_rate_bits(enum tr_rate rate)
{
    TR_ASSERT(rate >= 0 && rate < TR_RATE_COUNT);
    return rates[rate].bits;
}

#define AT(field) .offset = offsetof(struct tr_chip, field)
#define RATE(word, which)                                                                                          \
    {"dense." word, TR_FIELD_FACT, AT(rate_flop_s[which]), .unit = TR_UNIT_FLOP_S, .min = 1e9, .max = 1e20,        \
     .help = "peak rate of dense matrix products of " word}

static const char *const market_names[] = {"datacenter", "consumer", NULL};

static const struct tr_field fields[] = {
    {"name", TR_FIELD_TEXT, AT(name), .required = true, .help = "as people write it"},
    {"vendor", TR_FIELD_TEXT, AT(vendor), .required = true, .help = "who makes it"},
    {"year", TR_FIELD_WHOLE, AT(year), .min = 1990, .max = 2100, .required = true, .help = "of launch"},
    {"market", TR_FIELD_ENUM, AT(market), .choices = market_names, .help = "whom it is sold to: datacenter, consumer"},
    {"announced", TR_FIELD_FLAG, AT(announced), .help = "true: not sold yet"},
    {"process", TR_FIELD_TEXT, AT(process), .help = "in which its logic is made"},
    {"die", TR_FIELD_FACT, AT(die_mm2), .unit = TR_UNIT_AREA, .min = 1, .max = 1e6, .help = "area of its logic dies"},
    {"tdp", TR_FIELD_FACT, AT(tdp_w), .unit = TR_UNIT_POWER, .min = 1, .max = 1e5, .help = "thermal design power"},
    {"price", TR_FIELD_FACT, AT(price_usd), .unit = TR_UNIT_USD, .min = 1, .max = 1e8, .help = "of one, at launch"},
    RATE("fp64", TR_RATE_FP64),
    RATE("fp32", TR_RATE_FP32),
    RATE("tf32", TR_RATE_TF32),
    RATE("bf16", TR_RATE_BF16),
    RATE("fp16", TR_RATE_FP16),
    RATE("fp8", TR_RATE_FP8),
    RATE("fp6", TR_RATE_FP6),
    RATE("fp4", TR_RATE_FP4),
    RATE("int8", TR_RATE_INT8),
    {"memory", TR_FIELD_FACT, AT(memory_bytes), .unit = TR_UNIT_BYTES, .min = 1e6, .max = 1e15, .required = true,
     .help = "capacity as sold"},
    {"memory_visible", TR_FIELD_FACT, AT(memory_visible_bytes), .unit = TR_UNIT_BYTES, .min = 1e6, .max = 1e15,
     .help = "capacity that the driver reports"},
    {"memory_type", TR_FIELD_TEXT, AT(memory_type), .help = "HBM3, GDDR6, ..."},
    {"memory_bandwidth", TR_FIELD_FACT, AT(memory_bytes_s), .unit = TR_UNIT_BYTES_S, .min = 1e6, .max = 1e18,
     .required = true, .help = "of its memory"},
    {"l2", TR_FIELD_FACT, AT(l2_bytes), .unit = TR_UNIT_BYTES, .min = 1e3, .max = 1e12,
     .help = "last cache that all cores share"},
    {"cores", TR_FIELD_FACT, AT(cores), .unit = TR_UNIT_COUNT, .min = 1, .max = 1e7,
     .help = "SMs, compute units, TensorCores"},
    {"clock", TR_FIELD_FACT, AT(clock_hz), .unit = TR_UNIT_HZ, .min = 1e6, .max = 1e11, .help = "boost clock"},
    {"exponentials", TR_FIELD_FACT, AT(exponentials), .unit = TR_UNIT_RATIO, .min = 1, .max = 1024,
     .help = "of a core in a clock; 16 unless said"},
    {"array_side", TR_FIELD_FACT, AT(array_side), .unit = TR_UNIT_COUNT, .min = 1, .max = 4096,
     .help = "rows and columns of its systolic arrays, where products are made in such"},
    {"scaleup.kind", TR_FIELD_ENUM, AT(scaleup_kind), .choices = tr_link_names, .help = "links to its neighbours"},
    {"scaleup.name", TR_FIELD_TEXT, AT(scaleup_name), .help = "the links' own name"},
    {"scaleup.bandwidth", TR_FIELD_FACT, AT(scaleup_bytes_s), .unit = TR_UNIT_BYTES_S, .min = 1e6, .max = 1e18,
     .help = "per direction, over all links of a chip"},
    {"scaleup.domain", TR_FIELD_FACT, AT(scaleup_domain), .unit = TR_UNIT_COUNT, .min = 1, .max = 1e7,
     .help = "how many chips they can join"},
    {"host.name", TR_FIELD_TEXT, AT(host_name), .help = "the link to the host"},
    {"host.bandwidth", TR_FIELD_FACT, AT(host_bytes_s), .unit = TR_UNIT_BYTES_S, .min = 1e6, .max = 1e15,
     .help = "per direction"},
};

const struct tr_field *tr_chip_fields(int *count)
{
    *count = sizeof fields / sizeof *fields;
    return fields;
}

enum tr_status tr_chip_read(const struct tr_entry *entry, struct tr_chip *out, struct tr_err *err)
{
    struct tr_chip chip = {.id = entry->id, .process = "", .memory_type = "", .scaleup_name = "", .host_name = "",
                           .entry = entry};
    enum tr_status status = tr_entry_read(entry, "", fields, sizeof fields / sizeof *fields, &chip, err);
    if (status == TR_OK)
        status = tr_doc_string(entry->node, "note", TR_OPTIONAL, &chip.note, err);
    if (status != TR_OK)
        return status;
    bool any = false;
    for (int i = 0; i < TR_RATE_COUNT; i++)
        any = any || tr_known(&chip.rate_flop_s[i]);
    if (!any)
        return tr_entry_fail(entry, err, "no rate of any number type: `dense` needs at least one, such as bf16: "
                             "312TFLOP/s");
    if (tr_known(&chip.memory_visible_bytes) && chip.memory_visible_bytes.value > chip.memory_bytes.value)
        return tr_entry_fail(entry, err, "memory_visible is more than memory");
    *out = chip;
    return TR_OK;
}

enum tr_status tr_chip_find(const struct tr_catalog *catalog, const char *name, struct tr_chip *out, struct tr_err *err)
{
    const struct tr_entry *entry;
    enum tr_status status = tr_catalog_find(catalog, TR_SECTION_CHIPS, name, &entry, err);
    return status == TR_OK ? tr_chip_read(entry, out, err) : status;
}

enum tr_status tr_chip_check_all(const struct tr_catalog *catalog, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int i = 0; status == TR_OK && i < tr_catalog_count(catalog, TR_SECTION_CHIPS); i++) {
        struct tr_chip chip;
        status = tr_chip_read(tr_catalog_entry(catalog, TR_SECTION_CHIPS, i), &chip, err);
    }
    return status;
}
