#include "silicon/cost/exchange.h"

#include "base/fmath.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const int64_t tr_exchange_bytes[TR_EXCHANGE_SIZES] = {4 << 10, 64 << 10, 1 << 20, 16 << 20};
static const char *const size_names[TR_EXCHANGE_SIZES] = {"4KiB", "64KiB", "1MiB", "16MiB"};

const char *tr_exchange_size_name(int size) { return size_names[size]; }

bool tr_exchange_measures(enum tr_coll_kind kind)
{
    return kind == TR_COLL_BROADCAST || kind == TR_COLL_ALL_GATHER || kind == TR_COLL_ALL_TO_ALL || kind == TR_COLL_REDUCE_SCATTER ||
           kind == TR_COLL_ALL_REDUCE || kind == TR_COLL_SEND;
}

/* ---- prices ------------------------------------------------------------------------------------------------------ */

enum tr_coll_kind tr_exchange_priced(enum tr_coll_kind kind)
{
    return kind == TR_COLL_RECV ? TR_COLL_SEND : tr_exchange_measures(kind) ? kind : TR_COLL_ALL_GATHER;
}

double tr_exchange_weights(double sent_bytes, double weight[TR_EXCHANGE_SIZES])
{
    int i = 0;
    for (int size = 0; size < TR_EXCHANGE_SIZES; size++)
        weight[size] = 0;
    while (i + 1 < TR_EXCHANGE_SIZES && sent_bytes > (double)tr_exchange_bytes[i + 1])
        i++;
    double low = (double)tr_exchange_bytes[i];
    weight[i] = 1;
    if (sent_bytes <= low || i + 1 == TR_EXCHANGE_SIZES)
        return fmax(1, sent_bytes / low);
    weight[i + 1] = tr_log(sent_bytes / low) / tr_log((double)tr_exchange_bytes[i + 1] / low);
    weight[i] = 1 - weight[i + 1];
    return 1;
}

double tr_exchange_time(const struct tr_exchange_rates *exchange, enum tr_coll_kind kind, double sent_bytes)
{
    const double *time_s = exchange->time_s[tr_exchange_priced(kind)];
    double weight[TR_EXCHANGE_SIZES], time = tr_exchange_weights(sent_bytes, weight);
    for (int i = 0; i < TR_EXCHANGE_SIZES; i++) {
        if (time_s[i] <= 0)
            return 0;
        if (weight[i] > 0)
            time *= weight[i] == 1 ? time_s[i] : tr_pow(time_s[i], weight[i]);
    }
    return time;
}

double tr_exchange_work(const struct tr_exchange_rates *exchange, enum tr_coll_kind kind, double sent_bytes)
{
    return tr_exchange_time(exchange, kind, sent_bytes) - tr_exchange_time(exchange, kind, 0);
}

double tr_exchange_shared(const struct tr_exchange_rates *exchange, enum tr_op_kind kind)
{
    double times = exchange->work_times[kind];
    return exchange->shared * (times > 0 ? times : 1);
}

bool tr_exchange_set_apart(struct tr_exchange_rates *exchange, double hand_s)
{
    if (exchange->hand_s <= 0 || hand_s <= 2 * exchange->hand_s)
        return false;
    memset(exchange->work_times, 0, sizeof exchange->work_times);
    return true;
}

