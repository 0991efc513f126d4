#include "silicon/cost/exchange.h"

#include "base/fmath.h"

#include <stdio.h>
#include <string.h>

const int64_t tr_exchange_bytes[TR_EXCHANGE_SIZES] = {4 << 10, 64 << 10, 1 << 20, 16 << 20};
static const char *const size_names[TR_EXCHANGE_SIZES] = {"4KiB", "64KiB", "1MiB", "16MiB"};

bool tr_exchange_measures(enum tr_coll_kind kind)
{
    return kind == TR_COLL_BROADCAST || kind == TR_COLL_ALL_GATHER || kind == TR_COLL_ALL_TO_ALL || kind == TR_COLL_REDUCE_SCATTER ||
           kind == TR_COLL_ALL_REDUCE || kind == TR_COLL_SEND;
}

/* ---- prices ------------------------------------------------------------------------------------------------------ */

static double between(const double *time_s, double bytes)
{
    int i = 0;
    if (bytes <= (double)tr_exchange_bytes[0])
        return time_s[0];
    while (i + 2 < TR_EXCHANGE_SIZES && bytes > (double)tr_exchange_bytes[i + 1])
        i++;
    if (bytes > (double)tr_exchange_bytes[i + 1])
        return time_s[i + 1] * bytes / (double)tr_exchange_bytes[i + 1];
    double low = (double)tr_exchange_bytes[i], high = (double)tr_exchange_bytes[i + 1];
    double share = tr_log(bytes / low) / tr_log(high / low);
    return time_s[i] * tr_pow(time_s[i + 1] / time_s[i], share);
}

double tr_exchange_time(const struct tr_exchange_rates *exchange, enum tr_coll_kind kind, double sent_bytes)
{
    enum tr_coll_kind priced = kind == TR_COLL_RECV ? TR_COLL_SEND : tr_exchange_measures(kind) ? kind : TR_COLL_ALL_GATHER;
    const double *time_s = exchange->time_s[priced];
    for (int i = 0; i < TR_EXCHANGE_SIZES; i++)
        if (time_s[i] <= 0)
            return 0;
    return between(time_s, sent_bytes);
}

