#include "plan/report/report.h"

#include "base/chart.h"
#include "base/page.h"
#include "base/quantity.h"
#include "plan/explain/explain.h"
#include "plan/print/print.h"
#include "plan/report/draw.h"
#include "plan/step/stage.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER = TR_QUANTITY_BYTES, NOTE_BYTES = 96, STAGES_MAX = 64 };

struct page {
    const struct tr_plan *p;
    struct tr_text *out;
    struct tr_err *err;
};

/* ---- the answer -------------------------------------------------------------------------------------------------- */

static void put_step_tiles(const struct page *g)
{
    const struct tr_plan *p = g->p;
    char a[NUMBER], b[NUMBER], value[3 * NUMBER], label[3 * NUMBER], mfu[TR_MFU_WORDS_BYTES];
    snprintf(value, sizeof value, "%s ± %s", tr_print_time(a, p->step.time_s), tr_plan_percent(b, p->step.error));
    snprintf(label, sizeof label, "a step (80 %% interval; evidence: %s)", tr_grade_name(p->step.grade));
    tr_page_tile(g->out, label, value);
    tr_page_tile(g->out, "tokens a second", tr_print_quantity(a, TR_UNIT_COUNT, p->step.tokens_s));
    tr_page_tile(g->out, "MFU: of the peak, as the model's own arithmetic", tr_plan_mfu_words(p, mfu));
    snprintf(value, sizeof value, "%s ± %s", tr_print_quantity(a, TR_UNIT_BYTES, p->step.memory_bytes), tr_plan_percent(b, p->step.memory_error));
    snprintf(label, sizeof label, "of the %s of a chip's memory, heaviest stage", tr_print_quantity(b, TR_UNIT_BYTES, p->capacity_bytes));
    tr_page_tile(g->out, label, value);
}

static void put_run_tiles(const struct page *g)
{
    const struct tr_plan *p = g->p;
    const struct tr_job_cost *cost = tr_plan_cost(p);
    char a[NUMBER], b[NUMBER], label[3 * NUMBER];
    double low_s, high_s;
    tr_plan_wall_interval(p, &low_s, &high_s);
    snprintf(label, sizeof label, "the run; from %s to %s (80 %% interval)", tr_print_time(a, low_s), tr_print_time(b, high_s));
    tr_page_tile(g->out, label, tr_print_time(a, cost->wall_s));
    snprintf(label, sizeof label, "%s, at %.2f $ a chip-hour", tr_plan_commitment(a, p->request.commitment), p->offer[p->request.commitment].price.usd_h.value);
    tr_page_tile(g->out, isnan(cost->usd) ? tr_plan_commitment(a, p->request.commitment) : label,
                 isnan(cost->usd) ? "price not known" : tr_print_quantity(b, TR_UNIT_USD, cost->usd));
    tr_page_tile(g->out, "chip-hours", tr_print_quantity(a, TR_UNIT_COUNT, cost->chip_hours));
    tr_page_tile(g->out, "energy, all of the building", isnan(cost->energy_j) ? "not known" : tr_plan_energy(a, cost->energy_j));
}

static void put_tiles(const struct page *g)
{
    tr_page_tiles(g->out);
    put_step_tiles(g);
    if (g->p->fits)
        put_run_tiles(g);
    tr_page_end_tiles(g->out);
}

/* ---- what would help --------------------------------------------------------------------------------------------- */

/* Less than this is no difference that a page shows. */
#define SAME .0005

/* What more of it gives: of memory, which changes nothing at a layout, with the layout chosen again. */
static double lever_gain(const struct tr_plan *p, enum tr_lever lever)
{
    const struct tr_lever_effect *e = &p->lever[lever];
    return lever == TR_LEVER_CAPACITY ? e->change_again : e->change;
}

