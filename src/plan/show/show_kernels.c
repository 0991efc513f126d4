/* What trine's own kernels, and ranks that exchange bytes, take on a chip that was calibrated: each number with what it is from. */
#include "base/os.h"
#include "plan/show/inside.h"
#include "silicon/cost/exchange.h"
#include "silicon/cost/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As the groups of an entry are called: prices by type, and those of cores that are apart. */
static const char *const types[] = {"f32", "bf16", "f32_apart", "bf16_apart"};
enum { TYPES = sizeof types / sizeof *types, PATH_BYTES = 64, WORDS_BYTES = 256 };

static const struct tr_kernel_price *price_of(const struct tr_kernel_rates *rates, int kind, int type)
{
    return type < TR_KERNEL_TYPES ? &rates->price[kind][type] : &rates->apart[kind][type - TR_KERNEL_TYPES];
}

/* The number at a path of the entry, with its source; not known where there is none. */
static struct tr_fact fact_at(const struct tr_entry *entry, const char *path, enum tr_unit unit, struct tr_source_list *sources)
{
    struct tr_fact fact = {.grade = TR_GRADE_NONE};
    struct tr_err ignored; /* the entry was read before */
    const struct tr_entry *holder;
    const struct tr_node *node = tr_entry_node(entry, path, &holder);
    if (node && tr_entry_fact(holder, node, unit, 0, INFINITY, &fact, &ignored) == TR_OK && tr_known(&fact))
        tr_source_add(sources, fact.source);
    return fact;
}

/* A kind's numbers have one source: its error's. */
static struct tr_fact error_of(const struct tr_entry *entry, int kind, int type, struct tr_source_list *sources)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s.%s.error", types[type], tr_op_operands((enum tr_op_kind)kind)->name);
    return fact_at(entry, path, TR_UNIT_RATIO, sources);
}

/* A rate, or the time of a start. */
static double value_of(const struct tr_kernel_term *term, double unit_s) { return term->unit == TR_UNIT_TIME ? unit_s : 1 / unit_s; }

/* ---- text -------------------------------------------------------------------------------------------------------- */

/* "calibration, 2026-11-27", "runs, 2026-11-28 (2.6 of them)". */
static void source_cell(struct tr_table *table, const struct tr_fact *fact, double runs)
{
    char of[32] = "";
    if (runs > 0)
        snprintf(of, sizeof of, " (%.2g of them)", runs);
    tr_table_cell(table, "%s%s%s%s", fact->source ? fact->source->id : "", fact->date[0] ? ", " : "", fact->date, of);
}

static void rates_cell(struct tr_table *table, int kind, const struct tr_kernel_price *price)
{
    const struct tr_kernel_term *terms;
    int count = tr_kernel_terms((enum tr_op_kind)kind, &terms);
    struct tr_text words = {0};
    char value[TR_QUANTITY_BYTES];
    for (int i = 0; i < count; i++)
        if (price->unit_s[i] > 0)
            tr_text_printf(&words, "%s%s %s%s", words.len ? ", " : "", terms[i].name,
                           tr_print_quantity(value, terms[i].unit, value_of(&terms[i], price->unit_s[i])), terms[i].unit == TR_UNIT_COUNT ? "/s" : "");
    tr_table_cell(table, "%s", tr_text_str(&words));
    tr_text_free(&words);
}

/* ", refined by 3 runs to 2026-11-27", and when these began, which is what the profile knows them by. */
static void write_refined(const struct tr_refined *refined, struct tr_text *out)
{
    char words[TR_REFINED_WORDS_BYTES], date[TR_DATE_BYTES];
    const char *at = refined->by ? refined->by : "";
    tr_text_append(out, tr_refined_words(refined, words));
    const char *before = ", which began ";
    for (char *end; *at; at = end, before = ", ") {
        double began_us = strtod(at, &end);
        if (end == at)
            break;
        tr_text_printf(out, "%s%s", before, tr_date(began_us / 1e6, date));
    }
    tr_text_char(out, '\n');
}

