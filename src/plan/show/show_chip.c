/* Chips, and what follows from their data sheets. */
#include "plan/show/inside.h"
#include "silicon/chip/derive.h"
#include "silicon/cost/cost.h"

#include <math.h>

struct tr_system tr_chip_alone(const struct tr_chip *chip)
{
    return (struct tr_system){.id = chip->id, .name = chip->name, .operator_id = "", .entry = chip->entry, .chip = *chip,
                              .chips_per_node = 1};
}

enum tr_status tr_chip_price(const struct tr_showing *s, const struct tr_chip *chip, enum tr_commitment commitment,
                             struct tr_price *out)
{
    const struct tr_system alone = tr_chip_alone(chip);
    struct tr_price_query query = {.commitment = commitment, .date = s->options->date};
    return tr_price_find(s->catalog, &alone, &query, out, s->err);
}

/* --- the list --- */

static void write_chip_row(struct tr_table *table, const struct tr_chip *chip, const struct tr_price *price)
{
    static const enum tr_rate shown[] = {TR_RATE_BF16, TR_RATE_FP8, TR_RATE_FP4};
    char value[TR_QUANTITY_BYTES];
    tr_table_cell(table, "%s", chip->id);
    tr_table_cell(table, "%lld%s", (long long)chip->year, chip->announced ? ", announced" : "");
    for (size_t i = 0; i < 3; i++) {
        const struct tr_fact *rate = &chip->rate_flop_s[shown[i]];
        if (i == 0 && !tr_known(rate))
            rate = &chip->rate_flop_s[TR_RATE_FP16];
        tr_cell_number(table, 0, tr_known(rate) ? rate->value / 1e12 : NAN);
    }
    tr_table_cell(table, "%s", tr_fact_text(&chip->memory_bytes, TR_UNIT_BYTES, value));
    tr_table_cell(table, "%s", tr_fact_text(&chip->memory_bytes_s, TR_UNIT_BYTES_S, value));
    tr_table_cell(table, "%s", tr_fact_text(&chip->scaleup_bytes_s, TR_UNIT_BYTES_S, value));
    tr_table_cell(table, "%s", tr_fact_text(&chip->tdp_w, TR_UNIT_POWER, value));
    if (tr_known(&price->usd_h))
        tr_table_cell(table, "%s%.2f", price->chip == chip->entry ? "" : "~", price->usd_h.value);
    else
        tr_table_cell(table, "-");
    tr_table_cell(table, "%s", chip->name);
}

static void write_chip_json(struct tr_json *json, const struct tr_chip *chip, const struct tr_price *price)
{
    int count;
    const struct tr_field *fields = tr_chip_fields(&count);
    tr_json_string(json, "id", chip->id);
    tr_json_string(json, "name", chip->name);
    tr_json_string(json, "vendor", chip->vendor);
    tr_json_int(json, "year", chip->year);
    tr_json_bool(json, "announced", chip->announced);
    tr_json_bool(json, "datacenter", chip->market == TR_MARKET_DATACENTER);
    tr_json_string(json, "like", chip->entry->base ? chip->entry->base->id : NULL);
    tr_aliases_json(chip->entry, json);
    tr_json_object(json, "facts");
    tr_facts_json(fields, count, chip, json);
    tr_json_end(json);
    tr_fact_json(json, "on_demand", &price->usd_h, TR_UNIT_USD_H);
}

static enum tr_status list_chip(struct tr_showing *s, const struct tr_entry *entry, struct tr_table *table)
{
    struct tr_chip chip;
    struct tr_price price;
    enum tr_status status = tr_chip_read(entry, &chip, s->err);
    if (status == TR_OK)
        status = tr_chip_price(s, &chip, TR_COMMITMENT_ON_DEMAND, &price);
    if (status != TR_OK)
        return status;
    if (table) {
        write_chip_row(table, &chip, &price);
        return TR_OK;
    }
    tr_json_object(&s->json, NULL);
    write_chip_json(&s->json, &chip, &price);
    tr_json_end(&s->json);
    return TR_OK;
}

enum tr_status tr_show_chips(struct tr_showing *s)
{
    static const struct tr_listing listing = {
        TR_SECTION_CHIPS,
        {{"chip", TR_LEFT}, {"year", TR_LEFT}, {"bf16 TFLOP/s", TR_RIGHT}, {"fp8", TR_RIGHT}, {"fp4", TR_RIGHT},
         {"memory", TR_RIGHT}, {"bandwidth", TR_RIGHT}, {"links", TR_RIGHT}, {"power", TR_RIGHT}, {"$/h", TR_RIGHT},
         {"name", TR_LEFT}},
        list_chip,
        "\nRates are dense (fp16 where there is no bf16); links: per direction, all of a chip; $/h: median offer on demand, "
        "~ of the chip that it is like.\n`trine show chip NAME`: every number with its source.\n"};
    return tr_show_list(s, &listing);
}