static void say_lever(const struct tr_plan *p, enum tr_lever lever, char note[NOTE_BYTES])
{
    const struct tr_lever_effect *e = &p->lever[lever];
    if (isnan(lever_gain(p, lever)))
        snprintf(note, NOTE_BYTES, "not searched");
    else if (lever == TR_LEVER_CAPACITY || !p->search.done || !(fabs(e->change_again - e->change) > SAME))
        snprintf(note, NOTE_BYTES, "%+.2f %%", 100 * lever_gain(p, lever));
    else
        snprintf(note, NOTE_BYTES, "%+.2f %%, again %+.2f %%", 100 * e->change, 100 * e->change_again);
}

static void put_levers(const struct page *g)
{
    const struct tr_plan *p = g->p;
    struct tr_bar bars[TR_LEVER_COUNT];
    char label[TR_LEVER_COUNT][NOTE_BYTES], note[TR_LEVER_COUNT][NOTE_BYTES], now[NUMBER];
    int count = 0;
    for (int i = 0; i < TR_LEVER_COUNT; i++) {
        const enum tr_lever lever = (enum tr_lever)i;
        if (!tr_plan_has_lever(p, lever))
            continue;
        const char *value = tr_plan_lever_now(p, lever, now);
        snprintf(label[count], NOTE_BYTES, *value ? "%s (%s)" : "%s", tr_lever_name(lever), value);
        say_lever(p, lever, note[count]);
        bars[count] = (struct tr_bar){label[count], fmax(0, -lever_gain(p, lever)), note[count]};
        count++;
    }
    tr_chart_bars(g->out, "What 10 % better gives, of a step's time", bars, count);
}

