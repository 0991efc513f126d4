/* The chapter that holds the prediction against the measurement. */
#include "base/chart.h"
#include "base/num.h"
#include "base/page.h"
#include "base/quantity.h"
#include "plan/story/inside.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBER = TR_QUANTITY_BYTES, NOTE_BYTES = 96, PAIRS_MAX = 14, CAUSES_MAX = 5, RANKS_SHOWN = 16 };
enum { ITEMS_MAX = TR_RUN_ROWS_MAX + TR_RUN_COLLS_MAX };
/* Less of a step than this is not worth a line. */
#define SMALL_SHARE .004

/* A kind of operation or of collective. */
struct item {
    char label[NOTE_BYTES], why[TR_RUN_WHY_BYTES];
    double predicted_s, measured_s, error; /* error: NAN: not known */
};

/* "norm, forward", and of a kind that has one phase only "linear_dw". */
static void name_row(const struct story *s, const struct tr_run_row *row, char name[NOTE_BYTES])
{
    bool alone = true;
    for (int i = 0; i < s->run.rows; i++)
        alone = alone && (&s->run.row[i] == row || s->run.row[i].kind != row->kind);
    snprintf(name, NOTE_BYTES, "%s%s%s", tr_op_operands(row->kind)->name, alone ? "" : ", ",
             alone ? "" : tr_phase_name(row->phase));
}

static int list_items(const struct story *s, struct item *item)
{
    int count = 0;
    for (int i = 0; i < s->run.rows; i++, count++) {
        const struct tr_run_row *row = &s->run.row[i];
        item[count] =
            (struct item){.predicted_s = row->predicted_s, .measured_s = row->measured_s, .error = row->error};
        name_row(s, row, item[count].label);
        tr_run_why(&s->run, row, item[count].why);
    }
    for (int i = 0; i < s->run.colls; i++, count++) {
        const struct tr_run_coll_row *row = &s->run.coll[i];
        item[count] = (struct item){.predicted_s = row->predicted_s, .measured_s = row->measured_s, .error = NAN};
        snprintf(item[count].label, NOTE_BYTES, "%s, %s", tr_coll_kind_name(row->kind), tr_phase_name(row->phase));
        tr_run_coll_why(&s->run, row, item[count].why);
    }
    return count;
}

static int longest_first(const void *a, const void *b)
{
    return -tr_ascending(&((const struct item *)a)->measured_s, &((const struct item *)b)->measured_s);
}

static int most_off_first(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    double off_x = fabs(x->measured_s - x->predicted_s), off_y = fabs(y->measured_s - y->predicted_s);
    return -tr_ascending(&off_x, &off_y);
}

static void put_pairs(const struct story *s, const struct item *item, int items, struct tr_text *out)
{
    struct tr_pair pair[PAIRS_MAX];
    char note[PAIRS_MAX][NOTE_BYTES], time[NUMBER];
    int count = 0;
    for (; count < items && count < PAIRS_MAX && item[count].measured_s > SMALL_SHARE * s->run.measured_s; count++) {
        const struct item *i = &item[count];
        int length = snprintf(note[count], NOTE_BYTES, "%s", tr_print_time(time, i->measured_s));
        if (i->predicted_s > 0)
            snprintf(note[count] + length, NOTE_BYTES - (size_t)length, ", %+.0f %%",
                     100 * (i->measured_s / i->predicted_s - 1));
        pair[count] = (struct tr_pair){i->label, i->predicted_s, i->error, i->measured_s, note[count]};
    }
    tr_chart_pairs(out, &(struct tr_pairs){.title = "A step by operation; the line is the 80 % interval",
                                           .expected = "predicted",
                                           .found = "measured",
                                           .pair = pair,
                                           .count = count});
}

