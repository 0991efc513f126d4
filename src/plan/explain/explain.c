#include "plan/explain/inside.h"

#include "base/quantity.h"
#include "base/table.h"
#include "plan/print/print.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- growing ----------------------------------------------------------------------------------------------------- */

int tr_number_add(struct tr_explain *e, int parent, enum tr_unit unit, double value, const char *name, ...)
{
    if (e->count == e->room) {
        int room = e->room ? 2 * e->room : 256;
        struct tr_number *more = room <= TR_NUMBERS_MAX ? realloc(e->at, (size_t)room * sizeof *more) : NULL;
        if (!more) {
            e->failed = true;
            e->count--; /* the last one is overwritten: the tree is thrown away */
        } else {
            e->at = more, e->room = room;
        }
    }
    struct tr_number *n = &e->at[e->count];
    *n = (struct tr_number){.parent = parent, .sums = true, .unit = unit, .counts = "", .value = value, .source = ""};
    n->depth = parent < 0 ? 0 : e->at[parent].depth + 1;
    if (parent >= 0)
        e->at[parent].made_of = true;
    va_list args;
    va_start(args, name);
    vsnprintf(n->name, sizeof n->name, name, args);
    va_end(args);
    return e->count++;
}

void tr_number_words(struct tr_explain *e, int index, const char *formula, enum tr_grade grade, const char *source,
                     const char *inputs, ...)
{
    struct tr_number *n = &e->at[index];
    snprintf(n->formula, sizeof n->formula, "%s", formula);
    n->grade = tr_grade_worse(n->grade, grade);
    n->source = source ? source : "";
    va_list args;
    va_start(args, inputs);
    vsnprintf(n->inputs, sizeof n->inputs, inputs, args);
    va_end(args);
}

double tr_number_rest(const struct tr_explain *e, int parent)
{
    double rest = e->at[parent].value;
    for (int i = parent + 1; i < e->count; i++)
        if (e->at[i].parent == parent)
            rest -= e->at[i].value;
    return rest;
}

const char *tr_fact_source(const struct tr_fact *fact) { return fact->source ? fact->source->title : "computed"; }

void tr_number_by(struct tr_explain *e, int index, enum tr_grade grade)
{
    e->at[index].grade = tr_grade_worse(e->at[index].grade, grade);
}

/* What is 0 takes no part, nor does what is not known, which makes what it belongs to not known too. */
void tr_number_grade(struct tr_explain *e)
{
    for (int i = e->count - 1; i >= 0; i--) {
        struct tr_number *n = &e->at[i];
        if (n->value == 0 || isnan(n->value))
            n->grade = TR_GRADE_NONE;
        if (n->parent >= 0)
            tr_number_by(e, n->parent, n->grade);
    }
}

void tr_number_see(struct tr_explain *e, int parent, int index)
{
    const struct tr_number of = e->at[index];
    int at = tr_number_add(e, parent, of.unit, of.value, "%s", of.name);
    e->at[at].counts = of.counts;
    tr_number_words(e, at, "see there", of.grade, of.source, "%s", "");
}

int tr_number_ratio(struct tr_explain *e, enum tr_unit unit, const char *counts, double value, const char *name,
                    const char *formula, const char *source)
{
    int at = tr_number_factor(e, -1, unit, counts, value, name, formula, TR_GRADE_NONE, source);
    e->at[at].sums = false;
    return at;
}

int tr_number_factor(struct tr_explain *e, int parent, enum tr_unit unit, const char *counts, double value, const char *name,
                     const char *formula, enum tr_grade grade, const char *source)
{
    int at = tr_number_add(e, parent, unit, value, "%s", name);
    tr_number_words(e, at, formula, grade, source, "%s", "");
    e->at[at].counts = counts;
    return at;
}

void tr_number_fact(struct tr_explain *e, int parent, enum tr_unit unit, const char *name, const char *formula,
                    const struct tr_fact *fact)
{
    if (tr_known(fact))
        tr_number_factor(e, parent, unit, "", fact->value, name, formula, fact->grade, tr_fact_source(fact));
}

enum tr_status tr_explain_begin(struct tr_explain *e, struct tr_err *err)
{
    enum { ROOM = 256 };
    *e = (struct tr_explain){.at = calloc(ROOM, sizeof *e->at), .room = ROOM};
    return e->at ? TR_OK : tr_fail(err, TR_FAILED, "out of memory for an explanation");
}