/* The first limit in words; what else differs with another layout. */
static void put_limit(const struct page *g)
{
    struct tr_text line = {0};
    tr_text_append(&line, "It is ");
    tr_plan_limit(g->p, &line);
    tr_page_put(g->out, "p", NULL, "%s.%s", tr_text_str(&line),
                g->p->search.done ? " “Again”: with the layout chosen again, where that differs; memory's capacity always, as it changes which layouts fit." : "");
    tr_text_free(&line);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static const char *print_bytes(char buf[32], double value) { return tr_print_quantity(buf, TR_UNIT_BYTES, value); }

static void put_memory_parts(const struct page *g)
{
    const struct tr_plan *p = g->p;
    struct tr_bar bars[TR_MEM_COUNT];
    char note[TR_MEM_COUNT][NOTE_BYTES], bytes[NUMBER], title[NOTE_BYTES];
    int count = 0;
    for (int i = 0; i < TR_MEM_COUNT; i++) {
        if (p->step.memory[i] <= 0)
            continue;
        snprintf(note[count], NOTE_BYTES, "%s, %.1f %%", print_bytes(bytes, p->step.memory[i]), 100 * p->step.memory[i] / p->capacity_bytes);
        bars[count] = (struct tr_bar){tr_mem_name((enum tr_mem)i), p->step.memory[i], note[count]};
        count++;
    }
    snprintf(title, sizeof title, "A chip of stage %d, the heaviest, at its peak, and shares of %s", p->step.heaviest_stage,
             print_bytes(bytes, p->capacity_bytes));
    tr_chart_bars(g->out, title, bars, count);
}

struct memory_rows {
    struct tr_blocks blocks;
    struct tr_split split;
    struct tr_split_class classes[TR_LAYERS_MAX];
    double memory[STAGES_MAX][TR_MEM_COUNT];
    struct tr_stack_row rows[STAGES_MAX];
    char label[STAGES_MAX][24], note[STAGES_MAX][NUMBER];
    int count;
};

static void add_stage(struct memory_rows *w, const struct tr_held *held, const struct tr_load *load, double in_flight, int32_t stage)
{
    const int row = w->count++;
    double sum = 0;
    tr_held_terms(w->memory[row], held, load, in_flight);
    for (int k = 0; k < TR_MEM_COUNT; k++)
        sum += w->memory[row][k];
    snprintf(w->label[row], sizeof w->label[row], "stage %d", stage);
    print_bytes(w->note[row], sum);
    w->rows[row] = (struct tr_stack_row){w->label[row], w->memory[row], w->note[row]};
}

static void make_memory_rows(struct memory_rows *w, const struct tr_plan *p)
{
    struct tr_held held;
    const int64_t micros = tr_layout_micro_count(&p->layout, &p->task.batch);
    tr_blocks_make(&w->blocks, &p->site, &p->task, &p->layout);
    tr_split_make(&w->split, w->classes, &p->model, &w->blocks.kinds, &p->layout, p->task.mtp);
    tr_held_make(&held, &p->site, &p->task, &p->layout);
    for (int c = 0; c < w->split.classes; c++) {
        struct tr_stage stage;
        tr_stage_make(&stage, &w->blocks, &w->split, &w->classes[c]);
        for (int32_t i = w->classes[c].first; i < w->classes[c].first + w->classes[c].stages && w->count < STAGES_MAX; i++) {
            struct tr_load load = tr_load_of(&stage, i);
            add_stage(w, &held, &load, tr_layout_in_flight(&p->layout, micros, i), i);
        }
    }
}

static enum tr_status put_memory_stages(const struct page *g)
{
    const struct tr_plan *p = g->p;
    struct memory_rows *w = calloc(1, sizeof *w);
    const char *names[TR_MEM_COUNT];
    char capacity[NUMBER], limit[NOTE_BYTES];
    if (!w)
        return tr_fail(g->err, TR_FAILED, "out of memory for a report");
    make_memory_rows(w, p);
    for (int i = 0; i < TR_MEM_COUNT; i++) {
        names[i] = NULL;
        for (int row = 0; row < w->count; row++)
            names[i] = w->memory[row][i] > 0 ? tr_mem_name((enum tr_mem)i) : names[i];
    }
    snprintf(limit, sizeof limit, "%s, what a chip has", print_bytes(capacity, p->capacity_bytes));
    tr_chart_stacks(g->out, &(struct tr_stacks){.title = "A chip of each stage at its peak; the thin line is the 80 % interval",
                                                .names = names,
                                                .part_count = TR_MEM_COUNT,
                                                .rows = w->rows,
                                                .row_count = w->count,
                                                .limit = p->capacity_bytes,
                                                .limit_name = limit,
                                                .error = p->step.memory_error,
                                                .print = print_bytes});
    free(w);
    return TR_OK;
}

static enum tr_status put_memory(const struct page *g)
{
    struct tr_text line = {0};
    char needed[NUMBER], capacity[NUMBER];
    const struct tr_plan *p = g->p;
    tr_page_heading(g->out, "Memory", NULL);
    tr_plan_memory_interval(p, &line);
    tr_page_put(g->out, "p", NULL, "A chip of the heaviest stage needs %s of %s, %s.", print_bytes(needed, p->step.memory_bytes),
                print_bytes(capacity, p->capacity_bytes), tr_text_str(&line));
    tr_text_free(&line);
    tr_text_append(g->out, "<div class=\"charts\">\n");
    put_memory_parts(g);
    enum tr_status status = put_memory_stages(g);
    tr_text_append(g->out, "</div>\n");
    if (p->layout.pp > STAGES_MAX)
        tr_page_put(g->out, "p", "sub", "The first %d of %d stages.", STAGES_MAX, p->layout.pp);
    return status;
}

static enum tr_status put_pipeline(const struct page *g)
{
    if (g->p->layout.pp == 1)
        return TR_OK;
    tr_page_heading(g->out, "The pipeline", NULL);
    tr_text_append(g->out, "<div class=\"charts one\">\n");
    enum tr_status status = tr_plan_draw_pipeline(g->p, true, g->out, g->err);
    tr_text_append(g->out, "</div>\n");
    return status;
}

/* Lines of the plan's, each as such an element. */
static void put_lines(const struct page *g, const char *tag, void (*print)(const struct tr_plan *, struct tr_text *))
{
    struct tr_text lines = {0};
    print(g->p, &lines);
    for (const char *at = tr_text_str(&lines); *at;) {
        const int length = (int)strcspn(at, "\n");
        tr_page_put(g->out, tag, NULL, "%.*s", length, at);
        at += length + (at[length] == '\n');
    }
    tr_text_free(&lines);
}

/* ---- what was searched ------------------------------------------------------------------------------------------- */

static void put_front(const struct page *g)
{
    const struct tr_plan_search *s = &g->p->search;
    double x[TR_PLAN_FRONT_MAX], y[TR_PLAN_FRONT_MAX];
    if (s->front_count < 2)
        return;
    for (int i = 0; i < s->front_count; i++) { /* memory falls along the front: turned round, x ascends */
        x[i] = s->front[s->front_count - 1 - i].step.memory_bytes / (1 << 30);
        y[i] = s->front[s->front_count - 1 - i].step.time_s;
    }
    struct tr_series series = {.name = "front", .x = x, .y = y, .count = s->front_count, .points = true};
    tr_chart_lines(g->out, &(struct tr_chart){.title = "Layouts: time against memory, none better in both",
                                              .x_label = "GiB of a chip",
                                              .y_label = "s a step",
                                              .series = &series,
                                              .series_count = 1});
}

static int by_usd(const void *a, const void *b)
{
    double x = (*(const struct tr_plan_candidate *const *)a)->usd,
           y = (*(const struct tr_plan_candidate *const *)b)->usd;
    return (x > y) - (x < y);
}

static void put_money(const struct page *g)
{
    const struct tr_plan_search *s = &g->p->search;
    const struct tr_plan_candidate *of[TR_PLAN_CANDIDATES_MAX];
    double x[TR_PLAN_CANDIDATES_MAX], y[TR_PLAN_CANDIDATES_MAX];
    int count = 0;
    for (int i = 0; i < s->count; i++)
        if (s->at[i].front && !isnan(s->at[i].usd))
            of[count++] = &s->at[i];
    if (count < 2)
        return;
    qsort(of, (size_t)count, sizeof *of, by_usd);
    for (int i = 0; i < count; i++)
        x[i] = of[i]->usd, y[i] = of[i]->wall_s / 86400;
    struct tr_series series = {.name = "days", .x = x, .y = y, .count = count, .points = true};
    tr_chart_lines(g->out, &(struct tr_chart){.title = "Numbers of chips: time against dollars, none better in both",
                                              .x_label = "dollars",
                                              .y_label = "days",
                                              .series = &series,
                                              .series_count = 1,
                                              .from_zero = true});
}

static void put_count(const struct page *g, const struct tr_plan_candidate *c, bool chosen, bool batches)
{
    char layout[TR_LAYOUT_TEXT_BYTES], text[NUMBER];
    tr_text_append(g->out, chosen ? "<tr class=\"on\">" : "<tr>");
    snprintf(text, sizeof text, "%s%s", c->front ? "●" : "", c->found && tr_plan_may_not_fit(g->p, &c->step) ? "?" : "");
    tr_page_cell(g->out, false, text);
    tr_text_printf(g->out, "<td class=\"n\">%lld</td>", (long long)c->chips);
    if (batches)
        tr_text_printf(g->out, "<td class=\"n\">%lld</td>", (long long)c->global_batch);
    tr_page_cell(g->out, true, c->found ? tr_print_time(text, c->step.time_s) : "");
    tr_page_cell(g->out, true, c->found ? tr_plan_percent(text, c->step.mfu) : "");
    tr_page_cell(g->out, true, c->found ? tr_print_beside(text, TR_UNIT_TIME, c->wall_s, g->p->request.deadline_s) : "");
    tr_page_cell(g->out, true, c->found && !isnan(c->usd) ? tr_print_beside(text, TR_UNIT_USD, c->usd, g->p->request.budget_usd) : "");
    tr_page_cell(g->out, true, tr_print_count(text, c->legal));
    tr_page_cell(g->out, true, tr_print_count(text, c->too_big));
    tr_page_long_cell(g->out, c->found   ? tr_layout_print(&c->layout, layout)
                              : c->legal ? "nothing fits"
                                         : "nothing divides");
    tr_text_append(g->out, "</tr>\n");
}

static void put_counts(const struct page *g)
{
    static const char *const names[] = {"", "chips", "batch", "step", "MFU", "takes", "dollars", "layouts", "too big"};
    const struct tr_plan_search *s = &g->p->search;
    const bool batches = s->at[0].global_batch != s->at[s->count - 1].global_batch;
    tr_text_append(g->out, "<figure><figcaption>Numbers of chips <small>●: nothing else is as fast for as few dollars; ?: may not fit, by memory's error; "
                           "bold: chosen");
    if (tr_plan_hides(s))
        tr_text_printf(g->out, "; %d others were priced, none of these", tr_plan_hides(s));
    tr_text_append(g->out, "</small></figcaption><div class=\"wide\"><table><tr>");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (batches || i != 2)
            tr_page_text(g->out, "th", i ? "n" : NULL, names[i]);
    tr_page_text(g->out, "th", NULL, "layout");
    tr_text_append(g->out, "</tr>\n");
    for (int i = 0; i < s->count; i++)
        if (tr_plan_shows(s, i))
            put_count(g, &s->at[i], i == s->chosen, batches);
    tr_page_end_table(g->out);
}

static void put_next(const struct page *g)
{
    static const char *const names[] = {"layout", "step", "memory"};
    const struct tr_plan_search *s = &g->p->search;
    char layout[TR_LAYOUT_TEXT_BYTES], text[NUMBER], memory[2 * NUMBER];
    tr_page_table(g->out, "The fastest layouts that fit; ?: may not, by memory's error", names, 3, 1);
    for (int i = 0; i < s->next_count; i++) {
        const struct tr_step *step = &s->next[i].step;
        tr_text_append(g->out, "<tr>");
        tr_page_long_cell(g->out, tr_layout_print(&s->next[i].layout, layout));
        tr_page_cell(g->out, true, tr_print_time(text, step->time_s));
        snprintf(memory, sizeof memory, "%s%s", tr_print_quantity(text, TR_UNIT_BYTES, step->memory_bytes),
                 tr_plan_may_not_fit(g->p, step) ? " ?" : "");
        tr_page_cell(g->out, true, memory);
        tr_text_append(g->out, "</tr>\n");
    }
    tr_page_end_table(g->out);
}

static void put_next_rule(const struct tr_plan *p, struct tr_text *out)
{
    tr_text_append(out, "The list has ");
    tr_plan_next_rule(p, out);
    tr_text_append(out, ".\n");
}

static void put_search(const struct page *g)
{
    const struct tr_plan *p = g->p;
    if (!p->search.done)
        return;
    tr_page_heading(g->out, "What was searched",
                    "Every legal layout of even stages was priced, time and memory, and of uneven ones and of other sharings all that might be faster. Layouts within the error of the fastest are candidates too.");
    if (p->fits) {
        tr_text_append(g->out, "<ul>\n");
        put_lines(g, "li", tr_plan_searched);
        tr_text_append(g->out, "</ul>\n");
    }
    if (p->search.count > 1)
        put_counts(g);
    tr_text_append(g->out, "<div class=\"charts\">\n");
    put_front(g);
    put_money(g);
    if (p->search.next_count > 1)
        put_next(g);
    tr_text_append(g->out, "</div>\n");
    if (p->search.next_count > 1)
        put_lines(g, "p", put_next_rule);
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

static void put_run_row(void *context, const char *what, const char *says)
{
    const struct page *g = context;
    tr_text_append(g->out, "<tr>");
    tr_page_cell(g->out, false, what);
    tr_page_long_cell(g->out, says);
    tr_text_append(g->out, "</tr>\n");
}

static void put_prices(const struct page *g)
{
    static const char *const names[] = {"paid", "from", "$ a chip-hour", "takes", "dollars"};
    const struct tr_plan *p = g->p;
    char text[TR_PRICE_WORDS_BYTES], from[2 * TR_PRICE_WORDS_BYTES];
    tr_page_table(g->out, "What it costs, by how it is paid; what is asked for in bold", names, 5, 2);
    for (int i = 0; i < TR_COMMITMENT_COUNT; i++) {
        const struct tr_plan_offer *offer = &p->offer[i];
        if (!tr_known(&offer->price.usd_h))
            continue;
        tr_text_append(g->out, i == p->request.commitment ? "<tr class=\"on\">" : "<tr>");
        tr_page_cell(g->out, false, tr_plan_commitment(text, i));
        size_t words = (size_t)snprintf(from, sizeof from, "%s", tr_price_words(&offer->price, text));
        snprintf(from + words, sizeof from - words, "%s",
                 tr_price_dearer_words(&offer->price, &p->offer[TR_COMMITMENT_ON_DEMAND].price, text));
        tr_page_long_cell(g->out, from);
        tr_text_printf(g->out, "<td class=\"n\">%.2f</td>", offer->price.usd_h.value);
        tr_page_cell(g->out, true, tr_print_time(text, offer->cost.wall_s));
        tr_page_cell(g->out, true, tr_print_beside(text, TR_UNIT_USD, offer->cost.usd, p->request.budget_usd));
        tr_text_append(g->out, "</tr>\n");
    }
    tr_page_end_table(g->out);
    put_lines(g, "p", tr_plan_unpriced);
}

static void put_run(struct page *g)
{
    tr_page_heading(g->out, "The run",
                    "Offers differ by two and more; negotiated ones are lower. What spot loses to interruptions is in its time and dollars.");
    tr_page_table(g->out, "What it takes", NULL, 0, 0);
    tr_plan_run_rows(g->p, put_run_row, g);
    tr_page_end_table(g->out);
    put_prices(g);
}

/* ---- every number ------------------------------------------------------------------------------------------------ */

static void put_number(struct tr_text *out, const struct tr_explain *e, int index)
{
    const struct tr_number *n = &e->at[index];
    char value[NUMBER];
    tr_text_append(out, n->made_of ? "<details><summary>" : "<div class=\"leaf\">");
    tr_text_append_words(out, n->name);
    tr_text_append(out, ": <b>");
    tr_text_append_words(out, tr_number_print(value, n));
    tr_text_append(out, "</b>");
    tr_text_append(out, n->made_of ? "</summary>" : "");
    tr_text_append(out, "<span class=\"how\"> = ");
    tr_text_append_words(out, n->formula);
    if (n->inputs[0]) {
        tr_text_append(out, "; ");
        tr_text_append_words(out, n->inputs);
    }
    if (n->source[0]) {
        tr_text_append(out, " (");
        tr_text_append_words(out, n->source);
        tr_text_append(out, ")");
    }
    tr_text_printf(out, " <em>%s</em></span>", tr_grade_name(n->grade));
    for (int i = index + 1; i < e->count; i++)
        if (e->at[i].parent == index && e->at[i].value != 0)
            put_number(out, e, i);
    tr_text_append(out, n->made_of ? "</details>\n" : "</div>\n");
}

static enum tr_status put_numbers(const struct page *g)
{
    struct tr_explain e = {0};
    enum tr_status status = tr_explain_make(g->p, &e, g->err);
    if (status != TR_OK)
        return status;
    tr_page_heading(g->out, "Every number, taken apart",
                    "Numbers are sums of what they open to, down to operations and facts.");
    tr_text_append(g->out, "<figure class=\"numbers\">\n");
    for (int i = 0; i < e.count; i++)
        if (e.at[i].parent < 0)
            put_number(g->out, &e, i);
    tr_text_append(g->out, "</figure>\n");
    tr_explain_free(&e);
    return TR_OK;
}

static void put_fact(void *context, const struct tr_provenance *f)
{
    const struct page *g = context;
    tr_text_append(g->out, "<tr>");
    tr_page_cell(g->out, false, f->of);
    tr_page_cell(g->out, false, f->name);
    tr_page_cell(g->out, true, f->value);
    tr_page_cell(g->out, false, tr_grade_name(f->fact->grade));
    tr_page_cell(g->out, false, f->fact->date);
    tr_text_append(g->out, "<td>");
    tr_text_append_words(g->out, f->fact->source ? f->fact->source->title : "");
    if (f->fact->source && f->fact->source->where[0]) {
        tr_text_append(g->out, "; ");
        tr_text_append_words(g->out, f->fact->source->where);
    }
    if (f->fact->note) {
        tr_text_append(g->out, ". ");
        tr_text_append_words(g->out, f->fact->note);
    }
    tr_text_append(g->out, "</td></tr>\n");
}

static enum tr_status put_facts(struct page *g)
{
    static const char *const names[] = {"of", "what", "value", "evidence", "date", "from"};
    tr_page_heading(g->out, "Where the numbers are from",
                    "Facts of the catalog behind this plan, in the order chip, what was fitted to "
                    "measurements of single operations, system, software, prices, place, failures.");
    tr_page_table(g->out, NULL, names, 6, 9);
    enum tr_status status = tr_explain_provenance(g->p, put_fact, g, g->err);
    tr_page_end_table(g->out);
    return status;
}

/* ---- the page ---------------------------------------------------------------------------------------------------- */

static void put_top(const struct page *g)
{
    const struct tr_plan *p = g->p;
    struct tr_text line = {0};
    char layout[TR_LAYOUT_TEXT_BYTES];
    static const char css[] =
        ".no{border-left:4px solid var(--c5);padding:6px 12px;background:var(--card)}details,.leaf{padding:2px 0 2px "
        "18px;font-size:14px}.leaf{padding-left:34px}.numbers>details{padding-left:0}.numbers>.leaf{padding-left:16px}"
        "summary{cursor:pointer;display:inline}summary::before{content:'\\25b8';display:inline-block;width:16px;"
        "color:var(--soft)}details[open]>summary::before{content:'\\25be'}details>.how{padding-left:16px}"
        ".how{color:var(--soft);font-size:13px}.how em{color:var(--ink);font-style:normal;font-size:12px;"
        "border:1px solid var(--grid);border-radius:4px;padding:0 5px}ul{padding-left:20px;max-width:74em}li{margin:3px 0}tr.on td{font-weight:650}\n";
    tr_text_printf(&line, "trine plan: %s", p->model.name);
    tr_page_begin(g->out, tr_text_str(&line), css);
    tr_text_clear(&line);
    tr_plan_title(p, &line);
    tr_page_text(g->out, "h1", NULL, tr_text_str(&line));
    tr_text_append(g->out, "<p class=\"sub\">");
    tr_text_clear(&line);
    tr_plan_subtitle(p, &line);
    tr_text_append_words(g->out, tr_text_str(&line));
    tr_text_append(g->out, ". Layout <code>");
    tr_text_append_words(g->out, tr_layout_print(&p->layout, layout));
    tr_text_append(g->out, "</code>.</p>\n");
    tr_text_clear(&line);
    tr_plan_further(p, &line);
    tr_text_append(&line, line.len > 0 ? "\n" : "");
    tr_plan_target(p, &line);
    tr_plan_undone(p, &line);
    if (line.len > 0) {
        tr_text_append(g->out, "<p class=\"sub\" style=\"white-space:pre-line\">");
        tr_text_append_words(g->out, tr_text_str(&line));
        tr_text_append(g->out, "</p>\n");
    }
    if (p->why[0]) {
        tr_text_append(g->out, "<p class=\"no\"><b>No:</b> ");
        tr_text_append_words(g->out, p->why);
        tr_text_append(g->out, "</p>\n");
    }
    put_tiles(g);
    tr_text_free(&line);
}

static void put_step(const struct page *g)
{
    tr_page_heading(g->out, "A step", NULL);
    if (g->p->fits)
        put_limit(g);
    tr_text_append(g->out, "<div class=\"charts\">\n");
    tr_plan_draw_step(g->p, g->out);
    if (g->p->fits)
        put_levers(g);
    tr_text_append(g->out, "</div>\n");
}

enum tr_status tr_plan_report(const struct tr_plan *plan, struct tr_text *out, struct tr_err *err)
{
    struct page g = {plan, out, err};
    put_top(&g);
    put_step(&g);
    enum tr_status status = put_memory(&g);
    if (status == TR_OK)
        status = put_pipeline(&g);
    if (status != TR_OK)
        return status;
    put_search(&g);
    if (plan->fits)
        put_run(&g);
    status = put_numbers(&g);
    if (status == TR_OK)
        status = put_facts(&g);
    tr_page_end(out);
    return status == TR_OK && tr_text_failed(out, err) ? TR_FAILED : status;
}
