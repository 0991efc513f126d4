#include "plan/shape/shape.h"
#include "plan/run/law.h"
#include "plan/show/inside.h"

#include <string.h>

static const struct {
    const char *word;
    bool named;    /* a name must follow */
    bool may_name; /* a name may follow */
    enum tr_status (*show)(struct tr_showing *);
} words[] = {
    {"chips", false, false, tr_show_chips},       {"chip", true, true, tr_show_chip},
    {"networks", false, false, tr_show_networks}, {"network", true, true, tr_show_network},
    {"systems", false, false, tr_show_systems},   {"system", true, true, tr_show_system},
    {"prices", false, true, tr_show_prices},      {"sites", false, false, tr_show_sites},
    {"site", true, true, tr_show_site},           {"failures", false, false, tr_show_failures},
    {"sources", false, false, tr_show_sources},   {"models", false, false, tr_show_models},
    {"model", true, true, tr_show_model_shape},   {"stacks", false, false, tr_show_stacks},
    {"stack", true, true, tr_show_stack},
};
enum { WORDS = sizeof words / sizeof *words };

static int word_of(const char *what)
{
    for (int i = 0; i < WORDS; i++)
        if (strcmp(words[i].word, what) == 0)
            return i;
    return -1;
}

bool tr_show_is_catalog(const char *what)
{
    return word_of(what) >= 0;
}

enum tr_status tr_show_catalog(const struct tr_catalog *catalog, const char *what, const char *name,
                               const struct tr_show_catalog_options *options, struct tr_text *out, struct tr_err *err)
{
    int word = word_of(what);
    TR_ASSERT(word >= 0);
    if (words[word].named && !name)
        return tr_fail(err, TR_BAD_INPUT, "which %s? `trine show %ss` lists them", what, what);
    if (!words[word].may_name && name)
        return tr_fail(err, TR_BAD_INPUT, "`trine show %s` takes no name: \"%.60s\" is one too many", what, name);
    struct tr_showing s = {.catalog = catalog, .options = options, .name = name, .out = out, .err = err};
    if (options->json)
        s.json = tr_json_start(out, TR_JSON_PRETTY);
    enum tr_status status = words[word].show(&s);
    if (status == TR_OK && options->json)
        tr_text_char(out, '\n');
    return status;
}

enum tr_status tr_show_list(struct tr_showing *s, const struct tr_listing *listing)
{
    struct tr_table table = {0};
    bool json = s->options->json;
    enum tr_status status = TR_OK;
    for (int i = 0; i < TR_TABLE_MAX_COLUMNS && listing->column[i].name; i++)
        tr_table_column(&table, listing->column[i].name, listing->column[i].side);
    if (json)
        tr_json_array(&s->json, NULL);
    for (int i = 0; status == TR_OK && i < tr_catalog_count(s->catalog, listing->section); i++)
        status = listing->row(s, tr_catalog_entry(s->catalog, listing->section, i), json ? NULL : &table);
    if (json)
        tr_json_end(&s->json);
    else
        tr_table_text(&table, s->out);
    if (!json && listing->note)
        tr_text_append(s->out, listing->note);
    tr_table_free(&table);
    return status;
}

/* --- sources --- */

enum tr_status tr_show_sources(struct tr_showing *s)
{
    struct tr_table table = {0};
    bool json = s->options->json;
    tr_table_column(&table, "source", TR_LEFT);
    tr_table_column(&table, "date", TR_LEFT);
    tr_table_column(&table, "grade", TR_LEFT);
    tr_table_column(&table, "what, where", TR_LEFT);
    if (json)
        tr_json_array(&s->json, NULL);
    for (int i = 0; i < tr_catalog_source_count(s->catalog); i++) {
        const struct tr_source *source = tr_catalog_source(s->catalog, i);
        if (json) {
            tr_json_object(&s->json, NULL);
            tr_json_string(&s->json, "id", source->id);
            tr_json_string(&s->json, "title", source->title);
            tr_json_string(&s->json, "where", source->where);
            tr_json_string(&s->json, "date", source->date);
            tr_json_string(&s->json, "grade", tr_grade_name(source->grade));
            tr_json_end(&s->json);
        }
        tr_table_cell(&table, "%s", source->id);
        tr_table_cell(&table, "%s", source->date);
        tr_table_cell(&table, "%s", tr_grade_name(source->grade));
        tr_table_cell(&table, "%s%s%s", source->title, source->where[0] ? "; " : "", source->where);
    }
    if (json)
        tr_json_end(&s->json);
    else
        tr_table_text(&table, s->out);
    tr_table_free(&table);
    return TR_OK;
}

/* --- docs/catalog.md --- */

/* "a rate such as 3.35TB/s (bytes) or 400Gb/s (bits)" */
static void write_kind(const struct tr_field *field, struct tr_text *out)
{
    switch (field->kind) {
    case TR_FIELD_FACT: tr_text_append(out, tr_unit_hint(field->unit)); break;
    case TR_FIELD_WHOLE: tr_text_append(out, "a whole number"); break;
    case TR_FIELD_TEXT: tr_text_append(out, "a text"); break;
    case TR_FIELD_FLAG: tr_text_append(out, "true or false"); break;
    case TR_FIELD_GROUP: tr_text_append(out, "see its meaning"); break;
    case TR_FIELD_ENUM:
        for (int i = 0; field->choices[i]; i++)
            tr_text_printf(out, "%s%s", i ? ", " : "", field->choices[i]);
        break;
    }
}

static void write_keys(const char *title, const struct tr_field *fields, int count, struct tr_text *out)
{
    tr_text_printf(out, "\n### %s\n\n| key | meaning | value |\n|---|---|---|\n", title);
    for (int i = 0; i < count; i++) {
        tr_text_printf(out, "| `%s`%s | %s | ", fields[i].path, fields[i].required ? ", required" : "", fields[i].help);
        write_kind(&fields[i], out);
        tr_text_append(out, " |\n");
    }
}

void tr_catalog_keys_markdown(struct tr_text *out)
{
    int count;
    const struct tr_field *fields = tr_chip_fields(&count);
    write_keys("chips", fields, count, out);
    fields = tr_network_fields(&count);
    write_keys("networks", fields, count, out);
    fields = tr_system_fields(&count);
    write_keys("systems", fields, count, out);
    fields = tr_tier_fields(&count);
    write_keys("systems: a tier", fields, count, out);
    fields = tr_offer_fields(&count);
    write_keys("prices", fields, count, out);
    fields = tr_place_fields(&count);
    write_keys("sites", fields, count, out);
    fields = tr_failures_fields(&count);
    write_keys("failures", fields, count, out);
    fields = tr_shape_fields(&count);
    write_keys("models", fields, count, out);
    fields = tr_law_fields(&count);
    write_keys("scaling_laws", fields, count, out);
}