enum tr_status tr_explain_end(struct tr_explain *e, struct tr_explain *out, struct tr_err *err)
{
    if (e->failed) {
        tr_explain_free(e);
        return tr_fail(err, TR_FAILED, "out of memory for an explanation, or more than %d numbers", TR_NUMBERS_MAX);
    }
    tr_number_grade(e);
    *out = *e;
    return TR_OK;
}

enum tr_status tr_explain_make(const struct tr_plan *plan, struct tr_explain *out, struct tr_err *err)
{
    struct tr_explain e;
    enum tr_status status = tr_explain_begin(&e, err);
    if (status != TR_OK)
        return status;
    e.plan = plan;
    tr_explain_step(&e);
    tr_explain_memory(&e);
    tr_number_grade(&e); /* the run is made of both */
    tr_explain_run(&e);
    return tr_explain_end(&e, out, err);
}

void tr_explain_free(struct tr_explain *explain)
{
    free(explain->at);
    *explain = (struct tr_explain){0};
}

/* ---- finding ----------------------------------------------------------------------------------------------------- */

static const struct tr_number *find_below(const struct tr_explain *e, int parent, const char *name)
{
    const struct tr_number *best = NULL;
    for (int i = 0; i < e->count; i++) {
        const struct tr_number *n = &e->at[i];
        bool below = parent < 0;
        for (int up = n->parent; up >= 0 && !below; up = e->at[up].parent)
            below = up == parent;
        if (below && tr_names_equal(n->name, name) && (!best || n->depth < best->depth))
            best = n;
    }
    return best;
}