double tr_exchange_work(const struct tr_exchange_rates *exchange, enum tr_coll_kind kind, double sent_bytes)
{
    return tr_exchange_time(exchange, kind, sent_bytes) - tr_exchange_time(exchange, kind, 0);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

enum { FIELD_CHIP, FIELD_TRANSPORT, FIELD_RANKS, FIELD_SHARED, FIELD_BESIDE, FIELDS_FIRST, PATH_BYTES = 32,
       FIELDS_MAX = FIELDS_FIRST + TR_COLL_KIND_COUNT * TR_EXCHANGE_SIZES };

struct fields {
    struct tr_field field[FIELDS_MAX];
    char path[FIELDS_MAX][PATH_BYTES];
    int count;
};

struct target {
    const char *chip, *transport;
    struct tr_fact ranks, shared, beside, time[TR_COLL_KIND_COUNT][TR_EXCHANGE_SIZES];
};

static void add_time(struct fields *f, enum tr_coll_kind kind, int size)
{
    char *path = f->path[f->count];
    snprintf(path, PATH_BYTES, "%s.%s", tr_coll_kind_name(kind), size_names[size]);
    f->field[f->count++] = (struct tr_field){.path = path, .kind = TR_FIELD_FACT, .unit = TR_UNIT_TIME, .min = 1e-9, .max = 1e3,
                                             .required = true, .help = "a call in which each rank sends so many bytes",
                                             .offset = offsetof(struct target, time) +
                                                       ((size_t)kind * TR_EXCHANGE_SIZES + (size_t)size) * sizeof(struct tr_fact)};
}

static void make_fields(struct fields *f)
{
    f->field[FIELD_CHIP] = (struct tr_field){.path = "chip", .kind = TR_FIELD_TEXT, .offset = offsetof(struct target, chip),
                                             .required = true, .help = "the entry of section chips"};
    f->field[FIELD_TRANSPORT] = (struct tr_field){.path = "transport", .kind = TR_FIELD_TEXT, .offset = offsetof(struct target, transport),
                                                  .required = true, .help = "threads of one process, or mpi"};
    f->field[FIELD_RANKS] = (struct tr_field){.path = "ranks", .kind = TR_FIELD_FACT, .unit = TR_UNIT_COUNT, .min = 2, .max = 65536,
                                              .offset = offsetof(struct target, ranks), .required = true, .help = "that exchanged bytes"};
    f->field[FIELD_SHARED] = (struct tr_field){.path = "shared", .kind = TR_FIELD_FACT, .unit = TR_UNIT_COUNT, .min = 1, .max = 100,
                                               .offset = offsetof(struct target, shared),
                                               .help = "times as long as alone work takes while the other ranks work too"};
    f->field[FIELD_BESIDE] = (struct tr_field){.path = "beside", .kind = TR_FIELD_FACT, .unit = TR_UNIT_TIME, .min = 0, .max = 1,
                                               .offset = offsetof(struct target, beside),
                                               .help = "that a rank loses to a small call which goes on beside its work"};
    f->count = FIELDS_FIRST;
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
        for (int size = 0; size < TR_EXCHANGE_SIZES && tr_exchange_measures((enum tr_coll_kind)kind); size++)
            add_time(f, (enum tr_coll_kind)kind, size);
}

enum tr_status tr_exchange_read(const struct tr_entry *entry, struct tr_exchange_rates *out, struct tr_err *err)
{
    struct target target = {.chip = "", .transport = ""};
    struct fields f;
    make_fields(&f);
    enum tr_status status = tr_entry_read(entry, "", f.field, f.count, &target, err);
    if (status != TR_OK)
        return status;
    if (strcmp(target.transport, "threads") != 0 && strcmp(target.transport, "mpi") != 0)
        return tr_entry_fail(entry, err, "transport: \"%.32s\" is neither threads nor mpi", target.transport);
    *out = (struct tr_exchange_rates){.id = entry->id, .chip = target.chip, .ranks = (int)target.ranks.value,
                                 .shared = tr_fact_or(&target.shared, 1), .beside_s = target.beside.value};
    strcpy(out->transport, target.transport);
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
        for (int size = 0; size < TR_EXCHANGE_SIZES; size++)
            out->time_s[kind][size] = target.time[kind][size].value;
    return TR_OK;
}

/* Whether a record of `it` ranks is nearer to what is wanted than one of `best` (0: none yet). */
static bool is_better(int it, int best, int wanted)
{
    if (best == 0)
        return true;
    return best >= wanted ? it >= wanted && it < best : it > best;
}

enum tr_status tr_exchange_find(const struct tr_catalog *catalog, const char *transport, int ranks, struct tr_exchange_rates *out,
                                struct tr_err *err)
{
    struct tr_exchange_rates best = {.ranks = 0}, it;
    for (int i = 0; i < tr_catalog_count(catalog, TR_SECTION_EXCHANGES); i++) {
        enum tr_status status = tr_exchange_read(tr_catalog_entry(catalog, TR_SECTION_EXCHANGES, i), &it, err);
        if (status != TR_OK)
            return status;
        if (strcmp(it.transport, transport) == 0 && is_better(it.ranks, best.ranks, ranks))
            best = it;
    }
    if (best.ranks == 0)
        return TR_NO;
    *out = best;
    return TR_OK;
}

void tr_exchange_yaml(const struct tr_exchange_rates *exchange, struct tr_text *out)
{
    tr_text_printf(out, "  %s:\n    chip: %s\n    source: calibration\n    transport: %s\n    ranks: %d\n    shared: %.4g\n    beside: %.4gs\n",
                   exchange->id, exchange->chip, exchange->transport, exchange->ranks, exchange->shared, exchange->beside_s);
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++) {
        if (!tr_exchange_measures((enum tr_coll_kind)kind))
            continue;
        tr_text_printf(out, "    %s: {", tr_coll_kind_name((enum tr_coll_kind)kind));
        for (int size = 0; size < TR_EXCHANGE_SIZES; size++)
            tr_text_printf(out, "%s%s: %.4gs", size ? ", " : "", size_names[size], exchange->time_s[kind][size]);
        tr_text_append(out, "}\n");
    }
}
