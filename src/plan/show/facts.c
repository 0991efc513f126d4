#include "plan/show/inside.h"

#include <math.h>
#include <string.h>

/* Base units by name, in JSON. */
static const char *const unit_names[TR_UNIT_COUNT_OF] = {
    [TR_UNIT_BYTES] = "byte", [TR_UNIT_BYTES_S] = "byte/s", [TR_UNIT_TIME] = "s",      [TR_UNIT_COUNT] = "1",
    [TR_UNIT_FLOP] = "FLOP",  [TR_UNIT_FLOP_S] = "FLOP/s",  [TR_UNIT_USD] = "USD",     [TR_UNIT_USD_H] = "USD/h",
    [TR_UNIT_POWER] = "W",    [TR_UNIT_ENERGY] = "J",       [TR_UNIT_HZ] = "Hz",       [TR_UNIT_RATIO] = "1",
    [TR_UNIT_AREA] = "mm2",   [TR_UNIT_CARBON] = "g/kWh",
};

const char *tr_fact_text(const struct tr_fact *fact, enum tr_unit unit, char buf[TR_QUANTITY_BYTES])
{
    if (!tr_known(fact))
        return strcpy(buf, "-");
    if (unit == TR_UNIT_COUNT && fact->value != floor(fact->value)) { /* a quotient, such as PUE */
        snprintf(buf, TR_QUANTITY_BYTES, "%.4g", fact->value);
        return buf;
    }
    return tr_print_quantity(buf, unit, fact->value);
}

void tr_fact_json(struct tr_json *json, const char *key, const struct tr_fact *fact, enum tr_unit unit)
{
    if (!tr_known(fact)) {
        tr_json_null(json, key);
        return;
    }
    tr_json_object(json, key);
    tr_json_double(json, "value", fact->value);
    tr_json_string(json, "unit", unit_names[unit]);
    tr_json_string(json, "grade", tr_grade_name(fact->grade));
    tr_json_string(json, "source", fact->source ? fact->source->id : NULL);
    tr_json_string(json, "date", fact->date[0] ? fact->date : NULL);
    tr_json_string(json, "note", fact->note);
    tr_json_end(json);
}

static const struct tr_fact *fact_of(const struct tr_field *field, const void *of)
{
    return field->kind == TR_FIELD_FACT ? (const struct tr_fact *)(const void *)((const char *)of + field->offset) : NULL;
}

void tr_facts_table(const struct tr_field *fields, int count, const void *of, struct tr_text *out)
{
    static const char *const heads[] = {"number", "value", "grade", "date", "source"};
    struct tr_table table = {0};
    char value[TR_QUANTITY_BYTES];
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        tr_table_column(&table, heads[i], i == 1 ? TR_RIGHT : TR_LEFT);
    for (int i = 0; i < count; i++) {
        const struct tr_fact *fact = fact_of(&fields[i], of);
        if (!fact || !tr_known(fact))
            continue;
        tr_table_cell(&table, "%s", fields[i].path);
        tr_table_cell(&table, "%s", tr_fact_text(fact, fields[i].unit, value));
        tr_table_cell(&table, "%s", tr_grade_name(fact->grade));
        tr_table_cell(&table, "%s", fact->date);
        tr_table_cell(&table, "%s%s%s%s", fact->source ? fact->source->id : "", fact->note ? " (" : "",
                      fact->note ? fact->note : "", fact->note ? ")" : "");
    }
    tr_table_text(&table, out);
    tr_table_free(&table);
}

void tr_facts_json(const struct tr_field *fields, int count, const void *of, struct tr_json *json)
{
    for (int i = 0; i < count; i++) {
        const struct tr_fact *fact = fact_of(&fields[i], of);
        if (fact)
            tr_fact_json(json, fields[i].path, fact, fields[i].unit);
    }
}

void tr_aliases_text(const struct tr_entry *entry, struct tr_text *out)
{
    for (int i = 0; i < entry->alias_count; i++)
        tr_text_printf(out, "%s%s", i ? ", " : "also        ", entry->alias[i]);
    if (entry->alias_count)
        tr_text_char(out, '\n');
}

void tr_aliases_json(const struct tr_entry *entry, struct tr_json *json)
{
    tr_json_array(json, "aliases");
    for (int i = 0; i < entry->alias_count; i++)
        tr_json_string(json, NULL, entry->alias[i]);
    tr_json_end(json);
}

void tr_source_add(struct tr_source_list *list, const struct tr_source *source)
{
    bool there = !source || list->count == sizeof list->of / sizeof *list->of;
    for (int i = 0; i < list->count && !there; i++)
        there = list->of[i] == source;
    if (!there)
        list->of[list->count++] = source;
}

void tr_sources_add(struct tr_source_list *list, const struct tr_field *fields, int count, const void *of)
{
    for (int i = 0; i < count; i++) {
        const struct tr_fact *fact = fact_of(&fields[i], of);
        if (fact && tr_known(fact))
            tr_source_add(list, fact->source);
    }
}

void tr_sources_text(const struct tr_source_list *list, struct tr_text *out)
{
    if (list->count)
        tr_text_append(out, "\nsources\n");
    for (int i = 0; i < list->count; i++) {
        const struct tr_source *source = list->of[i];
        if (strcmp(source->id, source->title) == 0) /* a file */
            tr_text_printf(out, "  %s\n", source->id);
        else
            tr_text_printf(out, "  %s: %s%s%s\n", source->id, source->title, source->where[0] ? "; " : "", source->where);
    }
}

void tr_cell_number(struct tr_table *table, int decimals, double value)
{
    if (isfinite(value))
        tr_table_cell(table, "%.*f", decimals, value);
    else
        tr_table_cell(table, "-");
}