/* --- one --- */

struct facts {
    struct tr_chip chip;
    struct tr_rates rates;
    struct tr_price price[TR_COMMITMENT_COUNT];
    double cache_bytes_s; /* NAN: nobody fitted it */
    enum tr_grade cache_grade;
    struct tr_export export;
};

static enum tr_status gather(struct tr_showing *s, struct facts *f)
{
    enum tr_status status = tr_chip_find(s->catalog, s->name, &f->chip, s->err);
    if (status == TR_OK)
        status = tr_rates_make(&f->chip, &f->rates, s->err);
    for (int i = 0; status == TR_OK && i < TR_COMMITMENT_COUNT; i++)
        status = tr_chip_price(s, &f->chip, (enum tr_commitment)i, &f->price[i]);
    if (status != TR_OK)
        return status;
    const struct tr_gemm_rates *gemm = &f->rates.gemm[TR_FIT_BF16];
    f->cache_grade = gemm->grade;
    f->cache_bytes_s = gemm->grade < TR_GRADE_ASSUMED ? gemm->feed_b_clk * f->rates.cores * f->rates.clock_hz : NAN;
    tr_export_derive(&f->chip, &f->export);
    return TR_OK;
}

/* Dollars for 1e15 dense operations a second, an hour of them. */
static double usd_pflop_hour(const struct facts *f, enum tr_rate rate)
{
    const struct tr_fact *usd = &f->price[TR_COMMITMENT_ON_DEMAND].usd_h, *peak = &f->chip.rate_flop_s[rate];
    return tr_known(usd) && tr_known(peak) ? usd->value / (peak->value / 1e15) : NAN;
}

/* A large product, as the cost model has it. */
static bool reached(const struct facts *f, enum tr_rate rate, struct tr_cost *cost)
{
    static const int formats[TR_RATE_COUNT] = {
        [TR_RATE_FP64] = -1, [TR_RATE_FP32] = -1, [TR_RATE_TF32] = -1, [TR_RATE_BF16] = TR_FORMAT_BF16,
        [TR_RATE_FP16] = TR_FORMAT_FP16, [TR_RATE_FP8] = TR_FORMAT_FP8, [TR_RATE_FP6] = -1,
        [TR_RATE_FP4] = TR_FORMAT_NVFP4, [TR_RATE_INT8] = TR_FORMAT_INT8,
    };
    enum { LARGE = 8192 };
    if (formats[rate] < 0 || !tr_cost_can(&f->rates, (enum tr_format)formats[rate]))
        return false;
    *cost = tr_cost_gemm_only(&f->rates, (enum tr_format)formats[rate], LARGE, LARGE, LARGE, 1);
    return true;
}

static void write_ridges(const struct facts *f, struct tr_text *out)
{
    static const char *const heads[] = {"peak", "memory", "B/FLOP", "cache", "links", "host", "$/PFLOP-h", "reached"};
    struct tr_table table = {0};
    char value[TR_QUANTITY_BYTES];
    tr_table_column(&table, "type", TR_LEFT);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        tr_table_column(&table, heads[i], TR_RIGHT);
    for (enum tr_rate rate = 0; rate < TR_RATE_COUNT; rate++) {
        const struct tr_fact *peak = &f->chip.rate_flop_s[rate];
        struct tr_cost cost;
        if (!tr_known(peak))
            continue;
        tr_table_cell(&table, "%s", tr_rate_name(rate));
        tr_table_cell(&table, "%s", tr_fact_text(peak, TR_UNIT_FLOP_S, value));
        double ridge = tr_chip_ridge(&f->chip, rate, TR_LEVEL_MEMORY);
        tr_cell_number(&table, 0, ridge);
        tr_cell_number(&table, 5, 1 / ridge);
        tr_cell_number(&table, 0, peak->value / f->cache_bytes_s);
        tr_cell_number(&table, 0, tr_chip_ridge(&f->chip, rate, TR_LEVEL_LINKS));
        tr_cell_number(&table, 0, tr_chip_ridge(&f->chip, rate, TR_LEVEL_HOST));
        tr_cell_number(&table, 2, usd_pflop_hour(f, rate));
        if (reached(f, rate, &cost))
            tr_table_cell(&table, "%.0f %% (%s)", 100 * cost.flop / cost.time_s / peak->value, tr_grade_name(cost.grade));
        else
            tr_table_cell(&table, "-");
    }
    tr_text_append(out, "\nridge points: FLOP for each byte of memory, cache, links and host at which both take the same "
                        "time\n");
    tr_table_text(&table, out);
    tr_table_free(&table);
    tr_text_append(out, "B/FLOP is of memory; reached: share of the peak in a product of 8192 x 8192 x 8192, by the cost "
                        "model; $: median offer on demand.\n");
    if (isfinite(f->cache_bytes_s))
        tr_text_printf(out, "cache: %s to its cores, as fitted (%s)\n",
                       tr_print_quantity(value, TR_UNIT_BYTES_S, f->cache_bytes_s), tr_grade_name(f->cache_grade));
}