double tr_exchange_step_error(const struct tr_exchange_rates *exchange, double alone)
{
    return exchange->step_error > 0 ? exchange->step_error : alone + fmax(exchange->shared - 1, exchange->spread);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

enum { FIELD_CHIP, FIELD_TRANSPORT, FIELD_RANKS, FIELD_SHARED, FIELD_SPREAD, FIELD_BESIDE, FIELD_HAND, FIELD_REFINED, FIELD_REFINED_BY, FIELD_STEP_ERROR, FIELDS_FIRST,
       PATH_BYTES = 40, FIELDS_MAX = FIELDS_FIRST + 2 * TR_COLL_KIND_COUNT * TR_EXCHANGE_SIZES + 2 * TR_OP_KIND_COUNT };

struct fields {
    struct tr_field field[FIELDS_MAX];
    char path[FIELDS_MAX][PATH_BYTES];
    int count;
};

struct target {
    const char *chip, *transport;
    struct tr_refined refined;
    struct tr_fact ranks, shared, spread, beside, hand, step_error, time[TR_COLL_KIND_COUNT][TR_EXCHANGE_SIZES], time_runs[TR_COLL_KIND_COUNT][TR_EXCHANGE_SIZES],
        work_times[TR_OP_KIND_COUNT], work_runs[TR_OP_KIND_COUNT];
};

/* The path is in f->path[f->count] already. */
static void add_fact(struct fields *f, struct tr_field field, size_t offset)
{
    field.path = f->path[f->count];
    field.kind = TR_FIELD_FACT;
    field.offset = offset;
    f->field[f->count++] = field;
}

static void add_time(struct fields *f, enum tr_coll_kind kind, int size)
{
    const char *name = tr_coll_kind_name(kind);
    size_t at = ((size_t)kind * TR_EXCHANGE_SIZES + (size_t)size) * sizeof(struct tr_fact);
    snprintf(f->path[f->count], PATH_BYTES, "%s.%s", name, size_names[size]);
    add_fact(f, (struct tr_field){.unit = TR_UNIT_TIME, .min = 1e-9, .max = 1e3, .required = true,
                                  .help = "a call in which each rank sends so many bytes"}, offsetof(struct target, time) + at);
    snprintf(f->path[f->count], PATH_BYTES, "seen.%s.%s", name, size_names[size]);
    add_fact(f, (struct tr_field){.unit = TR_UNIT_RATIO, .min = 0, .max = TR_REFINED_RUNS_MAX, .help = "that refined it"},
             offsetof(struct target, time_runs) + at);
}

static void add_work(struct fields *f, enum tr_op_kind kind)
{
    const char *name = tr_op_operands(kind)->name;
    size_t at = (size_t)kind * sizeof(struct tr_fact);
    snprintf(f->path[f->count], PATH_BYTES, "work.%s.times", name);
    add_fact(f, (struct tr_field){.unit = TR_UNIT_RATIO, .min = .01, .max = 100, .help = "so many times `shared`"},
             offsetof(struct target, work_times) + at);
    snprintf(f->path[f->count], PATH_BYTES, "work.%s.runs", name);
    add_fact(f, (struct tr_field){.unit = TR_UNIT_RATIO, .min = 0, .max = TR_REFINED_RUNS_MAX, .help = "that said so"},
             offsetof(struct target, work_runs) + at);
}

static void make_fields(struct fields *f)
{
    f->field[FIELD_CHIP] = (struct tr_field){.path = "chip", .kind = TR_FIELD_TEXT, .offset = offsetof(struct target, chip),
                                             .required = true, .help = "the entry of section chips"};
    f->field[FIELD_TRANSPORT] = (struct tr_field){.path = "transport", .kind = TR_FIELD_TEXT, .offset = offsetof(struct target, transport),
                                                  .required = true, .help = "threads of one process, or mpi"};
    f->field[FIELD_RANKS] = (struct tr_field){.path = "ranks", .kind = TR_FIELD_FACT, .unit = TR_UNIT_COUNT, .min = 2, .max = 65536,
                                              .offset = offsetof(struct target, ranks), .required = true, .help = "that exchanged bytes"};
    f->field[FIELD_SHARED] = (struct tr_field){.path = "shared", .kind = TR_FIELD_FACT, .unit = TR_UNIT_COUNT, .min = 1, .max = TR_EXCHANGE_TIMES_MAX,
                                               .offset = offsetof(struct target, shared),
                                               .help = "times as long as alone work takes while the other ranks work too"};
    f->field[FIELD_SPREAD] = (struct tr_field){.path = "spread", .kind = TR_FIELD_FACT, .unit = TR_UNIT_RATIO, .min = 0, .max = TR_EXCHANGE_TIMES_MAX,
                                               .offset = offsetof(struct target, spread),
                                               .help = "how far that was from it in single visits to single programs"};
    f->field[FIELD_BESIDE] = (struct tr_field){.path = "beside", .kind = TR_FIELD_FACT, .unit = TR_UNIT_TIME, .min = 0, .max = 1,
                                               .offset = offsetof(struct target, beside),
                                               .help = "that a rank loses to a small call which goes on beside its work"};
    f->field[FIELD_HAND] = (struct tr_field){.path = "hand", .kind = TR_FIELD_FACT, .unit = TR_UNIT_TIME, .min = 0, .max = 1,
                                             .offset = offsetof(struct target, hand),
                                             .help = "a line of a cache from one core to another when it was measured"};
    f->field[FIELD_REFINED] = (struct tr_field){.path = "refined", .kind = TR_FIELD_TEXT, .offset = offsetof(struct target, refined.date),
                                                .help = "the day when runs refined it"};
    f->field[FIELD_REFINED_BY] = (struct tr_field){.path = "refined_by", .kind = TR_FIELD_TEXT, .offset = offsetof(struct target, refined.by),
                                                   .help = "the attempts of these runs"};
    f->field[FIELD_STEP_ERROR] = (struct tr_field){.path = "step_error", .kind = TR_FIELD_FACT, .unit = TR_UNIT_RATIO, .min = 0, .max = 100,
                                                   .offset = offsetof(struct target, step_error),
                                                   .help = "half width of the 80 % interval of a step of these ranks"};
    f->count = FIELDS_FIRST;
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
        for (int size = 0; size < TR_EXCHANGE_SIZES && tr_exchange_measures((enum tr_coll_kind)kind); size++)
            add_time(f, (enum tr_coll_kind)kind, size);
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
        add_work(f, (enum tr_op_kind)kind);
}

enum tr_status tr_exchange_read(const struct tr_entry *entry, struct tr_exchange_rates *out, struct tr_err *err)
{
    struct target target = {.chip = "", .transport = "", .refined = {"", ""}};
    struct fields f;
    make_fields(&f);
    enum tr_status status = tr_entry_read(entry, "", f.field, f.count, &target, err);
    if (status == TR_OK)
        status = tr_refined_check(&target.refined, entry, err);
    if (status != TR_OK)
        return status;
    if (strcmp(target.transport, "threads") != 0 && strcmp(target.transport, "mpi") != 0)
        return tr_entry_fail(entry, err, "transport: \"%.32s\" is neither threads nor mpi", target.transport);
    *out = (struct tr_exchange_rates){.id = entry->id, .chip = target.chip, .ranks = (int)target.ranks.value,
                                 .shared = tr_fact_or(&target.shared, 1), .spread = target.spread.value, .beside_s = target.beside.value, .hand_s = target.hand.value,
                                 .refined = target.refined, .step_error = target.step_error.value};
    strcpy(out->transport, target.transport);
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
        for (int size = 0; size < TR_EXCHANGE_SIZES; size++) {
            out->time_s[kind][size] = target.time[kind][size].value;
            out->time_runs[kind][size] = target.time_runs[kind][size].value;
        }
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++) {
        out->work_times[kind] = target.work_times[kind].value;
        out->work_runs[kind] = target.work_runs[kind].value;
    }
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

static void put_times(const struct tr_exchange_rates *exchange, int kind, struct tr_text *out)
{
    tr_text_printf(out, "    %s: {", tr_coll_kind_name((enum tr_coll_kind)kind));
    for (int size = 0; size < TR_EXCHANGE_SIZES; size++) {
        bool runs = exchange->time_runs[kind][size] > 0;
        tr_text_printf(out, "%s%s: %s%.4gs%s", size ? ", " : "", size_names[size], runs ? "{value: " : "", exchange->time_s[kind][size],
                       runs ? ", source: runs}" : "");
    }
    tr_text_append(out, "}\n");
}

static void put_seen(const struct tr_exchange_rates *exchange, int kind, struct tr_text *out)
{
    const char *before = "{";
    for (int size = 0; size < TR_EXCHANGE_SIZES; size++)
        if (exchange->time_runs[kind][size] > 0) {
            if (*before == '{')
                tr_text_printf(out, "      %s: ", tr_coll_kind_name((enum tr_coll_kind)kind));
            tr_text_printf(out, "%s%s: %.3g", before, size_names[size], exchange->time_runs[kind][size]);
            before = ", ";
        }
    if (*before != '{')
        tr_text_append(out, "}\n");
}

static void put_work(const struct tr_exchange_rates *exchange, struct tr_text *out)
{
    bool any = false;
    for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++) {
        if (!(exchange->work_times[kind] > 0))
            continue;
        if (!any)
            tr_text_append(out, "    work:\n");
        any = true;
        tr_text_printf(out, "      %s: {times: %.4g", tr_op_operands((enum tr_op_kind)kind)->name, exchange->work_times[kind]);
        if (exchange->work_runs[kind] > 0)
            tr_text_printf(out, ", runs: %.3g, source: runs", exchange->work_runs[kind]);
        tr_text_append(out, "}\n");
    }
}