static void put_causes(const struct story *s, const struct item *item, int items, struct tr_text *out)
{
    static const char *const names[] = {"operation", "differs by", "of the step"};
    char value[NUMBER], off[NUMBER + 1];
    tr_page_table(out, "The largest differences", names, 3, 1);
    for (int i = 0; i < items && i < CAUSES_MAX; i++) {
        double off_s = item[i].measured_s - item[i].predicted_s;
        snprintf(off, sizeof off, "%s%s", off_s > 0 ? "+" : "", tr_print_time(value, off_s));
        tr_text_append(out, "<tr><td>");
        tr_text_append_html(out, item[i].label);
        tr_page_text(out, "small", NULL, item[i].why);
        tr_text_append(out, "</td>");
        tr_page_cell(out, true, off);
        snprintf(value, sizeof value, "%+.1f %%", 100 * off_s / s->run.predicted_s);
        tr_page_cell(out, true, value);
        tr_text_append(out, "</tr>\n");
    }
    tr_page_end_table(out);
}

/* What each rank did in a step: a wait of one is the work of another. */
static void put_ranks(const struct story *s, struct tr_text *out)
{
    enum { WORK, WAIT, REST, PARTS };
    static const char *const names[PARTS] = {"operations", "waiting for others", "all else"};
    struct tr_stack_row rows[RANKS_SHOWN];
    double part_s[RANKS_SHOWN][PARTS];
    char label[RANKS_SHOWN][NUMBER], note[RANKS_SHOWN][NUMBER];
    int count = 0;
    for (; count < s->ran.each_count && count < RANKS_SHOWN; count++) {
        const struct tr_run_rank_row *rank = &s->run.rank[count];
        part_s[count][WORK] = rank->work_s;
        part_s[count][WAIT] = rank->wait_s;
        part_s[count][REST] = fmax(0, rank->step_s - rank->work_s - rank->wait_s);
        snprintf(label[count], NUMBER, "rank %d", count);
        rows[count] = (struct tr_stack_row){label[count], part_s[count], tr_print_time(note[count], rank->step_s)};
    }
    if (count > 1)
        tr_chart_stacks(out, &(struct tr_stacks){.title = "A step of each rank, as it was measured",
                                                 .names = names,
                                                 .part_count = PARTS,
                                                 .rows = rows,
                                                 .row_count = count,
                                                 .print = tr_print_time});
}

static void say_equal(const struct story *s, struct tr_text *out)
{
    char memory[TR_RUN_MEMORY_WORDS_BYTES], of[NOTE_BYTES];
    if (story_is_whole(s))
        snprintf(of, sizeof of, "all %lld steps", (long long)s->ran.steps);
    else
        snprintf(of, sizeof of, "the %lld steps that the newest attempt had computed when it saved last", (long long)s->ran.steps);
    tr_page_put(
        out, "p", NULL,
        "Calls, arithmetic and bytes are not estimates: planned and counted they are equal for every operation, or "
        "there would be no comparison. Memory: %s. Time is the one estimate. What is called measured is the mean of %s, the "
        "first one, which is colder, included.",
        tr_run_memory_words(&s->run, memory), of);
    if (s->ran.ranks > 1)
        tr_page_put(
            out, "p", NULL,
            "It ran on %d ranks. Operations are those of rank %d; of a collective, what is predicted is how long it waits for others%s",
            s->ran.ranks, s->run.ran.rank, s->run.exchanges ? ", and what moving its bytes took so many ranks when this machine was calibrated."
                                           : "; bytes on their way are not priced: the profile has no record of what they take.");
}

enum tr_status story_comparison(const struct story *s, int number, struct tr_text *out, struct tr_err *err)
{
    struct item *item = calloc(ITEMS_MAX, sizeof *item);
    if (!item)
        return tr_fail(err, TR_FAILED, "out of memory for a page");
    int items = list_items(s, item);
    story_chapter(out, number, "Prediction beside measurement");
    say_equal(s, out);
    tr_text_append(out, "<div class=\"charts\">\n");
    qsort(item, (size_t)items, sizeof *item, longest_first);
    put_pairs(s, item, items, out);
    tr_text_append(out, "<div>");
    qsort(item, (size_t)items, sizeof *item, most_off_first);
    put_causes(s, item, items, out);
    tr_page_text(out, "p", "sub",
                 "linear: matrix products; linear_dx and linear_dw: gradients of their inputs and of their weights; "
                 "attn: attention; head: logits, loss and their gradients; _bwd: backward.");
    tr_text_append(out, "</div></div>\n");
    put_ranks(s, out);
    tr_text_append(out, "</section>\n");
    free(item);
    return TR_OK;
}