void tr_prices_text(const struct tr_price price[TR_COMMITMENT_COUNT], const struct tr_entry *chip, struct tr_text *out)
{
    for (int i = 0; i < TR_COMMITMENT_COUNT; i++) {
        const struct tr_price *p = &price[i];
        char words[TR_PRICE_WORDS_BYTES], dearer[TR_PRICE_WORDS_BYTES];
        if (!tr_known(&p->usd_h))
            continue;
        tr_text_printf(out, "%-12s$%.2f/h, %s%s", tr_commitment_name((enum tr_commitment)i), p->usd_h.value, tr_price_words(p, words),
                       tr_price_dearer_words(p, &price[TR_COMMITMENT_ON_DEMAND], dearer));
        if (p->chip != chip)
            tr_text_printf(out, ", for %s, which it is like", p->chip->id);
        tr_text_char(out, '\n');
    }
}

static void write_export(const struct facts *f, struct tr_text *out)
{
    const struct tr_export *e = &f->export;
    struct tr_table table = {0};
    tr_text_printf(out, "\nexport rules of the United States: arithmetic on the numbers above, not legal advice\n");
    tr_text_printf(out, "TPP %.0f (%s)", e->tpp, tr_rate_name(e->tpp_rate));
    if (e->tpp_fp6 > e->tpp)
        tr_text_printf(out, ", %.0f if fp6 counts", e->tpp_fp6);
    if (isnan(e->density))
        tr_text_append(out, ", performance density not known (area of its dies)");
    else
        tr_text_printf(out, ", performance density %.2f", e->density);
    tr_text_printf(out, ", links %.0f GB/s in both directions\n", e->io_bytes_s / 1e9);
    tr_table_column(&table, "rule of", TR_LEFT);
    tr_table_column(&table, "until", TR_LEFT);
    tr_table_column(&table, "class", TR_LEFT);
    tr_table_column(&table, "because", TR_LEFT);
    tr_table_column(&table, "rule", TR_LEFT);
    for (enum tr_export_rule rule = 0; rule < TR_EXPORT_RULES; rule++) {
        const struct tr_export_rule_info *info = tr_export_rule_info(rule);
        struct tr_export_verdict verdict;
        tr_export_verdict(e, rule, &verdict);
        tr_table_cell(&table, "%s", info->date);
        tr_table_cell(&table, "%s", info->until ? info->until : "");
        tr_table_cell(&table, "%s", verdict.class);
        tr_table_cell(&table, "%s", verdict.why);
        tr_table_cell(&table, "%s", info->cite);
    }
    tr_table_text(&table, out);
    tr_table_free(&table);
}

static enum tr_status write_text(struct tr_showing *s, const struct facts *f)
{
    const struct tr_chip *chip = &f->chip;
    struct tr_text *out = s->out;
    struct tr_source_list sources = {.count = 0};
    int count;
    const struct tr_field *fields = tr_chip_fields(&count);
    tr_text_printf(out, "%s (%s)%s\n", chip->name, chip->id, chip->announced ? ", announced: its numbers are promises" : "");
    tr_text_printf(out, "made by     %s, %lld%s%s\n", chip->vendor, (long long)chip->year, chip->process[0] ? ", " : "",
                   chip->process);
    tr_aliases_text(chip->entry, out);
    if (chip->entry->base)
        tr_text_printf(out, "like        %s\n", chip->entry->base->id);
    if (chip->memory_type[0])
        tr_text_printf(out, "memory      %s\n", chip->memory_type);
    if (chip->scaleup_name[0])
        tr_text_printf(out, "links       %s\n", chip->scaleup_name);
    if (chip->host_name[0])
        tr_text_printf(out, "host        %s\n", chip->host_name);
    tr_prices_text(f->price, chip->entry, out);
    if (chip->note)
        tr_text_printf(out, "note        %s\n", chip->note);
    tr_text_char(out, '\n');
    tr_facts_table(fields, count, chip, out);
    write_ridges(f, out);
    write_export(f, out);
    tr_sources_add(&sources, fields, count, chip);
    enum tr_status status = tr_show_kernels(s, chip, &sources);
    tr_sources_text(&sources, out);
    return status;
}