static void put_refined(const struct tr_exchange_rates *exchange, struct tr_text *out)
{
    tr_text_printf(out, "    refined: %s\n    refined_by: \"%s\"\n    step_error: {value: %.3g, source: runs}\n", exchange->refined.date,
                   exchange->refined.by, exchange->step_error);
    tr_text_append(out, "    seen:\n");
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
        put_seen(exchange, kind, out);
}

void tr_exchange_yaml(const struct tr_exchange_rates *exchange, struct tr_text *out)
{
    tr_text_printf(out, "  %s:\n    chip: %s\n    source: calibration\n    transport: %s\n    ranks: %d\n    shared: %.4g\n    beside: %.4gs\n",
                   exchange->id, exchange->chip, exchange->transport, exchange->ranks, exchange->shared, exchange->beside_s);
    if (exchange->spread > 0)
        tr_text_printf(out, "    spread: %.3g\n", exchange->spread);
    if (exchange->hand_s > 0)
        tr_text_printf(out, "    hand: %.4gs\n", exchange->hand_s);
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
        if (tr_exchange_measures((enum tr_coll_kind)kind))
            put_times(exchange, kind, out);
    put_work(exchange, out);
    if (tr_refined_runs(&exchange->refined) > 0)
        put_refined(exchange, out);
}