static void write_rates(const struct tr_entry *entry, const struct tr_kernel_rates *rates, struct tr_source_list *sources, struct tr_text *out)
{
    struct tr_table table = {0};
    tr_text_printf(out, "\ntrine's kernels with %d thread%s (%s): a step +- %.1f %%", rates->threads, rates->threads == 1 ? "" : "s", rates->id,
                   100 * rates->step_error);
    write_refined(&rates->refined, out);
    tr_table_column(&table, "operation", TR_LEFT);
    tr_table_column(&table, "type", TR_LEFT);
    tr_table_column(&table, "+-", TR_RIGHT);
    tr_table_column(&table, "source", TR_LEFT);
    tr_table_column(&table, "rates", TR_LEFT);
    for (int type = 0; type < TYPES; type++)
        for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++) {
            const struct tr_kernel_price *price = price_of(rates, kind, type);
            if (!price->known)
                continue;
            const struct tr_fact error = error_of(entry, kind, type, sources);
            tr_table_cell(&table, "%s", tr_op_operands((enum tr_op_kind)kind)->name);
            tr_table_cell(&table, "%s", types[type]);
            tr_table_cell(&table, "%.1f %%", 100 * price->error);
            source_cell(&table, &error, price->runs);
            rates_cell(&table, kind, price);
        }
    tr_table_text(&table, out);
    tr_table_free(&table);
}