static void write_derived_json(const struct facts *f, struct tr_json *json)
{
    tr_json_object(json, "derived");
    tr_json_double(json, "cache_byte_s", f->cache_bytes_s);
    tr_json_array(json, "types");
    for (enum tr_rate rate = 0; rate < TR_RATE_COUNT; rate++) {
        const struct tr_fact *peak = &f->chip.rate_flop_s[rate];
        struct tr_cost cost;
        if (!tr_known(peak))
            continue;
        tr_json_object(json, NULL);
        tr_json_string(json, "type", tr_rate_name(rate));
        tr_json_object(json, "ridge_flop_byte");
        for (enum tr_level level = 0; level < TR_LEVEL_COUNT; level++)
            tr_json_double(json, tr_level_name(level), tr_chip_ridge(&f->chip, rate, level));
        tr_json_double(json, "cache", peak->value / f->cache_bytes_s);
        tr_json_end(json);
        tr_json_double(json, "memory_byte_flop", 1 / tr_chip_ridge(&f->chip, rate, TR_LEVEL_MEMORY));
        tr_json_double(json, "usd_pflop_hour", usd_pflop_hour(f, rate));
        bool known = reached(f, rate, &cost);
        tr_json_double(json, "reached_share", known ? cost.flop / cost.time_s / peak->value : NAN);
        tr_json_string(json, "reached_grade", known ? tr_grade_name(cost.grade) : NULL);
        tr_json_end(json);
    }
    tr_json_end(json);
    tr_json_end(json);
}

static void write_prices_json(const struct facts *f, struct tr_json *json)
{
    tr_json_object(json, "prices");
    for (int i = 0; i < TR_COMMITMENT_COUNT; i++) {
        const struct tr_price *p = &f->price[i];
        tr_json_object(json, tr_commitment_name((enum tr_commitment)i));
        tr_fact_json(json, "usd_h", &p->usd_h, TR_UNIT_USD_H);
        tr_json_int(json, "offers", p->offers);
        tr_json_double(json, "low", p->offers ? p->low : NAN);
        tr_json_double(json, "high", p->offers ? p->high : NAN);
        tr_json_end(json);
    }
    tr_json_end(json);
}

static void write_export_json(const struct facts *f, struct tr_json *json)
{
    const struct tr_export *e = &f->export;
    tr_json_object(json, "export");
    tr_json_string(json, "warning", "arithmetic, not legal advice");
    tr_json_double(json, "tpp", e->tpp);
    tr_json_string(json, "tpp_type", tr_rate_name(e->tpp_rate));
    tr_json_double(json, "performance_density", e->density);
    tr_json_double(json, "links_byte_s", e->io_bytes_s);
    tr_json_array(json, "rules");
    for (enum tr_export_rule rule = 0; rule < TR_EXPORT_RULES; rule++) {
        const struct tr_export_rule_info *info = tr_export_rule_info(rule);
        struct tr_export_verdict verdict;
        tr_export_verdict(e, rule, &verdict);
        tr_json_object(json, NULL);
        tr_json_string(json, "date", info->date);
        tr_json_string(json, "until", info->until);
        tr_json_string(json, "cite", info->cite);
        tr_json_string(json, "rule", info->says);
        tr_json_string(json, "class", verdict.class);
        tr_json_string(json, "because", verdict.why);
        tr_json_end(json);
    }
    tr_json_end(json);
    tr_json_end(json);
}

enum tr_status tr_show_chip(struct tr_showing *s)
{
    struct facts facts;
    enum tr_status status = gather(s, &facts);
    if (status != TR_OK)
        return status;
    if (!s->options->json)
        return write_text(s, &facts);
    tr_json_object(&s->json, NULL);
    write_chip_json(&s->json, &facts.chip, &facts.price[TR_COMMITMENT_ON_DEMAND]);
    write_prices_json(&facts, &s->json);
    write_derived_json(&facts, &s->json);
    write_export_json(&facts, &s->json);
    status = tr_show_kernels(s, &facts.chip, NULL);
    tr_json_end(&s->json);
    return status;
}