enum tr_status tr_explain_find(const struct tr_explain *e, const char *name, const struct tr_number **out,
                               struct tr_err *err)
{
    const struct tr_number *found = NULL;
    char part[TR_NUMBER_NAME_BYTES];
    for (const char *at = name; *at || at == name;) {
        size_t length = strcspn(at, "/");
        snprintf(part, sizeof part, "%.*s", (int)length, at);
        found = find_below(e, found ? (int)(found - e->at) : -1, part);
        if (!found)
            break;
        at += length + (at[length] == '/');
        if (!*at) {
            *out = found;
            return TR_OK;
        }
    }
    const char **names = malloc((size_t)e->count * sizeof *names);
    if (!names)
        return tr_fail(err, TR_FAILED, "out of memory");
    for (int i = 0; i < e->count; i++)
        names[i] = e->at[i].name;
    int near = tr_nearest(part, names, e->count);
    free(names);
    return tr_fail(err, TR_BAD_INPUT, "the plan has no number \"%s\"%s%s%s (explain without a name lists them)", part,
                   near < 0 ? "" : "; did you mean ", near < 0 ? "" : e->at[near].name, near < 0 ? "" : "?");
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

const char *tr_number_print(char buf[TR_QUANTITY_BYTES], const struct tr_number *n)
{
    if (isnan(n->value))
        snprintf(buf, TR_QUANTITY_BYTES, "not known");
    else if (n->unit == TR_UNIT_ENERGY)
        tr_plan_energy(buf, n->value);
    else if (n->unit == TR_UNIT_CARBON)
        snprintf(buf, TR_QUANTITY_BYTES, "%.4g t CO2e", n->value / 1e6);
    else if (n->unit == TR_UNIT_RATIO)
        snprintf(buf, TR_QUANTITY_BYTES, "%.2f %%", 100 * n->value);
    else
        tr_print_quantity(buf, n->unit, n->value);
    return buf;
}

static int by_size(const void *a, const void *b)
{
    double x = fabs((*(const struct tr_number *const *)a)->value),
           y = fabs((*(const struct tr_number *const *)b)->value);
    return (x < y) - (x > y);
}

/* The numbers right below, the largest first; the caller frees. */
static const struct tr_number **below(const struct tr_explain *e, int parent, int *count)
{
    const struct tr_number **list = malloc((size_t)(e->count + 1) * sizeof *list);
    *count = 0;
    for (int i = parent + 1; list && i < e->count; i++)
        if (e->at[i].parent == parent && (e->at[i].value != 0 || parent < 0 || !e->at[parent].sums))
            list[(*count)++] = &e->at[i];
    if (list && parent >= 0 && e->at[parent].sums)
        qsort(list, (size_t)*count, sizeof *list, by_size);
    return list;
}

static void put_words(const struct tr_number *n, struct tr_text *out)
{
    if (n->formula[0])
        tr_text_printf(out, "  = %s\n", n->formula);
    if (n->inputs[0])
        tr_text_printf(out, "  with %s\n", n->inputs);
    if (n->source[0])
        tr_text_printf(out, "  from %s\n", n->source);
    if (n->grade != TR_GRADE_NONE)
        tr_text_printf(out, "  evidence: %s\n", tr_grade_name(n->grade));
}

static void put_table(const struct tr_explain *e, int parent, struct tr_text *out)
{
    int count;
    struct tr_table table = {0};
    char value[TR_QUANTITY_BYTES];
    bool shares = parent >= 0 && e->at[parent].sums && e->at[parent].value > 0;
    const struct tr_number **list = below(e, parent, &count);
    tr_table_column(&table, parent < 0 ? "number" : e->at[parent].sums ? "made of" : "factors", TR_LEFT);
    tr_table_column(&table, "value", TR_RIGHT);
    if (shares)
        tr_table_column(&table, "share", TR_RIGHT);
    tr_table_column(&table, "evidence", TR_LEFT);
    tr_table_column(&table, "how", TR_LEFT);
    for (int i = 0; list && i < count; i++) {
        const struct tr_number *n = list[i];
        tr_table_cell(&table, "%s", n->name);
        tr_table_cell(&table, "%s", tr_number_print(value, n));
        if (shares)
            tr_table_cell(&table, "%.2f %%", 100 * n->value / e->at[parent].value);
        tr_table_cell(&table, "%s", tr_grade_name(n->grade));
        tr_table_cell(&table, "%s", n->inputs[0] ? n->inputs : n->formula);
    }
    tr_table_text(&table, out);
    tr_table_free(&table);
    free(list);
}

void tr_explain_text(const struct tr_explain *e, const struct tr_number *n, struct tr_text *out)
{
    char value[TR_QUANTITY_BYTES], error[TR_QUANTITY_BYTES];
    if (n) {
        tr_text_printf(out, "%s: %s", n->name, tr_number_print(value, n));
        if (n->error > 0)
            tr_text_printf(out, " +- %s", tr_plan_percent(error, n->error));
        tr_text_char(out, '\n');
        put_words(n, out);
        if (!n->made_of)
            return;
        tr_text_char(out, '\n');
    }
    put_table(e, n ? (int)(n - e->at) : -1, out);
}

static const char *base_unit(const struct tr_number *n)
{
    static const char *const names[TR_UNIT_COUNT_OF] = {
        [TR_UNIT_BYTES] = "byte", [TR_UNIT_BYTES_S] = "byte/s", [TR_UNIT_TIME] = "s",  [TR_UNIT_COUNT] = "1",
        [TR_UNIT_FLOP] = "FLOP",  [TR_UNIT_FLOP_S] = "FLOP/s",  [TR_UNIT_USD] = "USD", [TR_UNIT_USD_H] = "USD/h",
        [TR_UNIT_POWER] = "W",    [TR_UNIT_ENERGY] = "J",       [TR_UNIT_HZ] = "Hz",   [TR_UNIT_RATIO] = "1",
        [TR_UNIT_AREA] = "mm2",   [TR_UNIT_CARBON] = "g CO2e"};
    return n->unit == TR_UNIT_COUNT && n->counts[0] ? n->counts : names[n->unit];
}

static void put_json(const struct tr_explain *e, int index, struct tr_json *json)
{
    const struct tr_number *n = &e->at[index];
    tr_json_object(json, NULL);
    tr_json_string(json, "name", n->name);
    tr_json_double(json, "value", n->value);
    tr_json_string(json, "unit", base_unit(n));
    if (n->error > 0)
        tr_json_double(json, "error_80", n->error);
    tr_json_string(json, "formula", n->formula);
    if (n->inputs[0])
        tr_json_string(json, "inputs", n->inputs);
    if (n->source[0])
        tr_json_string(json, "source", n->source);
    if (n->grade != TR_GRADE_NONE)
        tr_json_string(json, "grade", tr_grade_name(n->grade));
    if (n->made_of) {
        tr_json_array(json, n->sums ? "terms" : "factors");
        for (int i = index + 1; i < e->count; i++)
            if (e->at[i].parent == index)
                put_json(e, i, json);
        tr_json_end(json);
    }
    tr_json_end(json);
}

void tr_explain_json(const struct tr_explain *e, const struct tr_number *n, struct tr_text *out)
{
    struct tr_json json = tr_json_start(out, TR_JSON_PRETTY);
    if (n) {
        put_json(e, (int)(n - e->at), &json);
    } else {
        tr_json_array(&json, NULL);
        for (int i = 0; i < e->count; i++)
            if (e->at[i].parent < 0)
                put_json(e, i, &json);
        tr_json_end(&json);
    }
    tr_text_char(out, '\n');
}
