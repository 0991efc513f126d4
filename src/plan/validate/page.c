/* Training runs as a table of Markdown: what a reader of a README wants to see of each. */
#include "base/num.h"
#include "plan/validate/validate.h"

#include <stdlib.h>
#include <string.h>

/* A row of the table, and what only pages look at: source_locator, date, chip_hours, goodput and why that one. */
struct published {
    const struct tr_score_row *row;
    const char *locator, *date, *why;
    double chip_hours, goodput; /* 0: a step is printed, and not a whole run */
};

static const char *cell(const struct tr_csv *csv, int64_t row, const char *column)
{
    int at = tr_csv_column(csv, column);
    return at < 0 ? "" : tr_csv_cell(csv, row, at);
}

static struct published published_of(const struct tr_score *score, int64_t row)
{
    const struct tr_csv *csv = &score->samples->csv;
    double hours = strtod(cell(csv, row, "chip_hours"), NULL), goodput = strtod(cell(csv, row, "goodput"), NULL);
    bool whole = hours > 0 && goodput > 0 && goodput <= 1;
    return (struct published){&score->row[row], cell(csv, row, "source_locator"), cell(csv, row, "date"),
                              whole ? cell(csv, row, "goodput_why") : "", whole ? hours : 0, whole ? goodput : 0};
}

/* The seconds of a step in what the row prints, which is of steps alone or of a whole run with its stops. */
static double in_its_unit(const struct published *p, double time_s)
{
    return p->goodput > 0 ? p->chip_hours * time_s / p->row->sample->time_s / p->goodput : time_s;
}

static void put_quantity(struct tr_text *out, const struct published *p, double value)
{
    if (p->goodput <= 0)
        tr_text_printf(out, "%.4g s a step", value);
    else if (value < 1e3)
        tr_text_printf(out, "%.4g chip-hours", value);
    else if (value < 1e6)
        tr_text_printf(out, "%.4g k chip-hours", value / 1e3);
    else
        tr_text_printf(out, "%.4g M chip-hours", value / 1e6);
}

/* A cell of Markdown, in which a bar would be the next one. */
static void put_words(struct tr_text *out, const char *words)
{
    for (; *words; words++)
        if (*words == '|')
            tr_text_append(out, "\\|");
        else
            tr_text_char(out, *words);
}

static void put_source(struct tr_text *out, const struct published *p)
{
    put_words(out, p->row->sample->source);
    if (*p->locator)
        tr_text_append(out, ", "), put_words(out, p->locator);
    if (*p->date)
        tr_text_append(out, ", "), put_words(out, p->date);
}

static void put_row(struct tr_text *out, const struct tr_score *score, const struct published *p)
{
    const struct tr_score_row *row = p->row;
    const struct tr_run *run = row->sample->of.run;
    tr_text_append(out, "| ");
    put_words(out, run->model.name);
    if (row->reason) {
        tr_text_append(out, " | ");
        put_words(out, score->samples->chip[row->sample->chip].name);
        tr_text_append(out, " | not priced: ");
        put_words(out, row->reason);
        tr_text_append(out, " | | | | ");
    } else {
        char layout[TR_LAYOUT_TEXT_BYTES];
        tr_text_printf(out, ", %lld tokens | %lld ", (long long)run->task.batch.seq_len,
                       (long long)tr_layout_chips(&row->layout));
        put_words(out, score->samples->chip[row->sample->chip].name);
        tr_text_printf(out, ", %s, %s%s | ", run->where->stack.name, tr_layout_print(&row->layout, layout),
                       run->layout_open ? " (the planner's)" : "");
        put_quantity(out, p, in_its_unit(p, row->cost.time_s));
        tr_text_printf(out, " +- %.0f %% | ", 100 * row->cost.error);
        double measured = p->goodput > 0 ? p->chip_hours : row->sample->time_s;
        put_quantity(out, p, measured);
        tr_text_printf(out, " | %.2f | ", in_its_unit(p, row->cost.time_s) / measured);
        if (p->goodput > 0)
            tr_text_printf(out, "%.0f %%: ", 100 * p->goodput), put_words(out, p->why);
        tr_text_append(out, " | ");
    }
    put_source(out, p);
    tr_text_append(out, " |\n");
}

void tr_score_page(const struct tr_score *score, struct tr_text *out)
{
    tr_text_append(out, "| model | on | predicted, 80 % interval | published | ratio | goodput assumed | source |\n"
                        "|---|---|---|---|---|---|---|\n");
    for (int64_t i = 0; i < score->samples->count; i++) {
        struct published published = published_of(score, i);
        put_row(out, score, &published);
    }
}