static void write_exchange(const struct tr_entry *entry, const struct tr_exchange_rates *exchange, struct tr_source_list *sources, struct tr_text *out)
{
    char path[PATH_BYTES], bytes[TR_QUANTITY_BYTES], time[TR_QUANTITY_BYTES];
    struct tr_table table = {0};
    tr_text_printf(out, "\n%d ranks by %s (%s): others at work make it %.3g times as long", exchange->ranks, exchange->transport, exchange->id, exchange->shared);
    write_refined(&exchange->refined, out);
    tr_table_column(&table, "exchange", TR_LEFT);
    tr_table_column(&table, "bytes sent", TR_RIGHT);
    tr_table_column(&table, "takes", TR_RIGHT);
    tr_table_column(&table, "source", TR_LEFT);
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
        for (int size = 0; size < TR_EXCHANGE_SIZES && tr_exchange_measures((enum tr_coll_kind)kind); size++) {
            snprintf(path, sizeof path, "%s.%s", tr_coll_kind_name((enum tr_coll_kind)kind), tr_exchange_size_name(size));
            const struct tr_fact fact = fact_at(entry, path, TR_UNIT_TIME, sources);
            tr_table_cell(&table, "%s", tr_coll_kind_name((enum tr_coll_kind)kind));
            tr_table_cell(&table, "%s", tr_print_bytes(bytes, tr_exchange_bytes[size]));
            tr_table_cell(&table, "%s", tr_print_time(time, exchange->time_s[kind][size]));
            source_cell(&table, &fact, exchange->time_runs[kind][size]);
        }
    tr_table_text(&table, out);
    tr_table_free(&table);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void refined_json(const struct tr_refined *refined, struct tr_json *json)
{
    tr_json_string(json, "refined", tr_refined_runs(refined) ? refined->date : NULL);
    tr_json_string(json, "refined_by", tr_refined_runs(refined) ? refined->by : NULL);
}

static void price_json(const struct tr_entry *entry, const struct tr_kernel_rates *rates, int kind, int type, struct tr_json *json)
{
    struct tr_source_list unused = {.count = 0};
    const struct tr_kernel_price *price = price_of(rates, kind, type);
    const struct tr_fact error = error_of(entry, kind, type, &unused);
    const struct tr_kernel_term *terms;
    int count = tr_kernel_terms((enum tr_op_kind)kind, &terms);
    tr_json_object(json, NULL);
    tr_json_string(json, "operation", tr_op_operands((enum tr_op_kind)kind)->name);
    tr_json_string(json, "type", types[type]);
    tr_json_double(json, "error_80", price->error);
    tr_json_string(json, "source", error.source ? error.source->id : NULL);
    tr_json_string(json, "date", error.date[0] ? error.date : NULL);
    tr_json_double(json, "runs", price->runs);
    tr_json_object(json, "rates");
    for (int i = 0; i < count; i++)
        if (price->unit_s[i] > 0)
            tr_json_double(json, terms[i].name, value_of(&terms[i], price->unit_s[i]));
    tr_json_end(json);
    tr_json_end(json);
}

static void rates_json(const struct tr_entry *entry, const struct tr_kernel_rates *rates, struct tr_json *json)
{
    tr_json_object(json, NULL);
    tr_json_string(json, "id", rates->id);
    tr_json_int(json, "threads", rates->threads);
    tr_json_double(json, "step_error_80", rates->step_error);
    refined_json(&rates->refined, json);
    tr_json_array(json, "prices");
    for (int type = 0; type < TYPES; type++)
        for (int kind = 0; kind < TR_OP_KIND_COUNT; kind++)
            if (price_of(rates, kind, type)->known)
                price_json(entry, rates, kind, type, json);
    tr_json_end(json);
    tr_json_end(json);
}

static void exchange_json(const struct tr_entry *entry, const struct tr_exchange_rates *exchange, struct tr_json *json)
{
    char path[PATH_BYTES];
    struct tr_source_list unused = {.count = 0};
    tr_json_object(json, NULL);
    tr_json_string(json, "id", exchange->id);
    tr_json_string(json, "transport", exchange->transport);
    tr_json_int(json, "ranks", exchange->ranks);
    refined_json(&exchange->refined, json);
    tr_json_object(json, "times");
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
        for (int size = 0; size < TR_EXCHANGE_SIZES && tr_exchange_measures((enum tr_coll_kind)kind); size++) {
            snprintf(path, sizeof path, "%s.%s", tr_coll_kind_name((enum tr_coll_kind)kind), tr_exchange_size_name(size));
            const struct tr_fact fact = fact_at(entry, path, TR_UNIT_TIME, &unused);
            tr_fact_json(json, path, &fact, TR_UNIT_TIME);
        }
    tr_json_end(json);
    tr_json_end(json);
}

/* ---- all of a chip ----------------------------------------------------------------------------------------------- */

static enum tr_status show_rates(struct tr_showing *s, const struct tr_chip *chip, struct tr_source_list *sources)
{
    struct tr_kernel_rates rates;
    enum tr_status status = TR_OK;
    if (s->options->json)
        tr_json_array(&s->json, "kernels");
    for (int i = 0; i < tr_catalog_count(s->catalog, TR_SECTION_KERNELS) && status == TR_OK; i++) {
        const struct tr_entry *entry = tr_catalog_entry(s->catalog, TR_SECTION_KERNELS, i);
        status = tr_kernel_rates_read(entry, &rates, s->err);
        if (status != TR_OK || !tr_names_equal(rates.chip, chip->id))
            continue;
        if (s->options->json)
            rates_json(entry, &rates, &s->json);
        else
            write_rates(entry, &rates, sources, s->out);
    }
    if (s->options->json)
        tr_json_end(&s->json);
    return status;
}

static enum tr_status show_exchanges(struct tr_showing *s, const struct tr_chip *chip, struct tr_source_list *sources)
{
    struct tr_exchange_rates exchange;
    enum tr_status status = TR_OK;
    if (s->options->json)
        tr_json_array(&s->json, "exchanges");
    for (int i = 0; i < tr_catalog_count(s->catalog, TR_SECTION_EXCHANGES) && status == TR_OK; i++) {
        const struct tr_entry *entry = tr_catalog_entry(s->catalog, TR_SECTION_EXCHANGES, i);
        status = tr_exchange_read(entry, &exchange, s->err);
        if (status != TR_OK || !tr_names_equal(exchange.chip, chip->id))
            continue;
        if (s->options->json)
            exchange_json(entry, &exchange, &s->json);
        else
            write_exchange(entry, &exchange, sources, s->out);
    }
    if (s->options->json)
        tr_json_end(&s->json);
    return status;
}

enum tr_status tr_show_kernels(struct tr_showing *s, const struct tr_chip *chip, struct tr_source_list *sources)
{
    enum tr_status status = show_rates(s, chip, sources);
    return status == TR_OK ? show_exchanges(s, chip, sources) : status;
}
