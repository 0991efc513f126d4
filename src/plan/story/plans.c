/* The chapter of the bigger models: how much bigger, and a card for each plan. */
#include "base/chart.h"
#include "base/page.h"
#include "base/quantity.h"
#include "plan/print/print.h"
#include "plan/report/draw.h"
#include "plan/story/inside.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NUMBER = TR_QUANTITY_BYTES, LIMITS_SHOWN = 3 };

static const double year_s = 365.25 * 86400;

/* ---- how much bigger --------------------------------------------------------------------------------------------- */

/* "29.31 k years", and below a year as days are said. */
static const char *print_long(char buf[NUMBER], double seconds)
{
    char count[NUMBER];
    if (!(seconds >= year_s))
        return tr_print_time(buf, seconds);
    snprintf(buf, NUMBER, "%.20s years", tr_print_quantity(count, TR_UNIT_COUNT, seconds / year_s));
    return buf;
}

/* 3.2e13 -> "3.2 × 10¹³" */
static const char *print_power(char buf[NUMBER], double value)
{
    static const char *const digit[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    char plain[NUMBER];
    int at = 0;
    snprintf(plain, sizeof plain, "%.1e", value);
    for (const char *c = plain; *c && at < NUMBER - 12; c++) {
        bool exponent = strchr(plain, 'e') && c > strchr(plain, 'e');
        if (*c == 'e')
            at += snprintf(buf + at, NUMBER - (size_t)at, " × 10");
        else if (!exponent)
            buf[at++] = *c, buf[at] = '\0';
        else if (*c >= '0' && *c <= '9' && !(*c == '0' && c[1] && (c[-1] == '+' || c[-1] == '-')))
            at += snprintf(buf + at, NUMBER - (size_t)at, "%s", digit[*c - '0']);
    }
    return buf;
}

struct size {
    const char *name, *takes, *alone;
    double parameters, tokens, flop;
};

static void put_size(struct tr_text *out, const struct size *size)
{
    char number[NUMBER];
    tr_text_append(out, "<tr>");
    tr_page_cell(out, false, size->name);
    tr_page_cell(out, true, size->takes);
    tr_page_cell(out, true, size->alone);
    tr_page_cell(out, true, tr_print_quantity(number, TR_UNIT_COUNT, size->parameters));
    tr_page_cell(out, true, tr_print_quantity(number, TR_UNIT_COUNT, size->tokens));
    tr_page_cell(out, true, print_power(number, size->flop));
    tr_text_append(out, "</tr>\n");
}

static void put_sizes(const struct story *s, struct tr_text *out)
{
    static const char *const names[] = {"run", "takes", "on this machine", "parameters", "tokens", "FLOPs"};
    char takes[NUMBER], alone[NUMBER];
    double rate = story_rate(s), tokens = s->files.tokens;
    tr_page_table(out, NULL, names, 6, 1);
    tr_print_time(takes, story_steps_s(s));
    put_size(out, &(struct size){s->predicted ? s->run.model : story_name(s->request->run_folder), takes, takes,
                                 s->parameters, tokens, s->flop_per_token * tokens});
    for (int i = 0; i < s->plan_count; i++) {
        const struct tr_plan *p = s->plan[i].plan;
        double flop = p->step.model_flop * p->steps;
        put_size(out,
                 &(struct size){p->model.name, p->fits ? tr_print_time(takes, tr_plan_cost(p)->wall_s) : "does not fit",
                                rate > 0 ? print_long(alone, flop / rate) : "", tr_shape_params(&p->model).total,
                                p->request.tokens, flop});
    }
    tr_page_end_table(out);
}

/* ---- a card ------------------------------------------------------------------------------------------------------ */

static void put_head(const struct story_plan *of, struct tr_text *out)
{
    const struct tr_plan *p = of->plan;
    struct tr_text line = {0};
    char layout[TR_LAYOUT_TEXT_BYTES];
    tr_page_text(out, "h3", NULL, p->model.name);
    tr_text_printf(&line, "on %lld x %s (%s). ", (long long)p->request.chips, p->system.chip.name, p->system.id);
    tr_plan_subtitle(p, &line);
    tr_text_printf(&line, ". Layout %s.", tr_layout_print(&p->layout, layout));
    tr_page_put(out, "p", NULL, "%s", tr_text_str(&line));
    tr_text_free(&line);
    if (p->why[0])
        tr_page_text(out, "p", "no", p->why);
}

static void put_figures(const struct tr_plan *p, struct tr_text *out)
{
    const struct tr_job_cost *cost = tr_plan_cost(p);
    char a[NUMBER], b[NUMBER], value[3 * NUMBER];
    tr_page_tiles(out);
    if (p->fits) {
        double low_s, high_s;
        tr_plan_wall_interval(p, &low_s, &high_s);
        snprintf(value, sizeof value, "from %s to %s (80 %%)", tr_print_time(a, low_s), tr_print_time(b, high_s));
        tr_page_tile(out, value, tr_print_time(a, cost->wall_s));
        snprintf(value, sizeof value, "%s, at %.2f $ a chip-hour", tr_plan_commitment(a, p->request.commitment),
                 p->offer[p->request.commitment].price.usd_h.value);
        tr_page_tile(out, isnan(cost->usd) ? "price not known" : value,
                     isnan(cost->usd) ? "–" : tr_print_quantity(a, TR_UNIT_USD, cost->usd));
        snprintf(value, sizeof value, "%.*f t CO₂e", cost->carbon_g < 1e7 ? 2 : 0, cost->carbon_g / 1e6);
        if (!isnan(cost->energy_j))
            tr_page_tile(out, isnan(cost->carbon_g) ? "energy" : value, tr_plan_energy(a, cost->energy_j));
    }
    snprintf(value, sizeof value, "a step ± %s", tr_plan_percent(b, p->step.error));
    tr_page_tile(out, value, tr_print_time(a, p->step.time_s));
    tr_page_tile(out, "of the peak (MFU)", tr_plan_percent(a, p->step.mfu));
    tr_page_tile(out, "tokens a second", tr_print_quantity(a, TR_UNIT_COUNT, p->step.tokens_s));
    tr_page_end_tiles(out);
}

static const char *print_bytes(char buf[32], double value) { return tr_print_quantity(buf, TR_UNIT_BYTES, value); }

static void put_memory(const struct tr_plan *p, struct tr_text *out)
{
    const char *names[TR_MEM_COUNT];
    char title[4 * NUMBER], needed[NUMBER], capacity[NUMBER], label[NUMBER];
    for (int i = 0; i < TR_MEM_COUNT; i++)
        names[i] = tr_mem_name((enum tr_mem)i);
    snprintf(label, sizeof label, "stage %d", p->step.heaviest_stage);
    tr_print_quantity(needed, TR_UNIT_BYTES, p->step.memory_bytes);
    snprintf(title, sizeof title, "Memory of a chip, of %s that it has; the thin line is the 80 %% interval",
             tr_print_quantity(capacity, TR_UNIT_BYTES, p->capacity_bytes));
    tr_chart_stacks(out, &(struct tr_stacks){.title = title,
                                             .names = names,
                                             .part_count = TR_MEM_COUNT,
                                             .rows = &(struct tr_stack_row){label, p->step.memory, needed},
                                             .row_count = 1,
                                             .limit = p->capacity_bytes,
                                             .limit_name = capacity,
                                             .error = p->step.memory_error,
                                             .print = print_bytes});
}

static void put_limits(const struct story_plan *of, struct tr_text *out)
{
    const struct tr_plan *p = of->plan;
    struct tr_text line = {0};
    char a[NUMBER], b[NUMBER];
    tr_chart_caption(out, "What limits it", NULL);
    tr_text_append(out, "<ul>\n");
    tr_plan_limit(p, &line);
    tr_page_put(out, "li", NULL, "It is %s.", tr_text_str(&line));
    if (of->file.layouts)
        tr_page_put(out, "li", NULL, "Chosen out of %s legal layouts; %s need more memory than there is.",
                    tr_print_count(a, of->file.layouts), tr_print_count(b, of->file.too_big));
    for (int i = 0; i < of->file.limit_count && i < LIMITS_SHOWN; i++) {
        const struct tr_plan_file_limit *limit = &of->file.limit[i];
        tr_text_clear(&line);
        tr_plan_limit_words(limit->name, limit->gain, limit->layout, &line);
        tr_page_put(out, "li", NULL, "%s limit: %s.", i ? "Then the" : "The tightest", tr_text_str(&line));
    }
    if (p->fits && tr_plan_may_not_fit(p, &p->step))
        tr_page_put(out, "li", NULL, "Its memory is an estimate, ± %s: it may not fit.",
                    tr_plan_percent(a, p->step.memory_error));
    tr_text_free(&line);
    tr_text_append(out, "</ul></figure>\n");
}

static void put_prices(const struct tr_plan *p, struct tr_text *out)
{
    static const char *const names[] = {"paid", "$ a chip-hour", "takes", "dollars"};
    char text[NUMBER];
    tr_page_table(out, "What it costs, by how it is paid", names, 4, 1);
    for (int i = 0; i < TR_COMMITMENT_COUNT; i++) {
        const struct tr_plan_offer *offer = &p->offer[i];
        if (!tr_known(&offer->price.usd_h))
            continue;
        tr_text_append(out, "<tr>");
        tr_page_cell(out, false, tr_plan_commitment(text, i));
        snprintf(text, sizeof text, "%.2f", offer->price.usd_h.value);
        tr_page_cell(out, true, text);
        tr_page_cell(out, true, tr_print_time(text, offer->cost.wall_s));
        tr_page_cell(out, true, tr_print_quantity(text, TR_UNIT_USD, offer->cost.usd));
        tr_text_append(out, "</tr>\n");
    }
    tr_page_end_table(out);
}

static void say_failures(const struct tr_plan *p, struct tr_text *out)
{
    const struct tr_job_cost *cost = tr_plan_cost(p);
    char a[NUMBER], b[NUMBER], c[NUMBER];
    if (cost->failures > 0 && isfinite(cost->interval_s))
        tr_page_put(out, "p", NULL,
                    "%.*f failures are to be expected, one in %s (as %s); so a checkpoint each %s of computing, and %s "
                    "of the time is "
                    "in steps.",
                    cost->failures < 9.95 ? 1 : 0, cost->failures, tr_print_time(a, cost->mtbf_s),
                    tr_plan_failures(p)->name, tr_print_time(b, cost->interval_s), tr_plan_percent(c, cost->goodput));
    tr_page_put(out, "p", NULL, "Evidence for the step's time: %s.", tr_grade_name(p->step.grade));
}

static enum tr_status put_card(const struct story_plan *of, struct tr_text *out, struct tr_err *err)
{
    const struct tr_plan *p = of->plan;
    enum tr_status status = TR_OK;
    tr_text_append(out, "<article>\n");
    put_head(of, out);
    put_figures(p, out);
    tr_plan_draw_step(p, out);
    if (p->layout.pp > 1)
        status = tr_plan_draw_pipeline(p, false, out, err);
    put_memory(p, out);
    if (p->fits) {
        put_prices(p, out);
        put_limits(of, out);
        say_failures(p, out);
    }
    tr_text_append(out, "</article>\n");
    return status;
}

enum tr_status story_plans(const struct story *s, int number, struct tr_text *out, struct tr_err *err)
{
    char rate[NUMBER];
    enum tr_status status = TR_OK;
    story_chapter(out, number, "Its big brothers");
    tr_page_put(
        out, "p", NULL,
        "What was priced here operation by operation is priced for a fleet in the same way: chips by what others "
        "measured "
        "on them, every legal layout, memory, the network, failures, money. At the %s of the run above, this machine "
        "alone would need what the third column says.",
        tr_print_flop_s(rate, story_rate(s)));
    put_sizes(s, out);
    tr_text_append(out, "<div class=\"cards\">\n");
    for (int i = 0; i < s->plan_count && status == TR_OK; i++)
        status = put_card(&s->plan[i], out, err);
    tr_text_append(out, "</div>\n</section>\n");
    return status;
}
